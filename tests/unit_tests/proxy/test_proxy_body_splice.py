"""`model` is replaced, and not one byte besides: by construction, not by parsing."""

from __future__ import annotations

import gzip
import json
import struct

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.proxy.body import parse

# The machine may be busy with other tests.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = {b"content-type": b"application/json"}
GZIP = {**JSON, b"content-encoding": b"gzip"}
MSGPACK = {b"content-type": b"application/vnd.msgpack"}

HOLE = None
"""Stands in a list of pieces where a value of the top-level `model` is."""


def fill(pieces: list[bytes | None], values: list[bytes]) -> bytes:
    values = list(values)
    return b"".join(values.pop(0) if piece is HOLE else piece for piece in pieces)


# ------------------------------------------------------------------------------- JSON

SPACES = st.text(" \n\r\t", max_size=2)
# Much of what could lead a scanner astray, and text of every kind.
TEXTS = st.one_of(
    st.sampled_from(['"', "\\", '"model"', "model", '\\"', "{", "]", ",", ":", "\\u"]),
    # Halves of characters, which a text that was cut may end with.
    st.sampled_from(["\ud83d", "\ude00", "\\ud83d", "\ude00\ud83d", "\U0001f600"]),
    st.text(max_size=8),
).flatmap(
    lambda text: st.just(text) | st.text(max_size=3).map(lambda more: text + more)
)


@st.composite
def json_texts(draw, texts=TEXTS) -> str:
    """A text in one of the many ways of writing it."""
    text = draw(texts)
    is_whole = "\ufffd" not in _utf16(text).decode("utf-16-le", "replace")
    written = json.dumps(text, ensure_ascii=not is_whole or draw(st.booleans()))
    if draw(st.booleans()):
        escaped = "".join(
            f"\\u{unit:04x}" for (unit,) in struct.iter_unpack("<H", _utf16(text))
        )
        written = f'"{escaped}"'
    return written


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


SCALARS = st.one_of(
    json_texts(),
    st.sampled_from(["null", "true", "false", "0", "-1", "1e400", "-0.5E-7", "12" * 9]),
)


@st.composite
def json_values(draw, depth: int = 4) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(SCALARS)
    inner = json_values(depth - 1)
    items = draw(st.lists(inner, max_size=3))
    space = draw(SPACES)
    if draw(st.booleans()):
        return f"[{space}{f'{space},'.join(items)}{space}]"
    names = st.just('"model"') | json_texts()
    members = [f"{draw(names)}{draw(SPACES)}:{draw(SPACES)}{item}" for item in items]
    return f"{{{space}{f',{space}'.join(members)}{space}}}"


MODEL_KEYS = st.sampled_from(
    [
        '"model"',
        '"\\u006dodel"',
        '"mod\\u0065l"',
        '"mode\\u006C"',
        '"\\u006D\\u006fdel"',
    ]
)
OTHER_KEYS = json_texts(TEXTS.filter(lambda text: text != "model")).filter(
    lambda key: key not in {'"stream"', '"n"', '"max_tokens"'}
)


@st.composite
def bodies(draw) -> tuple[list[bytes | None], list[bytes]]:
    """An object in pieces, and the values of its `model` keys; the last is a text."""
    others = draw(st.lists(json_values(), max_size=4))
    models = draw(st.lists(json_values(2), max_size=2))
    members = [(draw(OTHER_KEYS), other, False) for other in others]
    members += [(draw(MODEL_KEYS), model, True) for model in models]
    members = draw(st.permutations(members))
    name = json.dumps(draw(st.text(min_size=1, max_size=9)))
    after = draw(st.lists(json_values(), max_size=2))
    members += [(draw(MODEL_KEYS), name, True)]
    members += [(draw(OTHER_KEYS), other, False) for other in after]
    pieces: list[bytes | None] = [f"{draw(SPACES)}{{{draw(SPACES)}".encode()]
    values = []
    for index, (key, value, is_model) in enumerate(members):
        comma = f"{draw(SPACES)},{draw(SPACES)}" if index else ""
        pieces.append(f"{comma}{key}{draw(SPACES)}:{draw(SPACES)}".encode())
        pieces.append(HOLE if is_model else value.encode())
        values += [value.encode()] * is_model
    pieces.append(f"{draw(SPACES)}}}{draw(SPACES)}".encode())
    return pieces, values


@settings(LAW, max_examples=150)
@given(bodies(), st.text(min_size=1, max_size=12))
def test_only_the_values_of_model_change(body, name) -> None:
    pieces, values = body
    raw = fill(pieces, values)
    asked = parse(raw, JSON)
    assert asked.model == json.loads(values[-1])
    assert asked.with_model(asked.model) == raw
    told = msgspec.json.encode(name)
    if name != asked.model:
        assert asked.with_model(name) == fill(pieces, [told] * len(values))


@settings(LAW, max_examples=50)
@given(bodies())
def test_what_is_left_reads_as_before(body) -> None:
    """The same, by a parser that knows nothing of us."""
    raw = fill(*body)
    before = json.loads(raw, object_pairs_hook=list)
    after = json.loads(parse(raw, JSON).with_model("an/other"), object_pairs_hook=list)
    assert len(before) == len(after)
    for (key, value), (new_key, new_value) in zip(before, after, strict=True):
        assert key == new_key
        assert new_value == ("an/other" if key == "model" else value)


@settings(LAW, max_examples=50)
@given(bodies(), st.integers(0, 9))
def test_a_compressed_body_stays_compressed(body, level) -> None:
    pieces, values = body
    raw = gzip.compress(fill(pieces, values), level)
    asked = parse(raw, GZIP)
    assert asked.with_model(asked.model) == raw
    expected = fill(pieces, [b'"another-model"'] * len(values))
    assert gzip.decompress(asked.with_model("another-model")) == expected


@pytest.mark.parametrize("depth", [1, 11, 12, 13, 14, 30, 300])
@pytest.mark.parametrize("inner", ['{"model":"x"}', '["]","{",{"model":[1]}]', '"\\""'])
def test_nesting_does_not_lead_it_astray(depth: int, inner: str) -> None:
    deep = f"{'[1,' * depth}{inner}{']' * depth}"
    objects = f"{'{' + chr(34) + 'model' + chr(34) + ':'}" * depth + inner + "}" * depth
    body = f'{{"a":{deep},"model":HERE,"b":{objects},"model":HERE,"c":{{}},"d":[ ]}}'
    raw = body.replace("HERE", '"old"').encode()
    assert parse(raw, JSON).with_model("new") == body.replace("HERE", '"new"').encode()


@pytest.mark.parametrize("name", ["é/😀", 'a"b\\c', "\n", "\x00"])
def test_a_name_is_written_as_json(name: str) -> None:
    raw = b'{"model":"old", "messages":[]}'
    assert json.loads(parse(raw, JSON).with_model(name))["model"] == name


# ---------------------------------------------------------------------------- msgpack


@st.composite
def pack_text(draw, texts) -> bytes:
    """A text, with a head of any width that it may have."""
    text = draw(texts).encode("utf-8", "replace")
    heads = [b"\xd9%c" % len(text), b"\xda" + struct.pack(">H", len(text))]
    heads.append(b"\xdb" + struct.pack(">I", len(text)))
    if len(text) < 32:
        heads.append(bytes([0xA0 | len(text)]))
    return draw(st.sampled_from(heads)) + text


def pack_head(draw, count: int, *, is_map: bool) -> bytes:
    small, wide = (0x80, b"\xde") if is_map else (0x90, b"\xdc")
    wider = b"\xdf" if is_map else b"\xdd"
    heads = [wide + struct.pack(">H", count), wider + struct.pack(">I", count)]
    if count < 16:
        heads.append(bytes([small | count]))
    return draw(st.sampled_from(heads))


NAMES = st.sampled_from(["a", "", "models", "Model", "\u00e9"])


@st.composite
def pack_values(draw, depth: int = 3) -> bytes:
    if depth == 0 or draw(st.booleans()):
        return draw(
            pack_text(TEXTS)
            | st.sampled_from([b"\xc0", b"\xc2", b"\xc3", b"\x07", b"\xe0"])
            | st.sampled_from([b"\xcf" + b"\xff" * 8, b"\xd3" + b"\x80" + b"\0" * 7])
            | st.sampled_from([b"\xcb" + struct.pack(">d", 0.1), b"\xca\x7f\x80\0\0"])
            | st.binary(max_size=5).map(lambda data: b"\xc4%c%b" % (len(data), data))
            | st.sampled_from([b"\xd4\x05a", b"\xc7\x03\x07abc", b"\xd6\xff\0\0\0\1"])
        )
    items = draw(st.lists(pack_values(depth - 1), max_size=3))
    if draw(st.booleans()):
        return pack_head(draw, len(items), is_map=False) + b"".join(items)
    keys = pack_text(NAMES | st.just("model"))
    members = [draw(keys) + item for item in items]
    return pack_head(draw, len(items), is_map=True) + b"".join(members)


@st.composite
def packed_bodies(draw) -> tuple[list[bytes | None], list[bytes]]:
    members = [
        (draw(pack_text(NAMES)), value, False)
        for value in draw(st.lists(pack_values(), max_size=20))
    ]
    members += [
        (draw(pack_text(st.just("model"))), value, True)
        for value in draw(st.lists(pack_values(1), max_size=2))
    ]
    members = draw(st.permutations(members))
    name = draw(pack_text(st.just("gpt-oss-120b")))
    members.append((draw(pack_text(st.just("model"))), name, True))
    pieces: list[bytes | None] = [pack_head(draw, len(members), is_map=True)]
    for key, value, is_model in members:
        pieces += [key, HOLE if is_model else value]
    return pieces, [value for _, value, is_model in members if is_model]


@settings(LAW, max_examples=100)
@given(packed_bodies(), st.text(min_size=1, max_size=40))
def test_msgpack_keeps_all_but_model(body, name) -> None:
    pieces, values = body
    raw = fill(pieces, values)
    asked = parse(raw, MSGPACK)
    assert asked.model == "gpt-oss-120b"
    assert asked.with_model("gpt-oss-120b") == raw
    told = msgspec.msgpack.encode(name)
    if name != asked.model:
        assert asked.with_model(name) == fill(pieces, [told] * len(values))
        packed = parse(gzip.compress(raw), {**MSGPACK, b"content-encoding": b"gzip"})
        assert gzip.decompress(packed.with_model(name)) == asked.with_model(name)
