"""What comparisons have found, kept in a ledger's database for its dashboard."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext.routing._side_table import SideTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table

    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["KeptComparison", "keep_comparison", "read_comparisons"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)


class KeptComparison(NamedTuple):
    """One comparison.

    Attributes:
        run_id: Of the run.
        made_at: When it ended (UTC).
        found: As `Comparison.to_dict` has it, without the single calls.
    """

    run_id: str
    made_at: datetime
    found: dict[str, Any]


def keep_comparison(
    ledger: Ledger, run_id: str, found: Mapping[str, Any], made_at: datetime
) -> None:
    """Keep what a comparison has found.

    Raises:
        LedgerError: The database does not take it.
    """
    row = {
        "run_id": run_id,
        "made_at_us": (made_at - _EPOCH) // _MICRO,
        "found": json.dumps(found, ensure_ascii=False),
    }
    _rows(ledger).write([row], announce=True)


def read_comparisons(
    ledger: Ledger,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    run_ids: Sequence[str] | None = None,
    limit: int | None = 10,
) -> list[KeptComparison]:
    """Return the comparisons that ended in a time, the newest first.

    Args:
        ledger: Where they are kept.
        since: From this time on.
        until: Before this time.
        run_ids: Only these runs.
        limit: How many at most; `None` is all.

    Raises:
        LedgerError: The database cannot be read.
    """
    from sqlalchemy import select

    of = _make_table().c
    query = select(of.run_id, of.made_at_us, of.found)
    if since is not None:
        query = query.where(of.made_at_us >= (since - _EPOCH) // _MICRO)
    if until is not None:
        query = query.where(of.made_at_us < (until - _EPOCH) // _MICRO)
    if run_ids is not None:
        query = query.where(of.run_id.in_(run_ids))
    query = query.order_by(of.made_at_us.desc(), of.run_id).limit(limit)
    return [
        KeptComparison(run_id, _EPOCH + at * _MICRO, json.loads(found))
        for run_id, at, found in _rows(ledger).read(query)
    ]


def _rows(ledger: Ledger) -> SideTable:
    return SideTable(ledger, _make_table(), at="made_at_us", what="Comparisons")


def _make_table() -> Table:
    from sqlalchemy import BigInteger, Column, MetaData, Table, Text

    return Table(
        "cerebras_comparisons",
        MetaData(),
        Column("run_id", Text, primary_key=True),
        Column("made_at_us", BigInteger, nullable=False),
        Column("found", Text, nullable=False),
    )
