"""The same work with and without something, compared in one process.

Both do it in small batches, one right after the other, and who goes first is drawn anew
each time. CPU is `time.process_time()`: user and system time of all threads. What else
the machine does can only add to that, and under load it doubles it; but it does so to
both of a pair alike. So what is judged is the median of how much more the one takes, as
a part of the other.

The garbage collector runs between batches, not in them: its runs would fall to whoever
is measured then.
"""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from statistics import mean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator


@contextmanager
def frozen() -> Generator[None]:
    """Keep what is there by now from being looked through after each batch."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Side:
    """One of two that are compared, with what was found.

    Args:
        batch: Does the work.
        units: How many calls or events that is.

    Attributes:
        us: The CPU of each batch, in microseconds for each unit.
        garbage: Objects that the batches have left to the collector.
    """

    def __init__(self, batch: Callable[[], object], units: int) -> None:
        self.batch, self.units = batch, units
        self.us: list[float] = []
        self.garbage = 0

    def measure(self, *, collect: bool = False) -> None:
        """Do a batch, and note its CPU and its garbage."""
        if not collect:
            gc.disable()
        try:
            began = time.process_time()
            self.batch()
            self.us.append((time.process_time() - began) / self.units * 1e6)
        finally:
            gc.enable()
        self.garbage += gc.collect()


class Pair:
    """Two that are compared.

    Args:
        alone: Without what is in question.
        other: With it.
        due_every: Batches after which comes due what `other` puts off. Those between
            and those in which it does are judged apart, and all have their share.
    """

    def __init__(self, alone: Side, other: Side, *, due_every: int = 1) -> None:
        self.alone, self.other, self.due_every = alone, other, due_every

    def take_turns(
        self, rounds: int, draw: random.Random, *, collect: bool = False
    ) -> None:
        """Measure both, as often as given, each time until all has come due once."""
        for _ in range(rounds * self.due_every):
            for side in draw.sample((self.alone, self.other), 2):
                side.measure(collect=collect)

    def ratio(self) -> float:
        """Return how much the other takes, as a multiple of the one alone."""
        pairs = zip(self.alone.us, self.other.us, strict=True)
        ratios = [other / alone for alone, other in pairs]
        every = self.due_every
        return mean(median(ratios[start::every]) for start in range(every))
