"""Reads the values of settings: text as in the environment, or what TOML makes of it.

Each reader takes either, returns what it has read before as it is, and raises
`ValueError` where the rule is broken; the rule itself is what the message says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from langchain_cerebras_ext._config import clean_key
from langchain_cerebras_ext.errors import SecretText

__all__ = [
    "ANY_TEXT",
    "FLAG",
    "LEVEL",
    "LIMIT",
    "NAMES",
    "OPTIONAL_PORT",
    "ORIGINS",
    "PAIRS",
    "PORT",
    "REDIS",
    "SECONDS",
    "SECONDS_OR_NONE",
    "SECRET",
    "SIZE",
    "TABLES",
    "URL",
    "USD",
    "WORKERS",
    "Rule",
    "one_of",
]

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_NONE: Final = frozenset({"none", "off", "no"})
_MOST_PORT: Final = 65_535
_MOST_WORKERS: Final = 512
_DAY_S: Final = 86_400.0
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.\-]*://[A-Za-z0-9.\-\[\]:]+")


class Rule(NamedTuple):
    """How values of a kind are read, and what is said of those that are not.

    Attributes:
        says: Follows "must be".
        read: Returns the value; raises `ValueError` if it is none.
    """

    says: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _secret(value: Any) -> SecretText:
    return SecretText(_text(value))


def _header_secret(value: Any) -> SecretText:
    text = clean_key(_text(value))
    if text is None or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError
    return SecretText(text)


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one kind of failure for the caller
    if isinstance(value, str):
        text = value.strip()
        # `int` takes other scripts' digits and underscores.
        if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004
            raise ValueError
        return int(text)
    if not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _whole_within(least: int, most: float) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _whole(value)
        if not least <= number <= most:
            raise ValueError
        return number

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let a value be given as `none`, and so override a default."""

    def read_or_none(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value.lower() in _NONE):
            return None
        return read(value)

    return read_or_none


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError  # noqa: TRY004 - one kind of failure for the caller
    seconds = float(value)
    if not 0 < seconds <= _DAY_S:
        raise ValueError
    return seconds


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = _text(value).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError
    return text in _TRUE


def _usd(value: Any) -> Decimal:
    if isinstance(value, (bool, float)):
        # Nobody says 0.1 and means 0.1000000000000000055.
        value = None if isinstance(value, bool) else repr(value)
    try:
        amount = Decimal(value)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise ValueError from error
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable) or isinstance(parts, Mapping):
        raise ValueError  # noqa: TRY004 - one kind of failure for the caller
    return tuple(dict.fromkeys(_text(part) for part in parts))


def _origins(value: Any) -> tuple[str, ...]:
    origins = _names(value)
    if not all(one == "*" or _ORIGIN.fullmatch(one) for one in origins):
        raise ValueError
    return origins


def _pairs(value: Any) -> Mapping[str, str]:
    if isinstance(value, str):
        split = [part.partition("=") for part in value.split(",") if part.strip()]
        items = [(name, target) for name, _, target in split]
    elif isinstance(value, Mapping):
        items = list(value.items())
    else:
        raise ValueError  # noqa: TRY004 - one kind of failure for the caller
    found = {_text(name): _text(target) for name, target in items}
    if len(found) != len(items):
        raise ValueError
    return found


def _tables(value: Any) -> tuple[Any, ...]:
    rows = json.loads(value) if isinstance(value, str) else value
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        raise ValueError  # noqa: TRY004 - one kind of failure for the caller
    return tuple(rows)


def _redis(value: Any) -> SecretText:
    text = _text(value)
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError
    return SecretText(text)


def one_of(*names: str, also: Mapping[str, str] | None = None) -> Rule:
    """Return the rule for one of some words, written in any case.

    Args:
        *names: The words, as they are returned.
        also: What other words, in lower case, stand for.
    """
    known = {name.lower(): name for name in names} | dict(also or {})

    def read(value: Any) -> str:
        name = known.get(_text(value).lower())
        if name is None:
            raise ValueError
        return name

    return Rule(f"one of {', '.join(names)}", read)


ANY_TEXT: Final = Rule("text", _text)
SECRET: Final = Rule(
    "visible ASCII characters without spaces, to stand in a header", _header_secret
)
URL: Final = Rule("a URL", _secret)
PORT: Final = Rule(
    "a whole number from 0 (any free port) to 65535", _whole_within(0, _MOST_PORT)
)
OPTIONAL_PORT: Final = Rule(
    "a whole number from 0 (any free port) to 65535, or none",
    _or_none(_whole_within(0, _MOST_PORT)),
)
WORKERS: Final = Rule("a whole number from 1 to 512", _whole_within(1, _MOST_WORKERS))
SIZE: Final = Rule("a whole number of bytes, 1 at least", _whole_within(1, math.inf))
LIMIT: Final = Rule(
    "a whole number, 1 at least, or none for no limit",
    _or_none(_whole_within(1, math.inf)),
)
SECONDS: Final = Rule("a number of seconds above 0, a day at most", _seconds)
SECONDS_OR_NONE: Final = Rule(
    "a number of seconds above 0, a day at most, or none for no limit",
    _or_none(_seconds),
)
FLAG: Final = Rule("1 or 0 (true, false, yes, no, on, off)", _flag)
USD: Final = Rule(
    "an amount in USD, as 5.00, from 0, or none for no limit", _or_none(_usd)
)
NAMES: Final = Rule("names with commas between them", _names)
ORIGINS: Final = Rule(
    "origins as https://app.example.com with commas between them, or *", _origins
)
PAIRS: Final = Rule(
    "pairs as fast=gpt-oss-120b with commas between them, each name once", _pairs
)
TABLES: Final = Rule(
    'a JSON list of objects, as [{"base_url": "https://...", "api_key": "...", '
    '"model": "..."}]',
    _tables,
)
LEVEL: Final = one_of(
    "DEBUG",
    "INFO",
    "WARNING",
    "ERROR",
    "CRITICAL",
    also={"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL"},
)
REDIS: Final = Rule("a URL as redis://host:6379/0, rediss:// or unix://", _redis)
