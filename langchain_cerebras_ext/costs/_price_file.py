"""A file of prices and discounts of one's own, in TOML or JSON."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from langchain_cerebras_ext.costs.prices import (
    CEREBRAS,
    RATE_NAMES,
    YOURS,
    Discount,
    check_discount,
    check_row,
    read_fraction,
    read_rate,
    split_model,
)
from langchain_cerebras_ext.costs.pricing import ZERO, PriceRow
from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = ["read_price_file"]

_MAX_BYTES: Final = 4 * 1024 * 1024
_LISTS: Final = ("prices", "discounts")
_DAYS: Final = ("valid_from", "valid_until")
_PRICE_KEYS: Final = (
    "model",
    "provider",
    *RATE_NAMES,
    *_DAYS,
    "source",
    "seen",
    "note",
    "batch",
)
_DISCOUNT_KEYS: Final = ("percent", "fraction", "model", "provider", *_DAYS, "note")


def read_price_file(
    path: str | Path,
) -> tuple[list[PriceRow], list[PriceRow], list[Discount]]:
    """Return the prices, those of batch jobs, and the discounts of a file.

    Raises:
        CerebrasConfigurationError: It cannot be read, or a value is wrong; names the
            entry, its line as far as it can be told, and the key.
    """
    place = Path(path).expanduser()
    where = f"Price file {str(place)!r}"
    try:
        data = place.read_bytes()
    except OSError as error:
        msg = f"{where} cannot be read: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
    if len(data) > _MAX_BYTES:
        msg = f"{where} is longer than {_MAX_BYTES} bytes."
        raise CerebrasConfigurationError(msg)
    is_toml = place.suffix.lower() == ".toml"
    text, whole = _decode(data, where, is_toml=is_toml)
    source = f"{YOURS} ({place.name})"
    rows: list[PriceRow] = []
    batch_rows: list[PriceRow] = []
    for entry in _entries(whole, "prices", text, where, is_toml=is_toml):
        entry.check_keys(_PRICE_KEYS)
        (batch_rows if entry.flag("batch") else rows).append(_price(entry, source))
    discounts = [
        _discount(entry)
        for entry in _entries(whole, "discounts", text, where, is_toml=is_toml)
    ]
    return rows, batch_rows, discounts


def _decode(data: bytes, where: str, *, is_toml: bool) -> tuple[str, Mapping[str, Any]]:
    kind = "TOML" if is_toml else "JSON"
    try:
        text = data.decode("utf-8-sig")
        whole: Any = (
            tomllib.loads(text, parse_float=Decimal)
            if is_toml
            else json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
        )
    except (ValueError, RecursionError) as error:  # theirs tell line and column
        msg = f"{where} is no {kind}: {error}."
        raise CerebrasConfigurationError(msg) from error
    if not isinstance(whole, dict):
        msg = f"{where}: must be an object with a list 'prices' or 'discounts'."
        raise CerebrasConfigurationError(msg)
    for key in whole:
        if key not in _LISTS:
            msg = f"{where}: key {key!r} is not known{_nearest(key, _LISTS)}"
            msg = _sentence(msg)
            raise CerebrasConfigurationError(msg)
    return text, whole


def _no_constant(name: str) -> Any:
    msg = f"{name} is no number"
    raise ValueError(msg)


class _Entry:
    """One table of a list, which knows where it stands."""

    __slots__ = ("_place", "_text", "values")

    def __init__(self, values: Any, place: str, text: str | None) -> None:
        self._place = place
        self._text = text
        if not isinstance(values, Mapping):
            what = "must be a table of keys and values"
            raise self.wrong(what)
        self.values: Mapping[str, Any] = values

    def wrong(self, what: str, key: str | None = None) -> CerebrasConfigurationError:
        line = self._line(key)
        at = "" if line is None else f", line {line}"
        named = "" if key is None else f": key {key!r}"
        msg = _sentence(f"{self._place}{at}{named}: {what}")
        return CerebrasConfigurationError(msg)

    def _line(self, key: str | None) -> int | None:
        """Return the line of a key in TOML, where an entry is a block of lines."""
        if self._text is None:
            return None
        name, number = self._place.rsplit(", ", 1)[-1].split(" ")
        header = re.compile(rf"^\s*\[\[\s*{name}s\s*\]\]", re.MULTILINE)
        starts = [found.start() for found in header.finditer(self._text)]
        if len(starts) < int(number):
            return None
        start = starts[int(number) - 1]
        if key is not None:
            found = re.compile(
                rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=", re.MULTILINE
            ).search(self._text, start)
            start = start if found is None else found.start()
        return self._text.count("\n", 0, start + 1) + 1

    def check_keys(self, known: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in known:
                what = f"is not known{_nearest(key, known)}"
                raise self.wrong(what, key)

    def text(self, key: str, default: Any = "") -> Any:
        value = self.values.get(key, default)
        if value is not default and (not isinstance(value, str) or not value.strip()):
            what = f"must be a text; it is {value!r}"
            raise self.wrong(what, key)
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            what = f"must be true or false; it is {value!r}"
            raise self.wrong(what, key)
        return value

    def day(self, key: str) -> date | None:
        value = self.values.get(key)
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        elif value is None or (
            isinstance(value, date) and not isinstance(value, datetime)
        ):
            return value
        what = f"must be a day, as 2026-11-21; it is {value!r}"
        raise self.wrong(what, key)

    def rate(self, key: str) -> Decimal | None:
        try:
            return read_rate(self.values.get(key), key, "")
        except CerebrasConfigurationError as error:
            raise self.wrong(str(error).removeprefix(": ").rstrip("."), key) from error

    def checked(self, check: Any, found: Any) -> Any:
        """Return what was read, if it is right as a whole."""
        try:
            return check(found)
        except CerebrasConfigurationError as error:
            key = next((name for name in _DAYS if name in str(error)), None)
            raise self.wrong(str(error).rstrip("."), key) from error


def _entries(
    whole: Mapping[str, Any], name: str, text: str, where: str, *, is_toml: bool
) -> list[_Entry]:
    found = whole.get(name, [])
    if not isinstance(found, list):
        msg = f"{where}: {name!r} must be a list, one entry for each."
        raise CerebrasConfigurationError(msg)
    return [
        _Entry(values, f"{where}, {name[:-1]} {number}", text if is_toml else None)
        for number, values in enumerate(found, 1)
    ]


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _nearest(key: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def _price(entry: _Entry, source: str) -> PriceRow:
    model = entry.text("model", None)
    if model is None:
        what = "is missing: the model's id, or '*'"
        raise entry.wrong(what, "model")
    prefix, name = split_model(model)
    row = PriceRow(
        input=entry.rate("input"),
        output=entry.rate("output"),
        cached_input=entry.rate("cached_input"),
        cache_write=entry.rate("cache_write"),
        image=entry.rate("image"),
        request=entry.rate("request") or ZERO,
        provider=entry.text("provider", prefix or CEREBRAS),
        model=name,
        source=entry.text("source", source),
        seen=entry.day("seen"),
        valid_from=entry.day("valid_from"),
        valid_until=entry.day("valid_until"),
        note=entry.text("note"),
    )
    found: PriceRow = entry.checked(check_row, row)
    return found


def _discount(entry: _Entry) -> Discount:
    entry.check_keys(_DISCOUNT_KEYS)
    given = entry.values
    key = "percent" if "percent" in given else "fraction"
    try:
        taken = read_fraction(given.get("percent"), given.get("fraction"), "")
    except CerebrasConfigurationError as error:
        raise entry.wrong(str(error).removeprefix(": ").rstrip("."), key) from error
    model = entry.text("model", None)
    prefix, name = (None, None) if model is None else split_model(model)
    one = Discount(
        fraction=taken,
        model=name,
        provider=entry.text("provider", prefix),
        valid_from=entry.day("valid_from"),
        valid_until=entry.day("valid_until"),
        note=entry.text("note"),
    )
    found: Discount = entry.checked(check_discount, one)
    return found
