"""Meters one call of this package's models: from the first request to its end.

Whatever way a call ends, the client tells of it once; here that becomes records and
the settlement of what budgets had reserved.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from langchain_cerebras_ext._metadata import PROVIDER, uncounted_sides
from langchain_cerebras_ext._metering import ROUTER_CALL, router_call
from langchain_cerebras_ext._observe import CallRecord, MeterWatch
from langchain_cerebras_ext._status import request_id_of
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.costs import _langsmith
from langchain_cerebras_ext.costs._brief import IMAGES, Brief, Kind, Kinds, day_price
from langchain_cerebras_ext.costs._context import CONTEXT_KEYS, merge_context
from langchain_cerebras_ext.costs._usage import (
    RecordCounts,
    ValidationError,
    bounded,
    counts_of,
    read_service,
    read_standard,
    to_whole,
)
from langchain_cerebras_ext.costs.planning import highest_cost
from langchain_cerebras_ext.costs.prices import list_prices
from langchain_cerebras_ext.costs.pricing import Cost, add_usd, cost_of, usd_text
from langchain_cerebras_ext.costs.records import UsageRecord, record_of
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasTimeoutError,
    UnknownPriceError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from langchain_core.messages import AIMessage

    from langchain_cerebras_ext._client import Call
    from langchain_cerebras_ext._metadata import AnswerFacts
    from langchain_cerebras_ext._metering import CallOutcome, RouterCall
    from langchain_cerebras_ext.costs._context import Context, Scope
    from langchain_cerebras_ext.costs._usage import TokenCounts, Whole
    from langchain_cerebras_ext.costs.budget import Budget, CallScope, Hold
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.costs.pricing import PriceRow
    from langchain_cerebras_ext.costs.records import Flag, Outcome
    from langchain_cerebras_ext.costs.tracker import CostTracker
    from langchain_cerebras_ext.errors import FailedAttempt
    from langchain_cerebras_ext.wire._decode import Response

__all__ = [
    "GUESSED",
    "UNCOUNTED",
    "CallMeter",
    "Noted",
    "count_output",
    "deliver",
    "end_of_left",
    "find_price",
    "prices_of",
    "read_all",
]

GUESSED: Final[tuple[Flag, ...]] = ("estimated", "no_usage")
"""Flags of counts that were made here."""
HALF_GUESSED: Final[tuple[Flag, ...]] = ("estimated",)
"""Flags of counts of which a part was made here."""
UNCOUNTED: Final[tuple[Flag, ...]] = ("no_usage",)
"""Flags where nobody has counted."""

MANY: Final = 64
"""Calls that are read and added up at once, when nobody has asked before."""

_PACKAGE: Final = "langchain-cerebras-ext"
_OUR_NAMES: Final = (PROVIDER, None)
_DAY_S: Final = 86_400
_ZERO = Decimal(0)
_NOT_YET: Final[Any] = object()
Shared = tuple[str | None, str, bool, str | None]
"""What answers may have in common: model, operation, stream, service tier."""
_reading = threading.RLock()
_SHARED = attrgetter("response_model", "operation", "stream", "service_tier")
_SILENT: Final[Mapping[str, Any]] = MappingProxyType({})
_BORN: Final[Callable[[CostTracker], int]] = attrgetter("born")
_SCOPE: Final[Callable[[CostTracker], Scope]] = attrgetter("scope")
_NO_TOKENS = RecordCounts(input_tokens=0, output_tokens=0)
_UNKNOWN = RecordCounts()
_log = logging.getLogger("langchain_cerebras_ext.costs")


def _after_fork() -> None:
    """Let no other thread of the parent hold the lock for ever."""
    global _reading  # noqa: PLW0603 - of a process that has one thread
    _reading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def deliver(
    told: UsageRecord | Brief,
    trackers: Sequence[CostTracker],
    *,
    is_alone: bool = False,
) -> None:
    """Hand a record to trackers, and once to each of their sinks.

    Args:
        told: A brief's record is made when a tracker has sinks: they need it now.
        trackers: All of the run, and their parents.
        is_alone: Whether the run has no other handlers, such as LangSmith's.
    """
    has_sinks = False
    for tracker in trackers:
        tracker.take(told)
        if tracker.sinks:
            has_sinks = True
    if has_sinks:
        _sink(told, trackers)
    if not is_alone and any(tracker.langsmith for tracker in trackers):
        _langsmith.hook()
        _langsmith.note(told)


def _sink(told: UsageRecord | Brief, trackers: Sequence[CostTracker]) -> None:
    had: list[Callable[[UsageRecord], object]] = []  # a bound method has no identity
    for sink in chain.from_iterable(tracker.sinks for tracker in trackers):
        if sink in had:
            continue
        had.append(sink)
        try:
            sink(record_of(told))
        except Exception:  # noqa: BLE001 - a sink must not cost an answer
            _log.exception("a sink of cost records failed")


def prices_of(trackers: Sequence[CostTracker]) -> PriceBook | None:
    """Return the prices of the first tracker that has its own."""
    for held in trackers:
        if held.prices is not None:
            return held.prices
    return None


def find_price(
    provider: str,
    model: str,
    when: datetime,
    trackers: Sequence[CostTracker],
    *,
    input_tokens: int | None = None,
    service_tier: str | None = None,
) -> PriceRow | None:
    """Return the rates of a model at a time, by the first tracker's own prices."""
    return (prices_of(trackers) or list_prices()).find(
        provider,
        model,
        when,
        input_tokens=input_tokens,
        service_tier=service_tier,
    )


@final
class Noted(msgspec.Struct, eq=False):
    """A whole answer, as far as it must be kept until it is read.

    Attributes:
        trackers: All of the run.
        model: The model that was asked for.
        began_s: When it began, in seconds since 1970.
        run_id: LangChain's id of the run.
        parent_run_id: Of the run that made it.
        root_id: Of the outermost run.
        tags: As LangChain has them.
        metadata: As LangChain has them.
        whole: Its tokens.
        usage: The same, as the service told them.
        shared: What it may share with others.
        request_id: The service's id.
        attempts: As in a record.
        first_token_s: Seconds to the first content of a stream.
        elapsed_s: Seconds to the end.
        queued: Seconds in the service's queue, as it says.
        kept: What is kept of it, once it was read.
    """

    trackers: tuple[CostTracker, ...]
    model: str
    began_s: float
    run_id: UUID
    parent_run_id: UUID | None
    root_id: UUID
    tags: Sequence[str] | None
    metadata: Mapping[str, Any]
    whole: Whole
    usage: Mapping[str, Any] | None
    shared: Shared
    request_id: str | None
    attempts: int
    first_token_s: float | None
    elapsed_s: float
    queued: object
    kept: UsageRecord | Brief | None = None

    def read(self, last: _Last | None = None) -> UsageRecord | Brief | None:
        """Return what is kept of it: a brief, where that says all that a record would.

        Args:
            last: What was read before; most answers are alike.

        Returns:
            `None` if it cannot be recorded.
        """
        with _reading:  # all its trackers are to keep the same
            if self.kept is None:
                try:
                    self.kept = self._brief(last or _Last()) or self._record()
                except Exception:  # noqa: BLE001 - it must not cost the others
                    _log.exception("a call cannot be recorded")
                if len(self.trackers) > 1:
                    # The others may have it for long after a scope has ended.
                    self.trackers, self.metadata = (), _SILENT
            return self.kept

    def _brief(self, last: _Last) -> Brief | None:
        try:
            alike = (self.trackers, self.model, self.shared, self.began_s // _DAY_S)
            if alike != last.alike:
                last.kind = self._kind()
                last.alike = alike
            kind, counts = last.kind, counts_of(self.whole)
            if kind is None or counts is None or counts[IMAGES]:
                return None
            context = kind.context
            if self.tags or not CONTEXT_KEYS.isdisjoint(self.metadata):
                scopes = map(_SCOPE, self.trackers)
                context = merge_context(self.tags, self.metadata, scopes)
            return Brief(
                kind,
                context,
                counts,
                self.began_s,
                self.run_id,
                self.parent_run_id,
                self.root_id,
                self.request_id,
                self.attempts,
                self.first_token_s,
                self.elapsed_s,
                self.queued,
            )
        except Exception:  # noqa: BLE001 - it is recorded whatever cannot be read
            _log.exception("a call cannot be kept as a brief")
            return None

    def _kind(self) -> Kind | None:
        """Return what it shares with others, if calls of it add up."""
        trackers = self.trackers
        # The youngest keeps them: it has no other trackers than those it was used with.
        owner = max(trackers, key=_BORN)
        kinds = owner.kinds
        if kinds.table is not registry.built or kinds.changes_seen != Kinds.changes:
            kinds = owner.kinds = Kinds()
        key = (trackers, self.model, *self.shared, self.began_s // _DAY_S)
        kind: Kind | None = kinds.get(key, _NOT_YET)
        if kind is _NOT_YET:
            kind = CallMeter.of(self).shared_kind(self.shared)
            kinds.add(key, kind)
        return kind

    def _record(self) -> UsageRecord:
        model_served, operation, stream, tier = self.shared
        return CallMeter.of(self).make_record(
            CallRecord(
                operation,
                "POST",
                "",
                self.model,
                stream,
                request_id=self.request_id,
                response_model=model_served,
                usage=self.usage,
                service_tier=tier,
                attempts=self.attempts,
                first_token_s=self.first_token_s,
                elapsed_s=self.elapsed_s,
                time_info={"queue_time": self.queued},
            )
        )


class _Last:
    """The kind of the answer that was read last, and by what it was found."""

    alike: object = None
    kind: Kind | None = None


def read_all(
    calls: Iterable[UsageRecord | Brief | Noted],
) -> list[UsageRecord | Brief]:
    """Return what is kept of calls, also of those whose answer was only noted."""
    found: list[UsageRecord | Brief] = []
    last = _Last()
    with _reading:  # once, not for each
        for call in calls:
            told = call.read(last) if type(call) is Noted else call
            if told is not None:
                found.append(told)
    return found


class CallMeter(MeterWatch):
    """A run of a model that meters its call, for all trackers that want to know of it.

    It is a `Meter` of `_metering`: the client asks it before each request, and tells
    it of each failed try and of the end.

    A whole answer is only noted, and read with those around it when somebody asks, or
    when a tracker has many: one by one takes longer, since what a call does between
    them pushes the code for it out of the processor's caches. Then a `Brief` is kept:
    to make a record takes longer than all else that a tracker does for a call.

    Attributes:
        run_id: LangChain's id.
        parent_run_id: Of the run that made it.
        root_id: Of the outermost run, as far as it was told.
        tags: As LangChain has them.
        metadata: As LangChain has them.
        is_ours: Whether its model is one of this package, which meters itself.
        trackers: Who were told of it, in the order of the handlers.
        is_metered: Whether somebody records the run: its meter has let a request pass
            or told of an end (its model may have found an error before), or who was
            told of the run's end.
        is_alone: Whether the run has no other handlers.
        is_over: Whether its trackers have forgotten it.
    """

    # Made for each call: only what is not as here is set.
    _noted: Noted | None = None
    _context: Context | None = None
    _holds: Sequence[Hold] = ()
    _so_far: CallOutcome | None = None
    _costs: tuple[Cost, ...] = ()
    _row: PriceRow | None = None
    _priced_as: str | None = None
    _is_try_told = False
    _is_sent = False
    _resending = False
    _owed = _ZERO
    _model = ""
    _kept: UsageRecord | Brief | None = None

    is_ours = True
    is_metered = False
    is_over = False
    _trackers: tuple[CostTracker, ...] = ()
    _began_s: float

    def __init__(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        root_id: UUID,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any] | None,
        trackers: list[CostTracker],
        is_alone: bool = False,
    ) -> None:
        self.run_id = run_id
        self.parent_run_id = parent_run_id
        self.root_id = root_id
        self.tags = tags
        self.metadata = metadata or {}
        self.trackers = trackers
        self.is_alone = is_alone

    @classmethod
    def of(cls, noted: Noted) -> CallMeter:
        """Return what can tell more of an answer than that it was noted."""
        made = cls(
            noted.run_id,
            noted.parent_run_id,
            noted.root_id,
            noted.tags,
            noted.metadata,
            [],
        )
        made._trackers = noted.trackers
        made._began_s = noted.began_s
        made._model = noted.model
        return made

    def ask_whose(self) -> None:
        """Look at the metadata whether the model is one of this package."""
        said = self.metadata
        # A text completion's `generate` does not name its provider.
        self.is_ours = _PACKAGE in (said.get("lc_versions") or ()) and (
            said.get("ls_provider") in _OUR_NAMES
        )

    @property
    def _began(self) -> datetime:
        return datetime.fromtimestamp(self._began_s, UTC)

    def close(self) -> None:
        """Let the trackers forget the run: it is recorded."""
        self.is_over = True
        number = self.run_id.int
        for tracker in self.trackers:
            tracker._open.pop(number, None)  # noqa: SLF001 - a call of its own is dear

    @property
    def router_call(self) -> RouterCall | None:
        """The router's call that the run is a try of, where the router is at hand."""
        return router_call(self.metadata)

    def context(
        self, trackers: Sequence[CostTracker], *, is_silent: bool = False
    ) -> Context:
        """Return whose the run is, by its own words and those of trackers.

        Args:
            trackers: All of the run.
            is_silent: Leave its own words out: as of all runs that have none.
        """
        scopes = map(_SCOPE, trackers)
        if is_silent:
            return merge_context(None, None, scopes)
        return merge_context(self.tags, self.metadata, scopes)

    @property
    def cost_usd(self) -> str | None:
        """What the call has cost, as a decimal, once it has ended and if known."""
        kept = self._kept if self._noted is None else self._noted.read()
        last = None if kept is None else kept.cost
        costs = self._costs if last is None else (*self._costs, last)
        return usd_text(add_usd(*(cost.total for cost in costs))) if costs else None

    # -------------------------------------------------------------------- budgets

    def begin(self, call: Call) -> bool:
        """Note what is sent for the first time, or again; return whether to ask."""
        self._sent = call
        self._model = call.model or ""
        self.is_metered = True
        for tracker in self._trackers:
            if tracker.budgets:
                return True
        self._is_sent = True
        return False

    def _ask(self, call: Call) -> tuple[list[Budget], CallScope, Decimal | None]:
        """Return which budgets are asked, for how much on whose behalf."""
        from langchain_cerebras_ext.costs.budget import CallScope

        payload = call.payload or {}
        context = self._who()
        scope = CallScope(
            model=self._model,
            provider=PROVIDER,
            user=context.user,
            session=context.session,
            tags=context.tags,
            run=str(self.root_id),
        )
        most = payload.get("max_completion_tokens") or payload.get("max_tokens")
        amount = highest_cost(
            self._price(),
            model=self._model,
            input_tokens=self._input_tokens(),
            max_output_tokens=most if isinstance(most, int) and most > 0 else None,
            n=max(payload.get("n") or 1, payload.get("best_of") or 1),
        )
        budgets: list[Budget] = []
        for budget in chain.from_iterable(one.budgets for one in self._trackers):
            if budget not in budgets:
                budgets.append(budget)
        return budgets, scope, amount

    def admit(self, call: Call) -> None:
        """Reserve what the next request may cost.

        Raises:
            BudgetExceeded: A budget does not allow it.
        """
        budgets, scope, amount = self._ask(call)
        try:
            for budget in budgets:
                self._hold(budget.reserve(scope, amount))
        except BaseException:
            self._release()
            raise
        self._is_sent = True

    async def aadmit(self, call: Call) -> None:
        """As `admit`, without blocking the event loop.

        Raises:
            BudgetExceeded: A budget does not allow it.
        """
        budgets, scope, amount = self._ask(call)
        try:
            for budget in budgets:
                self._hold(await budget.areserve(scope, amount))
        except BaseException:
            self._release()
            raise
        self._is_sent = True

    def _hold(self, hold: Hold | None) -> None:
        if hold is not None:
            self._holds = (*self._holds, hold)

    def _release(self) -> None:
        holds, self._holds = self._holds, ()
        for hold in holds:
            hold.release()

    def _settle(self, cost: Cost | None) -> None:
        holds, self._holds = self._holds, ()
        owed, self._owed = self._owed, _ZERO
        for hold in holds:
            hold.settle(None if cost is None else cost.add_to(owed))

    def resending(self) -> None:
        """Note that the same request goes once more: what is reserved is for both."""
        self._resending = True

    # ------------------------------------------------------------- what is told

    def started(self, record: CallRecord) -> None:
        """Do nothing: what there is to know comes with the first request."""
        del record

    def take(
        self,
        facts: Response | AnswerFacts,
        headers: Mapping[str, str],
        attempts: int,
        elapsed_s: float,
        first_token_s: float | None = None,
    ) -> bool:
        """Note a whole answer, if it says what was used."""
        call, info = self._sent, facts.time_info
        if self._holds or call is None:
            return False
        try:
            whole = to_whole(facts.usage)
        except ValidationError:
            return False
        if ROUTER_CALL in self.metadata and self._end_try("ok") is not None:
            return False  # after other tries: its record must say so
        trackers = self._trackers
        noted = self._noted = Noted(
            trackers,
            self._model,
            self._began_s,
            self.run_id,
            self.parent_run_id,
            self.root_id,
            self.tags,
            self.metadata,
            whole,
            facts.usage,
            (
                facts.model,
                call.operation,
                self._is_stream,
                facts.service_tier_used or facts.service_tier,
            ),
            request_id_of(headers) or facts.id,
            attempts,
            first_token_s,
            elapsed_s,
            info.get("queue_time") if info else None,
        )
        self._sent = None  # neither prompt nor answer is kept
        is_later = self.is_alone
        for tracker in trackers:
            if not tracker.reads_later:
                is_later = False
        if not is_later:
            told = noted.read()
            if told is not None:
                deliver(told, trackers, is_alone=self.is_alone)
            self.close()
            return True
        self.is_over = True
        number = self.run_id.int
        for tracker in trackers:  # as `tracker.take` and `close` do
            fresh = tracker._fresh  # noqa: SLF001 - a call of its own is dear
            fresh.append(noted)
            tracker._open.pop(number, None)  # noqa: SLF001
            if len(fresh) >= MANY:
                tracker.read_answers()
        return True

    def _keep(self, told: UsageRecord | Brief) -> None:
        """Hand on what is kept of the call."""
        self._kept = told
        self._sent = None  # neither prompt nor answer is kept
        deliver(told, self._trackers, is_alone=self.is_alone)
        self.close()

    def retried(self, state: object, record: CallRecord, failed: FailedAttempt) -> None:
        """Record a try that failed, if it may have been billed."""
        del state
        again, self._resending = self._resending, False
        was_sent, self._is_sent = self._is_sent, again
        if not was_sent or failed.billed is False:
            if not again:
                self._release()
            return
        flags: tuple[Flag, ...] = ()
        counts: TokenCounts | None = read_standard(failed.usage or None)
        if counts is None:
            counts, flags = _guess(self._input_tokens(), 0), GUESSED
        cost, brief, flags = self._settled(record, counts, flags, is_end=not again)
        if cost is not None:
            self._costs = (*self._costs, cost)
        brief.attempts, brief.duration_s = len(record.failed), failed.elapsed_s
        row = brief.record_as(
            cost, None, flags, "retried", failed.error_type, self._so_far
        )
        deliver(row, self._trackers, is_alone=self.is_alone)

    def _price(self, served: str | None = None) -> PriceRow | None:
        """Return the rates of the call; looked up once for who is to serve it."""
        served = served or self._model
        if self._priced_as != served:
            self._priced_as = served
            self._row = None
            try:
                book = prices_of(self._trackers) or list_prices()
                if served == self._model:
                    self._row = book.find(PROVIDER, served, self._began)
                else:
                    rates = book.rates_of_call(
                        PROVIDER, self._model, served, self._began
                    )
                    self._row = None if rates is None else rates.of_size(0).row
            except Exception:  # noqa: BLE001 - the call is recorded as unpriced
                _log.exception("the price of %s cannot be looked up", self._model)
        return self._row

    def ended(self, state: object, record: CallRecord) -> None:
        """Record the call, whatever its end was."""
        del state
        self._model = record.model or ""
        self.is_metered = True
        if ROUTER_CALL in self.metadata:
            self._end_try(_end_of(record, self.router_call)[0])
        try:
            self._keep(self.make_record(record))
        finally:
            if self._holds:  # where it was not done
                self._settle(None)
            self.close()

    def _end_try(self, outcome: Outcome) -> CallOutcome | None:
        """Tell the router's call of its try, once; return what it had come to before.

        At the end itself, and not when a record is made: tries have an order.
        """
        was_told, self._is_try_told = self._is_try_told, True
        call = self.router_call
        if call is not None and not was_told:
            self._so_far = call.end_try(outcome)
        return self._so_far

    def shared_kind(self, shared: Shared) -> Kind | None:
        """Return the kind of a call, if calls of it add up."""
        try:
            book = prices_of(self._trackers) or list_prices()
            day, served = self._began.date(), shared[0]
            row = day_price(book, self._model, served, day)
        except Exception:  # noqa: BLE001 - it comes again where the record is made
            return None
        if row is None:
            return None
        return self._new_kind(shared, self.context(self._trackers, is_silent=True), row)

    def _new_kind(self, shared: Shared, context: Context, row: PriceRow | None) -> Kind:
        model_served, operation, stream, tier = shared
        served = model_served or self._model
        return Kind(
            self._model,
            model_served,
            operation,
            stream,
            tier,
            context,
            row,
            served,
        )

    def make_record(self, record: CallRecord) -> UsageRecord:
        """Return what is recorded of a call that has ended, and settle for it."""
        error = record.error
        outcome, error_type = _end_of(record, self.router_call)
        flags: tuple[Flag, ...] = ()
        counts: TokenCounts | None = read_service(record.usage)
        if counts is None and isinstance(error, CerebrasError):
            counts = read_standard(error.partial_usage)
        is_counted = counts is not None and bool(counts[0] or counts[4])
        # No prompt is empty: what counts none is no count.
        lacks = uncounted_sides(record.usage) if record.usage else (False, False)
        if is_counted and counts is not None and not counts[0]:
            lacks = True, lacks[1]
        if counts is None or not is_counted or any(lacks):
            try:
                seen, flags = self._seen(record, error)
                if counts is not None and is_counted:
                    seen, flags = _filled(counts, seen, lacks), HALF_GUESSED
                counts = seen
            except Exception:  # noqa: BLE001 - a call is recorded whatever is not known
                _log.exception("the tokens of a call cannot be counted")
                counts, flags = _UNKNOWN, UNCOUNTED
        possible = bounded(counts)
        if possible != counts:
            counts, flags = possible, flags or HALF_GUESSED
        cost, brief, flags = self._settled(record, counts, flags)
        tokens_per_s = brief.tokens_per_s if is_counted else None
        return brief.record_as(
            cost, tokens_per_s, flags, outcome, error_type, self._so_far
        )

    def _seen(
        self, record: CallRecord, error: BaseException | None
    ) -> tuple[TokenCounts, tuple[Flag, ...]]:
        """Return what a call used that the service has not counted."""
        if not self._is_sent:
            return _NO_TOKENS, ()
        arrived = None
        if isinstance(error, CerebrasError):
            if error.billed is False:
                return _NO_TOKENS, ()
            arrived = error.partial_message
        if arrived is None and record.message is not None:
            arrived = record.message()
        output = count_output(arrived, self._model)
        return _guess(self._input_tokens(), output), GUESSED

    def _input_tokens(self) -> int:
        count = None if self._sent is None else self._sent.count_input
        return 0 if count is None else count()

    def _who(self) -> Context:
        if self._context is None:
            self._context = self.context(self._trackers)
        return self._context

    def _settled(
        self,
        record: CallRecord,
        counts: TokenCounts,
        flags: tuple[Flag, ...],
        *,
        is_end: bool = True,
    ) -> tuple[Cost | None, Brief, tuple[Flag, ...]]:
        """Settle with the budgets what a try costs, and return what to record of it."""
        row = self._price(record.response_model)
        cost, flags = _priced(counts, flags, row)
        if is_end:
            self._settle(cost)
        elif cost is not None:
            self._owed = cost.add_to(self._owed)
        context = self._who()
        brief = Brief(
            self._new_kind(_SHARED(record), context, row),
            context,
            counts,
            self._began_s,
            self.run_id,
            self.parent_run_id,
            self.root_id,
            record.request_id or record.response_id,
            record.attempts or 1,
            record.first_token_s,
            record.elapsed_s,
            (record.time_info or _SILENT).get("queue_time"),
        )
        return cost, brief, flags


def _filled(
    counts: TokenCounts, seen: TokenCounts, lacks: tuple[bool, bool]
) -> TokenCounts:
    """Return counts with what was seen of the prompt or the answer, where they lack."""
    prompt, answer = lacks
    found = RecordCounts(*counts)
    return found._replace(
        input_tokens=seen[0] if prompt else found.input_tokens,
        output_tokens=seen[4] if answer else found.output_tokens,
    )


def _guess(input_tokens: int, output_tokens: int) -> RecordCounts:
    return RecordCounts(input_tokens=input_tokens, output_tokens=output_tokens)


def _priced(
    counts: TokenCounts, flags: tuple[Flag, ...], row: PriceRow | None
) -> tuple[Cost | None, tuple[Flag, ...]]:
    """Return what tokens cost, if that is known, and the flags with that of the price.

    Args:
        counts: The tokens.
        flags: What is not certain of them.
        row: The rates, if they are known.
    """
    used, cached, written, images, answer, thought, _, _ = counts
    if used is None or answer is None:  # not even counted
        return None, flags if row is not None else (*flags, "unpriced")
    if not used and not answer:
        return Cost(price=row), flags  # nothing costs nothing
    if row is not None:
        try:
            return cost_of(
                row, used, cached or 0, written or 0, images or 0, answer, thought or 0
            ), flags
        except UnknownPriceError:  # of a kind that was used
            pass
    return None, (*flags, "unpriced")


def _end_of(record: CallRecord, call: RouterCall | None) -> tuple[Outcome, str | None]:
    """Return how a call ended, and the name of its error's class."""
    if record.error is None:
        return "ok", None
    if record.abandoned:
        return end_of_left(call, record.error)
    return "failed", type(record.error).__name__


def end_of_left(
    call: RouterCall | None, error: BaseException | None
) -> tuple[Outcome, str | None]:
    """Return how a call ended that its caller left, as `_end_of` does.

    A router that has left it since its time was over has not had an answer.
    """
    if call is not None and call.is_overdue:
        return "failed", CerebrasTimeoutError.__name__
    return "aborted", None if error is None else type(error).__name__


def count_output(message: AIMessage | None, model: str) -> int:
    """Return about how many tokens a message is that came so far."""
    if message is None:
        return 0
    from langchain_cerebras_ext._tokens import count_text_tokens

    texts: list[str] = [message.text]
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str):
        texts.append(reasoning)
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        args: Any = call["args"]
        texts.append(call["name"] or "")
        texts.append(args if isinstance(args, str) else json.dumps(args))
    return sum(count_text_tokens(text, model) for text in texts if text)
