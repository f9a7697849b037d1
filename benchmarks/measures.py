"""What is measured: each function returns one number of one contestant.

CPU is `time.process_time()`: user and system time of the client process, all threads.
The server is another process and does not count.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import CONTESTANTS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.contestants import Contestant


@dataclass(frozen=True)
class Sizes:
    """How much work a round is."""

    events: int = 2_000
    paced_events: int = 600
    streams: int = 100
    events_of_each: int = 100
    calls: int = 60
    calls_at_once: int = 50
    first_tokens: int = 20
    builds: int = 20
    binds: int = 200
    structured_events: int = 400
    long_stream: int = 20_000


QUICK = Sizes(40, 20, 4, 10, 3, 4, 2, 2, 5, 20, 200)
FULL = Sizes()


@dataclass(frozen=True)
class Target:
    """What a ratio to the baseline, or a number, may be at most."""

    at_most: float
    is_ratio: bool = True


@dataclass(frozen=True)
class Measure:
    """One row of the table."""

    name: str
    title: str
    unit: str
    run: Callable[[Bench], float]
    target: Target | None = None
    only_langchain: bool = False
    in_fresh_process: bool = False
    more_rounds: int = 0


class Bench:
    """A contestant in this process, at any of the server's addresses."""

    def __init__(self, name: str, server: str, sizes: Sizes) -> None:
        self.kind = CONTESTANTS[name]
        self.server = server
        self.sizes = sizes
        self.runner = asyncio.Runner()
        self._at: dict[str, Contestant] = {}

    def at(self, place: str) -> Contestant:
        """Return the contestant at an address, warm."""
        if place not in self._at:
            made = self._at[place] = self.kind(f"{self.server}/{place}/v1")
            made.warm()
            self.runner.run(made.awarm())
        return self._at[place]

    def close(self) -> None:
        self.runner.close()


def _cpu_us(work: Callable[[], int]) -> float:
    """Return CPU per unit of work; the work returns how many units it did."""
    gc.collect()
    started = time.process_time()
    count = work()
    return (time.process_time() - started) / count * 1e6


def _stream(made: Contestant, expected: int) -> int:
    count = 0
    for chunk in made.stream():
        count += bool(made.text(chunk))
    return _checked(count, expected)


async def _astream(made: Contestant, expected: int) -> int:
    count = 0
    async for chunk in made.astream():
        count += bool(made.text(chunk))
    return _checked(count, expected)


def _checked(count: int, expected: int) -> int:
    # Joined deltas are fewer chunks; nothing else may lose any.
    if not 0 < count <= expected:
        raise RuntimeError(f"{count} chunks with text instead of {expected}")
    return expected


# ------------------------------------------------------------------------- streams


def stream_at(pace: str) -> Callable[[Bench], float]:
    def run(bench: Bench) -> float:
        count = _stream_size(bench, pace)
        made = bench.at(f"{pace}/text/{count}")
        return _cpu_us(lambda: _stream(made, count))

    return run


def astream_at(pace: str) -> Callable[[Bench], float]:
    def run(bench: Bench) -> float:
        count = _stream_size(bench, pace)
        made = bench.at(f"{pace}/text/{count}")
        return _cpu_us(lambda: bench.runner.run(_astream(made, count)))

    return run


def _stream_size(bench: Bench, pace: str) -> int:
    return bench.sizes.paced_events if pace == "paced" else bench.sizes.events


def _many(bench: Bench, one: Callable[[], Awaitable[Any]], count: int) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    bench.runner.run(all_of_them())


def astream_100(bench: Bench) -> float:
    streams, count = bench.sizes.streams, bench.sizes.events_of_each
    made = bench.at(f"each/text/{count}")

    def work() -> int:
        _many(bench, lambda: _astream(made, count), streams)
        return streams * count

    return _cpu_us(work)


def stream_v3(bench: Bench) -> float:
    count = bench.sizes.events
    made = bench.at(f"each/text/{count}").made

    def work() -> int:
        found = sum(1 for _ in made.stream_events("Hello", version="v3").text)
        return _checked(found, count)

    return _cpu_us(work)


def astream_v3(bench: Bench) -> float:
    count = bench.sizes.events
    made = bench.at(f"each/text/{count}").made

    async def consume() -> int:
        stream = await made.astream_events("Hello", version="v3")
        return sum([1 async for _ in stream.text])

    return _cpu_us(lambda: _checked(bench.runner.run(consume()), count))


def stream_tools(bench: Bench) -> float:
    count = bench.sizes.structured_events
    made = bench.at(f"each/tool/{count}").made

    def work() -> int:
        found = sum(bool(chunk.tool_call_chunks) for chunk in made.stream("Hello"))
        return _checked(found, count + 2)

    return _cpu_us(work)


def stream_structured(bench: Bench) -> float:
    count = bench.sizes.structured_events
    made = bench.at(f"each/json/{count}").made
    chain = made.with_structured_output(SCHEMA, method="json_schema")

    def work() -> int:
        last = deque(chain.stream("Hello"), maxlen=1).pop()
        if not isinstance(last, dict) or len(last["text"]) < count:
            raise RuntimeError(f"the structure is not whole: {last!r:.80}")
        return count

    return _cpu_us(work)


# --------------------------------------------------------------------------- calls


def invoke(bench: Bench) -> float:
    made, count = bench.at("each/text/100"), bench.sizes.calls

    def work() -> int:
        for _ in range(count):
            made.invoke()
        return count

    return _cpu_us(work)


def ainvoke(bench: Bench) -> float:
    made, count = bench.at("each/text/100"), bench.sizes.calls

    async def calls() -> int:
        for _ in range(count):
            await made.ainvoke()
        return count

    return _cpu_us(lambda: bench.runner.run(calls()))


def ainvoke_50(bench: Bench) -> float:
    made, count = bench.at("each/text/100"), bench.sizes.calls_at_once

    def work() -> int:
        for _ in range(2):
            _many(bench, made.ainvoke, count)
        return 2 * count

    return _cpu_us(work)


def first_token(bench: Bench) -> float:
    made = bench.at("each/text/20")

    def once() -> float:
        started = time.perf_counter()
        stream = made.stream()
        for chunk in stream:
            if made.text(chunk):
                found = time.perf_counter() - started
                break
        for _ in stream:
            pass
        return found

    return min(once() for _ in range(bench.sizes.first_tokens)) * 1e6


def afirst_token(bench: Bench) -> float:
    made = bench.at("each/text/20")

    async def once() -> float:
        found = 0.0
        started = time.perf_counter()
        async for chunk in made.astream():
            if not found and made.text(chunk):
                found = time.perf_counter() - started
        return found

    async def best() -> float:
        return min([await once() for _ in range(bench.sizes.first_tokens)])

    return bench.runner.run(best()) * 1e6


def construct(bench: Bench) -> float:
    made, count = bench.at("each/text/100"), bench.sizes.builds

    def work() -> int:
        for _ in range(count):
            made.make()
        return count

    return _cpu_us(work)


def bind_tools(bench: Bench) -> float:
    from pydantic import BaseModel, Field

    class Weather(BaseModel):
        """Return the weather."""

        place: str = Field(description="A city.")
        days: int = 1

    def add(left: int, right: int) -> int:
        """Add two numbers."""
        return left + right

    made, count = bench.at("each/text/100").made, bench.sizes.binds
    made.bind_tools([Weather, add])

    def work() -> int:
        for _ in range(count):
            made.bind_tools([Weather, add])
        return count

    return _cpu_us(work)


# -------------------------------------------------------------------------- memory


def memory_of_streams(bench: Bench) -> float:
    """Return the peak of the Python heap in KiB a stream, 100 at once."""
    streams, count = bench.sizes.streams, bench.sizes.events_of_each
    made = bench.at(f"each/text/{count}")
    peak = _peak(lambda: _many(bench, lambda: _astream(made, count), streams))
    return peak / streams / 1024


def memory_of_long_stream(bench: Bench) -> float:
    """Return the peak of the Python heap in KiB over one long stream."""
    count = bench.sizes.long_stream
    made = bench.at(f"each/text/{count}")
    return _peak(lambda: _stream(made, count)) / 1024


def _peak(work: Callable[[], object]) -> int:
    work()
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def resident_after_streams(bench: Bench) -> float:
    """Return the most MiB that the process ever held, 100 streams included."""
    streams, count = bench.sizes.streams, bench.sizes.events_of_each
    made = bench.at(f"each/text/{count}")
    _many(bench, lambda: _astream(made, count), streams)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def import_time(bench: Bench) -> float:
    """Return CPU of the import in a process of its own, in ms, Python's start aside."""
    code = (
        "import time; t = time.process_time()\n"
        f"{bench.kind.imports}\n"
        "print(time.process_time() - t)"
    )
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, text=True)) * 1e3


def _lc(name: str, title: str, unit: str, run: Callable[[Bench], float]) -> Measure:
    return Measure(name, title, unit, run, only_langchain=True)


def _fresh(name: str, title: str, unit: str, run: Callable[[Bench], float]) -> Measure:
    return Measure(name, title, unit, run, in_fresh_process=True)


MEASURES: tuple[Measure, ...] = (
    Measure(
        "stream",
        "CPU per streamed event, sync",
        "µs",
        stream_at("each"),
        Target(1 / 12),
    ),
    Measure(
        "astream",
        "CPU per streamed event, async",
        "µs",
        astream_at("each"),
        Target(1 / 16),
    ),
    Measure(
        "astream_100",
        "CPU per streamed event, 100 streams at once",
        "µs",
        astream_100,
        Target(1 / 8),
    ),
    Measure("stream_burst", "... sync, one write", "µs", stream_at("burst")),
    Measure("astream_burst", "... async, one write", "µs", astream_at("burst")),
    Measure("stream_paced", "... sync, 2,000 events/s", "µs", stream_at("paced")),
    Measure("astream_paced", "... async, 2,000 events/s", "µs", astream_at("paced")),
    _lc("stream_v3", "CPU per token, v3 events, sync", "µs", stream_v3),
    _lc("astream_v3", "CPU per token, v3 events, async", "µs", astream_v3),
    _lc("stream_tools", "CPU per tool-call fragment", "µs", stream_tools),
    _lc("structured", "CPU per event, structured", "µs", stream_structured),
    Measure("invoke", "CPU per call, invoke", "µs", invoke, Target(0.5)),
    Measure("ainvoke", "CPU per call, ainvoke", "µs", ainvoke, Target(0.5)),
    Measure("ainvoke_50", "CPU per call, 50 at once", "µs", ainvoke_50, Target(0.5)),
    Measure("first_token", "time to first token, sync", "µs", first_token),
    Measure("afirst_token", "time to first token, async", "µs", afirst_token),
    Measure(
        "construct",
        "CPU per construction",
        "µs",
        construct,
        Target(1_000, is_ratio=False),
    ),
    _lc("bind_tools", "CPU per bind_tools, same tools", "µs", bind_tools),
    Measure(
        "import", "CPU of the import", "ms", import_time, Target(0.6), more_rounds=5
    ),
    _fresh("heap_100", "heap per stream, 100 at once", "KiB", memory_of_streams),
    _fresh("heap_long", "heap, one long stream", "KiB", memory_of_long_stream),
    _fresh("rss_100", "process at most, 100 streams", "MiB", resident_after_streams),
)
