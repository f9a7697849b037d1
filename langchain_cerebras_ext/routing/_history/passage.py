"""One pass over a history: each message as the provider takes it, in order."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from langchain_cerebras_ext.errors import UnsupportedFeatureError
from langchain_cerebras_ext.routing._history.answers import (
    Answer,
    guess_provider,
    read_answer,
)
from langchain_cerebras_ext.routing._history.media import (
    fit_media,
    is_media,
    read_media,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_cerebras_ext.routing._history.rules import Rules

__all__ = ["Passage"]

_Block: TypeAlias = str | dict[str, Any]
_Content: TypeAlias = str | list[_Block]

# What a prompt cache or a citation hangs on; refused where it is not known.
_MARKS: Final = frozenset({"cache_control", "citations"})
_ROLES: Final[dict[str, type[BaseMessage]]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_FAILED: Final = re.compile(r"error|fail|exception", re.IGNORECASE)
_NOT_IN_NAMES: Final = re.compile(r"[\s<|\\/>]+")
_NAME_LENGTH: Final = 64
# Ids by which OpenAI's Responses API looks for items that it holds; others, such as
# Anthropic's of messages, begin alike and are not found there.
_ITEM_IDS: Final = ("msg_", "rs_", "resp_")
_PLAIN_TEXT: Final = {"type", "text"}
_PLAIN_REASONING: Final = {"type", "reasoning"}


class Passage:
    """One history on its way to one provider.

    Ids of calls are made to fit, and kept apart: some providers number their calls
    anew in each turn, and others take a result for that of the first call with its id.
    """

    def __init__(self, messages: Sequence[BaseMessage], rules: Rules) -> None:
        self._messages = messages
        self._rules = rules
        self._out: list[BaseMessage] = []
        self._is_changed = False
        self._is_own_turn = False
        self._has_own = False
        # OpenAI's: content in blocks comes from its Responses API.
        self._has_responses = False
        self._has_late_system = False
        # The ids in use, and those of results to come: old -> new, in order.
        self._taken: set[str] = set()
        self._open: dict[str, list[str]] = {}
        self._reserved: frozenset[str] | None = None
        self._answered: frozenset[str] | None = None
        # Media that this provider takes from the user alone, until the turn is over.
        self._carried: list[_Block] = []

    def run(self) -> list[BaseMessage] | None:
        """Return the messages as the provider takes them; `None`: as they are."""
        for position, message in enumerate(self._messages):
            if isinstance(message, AIMessage):
                self._land()
                self._answer(message, position)
            elif isinstance(message, ToolMessage):
                self._result(message, position)
            else:
                self._other(message, position)
        self._land()
        if self._has_late_system:
            self._hoist()
        return self._out if self._is_changed else None

    def _put(self, old: BaseMessage, new: BaseMessage) -> None:
        self._out.append(new)
        if new is not old:
            self._is_changed = True

    # ------------------------------------------------------------------------ answers

    def _answer(self, message: AIMessage, position: int) -> None:
        rules = self._rules
        is_plain = self._is_plain(message)
        if self._is_own(message, is_plain=is_plain):
            self._is_own_turn = self._has_own = True
            self._has_responses = not isinstance(message.content, str)
            for call in message.tool_calls:
                self._open[call["id"] or ""] = []
            self._out.append(message)
            return
        self._is_own_turn = False
        if is_plain:
            calls = message.tool_calls
            is_kept = not calls or self._number(calls) is calls
            has_both = bool(calls and message.content) and not rules.text_with_calls
            has_any = bool(calls or message.content) or rules.empty_answers
            if is_kept and has_any and not has_both and self._name(message) is None:
                self._out.append(message)
                return
            self._forget(calls)
        self._foreign(message, position)

    def _is_own(self, message: AIMessage, *, is_plain: bool) -> bool:
        stamp = message.response_metadata.get("model_provider")
        if stamp is None and not is_plain:
            stamp = guess_provider(message)
        return stamp in self._rules.own

    def _is_plain(self, message: AIMessage) -> bool:
        """Whether there is nothing in it but text and tool calls."""
        content = message.content
        if isinstance(content, str):
            if content and content.isspace():
                return False
        elif not self._rules.reasoning or not _has_standard_blocks(content):
            return False
        if message.invalid_tool_calls:
            return False
        if message.additional_kwargs:
            unsent = self._rules.unsent
            for key, value in message.additional_kwargs.items():
                if not value or key in unsent:
                    continue
                # LangChain has read these; packages send what it made of them.
                if key != "tool_calls" or not message.tool_calls:
                    return False
        return True

    def _foreign(self, message: AIMessage, position: int) -> None:
        """Put what other providers understand of an answer."""
        self._is_changed = True
        answer = read_answer(message, self._results())
        calls = self._number(answer.calls)
        name = self._name(message) or message.name
        message_id = message.id
        if self._rules.name == "openai" and (message_id or "").startswith(_ITEM_IDS):
            message_id = None
        content = self._content_of(answer)
        if calls and content and not self._rules.text_with_calls:
            self._out.append(AIMessage(content=content, name=name))
            content = ""
        if content or calls or self._rules.empty_answers:
            self._out.append(
                AIMessage(content=content, tool_calls=calls, name=name, id=message_id)
            )
        self._carry_all(answer, f"messages[{position}]")

    def _content_of(self, answer: Answer) -> Any:
        if not answer.reasoning or not self._rules.reasoning:
            return answer.text
        blocks = [{"type": "reasoning", "reasoning": answer.reasoning}]
        if answer.text:
            blocks.append({"type": "text", "text": answer.text})
        return blocks

    def _carry_all(self, answer: Answer, where: str) -> None:
        """Hand what an assistant made to the user: few take it from the assistant."""
        if not answer.media:
            return
        if self._rules.tool_media == "refuses" and answer.calls:
            self._refuse_media(where)
        self._carried.append(_text("From the assistant's answer above:"))
        for block in answer.media:
            self._carried.append(fit_media(block, self._rules, f"{where}.content"))

    # --------------------------------------------------------------------- ids, names

    def _number(self, calls: list[ToolCall]) -> list[ToolCall]:
        """Return the calls with ids that fit; the same list if all do."""
        new_ids: list[str] = []
        turn: dict[str, list[str]] = {}
        is_changed = False
        for call in calls:
            asked = call["id"] or ""
            new = self._free_id(asked)
            is_changed = is_changed or new != asked
            self._taken.add(new)
            new_ids.append(new)
            turn.setdefault(asked, []).append(new)
        self._open.update(turn)
        if not is_changed:
            return calls
        return [
            ToolCall(type="tool_call", name=call["name"], args=call["args"], id=new)
            for call, new in zip(calls, new_ids, strict=True)
        ]

    def _forget(self, calls: list[ToolCall]) -> None:
        """Give back the ids of calls that are numbered once more."""
        for call in calls:
            self._taken.difference_update(self._open.get(call["id"] or "", ()))

    def _free_id(self, asked: str) -> str:
        if (
            self._rules.call_id.fullmatch(asked)
            and asked not in self._taken
            and asked not in self._own_ids()
        ):
            return asked
        copy = 0
        while True:
            digest = hashlib.sha256(f"{asked}\n{copy}".encode()).hexdigest()
            new = digest[:9] if self._rules.short_ids else f"call_{digest[:24]}"
            if new not in self._taken and new not in self._own_ids():
                return new
            copy += 1

    def _own_ids(self) -> frozenset[str]:
        """Return the ids in the provider's own answers, which keep them."""
        if self._reserved is None:
            self._reserved = frozenset(
                call["id"] or ""
                for message in self._messages
                if isinstance(message, AIMessage)
                and message.tool_calls
                and self._is_own(message, is_plain=self._is_plain(message))
                for call in message.tool_calls
            )
        return self._reserved

    def _results(self) -> frozenset[str]:
        """Return the ids of the calls that were answered."""
        if self._answered is None:
            self._answered = frozenset(
                message.tool_call_id
                for message in self._messages
                if isinstance(message, ToolMessage)
            )
        return self._answered

    def _name(self, message: BaseMessage) -> str | None:
        """Return another name for a speaker, if his own is refused."""
        name, names = message.name, self._rules.names
        if not name or names is None or names.fullmatch(name):
            return None
        return _NOT_IN_NAMES.sub("_", name)[:_NAME_LENGTH]

    # ------------------------------------------------------------------------ results

    def _result(self, message: ToolMessage, position: int) -> None:
        new_id = self._id_of_result(message.tool_call_id)
        content = cast("_Content", message.content)
        tool_media = self._rules.tool_media
        is_taken = self._is_own_turn and (
            tool_media == "takes"
            or (tool_media == "takes_in_responses" and self._has_responses)
        )
        if not isinstance(content, str) and not is_taken:
            content = self._tool_content(content, new_id, f"messages[{position}]")
        if (
            message.status == "error"
            and not self._rules.tool_status
            and not self._is_own_turn
        ):
            content = _say_failed(content)
        found: dict[str, Any] = {}
        if new_id != message.tool_call_id:
            found["tool_call_id"] = new_id
        if content is not message.content:
            found["content"] = content
        name = self._name(message)
        if name is not None:
            found["name"] = name
        self._put(message, message.model_copy(update=found) if found else message)

    def _id_of_result(self, asked: str) -> str:
        waiting = self._open.get(asked)
        if not waiting:
            return asked
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def _tool_content(
        self, content: list[_Block], call_id: str, where: str
    ) -> _Content:
        kept: list[_Block] = []
        moved: list[_Block] = []
        for number, block in enumerate(content):
            if isinstance(block, str):
                kept.append(block)
                continue
            fit = self._block(block, f"{where}.content[{number}]")
            if is_media(fit) and self._rules.tool_media != "takes":
                if self._rules.tool_media == "refuses":
                    self._refuse_media(f"{where}.content[{number}]")
                moved.append(fit)
                kept.append(_text(f"({_kind(fit)} in the next message)"))
            elif is_media(fit) or isinstance(fit.get("text"), str):
                kept.append(fit)
            else:
                kept.append(self._tool_block(fit))
        if moved:
            self._carried += [_text(f"Result of tool call {call_id}:"), *moved]
        if len(kept) == len(content) and all(
            new is old for new, old in zip(kept, content, strict=True)
        ):
            return content
        if all(isinstance(one, str) or one.get("type") == "text" for one in kept):
            return "\n".join(
                one if isinstance(one, str) else str(one["text"]) for one in kept
            )
        return kept

    def _tool_block(self, block: dict[str, Any]) -> dict[str, Any]:
        """Return a block of a tool's own as JSON, where it is not taken as it is."""
        known = self._rules.tool_blocks
        if known is None or block.get("type") in known:
            return block
        return _text(json.dumps(block, ensure_ascii=False, default=str))

    def _refuse_media(self, where: str) -> None:
        msg = (
            f"{where} has an image or a file beside tool calls, and provider "
            f"{self._rules.name!r} takes them from the user alone, who cannot speak "
            "before the assistant has answered. Let the tool describe it in text."
        )
        raise UnsupportedFeatureError(msg)

    def _land(self, following: HumanMessage | None = None) -> HumanMessage | None:
        """Put what was carried: into the user's message that follows, or into one."""
        if not self._carried:
            return following
        carried, self._carried = self._carried, []
        self._is_changed = True
        if following is None:
            self._out.append(HumanMessage(content=carried))
            return None
        content = following.content
        rest = [_text(content)] if isinstance(content, str) else content
        return following.model_copy(update={"content": [*carried, *rest]})

    # ------------------------------------------------------------------------- others

    def _other(self, message: BaseMessage, position: int) -> None:
        new = message
        if isinstance(message, ChatMessage) and not self._rules.any_role:
            made = _ROLES.get(message.role.lower())
            if made is not None:
                new = made(content=message.content, name=message.name, id=message.id)
            if isinstance(new, AIMessage):
                self._is_changed = True
                self._land()
                self._answer(new, position)
                return
        new = self._fitted(new, f"messages[{position}]")
        if self._carried:
            new = self._land(new if isinstance(new, HumanMessage) else None) or new
        if (
            isinstance(new, SystemMessage)
            and self._out
            and not isinstance(self._out[-1], SystemMessage)
        ):
            self._has_late_system = True
        self._put(message, new)

    def _fitted(self, message: BaseMessage, where: str) -> BaseMessage:
        found: dict[str, Any] = {}
        if not isinstance(message.content, str):
            old = cast("list[_Block]", message.content)
            blocks = [
                one
                if isinstance(one, str)
                else self._block(one, f"{where}.content[{number}]")
                for number, one in enumerate(old)
            ]
            if any(new is not one for new, one in zip(blocks, old, strict=True)):
                found["content"] = blocks
        name = self._name(message)
        if name is not None:
            found["name"] = name
        return message.model_copy(update=found) if found else message

    def _block(self, block: dict[str, Any], where: str) -> dict[str, Any]:
        """Return a block as the provider's package reads it; the same if it does."""
        if not self._rules.marks and not _MARKS.isdisjoint(block):
            block = {key: one for key, one in block.items() if key not in _MARKS}
        kind = block.get("type")
        if kind == "text":
            return block
        if is_media(block):
            return fit_media(block, self._rules, where)
        if kind == "input_text" and "openai" not in self._rules.shapes:
            return _text(str(block.get("text") or ""))
        return block

    def _hoist(self) -> None:
        """Let the system speak first, where it is not heard later."""
        place = self._rules.system
        if place == "anywhere" or (place == "first_for_foreign" and self._has_own):
            return
        self._is_changed = True
        first = [one for one in self._out if isinstance(one, SystemMessage)]
        rest = [one for one in self._out if not isinstance(one, SystemMessage)]
        self._out = [*first, *rest]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _kind(block: dict[str, Any]) -> str:
    found = read_media(block)
    return found.kind if found else "file"


def _has_standard_blocks(content: list[_Block]) -> bool:
    """Whether there is nothing in it but standard text and reasoning."""
    return all(
        isinstance(one, dict)
        and (
            (one.keys() == _PLAIN_TEXT and one["type"] == "text")
            or (one.keys() == _PLAIN_REASONING and one["type"] == "reasoning")
        )
        for one in content
    )


def _say_failed(content: _Content) -> _Content:
    """Say that a tool has failed, unless its words do."""
    if isinstance(content, str):
        return content if _FAILED.search(content) else f"Error: {content}"
    texts = [one if isinstance(one, str) else one.get("text") for one in content]
    if any(isinstance(one, str) and _FAILED.search(one) for one in texts):
        return content
    return [_text("Error:"), *content]
