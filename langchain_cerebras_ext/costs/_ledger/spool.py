"""Files that keep records which the database does not take: JSON, a record a line.

Each process writes a file of its own, locked as long as it lives. Whoever gets the lock
of a file, its writer or anybody after it, may take the records over and delete it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from langchain_cerebras_ext.costs._ledger.codec import (
    checked_record,
    from_line,
    to_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["Replayed", "Spool"]

_log = logging.getLogger("langchain_cerebras_ext.ledger")

_BATCH: Final = 1_000
_PRIVATE: Final = 0o600


class Replayed(NamedTuple):
    """What came of spool files.

    Attributes:
        records: How many were read and taken.
        damaged: How many lines were none; they are kept in `kept`.
        kept: The file of damaged lines.
    """

    records: int
    damaged: int
    kept: Path | None


class Spool:
    """The spool files of one ledger.

    Args:
        stem: How their names begin; `None` where there is no place for them.

    Attributes:
        count: Records that wait in this process's own file.
        counting: Held for a moment while records are counted elsewhere than before, so
            that whoever holds it sees each of them once.
    """

    def __init__(self, stem: Path | None) -> None:
        self._stem = stem
        self._lock = threading.RLock()
        self._file: int | None = None
        self._path: Path | None = None
        self._others: set[Path] = set()
        self.counting = threading.RLock()
        self.count = 0

    @property
    def path(self) -> Path | None:
        """This process's file, while there is one."""
        return self._path

    def after_fork(self) -> None:
        """Leave the parent's file to the parent, who keeps the lock."""
        self._lock = threading.RLock()
        self.counting = threading.RLock()
        self.release()

    def release(self) -> None:
        """Leave this process's file to whoever comes next."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = self._path = None
            self.count = 0

    # -------------------------------------------------------------------- writing

    def append(
        self, records: Sequence[UsageRecord], kept: Callable[[int], None]
    ) -> None:
        """Keep records; when this returns they are on the disk.

        Args:
            records: What to keep.
            kept: Is told how many, at the moment at which they are counted here.

        Raises:
            OSError: They could not be written; the file is as it was.
        """
        lines = b"".join(_line(one) + b"\n" for one in records)
        with self._lock:
            file = self._open()
            size = os.fstat(file).st_size
            try:
                _write(file, lines)
                os.fsync(file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                raise
            with self.counting:
                self.count += len(records)
                kept(len(records))

    def _open(self) -> int:
        if self._file is not None and self._is_there():
            return self._file
        if self._stem is None:
            msg = "There is no place for a spool file."
            raise OSError(msg)
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        path = self._stem.with_name(f"{self._stem.name}-{secrets.token_hex(6)}.jsonl")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        file = os.open(path, flags | getattr(os, "O_BINARY", 0), _PRIVATE)
        _try_lock(file)
        self._file, self._path, self.count = file, path, 0
        return file

    def _is_there(self) -> bool:
        """Whether the file has still its name: somebody may have tidied up."""
        file, path = self._file, self._path
        return file is not None and path is not None and _is_same(file, path)

    def set_aside(self, rejected: Sequence[tuple[UsageRecord, str]]) -> Path | None:
        """Keep records that no row can hold, with the reason; `None` if that fails."""
        if self._stem is None:
            return None
        path = self._stem.with_name(f"{self._stem.name}.rejected")
        lines = (
            msgspec.json.encode({"reason": reason, "record": repr(record)})
            for record, reason in rejected
        )
        return _append_to(path, lines)

    # ------------------------------------------------------------------ replaying

    def waiting(self) -> bool:
        """Whether there are files that may be replayed."""
        return bool(self._paths())

    def replay(self, take: Callable[[list[UsageRecord]], None]) -> Replayed:
        """Hand over the records of all files that no other process holds.

        Args:
            take: What takes a batch. If it raises, its file stays as it was; then the
                same records are handed over again another time.

        Raises:
            OSError: A file could not be read or removed.
        """
        records, damaged, kept = 0, 0, None
        with self._lock:
            for path in self._paths():
                bad: list[bytes] = []
                with self._held(path) as file:
                    if file is None:
                        continue
                    for batch in _batches(file, bad):
                        take(batch)
                        records += len(batch)
                    if bad:
                        kept = _append_to(path.with_suffix(".damaged"), bad)
                        damaged += len(bad)
                    # Some systems remove no file that is open.
                    os.ftruncate(file, 0)
                if path == self._path:
                    self.release()
                # Another user's in a folder of all: empty it may stay.
                with contextlib.suppress(PermissionError):
                    path.unlink(missing_ok=True)
        return Replayed(records, damaged, kept)

    def _paths(self) -> list[Path]:
        if self._stem is None:
            return []
        start = f"{self._stem.name}-"
        try:
            return sorted(
                path
                for path in self._stem.parent.iterdir()
                if path.name.startswith(start) and path.suffix == ".jsonl"
            )
        except OSError:
            return []

    @contextlib.contextmanager
    def _held(self, path: Path) -> Generator[int | None]:
        """Open a file and hold its lock; `None` if another process or user has it."""
        if path == self._path:
            yield self._file
            return
        try:
            file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            yield None
            return
        except PermissionError:
            # It is no reason to write no more to a database that can be written.
            self._leave(path)
            yield None
            return
        try:
            # Its name may be gone by now: another has taken it over before.
            yield file if _try_lock(file) and _is_same(file, path) else None
        finally:
            os.close(file)

    def _leave(self, path: Path) -> None:
        """Say, once, that a file waits for another user."""
        if path not in self._others:
            self._others.add(path)
            _log.warning(
                "%s may not be read here: its records wait until the user whose file "
                "it is opens the ledger.",
                path,
            )


def _line(record: UsageRecord) -> bytes:
    try:
        return to_line(checked_record(record, nul=True))
    except (TypeError, ValueError, ArithmeticError):
        # Not lost: it is found when the file is replayed, and kept aside then.
        return msgspec.json.encode({"unreadable": repr(record)})


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _batches(file: int, bad: list[bytes]) -> Iterator[list[UsageRecord]]:
    """Yield the records of a file, and keep the lines that are none."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as lines:
        batch: list[UsageRecord] = []
        for line in lines:
            try:
                batch.append(from_line(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                bad.append(line.rstrip(b"\n"))
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _append_to(path: Path, lines: Iterator[bytes] | list[bytes]) -> Path | None:
    try:
        with path.open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return None
    return path


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _try_lock(file: int) -> bool:
    """Take a file's lock, which goes with the process; returns whether it was free."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows
        import msvcrt

        lock = getattr(msvcrt, "locking")  # noqa: B009 - not on this system's stubs
        try:
            # Far behind the end, so that the lines themselves can be read.
            os.lseek(file, 2**31 - 2, os.SEEK_SET)
            lock(file, getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
