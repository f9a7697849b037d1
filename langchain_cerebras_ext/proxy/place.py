"""Where the proxy listens."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = ["address", "listen"]

_BACKLOG: Final = 2048


def listen(host: str, port: int, *, named: str = "PORT") -> socket.socket:
    """Return a listening socket.

    Args:
        host: A name or an address of this machine; `::` is all of both kinds.
        port: 0 takes a free one.
        named: The setting of the port, for messages.

    Raises:
        CerebrasConfigurationError: The place is taken, or is not of this machine.
    """
    name = host.strip("[]")
    try:
        family, _, _, _, place = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        msg = f"HOST={host!r} is no address of this machine: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
    is_any = name == "::" and socket.has_dualstack_ipv6()
    try:
        sock = socket.create_server(
            place[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=is_any
        )
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            msg = f"HOST={host!r} is no address of this machine."
            raise CerebrasConfigurationError(msg) from error
        reason = os.strerror(error.errno) if error.errno else error
        msg = (
            f"The proxy cannot listen at {host}:{port}: {reason}. Set {named} to "
            "another port, or to 0 for any free one."
        )
        raise CerebrasConfigurationError(msg) from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol;
    # without it an answer in two parts can wait 40 ms for an acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.set_inheritable(True)
    return sock


def address(sock: socket.socket) -> str:
    """Return a socket's address as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
