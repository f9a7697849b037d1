"""`show` and `show_costs`: streams and sums, drawn in Jupyter, as text anywhere else.

Example:
    >>> from langchain_cerebras_ext.notebook import show
    >>> answer = show(iter(["It is ", "**here**."]))
    It is **here**.
    >>> answer
    'It is **here**.'
"""

from __future__ import annotations

import asyncio
import html
import importlib
import inspect
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, overload

from langchain_core.messages import AIMessage

from langchain_cerebras_ext._live import (
    Entry,
    LiveStream,
    Piece,
    close_stream,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.costs.report import Filter, Group, Totals
    from langchain_cerebras_ext.costs.tracker import CostTracker

__all__ = ["ashow", "show", "show_costs"]

_REFRESH_S: Final = 0.1
_MOST_BUSY: Final = 0.2
"""Which part of the time rendering may take: long answers are drawn less often."""

_MOST_ROWS: Final = 50
_STYLE: Final = "opacity:.7;font-size:90%"


@overload
def show(stream: Iterable[Any]) -> Any: ...


@overload
def show(stream: AsyncIterable[Any]) -> Coroutine[Any, Any, Any]: ...


def show(stream: Iterable[Any] | AsyncIterable[Any]) -> Any:
    """Show a stream while it runs, and return what it made.

    In Jupyter: Markdown that grows, reasoning folded above it, tool calls, and the
    speed; ten times a second at most. Elsewhere: plain text. Whatever a model writes is
    shown as text; HTML in it, scripts and remote images are not run or loaded.

    Interrupting the cell leaves what came, and closes the stream and its connection.
    (LangGraph runs a sync agent's calls in threads, where they go on to their end; an
    async one, `await show(agent.astream(...))`, is stopped at once.)

    Args:
        stream: What `model.stream(...)` returns; or a stream of texts, of structured
            partials, of LangChain's `version="v3"`, of a LangGraph agent with
            `stream_mode="messages"`. An async one, as from `model.astream(...)`, is
            awaited: `await show(model.astream(...))`.

    Returns:
        The chunks of the last message, summed; for structured partials the last one;
        for texts the whole text.
    """
    if isinstance(stream, AsyncIterable):
        return ashow(stream)  # pyright: ignore[reportUnknownArgumentType]
    return _show(stream)


def _show(stream: Iterable[Any]) -> Any:
    live = LiveStream()
    display = _display()
    state = "broken off"
    try:
        for item in stream:
            display.update(live, live.add(item))
        state = ""
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        # Not later, at garbage collection: a traceback keeps generators alive.
        close_stream(stream)
        display.finish(live, state)
    # LangChain's v3 streams assemble the message by themselves.
    output = getattr(stream, "output", None)
    return output if isinstance(output, AIMessage) else live.result


async def ashow(stream: AsyncIterable[Any]) -> Any:
    """Do what `show` does, for an async stream.

    Args:
        stream: What `model.astream(...)` returns, or another async stream.

    Returns:
        As `show`.
    """
    live = LiveStream()
    display = _display()
    state = "broken off"
    try:
        async for item in stream:
            display.update(live, live.add(item))
        state = ""
    except (KeyboardInterrupt, asyncio.CancelledError):
        state = "interrupted"
        raise
    finally:
        display.finish(live, state)
        if isinstance(stream, AsyncIterator):
            aclose: Callable[[], Any] | None = getattr(stream, "aclose", None)
            if aclose is not None:
                await aclose()
    output = getattr(stream, "output", None)
    return await output if inspect.isawaitable(output) else live.result


# ------------------------------------------------------------------------- displays


class _Display(Protocol):
    """Where a stream is shown."""

    def update(self, live: LiveStream, pieces: list[Piece]) -> None:
        """Take what an item brought."""
        ...

    def finish(self, live: LiveStream, state: str) -> None:
        """Show the end.

        Args:
            live: All that came.
            state: What to say if it is not whole.
        """
        ...


def _display() -> _Display:
    return _Jupyter() if _in_jupyter() else _Plain()


def _in_jupyter() -> bool:
    """Say whether output goes to a notebook: IPython with a kernel is running."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class _Plain:
    """Text as it comes, on standard output."""

    def __init__(self) -> None:
        self._begun = False

    def update(self, live: LiveStream, pieces: list[Piece]) -> None:
        """Write the pieces; a structured value is written once it is whole."""
        del live
        for piece in pieces:
            if piece.entry.kind == "value":
                continue
            if piece.is_new:
                self._begin(piece.entry)
            sys.stdout.write(printable(piece.added))
        sys.stdout.flush()

    def _begin(self, entry: Entry) -> None:
        sys.stdout.write("\n\n" if self._begun else "")
        self._begun = True
        sys.stdout.write(_head(entry))

    def finish(self, live: LiveStream, state: str) -> None:
        """Write what is left, and the figures if a model told them."""
        for entry in live.entries:
            if entry.kind == "value":
                sys.stdout.write(
                    ("\n\n" if self._begun else "") + printable(entry.text)
                )
                self._begun = True
        if self._begun:
            sys.stdout.write("\n")
        told = _figures(live, state)
        if told:
            sys.stdout.write(f"[{told}]\n")
        sys.stdout.flush()


class _Jupyter:
    """One output of a cell, drawn anew as the stream goes on."""

    def __init__(self) -> None:
        self._next = 0.0
        self._handle: Any = None

    def update(self, live: LiveStream, pieces: list[Piece]) -> None:
        """Draw, unless that was done a moment ago."""
        now = time.monotonic()
        if not pieces or now < self._next:
            return
        self._draw(live, live.meter.status(), done=False)
        taken = time.monotonic() - now
        self._next = now + max(_REFRESH_S, taken / _MOST_BUSY)

    def finish(self, live: LiveStream, state: str) -> None:
        """Draw the whole."""
        if live.entries or state:
            self._draw(live, _figures(live, state), done=True)

    def _draw(self, live: LiveStream, status: str, *, done: bool) -> None:
        ipython: Any = importlib.import_module("IPython.display")
        data = {
            "text/html": render_html(live, status, done=done),
            "text/plain": _as_text(live, status),
        }
        if self._handle is None:
            self._handle = ipython.DisplayHandle()
            self._handle.display(data, raw=True)
        else:
            self._handle.update(data, raw=True)


def _head(entry: Entry) -> str:
    """Return what stands before an entry where text is all there is."""
    name = printable(entry.name)
    heads = {
        "reasoning": "[reasoning] ",
        "tool_call": f"-> {name} ",
        "tool_result": f"<- {name}: ",
    }
    return heads.get(entry.kind, "")


def _figures(live: LiveStream, state: str) -> str:
    figures = live.figures()
    if figures.output_tokens is not None:
        told = figures.line()
    else:
        # Texts without a message: nobody counted tokens.
        told = live.meter.status() if state and live.entries else ""
    return " · ".join(part for part in (state, told) if part)


def _as_text(live: LiveStream, status: str) -> str:
    parts = [
        _head(entry) + printable(entry.text)
        for entry in live.entries
        if entry.kind != "reasoning"
    ]
    return "\n\n".join([*parts, f"[{status}]"] if status else parts)


# --------------------------------------------------------------------------- HTML


def render_html(live: LiveStream, status: str, *, done: bool) -> str:
    """Return what came as HTML in which nothing of it is markup.

    Args:
        live: What came.
        status: A line to stand below.
        done: Reasoning is open while it is all there is, folded afterwards.
    """
    only_reasoning = all(entry.kind == "reasoning" for entry in live.entries)
    parts = [
        _entry_html(entry, is_open=only_reasoning and not done)
        for entry in live.entries
    ]
    if status:
        parts.append(f'<div style="{_STYLE}">{html.escape(status)}</div>')
    return "\n".join(parts)


def _entry_html(entry: Entry, *, is_open: bool) -> str:
    name, text = html.escape(entry.name), html.escape(printable(entry.text))
    match entry.kind:
        case "reasoning":
            attribute = " open" if is_open else ""
            return (
                f'<details{attribute} style="{_STYLE}"><summary>Reasoning</summary>'
                f"{_markdown_html(entry.text)}</details>"
            )
        case "text":
            return f"<div>{_markdown_html(entry.text)}</div>"
        case "tool_call":
            return f"<pre>&rarr; {name} {text}</pre>"
        case "tool_result":
            return (
                f'<details style="{_STYLE}"><summary>&larr; {name}</summary>'
                f"<pre>{text}</pre></details>"
            )
        case "value":
            return f"<pre>{text}</pre>"


def _markdown_html(text: str) -> str:
    """Return Markdown as HTML; what is HTML in it is shown as text."""
    render = _markdown()
    text = printable(text)
    return render(text) if render else f"<pre>{html.escape(text)}</pre>"


@lru_cache(maxsize=1)
def _markdown() -> Callable[[str], str] | None:
    """Return the renderer, `None` where it is not installed."""
    try:
        library: Any = importlib.import_module("markdown_it")
    except ModuleNotFoundError:
        return None
    # Links to `javascript:` and `data:` are refused by the library itself; an image
    # would be loaded from wherever the model says, and so tell that server something.
    parser = library.MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable("image")
    render: Callable[[str], str] = parser.render
    return render


# ---------------------------------------------------------------------------- costs


def show_costs(
    costs: CostTracker | Ledger | Iterable[UsageRecord],
    by: str | Iterable[str] = "model",
    *,
    filter: Filter | None = None,  # noqa: A002 - as the ledger names it
) -> None:
    """Show what calls cost: the sum with its doubts, a small chart, and a table.

    In Jupyter as HTML in which every name is text, elsewhere as text. A tracker that
    ends a cell shows itself by model; this splits by anything, and takes ledgers.

    Args:
        costs: A tracker, a ledger, or records.
        by: A dimension, or several, as `["user", "day"]`.
        filter: Which calls.

    Raises:
        CerebrasConfigurationError: There is no such dimension.
        LedgerError: The ledger cannot be read.

    Example:
        >>> from langchain_cerebras_ext.costs import CostTracker
        >>> show_costs(CostTracker(), by="user")
        $0 in 0 calls; 0 tokens in, 0 out
    """
    from langchain_cerebras_ext.costs._display import (
        groups_html,
        groups_text,
        in_order,
    )
    from langchain_cerebras_ext.costs.report import check_dimensions

    wanted = check_dimensions([by] if isinstance(by, str) else by)
    found, totals, series = _sums(costs, wanted, filter)
    groups = in_order(found, wanted)
    text = groups_text(groups, wanted, totals=totals, most=_MOST_ROWS)
    if not _in_jupyter():
        sys.stdout.write(f"{text}\n")
        return
    ipython: Any = importlib.import_module("IPython.display")
    page = groups_html(groups, wanted, totals=totals, series=series, most=_MOST_ROWS)
    ipython.display({"text/html": page, "text/plain": text}, raw=True)


def _sums(
    costs: Any, by: tuple[str, ...], wanted: Filter | None
) -> tuple[list[Group], Totals, list[tuple[datetime, Decimal | None]]]:
    """Return groups, the whole, and what was spent when."""
    from langchain_cerebras_ext.costs.report import Filter, Totals, group_records

    wanted = wanted or Filter()
    if hasattr(costs, "report"):
        # A ledger may hold millions of calls: its hours are enough for a chart.
        return (
            costs.report(by, wanted),
            costs.totals(wanted),
            _hours(costs.report(("hour",), wanted)),
        )
    records = [one for one in getattr(costs, "records", costs) if wanted.takes(one)]
    whole = group_records(records)
    return (
        group_records(records, by),
        whole[0].totals if whole else Totals(),
        [(one.started_at, one.cost_usd) for one in records],
    )


def _hours(groups: Iterable[Group]) -> list[tuple[datetime, Decimal | None]]:
    """Return what hours cost; one that lacks calls of unknown cost is there twice."""
    from datetime import datetime

    from langchain_cerebras_ext.costs._display import is_lower_bound

    series: list[tuple[datetime, Decimal | None]] = []
    for (hour,), totals in groups:
        when, lacks = datetime.fromisoformat(str(hour)), is_lower_bound(totals)
        if totals.cost or not lacks:
            series.append((when, totals.cost))
        if lacks:
            series.append((when, None))
    return series
