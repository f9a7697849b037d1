"""A file's text, with the way back from a place in it to bytes, line and column.

Finders work on UTF-8 without a mark at the start, whatever the file is in.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 5_000_000
_SNIFFED: Final = 8192
_MINIFIED_LINE: Final = 5_000
_NEWLINE: Final = re.compile(rb"\r\n|\r|\n")
# The one with four bytes first: its mark starts with that of two.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_IGNORE: Final = re.compile(
    rb"cerebras-ext:[ \t]*ignore(-file|-next-line)?(?![\w-])(?:\[([^\]\r\n]*)\])?"
)


@dataclass(frozen=True)
class Source:
    """A file that was read.

    Attributes:
        path: Where it is.
        shown: How reports call it.
        data: Its bytes.
        text: Its text in UTF-8, without a mark.
        encoding: What `data` is in, after the mark.
        mark: How many bytes the mark has.
        problem: Why the encoding is a guess, if it is one.
    """

    path: Path
    shown: str
    data: bytes = field(repr=False)
    text: bytes = field(repr=False)
    encoding: str = "utf-8"
    mark: int = 0
    problem: str | None = None

    @cached_property
    def line_starts(self) -> list[int]:
        """Where each line starts."""
        return line_starts(self.text)

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of a byte of the text, both from 1, in characters."""
        line = bisect_right(self.line_starts, offset)
        before = self.text[self.line_starts[line - 1] : offset]
        return line, len(before.decode(errors="replace")) + 1

    def line(self, number: int) -> bytes:
        """Return a line by its number from 1; empty where there is none."""
        if not 1 <= number <= len(self.line_starts):
            return b""
        start = self.line_starts[number - 1]
        ends = self.line_starts[number : number + 1]
        return self.text[start : ends[0] if ends else len(self.text)]

    def data_offset(self, offset: int) -> int:
        """Return where a byte of the text stands in the file."""
        if self.encoding == "utf-8":
            return self.mark + offset
        return self.mark + len(self.text[:offset].decode().encode(self.encoding))

    def is_ignored(self, line: int, name: str) -> bool:
        """Tell whether a comment says to leave a name on a line alone."""
        if self._ignores_file(name):
            return True
        return any(
            _covers(match, name)
            for number, kind in ((line, None), (line - 1, b"-next-line"))
            for match in _IGNORE.finditer(self.line(number))
            if match[1] == kind
        )

    def _ignores_file(self, name: str) -> bool:
        return any(_covers(match, name) for match in self._file_comments)

    @cached_property
    def _file_comments(self) -> list[re.Match[bytes]]:
        return [match for match in _IGNORE.finditer(self.text) if match[1] == b"-file"]


def line_starts(text: bytes) -> list[int]:
    r"""Return where lines start; they end with `\n`, `\r\n` or `\r`."""
    return [0, *(match.end() for match in _NEWLINE.finditer(text))]


def _covers(match: re.Match[bytes], name: str) -> bool:
    if match[2] is None:
        return True
    return name.encode() in {part.strip() for part in match[2].split(b",")}


def skip_reason(data: bytes, *, is_script: bool) -> str | None:
    """Say why a file's content is not looked at; `None` if it is.

    Args:
        data: The content.
        is_script: Whether it is JavaScript, which is what gets minified.
    """
    if len(data) > MAX_BYTES:
        return "huge"
    if _mark(data)[1] is None and b"\0" in data[:_SNIFFED]:
        return "binary"
    if is_script and len(data) > _MINIFIED_LINE and _is_minified(data):
        return "minified"
    return None


def _is_minified(data: bytes) -> bool:
    """Tell whether lines are long, or one line is most of the file."""
    lines = data.count(b"\n") + 1
    if len(data) / lines > _MINIFIED_LINE:
        return True
    longest = max(map(len, data.split(b"\n")))
    return longest > max(10 * _MINIFIED_LINE, len(data) / 2)


def _mark(data: bytes) -> tuple[int, str | None]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return len(mark), encoding
    return 0, None


def make_source(path: Path, shown: str, data: bytes, *, is_python: bool) -> Source:
    """Decode a file.

    Where the encoding is wrong, each byte is taken for one character, so that ids are
    still found, and `problem` says so.
    """
    mark, marked = _mark(data)
    encoding = marked or (_declared(data) if is_python else None) or "utf-8"
    if encoding == "utf-8":
        try:
            data[mark:].decode("utf-8")
        except UnicodeDecodeError as error:
            return _guessed(path, shown, data, f"not UTF-8: {_told(error)}")
        return Source(path, shown, data, data[mark:], "utf-8", mark)
    try:
        text = data[mark:].decode(encoding)
        is_same = text.encode(encoding) == data[mark:]
    except (UnicodeError, LookupError) as error:
        return _guessed(path, shown, data, f"not {encoding}: {error}")
    if not is_same:
        return _guessed(path, shown, data, f"{encoding} that cannot be written back")
    return Source(path, shown, data, text.encode(), encoding, mark)


def _guessed(path: Path, shown: str, data: bytes, problem: str) -> Source:
    text = data.decode("latin-1").encode()
    return Source(path, shown, data, text, "latin-1", 0, problem)


def _told(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x} at {error.start}"


def _declared(data: bytes) -> str | None:
    """Return the encoding that a Python file declares in a comment, if any."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except (SyntaxError, UnicodeDecodeError):
        return None
    name = codecs.lookup(encoding).name
    return None if name in {"utf-8", "utf-8-sig"} else name
