"""A record as a row of integers, texts and fractions, and back; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence  # noqa: TC003
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final, NamedTuple

import msgspec

from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import (
    CallOutcome,
    Flag,
    Outcome,
    UsageRecord,
)

__all__ = [
    "COLUMNS",
    "NAMES",
    "State",
    "Words",
    "checked_record",
    "decode",
    "encode",
    "from_line",
    "from_micros",
    "from_pico",
    "number",
    "read_state",
    "to_line",
    "to_micros",
    "words_of",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**63 - 1
MOST: Final = 10**12
"""So many tokens of one call; sums of them stay within 64 bits."""
_DIGITS: Final = 8  # of a dollar amount that may fit, less one
_USD: Final = 10**12
# Exact, whatever the precision is that the caller computes with.
_EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)

TOKENS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)
KINDS: Final = (
    "input",
    "cached_input",
    "cache_write",
    "image",
    "output",
    "request",
    "reasoning",
    "cache_savings",
)
SECONDS: Final = ("ttft_s", "duration_s", "queue_time_s", "output_tokens_per_s")
IDS: Final = ("run_id", "parent_run_id", "trace_id", "request_id", "router_call_id")

NAMES: Final = (
    "model_id",
    "provider_id",
    "user_id",
    "session_id",
    "node_id",
    "arm_id",
    "error_id",
    "asked_id",
    "served_id",
    "operation_id",
    "tier_id",
)
"""The columns that are numbers of names."""

COLUMNS: Final = (
    "record_id",
    "started_us",
    "model_id",
    "provider_id",
    "user_id",
    "session_id",
    "node_id",
    "arm_id",
    "tagset_id",
    "state_id",
    "error_id",
    "asked_id",
    "served_id",
    "operation_id",
    "tier_id",
    "price_id",
    "stream",
    "attempts",
    *TOKENS,
    "cost",
    "cost_input",
    "cost_cached_input",
    "cost_cache_write",
    "cost_image",
    "cost_output",
    "cost_request",
    "cost_reasoning",
    "cache_savings",
    *SECONDS,
    *IDS,
)
"""What `encode` gives, in its order; all of the table but the row's number."""

_NAMES: Final = tuple(COLUMNS.index(name) for name in NAMES)
_TAGSET: Final = COLUMNS.index("tagset_id")
_STATE: Final = COLUMNS.index("state_id")
_PRICE: Final = COLUMNS.index("price_id")


class Words(NamedTuple):
    """Texts and their numbers, or the other way round, table by table."""

    names: dict[Any, Any]
    tagsets: dict[Any, Any]
    states: dict[Any, Any]
    prices: dict[Any, Any]


def empty_words() -> Words:
    """Return words that know none."""
    return Words({}, {}, {}, {})


def to_micros(time: datetime) -> int:
    """Return whole microseconds since 1970; a time without a zone is UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // _MICRO


_FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))
_LONGEST_ID: Final = 600


def from_micros(micros: int) -> datetime:
    """Return the time (UTC)."""
    return EPOCH + timedelta(microseconds=micros)


def checked(value: int) -> int:
    """Return a number that fits into 64 bits.

    Raises:
        ValueError: It does not.
    """
    if abs(value) > _LARGEST:
        msg = "A number has more than the 64 bits that a row can hold."
        raise ValueError(msg)
    return value


def _count(value: int | None) -> int | None:
    if value is not None and abs(value) > MOST:
        msg = f"{value} tokens are more than a row can hold."
        raise ValueError(msg)
    return value


def to_pico(amount: Decimal) -> int:
    """Return an amount in 1e-12 USD, rounded half to even.

    Raises:
        ValueError: It is not finite, or does not fit into 64 bits.
    """
    if not amount:
        return 0
    if not amount.is_finite() or amount.adjusted() > _DIGITS:
        msg = f"A cost of {amount} USD is not what a row can hold."
        raise ValueError(msg)
    whole = amount.scaleb(12, _EXACT).to_integral_value(context=_EXACT)
    return checked(int(whole))


def from_pico(amount: int) -> Decimal:
    """Return an amount in USD."""
    if amount % _USD == 0:
        return Decimal(amount // _USD)  # 500, not 5E+2
    return Decimal(amount).scaleb(-12, _EXACT).normalize(_EXACT)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(UsageRecord)


def to_line(record: UsageRecord) -> bytes:
    """Return a record as JSON.

    Raises:
        TypeError: A field holds what JSON cannot.
        UnicodeEncodeError: A text has half of a pair of surrogates.
    """
    return _encoder.encode(record)


def from_line(line: bytes | str) -> UsageRecord:
    """Return the record of its JSON.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _decoder.decode(line)


def checked_record(record: UsageRecord, *, nul: bool) -> UsageRecord:
    """Return a record whose fields have the types that they should have.

    Nobody checks them where a record is made. What UTF-8 cannot hold is spelt out, and
    numbers that are none are `None`.

    Args:
        record: The record.
        nul: Whether texts may hold the character 0.

    Raises:
        TypeError: A field holds what JSON cannot.
        ValueError: A field is of another type.
    """
    try:
        line = to_line(record)
    except UnicodeEncodeError:
        line = to_line(_washed(record))
    if not nul and b"\\u0000" in line:
        return _washed(from_line(line))
    return from_line(line)


def _washed(record: UsageRecord) -> UsageRecord:
    def wash(value: Any) -> Any:
        if isinstance(value, str):
            plain = value.encode("utf-8", "backslashreplace").decode()
            return plain.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if isinstance(value, tuple):
            return tuple(wash(one) for one in value)
        if isinstance(value, msgspec.Struct):
            fields = {
                name: wash(getattr(value, name)) for name in value.__struct_fields__
            }
            return msgspec.structs.replace(value, **fields)
        return value

    washed: UsageRecord = wash(record)
    return washed


def _tags_word(record: UsageRecord) -> str | None:
    """Return the tags as JSON; `None` if there are none."""
    if not record.tags:
        return None
    return msgspec.json.encode(record.tags).decode()


class State(NamedTuple):
    """What has become of a call, and what is not certain of it; few differ."""

    outcome: Outcome
    flags: tuple[Flag, ...] = ()
    so_far: CallOutcome | None = None

    def word(self) -> str:
        """Return it as JSON: the outcome, the flags, and `after:...` for `so_far`."""
        after = () if self.so_far is None else (f"{_AFTER}{self.so_far}",)
        return msgspec.json.encode((self.outcome, *self.flags, *after)).decode()


_AFTER: Final = "after:"


def read_state(word: str) -> State:
    """Return the state of its JSON."""
    outcome, *rest = msgspec.json.decode(word)
    so_far = None
    if rest and rest[-1].startswith(_AFTER):
        so_far = rest.pop().removeprefix(_AFTER)
    return State(outcome, tuple(rest), so_far)


def _price_word(record: UsageRecord) -> str | None:
    """Return the price row as JSON; `None` if there is none."""
    if record.cost is None or record.cost.price is None:
        return None
    return msgspec.json.encode(record.cost.price).decode()


def _seconds(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def encode(record: UsageRecord) -> tuple[Any, ...]:
    """Return a record as a row that has words where the table has their numbers.

    Raises:
        ValueError: A number is larger than a row can hold.
    """
    cost = record.cost
    if cost is None:
        amounts: list[int | None] = [None] * (len(KINDS) + 1)
    else:
        parts = [to_pico(getattr(cost, kind)) for kind in KINDS]
        # Of the rounded parts, so that the parts add up to it.
        amounts = [checked(sum(parts[:6])), *parts]
    started = to_micros(record.started_at)
    if not _FIRST <= started <= _LAST:
        msg = f"started_at={record.started_at.isoformat()} is of no year in UTC."
        raise ValueError(msg)
    if len(record.record_id) > _LONGEST_ID:
        msg = f"record_id has {len(record.record_id)} characters; {_LONGEST_ID} fit."
        raise ValueError(msg)
    return (
        record.record_id,
        started,
        record.served,
        record.provider,
        record.user,
        record.session,
        record.node,
        record.arm,
        _tags_word(record),
        State(record.outcome, record.doubts, record.router_so_far).word(),
        record.error_type,
        record.model,
        record.model_served,
        record.operation,
        record.service_tier,
        _price_word(record),
        int(record.stream),
        _count(record.attempts),
        *[_count(getattr(record, field)) for field in TOKENS],
        *amounts,
        *[_seconds(getattr(record, field)) for field in SECONDS],
        *[getattr(record, field) for field in IDS],
    )


def words_of(rows: Iterable[Sequence[Any]]) -> Words:
    """Return the words in such rows, as keys without values."""
    found = empty_words()
    for row in rows:
        found.tagsets[row[_TAGSET]] = found.states[row[_STATE]] = None
        found.prices[row[_PRICE]] = None
        for at in _NAMES:
            found.names[row[at]] = None
    for tagset in found.tagsets:
        if tagset is not None:
            found.names.update(dict.fromkeys(msgspec.json.decode(tagset)))
    for words in found:
        words.pop(None, None)
    return found


def number(row: Sequence[Any], words: Words) -> tuple[Any, ...]:
    """Return such a row with the numbers of its words; that of `None` is 0."""
    numbered = list(row)
    name = words.names.get
    for at in _NAMES:
        numbered[at] = name(row[at], 0)
    numbered[_TAGSET] = words.tagsets.get(row[_TAGSET], 0)
    numbered[_STATE] = words.states[row[_STATE]]
    numbered[_PRICE] = words.prices.get(row[_PRICE], 0)
    return tuple(numbered)


def decode(row: Mapping[str, Any], words: Words) -> UsageRecord:
    """Return the record of a row.

    Args:
        row: Its columns by name.
        words: The text of every number in it; tags, states and prices decoded.
    """
    text: Callable[[int], str | None] = words.names.get
    outcome, flags, so_far = words.states[row["state_id"]]
    cost = None
    if row["cost"] is not None:
        amounts = {
            kind: from_pico(row[kind if kind == "cache_savings" else f"cost_{kind}"])
            for kind in KINDS
        }
        cost = Cost(**amounts, price=words.prices.get(row["price_id"]))
    return UsageRecord(
        started_at=from_micros(row["started_us"]),
        model=words.names[row["asked_id"]],
        record_id=row["record_id"],
        provider=words.names[row["provider_id"]],
        model_served=text(row["served_id"]),
        operation=words.names[row["operation_id"]],
        stream=bool(row["stream"]),
        tags=words.tagsets.get(row["tagset_id"], ()),
        user=text(row["user_id"]),
        session=text(row["session_id"]),
        node=text(row["node_id"]),
        arm=text(row["arm_id"]),
        outcome=outcome,
        error_type=text(row["error_id"]),
        attempts=row["attempts"],
        service_tier=text(row["tier_id"]),
        cost=cost,
        flags=flags,
        router_so_far=so_far,
        **{field: row[field] for field in (*TOKENS, *SECONDS, *IDS)},
    )


def read_price(word: str) -> PriceRow:
    """Return the price row of its JSON."""
    return msgspec.json.decode(word, type=PriceRow)
