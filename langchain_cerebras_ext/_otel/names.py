"""The names of the GenAI semantic conventions, and our own beside them.

All `gen_ai.*` names are those of release 1.41.0, but for
`gen_ai.request.reasoning.level`, which the conventions gained after it.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
SCOPE: Final = "langchain_cerebras_ext"
PROVIDER: Final = "cerebras"

# ----------------------------------------------------------------- what was called
OPERATION: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# ------------------------------------------------------------ what was asked for
CHOICE_COUNT: Final = "gen_ai.request.choice.count"
FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
SEED: Final = "gen_ai.request.seed"
STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
STREAM: Final = "gen_ai.request.stream"
TEMPERATURE: Final = "gen_ai.request.temperature"
TOP_P: Final = "gen_ai.request.top_p"

# --------------------------------------------------------------- what was answered
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

# ------------------------------------------------------------------ what went wrong
ERROR_TYPE: Final = "error.type"
STATUS_CODE: Final = "http.response.status_code"

# --------------------------------------------------------- content, if asked for
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
CAPTURE_ENV: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# ---------------------------------------------------------------- what is ours alone
ABANDONED: Final = "cerebras.stream.abandoned"
ACCEPTED_TOKENS: Final = "cerebras.usage.accepted_prediction_tokens"
ATTEMPT: Final = "cerebras.attempt"
ATTEMPTS: Final = "cerebras.attempts"
COST: Final = "cerebras.cost."
LIMITER_WAIT: Final = "cerebras.rate_limiter.wait"
RATE_LIMIT: Final = "cerebras.rate_limit."
REJECTED_TOKENS: Final = "cerebras.usage.rejected_prediction_tokens"
REQUEST_ID: Final = "cerebras.request.id"
REQUEST_TIER: Final = "cerebras.request.service_tier"
RESPONSE_TIER: Final = "cerebras.response.service_tier"
RETRY: Final = "cerebras.retry"
RETRY_WAIT: Final = "cerebras.retry.wait"
TIME_INFO: Final = "cerebras.time_info."

# ----------------------------------------------------------------------- metrics
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - not that kind
DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"
COST_METRIC: Final = "cerebras.client.operation.cost"
UNPRICED_METRIC: Final = "cerebras.client.operation.unpriced"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - not that kind

# The bounds that the conventions recommend: powers of 4, and 10 ms doubled.
TOKEN_BOUNDS: Final = tuple(4**power for power in range(14))
SECOND_BOUNDS: Final = tuple(2**power / 100 for power in range(14))
