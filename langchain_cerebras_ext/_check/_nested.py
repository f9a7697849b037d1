"""Code within another file: where its bytes stand in that file."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langchain_cerebras_ext._check._place import Found

if TYPE_CHECKING:
    from langchain_cerebras_ext._check._place import Mention, ParameterMention, Scope


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes of the outer file that stands for a run of the inner code.

    Attributes:
        outer: Where it starts in the outer file.
        length: How long it is there.
        data: The inner code; as long, where nothing is escaped.
    """

    outer: int
    length: int
    data: bytes


class Nested:
    """Inner code, put together from pieces of an outer file.

    Args:
        pieces: The pieces, in order.
    """

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = [piece for piece in pieces if piece.data]
        self.data = b"".join(piece.data for piece in self._pieces)
        self._starts: list[int] = []
        at = 0
        for piece in self._pieces:
            self._starts.append(at)
            at += len(piece.data)

    def outer(self, offset: int) -> int:
        """Return where a byte of the inner code stands in the outer file."""
        if not self._pieces:
            return 0
        at = max(0, bisect_right(self._starts, offset) - 1)
        piece = self._pieces[at]
        return piece.outer + min(offset - self._starts[at], piece.length)

    def outer_span(self, start: int, end: int) -> tuple[int, int, bool]:
        """Return where a span stands, and whether it does without gaps or escapes."""
        outer_start = self.outer(start)
        outer_end = self.outer(end - 1) + 1 if end > start else outer_start
        return outer_start, outer_end, outer_end - outer_start == end - start

    def lift(self, found: Found, scopes: tuple[Scope, ...] = ()) -> Found:
        """Return what was found in the inner code, as found in the outer file.

        Args:
            found: What was found.
            scopes: What stands around the inner code.
        """
        return Found(
            tuple(self._lift_mention(one, scopes) for one in found.mentions),
            tuple(self._lift_parameter(one, scopes) for one in found.parameters),
            found.imports,
            found.problem,
        )

    def _lift_mention(self, mention: Mention, scopes: tuple[Scope, ...]) -> Mention:
        start, end, is_same = self.outer_span(mention.start, mention.end)
        return replace(
            mention,
            start=start,
            end=end,
            is_raw=mention.is_raw and is_same,
            scopes=(*mention.scopes, *scopes),
        )

    def _lift_parameter(
        self, mention: ParameterMention, scopes: tuple[Scope, ...]
    ) -> ParameterMention:
        start, end, is_same = self.outer_span(mention.start, mention.end)
        value = self.outer_span(mention.value_start, mention.value_end)
        return replace(
            mention,
            start=start,
            end=end,
            value_start=value[0],
            value_end=value[1],
            is_raw=mention.is_raw and is_same and value[2],
            scopes=(*mention.scopes, *scopes),
        )
