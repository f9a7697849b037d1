"""Several tries at once, and one clock over all: for hedges and total deadlines.

Each try runs by itself, in a thread (sync) or a task (async), and tells a mailbox what
it has: its items, its first token, its end, its failure. The loop that reads the box
never waits longer than the plan allows, so that nothing hangs past a deadline. A task
is cancelled at once when it is not wanted any more; a thread cannot be, and ends at its
leg's next token, or by the leg's own timeout. It is a daemon: no program waits for it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import aclosing
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langchain_cerebras_ext.routing._chunks import is_last
from langchain_cerebras_ext.routing._plan import Ask, Done, Fail, Give
from langchain_cerebras_ext.routing._tries import (
    Hurry,
    aadmit,
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

__all__ = ["arace", "race"]

_LEAVE_S = 1.0
"""How long cancelled tasks may take to close what they have open."""


class _Event(NamedTuple):
    """What a try tells.

    Attributes:
        no: The try's number.
        kind: `item`, `spoke`, `end` or `error`.
        value: The item, or the error.
    """

    no: int
    kind: str
    value: Any = None


class _LeftError(GeneratorExit):
    """Nobody waits for this try any more.

    No `Exception`, so that no handler's manager logs or swallows it, and of a kind that
    cost trackers know as an end by the caller.
    """


class _FirstToken(BaseCallbackHandler, _StreamingCallbackHandler[Any]):
    """Hears the first token of an `invoke`, and ends one that is not wanted any more.

    LangChain lets a model stream under `invoke` if there is a handler of this kind.
    """

    run_inline = True
    raise_error = True

    def __init__(self, tell: Callable[[], None], is_left: Callable[[], bool]) -> None:
        self._tell: Callable[[], None] | None = tell
        self._is_left = is_left

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Tell of the first one."""
        del token, kwargs
        if self._is_left():
            raise _LeftError
        if self._tell is not None:
            tell, self._tell = self._tell, None
            tell()

    def tap_output_aiter(
        self, run_id: UUID, output: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Return it as it is."""
        del run_id
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """Return it as it is."""
        del run_id
        return output


def _listening(
    trip: Trip,
    config: RunnableConfig,
    tell: Callable[[], None],
    is_left: Callable[[], bool],
) -> RunnableConfig:
    """Add the ear for the first token, where the call may be streamed underneath."""
    if not trip.is_hedged or trip.kwargs.get("n") not in {None, 1}:
        return config
    ear = _FirstToken(tell, is_left)
    given = config.get("callbacks")
    if given is None or isinstance(given, list):
        return {**config, "callbacks": [*(given or ()), ear]}
    manager = given.copy()
    manager.add_handler(ear, inherit=True)
    return {**config, "callbacks": manager}


def _hear(trip: Trip, event: _Event, step: Step) -> tuple[list[Any], Step]:
    """Return what to hand on after an event, and what to do next."""
    no = event.no
    if trip.plan.is_over(no) and trip.plan.given != no:
        return [], step  # a loser's
    if event.kind == "item":
        if trip.is_flowing(no):
            item = trip.mark(no, event.value) if is_last(event.value) else event.value
            trip.seen.append(item)
            return [item], step
        out = trip.take(no, event.value)
        return out, (Give(no) if trip.plan.given == no else trip.due())
    if event.kind == "spoke":
        return [], trip.spoke(no)
    if event.kind == "end":
        return trip.end(no), Done(no)
    return [], trip.failed(no, event.value)


# ------------------------------------------------------------------------------ sync


class _Thread:
    """A try in a thread of its own."""

    def __init__(
        self, trip: Trip, ask: Ask, method: str, box: SimpleQueue[_Event]
    ) -> None:
        self._trip, self._ask, self._method, self._box = trip, ask, method, box
        self._is_left = False
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run,
            args=(self._run,),
            name=f"router-{trip.leg(ask).name}",
            daemon=True,
        ).start()

    def leave(self) -> None:
        """Let it end as soon as it can."""
        self._is_left = True

    def _tell(self, kind: str, value: Any = None) -> None:
        self._box.put(_Event(self._ask.no, kind, value))

    def _run(self) -> None:
        try:
            Hurry(self._trip)  # this context is the try's own
            if self._method == "invoke":
                self._invoke()
            else:
                self._read()
        except BaseException as error:  # noqa: BLE001 - the reader of the box judges it
            self._tell("error", error)

    def _invoke(self) -> None:
        trip = self._trip
        runnable, prompt, config, kwargs = trip.prepare(self._ask)
        config = _listening(
            trip, config, lambda: self._tell("spoke"), lambda: self._is_left
        )
        self._tell("item", runnable.invoke(prompt, config, **kwargs))
        self._tell("end")

    def _read(self) -> None:
        items = open_items(self._trip, self._ask, self._method)
        try:
            for item in items:
                if self._is_left:
                    return
                self._tell("item", item)
            self._tell("end")
        finally:
            close(items)


def race(trip: Trip, method: str) -> Generator[Any, None, None]:
    """Yield what the winner has to say; of an `invoke` one answer."""
    box: SimpleQueue[_Event] = SimpleQueue()
    tries: dict[int, _Thread] = {}
    step = trip.due()
    try:
        while not isinstance(step, Done):
            if isinstance(step, Fail):
                raise trip.error_of(step)
            if isinstance(step, Ask):
                refused = admit(trip, step)
                if refused is None:
                    tries[step.no] = _Thread(trip, step, method, box)
                step = refused or trip.due()
            elif isinstance(step, Give):
                for no, one in tries.items():
                    if no != step.no:
                        one.leave()
                step = trip.due()
            else:
                try:
                    event = box.get(timeout=trip.wait_s(step.until))
                except Empty:
                    step = trip.due()
                    continue
                out, step = _hear(trip, event, step)
                tell_restart(trip)
                yield from out
    finally:
        for one in tries.values():
            one.leave()


# ----------------------------------------------------------------------------- async


async def _run_task(
    trip: Trip, ask: Ask, method: str, box: asyncio.Queue[_Event]
) -> None:
    """Run a try, and tell the box of it."""

    def tell(kind: str, value: Any = None) -> None:
        box.put_nowait(_Event(ask.no, kind, value))

    try:
        Hurry(trip)  # this context is the try's own
        if method == "ainvoke":
            runnable, prompt, config, kwargs = trip.prepare(ask)
            config = _listening(trip, config, lambda: tell("spoke"), lambda: False)
            tell("item", await runnable.ainvoke(prompt, config, **kwargs))
        else:
            source: Any = await aopen_items(trip, ask, method)
            async with aclosing(source) as items:
                async for item in items:
                    tell("item", item)
        tell("end")
    except Exception as error:  # noqa: BLE001 - the reader of the box judges it
        tell("error", error)


async def arace(trip: Trip, method: str) -> AsyncGenerator[Any, None]:
    """As `race`."""
    box: asyncio.Queue[_Event] = asyncio.Queue()
    tries: dict[int, asyncio.Task[None]] = {}
    step = trip.due()
    try:
        while not isinstance(step, Done):
            if isinstance(step, Fail):
                raise trip.error_of(step)
            if isinstance(step, Ask):
                refused = await aadmit(trip, step)
                if refused is None:
                    tries[step.no] = asyncio.create_task(
                        _run_task(trip, step, method, box)
                    )
                step = refused or trip.due()
            elif isinstance(step, Give):
                for no, one in tries.items():
                    if no != step.no:
                        one.cancel()
                step = trip.due()
            else:
                try:
                    async with asyncio.timeout(trip.wait_s(step.until)):
                        event = await box.get()
                except TimeoutError:
                    step = trip.due()
                    continue
                out, step = _hear(trip, event, step)
                await atell_restart(trip)
                for item in out:
                    yield item
    finally:
        left = [one for one in tries.values() if not one.done()]
        if left:
            await _end_tasks(left)
        if left or len(tries) > 1:
            trip.settle()


async def _end_tasks(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, and let them close what they have open."""
    for one in tasks:
        one.cancel()
    await asyncio.wait(tasks, timeout=_LEAVE_S)
