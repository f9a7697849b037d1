"""Makes a span of every call, and measures it.

The only modules that import `opentelemetry` are this one and `instrumentor`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from langchain_cerebras_ext._otel import names
from langchain_cerebras_ext._otel.attributes import (
    error_text,
    error_type,
    identity,
    measured_attributes,
    request_attributes,
    response_attributes,
    retry_attributes,
    token_counts,
)
from langchain_cerebras_ext._otel.content import content_attributes
from langchain_cerebras_ext._otel.cost import CallCost, call_cost
from langchain_cerebras_ext._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from langchain_cerebras_ext._observe import CallRecord
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.errors import FailedAttempt

__all__ = ["CallTelemetry"]

# Of the API's operations; listing models and the like are none of a model.
_OPERATIONS = frozenset({"chat", "text_completion"})
# The name under which everybody who suppresses instrumentation says so.
_SUPPRESSED = "suppress_instrumentation"


@dataclass(slots=True)
class _Open:
    """A call under way."""

    span: Span
    called: dict[str, Any]
    within: Context
    token: Token[Context] | None
    began: datetime
    arrived_at: float | None = None


class CallTelemetry:
    """An observer of calls that tells OpenTelemetry of them.

    A span is its caller's child. It is current itself while a request is on its way,
    so that spans of the HTTP client become its children, and no longer once an answer
    has begun: what runs between two chunks of a stream is the reader's, not ours.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        capture_content: bool = False,
        costs: bool = False,
        prices: PriceBook | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tracer = trace.get_tracer(
            names.SCOPE, __version__, tracer_provider, names.SCHEMA_URL
        )
        meter = metrics.get_meter(
            names.SCOPE, __version__, meter_provider, names.SCHEMA_URL
        )
        self._tokens = meter.create_histogram(
            names.TOKEN_USAGE,
            unit="{token}",
            description="Tokens of prompts and answers, by type",
            explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDS,
        )
        self._duration = _seconds(
            meter, names.DURATION, "From a call to the end of its answer, or its error"
        )
        self._to_first = _seconds(
            meter, names.TIME_TO_FIRST_CHUNK, "From a request to its stream's beginning"
        )
        self._per_chunk = _seconds(
            meter, names.TIME_PER_OUTPUT_CHUNK, "Between two arrivals of a stream"
        )
        self._cost = meter.create_counter(
            names.COST_METRIC,
            unit="{USD}",
            description="What calls cost, as far as their prices are known",
        )
        self._unpriced = meter.create_counter(
            names.UNPRICED_METRIC,
            unit="{call}",
            description="Calls whose cost is not known, or not all of it",
        )
        self._capture_content = capture_content
        self._costs = costs
        self._prices = prices
        self._clock = clock
        self._now = now

    def started(self, record: CallRecord) -> _Open | None:
        """Begin a span."""
        if record.operation not in _OPERATIONS or context.get_value(_SUPPRESSED):
            return None
        called = identity(record)
        span = self._tracer.start_span(
            f"{record.operation} {record.model}" if record.model else record.operation,
            kind=SpanKind.CLIENT,
            attributes=called,
        )
        within = trace.set_span_in_context(span)
        real = span.get_span_context().is_valid
        token = context.attach(within) if real else None
        return _Open(span, called, within, token, self._now())

    def retried(
        self, state: _Open | None, record: CallRecord, failed: FailedAttempt
    ) -> None:
        """Note a try that failed: an event, since the call has not failed by it."""
        if state is not None and state.span.is_recording():
            found = retry_attributes(failed, len(record.failed))
            state.span.add_event(names.RETRY, found)

    def arrived(self, state: _Open | None, _record: CallRecord) -> None:
        """Note the arrival of a part of a stream.

        What lies between two is measured at once: kept to the end of a long stream it
        would take memory, and then hold up everybody else.
        """
        if state is None:
            return
        now = self._clock()
        if state.arrived_at is None:
            _step_back(state)
        else:
            gap = now - state.arrived_at
            self._per_chunk.record(gap, state.called, context=state.within)
        state.arrived_at = now

    def ended(self, state: _Open | None, record: CallRecord) -> None:
        """Measure the call and end its span."""
        if state is None:
            return
        try:
            _step_back(state)
            cost = (
                call_cost(record, state.began, self._prices)
                if self._costs
                else CallCost()
            )
            self._measure(state, record, cost)
            if state.span.is_recording():
                self._describe(state.span, record)
                state.span.set_attributes(cost.attributes())
        finally:
            state.span.end()

    def _measure(self, state: _Open, record: CallRecord, cost: CallCost) -> None:
        found = measured_attributes(record, state.called)
        for kind, count in token_counts(record).items():
            self._tokens.record(
                count, {**found, names.TOKEN_TYPE: kind}, context=state.within
            )
        if cost.total is not None:
            self._cost.add(float(cost.total), found, context=state.within)
        if cost.is_partial:
            self._unpriced.add(1, found, context=state.within)
        if record.first_token_s is not None:
            self._to_first.record(record.first_token_s, found, context=state.within)
        failure = error_type(record)
        # A new one: an SDK keeps those that it was given.
        ended = {**found, names.ERROR_TYPE: failure} if failure else found
        took_s = record.elapsed_s + record.limiter_wait_s
        self._duration.record(took_s, ended, context=state.within)

    def _describe(self, span: Span, record: CallRecord) -> None:
        span.set_attributes(request_attributes(record))
        span.set_attributes(response_attributes(record))
        failure = error_type(record)
        if failure is not None and record.error is not None:
            span.set_attribute(names.ERROR_TYPE, failure)
            span.set_status(Status(StatusCode.ERROR, error_text(record.error)))
        if self._capture_content:
            span.set_attributes(content_attributes(record))


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name,
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=names.SECOND_BOUNDS,
    )


def _step_back(state: _Open) -> None:
    """Let the caller's span be current again.

    A call that was given up may end in another task or thread: what was attached has
    gone with its own.
    """
    token, state.token = state.token, None
    if token is not None and trace.get_current_span() is state.span:
        context.detach(token)
