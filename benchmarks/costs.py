"""What cost tracking adds to a call: `python -m benchmarks.costs`.

Each measure is taken of models that differ only in their handlers: none, a
`CostTracker`, or more (`HANDLERS`). They take turns in small batches, in an order that
is drawn anew for each round, so that what else the machine does meets all of them; each
row tells the least CPU of all rounds, and what the handlers add to it. The garbage
collector runs between batches, not in them.

A tracker puts off the adding up until somebody asks, or until it has 64 new records. A
batch is as many calls, so that each has its share of it in every row of calls.

- `stream`, `astream`: an event of a long stream, over HTTP from a server that is a
  process of its own; its CPU does not count.
- `short_stream`, `invoke`, `ainvoke`: a whole call of that server, a stream of 20
  events or a plain one; sockets make them the noisiest.
- `offline`, `aoffline`: a plain call whose answer is there at once, decoded like any
  other: the same difference as of `invoke` and `ainvoke`, with less noise.
- `read`: `offline`, and the total is asked for after each batch.
- `records`: `offline`, and each call's `UsageRecord` is read after each batch, which
  makes it. It has no target.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 5_000
CALLS = 64
ANSWER = b"""{"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000,
"model": "gpt-oss-120b", "system_fingerprint": "fp_1", "choices": [{"index": 0,
"finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
"usage": {"prompt_tokens": 68, "completion_tokens": 30, "total_tokens": 98,
"prompt_tokens_details": {"cached_tokens": 0},
"completion_tokens_details": {"reasoning_tokens": 20}},
"time_info": {"queue_time": 0.001, "prompt_time": 0.002, "completion_time": 0.01,
"total_time": 0.02, "created": 1700000000}}"""
TARGETS = {"event": 2.0, "call": 30.0}
"""Microseconds that a tracker may add, at most."""

HANDLERS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "tracker": lambda: [_tracker()],
    "two trackers": lambda: [_tracker(), _tracker()],
    "with a budget": lambda: [_tracker(budgets=[Budget(Decimal(1000))])],
}


def _tracker(**more: Any) -> CostTracker:
    # Few records, so that a late round has no more of them to hand over than an early.
    return CostTracker(max_records=CALLS, **more)


class Canned:
    """A transport without a network, and each of its responses: always the same."""

    status = 200
    headers: ClassVar[dict[str, str]] = {"content-type": "application/json"}

    def send(self, *_: Any, **__: Any) -> Canned:
        """Answer a request."""
        return self

    def read(self) -> bytes:
        """Return the answer."""
        return ANSWER

    def close(self) -> None:
        """Do nothing."""


class AsyncCanned:
    """The same for an event loop."""

    status, headers = Canned.status, Canned.headers

    async def send(self, *_: Any, **__: Any) -> AsyncCanned:
        """Answer a request."""
        return self

    async def read(self) -> bytes:
        """Return the answer."""
        return ANSWER

    async def aclose(self) -> None:
        """Do nothing."""


class Offline(ChatCerebras):
    """A model with such transports."""

    def _transport(self) -> Any:
        return _canned

    def _atransport(self) -> Any:
        return _async_canned


_canned = Canned()
_async_canned = AsyncCanned()


class Bench:
    """A model, its loop, and what is done with it."""

    def __init__(self, url: str, handlers: list[Any], sizes: tuple[int, int]) -> None:
        self.events, self.calls = sizes
        self.handlers = handlers
        self.url = url
        self.loop = asyncio.new_event_loop()
        self.long = self._model(f"burst/text/{self.events}")
        self.short = self._model("burst/text/20")
        self.canned = self._model("", Offline)

    def _model(
        self, path: str, model: type[ChatCerebras] = ChatCerebras
    ) -> ChatCerebras:
        return model(
            model="gpt-oss-120b",
            base_url=f"{self.url}/{path}",
            api_key="k",
            callbacks=list(self.handlers),
        )

    def stream(self) -> float:
        """Microseconds of each event of a stream."""
        return self._event(lambda: sum(1 for _ in self.long.stream("hi")))

    def astream(self) -> float:
        """The same in an event loop."""
        return self._event(lambda: self.loop.run_until_complete(self._drain()))

    async def _drain(self) -> None:
        async for _ in self.long.astream("hi"):
            pass

    def _event(self, run: Callable[[], object]) -> float:
        return clocked(run) / self.events * 1e6

    def invoke(self) -> float:
        """Microseconds of a plain call."""
        return self._call(
            lambda: [self.short.invoke("hi") for _ in range(self.calls)],
        )

    def ainvoke(self) -> float:
        """The same in an event loop."""
        return self._acall(self.short)

    def _acall(self, model: ChatCerebras) -> float:
        return self._call(lambda: self.loop.run_until_complete(self._ainvokes(model)))

    async def _ainvokes(self, model: ChatCerebras) -> None:
        for _ in range(self.calls):
            await model.ainvoke("hi")

    def short_stream(self) -> float:
        """Microseconds of a stream of 20 events."""
        return self._call(
            lambda: [list(self.short.stream("hi")) for _ in range(self.calls)],
        )

    def offline(self) -> float:
        """Microseconds of a plain call without a network."""
        return self._call(self._offline)

    def aoffline(self) -> float:
        """The same in an event loop."""
        return self._acall(self.canned)

    def read(self) -> float:
        """As `offline`, with the adding up of what is tracked."""
        return self._read(lambda handler: handler.get_total_cost())

    def records(self) -> float:
        """As `offline`, with a record of each call."""
        return self._read(lambda handler: handler.records)

    def _read(self, look: Callable[[Any], object]) -> float:
        self._look(look)  # at what is left of another measure

        def run() -> None:
            self._offline()
            self._look(look)

        return self._call(run)

    def _offline(self) -> None:
        for _ in range(self.calls):
            self.canned.invoke("hi")

    def _look(self, look: Callable[[Any], object]) -> None:
        for handler in self.handlers:
            look(handler)

    def _call(self, run: Callable[[], object]) -> float:
        return clocked(run) / self.calls * 1e6

    def close(self) -> None:
        """Let go of connections and the loop."""
        self.long.close()
        self.loop.run_until_complete(self.long.aclose())
        self.loop.close()


def clocked(run: Callable[[], object]) -> float:
    """Return the CPU seconds that a run takes."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        run()
        return time.process_time() - began
    finally:
        gc.enable()


class Row(NamedTuple):
    """A measure: what it is of, and how many batches make a round.

    Soon done ones have more, so that some of them are undisturbed.
    """

    kind: str
    batches: int


MEASURES = {
    "stream": Row("event", 1),
    "astream": Row("event", 1),
    "short_stream": Row("call", 1),
    "invoke": Row("call", 3),
    "ainvoke": Row("call", 3),
    "offline": Row("call", 20),
    "aoffline": Row("call", 20),
    "read": Row("call", 20),
    "records": Row("call, with its record", 20),
}


def measure(
    url: str, rounds: int, sizes: tuple[int, int]
) -> dict[str, dict[str, float]]:
    """Return the least of all rounds of each measure and each set of handlers.

    One round has one batch of each, to see whether all is well.
    """
    benches = {name: Bench(url, make(), sizes) for name, make in HANDLERS.items()}
    gc.collect()
    gc.freeze()  # what is loaded by now need not be looked through before each batch
    try:
        found = {
            name: least(name, benches, rounds * row.batches if rounds > 1 else 1)
            for name, row in MEASURES.items()
        }
    finally:
        gc.unfreeze()
    for bench in benches.values():
        bench.close()
    return found


def least(name: str, benches: dict[str, Bench], batches: int) -> dict[str, float]:
    """Return the least of several batches of a measure, of each set of handlers."""
    found = dict.fromkeys(benches, float("inf"))
    for bench in benches.values():
        getattr(bench, name)()  # warms up
    for _ in range(batches):
        for who in random.sample(list(benches), len(benches)):
            found[who] = min(found[who], getattr(benches[who], name)())
    return found


def main(given: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    add = parser.add_argument
    add("--rounds", type=int, default=7)
    add("--quick", action="store_true", help="tiny sizes: does the harness work?")
    add("--json", action="store_true")
    add("--check", action="store_true", help="exit 1 if a target is missed")
    args = parser.parse_args(given)
    sizes = (40, 3) if args.quick else (EVENTS, CALLS)
    rounds = 1 if args.quick else args.rounds
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            found = measure(url, rounds, sizes)
        finally:
            server.terminate()
    added = {
        name: {who: us - row["none"] for who, us in row.items() if who != "none"}
        for name, row in found.items()
    }
    missed = [
        name
        for name, row in MEASURES.items()
        if added[name]["tracker"] > TARGETS.get(row.kind, float("inf"))
    ]
    if args.json:
        facts = {"python": platform.python_version(), "load": os.getloadavg()[0]}
        print(json.dumps({**facts, "us": found, "added": added, "missed": missed}))
    else:
        _print(found, added)
    return 1 if args.check and missed else 0


_WIDTH = 30


def _print(
    found: dict[str, dict[str, float]], added: dict[str, dict[str, float]]
) -> None:
    names = [name for name in HANDLERS if name != "none"]
    print(
        f"{'us, CPU':{_WIDTH}} {'none':>8}" + "".join(f"{'+ ' + n:>16}" for n in names)
    )
    for name, row in MEASURES.items():
        cells = "".join(f"{added[name][who]:16.2f}" for who in names)
        title = f"{name} per {row.kind}"
        print(f"{title:{_WIDTH}} {found[name]['none']:8.2f}{cells}")
    print("at most: " + ", ".join(f"{us:g} per {kind}" for kind, us in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
