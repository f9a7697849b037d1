"""Totals of records, by model, day, user, tag and the like; pure.

A ledger answers the same questions from its database; here they are answered for
records at hand, and the words are defined for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence  # noqa: TC003
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec

from langchain_cerebras_ext._metering import add_try
from langchain_cerebras_ext.costs.pricing import Cost, add_usd
from langchain_cerebras_ext.costs.records import (  # noqa: TC001
    CallOutcome,
    Flag,
    Outcome,
    UsageRecord,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = ["DIMENSIONS", "Dimension", "Filter", "Group", "Totals", "group_records"]

Dimension = Literal[
    "model",
    "provider",
    "user",
    "session",
    "tag",
    "node",
    "arm",
    "outcome",
    "error_type",
    "hour",
    "day",
    "month",
]
"""What totals can be split by. `model` is the one that served. Times are in UTC. A
record with several tags counts once under each, so those totals can exceed the whole.
"""

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

_ZERO = Decimal(0)
_TIMES = {"since", "until"}


class Totals(msgspec.Struct, kw_only=True, gc=False):
    """What several calls used and cost, with what is uncertain of it beside.

    A total whose `unpriced_calls` or `calls_without_usage` are not 0 is a lower bound;
    one with `estimated_calls` is partly a guess.

    Attributes:
        calls: Calls, whatever became of them; tries that another one followed are not
            counted here but in `retries`, and their cost is in the total all the same.
        retries: Tries that failed, may have been billed, and were followed by another.
        failed: Calls that ended in an error.
        aborted: Calls that their caller closed or cancelled.
        cache_hits: Calls that LangChain's cache answered.
        router_tries: By how many `calls` exceeds what callers have asked, since a
            router's call may be several tries; see `whole_calls`.
        router_failures: By how many `failed` exceeds the calls that failed as a whole,
            since another try may have answered; see `whole_failed`.
        router_aborts: Likewise of `aborted`, where a slower try was left.
        unpriced_calls: Rows without a price; their cost is not in the total.
        calls_without_usage: Rows whose tokens the service did not count.
        estimated_calls: Rows whose tokens were counted here.
        half_counted_calls: Of them, those of which the service counted a part.
        input_tokens: Prompt tokens, cached ones included.
        cached_input_tokens: Of them, read from the prompt cache.
        output_tokens: Completion tokens, reasoning included.
        reasoning_tokens: Of them, reasoning.
        cost: USD.
        cache_savings: USD that the prompt cache has saved; not part of `cost`.
    """

    calls: int = 0
    retries: int = 0
    failed: int = 0
    aborted: int = 0
    cache_hits: int = 0
    router_tries: int = 0
    router_failures: int = 0
    router_aborts: int = 0
    unpriced_calls: int = 0
    calls_without_usage: int = 0
    estimated_calls: int = 0
    half_counted_calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = _ZERO
    cache_savings: Decimal = _ZERO

    def add(self, record: UsageRecord) -> None:
        """Take a record in."""
        outcome = record.outcome
        if outcome == "retried":
            self.retries += 1
        else:
            self.calls += 1
            if outcome == "failed":
                self.failed += 1
            elif outcome == "aborted":
                self.aborted += 1
            elif outcome == "cache_hit":
                self.cache_hits += 1
            if record.router_so_far is not None:
                self.add_tries(record.router_so_far, outcome, 1)
        cost = record.cost
        flags = record.flags if cost is not None else record.doubts
        if flags:
            self.add_doubts(flags, 1)
        if outcome != "cache_hit":
            if tokens := record.input_tokens:
                self.input_tokens += tokens
            if tokens := record.cached_input_tokens:
                self.cached_input_tokens += tokens
            if tokens := record.output_tokens:
                self.output_tokens += tokens
            if tokens := record.reasoning_tokens:
                self.reasoning_tokens += tokens
        if cost is not None:
            self._add_cost(cost)

    def add_calls(
        self,
        calls: int,
        input_tokens: int,
        cached_input_tokens: int,
        output_tokens: int,
        reasoning_tokens: int,
        cost: Cost,
    ) -> None:
        """Take in several calls that were answered and of which all is known."""
        self.calls += calls
        self.input_tokens += input_tokens
        self.cached_input_tokens += cached_input_tokens
        self.output_tokens += output_tokens
        self.reasoning_tokens += reasoning_tokens
        self._add_cost(cost)

    def _add_cost(self, cost: Cost) -> None:
        self.cost = cost.add_to(self.cost)
        if cost.cache_savings:
            self.cache_savings = add_usd(self.cache_savings, cost.cache_savings)

    def add_doubts(self, flags: tuple[Flag, ...], count: int) -> None:
        """Count what is not certain of rows, which are counted already.

        Args:
            flags: Those that each of the rows has.
            count: How many rows they are.
        """
        for flag in flags:
            if flag == "unpriced":
                self.unpriced_calls += count
            elif flag == "no_usage":
                self.calls_without_usage += count
            else:
                self.estimated_calls += count
                if "no_usage" not in flags:
                    self.half_counted_calls += count

    def add_tries(self, so_far: CallOutcome, outcome: Outcome, count: int) -> None:
        """Take tries for what they are, after others of their routers' calls.

        Args:
            so_far: What those calls had come to.
            outcome: The outcome of these tries, which are counted already.
            count: How many they are.
        """
        now = add_try(so_far, outcome)
        self.router_tries += count
        for kind, name in (("failed", "router_failures"), ("aborted", "router_aborts")):
            more = (outcome == kind) + (so_far == kind) - (now == kind)
            setattr(self, name, getattr(self, name) + more * count)

    def merge(self, other: Totals) -> None:
        """Take other totals in."""
        for name in self.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            is_money = isinstance(mine, Decimal)
            setattr(self, name, add_usd(mine, more) if is_money else mine + more)

    @property
    def whole_calls(self) -> int:
        """Calls, with all tries of a router's call as one.

        Of a part of a call's tries alone, such as those of one model, nobody can tell.
        """
        return max(self.calls - self.router_tries, 0)

    @property
    def whole_failed(self) -> int:
        """Of `whole_calls`, those that no try has answered and the last one failed."""
        return max(self.failed - self.router_failures, 0)

    @property
    def whole_aborted(self) -> int:
        """Of `whole_calls`, those that their caller closed or cancelled."""
        return max(self.aborted - self.router_aborts, 0)

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.input_tokens + self.output_tokens

    @property
    def uncounted_calls(self) -> int:
        """Rows that nobody counted, the service or we: the cost lacks them."""
        guessed = self.estimated_calls - self.half_counted_calls
        return max(self.calls_without_usage - guessed, 0)

    @property
    def is_certain(self) -> bool:
        """Whether the cost is all that the calls cost, to the token."""
        return not (
            self.unpriced_calls or self.calls_without_usage or self.estimated_calls
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: money as decimal strings."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))


class Group(NamedTuple):
    """Totals of the records that have the same values.

    Attributes:
        keys: The value in each dimension, in the order asked; `None` where not known.
        totals: Their totals.
    """

    keys: tuple[str | None, ...]
    totals: Totals


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which records to look at; all that is given must hold, any one value of each.

    Attributes:
        since: From this time on (aware).
        until: Before this time (aware).
        model: Models that served.
        provider: Providers.
        user: Users; `None` among the values is "not known", here and below.
        session: Sessions.
        tag: Tags; one of a record's is enough.
        node: LangGraph nodes.
        arm: Arms of experiments.
        outcome: Outcomes.
        error_type: Names of error classes.

    Raises:
        CerebrasConfigurationError: A time is none.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: tuple[str | None, ...] = ()
    provider: tuple[str | None, ...] = ()
    user: tuple[str | None, ...] = ()
    session: tuple[str | None, ...] = ()
    tag: tuple[str | None, ...] = ()
    node: tuple[str | None, ...] = ()
    arm: tuple[str | None, ...] = ()
    outcome: tuple[str | None, ...] = ()
    error_type: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        """Take a text for one value, as who has no types may write it.

        Its letters would fit no record, and nothing at all would be found.
        """
        for name in self.__struct_fields__:
            given: Any = getattr(self, name)
            if name in _TIMES:
                if given is not None and not isinstance(given, datetime):
                    msg = f"{name}={given!r} is no time; pass an aware datetime."
                    raise CerebrasConfigurationError(msg)
            elif isinstance(given, str):
                msgspec.structs.force_setattr(self, name, (given,))

    def takes(self, record: UsageRecord) -> bool:
        """Whether a record is looked at."""
        if self.since is not None and record.started_at < self.since:
            return False
        if self.until is not None and record.started_at >= self.until:
            return False
        for name, read in READERS.items():
            wanted = getattr(self, name, ())
            if wanted and not set(read(record)).intersection(wanted):
                return False
        return True


def _day(record: UsageRecord) -> str:
    return record.started_at.astimezone(UTC).date().isoformat()


READERS: dict[str, Callable[[UsageRecord], Sequence[str | None]]] = {
    "model": lambda record: (record.served,),
    "provider": lambda record: (record.provider,),
    "user": lambda record: (record.user,),
    "session": lambda record: (record.session,),
    "tag": lambda record: record.tags or (None,),
    "node": lambda record: (record.node,),
    "arm": lambda record: (record.arm,),
    "outcome": lambda record: (record.outcome,),
    "error_type": lambda record: (record.error_type,),
    "hour": lambda record: (
        record.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:00Z"),
    ),
    "day": lambda record: (_day(record),),
    "month": lambda record: (_day(record)[:7],),
}


def check_dimensions(by: Iterable[str]) -> tuple[Dimension, ...]:
    """Return dimensions, once each, in their order; one may be a text by itself.

    Raises:
        CerebrasConfigurationError: There is no such dimension.
    """
    wanted = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by))
    wrong = [name for name in wanted if name not in DIMENSIONS]
    if wrong:
        msg = f"by={wrong[0]!r} is unknown; take one of {', '.join(DIMENSIONS)}."
        raise CerebrasConfigurationError(msg)
    return cast("tuple[Dimension, ...]", wanted)


def group_records(
    records: Iterable[UsageRecord], by: Iterable[str] = ()
) -> list[Group]:
    """Return totals for each combination of values that occurs, dearest first.

    Args:
        records: Any records.
        by: Dimensions, or one; none gives one group of all.

    Raises:
        CerebrasConfigurationError: There is no such dimension.
    """
    readers = [READERS[name] for name in check_dimensions(by)]
    found: dict[tuple[str | None, ...], Totals] = {}
    for record in records:
        keys: list[tuple[str | None, ...]] = [()]
        for read in readers:
            keys = [(*key, value) for key in keys for value in read(record)]
        for key in keys:
            totals = found.get(key)
            if totals is None:
                totals = found[key] = Totals()
            totals.add(record)
    groups = [Group(key, totals) for key, totals in found.items()]
    return sorted(
        groups,
        key=lambda group: (
            -group.totals.cost,
            -group.totals.calls,
            tuple((part is not None, part or "") for part in group.keys),
        ),
    )
