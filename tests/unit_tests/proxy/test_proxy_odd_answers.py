"""Compressed answers, and events over several lines, in whatever pieces they come."""

from __future__ import annotations

import json
import zlib

import pytest

from langchain_cerebras_ext.proxy.tap import StreamTap
from langchain_cerebras_ext.proxy.unpack import Unpacker, unpacker

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
TEXT = "Grüße aus dem Süden. " * 40


def pack(data: bytes, bits: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("bits", [31, 15], ids=["gzip", "deflate"])
def test_what_was_packed_is_unpacked_in_any_pieces(bits: int, size: int) -> None:
    data = pack(TEXT.encode(), bits)
    side = Unpacker()
    pieces = [side.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join(pieces).decode() == TEXT
    assert not side.is_lost


def test_members_follow_each_other() -> None:
    assert Unpacker().feed(pack(b"one ") + pack(b"two")) == b"one two"


def test_a_flushed_part_can_be_read_at_once() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"Hel") + packer.flush(zlib.Z_SYNC_FLUSH)
    assert Unpacker().feed(first) == b"Hel"


def test_damage_is_told_and_the_rest_is_passed_over() -> None:
    side = Unpacker()
    side.feed(b"this is not packed")
    assert side.is_lost
    assert side.feed(pack(b"more")) == b""


def test_what_grows_beyond_measure_is_given_up() -> None:
    side = Unpacker()
    assert len(side.feed(pack(b" " * 20_000_000))) <= 1024 * 1024
    assert side.is_lost


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, br", b""])
def test_other_encodings_are_not_read(encoding: bytes) -> None:
    assert unpacker(encoding) is None


def over_lines(*events: object, end: bytes) -> bytes:
    """Write events over several lines of data, as SSE allows."""
    found = b""
    for one in events:
        for line in json.dumps(one, indent=1).encode().split(b"\n"):
            found += b"data: " + line + end
        found += end
    return found + b"data: [DONE]" + end + end


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_events_over_several_lines_are_read(end: bytes, size: int) -> None:
    deltas = [
        {"id": "x", "choices": [{"delta": {"content": text}}]}
        for text in ("Hel", "lo.")
    ]
    last = {"id": "x", "model": "m", "choices": [], "usage": USAGE}
    data = over_lines(*deltas, last, end=end)
    tap = StreamTap()
    for at in range(0, len(data), size):
        tap.feed(data[at : at + size])
    tap.finish()
    assert not tap.is_unreadable
    assert (tap.usage, tap.model, tap.id) == (USAGE, "m", "x")
    assert (tap.events, tap.answer_chars) == (3, 6)
    assert (tap.has_content, tap.is_done, tap.has_ended) == (True, True, True)


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_half_an_event_does_not_hide_the_next_one(size: int) -> None:
    good = json.dumps({"id": "x", "choices": [], "usage": USAGE}).encode()
    data = b'data: {"id":\n\ndata: ' + good + b"\n\ndata: [DONE]\n\n"
    tap = StreamTap()
    for at in range(0, len(data), size):
        tap.feed(data[at : at + size])
    tap.finish()
    assert tap.is_unreadable
    assert (tap.usage, tap.events) == (USAGE, 2)
