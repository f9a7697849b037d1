"""Scripted replies: which answers, in which order, and files of them."""

import json
import re

import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.simulator.answers import ToolCall
from langchain_cerebras_ext.simulator.engine import Engine
from langchain_cerebras_ext.simulator.scenarios import (
    Rule,
    ScenarioError,
    load_scenario,
    make_answer,
    make_call,
    prompt_text,
)
from langchain_cerebras_ext.simulator.server import Simulator

TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.fixture
def sim():
    """A simulator that is not started; its engine is asked directly."""
    return Simulator(tokens_per_chunk=2)


def body(prompt="Hi", **more):
    messages = [{"role": "user", "content": prompt}]
    return {"model": "gpt-oss-120b", "messages": messages, **more}


def ask(sim, prompt="Hi", **more):
    return json.loads(sim.engine.chat(body(prompt, **more), {}).body)["choices"][0]


def said(sim, prompt="Hi", **more):
    return ask(sim, prompt, **more)["message"].get("content")


def test_replies_come_in_order_and_then_the_simulators_own(sim):
    sim.reply("one")
    sim.reply("two")
    assert sim.pending_replies == 2
    assert [said(sim), said(sim)] == ["one", "two"]
    assert sim.pending_replies == 0
    assert said(sim, "Say 'three'") == "three"


def test_a_reply_can_be_given_several_times_or_without_end(sim):
    sim.reply("twice", times=2)
    sim.reply("always", times=None)
    assert [said(sim) for _ in range(4)] == ["twice", "twice", "always", "always"]


@pytest.mark.parametrize(
    "when",
    [
        "cat",
        re.compile(r"c.ts?\b"),
        lambda sent: "cat" in sent["messages"][-1]["content"],
    ],
)
def test_a_rule_answers_what_it_matches(sim, when):
    sim.reply("Meow.", when=when)
    assert said(sim, "Say 'woof'") == "woof"
    assert said(sim, "A cat, please") == "Meow."


def test_rules_look_at_the_last_user_message(sim):
    sim.reply("matched", when="weather", times=None)
    later = {
        "messages": [
            {"role": "user", "content": "the weather"},
            {"role": "assistant", "content": "fine"},
            {"role": "user", "content": "Say 'no'"},
        ]
    }
    assert said(sim, **later) == "no"


def test_a_reply_may_be_made_from_the_request(sim):
    sim.reply(lambda sent: sent["messages"][0]["content"].upper())
    assert said(sim, "shout") == "SHOUT"


def test_reasoning_and_finish_reason_can_be_scripted(sim):
    sim.reply("x", reasoning="because", finish_reason="content_filter")
    choice = ask(sim)
    assert choice["message"]["reasoning"] == "because"
    assert choice["finish_reason"] == "content_filter"


def test_reasoning_can_come_alone(sim):
    sim.reply(reasoning="only thoughts")
    message = ask(sim)["message"]
    assert message == {"reasoning": "only thoughts", "role": "assistant"}


def test_chunks_may_stand_in_place_of_the_content(sim):
    sim.reply(chunks=["a", "b c"], reasoning_chunks=["r", "s"])
    message = ask(sim)["message"]
    assert (message["content"], message["reasoning"]) == ("ab c", "rs")


def test_chunks_must_add_up_to_the_content(sim):
    with pytest.raises(ValueError, match="chunks, joined, must be the content"):
        sim.reply("abc", chunks=["a", "b"])


def test_a_tool_call_can_be_scripted(sim):
    sim.reply_with_tool("f", {"x": 1}, id="my-id", reasoning="hm", content="Wait.")
    choice = ask(sim, tools=TOOLS)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Wait."
    assert choice["message"]["tool_calls"] == [
        {"function": {"name": "f", "arguments": '{"x":1}'}, "type": "function", "id": "my-id"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [(None, "{}"), ('{"x": ', '{"x": '), ("", ""), ({"é": "你"}, '{"é":"你"}')],
)
def test_arguments_may_be_anything(sim, arguments, sent):
    sim.reply_with_tool("f", arguments)
    call = ask(sim)["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == sent


def test_argument_chunks_may_stand_in_place_of_the_arguments(sim):
    sim.reply_with_tool("f", chunks=['{"x"', ":1}"])
    reply = sim.engine.chat(body(stream=True), {})
    events = b"".join(event for _, event in reply.events)
    assert b'"arguments":"{\\"x\\""' in events
    assert b'"arguments":":1}"' in events


def test_parallel_calls_can_be_scripted(sim):
    sim.reply_with_tool([("f", {"x": 1}), {"name": "g", "args": {"y": 2}, "id": "i"}, ToolCall("h", "{}")])  # fmt: skip
    calls = ask(sim)["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["f", "g", "h"]
    assert calls[1]["id"] == "i"
    assert len({call["id"] for call in calls}) == 3


def test_calls_may_come_with_text(sim):
    sim.reply("Both.", tool_calls=[("f", {})])
    message = ask(sim)["message"]
    assert message["content"] == "Both."
    assert message["tool_calls"]


@pytest.mark.parametrize("spec", [{}, {"name": ""}, {"name": "f", "nme": 1}])
def test_a_call_needs_a_name_and_known_keys(spec):
    with pytest.raises(ValueError, match="A tool call takes name, arguments"):
        make_call(spec)


def test_times_must_be_positive(sim):
    with pytest.raises(CerebrasConfigurationError, match="times=0 is not valid"):
        sim.reply("x", times=0)


def test_a_failure_comes_before_everything_that_is_checked(sim):
    sim.fail_next(500)
    assert sim.engine.scripted_failure("/v1/chat/completions", {}).status == 500
    assert sim.engine.scripted_failure("/v1/chat/completions", {}) is None


def test_failures_are_for_their_path_only(sim):
    sim.fail_next(503, path="/v1/models", times=None)
    assert sim.engine.scripted_failure("/v1/chat/completions", {}) is None
    assert sim.engine.scripted_failure("/v1/models", {}).status == 503


def test_a_failure_in_the_middle_of_a_stream_is_part_of_the_delivery(sim):
    sim.fail_next(code="queue_exceeded", after_events=3, named_event=True)
    path = "/v1/chat/completions"
    assert sim.engine.interfere(path, body()).delivery.damage is None
    damage = sim.engine.interfere(path, body(stream=True)).delivery.damage
    assert (damage.name, damage.after_events) == ("error_event", 3)
    assert damage.named_event
    assert damage.error.status == 429


def test_exact_bytes_can_be_scripted(sim):
    sim.reply_raw("data: x\n\n", headers={"x-a": "b"}, status=202)
    reply = sim.engine.scripted_failure("/v1/chat/completions", {})
    assert list(reply.events) == [(0, b"data: x\n\n")]
    assert (reply.status, reply.headers) == (202, {"x-a": "b"})


def test_reset_forgets_everything_but_the_scenario():
    sim = Simulator(scenario={"rules": [{"reply": "first"}]})
    sim.reply("second")
    assert [said(sim), said(sim)] == ["first", "second"]
    sim.reply("third")
    sim.reset()
    assert sim.requests == []
    assert [said(sim), said(sim, "Say 'own'")] == ["first", "own"]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"prompt": "a"}, "a"),
        ({"prompt": ["a", "b", 3]}, "a\nb"),
        ({"messages": [{"role": "system", "content": "s"}]}, ""),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "p"}]}
                ]
            },
            "p",
        ),
        ({"messages": "broken"}, ""),
        ({}, ""),
    ],
)
def test_rules_read_any_body(sent, text):
    assert prompt_text(sent) == text


def test_a_rule_on_another_path_does_not_match():
    assert not Rule(paths=("/x",)).matches("/y", {})


def test_an_answer_of_nothing_is_possible():
    assert make_answer(None)({}).content is None


# ---------------------------------------------------------------------------------- files

FULL = {
    "rules": [
        {"when": "weather", "tool": "get_weather", "arguments": {"city": "Rome"}, "id": "w1"},
        {"when_regex": "^two", "calls": [{"name": "a"}, {"name": "b", "arguments": "{"}]},
        {"reply": "Hello", "reasoning": "hm", "times": 0, "when": "hello", "delay_s": 0.5},
        {"fail": "queue_exceeded", "headers": {"x": "y"}, "when": "busy"},
        {"fail": 503, "body": {"a": 1}, "when": "down"},
        {"status": 418, "body": "tea", "when": "tea"},
        {"fail": 500, "after_events": 2, "when": "late"},
        {"cut_after": 1, "when": "cut"},
        {"chunks": ["x", "y"], "finish_reason": "length"},
    ]
}  # fmt: skip

TOML = """
[[rules]]
when = "weather"
tool = "get_weather"
arguments = { city = "Rome" }

[[rules]]
reply = "Hello"
times = 0
"""


@pytest.mark.parametrize("form", ["json", "toml", "mapping"])
def test_a_scenario_can_be_json_or_toml_or_a_mapping(tmp_path, form):
    rules = {"rules": [FULL["rules"][0], {"reply": "Hello", "times": 0}]}
    path = tmp_path / f"scenario.{form}"
    path.write_text(TOML if form == "toml" else json.dumps(rules))
    sim = Simulator(scenario=rules if form == "mapping" else path)
    assert said(sim) == said(sim) == "Hello"
    assert ask(sim, "weather?")["message"]["tool_calls"][0]["function"] == {
        "name": "get_weather",
        "arguments": '{"city":"Rome"}',
    }


def test_a_scenario_says_all_that_the_methods_say():
    engine = Engine(rules=load_scenario(FULL))
    sim = Simulator()
    sim.engine = engine
    calls = ask(sim, "two things")["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "{"]
    reply = engine.chat(body("hello"), {})
    assert reply.delivery.delay_s == 0.5
    path = "/v1/chat/completions"
    assert engine.scripted_failure(path, body("busy")).headers == {"x": "y"}
    assert engine.scripted_failure(path, body("down")).status == 503
    assert engine.scripted_failure(path, body("tea")).body == b"tea"
    late = engine.interfere(path, body("late", stream=True)).delivery.damage
    assert (late.error.status, late.after_events) == (500, 2)
    assert engine.chat(body("cut"), {}).delivery.cut_after == 1
    assert ask(sim)["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "scenario must be an object with one key, 'rules'"),
        ({"rules": {}}, "must be an object with one key"),
        ({"rules": [], "x": 1}, "must be an object with one key"),
        ({"rules": [3]}, r"rules\[0\] must be an object"),
        ({"rules": [{"reply": "a"}, {"replay": "b"}]}, r"rules\[1\] has unknown keys \['replay'\]. Known: after"),
        ({"rules": [{"reply": 3}]}, r"rules\[0\].reply must be text, not 3"),
        ({"rules": [{"times": True, "reply": "a"}]}, r"times must be a count, 0 for without end"),
        ({"rules": [{"times": -1, "reply": "a"}]}, r"times must be 0 or more, not -1"),
        ({"rules": [{"reply": "a", "fail": 500}]}, r"mixes a failure \(fail\) with a reply"),
        ({"rules": [{"fail": "nope"}]}, r"rules\[0\]: Unknown error code 'nope'"),
        ({"rules": [{"body": "x"}]}, r"Give a status or a code"),
        ({"rules": [{"when": "x"}]}, r"says nothing: give reply, tool"),
        ({"rules": [{"when": "x", "when_regex": "y", "reply": ""}]}, r"both 'when' and 'when_regex'"),
        ({"rules": [{"when_regex": "(", "reply": ""}]}, r"when_regex is no regular expression"),
        ({"rules": [{"arguments": {}}]}, r"'arguments' and 'id' need 'tool'"),
        ({"rules": [{"calls": [{}]}]}, r"'name' is missing"),
        ({"rules": [{"reply": "a", "chunks": ["b"]}]}, r"chunks, joined"),
    ],
)  # fmt: skip
def test_a_wrong_scenario_says_where_and_why(data, expected):
    from langchain_cerebras_ext.simulator.scenarios import read_rules

    with pytest.raises(ScenarioError, match=expected):
        read_rules(data, "scenario")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", "{", "is no valid JSON"),
        ("a.toml", "= 1", "is no valid TOML"),
        ("b.json", None, "Cannot read the scenario"),
    ],
)
def test_a_broken_file_is_an_early_configuration_error(tmp_path, name, text, expected):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(CerebrasConfigurationError, match=expected):
        Simulator(scenario=path)
