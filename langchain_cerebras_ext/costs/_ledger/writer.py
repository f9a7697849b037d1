"""From the hot path to the database: a queue, one thread, and what if it fails."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SQLAlchemyError

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.errors import CerebrasCostWarning, CerebrasError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_cerebras_ext.costs._ledger.spool import Replayed, Spool
    from langchain_cerebras_ext.costs._ledger.store import Appended, Store
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["Writer", "told"]

_log = logging.getLogger("langchain_cerebras_ext.ledger")

_MOST_AT_ONCE: Final = 1_000
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_SHOWN: Final = 300
_FORK_S: Final = 5.0


class Writer:
    """Writes records to a store, in batches, and never lets its troubles out.

    No more than a batch is ever in memory alone, which is what a process that is killed
    loses: half of it may wait while the other half is being written. What comes faster
    than the store takes it goes to the spool, as does what it does not take at all;
    what the spool does not take stays in memory, up to a bound; what is over it is
    counted, and said.

    Args:
        store: The database.
        spool: The files beside it.
        batch_size: So many records are in memory at most, unless the spool fails.
        interval_s: So long a record waits at most.
        max_buffered: So many records are in memory at most, if it fails.
        is_reader: Whether perhaps nothing will ever be written: then troubles are no
            news as long as no record waits.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        batch_size: int,
        interval_s: float,
        max_buffered: int,
        is_reader: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._spool = spool
        self._batch_size = min(max(batch_size, 2), max_buffered)
        # What is written at once, and what may wait meanwhile.
        self._half = min(max(1, self._batch_size // 2), _MOST_AT_ONCE)
        self._interval_s = interval_s
        self._max_buffered = max_buffered
        self._is_reader = is_reader
        self._is_told = False
        self._create = False
        self._clock = clock
        self._strict = batch_size <= 1 or interval_s <= 0
        self.written = self.replayed = self.rejected = self.dropped = 0
        self.error: str | None = None
        self._closed = False
        self._replay_due = spool.waiting()
        self._wait_s = _FIRST_WAIT_S
        self._retry_at = 0.0
        self._renew()

    def _renew(self) -> None:
        self._queue: deque[UsageRecord] = deque()
        self._in_hand = 0  # taken from there, and not yet anywhere else
        self._is_spool_bad = False
        self._lock = threading.RLock()
        self._aside = threading.RLock()  # held while a caller spools
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._idle = True
        self._thread: threading.Thread | None = None

    def before_fork(self) -> bool:
        """Let what is being written be ended; until `resume` nothing else is begun.

        Returns:
            Whether that was done; a database that does not answer is not waited for.
        """
        return self._lock.acquire(timeout=_FORK_S)

    def resume(self) -> None:
        """Go on after `before_fork`, in the parent."""
        self._lock.release()

    def after_fork(self) -> None:
        """Begin anew in a child: what the parent has not written is the parent's."""
        self._renew()
        self._spool.after_fork()
        self._store.after_fork()
        self.written = self.replayed = self.rejected = self.dropped = 0

    # ------------------------------------------------------------------- hot path

    def add(self, record: UsageRecord) -> None:
        """Take a record in."""
        queue = self._queue
        queue.append(record)
        if self._idle or len(queue) + self._in_hand >= self._half:
            self._nudge()

    def _nudge(self) -> None:
        """See to it that somebody writes."""
        if self._strict or self._closed or (self._thread is None and not self._start()):
            with self._lock:
                self._drain(force=False)
            return
        most = self._max_buffered if self._is_spool_bad else self._batch_size
        if self.buffered > most:
            self._overflow()
        self._idle = False
        if not self._wake.is_set():
            self._wake.set()

    def _start(self) -> bool:
        with self._lock:
            if self._thread is not None:
                return True
            thread = threading.Thread(
                target=self._run, name="cerebras-ledger", daemon=True
            )
            self._thread = thread
            _flush_at_exit_of_worker(self)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending
                self._thread = None
                return False
            return True

    def _overflow(self) -> None:
        """Spool what memory may not hold, while the writer is in the database.

        This is the caller's thread, so it does not wait for the disk: what the system
        has outlives the process.
        """
        with self._aside:
            count = min(len(self._queue), _MOST_AT_ONCE)
            if self._is_spool_bad:
                count = self.buffered - self._max_buffered
            some = self._take(count)
            if some:
                error = self._keep(some, sync=False)
                if error is None:
                    self._replay_due = True
                    return
                self._put_back(some)
                self._bound(error)

    # ----------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._closed:
            self._rest()
            try:
                self._drain(force=False)
            except Exception:  # the thread must not end  # noqa: BLE001
                _log.exception("The ledger's writer failed; it goes on.")
                time.sleep(_FIRST_WAIT_S)

    def _rest(self) -> None:
        if not self._queue and self.error is None and not self._replay_due:
            self._idle = True
            # An `add` that came before the line above has not seen it.
            if not self._queue:
                self._wake.wait()
            self._idle = False
        if self.error is not None:
            # Not for each call that adds a record: it would be tried again and again.
            self._ended.wait(min(self._interval_s, _FIRST_WAIT_S))
        else:
            # Before it looks: who comes afterwards wakes it.
            self._wake.clear()
            is_due = self._replay_due or len(self._queue) >= self._half
            if not (self._closed or is_due):
                self._wake.wait(self._interval_s)
        self._wake.clear()

    # -------------------------------------------------------------------- writing

    def flush(self, timeout_s: float | None = None) -> bool:
        """Write what waits; returns whether the database has all of it."""
        if not self._lock.acquire(timeout=-1 if timeout_s is None else timeout_s):
            return False
        try:
            self._drain(force=True)
        finally:
            self._lock.release()
        return not self._queue and self.error is None and self._spool.count == 0

    def _drain(self, *, force: bool) -> None:
        """Write what waits, to the database or else to the spool.

        Args:
            force: Whether to try a database again that has just failed.
        """
        with self._lock:
            if self.error is not None and not force and self._clock() < self._retry_at:
                self._tell_once()
                self._spool_all()
                return
            try:
                self._write_all()
            except Exception as error:  # noqa: BLE001 - whatever a driver raises
                self._failed(error)
                self._spool_all()

    def _write_all(self) -> None:
        """Write what waits now, in memory and in spool files."""
        was_down = self.error is not None
        if was_down:
            self._store.open(create=self._create)
        # Others go on adding: what was there in the beginning is enough.
        rest = before = len(self._queue)
        while rest > 0:
            wrote = self._write_some(rest)
            if not wrote:
                break
            rest -= wrote
        self._is_spool_bad = False  # as far as is known
        with self._aside:
            pass  # What a caller has in hand is in the spool now.
        found = None
        if was_down or self._replay_due:
            found = self._replay()
        if was_down:
            # It is back when it has taken something, not before.
            if rest == before and not (found and found.records):
                self._store.touch()
            self._create = self._is_told = False
            self.error, self._wait_s = None, _FIRST_WAIT_S
        if found is not None:
            self._tell_of(found, was_down=was_down)

    def _take(self, count: int) -> list[UsageRecord]:
        """Take records in hand, from where they wait."""
        with self.counting:
            count = min(count, len(self._queue))
            # First, so that who adds sees rather too many in memory than too few.
            self._in_hand += max(count, 0)
            return [self._queue.popleft() for _ in range(count)]

    def _put_back(self, batch: list[UsageRecord]) -> None:
        with self.counting:
            self._queue.extendleft(reversed(batch))
            self._in_hand -= len(batch)

    def _let_go(self, count: int) -> None:
        self._in_hand -= count

    def _keep(self, batch: list[UsageRecord], *, sync: bool) -> OSError | None:
        """Spool what is in hand; returns why not, and then it is in hand still."""
        try:
            self._spool.append(batch, self._let_go, sync=sync)
        except OSError as error:
            # Or each call would try it in vain.
            self._is_spool_bad = True
            return error
        self._is_spool_bad = False
        return None

    def _write_some(self, most: int) -> int:
        """Write a batch of what waits; returns how many records it had."""
        # More where memory holds more than it should anyway.
        at_once = _MOST_AT_ONCE if self._is_spool_bad else self._half
        batch = self._take(min(most, at_once))
        if batch:
            try:
                appended = self._store.append(batch)
            except BaseException:
                self._put_back(batch)
                raise
            with self.counting:
                self._let_go(len(batch))
                self.written += appended.new
                self.rejected += len(appended.rejected)
            self._set_aside(appended.rejected)
        return len(batch)

    def _replay(self) -> Replayed:
        """Take over what was spooled."""
        # Before it begins: what is spooled meanwhile is due again.
        self._replay_due = False
        try:
            return self._spool.replay(self._store.append, self._taken_over)
        except BaseException:
            self._replay_due = True
            raise

    def _taken_over(self, appended: Appended) -> None:
        self.replayed += appended.new
        self.rejected += len(appended.rejected)
        self._set_aside(appended.rejected)

    def _tell_of(self, found: Replayed, *, was_down: bool) -> None:
        if found.damaged:
            kept = f"They are kept in {found.kept}." if found.kept else ""
            _tell(
                f"{found.damaged} lines of spool files of the ledger at "
                f"{self._store.place.shown} were no records, such as one that was "
                f"being written when a process was killed. {kept}"
            )
        if was_down or found.left:
            _log.warning(
                "The ledger at %s is written again; %d records were taken over from "
                "spool files, %d are lost.",
                self._store.place.shown,
                found.records,
                self.dropped,
            )

    # ------------------------------------------------------------------- failures

    def mark_down(self, error: Exception, *, create: bool) -> None:
        """Begin with an outage; the tables may be made when it is over."""
        self._create = create
        self._failed(error)

    def _failed(self, error: Exception) -> None:
        # What comes back may be an older state, without the words we know.
        self._store.forget()
        self.error = told(self._store, error)
        self._retry_at = self._clock() + self._wait_s
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
        self._tell_once()

    def _tell_once(self) -> None:
        """Warn of an outage, as soon as it concerns somebody."""
        is_concern = self._queue or self._spool.count or not self._is_reader
        if is_concern and not self._is_told:
            self._is_told = True
            _tell(
                f"The ledger at {self._store.place.shown} cannot be written: "
                f"{self.error} Calls go on; records are kept in a spool file, else in "
                "memory, and written when it is back."
            )

    def _spool_all(self) -> None:
        rest = len(self._queue)
        while rest > 0 and (batch := self._take(_MOST_AT_ONCE)):
            rest -= len(batch)
            error = self._keep(batch, sync=True)
            if error is not None:
                self._put_back(batch)
                self._bound(error)
                return

    def _bound(self, error: OSError) -> None:
        """Keep memory bounded, if the spool fails as well."""
        over = self._take(self.buffered - self._max_buffered)
        if over:
            self._drop(over, error)

    def _drop(self, batch: list[UsageRecord], error: OSError) -> None:
        is_news = self.dropped == 0
        self._lose(batch)
        if is_news:
            _tell(
                f"Records are lost: the ledger at {self._store.place.shown} cannot be "
                f"written, nor its spool file ({error.strerror or error}), and "
                f"{self._max_buffered} records are in memory already. "
                "`Ledger.status().dropped` counts them."
            )

    def _lose(self, batch: list[UsageRecord]) -> None:
        with self.counting:
            self._let_go(len(batch))
            self.dropped += len(batch)

    def _set_aside(self, rejected: list[tuple[UsageRecord, str]]) -> None:
        if not rejected:
            return
        is_news = self.rejected == len(rejected)
        kept = self._spool.set_aside(rejected)
        if is_news:
            where = f"kept in {kept}" if kept else "not kept"
            _tell(
                f"The ledger at {self._store.place.shown} cannot hold a record: "
                f"{rejected[0][1]} It is {where}."
            )

    # ------------------------------------------------------------------ the end

    @property
    def counting(self) -> threading.RLock:
        """Whoever holds it sees each record counted once; for a moment only."""
        return self._spool.counting

    @property
    def buffered(self) -> int:
        """How many records are in memory, with those that are being written."""
        with self.counting:
            return len(self._queue) + self._in_hand

    @property
    def spooled(self) -> int:
        """How many records are in this process's spool file."""
        return self._spool.count

    @property
    def spool_path(self) -> Path | None:
        """This process's spool file, while there is one; the one it writes, of two."""
        return self._spool.paths[-1] if self._spool.paths else None

    def close(self) -> None:
        """Write all there is, somewhere, and say what could not be kept."""
        was_closed, self._closed = self._closed, True
        self._wake.set()
        self._ended.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            with contextlib.suppress(RuntimeError):
                thread.join(self._interval_s + 1)
        with self._lock:
            self._drain(force=True)
            self._lose(self._take(len(self._queue)))
            if self._spool.count:
                self._replay_due = True
                _log.warning(
                    "%d records wait in %s until somebody opens the ledger at %s.",
                    self._spool.count,
                    " and ".join(map(str, self._spool.paths)),
                    self._store.place.shown,
                )
            self._spool.release()
            self._store.dispose()
        if self.dropped and not was_closed:
            _tell(
                f"{self.dropped} records are lost: neither the ledger at "
                f"{self._store.place.shown} nor its spool file could be written."
            )


def told(store: Store, error: Exception) -> str:
    """Return what an error says, without secrets and statements, as a sentence."""
    if isinstance(error, CerebrasError):
        return store.place.mask(str(error))
    cause: Any = (
        getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else error
    )
    lines = str(cause or error).strip().splitlines() or [type(error).__name__]
    return store.place.mask(lines[0])[:_SHOWN].rstrip(".") + "."


def _tell(message: str) -> None:
    _log.warning(message)
    # Somebody may have made errors of warnings; a call must not fail for it.
    with contextlib.suppress(Warning):
        warn_user(message, CerebrasCostWarning)


def _flush_at_exit_of_worker(writer: Writer) -> None:
    """Have `multiprocessing` close it, whose processes end without `atexit`."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(writer, _close, args=(weakref.ref(writer),), exitpriority=10)


def _close(known: weakref.ref[Writer]) -> None:
    writer = known()
    if writer is not None:
        writer.close()
