"""One try of a leg: asking the breaker, opening what the leg answers with, closing it.

Four kinds of opening go by the name of the runnable's method: `invoke` and `stream`,
their async twins, and `events`, LangChain's `version="v3"`.
"""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.retry import Patience, patience
from langchain_cerebras_ext.routing._trip import RESTARTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextvars import Token

    from langchain_cerebras_ext.routing._plan import Ask, Step
    from langchain_cerebras_ext.routing._trip import Trip

__all__ = [
    "Hurry",
    "aadmit",
    "aclose",
    "admit",
    "aopen_items",
    "atell_restart",
    "close",
    "open_items",
    "tell_restart",
]


class Hurry:
    """Keeps a leg from waiting long for retries of its own, where others can answer.

    It holds in the context that it is made in, until its end.
    """

    __slots__ = ("_token",)

    def __init__(self, trip: Trip) -> None:
        self._token: Token[Patience | None] | None = None
        mine = trip.patience()
        if mine is not None:
            outer = patience.get()
            self._token = patience.set(_narrower(mine, outer) if outer else mine)

    def end(self) -> None:
        """Let it be as it was; once."""
        if self._token is not None:
            patience.reset(self._token)
            self._token = None


def _narrower(one: Patience, other: Patience) -> Patience:
    """Return the least of both, such as those of a router and of one around it."""
    longest = [s for s in (one.longest_s, other.longest_s) if s is not None]
    until = [s for s in (one.until, other.until) if s is not None]
    return Patience(min(longest, default=None), min(until, default=None))


def admit(trip: Trip, ask: Ask) -> Step | None:
    """See whether a try may begin; return what to do if not."""
    refused, breaker = trip.make_leg(ask), trip.breaker
    if refused is not None or breaker is None:
        return refused
    return trip.admitted(ask, breaker.admit(trip.leg(ask).name))


async def aadmit(trip: Trip, ask: Ask) -> Step | None:
    """As `admit`."""
    refused, breaker = trip.make_leg(ask), trip.breaker
    if refused is not None or breaker is None:
        return refused
    return trip.admitted(ask, await breaker.aadmit(trip.leg(ask).name))


def open_items(trip: Trip, ask: Ask, method: str) -> Iterator[Any]:
    """Return the iterator of a try; nothing may have been sent yet."""
    runnable, prompt, config, kwargs = trip.prepare(ask)
    if method == "events":
        opened, kwargs = trip.whole(ask), trip.kwargs
        return _events(opened.stream_events(prompt, config, version="v3", **kwargs))
    return iter(runnable.stream(prompt, config, **kwargs))


async def aopen_items(trip: Trip, ask: Ask, method: str) -> AsyncIterator[Any]:
    """As `open_items`."""
    runnable, prompt, config, kwargs = trip.prepare(ask)
    if method == "events":
        opened, kwargs = trip.whole(ask), trip.kwargs
        return _aevents(
            await opened.astream_events(prompt, config, version="v3", **kwargs)
        )
    return aiter(runnable.astream(prompt, config, **kwargs))


def _events(stream: Any) -> Iterator[Any]:
    """Yield the events of a stream, and close what it reads when nobody does."""
    try:
        yield from stream
    finally:
        _close_pump(stream)


def _close_pump(stream: Any) -> None:
    """Close the generator that a sync stream of events reads.

    LangChain's stream has no way to be left; its generator, and the connection behind
    it, would stay open until the garbage collector comes by.
    """
    pump = getattr(stream, "_request_more", None)
    for cell in getattr(pump, "__closure__", None) or ():
        try:
            held = cell.cell_contents
        except ValueError:  # not set yet
            continue
        if isinstance(held, GeneratorType):
            held.close()


async def _aevents(stream: Any) -> AsyncIterator[Any]:
    """Yield the events of a stream, and stop its task when nobody reads them."""
    async with stream:
        async for event in stream:
            yield event


def close(source: Any) -> None:
    """Close an iterator, if it is one that can be closed."""
    shut = getattr(source, "close", None)
    if shut is not None:
        shut()


async def aclose(source: Any) -> None:
    """As `close`."""
    shut = getattr(source, "aclose", None)
    if shut is not None:
        await shut()


def tell_restart(trip: Trip) -> None:
    """Tell handlers that a stream begins anew, if it does."""
    said = trip.restart_event()
    if said is not None and trip.run is not None:
        run = trip.run
        run.get_child().on_custom_event(RESTARTED, said, run_id=run.run_id)


async def atell_restart(trip: Trip) -> None:
    """As `tell_restart`."""
    said = trip.restart_event()
    if said is not None and trip.run is not None:
        run = trip.run
        told = run.get_child().on_custom_event(RESTARTED, said, run_id=run.run_id)
        if told is not None:
            await told
