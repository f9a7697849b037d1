"""Strategies: in which order the legs of a router are asked.

A strategy has `order(legs, asked)` and `observe(seen)`; see `Strategy` for the whole of
it. A plain function of `(legs, asked)` that returns legs is one, too.

A built-in strategy returns every leg that it is given: the first is the choice, the
others follow where that fails.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, cast

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasCostWarning,
    UnknownPriceError,
)
from langchain_cerebras_ext.routing._leg import Asked, Leg, Order, Seen, Strategy
from langchain_cerebras_ext.routing.capabilities import CEREBRAS, model_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from langchain_cerebras_ext.costs.prices import PriceBook

__all__ = [
    "ByExperiment",
    "Cheapest",
    "Custom",
    "Fastest",
    "Key",
    "Ordered",
    "Quote",
    "Speed",
    "Strategy",
    "Weighted",
    "make_strategy",
]

ANSWER_TOKENS: Final = 500
"""How long an answer is taken to be where nobody says so."""

Key = str | Callable[[Asked], str | None]
"""The name of what identifies a request in its metadata, or what finds it out."""


class _Quiet:
    """What is common to strategies that measure nothing."""

    wants_input_tokens = False

    def observe(self, seen: Seen) -> None:
        """Take no note of an answer."""


class _Locked:
    """What is common to strategies with a lock: copies have one of their own."""

    _lock: threading.RLock

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the lock."""
        return {name: one for name, one in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it over, with a new lock."""
        vars(self).update(state)
        self._lock = threading.RLock()


# ----------------------------------------------------------------------------- ordered


class Ordered(_Quiet):
    """Asks legs in the order in which the router has them."""

    name = "ordered"

    def __repr__(self) -> str:
        """Return its name."""
        return "Ordered()"

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:  # noqa: ARG002 - none
        """Return the legs as they are."""
        return Order(legs)


# ---------------------------------------------------------------------------- cheapest


class Quote(NamedTuple):
    """What a request would cost with a leg.

    Attributes:
        leg: The leg.
        usd: About so much; `None` where no price is known.
        source: Who says what it costs.
    """

    leg: Leg
    usd: Decimal | None
    source: str


class Cheapest(_Quiet):
    """Asks the leg first that costs least for the tokens of the request, as of now.

    The prompt is counted; the answer is taken to be `output_tokens` long, or as long as
    the request allows if that is less. Legs that cost the same stay in their order.
    Those of unknown price go last, which is said once, as a `CerebrasCostWarning`.

    Other providers' prices need the extra `prices`; the first look-up loads them in a
    third of a second, unless `PriceBook.preload()` was called before.

    Args:
        prices: Your own prices and discounts.
        output_tokens: How long an answer is taken to be.
        now: The time; for tests.

    Raises:
        CerebrasConfigurationError: `output_tokens` is no whole number, 0 or more.
    """

    name = "cheapest"
    wants_input_tokens = True

    def __init__(
        self,
        prices: PriceBook | None = None,
        *,
        output_tokens: int = ANSWER_TOKENS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        if not _is_count(output_tokens):
            msg = f"output_tokens={output_tokens!r} must be a whole number, 0 or more."
            raise CerebrasConfigurationError(msg)
        self._prices = prices
        self._output_tokens = output_tokens
        self._now = now or _utc_now
        self._said: set[str] = set()

    def __repr__(self) -> str:
        """Return what it assumes."""
        return f"Cheapest(output_tokens={self._output_tokens})"

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return the legs, the cheapest first."""
        if len(legs) < 2:  # noqa: PLR2004 - nothing to compare
            return Order(legs)
        quotes = self.quotes(legs, asked)
        unknown = [one for one in quotes if one.usd is None]
        if unknown:
            self._say(unknown)
        return Order([one.leg for one in quotes])

    def quotes(self, legs: Sequence[Leg], asked: Asked) -> list[Quote]:
        """Return what the request would cost with each leg, the cheapest first."""
        need, now = asked.need, self._now()
        answer = self._output_tokens
        if need.max_output_tokens is not None:
            answer = min(answer, need.max_output_tokens)
        prompt = need.input_tokens or 0
        found = [self._quote(leg, prompt, answer, now) for leg in legs]
        # Sorting is stable: what costs the same stays in its order.
        return sorted(found, key=lambda one: (one.usd is None, one.usd or 0))

    def _quote(self, leg: Leg, prompt: int, answer: int, now: datetime) -> Quote:
        from langchain_cerebras_ext.costs._providers import provider_name
        from langchain_cerebras_ext.costs.prices import list_prices
        from langchain_cerebras_ext.costs.pricing import cost_of

        model = model_id_of(leg)
        if not model:
            return Quote(leg, None, "its model has no name")
        book = self._prices if self._prices is not None else list_prices()
        row = book.find(provider_name(leg.provider), model, now, input_tokens=prompt)
        if row is None:
            return Quote(leg, None, "nobody")
        try:
            return Quote(leg, cost_of(row, prompt, output=answer).total, row.source)
        except UnknownPriceError:
            return Quote(leg, None, f"{row.source}, which lacks a rate")

    def _say(self, unknown: Iterable[Quote]) -> None:
        names = [one.leg.name for one in unknown if one.leg.name not in self._said]
        if not names:
            return
        self._said.update(names)
        msg = (
            f"No price is known of {' and '.join(names)}: strategy 'cheapest' asks "
            "others first. Give your own: Cheapest(PriceBook().with_price(...)), or "
            "install the extra 'prices'."
        )
        warn_user(msg, CerebrasCostWarning)


def _utc_now() -> datetime:
    return datetime.now(UTC)


# ----------------------------------------------------------------------------- fastest

By = Literal["answer", "ttft", "tokens_per_s"]

_ASSUMED_TTFT_S: Final = 0.5
_ASSUMED_TOKENS_PER_S: Final = 100.0
_LEAST: Final = 1e-6
_ASSUMED_WEIGHT: Final = 0.2  # of a measurement; it never fades
_MOST_WEIGHT: Final = 10.0  # so that a leg that slows down is left after a few calls
_LEASTUCCESS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a leg is taken to be.

    Attributes:
        ttft_s: Seconds to the first token.
        tokens_per_s: Tokens of the answer in a second after that.
        success: The part of its calls that had an answer.
        weight: How many recent measurements that is from; 0 is none.
    """

    ttft_s: float
    tokens_per_s: float
    success: float
    weight: float

    def answer_s(self, tokens: float) -> float:
        """Return how long an answer takes until somebody has one."""
        whole_s = self.ttft_s + tokens / self.tokens_per_s
        return whole_s / max(self.success, _LEASTUCCESS)


class _Mean:
    """A mean whose older values weigh less, and that goes back to what was assumed."""

    __slots__ = ("_assumed", "_at", "_half_life_s", "_sum", "_weight")

    def __init__(self, assumed: float, half_life_s: float) -> None:
        self._assumed = assumed
        self._half_life_s = half_life_s
        self._sum = 0.0
        self._weight = 0.0
        self._at = 0.0

    def add(self, value: float, now: float) -> None:
        self._fade(now)
        if self._weight > _MOST_WEIGHT - 1.0:
            left = (_MOST_WEIGHT - 1.0) / self._weight
            self._sum *= left
            self._weight *= left
        self._sum += value
        self._weight += 1.0

    def value(self, now: float) -> float:
        self._fade(now)
        total = self._sum + _ASSUMED_WEIGHT * self._assumed
        return total / (self._weight + _ASSUMED_WEIGHT)

    def weight(self, now: float) -> float:
        self._fade(now)
        return self._weight

    def _fade(self, now: float) -> None:
        if now > self._at:
            left = 0.5 ** ((now - self._at) / self._half_life_s)
            self._sum *= left
            self._weight *= left
            self._at = now


class _Usual:
    """A mean by logarithms, so that one long wait does not outweigh many short ones."""

    __slots__ = ("_logs",)

    def __init__(self, assumed: float, half_life_s: float) -> None:
        self._logs = _Mean(math.log(assumed), half_life_s)

    def add(self, value: float, now: float) -> None:
        self._logs.add(math.log(max(value, _LEAST)), now)

    def value(self, now: float) -> float:
        return math.exp(self._logs.value(now))


class _Measured:
    """What was measured of one leg."""

    __slots__ = ("failed", "token_s", "ttft_s")

    def __init__(self, token_s: float, half_life_s: float) -> None:
        self.ttft_s = _Usual(_ASSUMED_TTFT_S, half_life_s)
        self.token_s = _Usual(token_s, half_life_s)
        self.failed = _Mean(0.0, half_life_s)

    def add(self, seen: Seen, now: float, usual_tokens: float) -> None:
        """Take note of an answer."""
        self.failed.add(0.0 if seen.is_ok else 1.0, now)
        if not seen.is_ok:  # how quickly it fails says nothing of how fast it is
            return
        tokens, first = seen.output_tokens, seen.ttft_s
        if first is None:
            # In one piece: what was known of the one tells the other.
            if not tokens:
                rest = usual_tokens * self.token_s.value(now)
                self.ttft_s.add(seen.elapsed_s - rest, now)
                return
            first = min(self.ttft_s.value(now), seen.elapsed_s / 2)
        self.ttft_s.add(first, now)
        if tokens and tokens > 1:
            self.token_s.add((seen.elapsed_s - first) / tokens, now)

    def speed(self, now: float) -> Speed:
        return Speed(
            self.ttft_s.value(now),
            1.0 / self.token_s.value(now),
            1.0 - self.failed.value(now),
            self.failed.weight(now),
        )


class Fastest(_Locked):
    """Asks the leg first that has lately been the fastest.

    Time to the first token and tokens per second are measured on the calls that the
    router makes; a measurement weighs half after `half_life_s`, and about ten count. A
    leg begins with the speed that the catalog has for its model, or a modest guess, and
    goes back to that when nothing was measured for long, so that one that was slow is
    tried again. A share `explore` of the calls asks the leg first of which least is
    known. What a leg fails at counts as time lost. The rate of a stream has in it the
    time that its reader took.

    Args:
        by: What is compared: the time to a whole answer, to its first token, or the
            tokens per second.
        half_life_s: After how many seconds a measurement weighs half.
        explore: The share of the calls, from 0 to below 1, that measures.
        output_tokens: How long an answer is taken to be until some have come.
        seed: Makes the calls that measure the same each time.
        clock: Seconds that never go back; for tests.

    Raises:
        CerebrasConfigurationError: A value is out of range.
    """

    name = "fastest"
    wants_input_tokens = False

    def __init__(
        self,
        by: By = "answer",
        *,
        half_life_s: float = 120.0,
        explore: float = 0.05,
        output_tokens: int = ANSWER_TOKENS,
        seed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if by not in {"answer", "ttft", "tokens_per_s"}:
            msg = f"Fastest({by!r}): it must be 'answer', 'ttft' or 'tokens_per_s'."
            raise CerebrasConfigurationError(msg)
        if not 0 < half_life_s < math.inf:
            msg = f"half_life_s={half_life_s!r} must be seconds above 0."
            raise CerebrasConfigurationError(msg)
        if not 0 <= explore < 1:
            msg = f"explore={explore!r} must be from 0 to below 1."
            raise CerebrasConfigurationError(msg)
        if not _is_count(output_tokens) or not output_tokens:
            msg = f"output_tokens={output_tokens!r} must be a whole number, 1 or more."
            raise CerebrasConfigurationError(msg)
        self._by = by
        self._half_life_s = half_life_s
        self._explore = explore
        # How long answers are, whichever leg they come from.
        self._tokens = _Usual(output_tokens, half_life_s)
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - nothing secret
        # Reentrant: a garbage collection may end a stream, and so observe, anywhere.
        self._lock = threading.RLock()
        self._measured: dict[str, _Measured] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave measurements behind: the clock of another process is another."""
        return {**super().__getstate__(), "_measured": {}}

    def __repr__(self) -> str:
        """Return what it goes by."""
        return f"Fastest({self._by!r}, half_life_s={self._half_life_s})"

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return the legs, the fastest first."""
        if len(legs) < 2:  # noqa: PLR2004 - nothing to compare
            return Order(legs)
        with self._lock:
            now = self._clock()
            tokens = self._tokens.value(now)
            speeds = [self._of(leg).speed(now) for leg in legs]
            explores = self._explore and self._random.random() < self._explore
        if asked.need.max_output_tokens is not None:
            tokens = min(tokens, asked.need.max_output_tokens)
        places = sorted(range(len(legs)), key=lambda at: self._cost(speeds[at], tokens))
        if explores:
            # The best one is next, where that fails.
            least = min(places[1:], key=lambda at: speeds[at].weight)
            places.remove(least)
            places.insert(0, least)
        return Order([legs[at] for at in places])

    def _cost(self, speed: Speed, tokens: float) -> float:
        if self._by == "answer":
            return speed.answer_s(tokens)
        success = max(speed.success, _LEASTUCCESS)
        if self._by == "ttft":
            return speed.ttft_s / success
        return 1.0 / (speed.tokens_per_s * success)

    def observe(self, seen: Seen) -> None:
        """Take note of an answer."""
        with self._lock:
            measured = self._measured.get(seen.leg)
            if measured is None:  # there was nothing to choose
                return
            now = self._clock()
            if seen.output_tokens:
                self._tokens.add(seen.output_tokens, now)
            measured.add(seen, now, self._tokens.value(now))

    def speeds(self, legs: Iterable[Leg]) -> dict[str, Speed]:
        """Return how fast legs are taken to be now, by name."""
        with self._lock:
            now = self._clock()
            return {leg.name: self._of(leg).speed(now) for leg in legs}

    def _of(self, leg: Leg) -> _Measured:
        found = self._measured.get(leg.name)
        if found is None:
            per_s = _catalog_speed(leg) or _ASSUMED_TOKENS_PER_S
            found = _Measured(1.0 / per_s, self._half_life_s)
            self._measured[leg.name] = found
        return found


def _catalog_speed(leg: Leg) -> float | None:
    if leg.provider != CEREBRAS:
        return None
    model = model_id_of(leg)
    card = find_model(strip_provider(model)) if model else None
    return card.speed_tokens_per_s if card else None


# ---------------------------------------------------------------------------- weighted


class Weighted(_Quiet, _Locked):
    """Spreads requests over the legs by weight.

    With a `key` the same user, session or conversation always has the same leg, as long
    as weights and legs are the same; when they change, only as many move as have to.
    Without one, and for requests without that key, each call is drawn.

    Legs of weight 0 are only asked when the others have failed.

    Args:
        weights: By leg's name, any numbers from 0; a leg that is not named has 0. All
            legs weigh the same if not given.
        key: The name of what identifies the caller in the run's metadata or its
            `configurable`, such as `user_id` or `thread_id`; `user`, `session` (by
            their usual names) or `run`; or a function that finds it in what is asked.
        seed: Makes draws the same each time.
        salt: Begins keys, so that two routers spread their users differently.

    Raises:
        CerebrasConfigurationError: A weight is negative or no number, or all are 0.

    Example:
        ```python
        from langchain_cerebras_ext.routing.strategies import Weighted

        Weighted({"cerebras::gpt-oss-120b": 9, "openai::gpt-5.4": 1}, key="user_id")
        ```
    """

    name = "weighted"

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        key: Key | None = None,
        seed: int | None = None,
        salt: str = "",
    ) -> None:
        self._weights = None if weights is None else _checked_weights(weights)
        self._key = key
        self._salt = salt
        self._random = random.Random(seed)  # noqa: S311 - nothing secret
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        """Return the weights."""
        return f"Weighted({self._weights!r})"

    def check(self, names: Iterable[str]) -> None:
        """Check the weights' names against those of legs.

        Raises:
            CerebrasConfigurationError: A name is none of them.
        """
        _check_names(self, self._weights or (), names)

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return the legs, drawn by weight, or by the key's own numbers."""
        if len(legs) < 2:  # noqa: PLR2004 - nothing to choose
            return Order(legs)
        key = key_of(self._key, asked)
        if key is None:
            with self._lock:
                draws = [1.0 - self._random.random() for _ in legs]
        else:
            draws = [self._draw(key, leg.name) for leg in legs]
        scores = [self._score(leg.name, u) for leg, u in zip(legs, draws, strict=True)]
        places = sorted(range(len(legs)), key=scores.__getitem__)
        return Order([legs[at] for at in places])

    def _score(self, leg: str, draw: float) -> float:
        """Return an exponential variate of the weight; the smallest of them wins.

        The chance of a leg to have the smallest is its share of the weights, and a
        change of one leg's weight moves that leg alone: others keep their order.
        """
        weight = 1.0 if self._weights is None else self._weights.get(leg, 0.0)
        return -math.log(draw) / weight if weight else math.inf

    def _draw(self, key: str, leg: str) -> float:
        """Return a number above 0 up to 1 that a key and a leg always have together."""
        parts = f"{self._salt}\x1f{leg}\x1f{key}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(parts, digest_size=8).digest())
        # 53 bits, as many as a float holds: none is rounded to 0.
        return ((number >> 11) + 1) / (1 << 53)


def _checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    for name, weight in weights.items():
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight < math.inf:
            msg = f"weights={{{name!r}: {weight!r}}} must be a number, 0 or more."
            raise CerebrasConfigurationError(msg)
    if not any(weights.values()):
        msg = "weights must have at least one leg above 0."
        raise CerebrasConfigurationError(msg)
    return {name: float(weight) for name, weight in weights.items()}


_USUAL: Final = {
    "user": ("user_id",),
    "session": ("session_id", "thread_id", "conversation_id"),
}


def key_of(key: Key | None, asked: Asked) -> str | None:
    """Return what identifies a request; `None` if nothing does.

    `user` and `session` are known by their usual names, too; `run` is the run's id.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        found = key(asked)
        return None if found is None or found == "" else str(found)
    for name in (key, *_USUAL.get(key, ())):
        found = asked.metadata.get(name)
        if found is not None and found != "":
            return str(found)
    return asked.run_id if key == "run" else None


# -------------------------------------------------------------------------- experiment


class Assigns(Protocol):
    """What assigns keys to arms: an `Experiment`, or anything alike."""

    def assign(self, key: str) -> Any:
        """Return an assignment, which has an `arm`."""
        ...


class ByExperiment(_Quiet):
    """Asks the leg of the arm first that an experiment assigns to the request.

    The arm stands in metadata and records, whichever leg answers in the end: results
    are compared by what was intended, and `attempts` says what became of it. Requests
    that are held out or take no part get the legs in their order.

    An `Experiment` finds its units by itself. Of anything else `assign(key)` is asked
    where the request has a key, and returns what has an `arm`.

    Args:
        experiment: Says who belongs where.
        arms: The leg's name of each arm, where `experiment` is none of ours; if not
            given, arms have the names of legs.
        key: As for `Weighted`, where `experiment` is none of ours.
    """

    name = "experiment"

    def __init__(
        self,
        experiment: Assigns,
        *,
        arms: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> None:
        if not callable(getattr(experiment, "assign", None)):
            msg = f"experiment={experiment!r} must have assign(key)."
            raise CerebrasConfigurationError(msg)
        own = getattr(experiment, "assign_request", None)
        self._request: Callable[[Asked], Any] | None = own if callable(own) else None
        if self._request is not None and (arms is not None or key is not None):
            msg = f"{experiment!r} has arms and a key of its own: leave out arms, key."
            raise CerebrasConfigurationError(msg)
        self._experiment = experiment
        self._arms = dict(arms or {})
        self._key: Key = "run" if key is None else key

    def __repr__(self) -> str:
        """Return the experiment."""
        return f"ByExperiment({self._experiment!r})"

    def check(self, names: Iterable[str]) -> None:
        """Check that there is a leg for each arm.

        Raises:
            CerebrasConfigurationError: An arm's leg is none of them.
        """
        wanted: Iterable[str] = getattr(
            self._experiment, "legs", frozenset(self._arms.values())
        )
        _check_names(self._experiment, wanted, names)

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return the arm's leg first, then the others in their order."""
        arm, wanted = self._assigned(asked)
        if arm is None:
            return Order(legs)
        first = [leg for leg in legs if leg.name == wanted]
        rest = [leg for leg in legs if leg.name != wanted]
        name: object = getattr(self._experiment, "name", None)
        return Order([*first, *rest], arm, None if name is None else str(name))

    def _assigned(self, asked: Asked) -> tuple[str | None, str | None]:
        """Return the arm as records tell it, and the name of its leg."""
        if self._request is not None:
            found = self._request(asked)
            return found.label, found.leg
        key = key_of(self._key, asked)
        arm = None if key is None else self._experiment.assign(key).arm
        return arm, None if arm is None else self._arms.get(arm, arm)


def _check_names(whose: object, wanted: Iterable[str], names: Iterable[str]) -> None:
    known = list(names)
    for name in sorted(wanted):
        if name not in known:
            msg = f"{whose!r} names {name!r}, which is no leg: {', '.join(known)}."
            raise CerebrasConfigurationError(msg)


# ----------------------------------------------------------------------------- custom

Choose = Callable[[Sequence[Leg], Asked], "Sequence[Leg] | Order"]


class Custom(_Quiet):
    """Asks legs in the order that your function returns.

    Args:
        choose: Takes the legs that can serve the request and what is asked; returns
            legs, or an `Order`. Legs that it leaves out are not asked.
        name: As answers say it; the function's own if not given.
    """

    def __init__(self, choose: Choose, *, name: str | None = None) -> None:
        self._choose = choose
        self.name = str(name or getattr(choose, "__name__", type(choose).__name__))

    def __repr__(self) -> str:
        """Return the function's name."""
        return f"Custom({self.name})"

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return what the function does.

        Raises:
            CerebrasConfigurationError: It has returned something else than some of the
                legs, each at most once.
        """
        found = self._choose(legs, asked)
        order = found if isinstance(found, Order) else Order(found)
        why = _what_is_wrong(order.legs, {leg.name for leg in legs})
        if why:
            msg = (
                f"The strategy {self.name!r} has returned {why}. It must return some "
                "of the legs, each at most once, or an Order of them."
            )
            raise CerebrasConfigurationError(msg)
        return order


def _what_is_wrong(chosen: object, names: set[str]) -> str | None:
    if not isinstance(chosen, (list, tuple)):
        return f"a {type(chosen).__name__}"
    for leg in chosen:
        if not isinstance(leg, Leg) or leg.name not in names:
            return f"{leg!r}, which is none of the legs, or for the second time"
        names.remove(leg.name)
    return None


# ---------------------------------------------------------------------------- by name

_BY_NAME: Final[dict[str, Callable[[], Strategy]]] = {
    "ordered": Ordered,
    "cheapest": Cheapest,
    "fastest": Fastest,
    "weighted": Weighted,
}


def make_strategy(
    given: str | Strategy | Choose | Assigns = "ordered",
    *,
    legs: Sequence[Leg] | None = None,
    weights: Mapping[str, float] | None = None,
    experiment: Assigns | None = None,
) -> Strategy:
    """Return the strategy that is meant.

    Args:
        given: `ordered`, `cheapest`, `fastest`, `weighted` or `experiment`; a strategy;
            an experiment; or a function of `(legs, asked)`.
        legs: The router's, to check names against.
        weights: For `weighted`, which they mean by themselves.
        experiment: For `experiment`, which it means by itself.

    Raises:
        CerebrasConfigurationError: There is no such strategy, or its arguments are
            wrong.
    """
    found = _chosen(given, weights, experiment)
    if isinstance(found, (Weighted, ByExperiment)) and legs is not None:
        found.check(leg.name for leg in legs)
    return found


def _chosen(
    given: Any, weights: Mapping[str, float] | None, experiment: Assigns | None
) -> Strategy:
    if weights is not None and experiment is not None:
        msg = "Give weights=... or experiment=..., not both."
        raise CerebrasConfigurationError(msg)
    if weights is not None:
        _only(given, "weighted", "weights")
        return Weighted(weights)
    if experiment is not None:
        _only(given, "experiment", "experiment")
        return ByExperiment(experiment)
    if isinstance(given, str):
        make = _BY_NAME.get(given)
        if make is not None:
            return make()
        if given == "experiment":
            msg = "strategy='experiment' needs experiment=Experiment(...)."
            raise CerebrasConfigurationError(msg)
        msg = f"There is no strategy {given!r}; there are: {', '.join(_BY_NAME)} and "
        msg += "experiment. A function of (legs, asked) that returns legs is one, too."
        raise CerebrasConfigurationError(msg)
    if callable(getattr(given, "order", None)):
        return cast("Strategy", given)
    if callable(getattr(given, "assign", None)):
        return ByExperiment(given)
    if callable(given):
        return Custom(cast("Choose", given))
    msg = f"strategy={given!r} must be a name, a strategy, an experiment or a function."
    raise CerebrasConfigurationError(msg)


def _only(given: object, name: str, argument: str) -> None:
    """Refuse a strategy that another argument contradicts.

    Raises:
        CerebrasConfigurationError: It is another one.
    """
    if given not in {name, "ordered"}:  # the default says nothing
        msg = f"{argument}=... is for strategy={name!r}, and not for {given!r}."
        raise CerebrasConfigurationError(msg)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
