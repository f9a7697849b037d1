"""Limits, stop texts, reasoning formats, log probabilities, usage and timings."""

import json

import pytest

from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
from langchain_cerebras_ext.simulator.engine import Engine, Settings
from langchain_cerebras_ext.simulator.scenarios import Rule
from langchain_cerebras_ext.simulator.tokens import count_tokens, split_tokens

TOOLS = [{"type": "function", "function": {"name": "f"}}]
THOUGHT = "One two three."
SAID = "Four five six seven."


@pytest.fixture
def scripted(account):
    def script(answer=None, **answer_fields):
        made = answer or Answer(**answer_fields)
        account.script.add(Rule(answer=lambda _: made, times=None))
        return account

    return script


# ------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    "text",
    ["", "Hello, world!", "a  b\n\n c\t", "你好 world こんにちは 한국", "x²½_y é🎉", "1234567.5 foo_bar"],
)  # fmt: skip
def test_tokens_joined_are_the_text(text):
    assert "".join(split_tokens(text)) == text
    assert count_tokens(text) == len(split_tokens(text))


# ---------------------------------------------------------------------- limits and stops


def test_a_stop_text_ends_the_answer_and_is_not_returned(scripted):
    account = scripted(content="alpha beta STOP gamma", finish_reason="length")
    choice = account.chat(stop=["nope", "STOP"])["choices"][0]
    assert choice["message"]["content"] == "alpha beta "
    assert choice["finish_reason"] == "stop"


def test_a_stop_text_drops_the_calls_after_it(scripted):
    account = scripted(content="a STOP", tool_calls=(ToolCall("f", "{}"),))
    message = account.message(stop="STOP", tools=TOOLS)
    assert "tool_calls" not in message


@pytest.mark.parametrize("key", ["max_completion_tokens", "max_tokens"])
def test_a_limit_cuts_the_content(scripted, key):
    account = scripted(content=SAID)
    answer = account.chat(**{key: 2})
    assert answer["choices"][0]["message"]["content"] == "Four five"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2


def test_a_limit_cuts_the_reasoning_first_and_leaves_no_content(scripted):
    account = scripted(content=SAID, reasoning=THOUGHT)
    answer = account.chat(max_tokens=2)
    assert answer["choices"] == [
        {
            "finish_reason": "length",
            "index": 0,
            "message": {"reasoning": "One two", "role": "assistant"},
        }
    ]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2


def test_a_limit_cuts_tool_arguments_in_the_middle(scripted):
    account = scripted(tool_calls=(ToolCall("f", '{"city":"Paris"}'),))
    choice = account.chat(tools=TOOLS, max_tokens=9)["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city'
    assert choice["finish_reason"] == "length"
    streamed = account.chunks(tools=TOOLS, max_tokens=9)
    fragments = [
        call["function"]["arguments"]
        for chunk in streamed
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert "".join(fragments) == '{"city'
    assert streamed[-1]["choices"][0]["finish_reason"] == "length"


def test_a_call_that_does_not_fit_at_all_is_not_begun(scripted):
    account = scripted(tool_calls=(ToolCall("f", "{}"), ToolCall("f", "{}")))
    message = account.message(tools=TOOLS, max_tokens=10)
    assert len(message["tool_calls"]) == 1
    assert account.chat(tools=TOOLS, max_tokens=3)["choices"][0]["message"] == {
        "role": "assistant"
    }


def test_minus_one_and_nothing_leave_the_models_own_limit(make_account):
    account = make_account()
    long = "word " * 50_000
    account.script.add(Rule(answer=lambda _: Answer(content=long), times=None))
    for limit in (-1, None):
        answer = account.chat(max_completion_tokens=limit)
        assert answer["usage"]["completion_tokens"] == 40_960
        assert answer["choices"][0]["finish_reason"] == "length"


def test_zero_tokens_leave_nothing_to_say(scripted):
    choice = scripted(content=SAID).chat(max_tokens=0)["choices"][0]
    assert choice["message"] == {"role": "assistant"}
    assert choice["finish_reason"] == "length"


def test_a_minimum_lengthens_a_composed_answer(account):
    answer = account.chat("Tell me about whales", min_completion_tokens=300)
    assert count_tokens(answer["choices"][0]["message"]["content"]) >= 300


def test_the_finish_reason_can_be_scripted(scripted):
    account = scripted(content="x", finish_reason="content_filter")
    assert account.chat()["choices"][0]["finish_reason"] == "content_filter"


# -------------------------------------------------------------------------- reasoning


def shown(account, **body):
    message = account.message(**body)
    return message.get("reasoning"), message.get("content")


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("gpt-oss-120b", {}, (THOUGHT, SAID)),
        ("gpt-oss-120b", {"reasoning_format": "none"}, (THOUGHT, SAID)),
        ("gpt-oss-120b", {"reasoning_format": "parsed"}, (THOUGHT, SAID)),
        ("gpt-oss-120b", {"reasoning_format": "text_parsed"}, (THOUGHT, SAID)),
        ("gpt-oss-120b", {"reasoning_format": "hidden"}, (None, SAID)),
        ("gpt-oss-120b", {"reasoning_format": "raw"}, (None, THOUGHT + SAID)),
        (
            "zai-glm-4.7",
            {"reasoning_format": "raw"},
            (None, f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"),
        ),
        (
            "zai-glm-4.7",
            {"reasoning_format": "raw", "max_tokens": 2},
            (None, "<think>\nOne two"),
        ),
        ("zai-glm-4.7", {"reasoning_effort": "none"}, (None, SAID)),
        ("qwen-3-32b", {}, (None, f"<think>\n{THOUGHT}\n</think>\n\n{SAID}")),
    ],
)
def test_reasoning_comes_in_the_asked_format(scripted, model, body, expected):
    account = scripted(content=SAID, reasoning=THOUGHT)
    assert shown(account, model=model, **body) == expected
    streamed = account.chunks(model=model, **body)
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    joined = tuple(
        "".join(delta.get(key, "") for delta in deltas) or None
        for key in ("reasoning", "content")
    )
    assert joined == expected


def test_hidden_reasoning_is_counted_all_the_same(scripted):
    account = scripted(content=SAID, reasoning=THOUGHT)
    usage = account.chat(reasoning_format="hidden")["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4
    assert usage["completion_tokens"] == 9


def test_qwen_3_hides_reasoning_under_json(make_account):
    account = make_account()
    body = {
        "model": "qwen-3-32b",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    }  # fmt: skip
    answer = account.chat(**body)
    assert "<think>" not in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


@pytest.mark.parametrize(
    ("model", "body", "thinks"),
    [
        ("gpt-oss-120b", {}, True),
        ("gemma-4-31b", {}, False),
        ("gemma-4-31b", {"reasoning_effort": "low"}, True),
        ("qwen-3.8-27b", {}, True),
        ("qwen-3.8-27b", {"reasoning_effort": "none"}, False),
        ("llama3.1-8b", {}, False),
    ],
)
def test_a_model_thinks_by_default_or_when_asked(account, model, body, thinks):
    assert ("reasoning" in account.message(model=model, **body)) is thinks


def test_more_effort_gives_longer_thoughts(account):
    lengths = [
        account.chat("Why is the sky blue?", reasoning_effort=effort)["usage"][
            "completion_tokens_details"
        ]["reasoning_tokens"]
        for effort in ("low", "medium", "high")
    ]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize(
    ("clear", "kept"), [(None, False), (True, False), (False, True)]
)
def test_glm_drops_the_thinking_of_earlier_turns_unless_told(account, clear, kept):
    thought = "<think>" + "long thought " * 40 + "</think>"

    def prompt_tokens(content):
        messages = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "Go on"},
        ]
        body = {} if clear is None else {"clear_thinking": clear}
        answer = account.chat(model="zai-glm-4.7", messages=messages, **body)
        return answer["usage"]["prompt_tokens"]

    assert (prompt_tokens(thought + "Hello") > prompt_tokens("Hello")) is kept


# ---------------------------------------------------------------------------- logprobs


def test_log_probabilities_cover_every_token(scripted):
    account = scripted(content=SAID)
    choice = account.chat(logprobs=True, top_logprobs=2)["choices"][0]
    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == SAID
    for entry in entries:
        assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]
        assert bytes(entry["bytes"]).decode() == entry["token"]
        tops = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(tops) == 2
        assert tops == sorted(tops, reverse=True)
        assert entry["logprob"] == tops[0] <= 0
    assert list(choice) == ["finish_reason", "index", "message", "logprobs"]


def test_parsed_reasoning_has_log_probabilities_of_its_own(scripted):
    account = scripted(content=SAID, reasoning=THOUGHT)
    choice = account.chat(logprobs=True, reasoning_format="parsed")["choices"][0]
    thought = [entry["token"] for entry in choice["reasoning_logprobs"]["content"]]
    assert "".join(thought) == THOUGHT
    joined = account.chat(logprobs=True)["choices"][0]
    assert "reasoning_logprobs" not in joined
    tokens = [entry["token"] for entry in joined["logprobs"]["content"]]
    assert "".join(tokens) == THOUGHT + SAID


@pytest.mark.parametrize("style", ["parsed", "text_parsed"])
def test_streamed_log_probabilities_come_with_their_tokens(scripted, style):
    account = scripted(content=SAID, reasoning=THOUGHT)
    told = {"logprobs": "", "reasoning_logprobs": ""}
    for chunk in account.chunks(logprobs=True, reasoning_format=style):
        choice = chunk["choices"][0]
        for key in told:
            for entry in choice.get(key, {}).get("content", []):
                told[key] += entry["token"]
    split = style == "parsed"
    assert told["logprobs"] == (SAID if split else THOUGHT + SAID)
    assert told["reasoning_logprobs"] == (THOUGHT if split else "")


def test_log_probabilities_can_be_scripted(scripted):
    entry = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}
    account = scripted(content="x", logprobs=(entry,))
    assert account.chat(logprobs=True)["choices"][0]["logprobs"] == {"content": [entry]}


# ------------------------------------------------------------------------ streamed pieces


def test_scripted_chunks_are_sent_as_they_are(scripted):
    pieces = ("Hel", "lo ", "", "wor", "ld")
    account = scripted(content="Hello world", chunks=pieces, reasoning="a b", reasoning_chunks=("a", " b"))  # fmt: skip
    deltas = [chunk["choices"][0]["delta"] for chunk in account.chunks(logprobs=True)]
    assert [d["content"] for d in deltas if "content" in d] == list(pieces)
    assert [d["reasoning"] for d in deltas if "reasoning" in d] == ["a", " b"]


def test_scripted_chunks_obey_the_limit(scripted):
    account = scripted(content="one two three", chunks=("one two", " three"))
    deltas = [chunk["choices"][0]["delta"] for chunk in account.chunks(max_tokens=1)]
    assert [d["content"] for d in deltas if "content" in d] == ["one"]


def test_several_choices_differ_and_are_all_billed(account):
    one = account.chat("Tell me about whales and dolphins")
    many = account.chat("Tell me about whales and dolphins", n=6)
    texts = {choice["message"]["content"] for choice in many["choices"]}
    assert [choice["index"] for choice in many["choices"]] == list(range(6))
    assert len(texts) > 1
    assert many["usage"]["completion_tokens"] > 4 * one["usage"]["completion_tokens"]


def test_stream_and_plain_body_say_the_same(account, tool):
    for body in ({}, {"tools": [tool(city="string")]}):
        plain = account.message("What about Paris?", **body)
        merged = {"content": "", "reasoning": "", "arguments": ""}
        for chunk in account.chunks("What about Paris?", **body):
            delta = chunk["choices"][0]["delta"]
            merged["content"] += delta.get("content", "")
            merged["reasoning"] += delta.get("reasoning", "")
            for call in delta.get("tool_calls", []):
                merged["arguments"] += call["function"]["arguments"]
        assert merged["reasoning"] == plain["reasoning"]
        assert merged["content"] == plain.get("content", "")
        calls = plain.get("tool_calls", [])
        assert merged["arguments"] == "".join(c["function"]["arguments"] for c in calls)


def test_the_same_seed_gives_the_same_bytes(make_account):
    first, second = make_account(seed=5), make_account(seed=5)
    assert first.raw(stream=True) == second.raw(stream=True)
    assert first.raw() != make_account(seed=6).raw()


def test_tokens_in_a_chunk_can_be_fixed(make_account):
    account = make_account(tokens_per_chunk=1)
    chunks = account.chunks("Count from 1 to 20")
    assert chunks[-1]["usage"]["completion_tokens"] == len(chunks) - 2


# -------------------------------------------------------------------------- predictions


def test_tokens_of_a_prediction_are_counted_as_used_or_not(account):
    prediction = {"type": "content", "content": "def f(x):\n    return x"}
    answer = account.chat("Rename 'x' to 'value'.", prediction=prediction)
    assert (
        answer["choices"][0]["message"]["content"] == "def f(value):\n    return value"
    )
    details = answer["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] > 0
    assert details["rejected_prediction_tokens"] > 0
    total = (
        details["accepted_prediction_tokens"] + details["rejected_prediction_tokens"]
    )
    assert total == count_tokens(prediction["content"])


def test_a_prediction_that_holds_costs_nothing_more(account):
    text = "same as before"
    prediction = {"type": "content", "content": [{"type": "text", "text": text}]}
    answer = account.chat("Leave it.", prediction=prediction)
    assert answer["choices"][0]["message"]["content"] == text
    assert (
        answer["usage"]["completion_tokens_details"]["rejected_prediction_tokens"] == 0
    )


# -------------------------------------------------------------------- usage and timings


def test_time_info_fits_the_models_speed(account):
    info = account.chat("Write 300 words about whales")["time_info"]
    parts = info["queue_time"] + info["prompt_time"] + info["completion_time"]
    assert list(info) == ["created", "queue_time", "prompt_time", "completion_time", "total_time"]  # fmt: skip
    assert info["created"] == 1_800_000_000.25
    assert parts < info["total_time"] < parts + 0.02


def test_a_prefix_seen_before_is_cached_in_blocks_of_128(account):
    system = {"role": "system", "content": "rule " * 300}

    def cached(question, model="gpt-oss-120b"):
        messages = [system, {"role": "user", "content": question}]
        usage = account.chat(model=model, messages=messages)["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert cached("One?") == 0
    assert cached("Two?") == 256
    assert cached("Two?", model="zai-glm-4.7") == 0
    account.clock.now += 301
    assert cached("Three?") == 0


def test_a_prompt_of_whole_blocks_is_never_cached_to_its_last_token(account):
    prompt = "word " * (256 - 63 - 4 - 1)
    first = account.chat(prompt.strip())
    assert first["usage"]["prompt_tokens"] == 255
    repeated = account.chat(prompt.strip())["usage"]["prompt_tokens_details"]
    assert repeated["cached_tokens"] == 128


def test_the_cache_keeps_a_bounded_number_of_blocks(account, monkeypatch):
    from langchain_cerebras_ext.simulator import prompt_cache

    monkeypatch.setattr(prompt_cache, "BLOCKS_MAX", 2)
    account.chat("a " * 1_000)
    again = account.chat("a " * 1_000)["usage"]["prompt_tokens_details"]
    assert again["cached_tokens"] == 0


def test_the_service_tier_is_told_only_when_asked_for(make_account):
    assert "service_tier_used" not in make_account().chat(service_tier="flex")
    echoing = make_account(echo_service_tier=True)
    assert echoing.chat(service_tier="flex")["service_tier_used"] == "flex"
    assert echoing.chat(service_tier="auto")["service_tier_used"] == "default"
    assert "service_tier_used" not in echoing.chat()


def test_every_answer_says_that_it_is_a_simulators(account):
    fingerprint = account.chat()["system_fingerprint"]
    assert fingerprint.startswith("fp_simulator_")
    assert account.chunks()[0]["system_fingerprint"] == fingerprint
    assert account.chat(model="zai-glm-4.7")["system_fingerprint"] != fingerprint


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"speed": 0}, "speed=0 is not valid"),
        ({"speed": "fast"}, "give 'instant', 'real' or a factor"),
        ({"tier": "gold"}, "tier='gold'"),
        ({"stream_usage_style": "x"}, "stream_usage_style='x'"),
        ({"tokens_per_chunk": 0}, "tokens_per_chunk=0"),
    ],
)
def test_wrong_settings_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        Settings(**settings)


def test_an_engine_has_defaults():
    assert list(Engine().profiles) == ["gpt-oss-120b", "qwen-3.8-27b"]
    assert "secret" not in repr(Settings(key="secret"))


# ---------------------------------------------------------------------- text completions


def test_text_completions_echo_the_prompt(account):
    choice = account.complete("Count from 1 to 3", echo=True)["choices"][0]
    assert choice["text"] == "Count from 1 to 31, 2, 3"
    streamed = account.complete("Count from 1 to 3", echo=True, stream=True)
    assert b'"text":"Count from 1 to 3"' in streamed


def test_text_completions_take_several_prompts_and_choices(account):
    answer = account.complete(["Count from 1 to 2", "Count from 5 to 6"], n=2)
    texts = [choice["text"] for choice in answer["choices"]]
    assert texts == ["1, 2", "1, 2", "5, 6", "5, 6"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("prompt", [[1, 2, 30], [[1, 2], [3]]])
def test_text_completions_take_token_ids(account, prompt):
    usage = account.complete(prompt)["usage"]
    assert usage["prompt_tokens"] == 3


def test_text_completions_give_log_probabilities_and_raw_tokens(account):
    choice = account.complete("Say 'a b'", logprobs=2, return_raw_tokens=True)[
        "choices"
    ][0]
    assert choice["text"] == "a b"
    assert len(choice["tokens"]) == 2
    assert choice["logprobs"]["tokens"] == ["a", " b"]
    assert choice["logprobs"]["text_offset"] == [0, 1]
    assert [len(top) for top in choice["logprobs"]["top_logprobs"]] == [2, 2]


def streamed_choices(account, prompt, **body):
    """Return the entries of `choices` of a streamed text completion."""
    data = account.complete(prompt, stream=True, **body)
    events = data.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [
        choice
        for event in events
        for choice in json.loads(event.removeprefix("data: "))["choices"]
    ]


@pytest.mark.parametrize(
    "body",
    [{}, {"echo": True}, {"n": 2}, {"max_tokens": 5}, {"return_raw_tokens": True}],
    ids=["alone", "echo", "two choices", "cut", "raw tokens"],
)
def test_streamed_text_completions_give_log_probabilities_of_their_tokens(
    account, body
):
    prompt = "Count from 1 to 30"
    whole = account.complete(prompt, logprobs=2, **body)["choices"]
    streamed = streamed_choices(account, prompt, logprobs=2, **body)
    for expected in whole:
        parts = [one for one in streamed if one["index"] == expected["index"]]
        told = [one for one in parts if "logprobs" in one]
        assert len(told) == len(parts) - 1 > 1
        for one in told:
            assert "".join(one["logprobs"]["tokens"]) == one["text"]
        joined = {
            key: [item for one in told for item in one["logprobs"][key]]
            for key in ("text_offset", "token_logprobs", "tokens", "top_logprobs")
        }
        assert joined == expected["logprobs"]
        raw = [item for one in told for item in one.get("tokens", [])]
        assert raw == expected.get("tokens", [])


def test_scripted_pieces_of_a_text_completion_may_cut_its_tokens(scripted):
    """A token is told of with the piece that it begins in."""
    account = scripted(content="Hello world", chunks=("Hel", "lo", "", " wor", "ld"))
    told = streamed_choices(account, "Go", logprobs=0)[:-1]
    assert [one["text"] for one in told] == ["Hel", "lo", "", " wor", "ld"]
    tokens = [one["logprobs"]["tokens"] for one in told]
    assert tokens == [["Hello"], [], [], [" world"], []]


def test_text_completions_tell_nothing_of_tokens_unasked(account):
    for choice in streamed_choices(account, "Count from 1 to 30"):
        assert not {"tokens", "logprobs"} & set(choice)


def test_text_completions_stop_and_are_cut(account):
    cut = account.complete("Count from 1 to 9", max_tokens=3)["choices"][0]
    assert (cut["text"], cut["finish_reason"]) == ("1, 2", "length")
    stopped = account.complete("Count from 1 to 9", stop=", 3")["choices"][0]
    assert (stopped["text"], stopped["finish_reason"]) == ("1, 2", "stop")


def test_tool_arguments_are_spaced_as_the_model_does(account, tool):
    for model, text in (
        ("gpt-oss-120b", '{"city":"Paris"}'),
        ("gemma-4-31b", '{"city": "Paris"}'),
    ):
        message = account.message(
            "Weather in Paris?", model=model, tools=[tool(city="string")]
        )
        call = message["tool_calls"][0]
        assert call["function"]["arguments"] == text
        assert json.loads(text) == {"city": "Paris"}
        assert len(call["id"]) == 9
        int(call["id"], 16)
