"""Records in files: CSV, JSON lines and Parquet, there and back."""

from __future__ import annotations

import contextlib
import csv
import gzip
import importlib.util
import io
import os
import secrets
import shutil
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from langchain_cerebras_ext.costs._ledger.codec import IDS, KINDS, SECONDS, TOKENS
from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    LedgerError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["find_format", "read_file", "write_file"]

_SUFFIXES: Final = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_BATCH: Final = 5_000

_TEXTS: Final = (
    "record_id",
    "model",
    "model_served",
    "provider",
    "operation",
    "user",
    "session",
    "node",
    "arm",
    "outcome",
    "error_type",
    "service_tier",
    *IDS,
    "router_so_far",
)
_LISTS: Final = ("tags", "flags")
_AMOUNTS: Final = tuple(
    kind if kind == "cache_savings" else f"cost_{kind}" for kind in KINDS
)
COLUMNS: Final = (
    "started_at",
    *_TEXTS,
    *_LISTS,
    "stream",
    "attempts",
    *TOKENS,
    *SECONDS,
    "cost_usd",
    *_AMOUNTS,
    "price",
)
"""The columns of CSV and Parquet; `cost_usd` is the sum, empty where not known."""


def find_format(path: Path | None, given: str | None) -> tuple[str, bool]:
    """Return a file's format, by its name unless given, and whether it is packed.

    An open file has no name that would tell.

    Raises:
        CerebrasConfigurationError: There is no such format.
    """
    name = Path() if path is None else path
    packed = name.suffix.lower() == ".gz"
    inner = Path(name.stem).suffix.lower() if packed else name.suffix.lower()
    found = given.lower() if given else _SUFFIXES.get(inner)
    if found not in {"csv", "jsonl", "parquet"} or (packed and found == "parquet"):
        what = "An open file" if path is None else f"The file name {path.name!r}"
        what = f"format={given!r}" if given else what
        msg = (
            f"{what} says no format; take one that ends in .csv, .jsonl (both also "
            "with .gz) or .parquet, or pass format='csv', 'jsonl' or 'parquet'."
        )
        raise CerebrasConfigurationError(msg)
    if found == "parquet" and importlib.util.find_spec("pyarrow") is None:
        msg = (
            "Parquet needs pyarrow. Run: pip install 'langchain-cerebras-ext[parquet]'"
        )
        raise MissingExtraError(msg)
    return found, packed


# ---------------------------------------------------------------------------- out


def write_file(
    records: Iterable[UsageRecord], target: Path | IO[bytes], form: str, *, packed: bool
) -> int:
    """Write records; the file has all of them or is what it was.

    A link stays, and what it leads to is written. What is no plain file, such as a
    pipe, stays too: it gets the records when there are all of them, as an open file.

    Raises:
        LedgerError: The file cannot be written.
    """
    try:
        if isinstance(target, Path) and _may_replace(target):
            whole = Path(os.path.realpath(target))
            return _replace(records, whole, form, packed=packed)
        with tempfile.TemporaryFile() as made:
            count = _write(records, made, form, packed=packed)
            made.seek(0)
            with _opened(target) as file:
                shutil.copyfileobj(made, file)
    except OSError as error:
        name = target if isinstance(target, Path) else "The open file"
        said = error.strerror or error
        msg = f"{name} cannot be written: {said}. Take another path."
        raise LedgerError(msg) from error
    return count


def _may_replace(path: Path) -> bool:
    """Whether another file may take the place of what is there, or leads there."""
    # What is there may be a link to a file that this process has open.
    if path.absolute().parts[1:2] in {("dev",), ("proc",)}:
        return False
    return path.is_file() or not path.exists()


def _replace(
    records: Iterable[UsageRecord], path: Path, form: str, *, packed: bool
) -> int:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            count = _write(records, file, form, packed=packed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return count


@contextlib.contextmanager
def _opened(target: Path | IO[bytes]) -> Generator[IO[bytes]]:
    if isinstance(target, Path):
        with target.open("wb") as file:
            yield file
        return
    yield target
    target.flush()


def _write(
    records: Iterable[UsageRecord], file: IO[bytes], form: str, *, packed: bool
) -> int:
    if not packed:
        return _WRITERS[form](records, file)
    # Without the time, so that the same records give the same bytes.
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped:
        return _WRITERS[form](records, zipped)


def _write_jsonl(records: Iterable[UsageRecord], file: IO[bytes]) -> int:
    count = 0
    encoder = msgspec.json.Encoder()
    for count, record in enumerate(records, 1):  # noqa: B007 - counted
        file.write(encoder.encode(record) + b"\n")
    return count


def _write_csv(records: Iterable[UsageRecord], file: IO[bytes]) -> int:
    count = 0
    with _as_text(file) as text:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for count, record in enumerate(records, 1):  # noqa: B007 - counted
            flat = _flatten(record)
            writer.writerow([_cell(name, flat[name]) for name in COLUMNS])
    return count


def _write_parquet(records: Iterable[UsageRecord], file: IO[bytes]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _parquet_schema()
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(records):
            rows = [_flatten(record) for record in batch]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            count += len(batch)
    return count


_WRITERS: Final[dict[str, Callable[[Iterable[UsageRecord], Any], int]]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


@contextlib.contextmanager
def _as_text(file: IO[bytes], encoding: str = "utf-8") -> Generator[io.TextIOWrapper]:
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.detach()  # which writes what is left


def _batches(records: Iterable[UsageRecord]) -> Iterator[list[UsageRecord]]:
    batch: list[UsageRecord] = []
    for record in records:
        batch.append(record)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _flatten(record: UsageRecord) -> dict[str, Any]:
    cost = record.cost
    flat: dict[str, Any] = {
        name: getattr(record, name)
        for name in (*_TEXTS, "stream", "attempts", *TOKENS, *SECONDS)
    }
    flat["started_at"] = record.started_at.astimezone(UTC)
    for name in _LISTS:
        flat[name] = list(getattr(record, name))
    flat["cost_usd"] = record.cost_usd
    for name, kind in zip(_AMOUNTS, KINDS, strict=True):
        flat[name] = None if cost is None else getattr(cost, kind)
    price = None if cost is None else cost.price
    flat["price"] = None if price is None else msgspec.json.encode(price).decode()
    return flat


def _parquet_schema() -> Any:
    import pyarrow as pa

    def type_of(name: str) -> Any:
        if name in _LISTS:
            return pa.list_(pa.string())
        if name in SECONDS:
            return pa.float64()
        if name in TOKENS or name == "attempts":
            return pa.int64()
        if name == "cost_usd" or name in _AMOUNTS:
            return pa.decimal128(38, 12)
        if name == "stream":
            return pa.bool_()
        return pa.timestamp("us", "UTC") if name == "started_at" else pa.string()

    return pa.schema([(name, type_of(name)) for name in COLUMNS])


# ------------------------------------------------------------------------ CSV cells

# A spreadsheet takes what begins with one of these for a formula, and runs it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")


def _cell(name: str, value: Any) -> str:
    """Return a value as a cell: empty is `None`, `'` stands before what is escaped.

    An apostrophe before a text keeps spreadsheets from computing it; alone it is the
    empty text. Reading takes it off again.
    """
    if value is None:
        return ""
    if name in _TEXTS:
        text = str(value)
        return f"'{text}" if not text or text.startswith(_FORMULA) else text
    if name in _LISTS:
        return msgspec.json.encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return [] if name in _LISTS else None
    if name in _TEXTS:
        return cell.removeprefix("'")
    return msgspec.json.decode(cell) if name in _LISTS else cell


# ----------------------------------------------------------------------------- in


def read_file(path: Path, form: str, *, packed: bool) -> Iterator[UsageRecord]:
    """Yield the records of a file.

    Raises:
        LedgerError: It cannot be read, or a record is wrong; says which.
    """
    try:
        with path.open("rb") as raw, contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(gzip.open(raw)) if packed else raw
            number = 0
            rows = _READERS[form](file)
            stack.callback(rows.close)
            while True:
                try:
                    record = next(rows, None)
                except (ValueError, csv.Error, KeyError, ArithmeticError) as error:
                    said = f"{type(error).__name__}: {error}"[:300]
                    msg = (
                        f"{path}: record {number + 1} cannot be read ({said}). Those "
                        "before it are read; mend it and read the file again: no "
                        "record is counted twice."
                    )
                    raise LedgerError(msg) from error
                if record is None:
                    return
                number += 1
                yield record
    except (OSError, EOFError) as error:
        said = getattr(error, "strerror", None) or str(error)
        msg = f"{path} cannot be read: {said}."
        raise LedgerError(msg) from error


class _KnownCost(msgspec.Struct):
    total: Decimal | None = None


class _Known(msgspec.Struct):
    """What a record in a file must have, though one that is made here need not.

    And the sums that others write beside the parts, or without them.
    """

    record_id: str
    cost_usd: Decimal | None = None
    cost: _KnownCost | None = None


_LEAST: Final = Decimal("1e-9")
"""By so many USD a sum may differ from its parts: others round it."""


def _check_sums(record: UsageRecord, known: _Known) -> None:
    """See that what a file calls the cost is what its parts add up to.

    Raises:
        ValueError: It is not; a sum alone would be taken for 0.
    """
    parts = record.cost_usd
    inner = None if known.cost is None else known.cost.total
    for told in (known.cost_usd, inner):
        if told is not None and (parts is None or abs(told - parts) > _LEAST):
            shown = "not there" if parts is None else f"{parts} together"
            msg = (
                f"its cost is {told} USD, and the parts of it (cost_input, cost_output "
                f"and so on) are {shown}; if only the sum is known, write it as "
                "cost_request, too"
            )
            raise ValueError(msg)


def _read_jsonl(file: IO[bytes]) -> Generator[UsageRecord]:
    decoder = msgspec.json.Decoder(UsageRecord)
    check = msgspec.json.Decoder(_Known)
    for line in file:
        if line.strip():
            record = decoder.decode(line)
            # Else it would get a new id, and be counted again, with each reading.
            _check_sums(record, check.decode(line))
            yield record


def _read_csv(file: IO[bytes]) -> Generator[UsageRecord]:
    # A byte order mark is what spreadsheets put in front.
    with _as_text(file, "utf-8-sig") as text:
        rows = csv.reader(text, strict=True)
        names = next(rows, None)
        if names is None:
            return
        if not {"record_id", "started_at", "model"} <= set(names):
            msg = (
                "the first line names no record_id, started_at and model, with commas "
                "between them"
            )
            raise ValueError(msg)
        if len(set(names)) < len(names):
            msg = "the first line names a column twice"
            raise ValueError(msg)
        for row in filter(None, rows):  # editors leave empty lines at the end
            if len(row) != len(names):
                msg = f"it has {len(row)} cells, and the first line {len(names)}"
                raise ValueError(msg)
            cells = zip(names, row, strict=True)
            yield _unflatten(
                {name: _value(name, one) for name, one in cells if name in COLUMNS}
            )


def _read_parquet(file: IO[bytes]) -> Generator[UsageRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        for batch in table.iter_batches(_BATCH):
            for row in batch.to_pylist():
                yield _unflatten({n: v for n, v in row.items() if n in COLUMNS})
    except pa.ArrowException as error:
        msg = f"no Parquet file of records: {error}"
        raise ValueError(msg) from error


_READERS: Final[dict[str, Callable[[Any], Generator[UsageRecord]]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}


def _unflatten(flat: dict[str, Any]) -> UsageRecord:
    """Return the record of a row, whose values may be texts; checks all of them."""
    cost: dict[str, Any] | None = None
    if flat.get("cost_usd") is not None:
        cost = {
            kind: flat[name]
            for name, kind in zip(_AMOUNTS, KINDS, strict=True)
            if flat.get(name) is not None
        }
        if flat.get("price") is not None:
            cost["price"] = msgspec.json.decode(flat["price"], type=PriceRow)
    fields = {
        name: value
        for name, value in flat.items()
        if name not in _AMOUNTS and name != "price" and value is not None
    }
    known = msgspec.convert(fields, _Known, strict=False)
    made = msgspec.convert(fields, UsageRecord, strict=False)
    if cost is None:
        return made
    whole = made.replace(cost=msgspec.convert(cost, Cost, strict=False))
    _check_sums(whole, known)
    return whole
