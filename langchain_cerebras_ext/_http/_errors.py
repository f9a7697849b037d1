"""From whatever went wrong on the way to an error of ours: the only such mapping.

urllib3, aiohttp and httpx each wrap the system's errors in their own; what happened is
read from the chain of causes, and only where that says nothing from the wrapper.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import zlib
from typing import TYPE_CHECKING

from langchain_cerebras_ext._http._limits import LimitError
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext._http._route import Route

__all__ = [
    "ERROR_STATUS",
    "PROXY_REFUSES",
    "Fault",
    "causes",
    "closed_while_read",
    "connection_error",
    "is_system_timeout",
    "map_error",
    "map_limit",
    "refused_by_proxy",
    "shown_cause",
    "too_long",
]

_CURES = {
    "dns": "Check CEREBRAS_BASE_URL (or base_url=...), the network and its DNS.",
    "refused": "Check CEREBRAS_BASE_URL (or base_url=...), and that the server runs.",
    "tls": (
        "If a company proxy or a server of your own uses its own authority, name its "
        "certificate in SSL_CERT_FILE; check the clock too."
    ),
    "proxy": (
        "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; NO_PROXY names hosts to be "
        "reached without it."
    ),
    "reset": "Try again; if it stays, look for a proxy or firewall on the way.",
    "closed": "Try again; if it stays, look for a proxy or firewall on the way.",
    "protocol": "Check that CEREBRAS_BASE_URL (or base_url=...) leads to the API.",
    "other": "Check the network.",
}
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")
_ENDED = ("closed", "disconnect", "prematurely")
_WANTS_LOGIN = "the proxy answered 407: it wants another name and password"
_IDLE_CURE = (
    "Try again, or raise timeout; in a stream timeout={'first_byte': ...} before its "
    "first byte, stream_chunk_timeout after it."
)
_UNREACHED = {"dns", "refused", "reset", "closed", "protocol", "other"}


PROXY_REFUSES = 407
"""The status by which a proxy wants a name and password."""

ERROR_STATUS = 400
"""From here on a status says that there is no answer."""


class Fault(Exception):  # noqa: N818
    """The peer broke the protocol, or went away; never leaves the transport.

    Attributes:
        kind: As in `CerebrasConnectionError`.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def connection_error(kind: str, text: str) -> CerebrasConnectionError:
    """Build an error from what happened; the cure follows from its kind."""
    return CerebrasConnectionError(f"{text}. {_CURES[kind]}", kind=kind)


def closed_while_read(route: Route) -> CerebrasConnectionError:
    """Say that whoever reads has closed the answer before."""
    return connection_error("closed", f"The answer from {route} was closed while read")


def refused_by_proxy(route: Route) -> CerebrasConnectionError:
    """Say that an answer is the proxy's (407), not the server's."""
    text = f"No connection to {route}: {_WANTS_LOGIN}"
    return connection_error("proxy", text)


def too_long(limit: int) -> CerebrasConnectionError:
    """Say that an answer is longer than the bound."""
    return connection_error("protocol", f"The answer is longer than {limit} bytes")


def shown_cause(error: Exception, found: CerebrasConnectionError) -> Exception:
    """Return what to show as the cause of an error, in tracebacks too.

    The engines' errors about what is no HTTP repeat it, and a server that answers with
    such may well answer with what it was sent, the key among it.
    """
    repeats = found.kind == "protocol" or type(error).__name__ == _DISCONNECTED
    if not repeats or isinstance(error, Fault):
        return error
    return Fault(kind=found.kind, text=type(error).__name__)


def is_system_timeout(error: Exception) -> bool:
    """Whether a wait of ours ended, not one of the peer's that it tells us of."""
    return any(
        isinstance(cause, TimeoutError) and not cause.errno for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, down to the system's own."""
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        found = pending.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            pending += found.exceptions
        inner = [arg for arg in found.args if isinstance(arg, BaseException)]
        system = getattr(found, "os_error", None)  # aiohttp's connector errors
        # Not the context: that may be an error of the caller's, being handled.
        for cause in (found.__cause__, system, *inner):
            if isinstance(cause, BaseException):
                pending.append(cause)


def map_error(
    error: Exception, route: Route, *, connecting: bool = False
) -> CerebrasConnectionError:
    """Say why a call failed, in our terms.

    Args:
        error: What the engine raised.
        route: Where the call went, for the text.
        connecting: Whether no connection had come about yet.
    """
    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, LimitError):
            return map_limit(cause, route)
    kind, text = _classify(chain)
    names = {type(cause).__name__ for cause in chain}
    wrapped = names & {"ProxyError", "ClientProxyConnectionError"}
    unreached = route.proxy is not None and connecting and kind in _UNREACHED
    by_proxy = kind == "proxy" or bool(wrapped) or unreached
    if by_proxy and kind != "tls":
        if "proxy" not in text:
            text = f"the proxy is of no use ({text})"
        return connection_error("proxy", f"No connection to {route}: {text}")
    before = connecting or kind in {"dns", "refused"}
    start = f"No connection to {route}" if before else f"The call to {route} failed"
    return connection_error(kind, f"{start}: {text}")


def _classify(chain: list[BaseException]) -> tuple[str, str]:
    for classify in (
        _classify_tunnel,
        _classify_garbled,
        _classify_system,
        _classify_wrapper,
        _classify_rest,
    ):
        for cause in chain:
            found = classify(cause)
            if found is not None:
                return found
    error = chain[0]
    return "other", f"{type(error).__name__}: {error}"


def _classify_tunnel(error: BaseException) -> tuple[str, str] | None:
    """Read what a proxy answered to CONNECT."""
    status: object = None
    if type(error).__name__ == "ClientHttpProxyError":
        status = getattr(error, "status", None)
    elif isinstance(error, OSError):
        found = _TUNNEL.match(str(error))
        status = found and found[1]
    if not status:
        return None
    if str(status) == "407":
        return "proxy", _WANTS_LOGIN
    return "proxy", f"the proxy answered {status} to CONNECT"


def _classify_garbled(error: BaseException) -> tuple[str, str] | None:
    """Read what is no HTTP; some of it looks like an end of the connection."""
    name = type(error).__name__
    if name in _GARBLED:
        return "protocol", f"the answer is not HTTP as it should be ({name})"
    return None


def _classify_system(error: BaseException) -> tuple[str, str] | None:
    """Read one link of the chain, if it is the system's or Python's own."""
    if type(error).__module__.startswith("aiohttp"):
        return None  # some are made to look like the system's, and hold less
    if isinstance(error, Fault):
        return error.kind, str(error)
    if isinstance(error, socket.gaierror):
        return "dns", f"the name cannot be resolved ({error.strerror or error})"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nobody listens there (connection refused)"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or error
        return "tls", f"its certificate is not trusted ({why})"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed", "the connection ended (TLS)"
    if isinstance(error, ssl.SSLError):
        return "tls", f"TLS failed ({getattr(error, 'reason', '') or error})"
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "closed", _cut("before the answer's end")
    if isinstance(error, ConnectionError):
        why = error.strerror or str(error)
        return "reset", "the connection was reset" + (f" ({why})" if why else "")
    if isinstance(error, (http.client.HTTPException, zlib.error)):
        # By name: its text may hold what the server sent, the key among it.
        name = type(error).__name__
        return "protocol", f"the answer is not HTTP as it should be ({name})"
    return None


_DISCONNECTED = "ServerDisconnectedError"
_GARBLED = {
    # http.client and aiohttp
    "BadStatusLine",
    "LineTooLong",
    # urllib3
    "InvalidChunkLength",
    "DecodeError",
    # aiohttp
    "BadHttpMessage",
    "ContentEncodingError",
    "InvalidHeader",
    # httpx
    "DecodingError",
    "LocalProtocolError",
    "UnsupportedProtocol",
}
_BY_NAME = {
    # urllib3
    "ProtocolError": "protocol",
    # aiohttp
    _DISCONNECTED: "closed",
    "ClientPayloadError": "closed",
    "ClientOSError": "reset",
    "ClientConnectionResetError": "reset",
    "ClientResponseError": "protocol",
    # httpx
    "RemoteProtocolError": "protocol",
    "ReadError": "reset",
    "WriteError": "reset",
    "CloseError": "reset",
    "ProxyError": "proxy",
}


def _classify_wrapper(error: BaseException) -> tuple[str, str] | None:
    """Read what an engine made of an end, where Python has no error of its own."""
    name = type(error).__name__
    kind = _BY_NAME.get(name)
    if kind is None:
        return None
    text = str(error) or name
    if name == _DISCONNECTED:
        # aiohttp gives the head, as far as it came, instead of a text.
        nothing = isinstance(getattr(error, "message", None), str)
        return kind, _cut("without an answer" if nothing else "inside the headers")
    if "ConnectionReset" in text:
        return "reset", "the connection was reset"
    if kind == "closed" or any(word in text for word in _ENDED):
        return "closed", _cut("before the answer's end")
    return kind, text


def _classify_rest(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, OSError):
        return "other", f"the network failed ({error.strerror or error})"
    return None


def _cut(where: str) -> str:
    return f"the server closed the connection {where}"


def map_limit(error: LimitError, route: Route) -> CerebrasTimeoutError:
    """Say which limit passed, and how to change it."""
    limit_s = error.limit_s
    shown = "" if limit_s is None else f" of {limit_s:g} s"
    happened, cure = {
        "connect": (
            f"No connection to {route} within the limit{shown}",
            "Check the network, or raise connect_timeout.",
        ),
        "idle": (
            f"Nothing came from {route} within the limit{shown}",
            _IDLE_CURE,
        ),
        "total": (
            f"The call to {route} took longer than its limit{shown}",
            "Ask for fewer tokens, stream, or raise timeout or total_timeout.",
        ),
    }[error.kind]
    return CerebrasTimeoutError(
        f"{happened}. {cure}", kind=error.kind, timeout_s=limit_s
    )
