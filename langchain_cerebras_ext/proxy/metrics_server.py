"""`/metrics` on a port of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_cerebras_ext.proxy.place import address

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator

__all__ = ["MetricsServer", "Render"]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

Render: TypeAlias = "Callable[[str], tuple[str, bytes]]"

_LOOK_S: Final = 0.1


class MetricsServer(ThreadingHTTPServer):
    """Serves `/metrics` and nothing else, in threads: however busy the event loop is.

    Args:
        sock: Where it listens.
        render: Makes the page for an `Accept` header: its type, and its bytes.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket, render: Render) -> None:
        super().__init__(sock.getsockname(), _Page, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.render = render

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        """Serve for a block."""
        thread = threading.Thread(
            target=self.serve_forever,
            args=(_LOOK_S,),
            name="cerebras-metrics",
            daemon=True,
        )
        thread.start()
        _log.info("Metrics at %s/metrics.", address(self.socket))
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10.0  # for who sends nothing

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without the page."""
        self._answer()

    def _answer(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            kind, body, status = "text/plain", b"Metrics are at /metrics.\n", 404
        else:
            server = cast("MetricsServer", self.server)
            kind, body = server.render(self.headers.get("accept") or "")
            status = 200
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Say nothing of what serves."""
        return "cerebras-proxy"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: a scrape every few seconds is no news."""
