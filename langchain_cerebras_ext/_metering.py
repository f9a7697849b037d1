"""Where a call meets those who meter it: cost trackers and their budgets.

The client knows no prices. A `Meter` is an observer of one call that is also asked
before each request leaves, and may refuse it. LangChain tells a model's run to the
handlers, but not to all of the model's methods: `stream` hands over no run manager. So
a handler that meters announces each run here as it starts, in the same context, and
the model takes the announcement when it sends the run's request. Where nobody else
listens there is none, and the model itself tells the handlers: see `_late`.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, cast
from weakref import ref

from langchain_cerebras_ext._late import (
    LateHandlers,
    are_meters_expected,
    only_meter,
    spared_manager,
)
from langchain_cerebras_ext._observe import Observer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from uuid import UUID

    from langchain_cerebras_ext._client import Call
    from langchain_cerebras_ext._observe import MeterWatch

__all__ = [
    "ROUTER_CALL",
    "CallOutcome",
    "Meter",
    "MeteredRun",
    "RouterCall",
    "add_try",
    "announce",
    "announced",
    "calling_manager",
    "calling_managers",
    "hush",
    "is_alone",
    "open_meter",
    "router_call",
]


ROUTER_CALL: Final = "router_call_id"
"""The name in a run's metadata of the router's call that it is a try of."""

CallOutcome = Literal["ok", "failed", "aborted"]
_tries: Final = Lock()


def add_try(so_far: CallOutcome | None, outcome: str) -> CallOutcome | None:
    """Return what a router's call has come to with one more try.

    One answer is enough; without any the end that came last counts.

    Args:
        so_far: What it had come to; `None` before the first try.
        outcome: The try's, as records have it.
    """
    if so_far == "ok" or outcome in {"ok", "cache_hit"}:
        return "ok"
    if outcome == "failed":
        return "failed"
    return "aborted" if outcome == "aborted" else so_far


class RouterCall(str):
    """The id of a router's call, which knows what its tries have come to.

    It goes from the router to those who meter its tries in the metadata of their runs.
    It is a text, since others write metadata down as well.

    Attributes:
        is_overdue: The router has given the call up; tries still under way failed.
    """

    __slots__ = ("_so_far", "is_overdue")

    def __new__(cls, call_id: object) -> Self:
        """Return the id of a call that no try has ended of."""
        made = super().__new__(cls, call_id)
        made._so_far = None
        made.is_overdue = False
        return made

    _so_far: CallOutcome | None
    is_overdue: bool

    def end_try(self, outcome: str) -> CallOutcome | None:
        """Take note of a try's end; return what the call had come to before."""
        with _tries:
            so_far, self._so_far = self._so_far, add_try(self._so_far, outcome)
        return so_far


def router_call(metadata: Mapping[str, Any] | None) -> RouterCall | None:
    """Return the router's call that a run is a try of, where the router is at hand."""
    found = None if metadata is None else metadata.get(ROUTER_CALL)
    return found if isinstance(found, RouterCall) else None


class Meter(Observer, Protocol):
    """Watches one call, and lets its requests pass.

    `started`, `retried` and `ended` come as for every observer.
    """

    @property
    def is_alone(self) -> bool:
        """Whether all handlers of the run meter it and do nothing else."""
        ...

    @property
    def cost_usd(self) -> str | None:
        """What the call has cost, as a decimal, once it has ended; else `None`."""

    def begin(self, call: Call) -> bool:
        """Note that a request is about to leave, the first one or a repeated one.

        Returns:
            Whether somebody has to be asked: by `admit` or `aadmit`.
        """
        ...

    def admit(self, call: Call) -> None:
        """Let a request leave.

        Raises:
            BudgetExceeded: It must not.
        """

    async def aadmit(self, call: Call) -> None:
        """As `admit`, without blocking the event loop."""

    def watch(self, call: Call, *, stream: bool) -> MeterWatch:
        """Return what is told of a call that nobody else watches."""
        ...

    def resending(self) -> None:
        """Note that a request that was let pass goes once more, unasked.

        The next failure that it is told of is that of the first time.
        """


class MeteredRun(Protocol):
    """A run that somebody wants to meter.

    A handler that knows some has `metered_run(run_id)`, which returns one or `None`.
    One that has `hears_late` also has `begin` and `latecomer`, as `LateHandlers` calls
    them; what the latter returns has `wake(manager)`, which begins the run.
    """

    @property
    def run_id(self) -> UUID:
        """LangChain's id."""
        ...

    @property
    def is_ours(self) -> bool:
        """Whether the model is one of this package, which will open a meter."""
        ...

    def open(self, *, is_alone: bool, is_told: bool) -> Meter | None:
        """Return what meters the run's call; `None` if somebody has it already.

        Args:
            is_alone: Whether the run has no other handlers.
            is_told: Whether it is known that the call is this run's, which may then
                be one more: a subclass of a model may ask again.
        """

    def open_first(self) -> Meter:
        """Return what meters the first call, which it is known to be."""
        ...


# The run that began last in this context; its handlers keep it while it goes on.
_latest: ContextVar[ref[MeteredRun] | None] = ContextVar(
    "langchain_cerebras_ext_announced", default=None
)


def announce(run: MeteredRun) -> None:
    """Tell the model, which is about to be called in this context, whose run it is."""
    _latest.set(ref(run))


def announced() -> MeteredRun | None:
    """Return the run that was announced last in this context, if it is remembered."""
    held = _latest.get()
    return None if held is None else held()


def open_meter(manager: Any, model: object = None) -> Meter | None:
    """Return what meters the call that is about to be sent, if anybody does.

    Args:
        manager: The run's manager; where it is not known, the run is taken that was
            announced last in this context, unless it was taken before.
        model: Whose run may not have been announced.
    """
    if manager is None and model is not None and are_meters_expected():
        manager = spared_manager(sys._getframe(1), model)  # noqa: SLF001
    if manager is not None and type(manager.handlers) is LateHandlers:
        begun = manager.handlers.begin(manager)
        vars(manager)[_RUN] = begun
        return begun.open_first()
    held = _latest.get()
    run = None if held is None else held()
    if manager is not None and (run is None or run.run_id is not manager.run_id):
        run = _run_of(manager)
    if run is None or not run.is_ours:
        return None
    if manager is not None:  # nobody else keeps a run that is recorded
        vars(manager)[_RUN] = run
    return run.open(is_alone=is_alone(manager), is_told=manager is not None)


_RUN: Final = "cerebras_run"


def _run_of(manager: Any) -> MeteredRun | None:
    """Return a run whose handlers were told in another context, as they were.

    `agenerate` of text completions starts each run in a task of its own.
    """
    known: MeteredRun | None = vars(manager).get(_RUN)
    if known is not None:
        return known
    for handler in manager.handlers:
        wake = getattr(handler, "wake", None)
        if wake is not None:  # it stands for those who were told of no beginning
            return cast("MeteredRun", wake(manager))
        find = getattr(handler, "metered_run", None)
        run: MeteredRun | None = None if find is None else find(manager.run_id)
        if run is not None:
            return run
    return None


def is_alone(manager: Any) -> bool:
    """Whether all handlers of a run, if any, meter its calls and do nothing else.

    The meter of a call tells them of its end, and tokens mean nothing to them.

    Args:
        manager: The run's manager, if it is known.
    """
    handlers = getattr(manager, "handlers", None)
    if handlers is None:
        return False
    return type(handlers) is LateHandlers or only_meter(handlers)


def hush(meter: Meter | None, manager: Any) -> None:
    """Spare a run LangChain's loops over its handlers, where they only meter it.

    In an event loop they cost 4 to 6 us for each token, even if the one handler does
    nothing with it.

    Args:
        meter: The call's meter; it has begun.
        manager: The run's manager.
    """
    if meter is not None and meter.is_alone and manager is not None:
        manager.handlers = []


def calling_manager(frame: FrameType | None) -> Any:
    """Return the run manager of LangChain's streams, which it does not hand over.

    Args:
        frame: That of the caller of the model's `_stream` or `_astream`.

    Returns:
        The manager; `None` where the caller is another one, or of another version: the
        handlers are then told of tokens, and nothing else is different.
    """
    if frame is None or frame.f_code.co_name not in _STREAMS:
        return None
    return frame.f_locals.get("run_manager")


# The last two are for `invoke` of a model that streams.
_STREAMS = {"stream", "astream", "_generate_with_cache", "_agenerate_with_cache"}


def calling_managers(frame: FrameType | None, first: Any, size: int) -> list[Any]:
    """Return the run managers of several prompts; LangChain hands over the first.

    Args:
        frame: That of the caller of the model's `_generate` or `_agenerate`.
        first: The first prompt's manager.
        size: How many prompts there are.

    Returns:
        A manager for each prompt; the first one's for all where the caller is another
        one, or of another version.
    """
    names = {"_generate_helper", "_agenerate_helper"}
    if size > 1 and frame is not None and frame.f_code.co_name in names:
        found = frame.f_locals.get("run_managers") or ()
        if len(found) == size:
            return list(found)
    return [first] * size
