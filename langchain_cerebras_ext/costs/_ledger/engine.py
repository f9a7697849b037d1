"""The connection to a ledger's database."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.pool import QueuePool

from langchain_cerebras_ext.costs._ledger.gate import gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from langchain_cerebras_ext.costs._ledger.place import Place

__all__ = ["READ", "ForkedError", "make_engine", "may_write"]

READ: Final = "cerebras_read"
"""An option of a connection that only reads: it does not wait for those that write."""

_PRAGMAS: Final = ("PRAGMA temp_store = MEMORY",)
_PRAGMAS_OF_WRITERS: Final = ("PRAGMA journal_mode = WAL", *_PRAGMAS)
# In KiB. Reports come back to pages again and again; a writer only adds, and lives in
# processes that shall stay small.
_CACHE_OF_READS: Final = "PRAGMA cache_size = -32000"
_CACHE_OF_WRITES: Final = "PRAGMA cache_size = -4000"

_ENTRY: Final = "cerebras_gate"
_LONGEST_WAIT_MS: Final = 2**31 - 1_000
_LONGEST_IDLE_S: Final = 32_767  # Linux takes no more


class ForkedError(sqlite3.OperationalError):
    """This process was forked amid SQLite, which it cannot use any more."""

    def __init__(self) -> None:
        super().__init__(
            "this process was forked while a connection to SQLite was in use, and has "
            "inherited its locks"
        )


class _Pool(QueuePool):
    """SQLite's connections; whoever has one is inside the gate."""

    _is_file = True
    # Its log lines are SQLAlchemy's, not ours.
    _sqla_logger_namespace = "sqlalchemy.pool.impl.QueuePool"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        gate.know(self)

    def connect(self) -> PoolProxiedConnection:
        entry = gate.enter()
        try:
            connection = self._connect()
            kept = connection.record_info
            if kept is not None:  # only a connection that left its pool has none
                kept[_ENTRY] = entry
        except BaseException:
            gate.leave(entry)
            raise
        return connection

    def _connect(self) -> PoolProxiedConnection:
        if gate.is_broken:
            raise ForkedError
        return super().connect()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        kept = record.record_info
        entry = kept.pop(_ENTRY, None) if kept else None
        try:
            super()._do_return_conn(record)
        finally:
            gate.leave(entry)

    def dispose(self) -> None:
        entry = gate.enter()
        try:
            if not gate.is_broken:
                super().dispose()
        finally:
            gate.leave(entry)

    def close_idle(self) -> None:
        """Close those that nobody uses, unless they are all there is of a database."""
        if self._is_file:
            self.dispose()


class _MemoryPool(_Pool):
    """What is in memory is one connection's own; others wait until it is free."""

    _is_file = False


def make_engine(
    place: Place, *, durable: bool, wait_s: float, may_create: Callable[[], bool]
) -> Engine:
    """Return an engine that has not connected yet.

    Args:
        place: The database.
        durable: Whether a commit must outlast a power failure, too.
        wait_s: How long to wait for another's lock, or for the server.
        may_create: Whether a connection may make a file that is not there.
    """
    if not place.is_sqlite:
        server = create_engine(
            place.url,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
            connect_args=_waits(place, wait_s),
            hide_parameters=True,
        )
        event.listen(server, "connect", partial(_limit_waits, wait_s=wait_s))
        return server

    def connect() -> sqlite3.Connection:
        # Transactions begin where SQLAlchemy says so, not where the module guesses.
        mode = _mode(place.path, create=may_create())
        connection = sqlite3.connect(
            _address(place.path, mode),
            uri=True,
            timeout=wait_s,
            check_same_thread=False,
            isolation_level=None,
        )
        try:
            for line in (
                *(_PRAGMAS if mode.startswith("ro") else _PRAGMAS_OF_WRITERS),
                f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}",
            ):
                connection.execute(line).close()
        except BaseException:
            connection.close()
            raise
        return connection

    def begun(connection: Connection) -> None:
        # Whoever reads first and writes then is refused, not made to wait, if another
        # wrote in between: so all take the lock at once that do not only read.
        reads = connection.get_execution_options().get(READ, False)
        connection.exec_driver_sql(_CACHE_OF_READS if reads else _CACHE_OF_WRITES)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    size = {"pool_size": 1, "max_overflow": 0} if place.is_in_memory else {}
    engine = create_engine(
        place.url,
        creator=connect,
        poolclass=_MemoryPool if place.is_in_memory else _Pool,
        hide_parameters=True,
        **size,
    )
    event.listen(engine, "begin", begun)
    return engine


def _waits(place: Place, wait_s: float) -> dict[str, int]:
    """Return how long to wait for a server, also for one that is gone without a word.

    The system would send to that for a quarter of an hour.
    """
    seconds = max(2, round(min(wait_s, _LONGEST_WAIT_MS / 1_000)))
    waits = {
        "connect_timeout": seconds,
        "tcp_user_timeout": seconds * 1_000,
        "keepalives_idle": min(seconds, _LONGEST_IDLE_S),
        "keepalives_interval": 1,
    }
    asked = make_url(place.url).query
    return {name: value for name, value in waits.items() if name not in asked}


def _limit_waits(connection: Any, _: object, *, wait_s: float) -> None:
    """Have PostgreSQL wait for another's lock as long as SQLite does, not for ever."""
    wait_ms = max(1, round(min(wait_s * 1_000, _LONGEST_WAIT_MS)))  # 0 is for ever
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {wait_ms}")
    connection.commit()


def _address(path: Path | None, mode: str) -> str:
    if path is None:
        return "file::memory:"
    return f"file:{quote(str(path))}?mode={mode}"


def _mode(path: Path | None, *, create: bool) -> str:
    """Return how to open a file: as SQLite's `mode`, and what follows it."""
    if create:
        return "rwc"
    # Never by mistake an empty file where a database has vanished.
    if path is None or not path.exists() or may_write(path):
        return "rw"
    # With nothing in the log the file is all there is. Else SQLite would make a log,
    # where it may: of this user's, so that those who do write could not any more.
    return "ro" if _size(_beside(path, "-wal")) else "ro&immutable=1"


def may_write(path: Path) -> bool:
    """Whether a database's file may be written, and the log beside it."""
    return _is_writable(path) and (
        _is_writable(path.parent)
        or all(_is_writable(_beside(path, one)) for one in ("-wal", "-shm"))
    )


def _is_writable(path: Path) -> bool:
    return os.access(
        path, os.W_OK, effective_ids=os.access in os.supports_effective_ids
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
