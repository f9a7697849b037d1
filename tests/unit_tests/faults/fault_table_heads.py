"""Heads of answers: status lines, headers, and what says where the body ends."""

from __future__ import annotations

from collections.abc import Iterator

from fault_answers import (
    CHUNKED,
    END,
    JSON_TYPE,
    KEY,
    RICH_BODY,
    RICH_STREAM,
    STREAM_TYPE,
    answer,
    chunk,
    flat,
    head,
    length,
    streamed,
)
from fault_case import (
    PLAIN,
    RICH_ANSWER,
    Broken,
    Case,
    case,
    lost,
    refused,
    unreadable,
)
from fault_server import FIN, HOLD

from langchain_cerebras_ext.errors import InternalServerError

LENGTH = length(RICH_BODY)
BROKEN = lost("protocol")


def with_lines(*lines: str, body: bytes = RICH_BODY) -> bytes:
    return head(JSON_TYPE, *lines) + body


def odd_but_legal() -> Iterator[Case]:
    """Heads that no server of ours sends, and any may."""
    rows: list[tuple[str, bytes, bool | None]] = [
        ("no_reason", head(JSON_TYPE, LENGTH, status="200") + RICH_BODY, True),
        ("long_reason", head(JSON_TYPE, LENGTH, status="200 " + "x" * 9000) + RICH_BODY, True),
        ("http_1_0", head(JSON_TYPE, LENGTH, version="HTTP/1.0") + RICH_BODY, False),
        ("http_1_0_kept", head(JSON_TYPE, LENGTH, "Connection: keep-alive", version="HTTP/1.0") + RICH_BODY, True),
        ("connection_close", with_lines(LENGTH, "Connection: close"), False),
        ("bare_line_feeds", with_lines(LENGTH)[: -len(RICH_BODY)].replace(b"\r\n", b"\n") + RICH_BODY, True),
        ("no_blank_after_the_colon", with_lines(LENGTH.replace(": ", ":")), True),
        ("blanks_around_a_value", with_lines(LENGTH.replace(": ", ":   ") + "  \t"), True),
        ("lower_case_names", with_lines(LENGTH.lower()), True),
        ("folded_value", with_lines("X-A: one\r\n\t two", LENGTH), True),
        ("empty_value", with_lines("X-A:", LENGTH), True),
        ("not_ascii_utf_8", with_lines("X-A: h\xc3\xa4", LENGTH), True),
        ("not_ascii_latin_1", with_lines("X-A: h\xe4", LENGTH), True),
        ("repeated_header", with_lines("X-A: 1", "X-A: 2", LENGTH), True),
        ("long_header", with_lines("X-A: " + "x" * 60_000, LENGTH), True),
        ("many_headers", with_lines(*(f"X-{n}: {n}" for n in range(90)), LENGTH), True),
        ("cookie", with_lines("Set-Cookie: a=b", LENGTH), True),
        ("chunked_in_capitals", with_lines("TRANSFER-ENCODING: Chunked", body=chunk(RICH_BODY) + END), True),
        ("continue_first", head(status=100) + with_lines(LENGTH), True),
        ("continue_with_a_length", head("Content-Length: 0", status=100) + with_lines(LENGTH), True),
        ("early_hints_first", head("Link: </x>", status=103) * 3 + with_lines(LENGTH), True),
        ("processing_first", head(status=102) + with_lines(LENGTH), True),
    ]  # fmt: skip
    for name, wire, kept in rows:
        yield case(f"head_{name}", wire, expect=RICH_ANSWER, paths=PLAIN, kept=kept)
    # To the end of the connection, as of old: whole, if it is JSON to its end.
    for name, wire in [
        ("http_1_0", head(JSON_TYPE, version="HTTP/1.0")),
        ("http_1_1", head(JSON_TYPE)),
        ("close", head(JSON_TYPE, "Connection: close")),
    ]:
        yield case(
            f"head_neither_length_nor_chunks_{name}",
            wire + RICH_BODY,
            FIN,
            expect=RICH_ANSWER,
            paths=PLAIN,
            kept=False,
        )
    yield case(
        "head_neither_length_nor_chunks_of_a_stream",
        head(STREAM_TYPE) + RICH_STREAM,
        FIN,
        expect=RICH_ANSWER,
        paths=("stream", "astream"),
        kept=False,
    )
    yield case(
        "head_length_of_a_stream",
        head(STREAM_TYPE, length(RICH_STREAM)) + RICH_STREAM,
        expect=RICH_ANSWER,
        paths=("stream", "astream"),
        kept=True,
    )
    yield case(
        "head_hints_before_a_stream",
        head(status=103) * 2 + streamed(RICH_STREAM),
        expect=RICH_ANSWER,
        paths=("stream", "astream"),
        kept=True,
    )


def framing() -> Iterator[Case]:
    """Where the body ends cannot be told: to guess would be to lose or mix answers."""
    chunks = chunk(RICH_BODY) + END
    rows = [
        ("length_no_number", with_lines("Content-Length: abc")),
        ("length_negative", with_lines("Content-Length: -5")),
        ("length_with_a_plus", with_lines(LENGTH.replace(": ", ": +"))),
        ("length_in_hex", with_lines(f"Content-Length: {len(RICH_BODY):#x}")),
        ("length_empty", with_lines("Content-Length:")),
        ("length_of_no_memory", with_lines("Content-Length: " + "9" * 30)),
        ("length_twice_the_same", with_lines(LENGTH, LENGTH)),
        ("length_twice_another", with_lines(LENGTH, "Content-Length: 5")),
        ("length_as_a_list", with_lines(f"{LENGTH}, {len(RICH_BODY)}")),
        ("length_and_chunks", with_lines(LENGTH, CHUNKED, body=chunks)),
        ("chunks_and_length", with_lines(CHUNKED, "Content-Length: 5", body=chunks)),
        ("unknown_coding", with_lines("Transfer-Encoding: xchunked", body=chunks)),
        ("coding_identity", with_lines("Transfer-Encoding: identity", LENGTH)),
        ("compressed_coding", with_lines("Transfer-Encoding: gzip, chunked", body=chunks)),
        ("chunked_twice", with_lines(CHUNKED, CHUNKED, body=chunks)),
    ]  # fmt: skip
    for name, wire in rows:
        yield case(f"head_{name}", wire, HOLD, expect=BROKEN, paths=PLAIN, kept=False)
    yield case(
        "head_length_too_large",
        with_lines(f"Content-Length: {len(RICH_BODY) + 9}"),
        FIN,
        expect=lost("closed", "before the answer's end"),
        paths=PLAIN,
        kept=False,
    )
    # What is left over must not be the next answer's beginning.
    yield case(
        "head_length_too_small",
        with_lines(f"Content-Length: {len(RICH_BODY) - 9}"),
        expect=unreadable("no answer of the API"),
        paths=PLAIN,
        differs={"ainvoke": BROKEN},
        why="aiohttp refuses what follows, and gives up what came in one piece with it",
        kept=False,
    )


def malformed() -> Iterator[Case]:
    """Heads that are no HTTP."""
    rows = [
        ("line_without_colon", with_lines("nonsense", LENGTH)),
        ("blank_before_colon", with_lines("X-A : 1", LENGTH)),
        ("blank_in_a_name", with_lines("X A: 1", LENGTH)),
        ("no_name", with_lines(": 1", LENGTH)),
        ("name_not_ascii", with_lines("X-\xe4: 1", LENGTH)),
        ("nul_in_a_value", with_lines("X-A: a\0b", LENGTH)),
        ("carriage_return_in_a_value", with_lines("X-A: a\rb", LENGTH)),
        ("header_too_long", with_lines("X-A: " + "x" * 70_000, LENGTH)),
        ("too_many_headers", with_lines(*(f"X-{n}: {n}" for n in range(101)), LENGTH)),
        ("another_protocol", b"220 mail.example ESMTP\r\n"),
        ("lower_case_http", head(JSON_TYPE, LENGTH, version="http/1.1") + RICH_BODY),
        ("http_2", head(JSON_TYPE, LENGTH, version="HTTP/2.0") + RICH_BODY),
        ("http_0_9", RICH_BODY + b"\r\n"),
        ("icy", head(JSON_TYPE, LENGTH, version="ICY") + RICH_BODY),
        ("status_of_four_digits", head(JSON_TYPE, LENGTH, status="2000 OK") + RICH_BODY),
        ("status_of_words", head(JSON_TYPE, LENGTH, status="fine") + RICH_BODY),
        ("status_below_100", head(JSON_TYPE, LENGTH, status="099 OK") + RICH_BODY),
        ("binary", bytes(range(128, 256)) * 4 + b"\r\n\r\n"),
        ("tls_alert", b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n"),
        ("echo_in_the_status_line", f"{KEY} is what you sent\r\n\r\n".encode()),
        ("echo_in_a_header", with_lines(f"what {KEY}", LENGTH)),
        ("echo_as_length", with_lines(f"Content-Length: {KEY}")),
    ]  # fmt: skip
    for name, wire in rows:
        yield case(f"head_{name}", wire, HOLD, expect=BROKEN, paths=PLAIN, kept=False)
    yield case(
        "head_fold_before_any_header",
        head(" X: 1", JSON_TYPE, LENGTH) + RICH_BODY,
        expect=RICH_ANSWER,
        paths=PLAIN,
        differs={"invoke": BROKEN},
        why="http.client has nothing that the line could belong to, aiohttp drops it",
    )
    yield case(
        "head_line_break_first",
        b"\r\n" + with_lines(LENGTH),
        expect=RICH_ANSWER,
        paths=PLAIN,
        differs={"invoke": BROKEN},
        why="http.client wants the status line first, aiohttp takes a line break",
    )
    yield case(
        "head_http_1_2",
        head(JSON_TYPE, LENGTH, version="HTTP/1.2") + RICH_BODY,
        expect=RICH_ANSWER,
        paths=PLAIN,
        differs={"ainvoke": BROKEN},
        why="http.client takes any HTTP/1, aiohttp only those that exist",
    )


def told_by_headers() -> Iterator[Case]:
    """What an error reads from headers, whatever they hold."""
    say = "It broke"

    def broke(**data: object) -> Broken:
        return refused(500, InternalServerError, say, **data)

    body = flat(say)
    rows = [
        ("id", ("Inference-Id: req-7",), "req-7"),
        ("other_id", ("X-Request-Id: req-8",), "req-8"),
        ("both_ids", ("X-Request-Id: req-8", "Inference-Id: req-7"), "req-7"),
        ("repeated_id", ("Inference-Id: a", "Inference-Id: b"), "a, b"),
        ("folded_id", ("Inference-Id: a\r\n b",), "a b"),
        ("id_utf_8", ("Inference-Id: h\xc3\xa4",), "h\xe4"),
        ("id_latin_1", ("Inference-Id: h\xe4",), "h\ufffd"),
    ]
    for name, lines, request_id in rows:
        yield case(
            f"error_with_{name}",
            answer(body, 500, *lines),
            expect=broke(request_id=request_id),
            kept=True,
        )


def all_cases() -> list[Case]:
    return [*odd_but_legal(), *framing(), *malformed(), *told_by_headers()]
