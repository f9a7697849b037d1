"""Bodies: read within bounds, and refused in words where they cannot be read."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.proxy import body
from langchain_cerebras_ext.proxy.body import Asked, ClientGone, parse, read_body
from langchain_cerebras_ext.proxy.refusal import Refusal

# The machine may be busy with other tests.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = {b"content-type": b"application/json"}
GZIP = {**JSON, b"content-encoding": b"gzip"}
MSGPACK = {b"content-type": b"application/vnd.msgpack"}
CHAT = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hi"}]}
RAW = json.dumps(CHAT).encode()
PACKED = msgspec.msgpack.encode(CHAT)


def refused(raw: bytes, headers=JSON, **limits) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(raw, headers, **limits)
    told = msgspec.json.decode(caught.value.body())["error"]
    assert list(told) == ["message", "type", "param", "code"]
    assert told["message"].endswith(".")
    return caught.value


# ----------------------------------------------------------------------------- reading


class Wire:
    """ASGI's `receive`: parts of a body, and what comes after them."""

    def __init__(self, *parts: bytes, after: dict | None = None) -> None:
        last = len(parts) - 1
        self.messages = [
            {"type": "http.request", "body": part, "more_body": index < last}
            for index, part in enumerate(parts)
        ]
        if after is not None:
            self.messages[-1]["more_body"] = True
            self.messages.append(after)
        self.yields = False

    async def __call__(self):
        if self.yields:
            await asyncio.sleep(0)
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)


def wire(*parts: bytes, yields: bool = False, **more) -> Wire:
    made = Wire(*parts, **more)
    made.yields = yields
    return made


async def read(receive, headers=None, limit=1000, timeout_s=30.0) -> bytes:
    return await read_body(receive, headers or {}, limit=limit, timeout_s=timeout_s)


@pytest.mark.parametrize("yields", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    "parts", [[b""], [b"abc"], [b"ab", b"c"], [b"", b"a", b"", b"bc", b""]], ids=str
)
async def test_a_body_is_its_parts(parts, yields: bool) -> None:
    assert await read(wire(*parts, yields=yields)) == b"".join(parts)


async def test_messages_without_a_body_are_empty_parts() -> None:
    received = wire(b"x")
    received.messages.insert(0, {"type": "http.request", "more_body": True})
    assert await read(received) == b"x"


@pytest.mark.parametrize("length", [b"1001", b"9" * 5000])
async def test_a_body_said_to_be_too_long_is_refused_before_it_comes(length) -> None:
    received = wire(b"x")
    with pytest.raises(Refusal) as caught:
        await read(received, {b"content-length": length})
    assert caught.value.status == 413
    assert (b"connection", b"close") in caught.value.headers
    assert received.messages, "nothing was read"


async def test_a_body_of_the_limit_is_taken() -> None:
    whole = b"x" * 1000
    assert await read(wire(whole), {b"content-length": b"1000"}) == whole
    assert await read(wire(whole[:600], whole[600:])) == whole


@pytest.mark.parametrize("yields", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("parts", [[b"x" * 1001], [b"x" * 1000, b"x", b"x"]], ids=len)
async def test_a_chunked_body_is_refused_where_it_passes_the_limit(
    parts, yields: bool
) -> None:
    with pytest.raises(Refusal) as caught:
        await read(wire(*parts, after={"type": "never asked for"}, yields=yields))
    assert caught.value.status == 413
    assert caught.value.category == "payload_too_large"
    assert "1,000 bytes" in caught.value.message


@pytest.mark.parametrize("length", [b"abc", b"-1", b"1.5", b"", b"\xb2", b"1 2"])
async def test_a_length_that_is_none_is_refused(length: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        await read(wire(b"x"), {b"content-length": length})
    assert (caught.value.status, caught.value.code) == (400, "invalid_header")


@pytest.mark.parametrize("yields", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("parts", [[b""], [b"ab", b"c"]], ids=len)
async def test_a_client_that_leaves_is_told_apart(parts, yields: bool) -> None:
    with pytest.raises(ClientGone):
        await read(wire(*parts, after={"type": "http.disconnect"}, yields=yields))


async def test_a_body_that_does_not_come_is_refused_in_time() -> None:
    stuck = wire(b"some", after=None)
    stuck.messages[0]["more_body"] = True
    with pytest.raises(Refusal) as caught:
        await read(stuck, timeout_s=0.01)
    assert (caught.value.status, caught.value.category) == (408, "client_timeout")
    assert (b"connection", b"close") in caught.value.headers
    assert "within 0.01 s" in caught.value.message


async def test_reading_can_be_cancelled() -> None:
    ended = []

    async def receive():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    reading = asyncio.create_task(read(receive))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended == [True]


async def test_a_failing_receive_is_not_hidden() -> None:
    async def receive():
        await asyncio.sleep(0)
        raise OSError

    with pytest.raises(OSError):
        await read(receive)


async def test_many_tiny_parts_take_little_memory() -> None:
    count = 20_000
    received = wire(*[b"x"] * count)
    tracemalloc.start()
    try:
        whole = await read(received, limit=count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(whole) == count
    assert peak < 10 * count  # a list of them would take 42


# ----------------------------------------------------------------------------- parsing


def test_what_is_asked_is_read() -> None:
    raw = json.dumps(
        {**CHAT, "stream": True, "max_tokens": 7, "n": 3, "unknown": {"x": [1]}}
    ).encode()
    asked = parse(raw, JSON)
    assert (asked.model, asked.stream, asked.n) == ("gpt-oss-120b", True, 3)
    assert asked.max_output_tokens == 7
    assert (asked.raw, asked.json_bytes) == (raw, len(raw))
    assert not asked.is_gzip
    assert not asked.is_msgpack
    assert "Hi" not in repr(asked)


def test_what_is_left_out_has_its_default() -> None:
    asked = parse(RAW, {})
    assert (asked.stream, asked.max_output_tokens, asked.n) == (False, None, 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"max_completion_tokens": 0}, 0),
        ({"max_tokens": 100.0}, 100),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 1e30}, None),
        ({"max_tokens": 10**400}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "9"}, None),
        ({"max_tokens": [1]}, None),
    ],
    ids=str,
)
def test_limits_that_are_none_are_the_upstreams_business(fields, expected) -> None:
    asked = parse(json.dumps({**CHAT, **fields}).encode(), JSON)
    assert asked.max_output_tokens == expected
    assert asked.model == "gpt-oss-120b"


@pytest.mark.parametrize("count", [0, -1, None, 2**70, "3", 1.5, {}], ids=str)
def test_a_count_of_answers_that_is_none_counts_as_one(count) -> None:
    assert parse(json.dumps({**CHAT, "n": count}).encode(), JSON).n == 1


def test_the_last_of_equal_keys_counts() -> None:
    raw = b'{"model":"a","stream":true,"model":"b","stream":false}'
    assert (parse(raw, JSON).model, parse(raw, JSON).stream) == ("b", False)


def test_a_null_stream_is_none() -> None:
    assert parse(b'{"model":"a","stream":null}', JSON).stream is False
    assert parse(b'{"model":"a","stream":null,"n":1.0}', JSON).stream is False


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b"Application/JSON",
        b"text/json",
        b"application/x+json",
        b"",
    ],
)
def test_json_goes_by_many_names(content_type: bytes) -> None:
    assert parse(RAW, {b"content-type": content_type}).model == "gpt-oss-120b"


@pytest.mark.parametrize(
    "kind",
    [b"application/vnd.msgpack", b"application/msgpack", b"application/x-msgpack"],
)
def test_msgpack_goes_by_three(kind: bytes) -> None:
    asked = parse(PACKED, {b"content-type": kind})
    assert asked.is_msgpack
    assert asked.model == "gpt-oss-120b"
    assert msgspec.msgpack.decode(asked.with_model("b")) == {**CHAT, "model": "b"}


@pytest.mark.parametrize(
    "content_type",
    [
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"\xff",
    ],
)
def test_another_type_is_refused_with_those_that_are_taken(content_type) -> None:
    told = refused(RAW, {b"content-type": content_type})
    assert (told.status, told.code) == (415, "unsupported_content_type")
    assert "application/json" in told.message
    assert dict(told.headers)[b"accept"].startswith(b"application/json")


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"GZIP", b"identity, gzip"])
def test_gzip_is_undone(encoding: bytes) -> None:
    raw = gzip.compress(RAW)
    asked = parse(raw, {**JSON, b"content-encoding": encoding})
    assert (asked.is_gzip, asked.json_bytes, asked.raw) == (True, len(RAW), raw)
    packed = parse(gzip.compress(PACKED), {**MSGPACK, b"content-encoding": encoding})
    assert packed.model == "gpt-oss-120b"


@pytest.mark.parametrize("encoding", [b"identity", b"", b" , "])
def test_no_encoding_is_one_too(encoding: bytes) -> None:
    assert not parse(RAW, {b"content-encoding": encoding}).is_gzip


@pytest.mark.parametrize(
    "encoding", [b"br", b"zstd", b"deflate", b"gzip, gzip", b"\xe9"]
)
def test_another_encoding_is_refused(encoding: bytes) -> None:
    told = refused(RAW, {**JSON, b"content-encoding": encoding})
    assert (told.status, told.code) == (415, "unsupported_content_encoding")
    assert dict(told.headers)[b"accept-encoding"] == b"gzip, identity"


# ---------------------------------------------------------------------------- refusals

UNREADABLE = {
    "nothing": (b"", "no body"),
    "spaces": (b"  ", "ends too early"),
    "cut": (RAW[:-3], "ends too early"),
    "a key without quotes": (b"{model: 1}", "byte 1"),
    "NaN": (b'{"model":"a","temperature":NaN}', "byte 27"),
    "Infinity": (b'{"model":"a","temperature":-Infinity}', "byte"),
    "a comma too many": (b'{"model":"a","x":[1,]}', "trailing comma"),
    "two values": (RAW + RAW, "trailing characters"),
    "a control character": (b'{"model":"a","x":"\n"}', "byte 18"),
    "a byte order mark": (b"\xef\xbb\xbf" + RAW, "byte order mark"),
    "UTF-16": (RAW.decode().encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (RAW.decode().encode("utf-16-le"), "UTF-16"),
    "Latin-1": ('{"model":"a","x":"é"}'.encode("latin-1"), "not UTF-8"),
    "a surrogate in UTF-8": (b'{"model":"a","x":"\xed\xa0\x80"}', "not UTF-8"),
    "Latin-1 in the model": ('{"model":"é"}'.encode("latin-1"), "not UTF-8"),
    "single quotes": (b"{'model':'a'}", "byte 1"),
    "a comment": (b'{"model":"a" /* */}', "byte 13"),
    "a number of zeros": (b'{"model":"a","x":007}', "byte"),
    "an escape that is none": (b'{"model":"a","x":"\\x"}', "byte"),
    "half an escape": (b'{"model":"a","x":"\\u12"}', "byte"),
    "deep": (b'{"model":"a","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "deep"),
    "deep and cut": (b'{"model":"a","x":' + b'{"":' * 200_000, "deep"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_json_is_refused_with_the_reason(name: str) -> None:
    raw, words = UNREADABLE[name]
    told = refused(raw)
    assert (told.status, told.category) == (400, "bad_request")
    assert told.code == "invalid_json"
    assert words in told.message
    assert refused(gzip.compress(raw), GZIP).message == told.message


@pytest.mark.parametrize("length", range(len(RAW)))
def test_every_cut_is_refused(length: int) -> None:
    assert refused(RAW[:length]).code == "invalid_json"


@pytest.mark.parametrize("length", range(0, len(PACKED), 3))
def test_every_cut_of_msgpack_is_refused(length: int) -> None:
    assert refused(PACKED[:length], MSGPACK).code == "invalid_msgpack"


@pytest.mark.parametrize("value", [[], "text", 5, None, True, [CHAT]], ids=str)
def test_what_is_no_object_is_refused(value) -> None:
    for raw, headers in (
        (json.dumps(value).encode(), JSON),
        (msgspec.msgpack.encode(value), MSGPACK),
    ):
        told = refused(raw, headers)
        assert (told.status, told.code) == (400, "invalid_type")
        assert "object" in told.message


def test_a_missing_model_is_told_as_openai_tells_it() -> None:
    for raw in (b"{}", b'{"messages":[]}', b'{"Model":"a"}'):
        told = refused(raw)
        assert (told.status, told.param) == (400, "model")
        assert told.code == "missing_required_parameter"
        assert told.message == "Missing required parameter: 'model'."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "an integer"),
        (0.5, "a number"),
        (None, "null"),
        (True, "a boolean"),
        (["a"], "an array"),
        ({"a": 1}, "an object"),
    ],
    ids=str,
)
def test_a_model_that_is_no_text_is_refused(value, words: str) -> None:
    told = refused(json.dumps({"model": value}).encode())
    assert (told.code, told.param) == ("invalid_type", "model")
    assert f"expected a string, but got {words} instead" in told.message
    packed = refused(msgspec.msgpack.encode({"model": value}), MSGPACK)
    assert packed.message == told.message


def deeper(frames: int, ask):
    return ask() if frames == 0 else deeper(frames - 1, ask)


def test_a_deep_model_is_refused_wherever_the_limit_is_met() -> None:
    """Also where the body could be passed over, and the value then not be decoded."""
    for depth in range(560, 760, 2):
        raw = b'{"model":' + b"[" * depth + b"]" * depth + b"}"
        told = deeper(200, lambda raw=raw: refused(raw))
        assert told.status == 400


@pytest.mark.parametrize("rest", [{}, {"n": 1.0}], ids=["plain", "with an odd field"])
def test_a_model_is_bounded(rest) -> None:
    longest = "m" * body.MAX_MODEL_CHARS
    assert parse(json.dumps({"model": longest, **rest}).encode(), JSON).model == longest
    for value in (longest + "m", "m" * 100_000, [longest] * 9):
        told = refused(json.dumps({"model": value, **rest}).encode())
        assert (told.status, told.param) == (400, "model")
        assert len(told.message) < 200
    assert refused(json.dumps({"model": "", **rest}).encode()).code == "empty_string"


@pytest.mark.parametrize("value", [1, 0, "true", "false", [], {}, 1.5], ids=str)
def test_a_stream_that_is_no_boolean_is_refused(value) -> None:
    for raw, headers in (
        (json.dumps({"model": "a", "stream": value}).encode(), JSON),
        (msgspec.msgpack.encode({"model": "a", "stream": value}), MSGPACK),
    ):
        told = refused(raw, headers)
        assert (told.code, told.param) == ("invalid_type", "stream")
        assert "a boolean" in told.message


def test_msgpack_keys_are_texts() -> None:
    for raw in (
        msgspec.msgpack.encode({b"model": "a"}),
        msgspec.msgpack.encode({1: 2, "model": "a"}),
    ):
        assert refused(raw, MSGPACK).code == "invalid_type"


def test_msgpack_keys_need_not_be_utf8() -> None:
    """What is not for us to read is not for us to refuse."""
    raw = b"\x82\xa1\xff\xa1\xfe\xa5model\xa1a"
    assert parse(raw, MSGPACK).with_model("b") == raw[:-1] + b"b"


def test_json_said_to_be_msgpack_is_refused_and_the_other_way_round() -> None:
    assert refused(RAW, MSGPACK).status == 400
    assert refused(PACKED, JSON).code == "invalid_json"


# ------------------------------------------------------------------ halves of characters


@pytest.mark.parametrize(
    "text",
    [
        r"\ud83d",
        r"\uDE00",
        r"\ude00\ud83d",
        r"x\\\ud83dx",
        r"\ud83d\ud83d\ude00",
        r"\ud83d\u0041",
        r"\ud83d\\ude00",
    ],
)
def test_half_a_character_is_the_upstreams_business(text: str) -> None:
    """Python's and JavaScript's encoders write texts so that were cut amid one."""
    raw = f'{{"model":"a","x":"{text}","stream":true}}'.encode()
    json.loads(raw)
    asked = parse(raw, JSON)
    assert (asked.raw, asked.stream) == (raw, True)
    assert asked.with_model("b") == raw.replace(b'"a"', b'"b"')


def test_a_model_with_half_a_character_is_one_that_nobody_has() -> None:
    asked = parse(b'{"model":"a\\ud83d"}', JSON)
    asked.model.encode()
    assert asked.raw == b'{"model":"a\\ud83d"}'


def test_halves_are_not_healed_without_bound() -> None:
    halves = b"\\ud83d" * (body.MAX_HALVES + 1)
    assert refused(b'{"model":"a","x":"%b"}' % halves).code == "invalid_json"


def test_whole_characters_stay_as_they_are() -> None:
    raw = b'{"model":"\\ud83d\\ude00","x":"\\ud83d"}'
    assert parse(raw, JSON).model == "\U0001f600"


def test_text_is_checked_across_the_pieces_that_it_is_checked_in() -> None:
    for shift in range(4):
        text = "x" * (body._STEP - 20 - shift) + "\U0001f600é" * 10
        raw = json.dumps({"model": "a", "x": text}, ensure_ascii=False).encode()
        assert parse(raw, JSON).json_bytes == len(raw)
        assert refused(raw[:-5] + b'\xf0"}').code == "invalid_json"


# ------------------------------------------------------------------------------- bombs


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = zlib.compress(b" " * (64 << 20), 9, 31)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        told = refused(bomb, GZIP, limit=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (told.status, told.category) == (413, "payload_too_large")
    assert "1 MiB" in told.message
    assert peak < 8 << 20


def test_a_compressed_body_of_the_limit_is_taken() -> None:
    raw = gzip.compress(RAW)
    assert parse(raw, GZIP, limit=len(RAW)).model == "gpt-oss-120b"
    assert refused(raw, GZIP, limit=len(RAW) - 1).status == 413


def test_several_members_are_one_body() -> None:
    for cut in (0, 1, 20, len(RAW)):
        raw = gzip.compress(RAW[:cut]) + gzip.compress(RAW[cut:]) + b"\0" * 512
        assert parse(raw, GZIP).json_bytes == len(RAW)


def test_a_bomb_in_several_members_is_one_too() -> None:
    member = gzip.compress(b" " * 1000)
    assert refused(member * 2, GZIP, limit=1999).status == 413


def test_members_of_nothing_are_bounded() -> None:
    told = refused(gzip.compress(b"") * 100_000, GZIP)
    assert (told.status, told.code) == (400, "invalid_gzip")
    assert "members" in told.message


PACKED_RAW = gzip.compress(RAW)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (RAW, "something else"),
        (zlib.compress(RAW), "something else"),
        (PACKED_RAW + b"rest", "something else"),
        (PACKED_RAW[:20] + b"\xff" + PACKED_RAW[21:], "damaged"),
        (PACKED_RAW[:-6] + b"\0\0" + PACKED_RAW[-4:], "damaged"),
    ],
    ids=["nothing", "plain", "zlib", "more", "damaged", "wrong sum"],
)
def test_what_is_no_gzip_is_refused(raw: bytes, words: str) -> None:
    told = refused(raw, GZIP)
    assert (told.status, told.code) == (400, "invalid_gzip")
    assert words in told.message


@pytest.mark.parametrize("length", range(1, len(PACKED_RAW)))
def test_every_cut_of_gzip_is_refused(length: int) -> None:
    assert refused(PACKED_RAW[:length], GZIP).code == "invalid_gzip"


def test_a_map_of_too_many_keys_is_refused_before_they_are_read() -> None:
    head = b"\xdf" + (body.MAX_FIELDS + 1).to_bytes(4, "big")
    told = refused(head + b"\xa1x\x01" * (body.MAX_FIELDS + 1), MSGPACK)
    assert told.code == "too_many_fields"
    head = b"\xde" + body.MAX_FIELDS.to_bytes(2, "big")
    many = head + b"\xa5model\xa1a" + b"\xa1x\x01" * (body.MAX_FIELDS - 1)
    assert parse(many, MSGPACK).with_model("b") == many.replace(b"\xa1a", b"\xa1b")


def test_deep_msgpack_is_refused() -> None:
    raw = b"\x82\xa5model\xa1a\xa1x" + b"\x91" * 200_000 + b"\xc0"
    assert "deep" in refused(raw, MSGPACK).message


def test_what_is_shown_of_a_header_is_short_and_plain() -> None:
    kind = b"text/\x1b[31m" + b"x" * 5000
    told = refused(RAW, {b"content-type": kind})
    assert len(told.message) < 300
    assert told.message.isprintable()


# ---------------------------------------------------------------------------- anything

HEADERS = st.sampled_from([JSON, {}, GZIP, MSGPACK, {**MSGPACK, **GZIP}])


def parsed_or_refused(raw: bytes, headers) -> Asked | Refusal:
    try:
        return parse(raw, headers)
    except Refusal as refusal:
        return refusal


@settings(LAW, max_examples=150)
@given(st.binary(max_size=60), HEADERS)
def test_any_bytes_are_read_or_refused(raw: bytes, headers) -> None:
    found = parsed_or_refused(raw, headers)
    if isinstance(found, Refusal):
        assert found.status in {400, 413, 415}
        assert len(found.message) < 300


@settings(LAW, max_examples=150)
@given(st.sampled_from([RAW, PACKED]), st.data())
def test_any_damage_is_read_or_refused(whole: bytes, data) -> None:
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    for headers in (JSON, MSGPACK):
        found = parsed_or_refused(bytes(raw), headers)
        if isinstance(found, Refusal):
            assert found.status == 400
        else:
            again = parse(found.with_model("another"), headers)
            assert (again.model, again.stream) == ("another", found.stream)
