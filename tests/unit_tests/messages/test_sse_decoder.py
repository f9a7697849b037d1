"""Bytes of an event stream to payloads, whatever the reads cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splits import pieces_of

from langchain_cerebras_ext.wire import _sse
from langchain_cerebras_ext.wire._sse import (
    ErrorPayload,
    EventTooLargeError,
    SSEDecoder,
)


def decode(pieces: list[bytes]) -> list[bytes]:
    decoder = SSEDecoder()
    found = [payload for piece in pieces for payload in decoder.feed(piece)]
    return found + decoder.finish()


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        pytest.param(
            b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"], id="several_lines"
        ),
        pytest.param(
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
            b"data:  third event\n\n",
            [b"first event", b"second event", b" third event"],
            id="comment_ids_and_one_space",
        ),
        pytest.param(
            b"data\n\ndata\ndata\n\ndata:", [b"", b"\n", b""], id="data_without_colon"
        ),
        pytest.param(b"data:test\n\ndata: test\n\n", [b"test", b"test"], id="space"),
        pytest.param(
            b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
            [b"73857293", b"2153"],
            id="named_events",
        ),
    ],
)
def test_examples_of_the_specification(stream: bytes, payloads: list[bytes]) -> None:
    assert decode([stream]) == payloads


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"\n\n\n\n", [], id="empty_lines"),
        pytest.param(b": only a comment\n\n", [], id="comment"),
        pytest.param(b"event: ping\n\n", [], id="no_data"),
        pytest.param(b"retry: 10\nid: 7\n\n", [], id="other_fields"),
        pytest.param(
            b"data: a\n\n\n\ndata: b\n\n\n", [b"a", b"b"], id="more_empty_lines"
        ),
        pytest.param(b": c\ndata: a\n\n", [b"a"], id="comment_before_data"),
        pytest.param(b"data: a\n: c\n\n", [b"a"], id="comment_after_data"),
        pytest.param(b"Data: a\n\nDATA: b\n\n", [], id="field_names_have_case"),
        pytest.param(b" data: a\n\n", [], id="leading_space_is_another_field"),
        pytest.param(b"data: a: b\n\n", [b"a: b"], id="colon_in_the_value"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte_order_mark"),
        pytest.param(
            b"data: a\n\n\xef\xbb\xbfdata: b\n\n",
            [b"a"],
            id="mark_in_the_middle_is_text",
        ),
        pytest.param(b"data: [DONE]\n", [b"[DONE]"], id="end_without_empty_line"),
        pytest.param(b"data: [DONE]", [b"[DONE]"], id="end_without_line_end"),
    ],
)
def test_payloads_of_a_stream(stream: bytes, payloads: list[bytes]) -> None:
    assert decode([stream]) == payloads
    assert decode([bytes([byte]) for byte in stream]) == payloads


@pytest.mark.parametrize(
    "separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"]
)
def test_only_lf_and_cr_end_a_line(separator: str) -> None:
    payload = f'{{"content":"a{separator}{separator}b"}}'.encode()
    assert decode([b"data: " + payload + b"\n\n"]) == [payload]


FRAMES = (
    ": hi\n\n"
    'data: {"a":1}\n\n'
    "data: two\ndata: lines\n\n"
    "event: error\ndata: ünï\n\n"
    "data: {}\n\n\n"
    "data: [DONE]\n\n"
)
PAYLOADS = [b'{"a":1}', b"two\nlines", "ünï".encode(), b"{}", b"[DONE]"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_split_point_gives_the_same_payloads(end: bytes) -> None:
    stream = FRAMES.encode().replace(b"\n", end)
    for first in range(len(stream) + 1):
        assert decode([stream[:first], stream[first:]]) == PAYLOADS
        for second in range(first, min(first + 6, len(stream)) + 1):
            pieces = [stream[:first], stream[first:second], stream[second:]]
            assert decode(pieces) == PAYLOADS, pieces


@given(data=st.data())
def test_any_split_and_any_mix_of_line_ends_gives_the_same_payloads(
    data: st.DataObject,
) -> None:
    lines = FRAMES.split("\n")
    ends = data.draw(
        st.lists(
            st.sampled_from(["\n", "\r\n", "\r"]),
            min_size=len(lines) - 1,
            max_size=len(lines) - 1,
        )
    )
    text = "".join(map("".join, zip(lines, [*ends, ""], strict=True)))
    # A drawn CR before a drawn LF is one line end, by the specification.
    expected = decode([text.replace("\r\n", "\n").replace("\r", "\n").encode()])
    assert decode(data.draw(pieces_of(text.encode()))) == expected


@given(data=st.data())
def test_no_bytes_at_all_break_the_decoder(data: st.DataObject) -> None:
    stream = data.draw(
        st.lists(
            st.sampled_from(
                [b"data", b":", b" ", b"\n", b"\r", b"x", b"\xff", b"event"]
            )
        ).map(b"".join)
    )
    assert decode(data.draw(pieces_of(stream))) == decode([stream])


def test_a_line_end_in_three_reads_is_not_two() -> None:
    """CR, LF, LF: a CRLF and an empty line, however they come."""
    assert decode([b"data: a\r", b"\n", b"\n", b"data: b\n\n"]) == [b"a", b"b"]
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == [b"a"]


def test_an_event_that_ends_in_cr_does_not_wait_for_the_next_read() -> None:
    assert SSEDecoder().feed(b"data: a\r\r") == [b"a"]
    assert SSEDecoder().feed(b"data: a\r\n\r") == [b"a"]


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_byte_order_mark_in_two_reads_is_dropped(cut: int) -> None:
    stream = b"\xef\xbb\xbfdata: a\n\n"
    assert decode([stream[:cut], stream[cut:]]) == [b"a"]
    assert decode([b"", stream[:cut], b"", stream[cut:]]) == [b"a"]


def test_payload_of_an_error_event_says_so() -> None:
    found = decode(
        [b"event: error\ndata: bad\n\nevent: errors\ndata: x\n\ndata: y\n\n"]
    )
    assert [type(payload) for payload in found] == [ErrorPayload, bytes, bytes]
    assert found == [b"bad", b"x", b"y"]


class _CountingBuffer(bytearray):
    """Counts the bytes that searches look at."""

    looked_at = 0

    def rfind(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]
        type(self).looked_at += len(self) - start
        return super().rfind(sub, start)


def test_one_long_line_in_tiny_pieces_costs_linear_work() -> None:
    size = 20_000
    _CountingBuffer.looked_at = 0
    decoder = SSEDecoder()
    decoder._buffer = _CountingBuffer(b"d")
    decoder._searched = 1
    decoder._started = True
    for piece in [b"ata: ", *[b"x"] * size]:
        assert decoder.feed(piece) == []
    assert decoder.feed(b"\n\n") == [b"x" * size]
    assert _CountingBuffer.looked_at < 3 * size


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sse, "MAX_EVENT_BYTES", 1000)
    decoder = SSEDecoder()
    with pytest.raises(EventTooLargeError, match="exceeds 1000 bytes"):
        for _ in range(100):
            decoder.feed(b"data: " + b"x" * 100)
