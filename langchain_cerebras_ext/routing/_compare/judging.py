"""Whether an answer is what was expected: exactly, in a JSON field, by a pattern."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._compare.prompts import Prompt

__all__ = ["Judge", "Score", "Verdict", "make_judge"]

Verdict: TypeAlias = bool | float | None
Score: TypeAlias = Callable[[str, Prompt], Verdict | Awaitable[Verdict]]
"""A function of yours: the answer's text and the prompt to a value from 0 to 1."""

_FIELD: Final = "json:"
_FENCE: Final = re.compile(r"\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
_MISSING: Final = object()


class Judge(NamedTuple):
    """How answers are judged.

    Attributes:
        name: `exact`, `json:FIELD`, `pattern`, or a function's name.
        score: Judges; it may be asynchronous.
        is_own: Whether it is a function of the user's, which may be slow or change.
    """

    name: str
    score: Score
    is_own: bool = False

    async def judge(self, text: str, prompt: Prompt) -> float | None:
        """Return from 0 to 1 how well an answer agrees; `None` where nobody knows.

        Raises:
            CerebrasConfigurationError: A function has returned something else.
        """
        found: Any = self.score(text, prompt)
        if inspect.isawaitable(found):
            found = await found
        return _checked(found, self.name)

    def rejudge(self, text: str, prompt: Prompt) -> float | None:
        """Return the same for the built-in judges, which never wait."""
        return _checked(self.score(text, prompt), self.name)


def _checked(found: Any, name: str) -> float | None:
    if found is None:
        return None
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 1:
        msg = f"score {name!r} returned {found!r}; return 0 to 1, a bool, or None."
        raise CerebrasConfigurationError(msg)
    return value


def make_judge(how: str | Score | None, prompts: Sequence[Prompt]) -> Judge | None:
    """Return what judges the answers; `None` where nothing is expected.

    Args:
        how: `exact`, `json:FIELD`, `pattern` or a function. `None` is `exact` where a
            prompt expects something.
        prompts: What will be asked.

    Raises:
        CerebrasConfigurationError: There is no such way, nothing is expected, or a
            pattern is none.
    """
    if callable(how):
        return Judge(getattr(how, "__name__", type(how).__name__), how, is_own=True)
    is_expected = any(prompt.expected is not None for prompt in prompts)
    if how is None:
        return Judge("exact", _is_exact) if is_expected else None
    if not is_expected:
        msg = (
            f"Answers are to be judged by {how!r}, but no prompt says what is "
            "expected: add 'expected'."
        )
        raise CerebrasConfigurationError(msg)
    if how == "exact":
        return Judge(how, _is_exact)
    if how == "pattern":
        return Judge(how, _by_pattern(prompts))
    if isinstance(how, str) and how.startswith(_FIELD) and how != _FIELD:
        return Judge(how, _by_field(how.removeprefix(_FIELD)))
    msg = f"Answers cannot be judged by {how!r}; take exact, json:FIELD or pattern."
    raise CerebrasConfigurationError(msg)


def _is_exact(text: str, prompt: Prompt) -> bool | None:
    """Whether the answer is the expected text, but for blanks around it."""
    expected = prompt.expected
    if expected is None:
        return None
    if isinstance(expected, str):
        return text.strip() == expected.strip()
    return _same(_parsed(text), expected)


def _by_field(path: str) -> Score:
    """Return what compares one field, which dots lead to, of an answer in JSON.

    What is expected is the field's value, or an object that has the field too.
    """
    names = path.split(".")

    def score(text: str, prompt: Prompt) -> bool | None:
        expected = prompt.expected
        if expected is None:
            return None
        inner = _at(expected, names)
        wanted = expected if inner is _MISSING else inner
        return _same(_at(_parsed(text), names), wanted)

    return score


def _by_pattern(prompts: Sequence[Prompt]) -> Score:
    patterns: dict[str, re.Pattern[str]] = {}
    for prompt in prompts:
        if prompt.expected is None:
            continue
        try:
            patterns[prompt.id] = re.compile(prompt.expected)
        except (re.error, TypeError) as error:
            msg = (
                f"Prompt {prompt.id!r} expects {prompt.expected!r}, which is no "
                f"regular expression: {error}."
            )
            raise CerebrasConfigurationError(msg) from error

    def score(text: str, prompt: Prompt) -> bool | None:
        pattern = patterns.get(prompt.id)
        return None if pattern is None else pattern.search(text) is not None

    return score


def _parsed(text: str) -> Any:
    """Return an answer in JSON, with or without a fence around it."""
    fenced = _FENCE.fullmatch(text)
    try:
        return json.loads(fenced[1] if fenced else text)
    except ValueError:
        return _MISSING


def _at(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = _inside(value, name)
    return value


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name, _MISSING)
    items: list[Any] = value if isinstance(value, list) else []
    is_place = name.isdecimal() and int(name) < len(items)
    return items[int(name)] if is_place else _MISSING


def _same(found: Any, expected: Any) -> bool:
    """Whether two values of JSON are one; 1 is 1.0, and not true."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, dict) and isinstance(expected, dict):
        mine: dict[Any, Any] = found
        other: dict[Any, Any] = expected
        return mine.keys() == other.keys() and all(
            _same(value, other[key]) for key, value in mine.items()
        )
    if isinstance(found, list) and isinstance(expected, list):
        these: list[Any] = found
        those: list[Any] = expected
        return len(these) == len(those) and all(map(_same, these, those))
    return bool(found == expected)
