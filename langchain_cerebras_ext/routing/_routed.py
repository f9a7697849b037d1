"""The loops that carry a call over its legs, sync and async.

A `Trip` decides; these ask breakers and legs, wait, and hand on. A call that needs no
second clock goes straight: the leg's own iterator is read in place. With a hedge or a
total deadline each try runs in a thread or a task of its own (`_race`).
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langchain_cerebras_ext.routing._chunks import is_last
from langchain_cerebras_ext.routing._plan import Ask, Fail
from langchain_cerebras_ext.routing._race import arace, race
from langchain_cerebras_ext.routing._tries import (
    aadmit,
    aclose,
    admit,
    aopen_items,
    atell_restart,
    close,
    open_items,
    tell_restart,
)
from langchain_cerebras_ext.routing._trip import find_manager

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from langchain_cerebras_ext.routing._plan import Step
    from langchain_cerebras_ext.routing._trip import Trip

    MakeTrip: TypeAlias = Callable[[], Trip]

__all__ = ["ainvoke", "astream", "invoke", "stream"]

_END: Any = object()

# ------------------------------------------------------------------------------ sync


def invoke(make_trip: MakeTrip, given: Any) -> Any:
    """Return the answer of the first leg that has one.

    Raises:
        CerebrasError: No leg had one, or one said that none would.
    """
    trip = make_trip()
    with _told(trip, trip.manager(CallbackManager), given):
        answer = next(race(trip, "invoke")) if trip.is_raced else _invoke(trip)
        if trip.run is not None:
            trip.run.on_chain_end(answer)
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
            runnable, prompt, config = trip.prepare(ask)
            answer = runnable.invoke(prompt, config, **trip.kwargs)
        except Exception as error:  # noqa: BLE001 - the policy judges it
            step = trip.failed(ask.no, error)
        else:
            return trip.finish(ask.no, answer)
    raise _failure(trip, step)


def stream(
    make_trip: MakeTrip, given: Any, *, method: str = "stream"
) -> Generator[Any, None, None]:
    """Yield what the first leg that speaks has to say.

    Args:
        make_trip: Begins the call, when the first item is asked for.
        given: The input, for handlers.
        method: The runnable's method that makes the iterator.
    """
    trip = make_trip()
    with _told(trip, trip.manager(CallbackManager), given):
        items = race(trip, method) if trip.is_raced else _flow(trip, method)
        handler = _tap(trip)
        if handler is not None:
            items = handler.tap_output_iter(trip.run.run_id, items)
        yield from items
        if trip.run is not None:
            trip.run.on_chain_end(trip.output())


def _flow(trip: Trip, method: str) -> Generator[Any, None, None]:
    seen = trip.seen.append
    step = trip.due()
    while isinstance(step, Ask):
        ask, no, source = step, step.no, None
        flowing = False
        try:
            while True:
                try:
                    if source is None:
                        refused = admit(trip, ask)
                        if refused is not None:
                            step = refused
                            break
                        source = open_items(trip, ask, method)
                    item = next(source, _END)
                except Exception as error:  # noqa: BLE001 - the policy judges it
                    step = trip.failed(no, error)
                    tell_restart(trip)
                    break
                # Outside the `try`: what a reader throws in is no failure of the leg.
                if item is _END:
                    yield from trip.end(no)
                    return
                if flowing:
                    if is_last(item):
                        item = trip.mark(no, item)
                    seen(item)
                    yield item
                else:
                    yield from trip.take(no, item)
                    flowing = trip.is_flowing(no)
        finally:
            close(source)
    raise _failure(trip, step)


def _failure(trip: Trip, step: Step) -> BaseException:
    """Return what the last step says; nothing else ends a call without an answer."""
    assert isinstance(step, Fail)  # noqa: S101 - without a race nothing is waited for
    return trip.error_of(step)


@contextmanager
def _told(trip: Trip, manager: Any, given: Any) -> Generator[None]:
    """Open the chain run, if anybody wants to know; close it after a failure."""
    if manager is not None:
        args, kwargs = trip.run_args(given)
        trip.begin_run(manager.on_chain_start(*args, **kwargs))
    try:
        yield
    except GeneratorExit:
        trip.leave()
        if trip.run is not None:
            trip.run.on_chain_end(trip.output())
        raise
    except BaseException as error:
        trip.leave()
        if trip.run is not None:
            trip.run.on_chain_error(error)
        raise


def _tap(trip: Trip) -> Any:
    """Return the handler that wants to see what a run streams, if there is one."""
    if trip.run is None:
        return None
    found = (h for h in trip.run.handlers if isinstance(h, _StreamingCallbackHandler))
    return next(found, None)


# ----------------------------------------------------------------------------- async


async def ainvoke(make_trip: MakeTrip, given: Any) -> Any:
    """As `invoke`."""
    trip = make_trip()
    async with _atold(trip, trip.manager(AsyncCallbackManager), given):
        if trip.is_raced:
            async with aclosing(arace(trip, "ainvoke")) as items:
                answer = await anext(items)
        else:
            answer = await _ainvoke(trip)
        if trip.run is not None:
            await trip.run.on_chain_end(answer)
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
            runnable, prompt, config = trip.prepare(ask)
            answer = await runnable.ainvoke(prompt, config, **trip.kwargs)
        except Exception as error:  # noqa: BLE001 - the policy judges it
            step = trip.failed(ask.no, error)
        else:
            return trip.finish(ask.no, answer)
    raise _failure(trip, step)


def astream(
    make_trip: MakeTrip, given: Any, config: Any, route: Any, *, method: str = "astream"
) -> AsyncGenerator[Any, None]:
    """As `stream`.

    A generator around a generator costs time for each item, so there is none where
    nobody is told of the call and nothing is raced.
    """
    if route.is_raced or find_manager(route, config, AsyncCallbackManager) is not None:
        return _astream_told(make_trip, given, method)
    return _aflow(make_trip, method)


async def _astream_told(
    make_trip: MakeTrip, given: Any, method: str
) -> AsyncGenerator[Any, None]:
    trip = make_trip()
    async with _atold(trip, trip.manager(AsyncCallbackManager), given):
        items = arace(trip, method) if trip.is_raced else _aflow(lambda: trip, method)
        handler = _tap(trip)
        if handler is not None:
            items = handler.tap_output_aiter(trip.run.run_id, items)
        async with aclosing(items):
            async for item in items:
                yield item
        if trip.run is not None:
            await trip.run.on_chain_end(trip.output())


async def _aflow(make_trip: MakeTrip, method: str) -> AsyncGenerator[Any, None]:
    trip = make_trip()
    seen = trip.seen.append
    step = trip.due()
    try:
        while isinstance(step, Ask):
            ask, no, source = step, step.no, None
            flowing = False
            try:
                while True:
                    try:
                        if source is None:
                            refused = await aadmit(trip, ask)
                            if refused is not None:
                                step = refused
                                break
                            source = await aopen_items(trip, ask, method)
                        item = await anext(source)
                    except StopAsyncIteration:
                        item = _END
                    except Exception as error:  # noqa: BLE001 - the policy judges it
                        step = trip.failed(no, error)
                        await atell_restart(trip)
                        break
                    if item is _END:
                        for item in trip.end(no):
                            yield item
                        return
                    if flowing:
                        if is_last(item):
                            item = trip.mark(no, item)
                        seen(item)
                        yield item
                    else:
                        for one in trip.take(no, item):
                            yield one
                        flowing = trip.is_flowing(no)
            finally:
                await aclose(source)
        raise _failure(trip, step)  # noqa: TRY301 - it ends the call like others
    except BaseException:
        trip.leave()
        raise


@asynccontextmanager
async def _atold(trip: Trip, manager: Any, given: Any) -> AsyncGenerator[None, None]:
    """As `_told`."""
    if manager is not None:
        args, kwargs = trip.run_args(given)
        trip.begin_run(await manager.on_chain_start(*args, **kwargs))
    try:
        yield
    except GeneratorExit:
        trip.leave()
        if trip.run is not None:
            await trip.run.on_chain_end(trip.output())
        raise
    except BaseException as error:
        trip.leave()
        if trip.run is not None:
            await trip.run.on_chain_error(error)
        raise
