"""The official SDK on our connections: httpx2 transports that delegate to ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx2

from langchain_cerebras_ext._http._options import Timeouts
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasTimeoutError,
    SecretText,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from langchain_cerebras_ext._http._async import AsyncResponse, AsyncTransport
    from langchain_cerebras_ext._http._sync import SyncResponse, SyncTransport

# Ours to set, or about one connection.
_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "transfer-encoding"}
)
# No longer true of a body that has been decoded.
_UNDONE_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def _request_headers(request: httpx2.Request) -> dict[str, str]:
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in _OWN_HEADERS
    }
    if "authorization" in headers:
        headers["authorization"] = SecretText(headers["authorization"])
    headers["accept-encoding"] = "gzip, deflate"
    return headers


def _response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if "content-encoding" not in headers:
        return dict(headers)
    return {
        name: value for name, value in headers.items() if name not in _UNDONE_HEADERS
    }


def _timeouts(request: httpx2.Request) -> Timeouts:
    given = cast("dict[str, Any]", request.extensions.get("timeout") or {})
    return Timeouts(
        connect_s=given.get("connect"), read_s=given.get("read"), total_s=None
    )


def _to_httpx2(
    error: CerebrasConnectionError, request: httpx2.Request
) -> httpx2.TransportError:
    """Translate, so that the SDK sees what it knows; ours stays the cause."""
    kind: type[httpx2.TransportError]
    if isinstance(error, CerebrasTimeoutError):
        is_dial = error.kind == "connect"
        kind = httpx2.ConnectTimeout if is_dial else httpx2.ReadTimeout
    else:
        kind = {
            "proxy": httpx2.ProxyError,
            "reset": httpx2.ReadError,
            "closed": httpx2.RemoteProtocolError,
            "protocol": httpx2.RemoteProtocolError,
        }.get(error.kind, httpx2.ConnectError)
    return kind(error.message, request=request)


def _ends_stream(data: bytes) -> bool:
    """Whether the SDK will stop here, before the body's last bytes."""
    return b"[DONE]" in data[-16:]


class _SyncStream(httpx2.SyncByteStream):
    def __init__(self, response: SyncResponse, request: httpx2.Request) -> None:
        self._response = response
        self._request = request
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._response.iter_raw():
                self._is_over = _ends_stream(data)
                yield data
        except CerebrasConnectionError as error:
            raise _to_httpx2(error, self._request) from error

    def close(self) -> None:
        if self._is_over:  # so that the connection can serve the next call
            self._response.finish()
        self._response.close()


class Httpx2Transport(httpx2.BaseTransport):
    """Sends httpx2's requests on a transport of ours."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return when the answer's head has come."""
        try:
            response = self._transport.send(
                request.method,
                str(request.url),
                _request_headers(request),
                request.read(),
                _timeouts(request),
            )
        except CerebrasConnectionError as error:
            raise _to_httpx2(error, request) from error
        return httpx2.Response(
            response.status,
            headers=_response_headers(response.headers),
            stream=_SyncStream(response, request),
            request=request,
        )


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, response: AsyncResponse, request: httpx2.Request) -> None:
        self._response = response
        self._request = request
        self._is_over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._response.iter_raw():
                self._is_over = _ends_stream(data)
                yield data
        except CerebrasConnectionError as error:
            raise _to_httpx2(error, self._request) from error

    async def aclose(self) -> None:
        if self._is_over:
            await self._response.finish()
        await self._response.aclose()


class AsyncHttpx2Transport(httpx2.AsyncBaseTransport):
    """Sends httpx2's requests on a transport of ours."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return when the answer's head has come."""
        try:
            response = await self._transport.send(
                request.method,
                str(request.url),
                _request_headers(request),
                await request.aread(),
                _timeouts(request),
            )
        except CerebrasConnectionError as error:
            raise _to_httpx2(error, request) from error
        return httpx2.Response(
            response.status,
            headers=_response_headers(response.headers),
            stream=_AsyncStream(response, request),
            request=request,
        )


def openai_http_client(transport: SyncTransport) -> httpx2.Client:
    """Return a client for `openai.OpenAI(http_client=...)`; it owns no connection."""
    return httpx2.Client(transport=Httpx2Transport(transport), trust_env=False)


def async_openai_http_client(transport: AsyncTransport) -> httpx2.AsyncClient:
    """Return a client for `openai.AsyncOpenAI(http_client=...)`."""
    return httpx2.AsyncClient(
        transport=AsyncHttpx2Transport(transport), trust_env=False
    )
