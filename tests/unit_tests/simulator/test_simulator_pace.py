"""Pacing by a clock that stands still, and noticing clients that leave."""

import asyncio
import importlib

import pytest

from langchain_cerebras_ext.simulator import pytest_plugin
from langchain_cerebras_ext.simulator.clock import SystemClock
from langchain_cerebras_ext.simulator.engine import Reply
from langchain_cerebras_ext.simulator.pace import ClientGoneError, Pace, Watch
from langchain_cerebras_ext.simulator.records import RecordedRequest
from langchain_cerebras_ext.simulator.sending import send_reply


async def stays():
    """Receive nothing, for ever."""
    await asyncio.Event().wait()


async def leaves():
    return {"type": "http.disconnect"}


def test_tokens_are_due_at_the_models_pace(account):
    clock = account.clock
    pace = Pace(clock, 1_000.0)
    assert pace.wait_s(10) == pytest.approx(0.01, abs=1e-5)
    clock.now += 0.01
    assert pace.wait_s(5) == pytest.approx(0.005, abs=1e-5)


def test_waits_too_short_for_a_timer_are_made_up_for_later(account):
    pace = Pace(account.clock, 10_000.0)
    assert [pace.wait_s(4) for _ in range(3)] == [
        0.0,
        0.0,
        pytest.approx(0.0012, abs=1e-5),
    ]


def test_a_late_event_is_sent_at_once(account):
    pace = Pace(account.clock, 1_000.0)
    account.clock.now += 5
    assert pace.wait_s(100) == 0.0


async def test_a_whole_stream_takes_as_long_as_the_model(make_account):
    account = make_account(speed="real", queue_time_s=0.05)
    reply = account.reply("Write 300 words", stream=True)
    record = RecordedRequest("POST", "/", "", {}, None)
    sent = []

    async def send(message):
        sent.append(message)

    started = account.clock.now
    await send_reply(reply, {}, stays, send, clock=account.clock, record=record)
    took = account.clock.now - started
    tokens = account.chat("Write 300 words")["usage"]["completion_tokens"]
    assert reply.wait_s > 0.05
    assert took == pytest.approx(reply.wait_s + tokens / 3_000, abs=0.005)
    assert sent[-1]["body"] == b""
    assert record.events_sent == len(sent) - 2


async def test_a_plain_answer_takes_as_long_as_the_model(make_account):
    account = make_account(speed=2.0)
    reply = account.reply("Write 300 words")
    record = RecordedRequest("POST", "/", "", {}, None)

    async def send(message):
        pass

    started = account.clock.now
    await send_reply(reply, {}, stays, send, clock=account.clock, record=record)
    assert account.clock.now - started == pytest.approx(
        reply.wait_s + reply.rest_s, abs=1e-5
    )
    assert reply.rest_s > 0.04


async def test_at_instant_speed_nobody_waits(account):
    reply = account.reply("Write 300 words", stream=True)

    async def send(message):
        pass

    record = RecordedRequest("POST", "/", "", {}, None)
    await send_reply(reply, {}, stays, send, clock=account.clock, record=record)
    assert account.clock.slept == []


async def test_a_wait_ends_when_the_client_leaves():
    watch = Watch(leaves)
    with pytest.raises(ClientGoneError):
        await watch.sleep(SystemClock(), 30)
    assert watch.gone
    with pytest.raises(ClientGoneError):
        await watch.sleep(SystemClock(), 0)
    with pytest.raises(ClientGoneError):
        watch.check()


async def test_more_body_is_no_departure():
    messages = [{"type": "http.disconnect"}, {"type": "http.request"}]

    async def receive():
        return messages.pop()

    watch = Watch(receive)
    await asyncio.wait_for(watch._task, 5)
    assert watch.gone
    assert messages == []


async def test_a_stream_to_nobody_ends_early(account):
    reply = Reply(events=iter([(0, b"x")] * 1_000))
    record = RecordedRequest("POST", "/", "", {}, None)

    async def send(message):
        pass

    with pytest.raises(ClientGoneError):
        await send_reply(reply, {}, leaves, send, clock=account.clock, record=record)
    assert record.events_sent < 20


async def test_a_slow_reader_is_waited_for_in_the_servers_way(account):
    class Transport:
        def __init__(self):
            self.size = 0
            self.written = []

        def get_write_buffer_size(self):
            return self.size

        def is_closing(self):
            return False

        def write(self, data):
            self.written.append(data)
            self.size = 10**9

    transport = Transport()
    scope = {
        "state": {"transport": transport, "raw_chunks": True},
        "http_version": "1.1",
    }
    sent = []

    async def send(message):
        sent.append(message.get("body"))

    reply = Reply(events=iter([(0, b"%d" % n) for n in range(40)]))
    record = RecordedRequest("POST", "/", "", {}, None)
    await send_reply(reply, scope, stays, send, clock=account.clock, record=record)
    assert sent[1] == b"0"
    assert transport.written == [
        b"".join(b"%x\r\n%d\r\n" % (len(str(n)), n) for n in range(1, 15))
    ]
    assert sent[2:] == [b"%d" % n for n in range(15, 40)] + [b""]


def test_the_end_of_a_request_is_noted_once():
    record = RecordedRequest("POST", "/", "", {}, None)
    record.finish(0.0, completed=True)
    record.finish(5.0, completed=False)
    assert record.completed
    assert not record.was_cancelled


importlib.reload(pytest_plugin)
cerebras_simulator = pytest_plugin.cerebras_simulator


def test_the_fixture_gives_a_running_simulator(cerebras_simulator):
    assert cerebras_simulator.running
    assert cerebras_simulator.base_url.endswith("/v1")


def test_one_long_answer_may_be_encoded_lazily(account):
    events = account.reply("Write 20000 words", stream=True).events
    assert next(events)[1].startswith(b'data: {"id":"chatcmpl-')
