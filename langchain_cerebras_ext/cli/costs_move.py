"""`cerebras-ext costs`: `export`, `import`, `merge` and `prune`."""

from __future__ import annotations

import sys
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import typer

from langchain_cerebras_ext.cli.costs import open_ledger, print_json
from langchain_cerebras_ext.cli.costs_filter import Asked, read_filter, read_moment
from langchain_cerebras_ext.cli.costs_tables import (
    DOUBTFUL,
    instant,
    print_doubts,
    shown_time,
    totals_as_json,
)
from langchain_cerebras_ext.cli.failures import FAILED, CommandError
from langchain_cerebras_ext.cli.screen import error_console, say
from langchain_cerebras_ext.costs._display import format_total
from langchain_cerebras_ext.costs.report import Filter
from langchain_cerebras_ext.errors import CerebrasCostWarning, LedgerError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import datetime

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.report import Totals

__all__ = [
    "ExportOptions",
    "ImportOptions",
    "MergeOptions",
    "PruneOptions",
    "run_export",
    "run_import",
    "run_merge",
    "run_prune",
]


def _records(count: int) -> str:
    return f"{count:,} record" if count == 1 else f"{count:,} records"


# ----------------------------------------------------------------------------- export


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the command line said.

    Attributes:
        file: Where to write; `-` is standard output.
        ledger: Which ledger.
        format: csv, jsonl or parquet; by the file's name if not given.
        asked: Which calls.
        force: Whether a file that is there may be replaced.
    """

    file: Path
    ledger: str | None = None
    format: str | None = None
    asked: Asked = field(default_factory=Asked)
    force: bool = False


def run_export(options: ExportOptions, *, now: datetime | None = None) -> int:
    """Write records to a file, and return the exit code.

    Raises:
        CommandError: An option is wrong, or there is no ledger.
        CerebrasConfigurationError: There is no such format.
        MissingExtraError: Parquet is not installed.
        LedgerError: The database cannot be read, or the file not written.
    """
    wanted = read_filter(options.asked, now)
    if options.file.is_file() and not options.force:
        msg = f"{options.file} is there already. Add --force to replace it."
        raise CommandError(msg)
    with open_ledger(options.ledger) as ledger:
        count = _export(ledger, options, wanted)
        place = "standard output" if options.file == _OUTPUT else options.file
        say(error_console(), f"Wrote {_records(count)} of {ledger.url} to {place}.")
    return 0


_OUTPUT: Final = Path("-")


def _export(ledger: Ledger, options: ExportOptions, wanted: Filter) -> int:
    target: Path | BinaryIO = options.file
    if options.file == _OUTPUT:
        from langchain_cerebras_ext.costs._ledger.files import find_format

        find_format(options.file, options.format)  # by the name that was typed
        sys.stdout.flush()
        target = sys.stdout.buffer
    try:
        return ledger.export(target, format=options.format, filter=wanted)
    except LedgerError as error:
        # Whoever reads has gone, as `head` does: that is no trouble of the ledger's.
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        raise


# ------------------------------------------------------------------- import and merge


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the command line said."""

    files: Sequence[Path]
    ledger: str | None = None
    format: str | None = None


def run_import(options: ImportOptions) -> int:
    """Take records in from files that `export` wrote, and return the exit code.

    Raises:
        CommandError: A file is not there.
        CerebrasConfigurationError: A file is of no format that is known.
        LedgerError: A file or the database cannot be used.
    """
    from langchain_cerebras_ext.costs._ledger.files import find_format

    for file in options.files:
        if not file.exists() or file.is_dir():  # a pipe will do
            msg = f"{file} is no file. Give files that `costs export` wrote."
            raise CommandError(msg)
        find_format(file, options.format)
    with open_ledger(options.ledger, create=True) as ledger:
        for file in options.files:
            with _warnings_in_words():
                count = ledger.import_records(file, format=options.format)
            _say_new(str(file), count, ledger.url)
    return 0


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """What the command line said."""

    others: Sequence[str] = field(repr=False)
    ledger: str | None = field(default=None, repr=False)


def run_merge(options: MergeOptions) -> int:
    """Take in all that other ledgers hold, and return the exit code.

    Raises:
        CommandError: There is no ledger at one of the places.
        LedgerError: A database cannot be used.
    """
    with ExitStack() as opened:
        # They first: where one is missing no ledger is made.
        others = [opened.enter_context(open_ledger(url)) for url in options.others]
        ledger = opened.enter_context(open_ledger(options.ledger, create=True))
        for other in others:
            if other.url == ledger.url:
                msg = f"{other.url} is the ledger itself; give another one."
                raise CommandError(msg)
            with _warnings_in_words():
                count = ledger.merge(other)
            _say_new(other.url, count, ledger.url)
    return 0


@contextmanager
def _warnings_in_words() -> Generator[None]:
    """Say what the ledger warns of as people read it, without a place in our code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CerebrasCostWarning)
        yield
    for one in caught:
        say(error_console(), f"! {one.message}", DOUBTFUL)


def _say_new(source: str, count: int, target: str) -> None:
    told = f"{_records(count)} of {source} {'is' if count == 1 else 'are'} new"
    if not count:
        told = f"Nothing of {source} is new"
    say(error_console(), f"{told} in {target}.")


# ------------------------------------------------------------------------------ prune


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """What the command line said.

    Attributes:
        before: The time, as typed.
        ledger: Which ledger.
        keep_totals: Whether reports go on to count what is removed.
        yes: Whether the user need not be asked.
        dry_run: Whether to remove nothing.
        as_json: Whether to print JSON.
    """

    before: str
    ledger: str | None = None
    keep_totals: bool = True
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


def run_prune(options: PruneOptions, *, now: datetime | None = None) -> int:
    """Remove old records, and return the exit code: 1 if the user said no.

    Raises:
        CommandError: An option is wrong, there is no ledger, or nobody can be asked.
        CerebrasConfigurationError: The time is still to come.
        LedgerError: The database cannot be written.
    """
    before = _whole(read_moment("--before", options.before, now), options.keep_totals)
    console = error_console()
    keeps = options.keep_totals
    with open_ledger(options.ledger) as ledger:
        ledger.prune(before, keep_totals=keeps, dry_run=True)  # refuses what cannot be
        # Rows that went before do not go again; their totals may.
        gone = ledger.pruned_before if keeps else None
        old = ledger.totals(Filter(since=gone, until=before))
        count = old.calls + old.retries
        if not options.as_json:
            when = f"from before {shown_time(before)} UTC in {ledger.url}"
            _say_old(when, old, count, keeps=keeps)
        if not options.dry_run and count and not _may(options):
            say(console, "Nothing was removed.")
            return FAILED
        removed = 0
        if not options.dry_run:
            removed = ledger.prune(before, keep_totals=keeps)
        if options.as_json:
            print_json(
                {
                    "ledger": ledger.url,
                    "before": instant(before),
                    "removed": removed,
                    "total_before": totals_as_json(old),
                }
            )
        elif options.dry_run:
            say(console, "Nothing was removed: it was a dry run.")
        elif count:
            say(console, f"Removed {_records(removed)}.")
    return 0


def _say_old(when: str, old: Totals, count: int, *, keeps: bool) -> None:
    """Say what is to be removed, and what of it stays."""
    console = error_console()
    if not count:
        say(console, f"There are no records {when}.")
        return
    stays = (
        "Their totals by the hour stay, but not those of sessions."
        if keeps
        else "Reports will not count them any more."
    )
    say(console, f"{_records(count)} {when}: {format_total(old)}. {stays}")
    print_doubts(console, old)


def _whole(before: datetime, keep_totals: bool) -> datetime:
    """Return the time to which a ledger can forget: an hour's begin, or a day's."""
    hour = before.replace(minute=0, second=0, microsecond=0)
    return hour if keep_totals else hour.replace(hour=0)


def _may(options: PruneOptions) -> bool:
    """Ask the user, unless that was answered beforehand.

    Raises:
        CommandError: There is nobody to ask.
    """
    if options.yes:
        return True
    if options.as_json or not sys.stdin.isatty():
        msg = "Add --yes to remove them: there is nobody to ask here."
        raise CommandError(msg)
    return typer.confirm("Remove them for ever?", err=True)
