"""What calls would cost: one before it is made, a plan of many, those made otherwise.

Pure but for the clock where no day is given; nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date  # noqa: TC003 - msgspec reads the hints
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast, overload

import msgspec

from langchain_cerebras_ext.catalog import ModelCard, find_model
from langchain_cerebras_ext.costs._providers import provider_name
from langchain_cerebras_ext.costs.prices import CEREBRAS, split_model
from langchain_cerebras_ext.costs.pricing import (
    EXACT,
    ZERO,
    Cost,
    PriceRow,
    call_day,
    cost_of,
    price_book,
    price_call,
    price_usage,
)
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    InvalidUsageError,
    UnknownPriceError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.costs.pricing import Rates
    from langchain_cerebras_ext.costs.records import Flag, UsageRecord

__all__ = [
    "ASSUMED_OUTPUT_TOKENS",
    "Estimate",
    "Projection",
    "estimate",
    "highest_cost",
    "project",
    "reprice_records",
]

ASSUMED_OUTPUT_TOKENS: Final = 16_384
"""How long an answer may be where neither the call nor the catalog limits it: as many
tokens as the service reserves then."""

# How much too high a count may be: see `_tokens`, whose measurements these are.
_COUNTED_TOO_HIGH: Final = Decimal("1.05")
_ESTIMATED_TOO_HIGH: Final = Decimal("1.35")
_OTHER_VOCABULARY: Final = Decimal("1.25")

_DAYS_OF_MONTH: Final = 30
_ONE: Final = Decimal(1)
_MIX: Final = Decimal("0.8")

# ------------------------------------------------------------------------ one call


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may cost before it is made, in USD, between two bounds.

    The lower bound is the prompt, counted low, and an answer of one token; the upper
    one the prompt, counted high, and the longest answer that it may get, at the
    dearest rates: so much a budget reserves. Both are `None` where no price is known.

    Attributes:
        model: The model's id.
        provider: Whose model it is, by LangChain's name.
        on: The day of the price.
        low: USD at least.
        high: USD at most, as far as the prompt was counted rightly.
        input_tokens_low: Tokens of the prompt at least.
        input_tokens_high: Tokens of the prompt, as estimated; that is rather too many.
        output_tokens_low: Tokens of the answers at least.
        output_tokens_high: Tokens of the answers at most.
        answers: How many answers are asked for.
        output_limit: What limits an answer: `max_tokens` of the call, the `model`, or
            nothing that is known, so that a length is `assumed`.
        price: The rates.
        why_unpriced: Why no price is known.
    """

    model: str
    provider: str
    on: date
    low: Decimal | None
    high: Decimal | None
    input_tokens_low: int
    input_tokens_high: int
    output_tokens_low: int
    output_tokens_high: int
    answers: int
    output_limit: Literal["max_tokens", "model", "assumed"]
    price: PriceRow | None = None
    why_unpriced: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: money as decimal strings."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))


def estimate(
    model: Any,
    messages: Any,
    *,
    tools: Iterable[Any] | None = None,
    max_tokens: int | None = None,
    n: int | None = None,
    provider: str | None = None,
    prices: PriceBook | None = None,
    on: date | None = None,
    cached_share: Decimal | float | str = 0,
) -> Estimate:
    """Return what a call may cost, before it is made.

    Args:
        model: A model, as bound and configured, or a model's id; also
            `provider::model`.
        messages: What the model would be given: a text, messages, or a prompt value.
        tools: What `bind_tools` takes; those bound to the model if not given.
        max_tokens: Tokens of an answer at most; the model's own if not given.
        n: How many answers; the model's own setting, or 1, if not given.
        provider: Whose model it is, where `model` is an id; as in `price_usage`.
        prices: Your own prices and discounts.
        on: The day (UTC) of the call; today if not given.
        cached_share: The part of the prompt, from 0 to 1, that is expected to be read
            from the cache; the upper bound does not count on it.

    Raises:
        CerebrasConfigurationError: An argument is not of its form; names it.

    Example:
        >>> from datetime import date
        >>> found = estimate(
        ...     "gpt-oss-120b", "Hello", max_tokens=1000, on=date(2026, 11, 21)
        ... )
        >>> found.output_tokens_high, found.low < found.high < Decimal("0.001")
        (1000, True)
    """
    asked = _read_model(model, provider)
    share = _share(cached_share, "cached_share")
    most = max_tokens if max_tokens is not None else asked.max_tokens
    answers = n if n is not None else asked.n
    _check_count(answers, "n", least=1)
    if most is not None and most != -1:
        _check_count(most, "max_tokens", least=1)
    wanted = list(asked.tools if tools is None else tools)
    count = _count_prompt(asked, messages, wanted)
    least = _least_tokens(count, asked.model)
    longest, limit = _longest_answer(asked, most, least)
    book = price_book(prices)
    day = call_day(on)
    low = high = row = None
    why = ""
    try:
        rates = book.rates(asked.provider, asked.model, day if on is None else on)
        row = rates.of_size(count).row
        low = _lowest_cost(rates, least, share, answers)
        high = _bound(row, count, longest * answers)
    except UnknownPriceError as error:
        low = high = None
        why = str(error)
    return Estimate(
        model=asked.model,
        provider=row.provider if row else asked.provider or CEREBRAS,
        on=day,
        low=low,
        high=high,
        input_tokens_low=least,
        input_tokens_high=count,
        output_tokens_low=answers,
        output_tokens_high=longest * answers,
        answers=answers,
        output_limit=limit,
        price=row,
        why_unpriced=why,
    )


def highest_cost(
    row: PriceRow | None,
    *,
    model: str,
    input_tokens: int,
    max_output_tokens: int | None = None,
    n: int = 1,
) -> Decimal | None:
    """Return what a call may cost at most, for budgets; quick.

    Args:
        row: The rates; `None` if they are not known.
        model: The model's id, for the longest answer that it gives.
        input_tokens: The prompt, counted high; it is priced once, however many
            answers are asked for.
        max_output_tokens: Tokens of an answer at most; the model's limit if not given.
        n: How many answers.

    Returns:
        USD, at the dearest rate that a token of the prompt may have; `None` where a
        rate is not known.
    """
    if row is None:
        return None
    if max_output_tokens is None or max_output_tokens < 0:
        whose = row.provider
        max_output_tokens = _limit_of(model, whose, input_tokens)
        if max_output_tokens is None:
            max_output_tokens = ASSUMED_OUTPUT_TOKENS
    try:
        return _bound(row, input_tokens, max_output_tokens * n)
    except UnknownPriceError:
        return None


def _bound(row: PriceRow, input_tokens: int, output_tokens: int) -> Decimal:
    known = (row.cached_input, row.cache_write, row.image)
    rate = row.input
    if rate is not None:
        rate = max([rate, *(own for own in known if own is not None)])
    dearest = msgspec.structs.replace(row, input=rate)
    return cost_of(dearest, input_tokens, output=output_tokens).total


def _lowest_cost(
    rates: Rates, input_tokens: int, share: Decimal, answers: int
) -> Decimal:
    row = rates.of_size(input_tokens).row
    cached = int(EXACT.multiply(share, input_tokens))
    return cost_of(row, input_tokens, cached, output=answers).total


def _least_tokens(count: int, model: str) -> int:
    """Return how many tokens a prompt has at least that was counted as so many."""
    from langchain_cerebras_ext._tokens import count_text_tokens, encode_text

    if encode_text("a", model) is not None:
        factor = _COUNTED_TOO_HIGH
    else:
        factor = _ESTIMATED_TOO_HIGH
        if count_text_tokens("a " * 50, model) > count_text_tokens("a " * 50):
            factor = EXACT.multiply(factor, _OTHER_VOCABULARY)
    return max(1, int(EXACT.divide(Decimal(count), factor)))


def _limit_of(model: str, provider: str, input_tokens: int) -> int | None:
    """Return the longest answer that a model gives, as far as the catalog knows it.

    The larger of what sources say: a bound must not be too low.
    """
    card = find_model(split_model(model)[1]) if provider == CEREBRAS else None
    if card is None:
        return None
    limits = card.limits()
    known = [limits.max_output_tokens] if limits.max_output_tokens else []
    if limits.context_tokens:
        known.append(max(1, limits.context_tokens - input_tokens))
    return min(known, default=None)


def _longest_answer(
    asked: _Asked, most: int | None, least: int
) -> tuple[int, Literal["max_tokens", "model", "assumed"]]:
    if most is not None and most > 0:
        return most, "max_tokens"
    limit = asked.profile_limit
    if asked.provider in {None, CEREBRAS}:
        limit = _limit_of(asked.model, CEREBRAS, least) or limit
    if limit is not None:
        return limit, "model"
    return ASSUMED_OUTPUT_TOKENS, "assumed"


class _Asked(NamedTuple):
    """What a model would be asked for."""

    provider: str | None
    model: str
    max_tokens: int | None = None
    n: int = 1
    tools: tuple[Any, ...] = ()
    profile_limit: int | None = None
    completes_text: bool = False


def _read_model(model: Any, provider: str | None) -> _Asked:
    if isinstance(model, str) and model:
        prefix, name = split_model(model)
        return _Asked(provider_name(prefix or provider), name)
    if isinstance(model, ModelCard):
        return _Asked(CEREBRAS, model.id)
    bound: dict[str, Any] = {}
    for _ in range(20):  # a chain of bindings, which could be a ring
        bound = {**getattr(model, "kwargs", {}), **bound}
        inner = getattr(model, "bound", None) or getattr(model, "first", None)
        if inner is None:
            break
        model = inner
    read = getattr(model, "_get_ls_params", None)
    if not callable(read):
        msg = f"model={model!r} must be a chat model or a model's id."
        raise CerebrasConfigurationError(msg)
    told = cast("dict[str, Any]", read(**bound))
    profile: Any = getattr(model, "profile", None) or {}
    most = told.get("ls_max_tokens")
    return _Asked(
        provider_name(told.get("ls_provider")),
        str(told.get("ls_model_name") or ""),
        most if isinstance(most, int) else None,
        max(_answers(bound.get(name), model, name) for name in ("n", "best_of")),
        tuple(bound.get("tools") or ()),
        profile.get("max_output_tokens") if isinstance(profile, Mapping) else None,
        told.get("ls_model_type") == "llm",
    )


def _answers(given: Any, model: Any, name: str) -> int:
    """Return how many answers are written: of `best_of`, all are billed."""
    return given or getattr(model, name, None) or 1


def _count_prompt(asked: _Asked, messages: Any, tools: list[Any]) -> int:
    """Return how many tokens a prompt has; a text completion's has no template."""
    from langchain_core.messages import get_buffer_string
    from langchain_core.prompt_values import PromptValue

    from langchain_cerebras_ext._tokens import count_message_tokens, count_text_tokens

    if not asked.completes_text:
        return count_message_tokens(
            _read_messages(messages), asked.model, tools or None
        )
    if isinstance(messages, PromptValue):
        text = messages.to_string()
    else:
        is_text = isinstance(messages, str)
        text = messages if is_text else get_buffer_string(_read_messages(messages))
    return max(1, count_text_tokens(text, asked.model))


def _read_messages(messages: Any) -> list[Any]:
    from langchain_core.messages import (
        BaseMessage,
        HumanMessage,
        convert_to_messages,
    )
    from langchain_core.prompt_values import PromptValue

    if isinstance(messages, str):
        return [HumanMessage(messages)]
    if isinstance(messages, BaseMessage):
        return [messages]
    if isinstance(messages, PromptValue):
        return messages.to_messages()
    if not isinstance(messages, Sequence) or isinstance(messages, bytes):
        # Of a mapping, such as an agent's input, LangChain would take the keys.
        msg = (
            f"messages is a {type(messages).__name__}; pass a text, a list of messages "
            "or a prompt value."
        )
        raise CerebrasConfigurationError(msg)
    try:
        return convert_to_messages(messages)
    except (NotImplementedError, TypeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        msg = f"messages holds what is no message: {said}"
        raise CerebrasConfigurationError(msg) from error


def _share(value: Decimal | float | str, name: str) -> Decimal:
    from langchain_cerebras_ext.costs.prices import read_rate

    # A share is no money: 0.8 is taken for what it reads as.
    written = str(value) if isinstance(value, float) else value
    try:
        share = read_rate(written, name, "share")
    except CerebrasConfigurationError:
        share = None
    if share is None or share > 1:
        msg = f"{name}={value!r} must be a number from 0 to 1."
        raise CerebrasConfigurationError(msg)
    return share


def _check_count(value: object, name: str, *, least: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        msg = f"{name}={value!r} must be a whole number, {least} or more."
        raise CerebrasConfigurationError(msg)


# --------------------------------------------------------------------------- a plan


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan would cost with one model, in USD; `None` where not known.

    Attributes:
        model: The model's id.
        provider: Whose model it is, by LangChain's name.
        on: The day of the price.
        calls: Calls of the agent or chain.
        steps: Model calls in each of them.
        input_tokens: Prompt tokens of a step.
        cached_tokens: Of them, read from the cache.
        output_tokens: Completion tokens of a step.
        total_tokens: Tokens of the whole plan.
        cost: The whole plan, by kind of token.
        total: The whole plan.
        per_call: One call with all its steps.
        per_day: A day, where `calls_per_day` was given.
        per_month: Thirty such days.
        price: The rates.
        notes: What to know: an end, a successor, why there is no price.
    """

    model: str
    provider: str
    on: date
    calls: int
    steps: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    total_tokens: int
    cost: Cost | None = None
    total: Decimal | None = None
    per_call: Decimal | None = None
    per_day: Decimal | None = None
    per_month: Decimal | None = None
    price: PriceRow | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: money as decimal strings."""
        plain = cast("dict[str, Any]", msgspec.to_builtins(self))
        if self.cost is not None:
            plain["cost"] = self.cost.to_dict()
        return plain


@overload
def project(
    models: str,
    *,
    calls: int = ...,
    steps: int = ...,
    tokens: int = ...,
    mix: Decimal | float | str = ...,
    input_tokens: int | None = ...,
    output_tokens: int | None = ...,
    cached: Decimal | float | str = ...,
    calls_per_day: int | None = ...,
    on: date | None = ...,
    prices: PriceBook | None = ...,
) -> Projection: ...
@overload
def project(
    models: list[str] | tuple[str, ...],
    *,
    calls: int = ...,
    steps: int = ...,
    tokens: int = ...,
    mix: Decimal | float | str = ...,
    input_tokens: int | None = ...,
    output_tokens: int | None = ...,
    cached: Decimal | float | str = ...,
    calls_per_day: int | None = ...,
    on: date | None = ...,
    prices: PriceBook | None = ...,
) -> tuple[Projection, ...]: ...
def project(
    models: str | list[str] | tuple[str, ...],
    *,
    calls: int = 1000,
    steps: int = 5,
    tokens: int = 5000,
    mix: Decimal | float | str = _MIX,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cached: Decimal | float | str = 0,
    calls_per_day: int | None = None,
    on: date | None = None,
    prices: PriceBook | None = None,
) -> Projection | tuple[Projection, ...]:
    """Return what a plan would cost, with one model or side by side with several.

    Args:
        models: A model's id, also `provider::model`; several give a projection each.
        calls: Calls of the agent or chain.
        steps: Model calls in each of them.
        tokens: Tokens of a step, prompt and completion together.
        mix: The part of them, from 0 to 1, that is prompt.
        input_tokens: Prompt tokens of a step, instead of `tokens` and `mix`.
        output_tokens: Completion tokens of a step; with `input_tokens`.
        cached: The part of the prompt, from 0 to 1, that is read from the cache.
        calls_per_day: Gives costs of a day and of thirty days, too.
        on: The day (UTC) of the prices; today if not given.
        prices: Your own prices and discounts.

    Raises:
        CerebrasConfigurationError: An argument is not of its form; names it.

    Example:
        >>> from datetime import date
        >>> plan = project("gpt-oss-120b", on=date(2026, 11, 21))
        >>> plan.input_tokens, plan.output_tokens, f"{plan.total:.2f}"
        (4000, 1000, '10.75')
    """
    for value, name, least in ((calls, "calls", 0), (steps, "steps", 1)):
        _check_count(value, name, least=least)
    if calls_per_day is not None:
        _check_count(calls_per_day, "calls_per_day")
    plan = _Plan(
        calls,
        steps,
        *_tokens_of_step(tokens, mix, input_tokens, output_tokens),
        share=_share(cached, "cached"),
        calls_per_day=calls_per_day,
        on=on,
    )
    book = price_book(prices)
    if isinstance(models, str):
        return _projection(models, plan, book)
    return tuple(_projection(model, plan, book) for model in models)


class _Plan(NamedTuple):
    calls: int
    steps: int
    input_tokens: int
    output_tokens: int
    share: Decimal
    calls_per_day: int | None
    on: date | None

    @property
    def cached_tokens(self) -> int:
        return _part_of(self.share, self.input_tokens)


def _part_of(share: Decimal, tokens: int) -> int:
    return int(EXACT.multiply(share, tokens).to_integral_value(ROUND_HALF_EVEN))


def _tokens_of_step(
    tokens: int,
    mix: Decimal | float | str,
    input_tokens: int | None,
    output_tokens: int | None,
) -> tuple[int, int]:
    if input_tokens is None and output_tokens is None:
        _check_count(tokens, "tokens")
        prompt = _part_of(_share(mix, "mix"), tokens)
        return prompt, tokens - prompt
    if input_tokens is None or output_tokens is None:
        msg = (
            f"input_tokens={input_tokens!r} and output_tokens={output_tokens!r} go "
            "together; give both, or tokens and mix."
        )
        raise CerebrasConfigurationError(msg)
    _check_count(input_tokens, "input_tokens")
    _check_count(output_tokens, "output_tokens")
    return input_tokens, output_tokens


def _projection(model: str, plan: _Plan, book: PriceBook) -> Projection:
    day = call_day(plan.on)
    prefix, name = split_model(model)
    notes = list(_sunset(provider_name(prefix), name, day))
    row, whole, one = None, None, None
    try:
        step = book.rates(None, model, plan.on).of_size(plan.input_tokens)
        row = step.row
        each = cost_of(
            row,
            plan.input_tokens,
            plan.cached_tokens,
            output=plan.output_tokens,
        )
        one = _multiplied(each, plan.steps)
        whole = _multiplied(each, plan.steps * plan.calls)
    except UnknownPriceError as error:
        notes.append(str(error))
    per_day = None
    if one is not None and plan.calls_per_day is not None:
        per_day = _multiplied(one, plan.calls_per_day).total
    per_step = plan.input_tokens + plan.output_tokens
    return Projection(
        model=name,
        provider=row.provider if row else provider_name(prefix) or CEREBRAS,
        on=day,
        calls=plan.calls,
        steps=plan.steps,
        input_tokens=plan.input_tokens,
        cached_tokens=plan.cached_tokens,
        output_tokens=plan.output_tokens,
        total_tokens=per_step * plan.steps * plan.calls,
        cost=whole,
        total=None if whole is None else whole.total,
        per_call=None if one is None else one.total,
        per_day=per_day,
        per_month=None if per_day is None else EXACT.multiply(per_day, _DAYS_OF_MONTH),
        price=row,
        notes=tuple(notes),
    )


def _multiplied(cost: Cost, times: int) -> Cost:
    """Return the cost of so many equal calls."""
    changes: dict[str, Any] = {
        name: EXACT.multiply(value, times) if times else ZERO
        for name in cost.__struct_fields__
        if isinstance(value := getattr(cost, name), Decimal)
    }
    return msgspec.structs.replace(cost, **changes)


def _sunset(provider: str | None, model: str, day: date) -> Iterable[str]:
    """Yield what is known of a Cerebras model's end, as of a day."""
    card = find_model(model) if provider in {None, CEREBRAS} else None
    if card is None:
        return
    life = card.lifecycle(day)
    then = f" Its successor is {life.successor}." if life.successor else ""
    if life.stage == "upcoming":
        yield f"{card.id} comes on {life.announced}."
    elif life.stage in {"retired", "unlisted"}:
        since = f" since {life.ends_on}" if life.ends_on else ""
        yield f"{card.id} is no longer served{since}.{then}"
    elif life.stage == "dedicated-only":
        yield (
            f"{card.id} is served on dedicated endpoints only, which are not billed by "
            f"the token.{then}"
        )
    elif life.ends_on is not None:
        yield f"{card.id} ends on {life.ends_on}.{then}"


# --------------------------------------------------------------------- calls made


def reprice_records(
    records: Iterable[UsageRecord],
    *,
    on: date | None = None,
    model: str | None = None,
    provider: str | None = None,
    prices: PriceBook | None = None,
) -> list[UsageRecord]:
    """Return records as they would be at other prices; none of them is changed.

    The token counts stay, though another model would have counted others. Answers of
    a cache stay free, and calls without counts unknown. A call that has no price gets
    no cost, and the flag `unpriced`; one with tokens that no count tells, such as
    sound, the flag `estimated`.

    Args:
        records: The records.
        on: At the prices of this day (UTC); each call's own moment if not given.
        model: On this model, also `provider::model`; its own if not given.
        provider: Whose model that is, as in `price_usage`.
        prices: Your own prices and discounts.

    Raises:
        CerebrasConfigurationError: `on` is no day, or a moment without a time zone.
    """
    book = price_book(prices)
    if on is not None:
        call_day(on)
    return [_repriced(record, on, model, provider, book) for record in records]


def _repriced(
    record: UsageRecord,
    on: date | None,
    model: str | None,
    provider: str | None,
    book: PriceBook,
) -> UsageRecord:
    if record.outcome == "cache_hit" or record.total_tokens is None:
        return record
    if not record.total_tokens:
        return record  # refused before it cost anything
    cost = _cost_otherwise(record, on, model, provider, book)
    flags: tuple[Flag, ...] = tuple(one for one in record.flags if one != "unpriced")
    if "estimated" not in flags and not _tells_all(record):
        flags = (*flags, "estimated")
    return record.replace(
        cost=cost, flags=flags if cost is not None else (*flags, "unpriced")
    )


def _tells_all(record: UsageRecord) -> bool:
    """Whether a record's counts are all that its cost came from.

    Other providers price sound, and what is kept in a cache for an hour, by rates of
    their own; records count neither apart.
    """
    cost = record.cost
    if cost is None or cost.price is None or record.provider == CEREBRAS:
        return True
    try:
        return price_usage(record, cost.price).total == cost.total
    except (InvalidUsageError, UnknownPriceError):
        return False


def _cost_otherwise(
    record: UsageRecord,
    on: date | None,
    model: str | None,
    provider: str | None,
    book: PriceBook,
) -> Cost | None:
    when = record.started_at if on is None else on
    try:
        if model is not None:
            return price_call(
                record, provider=provider, model=model, on=when, prices=book
            )
        return price_call(
            record,
            provider=record.provider,
            model=record.model,
            served=record.model_served,
            on=when,
            prices=book,
            service_tier=record.service_tier,
        )
    except InvalidUsageError:
        return None  # what contradicts itself has no price
