"""Statements that both databases understand, each in the way that it does fast."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Double, Integer, SmallInteger, func, insert, select

from langchain_cerebras_ext.costs._ledger import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Table

__all__ = [
    "add_rows",
    "add_totals",
    "chunks",
    "find_numbers",
    "find_tags",
    "find_texts",
]

_CHUNK: Final = 5_000
# PostgreSQL's indexes take 2,704 bytes; a character has up to four.
_LONG: Final = 600
_DENSE: Final = 4
_SHOWN: Final = 100


def chunks(values: Sequence[Any], size: int = _CHUNK) -> Iterable[Sequence[Any]]:
    """Return parts of a sequence that one statement can take."""
    return (values[at : at + size] for at in range(0, len(values), size))


def add_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Any]
) -> None:
    """Insert rows; each has the columns that are named, in their order."""
    _insert(connection, table, names, rows, "")


def add_totals(connection: Connection, table: Table, rows: Sequence[Any]) -> None:
    """Add rows to those that have the same keys, or insert them."""
    keys = [column.name for column in table.primary_key]
    rest = [column.name for column in table.columns if column.name not in keys]
    sums = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in rest)
    conflict = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sums}"
    _insert(connection, table, [*keys, *rest], rows, conflict)


def _insert(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    rows: Sequence[Any],
    conflict: str,
) -> None:
    if not rows:
        return
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"{into} VALUES ({marks}){conflict}", list(rows))
        return
    # One statement for all rows: a list for each column.
    types = (_type_of(table, name) for name in names)
    lists = ", ".join(f"%s::{kind}[]" for kind in types)
    columns = tuple(list(column) for column in zip(*rows, strict=True))
    connection.exec_driver_sql(
        f"{into} SELECT * FROM unnest({lists}){conflict}",  # noqa: S608 - our own names
        columns,
    )


def _type_of(table: Table, name: str) -> str:
    kind = table.columns[name].type
    if isinstance(kind, (BigInteger, Integer, SmallInteger)):
        return "bigint"
    return "double precision" if isinstance(kind, Double) else "text"


def _key(word: str) -> str:
    """Return what a word is found by: itself, unless it is too long for an index."""
    if len(word) <= _LONG:
        return word
    digest = hashlib.sha256(word.encode()).hexdigest()
    return f"{word[:_SHOWN]}... {digest}"


def add_words(connection: Connection, table: Table, words: Sequence[str]) -> None:
    """Insert words; the database numbers them."""
    rows = [
        {"value": key, "whole": None if key == word else word}
        for word, key in ((word, _key(word)) for word in words)
    ]
    connection.execute(insert(table), rows)


def find_numbers(
    connection: Connection, table: Table, words: Sequence[str]
) -> dict[str, int]:
    """Return the numbers of those words that are there."""
    by_key = {_key(word): word for word in words}
    found: dict[str, int] = {}
    for part in chunks(list(by_key)):
        query = select(table.c.value, table.c.id).where(table.c.value.in_(part))
        rows = connection.execute(query).all()
        found.update((by_key[value], number) for value, number in rows)
    return found


def find_tags(connection: Connection, tagsets: Iterable[int]) -> dict[int, list[int]]:
    """Return the numbers of each tag set's tags; 0 has one that is none."""
    of = schema.tags.c
    found: dict[int, list[int]] = {0: [0]}
    for part in chunks(sorted({number for number in tagsets if number})):
        query = select(of.tagset_id, of.tag_id).where(_is_in(of.tagset_id, part))
        for tagset, tag in connection.execute(query).all():
            found.setdefault(tagset, []).append(tag)
    return found


def find_texts(
    connection: Connection, table: Table, numbers: Iterable[int]
) -> dict[int, str]:
    """Return the words of numbers; 0 has none."""
    text = func.coalesce(table.c.whole, table.c.value)
    found: dict[int, str] = {}
    for part in chunks(sorted({number for number in numbers if number})):
        query = select(table.c.id, text).where(_is_in(table.c.id, part))
        rows = connection.execute(query).all()
        found.update((number, word) for number, word in rows)
    return found


def _is_in(column: ColumnElement[int], numbers: Sequence[int]) -> ColumnElement[bool]:
    """Return that a number is among some in their order, or lies between those."""
    first, last = numbers[0], numbers[-1]
    # Most often they lie close together, and to name each is slower.
    is_dense = last - first < _DENSE * len(numbers)
    return column.between(first, last) if is_dense else column.in_(numbers)
