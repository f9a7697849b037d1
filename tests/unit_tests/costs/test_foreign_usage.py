"""What other providers' answers say: their packages' own shapes, read once each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from call_paths import BASE, BETA, PATHS, answer, counted, delta
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langchain_openai import ChatOpenAI, OpenAI
from openai_models import chat_openai, without_connections
from wire_server import CUT, DONE, Request, WireServer, event, plain, sse

from langchain_cerebras_ext.costs._foreign import (
    ForeignUsage,
    provider_of,
    text_of,
    usage_of,
)
from langchain_cerebras_ext.costs._usage import read_counts
from langchain_cerebras_ext.costs.records import UsageRecord

pytestmark = BETA


class Ends(BaseCallbackHandler):
    """Keeps what the ends of runs are told."""

    run_inline = True

    def __init__(self) -> None:
        self.results: list[LLMResult] = []
        self.partial: list[LLMResult] = []
        self.told: asyncio.Event | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        # A copy: core puts its mark on what its cache holds, which is the same object.
        self.results.append(response.model_copy(deep=True))
        if self.told is not None:
            self.told.set()

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.partial.append(kwargs["response"])


def usage(prompt: int, completion: int, **details: Any) -> Any:
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        **details,
    }


def a_result(*messages: AIMessage, **llm_output: Any) -> LLMResult:
    answers = [ChatGeneration(message=message) for message in messages]
    return LLMResult(generations=[answers], llm_output=llm_output or None)


def said(message_usage: Any, **llm_output: Any) -> ForeignUsage:
    return usage_of(
        a_result(AIMessage("x", usage_metadata=message_usage), **llm_output)
    )


# --------------------------------------------------------- the real package for OpenAI


def an_openai(server: WireServer, **options: Any) -> ChatOpenAI:
    given = {"model": "gpt-5.5", "base_url": server.url, "api_key": "none"}
    return chat_openai(**{**given, "max_retries": 0, **options})


OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2},
}
COUNTS = {
    "input_tokens": 100,
    "cached_input_tokens": 60,
    "output_tokens": 50,
    "reasoning_tokens": 30,
}


def heard(path: str, model: Any) -> LLMResult:
    """Call a model on a path, and return what its end told."""
    ends = Ends()
    config: Any = {"callbacks": [ends]}

    async def work() -> None:
        ends.told = asyncio.Event()
        if path == "ainvoke":
            await model.ainvoke("hi", config=config)
        elif path == "astream":
            async for _ in model.astream("hi", config=config):
                pass
        else:
            stream = await model.astream_events("hi", version="v3", config=config)
            await stream.output
            await ends.told.wait()  # core tells handlers after its output is there

    if path.startswith("a"):
        asyncio.run(work())
    elif path == "invoke":
        model.invoke("hi", config=config)
    elif path == "stream":
        list(model.stream("hi", config=config))
    else:
        assert model.stream_events("hi", version="v3", config=config).output
    [result] = ends.results
    return result


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("tier", [None, "default", "flex", "priority"])
def test_openai_on_every_path_and_in_every_tier(path: str, tier: str | None):
    """Its package puts the tier before the names, so that plain ones are absent."""

    def tiered(request: Request) -> Iterator[bytes]:
        extra = {} if tier is None else {"service_tier": tier}
        base = {**BASE, "model": "gpt-5.5-2026-10-01", **extra}
        if not request.is_stream:
            message = {"role": "assistant", "content": "Hello"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return plain({**base, "choices": [choice], "usage": OPENAI_USAGE})
        choices = [
            {"index": 0, "delta": {"content": "Hello"}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        parts = [event({**base, "choices": [choice]}) for choice in choices]
        last = event({**base, "choices": [], "usage": OPENAI_USAGE})
        return sse([*parts, last, DONE])

    with WireServer(tiered) as server:
        found = usage_of(heard(path, an_openai(server, stream_usage=True)))
    assert found.counts() == COUNTS
    assert (found.audio_tokens, found.audio_output_tokens) == (3, 2)
    assert found.model_served == "gpt-5.5-2026-10-01"
    assert found.provider == "openai"
    assert found.service_tier == tier
    assert found.choices == 1
    assert not found.cache_hit


def test_several_answers_of_one_request_are_paid_once():
    """Its package repeats the request's usage on each of `n` answers."""

    def three(request: Request) -> Iterator[bytes]:
        choices = [
            {
                "index": index,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "yes"},
            }
            for index in range(3)
        ]
        return plain({**BASE, "choices": choices, "usage": OPENAI_USAGE})

    with WireServer(three) as server:
        found = usage_of(heard("invoke", an_openai(server, n=3)))
    assert found.counts() == COUNTS
    assert found.choices == 3


def test_a_stream_that_broke_has_its_text_and_perhaps_its_usage():
    def broken(request: Request) -> Iterator[bytes]:
        return sse([delta(content="Hel"), delta(content="lo"), counted(), CUT])

    ends = Ends()
    with WireServer(broken) as server, pytest.raises(Exception):  # noqa: B017 - whatever the SDK raises
        list(
            an_openai(server, stream_usage=True).stream(
                "hi", config={"callbacks": [ends]}
            )
        )
    [partial] = ends.partial
    assert text_of(partial) == "Hello"
    assert usage_of(partial).counts() == {"input_tokens": 11, "output_tokens": 5}


def test_a_refused_request_has_neither():
    def refused(request: Request) -> Iterator[bytes]:
        return plain({"error": {"message": "no"}}, 400)

    ends = Ends()
    with WireServer(refused) as server, pytest.raises(Exception, match="400"):
        an_openai(server).invoke("hi", config={"callbacks": [ends]})
    [partial] = ends.partial
    assert text_of(partial) == ""
    assert not usage_of(partial).is_known


def test_an_answer_out_of_langchains_cache_is_free():
    ends = Ends()
    with WireServer(answer) as server:
        model = an_openai(server, cache=InMemoryCache())
        for _ in range(2):
            model.invoke("hi", config={"callbacks": [ends]})
    fresh, cached = map(usage_of, ends.results)
    assert (fresh.cache_hit, cached.cache_hit) == (False, True)
    assert fresh.counts() == cached.counts() == {"input_tokens": 11, "output_tokens": 5}


def test_text_completions_say_it_once_for_all_prompts():
    """Core empties the usage of the second and further prompts' results."""

    def complete(request: Request) -> Iterator[bytes]:
        choices = [
            {"index": index, "text": "a", "finish_reason": "stop", "logprobs": None}
            for index in range(len(request.json["prompt"]))
        ]
        return plain({**BASE, "choices": choices, "usage": OPENAI_USAGE})

    ends = Ends()
    with WireServer(complete) as server:
        llm = OpenAI(
            model="davinci-002",
            base_url=server.url,
            api_key="none",
            **without_connections(),
        )
        llm.generate(["a", "b", "c"], callbacks=[ends])
    first, *others = map(usage_of, ends.results)
    assert first.counts() == {"input_tokens": 100, "output_tokens": 50}
    assert first.model_served == "davinci-002"
    assert not first.with_sibling
    assert [(one.is_known, one.with_sibling) for one in others] == [(False, True)] * 2


# --------------------------------------------------------- shapes of other packages


def test_anthropic_has_cached_tokens_in_its_input_and_written_ones_by_time():
    """`langchain-anthropic` sets the plain count to 0 beside those by time."""
    details = {
        "cache_read": 1000,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 200,
        "ephemeral_1h_input_tokens": 300,
    }
    message = AIMessage(
        "x",
        usage_metadata=usage(
            1600, 40, input_token_details=details, output_token_details={"reasoning": 9}
        ),
        response_metadata={
            "model": "claude-haiku-4-5-20251001",
            "model_provider": "anthropic",
            "usage": {"input_tokens": 100, "output_tokens": 40, "service_tier": "x"},
        },
    )
    found = usage_of(a_result(message, usage={"input_tokens": 100}))
    assert found.counts() == {
        "input_tokens": 1600,
        "cached_input_tokens": 1000,
        "cache_write_tokens": 500,
        "output_tokens": 40,
        "reasoning_tokens": 9,
    }
    assert found.cache_write_1h_tokens == 300
    assert found.model_served == "claude-haiku-4-5-20251001"
    assert found.provider == "anthropic"


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"cache_creation": 500}, 500),
        ({"cache_creation": 500, "ephemeral_5m_input_tokens": 500}, 500),
        ({"cache_creation": 0, "ephemeral_1h_input_tokens": 500}, 500),
        ({"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300}, 500),
        ({"cache_creation": 0}, 0),
        ({}, None),
    ],
    ids=["plain", "older", "newer", "by-time-only", "none", "not-said"],
)
def test_written_tokens_are_counted_once(details: Any, written: int | None):
    found = said(usage(600, 1, input_token_details=details))
    assert found.cache_write_tokens == written


def test_google_repeats_usage_on_every_candidate():
    each = usage(
        30,
        25,
        input_token_details={"cache_read": 8},
        output_token_details={"reasoning": 20},
    )
    answers = [
        AIMessage(
            text,
            usage_metadata=dict(each),
            response_metadata={
                "model_name": "gemini-3-flash",
                "model_provider": "google_genai",
            },
        )
        for text in ("a", "b")
    ]
    found = usage_of(a_result(*answers, prompt_feedback={}))
    assert found.counts() == {
        "input_tokens": 30,
        "cached_input_tokens": 8,
        "output_tokens": 25,
        "reasoning_tokens": 20,
    }
    assert (found.model_served, found.provider) == ("gemini-3-flash", "google_genai")


def test_googles_text_model_has_usage_beside_its_text():
    each = {"usage_metadata": usage(30, 25), "model_name": "gemini-3-flash"}
    answers = [Generation(text=text, generation_info=each) for text in ("a", "b")]
    found = usage_of(LLMResult(generations=[answers]))
    assert found.counts() == {"input_tokens": 30, "output_tokens": 25}
    assert found.model_served == "gemini-3-flash"


def test_groq_has_its_model_and_tier_beside_the_answers():
    message = AIMessage(
        "x",
        usage_metadata=usage(10, 5, input_token_details={"cache_read": 4}),
        response_metadata={"model_provider": "groq"},
    )
    found = usage_of(
        a_result(
            message,
            token_usage={
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "queue_time": 0.1,
            },
            model_name="llama-3.3-70b-versatile",
            service_tier="on_demand",
        )
    )
    assert found.counts() == {
        "input_tokens": 10,
        "cached_input_tokens": 4,
        "output_tokens": 5,
    }
    assert found.model_served == "llama-3.3-70b-versatile"
    assert (found.provider, found.service_tier) == ("groq", "on_demand")


def test_ollama_is_read_from_its_message_and_from_its_raw_counts():
    raw = {
        "model": "qwen3:8b",
        "model_name": "qwen3:8b",
        "model_provider": "ollama",
        "prompt_eval_count": 26,
        "eval_count": 298,
        "total_duration": 5_191_566_416,
    }
    chat = AIMessage("x", usage_metadata=usage(26, 298), response_metadata=raw)
    text = Generation(text="x", generation_info=raw)
    for result in (a_result(chat), LLMResult(generations=[[text]])):
        found = usage_of(result)
        assert found.counts() == {"input_tokens": 26, "output_tokens": 298}
        assert found.model_served == "qwen3:8b"
        assert found.provider == "ollama"


def test_ollama_with_its_prompt_in_memory_says_no_prompt_tokens():
    info = {"model": "qwen3:8b", "eval_count": 298}
    found = usage_of(
        LLMResult(generations=[[Generation(text="", generation_info=info)]])
    )
    assert found.counts() == {"input_tokens": 0, "output_tokens": 298}


def test_mistral_has_its_usage_in_both_places():
    message = AIMessage("x", usage_metadata=usage(10, 5))
    beside = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    found = usage_of(
        a_result(message, token_usage=beside, model_name="m-large", model="m-large")
    )
    assert found.counts() == {"input_tokens": 10, "output_tokens": 5}
    assert found.model_served == "m-large"


def test_bedrock_tells_what_is_kept_for_an_hour():
    details = {
        "cache_read": 10,
        "cache_creation": 0,
        "ephemeral_1h_input_tokens": 5,
    }
    found = said(usage(20, 1, input_token_details=details))
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (5, 5)


def test_an_older_package_without_usage_on_messages_is_read_beside_them():
    found = usage_of(a_result(AIMessage("x"), token_usage=OPENAI_USAGE, model="m"))
    assert found.counts() == COUNTS
    assert found.model_served == "m"


def test_usage_in_response_metadata_is_the_last_resort():
    message = AIMessage("x", response_metadata={"token_usage": OPENAI_USAGE})
    assert usage_of(a_result(message)).counts() == COUNTS


# ----------------------------------------------------------------- parts and wholes


@pytest.mark.parametrize(
    ("given_usage", "expected"),
    [
        (
            usage(10, 5, output_token_details={"reasoning": 100}),
            {"input_tokens": 10, "output_tokens": 105, "reasoning_tokens": 100},
        ),
        (
            {
                **usage(10, 50, output_token_details={"reasoning": 20}),
                "total_tokens": 80,
            },
            {"input_tokens": 10, "output_tokens": 70, "reasoning_tokens": 20},
        ),
        (
            usage(10, 5, input_token_details={"cache_read": 90}),
            {"input_tokens": 100, "cached_input_tokens": 90, "output_tokens": 5},
        ),
        (
            {
                **usage(50, 5, input_token_details={"cache_read": 40}),
                "total_tokens": 95,
            },
            {"input_tokens": 90, "cached_input_tokens": 40, "output_tokens": 5},
        ),
        (
            {
                **usage(
                    50,
                    50,
                    input_token_details={"cache_read": 40},
                    output_token_details={"reasoning": 30},
                ),
                "total_tokens": 170,
            },
            {
                "input_tokens": 90,
                "cached_input_tokens": 40,
                "output_tokens": 80,
                "reasoning_tokens": 30,
            },
        ),
        (
            usage(50, 50, input_token_details={"cache_read": 50}),
            {"input_tokens": 50, "cached_input_tokens": 50, "output_tokens": 50},
        ),
    ],
    ids=[
        "reasoning-larger-than-output",
        "reasoning-in-total-only",
        "cache-larger-than-input",
        "cache-in-total-only",
        "both-in-total-only",
        "all-cached",
    ],
)
def test_parts_that_come_on_top_are_put_into_their_whole(
    given_usage: Any, expected: dict[str, int]
):
    assert said(given_usage).counts() == expected


COUNT = st.integers(0, 10**6)


@given(prompt=COUNT, completion=COUNT, total=st.none() | COUNT, parts=st.data())
def test_whatever_is_said_the_parts_are_in_their_whole(
    prompt: int, completion: int, total: int | None, parts: Any
):
    names_in = ("cache_read", "flex_cache_read", "cache_creation", "image", "audio")
    names_out = ("reasoning", "priority_reasoning", "audio")
    given_usage = {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
        "input_token_details": parts.draw(
            st.dictionaries(st.sampled_from(names_in), COUNT)
        ),
        "output_token_details": parts.draw(
            st.dictionaries(st.sampled_from(names_out), COUNT)
        ),
    }
    message = AIMessage("x")
    message.usage_metadata = given_usage  # type: ignore[assignment]
    found = usage_of(a_result(message))
    if found.input_tokens is None:
        assert not prompt and not completion
        return
    cached = (found.cached_input_tokens or 0) + (found.cache_write_tokens or 0)
    assert cached <= found.input_tokens
    assert (found.reasoning_tokens or 0) <= found.output_tokens
    assert found.input_tokens >= prompt and found.output_tokens >= completion


def test_what_is_read_can_be_priced_and_recorded():
    details = {"flex_cache_read": 60, "flex": 40, "audio": 3}
    found = said(
        usage(
            100,
            50,
            input_token_details=details,
            output_token_details={"flex_reasoning": 30, "flex": 20},
        )
    )
    counts = read_counts(found.usage)
    assert (counts.input, counts.cached, counts.audio) == (100, 60, 3)
    assert (counts.output, counts.reasoning) == (50, 30)
    record = UsageRecord(started_at=datetime.now(UTC), model="m", **found.counts())
    assert record.cached_input_tokens == 60
    assert record.reasoning_tokens == 30


# -------------------------------------------------------------------- what is unknown


@pytest.mark.parametrize(
    "result",
    [
        None,
        LLMResult(generations=[]),
        LLMResult(generations=[[]]),
        a_result(AIMessage("x")),
        a_result(AIMessage("x", usage_metadata=usage(0, 0))),
        a_result(AIMessage("x"), token_usage=None),
        a_result(AIMessage("x"), token_usage={}),
        a_result(AIMessage("x"), token_usage={"prompt_tokens": 0}),
        a_result(AIMessage("x"), token_usage="many", usage=7),
    ],
    ids=[
        "nothing",
        "no-prompts",
        "no-answers",
        "no-usage",
        "zeros",
        "null",
        "empty",
        "zero-beside",
        "nonsense",
    ],
)
def test_what_is_not_said_is_unknown_and_never_zero(result: LLMResult | None):
    found = usage_of(result)
    assert not found.is_known
    assert found.usage is None
    assert found.counts() == {}
    assert not found.with_sibling


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": 0, "output_tokens": 5.0},
        {"input_tokens": 0, "output_tokens": 5, "output_token_details": 7},
        {
            "input_tokens": 0,
            "output_tokens": 5,
            "input_token_details": {"cache_read": None, "image": "x"},
        },
    ],
    ids=["float", "details", "null-detail"],
)
def test_nonsense_in_usage_breaks_nothing(wrong: Any):
    message = AIMessage("x")
    message.usage_metadata = wrong
    found = usage_of(a_result(message))
    assert (found.input_tokens, found.output_tokens) == (0, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": "many", "output_tokens": 5},
        {"input_tokens": None, "output_tokens": 5, "total_tokens": 9},
        {"input_tokens": -3, "output_tokens": 5},
        {"input_tokens": 3, "output_tokens": -5},
        {"input_tokens": True, "output_tokens": 5},
        {"output_tokens": 5},
        {"input_tokens": 5},
    ],
    ids=["text", "null", "below 0", "output below 0", "bool", "no input", "no output"],
)
def test_a_side_that_is_not_counted_is_not_free(wrong: Any):
    message = AIMessage("x")
    message.usage_metadata = wrong
    assert not usage_of(a_result(message)).is_known


@pytest.mark.parametrize(
    "told",
    [
        {"output_tokens": 5, "total_tokens": 8},
        {"input_tokens": 3, "total_tokens": 8},
    ],
    ids=["input", "output"],
)
def test_a_side_that_is_left_out_is_known_from_the_sum(told: Any):
    message = AIMessage("x")
    message.usage_metadata = told
    found = usage_of(a_result(message))
    assert (found.input_tokens, found.output_tokens) == (3, 5)


@pytest.mark.parametrize(
    ("marked", "hit"),
    [
        ({"total_cost": 0}, True),
        (usage(1, 1, total_cost=0), True),
        (usage(1, 1, total_cost=0.0), False),
        (usage(1, 1, total_cost=0.1), False),
        (usage(1, 1), False),
    ],
    ids=["mark-alone", "mark", "a-float", "a-cost", "no-mark"],
)
def test_the_mark_of_the_cache_is_the_whole_number_zero(marked: Any, hit: bool):
    message = AIMessage("x")
    message.usage_metadata = marked
    assert usage_of(a_result(message)).cache_hit is hit


def test_usages_that_differ_are_each_answers_own():
    """As where a package sends one request for each of `n`."""
    found = usage_of(
        a_result(
            AIMessage("a", usage_metadata=usage(10, 5)),
            AIMessage(
                "b",
                usage_metadata=usage(10, 7, output_token_details={"reasoning": 2}),
            ),
        )
    )
    assert found.counts() == {
        "input_tokens": 20,
        "output_tokens": 12,
        "reasoning_tokens": 2,
    }


def test_several_prompts_each_have_their_own_even_if_equal():
    answers = [
        [ChatGeneration(message=AIMessage("x", usage_metadata=usage(10, 5)))]
        for _ in range(2)
    ]
    found = usage_of(LLMResult(generations=answers))
    assert found.counts() == {"input_tokens": 20, "output_tokens": 10}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("mistral-large", "mistral-large"),
        ("mistral-largemistral-large", "mistral-large"),
        ("gpt-5gpt-5gpt-5", "gpt-5"),
        ("aaaa", "aaaa"),
        ("abab", "abab"),
    ],
    ids=["once", "twice", "thrice", "letters", "short"],
)
def test_a_name_that_merged_chunks_repeat_is_read_once(name: str, read: str):
    """Core joins texts of merged metadata, names of models too."""
    message = AIMessage("x", response_metadata={"model_name": name})
    assert usage_of(a_result(message)).model_served == read


@pytest.mark.parametrize(
    ("metadata", "provider", "expected"),
    [
        ({"ls_provider": "groq"}, "openai", "groq"),
        ({"ls_provider": ""}, "openai", "openai"),
        ({}, "openai", "openai"),
        (None, None, None),
        ({"ls_provider": 7}, None, None),
    ],
    ids=["start", "empty", "end", "neither", "nonsense"],
)
def test_the_provider_is_the_one_named_at_the_start(
    metadata: Any, provider: str | None, expected: str | None
):
    assert provider_of(metadata, ForeignUsage(provider=provider)) == expected
    assert provider_of({"ls_provider": "groq"}) == "groq"


# ------------------------------------------------------------------------------ text


CALL = {"name": "add", "args": {"a": 1}, "id": "1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("arrived", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        ([], ""),
        (AIMessage("Hello"), "Hello"),
        (AIMessageChunk("Hel"), "Hel"),
        ([AIMessageChunk("Hel"), AIMessageChunk("lo")], "Hello"),
        (ChatGenerationChunk(message=AIMessageChunk("Hel")), "Hel"),
        (GenerationChunk(text="Hel"), "Hel"),
        (Generation(text="Hel"), "Hel"),
        (LLMResult(generations=[[Generation(text="a")], [Generation(text="b")]]), "ab"),
        (a_result(AIMessage("a"), AIMessage("b")), "ab"),
        (
            AIMessage("x", additional_kwargs={"reasoning_content": "thinks "}),
            "xthinks ",
        ),
        (
            AIMessage(
                [
                    {"type": "thinking", "thinking": "thinks ", "signature": "s"},
                    {"type": "text", "text": "says"},
                    "bare",
                    {"type": "image", "url": "https://example.com/a.png"},
                ]
            ),
            "thinks saysbare",
        ),
        (
            AIMessage(
                [{"type": "reasoning", "reasoning": "thinks"}],
                additional_kwargs={"reasoning_content": "thinks"},
            ),
            "thinks",
        ),
        (AIMessage("", tool_calls=[CALL]), 'add{"a": 1}'),
        (
            AIMessageChunk(
                "",
                tool_call_chunks=[
                    {"name": "add", "args": '{"a": ', "id": "1", "index": 0}
                ],
            ),
            'add{"a": ',
        ),
        (
            AIMessage(
                "",
                invalid_tool_calls=[
                    {
                        "name": None,
                        "args": '{"a": ',
                        "id": "1",
                        "error": None,
                        "type": "invalid_tool_call",
                    }
                ],
            ),
            '{"a": ',
        ),
    ],
    ids=[
        "nothing",
        "text",
        "no-chunks",
        "message",
        "chunk",
        "chunks",
        "generation-chunk",
        "text-chunk",
        "generation",
        "prompts",
        "answers",
        "reasoning-beside",
        "blocks",
        "reasoning-twice",
        "tool-call",
        "cut-tool-call",
        "invalid-tool-call",
    ],
)
def test_all_that_was_written_is_in_the_text_once(arrived: Any, text: str):
    assert text_of(arrived) == text
