"""What streams bring, as the router reads it: chunks of messages, events, others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "add_metadata",
    "can_restart",
    "is_last",
    "join_chunks",
    "last_chunk",
    "restart_chunk",
    "says_something",
    "to_message",
]

KEY = "router"
"""Where an answer says how it was routed: in `response_metadata`."""


class Restart:
    """Makes a chunk the beginning of another answer: what came before it is void.

    Added to chunks on its left it drops them, so that the sum of all chunks of a stream
    is the last answer alone, in whatever order they are added up.
    """

    model_fields_set: set[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a chunk; by itself this class stands for `AIMessage`.

        `message_chunk_to_message` builds what is second in the order of a chunk's
        classes.
        """
        return AIMessage(*args, **kwargs) if cls is Restart else super().__new__(cls)

    def __add__(self, right: object) -> Any:
        """Add what follows; another beginning takes this one's place."""
        if isinstance(right, Restart):
            return right.__radd__(self)
        return super().__add__(right)  # type: ignore[misc] # the chunk's

    def __radd__(self, left: object) -> AIMessageChunk:
        """Return the beginning alone."""
        del left
        return AIMessageChunk(**self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the class that it was made of; its own has no name."""
        return _rebuild, (_base_of(type(self)), self._fields())

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set - {"type"}}


def _rebuild(base: type[AIMessageChunk], fields: dict[str, Any]) -> AIMessageChunk:
    return cast("AIMessageChunk", _restart_class(base)(**fields))


@lru_cache(maxsize=32)
def _restart_class(base: Any) -> Any:
    """Return a class whose instances reset a sum of chunks of a class.

    Python asks the right operand of an addition first only if its class is derived from
    that of the left one; providers have chunk classes of their own.
    """
    return type("RestartChunk", (Restart, base), {"__module__": __name__})


def _base_of(kind: type) -> type:
    """Return the class that a restarting class was made of; others as they are."""
    return kind.__mro__[2] if issubclass(kind, Restart) else kind


def restart_chunk(seen: Sequence[Any], said: Mapping[str, Any]) -> AIMessageChunk:
    """Return the chunk that voids those that were handed on."""
    base = _narrowest(seen)
    assert base is not None  # noqa: S101 - else it is never restarted
    made = _restart_class(base)(content="", response_metadata={KEY: dict(said)})
    return cast("AIMessageChunk", made)


def can_restart(seen: Sequence[Any]) -> bool:
    """Whether what was handed on can be voided: chunks, and no part of a tool call."""
    return _narrowest(seen) is not None and not _has_tool_calls(seen)


def _narrowest(seen: Sequence[Any]) -> type[AIMessageChunk] | None:
    """Return the class among those of all items that is derived from all others."""
    kinds = {_base_of(type(item)) for item in seen}
    for kind in kinds:
        if issubclass(kind, AIMessageChunk) and all(
            issubclass(kind, other) for other in kinds
        ):
            return kind
    return None


def says_something(item: Any) -> bool:
    """Whether an item is more than the announcement of an answer."""
    if isinstance(item, AIMessageChunk):
        return bool(
            item.content
            or item.tool_call_chunks
            or item.additional_kwargs
            or item.chunk_position
        )
    if isinstance(item, dict) and "event" in item:
        return bool(item["event"] != "message-start")
    return True


def is_last(item: Any) -> bool:
    """Whether an item says of itself that it ends its answer."""
    if isinstance(item, dict):
        return bool(item.get("event") == "message-finish")
    return getattr(item, "chunk_position", None) == "last"


def add_metadata(answer: Any, said: Mapping[str, Any]) -> Any:
    """Return an answer, or a stream's last item, with what the router says of it.

    Structure has no place for it, except beside its raw message.
    """
    if isinstance(answer, AIMessage):
        found = answer.response_metadata
        # As `model_copy`, in half of the time: it is done at each call.
        made = answer.__copy__()
        made.response_metadata = {**found, KEY: _around(found.get(KEY), said)}
        return made
    if isinstance(answer, dict):
        if answer.get("event") == "message-finish":
            found = answer.get("metadata") or {}
            said = _around(found.get(KEY), said)
            return {**answer, "metadata": {**found, KEY: said}}
        if isinstance(answer.get("raw"), AIMessage):
            return {**answer, "raw": add_metadata(answer["raw"], said)}
    return answer


def _around(inner: object, said: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a router says that is a leg of this one."""
    return {**said, "inner": inner} if isinstance(inner, Mapping) else dict(said)


def last_chunk(seen: Sequence[Any]) -> AIMessageChunk | None:
    """Return an empty end for chunks that have none; `None` for other items."""
    if not seen or not isinstance(seen[-1], AIMessageChunk):
        return None
    empty: Any = "" if isinstance(seen[-1].content, str) else []
    return AIMessageChunk(content=empty, id=seen[-1].id, chunk_position="last")


def _has_tool_calls(chunks: Iterable[Any]) -> bool:
    """Whether a part of a tool call is among chunks, in any form."""
    return any(
        item.tool_call_chunks
        or item.tool_calls
        or item.invalid_tool_calls
        or (isinstance(item.content, list) and _has_tool_block(item.content))
        for item in chunks
    )


def _has_tool_block(content: list[Any]) -> bool:
    return any(
        isinstance(block, dict) and "tool" in str(block.get("type"))
        for block in content
    )


def join_chunks(seen: Sequence[Any]) -> AIMessageChunk | None:
    """Return the sum of chunks; `None` of other items, and of none."""
    chunks = [item for item in seen if isinstance(item, AIMessageChunk)]
    if not chunks or len(chunks) != len(seen):
        return None
    plain = AIMessageChunk(content="" if isinstance(chunks[0].content, str) else [])
    return add_ai_message_chunks(plain, *chunks)


def to_message(seen: Sequence[Any]) -> AIMessage | None:
    """Return the message that chunks or events have begun, if they have."""
    joined = join_chunks(seen)
    if joined is not None:
        return cast("AIMessage", message_chunk_to_message(joined))
    text = "".join(_text_of(item) for item in seen)
    return AIMessage(text) if text else None


def _text_of(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and item.get("event") == "content-block-delta":
        delta = item.get("delta") or {}
        return str(delta.get("text", "")) if isinstance(delta, Mapping) else ""
    return "" if isinstance(item, (BaseModel, Mapping)) else str(item)
