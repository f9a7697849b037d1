"""`CerebrasLLM`: what it sends, byte by byte, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import Generation
from langchain_core.prompts import PromptTemplate

from langchain_cerebras_ext import CerebrasLLM, __version__
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
    CerebrasResponseError,
    EmptyResponseError,
    NotFoundError,
    RateLimitError,
    StreamInterruptedError,
    UnsupportedFeatureError,
)

MODEL = "gpt-oss-120b"
COUNT = "Count from 1 to 4"
COUNTED = "1, 2, 3, 4"


@pytest.fixture
def make(sim):
    def build(**kwargs):
        return CerebrasLLM(
            **{
                "model": MODEL,
                "base_url": sim.base_url,
                "api_key": "csk-test",
                "max_retries": 0,
                **kwargs,
            }
        )

    return build


@pytest.fixture
def llm(make):
    return make()


# --------------------------------------------------------------------------- the wire

ANSWER = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1_800_000_000,
    "model": "gpt-oss-120b",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "text": " there was", "finish_reason": "length"}],
    "usage": {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
    "time_info": {"queue_time": 0.1, "total_time": 0.3},
}


class Wire:
    """A client that keeps what was sent and answers with what it was given."""

    def __init__(self, answer=ANSWER, *, content_type="application/json", status=200):
        self.sent = []
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

        def answer_with(request):
            self.sent.append(request)
            return httpx.Response(
                status, content=body, headers={"content-type": content_type}
            )

        self.client = httpx.Client(transport=httpx.MockTransport(answer_with))

    def llm(self, **kwargs):
        return CerebrasLLM(
            model=MODEL,
            base_url="https://cerebras.example",
            api_key="csk-test",
            http_client=self.client,
            max_retries=0,
            **kwargs,
        )


@pytest.fixture
def wire():
    made = []

    def build(*args, **kwargs):
        made.append(Wire(*args, **kwargs))
        return made[-1]

    yield build
    for one in made:
        one.client.close()


def test_a_bare_call_sends_the_model_and_the_prompt_only(wire):
    one = wire()
    assert one.llm().invoke("Once upon a time") == " there was"
    (request,) = one.sent
    assert request.method == "POST"
    assert str(request.url) == "https://cerebras.example/v1/completions"
    assert request.content == b'{"model":"gpt-oss-120b","prompt":"Once upon a time"}'
    assert request.headers["authorization"] == "Bearer csk-test"
    assert request.headers["content-type"] == "application/json"


def test_every_parameter_goes_under_the_name_of_the_api(wire):
    one = wire()
    one.llm(
        temperature=0.5,
        top_p=0.9,
        max_tokens=20,
        min_tokens=2,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logit_bias={"42": 1.5},
        logprobs=3,
        n=2,
        best_of=4,
        echo=True,
        grammar_root="root",
        return_raw_tokens=False,
        stop_sequences=["END"],
        seed=7,
        prompt_cache_key="story",
        user="u1",
        model_kwargs={"new_key": 1},
        extra_body={"other_key": 2},
    ).invoke("Once")
    assert json.loads(one.sent[0].content) == {
        "model": "gpt-oss-120b",
        "prompt": "Once",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 20,
        "min_tokens": 2,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logit_bias": {"42": 1.5},
        "logprobs": 3,
        "n": 2,
        "best_of": 4,
        "echo": True,
        "grammar_root": "root",
        "return_raw_tokens": False,
        "stop": ["END"],
        "seed": 7,
        "prompt_cache_key": "story",
        "user": "u1",
        "new_key": 1,
        "other_key": 2,
    }


def test_a_call_overrides_what_is_set_on_the_model(wire):
    one = wire()
    one.llm(temperature=0.5, max_tokens=20).invoke(
        "Once",
        stop=["."],
        temperature=0.1,
        model="cerebras:qwen-3.8-27b",
        extra_body={"x": 1},
    )
    assert json.loads(one.sent[0].content) == {
        "model": "qwen-3.8-27b",
        "prompt": "Once",
        "temperature": 0.1,
        "max_tokens": 20,
        "stop": ["."],
        "x": 1,
    }


def test_a_prompt_of_any_language_goes_as_utf_8(wire):
    one = wire()
    one.llm().invoke("Es war einmal ein Bär 🐻 在森林里")
    assert "Bär 🐻 在森林里".encode() in one.sent[0].content


def test_a_stream_is_asked_for_with_stream(wire):
    data = (
        b'data: {"id":"cmpl-1","model":"gpt-oss-120b","object":"text_completion",'
        b'"choices":[{"index":0,"text":"Hello"}]}\n\n'
        b'data: {"id":"cmpl-1","choices":[{"index":0,"text":" you",'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,'
        b'"total_tokens":3}}\n\n'
        b"data: [DONE]\n\n"
    )
    one = wire(data, content_type="text/event-stream; charset=utf-8")
    assert list(one.llm().stream("Say")) == ["Hello", " you", ""]
    assert one.sent[0].content == (
        b'{"model":"gpt-oss-120b","stream":true,"prompt":"Say"}'
    )


# ---------------------------------------------------------------------- plain answers


async def test_a_prompt_is_continued(llm):
    assert llm.invoke(COUNT) == COUNTED
    assert await llm.ainvoke(COUNT) == COUNTED


async def test_what_is_known_of_an_answer_is_in_its_generation_info(llm, wire):
    result = wire().llm().generate(["Once"])
    (generation,) = result.generations[0]
    info = dict(generation.generation_info)
    assert info.pop("measured")["total_s"] > 0
    assert info == {
        "model_provider": "cerebras",
        "model_name": "gpt-oss-120b",
        "finish_reason": "length",
        "system_fingerprint": "fp_1",
        "id": "cmpl-1",
        "created": 1_800_000_000,
        "time_info": {"queue_time": 0.1, "total_time": 0.3},
        "attempts": 1,
        "usage_metadata": {
            "input_tokens": 4,
            "output_tokens": 2,
            "total_tokens": 6,
            "input_token_details": {"cache_read": 1},
        },
    }
    assert result.llm_output == {
        "model_name": "gpt-oss-120b",
        "token_usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
        },
    }
    limits = (await llm.agenerate([COUNT])).generations[0][0].generation_info
    assert "x-ratelimit-remaining-tokens-minute" in limits["rate_limits"]


async def test_several_completions_of_a_prompt_are_all_returned_and_billed_once(llm):
    for result in (llm.generate([COUNT], n=3), await llm.agenerate([COUNT], n=3)):
        (group,) = result.generations
        assert [one.text for one in group] == [COUNTED] * 3
        metered = ["usage_metadata" in one.generation_info for one in group]
        assert metered == [True, False, False]
        usage = group[0].generation_info["usage_metadata"]
        assert result.llm_output["token_usage"]["total_tokens"] == usage["total_tokens"]


async def test_a_batch_keeps_its_order(sim, llm):
    prompts = [f"Say 'number {number}'" for number in range(6)]
    expected = [f"number {number}" for number in range(6)]
    assert llm.batch(prompts) == expected
    assert await llm.abatch(prompts, config={"max_concurrency": 2}) == expected
    result = llm.generate(prompts)
    assert [group[0].text for group in result.generations] == expected
    each = [g[0].generation_info["usage_metadata"] for g in result.generations]
    assert result.llm_output["token_usage"]["total_tokens"] == sum(
        usage["total_tokens"] for usage in each
    )
    assert len(sim.requests) == 18


class Meeting:
    """A service that answers when so many requests are there, and counts them."""

    def __init__(self, width):
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.barrier = threading.Barrier(width)
        self.async_barrier = asyncio.Barrier(width)

    def come(self):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)

    def go(self):
        with self.lock:
            self.running -= 1
        return httpx.Response(200, json=ANSWER)

    def answer(self, request):
        self.come()
        self.barrier.wait(10)
        return self.go()

    async def aanswer(self, request):
        self.come()
        async with asyncio.timeout(10):
            await self.async_barrier.wait()
        return self.go()


@pytest.mark.parametrize("width", [1, 3])
async def test_a_batch_runs_as_many_at_once_as_asked_for(width):
    meeting = Meeting(width)
    config = {"max_concurrency": width}
    with httpx.Client(transport=httpx.MockTransport(meeting.answer)) as client:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(meeting.aanswer)
        ) as async_client:
            llm = CerebrasLLM(
                model=MODEL,
                api_key="csk-test",
                http_client=client,
                http_async_client=async_client,
            )
            answers = await asyncio.to_thread(llm.batch, ["Hello"] * 6, config)
            assert answers == [" there was"] * 6
            assert meeting.most == width
            assert await llm.abatch(["Hello"] * 6, config) == answers
    assert (meeting.running, meeting.most) == (0, width)


def test_a_batch_hands_back_errors_when_asked_to(sim, llm):
    sim.fail_next(500, when="break", times=None)
    answers = llm.batch(
        ["Say 'a'", "break", "Say 'b'"],
        config={"max_concurrency": 1},
        return_exceptions=True,
    )
    assert [answers[0], type(answers[1]).__name__, answers[2]] == [
        "a",
        "InternalServerError",
        "b",
    ]


@pytest.mark.parametrize("how", ["call", "model", "text"])
def test_stop_texts_end_the_completion(make, how):
    if how == "call":
        text = make().invoke(COUNT, stop=["3"])
    else:
        text = make(stop=["3"] if how == "model" else "3").invoke(COUNT)
    assert text == "1, 2, "


LOGPROBS = {"text_offset", "token_logprobs", "tokens", "top_logprobs"}


def test_log_probabilities_of_a_plain_answer_are_kept(llm):
    (generation,) = llm.generate([COUNT], logprobs=2).generations[0]
    logprobs = generation.generation_info["logprobs"]
    assert set(logprobs) == LOGPROBS
    assert "".join(logprobs["tokens"]) == COUNTED
    assert all(len(alternatives) == 2 for alternatives in logprobs["top_logprobs"])


def _event(text, reason=None, **logprobs):
    choice = {"index": 0, "text": text, "finish_reason": reason}
    if logprobs:
        choice["logprobs"] = logprobs
    body = {"id": "cmpl-1", "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def test_log_probabilities_of_a_stream_are_joined(wire):
    data = (
        _event("a b", tokens=["a", " b"], token_logprobs=[-0.1, -0.2])
        + _event(" c", tokens=[" c"], token_logprobs=[-0.3])
        + _event("", "stop")
        + b"data: [DONE]\n\n"
    )
    one = wire(data, content_type="text/event-stream")
    chunks = list(one.llm(logprobs=1)._stream("Go"))
    assert "".join(chunk.text for chunk in chunks) == "a b c"
    assert chunks[-1].generation_info["logprobs"] == {
        "tokens": ["a", " b", " c"],
        "token_logprobs": [-0.1, -0.2, -0.3],
    }


# ---------------------------------------------------------------------------- streams


async def test_a_stream_gives_the_text_in_pieces(sim, llm):
    sim.reply(chunks=["One ", "two ", "three."], times=None)
    pieces = [piece for piece in llm.stream("Go") if piece]
    assert pieces == ["One ", "two ", "three."]
    pieces = [piece async for piece in llm.astream("Go") if piece]
    assert pieces == ["One ", "two ", "three."]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
async def test_a_stream_ends_in_what_a_plain_answer_knows(llm, asynchronous):
    if asynchronous:
        chunks = [chunk async for chunk in llm._astream(COUNT)]
    else:
        chunks = list(llm._stream(COUNT))
    plain = llm.generate([COUNT]).generations[0][0]
    assert "".join(chunk.text for chunk in chunks) == plain.text
    told = [chunk for chunk in chunks if chunk.generation_info]
    assert told == [chunks[-1]]
    streamed, known = chunks[-1].generation_info, plain.generation_info
    assert set(streamed) == set(known)
    for key in ("model_name", "finish_reason", "usage_metadata", "system_fingerprint"):
        assert streamed[key] == known[key]
    assert streamed["measured"]["time_to_first_token_s"] > 0


class Heard(BaseCallbackHandler):
    def __init__(self):
        self.tokens, self.ends, self.errors, self.starts = [], [], [], []

    def on_llm_start(self, serialized, prompts, **kwargs):
        self.starts.append((prompts, kwargs))

    def on_llm_new_token(self, token, *, chunk=None, **kwargs):
        assert chunk.text == token
        self.tokens.append(token)

    def on_llm_end(self, response, **kwargs):
        self.ends.append(response)

    def on_llm_error(self, error, **kwargs):
        self.errors.append(error)


async def test_handlers_hear_each_piece_once(sim, make):
    sim.reply(chunks=["One ", "two."], times=None)
    for streaming in (False, True):
        llm = make(streaming=streaming)
        for run in ("stream", "astream", "invoke", "ainvoke"):
            heard = Heard()
            config = {"callbacks": [heard]}
            if run == "stream":
                list(llm.stream("Go", config))
            elif run == "astream":
                _ = [piece async for piece in llm.astream("Go", config)]
            elif run == "invoke":
                assert llm.invoke("Go", config) == "One two."
            else:
                assert await llm.ainvoke("Go", config) == "One two."
            expected = ["One ", "two."] if streaming or "stream" in run else []
            assert heard.tokens == expected
            assert len(heard.starts) == len(heard.ends) == 1
            (generation,) = heard.ends[0].generations[0]
            assert generation.text == "One two."
            assert generation.generation_info["usage_metadata"]["output_tokens"] > 0


async def test_async_handlers_hear_each_piece(sim, llm):
    sim.reply(chunks=["One ", "two."])
    tokens = []

    class AsyncHeard(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **kwargs):
            tokens.append(token)

    _ = [piece async for piece in llm.astream("Go", {"callbacks": [AsyncHeard()]})]
    assert tokens == ["One ", "two."]


@pytest.mark.parametrize("name", ["n", "best_of"])
async def test_a_stream_of_several_completions_is_refused(sim, llm, make, name):
    with pytest.raises(UnsupportedFeatureError, match=rf"{name}=2 cannot be streamed"):
        list(llm.stream("Go", **{name: 2}))
    with pytest.raises(UnsupportedFeatureError, match=rf"{name}=2 cannot be streamed"):
        _ = [piece async for piece in llm.astream("Go", **{name: 2})]
    assert sim.requests == []
    # `streaming=True` is a wish: where a stream cannot be had, a plain answer is.
    assert make(streaming=True, **{name: 2}).invoke(COUNT) == COUNTED
    assert "stream" not in sim.requests[0].body


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("wrong_api_key", AuthenticationError),
        ("queue_exceeded", RateLimitError),
        ("model_not_found", NotFoundError),
    ],
)
async def test_failures_are_the_errors_of_the_chat_model(sim, llm, code, expected):
    sim.fail_next(code=code, times=None)
    with pytest.raises(expected):
        llm.invoke("Go")
    with pytest.raises(expected):
        await llm.ainvoke("Go")
    with pytest.raises(expected):
        list(llm.stream("Go"))
    with pytest.raises(expected):
        _ = [piece async for piece in llm.astream("Go")]
    assert len(sim.requests) == 4


async def test_handlers_hear_of_an_error(sim, llm):
    sim.fail_next(code="queue_exceeded", times=None)
    heard = Heard()
    with pytest.raises(RateLimitError):
        llm.invoke("Go", {"callbacks": [heard]})
    assert [type(error).__name__ for error in heard.errors] == ["RateLimitError"]


def test_a_failure_is_tried_again(sim, make):
    sim.fail_next(503)
    llm = make(max_retries=1)
    (generation,) = llm.generate([COUNT]).generations[0]
    assert generation.text == COUNTED
    assert generation.generation_info["attempts"] == 2


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
async def test_a_cut_stream_is_an_error_that_carries_what_came(sim, llm, asynchronous):
    sim.reply(chunks=["One ", "two ", "three."], cut_after=2)
    pieces = []
    with pytest.raises(StreamInterruptedError) as caught:
        if asynchronous:
            async for piece in llm.astream("Go"):
                pieces.append(piece)
        else:
            for piece in llm.stream("Go"):
                pieces.append(piece)
    assert "".join(pieces) == "One two "
    assert caught.value.partial_message.text == "One two "


def test_an_answer_without_choices_is_an_error(wire):
    with pytest.raises(EmptyResponseError, match="without choices"):
        wire({**ANSWER, "choices": []}).llm().invoke("Go")


def test_an_answer_that_is_no_json_is_an_error(wire):
    with pytest.raises(CerebrasResponseError):
        wire(b"<html>Bad gateway</html>", content_type="text/html").llm().invoke("Go")


async def test_an_empty_prompt_is_refused_before_it_is_sent(sim, llm):
    with pytest.raises(CerebrasInvalidRequestError, match="prompt is empty"):
        llm.invoke("")
    with pytest.raises(CerebrasInvalidRequestError, match="prompt is empty"):
        _ = [piece async for piece in llm.astream("")]
    assert sim.requests == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"logprobs": 21}, "logprobs=21 is out of range: the API takes 0 to 20"),
        ({"temperature": 3}, "temperature=3 is out of range"),
        ({"best_of": 21}, "best_of=21"),
        ({"temprature": 0.1}, "temperature"),
        ({"model": " "}, "model is empty"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_wrong_arguments_are_refused_at_construction(make, wrong, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        make(**wrong)


def test_a_missing_key_is_an_error_that_names_the_variable():
    with pytest.raises(CerebrasConfigurationError, match="CEREBRAS_API_KEY"):
        CerebrasLLM(model=MODEL)


# --------------------------------------------------------------------------- identity


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_it_dumps_and_loads_without_its_key(llm, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-from-env")
    text = dumps(llm)
    assert "csk-" not in text
    loaded = loads(
        text,
        valid_namespaces=["langchain_cerebras_ext"],
        allowed_objects=[CerebrasLLM],
        secrets_from_env=True,
    )
    assert loaded.asdict() == llm.asdict()
    assert loaded.cerebras_api_key.get_secret_value() == "csk-from-env"


def test_it_copies_and_pickles(llm):
    assert pickle.loads(pickle.dumps(llm)).invoke(COUNT) == COUNTED
    assert copy.deepcopy(llm).invoke(COUNT) == COUNTED


def test_the_key_is_in_no_text_of_it(llm):
    for text in (repr(llm), str(llm), str(llm.asdict()), str(llm._identifying_params)):
        assert "csk-test" not in text


def test_langsmith_is_told_the_provider_the_model_and_the_version(make):
    llm = make(temperature=0.5, max_tokens=20)
    assert llm._get_ls_params(stop=["."]) == {
        "ls_provider": "cerebras",
        "ls_model_name": MODEL,
        "ls_model_type": "llm",
        "ls_temperature": 0.5,
        "ls_max_tokens": 20,
        "ls_stop": ["."],
    }
    other = llm._get_ls_params(model="cerebras:qwen-3.8-27b", temperature=0.1)
    assert (other["ls_model_name"], other["ls_temperature"]) == ("qwen-3.8-27b", 0.1)
    heard = Heard()
    llm.invoke(COUNT, {"callbacks": [heard]})
    ((prompts, told),) = heard.starts
    assert prompts == [COUNT]
    assert told["metadata"]["ls_provider"] == "cerebras"
    assert told["metadata"]["lc_versions"]["langchain-cerebras-ext"] == __version__
    assert told["invocation_params"]["_type"] == llm._llm_type == "cerebras-llm"
    assert "csk-test" not in str(told)


def test_tokens_are_counted_without_a_network(sim, llm):
    assert 3 <= llm.get_num_tokens(COUNT) <= 12
    assert sim.requests == []


async def test_it_works_in_a_chain(llm):
    chain = PromptTemplate.from_template("Say '{words}'") | llm | StrOutputParser()
    assert chain.invoke({"words": "hello"}) == "hello"
    assert "".join(chain.stream({"words": "hello"})) == "hello"
    assert await chain.ainvoke({"words": "hello"}) == "hello"


def test_fifty_loops_one_after_another_work(llm):
    """The async clients belong to their loops."""
    for _ in range(50):
        assert asyncio.run(llm.ainvoke("Say 'hi'")) == "hi"


def test_a_generation_is_plain_json(llm):
    (generation,) = llm.generate([COUNT]).generations[0]
    again = Generation(**json.loads(json.dumps(generation.model_dump())))
    assert again == generation
