"""Images, audio and files in the shapes that are in use, and in LangChain's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from langchain_cerebras_ext.errors import UnsupportedFeatureError

if TYPE_CHECKING:
    from langchain_cerebras_ext.routing._history.rules import Rules

__all__ = ["Media", "fit_media", "is_media", "read_media", "shape_of"]

_TYPES: Final = frozenset(
    {
        "image",
        "image_url",
        "input_image",
        "audio",
        "input_audio",
        "video",
        "file",
        "input_file",
        "document",
        "media",
        "text-plain",
        "image_generation_call",
    }
)
_DATA_URI: Final = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)


class Media(NamedTuple):
    """What a block holds, whatever its shape.

    Attributes:
        kind: `image`, `audio`, `video`, `file`, or `text` for a document in words.
        mime_type: Its type, if the block says so.
        url: Where it is.
        data: Base64.
        file_id: The id under which a provider holds it.
        text: The words of a document.
        name: Its file name.
        detail: How closely an image is to be looked at.
    """

    kind: str
    mime_type: str | None = None
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    detail: str | None = None

    def to_block(self) -> dict[str, Any]:
        """Return LangChain's standard block; packages of all providers read it."""
        if self.kind == "text":
            return {"type": "text", "text": self.text or ""}
        if self.kind == "image" and self.url and self.detail:
            # The standard block has no place for the detail.
            return {
                "type": "image_url",
                "image_url": {"url": self.url, "detail": self.detail},
            }
        block: dict[str, Any] = {"type": self.kind}
        if self.data is not None:
            block["base64"] = self.data
        elif self.url is not None:
            block["url"] = self.url
        elif self.file_id is not None:
            block["file_id"] = self.file_id
        if self.mime_type:
            block["mime_type"] = self.mime_type
        if self.name:
            block["extras"] = {"filename": self.name}
        return block


def is_media(block: Any) -> bool:
    """Whether a block is an image, audio, a file, or a document in words."""
    return isinstance(block, Mapping) and block.get("type") in _TYPES


def shape_of(block: Mapping[str, Any]) -> str:
    """Return whose shape a block has.

    `standard` is read by all packages; the others are `openai`, `anthropic`, `google`,
    and `flat` for an address that stands where an object is due.
    """
    kind = block.get("type")
    if kind == "image_url":
        return "standard" if isinstance(block.get("image_url"), Mapping) else "flat"
    if kind == "document" or isinstance(block.get("source"), Mapping):
        return "anthropic"
    if kind == "media":
        return "google"
    if kind in {"input_image", "input_audio", "input_file", "image_generation_call"}:
        return "openai"
    if kind == "file" and isinstance(block.get("file"), Mapping):
        return "openai"
    return "standard"


def fit_media(block: dict[str, Any], rules: Rules, where: str) -> dict[str, Any]:
    """Return a media block as a provider's package reads it; the same if it does.

    Raises:
        UnsupportedFeatureError: The provider does not take it.
    """
    shape = shape_of(block)
    found = read_media(block)
    if found is None:
        return block
    _check(found, rules, where)
    if found.kind == "text":
        # Only Anthropic has documents in words; for others they are words.
        return block if rules.name == "anthropic" else found.to_block()
    if shape == "standard" or shape in rules.shapes:
        return block
    return found.to_block()


def _check(found: Media, rules: Rules, where: str) -> None:
    if found.kind == "text":
        return
    if found.kind not in rules.media:
        takes = ", ".join(sorted(rules.media)) or "text alone"
        msg = (
            f"{where} is of kind {found.kind!r}, and provider {rules.name!r} takes "
            f"{takes}. Send it to a model that takes it, or turn it into text."
        )
        raise UnsupportedFeatureError(msg)
    if found.file_id is not None:
        if rules.file_ids is None or not rules.file_ids.fullmatch(found.file_id):
            msg = (
                f"{where} is a file that a provider holds as {found.file_id[:60]!r}, "
                f"and provider {rules.name!r} cannot read it. Send its bytes instead."
            )
            raise UnsupportedFeatureError(msg)
    elif found.url is not None and found.kind == "image" and not rules.url_images:
        msg = (
            f"{where} is an image given by its address, and provider {rules.name!r} "
            "takes bytes alone. Download it and send it as base64."
        )
        raise UnsupportedFeatureError(msg)


def read_media(block: Mapping[str, Any]) -> Media | None:
    """Return what a media block holds; `None` where its shape is not known."""
    kind = str(block.get("type"))
    if kind in {"image_url", "input_image"}:
        return _openai_image(block)
    if kind == "input_audio":
        held = _mapping(block.get("input_audio"))
        form = held.get("format")
        return Media("audio", f"audio/{form}" if form else None, data=held.get("data"))
    if kind == "input_file" or isinstance(block.get("file"), Mapping):
        return _openai_file(_mapping(block.get("file")) or block)
    if kind == "image_generation_call":
        form = block.get("output_format") or "png"
        return Media("image", f"image/{form}", data=block.get("result"))
    if isinstance(block.get("source"), Mapping):
        return _anthropic(block)
    if kind == "media":
        mime = str(block.get("mime_type") or "")
        return _of(
            _kind_of(mime),
            mime or None,
            data=block.get("data"),
            file_id=block.get("file_uri"),
        )
    if kind == "text-plain":
        return Media("text", text=str(block.get("text") or ""))
    if kind in {"image", "audio", "video", "file"}:
        return _standard(kind, block)
    return None


def _of(kind: str, mime_type: str | None, **held: Any) -> Media | None:
    """Return it if there is anything in it; an address may hold the bytes."""
    url = held.get("url")
    match = _DATA_URI.fullmatch(url) if isinstance(url, str) else None
    if match:
        held |= {"url": None, "data": match[2]}
        mime_type = match[1] or mime_type
    held = {name: one for name, one in held.items() if isinstance(one, str)}
    if not held.keys() & {"url", "data", "file_id", "text"}:
        return None
    return Media(kind, mime_type, **held)


def _openai_image(block: Mapping[str, Any]) -> Media | None:
    held = block.get("image_url")
    nested = _mapping(held)
    return _of(
        "image",
        None,
        url=nested.get("url") if nested else held,
        file_id=block.get("file_id"),
        detail=nested.get("detail") if nested else block.get("detail"),
    )


def _openai_file(held: Mapping[str, Any]) -> Media | None:
    return _of(
        "file",
        None,
        url=held.get("file_data") or held.get("file_url"),
        file_id=held.get("file_id"),
        name=held.get("filename"),
    )


def _anthropic(block: Mapping[str, Any]) -> Media | None:
    source = cast("Mapping[str, Any]", block["source"])
    kind = "image" if block.get("type") == "image" else "file"
    if source.get("type") == "text":
        return Media("text", text=str(source.get("data") or ""))
    if source.get("type") == "content":
        return Media("text", text=_words(source.get("content")))
    return _of(
        kind,
        source.get("media_type"),
        url=source.get("url"),
        data=source.get("data"),
        file_id=source.get("file_id"),
        name=block.get("title"),
    )


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks: list[Any] = content if isinstance(content, list) else []
    return "\n".join(str(_mapping(one).get("text") or "") for one in blocks)


def _standard(kind: str, block: Mapping[str, Any]) -> Media | None:
    if block.get("source_type") == "text":
        return Media("text", text=str(block.get("text") or ""))
    is_by_id = block.get("source_type") == "id"
    name = _mapping(block.get("extras")) or _mapping(block.get("metadata")) or block
    return _of(
        kind,
        block.get("mime_type"),
        url=block.get("url"),
        data=block.get("base64") or block.get("data"),
        file_id=block.get("id") if is_by_id else block.get("file_id"),
        name=name.get("filename"),
    )


def _kind_of(mime_type: str) -> str:
    kind = mime_type.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else "file"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
