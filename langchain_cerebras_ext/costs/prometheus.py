"""`CostCollector`: costs, tokens and times of calls for Prometheus to scrape.

    pip install 'langchain-cerebras-ext[prometheus]'

Example:
    ```python
    from prometheus_client import CollectorRegistry, start_http_server

    from langchain_cerebras_ext import ChatCerebras, CostTracker
    from langchain_cerebras_ext.costs.prometheus import CostCollector

    registry = CollectorRegistry()
    collector = CostCollector(registry)
    model = ChatCerebras(callbacks=[CostTracker(sinks=[collector])])
    start_http_server(9100, addr="127.0.0.1", registry=registry)
    ```

What is exposed, each with the labels that were asked for:

- `cerebras_calls_total`: calls, whatever became of them (`outcome`). A try that another
  one followed is no call: `cerebras_retries_total` counts it, and its cost and tokens
  are in the sums.
- `cerebras_cost_usd_total`: USD, as far as prices are known. Beside it what is not
  certain of it: `cerebras_unpriced_calls_total`, `cerebras_calls_without_usage_total`,
  `cerebras_estimated_calls_total`; and `cerebras_cache_savings_usd_total`, which is no
  part of the cost.
- `cerebras_tokens_total{type="input"|"output"}`. Parts of these are in
  `cerebras_token_parts_total{type=...}`: `cached_input`, `cache_write`, `image`,
  `reasoning`, `accepted_prediction`, `rejected_prediction`. They are apart so that a
  `sum()` over types counts nothing twice.
- Histograms `cerebras_call_duration_seconds`, `cerebras_time_to_first_token_seconds`
  and `cerebras_output_tokens_per_second`, without the calls that LangChain's cache has
  answered.
- For budgets `cerebras_budget_limit_usd`, `cerebras_budget_spent_usd` and
  `cerebras_budget_reserved_usd`, and `cerebras_budget_readable`, which is 0 while a
  budget's store cannot be read. Processes that share a budget all show it whole: take
  `max`, not `sum`.

Money is added up as decimals and becomes a float when it is scraped, so a sum is the
float nearest to the exact one however many calls there were.

Each process counts its own calls: let Prometheus scrape each, and sum there.
`prometheus_client`'s multiprocess mode takes no collectors like this one.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from langchain_cerebras_ext.costs.pricing import add_usd
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import CollectorRegistry, Metric

    from langchain_cerebras_ext.costs.budget import Budget, BudgetStatus
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["LABELS", "OTHER", "CostCollector"]

_log = logging.getLogger("langchain_cerebras_ext.costs")

OTHER: Final = "other"
"""The value of a label that has had its share of values."""

_Held = TypeVar("_Held")
_LONGEST_VALUE: Final = 200
_ZERO: Final = Decimal(0)

LABELS: Final[dict[str, Callable[[UsageRecord], str | None]]] = {
    "model": lambda record: record.served,
    "provider": lambda record: record.provider,
    "outcome": lambda record: record.outcome,
    "operation": lambda record: record.operation,
    "node": lambda record: record.node,
    "arm": lambda record: record.arm,
    "error_type": lambda record: record.error_type,
    "service_tier": lambda record: record.service_tier,
    "user": lambda record: record.user,
    "session": lambda record: record.session,
    "tags": lambda record: ",".join(sorted(record.tags)),
}
"""What series can be told apart by. `model` is the one that served; what is not known
is empty. `tags` are all of a record's in one value."""

_PARTS: Final = {
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "image": "image_tokens",
    "reasoning": "reasoning_tokens",
    "accepted_prediction": "accepted_prediction_tokens",
    "rejected_prediction": "rejected_prediction_tokens",
}

# OpenTelemetry's advice for seconds is 10 ms doubled, for tokens powers of 4. A fast
# model's first token comes in less.
_SECONDS: Final = tuple(2**power / 1000 for power in range(18))
_GEN_AI_SECONDS: Final = tuple(2**power / 100 for power in range(14))
_GEN_AI_TOKENS: Final = tuple(float(4**power) for power in range(14))
_SPEEDS: Final = (
    *(10.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 750.0),
    *(1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 4000.0, 6000.0, 10_000.0),
)


class _Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float | None) -> None:
        if value is not None and value >= 0:
            self.counts[bisect_left(self.bounds, value)] += 1
            self.total += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return buckets as Prometheus has them, each with those below it."""
        found: list[tuple[str, float]] = []
        so_far = 0
        names = [*map(str, self.bounds), "+Inf"]
        for bound, count in zip(names, self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found, self.total


class _Series:
    """What calls with the same labels came to."""

    __slots__ = (
        "calls",
        "cost",
        "durations",
        "estimated",
        "first_tokens",
        "input",
        "no_usage",
        "output",
        "parts",
        "retries",
        "savings",
        "speeds",
        "unpriced",
    )

    def __init__(self) -> None:
        self.calls = self.retries = 0
        self.unpriced = self.no_usage = self.estimated = 0
        self.input = self.output = 0
        self.parts = dict.fromkeys(_PARTS, 0)
        self.cost = self.savings = _ZERO
        self.durations = _Histogram(_SECONDS)
        self.first_tokens = _Histogram(_SECONDS)
        self.speeds = _Histogram(_SPEEDS)

    def add(self, record: UsageRecord) -> None:
        if record.outcome == "retried":
            self.retries += 1
        else:
            self.calls += 1
        for flag in record.doubts:
            setattr(self, flag, getattr(self, flag) + 1)
        if record.cost is not None:
            self.cost = add_usd(self.cost, record.cost.total)
            if record.cost.cache_savings:
                self.savings = add_usd(self.savings, record.cost.cache_savings)
        if record.outcome == "cache_hit":
            return
        self.input += record.input_tokens or 0
        self.output += record.output_tokens or 0
        for part, field in _PARTS.items():
            count = getattr(record, field)
            if count:
                self.parts[part] += count
        if record.outcome != "retried":
            self.durations.add(record.duration_s)
            self.first_tokens.add(record.ttft_s)
            self.speeds.add(record.output_tokens_per_s)


class _Bounded:
    """Gives each label a limited number of values; later ones are all `OTHER`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shown: dict[str, dict[str | None, str]] = {}

    def value(self, label: str, value: str | None) -> str:
        shown = self._shown.setdefault(label, {})
        known = shown.get(value)
        if known is not None:
            return known
        if len(shown) >= self._most:
            return OTHER
        return shown.setdefault(value, _clean(value))


class _Family(NamedTuple):
    """A counter: its name, its help, its further label, and what it reads."""

    name: str
    help: str
    read: Callable[[_Series], Iterable[tuple[str | None, float]]]
    label: str | None = None


def _one(value: float) -> tuple[tuple[None, float]]:
    return ((None, value),)


_COUNTERS: Final = (
    _Family(
        "calls",
        "Calls of models that have ended.",
        lambda s: _one(s.calls) if s.calls else (),
    ),
    _Family(
        "retries",
        "Tries that failed, may have been billed, and were followed by another.",
        lambda s: _one(s.retries) if s.retries else (),
    ),
    _Family(
        "tokens",
        "Tokens, cached ones and reasoning included.",
        lambda s: (("input", s.input), ("output", s.output)),
        "type",
    ),
    _Family(
        "token_parts",
        "Tokens of some kinds; they are part of the tokens and not to be added.",
        lambda s: ((kind, count) for kind, count in s.parts.items() if count),
        "type",
    ),
    _Family(
        "cost_usd",
        "What calls cost in USD, as far as their prices are known.",
        lambda s: _one(float(s.cost)),
    ),
    _Family(
        "cache_savings_usd",
        "USD that the prompt cache has saved; not part of the cost.",
        lambda s: _one(float(s.savings)),
    ),
    _Family(
        "unpriced_calls",
        "Calls without a price: their cost is not in the sum.",
        lambda s: _one(s.unpriced),
    ),
    _Family(
        "estimated_calls",
        "Calls whose tokens were estimated here.",
        lambda s: _one(s.estimated),
    ),
    _Family(
        "calls_without_usage",
        "Calls whose tokens the service did not count.",
        lambda s: _one(s.no_usage),
    ),
)

_HISTOGRAMS: Final[tuple[tuple[str, str, Callable[[_Series], _Histogram]], ...]] = (
    (
        "call_duration_seconds",
        "From sending a call to its end.",
        lambda series: series.durations,
    ),
    (
        "time_to_first_token_seconds",
        "From sending a call to the first content of its stream.",
        lambda series: series.first_tokens,
    ),
    (
        "output_tokens_per_second",
        "How fast a call's tokens came.",
        lambda series: series.speeds,
    ),
)

_GAUGES: Final[tuple[tuple[str, str, Callable[[BudgetStatus], Decimal]], ...]] = (
    ("limit_usd", "What may be spent in the window.", lambda status: status.limit),
    ("spent_usd", "What was spent in the window.", lambda status: status.spent),
    (
        "reserved_usd",
        "What calls under way may cost at most.",
        lambda status: status.reserved,
    ),
)


class CostCollector:
    """A tracker's sink that Prometheus can scrape. Safe for threads.

    Args:
        registry: Where to register; by default nowhere, least of all in the global
            registry: call `registry.register(collector)` yourself, or hand in
            `prometheus_client.REGISTRY`.
        namespace: Stands before the names.
        labels: What series are told apart by, of `LABELS`. Each further one multiplies
            them, and `user`, `session` and `tags` put people's names into a database
            that keeps them.
        max_label_values: How many values a label may have; later ones become `other`.
        max_series: How many combinations of values there may be; later ones have
            `other` in all labels.
        budgets: Whose standing to show. Of one with more keys than a label may have
            values, those are shown that are closest to their limits.
        gen_ai_names: Also expose OpenTelemetry's `gen_ai_client_token_usage`,
            `gen_ai_client_operation_duration_seconds` and
            `gen_ai_client_operation_time_to_first_chunk_seconds`. Leave it out where
            OpenTelemetry's own Prometheus exporter does.

    Raises:
        MissingExtraError: The extra `prometheus` is not installed.
        CerebrasConfigurationError: There is no such label, a bound is below 1, or the
            registry has such metrics already.

    Example:
        ```python
        collector = CostCollector(registry, labels=("model", "node"))
        tracker = CostTracker(sinks=[collector])
        ```
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        namespace: str = "cerebras",
        labels: Iterable[str] = ("model", "provider", "outcome"),
        max_label_values: int = 100,
        *,
        max_series: int = 1000,
        budgets: Iterable[Budget] = (),
        gen_ai_names: bool = False,
    ) -> None:
        _require()
        self._prefix = f"{namespace}_" if namespace else ""
        self._labels = _checked_labels(labels)
        _check_bound("max_label_values", max_label_values)
        _check_bound("max_series", max_series)
        self._max_series = max_series
        self._most_keys = max_label_values
        self._readers = [LABELS[label] for label in self._labels]
        self._bounded = _Bounded(max_label_values)
        self._series: dict[tuple[str, ...], _Series] = {}
        self._gen_ai = _GenAI(max_label_values, max_series) if gen_ai_names else None
        self._budgets = tuple(budgets)
        self._lock = threading.Lock()
        if registry is not None:
            _register(registry, self)

    def __repr__(self) -> str:
        """Return the labels and how many series there are."""
        return f"CostCollector(labels={self._labels!r}, series={len(self._series)})"

    def __call__(self, record: UsageRecord) -> None:
        """Take a record in."""
        with self._lock:
            self._series_of(record).add(record)
            if self._gen_ai is not None:
                self._gen_ai.add(record)

    def _series_of(self, record: UsageRecord) -> _Series:
        key = tuple(
            self._bounded.value(label, read(record))
            for label, read in zip(self._labels, self._readers, strict=True)
        )
        return _within(self._series, key, self._max_series, _Series)

    # --------------------------------------------------------------- what is scraped

    def describe(self) -> Iterator[Metric]:
        """Give all metrics without values, so that a registry knows their names."""
        yield from self._families({})
        yield from self._budget_families(())
        if self._gen_ai is not None:
            yield from _GenAI(1, 1).collect()

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        with self._lock:
            found = list(self._families(self._series))
            if self._gen_ai is not None:
                found += self._gen_ai.collect()
        yield from found
        # Outside the lock: a shared budget's store may be slow to answer.
        yield from self._budget_families(self._budgets)

    def _families(self, series: dict[tuple[str, ...], _Series]) -> Iterator[Metric]:
        from prometheus_client.core import (
            CounterMetricFamily,
            HistogramMetricFamily,
        )

        for name, text, read, label in _COUNTERS:
            more = () if label is None else (label,)
            counter = CounterMetricFamily(
                self._prefix + name, text, labels=(*self._labels, *more)
            )
            for key, one in series.items():
                for kind, value in read(one):
                    own = () if kind is None else (kind,)
                    counter.add_metric((*key, *own), value)
            yield counter
        for name, text, choose in _HISTOGRAMS:
            histogram = HistogramMetricFamily(
                self._prefix + name, text, labels=self._labels
            )
            for key, one in series.items():
                histogram.add_metric(key, *choose(one).read())
            yield histogram

    def _budget_families(self, budgets: Iterable[Budget]) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        prefix = f"{self._prefix}budget_"
        families = [
            GaugeMetricFamily(prefix + name, text, labels=_BUDGET_LABELS)
            for name, text, _ in _GAUGES
        ]
        readable = GaugeMetricFamily(
            f"{prefix}readable",
            "Whether a budget's standing could be read.",
            labels=_BUDGET_LABELS[:1],
        )
        for name, statuses in _standings(budgets):
            readable.add_metric([name], 0 if statuses is None else 1)
            for status in _closest(statuses or (), self._most_keys):
                key = (name, status.per, _clean(status.key), _clean(status.window))
                for family, (_, _, read) in zip(families, _GAUGES, strict=True):
                    family.add_metric(key, float(read(status)))
        yield from families
        yield readable


_BUDGET_LABELS: Final = ("budget", "per", "key", "window")


def _standings(
    budgets: Iterable[Budget],
) -> Iterator[tuple[str, list[BudgetStatus] | None]]:
    """Give each budget's name and standing; `None` where it could not be read.

    Two budgets of one name become one: equal series would spoil the whole scrape.
    """
    found: dict[str, list[BudgetStatus] | None] = {}
    for budget in budgets:
        name = _clean(budget.name)
        try:
            statuses = list(budget.status())
        except Exception:  # noqa: BLE001 - a store that is away must not end the scrape
            _log.warning("the standing of budget %r could not be read", name)
            found.setdefault(name, None)
            continue
        found[name] = [*(found.get(name) or ()), *statuses]
    yield from found.items()


def _closest(statuses: Iterable[BudgetStatus], most: int) -> Iterable[BudgetStatus]:
    """Return each key's standing once, those closest to their limits first.

    Of a budget for each run that is the run that is closest: a label with the run
    would never end.
    """
    ranked = sorted(statuses, key=_share, reverse=True)
    found: dict[tuple[str | None, str], BudgetStatus] = {}
    for status in ranked:
        found.setdefault((status.key, status.window), status)
    return list(found.values())[:most]


def _share(status: BudgetStatus) -> Decimal:
    taken = status.spent + status.reserved
    return taken / status.limit if status.limit else _ZERO


class _GenAI:
    """The same under the names and with the buckets of OpenTelemetry's conventions."""

    _LABELS: Final = (
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_request_model",
        "gen_ai_response_model",
    )

    def __init__(self, most: int, max_series: int) -> None:
        self._bounded = _Bounded(most)
        self._max_series = max_series
        self._tokens: dict[tuple[str, ...], _Histogram] = {}
        self._durations: dict[tuple[str, ...], _Histogram] = {}
        self._first: dict[tuple[str, ...], _Histogram] = {}

    def add(self, record: UsageRecord) -> None:
        if record.outcome in {"cache_hit", "retried"}:
            return
        values = (record.operation, record.provider, record.model, record.served)
        key = tuple(
            self._bounded.value(label, value)
            for label, value in zip(self._LABELS, values, strict=True)
        )
        counts = {"input": record.input_tokens, "output": record.output_tokens}
        for kind, count in counts.items():
            if count is not None:
                tokens = self._within(self._tokens, (*key, kind), _GEN_AI_TOKENS)
                tokens.add(count)
        error = self._bounded.value("error_type", record.error_type)
        whole = self._within(self._durations, (*key, error), _GEN_AI_SECONDS)
        whole.add(record.duration_s)
        if record.ttft_s is not None:
            self._within(self._first, key, _GEN_AI_SECONDS).add(record.ttft_s)

    def _within(
        self,
        held: dict[tuple[str, ...], _Histogram],
        key: tuple[str, ...],
        bounds: Sequence[float],
    ) -> _Histogram:
        return _within(held, key, self._max_series, lambda: _Histogram(bounds))

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        for name, text, more, held in (
            (
                "token_usage",
                "Tokens of prompts and answers, by type.",
                ("gen_ai_token_type",),
                self._tokens,
            ),
            (
                "operation_duration_seconds",
                "From a call to the end of its answer, or its error.",
                ("error_type",),
                self._durations,
            ),
            (
                "operation_time_to_first_chunk_seconds",
                "From a request to its stream's beginning.",
                (),
                self._first,
            ),
        ):
            family = HistogramMetricFamily(
                f"gen_ai_client_{name}", text, labels=(*self._LABELS, *more)
            )
            for key, histogram in held.items():
                family.add_metric(key, *histogram.read())
            yield family


# ---------------------------------------------------------------------------- bounds


def _within(
    held: dict[tuple[str, ...], _Held],
    key: tuple[str, ...],
    most: int,
    make: Callable[[], _Held],
) -> _Held:
    """Return what is held under a key, or under `OTHER` once there are too many."""
    found = held.get(key)
    if found is None and len(held) >= most:
        key = (OTHER,) * len(key)
        found = held.get(key)
    if found is None:
        found = held[key] = make()
    return found


def _clean(value: Any) -> str:
    """Return a label's value: not too long, and nothing that cannot be encoded.

    Half of a split character would make every scrape fail.
    """
    text = "" if value is None else str(value)
    return text[:_LONGEST_VALUE].encode("utf-8", "replace").decode("utf-8")


def _checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    given = (labels,) if isinstance(labels, str) else tuple(dict.fromkeys(labels))
    for label in given:
        if label not in LABELS:
            msg = f"labels={label!r} is unknown; take some of {', '.join(LABELS)}."
            raise CerebrasConfigurationError(msg)
    return given


def _check_bound(name: str, value: int) -> None:
    if value < 1:
        msg = f"{name}={value} must be 1 or more."
        raise CerebrasConfigurationError(msg)


def _register(registry: CollectorRegistry, collector: CostCollector) -> None:
    try:
        registry.register(collector)
    except ValueError as error:
        mine = sorted(metric.name for metric in collector.describe())
        known = [name for name in mine if f"'{name}" in str(error)]
        msg = (
            f"The registry has metrics of some of these names: {', '.join(known[:3])}. "
            "Give one CostCollector to all trackers; or another namespace to the "
            "second one, and gen_ai_names to one alone."
        )
        raise CerebrasConfigurationError(msg) from error


def _require() -> None:
    try:
        import prometheus_client as _  # type: ignore[unused-ignore]  # noqa: F401
    except ImportError as error:
        msg = (
            f"This needs prometheus-client ({error}). "
            "Run: pip install 'langchain-cerebras-ext[prometheus]'"
        )
        raise MissingExtraError(msg) from error
