"""HTTP/1.1 as bytes: any split of an answer gives the same body, or the same fault."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext._http._http1 import (
    MAX_HEAD_BYTES,
    MAX_SIZE_LINE_BYTES,
    Fault,
    HeaderError,
    ResponseParser,
    encode_headers,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def parse(
    *reads: bytes, method: str = "POST", eof: bool = False
) -> tuple[ResponseParser, bytes]:
    parser = ResponseParser(method)
    body = b"".join(parser.feed(read) for read in reads)
    if eof:
        parser.feed_eof()
    return parser, body


WHOLE = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED + chunk(b"hello ") + chunk(b"world") + b"0\r\n\r\n", b"hello world"),
    "extensions": (
        CHUNKED + chunk(b"hello ", b' ;a=1;b="x y"') + chunk(b"world", b";q") + b"0;last\r\n\r\n",
        b"hello world",
    ),
    "trailers": (CHUNKED + chunk(b"x") + b"0\r\nA: 1\r\nB: 2\r\n\r\n", b"x"),
    "upper case size": (CHUNKED + b"000A\r\n" + b"y" * 10 + b"\r\n0\r\n\r\n", b"y" * 10),
    "line ends in a chunk": (CHUNKED + chunk(b"\r\n\r\n0\r\n\r\n") + b"0\r\n\r\n", b"\r\n\r\n0\r\n\r\n"),
    "early hints first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
        b"",
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(b"zipped" * 9, mtime=0))
        + gzip.compress(b"zipped" * 9, mtime=0),
        b"zipped" * 9,
    ),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "chunks win over a length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x") + b"0\r\n\r\n",
        b"x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_every_single_split_gives_the_same_body(name: str) -> None:
    wire, body = WHOLE[name]
    for at in range(len(wire) + 1):
        parser, found = parse(*filter(None, [wire[:at], wire[at:]]))
        assert (found, parser.done, parser.keep_alive) == (body, True, True), at


@pytest.mark.parametrize("name", WHOLE)
def test_byte_by_byte_gives_the_same_body(name: str) -> None:
    wire, body = WHOLE[name]
    parser, found = parse(*(wire[at : at + 1] for at in range(len(wire))))
    assert (found, parser.done, parser.keep_alive) == (body, True, True)


@given(
    st.lists(st.binary(min_size=1, max_size=80), max_size=12),
    st.sampled_from([b"", b";x=1", b" ; y"]),
    st.sampled_from([b"", b"T: 1\r\n"]),
    st.lists(st.integers(0, 2000), max_size=12),
    st.booleans(),
)
def test_any_chunks_in_any_reads_give_the_same_body(
    chunks: list[bytes], extension: bytes, trailer: bytes, cuts: list[int], zipped: bool
) -> None:
    body = b"".join(chunks)
    head = CHUNKED
    if zipped:
        head = CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n"
        whole = gzip.compress(body, mtime=0)
        chunks = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    wire = (
        head
        + b"".join(chunk(data, extension) for data in chunks)
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )
    marks = [0, *sorted({cut % (len(wire) + 1) for cut in cuts}), len(wire)]
    reads = [wire[a:b] for a, b in pairwise(marks) if a < b]
    parser, found = parse(*reads)
    assert found == body
    assert parser.done
    assert parser.keep_alive


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_garbage_is_a_fault_or_waits_and_nothing_else(
    data: bytes, cuts: list[int]
) -> None:
    marks = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    kinds = set[str]()
    for prefix in (b"", CHUNKED):
        parser = ResponseParser("POST")
        try:
            for read in [
                prefix,
                *(data[a:b] for a, b in pairwise(marks)),
            ]:
                if read and not parser.done:
                    parser.feed(read)
            if not parser.done:
                parser.feed_eof()
        except Fault as found:
            kinds.add(found.kind)
    assert kinds <= {"protocol", "closed"}


def test_one_part_of_a_chunk_is_handed_on_before_the_rest() -> None:
    parser, found = parse(CHUNKED, b"a\r\n12345")
    assert found == b"12345"
    assert parser.feed(b"67890\r") == b"67890"
    assert parser.feed(b"\n0\r\n\r\n") == b""
    assert parser.done


def test_what_comes_in_one_read_with_the_head_is_not_lost() -> None:
    parser, found = parse(CHUNKED + chunk(b"first") + b"5")
    assert (found, parser.status) == (b"first", 200)


def test_headers_are_in_lower_case_and_repeated_ones_joined() -> None:
    parser, _ = parse(
        b"HTTP/1.1 200 OK\r\nX-A:1\r\nx-a:  2 \r\nFolded: a\r\n  b\r\nContent-Length: 0\r\n\r\n"
    )
    assert parser.headers == {"x-a": "1, 2", "folded": "a b", "content-length": "0"}


@pytest.mark.parametrize(
    ("wire", "kind", "text"),
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "protocol", "not HTTP/1.1", id="another protocol"),
        pytest.param(b"HTTP/2 200\r\n\r\n", "protocol", "not HTTP/1.1", id="http 2"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", "protocol", "not HTTP/1.1", id="short status"),
        pytest.param(b"HTTP/1.1 101 Up\r\n\r\n", "protocol", "switched", id="switch"),
        pytest.param(b"HTTP/1.1 200 OK\nA: 1\n\nx", "protocol", "not HTTP/1.1", id="bare line feeds"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA b: 1\r\n\r\n", "protocol", "bad header", id="space in a name"),
        pytest.param(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "protocol", "bad header", id="no colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol", "Content-Length", id="negative"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n", "protocol", "Content-Length", id="underscore"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "protocol", "Content-Length", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "protocol", "transfer encoding", id="transfer coding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: br\r\n\r\n", "protocol", "'br'", id="content coding"),
        pytest.param(CHUNKED + b"zz\r\n", "protocol", "size", id="size no number"),
        pytest.param(CHUNKED + b"0x5\r\n", "protocol", "size", id="size with prefix"),
        pytest.param(CHUNKED + b"-5\r\n", "protocol", "size", id="negative size"),
        pytest.param(CHUNKED + b"1_0\r\n", "protocol", "size", id="size with underscore"),
        pytest.param(CHUNKED + b"3\r\nabcX", "protocol", "does not end", id="chunk too long"),
        pytest.param(CHUNKED + b"3\r\nabcXY5\r\n", "protocol", "does not end", id="whole chunk too long"),
        pytest.param(CHUNKED + b"1;" + b"x" * MAX_SIZE_LINE_BYTES, "protocol", "size", id="endless extension"),
        pytest.param(CHUNKED + b"0\r\n" + b"x" * (MAX_HEAD_BYTES + 1), "protocol", "trailer", id="endless trailer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD_BYTES, "protocol", "too long", id="endless head"),
    ],
)  # fmt: skip
def test_what_is_not_http_is_refused(wire: bytes, kind: str, text: str) -> None:
    with pytest.raises(Fault, match=text) as caught:
        parse(wire)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        pytest.param(b"", "without an answer", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: 1\r\n", "inside the answer's head", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r", "inside the answer's head", id="head but one"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "2 bytes before", id="length"),
        pytest.param(CHUNKED, "last chunk", id="no chunk"),
        pytest.param(CHUNKED + b"5\r\nabc", "last chunk", id="inside a chunk"),
        pytest.param(CHUNKED + chunk(b"abc"), "last chunk", id="between chunks"),
        pytest.param(CHUNKED + chunk(b"abc") + b"0\r\n", "last chunk", id="before the last line"),
    ],
)  # fmt: skip
def test_an_answer_cut_anywhere_is_a_fault(wire: bytes, text: str) -> None:
    with pytest.raises(Fault, match=text) as caught:
        parse(*filter(None, [wire]), eof=True)
    assert caught.value.kind == "closed"


def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    parser, found = parse(b"HTTP/1.0 200 OK\r\n\r\nall of it", eof=True)
    assert (found, parser.done, parser.keep_alive) == (b"all of it", True, False)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_kept_as_the_server_says(head: bytes, kept: bool) -> None:
    parser, _ = parse(head + b"Content-Length: 0\r\n\r\n")
    assert parser.keep_alive is kept


@pytest.mark.parametrize("wire", [wire for wire, _ in WHOLE.values()], ids=list(WHOLE))
def test_bytes_after_the_end_spoil_the_connection(wire: bytes) -> None:
    parser, _ = parse(wire + b"HTTP/1.1 200 OK\r\n")
    assert parser.done
    assert parser.excess
    assert not parser.keep_alive


@pytest.mark.parametrize("wrapped", [True, False], ids=["zlib", "raw"])
def test_deflate_is_undone_with_and_without_its_wrapping(wrapped: bool) -> None:
    packer = zlib.compressobj(wbits=15 if wrapped else -15)
    packed = packer.compress(b"deflated") + packer.flush()
    head = CHUNKED[:-2] + b"Content-Encoding: deflate\r\n\r\n"
    _, found = parse(head + chunk(packed) + b"0\r\n\r\n")
    assert found == b"deflated"


def test_gzip_streams_as_it_comes_and_may_have_members() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.flush() + gzip.compress(b"more", mtime=0)
    parser, _ = parse(CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n")
    assert parser.feed(chunk(first)) == b"data: 1\n\n"
    assert parser.feed(chunk(rest) + b"0\r\n\r\n") == b"more"
    assert parser.done


@pytest.mark.parametrize(
    ("packed", "kind"),
    [
        (b"not gzip at all", "protocol"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "closed"),
    ],
    ids=["no gzip", "cut"],
)
def test_broken_gzip_is_a_fault(packed: bytes, kind: str) -> None:
    head = CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    with pytest.raises(Fault) as caught:
        parse(head + chunk(packed) + b"0\r\n\r\n")
    assert caught.value.kind == kind


def test_head_requests_and_304_have_no_body_whatever_the_length_says() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert parse(wire, method="HEAD")[0].done
    assert parse(wire.replace(b"200", b"304"))[0].done


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"a": "x\r\nb: y"}, "'a' holds a line break"),
        ({"a": "x\n y"}, "'a' holds a line break"),
        ({"a": "x\0y"}, "NUL"),
        ({"a b": "x"}, "name 'a b'"),
        ({"": "x"}, "name ''"),
        ({"a": "клю"}, "outside Latin-1"),
    ],
    ids=["line end", "line feed", "nul", "space", "empty", "cyrillic"],
)
def test_headers_that_would_break_the_request_are_refused_without_their_value(
    headers: dict[str, str], text: str
) -> None:
    with pytest.raises(HeaderError, match=text) as caught:
        encode_headers({"ok": "fine", **headers})
    for value in headers.values():
        assert len(value) < 2 or value not in str(caught.value)


def test_a_long_line_in_tiny_reads_takes_linear_time() -> None:
    parser, _ = parse(CHUNKED + b"%x\r\n" % 200_000)
    found = sum(len(parser.feed(b"x")) for _ in range(200_000))
    assert found == 200_000
