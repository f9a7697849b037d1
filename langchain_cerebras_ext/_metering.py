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
from uuid import uuid4
from weakref import ref

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.globals import get_llm_cache

from langchain_cerebras_ext._observe import Observer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token
    from types import FrameType
    from uuid import UUID

    from langchain_cerebras_ext._client import Call
    from langchain_cerebras_ext._metadata import AnswerFacts
    from langchain_cerebras_ext.wire._decode import Response

__all__ = [
    "ROUTER_CALL",
    "Apart",
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
    "scope",
    "take_apart",
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

    def admit(self, call: Call) -> None:
        """Let a request leave, the first one or a repeated one.

        Raises:
            BudgetExceeded: It must not.
        """

    async def aadmit(self, call: Call) -> None:
        """As `admit`, without blocking the event loop."""

    def answered(
        self,
        call: Call,
        facts: Response | AnswerFacts,
        headers: Mapping[str, str],
        attempts: int,
        elapsed_s: float,
        first_token_s: float | None = None,
        *,
        stream: bool = False,
    ) -> bool:
        """Take a whole answer as it is, where nobody else watches.

        Returns:
            Whether it is taken; else `ended` comes with its record.
        """
        ...

    def resending(self) -> None:
        """Note that a request that was let pass goes once more, unasked.

        The next failure that it is told of is that of the first time.
        """


class MeteredRun(Protocol):
    """A run that somebody wants to meter.

    A handler that knows some has `metered_run(run_id)`, which returns one or `None`.
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

    def lost(self, error: BaseException) -> None:
        """Record that the run has failed, unless its meter has recorded an end."""


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


def open_meter(manager: Any) -> Meter | None:
    """Return what meters the call that is about to be sent, if anybody does.

    Args:
        manager: The run's manager; where it is not known, the run is taken that was
            announced last in this context, unless it was taken before.
    """
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
    apart = _apart.get()
    begun = None if apart is None else apart.run(manager)
    if begun is not None:
        return begun
    for handler in manager.handlers:
        find = getattr(handler, "metered_run", None)
        run: MeteredRun | None = None if find is None else find(manager.run_id)
        if run is not None:
            return run
    return None


# ------------------------------------------------------------------- no events at all

scope: Final[ContextVar[Any]] = ContextVar("langchain_cerebras_ext_costs", default=None)
"""The tracker of the innermost `track_costs`, which LangChain adds to all handlers."""


class Apart:
    """The meters of a run that is about to start, where it has no other handlers.

    LangChain asks each handler in a coroutine of its own whether it wants to hear of
    the start of an asynchronous call, which takes longer than to meter it. What a
    start tells, the run's manager knows as well. So meters are taken out of the
    callbacks of a call, and are no part of its run's handlers.

    Attributes:
        callbacks: What is left of the callbacks that were given.
    """

    __slots__ = ("_left", "_meters", "_runs", "_scope", "_tokens", "callbacks")

    def __init__(self, callbacks: Any, meters: Sequence[Any], within: Any) -> None:
        self.callbacks = callbacks
        self._meters = meters
        self._scope = within
        self._left = 0
        self._runs: list[MeteredRun] = []
        self._tokens: tuple[Token[Any], Token[Any]] | None = None

    def start(self, runs: int) -> None:
        """Begin so many runs in this context."""
        self._left = runs
        self._tokens = _apart.set(self), scope.set(None)

    def end(self) -> None:
        """Leave the context as it was."""
        self._left = 0
        if self._tokens is not None:
            mine, outer = self._tokens
            try:
                scope.reset(outer)
                _apart.reset(mine)
            except ValueError:  # closed in another context, which has its own
                pass

    def run(self, manager: Any) -> MeteredRun | None:
        """Return a manager's run, if it is one of those that were to begin."""
        if self._left <= 0:
            return None
        self._left -= 1
        # From here on, in a task of the run's own, all is as it was before.
        scope.set(self._scope)
        return self._begin(
            manager.run_id, manager.parent_run_id, manager.tags, manager.metadata
        )

    def _begin(self, *facts: Any) -> MeteredRun:
        run: MeteredRun = self._meters[0].begin_run(self._meters, *facts)
        self._runs.append(run)
        return run

    def lost(
        self, error: BaseException, tags: Sequence[str], metadata: Mapping[str, Any]
    ) -> None:
        """Record the runs that failed before anybody has metered them."""
        if not self._runs:
            parent = getattr(self.callbacks, "parent_run_id", None)
            self._begin(uuid4(), parent, tags, metadata)
        for run in self._runs:
            run.lost(error)


_apart: ContextVar[Apart | None] = ContextVar(
    "langchain_cerebras_ext_apart", default=None
)


def take_apart(model: Any, callbacks: Any) -> Apart | None:
    """Return a call's meters, taken out of its callbacks, if they are all its handlers.

    Not where LangChain might answer or refuse the call itself, with a cache or a rate
    limiter that is not ours: meters hear of that from its events only. Nor where the
    model has callbacks of its own, which LangChain does not let go of.

    Args:
        model: The model that is called.
        callbacks: LangChain's argument of that name.
    """
    within = scope.get()
    if not callbacks and within is None:
        return None
    meters: list[Any] = []
    rest = None
    if isinstance(callbacks, BaseCallbackManager):
        rest, callbacks = callbacks, callbacks.handlers
    for handler in callbacks or ():
        if not getattr(handler, "is_meter_only", False):
            return None
        if handler not in meters:
            meters.append(handler)
    if within is not None and within not in meters:
        if not getattr(within, "is_meter_only", False):
            return None
        meters.append(within)
    if not meters or model.callbacks or _may_answer(model):
        return None
    if rest is not None:
        rest = rest.copy()
        rest.handlers, rest.inheritable_handlers = [], []
    return Apart(rest, meters, within)


def _may_answer(model: Any) -> bool:
    """Whether LangChain might end a call before the model is asked."""
    if model.cache is not False and (model.cache or get_llm_cache() is not None):
        return True
    limiter = model.rate_limiter
    return limiter is not None and not hasattr(limiter, "limiter")


def is_alone(manager: Any) -> bool:
    """Whether all handlers of a run, if any, meter its calls and do nothing else.

    The meter of a call tells them of its end, and tokens mean nothing to them.

    Args:
        manager: The run's manager, if it is known.
    """
    handlers = getattr(manager, "handlers", None)
    if handlers is None:
        return False
    for one in handlers:  # noqa: SIM110 - `all` of a generator takes twice as long
        if not getattr(one, "is_meter_only", False):
            return False
    return True


def hush(meter: Meter | None, manager: Any) -> None:
    """Spare a run LangChain's loops over its handlers, where they only meter it.

    In an event loop they cost 4 to 6 us for each token, even if the one handler does
    nothing with it.

    Args:
        meter: The call's meter; it has begun.
        manager: The run's manager.
    """
    if meter is not None and meter.is_alone:
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
