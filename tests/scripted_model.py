"""A chat model that does what a test says: answers, fails, breaks off, hangs.

Each call takes the next step of its script; the last one is repeated. It keeps what it
was asked, and whether its streams were closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr


@dataclass
class Step:
    """What happens in one call.

    Attributes:
        text: The answer; a stream has a chunk for each word.
        tool: The name of a tool to call, whose arguments come in two fragments.
        fails: Raised; before anything came, or after so many chunks.
        after: See `fails`.
        waits: Held back until somebody sets it; before anything came, or after so many
            chunks.
        reached: Set when a call has come to where it waits.
    """

    text: str = "Hello there dear reader"
    tool: str | None = None
    fails: BaseException | None = None
    after: int = 0
    waits: threading.Event | None = None
    reached: threading.Event | None = None

    def arrive(self) -> None:
        if self.reached is not None:
            self.reached.set()

    def chunks(self) -> list[AIMessageChunk]:
        if self.tool:
            first = {"name": self.tool, "args": '{"a"', "id": "c1", "index": 0}
            more = {"name": None, "args": ": 1}", "id": None, "index": 0}
            pieces = [
                AIMessageChunk(content="", tool_call_chunks=[one])
                for one in (first, more)
            ]
        else:
            words = self.text.split(" ")
            pieces = [
                AIMessageChunk(content=word if n == 0 else f" {word}")
                for n, word in enumerate(words)
            ]
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        end = AIMessageChunk(
            content="",
            usage_metadata=usage,
            response_metadata={"finish_reason": "stop"},
            chunk_position="last",
        )
        return [*pieces, end]

    def message(self) -> AIMessage:
        calls = [{"name": self.tool, "args": {"a": 1}, "id": "c1"}] if self.tool else []
        return AIMessage(
            "" if self.tool else self.text,
            tool_calls=calls,
            usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            response_metadata={"finish_reason": "stop"},
        )


@dataclass
class Seen:
    """What a model was asked, and what became of its streams."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    cancelled: int = 0


class ScriptedModel(BaseChatModel):
    """See the module."""

    label: str
    script: list[Any]
    bound: list[Any] = []  # noqa: RUF012 - a field
    _seen: Seen = PrivateAttr(default_factory=Seen)

    @property
    def seen(self) -> Seen:
        return self._seen

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop=None, **kwargs):
        return {
            "ls_provider": "scripted",
            "ls_model_name": self.label,
            "ls_model_type": "chat",
        }

    def bind_tools(self, tools, **kwargs):
        self.bound.append((tools, kwargs))
        return self.bind(tools=tools, **kwargs)

    def _next(self, messages: list[BaseMessage], stop: Any, kwargs: Any) -> Step:
        self._seen.calls.append({"messages": messages, "stop": stop, **kwargs})
        step = self.script[min(len(self._seen.calls), len(self.script)) - 1]
        return step if isinstance(step, Step) else Step(fails=step)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        step = self._next(messages, stop, kwargs)
        if step.waits is not None:
            step.arrive()
            assert step.waits.wait(20)
        if step.fails is not None:
            raise step.fails
        return ChatResult(generations=[ChatGeneration(message=step.message())])

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        step = self._next(messages, stop, kwargs)
        try:
            await _wait(step)
        except asyncio.CancelledError:
            self._seen.cancelled += 1
            raise
        if step.fails is not None:
            raise step.fails
        return ChatResult(generations=[ChatGeneration(message=step.message())])

    def _stream(
        self, messages, stop=None, run_manager=None, **kwargs
    ) -> Iterator[ChatGenerationChunk]:
        step = self._next(messages, stop, kwargs)
        try:
            for number, chunk in enumerate(step.chunks()):
                if number == step.after:
                    if step.waits is not None:
                        step.arrive()
                        assert step.waits.wait(20)
                    if step.fails is not None:
                        raise step.fails
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:
            self._seen.closed += 1
            raise

    async def _astream(
        self, messages, stop=None, run_manager=None, **kwargs
    ) -> AsyncIterator[ChatGenerationChunk]:
        step = self._next(messages, stop, kwargs)
        try:
            for number, chunk in enumerate(step.chunks()):
                if number == step.after:
                    await _wait(step)
                    if step.fails is not None:
                        raise step.fails
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:
            self._seen.closed += 1
            raise
        except asyncio.CancelledError:
            self._seen.cancelled += 1
            raise


async def _wait(step: Step) -> None:
    step.arrive()
    # An event of threads: the same script serves sync and async calls.
    while step.waits is not None and not step.waits.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.002)
