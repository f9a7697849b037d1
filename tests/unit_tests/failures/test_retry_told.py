"""Who hears of a retry, and that none of them is silent about what it may have cost."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from call_paths import (
    BASE,
    BETA,
    PATHS,
    PLAIN,
    TOLD_OF_HANDLERS,
    USAGE,
    Clock,
    answer,
    call,
    refusal,
)
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumpd
from wire_server import CUT, DONE, Request, WireServer, event, plain, sse

from langchain_cerebras_ext import ChatCerebras, _client
from langchain_cerebras_ext.errors import (
    CerebrasError,
    FailedAttempt,
    InternalServerError,
    RateLimitError,
)
from langchain_cerebras_ext.llms import CerebrasLLM
from langchain_cerebras_ext.retry import Retrier, RetryPolicy

pytestmark = BETA

KEY = "csk-" + "r3" * 20
PRIVATE = "the answer to the private question"
STEADY = RetryPolicy(max_retries=3, initial_delay=1, max_delay=5, jitter=0)
LLM_PATHS = ["llm_invoke", "llm_ainvoke", "llm_stream", "llm_astream"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sleeps take no time; what is measured is."""
    made = Clock()
    on_it = partial(Retrier, sleep=made.sleep, asleep=made.asleep)
    monkeypatch.setattr(_client, "Retrier", on_it)
    return made


class Failing(WireServer):
    """Fails in given ways, one a request, and then answers."""

    def __init__(self, *ways: Callable[[Request], Iterator[bytes]]) -> None:
        self.ways = ways
        super().__init__(self.next)

    def next(self, request: Request) -> Iterator[bytes]:
        number = len(self.requests)
        if number <= len(self.ways):
            return self.ways[number - 1](request)
        if request.path.endswith("/chat/completions"):
            return answer(request)
        return text_completion(request)


def text_completion(request: Request) -> Iterator[bytes]:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop"}
    body = {**BASE, "choices": [choice], "usage": USAGE}
    return sse([event(body), DONE]) if request.is_stream else plain(body)


def status(code: int, **headers: str) -> Callable[[Request], Iterator[bytes]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["connection"] = "close"  # a new one is not suspected to be stale
    return lambda _: refusal(code, f"{PRIVATE} {KEY}", named)


def dropped(_: Request) -> Iterator[bytes]:
    return iter([CUT])


def stalled(request: Request) -> Iterator[bytes]:
    request.wait_gone()
    yield from ()


def call_llm(path: str, model: CerebrasLLM, **kwargs: Any) -> dict[str, Any]:
    """Call a text-completion model, and return its generation's info."""

    async def ago() -> Any:
        if path == "llm_ainvoke":
            return (await model.agenerate(["hi"], **kwargs)).generations[0][0]
        return [part async for part in model._astream("hi", **kwargs)][-1]

    if path == "llm_invoke":
        found: Any = model.generate(["hi"], **kwargs).generations[0][0]
    elif path == "llm_stream":
        found = list(model._stream("hi", **kwargs))[-1]
    else:
        found = asyncio.run(ago())
    return found.generation_info


def info(path: str, url: str, policy: RetryPolicy) -> dict[str, Any]:
    """Return the metadata of an answer, whichever model and path."""
    if path in LLM_PATHS:
        return call_llm(
            path, CerebrasLLM(base_url=url, api_key=KEY, retry_policy=policy)
        )
    model = ChatCerebras(base_url=url, api_key=KEY, retry_policy=policy)
    return call(path, model).response_metadata


# -------------------------------------------------------------------- in the metadata


@pytest.mark.parametrize("path", [*PATHS, *LLM_PATHS])
def test_an_answer_says_how_many_tries_it_took_and_what_became_of_them(
    path: str,
) -> None:
    with Failing(status(503), status(429, retry_after="7")) as server:
        metadata = info(path, server.url, STEADY)
    assert metadata["attempts"] == len(server.requests) == 3
    first, second = metadata["failed_attempts"]
    assert 0 < first.pop("elapsed_s") < second.pop("elapsed_s") < 60
    said = f"{PRIVATE} ***."
    assert first == {
        "error_type": "InternalServerError",
        "message": f"Cerebras answered 503. {said}",
        "status_code": 503,
        "wait_s": 1.0,
        "billed": None,
    }
    assert second == {
        "error_type": "RateLimitError",
        "message": f"Cerebras answered 429. {said}",
        "status_code": 429,
        "wait_s": 7.0,
        "billed": False,
    }


@pytest.mark.parametrize("path", [*PATHS, *LLM_PATHS])
def test_an_answer_at_once_says_so_and_lists_nothing(path: str) -> None:
    with Failing() as server:
        metadata = info(path, server.url, STEADY)
    assert metadata["attempts"] == 1
    assert "failed_attempts" not in metadata


@pytest.mark.parametrize("path", PATHS)
def test_what_is_said_of_tries_can_be_saved_and_sent(path: str) -> None:
    with Failing(status(500), dropped) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        message = call(path, model)
    for saved in (message.response_metadata, dumpd(message), message.model_dump()):
        assert json.loads(json.dumps(saved))
    assert pickle.loads(pickle.dumps(message)) == message
    assert len(message.response_metadata["failed_attempts"]) == 2


@pytest.mark.parametrize("path", PATHS)
def test_a_try_whose_cost_nobody_knows_is_listed_as_such(path: str) -> None:
    """The service may have answered, and billed, a call that we gave up waiting for."""
    with Failing(stalled, dropped) as server:
        limits = {"read": 0.1, "first_byte": 0.1}
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY, timeout=limits)
        message = call(path, model)
    tried = message.response_metadata["failed_attempts"]
    kinds = [
        (each["error_type"], each["status_code"], each["billed"]) for each in tried
    ]
    assert kinds == [
        ("CerebrasTimeoutError", None, None),
        ("CerebrasConnectionError", None, None),
    ]
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 16


@pytest.mark.parametrize("path", PATHS)
def test_a_try_whose_cost_is_known_says_it(path: str) -> None:
    """It was billed, though its answer was empty."""
    empty = {**BASE, "choices": [], "usage": USAGE}

    def useless(request: Request) -> Iterator[bytes]:
        if not request.is_stream:
            return plain(empty)
        return sse([event({**empty, "choices": []})])

    told: list[FailedAttempt] = []
    policy = replace(STEADY, on_retry=told.append)
    with Failing(useless) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        message = call(path, model)
    (tried,) = message.response_metadata["failed_attempts"]
    counted = {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}
    assert (tried["billed"], tried["usage"]) == (True, counted)
    assert told == [FailedAttempt(**tried)]


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_calls_that_run_at_once_do_not_mix_their_tries_up(how: str) -> None:
    seen: dict[str, int] = {}

    def busy(request: Request) -> Iterator[bytes]:
        prompt = request.json["messages"][-1]["content"]
        seen[prompt] = seen.get(prompt, 0) + 1
        return refusal(500) if seen[prompt] <= int(prompt) else answer(request)

    prompts = ["0", "1", "2", "3"]
    with WireServer(busy) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        found = (
            model.batch(prompts)
            if how == "batch"
            else asyncio.run(model.abatch(prompts))
        )
    assert [message.response_metadata["attempts"] for message in found] == [1, 2, 3, 4]
    assert [
        len(message.response_metadata.get("failed_attempts", ())) for message in found
    ] == [0, 1, 2, 3]


# ----------------------------------------------------------------------- on the error


@pytest.mark.parametrize("path", PATHS)
def test_an_error_lists_the_tries_before_it(path: str, clock: Clock) -> None:
    with Failing(status(503), dropped, status(429), status(500)) as server:
        model = ChatCerebras(base_url=server.url, api_key=KEY, retry_policy=STEADY)
        with pytest.raises(InternalServerError) as caught:
            call(path, model)
    error = caught.value
    assert error.attempts == len(server.requests) == 4
    assert error.is_retryable is False
    told = [(each.error_type, each.status_code, each.wait_s) for each in error.failed_attempts]  # fmt: skip
    assert told == [
        ("InternalServerError", 503, 1),
        ("CerebrasConnectionError", None, 2),
        ("RateLimitError", 429, 4),
    ]
    assert clock.slept == [1, 2, 4]
    times = [each.elapsed_s for each in error.failed_attempts]
    assert error.elapsed_s is not None
    assert 0 < times[0] < times[1] < times[2] < error.elapsed_s
    assert KEY not in repr(vars(error))


@pytest.mark.parametrize("path", PATHS)
def test_an_error_that_is_not_worth_it_still_lists_them(path: str) -> None:
    with Failing(status(503), status(401)) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
    assert caught.value.status_code == 401
    assert [each.status_code for each in caught.value.failed_attempts] == [503]


# ------------------------------------------------------------- LangChain's callbacks


class Hearing(BaseCallbackHandler):
    """Notes what LangChain's handlers are told of retries."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, float]] = []
        self.runs: set[Any] = set()

    def note(self, state: Any, run_id: Any) -> None:
        error = state.outcome.exception()
        self.heard.append(
            (state.attempt_number, type(error).__name__, state.next_action.sleep)
        )
        self.runs.add(run_id)

    def on_retry(self, retry_state: Any, *, run_id: Any, **_: Any) -> None:
        self.note(retry_state, run_id)

    def on_llm_end(self, *_: Any, run_id: Any, **__: Any) -> None:
        self.runs.add(run_id)


class AsyncHearing(AsyncCallbackHandler, Hearing):
    """The same, asynchronously."""

    async def on_retry(self, retry_state: Any, *, run_id: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        self.note(retry_state, run_id)

    async def on_llm_end(self, *_: Any, run_id: Any, **__: Any) -> None:
        self.runs.add(run_id)


class Breaking(BaseCallbackHandler):
    """One that fails."""

    def on_retry(self, *_: Any, **__: Any) -> None:
        msg = "a handler's own mistake"
        raise ZeroDivisionError(msg)


@pytest.mark.parametrize(
    ("path", "handler"),
    [
        *((path, Hearing) for path in TOLD_OF_HANDLERS),
        ("ainvoke", AsyncHearing),
        ("av3", AsyncHearing),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_langchains_handlers_hear_of_each_retry(
    path: str, handler: type[Hearing], clock: Clock
) -> None:
    hearing = handler()
    with Failing(status(503), status(429, retry_after="7")) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        call(path, model, config={"callbacks": [hearing]})
    assert hearing.heard == [
        (1, "InternalServerError", 1.0),
        (2, "RateLimitError", 7.0),
    ]
    assert clock.slept == [1, 7]
    assert len(hearing.runs) == 1, "a retry is told as part of its call's run"


@pytest.mark.parametrize("path", ["llm_invoke", "llm_ainvoke"])
def test_the_text_completion_model_tells_handlers_too(path: str) -> None:
    hearing = Hearing()
    with Failing(status(503)) as server:
        model = CerebrasLLM(base_url=server.url, retry_policy=STEADY)
        call_llm(path, model, callbacks=[hearing])
    assert hearing.heard == [(1, "InternalServerError", 1.0)]


@pytest.mark.parametrize("path", TOLD_OF_HANDLERS)
def test_a_handler_that_fails_does_not_fail_the_call(path: str) -> None:
    with Failing(status(503)) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        found = call(path, model, config={"callbacks": [Breaking()]})
    assert found.response_metadata["attempts"] == 2


@pytest.mark.parametrize("path", TOLD_OF_HANDLERS)
def test_no_handler_hears_of_a_call_that_needs_no_retry(path: str) -> None:
    hearing = Hearing()
    with Failing() as server:
        call(path, ChatCerebras(base_url=server.url), config={"callbacks": [hearing]})
    assert hearing.heard == []


# -------------------------------------------------------------------- the policy's own


@pytest.mark.parametrize("path", [*PATHS, *LLM_PATHS])
def test_the_policy_tells_of_each_retry_before_its_wait(
    path: str, clock: Clock
) -> None:
    told: list[tuple[FailedAttempt, int]] = []
    policy = replace(
        STEADY, on_retry=lambda each: told.append((each, len(clock.slept)))
    )
    with Failing(status(503), status(429, retry_after="7")) as server:
        metadata = info(path, server.url, policy)
    assert [(each.status_code, each.wait_s, slept) for each, slept in told] == [
        (503, 1.0, 0),
        (429, 7.0, 1),
    ]
    assert [each for each, _ in told] == [
        FailedAttempt(**each) for each in metadata["failed_attempts"]
    ]


@pytest.mark.parametrize("path", PLAIN)
def test_the_policy_does_not_tell_of_the_last_failure(path: str) -> None:
    told: list[FailedAttempt] = []
    policy = replace(STEADY, max_retries=1, on_retry=told.append)
    with Failing(status(503), status(500)) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        with pytest.raises(InternalServerError):
            call(path, model)
    assert [each.status_code for each in told] == [503]


@pytest.mark.parametrize("path", PATHS)
def test_a_listener_that_fails_does_not_take_the_errors_place(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: FailedAttempt) -> None:
        msg = "a listener's own mistake"
        raise ZeroDivisionError(msg)

    policy = replace(STEADY, on_retry=broken)
    with Failing(status(503), status(401)) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
    assert caught.value.status_code == 401
    assert "on_retry of the policy failed" in caplog.text
    assert "a listener's own mistake" in caplog.text


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_an_interrupt_in_a_listener_ends_the_call(path: str, clock: Clock) -> None:
    def stop(_: FailedAttempt) -> None:
        raise KeyboardInterrupt

    policy = replace(STEADY, on_retry=stop)
    with Failing(status(503)) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=policy)
        with pytest.raises(KeyboardInterrupt):
            call(path, model)
        assert len(server.requests) == 1
    assert clock.slept == []


# ------------------------------------------------------------------------- the log


@pytest.mark.parametrize("path", PATHS)
def test_the_log_has_a_line_for_each_retry_and_no_content(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="langchain_cerebras_ext")
    with Failing(status(503), status(429, retry_after="7")) as server:
        model = ChatCerebras(base_url=server.url, api_key=KEY, retry_policy=STEADY)
        call(path, model, PRIVATE)
    lines = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "langchain_cerebras_ext.retry"
    ]
    assert lines == [
        ("INFO", "request failed (InternalServerError), attempt 1; trying again in 1.00 s"),
        ("INFO", "request failed (RateLimitError), attempt 2; trying again in 7.00 s"),
    ]  # fmt: skip
    assert PRIVATE not in caplog.text
    assert KEY not in caplog.text


# --------------------------------------------------------- the first refusal for tokens

UNSET = "max_tokens is not set: the service then reserves 16,384 tokens"
TOKENS = "Tokens per minute limit exceeded - too many tokens processed."


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nobody was told what is reserved for an answer."""
    import threading

    monkeypatch.setattr(_client, "_told_of_reservation", threading.Lock())


def over_tokens(_: Request) -> Iterator[bytes]:
    return refusal(429, TOKENS)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING
        and record.name == "langchain_cerebras_ext.client"
    ]


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize("path", PATHS)
def test_the_first_refusal_for_tokens_says_what_an_unset_limit_costs(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(over_tokens) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        texts = []
        for _ in range(3):
            with pytest.raises(RateLimitError) as caught:
                call(path, model)
            texts.append((str(caught.value), repr(caught.value)))
    assert [UNSET in text for text, _ in texts] == [True, False, False]
    assert [UNSET in shown for _, shown in texts] == [True, False, False]
    (line,) = warnings_in(caplog)
    assert line.startswith(UNSET)
    assert line.endswith("Set it to what the answer needs.")


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize("path", PATHS)
def test_it_is_said_on_the_error_that_the_user_sees(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only on the first of several tries, which nobody looks at."""
    with WireServer(over_tokens) as server:
        model = ChatCerebras(base_url=server.url, retry_policy=STEADY)
        with pytest.raises(RateLimitError) as caught:
            call(path, model)
    assert str(caught.value).count(UNSET) == 1
    assert all(each.message.count(UNSET) == 1 for each in caught.value.failed_attempts)
    assert len(warnings_in(caplog)) == 1
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    ("fields", "kwargs"),
    [
        pytest.param({"max_tokens": 100}, {}, id="field"),
        pytest.param({}, {"max_tokens": 100}, id="call"),
        pytest.param({}, {"max_completion_tokens": 100}, id="wire_name"),
        pytest.param({"max_tokens": -1}, {}, id="the_models_limit"),
    ],
)
def test_it_is_not_said_where_the_limit_is_set(
    fields: dict[str, Any], kwargs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(over_tokens) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0, **fields)
        with pytest.raises(RateLimitError) as caught:
            model.invoke("hi", **kwargs)
        assert UNSET not in str(caught.value)
        assert warnings_in(caplog) == []
        # And it has not been used up.
        with pytest.raises(RateLimitError, match=UNSET):
            ChatCerebras(base_url=server.url, max_retries=0).invoke("hi")


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    "text",
    [
        "Requests per minute limit exceeded - too many requests sent.",
        "We're experiencing high traffic right now! Please try again soon.",
    ],
    ids=["requests", "queue"],
)
def test_it_is_not_said_of_other_limits(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with WireServer(lambda _: refusal(429, text)) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        with pytest.raises(RateLimitError) as caught:
            model.invoke("hi")
    assert UNSET not in str(caught.value)
    assert warnings_in(caplog) == []


@pytest.mark.usefixtures("untold")
def test_of_many_calls_that_are_refused_at_once_one_says_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with WireServer(over_tokens) as server:
        model = ChatCerebras(base_url=server.url, max_retries=0)
        found = model.batch(["hi"] * 12, return_exceptions=True)
    assert sum(UNSET in str(error) for error in found) == 1
    assert len(warnings_in(caplog)) == 1
