"""Two simulators, and routers over models of them.

A module of tests takes the fixtures by names of its own:
`_running, sims = router_legs.running, router_legs.sims`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from openai_models import chat_openai

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.simulator import Simulator


@pytest.fixture(scope="module", name="_running")
def running() -> Iterator[tuple[Simulator, Simulator]]:
    """Two simulators for a module."""
    with Simulator() as first, Simulator() as second:
        yield first, second


@pytest.fixture
def sims(_running: tuple[Simulator, Simulator]) -> tuple[Simulator, Simulator]:
    """Two simulators as if they were new."""
    for sim in _running:
        sim.reset()
    return _running


def ours(sim: Simulator, **kwargs: Any) -> BaseChatModel:
    """Return a model of ours at a simulator, which retries nothing by itself."""
    return ChatCerebras(**{**_told(sim), **kwargs})


def foreign(sim: Simulator, **kwargs: Any) -> BaseChatModel:
    """Return a model of another package at a simulator, as if it were a provider's."""
    return chat_openai(**{**_told(sim), "stream_usage": True, **kwargs})


def _told(sim: Simulator) -> dict[str, Any]:
    return {
        "model": "gpt-oss-120b",
        "api_key": "csk-test",
        "base_url": sim.base_url,
        "max_retries": 0,
    }


each_kind = pytest.mark.parametrize("kind", [ours, foreign], ids=["ours", "foreign"])


def router_of(
    sims: Sequence[Simulator],
    kind: Callable[[Simulator], BaseChatModel] = ours,
    **options: Any,
) -> ChatRouter:
    """Return a router over one leg of each simulator, `a` and `b`."""
    return ChatRouter(legs=dict(zip("ab", map(kind, sims), strict=True)), **options)
