"""A client that sees each byte: HTTP/1.1 on a bare socket."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Self

from proxy_server import CLIENT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy_server import Proxy

CHAT = "/v1/chat/completions"
_PATIENCE_S = 30.0


def question(*, stream: bool = False, **more: Any) -> dict[str, Any]:
    """Return the body of a request."""
    messages = [{"role": "user", "content": "Hi."}]
    return {
        "model": "gpt-oss-120b",
        "messages": messages,
        **({"stream": True} if stream else {}),
        **more,
    }


class RawAnswer:
    """An answer as it came.

    Attributes:
        status: Its status.
        headers: By lower-case name; the last of a name counts.
        all_headers: All of them, in their order.
        body: What came of the body, with the chunks' frames taken off.
        is_whole: Whether it ended as its framing says.
        parts: The chunks.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.all_headers: list[tuple[str, str]] = []
        self.body = b""
        self.is_whole = False
        self.parts: list[bytes] = []

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The data of the events; `[DONE]` as text."""
        return [
            text if text == "[DONE]" else json.loads(text)
            for event in self.body.decode().split("\n\n")
            for line in event.splitlines()
            if line.startswith("data:") and (text := line[5:].strip())
        ]


class RawClient:
    """One connection to a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        port = int(proxy.url.rsplit(":", 1)[1])
        self.sock = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
        self._lines = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave, whatever is still to come."""
        self._lines.close()
        self.sock.close()

    def send(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = CHAT,
        headers: Iterable[tuple[str, str]] = (),
        key: str | None = CLIENT_KEY,
    ) -> None:
        """Send a request; a body that is not bytes is sent as JSON."""
        data = b""
        lines = [f"{method} {path} HTTP/1.1", "host: proxy.test"]
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines += [f"content-length: {len(data)}"]
            if not any(name == "content-type" for name, _ in headers):
                lines += ["content-type: application/json"]
        if key is not None:
            lines += [f"authorization: Bearer {key}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + data)

    def head(self) -> RawAnswer:
        """Return an answer whose body is still to be read."""
        answer = RawAnswer()
        first = self._lines.readline().split()
        if not first:
            return answer
        answer.status = int(first[1])
        while (line := self._lines.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            answer.all_headers.append((name.strip().lower(), value.strip()))
        answer.headers = dict(answer.all_headers)
        return answer

    def part(self, answer: RawAnswer) -> bytes:
        """Return the next chunk; empty at the end."""
        size = self._lines.readline().strip()
        if not size:
            return b""
        data = self._lines.read(int(size, 16))
        answer.parts.append(data)
        answer.body += data
        if self._lines.readline() == b"\r\n" and not data:
            answer.is_whole = True
        return data

    def rest(self, answer: RawAnswer, *, has_body: bool = True) -> RawAnswer:
        """Return the answer with what is left of it."""
        if not has_body:
            answer.is_whole = True
        elif answer.headers.get("transfer-encoding") == "chunked":
            while self.part(answer):
                pass
        else:
            size = int(answer.headers.get("content-length", 0))
            answer.body = self._lines.read(size)
            answer.is_whole = len(answer.body) == size
        return answer

    def ask(self, body: Any = None, **settings: Any) -> RawAnswer:
        """Send a request, and return the whole answer."""
        self.send(body, **settings)
        has_body = settings.get("method") != "HEAD"
        return self.rest(self.head(), has_body=has_body)


def ask(proxy: Proxy, body: Any = None, **settings: Any) -> RawAnswer:
    """Ask once, on a connection of its own."""
    with RawClient(proxy) as client:
        return client.ask(body, **settings)
