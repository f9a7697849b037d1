"""Who is told of a router's call: the chain run that groups its tries.

Where nobody wants to know there is no run. Those who only meter calls want to know
which run is above which, and nothing else: they are told that directly, as a loop of
LangChain's over its handlers costs more than all that they do, and in an event loop a
task for each of them besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.utils.uuid import uuid7

from langchain_cerebras_ext._late import only_meter

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from uuid import UUID

    from langchain_cerebras_ext.routing._trip import Trip

__all__ = ["MetersRun", "abegin", "aend", "afail", "begin", "end", "fail"]


class MetersRun:
    """A chain run of which only meters are told; the rest is as LangChain's own.

    Attributes:
        run_id: Its id.
        handlers: The meters.
    """

    __slots__ = ("_manager", "handlers", "run_id")

    def __init__(self, manager: Any, run_id: UUID | None) -> None:
        self._manager = manager
        self.handlers: list[Any] = manager.handlers
        self.run_id = run_id = run_id or uuid7()
        above = manager.parent_run_id
        for one in self.handlers:
            one.on_chain_start(None, None, run_id=run_id, parent_run_id=above)

    def get_child(self) -> CallbackManager:
        """Return the manager of the runs below."""
        above = self._manager
        handlers, tags = above.inheritable_handlers, above.inheritable_tags
        metadata = above.inheritable_metadata
        return CallbackManager(
            handlers=handlers.copy(),
            inheritable_handlers=handlers.copy(),
            parent_run_id=self.run_id,
            tags=tags.copy(),
            inheritable_tags=tags.copy(),
            metadata=metadata.copy(),
            inheritable_metadata=metadata.copy(),
        )

    def on_chain_end(self, output: Any) -> None:
        """Tell that it is over; meters do not look at what came of it."""
        del output
        for one in self.handlers:
            one.on_chain_end(None, run_id=self.run_id)

    def on_chain_error(self, error: BaseException) -> None:
        """Tell that it has failed."""
        for one in self.handlers:
            one.on_chain_error(error, run_id=self.run_id)


def _opened(trip: Trip, manager: Any, given: Any, run_id: UUID | None) -> Any:
    """Return a run that has begun, or what is to be awaited for it."""
    if only_meter(manager.handlers):
        return MetersRun(manager, run_id or trip.run_id)
    args, kwargs = trip.run_args(given, run_id)
    return manager.on_chain_start(*args, **kwargs)


def begin(trip: Trip, given: Any, run_id: UUID | None = None) -> None:
    """Open the run of a call, if anybody wants to know."""
    manager = trip.manager(CallbackManager)
    if manager is not None:
        trip.begin_run(_opened(trip, manager, given, run_id))


def end(trip: Trip, output: Any) -> None:
    """Close the run of a call that has its answer."""
    if trip.run is not None:
        trip.run.on_chain_end(output)


def fail(trip: Trip, error: BaseException) -> None:
    """Let go of a call that has failed, or that nobody waits for; close its run."""
    trip.leave()
    run = trip.run
    if run is None:
        return
    if isinstance(error, GeneratorExit):
        run.on_chain_end(trip.output())
    else:
        run.on_chain_error(error)


async def abegin(trip: Trip, given: Any, run_id: UUID | None = None) -> None:
    """As `begin`."""
    manager = trip.manager(AsyncCallbackManager)
    if manager is not None:
        run = _opened(trip, manager, given, run_id)
        trip.begin_run(run if isinstance(run, MetersRun) else await run)


async def aend(trip: Trip, output: Any) -> None:
    """As `end`."""
    if trip.run is not None:
        await _heard(trip.run.on_chain_end(output))


async def afail(trip: Trip, error: BaseException) -> None:
    """As `fail`."""
    trip.leave()
    run = trip.run
    is_left = isinstance(error, GeneratorExit)
    if not is_left:
        trip.settle()
    if run is not None:
        told = run.on_chain_end(trip.output()) if is_left else run.on_chain_error(error)
        await _heard(told)


async def _heard(told: Awaitable[Any] | None) -> None:
    """Wait until handlers have been told; meters have been."""
    if told is not None:
        await told
