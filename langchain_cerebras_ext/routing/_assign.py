"""Which arm a unit belongs to: the same one everywhere and for ever; pure.

Weighted rendezvous hashing: every arm draws a number for the unit by a keyed hash, and
the lowest wait wins, `-ln(draw) / weight`, as of clocks that ring at random. So no
state is kept; an arm that comes takes units from the others, one that goes gives them
back, and nobody else moves. Source: Schindelhauer and Schomaker, "Weighted Distributed
Hash Tables" (2005), the logarithmic method.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Draw"]

_BITS: Final = 52  # so that half a step more still fits a float
_SIZE: Final = 8
_HOLDOUT: Final = b"holdout\0"
_ARM: Final = b"arm\0"


class Draw:
    """Draws arms for units.

    Another salt makes another draw, which tells nothing of this one.

    Args:
        salt: The secret or the name that the draw depends on.
        weights: Of each arm, in any proportion; 0 gets no unit.
        holdout: The share of units that no arm gets, from 0 to 1. It is drawn by
            itself, so that weights do not move units into it or out of it.
    """

    __slots__ = ("_arms", "_hold_state", "_holdout")

    def __init__(
        self, salt: str, weights: Mapping[str, float], holdout: float = 0
    ) -> None:
        key = blake2b(salt.encode(), digest_size=32).digest()

        def state(*parts: bytes) -> blake2b:
            hashed = blake2b(digest_size=_SIZE, key=key)
            for part in parts:
                hashed.update(part)
            return hashed

        # By name, so that the order in which arms are written is of no account.
        self._arms = tuple(
            (name, float(weights[name]), state(_ARM, _sized(name)))
            for name in sorted(weights)
            if weights[name] > 0
        )
        self._holdout = holdout
        self._hold_state = state(_HOLDOUT)

    def pick(self, unit: str) -> str | None:
        """Return a unit's arm; `None` where it is held out."""
        data = unit.encode("utf-8", "surrogatepass")
        if self._holdout > 0 and _draw(self._hold_state, data) < self._holdout:
            return None
        arms = self._arms
        if len(arms) == 1:
            return arms[0][0]
        best, least = arms[0][0], math.inf
        for name, weight, state in arms:
            wait = -math.log(_draw(state, data)) / weight
            if wait < least:
                best, least = name, wait
        return best


def _sized(name: str) -> bytes:
    """Return a name with its length before it, so that no two run together alike."""
    data = name.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


def _draw(state: blake2b, data: bytes) -> float:
    """Return a number between 0 and 1, never one of them."""
    hashed = state.copy()
    hashed.update(data)
    number = int.from_bytes(hashed.digest(), "big") >> (_SIZE * 8 - _BITS)
    return (number + 0.5) / (1 << _BITS)
