"""`Metrics`: what Prometheus is told of the requests; every name is in `NAMES`.

Labels have few values whatever clients send: a model has one of its own if the catalog
or the settings know it, or once the upstream has answered for it. The histograms of
OpenTelemetry's GenAI conventions are made of ours when they are scraped.

Several workers share a folder, and each answers for all. It is named by
`PROMETHEUS_MULTIPROC_DIR`, as it is for `prometheus_client`.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext._otel import names as conventions
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.catalog._registry import registry as catalog
from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError
from langchain_cerebras_ext.proxy.record import (
    Providers,
    counts_of,
    output_speed,
    queue_time,
    time_per_token,
)
from langchain_cerebras_ext.proxy.series import (
    OTHER,
    Family,
    Folder,
    Histogram,
    Money,
    Number,
    Store,
    coarser,
    merged,
    now,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry, Metric

    from langchain_cerebras_ext.costs._usage import Counts
    from langchain_cerebras_ext.costs.budget import Budget
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.series import Rows, Snapshot
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["NAMES", "PREFIX", "Metrics", "markdown_table"]

PREFIX: Final = "cerebras_proxy_"
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

NOBODY: Final = "anonymous"
"""The key of requests without one: in open mode, or where none fits."""

NO_MODEL: Final = "none"
"""The model of requests that have not named one that could be read."""

_MOST_MODELS: Final = 50
_MOST_KEYS: Final = 1000
_MOST_LIMITS: Final = 20
_LONGEST_VALUE: Final = 100
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


_GEN_AI_LABELS: Final = (
    "gen_ai_provider_name",
    "gen_ai_operation_name",
    "gen_ai_request_model",
)
_TOKEN_USAGE: Final = "gen_ai_client_token_usage"  # noqa: S105 - not that kind

_RECORDED: Final[dict[str, Family]] = {
    f"{PREFIX}requests_total": Family(
        "Requests that have ended; status 499 is a client that left before the answer.",
        ("operation", "model", "status", "key"),
    ),
    f"{PREFIX}request_duration_seconds": Family(
        "From a request's head to the end of its answer.",
        ("provider", "operation", "model", "stream", "error_category"),
        _DURATIONS,
    ),
    f"{PREFIX}time_to_first_token_seconds": Family(
        "From a request's head to the first content of its stream.",
        ("provider", "operation", "model"),
        _FIRST,
    ),
    f"{PREFIX}time_per_output_token_seconds": Family(
        "Time for each output token after the first.",
        ("provider", "operation", "model"),
        _PER_TOKEN,
    ),
    f"{PREFIX}output_tokens_per_second": Family(
        "How fast a request's output tokens came.", ("operation", "model"), _SPEEDS
    ),
    f"{PREFIX}queue_time_seconds": Family(
        "Time in the service's queue, as it says.", ("model",), _QUEUE
    ),
    f"{PREFIX}tokens_total": Family(
        "Tokens. Those of type input and output are all; cached_input is part of "
        "input, reasoning of output.",
        ("model", "key", "type"),
    ),
    f"{PREFIX}cost_usd_total": Family(
        "What requests cost in USD, as far as prices are known.", ("model", "key")
    ),
    f"{PREFIX}unpriced_requests_total": Family(
        "Requests without a price: their cost is in no sum.", ("model",)
    ),
    f"{PREFIX}requests_without_usage_total": Family(
        "Requests whose tokens the service did not tell; they are estimated.",
        ("model",),
    ),
    f"{PREFIX}cancelled_requests_total": Family(
        "Requests whose client left, by how far they were.", ("phase",)
    ),
    f"{PREFIX}refused_requests_total": Family(
        "Requests that the proxy refused by itself.", ("reason", "key")
    ),
    f"{PREFIX}upstream_errors_total": Family(
        "Tries that failed upstream, by class; a request may have several.",
        ("upstream", "model", "category"),
    ),
    f"{PREFIX}fallbacks_total": Family(
        "Tries that went on to another upstream.", ("from_upstream", "to_upstream")
    ),
    f"{PREFIX}deprecated_model_requests_total": Family(
        "Requests for models whose service ends or has ended.", ("model", "successor")
    ),
    f"{PREFIX}in_flight_requests": Family("Requests under way.", mode="sum"),
    f"{PREFIX}rate_limit_limit": Family(
        "What the upstream allows in a window, as it said last.",
        ("upstream", "model", "limit"),
        mode="last",
    ),
    f"{PREFIX}rate_limit_remaining": Family(
        "What is left of it, as the upstream said last.",
        ("upstream", "model", "limit"),
        mode="last",
    ),
    f"{PREFIX}model_sunset_timestamp_seconds": Family(
        "When the service of a model that was asked for ends or has ended.",
        ("model",),
        mode="max",
    ),
    f"{PREFIX}build_info": Family(
        "Versions of the package, of Python, and of OpenTelemetry's conventions.",
        ("version", "python", "semconv"),
        mode="max",
    ),
    _TOKEN_USAGE: Family(
        "Number of input and output tokens used, as the service told them.",
        (*_GEN_AI_LABELS, "gen_ai_token_type"),
        _TOKENS,
    ),
}

_LEDGER: Final[dict[str, Family]] = {
    f"{PREFIX}ledger_up": Family(
        "Whether the ledger's database can be written.", mode="min"
    ),
    f"{PREFIX}ledger_waiting_records": Family(
        "Records that wait to be written to the ledger.", mode="sum"
    ),
    f"{PREFIX}ledger_lost_records_total": Family(
        "Records that the ledger could not keep."
    ),
}
"""Only where there is a ledger: one that is not there is not down."""

_FAMILIES: Final = {**_RECORDED, **_LEDGER}


class _Derived(NamedTuple):
    """A histogram of the conventions that is made of one of ours.

    Attributes:
        source: The name of ours.
        labels: The labels of ours that it has.
        family: The histogram; its buckets are some of those of ours.
    """

    source: str
    labels: tuple[str, ...]
    family: Family


def _derive(
    source: str, about: str, bounds: tuple[float, ...], *more: tuple[str, str]
) -> _Derived:
    """Return what is made of a family of ours; more labels are theirs and ours."""
    own = ("provider", "operation", "model", *(own for _, own in more))
    theirs = (*_GEN_AI_LABELS, *(name for name, _ in more))
    return _Derived(PREFIX + source, own, Family(about, theirs, bounds))


_DERIVED: Final[dict[str, _Derived]] = {
    "gen_ai_server_request_duration_seconds": _derive(
        "request_duration_seconds",
        "Generative AI server request duration.",
        _CONVENTION_DURATIONS,
        ("error_type", "error_category"),
    ),
    "gen_ai_server_time_to_first_token_seconds": _derive(
        "time_to_first_token_seconds",
        "Time to generate the first token.",
        _CONVENTION_FIRST,
    ),
    "gen_ai_server_time_per_output_token_seconds": _derive(
        "time_per_output_token_seconds",
        "Time per output token generated after the first one.",
        _CONVENTION_PER_TOKEN,
    ),
}

_CONVENTION_OPERATIONS: Final = frozenset({"chat", "text_completion"})
_BUDGET: Final = f"{PREFIX}budget_"
_BUDGET_LABELS: Final = ("budget", "per", "key", "window")
_BUDGET_NAMES: Final = {
    "limit_usd": "What may be spent in the window.",
    "spent_usd": "What was spent in the window.",
    "reserved_usd": "What calls under way may cost at most.",
    "readable": "Whether a budget's standing could be read.",
}

NAMES: Final = frozenset(
    {*_FAMILIES, *_DERIVED, *(_BUDGET + name for name in _BUDGET_NAMES)}
)
"""Every metric; histograms have `_bucket`, `_sum` and `_count` behind."""


def markdown_table() -> str:
    """Return all metrics as a table in Markdown, for the documentation."""
    told = dict(_FAMILIES)
    told |= {name: one.family for name, one in _DERIVED.items()}
    for name, about in _BUDGET_NAMES.items():
        labels = _BUDGET_LABELS[:1] if name == "readable" else _BUDGET_LABELS
        told[_BUDGET + name] = Family(about, labels)
    lines = ["| Metric | Labels | What it is |", "|---|---|---|"]
    for name, one in told.items():
        named = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{name}` | {named} | {one.about} |")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------ series


@dataclass(slots=True)
class _Ended:
    """What is counted of each request that has ended alike."""

    requests: Number
    duration: Histogram


@dataclass(slots=True)
class _Used:
    """What is counted of requests that reached a model, for it and a key."""

    input: Number
    output: Number
    cached: Number
    reasoning: Number
    cost: Money
    unpriced: Number
    without_usage: Number
    told_input: Histogram
    told_output: Histogram
    speed: Histogram
    per_token: Histogram
    queue: Histogram


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
        CerebrasConfigurationError: `PROMETHEUS_MULTIPROC_DIR` names no folder.
    """

    def __init__(
        self, settings: Settings, registry: CollectorRegistry | None = None
    ) -> None:
        _require()
        self._store = Store(_FAMILIES, money=[f"{PREFIX}cost_usd_total"])
        folder = _shared_folder()
        self._folder = None if folder is None else Folder(folder, self._snapshot)
        self._registry: CollectorRegistry | None = None
        self._models = _Models(settings)
        self._providers = Providers(settings)
        self._keys = _Bounded(_MOST_KEYS)
        self._limit_names = _Bounded(_MOST_LIMITS)
        self._ended: dict[tuple[Any, ...], _Ended] = {}
        self._used: dict[tuple[str, str, str, str], _Used] = {}
        self._firsts: dict[tuple[str, ...], Histogram] = {}
        self._limits: dict[tuple[str, str], tuple[Mapping[str, str], float]] = {}
        self._budgets: list[Budget] = []
        self._ledger: Ledger | None = None
        self._in_flight: Number = self._cell("in_flight_requests")
        info = (__version__, platform.python_version(), _semconv())
        self._cell("build_info", *info).value = 1
        if registry is not None:
            self._register(registry)

    def __repr__(self) -> str:
        """Tell whether workers share it."""
        return f"Metrics(shared={self._folder is not None})"

    @property
    def registry(self) -> CollectorRegistry:
        """Where all is registered."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry

            return self._register(CollectorRegistry())
        return self._registry

    def _register(self, registry: CollectorRegistry) -> CollectorRegistry:
        from prometheus_client import ProcessCollector

        if self._folder is None:
            with suppress(ValueError):  # somebody's registry may have it
                ProcessCollector(registry=registry)
        registry.register(_Exposed(self))
        self._registry = registry
        return registry

    def watch(self, budget: Budget) -> None:
        """Show a budget's standing from now on; it is read at each scrape."""
        self._budgets.append(budget)

    def watch_ledger(self, ledger: Ledger) -> None:
        """Show how the ledger is doing from now on."""
        self._ledger = ledger

    def close(self) -> None:
        """Leave what was counted for the other workers, for the last time."""
        if self._folder is not None:
            self._folder.close()

    def _cell(self, name: str, *labels: str) -> Any:
        return self._store.cell(PREFIX + name, *labels)

    # ------------------------------------------------------------------- of a request

    def begin(self) -> None:
        """Count a request that has begun; it is to be told of when it has ended."""
        self._in_flight.value += 1

    def __call__(self, exchange: Exchange) -> None:
        """Count a request that has ended."""
        self._in_flight.value -= 1
        status = exchange.upstream_status
        model = self._models.label(
            exchange.model or exchange.model_asked,
            served=status is not None and status in _OK,
        )
        key = NOBODY if exchange.key_id is None else self._keys.value(exchange.key_id)
        error = exchange.error_category
        operation = exchange.operation
        whose = self._providers.of(exchange.upstream)
        place = (whose, operation, model, exchange.status, key, exchange.stream, error)
        ended = self._ended.get(place) or self._new_ended(*place)
        ended.requests.value += 1
        ended.duration.observe(exchange.duration_s)
        if exchange.ttft_s is not None:
            self._first(whose, operation, model).observe(exchange.ttft_s)
        counts = counts_of(exchange)
        if counts is not None:
            self._count_used(exchange, whose, model, key, counts)
        if error is not None or exchange.failed_upstreams:
            self._count_errors(exchange, model, key)
        if exchange.sunset is not None:
            self._count_sunset(exchange, *exchange.sunset)
        elif error == "model_retired":
            self._count_retired(exchange)
        if exchange.rate_limits:
            told = (exchange.rate_limits, now())
            self._limits[exchange.upstream or "", model] = told

    def _new_ended(
        self,
        whose: str,
        operation: str,
        model: str,
        status: int,
        key: str,
        stream: bool,
        error: str | None,
    ) -> _Ended:
        if len(self._ended) >= _TOO_MANY:
            self._ended.clear()
        ended = _Ended(
            self._cell("requests_total", operation, model, str(status), key),
            self._cell(
                "request_duration_seconds",
                whose,
                operation,
                model,
                "true" if stream else "false",
                error or "",
            ),
        )
        self._ended[whose, operation, model, status, key, stream, error] = ended
        return ended

    def _first(self, *place: str) -> Histogram:
        found = self._firsts.get(place)
        if found is None:
            found = self._cell("time_to_first_token_seconds", *place)
            self._firsts[place] = found
        return found

    def _count_used(
        self, exchange: Exchange, whose: str, model: str, key: str, counts: Counts
    ) -> None:
        place = (whose, exchange.operation, model, key)
        used = self._used.get(place) or self._new_used(*place)
        used.input.value += counts.input
        used.output.value += counts.output
        used.cached.value += counts.cached
        used.reasoning.value += counts.reasoning
        if exchange.usage is not None:
            used.told_input.observe(counts.input)
            used.told_output.observe(counts.output)
        if exchange.cost is not None:
            used.cost.add(exchange.cost.total)
        if exchange.flags:
            used.unpriced.value += "unpriced" in exchange.flags
            used.without_usage.value += "no_usage" in exchange.flags
        speed = output_speed(exchange)
        if speed is not None:
            used.speed.observe(speed)
        per_token = time_per_token(exchange)
        if per_token is not None:
            used.per_token.observe(per_token)
        queued = queue_time(exchange)
        if queued is not None:
            used.queue.observe(queued)

    def _new_used(self, whose: str, operation: str, model: str, key: str) -> _Used:
        if len(self._used) >= _TOO_MANY:
            self._used.clear()
        named = (_TOKEN_USAGE, whose, operation, model)
        cell = self._cell
        used = _Used(
            input=cell("tokens_total", model, key, "input"),
            output=cell("tokens_total", model, key, "output"),
            cached=cell("tokens_total", model, key, "cached_input"),
            reasoning=cell("tokens_total", model, key, "reasoning"),
            cost=cell("cost_usd_total", model, key),
            unpriced=cell("unpriced_requests_total", model),
            without_usage=cell("requests_without_usage_total", model),
            told_input=self._store.cell(*named, "input"),
            told_output=self._store.cell(*named, "output"),
            speed=cell("output_tokens_per_second", operation, model),
            per_token=cell("time_per_output_token_seconds", whose, operation, model),
            queue=cell("queue_time_seconds", model),
        )
        self._used[whose, operation, model, key] = used
        return used

    def _count_errors(self, exchange: Exchange, model: str, key: str) -> None:
        error = exchange.error_category
        if exchange.outcome == "aborted":
            self._cell("cancelled_requests_total", exchange.phase).value += 1
        elif exchange.outcome == "refused" and error is not None:
            self._cell("refused_requests_total", error, key).value += 1
        failed = [*exchange.failed_upstreams]
        names = [name for name, _ in failed]
        if exchange.upstream is not None:
            names.append(exchange.upstream)
            if error is not None and error.startswith("upstream_"):
                failed.append((exchange.upstream, error))
        for name, category in failed:
            self._cell("upstream_errors_total", name, model, category).value += 1
        for before, after in pairwise(names):
            if before != after:  # and not sent again on another connection
                self._cell("fallbacks_total", before, after).value += 1

    def _count_retired(self, exchange: Exchange) -> None:
        """Count a request that was refused because the model's service has ended."""
        card = catalog.table().by_name.get(strip_provider(exchange.model_asked))
        ended = None if card is None else card.retired_on
        if card is not None and ended is not None:
            self._count_sunset(exchange, ended.isoformat(), card.replacement_current)

    def _count_sunset(
        self, exchange: Exchange, day: str, successor: str | None
    ) -> None:
        asked = strip_provider(exchange.model_asked)
        name = asked if asked in catalog.table().by_name else exchange.model
        model = self._models.label(name, served=False)
        labels = (model, successor or "")
        self._cell("deprecated_model_requests_total", *labels).value += 1
        with suppress(ValueError):
            ends = datetime.combine(
                date.fromisoformat(day), datetime.min.time(), tzinfo=UTC
            )
            cell = self._cell("model_sunset_timestamp_seconds", model)
            cell.value = ends.timestamp()

    # --------------------------------------------------------------- what is scraped

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and all metrics, in the form that is asked for.

        It takes some milliseconds, or longer where a shared budget's store is slow:
        run it in a thread.

        Args:
            accept: The request's `accept` header.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _snapshot(self) -> Snapshot:
        self._sync()
        return self._store.snapshot()

    def _sync(self) -> None:
        """Bring gauges up to what was seen last; for all requests it is too dear."""
        for (upstream, model), (limits, when) in self._limits.copy().items():
            for name, value in limits.items():
                side, _, which = name.partition("-")
                if side in {"limit", "remaining"} and which:
                    limit = self._limit_names.value(which)
                    with suppress(ValueError):
                        number = float(value)
                        cell = self._cell(f"rate_limit_{side}", upstream, model, limit)
                        cell.value, cell.at = number, when
        if self._ledger is not None:
            status = self._ledger.status()
            self._cell("ledger_up").value = 1 if status.is_up else 0
            waiting = status.buffered + status.spooled
            self._cell("ledger_waiting_records").value = waiting
            lost = status.dropped + status.rejected
            self._cell("ledger_lost_records_total").value = lost

    def families(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        found = self._snapshot()
        if self._folder is not None:
            found = merged(_FAMILIES, found, self._folder.others())
        for name, rows in found.items():
            yield shown(name, _FAMILIES[name], rows)
        for name, wanted in _DERIVED.items():
            rows = found.get(wanted.source, {})
            yield shown(name, wanted.family, _derived(wanted, rows))
        if self._budgets:
            yield from _budget_families(self._budgets)


class _Exposed:
    """What a registry is told: all metrics of one `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        return self._metrics.families()


def _semconv() -> str:
    return conventions.SCHEMA_URL.rpartition("/")[2]


# ------------------------------------------------------------- prometheus_client's side


def _require() -> None:
    # Looked for and not loaded: it takes a tenth of a second, and is needed to answer.
    if find_spec("prometheus_client") is None:
        msg = (
            "This needs prometheus-client. "
            "Run: pip install 'langchain-cerebras-ext[proxy]'"
        )
        raise MissingExtraError(msg)


def _shared_folder() -> Path | None:
    name = os.environ.get(FOLDER)
    if not name:
        return None
    folder = Path(name)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        msg = (
            f"{FOLDER}={name!r} must name a folder that is there and can be written, "
            "empty when the first worker starts; without it each worker counts alone."
        )
        raise CerebrasConfigurationError(msg)
    return folder


def _derived(wanted: _Derived, rows: Rows) -> Rows:
    """Return a histogram of the conventions: ours added up over labels it lacks."""
    source = _FAMILIES[wanted.source]
    places = [source.labels.index(name) for name in wanted.labels]
    found: Rows = {}
    fewer = wanted.family.bounds
    for labels, row in coarser(rows, source.bounds, fewer).items():
        if labels[source.labels.index("operation")] in _CONVENTION_OPERATIONS:
            key = tuple(labels[place] for place in places)
            held = found.get(key)
            found[key] = row if held is None else list(map(add, held, row))
    return found


def _budget_families(budgets: Iterable[Budget]) -> Iterator[Metric]:
    from langchain_cerebras_ext.costs.prometheus import CostCollector

    collector = CostCollector(namespace=PREFIX.rstrip("_"), budgets=budgets)
    return (one for one in collector.collect() if one.name.startswith(_BUDGET))
