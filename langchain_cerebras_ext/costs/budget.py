"""`Budget`: a limit in USD that calls are held to before they are sent.

Example:
    >>> from decimal import Decimal
    >>> from langchain_cerebras_ext.costs.budget import Budget, CallScope
    >>> budget = Budget("5.00", per="user", window="day")
    >>> hold = budget.reserve(CallScope("gpt-oss-120b", user="ada"), Decimal("0.02"))
    >>> hold.settle(Decimal("0.0132"))
    >>> budget.status()[0].remaining
    Decimal('4.986800000000')
"""

from __future__ import annotations

import logging
import os
import time
import uuid
import weakref
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, get_args

from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.costs._budgets._account import (
    Action,
    Ask,
    BudgetStatus,
    Clock,
    Lost,
    Per,
    Reply,
    Terms,
)
from langchain_cerebras_ext.costs._budgets._hold import Hold
from langchain_cerebras_ext.costs._budgets._memory import MemoryBook
from langchain_cerebras_ext.costs._budgets._money import (
    read_amount,
    show,
    to_count,
    to_usd,
)
from langchain_cerebras_ext.costs._budgets._windows import Window, WindowName
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasConfigurationError,
    CerebrasCostWarning,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from datetime import timedelta

__all__ = ["Budget", "BudgetStatus", "CallScope", "Hold"]

_log = logging.getLogger("langchain_cerebras_ext.budget")

LEASE_S: Final = 900.0
THRESHOLDS: Final = (Decimal("0.5"), Decimal("0.8"), Decimal(1))

# Budgets of this process by their identity, so that a copy made by pickle here is its
# original: a second one would allow everything once more.
_here: weakref.WeakValueDictionary[str, Budget] = weakref.WeakValueDictionary()


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
    def __init__(
        self,
        limit: Decimal | int | str,
        *,
        per: Per = "all",
        window: WindowName | timedelta = "day",
        action: Action = "raise",
        name: str | None = None,
        limits: Mapping[str, Decimal | int | str] | None = None,
        thresholds: Iterable[Decimal | int | str] = THRESHOLDS,
        on_threshold: Callable[[BudgetStatus, Decimal], object] | None = None,
        on_exceeded: Callable[[BudgetStatus], object] | None = None,
        unpriced: str | None = None,
        lease_s: float = LEASE_S,
        lost: Lost = "spent",
        clock: Clock | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "limit": limit,
            "per": per,
            "window": window,
            "action": action,
            "name": name,
            "limits": limits,
            "thresholds": thresholds,
            "on_threshold": on_threshold,
            "on_exceeded": on_exceeded,
            "unpriced": unpriced,
            "lease_s": lease_s,
            "lost": lost,
            "clock": clock,
        }
        cut = Window(window)
        self.name = name or f"{per}/{cut.name}"
        self._action = action
        self._unpriced = unpriced or ("refuse" if action == "raise" else "allow")
        self._on_threshold = on_threshold
        self._on_exceeded = on_exceeded
        shares = tuple(sorted(read_amount(share, "thresholds") for share in thresholds))
        self._terms = Terms(
            name=self.name,
            per=per,
            window=cut,
            limit=read_amount(limit, "limit"),
            limits={
                key: read_amount(one, f"limits[{key!r}]")
                for key, one in (limits or {}).items()
            },
            action=action,
            lease_s=lease_s,
            lost=lost,
            thresholds=shares if on_threshold else (),
        )
        self._warned: set[Any] = set()
        self._book = MemoryBook(self._terms, clock or time, self._tell)
        self._identity = uuid.uuid4().hex
        _here[self._identity] = self

    def reserve(self, scope: CallScope, amount: Decimal | None) -> Hold | None:
        steps = self._steps(scope, amount)
        reply: Reply | None = None
        try:
            ask = next(steps)
            while True:
                reply = self._book.reserve(ask)
                ask = steps.send(reply)
        except StopIteration as done:
            return done.value

    async def areserve(self, scope: CallScope, amount: Decimal | None) -> Hold | None:
        steps = self._steps(scope, amount)
        try:
            ask = next(steps)
            while True:
                reply = await self._book.areserve(ask)
                ask = steps.send(reply)
        except StopIteration as done:
            return done.value

    def status(self) -> list[BudgetStatus]:
        return self._book.status()

    async def astatus(self) -> list[BudgetStatus]:
        return await self._book.astatus()

    def _keys(self, scope: CallScope) -> tuple[str | None, ...]:
        per = self._terms.per
        if per == "all":
            return (None,)
        if per == "tag":
            return tuple(dict.fromkeys(scope.tags)) or (None,)
        return (getattr(scope, per),)

    def _steps(
        self, scope: CallScope, amount: Decimal | None
    ) -> Generator[Ask, Reply, Hold | None]:
        keys = self._keys(scope)
        if amount is None and self._unpriced == "refuse":
            raise BudgetExceeded(
                f"Budget {self.name!r} cannot hold a call of model {scope.model!r}: "
                "no price of it is known.",
                budget=self.name,
                limit=to_usd(self._terms.limit),
            )
        known = amount is not None
        count = to_count(amount, up=True) if amount is not None else 0
        ask = Ask(keys, scope.run, count, known, self._action == "warn")
        reply = yield ask
        if reply.short is None:
            return reply.hold
        if self._action == "raise":
            raise self._exceeded(reply.short)
        if self._action == "call":
            if self._on_exceeded is not None:
                self._on_exceeded(reply.short)
            reply = yield ask._replace(force=True)
            return reply.hold
        seen = (reply.short.key, reply.short.window_start, reply.short.run)
        if seen not in self._warned:
            self._warned.add(seen)
            warn_user(str(self._exceeded(reply.short)), CerebrasCostWarning)
        return reply.hold

    def _exceeded(self, status: BudgetStatus) -> BudgetExceeded:
        msg = (
            f"Budget {self.name!r} allows {show(to_count(status.limit))}: "
            f"{show(to_count(status.spent))} spent, {show(to_count(status.reserved))} "
            f"reserved."
        )
        return BudgetExceeded(
            msg,
            budget=self.name,
            limit=status.limit,
            spent=status.spent,
            reserved=status.reserved,
            estimate=status.estimate,
        )

    def _tell(self, status: BudgetStatus, share: int) -> None:
        if self._on_threshold is None:
            return
        try:
            self._on_threshold(status, to_usd(share))
        except Exception:
            _log.exception("on_threshold of budget %r failed.", self.name)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self._identity, self._options))


def _restore(cls: type[Budget], identity: str, options: dict[str, Any]) -> Budget:
    known = _here.get(identity)
    if known is not None:
        return known
    limit = options["limit"]
    rest = {name: value for name, value in options.items() if name != "limit"}
    budget = cls(limit, **rest)
    budget._identity = identity
    _here[identity] = budget
    return budget


def _after_fork() -> None:
    for budget in list(_here.values()):
        budget._book.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_ = CerebrasConfigurationError
