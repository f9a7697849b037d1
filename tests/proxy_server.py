"""A proxy on a free loopback port, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import uvicorn

from langchain_cerebras_ext.proxy import create_app
from langchain_cerebras_ext.proxy.settings import Settings, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_cerebras_ext.proxy.exchange import Exchange

UPSTREAM_KEY = "csk-upstream-key-that-stays-inside"
CLIENT_KEY = "client-key-of-ann-0123456789"
_WAIT_S = 30.0


class Proxy:
    """A running proxy, and what it has noted.

    Attributes:
        app: The application.
        url: Without a path.
        base_url: As OpenAI's clients take it.
        exchanges: Those that have ended, in that order.
        loop: The event loop it runs on, in another thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)
        self.exchanges: list[Exchange] = []
        self.app.observers.append(self.exchanges.append)
        self.loop: asyncio.AbstractEventLoop
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.base_url = f"{self.url}/v1"
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        factory = self.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            self.loop = runner.get_loop()
            runner.run(self.server.serve(sockets=[self._socket]))

    def start(self) -> None:
        """Return when it serves."""
        self._thread.start()
        self.wait(lambda: self.server.started)

    def stop(self) -> None:
        """Return when it has ended."""
        self.server.should_exit = True
        self._thread.join(_WAIT_S)
        assert not self._thread.is_alive(), "the proxy did not end"
        self._socket.close()

    def metrics(self) -> str:
        """Return what Prometheus would scrape."""
        with urlopen(f"{self.url}/metrics") as answer:
            return answer.read().decode()

    def wait(self, condition: Callable[[], Any], timeout_s: float = _WAIT_S) -> Any:
        """Return a condition's value once it is true."""
        end = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < end, "it did not come to it in time"
            time.sleep(0.005)
        return value

    def wait_ended(self, count: int = 1) -> list[Exchange]:
        """Return the exchanges once so many have ended."""
        self.wait(lambda: len(self.exchanges) >= count)
        return self.exchanges


@contextlib.contextmanager
def running_proxy(upstream_url: str, **settings: Any) -> Iterator[Proxy]:
    """Run a proxy to an upstream.

    Args:
        upstream_url: Its base URL.
        **settings: Of `Settings`; unless given, clients need `CLIENT_KEY`.
    """
    upstream = settings.pop("upstream", None) or Upstream(
        base_url=upstream_url, api_key=UPSTREAM_KEY
    )
    settings = {"api_key": CLIENT_KEY, "port": 0} | settings
    proxy = Proxy(Settings(upstream=upstream, **settings))
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
