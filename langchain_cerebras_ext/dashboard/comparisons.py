"""Comparisons of models that the ledger keeps, a row for each model; pure but one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.report import Filter
    from langchain_cerebras_ext.dashboard.query import View
    from langchain_cerebras_ext.routing._compare.kept import KeptComparison

__all__ = ["COLUMNS", "find_comparisons", "of_comparisons"]

_ENDS: Final = ("value", "low", "high")
_QUANTILES: Final = {
    "ttft_s": ("p50", "p95"),
    "latency_s": ("p50", "p95"),
    "output_tokens_per_s": ("p5", "p50"),
}
_PLAIN: Final = (
    "calls",
    "failed",
    "cached",
    "cost_per_1000_usd",
    "unpriced_calls",
    "calls_without_usage",
    "estimated_calls",
)

COLUMNS: Final = (
    "run_id",
    "made_at",
    "prompts",
    "repeat",
    "judge",
    "model",
    *_PLAIN,
    *(
        f"{name}_{at}_{end}"
        for name, several in _QUANTILES.items()
        for at in several
        for end in _ENDS
    ),
    *(f"agreement_{end}" for end in _ENDS),
)
"""Of a row, in the order of its CSV; figures come with their intervals of 95 %."""


def find_comparisons(ledger: Ledger, wanted: Filter, limit: int) -> dict[str, Any]:
    """Return the newest comparisons: their rows, and what there is to say of each.

    Args:
        ledger: Where they are kept.
        wanted: Its times, arms and sessions; a comparison knows no other splits.
        limit: How many comparisons.
    """
    from langchain_cerebras_ext.routing._compare.kept import read_comparisons

    kept = read_comparisons(
        ledger,
        since=wanted.since,
        until=wanted.until,
        limit=None if wanted.arm else limit + 1,
        run_ids=_run_ids(wanted),
    )
    # One without any row for the filter would be an empty table with notes.
    found = [(one, rows) for one in kept if (rows := list(_rows(one, wanted)))]
    shown = found[:limit]
    return {
        "rows": [row for _, rows in shown for row in rows],
        "runs": [_run(one) for one, _ in shown],
        "more": len(found) > limit,
    }


def of_comparisons(view: View) -> View:
    """Return a view of the calls of comparisons alone, which have a tag of theirs."""
    from langchain_cerebras_ext.routing._compare.call import TAG

    wanted = msgspec.structs.replace(view.filter, tag=(TAG,))
    return msgspec.structs.replace(view, filter=wanted)


def _run_ids(wanted: Filter) -> tuple[str, ...] | None:
    """Return the runs whose sessions are looked at; `None` for all."""
    if not wanted.session:
        return None
    begin = "compare-"
    return tuple(
        one.removeprefix(begin)
        for one in wanted.session
        if one is not None and one.startswith(begin)
    )


def _run(one: KeptComparison) -> dict[str, Any]:
    from langchain_cerebras_ext.routing._compare.texts import LEGEND

    found = one.found
    return {
        "run_id": one.run_id,
        "session": f"compare-{one.run_id}",
        "made_at": _iso(one.made_at),
        "prompts": found["prompts"],
        "repeat": found["repeat"],
        "judge": found["judge"],
        "complete": found["complete"],
        # The page has words of its own for how to read the table.
        "notes": [note for note in found["notes"] if note != LEGEND],
    }


def _rows(one: KeptComparison, wanted: Filter) -> Iterator[dict[str, Any]]:
    of_run = {
        "run_id": one.run_id,
        "made_at": _iso(one.made_at),
        **{name: one.found[name] for name in ("prompts", "repeat", "judge")},
    }
    for row in one.found["rows"]:
        if wanted.arm and row["model"] not in wanted.arm:
            continue
        yield {
            **of_run,
            "model": row["model"],
            **{name: row[name] for name in _PLAIN},
            **_figures(row),
        }


def _figures(row: Mapping[str, Any]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, several in _QUANTILES.items():
        for at in several:
            found |= _ends(f"{name}_{at}", row[name][at])
    return found | _ends("agreement", row["agreement"])


def _ends(name: str, figure: Mapping[str, float | None] | None) -> dict[str, Any]:
    return {f"{name}_{end}": None if figure is None else figure[end] for end in _ENDS}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
