"""What programs read: JSON, SARIF, and what GitHub and GitLab show."""

from __future__ import annotations

import json
import os

import jsonschema
import pytest
from check_helpers import CORPUS, check, check_text

from langchain_cerebras_ext import __version__
from langchain_cerebras_ext._check import (
    RULES,
    as_github,
    as_gitlab,
    as_json,
    as_sarif,
)

_POSITION = {"type": "integer", "minimum": 1}
_TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}
_REGION = {
    "type": "object",
    "required": ["startLine", "startColumn", "endLine", "endColumn"],
    "additionalProperties": False,
    "properties": dict.fromkeys(
        ["startLine", "startColumn", "endLine", "endColumn"], _POSITION
    ),
}
_ARTIFACT = {
    "type": "object",
    "required": ["uri"],
    "additionalProperties": False,
    "properties": {"uri": {"type": "string", "pattern": r"^[^\s\\]+$"}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF_SHAPE = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": _TEXT,
                                                "fullDescription": _TEXT,
                                                "defaultConfiguration": {
                                                    "properties": {"level": _LEVEL}
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {
                                "toolExecutionNotifications": {
                                    "items": {
                                        "required": ["message"],
                                        "properties": {
                                            "message": _TEXT,
                                            "level": _LEVEL,
                                        },
                                    }
                                }
                            },
                        },
                    },
                    "properties": {"type": "object"},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "ruleIndex", "locations"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"enum": list(RULES)},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": _LEVEL,
                                "message": _TEXT,
                                "partialFingerprints": {
                                    "additionalProperties": {"type": "string"}
                                },
                                "properties": {"type": "object"},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": _ARTIFACT,
                                                    "region": _REGION,
                                                },
                                            }
                                        },
                                    },
                                },
                                "fixes": {
                                    "type": "array",
                                    "items": {
                                        "required": ["artifactChanges"],
                                        "properties": {
                                            "description": _TEXT,
                                            "artifactChanges": {
                                                "minItems": 1,
                                                "items": {
                                                    "required": [
                                                        "artifactLocation",
                                                        "replacements",
                                                    ],
                                                    "properties": {
                                                        "artifactLocation": _ARTIFACT,
                                                        "replacements": {
                                                            "minItems": 1,
                                                            "items": {
                                                                "required": [
                                                                    "deletedRegion"
                                                                ],
                                                                "properties": {
                                                                    "deletedRegion": _REGION
                                                                },
                                                            },
                                                        },
                                                    },
                                                },
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def report():
    return check(CORPUS, weak=True)


def test_sarif_has_the_shape_that_the_standard_requires(report):
    jsonschema.validate(json.loads(as_sarif(report)), SARIF_SHAPE)


def test_sarif_of_nothing_has_it_too(tmp_path):
    sarif = json.loads(as_sarif(check(tmp_path)))
    jsonschema.validate(sarif, SARIF_SHAPE)
    assert sarif["runs"][0]["results"] == []


def test_sarif_says_where_what_and_how_to_mend_it(tmp_path):
    text = 'x = "ü"; Cerebras("llama3.1-8b")'
    report = check_text(tmp_path, "a b/ü.py", text)
    report = check(tmp_path)
    (result,) = json.loads(as_sarif(report))["runs"][0]["results"]
    assert result["ruleId"] == "retired-model"
    assert list(RULES)[result["ruleIndex"]] == "retired-model"
    assert result["level"] == "error"
    location = result["locations"][0]["physicalLocation"]
    region = {"startLine": 1, "startColumn": 20, "endLine": 1, "endColumn": 31}
    assert location == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.py"},
        "region": region,
    }
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {"deletedRegion": region, "insertedContent": {"text": "gpt-oss-120b"}}
    ]


def test_sarif_tells_of_files_that_could_not_be_read(report):
    (invocation,) = json.loads(as_sarif(report))["runs"][0]["invocations"]
    told = invocation["toolExecutionNotifications"]
    assert len(told) == len(report.unreadable) > 0


def fingerprints(text):
    results = json.loads(text)["runs"][0]["results"]
    return [one["partialFingerprints"]["cerebrasExt/v1"] for one in results]


def test_a_fingerprint_does_not_hang_on_the_line(tmp_path):
    code = 'Cerebras("llama3.1-8b")\n'
    before = fingerprints(as_sarif(check_text(tmp_path, "a.py", code * 2)))
    after = fingerprints(as_sarif(check_text(tmp_path, "a.py", "\n\n" + code * 2)))
    assert before == after
    assert len(set(before)) == 2


def test_json_has_all_that_is_known(tmp_path):
    report = check_text(tmp_path, "a.py", 'Cerebras("qwen-3-coder-480b")')
    assert json.loads(as_json(report)) == {
        "version": __version__,
        "on": "2026-11-21",
        "within_days": 90,
        "files": 1,
        "skipped": {},
        "findings": [
            {
                "path": "a.py",
                "line": 1,
                "column": 11,
                "end_line": 1,
                "end_column": 28,
                "rule": "retired-model",
                "name": "qwen-3-coder-480b",
                "severity": "error",
                "confidence": "certain",
                "evidence": "in 'Cerebras'",
                "message": (
                    "qwen-3-coder-480b was retired on 2025-11-05. "
                    "Use gpt-oss-120b (our advice)."
                ),
                "successor": "gpt-oss-120b",
                "successor_named_by": "us",
                "ends_on": "2025-11-05",
                "days_left": -381,
                "fixable": True,
                "not_fixable_because": None,
            }
        ],
        "unreadable": [],
    }


def test_github_gets_a_command_a_finding(tmp_path):
    check_text(tmp_path, "a,b:50%.py", 'Cerebras("llama3.1-8b")')
    assert as_github(check(tmp_path)) == (
        "::error file=a%2Cb%3A50%25.py,line=1,endLine=1,col=11,endColumn=22,"
        "title=retired-model%3A llama3.1-8b::llama3.1-8b was retired on 2026-05-27. "
        "Use gpt-oss-120b (the vendor's successor).\n"
    )


def test_names_that_are_no_text_do_no_harm(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.json")
    text = b'{"cerebras": "llama3.1-8b", "provider": "cerebras \\ud800"}'
    try:
        path.write_bytes(text)
    except OSError:
        pytest.skip("this file system takes no such name")
    report = check(tmp_path)
    assert "%FF.json" in as_sarif(report)
    for write in (as_sarif, as_json, as_gitlab, as_github):
        assert write(report).encode(errors="surrogateescape")


LEVELS = {
    "ending": ('m = "qwen-3-coder-480b"', "2025-11-01", "::warning "),
    "note": (
        "c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens=5)",
        "2026-11-21",
        "::notice ",
    ),
}


@pytest.mark.parametrize(("code", "on", "start"), LEVELS.values(), ids=LEVELS.keys())
def test_github_shows_how_bad_it_is(tmp_path, code, on, start):
    from datetime import date

    report = check_text(tmp_path, "a.py", code, on=date.fromisoformat(on))
    assert as_github(report).startswith(start)


def test_gitlab_gets_what_its_code_quality_takes(report):
    found = json.loads(as_gitlab(report))
    assert len(found) == len(report.findings)
    assert len({one["fingerprint"] for one in found}) == len(found)
    for one in found:
        assert one["severity"] in {"info", "minor", "major"}
        assert one["location"]["lines"]["begin"] >= 1
        assert one["check_name"] in RULES
