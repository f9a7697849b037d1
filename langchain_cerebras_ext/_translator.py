"""Messages of this provider as LangChain's standard content blocks.

Registered for `model_provider="cerebras"`. Blocks of chunks carry string indexes that
start with `lc_`: LangChain's merge takes those as identities, so that text, reasoning
and parallel tool calls of one stream stay apart. With the wire's integer indexes the
first text block and the first tool call, both 0, would be merged into one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

from langchain_cerebras_ext._chunk import finished_blocks
from langchain_cerebras_ext._metadata import PROVIDER

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock

__all__ = ["register", "translate_content", "translate_content_chunk"]

REASONING_INDEX = "lc_rs_0"
TEXT_INDEX = "lc_txt_0"
REFUSAL_INDEX = "lc_rf_0"
TOOL_INDEX = "lc_tc_"


def translate_content(message: AIMessage) -> list[ContentBlock]:
    """Return the content blocks of a whole message."""
    return cast("list[ContentBlock]", finished_blocks(message))


def translate_content_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """Return the content blocks of a chunk, or of a whole sum of chunks."""
    if chunk.chunk_position == "last":
        return translate_content(chunk)
    blocks: list[dict[str, Any]] = []
    kwargs = chunk.additional_kwargs
    if kwargs:
        reasoning = kwargs.get("reasoning_content")
        if reasoning:
            blocks.append(
                {
                    "type": "reasoning",
                    "reasoning": reasoning,
                    "index": REASONING_INDEX,
                }
            )
        if kwargs.get("refusal"):
            blocks.append(
                {
                    "type": "refusal",
                    "refusal": kwargs["refusal"],
                    "index": REFUSAL_INDEX,
                }
            )
    content = chunk.content
    if isinstance(content, str):
        if content:
            blocks.append({"type": "text", "text": content, "index": TEXT_INDEX})
    else:
        blocks.extend(
            {"type": "text", "text": block, "index": TEXT_INDEX}
            if isinstance(block, str)
            else dict(block)
            for block in content
        )
    blocks.extend(
        {
            "type": "tool_call_chunk",
            "name": piece["name"],
            "args": piece["args"],
            "id": piece["id"],
            "index": f"{TOOL_INDEX}{piece['index']}",
        }
        for piece in chunk.tool_call_chunks
    )
    return cast("list[ContentBlock]", blocks)


def register() -> None:
    """Make LangChain use this translator for messages of this provider."""
    register_translator(PROVIDER, translate_content, translate_content_chunk)
