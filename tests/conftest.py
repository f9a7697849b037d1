"""What all tests share: an environment without keys, proxies or tracing.

Sockets are held to loopback by `--allow-hosts` in `pyproject.toml`; keys are looked for
in all that a test puts out, by `secret_watch`.
"""

import contextlib
import functools
import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from secret_watch import SecretWatch, watching

from langchain_cerebras_ext import _deprecations, errors

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator import Simulator

with contextlib.suppress(ImportError):  # the wheel is tested without it
    import hypothesis  # before anything is frozen: it looks for referrers

    # No test is a timed one: machines are shared. HYPOTHESIS_PROFILE=thorough looks
    # for longer.
    hypothesis.settings.register_profile("quick", deadline=None, max_examples=50)
    hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_PREFIXES = (
    "APE_",
    "CEREBRAS_",
    "GOOGLE_",
    "LOCAL_",
    "OPENAI_",
    "OPENROUTER_",
    "OTEL_",
    "LANGSMITH_",
    "LANGCHAIN_",
    "LC_",
)
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_OTHERS = {
    "HOST",
    "LOG_LEVEL",
    "MODEL_PROVIDER",
    "PORT",
    "PROMETHEUS_MULTIPROC_DIR",
    "USE_CEREBRAS",
    "USE_GOOGLE_DIRECT",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
}
_LOGGERS = (
    "aiohttp",
    "asyncio",
    "langchain_cerebras_ext",
    "langchain_cerebras_ext.proxy",
    "sqlalchemy",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.asgi",
    "uvicorn.error",
)
_WATCH = pytest.StashKey[SecretWatch]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the collector what lives as long as the run: modules and all the tests.

    It would look through a million objects again and again while they come, and each
    time that a test calls `gc.collect`.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """Let it see all again: some libraries ask it who has an object."""
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def kept_loggers() -> Generator[None]:
    """Undo what the proxy's start does to logging, or later tests would log."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(one.level, one.handlers[:], one.filters[:]) for one in loggers]
    yield
    for one, (level, handlers, filters) in zip(loggers, before, strict=True):
        if one.level != level:
            one.setLevel(level)
        one.handlers[:], one.filters[:] = handlers, filters


@pytest.fixture(scope="session", autouse=True)
def kept_commands() -> Generator[None]:
    """Let a program's commands be made once, not again each time that one is run.

    In one process they are run some hundred times, and to make them all, typer reads
    the signatures of fifty functions: that took more than half of those tests' time.
    """
    typer = sys.modules.get("typer")
    with pytest.MonkeyPatch.context() as patch:
        if typer is not None:
            make = functools.cache(typer.main.get_command)
            patch.setattr("typer.main.get_command", make)
            patch.setattr("typer.testing._get_command", make)
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_uses_the_sdk() -> Iterator[None]:
    """Let errors be of our own classes, whatever another test has imported.

    With `openai` imported they are of subclasses; the tests of that undo this.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "_with_sdk_parent", lambda cls: cls)
        yield


@pytest.fixture(scope="session")
def block_network() -> None:
    """Stand in for what pytest-recording sets up anew for each test, and `vcr` too.

    langchain-tests brings it. No test here plays recordings, and sockets are held to
    loopback anyway.
    """


@pytest.fixture(scope="session")
def vcr() -> None:
    """Stand in for pytest-recording's, as above."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let each test be told of models' ends, which a process is told of once."""
    _deprecations.forget()


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Hide variables that change what the package does; `live` tests need the key."""
    live = request.node.get_closest_marker("live") is not None
    for name in list(os.environ):
        known = name.startswith(_PREFIXES) or name in _OTHERS
        known = known or name.endswith("_MODEL")
        if name.upper() in _PROXIES or (known and not live):
            monkeypatch.delenv(name)
    # Model lists that the developer has refreshed are not for the tests.
    kept = tmp_path_factory.getbasetemp() / "kept"
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(kept))


@pytest.fixture(autouse=True)
def no_secret_gets_out(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose logs, errors, warnings, files or dumps hold a model's key."""
    if request.node.get_closest_marker("unwatched") is not None:
        yield
        return
    watch = request.node.stash[_WATCH] = SecretWatch()
    with watching(watch, _log_level(request.path)):
        yield
    folder = request.node.funcargs.get("tmp_path")
    if isinstance(folder, Path):
        watch.look_into(folder)
    found = watch.found()
    assert not found, f"a key is in: {', '.join(found)}"


def _log_level(path: Path) -> int:
    """Return the level that is on while a test runs.

    Where calls are logged, cost trackers make their records at once; tests of costs are
    to see what happens in programs that log as most do.
    """
    is_of_costs = path.parent.name == "costs" or path.name.startswith("test_cost")
    return logging.INFO if is_of_costs else logging.DEBUG


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that printed a key, too."""
    report = yield
    watch = item.stash.get(_WATCH, None)
    if watch is not None and call.when == "teardown" and report.passed:
        shown = "\n".join(text for _, text in report.sections)
        if watch.is_in(shown):
            report.outcome = "failed"
            report.longrepr = "a key is in what the test printed"
    return report


@pytest.fixture(scope="module")
def _running() -> Iterator["Simulator"]:
    from langchain_cerebras_ext.simulator import Simulator

    with Simulator(models="all") as simulator:
        yield simulator


@pytest.fixture
def sim(_running: "Simulator") -> "Simulator":
    """Return a module's simulator, which has seen and billed nothing yet."""
    _running.reset()
    return _running
