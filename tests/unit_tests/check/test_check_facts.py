"""What counts on which day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from check_helpers import TODAY, check_text, names

from langchain_cerebras_ext._check import _facts, _findings

END = date(2025, 11, 5)  # of `qwen-3-coder-480b`, told on 2025-10-29
CODE = 'm = "qwen-3-coder-480b"'

DAYS = {
    "before_it_was_told": (date(2025, 10, 28), None, None),
    "told": (date(2025, 10, 29), "ending-model", "ends on 2025-11-05, in 7 days."),
    "day_before_the_end": (END - timedelta(1), "ending-model", "tomorrow."),
    "end": (END, "retired-model", "was retired on 2025-11-05."),
    "after": (END + timedelta(1), "retired-model", "was retired on 2025-11-05."),
}


@pytest.mark.parametrize(("on", "rule", "told"), DAYS.values(), ids=DAYS.keys())
def test_the_day_decides(tmp_path, on, rule, told):
    findings = check_text(tmp_path, "a.py", CODE, on=on).findings
    assert [finding.rule for finding in findings] == ([rule] if rule else [])
    for finding in findings:
        assert told in finding.message
        assert finding.days_left == (END - on).days


WITHIN = {"inside": (7, True), "outside": (6, False), "none": (0, False)}


@pytest.mark.parametrize(("days", "is_found"), WITHIN.values(), ids=WITHIN.keys())
def test_an_end_counts_within_some_days(tmp_path, days, is_found):
    on = date(2025, 10, 29)
    report = check_text(tmp_path, "a.py", CODE, on=on, within_days=days)
    assert bool(report.findings) is is_found


SUCCESSORS = {
    "vendor": ("qwen-3-32b", "gpt-oss-120b", "vendor", "the vendor's successor"),
    "us": ("qwen-3-coder-480b", "gpt-oss-120b", "us", "our advice"),
    "other": ("gemma-4-31b", "qwen-3.8-27b", "vendor", "left the public endpoints"),
    "alias": ("llama3.3-70b", "gpt-oss-120b", "vendor", "(llama-3.3-70b) was retired"),
}


@pytest.mark.parametrize(
    ("name", "model", "who", "words"), SUCCESSORS.values(), ids=SUCCESSORS.keys()
)
def test_the_successor_is_served_and_its_source_is_named(
    tmp_path, name, model, who, words
):
    report = check_text(tmp_path, "a.py", f'Cerebras("{name}")')
    (finding,) = report.findings
    assert (finding.name, finding.successor, finding.named_by) == (name, model, who)
    assert words in finding.message
    assert model in finding.message


def test_on_an_old_day_the_successor_of_that_day_is_named(tmp_path):
    report = check_text(tmp_path, "a.py", CODE, on=date(2025, 12, 1))
    assert report.findings[0].successor == "zai-glm-4.6"
    assert report.findings[0].named_by == "vendor"


def test_what_is_not_served_yet_is_not_written(tmp_path):
    (finding,) = check_text(tmp_path, "a.py", CODE, on=date(2025, 11, 1)).findings
    assert finding.successor == "zai-glm-4.6"
    assert not finding.edits
    assert finding.keep == "its successor is not served before 2025-11-05"


def test_ids_that_never_were_served_count(tmp_path):
    report = check_text(tmp_path, "a.py", 'Cerebras("deepseek-r1-0528")')
    assert report.findings[0].rule == "unserved-model"
    assert "was never served" in report.findings[0].message


def test_models_of_dedicated_endpoints_are_weak(tmp_path):
    code = 'Cerebras("kimi-k2.6")'
    assert names(check_text(tmp_path, "a.py", code)) == []
    (finding,) = check_text(tmp_path, "a.py", code, weak=True).findings
    assert finding.message == (
        "kimi-k2.6 is on dedicated endpoints only. No successor is known."
    )
    assert finding.keep == "no successor is known"


def test_names_of_other_products_are_not_rewritten(tmp_path):
    (finding,) = check_text(tmp_path, "a.py", 'Cerebras("LLAMA_3_3_70B")').findings
    assert finding.keep == "it is another product's name"


def test_a_dash_may_be_part_of_a_name_of_ones_own(tmp_path):
    (finding,) = check_text(tmp_path, "a.py", 'm = "cerebras-llama3.1-8b"').findings
    assert finding.keep == "it is another product's name"


PARAMETER_DAYS = {
    "before_it_was_told": (date(2026, 3, 23), None, None),
    "told": (date(2026, 3, 24), "deprecated-parameter", "warning"),
    "last_day": (date(2026, 7, 21), "deprecated-parameter", "warning"),
    "after": (date(2026, 7, 22), "removed-parameter", "error"),
}


@pytest.mark.parametrize(
    ("on", "rule", "severity"), PARAMETER_DAYS.values(), ids=PARAMETER_DAYS.keys()
)
def test_the_day_decides_on_parameters_too(tmp_path, on, rule, severity):
    code = "ChatCerebras(disable_reasoning=True)"
    findings = check_text(tmp_path, "a.py", code, on=on).findings
    assert [one.rule for one in findings] == ([rule] if rule else [])
    assert [one.severity for one in findings] == ([severity] if severity else [])


def test_a_parameter_without_a_known_end_is_a_note(tmp_path):
    code = "c = Cerebras()\nc.chat.completions.create(messages=[], max_tokens=5)"
    (finding,) = check_text(tmp_path, "a.py", code).findings
    assert finding.severity == "note"
    assert finding.message == ("max_tokens is deprecated. Use max_completion_tokens.")


STANDS = {
    "flagged": (
        {"state": "ending", "ends_on": None, "days_left": None},
        "x is deprecated; its last day is not known. Use y (our advice).",
    ),
    "unlisted": (
        {"state": "retired", "is_unlisted": True, "successor": None},
        "x is no longer on the service's list. No successor is known.",
    ),
    "later": (
        {"served_from": date(2026, 1, 2), "named_by": "vendor"},
        "x was retired on 2026-01-01. Use y (the vendor's successor, from 2026-01-02).",
    ),
    "today": (
        {"state": "ending", "days_left": 0},
        "x ends on 2026-01-01, today. Use y (our advice).",
    ),
}


@pytest.mark.parametrize(("facts", "told"), STANDS.values(), ids=STANDS.keys())
def test_the_message_says_what_is_known(facts, told):
    known = {
        "name": "x",
        "state": "retired",
        "id": "x",
        "ends_on": date(2026, 1, 1),
        "days_left": 1,
        "successor": "y",
        "named_by": "us",
        "served_from": None,
        "only_cerebras": False,
        "is_id": True,
        "is_dedicated": False,
        "is_unlisted": False,
    }
    fact = _facts.ModelFact(**(known | facts))
    assert _findings.model_message(fact, "x") == told


def test_every_id_of_cerebras_only_is_in_the_catalog():
    assert all(map(_facts.is_known, _facts._only_cerebras()))


def test_served_models_are_not_looked_for():
    facts = _facts.load_facts(TODAY, 90)
    assert not {"gpt-oss-120b", "qwen-3.8-27b"} & set(facts.models)
    assert all(fact.served_from is None for fact in facts.models.values())
