"""`price_usage`: token counts times a price on a day, exact, by kind of token.

Amounts are computed in a decimal context of our own, so that what a program has set
for its own arithmetic changes nothing here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import msgspec

from langchain_cerebras_ext.costs._answer import Answer, read_answer
from langchain_cerebras_ext.costs._usage import (
    Counts,
    check_counts,
    check_whole,
    read_counts,
)
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    UnknownPriceError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext.catalog import ModelCard
    from langchain_cerebras_ext.costs.prices import PriceBook

__all__ = [
    "EXACT",
    "QUANTUM",
    "Cost",
    "PriceRow",
    "add_usd",
    "adds_up",
    "cost_of",
    "cost_of_calls",
    "price_book",
    "price_call",
    "price_totals",
    "price_usage",
    "usd_text",
]

ZERO: Final = Decimal(0)
QUANTUM: Final = Decimal("1e-12")
"""Amounts are whole numbers of this many USD: a token at a rate of up to six decimals
per million is exact, and finer rates are rounded half to even, kind by kind."""

EXACT: Final = Context(
    prec=200,
    rounding=ROUND_HALF_EVEN,
    Emin=MIN_EMIN,
    Emax=MAX_EMAX,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""The context of all amounts; wide enough that sums of them are never rounded."""

_times = EXACT.multiply
_scale = EXACT.scaleb
_round = EXACT.quantize
_plus = EXACT.add
_minus = EXACT.subtract
_PER_MILLION: Final = -6
_MOST_RATES: Final = 4096


class PriceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The rates that a call is priced by, in USD per million tokens, and whence.

    `None` is not known; 0 is free. A rate of its own for cached, written, image tokens
    is `None` where the provider prices them as other input.

    Attributes:
        input: Prompt tokens.
        output: Completion tokens, reasoning included.
        cached_input: Prompt tokens read from a prompt cache.
        cache_write: Prompt tokens written to a prompt cache.
        image: Image tokens of the prompt.
        request: USD for each request, whatever its size.
        provider: Whose price it is.
        model: Whose price it is; the id in the table where it was found.
        source: Who says so: an address, `your prices`, a library and its version.
        seen: The day on which the price was last seen there.
        valid_from: First day; `None` is always.
        valid_until: First day after it; `None` is open.
        discount: What was taken off the list price, from 0 to 1; the rates are after.
        note: Why, as given with your prices or discounts.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    image: Decimal | None = None
    request: Decimal = ZERO
    provider: str = "cerebras"
    model: str = ""
    source: str = ""
    seen: date | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    discount: Decimal = ZERO
    note: str = ""


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a call costs, in USD, by kind of token; the kinds add up to the total.

    Attributes:
        input: Prompt tokens that no other kind has.
        cached_input: Prompt tokens read from the cache.
        cache_write: Prompt tokens written to the cache.
        image: Image tokens.
        output: Completion tokens, reasoning and rejected predictions included.
        request: The price of the request itself.
        reasoning: The part of `output` that was reasoning; not added again.
        cache_savings: What the cached tokens would have cost more without the cache;
            not part of the total.
        price: The rates.
    """

    input: Decimal = ZERO
    cached_input: Decimal = ZERO
    cache_write: Decimal = ZERO
    image: Decimal = ZERO
    output: Decimal = ZERO
    request: Decimal = ZERO
    reasoning: Decimal = ZERO
    cache_savings: Decimal = ZERO
    price: PriceRow | None = None

    @property
    def total(self) -> Decimal:
        """All kinds together."""
        return self.add_to(ZERO)

    def add_to(self, amount: Decimal) -> Decimal:
        """Return an amount and all kinds together."""
        return add_usd(
            amount,
            self.input,
            self.output,
            self.cached_input,
            self.cache_write,
            self.image,
            self.request,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the kinds and the total as decimal strings, as JSON has them."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return cast(
            "dict[str, Any]", msgspec.to_builtins({**named, "total": self.total})
        )


def add_usd(*amounts: Decimal) -> Decimal:
    """Return the sum of amounts, exact in any order and in any decimal context."""
    total = ZERO
    for amount in amounts:
        if amount:
            total = _plus(total, amount)
    return total


def usd_text(amount: Decimal) -> str:
    """Return an amount as plain digits without zeros at its end, in any context."""
    return f"{EXACT.normalize(amount):f}"


# ------------------------------------------------------------------ rates of a model


class Extra(NamedTuple):
    """Rates of kinds that few models price apart; `None` is priced as the rest.

    Attributes:
        audio: Audio tokens of the prompt.
        audio_output: Audio tokens of the answer.
        cache_write_1h: Prompt tokens written to a cache for an hour.
        reasoning: Reasoning tokens.
    """

    audio: Decimal | None = None
    audio_output: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None


class Step(NamedTuple):
    """Rates that hold for prompts of more than so many tokens.

    Attributes:
        above: The size; -1 for any.
        row: The rates.
        extra: Rates of rarer kinds, if there are any.
        is_mute: Whether sound has a rate of its own there that nobody has told.
    """

    above: int
    row: PriceRow
    extra: Extra | None = None
    is_mute: bool = False


class Rates(NamedTuple):
    """A model's rates on a day, by the size of the prompt.

    Attributes:
        steps: In ascending order; the first one is for any size.
        by_time: Whether they are the dearest of a day on which the hour matters.
    """

    steps: tuple[Step, ...]
    by_time: bool = False

    def of_size(self, input_tokens: int) -> Step:
        """Return the rates for a prompt of so many tokens, cached ones included.

        The whole call is priced by them, as providers do, not what exceeds the size.
        """
        steps = self.steps
        if len(steps) == 1:
            return steps[0]
        return next(step for step in reversed(steps) if input_tokens > step.above)


# ------------------------------------------------------------------------ arithmetic


def _usd(rate: Decimal, tokens: int) -> Decimal:
    """Return tokens times a rate per million, rounded half to even to `QUANTUM`."""
    each = _per_token(rate)
    if each is not None:
        return _times(each, tokens)
    return _round(_scale(_times(rate, tokens), _PER_MILLION), QUANTUM)


@lru_cache(_MOST_RATES)
def _per_token(rate: Decimal) -> Decimal | None:
    """Return a token's price at a rate per million, written to the last `QUANTUM`.

    `None` if it is no whole number of them: products must then be rounded. What is
    free is a plain 0, for with the places of `QUANTUM` it would read `0E-12`.
    """
    if not rate:
        return ZERO
    exact = _scale(rate, _PER_MILLION)
    each = _round(exact, QUANTUM)
    return each if each == exact else None


def cost_of(
    row: PriceRow,
    input: int = 0,  # noqa: A002 - the name of the kind
    cached: int = 0,
    cache_write: int = 0,
    image: int = 0,
    output: int = 0,
    reasoning: int = 0,
) -> Cost:
    """Price counts that are known to be right at the rates of a row; quick.

    Args:
        row: The rates.
        input: Prompt tokens, all of them.
        cached: Of them, read from the cache.
        cache_write: Of them, written to the cache.
        image: Of them, images. Of counts that are more than the prompt together, some
            tokens are both cached and images: they are priced as cached, once.
        output: Completion tokens, all of them.
        reasoning: Of them, reasoning.

    Raises:
        UnknownPriceError: The row has no rate for a kind of which there are tokens.
    """
    plain = input
    rate = row.input
    cached_usd = savings = written_usd = image_usd = output_usd = thought_usd = ZERO
    if cached:
        plain -= cached
        own = row.cached_input
        cached_usd = _usd(_rate(row, own, "cached_input"), cached)
        if own is not None and rate is not None:
            savings = _minus(_usd(rate, cached), cached_usd) or ZERO
    if cache_write:
        plain -= cache_write
        written_usd = _usd(_rate(row, row.cache_write, "cache_write"), cache_write)
    if image:
        image = min(image, plain)
        plain -= image
        if image:
            image_usd = _usd(_rate(row, row.image, "image"), image)
    if output:
        price = row.output
        if price is None:
            raise _no_rate(row, "output")
        output_usd = _usd(price, output)
        if reasoning:
            thought_usd = _usd(price, reasoning)
    return Cost(
        input=_usd(_rate(row, None, "input"), plain) if plain else ZERO,
        cached_input=cached_usd,
        cache_write=written_usd,
        image=image_usd,
        output=output_usd,
        request=_round(row.request, QUANTUM) if row.request else ZERO,
        reasoning=thought_usd,
        cache_savings=savings,
        price=row,
    )


def adds_up(row: PriceRow) -> bool:
    """Whether text calls cost together what they cost one by one, to the last digit.

    So it is where both sides have a price, and none needs to be rounded for a call.
    """
    rates = (
        row.input,
        row.output,
        row.input if row.cached_input is None else row.cached_input,
    )
    return all(rate is not None and _per_token(rate) is not None for rate in rates)


def cost_of_calls(row: PriceRow, calls: int, *tokens: int) -> Cost:
    """Price the tokens of many calls together.

    Args:
        row: The rates.
        calls: How many they are; for the price of a request.
        tokens: As those of `cost_of`, of all calls.

    Raises:
        UnknownPriceError: As of `cost_of`.
    """
    return _requested(cost_of(row, *tokens), calls)


def _requested(cost: Cost, calls: int) -> Cost:
    """Return a cost of many calls' tokens and one request with the other requests."""
    if not cost.request:
        return cost
    return msgspec.structs.replace(cost, request=_times(cost.request, calls))


def _rate(row: PriceRow, own: Decimal | None, kind: str) -> Decimal:
    """Return a kind's own rate, else that of other input.

    Raises:
        UnknownPriceError: There is neither.
    """
    if own is not None:
        return own
    if row.input is None:
        raise _no_rate(row, kind)
    return row.input


def _no_rate(row: PriceRow, kind: str) -> UnknownPriceError:
    whose = f" of {row.model!r} ({row.provider})" if row.model else ""
    said = f" {row.source} has the other rates." if row.source else ""
    msg = (
        f"The {kind} rate{whose} is not known, and the call used such tokens.{said} "
        f"Give your own: PriceBook().with_price({row.model or 'model'!r}, "
        f"provider={row.provider!r}, {_HINTS.get(kind, kind)}='...')."
    )
    return UnknownPriceError(msg)


_HINTS: Final = {
    "image": "input",
    "cached_input": "input",
    "cache_write": "input",
    "audio": "input",
}


def price_counts(step: Step, counts: Counts) -> Cost:
    """Price checked counts, rarer kinds too.

    Raises:
        UnknownPriceError: There is no rate for a kind of which there are tokens.
    """
    if step.is_mute and (counts.audio or counts.audio_output):
        raise _no_rate(step.row, "audio")
    cost = cost_of(step.row, *counts[:6])
    return cost if step.extra is None else _with_extra(cost, step, counts)


def _with_extra(cost: Cost, step: Step, counts: Counts) -> Cost:
    """Price those kinds apart that have a rate of their own; the rest stays."""
    row, extra = step.row, step.extra or Extra()
    changes: dict[str, Decimal] = {}
    if counts.audio and extra.audio is not None and row.input is not None:
        plain = counts.input - counts.cached - counts.cache_write - counts.image
        # What is left for audio: the cached part of it is priced as cached.
        audio = min(counts.audio, max(plain, 0))
        changes["input"] = _plus(
            _usd(row.input, max(plain, 0) - audio), _usd(extra.audio, audio)
        )
    if counts.cache_write_1h and extra.cache_write_1h is not None:
        short = counts.cache_write - counts.cache_write_1h
        changes["cache_write"] = _plus(
            _usd(_rate(row, row.cache_write, "cache_write"), short),
            _usd(extra.cache_write_1h, counts.cache_write_1h),
        )
    if row.output is not None:
        thought = extra.reasoning if counts.reasoning else None
        spoken = extra.audio_output if counts.audio_output else None
        apart = ZERO
        rest = counts.output
        if thought is not None:
            changes["reasoning"] = _usd(thought, counts.reasoning)
            apart = _plus(apart, changes["reasoning"])
            rest -= counts.reasoning
        if spoken is not None:
            audio = min(counts.audio_output, rest)
            apart = _plus(apart, _usd(spoken, audio))
            rest -= audio
        if thought is not None or spoken is not None:
            changes["output"] = _plus(_usd(row.output, rest), apart)
    return msgspec.structs.replace(cost, **changes) if changes else cost


# ------------------------------------------------------------------------------- days


def call_day(on: date | None) -> date:
    """Return the day (UTC) that is meant; today if none is given.

    Raises:
        CerebrasConfigurationError: It is no day, or a moment without a time zone.
    """
    if on is None:
        return datetime.now(UTC).date()
    if isinstance(on, datetime):
        if on.tzinfo is UTC:
            return on.date()
        if on.tzinfo is None or on.utcoffset() is None:
            msg = (
                f"on={on!r} has no time zone, so that its day is not known. Pass an "
                "aware datetime, such as datetime.now(UTC), or a date."
            )
            raise CerebrasConfigurationError(msg)
        return on.astimezone(UTC).date()
    if not isinstance(on, date):
        msg = f"on={on!r} must be a date or an aware datetime."
        raise CerebrasConfigurationError(msg)
    return on


# -------------------------------------------------------------------------- one call


@cache
def _list_prices() -> PriceBook:
    """Return the prices that are not yours; they are in a file that needs this one."""
    from langchain_cerebras_ext.costs.prices import list_prices

    return list_prices()


def price_book(prices: PriceBook | None) -> PriceBook:
    """Return the prices to go by: those given, else those that are not yours.

    Raises:
        CerebrasConfigurationError: They are no price book.
    """
    if prices is None:
        return _list_prices()
    if not hasattr(prices, "rates_of_call"):
        msg = (
            f"prices is a {type(prices).__name__}; pass a PriceBook, such as "
            "PriceBook.load('prices.toml')."
        )
        raise CerebrasConfigurationError(msg)
    return prices


def price_usage(
    usage: Any,
    model: str | ModelCard | PriceRow | None = None,
    *,
    on: date | None = None,
    provider: str | None = None,
    prices: PriceBook | None = None,
    batch: bool = False,
    service_tier: str | None = None,
) -> Cost:
    """Price one call's tokens at the rates in force on a day.

    Cached and image tokens are part of the prompt, reasoning and prediction tokens of
    the completion; none is counted twice. A kind without a rate of its own is priced
    as the rest of its side. A token that is cached and part of an image is priced as
    cached. Fees that are not for tokens, such as for web searches, are not in it.

    Cerebras prices its service tiers alike, as far as is known; tiers that another
    provider prices apart are priced so, and have no price where none is known.

    Args:
        usage: Token counts: LangChain's `UsageMetadata`, a raw `usage` block of chat
            completions, of OpenAI's responses or of Anthropic's messages, as a mapping
            or an SDK's object; or what carries one, as a message or a `UsageRecord`.
        model: A model's id or alias, also as `provider::model`; its card in the
            catalog; or the rates themselves. Without it `usage` must be an answer that
            names its model: a message, a raw response, a `UsageRecord`. What the answer
            says then holds unless it is given: provider, moment and tier, too.
        on: The day (UTC) or moment of the call, not of the calculation; today if not
            given.
        provider: Whose model it is, by LangChain's name; if not given, Cerebras where
            the catalog has the model, else who is known to make it. LangChain's
            messages name the provider by the integration that was used: for one that
            was pointed at another service, such as `ChatOpenAI` with a `base_url`, give
            it.
        prices: Your own prices and discounts.
        batch: Whether it was a job of a batch API.
        service_tier: The tier that served the call, if other than the default; the
            counts, or the answer of this model, may name it, too.

    Returns:
        USD by kind of token, each an exact multiple of `QUANTUM`.

    Raises:
        UnknownPriceError: No price is known of the model on that day, or of a kind of
            token that the call used.
        InvalidUsageError: There are no counts, or they contradict themselves.
        CerebrasConfigurationError: `on` is no day, or a moment without a time zone;
            `prices` is no price book; or `model` is not given, and `usage` names none.

    Example:
        >>> from datetime import date
        >>> usage = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
        >>> cost = price_usage(usage, "gpt-oss-120b", on=date(2026, 11, 21))
        >>> cost.input, cost.total
        (Decimal('0.000350000000'), Decimal('0.000500000000'))
    """
    counts = read_counts(usage)
    if isinstance(model, PriceRow):
        return price_counts(Step(-1, model), counts)
    prices = price_book(prices)
    answer = read_answer(usage)
    tier = service_tier or counts.service_tier
    if model is None or model == answer.model:
        tier = tier or answer.service_tier
    if model is None:
        whose, when = provider or answer.provider, on or answer.at
        rates = _rates_of(answer, prices, whose, when, batch=batch, tier=tier)
    else:
        rates = prices.rates(provider, model, on, batch=batch, service_tier=tier)
    return price_counts(rates.of_size(counts.input), counts)


def _rates_of(
    answer: Answer,
    prices: PriceBook,
    provider: str | None,
    on: date | None,
    *,
    batch: bool,
    tier: str | None,
) -> Rates:
    """Return the rates of the model that an answer names."""
    if answer.model is None:
        msg = (
            "No model is given, and the usage names none. Pass it, as in "
            "price_usage(usage, 'gpt-oss-120b'), or an answer that names its model."
        )
        raise CerebrasConfigurationError(msg)
    if answer.asked is not None and not batch:  # a record: one of the two has a price
        found = prices.rates_of_call(
            provider, answer.asked, answer.model, on, service_tier=tier
        )
        if found is not None:
            return found
    return prices.rates(provider, answer.model, on, batch=batch, service_tier=tier)


def price_call(
    usage: Any,
    *,
    provider: str | None,
    model: str,
    served: str | None = None,
    on: date | None = None,
    prices: PriceBook | None = None,
    service_tier: str | None = None,
) -> Cost | None:
    """Price a call that was made; `None` where no price is known.

    As `price_usage`, for a record: it may name two models, and no price is no error.

    Args:
        usage: Token counts, as in `price_usage`.
        provider: Whose service it was, by LangChain's name.
        model: The model that was asked for.
        served: The model that the answer names; see `PriceBook.rates_of_call`.
        on: The moment of the call, or its day (UTC); today if not given.
        prices: Your own prices and discounts.
        service_tier: The tier that served it; the counts may name it, too.

    Raises:
        InvalidUsageError: There are no counts, or they contradict themselves.
        CerebrasConfigurationError: `on` is no day, or a moment without a time zone.
    """
    counts = read_counts(usage)
    book = _list_prices() if prices is None else prices
    rates = book.rates_of_call(
        provider, model, served, on, service_tier=service_tier or counts.service_tier
    )
    if rates is None:
        return None
    try:
        return price_counts(rates.of_size(counts.input), counts)
    except UnknownPriceError:  # of a kind that was used
        return None


def price_totals(
    input_tokens: int,
    cached_tokens: int,
    output_tokens: int,
    model: str | ModelCard | PriceRow,
    on: date | None = None,
    *,
    calls: int = 1,
    image_tokens: int = 0,
    cache_write_tokens: int = 0,
    reasoning_tokens: int = 0,
    provider: str | None = None,
    prices: PriceBook | None = None,
    batch: bool = False,
) -> Cost:
    """Price the tokens of many calls together, as if one model had served them.

    Where a model's rates depend on the size of the prompt, the average one decides.

    Args:
        input_tokens: Prompt tokens of all calls.
        cached_tokens: Of them, read from a cache.
        output_tokens: Completion tokens of all calls.
        model: As in `price_usage`.
        on: As in `price_usage`; one day for all.
        calls: How many calls they were; for prices of the request itself.
        image_tokens: Of the prompts, images.
        cache_write_tokens: Of the prompts, written to a cache.
        reasoning_tokens: Of the completions, reasoning.
        provider: As in `price_usage`.
        prices: As in `price_usage`.
        batch: As in `price_usage`.

    Raises:
        UnknownPriceError: As in `price_usage`.
        InvalidUsageError: A count is negative, or a part exceeds its whole.
        CerebrasConfigurationError: `on` is no day, or `prices` no price book.
    """
    check_whole(calls, "calls")
    counts = check_counts(
        Counts(
            check_whole(input_tokens, "input_tokens"),
            check_whole(cached_tokens, "cached_tokens"),
            check_whole(cache_write_tokens, "cache_write_tokens"),
            check_whole(image_tokens, "image_tokens"),
            check_whole(output_tokens, "output_tokens"),
            check_whole(reasoning_tokens, "reasoning_tokens"),
        )
    )
    if isinstance(model, PriceRow):
        step = Step(-1, model)
    else:
        rates = price_book(prices).rates(provider, model, on, batch=batch)
        step = rates.of_size(counts.input // (calls or 1))
    return _requested(price_counts(step, counts), calls)
