"""Bytes of a streamed answer in, deltas out; knows when a stream is whole.

Without I/O: the sync and the async loop feed the same object.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from langchain_cerebras_ext._metadata import AnswerFacts
from langchain_cerebras_ext._status import error_status, status_error
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasResponseError,
    StreamInterruptedError,
    mask_secrets,
)
from langchain_cerebras_ext.wire._decode import Delta as WireDelta
from langchain_cerebras_ext.wire._decode import decode_chunk
from langchain_cerebras_ext.wire._sse import (
    ErrorPayload,
    EventTooLargeError,
    SSEDecoder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_cerebras_ext.wire._decode import Choice, Chunk, ToolCall

__all__ = ["Delta", "StreamReader", "ToolFragment"]

Kind = Literal["text", "reasoning", "tools", "refusal", "logprobs"]


class ToolFragment(NamedTuple):
    """A piece of a tool call; `name` and `id` come once, mostly with the first."""

    number: int
    id: str | None
    name: str | None
    args: str


class Delta(NamedTuple):
    """One kind of content: never two kinds in one delta."""

    kind: Kind
    text: str = ""
    tools: tuple[ToolFragment, ...] = ()
    logprobs: dict[str, Any] | None = None


class StreamReader:
    """Read a chat stream.

    Feed every network read to `feed`, then call `finish` once at the end of file.

    Attributes:
        facts: What the chunks said of the whole answer.
        finish_reason: Why the answer ended; `None` until then.
        done: `[DONE]` was seen, or an error; nothing follows.
    """

    __slots__ = (
        "_api_key",
        "_by_index",
        "_failure",
        "_headers",
        "_ids",
        "_last_call",
        "_model",
        "_named",
        "_sse",
        "deltas",
        "done",
        "facts",
        "finish_reason",
        "logprobs",
        "saw_choice",
    )

    def __init__(
        self,
        *,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
    ) -> None:
        self._sse = SSEDecoder()
        self._model = model
        self._headers = headers or {}
        self._api_key = api_key
        self._by_index: dict[int, int] = {}
        self._ids: list[str | None] = []
        self._named: list[bool] = []
        self._last_call = -1
        self.facts = AnswerFacts()
        self.finish_reason: str | None = None
        self.done = False
        self._failure: CerebrasError | None = None
        self.saw_choice = False
        self.deltas: list[Delta] = []
        self.logprobs: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[Delta]:
        """Take one network read and return what it adds, in order.

        Raises:
            CerebrasStatusError: The service sent an error event.
            CerebrasResponseError: An event cannot be read.
        """
        try:
            payloads = self._sse.feed(data)
        except EventTooLargeError as error:
            raise CerebrasResponseError(str(error)) from error
        return self._read(payloads)

    def finish(self) -> list[Delta]:
        """Take the end of file.

        Raises:
            StreamInterruptedError: The stream ended before the answer did.
            CerebrasError: What the last read held after its deltas.
        """
        if self._failure is not None:
            raise self._failure
        deltas: list[Delta] = []
        rest = self._sse.finish()
        if self.finish_reason and rest and b"[DONE]".startswith(rest[0]):
            rest = []  # the answer was whole before `[DONE]` was cut off
        if rest and not self.done:
            try:
                deltas = self._read(rest)
            except CerebrasResponseError as error:
                msg = "The stream ended in the middle of an event."
                raise StreamInterruptedError(msg) from error
        if self.finish_reason is None:
            what = (
                "without a finish_reason"
                if self.saw_choice
                else "before the first part of an answer"
            )
            msg = (
                f"The stream ended {what}: the answer is not whole. What had arrived "
                "is in the error's `partial_message`; try again."
            )
            raise StreamInterruptedError(msg)
        return deltas

    def _read(self, payloads: Iterable[bytes]) -> list[Delta]:
        """Return what events add; an error that follows it in one read comes later.

        A single read may hold half an answer and the error that ends it: what came
        before it is handed on, and `finish` raises.
        """
        deltas: list[Delta] = []
        if self.done:
            return deltas
        try:
            self._read_into(deltas, payloads)
        except CerebrasError as error:
            if not deltas:
                raise
            self._failure = error
            self.done = True
        self.deltas += deltas
        return deltas

    def _read_into(self, deltas: list[Delta], payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            if payload == b"[DONE]":
                self.done = True
                break
            if type(payload) is ErrorPayload:
                raise self._error(payload, None)
            try:
                chunk = decode_chunk(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                said = payload.strip()
                if said == b"[DONE]":
                    self.done = True
                    break
                if not said:
                    continue  # an event without data says nothing
                raise _unreadable(payload, error, self._api_key) from error
            if not chunk.choices:
                self._check_error(chunk, payload)
                self.facts.update(chunk)
                continue
            if chunk.error:
                raise self._error(payload, chunk)
            choice = chunk.choices[0]
            if choice.index > 0:
                continue  # of an answer that was not asked for: never spliced in
            if (
                not self.saw_choice
                or chunk.usage
                or chunk.time_info
                or choice.finish_reason
            ):
                self.saw_choice = True
                self.facts.update(chunk)
                if choice.finish_reason:
                    self.finish_reason = choice.finish_reason
            if choice.delta is not None:
                self._add(choice, choice.delta, deltas)
            elif choice.logprobs:
                self._add(choice, WireDelta(content=choice.text), deltas)
            elif choice.text:
                deltas.append(Delta("text", choice.text))

    def _check_error(self, chunk: Chunk, payload: bytes) -> None:
        said = chunk.message is not None and (chunk.code is not None or not chunk.id)
        if chunk.error or chunk.status_code or chunk.detail or said:
            raise self._error(payload, chunk)

    def _error(self, payload: bytes, chunk: Chunk | None) -> CerebrasError:
        """An error event: the HTTP status stays 200, the body may name one."""
        told = chunk.status_code if chunk else None
        status = error_status(told) or status_in(payload) or 500
        return status_error(
            status,
            bytes(payload),
            self._headers,
            api_key=self._api_key,
            model=self._model,
        )

    def _add(self, choice: Choice, delta: WireDelta, deltas: list[Delta]) -> None:
        if choice.logprobs or choice.reasoning_logprobs:
            logprobs = logprobs_of(choice)
            _extend_logprobs(self.logprobs, logprobs)
            deltas.append(Delta("logprobs", logprobs=logprobs))
        if delta.reasoning:
            deltas.append(Delta("reasoning", delta.reasoning))
        if delta.content:
            deltas.append(Delta("text", content_text(delta.content)))
        if delta.refusal:
            deltas.append(Delta("refusal", delta.refusal))
        if delta.tool_calls:
            deltas.append(Delta("tools", tools=self._fragments(delta.tool_calls)))

    def _fragments(self, calls: list[ToolCall]) -> tuple[ToolFragment, ...]:
        """Number the calls; fragments of one call in one chunk become one.

        The wire's index is not trusted alone: servers leave it out, or give several
        calls the same one, and then a new id starts a new call.
        """
        merged: dict[int, ToolFragment] = {}
        for call in calls:
            function = call.function
            name = (function.name if function else None) or None
            args = (function.arguments if function else None) or ""
            index, adopts = self._number(call)
            named = self._named[index]
            if name and not named:
                self._named[index] = True
            piece = ToolFragment(
                index,
                (call.id or None) if adopts else None,
                None if named else name,
                args,
            )
            old = merged.get(index)
            if old is not None:
                piece = ToolFragment(
                    index, old.id or piece.id, old.name or piece.name, old.args + args
                )
            merged[index] = piece
        return tuple(merged.values())

    def _number(self, call: ToolCall) -> tuple[int, bool]:
        """Return the call's number, and whether its id is news."""
        number = self._find(call)
        if number is None:
            number = len(self._ids)
            self._ids.append(call.id or None)
            self._named.append(False)
            self._last_call = number
            if call.index is not None:
                self._by_index[call.index] = number
            return number, True
        self._last_call = number
        adopts = bool(call.id) and self._ids[number] is None
        if adopts:
            self._ids[number] = call.id
        return number, adopts

    def _find(self, call: ToolCall) -> int | None:
        named = call.function.name if call.function else None
        if call.id and call.id in self._ids:
            number = self._ids.index(call.id)
            other = call.index is not None and self._by_index.get(call.index) != number
            # The same id under a new index, with a name: another call all the same.
            return None if other and named else number
        if call.index is None:
            is_new = call.id or named or self._last_call < 0
            return None if is_new else self._last_call
        known = self._by_index.get(call.index)
        if known is not None and call.id and self._ids[known] is not None:
            return None  # another id under the same index: another call
        return known


def _unreadable(
    payload: bytes, error: Exception, api_key: str | None
) -> CerebrasResponseError:
    shown = mask_secrets(payload[:400].decode("utf-8", "replace"), api_key)[:200]
    return CerebrasResponseError(
        f"An event of the stream cannot be read ({error}): {shown!r}."
    )


def status_in(payload: bytes) -> int | None:
    """Return a status that an error body carries anywhere it has been seen."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    for place in (body, inner if isinstance(inner, dict) else {}):
        for name in ("status_code", "status", "code"):
            value = place.get(name)
            found = error_status(value)
            if found is not None:
                return found
    kinds = f"{body.get('type')} {body.get('code')} {inner}"
    if "too_many" in kinds or "quota" in kinds or "queue" in kinds:
        return 429
    if "invalid_request" in kinds or "wrong_api_format" in kinds:
        return 400
    return None


def content_text(content: str | list[Any]) -> str:
    """Return the text of content, which may come as a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(
        str(part.get("text") or "") for part in content if isinstance(part, dict)
    )


def logprobs_of(choice: Choice) -> dict[str, Any]:
    """Return the log probabilities of a choice, without the keys that are null."""
    found: dict[str, Any] = {}
    for name, value in (
        ("logprobs", choice.logprobs),
        ("reasoning_logprobs", choice.reasoning_logprobs),
    ):
        kept = {key: items for key, items in (value or {}).items() if items is not None}
        if kept:
            found[name] = kept
    return found


def _extend_logprobs(into: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        target = into.setdefault(name, {})
        for key, items in value.items():
            if isinstance(items, list):
                target.setdefault(key, []).extend(items)
            else:
                target[key] = items
