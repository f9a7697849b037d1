"""A raw HTTP/1.1 client: what bytes arrive, and how the connection ends."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Self

MODEL = "gpt-oss-120b"
CHAT = "/v1/chat/completions"


@dataclass
class Arrived:
    """What came back.

    Attributes:
        raw: All bytes.
        ending: `kept` after a complete answer on an open connection, `fin`, `reset`,
            or `stalled` if nothing more came for a while.
        head: Status line and headers, complete or not.
        body: The body, unframed, as far as it came.
        trailers: What came behind the last chunk.
        chunks: The body as it was framed.
    """

    raw: bytes
    ending: str
    head: bytes = b""
    body: bytes = b""
    complete: bool = False
    trailers: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    size_lines: list[bytes] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        found = re.match(rb"HTTP/1\.[01] (\d{3}) ", self.head)
        return int(found[1]) if found and self.head.endswith(b"\r\n\r\n") else None

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self) -> list[bytes]:
        return [one for one in self.body.split(b"\n\n") if one]


def _parse(arrived: Arrived) -> Arrived:
    """Take apart as much as there is."""
    rest = arrived.raw
    while True:
        head, gap, after = rest.partition(b"\r\n\r\n")
        arrived.head = head + gap
        if not gap or arrived.status not in (100, 103):
            break
        rest = after
    if not gap or arrived.status is None:
        return arrived
    headers = arrived.headers
    if headers.get("transfer-encoding", "").lower() != "chunked":
        arrived.body = after
        arrived.complete = len(after) == int(headers.get("content-length", -1))
        return arrived
    while b"\r\n" in after:
        line, _, after = after.partition(b"\r\n")
        arrived.size_lines.append(line)
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            arrived.trailers, end, _ = (b"\r\n" + after).partition(b"\r\n\r\n")
            arrived.complete = bool(end)
            break
        arrived.chunks.append(after[:size])
        after = after[size + 2 :]
    arrived.body = b"".join(arrived.chunks)
    return arrived


class RawClient:
    """One connection."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(
        self,
        *,
        path: str = CHAT,
        method: str = "POST",
        version: str = "1.1",
        headers: str = "",
        **body,
    ) -> None:
        raw = b""
        if method == "POST":
            if "prompt" not in body:
                body.setdefault("messages", [{"role": "user", "content": "Say 'hi'"}])
            raw = json.dumps({"model": MODEL, **body}).encode()
        head = (
            f"{method} {path} HTTP/{version}\r\nhost: x\r\n{headers}"
            f"content-length: {len(raw)}\r\n\r\n"
        )
        self.sock.sendall(head.encode() + raw)

    def receive(self, *, quiet_s: float | None = None) -> Arrived:
        """Read until the answer is complete or the connection ends.

        Args:
            quiet_s: Take it for a stall when nothing comes for so long.
        """
        raw = b""
        if quiet_s is not None:
            self.sock.settimeout(quiet_s)
        try:
            while True:
                part = self.sock.recv(65_536)
                if not part:
                    return _parse(Arrived(raw, "fin"))
                raw += part
                arrived = _parse(Arrived(raw, "kept"))
                if arrived.complete:
                    return arrived
        except TimeoutError:
            assert quiet_s is not None, f"nothing more came behind {raw!r}"
            return _parse(Arrived(raw, "stalled"))
        except ConnectionResetError:
            return _parse(Arrived(raw, "reset"))
        finally:
            self.sock.settimeout(self._timeout_s)

    def ask(self, *, quiet_s: float | None = None, **request) -> Arrived:
        self.send(**request)
        return self.receive(quiet_s=quiet_s)


def ask(sim, *, quiet_s: float | None = None, **request) -> Arrived:
    """Ask on a connection of its own."""
    with RawClient(sim.port) as client:
        return client.ask(quiet_s=quiet_s, **request)


def eventually(condition, seconds: float = 10.0):
    """Return what becomes true, as soon as it does."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return found
