"""Whole calls, traced: every way to call, every way to fail, and real exporters."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from wire_server import CUT, DONE, Request, WireServer, event, plain, sse

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras, otel
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasError,
    RateLimitError,
    StreamInterruptedError,
)
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is in beta:langchain_core._api.beta_decorator.LangChainBetaWarning"
)

SENTINEL = "csk-sentinel-0123456789abcdef"
QUICK = RetryPolicy(initial_delay=0.001, max_delay=0.002, jitter=0)

PLAIN = ["invoke", "ainvoke"]
STREAMED = ["stream", "astream", "v3", "av3", "invoke_streamed"]


class Telescope:
    """Exporters in memory, and the global providers' place taken by ours."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, **options: Any) -> None:
        otel.instrument(
            tracer_provider=self.tracers, meter_provider=self.meters, **options
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self) -> ReadableSpan:
        """The only span."""
        (span,) = self.spans
        return span

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Every metric by its name. What is read once is gone."""
        data = self.reader.get_metrics_data()
        told = json.loads(data.to_json()) if data else {"resource_metrics": []}
        return {
            metric["name"]: metric
            for resource in told["resource_metrics"]
            for scope in resource["scope_metrics"]
            for metric in scope["metrics"]
        }


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """No observer and no current span is left after a test."""
    yield
    otel.uninstrument()
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.fixture
def telescope() -> Telescope:
    seen = Telescope()
    seen.instrument()
    return seen


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def a_model(base_url: str, **fields: Any) -> ChatCerebras:
    base: dict[str, Any] = {
        "model": "gpt-oss-120b",
        "api_key": SENTINEL,
        "retry_policy": QUICK,
    }
    return ChatCerebras(base_url=base_url, **{**base, **fields})


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def call(way: str, model: ChatCerebras) -> Any:
    async def astream() -> list[Any]:
        return [part async for part in model.astream("hi")]

    async def av3() -> Any:
        stream = await model.astream_events("hi", version="v3")
        return await stream.output

    match way:
        case "invoke":
            return model.invoke("hi")
        case "ainvoke":
            return asyncio.run(model.ainvoke("hi"))
        case "stream":
            return list(model.stream("hi"))
        case "astream":
            return asyncio.run(astream())
        case "v3":
            return model.stream_events("hi", version="v3").output
        case "av3":
            return asyncio.run(av3())
        case "invoke_streamed":
            return model.invoke("hi", stream=True)
    raise AssertionError(way)


def total(metric: dict[str, Any], **wanted: Any) -> float:
    """The sum of a histogram's points that have some attributes."""
    return sum(
        point["sum"]
        for point in metric["data"]["data_points"]
        if wanted.items() <= point["attributes"].items()
    )


# ------------------------------------------------------------------- ways to call


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_every_way_to_call_makes_one_span(
    telescope: Telescope, simulator: Simulator, way: str
):
    """What it tells is what the service has counted."""
    simulator.reply("Hello there.", reasoning="Be short.")
    call(way, a_model(simulator.base_url, temperature=0.25, max_tokens=50))
    span, measured = telescope.span(), telescope.metrics()
    found, billed = attributes(span), simulator.billed.total
    assert span.name == "chat gpt-oss-120b"
    assert span.status.status_code is StatusCode.UNSET
    assert found["gen_ai.request.temperature"] == 0.25
    assert found["gen_ai.request.max_tokens"] == 50
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["gen_ai.response.model"] == "gpt-oss-120b"
    assert found["gen_ai.response.id"].startswith("chatcmpl-")
    assert found["gen_ai.usage.input_tokens"] == billed.prompt_tokens
    assert found["gen_ai.usage.output_tokens"] == billed.completion_tokens
    assert found["gen_ai.usage.reasoning.output_tokens"] == billed.reasoning_tokens
    assert found["server.address"] == "127.0.0.1"
    assert f":{found['server.port']}/" in simulator.base_url
    assert found["cerebras.attempts"] == 1
    assert found["cerebras.time_info.queue_time"] >= 0
    assert found["cerebras.rate_limit.remaining_tokens_minute"] > 0
    usage = measured["gen_ai.client.token.usage"]
    assert total(usage, **{"gen_ai.token.type": "input"}) == billed.prompt_tokens
    assert total(usage, **{"gen_ai.token.type": "output"}) == billed.completion_tokens
    streamed = way in STREAMED
    assert found.get("gen_ai.request.stream", False) is streamed
    assert ("gen_ai.response.time_to_first_chunk" in found) is streamed
    first = measured.get("gen_ai.client.operation.time_to_first_chunk")
    assert (first is not None) is streamed


def test_a_text_completion_makes_a_span(telescope: Telescope, simulator: Simulator):
    simulator.reply("upon a time")
    llm = CerebrasLLM(
        model="gpt-oss-120b", base_url=simulator.base_url, api_key=SENTINEL
    )
    llm.invoke("Once")
    span = telescope.span()
    assert span.name == "text_completion gpt-oss-120b"
    assert attributes(span)["gen_ai.usage.output_tokens"] > 0


def test_listing_models_makes_no_span(telescope: Telescope, simulator: Simulator):
    model = a_model(simulator.base_url)
    assert model.root_client.models.list().data
    assert telescope.spans == []


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_content_is_recorded_only_if_asked_for(simulator: Simulator, way: str):
    telescope = Telescope()
    simulator.reply("Hello there.", reasoning="Be short.", times=2)
    model = a_model(simulator.base_url)
    telescope.instrument(capture_content=True)
    call(way, model)
    telescope.instrument()
    call(way, model)
    asked, not_asked = (attributes(span) for span in telescope.spans)
    assert json.loads(asked["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]
    assert json.loads(asked["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Be short."},
                {"type": "text", "content": "Hello there."},
            ],
            "finish_reason": "stop",
        }
    ]
    assert not {name for name in not_asked if name.endswith(".messages")}


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_tool_calls_are_recorded_with_their_arguments(simulator: Simulator, way: str):
    telescope = Telescope()
    telescope.instrument(capture_content=True)
    simulator.reply_with_tool("look", {"at": "it"}, id="call_1")

    def look(at: str) -> str:
        """Look at something."""
        return at

    bound = a_model(simulator.base_url).bind_tools([look])
    call(way, bound)  # type: ignore[arg-type]
    found = attributes(telescope.span())
    (message,) = json.loads(found["gen_ai.output.messages"])
    assert message["finish_reason"] == "tool_call"
    assert message["parts"][-1] == {
        "type": "tool_call",
        "id": "call_1",
        "name": "look",
        "arguments": {"at": "it"},
    }
    (tool,) = json.loads(found["gen_ai.tool.definitions"])
    assert (tool["name"], tool["description"]) == ("look", "Look at something.")


# ------------------------------------------------------------------ ways to fail


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_a_retry_that_helps_is_an_event(
    telescope: Telescope, simulator: Simulator, way: str
):
    simulator.fail_next(code="queue_exceeded")
    simulator.reply("At last.")
    call(way, a_model(simulator.base_url))
    span = telescope.span()
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["cerebras.attempts"] == 2
    (retry,) = span.events
    assert retry.name == "cerebras.retry"
    told = dict(retry.attributes or {})
    assert told["error.type"] == "RateLimitError"
    assert told["http.response.status_code"] == 429
    assert told["cerebras.attempt"] == 1


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_a_call_that_fails_for_good_is_one_failed_span(
    telescope: Telescope, simulator: Simulator, way: str
):
    simulator.fail_next(code="queue_exceeded", times=None)
    with pytest.raises(RateLimitError):
        call(way, a_model(simulator.base_url))
    span = telescope.span()
    found = attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description
    assert found["error.type"] == "RateLimitError"
    assert found["http.response.status_code"] == 429
    assert found["cerebras.attempts"] == 3
    assert [event.name for event in span.events] == ["cerebras.retry"] * 2
    duration = telescope.metrics()["gen_ai.client.operation.duration"]
    (point,) = duration["data"]["data_points"]
    assert point["attributes"]["error.type"] == "RateLimitError"


def delta(**fields: Any) -> bytes:
    choice = {"delta": fields, "index": 0}
    return event(
        {"id": "chatcmpl-1", "model": "gpt-oss-120b", "created": 1, "choices": [choice]}
    )


LAST = event(
    {
        "id": "chatcmpl-1",
        "model": "gpt-oss-120b",
        "choices": [{"delta": {}, "index": 0, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
)


@pytest.mark.parametrize("way", STREAMED)
def test_a_stream_that_is_cut_short_has_failed_with_what_came(way: str):
    telescope = Telescope()
    telescope.instrument(capture_content=True)
    pieces = [delta(role="assistant"), delta(content="Half an"), CUT]
    with (
        WireServer(lambda _: sse(pieces)) as server,
        pytest.raises(StreamInterruptedError),
    ):
        call(way, a_model(server.url, max_retries=0, retry_policy=None))
    span = telescope.span()
    found = attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert found["error.type"] == "StreamInterruptedError"
    assert "gen_ai.response.finish_reasons" not in found
    (message,) = json.loads(found["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "Half an"}]
    assert message["finish_reason"] == "error"


def test_the_first_content_and_each_later_read_are_measured(telescope: Telescope):
    """Each piece is sent when the one before it has been read."""
    told = threading.Semaphore(0)

    def answer(_: Request) -> Iterator[bytes]:
        pieces = [delta(role="assistant", content="a"), delta(content="b"), LAST + DONE]
        for number, piece in enumerate(sse(pieces)):
            if number > 1:
                assert told.acquire(timeout=10)
            yield piece

    with WireServer(answer) as server:
        texts = []
        for part in a_model(server.url).stream("hi"):
            texts.append(part.text)
            told.release()
        told.release()
    assert "".join(texts) == "ab"
    measured = telescope.metrics()
    first = measured["gen_ai.client.operation.time_to_first_chunk"]
    between = measured["gen_ai.client.operation.time_per_output_chunk"]
    assert first["data"]["data_points"][0]["count"] == 1
    assert between["data"]["data_points"][0]["count"] >= 1


def an_endless_stream(_: Request) -> Iterator[bytes]:
    def pieces() -> Iterator[bytes]:
        yield delta(role="assistant", content="word ")
        while True:
            yield delta(content="word ")

    with suppress(OSError):
        yield from sse(pieces())


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_is_left_early_is_no_error(telescope: Telescope, way: str):
    async def leave(model: ChatCerebras) -> None:
        stream = model.astream("hi")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    with WireServer(an_endless_stream) as server:
        model = a_model(server.url)
        if way == "stream":
            stream = model.stream("hi")
            next(stream)
            stream.close()  # type: ignore[attr-defined]
        else:
            asyncio.run(leave(model))
    span = telescope.span()
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["cerebras.stream.abandoned"] is True
    assert "error.type" not in attributes(span)


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
def test_a_cancelled_call_has_failed(telescope: Telescope, way: str):
    asked = threading.Event()

    def answer(request: Request) -> Iterator[bytes]:
        asked.set()
        request.wait_gone(10)
        yield from ()

    async def run(model: ChatCerebras) -> None:
        async def calling() -> None:
            if way == "ainvoke":
                await model.ainvoke("hi")
            else:
                async for _ in model.astream("hi"):
                    pass

        task = asyncio.create_task(calling())
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with WireServer(answer) as server:
        asyncio.run(run(a_model(server.url)))
    span = telescope.span()
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "CancelledError"


# --------------------------------------------------------------- whose child it is


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_a_call_is_the_child_of_the_span_around_it(
    telescope: Telescope, simulator: Simulator, way: str
):
    simulator.reply("Hello.")
    tracer = telescope.tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        call(way, a_model(simulator.base_url))
        assert trace.get_current_span() is caller
    span = next(span for span in telescope.spans if span.name != "caller")
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id


def test_spans_between_two_chunks_are_the_readers_own(
    telescope: Telescope, simulator: Simulator
):
    """A stream's span is never current where the stream is read."""
    simulator.reply("one two three four")
    tracer = telescope.tracers.get_tracer("test")
    before = context.get_current()
    for _ in a_model(simulator.base_url).stream("hi"):
        assert context.get_current() is before
        with tracer.start_as_current_span("reader"):
            pass
    readers = [span for span in telescope.spans if span.name == "reader"]
    assert readers
    assert all(span.parent is None for span in readers)


async def test_spans_between_two_chunks_are_the_async_readers_own(
    telescope: Telescope, simulator: Simulator
):
    simulator.reply("one two three four")
    before = context.get_current()
    async for _ in a_model(simulator.base_url).astream("hi"):
        assert context.get_current() is before


async def test_two_streams_read_in_turns_do_not_mix(
    telescope: Telescope, simulator: Simulator
):
    """Generators of one task share its context: neither may leave a span in it."""
    simulator.reply("one two three four", times=2)
    model = a_model(simulator.base_url)
    tracer = telescope.tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        first, second = model.astream("hi"), model.astream("hi")
        await anext(first)
        await anext(second)
        assert trace.get_current_span() is caller
        for stream in (first, second):
            async for _ in stream:
                assert trace.get_current_span() is caller
    chats = [span for span in telescope.spans if span.name != "caller"]
    assert len(chats) == 2
    assert {span.parent.span_id for span in chats if span.parent} == {
        caller.get_span_context().span_id
    }


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_calls_in_threads_and_tasks_keep_their_parent(
    telescope: Telescope, simulator: Simulator, way: str
):
    simulator.reply("Hello.", times=None)
    model = a_model(simulator.base_url)
    tracer = telescope.tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        if way == "batch":
            model.batch(["hi"] * 6)
        else:
            asyncio.run(model.abatch(["hi"] * 6))
    chats = [span for span in telescope.spans if span.name != "caller"]
    assert len(chats) == 6
    assert {span.parent.span_id for span in chats if span.parent} == {
        caller.get_span_context().span_id
    }


def test_a_call_inside_a_chain_is_the_child_of_the_links_span(
    telescope: Telescope, simulator: Simulator
):
    simulator.reply("Hello.")
    tracer = telescope.tracers.get_tracer("test")
    model = a_model(simulator.base_url)

    def link(text: str) -> AIMessage:
        with tracer.start_as_current_span("link"):
            return model.invoke(text)

    (RunnableLambda(str.strip) | link).invoke(" hi ")
    spans = {span.name: span for span in telescope.spans}
    link_span, chat = spans["link"], spans["chat gpt-oss-120b"]
    assert chat.parent is not None
    assert link_span.context is not None
    assert chat.parent.span_id == link_span.context.span_id


# ------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("way", PLAIN + STREAMED)
def test_the_key_is_nowhere_even_if_the_service_echoes_it(way: str):
    """Not in spans, events or metrics, with content and retries and all headers."""
    telescope = Telescope()
    telescope.instrument(capture_content=True)
    answers = iter([500, 401])

    def answer(request: Request) -> Iterator[bytes]:
        said = {"message": f"Wrong key: {request.headers['authorization']}"}
        echoed = {
            "x-ratelimit-remaining-tokens-minute": SENTINEL,
            "inference-id": SENTINEL,
        }
        yield from plain(said, next(answers), echoed)

    with WireServer(answer) as server, pytest.raises(AuthenticationError):
        call(way, a_model(server.url))
    span = telescope.span()
    assert len(span.events) == 1
    told = span.to_json() + json.dumps(telescope.metrics())
    assert "sentinel" not in told.lower()


def test_nothing_of_a_trace_is_sent_to_the_service(
    telescope: Telescope, simulator: Simulator
):
    simulator.reply("Hello.")
    with telescope.tracers.get_tracer("test").start_as_current_span("caller"):
        a_model(simulator.base_url).invoke("hi")
    sent = {name.lower() for name in simulator.requests[-1].headers}
    assert not sent & {"traceparent", "tracestate", "baggage"}


# ----------------------------------------------------------------------- exporters


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps what it was sent, decoded."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class CollectorHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append(body)
        if self.path == "/v1/traces":
            self.server.traces.append(ExportTraceServiceRequest.FromString(body))
        else:
            self.server.metrics.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def test_otlp_over_http_carries_spans_and_metrics(
    collector: Collector, simulator: Simulator
):
    """Through the real exporters and back out of their protobuf."""
    tracers = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")
    tracers.add_span_processor(BatchSpanProcessor(exporter))
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{collector.url}/v1/metrics"),
        export_interval_millis=3_600_000,
    )
    meters = MeterProvider([reader], shutdown_on_exit=False)
    otel.instrument(
        tracer_provider=tracers, meter_provider=meters, capture_content=True
    )
    simulator.reply("Hello \N{SNOWMAN}.", times=2)
    model = a_model(simulator.base_url)
    model.invoke(f"My key is {SENTINEL}")
    list(model.stream("hi"))
    simulator.fail_next(401)
    with pytest.raises(CerebrasError):
        model.invoke("hi")
    tracers.shutdown()
    meters.shutdown()
    spans = [
        (scope.scope.name, span)
        for request in collector.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [(scope, span.name, span.kind) for scope, span in spans] == [
        ("langchain_cerebras_ext", "chat gpt-oss-120b", 3)
    ] * 3
    told = {item.key: item.value for item in spans[0][1].attributes}
    assert told["gen_ai.provider.name"].string_value == "cerebras"
    assert told["gen_ai.usage.input_tokens"].int_value > 0
    assert "\N{SNOWMAN}" in told["gen_ai.output.messages"].string_value
    assert "csk-***" in told["gen_ai.input.messages"].string_value
    assert [span.status.code for _, span in spans] == [0, 0, 2]
    found = {
        metric.name: metric
        for request in collector.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
    } <= set(found)
    points = found["gen_ai.client.operation.duration"].histogram.data_points
    assert sum(point.count for point in points) == 3
    assert list(points[0].explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    assert not any(b"sentinel" in body for body in collector.bodies)


def test_prometheus_can_scrape_the_metrics(simulator: Simulator):
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    otel.instrument(meter_provider=meters)
    simulator.reply("Hello.")
    a_model(simulator.base_url).invoke("hi")
    page = generate_latest(registry).decode()
    meters.shutdown()
    count = next(
        line
        for line in page.splitlines()
        if line.startswith("gen_ai_client_operation_duration_seconds_count{")
    )
    assert 'gen_ai_request_model="gpt-oss-120b"' in count
    assert 'gen_ai_provider_name="cerebras"' in count
    assert count.endswith(" 1.0")
    assert "gen_ai_client_token_usage_bucket{" in page
    assert 'gen_ai_token_type="input"' in page


# ------------------------------------------------- the global providers, and no code


def run(*command: str, **variables: str) -> str:
    """Run a Python of its own, for what is global in a process."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "CEREBRAS_API_KEY": SENTINEL, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


TO_CONSOLE = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(tracers)

print(model.invoke("hi").text)
print(reader.get_metrics_data().to_json())
"""


def test_the_global_providers_may_be_set_after_instrumenting(simulator: Simulator):
    simulator.reply("Hello.")
    code = """
from langchain_cerebras_ext import ChatCerebras, otel

otel.instrument()
model = ChatCerebras(model="gpt-oss-120b")
"""
    told = run("-c", code + TO_CONSOLE, CEREBRAS_BASE_URL=simulator.base_url)
    assert "Hello." in told
    assert told.count('"name": "chat gpt-oss-120b"') == 1
    assert "gen_ai.client.operation.duration" in told
    assert SENTINEL not in told


def test_opentelemetry_instrument_switches_it_on_without_a_line_of_code(
    simulator: Simulator,
):
    """By the entry point of the installed package."""
    simulator.reply("Hello.")
    code = """
from langchain_cerebras_ext import ChatCerebras

model = ChatCerebras(model="gpt-oss-120b")
"""
    command = (
        "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    )
    told = run(
        *("-c", command),
        *(sys.executable, "-c", code + TO_CONSOLE),
        CEREBRAS_BASE_URL=simulator.base_url,
    )
    assert "Hello." in told
    assert told.count('"name": "chat gpt-oss-120b"') == 1
    assert "gen_ai.client.operation.duration" in told
    assert SENTINEL not in told
