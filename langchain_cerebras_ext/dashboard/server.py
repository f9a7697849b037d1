"""`serve`: the dashboard in the foreground, by uvicorn."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from langchain_cerebras_ext.dashboard.app import create_app
from langchain_cerebras_ext.dashboard.extras import require_dashboard_extra
from langchain_cerebras_ext.dashboard.guard import is_loopback
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.prices import PriceBook

__all__ = ["serve"]

_PORTS = range(65_536)
_START_S = 10.0


def serve(
    ledger: Ledger,
    *,
    host: str = "127.0.0.1",
    port: int = 8350,
    token: str | None = None,
    prices: PriceBook | None = None,
    open_browser: bool = False,
    echo: Callable[[str], object] = print,
) -> None:
    """Serve the dashboard of a ledger until Ctrl-C or SIGTERM.

    Args:
        ledger: Where the records are.
        host: Anything but a loopback address needs a token.
        port: 0 takes a free one.
        token: What browsers and programs must show; it is not printed.
        prices: For "what if"; the catalog's and the library's if not given.
        open_browser: Open the page in a browser once it is served.
        echo: Prints a line.

    Raises:
        CerebrasConfigurationError: The host needs a token, the token is too short,
            the port is none or taken.
        MissingExtraError: The extra `dashboard` is not installed.
    """
    require_dashboard_extra()
    check_place(host, port, token)
    import uvicorn

    app = create_app(ledger, token=token, prices=prices)
    sock = _listen(host, port)
    with sock:
        address = _address(sock)
        echo(f"Dashboard of {ledger.url} at {address} (Ctrl-C ends it)")
        if token is not None:
            echo("It asks for the token: open the address with ?token=... once.")
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                # The log of a server would have the token of the first address.
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        if open_browser:
            threading.Thread(
                target=_open_browser, args=(server, address), daemon=True
            ).start()
        # Ctrl-C is how a server ends: it is no failure.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[sock])
    echo("Dashboard stopped.")


def check_place(host: str, port: int, token: str | None) -> None:
    """Check where the dashboard is to be served.

    Raises:
        CerebrasConfigurationError: It must not be there.
    """
    if port not in _PORTS:
        msg = f"port={port} is not valid; give 0 (any free port) to 65535."
        raise CerebrasConfigurationError(msg)
    if token is None and not is_loopback(host):
        msg = (
            f"host={host!r} lets other machines in, and the dashboard shows who spent "
            "what. Pass token=... (a long random text) to serve it there, or leave the "
            "host out for this machine alone."
        )
        raise CerebrasConfigurationError(msg)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        CerebrasConfigurationError: The place is taken, or is not of this machine.
    """
    name = host.strip("[]")
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind)
    except OSError as error:
        msg = f"host={host!r} is no address of this machine: {error}."
        raise CerebrasConfigurationError(msg) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(128)
    except OSError as error:
        sock.close()
        msg = (
            f"The dashboard cannot listen on {host}:{port}: {error.strerror}. "
            "Give another port, or port=0 for any free one."
        )
        raise CerebrasConfigurationError(msg) from error
    return sock


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _open_browser(server: uvicorn.Server, address: str) -> None:
    import webbrowser

    deadline = time.monotonic() + _START_S
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    if server.started:
        webbrowser.open(address)
