"""`ChatCerebras` in LangChain's own compositions, against the simulator."""

from __future__ import annotations

import json
import warnings

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    trim_messages,
)
from langchain_core.output_parsers import (
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableField,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import BaseModel, Field

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    InternalServerError,
    RateLimitError,
)
from langchain_cerebras_ext.simulator import Simulator

MODEL = "gpt-oss-120b"
SENTENCE = "The blue whale is the largest animal that is known to have lived."


@pytest.fixture
def make(sim):
    def build(**kwargs):
        kwargs.setdefault("model", MODEL)
        return ChatCerebras(base_url=sim.base_url, api_key="csk-test", **kwargs)

    return build


@pytest.fixture
def model(make):
    return make()


class Person(BaseModel):
    """Somebody."""

    name: str = Field(description="The full name")
    age: int = Field(description="In years")


# ---------------------------------------------------------------------------- parsers


def test_a_prompt_a_model_and_a_string_parser_make_a_chain(sim, model):
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You repeat."), ("human", "Reply with the words '{words}'.")]
    )
    chain = prompt | model | StrOutputParser()
    assert chain.invoke({"words": SENTENCE}) == SENTENCE
    assert sim.chat_requests[0].body["messages"] == [
        {"role": "system", "content": "You repeat."},
        {"role": "user", "content": f"Reply with the words '{SENTENCE}'."},
    ]


async def test_a_chain_streams_text_as_it_comes(model):
    chain = (
        ChatPromptTemplate.from_template("Reply with the words '{words}'.")
        | model
        | StrOutputParser()
    )
    pieces = list(chain.stream({"words": SENTENCE}))
    assert "".join(pieces) == SENTENCE
    assert len([piece for piece in pieces if piece]) > 2
    async_pieces = [piece async for piece in chain.astream({"words": SENTENCE})]
    assert "".join(async_pieces) == SENTENCE


def _json_chain(sim, model, parser):
    sim.reply(
        chunks=['{"name": "Gra', 'ce Hopper", ', '"age": 8', "5}"],
        reasoning="A person.",
        times=None,
    )
    prompt = ChatPromptTemplate.from_messages(
        [("system", "{instructions}"), ("human", "Who? {question}")]
    ).partial(instructions=parser.get_format_instructions())
    return prompt | model | parser


def test_a_json_parser_gives_growing_partial_objects(sim, model):
    chain = _json_chain(sim, model, JsonOutputParser(pydantic_object=Person))
    whole = {"name": "Grace Hopper", "age": 85}
    assert chain.invoke({"question": "COBOL"}) == whole
    partials = list(chain.stream({"question": "COBOL"}))
    assert partials[-1] == whole
    assert {"name": "Gra"} in partials


async def test_a_pydantic_parser_gives_the_object(sim, model):
    chain = _json_chain(sim, model, PydanticOutputParser(pydantic_object=Person))
    expected = Person(name="Grace Hopper", age=85)
    assert chain.invoke({"question": "COBOL"}) == expected
    assert await chain.ainvoke({"question": "COBOL"}) == expected


def test_format_instructions_alone_lead_to_a_valid_object(model):
    """Unscripted: the answer follows from the instructions in the prompt."""
    parser = PydanticOutputParser(pydantic_object=Person)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "{how}"), ("human", "{about}")]
    ).partial(how=parser.get_format_instructions())
    answer = (prompt | model | parser).invoke(
        {"about": "Grace Hopper is 85 years old."}
    )
    assert answer == Person(name="Grace Hopper", age=85)


# ------------------------------------------------------------------------ composition


async def test_parallel_branches_run_each_with_its_own_prompt(sim, model):
    text = StrOutputParser()
    chain = RunnableParallel(
        one=ChatPromptTemplate.from_template("Say '{x} first'") | model | text,
        two=ChatPromptTemplate.from_template("Say '{x} second'") | model | text,
        kept=RunnablePassthrough(),
    )
    expected = {"one": "a first", "two": "a second", "kept": {"x": "a"}}
    assert chain.invoke({"x": "a"}) == expected
    assert await chain.ainvoke({"x": "a"}) == expected
    merged = {"one": "", "two": ""}
    for part in chain.stream({"x": "a"}):
        for key in merged.keys() & part.keys():
            merged[key] += part[key]
    assert merged == {"one": "a first", "two": "a second"}
    assert len(sim.chat_requests) == 6


FACTS = [
    "The Orlan crane lifts 40 tonnes at its full reach of 62 metres.",
    "The Orlan crane must stop when the wind is stronger than 15 m/s.",
    "The canteen opens at noon.",
]


def test_a_small_rag_chain_answers_from_what_the_store_holds(sim, model):
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=32))
    store.add_documents([Document(fact) for fact in FACTS])
    # The same text has the same vector, so the second fact is the nearest to itself.
    retriever = store.as_retriever(search_kwargs={"k": 1})
    prompt = ChatPromptTemplate.from_template(
        "Answer from the context only.\nContext: {context}\nQuestion: {question}"
    )
    chain = (
        {
            "context": retriever
            | (lambda found: "\n".join(d.page_content for d in found)),
            "question": RunnablePassthrough(),
        }
        | prompt
        | model
        | StrOutputParser()
    )
    sim.reply(
        lambda body: (
            body["messages"][-1]["content"].split("Context: ")[1].split("\n")[0]
        )
    )
    assert chain.invoke(FACTS[1]) == FACTS[1]
    sent = sim.chat_requests[0].body["messages"][-1]["content"]
    assert FACTS[0] not in sent


def test_messages_placeholders_carry_a_conversation(sim, model):
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("history"), ("human", "{question}")]
    )
    first = model.invoke("Say 'one'")
    (prompt | model).invoke(
        {"history": [HumanMessage("Say 'one'"), first], "question": "And now?"}
    )
    assert [turn["role"] for turn in sim.chat_requests[1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


# ------------------------------------------------------------------ retry and fallback


async def test_with_retry_sends_again_what_the_service_could_not_take(sim, make):
    model = make(max_retries=0).with_retry(
        retry_if_exception_type=(RateLimitError,),
        wait_exponential_jitter=False,
        stop_after_attempt=2,
    )
    sim.fail_next(code="queue_exceeded")
    assert model.invoke("Say 'hi'").text == "hi"
    sim.fail_next(code="queue_exceeded")
    assert (await model.ainvoke("Say 'hi'")).text == "hi"
    assert len(sim.chat_requests) == 4


def test_with_retry_leaves_a_wrong_key_alone(sim, make):
    model = make(max_retries=0).with_retry(
        retry_if_exception_type=(RateLimitError, InternalServerError),
        wait_exponential_jitter=False,
    )
    sim.fail_next(code="wrong_api_key", times=None)
    with pytest.raises(AuthenticationError):
        model.invoke("Say 'hi'")
    assert len(sim.chat_requests) == 1


async def test_with_fallbacks_takes_the_next_model(sim, make):
    model = make(max_retries=0).with_fallbacks([make(model="qwen-3.8-27b")])
    sim.fail_next(500, when=lambda body: body["model"] == MODEL, times=None)
    assert model.invoke("Say 'hi'").response_metadata["model_name"] == "qwen-3.8-27b"
    answer = await model.ainvoke("Say 'hi'")
    assert answer.response_metadata["model_name"] == "qwen-3.8-27b"
    assert [one.body["model"] for one in sim.chat_requests] == [
        MODEL,
        "qwen-3.8-27b",
    ] * 2


async def test_with_fallbacks_takes_the_next_model_for_a_stream(sim, make):
    model = make(max_retries=0).with_fallbacks([make(model="qwen-3.8-27b")])
    sim.fail_next(500, when=lambda body: body["model"] == MODEL, times=None)
    assert "".join(chunk.text for chunk in model.stream("Say 'hi'")) == "hi"
    text = "".join([chunk.text async for chunk in model.astream("Say 'hi'")])
    assert text == "hi"


@pytest.mark.parametrize("is_bound", [False, True], ids=["bare", "bound"])
def test_with_fallbacks_hands_tools_and_schemas_to_every_model(sim, make, is_bound):
    models = [make(max_retries=0), make(model="qwen-3.8-27b")]
    first, second = [one.bind(seed=7) for one in models] if is_bound else models
    sim.fail_next(500, when=lambda body: body["model"] == MODEL, times=None)
    both = first.with_fallbacks([second])
    schema = {
        "title": "City",
        "type": "object",
        "properties": {"name": {"type": "string"}},
    }
    assert both.with_structured_output(schema).invoke("name='Rome'")["name"] == "Rome"
    both.bind_tools([schema]).invoke("Say 'hi'")
    last = sim.chat_requests[-1].body
    assert (last["model"], len(last["tools"])) == ("qwen-3.8-27b", 1)


# ------------------------------------------------------------------- counts and usage


def test_trim_messages_counts_with_the_model(sim, model):
    history = [
        SystemMessage("Be brief."),
        *(
            turn
            for number in range(20)
            for turn in (
                HumanMessage(f"Question {number}: " + "word " * 20),
                AIMessage(f"Answer {number}: " + "word " * 20),
            )
        ),
        HumanMessage("And the last one?"),
    ]
    kept = trim_messages(
        history,
        max_tokens=300,
        token_counter=model,
        strategy="last",
        include_system=True,
        start_on="human",
    )
    assert kept[0] == history[0]
    assert kept[-1] == history[-1]
    assert isinstance(kept[1], HumanMessage)
    assert 2 < len(kept) < len(history)
    assert model.get_num_tokens_from_messages(kept) <= 300
    assert sim.requests == []
    assert (trim_messages(max_tokens=300, token_counter=model) | model).invoke(history)


async def test_usage_is_summed_over_plain_and_streamed_calls(model):
    with get_usage_metadata_callback() as usage:
        messages = [
            model.invoke("Say 'one'"),
            await model.ainvoke("Say 'two'"),
        ]
        for stream in (
            list(model.stream("Say 'three'")),
            [chunk async for chunk in model.astream("Say 'four'")],
        ):
            first, *rest = stream
            messages.append(sum(rest, first))
    (name,) = usage.usage_metadata
    assert name == MODEL
    for key in ("input_tokens", "output_tokens", "total_tokens"):
        expected = sum(message.usage_metadata[key] for message in messages)
        assert usage.usage_metadata[MODEL][key] == expected


# ----------------------------------------------------------------------------- caches


def _sqlite_cache(path):
    """Make LangChain's own SQLite cache; its package warns at import that it sunsets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache
    return SQLiteCache(str(path / "answers.db"))


@pytest.fixture(params=["memory", "sqlite"])
def cache(request, tmp_path):
    if request.param == "memory":
        yield InMemoryCache()
        return
    made = _sqlite_cache(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def cached(make, cache):
    return make(cache=cache)


def _comparable(message):
    """Return what a hit repeats: LangChain adds a cost of zero to its usage."""
    usage = {k: v for k, v in message.usage_metadata.items() if k != "total_cost"}
    return message.model_copy(update={"usage_metadata": usage})


# The SQLite cache reads with LangChain's loader, which is in beta and about to change.
quiet = pytest.mark.filterwarnings(
    "ignore:The function `loads` is in beta:langchain_core._api.LangChainBetaWarning",
    "ignore:The default value of `allowed_objects` will change",
)


@quiet
async def test_a_cache_answers_the_same_question_without_a_call(sim, cached):
    first = cached.invoke("Why is the sky blue?")
    second = cached.invoke("Why is the sky blue?")
    third = await cached.ainvoke("Why is the sky blue?")
    assert len(sim.chat_requests) == 1
    assert _comparable(second) == first
    assert _comparable(third) == first
    assert second.usage_metadata["total_cost"] == 0
    assert first.additional_kwargs["reasoning_content"]
    assert second.content_blocks == first.content_blocks
    cached.invoke("Why is it red at sunset?")
    assert len(sim.chat_requests) == 2


@quiet
def test_a_cache_keeps_the_metadata_as_plain_json(cached):
    first = cached.invoke("Why is the sky blue?")
    second = cached.invoke("Why is the sky blue?")
    assert json.loads(json.dumps(first.response_metadata)) == first.response_metadata
    assert second.response_metadata == first.response_metadata
    for key in ("time_info", "measured", "system_fingerprint", "id"):
        assert key in second.response_metadata


@quiet
def test_a_cache_keeps_tool_calls_and_invalid_ones(sim, cached):
    tool = {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look.",
            "parameters": {
                "type": "object",
                "properties": {"where": {"type": "string"}},
            },
        },
    }
    sim.reply_with_tool("look", {"where": "up"}, when="well")
    sim.reply_with_tool("look", '{"where": "u', when="badly")
    bound = cached.bind_tools([tool])
    for prompt in ("well", "badly"):
        first, second = bound.invoke(prompt), bound.invoke(prompt)
        assert _comparable(second) == first
        assert bool(second.tool_calls) is (prompt == "well")
        assert bool(second.invalid_tool_calls) is (prompt == "badly")
    assert len(sim.chat_requests) == 2


@quiet
def test_a_cache_tells_settings_apart_and_never_keys(sim, make, cache):
    one, other = make(cache=cache, temperature=0.1), make(cache=cache, temperature=0.9)
    one.invoke("Hello")
    other.invoke("Hello")
    assert len(sim.chat_requests) == 2
    key_changed = ChatCerebras(
        model=MODEL,
        base_url=sim.base_url,
        api_key="csk-other",
        cache=cache,
        temperature=0.1,
    )
    key_changed.invoke("Hello")
    assert len(sim.chat_requests) == 2
    one.invoke("Hello", seed=1)
    assert len(sim.chat_requests) == 3


class Events(BaseCallbackHandler, _V2StreamingCallbackHandler):
    """Hears the events of version 3, as LangGraph's own handler does."""

    def __init__(self):
        self.heard = []

    def on_stream_event(self, event, **kwargs):
        self.heard.append(event)

    def finished(self):
        """Return the finished blocks, and what was told of the whole.

        The message that LangChain assembles from events numbers its blocks, and says
        that it is made of blocks.
        """
        blocks = [
            {k: v for k, v in event["content"].items() if k != "index"}
            for event in self.heard
            if event["event"] == "content-block-finish"
        ]
        (end,) = [event for event in self.heard if event["event"] == "message-finish"]
        usage = {k: v for k, v in end["usage"].items() if k != "total_cost"}
        told = {k: v for k, v in end["metadata"].items() if k != "output_version"}
        return blocks, usage, told


@quiet
@pytest.mark.parametrize("first", ["plain", "events"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["invoke", "ainvoke"])
async def test_a_cache_hit_is_replayed_as_events(sim, cached, first, asynchronous):
    """Whichever way the answer came into the cache, its events are those of a call."""
    sim.reply("Scattering.", reasoning="Light and air.")
    miss, hit = Events(), Events()

    async def ask(*handlers):
        config = {"callbacks": list(handlers)}
        if asynchronous:
            return await cached.ainvoke("Why is the sky blue?", config)
        return cached.invoke("Why is the sky blue?", config)

    original = await (ask(miss) if first == "events" else ask())
    again = await ask(hit)
    assert len(sim.chat_requests) == 1
    assert again.content_blocks == original.content_blocks
    blocks, usage, metadata = hit.finished()
    assert [(block["type"], block.get(block["type"])) for block in blocks] == [
        ("reasoning", "Light and air."),
        ("text", "Scattering."),
    ]
    assert usage["output_tokens"] == original.usage_metadata["output_tokens"]
    assert metadata["finish_reason"] == "stop"
    if first == "events":
        assert hit.finished() == miss.finished()


@quiet
def test_a_sqlite_cache_outlives_its_process_of_origin(sim, make, tmp_path):
    """A new cache on the same file knows the answers of the old one."""
    old = _sqlite_cache(tmp_path)
    first = make(cache=old).invoke("Why is the sky blue?")
    old.engine.dispose()
    new = _sqlite_cache(tmp_path)
    second = make(cache=new).invoke("Why is the sky blue?")
    new.engine.dispose()
    assert len(sim.chat_requests) == 1
    assert _comparable(second) == first


# ------------------------------------------------------------------ batches and events


async def test_batches_keep_their_order_and_their_width(sim, model):
    prompts = [f"Say 'number {number}'" for number in range(12)]
    expected = [f"number {number}" for number in range(12)]
    answers = model.batch(prompts, config={"max_concurrency": 3})
    assert [answer.text for answer in answers] == expected
    answers = await model.abatch(prompts, config={"max_concurrency": 3})
    assert [answer.text for answer in answers] == expected
    assert len(sim.chat_requests) == 24


async def test_abatch_has_no_more_calls_under_way_than_asked_for(sim, model):
    running, most = 0, 0

    class Count(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args, **kwargs):
            nonlocal running, most
            running += 1
            most = max(most, running)

        def on_llm_end(self, *args, **kwargs):
            nonlocal running
            running -= 1

    sim.reply("ok", times=None, delay_s=0.02)
    config = {"max_concurrency": 4, "callbacks": [Count()]}
    await model.abatch(["Hello"] * 12, config=config)
    assert (running, most) == (0, 4)


async def test_a_batch_hands_back_errors_when_asked_to(sim, make):
    sim.fail_next(500, when="break", times=None)
    model = make(max_retries=0)
    prompts = ["Say 'a'", "break", "Say 'b'"]
    for answers in (
        model.batch(prompts, return_exceptions=True),
        await model.abatch(prompts, return_exceptions=True),
    ):
        assert [
            getattr(answer, "text", type(answer).__name__) for answer in answers
        ] == [
            "a",
            "InternalServerError",
            "b",
        ]


async def test_batch_as_completed_gives_every_answer_with_its_place(model):
    prompts = ["Say 'a'", "Say 'b'"]
    done = dict(model.batch_as_completed(prompts))
    assert [done[place].text for place in (0, 1)] == ["a", "b"]
    async_done = {
        place: answer async for place, answer in model.abatch_as_completed(prompts)
    }
    assert [async_done[place].text for place in (0, 1)] == ["a", "b"]


@pytest.mark.filterwarnings("ignore:astream_events version='v1' is deprecated")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_event_streams_tell_each_token_once(sim, model, version):
    chain = (
        ChatPromptTemplate.from_template("Reply with the words '{words}'.")
        | model
        | StrOutputParser()
    )
    events = [
        event
        async for event in chain.astream_events({"words": SENTENCE}, version=version)
    ]
    tokens = [
        event["data"]["chunk"].text
        for event in events
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(tokens) == SENTENCE
    (end,) = [event for event in events if event["event"] == "on_chat_model_end"]
    assert end["metadata"]["ls_provider"] == "cerebras"
    assert end["metadata"]["ls_model_name"] == MODEL
    assert len(sim.chat_requests) == 1


async def test_event_streams_of_an_invoke_inside_a_step_stream_too(sim, model):
    """`ainvoke` within a traced step is streamed, so that its tokens are seen."""

    async def step(words):
        return (await model.ainvoke(f"Reply with the words '{words}'.")).text

    events = [
        event
        async for event in RunnableLambda(step).astream_events(SENTENCE, version="v2")
    ]
    tokens = [
        event["data"]["chunk"].text
        for event in events
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(tokens) == SENTENCE
    assert len(tokens) > 2
    assert [one.body.get("stream") for one in sim.chat_requests] == [True]


# ---------------------------------------------------------------------- configuration


async def test_configurable_fields_change_a_single_call(sim, make):
    model = make(temperature=0.1).configurable_fields(
        temperature=ConfigurableField(id="heat"),
        model_name=ConfigurableField(id="which"),
    )
    model.invoke("Hello")
    changed = {"configurable": {"heat": 0.9, "which": "qwen-3.8-27b"}}
    model.invoke("Hello", config=changed)
    await model.ainvoke("Hello", config=changed)
    assert [
        (one.body["temperature"], one.body["model"]) for one in sim.chat_requests
    ] == [(0.1, MODEL), (0.9, "qwen-3.8-27b"), (0.9, "qwen-3.8-27b")]


@pytest.mark.parametrize("key", [None, "csk-passed"], ids=["environment", "passed"])
def test_configurable_fields_keep_the_key(monkeypatch, key):
    """The object is built anew for each configuration, key and all."""
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-from-env")
    with Simulator(key=key or "csk-from-env") as guarded:
        model = ChatCerebras(base_url=guarded.base_url, api_key=key)
        configured = model.configurable_fields(
            temperature=ConfigurableField(id="heat")
        ).with_config(configurable={"heat": 0.5})
        configured.invoke("Hello")
        assert guarded.chat_requests[0].body["temperature"] == 0.5


def test_configurable_alternatives_swap_the_model(sim, make):
    model = make().configurable_alternatives(
        ConfigurableField(id="who"), default_key="oss", qwen=make(model="qwen-3.8-27b")
    )
    assert model.invoke("Hi").response_metadata["model_name"] == MODEL
    other = model.with_config(configurable={"who": "qwen"}).invoke("Hi")
    assert other.response_metadata["model_name"] == "qwen-3.8-27b"


def test_a_bound_model_keeps_its_arguments_in_a_chain(sim, model):
    chain = (
        ChatPromptTemplate.from_template("{x}")
        | model.bind(stop=["largest"], temperature=0.3)
        | StrOutputParser()
    )
    answer = chain.invoke({"x": f"Reply with the words '{SENTENCE}'."})
    assert answer.strip() == "The blue whale is the"
    assert sim.chat_requests[0].body["stop"] == ["largest"]
    assert sim.chat_requests[0].body["temperature"] == 0.3


def test_names_tags_and_metadata_reach_the_handlers(model):
    seen = []

    class Watch(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            seen.append(kwargs)

    model.invoke(
        "Hello",
        config={
            "callbacks": [Watch(), UsageMetadataCallbackHandler()],
            "run_name": "greeting",
            "tags": ["morning"],
            "metadata": {"user": "u1"},
        },
    )
    (start,) = seen
    assert start["name"] == "greeting"
    assert start["tags"] == ["morning"]
    assert start["metadata"]["user"] == "u1"
    assert start["metadata"]["ls_provider"] == "cerebras"
    assert "csk-test" not in str(start)
