"""uvicorn, made to start and stop within milliseconds. Imports uvicorn at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from langchain_cerebras_ext.simulator.connection import Wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Iterable

    from starlette.applications import Starlette

# Protocols that put no state of their own into chunked framing.
_CHUNKED = frozenset({"H11Protocol", "HttpToolsProtocol"})
_TICK_S = 1.0
_LINGER_S = 2.0
_KEEP_ALIVE_S = 75
_CALL_S = 10.0


class QuickServer(uvicorn.Server):
    """A server for one application on one listening socket.

    uvicorn looks every 100 ms whether it shall end, and waits for connections to end
    by themselves; a server for tests is told at once, and cuts what is left.

    Attributes:
        ready: Set once requests are served, or the start has failed.
        failure: Why the start failed.
    """

    def __init__(self, app: Starlette, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            server_header=False,
            # Whatever else is installed: the bytes of an answer stay the same.
            http="h11",
            loop="asyncio",
        )
        super().__init__(config)
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run_blocking(self) -> None:
        """Serve until `request_stop` is called, from any thread."""
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve_here())
        except BaseException as error:  # noqa: BLE001 - the edge: logged or told, never lost
            self.failure = error
        finally:
            self._socket.close()
            self.ready.set()

    def request_stop(self) -> None:
        """Ask the server to end; may be called from any thread, and again."""
        self.should_exit = True
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # The loop has ended already.
                self._loop.call_soon_threadsafe(self._stop.set)

    def close_doors(self) -> None:
        """Stop listening and cut all connections; called from another thread."""
        self._call(self._close_doors())

    def open_doors(self, sock: socket.socket) -> None:
        """Listen again; called from another thread.

        Args:
            sock: Bound, and listening.
        """
        self._call(self._open_doors(sock))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)

    async def _close_doors(self) -> None:
        for server in self.servers:
            server.close()
        self.servers.clear()
        self._socket.close()
        await self._cut_connections()

    async def _open_doors(self, sock: socket.socket) -> None:
        self._socket = sock
        config = self.config

        def make_protocol() -> Any:
            made: Any = config.http_protocol_class
            return made(
                config=config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        loop = asyncio.get_running_loop()
        self.servers.append(
            await loop.create_server(make_protocol, sock=sock, backlog=config.backlog)
        )

    async def _cut_connections(self) -> None:
        connections: Iterable[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.transport.abort()
        for _ in range(100):  # Aborted connections are told of it by the loop.
            if not self.server_state.connections:
                break
            await asyncio.sleep(0)

    async def _serve_here(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._install_protocol()
        await self._serve(sockets=[self._socket])

    def _install_protocol(self) -> None:
        """Let applications reach their connection, to be able to break it."""
        config = self.config
        config.load()
        base: Any = config.http_protocol_class

        extra = {"raw_chunks": base.__name__ in _CHUNKED}

        def connection_made(self: Any, transport: Any) -> None:
            wire = Wire(transport)
            self.app_state = {**self.app_state, "transport": wire, **extra}
            base.connection_made(self, wire)

        config.http_protocol_class = type(
            "Protocol", (base,), {"connection_made": connection_made}
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and say so."""
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait for the end; the `Date` header moves on every second."""
        stop = self._stop or asyncio.Event()
        while not self.should_exit:
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything now."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        connections: Iterable[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.transport.abort()
        # Handlers notice that their client is gone, and end by themselves.
        tasks = set(self.server_state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LINGER_S)
            for task in late:
                task.cancel()
        for _ in range(100):  # Aborted connections are told of it by the loop.
            if not self.server_state.connections:
                break
            await asyncio.sleep(0)
        await self.lifespan.shutdown()
