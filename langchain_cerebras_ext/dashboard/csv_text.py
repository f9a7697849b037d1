"""Rows to CSV that a spreadsheet shows and does not run; pure."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["make_csv"]

# What begins a formula in the spreadsheets there are, full-width forms included.
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def make_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV (RFC 4180).

    Args:
        columns: The first line.
        rows: Texts, numbers, and `None` for what is not known.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return text that is no formula; numbers are left alone, without exponents."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str) and (
        value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)
    ):
        return f"'{value}"
    return value
