"""Files that keep records which the database does not take: JSON, a record a line.

Each process writes a file of its own, locked as long as it lives, and a new one while
that is taken over. Whoever gets the lock of a file, its writer or anybody after it, may
take the records over and delete it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

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

_T = TypeVar("_T")

_BATCH: Final = 1_000
_PRIVATE: Final = 0o600


class Replayed(NamedTuple):
    """What came of spool files.

    Attributes:
        records: How many were read and taken.
        left: How many of them another process had left.
        damaged: How many lines were none; they are kept in `kept`.
        kept: The file of damaged lines.
    """

    records: int
    left: int
    damaged: int
    kept: Path | None


class _Own:
    """A file of this process, which holds its lock as long as it is open.

    Attributes:
        records: How many it holds.
        taken: How many of them have been handed over.
    """

    __slots__ = ("file", "path", "records", "taken")

    def __init__(self, file: int, path: Path) -> None:
        self.file = file
        self.path = path
        self.records = self.taken = 0


class Spool:
    """The spool files of one ledger.

    Records can be kept while others are handed over: that may take as long as the
    database does, so it is done from a file that nothing is appended to any more.

    Args:
        stem: How their names begin; `None` where there is no place for them.

    Attributes:
        counting: Held for a moment while records are counted elsewhere than before, so
            that whoever holds it sees each of them once.
    """

    def __init__(self, stem: Path | None) -> None:
        self._stem = stem
        self._lock = threading.RLock()
        self._open_one: _Own | None = None
        self._sealed: list[_Own] = []
        self._others: set[Path] = set()
        self.counting = threading.RLock()

    @property
    def paths(self) -> list[Path]:
        """This process's files: none, one, or two while one is handed over."""
        with self.counting:
            return [one.path for one in self._own()]

    @property
    def count(self) -> int:
        """How many records wait in this process's files."""
        with self.counting:
            return sum(one.records - one.taken for one in self._own())

    def _own(self) -> list[_Own]:
        return [*self._sealed, *([self._open_one] if self._open_one else [])]

    def after_fork(self) -> None:
        """Leave the parent's files to the parent, who keeps the locks."""
        self._lock = threading.RLock()
        self.counting = threading.RLock()
        self.release()

    def release(self) -> None:
        """Leave this process's files to whoever comes next."""
        with self._lock, self.counting:
            for one in self._own():
                os.close(one.file)
            self._open_one = None
            self._sealed = []

    # -------------------------------------------------------------------- writing

    def append(
        self,
        records: Sequence[UsageRecord],
        kept: Callable[[int], None],
        *,
        sync: bool = True,
    ) -> None:
        """Keep records; when this returns they outlive the process.

        Args:
            records: What to keep.
            kept: Is told how many, at the moment at which they are counted here.
            sync: Whether they are to outlive the machine, too, and so be on the disk.

        Raises:
            OSError: They could not be written; the file is as it was.
        """
        lines = b"".join(_line(one) + b"\n" for one in records)
        with self._lock:
            own = self._opened()
            size = os.fstat(own.file).st_size
            try:
                _write(own.file, lines)
                if sync:
                    os.fsync(own.file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(own.file, size)
                raise
            with self.counting:
                own.records += len(records)
                kept(len(records))

    def _opened(self) -> _Own:
        own = self._open_one
        if own is not None:
            if _is_same(own.file, own.path):
                return own
            # Somebody has tidied up: what it holds can still be read, here alone.
            self._seal(own)
        if self._stem is None:
            msg = "There is no place for a spool file."
            raise OSError(msg)
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        self._open_one = _made(self._stem)
        return self._open_one

    def _seal(self, own: _Own) -> None:
        with self.counting:
            self._sealed.append(own)
            self._open_one = None

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

    def replay(
        self, take: Callable[[list[UsageRecord]], _T], counted: Callable[[_T], None]
    ) -> Replayed:
        """Hand over the records of all files that no other process holds.

        What is kept meanwhile is left for the next time.

        Args:
            take: What takes a batch. If it raises, its file stays as it was; then the
                same records are handed over again another time.
            counted: Is told what `take` returned, at the moment at which the batch is
                no longer counted here.

        Raises:
            OSError: A file could not be read or removed.
        """
        records, left, damaged, kept = 0, 0, 0, None
        for path, own in self._due():
            bad: list[bytes] = []
            seen = 0
            with self._held(path, own) as file:
                if file is None:
                    continue
                for batch in _batches(file, bad):
                    taken = take(batch)
                    seen += len(batch)
                    with self.counting:
                        if own is not None:
                            own.taken = max(own.taken, seen)
                        counted(taken)
                if bad:
                    kept = _append_to(path.with_suffix(".damaged"), bad)
                    damaged += len(bad)
                # Some systems remove no file that is open.
                os.ftruncate(file, 0)
            records += seen
            if own is None:
                left += seen
            else:
                self._close(own)
            # Another user's in a folder of all: empty it may stay.
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)
        return Replayed(records, left, damaged, kept)

    def _due(self) -> Iterator[tuple[Path, _Own | None]]:
        """Yield what to hand over: others' files, and those of this process, sealed.

        The one that is open is sealed when all before it are done, so that a long
        outage makes two files, not one for each time that the database is tried.
        """
        with self._lock:
            mine = self.paths
            others = [path for path in self._paths() if path not in mine]
        for path in others:
            yield path, None
        for own in self._sealed[:]:
            yield own.path, own
        with self._lock:
            last = self._open_one
            if last is not None:
                self._seal(last)
        if last is not None:
            yield last.path, last

    def _close(self, own: _Own) -> None:
        with self._lock, self.counting:
            self._sealed.remove(own)
            os.close(own.file)

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
    def _held(self, path: Path, own: _Own | None) -> Generator[int | None]:
        """Open a file and hold its lock; `None` if another process or user has it."""
        if own is not None:
            yield own.file
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


def _made(stem: Path) -> _Own:
    """Make a file whose name nobody has taken before it was locked."""
    tries = 3
    while True:
        path = stem.with_name(f"{stem.name}-{secrets.token_hex(6)}.jsonl")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        file = os.open(path, flags | getattr(os, "O_BINARY", 0), _PRIVATE)
        tries -= 1
        # Another process may have found it empty, and removed it. Where no file can be
        # locked, which none is in the end, it is used without.
        if (_try_lock(file) and _is_same(file, path)) or not tries:
            return _Own(file, path)
        os.close(file)
        path.unlink(missing_ok=True)


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
