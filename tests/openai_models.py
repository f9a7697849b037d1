"""`ChatOpenAI` with clients that keep no connection once an answer has been read.

Left to itself the package has one async client for all models and event loops of a
process. What such a client keeps of a loop that has ended is closed by the garbage
collector, in whatever test it comes to, and that test fails for the warning.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx2
import pytest
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models import base

_KEEPS_NONE = httpx2.Limits(max_keepalive_connections=0)


@cache
def without_connections() -> dict[str, Any]:
    """Return the arguments that give a model of OpenAI's package these clients."""
    return {
        "http_client": httpx2.Client(limits=_KEEPS_NONE),
        "http_async_client": httpx2.AsyncClient(limits=_KEEPS_NONE),
    }


def chat_openai(**fields: Any) -> ChatOpenAI:
    """Return the model, which leaves nothing to close."""
    return ChatOpenAI(**{**without_connections(), **fields})


def let_all_keep_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package make all its models so: for tests that do not make them."""
    clients = {"": "http_client", "_async": "http_async_client"}
    for kind, name in clients.items():
        monkeypatch.setattr(
            base,
            f"_get_default{kind}_httpx_client",
            lambda *_, name=name: without_connections()[name],
        )
