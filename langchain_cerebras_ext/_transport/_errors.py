"""From whatever went wrong on the way to an error of ours: the only such mapping."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from langchain_cerebras_ext._transport._http1 import Fault
from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasTimeoutError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext._transport._route import Route

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


class LimitError(Exception):
    """A time limit passed; never leaves the transport."""

    def __init__(self, kind: str, limit_s: float | None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.limit_s = limit_s


def connection_error(kind: str, text: str) -> CerebrasConnectionError:
    """Build an error from what happened; the cure follows from its kind."""
    return CerebrasConnectionError(f"{text}. {_CURES[kind]}", kind=kind)


def map_dial_error(error: Exception, route: Route) -> CerebrasConnectionError:
    """Say why no connection came about."""
    if isinstance(error, LimitError):
        return map_limit(error, route)
    kind, text = _classify_dial(error)
    if isinstance(error, ssl.SSLError) and _is_trust(error):
        kind = "tls"
    elif route.proxy is not None and kind in {"dns", "refused", "reset", "closed"}:
        kind = "proxy"
    if kind == "proxy" and route.proxy is not None:
        text = f"the proxy {route.proxy} is of no use ({text})"
    return connection_error(kind, f"No connection to {route}: {text}")


def _is_trust(error: ssl.SSLError) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)


def _classify_dial(error: Exception) -> tuple[str, str]:
    if isinstance(error, Fault):
        return error.kind, str(error)
    if isinstance(error, socket.gaierror):
        return "dns", f"the name cannot be resolved ({error.strerror or error})"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nobody listens there (connection refused)"
    return _classify(error)


def _classify(error: Exception) -> tuple[str, str]:
    if isinstance(error, Fault):
        return error.kind, str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        said = getattr(error, "verify_message", None) or error  # not when made by code
        return "tls", f"its certificate is not trusted ({said})"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed", "the connection ended (TLS)"
    if isinstance(error, ssl.SSLError):
        said = getattr(error, "reason", None) or error
        return "tls", f"TLS failed ({said})"
    if isinstance(error, ConnectionError):
        return "reset", f"the connection was reset ({error.strerror or error})"
    if isinstance(error, OSError):
        return "other", f"the network failed ({error.strerror or error})"
    return "other", f"{type(error).__name__}: {error}"


def map_error(error: Exception, route: Route) -> CerebrasConnectionError:
    """Say why a call failed on a connection that had come about."""
    if isinstance(error, LimitError):
        return map_limit(error, route)
    kind, text = _classify(error)
    return connection_error(kind, f"The call to {route} failed: {text}")


def map_limit(error: LimitError, route: Route) -> CerebrasTimeoutError:
    """Say which limit passed, and how to change it."""
    limit_s = error.limit_s
    shown = "" if limit_s is None else f" of {limit_s:g} s"
    happened, cure = {
        "connect": (
            f"No connection to {route} within the limit{shown}",
            "Check the network, or raise the timeout to connect.",
        ),
        "idle": (
            f"Nothing came from {route} within the limit{shown}",
            "Try again, or raise the timeout without a byte.",
        ),
        "total": (
            f"The call to {route} took longer than its limit{shown}",
            "Ask for fewer tokens, stream, or raise the timeout of the whole call.",
        ),
    }[error.kind]
    return CerebrasTimeoutError(
        f"{happened}. {cure}", kind=error.kind, timeout_s=limit_s
    )
