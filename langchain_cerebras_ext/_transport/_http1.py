"""HTTP/1.1 as bytes, without I/O: a request's head, an answer's parser (RFC 9112).

Why not h11, http.client or aiohttp's parser: the service sends one HTTP chunk per
event, thousands a second, and each of them pays per chunk and per header. This
parser takes a whole network read apart at once, and both the synchronous and the
asynchronous transport are thin loops around it.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_HEAD_BYTES = 64 * 1024
"""The longest head (or trailer) that is read."""

MAX_SIZE_LINE_BYTES = 4096
"""The longest line with a chunk's size and its extensions."""

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?").fullmatch
_SIZE_LINE = re.compile(
    rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n",
).match
# What may still grow into a size line: refuses garbage before a line ends.
_SIZE_START = re.compile(
    rb"[0-9a-fA-F]{0,16}(?:(?<=[0-9a-fA-F])[ \t]*(?:;[^\r\n]*)?\r?)?"
).fullmatch
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_DIGITS = re.compile(r"[0-9]{1,18}").fullmatch
_BODYLESS = frozenset({204, 304})


class Fault(Exception):  # noqa: N818
    """The peer broke the protocol, or went away; never leaves the transport.

    Attributes:
        kind: As in `CerebrasConnectionError`.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class HeaderError(ValueError):
    """A header of a request cannot be sent."""


def encode_headers(headers: Mapping[str, str]) -> str:
    """Return header lines, each with its line end.

    Raises:
        HeaderError: A name is no token, or a value holds a line break or a character
            outside Latin-1. The value, which may be a key, is not in the message.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    count = len(headers)
    if (
        text.count("\n") != count
        or text.count("\r") != count
        or "\0" in text
        or not (text.isascii() or _is_latin1(text))
        or not all(map(_NAME, headers))
    ):
        raise HeaderError(_complain(headers))
    return text


def _is_latin1(text: str) -> bool:
    return max(text) <= "\xff"


def _complain(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not _NAME(name):
            return f"The header name {name!r} is not one that HTTP can send."
        if any(char in value for char in "\r\n\0"):
            return f"The value of header {name!r} holds a line break or a NUL."
        if value and not _is_latin1(value):
            return f"The value of header {name!r} holds characters outside Latin-1."
    return "The headers cannot be sent."


class Framing(Protocol):
    """Where a body ends.

    Attributes:
        done: The body's end was seen.
        excess: Bytes came after the end, so the connection is of no more use.
    """

    done: bool
    excess: bool

    def feed(self, data: bytes) -> bytes:
        """Return the payload in what one read gave."""
        ...

    def feed_eof(self) -> None:
        """Take note that the connection has ended."""
        ...


class LengthFraming:
    """A body of `Content-Length` bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        """Return the payload in what one read gave."""
        self._left -= len(data)
        if self._left > 0:
            return data
        self.done = True
        if self._left < 0:
            self.excess = True
            data = data[: self._left]
            self._left = 0
        return data

    def feed_eof(self) -> None:
        """Take note that the connection has ended."""
        if not self.done:
            text = f"the connection ended {self._left} bytes before the answer's end"
            raise Fault(kind="closed", text=text)


class CloseFraming:
    """A body that ends with its connection."""

    def __init__(self) -> None:
        self.done = False
        self.excess = True

    def feed(self, data: bytes) -> bytes:
        """Return the payload in what one read gave."""
        return data

    def feed_eof(self) -> None:
        """Take note that the connection has ended."""
        self.done = True


class ChunkedFraming:
    """A body in chunks; extensions and trailers are read over.

    A chunk's bytes are handed on as they come: nothing waits for its end.
    """

    def __init__(self) -> None:
        self.done = False
        self.excess = False
        self._held = b""  # a size line, line end or trailer that is not whole yet
        self._left = 0  # bytes due of the current chunk
        self._step: Callable[[bytes, int, list[bytes]], int] = self._sizes

    def feed(self, data: bytes) -> bytes:
        """Return the payload in what one read gave."""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        end = len(data)
        at = 0
        while at < end and not self.done:
            before, step = at, self._step
            at = step(data, at, pieces)
            if at == before and step == self._step:
                self._held = data[at:]
                return b"".join(pieces)
        if at < end:
            self.excess = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _sizes(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take whole chunks, as many as there are: the hot loop."""
        end = len(data)
        while found := _SIZE_LINE(data, at):
            size = int(found[1], 16)
            start = found.end()
            if not size:
                self._step = self._trailer
                return start
            stop = start + size
            if stop + 2 > end:
                self._left = size
                self._step = self._part
                return start
            if data[stop : stop + 2] != b"\r\n":
                raise Fault(
                    kind="protocol", text="a chunk does not end where its size says"
                )
            pieces.append(data[start:stop])
            at = stop + 2
        tail = data[at : at + MAX_SIZE_LINE_BYTES]
        if len(tail) == MAX_SIZE_LINE_BYTES or not _SIZE_START(tail):
            raise Fault(
                kind="protocol", text=f"a chunk's size is not a number: {tail[:20]!r}"
            )
        return at

    def _part(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what has come of a chunk that is not whole."""
        piece = data[at : at + self._left]
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._line_end
        return at + len(piece)

    def _line_end(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        found = data[at : at + 2]
        if found == b"\r\n":
            self._step = self._sizes
            return at + 2
        if found != b"\r":
            raise Fault(
                kind="protocol", text="a chunk does not end where its size says"
            )
        return at

    def _trailer(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        """Read over header lines after the last chunk, up to an empty line."""
        stop = data.find(b"\r\n", at)
        if stop == at:
            self.done = True
        elif stop < 0:
            if len(data) - at > MAX_HEAD_BYTES:
                raise Fault(kind="protocol", text="the trailer is too long")
            return at
        return stop + 2

    def feed_eof(self) -> None:
        """Take note that the connection has ended."""
        if not self.done:
            raise Fault(
                kind="closed",
                text="the connection ended before the answer's last chunk",
            )


class Inflater:
    """Undoes `Content-Encoding: gzip` or `deflate`, as bytes come."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._stream = zlib.decompressobj(47 if self._gzip else 15)
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """Return what can be decoded so far."""
        pieces: list[bytes] = []
        while data:
            try:
                pieces.append(self._stream.decompress(data))
            except zlib.error as error:
                if not self._first or self._gzip:
                    text = f"the answer is not what its encoding says ({error})"
                    raise Fault(kind="protocol", text=text) from error
                # Some servers send `deflate` without zlib's wrapping.
                self._stream = zlib.decompressobj(-15)
                self._first = False
                continue
            self._first = False
            data = self._stream.unused_data
            if data and self._gzip:  # a further member
                self._stream = zlib.decompressobj(47)
            else:
                break
        return b"".join(pieces)

    def finish(self) -> None:
        """Check that the encoded stream had its end."""
        if not self._stream.eof and not self._first:
            raise Fault(kind="closed", text="the compressed answer ended too early")


class ResponseParser:
    """One answer, from its first byte to its last.

    Attributes:
        status: 0 until the head is whole.
        headers: By lower-case name; repeated ones joined by commas.
        started: A byte came.
        done: The body's end was seen.
        keep_alive: The connection may serve another request, once `done`.
        excess: Bytes came after the end.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.started = False
        self.done = False
        self.keep_alive = False
        self.excess = False
        self._method = method
        self._head = b""
        self._framing: Framing | None = None
        self._inflater: Inflater | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what one read gave, and return the payload in it.

        Raises:
            Fault: The answer breaks the protocol.
        """
        framing = self._framing
        if framing is None:
            self.started = True
            data = self._feed_head(data)
            framing = self._framing
            if framing is None or not (data or framing.done):
                return b""
            if framing.done:
                framing.excess = framing.excess or bool(data)
                self._finish(framing)
                return b""
        data = framing.feed(data)
        if self._inflater is not None:
            data = self._inflater.feed(data)
        if framing.done:
            self._finish(framing)
        return data

    def feed_eof(self) -> None:
        """Take note that the connection has ended.

        Raises:
            Fault: The answer was not whole.
        """
        if self._framing is None:
            if self.started:
                raise Fault(
                    kind="closed", text="the connection ended inside the answer's head"
                )
            raise Fault(kind="closed", text="the connection ended without an answer")
        self._framing.feed_eof()
        self._finish(self._framing)

    def _finish(self, framing: Framing) -> None:
        if framing.excess:
            self.excess = True
            self.keep_alive = False
        if self._inflater is not None:
            self._inflater.finish()
        self.done = True

    def _feed_head(self, data: bytes) -> bytes:
        """Parse heads, passing over interim ones; return what follows."""
        if self._head:
            data = self._head + data
        while (stop := data.find(b"\r\n\r\n")) >= 0:
            head, data = data[:stop], data[stop + 4 :]
            self._parse_head(head)
            if self._framing is not None:
                self._head = b""
                return data
        if len(data) > MAX_HEAD_BYTES:
            raise Fault(kind="protocol", text="the answer's head is too long")
        start = data[:5]
        if start != b"HTTP/"[: len(start)] or b"\n\n" in data:
            raise Fault(
                kind="protocol", text=f"the answer is not HTTP/1.1: {data[:40]!r}"
            )
        self._head = data
        return b""

    def _parse_head(self, head: bytes) -> None:
        if len(head) > MAX_HEAD_BYTES:
            raise Fault(kind="protocol", text="the answer's head is too long")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = _STATUS_LINE(first)
        if not found:
            raise Fault(
                kind="protocol", text=f"the answer is not HTTP/1.1: {first[:40]!r}"
            )
        status = int(found[2])
        if status < 200:  # noqa: PLR2004
            if status == 101:  # noqa: PLR2004
                raise Fault(
                    kind="protocol", text="the server switched protocols unasked"
                )
            return  # an interim answer, such as early hints
        headers = self.headers = _parse_fields(lines)
        self.status = status
        self.keep_alive = _keeps_alive(found[1] == "1", headers.get("connection", ""))
        self._framing = self._choose_framing(status, headers)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding and encoding != "identity" and not self._framing.done:
            if encoding not in {"gzip", "x-gzip", "deflate"}:
                text = f"the answer came as {encoding[:40]!r}, which was not asked for"
                raise Fault(kind="protocol", text=text)
            self._inflater = Inflater(encoding)

    def _choose_framing(self, status: int, headers: Mapping[str, str]) -> Framing:
        if (
            self._method == "HEAD"
            or status in _BODYLESS
            or (self._method == "CONNECT" and status < 300)  # noqa: PLR2004
        ):
            return LengthFraming(0)
        coding = headers.get("transfer-encoding", "").strip().lower()
        if coding and coding != "identity":
            if coding != "chunked":
                text = f"the transfer encoding {coding[:40]!r} was not asked for"
                raise Fault(kind="protocol", text=text)
            return ChunkedFraming()  # wins over a length: RFC 9112, 6.3
        length = headers.get("content-length")
        return CloseFraming() if length is None else LengthFraming(_length(length))


def _parse_fields(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        name_, colon, value = line.partition(":")
        if not colon or " " in name_ or "\t" in name_ or not name_:
            if line[:1] in {" ", "\t"} and name:  # a folded line: RFC 9112, 5.2
                headers[name] = f"{headers[name]} {line.strip()}"
                continue
            raise Fault(
                kind="protocol", text=f"the answer has a bad header line: {line[:40]!r}"
            )
        name = name_.lower()
        value = value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _keeps_alive(is_1_1: bool, connection: str) -> bool:
    if not connection:
        return is_1_1
    options = {option.strip() for option in connection.lower().split(",")}
    return "close" not in options and (is_1_1 or "keep-alive" in options)


def _length(value: str) -> int:
    values = {part.strip() for part in value.split(",")}
    text = values.pop()
    if values or not _DIGITS(text):
        raise Fault(
            kind="protocol", text=f"the answer has a bad Content-Length: {value[:40]!r}"
        )
    return int(text)
