"""One transport for all who ask with equal options, in one process."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from langchain_cerebras_ext._transport._async import AsyncTransport
from langchain_cerebras_ext._transport._route import snapshot_environment
from langchain_cerebras_ext._transport._sync import SyncTransport
from langchain_cerebras_ext._transport._tls import TlsContexts

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_cerebras_ext._transport._options import TransportOptions


_T = TypeVar("_T")
_Key = tuple["TransportOptions", tuple[str | None, ...]]


class _Registry:
    """The shared transports, by options and by the environment they were made in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts = TlsContexts()
        self._sync: dict[_Key, SyncTransport] = {}
        self._async: dict[_Key, AsyncTransport] = {}

    def get_sync(self, options: TransportOptions) -> SyncTransport:
        key = (options, snapshot_environment() if options.trust_env else ())
        found = self._sync.get(key)
        return found or self._make(self._sync, key, SyncTransport)

    def get_async(self, options: TransportOptions) -> AsyncTransport:
        key = (options, snapshot_environment() if options.trust_env else ())
        found = self._async.get(key)
        return found or self._make(self._async, key, AsyncTransport)

    def _make(self, known: dict[_Key, _T], key: _Key, kind: Callable[..., _T]) -> _T:
        with self._lock:
            if key not in known:
                known[key] = kind(key[0], contexts=self._contexts)
            return known[key]

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
