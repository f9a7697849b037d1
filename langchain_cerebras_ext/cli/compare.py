"""`cerebras-ext compare`: models side by side, with a bar while they are asked."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.cli.costs import VARIABLE, open_ledger
from langchain_cerebras_ext.cli.costs_tables import DOUBTFUL
from langchain_cerebras_ext.cli.endpoint import open_endpoint
from langchain_cerebras_ext.cli.failures import FAILED, INTERRUPTED, CommandError
from langchain_cerebras_ext.cli.screen import (
    Column,
    Sheet,
    StatusLine,
    error_console,
    labelled,
    output_console,
    print_sheet,
    say,
)
from langchain_cerebras_ext.costs._display import format_total
from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.routing._compare.texts import LEGEND, cells, columns

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from rich.console import Console

    from langchain_cerebras_ext.routing._compare.results import Result
    from langchain_cerebras_ext.routing._compare.rows import ModelRow
    from langchain_cerebras_ext.routing._compare.session import Session
    from langchain_cerebras_ext.routing.comparison import Comparison

__all__ = ["CompareOptions", "run_compare"]

RESULTS: Final = "results.jsonl"
REPORT: Final = "comparison"
_FORMS: Final = ("json", "csv", "md")
_BAR: Final = 24


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What the command line said.

    Attributes:
        models: Names, as typed, with commas.
        prompts: A file of prompts; ours if not given.
        repeat: How often each prompt is asked.
        concurrency: Calls at once.
        expect: How answers are judged.
        out: A folder or file to write.
        form: What to print instead of a table.
        chart: A picture to draw.
        resume: Whether to go on with what is in `out`.
        max_cost: USD, as typed.
        max_tokens: Of each answer.
        temperature: Of each call.
        retries: Whether failed calls are resent.
        timeout_s: Seconds for a call.
        warmup: Calls to each model that are not measured.
        seed: Decides the order.
        ledger: Where calls are recorded.
        simulate: Whether to start a simulator.
        speed: Its speed.
    """

    models: Sequence[str]
    prompts: Path | None = None
    repeat: int = 1
    concurrency: int = 4
    expect: str | None = None
    out: Path | None = None
    form: str | None = None
    chart: Path | None = None
    resume: bool = False
    max_cost: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    retries: bool = True
    timeout_s: float | None = None
    warmup: int = 1
    seed: int = 0
    ledger: str | None = None
    simulate: bool = False
    speed: str = "real"


def run_compare(options: CompareOptions) -> int:
    """Compare models, write and print what was found, and return the exit code.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: A model, a prompt or a kept file is wrong.
        MissingExtraError: Something that is asked for is not installed.
    """
    from langchain_cerebras_ext.routing._compare.session import run_blocking
    from langchain_cerebras_ext.routing.comparison import finish

    places = _places(options)
    _check(options)
    with _open_session(options, places.journal) as session:
        run_blocking(session)
        found = finish(session)
    try:
        _write(found, places, options.chart)
    finally:
        _print(found, options.form)  # it has been paid for, wherever it was to go
    if found.stopped == "interrupted":
        return INTERRUPTED
    never = any(row.calls == row.failed for row in found.rows)
    return FAILED if never or found.stopped else 0


# ---------------------------------------------------------------------------- options


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things are written.

    Attributes:
        journal: Each result.
        reports: The whole, by form.
    """

    journal: Path | None
    reports: dict[str, Path]


def _places(options: CompareOptions) -> _Places:
    """Return what `--out` means.

    Raises:
        CommandError: It is neither, or there are results that would be mixed up.
    """
    out = options.out
    if out is None or (out.suffix[1:] in _FORMS and not out.is_dir()):
        if options.resume:
            msg = "--resume needs --out: the folder, or the .jsonl file, to go on with."
            raise CommandError(msg)
        return _Places(None, {} if out is None else {out.suffix[1:]: out})
    if out.suffix == ".jsonl" and not out.is_dir():
        journal, reports = out, {}
    elif out.is_file():
        msg = f"--out is {out}, a file; name a folder, or a .jsonl, .json, .csv or .md."
        raise CommandError(msg)
    else:
        journal = out / RESULTS
        reports = {form: out / f"{REPORT}.{form}" for form in _FORMS}
    if journal.exists() and not options.resume:
        msg = f"{journal} is there already; give --resume to go on, or another --out."
        raise CommandError(msg)
    return _Places(journal, reports)


def _check(options: CompareOptions) -> None:
    if options.form is not None and options.form not in _FORMS:
        msg = f"--format is {options.form!r}; give one of {', '.join(_FORMS)}."
        raise CommandError(msg)
    if options.chart is not None:
        from langchain_cerebras_ext.routing._compare.plot import check_plot

        check_plot()  # before anything is spent
        if options.chart.suffix not in {".png", ".svg", ".pdf"}:
            msg = f"--chart is {str(options.chart)!r}; end it in .png, .svg or .pdf."
            raise CommandError(msg)


def _names(options: CompareOptions) -> list[str]:
    names = [name.strip() for one in options.models for name in one.split(",")]
    found = list(dict.fromkeys(name for name in names if name))
    if not found:
        msg = "--models names none. Give some, as gpt-oss-120b,qwen-3.8-27b."
        raise CommandError(msg)
    return found


def _amount(given: str | None) -> Decimal | None:
    if given is None:
        return None
    try:
        amount = Decimal(given.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        msg = f"--max-cost is {given!r}; give USD, as 0.50."
        raise CommandError(msg)
    return amount


@contextmanager
def _open_session(options: CompareOptions, journal: Path | None) -> Generator[Session]:
    from langchain_cerebras_ext.routing.comparison import make_session

    parameters: dict[str, Any] = {
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "max_retries": None if options.retries else 0,
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    max_cost = _amount(options.max_cost)
    with open_endpoint(None, simulate=options.simulate, speed=options.speed) as where:
        progress = _Progress()
        session = make_session(
            _simulated(options, where, given) if options.simulate else _names(options),
            options.prompts,
            repeat=options.repeat,
            concurrency=options.concurrency,
            score=options.expect,
            parameters=given,
            budget=max_cost,
            ledger=_ledger(options),
            resume=journal,
            seed=options.seed,
            warmup=options.warmup,
            timeout_s=options.timeout_s,
            on_result=progress.add,
            simulated=options.speed if options.simulate else None,
        )
        if session.resumed:
            told = f"{session.resumed:,} of {session.planned:,} results are there."
            say(error_console(), told, "dim")
        with StatusLine(error_console()) as line:
            progress.begin(session, line.status)
            yield session


def _simulated(options: CompareOptions, where: Any, given: Any) -> dict[str, Any]:
    """Return models of a simulator, which has those of Cerebras alone."""
    from langchain_cerebras_ext.routing import parse_name
    from langchain_cerebras_ext.routing.providers import CEREBRAS

    found: dict[str, Any] = {}
    for name in _names(options):
        target = parse_name(name)
        if target.provider != CEREBRAS:
            msg = f"--simulate has Cerebras's models alone; {name!r} is another's."
            raise CommandError(msg)
        found[str(target)] = where.model(target.model, **given)
    return found


def _ledger(options: CompareOptions) -> Any:
    # What a simulator "costs" is not for the ledger of what was spent.
    usual = None if options.simulate else os.environ.get(VARIABLE)
    url = options.ledger or usual
    return open_ledger(url, create=True) if url else None


# --------------------------------------------------------------------------- progress


class _Progress:
    """Says how far it is, in a line."""

    def __init__(self) -> None:
        self._show: Callable[[str], object] | None = None
        self._done = self._new = self._failed = self._planned = 0
        self._totals = Totals()
        self._began = time.monotonic()

    def begin(self, session: Session, show: Callable[[str], object]) -> None:
        """Begin with what is there."""
        self._done, self._planned = session.resumed, session.planned
        self._show = show
        self._began = time.monotonic()
        show(self.text())

    def add(self, result: Result) -> None:
        """Take a result in."""
        self._done += 1
        self._new += 1
        self._failed += not result.is_ok
        totals = self._totals
        totals.cost += result.cost_usd or 0
        totals.unpriced_calls += result.unpriced
        totals.calls_without_usage += result.uncounted
        totals.estimated_calls += result.estimated
        totals.half_counted_calls += result.half_counted
        if self._show is not None:
            self._show(self.text())

    def text(self) -> str:
        """Return the line."""
        planned = max(self._planned, 1)
        full = _BAR * self._done // planned
        parts = [
            f"[{'#' * full}{'.' * (_BAR - full)}] {self._done:,}/{self._planned:,}"
        ]
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        if self._new:
            parts.append(format_total(self._totals))
            spent = time.monotonic() - self._began
            left = spent / self._new * (self._planned - self._done)
            parts.append(f"about {left:.0f} s left")
        return "  ".join(parts)


# ----------------------------------------------------------------------------- results


def _write(found: Comparison, places: _Places, chart: Path | None) -> None:
    # Where each result has its own file, the whole is not to have them once more.
    is_whole = places.journal is None
    written = [] if places.journal is None else [places.journal]
    try:
        for form, path in places.reports.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                _text(found, form, results=is_whole), encoding="utf-8", newline="\n"
            )
            written.append(path)
        if chart is not None:
            chart.parent.mkdir(parents=True, exist_ok=True)
            found.plot().savefig(chart, dpi=150)
            written.append(chart)
    except OSError as error:
        msg = f"{error.filename} cannot be written: {error.strerror}."
        raise CommandError(msg) from error
    if written:
        names = ", ".join(str(path) for path in written)
        say(error_console(), f"Written: {names}", "dim")


def _text(found: Comparison, form: str, *, results: bool = False) -> str:
    if form == "json":
        return found.to_json(results=results)
    return found.to_csv() if form == "csv" else found.to_markdown()


def _print(found: Comparison, form: str | None) -> None:
    if form is not None:
        print(_text(found, form), end="")  # noqa: T201
        return
    console = output_console()
    for at, sheet in enumerate(_sheets(console, found.rows)):
        if at:
            say(console, "")
        print_sheet(console, sheet)
    for note in found.notes:
        if note == LEGEND:
            labelled(error_console(), "  ", note, "dim")
        else:
            labelled(error_console(), "! ", note, DOUBTFUL)


def _sheets(console: Console, rows: Sequence[ModelRow]) -> list[Sheet]:
    """Return tables with a line for each model, or turned round to fit the screen."""
    whole = _wide(rows)
    if not console.is_terminal or whole.fits(console.width):
        return [whole]
    sheets: list[Sheet] = []
    left = list(rows)
    while left:
        count = len(left)
        while count > 1 and not _turned(left[:count], rows).fits(console.width):
            count -= 1
        sheets.append(_turned(left[:count], rows))
        left = left[count:]
    return sheets


def _wide(rows: Sequence[ModelRow]) -> Sheet:
    titles = columns(rows)
    return Sheet(
        [Column(title, is_figure=title != "model") for title in titles],
        [([cells(row)[title] for title in titles], _style(row)) for row in rows],
    )


def _turned(shown: Sequence[ModelRow], rows: Sequence[ModelRow]) -> Sheet:
    known = [cells(row) for row in shown]
    titles = [title for title in columns(rows) if title != "model"]
    return Sheet(
        [Column(""), *(Column(row.model) for row in shown)],
        [([title, *(one[title] for one in known)], "") for title in titles],
    )


def _style(row: ModelRow) -> str:
    return "red" if row.calls and row.failed == row.calls else ""
