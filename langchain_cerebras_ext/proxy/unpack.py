"""`Unpacker`: what an answer says that came compressed, to be read on the side.

We ask for none, but some servers compress whatever they are told. Pure.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["Unpacker", "unpacker"]

_KNOWN: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
_ANY_HEADER: Final = 47  # of gzip or zlib
_MOST: Final = 1024 * 1024  # that one read may grow to


class Unpacker:
    """Unpacks an answer in whatever pieces it comes.

    Attributes:
        is_lost: It is damaged, or grows beyond all measure: the rest is not read.
    """

    __slots__ = ("_inner", "is_lost")

    def __init__(self) -> None:
        self.is_lost = False
        self._inner = zlib.decompressobj(_ANY_HEADER)

    def feed(self, data: bytes) -> bytes:
        """Return what came; nothing once it is lost."""
        found: list[bytes] = []
        left = _MOST
        while data and left and not self.is_lost:
            try:
                part = self._inner.decompress(data, left)
            except zlib.error:
                self.is_lost = True
                break
            found.append(part)
            left -= len(part)
            if not self._inner.eof:
                self.is_lost = bool(self._inner.unconsumed_tail)
                break
            data = self._inner.unused_data  # another member may follow
            self._inner = zlib.decompressobj(_ANY_HEADER)
        return b"".join(found)


def unpacker(encoding: bytes) -> Unpacker | None:
    """Return what unpacks an encoding; `None` where it is plain or not known."""
    return Unpacker() if encoding in _KNOWN else None
