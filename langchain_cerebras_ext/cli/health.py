"""`cerebras-ext health`: whether the service, the key and the model are well."""

from __future__ import annotations

import json
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.cli.endpoint import is_reachable, open_endpoint
from langchain_cerebras_ext.cli.failures import FAILED, NO_KEY, CommandError
from langchain_cerebras_ext.cli.screen import (
    StatusLine,
    error_console,
    output_console,
    say,
)
from langchain_cerebras_ext.health import DEFAULT_TIMEOUT_S, health_check

if TYPE_CHECKING:
    from rich.console import Console

    from langchain_cerebras_ext.health import HealthReport

HEALTHY: Final = 0
HAS_WARNINGS: Final = 3

_STYLES: Final = {"ok": "", "warning": "yellow", "failed": "red", "skipped": "dim"}
_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True)
class HealthOptions:
    """What the command line said."""

    model: str | None = None
    base_url: str | None = None
    deep: bool = False
    timeout: float = DEFAULT_TIMEOUT_S
    as_json: bool = False
    strict: bool = False
    simulate: bool = False


def run_health(options: HealthOptions) -> int:
    """Look, print what was found, and return the exit code.

    Raises:
        CommandError: There is no key.
        CerebrasConfigurationError: An option or the environment is wrong.
    """
    if not options.simulate and not is_reachable(options.base_url):
        raise CommandError(NO_KEY)
    report = _look(options)
    if options.as_json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))  # noqa: T201
    else:
        show(output_console(), report)
    return code_of(report, strict=options.strict)


def _look(options: HealthOptions) -> HealthReport:
    with (
        open_endpoint(options.base_url, simulate=options.simulate) as endpoint,
        StatusLine(error_console()) as line,
    ):
        line.status(f"Asking {endpoint.base_url} ...")
        with warnings.catch_warnings():
            # The report says what a model's constructor warns of.
            warnings.simplefilter("ignore")
            model = endpoint.model(options.model)
        with model:
            return health_check(model, deep=options.deep, timeout=options.timeout)


def code_of(report: HealthReport, *, strict: bool) -> int:
    """Return the exit code for a report."""
    if not report.ok:
        return FAILED
    return HAS_WARNINGS if strict and report.warnings else HEALTHY


def show(console: Console, report: HealthReport) -> None:
    """Print a report: at a terminal in colours, and wrapped under each check."""
    head, *_ = str(report).splitlines()
    if not console.is_terminal:
        say(console, str(report))
        return
    say(console, head, "bold")
    for check in report.checks:
        for line in _wrapped(
            f"  {check.status:<8} {check.name:<12} ", check.message, console
        ):
            say(console, line, _STYLES[check.status])
        if check.cure:
            for line in _wrapped(" " * 24 + "-> ", check.cure, console):
                say(console, line, _STYLES[check.status])


def _wrapped(start: str, text: str, console: Console) -> list[str]:
    """Return a text as lines that hang behind their beginning."""
    width = max(console.width, len(start) + _NARROWEST)
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
