"""What is held for one request from before it is sent until its cost is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from langchain_cerebras_ext._limits._buckets import NOTHING, Amounts
from langchain_cerebras_ext._limits._learning import read_headers, read_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext._limits._buckets import Snapshot
    from langchain_cerebras_ext._limits._learning import Closure, Reading
    from langchain_cerebras_ext._limits._memory import Line
    from langchain_cerebras_ext._limits._numbers import Limit
    from langchain_cerebras_ext.errors import RateLimitError

__all__ = ["LocalReservation", "Reservation"]


class Reservation:
    """Leave to send one request. End it with one of its four methods, or by `with`.

    The first ending counts; later ones do nothing. Ending never raises and never
    waits: where Redis cannot be reached it is told in the log. A reservation that is
    dropped, or left by `with` without having been ended, stays spent.

    A call that is tried again reserves anew for each try.

    Attributes:
        tokens: What was reserved: the prompt, and what the service reserves for the
            answer.
    """

    __slots__ = ("_once", "tokens")

    def __init__(self, need: Amounts) -> None:
        self.tokens = int(need.tokens)
        # Taken out by whoever ends it first, in whichever thread.
        self._once = [need]

    # ------------------------------------------------------------------- sync

    def settle(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Replace what was reserved by what was used, and learn from the headers.

        Args:
            input_tokens: Of the prompt, cached ones included.
            output_tokens: Of the answer, reasoning included.
            cached_tokens: Those of the prompt that the service had in its cache.
            headers: The answer's; `x-ratelimit-*` are read.
        """
        self._end(_used(input_tokens, output_tokens, cached_tokens), headers, None)

    def refused(self, error: RateLimitError) -> None:
        """Take all back, and stay away from the limit as long as the service says."""
        self._end(NOTHING, _headers_of(error), read_refusal(error))

    def release(self) -> None:
        """Take all back: nothing was sent, or it was refused before it was counted."""
        self._end(NOTHING, None, None)

    def unknown(self) -> None:
        """Leave it spent: it was sent, and nobody knows what it has cost."""
        self._end(None, None, None)

    def __enter__(self) -> Self:
        """Hold it for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it spent, unless it was ended."""
        self.unknown()

    # ------------------------------------------------------------------ async

    async def asettle(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Do what `settle` does, and return when it is done."""
        used = _used(input_tokens, output_tokens, cached_tokens)
        await self._aend(used, headers, None)

    async def arefused(self, error: RateLimitError) -> None:
        """Do what `refused` does, and return when it is done."""
        await self._aend(NOTHING, _headers_of(error), read_refusal(error))

    async def arelease(self) -> None:
        """Do what `release` does, and return when it is done."""
        await self._aend(NOTHING, None, None)

    async def aunknown(self) -> None:
        """Do what `unknown` does, and return when it is done."""
        await self._aend(None, None, None)

    async def __aenter__(self) -> Self:
        """Hold it for a block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave it spent, unless it was ended."""
        await self.aunknown()

    # ------------------------------------------------------------------- both

    def _end(
        self,
        used: Amounts | None,
        headers: Mapping[str, str | float] | None,
        closure: Closure | None,
    ) -> None:
        try:
            need = self._once.pop()
        except IndexError:
            return
        self._finish(need, used, self._read(headers), closure)

    async def _aend(
        self,
        used: Amounts | None,
        headers: Mapping[str, str | float] | None,
        closure: Closure | None,
    ) -> None:
        try:
            need = self._once.pop()
        except IndexError:
            return
        await self._afinish(need, used, self._read(headers), closure)

    def _read(self, headers: Mapping[str, str | float] | None) -> list[Reading]:
        return read_headers(headers, self._limits) if headers else []

    @property
    def _limits(self) -> tuple[Limit, ...]:
        raise NotImplementedError  # abstract: of the line, local or shared

    def _finish(
        self,
        need: Amounts,
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        raise NotImplementedError  # abstract: where the line is, here or on a server

    async def _afinish(
        self,
        need: Amounts,
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        self._finish(need, used, readings, closure)

    def __repr__(self) -> str:
        """Name what it holds."""
        state = "open" if self._once else "ended"
        return f"<Reservation of {self.tokens} tokens, {state}>"


class LocalReservation(Reservation):
    """A reservation in this process's own line."""

    __slots__ = ("_at", "_line")

    def __init__(self, line: Line, need: Amounts, at: Snapshot) -> None:
        super().__init__(need)
        self._line = line
        self._at = at

    @property
    def _limits(self) -> tuple[Limit, ...]:
        return self._line.limits

    def _finish(
        self,
        need: Amounts,
        used: Amounts | None,
        readings: list[Reading],
        closure: Closure | None,
    ) -> None:
        self._line.finish(need, self._at, used, readings, closure)

    def __del__(self) -> None:
        """Take it off the requests under way; it stays spent."""
        once = getattr(self, "_once", None)  # a constructor may have failed
        if once:
            self._line.drop(once.pop())


def _used(input_tokens: int, output_tokens: int, cached_tokens: int) -> Amounts:
    tokens = input_tokens + output_tokens
    return Amounts(1, tokens, tokens - min(cached_tokens, input_tokens))


def _headers_of(error: RateLimitError) -> Mapping[str, str | float]:
    return {
        name: value
        for name, value in error.rate_limits.items()
        if isinstance(value, (int, float))
    }
