"""OpenTelemetry is told what calls cost, and that it is not known where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any

import pytest
from call_paths import BETA, PATHS, answer, call, counted, delta, refusal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wire_server import Request, WireServer, sse

from langchain_cerebras_ext import ChatCerebras, otel
from langchain_cerebras_ext._observe import CallRecord
from langchain_cerebras_ext._otel import cost as otel_cost
from langchain_cerebras_ext._otel.observer import CallTelemetry
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.costs.tracker import CostTracker
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasTimeoutError,
    FailedAttempt,
    RateLimitError,
)
from langchain_cerebras_ext.retry import RetryPolicy

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUICK = RetryPolicy(initial_delay=0.001, max_delay=0.002, jitter=0)
# gpt-oss-120b at 0.35 and 0.75 USD per million; cached tokens as the others.
BIG = {
    "prompt_tokens": 1_000_000,
    "completion_tokens": 2_000_000,
    "total_tokens": 3_000_000,
    "prompt_tokens_details": {"cached_tokens": 400_000},
    "completion_tokens_details": {"reasoning_tokens": 500_000},
}


class Bench:
    """Spans and metrics in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def watch(self, record: CallRecord, **options: Any) -> dict[str, Any]:
        """Let a call begin and end at once; return what its span says of costs."""
        telemetry = CallTelemetry(
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            **{"costs": True, "now": lambda: NOON, **options},
        )
        telemetry.ended(telemetry.started(record), record)
        return self.costs()[-1]

    def costs(self) -> list[dict[str, Any]]:
        """What each span says of costs."""
        return [
            {
                name.removeprefix("cerebras.cost."): value
                for name, value in (span.attributes or {}).items()
                if name.startswith("cerebras.cost.")
            }
            for span in self.exporter.get_finished_spans()
        ]

    def sums(self, name: str) -> list[tuple[dict[str, Any], float]]:
        """The points of a counter; none if it was never added to."""
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes), point.value)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"cerebras.client.operation.{name}"
            for point in metric.data.data_points
        ]

    def total(self, name: str) -> float:
        return sum(value for _, value in self.sums(name))


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()
    otel.uninstrument()


def a_record(**fields: Any) -> CallRecord:
    base: dict[str, Any] = {
        "operation": "chat",
        "method": "POST",
        "url": "https://api.cerebras.ai/v1/chat/completions",
        "model": "gpt-oss-120b",
        "stream": False,
        "attempts": 1,
    }
    return CallRecord(**{**base, **fields})


def a_failure(**fields: Any) -> FailedAttempt:
    base: dict[str, Any] = {
        "error_type": "InternalServerError",
        "message": "down",
        "status_code": 500,
        "elapsed_s": 0.2,
        "wait_s": 0.5,
        "billed": None,
    }
    return FailedAttempt(**{**base, **fields})


def a_usage(prompt: int, completion: int) -> Any:
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }


# --------------------------------------------------------------------- what is known


def test_each_kind_is_told_and_all_together(bench: Bench):
    assert bench.watch(a_record(usage=BIG)) == {
        "usd": 0.35 + 1.5,
        "input_usd": 0.21,  # 600,000 at 0.35
        "cached_input_usd": 0.14,  # 400,000 at 0.35
        "output_usd": 1.5,  # 2,000,000 at 0.75
        "reasoning_usd": 0.375,  # 500,000 of them
    }
    [(attributes, value)] = bench.sums("cost")
    assert value == 1.85
    assert attributes["gen_ai.request.model"] == "gpt-oss-120b"
    assert attributes["gen_ai.provider.name"] == "cerebras"
    assert bench.sums("unpriced") == []


def test_prices_are_those_of_the_day_on_which_the_call_began(bench: Bench):
    book = (
        PriceBook()
        .with_price("m", input="1", output="1", valid_until=date(2026, 11, 21))
        .with_price("m", input="3", output="3", valid_from=date(2026, 11, 21))
    )
    record = a_record(model="m", usage=BIG)
    before = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    after = datetime(2026, 11, 21, tzinfo=UTC)
    found = [
        bench.watch(record, prices=book, now=lambda when=when: when)["usd"]
        for when in (before, after)
    ]
    assert found == [3.0, 9.0]


def test_your_discount_holds(bench: Bench):
    book = PriceBook().with_discount(percent=50, provider="cerebras")
    assert bench.watch(a_record(usage=BIG), prices=book)["usd"] == 0.925


def test_a_double_tells_every_picodollar(bench: Bench):
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    found = bench.watch(a_record(usage=usage))["usd"]
    assert Decimal(str(found)) == Decimal("0.0000011")
    dear = Decimal("999.999999999999")
    assert Decimal(str(float(dear))) == dear


def test_a_coarse_decimal_context_of_the_caller_rounds_nothing(bench: Bench):
    with localcontext(prec=2):
        found = bench.watch(
            a_record(usage=BIG, failed=[a_failure(usage=a_usage(1, 0))])
        )
    assert found["usd"] == 1.85000035


def test_an_alias_that_has_no_price_is_priced_as_what_answered(bench: Bench):
    record = a_record(model="my-alias", response_model="gpt-oss-120b", usage=BIG)
    assert bench.watch(record)["usd"] == 1.85


def test_free_is_zero_and_told(bench: Bench):
    book = PriceBook().with_price("m", input="0", output="0")
    assert bench.watch(a_record(model="m", usage=BIG), prices=book) == {"usd": 0.0}
    assert bench.total("cost") == 0


# --------------------------------------------------------------------------- retries


def test_a_try_that_was_billed_is_part_of_the_cost(bench: Bench):
    failed = [
        a_failure(billed=True, usage=a_usage(1_000_000, 0)),
        a_failure(billed=False, status_code=429),
    ]
    found = bench.watch(a_record(usage=BIG, failed=failed, attempts=3))
    assert (found["usd"], found["retries_usd"]) == (2.2, 0.35)
    assert "unpriced" not in found
    assert bench.total("cost") == 2.2


def test_a_try_of_which_nobody_knows_makes_the_cost_a_lower_bound(bench: Bench):
    found = bench.watch(a_record(usage=BIG, failed=[a_failure()], attempts=2))
    assert (found["usd"], found["unpriced"]) == (1.85, True)
    assert bench.total("unpriced") == 1


# ----------------------------------------------------------------- what is not known


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "nobody-knows", "usage": BIG},
        {"model": None, "usage": BIG},
        {"usage": None},
        {"usage": {}},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 1}},
        {
            "usage": {
                "prompt_tokens": 1,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 5},
            }
        },
        {"error": GeneratorExit(), "stream": True},
        {"error": CerebrasTimeoutError("late")},
    ],
    ids=[
        "unknown-model",
        "no-model",
        "no-usage",
        "empty-usage",
        "negative",
        "contradiction",
        "abandoned",
        "timeout",
    ],
)
def test_what_is_not_known_is_said_and_never_zero(bench: Bench, fields: Any):
    assert bench.watch(a_record(**fields)) == {"unpriced": True}
    assert bench.sums("cost") == []
    assert bench.total("unpriced") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"error": RateLimitError("slow down", status_code=429)},
        {"error": BudgetExceeded("enough"), "attempts": 0},
    ],
    ids=["refused-by-the-service", "never-sent"],
)
def test_a_call_that_surely_was_not_billed_has_no_cost(bench: Bench, fields: Any):
    assert bench.watch(a_record(**fields)) == {}
    assert bench.sums("cost") == bench.sums("unpriced") == []


def test_trouble_with_prices_ends_neither_call_nor_span(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: Any) -> Any:
        raise OSError("the price list is gone")

    monkeypatch.setattr(otel_cost, "_price", fail)
    assert bench.watch(a_record(usage=BIG)) == {"unpriced": True}


def test_costs_can_be_left_out(bench: Bench):
    assert bench.watch(a_record(usage=BIG), costs=False) == {}
    assert bench.sums("cost") == bench.sums("unpriced") == []


# ----------------------------------------------------------------------- whole calls


def a_model(server: WireServer, **options: Any) -> ChatCerebras:
    given = {"model": "gpt-oss-120b", "base_url": server.url, "api_key": "none"}
    return ChatCerebras(**{**given, "retry_policy": QUICK, **options})


def watch_all(bench: Bench, **options: Any) -> None:
    otel.instrument(
        tracer_provider=bench.tracers, meter_provider=bench.meters, **options
    )


@BETA
@pytest.mark.parametrize("path", PATHS)
def test_every_path_has_its_cost_and_agrees_with_a_tracker(bench: Bench, path: str):
    watch_all(bench)
    tracker = CostTracker()
    with WireServer(answer) as server:
        call(path, a_model(server), config={"callbacks": [tracker]})
    # 11 at 0.35 and 5 at 0.75 USD per million
    assert bench.costs() == [
        {"usd": 0.0000076, "input_usd": 0.00000385, "output_usd": 0.00000375}
    ]
    assert bench.total("cost") == 0.0000076
    assert float(tracker.get_total_cost()) == 0.0000076


def test_your_prices_reach_the_observer(bench: Bench):
    watch_all(bench, prices=PriceBook().with_discount(percent=100, provider="cerebras"))
    with WireServer(answer) as server:
        a_model(server).invoke("hi")
    assert bench.costs() == [{"usd": 0.0}]


def test_nothing_is_priced_if_costs_are_left_out(bench: Bench):
    watch_all(bench, costs=False)
    with WireServer(answer) as server:
        a_model(server).invoke("hi")
    assert bench.costs() == [{}]


def test_a_retry_is_billed_once_and_told_once(bench: Bench):
    replies = iter(
        [
            lambda request: refusal(429),
            lambda request: sse(
                [counted(), b'data: {"message": "down", "status_code": 503}\n\n']
            ),
            answer,
        ]
    )

    def flaky(request: Request) -> Iterator[bytes]:
        return next(replies)(request)

    watch_all(bench)
    tracker = CostTracker()
    with WireServer(flaky) as server:
        list(a_model(server).stream("hi", config={"callbacks": [tracker]}))
    assert bench.costs() == [
        {
            "usd": 0.0000152,
            "input_usd": 0.00000385,
            "output_usd": 0.00000375,
            "retries_usd": 0.0000076,
        }
    ]
    assert float(tracker.get_total_cost()) == 0.0000152


def test_a_stream_that_its_reader_left_says_that_its_cost_is_not_known(bench: Bench):
    def slow(request: Request) -> Iterator[bytes]:
        return sse([delta(content="Hel"), delta(content="lo")])

    watch_all(bench)
    with WireServer(slow) as server:
        stream = a_model(server).stream("hi")
        next(stream)
        stream.close()
    assert bench.costs() == [{"unpriced": True}]
