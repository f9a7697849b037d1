"""A chunked body (RFC 9112, section 7.1) as its data, one network read at a time.

urllib3 hands a body on chunk by chunk, and the service sends a chunk for every event:
that costs more than all we do with an event. Here a read of many chunks is one piece.
"""

from __future__ import annotations

__all__ = ["ChunkedBodyError", "ChunkedDecoder"]

_HEX = b"0123456789abcdefABCDEF"
_MAX_LINE_BYTES = 64 * 1024
_MAX_SIZE_DIGITS = 15


class ChunkedBodyError(ValueError):
    """The body is not chunked as it should be."""


class ChunkedDecoder:
    """Take the bytes of a body, in any pieces, and give its data.

    Attributes:
        done: The body's end was seen.
        rest: What came after it; not of this body.
    """

    __slots__ = ("_left", "done", "rest")

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk to come, with the line end after it
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return all data that the bytes hold, that of an unfinished chunk too.

        Raises:
            ChunkedBodyError: A chunk's size or end is wrong.
        """
        data = self.rest + data if self.rest else data
        pieces: list[bytes] = []
        at, left, size = 0, self._left, len(data)
        while True:
            if left:
                end = at + left
                if end > size:
                    cut = min(size, end - 2)
                    pieces.append(data[at:cut])
                    left -= cut - at
                    at = cut
                    break
                pieces.append(data[at : end - 2])
                if data[end - 2 : end] != b"\r\n":
                    msg = "a chunk is longer than it says"
                    raise ChunkedBodyError(msg)
                at, left = end, 0
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                _check_line(size - at)
                _size_digits(data[at:].removesuffix(b"\r"))
                break
            length = _length(data[at:line_end])
            if not length:
                # The last chunk; what may follow are trailers and an empty line.
                body_end = data.find(b"\r\n\r\n", line_end)
                if body_end < 0:
                    _check_line(size - at)
                    break
                self.done, at = True, body_end + 4
                break
            at, left = line_end + 2, length + 2
        self.rest, self._left = data[at:], left
        return b"".join(pieces)


def _length(line: bytes) -> int:
    text = _size_digits(line)
    if not text:
        msg = "a chunk has no size"
        raise ChunkedBodyError(msg)
    return int(text, 16)


def _size_digits(line: bytes) -> bytes:
    """Return the digits of a chunk's size, as far as they have come."""
    text = line
    if text.strip(_HEX):
        text = line.partition(b";")[0].rstrip(b" \t")
    # Python's own reading of numbers is laxer than the standard's.
    if text.strip(_HEX) or len(text.lstrip(b"0")) > _MAX_SIZE_DIGITS:
        msg = "a chunk's size is no number"
        raise ChunkedBodyError(msg)
    return text


def _check_line(length: int) -> None:
    if length > _MAX_LINE_BYTES:
        msg = "a chunk's size or a trailer does not end"
        raise ChunkedBodyError(msg)
