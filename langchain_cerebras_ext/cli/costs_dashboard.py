"""`cerebras-ext costs dashboard`: the page over a ledger, in the foreground."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import typer

from langchain_cerebras_ext.cli.costs import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DashboardOptions", "run_dashboard"]

_TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What the command line said."""

    ledger: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 8350
    token: str | None = field(default=None, repr=False)
    open_browser: bool = False
    prices: Path | None = None


def run_dashboard(options: DashboardOptions) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit code.

    Raises:
        CommandError: There is no ledger.
        CerebrasConfigurationError: The address is taken, or the token too short.
        MissingExtraError: The dashboard is not installed.
        LedgerError: The ledger cannot be opened.
    """
    from langchain_cerebras_ext.dashboard import serve
    from langchain_cerebras_ext.dashboard.guard import is_loopback

    token = options.token
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        typer.echo(f"Token of this run: {token}", err=True)
    prices = None
    if options.prices is not None:
        from langchain_cerebras_ext.costs.prices import PriceBook

        prices = PriceBook.load(options.prices)
    # Ctrl-C is how a server ends: it is no failure, whenever it comes.
    with open_ledger(options.ledger) as ledger, contextlib.suppress(KeyboardInterrupt):
        if why := ledger.status().error:
            told = f"! {ledger.url} cannot be read now, the page waits for it: {why}"
            typer.echo(told, err=True)
        serve(
            ledger,
            host=options.host,
            port=options.port,
            token=token,
            prices=prices,
            open_browser=options.open_browser,
            echo=typer.echo,
        )
    return 0
