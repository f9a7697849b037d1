"""A fake service for each test."""

from __future__ import annotations

import pytest
from fake_service import FakeService, LoopbackServer


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def server(service):
    """The fake service on a real socket, for what is not handed a client."""
    server = LoopbackServer(service)
    yield server
    server.close()
