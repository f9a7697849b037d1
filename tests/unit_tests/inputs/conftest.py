"""A fake service for each test."""

from __future__ import annotations

import pytest
from fake_service import FakeService, LoopbackServer

from langchain_cerebras_ext import _config


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def server(service):
    """The fake service on a real socket, for what is not handed a client."""
    server = LoopbackServer(service)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_model_is_refused_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent for models past and present is looked at here, at any date."""
    monkeypatch.setattr(_config, "is_public_service", lambda url: False)
