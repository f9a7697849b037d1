"""A fake service, and an environment without anybody's settings."""

from __future__ import annotations

import os

import pytest
from fake_service import FakeService


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith(("CEREBRAS_", "OPENAI_", "LC_", "LANGCHAIN_")):
            monkeypatch.delenv(name)


@pytest.fixture
def service() -> FakeService:
    return FakeService()
