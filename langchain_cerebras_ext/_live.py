"""What a stream has brought so far, for those who show it: terminal and notebook.

Nothing here prints or knows a display: items of any LangChain stream go in, entries
(reasoning, text, tool calls and their results) and figures come out.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolMessage,
)
from langchain_core.messages.ai import add_usage
from pydantic import BaseModel

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata

__all__ = [
    "Entry",
    "Figures",
    "LiveStream",
    "Piece",
    "SpeedMeter",
    "close_stream",
    "figures_of",
    "printable",
]

Kind: TypeAlias = Literal["reasoning", "text", "tool_call", "tool_result", "value"]

_BYTES_PER_TOKEN = 4
_SHORTEST_SPAN_S = 0.02

# Escape sequences could move the cursor, change colours or the clipboard; what turns
# the direction of writing around makes a line read otherwise than it is.
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])?"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """Return a text without what a terminal would obey; line breaks and tabs stay."""
    return _CONTROLS.sub("", text)


class SpeedMeter:
    """Estimates tokens per second while a stream runs.

    The service tells the number of tokens at the end only, so bytes stand for it: four
    to a token, which is near enough for most languages. `Figures` has the true count.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._last = self._started
        self._bytes = 0

    def add(self, text: str) -> None:
        """Count a piece that has just come."""
        self._last = self._clock()
        if self._first is None:
            self._first = self._last
        self._bytes += len(text.encode("utf-8", "replace"))

    @property
    def tokens(self) -> int:
        """Estimated tokens so far."""
        return round(self._bytes / _BYTES_PER_TOKEN)

    @property
    def first_token_s(self) -> float | None:
        """Seconds from the start to the first piece; `None` before it."""
        return None if self._first is None else self._first - self._started

    @property
    def elapsed_s(self) -> float:
        """Seconds from the start to the last piece."""
        return self._last - self._started

    @property
    def tokens_per_s(self) -> float | None:
        """Estimated speed since the first piece; `None` while it would be a guess."""
        if self._first is None or self._last - self._first < _SHORTEST_SPAN_S:
            return None
        return self.tokens / (self._last - self._first)

    def status(self) -> str:
        """Return the speed so far as a short text."""
        speed = self.tokens_per_s
        if self._first is None:
            return "waiting for the first token"
        told = f"~{self.tokens:,} tokens"
        return told if speed is None else f"{told} · ~{speed:,.0f} tokens/s"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a call took; `None` is not known.

    Attributes:
        first_token_s: Seconds to the first token.
        total_s: Seconds of the whole call.
        output_tokens_per_s: Speed after the first token.
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the answer, reasoning included.
        reasoning_tokens: Tokens of reasoning.
        cached_tokens: Tokens of the prompt that came from the cache.
    """

    first_token_s: float | None = None
    total_s: float | None = None
    output_tokens_per_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None

    def line(self) -> str:
        """Return the figures that are known as one line."""
        parts: list[str] = []
        if self.first_token_s is not None:
            parts.append(f"first token {self.first_token_s * 1000:,.0f} ms")
        if self.output_tokens_per_s is not None:
            parts.append(f"{self.output_tokens_per_s:,.0f} tokens/s")
        if self.output_tokens is not None:
            parts.append(
                _counted(
                    self.output_tokens, "output", self.reasoning_tokens, "reasoning"
                )
            )
        if self.input_tokens is not None:
            parts.append(
                _counted(self.input_tokens, "input", self.cached_tokens, "cached")
            )
        if self.total_s is not None:
            parts.append(f"{self.total_s:.2f} s")
        return " · ".join(parts)

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the figures as JSON takes them."""
        return {name: getattr(self, name) for name in self.__slots__}


def _counted(count: int, what: str, part: int | None, named: str) -> str:
    told = f"{count:,} {what} tokens"
    return told if part is None else f"{told} ({part:,} {named})"


def figures_of(message: AIMessage | None, meter: SpeedMeter | None = None) -> Figures:
    """Return a call's figures.

    Args:
        message: Knows its usage and, if it is one of ours, what was measured.
        meter: Measured the call, for a message that does not know.
    """
    usage: Any = (message.usage_metadata if message else None) or {}
    told: Any = (message.response_metadata if message else {}).get("measured")
    if told is None:
        seen = meter is not None and meter.first_token_s is not None
        told = {
            "time_to_first_token_s": meter.first_token_s if meter else None,
            "total_s": meter.elapsed_s if meter and seen else None,
            "output_tokens_per_s": meter.tokens_per_s if meter else None,
        }
    return Figures(
        first_token_s=told.get("time_to_first_token_s"),
        total_s=told.get("total_s"),
        output_tokens_per_s=told.get("output_tokens_per_s"),
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        reasoning_tokens=(usage.get("output_token_details") or {}).get("reasoning"),
        cached_tokens=(usage.get("input_token_details") or {}).get("cache_read"),
    )


@dataclass(slots=True)
class Entry:
    """One part of what came: a run of text or reasoning, a tool call or its result.

    Attributes:
        kind: What it is; a `value` is the newest state of a structured answer.
        text: The text, the arguments, the result, or the value as JSON.
        name: The tool's name.
        key: Which tool call of which message.
    """

    kind: Kind
    text: str = ""
    name: str = ""
    key: object = None


class Piece(NamedTuple):
    """What an item added to an entry."""

    entry: Entry
    added: str
    is_new: bool


class LiveStream:
    """Takes the items of a stream one by one, and tells what they make together.

    Chunks, whole messages, texts, structured partials, events of LangChain's `v3`
    and the pairs of LangGraph's `stream_mode="messages"` are all understood.

    Args:
        clock: Seconds that never go back.

    Example:
        >>> live = LiveStream()
        >>> for text in ("Hello ", "there"):
        ...     pieces = live.add(text)
        >>> live.text
        'Hello there'
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.meter = SpeedMeter(clock)
        self.entries: list[Entry] = []
        self._messages: dict[str, list[AIMessage]] = {}
        self._last_id = ""
        self._value: object = None
        self._is_text = False

    # ---------------------------------------------------------------------- what came

    @property
    def text(self) -> str:
        """All text so far."""
        return self._joined("text")

    @property
    def reasoning(self) -> str:
        """All reasoning so far."""
        return self._joined("reasoning")

    def _joined(self, kind: Kind) -> str:
        return "".join(entry.text for entry in self.entries if entry.kind == kind)

    @property
    def message(self) -> AIMessage | None:
        """The chunks of the last message, summed; `None` if none came."""
        return self._sum(self._last_id) if self._messages else None

    def _sum(self, message_id: str) -> AIMessage:
        parts = self._messages[message_id]
        first, *rest = parts
        if rest and all(isinstance(part, AIMessageChunk) for part in parts):
            return cast("AIMessage", cast("Any", first) + rest)
        return parts[-1]

    @property
    def result(self) -> Any:
        """The last message; else the last structured value; else the text."""
        if self._value is not None:
            return self._value
        if self._messages:
            return self.message
        return self.text if self._is_text else None

    def figures(self) -> Figures:
        """Return the figures of all messages together."""
        messages = [self._sum(message_id) for message_id in self._messages]
        if len(messages) <= 1:
            return figures_of(messages[0] if messages else None, self.meter)
        usage: UsageMetadata | None = None
        for message in messages:
            usage = add_usage(usage, message.usage_metadata)
        # Tools took their time in between, so there is no speed of the whole.
        whole = figures_of(AIMessage("", usage_metadata=usage), self.meter)
        return replace(whole, output_tokens_per_s=None)

    # --------------------------------------------------------------------- what comes

    def add(self, item: object) -> list[Piece]:
        """Take an item.

        Args:
            item: What the stream yielded.

        Returns:
            What it added, in order; empty for what has nothing to show.
        """
        message = _message_in(item)
        if isinstance(message, AIMessage):
            return [*self._add_message(message)]
        if isinstance(message, ToolMessage):
            name = message.name or "tool"
            return [self._grow("tool_result", message.text, name, message.tool_call_id)]
        if message is not None or item is None:
            return []
        if isinstance(item, str):
            self._is_text = True
            return [self._grow("text", item)] if item else []
        if isinstance(item, Mapping) and "event" in item:
            return [*self._add_event(cast("Mapping[str, Any]", item))]
        return [self._set_value(item)]

    def _add_message(self, message: AIMessage) -> Iterator[Piece]:
        known = message.id is None or message.id == self._last_id
        if not known or not self._messages:
            self._last_id = message.id or ""
        self._messages.setdefault(self._last_id, []).append(message)
        reasoning, text = _reasoning_in(message), message.text
        if reasoning:
            yield self._grow("reasoning", reasoning, key=self._last_id)
        if text:
            yield self._grow("text", text, key=self._last_id)
        for key, name, args in _calls_in(message):
            yield self._grow("tool_call", args, name, (self._last_id, key))

    def _grow(self, kind: Kind, text: str, name: str = "", key: object = None) -> Piece:
        """Add to the last entry if it goes on, else begin one."""
        if kind != "tool_result":
            self.meter.add(text)
        entry = next(
            (
                one
                for one in reversed(self.entries[-8:])
                if one.kind == kind and one.key == key
            ),
            None,
        )
        goes_on = entry is not None and (
            kind == "tool_call" or entry is self.entries[-1]
        )
        if entry is None or not goes_on:
            entry = Entry(kind, "", "", key)
            self.entries.append(entry)
        entry.text += text
        entry.name += name
        return Piece(entry, text, not goes_on)

    def _set_value(self, value: object) -> Piece:
        """Take a newer state of a structured answer in the place of the one before."""
        self._value = value
        text = _as_json(value)
        entry = self.entries[-1] if self.entries else None
        is_new = entry is None or entry.kind != "value"
        if entry is None or is_new:
            entry = Entry("value")
            self.entries.append(entry)
        self.meter.add(text[len(entry.text) :])
        entry.text = text
        return Piece(entry, text, is_new)

    def _add_event(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """Take an event of LangChain's `version="v3"`."""
        index = event.get("index")
        match event["event"]:
            case "content-block-start" if _is_call(event.get("content")):
                block = event["content"]
                args = block.get("args")
                yield self._grow(
                    "tool_call",
                    args if isinstance(args, str) else "",
                    block.get("name") or "",
                    index,
                )
            case "content-block-delta":
                delta: Mapping[str, Any] = event.get("delta") or {}
                if delta.get("text"):
                    yield self._grow("text", str(delta["text"]), key=index)
                elif delta.get("reasoning"):
                    yield self._grow("reasoning", str(delta["reasoning"]), key=index)
                elif delta.get("args"):
                    yield self._grow("tool_call", str(delta["args"]), key=index)
            case "message-finish":
                self._messages[""] = [
                    AIMessage(
                        self.text,
                        usage_metadata=event.get("usage"),
                        response_metadata=dict(event.get("metadata") or {}),
                    )
                ]
            case _:
                pass


def _message_in(item: object) -> BaseMessage | None:
    """Return the message of an item: itself, or the first of LangGraph's pair."""
    if isinstance(item, tuple) and item:
        item = cast("tuple[object, ...]", item)[0]
    return item if isinstance(item, BaseMessage) else None


def _reasoning_in(message: AIMessage) -> str:
    told = message.additional_kwargs.get("reasoning_content")
    if isinstance(told, str) and told:
        return told
    if isinstance(message.content, str):
        return ""
    blocks = cast("list[Any]", message.content)
    return "".join(
        str(block.get("reasoning") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "reasoning"
    )


def _calls_in(message: AIMessage) -> Iterator[tuple[object, str, str]]:
    """Yield each call, or fragment of one: its key, name and arguments as text."""
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        for piece in message.tool_call_chunks:
            yield piece["index"], piece["name"] or "", piece["args"] or ""
        return
    for call in message.tool_calls:
        yield call["id"], call["name"], _as_json(call["args"], indent=None)


def _is_call(block: Any) -> bool:
    return isinstance(block, dict) and "tool_call" in str(block.get("type"))


def _as_json(value: object, indent: int | None = 2) -> str:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(plain, ensure_ascii=False, indent=indent, default=str)


def close_stream(stream: object) -> None:
    """End a synchronous stream: its connection is closed, not read to the end."""
    close = getattr(stream, "close", None)
    if callable(close):
        close()
