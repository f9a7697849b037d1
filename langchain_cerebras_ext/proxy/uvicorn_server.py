"""uvicorn, made to end in good order. Imports uvicorn at once."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from langchain_cerebras_ext.proxy.log import telling_warnings, uvicorn_config
from langchain_cerebras_ext.proxy.place import address
from langchain_cerebras_ext.proxy.protocol import guarded

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection
    from types import FrameType

    from langchain_cerebras_ext.proxy.app import ProxyApp
    from langchain_cerebras_ext.proxy.refusal import Refusal
    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["AppFactory", "ProxyServer", "make_config"]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

_TICK_S: Final = 0.05
_GC_THRESHOLDS: Final = (10_000, 20, 50)
_TOLD_ELSEWHERE: Final = frozenset(
    {
        "ASGI callable returned without completing response.",
        "Invalid HTTP request received.",
    }
)
"""What uvicorn says of requests whose own lines say why."""

_LAST_WORDS_S: Final = 2.0
"""For what is cut to end by itself: an error event, a log line, a row."""


class AppFactory:
    """Makes the application; it travels to other processes, where that would not.

    Args:
        settings: The application's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self) -> ProxyApp:
        """Return a new application.

        Raises:
            CerebrasConfigurationError: It cannot be made.
        """
        from langchain_cerebras_ext.proxy.app import create_app

        return create_app(self._settings)


def make_config(settings: Settings, *, reload: bool = False) -> uvicorn.Config:
    """Return uvicorn's configuration.

    Args:
        settings: The proxy's.
        reload: Whether to start anew when files change.
    """
    return _Config(
        AppFactory(settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=1,
        reload=reload,
        interface="asgi3",
        lifespan="on",
        ws="none",
        log_config=uvicorn_config(settings),
        log_level=None,
        access_log=False,
        # Nobody asks where a request comes from.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.keep_alive_s)),
    )


class _Config(uvicorn.Config):
    @property
    def should_reload(self) -> bool:
        """Whether files are watched; uvicorn does it for names of applications only."""
        return self.reload


class ProxyServer(uvicorn.Server):
    """A server that lets what is under way end in good order.

    Args:
        config: As `make_config` makes it.
        settings: The proxy's.

    Attributes:
        app: The application, once the server has started.
    """

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self.app: ProxyApp | None = None
        self._settings = settings
        self._interrupts = 0
        logging.getLogger("uvicorn.error").addFilter(_is_news)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        with telling_warnings():
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, and listen."""
        config = self.config
        config.http_protocol_class = guarded(
            config.http_protocol_class,
            header_timeout_s=self._settings.header_timeout_s,
            tell=self._note_refusal,
        )
        app: Any = config.loaded_app
        app.is_served_by_us = True
        self.app = app
        if multiprocessing.parent_process() is not None:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        await super().startup(sockets)
        # What lives as long as the process need not be looked at again and again.
        gc.collect()
        gc.freeze()
        for sock in sockets or ():
            _log.info(
                "Listening at %s, passing on to %s (Ctrl-C ends it).",
                address(sock),
                self._settings.upstream.base_url,
            )

    def _note_refusal(self, refusal: Refusal) -> None:
        if self.app is not None:
            self.app.note_unread(refusal)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """End; a second Ctrl-C does so at once.

        With workers Ctrl-C comes from the terminal, and from the supervisor as SIGTERM.
        """
        if sig == signal.SIGINT:
            self._interrupts += 1
        self.force_exit = self._interrupts > 1
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: not ready, no new connections, the rest in time, the rest at once."""
        settings, state = self._settings, self.server_state
        drain_s = 0.0 if self._interrupts else settings.drain_s or 0.0
        within_s = drain_s + settings.shutdown_s
        _log.info("Ending; what is under way has %g s.", within_s)
        if self.app is not None:
            self.app.begin_shutdown(within_s)
        end = time.monotonic() + within_s + _LAST_WORDS_S
        await self._wait(time.monotonic() + drain_s)
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        for connection in tuple(state.connections):
            connection.shutdown()
        await self._wait(end, state.connections)
        await self._cut()
        await self.lifespan.shutdown()

    async def _wait(self, end: float, left: Collection[Any] = (None,)) -> None:
        """Wait until a time, or until nothing is left to wait for."""
        while left and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - a signal's handler may not touch events
            await asyncio.sleep(_TICK_S)

    async def _cut(self) -> None:
        """Break off what has not ended: with last words, or else without."""
        state = self.server_state
        if state.tasks:
            _log.warning("%d requests are broken off.", len(state.tasks))
            if self.app is not None:
                self.app.lifecycle.cut()
            await asyncio.wait(set(state.tasks), timeout=_LAST_WORDS_S)
        tasks = set(state.tasks)
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_LAST_WORDS_S)
        connections: tuple[Any, ...] = tuple(state.connections)
        for connection in connections:
            connection.transport.abort()


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what a request's own line tells, and tells better."""
    return record.msg not in _TOLD_ELSEWHERE


def _end_with_parent() -> None:
    """End when the process that started this one has died: nobody else would do it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
