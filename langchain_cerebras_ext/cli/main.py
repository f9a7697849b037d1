"""The commands: they read the command line, call what does the work, and end."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.cli import (
    compare_app,
    config,
    costs_app,
    models_app,
    proxy,
)
from langchain_cerebras_ext.cli.failures import guard

__all__ = ["app", "run"]

app = typer.Typer(
    name="cerebras-ext",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=(
        "Cerebras Inference from the command line. Exit codes: 0 all went well, 1 "
        "failure, 2 wrong use or configuration, 130 Ctrl-C."
    ),
    epilog=(
        "CEREBRAS_LOG=debug (or info, warning, error, critical, off), else LOG_LEVEL, "
        "logs requests to standard error: sizes, times, ids and statuses, never a key; "
        "CEREBRAS_LOG_FORMAT=json as JSON lines. Prompts and answers are logged only "
        "if named: CEREBRAS_LOG_CONTENT=prompt,answer."
    ),
)

app.add_typer(models_app.app, name="models")
app.add_typer(costs_app.app, name="costs")
app.command("config", help=config.HELP)(config.config)
app.command("compare", help=compare_app.HELP)(compare_app.compare)
app.command("proxy", cls=proxy.ProxyCommand, help=proxy.HELP)(proxy.proxy)

CHAT_HELP = (
    "Answer a prompt; without one, talk.\n\n"
    "The prompt is the argument, the files, and what is piped in. The answer goes to "
    "standard output, figures go to standard error. Ctrl-C ends an answer early; what "
    "came stays."
)
DEMO_HELP = (
    "Watch a LangChain agent work on a text file: streams, tools, citations, figures."
    "\n\nTalks to Cerebras if CEREBRAS_API_KEY is set, else to a simulator that it "
    "starts."
)
HEALTH_HELP = (
    "Say whether the service answers, accepts the key, and serves the model.\n\n"
    "Looks at the connection, its latency, the key, the model, its retirement and what "
    "is left of the rate limits. Spends no tokens unless --deep is given. Each request "
    "is sent once.\n\n"
    "Exit codes: 0 healthy, with or without warnings; 1 unhealthy; 2 wrong use or "
    "configuration; 3 warnings, with --strict; 130 Ctrl-C."
)

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="Model id. Default: CEREBRAS_MODEL or gpt-oss-120b."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", help="Another server. Default: CEREBRAS_BASE_URL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Speed = Annotated[
    str,
    typer.Option("--speed", help="Of a simulator: real, instant or a factor."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"cerebras-ext {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Options before a command."""


@app.command(help=DEMO_HELP)
def demo(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="Any UTF-8 text. Default: a document of ours."
        ),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            "--question", "-q", help="What to ask. Default: made from the file."
        ),
    ] = None,
    model: Model = None,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    speed: Speed = "real",
    debug: Debug = False,
) -> None:
    """Run the demo."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.extras import require_extra

        require_extra("demo")
        from langchain_cerebras_ext.cli.demo import DemoOptions, run_demo

        code = run_demo(
            DemoOptions(
                file=file,
                question=question,
                model=model,
                as_json=as_json,
                base_url=base_url,
                speed=speed,
            )
        )
        raise typer.Exit(code)


@app.command(help=CHAT_HELP)
def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            help="The prompt; `-` stands for standard input.", show_default=False
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="A text file to append; may be repeated."),
    ] = None,
    model: Model = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", help="System prompt.")
    ] = None,
    reasoning_effort: Annotated[
        str | None,
        typer.Option("--reasoning-effort", help="none, low, medium or high."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="Of the answer, reasoning included."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="0 to 2.")
    ] = None,
    as_json: AsJson = False,
    stream: Annotated[
        bool, typer.Option("--stream/--no-stream", help="Show the answer as it comes.")
    ] = True,
    base_url: BaseUrl = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Talk to a simulator, started for this.")
    ] = False,
    speed: Speed = "real",
    show_reasoning: Annotated[
        bool | None,
        typer.Option(
            "--show-reasoning/--no-show-reasoning",
            help="Default: at a terminal. Where output is a pipe: on standard error.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Answer a prompt, or talk."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.chat import ChatOptions, run_chat

        params = {
            "reasoning_effort": reasoning_effort,
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        code = run_chat(
            ChatOptions(
                prompt=prompt or [],
                files=file or [],
                model=model,
                system=system,
                params={
                    name: value for name, value in params.items() if value is not None
                },
                as_json=as_json,
                stream=stream,
                show_reasoning=show_reasoning,
                base_url=base_url,
                simulate=simulate,
                speed=speed,
            )
        )
        raise typer.Exit(code)


@app.command(help=HEALTH_HELP)
def health(
    model: Model = None,
    base_url: BaseUrl = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Ask the model too: spends about 100 tokens of the account."
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds for all of it.")
    ] = 10.0,
    as_json: AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 where there are warnings.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Look at a simulator, started for this.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Say whether all is well."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.health import HealthOptions, run_health

        code = run_health(
            HealthOptions(
                model=model,
                base_url=base_url,
                deep=deep,
                timeout=timeout,
                as_json=as_json,
                strict=strict,
                simulate=simulate,
            )
        )
        raise typer.Exit(code)


@app.command()
def simulate(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="0 takes a free one.")] = 0,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The only key that is accepted. Default: any."),
    ] = None,
    speed: Speed = "real",
    seed: Annotated[
        int, typer.Option("--seed", help="Decides what is left to chance.")
    ] = 0,
    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario", help="Scripted replies and faults: a JSON or TOML file."
        ),
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="Enforce its limits: free_trial or developer."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines connect.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Serve a local Cerebras API until Ctrl-C."""
    with guard(debug=debug):
        from langchain_cerebras_ext.cli.simulate import SimulateOptions, run_simulate

        run_simulate(
            SimulateOptions(
                host=host,
                port=port,
                key=key,
                speed=speed,
                seed=seed,
                scenario=scenario,
                tier=tier,
                allow_remote=allow_remote,
            )
        )


def run(args: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    from langchain_cerebras_ext.cli.failures import prepare_streams

    prepare_streams()
    try:
        app(args, prog_name="cerebras-ext")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
