"""What is kept of a call until somebody reads its record: little, and soon made.

A `UsageRecord` says forty things of a call, and most programs want the sum alone. So a
whole answer is kept as a `Brief`: what is the call's own, and a `Kind`, which is what
it shares with the calls around it. Tokens of a kind are added up as whole numbers and
priced together; a record is made of a brief when it is read.

That changes no digit: briefs are kept only at prices that need no rounding
(`adds_up`), and not of tokens whose price depends on others of the same call.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from langchain_cerebras_ext._metadata import PROVIDER, measured
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import Cost, adds_up, cost_of_calls
from langchain_cerebras_ext.costs.records import UsageRecord, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from langchain_cerebras_ext._metering import CallOutcome
    from langchain_cerebras_ext.costs._context import Context
    from langchain_cerebras_ext.costs._usage import TokenCounts
    from langchain_cerebras_ext.costs.pricing import PriceRow
    from langchain_cerebras_ext.costs.records import Flag, Outcome
    from langchain_cerebras_ext.costs.report import Totals

__all__ = ["IMAGES", "Brief", "Kind", "Kinds", "add_calls", "day_price"]

_publishing: Final = threading.Lock()


class Kind(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What calls have in common that are priced alike.

    Attributes:
        model: The model that was asked for.
        model_served: The model that the answers name.
        operation: As in a record.
        stream: Whether streams were asked for.
        service_tier: The tier that served them.
        context: Whose a call is that says nothing of it itself.
        row: The rates, if they are known.
        served: The model that answered.
        provider: Whose service it was.
    """

    model: str
    model_served: str | None
    operation: str
    stream: bool
    service_tier: str | None
    context: Context
    row: PriceRow | None
    served: str
    provider: str = PROVIDER

    def cost(self, calls: int, *tokens: int) -> Cost:
        """Return what calls cost together."""
        return Cost() if self.row is None else cost_of_calls(self.row, calls, *tokens)


class Kinds(dict[tuple[Any, ...], "Kind | None"]):
    """Kinds that were met, by all that tells them apart; `None` is one without briefs.

    They hold as long as the prices do under which they were met.

    Attributes:
        table: The catalog's prices.
        changes_seen: `changes`, as it was.
    """

    __slots__ = ("changes_seen", "table")

    changes = 0
    """How often a tracker was given other prices."""

    def __init__(self) -> None:
        super().__init__()
        self.table = registry.built
        self.changes_seen = Kinds.changes

    def add(self, key: tuple[Any, ...], kind: Kind | None) -> None:
        """Take in a kind that was met."""
        if len(self) >= _MOST_KINDS:
            self.clear()
        self[key] = kind


_MOST_KINDS: Final = 1_000


@final
class Brief(msgspec.Struct, eq=False, gc=False):
    """One call, as little as can be kept of it; its record is made when it is read.

    Attributes:
        kind: What it shares with others.
        context: Whose it was.
        counts: Its tokens, in the order of `RecordCounts`.
        began_s: When it began, in seconds since 1970: quicker made than a date.
        run_id: LangChain's id of the run.
        parent_run_id: Of the run that made it.
        root_id: Of the outermost run.
        request_id: The service's id.
        attempts: As in a record.
        first_token_s: Seconds to the first content of a stream.
        duration_s: Seconds to the end.
        queued: Seconds in the service's queue, as it says.
        record: The record, once it was read.
    """

    kind: Kind
    context: Context
    counts: TokenCounts
    began_s: float
    run_id: UUID
    parent_run_id: UUID | None
    root_id: UUID
    request_id: str | None
    attempts: int
    first_token_s: float | None
    duration_s: float
    queued: object
    record: UsageRecord | None = None

    @property
    def cost(self) -> Cost:
        """What the call cost; of briefs that are kept."""
        return self.kind.cost(1, *(count or 0 for count in self.counts[:6]))

    def get(self) -> UsageRecord:
        """Return the record, the same each time."""
        if self.record is None:
            made = self.record_as(self.cost, self.tokens_per_s)
            with _publishing:  # of two threads that have made one, one is believed
                if self.record is None:
                    self.record = made
        return self.record

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens in a second, as the service counted them."""
        return measured(
            elapsed_s=self.duration_s,
            first_token_s=self.first_token_s,
            output_tokens=self.counts[_ANSWER],
        ).get("output_tokens_per_s")

    def record_as(
        self,
        cost: Cost | None,
        tokens_per_s: float | None,
        flags: tuple[Flag, ...] = (),
        outcome: Outcome = "ok",
        error_type: str | None = None,
        so_far: CallOutcome | None = None,
    ) -> UsageRecord:
        """Return a record of the call, with what a brief does not say."""
        kind, context, queued = self.kind, self.context, self.queued
        run, parent, root = self.run_id, self.parent_run_id, self.root_id
        run_id = str(run)
        return UsageRecord(  # by place, since so many names take 3 us
            datetime.fromtimestamp(self.began_s, UTC),
            kind.model,
            new_id(),
            kind.provider,
            kind.model_served,
            kind.operation,
            kind.stream,
            run_id,
            None if parent is None else str(parent),
            run_id if root is run else str(root),
            context.router_call,
            so_far,
            self.request_id,
            context.tags,
            context.user,
            context.session,
            context.node,
            context.arm,
            outcome,
            error_type,
            self.attempts,
            kind.service_tier,
            *self.counts,
            self.first_token_s,
            self.duration_s,
            _seconds(queued),
            tokens_per_s,
            cost,
            flags,
        )


def _seconds(value: object) -> float | None:
    """Return seconds as a service tells them; `None` for what are none."""
    if not isinstance(value, (int, float)):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if isfinite(seconds) else None


# Places in `RecordCounts`.
IMAGES: Final = 3
"""Of tokens that may be cached as well: their cost depends on others of the call."""
_ANSWER: Final = 4


def day_price(
    book: PriceBook, model: str, served: str | None, day: date
) -> PriceRow | None:
    """Return the rates of all calls of a day, if there are any that add up.

    A subclass may price each call as it likes.

    Args:
        book: The prices.
        model: The model that was asked for.
        served: The model that answered.
        day: The day (UTC) of the calls.
    """
    if type(book) is not PriceBook:
        return None
    rates = book.rates_of_call(PROVIDER, model, served, day)
    if rates is None or rates.by_time:
        return None
    step, *more = rates.steps
    return None if more or not adds_up(step.row) else step.row


def add_calls(totals: Totals, kind: Kind, all_counts: Sequence[TokenCounts]) -> None:
    """Take the calls of briefs of one kind into totals."""
    calls = len(all_counts)
    whole, cached, _, _, answers, thought, _, _ = (
        sum(filter(None, column)) for column in zip(*all_counts, strict=True)
    )
    cost = kind.cost(calls, whole, cached, 0, 0, answers)
    totals.add_calls(calls, whole, cached, answers, thought, cost)
