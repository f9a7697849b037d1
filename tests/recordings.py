"""Recordings of answers: the same answer as a stream, as a plain body and as a message.

Each file in `data/recordings` was written by hand after a wire shape that its note
names; ids, texts and counts are made up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, message_chunk_to_message

FOLDER = Path(__file__).parent / "data" / "recordings"

NOT_COMPARED = ("measured", "attempts", "rate_limits")
"""What differs between two calls with equal answers."""


@dataclass(frozen=True)
class Recording:
    """An answer in all its forms."""

    name: str
    note: str
    events: tuple[bytes, ...]
    body: dict[str, Any]
    message: dict[str, Any]
    content_blocks: list[dict[str, Any]]

    @property
    def stream(self) -> bytes:
        return b"".join(self.events)

    def expected(self) -> AIMessage:
        """The message that every path must give, with plain content."""
        return AIMessage(**self.message)

    def expected_v1(self) -> AIMessage:
        """The same with content blocks as its content."""
        fields = {**self.message, "content": self.content_blocks}
        metadata = {**self.message["response_metadata"], "output_version": "v1"}
        return AIMessage(**{**fields, "response_metadata": metadata})


def load(name: str) -> Recording:
    """Return the recording of a name."""
    raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Recording(
        name,
        raw["note"],
        tuple(event.encode() for event in raw["stream"]),
        raw["body"],
        raw["message"],
        raw["content_blocks"],
    )


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
ALL = [load(name) for name in NAMES]


def comparable(message: Any) -> AIMessage:
    """Return a message, or a sum of chunks, without what may differ between calls."""
    whole = message_chunk_to_message(message).model_copy(deep=True)
    assert type(whole) is AIMessage
    for key in NOT_COMPARED:
        whole.response_metadata.pop(key, None)
    return whole


def without_indexes(message: AIMessage) -> AIMessage:
    """Return a message of the v3 path without the merge indexes of its blocks."""
    blocks = [
        {key: value for key, value in block.items() if key != "index"}
        for block in message.content
    ]
    return message.model_copy(update={"content": blocks})


def add(chunks: Iterator[Any] | list[Any]) -> Any:
    """Return the sum of chunks."""
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total
