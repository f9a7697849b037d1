"""Chunked bodies, however they are cut into reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext._http._chunked import ChunkedBodyError, ChunkedDecoder

PIECES = st.lists(st.binary(min_size=1, max_size=40) | st.just(b"\r\n"), max_size=12)
EXTENSIONS = st.sampled_from([b"", b";a", b';name="v"', b" ;x=1"])
TRAILERS = st.sampled_from([b"", b"x-sum: 1\r\n", b"a: b\r\nc: d\r\n"])


def encoded(
    pieces: list[bytes], extension: bytes = b"", trailers: bytes = b""
) -> bytes:
    chunks = [b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces]
    return b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


@given(
    PIECES, EXTENSIONS, TRAILERS, st.lists(st.integers(0, 400)), st.binary(max_size=9)
)
def test_any_split_gives_the_data(pieces, extension, trailers, cuts, after) -> None:
    body = encoded(pieces, extension, trailers)
    decoder, found, at = ChunkedDecoder(), [], 0
    for cut in [*sorted(c for c in cuts if c <= len(body)), len(body)]:
        found.append(decoder.feed(body[at:cut]))
        at = cut
    assert b"".join(found) == b"".join(pieces)
    assert decoder.done
    assert decoder.rest == b""
    decoder = ChunkedDecoder()
    decoder.feed(body + after)
    assert decoder.rest == after


def test_the_data_of_an_unfinished_chunk_is_not_held_back() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"a\r\n01234") == b"01234"
    assert decoder.feed(b"56789\r") == b"56789"
    assert decoder.feed(b"\n0\r\n") == b""
    assert not decoder.done
    assert decoder.feed(b"\r\n") == b""
    assert decoder.done


@pytest.mark.parametrize(
    "body",
    [b"+5\r\n", b"0x5\r\n", b"1_0\r\n", b"\r\n", b" 5\r\n", b"g\r\n", b"2\r\nabcd"],
)
def test_a_wrong_size_or_end_is_refused(body: bytes) -> None:
    with pytest.raises(ChunkedBodyError):
        ChunkedDecoder().feed(body)


@pytest.mark.parametrize(
    "body",
    [b"+", b"5g", b'{"a": 1}', b"f" * 16, b"f" * 16 + b"\r\n", b"5 5;"],
)
def test_a_wrong_size_is_refused_before_its_line_ends(body: bytes) -> None:
    """The rest of it may never come."""
    with pytest.raises(ChunkedBodyError):
        ChunkedDecoder().feed(body)


@pytest.mark.parametrize(
    "size", [b"5 ", b"5\t", b"0005", b"5;", b"5 ;a=1", b"0" * 40 + b"5"]
)
def test_a_size_may_have_zeros_blanks_and_extensions(size: bytes) -> None:
    body = size + b"\r\nhello\r\n0\r\n\r\n"
    for step in (1, 2, len(body)):
        decoder = ChunkedDecoder()
        parts = [decoder.feed(body[at : at + step]) for at in range(0, len(body), step)]
        assert b"".join(parts) == b"hello"
        assert decoder.done


def test_a_size_that_does_not_end_is_refused() -> None:
    with pytest.raises(ChunkedBodyError):
        ChunkedDecoder().feed(b"1;" + b"x" * 100_000)
