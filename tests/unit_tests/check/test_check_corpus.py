"""Real configuration styles, with the findings that each of them must give."""

from __future__ import annotations

import ast
import json
import shutil
import tomllib

import pytest
import yaml
from check_helpers import CORPUS, check, row

from langchain_cerebras_ext._check import plan_changes, write_change

EXPECTED = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))
FILES = sorted(
    path.relative_to(CORPUS).as_posix()
    for path in CORPUS.rglob("*")
    if path.is_file() and path.name != "expected.json"
)


@pytest.fixture(scope="module")
def found():
    """The rows of each file, as found."""
    report = check(CORPUS, weak=True, exclude=("/expected.json",), exclude_root=CORPUS)
    rows: dict[str, list[str]] = {name: [] for name in FILES}
    for finding in report.findings:
        rows[finding.path].append(row(finding))
    return report, rows


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_exactly_the_expected_findings(found, name):
    _, rows = found
    assert rows[name] == EXPECTED["findings"].get(name, [])


def test_expectations_name_files_that_are_there():
    assert set(EXPECTED["findings"]) <= set(FILES)


def test_broken_files_are_said_to_be_broken_and_looked_through(found):
    report, _ = found
    assert [one.path for one in report.unreadable] == EXPECTED["unreadable"]
    assert all(one.looked_through for one in report.unreadable)


def test_only_weak_findings_where_other_providers_are_used():
    report = check(CORPUS / "others", weak=True)
    assert {finding.confidence for finding in report.findings} == {"weak"}
    assert check(CORPUS / "others").findings == ()


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A copy of the corpus that was rewritten."""
    copy = tmp_path_factory.mktemp("fixed") / "corpus"
    shutil.copytree(CORPUS, copy)
    (copy / "expected.json").unlink()
    for change in plan_changes(check(copy)):
        write_change(change)
    return copy


def test_rewriting_leaves_only_what_it_must_not_touch(fixed):
    wanted = {
        name: [row.split()[1] for row in rows if row.endswith("keep")]
        for name, rows in EXPECTED["findings"].items()
    }
    left: dict[str, list[str]] = {name: [] for name in wanted}
    for finding in check(fixed, weak=True).findings:
        left[finding.path].append(finding.name)
        assert not finding.edits
    assert left == wanted


def test_rewriting_again_changes_nothing(fixed):
    assert plan_changes(check(fixed)) == []


def test_rewriting_changes_only_the_lines_with_findings(fixed):
    for name in FILES:
        before = (CORPUS / name).read_text(encoding="utf-8").split("\n")
        after = (fixed / name).read_text(encoding="utf-8").split("\n")
        changed = {
            number
            for number, (old, new) in enumerate(zip(before, after, strict=True), 1)
            if old != new
        }
        rows = EXPECTED["findings"].get(name, [])
        assert changed == {int(r.split(":")[0]) for r in rows if r.endswith("fix")}


# Broken, a template, and JSON with comments.
UNREADABLE = {
    "broken/half.json",
    "broken/half.py",
    "helm/templates/deployment.yaml",
    "zed/settings.json",
}
READERS = {
    ".py": ast.parse,
    ".json": json.loads,
    ".ipynb": json.loads,
    ".toml": tomllib.loads,
    ".yml": yaml.safe_load,
    ".yaml": yaml.safe_load,
}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FILES
        if any(name.endswith(suffix) for suffix in READERS) and name not in UNREADABLE
    ],
)
def test_rewritten_files_can_still_be_read(fixed, name):
    path = fixed / name
    READERS[path.suffix](path.read_text(encoding="utf-8"))
