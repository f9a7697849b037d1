# `make check` is what CI runs beside the tests.
PYTHON ?= python3

.PHONY: format lint type mypy pyright test check coverage bench

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .
	cerebras-ext models check --fail-on any

type: mypy pyright

mypy:
	mypy
	mypy --strict tests/typing/api.py

pyright:
	pyright

test:
	pytest

coverage:
	pytest --cov --cov-report=term-missing:skip-covered

check: lint type test

bench:
	$(PYTHON) -m benchmarks
