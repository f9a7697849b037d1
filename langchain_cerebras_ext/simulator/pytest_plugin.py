"""A pytest plugin, loaded for everybody: a local Cerebras API, and a model for tests.

Fixtures: `cerebras_simulator`, `chat_model`, `model_provider`. Whose model `chat_model`
is, `--model-provider` says for a run and `@pytest.mark.model_provider(...)` for a test;
so it is of `create_chat_model()` in the code under test, since the environment says the
same meanwhile. Nothing heavy is imported until a test asks for something.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_cerebras_ext.simulator.server import Simulator

OPTION = "--model-provider"
MARKER = "model_provider"
SIMULATOR = "simulator"
"""A value that means a simulator, started for the test."""

_is_ours = pytest.StashKey[bool]()  # the option, and not a project's own of that name
_in_force = pytest.StashKey[contextlib.ExitStack]()
_simulator = pytest.StashKey["Simulator"]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser
) -> Generator[None]:
    """Add `--model-provider`, unless somebody has one.

    Not in `pytest_addoption`: there our option would come before that of a project's
    own `conftest.py`, which would then fail, though it may not even know this package.
    """
    yield
    with contextlib.suppress(ValueError, argparse.ArgumentError):
        parser.getgroup("cerebras").addoption(
            OPTION,
            action="append",
            default=[],
            metavar="NAME",
            dest=MARKER,
            help="whose model the fixture chat_model and create_chat_model() are: a "
            "provider (cerebras), a model (google::gemini-3.8-flash) or simulator; "
            "several, with commas, run each test that takes chat_model with each, and "
            "others with the first. Default: MODEL_PROVIDER.",
        )
        early_config.stash[_is_ours] = True


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*names): whose model the fixture chat_model and create_chat_model() "
        f"are in this test; values as of {OPTION}, which runs it only with those among "
        "them that it names",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with each provider that it, or the run, names."""
    if _has_own_values(metafunc.definition):
        return
    marked = _marked(metafunc.definition)
    is_taken = MARKER in metafunc.fixturenames
    if not is_taken and not marked:
        return
    asked = _asked(metafunc.config)
    names = _both(marked, asked)
    if not is_taken:
        if not asked and len(marked) == 1:
            return  # nothing to choose: the test keeps its name
        metafunc.fixturenames.append(MARKER)
    if asked and marked and not names:
        reason = f"is for {', '.join(marked)}; {OPTION} names {', '.join(asked)}"
        skipped = pytest.mark.skip(reason=reason)
        metafunc.parametrize(
            MARKER, [pytest.param(marked[0], marks=skipped)], indirect=True
        )
        return
    names = names or marked or asked
    if names:
        metafunc.parametrize(MARKER, [_Name(one) for one in names], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the environment say whose model it is, for models that the code makes."""
    name = _chosen(item)
    if name is None:
        return
    stack = item.stash[_in_force] = contextlib.ExitStack()
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    if name == SIMULATOR:
        item.stash[_simulator] = stack.enter_context(_new_simulator())
    _set_environment(patch, name, item.stash.get(_simulator, None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Let the environment be as it was."""
    try:
        yield
    finally:
        stack = item.stash.get(_in_force, None)
        if stack is not None:
            stack.close()
            del item.stash[_in_force]


class _Name(str):
    """A name that this plugin has given a test, and not a fixture of the project's."""

    __slots__ = ()


def _chosen(item: pytest.Item) -> str | None:
    """Return whose model a test uses; `None` is left to the environment."""
    if _has_own_values(item):
        return None
    params = getattr(getattr(item, "callspec", None), "params", {})
    named = params.get(MARKER)
    if named is not None:
        return named if isinstance(named, _Name) else None
    marked, asked = _marked(item), []
    if item.config.stash.get(_is_ours, False):
        asked = _asked(item.config)
    return next(iter(_both(marked, asked) or marked or asked), None)


def _set_environment(
    patch: pytest.MonkeyPatch, name: str, simulator: Simulator | None
) -> None:
    from langchain_cerebras_ext.routing import get_provider, parse_name
    from langchain_cerebras_ext.routing.environment import FLAGS, SWITCH

    for flag in FLAGS:  # they would be warned of
        patch.delenv(flag, raising=False)
    if simulator is not None:
        from langchain_cerebras_ext.simulator.command import PLACEHOLDER_KEY

        patch.setenv(SWITCH, "cerebras")
        patch.setenv("CEREBRAS_BASE_URL", simulator.base_url)
        patch.setenv("CEREBRAS_API_KEY", PLACEHOLDER_KEY)
    elif ":" in name:
        target = parse_name(name)
        patch.setenv(SWITCH, target.provider)
        patch.setenv(get_provider(target.provider).model_variable, target.model)
    else:
        patch.setenv(SWITCH, get_provider(name).name)


def _new_simulator() -> Simulator:
    from langchain_cerebras_ext.simulator.server import Simulator

    return Simulator()


def _asked(config: pytest.Config) -> list[str]:
    """Return what the run names."""
    return _names(config.getoption(MARKER, default=None) or [])


def _marked(node: pytest.Item) -> list[str]:
    """Return what a test names.

    Raises:
        UsageError: Its marker names nothing.
    """
    marker = node.get_closest_marker(MARKER)
    if marker is None:
        return []
    names = _names(marker.args)
    if not names:
        msg = f"@pytest.mark.{MARKER} of {node.nodeid} names no provider."
        raise pytest.UsageError(msg)
    return names


def _both(marked: list[str], asked: list[str]) -> list[str]:
    """Return what a test names of those that the run names."""
    whose = {_whose(name) for name in asked}
    return [name for name in marked if _whose(name) in whose]


def _has_own_values(node: pytest.Item) -> bool:
    """Whether a test has an argument of this name with values of the project's own."""
    return any(
        MARKER in _names(marker.args[0] if marker.args else marker.kwargs["argnames"])
        for marker in node.iter_markers("parametrize")
    )


def _names(values: object) -> list[str]:
    """Return names that were given one by one or with commas, each once."""
    several = values if isinstance(values, (list, tuple)) else [values]
    parts = (part.strip() for value in several for part in str(value).split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _whose(name: str) -> str:
    """Return the provider of a name, without what does not count."""
    return name.partition(":")[0].strip().lower()


@pytest.fixture
def model_provider(request: pytest.FixtureRequest) -> str | None:
    """Whose model the test uses; `None` is left to the environment."""
    named = getattr(request, "param", None)
    return None if named is None else str(named)


@pytest.fixture
def chat_model(
    request: pytest.FixtureRequest, model_provider: str | None
) -> BaseChatModel:
    """The chat model of the provider that the test or the run names, made for it."""
    from langchain_cerebras_ext.routing.factory import create_chat_model

    if model_provider == SIMULATOR:
        from langchain_cerebras_ext.simulator.command import PLACEHOLDER_KEY

        simulator: Simulator = request.getfixturevalue("cerebras_simulator")
        return create_chat_model(
            provider="cerebras",
            base_url=simulator.base_url,
            api_key=PLACEHOLDER_KEY,
            cache=False,
        )
    if model_provider is not None and ":" in model_provider:
        return create_chat_model(model_provider, cache=False)
    return create_chat_model(provider=model_provider, cache=False)


@pytest.fixture
def cerebras_simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A local Cerebras API, fresh for the test: `base_url`, `reply`, `requests`."""
    started = request.node.stash.get(_simulator, None)
    if started is not None:
        yield started
        return
    with _new_simulator() as simulator:
        yield simulator
