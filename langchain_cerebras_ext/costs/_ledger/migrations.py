"""How a ledger of an older version becomes one of this version: forward only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import MetaData, func, inspect, null, select, text

from langchain_cerebras_ext.costs._ledger import schema
from langchain_cerebras_ext.costs._ledger.codec import COLUMNS, read_state
from langchain_cerebras_ext.costs._ledger.rollup import NEVER, roll_up
from langchain_cerebras_ext.costs._ledger.tables import (
    add_totals,
    add_words,
    find_numbers,
    find_texts,
)
from langchain_cerebras_ext.costs.records import doubts_of
from langchain_cerebras_ext.errors import LedgerError, LedgerNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Inspector, Table

    from langchain_cerebras_ext.costs._ledger.place import Place

__all__ = ["free_states", "not_found", "prepare", "read_version"]

_CHUNK: Final = 5_000
_LOCK: Final = 0x6365726562726173
"""Of PostgreSQL's advisory locks, the one that those take who create or migrate."""


_OF_BUDGETS: Final = frozenset(
    {"cerebras_budgets", "cerebras_budget_accounts", "cerebras_budget_holds"}
)


def read_version(connection: Connection, place: Place) -> int | None:
    """Return the version of the tables; `None` if there are none of ours.

    Raises:
        LedgerError: The database is another program's, or of a newer version.
    """
    tables = set(inspect(connection).get_table_names())
    if schema.ledger.name not in tables:
        _check_free(tables, place)
        return None
    found = {
        column["name"] for column in inspect(connection).get_columns("cerebras_ledger")
    }
    if not {"version", "revision"} <= found:
        msg = (
            f"{place.shown} has a table `cerebras_ledger` that is not ours. "
            "Take another database."
        )
        raise LedgerError(msg)
    version = connection.execute(select(schema.ledger.c.version)).scalar_one_or_none()
    if version is None:
        msg = f"{place.shown} is damaged: it has no version. Restore it from a backup."
        raise LedgerError(msg)
    if version > schema.VERSION:
        msg = (
            f"The ledger at {place.shown} has version {version} of the tables; this "
            f"package knows versions up to {schema.VERSION}. "
            "Upgrade langchain-cerebras-ext here, too."
        )
        raise LedgerError(msg)
    return int(version)


def _check_free(tables: set[str], place: Place) -> None:
    ours = tables & set(schema.metadata.tables)
    # A server's database may well be shared; a file belongs to whoever made it, which
    # may have been a budget that was used before the ledger.
    theirs = tables - ours - _OF_BUDGETS if place.is_sqlite else set[str]()
    if ours or theirs:
        named = ", ".join(sorted(ours | theirs)[:3])
        msg = (
            f"{place.shown} is not a ledger: it has the tables {named}, "
            "but no `cerebras_ledger`. Take another database."
        )
        raise LedgerError(msg)


def not_found(place: Place) -> LedgerNotFoundError:
    """Return what is raised where there is no ledger, and none is to be made."""
    msg = f"There is no ledger at {place.shown}. Check the URL."
    return LedgerNotFoundError(msg)


def prepare(connection: Connection, place: Place, *, create: bool) -> None:
    """Create the tables, or migrate them; whoever comes second finds it done.

    Args:
        connection: In a transaction; on SQLite it has the write lock.
        place: For messages.
        create: Whether to create the tables where there are none.

    Raises:
        LedgerError: The database is not a ledger.
        LedgerNotFoundError: There is none.
    """
    if not place.is_sqlite:
        # Another that migrates may take longer than a writer waits for a lock; not so
        # who holds a table, as a backup does, and who waits for it has others wait.
        wait = connection.execute(text("SHOW lock_timeout")).scalar_one()
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        again = text("SELECT set_config('lock_timeout', :wait, true)")
        connection.execute(again, {"wait": wait})
    version = read_version(connection, place)
    if version is None:
        if not create:
            raise not_found(place)
        schema.metadata.create_all(connection)
        row = {"id": 1, "version": schema.VERSION, "revision": 0, "pruned_us": NEVER}
        connection.execute(schema.ledger.insert(), row)
        return
    while version < schema.VERSION:
        _STEPS[version](connection)
        version += 1
        connection.execute(schema.ledger.update().values(version=version))


def _add_rollups(connection: Connection) -> None:
    """1 to 2: totals that are kept, indexes, and words of any length."""
    for name in ("names", "tagsets", "states", "prices"):
        connection.execute(text(f"ALTER TABLE cerebras_{name} ADD COLUMN whole TEXT"))
    for table in schema.ROLLUPS:
        table.create(connection)
    for index in schema.records.indexes:
        index.create(connection, checkfirst=True)
    free = free_states(connection)
    columns = [
        null() if name in _NEW_IN_3 else schema.records.c[name] for name in COLUMNS
    ]
    for rows in _pages(connection, columns):
        add_rollups(connection, rows, free)


def _pages(
    connection: Connection, columns: Sequence[Any], *where: ColumnElement[bool]
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of all records, so many at once."""
    number = schema.records.c.id
    last = -1
    while True:
        rows = connection.execute(
            select(number, *columns)
            .where(number > last, *where)
            .order_by(number)
            .limit(_CHUNK)
        ).all()
        if not rows:
            return
        last = rows[-1][0]
        yield [tuple(row[1:]) for row in rows]


def _add_router_calls(connection: Connection) -> None:
    """2 to 3: which tries are of one call of a router."""
    for name in _NEW_IN_3:
        connection.execute(text(f"ALTER TABLE cerebras_records ADD COLUMN {name} TEXT"))


def _reshape(connection: Connection) -> None:
    """Give totals and indexes the columns that they have now, in their order.

    A ledger of an older version may have got some of them on its way here. The finest
    totals come first, since the others are added up from them.
    """
    found = inspect(connection)
    for table in schema.ROLLUPS:
        there = found.has_table(table.name)
        if there and _keys_there(found, table) == [k.name for k in table.primary_key]:
            continue
        if table is schema.hourly:
            _reorder(connection, table)
            continue
        if there:
            table.drop(connection)
        _derive(connection, table, schema.hourly)
    _index(connection, found)


def _keys_there(found: Inspector, table: Table) -> list[str]:
    return found.get_pk_constraint(table.name)["constrained_columns"]


def _reorder(connection: Connection, table: Table) -> None:
    """Put rows into the order of their keys."""
    before = table.to_metadata(MetaData(), name=f"{table.name}_before")
    connection.execute(text(f"ALTER TABLE {table.name} RENAME TO {before.name}"))
    _derive(connection, table, before)
    before.drop(connection)


def _derive(connection: Connection, table: Table, finest: Table) -> None:
    """Create a table of totals, and add them up from others."""
    table.create(connection)
    days = (finest.c.hour // 24).label("day")
    keys = [days if k.name == "day" else finest.c[k.name] for k in table.primary_key]
    sums = [func.sum(finest.c[name]) for name in schema.MEASURES]
    found = select(*keys, *sums).group_by(*keys)
    connection.execute(table.insert().from_select([*table.c.keys()], found))


def _index(connection: Connection, found: Inspector) -> None:
    there = {
        one["name"]: one["column_names"]
        for one in found.get_indexes(schema.records.name)
    }
    connection.execute(text("DROP INDEX IF EXISTS cerebras_records_session"))
    for index in schema.records.indexes:
        if there.get(index.name) != [column.name for column in index.columns]:
            index.drop(connection, checkfirst=True)
            index.create(connection)


def _flag_unpriced(connection: Connection) -> None:
    """5 to 6: what has neither a cost nor a word of why is unpriced.

    Such rows were counted as exact. Those that were pruned stay so: nobody knows them.
    """
    _reshape(connection)  # rows are added to totals as they are kept now
    table = schema.records
    unpriced = table.c.cost.is_(None)
    found = connection.execute(select(table.c.state_id).where(unpriced).distinct())
    states = _doubted(connection, set(found.scalars()))
    if not states:
        return
    at = COLUMNS.index("state_id")
    columns = [table.c[name] for name in COLUMNS]
    for rows in _pages(connection, columns, unpriced, table.c.state_id.in_(states)):
        moved = [(*row[:at], states[row[at]], *row[at + 1 :]) for row in rows]
        add_rollups(connection, rows, set(), sign=-1)
        add_rollups(connection, moved, set())
    for before, after in states.items():
        here = table.update().where(unpriced, table.c.state_id == before)
        connection.execute(here.values(state_id=after))
    for kept in schema.ROLLUPS:
        connection.execute(kept.delete().where(kept.c.n == 0))


def _doubted(connection: Connection, numbers: set[int]) -> dict[int, int]:
    """Return for states of rows without a cost those that say so, if they do not."""
    words = find_texts(connection, schema.states, numbers)
    wanted: dict[int, str] = {}
    for number, word in words.items():
        state = read_state(word)
        doubts = doubts_of(state.outcome, state.flags, is_priced=False)
        if doubts != state.flags:
            wanted[number] = state._replace(flags=doubts).word()
    there = find_numbers(connection, schema.states, list(wanted.values()))
    absent = sorted(set(wanted.values()) - there.keys())
    if absent:
        add_words(connection, schema.states, absent)
        there |= find_numbers(connection, schema.states, absent)
    return {number: there[word] for number, word in wanted.items()}


_NEW_IN_3: Final = ("router_call_id",)
_STEPS: Final[dict[int, Callable[[Connection], None]]] = {
    1: _add_rollups,
    2: _add_router_calls,
    3: _reshape,  # totals by tags and nodes
    4: _reshape,  # an index that has all that totals of sessions need
    5: _flag_unpriced,
    6: _reshape,  # totals by tags and hours; others in the order of more questions
}


def add_rollups(
    connection: Connection, rows: list[Any], free: set[int], sign: int = 1
) -> None:
    """Add rows to the totals that are kept; with `sign=-1` take them away.

    A total of nothing is left behind by that.
    """
    tables: tuple[Table, ...] = schema.ROLLUPS
    for table, more in zip(tables, roll_up(rows, free), strict=True):
        width = len(table.primary_key)
        signed = [(*row[:width], *(sign * one for one in row[width:])) for row in more]
        add_totals(connection, table, more if sign > 0 else signed)


def free_states(connection: Connection) -> set[int]:
    """Return the numbers of the states whose tokens do not count."""
    rows = connection.execute(select(schema.states.c.id, schema.states.c.value))
    return {n for n, word in rows if read_state(word).outcome == "cache_hit"}
