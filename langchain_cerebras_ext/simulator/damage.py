"""What a fault does to an answer: pure functions from bytes to bytes and places.

Nothing here sends anything; `http` plays what is decided here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext.simulator._json import dump, fields_of, items_of
from langchain_cerebras_ext.simulator.encode import encode_error_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_cerebras_ext.simulator._json import JsonObject
    from langchain_cerebras_ext.simulator.network_faults import Damage

_SEVERAL_BYTES: Final = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_ARGUMENTS: Final = re.compile(rb'"arguments": ?"((?:[^"\\]|\\.)+)"')
_AT_LEAST: Final = 2
"""Events before a fault in the middle of a short stream: the role, and some text."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where an answer breaks.

    Attributes:
        index: So many events are sent whole; 0 for a plain body.
        offset: So many bytes of the next one follow.
    """

    index: int
    offset: int


class DoesNotFitError(ValueError):
    """A fault needs something that the answer does not have."""


def find_break(damage: Damage, parts: Sequence[bytes], *, streamed: bool) -> Break:
    """Return where an answer breaks.

    Args:
        damage: The fault.
        parts: The events of a stream, or one whole body.
        streamed: Whether it is a stream.

    Raises:
        DoesNotFitError: The answer has nothing that could break in this way.
    """
    if damage.name == "cut_in_character":
        return _in_character(parts)
    if damage.name == "cut_in_tool_arguments":
        return _in_arguments(parts)
    if damage.after_bytes is not None:
        return _after_bytes(parts, damage.after_bytes)
    if streamed:
        return Break(_event_index(damage, len(parts), len(parts)), 0)
    return Break(0, cut_offset(damage, len(parts[0])))


def cut_offset(damage: Damage, size: int) -> int:
    """Return after how many of some bytes they break: never after the last."""
    if damage.after_bytes is None:
        wanted = int(size * (0.5 if damage.at is None else damage.at))
    else:
        wanted = damage.after_bytes
    return max(0, min(wanted, size - 1))


def _after_bytes(parts: Sequence[bytes], wanted: int) -> Break:
    left = max(0, min(wanted, sum(map(len, parts)) - 1))
    for index, part in enumerate(parts):
        if left < len(part):
            return Break(index, left)
        left -= len(part)
    return Break(0, 0)  # Nothing is there that could break.


def _event_index(damage: Damage, count: int, most: int) -> int:
    """Return after how many of a stream's events a fault strikes."""
    if damage.after_events is not None:
        return min(damage.after_events, most)
    usual = max(1, count - 2)  # Before the finish reason and `[DONE]`.
    if damage.at is None:
        return min(usual, max(_AT_LEAST, usual // 2))
    return int(damage.at * (usual + 1))


def _in_character(parts: Sequence[bytes]) -> Break:
    for index, part in enumerate(parts):
        found = _SEVERAL_BYTES.search(part)
        if found is not None:
            return Break(index, found.start() + 1)
    msg = (
        "fault='cut_in_character' needs an answer with a character of several bytes; "
        "script one, such as reply('Grüße')."
    )
    raise DoesNotFitError(msg)


def _in_arguments(parts: Sequence[bytes]) -> Break:
    """Break in the middle one of the pieces that carry arguments."""
    found = [
        (index, match)
        for index, part in enumerate(parts)
        for match in _ARGUMENTS.finditer(part)
    ]
    if not found:
        msg = (
            "fault='cut_in_tool_arguments' needs an answer with a tool call that has "
            "arguments; script one with reply_with_tool(...)."
        )
        raise DoesNotFitError(msg)
    index, match = found[len(found) // 2]
    return Break(index, (match.start(1) + match.end(1) + 1) // 2)


# --------------------------------------------------------------------- changed answers


def damaged_body(damage: Damage, body: bytes) -> bytes:
    """Return a plain body as a fault leaves it."""
    if damage.name == "empty_body":
        return b""
    if damage.name == "half_json":
        return body[: cut_offset(damage, len(body))]
    if damage.name in {"no_choices", "null_message"}:
        return _reshaped(damage, fields_of(json.loads(body)))
    return body


def _reshaped(damage: Damage, answer: JsonObject) -> bytes:
    if damage.name == "no_choices":
        return dump({**answer, "choices": []})
    choices = [
        {**choice, ("message" if "message" in choice else "text"): None}
        for choice in map(fields_of, items_of(answer.get("choices")))
    ]
    return dump({**answer, "choices": choices})


def damaged_events(
    damage: Damage, events: Sequence[tuple[int, bytes]]
) -> tuple[list[tuple[int, bytes]], int]:
    """Return a stream as a fault leaves it, and how many of its events are real."""
    count = len(events)
    last = count - 1
    if damage.name == "empty_body":
        return [], 0
    if damage.name == "no_finish_reason":
        kept = [pair for pair in events if not _ends_a_choice(pair[1])]
        return kept, len(kept)
    if damage.name == "end_early":
        at = _event_index(damage, count, max(0, count - 2))
        return list(events[:at]), at
    if damage.name == "error_event":
        at = _event_index(damage, count, last)
        event = encode_error_event(
            damage.error, named=damage.named_event, shape=damage.error_shape
        )
        return [*events[:at], (0, event)], at
    if damage.name == "malformed_event":
        at = _event_index(damage, count, max(0, last - 1))
        tokens, event = events[at]
        broken = event[: len(event) // 2] + b"\n\n"
        return [*events[:at], (tokens, broken), *events[at + 1 :]], count
    return list(events), count


def _ends_a_choice(event: bytes) -> bool:
    """Say whether an event tells a finish reason, or usage after it."""
    if b'"finish_reason":' not in event and b'"usage":' not in event:
        return False
    value = fields_of(json.loads(event.removeprefix(b"data: ")))
    ended = any(
        "finish_reason" in choice
        for choice in map(fields_of, items_of(value.get("choices")))
    )
    return ended or "usage" in value
