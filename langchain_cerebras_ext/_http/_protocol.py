"""aiohttp's connections, held to one answer for each request.

Loaded with the first asynchronous call: it imports aiohttp.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from langchain_cerebras_ext._http._errors import Fault
from langchain_cerebras_ext._http._headers import check_framing

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.connector import Connection

__all__ = ["Connector"]

_HINTS = range(100, 200)
_SWITCHING = 101


class _Protocol(ResponseHandler):
    """A connection that takes nothing but the answers to its requests.

    aiohttp keeps what comes on an idle connection, and gives it to the next request as
    its answer: an error that a proxy sends before it closes, or an answer that is not
    ours. And it waits for ever once an informational answer (1xx) has come, or what
    cannot be read within a body.
    """

    _asked = False  # whether a request was ever sent
    _due = False  # whether the head of an answer is to come
    _spoiled = False  # whether more came than was asked for

    def set_response_params(self, **params: Any) -> None:
        """Note that a request goes out."""
        self._asked = self._due = True
        super().set_response_params(**params)

    def is_connected(self) -> bool:
        """Whether the connection may serve the next request."""
        return not self._spoiled and super().is_connected()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless nobody has asked for it."""
        payload = self._payload
        is_idle = self._asked and not self._due and (not payload or payload.is_eof())
        if data and is_idle:
            self._spoiled = True
            self.close()
            return
        super().data_received(data)
        fault = self._exception
        if fault is not None and payload is not None and not payload.is_eof():
            # The parser has given up within the body; whoever reads it is not told.
            payload.set_exception(fault)
        if self._due and self.transport is not None and fault is None:
            self.start_timeout()  # which the end of a hint has stopped

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer, if one is due."""
        if not self._due:
            self._spoiled = True
            self.force_close()
            return
        try:
            _check_head(data[0])
        except Fault as fault:
            self.set_exception(fault)
            return
        code = data[0].code
        self._due = code in _HINTS and code != _SWITCHING
        super().feed_data(data, size)


def _check_head(message: Any) -> None:
    """Refuse what aiohttp takes for an answer of HTTP/1, and http.client does not.

    Raises:
        Fault: It is none.
    """
    if message.version.major != 1 or message.code < _HINTS.start:
        raise Fault(kind="protocol", text="the answer is not one of HTTP/1")
    headers = message.headers
    check_framing(
        headers.getall("content-length", ()), headers.getall("transfer-encoding", ())
    )


class Connector(aiohttp.TCPConnector):
    """A pool of such connections.

    Args:
        note: Told whether a connection is being made, in the task that asked for it.
        **settings: Those of aiohttp.
    """

    def __init__(self, note: Callable[[bool], None], **settings: Any) -> None:
        super().__init__(**settings)
        factory = partial(_Protocol, loop=self._loop)
        self._factory = cast("partial[ResponseHandler]", factory)
        self._note = note

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Return a connection that is ready: TCP, proxy and TLS together."""
        self._note(True)
        connection = await super().connect(*args, **kwargs)
        self._note(False)
        return connection
