"""A compressed body as its content, one network read at a time.

Nothing compressed is asked for, but servers and proxies send it all the same. Both
engines could undo it, each in its own way: one takes a body that was cut off for whole,
the other knows fewer names. Here both transports do it alike.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from langchain_cerebras_ext._http._errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ContentDecoder", "find_decoder"]

_MAX_PIECE_BYTES = 1 << 20
"""A few bytes may stand for a thousand times as many: no piece is larger than this."""

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_ZLIB_METHOD = 8


def find_decoder(encoding: str | None) -> ContentDecoder | None:
    """Return what undoes a `Content-Encoding`, or `None` if there is nothing to undo.

    Raises:
        Fault: It cannot be undone here.
    """
    if not encoding:
        return None
    names = [name.strip().lower() for name in encoding.split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if not names:
        return None
    if len(names) > 1 or names[0] not in {"gzip", "x-gzip", "deflate"}:
        text = "the answer is compressed in a way that was not asked for"
        raise Fault(kind="protocol", text=text)
    return ContentDecoder(is_gzip=names[0] != "deflate")


class ContentDecoder:
    """Take the bytes of a compressed body, in any pieces, and give its content."""

    __slots__ = ("_ended", "_inner", "_is_gzip")

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._inner = zlib.decompressobj(_GZIP) if is_gzip else None
        self._ended = True  # no byte has come: no body is a whole one

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield all content that the bytes hold, in pieces of a bounded size.

        Raises:
            Fault: They are not compressed as the header says.
        """
        while data:
            inner = self._inner
            if inner is None or (self._ended and inner.eof):
                inner = self._inner = self._start(data)
            try:
                piece = inner.decompress(data, _MAX_PIECE_BYTES)
            except zlib.error as error:
                raise _not_as_said() from error
            if piece:
                yield piece
            self._ended = inner.eof
            data = inner.unused_data if inner.eof else inner.unconsumed_tail

    def finish(self) -> None:
        """Take the end of the body.

        Raises:
            Fault: The content is not whole.
        """
        if not self._ended:
            text = "the compressed answer ended before its end"
            raise Fault(kind="closed", text=text)

    def _start(self, data: bytes) -> zlib._Decompress:
        """Begin a body, or the next member of one; only gzip has several."""
        if self._is_gzip:
            return zlib.decompressobj(_GZIP)
        if self._inner is not None:
            raise _not_as_said()
        # By the standard with zlib's two bytes before it; some servers leave them out.
        has_head = data[0] & 15 == _ZLIB_METHOD
        return zlib.decompressobj(_ZLIB if has_head else _RAW)


def _not_as_said() -> Fault:
    text = "the answer is not compressed as its header says"
    return Fault(kind="protocol", text=text)
