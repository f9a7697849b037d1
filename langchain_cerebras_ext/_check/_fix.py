"""Rewriting ids and parameters in place, and nothing else of a file."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_cerebras_ext._check._findings import Edit, Report
    from langchain_cerebras_ext._check._source import Source

_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file.

    Attributes:
        path: The file.
        shown: How reports call it.
        before: Its bytes as they were read.
        after: Its bytes as they are to be.
        edits: How many ids and parameters are rewritten.
        encoding: What its text is in.
    """

    path: Path
    shown: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    edits: int = 0
    encoding: str = "utf-8"


class FileChangedError(OSError):
    """A file is not as it was when it was read."""


def plan_changes(report: Report) -> list[Change]:
    """Return what rewriting would do, file by file."""
    by_path: dict[str, list[Edit]] = {}
    counts: dict[str, int] = {}
    for finding in report.findings:
        if finding.edits:
            by_path.setdefault(finding.path, []).extend(finding.edits)
            counts[finding.path] = counts.get(finding.path, 0) + 1
    changes: list[Change] = []
    for shown, edits in by_path.items():
        source = report.sources[shown]
        after = apply_edits(source, edits)
        if after != source.data:
            change = Change(
                source.path, shown, source.data, after, counts[shown], source.encoding
            )
            changes.append(change)
    return changes


def apply_edits(source: Source, edits: Sequence[Edit]) -> bytes:
    """Return a file's bytes with pieces rewritten; all else stays as it is.

    An edit whose place does not hold what it should, or that overlaps with one before
    it, is left out.
    """
    parts: list[bytes] = []
    done = 0
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        start, end = source.data_offset(edit.start), source.data_offset(edit.end)
        old = edit.old.encode(source.encoding)
        if start < done or source.data[start:end] != old:
            continue
        parts += [source.data[done:start], edit.new.encode(source.encoding)]
        done = end
    return b"".join([*parts, source.data[done:]])


def unified_diff(change: Change) -> str:
    """Return a change as `diff -u` shows it."""
    before = _decoded(change.before, change.encoding)
    after = _decoded(change.after, change.encoding)
    lines = difflib.unified_diff(
        _LINES.findall(before),
        _LINES.findall(after),
        f"a/{change.shown.lstrip('/')}",
        f"b/{change.shown.lstrip('/')}",
    )
    return "".join(_ended(lines))


def _decoded(data: bytes, encoding: str) -> str:
    return data.decode(encoding, errors="replace")


def _ended(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def write_change(change: Change) -> None:
    """Put the new content in the file's place, whole or not at all.

    Raises:
        FileChangedError: The file is not as it was when it was read.
        OSError: It cannot be written.
    """
    path = Path(os.path.realpath(change.path))
    if path.read_bytes() != change.before:
        msg = f"{change.shown} has changed since it was read; it is left as it is."
        raise FileChangedError(msg)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(change.after)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, name)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
