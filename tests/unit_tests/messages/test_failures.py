"""What the service or the network spoils is a typed error with what had arrived."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from recordings import load
from wire_server import (
    CUT,
    DONE,
    END,
    RESET,
    Request,
    WireServer,
    chunk,
    event,
    plain,
    sse,
    stream_head,
)

from langchain_cerebras_ext import ChatCerebras, errors
from langchain_cerebras_ext._status import status_error
from langchain_cerebras_ext._stream_reader import StreamReader
from langchain_cerebras_ext.errors import (
    CerebrasError,
    CerebrasResponseError,
    CerebrasStatusError,
    CerebrasTimeoutError,
    EmptyResponseError,
    InternalServerError,
    RateLimitError,
    StreamInterruptedError,
)
from langchain_cerebras_ext.retry import RetryPolicy

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)

KEY = "csk-" + "k1" * 20
BASE = {
    "id": "chatcmpl-1",
    "created": 1790000000,
    "model": "gpt-oss-120b",
    "system_fingerprint": "fp_1",
    "object": "chat.completion.chunk",
}


def delta(**fields: Any) -> bytes:
    return event({**BASE, "choices": [{"delta": fields, "index": 0}]})


ROLE = delta(role="assistant")
THOUGHT, HE, LLO = delta(reasoning="Hm."), delta(content="He"), delta(content="llo")
CALL = delta(
    tool_calls=[{"function": {"name": "f", "arguments": '{"a"'}, "id": "x", "index": 0}]
)
BEGUN = [ROLE, THOUGHT, HE, LLO]

STREAMED = ["stream", "astream", "v3", "av3", "invoke_streamed"]
PLAIN = ["invoke", "ainvoke"]


def call(path: str, model: ChatCerebras, **kwargs: Any) -> Any:
    async def astream() -> list[Any]:
        return [part async for part in model.astream("hi", **kwargs)]

    async def av3() -> Any:
        stream = await model.astream_events("hi", version="v3", **kwargs)
        return await stream.output

    match path:
        case "invoke":
            return model.invoke("hi", **kwargs)
        case "ainvoke":
            return asyncio.run(model.ainvoke("hi", **kwargs))
        case "stream":
            return list(model.stream("hi", **kwargs))
        case "astream":
            return asyncio.run(astream())
        case "v3":
            return model.stream_events("hi", version="v3", **kwargs).output
        case "av3":
            return asyncio.run(av3())
        case "invoke_streamed":
            return model.invoke("hi", stream=True, **kwargs)
    raise AssertionError(path)


def failure(
    path: str, answer: Callable[[Request], Any], **fields: Any
) -> CerebrasError:
    """Return the error of a call, without retries unless told otherwise."""
    fields.setdefault("max_retries", 0)
    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url, api_key=KEY, **fields)
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
    error = caught.value
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.partial_message == error.partial_message
    for text in (str(error), repr(error), repr(vars(error)), str(pickle.dumps(error))):
        assert KEY not in text
    return error


# -------------------------------------------------------------- streams that break


def raw(text: bytes) -> bytes:
    return b"data: " + text + b"\n\n"


FLAT = {
    "message": "Tokens per minute limit exceeded - too many tokens processed.",
    "type": "too_many_tokens_error",
    "param": "quota",
    "code": "token_quota_exceeded",
}
WRAPPED = {
    "status_code": 500,
    "error": {
        "message": "Encountered a server error, please try again.",
        "type": "server_error",
        "param": "",
        "code": "",
        "id": "",
    },
}

BREAKS = [
    pytest.param([END], StreamInterruptedError, "without a finish_reason", id="eof"),
    pytest.param([DONE, END], StreamInterruptedError, "without a finish_reason", id="done_only"),
    pytest.param([CUT], StreamInterruptedError, "broke off", id="cut"),
    pytest.param([delta(content="x")[:40], CUT], StreamInterruptedError, "broke off", id="cut_within_an_event"),
    pytest.param([delta(content="x")[:40], END], StreamInterruptedError, "middle of an event", id="eof_within_an_event"),
    pytest.param([event(FLAT | {"status_code": 429})], RateLimitError, "429", id="flat_with_status"),
    pytest.param([event(FLAT)], RateLimitError, "429", id="flat_without_status"),
    pytest.param([event({"message": "Encountered a server error", "status_code": 503})], InternalServerError, "503", id="flat_short"),
    pytest.param([event({"message": "oops"})], InternalServerError, "oops", id="message_only"),
    pytest.param([event(WRAPPED)], InternalServerError, "Encountered a server error", id="wrapped"),
    pytest.param([event(WRAPPED | {"status_code": 429})], RateLimitError, "429", id="wrapped_429"),
    pytest.param([event({"error": {**FLAT}})], RateLimitError, "429", id="wrapped_without_status"),
    pytest.param([event({"error": {"message": "no", "code": 402}})], errors.PaymentRequiredError, "402", id="status_as_code"),
    pytest.param([event({"error": "boom"})], InternalServerError, "boom", id="error_is_text"),
    pytest.param([event({**BASE, "choices": [{"delta": {}, "index": 0}], **WRAPPED})], InternalServerError, "server error", id="beside_choices"),
    pytest.param([event({"detail": "Not found"})], InternalServerError, "Not found", id="detail"),
    pytest.param([b"event: error\n" + event(WRAPPED)], InternalServerError, "server error", id="named_error"),
    pytest.param([b"event: error\ndata: out of order\n\n"], InternalServerError, "out of order", id="named_error_is_text"),
    pytest.param([raw(b"<html>busy</html>")], CerebrasResponseError, "cannot be read", id="no_json"),
    pytest.param([raw(b'{"choices": [')], CerebrasResponseError, "cannot be read", id="half_json"),
    pytest.param([raw(b"3")], CerebrasResponseError, "cannot be read", id="a_number"),
    pytest.param([raw(b'{"choices": "none"}')], CerebrasResponseError, "cannot be read", id="wrong_type"),
    pytest.param([raw(b'{"choices": [{"delta": {"content": "\xff"}}]}')], CerebrasResponseError, "cannot be read|UTF-8", id="no_utf_8"),
    pytest.param([raw(b'{"error": ' + b"[" * 100_000)], CerebrasResponseError, "cannot be read", id="too_deep"),
]  # fmt: skip


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize(("tail", "expected", "text"), BREAKS)
def test_a_stream_that_breaks_is_a_typed_error_with_what_had_arrived(
    path: str, tail: list[bytes], expected: type[CerebrasError], text: str
) -> None:
    def answer(request: Request) -> Iterator[bytes]:
        yield stream_head()
        for piece in [*BEGUN, *tail]:
            yield piece if piece in {CUT, RESET, END} else chunk(piece)
        if tail[-1] not in {CUT, END}:
            request.wait_gone()

    error = failure(path, answer)
    assert type(error) is expected
    assert re.search(text, str(error)), str(error)
    partial = error.partial_message
    assert partial is not None
    assert partial.content == "Hello"
    assert partial.additional_kwargs == {"reasoning_content": "Hm."}
    assert partial.id == "chatcmpl-1"
    assert partial.response_metadata["model_name"] == "gpt-oss-120b"
    assert error.partial_usage is None
    assert error.attempts == 1


def test_a_reset_in_a_stream_is_an_interrupted_stream() -> None:
    def answer(_: Request) -> Iterator[bytes]:
        yield from [stream_head(), *map(chunk, BEGUN)]
        time.sleep(0.2)  # a reset may overtake bytes that nobody has read
        yield RESET

    for path in ("stream", "astream"):
        error = failure(path, answer)
        assert type(error) is StreamInterruptedError
        assert error.partial_message is not None
        assert error.partial_message.content == "Hello"


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_call_that_was_begun_is_an_invalid_call_of_the_partial_message(
    path: str,
) -> None:
    error = failure(path, lambda _: sse([ROLE, CALL]))
    partial = error.partial_message
    assert partial is not None
    assert partial.tool_calls == []
    (found,) = partial.invalid_tool_calls
    assert found["name"] == "f"
    assert found["args"] == '{"a"'
    assert found["id"] == "x"
    assert found["error"] == "The stream ended before the answer was whole"


def test_usage_that_had_arrived_is_part_of_the_error() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    counted = event({**BASE, "choices": [], "usage": usage})
    error = failure("stream", lambda _: sse([*BEGUN, counted]))
    assert error.partial_usage == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
    }


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_stream_without_any_part_is_tried_again_and_has_no_partial_message(
    path: str,
) -> None:
    sent: list[int] = []

    def answer(_: Request) -> Iterator[bytes]:
        sent.append(1)
        return sse([])

    policy = RetryPolicy(max_retries=1, initial_delay=0, max_delay=0)
    error = failure(path, answer, retry_policy=policy)
    assert type(error) is StreamInterruptedError
    assert "before the first part" in str(error)
    assert error.partial_message is None
    assert error.attempts == 2
    assert len(sent) == 2


@pytest.mark.parametrize("path", ["stream", "astream", "v3", "invoke_streamed"])
@pytest.mark.parametrize("first", [event(WRAPPED), ROLE + event(WRAPPED), RESET])
def test_a_stream_that_fails_before_its_first_part_is_tried_again(
    path: str, first: bytes
) -> None:
    recording = load("plain_text")

    def answer(request: Request) -> Iterator[bytes]:
        if len(server.requests) == 1:
            return sse([first])
        return sse(recording.events)

    with WireServer(answer) as server:
        policy = RetryPolicy(max_retries=1, initial_delay=0, max_delay=0)
        found = call(path, ChatCerebras(base_url=server.url, retry_policy=policy))
    last = found[-1] if isinstance(found, list) else found
    assert last.response_metadata["attempts"] == 2
    assert len(server.requests) == 2


def test_done_that_is_cut_off_after_the_answer_was_whole_does_no_harm() -> None:
    finish = event({**BASE, "choices": [{"delta": {}, "finish_reason": "stop"}]})
    for rest in (b"", b"d", b"data: ", b"data: [DO", b"data: [DONE]"):
        reader = StreamReader()
        reader.feed(HE + finish + rest)
        assert reader.finish() == []
        assert reader.finish_reason == "stop"
    reader = StreamReader()
    reader.feed(HE + finish + b'data: {"usage": {"total')
    with pytest.raises(StreamInterruptedError, match="middle of an event"):
        reader.finish()


def test_what_follows_done_is_not_read() -> None:
    reader = StreamReader()
    finish = event({**BASE, "choices": [{"delta": {}, "finish_reason": "stop"}]})
    reader.feed(HE + finish + DONE + raw(b"junk"))
    reader.feed(raw(b"more junk"))
    assert reader.finish() == []
    assert [found.text for found in reader.deltas] == ["He"]


def test_content_as_a_list_of_parts_is_text() -> None:
    parts = [{"type": "text", "text": "He"}, {"type": "other"}, {"text": "llo"}]
    reader = StreamReader()
    assert [found.text for found in reader.feed(delta(content=parts))] == ["Hello"]
    body = {
        **BASE,
        "choices": [{"message": {"content": parts}, "finish_reason": "stop"}],
    }
    with WireServer(lambda _: plain(body)) as server:
        assert ChatCerebras(base_url=server.url).invoke("hi").content == "Hello"


# ---------------------------------------------------------- plain answers that break


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize(
    ("body", "expected", "text"),
    [
        pytest.param({**BASE, "choices": []}, EmptyResponseError, "without choices.*chatcmpl-1", id="no_choices"),
        pytest.param({**BASE, "choices": None}, EmptyResponseError, "without choices", id="null_choices"),
        pytest.param({}, EmptyResponseError, "without choices", id="empty_object"),
        pytest.param({**BASE, "choices": [{"index": 0}]}, EmptyResponseError, "no message.*chatcmpl-1", id="no_message"),
        pytest.param(FLAT, RateLimitError, "Tokens per minute", id="flat_error"),
        pytest.param(WRAPPED, InternalServerError, "server error", id="wrapped_error"),
        pytest.param({"error": f"no {KEY}"}, InternalServerError, "no", id="echoes_the_key"),
        pytest.param({"detail": "no"}, InternalServerError, "no", id="detail"),
        pytest.param(b"", CerebrasResponseError, "no answer of the API", id="nothing"),
        pytest.param(b'{"choices": [', CerebrasResponseError, "no answer of the API", id="half_json"),
        pytest.param(b"[" * 100_000, CerebrasResponseError, "no answer of the API", id="too_deep"),
        pytest.param(b'{"choices": 3}', CerebrasResponseError, "no answer of the API", id="wrong_type"),
        pytest.param(f"junk {KEY}".encode(), CerebrasResponseError, "junk", id="junk_echoes_the_key"),
    ],
)  # fmt: skip
def test_a_200_that_is_no_answer_is_a_typed_error(
    path: str, body: Any, expected: type[CerebrasError], text: str
) -> None:
    error = failure(path, lambda _: plain(body))
    assert type(error) is expected
    assert re.search(text, str(error)), str(error)
    assert isinstance(error, core.ModelError)


@pytest.mark.parametrize("path", [*PLAIN, "stream", "astream"])
def test_a_page_instead_of_an_answer_says_what_came_and_is_not_tried_again(
    path: str,
) -> None:
    page = b"<html><title>Log in</title>" + b"x" * 10_000
    sent: list[int] = []

    def answer(_: Request) -> Iterator[bytes]:
        sent.append(1)
        return plain(page, headers={"content-type": "text/html"})

    error = failure(path, answer, max_retries=2)
    assert type(error) is CerebrasResponseError
    assert "text/html" in str(error)
    assert "Log in" in str(error)
    assert "base_url" in str(error)
    assert len(str(error)) < 600
    assert error.is_retryable is False
    assert len(sent) == 1


@pytest.mark.parametrize("path", PLAIN)
def test_an_error_in_a_200_is_tried_again_like_one_with_a_status(path: str) -> None:
    recording = load("plain_text")

    def answer(_: Request) -> Iterator[bytes]:
        return plain(WRAPPED if len(server.requests) == 1 else recording.body)

    with WireServer(answer) as server:
        policy = RetryPolicy(max_retries=1, initial_delay=0, max_delay=0)
        message = call(path, ChatCerebras(base_url=server.url, retry_policy=policy))
    assert message.content == recording.message["content"]
    assert message.response_metadata["attempts"] == 2


@pytest.mark.parametrize("path", STREAMED)
def test_a_plain_answer_to_a_stream_is_refused_with_the_remedy(path: str) -> None:
    error = failure(path, lambda _: plain(load("plain_text").body), max_retries=2)
    assert type(error) is CerebrasResponseError
    assert "application/json" in str(error)
    assert "disable_streaming=True" in str(error)
    assert error.is_retryable is False


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_an_error_in_a_plain_200_to_a_stream_is_that_error(path: str) -> None:
    error = failure(path, lambda _: plain(WRAPPED))
    assert type(error) is InternalServerError


@pytest.mark.parametrize("path", ["stream", "astream"])
@pytest.mark.parametrize(
    "kind", ["Text/Event-Stream", "text/event-stream;charset=UTF-8"]
)
def test_the_content_type_of_a_stream_has_no_case(path: str, kind: str) -> None:
    events = load("plain_text").events
    with WireServer(lambda _: sse(events, headers={"content-type": kind})) as server:
        parts = call(path, ChatCerebras(base_url=server.url))
    assert (
        "".join(part.content for part in parts) == load("plain_text").message["content"]
    )


@pytest.mark.parametrize("path", [*PLAIN, "stream", "astream"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_key_goes_nowhere_else(
    path: str, status: int
) -> None:
    with WireServer(lambda _: plain(load("plain_text").body)) as other:
        place = f"{other.url}/v1/chat/completions?key={KEY}"
        error = failure(
            path, lambda _: plain(b"", status, {"location": place}), max_retries=2
        )
        assert other.requests == []
        assert other.connections == 0
    assert type(error) is CerebrasResponseError
    assert f"answered {status}, a redirect to http://127.0.0.1" in str(error)
    assert "base_url" in str(error)
    assert error.is_retryable is False


# ------------------------------------------------------------------------- statuses


def flat(text: str, code: str = "", param: str = "", kind: str = "") -> dict[str, str]:
    return {"message": text, "type": kind, "param": param, "code": code}


STATUSES = [
    (400, flat("body.x: property 'body.x' is unsupported", "wrong_api_format"), errors.UnsupportedParameterError, core.ModelInvalidRequestError),
    (400, flat("Please reduce the length of the messages or completion. Current length is 9 while limit is 8"), errors.ContextLengthError, core.ContextOverflowError),
    (400, flat("Unsupported JSON schema fields: {'pattern'}", "wrong_api_format", "response_format"), errors.BadRequestError, core.ModelInvalidRequestError),
    (401, flat("Wrong API Key", "wrong_api_key", "api_key"), errors.AuthenticationError, core.ModelAuthenticationError),
    (402, flat("Payment required"), errors.PaymentRequiredError, core.ModelPermissionDeniedError),
    (403, {"detail": "Not authenticated"}, errors.AuthenticationError, core.ModelAuthenticationError),
    (403, flat("No"), errors.PermissionDeniedError, core.ModelPermissionDeniedError),
    (404, flat("Model x does not exist or you do not have access to it.", "model_not_found", "model"), errors.NotFoundError, core.ModelNotFoundError),
    (408, flat("Timeout"), errors.RequestTimeoutError, core.ModelTimeoutError),
    (409, flat("Lock"), errors.ConflictError, core.ModelAPIError),
    (413, flat("Too large"), errors.PayloadTooLargeError, core.ModelInvalidRequestError),
    (418, flat("Teapot"), errors.CerebrasStatusError, core.ModelError),
    (422, flat("Unprocessable"), errors.UnprocessableEntityError, core.ModelInvalidRequestError),
    (429, flat("Requests per minute limit exceeded - too many requests sent.", "request_quota_exceeded", "quota"), errors.RateLimitError, core.ModelRateLimitError),
    (429, flat("We're experiencing high traffic right now! Please try again soon.", "queue_exceeded", "queue"), errors.RateLimitError, core.ModelRateLimitError),
    (500, WRAPPED, errors.InternalServerError, core.ModelAPIError),
    (502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", errors.InternalServerError, core.ModelAPIError),
    (503, flat("ServiceUnavailable"), errors.InternalServerError, core.ModelAPIError),
]  # fmt: skip


@pytest.mark.parametrize("path", [*PLAIN, "stream", "astream"])
@pytest.mark.parametrize(
    ("status", "body", "expected", "parent"),
    STATUSES,
    ids=[f"{row[0]}-{row[2].__name__}-{n}" for n, row in enumerate(STATUSES)],
)
def test_each_status_has_its_class(
    path: str,
    status: int,
    body: Any,
    expected: type[CerebrasStatusError],
    parent: type[Exception],
) -> None:
    headers = {"inference-id": "req-1"}
    error = failure(path, lambda _: plain(body, status, headers))
    assert type(error) is expected
    assert isinstance(error, parent)
    assert isinstance(error, core.ModelError)
    assert error.status_code == (500 if body is WRAPPED else status)
    assert error.request_id == "req-1"
    assert error.response.status_code == error.status_code
    assert error.attempts == 1
    assert str(status) in str(error)
    if isinstance(body, dict):
        said = body.get("message") or body.get("detail") or body["error"]["message"]
        assert said.rstrip(".!") in str(error)
        assert error.response.json() == error.body == body
    else:
        assert "502 Bad Gateway" in str(error)
        assert "<h1>" not in str(error)


def test_a_404_names_the_model_that_was_asked_for() -> None:
    error = failure(
        "invoke", lambda _: plain(flat("No such model"), 404), model="gpt-os-120b"
    )
    assert "gpt-os-120b" in str(error)
    assert "GET /v1/models" in str(error)


@pytest.mark.parametrize(
    ("text", "code", "kind", "window"),
    [
        ("Requests per second limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "second"),
        ("Requests per minute limit exceeded - too many requests sent.", "request_quota_exceeded", "requests", "minute"),
        ("Tokens per hour limit exceeded - too many tokens processed.", "token_quota_exceeded", "tokens", "hour"),
        ("Tokens per day limit exceeded - too many tokens processed.", "token_quota_exceeded", "tokens", "day"),
        ("We're experiencing high traffic right now! Please try again soon.", "queue_exceeded", "queue", None),
        ("Slow down", "", "unknown", None),
    ],
)  # fmt: skip
def test_a_429_says_which_limit_and_window_it_was(
    text: str, code: str, kind: str, window: str | None
) -> None:
    error = status_error(429, json.dumps(flat(text, code)).encode(), {})
    assert isinstance(error, RateLimitError)
    assert (error.kind, error.window) == (kind, window)


ECHOES = [
    pytest.param({"message": f"Key {KEY} is wrong"}, id="in_the_message"),
    pytest.param({"message": "no", "param": KEY, "code": KEY}, id="in_other_fields"),
    pytest.param({"message": "no", "deep": [{"header": f"Bearer {KEY}"}]}, id="deep"),
    pytest.param({"message": "no", KEY: 1}, id="as_a_name"),
    pytest.param({"message": f'Authorization="Bearer {KEY}"'}, id="quoted"),
    pytest.param(
        {"message": "no", "sent": {"authorization": f"Bearer {KEY}"}}, id="bearer"
    ),
    pytest.param(f"<p>Bearer {KEY}</p>".encode(), id="page"),
    pytest.param(("x" * 1990 + KEY).encode(), id="at_the_cut"),
]


@pytest.mark.parametrize("given", [KEY, None], ids=["known_key", "unknown_key"])
@pytest.mark.parametrize("body", ECHOES)
def test_no_error_repeats_a_key(body: Any, given: str | None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = status_error(401, data, {"x-echo": f"Bearer {KEY}"}, api_key=given)
    for text in (
        str(error),
        repr(vars(error)),
        str(pickle.dumps(error)),
        repr(error.args),
    ):
        assert KEY not in text
        assert KEY[-20:] not in text
    if isinstance(body, dict):
        assert isinstance(error.body, dict)


def test_a_key_of_any_form_is_masked_where_it_is_known() -> None:
    key = "plain-secret-0123456789"
    error = status_error(
        400, f'{{"message": "bad {key}", "x": ["{key}"]}}'.encode(), {}, api_key=key
    )
    assert key not in repr(vars(error))
    assert error.body == {"message": "bad ***", "x": ["***"]}


def test_a_huge_body_is_cut() -> None:
    body = json.dumps({"message": "m" * 100_000, "x": "y" * 100_000}).encode()
    error = status_error(500, body, {})
    assert len(str(error)) < 2200
    assert isinstance(error.body, str)
    assert len(error.body) == 2000
    assert len(error.response.text) == 2000
    assert len(pickle.dumps(error)) < 12_000


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"3", b'"text"', b"[1]"]
)
def test_any_body_makes_an_error(body: bytes) -> None:
    error = status_error(500, body, {})
    assert type(error) is InternalServerError
    assert str(error).startswith("Cerebras answered 500.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_in_each_form(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert status_error(429, b"", headers).retry_after_s == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_a_date_to_wait_for_is_read_as_seconds(zone: str) -> None:
    then = time.strftime("%a, %d %b %Y %H:%M:%S", time.gmtime(time.time() + 30))
    found = status_error(429, b"", {"retry-after": f"{then} {zone}"}).retry_after_s
    assert found is not None
    assert 25 < found <= 30


def test_every_error_class_pickles_with_its_data() -> None:
    partial = AIMessage("Hel", id="x")
    for name in errors.__all__:
        cls = getattr(errors, name)
        if not (isinstance(cls, type) and issubclass(cls, CerebrasError)):
            continue
        error = cls("what happened", partial_message=partial, attempts=3, extra=[1])
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is cls
        assert copy.args == error.args == ("what happened",)
        assert vars(copy) == vars(error)
        assert isinstance(copy, core.ModelError)


# ------------------------------------------------------------- leaving and waiting


@pytest.fixture
def endless() -> Iterator[WireServer]:
    """Send one delta, then keep the connection open and watch the client."""

    def answer(request: Request) -> Iterator[bytes]:
        if request.is_stream:
            yield stream_head()
            yield chunk(ROLE + HE)
        server.asked.set()  # type: ignore[attr-defined]
        server.gone.append(request.wait_gone(10))  # type: ignore[attr-defined]
        server.left.set()  # type: ignore[attr-defined]

    with WireServer(answer) as server:
        server.gone = []  # type: ignore[attr-defined]
        server.asked = threading.Event()  # type: ignore[attr-defined]
        server.left = threading.Event()  # type: ignore[attr-defined]
        yield server


def assert_left(server: WireServer) -> None:
    """The server saw the client go, promptly and by itself."""
    assert server.left.wait(3)  # type: ignore[attr-defined]
    assert server.gone == [True]  # type: ignore[attr-defined]


def test_closing_a_stream_frees_the_connection(endless: WireServer) -> None:
    stream = ChatCerebras(base_url=endless.url).stream("hi")
    assert next(stream).content == "He"
    stream.close()  # type: ignore[attr-defined]
    assert_left(endless)


def test_leaving_a_loop_over_a_stream_frees_the_connection(endless: WireServer) -> None:
    for part in ChatCerebras(base_url=endless.url).stream("hi"):
        assert part.content == "He"
        break
    assert_left(endless)


async def test_closing_an_async_stream_frees_the_connection(
    endless: WireServer,
) -> None:
    stream = ChatCerebras(base_url=endless.url).astream("hi")
    assert (await anext(stream)).content == "He"
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(assert_left, endless)


@pytest.mark.parametrize("path", ["astream", "ainvoke", "av3"])
async def test_cancelling_a_task_frees_the_connection(
    endless: WireServer, path: str
) -> None:
    model = ChatCerebras(base_url=endless.url)

    async def go() -> None:
        if path == "ainvoke":
            await model.ainvoke("hi")
        elif path == "astream":
            async for _ in model.astream("hi"):
                pass
        else:
            stream = await model.astream_events("hi", version="v3")
            async with stream:
                await stream.output

    task = asyncio.create_task(go())
    await asyncio.to_thread(endless.asked.wait, 5)  # type: ignore[attr-defined]
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(assert_left, endless)


def test_a_timeout_around_an_async_stream_frees_the_connection(
    endless: WireServer,
) -> None:
    async def go() -> None:
        async with asyncio.timeout(0.2):
            async for _ in ChatCerebras(base_url=endless.url).astream("hi"):
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(go())
    assert_left(endless)


@contextlib.contextmanager
def interrupted(server: WireServer) -> Iterator[None]:
    """Interrupt the process, as Ctrl-C does, while it waits for the server."""
    over = threading.Event()

    def raise_while_it_lasts(number: int, frame: Any) -> None:
        if not over.is_set():
            raise KeyboardInterrupt

    def press() -> None:
        server.asked.wait(10)  # type: ignore[attr-defined]
        time.sleep(0.1)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    old = signal.signal(signal.SIGINT, raise_while_it_lasts)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize("path", ["invoke", "stream", "v3"])
def test_ctrl_c_while_waiting_frees_the_connection(
    endless: WireServer, path: str
) -> None:
    model = ChatCerebras(base_url=endless.url)
    with interrupted(endless), pytest.raises(KeyboardInterrupt):
        call(path, model)
    assert_left(endless)


def test_an_interrupt_in_a_handler_frees_the_connection(endless: WireServer) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Stop(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ChatCerebras(base_url=endless.url).stream("hi", {"callbacks": [Stop()]}))
    assert_left(endless)


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_silence_within_a_stream_is_a_timeout_with_what_had_arrived(path: str) -> None:
    def answer(request: Request) -> Iterator[bytes]:
        yield from [stream_head(), *map(chunk, BEGUN)]
        request.wait_gone()

    error = failure(path, answer, stream_chunk_timeout=0.2)
    assert type(error) is CerebrasTimeoutError
    assert isinstance(error, core.ModelTimeoutError)
    assert error.kind == "idle"
    assert error.timeout_s == 0.2
    assert error.partial_message is not None
    assert error.partial_message.content == "Hello"


def test_a_connection_serves_stream_after_stream() -> None:
    """A stream that ended well gives its connection back."""
    recordings = [load(name) for name in ("plain_text", "tool_in_fragments")]
    with WireServer(
        lambda r: sse(recordings[len(server.requests) % 2].events)
    ) as server:
        model = ChatCerebras(base_url=server.url)
        for _ in range(4):
            list(model.stream("hi"))
        assert server.connections == 1
        model.close()

        async def go() -> None:
            for _ in range(4):
                async for _ in model.astream("hi"):
                    pass

        asyncio.run(go())
        assert server.connections == 2


def test_a_connection_that_failed_is_not_used_again() -> None:
    recording = load("plain_text")

    def answer(_: Request) -> Iterator[bytes]:
        return sse([*BEGUN, CUT] if len(server.requests) == 1 else recording.events)

    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url)
        with contextlib.suppress(StreamInterruptedError):
            list(model.stream("hi"))
        assert list(model.stream("hi"))[-1].chunk_position == "last"
