"""The models endpoints' answers, in their three formats."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator.faults import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_cerebras_ext.simulator._json import JsonObject
    from langchain_cerebras_ext.simulator.profiles import ModelProfile

_MTOK = Decimal(1_000_000)
_FORMATS = ("default", "openrouter", "huggingface")
_SAMPLING = (
    "temperature",
    "top_p",
    "seed",
    "stop",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
)


def list_view(
    profiles: Iterable[ModelProfile], style: str | None, *, public: bool
) -> JsonObject:
    """Return a list of models.

    Args:
        profiles: The served models.
        style: The query's `format`, None for the default.
        public: Whether the public catalog was asked, which tells more.

    Raises:
        RefusedError: The format is not known (400).
    """
    data = [model_view(profile, style, public=public) for profile in profiles]
    return {"data": data} if style == "openrouter" else {"object": "list", "data": data}


def model_view(profile: ModelProfile, style: str | None, *, public: bool) -> JsonObject:
    """Return one model.

    Raises:
        RefusedError: The format is not known (400).
    """
    if style not in (None, *_FORMATS):
        text = f"query.format: '{style}' is not one of {', '.join(_FORMATS)}"
        raise RefusedError(faults.flat(400, text))
    if style == "openrouter":
        return _openrouter(profile)
    if style == "huggingface":
        return _huggingface(profile)
    return _public(profile) if public else _plain(profile, 0)


def _plain(profile: ModelProfile, created: int) -> JsonObject:
    return {
        "id": profile.id,
        "object": "model",
        "created": created,
        "owned_by": "Cerebras",
    }


def _per_token(price: Decimal | None) -> str:
    """Write a price as USD per token, without an exponent."""
    text = format((price or Decimal(0)) / _MTOK, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _public(profile: ModelProfile) -> JsonObject:
    modality = "text+vision" if profile.vision else "text"
    return {
        **_plain(profile, profile.created),
        "owned_by": profile.owner or "Cerebras",
        "name": profile.name,
        "description": f"{profile.name}, served by a simulator.",
        "hugging_face_id": profile.hugging_face_id,
        "pricing": {
            "prompt": _per_token(profile.input_usd_per_mtok),
            "completion": _per_token(profile.output_usd_per_mtok),
        },
        "capabilities": {
            "streaming": True,
            "function_calling": True,
            "structured_outputs": True,
            "vision": profile.vision,
            "json_mode": True,
            "tools": True,
            "tool_choice": True,
            "parallel_tool_calls": profile.parallel_tool_calls,
            "response_format": True,
            "reasoning": profile.reasons,
        },
        "supported_parameters": {
            "temperature": True,
            "top_p": True,
            "seed": True,
            "stop": True,
            "max_completion_tokens": True,
            "logprobs": False,
            "top_logprobs": False,
            "frequency_penalty": True,
            "presence_penalty": True,
            "logit_bias": True,
            "repetition_penalty": False,
        },
        "architecture": {
            "modality": modality,
            "tokenizer": profile.name.split()[0],
            "instruct_type": None,
        },
        "limits": {
            "max_context_length": profile.context_tokens_paid,
            "max_completion_tokens": profile.output_tokens_paid,
            "requests_per_minute": None,
            "tokens_per_minute": None,
        },
        "datacenter_locations": [],
        "deprecated": False,
        "preview": profile.preview,
        "quantization": None,
    }


def _openrouter(profile: ModelProfile) -> JsonObject:
    inputs = ["text", "image"] if profile.vision else ["text"]
    features = ["tools", "json_mode", "structured_outputs"]
    return {
        "id": f"cerebras/{profile.id}",
        "name": profile.name,
        "created": profile.created,
        "context_length": profile.context_tokens_paid,
        "max_output_length": profile.output_tokens_paid,
        "pricing": {
            "prompt": _per_token(profile.input_usd_per_mtok),
            "completion": _per_token(profile.output_usd_per_mtok),
            "image": "0",
            "request": "0",
            "input_cache_read": "0",
            "input_cache_write": "0",
        },
        "description": f"{profile.name}, served by a simulator.",
        "hugging_face_id": profile.hugging_face_id,
        "input_modalities": inputs,
        "output_modalities": ["text"],
        "quantization": "fp16",
        "supported_features": [*features, *(["reasoning"] if profile.reasons else [])],
        "supported_sampling_parameters": list(_SAMPLING),
        "datacenters": [{"country_code": "US"}],
        "openrouter": {"slug": profile.hugging_face_id or profile.id},
    }


def _huggingface(profile: ModelProfile) -> JsonObject:
    return {
        **_plain(profile, profile.created),
        "context_length": profile.context_tokens_paid,
        "pricing": {
            "input": float(profile.input_usd_per_mtok or 0),
            "output": float(profile.output_usd_per_mtok or 0),
        },
        "capabilities": {
            "function_calling": True,
            "streaming": True,
            "structured_outputs": True,
            "vision": profile.vision,
        },
        "hugging_face_id": profile.hugging_face_id,
    }
