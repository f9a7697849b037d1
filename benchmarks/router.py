"""What a router costs over the leg that it asks: `python -m benchmarks.router`.

The same model is called by itself and as the first leg of a `ChatRouter`, in turns and
in one process, against a server in another that costs next to nothing. CPU is
`time.process_time()` of the process: user and system time of all threads. A difference
of two noisy numbers is taken of their minima over the rounds.

Rows: per streamed event, sync and async, without handlers and with a `CostTracker`;
per call, `invoke` and `ainvoke`, likewise; with tools bound. The last rows leave the
network out: a model that answers at once, so that what is left is LangChain's part.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks.rounds import _Process
from langchain_cerebras_ext import ChatCerebras, CostTracker
from langchain_cerebras_ext.routing.router import ChatRouter

EVENTS = 2_000
CALLS = 60
AT_ONCE_CALLS = 300
SHARE_AT_MOST = 0.05
CALL_US_AT_MOST = 150.0


def look_up(place: str) -> str:
    """Look something up."""
    return place


class Instant(BaseChatModel):
    """Answers at once, without a thread or a socket."""

    @property
    def _llm_type(self):
        return "instant"

    def _generate(self, *_, **__):
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Hello"))])

    async def _agenerate(self, *_, **__):
        return self._generate()


def stream(model, config):
    for _ in model.stream("hi", config):
        pass


def astream(model, config):
    async def run():
        async for _ in model.astream("hi", config):
            pass

    asyncio.run(run())


def invoke(model, config, calls=CALLS):
    for _ in range(calls):
        model.invoke("hi", config)


def ainvoke(model, config, calls=CALLS):
    async def run():
        for _ in range(calls):
            await model.ainvoke("hi", config)

    asyncio.run(run())


def measure(call, model, tracked):
    """Return the CPU seconds of a call."""
    config = {"callbacks": [CostTracker(langsmith=False)]} if tracked else None
    gc.collect()
    began = time.process_time()
    call(model, config)
    return time.process_time() - began


def rows(url):
    """Yield each row: its name, the call, the two models, whether tracked, the units."""
    leg = ChatCerebras(
        model="gpt-oss-120b",
        api_key="csk-bench",
        base_url=f"{url}/each/text/{EVENTS}",
    )
    short = ChatCerebras(
        model="gpt-oss-120b", api_key="csk-bench", base_url=f"{url}/each/text/10"
    )
    other = ChatCerebras(model="gpt-oss-120b", api_key="csk-bench", base_url=url)
    fake = Instant()

    def routed(model):
        return ChatRouter(legs={"first": model, "second": other})

    def quick(model, config):
        invoke(model, config, AT_ONCE_CALLS)

    def aquick(model, config):
        ainvoke(model, config, AT_ONCE_CALLS)

    tools = [look_up]
    pair = leg, routed(leg)
    shorter = short, routed(short)
    fakes = fake, routed(fake)
    bound = short.bind_tools(tools), routed(short).bind_tools(tools)
    yield "event, stream", stream, pair, False, EVENTS
    yield "event, astream", astream, pair, False, EVENTS
    yield "event, stream, tracked", stream, pair, True, EVENTS
    yield "event, astream, tracked", astream, pair, True, EVENTS
    yield "call, invoke", invoke, shorter, False, CALLS
    yield "call, ainvoke", ainvoke, shorter, False, CALLS
    yield "call, invoke, tools", invoke, bound, False, CALLS
    yield "call, invoke, tracked", invoke, shorter, True, CALLS
    yield "call, ainvoke, tracked", ainvoke, shorter, True, CALLS
    yield "call, invoke, no network", quick, fakes, False, AT_ONCE_CALLS
    yield "call, ainvoke, no network", aquick, fakes, False, AT_ONCE_CALLS


def main(argv=None):
    """Measure, print a table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    found = {}
    with _Process("-m", "benchmarks.server") as server:
        url = f"http://127.0.0.1:{int(server.read())}"
        for name, call, (leg, router), tracked, units in rows(url):
            times = {"leg": [], "router": []}
            for turn in range(given.rounds + 1):
                for who, model in (("leg", leg), ("router", router)):
                    taken = measure(call, model, tracked)
                    if turn:  # the first warms up
                        times[who].append(taken / units * 1e6)
            alone, over = min(times["leg"]), min(times["router"])
            found[name] = {"leg_us": alone, "router_us": over, "more_us": over - alone}
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{'per':28} {'leg':>10} {'router':>10} {'more':>9} {'share':>7}")
        for name, one in found.items():
            share = one["more_us"] / one["leg_us"]
            print(
                f"{name:28} {one['leg_us']:7.1f} us {one['router_us']:7.1f} us "
                f"{one['more_us']:6.1f} us {share:6.1%}"
            )
    missed = [
        name
        for name, one in found.items()
        if (
            one["more_us"] / one["leg_us"] > SHARE_AT_MOST
            if name.startswith("event")
            else one["more_us"] > CALL_US_AT_MOST
        )
    ]
    if missed and given.check:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
