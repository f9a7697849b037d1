"""From a host's name to a connected socket, within a time limit for all of it.

urllib3 gives each address of a name the whole limit, and its resolver none.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_cerebras_ext._http._limits import Limits

__all__ = ["dial"]

_Socket = TypeVar("_Socket", bound=socket.socket)
_Found = list[tuple[Any, Any, int, str, tuple[Any, ...]]]


def dial(
    host: str,
    port: int,
    limits: Limits,
    make: Callable[[int, int, int], _Socket],
    options: Iterable[tuple[int, int, int]],
) -> _Socket:
    """Connect to the first address of a host that answers.

    Raises:
        OSError: No address answers.
        LimitError: None answered in time.
    """
    addresses = _resolve(host, port, limits)
    last: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        wait_s = limits.wait_s(monotonic())
        sock = make(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            # An address that is silent leaves time for those after it.
            sock.settimeout(wait_s and wait_s / (len(addresses) - number))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(last, TimeoutError) and not last.errno:
        raise limits.passed(monotonic()) from last
    raise last or OSError("the name has no address")


def _resolve(host: str, port: int, limits: Limits) -> _Found:
    """Look a name up, in a thread: the system's resolver knows no time limit."""
    kind = socket.SOCK_STREAM
    try:
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name, not an address
    found: Future[_Found] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=kind))
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            found.set_exception(error)

    wait_s = limits.wait_s(monotonic())
    threading.Thread(target=look_up, daemon=True, name="cerebras-dns").start()
    try:
        return found.result(wait_s)
    except TimeoutError as error:
        raise limits.passed(monotonic()) from error
