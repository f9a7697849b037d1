"""A process that works on shared limits; run by the tests, with what to do as JSON.

`{"redis": URL, "port": of the simulator, "until": clock, "workers": n, "faster": x}`
sends requests until then and prints what became of them; with `"hold": true` it takes
one turn, stands in line for the next, says so, and waits to be killed.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from langchain_cerebras_ext._limits._clock import SystemClock
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext.rate_limiter import CerebrasRateLimiter

MODEL = "gpt-oss-120b"


class FastClock(SystemClock):
    """This machine's clock, only faster; the same in all processes."""

    def __init__(self, faster):
        self.faster = faster

    def monotonic(self):
        return time.monotonic() * self.faster

    def wait(self, event, timeout_s):
        super().wait(event, timeout_s / self.faster)

    async def await_event(self, event, timeout_s):
        await super().await_event(event, timeout_s / self.faster)


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read(), told
    finally:
        connection.close()


def send(limiter, port, until):
    """Send one request; returns its status, or `None` if it is too late."""
    held = limiter.reserve(MODEL, input_tokens=120, max_output_tokens=200)
    if time.monotonic() >= until:
        held.release()
        return None
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me something."}],
        "max_completion_tokens": 200,
    }
    status, answer, headers = post(port, body)
    if status == 200:
        usage = json.loads(answer)["usage"]
        held.settle(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            headers=headers,
        )
    else:
        held.refused(status_error(status, answer, headers))
    return status


def work(limiter, port, until, workers):
    """Send requests by so many threads; returns how often each status came."""
    statuses = []

    def worker(_):
        while time.monotonic() < until:
            statuses.append(send(limiter, port, until))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(worker, range(workers)))
    return {str(status): statuses.count(status) for status in {*statuses} - {None}}


def main():
    told = json.loads(sys.argv[1])
    clock = FastClock(told["faster"])
    limiter = CerebrasRateLimiter(
        clock=clock, latency_s=6, redis=told["redis"], **told["limits"]
    )
    limiter.state(MODEL)  # loads and connects what the first step would wait for
    if told.get("hold"):
        threading.excepthook = lambda _: None
        limiter.reserve(MODEL, input_tokens=10)
        waiter = threading.Thread(
            target=lambda: limiter.reserve(MODEL, input_tokens=10), daemon=True
        )
        waiter.start()
        while limiter.state(MODEL).waiting == 0:
            time.sleep(0.01)
        print("in line", flush=True)
        time.sleep(60)
    else:
        print(json.dumps(work(limiter, told["port"], told["until"], told["workers"])))


if __name__ == "__main__":
    main()
