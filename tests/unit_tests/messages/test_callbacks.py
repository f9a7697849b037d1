"""Callback handlers see every chunk once, on every path, and errors with what came."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import langchain_core
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.graph import START, MessagesState, StateGraph
from recordings import add, comparable, load
from wire_server import CUT, Request, WireServer, plain, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasError, StreamInterruptedError

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
    ),
    pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated"),
]

RECORDING = load("reasoning_text_tools")
TOKENS = ["", "", "Let me look", " that up.", "", "", ""]
"""Two chunks of reasoning, two of text, two of a tool call, and the last."""


class _Log:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.tokens: list[Any] = []
        self.chunks: list[Any] = []
        self.ends: list[Any] = []
        self.errors: list[tuple[BaseException, Any]] = []
        self.starts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def note(self, hook: str, /, *args: Any, **kwargs: Any) -> None:
        self.names.append(hook)
        match hook:
            case "start":
                self.starts.append(kwargs)
            case "token":
                self.tokens.append(args[0])
                self.chunks.append(kwargs.get("chunk"))
            case "end":
                self.ends.append(args[0])
            case "error":
                self.errors.append((args[0], kwargs.get("response")))
            case "event":
                self.events.append(args[0])


class SyncHandler(BaseCallbackHandler):
    raise_error = True

    def __init__(self) -> None:
        self.log = _Log()

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.log.note("start", *args, **kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.log.note("token", token, **kwargs)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.log.note("end", response, **kwargs)

    def on_llm_error(self, error: Any, **kwargs: Any) -> None:
        self.log.note("error", error, **kwargs)

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.log.note("event", event, **kwargs)


class AsyncHandler(AsyncCallbackHandler):
    raise_error = True

    def __init__(self) -> None:
        self.log = _Log()

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.log.note("start", *args, **kwargs)

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.log.note("token", token, **kwargs)

    async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.log.note("end", response, **kwargs)

    async def on_llm_error(self, error: Any, **kwargs: Any) -> None:
        self.log.note("error", error, **kwargs)

    async def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.log.note("event", event, **kwargs)


class V3Handler(SyncHandler, _V2StreamingCallbackHandler):
    """Sends `invoke` down the path of v3 events."""


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    def answer(request: Request) -> Iterator[bytes]:
        if request.is_stream:
            return sse(RECORDING.events)
        return plain(RECORDING.body)

    with WireServer(answer) as found:
        yield found


def call(path: str, model: ChatCerebras, config: Any) -> None:
    async def astream() -> None:
        async for _ in model.astream("hi", config):
            pass

    async def av3() -> None:
        stream = await model.astream_events("hi", config, version="v3")
        try:
            await stream.output
        finally:  # LangChain ends the run in a task, after the output is there
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=5)

    async def aevents(version: Any) -> None:
        async for _ in model.astream_events("hi", config, version=version):
            pass

    match path:
        case "invoke":
            model.invoke("hi", config)
        case "ainvoke":
            asyncio.run(model.ainvoke("hi", config))
        case "stream":
            list(model.stream("hi", config))
        case "astream":
            asyncio.run(astream())
        case "invoke_streamed":
            model.invoke("hi", config, stream=True)
        case "ainvoke_streamed":
            asyncio.run(model.ainvoke("hi", config, stream=True))
        case "batch_streamed":
            model.batch(["hi"], config, stream=True)
        case "abatch_streamed":
            asyncio.run(model.abatch(["hi"], config, stream=True))
        case "v3":
            model.stream_events("hi", config, version="v3").output  # noqa: B018
        case "av3":
            asyncio.run(av3())
        case "events_v1":
            asyncio.run(aevents("v1"))
        case "events_v2":
            asyncio.run(aevents("v2"))
        case _:
            raise AssertionError(path)


STREAMED = [
    "stream",
    "astream",
    "invoke_streamed",
    "ainvoke_streamed",
    "batch_streamed",
    "abatch_streamed",
    "v3",
    "av3",
    "events_v1",
    "events_v2",
]


@pytest.mark.parametrize("coalesce", [False, True], ids=["each_delta", "coalesced"])
@pytest.mark.parametrize("handler_class", [SyncHandler, AsyncHandler])
@pytest.mark.parametrize("path", STREAMED)
def test_every_chunk_is_a_token_once(
    server: WireServer, path: str, handler_class: type[Any], coalesce: bool
) -> None:
    handler = handler_class()
    model = ChatCerebras(base_url=server.url, coalesce_stream=coalesce)
    call(path, model, {"callbacks": [handler]})
    log: _Log = handler.log
    assert log.names[0] == "start"
    assert log.names[-1] == "end"
    assert [log.names.count(name) for name in ("start", "end", "error")] == [1, 1, 0]
    assert "".join(log.tokens) == "Let me look that up."
    if not coalesce:
        assert log.tokens == TOKENS
    assert all(isinstance(chunk, ChatGenerationChunk) for chunk in log.chunks)
    assert [chunk.text for chunk in log.chunks] == log.tokens
    total = add([chunk.message for chunk in log.chunks])
    assert comparable(total) == RECORDING.expected()
    ended = log.ends[0].generations[0][0].message
    assert ended.usage_metadata == RECORDING.message["usage_metadata"]
    assert ended.response_metadata["model_name"] == "gpt-oss-120b"


@pytest.mark.parametrize("handler_class", [SyncHandler, AsyncHandler])
@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_a_plain_answer_has_no_tokens(
    server: WireServer, path: str, handler_class: type[Any]
) -> None:
    handler = handler_class()
    call(path, ChatCerebras(base_url=server.url), {"callbacks": [handler]})
    assert handler.log.names == ["start", "end"]
    assert type(handler.log.ends[0].generations[0][0].message) is AIMessage


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_a_model_that_streams_always_has_tokens_under_invoke(
    server: WireServer, path: str
) -> None:
    handler = SyncHandler()
    model = ChatCerebras(base_url=server.url, streaming=True)
    call(path, model, {"callbacks": [handler]})
    assert handler.log.tokens == TOKENS


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "v3", "av3"])
def test_a_v3_handler_sees_each_event_once_and_each_token_once(
    server: WireServer, path: str
) -> None:
    handler = V3Handler()
    call(path, ChatCerebras(base_url=server.url), {"callbacks": [handler]})
    log = handler.log
    assert log.tokens == TOKENS
    kinds = [event["event"] for event in log.events]
    assert kinds.count("message-start") == kinds.count("message-finish") == 1
    assert kinds.count("content-block-delta") == 5
    assert [log.names.count(name) for name in ("start", "end", "error")] == [1, 1, 0]


def test_every_answer_of_a_batch_has_its_own_tokens(server: WireServer) -> None:
    handler = SyncHandler()
    model = ChatCerebras(base_url=server.url)
    model.batch(["a", "b", "c"], {"callbacks": [handler]}, stream=True)
    assert sorted(handler.log.tokens) == sorted(TOKENS * 3)
    assert handler.log.names.count("end") == 3


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_events_of_a_chat_model(server: WireServer, version: Any) -> None:
    model = ChatCerebras(base_url=server.url)

    async def go(source: Any) -> list[Any]:
        return [event async for event in source.astream_events("hi", version=version)]

    def streamed(events: list[Any]) -> list[Any]:
        return [e for e in events if e["event"] == "on_chat_model_stream"]

    events = asyncio.run(go(model))
    names = [event["event"] for event in events]
    assert names == [
        "on_chat_model_start",
        *["on_chat_model_stream"] * 7,
        "on_chat_model_end",
    ]
    chunks = [event["data"]["chunk"] for event in streamed(events)]
    assert comparable(add(chunks)) == RECORDING.expected()
    if version == "v2":  # v1 has no metadata of a model
        assert events[0]["metadata"]["ls_provider"] == "cerebras"

    async def ask(text: str) -> Any:
        return await model.ainvoke(text)

    from langchain_core.runnables import RunnableLambda

    inner = streamed(asyncio.run(go(RunnableLambda(ask))))
    assert len(inner) == 7


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_langgraph_streams_each_chunk_of_an_invoke_once(
    server: WireServer, is_async: bool
) -> None:
    model = ChatCerebras(base_url=server.url)
    handler = SyncHandler()

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def aask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", aask if is_async else ask)
    graph.add_edge(START, "ask")
    compiled = graph.compile()
    question: Any = {"messages": [HumanMessage("hi")]}
    config: Any = {"callbacks": [handler]}

    async def go() -> list[Any]:
        stream = compiled.astream(question, config, stream_mode="messages")
        return [part async for part in stream]

    if is_async:
        parts = asyncio.run(go())
    else:
        parts = list(compiled.stream(question, config, stream_mode="messages"))
    assert comparable(add([part[0] for part in parts])) == RECORDING.expected()
    assert len(parts) == 7
    assert handler.log.tokens == TOKENS
    assert {part[1]["ls_provider"] for part in parts} == {"cerebras"}


# --------------------------------------------------------------------- descriptions


class Tracer(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


@pytest.mark.parametrize("path", ["invoke", "ainvoke", *STREAMED])
def test_a_run_is_named_tagged_and_filed_under_cerebras(
    server: WireServer, path: str
) -> None:
    tracer, handler = Tracer(), SyncHandler()
    model = ChatCerebras(
        base_url=server.url,
        tags=["model_tag"],
        metadata={"owner": "us"},
        temperature=0.5,
    )
    config = {
        "callbacks": [tracer, handler],
        "run_name": "ask",
        "tags": ["call_tag"],
        "metadata": {"user": "me"},
    }
    call(path, model, config)
    (run,) = tracer.runs
    assert run.name == "ask"
    assert run.error is None
    assert {"model_tag", "call_tag"} <= set(run.tags or [])
    metadata = run.extra["metadata"]
    assert metadata["owner"] == "us"
    assert metadata["user"] == "me"
    assert metadata["ls_provider"] == "cerebras"
    assert metadata["ls_model_name"] == "gpt-oss-120b"
    assert metadata["ls_model_type"] == "chat"
    assert metadata["ls_temperature"] == 0.5
    assert "langchain-cerebras-ext" in metadata["lc_versions"]
    (start,) = handler.log.starts
    assert start["name"] == "ask"
    assert isinstance(start["run_id"], UUID)
    message = handler.log.ends[0].generations[0][0].message
    assert message.response_metadata["model_provider"] == metadata["ls_provider"]


def test_parameters_of_a_trace_are_those_of_the_call() -> None:
    model = ChatCerebras(
        base_url="http://127.0.0.1:1", temperature=0.1, max_tokens=5, stop=["a"]
    )
    assert model._get_ls_params() == {
        "ls_provider": "cerebras",
        "ls_model_name": "gpt-oss-120b",
        "ls_model_type": "chat",
        "ls_temperature": 0.1,
        "ls_max_tokens": 5,
        "ls_stop": ["a"],
    }
    changed = model._get_ls_params(
        stop=["b"], model="cerebras::zai-glm-4.7", temperature=0.9, max_tokens=7
    )
    assert changed == {
        "ls_provider": "cerebras",
        "ls_model_name": "zai-glm-4.7",
        "ls_model_type": "chat",
        "ls_temperature": 0.9,
        "ls_max_tokens": 7,
        "ls_stop": ["b"],
    }
    bare = ChatCerebras(base_url="http://127.0.0.1:1")._get_ls_params()
    assert set(bare) == {"ls_provider", "ls_model_name", "ls_model_type"}


def test_no_key_is_in_what_a_tracer_is_given() -> None:
    key = "csk-" + "k" * 40
    tracer, handler = Tracer(), SyncHandler()
    with WireServer(lambda _: plain(RECORDING.body)) as server:
        model = ChatCerebras(base_url=server.url, api_key=key)
        model.invoke("hi", {"callbacks": [tracer, handler]})
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert key not in repr(tracer.runs[0].model_dump())
    assert key not in repr(handler.log.starts)


# --------------------------------------------------------------------------- errors


@pytest.fixture
def cut() -> Iterator[WireServer]:
    """Break off after reasoning and a part of the text."""
    with WireServer(lambda _: sse([*RECORDING.events[:4], CUT])) as found:
        yield found


@pytest.mark.parametrize("path", STREAMED)
def test_an_error_carries_what_had_arrived_to_the_handler(
    cut: WireServer, path: str
) -> None:
    handler = SyncHandler()
    model = ChatCerebras(base_url=cut.url, max_retries=2)
    with warnings.catch_warnings(), pytest.raises(CerebrasError) as caught:
        warnings.simplefilter("ignore")
        call(path, model, {"callbacks": [handler]})
    error = caught.value
    assert isinstance(error, StreamInterruptedError)
    assert len(cut.requests) == 1, "nothing is sent again once a part was handed on"
    partial = error.partial_message
    assert partial is not None
    assert partial.content == "Let me look"
    assert partial.additional_kwargs == {"reasoning_content": "I need the weather."}
    log = handler.log
    assert log.tokens == TOKENS[:3]
    ((told, response),) = log.errors
    assert told is error
    assert log.names.count("end") == 0
    if path in {"stream", "astream"}:
        first = response.generations[0][0].message
        assert first.content == "Let me look"
        assert first.additional_kwargs == {"reasoning_content": "I need the weather."}


@pytest.mark.parametrize(
    "path", ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
)
def test_a_refusal_reaches_the_handler_with_status_and_headers(path: str) -> None:
    body = {
        "message": "Wrong API Key",
        "type": "invalid_request_error",
        "param": "api_key",
        "code": "wrong_api_key",
    }
    handler = SyncHandler()
    headers = {"inference-id": "req-1", "cf-ray": "ray-1"}
    with WireServer(lambda _: plain(body, 401, headers)) as server:
        model = ChatCerebras(base_url=server.url, api_key="csk-" + "k" * 40)
        with pytest.raises(CerebrasError) as caught:
            call(path, model, {"callbacks": [handler]})
    ((told, response),) = handler.log.errors
    assert told is caught.value
    if path in {"v3", "av3"} and langchain_core.__version__ == "1.7.0":
        assert not response.generations  # that version tells the error alone
        return
    described = response.generations[-1][0].message.response_metadata
    assert described["status_code"] == 401
    assert described["body"]["code"] == "wrong_api_key"
    assert described["headers"]["cf-ray"] == "ray-1"
    assert described["request_id"] == "req-1"


def test_leaving_a_stream_tells_the_handler_what_had_arrived(
    server: WireServer,
) -> None:
    handler = SyncHandler()
    model = ChatCerebras(base_url=server.url)
    stream = model.stream("hi", {"callbacks": [handler]})
    for _ in range(3):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    ((error, response),) = handler.log.errors
    assert isinstance(error, GeneratorExit)
    assert response.generations[0][0].message.content == "Let me look"
