"""OpenTelemetry: a span for every call, and metrics, by the GenAI conventions.

    pip install 'langchain-cerebras-ext[otel]'

Example:
    ```python
    from langchain_cerebras_ext import otel

    otel.instrument()
    ```

Or without a line of code: `opentelemetry-instrument python app.py`, which finds
`CerebrasInstrumentor` by its entry point.

Followed is release 1.41.0 of the GenAI semantic conventions, the last one that has a
version number: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
They have moved to https://github.com/open-telemetry/semantic-conventions-genai since,
where names were changing and nothing was released by 2026-11; of the new names only
`gen_ai.request.reasoning.level` is used.

Spans are named `chat gpt-oss-120b` (`text_completion ...` for `CerebrasLLM`), of kind
CLIENT, children of whatever span is current where the call is made. One span covers a
call with all its tries and waits, and a stream until its end. It has what was asked for
(`gen_ai.request.*`), what came back (`gen_ai.response.*`, `gen_ai.usage.*`), where
(`server.*`), and beside the conventions:

- `cerebras.attempts`, and an event `cerebras.retry` for each try that failed;
- `cerebras.rate_limit.*`: the `x-ratelimit-*` headers, such as
  `cerebras.rate_limit.remaining_tokens_minute`;
- `cerebras.time_info.*`: the service's own times, such as
  `cerebras.time_info.queue_time`, in seconds;
- `cerebras.rate_limiter.wait`: seconds that a rate limiter of ours held the call back;
- `cerebras.request.id`, `cerebras.request.service_tier`,
  `cerebras.response.service_tier`, `cerebras.usage.*_prediction_tokens`,
  `http.response.status_code`;
- `cerebras.cost.usd`: what the call cost at the prices of its day, all its tries
  together, and of that `cerebras.cost.input_usd`, `.cached_input_usd`, `.image_usd`,
  `.output_usd` (with `.reasoning_usd`) and `.retries_usd`; beside it
  `.cache_savings_usd`. What is not known is left out, never 0, and
  `cerebras.cost.unpriced` is true then, also if only a part is not known. The
  conventions have no attribute for costs; a draft (`gen_ai.usage.cost.*`) is open;
- `cerebras.stream.abandoned`: the reader closed a stream early. That is no error.

A call that fails has the status ERROR, its message without secrets, and in `error.type`
the name of the class: one of `langchain_cerebras_ext.errors`, or `CancelledError` and
`KeyboardInterrupt` for calls that were cancelled. No stack is recorded.

Metrics, with the buckets that the conventions recommend:
`gen_ai.client.operation.duration`, `gen_ai.client.token.usage`, and for streams
`gen_ai.client.operation.time_to_first_chunk` and
`gen_ai.client.operation.time_per_output_chunk` (a chunk is what one read of the network
brought). Beside them `cerebras.client.operation.cost`, in USD, and
`cerebras.client.operation.unpriced`, which counts the calls whose cost is missing
there.

Prompts and answers are recorded only if asked for, by `capture_content=True` or the
environment variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` (`true`,
`span_only`, `span_and_event`): on spans, as JSON in `gen_ai.input.messages`,
`gen_ai.output.messages` and `gen_ai.tool.definitions`. Images are left out. The key is
never part of anything.

Trace context is not sent to the service: it ends there. Instrumentation of the HTTP
libraries beneath (urllib3, aiohttp), if you switch it on, may send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._otel.switch import instrument, missing, uninstrument

if TYPE_CHECKING:
    from langchain_cerebras_ext._otel.instrumentor import CerebrasInstrumentor

__all__ = ["CerebrasInstrumentor", "instrument", "uninstrument"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: its base class is of another package than the extra's.
    if name != "CerebrasInstrumentor":
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    try:
        from langchain_cerebras_ext._otel.instrumentor import CerebrasInstrumentor
    except ImportError as error:
        needed = "opentelemetry-instrumentation"
        raise missing(error, needed, needed) from error
    return CerebrasInstrumentor


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
