"""From a call's record to the attributes of its span and its measurements; no I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext._otel import names
from langchain_cerebras_ext.errors import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_cerebras_ext._observe import CallRecord
    from langchain_cerebras_ext.errors import FailedAttempt

__all__ = [
    "clean",
    "error_text",
    "error_type",
    "identity",
    "measured_attributes",
    "request_attributes",
    "response_attributes",
    "retry_attributes",
    "token_counts",
]

_PORTS = {"http": 80, "https": 443}
_MAX_ERROR_CHARS = 1000
_TIMES = ("queue_time", "prompt_time", "completion_time", "total_time")
# A fixed set of names: a server must not be able to make up attributes of ours.
_HEAD_ROOM = re.compile(
    r"x-ratelimit-((?:limit|remaining|reset)-(?:(?:uncached|total|input|output)-)?"
    r"(?:requests|tokens)(?:-(?:second|minute|hour|day))?)"
)


def identity(record: CallRecord) -> dict[str, Any]:
    """Return what tells calls apart before they are sent: samplers may go by it."""
    found: dict[str, Any] = {
        names.OPERATION: record.operation,
        names.PROVIDER_NAME: names.PROVIDER,
    }
    if record.model:
        found[names.REQUEST_MODEL] = record.model
    url = urlsplit(record.url)
    if url.hostname:
        found[names.SERVER_ADDRESS] = url.hostname
        found[names.SERVER_PORT] = url.port or _PORTS.get(url.scheme, 443)
    return found


# ------------------------------------------------------------ what was asked for


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    counts = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if counts else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str] | None:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        return None
    return [text for text in listed if isinstance(text, str)] or None


def _choices(value: Any) -> int | None:
    return None if value == 1 else _whole(value)


def _output_type(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in {"json_object", "json_schema"}:
        return "json"
    return "text" if kind == "text" else None


_PARAMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "frequency_penalty": (names.FREQUENCY_PENALTY, _number),
    "max_tokens": (names.MAX_TOKENS, _whole),
    "max_completion_tokens": (names.MAX_TOKENS, _whole),  # wins over the old name
    "n": (names.CHOICE_COUNT, _choices),
    "presence_penalty": (names.PRESENCE_PENALTY, _number),
    "reasoning_effort": (names.REASONING_LEVEL, _text),
    "response_format": (names.OUTPUT_TYPE, _output_type),
    "seed": (names.SEED, _whole),
    "service_tier": (names.REQUEST_TIER, _text),
    "stop": (names.STOP_SEQUENCES, _texts),
    "temperature": (names.TEMPERATURE, _number),
    "top_p": (names.TOP_P, _number),
}


def request_attributes(record: CallRecord) -> dict[str, Any]:
    """Return the parameters that were sent; what was not set is left out."""
    found: dict[str, Any] = {}
    for param, (name, read) in _PARAMS.items():
        value = read(record.params.get(param))
        if value is not None:
            found[name] = value
    if record.stream:
        found[names.STREAM] = True
    return found


# ------------------------------------------------------------- what was answered


def response_attributes(record: CallRecord) -> dict[str, Any]:
    """Return what is known of the answer, of its tokens and of its times."""
    found: dict[str, Any] = {
        names.RESPONSE_ID: record.response_id,
        names.RESPONSE_MODEL: record.response_model,
        names.FINISH_REASONS: list(record.finish_reasons) or None,
        names.FIRST_CHUNK: record.first_token_s,
        names.STATUS_CODE: record.status,
        names.REQUEST_ID: record.request_id,
        names.RESPONSE_TIER: record.service_tier,
        names.ATTEMPTS: record.attempts or None,
        names.LIMITER_WAIT: record.limiter_wait_s or None,
        names.ABANDONED: True if _is_abandoned(record) else None,
        **_usage(record.usage),
        **_times(record.time_info),
        **_head_room(record.rate_limits),
    }
    return {name: value for name, value in found.items() if value is not None}


def _usage(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    counted = to_usage_metadata(usage)
    if counted is None:
        return {}
    inputs: Mapping[str, Any] = counted.get("input_token_details", {})
    outputs: Mapping[str, Any] = counted.get("output_token_details", {})
    return {
        names.INPUT_TOKENS: counted["input_tokens"],
        names.OUTPUT_TOKENS: counted["output_tokens"],
        names.CACHED_TOKENS: inputs.get("cache_read"),
        names.REASONING_TOKENS: outputs.get("reasoning"),
        names.ACCEPTED_TOKENS: outputs.get("accepted_prediction") or None,
        names.REJECTED_TOKENS: outputs.get("rejected_prediction") or None,
    }


def token_counts(record: CallRecord) -> dict[str, int]:
    """Return the tokens by their type; nothing where the service told nothing."""
    counted = to_usage_metadata(record.usage)
    if counted is None:
        return {}
    return {"input": counted["input_tokens"], "output": counted["output_tokens"]}


def _times(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the service's own times, in seconds as they came."""
    told = values or {}
    return {f"{names.TIME_INFO}{name}": _number(told.get(name)) for name in _TIMES}


def _head_room(limits: Mapping[str, int | float | str]) -> dict[str, Any]:
    """Return `x-ratelimit-remaining-tokens-minute: 9` as `...remaining_tokens_minute`.

    What is no number is left out: it would be text of a server's choice.
    """
    found: dict[str, Any] = {}
    for header, value in limits.items():
        known = _HEAD_ROOM.fullmatch(header)
        if known and isinstance(value, (int, float)):
            found[names.RATE_LIMIT + known[1].replace("-", "_")] = value
    return found


def measured_attributes(
    record: CallRecord, called: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a call's measurements are told apart by, without its error."""
    if record.response_model is None:
        return dict(called)
    return {**called, names.RESPONSE_MODEL: record.response_model}


# ---------------------------------------------------------------- what went wrong


def _is_abandoned(record: CallRecord) -> bool:
    """Whether the caller had enough of a stream: nothing has failed then."""
    return isinstance(record.error, GeneratorExit)


def error_type(record: CallRecord) -> str | None:
    """Return the name of the error's class; `None` if the call has not failed.

    A cancelled call has failed, as far as its caller is concerned; a stream that its
    reader closed has not.
    """
    if record.error is None or _is_abandoned(record):
        return None
    return type(record.error).__name__


def error_text(error: BaseException) -> str | None:
    """Return what an error says, without secrets and cut to a bound."""
    return clean(mask_secrets(str(error)))[:_MAX_ERROR_CHARS] or None


def retry_attributes(failed: FailedAttempt, attempt: int) -> dict[str, Any]:
    """Return what is told of a try that another one follows."""
    found: dict[str, Any] = {
        names.ATTEMPT: attempt,
        names.ERROR_TYPE: failed.error_type,
        names.RETRY_WAIT: failed.wait_s,
    }
    if failed.status_code is not None:
        found[names.STATUS_CODE] = failed.status_code
    return found


def clean(text: str) -> str:
    """Replace halves of split characters: no exporter could encode them."""
    return text.encode("utf-8", "replace").decode("utf-8")
