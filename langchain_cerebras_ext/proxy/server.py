"""`serve`: the proxy in the foreground, by uvicorn, until it is told to end.

SIGTERM and SIGINT end it in good order: it says that it is not ready, then closes the
port, lets streams finish until a deadline, and cuts what is left. SIGHUP reads the file
of keys again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import logging.config
import os
import shutil
import signal
import sys
import tempfile
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.errors import MissingExtraError
from langchain_cerebras_ext.proxy.place import listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from langchain_cerebras_ext.proxy.metrics_server import Render
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["require_proxy_extra", "serve"]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

_NEEDED: Final = ("uvicorn", "prometheus_client")
_SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"


def require_proxy_extra() -> None:
    """Check that the extra `proxy` is installed.

    Raises:
        MissingExtraError: It is not.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        msg = (
            f"The proxy needs {', '.join(missing)}. "
            "Run: pip install 'langchain-cerebras-ext[proxy]'"
        )
        raise MissingExtraError(msg)


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Serve the proxy until SIGTERM or Ctrl-C.

    All that it says are lines of its log, on standard output.

    Args:
        settings: Where, and how.
        reload: For development: start anew whenever a file of Python changes beneath
            the current directory. There is one worker then, and no other port.

    Raises:
        CerebrasConfigurationError: The address is taken or not of this machine; keys,
            prices or models are wrong; a worker could not start.
        MissingExtraError: The extra `proxy` is not installed.
    """
    require_proxy_extra()
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(listen(settings.host, settings.port))
        if reload:
            _run_reloading(settings, sock)
            return
        metrics_sock = None
        if settings.metrics_port is not None:
            metrics_sock = stack.enter_context(
                listen(settings.host, settings.metrics_port, named="APE_METRICS_PORT")
            )
        if settings.workers == 1:
            _run_alone(settings, sock, metrics_sock)
        else:
            stack.enter_context(_metrics_folder())
            _run_workers(settings, sock, metrics_sock)
    _log.info("The proxy has ended.")


def _run_alone(
    settings: Settings, sock: socket.socket, metrics_sock: socket.socket | None
) -> None:
    from langchain_cerebras_ext.proxy.uvicorn_server import ProxyServer, make_config

    server = ProxyServer(make_config(settings), settings)

    def render(accept: str) -> tuple[str, bytes]:
        if server.app is None:
            return "text/plain; charset=utf-8", b""
        return server.app.metrics.render(accept)

    with _metrics_server(metrics_sock, render), _deaf_to_hangups():
        server.run(sockets=[sock])


@contextlib.contextmanager
def _deaf_to_hangups() -> Generator[None]:
    """Let nobody end a service who means to have it read its keys again.

    At a terminal SIGHUP says that this was closed, and ends whom it tells, as ever.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or not hasattr(signal, "SIGHUP") or _is_at_terminal():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _is_at_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # there is none, or it was closed
        return False


def _run_workers(
    settings: Settings, sock: socket.socket, metrics_sock: socket.socket | None
) -> None:
    from langchain_cerebras_ext.proxy.app import create_app
    from langchain_cerebras_ext.proxy.log import telling_warnings, uvicorn_config
    from langchain_cerebras_ext.proxy.workers import Workers

    logging.config.dictConfig(uvicorn_config(settings))
    with telling_warnings():
        # What is wrong with keys, prices or models is told here, once.
        app = create_app(settings)
        try:
            with _metrics_server(metrics_sock, app.metrics.render):
                Workers(settings, sock).run()
        finally:
            asyncio.run(app.aclose())


def _run_reloading(settings: Settings, sock: socket.socket) -> None:
    from uvicorn.supervisors import ChangeReload

    from langchain_cerebras_ext.proxy.uvicorn_server import ProxyServer, make_config

    settings = dataclasses.replace(settings, metrics_port=None, drain_s=None)
    config = make_config(settings, reload=True)
    server = ProxyServer(config, settings)
    ChangeReload(config, target=server.run, sockets=[sock]).run()


# --------------------------------------------------------------------------- metrics


@contextlib.contextmanager
def _metrics_folder() -> Generator[None]:
    """Let workers count together, in files; before their library is imported."""
    if os.environ.get(_SHARED):
        yield
        return
    folder = os.environ[_SHARED] = tempfile.mkdtemp(prefix="cerebras-proxy-")
    try:
        yield
    finally:
        del os.environ[_SHARED]
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _metrics_server(sock: socket.socket | None, render: Render) -> Generator[None]:
    """Serve `/metrics` alone on a port of its own, if there is one."""
    if sock is None:
        yield
        return
    from langchain_cerebras_ext.proxy.metrics_server import MetricsServer

    with MetricsServer(sock, render).running():
        yield
