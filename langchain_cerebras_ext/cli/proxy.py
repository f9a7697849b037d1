"""`cerebras-ext proxy`: the proxy in the foreground."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from langchain_cerebras_ext.cli.failures import WRONG_USE, CommandError, guard

if TYPE_CHECKING:
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["HELP", "ProxyCommand", "proxy"]

HELP: Final = (
    "Serve Cerebras to any OpenAI client, with keys, limits, metrics and costs.\n\n"
    "Runs until Ctrl-C or SIGTERM, which lets streams finish; SIGHUP reads the file of "
    "keys again. Clients use http://HOST:PORT/v1 as their base URL; the description of "
    "the API is at /docs. Settings come from the environment, and from a TOML file "
    "beneath it; options go before both.\n\n"
    "Exit codes: 0 told to end, 1 failure, 2 wrong use or configuration."
)

_KEY_BYTES: Final = 32


class ProxyCommand(TyperCommand):
    """Tells of all variables at the end of its help; they are read for that only."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        self.epilog = _variables()
        super().format_help(ctx, formatter)


def proxy(
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="Address to listen at. Default: HOST or 127.0.0.1."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", help="0 takes a free one. Default: PORT or 8000."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes. Default: APE_WORKERS or 1."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", help="Serve /metrics there, and only there."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            help="Settings in TOML. Default: APE_CONFIG.",
        ),
    ] = None,
    allow_open: Annotated[
        bool,
        typer.Option("--allow-open", help="Let other machines in without any key."),
    ] = False,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Start anew when a file of Python changes here."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Look at the settings, and do not serve."),
    ] = False,
    new_key: Annotated[
        str | None,
        typer.Option(
            "--new-key",
            metavar="ID",
            help="Make a key for a client, and its line for APE_KEYS_FILE.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    # That variable is the proxy's own, which has another rule for it.
    others = {name: os.environ[name] for name in os.environ if name != "LOG_LEVEL"}
    with guard(debug=debug, environ=others):
        if new_key is not None:
            raise typer.Exit(_show_new_key(new_key))
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "workers": workers,
            "metrics_port": metrics_port,
            "allow_open": allow_open or None,
        }
        raise typer.Exit(_run(settings, options, reload=reload, check=check))


def _run(
    file: Path | None, options: dict[str, Any], *, reload: bool, check: bool
) -> int:
    """Serve, or show what would be served by.

    Raises:
        CerebrasConfigurationError: The address is taken, or a file is wrong.
        MissingExtraError: The proxy is not installed.
    """
    from langchain_cerebras_ext.errors import CerebrasConfigurationError
    from langchain_cerebras_ext.proxy.server import require_proxy_extra, serve
    from langchain_cerebras_ext.proxy.settings import Settings

    require_proxy_extra()
    try:
        settings = Settings.load(file=file, **options)
    except CerebrasConfigurationError as error:
        # Not in one line, as other errors are: each setting has a line of its own.
        typer.echo(f"Error: {error}", err=True)
        return WRONG_USE
    if check:
        _show(settings)
    else:
        serve(settings, reload=reload)
    return 0


def _show(settings: Settings) -> None:
    """Show what differs from the defaults, and check the files it names.

    Raises:
        CerebrasConfigurationError: A file is wrong.
    """
    from langchain_cerebras_ext.proxy.app import create_app
    from langchain_cerebras_ext.proxy.settings import VARIABLES

    asyncio.run(create_app(settings).aclose())
    typer.echo(f"The settings are right. Requests go to {settings.upstream.base_url}.")
    for one in VARIABLES:
        value = getattr(settings, one.field, None)
        default = None if one.default is None else one.rule.read(one.default)
        if (value or value == 0) and value != default:
            shown = "***" if one.is_secret else _text(value)
            typer.echo(f"{one.name}={shown}")
    for notice in settings.notices():
        typer.echo(f"Note: {notice}", err=True)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        return ",".join(f"{name}={target}" for name, target in value.items())
    if isinstance(value, (tuple, frozenset)):
        return ",".join(sorted(value))
    return str(value)


def _show_new_key(name: str) -> int:
    """Print a new key, and the line that stands for it.

    Raises:
        CommandError: The id is none.
    """
    from langchain_cerebras_ext.errors import CerebrasConfigurationError
    from langchain_cerebras_ext.proxy.keys import key_line, parse_keys

    key = f"ape-{secrets.token_urlsafe(_KEY_BYTES)}"
    line = key_line(name, key)
    try:
        parse_keys(line, "--new-key")
    except CerebrasConfigurationError:
        msg = (
            f"--new-key={name!r} is no id: give up to 64 letters, digits and . _ @ -, "
            "beginning with a letter or a digit."
        )
        raise CommandError(msg) from None
    typer.echo("The key, for the client. It is not shown again:")
    typer.echo(f"  {key}")
    typer.echo("Its line, for the file that APE_KEYS_FILE names:")
    typer.echo(f"  {line}")
    return 0


def _variables() -> str:
    """Return what the environment may say, one paragraph each."""
    from langchain_cerebras_ext.proxy.settings import VARIABLES

    first = (
        "Environment; with _FILE behind a name, a file that has the value; in the TOML "
        "file in lower case and without APE_:"
    )
    told = [first]
    for one in VARIABLES:
        unit = f" ({one.unit})" if one.unit else ""
        default = f" Default: {one.default}." if one.default is not None else ""
        told.append(f"{one.name}{unit}: {one.about.replace('`', '')}{default}")
    return "\n\n".join(told)
