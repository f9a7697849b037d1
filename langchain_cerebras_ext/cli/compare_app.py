"""The command `cerebras-ext compare`: it reads the command line and calls."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from langchain_cerebras_ext.cli.failures import guard

__all__ = ["HELP", "compare"]

HELP = (
    "Put the same prompts to several models: how fast, how dear, how right.\n\n"
    "A model is a name as cerebras::gpt-oss-120b or google::..., with its provider's "
    "key in the environment. Each prompt is put to all models one after another, in a "
    "shuffled order, so that the time of day favours none. A call that fails is "
    "counted and ends nothing. Ctrl-C ends it, and shows what is there.\n\n"
    'A line of FILE is {"prompt": "..."} or {"messages": [...]}, with "id" and '
    '"expected" where you like. Without it, a few prompts of ours are asked.\n\n'
    "--out names a folder, for results.jsonl (each call, as soon as it ends) and "
    "comparison.json, .csv and .md; or one file of those kinds. --resume goes on with "
    "a folder or a .jsonl file: what is there is not asked again, but for what failed "
    "for want of a key, credit or budget.\n\n"
    "Latency and time to first token are of the try that answered; what earlier tries "
    "and waits took is in total_s. Other packages' own retries cannot be told apart: "
    "--no-retries turns retries off for all.\n\n"
    "Exit codes: 0; 1 if a model never answered, or the budget was spent; 2 wrong use "
    "or configuration; 130 Ctrl-C."
)


def compare(
    models: Annotated[
        list[str],
        typer.Option(
            "--models",
            "-m",
            metavar="NAME,NAME",
            help="Which ones.",
            show_default=False,
        ),
    ],
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", "-p", metavar="FILE", help="JSON lines: prompts."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", "-n", help="How often each prompt is asked.")
    ] = 1,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", "-c", help="Calls at once, of all models."),
    ] = 4,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="HOW",
            help="How answers are compared with `expected`: exact, json:FIELD or "
            "pattern. Default: exact.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR|FILE", help="Where to write."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", help="Print json, csv or md, not a table."),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option("--chart", metavar="PNG", help="Draw one: a .png, .svg or .pdf."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what is in --out.")
    ] = False,
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="USD", help="What may be spent."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="Of each answer, reasoning included."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="0 to 2.")
    ] = None,
    retries: Annotated[
        bool,
        typer.Option("--retries/--no-retries", help="Whether failed calls are resent."),
    ] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds for a call.")
    ] = None,
    warmup: Annotated[
        int,
        typer.Option("--warmup", help="Calls to each model that are not measured."),
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Decides the order.")] = 0,
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            "-l",
            metavar="URL",
            help="Record the calls there. Default: CEREBRAS_COSTS_LEDGER, if set; but "
            "not a simulator's.",
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Ask a simulator, started for this; no key."),
    ] = False,
    speed: Annotated[
        str, typer.Option("--speed", help="Of a simulator: real, instant or a factor.")
    ] = "real",
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Compare models."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.compare import CompareOptions, run_compare

        options = CompareOptions(
            models=models,
            prompts=prompts,
            repeat=repeat,
            concurrency=concurrency,
            expect=expect,
            out=out,
            form=form,
            chart=chart,
            resume=resume,
            max_cost=max_cost,
            max_tokens=max_tokens,
            temperature=temperature,
            retries=retries,
            timeout_s=timeout,
            warmup=warmup,
            seed=seed,
            ledger=ledger,
            simulate=simulate,
            speed=speed,
        )
        raise typer.Exit(run_compare(options))
