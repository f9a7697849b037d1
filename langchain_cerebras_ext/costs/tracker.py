"""`CostTracker` and `track_costs`: what calls cost, as LangChain runs them.

Calls of this package's models are metered where they are sent (`_meter`): retries,
cut streams and cancelled calls are known there alone. Other providers' calls are read
from LangChain's callbacks. The tracker has no hook for tokens: a streamed chunk costs
no more than LangChain's own loop over its handlers.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import sys
import threading
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy
from itertools import count, islice
from operator import attrgetter
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast
from weakref import WeakSet

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from langchain_cerebras_ext._late import expect_meters
from langchain_cerebras_ext._metering import announce, announced
from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.costs import _langsmith
from langchain_cerebras_ext.costs._brief import Brief, Kinds, add_calls
from langchain_cerebras_ext.costs._context import Scope
from langchain_cerebras_ext.costs._meter import MANY, read_all
from langchain_cerebras_ext.costs._run import Run
from langchain_cerebras_ext.costs._unended import (
    begun_beside,
    expect_end,
    prompts_beside,
    settle_left,
)
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import add_usd
from langchain_cerebras_ext.costs.records import UsageRecord, record_of
from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
)

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Generator,
        Iterable,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractContextManager
    from datetime import date, datetime
    from decimal import Decimal
    from types import FrameType
    from uuid import UUID

    from langchain_core.messages import BaseMessage

    from langchain_cerebras_ext._late import LateHandlers
    from langchain_cerebras_ext._metering import RouterCall
    from langchain_cerebras_ext.costs._brief import Kind
    from langchain_cerebras_ext.costs._context import Context
    from langchain_cerebras_ext.costs._meter import Noted
    from langchain_cerebras_ext.costs._usage import TokenCounts
    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.report import Dimension

__all__ = ["CostTracker", "track_costs"]

_log = logging.getLogger("langchain_cerebras_ext.costs")

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

_scope: ContextVar[CostTracker | None] = ContextVar(
    "langchain_cerebras_ext_costs", default=None
)
register_configure_hook(_scope, inheritable=True)
_blocks: ContextVar[tuple[_Block, ...]] = ContextVar(
    "langchain_cerebras_ext_cost_blocks", default=()
)
"""The open blocks of a context, the innermost, whose tracker is in `_scope`, last."""

_MOST_OPEN = 10_000
"""Runs that are remembered until their end; past it the oldest count as abandoned."""

_births = count()
_all = threading.Lock()
_trackers: WeakSet[CostTracker] = WeakSet()
"""All that live."""


def _read_everywhere() -> None:
    """Read the answers that came at the prices that are about to change."""
    with _all:
        living = list(_trackers)
    for tracker in living:
        tracker.read_answers()


registry.before_change(_read_everywhere)


def _after_fork() -> None:
    """Let no other thread of the parent hold a lock for ever."""
    global _all  # noqa: PLW0603 - of a process that has one thread
    _all = threading.Lock()
    for tracker in list(_trackers):
        tracker._lock = threading.RLock()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class CostTracker(BaseCallbackHandler):
    """Knows what every call of a model has cost. Safe for threads and tasks.

    Give it to a call, `config={"callbacks": [tracker]}`, or to a model,
    `ChatCerebras(callbacks=[tracker])`; or use `track_costs`, which needs neither.
    One tracker may serve any number of models, threads and event loops.

    Other providers' models are tracked too, as far as LangChain tells: their calls
    are priced by your `prices`, or by the extra `prices`.

    Args:
        prices: Your own prices and discounts; they win over the catalog.
        budgets: Are asked before a call and told after it.
        ledger: A database to keep the records in, or its URL.
        tags: Go on every record, beside those of the run.
        user: Whom the calls are for, where their metadata name no `user_id`.
        session: Their conversation, where the metadata name no `session_id` or
            `thread_id`.
        arm: The arm of an experiment, where the metadata name no `experiment_arm`.
        sinks: Functions that are called with each record, in the thread of the call:
            they should be quick.
        max_records: How many records to keep in `records`; totals are of all.
        of_model: Belongs to a model with `track_costs=True`.
        langsmith: Show LangSmith what each run cost, where it traces.
        parent: A tracker that is told of each record as well, and whose budgets hold
            here too.

    Raises:
        CerebrasConfigurationError: An argument is wrong.

    Example:
        ```python
        from langchain_cerebras_ext import ChatCerebras, CostTracker

        tracker = CostTracker()
        model = ChatCerebras(model="gpt-oss-120b")
        model.invoke("Why is the sky blue?", config={"callbacks": [tracker]})
        print(tracker.get_total_cost(), tracker.by_model)
        ```
    """

    # Short and locked, so that they may run in the event loop; what is raised stops
    # the call, and only `BudgetExceeded` is.
    run_inline = True
    raise_error = True
    is_meter_only = True
    hears_late = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take a subclass for one that listens to more, unless it says otherwise."""
        super().__init_subclass__(**kwargs)
        cls.is_meter_only = bool(cls.__dict__.get("is_meter_only"))
        cls.hears_late = False  # its own methods for a run's beginning are called

    def __init__(
        self,
        *,
        prices: PriceBook | None = None,
        budgets: Budget | Iterable[Budget] = (),
        ledger: Ledger | str | None = None,
        tags: Iterable[str] = (),
        user: str | None = None,
        session: str | None = None,
        arm: str | None = None,
        sinks: Iterable[Callable[[UsageRecord], object]] = (),
        max_records: int = 100_000,
        of_model: bool = False,
        langsmith: bool = True,
        parent: CostTracker | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(max_records, int) or max_records < 0:
            msg = f"max_records={max_records!r} must be a whole number, 0 or more."
            raise CerebrasConfigurationError(msg)
        self._lock = threading.RLock()
        # Taken in without the lock, and out of it with the lock.
        self._fresh: deque[UsageRecord | Brief | Noted] = deque()
        self._taken: list[UsageRecord | Brief | Noted] = []  # and not added up yet
        self._kept: deque[UsageRecord | Brief] = deque(maxlen=max_records)
        self._unread = 0
        self._by: dict[tuple[Any, ...], Totals] = {}
        self._last: UsageRecord | Brief | None = None
        self._sinks: tuple[Callable[[UsageRecord], object], ...] = ()
        self.prices = prices
        self.scope = Scope(_tags(tags), user, session, arm)
        self.ledger = _ledger_of(ledger)
        self.budgets: tuple[Budget, ...] = _several(budgets)
        more = () if self.ledger is None else (self.ledger.add,)
        self.sinks = (*_functions(sinks), *more)
        self.langsmith = langsmith
        if langsmith:
            _langsmith.join(self)
        self.of_model = of_model
        self.parent = parent
        self.lineage: tuple[CostTracker, ...] = (
            self,
            *(parent.lineage if parent is not None else ()),
        )
        self.born = next(_births)
        self.kinds = Kinds()  # of calls of which this is the youngest tracker
        self._open: dict[int, Run] = {}  # by the number of a run's id: soon hashed
        self._roots: dict[UUID, UUID] = {}
        with _all:
            _trackers.add(self)
        expect_meters()

    # ------------------------------------------------------------------- identity

    def __deepcopy__(self, memo: object) -> CostTracker:
        """Return the tracker itself: a copy would lose what it is told."""
        return self

    def __copy__(self) -> CostTracker:
        """Return the tracker itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process empty: what is tracked there stays there.

        A ledger or a shared budget brings the processes together.
        """
        return (_revive, (self._settings(),))

    def _settings(self) -> dict[str, Any]:
        return {
            "prices": self.prices,
            "budgets": self.budgets,
            "ledger": self.ledger,
            "max_records": self._kept.maxlen,
            "of_model": self.of_model,
            "langsmith": self.langsmith,
            **self.scope._asdict(),
        }

    @property
    def prices(self) -> PriceBook | None:
        """Your own prices and discounts; others hold for the calls after."""
        return self._prices

    @prices.setter
    def prices(self, prices: PriceBook | None) -> None:
        if prices is not None and not hasattr(prices, "rates_of_call"):
            msg = (
                f"prices is a {type(prices).__name__}; pass a PriceBook, such as "
                "PriceBook.load('prices.toml')."
            )
            raise CerebrasConfigurationError(msg)
        if getattr(self, "_prices", prices) is not prices:
            self.read_answers()  # those before are priced as before
            Kinds.changes += 1
        self._prices = prices
        self._look()

    @property
    def sinks(self) -> tuple[Callable[[UsageRecord], object], ...]:
        """Functions that are called with each record."""
        return self._sinks

    @sinks.setter
    def sinks(self, sinks: tuple[Callable[[UsageRecord], object], ...]) -> None:
        self.read_answers()  # those before are none of theirs
        self._sinks = sinks
        self._look()

    def _look(self) -> None:
        """See whether answers may be read later than they come.

        A sink is told at once, and what a price book of another class looks at, or a
        tracker does with a record, nobody knows.
        """
        self.reads_later = (
            not self._sinks
            and (self._prices is None or type(self._prices) is PriceBook)
            and type(self).take is CostTracker.take
        )

    # -------------------------------------------------------------------- results

    @property
    def records(self) -> tuple[UsageRecord, ...]:
        """The newest records, oldest first; at most `max_records`."""
        settle_left()
        with self._lock:
            self._fold()
            unread = list(islice(reversed(self._kept), self._unread))
        for kept in unread:  # takes a while for many: calls may end meanwhile
            record_of(kept)
        with self._lock:
            if self._unread:
                read = len(self._kept) - self._unread
                known = list(islice(self._kept, read))
                known += map(record_of, islice(self._kept, read, None))
                # Replaced at once: Ctrl-C may come amid a loop.
                self._kept, self._unread = deque(known, self._kept.maxlen), 0
            return cast("tuple[UsageRecord, ...]", tuple(self._kept))

    @property
    def totals(self) -> Totals:
        """What all calls used and cost, with what is uncertain of it."""
        settle_left()
        found = Totals()
        with self._lock:
            self._fold()
            for totals in self._by.values():
                found.merge(totals)
        return found

    def get_total_cost(self) -> Decimal:
        """Return what all calls cost, in USD, as far as it is known.

        It is all of it only if `unpriced_calls` and `calls_without_usage` are 0, and
        exact if `estimated_calls` is 0 as well; `totals` has everything at once.
        """
        return self.totals.cost

    def get_last_cost(self) -> Decimal | None:
        """Return what the call that ended last cost, in USD, with its billed retries.

        Returns:
            The cost, or `None` where no call has ended or its price is not known.
        """
        last = self.last_record
        if last is None or last.cost_usd is None or last.attempts == 1:
            return None if last is None else last.cost_usd
        return add_usd(last.cost_usd, *self._costs_of_tries(last))

    def _costs_of_tries(self, last: UsageRecord) -> list[Decimal]:
        """Return what the tries before a call's last one have cost."""
        with self._lock:
            kept = [one for one in self._kept if isinstance(one, UsageRecord)]
        costs: list[Decimal] = []
        for one in reversed(kept):
            if one.run_id != last.run_id or one is last:
                continue
            if one.outcome != "retried":  # of an earlier call of the run
                break
            if one.cost_usd is not None:
                costs.append(one.cost_usd)
        return costs

    @property
    def last_record(self) -> UsageRecord | None:
        """The record that was written last."""
        settle_left()
        self.read_answers()
        last = self._last
        return None if last is None else record_of(last)

    @property
    def unpriced_calls(self) -> int:
        """Calls whose cost is not known, and not in the total."""
        return self.totals.unpriced_calls

    @property
    def calls_without_usage(self) -> int:
        """Calls whose tokens the service did not count."""
        return self.totals.calls_without_usage

    @property
    def estimated_calls(self) -> int:
        """Calls whose tokens were counted here, from what was sent and came."""
        return self.totals.estimated_calls

    @property
    def open_calls(self) -> int:
        """Calls under way, and those whose end LangChain has not told yet."""
        settle_left()
        return len(self._open)

    def by(self, dimension: Dimension) -> dict[str | None, Totals]:
        """Return totals for each model, provider, user, tag, node or arm.

        Raises:
            CerebrasConfigurationError: It is none of these.
        """
        if dimension not in _BY:
            msg = f"by({dimension!r}) is unknown; take one of {', '.join(_BY)}."
            raise CerebrasConfigurationError(msg)
        place = _BY.index(dimension)
        settle_left()
        found: dict[str | None, Totals] = {}
        with self._lock:
            self._fold()
            for values, totals in self._by.items():
                value = values[place]
                for key in (value or (None,)) if dimension == "tag" else (value,):
                    held = found.setdefault(key, Totals())
                    held.merge(totals)
        return found

    @property
    def by_model(self) -> dict[str | None, Totals]:
        """Totals for each model that served."""
        return self.by("model")

    @property
    def by_tag(self) -> dict[str | None, Totals]:
        """Totals for each tag; calls without a tag are under `None`."""
        return self.by("tag")

    @property
    def by_user(self) -> dict[str | None, Totals]:
        """Totals for each user; calls for nobody known are under `None`."""
        return self.by("user")

    @property
    def by_node(self) -> dict[str | None, Totals]:
        """Totals for each node of a LangGraph; other calls are under `None`.

        A node within another one, or within an agent that has a name, is told as
        `researcher/model`.
        """
        return self.by("node")

    def reprice(self, *, on: date | None = None, model: str | None = None) -> Totals:
        """Return what the kept records would have cost otherwise.

        Args:
            on: At the prices of this day (UTC), instead of each call's own.
            model: On this model, with the same tokens.

        Returns:
            Totals of their own; nothing is changed. Calls that have no price there
            are counted in `unpriced_calls`.
        """
        from langchain_cerebras_ext.costs.planning import reprice_records

        totals = Totals()
        for record in reprice_records(
            self.records, on=on, model=model, prices=self.prices
        ):
            totals.add(record)
        return totals

    def _fold(self) -> None:
        """Add up what is new; the lock is held.

        Ctrl-C may come at any moment, and what it then calls may read the tracker. So
        all is worked out first; and Python looks for signals where functions are called
        and loops turn, not between the lines that change the tracker.
        """
        fresh = self._fresh
        with suppress(IndexError):
            while True:
                self._taken += (fresh[0],)
                del fresh[0]
        taken = self._taken
        count_taken = len(taken)
        batch = read_all(taken)
        calls: defaultdict[tuple[Kind, Context], list[TokenCounts]] = defaultdict(list)
        sums: dict[tuple[Any, ...], Totals] = {}
        kind = context = None
        same: list[TokenCounts] = []
        for told in batch:
            if type(told) is not Brief:
                self._sum(sums, *_KEY(told)).add(told)
                continue
            if told.kind is not kind or told.context is not context:
                kind, context = told.kind, told.context
                same = calls[kind, context]
            same.append(told.counts)
        for (kind, of), counts in calls.items():
            totals = self._sum(
                sums, kind.served, kind.provider, of.user, of.tags, of.node, of.arm
            )
            add_calls(totals, kind, counts)
        last = batch[-1] if batch else self._last
        unread = min(self._unread + len(batch), self._kept.maxlen or 0)
        if self._taken is not taken:  # a signal's handler has added them up
            return
        self._kept += batch
        self._by |= sums
        self._last = last
        self._unread = unread
        self._taken = taken[count_taken:]

    def _sum(self, sums: dict[tuple[Any, ...], Totals], *key: Any) -> Totals:
        """Return what is to be the sum of a combination: what is asked comes later."""
        totals = sums.get(key)
        if totals is None:
            held = self._by.get(key)
            totals = sums[key] = Totals() if held is None else copy(held)
        return totals

    # ---------------------------------------------------------------- what is told

    def take(self, record: UsageRecord | Brief | Noted) -> None:
        """Take a record in, such as one that was made by hand."""
        fresh = self._fresh
        fresh.append(record)
        if len(fresh) >= MANY:
            self.read_answers()

    def read_answers(self) -> None:
        """Add up what has come, and not been read yet."""
        with self._lock:
            self._fold()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Write what the ledger holds back.

        Returns:
            Whether all is written; also without a ledger.
        """
        settle_left()
        return self.ledger is None or self.ledger.flush(timeout_s)

    def settle_open_calls(self) -> int:
        """Record the calls whose end was never told, as aborted and estimated.

        LangChain says nothing when an `ainvoke` of another provider's model is
        cancelled. It is recorded once nobody keeps the run: the exception, by its
        traceback, may for long. Call this when nothing is under way any more.

        Returns:
            How many there were.
        """
        runs = list(self._open.values())
        for run in runs:
            self._abandon(run)
        return len(runs)

    def settle_tries(self, call: RouterCall) -> None:
        """Record the tries that a router has cancelled and LangChain did not tell of.

        Args:
            call: The router's call; none of its tries is under way any more.
        """
        for run in list(self._open.values()):
            if run.router_call is call:
                self._abandon(run)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function whose calls of models are tracked, in whatever thread.

        LangChain carries a `track_costs` scope into its own threads and tasks; a bare
        `threading.Thread` or executor starts with none. Of an `async def` all that it
        awaits is tracked.

        Raises:
            CerebrasConfigurationError: It is a generator: that runs in the context of
                whoever takes its items, step by step.

        Example:
            ```python
            with track_costs() as costs:
                Thread(target=costs.wrap(work)).start()
            ```
        """
        is_generator = inspect.isgeneratorfunction(function)
        if is_generator or inspect.isasyncgenfunction(function):
            msg = (
                f"wrap({function.__name__}) got a generator, whose body runs when its "
                "items are taken. Wrap the function that takes them."
            )
            raise CerebrasConfigurationError(msg)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with _inside(self):
                    return await function(*args, **kwargs)

            return cast("Callable[P, T]", awaited)

        @functools.wraps(function)
        def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            with _inside(self):
                return function(*args, **kwargs)

        return tracked

    # ------------------------------------------------------------------- callbacks

    @property
    def ignore_retry(self) -> bool:
        """Of no interest here: the retries of a call are in its records."""
        return True

    @property
    def ignore_custom_event(self) -> bool:
        """Of no interest here."""
        return True

    def root_of(self, parent_run_id: UUID) -> UUID:
        """Return the outermost run above the children of one, as far as was told."""
        for tracker in self.lineage:
            root = tracker._roots.get(parent_run_id)  # noqa: SLF001 - of this class
            if root is not None:
                return root
        return parent_run_id

    def is_open(self, run_id: UUID) -> bool:
        """Whether a run has begun and not been recorded."""
        return run_id.int in self._open

    def metered_run(self, run_id: UUID) -> Run | None:
        """Return a run that has begun and not been recorded."""
        return self._open.get(run_id.int)

    def _enter(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: list[str] | None,
        metadata: dict[str, Any] | None,
    ) -> Run:
        """Note a run's beginning; another tracker may have been told of it before."""
        run = announced()
        if not isinstance(run, Run) or run.is_over or run.run_id != run_id:
            above = parent_run_id
            root = run_id if above is None else self.root_of(above)
            run = Run(run_id, above, root, tags, metadata, [])
            run.ask_whose()
            announce(run)
        run.trackers.append(self)
        self._open[run_id.int] = run
        if len(self._open) > _MOST_OPEN:
            self._let_go()
        return run

    def _let_go(self) -> None:
        """Abandon the run that is open for longest."""
        with suppress(StopIteration, KeyError, RuntimeError):
            self._abandon(self._open[next(iter(self._open))])

    def begin(
        self,
        trackers: list[CostTracker],
        told: RunFacts,
        *,
        is_alone: bool = False,
    ) -> Run:
        """Begin a run of a model of ours, of which LangChain did not tell at once.

        Args:
            trackers: All of the run; this is the first.
            told: What LangChain has of it.
            is_alone: Whether the run has no other handlers.
        """
        run_id, above = told.run_id, told.parent_run_id
        root = run_id if above is None else self.root_of(above)
        run = Run(run_id, above, root, told.tags, told.metadata, trackers, is_alone)
        number = run_id.int
        for tracker in trackers:
            under_way = tracker._open  # noqa: SLF001 - of this class
            under_way[number] = run
            if len(under_way) > _MOST_OPEN:
                tracker._let_go()  # noqa: SLF001
        return run

    def latecomer(self, trackers: LateHandlers) -> BaseCallbackHandler:
        """Return who tells of a run's beginning once LangChain tells of its end."""
        return _Latecomer(self, trackers)

    def _abandon(self, run: Run) -> None:
        run.finish(lambda call, trackers: call.abandoned(trackers))

    def _start(
        self,
        run: Run,
        messages: Sequence[BaseMessage] | str,
        more: Mapping[str, Any],
        frame: FrameType,
    ) -> None:
        """Begin to record a call of another provider's model, from what is told."""
        if self.langsmith:
            _langsmith.hook()
        settle_left()
        if run.manager is None:
            run.manager = expect_end(run, frame)
        run.call.started(messages, more)
        try:
            run.call.reserve(self.lineage)
        except Exception as error:
            # Over budget, no way to tell, or what a user's function has raised: the
            # call is stopped before it was sent.
            stopped = error
            run.finish(lambda call, held: call.refused(held, stopped))
            self._leave_unsent(begun_beside(frame))
            raise

    def _leave_unsent(self, run_ids: Iterable[UUID]) -> None:
        """Record runs that have begun, and whose calls will never be sent."""
        for run_id in run_ids:
            if run := self._open.get(run_id.int):
                run.leave(may_be_sent=False)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note the beginning of a chat model's run.

        Raises:
            BudgetExceeded: A budget does not allow the call (other providers' models;
                this package's ask when they send).
        """
        del serialized
        run = self._enter(run_id, parent_run_id, tags, metadata)
        if not run.is_ours:  # ours is metered where it is sent
            self._start(run, messages[0], kwargs, sys._getframe(1))  # noqa: SLF001
        elif run.manager is None:  # another handler may refuse it before it is sent
            run.manager = expect_end(run, sys._getframe(1))  # noqa: SLF001

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note the beginning of a text-completion model's run.

        Raises:
            BudgetExceeded: As for `on_chat_model_start`.
        """
        del serialized
        run = self._enter(run_id, parent_run_id, tags, metadata)
        if not run.is_ours:
            self._start(run, prompts[0], kwargs, sys._getframe(1))  # noqa: SLF001
        elif run.manager is None:
            run.manager = expect_end(run, sys._getframe(1))  # noqa: SLF001

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record a run that has its answer, unless that was done where it was sent."""
        del kwargs
        if run := self._open.get(run_id.int):
            run.finish(lambda call, held: call.ended(held, response))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Record a run that has failed, unless that was done where it was sent."""
        response = kwargs.get("response")
        if run := self._open.get(run_id.int):
            run.finish(lambda call, held: call.failed(held, error, response))
        beside = prompts_beside(run_id, sys._getframe(1))  # noqa: SLF001
        for answered_id, result in beside.answered:
            answer = LLMResult(
                generations=[[*result.generations]], llm_output=result.llm_output
            )
            self.on_llm_end(answer, run_id=answered_id)
        self._leave_unsent(beside.unsent)

    def _above(self, run_id: UUID, parent_run_id: UUID | None) -> None:
        above = parent_run_id
        self._roots[run_id] = run_id if above is None else self.root_of(above)
        if len(self._roots) > _MOST_OPEN:
            with suppress(StopIteration, KeyError, RuntimeError):
                del self._roots[next(iter(self._roots))]

    def on_chain_start(
        self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note whose run is above whose, for `trace_id`."""
        del args, kwargs
        self._above(run_id, parent_run_id)

    def on_chain_end(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        """Forget a run."""
        del args, kwargs
        self._roots.pop(run_id, None)

    on_tool_start = on_retriever_start = on_chain_start
    on_chain_error = on_tool_end = on_tool_error = on_chain_end
    on_retriever_end = on_retriever_error = on_chain_end

    # --------------------------------------------------------------------- display

    def __repr__(self) -> str:
        """Return the totals in a line; they are part of reprs of LangChain's."""
        from langchain_cerebras_ext.costs._display import tracker_line

        return f"<CostTracker {tracker_line(self.totals)}>"

    def __str__(self) -> str:
        """Return the totals as a small table."""
        from langchain_cerebras_ext.costs._display import tracker_text

        return tracker_text(self.totals, self.by_model)

    def _repr_html_(self) -> str:
        from langchain_cerebras_ext.costs._display import tracker_html

        return tracker_html(self.totals, self.by_model, self._series())

    def _series(self) -> list[tuple[datetime, Decimal | None]]:
        return [(record.started_at, record.cost_usd) for record in self.records]

    def plot(self, by: Dimension = "model") -> Any:
        """Return a chart of the spending, as a Matplotlib figure.

        Raises:
            MissingExtraError: The extra `plot` is not installed.
        """
        from langchain_cerebras_ext.costs._plot import plot_costs

        return plot_costs(self.records, by=by)


# As in the keys of `_by`. Sessions are too many to keep a sum of each for ever; a
# ledger has them.
_BY: tuple[str, ...] = ("model", "provider", "user", "tag", "node", "arm")
_KEY = attrgetter("served", "provider", "user", "tags", "node", "arm")


class RunFacts(NamedTuple):
    """What the manager of a run has of it.

    Attributes:
        run_id: LangChain's id.
        parent_run_id: Of the run that made it.
        tags: As LangChain has them.
        metadata: As LangChain has them.
    """

    run_id: UUID
    parent_run_id: UUID | None
    tags: Sequence[str] | None
    metadata: Mapping[str, Any] | None


class _Latecomer(BaseCallbackHandler):
    """Tells trackers of a run's end that they have not heard of."""

    run_inline = True
    raise_error = True

    def __init__(self, first: CostTracker, trackers: LateHandlers) -> None:
        self._first = first
        self._trackers = trackers

    def _begin(self, run_id: UUID) -> Run:
        late = self._trackers
        late.is_open = True
        return self._first.begin(late.meters[:], RunFacts(run_id, *late.facts))

    def wake(self, manager: Any) -> Run:
        """Begin a run of whose handlers somebody has made a list of his own."""
        at = manager.handlers.index(self)
        before, after = manager.handlers[:at], manager.handlers[at + 1 :]
        run = self._trackers.begin(manager)
        manager.handlers = [*before, *manager.handlers, *after]
        return cast("Run", run)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        del kwargs
        run = self._begin(run_id)
        run.finish(lambda call, held: call.ended(held, response))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, **kwargs: Any
    ) -> None:
        run, response = self._begin(run_id), kwargs.get("response")
        run.finish(lambda call, held: call.failed(held, error, response))


def attach_tracker(model: Any) -> None:
    """Put a tracker of its own among the callbacks of a model."""
    tracker = CostTracker(of_model=True)
    held = model.callbacks
    if isinstance(held, BaseCallbackManager):
        held = held.copy()
        held.add_handler(tracker)
        model.callbacks = held
    else:
        model.callbacks = [*(held or ()), tracker]


def _ledger_of(ledger: Any) -> Ledger | None:
    if ledger is None or hasattr(ledger, "add"):
        return cast("Ledger | None", ledger)
    if not isinstance(ledger, (str, PathLike)):
        msg = f"ledger is a {type(ledger).__name__}; pass a Ledger, a path or a URL."
        raise CerebrasConfigurationError(msg)
    from langchain_cerebras_ext.costs.ledger import Ledger

    return Ledger(ledger)


def _tags(tags: Any) -> tuple[Any, ...]:
    if isinstance(tags, str):
        msg = f"tags={tags!r} is one text; pass a list of tags."
        raise CerebrasConfigurationError(msg)
    return () if tags is None else _each(tags, "tags")


def _several(budgets: Any) -> tuple[Budget, ...]:
    if budgets is None:
        return ()
    found = (budgets,) if hasattr(budgets, "reserve") else _each(budgets, "budgets")
    for budget in found:
        if not hasattr(budget, "reserve"):
            msg = f"budgets holds a {type(budget).__name__}; pass Budget(limit=...)."
            raise CerebrasConfigurationError(msg)
    return found


def _functions(sinks: Any) -> tuple[Callable[[UsageRecord], object], ...]:
    found = (sinks,) if callable(sinks) else _each(sinks, "sinks")
    for sink in found:
        if not callable(sink):
            msg = f"sinks holds a {type(sink).__name__}; pass functions of a record."
            raise CerebrasConfigurationError(msg)
    return found


def _each(given: Any, name: str) -> tuple[Any, ...]:
    try:
        return tuple(given)
    except TypeError as error:
        msg = f"{name}={given!r} is a {type(given).__name__}; pass one or a list."
        raise CerebrasConfigurationError(msg) from error


def _revive(settings: dict[str, Any]) -> CostTracker:
    return CostTracker(**settings)


class _Block:
    """A block that a tracker is open for; blocks of one tracker are told apart."""

    __slots__ = ("tracker",)

    def __init__(self, tracker: CostTracker) -> None:
        self.tracker = tracker


@contextmanager
def _inside(tracker: CostTracker) -> Generator[None]:
    """Let a tracker see what is called meanwhile.

    Blocks need not end in the order in which they began, nor in the same context: the
    steps of generators are the caller's. Each takes out itself alone, where it is.
    """
    block = _Block(tracker)
    _set_blocks((*_blocks.get(), block))
    try:
        yield
    finally:
        _set_blocks(tuple(one for one in _blocks.get() if one is not block))


def _set_blocks(blocks: tuple[_Block, ...]) -> None:
    _blocks.set(blocks)
    _scope.set(blocks[-1].tracker if blocks else None)


class CostScope:
    """What `track_costs` opens: a block, or a block around each call of a function.

    Each block has a tracker of its own; a ledger given as a URL is opened once.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = {**settings}
        self._lock = threading.Lock()
        self._open: tuple[AbstractContextManager[None], CostTracker] | None = None

    def __repr__(self) -> str:
        """Say what it is for, and what to do with it; a ledger's URL is nobody's."""
        told = {name: self._settings.get(name) for name in Scope._fields}
        words = ", ".join(f"{name}={value!r}" for name, value in told.items() if value)
        return f"<track_costs({words}): a scope, for `with` or as a decorator>"

    def __enter__(self) -> CostTracker:
        """Open a block.

        Raises:
            CerebrasConfigurationError: An argument is wrong, or it is open already.
        """
        if self._open is not None:
            msg = "This scope is open already. Call track_costs(...) for each block."
            raise CerebrasConfigurationError(msg)
        outer = _scope.get()
        settings: dict[str, Any] = {**self._settings, "ledger": self._ledger()}
        if outer is not None and settings["prices"] is None:
            settings["prices"] = outer.prices
        tracker = CostTracker(**settings, parent=outer)
        self._open = (_inside(tracker), tracker)
        self._open[0].__enter__()
        return tracker

    def __exit__(self, *raised: object) -> None:
        """Close the block, and wait a while for its ledger."""
        del raised
        self._close().flush(_FLUSH_S)

    async def __aenter__(self) -> CostTracker:
        """Open a block, as `with` does."""
        return self.__enter__()

    async def __aexit__(self, *raised: object) -> None:
        """Close the block; the event loop goes on while its ledger is waited for."""
        del raised
        tracker = self._close()
        if tracker.ledger is not None:
            await asyncio.to_thread(tracker.flush, _FLUSH_S)

    def _close(self) -> CostTracker:
        if self._open is None:
            msg = "This scope is not open."
            raise CerebrasConfigurationError(msg)
        (block, tracker), self._open = self._open, None
        block.__exit__(None, None, None)
        for held in tracker.lineage:  # else the outer ones keep it, unread
            held.read_answers()
        return tracker

    def _ledger(self) -> Ledger | None:
        """Return the ledger, opened once, and not before something is tracked."""
        with self._lock:
            found = self._settings["ledger"] = _ledger_of(self._settings["ledger"])
        return found

    def _again(self) -> CostScope:
        return CostScope({**self._settings, "ledger": self._ledger()})

    def __call__(self, function: F) -> F:
        """Return a function each call of which is a block of its own.

        Of an `async def` all that it awaits is tracked.

        Raises:
            CerebrasConfigurationError: It cannot be called as it is, or is a class or
                a generator: that runs in the context of whoever takes its items, step
                by step.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if not callable(function) or isinstance(function, _NO_FUNCTIONS):
            msg = (
                f"track_costs() cannot decorate {name}, a {type(function).__name__}. "
                "Decorate a function; of a class, its methods, below @staticmethod."
            )
            raise CerebrasConfigurationError(msg)
        if _is(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            msg = (
                f"track_costs() cannot decorate {name}, a generator, whose body runs "
                "when its items are taken. Decorate the function that takes them."
            )
            raise CerebrasConfigurationError(msg)
        if _is(function, inspect.iscoroutinefunction):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                async with self._again() as costs:
                    return _tracked(await function(*args, **kwargs), costs, name)

            return cast("F", awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._again() as costs:
                return _tracked(function(*args, **kwargs), costs, name)

        return cast("F", called)


_NO_FUNCTIONS = (type, staticmethod, classmethod)


def _is(function: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether a function is of a kind, or an object that is called is."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 - it is callable
    return any(kind(function) or kind(call) for kind in kinds)


def _tracked(result: Any, costs: CostTracker, name: str) -> Any:
    """Return what a function has given, so that what it still has to do is tracked."""
    if inspect.iscoroutine(result):
        return costs.wrap(_wait)(result)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        warn_user(
            f"{name} is tracked by track_costs() and has returned a generator. What "
            "that calls as its items are taken is not tracked: take them within the "
            "function.",
            CerebrasCostWarning,
        )
    return result


async def _wait(coroutine: Awaitable[T]) -> T:
    return await coroutine


def track_costs(
    *,
    tags: Iterable[str] = (),
    user: str | None = None,
    session: str | None = None,
    arm: str | None = None,
    budget: Budget | Iterable[Budget] = (),
    ledger: Ledger | str | None = None,
    prices: PriceBook | None = None,
    sinks: Iterable[Callable[[UsageRecord], object]] = (),
) -> CostScope:
    """Track all calls of models that are made within a block, or by a function.

    It reaches chains, agents, `batch`, LangGraph and the tasks and threads that
    LangChain starts; bare threads need `CostTracker.wrap`. Scopes within one another
    add up: the outer one sees the calls of the inner one, and its tags and budgets
    hold there too.

    `async with` does the same, and lets the event loop go on while its end waits for
    the ledger. As a decorator it opens a scope for each call of a function, also of an
    `async def`; sinks, budgets, a ledger or a scope around the call tell what it cost.

    Args:
        tags: Go on every record.
        user: Whom the calls are for.
        session: Their conversation or job.
        arm: The arm of an experiment.
        budget: One budget or several; a call that exceeds one is not sent.
        ledger: A database to keep the records in, or its URL.
        prices: Your own prices and discounts.
        sinks: Functions that are called with each record.

    Returns:
        What opens the scope; `with` gives its tracker, which can be read during the
        block and after it.

    Raises:
        CerebrasConfigurationError: An argument is wrong.

    Example:
        ```python
        with track_costs(user="alice", tags=["summaries"]) as costs:
            chain.invoke(text)
        print(costs.get_total_cost(), costs.by_model)
        ```
    """
    return CostScope(
        {
            # They are read for each block: what can be read once is kept.
            "tags": _tags(tags),
            "user": user,
            "session": session,
            "arm": arm,
            "budgets": _several(budget),
            "ledger": ledger,
            "prices": prices,
            "sinks": _functions(sinks),
        }
    )


_FLUSH_S = 5.0
"""How long the end of a block waits for its ledger; what is left is written later."""
