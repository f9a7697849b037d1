"""What a conversation says: the values that an answer can be filled with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    dump_text,
    is_integer,
    json_values,
    walk_objects,
)
from langchain_cerebras_ext.simulator.words import (
    keywords,
    name_words,
    no_space_runs,
    numbers,
    proper_names,
    quoted,
    sentences,
    stems,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NUMBERED_LINE = re.compile(
    r"^\s*(?:line\s+)?(\d{1,7})\s?[:|\t]\s?(.*)$", re.IGNORECASE
)
_VALUE = r"[\"'`\u201c]?([^\s,;\"'`\u201d{}\[\]]+(?: [A-Z][\w'-]*)*)"
_FIGURE = r"([-+]?\d+(?:,\d{3})*(?:\.\d+)?)"
_SPAN_MAX = 9
_PLURAL_MIN = 3
_NAMES_OF_TEXT = ("text", "quote", "content", "snippet", "excerpt", "passage")
_NAMES_OF_LINE = ("line", "linenumber", "lineno", "number")
_SAME = tuple(
    frozenset(group)
    for group in (
        _NAMES_OF_LINE,
        (*_NAMES_OF_TEXT, "linetext", "matchedtext"),
        ("file", "filename", "path", "filepath"),
        ("url", "link", "href"),
    )
)


def plain_key(name: str) -> str:
    """Return a key as it is compared: `lineNumber`, `line_number` are the same."""
    return "".join(name_words(name))


def same_key(one: str, other: str) -> bool:
    """Say whether two keys mean the same."""
    first, second = plain_key(one), plain_key(other)
    return first == second or any(first in group and second in group for group in _SAME)


class Evidence:
    """Values found in a conversation, handed out once each where that makes sense.

    Args:
        prompt: What the user asks now.
        context: What was said before, and the system's text.
        results: What tools returned since.
        tool_words: Words about the tools; what is asked for is likely not among them.
    """

    def __init__(
        self,
        prompt: str,
        context: str = "",
        results: Sequence[str] = (),
        tool_words: Sequence[str] = (),
    ) -> None:
        self.prompt = prompt
        self.context = context
        self.results = tuple(results)
        self.records = _find_records(self.results)
        self._told = [text for result in self.results for text in _prose(result)]
        self._tool_stems = stems(tool_words)
        self._wanted = stems([prompt])
        self._asked = stems([_question(prompt)])
        self._used: set[str] = set()
        self.keys: set[str] = set()

    def relevance(self, text: str) -> int:
        """Count the words that a text shares with the prompt."""
        return len(self._wanted & stems([text]))

    def answers(self, text: str) -> int:
        """Count the words that a text shares with the question in the prompt."""
        return len(self._asked & stems([text]))

    def mentions(self, name: str) -> bool:
        """Say whether the prompt has all words of a property's name."""
        parts = stems(name_words(name)) or set(name_words(name))
        return bool(parts) and parts <= self._wanted

    def near_value(self, name: str) -> str | None:
        """Return what the prompt says right after a name: `city: Paris`."""
        label = r"[\s_-]*".join(re.escape(part) for part in name_words(name))
        if not label:
            return None
        pattern = rf"\b{label}\b['\"`]?\s*(?:is|are|=|:|named|called)\s*{_VALUE}"
        found = re.search(pattern, self.prompt, re.IGNORECASE)
        value = found[1].rstrip(".!?)") if found else ""
        return value or None

    def near_numbers(self, name: str, *, told: bool = True) -> Iterator[int | float]:
        """Yield the numbers next to a name: `line 12`, `limit=3`, `5 items`.

        What tools returned counts before the prompt, the whole name before its words.

        Args:
            name: A property's name.
            told: Whether to look at what tools returned.
        """
        parts = name_words(name)
        texts = [*self._told, self.prompt] if told else [self.prompt]
        for label in dict.fromkeys([" ".join(parts), *parts]):
            for text in texts:
                yield from _numbers_at(label, text)

    def fresh(self, values: Iterable[str]) -> list[str]:
        """Return the values that no other property has been given."""
        return [
            value
            for value in dict.fromkeys(values)
            if value not in self._used and value not in self.keys
        ]

    def use(self, value: str | float) -> None:
        """Remember that a value was given to a property."""
        self._used.add(str(value))

    def quotes(self) -> list[str]:
        """Return quoted texts of the prompt, not yet used."""
        return self.fresh(quoted(self.prompt))

    def names(self) -> list[str]:
        """Return names in the prompt, not yet used: quoted, CJK, capitalised."""
        prompt = self.prompt
        return self.fresh(
            [*quoted(prompt), *no_space_runs(prompt), *proper_names(prompt)]
        )

    def numbers(self) -> list[int | float]:
        """Return numbers of the prompt, not yet used."""
        return [item for item in numbers(self.prompt) if str(item) not in self._used]

    def told_numbers(self) -> list[int | float]:
        """Return the numbers in the prose of tool results, not yet used."""
        found = [number for text in self._told for number in numbers(text)]
        return [item for item in found if str(item) not in self._used]

    def keywords(self, limit: int = 4) -> list[str]:
        """Return the words that carry the prompt, without those about the tools."""
        every = keywords(self.prompt, 50)
        telling = [word for word in every if not stems([word]) & self._tool_stems]
        return (telling or every)[:limit]

    def sentences(self) -> list[str]:
        """Return sentences that may answer the prompt, the best first.

        What tools returned counts before what was said earlier. Of equals, the
        earlier sentence comes first.
        """
        told = [said for text in self.results for said in plain_statements(text)]
        found = [line for text in told for line in sentences(text)]
        if found:
            return sorted(found, key=lambda line: -self.relevance(line))
        question = _question(self.prompt)
        found = [
            line
            for text in (self.context, self.prompt)
            for line in sentences(text)
            if line != question
        ]
        return sorted(found, key=lambda line: -self.answers(line))

    def line_span(self) -> tuple[int, int] | None:
        """Return the first and last line that tools told of, at most ten apart."""
        hits = self.matching_records(["line"])
        lines = [hit["line"] for hit in hits if is_integer(hit["line"])]
        if not lines:
            return None
        first = int(min(lines))
        return first, min(int(max(lines)), first + _SPAN_MAX)

    def matching_records(self, properties: Sequence[str]) -> list[JsonObject]:
        """Return the objects of tool results that have most of these properties.

        The objects' keys are renamed to the properties'. Those that share most words
        with the prompt are kept if there are many; their order stays.

        Args:
            properties: What the wanted object has.
        """
        hits: list[JsonObject] = []
        for record in self.records:
            hit = {
                name: record[key]
                for name in properties
                for key in _keys_like(name, record)
            }
            if hit and hit not in hits:
                hits.append(hit)
        most = max((len(hit) for hit in hits), default=0)
        if most == 0 or (len(properties) > 1 and most * 2 < len(properties)):
            return []
        best = [hit for hit in hits if len(hit) == most]
        return self._most_relevant(best, 5)

    def _most_relevant(self, records: list[JsonObject], limit: int) -> list[JsonObject]:
        scores = [self.relevance(dump_text(record)) for record in records]
        least = 1 if any(scores) else 0
        ranked = sorted(range(len(records)), key=lambda at: -scores[at])
        kept = [at for at in ranked if scores[at] >= least][:limit]
        return [records[at] for at in sorted(kept)]


def _numbers_at(label: str, text: str) -> Iterator[int | float]:
    """Yield the numbers that stand right after or before a label."""
    if not label:
        return
    # "degrees" is met by "1 degree", and "item" by "items".
    *head, last = label.split()
    stem = last.removesuffix("s") if len(last) > _PLURAL_MIN else last
    spoken = r"[\s_-]*".join(map(re.escape, [*head, stem])) + "s?"
    for pattern in (
        rf"\b{spoken}\b['\"`]?\s{{0,9}}(?:is|to|number|no\.?|[=:#])?\s{{0,9}}{_FIGURE}",
        rf"(?<![\w.,]){_FIGURE}\s*{spoken}\b",
        rf"\b{spoken}\s+of\s+{_FIGURE}",
    ):
        for found in re.finditer(pattern, text, re.IGNORECASE):
            figure = found[1].replace(",", "")
            yield float(figure) if "." in figure else int(figure)


def _question(prompt: str) -> str:
    """Return the sentence that asks: the last with a question mark, else the last."""
    parts = sentences(prompt)
    asking = [part for part in parts if part.endswith(("?", "\uff1f"))]
    return (asking or parts or [""])[-1]


def _keys_like(name: str, record: JsonObject) -> list[str]:
    """Return the record's one key that means a property: the same before a kin."""
    if name in record:
        return [name]
    return [key for key in record if same_key(name, key)][:1]


def _find_records(texts: Iterable[str]) -> list[JsonObject]:
    """Collect the JSON objects in texts, and numbered lines as objects."""
    records: list[JsonObject] = []
    for text in texts:
        for value in json_values(text):
            records.extend(walk_objects(value))
        for line in text.splitlines():
            found = _NUMBERED_LINE.match(line)
            if found and found[2].strip():
                record: JsonObject = dict.fromkeys(_NAMES_OF_TEXT, found[2])
                record["line"] = int(found[1])
                records.append(record)
    return records


def plain_statements(text: str) -> list[str]:
    """Return what a tool's text says, without JSON's marks and line numbers."""
    values = json_values(text)
    if values:
        return [leaf for value in values for leaf in _leaves(value)]
    lines: list[str] = []
    for line in text.splitlines():
        found = _NUMBERED_LINE.match(line)
        lines.append(found[2] if found else line)
    return ["\n".join(lines)]


def _prose(text: str) -> list[str]:
    """Return a tool's sentences; numbers that have a key are records' values."""
    values = json_values(text)
    if values:
        return [leaf for value in values for leaf in _leaves(value, texts_only=True)]
    return plain_statements(text)


def _leaves(value: Any, name: str = "", *, texts_only: bool = False) -> Iterator[str]:
    """Yield the texts in a JSON value; a number comes with its name, if at all."""
    found = as_object(value)
    if found is not None:
        for key, item in found.items():
            yield from _leaves(item, key, texts_only=texts_only)
        return
    items = as_list(value)
    if items is not None:
        for item in items:
            yield from _leaves(item, name, texts_only=texts_only)
    elif isinstance(value, str):
        yield value
    elif name and value is not None and not texts_only:
        yield f"{name.replace('_', ' ')}: {dump_text(value)}"
