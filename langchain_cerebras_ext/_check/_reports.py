"""Reports that programs read: JSON, SARIF, and what GitHub and GitLab show."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from langchain_cerebras_ext._check._findings import RULES
from langchain_cerebras_ext._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_cerebras_ext._check._findings import Edit, Finding, Report, Severity
    from langchain_cerebras_ext._check._source import Source

SARIF_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
    "sarif-schema-2.1.0.json"
)
_TOOL: Final = "cerebras-ext models check"
_RULE_LEVELS: Final[Mapping[str, Severity]] = {
    "retired-model": "error",
    "unserved-model": "error",
    "ending-model": "warning",
    "removed-parameter": "error",
    "deprecated-parameter": "note",
}
_COMMANDS: Final[Mapping[Severity, str]] = {
    "error": "error",
    "warning": "warning",
    "note": "notice",
}
_GITLAB: Final[Mapping[Severity, str]] = {
    "error": "major",
    "warning": "minor",
    "note": "info",
}


def as_json(report: Report) -> str:
    """Return a report as one JSON object."""
    return _dump(
        {
            "version": __version__,
            "on": report.on.isoformat(),
            "within_days": report.within_days,
            "files": report.files,
            "skipped": dict(report.skipped),
            "findings": [_plain(finding) for finding in report.findings],
            "unreadable": [
                {
                    "path": one.path,
                    "reason": one.reason,
                    "looked_through": one.looked_through,
                }
                for one in report.unreadable
            ],
        }
    )


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "rule": finding.rule,
        "name": finding.name,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "evidence": finding.evidence,
        "message": finding.message,
        "successor": finding.successor,
        "successor_named_by": finding.named_by,
        "ends_on": finding.ends_on.isoformat() if finding.ends_on else None,
        "days_left": finding.days_left,
        "fixable": bool(finding.edits),
        "not_fixable_because": finding.keep,
    }


# ---------------------------------------------------------------------------- SARIF


def as_sarif(report: Report) -> str:
    """Return a report in the Static Analysis Results Interchange Format, 2.1.0."""
    rules = list(RULES)
    run = {
        "tool": {
            "driver": {
                "name": _TOOL,
                "version": __version__,
                "rules": [_sarif_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": list(_notifications(report)),
            }
        ],
        "results": [
            _sarif_result(finding, rules.index(finding.rule), report, count)
            for finding, count in _counted(report)
        ],
        "properties": {"on": report.on.isoformat(), "withinDays": report.within_days},
    }
    return _dump({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _sarif_rule(rule: str) -> dict[str, Any]:
    short, long = RULES[rule]  # type: ignore[index]
    return {
        "id": rule,
        "name": "".join(part.title() for part in rule.split("-")),
        "shortDescription": {"text": f"{short}."},
        "fullDescription": {"text": long},
        "defaultConfiguration": {"level": _RULE_LEVELS[rule]},
    }


def _sarif_result(
    finding: Finding, rule_index: int, report: Report, count: int
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": finding.severity,
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path)},
                    "region": {
                        "startLine": finding.line,
                        "startColumn": finding.column,
                        "endLine": finding.end_line,
                        "endColumn": finding.end_column,
                    },
                }
            }
        ],
        "partialFingerprints": {"cerebrasExt/v1": _fingerprint(finding, count)},
        "properties": {
            "confidence": finding.confidence,
            "evidence": finding.evidence,
            "successor": finding.successor,
        },
    }
    if finding.edits:
        source = report.sources[finding.path]
        result["fixes"] = [_sarif_fix(finding, source)]
    return result


def _sarif_fix(finding: Finding, source: Source) -> dict[str, Any]:
    return {
        "description": {"text": f"Write {finding.edits[0].new}."},
        "artifactChanges": [
            {
                "artifactLocation": {"uri": _uri(finding.path)},
                "replacements": [_replacement(edit, source) for edit in finding.edits],
            }
        ],
    }


def _replacement(edit: Edit, source: Source) -> dict[str, Any]:
    line, column = source.position(edit.start)
    end_line, end_column = source.position(edit.end)
    return {
        "deletedRegion": {
            "startLine": line,
            "startColumn": column,
            "endLine": end_line,
            "endColumn": end_column,
        },
        "insertedContent": {"text": edit.new},
    }


def _notifications(report: Report) -> Iterator[dict[str, Any]]:
    for one in report.unreadable:
        yield {
            "level": "warning",
            "message": {"text": one.reason},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": _uri(one.path)}}}
            ],
        }


def _uri(path: str) -> str:
    uri = quote(path.encode(errors="surrogateescape"))
    return f"file://{uri}" if path.startswith("/") else uri


# --------------------------------------------------------------- GitHub and GitLab


def as_github(report: Report) -> str:
    """Return a report as workflow commands, which GitHub shows beside the lines."""
    return "".join(_annotation(finding) for finding in report.findings)


def _annotation(finding: Finding) -> str:
    properties = {
        "file": finding.path,
        "line": finding.line,
        "endLine": finding.end_line,
        "col": finding.column,
        "endColumn": finding.end_column,
        "title": f"{finding.rule}: {finding.name}",
    }
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{_COMMANDS[finding.severity]} {shown}::{_message(finding.message)}\n"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _message(str(value)).replace(":", "%3A").replace(",", "%2C")


def as_gitlab(report: Report) -> str:
    """Return a report as GitLab's Code Quality takes it."""
    return _dump(
        [
            {
                "description": finding.message,
                "check_name": finding.rule,
                "fingerprint": _fingerprint(finding, count),
                "severity": _GITLAB[finding.severity],
                "location": {
                    "path": finding.path,
                    "lines": {"begin": finding.line, "end": finding.end_line},
                },
            }
            for finding, count in _counted(report)
        ]
    )


def _counted(report: Report) -> Iterator[tuple[Finding, int]]:
    """Yield each finding with how many alike came before it in its file."""
    seen: dict[tuple[str, str, str], int] = {}
    for finding in report.findings:
        key = (finding.path, finding.rule, finding.name)
        seen[key] = seen.get(key, 0) + 1
        yield finding, seen[key] - 1


def _fingerprint(finding: Finding, count: int) -> str:
    """Return what stays the same when lines above a finding come or go."""
    text = "\0".join([finding.path, finding.rule, finding.name, str(count)])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
