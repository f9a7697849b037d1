"""A text file that a command works on: reading, searching, and checking citations."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_cerebras_ext.cli.failures import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_QUOTE: Final = 240
MAX_LINES: Final = 40
MAX_HITS: Final = 8

_SAMPLE_LINES = 2_000
_SAMPLE_CHARS = 400_000
_LONGEST_WORD = 40
_SHORTEST_WORD = 4
_SHORTEST_ASKED_WORD = 2
_QUERY_WORDS = 4
_BREAKS = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")

# Words that are in any English text and so tell nothing about one.
_COMMON: Final = frozenset(
    """
    about after again against also although always among another because been before
    being below between both cannot come could does doing done down during each either
    else ever every file from further give given have having here however into itself
    just kind know like line lines made make many more most much must need never none
    only other ours over same says shall should since some such take than that their
    them then there these they thing things this those through thus under until upon
    very want well were what when where whether which while whose will with within
    without would your yours the and for are not you all any can its was has had but
    how why who did say tell is it in on of to a an be by do per
    """.split()  # noqa: SIM905 - a list of words is easier to read so
)


class Line(NamedTuple):
    """A line, or the part of it that fits a quote."""

    line: int
    text: str


@dataclass(frozen=True)
class Document:
    """The lines of a text file.

    Attributes:
        name: The file's name.
        lines: Its lines, without line breaks; the first one's number is 1.
    """

    name: str
    lines: tuple[str, ...]

    @property
    def first_line(self) -> int:
        """The number of the first line that is not blank."""
        return next(at for at, line in enumerate(self.lines, 1) if line.strip())

    def search(self, query: str, limit: int = MAX_HITS) -> list[Line]:
        """Return the lines that have most words of a query, in the file's order.

        Args:
            query: Words; case does not matter.
            limit: How many lines at most.
        """
        words = list(dict.fromkeys(word.casefold() for word in words_of(query)))
        wanted = words or [query.strip().casefold()] * bool(query.strip())
        if not wanted:
            return []
        patterns = [re.compile(re.escape(word), re.IGNORECASE) for word in wanted]
        # One pass with all words at once: most lines of a large file have none.
        some = re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE)
        hits: list[tuple[int, Line]] = []
        for number, text in enumerate(self.lines, 1):
            found = some.search(text)
            if found is not None:
                score = sum(bool(pattern.search(text)) for pattern in patterns)
                hits.append((score, Line(number, excerpt(text, found.start()))))
        hits.sort(key=lambda hit: -hit[0])
        return sorted(line for _, line in hits[:limit])

    def read(self, start: int, end: int) -> list[Line]:
        """Return the lines of a range that are not blank; long ones cut.

        Args:
            start: Number of the first line.
            end: Number of the last line; at most `MAX_LINES` are returned.
        """
        start = max(1, start)
        chosen = self.lines[start - 1 : min(end, start + MAX_LINES - 1)]
        return [
            Line(number, excerpt(text))
            for number, text in enumerate(chosen, start)
            if text.strip()
        ]

    def has(self, line: int, quote: str) -> bool:
        """Say whether a quote stands in the line of this number, letter by letter."""
        quote = quote.strip()
        return (
            bool(quote)
            and 1 <= line <= len(self.lines)
            and quote in self.lines[line - 1]
        )

    def beginning(self, chars: int) -> str:
        """Return the first lines, at most so many characters."""
        taken: list[str] = []
        left = chars
        for line in self.lines:
            taken.append(line[:left])
            left -= len(line) + 1
            if left <= 0:
                break
        return "\n".join(taken).strip()

    def telling_words(self, limit: int = _QUERY_WORDS) -> list[str]:
        """Return words that are worth asking for: each adds most lines to those found.

        A text without any such word gives the beginning of its first line.
        """
        where = self._words_by_line()
        chosen: list[str] = []
        covered: set[int] = set()
        while where and len(chosen) < limit:
            # Of equals the first one in the text: `max` keeps the order of insertion.
            word = max(where, key=lambda one: len(where[one] - covered))
            if chosen and not where[word] - covered:
                break
            covered |= where.pop(word)
            chosen.append(word)
        if chosen:
            return chosen
        return [self.lines[self.first_line - 1].strip()[:_LONGEST_WORD]]

    def _words_by_line(self) -> dict[str, set[int]]:
        where: dict[str, set[int]] = {}
        left = _SAMPLE_CHARS
        for number, line in enumerate(self.lines[:_SAMPLE_LINES], 1):
            for word in words_of(line[:left]):
                folded = word.casefold()
                if len(word) >= _SHORTEST_WORD and folded not in _COMMON:
                    where.setdefault(folded, set()).add(number)
            left -= len(line)
            if left <= 0:
                break
        return where

    def words_to_search(self, question: str, limit: int = _QUERY_WORDS) -> list[str]:
        """Return the words of a question that this file has, the rarest first.

        If only one line has any of them, words of other lines are added, so that there
        is something to compare. If the file has none of them, the question's own words
        are returned: the search will then find nothing, and say so.
        """
        asked = [
            word
            for word in dict.fromkeys(words_of(question))
            if word.casefold() not in _COMMON and len(word) >= _SHORTEST_ASKED_WORD
        ]
        counts = self._count(asked)
        present = sorted(
            (word for word in asked if counts[word]), key=lambda word: counts[word]
        )
        if present and len(self.search(" ".join(present), limit)) == 1:
            present += [word for word in self.telling_words() if word not in present]
        return (present or asked or words_of(question) or [question.strip()])[:limit]

    def _count(self, words: Sequence[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for word in words:
            pattern = re.compile(re.escape(word), re.IGNORECASE)
            counts[word] = sum(bool(pattern.search(line)) for line in self.lines)
        return counts


def words_of(text: str) -> list[str]:
    """Return the words of a text; very long ones, as in Chinese, are cut."""
    return [word[:_LONGEST_WORD] for word in _WORD.findall(text)]


def excerpt(line: str, at: int = 0) -> str:
    """Return a line, or the part around a place of it that fits a quote.

    It is always found in the line as it is: nothing marks a cut.
    """
    if len(line) <= MAX_QUOTE:
        return line.strip()
    start = max(0, min(at - MAX_QUOTE // 4, len(line) - MAX_QUOTE))
    cut = line[start : start + MAX_QUOTE]
    # Begin and end with whole words where there are any.
    if start and " " in cut[: MAX_QUOTE // 4]:
        cut = cut.split(" ", 1)[1]
    if start + MAX_QUOTE < len(line) and " " in cut[-MAX_QUOTE // 4 :]:
        cut = cut.rsplit(" ", 1)[0]
    return cut.strip()


def as_records(lines: Iterable[Line]) -> list[dict[str, int | str]]:
    """Return lines as JSON takes them."""
    return [{"line": line.line, "text": line.text} for line in lines]


def parse_document(name: str, data: bytes) -> Document:
    """Read a file's bytes as UTF-8 text.

    Raises:
        CommandError: They are no text, or there is none.
    """
    text = decode(name, data)
    if not text.strip():
        msg = f"{name} is empty: there is no text to work on."
        raise CommandError(msg)
    lines = _BREAKS.split(text)
    if not lines[-1]:
        lines.pop()
    return Document(name, tuple(lines))


def decode(name: str, data: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        CommandError: It is something else; says where.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"{name} is UTF-16; save it as UTF-8 first."
        raise CommandError(msg)
    if b"\0" in data:
        at = data.index(b"\0")
        msg = f"{name} is no text: it has a zero byte at offset {at}."
        raise CommandError(msg)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = (
            f"{name} is no UTF-8 text: byte 0x{data[error.start]:02x} at offset "
            f"{error.start}. Save it as UTF-8 first."
        )
        raise CommandError(msg) from error


def load_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        CommandError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}."
        raise CommandError(msg) from error
    if len(data) > MAX_BYTES:
        msg = f"{path} is too large: at most {MAX_BYTES // 1024**2} MB are read."
        raise CommandError(msg)
    return data


def load_document(path: Path | None) -> Document:
    """Read a text file; by default the document that comes with the package.

    Raises:
        CommandError: It is no UTF-8 text, empty, too large, or cannot be read.
    """
    if path is None:
        own = resources.files("langchain_cerebras_ext.cli") / "demo.md"
        return parse_document(own.name, own.read_bytes())
    return parse_document(path.name, load_bytes(path))
