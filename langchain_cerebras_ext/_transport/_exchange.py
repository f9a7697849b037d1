"""What sync and async calls share: the request's bytes, limits, when to resend."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._transport._errors import LimitError
from langchain_cerebras_ext._transport._http1 import (
    Fault,
    HeaderError,
    ResponseParser,
    encode_headers,
)
from langchain_cerebras_ext._transport._route import as_lower
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext._transport._options import Timeouts
    from langchain_cerebras_ext._transport._route import Address, Target

READ_BYTES = 64 * 1024
"""How much one network read takes at most."""

_INFINITE = float("inf")
_CLOCK_SLACK_S = 0.01  # a wait may end a little before its time
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def encode_request(
    method: str, target: Target, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    """Return a request's bytes.

    `Host`, `Content-Length` and `Accept-Encoding: identity` are added where the caller
    did not set them: compressing a stream of small events only delays them.

    Raises:
        CerebrasConfigurationError: A header cannot be sent.
    """
    try:
        lines = encode_headers(headers)
    except HeaderError as error:
        msg = f"{error} Check default_headers."
        raise CerebrasConfigurationError(msg) from None
    given = as_lower(headers)
    if "accept-encoding" not in given:
        lines += "Accept-Encoding: identity\r\n"
    if (body is not None or method in _WITH_BODY) and "content-length" not in given:
        lines += f"Content-Length: {len(body or b'')}\r\n"
    own = "" if "host" in given else target.head
    head = f"{method} {target.target} HTTP/1.1\r\n{own}{lines}\r\n".encode("latin-1")
    return head + body if body else head


class Limits:
    """The time limits of one call, as times on a monotonic clock.

    Attributes:
        idle_s: How long to wait for the next byte.
        deadline: When the call must have ended.
    """

    __slots__ = ("_timeouts", "connect_s", "deadline", "idle_s")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        total_s = timeouts.total_s
        self._timeouts = timeouts
        self.connect_s = timeouts.connect_s
        self.deadline = _INFINITE if total_s is None else now + total_s
        until_body_s = timeouts.until_body_s
        self.idle_s = _INFINITE if until_body_s is None else until_body_s

    def body_started(self) -> None:
        """Go from the limit before the body to that within it."""
        read_s = self._timeouts.read_s
        self.idle_s = _INFINITE if read_s is None else read_s

    def until(self, now: float) -> float:
        """Return when the next byte is due.

        Raises:
            LimitError: The whole call's time is over.
        """
        if now >= self.deadline:
            raise LimitError(kind="total", limit_s=self._timeouts.total_s)
        return min(now + self.idle_s, self.deadline)

    def connect_until(self, now: float) -> float:
        """Return when the connection is due."""
        if self.connect_s is None:
            return self.deadline
        return min(now + self.connect_s, self.deadline)

    def passed(self, now: float) -> LimitError:
        """Say which limit a wait ran into."""
        if now >= self.deadline - _CLOCK_SLACK_S:
            return LimitError("total", self._timeouts.total_s)
        return LimitError("idle", self.idle_s)

    def connect_passed(self, now: float) -> LimitError:
        """Say which limit connecting ran into."""
        if now >= self.deadline - _CLOCK_SLACK_S:
            return LimitError("total", self._timeouts.total_s)
        return LimitError("connect", self.connect_s)


def may_resend(error: Exception, parser: ResponseParser, *, reused: bool) -> bool:
    """Return whether a request may be sent once more, on a fresh connection.

    Only where a kept connection turned out to be closed before one byte of the answer
    came: servers close idle connections at will, and one cannot see it in time. In
    theory the server could have worked on the request before it closed; RFC 9112, 9.3.1
    leaves that to the client. A server that fails while it works does so as well on
    fresh connections, and there nothing is sent twice. A time limit never counts.
    """
    return (
        reused
        and not parser.started
        and isinstance(error, (ConnectionError, Fault, ssl.SSLError))
    )


def resolve_literal(address: Address) -> list[Any]:
    """Return what to connect to for a literal address, without asking anybody.

    Raises:
        socket.gaierror: It is a name.
    """
    return socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_NUMERICHOST,
    )


def check_connect(parser: ResponseParser) -> None:
    """Check a proxy's answer to `CONNECT`.

    Raises:
        Fault: The proxy refuses, or talks where it should be silent.
    """
    status = parser.status
    if status == 407:  # noqa: PLR2004
        text = "it wants a name and password: put them into its URL"
        raise Fault(kind="proxy", text=f"407, {text}")
    if not 200 <= status < 300:  # noqa: PLR2004
        raise Fault(kind="proxy", text=f"it answered {status} to CONNECT")
    if parser.excess:
        raise Fault(kind="proxy", text="it sent data of its own into the tunnel")
