"""Where names stand in bytes: what tells quickly that a file need not be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext._check._facts import Facts

# A longer id goes on with a letter, a digit or a dash, or with a dot and one of these.
_NOT_LONGER = r"(?![A-Za-z0-9_-]|\.[A-Za-z0-9])"
_CEREBRAS = re.compile(rb"cerebras", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Watch:
    """The names to look for, as expressions.

    Attributes:
        names: Any name of a model, and nothing longer, in bytes.
        own: Those that are ids of Cerebras only.
        text: Any name of a model, in text.
        stems: How these names begin; for ids that are put together from parts.
        parameters: Any deprecated parameter, in bytes.
        parameters_text: The same, in text.
    """

    names: re.Pattern[bytes]
    own: re.Pattern[bytes]
    text: re.Pattern[str]
    stems: re.Pattern[bytes]
    parameters: re.Pattern[bytes]
    parameters_text: re.Pattern[str]

    def is_worth_reading(
        self, data: bytes, path: str, *, weak: bool, folds: bool
    ) -> bool:
        """Tell whether a file can have findings.

        Args:
            data: What is in it, in UTF-8.
            path: What it is called.
            weak: Whether weak findings are wanted too.
            folds: Whether ids are found that are put together from parts.
        """
        if self.own.search(data) is not None:
            return True
        if not self._is_about_cerebras(data, path):
            return weak and self.names.search(data) is not None
        return (
            self.names.search(data) is not None
            or self.parameters.search(data) is not None
            or (folds and self.stems.search(data) is not None)
        )

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where names of models stand."""
        for match in self.names.finditer(data):
            yield match.span()

    def parameter_spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where deprecated parameters stand."""
        for match in self.parameters.finditer(data):
            yield match.span()

    @staticmethod
    def _is_about_cerebras(data: bytes, path: str) -> bool:
        return (
            _CEREBRAS.search(data) is not None
            or _CEREBRAS.search(path.encode(errors="replace")) is not None
        )


def watch_for(facts: Facts) -> Watch:
    """Return what to look for."""
    names = sorted(facts.models, key=lambda name: (-len(name), name))
    own = [name for name in names if facts.models[name].only_cerebras]
    parameters = sorted(facts.parameters)
    stems = sorted({re.escape(name.partition("-")[0]) for name in names})
    return Watch(
        names=re.compile(_any(names).encode()),
        own=re.compile(_any(own).encode()),
        text=re.compile(_any(names)),
        stems=re.compile(rf"['\"/:](?:{'|'.join(stems) or '(?!)'})".encode()),
        parameters=re.compile(_word(parameters).encode()),
        parameters_text=re.compile(_word(parameters)),
    )


def _any(names: list[str]) -> str:
    if not names:
        return "(?!)"
    return f"(?:{'|'.join(map(re.escape, names))}){_NOT_LONGER}"


def _word(names: list[str]) -> str:
    if not names:
        return "(?!)"
    return rf"(?<![A-Za-z0-9_-])(?:{'|'.join(map(re.escape, names))})(?![A-Za-z0-9_-])"
