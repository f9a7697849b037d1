"""What a comparison says of each model: pure."""

from __future__ import annotations

from collections import Counter
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from langchain_cerebras_ext.costs.pricing import add_usd
from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.routing._compare.figures import (
    Figure,
    mean_of,
    quantile_of,
    share_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_cerebras_ext.routing._compare.results import Result

__all__ = ["MEASURES", "Measure", "ModelRow", "make_row"]

MEASURES: Final = ("ttft_s", "latency_s", "output_tokens_per_s", "total_s")
_EXACT: Final = Context(prec=60)
_PER: Final = 1_000


class Measure(msgspec.Struct, frozen=True):
    """A time or a speed.

    Attributes:
        p5: 5 of 100 calls are below.
        p50: Half of them are.
        p95: 95 of 100 are.
    """

    p5: Figure | None = None
    p50: Figure | None = None
    p95: Figure | None = None


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison says of a model.

    Times and speeds are those of calls that were answered, by a model.

    Attributes:
        model: Its name.
        calls: How many were made.
        failed: How many of them failed.
        failures: How many of each kind.
        success: The share that was answered.
        cached: How many LangChain's cache answered.
        retried: In how many calls more than one request was sent.
        ttft_s: Until the first token, by the try that answered.
        latency_s: Until the end, by the try that answered.
        output_tokens_per_s: After the first token; slow ones are at `p5`.
        total_s: Until the end, earlier tries and all waits included.
        input_tokens: Of an answered call, on average.
        output_tokens: Of an answered call, on average.
        costs: What all calls cost, with what is not known of it.
        agreement: How well answers agreed with what was expected; calls that failed
            are not part of it.
    """

    model: str
    calls: int = 0
    failed: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    success: Figure | None = None
    cached: int = 0
    retried: int = 0
    ttft_s: Measure = Measure()
    latency_s: Measure = Measure()
    output_tokens_per_s: Measure = Measure()
    total_s: Measure = Measure()
    input_tokens: float | None = None
    output_tokens: float | None = None
    costs: Totals = msgspec.field(default_factory=Totals)
    agreement: Figure | None = None

    @property
    def per_1000(self) -> Totals:
        """The cost of 1,000 such calls, with the same doubts."""
        cost = self.costs.cost
        if self.calls:
            cost = _EXACT.divide(_EXACT.multiply(cost, Decimal(_PER)), self.calls)
        return msgspec.structs.replace(self.costs, cost=cost)

    @property
    def cost_per_1000_usd(self) -> Decimal | None:
        """The cost of 1,000 such calls; `None` where nothing of it is known.

        Where `costs` says that a part is not known, it is a lower bound.
        """
        if not self.calls or not _is_known(self.costs):
            return None
        return self.per_1000.cost.quantize(Decimal("1e-9"), context=_EXACT)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: money as decimal strings."""
        found = cast("dict[str, Any]", msgspec.to_builtins(self))
        totals = found.pop("costs")
        per_1000 = self.cost_per_1000_usd
        return {
            **found,
            "cost_usd": totals["cost"] if _is_known(self.costs) else None,
            "cost_per_1000_usd": None if per_1000 is None else f"{per_1000:f}",
            "unpriced_calls": self.costs.unpriced_calls,
            "calls_without_usage": self.costs.calls_without_usage,
            "estimated_calls": self.costs.estimated_calls,
        }


def _is_known(totals: Totals) -> bool:
    """Whether any of a cost is known."""
    from langchain_cerebras_ext.costs._display import is_lower_bound

    return bool(totals.cost) or not is_lower_bound(totals)


def make_row(model: str, results: Iterable[Result], *, seed: int) -> ModelRow:
    """Return what the results of a model say of it."""
    all_ = list(results)
    ok = [one for one in all_ if one.is_ok]
    timed = [one for one in ok if not one.is_cached]
    kinds = Counter(one.kind for one in all_ if one.kind is not None)
    agreed = [one.agreement for one in ok if one.agreement is not None]
    return ModelRow(
        model=model,
        calls=len(all_),
        failed=len(all_) - len(ok),
        failures=dict(kinds.most_common()),
        success=share_of(len(ok), len(all_)),
        cached=len(ok) - len(timed),
        retried=sum(one.attempts > 1 for one in all_),
        **{name: _measure(timed, name) for name in MEASURES},
        input_tokens=_mean(one.input_tokens for one in timed),
        output_tokens=_mean(one.output_tokens for one in timed),
        costs=_totals(all_),
        agreement=mean_of(agreed, seed) if agreed else None,
    )


def _measure(results: Sequence[Result], name: str) -> Measure:
    values: list[float] = [
        value for one in results if (value := getattr(one, name)) is not None
    ]
    return Measure(*(quantile_of(values, q) for q in (0.05, 0.5, 0.95)))


def _mean(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _totals(results: Sequence[Result]) -> Totals:
    cost = Decimal(0)
    for one in results:
        if one.cost_usd is not None:
            cost = add_usd(cost, one.cost_usd)
    return Totals(
        calls=len(results),
        failed=sum(not one.is_ok for one in results),
        cache_hits=sum(one.is_cached for one in results),
        unpriced_calls=sum(one.unpriced for one in results),
        calls_without_usage=sum(one.uncounted for one in results),
        estimated_calls=sum(one.estimated for one in results),
        half_counted_calls=sum(one.half_counted for one in results),
        input_tokens=sum(one.input_tokens or 0 for one in results),
        output_tokens=sum(one.output_tokens or 0 for one in results),
        cost=cost,
    )
