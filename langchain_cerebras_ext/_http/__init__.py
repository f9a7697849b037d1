"""HTTP for the chat model: bytes in, bytes out, errors of ours, no SDK in between.

`SyncTransport` sends by urllib3, `AsyncTransport` by aiohttp;
`HttpxTransport` and `AsyncHttpxTransport` put the same face on a user's own client;
`openai_http_client` lets the official SDK run on the same connections.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._http._options import Timeouts, TransportOptions

if TYPE_CHECKING:
    import httpx2

    from langchain_cerebras_ext._http._async import AsyncResponse, AsyncTransport
    from langchain_cerebras_ext._http._httpx import (
        AsyncHttpxResponse,
        AsyncHttpxTransport,
        HttpxResponse,
        HttpxTransport,
    )
    from langchain_cerebras_ext._http._shared import (
        shared_async_transport,
        shared_sync_transport,
    )
    from langchain_cerebras_ext._http._sync import SyncResponse, SyncTransport

__all__ = [
    "AsyncHttpxResponse",
    "AsyncHttpxTransport",
    "AsyncResponse",
    "AsyncTransport",
    "HttpxResponse",
    "HttpxTransport",
    "SyncResponse",
    "SyncTransport",
    "Timeouts",
    "TransportOptions",
    "async_openai_http_client",
    "openai_http_client",
    "shared_async_transport",
    "shared_sync_transport",
]


# Loaded with the first call, not with the package.
_HOMES = {
    "AsyncHttpxResponse": "_httpx",
    "AsyncHttpxTransport": "_httpx",
    "AsyncResponse": "_async",
    "AsyncTransport": "_async",
    "HttpxResponse": "_httpx",
    "HttpxTransport": "_httpx",
    "SyncResponse": "_sync",
    "SyncTransport": "_sync",
    "shared_async_transport": "_shared",
    "shared_sync_transport": "_shared",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def openai_http_client(transport: SyncTransport) -> httpx2.Client:
    """Return a client for `openai.OpenAI(http_client=...)` on a transport's pool."""
    from langchain_cerebras_ext._http import _httpx2

    return _httpx2.openai_http_client(transport)


def async_openai_http_client(transport: AsyncTransport) -> httpx2.AsyncClient:
    """Return a client for `openai.AsyncOpenAI(http_client=...)` on its pools."""
    from langchain_cerebras_ext._http import _httpx2

    return _httpx2.async_openai_http_client(transport)
