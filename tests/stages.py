"""Brings a call to a stage of its life and holds it there, and sees whether it goes.

The stages are `connect` (a server that does not accept), `tls` (one that does not
answer the handshake), `headers` (a request without an answer), `body` (half an
answer), `backoff` (the wait between two tries) and `limiter` (our own rate limiter).
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from call_paths import answer, delta, refusal
from wire_server import Request, WireServer, chunk, head, stream_head

STAGES = ["connect", "tls", "headers", "body", "backoff", "limiter"]
ON_THE_WIRE = {"connect", "tls", "headers", "body"}
"""Where the server can see the client go."""

_SYN_SENT = "02"
_PATIENCE_S = 20.0  # the first prompt that is counted loads a tokenizer


def wait_for(is_so: Any, timeout_s: float = _PATIENCE_S) -> bool:
    """Whether something comes to be so within the time."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.005)
    return bool(is_so())


def is_dialling(port: int) -> bool:
    """Whether somebody tries to connect to a port of this machine."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    wanted = f":{port:04X}"
    return any(
        fields[2].endswith(wanted) and fields[3] == _SYN_SENT
        for fields in map(str.split, lines)
    )


def open_sockets() -> set[int]:
    """Return the inodes of this process's sockets."""
    found: set[int] = set()
    for name in Path("/dev/fd").iterdir():
        with suppress(OSError):
            status = os.fstat(int(name.name))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


class Stage:
    """A server that holds a call at a stage, and answers the next ones.

    Attributes:
        reached: The call is there; set by whoever knows.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = threading.Event()
        self.gone = threading.Event()
        self.held = 0
        self.port = 0
        self.wire: WireServer | None = None

    @property
    def url(self) -> str:
        """The address that holds a call."""
        return f"{'https' if self.name == 'tls' else 'http'}://127.0.0.1:{self.port}"

    def wait_reached(self) -> bool:
        """Whether the call comes to its stage."""
        if self.name == "connect":
            return wait_for(lambda: is_dialling(self.port))
        return self.reached.wait(_PATIENCE_S)

    def wait_gone(self) -> bool:
        """Whether the client lets go of its connection, at a stage that has one."""
        if self.name == "connect":
            return wait_for(lambda: not is_dialling(self.port))
        return self.name not in ON_THE_WIRE or self.gone.wait(_PATIENCE_S)

    def answer(self, request: Request) -> Iterator[bytes]:
        """Hold the first request."""
        self.held += 1
        if self.held > 1:
            yield from answer(request)
        elif self.name == "backoff":
            yield from refusal(503)
        else:
            if self.name == "body" and request.is_stream:
                yield stream_head()
                yield chunk(delta(content="He"))
            elif self.name == "body":
                yield head(200, {"content-length": "1000"}) + b'{"id": "chat'
            if self.name == "body":
                time.sleep(0.02)  # mostly, the client has read it then
            self.reached.set()
            if request.wait_gone(_PATIENCE_S):
                self.gone.set()


@contextmanager
def staged(name: str) -> Iterator[Stage]:
    """Start what holds a call at a stage."""
    stage = Stage(name)
    with ExitStack() as stack:
        if name == "connect":
            stage.port = stack.enter_context(_full_backlog())
        elif name == "tls":
            stage.port = stack.enter_context(_silent(stage))
        else:
            stage.wire = stack.enter_context(WireServer(stage.answer))
            stage.port = stage.wire.port
        yield stage


@contextmanager
def _full_backlog() -> Iterator[int]:
    """Listen, and have so many waiting that the next is not even noticed."""
    assert sys.platform == "linux", "other systems refuse instead of staying silent"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(2):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        select.select([], waiting[:1], [], 1)
        # The second is left waiting too; from now on only others dial.
        waiting[1].close()
        yield listener.getsockname()[1]


@contextmanager
def _silent(stage: Stage) -> Iterator[int]:
    """Take a connection and what comes, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(_PATIENCE_S)
                    while sock.recv(65536):
                        stage.reached.set()
                    stage.gone.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(_PATIENCE_S)
