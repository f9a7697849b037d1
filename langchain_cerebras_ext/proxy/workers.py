"""Several processes that share a listening socket, and who looks after them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from langchain_cerebras_ext.proxy.settings import Settings

__all__ = ["Workers"]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

_FAILED: Final = 3
"""The exit code of a worker that would fail each time; uvicorn's is the same."""

_LOOK_S: Final = 0.25
_MARGIN_S: Final = 10.0
_RESTART_S: Final = 1.0


class Workers:
    """Starts workers, replaces those that die, and ends them.

    Args:
        settings: The proxy's; say how many there are.
        sock: What they listen at.
    """

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self._settings = settings
        self._socket = sock
        # Not forked: threads and locks of this process would not work there.
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._first: frozenset[SpawnProcess] = frozenset()
        self._is_ending = False
        self._hangups = 0

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            CerebrasConfigurationError: A worker could not start.
        """
        has_failed = False
        with self._signals():
            for _ in range(self._settings.workers):
                self._processes.append(self._start())
            self._first = frozenset(self._processes)
            _log.info("%d workers have started.", len(self._processes))
            while not self._is_ending and not has_failed:
                wait([process.sentinel for process in self._processes], _LOOK_S)
                self._pass_on_hangups()
                has_failed = self._replace_the_dead()
            self._end()
        if has_failed:
            msg = "A worker could not start: its line in the log says why."
            raise CerebrasConfigurationError(msg)

    def _start(self) -> SpawnProcess:
        process = self._context.Process(
            target=_work, args=(self._settings, self._socket), name="cerebras-proxy"
        )
        process.start()
        return process

    def _replace_the_dead(self) -> bool:
        """Start others for those that have died.

        A file of keys may have been broken since the first ones have read it: that is
        no reason to end those who serve.

        Returns:
            Whether one of the first ones could not even start.
        """
        for at, process in enumerate(self._processes):
            code = process.exitcode
            if code is None or self._is_ending:
                continue
            if code == _FAILED and process in self._first:
                return True
            _log.error("A worker has died with exit code %d; another one starts.", code)
            time.sleep(_RESTART_S)
            self._processes[at] = self._start()
        return False

    def _end(self) -> None:
        settings = self._settings
        for process in self._processes:
            # Not SIGINT: who pressed Ctrl-C has sent them that already.
            process.terminate()
        limit_s = (settings.drain_s or 0.0) + settings.shutdown_s + _MARGIN_S
        end = time.monotonic() + limit_s
        for process in self._processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                _log.error("A worker does not end; it is killed.")
                process.kill()
                process.join()

    # ------------------------------------------------------------------- signals

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        """Take this process's signals; only the main thread may."""
        taken: dict[int, Any] = {
            signal.SIGINT: self._note_end,
            signal.SIGTERM: self._note_end,
        }
        if hasattr(signal, "SIGHUP"):
            taken[signal.SIGHUP] = self._note_hangup
        before = {sig: signal.signal(sig, handler) for sig, handler in taken.items()}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _note_end(self, _sig: int, _frame: FrameType | None) -> None:
        self._is_ending = True

    def _note_hangup(self, _sig: int, _frame: FrameType | None) -> None:
        self._hangups += 1

    def _pass_on_hangups(self) -> None:
        if not self._hangups:
            return
        self._hangups = 0
        for process in self._processes:
            if process.pid is not None and process.exitcode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)


# -------------------------------------------------------------------- in the process


def _work(settings: Settings, sock: socket.socket) -> None:
    """Serve in a worker's process until it is told to end."""
    from langchain_cerebras_ext.proxy.uvicorn_server import ProxyServer, make_config

    # Until there is an application a hangup has nothing to reload, and kills nobody.
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ProxyServer(make_config(settings), settings).run(sockets=[sock])
    except CerebrasConfigurationError as error:
        _log.error("%s", error)
        sys.exit(_FAILED)
