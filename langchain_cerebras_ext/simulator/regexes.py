"""A text for a regular expression: the common constructs, the shortest way."""

from __future__ import annotations

from typing import Final

_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_OTHERS: Final = "aA0-_ .z9Z!"


def sample_pattern(pattern: str) -> str:
    """Return a text that a regular expression is likely to match.

    Literals, classes, groups, alternatives and repetition are read; look-around and
    back-references are not. The caller checks the result.
    """
    try:
        return _Reader(pattern).alternatives()
    except (IndexError, ValueError):
        return ""


class _Reader:
    """Walks a pattern and writes the shortest match as it goes."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        """Read up to a closing bracket; of several alternatives the first counts."""
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            parts.append(atom * self._repeat())
        return "".join(parts)

    def _atom(self) -> str:
        sign = self._next()
        if sign in "^$":
            return ""
        if sign == ".":
            return "a"
        if sign == "\\":
            return self._escape()
        if sign == "[":
            return self._char_class()
        if sign == "(":
            return self._group()
        return sign

    def _escape(self) -> str:
        sign = self._next()
        if sign in "bBAZz":
            return ""
        return _CLASSES.get(sign, {"n": "\n", "t": "\t", "r": "\r"}.get(sign, sign))

    def _group(self) -> str:
        if self._pattern.startswith("?:", self._at):
            self._at += 2
        elif self._pattern.startswith(("?P<", "?<"), self._at):
            self._at = self._pattern.index(">", self._at) + 1
        inner = self.alternatives()
        self._next()
        return inner

    def _char_class(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        members: list[tuple[str, str]] = []
        while self._peek() != "]" or not members:
            low = self._escape() if (sign := self._next()) == "\\" else sign
            high = low
            if self._peek() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                high = self._next()
            members.append((low, high))
        self._next()
        if not negated:
            return members[0][0]
        for sign in _OTHERS:
            if not any(low <= sign <= high for low, high in members):
                return sign
        return "~"

    def _repeat(self) -> int:
        sign = self._peek()
        if sign not in ("*", "+", "?", "{"):
            return 1
        if sign == "{":
            end = self._pattern.index("}", self._at)
            least = self._pattern[self._at + 1 : end].split(",")[0]
            if not least.isdigit():
                return 1
            self._at = end + 1
            count = int(least)
        else:
            self._at += 1
            count = 1 if sign == "+" else 0
        if self._peek() in ("?", "+"):
            self._at += 1
        return count
