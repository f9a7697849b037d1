"""The tables of a ledger.

Times are whole microseconds since 1970 (UTC), money whole numbers of 1e-12 USD, in
64 bits. Words that recur are kept once, in `cerebras_names`; number 0 is `None`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

__all__ = ["VERSION", "metadata", "records"]

VERSION: Final = 7
metadata = MetaData()

# SQLite numbers rows by itself only where the type is spelt INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")

ledger = Table(
    "cerebras_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("pruned_us", BigInteger, nullable=False),
)
"""One row. Every change begins by counting `revision` up, so that changes queue."""


def _words(name: str) -> Table:
    """Words by number: `value`, or where that is cut since it is long, `whole`."""
    return Table(
        name,
        metadata,
        Column("id", _Id, primary_key=True),
        Column("value", Text, nullable=False, unique=True),
        Column("whole", Text),
    )


names = _words("cerebras_names")
tagsets = _words("cerebras_tagsets")
"""Tags that were given together, as a JSON list; number 0 is none."""

tags = Table(
    "cerebras_tags",
    metadata,
    Column("tagset_id", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("tag_id", BigInteger, nullable=False),
    Index("cerebras_tags_tag", "tag_id"),
)
states = _words("cerebras_states")
"""An outcome, its flags and what a router had before, as `codec.State` words it."""

prices = _words("cerebras_prices")
"""Price rows, as JSON; number 0 is none."""


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


SESSION_INDEX: Final = (
    "session_id",
    "state_id",
    "tagset_id",
    "started_us",
    "cost",
    "cache_savings",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
)
"""All that totals of sessions and their tags need: sessions are too many to keep totals
of them."""

records = Table(
    "cerebras_records",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("record_id", Text, nullable=False, unique=True),
    _number("started_us"),
    _number("model_id"),
    _number("provider_id"),
    _number("user_id"),
    _number("session_id"),
    _number("node_id"),
    _number("arm_id"),
    _number("tagset_id"),
    _number("state_id"),
    _number("error_id"),
    _number("asked_id"),
    _number("served_id"),
    _number("operation_id"),
    _number("tier_id"),
    _number("price_id"),
    Column("stream", SmallInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    *(
        Column(name, BigInteger)
        for name in (
            "input_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "image_tokens",
            "output_tokens",
            "reasoning_tokens",
            "accepted_prediction_tokens",
            "rejected_prediction_tokens",
            "cost",
            "cost_input",
            "cost_cached_input",
            "cost_cache_write",
            "cost_image",
            "cost_output",
            "cost_request",
            "cost_reasoning",
            "cache_savings",
        )
    ),
    *(
        Column(name, Double)
        for name in ("ttft_s", "duration_s", "queue_time_s", "output_tokens_per_s")
    ),
    *(
        Column(name, Text)
        for name in (
            "run_id",
            "parent_run_id",
            "trace_id",
            "request_id",
            "router_call_id",
        )
    ),
    Index("cerebras_records_started", "started_us"),
    Index("cerebras_records_sessions", *SESSION_INDEX),
    Index("cerebras_records_user", "user_id", "started_us"),
    Index("cerebras_records_tagset", "tagset_id", "started_us"),
)
"""One row for each record."""

CORE: Final = (
    "model_id",
    "provider_id",
    "node_id",
    "arm_id",
    "state_id",
    "error_id",
)
"""What has few values: all totals are kept apart by these."""

SUMS: Final = (
    "n",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
)
AMOUNTS: Final = (
    "cost",
    "cache_savings",
    "cost_cached_input",
    "cost_cache_write",
    "cost_image",
    "cost_output",
    "cost_request",
)
"""In totals each is two columns, `..._u` of 1e-6 and `..._p` of 1e-12 USD, since a sum
of the latter alone would leave 64 bits at nine million dollars."""

MEASURES: Final = (
    *SUMS,
    *(f"{name}_{part}" for name in AMOUNTS for part in "up"),
)


def _totals(name: str, *keys: str) -> Table:
    return Table(
        name,
        metadata,
        # The order of the keys is the order of the rows on disk.
        *(Column(k, BigInteger, primary_key=True, autoincrement=False) for k in keys),
        *(Column(measure, BigInteger, nullable=False) for measure in MEASURES),
        sqlite_with_rowid=False,
    )


hourly = _totals("cerebras_hourly", "user_id", "tagset_id", "hour", *CORE)
"""Totals by all but the session: what stays of a record when its row is pruned.
Hours and days are counted from the year 1, so that none is negative."""

hourly_tags = _totals("cerebras_hourly_tags", "hour", "tagset_id", "state_id")
hourly_core = _totals("cerebras_hourly_core", "hour", *CORE)
daily_core = _totals("cerebras_daily_core", "day", *CORE)
daily_tags = _totals(
    "cerebras_daily_tags",
    "tagset_id",
    "day",
    "model_id",
    "provider_id",
    "arm_id",
    "state_id",
)
daily_nodes = _totals(
    "cerebras_daily_nodes", "tagset_id", "day", "node_id", "state_id", "error_id"
)
daily_users = _totals("cerebras_daily_users", "user_id", "day", "state_id")
daily_models = _totals(
    "cerebras_daily_models", "user_id", "model_id", "day", "provider_id", "state_id"
)
"""Tags and users may be many: kept apart by less, or they would be as many as rows."""

latencies = Table(
    "cerebras_latencies",
    metadata,
    *(
        Column(name, BigInteger, primary_key=True, autoincrement=False)
        for name in ("field", "day", *CORE[:-1], "bin")
    ),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many values of a field (its place in `codec.SECONDS`) fell into a bin."""

ROLLUPS: Final = (
    hourly,
    hourly_tags,
    hourly_core,
    daily_core,
    daily_tags,
    daily_nodes,
    daily_users,
    daily_models,
    latencies,
)
