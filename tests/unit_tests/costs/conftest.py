"""What tests of costs share: a service that knows what it has billed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_cerebras_ext.simulator import Simulator


@pytest.fixture(scope="module")
def _running() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def sim(_running: Simulator) -> Simulator:
    """Return a simulator that has billed nothing yet."""
    _running.reset()
    return _running
