"""What a terminal shows; the only module that knows `rich`."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

_REFRESH_PER_S = 12
_GAP: Final = 2
_NARROWEST: Final = 40
_LONG: Final = 24

NOT_KNOWN: Final = "-"
"""What stands where a fact is not known."""

STYLES = {
    "reasoning": "dim",
    "text": "",
    "tool_call": "cyan",
    "tool_result": "green",
    "value": "",
}
"""How each kind of entry looks."""


def printable(text: str) -> str:
    """Return a text without what a terminal would obey; line breaks and tabs stay."""
    if text.isprintable():
        return text
    # Late: it brings the messages of LangChain, which take longer than a table does.
    from langchain_cerebras_ext import _live

    return _live.printable(text)


def output_console() -> Console:
    """Return a console on standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """Return a console on standard error."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


class Typewriter:
    """Shows a text as it grows, with a status line under it while it does.

    Lines that are full are printed for good, so that a text may be longer than the
    screen; the last one and the status are redrawn. Where output is no terminal, text
    is passed on as it comes and the status is left out.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tail = Text()
        self._status = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._frame,
                refresh_per_second=_REFRESH_PER_S,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=sys.stderr.isatty(),
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, whatever happened."""
        self.close()

    def close(self) -> None:
        """Print what is left, and take the status away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        if self._tail:
            self._print(self._tail)
            self._tail = Text()

    def status(self, text: str) -> None:
        """Set the status line."""
        self._status = text

    def write(self, text: str, style: str = "") -> None:
        """Go on with the text."""
        *whole, rest = printable(text).split("\n")
        for line in whole:
            self._tail.append(line, style)
            self._print(self._tail)
            self._tail = Text()
        if rest:
            self._tail.append(rest, style)
            self._print_full_lines()

    def line(self, text: str, style: str = "") -> None:
        """Write a line of its own, after ending the one before."""
        if self._tail:
            self.write("\n")
        self.write(text + "\n", style)

    def _print_full_lines(self) -> None:
        """Print the lines that will not change any more: all but the last."""
        if self._live is None or self._tail.cell_len <= self._console.width:
            return
        *full, self._tail = self._tail.wrap(self._console, self._console.width)
        for line in full:
            self._print(line)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=self._live is None)

    def _frame(self) -> Group:
        status = Text(self._status, style="bold magenta", no_wrap=True)
        return Group(*([self._tail] if self._tail else []), status)


class StatusLine:
    """A status on standard error while an answer goes to a pipe or a file.

    Args:
        console: Where to write; nothing is shown where it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        self._text = ""
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(
                console=console,
                get_renderable=lambda: Text(self._text, style="bold magenta"),
                refresh_per_second=_REFRESH_PER_S,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=sys.stderr.isatty(),
            )

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the status away."""
        if self._live is not None:
            self._live.stop()

    def status(self, text: str) -> None:
        """Set the status."""
        self._text = text


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line of ours; wrapped on a terminal, whole elsewhere."""
    console.print(Text(printable(text), style=style), soft_wrap=not console.is_terminal)


def heading(console: Console, text: str) -> None:
    """Print a heading."""
    console.print()
    if console.is_terminal:
        console.rule(Text(text, style="bold"), align="left")
    else:
        say(console, f"== {text} ==")


def table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Print a table; all columns but the first are figures.

    Args:
        console: Where to print.
        columns: The columns' titles.
        rows: The cells; `None` is shown as not known.
    """
    drawn = Table(show_edge=False, pad_edge=False)
    for at, title in enumerate(columns):
        drawn.add_column(title, justify="right" if at else "left", no_wrap=not at)
    for row in rows:
        drawn.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(drawn)


# --------------------------------------------------------- lines that hang, and sheets


def labelled(console: Console, label: str, text: str, style: str = "") -> None:
    """Print a text behind a label; at a terminal it is wrapped, and hangs there.

    Words longer than the line, as addresses are, stay whole.

    Args:
        console: Where to print.
        label: What stands before it, with the blanks that are wanted.
        text: The text.
        style: Of all of it.
    """
    shown = " ".join(printable(text).split())
    lines = [f"{label}{shown}"]
    if console.is_terminal:
        lines = textwrap.wrap(
            shown,
            max(console.width, len(label) + _NARROWEST),
            initial_indent=label,
            subsequent_indent=" " * len(label),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [label]
    for line in lines:
        console.print(Text(line.rstrip(), style=style), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet.

    Attributes:
        title: Its title.
        is_figure: Whether it is set to the right.
        wraps: Whether its cells may be broken between words.
        folds: Whether they may be broken inside a long word, too.
    """

    title: str
    is_figure: bool = False
    wraps: bool = False
    folds: bool = False

    def least(self, text: str) -> int:
        """Return the least width for a cell."""
        parts = text.split() if self.wraps else [text]
        widest = max(map(cell_len, parts), default=0)
        return min(widest, _LONG) if self.folds else widest


Cells: TypeAlias = "Sequence[object]"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its columns, and rows of cells with a style each.

    A cell that is `None` is shown as not known. Nothing is ever cut off.
    """

    columns: Sequence[Column]
    rows: Sequence[tuple[Cells, str]]

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown, the titles first."""
        titles = [column.title for column in self.columns]
        return [titles, *([_cell(cell) for cell in cells] for cells, _ in self.rows)]

    def widths(self) -> list[int]:
        """Return each column's least width that breaks no cell where it may not be."""
        rows = self.texts()
        return [
            max(column.least(row[at]) for row in rows)
            for at, column in enumerate(self.columns)
        ]

    def folded(self) -> Sheet:
        """Return the sheet with columns of long texts broken also inside words."""
        columns = [
            replace(column, wraps=True, folds=True)
            if not column.is_figure and max(map(cell_len, texts)) > _LONG
            else column
            for column, texts in zip(
                self.columns, zip(*self.texts(), strict=True), strict=True
            )
        ]
        return replace(self, columns=columns)

    def fits(self, width: int) -> bool:
        """Whether so many signs a line are enough."""
        return self._spare(width) >= 0

    def shared(self, width: int) -> list[int]:
        """Return each column's width where the sheet fits: spare room goes to texts."""
        found, spare = self.widths(), self._spare(width)
        whole = [max(map(cell_len, texts)) for texts in zip(*self.texts(), strict=True)]
        wants = [want - least for want, least in zip(whole, found, strict=True)]
        several = sorted(
            (at for at, want in enumerate(wants) if want), key=wants.__getitem__
        )
        for place, at in enumerate(several):
            more = min(wants[at], spare // (len(several) - place))
            found[at] += more
            spare -= more
        return found

    def _spare(self, width: int) -> int:
        return width - sum(self.widths()) - _GAP * (len(self.columns) - 1)


def fitting(console: Console, *sheets: Sheet) -> Sheet:
    """Return the first of several forms of a table that fits, else the last one.

    Where none fits because of long words, they are broken: one name of 300 letters
    would take all figures but the last from a table. Where output is no terminal, each
    form fits.
    """
    if not console.is_terminal:
        return sheets[0]
    folded = (sheet.folded() for sheet in sheets)
    forms = (sheet for sheet in (*sheets, *folded) if sheet.fits(console.width))
    return next(forms, sheets[-1])


def print_sheet(console: Console, sheet: Sheet) -> None:
    """Print a sheet; where output is no terminal, each row is one line, unbroken."""
    if console.is_terminal:
        console.print(_drawn(console, sheet))
        return
    for line in _plain_lines(sheet):
        console.print(Text(line), soft_wrap=True)


def _drawn(console: Console, sheet: Sheet) -> Table:
    fits = sheet.fits(console.width)
    # What rich would share out, it takes from columns that cannot give, and cuts.
    widths = sheet.shared(console.width) if fits else [None] * len(sheet.columns)
    drawn = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),  # the box has the other blank
        header_style="bold",
    )
    for column, width in zip(sheet.columns, widths, strict=True):
        drawn.add_column(
            column.title,
            justify="right" if column.is_figure else "left",
            no_wrap=fits and not column.wraps,
            width=width,
            overflow="fold",
        )
    for row, (_, style) in zip(sheet.texts()[1:], sheet.rows, strict=True):
        drawn.add_row(*map(Text, row), style=style)
    return drawn


def _plain_lines(sheet: Sheet) -> Iterator[str]:
    rows = sheet.texts()
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            " " * (width - cell_len(text)) + text
            if column.is_figure
            else text + " " * (width - cell_len(text))
            for text, width, column in zip(row, widths, sheet.columns, strict=True)
        ]
        yield (" " * _GAP).join(cells).rstrip()


def _cell(value: object) -> str:
    return NOT_KNOWN if value is None else " ".join(printable(str(value)).split())


# ---------------------------------------------------------------- a living picture


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a picture."""

    text: str
    style: str = ""


class Board:
    """A picture that is drawn anew in its place; for terminals.

    The last one stays when it ends. What does not fit the screen is cut off at the
    bottom, so the most important part stands first.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: Sequence[Line | Sequence[Sheet]] = ()
        self._live = Live(
            console=console,
            get_renderable=self._frame,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    @property
    def height(self) -> int:
        """How many lines the terminal has."""
        return self._console.height

    def draw(self, parts: Sequence[Line | Sequence[Sheet]]) -> None:
        """Draw a picture instead of the last one.

        Args:
            parts: Lines, and tables in forms of which the first that fits is taken.
        """
        self._parts = parts
        self._live.refresh()

    def _frame(self) -> Group:
        drawn: list[Any] = []
        for part in self._parts:
            if isinstance(part, Line):
                text = Text(printable(part.text), style=part.style)
                drawn.append(text)
            elif part:
                drawn.append(_drawn(self._console, fitting(self._console, *part)))
        return Group(*drawn)
