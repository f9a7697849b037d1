"""The request's parameters: names, types and ranges, one row each.

The constructor's fields and a call's keyword arguments are checked by the same rows.

Source: the API's OpenAPI description of 2026-07, chat completions and completions.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ALIASES",
    "CHAT_PARAMS",
    "CLIENT_PARAMS",
    "COMPLETION_PARAMS",
    "HEADER_PARAMS",
    "Param",
    "check_param",
    "explain_unknown",
]


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the API.

    Attributes:
        field: Our name, LangChain's where it has one.
        wire: The API's name.
        kind: The Python types it takes; a bool is not a number.
        low: Smallest value.
        high: Largest value.
        choices: The values it takes, where they are few.
        note: What else the API demands.
    """

    field: str
    wire: str
    kind: tuple[type, ...]
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    note: str = ""


_NUMBER = (int, float)


def _table(*rows: Param) -> dict[str, Param]:
    return {row.field: row for row in rows}


_SHARED = _table(
    Param("temperature", "temperature", _NUMBER, 0, 2),
    Param("top_p", "top_p", _NUMBER, 0, 1),
    Param("frequency_penalty", "frequency_penalty", _NUMBER, -2, 2),
    Param("presence_penalty", "presence_penalty", _NUMBER, -2, 2),
    Param("logit_bias", "logit_bias", (Mapping,)),
    Param("n", "n", (int,), 1),
    Param("seed", "seed", (int,)),
    Param("stop", "stop", (str, list, tuple)),
    Param("stream_options", "stream_options", (Mapping,)),
    Param("user", "user", (str,)),
    Param("prompt_cache_key", "prompt_cache_key", (str,)),
)

CHAT_PARAMS: dict[str, Param] = {
    **_SHARED,
    **_table(
        Param("max_tokens", "max_completion_tokens", (int,), -1),
        Param("min_tokens", "min_completion_tokens", (int,), -1),
        Param("logprobs", "logprobs", (bool,)),
        Param("top_logprobs", "top_logprobs", (int,), 0, 20),
        Param("response_format", "response_format", (Mapping,)),
        Param("tools", "tools", (list, tuple)),
        Param("tool_choice", "tool_choice", (str, Mapping)),
        Param("parallel_tool_calls", "parallel_tool_calls", (bool,)),
        Param(
            "reasoning_effort",
            "reasoning_effort",
            (str,),
            choices=("none", "low", "medium", "high"),
        ),
        Param(
            "reasoning_format",
            "reasoning_format",
            (str,),
            choices=("none", "parsed", "text_parsed", "raw", "hidden"),
        ),
        Param("disable_reasoning", "disable_reasoning", (bool,)),
        Param("clear_thinking", "clear_thinking", (bool,)),
        Param("prediction", "prediction", (Mapping,)),
        Param(
            "service_tier",
            "service_tier",
            (str,),
            choices=("auto", "default", "flex", "priority"),
        ),
        Param("model_parameters", "model_parameters", (Mapping,)),
    ),
}
"""Parameters of `/v1/chat/completions`, by our name."""

COMPLETION_PARAMS: dict[str, Param] = {
    **_SHARED,
    **_table(
        Param("max_tokens", "max_tokens", (int,), -1),
        Param("min_tokens", "min_tokens", (int,), -1),
        Param("logprobs", "logprobs", (int,), 0, 20),
        Param("best_of", "best_of", (int,), 0, 20),
        Param("echo", "echo", (bool,)),
        Param("grammar_root", "grammar_root", (str,)),
        Param("return_raw_tokens", "return_raw_tokens", (bool,)),
    ),
}
"""Parameters of `/v1/completions`, by our name."""

HEADER_PARAMS: dict[str, Param] = _table(
    Param("queue_threshold", "queue_threshold", (int,), 50, 20_000),
    Param("api_version_patch", "x-cerebras-version-patch", (int,), 1),
)
"""Parameters that the API takes as headers, by our name."""

CLIENT_PARAMS: dict[str, Param] = {
    **HEADER_PARAMS,
    **_table(Param("max_retries", "", (int,), 0)),
}
"""Numbers of the constructor that are no part of a body, by name."""

ALIASES = {
    "model": "model_name",
    "max_completion_tokens": "max_tokens",
    "min_completion_tokens": "min_tokens",
    "stop_sequences": "stop",
}
"""Other names that are taken for ours."""

_MAX_STOPS = 4
_MAX_BIASES = 100
_MAX_BIAS = 100
_MAX_CACHE_KEY = 1024

# What users of other providers type, and what it is called here.
_ELSEWHERE = {
    "thinking_budget": "reasoning_effort (none, low, medium, high)",
    "thinking": "reasoning_effort, and clear_thinking for zai-glm-4.7",
    "budget_tokens": "reasoning_effort (none, low, medium, high)",
    "include_thoughts": "reasoning_format ('parsed' or 'hidden')",
    "reasoning_content": (
        "reasoning_format; reasoning arrives in "
        "additional_kwargs['reasoning_content'] by itself"
    ),
    "enable_thinking": "reasoning_effort ('none' switches it off)",
    "max_output_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "maxTokens": "max_tokens",
    "num_predict": "max_tokens",
    "max_length": "max_tokens",
    "stop_words": "stop",
    "functions": "tools, or bind_tools(...)",
    "function_call": "tool_choice",
    "format": "response_format, or with_structured_output(...)",
    "organization": "none: the key names the organisation",
    "cerebras_api_url": "base_url",
    "endpoint": "base_url",
    "headers": "default_headers",
    "extra_headers": "default_headers",
    "top_k": "none: the Cerebras API does not take it",
    "min_p": "none: the Cerebras API does not take it",
    "repetition_penalty": "frequency_penalty or presence_penalty",
    "store": "none: the Cerebras API does not take it",
    "modalities": "none: answers are text",
    "num_ctx": "none: the model's window is fixed; see the profile",
}


def explain_unknown(name: str, known: Iterable[str]) -> str:
    """Return what to say of a name that is not ours: its counterpart or the nearest."""
    if name in _ELSEWHERE:
        ours, _, why = _ELSEWHERE[name].partition("none: ")
        if not ours:
            return f"{name!r} is not a parameter here: {why}."
        return f"{name!r} is not a parameter here; use {_ELSEWHERE[name]}."
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"{name!r} is not a parameter of this class or the Cerebras API.{hint} A new "
        "API parameter can be sent with extra_body={...}."
    )


def check_param(param: Param, value: Any) -> str | None:
    """Return what is wrong with a value, or `None`.

    Args:
        param: The row of the parameter.
        value: What was given; `None` is "not set" and always right.
    """
    if value is None:
        return None
    name = param.field
    wrong_bool = isinstance(value, bool) and bool not in param.kind
    if wrong_bool or not isinstance(value, param.kind):
        kinds = " or ".join(sorted(kind.__name__.lower() for kind in param.kind))
        return f"{name}={value!r} is a {type(value).__name__}; it takes {kinds}."
    if isinstance(value, _NUMBER) and not (param.low is None and param.high is None):
        low, high = param.low, param.high
        if (low is not None and value < low) or (high is not None and value > high):
            span = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            who = "the API takes" if param.wire else "take"
            return f"{name}={value!r} is out of range: {who} {span}."
        if value != value:  # noqa: PLR0124 - NaN
            return f"{name}={value!r} is not a number the API takes."
    if param.choices and value not in param.choices:
        near = difflib.get_close_matches(str(value), param.choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"{name}={value!r} is not one of {', '.join(map(repr, param.choices))}."
            f"{hint}"
        )
    return _check_special(name, value)


def _check_special(name: str, value: Any) -> str | None:
    if name == "stop":
        stops = [value] if isinstance(value, str) else list(value)
        if any(not isinstance(stop, str) for stop in stops):
            return f"stop={value!r} has an item that is no text."
        if len(stops) > _MAX_STOPS:
            return f"stop has {len(stops)} sequences; the API takes {_MAX_STOPS}."
    elif name == "logit_bias":
        if len(value) > _MAX_BIASES:
            return f"logit_bias has {len(value)} entries; the API takes {_MAX_BIASES}."
        for token, bias in value.items():
            if not isinstance(bias, _NUMBER) or not abs(bias) <= _MAX_BIAS:
                return (
                    f"logit_bias[{token!r}]={bias!r} is out of range: the API takes "
                    f"-{_MAX_BIAS} to {_MAX_BIAS}."
                )
    elif name == "prompt_cache_key" and len(value) > _MAX_CACHE_KEY:
        return (
            f"prompt_cache_key has {len(value)} characters; the API takes "
            f"{_MAX_CACHE_KEY}."
        )
    return None
