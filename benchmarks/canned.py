"""What the server would answer, without one: neither sockets nor waiting."""

from __future__ import annotations

from benchmarks.server import events, plain


class Canned:
    """An answer, plain and as a stream.

    Args:
        kind: As in the server's paths.
        count: How many events with content a stream has.

    Attributes:
        head: The headers of a plain answer, by pairs.
        body: Its body.
        stream_head: The headers of a stream.
        chunks: Its events, each to be read by itself.
    """

    def __init__(self, kind: str, count: int) -> None:
        head, self.body = plain(kind, count).split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")[1:]
        self.head = [_pair(line) for line in lines]
        of_body = {b"content-type", b"content-length"}
        self.stream_head = [
            *(pair for pair in self.head if pair[0] not in of_body),
            (b"content-type", b"text/event-stream; charset=utf-8"),
        ]
        self.chunks = [_unframed(chunk) for chunk in events(kind, count)[:-1]]


def asks_for_stream(body: bytes) -> bool:
    """Whether a request wants its answer as a stream."""
    return b'"stream":true' in body.replace(b" ", b"")


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b": ")
    return name, value


def _unframed(chunk: bytes) -> bytes:
    """Return what is in an HTTP chunk."""
    return chunk.split(b"\r\n", 1)[1][:-2]
