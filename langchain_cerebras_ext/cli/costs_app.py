"""The commands of `cerebras-ext costs`: they read the command line and call."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from langchain_cerebras_ext.cli.failures import guard

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "What calls have cost, from a ledger: reports, budgets, export, a dashboard; "
        "and what a plan would cost. Needs no network and no key.\n\n"
        "The ledger is --ledger, else CEREBRAS_COSTS_LEDGER, else sqlite:///costs.db "
        "here. Calls get into it by `track_costs(ledger=...)`, "
        "`CostTracker(ledger=...)`, or a proxy with APE_LEDGER_URL."
    ),
    epilog=(
        "Beside a total: '≥' it lacks calls whose cost is not known, '~' some tokens "
        "were estimated, 'unknown' nothing of it is known. '$0' is free."
    ),
)

_WHEN = (
    "Times are in UTC: a span back from now (30m, 24h, 7d, 2w), a month, day or time "
    "(2026-11, 2026-11-01, 2026-11-01T12:30), today or yesterday."
)
_DIMENSIONS = (
    "model, provider, user, session, tag, node, arm, outcome, error_type, hour, day, "
    "month"
)
_TOTALS = (
    "cost_usd (a decimal string; null where nothing of it is known), certainty (exact, "
    "estimated, at_least or unknown), calls, retries, failed, aborted, cache_hits, "
    "unpriced_calls, calls_without_usage, estimated_calls, half_counted_calls (of "
    "them, those that the service counted in part), input_tokens, "
    "cached_input_tokens, output_tokens, reasoning_tokens and cache_savings_usd"
)
_CODES = "Exit codes: 0, 1 failure, 2 wrong use or no ledger."
_FILE = "Where to write; '-' is standard output, with --format."

REPORT_HELP = (
    "Report what calls cost, by model, user, day and the like, with what is uncertain "
    "of it.\n\n"
    f"{_WHEN}\n\n"
    f"--json prints one object: ledger, filter, by, total and groups. A total has "
    f"{_TOTALS}; a group has keys (an object; null is 'none') and the same. --csv "
    "prints the groups, a line each, in that order; an unknown cost is empty, and text "
    "that a spreadsheet would take for a formula has a ' before it.\n\n"
    f"{_CODES}"
)
TOP_HELP = (
    "List the dearest calls; with --by the dearest users, sessions and the like.\n\n"
    f"{_WHEN}\n\n"
    "--json prints one object: ledger, filter, total, and calls (all fields of the "
    f"record, and cost_usd) or groups as in `report`.\n\n{_CODES}"
)
BUDGET_HELP = (
    "Show what is left of the budgets that processes share, in a ledger or in Redis."
    "\n\n"
    "A budget that lives in one process alone is told by its own `status()`.\n\n"
    "--json prints one object: store, exceeded (how many are), and budgets, each with "
    "name, per, key, run, window, window_start, window_end, limit_usd, spent_usd, "
    "reserved_usd, remaining_usd, assumed_usd, calls, unpriced_calls, action and "
    "exceeded.\n\n"
    "Exit codes: 0; 1 failure or, with --check, that a budget is spent; 2 wrong use "
    "or no ledger."
)
EXPORT_HELP = (
    "Write the records of calls to a file: CSV, JSON lines or Parquet.\n\n"
    f"What was written can be read back by `costs import`. {_WHEN}\n\n{_CODES}"
)
IMPORT_HELP = (
    "Take records in from files that `costs export` wrote; those that are there "
    f"already are left out. The ledger is made if there is none.\n\n{_CODES}"
)
MERGE_HELP = (
    "Take in all that other ledgers hold; records that are there already are left "
    f"out. The ledger is made if there is none.\n\n{_CODES}"
)
PRUNE_HELP = (
    "Remove the records of old calls. Their totals by the hour stay, but not those of "
    "sessions, unless --no-keep-totals is given; the time is rounded down to the hour, "
    "or then to the day.\n\n"
    f"{_WHEN}\n\n"
    "Exit codes: 0; 1 failure, or nothing was removed because you said no; 2 wrong "
    "use or no ledger."
)
WATCH_HELP = (
    "Watch what is spent while it is: the sum, the rate of the last minutes, models, "
    "newest calls.\n\n"
    "Where output is no terminal, it is a line for each look. --json prints an object "
    "a line: at, filter, total, recent (minutes, usd_per_minute, and a total), groups "
    "and calls. Ctrl-C ends it.\n\n"
    f"{_WHEN}\n\n{_CODES}"
)
PROJECT_HELP = (
    "Say what a plan would cost, for several models and providers side by side.\n\n"
    "MODEL is a model's id, with its provider before it where that is not Cerebras: "
    "openai::gpt-5-mini. Prices of other providers need the extra `prices`, or a file "
    "of your own (TOML or JSON: a list `prices` with provider, model, input and output "
    "in USD per million tokens). A model whose price is not known is said to be so; "
    "neither it nor one that is no longer served is the cheapest.\n\n"
    "--json prints one object: cheapest, and projections, each with model, provider, "
    "on, calls, steps, input_tokens, cached_tokens, output_tokens, total_tokens, "
    "total, per_call, per_day, per_month, cost (by kind), price (rates, source, seen) "
    "and notes; money is decimal strings, null where not known.\n\n"
    "Exit codes: 0, 1 if no price is known at all, 2 wrong use."
)
DASHBOARD_HELP = (
    "Serve a page on what calls cost, until Ctrl-C.\n\n"
    "For this machine only by default; another --host needs a token, which is made "
    "and shown if you give none (CEREBRAS_COSTS_TOKEN or --token).\n\n"
    "Exit codes: 0, 1 failure, 2 wrong use or no ledger."
)

Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        "-l",
        metavar="URL",
        help=(
            "A file, sqlite:///costs.db or postgresql+psycopg://... Default: "
            "CEREBRAS_COSTS_LEDGER or sqlite:///costs.db."
        ),
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="From when on: 7d, 2026-11-01, ..."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="Before when, that time excluded."),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        "-b",
        metavar="DIMENSIONS",
        help=f"What to split by, as user,day: {_DIMENSIONS}.",
        show_default=False,
    ),
]


def _only(*names: str, what: str, none: str = "; '-' is none") -> Any:
    return typer.Option(
        *names,
        metavar="VALUE",
        help=f"Only {what}; may be repeated{none}.",
        show_default=False,
    )


Model = Annotated[
    list[str] | None, _only("--model", "-m", what="this model's calls", none="")
]
User = Annotated[list[str] | None, _only("--user", "-u", what="calls for this user")]
Tag = Annotated[list[str] | None, _only("--tag", "-t", what="calls with this tag")]
Session = Annotated[list[str] | None, _only("--session", what="this session's calls")]
Node = Annotated[list[str] | None, _only("--node", what="this LangGraph node's calls")]
Arm = Annotated[list[str] | None, _only("--arm", what="this arm of an experiment")]
Provider = Annotated[
    list[str] | None, _only("--provider", what="this provider", none="")
]
Outcome = Annotated[
    list[str] | None,
    _only("--outcome", what="calls that ended so, as ok or failed", none=""),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="csv, jsonl or parquet. Default: by FILE's ending, also with .gz.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


def _asked(since: str | None, until: str | None, **values: list[str] | None) -> Any:
    """Return which calls are asked for."""
    from langchain_cerebras_ext.cli.costs_filter import Asked

    given = {name: tuple(value) for name, value in values.items() if value}
    return Asked(since, until, given)


@app.command(help=REPORT_HELP)
def report(
    by: By = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    user: User = None,
    tag: Tag = None,
    session: Session = None,
    node: Node = None,
    arm: Arm = None,
    provider: Provider = None,
    outcome: Outcome = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            help="How many rows at most, the dearest; 0 is all. A table has 1,000.",
        ),
    ] = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    debug: Debug = False,
) -> None:
    """Report what calls cost."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs import ReportOptions, run_report

        options = ReportOptions(
            ledger=ledger,
            by=("model",) if by is None else by,
            asked=_asked(
                since,
                until,
                model=model,
                user=user,
                tag=tag,
                session=session,
                node=node,
                arm=arm,
                provider=provider,
                outcome=outcome,
            ),
            limit=limit,
            as_json=as_json,
            as_csv=as_csv,
        )
        raise typer.Exit(run_report(options))


@app.command(help=TOP_HELP)
def top(
    count: Annotated[int, typer.Argument(metavar="N", help="How many.")] = 10,
    by: By = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    user: User = None,
    tag: Tag = None,
    session: Session = None,
    node: Node = None,
    arm: Arm = None,
    provider: Provider = None,
    outcome: Outcome = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List what is dearest."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs import TopOptions, run_top

        options = TopOptions(
            ledger=ledger,
            count=count,
            by=by or (),
            asked=_asked(
                since,
                until,
                model=model,
                user=user,
                tag=tag,
                session=session,
                node=node,
                arm=arm,
                provider=provider,
                outcome=outcome,
            ),
            as_json=as_json,
        )
        raise typer.Exit(run_top(options))


@app.command(help=EXPORT_HELP)
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE)],
    format_: Format = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.")
    ] = False,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    user: User = None,
    tag: Tag = None,
    session: Session = None,
    node: Node = None,
    arm: Arm = None,
    provider: Provider = None,
    outcome: Outcome = None,
    ledger: Ledger = None,
    debug: Debug = False,
) -> None:
    """Write records to a file."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_move import ExportOptions, run_export

        options = ExportOptions(
            file=file,
            ledger=ledger,
            format=format_,
            asked=_asked(
                since,
                until,
                model=model,
                user=user,
                tag=tag,
                session=session,
                node=node,
                arm=arm,
                provider=provider,
                outcome=outcome,
            ),
            force=force,
        )
        raise typer.Exit(run_export(options))


@app.command("import", help=IMPORT_HELP)
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="What `export` wrote.")
    ],
    format_: Format = None,
    ledger: Ledger = None,
    debug: Debug = False,
) -> None:
    """Take records in."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_move import ImportOptions, run_import

        options = ImportOptions(files=files, ledger=ledger, format=format_)
        raise typer.Exit(run_import(options))


@app.command(help=MERGE_HELP)
def merge(
    others: Annotated[
        list[str], typer.Argument(metavar="URL...", help="Files or URLs of ledgers.")
    ],
    ledger: Ledger = None,
    debug: Debug = False,
) -> None:
    """Take other ledgers in."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_move import MergeOptions, run_merge

        raise typer.Exit(run_merge(MergeOptions(others=others, ledger=ledger)))


@app.command(help=PRUNE_HELP)
def prune(
    before: Annotated[
        str, typer.Option("--before", metavar="WHEN", help="Remove what is older.")
    ],
    keep_totals: Annotated[
        bool,
        typer.Option(
            "--keep-totals/--no-keep-totals", help="Whether reports still count them."
        ),
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    ledger: Ledger = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove old records."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_move import PruneOptions, run_prune

        options = PruneOptions(
            before=before,
            ledger=ledger,
            keep_totals=keep_totals,
            yes=yes,
            dry_run=dry_run,
            as_json=as_json,
        )
        raise typer.Exit(run_prune(options))


@app.command(help=WATCH_HELP)
def watch(
    since: Since = "today",
    model: Model = None,
    user: User = None,
    tag: Tag = None,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval", "-i", help="Seconds between looks. Default: 2; in a pipe 10."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    ledger: Ledger = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Watch what is spent."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_watch import WatchOptions, run_watch

        options = WatchOptions(
            ledger=ledger,
            asked=_asked(since, None, model=model, user=user, tag=tag),
            interval_s=interval,
            once=once,
            as_json=as_json,
        )
        raise typer.Exit(run_watch(options))


@app.command(help=BUDGET_HELP)
def budget(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if a budget is spent.")
    ] = False,
    at: Annotated[
        float,
        typer.Option("--at", metavar="PERCENT", help="What part of a limit is spent."),
    ] = 100.0,
    ledger: Ledger = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis", metavar="URL", help="Look there, not into a ledger: redis://..."
        ),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", help="Of the budgets in Redis.")
    ] = "cerebras",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what is left of budgets."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_budget import BudgetOptions, run_budget

        options = BudgetOptions(
            ledger=ledger,
            redis=redis,
            namespace=namespace,
            check=check,
            at=at,
            as_json=as_json,
        )
        raise typer.Exit(run_budget(options))


@app.command(help=PROJECT_HELP)
def project(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            "-m",
            metavar="MODEL,MODEL",
            help="Which ones. Default: all that Cerebras serves.",
            show_default=False,
        ),
    ] = None,
    calls: Annotated[
        int, typer.Option("--calls", "-c", help="Calls of the agent or chain.")
    ] = 1_000,
    steps: Annotated[
        int, typer.Option("--steps", "-s", help="Model calls in each of them.")
    ] = 5,
    tokens: Annotated[
        int, typer.Option("--tokens", "-t", help="Of a step, in and out together.")
    ] = 5_000,
    mix: Annotated[
        str, typer.Option("--mix", help="The part of them that is prompt, 0 to 1.")
    ] = "0.8",
    input_tokens: Annotated[
        int | None,
        typer.Option("--input-tokens", help="Of a step, with --output-tokens."),
    ] = None,
    output_tokens: Annotated[
        int | None,
        typer.Option("--output-tokens", help="Both instead of --tokens and --mix."),
    ] = None,
    cached: Annotated[
        str, typer.Option("--cached", help="The part of the prompt that is cached.")
    ] = "0",
    calls_per_day: Annotated[
        int | None, typer.Option("--calls-per-day", help="Says the cost of a month.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="DATE", help="At the prices of a day. Default: today, UTC."
        ),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Prices of yours.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what a plan would cost."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_project import ProjectOptions, run_project

        options = ProjectOptions(
            models=models or (),
            calls=calls,
            steps=steps,
            tokens=tokens,
            mix=mix,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached=cached,
            calls_per_day=calls_per_day,
            on=on,
            prices=prices,
            as_json=as_json,
        )
        raise typer.Exit(run_project(options))


@app.command(help=DASHBOARD_HELP)
def dashboard(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", help="0 takes a free one.")
    ] = 8350,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="CEREBRAS_COSTS_TOKEN",
            help="What a browser must know.",
            show_default=False,
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="Prices of yours.")
    ] = None,
    ledger: Ledger = None,
    debug: Debug = False,
) -> None:
    """Serve a page on what calls cost."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.costs_dashboard import (
            DashboardOptions,
            run_dashboard,
        )

        options = DashboardOptions(
            ledger=ledger,
            host=host,
            port=port,
            token=token,
            open_browser=open_browser,
            prices=prices,
        )
        raise typer.Exit(run_dashboard(options))
