"""`cerebras-ext models check`: ids that are gone, in a code base."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import typer
from rich.table import Table
from rich.text import Text

from langchain_cerebras_ext._check import (
    DEFAULT_WITHIN_DAYS,
    FailOn,
    Report,
    ScanOptions,
    as_github,
    as_gitlab,
    as_json,
    as_sarif,
    load_config,
    plan_changes,
    scan,
    unified_diff,
    write_change,
)
from langchain_cerebras_ext._live import printable
from langchain_cerebras_ext.cli.failures import FAILED, CommandError
from langchain_cerebras_ext.cli.screen import error_console, output_console, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from langchain_cerebras_ext._check import Change, CheckConfig, Finding

FORMATS: Final = ("text", "json", "sarif", "github", "gitlab")
_STYLES: Final = {"error": "red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the command line said; `None` leaves it to the project's settings.

    Attributes:
        paths: Files and directories; the working directory where there are none.
        on: The day to check for, as in `2026-11-21`; today where not given.
        within: How many days ahead an end counts.
        fail_on: What makes the exit code 1: `retired`, `ending`, `any` or `never`.
        output_format: One of `FORMATS`.
        show_weak: Show also what may well be something else.
        fix: Rewrite what can be, after showing it.
        diff: Only show what `fix` would do.
        yes: Rewrite without asking.
        exclude: Files and directories to leave out, as in a `.gitignore`; added to
            the project's.
        ignore: Ids and parameters to leave alone; added to the project's.
        use_ignore_files: Whether `.gitignore` files count.
        use_config: Whether the project's settings count.
    """

    paths: Sequence[Path] = ()
    on: str | None = None
    within: int | None = None
    fail_on: str | None = None
    output_format: str = "text"
    show_weak: bool = False
    fix: bool = False
    diff: bool = False
    yes: bool = False
    exclude: Sequence[str] = ()
    ignore: Sequence[str] = ()
    use_ignore_files: bool = True
    use_config: bool = True


def run_check(options: CheckOptions, *, cwd: Path | None = None) -> int:
    """Check, report, and rewrite where that is asked for.

    Args:
        options: What to do.
        cwd: The working directory.

    Returns:
        0 if nothing was found at or above the level that `fail_on` says, else 1.

    Raises:
        CommandError: An option or a path cannot be used.
        CerebrasConfigurationError: The project's settings are wrong.
        MissingExtraError: What reads the files is not installed.
    """
    here = cwd or Path.cwd()
    paths = _paths(options, here)
    config = load_config(paths[0]) if options.use_config else None
    fail_on = _fail_on(options, config)
    scan_options = _scan_options(options, config, here)
    _check_format(options)
    report = scan(paths, scan_options, cwd=here)
    console = output_console()
    if options.diff:
        _print_diffs(plan_changes(report), sys.stdout.write)
        return FAILED if report.fails(fail_on) else 0
    failed = False
    if options.fix:
        failed, written = _fix(report, options)
        if written:
            report = scan(paths, scan_options, cwd=here)
    _print_report(report, options.output_format, console)
    return FAILED if failed or report.fails(fail_on) else 0


# -------------------------------------------------------------------------- options


def _paths(options: CheckOptions, here: Path) -> list[Path]:
    paths = [here / path for path in options.paths] or [here]
    for path in paths:
        if not path.exists():
            msg = f"{path} does not exist. Give a file or a directory."
            raise CommandError(msg)
    return paths


def _check_format(options: CheckOptions) -> None:
    if options.output_format not in FORMATS:
        msg = (
            f"--format is {options.output_format!r}. Give one of {', '.join(FORMATS)}."
        )
        raise CommandError(msg)
    if options.fix and options.diff:
        msg = "--fix rewrites and --diff only shows. Give one of them."
        raise CommandError(msg)
    if options.fix and not options.yes and not sys.stdin.isatty():
        msg = "--fix asks before it writes, and nobody can answer here. Add --yes."
        raise CommandError(msg)


def _fail_on(options: CheckOptions, config: CheckConfig | None) -> FailOn:
    said = options.fail_on or (config.fail_on if config else None) or "retired"
    if said not in get_args(FailOn):
        msg = f"--fail-on is {said!r}. Give one of {', '.join(get_args(FailOn))}."
        raise CommandError(msg)
    return cast("FailOn", said)


def _scan_options(
    options: CheckOptions, config: CheckConfig | None, here: Path
) -> ScanOptions:
    exclude, ignore = tuple(options.exclude), set(options.ignore)
    within, root = options.within, here
    if config is not None:
        exclude = (*config.exclude, *exclude)
        ignore |= set(config.ignore)
        within = config.within if within is None else within
        root = config.root or here
    if within is not None and within < 0:
        msg = f"--within is {within}. Give a number of days from 0."
        raise CommandError(msg)
    return ScanOptions(
        on=_day(options.on),
        within_days=DEFAULT_WITHIN_DAYS if within is None else within,
        weak=options.show_weak,
        exclude=exclude,
        exclude_root=root,
        ignore=frozenset(ignore),
        use_ignore_files=options.use_ignore_files,
    )


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"--on is {text!r}. Give a day as in 2026-11-21."
        raise CommandError(msg) from None


# -------------------------------------------------------------------------- rewrite


def _fix(report: Report, options: CheckOptions) -> tuple[bool, bool]:
    """Rewrite files; return whether something failed, and whether one was written."""
    changes = plan_changes(report)
    console = error_console()
    if not changes:
        say(console, "Nothing can be rewritten.")
        return False, False
    _print_diffs(changes, sys.stderr.write)
    count = sum(change.edits for change in changes)
    what = f"{_number(count, 'place')} in {_number(len(changes), 'file')}"
    if not options.yes and not typer.confirm(f"Rewrite {what}?", err=True):
        return False, False
    written = [change for change in changes if _write(change, console)]
    say(
        console,
        f"Rewrote {_number(sum(one.edits for one in written), 'place')} "
        f"in {_number(len(written), 'file')}.",
    )
    return len(written) < len(changes), bool(written)


def _write(change: Change, console: Console) -> bool:
    try:
        write_change(change)
    except OSError as error:
        say(console, f"Not rewritten: {change.shown}: {error.strerror or error}")
        return False
    return True


def _print_diffs(changes: Sequence[Change], write: Callable[[str], Any]) -> None:
    for change in changes:
        write(unified_diff(change))


# --------------------------------------------------------------------------- report


def _print_report(report: Report, output_format: str, console: Console) -> None:
    writers = {
        "json": as_json,
        "sarif": as_sarif,
        "github": as_github,
        "gitlab": as_gitlab,
    }
    if output_format in writers:
        sys.stdout.write(writers[output_format](report))
    elif console.is_terminal:
        _print_table(report, console)
    else:
        for finding in report.findings:
            say(console, _line(finding))
    _print_summary(report, error_console())


def _line(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}:{finding.column}"
    weak = " (weak)" if finding.confidence == "weak" else ""
    return f"{place}: {finding.severity} {finding.rule}: {finding.message}{weak}"


def _print_table(report: Report, console: Console) -> None:
    if not report.findings:
        return
    table = Table(show_edge=False, pad_edge=False)
    for title in ("place", "name", "state", "use", "--fix"):
        is_long = title in {"place", "use"}
        table.add_column(title, overflow="fold", no_wrap=not is_long)
    for finding in report.findings:
        advised = " (us)" if finding.named_by == "us" else ""
        table.add_row(
            Text(printable(f"{finding.path}:{finding.line}:{finding.column}")),
            Text(finding.name),
            Text(_state(finding), style=_STYLES[finding.severity]),
            Text(f"{finding.successor}{advised}" if finding.successor else "-"),
            Text("yes" if finding.edits else "no"),
        )
    console.print(table)
    _print_reasons(report, console)


def _state(finding: Finding) -> str:
    """Say in a few words how a model or a parameter stands."""
    if finding.rule == "unserved-model":
        return "not served"
    if finding.days_left is None:
        return "retired" if finding.rule == "retired-model" else "deprecated"
    if finding.severity == "warning":
        return f"ends {finding.ends_on} ({finding.days_left} days)"
    return f"ended {finding.ends_on}"


def _print_reasons(report: Report, console: Console) -> None:
    """Print why findings count that are not certain, and why some must stay."""
    for finding in report.findings:
        unsure = finding.confidence != "certain"
        parts = [
            f"{finding.confidence}: {finding.evidence}" if unsure else "",
            f"not rewritten: {finding.keep}" if finding.keep else "",
        ]
        told = "; ".join(part for part in parts if part)
        if told:
            say(console, f"{finding.path}:{finding.line}: {told}", "dim")


def _print_summary(report: Report, console: Console) -> None:
    for one in report.unreadable:
        rest = "; looked through as text" if one.looked_through else ""
        say(console, f"Could not be read: {one.path}: {one.reason}{rest}", "yellow")
    count, fixable = len(report.findings), sum(bool(f.edits) for f in report.findings)
    skipped = ", ".join(f"{number} {why}" for why, number in report.skipped.items())
    parts = [
        f"{_number(count, 'finding')} in {_number(report.files, 'file')}",
        f"{fixable} to rewrite with --fix" if fixable else "",
        f"skipped: {skipped}" if skipped else "",
    ]
    say(console, f"{'; '.join(part for part in parts if part)}.")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
