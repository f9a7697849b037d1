"""What the tests of the check share."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from langchain_cerebras_ext._check import Finding, Report, ScanOptions, scan

TODAY = date(2026, 11, 21)
CORPUS = Path(__file__).parents[2] / "data" / "check_corpus"


def check(path: Path, *, on: date = TODAY, weak: bool = False, **options) -> Report:
    """Check a directory or file."""
    root = path if path.is_dir() else path.parent
    return scan([path], ScanOptions(on=on, weak=weak, **options), cwd=root)


def check_text(directory: Path, name: str, text: str | bytes, **options) -> Report:
    """Write a file and check it."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return check(path, **options)


def names(report: Report) -> list[str]:
    """The ids and parameters that were found, in order."""
    return [finding.name for finding in report.findings]


def row(finding: Finding) -> str:
    """A finding as the corpus' expectations write it."""
    fix = "fix" if finding.edits else "keep"
    return (
        f"{finding.line}:{finding.column} {finding.name} {finding.rule} "
        f"{finding.confidence} {fix}"
    )
