"""Settings by line: `.env`, INI, Dockerfiles, makefiles; and text that is broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._place import Found, Gathered, Mention, Scope
from langchain_cerebras_ext._check._source import line_starts
from langchain_cerebras_ext._check._text import body_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_cerebras_ext._check._hits import Watch

_SETTING: Final = re.compile(
    r"""\s*(?:export\s+|set\s+(?:-\w+\s+)?|ENV\s+|ARG\s+|-\s+)?"""
    r"""(?P<key>[A-Za-z_][\w.-]*)\s*(?:[:?+]?=|:(?=\s)|\s(?=\S+\s*$))\s*(?P<value>.*)$"""
)
_SECTION: Final = re.compile(r"\s*\[+([^\]]+)\]+\s*(?:[#;].*)?$")
_COMMENT: Final = re.compile(r"\s*(?:#|;|//|\*|/\*|<!--|rem\s)", re.IGNORECASE)
_LATE_COMMENT: Final = re.compile(r"\s[#;]\s.*$")
_HEADING: Final = re.compile(r"\s*[#;]+\s*([^=:]{1,60}?)\s*:?\s*$")
_PLAIN_LONG: Final = 2000
_MAX_NEAR: Final = 40
_MAX_SETTINGS: Final = 200


@dataclass(frozen=True, slots=True)
class _Line:
    """One line, decoded, with where it starts."""

    start: int
    text: str
    is_comment: bool
    key: str | None = None
    value: str = ""
    value_at: int = 0
    section: str | None = None


def find_lines(
    source: bytes, watch: Watch, *, paragraphs: bool = True, broken: bool = False
) -> Found:
    """Return what settings mention.

    Args:
        source: The text.
        watch: What to look for.
        paragraphs: Whether a blank line ends what belongs together; in INI files a
            section does.
        broken: Whether this is a file of another kind that could not be parsed: what
            is no setting counts only where it is quoted.
    """
    lines = list(_lines(source))
    settings = [line for line in lines if line.key is not None][:_MAX_SETTINGS]
    whole = Scope(pairs=tuple(map(_pair, settings)), tight=False)
    gathered = Gathered()
    for at, line in enumerate(lines):
        has_name = watch.text.search(line.text) is not None
        has_parameter = watch.parameters_text.search(line.text) is not None
        if line.is_comment or not (has_name or has_parameter):
            continue
        scopes = list(_scopes(lines, at, paragraphs=paragraphs))
        if paragraphs and line.key is not None:
            scopes.append(whole)
        if has_name:
            gathered.mentions.append(_mention(line, tuple(scopes)))
        if not broken:
            gathered.parameters += body_parameters(
                line.text, line.start, watch, scopes=tuple(scopes)
            )
    return gathered.done()


def _lines(source: bytes) -> Iterator[_Line]:
    starts = line_starts(source)
    section: str | None = None
    for start, end in zip(starts, [*starts[1:], len(source)], strict=True):
        text = source[start:end].decode(errors="replace").rstrip("\r\n")
        if _COMMENT.match(text):
            yield _Line(start, text, is_comment=True)
            continue
        header = _SECTION.match(text)
        if header is not None:
            section = header[1].strip()
        setting = None if header is not None else _SETTING.match(text)
        if setting is None:
            yield _Line(start, text, is_comment=False, section=section)
            continue
        value, value_at = _unquoted(setting["value"].rstrip(), setting.start("value"))
        yield _Line(
            start,
            text,
            is_comment=False,
            key=setting["key"],
            value=value,
            value_at=value_at,
            section=section,
        )


def _unquoted(value: str, at: int) -> tuple[str, int]:
    """Return a value without its quotes, or without a comment behind it."""
    for quote in ('"', "'", "`"):
        if value.startswith(quote):
            end = value.find(quote, 1)
            if end > 0 and not value[end + 1 :].strip(" ,;").strip().rstrip(","):
                return value[1:end], at + 1
            if end > 0 and re.match(r"\s*[#;]", value[end + 1 :]):
                return value[1:end], at + 1
    return _LATE_COMMENT.sub("", value).rstrip(), at


def _mention(line: _Line, scopes: tuple[Scope, ...]) -> Mention:
    text, offset = (line.value, line.value_at) if line.key else (line.text, 0)
    start = line.start + len(line.text[:offset].encode())
    return Mention(
        text=text, start=start, end=start + len(text.encode()), scopes=scopes
    )


def _scopes(lines: Sequence[_Line], at: int, *, paragraphs: bool) -> Iterator[Scope]:
    """Yield the key, its neighbours, and the section or heading."""
    line = lines[at]
    if line.key is not None:
        yield Scope(names=(line.key,))
    near = list(_near(lines, at, paragraphs=paragraphs))
    yield Scope(pairs=tuple(_pair(other) for other in near), tight=False)
    if line.section is not None:
        yield Scope(names=(line.section,))
    heading = _heading(lines, at)
    if heading is not None:
        yield Scope(names=(heading,), tight=False)


def _pair(line: _Line) -> tuple[str, str]:
    return (line.key, line.value) if line.key else ("text", line.text[:_PLAIN_LONG])


def _near(lines: Sequence[_Line], at: int, *, paragraphs: bool) -> Iterator[_Line]:
    """Yield the lines around one, up to where what belongs together ends."""
    for step in (-1, 1):
        other = at + step
        while 0 <= other < len(lines) and abs(other - at) <= _MAX_NEAR:
            line = lines[other]
            is_end = _SECTION.match(line.text) is not None
            if is_end or (paragraphs and not line.text.strip()):
                break
            if not line.is_comment:
                yield line
            other += step


def _heading(lines: Sequence[_Line], at: int) -> str | None:
    """Return the comment above a paragraph, where it reads like a heading."""
    for line in reversed(lines[max(0, at - _MAX_NEAR) : at]):
        if not line.text.strip():
            return None
        match = _HEADING.match(line.text)
        if match is not None:
            return match[1]
    return None
