"""What a router costs over the leg that it asks: `python -m benchmarks.router`.

The same model is called by itself and as the first leg of a `ChatRouter`, in one
process and in small batches, in turns (`pairs.py`). So a row has three figures:

- least: of all batches of each side; what is closest to the work itself, if there was
  a quiet moment for both;
- paired: the median over the rounds of how much more the router's batch took than the
  leg's just before or after it, as a part of that; times the leg's least. Both sides of
  a pair are slowed down alike, so that it holds under load as well;
- median: of all batches of each side, as it is under that load.

`--check` judges `paired`: at most 150 us a call and 5 % of an event. On a quiet machine
it agrees with `least`; beside other work a difference of two minima is chance, and some
200 rounds are needed to tell 3 % of an event from 5 %.

Each row is there two or three times:

- `http`: `ChatCerebras` with its own transport, over one connection that is kept, to a
  server in another process that costs next to nothing. In it is all that a call takes,
  system calls too, and what comes of caches that the kernel has used meanwhile.
- `canned`: the same model over an `httpx` client that has the answer at hand: neither
  sockets nor waiting, sync or async; else the same.
- `bare`: a model that answers without sending anything: LangChain's part alone.

A call is an `invoke` or `ainvoke`: plain, with a tool bound, with a `CostTracker`
among the callbacks, by a schema. An event is one of a stream of 2,000; what its
beginning costs is spread over them. A short stream is a call with ten events, and may
cost what both may.

The garbage collector is off within a batch; `--gc` leaves it on. `--garbage` counts
what each call leaves to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

import httpx
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks.canned import Canned, asks_for_stream
from benchmarks.pairs import Pair, Side, frozen
from benchmarks.rounds import _Process
from langchain_cerebras_ext import ChatCerebras, CostTracker
from langchain_cerebras_ext.routing.router import ChatRouter

EVENTS = 2_000
SHORT = 10
CALLS = 10
SHARE_AT_MOST = 0.05
CALL_US_AT_MOST = 150.0
SCHEMA = {
    "title": "Said",
    "type": "object",
    "properties": {"title": {"type": "string"}, "text": {"type": "string"}},
    "required": ["title", "text"],
    "additionalProperties": False,
}


def look_up(place: str) -> str:
    """Look something up."""
    return place


# ------------------------------------------------------------------------------ models


class Bare(BaseChatModel):
    """Answers at once, without a thread or a socket."""

    @property
    def _llm_type(self):
        return "bare"

    def _generate(self, *_, **__):
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Hello"))])

    async def _agenerate(self, *_, **__):
        return self._generate()

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=tools, **kwargs)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        return iter(self.chunks)

    async def __aiter__(self):
        for chunk in self.chunks:
            yield chunk


class _Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    def __init__(self, kind, count):
        self.canned = Canned(kind, count)

    def handle_request(self, request):
        canned = self.canned
        if asks_for_stream(request.content):
            body = _Body(canned.chunks)
            return httpx.Response(200, headers=canned.stream_head, stream=body)
        return httpx.Response(200, headers=canned.head, content=canned.body)

    async def handle_async_request(self, request):
        return self.handle_request(request)


def _canned_model(kind, count):
    transport = _Transport(kind, count)
    return ChatCerebras(
        model="gpt-oss-120b",
        api_key="csk-bench",
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )


def _http_model(url, kind, count):
    return ChatCerebras(
        model="gpt-oss-120b",
        api_key="csk-bench",
        base_url=f"{url}/each/{kind}/{count}",
    )


# ------------------------------------------------------------------------------- calls


def invoke(model, config):
    for _ in range(CALLS):
        model.invoke("hi", config)


async def ainvoke(model, config):
    for _ in range(CALLS):
        await model.ainvoke("hi", config)


def stream(model, config):
    for _ in model.stream("hi", config):
        pass


async def astream(model, config):
    async for _ in model.astream("hi", config):
        pass


def streams(model, config):
    for _ in range(CALLS):
        stream(model, config)


async def astreams(model, config):
    for _ in range(CALLS):
        await astream(model, config)


class Row(NamedTuple):
    """What is compared: a batch, of the leg and of the router.

    Attributes:
        name: What a unit is, and what is done.
        place: `http`, `canned` or `bare`.
        call: Does a batch.
        leg: The model.
        router: The router that asks it first.
        is_tracked: Whether a tracker is among the callbacks.
        units: How many there are in a batch.
    """

    name: str
    place: str
    call: object
    leg: object
    router: object
    is_tracked: bool
    units: int

    @property
    def is_event(self):
        return self.name.startswith("event")

    def misses(self, leg_us, more_us):
        """Whether a router costs more than it may."""
        of_call = 0.0 if self.is_event else CALL_US_AT_MOST
        of_events = SHARE_AT_MOST * leg_us if "stream" in self.name else 0.0
        return more_us > of_call + of_events


def _routed(model):
    other = ChatCerebras(model="qwen-3.8-27b", api_key="csk-bench")
    return ChatRouter(legs={"first": model, "second": other})


def _call_rows(place, text, by_schema):
    """Yield the rows of calls of one place."""
    router = _routed(text)
    tools = [look_up]
    bound = text.bind_tools(tools), router.bind_tools(tools)
    for is_tracked in (False, True):
        more = ", tracked" if is_tracked else ""
        for verb, call in (("invoke", invoke), ("ainvoke", ainvoke)):
            for kind, pair in (("", (text, router)), (", tools", bound)):
                if is_tracked and kind and place == "bare":
                    continue  # 2 ms for the tokens of tools, as of all foreign models
                name = f"call, {verb}{kind}{more}"
                yield Row(name, place, call, *pair, is_tracked, CALLS)
    if by_schema is not None:
        made = (
            by_schema.with_structured_output(SCHEMA),
            _routed(by_schema).with_structured_output(SCHEMA),
        )
        yield Row("call, invoke, schema", place, invoke, *made, False, CALLS)
        yield Row("call, ainvoke, schema", place, ainvoke, *made, False, CALLS)


def _stream_rows(place, long, short):
    """Yield the rows of streams of one place."""
    for is_tracked in (False, True):
        more = ", tracked" if is_tracked else ""
        pair = long, _routed(long)
        yield Row(f"event, stream{more}", place, stream, *pair, is_tracked, EVENTS)
        yield Row(f"event, astream{more}", place, astream, *pair, is_tracked, EVENTS)
    for is_tracked in (False, True):
        more = ", tracked" if is_tracked else ""
        pair = short, _routed(short)
        name = f"call, short stream{more}"
        yield Row(name, place, streams, *pair, is_tracked, CALLS)
        name = f"call, short astream{more}"
        yield Row(name, place, astreams, *pair, is_tracked, CALLS)


def rows(url):
    """Yield all rows."""
    yield from _call_rows("bare", Bare(), None)
    yield from _call_rows(
        "canned", _canned_model("text", SHORT), _canned_model("json", SHORT)
    )
    yield from _stream_rows(
        "canned", _canned_model("text", EVENTS), _canned_model("text", SHORT)
    )
    yield from _call_rows(
        "http", _http_model(url, "text", SHORT), _http_model(url, "json", SHORT)
    )
    yield from _stream_rows(
        "http", _http_model(url, "text", EVENTS), _http_model(url, "text", SHORT)
    )


# ----------------------------------------------------------------------------- measure


def _side(row, model, runner):
    tracker = CostTracker(langsmith=False) if row.is_tracked else None
    config = {"callbacks": [tracker]} if tracker else None
    if not asyncio.iscoroutinefunction(row.call):
        return Side(lambda: row.call(model, config), row.units)
    return Side(lambda: runner.run(row.call(model, config)), row.units)


def compare(row, rounds, draw, *, collect):
    """Return the leg and the router of a row, measured."""
    with asyncio.Runner() as runner:
        pair = Pair(_side(row, row.leg, runner), _side(row, row.router, runner))
        for side in (pair.alone, pair.other) * 2:
            side.batch()
        with frozen():
            pair.take_turns(rounds, draw, collect=collect)
    return pair


def figures(row, pair):
    """Return what was found, in microseconds for each unit."""
    leg, router = pair.alone, pair.other
    least = min(leg.us), min(router.us)
    paired = least[0] * (pair.ratio() - 1)
    middle = median(leg.us), median(router.us)
    calls = len(leg.us) * (1 if row.is_event else CALLS)
    return {
        "place": row.place,
        "name": row.name,
        "leg_us": least[0],
        "more_us": least[1] - least[0],
        "paired_more_us": paired,
        "median_leg_us": middle[0],
        "median_more_us": middle[1] - middle[0],
        "leg_garbage": leg.garbage / calls,
        "router_garbage": router.garbage / calls,
        "missed": row.misses(least[0], paired),
    }


HEAD = f"""\
{"":38} {"leg":>8} {"router adds, us and part of the leg":>46}
{"":38} {"least":>8} {"least":>15} {"paired":>15} {"median":>15}"""


def _told(one, *, garbage):
    said = f"{one['place']:7} {one['name']:30} {one['leg_us']:8.2f}"
    for name, of in (
        ("more_us", "leg_us"),
        ("paired_more_us", "leg_us"),
        ("median_more_us", "median_leg_us"),
    ):
        said += f" {one[name]:8.2f} {one[name] / one[of]:6.1%}"
    if garbage:
        said += f"  {one['leg_garbage']:6.1f} {one['router_garbage']:6.1f}"
    return said + ("  missed" if one["missed"] else "")


def main(argv=None):
    """Measure, print a table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", help="rows whose place and name have this in them")
    parser.add_argument("--gc", action="store_true", help="leave the collector on")
    parser.add_argument(
        "--garbage", action="store_true", help="count garbage in cycles"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    draw = random.Random(given.seed)
    found = []
    with ExitStack() as stack:
        server = stack.enter_context(_Process("-m", "benchmarks.server"))
        url = f"http://127.0.0.1:{int(server.read())}"
        if not given.json:
            print(HEAD)
        for row in rows(url):
            if given.only and given.only not in f"{row.place} {row.name}":
                continue
            one = figures(row, compare(row, given.rounds, draw, collect=given.gc))
            found.append(one)
            if not given.json:
                print(_told(one, garbage=given.garbage), flush=True)
    if given.json:
        print(json.dumps(found, indent=2))
    missed = [f"{one['place']} {one['name']}" for one in found if one["missed"]]
    if missed and given.check:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
