"""Text to tokens and back: an estimate that needs no vocabulary.

The real models' tokenizers are large downloads. Pieces of about four letters to a
word, single characters of scripts without spaces, digits in threes: the counts come
near those of the real ones for prose, and the pieces always add up to the text.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_cerebras_ext.catalog import ImageTokenRule

_NO_SPACE_SCRIPTS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(
    rf"[{_NO_SPACE_SCRIPTS}]"
    rf"| ?(?:(?![{_NO_SPACE_SCRIPTS}])[^\W\d_]){{1,12}}"
    r"| ?\d{1,3}"
    r"| ?(?:[^\w\s]|_)"
    r"|\s+"
)


def split_tokens(text: str) -> list[str]:
    """Split a text into tokens; joined, they are the text again."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count a text's tokens."""
    return len(_TOKEN.findall(text))


def count_image_tokens(width: int, height: int, rule: ImageTokenRule) -> int:
    """Estimate an image's tokens.

    Args:
        width: In pixels, positive.
        height: In pixels, positive.
        rule: How the model cuts images into cells; each is one token.
    """
    cell = rule.cell_px
    if rule.kind == "grid":
        columns, rows = math.ceil(width / cell), math.ceil(height / cell)
    else:
        scale = math.sqrt(rule.max_tokens * cell * cell / (width * height))
        columns, rows = int(width * scale) // cell, int(height * scale) // cell
    return min(rule.max_tokens, max(1, columns) * max(1, rows))
