"""What cost tracking adds to a call: `python -m benchmarks.costs`.

Each measure is taken of two models that differ only in their handlers: none, and a
`CostTracker` (or more, see `HANDLERS`). They take turns, so that what else the machine
does meets both; each row tells the least CPU of all rounds. The server is a process of
its own and does not count.

`offline` is `invoke` with an answer that is there at once: the same difference as
`invoke` has, with less noise. `read` is that with the adding up, which a tracker puts
off until somebody asks, or until it has 64 new records; it has no target.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs.budget import Budget
from langchain_cerebras_ext.costs.tracker import CostTracker

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 5_000
CALLS = 100
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

SHORT = {"offline", "read"}
"""Measures that are soon done, so that more rounds of them can be undisturbed."""

HANDLERS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "tracker": lambda: [CostTracker()],
    "two trackers": lambda: [CostTracker(), CostTracker()],
    "with a budget": lambda: [CostTracker(budgets=[Budget(Decimal(1000))])],
}


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


class Offline(ChatCerebras):
    """A model with such a transport."""

    def _transport(self) -> Any:
        return _canned


_canned = Canned()


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
        return self._call(lambda: self.loop.run_until_complete(self._ainvokes()))

    async def _ainvokes(self) -> None:
        for _ in range(self.calls):
            await self.short.ainvoke("hi")

    def short_stream(self) -> float:
        """Microseconds of a stream of 20 events."""
        return self._call(
            lambda: [list(self.short.stream("hi")) for _ in range(self.calls)],
        )

    def offline(self) -> float:
        """Microseconds of a plain call without a network."""
        return self._call(self._offline)

    def read(self) -> float:
        """The same, with the adding up of what is tracked."""
        self._add_up()  # what is left of another measure
        return self._call(self._offline_read)

    def _offline(self) -> None:
        for _ in range(self.calls):
            self.canned.invoke("hi")

    def _offline_read(self) -> None:
        self._offline()
        self._add_up()

    def _add_up(self) -> None:
        for handler in self.handlers:
            handler.get_total_cost()

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


MEASURES = {
    "stream": "event",
    "astream": "event",
    "short_stream": "call",
    "invoke": "call",
    "ainvoke": "call",
    "offline": "call",
    "read": "call, summed",
}


def measure(
    url: str, rounds: int, sizes: tuple[int, int]
) -> dict[str, dict[str, float]]:
    """Return the least of all rounds of each measure and each set of handlers."""
    found: dict[str, dict[str, float]] = {}
    benches = {name: Bench(url, make(), sizes) for name, make in HANDLERS.items()}
    for name in MEASURES:
        least = found[name] = dict.fromkeys(benches, float("inf"))
        turns = rounds**2 if name in SHORT else rounds
        for number in range(turns + 1):
            for who, bench in benches.items():
                taken = getattr(bench, name)()
                if number:  # the first one warms up
                    least[who] = min(least[who], taken)
    for bench in benches.values():
        bench.close()
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
        for name, kind in MEASURES.items()
        if added[name]["tracker"] > TARGETS.get(kind, float("inf"))
    ]
    if args.json:
        facts = {"python": platform.python_version(), "load": os.getloadavg()[0]}
        print(json.dumps({**facts, "us": found, "added": added, "missed": missed}))
    else:
        _print(found, added)
    return 1 if args.check and missed else 0


def _print(
    found: dict[str, dict[str, float]], added: dict[str, dict[str, float]]
) -> None:
    names = [name for name in HANDLERS if name != "none"]
    print(f"{'us, CPU':23} {'none':>8}" + "".join(f"{'+ ' + n:>16}" for n in names))
    for name, kind in MEASURES.items():
        cells = "".join(f"{added[name][who]:16.2f}" for who in names)
        print(f"{name + ' per ' + kind:23} {found[name]['none']:8.2f}{cells}")
    print("at most: " + ", ".join(f"{us:g} per {kind}" for kind, us in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
