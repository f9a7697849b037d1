"""Parameters as the body of a request: names, overrides and what goes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext._messages_in import ModelRules
from langchain_cerebras_ext._params import (
    ALIASES,
    HEADER_PARAMS,
    Param,
    check_param,
    explain_unknown,
)
from langchain_cerebras_ext.catalog import explain_reasoning_parameter, find_model
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from langchain_cerebras_ext._deprecations import Rules

__all__ = [
    "CallOptions",
    "build_payload",
    "check_payload",
    "encode_payload",
    "model_rules",
]

# Set by LangChain, or meant for the client: never part of the body.
_NOT_SENT = frozenset(
    {"stream", "ls_structured_output_format", "structured_output_format"}
)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a call says to the client rather than to the service."""

    timeout: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    # What the caller named, where another model is called in its place.
    asked_model: str | None = None


def model_rules(model: str) -> ModelRules:
    """Return what a model takes in messages; an unknown model is not restricted."""
    card = find_model(model)
    if card is None:
        return ModelRules(model)
    return ModelRules(
        model,
        replay=card.reasoning.replay,
        images=card.capabilities.vision,
        developer=card.capabilities.developer_role is True,
    )


def build_payload(
    defaults: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    *,
    params: Mapping[str, Param],
    model: str,
    stop: Sequence[str] | None,
    stream: bool,
    stream_usage: bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    disabled: Mapping[str, Any] | None = None,
    endings: Rules | None = None,
) -> tuple[dict[str, Any], CallOptions]:
    """Return the body of a request, without its messages, and the call's options.

    A call's arguments win over the model's; `None` takes a parameter away.

    Args:
        defaults: The model's parameters, by our names.
        kwargs: The call's arguments, by our names or the API's.
        params: The rows of the endpoint's parameters.
        model: The model's id, unless the call names another.
        stop: The call's stop texts.
        stream: Whether a stream is asked for.
        stream_usage: Whether to ask for usage with `stream_options`.
        model_kwargs: Keys to send as they are.
        extra_body: Keys to send as they are; the call's own are added to them.
        disabled: Parameters to hold back: name to `None`, or to a list of values.
        endings: What to do about models and parameters that end.

    Raises:
        CerebrasInvalidRequestError: A name is unknown, a value out of range, or two
            parameters do not go together.
        ModelRetiredError: The model is served no more.
    """
    values = dict(defaults)
    extra = {**(model_kwargs or {}), **(extra_body or {})}
    options: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    seen: dict[str, str] = {}
    by_wire = {param.wire: name for name, param in params.items()}
    for given, value in kwargs.items():
        name = ALIASES.get(given) or by_wire.get(given) or given
        if name in params:
            wrong = check_param(params[name], value)
            if wrong and not (name in _CONVERTED and value is not None):
                raise CerebrasInvalidRequestError(wrong)
            if name in seen:
                msg = f"{given!r} and {seen[name]!r} are both given; they are one."
                raise CerebrasInvalidRequestError(msg)
            seen[name] = given
            values[name] = value
        elif name == "model_name":
            model = _model_of_call(value) or model
        elif name == "extra_body":
            extra.update(_mapping(name, value))
        elif name == "stream_usage":
            stream_usage = value
        elif name == "timeout":
            options["timeout"] = value
        elif name == "extra_headers":
            headers.update(_mapping(name, value))
        elif name in HEADER_PARAMS and "max_completion_tokens" in by_wire:
            wrong = check_param(HEADER_PARAMS[name], value)
            if wrong:
                raise CerebrasInvalidRequestError(wrong)
            headers[HEADER_PARAMS[name].wire] = value
        elif name not in _NOT_SENT:
            known = {*params, *ALIASES, *_CALL_ONLY}
            raise CerebrasInvalidRequestError(_explain(given, known))
    if stop is not None:
        wrong = check_param(params["stop"], stop)
        if wrong:
            raise CerebrasInvalidRequestError(wrong)
        values["stop"] = stop
    if not values.get("stop"):
        values.pop("stop", None)
    values = {name: value for name, value in values.items() if value is not None}
    _convert(values)
    _hold_back(values, disabled)
    asked, is_public = model, False
    if endings is not None:
        model = endings.at_call(model)
        is_public = endings.is_public
    check_payload(values, model, stream=stream, is_public=is_public)
    body: dict[str, Any] = {"model": model}
    for name, value in values.items():
        body[params[name].wire] = value
    if stream:
        body["stream"] = True
        if stream_usage:
            body.setdefault("stream_options", {"include_usage": True})
    else:
        body.pop("stream_options", None)
    body.update(extra)
    _check_stream({"n": body.get("n")}, stream=stream)
    if endings is not None and "max_completion_tokens" in by_wire:
        endings.parameters(body, "chat")
    return body, CallOptions(headers=headers, asked_model=asked, **options)


def encode_payload(payload: Mapping[str, Any], *, form: str = "json") -> bytes:
    """Return the body of a request as it is sent, in JSON or MessagePack.

    Raises:
        CerebrasInvalidRequestError: It holds something that JSON has no form for.
    """
    try:
        if form == "msgpack":
            return msgspec.msgpack.encode(payload)
        return msgspec.json.encode(payload)
    except UnicodeEncodeError as error:
        msg = (
            "The request holds half a surrogate pair, which UTF-8 cannot encode: "
            f"{error.reason}. Read files with errors='replace'."
        )
        raise CerebrasInvalidRequestError(msg) from error
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The request holds a value that is no JSON: {error}"
        raise CerebrasInvalidRequestError(msg) from error


_CALL_ONLY = {"extra_body", "extra_headers", "timeout", *HEADER_PARAMS}
_CONSTRUCTOR_ONLY = {
    "api_key",
    "base_url",
    "cache",
    "cerebras_api_base",
    "cerebras_api_key",
    "cerebras_proxy",
    "coalesce_stream",
    "connect_timeout",
    "custom_get_token_ids",
    "default_headers",
    "default_query",
    "disable_streaming",
    "disabled_params",
    "http_async_client",
    "http_client",
    "http_socket_options",
    "include_response_headers",
    "max_retries",
    "model_kwargs",
    "output_version",
    "payload_compression",
    "payload_format",
    "profile",
    "rate_limiter",
    "request_timeout",
    "retry_policy",
    "stream_chunk_timeout",
    "streaming",
    "tiktoken_model_name",
    "total_timeout",
    "verbose",
}


def _explain(name: str, known: set[str]) -> str:
    if name in _CONSTRUCTOR_ONLY:
        return (
            f"{name!r} belongs to the constructor and cannot be given to a call; "
            f"a call takes timeout, extra_headers and extra_body."
        )
    return explain_reasoning_parameter(name) or explain_unknown(name, known)


def _model_of_call(value: Any) -> str:
    if value is None or isinstance(value, str):
        return strip_provider((value or "").strip())
    msg = f"model={value!r} is a {type(value).__name__}; it takes str."
    raise CerebrasInvalidRequestError(msg)


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is None or isinstance(value, Mapping):
        return value or {}
    msg = f"{name}={value!r} is a {type(value).__name__}; it takes a mapping."
    raise CerebrasInvalidRequestError(msg)


_CONVERTED = {"tools", "tool_choice", "response_format", "prediction"}


def _convert(values: dict[str, Any]) -> None:
    """Bring tools, choices and schemas into the API's form."""
    tools = values.get("tools")
    if tools is not None and not tools:
        values.pop("tools")  # an empty list is refused by the API
        tools = None
    if not tools:
        values.pop("parallel_tool_calls", None)  # it says something about tools
    if tools:
        from langchain_cerebras_ext._tools import convert_tools

        values["tools"] = convert_tools(tools)  # a few microseconds where known
    choice = values.get("tool_choice")
    if choice is not None and not (choice in ("auto", "none", "required") and tools):
        from langchain_cerebras_ext._tools import normalise_tool_choice

        chosen = normalise_tool_choice(choice, values.get("tools") or [])
        values.pop("tool_choice")
        if chosen is not None:
            values["tool_choice"] = chosen
    response_format = values.get("response_format")
    if response_format is not None and not _is_wire_format(response_format):
        from langchain_cerebras_ext._schema import response_format_for

        values["response_format"] = response_format_for(response_format, strict=None)
    if values.get("response_format") == {"type": "text"}:
        values.pop("response_format")  # the default; beside tools it is refused
    if isinstance(values.get("prediction"), str):
        values["prediction"] = {"type": "content", "content": values["prediction"]}


_FORMATS = ("text", "json_object", "json_schema")
_JSON_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def _is_wire_format(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    kind = value.get("type")
    if isinstance(kind, str) and kind not in {*_FORMATS, *_JSON_TYPES, "function"}:
        msg = (
            f"response_format of type {kind!r} is not one of "
            f"{', '.join(map(repr, _FORMATS))}."
        )
        raise CerebrasInvalidRequestError(msg)
    return kind in _FORMATS


def _hold_back(values: dict[str, Any], disabled: Mapping[str, Any] | None) -> None:
    for name, held in (disabled or {}).items():
        if name in values and (
            held is None or values[name] == held or _in(values[name], held)
        ):
            del values[name]


def _in(value: Any, held: Any) -> bool:
    return isinstance(held, (list, tuple, set)) and value in held


# ---------------------------------------------------------------- what goes together


def check_payload(
    values: dict[str, Any], model: str, *, stream: bool, is_public: bool = False
) -> None:
    """Refuse combinations that the service refuses, before anything is sent.

    What a model can do is catalog data; models that the catalog does not know are not
    restricted.

    Args:
        values: Parameters that are set, by our names; a redundant
            `parallel_tool_calls` is taken out.
        model: The model's id.
        stream: Whether a stream is asked for.
        is_public: Whether the public service is called; what a dedicated endpoint or
            another server allows is not in the catalog.

    Raises:
        CerebrasInvalidRequestError: Two parameters do not go together.
        UnsupportedFeatureError: The model does not offer what is asked.
    """
    _check_rules(values, stream=stream)
    if is_public and values.get("max_tokens"):
        _check_length(values["max_tokens"], model)
    if not _MODEL_MATTERS.isdisjoint(values):
        _check_model(values, model)


def _check_length(tokens: int, model: str) -> None:
    card = find_model(model)
    most = card.limits("developer").max_output_tokens if card else None
    if most is not None and tokens > most:
        msg = (
            f"max_tokens={tokens:,} is more than {model} writes at once: {most:,}. If "
            "the service has raised it since the catalog was checked, send it as "
            "extra_body={'max_completion_tokens': ...}."
        )
        raise CerebrasInvalidRequestError(msg)


_MODEL_MATTERS = {
    "reasoning_effort",
    "reasoning_format",
    "disable_reasoning",
    "prediction",
    "tools",
    "tool_choice",
    "response_format",
    "parallel_tool_calls",
}


def _check_rules(values: Mapping[str, Any], *, stream: bool) -> None:
    if values.get("top_logprobs") and not values.get("logprobs"):
        msg = "top_logprobs needs logprobs=True."
        raise CerebrasInvalidRequestError(msg)
    _check_stream(values, stream=stream)
    prediction = values.get("prediction")
    if isinstance(prediction, Mapping) and "content" not in prediction:
        msg = (
            'prediction has no "content"; pass the expected text, or '
            '{"type": "content", "content": "..."}.'
        )
        raise CerebrasInvalidRequestError(msg)
    if "prediction" in values:
        for name, clashes in (
            ("tools", bool(values.get("tools"))),
            ("logprobs", bool(values.get("logprobs"))),
            ("n", (values.get("n") or 1) > 1),
        ):
            if clashes:
                msg = f"prediction does not go together with {name}; leave one out."
                raise CerebrasInvalidRequestError(msg)
    asked = values.get("response_format")
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if isinstance(asked, Mapping) and kind not in _FORMATS:
        msg = (
            f"response_format has the type {kind!r}; the API takes "
            f"{', '.join(map(repr, _FORMATS))}."
        )
        raise CerebrasInvalidRequestError(msg)
    if values.get("reasoning_format") == "raw" and kind in {
        "json_object",
        "json_schema",
    }:
        msg = (
            f"reasoning_format='raw' puts reasoning into the content and does not go "
            f"together with response_format {kind!r}; use 'parsed' or 'hidden'."
        )
        raise CerebrasInvalidRequestError(msg)


def _check_stream(values: Mapping[str, Any], *, stream: bool) -> None:
    """Refuse several answers in a stream; they would run into one."""
    number = values.get("n")
    if stream and isinstance(number, int) and number > 1:
        msg = (
            f"n={number} cannot be streamed: a stream carries one answer. Use "
            "invoke or generate, or n=1."
        )
        raise UnsupportedFeatureError(msg)


def _check_model(values: dict[str, Any], model: str) -> None:
    card = find_model(model)
    if card is None:
        return
    able, reasoning = card.capabilities, card.reasoning
    effort = values.get("reasoning_effort")
    if values.get("disable_reasoning") and reasoning.can_disable is False:
        msg = (
            f"disable_reasoning=True: {model} always reasons. Use "
            f"reasoning_effort={_best(reasoning.efforts)!r} to keep it short."
        )
        raise UnsupportedFeatureError(msg)
    if effort is not None and reasoning.accepts_effort(effort) is False:
        takes = ", ".join(map(repr, (reasoning.efforts or ())))
        msg = (
            f"reasoning_effort={effort!r} is not taken by {model}; "
            f"it takes {takes or 'none at all, as it does not reason'}."
        )
        raise UnsupportedFeatureError(msg)
    shape = values.get("reasoning_format")
    if shape is not None and reasoning.accepts_format(shape) is False:
        takes = ", ".join(map(repr, (reasoning.formats or ())))
        msg = (
            f"reasoning_format={shape!r} is not taken by {model}; "
            f"it takes {takes or 'none at all, as it does not reason'}."
        )
        raise UnsupportedFeatureError(msg)
    if "prediction" in values and able.predicted_outputs is False:
        msg = f"prediction is not supported by {model}; leave it out."
        raise UnsupportedFeatureError(msg)
    _check_tools(values, model, able)


def _check_tools(values: dict[str, Any], model: str, able: Any) -> None:
    if not values.get("tools"):
        return
    if able.tools is False:
        msg = f"{model} does not call tools; see profile['tool_calling']."
        raise UnsupportedFeatureError(msg)
    if able.parallel_tool_calls is False and not values.get("parallel_tool_calls"):
        # It never calls in parallel, and some such models refuse to be told.
        values.pop("parallel_tool_calls", None)
    choice = values.get("tool_choice")
    if able.forced_tool_choice is False and choice not in (None, "auto", "none"):
        msg = (
            f"tool_choice={choice!r}: {model} cannot be forced to call a tool; use "
            "'auto'."
        )
        raise UnsupportedFeatureError(msg)
    asked = values.get("response_format")
    if able.tools_with_response_format is False and isinstance(asked, Mapping):
        kind = asked.get("type")
        if kind in {"json_object", "json_schema"}:
            msg = (
                f"{model} does not take tools together with response_format {kind!r}. "
                "Use with_structured_output(..., method='function_calling'), or "
                "create_agent(response_format=ToolStrategy(Schema))."
            )
            raise UnsupportedFeatureError(msg)


def _best(efforts: Sequence[str] | None) -> str:
    return efforts[0] if efforts else "low"
