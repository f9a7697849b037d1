"""What the page shows: a ledger's answers as JSON has them.

Money is decimal text throughout. Nothing here knows HTTP.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, OrderedDict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.dashboard.arms import (
    ENOUGH,
    Mean,
    Share,
    compare_costs,
    compare_shares,
)
from langchain_cerebras_ext.dashboard.comparisons import (
    find_comparisons,
    of_comparisons,
)
from langchain_cerebras_ext.dashboard.query import OFFSET_MAX, RANGES, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from langchain_cerebras_ext.costs._ledger.slice import Slice
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import Filter, Group

__all__ = ["Reader"]

TIMINGS: Final = ("ttft_s", "duration_s", "output_tokens_per_s")
ARM_TIMINGS: Final = TIMINGS[:2]
PERCENTILES: Final = (0.5, 0.95, 0.99)
LAYERS: Final = 7
"""Colours that can be told apart; what is more is one layer of others."""

ARMS_MAX: Final = 8
SAMPLE: Final = 1_000
NEWEST: Final = 2_000
_COUNTS: Final = tuple(
    name for name in Totals.__struct_fields__ if name not in {"cost", "cache_savings"}
)
_BUCKETS_MAX: Final = 2_000
_SLICES: Final = 8
_NAME_MAX: Final = 40


class Reader:
    """Answers the page's questions from a ledger.

    Args:
        ledger: Where the records are.
        prices: For other models; the catalog's and the library's if not given.
    """

    def __init__(self, ledger: Ledger, prices: PriceBook | None = None) -> None:
        self.ledger = ledger
        self._prices = prices
        self._lock = threading.Lock()
        self._slices: OrderedDict[Any, Slice] = OrderedDict()

    def _slice(self, view: View, bucket: str = "day") -> Slice:
        """Return what answers all the page's questions about one filter."""
        short = view.since is not None and view.bucket(None, None) == "hour"
        unit: Literal["hour", "day"] = "hour" if short or bucket == "hour" else "day"
        key = (self.ledger.revision(), view.filter, unit)
        with self._lock:
            found = self._slices.get(key)
            if found is None:
                found = self._slices[key] = self.ledger.slice(view.filter, unit=unit)
                while len(self._slices) > _SLICES:
                    self._slices.popitem(last=False)
            self._slices.move_to_end(key)
        return found

    # --------------------------------------------------------------------- totals

    def overview(self, view: View) -> dict[str, Any]:
        """Totals, those of the time before, and where the records begin and end."""
        before = view.before
        first, last = self._edges()
        return {
            "range": view.range,
            "period": _period(view) if before else None,
            "since": _iso(view.since),
            "until": _iso(view.until),
            "first": _iso(first),
            "last": _iso(last),
            "ledger": self.ledger.url,
            "totals": totals_json(self._slice(view).totals()),
            "before": totals_json(self.ledger.totals(before)) if before else None,
        }

    def _edges(self) -> tuple[datetime | None, datetime | None]:
        """Return the times of the first and of the newest record."""
        ends = [
            next(iter(self.ledger.records(limit=1, newest_first=newest)), None)
            for newest in (False, True)
        ]
        first, last = (None if one is None else one.started_at for one in ends)
        return first, last

    def groups(self, view: View) -> dict[str, Any]:
        """Totals by one dimension: the top ones, and all others together."""
        by, options = view.options.by, view.options
        groups = self._top(view, by, options.sort, options.limit + 1)
        totals = self._slice(view).totals()
        shown, more = groups[: options.limit], len(groups) > options.limit
        others = None
        # A call counts under each of its tags: what is left over is not known.
        if more and by != "tag":
            others = subtract(totals, add_up(group.totals for group in shown))
        return {
            "by": by,
            "rows": [_group_json(group) for group in shown],
            "others": None if others is None else totals_json(others),
            "more": more,
            "totals": totals_json(totals),
        }

    def _top(self, view: View, by: str, sort: str, limit: int) -> list[Group]:
        """Return the groups with the highest costs, or the most calls."""
        known, wanted = self._slice(view), view.filter
        if sort == "cost":
            return known.report((by,), limit)
        if known.has(by):
            return _most(known.report((by,)), sort)[:limit]
        counted = wanted
        if sort == "failed":
            if wanted.outcome and "failed" not in wanted.outcome:
                return []
            counted = msgspec.structs.replace(wanted, outcome=("failed",))
        # Counting is quick; only those at the top are added up.
        keys = [key for key, _ in self.ledger.values(by, counted)[:limit]]
        found = self.ledger.report((by,), _only(wanted, by, keys)) if keys else []
        place = {key: at for at, key in enumerate(keys)}
        mine = [group for group in found if group.keys[0] in place]
        return sorted(mine, key=lambda group: place[group.keys[0]])

    def values(self, view: View) -> dict[str, Any]:
        """What can be chosen in one dimension, under the filter's other parts."""
        by, options = view.options.by, view.options
        others = msgspec.structs.replace(view.filter, **{by: ()})
        wanted = options.find.casefold()
        counted = (
            self._recent_sessions(others)
            if by == "session"
            else self.ledger.values(by, others)
        )
        found = [
            {"key": key, "calls": calls}
            for key, calls in counted
            if wanted in (key or "").casefold()
        ]
        return {
            "by": by,
            "rows": found[: options.limit],
            "more": len(found) > options.limit,
            "newest": NEWEST if by == "session" else None,
        }

    def _recent_sessions(self, wanted: Filter) -> list[tuple[str | None, int]]:
        """Count sessions in the newest calls: of all there may be as many as calls."""
        newest = self.ledger.records(wanted, limit=NEWEST, newest_first=True)
        return Counter(record.session for record in newest).most_common()

    # ----------------------------------------------------------------- over time

    def series(self, view: View) -> dict[str, Any]:
        """Totals in each hour, day or month, split by one dimension."""
        by = view.options.by
        first, last = self._edges()
        bucket = view.bucket(first, last)
        known = self._slice(view, bucket)
        whole = {group.keys[0]: group.totals for group in known.report((bucket,))}
        names = _bucket_names(view, bucket, whole)
        top = known.report((by,), LAYERS + 1)
        keys = [group.keys[0] for group in top][:LAYERS]
        split = self._split(view, bucket, keys) if keys else {}
        rows = [
            {"key": key, **_layer([split.get((name, key)) for name in names])}
            for key in keys
        ]
        return {
            "by": by,
            "bucket": bucket,
            "times": [_bucket_time(name, bucket) for name in names],
            "rows": rows,
            "others": self._others(view, names, whole, split, len(top)),
            "all": _all_json([whole.get(name, Totals()) for name in names]),
        }

    def history(self, view: View) -> dict[str, Any]:
        """Totals in each hour, day or month, with all that charts show of them."""
        bucket = view.bucket(*self._edges())
        groups = self._slice(view, bucket).report((bucket,))
        whole = {group.keys[0]: group.totals for group in groups}
        return {
            "rows": [
                {
                    "time": _bucket_time(name, bucket),
                    **totals_json(whole.get(name, Totals())),
                }
                for name in _bucket_names(view, bucket, whole)
            ]
        }

    def _split(
        self, view: View, bucket: str, keys: list[str | None]
    ) -> dict[tuple[str | None, str | None], Totals]:
        by, known = view.options.by, self._slice(view, bucket)
        if known.has(by):
            groups = known.report((bucket, by))
        else:
            # With many values the database need not add up what is not shown.
            groups = self.ledger.report((bucket, by), _only(view.filter, by, keys))
        return {
            (group.keys[0], group.keys[1]): group.totals
            for group in groups
            if group.keys[1] in keys
        }

    def _others(
        self,
        view: View,
        names: list[str],
        whole: dict[str | None, Totals],
        split: dict[tuple[str | None, str | None], Totals],
        found: int,
    ) -> dict[str, Any] | None:
        # A call counts under each of its tags: what is left over is not known.
        if found <= LAYERS or view.options.by == "tag":
            return None
        shown: dict[str | None, list[Totals]] = {}
        for (name, _), totals in split.items():
            shown.setdefault(name, []).append(totals)
        return _layer(
            [
                subtract(whole[name], add_up(shown.get(name, ())))
                if name in whole
                else None
                for name in names
            ]
        )

    # -------------------------------------------------------------------- timings

    def latency(self, view: View) -> dict[str, Any]:
        """Percentiles of what was timed, by model or by arm; the most called first."""
        found, newest = self._timings(view, view.options.by)
        keys = sorted(
            found, key=lambda key: (-found[key]["duration_s"]["calls"], key or "")
        )
        rows = [{"key": key, **found[key]} for key in keys[: view.options.limit]]
        return {"by": view.options.by, "rows": rows, "newest": newest}

    def _timings(
        self,
        view: View,
        by: str,
        fields: Sequence[str] = TIMINGS,
    ) -> tuple[dict[str | None, dict[str, Any]], int | None]:
        """Return percentiles; and of how many calls, if only of the newest ones."""
        found: dict[str | None, dict[str, Any]] = {}
        known, of_newest = self._slice(view), None
        for field in fields:
            timed, newest = known.percentiles(field, by, PERCENTILES)
            of_newest = of_newest or newest
            for keys, count, values in timed:
                named = dict(zip(("p50", "p95", "p99"), values, strict=True))
                of_key = found.setdefault(keys[0], dict.fromkeys(fields, _UNTIMED))
                of_key[field] = {"calls": count, **named}
        return found, of_newest

    # ----------------------------------------------------------------------- arms

    def arms(self, view: View) -> dict[str, Any]:
        """Arms of experiments: cost per call, times, failures."""
        groups = self._arms(view)
        groups.sort(key=lambda group: (-group.totals.calls, group.keys[0] or ""))
        shown = groups[:ARMS_MAX]
        timings, newest = (
            self._timings(view, "arm", ARM_TIMINGS) if shown else ({}, None)
        )
        means = [self._mean(view, group) for group in shown]
        rows = [
            _arm_json(group, mean, timings.get(group.keys[0]))
            for group, mean in zip(shown, means, strict=True)
        ]
        words = _arm_words(shown, means, len(groups))
        if newest:
            words.append(f"Times are of the newest {newest:,} calls.")
        return {"rows": rows, "words": words}

    def _arms(self, view: View) -> list[Group]:
        """Return arms, without those that only comparisons have."""
        found = [
            group
            for group in self._slice(view).report(("arm",))
            if group.keys[0] is not None
        ]
        if not found or view.filter.tag:  # what was asked for by a tag is shown
            return found
        compared = dict(self._slice(of_comparisons(view)).report(("arm",)))
        return [
            group
            for group in found
            if (same := compared.get(group.keys)) is None
            or same.calls + same.retries < group.totals.calls + group.totals.retries
        ]

    def _mean(self, view: View, group: Group) -> Mean:
        """Return the mean of an arm's newest calls whose cost is known."""
        rows = group.totals.calls + group.totals.retries
        return Mean.of(self._slice(view).newest_costs(group.keys[0], SAMPLE, rows))

    def comparisons(self, view: View) -> dict[str, Any]:
        """What `compare` has found, model by model; the newest first."""
        return find_comparisons(self.ledger, view.filter, view.options.limit)

    # -------------------------------------------------------------------- records

    def records(self, view: View) -> dict[str, Any]:
        """The newest calls, a page of them."""
        start, size = view.options.offset, view.options.limit
        found = self.ledger.records(
            view.filter, limit=start + size + 1, newest_first=True
        )
        rows = list(itertools.islice(found, start, None))
        return {
            "rows": [_record_json(record) for record in rows[:size]],
            "offset": start,
            "more": len(rows) > size and start + size <= OFFSET_MAX,
        }

    # -------------------------------------------------------------------- what if

    def whatif(self, view: View) -> dict[str, Any]:
        """What the same tokens would cost on other models, at today's prices."""
        totals = self._slice(view).totals()
        ids, served = _catalog_ids(view.now.date())
        wanted = [*dict.fromkeys((*view.options.on, *served))]
        rows = [self._priced(name, totals, view.now.date()) for name in wanted]
        rows.sort(key=lambda row: (row["cost"] is None, Decimal(row["cost"] or 0)))
        return {
            "actual": {**totals_json(totals), "note": _doubt(totals)},
            "rows": rows,
            "models": ids,
            "words": _whatif_words(totals),
        }

    def _priced(self, name: str, totals: Totals, on: date) -> dict[str, Any]:
        from langchain_cerebras_ext.costs.pricing import price_totals
        from langchain_cerebras_ext.errors import (
            CerebrasConfigurationError,
            InvalidUsageError,
            UnknownPriceError,
        )

        try:
            cost = price_totals(
                totals.input_tokens,
                totals.cached_input_tokens,
                totals.output_tokens,
                name,
                on,
                calls=totals.calls + totals.retries - totals.cache_hits,
                reasoning_tokens=totals.reasoning_tokens,
                prices=self._prices,
            )
        except (
            UnknownPriceError,
            InvalidUsageError,
            CerebrasConfigurationError,  # what somebody typed is no model's name
        ) as error:
            return {"model": name, "cost": None, "note": str(error), "source": None}
        source = cost.price.source if cost.price else None
        return {
            "model": name,
            "cost": money(cost.total),
            "note": "",
            "source": source,
        }

    # -------------------------------------------------------------------- budgets

    def budgets(self) -> dict[str, Any]:
        """The budgets that are kept in this ledger, the fullest first."""
        from langchain_cerebras_ext.costs.budget import read_budgets

        rows = [_budget_json(status) for status in read_budgets(ledger=self.ledger)]
        rows.sort(key=lambda row: (-row["percent"], row["name"], row["key"] or ""))
        return {"rows": rows}


# ------------------------------------------------------------------------------ JSON

_UNTIMED: Final = {"calls": 0, "p50": None, "p95": None, "p99": None}


def money(amount: Decimal) -> str:
    """Return an amount as plain decimal text, without exponent and idle zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _period(view: View) -> str:
    """Return what to call a time as long as the one that is looked at."""
    return "time" if view.range == "custom" else RANGES[view.range].split("last ")[-1]


def totals_json(totals: Totals) -> dict[str, Any]:
    """Return totals with money as text."""
    found: dict[str, Any] = {name: getattr(totals, name) for name in _COUNTS}
    found["uncounted_calls"] = totals.uncounted_calls
    found["cost"] = money(totals.cost)
    found["cache_savings"] = money(totals.cache_savings)
    return found


def add_up(several: Iterable[Totals]) -> Totals:
    """Return the sum of totals."""
    whole = Totals()
    for totals in several:
        whole.merge(totals)
    return whole


def subtract(whole: Totals, part: Totals) -> Totals:
    """Return what is left of totals without a part of them."""
    return Totals(
        **{
            name: getattr(whole, name) - getattr(part, name)
            for name in Totals.__struct_fields__
        }
    )


def _only(wanted: Filter, by: str, keys: list[str | None]) -> Filter:
    """Return a filter for some values of a dimension, within what it takes already."""
    if by == "tag" and wanted.tag:
        # Calls with one of these tags and one of those: a filter cannot say that.
        return wanted
    return msgspec.structs.replace(wanted, **{by: tuple(keys)})


def _most(groups: list[Group], sort: str) -> list[Group]:
    """Return groups in the order of calls and retries, or those that have failures."""

    def count(group: Group) -> int:
        totals = group.totals
        return totals.failed if sort == "failed" else totals.calls + totals.retries

    return sorted(
        (group for group in groups if count(group)),
        key=lambda one: (-count(one), one.keys[0] is not None, one.keys[0] or ""),
    )


def _group_json(group: Group) -> dict[str, Any]:
    return {"key": group.keys[0], **totals_json(group.totals)}


DOUBTS: Final = (
    "unpriced_calls",
    "calls_without_usage",
    "estimated_calls",
    "uncounted_calls",
)
"""What tells a sum of money from a lower bound, a guess, and from nothing known."""


def _layer(several: Sequence[Totals | None]) -> dict[str, list[Any]]:
    """Return what one layer of the chart needs, bucket by bucket."""
    totals = [one or Totals() for one in several]
    return {
        "cost": [money(one.cost) for one in totals],
        "calls": [one.calls for one in totals],
        "tokens": [one.total_tokens for one in totals],
        **{name: [getattr(one, name) for one in totals] for name in DOUBTS},
    }


def _all_json(several: Sequence[Totals]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = _layer(several)
    for name in _COUNTS:
        found[name] = [getattr(one, name) for one in several]
    return found


def _record_json(record: UsageRecord) -> dict[str, Any]:
    return {
        "record_id": record.record_id,
        "started_at": _iso(record.started_at),
        "model": record.served,
        "provider": record.provider,
        "user": record.user,
        "session": record.session,
        "tags": record.tags,
        "node": record.node,
        "arm": record.arm,
        "router_call_id": record.router_call_id,
        "router_so_far": record.router_so_far,
        "stream": record.stream,
        "service_tier": record.service_tier,
        "outcome": record.outcome,
        "error_type": record.error_type,
        "attempts": record.attempts,
        "input_tokens": record.input_tokens,
        "cached_input_tokens": record.cached_input_tokens,
        "output_tokens": record.output_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "ttft_s": record.ttft_s,
        "duration_s": record.duration_s,
        "cost": None if record.cost_usd is None else money(record.cost_usd),
        "flags": record.flags,
    }


def _budget_json(status: Any) -> dict[str, Any]:
    limit, spent, reserved = status.limit, status.spent, status.reserved
    share = 100 * spent / limit if limit else Decimal(100)
    held = 100 * reserved / limit if limit else Decimal(0)
    return {
        "name": status.name,
        "per": status.per,
        "key": status.key,
        "window": str(status.window),
        "window_start": _iso(status.window_start),
        "window_end": _iso(status.window_end),
        "limit": money(limit),
        "spent": money(spent),
        "reserved": money(reserved),
        "remaining": money(status.remaining),
        "action": status.action,
        "percent": round(float(share), 1),
        "reserved_percent": round(float(held), 1),
        "state": "over" if share >= 100 else "near" if share >= 80 else "fine",  # noqa: PLR2004 - percent
    }


def _iso(time: datetime | None) -> str | None:
    if time is None:
        return None
    return (
        time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


# --------------------------------------------------------------------------- buckets


def _bucket_names(
    view: View, bucket: str, found: dict[str | None, Totals]
) -> list[str]:
    """Return all buckets from the first to the last, empty ones too."""
    there = sorted(name for name in found if name is not None)
    if not there:
        return []
    start = _bucket_start(there[0], bucket)
    end = _bucket_start(there[-1], bucket)
    if view.range not in {"all", "custom"} and view.since is not None:
        # A range of days shows all its days, whenever the calls were.
        start = min(start, view.since)
        end = max(end, view.now)
    names: list[str] = []
    time = start
    while time <= end and len(names) < _BUCKETS_MAX:
        names.append(_bucket_name(time, bucket))
        time = _next_bucket(_bucket_start(names[-1], bucket), bucket)
    return names


def _bucket_name(time: datetime, bucket: str) -> str:
    if bucket == "hour":
        return time.strftime("%Y-%m-%dT%H:00Z")
    return time.date().isoformat()[: 10 if bucket == "day" else 7]


def _bucket_start(name: str, bucket: str) -> datetime:
    text = f"{name}-01" if bucket == "month" else name
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _bucket_time(name: str, bucket: str) -> str:
    return _bucket_start(name, bucket).strftime("%Y-%m-%dT%H:%M:%SZ")


def _next_bucket(start: datetime, bucket: str) -> datetime:
    if bucket == "hour":
        return start + timedelta(hours=1)
    if bucket == "day":
        return start + timedelta(days=1)
    return (start + timedelta(days=31)).replace(day=1)


# ------------------------------------------------------------------------------ arms


def _arm_json(
    group: Group, mean: Mean, timings: dict[str, Any] | None
) -> dict[str, Any]:
    totals = group.totals
    between = mean.interval
    failed = _failures(totals).interval
    timed = timings or dict.fromkeys(ARM_TIMINGS, _UNTIMED)
    return {
        "arm": group.keys[0],
        **totals_json(totals),
        # All tries of a router's call are one call here.
        "calls": totals.whole_calls,
        "failed": totals.whole_failed,
        "aborted": totals.whole_aborted,
        "tries": totals.calls,
        "mean": None if mean.mean is None else money(round(mean.mean, 12)),
        "mean_of": mean.calls,
        "low": None if between is None else money(round(between[0], 12)),
        "high": None if between is None else money(round(between[1], 12)),
        "failed_low": None if failed is None else f"{100 * failed[0]:.1f}",
        "failed_high": None if failed is None else f"{100 * failed[1]:.1f}",
        **timed,
    }


def _failures(totals: Totals) -> Share:
    """Return how many calls failed of those that their caller has not left."""
    return Share(totals.whole_failed, totals.whole_calls)


def _arm_words(shown: list[Group], means: list[Mean], found: int) -> list[str]:
    """Compare each arm with that of its experiment which has the most calls."""
    if not shown:
        return []
    names = [_arm_name(group.keys[0] or "") for group in shown]
    shares = [_failures(group.totals) for group in shown]
    enough = [at for at, mean in enumerate(means) if mean.calls >= ENOUGH]
    few = [at for at in range(len(shown)) if at not in enough]
    words: list[str] = []
    bases: dict[str, int] = {}
    for at in enough:
        base = bases.setdefault(_experiment_of(shown[at]), at)
        if base == at:
            continue
        words += [
            compare_costs(names[at], means[at], names[base], means[base]),
            compare_shares(names[at], shares[at], names[base], shares[base]),
        ]
    if few:
        listed = ", ".join(f"{names[at]} ({means[at].calls})" for at in few)
        words.append(
            f"Too few calls of known cost to compare, {ENOUGH} being the least: "
            f"{listed}."
        )
    if len(shown) == 1:
        words.append("There is one arm only: nothing to compare it with.")
    known = "of the calls whose cost is known"
    if any(group.totals.calls > SAMPLE for group in shown):
        known = f"of the newest {SAMPLE:,} calls of each arm, as far as it is known"
    words.append(
        f"Mean costs are {known}. Intervals of differences hold however often you "
        "look, those in the table at one look. They take calls as independent: "
        "experiment.report() takes users."
    )
    if hidden := found - len(shown):
        several = f"{hidden:,} arms with fewer calls are not shown."
        words.append(several if hidden > 1 else "1 arm with fewer calls is not shown.")
    return words


def _experiment_of(group: Group) -> str:
    """Return what an arm's name begins with; the same for all that have no such part.

    Models of comparisons are arms, too, and may have a `/` themselves.
    """
    name, slash, _ = (group.keys[0] or "").partition("/")
    return name if slash and "::" not in name else ""


def _arm_name(name: str) -> str:
    """Return a name in quotes, not too long and without what turns the line around."""
    return repr(name if len(name) <= _NAME_MAX else f"{name[:_NAME_MAX]}...")


# --------------------------------------------------------------------------- what if


def _catalog_ids(day: date) -> tuple[list[str], list[str]]:
    """Return all ids of the catalog, and those served on a day."""
    from langchain_cerebras_ext.catalog import list_models

    cards = list_models(as_of=day)
    served = [card.id for card in cards if card.status == "active" and card.price(day)]
    return [card.id for card in cards], served


def _doubt(totals: Totals) -> str:
    parts = [
        f"{number:,} {words}"
        for number, words in (
            (totals.unpriced_calls, "without a known price"),
            (totals.uncounted_calls, "without usage"),
            (totals.estimated_calls, "estimated"),
        )
        if number
    ]
    return f"calls: {', '.join(parts)}" if parts else ""


def _whatif_words(totals: Totals) -> list[str]:
    told = (
        "The same token counts at today's list prices. Another model would count and "
        "write other tokens, and may not cache the same prompts."
    )
    words = [told]
    if totals.unpriced_calls:
        end = "the difference is too high" if totals.cost else "no difference is known"
        words.append(
            f"The tokens of {_calls(totals.unpriced_calls)} without a known price are "
            f"priced here, and are not in what was billed: {end}."
        )
    if silent := totals.uncounted_calls:
        verb = "is" if silent == 1 else "are"
        words.append(
            f"{_calls(silent)} came without usage and {verb} in neither amount."
        )
    return words


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"
