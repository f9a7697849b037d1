"""What an exchange used and cost: set on it, and kept in a ledger.

`Priced` is the first of the observers, so that the others find the cost. Where the
upstream has told no tokens although it may bill some, they are estimated by the size of
what was sent and of what had arrived, and flagged.
"""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_cerebras_ext._config import is_loopback, is_public_service
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.costs._providers import preload, provider_name
from langchain_cerebras_ext.costs._usage import Counts, read_counts
from langchain_cerebras_ext.costs.prices import PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import Cost, price_counts
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    InvalidUsageError,
    LedgerError,
    MissingExtraError,
    UnknownPriceError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.pricing import Rates
    from langchain_cerebras_ext.costs.records import Flag
    from langchain_cerebras_ext.proxy.exchange import ErrorCategory, Exchange
    from langchain_cerebras_ext.proxy.settings import Settings, Upstream

__all__ = [
    "CEREBRAS",
    "LedgerObserver",
    "Priced",
    "Providers",
    "counts_of",
    "load_prices",
    "open_ledger",
    "output_speed",
    "queue_time",
    "time_per_token",
    "to_record",
    "to_records",
]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

CEREBRAS: Final = "cerebras"
COUNTS: Final = "counts"
"""Under this name `Exchange.detail` has the tokens, as far as anything is known."""

_CHARS_PER_TOKEN: Final = 4.0
_MARGIN: Final = 1.08  # as of `_token_estimate`: too few is the worse mistake
_SHORTEST_SPAN_S: Final = 0.02  # shorter ones tell the network's speed
_ERROR_STATUS: Final = 400
_LONGEST_MODEL: Final = 100
_LONGEST_REASON: Final = 300
_MOST_WARNINGS: Final = 50
_MAX_KEPT: Final = 4096
_COUNTED: Final = frozenset({"chat", "text_completion"})
_NO_TOKENS: Final = Counts()
_NOT_YET: Final[Any] = object()

_NOT_SERVED: Final[frozenset[ErrorCategory]] = frozenset(
    {
        "upstream_auth",
        "upstream_bad_request",
        "upstream_connection",
        "upstream_not_found",
        "upstream_rate_limit",
    }
)
_MAYBE_SERVED: Final[frozenset[ErrorCategory]] = frozenset(
    {"upstream_timeout", "upstream_interrupted", "upstream_invalid_answer"}
)
"""Of failed tries: no answer has said that the prompt was not read."""

_ESTIMATED: Final[tuple[Flag, ...]] = ("estimated", "no_usage")
_ESTIMATED_UNPRICED: Final[tuple[Flag, ...]] = (*_ESTIMATED, "unpriced")
_UNPRICED: Final[tuple[Flag, ...]] = ("unpriced",)


# ----------------------------------------------------------------------- whose service


class Providers:
    """Whose service each upstream is, under LangChain's names.

    The main one is Cerebras, whatever its address; a fallback is who its name says,
    such as `groq`, unless its address says that it is Cerebras.
    """

    __slots__ = ("_by_name",)

    def __init__(self, settings: Settings) -> None:
        self._by_name = {one.name: _whose(one) for one in settings.fallbacks}
        self._by_name[settings.upstream.name] = CEREBRAS
        if not self._all_ours():
            preload()  # a third of a second that no request should wait for

    def _all_ours(self) -> bool:
        return all(name == CEREBRAS for name in self._by_name.values())

    def of(self, upstream: str | None) -> str:
        """Return an upstream's provider."""
        return self._by_name.get(upstream or "", CEREBRAS)


def _whose(upstream: Upstream) -> str:
    if is_public_service(upstream.base_url) or is_loopback(upstream.base_url):
        return CEREBRAS
    return provider_name(upstream.name) or CEREBRAS


# ------------------------------------------------------------------------------ tokens


def counts_of(exchange: Exchange) -> Counts | None:
    """Return what an exchange used, once it was priced; `None` if nothing was sent."""
    return cast("Counts | None", exchange.detail.get(COUNTS))


def _read(usage: Mapping[str, Any] | None) -> Counts | None:
    """Return the counts that an answer tells; `None` if it tells none of any use.

    Raises:
        InvalidUsageError: What it tells are no counts, or they contradict themselves.
    """
    if not usage:
        return None
    counts = _read_plain(usage) or read_counts(usage)
    # No prompt is empty: this is no count.
    return counts if counts.input or counts.output else None


def _read_plain(usage: Mapping[str, Any]) -> Counts | None:
    """Return the counts of nearly all answers, quicker than `read_counts`.

    Whatever is out of the ordinary in any way is left to that.
    """
    get = usage.get
    whole, answer = get("prompt_tokens"), get("completion_tokens")
    ins, outs = get("prompt_tokens_details"), get("completion_tokens_details")
    if (
        type(whole) is not int
        or type(answer) is not int
        or type(ins) is not dict
        or type(outs) is not dict
        or get("total_tokens") != whole + answer
        or not (ins.keys() <= _PLAIN_INPUT and outs.keys() <= _PLAIN_OUTPUT)
        or "service_tier" in usage
        or "image_tokens" in usage
    ):
        return None
    cached, thought = ins.get("cached_tokens", 0), outs.get("reasoning_tokens", 0)
    if (
        type(cached) is int
        and type(thought) is int
        and 0 <= cached <= whole
        and 0 <= thought <= answer
        and not any(outs.get(name) for name in _PREDICTED)
    ):
        return Counts(whole, cached, 0, 0, answer, thought)
    return None


_PREDICTED: Final = ("accepted_prediction_tokens", "rejected_prediction_tokens")
_PLAIN_INPUT: Final = frozenset({"cached_tokens"})
_PLAIN_OUTPUT: Final = frozenset({"reasoning_tokens", *_PREDICTED})


def _estimate(exchange: Exchange) -> Counts:
    """Return about what an exchange used whose answer has not told it."""
    answered = _tokens(exchange.answer_chars)
    most = exchange.max_output_tokens
    if most is not None and most > 0:
        answered = min(answered, most)
    return Counts(_estimate_prompt(exchange), output=answered)


def _estimate_prompt(exchange: Exchange) -> int:
    """Return about how long a prompt was, with what the model's template adds.

    One with images is a long body, but no longer than the model can read.
    """
    tokens = _tokens(exchange.prompt_bytes)
    card = registry.table().by_name.get(exchange.model)
    if card is None or not tokens:
        return tokens
    if card.scaffold is not None:
        tokens += card.scaffold.prompt
    window = card.context_tokens_paid or card.context_tokens_free
    return min(tokens, window) if window else tokens


def _tokens(size: int) -> int:
    return math.ceil(max(size, 0) / _CHARS_PER_TOKEN * _MARGIN)


def _was_served(exchange: Exchange) -> bool:
    """Whether the upstream may have counted tokens that it has not told."""
    if exchange.unreached:
        return False
    if exchange.upstream_status is not None:
        return exchange.upstream_status < _ERROR_STATUS
    return exchange.error_category not in _NOT_SERVED


# ------------------------------------------------------------------------------- times


def output_speed(exchange: Exchange) -> float | None:
    """Return output tokens a second, as the package's models measure them.

    Over the time after the first token for a stream; over the whole call for a plain
    answer and for one that came at once.
    """
    counts = counts_of(exchange)
    if counts is None or not counts.output or exchange.usage is None:
        return None
    span, first = exchange.duration_s, exchange.ttft_s
    if first is not None and span - first >= _SHORTEST_SPAN_S:
        span -= first
    return counts.output / span if span > 0 else None


def time_per_token(exchange: Exchange) -> float | None:
    """Return seconds for each output token after the first.

    Of a plain answer the upstream alone knows how long it took to write.
    """
    counts = counts_of(exchange)
    if counts is None or counts.output <= 1 or exchange.usage is None:
        return None
    if exchange.ttft_s is not None:
        return max(exchange.duration_s - exchange.ttft_s, 0.0) / (counts.output - 1)
    spent = _seconds(exchange.time_info, "completion_time")
    return None if spent is None else spent / counts.output


def queue_time(exchange: Exchange) -> float | None:
    """Return the seconds that a request waited in the service's queue, if it says."""
    return _seconds(exchange.time_info, "queue_time")


def _seconds(time_info: Mapping[str, Any] | None, name: str) -> float | None:
    value = time_info.get(name) if time_info else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < math.inf else None


# ------------------------------------------------------------------------------ prices


class Priced:
    """The first observer: finds what an exchange used and what that cost.

    Args:
        settings: Name the file of prices, and the upstreams.
        prices: Prices in place of that file.

    Raises:
        CerebrasConfigurationError: The file cannot be read; names the line.
    """

    __slots__ = ("_kept", "_prices", "_providers", "_table", "_warned")

    def __init__(self, settings: Settings, prices: PriceBook | None = None) -> None:
        self._prices = load_prices(settings) if prices is None else prices
        self._providers = Providers(settings)
        self._table: object = None
        self._warned: set[str] = set()
        self._kept: dict[tuple[Any, ...], Rates | None] = {}

    @property
    def prices(self) -> PriceBook:
        """The prices that hold here: yours, and the catalog's beneath them."""
        return self._prices

    def __call__(self, exchange: Exchange) -> None:
        """Set tokens, cost and flags, if anything was sent to a model."""
        if exchange.upstream_began is None or exchange.operation not in _COUNTED:
            return
        counts = self._told(exchange)
        estimated = False
        if counts is None:
            exchange.usage = None  # what cannot be counted is as good as not told
            estimated = _was_served(exchange)
            counts = _estimate(exchange) if estimated else _NO_TOKENS
        exchange.detail[COUNTS] = counts
        exchange.cost = cost = self.price(exchange, counts)
        if cost is None:
            exchange.flags = _ESTIMATED_UNPRICED if estimated else _UNPRICED
        elif estimated:
            exchange.flags = _ESTIMATED

    def _told(self, exchange: Exchange) -> Counts | None:
        """Return what the answer tells that it used."""
        try:
            return _read(exchange.usage)
        except InvalidUsageError as error:
            model = exchange.model[:_LONGEST_MODEL]
            # Once: it will be so in all of a model's answers.
            if model not in self._warned and len(self._warned) < _MOST_WARNINGS:
                self._warned.add(model)
                reason = str(error)[:_LONGEST_REASON]
                _log.warning(
                    "The usage of answers of %r is not taken: %s", model, reason
                )
            return None

    def price(self, exchange: Exchange, counts: Counts) -> Cost | None:
        """Return what counts cost on an exchange's model and day.

        Args:
            exchange: Sent already, or not yet: then its upstream is the main one.
            counts: What it used, or may use at most.

        Returns:
            `None` where no price is known.
        """
        if not (counts.input or counts.output):
            return Cost()  # nothing costs nothing
        try:
            rates = self._rates(exchange, counts)
            return rates and price_counts(rates.of_size(counts.input), counts)
        except UnknownPriceError:  # of a kind of token that was used
            return None

    def _rates(self, exchange: Exchange, counts: Counts) -> Rates | None:
        """Return kept rates; `PriceBook` takes longer to look whether it has them."""
        table = registry.table()
        if table is not self._table or len(self._kept) >= _MAX_KEPT:
            self._kept, self._table = {}, table
        when = exchange.started_at
        model, served, tier = exchange.model, exchange.model_served, counts.service_tier
        key = (exchange.upstream, model, served, tier, when.toordinal())
        found: Rates | None = self._kept.get(key, _NOT_YET)
        if found is _NOT_YET:
            provider = self._providers.of(exchange.upstream)
            found = self._prices.rates_of_call(
                provider, model or "unknown", served, when, service_tier=tier
            )
            if found is None or not found.by_time:
                self._kept[key] = found
        return found


# ----------------------------------------------------------------------------- records


_OUTCOMES: Final = {"ok": "ok", "aborted": "aborted"}
_TAGS: Final = ("proxy",)


def to_record(exchange: Exchange, provider: str = CEREBRAS) -> UsageRecord:
    """Return the row of an exchange that was priced.

    The user is the id of the client's key.
    """
    counts = counts_of(exchange)
    usage: Mapping[str, Any] = exchange.usage or {}
    predicted = usage.get("completion_tokens_details")
    return UsageRecord(
        started_at=exchange.started_at,
        model=exchange.model,
        provider=provider,
        model_served=exchange.model_served,
        operation=exchange.operation,
        stream=exchange.stream,
        run_id=exchange.request_id,
        trace_id=exchange.trace_id,
        request_id=exchange.upstream_id,
        tags=_tags(exchange.upstream),
        user=exchange.key_id,
        outcome=cast("Any", _OUTCOMES.get(exchange.outcome, "failed")),
        error_type=exchange.error_category,
        attempts=max(exchange.attempts, 1),
        duration_s=exchange.duration_s,
        ttft_s=exchange.ttft_s,
        queue_time_s=queue_time(exchange),
        output_tokens_per_s=output_speed(exchange),
        cost=exchange.cost,
        flags=cast("tuple[Flag, ...]", exchange.flags),
        **_named(counts, predicted),
    )


def _named(counts: Counts | None, predicted: Any) -> dict[str, Any]:
    """Return counts as a record names them; parts that were not told are not known."""
    if counts is None:
        return {}
    found: dict[str, Any] = {
        "input_tokens": counts.input,
        "output_tokens": counts.output,
        "cached_input_tokens": counts.cached,
        "reasoning_tokens": counts.reasoning,
    }
    if counts.cache_write:
        found["cache_write_tokens"] = counts.cache_write
    if counts.image:
        found["image_tokens"] = counts.image
    if counts.service_tier is not None:
        found["service_tier"] = counts.service_tier
    if isinstance(predicted, dict):
        for name in _PREDICTED:
            if predicted.get(name):
                found[name] = predicted[name]
    return found


@lru_cache(maxsize=64)
def _tags(upstream: str | None) -> tuple[str, ...]:
    is_other = upstream is not None and upstream != CEREBRAS
    return (*_TAGS, f"upstream:{upstream}") if is_other else _TAGS


def to_records(exchange: Exchange, providers: Providers) -> list[UsageRecord]:
    """Return the rows of an exchange: tries that may have been billed, and itself.

    A try that another upstream followed is a row of the outcome `retried`, as those of
    the package's own models are; its cost is not known.
    """
    found: list[UsageRecord] = []
    for number, (upstream, category) in enumerate(exchange.failed_upstreams, 1):
        if category in _MAYBE_SERVED:
            found.append(
                UsageRecord(
                    started_at=exchange.started_at,
                    model=exchange.model,
                    provider=providers.of(upstream),
                    operation=exchange.operation,
                    stream=exchange.stream,
                    run_id=exchange.request_id,
                    trace_id=exchange.trace_id,
                    tags=_tags(upstream),
                    user=exchange.key_id,
                    outcome="retried",
                    error_type=category,
                    attempts=number,
                    input_tokens=_estimate_prompt(exchange),
                    output_tokens=0,
                    flags=_ESTIMATED_UNPRICED,
                )
            )
    found.append(to_record(exchange, providers.of(exchange.upstream)))
    return found


class LedgerObserver:
    """Puts what was sent to a model into a ledger; what was refused costs nothing.

    Args:
        ledger: Where to.
        settings: Name the upstreams.
    """

    __slots__ = ("_ledger", "_providers")

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._providers = Providers(settings)

    def __call__(self, exchange: Exchange) -> None:
        """Add the rows of an exchange; another thread writes them."""
        if counts_of(exchange) is None:
            return
        if not exchange.failed_upstreams:
            self._ledger.add(to_record(exchange, self._providers.of(exchange.upstream)))
            return
        for row in to_records(exchange, self._providers):
            self._ledger.add(row)


def load_prices(settings: Settings) -> PriceBook:
    """Return the prices that are asked for.

    Raises:
        CerebrasConfigurationError: The file cannot be read; names the line.
    """
    if settings.prices_file is None:
        return list_prices()
    try:
        return PriceBook.load(settings.prices_file)
    except CerebrasConfigurationError as error:
        msg = f"APE_PRICES_FILE: {error}"
        raise CerebrasConfigurationError(msg) from error


def open_ledger(settings: Settings) -> Ledger | None:
    """Return the ledger that is asked for; `None` if none is.

    Raises:
        CerebrasConfigurationError: The URL is none of a ledger, or what is there is
            none.
        MissingExtraError: What the database needs is not installed.
    """
    if settings.ledger_url is None:
        return None
    from langchain_cerebras_ext.costs.ledger import Ledger

    try:
        return Ledger(settings.ledger_url)
    except MissingExtraError:
        raise
    except (CerebrasConfigurationError, LedgerError) as error:
        msg = f"APE_LEDGER_URL: {error}"
        raise CerebrasConfigurationError(msg) from error
