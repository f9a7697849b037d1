"""What a terminal shows; the only module that knows `rich`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from langchain_cerebras_ext._live import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

_REFRESH_PER_S = 12

STYLES = {
    "reasoning": "dim",
    "text": "",
    "tool_call": "cyan",
    "tool_result": "green",
    "value": "",
}
"""How each kind of entry looks."""


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
