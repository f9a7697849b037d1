"""`StreamTap` and `BodyTap`: what passes by is read on the side.

Pure. They take the bytes of an answer as they come, in whatever pieces, and tell what
metrics, costs and the relay have to know of it. Until the first content each event is
parsed; from then on a read costs four searches in C, and only events that are no
ordinary ones are parsed.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

import msgspec

__all__ = ["BodyTap", "StreamTap", "find_error"]

_MAX_LINE: Final = 1024 * 1024  # a longer one is not read
_MAX_PARTS: Final = 16 * 1024  # of an event over several lines, tried at each of them
_MAX_BODY: Final = 4 * 1024 * 1024
_TAIL: Final = 64 * 1024
_DONE: Final = b"[DONE]"
_USAGE: Final = b'"usage"'
_CHOICES: Final = b'"choices":'
_DATA: Final = b"data:"
_LINE: Final = b"\ndata:"
_EVENT: Final = re.compile(rb"^data:(.*)", re.MULTILINE)
_USAGE_OBJECT: Final = re.compile(rb'"usage"\s*:\s*\{')


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: Any = None
    finish_reason: Any = None


class _Event(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    time_info: Any = None
    error: Any = None
    message: Any = None
    status_code: Any = None
    code: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


def _read_event(data: bytes) -> _Event | None:
    """Return what is to be known of an event; `None` if it is no JSON at all."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return None
    return _Event()


class _Facts:
    """What an answer tells of itself.

    Attributes:
        id: Its id.
        model: The model that it names.
        usage: Its last `usage` object.
        time_info: Its last `time_info` object.
        finish_reason: Why it ended, if it says so.
        has_ended: Whether it has said that nothing more of the answer comes.
        error: The error that it tells of; its own object, or the flat event.
        error_is_flat: Whether that has no envelope of its own.
        is_unreadable: Whether something of it that was looked at is no JSON.
        size: Bytes that came.
    """

    __slots__ = (
        "error",
        "error_is_flat",
        "finish_reason",
        "has_ended",
        "id",
        "is_unreadable",
        "model",
        "size",
        "time_info",
        "usage",
    )

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.usage: dict[str, Any] | None = None
        self.time_info: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.has_ended = False
        self.error: dict[str, Any] | None = None
        self.error_is_flat = False
        self.is_unreadable = False
        self.size = 0

    def note(self, event: _Event) -> None:
        """Take what an event tells."""
        if self.id is None and isinstance(event.id, str):
            self.id = event.id
        if self.model is None and isinstance(event.model, str):
            self.model = event.model
        if isinstance(event.usage, dict):
            self.usage = event.usage
            # Behind the reason, where usage comes by itself.
            self.has_ended = self.has_ended or event.choices == []
        if isinstance(event.time_info, dict):
            self.time_info = event.time_info
        for choice in event.choices or ():
            if isinstance(choice.finish_reason, str):
                self.finish_reason = choice.finish_reason
                self.has_ended = True
        if event.error:
            error: Any = event.error
            self.error = error if isinstance(error, dict) else {"message": str(error)}
            if isinstance(event.status_code, int):
                self.error.setdefault("status_code", event.status_code)
        elif not event.choices and isinstance(event.message, str):
            self.error_is_flat = True
            self.error = {
                "message": event.message,
                "code": event.code,
                "status_code": event.status_code,
            }


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


def _content_length(event: _Event) -> int:
    """Return how many characters of an answer are in an event."""
    total = 0
    for choice in event.choices or ():
        total += _length(choice.text)
        delta = choice.delta or choice.message
        if delta is None:
            continue
        total += _length(delta.content) + _length(delta.reasoning)
        total += _length(delta.reasoning_content)
        calls: Any = delta.tool_calls
        for call in calls if isinstance(calls, list) else ():
            function: Any = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                total += _length(function.get("name"))
                total += _length(function.get("arguments"))
    return total


class StreamTap(_Facts):
    """Reads a stream of events on the side.

    Attributes:
        has_content: Whether any content, reasoning or part of a tool call came.
        is_done: Whether `[DONE]` came.
        events: How many events came; `[DONE]` is none.
        answer_chars: Characters of content that came, about.
    """

    __slots__ = (
        "_envelope",
        "_half",
        "_has_parts",
        "_is_skipping",
        "_open",
        "_rest",
        "_rest_size",
        "answer_chars",
        "events",
        "has_content",
        "is_done",
    )

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self.has_content = False
        self.is_done = False
        self.answer_chars = 0
        self._envelope = 0  # bytes of an event around its content
        self._has_parts = False  # events are written over several lines
        self._open = b""  # what has come of such an event
        self._half = False  # a line's end has come that may have a second byte
        self._rest: list[bytes] = []  # of a line that is not complete
        self._rest_size = 0
        self._is_skipping = False

    def feed(self, data: bytes) -> int:
        """Read what came.

        Returns:
            How many bytes at its end are of a line whose end has not come. Of a line
            that is too long to be read they are not told.
        """
        self.size += len(data)
        end = data.rfind(b"\n") + 1
        half = False
        if not end and b"\r" in data:  # which may end a line too
            half = data.endswith(b"\r")
            data = data.replace(b"\r", b"\n")
            end = data.rfind(b"\n") + 1
        if not end:
            return self._keep(data)
        lines = data if end == len(data) else data[:end]
        if self._is_skipping:
            self._is_skipping = False
            lines = lines[lines.find(b"\n") + 1 :]
        if self._rest:
            self._rest.append(lines)
            lines = b"".join(self._rest)
            self._rest = []
            self._rest_size = 0
        self._take(lines)
        self._half = half
        return 0 if end == len(data) else self._keep(data[end:])

    def finish(self) -> None:
        """Read what is left at the end."""
        rest = b"".join(self._rest)
        self._rest = []
        self._rest_size = 0
        if rest.startswith(_DATA):
            self._parse(rest)
        if self._open:
            self._give_up()

    def _keep(self, data: bytes) -> int:
        if self._is_skipping:
            return 0
        self._rest.append(data)
        self._rest_size += len(data)
        if self._rest_size <= _MAX_LINE:
            return len(data)
        self._rest = []
        self._rest_size = 0
        self._is_skipping = True
        return 0

    def _take(self, lines: bytes) -> None:
        """Read complete lines; the last event of them is always parsed."""
        if self._open:
            self._look_for_end(lines)
        count = lines.count(_LINE) + lines.startswith(_DATA)
        if not count:
            return
        last = lines.rfind(_LINE) + 1
        if count > 1:
            first = 0 if lines.startswith(_DATA) else lines.find(_LINE) + 1
            self._take_before(lines, first, last, count - 1)
        self._parse(lines[last:])

    def _take_before(self, lines: bytes, start: int, end: int, count: int) -> None:
        """Read the events before the last one; `start` and `end` are starts of lines.

        From the first content on only the odd ones are parsed.
        """
        while count and (not self.has_content or self._has_parts):
            stop = lines.find(_LINE, start, end) + 1 or end
            self._parse(lines[start:stop])
            start = stop
            count -= 1
        if not count:
            return
        size = end - start
        odd = count - lines.count(_CHOICES, start, end)
        odd = max(odd, 0) + lines.count(_USAGE, start, end)
        for event in _find_odd(lines, start, end, odd) if odd else ():
            self._parse(event)
            size -= len(event)
            count -= 1
        self.events += count
        self.answer_chars += max(0, size - count * self._envelope)

    def _parse(self, lines: bytes) -> None:
        """Read one event: its line, and what follows up to the next."""
        payload = lines[5 : lines.find(b"\n") if b"\n" in lines else None].strip()
        if payload == _DONE:
            self.is_done = True
            return
        event = _read_event(payload) if not self._open else None
        if event is None:
            event = self._read_part(payload, lines)
            if event is None:
                return
        self.events += 1
        self.note(event)
        chars = _content_length(event)
        if chars:
            self.has_content = True
            self.answer_chars += chars
            self._envelope = len(lines) - chars

    def _read_part(self, payload: bytes, lines: bytes) -> _Event | None:
        """Return the event whose last line this is, of several lines of data."""
        joined = b"%b\n%b" % (self._open, payload) if self._open else payload
        event = _read_event(joined) if self._open else None
        self._open = b""
        if event is not None:
            self._has_parts = True
        elif b"\n\n" not in lines.replace(b"\r", b"") and len(joined) < _MAX_PARTS:
            self._open = joined
        else:
            self._give_up()
            event = _read_event(payload) if joined != payload else None
        return event

    def _look_for_end(self, lines: bytes) -> None:
        """See whether the event whose beginning has come ends without its rest."""
        if self._half and lines.startswith(b"\n"):
            lines = lines[1:]
        start = 0 if lines.startswith(_DATA) else lines.find(_LINE) + 1 or len(lines)
        if b"\n\n" in b"\n" + lines[:start].replace(b"\r", b""):
            self._give_up()

    def _give_up(self) -> None:
        """Count an event that cannot be read."""
        self._open = b""
        self.is_unreadable = True
        self.events += 1


def find_error(lines: bytes) -> int | None:
    """Return where the first event starts that tells of an error."""
    for found in _EVENT.finditer(lines):
        event = _read_event(found[1].strip())
        if event is None:
            continue
        facts = _Facts()
        facts.note(event)
        if facts.error is not None:
            return found.start()
    return None


def _find_odd(lines: bytes, start: int, end: int, odd: int) -> list[bytes]:
    """Return the events without choices or with usage, found from behind.

    Args:
        lines: Complete lines.
        start: Where the first event starts.
        end: Where the last one ends.
        odd: How many times they are odd, together.
    """
    found: list[bytes] = []
    while odd > 0 and end > start:
        at = lines.rfind(_LINE, start, end) + 1 or start
        event = lines[at:end]
        usages = event.count(_USAGE)
        is_bare = _CHOICES not in event
        odd -= usages + is_bare
        if is_bare or (usages and _USAGE_OBJECT.search(event)):
            found.append(event)
        end = at
    found.reverse()
    return found


class BodyTap(_Facts):
    """Reads an answer that is one JSON object on the side.

    Of one that is too long for that only the end is kept, where `usage` is.
    """

    __slots__ = ("_cut", "_pieces", "answer_chars")

    def __init__(self) -> None:
        super().__init__()
        self.answer_chars = 0
        self._pieces: list[bytes] = []
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Read what came."""
        self.size += len(data)
        self._pieces.append(data)
        if self.size > _MAX_BODY:
            self._cut = True
            kept = b"".join(self._pieces[-2:])
            self._pieces = [kept[-_TAIL:]]

    def finish(self) -> None:
        """Read the whole."""
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        if self._cut:
            self._read_end(body)
            return
        event = _read_event(body)
        if event is None:
            self.is_unreadable = True
            return
        self.note(event)
        if self.usage is None:
            self.answer_chars = _content_length(event)

    def _read_end(self, tail: bytes) -> None:
        for found in _USAGE_OBJECT.finditer(tail):
            with contextlib.suppress(ValueError, RecursionError):
                text = tail[found.end() - 1 :].decode("utf-8", "replace")
                value, _ = json.JSONDecoder().raw_decode(text)
                self.usage = value
        self.answer_chars = self.size
