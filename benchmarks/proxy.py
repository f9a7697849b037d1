"""What a proxy costs: `python -m benchmarks.proxy`.

Each contestant is a process of its own, before the same upstream; CPU is that of its
process and of its children, user and system, as the kernel counts it. They take turns,
and each row tells the least of all rounds. LiteLLM takes part where its command is
found (`--litellm PATH`, else the PATH). Linux only: it reads `/proc`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "client-key-0123456789"
MODEL = "gpt-oss-120b"
SHORT, LONG = 20, 5_000
FAST_PER_S = 3_000
OPEN = 500
AT_ONCE = 50
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STAMP = re.compile(rb"@(\d{18})")
_START_S = 120.0


class Target(NamedTuple):
    """What a figure may be: at most, and what is aimed at."""

    must: float
    aim: float


class Measure(NamedTuple):
    """A row of the table."""

    name: str
    unit: str
    take: Callable[[Bench], float]
    target: Target | None = None


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --------------------------------------------------------------------------- processes


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """Return a process and all beneath it."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("utf-8").split():
                found += _family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Return what a process has used, with its children."""
    ticks = 0
    for one in _family(pid):
        fields = _stat(one)
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_S


def resident_kib(pid: int) -> int:
    """Return the memory that a process holds, with its children."""
    total = 0
    for one in _family(pid):
        status = Path(f"/proc/{one}/status").read_text("utf-8")
        total += int(status.split("VmRSS:")[1].split()[0])
    return total


@contextlib.contextmanager
def running_server(*options: str) -> Iterator[str]:
    """Run the upstream; gives its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.kill()


def ours(upstream: str, port: int, folder: Path) -> list[str]:
    """Return the command of our proxy."""
    del folder
    given = {
        "CEREBRAS_API_KEY": "csk-x",
        "CEREBRAS_BASE_URL": upstream,
        "APE_API_KEY": KEY,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    pairs = [f"{name}={value}" for name, value in given.items()]
    return ["env", *pairs, sys.executable, "-m", "langchain_cerebras_ext.proxy"]


def litellm(program: str) -> Callable[[str, int, Path], list[str]]:
    """Return how LiteLLM's proxy is started, with one worker."""

    def command(upstream: str, port: int, folder: Path) -> list[str]:
        options = {"model": f"openai/{MODEL}", "api_base": f"{upstream}/v1"}
        config = {
            "model_list": [
                {"model_name": MODEL, "litellm_params": {**options, "api_key": "x"}}
            ],
            "general_settings": {"master_key": KEY},
            "litellm_settings": {"callbacks": ["prometheus"], "telemetry": False},
        }
        path = folder / "config.yaml"
        path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
        return [program, "--config", str(path), "--port", str(port)]

    return command


@contextlib.contextmanager
def running_proxy(
    command: Callable[[str, int, Path], list[str]], upstream: str
) -> Iterator[tuple[int, int, float]]:
    """Run a proxy; gives its port, its process id, and how long it took to serve."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = command(upstream, port, Path(folder))
        began = time.perf_counter()
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not is_alive(port):
                if process.poll() is not None:
                    msg = f"{words[0]} ended with {process.returncode}"
                    raise RuntimeError(msg)
                if time.perf_counter() - began > _START_S:
                    msg = f"{words[0]} does not serve"
                    raise RuntimeError(msg)
                time.sleep(0.01)
            yield port, process.pid, time.perf_counter() - began
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def is_alive(port: int) -> bool:
    """Whether something answers there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status in {200, 404}
    except OSError:
        return False
    finally:
        connection.close()


# ------------------------------------------------------------------------------ clients


def request(port: int, *, stream: bool, path: str = "/v1/chat/completions") -> bytes:
    """Return a request as bytes."""
    message = {"role": "user", "content": "Why is the sky blue?"}
    body = json.dumps({"model": MODEL, "messages": [message], "stream": stream})
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end, and return how long it was."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    if length:
        return len(await reader.readexactly(int(length[1])))
    size = 0
    while True:
        line = await reader.readuntil(b"\r\n")
        chunk = int(line.split(b";")[0], 16)
        size += len(await reader.readexactly(chunk + 2))
        if not chunk:
            return size


async def ask_many(port: int, asked: bytes, count: int, at_once: int) -> None:
    """Send so many requests on so many connections, each after the other's answer."""

    async def one(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        for _ in range(share):
            writer.write(asked)
            await read_answer(reader)
        writer.close()

    await asyncio.gather(*(one(count // at_once) for _ in range(at_once)))


def latencies(port: int, asked: bytes) -> list[float]:
    """Return how old each event of a stream was when it came, in microseconds."""
    found: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(asked)
        tail = b""
        while b"[DONE]" not in tail:
            data = sock.recv(1 << 16)
            now = time.monotonic_ns()
            if not data:
                msg = "the stream broke"
                raise RuntimeError(msg)
            joined = tail + data
            found += [(now - int(one)) / 1e3 for one in _STAMP.findall(joined)]
            cut = joined.rfind(b"\n") + 1
            tail = joined[cut:] if b"[DONE]" not in joined else joined
    return found


# ------------------------------------------------------------------------------ measures


class Bench:
    """A proxy's command, and what is measured of it."""

    def __init__(self, command: Callable[[str, int, Path], list[str]], scale: float):
        self.command = command
        self.scale = scale
        self.requests = max(AT_ONCE, int(5_000 * scale))
        self.streams = max(2, int(40 * scale))

    def per_request(self) -> float:
        """Plain answers, 50 at once; CPU of each."""
        with self._proxy("burst", 20) as (port, pid):
            asked = request(port, stream=False)
            asyncio.run(ask_many(port, asked, AT_ONCE * 4, AT_ONCE))
            before = cpu_s(pid)
            asyncio.run(ask_many(port, asked, self.requests, AT_ONCE))
            return (cpu_s(pid) - before) / self.requests * 1e6

    def per_burst_event(self) -> float:
        """Long streams that come as fast as they can; CPU of each further event."""
        return self._per_event("burst")

    def per_written_event(self) -> float:
        """The same, each event a write of its own."""
        return self._per_event("each")

    def _per_event(self, pace: str) -> float:
        used: dict[int, float] = {}
        for events in (SHORT, LONG):
            with self._proxy(pace, events) as (port, pid):
                asked = request(port, stream=True)
                asyncio.run(ask_many(port, asked, 4, 2))
                before = cpu_s(pid)
                asyncio.run(ask_many(port, asked, self.streams, 2))
                used[events] = (cpu_s(pid) - before) / self.streams
        return (used[LONG] - used[SHORT]) / (LONG - SHORT) * 1e6

    def per_paced_event(self) -> float:
        """One stream of 3,000 events a second; CPU of each."""
        return self._paced()[0]

    def added(self) -> float:
        """The same; how much later the middle event comes than without a proxy."""
        return self._paced()[1]

    def _paced(self) -> tuple[float, float]:
        events = max(300, int(FAST_PER_S * 4 * self.scale))
        path = f"/fast/clock/{events}"
        with (
            running_server("--precise") as upstream,
            running_proxy(self.command, upstream + path) as (port, pid, _),
        ):
            direct_port = int(upstream.rpartition(":")[2])
            full = f"{path}/v1/chat/completions"
            latencies(port, request(port, stream=True))
            before = cpu_s(pid)
            through = latencies(port, request(port, stream=True))
            used = (cpu_s(pid) - before) / events * 1e6
            asked = request(direct_port, stream=True, path=full)
            direct = latencies(direct_port, asked)
            return used, statistics.median(through) - statistics.median(direct)

    def per_open_stream(self) -> float:
        """Memory of each stream that is under way."""
        count = max(20, int(OPEN * self.scale))
        with self._proxy("slow", 20) as (port, pid):
            return asyncio.run(self._hold(port, pid, count))

    async def _hold(self, port: int, pid: int, count: int) -> float:
        asked = request(port, stream=True)

        async def begin() -> asyncio.StreamWriter:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked)
            await reader.readuntil(b"data: ")
            return writer

        writers = [await begin() for _ in range(20)]
        before = resident_kib(pid)
        writers += [await begin() for _ in range(count)]
        await asyncio.sleep(0.5)
        after = resident_kib(pid)
        for writer in writers:
            writer.close()
        return (after - before) / count

    def start(self) -> float:
        """Seconds from the command to the first answer."""
        with (
            running_server() as upstream,
            running_proxy(self.command, f"{upstream}/burst/text/20") as (_, _, took),
        ):
            return took

    def rest(self) -> float:
        """Memory after a few requests."""
        with self._proxy("burst", 20) as (port, pid):
            asyncio.run(ask_many(port, request(port, stream=True), 50, 5))
            return resident_kib(pid) / 1024

    @contextlib.contextmanager
    def _proxy(self, pace: str, events: int) -> Iterator[tuple[int, int]]:
        with (
            running_server() as upstream,
            running_proxy(self.command, f"{upstream}/{pace}/text/{events}") as found,
        ):
            yield found[0], found[1]


MEASURES = (
    Measure("CPU per request, 50 at once", "us", Bench.per_request, Target(300, 150)),
    Measure("CPU per event, bursts", "us", Bench.per_burst_event, Target(4, 1.5)),
    Measure("CPU per event, a write each", "us", Bench.per_written_event),
    Measure("CPU per event, 3,000/s", "us", Bench.per_paced_event, Target(110, 75)),
    Measure("added to an event at p50", "us", Bench.added, Target(150, 100)),
    Measure("memory per open stream", "KiB", Bench.per_open_stream, Target(32, 12)),
    Measure("start", "s", Bench.start, Target(1.5, 0.6)),
    Measure("memory at rest", "MiB", Bench.rest, Target(80, 45)),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table; 1 with `--check` where ours misses a target."""
    parser = argparse.ArgumentParser(prog="benchmarks.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="numbers mean nothing")
    parser.add_argument("--only", default="", help="parts of names, by commas")
    parser.add_argument("--litellm", default=shutil.which("litellm"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    scale, rounds = (0.02, 1) if options.quick else (1.0, options.rounds)
    benches = {"ours": Bench(ours, scale)}
    if options.litellm and not options.quick:
        benches["LiteLLM"] = Bench(litellm(options.litellm), min(scale, 0.1))
    wanted = [part for part in options.only.split(",") if part]
    missed: list[str] = []
    print(f"{platform.python_version()}, {os.cpu_count()} cores, {rounds} rounds")
    print(f"{'least of all rounds':30}", *(f"{name:>12}" for name in benches), sep="")
    for measure in MEASURES:
        if wanted and not any(part in measure.name for part in wanted):
            continue
        found: dict[str, list[float]] = {name: [] for name in benches}
        for _ in range(rounds):
            for name, bench in benches.items():
                found[name].append(measure.take(bench))
        least = {name: min(values) for name, values in found.items()}
        print(
            f"{measure.name:30}",
            *(f"{v:12.2f}" for v in least.values()),
            sep="",
            end=" ",
        )
        goal = measure.target
        told = f"must {goal.must:g}, aim {goal.aim:g}" if goal else ""
        print(f"{measure.unit:4}{told}", flush=True)
        if goal and least["ours"] > goal.must:
            missed.append(measure.name)
    if missed:
        print("missed:", ", ".join(missed))
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
