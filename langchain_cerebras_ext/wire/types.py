"""The API's JSON, as it stands on the wire.

Every type is a `TypedDict`: a plain dict at run time, so nothing is copied or
validated. Keys stand in the order in which the service sends them. In answers a key
without a value is **left out** rather than sent as null, hence `NotRequired`; where
null was seen or is in the vendor's schema, the type says `| None`. The request schema
is closed: one key more than these and the service answers 400.

Token counts are ints, times are floats in seconds, epochs are seconds since 1970.

Source: the vendor's OpenAPI files of 2026-07-08, its SDK 1.91.0, and recorded traffic
of 2025-05 to 2026-09.
"""

# No `from __future__ import annotations`: as text, `NotRequired` goes unseen, and
# `__required_keys__` would be wrong for whoever checks bodies by these types.
import sys
from typing import Any, Literal, NotRequired, Required, TypeAlias

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    # Pydantic refuses `typing.TypedDict` before 3.12; it brings this one itself.
    from typing_extensions import TypedDict

__all__ = [
    "AssistantMessageParam",
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchInputLine",
    "BatchList",
    "BatchOutputLine",
    "BatchOutputResponse",
    "BatchRequest",
    "BatchRequestCounts",
    "BatchStatus",
    "ChatChoice",
    "ChatChunkChoice",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatRequest",
    "Completion",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionLogprobs",
    "CompletionRequest",
    "CompletionTokensDetails",
    "ContentPart",
    "Delta",
    "DetailError",
    "DeveloperMessageParam",
    "ErrorBody",
    "ErrorDetail",
    "FileDeleted",
    "FileList",
    "FileObject",
    "FlatError",
    "FlatStreamError",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "FunctionName",
    "HuggingFaceCapabilities",
    "HuggingFaceModel",
    "HuggingFaceModelList",
    "HuggingFacePricing",
    "ImagePart",
    "ImageUrl",
    "ImageUrlPart",
    "JsonSchemaFormat",
    "Logprobs",
    "MessageParam",
    "Model",
    "ModelArchitecture",
    "ModelCapabilities",
    "ModelLimits",
    "ModelList",
    "ModelPricing",
    "ModelSupportedParameters",
    "NamedToolChoice",
    "OpenRouterDatacenter",
    "OpenRouterModel",
    "OpenRouterModelList",
    "OpenRouterPricing",
    "OpenRouterSlug",
    "Prediction",
    "PromptTokensDetails",
    "PublicModel",
    "PublicModelList",
    "ReasoningEffort",
    "ReasoningFormat",
    "ResponseFormat",
    "ResponseFormatJsonObject",
    "ResponseFormatJsonSchema",
    "ResponseFormatText",
    "ResponseMessage",
    "ServiceTier",
    "StreamOptions",
    "SystemMessageParam",
    "TextPart",
    "TimeInfo",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallParam",
    "ToolChoice",
    "ToolMessageParam",
    "TopLogprob",
    "Usage",
    "UserMessageParam",
    "ValidationDetail",
    "WrappedError",
]

ReasoningEffort: TypeAlias = Literal["none", "low", "medium", "high"]
"""How much a model reasons; each model takes some of these only."""

ReasoningFormat: TypeAlias = Literal["none", "parsed", "text_parsed", "raw", "hidden"]
"""Where reasoning stands in the answer; `none` is the model's own default."""

ServiceTier: TypeAlias = Literal["auto", "default", "flex", "priority"]
"""Which queue a request waits in (Private Preview)."""

BatchStatus: TypeAlias = Literal[
    "validating",
    "queued",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "failed",
    "cancelled",
    "cancelling",
]
"""Where a batch stands."""

# ------------------------------------------------------------- messages of a request


class TextPart(TypedDict):
    """A piece of text in a message's content."""

    type: Literal["text"]
    text: str


class ImageUrl(TypedDict):
    """An image, as a data URI; `https` addresses are refused."""

    url: str
    """`data:image/{png|jpeg};base64,...`; 10 MB and 5 images a request, shared tier."""
    detail: NotRequired[str | None]


class ImageUrlPart(TypedDict):
    """An image in a user's turn, the documented form."""

    type: Literal["image_url"]
    image_url: ImageUrl


class ImagePart(TypedDict):
    """An image, in a form that only the server's schema names."""

    type: Literal["image"]
    image: str


ContentPart: TypeAlias = TextPart | ImageUrlPart | ImagePart
"""A part of a system, developer or user message."""


class SystemMessageParam(TypedDict):
    """Instructions that stand above the conversation."""

    role: Literal["system"]
    content: str | list[ContentPart]
    name: NotRequired[str | None]


class DeveloperMessageParam(TypedDict):
    """Instructions as gpt-oss-120b names them; takes the place of `system`."""

    role: Literal["developer"]
    content: str | list[ContentPart]
    name: NotRequired[str | None]


class UserMessageParam(TypedDict):
    """A turn of the user; the only one in which images are documented."""

    role: Literal["user"]
    content: str | list[ContentPart]
    name: NotRequired[str | None]


class FunctionCall(TypedDict):
    """A function's name and its arguments."""

    name: str
    arguments: str
    """A JSON object, as text."""


class ToolCallParam(TypedDict):
    """A tool call of an earlier turn, sent back."""

    id: str
    type: Literal["function"]
    function: FunctionCall
    index: NotRequired[int | None]


class AssistantMessageParam(TypedDict):
    """An earlier turn of the model.

    The key is `reasoning`; `reasoning_content` is refused. GLM and Qwen expect earlier
    reasoning inside `content`, between `<think>` and `</think>`.
    """

    role: Literal["assistant"]
    content: NotRequired[str | list[TextPart] | None]
    reasoning: NotRequired[str | list[TextPart] | None]
    tool_calls: NotRequired[list[ToolCallParam] | None]
    name: NotRequired[str | None]


class ToolMessageParam(TypedDict):
    """What a tool answered.

    Version 2 of the API checks that each call is answered directly after its turn, by
    an id that this turn made.
    """

    role: Literal["tool"]
    content: str | list[TextPart]
    tool_call_id: str
    name: NotRequired[str | None]


MessageParam: TypeAlias = (
    SystemMessageParam
    | DeveloperMessageParam
    | UserMessageParam
    | AssistantMessageParam
    | ToolMessageParam
)
"""A message of a request."""

# ------------------------------------------------------------------- tools and formats


class FunctionDefinition(TypedDict):
    """A function that the model may call."""

    name: str
    """Letters, digits, `_` and `-`; at most 64 characters."""
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    """JSON Schema of the arguments, an object."""
    strict: NotRequired[bool]
    """Default false; must be equal on all tools of a request."""


class Tool(TypedDict):
    """A tool of a request; functions are the only kind."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(TypedDict):
    """The function that a `NamedToolChoice` demands."""

    name: str


class NamedToolChoice(TypedDict):
    """Demands that one function be called."""

    type: Literal["function"]
    function: FunctionName


ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedToolChoice
"""Whether the model calls tools; `auto` is the default when there are tools."""


class ResponseFormatText(TypedDict):
    """Plain text, the default."""

    type: Literal["text"]


class ResponseFormatJsonObject(TypedDict):
    """JSON mode: the prompt must ask for JSON; not together with `stream`."""

    type: Literal["json_object"]


class JsonSchemaFormat(TypedDict):
    """A schema for the answer."""

    name: str
    description: NotRequired[str | None]
    schema: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]
    """True constrains decoding, and limits what the schema may hold."""


class ResponseFormatJsonSchema(TypedDict):
    """An answer that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat: TypeAlias = (
    ResponseFormatText | ResponseFormatJsonObject | ResponseFormatJsonSchema
)
"""What the answer's content looks like."""


class Prediction(TypedDict):
    """Text that the answer is expected to repeat (Public Preview).

    Not together with `tools`, `logprobs` or `n` above 1. Rejected tokens are billed as
    output.
    """

    type: Literal["content"]
    content: str | list[TextPart]


class StreamOptions(TypedDict, total=False):
    """Options of a stream; usage comes without them, too."""

    include_usage: bool | None


class ChatRequest(TypedDict, total=False):
    """The body of POST `/v1/chat/completions`."""

    model: Required[str]
    messages: Required[list[MessageParam]]
    """At least one."""
    max_completion_tokens: int | None
    """Visible and reasoning tokens; from -1, which is the model's limit. The rate
    limiter reserves this many when it admits the request."""
    max_tokens: int | None
    """The deprecated name of `max_completion_tokens`."""
    min_completion_tokens: int | None
    """From -1; 0 leaves it to the model, -1 is the longest sequence."""
    min_tokens: int | None
    """As `min_completion_tokens`."""
    temperature: float | None
    """0 to 2, default 1."""
    top_p: float | None
    """0 to 1, default 1."""
    frequency_penalty: float | None
    """-2 to 2, default 0."""
    presence_penalty: float | None
    """-2 to 2, default 0."""
    logit_bias: dict[str, float] | None
    """Token id to -100..100, at most 100 entries; measured without effect, 2026-08."""
    logprobs: bool | None
    top_logprobs: int | None
    """0 to 20; needs `logprobs`."""
    n: int | None
    """From 1, default 1; every choice is billed."""
    stop: str | list[str] | None
    """At most four; the stop text is not returned."""
    seed: int | None
    """Best effort."""
    stream: bool | None
    stream_options: StreamOptions | None
    response_format: ResponseFormat | None
    tools: list[Tool] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    """Default true."""
    reasoning_effort: ReasoningEffort | None
    reasoning_format: ReasoningFormat | None
    disable_reasoning: bool | None
    """Not supported after 2026-07-21: `reasoning_effort="none"` does it."""
    clear_thinking: bool | None
    """zai-glm-4.7 only: false keeps the thinking of earlier turns in the prompt."""
    prediction: Prediction | None
    service_tier: ServiceTier | None
    prompt_cache_key: str | None
    """At most 1024 characters; routes equal prefixes to the same cache."""
    user: str | None
    """An end user's id, for the monitoring of abuse."""
    model_parameters: dict[str, Any] | None
    """Keys of one model; refused for models that declare none."""


# -------------------------------------------------------------------- parts of answers


class PromptTokensDetails(TypedDict, total=False):
    """Parts of `prompt_tokens`."""

    cached_tokens: int | None
    """Read from the prompt cache, in blocks of 128."""
    image_tokens: int | None
    """Vision models, here since 2026-08; before that directly in `Usage`."""


class CompletionTokensDetails(TypedDict, total=False):
    """Parts of `completion_tokens`."""

    accepted_prediction_tokens: int | None
    rejected_prediction_tokens: int | None
    reasoning_tokens: int | None


class Usage(TypedDict, total=False):
    """Token counts of a call."""

    image_tokens: int | None
    """Vision models in 2026-07; see `PromptTokensDetails`."""
    total_tokens: int | None
    completion_tokens: int | None
    """Reasoning tokens included."""
    completion_tokens_details: CompletionTokensDetails | None
    prompt_tokens: int | None
    """Cached and image tokens included."""
    prompt_tokens_details: PromptTokensDetails | None


class TimeInfo(TypedDict, total=False):
    """Where a call's time went on the server, in seconds."""

    created: float | None
    """Epoch; an integer until 2025-08."""
    queue_time: float | None
    prompt_time: float | None
    completion_time: float | None
    total_time: float | None
    """More than the sum of the others, mostly by 1 to 15 ms."""


class TopLogprob(TypedDict):
    """A token that was likely at a place."""

    token: str
    logprob: float
    bytes: NotRequired[list[int] | None]
    """The token's UTF-8 bytes; a token may be part of a character."""


class TokenLogprob(TopLogprob):
    """A token that was chosen, and what else was likely."""

    top_logprobs: NotRequired[list[TopLogprob]]


class Logprobs(TypedDict, total=False):
    """Log probabilities of an answer, or of its reasoning."""

    content: list[TokenLogprob] | None
    refusal: list[TokenLogprob] | None


class ToolCall(TypedDict):
    """A call that the model makes, whole."""

    function: FunctionCall
    type: Literal["function"]
    id: str
    """Nine hexadecimal characters, as recorded."""
    index: NotRequired[int | None]
    """In streams only."""


class ResponseMessage(TypedDict):
    """The model's message."""

    content: NotRequired[str | None]
    reasoning: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    role: Literal["assistant"]


class ChatChoice(TypedDict):
    """One of `n` answers."""

    finish_reason: NotRequired[str | None]
    """`stop`, `length`, `tool_calls`, `content_filter`; others may come."""
    index: int
    message: ResponseMessage
    logprobs: NotRequired[Logprobs | None]
    reasoning_logprobs: NotRequired[Logprobs | None]
    """With `reasoning_format="parsed"`."""


class ChatCompletion(TypedDict):
    """The answer of POST `/v1/chat/completions`, not streamed."""

    id: str
    """`chatcmpl-` and a UUID; the header `inference-id` holds the same."""
    choices: list[ChatChoice]
    created: int
    """Epoch, seconds."""
    model: str
    """The canonical id, also where an alias was asked for."""
    system_fingerprint: NotRequired[str]
    object: Literal["chat.completion"]
    usage: NotRequired[Usage | None]
    time_info: NotRequired[TimeInfo | None]
    service_tier: NotRequired[str | None]
    """In the schema; not observed."""
    service_tier_used: NotRequired[str | None]
    """Documented for `service_tier="auto"`; not observed."""


# ---------------------------------------------------------------------- chat, streamed


class FunctionCallDelta(TypedDict, total=False):
    """A fragment of a call."""

    name: str | None
    """In the first fragment only."""
    arguments: str | None
    """More text of the JSON object."""


class ToolCallDelta(TypedDict):
    """A tool call, or a fragment of one.

    gpt-oss-120b sends name and id first and the arguments in fragments; zai-glm-4.7
    sends whole calls.
    """

    function: FunctionCallDelta
    type: NotRequired[Literal["function"] | None]
    id: NotRequired[str | None]
    """In the first fragment only."""
    index: NotRequired[int | None]
    """Which of several calls this belongs to."""


class Delta(TypedDict, total=False):
    """What a chunk adds to the message; `{}` in the last one."""

    role: str | None
    """Alone, in the first chunk."""
    reasoning: str | None
    content: str | None
    tool_calls: list[ToolCallDelta] | None
    tokens: list[int] | None
    """Deprecated."""


class ChatChunkChoice(TypedDict):
    """A choice of a chunk."""

    delta: NotRequired[Delta | None]
    finish_reason: NotRequired[str | None]
    """In the last chunk only."""
    index: int
    logprobs: NotRequired[Logprobs | None]
    reasoning_logprobs: NotRequired[Logprobs | None]
    text: NotRequired[str | None]
    """Deprecated."""
    tokens: NotRequired[list[int] | None]
    """Deprecated."""


class ChatCompletionChunk(TypedDict):
    """One `data:` line of a streamed chat; the line after the last is `[DONE]`."""

    id: str
    """Equal on all chunks."""
    choices: NotRequired[list[ChatChunkChoice] | None]
    created: int
    model: str
    system_fingerprint: NotRequired[str]
    object: Literal["chat.completion.chunk"]
    usage: NotRequired[Usage | None]
    """In the last chunk."""
    time_info: NotRequired[TimeInfo | None]
    """In the last chunk."""
    service_tier: NotRequired[str | None]
    service_tier_used: NotRequired[str | None]


# ------------------------------------------------------------------- text completions


class CompletionRequest(TypedDict, total=False):
    """The body of POST `/v1/completions`."""

    model: Required[str]
    prompt: Required[str | list[str] | list[int] | list[list[int]]]
    """Text, texts, token ids, or lists of token ids."""
    best_of: int | None
    """0 to 20, default 1; above 1 not streamed."""
    echo: bool | None
    suffix: str | None
    """In the schema; refused."""
    grammar_root: str | None
    return_raw_tokens: bool | None
    """Answers `tokens` in place of `text`."""
    logprobs: int | None
    """0 to 20: how many likely tokens to tell at each place."""
    max_tokens: int | None
    min_tokens: int | None
    n: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: dict[str, float] | None
    seed: int | None
    stop: str | list[str] | None
    stream: bool | None
    stream_options: StreamOptions | None
    temperature: float | None
    top_p: float | None
    user: str | None
    prompt_cache_key: str | None
    reasoning_format: ReasoningFormat | None
    """Deprecated here."""


class CompletionLogprobs(TypedDict, total=False):
    """Log probabilities of a text completion, one entry a token."""

    text_offset: list[int] | None
    token_logprobs: list[float | None] | None
    tokens: list[str] | None
    top_logprobs: list[dict[str, float] | None] | None


class CompletionChoice(TypedDict):
    """One text."""

    index: int
    text: NotRequired[str | None]
    tokens: NotRequired[list[int] | None]
    """With `return_raw_tokens`."""
    finish_reason: NotRequired[str | None]
    logprobs: NotRequired[CompletionLogprobs | None]


class Completion(TypedDict):
    """The answer of POST `/v1/completions`, not streamed."""

    id: str
    choices: list[CompletionChoice]
    created: int
    model: str
    system_fingerprint: NotRequired[str]
    object: Literal["text_completion"]
    usage: NotRequired[Usage | None]
    time_info: NotRequired[TimeInfo | None]


class CompletionChunk(TypedDict):
    """One `data:` line of a streamed text completion."""

    id: str
    choices: NotRequired[list[CompletionChoice] | None]
    created: int
    model: str
    system_fingerprint: NotRequired[str]
    object: Literal["text_completion"]
    usage: NotRequired[Usage | None]
    time_info: NotRequired[TimeInfo | None]


# ------------------------------------------------------------------------------ models


class Model(TypedDict):
    """A row of GET `/v1/models`."""

    id: str
    object: NotRequired[Literal["model"]]
    created: NotRequired[int]
    """Epoch; 0 for all models."""
    owned_by: NotRequired[str]


class ModelList(TypedDict):
    """The answer of GET `/v1/models`: what this key may use."""

    object: NotRequired[Literal["list"]]
    data: list[Model]


class ModelPricing(TypedDict):
    """USD per token, as decimal strings."""

    prompt: str
    completion: str


class ModelCapabilities(TypedDict, total=False):
    """What a model can do."""

    streaming: bool
    function_calling: bool
    structured_outputs: bool
    vision: bool
    json_mode: bool
    tools: bool
    tool_choice: bool
    parallel_tool_calls: bool
    response_format: bool
    reasoning: bool


class ModelSupportedParameters(TypedDict, total=False):
    """Which parameters a model takes."""

    temperature: bool
    top_p: bool
    seed: bool
    stop: bool
    max_completion_tokens: bool
    logprobs: bool
    top_logprobs: bool
    frequency_penalty: bool
    presence_penalty: bool
    logit_bias: bool
    repetition_penalty: bool


class ModelArchitecture(TypedDict, total=False):
    """What a model is."""

    modality: str
    """`text`, `text+vision` or `multimodal`."""
    tokenizer: str | None
    instruct_type: str | None


class ModelLimits(TypedDict, total=False):
    """Limits of the paid tiers."""

    max_context_length: int | None
    """Tokens."""
    max_completion_tokens: int | None
    requests_per_minute: int | None
    """Null, as recorded."""
    tokens_per_minute: int | None
    """Null, as recorded."""


class PublicModel(Model):
    """A row of GET `/public/v1/models`."""

    name: NotRequired[str]
    description: NotRequired[str]
    hugging_face_id: NotRequired[str | None]
    pricing: NotRequired[ModelPricing]
    capabilities: NotRequired[ModelCapabilities]
    supported_parameters: NotRequired[ModelSupportedParameters]
    architecture: NotRequired[ModelArchitecture]
    limits: NotRequired[ModelLimits]
    datacenter_locations: NotRequired[list[str]]
    deprecated: NotRequired[bool]
    """False even 18 days before a model's end: it announces nothing."""
    preview: NotRequired[bool]
    quantization: NotRequired[str | None]


class PublicModelList(TypedDict):
    """The answer of GET `/public/v1/models`."""

    object: NotRequired[Literal["list"]]
    data: list[PublicModel]


class OpenRouterPricing(TypedDict):
    """USD per token, image or request, as decimal strings; `"0"` where not set."""

    prompt: str
    completion: str
    image: NotRequired[str]
    request: NotRequired[str]
    input_cache_read: NotRequired[str]
    """`"0"` is a placeholder here, not a price."""
    input_cache_write: NotRequired[str]


class OpenRouterDatacenter(TypedDict):
    """Where a model runs."""

    country_code: str
    """ISO 3166, two letters."""


class OpenRouterSlug(TypedDict):
    """OpenRouter's own name of a model."""

    slug: str


class OpenRouterModel(TypedDict):
    """A row of a models list with `format=openrouter`."""

    id: str
    name: str
    created: int
    context_length: int
    """Tokens."""
    max_output_length: int
    """Tokens."""
    pricing: OpenRouterPricing
    description: NotRequired[str | None]
    hugging_face_id: NotRequired[str | None]
    input_modalities: NotRequired[list[str]]
    output_modalities: NotRequired[list[str]]
    quantization: NotRequired[str | None]
    supported_features: NotRequired[list[str]]
    supported_sampling_parameters: NotRequired[list[str]]
    datacenters: NotRequired[list[OpenRouterDatacenter]]
    openrouter: NotRequired[OpenRouterSlug]


class OpenRouterModelList(TypedDict):
    """A models list with `format=openrouter`."""

    data: list[OpenRouterModel]


class HuggingFacePricing(TypedDict):
    """USD per million tokens, as numbers."""

    input: float
    output: float


class HuggingFaceCapabilities(TypedDict, total=False):
    """What a model can do, as Hugging Face asks for it."""

    function_calling: bool
    streaming: bool
    structured_outputs: bool
    vision: bool


class HuggingFaceModel(TypedDict):
    """A row of a models list with `format=huggingface`."""

    id: str
    object: NotRequired[Literal["model"]]
    created: int
    owned_by: str
    context_length: int
    """Tokens."""
    pricing: HuggingFacePricing
    capabilities: NotRequired[HuggingFaceCapabilities]
    hugging_face_id: NotRequired[str | None]


class HuggingFaceModelList(TypedDict):
    """A models list with `format=huggingface`."""

    object: NotRequired[Literal["list"]]
    data: list[HuggingFaceModel]


# ------------------------------------------------------------------- files and batches


class FileObject(TypedDict):
    """A file of the batch API."""

    id: str
    object: NotRequired[Literal["file"]]
    bytes: NotRequired[int]
    """Size; at most 200 MB."""
    created_at: NotRequired[int]
    """Epoch, seconds."""
    filename: NotRequired[str]
    purpose: NotRequired[str]
    """`batch`; what a batch wrote may say `batch_output`."""


class FileList(TypedDict):
    """The answer of GET `/v1/files`."""

    object: NotRequired[Literal["list"]]
    data: list[FileObject]
    has_more: NotRequired[bool]


class FileDeleted(TypedDict):
    """The answer of DELETE `/v1/files/{id}`."""

    id: str
    object: NotRequired[Literal["file"]]
    deleted: bool


class BatchRequest(TypedDict):
    """The body of POST `/v1/batches`."""

    input_file_id: str
    endpoint: Literal["/v1/chat/completions"]
    completion_window: Literal["24h"]
    metadata: NotRequired[dict[str, str] | None]


class BatchInputLine(TypedDict):
    """A line of a batch's input file: at most 1 MB, and 10 to 50,000 lines."""

    custom_id: str
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: ChatRequest


class BatchRequestCounts(TypedDict):
    """How far a batch is, in requests."""

    total: int
    completed: int
    failed: int


class BatchError(TypedDict, total=False):
    """Why a batch, or a line of it, failed."""

    code: str | None
    message: str | None
    param: str | None
    line: int | None
    """Line of the input file, if the error is about one."""


class BatchErrors(TypedDict, total=False):
    """What was wrong with a batch's input."""

    object: Literal["list"]
    data: list[BatchError]


class Batch(TypedDict):
    """A batch job; times are epochs in seconds, null while unset."""

    id: str
    object: NotRequired[Literal["batch"]]
    endpoint: NotRequired[str]
    errors: NotRequired[BatchErrors | None]
    input_file_id: NotRequired[str]
    completion_window: NotRequired[str]
    status: BatchStatus
    output_file_id: NotRequired[str | None]
    error_file_id: NotRequired[str | None]
    created_at: NotRequired[int | None]
    in_progress_at: NotRequired[int | None]
    expires_at: NotRequired[int | None]
    finalizing_at: NotRequired[int | None]
    completed_at: NotRequired[int | None]
    failed_at: NotRequired[int | None]
    expired_at: NotRequired[int | None]
    cancelling_at: NotRequired[int | None]
    cancelled_at: NotRequired[int | None]
    request_counts: NotRequired[BatchRequestCounts | None]
    metadata: NotRequired[dict[str, str] | None]


class BatchList(TypedDict):
    """The answer of GET `/v1/batches`."""

    object: NotRequired[Literal["list"]]
    data: list[Batch]
    first_id: NotRequired[str | None]
    last_id: NotRequired[str | None]
    has_more: NotRequired[bool]


# ------------------------------------------------------------------------------ errors


class FlatError(TypedDict):
    """The body of almost every error: without an outer `error`."""

    message: str
    type: NotRequired[str | None]
    param: NotRequired[str | None]
    code: NotRequired[str | None]


class FlatStreamError(FlatError):
    """A flat error as an event of a stream, where the HTTP status stays 200."""

    status_code: NotRequired[int]


class ErrorDetail(TypedDict, total=False):
    """The inside of a `WrappedError`; empty strings stand for no value."""

    message: str | None
    type: str | None
    param: str | None
    code: str | None
    id: str | None


class WrappedError(TypedDict):
    """A failure of the server, and the schema's error event of a stream."""

    status_code: NotRequired[int]
    """Wins over the HTTP status, which is 200 in a stream."""
    error: ErrorDetail


class ValidationDetail(TypedDict, total=False):
    """One complaint of the former 422."""

    loc: list[str | int]
    msg: str
    type: str


class DetailError(TypedDict):
    """What the gateway answers, such as a 403 without credentials."""

    detail: str | list[ValidationDetail]


ErrorBody: TypeAlias = FlatError | FlatStreamError | WrappedError | DetailError
"""Any error body or error event."""


class BatchOutputResponse(TypedDict):
    """The answer to one line of a batch."""

    status_code: int
    request_id: NotRequired[str | None]
    body: ChatCompletion | FlatError | WrappedError


class BatchOutputLine(TypedDict):
    """A line of a batch's output or error file."""

    id: NotRequired[str]
    custom_id: str
    response: NotRequired[BatchOutputResponse | None]
    error: NotRequired[BatchError | None]
