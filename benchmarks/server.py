"""A server that costs next to nothing, so that the clients are what is measured.

Every answer is encoded once and sent as it is. What to send stands in the path of the
base URL: `/PACE/KIND/EVENTS`, before the `/v1/...` that a client adds.

- PACE: `each` gives each event a write of its own, as fast as the sockets take it, a
  few events of each stream in turn; `burst` writes a stream at once; `paced` sends
  2,000 a second, `fast` 3,000, and `slow` one a minute.
- KIND: `text`, `tool` (one call, its arguments in fragments), `json` (a text that is
  a JSON object) or `clock` (each text tells when it was sent).
- EVENTS: how many events with content a stream has.

Each event is an HTTP chunk of its own, as the service sends it.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
import socket
import sys
import time
from functools import cache

EVENTS_PER_S = {b"paced": 2_000, b"fast": 3_000, b"slow": 1 / 60}
EVENTS_A_TURN = 20
MODEL = "gpt-oss-120b"

_PATH = re.compile(
    rb"^\w+ /(burst|each|paced|fast|slow)/(text|tool|json|clock)/(\d+)/(\S*)"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_NO_TIME = b"@" + b"0" * 18  # where the nanoseconds of a monotonic clock are put
_WORDS = (" the", " model", " answers", " with", " words", " of", " some", " length")
_USAGE = {
    "prompt_tokens": 72,
    "completion_tokens": 100,
    "total_tokens": 172,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_TIMES = {
    "queue_time": 0.0001,
    "prompt_time": 0.003,
    "completion_time": 0.04,
    "total_time": 0.05,
    "created": 1780000000.25,
}
_COMMON = {
    "id": "chatcmpl-0b7c3a52-4f0e-4c1e-9a3a-6d1d0c6f9b11",
    "created": 1780000000,
    "model": MODEL,
    "system_fingerprint": "fp_benchmarks",
}
_LIMITS = (
    b"x-ratelimit-limit-requests-day: 14400\r\n"
    b"x-ratelimit-remaining-requests-day: 14399\r\n"
    b"x-ratelimit-reset-requests-day: 33011.38\r\n"
    b"x-ratelimit-limit-tokens-minute: 60000\r\n"
    b"x-ratelimit-remaining-tokens-minute: 59900\r\n"
    b"x-ratelimit-reset-tokens-minute: 11.38\r\n"
    b"inference-id: chatcmpl-0b7c3a52\r\n"
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    + _LIMITS
    + b"transfer-encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"


def word(number: int) -> str:
    """Return the text of one event."""
    return _WORDS[number % len(_WORDS)]


def json_pieces(count: int) -> list[str]:
    """Return a JSON object with one long text, cut into pieces."""
    inner = [word(number) for number in range(max(count - 2, 1))]
    return ['{"title": "T", "text": "', *inner, '"}']


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(choices: list[dict[str, object]], **more: object) -> bytes:
    body = {**_COMMON, "choices": choices, "object": "chat.completion.chunk", **more}
    return _chunked(b"data: " + _dump(body) + b"\n\n")


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _delta(delta: dict[str, object]) -> bytes:
    return _event([{"delta": delta, "index": 0}])


def _tool_fragment(args: str, **first: object) -> bytes:
    function = {"arguments": args, **({"name": "write"} if first else {})}
    call = {"index": 0, "type": "function", "function": function, **first}
    return _delta({"tool_calls": [call]})


@cache
def events(kind: str, count: int) -> list[bytes]:
    """Return a stream as its HTTP chunks, the terminating one included."""
    if kind == "tool":
        first = _tool_fragment("", id="call_1")
        content = [first, *(_tool_fragment(piece) for piece in json_pieces(count - 1))]
    elif kind == "clock":
        content = [_delta({"content": _NO_TIME.decode()})] * count
    elif kind == "json":
        content = [_delta({"content": piece}) for piece in json_pieces(count)]
    else:
        content = [_delta({"content": word(number)}) for number in range(count)]
    reason = "tool_calls" if kind == "tool" else "stop"
    end = [{"delta": {}, "index": 0, "finish_reason": reason}]
    return [
        _delta({"role": "assistant"}),
        *content,
        _event(end, usage=_USAGE, time_info=_TIMES),
        _chunked(b"data: [DONE]\n\n"),
        _LAST_CHUNK,
    ]


@cache
def whole_stream(kind: str, count: int) -> bytes:
    """Return a stream in one piece, head included."""
    return _STREAM_HEAD + b"".join(events(kind, count))


@cache
def plain(kind: str, count: int) -> bytes:
    """Return a plain answer, head included."""
    message: dict[str, object] = {"role": "assistant"}
    if kind == "tool":
        function = {"name": "write", "arguments": "".join(json_pieces(count))}
        call = {"id": "call_1", "type": "function", "function": function}
        message["tool_calls"] = [call]
    else:
        pieces = json_pieces(count) if kind == "json" else map(word, range(count))
        message["content"] = "".join(pieces)
    reason = "tool_calls" if kind == "tool" else "stop"
    choice = {"index": 0, "finish_reason": reason, "message": message}
    body = {
        **_COMMON,
        "object": "chat.completion",
        "choices": [choice],
        "usage": _USAGE,
        "time_info": _TIMES,
    }
    return _json_answer(_dump(body))


def _json_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + _LIMITS
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


class _Connection(asyncio.Protocol):
    """One connection; a client sends its next request after the last answer."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self.data, 0, end)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self.data) < size:
            return
        request = bytes(self.data[:size])
        del self.data[:size]
        self.answer(request, end)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.task is not None:
            self.task.cancel()

    def answer(self, request: bytes, end: int) -> None:
        path = _PATH.match(request)
        if path is None or request.startswith(b"GET "):
            self.transport.write(_json_answer(b"{}"))
            return
        pace, kind, count = path[1], path[2].decode(), int(path[3])
        if not _STREAM.search(request, end):
            self.transport.write(plain(kind, count))
        elif pace == b"burst":
            self.transport.write(whole_stream(kind, count))
        else:
            self.transport.write(_STREAM_HEAD)
            chunks = events(kind, count)
            per_s = EVENTS_PER_S.get(pace)
            work = self.paced(chunks, per_s) if per_s else self.each(chunks)
            self.task = asyncio.get_running_loop().create_task(work)

    async def each(self, chunks: list[bytes]) -> None:
        for number, chunk in enumerate(chunks):
            self.write(chunk)
            if number % EVENTS_A_TURN == 0:
                await asyncio.sleep(0)

    async def paced(self, chunks: list[bytes], per_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for chunk in chunks:
            self.write(chunk)
            due += 1 / per_s
            await asyncio.sleep(max(0.0, due - loop.time()))

    def write(self, chunk: bytes) -> None:
        if _NO_TIME in chunk:
            chunk = chunk.replace(_NO_TIME, b"@%018d" % time.monotonic_ns())
        self.transport.write(chunk)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent closes our standard input when it is done, or dies.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose timers are not rounded to milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    is_precise = "--precise" in sys.argv
    with asyncio.Runner(loop_factory=_precise_loop if is_precise else None) as runner:
        runner.run(_serve())
