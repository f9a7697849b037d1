"""`cerebras-ext models refresh`: the live list, against the packaged data."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.catalog import check_source, refresh, use_packaged
from langchain_cerebras_ext.catalog._cache import cache_file, root_url
from langchain_cerebras_ext.catalog._checks import table_problems
from langchain_cerebras_ext.catalog._place import ENV_CACHE, kept_files
from langchain_cerebras_ext.catalog._rows import format_table
from langchain_cerebras_ext.catalog._table import packaged_table, read_table
from langchain_cerebras_ext.cli.failures import CommandError
from langchain_cerebras_ext.cli.models import print_json, read_day, shown
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
from langchain_cerebras_ext.errors import AuthenticationError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from langchain_cerebras_ext.catalog import CatalogDiff

DIFFERS: Final = 3
"""The exit code of `--exit-code` where the live list differs."""

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """What the command line said.

    Attributes:
        base_url: The service; that of the environment if not given.
        public_only: Leave the key out, and so the account's own list.
        timeout: Seconds for each of the two lists.
        on: The day of the list, as text; today if not given.
        dry_run: Keep nothing.
        packaged: Go back to the packaged data, and ask nobody.
        rows: Print the rows of `models.json` that follow.
        apply: Write them into this file.
        source: The key of the source that they name.
        exit_code: Whether differences end with `DIFFERS`.
        as_json: Whether to print JSON.
    """

    base_url: str | None = None
    public_only: bool = False
    timeout: float = _TIMEOUT_S
    on: str | None = None
    dry_run: bool = False
    packaged: bool = False
    rows: bool = False
    apply: Path | None = None
    source: str | None = None
    exit_code: bool = False
    as_json: bool = False


def run_refresh(options: RefreshOptions) -> int:
    """Ask the service, show what differs, keep it; return the exit code.

    Raises:
        CommandError: Options contradict each other, or a file cannot be used.
        CerebrasError: As in `catalog.refresh`; nothing has changed then.
    """
    _check(options)
    if options.packaged:
        return _go_back(options)
    if options.rows or options.apply is not None or options.dry_run:
        return _look(options)
    diff = _ask(options, keep=True)
    path = cache_file(diff.url)
    if options.as_json:
        _print_diff_as_json(diff, kept=str(path) if path else None)
    else:
        _print_diff(diff)
        _print_kept(error_console(), diff, path)
    return _code(diff, options)


def _check(options: RefreshOptions) -> None:
    """Refuse options that contradict each other.

    Raises:
        CommandError: Some do.
    """
    asks = {
        "--dry-run": options.dry_run,
        "--rows": options.rows,
        "--apply": options.apply is not None,
        "--source": options.source is not None,
        "--base-url": options.base_url is not None,
        "--exit-code": options.exit_code,
        "--public-only": options.public_only,
        "--on": options.on is not None,
    }
    given = [name for name, is_given in asks.items() if is_given]
    if options.packaged and given:
        msg = f"--packaged asks nobody; leave out {', '.join(given)}."
        raise CommandError(msg)
    if options.rows and options.apply is not None:
        msg = "--rows prints and --apply writes. Give one of them."
        raise CommandError(msg)
    if options.rows and options.as_json:
        msg = "--rows prints JSON of its own; leave out --json."
        raise CommandError(msg)
    if options.source is not None and not (options.rows or options.apply):
        msg = "--source names the source of rows; give --rows or --apply too."
        raise CommandError(msg)
    if options.source is not None:
        _check_source_key(options.source)


def _check_source_key(key: str) -> None:
    """Refuse a key that would be none, or that stands for another source already.

    Raises:
        CommandError: It is such a key.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", key):
        msg = f"--source is {key!r}. Give small letters, digits, '-' and '.'."
        raise CommandError(msg)
    if key in packaged_table().sources:
        msg = f"--source is {key!r}, which stands for a source already. Give another."
        raise CommandError(msg)


def _ask(options: RefreshOptions, *, keep: bool) -> CatalogDiff:
    given: dict[str, Any] = {
        "base_url": options.base_url,
        "api_key": "" if options.public_only else None,
        "timeout": options.timeout,
        "on": read_day(options.on),
    }
    console = error_console()
    try:
        with StatusLine(console) as line:
            line.status("Asking for the live list ...")
            return refresh(**given) if keep else check_source(**given)
    except (AuthenticationError, PermissionDeniedError):
        say(console, "To ask for the public list alone, without the key: --public-only")
        raise


def _code(diff: CatalogDiff, options: RefreshOptions) -> int:
    return DIFFERS if diff and options.exit_code else 0


def _go_back(options: RefreshOptions) -> int:
    """Forget the lists that were kept."""
    before = kept_files()
    use_packaged()
    checked_on = packaged_table().checked_on
    if options.as_json:
        print_json({"forgotten": list(map(str, before)), "checked_on": checked_on})
        return 0
    console = output_console()
    for path in before:
        say(console, f"Deleted {path}")
    say(console, f"In use: the packaged data of {checked_on}.")
    return 0


# ------------------------------------------------------------------- for the maintainer


def _look(options: RefreshOptions) -> int:
    """Compare and keep nothing: show what differs, or make rows of it."""
    target = _read_target(options.apply) if options.apply is not None else None
    diff = _ask(options, keep=False)
    if options.rows:
        print(_rows_text(diff, options.source), end="")  # noqa: T201
        return _code(diff, options)
    written: list[str] = []
    if target is not None and diff:
        written = _write_rows(target, diff, options.source)
    if options.as_json:
        more = {} if target is None else {"applied": str(target.path), "rows": written}
        _print_diff_as_json(diff, kept=None, **more)
        return _code(diff, options)
    _print_diff(diff)
    console = error_console()
    if target is None:
        say(console, "Nothing was kept.", "dim")
    elif written:
        say(console, f"Wrote {_number(len(written), 'row')} to {target.path}.")
    else:
        say(console, f"{target.path} is left as it is.")
    return _code(diff, options)


def _rows_text(diff: CatalogDiff, source: str | None) -> str:
    """Return rows and their source in the form of `models.json`."""
    rows = diff.to_rows(source=source)
    key = source or f"public-models-{diff.on}"
    return format_table(
        {
            "checked_on": diff.on.isoformat(),
            "sources": {key: diff.source_row()} if rows else {},
            "models": rows,
        }
    )


@dataclass(frozen=True, slots=True)
class _Target:
    """A `models.json` to write rows into."""

    path: Path
    text: str


def _read_target(path: Path) -> _Target:
    """Read the data file, and see to it that it is the one that is compared with.

    Raises:
        CommandError: It cannot be read, or it is another one: rows would undo what
            it knows.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = read_table(text.encode())
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise CommandError(msg) from error
    except ValueError as error:
        msg = f"{path} is no models.json of this package: {error}."
        raise CommandError(msg) from error
    ours = packaged_table()
    if (table.cards, table.sources) != (ours.cards, ours.sources):
        msg = (
            f"{path} (of {table.checked_on}) has other rows than this package's own "
            f"data (of {ours.checked_on}), which the live list is compared with. "
            "Install the checkout that it belongs to: pip install -e ."
        )
        raise CommandError(msg)
    return _Target(path, text)


def _write_rows(target: _Target, diff: CatalogDiff, source: str | None) -> list[str]:
    """Write the rows into the file, whole or not at all; return the models' ids.

    Raises:
        CommandError: The day is before that of the file, the rows break a rule of the
            data, or it cannot be written.
    """
    checked_on = packaged_table().checked_on
    if diff.on < checked_on:
        msg = f"A list of {diff.on} is older than {target.path}, of {checked_on}."
        raise CommandError(msg)
    text = diff.apply_to(target.text, source=source)
    # Never leave a file that the package itself could not use.
    problems = table_problems(read_table(text.encode()))
    if problems:
        msg = f"{target.path} is left as it is; it would be wrong: {problems[0]}."
        raise CommandError(msg)
    try:
        _replace(target.path, text)
    except OSError as error:
        msg = f"{target.path} cannot be written: {error.strerror or error}."
        raise CommandError(msg) from error
    return [row["id"] for row in diff.to_rows(source=source)]


def _replace(path: Path, text: str) -> None:
    path = path.resolve()  # a link stays one
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix="~")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(path.stat().st_mode)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


# ---------------------------------------------------------------------------- printing


def _print_diff_as_json(diff: CatalogDiff, **more: Any) -> None:
    print_json({**diff.to_dict(), "differs": bool(diff), **more})


def _print_diff(diff: CatalogDiff) -> None:
    """Print what differs; standard error says from what."""
    console, errors = output_console(), error_console()
    say(
        errors,
        f"The live list of {diff.on} from {diff.url}, against the packaged data of "
        f"{diff.checked_on}:",
        "dim",
    )
    if diff:
        print_sheet(console, _diff_sheet(diff))
    else:
        say(console, f"Nothing differs; {', '.join(diff.listed)} are served.")
    if diff.account_only:
        labelled(console, "For your key alone: ", ", ".join(diff.account_only))
    if diff.account_missing:
        labelled(console, "Not for your key: ", ", ".join(diff.account_missing))


_KIND_STYLES: Final = {"new": "green", "back": "green", "gone": "red"}


def _diff_sheet(diff: CatalogDiff) -> Sheet:
    return Sheet(
        [
            Column("what"),
            Column("model"),
            Column("fact", wraps=True),
            Column("packaged", is_figure=True, wraps=True),
            Column("live", is_figure=True, wraps=True),
        ],
        [(cells, _KIND_STYLES.get(cells[0], "")) for cells in _diff_rows(diff)],
    )


def _diff_rows(diff: CatalogDiff) -> Iterator[tuple[str, ...]]:
    for card in diff.new:
        yield "new", card.id, "listed", "no", "yes"
        price = card.price(diff.on)
        facts = {
            "input": price and price.input,
            "output": price and price.output,
            "context_tokens": card.context_tokens_paid,
            "max_output_tokens": card.max_output_tokens_paid,
        }
        for name, value in facts.items():
            if value is not None:
                yield "new", card.id, name, "-", shown(value) or "-"
    for model in diff.gone:
        yield "gone", model, "listed", "yes", "no"
    for model in diff.back:
        yield "back", model, "listed", "no", "yes"
    for change in diff.changes:
        before, after = shown(change.before), shown(change.after)
        yield change.kind, change.model, change.field, before or "-", after or "-"


def _print_kept(console: Console, diff: CatalogDiff, path: Path | None) -> None:
    """Say where the list is, and when it is used."""
    if path is None:
        say(
            console,
            f"Not kept: this machine has no place for it. Set {ENV_CACHE}.",
            "yellow",
        )
        return
    say(
        console, f"Kept in {path}, until: cerebras-ext models refresh --packaged", "dim"
    )
    from langchain_cerebras_ext import _config

    if diff.url != root_url(_config.base_url_from_env()):
        say(
            console,
            f"It is used where CEREBRAS_BASE_URL is {diff.url}, as it is not here.",
            "yellow",
        )


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
