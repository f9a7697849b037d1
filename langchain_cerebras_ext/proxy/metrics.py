"""`Metrics`: what Prometheus is told of the requests; every name is in `NAMES`.

Labels have few values whatever clients send: a model has one of its own if the catalog
or the settings know it, or once the upstream has answered for it. The histograms of
OpenTelemetry's GenAI conventions are made of ours when they are scraped.

Several workers share a folder, as `prometheus_client` does it: it is named by
`PROMETHEUS_MULTIPROC_DIR`, which must be set before that library is imported. Each
worker then answers for all.
"""

from __future__ import annotations

import os
import platform
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext._otel import names as conventions
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.catalog._registry import registry as catalog
from langchain_cerebras_ext.costs.pricing import EXACT
from langchain_cerebras_ext.errors import MissingExtraError
from langchain_cerebras_ext.proxy.record import (
    counts_of,
    output_speed,
    queue_time,
    time_per_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry, Counter, Metric
    from prometheus_client.samples import Sample

    from langchain_cerebras_ext.costs._usage import Counts
    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["NAMES", "PREFIX", "Metrics"]

PREFIX: Final = "cerebras_proxy_"
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

OTHER: Final = "other"
"""The value of a label that has had its share of values."""

NOBODY: Final = "anonymous"
"""The key of requests without one: in open mode, or where none fits."""

NO_MODEL: Final = "none"
"""The model of requests that have not named one that could be read."""

_MOST_MODELS: Final = 50
_MOST_KEYS: Final = 1000
_MOST_LIMITS: Final = 20
_LONGEST_VALUE: Final = 100
_SYNC_S: Final = 1.0
_TOO_MANY: Final = 10_000
_OK: Final = range(200, 300)

# ----------------------------------------------------------------------- what there is

# Ours hold all bounds that the conventions advise, and finer ones where a fast service
# is, so that theirs can be made of ours.
_CONVENTION_DURATIONS: Final = conventions.SECOND_BOUNDS
_CONVENTION_FIRST: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_CONVENTION_PER_TOKEN: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2),
    *(0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
_DURATIONS: Final = (0.0025, 0.005, *_CONVENTION_DURATIONS, 163.84, 327.68, 900.0)
_FIRST: Final = tuple(
    sorted({*_CONVENTION_FIRST, 0.0025, 0.15, 0.2, 0.35, 1.5, 20.0, 60.0})
)
_PER_TOKEN: Final = (
    *(0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.00075),
    *(0.001, 0.0015, 0.002, 0.003, 0.005),
    *_CONVENTION_PER_TOKEN,
)
_QUEUE: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_SPEEDS: Final = (
    *(10.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 750.0),
    *(1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 4000.0, 6000.0, 10_000.0),
)
_TOKENS: Final = tuple(float(bound) for bound in conventions.TOKEN_BOUNDS)


class _Family(NamedTuple):
    """A metric of ours.

    Attributes:
        about: What it is, for people.
        labels: Its labels.
        bounds: A histogram's buckets.
        mode: How a gauge's values of several workers become one; `None` is a counter
            or a histogram.
    """

    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    mode: str | None = None


_GEN_AI_LABELS: Final = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
)
_TOKEN_USAGE: Final = "gen_ai_client_token_usage"  # noqa: S105 - not that kind

_RECORDED: Final[dict[str, _Family]] = {
    f"{PREFIX}requests_total": _Family(
        "Requests that have ended; status 499 is a client that left before the answer.",
        ("operation", "model", "status", "key"),
    ),
    f"{PREFIX}request_duration_seconds": _Family(
        "From a request's head to the end of its answer.",
        ("operation", "model", "stream", "error_category"),
        _DURATIONS,
    ),
    f"{PREFIX}time_to_first_token_seconds": _Family(
        "From a request's head to the first content of its stream.",
        ("operation", "model"),
        _FIRST,
    ),
    f"{PREFIX}time_per_output_token_seconds": _Family(
        "Time for each output token after the first.",
        ("operation", "model"),
        _PER_TOKEN,
    ),
    f"{PREFIX}output_tokens_per_second": _Family(
        "How fast a request's output tokens came.", ("operation", "model"), _SPEEDS
    ),
    f"{PREFIX}queue_time_seconds": _Family(
        "Time in the service's queue, as it says.", ("model",), _QUEUE
    ),
    f"{PREFIX}tokens_total": _Family(
        "Tokens. Those of type input and output are all; cached_input is part of "
        "input, reasoning of output.",
        ("model", "key", "type"),
    ),
    f"{PREFIX}cost_usd_total": _Family(
        "What requests cost in USD, as far as prices are known.", ("model", "key")
    ),
    f"{PREFIX}unpriced_requests_total": _Family(
        "Requests without a price: their cost is in no sum.", ("model",)
    ),
    f"{PREFIX}requests_without_usage_total": _Family(
        "Requests whose tokens the service did not tell; they are estimated.",
        ("model",),
    ),
    f"{PREFIX}cancelled_requests_total": _Family(
        "Requests whose client left, by how far they were.", ("phase",)
    ),
    f"{PREFIX}refused_requests_total": _Family(
        "Requests that the proxy refused by itself.", ("reason", "key")
    ),
    f"{PREFIX}upstream_errors_total": _Family(
        "Tries that failed upstream, by class; a request may have several.",
        ("upstream", "model", "category"),
    ),
    f"{PREFIX}fallbacks_total": _Family(
        "Tries that went on to another upstream.", ("from_upstream", "to_upstream")
    ),
    f"{PREFIX}deprecated_model_requests_total": _Family(
        "Requests for models whose service ends or has ended.", ("model", "successor")
    ),
    f"{PREFIX}in_flight_requests": _Family("Requests under way.", mode="livesum"),
    f"{PREFIX}rate_limit_limit": _Family(
        "What the upstream allows in a window, as it said last.",
        ("upstream", "model", "limit"),
        mode="mostrecent",
    ),
    f"{PREFIX}rate_limit_remaining": _Family(
        "What is left of it, as the upstream said last.",
        ("upstream", "model", "limit"),
        mode="mostrecent",
    ),
    f"{PREFIX}model_sunset_timestamp_seconds": _Family(
        "When the service of a model that was asked for ends or has ended.",
        ("model",),
        mode="max",
    ),
    f"{PREFIX}build_info": _Family(
        "Versions of the package, of Python, and of OpenTelemetry's conventions.",
        ("version", "python", "semconv"),
        mode="max",
    ),
    _TOKEN_USAGE: _Family(
        "Number of input and output tokens used, as the service told them.",
        (*_GEN_AI_LABELS, "gen_ai_token_type"),
        _TOKENS,
    ),
}

_LEDGER: Final[dict[str, _Family]] = {
    f"{PREFIX}ledger_up": _Family(
        "Whether the ledger's database can be written.", mode="livemin"
    ),
    f"{PREFIX}ledger_waiting_records": _Family(
        "Records that wait to be written to the ledger.", mode="livesum"
    ),
    f"{PREFIX}ledger_lost_records_total": _Family(
        "Records that the ledger could not keep."
    ),
}
"""Only where there is a ledger: one that is not there is not down."""


class _Derived(NamedTuple):
    """A histogram of the conventions that is made of one of ours.

    Attributes:
        source: The name of ours.
        about: What it is.
        bounds: Its buckets, some of those of ours.
        labels: Its labels, each with the label of ours that it is.
    """

    source: str
    about: str
    bounds: tuple[float, ...]
    labels: Mapping[str, str]


_MODEL_LABELS: Final = {
    "gen_ai_operation_name": "operation",
    "gen_ai_request_model": "model",
}

_DERIVED: Final[dict[str, _Derived]] = {
    "gen_ai_server_request_duration_seconds": _Derived(
        f"{PREFIX}request_duration_seconds",
        "Generative AI server request duration.",
        _CONVENTION_DURATIONS,
        {**_MODEL_LABELS, "error_type": "error_category"},
    ),
    "gen_ai_server_time_to_first_token_seconds": _Derived(
        f"{PREFIX}time_to_first_token_seconds",
        "Time to generate the first token.",
        _CONVENTION_FIRST,
        _MODEL_LABELS,
    ),
    "gen_ai_server_time_per_output_token_seconds": _Derived(
        f"{PREFIX}time_per_output_token_seconds",
        "Time per output token generated after the first one.",
        _CONVENTION_PER_TOKEN,
        _MODEL_LABELS,
    ),
}

_CONVENTION_OPERATIONS: Final = frozenset({"chat", "text_completion"})
_BUDGET: Final = f"{PREFIX}budget_"
_BUDGET_NAMES: Final = ("limit_usd", "spent_usd", "reserved_usd", "readable")

NAMES: Final = frozenset(
    {*_RECORDED, *_LEDGER, *_DERIVED, *(_BUDGET + name for name in _BUDGET_NAMES)}
)
"""Every metric; histograms have `_bucket`, `_sum` and `_count` behind."""


# ------------------------------------------------------------------------------ series


class _Money:
    """A sum of USD: added up exactly, shown as the nearest float."""

    __slots__ = ("_exact", "_inc", "_shown")

    def __init__(self, counter: Counter) -> None:
        self._inc = counter.inc
        self._exact = Decimal(0)
        self._shown = 0.0

    def add(self, amount: Decimal) -> None:
        """Add an amount."""
        self._exact = EXACT.add(self._exact, amount)
        more = float(self._exact) - self._shown
        if more > 0:
            self._inc(more)
            self._shown += more


@dataclass(slots=True)
class _Used:
    """What is counted of requests that reached an upstream, for a model and a key."""

    input: Callable[[float], None]
    output: Callable[[float], None]
    cached: Callable[[float], None]
    reasoning: Callable[[float], None]
    cost: _Money
    unpriced: Callable[[], None]
    without_usage: Callable[[], None]
    told_input: Callable[[float], None]
    told_output: Callable[[float], None]
    speed: Callable[[float], None]
    per_token: Callable[[float], None]
    queue: Callable[[float], None]


class _Bounded:
    """Gives a label a limited number of values; later ones are all `OTHER`."""

    __slots__ = ("_most", "_shown")

    def __init__(self, most: int) -> None:
        self._most = most
        self._shown: dict[str, str] = {}

    def find(self, value: str) -> str | None:
        """Return what is shown for a value, if it has its place."""
        return self._shown.get(value)

    def value(self, value: str) -> str:
        """Return what is shown for a value, which takes a place if there is one."""
        known = self._shown.get(value)
        if known is not None:
            return known
        if len(self._shown) >= self._most:
            return OTHER
        return self._shown.setdefault(value, _clean(value))


def _clean(value: str) -> str:
    """Return a label's value: not long, and nothing that cannot be encoded."""
    return value[:_LONGEST_VALUE].encode("utf-8", "replace").decode("utf-8")


class _Models:
    """Which models are told apart: those known, and some that were served."""

    __slots__ = ("_others", "_own")

    def __init__(self, settings: Settings) -> None:
        upstreams = (settings.upstream, *settings.fallbacks)
        self._own = frozenset(
            {
                *settings.aliases,
                *settings.aliases.values(),
                *settings.allowed_models,
                *(one.model for one in upstreams if one.model),
            }
        )
        self._others = _Bounded(_MOST_MODELS)

    def label(self, model: str, *, served: bool) -> str:
        """Return the label of a model.

        Names that no upstream has answered for take no place: anybody can send many.
        """
        if not model:
            return NO_MODEL
        if model in self._own or model in catalog.table().by_name:
            return model
        if served:
            return self._others.value(model)
        return self._others.find(model) or OTHER


# ----------------------------------------------------------------------------- metrics


class Metrics:
    """An observer that counts; `begin` is told of each request that arrives.

    Args:
        settings: Which models there are.
        registry: Where all is registered, besides what others have there; by default a
            new one.

    Raises:
        MissingExtraError: The extra `proxy` is not installed.
    """

    def __init__(
        self, settings: Settings, registry: CollectorRegistry | None = None
    ) -> None:
        client = _client()
        self.registry: CollectorRegistry = registry or client.CollectorRegistry()
        self._is_shared = FOLDER in os.environ
        self._inner: CollectorRegistry = client.CollectorRegistry()
        self._made: dict[str, Any] = {}
        self._make(_RECORDED)
        self._models = _Models(settings)
        self._keys = _Bounded(_MOST_KEYS)
        self._limit_names = _Bounded(_MOST_LIMITS)
        self._ended: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self._used: dict[tuple[str, str, str], _Used] = {}
        self._firsts: dict[tuple[str, str], Callable[[float], None]] = {}
        self._sums: dict[tuple[str, str], _Money] = {}
        self._limits: dict[tuple[str, str], Mapping[str, str]] = {}
        self._budgets: list[Budget] = []
        self._ledger: Ledger | None = None
        self._lost = 0
        self._synced = 0.0
        self._in_flight = self._made[f"{PREFIX}in_flight_requests"]
        self.begin: Callable[[], None] = self._in_flight.inc
        info = (__version__, platform.python_version(), _semconv())
        self._child("build_info", *info).set(1)
        if not self._is_shared:
            with suppress(ValueError):  # somebody's registry may have it
                client.ProcessCollector(registry=self.registry)
        self.registry.register(_Exposed(self))

    def __repr__(self) -> str:
        """Tell whether workers share it."""
        return f"Metrics(shared={self._is_shared})"

    def watch(self, budget: Budget) -> None:
        """Show a budget's standing from now on; it is read at each scrape."""
        self._budgets.append(budget)

    def watch_ledger(self, ledger: Ledger) -> None:
        """Show how the ledger is doing from now on."""
        self._make(_LEDGER)
        self._ledger = ledger

    def _make(self, families: Mapping[str, _Family]) -> None:
        # In a shared folder the values are in files, and nothing is registered.
        where = None if self._is_shared else self._inner
        for name, one in families.items():
            self._made[name] = _make(name, one, where)

    def _child(self, name: str, *labels: str) -> Any:
        return self._made[PREFIX + name].labels(*labels)

    # ------------------------------------------------------------------- of a request

    def __call__(self, exchange: Exchange) -> None:
        """Count a request that has ended."""
        self._in_flight.dec()
        counts = counts_of(exchange)
        status = exchange.upstream_status
        model = self._models.label(
            exchange.model or exchange.model_asked,
            served=status is not None and status in _OK,
        )
        key = NOBODY if exchange.key_id is None else self._keys.value(exchange.key_id)
        error = exchange.error_category
        operation = exchange.operation
        place = (operation, model, exchange.status, key, exchange.stream, error)
        found = self._ended.get(place)
        if found is None:
            found = self._new_ended(*place)
        found[0]()
        found[1](exchange.duration_s)
        if exchange.ttft_s is not None:
            self._first(operation, model)(exchange.ttft_s)
        if counts is not None:
            self._count_used(exchange, model, key, counts)
        if error is not None or exchange.failed_upstreams:
            self._count_errors(exchange, model, key)
        if exchange.sunset is not None:
            self._count_sunset(exchange, *exchange.sunset)
        if exchange.rate_limits:
            self._limits[exchange.upstream or "", model] = exchange.rate_limits
        if self._is_shared and time.monotonic() - self._synced > _SYNC_S:
            self._sync()

    def _new_ended(
        self,
        operation: str,
        model: str,
        status: int,
        key: str,
        stream: bool,
        error: str | None,
    ) -> tuple[Any, Any]:
        if len(self._ended) >= _TOO_MANY:
            self._ended.clear()
        requests = self._child("requests_total", operation, model, str(status), key)
        durations = self._child(
            "request_duration_seconds",
            operation,
            model,
            "true" if stream else "false",
            error or "",
        )
        found = (requests.inc, durations.observe)
        self._ended[operation, model, status, key, stream, error] = found
        return found

    def _first(self, operation: str, model: str) -> Callable[[float], None]:
        found = self._firsts.get((operation, model))
        if found is None:
            child = self._child("time_to_first_token_seconds", operation, model)
            found = self._firsts[operation, model] = child.observe
        return found

    def _count_used(
        self, exchange: Exchange, model: str, key: str, counts: Counts
    ) -> None:
        place = (exchange.operation, model, key)
        used = self._used.get(place) or self._new_used(*place)
        _count_tokens(used, counts)
        if exchange.usage is not None:
            used.told_input(counts.input)
            used.told_output(counts.output)
        cost = exchange.cost
        if cost is not None:
            used.cost.add(cost.total)
        if exchange.flags:
            if "unpriced" in exchange.flags:
                used.unpriced()
            if "no_usage" in exchange.flags:
                used.without_usage()
        for value, observe in (
            (output_speed(exchange), used.speed),
            (time_per_token(exchange), used.per_token),
            (queue_time(exchange), used.queue),
        ):
            if value is not None:
                observe(value)

    def _new_used(self, operation: str, model: str, key: str) -> _Used:
        tokens = {
            kind: self._child("tokens_total", model, key, kind).inc
            for kind in ("input", "output", "cached_input", "reasoning")
        }
        told = self._made[_TOKEN_USAGE]
        named = (operation, conventions.PROVIDER, model)
        money = self._sums.get((model, key))
        if money is None:
            money = _Money(self._child("cost_usd_total", model, key))
            self._sums[model, key] = money
        used = _Used(
            input=tokens["input"],
            output=tokens["output"],
            cached=tokens["cached_input"],
            reasoning=tokens["reasoning"],
            cost=money,
            unpriced=self._child("unpriced_requests_total", model).inc,
            without_usage=self._child("requests_without_usage_total", model).inc,
            told_input=told.labels(*named, "input").observe,
            told_output=told.labels(*named, "output").observe,
            speed=self._child("output_tokens_per_second", operation, model).observe,
            per_token=self._child(
                "time_per_output_token_seconds", operation, model
            ).observe,
            queue=self._child("queue_time_seconds", model).observe,
        )
        self._used[operation, model, key] = used
        return used

    def _count_errors(self, exchange: Exchange, model: str, key: str) -> None:
        error = exchange.error_category
        if exchange.outcome == "aborted":
            self._child("cancelled_requests_total", exchange.phase).inc()
        elif exchange.outcome == "refused" and error is not None:
            self._child("refused_requests_total", error, key).inc()
        failed = [*exchange.failed_upstreams]
        names = [name for name, _ in failed]
        if exchange.upstream is not None:
            names.append(exchange.upstream)
            if error is not None and error.startswith("upstream_"):
                failed.append((exchange.upstream, error))
        for name, category in failed:
            self._child("upstream_errors_total", name, model, category).inc()
        for before, after in pairwise(names):
            self._child("fallbacks_total", before, after).inc()

    def _count_sunset(
        self, exchange: Exchange, day: str, successor: str | None
    ) -> None:
        asked = strip_provider(exchange.model_asked)
        name = asked if asked in catalog.table().by_name else exchange.model
        model = self._models.label(name, served=False)
        self._child("deprecated_model_requests_total", model, successor or "").inc()
        with suppress(ValueError):
            ends = datetime.combine(
                date.fromisoformat(day), datetime.min.time(), tzinfo=UTC
            )
            self._child("model_sunset_timestamp_seconds", model).set(ends.timestamp())

    # --------------------------------------------------------------- what is scraped

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and all metrics, in the form that is asked for.

        It takes some milliseconds, or longer where a shared budget's store is slow:
        run it in a thread.

        Args:
            accept: The request's `accept` header.
        """
        from prometheus_client.exposition import choose_encoder

        self._sync()
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _sync(self) -> None:
        """Bring gauges up to what was seen last; for all requests it is too dear."""
        self._synced = time.monotonic()
        # Only what is new: of several workers the last one that was told is right.
        seen, self._limits = self._limits, {}
        for (upstream, model), limits in seen.items():
            for name, value in limits.items():
                side, _, which = name.partition("-")
                if side in {"limit", "remaining"} and which:
                    limit = self._limit_names.value(which)
                    with suppress(ValueError):
                        number = float(value)
                        child = self._child(
                            f"rate_limit_{side}", upstream, model, limit
                        )
                        child.set(number)
        if self._ledger is not None:
            self._sync_ledger(self._ledger)

    def _sync_ledger(self, ledger: Ledger) -> None:
        status = ledger.status()
        self._made[f"{PREFIX}ledger_up"].set(1 if status.is_up else 0)
        self._made[f"{PREFIX}ledger_waiting_records"].set(
            status.buffered + status.spooled
        )
        lost = status.dropped + status.rejected
        if lost > self._lost:
            self._made[f"{PREFIX}ledger_lost_records_total"].inc(lost - self._lost)
            self._lost = lost

    def families(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        source: Any = self._inner
        if self._is_shared:
            from prometheus_client.multiprocess import MultiProcessCollector

            _forget_dead(Path(os.environ[FOLDER]))
            source = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
        derived = {one.source: (name, one) for name, one in _DERIVED.items()}
        for family in source.collect():
            family.samples = [
                one for one in family.samples if not one.name.endswith("_created")
            ]
            yield family
            if family.name in derived:
                yield _derive(*derived[family.name], family)
        if self._budgets:
            yield from _budget_families(self._budgets)


class _Exposed:
    """What a registry is told: all metrics of one `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        return self._metrics.families()


def _count_tokens(used: _Used, counts: Counts) -> None:
    used.input(counts.input)
    used.output(counts.output)
    if counts.cached:
        used.cached(counts.cached)
    if counts.reasoning:
        used.reasoning(counts.reasoning)


def _semconv() -> str:
    return conventions.SCHEMA_URL.rpartition("/")[2]


# ------------------------------------------------------------- prometheus_client's side


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        msg = (
            f"This needs prometheus-client ({error}). "
            "Run: pip install 'langchain-cerebras-ext[proxy]'"
        )
        raise MissingExtraError(msg) from error
    return prometheus_client


def _make(name: str, family: _Family, registry: CollectorRegistry | None) -> Any:
    """Return a `Counter`, `Gauge` or `Histogram`."""
    client = _client()
    if family.mode is not None:
        return client.Gauge(
            name,
            family.about,
            family.labels,
            registry=registry,
            multiprocess_mode=family.mode,
        )
    if family.bounds:
        return client.Histogram(
            name, family.about, family.labels, registry=registry, buckets=family.bounds
        )
    return client.Counter(name, family.about, family.labels, registry=registry)


def _derive(name: str, wanted: _Derived, source: Metric) -> Metric:
    """Return a histogram of the conventions: ours added up over labels it lacks."""
    from prometheus_client.metrics_core import Metric

    bounds = {_go_text(bound) for bound in (*wanted.bounds, float("inf"))}
    sums: dict[tuple[str, tuple[str, ...]], float] = {}
    for one in source.samples:
        part = one.name.removeprefix(source.name)
        if one.labels["operation"] not in _CONVENTION_OPERATIONS:
            continue
        if part == "_bucket" and one.labels["le"] not in bounds:
            continue
        values = (*(one.labels[own] for own in wanted.labels.values()), _edge(one))
        place = (part, values)
        sums[place] = sums.get(place, 0.0) + one.value
    family = Metric(name, wanted.about, "histogram")
    for (part, values), value in sums.items():
        labels = dict(zip((*wanted.labels, "le"), values, strict=True))
        if part != "_bucket":
            del labels["le"]
        if not labels.get("error_type", "-"):
            del labels["error_type"]  # only of what ended in an error
        labels["gen_ai_provider_name"] = conventions.PROVIDER
        family.add_sample(name + part, labels, value)
    return family


def _go_text(bound: float) -> str:
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _edge(sample: Sample) -> str:
    return sample.labels.get("le", "")


def _budget_families(budgets: Iterable[Budget]) -> Iterator[Metric]:
    from langchain_cerebras_ext.costs.prometheus import CostCollector

    collector = CostCollector(namespace=PREFIX.rstrip("_"), budgets=budgets)
    return (one for one in collector.collect() if one.name.startswith(_BUDGET))


_LIVE_FILE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


def _forget_dead(folder: Path) -> None:
    """Remove what workers that have ended said of the present; counts stay."""
    for path in folder.glob("gauge_live*.db"):
        found = _LIVE_FILE.fullmatch(path.name)
        if found is not None and not _is_alive(int(found[1])):
            with suppress(OSError):
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is somebody else's
    return True
