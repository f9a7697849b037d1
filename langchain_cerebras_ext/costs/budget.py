"""`Budget`: a limit in USD that calls are held to before they are sent.

Example:
    >>> from decimal import Decimal
    >>> from langchain_cerebras_ext.costs.budget import Budget, CallScope
    >>> budget = Budget("5.00", per="user", window="day")
    >>> hold = budget.reserve(CallScope("gpt-oss-120b", user="ada"), Decimal("0.02"))
    >>> hold.settle(Decimal("0.0132"))
    >>> budget.status()[0].remaining
    Decimal('4.9868')
"""

from __future__ import annotations

import logging
import os
import time
import uuid
import weakref
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.costs._budgets._account import (
    Action,
    Ask,
    Book,
    BudgetStatus,
    Clock,
    Lost,
    Per,
    Reply,
)
from langchain_cerebras_ext.costs._budgets._hold import Hold
from langchain_cerebras_ext.costs._budgets._memory import MemoryBook
from langchain_cerebras_ext.costs._budgets._messages import exceeded, unpriced_call
from langchain_cerebras_ext.costs._budgets._money import read_cost, read_share, show
from langchain_cerebras_ext.costs._budgets._options import (
    check_options,
    read_limits,
    read_only,
    read_terms,
    read_thresholds,
)
from langchain_cerebras_ext.costs._unended import settle_left
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
    LedgerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from langchain_cerebras_ext.costs._budgets._windows import WindowName
    from langchain_cerebras_ext.costs.ledger import Ledger

__all__ = [
    "Budget",
    "BudgetStatus",
    "CallScope",
    "Hold",
    "read_budgets",
    "read_redis_budgets",
]

_log = logging.getLogger("langchain_cerebras_ext.budget")

LEASE_S: Final = 900.0
THRESHOLDS: Final = (Decimal("0.5"), Decimal("0.8"), Decimal(1))
_SILENT: Final = (THRESHOLDS, ())
"""Where nobody is called, and nobody has asked for more than there is by default."""

_WARNED_MOST: Final = 10_000
_SHARE_MOST: Final = 10
"""A threshold above it is meant in percent, and would never be reached."""

# Budgets of this process by their identity, so that a copy made by pickle here is its
# original: a second one would allow everything once more.
_here: weakref.WeakValueDictionary[str, Budget] = weakref.WeakValueDictionary()


def _read_threshold(value: Decimal | float | str) -> int:
    share = read_share(value, "thresholds")
    if Decimal(str(value)) > _SHARE_MOST:
        msg = (
            f"thresholds={value!r} is more than {_SHARE_MOST} times the limit. Give "
            "shares of the limit, as 0.8 for 80 %."
        )
        raise CerebrasConfigurationError(msg)
    return share


class CallScope(NamedTuple):
    """Whom a call is for, as far as budgets ask.

    Attributes:
        model: The model's id.
        provider: Whose service it is.
        user: Who it is for.
        session: The conversation or job that it belongs to.
        tags: Its tags.
        run: The trace's id.
    """

    model: str
    provider: str = "cerebras"
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    run: str | None = None


class Budget:
    """A limit in USD, for everybody or for each user, tag, session, model or run.

    What a call may cost at most is reserved before it is sent, and what it has cost
    counts when it has ended. Calls that run at once therefore cannot go beyond the
    limit by more than what they cost above their reservations.

    Give it to `CostTracker(budgets=...)` or `track_costs(budget=...)`; one object may
    serve many. It lives in this process, or with `redis` or `ledger` in a store that
    processes and hosts share: budgets of one name in one store are one budget, atomic
    there and on the store's clock.

    A reservation whose end never comes (a process that was killed, another provider's
    call that was cancelled unseen) is given up after `lease_s` and counts as spent,
    since it was probably billed; `BudgetStatus.assumed` says how much of `spent` is
    such a guess. If the end comes after all, it replaces the guess.

    A call belongs to the window in which it reserved. Windows are those of the calendar
    in UTC; a week begins on Monday.

    Args:
        limit: What each account may spend in a window.
        per: What has an account of its own: each `user`, `tag`, `session`, `model`,
            `provider` or `run` (a trace), or `all` calls together one. Calls without a
            user or the like share one. A call with several tags counts in full under
            each of them, and all must have room.
        window: `minute`, `hour`, `day`, `week`, `month`, `run` (each trace begins
            anew) or `total`, which never does; or a `timedelta`, counted off from
            1970-01-01 00:00 UTC. The accounts of runs are forgotten when they were not
            used for a day.
        action: What happens to a call that would go beyond the limit. `raise` refuses
            it with `errors.BudgetExceeded`. `warn` lets it pass and gives one
            `errors.CerebrasCostWarning` for each account and window. `call` asks
            `on_exceeded`; a function given here is that one.
        name: What messages call it, and under which it is shared. By default made of
            `per`, `window`, `only` and `action`, such as `user/day`; so that a change
            of the limit is one of the same budget.
        only: Which calls it concerns, as `{"model": "gpt-oss-120b", "user": ["ada",
            "bob"]}`; all of it must fit. By default every call.
        limits: Limits of some accounts, as `{"ada": "20.00"}`.
        thresholds: Shares of the limit at which `on_threshold` is called.
        on_threshold: Called with the account's `BudgetStatus` and the share when what
            was spent reaches it, and for the share 1 also when a call finds too little;
            once for each account, window and share, by all processes together where
            they share a store. Not under a lock, in the thread that ends the call or,
            with a shared store, in one of its own. What it raises is logged.
        on_exceeded: For `action="call"`: called with the account's `BudgetStatus`,
            whose `estimate` is what the call may cost, each time. If it returns, the
            call passes; what it raises stops the call.
        unpriced: Calls whose price is not known: `refuse` them (`BudgetExceeded`), or
            `allow` and count them in `BudgetStatus.unpriced_calls`. By default
            `refuse` with `action="raise"`, else `allow`.
        lease_s: For how long a reservation is held if the call's end does not come;
            by the monotonic clock, in a shared store by the store's.
        lost: What then becomes of it: `spent`, or `released`.
        redis: `redis://:password@host:6379/0`, `rediss://...` or `unix://...`; Valkey
            is as good. Needs the extra `redis`.
        ledger: A `Ledger`, or its database's URL or path: SQLite for the processes of a
            host, PostgreSQL for several. Needs the extra `ledger` or `postgres`.
        namespace: Begins the names of all keys in Redis.
        on_store_error: What happens to a call while the shared store cannot be
            reached: `raise` refuses it with `errors.LedgerError`, `allow` lets it pass
            unchecked, warns once each time that the store goes away, and counts it
            when it is back. By default `raise` with `action="raise"`, else `allow`.
        clock: Where time comes from; for tests.

    Raises:
        CerebrasConfigurationError: An argument is out of range, or two do not go
            together.
        MissingExtraError: The shared store's extra is not installed.

    Example:
        ```python
        from langchain_cerebras_ext.costs import Budget, track_costs

        budget = Budget("5.00", per="user", window="day")
        with track_costs(user="ada", budget=budget):
            model.invoke("Hello")
        print(budget.status())
        ```
    """

    def __init__(
        self,
        limit: Decimal | int | str,
        *,
        per: Per = "all",
        window: WindowName | timedelta = "day",
        action: Action | Callable[[BudgetStatus], object] = "raise",
        name: str | None = None,
        only: Mapping[str, str | Iterable[str]] | None = None,
        limits: Mapping[str, Decimal | int | str] | None = None,
        thresholds: Iterable[Decimal | float | str] = THRESHOLDS,
        on_threshold: Callable[[BudgetStatus, Decimal], object] | None = None,
        on_exceeded: Callable[[BudgetStatus], object] | None = None,
        unpriced: Literal["refuse", "allow"] | None = None,
        lease_s: float = LEASE_S,
        lost: Lost = "spent",
        redis: str | None = None,
        ledger: Ledger | str | os.PathLike[str] | None = None,
        namespace: str = "cerebras",
        on_store_error: Literal["raise", "allow"] | None = None,
        clock: Clock | None = None,
    ) -> None:
        kind: Action = "raise"
        if not callable(action):
            kind = action
        elif on_exceeded is None:
            kind, on_exceeded = "call", action
        else:
            msg = "Budget action=... and on_exceeded=... are two functions: give one."
            raise CerebrasConfigurationError(msg)
        strict = kind == "raise"
        self._options: dict[str, Any] = {
            "limit": limit,
            "per": per,
            "window": window,
            "action": kind,
            "name": name,
            "only": read_only(only),
            "limits": read_limits(limits),
            "thresholds": read_thresholds(thresholds),
            "on_threshold": on_threshold,
            "on_exceeded": on_exceeded,
            "unpriced": unpriced or ("refuse" if strict else "allow"),
            "lease_s": lease_s,
            "lost": lost,
            "redis": redis,
            "ledger": ledger,
            "namespace": namespace,
            "on_store_error": on_store_error or ("raise" if strict else "allow"),
            "clock": clock,
        }
        check_options(self._options)
        self._terms = read_terms(self._options)
        self._only: dict[str, frozenset[str]] = self._options["only"]
        self._shares = {
            _read_threshold(one): Decimal(str(one))
            for one in self._options["thresholds"]
        }
        if on_threshold is None and self._options["thresholds"] not in _SILENT:
            msg = "Budget thresholds=... needs on_threshold=..., the function to call."
            raise CerebrasConfigurationError(msg)
        self._warned: dict[Any, None] = {}
        self._book = self._open()
        self._identity = uuid.uuid4().hex
        _here[self._identity] = self

    def _open(self) -> Book:
        options, clock = self._options, self._options["clock"]
        redis, ledger = options["redis"], options["ledger"]
        if redis is None and ledger is None:
            return MemoryBook(self._terms, clock or time, self._tell)
        from langchain_cerebras_ext.costs._budgets._shared import open_book

        return open_book(
            self._terms, redis, ledger, options["namespace"], clock, self._tell
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self._terms.name

    # ---------------------------------------------------------------------- calls

    def reserve(self, scope: CallScope, amount: Decimal | None) -> Hold | None:
        """Set aside what a call may cost, before it is sent.

        Args:
            scope: Whom it is for.
            amount: What it may cost at most, in USD; `None` where no price is known.

        Returns:
            What is set aside, to be settled when the call has ended; `None` if the
            budget does not concern the call.

        Raises:
            BudgetExceeded: The call must not be sent.
            LedgerError: The shared store cannot be used, so nobody knows.
        """
        settle_left()
        ask = self._ask(scope, amount)
        while ask is not None:
            try:
                reply = self._book.reserve(ask)
            except LedgerError as error:
                return self._unchecked(ask, error)
            ask = self._next(ask, reply)
            if ask is None:
                return reply.hold
        return None

    async def areserve(self, scope: CallScope, amount: Decimal | None) -> Hold | None:
        """Do what `reserve` does, without blocking the event loop."""
        settle_left()
        ask = self._ask(scope, amount)
        while ask is not None:
            try:
                reply = await self._book.areserve(ask)
            except LedgerError as error:
                return self._unchecked(ask, error)
            ask = self._next(ask, reply)
            if ask is None:
                return reply.hold
        return None

    def status(self) -> list[BudgetStatus]:
        """Return the accounts of the windows that are now, by key; one at least.

        What this process has settled is in it.

        Raises:
            LedgerError: The shared store cannot be used.
        """
        settle_left()
        return self._book.status()

    async def astatus(self) -> list[BudgetStatus]:
        """Do what `status` does, without blocking the event loop."""
        settle_left()
        return await self._book.astatus()

    def close(self) -> None:
        """Tell the shared store what has ended, and let go of it until the next call.

        Done at the program's end, too.
        """
        self._book.close()

    # --------------------------------------------------------------------- inside

    def _ask(self, scope: CallScope, amount: Decimal | None) -> Ask | None:
        """Return what to ask for a call; `None` if it is no concern of this budget."""
        keys = self._keys(scope)
        if not keys:
            return None
        forced = self._terms.action == "warn"
        if amount is not None:
            count = read_cost(amount, up=True)
            if count is not None:
                return Ask(keys, scope.run, count, known=True, force=forced)
            msg = f"Budget.reserve(amount={amount!r}) must be a Decimal in USD from 0."
            raise CerebrasConfigurationError(msg)
        if self._options["unpriced"] == "refuse":
            raise unpriced_call(self._terms, scope.model)
        return Ask(keys, scope.run, 0, known=False, force=forced)

    def _next(self, ask: Ask, reply: Reply) -> Ask | None:
        """Do what was agreed if there is too little.

        Returns:
            What to ask next; `None` if the answer stands.
        """
        shorts = reply.shorts
        if not shorts:
            return None
        action = self._terms.action
        if action == "raise":
            raise exceeded(self._terms, shorts[0])
        if action == "warn":
            self._warn(reply.hold, shorts)
        elif not ask.force:
            for short in shorts:
                self._options["on_exceeded"](short)
            return ask._replace(force=True)
        return None

    def _unchecked(self, ask: Ask, error: LedgerError) -> Hold:
        """Let a call pass that the store could not be asked for, if that was agreed."""
        if self._options["on_store_error"] == "raise":
            raise error
        if self._is_news(("outage", getattr(error, "outage", None))):
            msg = f"{error} Until it is back calls pass unchecked; they count then."
            warn_user(msg, CerebrasCostWarning)
        return self._book.unreserved(ask)

    def _keys(self, scope: CallScope) -> tuple[str | None, ...]:
        """Return the accounts that must pay for a call; none if it is no concern."""
        per, only = self._terms.per, self._only
        if only and not _fits(scope, only):
            return ()
        if per == "all":
            return _EVERYBODY
        if per == "tag":
            wanted = only.get("tag")
            tags = [tag for tag in scope.tags if wanted is None or tag in wanted]
            return tuple(dict.fromkeys(tags)) or _EVERYBODY
        return (getattr(scope, per),)

    def _warn(self, hold: Hold | None, shorts: Iterable[BudgetStatus]) -> None:
        """Warn of each account once in a window."""
        try:
            for short in shorts:
                if self._is_news((short.key, short.window_start, short.run)):
                    warn_user(str(exceeded(self._terms, short)), CerebrasCostWarning)
        except BaseException:  # where warnings are errors the call is not sent
            if hold is not None:
                hold.release()
            raise

    def _is_news(self, what: Any) -> bool:
        warned = self._warned
        if what in warned:
            return False
        while len(warned) >= _WARNED_MOST:
            warned.pop(next(iter(warned)), None)
        warned[what] = None
        return True

    def _tell(self, status: BudgetStatus, share: int) -> None:
        try:
            self._options["on_threshold"](status, self._shares[share])
        except Exception:  # noqa: BLE001 - whatever it raises, the call has ended
            _log.exception("on_threshold of budget %r has failed.", self.name)

    # ------------------------------------------------------------------ life cycle

    def __eq__(self, other: object) -> bool:
        """Compare: budgets of one name in one shared store are one budget."""
        if not isinstance(other, Budget):
            return NotImplemented
        return self is other or self._sameness() == other._sameness()

    def __hash__(self) -> int:
        """Hash as `==` compares."""
        return hash(self._sameness())

    def _sameness(self) -> tuple[Any, ...]:
        terms, shared = self._terms, self._book.shared
        if shared is None:
            return (id(self),)
        return id(shared), terms.name, terms.per, terms.window.name

    def __copy__(self) -> Self:
        """Return this budget: a copy would allow everything a second time."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this budget: a copy would allow everything a second time."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the configuration; in the same process it remains this budget.

        In another process it begins with nothing spent, unless its store is shared.
        """
        options = self._options
        engine = getattr(options["ledger"], "engine", None)
        if engine is not None:
            url = engine.url.render_as_string(hide_password=False)
            options = {**options, "ledger": url}
        return (_restore, (type(self), self._identity, options))

    def __repr__(self) -> str:
        """Name what was given, without passwords."""
        terms = self._terms
        shared = f", shared={self._book.place!r}" if self._book.place else ""
        return (
            f"Budget({terms.name!r}, limit={show(terms.limit)}, per={terms.per!r}, "
            f"window={terms.window.name!r}, action={terms.action!r}{shared})"
        )


def read_budgets(ledger: Ledger | str | os.PathLike[str]) -> list[BudgetStatus]:
    """Return the budgets that are kept in a ledger's database, by name and key.

    Only the accounts of the windows that are now; nothing is created or changed.

    Args:
        ledger: A `Ledger`, or its database's URL or path.

    Raises:
        CerebrasConfigurationError: The URL is none of a ledger.
        MissingExtraError: What the database needs is not installed.
        LedgerError: It cannot be read.
    """
    from langchain_cerebras_ext.costs._budgets._shared import read_ledger

    return read_ledger(ledger)


def read_redis_budgets(url: str, *, namespace: str = "cerebras") -> list[BudgetStatus]:
    """Return the budgets that are kept in Redis, by name and key.

    Args:
        url: The server's, as `Budget` takes it.
        namespace: Of the budgets.

    Raises:
        CerebrasConfigurationError: The URL is none of Redis.
        MissingExtraError: The extra `redis` is not installed.
        LedgerError: The server cannot be reached.
    """
    from langchain_cerebras_ext.costs._budgets._shared import read_redis

    return read_redis(url, namespace)


_EVERYBODY: Final[tuple[str | None, ...]] = (None,)


def _fits(scope: CallScope, only: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether a budget concerns a call."""
    for name, values in only.items():
        if name == "tag":
            if values.isdisjoint(scope.tags):
                return False
        elif getattr(scope, name) not in values:
            return False
    return True


def _restore(cls: type[Budget], identity: str, options: dict[str, Any]) -> Budget:
    """Return the budget of this identity in this process, made if need be."""
    known = _here.get(identity)
    if known is not None:
        return known
    budget = cls(**options)
    budget._identity = identity
    _here[identity] = budget
    return budget


def _after_fork() -> None:
    for budget in list(_here.values()):
        budget._book.after_fork()  # noqa: SLF001 - nobody else's business


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
