"""The loops that carry a call over its legs, sync and async.

A `Trip` decides; these ask breakers and legs, wait, and hand on. A call that needs no
second clock goes straight: the leg's own iterator is read in place. With a hedge or a
total deadline each try runs in a thread or a task of its own (`_race`).
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import uuid4

from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langchain_cerebras_ext.routing._chunks import is_last
from langchain_cerebras_ext.routing._plan import Ask, Fail
from langchain_cerebras_ext.routing._race import arace, race
from langchain_cerebras_ext.routing._told import abegin, aend, afail, begin, end, fail
from langchain_cerebras_ext.routing._tries import (
    Hurry,
    aadmit,
    aclose,
    admit,
    aopen_items,
    atell_restart,
    close,
    open_items,
    tell_restart,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
    )
    from uuid import UUID

    from langchain_core.runnables import RunnableConfig

    from langchain_cerebras_ext.routing._plan import Step
    from langchain_cerebras_ext.routing._trip import Trip

    MakeTrip: TypeAlias = Callable[[], Trip]

__all__ = ["ainvoke", "astream", "invoke", "stream"]

# ------------------------------------------------------------------------------ sync


def invoke(make_trip: MakeTrip, given: Any) -> Any:
    """Return the answer of the first leg that has one.

    Raises:
        CerebrasError: No leg had one, or one said that none would.
    """
    trip = make_trip()
    begin(trip, given)
    try:
        answer = next(race(trip, "invoke")) if trip.is_raced else _invoke(trip)
        end(trip, answer)
    except BaseException as error:
        fail(trip, error)
        raise
    return answer


def _invoke(trip: Trip) -> Any:
    step = trip.due()
    while isinstance(step, Ask):
        ask = step
        try:
            refused = admit(trip, ask)
            if refused is not None:
                step = refused
                continue
            runnable, prompt, config, kwargs = trip.prepare(ask)
            hurry = Hurry(trip)
            try:
                answer = runnable.invoke(prompt, config, **kwargs)
            finally:
                hurry.end()
        except Exception as error:  # noqa: BLE001 - the policy judges it
            step = trip.failed(ask.no, error)
        else:
            return trip.finish(ask.no, answer)
    raise _failure(trip, step)


def stream(
    make_trip: MakeTrip,
    given: Any,
    config: RunnableConfig | None = None,
    *,
    method: str = "stream",
) -> Iterator[Any]:
    """Return what the first leg that speaks has to say, as it comes.

    Args:
        make_trip: Begins the call, when the first item is asked for.
        given: The input, for handlers.
        config: Of the call.
        method: `stream`, or `events`.
    """
    handler = _tap(config)
    if handler is None:
        return _stream(make_trip, given, None, method)
    run_id = (config or {}).get("run_id") or uuid4()
    items = _stream(make_trip, given, run_id, method)
    return cast("Iterator[Any]", handler.tap_output_iter(run_id, items))


# One function: a generator around a generator would cost time for each item.
def _stream(
    make_trip: MakeTrip, given: Any, run_id: UUID | None, method: str
) -> Generator[Any, None, None]:
    trip = make_trip()
    seen = trip.seen.append
    events = method == "events"  # told apart once, and not at each item
    begin(trip, given, run_id)
    try:
        step: Step | None = None
        if trip.is_raced:
            yield from race(trip, method)
        else:
            step = trip.due()
        while isinstance(step, Ask):
            ask, no, source, hurry = step, step.no, None, None
            # What fails while it is true is the leg; not what a reader throws in.
            reading = True
            try:
                refused = admit(trip, ask)
                if refused is not None:
                    step = refused
                    continue
                hurry = Hurry(trip)  # until its first part is there
                source = open_items(trip, ask, method)
                for item in source:
                    hurry.end()
                    reading = False
                    yield from trip.take(no, item)
                    reading = True
                    if trip.is_flowing(no):
                        break
                for item in source:  # the rest, if the first token has come
                    reading = False
                    if (
                        is_last(item)
                        if events
                        else getattr(item, "chunk_position", None)
                    ):
                        item = trip.mark(no, item)  # noqa: PLW2901 - the same, with more
                    seen(item)
                    yield item
                    reading = True
                reading = False
                yield from trip.end(no)
                step = None
            except Exception as error:
                if not reading:
                    raise
                step = trip.failed(no, error)
                tell_restart(trip)
            finally:
                if hurry is not None:
                    hurry.end()
                close(source)
        if step is not None:
            raise _failure(trip, step)  # noqa: TRY301 - whatever fails is told alike
        end(trip, trip.output())
    except BaseException as error:
        fail(trip, error)
        raise


def _failure(trip: Trip, step: Step) -> BaseException:
    """Return what the last step says; nothing else ends a call without an answer."""
    assert isinstance(step, Fail)  # noqa: S101 - without a race nothing is waited for
    return trip.error_of(step)


def _tap(config: RunnableConfig | None) -> Any:
    """Return the handler that wants to see what a run streams, if there is one.

    LangChain puts it into the configuration of the call, for `astream_events`.
    """
    given: Any = (config or {}).get("callbacks")
    if not given:
        return None
    handlers = given if isinstance(given, list) else given.handlers
    for one in handlers:
        # The name first: to compare with a protocol takes 15 us.
        if hasattr(one, "tap_output_iter") and isinstance(
            one, _StreamingCallbackHandler
        ):
            return one
    return None


# ----------------------------------------------------------------------------- async


async def ainvoke(make_trip: MakeTrip, given: Any) -> Any:
    """As `invoke`."""
    trip = make_trip()
    await abegin(trip, given)
    try:
        if trip.is_raced:
            async with aclosing(arace(trip, "ainvoke")) as items:
                answer = await anext(items)
        else:
            answer = await _ainvoke(trip)
        await aend(trip, answer)
    except BaseException as error:
        await afail(trip, error)
        raise
    return answer


async def _ainvoke(trip: Trip) -> Any:
    step = trip.due()
    while isinstance(step, Ask):
        ask = step
        try:
            refused = await aadmit(trip, ask)
            if refused is not None:
                step = refused
                continue
            runnable, prompt, config, kwargs = trip.prepare(ask)
            hurry = Hurry(trip)
            try:
                answer = await runnable.ainvoke(prompt, config, **kwargs)
            finally:
                hurry.end()
        except Exception as error:  # noqa: BLE001 - the policy judges it
            step = trip.failed(ask.no, error)
        else:
            return trip.finish(ask.no, answer)
    raise _failure(trip, step)


def astream(
    make_trip: MakeTrip,
    given: Any,
    config: RunnableConfig | None = None,
    *,
    method: str = "astream",
) -> AsyncIterator[Any]:
    """As `stream`."""
    handler = _tap(config)
    if handler is None:
        return _astream(make_trip, given, None, method)
    run_id = (config or {}).get("run_id") or uuid4()
    items = _astream(make_trip, given, run_id, method)
    return cast("AsyncIterator[Any]", handler.tap_output_aiter(run_id, items))


async def _astream(
    make_trip: MakeTrip, given: Any, run_id: UUID | None, method: str
) -> AsyncGenerator[Any, None]:
    trip = make_trip()
    seen = trip.seen.append
    events = method == "events"  # told apart once, and not at each item
    await abegin(trip, given, run_id)
    try:
        step: Step | None = None
        if trip.is_raced:
            async with aclosing(arace(trip, method)) as items:
                async for item in items:
                    yield item
        else:
            step = trip.due()
        while isinstance(step, Ask):
            ask, no, source, hurry = step, step.no, None, None
            reading = True  # as in `_stream`
            try:
                refused = await aadmit(trip, ask)
                if refused is not None:
                    step = refused
                    continue
                hurry = Hurry(trip)  # until its first part is there
                source = await aopen_items(trip, ask, method)
                async for item in source:
                    hurry.end()
                    reading = False
                    for one in trip.take(no, item):
                        yield one
                    reading = True
                    if trip.is_flowing(no):
                        break
                async for item in source:
                    reading = False
                    if (
                        is_last(item)
                        if events
                        else getattr(item, "chunk_position", None)
                    ):
                        item = trip.mark(no, item)  # noqa: PLW2901 - the same, with more
                    seen(item)
                    yield item
                    reading = True
                reading = False
                for one in trip.end(no):
                    yield one
                step = None
            except Exception as error:
                if not reading:
                    raise
                step = trip.failed(no, error)
                await atell_restart(trip)
            finally:
                if hurry is not None:
                    hurry.end()
                await aclose(source)
        if step is not None:
            raise _failure(trip, step)  # noqa: TRY301 - whatever fails is told alike
        await aend(trip, trip.output())
    except BaseException as error:
        await afail(trip, error)
        raise
