"""One transport for all who ask with equal options, in one process."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

from langchain_cerebras_ext._http._async import AsyncTransport
from langchain_cerebras_ext._http._route import Environment, read_environment
from langchain_cerebras_ext._http._sync import SyncTransport
from langchain_cerebras_ext._http._tls import TlsContexts

if TYPE_CHECKING:
    from langchain_cerebras_ext._http._options import TransportOptions


class _Registry:
    """The shared transports, by options and by the environment they were made in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts = TlsContexts()
        self._sync: dict[tuple[TransportOptions, Environment], SyncTransport] = {}
        self._async: dict[tuple[TransportOptions, Environment], AsyncTransport] = {}

    def get_sync(self, options: TransportOptions) -> SyncTransport:
        key = (options, read_environment(options))
        with self._lock:
            found = self._sync.get(key)
            if found is None:
                found = self._sync[key] = SyncTransport(
                    options, environment=key[1], contexts=self._contexts
                )
            return found

    def get_async(self, options: TransportOptions) -> AsyncTransport:
        key = (options, read_environment(options))
        with self._lock:
            found = self._async.get(key)
            if found is None:
                found = self._async[key] = AsyncTransport(
                    options, environment=key[1], contexts=self._contexts
                )
            return found

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._contexts.reset_lock()

    def close(self) -> None:
        for transport in list(self._sync.values()):
            transport.close()


_registry = _Registry()
atexit.register(_registry.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_registry.after_fork)


def shared_sync_transport(options: TransportOptions) -> SyncTransport:
    """Return this process's transport for these options in this environment."""
    return _registry.get_sync(options)


def shared_async_transport(options: TransportOptions) -> AsyncTransport:
    """Return this process's transport for these options in this environment.

    It may be used in any event loop, and keeps a pool for each.
    """
    return _registry.get_async(options)
