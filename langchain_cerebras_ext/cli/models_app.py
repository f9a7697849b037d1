"""The commands of `cerebras-ext models`: they read the command line and call."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from langchain_cerebras_ext.cli.failures import guard

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "What is served, what it can do, what it costs, and when it ends. Needs no "
        "network and no key, but for `refresh`."
    ),
)

LIST_HELP = (
    "List the models that are served, with prices, speed and context.\n\n"
    "Prices are USD per million tokens; '-' is not known. A pipe gets every column, "
    "and a line for each model. Exit codes: 0, or 2 for wrong use."
)
SHOW_HELP = (
    "Show everything that is known of a model: its life, prices, limits and abilities, "
    "with sources.\n\n"
    "ID may be another name of the model, as an alias is. Exit codes: 0, or 2 for "
    "wrong use and for ids that nobody knows."
)
COMPARE_HELP = (
    "Compare models side by side, and say what changes for whoever goes from the first "
    "to another.\n\n"
    "Exit codes: 0, or 2 for wrong use and for ids that nobody knows."
)
CHEAPEST_HELP = (
    "Say which served model is the cheapest for a workload, and what the others cost."
    "\n\nExit codes: 0, 1 if no model will do, 2 for wrong use."
)
RECOMMEND_HELP = (
    "Recommend served models for a task, the best first, with reasons.\n\n"
    "TASK is agents, bulk, chat, code, extraction, long-context, multilingual, "
    "reasoning or vision. Exit codes: 0, 1 if no model will do, 2 for wrong use."
)
REFRESH_HELP = (
    "Read the live list of models, show how it differs from the packaged data, and "
    "keep it for later runs.\n\n"
    "One GET of /public/v1/models, and with a key one of /v1/models. Where anything "
    "fails, nothing changes. --dry-run, --rows and --apply keep nothing; the last two "
    "are for maintainers of this package: one commit of data, with source and date.\n\n"
    "Exit codes: 0 done, whether or not something differs; 1 failure; 2 wrong use or "
    "configuration; 3 something differs, with --exit-code."
)
CHECK_HELP = (
    "Find model ids that are gone or about to end, and deprecated parameters, in a "
    "code base.\n\n"
    "Reads Python, notebooks, YAML, TOML, JSON, env files, shell, JS/TS and Markdown. "
    "Exit codes: 0 nothing found at the level of --fail-on, 1 something found, 2 wrong "
    "use or configuration."
)

On = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="DATE", help="As known on a day. Default: today, UTC."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]
Requires = Annotated[
    list[str] | None,
    typer.Option(
        "--requires",
        "-r",
        metavar="CAPABILITY",
        help="What the model must be able to do, as tools; may be repeated.",
    ),
]
MinContext = Annotated[
    int | None,
    typer.Option("--min-context", help="The context that is needed, in tokens."),
]


@app.command("list", help=LIST_HELP)
def list_(
    show_all: Annotated[
        bool, typer.Option("--all", "-a", help="Also those that are not served.")
    ] = False,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help=(
                "Only upcoming, active, deprecated, unlisted, retired, dedicated-only "
                "or never-served ones."
            ),
        ),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(
            "--capability",
            "-c",
            help="Only those known to have it, as tools or vision; may be repeated.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option("--sort", help="By status, id, price, speed, context or end."),
    ] = "status",
    on: On = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List models."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models import ListOptions, run_list

        options = ListOptions(
            show_all=show_all,
            status=status,
            capabilities=capability or (),
            sort=sort,
            on=on,
            as_json=as_json,
        )
        raise typer.Exit(run_list(options))


@app.command(help=SHOW_HELP)
def show(
    model: Annotated[str, typer.Argument(metavar="ID", help="The model.")],
    on: On = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a model."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models_show import ShowOptions, run_show

        raise typer.Exit(run_show(ShowOptions(model=model, on=on, as_json=as_json)))


@app.command(help=COMPARE_HELP)
def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="A B", help="Two models or more.")
    ],
    on: On = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare models."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models import CompareOptions, run_compare

        options = CompareOptions(models=models, on=on, as_json=as_json)
        raise typer.Exit(run_compare(options))


@app.command(help=CHEAPEST_HELP)
def cheapest(
    input_tokens: Annotated[
        int, typer.Option("--input-tokens", "-i", help="Of all prompts.")
    ] = 500_000,
    output_tokens: Annotated[
        int,
        typer.Option(
            "--output-tokens", "-o", help="Of all answers, reasoning included."
        ),
    ] = 500_000,
    requires: Requires = None,
    min_context: MinContext = None,
    on: On = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which model is the cheapest."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models import CheapestOptions, run_cheapest

        options = CheapestOptions(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            requires=requires or (),
            min_context=min_context,
            on=on,
            as_json=as_json,
        )
        raise typer.Exit(run_cheapest(options))


@app.command(help=RECOMMEND_HELP)
def recommend(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What it is for.")],
    requires: Requires = None,
    min_context: MinContext = None,
    input_share: Annotated[
        float,
        typer.Option(
            "--input-share", help="The prompts' part of all tokens, for the price."
        ),
    ] = 0.5,
    on: On = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Recommend models."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models import RecommendOptions, run_recommend

        options = RecommendOptions(
            task=task,
            requires=requires or (),
            min_context=min_context,
            input_share=input_share,
            on=on,
            as_json=as_json,
        )
        raise typer.Exit(run_recommend(options))


@app.command(help=REFRESH_HELP)
def refresh(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what differs; keep nothing.")
    ] = False,
    packaged: Annotated[
        bool,
        typer.Option("--packaged", help="Go back to the packaged data; asks nobody."),
    ] = False,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="Print what differs as rows of models.json."),
    ] = False,
    apply: Annotated[
        Path | None,
        typer.Option("--apply", help="Write these rows into a models.json."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="KEY",
            help="The source that rows name. Default: public-models- and the day.",
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 where something differs.")
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", help="Another server. Default: CEREBRAS_BASE_URL."),
    ] = None,
    public_only: Annotated[
        bool,
        typer.Option("--public-only", help="Leave out CEREBRAS_API_KEY and its list."),
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds for each list.")
    ] = 30.0,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="DATE", help="The day of the list. Default: today, UTC."
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read the live list."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.models_refresh import (
            RefreshOptions,
            run_refresh,
        )

        options = RefreshOptions(
            base_url=base_url,
            public_only=public_only,
            timeout=timeout,
            on=on,
            dry_run=dry_run,
            packaged=packaged,
            rows=rows,
            apply=apply,
            source=source,
            exit_code=exit_code,
            as_json=as_json,
        )
        raise typer.Exit(run_refresh(options))


@app.command(help=CHECK_HELP)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Files and directories. Default: the working directory.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="DATE", help="Check for a day. Default: today."),
    ] = None,
    within: Annotated[
        int | None,
        typer.Option("--within", help="How many days ahead an end counts."),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            help="What exits with 1: retired (default), ending, any or never.",
        ),
    ] = None,
    output_format: Annotated[
        str,
        typer.Option("--format", help="text, json, sarif, github or gitlab."),
    ] = "text",
    show_weak: Annotated[
        bool,
        typer.Option("--all", help="Show also what may be something else."),
    ] = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Rewrite what can be, after showing it and asking."),
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Only show what --fix would do.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Rewrite without asking.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="Leave out, as in a .gitignore; may be repeated.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            metavar="NAME",
            help="A model or parameter to leave alone; may be repeated.",
        ),
    ] = None,
    use_ignore_files: Annotated[
        bool,
        typer.Option("--gitignore/--no-gitignore", help="Whether .gitignore counts."),
    ] = True,
    use_config: Annotated[
        bool,
        typer.Option("--config/--no-config", help="Whether pyproject.toml counts."),
    ] = True,
    debug: Debug = False,
) -> None:
    """Check a code base."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.check import CheckOptions, run_check

        options = CheckOptions(
            paths=paths or (),
            on=on,
            within=within,
            fail_on=fail_on,
            output_format=output_format,
            show_weak=show_weak,
            fix=fix,
            diff=diff,
            yes=yes,
            exclude=exclude or (),
            ignore=ignore or (),
            use_ignore_files=use_ignore_files,
            use_config=use_config,
        )
        raise typer.Exit(run_check(options))
