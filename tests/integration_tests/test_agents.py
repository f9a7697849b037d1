"""`ChatCerebras` as the model of LangChain's agents, against the simulator."""

from __future__ import annotations

import json
import operator
import warnings
from contextlib import asynccontextmanager, contextmanager

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
    wrap_tool_call,
)
from langchain.agents.structured_output import (
    ProviderStrategy,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain.chat_models import base as langchain_base
from langchain.chat_models import init_chat_model
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.event_hooks import register_serde_event_listener
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from openai_models import chat_openai
from pydantic import BaseModel, Field

from langchain_cerebras_ext import ChatCerebras, register_with_langchain
from langchain_cerebras_ext._chunk import CerebrasMessageChunk
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    InternalServerError,
    RateLimitError,
)
from langchain_cerebras_ext.retry import RetryPolicy

MODEL = "gpt-oss-120b"
NATIVE = "zai-glm-4.7"
"""A model that takes tools together with a schema, and several calls at once."""


@pytest.fixture
def make(sim):
    def build(model=MODEL, **kwargs):
        kwargs.setdefault("max_retries", 0)
        with warnings.catch_warnings():
            # A retired model warns; here it stands for what it can.
            warnings.simplefilter("ignore")
            return ChatCerebras(
                model=model, base_url=sim.base_url, api_key="csk-test", **kwargs
            )

    return build


@pytest.fixture
def model(make):
    return make()


@pytest.fixture
def done():
    """What the tools did, in order."""
    return []


@pytest.fixture
def tools(done):
    @tool
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        done.append(("get_weather", city))
        return f"It is 17 degrees in {city}."

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        done.append(("add", a, b))
        return a + b

    return [get_weather, add]


def _ask(text):
    return {"messages": [HumanMessage(text)]}


WEATHER = _ask("What is the weather in Lisbon?")
SUM = _ask("Add 2 and 3.")


def _types(messages):
    return [type(message) for message in messages]


ONE_TOOL = [HumanMessage, AIMessage, ToolMessage, AIMessage]

# ------------------------------------------------------------------------------ tools


@pytest.mark.parametrize("asynchronous", [False, True], ids=["invoke", "ainvoke"])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [(WEATHER, ("get_weather", "Lisbon")), (SUM, ("add", 2, 3))],
    ids=["weather", "sum"],
)
async def test_an_agent_calls_the_right_one_of_two_tools(
    model, tools, done, asked, expected, asynchronous
):
    agent = create_agent(model, tools)
    result = await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
    messages = result["messages"]
    assert done == [expected]
    assert _types(messages) == ONE_TOOL
    assert messages[-1].text
    assert messages[-1].response_metadata["model_provider"] == "cerebras"


@pytest.fixture
def registered(monkeypatch):
    """Registration changes a table of LangChain's: take it back after the test."""
    monkeypatch.setattr(
        langchain_base,
        "_BUILTIN_PROVIDERS",
        dict(langchain_base._BUILTIN_PROVIDERS),
    )
    with pytest.raises(ValueError, match="cerebras"):
        init_chat_model("cerebras:gpt-oss-120b")
    register_with_langchain()


def test_an_agent_is_made_by_the_models_name(sim, tools, done, registered, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    agent = create_agent("cerebras:gpt-oss-120b", tools)
    assert _types(agent.invoke(WEATHER)["messages"]) == ONE_TOOL
    assert done == [("get_weather", "Lisbon")]


def test_a_configurable_model_by_name_takes_its_settings(sim, registered, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
    monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
    chosen = init_chat_model(configurable_fields=("model", "model_provider"))
    config = {"configurable": {"model": "cerebras:qwen-3.8-27b"}}
    answer = chosen.invoke("Hello", config)
    assert answer.response_metadata["model_name"] == "qwen-3.8-27b"
    by_keyword = init_chat_model(MODEL, model_provider="cerebras", temperature=0.2)
    assert isinstance(by_keyword, ChatCerebras)
    assert by_keyword.temperature == 0.2


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_several_calls_in_one_turn_all_run(sim, make, tools, done, streamed):
    sim.reply_with_tool(
        [
            {"name": "get_weather", "arguments": {"city": "Lisbon"}, "id": "call_a"},
            {"name": "get_weather", "arguments": {"city": "Porto"}, "id": "call_b"},
            {"name": "add", "arguments": {"a": 1, "b": 2}, "id": "call_c"},
        ],
    )
    sim.reply("All done.")
    agent = create_agent(make(NATIVE, streaming=streamed), tools)
    messages = agent.invoke(_ask("Look and add."))["messages"]
    assert _types(messages) == [HumanMessage, AIMessage, *[ToolMessage] * 3, AIMessage]
    assert sorted(done, key=str) == [
        ("add", 1, 2),
        ("get_weather", "Lisbon"),
        ("get_weather", "Porto"),
    ]
    answers = {message.tool_call_id: message.content for message in messages[2:5]}
    assert answers["call_b"] == "It is 17 degrees in Porto."
    sent = sim.chat_requests[1].body["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", *["tool"] * 3]


def _failing_tool(error):
    @tool
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        raise error

    return get_weather


@wrap_tool_call
def tell_errors(request, handler):
    """Turn a tool's error into a message, as LangChain's documentation advises."""
    try:
        return handler(request)
    except RuntimeError as error:
        return ToolMessage(
            f"Failed: {error}", tool_call_id=request.tool_call["id"], status="error"
        )


@pytest.mark.parametrize(
    "middleware",
    [
        tell_errors,
        ToolRetryMiddleware(max_retries=0, on_failure="continue"),
    ],
    ids=["own", "tool_retry"],
)
def test_an_error_in_a_tool_is_told_to_the_model_which_goes_on(sim, model, middleware):
    broken = _failing_tool(RuntimeError("no connection to the station"))
    agent = create_agent(model, [broken], middleware=[middleware])
    messages = agent.invoke(WEATHER)["messages"]
    assert _types(messages) == ONE_TOOL
    assert messages[2].status == "error"
    assert "no connection to the station" in messages[2].content
    assert messages[3].text
    sent = sim.chat_requests[1].body["messages"][-1]
    assert sent["role"] == "tool"
    assert "no connection to the station" in json.dumps(sent["content"])


def test_arguments_that_do_not_fit_are_told_to_the_model(sim, model, tools, done):
    sim.reply_with_tool("add", {"a": "two", "b": 3})
    sim.reply_with_tool("add", {"a": 2, "b": 3})
    sim.reply("Five.")
    messages = create_agent(model, tools).invoke(SUM)["messages"]
    assert messages[2].status == "error"
    assert done == [("add", 2, 3)]
    assert messages[-1].text == "Five."


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "messages", "v3"])
async def test_a_call_that_was_cut_off_is_never_run(sim, make, done, how):
    """Half the arguments are valid for the tool, which must not see them."""

    @tool
    def delete_files(folder: str, only_older_than_days: int = 0) -> str:
        """Delete the files of a folder."""
        done.append(folder)
        return "deleted"

    sim.reply_with_tool(
        "delete_files", '{"folder": "/data", "only_older', finish_reason="length"
    )
    agent = create_agent(make(), [delete_files])
    asked = _ask("Delete what is older than 30 days.")
    if how == "messages":
        list(agent.stream(asked, stream_mode="messages"))
        return_value = None
    elif how == "v3":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the beta warning of version 3
            stream = agent.stream_events(asked, version="v3")
            return_value = stream.output
    else:
        call = agent.ainvoke(asked) if how == "ainvoke" else agent.invoke(asked)
        return_value = await call if how == "ainvoke" else call
    assert done == []
    if return_value is not None:
        last = return_value["messages"][-1]
        assert isinstance(last, AIMessage)
        assert last.tool_calls == []
        assert [bad["name"] for bad in last.invalid_tool_calls] == ["delete_files"]


# ----------------------------------------------------------------------------- memory


@pytest.fixture
def strict_checkpoints():
    """Hear of each type that the serialiser does not know: there must be none."""
    heard = []
    stop = register_serde_event_listener(heard.append)
    yield
    stop()
    assert heard == []


def _texts_in(saver, config):
    state = saver.get_tuple(config).checkpoint["channel_values"]["messages"]
    assert not any(isinstance(message, AIMessageChunk) for message in state)
    return [message.text for message in state]


@contextmanager
def _memory(kind, path):
    if kind == "memory":
        yield InMemorySaver()
        return
    with SqliteSaver.from_conn_string(str(path / "memory.db")) as saver:
        yield saver


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("way", ["invoke", "messages", "updates"])
def test_an_agent_remembers_a_conversation(
    sim, model, tools, tmp_path, kind, way, strict_checkpoints
):
    config = {"configurable": {"thread_id": "one"}}
    sim.reply("goodbye", reasoning="They leave.", when="goodbye")
    with _memory(kind, tmp_path) as saver:
        agent = create_agent(model, tools, checkpointer=saver)
        for turn in (WEATHER, _ask("Say 'goodbye'")):
            if way == "invoke":
                agent.invoke(turn, config)
            else:
                list(agent.stream(turn, config, stream_mode=way))
        texts = _texts_in(saver, config)
        (first_answer, last_answer) = texts[3], texts[5]
        assert last_answer == "goodbye"
        assert len(texts) == 6
        sent = sim.chat_requests[-1].body["messages"]
        assert [turn["role"] for turn in sent] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]
        assert sent[3]["content"] == first_answer
        # The reasoning of an earlier turn goes back in the field that the model takes.
        assert sent[1]["reasoning"]
        sim.reply("Hello.", when="Hello")
        agent.invoke(_ask("Hello"), {"configurable": {"thread_id": "two"}})
        assert len(sim.chat_requests[-1].body["messages"]) == 1


@asynccontextmanager
async def _async_memory(kind, path):
    if kind == "memory":
        yield InMemorySaver()
        return
    async with AsyncSqliteSaver.from_conn_string(str(path / "memory.db")) as saver:
        yield saver


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_an_agent_remembers_in_a_loop(
    sim, model, tools, tmp_path, kind, strict_checkpoints
):
    config = {"configurable": {"thread_id": "one"}}
    sim.reply("goodbye", when="goodbye")
    async with _async_memory(kind, tmp_path) as saver:
        agent = create_agent(model, tools, checkpointer=saver)
        await agent.ainvoke(WEATHER, config)
        parts = [
            part
            async for part in agent.astream(
                _ask("Say 'goodbye'"), config, stream_mode="messages"
            )
        ]
        assert "".join(chunk.text for chunk, _ in parts) == "goodbye"
        saved = await saver.aget_tuple(config)
        messages = saved.checkpoint["channel_values"]["messages"]
        assert len(messages) == 6
        assert not any(isinstance(message, AIMessageChunk) for message in messages)


def test_what_was_saved_is_what_was_answered(
    model, tools, tmp_path, strict_checkpoints
):
    """Metadata, usage and reasoning survive the way through the database."""
    config = {"configurable": {"thread_id": "one"}}
    with _memory("sqlite", tmp_path) as saver:
        agent = create_agent(model, tools, checkpointer=saver)
        answered = agent.invoke(WEATHER, config)["messages"]
    with _memory("sqlite", tmp_path) as saver:
        saved = saver.get_tuple(config).checkpoint["channel_values"]["messages"]
    assert saved == answered
    assert saved[1].usage_metadata["output_token_details"]["reasoning"] > 0
    assert "time_info" in saved[1].response_metadata


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_graphs_own_node_may_hand_over_a_summed_stream(sim, model, tmp_path, kind):
    """LangGraph makes a message of a chunk, ours as its own."""

    def talk(state):
        return {"messages": [_sum(list(model.stream(state["messages"])))]}

    sim.reply("Light is scattered.", reasoning="Physics.")
    config = {"configurable": {"thread_id": "one"}}
    with _memory(kind, tmp_path) as saver:
        graph = StateGraph(MessagesState)
        graph.add_node("talk", talk)
        graph.add_edge(START, "talk")
        graph.add_edge("talk", END)
        app = graph.compile(checkpointer=saver)
        app.invoke(_ask("Why is the sky blue?"), config)
        messages = app.get_state(config).values["messages"]
        assert _types(messages) == [HumanMessage, AIMessage]
        assert messages[1].text == "Light is scattered."
        assert messages[1].additional_kwargs["reasoning_content"] == "Physics."
        app.invoke(_ask("And red?"), config)
        assert len(app.get_state(config).values["messages"]) == 4


# -------------------------------------------------------------------------- streaming


async def _streamed(agent, asked, mode, asynchronous):
    if asynchronous:
        return [part async for part in agent.astream(asked, stream_mode=mode)]
    return list(agent.stream(asked, stream_mode=mode))


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])


@both
async def test_tokens_are_streamed_as_they_come(sim, model, tools, asynchronous):
    agent = create_agent(model, tools)
    parts = await _streamed(agent, WEATHER, "messages", asynchronous)
    chunks = [chunk for chunk, _ in parts if isinstance(chunk, AIMessageChunk)]
    assert {type(chunk) for chunk in chunks} == {CerebrasMessageChunk}
    assert len(chunks) > 6
    by_id = {}
    for chunk in chunks:
        by_id.setdefault(chunk.id, []).append(chunk)
    call, answer = (_sum(group) for group in by_id.values())
    assert call.tool_calls[0]["args"] == {"city": "Lisbon"}
    assert "17 degrees" in answer.text
    told = [part[0] for part in parts if isinstance(part[0], ToolMessage)]
    assert [message.content for message in told] == ["It is 17 degrees in Lisbon."]
    assert [one.body.get("stream") for one in sim.chat_requests] == [True, True]


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


@both
async def test_updates_tell_each_step(model, tools, asynchronous):
    agent = create_agent(model, tools)
    parts = await _streamed(agent, WEATHER, "updates", asynchronous)
    assert [next(iter(part)) for part in parts] == ["model", "tools", "model"]
    messages = [
        message for part in parts for message in next(iter(part.values()))["messages"]
    ]
    assert _types(messages) == ONE_TOOL[1:]


@both
async def test_values_tell_the_whole_state(model, tools, asynchronous):
    agent = create_agent(model, tools)
    parts = await _streamed(agent, WEATHER, "values", asynchronous)
    assert [len(part["messages"]) for part in parts] == [1, 2, 3, 4]
    assert _types(parts[-1]["messages"]) == ONE_TOOL


@both
async def test_several_modes_at_once_agree(model, tools, asynchronous):
    agent = create_agent(model, tools)
    modes = ["messages", "updates", "values"]
    parts = await _streamed(agent, WEATHER, modes, asynchronous)
    streamed = "".join(
        data[0].text
        for mode, data in parts
        if mode == "messages" and isinstance(data[0], AIMessageChunk)
    )
    final = [data for mode, data in parts if mode == "values"][-1]["messages"]
    assert streamed == "".join(m.text for m in final if isinstance(m, AIMessage))
    assert _types(final) == ONE_TOOL


def test_streamed_and_plain_runs_end_in_the_same_messages(sim, model, tools):
    agent = create_agent(model, tools)
    plain = agent.invoke(WEATHER)["messages"]
    sim.reset()
    streamed = None
    for mode, data in agent.stream(WEATHER, stream_mode=["messages", "values"]):
        streamed = data["messages"] if mode == "values" else streamed
    assert [_essence(m) for m in plain] == [_essence(m) for m in streamed]


def _essence(message):
    calls = [(c["name"], c["args"]) for c in getattr(message, "tool_calls", [])]
    usage = getattr(message, "usage_metadata", None)
    return message.type, message.content, calls, usage and usage["total_tokens"]


# ------------------------------------------------------------------- structured answer


class Report(BaseModel):
    """What was found out."""

    city: str = Field(description="The city asked for")
    degrees: int = Field(description="The temperature in degrees")


@both
@pytest.mark.parametrize(
    "response_format",
    [Report, ProviderStrategy(Report)],
    ids=["by_profile", "explicit"],
)
async def test_a_model_that_can_do_both_answers_natively(
    sim, make, tools, done, response_format, asynchronous
):
    model = make(NATIVE)
    assert model.profile["structured_output"]
    agent = create_agent(model, tools, response_format=response_format)
    sim.reply_with_tool("get_weather", {"city": "Lisbon"})
    sim.reply('{"city": "Lisbon", "degrees": 17}')
    parts = await _streamed(agent, WEATHER, "values", asynchronous)
    assert parts[-1]["structured_response"] == Report(city="Lisbon", degrees=17)
    assert done == [("get_weather", "Lisbon")]
    for request in sim.chat_requests:
        schema = request.body["response_format"]["json_schema"]
        assert schema["strict"] is True
        assert [one["function"]["name"] for one in request.body["tools"]] == [
            "get_weather",
            "add",
        ]
        # The service refuses tools whose `strict` differs.
        assert (
            len({one["function"].get("strict") for one in request.body["tools"]}) == 1
        )


@both
@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy])
async def test_an_answer_is_filled_from_the_conversation(
    make, tools, strategy, asynchronous
):
    """Unscripted: the simulator follows schema, tools and prompt by itself."""
    agent = create_agent(make(NATIVE), tools, response_format=strategy(Report))
    parts = await _streamed(agent, WEATHER, "values", asynchronous)
    answer = parts[-1]["structured_response"]
    assert answer == Report(city="Lisbon", degrees=17)
    native = strategy is ProviderStrategy
    assert _types(parts[-1]["messages"])[: len(ONE_TOOL)] == ONE_TOOL
    assert (len(parts[-1]["messages"]) == len(ONE_TOOL)) is native


def test_a_native_answer_needs_no_tools(sim, make):
    agent = create_agent(make(), [], response_format=ProviderStrategy(Report))
    answer = agent.invoke(_ask("It is 17 degrees in Lisbon."))
    assert answer["structured_response"] == Report(city="Lisbon", degrees=17)
    assert "tools" not in sim.chat_requests[0].body


@pytest.mark.parametrize(
    "response_format",
    [Report, ToolStrategy(Report)],
    ids=["by_profile", "explicit"],
)
def test_another_model_answers_by_a_tool(sim, model, tools, done, response_format):
    assert not model.profile["structured_output"]
    agent = create_agent(model, tools, response_format=response_format)
    sim.reply_with_tool("get_weather", {"city": "Lisbon"})
    sim.reply_with_tool("Report", {"city": "Lisbon", "degrees": 17})
    answer = agent.invoke(WEATHER)
    assert answer["structured_response"] == Report(city="Lisbon", degrees=17)
    assert done == [("get_weather", "Lisbon")]
    for request in sim.chat_requests:
        assert request.body["tool_choice"] == "required"
        assert "response_format" not in request.body


def test_an_answer_by_a_tool_that_does_not_fit_is_tried_again(sim, model, tools):
    agent = create_agent(model, tools, response_format=ToolStrategy(Report))
    sim.reply_with_tool("Report", {"city": "Lisbon", "degrees": "warm"})
    sim.reply_with_tool("Report", {"city": "Lisbon", "degrees": 17})
    answer = agent.invoke(WEATHER)
    assert answer["structured_response"] == Report(city="Lisbon", degrees=17)
    assert len(sim.chat_requests) == 2


def test_a_native_answer_that_does_not_fit_is_an_error(sim, make):
    agent = create_agent(make(NATIVE), [], response_format=ProviderStrategy(Report))
    sim.reply('{"city": "Lisbon", "degrees": "warm"}', times=None)
    with pytest.raises(StructuredOutputValidationError, match="degrees"):
        agent.invoke(WEATHER)


# ------------------------------------------------------------------------- middleware

QUICK = RetryPolicy(max_retries=2, initial_delay=0, max_delay=0)


def _retrying(**kwargs):
    return ModelRetryMiddleware(
        initial_delay=0, max_delay=0, jitter=False, on_failure="error", **kwargs
    )


@pytest.mark.parametrize(
    ("own", "requests"), [(0, 3), (2, 3)], ids=["left_to_it", "own_retries_first"]
)
@both
async def test_the_retry_middleware_does_not_multiply_our_retries(
    sim, make, own, requests, asynchronous
):
    """Either it tries again, or we do: never three times three."""
    sim.fail_next(code="queue_exceeded", times=None)
    model = make(max_retries=own, retry_policy=QUICK)
    agent = create_agent(model, [], middleware=[_retrying(max_retries=2)])
    with pytest.raises(RateLimitError):
        await _streamed(agent, _ask("Hello"), "values", asynchronous)
    assert len(sim.chat_requests) == requests


def test_the_retry_middleware_succeeds_when_the_service_does(sim, model):
    sim.fail_next(503, times=2)
    agent = create_agent(model, [], middleware=[_retrying(max_retries=2)])
    assert agent.invoke(_ask("Say 'hi'"))["messages"][-1].text == "hi"
    assert len(sim.chat_requests) == 3


def test_the_retry_middleware_leaves_alone_what_is_no_use(sim, model):
    sim.fail_next(code="wrong_api_key", times=None)
    agent = create_agent(model, [], middleware=[_retrying(max_retries=2)])
    with pytest.raises(AuthenticationError):
        agent.invoke(_ask("Hello"))
    assert len(sim.chat_requests) == 1


@both
async def test_the_fallback_middleware_takes_the_next_model(
    sim, make, tools, done, asynchronous
):
    sim.fail_next(500, when=lambda body: body["model"] == MODEL, times=None)
    agent = create_agent(
        make(max_retries=2, retry_policy=QUICK),
        tools,
        middleware=[ModelFallbackMiddleware(make("qwen-3.8-27b"))],
    )
    parts = await _streamed(agent, WEATHER, "values", asynchronous)
    assert _types(parts[-1]["messages"]) == ONE_TOOL
    assert done == [("get_weather", "Lisbon")]
    # Two turns, each with three tries of the first model and one of the second.
    models = [request.body["model"] for request in sim.chat_requests]
    assert models == [*[MODEL] * 3, "qwen-3.8-27b"] * 2


def test_the_fallback_middleware_tells_when_all_fail(sim, make):
    sim.fail_next(500, times=None)
    agent = create_agent(
        make(), [], middleware=[ModelFallbackMiddleware(make("qwen-3.8-27b"))]
    )
    with pytest.raises(InternalServerError):
        agent.invoke(_ask("Hello"))
    assert len(sim.chat_requests) == 2


def _long_talk(turns=12):
    return [
        message
        for number in range(turns)
        for message in (
            HumanMessage(f"Question {number}? " + "word " * 30),
            AIMessage(f"Answer {number}. " + "word " * 30),
        )
    ]


def _summaries(sim):
    return [
        request
        for request in sim.chat_requests
        if "extract" in request.body["messages"][-1]["content"].lower()
        and "<messages>" in request.body["messages"][-1]["content"]
    ]


@pytest.mark.parametrize(
    "trigger", [("tokens", 500), ("fraction", 0.005)], ids=["tokens", "by_profile"]
)
def test_the_summarisation_middleware_shortens_a_long_talk(sim, model, trigger):
    middleware = SummarizationMiddleware(model, trigger=trigger, keep=("messages", 2))
    agent = create_agent(model, [], middleware=[middleware])
    sim.reply("They talked about words.", when="<messages>")
    sim.reply("Goodbye.", when="Bye")
    talk = [*_long_talk(), HumanMessage("Bye")]
    messages = agent.invoke({"messages": talk})["messages"]
    assert messages[-1].text == "Goodbye."
    assert len(messages) == 4
    assert "They talked about words." in messages[0].text
    assert len(sim.chat_requests) == 2
    sent = sim.chat_requests[1].body["messages"]
    assert "They talked about words." in sent[0]["content"]


def test_a_summary_that_is_itself_too_long_is_asked_for_once_more(sim, model):
    """Our error for a full window is the one that the middleware waits for."""
    middleware = SummarizationMiddleware(
        model, trigger=("messages", 4), keep=("messages", 1)
    )
    agent = create_agent(model, [], middleware=[middleware])
    sim.fail_next(code="context_length_exceeded", when="<messages>")
    sim.reply("They talked.", when=lambda body: True)
    sim.reply("Goodbye.", when="Bye")
    talk = [*_long_talk(), HumanMessage("Bye")]
    messages = agent.invoke({"messages": talk})["messages"]
    assert messages[-1].text == "Goodbye."
    assert "They talked." in messages[0].text
    sizes = [len(json.dumps(request.body)) for request in sim.chat_requests]
    assert len(sizes) == 3
    assert sizes[1] < sizes[0]


def test_the_summarisation_middleware_does_not_multiply_our_retries(sim, make):
    model = make(max_retries=2, retry_policy=QUICK)
    middleware = SummarizationMiddleware(
        model, trigger=("messages", 4), keep=("messages", 1)
    )
    agent = create_agent(model, [], middleware=[middleware])
    sim.fail_next(503, when="<messages>", times=None)
    with pytest.raises(InternalServerError):
        agent.invoke({"messages": [*_long_talk(), HumanMessage("Bye")]})
    assert len(sim.chat_requests) == 3


# ------------------------------------------------------------------- other providers

FOREIGN = {
    "openai": [
        HumanMessage("What is the weather in Lisbon?"),
        AIMessage(
            [{"type": "text", "text": "I look.", "annotations": [], "id": "msg_1"}],
            tool_calls=[
                {"name": "get_weather", "args": {"city": "Lisbon"}, "id": "c1"}
            ],
            additional_kwargs={
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "arguments": '{"city": "Lisbon"}',
                        },
                    }
                ],
                "parsed": None,
            },
            response_metadata={"model_provider": "openai", "model_name": "gpt-5"},
        ),
        ToolMessage("17 degrees", tool_call_id="c1", name="get_weather"),
        AIMessage("It is 17 degrees.", additional_kwargs={"function_call": None}),
    ],
    "anthropic": [
        HumanMessage(
            [
                {
                    "type": "text",
                    "text": "What is the weather in Lisbon?",
                    "cache_control": {"type": "ephemeral"},
                }
            ]
        ),
        AIMessage(
            [
                {"type": "thinking", "thinking": "A tool.", "signature": "c2ln"},
                {"type": "text", "text": "I look."},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "get_weather",
                    "input": {"city": "Lisbon"},
                },
            ],
            tool_calls=[
                {"name": "get_weather", "args": {"city": "Lisbon"}, "id": "toolu_1"}
            ],
            response_metadata={"model_provider": "anthropic"},
        ),
        ToolMessage(
            [{"type": "text", "text": "17 degrees"}],
            tool_call_id="toolu_1",
            artifact={"raw": 17},
        ),
        AIMessage([{"type": "text", "text": "It is 17 degrees."}]),
    ],
    "v1_blocks": [
        HumanMessage(content_blocks=[{"type": "text", "text": "Weather in Lisbon?"}]),
        AIMessage(
            content=[
                {"type": "reasoning", "reasoning": "A tool."},
                {"type": "text", "text": "I look."},
                {
                    "type": "tool_call",
                    "name": "get_weather",
                    "args": {"city": "Lisbon"},
                    "id": "c1",
                },
            ],
            tool_calls=[
                {"name": "get_weather", "args": {"city": "Lisbon"}, "id": "c1"}
            ],
            response_metadata={
                "output_version": "v1",
                "model_provider": "google_genai",
            },
        ),
        ToolMessage("17 degrees", tool_call_id="c1"),
        AIMessage(
            "It is 17 degrees.",
            additional_kwargs={"lc_source": "summarization", "lc_data": {"x": 1}},
        ),
    ],
}


@pytest.mark.parametrize("provider", list(FOREIGN))
def test_a_history_of_another_provider_is_taken(sim, model, tools, provider):
    sim.reply("ok", when="Say 'ok'")
    agent = create_agent(model, tools)
    history = [SystemMessage("Be brief."), *FOREIGN[provider], HumanMessage("Say 'ok'")]
    assert agent.invoke({"messages": history})["messages"][-1].text == "ok"
    sent = sim.chat_requests[0].body["messages"]
    assert [turn["role"] for turn in sent] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    call = sent[2]["tool_calls"]
    assert [json.loads(one["function"]["arguments"]) for one in call] == [
        {"city": "Lisbon"}
    ]
    allowed = {"role", "content", "tool_calls", "reasoning", "tool_call_id", "name"}
    assert {key for turn in sent for key in turn} <= allowed


def test_a_conversation_goes_to_another_provider_and_back(sim, model, tools):
    """The fallback is ChatOpenAI, which has a client and a wire format of its own."""
    sim.reply("ok", when="Say 'ok'")
    other = chat_openai(
        model="qwen-3.8-27b",
        base_url=sim.base_url,
        api_key="csk-test",
        max_retries=0,
    )
    agent = create_agent(model, tools, middleware=[ModelFallbackMiddleware(other)])
    first = agent.invoke(WEATHER)["messages"]
    sim.fail_next(500, when="London")
    second = agent.invoke(
        {"messages": [*first, HumanMessage("What is the weather in London?")]}
    )["messages"]
    third = agent.invoke({"messages": [*second, HumanMessage("Say 'ok'")]})["messages"]
    assert third[-1].text == "ok"
    providers = [
        message.response_metadata["model_provider"]
        for message in third
        if isinstance(message, AIMessage)
    ]
    assert providers == ["cerebras", "cerebras", "openai", "cerebras", "cerebras"]


def test_usage_and_figures_of_every_turn_are_in_the_state(model, tools):
    messages = create_agent(model, tools).invoke(WEATHER)["messages"]
    answers = [message for message in messages if isinstance(message, AIMessage)]
    total = _add(answers, operator.itemgetter("total_tokens"))
    assert total == _add(answers, lambda u: u["input_tokens"] + u["output_tokens"])
    for answer in answers:
        assert answer.response_metadata["measured"]["total_s"] > 0


def _add(messages, pick):
    return sum(pick(message.usage_metadata) for message in messages)
