"""The connection to a ledger's database."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from langchain_cerebras_ext.costs._ledger.place import Place

__all__ = ["READ", "make_engine"]

READ: Final = "cerebras_read"
"""An option of a connection that only reads: it does not wait for those that write."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA cache_size = -32000",
    "PRAGMA temp_store = MEMORY",
)


def make_engine(place: Place, *, durable: bool, wait_s: float) -> Engine:
    """Return an engine that has not connected yet.

    Args:
        place: The database.
        durable: Whether a commit must outlast a power failure, too.
        wait_s: How long to wait for another's lock, or for the server.
    """
    if not place.is_sqlite:
        options = {"connect_timeout": max(2, round(wait_s))}
        return create_engine(
            place.url,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
            connect_args=options,
            hide_parameters=True,
        )
    arguments: dict[str, Any] = {"timeout": wait_s, "check_same_thread": False}
    if place.is_in_memory:
        engine = create_engine(
            "sqlite://",
            poolclass=StaticPool,
            connect_args=arguments,
            hide_parameters=True,
        )
    else:
        engine = create_engine(
            place.url, connect_args=arguments, hide_parameters=True
        )

    def connected(connection: sqlite3.Connection, _: object) -> None:
        # Transactions begin where SQLAlchemy says so, not where the module guesses.
        connection.isolation_level = None
        for line in _PRAGMAS:
            connection.execute(line)
        safety = "FULL" if durable else "NORMAL"
        connection.execute(f"PRAGMA synchronous = {safety}")

    def begun(connection: Connection) -> None:
        # Whoever reads first and writes then is refused, not made to wait, if another
        # wrote in between: so all take the lock at once that do not only read.
        reads = connection.get_execution_options().get(READ, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
