"""The accounts that processes and hosts share, as a budget sees them."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.costs._budgets._account import Reply
from langchain_cerebras_ext.costs._budgets._hold import RELEASED, End, Hold
from langchain_cerebras_ext.costs._budgets._store import (
    Answer,
    Finish,
    Look,
    Reserve,
    Spend,
)
from langchain_cerebras_ext.costs._budgets._worker import HINT, away, worker_of
from langchain_cerebras_ext.costs._ledger.place import require
from langchain_cerebras_ext.errors import LedgerError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from concurrent.futures import Future

    from langchain_cerebras_ext.costs._budgets._account import (
        Ask,
        BudgetStatus,
        Clock,
        Tell,
        Terms,
    )
    from langchain_cerebras_ext.costs._budgets._sql import SqlStore
    from langchain_cerebras_ext.costs._budgets._store import Op
    from langchain_cerebras_ext.costs._budgets._worker import Worker
    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = ["SharedBook", "open_book", "read_ledger", "read_redis"]

_PATIENCE_S: Final = 30.0  # longer than any store's own timeouts


class SharedBook:
    """One budget's accounts in a shared store.

    Args:
        terms: What was agreed.
        worker: Who talks to the store.
        clock: Is used instead of the store's own.
        tell: Called with an account that has reached a threshold, and the threshold;
            must not raise.
    """

    def __init__(
        self, terms: Terms, worker: Worker, clock: Clock | None, tell: Tell
    ) -> None:
        self._terms = terms
        self._worker = worker
        self._clock = clock
        self._tell = tell

    @property
    def place(self) -> str:
        """The store, without its password."""
        return self._worker.place

    @property
    def shared(self) -> object:
        """The same object for all who share the store."""
        return self._worker

    def after_fork(self) -> None:
        """Do nothing: the worker knows."""

    def close(self) -> None:
        """Write what is not written yet, and let go of the store."""
        self._worker.close()

    def post(self, op: Op) -> None:
        """Have something done for which nobody waits."""
        self._worker.post(op, self._clock, self._tell)

    # -------------------------------------------------------------------------- asked

    def reserve(self, ask: Ask) -> Reply:
        """Reserve in all accounts, or in none.

        Raises:
            LedgerError: The store cannot be used.
        """
        op = Reserve(self._terms, ask, uuid.uuid4().hex)
        return self._reply(op, self._wait(op))

    async def areserve(self, ask: Ask) -> Reply:
        """Do what `reserve` does, without blocking the event loop."""
        op = Reserve(self._terms, ask, uuid.uuid4().hex)
        return self._reply(op, await self._await(op))

    def unreserved(self, ask: Ask) -> Hold:
        """Return what counts a call that nobody has checked."""
        return _SharedHold(self, ask.amount, partial(Spend, self._terms, ask))

    def status(self) -> list[BudgetStatus]:
        """Return the accounts of the windows that are now.

        Raises:
            LedgerError: The store cannot be used.
        """
        return list(self._wait(Look(self._terms)).accounts)

    async def astatus(self) -> list[BudgetStatus]:
        """Do what `status` does, without blocking the event loop."""
        return list((await self._await(Look(self._terms))).accounts)

    def _reply(self, op: Reserve, answer: Answer) -> Reply:
        if not answer.passed:
            return Reply(None, answer.shorts)
        end = partial(Finish, self._terms, op.hold)
        return Reply(_SharedHold(self, op.ask.amount, end), answer.shorts)

    # ---------------------------------------------------------------------- and waited

    def _wait(self, op: Op) -> Answer:
        future = self._worker.ask(op, self._clock, self._tell)
        try:
            return future.result(_PATIENCE_S)
        except FutureTimeoutError:
            self._give_up(op, future)
            raise self._silent() from None
        except BaseException:  # a signal's, while we waited
            self._give_up(op, future)
            raise

    async def _await(self, op: Op) -> Answer:
        future = self._worker.ask(op, self._clock, self._tell)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            self._give_up(op, future)
            raise self._silent() from None
        except BaseException:  # cancelled, while we waited
            self._give_up(op, future)
            raise

    def _give_up(self, op: Op, future: Future[Answer]) -> None:
        """See to it that a reservation which comes too late is given back."""
        if not isinstance(op, Reserve):
            return
        give_back = Finish(self._terms, op.hold, RELEASED)

        def done(ended: Future[Answer]) -> None:
            if not ended.cancelled() and ended.exception() is None:
                self.post(give_back)

        future.cancel()
        future.add_done_callback(done)

    def _silent(self) -> LedgerError:
        told = f"it has not answered for {_PATIENCE_S:.0f} s."
        return LedgerError(f"{away(self.place, told)} {HINT}")


class _SharedHold(Hold):
    """A reservation in a shared store."""

    __slots__ = ("_book", "_op")

    def __init__(self, book: SharedBook, count: int, op: Any) -> None:
        super().__init__(count)
        self._book = book
        self._op = op

    def _ended(self, end: End) -> None:
        self._book.post(self._op(end))


def open_book(
    terms: Terms,
    redis: str | None,
    ledger: Ledger | str | os.PathLike[str] | None,
    namespace: str,
    clock: Clock | None,
    tell: Tell,
) -> SharedBook:
    """Return a budget's accounts in Redis, or else in a ledger's database.

    Raises:
        CerebrasConfigurationError: The address is none.
        MissingExtraError: What the store needs is not installed.
    """
    if redis is not None:
        from langchain_cerebras_ext.costs._budgets._redis import RedisStore

        make = partial(RedisStore, redis, namespace)
        worker = worker_of(("redis", redis, namespace), make)
    else:
        worker = worker_of(*_find_store(ledger))
    return SharedBook(terms, worker, clock, tell)


def read_ledger(ledger: Ledger | str | os.PathLike[str]) -> list[BudgetStatus]:
    """Return all budgets in a ledger's database."""
    store = _find_store(ledger)[1]()
    try:
        return store.read_all()
    finally:
        store.close()


def read_redis(url: str, namespace: str) -> list[BudgetStatus]:
    """Return all budgets in Redis."""
    from langchain_cerebras_ext.costs._budgets._redis import RedisStore

    store = RedisStore(url, namespace)
    try:
        return store.read_all()
    finally:
        store.close()


def _find_store(
    ledger: Ledger | str | os.PathLike[str] | None,
) -> tuple[tuple[str, ...], Callable[[], SqlStore]]:
    """Return by what a ledger's database is known here, and what makes its store.

    Raises:
        MissingExtraError: SQLAlchemy is not installed.
    """
    require("sqlalchemy", "ledger")  # which the next line imports
    from langchain_cerebras_ext.costs._budgets._sql import find_store

    return find_store(ledger)
