"""What a prompt's blocks are, in whose shape ever: images, and what can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_cerebras_ext.routing._history.media import is_media, read_media

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import BaseMessage

__all__ = ["countable", "has_images", "is_image"]

_IMAGES: Final = frozenset(
    {"image", "image_url", "input_image", "image_generation_call"}
)
_FILES: Final = frozenset({"media", "file", "input_file", "document"})
"""What has a type of its own, which may be that of an image."""


def has_images(messages: Iterable[BaseMessage]) -> bool:
    """Tell whether a message has an image."""
    for message in messages:
        content = message.content
        if not isinstance(content, str) and _has_image(content):
            return True
    return False


def is_image(block: Any) -> bool:
    """Tell whether a block is an image, or a tool's result that has one.

    The shapes are LangChain's (of this and of earlier versions), OpenAI's,
    Anthropic's, Google's `media`, and Amazon's, which has no `type`.
    """
    if not isinstance(block, Mapping):
        return False
    held = cast("Mapping[str, Any]", block)
    kind = held.get("type")
    if kind == "text":
        return False
    if kind in _IMAGES:
        return True
    if kind is None:
        return "image" in held
    if kind in _FILES:
        return _mime_type(held).startswith("image/")
    if kind == "non_standard":
        return is_image(held.get("value"))
    inner: Any = held.get("content") if kind == "tool_result" else None
    return isinstance(inner, list) and _has_image(inner)


def _has_image(blocks: Iterable[Any]) -> bool:
    return any(map(is_image, blocks))


def _mime_type(block: Mapping[str, Any]) -> str:
    for held in (block, block.get("source"), block.get("file")):
        if not isinstance(held, Mapping):
            continue
        for name in ("mime_type", "media_type", "file_data"):
            found = cast("Mapping[str, Any]", held).get(name)
            if isinstance(found, str):
                return found.removeprefix("data:")  # of an address that has the bytes
    return ""


def countable(message: BaseMessage) -> BaseMessage:
    """Return a message whose tokens can be counted: bytes are no words.

    Images are in LangChain's shape, which tells their size. What sound, films and
    files will be is not known, and counts as nothing.
    """
    content = message.content
    if isinstance(content, str):
        return message
    blocks = [_countable(block) for block in content]
    if all(one is other for one, other in zip(blocks, content, strict=True)):
        return message
    return message.model_copy(update={"content": blocks})


def _countable(block: Any) -> Any:
    if isinstance(block, str) or block.get("type") == "text":
        return block
    if is_image(block):
        found = read_media(block) if is_media(block) else None
        is_known = found is not None and found.kind == "image"
        return found.to_block() if found is not None and is_known else {"type": "image"}
    if not is_media(block):
        return block
    found = read_media(block)
    return {"type": "text", "text": (found and found.text) or ""}
