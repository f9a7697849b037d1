"""Bodies cut at each phase, in order and by a reset, and bodies that are compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from fault_answers import (
    CHUNKED,
    END,
    JSON_TYPE,
    RICH_BODY,
    RICH_STREAM,
    ROLE,
    STREAM_HEAD,
    STREAM_TYPE,
    TEXT,
    THINK,
    answer,
    begun,
    chunk,
    head,
    length,
)
from fault_case import (
    PLAIN,
    RICH_ANSWER,
    STREAMED,
    Case,
    Partial,
    case,
    cut,
    lost,
)
from fault_server import FIN, HOLD, RST, SEEN, byte_by_byte

LENGTH = length(RICH_BODY)
CHUNK_HEAD = head(JSON_TYPE, CHUNKED)
HALF = len(RICH_BODY) // 2
TWO = ("stream", "astream")


def cuts_before_the_body() -> Iterator[Case]:
    """The connection ends before anything of the body has come, for every call alike."""
    rows = [
        ("before_the_status_line", b"", "without an answer"),
        ("in_the_status_line", b"HTTP/1.1 20", "inside the headers"),
        ("after_the_status_line", b"HTTP/1.1 200 OK\r\n", "inside the headers"),
        ("in_a_header", b"HTTP/1.1 200 OK\r\nContent-Le", "inside the headers"),
        ("after_a_header", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", "inside the headers"),
        ("before_the_last_line_feed", head(JSON_TYPE, LENGTH)[:-1], "inside the headers"),
        ("after_early_hints", head(status=103), "without an answer|inside the headers"),
    ]  # fmt: skip
    for name, wire, says in rows:
        # An answer that never began may have been billed all the same: nobody knows.
        yield case(
            f"cut_{name}",
            *([wire] if wire else []),
            FIN,
            expect=lost("closed", says),
            kept=False,
        )
        yield case(
            f"reset_{name}",
            *([wire] if wire else []),
            RST,
            expect=lost("reset"),
            kept=False,
        )


def cuts_in_a_plain_body() -> Iterator[Case]:
    """The connection ends within a plain answer: none of it is handed on."""
    chunked = chunk(RICH_BODY)
    rows = [
        ("after_the_headers", head(JSON_TYPE, LENGTH)),
        ("in_the_body", head(JSON_TYPE, LENGTH) + RICH_BODY[:HALF]),
        ("one_byte_before_the_end", head(JSON_TYPE, LENGTH) + RICH_BODY[:-1]),
        ("after_the_headers_of_chunks", CHUNK_HEAD),
        ("in_a_chunk_size", CHUNK_HEAD + chunked[:2]),
        ("after_a_chunk_size", CHUNK_HEAD + chunked[: chunked.index(b"\r\n") + 2]),
        ("in_a_chunk", CHUNK_HEAD + chunked[:HALF]),
        ("in_the_end_of_a_chunk", CHUNK_HEAD + chunked[:-1]),
        ("before_the_last_chunk", CHUNK_HEAD + chunked),
        ("in_the_last_chunk", CHUNK_HEAD + chunked + b"0\r\n"),
        ("in_a_trailer", CHUNK_HEAD + chunked + b"0\r\nX-A: 1\r\n"),
    ]
    for name, wire in rows:
        yield case(
            f"cut_{name}",
            wire,
            FIN,
            expect=lost("closed", "before the answer's end"),
            paths=PLAIN,
            kept=False,
        )
    for name, wire in [rows[1], rows[6], rows[8]]:
        yield case(
            f"reset_{name}",
            wire,
            RST,
            expect=lost("reset"),
            paths=PLAIN,
            kept=False,
        )
    for name, wire in [
        ("chunk_size_no_number", CHUNK_HEAD + b"zz\r\n" + chunked),
        ("chunk_size_negative", CHUNK_HEAD + b"-5\r\n" + chunked),
        ("chunk_size_of_no_memory", CHUNK_HEAD + b"f" * 40 + b"\r\n"),
        ("chunk_longer_than_it_says", CHUNK_HEAD + b"5\r\n" + RICH_BODY + b"\r\n"),
        ("no_chunk_at_all", CHUNK_HEAD + RICH_BODY),
    ]:
        yield case(name, wire, HOLD, expect=lost("protocol"), paths=PLAIN, kept=False)


def cuts_in_the_body_of_a_stream() -> Iterator[Case]:
    """The connection ends within a stream: what came is on the error."""
    text = Partial("Let me look", "I need the")
    sent = ROLE + THINK + TEXT
    more = chunk(TEXT)
    rows = [
        ("in_a_chunk_size", more[:2]),
        ("after_a_chunk_size", more[: more.index(b"\r\n") + 2]),
        ("in_a_chunk", more[:40]),
        ("before_the_last_chunk", b""),
        ("in_the_last_chunk", b"0\r\n"),
        ("in_a_trailer", b"0\r\nX-A: 1\r\n"),
    ]
    for name, wire in rows:
        yield case(
            f"stream_cut_{name}",
            begun(sent) + wire,
            FIN,
            expect=cut("broke off", partial=text),
            paths=STREAMED if name == "before_the_last_chunk" else TWO,
            kept=False,
        )
    yield case(
        "stream_reset",
        begun(sent),
        SEEN,
        RST,
        expect=cut("broke off", partial=text),
        paths=STREAMED,
        kept=False,
    )
    yield case(
        "stream_cut_after_the_headers",
        STREAM_HEAD,
        FIN,
        expect=lost("closed"),
        paths=TWO,
        kept=False,
    )
    length_of_more = length(sent + TEXT)
    yield case(
        "stream_cut_before_its_length",
        head(STREAM_TYPE, length_of_more) + sent,
        FIN,
        expect=cut("broke off", partial=text),
        paths=TWO,
        kept=False,
    )
    yield case(
        "stream_cut_without_a_length",
        head(STREAM_TYPE) + sent,
        FIN,
        expect=cut("without a finish_reason", partial=text),
        paths=TWO,
        kept=False,
    )
    for name, wire in [("size", b"zz\r\n"), ("end", b"5\r\n1234567\r\n")]:
        yield case(
            f"stream_with_a_wrong_chunk_{name}",
            begun(sent),
            SEEN,
            wire,
            HOLD,
            expect=cut("broke off", partial=text),
            paths=TWO,
            kept=False,
        )


def odd_but_legal() -> Iterator[Case]:
    """Chunks of any size, with extensions and trailers, in pieces of any size."""
    pieces = [RICH_BODY[at : at + 7] for at in range(0, len(RICH_BODY), 7)]
    rows = [
        ("many_chunks", b"".join(map(chunk, pieces)) + END),
        ("extensions", b'%x;a=1;b="x y"\r\n%s\r\n0;last\r\n\r\n' % (len(RICH_BODY), RICH_BODY)),
        ("leading_zeros", b"000000%X\r\n%s\r\n000\r\n\r\n" % (len(RICH_BODY), RICH_BODY)),
        ("trailers", chunk(RICH_BODY) + b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"),
        ("blank_after_a_size", b"%x \r\n%s\r\n0\r\n\r\n" % (len(RICH_BODY), RICH_BODY)),
    ]  # fmt: skip
    for name, body in rows:
        yield case(
            f"chunks_{name}",
            CHUNK_HEAD + body,
            expect=RICH_ANSWER,
            paths=PLAIN,
            kept=True,
        )
    wire = CHUNK_HEAD + b"".join(map(chunk, pieces)) + b"0\r\nX-A: 1\r\n\r\n"
    yield case(
        "plain_byte_by_byte",
        *byte_by_byte(wire),
        expect=RICH_ANSWER,
        paths=PLAIN,
        kept=True,
    )
    wire = STREAM_HEAD + chunk(RICH_STREAM) + END
    yield case(
        "stream_byte_by_byte",
        *byte_by_byte(wire),
        expect=RICH_ANSWER,
        paths=TWO,
        kept=True,
    )


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


GZIP = gzip.compress(RICH_BODY, mtime=0)
ZLIB, RAW = deflated(RICH_BODY, 15), deflated(RICH_BODY, -15)
STREAM_GZIP = gzip.compress(RICH_STREAM, mtime=0)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def compressed() -> Iterator[Case]:
    """Nothing compressed is asked for; it is read all the same, if it is whole."""
    cut_off = lost("closed", "the compressed answer ended before its end")
    corrupt = lost("protocol", "not compressed as its header says")
    unknown = lost("protocol", "compressed in a way that was not asked for")
    two = gzip.compress(RICH_BODY[:HALF]) + gzip.compress(RICH_BODY[HALF:])
    rows = [
        ("gzip", "gzip", GZIP, RICH_ANSWER),
        ("gzip_in_capitals", "GZIP", GZIP, RICH_ANSWER),
        ("x_gzip", "x-gzip", GZIP, RICH_ANSWER),
        ("gzip_members", "gzip", two, RICH_ANSWER),
        ("deflate", "deflate", ZLIB, RICH_ANSWER),
        ("raw_deflate", "deflate", RAW, RICH_ANSWER),
        ("identity", "identity", RICH_BODY, RICH_ANSWER),
        ("gzip_cut", "gzip", GZIP[: len(GZIP) // 2], cut_off),
        ("gzip_without_its_sum", "gzip", GZIP[:-8], cut_off),
        ("gzip_cut_in_its_head", "gzip", GZIP[:5], cut_off),
        ("deflate_cut", "deflate", ZLIB[: len(ZLIB) // 2], cut_off),
        ("deflate_without_its_sum", "deflate", ZLIB[:-2], cut_off),
        ("raw_deflate_cut", "deflate", RAW[: len(RAW) // 2], cut_off),
        ("gzip_corrupt", "gzip", flipped(GZIP, len(GZIP) // 2), corrupt),
        ("gzip_with_a_wrong_sum", "gzip", flipped(GZIP, len(GZIP) - 6), corrupt),
        ("gzip_and_junk", "gzip", GZIP + b"junk", corrupt),
        ("deflate_and_junk", "deflate", ZLIB + b"junk", corrupt),
        ("no_gzip", "gzip", RICH_BODY, corrupt),
        ("brotli", "br", b"\x0b\x02\x80{}\x03", unknown),
        ("zstd", "zstd", b"(\xb5/\xfd\x04\x00", unknown),
        ("twice", "gzip, gzip", gzip.compress(GZIP), unknown),
        ("of_no_name", "snappy", RICH_BODY, unknown),
    ]
    for name, encoding, body, expect in rows:
        lines = f"Content-Encoding: {encoding}"
        yield case(
            f"plain_{name}", answer(body, 200, lines), expect=expect, paths=PLAIN
        )
    wire = head(JSON_TYPE, CHUNKED, "Content-Encoding: gzip")
    yield case(
        "plain_gzip_in_small_chunks",
        wire
        + b"".join(chunk(GZIP[at : at + 3]) for at in range(0, len(GZIP), 3))
        + END,
        expect=RICH_ANSWER,
        paths=PLAIN,
        kept=True,
    )
    stream = head(STREAM_TYPE, CHUNKED, "Content-Encoding: gzip")
    yield case(
        "stream_gzip",
        stream + chunk(STREAM_GZIP) + END,
        expect=RICH_ANSWER,
        paths=STREAMED,
        kept=True,
    )
    yield case(
        "stream_gzip_byte_by_byte",
        *byte_by_byte(stream + chunk(STREAM_GZIP) + END),
        expect=RICH_ANSWER,
        paths=TWO,
        kept=True,
    )
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(ROLE + THINK + TEXT) + packer.flush(zlib.Z_SYNC_FLUSH)
    text = Partial("Let me look", "I need the")
    for name, rest in [("cut", (END,)), ("corrupt", (chunk(b"\xff" * 40), END))]:
        yield case(
            f"stream_gzip_{name}",
            stream + chunk(packed),
            SEEN,
            *rest,
            expect=cut("broke off", partial=text),
            paths=TWO,
        )


def all_cases() -> list[Case]:
    return [
        *cuts_before_the_body(),
        *cuts_in_a_plain_body(),
        *cuts_in_the_body_of_a_stream(),
        *odd_but_legal(),
        *compressed(),
    ]
