"""Numbers that are counted quickly, shared between workers, and shown to Prometheus.

A request changes about twenty numbers. Here that is an addition each, without a lock:
they are changed on one event loop. `prometheus_client`, whose counters take three times
as long, and seven times where workers share a folder, is asked when somebody scrapes:
it knows the formats.

Workers share a folder: each writes all that it has counted into a file of its own, once
a second, and whoever is asked adds the others' up. What is read of another worker is a
second old at most. A worker that has ended leaves its file: counts never go back.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import re
import secrets
import sys
import threading
import time
import weakref
from bisect import bisect_left
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from langchain_cerebras_ext.costs.pricing import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from prometheus_client import Metric

__all__ = ["Family", "Folder", "Histogram", "Money", "Number", "Rows", "Store", "shown"]

_log = logging.getLogger("langchain_cerebras_ext.proxy")

Rows: TypeAlias = "dict[tuple[str, ...], list[float]]"
"""A family's series by their labels' values: a number and when it was set, or a
histogram's sum and its count in each bucket."""

Snapshot: TypeAlias = "dict[str, Rows]"

_PUBLISH_S: Final = 1.0
_MOST_SERIES: Final = 10_000
OTHER: Final = "other"


class Family(NamedTuple):
    """A metric.

    Attributes:
        about: What it is, for people.
        labels: Its labels.
        bounds: A histogram's buckets.
        mode: How a gauge's values of several workers become one: `sum` and `min` of
            those that run, `last` or `max` of all. `None` is a counter or a histogram.
    """

    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    mode: str | None = None


# ------------------------------------------------------------------------------- cells


class Number:
    """A counter or a gauge."""

    __slots__ = ("at", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.at = 0.0

    def read(self) -> list[float]:
        """Return it as a row has it."""
        return [self.value, self.at]


class Money(Number):
    """A sum of USD: added up exactly, shown as the nearest float."""

    __slots__ = ("_exact",)

    def __init__(self) -> None:
        super().__init__()
        self._exact = Decimal(0)

    def add(self, amount: Decimal) -> None:
        """Add an amount."""
        self._exact = EXACT.add(self._exact, amount)

    def read(self) -> list[float]:
        """Return it as a row has it."""
        return [float(self._exact), 0.0]


class Histogram:
    """Counts by bucket, and a sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def read(self) -> list[float]:
        """Return it as a row has it."""
        return [self.total, *self.counts]


Cell: TypeAlias = "Number | Histogram"


class Store:
    """The cells of one process, made when they are first asked for.

    Args:
        families: What there may be.
        money: Names of those that are sums of USD.
    """

    __slots__ = ("_cells", "_families", "_money")

    def __init__(
        self, families: Mapping[str, Family], money: Iterable[str] = ()
    ) -> None:
        self._families = families
        self._money = frozenset(money)
        self._cells: dict[str, dict[tuple[str, ...], Any]] = {}

    def cell(self, name: str, *labels: str) -> Any:
        """Return the cell of a family with these labels.

        A family that has had its share of series has one more, for all others.
        """
        cells = self._cells.setdefault(name, {})
        found = cells.get(labels)
        if found is None:
            if len(cells) >= _MOST_SERIES:
                labels = (OTHER,) * len(labels)
            found = cells.setdefault(labels, self._make(name))
        return found

    def _make(self, name: str) -> Cell:
        if name in self._money:
            return Money()
        bounds = self._families[name].bounds
        return Histogram(bounds) if bounds else Number()

    def snapshot(self) -> Snapshot:
        """Return all values as they are now; safe in any thread."""
        # Copies first: the event loop may add series meanwhile.
        return {
            name: {labels: cell.read() for labels, cell in cells.copy().items()}
            for name, cells in self._cells.copy().items()
        }


# ---------------------------------------------------------------------- several workers


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, dict[tuple[str, ...], list[float]]]).decode
_FILE: Final = re.compile(r"cerebras-proxy-(\d+)-[0-9a-f]+\.msgpack")


class Folder:
    """Where workers leave what they have counted, for whichever of them is asked.

    Args:
        path: The folder; it should be empty when the first worker starts.
        snapshot: Tells what this process has counted; called in another thread.
    """

    def __init__(self, path: Path, snapshot: Callable[[], Snapshot]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._pid = 0
        self._file = path
        self._written = b""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.start()
        atexit.register(_publish_last, weakref.ref(self))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_start, weakref.ref(self)))

    def start(self) -> None:
        """Write from now on, once a second, as the process that this is."""
        pid = os.getpid()
        if pid == self._pid:
            return
        self._pid = pid
        # A number of a process comes again.
        name = f"cerebras-proxy-{pid}-{secrets.token_hex(4)}.msgpack"
        self._file = self._path / name
        self._written = b""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(
            target=_publish_until,
            args=(weakref.ref(self), self._ended),
            name="cerebras-metrics-files",
            daemon=True,
        ).start()

    def publish(self) -> None:
        """Write what was counted; whoever reads gets the old or the new."""
        with self._lock, suppress(OSError):  # a full disk breaks no request
            data = _encode(self._snapshot())
            if data != self._written:
                new = self._file.with_suffix(".new")
                new.write_bytes(data)
                new.replace(self._file)
                self._written = data

    def close(self) -> None:
        """Write for the last time."""
        self._ended.set()
        self.publish()

    def others(self) -> Iterator[tuple[Snapshot, bool]]:
        """Give what each other worker has written, and whether it still runs."""
        for path in sorted(self._path.glob("cerebras-proxy-*.msgpack")):
            found = _FILE.fullmatch(path.name)
            if found is None or path == self._file:
                continue
            try:
                snapshot = _decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):  # removed, or not ours
                continue
            yield snapshot, _is_alive(int(found[1]))


def _publish_until(which: weakref.ref[Folder], ended: threading.Event) -> None:
    while not ended.wait(_PUBLISH_S):
        folder = which()
        if folder is None:
            return
        try:
            folder.publish()
        except Exception:  # noqa: BLE001 - the next second it is tried again
            _log.exception("what was counted cannot be left for other workers")
        del folder  # it may go while this waits


def _start(which: weakref.ref[Folder]) -> None:
    folder = which()
    if folder is not None:
        folder.start()


def _publish_last(which: weakref.ref[Folder]) -> None:
    folder = which()
    if folder is not None:
        folder.close()


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # where this would interrupt it, and it has no workers
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is somebody else's
    return True


def merged(
    families: Mapping[str, Family],
    own: Snapshot,
    others: Iterable[tuple[Snapshot, bool]],
) -> Snapshot:
    """Return what all workers have counted together."""
    for snapshot, runs in others:
        for name, rows in snapshot.items():
            family = families.get(name)
            if family is None or (family.mode in {"sum", "min"} and not runs):
                continue
            mine = own.setdefault(name, {})
            for labels, row in rows.items():
                held = mine.get(labels)
                mine[labels] = row if held is None else _joined(family, held, row)
    return own


def _joined(family: Family, one: list[float], other: list[float]) -> list[float]:
    if family.mode == "last":
        return max(one, other, key=_when)
    if family.mode == "max":
        return max(one, other)
    if family.mode == "min":
        return min(one, other)
    # Sums; of versions with other buckets each has its own folder.
    return [a + b for a, b in zip(one, other, strict=False)]


def _when(row: list[float]) -> float:
    return row[1]


# --------------------------------------------------------------------- what is scraped


def shown(name: str, family: Family, rows: Rows) -> Metric:
    """Return a family as `prometheus_client` writes it."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    if family.bounds:
        histogram = HistogramMetricFamily(name, family.about, labels=family.labels)
        edges = [_edge(bound) for bound in (*family.bounds, math.inf)]
        for labels, row in rows.items():
            histogram.add_metric(labels, _added_up(edges, row[1:]), row[0])
        return histogram
    kind = CounterMetricFamily if family.mode is None else GaugeMetricFamily
    plain: CounterMetricFamily | GaugeMetricFamily
    plain = kind(name, family.about, labels=family.labels)
    for labels, row in rows.items():
        plain.add_metric(labels, row[0])
    return plain


def _added_up(edges: list[str], counts: Iterable[float]) -> list[tuple[str, float]]:
    """Return buckets as Prometheus has them, each with those below it."""
    found: list[tuple[str, float]] = []
    so_far = 0.0
    for edge, count in zip(edges, counts, strict=False):
        so_far += count
        found.append((edge, so_far))
    return found


def _edge(bound: float) -> str:
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def coarser(rows: Rows, bounds: Sequence[float], fewer: Sequence[float]) -> Rows:
    """Return histograms with some of their buckets' bounds only."""
    places = [bisect_left(fewer, bound) for bound in bounds] + [len(fewer)]
    found: Rows = {}
    for labels, row in rows.items():
        counts = [0.0] * (len(fewer) + 1)
        for place, count in zip(places, row[1:], strict=False):
            counts[place] += count
        found[labels] = [row[0], *counts]
    return found


def now() -> float:
    """Return when something was told, to compare it with what others were told."""
    return time.time()
