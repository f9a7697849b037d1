"""The same face on a user's own `http_client`, of httpx or httpx2.

Neither library is imported: the client that was handed in knows its own, and its
errors are told by their names, which are the same in both families.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from langchain_cerebras_ext._http._errors import ERROR_STATUS, map_error, too_long
from langchain_cerebras_ext._http._limits import INFINITE, LimitError, Limits
from langchain_cerebras_ext._http._options import (
    ERROR_WITHIN_S,
    MAX_ERROR_BYTES,
    TransportOptions,
)
from langchain_cerebras_ext._http._route import Environment, Router
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from langchain_cerebras_ext._http._options import Timeouts
    from langchain_cerebras_ext._http._route import Route

_FAMILIES = frozenset({"httpx", "httpx2"})


def _family_names(cls: type) -> frozenset[str]:
    """Return the names of a class's ancestors that httpx or httpx2 define."""
    return frozenset(
        base.__name__
        for base in cls.__mro__
        if base.__module__.partition(".")[0] in _FAMILIES
    )


def _require(client: object, name: str) -> None:
    if name not in _family_names(type(client)):
        msg = (
            f"http_client is a {type(client).__name__}, not a {name} of httpx or "
            f"httpx2, as {'asynchronous' if 'Async' in name else 'synchronous'} calls "
            "need."
        )
        raise CerebrasConfigurationError(msg)


def _map(error: Exception, route: Route, limits: Limits) -> CerebrasConnectionError:
    """Say in our terms what a user's client raised."""
    names = _family_names(type(error))
    if "TimeoutException" in names or isinstance(error, TimeoutError):
        now = monotonic()
        is_dial = names & {"ConnectTimeout", "PoolTimeout"}
        limit = limits.connect_passed(now) if is_dial else limits.passed(now)
        return map_error(limit, route)
    return map_error(error, route, connecting="ConnectError" in names)


def _is_ours_to_map(error: Exception) -> bool:
    """Whether an error is the network's; a mock's own errors pass untouched."""
    return not isinstance(error, CerebrasError) and (
        isinstance(error, (OSError, LimitError))
        or bool(_family_names(type(error)) & {"HTTPError", "StreamError", "InvalidURL"})
    )


class _Calls:
    """What both kinds of client share: the route for messages, the request."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._router = Router(TransportOptions(trust_env=False), Environment())

    def start(self, url: str, timeouts: Timeouts) -> tuple[Route, Limits]:
        return self._router.find(url), Limits(timeouts, monotonic())

    def build(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
    ) -> Any:
        read_s = min(timeouts.until_body_s or INFINITE, timeouts.total_s or INFINITE)
        limit = None if read_s == INFINITE else read_s
        if "accept-encoding" not in map(str.lower, headers):
            headers = {**headers, "Accept-Encoding": "identity"}
        return self.client.build_request(
            method,
            url,
            headers=dict(headers),
            content=body,
            timeout=(timeouts.connect_s, limit, limit, timeouts.connect_s),
        )


class HttpxResponse:
    """An answer of a user's synchronous client."""

    def __init__(
        self, response: Any, route: Route, limits: Limits, max_bytes: int
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers.items())
        self._response = response
        self._route = route
        self._limits = limits
        self._max_bytes = max_bytes

    def read(self) -> bytes:
        """Return the whole body; of one with an error status what comes, as below."""
        if self.status >= ERROR_STATUS:
            return self.read_what_comes()
        pieces: list[bytes] = []
        size = 0
        for piece in self.iter_raw():
            pieces.append(piece)
            size += len(piece)
            _check_size(size, self._max_bytes)
        return b"".join(pieces)

    def read_what_comes(
        self, *, within_s: float = ERROR_WITHIN_S, max_bytes: int = MAX_ERROR_BYTES
    ) -> bytes:
        """Return as much of the body as comes; never raises for what does not."""
        self._limits.deadline = min(self._limits.deadline, monotonic() + within_s)
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in self.iter_raw():
                pieces.append(piece)
                size += len(piece)
                if size >= max_bytes:
                    break
        except CerebrasConnectionError:
            pass
        finally:
            self.close()
        return b"".join(pieces)[:max_bytes]

    def iter_raw(self) -> Iterator[bytes]:
        """Yield the body, decoded, as the client hands it on."""
        parts = self._response.iter_bytes()
        try:
            while True:
                try:
                    self._limits.wait_s(monotonic())
                    data = next(parts, None)
                except Exception as error:
                    if not _is_ours_to_map(error):
                        raise
                    raise _map(error, self._route, self._limits) from error
                if data is None:
                    return
                if data:
                    yield data
        finally:
            self.close()

    def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced; the client does what it can."""
        del grace_s
        self.close()

    def close(self) -> None:
        """Let go of the connection; may be called twice."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<HttpxResponse {self.status} from {self._route}>"


class HttpxTransport:
    """Sends by a user's `httpx.Client` or `httpx2.Client`, which stays the user's.

    The time limit of the whole call is looked at between the parts of an answer: a
    blocking client cannot be interrupted while it waits for the next one, so that a
    call may run on by one read.
    """

    def __init__(
        self, client: Any, *, max_body_bytes: int = TransportOptions().max_body_bytes
    ) -> None:
        _require(client, "Client")
        self._calls = _Calls(client)
        self._max_bytes = max_body_bytes

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
        *,
        resent: object = None,  # noqa: ARG002 - the other transports' signature
    ) -> HttpxResponse:
        """Send a request, once, and return when the answer's head has come.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
        """
        route, limits = self._calls.start(url, timeouts)
        try:
            request = self._calls.build(method, url, headers, body, timeouts)
            response = self._calls.client.send(
                request, stream=True, follow_redirects=False
            )
        except Exception as error:
            if not _is_ours_to_map(error):
                raise
            raise _map(error, route, limits) from error
        return HttpxResponse(response, route, limits, self._max_bytes)

    def close(self) -> None:
        """Do nothing: the client is the user's to close."""


class AsyncHttpxResponse:
    """An answer of a user's asynchronous client."""

    def __init__(
        self, response: Any, route: Route, limits: Limits, max_bytes: int
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers.items())
        self._response = response
        self._route = route
        self._limits = limits
        self._max_bytes = max_bytes

    async def read(self) -> bytes:
        """Return the whole body; of one with an error status what comes, as below."""
        if self.status >= ERROR_STATUS:
            return await self.read_what_comes()
        pieces: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.iter_raw()) as parts:
            async for piece in parts:
                pieces.append(piece)
                size += len(piece)
                _check_size(size, self._max_bytes)
        return b"".join(pieces)

    async def read_what_comes(
        self, *, within_s: float = ERROR_WITHIN_S, max_bytes: int = MAX_ERROR_BYTES
    ) -> bytes:
        """Return as much of the body as comes; never raises for what does not."""
        self._limits.deadline = min(self._limits.deadline, monotonic() + within_s)
        pieces: list[bytes] = []
        size = 0
        try:
            async with contextlib.aclosing(self.iter_raw()) as parts:
                async for piece in parts:
                    pieces.append(piece)
                    size += len(piece)
                    if size >= max_bytes:
                        break
        except CerebrasConnectionError:
            pass
        finally:
            await self.aclose()
        return b"".join(pieces)[:max_bytes]

    async def iter_raw(self) -> AsyncGenerator[bytes]:
        """Yield the body, decoded, as the client hands it on."""
        parts = self._response.aiter_bytes()
        try:
            while True:
                try:
                    async with _total(self._limits):
                        data = await anext(parts, None)
                except Exception as error:
                    if not _is_ours_to_map(error):
                        raise
                    raise _map(error, self._route, self._limits) from error
                if data is None:
                    return
                if data:
                    yield data
        finally:
            await self.aclose()

    async def finish(self, grace_s: float = 0.05) -> None:
        """Let go of a stream whose end was announced; the client does what it can."""
        del grace_s
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection; may be called twice."""
        await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncHttpxResponse {self.status} from {self._route}>"


class AsyncHttpxTransport:
    """Sends by a user's `httpx.AsyncClient` or `httpx2.AsyncClient`."""

    def __init__(
        self, client: Any, *, max_body_bytes: int = TransportOptions().max_body_bytes
    ) -> None:
        _require(client, "AsyncClient")
        self._calls = _Calls(client)
        self._max_bytes = max_body_bytes

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
        *,
        resent: object = None,  # noqa: ARG002 - the other transports' signature
    ) -> AsyncHttpxResponse:
        """Send a request, once, and return when the answer's head has come.

        Raises:
            CerebrasConnectionError: No answer came; `kind` says why.
            CerebrasTimeoutError: None came in time.
        """
        route, limits = self._calls.start(url, timeouts)
        try:
            request = self._calls.build(method, url, headers, body, timeouts)
            async with _total(limits):
                response = await self._calls.client.send(
                    request, stream=True, follow_redirects=False
                )
        except Exception as error:
            if not _is_ours_to_map(error):
                raise
            raise _map(error, route, limits) from error
        return AsyncHttpxResponse(response, route, limits, self._max_bytes)

    async def aclose(self) -> None:
        """Do nothing: the client is the user's to close."""


def _total(limits: Limits) -> asyncio.Timeout:
    """Return a context that ends with the whole call's time."""
    if limits.deadline == INFINITE:
        return asyncio.timeout(None)
    return asyncio.timeout(max(0.0, limits.deadline - monotonic()))


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise too_long(limit)
