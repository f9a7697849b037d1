"""Telemetry from hand-made records: spans, events, metrics, content, and no secrets."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from opentelemetry import context, metrics, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from langchain_cerebras_ext import otel
from langchain_cerebras_ext._observe import CallRecord, observers
from langchain_cerebras_ext._otel.observer import CallTelemetry
from langchain_cerebras_ext.errors import (
    CerebrasTimeoutError,
    FailedAttempt,
    InternalServerError,
    RateLimitError,
)

URL = "https://api.cerebras.ai/v1/chat/completions"
SENTINEL = "csk-sentinel-0123456789abcdef"
CALLED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "cerebras",
    "gen_ai.request.model": "gpt-oss-120b",
    "server.address": "api.cerebras.ai",
    "server.port": 443,
}


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An observer with exporters in memory behind it."""

    def __init__(self, *, sampler: Sampler | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = CallTelemetry(
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            clock=self.clock,
            **options,
        )

    def watch(self, record: CallRecord) -> ReadableSpan:
        """Let a call begin and end at once; return its span."""
        self.telemetry.ended(self.telemetry.started(record), record)
        return self.spans.get_finished_spans()[-1]

    def metrics(self) -> dict[str, Any]:
        """Every metric by name."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[Any]:
        """The points of a metric; none if it was never measured."""
        found = self.metrics().get(name)
        return list(found.data.data_points) if found else []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """No observer and no current span is left after a test."""
    yield
    otel.uninstrument()
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.fixture
def bench() -> Bench:
    return Bench()


def a_record(**fields: Any) -> CallRecord:
    base: dict[str, Any] = {
        "operation": "chat",
        "method": "POST",
        "url": URL,
        "model": "gpt-oss-120b",
        "stream": False,
    }
    return CallRecord(**{**base, **fields})


def a_failure(**fields: Any) -> FailedAttempt:
    base: dict[str, Any] = {
        "error_type": "RateLimitError",
        "message": "slow down",
        "status_code": 429,
        "elapsed_s": 0.2,
        "wait_s": 0.5,
        "billed": False,
    }
    return FailedAttempt(**{**base, **fields})


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


# ------------------------------------------------------------------------ the span


def test_a_span_is_named_by_operation_and_model_and_is_a_client(bench: Bench):
    span = bench.watch(a_record())
    assert span.name == "chat gpt-oss-120b"
    assert span.kind is SpanKind.CLIENT
    assert attributes(span) == CALLED
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None
    scope = span.instrumentation_scope
    assert scope is not None
    assert scope.name == "langchain_cerebras_ext"
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def test_a_text_completion_has_its_own_operation(bench: Bench):
    span = bench.watch(a_record(operation="text_completion"))
    assert span.name == "text_completion gpt-oss-120b"
    assert attributes(span)["gen_ai.operation.name"] == "text_completion"


def test_a_call_without_a_model_is_named_by_its_operation(bench: Bench):
    span = bench.watch(a_record(model=None))
    assert span.name == "chat"
    assert "gen_ai.request.model" not in attributes(span)


def test_samplers_see_what_tells_calls_apart():
    """The conventions want these five when a span begins, not later."""
    seen: list[dict[str, Any]] = []

    class Curious(Sampler):
        def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
            seen.append(dict(kwargs.get("attributes") or args[4]))
            return ALWAYS_OFF.should_sample(*args, **kwargs)

        def get_description(self) -> str:
            return "curious"

    bench = Bench(sampler=Curious())
    record = a_record()
    bench.telemetry.ended(bench.telemetry.started(record), record)
    assert seen == [CALLED]
    assert bench.spans.get_finished_spans() == ()
    assert bench.points("gen_ai.client.operation.duration")[0].count == 1


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        (URL, "api.cerebras.ai", 443),
        ("http://localhost/v1/chat/completions", "localhost", 80),
        ("http://[::1]:8080/v1/chat/completions", "::1", 8080),
        ("https://me:hidden@example.com:8443/v1", "example.com", 8443),
    ],
    ids=["https", "http", "ipv6", "user-and-password"],
)
def test_the_server_is_told_without_user_and_password(
    bench: Bench, url: str, address: str, port: int
):
    found = attributes(bench.watch(a_record(url=url)))
    assert (found["server.address"], found["server.port"]) == (address, port)
    assert "hidden" not in json.dumps(found)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_completion_tokens": 100}, {"gen_ai.request.max_tokens": 100}),
        ({"max_tokens": 50}, {"gen_ai.request.max_tokens": 50}),
        (
            {"max_completion_tokens": 100, "max_tokens": 50},
            {"gen_ai.request.max_tokens": 100},
        ),
        ({"temperature": 1}, {"gen_ai.request.temperature": 1.0}),
        ({"temperature": 0.0}, {"gen_ai.request.temperature": 0.0}),
        ({"top_p": 0.9}, {"gen_ai.request.top_p": 0.9}),
        ({"frequency_penalty": -1}, {"gen_ai.request.frequency_penalty": -1.0}),
        ({"presence_penalty": 0.5}, {"gen_ai.request.presence_penalty": 0.5}),
        ({"seed": 0}, {"gen_ai.request.seed": 0}),
        ({"stop": "END"}, {"gen_ai.request.stop_sequences": ("END",)}),
        ({"stop": ["a", "b"]}, {"gen_ai.request.stop_sequences": ("a", "b")}),
        ({"n": 3}, {"gen_ai.request.choice.count": 3}),
        ({"n": 1}, {}),
        ({"reasoning_effort": "low"}, {"gen_ai.request.reasoning.level": "low"}),
        ({"service_tier": "flex"}, {"cerebras.request.service_tier": "flex"}),
        ({"response_format": {"type": "json_object"}}, {"gen_ai.output.type": "json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            {"gen_ai.output.type": "json"},
        ),
        ({"response_format": {"type": "text"}}, {"gen_ai.output.type": "text"}),
        ({"response_format": None, "temperature": None, "stop": None}, {}),
        ({"temperature": "warm", "seed": True, "stop": 3, "n": "2"}, {}),
        ({"user": "ann@example.com", "logit_bias": {"1": 2}}, {}),
    ],
    ids=lambda value: (
        "+".join(f"{k}={v}" for k, v in value.items()).replace(" ", "") or "none"
    ),
)
def test_parameters_are_told_under_the_conventions_names(
    bench: Bench, params: dict[str, Any], expected: dict[str, Any]
):
    """What is not set, of a wrong type or about a person is left out."""
    assert attributes(bench.watch(a_record(params=params))) == {**CALLED, **expected}


def test_only_a_stream_says_that_it_is_one(bench: Bench):
    found = attributes(bench.watch(a_record(stream=True)))
    assert found["gen_ai.request.stream"] is True
    assert "gen_ai.request.stream" not in attributes(bench.watch(a_record()))


def an_answered_record(**fields: Any) -> CallRecord:
    base: dict[str, Any] = {
        "status": 200,
        "request_id": "req-1",
        "response_id": "chatcmpl-1",
        "response_model": "gpt-oss-120b-2",
        "finish_reasons": ("stop",),
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 140,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {
                "reasoning_tokens": 30,
                "accepted_prediction_tokens": 5,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "priority",
        "attempts": 2,
        "elapsed_s": 1.5,
        "time_info": {
            "queue_time": 0.25,
            "prompt_time": 0.5,
            "completion_time": 0.125,
            "total_time": 1,
            "created": 1_790_000_000.5,
            "whatever_a_server_says_time": 1.0,
        },
        "rate_limits": {
            "x-ratelimit-remaining-tokens-minute": 900,
            "x-ratelimit-reset-tokens-minute": 1.5,
            "x-ratelimit-remaining-tokens-day": "whatever a server says",
            "x-ratelimit-whatever-a-server-says": 1,
        },
    }
    return a_record(**{**base, **fields})


def test_an_answer_is_told_with_its_tokens_times_and_head_room(bench: Bench):
    record = an_answered_record(limiter_wait_s=2.0)
    assert attributes(bench.watch(record)) == {
        **CALLED,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-oss-120b-2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "cerebras.usage.accepted_prediction_tokens": 5,
        "http.response.status_code": 200,
        "cerebras.request.id": "req-1",
        "cerebras.response.service_tier": "priority",
        "cerebras.attempts": 2,
        "cerebras.rate_limiter.wait": 2.0,
        "cerebras.time_info.queue_time": 0.25,
        "cerebras.time_info.prompt_time": 0.5,
        "cerebras.time_info.completion_time": 0.125,
        "cerebras.time_info.total_time": 1.0,
        "cerebras.rate_limit.remaining_tokens_minute": 900,
        "cerebras.rate_limit.reset_tokens_minute": 1.5,
    }


@pytest.mark.parametrize(
    "operation", ["other", "embeddings"], ids=["listing-models", "unknown"]
)
def test_what_is_no_call_of_a_model_is_not_told(bench: Bench, operation: str):
    record = a_record(operation=operation)
    state = bench.telemetry.started(record)
    assert state is None
    bench.telemetry.retried(state, record, a_failure())
    bench.telemetry.arrived(state, record)
    bench.telemetry.ended(state, record)
    assert bench.spans.get_finished_spans() == ()
    assert bench.metrics() == {}


def test_suppressed_instrumentation_is_heeded(bench: Bench):
    record = a_record()
    with suppress_instrumentation():
        assert bench.telemetry.started(record) is None


# ------------------------------------------------------------------------ failures


def test_a_failed_call_names_its_class_and_says_why_without_secrets(bench: Bench):
    """The message has no key, and no stack or exception event is recorded."""
    error = RateLimitError(
        f"Too many requests for {SENTINEL}. " + "x" * 5000, status_code=429
    )
    span = bench.watch(a_record(error=error, status=429, attempts=3))
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is not None
    assert span.status.description.startswith("Too many requests for csk-***. xxx")
    assert len(span.status.description) == 1000
    found = attributes(span)
    assert found["error.type"] == "RateLimitError"
    assert found["http.response.status_code"] == 429
    assert found["cerebras.attempts"] == 3
    assert span.events == ()
    assert SENTINEL not in span.to_json()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CerebrasTimeoutError("late"), "CerebrasTimeoutError"),
        (InternalServerError("broken", status_code=500), "InternalServerError"),
        (asyncio.CancelledError(), "CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ZeroDivisionError("of a callback"), "ZeroDivisionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_span_and_duration_name_the_same_error(
    bench: Bench, error: BaseException, kind: str
):
    span = bench.watch(a_record(error=error, elapsed_s=0.5))
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == kind
    (point,) = bench.points("gen_ai.client.operation.duration")
    assert dict(point.attributes) == {**CALLED, "error.type": kind}


def test_a_stream_that_its_reader_closed_has_not_failed(bench: Bench):
    record = a_record(stream=True, error=GeneratorExit(), abandoned=True)
    span = bench.watch(record)
    assert span.status.status_code is StatusCode.UNSET
    found = attributes(span)
    assert found["cerebras.stream.abandoned"] is True
    assert "error.type" not in found
    (point,) = bench.points("gen_ai.client.operation.duration")
    assert "error.type" not in point.attributes


def test_a_retry_is_an_event_and_no_error(bench: Bench):
    record = an_answered_record()
    state = bench.telemetry.started(record)
    failures = [a_failure(), a_failure(error_type="X", status_code=None, wait_s=1.0)]
    for failed in failures:
        record.failed.append(failed)
        bench.telemetry.retried(state, record, failed)
    bench.telemetry.ended(state, record)
    (span,) = bench.spans.get_finished_spans()
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        (
            "cerebras.retry",
            {
                "cerebras.attempt": 1,
                "error.type": "RateLimitError",
                "http.response.status_code": 429,
                "cerebras.retry.wait": 0.5,
            },
        ),
        (
            "cerebras.retry",
            {"cerebras.attempt": 2, "error.type": "X", "cerebras.retry.wait": 1.0},
        ),
    ]
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in attributes(span)


def test_halves_of_split_characters_are_replaced(bench: Bench):
    """They come from broken answers, and no exporter could encode them."""
    span = bench.watch(a_record(error=ValueError("half a pair: \ud83d")))
    assert span.status.description == "half a pair: ?"


# ------------------------------------------------------------------ whose child it is


def test_a_span_is_the_child_of_the_callers(bench: Bench):
    tracer = bench.tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        span = bench.watch(a_record())
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id


def test_a_span_is_current_while_the_request_is_on_its_way(bench: Bench):
    """So that spans of the HTTP client become its children."""
    record = a_record()
    tracer = bench.tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as caller:
        state = bench.telemetry.started(record)
        with tracer.start_as_current_span("POST"):
            pass
        bench.telemetry.ended(state, record)
        assert trace.get_current_span() is caller
    assert parents(finished(bench)) == {
        "POST": "chat gpt-oss-120b",
        "chat gpt-oss-120b": "caller",
        "caller": None,
    }


def finished(bench: Bench) -> list[Any]:
    return list(bench.spans.get_finished_spans())


def parents(spans: list[Any]) -> dict[str, str | None]:
    """The name of each span's parent."""
    names = {span.context.span_id: span.name for span in spans}
    return {s.name: names[s.parent.span_id] if s.parent else None for s in spans}


def test_a_stream_is_not_current_once_it_has_begun(bench: Bench):
    record = a_record(stream=True)
    before = context.get_current()
    state = bench.telemetry.started(record)
    assert trace.get_current_span().get_span_context().is_valid
    bench.telemetry.arrived(state, record)
    assert context.get_current() is before
    bench.telemetry.arrived(state, record)
    bench.telemetry.ended(state, record)
    assert context.get_current() is before


def test_a_call_may_end_in_another_context(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    """A coroutine that nobody awaits any more is closed wherever it is collected."""
    record = a_record()
    elsewhere = contextvars.copy_context()
    state = elsewhere.run(bench.telemetry.started, record)
    bench.telemetry.ended(state, record)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(bench.spans.get_finished_spans()) == 1
    assert caplog.records == []


@pytest.mark.parametrize("where", ["threads", "tasks"])
async def test_calls_at_once_keep_their_own_parents(bench: Bench, where: str):
    tracer = bench.tracers.get_tracer("test")
    every = 4  # as many as the default pool surely has threads
    meet = threading.Barrier(every)
    ready = asyncio.Barrier(every)

    def in_thread(number: int) -> None:
        with tracer.start_as_current_span(f"caller {number}"):
            record = a_record(model=f"model-{number}")
            state = bench.telemetry.started(record)
            meet.wait(10)
            bench.telemetry.ended(state, record)

    async def in_task(number: int) -> None:
        with tracer.start_as_current_span(f"caller {number}"):
            record = a_record(model=f"model-{number}")
            state = bench.telemetry.started(record)
            await ready.wait()
            bench.telemetry.ended(state, record)

    if where == "threads":
        await asyncio.gather(*(asyncio.to_thread(in_thread, n) for n in range(every)))
    else:
        await asyncio.gather(*(in_task(n) for n in range(every)))
    found = {name: over for name, over in parents(finished(bench)).items() if over}
    assert found == {f"chat model-{n}": f"caller {n}" for n in range(every)}


# ------------------------------------------------------------------------- metrics


def test_metrics_have_the_conventions_names_units_and_bounds(bench: Bench):
    record = an_answered_record(stream=True, first_token_s=0.3)
    state = bench.telemetry.started(record)
    for _ in range(2):
        bench.telemetry.arrived(state, record)
    bench.telemetry.ended(state, record)
    found = bench.metrics()
    assert {name: metric.unit for name, metric in found.items()} == {
        "gen_ai.client.token.usage": "{token}",
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.operation.time_per_output_chunk": "s",
    }
    seconds = (
        *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
        *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    )
    tokens = (
        *(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536),
        *(262144, 1048576, 4194304, 16777216, 67108864),
    )
    for name, metric in found.items():
        for point in metric.data.data_points:
            bounds = tokens if name == "gen_ai.client.token.usage" else seconds
            assert tuple(point.explicit_bounds) == bounds


def test_tokens_are_measured_by_type(bench: Bench):
    bench.watch(an_answered_record())
    measured = {**CALLED, "gen_ai.response.model": "gpt-oss-120b-2"}
    points = bench.points("gen_ai.client.token.usage")
    assert {p.attributes["gen_ai.token.type"]: p.sum for p in points} == {
        "input": 100,
        "output": 40,
    }
    for point in points:
        kind = {"gen_ai.token.type": point.attributes["gen_ai.token.type"]}
        assert dict(point.attributes) == {**measured, **kind}


def test_tokens_that_nobody_counted_are_not_measured_as_none(bench: Bench):
    span = bench.watch(an_answered_record(usage=None))
    assert "gen_ai.usage.input_tokens" not in attributes(span)
    assert bench.points("gen_ai.client.token.usage") == []
    assert len(bench.points("gen_ai.client.operation.duration")) == 1


def test_tokens_of_a_failed_call_are_measured_if_they_are_known(bench: Bench):
    """They were billed; only the duration says that the call has failed."""
    late = CerebrasTimeoutError("late")
    bench.watch(an_answered_record(stream=True, first_token_s=0.1, error=late))
    found = bench.metrics()
    tokens = found["gen_ai.client.token.usage"].data.data_points
    assert sum(point.sum for point in tokens) == 140
    for name, metric in found.items():
        for point in metric.data.data_points:
            failed = name == "gen_ai.client.operation.duration"
            assert ("error.type" in point.attributes) is failed


def test_the_duration_has_the_wait_for_our_own_limiter(bench: Bench):
    """As the span has it: both are what the caller waited."""
    bench.watch(an_answered_record(elapsed_s=1.5, limiter_wait_s=2.0))
    (point,) = bench.points("gen_ai.client.operation.duration")
    assert point.sum == 3.5


def test_a_stream_is_measured_to_its_beginning_and_between_its_chunks(bench: Bench):
    record = an_answered_record(stream=True, first_token_s=0.3)
    state = bench.telemetry.started(record)
    for gap in (0.3, 0.01, 0.02, 0.5):
        bench.clock.now += gap
        bench.telemetry.arrived(state, record)
    bench.telemetry.ended(state, record)
    (first,) = bench.points("gen_ai.client.operation.time_to_first_chunk")
    assert (first.count, first.sum) == (1, 0.3)
    (between,) = bench.points("gen_ai.client.operation.time_per_output_chunk")
    assert between.count == 3
    assert between.sum == pytest.approx(0.53)
    assert between.max == pytest.approx(0.5)
    assert dict(between.attributes) == CALLED
    (span,) = bench.spans.get_finished_spans()
    assert attributes(span)["gen_ai.response.time_to_first_chunk"] == 0.3


def test_a_plain_answer_has_no_times_of_a_stream(bench: Bench):
    bench.watch(an_answered_record())
    assert set(bench.metrics()) == {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
    }


def test_measurements_point_to_their_span(bench: Bench):
    """Exemplars lead from a slow bucket to the call that fell into it."""
    span = bench.watch(an_answered_record())
    for metric in bench.metrics().values():
        for point in metric.data.data_points:
            assert [e.span_id for e in point.exemplars] == [span.context.span_id]


# ------------------------------------------------------------------------- content

PAYLOAD = {
    "model": "gpt-oss-120b",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,aGVsbG8="},
                },
                {"type": "image_url", "image_url": {"url": "https://host/a.png"}},
                {"type": "novel", "held": 1},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning": "I should look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at": "it"}'},
                },
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "A cat."},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object"},
                "strict": True,
            },
        }
    ],
}


def content_of(span: ReadableSpan) -> dict[str, Any]:
    names = ("gen_ai.input.messages", "gen_ai.output.messages")
    found = attributes(span)
    wanted = (*names, "gen_ai.tool.definitions", "gen_ai.system_instructions")
    return {name: json.loads(found[name]) for name in wanted if name in found}


def test_content_is_not_recorded_unless_it_is_asked_for(bench: Bench):
    """It is not even built."""

    def never() -> AIMessage:
        raise AssertionError("nobody asked for the answer")

    span = bench.watch(an_answered_record(payload=PAYLOAD, message=never))
    assert content_of(span) == {}
    assert "Be kind" not in span.to_json()


def test_content_follows_the_conventions_schemas():
    bench = Bench(capture_content=True)
    answer = AIMessage(
        "A cat it is.",
        additional_kwargs={"reasoning_content": "The tool said so."},
        tool_calls=[{"name": "look", "args": {"at": "it"}, "id": "c3"}],
        invalid_tool_calls=[{"name": "look", "args": "{", "id": "c4", "error": "cut"}],
    )
    record = an_answered_record(
        payload=PAYLOAD, message=lambda: answer, finish_reasons=("tool_calls",)
    )
    span = bench.watch(record)
    assert content_of(span) == {
        "gen_ai.input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
            {
                "role": "user",
                "name": "ann",
                "parts": [
                    {"type": "text", "content": "What is this?"},
                    {
                        "type": "blob",
                        "modality": "image",
                        "mime_type": "image/png",
                        "content": "",
                        "omitted_chars": 8,
                    },
                    {"type": "uri", "modality": "image", "uri": "https://host/a.png"},
                    {"type": "novel"},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "I should look."},
                    {
                        "type": "tool_call",
                        "id": "c1",
                        "name": "look",
                        "arguments": {"at": "it"},
                    },
                    {
                        "type": "tool_call",
                        "id": "c2",
                        "name": "look",
                        "arguments": '{"at',
                    },
                ],
            },
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "c1", "response": "A cat."}
                ],
            },
        ],
        "gen_ai.tool.definitions": [
            {
                "type": "function",
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object"},
            }
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "The tool said so."},
                    {"type": "text", "content": "A cat it is."},
                    {
                        "type": "tool_call",
                        "id": "c3",
                        "name": "look",
                        "arguments": {"at": "it"},
                    },
                    {
                        "type": "tool_call",
                        "id": "c4",
                        "name": "look",
                        "arguments": "{",
                    },
                ],
                "finish_reason": "tool_call",
            }
        ],
    }
    assert attributes(span)["gen_ai.response.finish_reasons"] == ("tool_calls",)


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("Once", [{"type": "text", "content": "Once"}]),
        (
            ["Once", "Twice"],
            [{"type": "text", "content": "Once"}, {"type": "text", "content": "Twice"}],
        ),
        ([[1, 2]], [{"type": "token_ids", "content": [1, 2]}]),
    ],
    ids=["text", "texts", "token-ids"],
)
def test_the_prompt_of_a_text_completion_is_the_users(
    prompt: Any, parts: list[dict[str, Any]]
):
    bench = Bench(capture_content=True)
    record = a_record(operation="text_completion", payload={"prompt": prompt})
    assert content_of(bench.watch(record)) == {
        "gen_ai.input.messages": [{"role": "user", "parts": parts}]
    }


def test_half_an_answer_is_recorded_as_ended_by_an_error():
    bench = Bench(capture_content=True)
    record = a_record(
        stream=True,
        error=CerebrasTimeoutError("late"),
        message=lambda: AIMessage("Half an"),
    )
    assert content_of(bench.watch(record))["gen_ai.output.messages"] == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Half an"}],
            "finish_reason": "error",
        }
    ]


def test_a_refusal_is_part_of_the_answer():
    bench = Bench(capture_content=True)
    answer = AIMessage("", additional_kwargs={"refusal": "I will not."})
    record = an_answered_record(message=lambda: answer)
    (message,) = content_of(bench.watch(record))["gen_ai.output.messages"]
    assert message["parts"] == [{"type": "text", "content": "I will not."}]


def test_secrets_in_content_are_masked_and_its_json_stays_whole():
    bench = Bench(capture_content=True)
    said = f'My key is {SENTINEL}, "quoted"\nand Bearer abcdefgh12345678 too: \ud83d'
    payload = {"messages": [{"role": "user", "content": said}]}
    record = an_answered_record(payload=payload, message=lambda: AIMessage(said))
    span = bench.watch(record)
    assert "sentinel" not in span.to_json()
    assert "abcdefgh12345678" not in span.to_json()
    (message,) = content_of(span)["gen_ai.input.messages"]
    shown = 'My key is csk-***, "quoted"\nand *** too: ?'
    assert message["parts"] == [{"type": "text", "content": shown}]


def test_content_that_cannot_be_built_does_not_keep_a_span_open():
    bench = Bench(capture_content=True)

    def broken() -> AIMessage:
        raise RuntimeError("broken")

    record = an_answered_record(message=broken)
    state = bench.telemetry.started(record)
    with pytest.raises(RuntimeError, match="broken"):
        bench.telemetry.ended(state, record)
    (span,) = bench.spans.get_finished_spans()
    assert attributes(span)["gen_ai.usage.input_tokens"] == 100


def test_content_is_not_built_for_a_span_that_is_not_recorded():
    bench = Bench(capture_content=True, sampler=ALWAYS_OFF)

    def never() -> AIMessage:
        raise AssertionError("nobody records the answer")

    record = an_answered_record(payload=PAYLOAD, message=never)
    bench.telemetry.ended(bench.telemetry.started(record), record)
    assert len(bench.points("gen_ai.client.operation.duration")) == 1


# ---------------------------------------------------------------- switched on and off


def ours() -> list[CallTelemetry]:
    return [held for held in observers() if isinstance(held, CallTelemetry)]


def test_instrumenting_again_replaces_and_never_doubles():
    otel.instrument()
    (first,) = ours()
    otel.instrument(capture_content=True)
    (second,) = ours()
    assert second is not first


def test_switching_off_is_for_good_and_may_be_repeated():
    otel.instrument()
    otel.uninstrument()
    otel.uninstrument()
    assert ours() == []


def test_many_threads_that_instrument_at_once_leave_one_observer():
    meet = threading.Barrier(8)

    def switch_on() -> None:
        meet.wait(10)
        otel.instrument()

    threads = [threading.Thread(target=switch_on) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ours()) == 1


@pytest.mark.parametrize(
    ("said", "wanted", "warned"),
    [
        (None, False, False),
        ("", False, False),
        ("false", False, False),
        ("NO_CONTENT", False, False),
        ("true", True, False),
        (" True ", True, False),
        ("SPAN_ONLY", True, False),
        ("span_and_event", True, True),
        ("event_only", False, True),
        ("1", False, True),
        ("yes please", False, True),
    ],
    ids=lambda value: repr(value),
)
def test_the_conventions_variable_says_whether_content_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: str | None,
    wanted: bool,
    warned: bool,
):
    """What is not understood records nothing, and is told."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    if said is not None:
        monkeypatch.setenv(name, said)
    bench = Bench()
    with caplog.at_level(logging.WARNING, "langchain_cerebras_ext"):
        otel.instrument(
            tracer_provider=bench.tracers,
            meter_provider=bench.meters,
        )
    (telemetry,) = ours()
    record = a_record(payload={"messages": [{"role": "user", "content": "Hi"}]})
    telemetry.ended(telemetry.started(record), record)
    (span,) = bench.spans.get_finished_spans()
    assert ("gen_ai.input.messages" in attributes(span)) is wanted
    assert [name in line for line in caplog.messages] == ([True] if warned else [])


def test_an_argument_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    bench = Bench()
    otel.instrument(
        tracer_provider=bench.tracers,
        meter_provider=bench.meters,
        capture_content=False,
    )
    (telemetry,) = ours()
    record = a_record(payload={"messages": [{"role": "user", "content": "Hi"}]})
    telemetry.ended(telemetry.started(record), record)
    (span,) = bench.spans.get_finished_spans()
    assert "gen_ai.input.messages" not in attributes(span)


def test_without_an_sdk_nothing_happens():
    """The API's own providers drop all; the current span stays as it was."""
    telemetry = CallTelemetry(
        tracer_provider=trace.NoOpTracerProvider(),
        meter_provider=metrics.NoOpMeterProvider(),
        capture_content=True,
    )
    before = context.get_current()
    record = an_answered_record(payload=PAYLOAD)
    state = telemetry.started(record)
    assert context.get_current() is before
    telemetry.retried(state, record, a_failure())
    telemetry.arrived(state, record)
    telemetry.ended(state, record)
    assert context.get_current() is before


def test_the_instrumentor_switches_on_and_off():
    bench = Bench()
    instrumentor = otel.CerebrasInstrumentor()
    assert list(instrumentor.instrumentation_dependencies()) == []
    instrumentor.instrument(
        tracer_provider=bench.tracers,
        meter_provider=bench.meters,
        capture_content=True,
    )
    (telemetry,) = ours()
    record = a_record(payload={"messages": [{"role": "user", "content": "Hi"}]})
    telemetry.ended(telemetry.started(record), record)
    (span,) = bench.spans.get_finished_spans()
    assert "gen_ai.input.messages" in attributes(span)
    instrumentor.uninstrument()
    assert ours() == []


def test_a_call_under_way_ends_its_span_after_switching_off(bench: Bench):
    record = a_record()
    state = bench.telemetry.started(record)
    otel.uninstrument()
    bench.telemetry.ended(state, record)
    assert len(bench.spans.get_finished_spans()) == 1


def test_other_names_are_no_part_of_the_module():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = otel.nothing  # type: ignore[attr-defined]


# ------------------------------------------------------------ without the libraries


def run_python(code: str, *, without: str = "") -> str:
    """Run code in a new interpreter, in which some package cannot be imported."""
    block = f"""
    import sys
    from importlib.abc import MetaPathFinder

    class Block(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if {without!r} and (name + ".").startswith({without!r} + "."):
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Block())
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(block) + textwrap.dedent(code),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_extra_the_line_to_install_it_is_told():
    told = run_python(
        """
        from langchain_cerebras_ext import otel
        from langchain_cerebras_ext.errors import MissingExtraError

        try:
            otel.instrument()
        except MissingExtraError as error:
            print(error)
        otel.uninstrument()
        """,
        without="opentelemetry",
    )
    assert "pip install 'langchain-cerebras-ext[otel]'" in told
    assert "opentelemetry-api" in told


def test_without_the_instrumentation_package_only_the_instrumentor_is_missing():
    told = run_python(
        """
        from langchain_cerebras_ext import otel
        from langchain_cerebras_ext.errors import MissingExtraError

        otel.instrument()
        try:
            otel.CerebrasInstrumentor
        except MissingExtraError as error:
            print(error)
        """,
        without="opentelemetry.instrumentation",
    )
    assert "pip install 'opentelemetry-instrumentation'" in told


def test_a_model_that_nobody_traces_loads_nothing_of_it():
    """LangSmith loads OpenTelemetry where it is installed; we do not."""
    told = run_python(
        """
        from langchain_cerebras_ext import ChatCerebras, otel

        model = ChatCerebras(model="gpt-oss-120b", api_key="csk-none")
        import json
        print(json.dumps([name for name in sys.modules if "_ext._otel." in name]))
        """
    )
    shown = [name.rpartition(".")[2] for name in sorted(json.loads(told))]
    assert shown == ["names", "switch"]
