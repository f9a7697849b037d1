"""One log line and one end for each call, whatever becomes of it, and no content."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from call_paths import (
    BASE,
    BETA,
    ID,
    PATHS,
    STREAMED,
    acall,
    answer,
    call,
    delta,
    refusal,
)
from fake_limiter import FakeLimiter
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from stages import STAGES, staged
from wire_server import CUT, END, Request, WireServer, chunk, plain, sse, stream_head

from langchain_cerebras_ext import ChatCerebras, _observe
from langchain_cerebras_ext._observe import CallRecord, add_observer, remove_observer
from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasError,
    FailedAttempt,
    RateLimiterTimeoutError,
)
from langchain_cerebras_ext.llms import CerebrasLLM
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = BETA

AT_ONCE = RetryPolicy(max_retries=2, initial_delay=0, max_delay=0)
NAME = "langchain_cerebras_ext.client"
KEY = "csk-" + "l5" * 20
PROMPT, ANSWER, SYSTEM, DEED = (
    "sentinel-ask",
    "sentinel-say",
    "sentinel-be",
    "sentinel-do",
)
HEADERS = {"inference-id": "req-9", "x-ratelimit-remaining-tokens-minute": "7"}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What was logged of calls, one record a call."""
    caplog.set_level(logging.DEBUG, logger="langchain_cerebras_ext")

    def read() -> list[dict[str, Any]]:
        found = [record for record in caplog.records if hasattr(record, "cerebras")]
        for record in found:
            assert (record.name, record.levelname) == (NAME, "DEBUG")
            assert record.getMessage().startswith("request method=")
        return [dict(record.cerebras) for record in found]  # type: ignore[attr-defined]

    return read


class Watching:
    """Notes what an observer is told."""

    def __init__(self) -> None:
        self.begun: list[CallRecord] = []
        self.retries: list[tuple[CallRecord, FailedAttempt]] = []
        self.reads: list[CallRecord] = []
        self.ends: list[CallRecord] = []

    def started(self, record: CallRecord) -> int:
        self.begun.append(record)
        return len(self.begun) - 1

    def retried(self, state: int, record: CallRecord, failed: FailedAttempt) -> None:
        assert self.begun[state] is record
        self.retries.append((record, failed))

    def arrived(self, state: int, record: CallRecord) -> None:
        assert self.begun[state] is record
        self.reads.append(record)

    def ended(self, state: int, record: CallRecord) -> None:
        assert self.begun[state] is record
        self.ends.append(record)

    @property
    def record(self) -> CallRecord:
        """The one call's record; it has begun and ended once."""
        assert len(self.begun) == 1
        (record,) = self.ends
        return record


@contextlib.contextmanager
def observing(*observers: Any) -> Iterator[None]:
    for observer in observers:
        add_observer(observer)
    try:
        yield
    finally:
        for observer in observers:
            remove_observer(observer)


@pytest.fixture
def watching() -> Iterator[Watching]:
    observer = Watching()
    with observing(observer):
        yield observer


@pytest.fixture
def unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """A program that has not asked for debug lines."""
    caplog.set_level(logging.INFO, logger="langchain_cerebras_ext")


def sized(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a line's fields without times and sizes, which are checked here."""
    assert 0 < fields.pop("elapsed_s") < 60
    sent = fields.pop("sent_bytes")
    assert 40 < sent < 400
    first = fields.pop("first_token_s", None)
    assert first is None or 0 < first < 60
    return fields


SAID = {
    "method": "POST",
    "path": "/v1/chat/completions",
    "status": 200,
    "model": "gpt-oss-120b",
    "request_id": "req-9",
    "response_id": ID,
    "input_tokens": 11,
    "output_tokens": 5,
    "finish_reason": "stop",
    "attempts": 1,
}


# ------------------------------------------------------------- each way a call can end


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_one_line(path: str, lines: Any, watching: Watching) -> None:
    with WireServer(lambda request: answer(request, headers=HEADERS)) as server:
        model = ChatCerebras(base_url=server.url)
        call(path, model)
        sent = len(server.requests[0].body)
    (line,) = lines()
    assert line["sent_bytes"] == sent
    assert ("first_token_s" in line) is (path in STREAMED)
    assert sized(line) == {**SAID, "stream": path in STREAMED}
    record = watching.record
    assert (record.error, record.abandoned, record.failed) == (None, False, [])
    assert record.rate_limits == {"x-ratelimit-remaining-tokens-minute": 7}
    assert record.finish_reasons == ("stop",)
    assert record.operation == "chat"
    assert record.url == f"{server.url}/v1/chat/completions"
    assert bool(watching.reads) is (path in STREAMED)


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream"])
def test_a_text_completion_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop"}
    body = {**BASE, "choices": [choice]}

    def complete(request: Request) -> Iterator[bytes]:
        data = json.dumps(body).encode()
        return sse([b"data: " + data + b"\n\n"]) if request.is_stream else plain(body)

    with WireServer(complete) as server:
        model = CerebrasLLM(base_url=server.url)
        if path == "stream":
            list(model.stream("hi"))
        elif path == "invoke":
            model.invoke("hi")
        else:
            asyncio.run(model.ainvoke("hi"))
    (line,) = lines()
    assert (line["path"], line["status"], line["finish_reason"]) == (
        "/v1/completions",
        200,
        "stop",
    )
    assert watching.record.operation == "text_completion"


@pytest.mark.parametrize("path", PATHS)
def test_a_refusal_is_one_line(path: str, lines: Any, watching: Watching) -> None:
    with WireServer(lambda _: refusal(401, headers=HEADERS)) as server:
        with pytest.raises(AuthenticationError) as caught:
            call(path, ChatCerebras(base_url=server.url))
    (line,) = lines()
    assert sized(line) == {
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 401,
        "model": "gpt-oss-120b",
        "stream": path in STREAMED,
        "request_id": "req-9",
        "attempts": 1,
        "error": "AuthenticationError",
    }
    assert watching.record.error is caught.value
    assert watching.record.abandoned is False
    assert watching.record.rate_limits == {"x-ratelimit-remaining-tokens-minute": 7}


@pytest.mark.parametrize("path", PATHS)
def test_a_call_with_retries_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    def busy(request: Request) -> Iterator[bytes]:
        if len(server.requests) <= 2:
            return refusal(503)
        return answer(request, headers=HEADERS)

    with WireServer(busy) as server:
        call(path, ChatCerebras(base_url=server.url, retry_policy=AT_ONCE))
    (line,) = lines()
    assert sized(line) == {**SAID, "stream": path in STREAMED, "attempts": 3}
    record = watching.record
    assert [failed.status_code for failed in record.failed] == [503, 503]
    assert [(one is record, failed) for one, failed in watching.retries] == [
        (True, failed) for failed in record.failed
    ]


@pytest.mark.parametrize("path", PATHS)
def test_a_call_that_fails_to_the_last_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    with WireServer(lambda _: refusal(503)) as server:
        with pytest.raises(CerebrasError):
            call(path, ChatCerebras(base_url=server.url, retry_policy=AT_ONCE))
    (line,) = lines()
    assert (line["status"], line["attempts"]) == (503, 3)
    assert line["error"] == "InternalServerError"
    assert len(watching.record.failed) == len(watching.retries) == 2


@pytest.mark.parametrize("path", PATHS)
def test_a_call_without_any_answer_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    with WireServer(lambda _: iter([CUT])) as server:
        with pytest.raises(CerebrasError):
            call(path, ChatCerebras(base_url=server.url, max_retries=0))
    (line,) = lines()
    assert line["error"] == "CerebrasConnectionError"
    assert {"status", "request_id", "response_id"}.isdisjoint(line)
    assert watching.record.status is None


@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_breaks_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    def broken(_: Request) -> Iterator[bytes]:
        yield from [stream_head(HEADERS), chunk(delta(content="He")), END]

    with WireServer(broken) as server:
        with pytest.raises(CerebrasError) as caught:
            call(path, ChatCerebras(base_url=server.url))
    (line,) = lines()
    assert line["error"] == "StreamInterruptedError"
    assert (line["status"], line["response_id"]) == (200, ID)
    assert "first_token_s" in line
    record = watching.record
    assert record.error is caught.value
    assert record.message is not None
    said = record.message()
    assert said is not None
    assert said.text == "He"


def begun(request: Request) -> Iterator[bytes]:
    """Send one part, then wait until the client goes."""
    yield from [stream_head(HEADERS), chunk(delta(content="He"))]
    request.wait_gone()


@pytest.mark.parametrize("how", ["close", "break", "drop"])
def test_a_stream_that_is_left_is_one_line(
    how: str, lines: Any, watching: Watching
) -> None:
    with WireServer(begun) as server:
        stream: Any = ChatCerebras(base_url=server.url).stream("hi")
        for _ in stream:
            break
        if how == "close":
            stream.close()
        if how != "break":
            del stream
        else:
            stream = None
    (line,) = lines()
    assert line["error"] == "GeneratorExit"
    assert (line["status"], line["attempts"], line["request_id"]) == (200, 1, "req-9")
    assert watching.record.abandoned is True


@pytest.mark.parametrize("how", ["aclose", "break"])
def test_an_async_stream_that_is_left_is_one_line(
    how: str, lines: Any, watching: Watching
) -> None:
    async def main(url: str) -> None:
        stream: Any = ChatCerebras(base_url=url).astream("hi")
        async for _ in stream:
            break
        if how == "aclose":
            await stream.aclose()

    with WireServer(begun) as server:
        asyncio.run(main(server.url))
    (line,) = lines()
    assert line["error"] == "GeneratorExit"
    assert watching.record.abandoned is True


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("path", ["ainvoke", "astream", "av3"])
def test_a_call_that_is_cancelled_is_one_line(
    path: str, name: str, lines: Any, watching: Watching
) -> None:
    """At whatever stage: and nothing of it is told twice, or never."""

    async def forever() -> None:
        stage.reached.set()
        await asyncio.sleep(60)

    async def main() -> None:
        policy = RetryPolicy(
            initial_delay=60, max_delay=60, on_retry=lambda _: stage.reached.set()
        )
        fields: dict[str, Any] = {}
        if name == "limiter":
            fields["rate_limiter"] = FakeLimiter(await_=forever).as_model_limiter()
        model = ChatCerebras(
            base_url=stage.url, api_key=KEY, retry_policy=policy, **fields
        )
        task = asyncio.create_task(leave(model))
        assert await asyncio.to_thread(stage.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def leave(model: ChatCerebras) -> None:
        if path == "av3":
            async with await model.astream_events("hi", version="v3") as stream:
                await stream.output
        else:
            await acall(path, model)

    with staged(name) as stage:
        asyncio.run(main())
    (line,) = lines()
    assert line["error"] == "CancelledError"
    record = watching.record
    assert record.abandoned is True
    assert len(record.failed) == (name == "backoff")
    # Of half an answer: the status, if its head was read before.
    assert record.status in ({None, 200} if name == "body" else {None})


@pytest.mark.parametrize("path", PATHS)
def test_a_call_that_was_not_sent_is_one_line(
    path: str, lines: Any, watching: Watching
) -> None:
    def full() -> None:
        msg = "no room"
        raise RateLimiterTimeoutError(msg)

    with WireServer(answer) as server:
        limiter = FakeLimiter(full).as_model_limiter()
        with pytest.raises(RateLimiterTimeoutError):
            call(path, ChatCerebras(base_url=server.url, rate_limiter=limiter))
        assert server.requests == []
    (line,) = lines()
    assert (line["error"], line["attempts"]) == ("RateLimiterTimeoutError", 0)
    assert watching.record.attempts == 0


def test_many_calls_at_once_are_a_line_each(lines: Any, watching: Watching) -> None:
    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url)
        model.batch(["hi"] * 10)
        asyncio.run(model.abatch(["hi"] * 10))
    assert len(lines()) == 20
    assert len(watching.begun) == len(watching.ends) == 20
    assert {id(record) for record in watching.begun} == {
        id(record) for record in watching.ends
    }


# ------------------------------------------------------------------- a line that is safe


def test_the_line_can_be_read_by_people_and_programs(
    lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(lambda request: answer(request, headers=HEADERS)) as server:
        ChatCerebras(base_url=server.url).invoke("hi")
    (record,) = [record for record in caplog.records if hasattr(record, "cerebras")]
    text = record.getMessage()
    assert re.fullmatch(r"request( \w+=[^ =]+)+", text)
    parsed = dict(pair.split("=") for pair in text.split()[1:])
    assert parsed == {name: str(value) for name, value in lines()[0].items()}
    assert json.loads(json.dumps(lines()[0])) == lines()[0]


def test_no_server_writes_lines_of_its_own(
    lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "stop\nERROR root:all is lost request status=500"
    with WireServer(lambda request: answer(request, finish_reason=forged)) as server:
        ChatCerebras(base_url=server.url).invoke("hi")
    (record,) = [record for record in caplog.records if hasattr(record, "cerebras")]
    assert "\n" not in record.getMessage()
    assert f"finish_reason={json.dumps(forged)}" in record.getMessage()
    assert lines()[0]["finish_reason"] == forged


@tool
def look(place: str) -> str:
    """Look at sentinel-do."""
    return place


def ask(path: str, url: str) -> None:
    """Make a call that holds a sentinel wherever content can be."""
    messages = [SystemMessage(SYSTEM), HumanMessage(f"{PROMPT} {KEY}")]
    model = ChatCerebras(
        base_url=url,
        api_key=KEY,
        default_headers={"x-team": "sentinel-head"},
        default_query={"q": "sentinel-query"},
    )
    call(path, model.bind_tools([look]), messages)


def answered(request: Request) -> Iterator[bytes]:
    return answer(request, ANSWER, reasoning="sentinel-think", headers=HEADERS)


@pytest.mark.parametrize("path", PATHS)
def test_no_line_holds_content_or_key(
    path: str, lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with WireServer(answered) as server:
        ask(path, server.url)
    assert len(lines()) == 1
    everything = "\n".join(f"{vars(r)}" for r in caplog.records if r.name == NAME)
    assert everything
    for secret in ("sentinel", KEY, KEY[4:]):
        assert secret not in everything
        assert secret not in caplog.text.replace("q=sentinel-query", ""), (
            "urllib3 logs the path with its query"
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("prompt", {PROMPT, SYSTEM, DEED}),
        ("answer", {ANSWER, "sentinel-think"}),
        ("prompt,answer", {PROMPT, SYSTEM, DEED, ANSWER, "sentinel-think"}),
        (" Answer , PROMPT ", {PROMPT, SYSTEM, DEED, ANSWER, "sentinel-think"}),
        ("all", set()),
        ("1", set()),
        ("", set()),
    ],
    ids=["prompt", "answer", "both", "spaced", "all", "one", "empty"],
)
def test_content_is_logged_where_it_is_asked_for_by_name(
    path: str,
    asked: str,
    shown: set[str],
    lines: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CEREBRAS_LOG_CONTENT", asked)
    with WireServer(answered) as server:
        ask(path, server.url)
    assert len(lines()) == 1
    told = [record.getMessage() for record in caplog.records if record.name == NAME]
    text = "\n".join(told)
    assert {word for word in (PROMPT, SYSTEM, DEED, ANSWER, "sentinel-think") if word in text} == shown  # fmt: skip
    assert "\n" not in "".join(told)
    assert KEY[4:] not in text, "the key never, though the prompt holds it"
    assert "sentinel-head" not in text
    assert [line.split()[0] for line in told] == [
        "request",
        *(word for word in ("prompt", "answer") if word in asked.lower()),
    ]


def test_a_key_in_the_wrong_field_is_not_logged(
    lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(lambda _: refusal(404)) as server:
        with pytest.raises(CerebrasError):
            ChatCerebras(base_url=server.url, model=KEY).invoke("hi")
    assert KEY not in repr(lines())
    assert KEY not in caplog.text


def test_a_line_that_cannot_be_written_does_not_cost_the_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        msg = "cannot be logged"
        raise ZeroDivisionError(msg)

    caplog.set_level(logging.DEBUG, logger="langchain_cerebras_ext")
    monkeypatch.setattr(_observe, "log_fields", broken)
    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url)
        assert [call(path, model).text for path in PATHS] == ["Hello"] * len(PATHS)
    assert caplog.text.count("cannot be logged") >= len(PATHS)


# ---------------------------------------------------------------------- nobody watches


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.usefixtures("unlogged")
def test_without_anybody_who_watches_nothing_is_built(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def count(name: str) -> Callable[..., Any]:
        def never(*_: Any, **__: Any) -> Any:
            built.append(name)

        return never

    for name in (
        "Watch",
        "MeterWatch",
        "CallRecord",
        "log_fields",
        "_write",
        "_message_of",
    ):
        monkeypatch.setattr(_observe, name, count(name))
    with WireServer(answer) as server:
        assert call(path, ChatCerebras(base_url=server.url)).text == "Hello"
    assert built == []


@pytest.mark.usefixtures("unlogged")
def test_a_logger_that_is_turned_on_during_a_call_tells_of_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with WireServer(answer) as server:
        stream = ChatCerebras(base_url=server.url).stream("hi")
        next(stream)
        caplog.set_level(logging.DEBUG, logger="langchain_cerebras_ext")
        list(stream)
        assert not [record for record in caplog.records if hasattr(record, "cerebras")]
        ChatCerebras(base_url=server.url).invoke("hi")
    assert len([r for r in caplog.records if hasattr(r, "cerebras")]) == 1


@pytest.mark.usefixtures("unlogged")
def test_an_observer_needs_no_log(watching: Watching) -> None:
    with WireServer(answer) as server:
        ChatCerebras(base_url=server.url).invoke("hi")
    assert watching.record.attempts == 1


# ---------------------------------------------------------------------------- observers


class Broken(Watching):
    """One that fails at some point."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def _fail(self, where: str) -> None:
        if where == self.at:
            msg = f"failed at {where}"
            raise ZeroDivisionError(msg)

    def started(self, record: CallRecord) -> int:
        found = super().started(record)
        self._fail("started")
        return found

    def retried(self, state: Any, record: CallRecord, failed: FailedAttempt) -> None:
        self._fail("retried")

    def arrived(self, state: Any, record: CallRecord) -> None:
        self._fail("arrived")

    def ended(self, state: Any, record: CallRecord) -> None:
        self.ends.append(record)
        self._fail("ended")


@pytest.mark.parametrize("at", ["started", "retried", "arrived", "ended"])
@pytest.mark.parametrize("path", PATHS)
def test_an_observer_that_fails_breaks_neither_the_call_nor_the_others(
    path: str, at: str, watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    def once_busy(request: Request) -> Iterator[bytes]:
        return refusal(503) if len(server.requests) == 1 else answer(request)

    broken, other = Broken(at), Watching()
    with observing(broken, other), WireServer(once_busy) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=AT_ONCE)
        assert call(path, model).text == "Hello"
    for observer in (watching, other):
        assert observer.record.attempts == 2
        assert len(observer.retries) == 1
    assert len(broken.begun) == len(broken.ends) == 1
    reached = at != "arrived" or path in STREAMED
    assert (f"failed at {at}" in caplog.text) is reached


class Adding(Watching):
    """One that brings another along, or goes, while a call is under way."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def retried(self, state: int, record: CallRecord, failed: FailedAttempt) -> None:
        super().retried(state, record, failed)
        self.act()


@pytest.mark.parametrize("path", PATHS)
def test_an_observer_that_comes_during_a_call_is_told_of_the_next(path: str) -> None:
    def once_busy(request: Request) -> Iterator[bytes]:
        return refusal(503) if len(server.requests) == 1 else answer(request)

    late = Watching()
    first = Adding(lambda: add_observer(late))
    with observing(first), WireServer(once_busy) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=AT_ONCE)
        try:
            call(path, model)
            assert (late.begun, late.ends) == ([], [])
            call(path, model)
            assert late.record.attempts == 1
        finally:
            remove_observer(late)
    assert len(first.ends) == 2


@pytest.mark.parametrize("path", PATHS)
def test_an_observer_that_goes_during_a_call_is_told_of_its_end(path: str) -> None:
    def once_busy(request: Request) -> Iterator[bytes]:
        return refusal(503) if len(server.requests) == 1 else answer(request)

    leaving = Adding(lambda: remove_observer(leaving))
    with observing(leaving), WireServer(once_busy) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=AT_ONCE)
        call(path, model)
        call(path, model)
    assert leaving.record.attempts == 2


def test_an_observer_that_is_added_twice_is_told_once() -> None:
    observer = Watching()
    with observing(observer, observer), WireServer(answer) as server:
        ChatCerebras(base_url=server.url).invoke("hi")
    assert observer.record.attempts == 1
    assert observer not in _observe.observers()


def test_threads_may_add_and_remove_observers_at_once() -> None:
    before = _observe.observers()
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(200):
            with observing(Watching()):
                assert _observe.is_watched()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _observe.observers() == before


@pytest.mark.parametrize("path", PATHS)
def test_an_observer_can_read_the_answer(path: str, watching: Watching) -> None:
    with WireServer(answered) as server:
        call(path, ChatCerebras(base_url=server.url), PROMPT)
    record = watching.record
    assert record.message is not None
    said = record.message()
    assert said is not None
    assert said.text == ANSWER
    assert said.additional_kwargs["reasoning_content"] == "sentinel-think"
    assert record.payload is not None
    assert record.payload["messages"] == [{"role": "user", "content": PROMPT}]
    assert "messages" not in record.params
    assert "sentinel" not in repr(record)


def test_how_long_our_limiter_waited_is_told_apart(watching: Watching) -> None:
    waited = threading.Event()
    limiter = FakeLimiter(lambda: waited.wait(0.05))
    with WireServer(answer) as server:
        model = ChatCerebras(
            base_url=server.url, rate_limiter=limiter.as_model_limiter()
        )
        model.invoke("hi")
    assert watching.record.limiter_wait_s >= 0.05
