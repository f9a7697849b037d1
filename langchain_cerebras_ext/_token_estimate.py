"""Estimate how many `o200k` tokens a text is, without any vocabulary.

A text is cut as the `o200k` pattern cuts it: words with the character before them,
runs of punctuation, of digits, of white space. Tokens never cross these cuts, so the
cutting alone counts code and JSON well. How many tokens a word takes depends on its
script and its length and, for Latin and Cyrillic letters, on how much of the
vocabulary its language got, which the words themselves tell.

The rates were fitted on interface translations in 80 languages, on Python, JavaScript,
JSON and package descriptions, each word counted by the real vocabulary. How good the
estimate is, `_tokens` says, and a test holds it to that. It runs at 8 to 20 MB/s, and
at 3 MB/s where hardly a piece repeats, as in random base64.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from typing import Final, Literal, NamedTuple

__all__ = ["estimate_text_tokens"]

MARGIN: Final = 1.08
"""What is put on top, since counting too little is the worse mistake."""

_BEFORE = r"[^\r\n0-9A-Za-z\u00aa-\u1fff\u2070-\U0010ffff]?"
_UPPER = r"A-Z\u00c0-\u00de"
_LOWER = r"a-z\u00aa\u00b5\u00ba\u00df-\u024f\u0250-\u02af\u0300-\u036f\u1e00-\u1eff"
_RUNS = (
    r"\u0400-\u052f",  # Cyrillic
    r"\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3005-\u3007\u3040-\u30ff",  # Han, Kana
    r"\uac00-\ud7af\u1100-\u11ff\u3130-\u318f",  # Hangul
    r"\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefe",  # Arabic
    r"\u0900-\u0dff",  # scripts of India and Sri Lanka
    r"\u0e00-\u0e7f",  # Thai
    r"\u0370-\u03ff\u1f00-\u1fff",  # Greek
    r"\u0590-\u05ff",  # Hebrew
    r"\u0530-\u058f",  # Armenian
    r"\u10a0-\u10ff",  # Georgian
    r"\u0e80-\u0fff",  # Lao, Tibetan
    r"\u1000-\u109f\u1780-\u17ff",  # Burmese, Khmer
    r"\u1200-\u139f",  # Ethiopic
)
_PIECE: Final = re.compile(
    "|".join(
        (
            rf"{_BEFORE}[{_UPPER}]*[{_LOWER}]+",
            rf"{_BEFORE}[{_UPPER}]+",
            r"[0-9]+",
            *(rf"{_BEFORE}[{run}]+" for run in _RUNS),
            r" ?[!-/:-@\[-`{-~]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
            r" ?\S",
        )
    )
)
_SLICE_CHARS: Final = 1 << 20  # bounds the memory that a long text takes


class Rate(NamedTuple):
    """Tokens of a word: one, and `slope` for each letter after the first `free`."""

    slope: float
    free: float

    def cost(self, letters: int) -> float:
        """Return the tokens of a word of so many letters."""
        over = letters - self.free
        return 1.0 + self.slope * over if over > 0 else 1.0


_ENGLISH: Final = Rate(0.105, 4.0)
_MAJOR_LATIN: Final = Rate(0.20, 3.8)
_OTHER_LATIN: Final = Rate(0.41, 3.0)
_RUSSIAN: Final = Rate(0.26, 3.4)
_OTHER_CYRILLIC: Final = Rate(0.42, 2.8)
_ARABIC: Final = Rate(0.36, 2.6)
_OTHER_ARABIC: Final = Rate(0.60, 2.4)

_Kind = Rate | float | Literal["ascii", "digits", "latin", "cyrillic", "arabic"]

# First code point of each script and its rate; a number is the cost of a symbol.
_SCRIPTS: Final[tuple[tuple[int, _Kind], ...]] = (
    (0x0000, "ascii"),
    (0x0080, 1.0),
    (0x00C0, "latin"),
    (0x0370, Rate(0.50, 2.9)),  # Greek
    (0x0400, "cyrillic"),
    (0x0530, Rate(0.45, 2.6)),  # Armenian
    (0x0590, Rate(0.52, 2.3)),  # Hebrew
    (0x0600, "arabic"),
    (0x0780, Rate(2.00, 0.8)),  # Thaana, N'Ko and others
    (0x08A0, "arabic"),
    (0x0900, Rate(0.42, 2.2)),  # Devanagari, Bengali
    (0x0A00, Rate(0.72, 1.6)),  # Gurmukhi
    (0x0A80, Rate(0.45, 2.0)),  # Gujarati
    (0x0B00, Rate(1.10, 1.0)),  # Oriya
    (0x0B80, Rate(0.45, 2.2)),  # Tamil, Telugu, Kannada, Malayalam
    (0x0D80, Rate(0.72, 1.6)),  # Sinhala
    (0x0E00, Rate(0.46, 2.2)),  # Thai
    (0x0E80, Rate(2.00, 0.8)),  # Lao
    (0x0F00, Rate(1.70, 0.8)),  # Tibetan
    (0x1000, Rate(0.75, 1.3)),  # Burmese
    (0x10A0, Rate(0.42, 2.4)),  # Georgian
    (0x1100, Rate(0.66, 1.0)),  # Hangul letters
    (0x1200, Rate(2.40, 0.8)),  # Ethiopic
    (0x13A0, 3.0),  # scripts that are spelled byte by byte
    (0x1780, Rate(0.80, 1.3)),  # Khmer
    (0x1800, 3.0),
    (0x1E00, "latin"),
    (0x1F00, Rate(0.90, 1.0)),  # Greek with accents
    (0x2000, 1.0),  # punctuation, currencies
    (0x2100, 1.5),  # arrows, mathematics, boxes
    (0x3000, 1.0),  # punctuation of China and Japan
    (0x3040, Rate(0.80, 1.0)),  # Kana
    (0x3130, Rate(1.00, 1.0)),  # Hangul letters
    (0x31F0, Rate(0.80, 1.0)),  # Kana, Han
    (0xA000, 3.0),
    (0xAC00, Rate(0.66, 1.0)),  # Hangul
    (0xD800, 3.0),
    (0xF900, Rate(1.00, 1.0)),  # Han
    (0xFB00, Rate(1.20, 1.0)),  # Arabic forms
    (0xFF00, 1.0),  # full-width forms
    (0x10000, 2.4),  # emoji
    (0x20000, 3.0),
)
_SCRIPT_STARTS: Final = [start for start, _ in _SCRIPTS]

# How often these words occur tells which language a text is in.
_ENGLISH_TEXT: Final = """
the of and to in is that it for was with as on be at by this have from or not are but
which you an we they his her he she has had their there been if more when will would
who so no out up can what about into than them only some could time these two may then
do any my now such like our over me even most made after also did many before must
through how where much your well should because each just those people too its were
"""
_CODE_TEXT: Final = """
def return self import none true false else elif while class try except raise lambda
yield assert async await const let var function new null undefined export default type
string int str bool float list dict name value key id data error message path file line
text index args kwargs result content model role user system get set add http https www
com org json status code url
"""
_MAJOR_TEXT: Final = """
de la le les et en un une des du que qui dans pour pas sur est il elle par ce au se ne
plus avec son sa ses nous vous ou mais où el los las del con su para como más al lo si
sus ha ya fue pero os da dos das em um uma não na nos ao à é di che è per non della sono
gli nel alla der die das und den von zu mit sich auf ist ein eine nicht dem auch es war
hat wie bei oder sie er ich wird einen einer het een van niet dat zijn op te aan voor
met yang dan untuk dengan ini itu pada dari dalam tidak akan oleh ke ada adalah
"""
# Code and the keys of data are mostly English.
_ENGLISH_WORDS: Final = frozenset(_ENGLISH_TEXT.split() + _CODE_TEXT.split())
_MAJOR_WORDS: Final = frozenset(_MAJOR_TEXT.split())
_FUNCTION_WORD_SHARE: Final = 0.2  # of running text; in English prose it is 0.4
_FEW_WORDS: Final = 10  # so many say little about the language

_RARE_LATIN = re.compile(
    "[\u0100-\u0102\u0104-\u0110\u0112-\u019f\u01a2-\u01ae\u01b1-\u02af]"
)
_CAPITAL = re.compile("[A-Z]")
# Letters outside the block's core: Persian, Urdu, Kurdish and others.
_OTHER_ARABIC_LETTER = re.compile("[^\u0600-\u064f]")
_RUSSIAN_LETTER = re.compile("[ыэё]")
_NOT_RUSSIAN_LETTER = re.compile("[^\u0410-\u044fёЁ]")
_LETTER_SHARE: Final = 0.06  # of words with a letter that tells the language

_JOINED_COST: Final = 0.3  # of a sign that the pattern leaves with its word
_RARE_LATIN_COST: Final = 0.35
_INNER_CAPITAL_COST: Final = 0.6
_SHOUTED_COST: Final = 0.3
_DIGITS_PER_TOKEN: Final = 3


def estimate_text_tokens(text: str) -> int:
    """Return about how many tokens a text is, meant to be a little too high."""
    pieces: Counter[str] = Counter()
    for start in range(0, len(text), _SLICE_CHARS):
        pieces.update(_PIECE.findall(text, start, start + _SLICE_CHARS))
    tally = _Tally()
    for piece, count in pieces.items():
        tally.add(piece, count)
    return math.ceil(tally.total() * MARGIN)


class _Tally:
    """Sums the pieces of one text; each different piece is looked at once."""

    __slots__ = (
        "cyrillic",
        "cyrillic_words",
        "english_words",
        "latin",
        "latin_words",
        "major_words",
        "not_russian_words",
        "other",
        "russian_words",
    )

    def __init__(self) -> None:
        self.other = 0.0
        self.latin = [0.0, 0.0, 0.0]  # if all were English, major, other
        self.cyrillic = [0.0, 0.0]  # if all were Russian, other
        self.latin_words = self.english_words = self.major_words = 0
        self.cyrillic_words = self.russian_words = self.not_russian_words = 0

    def add(self, piece: str, count: int) -> None:
        """Add a piece that occurs so many times."""
        joined = not piece[0].isalnum() and len(piece) > 1
        word = piece[1:] if joined else piece
        kind = _kind(word[0])
        if kind == "latin":
            extra = _JOINED_COST if joined and piece[0] > " " else 0.0
            self._add_latin(word, count, extra)
        elif kind == "cyrillic":
            self._add_cyrillic(word, count)
        else:
            self.other += count * _cost(kind, piece, word)

    def _add_latin(self, word: str, count: int, extra: float) -> None:
        letters = len(word)
        if letters > 1:
            extra += _spelling_cost(word)
        self.latin[0] += count * (extra + _ENGLISH.cost(letters))
        self.latin[1] += count * (extra + _MAJOR_LATIN.cost(letters))
        self.latin[2] += count * (extra + _OTHER_LATIN.cost(letters))
        self.latin_words += count
        lower = word.lower()
        if lower in _ENGLISH_WORDS:
            self.english_words += count
        elif lower in _MAJOR_WORDS:
            self.major_words += count

    def _add_cyrillic(self, word: str, count: int) -> None:
        letters = len(word)
        self.cyrillic[0] += count * _RUSSIAN.cost(letters)
        self.cyrillic[1] += count * _OTHER_CYRILLIC.cost(letters)
        self.cyrillic_words += count
        if _RUSSIAN_LETTER.search(word):
            self.russian_words += count
        if _NOT_RUSSIAN_LETTER.search(word):
            self.not_russian_words += count

    def total(self) -> float:
        """Weigh the languages that the text seems to be in, and sum up."""
        return self.other + self._latin_total() + self._cyrillic_total()

    def _latin_total(self) -> float:
        telling = _FUNCTION_WORD_SHARE * (self.latin_words + _FEW_WORDS)
        english = min(1.0, self.english_words / telling)
        # A little more than there are, so that a text of few words counts as major.
        major = min(1.0 - english, (self.major_words + 1.5) / telling)
        rest = 1.0 - english - major
        return english * self.latin[0] + major * self.latin[1] + rest * self.latin[2]

    def _cyrillic_total(self) -> float:
        if not self.cyrillic_words:
            return 0.0
        telling = _LETTER_SHARE * self.cyrillic_words
        russian = min(1.0, self.russian_words / telling)
        russian *= 1.0 - min(1.0, self.not_russian_words / telling)
        return russian * self.cyrillic[0] + (1.0 - russian) * self.cyrillic[1]


@lru_cache(maxsize=4096)
def _kind(first: str) -> _Kind:
    """Return the script of a piece by its first character, or a symbol's cost."""
    kind = _SCRIPTS[bisect_right(_SCRIPT_STARTS, ord(first)) - 1][1]
    if kind != "ascii" or not first.isalnum():
        return kind
    return "latin" if first.isalpha() else "digits"


def _cost(kind: _Kind, piece: str, word: str) -> float:
    """Return the tokens of a piece whose language makes no difference."""
    if kind == "ascii":
        over = len(piece.strip()) - 3
        return 1.0 if over < 0 else 1.12 + 0.5 * over
    if kind == "digits":
        return -(-len(word) // _DIGITS_PER_TOKEN)
    if kind == "arabic":
        other = _OTHER_ARABIC_LETTER.search(word)
        return (_OTHER_ARABIC if other else _ARABIC).cost(len(word))
    return kind.cost(len(word)) if isinstance(kind, Rate) else float(kind)


def _spelling_cost(word: str) -> float:
    """Return what capitals and rare accents add to a Latin word."""
    accents = 0 if word.isascii() else len(_RARE_LATIN.findall(word))
    extra = _RARE_LATIN_COST * accents
    if word.islower():
        return extra
    if word.isupper():
        return extra + _SHOUTED_COST * max(0, len(word) - 2)
    return extra + _INNER_CAPITAL_COST * len(_CAPITAL.findall(word, 1))
