"""The thread that talks to a shared store: one for each store and process.

Callers put down what they want and wait, in a thread or a task, or do not wait. What
has gathered meanwhile is done together, so that many calls cost few transactions, and
the ends of calls first, since they give money back. A garbage collection may end a call
anywhere, so nothing here that such an end reaches waits for a lock.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from multiprocessing import util
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_cerebras_ext.costs._budgets._hold import RELEASED
from langchain_cerebras_ext.costs._budgets._store import (
    Answer,
    Finish,
    Look,
    Op,
    Reserve,
    Spend,
)
from langchain_cerebras_ext.costs._ledger.gate import at_fork
from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_cerebras_ext.costs._budgets._account import Clock, Tell
    from langchain_cerebras_ext.costs._budgets._store import Store

__all__ = ["Job", "Worker", "worker_of"]

_log = logging.getLogger("langchain_cerebras_ext.budget")

_BATCH: Final = 256
_IDLE_S: Final = 30.0  # without work the thread ends, and with it the connection
_RETRY_S: Final = 2.0  # how long a store that has failed is left alone
_EXIT_S: Final = 5.0  # how long the program's end waits for the store
_FORK_S: Final = 5.0  # how long a fork waits for the work that is being done
_LATE_MOST: Final = 100_000
_LONGEST: Final = 300


class Job(NamedTuple):
    """Something to do in the store.

    Attributes:
        op: What.
        clock: Is used instead of the store's own.
        tell: Is called with accounts that reach a threshold.
        future: Gets the answer, if anybody waits for it.
    """

    op: Op
    clock: Clock | None
    tell: Tell
    future: Future[Answer] | None = None


_ORDER: Final[dict[type[Any], int]] = {Finish: 0, Spend: 0, Reserve: 1, Look: 2}


class Worker:
    """Does what is put down, in a thread that lives while there is work.

    Args:
        store: Where.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._aside = _Aside()
        # What the store did not take while it was away.
        self._late: deque[Job] = deque()
        self._lost = 0
        self._outage = 0
        self._down_until: float | None = None
        self._reset()

    def _reset(self) -> None:
        # Its `put` may come in the middle of another one, as a garbage collection does.
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None

    def pause(self) -> bool:
        """Wait until nothing is being done, and let nothing begin, if that can be."""
        return self._working.acquire(timeout=_FORK_S)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._working.release()

    def after_fork(self) -> None:
        """Begin anew in a child; what waits is the parent's to do."""
        self._late.clear()
        self._reset()
        self._aside = _Aside()
        self._store.after_fork()

    @property
    def place(self) -> str:
        """The store's address, without a password."""
        return self._store.place

    # ------------------------------------------------------------------- from outside

    def ask(self, op: Op, clock: Clock | None, tell: Tell) -> Future[Answer]:
        """Have something done; the answer comes in a future."""
        future: Future[Answer] = Future()
        self._put(Job(op, clock, tell, future))
        return future

    def post(self, op: Op, clock: Clock | None, tell: Tell) -> None:
        """Have something done for which nobody waits."""
        self._put(Job(op, clock, tell))

    def close(self, timeout_s: float = _EXIT_S) -> None:
        """Do what was put down, then end the thread and the connection."""
        if self._down_until is not None:
            self._down_until = 0.0  # once more: there may be no other chance
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(None)
            thread.join(timeout_s)
        self._drain()
        self._aside.finish(timeout_s)
        if self._working.acquire(timeout=timeout_s):
            try:
                self._store.close()
            finally:
                self._working.release()

    def say_what_is_lost(self) -> None:
        """Say what the store has not taken, since the program ends."""
        late = sum(getattr(job.op, "end", RELEASED) != RELEASED for job in self._late)
        if late:
            _log.error(
                "The budgets' store at %s has not taken the ends of %d calls; they "
                "will count with what they had reserved.",
                self.place,
                late,
            )

    def _put(self, job: Job) -> None:
        self._queue.put(job)
        if self._thread is None:
            self._start()

    # --------------------------------------------------------------------- the thread

    def _start(self) -> None:
        # Who cannot get the lock is not needed: somebody else is starting it.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name="cerebras-budgets", daemon=True
                )
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread = None
        finally:
            self._starting.release()
        if self._thread is None:
            self._drain()

    def _work(self) -> None:
        try:
            self._work_on()
        finally:
            self._thread = None
            if not self._queue.empty():  # put down before it was seen that we end
                self._start()

    def _work_on(self) -> None:
        while True:
            wait_s = _RETRY_S if self._late else _IDLE_S
            jobs, ended = self._gather(wait_s)
            with self._working:
                self._do(jobs)
            if ended or not (jobs or self._late):
                break
        if not ended:
            with self._working:
                self._store.close()

    def _gather(self, wait_s: float) -> tuple[list[Job], bool]:
        """Return what was put down, and whether the thread shall end after it."""
        jobs: list[Job] = []
        with contextlib.suppress(queue.Empty):
            job = self._queue.get(timeout=wait_s)
            while job is not None:
                jobs.append(job)
                if len(jobs) >= _BATCH:
                    return jobs, False
                job = self._queue.get_nowait()
            return jobs, True
        return jobs, False

    def _drain(self) -> None:
        """Do what is put down, here, where no thread does it."""
        while not self._queue.empty() and self._working.acquire(blocking=False):
            try:
                self._do(self._gather(0.0)[0])
            finally:
                self._working.release()

    # ------------------------------------------------------------------- its work

    def _do(self, jobs: list[Job]) -> None:
        """Do jobs, after those that are late."""
        jobs = [*self._late, *(job for job in jobs if _is_wanted(job))]
        self._late.clear()
        if self._is_down():
            told = "it was not to be reached a moment ago."
            error = LedgerError(away(self.place, told))
            self._fail(jobs, error, tried=False)
            return
        by_clock: dict[int, list[Job]] = {}
        for job in sorted(jobs, key=lambda job: _ORDER[type(job.op)]):
            by_clock.setdefault(id(job.clock), []).append(job)
        for same in by_clock.values():
            for start in range(0, len(same), _BATCH):
                self._apply(same[start : start + _BATCH])

    def _apply(self, jobs: Sequence[Job]) -> None:
        try:
            answers = self._store.apply([job.op for job in jobs], jobs[0].clock)
        except LedgerError as error:
            self._went_down(error)
            self._fail(jobs, error, tried=True)
        except Exception as error:  # noqa: BLE001 - whoever waits must be answered
            if len(jobs) > 1:  # find out which one it is
                for job in jobs:
                    self._apply([job])
                return
            _log.exception("A budget's store at %s has failed.", self.place)
            told = f"it has failed: {type(error).__name__}."
            for job in jobs:
                if job.future is not None:
                    job.future.set_exception(self._raised(away(self.place, told)))
        else:
            self._came_back()
            for job, answer in zip(jobs, answers, strict=True):
                for status, share in answer.news:
                    self._aside.add(job.tell, status, share)
                if job.future is not None:
                    job.future.set_result(answer)

    def _fail(self, jobs: Sequence[Job], error: LedgerError, *, tried: bool) -> None:
        """Answer that the store cannot be used, and keep what must not be lost."""
        for job in jobs:
            op = job.op
            if isinstance(op, Reserve):
                if tried:  # perhaps it was done, and only the answer is missing
                    self._keep(job._replace(op=Finish(op.terms, op.hold, RELEASED)))
            elif not isinstance(op, Look):
                self._keep(job)
            if job.future is not None:
                own = self._raised(error.message)
                own.__cause__ = error.__cause__
                job.future.set_exception(own)

    def _keep(self, job: Job) -> None:
        if len(self._late) >= _LATE_MOST:
            self._late.popleft()
            self._lost += 1
            if self._lost == 1:
                _log.error(
                    "The budgets' store at %s is away for too long: the ends of calls "
                    "are being lost. Those count with what they had reserved.",
                    self.place,
                )
        self._late.append(job._replace(future=None))

    # ----------------------------------------------------------------- up or down

    def _is_down(self) -> bool:
        until = self._down_until
        return until is not None and time.monotonic() < until

    def _went_down(self, error: LedgerError) -> None:
        if self._down_until is None:
            self._outage += 1
            _log.warning("%s", error.message)
        self._down_until = time.monotonic() + _RETRY_S

    def _came_back(self) -> None:
        if self._down_until is not None:
            self._down_until = None
            self._lost = 0
            _log.warning("The budgets' store at %s can be used again.", self.place)

    def _raised(self, message: str) -> LedgerError:
        """Return the error of who waits; what is logged has no hint to a caller."""
        return LedgerError(f"{message} {HINT}", outage=self._outage)


def away(place: str, told: str) -> str:
    """Return the message for a store that cannot be used.

    Args:
        place: Its address, without a password.
        told: Why, without one too.
    """
    why = told.strip().rstrip(".")[:_LONGEST]
    return (
        f"Budgets are kept in {place}, which cannot be used: {why}. Check that it runs "
        "and may be reached and written from here, and the user and password."
    )


HINT: Final = (
    "With Budget(on_store_error='allow') calls pass unchecked while it is away."
)
"""For errors that are raised; whoever reads a log may be somebody else."""


def _is_wanted(job: Job) -> bool:
    """Tell whether somebody still waits, and keep it from being cancelled from now."""
    return job.future is None or job.future.set_running_or_notify_cancel()


class _Aside:
    """Calls functions one after another, in a thread that lives while there are any."""

    def __init__(self) -> None:
        self._todo: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called; it must not raise."""
        self._todo.append((function, arguments))
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="cerebras-budgets-tell", daemon=True
                )
                with contextlib.suppress(RuntimeError):  # the interpreter is ending
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    self._thread = None
                    return
                function, arguments = self._todo.popleft()
            function(*arguments)

    def finish(self, timeout_s: float) -> None:
        """Wait until all were called, or for so long."""
        thread = self._thread
        if thread is not None:
            if thread is not threading.current_thread():
                thread.join(timeout_s)
        elif self._todo:
            self._run()


# ---------------------------------------------------------------- one for each store

_workers: weakref.WeakValueDictionary[tuple[str, ...], Worker] = (
    weakref.WeakValueDictionary()
)
_workers_lock = threading.Lock()


def worker_of(key: tuple[str, ...], make: Callable[[], Store]) -> Worker:
    """Return the worker of a store in this process, made if need be.

    Args:
        key: What the store is known by here.
        make: Makes it.
    """
    with _workers_lock:
        worker = _workers.get(key)
        if worker is None:
            worker = _workers[key] = Worker(make())
        return worker


def _at_exit() -> None:
    for worker in list(_workers.values()):
        worker.close()
        worker.say_what_is_lost()


class _Paused(threading.local):
    """The workers that a fork of this thread has paused."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []


_paused = _Paused()


def _before_fork() -> None:
    # A child made in the middle of a transaction has no thread that would end it, but
    # SQLite, which remembers the locks of a process in its memory, would wait for that.
    _paused.workers = [worker for worker in list(_workers.values()) if worker.pause()]


def _after_fork_here() -> None:
    workers, _paused.workers = _paused.workers, []
    for worker in workers:
        worker.resume()


def _after_fork() -> None:
    global _workers_lock  # noqa: PLW0603 - who held it may not be in the child
    _paused.workers = []
    _workers_lock = threading.Lock()
    for worker in list(_workers.values()):
        worker.after_fork()


def _at_end_of_child(at_exit: Callable[[], None]) -> None:
    # A child of `multiprocessing` ends without `atexit`.
    util.Finalize(None, at_exit, exitpriority=0)


atexit.register(_at_exit)
_at_end_of_child(_at_exit)
util.register_after_fork(_at_exit, _at_end_of_child)
at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_here,
    after_in_child=_after_fork,
)
