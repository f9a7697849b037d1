"""A pytest plugin: the fixture `cerebras_simulator`, loaded for everybody.

Nothing heavy is imported until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext.simulator.server import Simulator


@pytest.fixture
def cerebras_simulator() -> Iterator[Simulator]:
    """A local Cerebras API, fresh for the test: `base_url`, `reply`, `requests`."""
    from langchain_cerebras_ext.simulator.server import Simulator

    with Simulator() as simulator:
        yield simulator
