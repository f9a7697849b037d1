"""Shared accounts in Redis or Valkey.

The accounts of one budget are changed by one script (`book.lua`), atomically, on the
server's own clock. A process learns the difference between the clocks now and then.
"""

from __future__ import annotations

import json
import threading
import time
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext._limits._server import (
    _OPTIONS,
    _is_valkey,
    _place_of,
    _require_redis,
)
from langchain_cerebras_ext.costs._budgets._account import Account, Terms, described
from langchain_cerebras_ext.costs._budgets._clock import ServerClock
from langchain_cerebras_ext.costs._budgets._hold import RELEASED, End
from langchain_cerebras_ext.costs._budgets._money import ONE_USD
from langchain_cerebras_ext.costs._budgets._store import (
    GONE_S,
    LISTED_S,
    SEEN_S,
    Answer,
    Finish,
    Look,
    Spend,
    account_id,
    kept_until_s,
)
from langchain_cerebras_ext.costs._budgets._windows import Period, Window
from langchain_cerebras_ext.costs._budgets._worker import away
from langchain_cerebras_ext.errors import LedgerError, mask_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_cerebras_ext.costs._budgets._account import (
        Ask,
        BudgetStatus,
        Clock,
    )
    from langchain_cerebras_ext.costs._budgets._store import Op

__all__ = ["RedisStore"]

_DAY_S: Final = 86_400.0


class RedisStore:
    """The accounts in Redis.

    Args:
        url: The server's.
        namespace: Begins the names of all keys.

    Attributes:
        place: The URL without its password and options.

    Raises:
        CerebrasConfigurationError: The URL is none of Redis.
        MissingExtraError: The `redis` package is not installed.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self.place, self._secrets = _place_of(url)
        _require_redis()
        # redis-py does not know Valkey's own scheme; the protocol is the same.
        self._url = url.replace("valkey", "redis", 1) if _is_valkey(url) else url
        self._namespace = namespace
        folder = resources.files("langchain_cerebras_ext.costs._budgets")
        self._text = folder.joinpath("book.lua").read_text("utf-8")
        self._lock = threading.Lock()
        self._script: Any = None
        self._said: dict[str, tuple[str, float]] = {}
        self._clock = ServerClock()

    # ----------------------------------------------------------------------- the store

    def apply(self, ops: Sequence[Op], clock: Clock | None) -> list[Answer]:
        """Do several things: those of one budget at once.

        Raises:
            LedgerError: The server cannot be used.
        """
        import redis

        by_budget: dict[str, list[int]] = {}
        for at, op in enumerate(ops):
            by_budget.setdefault(self._prefix(op.terms), []).append(at)
        answers: dict[int, Answer] = {}
        try:
            now_s = self._now_s(clock)
            for places in by_budget.values():
                same = [ops[at] for at in places]
                answers |= zip(places, self._run(same, now_s), strict=True)
        except (redis.RedisError, OSError) as error:
            if _is_mistake(error):
                raise
            raise self._failed(error) from None
        return [answers[at] for at in range(len(ops))]

    def read_all(self) -> list[BudgetStatus]:
        """Return all budgets, by name.

        Raises:
            LedgerError: The server cannot be used.
        """
        import redis

        found: list[BudgetStatus] = []
        try:
            now_s = self._now_s(None)
            known: dict[bytes, bytes] = self._client().hgetall(self._list)
            for name in sorted(known):
                terms, seen_s = _terms_of(json.loads(known[name]))
                rows = self._look(terms, now_s)
                if rows or now_s - seen_s < LISTED_S:
                    found += described(terms, rows, now_s)
        except (redis.RedisError, OSError) as error:
            raise self._failed(error) from None
        return found

    def close(self) -> None:
        """Close the connections; the next step makes new ones."""
        with self._lock:
            script, self._script = self._script, None
        if script is not None:
            script.registered_client.close()
            script.registered_client.connection_pool.disconnect()

    def after_fork(self) -> None:
        """Do nothing: connections notice by themselves that they are the parent's."""

    # ------------------------------------------------------------------------- inside

    @property
    def _list(self) -> str:
        return f"{self._namespace}:budgets"

    def _prefix(self, terms: Terms) -> str:
        """Return how the names of a budget's keys begin."""
        # In braces: a cluster keeps keys with the same braces on the same node.
        budget = f"{terms.name}:{terms.per}/{terms.window.name}"
        return f"{self._namespace}:{{budget:{budget}}}"

    def _connect(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._lock:
            if self._script is None:
                # What was sent twice is done once: the script knows reservations.
                pool = redis.BlockingConnectionPool.from_url(
                    self._url, **_OPTIONS, retry=Retry(NoBackoff(), 1)
                )
                client = redis.Redis.from_pool(pool)
                self._script = client.register_script(self._text)
            return self._script

    def _client(self) -> Any:
        return self._connect().registered_client

    def _failed(self, error: Exception) -> LedgerError:
        # It may come back with nothing in it, and another clock.
        self._said.clear()
        self._clock.forget()
        told = mask_secrets(f"{type(error).__name__}: {error}", *self._secrets)
        return LedgerError(away(self.place, told))

    def _now_s(self, clock: Clock | None) -> float:
        return self._clock.now_s(self._ask_time) if clock is None else clock.time()

    def _ask_time(self) -> float:
        seconds, micros = self._client().time()
        return float(seconds) + float(micros) / 1e6

    def _run(self, ops: Sequence[Op], now_s: float) -> list[Answer]:
        terms = ops[0].terms
        self._say(terms, now_s)
        told = [self._tell(op, now_s) for op in ops]
        answers = self._call(terms, told, now_s)
        return [
            _answer_of(op, answer, now_s)
            for op, answer in zip(ops, answers, strict=True)
        ]

    def _look(self, terms: Terms, now_s: float) -> list[Account]:
        (answer,) = self._call(terms, [{"op": "look"}], now_s)
        return _accounts_of(answer)

    def _call(
        self, terms: Terms, told: list[dict[str, Any]], now_s: float
    ) -> list[dict[str, Any]]:
        prefix = self._prefix(terms)
        keys = [f"{prefix}:{name}" for name in ("accounts", "kept", "holds", "leases")]
        arguments = [_ms(now_s), terms.lost, _ms(GONE_S), _ms(_live_s(terms))]
        reply = self._connect()(keys=keys, args=[*arguments, json.dumps(told)])
        return json.loads(reply)  # type: ignore[no-any-return] # as the script has it

    def _say(self, terms: Terms, now_s: float) -> None:
        """Write down which budgets there are, for those who list them."""
        agreed = json.dumps(
            {
                "name": terms.name,
                "per": terms.per,
                "window": terms.window.name,
                "limit": str(terms.limit),
                "limits": {key: str(count) for key, count in terms.limits.items()},
                "action": terms.action,
                "lost": terms.lost,
            }
        )
        tick = time.monotonic()
        said, at_tick = self._said.get(terms.name, ("", 0.0))
        if said == agreed and tick - at_tick < SEEN_S:
            return
        seen = json.dumps({**json.loads(agreed), "seen_s": now_s})
        self._client().hset(self._list, terms.name, seen)
        self._said[terms.name] = (agreed, tick)

    @staticmethod
    def _tell(op: Op, now_s: float) -> dict[str, Any]:
        """Return an operation as the script reads it."""
        terms = op.terms
        if isinstance(op, Look):
            return {"op": "look"}
        told: dict[str, Any] = {
            "op": type(op).__name__.lower(),
            "shares": [str(share) for share in terms.thresholds],
        }
        if isinstance(op, Finish):
            return {**told, "hold": op.hold, "end": _end(op.end)}
        told["amount"] = str(op.ask.amount)
        told["known"] = op.ask.known
        told["payers"] = _payers(terms, op.ask, now_s)
        if isinstance(op, Spend):
            return {**told, "end": _end(op.end)}
        until_ms = int((now_s + terms.lease_s) * 1000)
        return {**told, "hold": op.hold, "force": op.ask.force, "until": until_ms}


def _payers(terms: Terms, ask: Ask, now_s: float) -> list[dict[str, Any]]:
    """Return the accounts that must pay for a call."""
    period = terms.window.period(now_s, ask.run)
    kept_s = kept_until_s(terms, period, now_s)
    common: dict[str, Any] = {}
    if period.start_s is not None:
        common |= {"start": period.start_s, "end": period.end_s}
    if kept_s is not None:
        common["kept"] = int(kept_s * 1000)
    payers: list[dict[str, Any]] = []
    for key in ask.keys:
        limit = terms.limit_of(key)
        # How much must be spent for each share, rounded up.
        marks = {str(one): str(-(-one * limit // ONE_USD)) for one in terms.thresholds}
        payer = {"id": account_id(terms, period, key), "limit": str(limit)}
        payers.append({**common, **payer, "marks": marks})
    return payers


def _end(end: End) -> str:
    if end is None:
        return "unknown"
    return "released" if end == RELEASED else str(end)


def _answer_of(op: Op, told: dict[str, Any], now_s: float) -> Answer:
    terms = op.terms
    if isinstance(op, Look):
        rows = _accounts_of(told)
        return Answer(accounts=tuple(described(terms, rows, now_s)))
    ask = None if isinstance(op, Finish) else op.ask
    return Answer(
        passed=told["passed"],
        shorts=tuple(
            _account_of(row).describe(terms, ask) for row in told.get("shorts") or ()
        ),
        news=tuple(
            (_account_of(row).describe(terms), int(share))
            for row, share in told["news"]
        ),
    )


def _accounts_of(told: dict[str, Any]) -> list[Account]:
    # Lua has one kind of table: an empty list is told as an object.
    return [_account_of(json.loads(row)) for row in told["accounts"] or ()]


def _account_of(told: dict[str, Any]) -> Account:
    *_, label, key = json.loads(told["id"])
    period = Period(label, told.get("start"), told.get("end"))
    account = Account(key, period, int(told["limit"]))
    account.spent = int(told["spent"])
    account.reserved = int(told["reserved"])
    account.assumed = int(told["assumed"])
    account.calls = int(told["calls"])
    account.unpriced = int(told["unpriced"])
    return account


def _terms_of(told: dict[str, Any]) -> tuple[Terms, float]:
    """Return what was agreed, as the store knows it, and when somebody has said so."""
    terms = Terms(
        name=told["name"],
        per=told["per"],
        window=Window.named(told["window"]),
        limit=int(told["limit"]),
        limits={key: int(count) for key, count in told["limits"].items()},
        action=told["action"],
        lease_s=0.0,
        lost=told["lost"],
        thresholds=(),
    )
    return terms, float(told["seen_s"])


def _is_mistake(error: Exception) -> bool:
    """Tell whether the script has failed by itself, not because of the server."""
    told = str(error)
    return "user_script" in told and not told.startswith(_SERVERS_OWN)


_SERVERS_OWN: Final = ("OOM", "READONLY", "LOADING", "MISCONF", "BUSY", "NOREPLICAS")


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def _live_s(terms: Terms) -> float:
    """Return for how long a budget is kept that nobody uses; 0 is for ever."""
    window = terms.window
    if window.name == "total":
        return 0.0
    return max(window.span_s + window.idle_s, GONE_S) + terms.lease_s + _DAY_S
