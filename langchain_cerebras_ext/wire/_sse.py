"""Bytes of a `text/event-stream` in, payloads of its events out.

Follows the WHATWG specification as far as a client of this API can see it: LF, CRLF
and CR end a line, a comment starts with a colon, several `data` lines of an event are
joined by a newline. Only LF and CR are line ends; the Unicode line separators are text.
"""

from __future__ import annotations

__all__ = ["MAX_EVENT_BYTES", "ErrorPayload", "EventTooLargeError", "SSEDecoder"]

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""A server that never ends an event must not fill the memory."""

_BOM = b"\xef\xbb\xbf"


class ErrorPayload(bytes):
    """The payload of an event that was named `error`."""

    __slots__ = ()


class EventTooLargeError(ValueError):
    """An event is larger than `MAX_EVENT_BYTES`."""


class SSEDecoder:
    r"""Split a byte stream into the payloads of its events.

    The cost is linear in the bytes fed, however they are cut: what was searched for
    the end of an event is not searched again.

    Example:
        ```python
        decoder = SSEDecoder()
        decoder.feed(b'data: {"a":')  # []
        decoder.feed(b"1}\n\ndata: [DONE]\n\n")  # [b'{"a":1}', b"[DONE]"]
        ```
    """

    __slots__ = ("_after_cr", "_buffer", "_searched", "_started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._after_cr = False
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the bytes of one read and return the payloads that they complete.

        Raises:
            EventTooLargeError: An event exceeds `MAX_EVENT_BYTES`.
        """
        if not self._started:
            data = self._strip_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._normalise(data)
        buffer = self._buffer
        if not buffer:
            # The usual case: a read holds whole events.
            if data.endswith(b"\n\n"):
                return _payloads(data[:-2])
            end = data.rfind(b"\n\n")
            buffer += data[end + 2 :] if end >= 0 else data
            self._searched = len(buffer)
            return _payloads(data[:end]) if end >= 0 else []
        start = max(0, self._searched - 1)
        buffer += data
        end = buffer.rfind(b"\n\n", start)
        if end < 0:
            self._searched = len(buffer)
            if self._searched > MAX_EVENT_BYTES:
                msg = f"An event of the stream exceeds {MAX_EVENT_BYTES} bytes."
                raise EventTooLargeError(msg)
            return []
        whole = bytes(buffer[:end])
        del buffer[: end + 2]
        self._searched = len(buffer)
        return _payloads(whole)

    def finish(self) -> list[bytes]:
        """Return what an end of file leaves: an event without its empty line.

        The specification drops it; servers that end with `data: [DONE]` and a single
        newline exist, so the payload is handed over and judged by its reader.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return _payloads(rest) if rest.strip() else []

    def _strip_bom(self, data: bytes) -> bytes:
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._buffer += data
            self._searched = 0
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _normalise(self, data: bytes) -> bytes:
        """Turn CRLF and CR into LF, also where a read cuts between the two.

        A CR at the end is a line end at once: an event must not wait for the next read.
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _payloads(events: bytes) -> list[bytes]:
    """Return the payload of each event that has one.

    Args:
        events: Events with an empty line between each two of them.
    """
    if events.startswith(b"data: "):
        # The usual case: each event is one line. Then these are all the newlines.
        payloads = events[6:].split(b"\n\ndata: ")
        if events.count(b"\n") == 2 * (len(payloads) - 1):
            return payloads
    found = [_parse_block(block) for block in events.split(b"\n\n")]
    return [payload for payload in found if payload is not None]


def _parse_block(block: bytes) -> bytes | None:
    lines: list[bytes] = []
    name = b""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    if not lines:
        return None
    payload = b"\n".join(lines)
    return ErrorPayload(payload) if name == b"error" else payload
