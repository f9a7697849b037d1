"""What each provider takes in a history: one row each, with where that is known from.

Where no source is named, the facts are those of LangChain's own package for the
provider, read and run on 2026-11-21: langchain-anthropic 1.7.7, langchain-google-genai
4.4.2, langchain-openai 1.7.3, langchain-groq 1.1.3, langchain-mistralai 1.1.6,
langchain-openrouter 0.2.9, langchain-ollama 1.1.0, langchain-deepseek 1.1.1,
langchain-xai 1.3.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from langchain_cerebras_ext.routing.providers import find_provider

__all__ = ["Rules", "canonical_name", "rules_of"]

ToolMedia: TypeAlias = Literal["takes", "moves", "takes_in_responses", "refuses"]
"""Images and files in a tool's result: `takes` has them there; `moves` has them in the
user's message that follows; `takes_in_responses` does that unless the call was made in
OpenAI's Responses API; `refuses` has no place for them."""

SystemPlace: TypeAlias = Literal["anywhere", "first", "first_for_foreign"]
"""Where system messages may stand. `first_for_foreign`: some models take them anywhere,
so a conversation that the provider has answered in before is left as it is."""

_ALL: Final = frozenset({"image", "audio", "video", "file"})
_IMAGE: Final = frozenset({"image"})
_WITH_FILES: Final = frozenset({"image", "file"})

# Signatures and remains that other packages never send.
_UNSENT: Final = frozenset(
    {
        "__gemini_function_call_thought_signatures__",
        "__openai_function_call_ids__",
        "executed_tools",
        "parsed",
        "citations",
    }
)
_UNSENT_REASONING: Final = _UNSENT | {"reasoning_content"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a provider takes, and what its package makes of it.

    Attributes:
        name: The provider, as LangChain names it; `own` are the names under which its
            package marks its answers.
        own: Marks in `response_metadata["model_provider"]`.
        call_id: What ids of tool calls must look like.
        short_ids: Ids have nine letters and digits.
        tool_media: Whether results of tools may have images and files.
        tool_blocks: Other blocks that a tool's result may have; `None`: any.
        media: The kinds of media in a user's message.
        shapes: Shapes of media blocks that only its package reads.
        url_images: Whether images may be given by their address.
        file_ids: What ids of files that it holds look like; `None`: it holds none.
        system: Where system messages may stand.
        any_role: Whether `ChatMessage` is known.
        empty_answers: Whether an assistant's turn may be empty.
        text_with_calls: Whether the text beside tool calls is sent.
        tool_status: Whether it is told that a tool has failed.
        reasoning: Whether another model's reasoning is taken, as a standard block.
        names: What names of speakers must look like; `None`: they are not sent.
        marks: Whether text may be marked for the prompt cache.
        unsent: Keys of `additional_kwargs` that its package does not look at.
    """

    name: str
    own: frozenset[str]
    call_id: re.Pattern[str] = re.compile(r"[a-zA-Z0-9_-]{1,40}")
    short_ids: bool = False
    tool_media: ToolMedia = "moves"
    tool_blocks: frozenset[str] | None = frozenset()
    media: frozenset[str] = _IMAGE
    shapes: frozenset[str] = frozenset()
    url_images: bool = True
    file_ids: re.Pattern[str] | None = None
    system: SystemPlace = "anywhere"
    any_role: bool = True
    empty_answers: bool = True
    text_with_calls: bool = True
    tool_status: bool = False
    reasoning: bool = False
    names: re.Pattern[str] | None = None
    marks: bool = False
    unsent: frozenset[str] = _UNSENT_REASONING


# "name: must match ^[^\s<|\\/>]+$" and up to 64 characters:
# https://platform.openai.com/docs/api-reference/chat/create
_NAMES: Final = re.compile(r"[^\s<|\\/>]{1,64}")

_ROWS: Final = (
    # This package: images of most shapes are read; what the service or the model does
    # not take is refused in its own words.
    Rules(
        name="cerebras",
        own=frozenset({"cerebras"}),
        tool_blocks=None,
        call_id=re.compile(r"[^\s]{1,256}"),
        media=_ALL,
        shapes=frozenset({"openai", "anthropic", "flat"}),
        reasoning=True,
        names=_NAMES,
    ),
    # Ids of up to 40 characters ("string too long ... maximum length 40"), 64 in the
    # Responses API; tools answer with text in chat completions, and with images in
    # responses, where the mark of the answer tells that it was one:
    # https://platform.openai.com/docs/api-reference/chat/create
    Rules(
        name="openai",
        own=frozenset({"openai", "azure", "azure_openai"}),
        tool_media="takes_in_responses",
        media=frozenset({"image", "audio", "file"}),
        shapes=frozenset({"openai"}),
        file_ids=re.compile(r"file-.+|assistant-.+"),
        names=_NAMES,
    ),
    # ChatOpenAI in front of another server: what OpenAI alone has is not there.
    Rules(
        name="local",
        own=frozenset({"local"}),
        media=frozenset({"image", "audio", "file"}),
        names=_NAMES,
    ),
    # "tool_use ids must match ^[a-zA-Z0-9_-]+$", content must not be empty, thinking
    # only with its own signature, system beside the messages:
    # https://platform.claude.com/docs/en/api/messages
    Rules(
        name="anthropic",
        own=frozenset({"anthropic"}),
        call_id=re.compile(r"[a-zA-Z0-9_-]{1,64}"),
        tool_media="takes",
        tool_blocks=frozenset({"search_result", "tool_reference", "tool_result"}),
        media=_WITH_FILES,
        shapes=frozenset({"anthropic"}),
        file_ids=re.compile(r"file_.+"),
        system="first_for_foreign",
        any_role=False,
        empty_answers=False,
        tool_status=True,
        marks=True,
    ),
    # Calls carry no id there; parts must not be empty, a thought signature is checked:
    # https://ai.google.dev/gemini-api/docs/thought-signatures
    Rules(
        name="google_genai",
        own=frozenset({"google_genai", "google_vertexai"}),
        call_id=re.compile(r".+", re.DOTALL),
        tool_media="takes",
        tool_blocks=None,
        media=_ALL,
        shapes=frozenset({"google"}),
        file_ids=re.compile(r"(https://|gs://|files/).+"),
        system="first",
        any_role=False,
        empty_answers=False,
    ),
    Rules(name="groq", own=frozenset({"groq"}), names=_NAMES),
    # Nine letters and digits; a turn is text or calls; no system after the assistant,
    # who alone may speak after a tool: the checks of `mistral_common`,
    # https://github.com/mistralai/mistral-common, protocol/instruct/validator.py
    Rules(
        name="mistralai",
        own=frozenset({"mistralai"}),
        call_id=re.compile(r"[a-zA-Z0-9]{9}"),
        short_ids=True,
        tool_media="refuses",
        system="first",
        empty_answers=False,
        text_with_calls=False,
    ),
    Rules(
        name="openrouter",
        own=frozenset({"openrouter"}),
        media=_ALL,
        shapes=frozenset({"openai"}),
        marks=True,
        unsent=_UNSENT,
    ),
    Rules(
        name="ollama",
        own=frozenset({"ollama"}),
        call_id=re.compile(r".+", re.DOTALL),
        tool_media="takes",
        url_images=False,
        unsent=_UNSENT,
    ),
    # "unknown variant `image_url`, expected `text`"
    Rules(name="deepseek", own=frozenset({"deepseek"}), media=frozenset()),
    Rules(name="xai", own=frozenset({"xai"}), names=_NAMES),
    # APIs in OpenAI's form, of which no more is known.
    Rules(name="together", own=frozenset({"together"}), names=_NAMES),
    Rules(name="fireworks", own=frozenset({"fireworks"}), names=_NAMES),
    # "toolUseId must match [a-zA-Z0-9_-]+", 1 to 64 characters:
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html
    Rules(
        name="bedrock_converse",
        own=frozenset({"bedrock_converse", "bedrock"}),
        call_id=re.compile(r"[a-zA-Z0-9_-]{1,64}"),
        tool_media="takes",
        tool_blocks=None,
        media=_ALL,
        system="first",
        any_role=False,
        empty_answers=False,
        tool_status=True,
        marks=True,
    ),
)

_BY_NAME: Final = {row.name: row for row in _ROWS}
_ALIASES: Final = {
    "google": "google_genai",
    "gemini": "google_genai",
    "google-genai": "google_genai",
    "google_vertexai": "google_genai",
    "vertex": "google_genai",
    "vertexai": "google_genai",
    "mistral": "mistralai",
    "azure": "openai",
    "azure_openai": "openai",
    "bedrock": "bedrock_converse",
    "amazon_bedrock": "bedrock_converse",
}


def canonical_name(provider: str) -> str:
    """Return the name under which a provider's row stands."""
    return _ALIASES.get(provider, provider)


def rules_of(provider: str) -> Rules:
    """Return a provider's row, or that of the package which a registered one uses."""
    name = canonical_name(provider.strip().lower())
    found = _BY_NAME.get(name)
    if found is not None:
        return found
    row = find_provider(name)
    like = row.langchain_name or "" if row else ""
    if row is not None and row.is_openai_server:
        like = "local"
    return _like(name, canonical_name(like))


@lru_cache(maxsize=256)
def _like(name: str, like: str) -> Rules:
    """Return the row of a provider that has none of its own.

    If nothing is known of its package, it gets text and tool calls of others' answers,
    and media are left as they are.
    """
    found = _BY_NAME.get(like)
    if found is not None:
        return replace(found, own=found.own | {name})
    return Rules(
        name=name,
        own=frozenset({name}),
        tool_media="takes",
        tool_blocks=None,
        media=_ALL,
        shapes=frozenset({"openai", "anthropic", "google", "flat"}),
        file_ids=re.compile(r".+", re.DOTALL),
        marks=True,
    )
