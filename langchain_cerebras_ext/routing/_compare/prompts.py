"""What is asked: prompts from a file, from Python, or the built-in ones."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    MessageLikeRepresentation,
    convert_to_messages,
)

from langchain_cerebras_ext.errors import CerebrasConfigurationError

__all__ = ["Prompt", "PromptLike", "load_prompts", "with_expected"]

_KEYS: Final = ("id", "prompt", "messages", "expected")
_DIGEST: Final = 16


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing that every model is asked.

    Attributes:
        id: Its name in results; unique.
        messages: What is sent.
        expected: What the answer is compared with; `None` where nothing is expected.
    """

    id: str
    messages: tuple[BaseMessage, ...]
    expected: Any = None

    @property
    def digest(self) -> str:
        """What tells this prompt from another one under the same id."""
        parts = [
            [
                message.type,
                message.content,
                message.name,
                getattr(message, "tool_calls", None) or None,
                getattr(message, "tool_call_id", None),
            ]
            for message in self.messages
        ]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


PromptLike: TypeAlias = (
    str | Prompt | Mapping[str, Any] | Sequence[MessageLikeRepresentation]
)
"""A text, messages, or a mapping as a line of a file has it."""

_TICKET: Final = (
    "Order 4471 arrived on 3 March with a cracked lid. Please send a new lid to "
    "Lina Okoro, 12 Harbour Road, Leith. She can be called on weekdays after ten."
)
_EXTRACT: Final = (
    f"Answer with a JSON object alone, with the keys order, name and city:\n\n{_TICKET}"
)
_CODE: Final = (
    "Write a Python function `median(values)` without imports, for lists of odd and "
    "even length. Answer with the code alone."
)
_PUZZLE: Final = (
    "A train leaves at 9:40 and needs 2 hours 35 minutes. A bus leaves half an hour "
    "earlier and needs 3 hours 10 minutes. Which one arrives first, and by how many "
    "minutes?"
)
BUILT_IN: Final = (
    ("short", "Name the three states of matter in one short sentence."),
    ("summary", f"Sum up in one sentence what the customer wants:\n\n{_TICKET}"),
    ("extract", _EXTRACT),
    ("code", _CODE),
    ("reason", _PUZZLE),
)
"""Asked where no prompts are given: short and long, prose, JSON, code, a puzzle."""


def load_prompts(
    given: Sequence[PromptLike] | os.PathLike[str] | None,
) -> tuple[Prompt, ...]:
    """Return the prompts that are meant.

    Args:
        given: Texts, messages or mappings; the path of a file of JSON lines; `None`
            for the built-in prompts.

    Raises:
        CerebrasConfigurationError: A prompt cannot be read, has the id of another one,
            or there are none; the message says which line.
    """
    if given is None:
        return tuple(Prompt(name, (HumanMessage(text),)) for name, text in BUILT_IN)
    if isinstance(given, str):
        msg = (
            f"prompts={given[:60]!r} is one text; pass [text], or Path(...) of a file."
        )
        raise CerebrasConfigurationError(msg)
    if isinstance(given, os.PathLike):
        path = Path(given)
        return _checked(_read_file(path), f"{path.name} has no prompts.")
    rows = [(f"prompts[{at}]", one) for at, one in enumerate(given)]
    return _checked(rows, "prompts is empty; pass a prompt, or None for built-in ones.")


def _read_file(path: Path) -> list[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8."
        raise CerebrasConfigurationError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise CerebrasConfigurationError(msg) from error
    rows: list[tuple[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        try:
            rows.append((place, json.loads(line)))
        except ValueError as error:
            msg = f"{place} is no JSON: {error}. Each line is one object."
            raise CerebrasConfigurationError(msg) from error
        if not isinstance(rows[-1][1], dict):
            msg = f'{place} is no JSON object. Write {{"prompt": "..."}}.'
            raise CerebrasConfigurationError(msg)
    return rows


def _checked(rows: Sequence[tuple[str, Any]], empty: str) -> tuple[Prompt, ...]:
    if not rows:
        raise CerebrasConfigurationError(empty)
    found: dict[str, Prompt] = {}
    places: dict[str, str] = {}
    for number, (place, one) in enumerate(rows, 1):
        prompt = _read(one, place, str(number))
        if prompt.id in found:
            msg = (
                f"{place} has the id {prompt.id!r}, and so has {places[prompt.id]}. "
                "Give each its own."
            )
            raise CerebrasConfigurationError(msg)
        found[prompt.id], places[prompt.id] = prompt, place
    return tuple(found.values())


def _read(one: Any, place: str, number: str) -> Prompt:
    if isinstance(one, Prompt):
        return one
    row: Mapping[str, Any]
    if isinstance(one, Mapping):
        row = cast("Mapping[str, Any]", one)
    else:
        row = {"prompt": one} if isinstance(one, str) else {"messages": one}
    _check_keys(row, place)
    return Prompt(
        _id_of(row.get("id"), place, number), _messages(row, place), row.get("expected")
    )


def _check_keys(row: Mapping[str, Any], place: str) -> None:
    """Refuse what is likely a misspelt key; other keys are the file's own affair."""
    for key in row:
        near = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.75)
        if key not in _KEYS and near and near[0] not in row:
            msg = f"{place} has {key!r}. Did you mean {near[0]!r}?"
            raise CerebrasConfigurationError(msg)


def _id_of(given: Any, place: str, number: str) -> str:
    if given is None:
        return number
    if isinstance(given, bool) or not isinstance(given, (str, int)) or given == "":
        msg = f"{place}: id={given!r} must be a text or a whole number."
        raise CerebrasConfigurationError(msg)
    return str(given)


def _messages(row: Mapping[str, Any], place: str) -> tuple[BaseMessage, ...]:
    text, messages = row.get("prompt"), row.get("messages")
    if (text is None) is (messages is None):
        msg = f"{place} must have either 'prompt' (a text) or 'messages' (a list)."
        raise CerebrasConfigurationError(msg)
    if text is not None:
        if not isinstance(text, str) or not text.strip():
            msg = f"{place}: prompt={text!r} must be a text that is not empty."
            raise CerebrasConfigurationError(msg)
        return (HumanMessage(text),)
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        msg = f"{place}: messages must be a list of messages that is not empty."
        raise CerebrasConfigurationError(msg)
    try:
        return tuple(convert_to_messages(messages))
    except Exception as error:
        first = str(error).partition("\n")[0]
        msg = (
            f"{place}: messages cannot be read: {first} Write "
            '[{"role": "user", "content": "..."}].'
        )
        raise CerebrasConfigurationError(msg) from error


def with_expected(
    prompts: Sequence[Prompt], expected: Mapping[str, Any] | Sequence[Any] | None
) -> tuple[Prompt, ...]:
    """Return prompts with what is expected of the answers.

    Args:
        prompts: The prompts.
        expected: By prompt id, or one for each prompt in their order.

    Raises:
        CerebrasConfigurationError: There is no such prompt, or there are too many or
            too few.
    """
    if expected is None:
        return tuple(prompts)
    if isinstance(expected, Mapping):
        by_id = {str(key): value for key, value in expected.items()}
        lost = sorted(set(by_id) - {one.id for one in prompts})
        if lost:
            msg = f"expected has {lost[0]!r}, which is no prompt's id."
            raise CerebrasConfigurationError(msg)
        return tuple(
            replace(one, expected=by_id.get(one.id, one.expected)) for one in prompts
        )
    if isinstance(expected, str) or len(expected) != len(prompts):
        msg = (
            f"expected must have one entry for each of the {len(prompts)} prompts, or "
            "be a mapping by their ids."
        )
        raise CerebrasConfigurationError(msg)
    return tuple(
        replace(one, expected=value)
        for one, value in zip(prompts, expected, strict=True)
    )
