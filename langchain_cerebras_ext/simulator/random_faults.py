"""Failures by chance: the same for the same seed, in the order of the requests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from langchain_cerebras_ext.simulator.faults import FAULT_CODES, Fault
from langchain_cerebras_ext.simulator.network_faults import (
    KINDS,
    RANDOM_FAULTS,
    Damage,
    make_failure,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """Decides for each request whether it fails, and how.

    The decision depends on the seed and on the request's number only, so it is the
    same however many requests are under way at once.

    Attributes:
        rate: The share of requests that fail, from 0 to 1.
        failures: What is chosen from; those that do not fit a request are left out.
        seed: Decides.
        first: The number of the first request.
    """

    rate: float
    failures: tuple[Fault | Damage, ...]
    seed: int
    first: int = 1

    def draw(self, number: int, *, streamed: bool, chat: bool) -> Fault | Damage | None:
        """Return how a request fails, or None.

        Args:
            number: Which request it is.
            streamed: Whether it asks for a stream.
            chat: Whether it asks for a completion.
        """
        rng = Random(f"{self.seed}:{number - self.first}")  # noqa: S311 - seeded on purpose
        if rng.random() >= self.rate:
            return None
        wanted = "stream" if streamed else "plain"
        fitting = [
            one
            for one in self.failures
            if isinstance(one, Fault)
            or (
                one.kind.answers in {"any", wanted} and (chat or not one.kind.chat_only)
            )
        ]
        if not fitting:
            return None
        chosen = rng.choice(fitting)
        if isinstance(chosen, Fault):
            return chosen
        return dataclasses.replace(chosen, at=rng.random())


def make_random_faults(
    rate: float,
    faults: Iterable[str | int] | None = None,
    *,
    seed: int = 0,
    first: int = 1,
) -> RandomFaults:
    """Return failures by chance.

    Args:
        rate: The share of requests that fail, from 0 to 1.
        faults: Names of `FAULTS`, codes of `FAULT_CODES` and statuses; default:
            `RANDOM_FAULTS`.
        seed: Decides.
        first: The number of the first request.

    Raises:
        ValueError: The rate is no share, or a name is unknown.
        TypeError: The faults are no list.
    """
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not 0 <= rate <= 1:
        msg = f"rate={rate!r} is not valid; give a share from 0 to 1."
        raise ValueError(msg)
    if isinstance(faults, (str, int)):
        msg = f"faults={faults!r} is not valid; give a list."
        raise TypeError(msg)
    chosen = tuple(RANDOM_FAULTS if faults is None else faults)
    if not chosen:
        msg = "faults is empty; name at least one, or leave it out."
        raise ValueError(msg)
    return RandomFaults(rate, tuple(map(_failure, chosen)), seed, first)


def _failure(name: str | int) -> Fault | Damage:
    if isinstance(name, str) and name in KINDS:
        return make_failure(fault=name)
    if isinstance(name, str) and name in FAULT_CODES:
        return make_failure(code=name)
    if isinstance(name, str):
        return make_failure(fault=name)  # Raises, and says which there are.
    return make_failure(name)
