"""Deltas as the events of LangChain's content-block protocol (`version="v3"`).

LangChain can make these events from chunks by itself; made here they cost a tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_cerebras_ext._chunk import parse_call
from langchain_cerebras_ext._metadata import PROVIDER
from langchain_cerebras_ext._translator import TOOL_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_protocol.protocol import MessagesData

    from langchain_cerebras_ext._messages_out import Ending
    from langchain_cerebras_ext._stream_reader import Delta, ToolFragment

__all__ = ["EventWriter"]


class _Block:
    """A content block that is being written."""

    __slots__ = ("call_id", "index", "kind", "name", "texts")

    def __init__(
        self,
        index: int,
        kind: str,
        name: str | None = None,
        call_id: str | None = None,
    ) -> None:
        self.index = index
        self.kind = kind
        self.name = name
        self.call_id = call_id
        self.texts: list[str] = []

    def finished(self, reason: str | None) -> dict[str, Any]:
        text = "".join(self.texts)
        if self.kind == "tools":
            return dict(parse_call(self.name, text, self.call_id, reason))
        return {"type": self.kind, self.kind: text}


class EventWriter:
    """Turn the deltas of one stream into events, in the order of the protocol.

    Blocks are numbered by first sight and finished when the answer is whole.
    """

    def __init__(self) -> None:
        self._blocks: dict[str | int, _Block] = {}
        self._started = False

    def add(
        self, deltas: Iterable[Delta], message_id: str | None, model: str | None
    ) -> Iterator[MessagesData]:
        """Yield the events of some deltas; `message-start` comes before the first."""
        if not self._started:
            self._started = True
            yield self._start(message_id, model)
        for delta in deltas:
            if delta.kind == "tools":
                for piece in delta.tools:
                    yield from self._tool(piece)
            elif delta.kind != "logprobs":
                yield from self._text(delta.kind, delta.text)

    def finish(self, ending: Ending) -> Iterator[MessagesData]:
        """Yield the events that end the message."""
        if not self._started:
            self._started = True
            model = ending.response_metadata.get("model_name")
            yield self._start(ending.message_id, model)
        reason = ending.response_metadata.get("finish_reason")
        for block in self._blocks.values():
            yield cast(
                "MessagesData",
                {
                    "event": "content-block-finish",
                    "index": block.index,
                    "content": block.finished(reason),
                },
            )
        finish: dict[str, Any] = {
            "event": "message-finish",
            "metadata": {**ending.response_metadata, **ending.logprobs},
        }
        if ending.usage_metadata is not None:
            finish["usage"] = ending.usage_metadata
        kwargs = {
            name: "".join(self._blocks[kind].texts)
            for name, kind in (
                ("reasoning_content", "reasoning"),
                ("refusal", "refusal"),
            )
            if kind in self._blocks
        }
        if kwargs:
            finish["additional_kwargs"] = kwargs
        yield cast("MessagesData", finish)

    def _start(self, message_id: str | None, model: str | None) -> MessagesData:
        metadata = {"provider": PROVIDER}
        if model:
            metadata["model"] = model
        return cast(
            "MessagesData",
            {
                "event": "message-start",
                "role": "ai",
                "id": message_id or "",
                "metadata": metadata,
            },
        )

    def _text(self, kind: str, text: str) -> Iterator[MessagesData]:
        block = self._blocks.get(kind)
        if block is None:
            block = self._blocks[kind] = _Block(len(self._blocks), kind)
            yield _begin(block.index, {"type": kind, kind: ""})
        block.texts.append(text)
        if kind != "refusal":  # the protocol has no delta for it
            yield _delta(block.index, {"type": f"{kind}-delta", kind: text})

    def _tool(self, piece: ToolFragment) -> Iterator[MessagesData]:
        block = self._blocks.get(piece.number)
        if block is None:
            block = _Block(len(self._blocks), "tools", piece.name, piece.id)
            self._blocks[piece.number] = block
            yield _begin(
                block.index,
                {
                    "type": "tool_call_chunk",
                    "id": piece.id,
                    "name": piece.name,
                    "args": "",
                    "index": f"{TOOL_INDEX}{piece.number}",
                },
            )
        block.call_id = block.call_id or piece.id
        block.name = block.name or piece.name
        if piece.args:
            block.texts.append(piece.args)
            yield _delta(block.index, {"type": "tool-call-delta", "args": piece.args})


def _begin(index: int, content: dict[str, Any]) -> MessagesData:
    event = {"event": "content-block-start", "index": index, "content": content}
    return cast("MessagesData", event)


def _delta(index: int, delta: dict[str, Any]) -> MessagesData:
    event = {"event": "content-block-delta", "index": index, "delta": delta}
    return cast("MessagesData", event)
