"""A request's body: read within bounds, looked into, and its `model` replaced.

The body belongs to the client: it is sent on as it came, byte for byte. Of its fields
only those are decoded that decide where it goes and what it may cost.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
import types
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Coroutine,
        Generator,
        Mapping,
        MutableMapping,
    )

__all__ = ["DEFAULT_LIMIT", "Asked", "ClientGone", "parse", "read_body"]

Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Span: TypeAlias = tuple[int, int]

DEFAULT_LIMIT: Final = 32 << 20
MAX_MODEL_CHARS: Final = 512
MAX_FIELDS: Final = 0xFFFF
"""Of a msgpack body. JSON needs no such bound: nothing is made for each field."""
MAX_GZIP_MEMBERS: Final = 1024
"""An empty one is 20 bytes: a body of nothing else would take seconds."""

MAX_HALVES: Final = 10_000
"""Of surrogate pairs, in one body."""

_MAX_SHOWN: Final = 1024
_MAX_TOKENS: Final = 1 << 53
_STEP: Final = 1 << 20
_PIECE: Final = 1 << 16
_GZIP: Final = zlib.MAX_WBITS | 16
# The client's own level is not known; the fastest one holds up other streams least.
_LEVEL: Final = 1
_CLOSE: Final = ((b"connection", b"close"),)

_MSGPACK: Final = frozenset(
    {"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"}
)


class ClientGone(Exception):  # noqa: N818 - nobody did anything wrong
    """The client left before its body was complete."""


# -------------------------------------------------------------------------- reading


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, limit: int, timeout_s: float
) -> bytes:
    """Read a request's body.

    Args:
        receive: ASGI's.
        headers: The request's, names in lower case.
        limit: The most bytes that are taken, as they are on the wire.
        timeout_s: Seconds for all of it.

    Raises:
        Refusal: It is longer than the limit (413), said to have a length that is none
            (400), or not complete in time (408).
        ClientGone: The client left before it was complete.
    """
    said = headers.get(b"content-length")
    if said is not None:
        if not said.isdigit():
            msg = "The 'Content-Length' header is not a number of bytes."
            raise _bad(msg, "invalid_header")
        # A text of digits may be longer than Python likes to read.
        if len(said) > 18 or int(said) > limit:  # noqa: PLR2004
            raise _too_large(limit)
    reading = _read(receive, limit)
    try:
        waited = reading.send(None)
    except StopIteration as whole:  # most have arrived by now, and need no timer
        return cast("bytes", whole.value)
    try:
        async with asyncio.timeout(timeout_s):
            return await _go_on(reading, waited)
    except TimeoutError as error:
        msg = f"The request's body was not complete within {timeout_s:g} s."
        raise Refusal(
            408, msg, code="request_timeout", category="client_timeout", headers=_CLOSE
        ) from error


@types.coroutine
def _go_on(
    reading: Coroutine[Any, Any, bytes], waited: Any
) -> Generator[Any, Any, bytes]:
    """Await a coroutine that was begun by hand and gave what it waits for."""
    try:
        while True:
            try:
                sent = yield waited
            except BaseException as error:  # noqa: BLE001 - it goes in, not away
                waited = reading.throw(error)
            else:
                waited = reading.send(sent)
    except StopIteration as whole:
        return cast("bytes", whole.value)
    finally:
        reading.close()


async def _read(receive: Receive, limit: int) -> bytes:
    whole: bytearray | None = None  # a list of tiny parts would take far more memory
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body") or b""
        if len(part) + (len(whole) if whole else 0) > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            if whole is None:
                return part
            whole += part
            return bytes(whole)
        if whole is None:
            whole = bytearray()
        whole += part


def _too_large(limit: int) -> Refusal:
    msg = f"The request's body is too large: this proxy takes up to {_size(limit)}."
    return Refusal(
        413,
        msg,
        code="request_too_large",
        category="payload_too_large",
        headers=_CLOSE,
    )


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= _STEP else f"{count:,} bytes"


# -------------------------------------------------------------------------- parsing


class _Fields(msgspec.Struct, gc=False):
    model: str
    stream: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None


class _Loose(msgspec.Struct, gc=False):
    """The same where something is not what it should be."""

    model: msgspec.Raw = msgspec.Raw()
    stream: msgspec.Raw = msgspec.Raw()
    max_completion_tokens: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    n: msgspec.Raw = msgspec.Raw()


_DECODE: Final[dict[bool, Callable[[bytes], _Fields]]] = {
    False: msgspec.json.Decoder(_Fields).decode,
    True: msgspec.msgpack.Decoder(_Fields).decode,
}
_DECODE_LOOSE: Final[dict[bool, Callable[[bytes], _Loose]]] = {
    False: msgspec.json.Decoder(_Loose).decode,
    True: msgspec.msgpack.Decoder(_Loose).decode,
}
_DECODE_ANY: Final[dict[bool, Callable[[bytes], Any]]] = {
    False: msgspec.json.decode,
    True: msgspec.msgpack.decode,
}


class Asked:
    """What a body asks for.

    Attributes:
        model: As the client wrote it.
        stream: Whether a stream is asked for.
        max_output_tokens: What it allows for each answer, if it says so.
        n: How many answers are asked for.
        json_bytes: The body's size once decompressed; for estimates of its tokens.
        raw: The body as it came.
        is_gzip: Whether it is compressed.
        is_msgpack: Whether it is msgpack rather than JSON.
    """

    __slots__ = (
        "_plain",
        "is_gzip",
        "is_msgpack",
        "json_bytes",
        "max_output_tokens",
        "model",
        "n",
        "raw",
        "stream",
    )

    def __init__(
        self,
        raw: bytes,
        plain: bytes,
        fields: _Fields,
        *,
        is_gzip: bool,
        is_msgpack: bool,
    ) -> None:
        most = fields.max_completion_tokens
        if most is None:
            most = fields.max_tokens
        count = fields.n
        self.raw = raw
        self._plain = plain
        self.is_gzip = is_gzip
        self.is_msgpack = is_msgpack
        self.json_bytes = len(plain)
        self.model = fields.model
        self.stream = fields.stream is True
        # The upstream refuses nonsense; ours must not count with it.
        self.max_output_tokens = (
            most if most is not None and 0 <= most <= _MAX_TOKENS else None
        )
        self.n = count if count is not None and 0 < count <= _MAX_TOKENS else 1

    def with_model(self, name: str) -> bytes:
        """Return the body with another model; everything else stays as it is.

        Where the body names `model` more than once, each is replaced: which one counts
        is the reader's choice.
        """
        if name == self.model:
            return self.raw
        plain = self._plain
        if self.is_msgpack:
            spliced = _splice(
                plain, _msgpack_spans(plain), msgspec.msgpack.encode(name)
            )
        else:
            spliced = _splice(plain, _json_spans(plain), msgspec.json.encode(name))
        if self.is_gzip:
            return zlib.compress(spliced, _LEVEL, _GZIP)
        return spliced

    def __repr__(self) -> str:
        """Return the facts; never the body."""
        return (
            f"<Asked model={self.model!r} stream={self.stream} "
            f"max_output_tokens={self.max_output_tokens} json_bytes={self.json_bytes}>"
        )


def parse(
    raw: bytes, headers: Mapping[bytes, bytes], *, limit: int = DEFAULT_LIMIT
) -> Asked:
    """Return what a body asks for.

    Args:
        raw: The body as it came.
        headers: The request's, names in lower case.
        limit: The most bytes that a compressed body may stand for.

    Raises:
        Refusal: Its type or encoding is not known (415), it stands for more than the
            limit (413), or it is not what its type says, no object, or holds a
            `model` or `stream` that is none (400).
    """
    is_msgpack = _is_msgpack(headers.get(b"content-type"))
    is_gzip = b"content-encoding" in headers and _is_gzip(headers[b"content-encoding"])
    plain = _decompress(raw, limit) if is_gzip else raw
    fields = _read_fields(plain, is_msgpack=is_msgpack)
    return Asked(raw, plain, fields, is_gzip=is_gzip, is_msgpack=is_msgpack)


def _is_msgpack(content_type: bytes | None) -> bool:
    if content_type is None or content_type == b"application/json":
        return False
    kind = content_type.decode("latin-1").partition(";")[0].strip().lower()
    if kind in _MSGPACK:
        return True
    if kind in {"", "application/json", "text/json"} or kind.endswith("+json"):
        return False
    msg = (
        f"Content-Type '{_shown(kind)}' is not supported: send 'application/json' or "
        "'application/vnd.msgpack'."
    )
    raise Refusal(
        415,
        msg,
        code="unsupported_content_type",
        category="bad_request",
        headers=((b"accept", b"application/json, application/vnd.msgpack"),),
    )


def _is_gzip(encoding: bytes) -> bool:
    names = [name.strip() for name in encoding.decode("latin-1").lower().split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if not names:
        return False
    if len(names) == 1 and names[0] in {"gzip", "x-gzip"}:
        return True
    msg = (
        f"Content-Encoding '{_shown(', '.join(names))}' is not supported: send 'gzip', "
        "or no encoding."
    )
    raise Refusal(
        415,
        msg,
        code="unsupported_content_encoding",
        category="bad_request",
        headers=((b"accept-encoding", b"gzip, identity"),),
    )


_PADDING: Final = re.compile(rb"\0*+")


def _decompress(raw: bytes, limit: int) -> bytes:
    """Undo gzip, of one member or several, within a bound."""
    whole = bytearray()
    start = members = 0
    while start < len(raw):
        members += 1
        if members > MAX_GZIP_MEMBERS:
            why = f"it has more than {MAX_GZIP_MEMBERS} members"
            raise _not_gzip(why)
        start = _inflate(raw, start, whole, limit)
        padding = _PADDING.match(raw, start)
        start = padding.end() if padding else start
    if not members:
        why = "it is empty"
        raise _not_gzip(why)
    return bytes(whole)


def _inflate(raw: bytes, start: int, whole: bytearray, limit: int) -> int:
    """Add what a member stands for, and return where it ends.

    In pieces: what follows a member is copied, once for every member.
    """
    member = zlib.decompressobj(_GZIP)
    while not member.eof:
        piece = raw[start : start + _PIECE]
        if not piece:
            why = "it ends too early"
            raise _not_gzip(why)
        try:
            whole += member.decompress(piece, limit + 1 - len(whole))
        except zlib.error as error:
            why = "it is damaged or something else"
            raise _not_gzip(why) from error
        if len(whole) > limit:
            raise _too_large(limit)
        start += len(piece) - len(member.unused_data)
    return start


def _not_gzip(why: str) -> Refusal:
    msg = f"The request's body is not valid gzip, as its header says: {why}."
    return _bad(msg, "invalid_gzip")


def _read_fields(plain: bytes, *, is_msgpack: bool) -> _Fields:
    try:
        if is_msgpack:
            _check_count(plain)
        elif not plain.isascii():
            _check_utf8(plain)
        return _decode(plain, is_msgpack=is_msgpack)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_json = not is_msgpack and isinstance(error, msgspec.DecodeError)
        healed = _without_halves(plain) if is_json else None
        if healed is None:
            raise _unreadable(plain, error, is_msgpack=is_msgpack) from error
    try:
        return _decode(healed, is_msgpack=False)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unreadable(plain, error, is_msgpack=False) from error


def _decode(plain: bytes, *, is_msgpack: bool) -> _Fields:
    try:
        fields = _DECODE[is_msgpack](plain)
    except msgspec.ValidationError:
        return _read_odd(plain, is_msgpack=is_msgpack)
    if len(fields.model) > MAX_MODEL_CHARS or not fields.model:
        raise _odd_model(fields.model)
    return fields


def _check_utf8(plain: bytes) -> None:
    """Raise where bytes are no UTF-8: fields that are skipped are not looked at."""
    start = 0
    while start < len(plain):
        end = start + _STEP
        piece = plain[start:end] if start or end < len(plain) else plain
        start += codecs.utf_8_decode(piece, "strict", end >= len(plain))[1]


def _check_count(plain: bytes) -> None:
    if plain[:1] == b"\xdf" and int.from_bytes(plain[1:5]) > MAX_FIELDS:
        msg = f"The request's body has more than {MAX_FIELDS:,} fields."
        raise _bad(msg, "too_many_fields")


_HALF: Final = re.compile(
    rb"\\u[dD](?:"
    rb"[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    rb"[c-fC-F](?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD].)[0-9a-fA-F]{2})"
)


def _without_halves(plain: bytes) -> bytes | None:
    r"""Return JSON with `?` for every half of a surrogate pair; `None` if it has none.

    A text that was cut amid a character is written so by many (`"\ud83d"`), and the
    grammar allows it: what to make of it is the upstream's to say.
    """
    if b"\\ud" not in plain and b"\\uD" not in plain:
        return None
    healed, count = _HALF.subn(rb"\\u003f", plain, MAX_HALVES)
    return healed if count else None


def _read_odd(plain: bytes, *, is_msgpack: bool) -> _Fields:
    """Read a body of which some field is not of its type; refuse it, or overlook it."""
    name = "msgpack" if is_msgpack else "JSON"
    try:
        loose = _DECODE_LOOSE[is_msgpack](plain)
    except msgspec.ValidationError as error:
        msg = f"The request's body must be one {name} object with text as keys."
        raise _bad(msg, "invalid_type") from error
    told = {
        field: _value(bytes(getattr(loose, field)), is_msgpack=is_msgpack)
        for field in _Loose.__struct_fields__
    }
    model, stream = told["model"], told["stream"]
    if not bytes(loose.model):
        msg = "Missing required parameter: 'model'."
        raise _bad(msg, "missing_required_parameter", param="model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise _odd_model(model)
    if stream is not None and not isinstance(stream, bool):
        name = "stream"
        raise _wrong_type(name, "a boolean", stream)
    return _Fields(
        model,
        stream,
        *(
            _count(told[field])
            for field in ("max_completion_tokens", "max_tokens", "n")
        ),
    )


class _Long:
    """Stands for a value too long to be any that we ask for."""


def _value(raw: bytes, *, is_msgpack: bool) -> Any:
    if not raw:
        return None
    if len(raw) > MAX_MODEL_CHARS + _MAX_SHOWN:
        return _Long()
    try:
        return _DECODE_ANY[is_msgpack](raw)
    except (ValueError, RecursionError):  # such as a number of a thousand digits
        return _Long()


def _count(value: Any) -> int | None:
    """Return a number as whole, also one written as `100.0`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _odd_model(value: Any) -> Refusal:
    if value == "":
        msg = "Invalid value for 'model': it is empty; name a model."
        return _bad(msg, "empty_string", param="model")
    if isinstance(value, (str, _Long)):
        msg = (
            "Invalid value for 'model': it is longer than "
            f"{MAX_MODEL_CHARS} characters."
        )
        return _bad(msg, "string_above_max_length", param="model")
    return _wrong_type("model", "a string", value)


_NAMES: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    bytes: "bytes",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def _wrong_type(field: str, wanted: str, value: Any) -> Refusal:
    got = _NAMES.get(type(value), "something else")
    msg = f"Invalid type for '{field}': expected {wanted}, but got {got} instead."
    return _bad(msg, "invalid_type", param=field)


def _unreadable(plain: bytes, error: Exception, *, is_msgpack: bool) -> Refusal:
    name = "msgpack" if is_msgpack else "JSON"
    code = "invalid_msgpack" if is_msgpack else "invalid_json"
    if not plain:
        msg = f"The request has no body: send one {name} object."
        return _bad(msg, code)
    if isinstance(error, RecursionError):
        msg = f"The request's body is nested too deeply to be read as {name}."
        return _bad(msg, code)
    msg = f"The request's body is not valid {name}: {_why(plain, error)}."
    return _bad(msg, code)


def _why(plain: bytes, error: Exception) -> str:
    if plain.startswith((b"\xff\xfe", b"\xfe\xff")) or plain[1:2] == b"\0":
        return "it is UTF-16, and must be UTF-8"
    if plain.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark; leave that out"
    if isinstance(error, UnicodeDecodeError):
        return "its text is not UTF-8"
    text = str(error)
    if "truncated" in text:
        return "it ends too early, or one of its strings or numbers is cut"
    return _shown(text.partition("malformed: ")[2] or text)


def _shown(text: str) -> str:
    """Return a text for a message: short, and without what disturbs a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:100])


def _bad(message: str, code: str, *, param: str | None = None) -> Refusal:
    return Refusal(400, message, code=code, category="bad_request", param=param)


# ------------------------------------------------------------------------- splicing


def _splice(plain: bytes, spans: list[Span], value: bytes) -> bytes:
    parts: list[bytes] = []
    done = 0
    for start, end in spans:
        parts += (plain[done:start], value)
        done = end
    parts.append(plain[done:])
    return b"".join(parts)


_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rb"[^][{}\",\s]++"
_FILL = rb'[^"{}\[\]]*+'


def _nested(levels: int) -> bytes:
    """Return a pattern of arrays and objects of so many levels."""
    inner = _STRING
    for _ in range(levels):
        inner = rb"[\[{]%b(?:(?:%b)%b)*+[\]}]|%b" % (_FILL, inner, _FILL, _STRING)
    return inner


# All of this is for valid JSON only: what is skipped is not looked at.
_VALUE: Final = re.compile(rb"%b|%b" % (_SCALAR, _nested(12)), re.DOTALL)
# All up to the next bracket that is not within a string.
_BRACKET: Final = re.compile(
    rb"%b(?:%b%b)*+([{}\[\]])" % (_FILL, _STRING, _FILL), re.DOTALL
)
_COLON = _SPACE + rb":" + _SPACE
_COMMA = _SPACE + rb",?" + _SPACE
_OTHER = rb'%b"(?!model")[^"\\]*+"%b(?:%b)' % (_COMMA, _COLON, _VALUE.pattern)
_KEY: Final = re.compile(
    rb"(?:%b)*+%b(%b)%b" % (_OTHER, _COMMA, _STRING, _COLON), re.DOTALL
)


def _json_spans(plain: bytes) -> list[Span]:
    """Return where the values of `model` stand in an object of valid JSON."""
    first = plain.find(b'"model"')
    # The only one is the key; its letters may be written as escapes, too.
    if b"\\u006" not in plain and plain.find(b'"model"', first + 1) < 0:
        return _scan(plain, first, most=1)
    return _scan(plain, plain.index(b"{") + 1)


def _scan(plain: bytes, start: int, *, most: int | None = None) -> list[Span]:
    spans: list[Span] = []
    while len(spans) != most and (key := _KEY.match(plain, start)):
        start = _value_end(plain, key.end())
        name = key[1]
        if name == b'"model"' or (b"\\" in name and json.loads(name) == "model"):
            spans.append((key.end(), start))
    return spans


def _value_end(plain: bytes, start: int) -> int:
    """Return where a value ends that begins at a position."""
    depth = 0
    # Brackets are counted where the value is nested more deeply than the pattern.
    while found := _VALUE.match(plain, start) or _BRACKET.match(plain, start):
        start = found.end()
        if found.re is _BRACKET:
            depth += 1 if found[1] in b"{[" else -1
        if depth == 0:
            break
    return start


# With each of the heads that a text may have; other keys need not even be text.
_MODEL_NAMES: Final = frozenset(
    head + b"model" for head in (b"\xa5", b"\xd9\5", b"\xda\0\5", b"\xdb\0\0\0\5")
)


def _msgpack_spans(plain: bytes) -> list[Span]:
    """Return where the values of `model` stand in a map of valid msgpack.

    A map is written as an array of twice as many items, but for its head: so read, it
    gives every key and value as the bytes that it takes, the same key twice as well.
    """
    head = {0xDE: 3, 0xDF: 5}.get(plain[0], 1)
    count = plain[0] & 15 if head == 1 else int.from_bytes(plain[1:head])
    array = b"\xdd" + (2 * count).to_bytes(4) + plain[head:]
    items = msgspec.msgpack.decode(array, type=list[msgspec.Raw])
    spans: list[Span] = []
    start = head
    for index in range(0, len(items), 2):
        name, value = bytes(items[index]), bytes(items[index + 1])
        start += len(name)
        end = start + len(value)
        if name in _MODEL_NAMES:
            spans.append((start, end))
        start = end
    return spans
