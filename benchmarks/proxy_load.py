"""The proxy under load: `python -m benchmarks.proxy_load`.

200 streams at once for a minute, then 20,000 short requests, through a proxy in a
process of its own to a simulator, which bills as the service does. None may be lost,
and the bill, what clients were told, the metrics and the ledger must agree to the
token. The proxy's memory is sampled on the way. Linux only: it reads `/proc`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

import aiohttp
import msgspec

from benchmarks.proxy import KEY, MODEL, ours, resident_kib, running_proxy
from langchain_cerebras_ext.costs import Ledger
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 100
EVENT_S = 0.05
SAMPLE_S = 1.0
WARM_S = 5.0  # until then memory may grow: pools, caches
_SAMPLE = re.compile(r"^cerebras_proxy_tokens_total\{(.*)\} (\S+)$", re.MULTILINE)


class Tokens(NamedTuple):
    """A sum, as one of those who count tells it."""

    calls: int
    input: int
    output: int


@dataclass
class Report:
    """What became of it all.

    Attributes:
        sums: Who counts, and what; all must be equal.
        lost: What went wrong, by request.
        streams: How many ended whole.
        requests: How many plain ones ended whole.
        memory_kib: Samples: seconds since the start, and the proxy's memory.
    """

    sums: dict[str, Tokens] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    streams: int = 0
    requests: int = 0
    memory_kib: list[tuple[float, int]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing is lost and all count alike."""
        return not self.lost and len(set(self.sums.values())) == 1

    @property
    def growth(self) -> float:
        """How much memory grew from the warm state to the end, as a ratio."""
        warm = [kib for at, kib in self.memory_kib if at >= WARM_S]
        return max(warm[-3:]) / warm[0] if warm else 1.0


class Load:
    """Clients, and what they are told."""

    def __init__(self, base_url: str) -> None:
        self.url = f"{base_url}/v1/chat/completions"
        self.report = Report()
        self.calls = self.input = self.output = 0

    def count(self, usage: dict[str, Any]) -> None:
        """Add what an answer tells."""
        self.calls += 1
        self.input += usage["prompt_tokens"]
        self.output += usage["completion_tokens"]

    async def stream(self, session: aiohttp.ClientSession, word: str) -> None:
        """Ask for a stream, and read it to its end."""
        body = self.body(f"long {word}", stream=True)
        try:
            async with session.post(self.url, json=body) as answer:
                text = await answer.text()
            lines = [line for line in text.splitlines() if line.startswith("data: ")]
            if answer.status != 200 or lines[-1] != "data: [DONE]":
                self.report.lost.append(f"{answer.status} {text[-200:]}")
                return
            last = msgspec.json.decode(lines[-2][6:])
            self.count(last["usage"])
            self.report.streams += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.report.lost.append(repr(error))

    async def ask(self, session: aiohttp.ClientSession, word: str) -> None:
        """Ask for a plain answer."""
        try:
            async with session.post(self.url, json=self.body(word)) as answer:
                told = await answer.json()
            if answer.status != 200:
                self.report.lost.append(f"{answer.status} {told}")
                return
            self.count(told["usage"])
            self.report.requests += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.report.lost.append(repr(error))

    def body(self, text: str, *, stream: bool = False) -> dict[str, Any]:
        """Return a request."""
        message = {"role": "user", "content": text}
        return {"model": MODEL, "messages": [message], "stream": stream}

    async def run(
        self, streams: int, seconds: float, requests: int, at_once: int
    ) -> None:
        """Keep so many streams going, then send so many requests."""
        options = {
            "connector": aiohttp.TCPConnector(limit=0),
            "headers": {"authorization": f"Bearer {KEY}"},
            "timeout": aiohttp.ClientTimeout(total=120),
        }
        async with aiohttp.ClientSession(**options) as session:
            end = time.monotonic() + seconds

            async def keep_streaming(number: int) -> None:
                while time.monotonic() < end:
                    await self.stream(session, f"stream {number}")

            await asyncio.gather(*(keep_streaming(n) for n in range(streams)))
            numbers: Iterator[int] = iter(range(requests))

            async def keep_asking() -> None:
                for number in numbers:
                    await self.ask(session, f"request {number}")

            await asyncio.gather(*(keep_asking() for _ in range(at_once)))


async def sample(load: Load, pid: int) -> None:
    """Note the proxy's memory until cancelled."""
    began = time.monotonic()
    while True:
        now = time.monotonic() - began
        load.report.memory_kib.append((now, resident_kib(pid)))
        await asyncio.sleep(SAMPLE_S)


def scraped(base_url: str) -> Tokens:
    """Return what the metrics say."""
    with urlopen(f"{base_url}/metrics") as answer:
        text = answer.read().decode()
    sums = {"input": 0, "output": 0}
    for labels, value in _SAMPLE.findall(text):
        kind = re.search(r'type="(\w+)"', labels)
        if kind and kind[1] in sums:
            sums[kind[1]] += int(float(value))
    done = re.findall(
        r'^cerebras_proxy_requests_total\{.*status="200".*\} (\S+)$', text, re.MULTILINE
    )
    return Tokens(int(sum(map(float, done))), sums["input"], sums["output"])


def run(
    streams: int,
    seconds: float,
    requests: int,
    at_once: int,
    *,
    event_s: float = EVENT_S,
) -> Report:
    """Put a proxy under load, and return what became of it."""
    with tempfile.TemporaryDirectory() as folder, Simulator(keep_requests=100) as sim:
        words = "word " * EVENTS
        sim.reply(
            words,
            chunks=["word "] * EVENTS,
            when="long",
            times=None,
            event_delay_s=event_s,
        )
        place = f"sqlite:///{Path(folder) / 'costs.db'}"

        def command(upstream: str, port: int, within: Path) -> list[str]:
            found = ours(upstream, port, within)
            return ["env", f"APE_LEDGER_URL={place}", *found]

        with running_proxy(command, sim.base_url) as (port, pid, _):
            base_url = f"http://127.0.0.1:{port}"
            load = Load(base_url)

            async def work() -> None:
                watch = asyncio.create_task(sample(load, pid))
                await load.run(streams, seconds, requests, at_once)
                watch.cancel()

            asyncio.run(work())
            sums = load.report.sums
            sums["clients"] = Tokens(load.calls, load.input, load.output)
            sums["metrics"] = scraped(base_url)
        billed = sim.billed.total
        sums["bill"] = Tokens(
            billed.calls, billed.prompt_tokens, billed.completion_tokens
        )
        with Ledger(place) as ledger:
            totals = ledger.totals()
        sums["ledger"] = Tokens(totals.calls, totals.input_tokens, totals.output_tokens)
    return load.report


def main(arguments: list[str] | None = None) -> int:
    """Run, and tell; 1 where something is lost or sums differ."""
    parser = argparse.ArgumentParser(prog="benchmarks.proxy_load", description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    report = run(options.streams, options.seconds, options.requests, options.at_once)
    print(f"{report.streams} streams, {report.requests} requests", end=" ")
    print(f"in {time.monotonic() - began:.0f} s; lost: {report.lost[:5] or 'none'}")
    for name, tokens in report.sums.items():
        print(
            f"{name:8} {tokens.calls:8} calls {tokens.input:10} in {tokens.output:10}"
        )
    samples = report.memory_kib[:: max(1, len(report.memory_kib) // 12)]
    print("MiB:", " ".join(f"{at:.0f}s {kib / 1024:.1f}" for at, kib in samples))
    print(f"memory from {WARM_S:.0f} s to the end: x {report.growth:.2f}")
    return int(not report.agrees)


if __name__ == "__main__":
    sys.exit(main())
