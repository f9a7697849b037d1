"""Starts the server and the contestants, and lets them take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self, TypedDict

from benchmarks.contestants import CONTESTANTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measures import Measure

_ROOT = Path(__file__).resolve().parent.parent


class Found(TypedDict):
    """The rounds of one measure of one contestant."""

    min: float
    median: float
    rounds: list[float]


Results = dict[str, dict[str, Found]]
"""By measure, then by contestant."""


def _environment() -> dict[str, str]:
    """Return an environment in which nothing but the loopback is reached."""
    dropped = ("CEREBRAS_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(dropped) and not name.upper().endswith("_PROXY")
    }
    return {**kept, "PYTHONHASHSEED": "0", "LANGSMITH_TRACING": "false"}


class _Process:
    """A child that speaks in lines; closing its standard input ends it."""

    def __init__(self, *command: str, quiet: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=_ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended early: {self.process.args}")
        return line

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # Closes all pipes, which is what tells the child to end.
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def is_installed(name: str) -> bool:
    """Whether a contestant can take part."""
    try:
        metadata.version(CONTESTANTS[name].package)
    except metadata.PackageNotFoundError:
        return (_ROOT / CONTESTANTS[name].package.replace("-", "_")).is_dir()
    return True


def version(package: str) -> str:
    """Return the version of a package; ours may be a clone that is not installed."""
    if package == CONTESTANTS["ours"].package:
        from langchain_cerebras_ext import __version__

        return __version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def run(
    names: Sequence[str],
    measures: Iterable[Measure],
    *,
    rounds: int,
    size: str,
    verbose: bool = True,
) -> tuple[Results, dict[str, str]]:
    """Run all measures of all contestants, in turns.

    A round that only warms up goes before those that count.

    Returns:
        The results, and the errors by `measure/contestant`.
    """
    results: Results = {}
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        server = stack.enter_context(_Process("-m", "benchmarks.server"))
        url = f"http://127.0.0.1:{int(server.read())}"
        workers = {
            name: stack.enter_context(_worker(name, url, size, quiet=not verbose))
            for name in names
        }
        for measure in measures:
            values: dict[str, list[float]] = {name: [] for name in names}
            # Memory hardly varies, and a fresh process has nothing to warm up.
            alone = measure.in_fresh_process
            for number in range(1 if alone else 1 + rounds + measure.more_rounds):
                for name in names:
                    place = f"{measure.name}/{name}"
                    if not _takes_part(name, measure) or place in errors:
                        continue
                    if measure.in_fresh_process:
                        with _worker(name, url, size, quiet=not verbose) as fresh:
                            answer = json.loads(fresh.ask(measure.name))
                    else:
                        answer = json.loads(workers[name].ask(measure.name))
                    if "error" in answer:
                        errors[place] = answer["error"]
                    elif number or alone:
                        values[name].append(answer["value"])
            results[measure.name] = {
                name: Found(min=min(got), median=median(got), rounds=got)
                for name, got in values.items()
                if got
            }
            if verbose:
                print(f"{measure.title} ({measure.unit})", file=sys.stderr, end=": ")
                print(
                    ", ".join(
                        f"{name} {got['min']:.4g}"
                        for name, got in results[measure.name].items()
                    ),
                    file=sys.stderr,
                )
    return results, errors


def _takes_part(name: str, measure: Measure) -> bool:
    kind = CONTESTANTS[name]
    if name == "ours-joined":
        return "stream" in measure.name
    return kind.is_langchain or not measure.only_langchain


def _worker(name: str, url: str, size: str, *, quiet: bool) -> _Process:
    return _Process("-m", "benchmarks.worker", name, url, size, quiet=quiet)
