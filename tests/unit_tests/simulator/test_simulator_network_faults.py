"""Faults of connection and protocol, and odd but legal answers, seen on a raw socket."""

import asyncio
import gzip
import json
import re
import socket
import threading

import pytest
from raw_http import CHAT, MODEL, RawClient, ask, eventually

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
    CerebrasTimeoutError,
    EmptyResponseError,
    InternalServerError,
    RateLimitError,
    StreamInterruptedError,
)
from langchain_cerebras_ext.simulator import (
    FAULT_CODES,
    FAULTS,
    ODD_FORMS,
    RANDOM_FAULTS,
    ScenarioError,
    Simulator,
    create_simulator_app,
)
from langchain_cerebras_ext.simulator.clock import SystemClock
from langchain_cerebras_ext.simulator.engine import Engine
from langchain_cerebras_ext.simulator.network_faults import KINDS, make_failure
from langchain_cerebras_ext.simulator.odd import STREAM_FORMS
from langchain_cerebras_ext.simulator.random_faults import make_random_faults
from langchain_cerebras_ext.simulator.scenarios import load_scenario

TEXT = "Grüße an alle, die 你好 lesen können, und noch ein paar Worte mehr."
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]
QUIET_S = 0.15
PLAIN = [name for name, kind in KINDS.items() if kind.answers != "stream"]
STREAMED = [name for name, kind in KINDS.items() if kind.answers != "plain"]


class QuickClock(SystemClock):
    """Waits for nothing: pauses are there, but take no time."""

    async def sleep(self, seconds):
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def running():
    with Simulator(tokens_per_chunk=2, clock=QuickClock()) as simulator:
        # What is imported at the first call is not part of a short time limit.
        with ChatCerebras(base_url=simulator.base_url, api_key="csk-x") as model:
            for mode in ("invoke", "ainvoke", "stream", "astream"):
                call(model, mode)
        yield simulator


@pytest.fixture
def sim(running, caplog):
    """A running simulator, fresh for the test; its server must not complain."""
    running.reset()
    yield running
    assert running.wait_idle()
    assert [one for one in caplog.records if one.name.startswith("uvicorn")] == []


def script(sim, name):
    """Script an answer that the fault can break; return what to ask with."""
    if name == "cut_in_tool_arguments":
        arguments = {"city": "Paris", "unit": "celsius", "days": 3}
        sim.reply_with_tool("look_up", arguments)
        return {"tools": TOOLS}
    sim.reply(TEXT)
    return {}


def said(events):
    """Return the text of a stream's events."""
    text = ""
    for event in events:
        data = event.removeprefix(b"data: ")
        if data != b"[DONE]":
            for choice in json.loads(data)["choices"]:
                text += choice["delta"].get("content", "")
    return text


# ------------------------------------------------------- how each fault looks on the wire

ENDINGS = {
    "close_before_headers": "fin",
    "reset_before_headers": "reset",
    "stall_before_headers": "stalled",
    "garbage": "fin",
    "cut_headers": "fin",
    "drip_headers": "kept",
    "cut_body": "fin",
    "reset_in_body": "reset",
    "stall_in_body": "stalled",
    "drip": "kept",
    "cut_in_character": "fin",
    "cut_in_tool_arguments": "fin",
    "cut_stream": "fin",
    "reset_stream": "reset",
    "stall_stream": "stalled",
}


def test_every_fault_says_what_it_does():
    assert set(FAULTS) == set(KINDS)
    assert all(note.endswith(".") for note in FAULTS.values())
    assert "Streams only." in FAULTS["cut_stream"]
    assert "Plain answers only." in FAULTS["cut_body"]
    assert not set(FAULTS) & set(FAULT_CODES)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_answer_ends_as_the_fault_has_it(sim, name):
    request = script(sim, name)
    sim.fail_next(fault=name)
    arrived = ask(sim, quiet_s=QUIET_S if "stall" in name else None, **request)
    assert arrived.ending == ENDINGS.get(name, "kept")
    assert sim.wait_idle()
    record = sim.requests[0]
    assert record.fault == name
    assert record.completed == arrived.complete
    assert record.was_cancelled == (arrived.ending == "stalled")
    assert record.status == arrived.status
    # The next one is answered as if nothing had been.
    assert ask(sim).status == 200


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_ends_as_the_fault_has_it(sim, name):
    request = script(sim, name)
    sim.fail_next(fault=name)
    quiet_s = QUIET_S if "stall" in name else None
    arrived = ask(sim, quiet_s=quiet_s, stream=True, **request)
    assert arrived.ending == ENDINGS.get(name, "kept")
    assert sim.wait_idle()
    record = sim.requests[0]
    assert record.fault == name
    assert record.completed == arrived.complete
    assert record.was_cancelled == (arrived.ending == "stalled")
    assert ask(sim, stream=True).body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "name", ["close_before_headers", "reset_before_headers", "stall_before_headers"]
)
def test_before_the_headers_nothing_comes(sim, name, streamed):
    sim.fail_next(fault=name)
    quiet_s = QUIET_S if "stall" in name else None
    assert ask(sim, quiet_s=quiet_s, stream=streamed).raw == b""


def test_garbage_is_no_http(sim):
    sim.fail_next(fault="garbage")
    assert not ask(sim).raw.startswith(b"HTTP/")


@pytest.mark.parametrize("size", [1, 12, 100])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_headers_are_cut_where_it_is_said(sim, size, streamed):
    sim.fail_next(fault="cut_headers", after_bytes=size)
    arrived = ask(sim, stream=streamed)
    assert len(arrived.raw) == size
    assert arrived.raw == b"HTTP/1.1 200 "[:size] or size == 100
    assert b"\r\n\r\n" not in arrived.raw


def test_a_cut_is_never_behind_the_last_byte(sim):
    sim.fail_next(fault="cut_headers", after_bytes=10**6)
    assert ask(sim).raw.endswith(b"\r\n\r")
    sim.fail_next(fault="cut_body", after_bytes=10**6)
    arrived = ask(sim)
    assert len(arrived.body) == int(arrived.headers["content-length"]) - 1
    sim.fail_next(fault="cut_stream", after_bytes=10**6)
    assert ask(sim, stream=True).raw.endswith(b"data: [DONE]\n")


@pytest.mark.parametrize("name", ["cut_body", "reset_in_body", "stall_in_body"])
def test_a_body_is_shorter_than_its_length_says(sim, name):
    sim.reply(TEXT)
    sim.fail_next(fault=name, after_bytes=40)
    arrived = ask(sim, quiet_s=QUIET_S if "stall" in name else None)
    assert arrived.status == 200
    assert len(arrived.body) == 40
    assert int(arrived.headers["content-length"]) > 500


def test_a_body_breaks_in_the_middle_unless_told(sim):
    sim.fail_next(fault="cut_body")
    arrived = ask(sim)
    assert len(arrived.body) == int(arrived.headers["content-length"]) // 2


@pytest.mark.parametrize("name", ["cut_stream", "reset_stream", "stall_stream"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stream_breaks_after_so_many_events(sim, name, count):
    sim.reply(TEXT)
    sim.fail_next(fault=name, after_events=count)
    quiet_s = QUIET_S if "stall" in name else None
    arrived = ask(sim, quiet_s=quiet_s, stream=True)
    assert arrived.status == 200
    assert len(arrived.events) == count
    assert all(json.loads(event.removeprefix(b"data: ")) for event in arrived.events)
    assert sim.wait_idle()
    assert sim.requests[0].events_sent == count


def test_a_stream_can_break_behind_its_last_event(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="cut_stream", after_events=10**6)
    arrived = ask(sim, stream=True)
    assert arrived.ending == "fin"
    assert arrived.body.endswith(b"data: [DONE]\n\n")
    assert not arrived.complete


def test_a_stream_breaks_after_some_text_unless_told(sim):
    sim.reply("Hello there!")
    sim.fail_next(fault="cut_stream")
    arrived = ask(sim, stream=True)
    assert said(arrived.events)
    assert b"finish_reason" not in arrived.raw


def test_a_stream_breaks_inside_an_event(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="cut_stream", after_bytes=300)
    arrived = ask(sim, stream=True)
    assert len(arrived.body) == 300
    # The last chunk's size promises more than what came.
    assert int(arrived.size_lines[-1], 16) > len(arrived.chunks[-1])
    assert not arrived.body.endswith(b"\n\n")


def test_a_stall_inside_an_event_goes_on_after_its_pause(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="stall_stream", after_bytes=300, pause_s=60)
    arrived = ask(sim, stream=True)
    assert arrived.ending == "kept"
    assert said(arrived.events) == TEXT


def test_a_stall_behind_the_last_event_goes_on_too(sim):
    sim.fail_next(fault="stall_stream", after_events=10**6, pause_s=60)
    assert ask(sim, stream=True).ending == "kept"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("stall_before_headers", {}),
        ("stall_in_body", {"after_bytes": 7}),
        ("drip", {}),
        ("drip_headers", {}),
    ],
)
def test_slow_answers_are_whole(sim, name, more):
    sim.reply(TEXT)
    sim.fail_next(fault=name, pause_s=5, **more)
    with RawClient(sim.port) as client:
        arrived = client.ask()
        assert arrived.json["choices"][0]["message"]["content"] == TEXT
        # And the connection can be used again.
        assert client.ask(stream=True).body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("name", ["stall_before_headers", "drip", "drip_headers"])
def test_slow_streams_are_whole(sim, name):
    sim.reply(TEXT)
    sim.fail_next(fault=name, pause_s=5)
    with RawClient(sim.port) as client:
        assert said(client.ask(stream=True).events) == TEXT
        assert client.ask().status == 200


def test_a_drip_comes_byte_by_byte(make_account):
    """The pauses are counted on a clock that stands still."""
    from langchain_cerebras_ext.simulator.records import RecordedRequest
    from langchain_cerebras_ext.simulator.sending import send_reply

    account = make_account()
    engine = account.engine
    engine.script.add(load_scenario({"rules": [{"fault": "drip", "pause_s": 2}]})[0])
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    scripted = engine.interfere(CHAT, body)
    reply = engine.prepare(engine.chat(body, {}), scripted)
    sent = []

    async def send(message):
        sent.append(message.get("body"))

    async def stays():
        await asyncio.Event().wait()

    record = RecordedRequest("POST", CHAT, "", {}, None)
    sending = send_reply(reply, {}, stays, send, clock=account.clock, record=record)
    assert asyncio.run(sending) is True
    assert all(len(part) <= 1 for part in sent[1:])
    assert b"".join(sent[1:]) == reply.body
    assert account.clock.slept == [2] * (len(reply.body) - 1)


def test_a_cut_in_a_character_leaves_its_first_byte(sim):
    for streamed in (False, True):
        sim.reply(TEXT)
        sim.fail_next(fault="cut_in_character")
        arrived = ask(sim, stream=streamed)
        with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
            arrived.body.decode()


@pytest.mark.parametrize("model", [MODEL, "qwen-3.8-27b"])
def test_a_cut_in_tool_arguments_leaves_half_of_them(sim, model):
    for streamed in (False, True):
        sim.reply_with_tool("look_up", {"city": "Paris", "unit": "celsius"})
        sim.fail_next(fault="cut_in_tool_arguments")
        arrived = ask(sim, stream=streamed, tools=TOOLS, model=model)
        assert arrived.ending == "fin"
        parts = re.findall(rb'"arguments":"((?:[^"\\]|\\.)*)', arrived.body)
        got = b"".join(parts).replace(b'\\"', b'"').rstrip(b"\\").decode()
        whole = '{"city":"Paris","unit":"celsius"}'
        assert whole.startswith(got)
        assert 0 < len(got) < len(whole)


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("cut_in_character", "needs an answer with a character of several bytes"),
        ("cut_in_tool_arguments", "needs an answer with a tool call"),
    ],
)
def test_a_fault_that_does_not_fit_is_told(sim, name, needs):
    sim.reply("plain text")
    sim.fail_next(fault=name)
    arrived = ask(sim)
    assert arrived.status == 500
    assert needs in arrived.json["error"]["message"]
    assert sim.billed == ()


# ----------------------------------------------------------- what comes in its place


@pytest.mark.parametrize("status", [None, 200, 502, 503])
def test_a_gateways_page_can_have_any_status(sim, status):
    sim.fail_next(status, fault="html")
    arrived = ask(sim)
    assert arrived.status == (502 if status is None else status)
    assert arrived.headers["content-type"] == "text/html"
    assert b"<html>" in arrived.body


def test_a_page_can_be_ones_own(sim):
    sim.fail_next(503, "<p>down</p>", fault="html", headers={"retry-after": "3"})
    arrived = ask(sim)
    assert (arrived.body, arrived.headers["retry-after"]) == (b"<p>down</p>", "3")


def test_a_redirect_leads_to_another_host(sim):
    sim.fail_next(fault="redirect")
    arrived = ask(sim)
    assert arrived.status == 307
    assert "elsewhere.invalid" in arrived.headers["location"]
    sim.fail_next(302, fault="redirect", headers={"Location": "http://x.invalid/"})
    arrived = ask(sim)
    assert (arrived.status, arrived.headers["location"]) == (302, "http://x.invalid/")


def test_an_answer_can_be_no_json(sim):
    sim.fail_next(body="not this time", fault="not_json")
    arrived = ask(sim)
    assert (arrived.status, arrived.body) == (200, b"not this time")
    assert arrived.headers["content-type"] == "application/json"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_an_error_can_come_in_a_200(sim, streamed):
    sim.fail_next(code="queue_exceeded", fault="error_in_200", error_shape="flat")
    flat = ask(sim, stream=streamed)
    assert flat.status == 200
    assert flat.json["code"] == "queue_exceeded"
    assert set(flat.json) == {"message", "type", "param", "code"}
    sim.fail_next(fault="error_in_200")
    wrapped = ask(sim, stream=streamed)
    assert wrapped.status == 200
    assert wrapped.json["status_code"] == 500
    assert wrapped.json["error"]["type"] == "server_error"


def test_a_body_can_be_empty_or_half(sim):
    sim.fail_next(fault="empty_body")
    arrived = ask(sim)
    assert (arrived.status, arrived.body) == (200, b"")
    assert arrived.headers["content-length"] == "0"
    sim.fail_next(fault="empty_body")
    arrived = ask(sim, stream=True)
    assert arrived.headers["content-type"].startswith("text/event-stream")
    assert (arrived.complete, arrived.body) == (True, b"")
    sim.fail_next(fault="half_json", after_bytes=30)
    arrived = ask(sim)
    assert (arrived.complete, len(arrived.body)) == (True, 30)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_an_answer_can_have_the_wrong_type(sim, streamed):
    sim.reply(TEXT)
    sim.fail_next(fault="wrong_content_type")
    arrived = ask(sim, stream=streamed)
    assert arrived.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Grüße" in arrived.body.decode()


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_an_answer_can_lack_choices_or_message(sim, path):
    request = {"path": path} if path == CHAT else {"path": path, "prompt": "x"}
    sim.fail_next(fault="no_choices")
    arrived = ask(sim, **request)
    assert arrived.json["choices"] == []
    assert arrived.json["usage"]["total_tokens"] > 0
    sim.fail_next(fault="null_message")
    choice = ask(sim, **request).json["choices"][0]
    assert choice["message" if path == CHAT else "text"] is None


# --------------------------------------------------------------------------- in streams


@pytest.mark.parametrize(
    ("more", "line", "told"),
    [
        (
            {},
            b"data: {",
            {"status_code": 500, "code": ""},
        ),
        ({"code": "queue_exceeded"}, b"data: {", {"status_code": 429}),
        ({"status": 503, "named_event": True}, b"event: error\ndata: {", {"status_code": 503}),
        ({"error_shape": "flat"}, b"data: {", {"status_code": 500}),
        ({"body": {"message": "own"}, "status": 400}, b"data: {", {"message": "own"}),
    ],
    ids=["default", "code", "named", "flat", "own body"],
)  # fmt: skip
def test_an_error_event_has_the_shape_that_is_asked_for(sim, more, line, told):
    sim.reply(TEXT)
    sim.fail_next(fault="error_event", after_events=2, **more)
    arrived = ask(sim, stream=True)
    assert arrived.complete
    assert len(arrived.events) == 3
    last = arrived.events[-1]
    assert last.startswith(line)
    value = json.loads(last.partition(b"data: ")[2])
    assert ("error" in value) == (more.get("error_shape") != "flat")
    flat = {**value.get("error", {}), **value}
    assert {key: flat[key] for key in told} == told
    assert b"[DONE]" not in arrived.raw


def test_a_status_with_after_events_is_an_error_event(sim):
    sim.reply(TEXT)
    sim.fail_next(500, after_events=1)
    arrived = ask(sim, stream=True)
    assert b"Encountered a server error" in arrived.events[1]
    assert sim.pending_replies == 0


def test_a_malformed_event_stands_among_good_ones(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="malformed_event", after_events=2)
    events = ask(sim, stream=True).events
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(events[2].removeprefix(b"data: "))
    assert said(events[:2] + events[3:])
    assert events[-1] == b"data: [DONE]"


def test_a_stream_can_lack_its_finish_reason(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="no_finish_reason")
    arrived = ask(sim, stream=True, n=2)
    assert arrived.complete
    assert b"finish_reason" not in arrived.raw
    assert b'"usage"' not in arrived.raw
    assert arrived.events[-1] == b"data: [DONE]"


def test_the_word_in_a_text_is_no_finish_reason(sim):
    text = 'a "finish_reason": "stop" and "usage": 3'
    sim.reply(text)
    sim.fail_next(fault="no_finish_reason")
    assert said(ask(sim, stream=True).events) == text


def test_a_stream_can_end_early_without_a_sign(sim):
    sim.reply(TEXT)
    sim.fail_next(fault="end_early", after_events=2)
    arrived = ask(sim, stream=True)
    assert arrived.complete
    assert len(arrived.events) == 2
    sim.fail_next(fault="end_early", after_events=10**6)
    assert b"finish_reason" not in ask(sim, stream=True).raw


# ----------------------------------------------------------------------- which request


def test_a_fault_breaks_the_scripted_reply(sim):
    sim.reply("one two three four five six")
    sim.fail_next(fault="cut_stream", after_events=2)
    assert said(ask(sim, stream=True).events) == "one two"
    assert sim.pending_replies == 0


def test_a_fault_of_streams_waits_for_a_stream(sim):
    sim.fail_next(fault="cut_stream")
    sim.fail_next(fault="cut_body")
    assert ask(sim, stream=True).ending == "fin"
    assert ask(sim, stream=True).ending == "kept"
    assert ask(sim).ending == "fin"
    assert sim.pending_replies == 0


def test_faults_come_in_order_with_errors(sim):
    sim.fail_next(503)
    sim.fail_next(fault="reset_before_headers", times=2)
    sim.fail_next(code="queue_exceeded")
    came = [ask(sim) for _ in range(5)]
    assert [(one.status, one.ending) for one in came] == [
        (503, "kept"),
        (None, "reset"),
        (None, "reset"),
        (429, "kept"),
        (200, "kept"),
    ]


def test_an_errors_own_answer_can_break(sim):
    sim.fail_next(code="token_quota_exceeded_day", fault="cut_body", after_bytes=9)
    arrived = ask(sim)
    assert (arrived.status, arrived.ending) == (429, "fin")
    assert arrived.headers["retry-after"] == "86399"
    assert len(arrived.body) == 9
    assert sim.billed == ()


def test_a_refused_request_breaks_too(sim):
    sim.fail_next(fault="cut_body")
    arrived = ask(sim, temperature=9)
    assert (arrived.status, arrived.ending) == (400, "fin")
    # What needs a completion leaves a refusal as it is.
    sim.fail_next(fault="no_choices")
    sim.fail_next(fault="cut_in_tool_arguments")
    assert [ask(sim, temperature=9).ending for _ in range(2)] == ["kept", "kept"]
    sim.fail_next(fault="cut_stream")
    arrived = ask(sim, temperature=9, stream=True)
    assert (arrived.status, arrived.ending) == (400, "fin")
    sim.fail_next(fault="end_early")
    assert ask(sim, temperature=9, stream=True).json["code"] == "wrong_api_format"


def test_a_fault_waits_for_its_prompt(sim):
    sim.fail_next(fault="close_before_headers", when="bad")
    assert ask(sim).status == 200
    bad = [{"role": "user", "content": "bad"}]
    assert ask(sim, messages=bad).ending == "fin"


def test_other_endpoints_break_too(sim):
    sim.fail_next(fault="cut_body", path="/v1/models")
    sim.fail_next(fault="html", path="/v1/models/gpt-oss-120b")
    assert ask(sim).ending == "kept"
    arrived = ask(sim, path="/v1/models", method="GET")
    assert (arrived.status, arrived.ending) == (200, "fin")
    one = ask(sim, path="/v1/models/gpt-oss-120b", method="GET")
    assert one.status == 502
    assert ask(sim, path="/v1/models", method="GET").json["object"] == "list"


def test_a_fault_can_come_late(sim):
    sim.fail_next(fault="close_before_headers", delay_s=60)
    assert ask(sim).ending == "fin"


def test_a_network_fault_is_none_of_a_batch(sim):
    """A line of a batch has no connection; the fault waits for one that has."""
    sim.fail_next(fault="reset_before_headers")
    assert sim.engine.scripted_failure(CHAT, {}) is None
    assert sim.pending_replies == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fault": "cut_steam"}, r"Unknown fault 'cut_steam'\. Did you mean 'cut_stream'\? Known: close_before"),
        ({"fault": "xyzzy"}, r"Unknown fault 'xyzzy'\. Known: close_before_headers"),
        ({"fault": "refuse"}, r"Use `with simulator\.refuse_connections\(\):`"),
        ({"fault": "queue_exceeded"}, r"give code='queue_exceeded', not fault="),
        ({"code": "cut_stream"}, r"'cut_stream' is a fault: give fault='cut_stream'"),
        ({"fault": "cut_body", "after_events": 1}, r"does not take after_events; it takes after_bytes"),
        ({"fault": "no_choices", "status": 500}, r"does not take status; it takes none"),
        ({"fault": "cut_stream", "status": 500}, r"'cut_stream' does not take status"),
        ({"fault": "cut_stream", "billed": False}, r"'cut_stream' does not take billed"),
        ({"fault": "cut_stream", "after_events": 1, "after_bytes": 1}, r"not both"),
        ({"fault": "cut_stream", "after_events": -1}, r"after_events=-1 is not valid; give 0 or more"),
        ({"fault": "cut_stream", "after_bytes": True}, r"after_bytes=True is not valid"),
        ({"fault": "stall_stream", "pause_s": 0}, r"pause_s=0 is not valid; give seconds above 0"),
        ({"fault": "stall_stream", "pause_s": float("inf")}, r"pause_s=inf is not valid"),
        ({"fault": "error_event", "error_shape": "round"}, r"error_shape='round' is not valid; give 'wrapped' or 'flat'"),
        ({"fault": "cut_body", "body": "x"}, r"give a status or a code too"),
        ({"fault": "html", "status": 302}, r"status=302 is not valid for a page; give 200, or 400 to 599"),
        ({"fault": "redirect", "status": 200}, r"status=200 is no redirect; give one of 301, 302"),
        ({"fault": "cut_headers", "status": 500, "billed": True}, r"An error is never billed"),
        ({"fault": "stall_before_headers", "pause_s": 1, "billed": False}, r"leave out billed or pause_s"),
        ({"status": 500, "pause_s": 1}, r"pause_s needs a fault; give fault= one of: stall_before"),
        ({"status": 500, "named_event": True}, r"named_event needs a fault; give fault= one of: error_event"),
        ({}, r"Give a status or a code for the failure, or a fault"),
        ({"after_events": 2}, r"Give a status or a code for the failure, or a fault"),
        ({"fault": "no_choices", "path": "/v1/models"}, r"'no_choices' is for completions, not for /v1/models"),
        ({"fault": "cut_stream", "path": "/v1/models"}, r"give one of /v1/chat/completions, /v1/completions"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_what_is_allowed(sim, given, message):
    with pytest.raises(ValueError, match=message):
        sim.fail_next(**given)
    assert sim.pending_replies == 0


# ------------------------------------------------------------------------------ the model

BROKEN = {
    "close_before_headers": CerebrasConnectionError,
    "reset_before_headers": CerebrasConnectionError,
    "stall_before_headers": CerebrasTimeoutError,
    "garbage": CerebrasConnectionError,
    "cut_headers": CerebrasConnectionError,
    "drip_headers": None,
    "cut_body": CerebrasConnectionError,
    "reset_in_body": CerebrasConnectionError,
    "stall_in_body": CerebrasTimeoutError,
    "drip": None,
    "cut_in_character": CerebrasConnectionError,
    "cut_in_tool_arguments": CerebrasConnectionError,
    "html": InternalServerError,
    "redirect": CerebrasError,
    "not_json": CerebrasResponseError,
    "error_in_200": InternalServerError,
    "empty_body": CerebrasResponseError,
    "half_json": CerebrasResponseError,
    "no_choices": EmptyResponseError,
    "null_message": EmptyResponseError,
    "cut_stream": StreamInterruptedError,
    "reset_stream": StreamInterruptedError,
    "stall_stream": CerebrasTimeoutError,
    "error_event": InternalServerError,
    "malformed_event": CerebrasResponseError,
    "no_finish_reason": StreamInterruptedError,
    "end_early": StreamInterruptedError,
}
IN_STREAMS = {
    "cut_in_character": StreamInterruptedError,
    "cut_in_tool_arguments": StreamInterruptedError,
    "empty_body": StreamInterruptedError,
}


def call(model, mode, **request):
    if mode == "invoke":
        return model.invoke("x", **request)
    if mode == "stream":
        return sum_up(model.stream("x", **request))

    async def go():
        if mode == "ainvoke":
            return await model.ainvoke("x", **request)
        return sum_up([chunk async for chunk in model.astream("x", **request)])

    return asyncio.run(go())


def sum_up(chunks):
    whole, *rest = list(chunks)
    for chunk in rest:
        whole += chunk
    return whole


MODES = {"invoke": PLAIN, "ainvoke": PLAIN, "stream": STREAMED, "astream": STREAMED}


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in BROKEN for mode in MODES if name in MODES[mode]],
)
def test_the_chat_model_gives_a_typed_error_or_the_answer(sim, name, mode):
    streamed = "stream" in mode
    request = script(sim, name)
    sim.fail_next(fault=name)
    limit = 0.5 if "stall" in name else 20
    expected = (IN_STREAMS if streamed else {}).get(name, BROKEN[name])
    with ChatCerebras(
        base_url=sim.base_url, api_key="csk-x", max_retries=0, timeout=limit
    ) as model:
        if expected is None:
            assert call(model, mode, **request).text == TEXT
        else:
            with pytest.raises(expected):
                call(model, mode, **request)
    assert sim.requests[0].fault == name


def test_the_chat_model_gets_over_a_fault_by_trying_again(sim):
    sim.reply("at last")
    sim.fail_next(fault="reset_before_headers", billed=False)
    sim.fail_next(fault="html", status=503)
    with ChatCerebras(base_url=sim.base_url, api_key="csk-x", max_retries=2) as model:
        assert model.invoke("x").text == "at last"
    assert [one.fault for one in sim.requests] == ["reset_before_headers", "html", None]
    assert len(sim.billed) == 1


# ------------------------------------------------------------------------------ by chance


def faults_of(sim, count, **request):
    for _ in range(count):
        ask(sim, **request)
    assert sim.wait_idle()
    return [
        one.fault or (one.status if one.status != 200 else None) for one in sim.requests
    ]


def test_random_faults_are_the_same_for_the_same_seed(sim):
    names = ["cut_body", "reset_in_body", 503, "queue_exceeded"]
    sim.fail_randomly(0.5, names, seed=7)
    first = faults_of(sim, 40)
    sim.reset()
    sim.fail_randomly(0.5, names, seed=7)
    assert faults_of(sim, 40) == first
    sim.reset()
    sim.fail_randomly(0.5, names, seed=8)
    assert faults_of(sim, 40) != first
    assert set(first) == {None, "cut_body", "reset_in_body", 503, 429}


def test_random_faults_depend_on_how_many_came_before(sim):
    """Not on which comes first to be answered; and earlier requests do not count."""
    faults = make_random_faults(0.5, [500, 503], seed=3)

    def draw(number):
        fault = faults.draw(number, streamed=False, chat=True)
        return None if fault is None else fault.status

    expected = [draw(number) for number in range(1, 21)]
    ask(sim)
    sim.fail_randomly(0.5, [500, 503], seed=3)
    assert faults_of(sim, 20)[1:] == expected


def test_the_default_mix_ends_quickly_and_fits(sim):
    assert not {"stall_stream", "drip", "cut_in_character"} & set(RANDOM_FAULTS)
    assert {500, 503, "queue_exceeded", "cut_stream", "reset_in_body"} <= set(
        RANDOM_FAULTS
    )
    sim.fail_randomly(1.0)
    plain = set(faults_of(sim, 120))
    assert None not in plain
    assert "cut_stream" not in plain
    sim.reset()
    sim.fail_randomly(1.0)
    streamed = set(faults_of(sim, 120, stream=True))
    assert None not in streamed
    assert "cut_body" not in streamed
    expected = {429 if one == "queue_exceeded" else one for one in RANDOM_FAULTS}
    assert plain | streamed == expected | {one.status for one in sim.requests} - {200, None, 307, 502}  # fmt: skip


def test_random_faults_strike_at_random_places(sim):
    sim.reply(TEXT, times=None)
    sim.fail_randomly(1.0, ["cut_stream"])
    counts = {len(ask(sim, stream=True).events) for _ in range(30)}
    assert len(counts) > 4
    assert 0 in counts


def test_the_rate_is_kept():
    faults = make_random_faults(0.1, [500], seed=1)
    failed = sum(
        faults.draw(number, streamed=False, chat=True) is not None
        for number in range(1, 5_001)
    )
    assert 430 < failed < 570


def test_what_is_scripted_comes_before_chance_and_reset_ends_it(sim):
    sim.fail_next(503)
    sim.fail_randomly(1.0, [500])
    assert [ask(sim).status, ask(sim).status] == [503, 500]
    assert sim.pending_replies == 0
    sim.reset()
    assert ask(sim).status == 200


def test_chance_can_be_held_to_a_number_a_prompt_and_a_path(sim):
    sim.fail_randomly(1.0, [500], times=2, when="hi")
    sim.fail_randomly(1.0, ["no_choices", 502], path="/v1/models")
    other = [{"role": "user", "content": "other"}]
    assert ask(sim, messages=other).status == 200
    assert [ask(sim).status for _ in range(3)] == [500, 500, 200]
    # What needs a completion is not chosen elsewhere.
    for _ in range(5):
        assert ask(sim, path="/v1/models", method="GET").status == 502


def test_nothing_fits_nothing_fails(sim):
    sim.fail_randomly(1.0, ["cut_stream"])
    assert ask(sim).ending == "kept"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((1.1,), ValueError, "rate=1.1 is not valid; give a share from 0 to 1"),
        ((True,), ValueError, "rate=True is not valid"),
        ((0.1, []), ValueError, "faults is empty"),
        ((0.1, ["nope"]), ValueError, "Unknown fault 'nope'"),
        ((0.1, [200]), ValueError, "Status 200 is no error status"),
        ((0.1, "cut_stream"), TypeError, "faults='cut_stream' is not valid; give a list"),
    ],
)  # fmt: skip
def test_wrong_chances_are_refused(sim, given, error, message):
    with pytest.raises(error, match=message):
        sim.fail_randomly(*given)


# --------------------------------------------------------------------------------- refused


def test_connections_can_be_refused_for_a_while(sim):
    port = sim.port
    with RawClient(port) as old:
        assert old.ask().status == 200
        with sim.refuse_connections():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
            assert old.receive().ending in {"fin", "reset"}
            with (
                ChatCerebras(
                    base_url=f"http://127.0.0.1:{port}", max_retries=0
                ) as model,
                pytest.raises(CerebrasConnectionError),
            ):
                model.invoke("x")
    assert sim.port == port
    assert ask(sim).status == 200
    with sim.refuse_connections():
        pass
    assert ask(sim).status == 200


def test_a_stopped_simulator_refuses_anyway():
    with pytest.raises(CerebrasConfigurationError, match="is not running"):
        with Simulator().refuse_connections():
            pass


def test_stopping_while_refusing_is_fine():
    with Simulator() as sim:
        with sim.refuse_connections():
            sim.stop()
        assert not sim.running


def test_a_port_that_was_taken_meanwhile_is_told():
    with Simulator() as sim:
        with (
            pytest.raises(CerebrasConfigurationError, match="Cannot listen on"),
            sim.refuse_connections(),
        ):
            taken = socket.create_server(("127.0.0.1", sim.port))
        taken.close()


# ------------------------------------------------------------------------ odd but legal


def read_stream(arrived):
    """Return the text of a stream in any legal form; written apart from our decoder."""
    body = arrived.body
    if arrived.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    text = body.decode().removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    said_so_far, data = "", []
    for line in text.split("\n"):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            event, data = "\n".join(data), []
            if event != "[DONE]":
                for choice in json.loads(event)["choices"]:
                    said_so_far += choice["delta"].get("content", "")
    return said_so_far


@pytest.mark.parametrize("form", ODD_FORMS)
def test_an_odd_stream_says_the_same(sim, form):
    sim.reply(TEXT)
    usual = ask(sim, stream=True)
    sim.reset()
    sim.reply(TEXT)
    sim.odd_next(form)
    with RawClient(sim.port) as client:
        arrived = client.ask(stream=True)
        assert arrived.complete
        assert read_stream(arrived) == TEXT
        assert arrived.raw != usual.raw
        assert client.ask().status == 200
    assert ODD_FORMS[form].endswith(".")


@pytest.mark.parametrize("form", [one for one in ODD_FORMS if one not in STREAM_FORMS])
def test_an_odd_plain_answer_says_the_same(sim, form):
    sim.reply(TEXT)
    sim.odd_next(form)
    with RawClient(sim.port) as client:
        arrived = client.ask()
        assert arrived.complete
        body = arrived.body
        if form == "gzip":
            body = gzip.decompress(body)
        assert json.loads(body)["choices"][0]["message"]["content"] == TEXT
        assert client.ask().status == 200


def test_each_odd_form_is_what_it_is_called(sim):
    def odd(*forms, **request):
        sim.reset()
        sim.reply(TEXT)
        sim.odd_next(*forms)
        return ask(sim, **request)

    crlf = odd("crlf", stream=True)
    assert crlf.body.endswith(b"data: [DONE]\r\n\r\n")
    assert crlf.body.count(b"\n") == crlf.body.count(b"\r\n")
    assert b"\n" not in odd("cr", stream=True).body
    assert odd("bom", stream=True).body.startswith(b"\xef\xbb\xbfdata: ")
    assert b"\n: keep-alive\n\n:\ndata: " in odd("comments", stream=True).body
    assert (
        b"event: message\nid: 1\nretry: 1000\ndata: {"
        in odd("fields", stream=True).body
    )
    assert b"data: " not in odd("no_space", stream=True).body
    over = odd("multi_line_data", stream=True).body
    assert b"data: {\ndata:  " in over
    assert over.endswith(b"data: [DONE]\n\n")
    done = odd("no_done", stream=True)
    assert b"[DONE]" not in done.body
    assert b"finish_reason" in done.body
    assert odd("gzip").headers["content-encoding"] == "gzip"
    assert {len(one) for one in odd("tiny_chunks").chunks} == {1}
    assert len(odd("big_chunk", stream=True).chunks) == 1
    split = odd("split_characters", stream=True).chunks
    assert any(one.endswith(b"\xc3") for one in split)
    assert any(one.endswith(b"\xe4") for one in split)
    extended = odd("chunk_extensions", stream=True)
    assert all(b';odd=1;note="a b"' in line for line in extended.size_lines)
    trailing = odd("trailers")
    assert trailing.headers["trailer"] == "x-checksum"
    assert trailing.trailers == b"\r\nx-checksum: 0"
    assert odd("continue").raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert odd("early_hints").raw.startswith(b"HTTP/1.1 103 Early Hints\r\nlink")


def test_odd_forms_go_together(sim):
    forms = ["crlf", "bom", "comments", "fields", "no_space", "multi_line_data", "gzip", "tiny_chunks", "chunk_extensions", "trailers", "early_hints"]  # fmt: skip
    sim.reply(TEXT)
    sim.odd_next(*forms)
    assert read_stream(ask(sim, stream=True)) == TEXT


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        (form, mode)
        for form in ODD_FORMS
        for mode in MODES
        if "stream" in mode or form not in STREAM_FORMS
    ],
)
def test_the_chat_model_reads_odd_answers(sim, form, mode):
    sim.reply(TEXT, reasoning="hm")
    sim.odd_next(form)
    with ChatCerebras(base_url=sim.base_url, api_key="csk-x", max_retries=0) as model:
        message = call(model, mode)
    assert message.text == TEXT
    assert message.usage_metadata["total_tokens"] == sim.billed.total.total_tokens
    assert sim.pending_replies == 0


def test_an_odd_stream_can_break(sim):
    sim.reply(TEXT, times=None)
    for forms in (["crlf"], ["chunk_extensions"], ["gzip"], ["tiny_chunks"]):
        sim.odd_next(*forms)
        sim.fail_next(fault="reset_stream", after_events=3)
        arrived = ask(sim, stream=True)
        assert arrived.ending == "reset"
        assert sim.wait_idle()
        assert sim.requests[-1].events_sent == 3
    sim.odd_next("trailers")
    sim.fail_next(fault="cut_stream", after_bytes=250)
    assert len(ask(sim, stream=True).body) == 250
    sim.odd_next("chunk_extensions")
    sim.fail_next(fault="drip", pause_s=5)
    assert read_stream(ask(sim, stream=True)) == TEXT
    sim.odd_next("chunk_extensions")
    sim.fail_next(fault="cut_headers")
    assert ask(sim).ending == "fin"
    sim.odd_next("chunk_extensions")
    sim.fail_next(fault="cut_body")
    assert ask(sim).ending == "fin"


def test_exact_bytes_can_be_sent_in_odd_chunks(sim):
    sim.reply_raw([b"data: 1\n\n", b"data: 2\n\n"])
    sim.odd_next("crlf", "trailers")
    arrived = ask(sim, stream=True)
    assert arrived.body == b"data: 1\r\n\r\ndata: 2\r\n\r\n"
    sim.reply_raw([])
    sim.odd_next("gzip")
    assert gzip.decompress(ask(sim).body) == b""


def test_old_http_gets_no_chunks(sim):
    sim.reply(TEXT, times=None)
    for streamed in (False, True):
        sim.odd_next("chunk_extensions")
        sim.fail_next(fault="drip", pause_s=5)
        arrived = ask(sim, version="1.0", stream=streamed)
        assert arrived.ending == ("fin" if streamed else "kept")
        assert b"chunked" not in arrived.head
        assert "Grüße" in arrived.body.decode() or streamed
    sim.fail_next(fault="cut_stream", after_bytes=100)
    assert len(ask(sim, version="1.0", stream=True).body) == 100


def test_a_client_that_wants_the_connection_closed_gets_it_closed(sim):
    for prepare in (
        lambda: None,
        lambda: sim.odd_next("trailers"),
        lambda: sim.fail_next(fault="drip_headers", pause_s=5),
    ):
        prepare()
        with RawClient(sim.port) as client:
            assert client.ask(headers="connection: close\r\n").complete
            assert client.receive().ending == "fin"


@pytest.mark.parametrize(
    ("forms", "message"),
    [
        ((), r"Give at least one odd form\. Known: crlf"),
        (("clrf",), r"Unknown odd form 'clrf'\. Did you mean 'crlf'\?"),
        (("xyzzy",), r"Unknown odd form 'xyzzy'\. Known: crlf"),
        (("crlf", "cr"), r"'crlf' and 'cr' exclude each other"),
        (("big_chunk", "tiny_chunks"), r"'tiny_chunks' and 'big_chunk' exclude"),
    ],
)
def test_wrong_odd_forms_are_refused(sim, forms, message):
    with pytest.raises(ValueError, match=message):
        sim.odd_next(*forms)


def test_odd_forms_of_streams_wait_for_one(sim):
    sim.odd_next("crlf", when="hi", times=2)
    assert b"\r\n" not in ask(sim).body
    assert b"\r\n" in ask(sim, stream=True).body
    assert sim.pending_replies == 1


# ---------------------------------------------------------------------------------- files


def test_a_scenario_takes_the_same_faults(tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text(
        """
        [[rules]]
        when = "cut"
        fault = "cut_stream"
        after_events = 2

        [[rules]]
        when = "both"
        reply = "one two three four"
        fault = "error_event"
        after_events = 2
        error_shape = "flat"
        named_event = true

        [[rules]]
        when = "late"
        reply = "one two three four"
        fail = 503
        after_events = 1

        [[rules]]
        when = "odd"
        reply = "Grüße"
        odd = ["crlf", "trailers"]

        [[rules]]
        when = "page"
        fault = "html"
        status = 503

        [[rules]]
        when = "free"
        fault = "close_before_headers"
        billed = false

        [[rules]]
        when = "slow"
        fault = "drip"
        pause_s = 5
        delay_s = 60

        [[rules]]
        when = "bent"
        odd = ["no_done"]

        [[rules]]
        when = "chance"
        fail_randomly = 1
        faults = ["reset_before_headers"]
        seed = 4
        """,
        encoding="utf-8",
    )

    def prompt(text):
        return [{"role": "user", "content": text}]

    with Simulator(scenario=path, tokens_per_chunk=1, clock=QuickClock()) as sim:
        assert len(ask(sim, stream=True, messages=prompt("cut")).events) == 2
        both = ask(sim, stream=True, messages=prompt("both"))
        assert said(both.events[:2]) == "one"
        assert both.events[2].startswith(b"event: error\ndata: {")
        assert b'"error":' not in both.events[2]
        late = ask(sim, stream=True, messages=prompt("late"))
        assert b'"status_code":503' in late.events[1]
        odd = ask(sim, stream=True, messages=prompt("odd"))
        assert read_stream(odd) == "Grüße"
        assert odd.trailers
        assert ask(sim, messages=prompt("page")).status == 503
        assert ask(sim, messages=prompt("free")).ending == "fin"
        assert ask(sim, messages=prompt("slow")).complete
        assert b"[DONE]" not in ask(sim, stream=True, messages=prompt("bent")).body
        for _ in range(3):
            assert ask(sim, messages=prompt("chance")).ending == "reset"
        assert sim.billed.call(6) is None
        sim.reset()
        assert len(ask(sim, stream=True, messages=prompt("cut")).events) == 2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"fault": "cat"}, r"rules\[0\]: Unknown fault 'cat'"),
        ({"fault": 3}, r"rules\[0\]\.fault must be a fault's name, not 3"),
        ({"fault": "cut_stream", "billed": 1}, r"billed must be true or false, not 1"),
        ({"fault": "cut_stream", "after_events": True}, r"after_events must be a number of events"),
        ({"fault": "html", "reply": "x"}, r"mixes a failure \(fault\) with a reply"),
        ({"fault": "cut_stream", "cut_after": 1}, r"both 'cut_after' and 'fault'"),
        ({"fail": 500, "pause_s": 1}, r"pause_s needs a fault"),
        ({"odd": []}, r"Give at least one odd form"),
        ({"odd": "crlf"}, r"odd must be a list of odd forms"),
        ({"faults": [500]}, r"'faults' and 'seed' need 'fail_randomly'"),
        ({"fail_randomly": 2}, r"rate=2 is not valid"),
        ({"fail_randomly": 0.1, "fail": 500}, r"mixes a failure \(fail_randomly\) with another one"),
        ({"fail_randomly": 0.1, "reply": "x"}, r"mixes a failure \(fail_randomly\) with a reply"),
        ({"times": 1}, r"says nothing: give reply, tool, calls, fail, fault, odd"),
    ],
)  # fmt: skip
def test_a_wrong_fault_in_a_scenario_says_where(rule, message):
    with pytest.raises(ScenarioError, match=message):
        load_scenario({"rules": [rule]})


def test_chance_in_a_scenario_may_be_held_to_a_number():
    with Simulator(scenario={"rules": [{"fail_randomly": 1, "times": 2, "faults": [500]}]}) as sim:  # fmt: skip
        assert [ask(sim).status for _ in range(3)] == [500, 500, 200]


# --------------------------------------------------------------------- any ASGI server


async def through_asgi(engine, **more):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **more}
    sent, left = [], asyncio.Event()
    parts = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive():
        if parts:
            return parts.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "query_string": b"",
        "headers": [],
    }
    async with asyncio.timeout(20):
        await create_simulator_app(engine)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "reset_before_headers"},
        {"fault": "garbage"},
        {"fault": "cut_headers"},
        {"odd": ["trailers"]},
        {"odd": ["continue"]},
    ],
    ids=str,
)
async def test_elsewhere_what_cannot_be_done_is_told(rule):
    engine = Engine(rules=load_scenario({"rules": [rule]}))
    sent = await through_asgi(engine)
    assert sent[0]["status"] == 500
    assert b"needs the server that `Simulator` starts" in sent[1]["body"]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_elsewhere_a_broken_answer_is_left_unfinished(streamed):
    name = "cut_stream" if streamed else "cut_body"
    rule = {"fault": name, "after_bytes": 200}
    engine = Engine(rules=load_scenario({"rules": [rule]}))
    sent = await through_asgi(engine, stream=streamed)
    assert sent[0]["status"] == 200
    assert len(b"".join(one["body"] for one in sent[1:])) == 200
    assert all(one["more_body"] for one in sent[1:])


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_elsewhere_slow_and_odd_answers_are_whole(streamed):
    rules = [{"fault": "drip"}]
    rules += [{"odd": ["crlf", "gzip"] if streamed else ["gzip"]}]
    sent = await through_asgi(Engine(clock=QuickClock(), rules=load_scenario({"rules": rules})), stream=streamed)  # fmt: skip
    body = b"".join(one["body"] for one in sent[1:])
    assert not sent[-1].get("more_body")
    data = gzip.decompress(body)
    assert (b"[DONE]\r\n\r\n" in data) if streamed else json.loads(data)["choices"]


# ----------------------------------------------------------------- one more thing or two


def test_a_failure_is_made_once_for_all_ways_to_script_it():
    assert make_failure(429).status == 429
    damage = make_failure(code="queue_exceeded", after_events=1)
    assert (damage.name, damage.error.status) == ("error_event", 429)


def test_many_break_at_once_and_nothing_is_left(sim):
    sim.fail_randomly(0.5, seed=5)
    sim.reply(TEXT, times=None)
    endings = []

    def work(streamed):
        for _ in range(10):
            endings.append(ask(sim, stream=streamed).ending)

    threads = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(endings) == 80
    assert set(endings) == {"kept", "fin", "reset"}
    assert sim.wait_idle()
    state = sim._server.server_state
    assert eventually(lambda: not state.connections)
    assert not state.tasks


def test_a_large_answer_is_on_the_wire_before_the_reset(sim):
    sim.reply("word " * 20_000)
    sim.fail_next(fault="reset_in_body", after_bytes=90_000)
    assert len(ask(sim).body) == 90_000


def test_a_reset_waits_for_a_client_that_does_not_read_until_it_leaves(sim):
    sim.fail_next(body="x" * 30_000_000, status=500, fault="reset_in_body")
    with RawClient(sim.port) as client:
        client.send()
        state = sim._server.server_state
        assert eventually(
            lambda: any(
                one.transport.get_write_buffer_size() for one in state.connections
            )
        )
    assert sim.wait_idle()
    assert not sim.requests[0].completed
    assert sim.requests[0].was_cancelled


def test_an_empty_body_can_be_cut(sim):
    sim.fail_next(500, b"", fault="cut_body", after_bytes=3)
    assert ask(sim).body == b""
    sim.fail_next(500, b"", fault="drip")
    assert ask(sim).ending == "kept"


def test_rate_limits_and_faults_go_together():
    with Simulator(tier="free_trial") as sim:
        sim.fail_next(fault="cut_body", times=2)
        came = [ask(sim, max_completion_tokens=10) for _ in range(6)]
        assert [one.ending for one in came[:2]] == ["fin", "fin"]
        assert came[-1].status == 429
        with (
            ChatCerebras(
                base_url=sim.base_url, api_key="csk-x", max_retries=0
            ) as model,
            pytest.raises(RateLimitError),
        ):
            model.invoke("x")
