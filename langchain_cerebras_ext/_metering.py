"""Where a call meets those who meter it: cost trackers and their budgets.

The client knows no prices. A `Meter` is an observer of one call that is also asked
before each request leaves, and may refuse it. LangChain tells a model's run to the
handlers, but not to all of the model's methods: `stream` hands over no run manager. So
a handler that meters announces each run here as it starts, in the same context, and
the model takes the announcement when it sends the run's request.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self
from weakref import WeakValueDictionary, ref

from langchain_cerebras_ext._observe import Observer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from uuid import UUID

    from langchain_cerebras_ext._client import Call

__all__ = [
    "ROUTER_CALL",
    "Announcement",
    "CallOutcome",
    "Meter",
    "RouterCall",
    "RunMeter",
    "add_try",
    "announce",
    "calling_manager",
    "calling_managers",
    "follow",
    "hush",
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
    def cost_usd(self) -> str | None:
        """What the call has cost, as a decimal, once it has ended; else `None`."""

    def admit(self, call: Call) -> None:
        """Let a request leave, the first one or a repeated one.

        Raises:
            BudgetExceeded: It must not.
        """

    async def aadmit(self, call: Call) -> None:
        """As `admit`, without blocking the event loop."""

    def resending(self) -> None:
        """Note that a request that was let pass goes once more, unasked.

        The next failure that it is told of is that of the first time.
        """


class RunMeter(Protocol):
    """A handler's interest in one run."""

    def open(self, run: Announcement) -> Meter:
        """Return what meters a call of the run, for all its handlers."""
        ...


class Announcement:
    """One run, for all handlers that meter it.

    Attributes:
        run_id: LangChain's id.
        meters: Who wants to know, in the order of the handlers; they keep it alive.
        taken: Whether the model has opened a meter, or the run has ended without.
        metered: Whether somebody records the run: that meter, which has begun (its
            model may have found an error before), or who was told of the run's end.
        state: What the handlers share about the run; theirs to use.
    """

    __slots__ = ("__weakref__", "metered", "meters", "run_id", "state", "taken")

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.meters: list[RunMeter] = []
        self.taken = False
        self.metered = False
        self.state: Any = None


# All runs that a handler still remembers. Where LangChain tells the model which run it
# is for, it is found here: its handlers may have been told in another context, since
# `agenerate` of text completions starts each run in a task of its own.
_runs: WeakValueDictionary[UUID, Announcement] = WeakValueDictionary()

# The run that a stream in this context is for: of streams LangChain tells no run.
_latest: ContextVar[ref[Announcement] | None] = ContextVar(
    "langchain_cerebras_ext_announced", default=None
)


def announce(run_id: UUID, meter: RunMeter, *, is_ours: bool) -> Announcement:
    """Tell the model, which is about to be called in this context, who meters it.

    Args:
        run_id: LangChain's id of the run.
        meter: Is asked when the request is sent.
        is_ours: Whether the model will ask; others share their runs' state only.

    Returns:
        What all handlers of the run share; it is forgotten when nobody keeps it.
    """
    run = _runs.get(run_id)
    if run is None:
        run = _runs[run_id] = Announcement(run_id)
        if is_ours:
            _latest.set(ref(run))
    run.meters.append(meter)
    return run


def open_meter(run_id: UUID | None) -> Meter | None:
    """Return what meters the call that is about to be sent, if anybody does.

    Args:
        run_id: LangChain's id of the run; where it is not known, the run is taken that
            was announced last in this context, unless it was taken before.
    """
    if run_id is not None:
        run = _runs.get(run_id)
    else:
        held = _latest.get()
        run = None if held is None else held()
    if run is None or run.taken:
        return None
    run.taken = True
    return run.meters[0].open(run)


def follow(manager: Any) -> None:
    """Let the stream that begins in this context belong to a manager's run alone.

    Otherwise one whose handlers do not meter would be taken for the run that was
    announced before it, if another handler has refused that one: it has no end.

    Args:
        manager: The run's manager, if it is known.
    """
    if manager is not None:
        run = _runs.get(manager.run_id)
        _latest.set(None if run is None else ref(run))


def hush(manager: Any) -> None:
    """Spare a run its loop over handlers, where all of them meter and nothing else.

    The meter of the call tells them of its end, and tokens mean nothing to them. In an
    event loop LangChain's own loop costs 4 to 6 us for each token, even if the one
    handler does nothing with it.

    Args:
        manager: The run's manager; its meter is open.
    """
    handlers = getattr(manager, "handlers", None)
    if handlers and all(getattr(one, "is_meter_only", False) for one in handlers):
        manager.handlers = []


def calling_manager(frame: FrameType | None) -> Any:
    """Return the run manager of LangChain's `stream`, which does not hand it over.

    Args:
        frame: That of the caller of the model's `_stream` or `_astream`.

    Returns:
        The manager; `None` where the caller is another one, or of another version: the
        handlers are then told of tokens, and nothing else is different.
    """
    if frame is None or frame.f_code.co_name not in {"stream", "astream"}:
        return None
    return frame.f_locals.get("run_manager")


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
