"""Event streams: cut at each kind of event, errors within them, and odd ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fault_answers import (
    ARGS,
    DONE,
    FINISH,
    KEY,
    RICH_ID,
    RICH_STREAM,
    ROLE,
    STREAM_HEAD,
    TEXT,
    TEXT_ON,
    THINK,
    THINK_ON,
    TOOL,
    begun,
    chunk,
    delta,
    ending,
    event,
    flat,
    streamed,
    wrapped,
)
from fault_case import (
    RICH_ANSWER,
    STREAMED,
    Broken,
    Case,
    Partial,
    Whole,
    case,
    cut,
    lost,
    refused,
    unreadable,
)
from fault_server import FIN, byte_by_byte

from langchain_cerebras_ext.errors import (
    AuthenticationError,
    InternalServerError,
    PaymentRequiredError,
    RateLimitError,
)

TWO = ("stream", "astream")
USAGE = (140, 38, 178)
COUNTS = {"prompt_tokens": 140, "completion_tokens": 38, "total_tokens": 178}
NOTHING, THOUGHT = Partial(), Partial(reasoning="I need the")
SOME = Partial("Let me look", "I need the")
BEGUN = (ROLE, THINK, TEXT)
REASONING, SAID = "I need the weather.", "Let me look that up."
WHOLE_CALL = (("get_weather", '{"city":"Paris"}'),)


def cuts_at_each_event() -> Iterator[Case]:
    """A stream ends after each kind of event: by its end, and by the connection's."""
    events = [ROLE, THINK, THINK_ON, TEXT, TEXT_ON, TOOL, ARGS]
    rows = [
        ("role", 1, NOTHING),
        ("reasoning", 2, THOUGHT),
        ("more_reasoning", 3, Partial(reasoning=REASONING)),
        ("text", 4, Partial("Let me look", REASONING)),
        ("more_text", 5, Partial(SAID, REASONING)),
        ("tool_name", 6, Partial(SAID, REASONING, (("get_weather", ""),))),
        ("tool_arguments", 7, Partial(SAID, REASONING, WHOLE_CALL)),
    ]
    for name, count, partial in rows:
        sent = events[:count]
        yield case(
            f"end_after_{name}",
            streamed(*sent),
            expect=cut("without a finish_reason", partial=partial),
            paths=STREAMED,
        )
        yield case(
            f"done_after_{name}",
            streamed(*sent, DONE),
            expect=cut("without a finish_reason", partial=partial),
            paths=TWO,
        )
        yield case(
            f"cut_after_{name}",
            begun(*sent),
            FIN,
            expect=cut("broke off", partial=partial),
            paths=STREAMED,
            kept=False,
        )
    half = b'{"tool_calls":[{"function":{"arguments":"{\\"ci"},"index":0}]}'
    args = b'data: {"choices":[{"delta":' + half + b',"index":0}]}\n\n'
    yield case(
        "cut_in_tool_arguments",
        begun(*events[:6], args),
        FIN,
        expect=cut(
            "broke off", partial=Partial(SAID, REASONING, (("get_weather", '{"ci'),))
        ),
        paths=STREAMED,
        kept=False,
    )


def cuts_around_the_end() -> Iterator[Case]:
    """The finish reason has come: what is still missing decides."""
    text = (ROLE, THINK, TEXT)
    stop = ending()
    counted = event({"id": RICH_ID, "choices": [], "usage": COUNTS})
    bare = Whole("Let me look", "I need the")
    full = Whole("Let me look", "I need the", usage=USAGE)
    # The body ended in order: nothing is missing but what this server never sends.
    yield case("end_after_finish", streamed(*text, stop), expect=bare, paths=STREAMED)
    yield case(
        "end_after_usage", streamed(*text, stop, counted), expect=full, paths=STREAMED
    )
    yield case("finish_with_usage", streamed(*text, ending(usage=COUNTS)), expect=full, paths=TWO)  # fmt: skip
    yield case("end_after_done", streamed(*text, stop, counted, DONE), expect=full, paths=TWO, kept=True)  # fmt: skip
    # The connection broke: the usage may have been lost, and is never guessed.
    yield case(
        "cut_after_finish_before_usage",
        begun(*text, stop),
        FIN,
        expect=cut("broke off", partial=SOME),
        paths=STREAMED,
        kept=False,
    )
    yield case(
        "cut_after_usage_before_done",
        begun(*text, stop, counted),
        FIN,
        expect=cut("broke off", partial=Partial(SOME.text, SOME.reasoning, (), USAGE)),
        paths=STREAMED,
        kept=False,
    )
    # `[DONE]` has come: whatever happens to the connection then, the answer is whole.
    whole = (*text, stop, counted, DONE)
    yield case("cut_after_done", begun(*whole), FIN, expect=full, paths=STREAMED, kept=False)  # fmt: skip
    for name, rest in [
        ("half_done", b"data: [DO"),
        ("done_without_a_line_break", b"data: [DONE]"),
        ("done_without_a_blank_line", b"data: [DONE]\n"),
    ]:
        yield case(
            f"end_in_{name}",
            streamed(*text, stop, counted, rest),
            expect=full,
            paths=TWO,
        )
    yield case(
        "end_in_the_usage",
        streamed(*text, stop, counted[:40]),
        expect=cut("middle of an event", partial=SOME),
        paths=TWO,
    )
    yield case(
        "end_in_the_finish",
        streamed(*text, stop[:-20]),
        expect=cut("middle of an event", partial=SOME),
        paths=TWO,
    )
    yield case(
        "end_in_a_text",
        streamed(*text, TEXT_ON[:-20]),
        expect=cut("middle of an event", partial=SOME),
        paths=STREAMED,
    )
    yield case(
        "end_in_a_character",
        streamed(*text, delta(content="\u20ac")[:-20] + b"\xe2\x82"),
        expect=cut("middle of an event", partial=SOME),
        paths=TWO,
    )


def nothing_came() -> Iterator[Case]:
    """Streams without any part of an answer."""
    none = cut("before the first part", partial=None)
    yield case("no_event", STREAM_HEAD + b"0\r\n\r\n", expect=none, paths=STREAMED)
    yield case("comments_only", streamed(b": hello\n\n" * 3), expect=none, paths=TWO)
    yield case("done_only", streamed(DONE), expect=none, paths=STREAMED)
    yield case("blank_lines_only", streamed(b"\n" * 50), expect=none, paths=TWO)
    yield case("byte_order_mark_only", streamed(b"\xef\xbb\xbf"), expect=none, paths=TWO)  # fmt: skip
    yield case(
        "cut_after_comments",
        begun(b": hello\n\n"),
        FIN,
        expect=lost("closed", "before the answer's end"),
        paths=TWO,
        kept=False,
    )
    yield case(
        "nothing_but_a_finish",
        streamed(ROLE, ending(), DONE),
        expect=Whole(""),
        paths=STREAMED,
    )


ERRORS: list[tuple[str, bytes, Broken]] = [
    ("flat", event(flat("It broke", code="some_code")), refused(500, InternalServerError, "It broke", code="some_code")),
    ("flat_429", event(flat("Tokens per minute limit exceeded", type="too_many_tokens_error", code="token_quota_exceeded")), refused(429, RateLimitError, code="token_quota_exceeded", error_type="too_many_tokens_error", kind="tokens", window="minute")),
    ("flat_with_status", event(flat("It broke", status_code=503)), refused(503, InternalServerError, "It broke")),
    ("flat_short", event({"message": "It broke", "status_code": 503}), refused(503, InternalServerError, "It broke")),
    ("flat_day", event(flat("Tokens per day limit exceeded", code="token_quota_exceeded", status_code=429)), refused(429, RateLimitError, code="token_quota_exceeded", kind="tokens", window="day", retryable=False)),
    ("message_alone", event({"message": "It broke"}), refused(500, InternalServerError, "It broke")),
    ("wrapped", event(wrapped("It broke", 500)), refused(500, InternalServerError, "It broke")),
    ("wrapped_queue", event(wrapped("Busy", 429, code="queue_exceeded")), refused(429, RateLimitError, "Busy", code="queue_exceeded", kind="queue")),
    ("wrapped_401", event(wrapped("Wrong API Key", 401)), refused(401, AuthenticationError, "Wrong API Key")),
    ("without_status", event({"error": flat("It broke")}), refused(500, InternalServerError, "It broke")),
    ("status_as_code", event({"error": {"message": "Pay", "code": 402}}), refused(402, PaymentRequiredError, "Pay", code="402")),
    ("status_as_text", event({"error": flat("Busy"), "status_code": "429"}), refused(429, RateLimitError, "Busy", kind="unknown")),
    ("error_is_text", event({"error": "It broke"}), refused(500, InternalServerError, "It broke")),
    ("detail", event({"detail": "It broke"}), refused(500, InternalServerError, "It broke")),
    ("beside_choices", event({"id": RICH_ID, "choices": [{"delta": {}, "index": 0}], **wrapped("It broke", 500)}), refused(500, InternalServerError, "It broke")),
    ("named", b"event: error\n" + event(wrapped("It broke", 503)), refused(503, InternalServerError, "It broke")),
    ("named_text", b"event: error\ndata: out of order\n\n", refused(500, InternalServerError, "out of order")),
    ("named_nothing", b"event: error\ndata:\n\n", refused(500, InternalServerError)),
    ("named_after_its_data", event(wrapped("It broke", 503))[:-1] + b"event: error\n\n", refused(503, InternalServerError, "It broke")),
    ("echo", event({"error": flat(f"Key {KEY} is so")}), refused(500, InternalServerError, r"\*\*\* is so")),
]  # fmt: skip
"""Error events as the service and its proxies word them; the HTTP status is 200."""

UNREADABLE: list[tuple[str, bytes]] = [
    ("page", b"data: <html>busy</html>\n\n"),
    ("half_json", b'data: {"choices": [\n\n'),
    ("number", b"data: 7\n\n"),
    ("text", b'data: "x"\n\n'),
    ("list", b"data: []\n\n"),
    ("null", b"data: null\n\n"),
    ("wrong_type", b'data: {"choices": "none"}\n\n'),
    ("finish_is_a_number", ending(3)),
    ("usage_is_a_list", ending(usage=[1])),
    ("no_utf_8", b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'),
    ("nul", b"data: \0\n\n"),
    ("nul_in_a_text", b'data: {"choices":[{"delta":{"content":"a\0b"}}]}\n\n'),
    ("half_surrogate", b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n'),
    ("not_a_number", b'data: {"choices":[],"created":NaN}\n\n'),
    ("deep", b"data: " + b"[" * 50_000 + b"\n\n"),
    ("two_objects", b"data: {}{}\n\n"),
    ("echo", f"data: junk {KEY}\n\n".encode()),
]
"""Events that are none of the API's."""


def with_partial(error: Broken, partial: Partial) -> Broken:
    # Once a part of an answer has come, its tokens may have been counted.
    told = {"partial": partial, "request_id": RICH_ID, "billed": None}
    return replace(error, **told)


def error_events() -> Iterator[Case]:
    """Error events first, in the middle and after the finish reason."""
    for name, sent, expect in ERRORS:
        yield case(
            f"error_{name}_first",
            streamed(sent, DONE),
            expect=expect,
            paths=TWO,
        )
        yield case(
            f"error_{name}_in_the_middle",
            streamed(*BEGUN, sent, DONE),
            expect=with_partial(expect, SOME),
            paths=STREAMED if name in {"flat", "wrapped", "named"} else TWO,
        )
    name, sent, expect = ERRORS[0]
    yield case(
        "error_after_the_role",
        streamed(ROLE, sent),
        expect=with_partial(expect, NOTHING),
        paths=TWO,
    )
    yield case(
        "error_in_tool_arguments",
        streamed(ROLE, TOOL, sent),
        expect=with_partial(expect, Partial(tools=(("get_weather", ""),))),
        paths=STREAMED,
    )
    yield case(
        "error_after_the_finish",
        streamed(*BEGUN, ending(), sent, DONE),
        expect=with_partial(expect, SOME),
        paths=STREAMED,
    )
    yield case(
        "error_after_done",
        streamed(*BEGUN, ending(), DONE, sent),
        expect=Whole("Let me look", "I need the"),
        paths=TWO,
    )
    yield case(
        "error_event_cut_in_two",
        *byte_by_byte(streamed(*BEGUN, sent)),
        expect=with_partial(expect, SOME),
        paths=TWO,
    )


def unreadable_events() -> Iterator[Case]:
    for name, sent in UNREADABLE:
        first, later = (
            unreadable("cannot be read"),
            unreadable("cannot be read", partial=SOME),
        )
        yield case(f"junk_{name}_first", streamed(sent), expect=first, paths=TWO)
        yield case(
            f"junk_{name}_in_the_middle",
            streamed(*BEGUN, sent),
            expect=later,
            paths=STREAMED if name in {"page", "echo"} else TWO,
        )
    yield case(
        "junk_after_done",
        streamed(*BEGUN, ending(), DONE, b"data: junk\n\n"),
        expect=Whole("Let me look", "I need the"),
        paths=TWO,
    )


def odd_but_legal() -> Iterator[Case]:
    """Streams that the specification allows, and that no service of ours sends."""
    stream = RICH_STREAM
    rows: list[tuple[str, bytes]] = [
        ("crlf", stream.replace(b"\n", b"\r\n")),
        ("cr", stream.replace(b"\n", b"\r")),
        ("mixed_line_ends", stream.replace(b"\n\n", b"\r\n\n")),
        ("byte_order_mark", b"\xef\xbb\xbf" + stream),
        ("comments", b": hi\n\n" + stream.replace(b"data: ", b": ping\ndata: ")),
        ("empty_comments", stream.replace(b"data: ", b":\ndata: ")),
        ("no_blank_after_the_colon", stream.replace(b"data: ", b"data:")),
        ("other_fields", stream.replace(b"data: ", b"id: 7\nevent: message\nretry: 10\ndata: ")),
        ("unknown_fields", stream.replace(b"data: ", b"foo: bar\nbaz\ndata: ")),
        ("data_in_lines", stream.replace(b'"choices":', b'\ndata: "choices":')),
        ("data_before_its_name", stream.replace(b"}\n\n", b"}\nevent: message\n\n")),
        ("empty_data", ROLE + b"data:\n\n" + b"data\n\n" + stream[len(ROLE):]),
        ("many_blank_lines", stream.replace(b"\n\n", b"\n" * 9)),
        ("no_blank_line_at_the_end", stream[:-1]),
        ("no_line_break_at_the_end", stream[:-2]),
        ("done_twice", stream + DONE),
        ("done_with_blanks", stream.replace(b"[DONE]", b" [DONE] ")),
        ("choices_empty_first", event({"id": RICH_ID, "choices": []}) + stream),
        ("choices_null_first", event({"id": RICH_ID, "choices": None}) + stream),
        ("delta_null", event({"id": RICH_ID, "choices": [{"delta": None, "index": 0}]}) + stream),
        ("another_choice", ROLE + event({"id": RICH_ID, "choices": [{"delta": {"content": "ZZ"}, "index": 1}]}) + stream[len(ROLE):]),
        ("another_choice_beside", ROLE + event({"id": RICH_ID, "choices": [{"delta": {}, "index": 0}, {"delta": {"content": "ZZ"}, "index": 1}]}) + stream[len(ROLE):]),
        ("unknown_keys", stream.replace(b'"choices":', b'"x":{"y":[1]},"choices":')),
        ("blanks_in_json", stream.replace(b'"choices":', b' "choices" : ')),
    ]  # fmt: skip
    for name, body in rows:
        paths = STREAMED if name in {"crlf", "comments"} else TWO
        yield case(f"stream_{name}", streamed(body), expect=RICH_ANSWER, paths=paths)
    yield case(
        "stream_crlf_byte_by_byte",
        *byte_by_byte(streamed(stream.replace(b"\n", b"\r\n"))),
        expect=RICH_ANSWER,
        paths=TWO,
    )
    events = [ROLE, THINK, THINK_ON, TEXT, TEXT_ON, TOOL, ARGS, FINISH, DONE]
    yield case(
        "stream_in_a_chunk_for_each_event",
        STREAM_HEAD,
        *map(chunk, events),
        b"0\r\n\r\n",
        expect=RICH_ANSWER,
        paths=STREAMED,
    )
    finishes = [
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("of_another_time", "some_new_reason"),
    ]
    for name, reason in finishes:
        yield case(
            f"finish_{name}",
            streamed(*BEGUN, ending(reason), DONE),
            expect=Whole("Let me look", "I need the", finish=reason),
            paths=STREAMED,
        )
    yield case(
        "finish_within_tool_arguments",
        streamed(ROLE, TOOL, ending("length"), DONE),
        expect=Whole("", invalid_tools=(("get_weather", None),), finish="length"),
        paths=TWO,
    )
    yield case(
        "text_after_the_finish",
        streamed(*BEGUN, ending(), TEXT_ON, DONE),
        expect=Whole(SAID, "I need the"),
        paths=TWO,
    )
    yield case(
        "content_filtered_without_text",
        streamed(ROLE, ending("content_filter"), DONE),
        expect=Whole("", finish="content_filter"),
        paths=TWO,
    )


TEXT_OF_ALL_SIZES = "a\u00e9\u20ac\U0001f600\u2028\u0085"
"""Characters of one to four bytes, and two that Unicode has for line ends."""


def split_characters() -> Iterator[Case]:
    """A read that ends within a character, at each of its bytes."""
    said = delta(content=TEXT_OF_ALL_SIZES)
    start = said.index("\u00e9".encode())
    end = said.index("\u0085".encode()) + 2
    for at in range(start, end):
        yield case(
            f"split_at_byte_{at - start}",
            STREAM_HEAD + chunk(ROLE + said[:at]),
            chunk(said[at:] + ending() + DONE) + b"0\r\n\r\n",
            expect=Whole(TEXT_OF_ALL_SIZES),
            paths=TWO if (at - start) % 3 else STREAMED,
        )


def all_cases() -> list[Case]:
    return [
        *cuts_at_each_event(),
        *cuts_around_the_end(),
        *nothing_came(),
        *error_events(),
        *unreadable_events(),
        *odd_but_legal(),
        *split_characters(),
    ]
