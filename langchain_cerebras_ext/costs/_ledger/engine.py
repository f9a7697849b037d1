"""The connection to a ledger's database."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from langchain_cerebras_ext.costs._ledger.place import Place

__all__ = ["READ", "make_engine"]

READ: Final = "cerebras_read"
"""An option of a connection that only reads: it does not wait for those that write."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA temp_store = MEMORY",
)
# In KiB. Reports come back to pages again and again; a writer only adds, and lives in
# processes that shall stay small.
_CACHE_OF_READS: Final = "PRAGMA cache_size = -32000"
_CACHE_OF_WRITES: Final = "PRAGMA cache_size = -4000"


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
        return create_engine(
            place.url,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
            connect_args={"connect_timeout": max(2, round(wait_s))},
            hide_parameters=True,
        )

    def connect() -> sqlite3.Connection:
        # Transactions begin where SQLAlchemy says so, not where the module guesses.
        connection = sqlite3.connect(
            _address(place, create=may_create()),
            uri=True,
            timeout=wait_s,
            check_same_thread=False,
            isolation_level=None,
        )
        try:
            for line in (
                *_PRAGMAS,
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

    # What is in memory is one connection's own; others wait until it is free.
    size = {"pool_size": 1, "max_overflow": 0} if place.is_in_memory else {}
    engine = create_engine(
        place.url,
        creator=connect,
        poolclass=QueuePool,
        hide_parameters=True,
        **size,
    )
    event.listen(engine, "begin", begun)
    return engine


def _address(place: Place, *, create: bool) -> str:
    if place.path is None:
        return "file::memory:"
    # Never by mistake an empty file where a database has vanished.
    return f"file:{quote(str(place.path))}?mode={'rwc' if create else 'rw'}"
