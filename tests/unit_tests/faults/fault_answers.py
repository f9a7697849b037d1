"""Answers for the tables of faults, as bytes: good ones to break, and ways to build any.

Two recordings are broken in all ways: `PLAIN`, some text, and `RICH`, which has every
kind of content that a stream can be cut in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recordings import load
from wire_server import CUT, END, Request, chunk, event

KEY = "csk-" + "k1" * 20
"""The key of every call; no error, log or trace may repeat it."""

PLAIN_RECORDING, RICH_RECORDING = load("plain_text"), load("reasoning_text_tools")
PLAIN_BODY = json.dumps(PLAIN_RECORDING.body).encode()
RICH_BODY = json.dumps(RICH_RECORDING.body).encode()
RICH_ID: str = RICH_RECORDING.body["id"]

# The events of the rich stream, one name for each kind.
ROLE, THINK, THINK_ON, TEXT, TEXT_ON, TOOL, ARGS, FINISH, DONE = RICH_RECORDING.events
RICH_STREAM = RICH_RECORDING.stream

JSON_TYPE = "Content-Type: application/json"
STREAM_TYPE = "Content-Type: text/event-stream; charset=utf-8"
CHUNKED = "Transfer-Encoding: chunked"


def head(*lines: str, status: int | str = 200, version: str = "HTTP/1.1") -> bytes:
    """Return the head of an answer with just these header lines, as they are."""
    text = f"{status} Any" if isinstance(status, int) else status
    return "\r\n".join([f"{version} {text}", *lines, "", ""]).encode("latin-1")


def length(body: bytes) -> str:
    """Return the header line that says how long a body is."""
    return f"Content-Length: {len(body)}"


def answer(body: Any, status: int = 200, *lines: str, kind: str = JSON_TYPE) -> bytes:
    """Return a whole answer: JSON of a value, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(kind, length(data), *lines, status=status) + data


STREAM_HEAD = head(STREAM_TYPE, CHUNKED)


def streamed(*events: bytes, lines: tuple[str, ...] = ()) -> bytes:
    """Return a whole event stream that comes in one piece."""
    data = b"".join(events)  # of no bytes it would be the last chunk
    return head(STREAM_TYPE, CHUNKED, *lines) + (chunk(data) if data else b"") + END


def begun(*events: bytes) -> bytes:
    """Return an event stream without its end."""
    return STREAM_HEAD + (chunk(b"".join(events)) if events else b"")


def delta(**fields: Any) -> bytes:
    """Return an event that adds something to the rich stream."""
    return event({"id": RICH_ID, "choices": [{"delta": fields, "index": 0}]})


def ending(reason: Any = "stop", **fields: Any) -> bytes:
    """Return an event that ends an answer."""
    choice = {"delta": {}, "finish_reason": reason, "index": 0}
    return event({"id": RICH_ID, "choices": [choice], **fields})


def good(request: Request) -> list[bytes]:
    """Return the plain recording, in the form that was asked for."""
    if request.is_stream:
        return [streamed(PLAIN_RECORDING.stream)]
    return [answer(PLAIN_BODY)]


def flat(text: str, **fields: Any) -> dict[str, Any]:
    """Return the body of nearly all of the service's errors."""
    return {"message": text, "type": "", "param": "", "code": "", **fields}


def wrapped(text: str, status: int, **fields: Any) -> dict[str, Any]:
    """Return the body of the service's own failures, and of its error events."""
    return {"status_code": status, "error": {**flat(text), "id": "", **fields}}


def without(message: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a body without some of its keys."""
    return {key: value for key, value in message.items() if key not in names}


__all__ = [
    "ARGS",
    "CHUNKED",
    "CUT",
    "DONE",
    "END",
    "FINISH",
    "JSON_TYPE",
    "KEY",
    "PLAIN_BODY",
    "PLAIN_RECORDING",
    "RICH_BODY",
    "RICH_ID",
    "RICH_RECORDING",
    "RICH_STREAM",
    "ROLE",
    "STREAM_HEAD",
    "STREAM_TYPE",
    "TEXT",
    "TEXT_ON",
    "THINK",
    "THINK_ON",
    "TOOL",
    "answer",
    "begun",
    "chunk",
    "delta",
    "ending",
    "event",
    "flat",
    "good",
    "head",
    "length",
    "streamed",
    "without",
    "wrapped",
]
