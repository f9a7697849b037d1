"""A card as LangChain's `ModelProfile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from langchain_core.language_models.model_profile import ModelProfile

    from langchain_cerebras_ext.catalog.models import ModelCard

# What the API has no message parts for, whichever the model.
_NEVER = {
    "pdf_inputs": False,
    "audio_inputs": False,
    "video_inputs": False,
    "pdf_tool_message": False,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
}


def build_profile(card: ModelCard) -> ModelProfile:
    """Return a new profile; keys without a known value are left out."""
    known = {**_identity(card), **_limits(card), **_inputs(card), **_abilities(card)}
    profile = {key: value for key, value in known.items() if value is not None}
    return cast("ModelProfile", profile)


def _identity(card: ModelCard) -> dict[str, Any]:
    exact = card.announced is not None and card.announced_precision == "day"
    return {
        "name": card.name,
        "status": _status(card),
        "release_date": card.announced.isoformat()
        if card.announced and exact
        else None,
        "open_weights": True if card.hugging_face_id else None,
    }


def _status(card: ModelCard) -> str | None:
    """Use the words of models.dev, where LangChain's own profiles come from."""
    if card.status == "never-served":
        return None
    return "deprecated" if card.retired_on else "active"


def _limits(card: ModelCard) -> dict[str, Any]:
    return {
        "max_input_tokens": card.safe_context_tokens
        or card.context_tokens_paid
        or card.context_tokens_free,
        "max_output_tokens": card.safe_max_output_tokens
        or card.max_output_tokens_paid
        or card.max_output_tokens_free,
    }


def _inputs(card: ModelCard) -> dict[str, Any]:
    images = card.images
    vision = card.capabilities.vision
    return {
        **_NEVER,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": vision,
        "attachment": vision,
        "image_url_inputs": images.remote_url if images else vision,
        "image_tool_message": "tool" in images.roles if images else vision,
    }


def _abilities(card: ModelCard) -> dict[str, Any]:
    abilities, reasoning = card.capabilities, card.reasoning
    efforts = list(reasoning.efforts) if reasoning.efforts else None
    return {
        "temperature": True,
        "tool_calling": abilities.tools,
        "tool_choice": abilities.forced_tool_choice,
        "tool_call_streaming": abilities.streaming_with_tools,
        "structured_output": _native_structure(card),
        "reasoning_output": reasoning.supported,
        "reasoning_effort_levels": efforts,
        "reasoning_effort_default": reasoning.default_effort if efforts else None,
    }


def _native_structure(card: ModelCard) -> bool | None:
    """Claim it only where tools and a schema are known to go into one request."""
    abilities = card.capabilities
    if abilities.structured_outputs is None:
        return None
    return bool(abilities.structured_outputs and abilities.tools_with_response_format)
