"""An answer that is whole but of no use says why: once, and at the caller's line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from inspect import currentframe
from pathlib import Path
from typing import Any

import pytest
from call_paths import BASE, BETA, PATHS, acall, answer, call, delta, whole
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel
from wire_server import DONE, Request, WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras, _warnings
from langchain_cerebras_ext.errors import (
    CerebrasAnswerWarning,
    StructuredOutputError,
)

pytestmark = BETA

FILTERED = (
    "The service's content filter ended the answer (finish_reason content_filter): it "
    "may be empty or cut off. Rephrase the prompt."
)
CUT_THINKING = (
    "The answer holds only reasoning: the token limit came before the first word of "
    "text (finish_reason length). Raise max_tokens, or lower reasoning_effort."
)
ONLY_THINKING = (
    "The answer holds only reasoning and no text (finish_reason stop). Ask again, or "
    "lower reasoning_effort."
)

NOTED = [
    pytest.param({"text": "He", "finish_reason": "content_filter"}, FILTERED, id="filtered_half_way"),
    pytest.param({"text": "", "finish_reason": "content_filter"}, FILTERED, id="filtered_at_once"),
    pytest.param({"text": "", "reasoning": "Hm.", "finish_reason": "content_filter"}, FILTERED, id="filtered_while_thinking"),
    pytest.param({"text": "", "reasoning": "Hm.", "finish_reason": "length"}, CUT_THINKING, id="only_reasoning_cut"),
    pytest.param({"text": "", "reasoning": "Hm.", "finish_reason": "stop"}, ONLY_THINKING, id="only_reasoning"),
]  # fmt: skip

NOT_NOTED = [
    pytest.param({"text": "Hello"}, id="text"),
    pytest.param({"text": "Hello", "reasoning": "Hm."}, id="text_and_reasoning"),
    pytest.param({"text": "Hel", "finish_reason": "length"}, id="text_cut"),
    pytest.param({"text": "", "finish_reason": "stop"}, id="empty"),
    pytest.param({"text": "", "finish_reason": "length"}, id="empty_cut"),
]


@pytest.fixture(autouse=True)
def told() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of a test; each counts, however often it was given before."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message=".*is in beta")
        yield caught


def ours(told: list[warnings.WarningMessage]) -> list[warnings.WarningMessage]:
    return [each for each in told if each.category is CerebrasAnswerWarning]


# ----------------------------------------------------------------------- every path


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("said", "notice"), NOTED)
def test_an_answer_of_no_use_says_why_once(
    path: str, said: dict[str, Any], notice: str, told: Any
) -> None:
    with WireServer(lambda request: answer(request, **said)) as server:
        message = call(path, ChatCerebras(base_url=server.url))
    assert message.response_metadata["notice"] == notice
    assert message.response_metadata["finish_reason"] == said["finish_reason"]
    assert message.text == said["text"]
    (warning,) = ours(told)
    assert str(warning.message) == notice


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("said", NOT_NOTED)
def test_other_answers_say_nothing(path: str, said: dict[str, Any], told: Any) -> None:
    with WireServer(lambda request: answer(request, **said)) as server:
        message = call(path, ChatCerebras(base_url=server.url))
    assert "notice" not in message.response_metadata
    assert ours(told) == []


CALL = {"id": "t", "index": 0, "function": {"name": "look", "arguments": "{}"}}


def calls_a_tool(request: Request) -> Iterator[bytes]:
    message = {"role": "assistant", "reasoning": "Hm.", "tool_calls": [CALL]}
    if request.is_stream:
        parts = [delta(reasoning="Hm."), delta(tool_calls=[CALL])]
        return sse([*parts, delta(finish_reason="tool_calls"), DONE])
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    return plain({**BASE, "choices": [choice]})


def calls_half_a_tool(request: Request) -> Iterator[bytes]:
    half = {**CALL, "function": {"name": "look", "arguments": '{"a'}}
    message = {"role": "assistant", "reasoning": "Hm.", "tool_calls": [half]}
    if request.is_stream:
        parts = [delta(reasoning="Hm."), delta(tool_calls=[half])]
        return sse([*parts, delta(finish_reason="length"), DONE])
    choice = {"index": 0, "finish_reason": "length", "message": message}
    return plain({**BASE, "choices": [choice]})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reply", [calls_a_tool, calls_half_a_tool])
def test_a_tool_call_is_an_answer(
    path: str, reply: Callable[[Request], Iterator[bytes]], told: Any
) -> None:
    with WireServer(reply) as server:
        message = call(path, ChatCerebras(base_url=server.url))
    assert "notice" not in message.response_metadata
    assert ours(told) == []


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_each_of_several_answers_has_its_own_notice(path: str, told: Any) -> None:
    choices = [
        {"index": 0, "finish_reason": "stop", "message": {"content": "Hello"}},
        {"index": 1, "finish_reason": "content_filter", "message": {"content": ""}},
        {"index": 2, "finish_reason": "stop", "message": {"reasoning": "Hm."}},
    ]
    with WireServer(lambda _: plain({**BASE, "choices": choices})) as server:
        model = ChatCerebras(base_url=server.url, n=3)
        messages = [model._convert_input("hi").to_messages()]
        found = (
            model.generate(messages)
            if path == "invoke"
            else asyncio.run(model.agenerate(messages))
        )
    notices = [
        generation.message.response_metadata.get("notice")  # type: ignore[union-attr]
        for generation in found.generations[0]
    ]
    assert notices == [None, FILTERED, ONLY_THINKING]
    assert [str(each.message) for each in ours(told)] == [FILTERED, ONLY_THINKING]


def only_thinks(request: Request) -> Iterator[bytes]:
    return answer(request, "", reasoning="Hm.", finish_reason="length")


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_the_notice_stands_on_the_last_chunk_alone(path: str) -> None:
    """Texts of metadata are joined when chunks are added."""

    async def collect(model: ChatCerebras) -> list[Any]:
        return [part async for part in model.astream("hi")]

    with WireServer(only_thinks) as server:
        model = ChatCerebras(base_url=server.url)
        parts = (
            list(model.stream("hi"))
            if path == "stream"
            else asyncio.run(collect(model))
        )
    with_notice = [part for part in parts if "notice" in part.response_metadata]
    assert with_notice == parts[-1:]
    assert whole(parts).response_metadata["notice"] == CUT_THINKING


# ------------------------------------------------------------------- structured output


class Person(BaseModel):
    """A person."""

    name: str


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream"])
def test_structured_output_raises_instead(path: str, method: Any, told: Any) -> None:
    with WireServer(only_thinks) as server:
        model = ChatCerebras(base_url=server.url)
        structured = model.with_structured_output(Person, method=method)
        with pytest.raises(StructuredOutputError):
            if path == "stream":
                list(structured.stream("hi"))
            elif path == "invoke":
                structured.invoke("hi")
            else:
                asyncio.run(structured.ainvoke("hi"))
    assert ours(told) == []


@pytest.mark.parametrize(
    ("kwargs", "is_told"),
    [
        ({"tool_choice": "auto"}, True),
        ({"tool_choice": "none"}, True),
        ({}, True),
        ({"tool_choice": "required"}, False),
        ({"tool_choice": "look"}, False),
    ],
    ids=["auto", "none", "unset", "required", "named"],
)
def test_a_forced_tool_call_that_is_missing_is_left_to_who_forced_it(
    kwargs: dict[str, Any], is_told: bool, told: Any
) -> None:
    def look(place: str) -> str:
        """Look."""
        return place

    with WireServer(only_thinks) as server:
        bound = ChatCerebras(base_url=server.url).bind_tools([look], **kwargs)
        message: Any = bound.invoke("hi")
    assert message.response_metadata["notice"] == CUT_THINKING
    assert bool(ours(told)) is is_told


# ------------------------------------------------------------------- the caller's line


def line() -> int:
    """Return the number of the caller's line."""
    frame = currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def sync_lines(model: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return ways to call a model, and the line on which each does."""

    def invoke() -> None:
        model.invoke("hi")

    def stream() -> None:
        for _ in model.stream("hi"):
            pass

    def listed() -> None:
        list(model.stream("hi"))

    def v3() -> None:
        _ = model.stream_events("hi", version="v3").output

    def generate() -> None:
        model.generate([model._convert_input("hi").to_messages()])

    def chain() -> None:
        (model | RunnableLambda(lambda message: message)).invoke("hi")

    def bound() -> None:
        model.bind(seed=1).invoke("hi")

    def retrying() -> None:
        model.with_retry(stop_after_attempt=1).invoke("hi")

    def fallback() -> None:
        model.with_fallbacks([model]).invoke("hi")

    ways = [invoke, stream, listed, v3, generate, chain, bound, retrying, fallback]
    return {way.__name__: (way, way.__code__.co_firstlineno + 1) for way in ways}


@pytest.mark.parametrize("way", sync_lines(None))
def test_the_warning_points_at_the_callers_line(way: str, told: Any) -> None:
    with WireServer(only_thinks) as server:
        act, number = sync_lines(ChatCerebras(base_url=server.url))[way]
        act()
    (warning,) = ours(told)
    assert (warning.filename, warning.lineno) == (__file__, number)


def async_lines(model: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return ways to call a model, and the line on which each does."""

    async def ainvoke() -> None:
        await model.ainvoke("hi")

    async def astream() -> None:
        async for _ in model.astream("hi"):
            pass

    async def agenerate() -> None:
        await model.agenerate([model._convert_input("hi").to_messages()])

    async def bound() -> None:
        await model.bind(seed=1).ainvoke("hi")

    async def limited() -> None:
        await asyncio.wait_for(model.ainvoke("hi"), 30)

    async def chain() -> None:
        await (model | RunnableLambda(lambda message: message)).ainvoke("hi")

    ways = [ainvoke, astream, agenerate, bound, limited, chain]
    return {way.__name__: (way, way.__code__.co_firstlineno + 1) for way in ways}


@pytest.mark.parametrize("way", async_lines(None))
def test_the_warning_of_an_async_call_points_at_the_callers_line(
    way: str, told: Any
) -> None:
    with WireServer(only_thinks) as server:
        act, number = async_lines(ChatCerebras(base_url=server.url))[way]
        asyncio.run(act())
    (warning,) = ours(told)
    assert warning.filename == __file__
    if way == "astream":  # LangChain makes a task of its own of the others
        assert warning.lineno == number


async def gathered(model: ChatCerebras) -> None:
    await asyncio.gather(model.ainvoke("hi"), model.ainvoke("hi"))


async def as_a_task(model: ChatCerebras) -> None:
    await asyncio.create_task(acall("ainvoke", model))


@pytest.mark.parametrize("way", [gathered, as_a_task])
def test_in_a_task_the_warning_points_at_code_of_the_caller(
    way: Callable[..., Any], told: Any
) -> None:
    """The line that made the task is gone; the nearest that is known is told."""
    with WireServer(only_thinks) as server:
        model = ChatCerebras(base_url=server.url)
        asyncio.run(way(model))
    assert ours(told)
    for warning in ours(told):
        assert Path(warning.filename).name in {Path(__file__).name, "call_paths.py"}


def test_in_threads_the_warning_is_given_all_the_same(told: Any) -> None:
    with WireServer(only_thinks) as server:
        model = ChatCerebras(base_url=server.url)
        model.batch(["hi", "hi"])
        thread = threading.Thread(target=model.invoke, args=("hi",))
        thread.start()
        thread.join()
    assert [str(each.message) for each in ours(told)] == [CUT_THINKING] * 3


def test_with_no_frame_of_the_users_the_warning_still_works(
    monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    class Everything:
        def __contains__(self, name: str) -> bool:
            return True

    monkeypatch.setattr(_warnings, "_BETWEEN", Everything())
    _warnings.warn_user("hello", CerebrasAnswerWarning)
    (warning,) = ours(told)
    assert Path(warning.filename).name == Path(__file__).name


USERS_PROGRAM = """\
import asyncio, sys
from langchain_cerebras_ext import ChatCerebras
model = ChatCerebras(base_url=sys.argv[1])
for _ in range(3):
    model.invoke("hi")
list(model.stream("hi"))
async def main():
    await model.ainvoke("hi")
asyncio.run(main())
"""


def test_a_user_sees_his_own_lines(tmp_path: Path) -> None:
    """A script's outermost code too. How often is LangChain's doing, which has Python
    forget what it has shown."""
    program = tmp_path / "program.py"
    program.write_text(USERS_PROGRAM, encoding="utf-8")
    with WireServer(only_thinks) as server:
        done = subprocess.run(
            [sys.executable, str(program), server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    shown = {each for each in done.stderr.splitlines() if "Warning" in each}
    assert shown == {
        f"{program}:{number}: CerebrasAnswerWarning: {CUT_THINKING}"
        # LangChain awaits the model in a task of its own: the line that runs the loop.
        for number in (5, 6, 9)
    }


def test_the_warning_can_be_silenced_and_made_an_error() -> None:
    with WireServer(only_thinks) as server:
        model = ChatCerebras(base_url=server.url)
        with warnings.catch_warnings():
            warnings.simplefilter("error", CerebrasAnswerWarning)
            with pytest.raises(CerebrasAnswerWarning, match="only reasoning"):
                model.invoke("hi")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore", CerebrasAnswerWarning)
            message = model.invoke("hi")
    assert caught == []
    assert json.loads(json.dumps(message.response_metadata))["notice"] == CUT_THINKING
