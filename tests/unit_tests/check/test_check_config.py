"""The table in `pyproject.toml`."""

from __future__ import annotations

import pytest

from langchain_cerebras_ext._check import CheckConfig, load_config
from langchain_cerebras_ext.errors import CerebrasConfigurationError

TABLE = """
[tool.cerebras-ext.check]
exclude = ["tests/"]
ignore = ["llama3.1-8b"]
within = 30
fail-on = "ending"
"""


def test_the_table_is_read(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TABLE)
    assert load_config(tmp_path) == CheckConfig(
        root=tmp_path,
        exclude=("tests/",),
        ignore=("llama3.1-8b",),
        within=30,
        fail_on="ending",
    )


def test_the_nearest_file_with_a_table_counts(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TABLE)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\n")
    (inner / "x.py").write_text("")
    assert load_config(inner / "x.py").root == tmp_path


def test_without_a_table_nothing_is_set(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool]\ncerebras-ext = 1\n")
    assert load_config(tmp_path).within is None


def test_a_broken_file_is_its_owners_business(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[[[")
    assert load_config(tmp_path).exclude == ()


WRONG = {
    "unknown_key": ("excludes = []", "'excludes' is not known; known are exclude"),
    "within_text": ('within = "90"', "'within' is '90'; give a number of days"),
    "within_negative": ("within = -1", "'within' is -1; give a number of days"),
    "within_true": ("within = true", "'within' is True; give a number of days"),
    "exclude_text": ('exclude = "tests"', "'exclude' is 'tests'; give a list"),
    "ignore_numbers": ("ignore = [1]", "'ignore' is [1]; give a list of strings"),
    "fail_on": ('fail-on = "all"', "'fail-on' is 'all'; give one of retired"),
}


@pytest.mark.parametrize(("line", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_is_told_with_its_file(tmp_path, line, told):
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.cerebras-ext.check]\n{line}\n")
    with pytest.raises(CerebrasConfigurationError) as caught:
        load_config(tmp_path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
