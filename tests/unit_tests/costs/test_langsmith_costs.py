"""LangSmith is told what a run has cost, on every path; a message never has a float."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from call_paths import BASE, BETA, PATHS, USAGE, answer, call, counted, delta
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import add_usage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import langchain as tracers
from langchain_core.tracers.context import tracing_v2_enabled
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client
from openai_models import chat_openai
from wire_server import CUT, Request, WireServer, plain, sse

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.costs import _langsmith
from langchain_cerebras_ext.costs._langsmith import run_costs
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker, track_costs
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = BETA

# 11 prompt and 5 completion tokens at 0.35 and 0.75 USD per million.
INPUT = Decimal("0.00000385")
OUTPUT = Decimal("0.00000375")
COST = INPUT + OUTPUT
QUICK = RetryPolicy(initial_delay=0.001, max_delay=0.002, jitter=0)


class LangSmith:
    """A server of loopback that takes runs, one request each, and merges updates."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self._body()
                outer.runs[body["id"]] = body
                self._done()

            def do_PATCH(self) -> None:
                key = self.path.rpartition("/")[2]
                outer.runs.setdefault(key, {}).update(self._body())
                self._done()

            def _body(self) -> dict[str, Any]:
                return json.loads(self.rfile.read(int(self.headers["content-length"])))

            def _done(self) -> None:
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.client = Client(
            api_url=f"http://127.0.0.1:{self._server.server_port}",
            api_key="none",
            auto_batch_tracing=False,
            info={},
        )

    def tracer(self) -> LangChainTracer:
        return LangChainTracer(client=self.client, project_name="costs")

    def finished(self) -> list[dict[str, Any]]:
        """Return the runs of models, in the order of their start."""
        found = [run for run in self.runs.values() if run["run_type"] == "llm"]
        return sorted(found, key=lambda run: run["start_time"])

    def usage(self) -> list[dict[str, Any]]:
        """Return what each run says of its usage."""
        return [run["extra"]["metadata"]["usage_metadata"] for run in self.finished()]

    def total(self) -> Decimal:
        """Return what all runs cost, as a reader of the floats would add it up."""
        return sum(
            (Decimal(str(usage["total_cost"])) for usage in self.usage()), Decimal(0)
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def langsmith() -> Iterator[LangSmith]:
    server = LangSmith()
    yield server
    server.close()


@pytest.fixture
def server() -> Iterator[WireServer]:
    with WireServer(answer) as server:
        yield server


@pytest.fixture(autouse=True)
def tracers_as_they_were() -> Iterator[None]:
    """What a test hooks is not left to the next one."""
    _langsmith.unhook()  # of a tracker in another file
    methods = (LangChainTracer.on_llm_end, LangChainTracer.on_llm_error)
    yield
    _langsmith.unhook()
    assert (LangChainTracer.on_llm_end, LangChainTracer.on_llm_error) == methods


def a_model(server: WireServer, **options: Any) -> ChatCerebras:
    given = {"model": "gpt-oss-120b", "base_url": server.url, "api_key": "none"}
    return ChatCerebras(**{**given, "retry_policy": QUICK, **options})


def handlers(order: str, *two: Any) -> list[Any]:
    return list(two if order == "tracer_first" else reversed(two))


# Core tells handlers that do not run inline of an `av3` only after its output is there.
SETTLED = [path for path in PATHS if path != "av3"]
ORDERS = ["tracer_first", "tracker_first"]


def no_float_in(value: Any) -> None:
    """Fail if usage of the user's has a float, or a cost, anywhere."""
    if isinstance(value, dict):
        for key, inner in value.items():
            assert "cost" not in key, value
            no_float_in(inner)
    else:
        assert type(value) is int, value


# --------------------------------------------------------------------------- paths


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_tells_the_cost_and_the_users_message_has_none(
    langsmith: LangSmith, server: WireServer, path: str, order: str
):
    tracker = CostTracker()
    callbacks = handlers(order, langsmith.tracer(), tracker)
    model = a_model(server)
    message = call(path, model, config={"callbacks": callbacks})
    assert tracker.get_total_cost() == COST
    [usage] = langsmith.usage()
    assert usage["total_cost"] == float(COST)
    assert usage["input_cost"] == float(INPUT)
    assert usage["output_cost"] == float(OUTPUT)
    assert (usage["input_tokens"], usage["output_tokens"]) == (11, 5)
    no_float_in(message.usage_metadata)


@pytest.mark.parametrize("path", PATHS)
def test_a_tracer_out_of_the_environment_and_a_scope_do_too(
    langsmith: LangSmith, server: WireServer, path: str
):
    """There the tracer comes before the tracker, whose scope is looked at last."""
    with (
        tracing_v2_enabled(client=langsmith.client),
        track_costs() as costs,
    ):
        call(path, a_model(server))
        call(path, a_model(server))
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(COST)] * 2
    assert langsmith.total() == costs.get_total_cost() == 2 * COST


def test_a_tracer_that_batches_in_the_background_has_it_too(server: WireServer):
    """As the default client does: it serialises when the tracer posts."""
    batches: list[dict[str, Any]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            batches.append(json.loads(body))
            self.send_response(202)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        ingest = {
            "use_multipart_endpoint": False,
            "scale_up_qsize_trigger": 1000,
            "scale_up_nthreads_limit": 1,
            "scale_down_nempty_trigger": 4,
            "size_limit": 100,
            "size_limit_bytes": 1_000_000,
        }
        client = Client(
            api_url=f"http://127.0.0.1:{http.server_port}",
            api_key="none",
            info={"batch_ingest_config": ingest},
        )
        tracer = LangChainTracer(client=client, project_name="costs")
        a_model(server).invoke("hi", config={"callbacks": [tracer, CostTracker()]})
        client.flush()
        client.close()
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
    runs = [run for batch in batches for side in batch.values() for run in side]
    told = [
        usage["total_cost"]
        for run in runs
        if (usage := run.get("extra", {}).get("metadata", {}).get("usage_metadata"))
    ]
    assert told == [float(COST)]


def test_runs_of_a_batch_each_have_their_own_cost(langsmith: LangSmith):
    def sized(request: Request) -> Iterator[bytes]:
        size = int(request.json["messages"][0]["content"])
        usage = {"prompt_tokens": size, "completion_tokens": 0, "total_tokens": size}
        return answer(request, usage=usage)

    tracker = CostTracker()
    with WireServer(sized) as server:
        config = {"callbacks": [langsmith.tracer(), tracker]}
        a_model(server).batch(["100", "200", "400"], config=config)
    found = sorted(usage["total_cost"] for usage in langsmith.usage())
    assert found == [0.000035, 0.00007, 0.00014]
    assert langsmith.total() == tracker.get_total_cost() == Decimal("0.000245")


@pytest.mark.parametrize("order", ORDERS)
def test_several_prompts_and_several_answers_of_one(langsmith: LangSmith, order: str):
    """Core adds up the usage of `n` answers as whole numbers before we are asked."""

    def two(request: Request) -> Iterator[bytes]:
        message = {"role": "assistant", "content": "yes"}
        choices = [
            {"index": index, "finish_reason": "stop", "message": message}
            for index in (0, 1)
        ]
        return plain(
            {"id": "1", "model": "gpt-oss-120b", "choices": choices, "usage": USAGE}
        )

    tracker = CostTracker()
    with WireServer(two) as server:
        model = a_model(server, n=2)
        callbacks = handlers(order, langsmith.tracer(), tracker)
        result = model.generate(
            [[HumanMessage("hi")], [HumanMessage("ho")]], callbacks=callbacks
        )
    assert [len(several) for several in result.generations] == [2, 2]
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(COST)] * 2
    assert tracker.get_total_cost() == 2 * COST


def test_text_completions_have_it_too(langsmith: LangSmith):
    def complete(request: Request) -> Iterator[bytes]:
        choice = {"index": 0, "text": "blue", "finish_reason": "stop"}
        return plain(
            {"id": "1", "model": "gpt-oss-120b", "choices": [choice], "usage": USAGE}
        )

    tracker = CostTracker()
    with WireServer(complete) as server:
        llm = CerebrasLLM(model="gpt-oss-120b", base_url=server.url, api_key="none")
        llm.invoke("hi", config={"callbacks": [langsmith.tracer(), tracker]})
    assert tracker.get_total_cost() == COST
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(COST)]


@pytest.mark.parametrize("order", ORDERS)
def test_an_agents_calls_have_their_costs_and_its_chain_has_none(
    langsmith: LangSmith, order: str
):
    def asks_once(request: Request) -> Iterator[bytes]:
        if any(message["role"] == "tool" for message in request.json["messages"]):
            return answer(request)
        function = {"name": "now", "arguments": "{}"}
        calls = [{"id": "c1", "type": "function", "function": function}]
        message = {"role": "assistant", "content": "", "tool_calls": calls}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        return plain(
            {"id": "1", "model": "gpt-oss-120b", "choices": [choice], "usage": USAGE}
        )

    def now() -> str:
        """Tell the time."""
        return "noon"

    tracker = CostTracker()
    with WireServer(asks_once) as server:
        agent = create_agent(a_model(server), [now])
        callbacks = handlers(order, langsmith.tracer(), tracker)
        state = agent.invoke({"messages": "hi"}, config={"callbacks": callbacks})
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(COST)] * 2
    assert tracker.get_total_cost() == 2 * COST
    for run in langsmith.runs.values():
        if run["run_type"] != "llm":
            assert "usage_metadata" not in run["extra"].get("metadata", {})
    for message in state["messages"]:
        if isinstance(message, AIMessage):
            no_float_in(message.usage_metadata)


# ------------------------------------------------------- what users do with messages


def test_a_float_on_a_message_would_break_who_adds_up_usage():
    """Why the cost goes to the tracer's copy alone: core refuses anything but ints."""
    usage: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    with pytest.raises(ValueError, match="Only dict and int values"):
        add_usage({**usage, "total_cost": 0.1}, {**usage, "total_cost": 0.1})
    chunk = AIMessageChunk("a", usage_metadata={**usage, "total_cost": 0.1})
    with pytest.raises(ValueError, match="Only dict and int values"):
        chunk + AIMessageChunk("b", usage_metadata=usage)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_usage_of_finished_messages_adds_up_beside_a_tracer(
    langsmith: LangSmith, server: WireServer, path: str, order: str
):
    config = {"callbacks": handlers(order, langsmith.tracer(), CostTracker())}
    messages = [call(path, a_model(server), config=config) for _ in range(3)]
    total = None
    for message in messages:
        total = add_usage(total, message.usage_metadata)
    assert (total["input_tokens"], total["output_tokens"]) == (33, 15)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_usage_handler_of_core_counts_wherever_it_stands(
    langsmith: LangSmith, server: WireServer, place: int
):
    counter = UsageMetadataCallbackHandler()
    callbacks: list[Any] = [langsmith.tracer(), CostTracker()]
    callbacks.insert(place, counter)
    with get_usage_metadata_callback() as scope:
        for path in SETTLED:
            call(path, a_model(server), config={"callbacks": callbacks})
    for found in (counter.usage_metadata, scope.usage_metadata):
        no_float_in(found["gpt-oss-120b"])
        assert found["gpt-oss-120b"]["input_tokens"] == 11 * len(SETTLED)


@pytest.mark.parametrize("order", ORDERS)
def test_no_streamed_chunk_ever_has_a_cost(
    langsmith: LangSmith, server: WireServer, order: str
):
    config: Any = {"callbacks": handlers(order, langsmith.tracer(), CostTracker())}
    chunks = list(a_model(server).stream("hi", config=config))
    for chunk in chunks:
        if chunk.usage_metadata:
            no_float_in(chunk.usage_metadata)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    no_float_in(whole.usage_metadata)
    no_float_in((whole + chunks[-1]).usage_metadata)
    assert langsmith.total() == COST


def test_other_handlers_see_a_message_without_cost(
    langsmith: LangSmith, server: WireServer
):
    seen: list[Any] = []

    class Curious(BaseCallbackHandler):
        def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
            seen.append(response.generations[0][0].message.usage_metadata)

    callbacks = [Curious(), langsmith.tracer(), Curious(), CostTracker(), Curious()]
    a_model(server).invoke("hi", config={"callbacks": callbacks})
    assert len(seen) == 3
    for usage in seen:
        no_float_in(usage)


def test_metadata_that_a_caller_handed_in_stays_as_it_was(
    langsmith: LangSmith, server: WireServer
):
    mine: dict[str, Any] = {"team": "blue"}
    config: Any = {"callbacks": [langsmith.tracer(), CostTracker()], "metadata": mine}
    a_model(server).batch(["a", "b"], config=config)
    assert mine == {"team": "blue"}
    for run in langsmith.finished():
        assert run["extra"]["metadata"]["team"] == "blue"


# -------------------------------------------------------------- other ends of a call


@pytest.mark.parametrize("order", ORDERS)
def test_an_answer_out_of_the_cache_costs_nothing(
    langsmith: LangSmith, server: WireServer, order: str
):
    tracker = CostTracker()
    model = a_model(server, cache=InMemoryCache())
    config: Any = {"callbacks": handlers(order, langsmith.tracer(), tracker)}
    for _ in range(3):
        model.invoke("hi", config=config)
    found = [usage["total_cost"] for usage in langsmith.usage()]
    assert found == [float(COST), 0, 0]
    assert langsmith.total() == tracker.get_total_cost() == COST


@pytest.mark.parametrize("order", ORDERS)
def test_a_model_without_a_price_has_no_cost_rather_than_none(
    langsmith: LangSmith, order: str
):
    name = "my-own-model"
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
    body = {**BASE, "model": name, "choices": [choice], "usage": USAGE}
    tracker = CostTracker()
    with WireServer(lambda _: plain(body)) as server:
        model = a_model(server, model=name)
        config: Any = {"callbacks": handlers(order, langsmith.tracer(), tracker)}
        model.invoke("hi", config=config)
    [run] = langsmith.finished()
    metadata = run["extra"]["metadata"]
    no_float_in(metadata["usage_metadata"])
    assert metadata["cost_flags"] == ["unpriced"]
    assert tracker.unpriced_calls == 1


@pytest.mark.parametrize("order", ORDERS)
def test_a_stream_that_broke_tells_what_it_may_have_cost(
    langsmith: LangSmith, order: str
):
    def broken(request: Request) -> Iterator[bytes]:
        return sse([delta(content="Hel"), delta(content="lo"), CUT])

    tracker = CostTracker()
    with WireServer(broken) as server:
        config: Any = {"callbacks": handlers(order, langsmith.tracer(), tracker)}
        with pytest.raises(Exception, match="stream"):
            list(a_model(server).stream("hi", config=config))
    [run] = langsmith.finished()
    metadata = run["extra"]["metadata"]
    assert run["error"]
    assert metadata["cost_flags"] == ["estimated", "no_usage"]
    assert metadata["usage_metadata"]["total_cost"] == float(tracker.get_total_cost())
    assert tracker.get_total_cost() > 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_stream_that_its_reader_left_tells_its_estimate(
    langsmith: LangSmith, order: str
):
    def endless(request: Request) -> Iterator[bytes]:
        return sse([delta(content="Hello"), delta(content=" there")])

    tracker = CostTracker()
    with WireServer(endless) as server:
        config: Any = {"callbacks": handlers(order, langsmith.tracer(), tracker)}
        stream = a_model(server).stream("hi", config=config)
        next(stream)
        stream.close()
    [record] = tracker.records
    assert (record.outcome, record.flags) == ("aborted", ("estimated", "no_usage"))
    [usage] = langsmith.usage()
    assert usage["total_cost"] == float(record.cost_usd) > 0


def test_a_try_that_was_billed_before_is_part_of_the_runs_cost(langsmith: LangSmith):
    """An error in a stream that had told its usage, and then an answer."""
    replies = iter(
        [
            [counted(), b'data: {"message": "down", "status_code": 503}\n\n'],
            None,
        ]
    )

    def flaky(request: Request) -> Iterator[bytes]:
        parts = next(replies)
        return answer(request) if parts is None else sse(parts)

    tracker = CostTracker()
    with WireServer(flaky) as server:
        config: Any = {"callbacks": [langsmith.tracer(), tracker]}
        list(a_model(server).stream("hi", config=config))
    assert [record.outcome for record in tracker.records] == ["retried", "ok"]
    assert tracker.get_total_cost() == 2 * COST
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(2 * COST)]


# ------------------------------------------------------------------- other providers


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_other_providers_models_are_told_at_your_prices(
    langsmith: LangSmith, server: WireServer, path: str, order: str
):
    """Only callbacks tell of those: the tracer has the tracker record the run first."""
    book = PriceBook().with_price(
        "gpt-oss-120b", provider="openai", input="1", output="2"
    )
    tracker = CostTracker(prices=book)
    model = chat_openai(
        model="gpt-oss-120b", base_url=server.url, api_key="none", stream_usage=True
    )
    config = {"callbacks": handlers(order, langsmith.tracer(), tracker)}
    message = call(path, model, config=config)
    exact = Decimal("0.000021")  # 11 at 1 and 5 at 2 USD per million
    assert tracker.get_total_cost() == exact
    assert len(tracker.records) == 1
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(exact)]
    no_float_in(
        {
            name: message.usage_metadata[name]
            for name in ("input_tokens", "output_tokens", "total_tokens")
        }
    )


def test_two_trackers_and_two_tracers_tell_each_run_once(
    langsmith: LangSmith, server: WireServer
):
    other = LangSmith()
    try:
        with track_costs() as outer, track_costs() as inner:
            config: Any = {
                "callbacks": [langsmith.tracer(), CostTracker(), other.tracer()]
            }
            a_model(server).invoke("hi", config=config)
        assert outer.get_total_cost() == inner.get_total_cost() == COST
        for one in (langsmith, other):
            assert [usage["total_cost"] for usage in one.usage()] == [float(COST)]
    finally:
        other.close()


# ------------------------------------------------------------------------- the hook


def test_it_can_be_left_out(langsmith: LangSmith, server: WireServer):
    tracker = CostTracker(langsmith=False)
    config: Any = {"callbacks": [langsmith.tracer(), tracker]}
    a_model(server).invoke("hi", config=config)
    [usage] = langsmith.usage()
    no_float_in(usage)
    assert tracker.get_total_cost() == COST


def test_without_a_tracker_a_tracer_is_as_it_was(
    langsmith: LangSmith, server: WireServer
):
    a_model(server).invoke("hi", config={"callbacks": [langsmith.tracer()]})
    assert not hasattr(LangChainTracer.on_llm_end, "__wrapped__")
    [usage] = langsmith.usage()
    no_float_in(usage)


def test_the_tracers_methods_are_wrapped_once_and_come_back(server: WireServer):
    original = LangChainTracer.on_llm_end
    a_model(server).invoke("hi", config={"callbacks": [CostTracker()]})
    assert LangChainTracer.on_llm_end is original, "no tracer can have heard of it"
    for _ in range(3):
        heard: Any = [CostTracker(), BaseCallbackHandler()]
        a_model(server).invoke("hi", config={"callbacks": heard})
    assert LangChainTracer.on_llm_end.__wrapped__ is original
    _langsmith.unhook()
    assert LangChainTracer.on_llm_end is original


def test_a_tracker_that_fails_costs_no_trace(
    langsmith: LangSmith, server: WireServer, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(_langsmith, "run_costs", fail)
    config: Any = {"callbacks": [langsmith.tracer(), CostTracker()]}
    assert a_model(server).invoke("hi", config=config).text == "Hello"
    [run] = langsmith.finished()
    assert run["outputs"]["generations"]


def test_what_no_tracer_asks_for_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_langsmith, "_MOST_RUNS", 10)
    _langsmith.note(a_record(run_id="never hooked"))
    assert not _langsmith._noted
    _langsmith.hook()
    for number in range(100):
        _langsmith.note(a_record(run_id=str(number)))
    assert list(_langsmith._noted) == [str(number) for number in range(90, 100)]


def test_runs_side_by_side_never_swap_their_costs(langsmith: LangSmith):
    def sized(request: Request) -> Iterator[bytes]:
        size = int(request.json["messages"][0]["content"])
        usage = {"prompt_tokens": size, "completion_tokens": 0, "total_tokens": size}
        return answer(request, usage=usage)

    async def work() -> None:
        with WireServer(sized) as server:
            model = a_model(server)
            config: Any = {"callbacks": [langsmith.tracer(), CostTracker()]}
            await asyncio.gather(
                *(model.ainvoke(str(size), config=config) for size in range(1, 31))
            )

    asyncio.run(work())
    for usage in langsmith.usage():
        exact = Decimal(usage["input_tokens"]) * Decimal("0.35") / 10**6
        assert usage["total_cost"] == float(exact)
    assert len(langsmith.usage()) == 30


def test_chains_around_a_model_are_not_disturbed(
    langsmith: LangSmith, server: WireServer
):
    chain = RunnableLambda(lambda text: text.upper()) | a_model(server)
    config: Any = {"callbacks": [langsmith.tracer(), CostTracker()]}
    assert chain.invoke("hi", config=config).text == "Hello"
    assert [usage["total_cost"] for usage in langsmith.usage()] == [float(COST)]


def test_the_hook_loads_no_tracer_of_its_own():
    code = (
        "import sys; from langchain_cerebras_ext.costs import _langsmith as ours;"
        "ours.hook(); assert not ours._hooked; assert ours._TRACERS not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert tracers.__name__ == _langsmith._TRACERS


# ------------------------------------------------------------------------ arithmetic


def a_record(**fields: Any) -> UsageRecord:
    given = {"started_at": datetime(2026, 11, 21, tzinfo=UTC), "model": "m"}
    return UsageRecord(**{**given, "run_id": str(uuid.uuid4()), **fields})


def test_kinds_are_told_under_langsmiths_names():
    cost = Cost(
        input=Decimal("0.1"),
        cached_input=Decimal("0.01"),
        cache_write=Decimal("0.02"),
        image=Decimal("0.03"),
        output=Decimal("0.2"),
        reasoning=Decimal("0.15"),
        request=Decimal("0.001"),
    )
    assert run_costs([a_record(cost=cost)]) == {
        "input_cost": 0.16,
        "output_cost": 0.2,
        "total_cost": 0.361,
        "input_cost_details": {
            "cache_read": 0.01,
            "cache_creation": 0.02,
            "image": 0.03,
        },
        "output_cost_details": {"reasoning": 0.15},
    }


def test_a_sum_is_rounded_once():
    records = [a_record(cost=Cost(output=Decimal("0.1"))) for _ in range(3)]
    assert sum([0.1] * 3) != 0.3
    assert run_costs(records)["total_cost"] == 0.3


@pytest.mark.parametrize(
    ("costs", "total"),
    [([], None), ([None], None), ([None, Decimal(1)], 1.0), ([Decimal(0)], 0.0)],
    ids=["nothing", "unknown", "partly-unknown", "free"],
)
def test_what_is_not_known_is_not_zero(costs: list[Any], total: float | None):
    records = [
        a_record(cost=None if cost is None else Cost(output=cost)) for cost in costs
    ]
    assert run_costs(records).get("total_cost") == total
