"""The limiter and the simulator over HTTP: forty workers, no refusal, little unused."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._limits._clock import SystemClock
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter
from langchain_cerebras_ext.simulator import Simulator
from langchain_cerebras_ext.simulator.clock import SystemClock as SimulatorClock

MODEL = "gpt-oss-120b"
FASTER = 20.0
MINUTES = 4
WORKERS = 40
# A minute there is 3 s here, and what takes this machine a moment is long over there.
LATENCY_S = 6.0


class FastClock(SystemClock):
    """This machine's clock, only faster; for the limiter."""

    def monotonic(self):
        return time.monotonic() * FASTER

    def wait(self, event, timeout_s):
        super().wait(event, timeout_s / FASTER)

    async def await_event(self, event, timeout_s):
        await super().await_event(event, timeout_s / FASTER)


class FastSimulatorClock(SimulatorClock):
    """The same for the simulator."""

    def monotonic(self):
        return time.monotonic() * FASTER

    async def sleep(self, seconds):
        await super().sleep(seconds / FASTER)


def post(simulator, body):
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read(), headers
    finally:
        connection.close()


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.answered = self.refused = 0

    def count(self, status):
        with self.lock:
            self.answered += status == 200
            self.refused += status == 429


def test_plain_http_calls_are_never_refused():
    """The allowed throughput: five requests at first, and five more each minute."""
    tally = Tally()
    limiter = CerebrasRateLimiter.for_tier(
        "free", clock=FastClock(), latency_s=LATENCY_S
    )
    with Simulator(tier="free_trial", clock=FastSimulatorClock()) as simulator:
        started = time.monotonic()
        end = started + MINUTES * 60 / FASTER

        def worker(number):
            while time.monotonic() < end:
                held = limiter.reserve(MODEL, input_tokens=120, max_output_tokens=200)
                if time.monotonic() >= end:
                    held.release()
                    return
                body = {
                    "model": MODEL,
                    "messages": [{"role": "user", "content": f"Tell me of {number}."}],
                    "max_completion_tokens": 200,
                }
                status, answer, headers = post(simulator, body)
                tally.count(status)
                if status == 429:
                    held.refused(status_error(status, answer, headers))
                    continue
                usage = json.loads(answer)["usage"]
                held.settle(
                    input_tokens=usage["prompt_tokens"],
                    output_tokens=usage["completion_tokens"],
                    headers=headers,
                )

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(worker, range(WORKERS)))
    assert tally.refused == 0
    # The last request may have come just after the end; one burst and its refill.
    assert tally.answered >= 0.95 * (5 + 5 * MINUTES) - 1
    state = limiter.state(MODEL)
    assert (state.waiting, state.under_way) == (0, 0)
    assert state["requests/day"].source == "learned"


@pytest.mark.parametrize("how", ["batch", "abatch", "stream"])
async def test_a_chat_model_with_the_limiter_is_never_refused(how):
    """Nine calls on five a minute, without retries."""
    limiter = CerebrasRateLimiter.for_tier(
        "free", clock=FastClock(), latency_s=LATENCY_S
    )
    with Simulator(tier="free_trial", clock=FastSimulatorClock()) as simulator:
        model = ChatCerebras(
            model=MODEL,
            base_url=simulator.base_url,
            max_retries=0,
            max_tokens=200,
            rate_limiter=limiter,
        )
        prompts = [f"Say {number}" for number in range(8)]
        # The first call loads what later ones have and so comes late: another model's.
        other = ChatCerebras(model="qwen-3.8-27b", base_url=simulator.base_url)
        other.invoke("Hello")
        await other.ainvoke("Hello")
        if how == "batch":
            answers = model.batch(prompts)
        elif how == "abatch":
            answers = await model.abatch(prompts)
        else:
            answers = [
                "".join(part.text for part in model.stream(text)) for text in prompts
            ]
        assert len(answers) == 8
        assert all(answers)
    state = limiter.state(MODEL)
    assert state.under_way == 0
    # Reserved were 200 tokens an answer, used were fewer: the rest came back.
    assert state["tokens/day"].level > 1_000_000 - 8 * 200
