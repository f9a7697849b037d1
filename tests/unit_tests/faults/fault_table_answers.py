"""Answers of status 200 that are none, and other statuses that say "here it is"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fault_answers import (
    CHUNKED,
    JSON_TYPE,
    KEY,
    RICH_BODY,
    RICH_ID,
    RICH_RECORDING,
    RICH_STREAM,
    STREAM_TYPE,
    answer,
    chunk,
    flat,
    head,
    streamed,
    without,
    wrapped,
)
from fault_case import (
    PLAIN,
    RICH_ANSWER,
    STREAMED,
    Broken,
    Case,
    Partial,
    Whole,
    case,
    empty,
    refused,
    unreadable,
)
from fault_server import FIN
from wire_server import END

from langchain_cerebras_ext.errors import (
    AuthenticationError,
    CerebrasResponseError,
    CerebrasStatusError,
    InternalServerError,
    PaymentRequiredError,
    RateLimitError,
)

BODY = RICH_RECORDING.body
MESSAGE: dict[str, Any] = BODY["choices"][0]["message"]
USAGE = (140, 38, 178)


def with_choice(**fields: Any) -> dict[str, Any]:
    return {**BODY, "choices": [{**BODY["choices"][0], **fields}]}


def with_message(**fields: Any) -> dict[str, Any]:
    return with_choice(message={"role": "assistant", **fields}, finish_reason="stop")


ERRORS: list[tuple[str, Any, int, type[CerebrasStatusError], dict[str, Any]]] = [
    ("flat", flat("It broke"), 500, InternalServerError, {}),
    ("flat_429", flat("Tokens per minute limit exceeded", type="too_many_tokens_error", code="token_quota_exceeded"), 429, RateLimitError, {"code": "token_quota_exceeded", "error_type": "too_many_tokens_error", "kind": "tokens", "window": "minute"}),
    ("flat_with_status", flat("It broke", status_code=503), 503, InternalServerError, {}),
    ("wrapped", wrapped("It broke", 500), 500, InternalServerError, {}),
    ("wrapped_401", wrapped("Wrong API Key", 401, code="wrong_api_key"), 401, AuthenticationError, {"code": "wrong_api_key"}),
    ("wrapped_without_status", {"error": flat("It broke")}, 500, InternalServerError, {}),
    ("status_as_code", {"error": {"message": "Pay", "code": 402}}, 402, PaymentRequiredError, {"code": "402"}),
    ("error_is_text", {"error": "It broke"}, 500, InternalServerError, {}),
    ("detail", {"detail": "It broke"}, 500, InternalServerError, {}),
    ("message_alone", {"message": "It broke"}, 500, InternalServerError, {}),
    ("echo", {"error": f"It broke with {KEY}"}, 500, InternalServerError, {}),
]  # fmt: skip
"""Errors as the service and its proxies word them under a status of 200."""


def errors_in_a_200() -> Iterator[Case]:
    """The status was 200, the body says otherwise: in a plain answer to either call."""
    for name, body, status, error, data in ERRORS:
        yield case(
            f"200_with_error_{name}",
            answer(body),
            expect=refused(status, error, **data),
            kept=True,
        )


def empty_answers() -> Iterator[Case]:
    """Plain answers in which there is nothing to hand on."""
    rows = [
        ("choices_empty", {**BODY, "choices": []}, "without choices"),
        ("choices_null", {**BODY, "choices": None}, "without choices"),
        ("choices_missing", without(BODY, "choices"), "without choices"),
        ("message_null", with_choice(message=None), "no message"),
        ("message_missing", {**BODY, "choices": [{"index": 0}]}, "no message"),
    ]
    # The tokens were counted, and are told.
    told = {"request_id": RICH_ID, "billed": True, "partial": Partial(usage=USAGE)}
    for name, body, says in rows:
        expect = empty(says, **told)
        wire = answer(body)
        yield case(f"200_{name}", wire, expect=expect, paths=PLAIN, kept=True)
    yield case(
        "200_empty_object",
        answer({}),
        expect=empty("without choices"),
        paths=PLAIN,
        kept=True,
    )


def thin_answers() -> Iterator[Case]:
    """Answers that hold little, and say why: those are whole."""
    usage = USAGE
    rows = [
        ("content_null", with_message(content=None), Whole("", usage=usage)),
        ("content_empty", with_message(content=""), Whole("", usage=usage)),
        ("message_empty", with_choice(message={}, finish_reason="stop"), Whole("", usage=usage)),
        (
            "reasoning_only",
            with_choice(message={"reasoning": "Hm.", "role": "assistant"}, finish_reason="length"),
            Whole("", "Hm.", usage=usage, finish="length"),
        ),
        (
            "content_filtered",
            with_choice(message={"content": "I", "role": "assistant"}, finish_reason="content_filter"),
            Whole("I", usage=usage, finish="content_filter"),
        ),
        (
            "half_arguments",
            with_choice(message={**MESSAGE, "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": '{"a": '}}]}, finish_reason="length"),
            Whole(RICH_ANSWER.text, RICH_ANSWER.reasoning, (), (("f", '{"a": '),), usage, "length"),
        ),
        ("usage_missing", without(BODY, "usage"), Whole(RICH_ANSWER.text, RICH_ANSWER.reasoning, RICH_ANSWER.tools, finish="tool_calls")),
        ("usage_null", {**BODY, "usage": None}, Whole(RICH_ANSWER.text, RICH_ANSWER.reasoning, RICH_ANSWER.tools, finish="tool_calls")),
        ("finish_missing", {**BODY, "choices": [without(BODY["choices"][0], "finish_reason")]}, Whole(RICH_ANSWER.text, RICH_ANSWER.reasoning, RICH_ANSWER.tools, usage=usage, finish=None)),
    ]  # fmt: skip
    for name, body, expect in rows:
        yield case(f"200_{name}", answer(body), expect=expect, paths=PLAIN, kept=True)


def no_answers() -> Iterator[Case]:
    """Bodies that are no JSON of the API's."""
    rows: list[tuple[str, bytes]] = [
        ("nothing", b""),
        ("blank", b" \r\n "),
        ("half", RICH_BODY[:-20]),
        ("half_utf_8", b'{"choices": "\xc3'),
        ("number", b"7"),
        ("list", b"[]"),
        ("null", b"null"),
        ("deep", b"[" * 100_000),
        ("wrong_type", b'{"choices": 3}'),
        ("not_a_number", b'{"choices": [], "created": NaN}'),
        ("two", RICH_BODY + RICH_BODY),
        ("half_surrogate", b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
        ("raw_line_break", b'{"choices": [{"message": {"content": "a\nb"}}]}'),
        ("byte_order_mark", b"\xef\xbb\xbf" + RICH_BODY),
        ("utf_16", RICH_BODY.decode().encode("utf-16")),
        ("binary", bytes(range(256))),
        ("echo", f"junk {KEY}".encode()),
    ]
    for name, body in rows:
        yield case(
            f"200_no_json_{name}",
            answer(body, 200, "Inference-Id: req-7"),
            expect=unreadable("no answer of the API", request_id="req-7"),
            paths=PLAIN,
            kept=True,
        )


PAGE = b"<html><title>Log in</title>" + b"x" * 9_000 + b"</html>"


def wrong_types() -> Iterator[Case]:
    """Content of another type: a page, a stream where none was asked for, and so on."""
    never = {"retryable": False}
    for name, kind in [
        ("html", "Content-Type: text/html"),
        ("text", "Content-Type: text/plain"),
        ("none", "X: y"),
    ]:
        yield case(
            f"200_page_as_{name}",
            answer(PAGE, kind=kind),
            expect=unreadable("Log in", "base_url", **never),
            kept=True,
        )
    # What is JSON of the API's is taken, whatever it is called.
    for name, kind in [
        ("no_type", "X: y"),
        ("text", "Content-Type: text/plain"),
        ("other_charset", "Content-Type: application/json; charset=latin-1"),
        ("upper_case", "CONTENT-TYPE: APPLICATION/JSON"),
    ]:
        wire = answer(RICH_BODY, kind=kind)
        expect = RICH_ANSWER
        yield case(f"200_json_as_{name}", wire, expect=expect, paths=PLAIN, kept=True)
    yield case(
        "200_stream_for_a_plain_call",
        streamed(RICH_STREAM),
        expect=unreadable("text/event-stream", **never),
        paths=PLAIN,
        kept=True,
    )
    yield case(
        "200_plain_for_a_stream",
        answer(RICH_BODY),
        expect=unreadable("application/json", "disable_streaming=True", **never),
        paths=STREAMED,
        kept=True,
    )
    # A stream is only taken for one if it says so.
    for name, kind in [
        ("no_type", "X: y"),
        ("text", "Content-Type: text/plain"),
        ("bytes", "Content-Type: application/octet-stream"),
        ("json_lines", "Content-Type: application/x-ndjson"),
    ]:
        yield case(
            f"200_stream_as_{name}",
            head(kind, CHUNKED) + chunk(RICH_STREAM) + END,
            expect=Broken(CerebrasResponseError, retryable="json" in kind),
            paths=("stream", "astream"),
            kept=True,
        )
    for name, kind in [
        ("upper_case", "Content-Type: TEXT/Event-Stream"),
        ("charset", "Content-Type: text/event-stream;charset=UTF-8"),
        ("twice", f"{STREAM_TYPE}\r\n{STREAM_TYPE}"),
    ]:
        yield case(
            f"200_stream_as_{name}",
            head(kind, CHUNKED) + chunk(RICH_STREAM) + END,
            expect=RICH_ANSWER,
            paths=("stream", "astream"),
            kept=True,
        )


def not_followed(status: int) -> Broken:
    return Broken(CerebrasResponseError, (f"answered {status}",), billed=False)


def other_statuses() -> Iterator[Case]:
    """Statuses below 400 that are not 200."""
    for status in (201, 202, 203):
        yield case(
            f"{status}_with_an_answer",
            answer(RICH_BODY, status),
            expect=RICH_ANSWER,
            paths=PLAIN,
            kept=True,
        )
    yield case(
        "204",
        head(status=204),
        expect=Broken(CerebrasResponseError, ("204",)),
        kept=True,
    )
    yield case(
        "205",
        head("Content-Length: 0", status=205),
        expect=Broken(CerebrasResponseError, ("205",)),
        kept=True,
    )
    for status in (300, 304, 305):
        yield case(
            f"{status}_without_a_place",
            head(
                JSON_TYPE,
                *(() if status == 304 else ("Content-Length: 0",)),
                status=status,
            ),
            expect=not_followed(status),
            kept=True,
        )
    yield case(
        "101",
        head("Connection: upgrade", "Upgrade: websocket", status=101),
        FIN,
        expect=not_followed(101),
        kept=False,
    )


def all_cases() -> list[Case]:
    return [
        *errors_in_a_200(),
        *empty_answers(),
        *thin_answers(),
        *no_answers(),
        *wrong_types(),
        *other_statuses(),
    ]
