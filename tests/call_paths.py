"""One call on each of the model's paths, a server's whole answers, and a fake clock.

A path is named by what a user writes; `v3` and `av3` are `stream_events` and
`astream_events` with `version="v3"`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, message_chunk_to_message
from wire_server import DONE, Request, event, plain, sse

PLAIN = ["invoke", "ainvoke"]
STREAMED = ["stream", "astream", "v3", "av3"]
PATHS = [*PLAIN, *STREAMED]
TOLD_OF_HANDLERS = ["invoke", "ainvoke", "v3", "av3"]
"""Where LangChain tells the model of the callback handlers; not under `stream`."""

BETA = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)
"""The paths `v3` and `av3` are in beta."""

ID = "chatcmpl-1"
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
BASE = {"id": ID, "created": 1790000000, "model": "gpt-oss-120b"}


def call(path: str, model: Any, prompt: Any = "hi", /, **kwargs: Any) -> AIMessage:
    """Call a model on a path, and return its whole message."""
    if path.startswith("a"):
        return asyncio.run(acall(path, model, prompt, **kwargs))
    match path:
        case "invoke":
            return model.invoke(prompt, **kwargs)
        case "stream":
            return whole(list(model.stream(prompt, **kwargs)))
        case "v3":
            return model.stream_events(prompt, version="v3", **kwargs).output
    raise AssertionError(path)


async def acall(
    path: str, model: Any, prompt: Any = "hi", /, **kwargs: Any
) -> AIMessage:
    """Call a model on one of the async paths."""
    match path:
        case "ainvoke":
            return await model.ainvoke(prompt, **kwargs)
        case "astream":
            return whole([part async for part in model.astream(prompt, **kwargs)])
        case "av3":
            stream = await model.astream_events(prompt, version="v3", **kwargs)
            return await stream.output
    raise AssertionError(path)


def whole(chunks: list[Any]) -> AIMessage:
    """Return the message that chunks add up to."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return message_chunk_to_message(total)


# ------------------------------------------------------------------------ answers


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    """Return a chunk of a stream."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return event({**BASE, "choices": [choice]})


def counted(usage: Mapping[str, Any] | None = None) -> bytes:
    """Return the chunk that says what a stream has cost."""
    return event({**BASE, "choices": [], "usage": usage or USAGE})


def answer(
    request: Request,
    text: str = "Hello",
    *,
    reasoning: str = "",
    finish_reason: str = "stop",
    usage: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Answer as a whole, streamed if a stream was asked for."""
    message = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning"] = reasoning
    if not request.is_stream:
        choice = {"index": 0, "finish_reason": finish_reason, "message": message}
        body = {**BASE, "choices": [choice], "usage": usage or USAGE}
        return plain(body, headers=headers)
    parts = [delta(role="assistant")]
    if reasoning:
        parts.append(delta(reasoning=reasoning))
    if text:
        parts.append(delta(content=text))
    parts += [delta(finish_reason=finish_reason), counted(usage), DONE]
    return sse(parts, headers=headers)


def refusal(
    status: int, message: str = "no", headers: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """Answer with an error in the flat form."""
    return plain({"message": message}, status, headers)


# --------------------------------------------------------------------------- time


class Clock:
    """Time that passes only in sleeps and where a test says so."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep at once."""
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        """Sleep at once."""
        self.sleep(seconds)
