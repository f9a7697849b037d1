"""Each try asks the limiter once and tells it what became of it, on every path."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from call_paths import (
    BASE,
    BETA,
    PATHS,
    PLAIN,
    STREAMED,
    USAGE,
    acall,
    answer,
    call,
    counted,
    delta,
    refusal,
)
from fake_limiter import FakeLimiter, Held, Passing
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from stages import STAGES, staged
from wire_server import CUT, DONE, END, Request, WireServer, chunk, event, plain, sse
from wire_server import stream_head as stream_begins

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasError,
    CerebrasTimeoutError,
    RateLimitError,
    RateLimiterTimeoutError,
)
from langchain_cerebras_ext.llms import CerebrasLLM
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = BETA

AT_ONCE = RetryPolicy(max_retries=3, initial_delay=0, max_delay=0)
USED = {"input_tokens": 11, "output_tokens": 5, "cached_tokens": 0}
LIMITS = {"x-ratelimit-remaining-tokens-minute": "7"}


def model_with(limiter: FakeLimiter, url: str, **fields: Any) -> ChatCerebras:
    """Return a model that asks a limiter."""
    fields.setdefault("retry_policy", AT_ONCE)
    return ChatCerebras(base_url=url, rate_limiter=limiter, **fields)


@pytest.fixture
def limiter() -> FakeLimiter:
    return FakeLimiter()


# ----------------------------------------------------------------- one try, one answer


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_settles_its_reservation_with_what_was_used(
    path: str, limiter: FakeLimiter
) -> None:
    with WireServer(lambda request: answer(request, headers=LIMITS)) as server:
        call(path, model_with(limiter, server.url))
    (held,) = limiter.held
    assert held.model == "gpt-oss-120b"
    assert held.end == "settled"
    told = dict(held.told)
    assert told.pop("headers")["x-ratelimit-remaining-tokens-minute"] == "7"
    assert told == USED


@pytest.mark.parametrize("path", PATHS)
def test_tokens_from_the_cache_are_told_apart(path: str, limiter: FakeLimiter) -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 8}}
    with WireServer(lambda request: answer(request, usage=usage)) as server:
        call(path, model_with(limiter, server.url))
    assert limiter.held[0].told["cached_tokens"] == 8


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_does_not_say_what_it_used_is_unknown(
    path: str, limiter: FakeLimiter
) -> None:
    def uncounted(request: Request) -> Iterator[bytes]:
        message = {"content": "Hello"}
        if request.is_stream:
            return sse([delta(**message), delta(finish_reason="stop"), DONE])
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return plain({**BASE, "choices": [choice]})

    with WireServer(uncounted) as server:
        call(path, model_with(limiter, server.url))
    assert limiter.ends == ["unknown"]


@pytest.mark.parametrize("path", PATHS)
def test_langchain_lets_the_limiter_pass_and_the_request_waits(
    path: str, limiter: FakeLimiter
) -> None:
    """The size of a request is not known where LangChain asks."""
    with WireServer(answer) as server:
        model = model_with(limiter, server.url)
        call(path, model)
        passing: Any = model.rate_limiter
        assert isinstance(passing, Passing)
        assert passing.asked == 1
    assert limiter.ends == ["settled"]


# ------------------------------------------------------------------ what is asked for


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fields", "kwargs", "most"),
    [
        pytest.param({}, {}, None, id="unset"),
        pytest.param({"max_tokens": 100}, {}, 100, id="field"),
        pytest.param({"max_tokens": 100}, {"max_tokens": 9}, 9, id="call"),
        pytest.param({}, {"max_completion_tokens": 9}, 9, id="wire_name"),
    ],
)
def test_the_size_of_the_request_is_told(
    path: str,
    fields: dict[str, Any],
    kwargs: dict[str, Any],
    most: int | None,
    limiter: FakeLimiter,
) -> None:
    with WireServer(answer) as server:
        model = model_with(limiter, server.url, **fields)
        call(path, model, "one two three", **kwargs)
        tokens = model.get_num_tokens_from_messages([HumanMessage("one two three")])
    assert limiter.held[0].asked == {
        "input_tokens": tokens,
        "max_output_tokens": most,
    }


def test_longer_prompts_and_tools_are_larger_requests(limiter: FakeLimiter) -> None:
    def look(place: str) -> str:
        """Look at a place, and say what is there."""
        return place

    with WireServer(answer) as server:
        model = model_with(limiter, server.url)
        model.invoke("hi")
        model.invoke([SystemMessage("Be brief."), HumanMessage("hi " * 500)])
        model.bind_tools([look]).invoke("hi")
    short, long, tooled = (held.asked["input_tokens"] for held in limiter.held)
    assert long > short + 400
    assert tooled > short + 10


@pytest.mark.parametrize("path", PATHS)
def test_the_model_of_a_single_call_is_the_one_asked_for(
    path: str, limiter: FakeLimiter
) -> None:
    with WireServer(answer) as server:
        call(path, model_with(limiter, server.url), model="qwen-3.8-27b")
    assert limiter.held[0].model == "qwen-3.8-27b"


@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
def test_the_text_completion_model_asks_too(path: str, limiter: FakeLimiter) -> None:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop"}
    body = {**BASE, "choices": [choice], "usage": USAGE}

    async def astream(model: CerebrasLLM) -> list[str]:
        return [part async for part in model.astream("hi")]

    def complete(request: Request) -> Iterator[bytes]:
        return sse([event(body), DONE]) if request.is_stream else plain(body)

    with WireServer(complete) as server:
        model = CerebrasLLM(base_url=server.url, rate_limiter=limiter)
        match path:
            case "invoke":
                model.invoke("hi")
            case "ainvoke":
                asyncio.run(model.ainvoke("hi"))
            case "stream":
                list(model.stream("hi"))
            case _:
                asyncio.run(astream(model))
    (held,) = limiter.held
    assert held.end == "settled"
    assert held.asked["input_tokens"] > 0


def test_json_mode_as_a_stream_asks_once(limiter: FakeLimiter) -> None:
    """It is sent unstreamed, and must not be counted for both."""
    with WireServer(lambda request: answer(request, "{}")) as server:
        model = model_with(limiter, server.url)
        list(model.stream("hi", response_format={"type": "json_object"}))
    assert limiter.ends == ["settled"]


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_each_of_many_calls_asks_for_itself(how: str, limiter: FakeLimiter) -> None:
    with WireServer(answer) as server:
        model = model_with(limiter, server.url)
        prompts = ["hi"] * 10
        if how == "batch":
            model.batch(prompts)
        else:
            asyncio.run(model.abatch(prompts))
    assert limiter.ends == ["settled"] * 10


def test_warming_up_asks_nobody(limiter: FakeLimiter) -> None:
    with WireServer(lambda _: plain({})) as server:
        model = model_with(limiter, server.url)
        model.warm_up()
        asyncio.run(model.awarm_up())
    assert limiter.held == []


def test_a_copy_and_a_bound_model_ask_the_same_limiter(limiter: FakeLimiter) -> None:
    with WireServer(answer) as server:
        model = model_with(limiter, server.url)
        model.model_copy().invoke("hi")
        model.bind(seed=1).invoke("hi")
        model.with_config(tags=["a"]).invoke("hi")
    assert limiter.ends == ["settled"] * 3


def test_a_limiter_of_another_kind_is_left_to_langchain() -> None:
    class Other(InMemoryRateLimiter):
        """One that holds another, under the name that ours has for it."""

        limiter = object()
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return super().acquire(blocking=blocking)

    other = Other(requests_per_second=1000, max_bucket_size=10)
    other.available_tokens = 10.0
    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url, rate_limiter=other)
        assert model.invoke("hi").text == "Hello"
    assert other.asked == 1


# -------------------------------------------------------------------------- failures

WHOLE = {"status_code": 500, "message": "oh"}
FAILURES = [
    pytest.param(lambda _: refusal(400), "released", id="400"),
    pytest.param(lambda _: refusal(401), "released", id="401"),
    pytest.param(lambda _: refusal(404), "released", id="404"),
    pytest.param(lambda _: refusal(413), "released", id="413"),
    pytest.param(lambda _: refusal(408), "unknown", id="408"),
    pytest.param(lambda _: refusal(429), "refused", id="429"),
    pytest.param(lambda _: refusal(500), "unknown", id="500"),
    pytest.param(lambda _: refusal(503), "unknown", id="503"),
    pytest.param(lambda _: iter([CUT]), "unknown", id="dropped"),
    pytest.param(lambda _: plain(b"<html>"), "unknown", id="no_answer"),
    pytest.param(lambda _: plain({"choices": []}), "unknown", id="empty"),
    pytest.param(lambda _: plain({"choices": [], "usage": USAGE}), "settled", id="empty_but_counted"),
    pytest.param(lambda _: plain(b"", 302, {"location": "http://x/"}), "released", id="redirect"),
    pytest.param(lambda _: plain({"message": "no", "status_code": 429}), "refused", id="429_in_a_200"),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("reply", "end"), FAILURES)
def test_a_failure_ends_its_reservation_by_what_it_means(
    path: str,
    reply: Callable[[Request], Iterator[bytes]],
    end: str,
    limiter: FakeLimiter,
) -> None:
    with WireServer(reply) as server:
        model = model_with(limiter, server.url, max_retries=0, retry_policy=None)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
    assert limiter.ends == [end]
    if end == "refused":
        assert limiter.held[0].told is caught.value
        assert isinstance(caught.value, RateLimitError)


@pytest.mark.parametrize("path", PATHS)
def test_a_server_that_is_not_there_has_counted_nothing(
    path: str, limiter: FakeLimiter
) -> None:
    with WireServer(answer) as server:
        url = server.url
    with pytest.raises(CerebrasError):
        call(path, model_with(limiter, url))
    assert limiter.ends == ["released"] * 4


STREAM_BREAKS = [
    pytest.param([CUT], "unknown", id="cut"),
    pytest.param([END], "unknown", id="ended_early"),
    pytest.param([chunk(event({"message": "oh", "status_code": 500})), END], "unknown", id="500"),
    pytest.param([chunk(event({"message": "no", "status_code": 429})), END], "unknown", id="429_after_tokens"),
    pytest.param([chunk(event({"message": "no", "status_code": 400})), END], "unknown", id="400_after_tokens"),
    pytest.param([chunk(counted()), CUT], "settled", id="counted_then_cut"),
    pytest.param([chunk(counted()), chunk(event({"message": "no", "status_code": 429})), END], "settled", id="counted_then_429"),
]  # fmt: skip


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize(("tail", "end"), STREAM_BREAKS)
def test_a_stream_that_breaks_ends_its_reservation(
    path: str, tail: list[bytes], end: str, limiter: FakeLimiter
) -> None:
    """Tokens that have come were counted, whatever the error says."""

    def broken(_: Request) -> Iterator[bytes]:
        yield from [stream_begins(), chunk(delta(content="He")), *tail]

    with WireServer(broken) as server:
        with pytest.raises(CerebrasError):
            call(path, model_with(limiter, server.url))
    assert limiter.ends == [end]
    if end == "settled":
        assert limiter.held[0].told["output_tokens"] == 5


@pytest.mark.parametrize("path", STREAMED)
def test_a_refusal_as_the_first_event_has_counted_nothing(
    path: str, limiter: FakeLimiter
) -> None:
    busy = event({"message": "no", "status_code": 429})
    with WireServer(lambda _: sse([busy])) as server:
        model = model_with(limiter, server.url, max_retries=0, retry_policy=None)
        with pytest.raises(RateLimitError):
            call(path, model)
    assert limiter.ends == ["refused"]


@pytest.mark.parametrize("path", PATHS)
def test_a_timeout_is_unknown(path: str, limiter: FakeLimiter) -> None:
    def silent(request: Request) -> Iterator[bytes]:
        request.wait_gone()
        yield from ()

    with WireServer(silent) as server:
        model = model_with(
            limiter, server.url, timeout=0.1, max_retries=0, retry_policy=None
        )
        with pytest.raises(CerebrasTimeoutError):
            call(path, model)
    assert limiter.ends == ["unknown"]


# --------------------------------------------------------------------------- retries


@pytest.mark.parametrize("path", PATHS)
def test_each_try_has_a_reservation_of_its_own(path: str, limiter: FakeLimiter) -> None:
    ways = [refusal(429), refusal(503), iter([CUT])]

    def failing(request: Request) -> Iterator[bytes]:
        number = len(server.requests)
        return ways[number - 1] if number <= len(ways) else answer(request)

    open_at_once: list[int] = []

    def note() -> None:
        open_at_once.append(sum(not held.ends for held in limiter.held))

    limiter.wait = note
    with WireServer(failing) as server:
        server.answer = closing(server.answer)
        message = call(path, model_with(limiter, server.url))
    assert limiter.ends == ["refused", "unknown", "unknown", "settled"]
    assert open_at_once == [0, 0, 0, 0], "none is held while another is asked for"
    assert message.response_metadata["attempts"] == 4


def closing(reply: Callable[[Request], Iterator[bytes]]) -> Any:
    """Answer without keeping the connection: the next is not taken for a stale one."""

    def closed(request: Request) -> Iterator[bytes]:
        for piece in reply(request):
            yield (
                piece.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
                if (piece.startswith(b"HTTP/"))
                else piece
            )

    return closed


@pytest.mark.parametrize("path", PATHS)
def test_no_reservation_is_held_during_a_wait(path: str, limiter: FakeLimiter) -> None:
    seen: list[list[str]] = []
    policy = replace(AT_ONCE, on_retry=lambda _: seen.append(limiter.ends))
    with WireServer(
        lambda r: refusal(429) if len(server.requests) == 1 else answer(r)
    ) as server:
        call(path, model_with(limiter, server.url, retry_policy=policy))
    assert seen == [["refused"]]


@pytest.mark.parametrize("path", PATHS)
def test_a_limiter_that_refuses_ends_the_call_and_is_not_asked_again(path: str) -> None:
    asked: list[int] = []

    def full() -> None:
        asked.append(1)
        if len(asked) == 2:
            msg = "no room for a second try"
            raise RateLimiterTimeoutError(msg)

    limiter = FakeLimiter(full)
    with WireServer(lambda _: refusal(503)) as server:
        with pytest.raises(RateLimiterTimeoutError) as caught:
            call(path, model_with(limiter, server.url))
        assert len(server.requests) == 1
    assert limiter.ends == ["unknown"]
    assert caught.value.attempts == 1, "one was sent"
    assert [each.status_code for each in caught.value.failed_attempts] == [503]


# --------------------------------------------------------- calls that are given up


@pytest.mark.parametrize("how", ["close", "break", "drop"])
def test_a_stream_that_is_left_is_unknown(how: str, limiter: FakeLimiter) -> None:
    def begun(request: Request) -> Iterator[bytes]:
        yield from [stream_begins(), chunk(delta(content="He"))]
        request.wait_gone()

    with WireServer(begun) as server:
        stream: Any = model_with(limiter, server.url).stream("hi")
        for _ in stream:
            break
        if how == "close":
            stream.close()
        stream = None
    assert limiter.ends == ["unknown"]


def test_a_stream_that_is_left_after_its_count_is_settled(limiter: FakeLimiter) -> None:
    def begun(request: Request) -> Iterator[bytes]:
        yield stream_begins()
        yield chunk(delta(content="He") + counted())
        request.wait_gone()

    with WireServer(begun) as server:
        stream: Any = model_with(limiter, server.url).stream("hi")
        next(stream)
        stream.close()
    assert limiter.ends == ["settled"]


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("path", ["ainvoke", "astream", "av3"])
def test_a_task_that_is_cancelled_leaves_no_reservation_open(
    path: str, name: str
) -> None:
    async def forever() -> None:
        if name == "limiter":
            stage.reached.set()
            await asyncio.sleep(60)

    limiter = FakeLimiter(await_=forever)

    async def leave(model: ChatCerebras) -> None:
        if path == "av3":
            async with await model.astream_events("hi", version="v3") as stream:
                await stream.output
        else:
            await acall(path, model)

    async def main() -> None:
        policy = RetryPolicy(
            initial_delay=60, max_delay=60, on_retry=lambda _: stage.reached.set()
        )
        model = model_with(
            limiter, stage.url, retry_policy=policy, api_key="csk-limited"
        )
        task = asyncio.create_task(leave(model))
        assert await asyncio.to_thread(stage.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with staged(name) as stage:
        asyncio.run(main())
    assert limiter.ends == ([] if name == "limiter" else ["unknown"])


def test_an_interrupt_leaves_no_reservation_open(limiter: FakeLimiter) -> None:
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    policy = replace(AT_ONCE, on_retry=stop)
    with WireServer(lambda _: refusal(503)) as server:
        with pytest.raises(KeyboardInterrupt):
            model_with(limiter, server.url, retry_policy=policy).invoke("hi")
    assert limiter.ends == ["unknown"]


# ------------------------------------------------------------------------ its time


@pytest.mark.parametrize("path", PATHS)
def test_the_wait_is_measured_and_is_no_part_of_the_calls_time(path: str) -> None:
    wait_s = 0.3
    limiter = FakeLimiter(lambda: time.sleep(wait_s))
    with WireServer(answer) as server:
        model = model_with(limiter, server.url, total_timeout=wait_s)
        message = call(path, model)
    measured = message.response_metadata["measured"]
    assert measured["rate_limiter_wait_s"] >= wait_s
    assert measured["total_s"] < wait_s
    if path in STREAMED:
        assert measured["time_to_first_token_s"] < wait_s


@pytest.mark.parametrize("path", PATHS)
def test_the_waits_of_all_tries_are_added_up(path: str) -> None:
    limiter = FakeLimiter(lambda: time.sleep(0.05))
    with WireServer(
        lambda r: refusal(503) if len(server.requests) == 1 else answer(r)
    ) as server:
        message = call(path, model_with(limiter, server.url))
    measured = message.response_metadata["measured"]
    assert measured["rate_limiter_wait_s"] >= 0.1
    assert limiter.ends == ["unknown", "settled"]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_limiter_nothing_is_said_of_one(path: str) -> None:
    with WireServer(answer) as server:
        message = call(path, ChatCerebras(base_url=server.url))
    assert "rate_limiter_wait_s" not in message.response_metadata["measured"]


def test_without_a_limiter_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting a long prompt's tokens takes time."""
    counts: list[int] = []
    monkeypatch.setattr(
        ChatCerebras, "_estimate", lambda *_: counts.append(1) or 1
    )  # fmt: skip
    with WireServer(answer) as server:
        ChatCerebras(base_url=server.url).invoke("hi")
    assert counts == []


# -------------------------------------------------------------- limiters that fail


class Failing(Held):
    """A reservation that cannot be told anything, as when Redis is gone."""

    def _fail(self) -> None:
        msg = "the limiter's own failure"
        raise ConnectionError(msg)

    def settle(self, **used: Any) -> None:
        super().settle(**used)
        self._fail()

    def refused(self, error: RateLimitError) -> None:
        super().refused(error)
        self._fail()

    def unknown(self) -> None:
        super().unknown()
        self._fail()

    def release(self) -> None:
        super().release()
        self._fail()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, limiter: FakeLimiter) -> FakeLimiter:
    def hold(model: str, asked: Any) -> Held:
        held = Failing(model, asked)
        limiter.held.append(held)
        return held

    monkeypatch.setattr(limiter, "_hold", hold)
    return limiter


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_is_paid_for_outlives_the_limiters_failure(
    path: str, failing: FakeLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(answer) as server:
        assert call(path, model_with(failing, server.url)).text == "Hello"
    assert failing.ends == ["settled"]
    assert "a rate limiter failed to take note of a call" in caplog.text
    assert "the limiter's own failure" in caplog.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [401, 429, 503])
def test_the_services_error_is_not_hidden_by_the_limiters(
    path: str, status: int, failing: FakeLimiter
) -> None:
    with WireServer(lambda _: refusal(status)) as server:
        model = model_with(failing, server.url, max_retries=0, retry_policy=None)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
    assert caught.value.status_code == status
    assert len(failing.ends) == 1


@pytest.mark.parametrize("path", PLAIN)
def test_an_error_of_the_limiter_itself_passes_through(path: str) -> None:
    def broken() -> None:
        msg = "not ours"
        raise ConnectionError(msg)

    with WireServer(answer) as server:
        with pytest.raises(ConnectionError, match="not ours"):
            call(path, model_with(FakeLimiter(broken), server.url))
        assert server.requests == []


# ---------------------------------------------------------------------------- threads


def test_a_limiter_is_asked_from_every_thread_and_loses_nothing() -> None:
    turn = threading.Lock()
    limiter = FakeLimiter()
    hold = limiter._hold

    def locked(model: str, asked: Any) -> Held:
        with turn:
            return hold(model, asked)

    limiter._hold = locked  # type: ignore[method-assign]
    with WireServer(
        lambda r: refusal(503) if len(server.requests) % 5 == 1 else answer(r)
    ) as server:
        model = model_with(limiter, server.url, retry_policy=replace(AT_ONCE, max_retries=20))  # fmt: skip
        found = model.batch(["hi"] * 30, config={"max_concurrency": 8})
    tried = [message.response_metadata["attempts"] for message in found]
    assert len(limiter.held) == sum(tried) == len(server.requests)
    assert limiter.ends.count("settled") == 30
    assert limiter.ends.count("unknown") == sum(tried) - 30


def test_the_refusal_of_a_limiter_can_be_saved(limiter: FakeLimiter) -> None:
    with WireServer(lambda _: refusal(429)) as server:
        with contextlib.suppress(RateLimitError):
            model_with(limiter, server.url).invoke("hi")
    copies = [pickle.loads(pickle.dumps(held.told)) for held in limiter.held]
    assert [error.attempts for error in copies] == [1, 2, 3, 4]


def test_an_argument_that_is_no_limiter_is_refused() -> None:
    with pytest.raises(CerebrasConfigurationError, match="rate_limiter"):
        ChatCerebras(base_url="http://127.0.0.1:1", rate_limiter=object())


def test_what_a_limiter_is_told_is_not_logged(
    limiter: FakeLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="langchain_cerebras_ext")
    with WireServer(answer) as server:
        model_with(limiter, server.url).invoke("a private question")
    assert "private" not in caplog.text
    assert json.dumps(limiter.held[0].asked)
