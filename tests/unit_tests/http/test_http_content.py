"""Compressed bodies, however they are cut into reads, and heads that are ambiguous."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splits import pieces_of

from langchain_cerebras_ext._http import Timeouts
from langchain_cerebras_ext._http._content import find_decoder
from langchain_cerebras_ext._http._errors import Fault
from langchain_cerebras_ext._http._headers import check_framing, join_headers

if TYPE_CHECKING:
    from conftest import Client, Peer, Server

TEXT = b"compressed " * 40


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress(TEXT, mtime=0)),
    "members": ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    "zlib": ("deflate", deflated(TEXT, 15)),
    "raw": ("deflate", deflated(TEXT, -15)),
}


def decoded(encoding: str, parts: list[bytes]) -> bytes:
    decoder = find_decoder(encoding)
    assert decoder is not None
    found = [piece for part in parts for piece in decoder.feed(part)]
    decoder.finish()
    return b"".join(found)


@given(data=st.data(), name=st.sampled_from(sorted(PACKED)))
def test_any_split_gives_the_content(data: st.DataObject, name: str) -> None:
    encoding, packed = PACKED[name]
    assert decoded(encoding, data.draw(pieces_of(packed))) == TEXT


@pytest.mark.parametrize("name", PACKED)
def test_a_body_that_is_cut_anywhere_is_not_whole(name: str) -> None:
    encoding, packed = PACKED[name]
    first = len(gzip.compress(TEXT[:99])) if name == "members" else 0
    for at in range(1, len(packed)):
        if at == first:  # one member is a whole body as well
            continue
        with pytest.raises(Fault) as caught:
            decoded(encoding, [packed[:at]])
        assert caught.value.kind == "closed"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", TEXT),
        ("deflate", b"\xff" * 9),
        ("gzip", PACKED["gzip"][1] + b"junk"),
        ("deflate", PACKED["zlib"][1] + b"junk"),
    ],
    ids=["no_gzip", "no_deflate", "gzip_and_junk", "zlib_and_junk"],
)
def test_what_is_not_compressed_as_said_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(Fault, match="not compressed as its header says") as caught:
        decoded(encoding, [body])
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "encoding", [None, "", "identity", "Identity, identity", " , "]
)
def test_there_may_be_nothing_to_undo(encoding: str | None) -> None:
    assert find_decoder(encoding) is None


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip, br", "snappy"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(Fault, match="not asked for"):
        find_decoder(encoding)


def test_no_body_at_all_is_whole() -> None:
    assert decoded("gzip", []) == b""


def test_a_bomb_goes_off_in_small_pieces() -> None:
    """A hundred megabytes of nothing never stand in the memory at once."""
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    decoder = find_decoder("gzip")
    assert decoder is not None
    tracemalloc.start()
    sizes = [len(piece) for piece in decoder.feed(bomb)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == 100_000_000
    assert max(sizes) <= 1 << 20
    assert peak < 10_000_000


# ---------------------------------------------------------------------------- heads


@pytest.mark.parametrize(
    ("lengths", "codings"),
    [
        ([], []),
        (["0"], []),
        ([" 12\t"], []),
        (["000000000000000012"], []),
        ([], ["chunked"]),
        ([], [" Chunked "]),
    ],
)
def test_an_answer_whose_end_is_told_is_taken(
    lengths: list[str], codings: list[str]
) -> None:
    check_framing(lengths, codings)


@pytest.mark.parametrize(
    ("lengths", "codings"),
    [
        ([""], []),
        (["-1"], []),
        (["+1"], []),
        (["1.0"], []),
        (["0x1"], []),
        (["1_0"], []),
        (["\u0661"], []),
        (["1, 1"], []),
        (["1", "1"], []),
        (["1" * 19], []),
        (["1"], ["chunked"]),
        (["1"], ["identity"]),
        ([], ["identity"]),
        ([], [""]),
        ([], ["gzip, chunked"]),
        ([], ["chunked", "chunked"]),
        ([], ["xchunked"]),
    ],
)
def test_an_answer_whose_end_cannot_be_told_is_refused(
    lengths: list[str], codings: list[str]
) -> None:
    with pytest.raises(Fault) as caught:
        check_framing(lengths, codings)
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b" blanks \t", "blanks"),
        (b"one\r\n two\n\tthree", "one two three"),
        ("h\u00e4".encode(), "h\u00e4"),
        (b"h\xe4", "h\ufffd"),
        ("h\u00e4".encode("latin-1") + "\u20ac".encode(), "h\ufffd\u20ac"),
    ],
)
def test_a_header_is_the_same_text_whoever_has_read_it(
    raw: bytes, text: str, encoding: str
) -> None:
    """http.client reads Latin-1, aiohttp UTF-8 with surrogates for what is none."""
    errors = "strict" if encoding == "latin-1" else "surrogateescape"
    given_ = raw.decode(encoding, errors)
    found = join_headers([("X-A", given_), ("x-a", "more")], encoding)
    assert found == {"x-a": f"{text}, more"}


def test_a_long_fold_costs_no_more_than_its_length() -> None:
    value = (" " * 30_000 + "x\n") * 2
    assert join_headers([("a", value)]) == {"a": "x x"}


# ------------------------------------------------------- bodies that only explain


def serving(*pieces: bytes, then: str) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        for piece in pieces:
            peer.send(piece)
        if then == "stay" and peer.wait_gone():
            server.event("gone").set()

    return handler


ERROR = b"HTTP/1.1 500 Any\r\nContent-Length: 50\r\n\r\n"


@pytest.mark.parametrize("then", ["close", "stay"])
def test_of_an_error_what_comes_is_read(
    client: Client, serve: Callable[..., Server], then: str
) -> None:
    server = serve(serving(ERROR + b"half of it", then=then))
    answer = client.send(server.url, timeouts=Timeouts(read_s=0.3))
    assert (answer.status, answer.read()) == (500, b"half of it")
    assert then == "close" or server.event("gone").wait(5)


def test_an_error_without_an_end_is_read_to_a_bound(
    client: Client, serve: Callable[..., Server]
) -> None:
    head = b"HTTP/1.1 500 Any\r\nContent-Length: 9000000\r\n\r\n"
    server = serve(serving(head + b"x" * 3_000_000, then="stay"))
    answer = client.send(server.url)
    assert answer.read() == b"x" * (1 << 20)
    assert server.event("gone").wait(5)


def test_any_body_may_be_read_for_what_comes_of_it(
    client: Client, serve: Callable[..., Server]
) -> None:
    head = b"HTTP/1.1 200 Any\r\nContent-Length: 50\r\n\r\n"
    server = serve(serving(head + b"half of it", then="stay"))
    answer = client.send(server.url)
    found = answer.response.read_what_comes(within_s=0.2, max_bytes=4)
    assert (client._runner.run(found) if client._runner else found) == b"half"
    assert server.event("gone").wait(5)
