"""Time that passes only when all wait, and a service with the simulator's limits in it.

What the limiter does in an hour is seen in a second: the event loop jumps to the next
timer. The service admits by `langchain_cerebras_ext.simulator.limits`, which shares no
code with the limiter.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from dataclasses import dataclass, field

from langchain_cerebras_ext._limits._clock import SystemClock
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.simulator.faults import Fault
from langchain_cerebras_ext.simulator.limits import Limiter

MODEL = "gpt-oss-120b"
WINDOW_S = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}


class _Jump(selectors.DefaultSelector):
    """Where nothing has happened, moves the time on instead of waiting."""

    now = 1_000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:  # no timer is set: wait for other threads
            return super().select(None)
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self):
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self):
        return self._jump.now


class LoopClock(SystemClock):
    """The time of the running event loop."""

    def monotonic(self):
        return asyncio.get_running_loop().time()


class StepClock(SystemClock):
    """Moves when told to, or by whoever waits: for one thread."""

    def __init__(self, now=1_000.0):
        self.now = now
        self.waited = []

    def monotonic(self):
        return self.now

    def wait(self, event, timeout_s):
        self.waited.append(timeout_s)
        if not event.is_set():
            self.now += timeout_s


def run_virtually(main):
    """Run a coroutine function on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@dataclass
class Service:
    """What stands on the other side, and what has passed it.

    Attributes:
        refusals: The 429s that it has answered.
        requests: How many requests were admitted.
        tokens: What they have cost.
        uncached: The same, without cached tokens.
    """

    rates: object
    started: float
    refusals: list = field(default_factory=list)
    requests: int = 0
    tokens: int = 0
    uncached: int = 0

    def __post_init__(self):
        self.limiter = Limiter(self.rates, self.started, enforced=True)

    def admit(self, now, prompt, cached, completion):
        """Return what it holds for a request, or the error that a client would raise."""
        found = self.limiter.admit(
            now, prompt=prompt, cached=cached, completion=completion
        )
        if isinstance(found, Fault):
            self.refusals.append((now, found.body["message"]))
            headers = {**self.limiter.headers(now), **found.headers}
            import json

            return status_error(found.status, json.dumps(found.body).encode(), headers)
        self.requests += 1
        return found

    def settle(self, now, held, prompt, cached, output):
        """Note what a request has cost; returns the headers of its answer."""
        tokens, uncached = prompt + output, prompt - cached + output
        self.limiter._refill(now)
        self.limiter.settle(held, tokens=tokens, uncached=uncached)
        self.tokens += tokens
        self.uncached += uncached
        return self.limiter.headers(now)

    def shares(self, now):
        """Return for each limit how much of what it allowed was used.

        A full bucket and its refill during the run are what it allowed.
        """
        ran_s = now - self.started
        rates = self.rates
        rows = [
            ("requests/minute", rates.requests_minute, self.requests),
            ("requests/day", rates.requests_day, self.requests),
            ("uncached/minute", rates.uncached_minute, self.uncached),
            ("tokens/minute", rates.tokens_minute, self.tokens),
            ("tokens/hour", rates.tokens_hour, self.tokens),
            ("tokens/day", rates.tokens_day, self.tokens),
        ]
        return {
            name: used / (capacity * (1 + ran_s / WINDOW_S[name.partition("/")[2]]))
            for name, capacity, used in rows
            if capacity
        }


@dataclass(frozen=True)
class Load:
    """What requests are like.

    Attributes:
        prompt: Smallest and largest prompt, in tokens.
        output: The same of answers.
        max_tokens: What the requests allow; `None` sends no limit.
        cached: The part of a prompt that the service has in its cache.
        latency_s: The longest way there, and back.
        duration_s: How long an answer takes.
    """

    prompt: tuple[int, int]
    output: tuple[int, int]
    max_tokens: int | None = None
    cached: float = 0.0
    latency_s: float = 0.5
    duration_s: tuple[float, float] = (0.2, 4.0)


async def work(limiter, service, load, *, until, seed):
    """Send requests one after the other, as soon as each may go."""
    rng = random.Random(seed)
    now = asyncio.get_running_loop().time
    while now() < until:
        prompt = rng.randint(*load.prompt)
        output = rng.randint(*load.output)
        cached = int(prompt * load.cached)
        held = await limiter.areserve(
            MODEL, input_tokens=prompt, max_output_tokens=load.max_tokens
        )
        await asyncio.sleep(rng.uniform(0, load.latency_s))
        admitted = service.admit(now(), prompt, cached, load.max_tokens)
        if isinstance(admitted, Exception):
            await asyncio.sleep(rng.uniform(0, load.latency_s))
            held.refused(admitted)
            continue
        await asyncio.sleep(rng.uniform(*load.duration_s))
        headers = service.settle(now(), admitted, prompt, cached, output)
        await asyncio.sleep(rng.uniform(0, load.latency_s))
        held.settle(
            input_tokens=prompt,
            output_tokens=output,
            cached_tokens=cached,
            headers=headers,
        )
