"""A pytest plugin, loaded for everybody: a local Cerebras API, and a model for tests.

Fixtures: `cerebras_simulator`, `chat_model`, `model_provider`. Whose model `chat_model`
is, `--model-provider` says for a run and `@pytest.mark.model_provider(...)` for a test.
Nothing heavy is imported until a test asks for a fixture.
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


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None]:
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
            help="whose model the fixture chat_model is: a provider (cerebras), a "
            "model (google::gemini-3.8-flash) or simulator; several, with commas, "
            "run each test with each. Default: MODEL_PROVIDER.",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*names): whose model the fixture chat_model is in this test; values "
        f"as of {OPTION}, which runs it only with those among them that it names",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with each provider that it, or the run, names."""
    if MARKER not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(MARKER)
    asked = _names(metafunc.config.getoption(MARKER, default=None) or [])
    marked = _names(marker.args) if marker else []
    if marker and not marked:
        msg = (
            f"@pytest.mark.{MARKER} of {metafunc.definition.nodeid} names no provider."
        )
        raise pytest.UsageError(msg)
    names = [name for name in marked if _whose(name) in set(map(_whose, asked))]
    if asked and marked and not names:
        reason = f"is for {', '.join(marked)}; {OPTION} names {', '.join(asked)}"
        skipped = pytest.mark.skip(reason=reason)
        metafunc.parametrize(
            MARKER, [pytest.param(marked[0], marks=skipped)], indirect=True
        )
        return
    names = names or marked or asked
    if names:
        metafunc.parametrize(MARKER, names, indirect=True)


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
    return getattr(request, "param", None)


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
def cerebras_simulator() -> Iterator[Simulator]:
    """A local Cerebras API, fresh for the test: `base_url`, `reply`, `requests`."""
    from langchain_cerebras_ext.simulator.server import Simulator

    with Simulator() as simulator:
        yield simulator
