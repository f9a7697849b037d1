"""What cost tracking adds to a call: `python -m benchmarks.costs`.

Each row compares a model with handlers (`HANDLERS`) to the same model without any, in
one process: a `CostTracker` on the model, in the call's `config`, as a `with
track_costs()` scope; two of them, one with a budget; and LangChain's own
`UsageMetadataCallbackHandler`, which adds up tokens and no money, on the model and as
the scope that `get_usage_metadata_callback` makes.

The two take turns in small batches (`pairs.py`), and a figure is the median of how much
more the one took than the other right before or after it, times the least that a model
without handlers took in the row. The pairs of a row have some rounds each, several
times over, in an order that is drawn anew; never more than two at once, since each kind
of handler in between makes Python's own caches of what is called there worse for all.

A tracker puts off the adding up until somebody asks, or until it has 64 new records. A
round is as many calls of each side, in batches of eight; those that it falls to are
judged apart, so that each call has its share of it in every row of calls.

- `http`: a server that is a process of its own; its CPU does not count. In it is all
  that a call takes, system calls too, and what comes of caches that the kernel has used
  meanwhile. A stream is written at once, so that many events are read together.
- `canned`: the answer is there at once, and decoded like any other. A stream has a read
  for each event: what the service sends at its own speed, and what is dearest.
- `stream`, `astream`: an event of a long stream. `short_stream`, `short_astream`: a
  stream of 20 events, as a whole, and `invoke`, `ainvoke` a plain answer.
- `read`: `canned invoke`, and the total is asked for after 64 calls.
- `records`: the same, and each call's `UsageRecord` is read, which makes it. It has no
  target.

`--check` judges what one tracker adds, however it is given, in all rows but that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import inspect
import json
import math
import os
import platform
import random
import sys
from contextlib import ExitStack, nullcontext
from decimal import Decimal
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.callbacks import (
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from pydantic import SecretStr

from benchmarks.canned import Canned, asks_for_stream
from benchmarks.pairs import Pair, Side, frozen
from benchmarks.rounds import _Process
from benchmarks.server import MODEL
from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

EVENTS = 2_000
SHORT = 20
CALLS = 64
SLICES = 8
"""Batches of the calls of a round."""

SPELLS = 4
"""How often a row comes back to each pair."""

EVENT_US, CALL_US = 2.0, 30.0
TARGETS = {
    "event": EVENT_US,
    "call": CALL_US,
    "stream": CALL_US + SHORT * EVENT_US,
}
"""Microseconds that a tracker may add, at most; a stream is one of `SHORT` events."""

PART = 0.02
"""The least that can be told from nothing, as a part of what is done without handlers."""


def _tracker(**more: Any) -> CostTracker:
    # Few records, so that a late round has no more of them to hand over than an early.
    return CostTracker(max_records=CALLS, **more)


class Way(NamedTuple):
    """How handlers are given.

    Attributes:
        on_model: Makes those of the model.
        in_config: Makes those of each call.
        scope: Makes a scope around all calls.
        share: The part of the rounds that it has: 1 of what has a target.
        ours: What of ours does for a user what this one, of somebody else, does.
    """

    on_model: Callable[[], list[Any]] = list
    in_config: Callable[[], list[Any]] = list
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    share: float = 1.0
    ours: str | None = None


HANDLERS = {
    "none": Way(),
    "tracker": Way(lambda: [_tracker()]),
    "config": Way(in_config=lambda: [_tracker()]),
    "scope": Way(scope=track_costs),
    "two": Way(lambda: [_tracker(), _tracker()], share=0.25),
    "budget": Way(
        lambda: [_tracker(budgets=[Budget(Decimal(1_000_000))])],
        share=0.25,
    ),
    "peer": Way(
        lambda: [UsageMetadataCallbackHandler()],
        share=0.25,
        ours="tracker",
    ),
    "peer scope": Way(scope=get_usage_metadata_callback, share=0.25, ours="scope"),
}
JUDGED = ("tracker", "config", "scope")
ALL = tuple(HANDLERS)[1:]
ON_MODEL = ("tracker", "two", "budget")


# ------------------------------------------------------------------------------ models


class Response:
    """A canned answer, as a model reads it; it may be read any number of times."""

    status = 200

    def __init__(self, canned: Canned, *, stream: bool) -> None:
        head = canned.stream_head if stream else canned.head
        self.headers = {name.decode(): value.decode() for name, value in head}
        self.canned = canned

    def read(self) -> bytes:
        """Return the answer."""
        return self.canned.body

    def iter_raw(self) -> Iterator[bytes]:
        """Yield a stream's events."""
        return iter(self.canned.chunks)

    def finish(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class AsyncResponse(Response):
    """The same for an event loop."""

    async def read(self) -> bytes:  # type: ignore[override]
        """Return the answer."""
        return self.canned.body

    async def iter_raw(self) -> AsyncGenerator[bytes]:  # type: ignore[override]
        """Yield a stream's events."""
        for chunk in self.canned.chunks:
            yield chunk

    async def finish(self) -> None:  # type: ignore[override]
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class Transport:
    """Answers without a network."""

    def __init__(self, count: int, kind: type[Response] = Response) -> None:
        canned = Canned("text", count)
        self.plain, self.stream = (kind(canned, stream=one) for one in (False, True))

    def send(
        self, _method: str, _url: str, _headers: object, body: bytes, *_: Any, **__: Any
    ) -> Response:
        """Answer a request."""
        return self.stream if asks_for_stream(body) else self.plain


class AsyncTransport(Transport):
    """The same for an event loop."""

    async def send(self, *args: Any, **more: Any) -> Response:  # type: ignore[override]
        """Answer a request."""
        return super().send(*args, **more)


def _canned_model(count: int) -> type[ChatCerebras]:
    """Return a model with such transports."""
    transport, atransport = Transport(count), AsyncTransport(count, AsyncResponse)

    class Offline(ChatCerebras):
        def _transport(self) -> Any:
            return transport

        def _atransport(self) -> Any:
            return atransport

    return Offline


class Models:
    """The models of all rows that have the same handlers, and how they are called.

    Args:
        way: How the handlers are given.
        kinds: The models' classes and base URLs, by place and length.
        runner: The event loop of all.
    """

    def __init__(
        self,
        way: Way,
        kinds: dict[tuple[str, bool], tuple[type[ChatCerebras], str]],
        runner: asyncio.Runner,
    ) -> None:
        self.runner = runner
        self.handlers = way.on_model()
        given = way.in_config()
        self.config: Any = {"callbacks": given} if given else None
        self.models = {
            key: kind(
                model=MODEL,
                base_url=url,
                api_key=SecretStr("csk-bench"),
                callbacks=list(self.handlers),
            )
            for key, (kind, url) in kinds.items()
        }
        # A scope holds for its own batches alone.
        self.context = contextvars.copy_context()
        self.stack = ExitStack()
        self.context.run(self.stack.enter_context, way.scope())

    def do(self, row: Row, calls: int) -> None:
        """Make some calls, and look at what was tracked if the row does."""
        args = self.models[row.place, row.is_long], self.config, calls
        if inspect.iscoroutinefunction(row.call):
            self.runner.run(row.call(*args), context=self.context)
        else:
            self.context.run(row.call, *args)
        if row.look:
            for handler in self.handlers:
                row.look(handler)

    def close(self) -> None:
        """Leave the scope."""
        self.context.run(self.stack.close)


# -------------------------------------------------------------------------------- rows


def invoke(model: ChatCerebras, config: Any, calls: int) -> None:
    """Call a model."""
    for _ in range(calls):
        model.invoke("hi", config)


async def ainvoke(model: ChatCerebras, config: Any, calls: int) -> None:
    """The same in an event loop."""
    for _ in range(calls):
        await model.ainvoke("hi", config)


def stream(model: ChatCerebras, config: Any, calls: int) -> None:
    """Read streams."""
    for _ in range(calls):
        for _chunk in model.stream("hi", config):
            pass


async def astream(model: ChatCerebras, config: Any, calls: int) -> None:
    """The same in an event loop."""
    for _ in range(calls):
        async for _chunk in model.astream("hi", config):
            pass


class Row(NamedTuple):
    """A measure.

    Attributes:
        place: `http` or `canned`.
        call: Makes calls.
        unit: What is counted: an `event` of a long stream, a short `stream`, or a
            `call`.
        among: The ways that are compared to none.
        slices: In how many batches a round is done.
        times: How many times as many rounds as of others are needed.
        look: What is asked of each handler after each batch.
    """

    place: str
    call: Callable[[ChatCerebras, Any, int], Any]
    unit: str = "call"
    among: Sequence[str] = ALL
    slices: int = SLICES
    times: int = 1
    look: Callable[[Any], object] | None = None

    @property
    def is_long(self) -> bool:
        """Whether a long stream is read."""
        return self.unit == "event"


def _rows(place: str) -> dict[str, Row]:
    return {
        f"{place} stream": Row(place, stream, "event", slices=1),
        f"{place} astream": Row(place, astream, "event", slices=1),
        f"{place} invoke": Row(place, invoke),
        f"{place} ainvoke": Row(place, ainvoke),
        f"{place} short_stream": Row(place, stream, "stream"),
        f"{place} short_astream": Row(place, astream, "stream"),
    }


MEASURES = {
    **_rows("http"),
    **_rows("canned"),
    "read": Row(
        "canned",
        invoke,
        among=ON_MODEL,
        slices=1,
        times=3,
        look=lambda handler: handler.get_total_cost(),
    ),
    "records": Row(
        "canned",
        invoke,
        "call, with its record",
        among=ON_MODEL,
        slices=1,
        times=3,
        look=lambda handler: handler.records,
    ),
}


# ----------------------------------------------------------------------------- measure


class Sizes(NamedTuple):
    """How much is done.

    Attributes:
        events: Of a long stream.
        calls: In a round.
        rounds: How many, of what has a target.
    """

    events: int
    calls: int
    rounds: int

    @property
    def is_quick(self) -> bool:
        """Whether it is seen only that all works."""
        return self.rounds == 1


class Found(NamedTuple):
    """Microseconds for each unit of a row, by handlers.

    Attributes:
        least: Of all batches.
        middle: The median of all batches.
        added: What the handlers add, by pairs.
    """

    least: dict[str, float]
    middle: dict[str, float]
    added: dict[str, float]


def measure(
    url: str, sizes: Sizes, names: Sequence[str], draw: random.Random
) -> Iterator[tuple[str, Found]]:
    """Yield what is found in each row."""
    kinds = {
        (place, is_long): (kind(count), f"{url}/burst/text/{count}")
        for place, kind in (("http", lambda _: ChatCerebras), ("canned", _canned_model))
        for is_long, count in ((False, SHORT), (True, sizes.events))
    }
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        models = {who: Models(way, kinds, runner) for who, way in HANDLERS.items()}
        for one in models.values():
            stack.callback(one.close)
        for name in names:
            yield name, compare(MEASURES[name], models, sizes, draw)
        runner.run(models["none"].models["http", False].aclose())


def compare(
    row: Row, models: dict[str, Models], sizes: Sizes, draw: random.Random
) -> Found:
    """Measure a row, each of its pairs in turns."""
    pairs = {who: _pair(row, models, who, sizes) for who in row.among}
    spells = 1 if sizes.is_quick else SPELLS
    with frozen():
        for _ in range(spells):
            for who, pair in draw.sample(list(pairs.items()), len(pairs)):
                rounds = sizes.rounds * row.times * HANDLERS[who].share / spells
                pair.take_turns(1 if sizes.is_quick else math.ceil(rounds), draw)
    return _found(pairs)


def _pair(row: Row, models: dict[str, Models], who: str, sizes: Sizes) -> Pair:
    slices = 1 if sizes.is_quick else row.slices
    calls = 1 if row.is_long else sizes.calls // slices
    units = sizes.events if row.is_long else calls
    alone, other = (
        Side(partial(models[side].do, row, calls), units) for side in ("none", who)
    )
    for side in (alone, other):
        side.batch()  # warms up
    return Pair(alone, other, due_every=slices)


def _found(pairs: dict[str, Pair]) -> Found:
    alone = [us for pair in pairs.values() for us in pair.alone.us]
    others = {who: pair.other.us for who, pair in pairs.items()}
    us = {"none": alone, **others}
    least = {who: min(found) for who, found in us.items()}
    middle = {who: median(found) for who, found in us.items()}
    added = {who: least["none"] * (pair.ratio() - 1) for who, pair in pairs.items()}
    return Found(least, middle, added)


def missed(found: dict[str, Found]) -> list[str]:
    """Return the figures that are over their target."""
    return [
        f"{name}, {who}"
        for name, one in found.items()
        for who in JUDGED
        if one.added.get(who, 0.0) > TARGETS.get(MEASURES[name].unit, float("inf"))
    ]


def ratios(one: Found) -> dict[str, float | None]:
    """Return what others' handlers add, as a multiple of what ours do.

    `None` stands for one where what ours add cannot be told from nothing.
    """
    told = PART * one.least["none"]
    added = one.added
    return {
        who: added[who] / added[way.ours] if added[way.ours] > told else None
        for who, way in HANDLERS.items()
        if way.ours and who in added
    }


# ------------------------------------------------------------------------------- print


def main(given: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    add = parser.add_argument
    add("--rounds", type=int, default=40, help="of 64 calls of each side")
    add("--quick", action="store_true", help="tiny sizes: does the harness work?")
    add("--only", default="", help="rows that have this in their names")
    add("--seed", type=int, default=0)
    add("--json", action="store_true")
    add("--check", action="store_true", help="exit 1 if a target is missed")
    args = parser.parse_args(given)
    sizes = Sizes(40, 3, 1) if args.quick else Sizes(EVENTS, CALLS, args.rounds)
    names = [name for name in MEASURES if args.only in name]
    found: dict[str, Found] = {}
    if not args.json:
        print(_head())
    with _Process("-m", "benchmarks.server") as server:
        url = f"http://127.0.0.1:{int(server.read())}"
        for name, one in measure(url, sizes, names, random.Random(args.seed)):
            found[name] = one
            if not args.json:
                print(_line(name, one), flush=True)
    over = missed(found)
    if args.json:
        print(json.dumps(_report(found, over)))
    else:
        limits = ", ".join(f"{us:g} per {unit}" for unit, us in TARGETS.items())
        print(f"at most, of {', '.join(JUDGED)}: {limits}")
        if over:
            print(f"missed: {'; '.join(over)}")
    return 1 if args.check and over else 0


def _report(found: dict[str, Found], over: list[str]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "us": {name: one.least for name, one in found.items()},
        "median_us": {name: one.middle for name, one in found.items()},
        "added": {name: one.added for name, one in found.items()},
        "ratios": {name: ratios(one) for name, one in found.items()},
        "missed": over,
    }


_WIDTH = 30
_CELL = 11


def _head() -> str:
    cells = ["none", *(f"+ {who}" for who in ALL)]
    of_peers = [f"{who} is" for who, way in HANDLERS.items() if way.ours]
    names = "".join(f"{cell:>{_CELL}}" for cell in cells)
    return f"{'us, CPU':{_WIDTH}}{names}" + "".join(f"{n:>14}" for n in of_peers)


def _line(name: str, one: Found) -> str:
    row = MEASURES[name]
    digits = 2 if row.is_long else 1
    values = [one.least["none"], *(one.added.get(who) for who in ALL)]
    cells = "".join(
        f"{'-' if us is None else f'{us:.{digits}f}':>{_CELL}}" for us in values
    )
    times = "".join(
        f"{'-' if ratio is None else f'{ratio:.1f} x ours':>14}"
        for ratio in ratios(one).values()
    )
    return f"{f'{name} per {row.unit}':{_WIDTH}}{cells}{times}"


if __name__ == "__main__":
    sys.exit(main())
