"""Small tools for reading prompts: words, quotes, names, numbers. No model at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STOPWORDS = frozenset(
    """
    a about above afterwards all also an and any anything are as ask at be been before
    being between both but by call can cite could create describe did do does doing
    each every explain extract find first for from generate get give given had has
    have having hello her here hey hi him his how i if in include including instead
    into is it its just keep keys know last let like list look make many may me might
    more most much must my name named need next no none not nothing now of on one only
    or other our out over own please provide put read reply respond result return said
    same say see set she should show since so some such summarise summarize take tell
    than thank thanks that the their them then there these they thing this those
    through to too tool tools under until up upon use used using value very want was
    we well were what when where which while who whose why will with without word
    words would write yes you your
    """.split()  # noqa: SIM905 - words read better in a row
)

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_QUOTES = (
    r"\"([^\"\n]{1,300})\"",
    r"(?<!\w)'([^'\n]{1,300})'(?!\w)",
    r"`([^`\n]{1,300})`",
    r"\u201c([^\u201d\n]{1,300})\u201d",
    r"\u2018([^\u2019\n]{1,300})\u2019(?!\w)",
    r"\u00ab\s*([^\u00bb\n]{1,300}?)\s*\u00bb",
    r"\u300c([^\u300d\n]{1,300})\u300d",
)
_QUOTED = re.compile("|".join(_QUOTES))
_NO_SPACE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_NO_SPACE_RUN = re.compile(rf"[{_NO_SPACE}]{{2,}}")
_PROPER_WORD = r"[A-ZÀ-ÖØ-ÞĀ-Ž][\w\u2019'-]*"
_PROPER = re.compile(
    rf"{_PROPER_WORD}(?: (?:of |de |da |del |la |le |van |von |der )*{_PROPER_WORD})*"
    r"(?:, [A-Z]{2}\b)?"
)
_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|\n+|(?<=[\u3002\uff01\uff1f])")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:\.\d+)?(?![\w])")
_STEM_MIN = 3
# "one" is left out: it is hardly ever meant as a number.
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        "zero - two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905 - words read better in a row
    )
}


def words(text: str) -> list[str]:
    """Return a text's words, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """Cut the commonest English endings, so that `cats` meets `cat`."""
    for ending in ("ings", "ing", "ies", "ers", "ed", "es", "er", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_MIN:
            return word[: -len(ending)]
    return word


def keywords(text: str, limit: int = 4) -> list[str]:
    """Return the words that carry the text, as written, in order, each once."""
    found: dict[str, str] = {}
    for word in _WORD.findall(text):
        lowered = word.lower()
        if lowered not in _STOPWORDS and not lowered.isdigit():
            found.setdefault(lowered, word)
    for run in _NO_SPACE_RUN.findall(text):
        found.setdefault(run, run)
    return list(found.values())[:limit]


def stems(texts: Iterable[str]) -> set[str]:
    """Return the stems of all words that are no stop words."""
    return {
        stem(word) for text in texts for word in words(text) if word not in _STOPWORDS
    }


def name_words(name: str) -> list[str]:
    """Split an identifier: `customer_name`, `customerName` and `customer-name`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [part.lower() for part in re.split(r"[\W_]+", spaced) if part]


def quoted(text: str) -> list[str]:
    """Return what stands in quotation marks, in order."""
    hits = (found[found.lastindex or 0] for found in _QUOTED.finditer(text))
    return [hit.strip() for hit in hits if hit.strip()]


def no_space_runs(text: str) -> list[str]:
    """Return runs of Chinese, Japanese or Korean."""
    return _NO_SPACE_RUN.findall(text)


def proper_names(text: str) -> list[str]:
    """Return capitalised names, such as `San Francisco, CA`, each once.

    A word that is capitalised only because a sentence starts with it is none.
    """
    found: dict[str, None] = {}
    for match in _PROPER.finditer(text):
        name = match[0]
        while True:
            head, _, rest = name.partition(" ")
            if head.rstrip(",").lower() not in _STOPWORDS or not head:
                break
            name = rest
        before = text[: match.start()].rstrip()
        starts = not before or before[-1] in ".!?:\n\"'"
        if name and not (starts and name == match[0] and _is_common(name)):
            found.setdefault(name, None)
    return list(found)


def _is_common(name: str) -> bool:
    """Say whether a sentence's first word is likely no name: single, no capitals."""
    return " " not in name and name[1:].islower()


def sentences(text: str) -> list[str]:
    """Split a text into sentences and lines."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def numbers(text: str) -> list[int | float]:
    """Return the numbers of a text in order; number words come after digits."""
    found: list[int | float] = []
    for hit in _NUMBER.findall(text):
        plain = hit.replace(",", "")
        try:
            found.append(float(plain) if "." in plain else int(plain))
        except ValueError:  # such as 1.2.3
            continue
    found += [_NUMBER_WORDS[word] for word in words(text) if word in _NUMBER_WORDS]
    return found


def clip(text: str, limit: int) -> str:
    """Cut a text at a word, so that it has at most so many characters."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(",;: ") + "…"
