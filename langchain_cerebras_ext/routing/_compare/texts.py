"""A comparison as tables: cells that all forms share, Markdown and CSV; pure."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs._display import doubts, format_total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_cerebras_ext.routing._compare.figures import Figure
    from langchain_cerebras_ext.routing._compare.results import Result
    from langchain_cerebras_ext.routing._compare.rows import Measure, ModelRow

__all__ = [
    "LEGEND",
    "cells",
    "columns",
    "explain",
    "failures_text",
    "to_csv",
    "to_markdown",
]

NONE: Final = "-"
OPEN: Final = "?"
_FORMULA: Final = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_MS_BELOW: Final = 1.0
_WHOLE_FROM: Final = 100
_LONGEST: Final = 240

TIMES: Final = {"TTFT": "ttft_s", "latency": "latency_s"}
SPEED: Final = "tokens/s"


# ------------------------------------------------------------------------------ cells


def seconds_text(value: float) -> str:
    """Return a time as people read it: `87 ms`, `1.42 s`, `132 s`."""
    if value < _MS_BELOW:
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"  # noqa: PLR2004
    return f"{value:.0f} s" if value >= _WHOLE_FROM else f"{value:.2f} s"


def speed_text(value: float) -> str:
    """Return tokens per second."""
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.1f}"


def figure_text(figure: Figure | None, kind: str) -> str | None:
    """Return a value and its interval; an open end is `?`.

    Args:
        figure: It, or `None`.
        kind: `seconds`, `speed` or `share`.
    """
    if figure is None:
        return None
    write = {"seconds": seconds_text, "speed": speed_text, "share": share_text}[kind]
    ends = (OPEN if end is None else write(end) for end in (figure.low, figure.high))
    return f"{write(figure.value)} [{' .. '.join(ends)}]"


def share_text(value: float) -> str:
    """Return a share in percent."""
    return f"{value:.0%}"


def failures_text(row: ModelRow) -> str:
    """Return how many calls failed, of which kinds."""
    if not row.failed:
        return "0"
    kinds = ", ".join(f"{name} {count}" for name, count in row.failures.items())
    return f"{row.failed} ({kinds})"


def cells(row: ModelRow) -> Mapping[str, str | None]:
    """Return all that a table may show of a model, by the column's title."""
    found: dict[str, str | None] = {
        "model": row.model,
        "calls": f"{row.calls:,}",
        "failed": failures_text(row),
        "$/1,000 calls": format_total(row.per_1000) if row.calls else None,
        "agreement": figure_text(row.agreement, "share"),
    }
    measures = {**TIMES, SPEED: "output_tokens_per_s"}
    for title, name in measures.items():
        measure: Measure = getattr(row, name)
        kind = "speed" if title == SPEED else "seconds"
        for part in ("p50", "p95"):
            figure: Figure | None = getattr(measure, part)
            write = speed_text if title == SPEED else seconds_text
            found[f"{title} {part}"] = figure_text(figure, kind)
            short = None if figure is None else write(figure.value)
            found[f"{title} {part}:short"] = short
    return found


def columns(rows: Sequence[ModelRow]) -> list[str]:
    """Return the columns that a whole table has."""
    wanted = [
        "model",
        *(f"{title} {part}" for title in (*TIMES, SPEED) for part in ("p50", "p95")),
        "$/1,000 calls",
        "calls",
        "failed",
    ]
    if any(row.agreement is not None for row in rows):
        wanted.append("agreement")
    return wanted


LEGEND: Final = (
    "In brackets: intervals of 95 %, if calls are independent of each other; '?' is "
    "open, for want of calls. Times are of the try that answered."
)


def explain(rows: Sequence[ModelRow]) -> list[str]:
    """Return what a reader has to know beside the table, a sentence each."""
    told = [LEGEND]
    for row in rows:
        if row.retried:
            slow = row.total_s.p95
            whole = "" if slow is None else f", p95 {seconds_text(slow.value)}"
            told.append(
                f"{row.model}: {row.retried:,} of {row.calls:,} calls needed more than "
                f"one request; callers wait for all of them (total_s{whole})."
            )
        if row.cached:
            told.append(
                f"{row.model}: {row.cached:,} answers came out of a cache and have no "
                "times."
            )
        told += [f"{row.model}: {doubt}" for doubt in doubts(row.costs)]
    return told


def explain_failures(results: Sequence[Result]) -> list[str]:
    """Return for each model and kind of failure what the first one said."""
    first: dict[tuple[str, str | None], Result] = {}
    counts: Counter[tuple[str, str | None]] = Counter()
    for one in results:
        if not one.is_ok:
            first.setdefault((one.model, one.kind), one)
            counts[one.model, one.kind] += 1
    return [
        f"{model}: {kind} {counts[model, kind]:,}, such as {one.error_type}: "
        f"{_cut(one.error or 'no message')}"
        for (model, kind), one in first.items()
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ------------------------------------------------------------------------- whole texts


def to_markdown(rows: Sequence[ModelRow], notes: Sequence[str]) -> str:
    """Return a table and what there is to say of it."""
    titles = columns(rows)
    lines = [
        f"| {' | '.join(titles)} |",
        f"|{'|'.join(' --- ' if title == 'model' else ' ---: ' for title in titles)}|",
    ]
    for row in rows:
        known = cells(row)
        shown = (_plain(known[title] or NONE) for title in titles)
        lines.append(f"| {' | '.join(shown)} |")
    lines.append("")
    lines += [f"- {_plain(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return a cell that is nothing but text: names may be anybody's."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for sign in "\\|`*_[]$":
        flat = flat.replace(sign, f"\\{sign}")
    return flat


def to_csv(rows: Sequence[ModelRow]) -> str:
    """Return a line for each model; what is not known is empty."""
    to = io.StringIO()
    writer = csv.writer(to, lineterminator="\n")
    lines = [dict(_flat(row.to_dict())) for row in rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer.writerow(names)
    for line in lines:
        writer.writerow([_cell(line.get(name)) for name in names])
    return to.getvalue()


_PARTS: Final = {
    **dict.fromkeys(("ttft_s", "latency_s", "total_s"), ("p5", "p50", "p95")),
    "output_tokens_per_s": ("p5", "p50", "p95"),
    "success": (),
    "agreement": (),
}


def _flat(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return a model's facts with a name for each; all rows have the same names."""
    flat: list[tuple[str, Any]] = []
    for name, value in row.items():
        if name == "failures":
            text = "; ".join(f"{kind} {count}" for kind, count in value.items())
            flat.append((name, text))
        elif name in _PARTS:
            for part in _PARTS[name] or ("",):
                figure = (value if not part else value[part]) or {}
                title = f"{name}_{part}" if part else name
                flat.append((title, figure.get("value")))
                flat += [(f"{title}_{end}", figure.get(end)) for end in ("low", "high")]
        else:
            flat.append((name, value))
    return flat


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.lstrip().startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
