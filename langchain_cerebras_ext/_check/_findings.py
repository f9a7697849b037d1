"""What the check reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from langchain_cerebras_ext._check._facts import ModelFact, ParameterFact
    from langchain_cerebras_ext._check._judge import Confidence
    from langchain_cerebras_ext._check._source import Source

Rule = Literal[
    "retired-model",
    "unserved-model",
    "ending-model",
    "removed-parameter",
    "deprecated-parameter",
]
Severity = Literal["error", "warning", "note"]
"""`error` is what fails today, `warning` what will on a known day, `note` the rest."""

FailOn = Literal["retired", "ending", "any", "never"]

RULES: Final[Mapping[Rule, tuple[str, str]]] = {
    "retired-model": (
        "A model that is no longer served",
        "Requests for this model are answered with 404. Use its successor.",
    ),
    "unserved-model": (
        "A model that the public endpoints never served",
        "Requests for this model are answered with 404. Use a model that is served.",
    ),
    "ending-model": (
        "A model whose end is near",
        "From the day of its end requests for this model are answered with 404.",
    ),
    "removed-parameter": (
        "A parameter that is no longer supported",
        "The service does not support this parameter any more.",
    ),
    "deprecated-parameter": (
        "A parameter that is deprecated",
        "The service still takes this parameter, but documents another one.",
    ),
}
"""What each rule finds, and what that means."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a source to rewrite.

    Attributes:
        start: Where it starts: bytes of the text in UTF-8.
        end: Where it ends.
        old: What stands there.
        new: What is to stand there.
    """

    start: int
    end: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One id or parameter at one place.

    Attributes:
        path: The file, as reports call it.
        line: Its line, from 1.
        column: Its column, from 1, in characters.
        end_line: The line of its end.
        end_column: The column after its end.
        rule: What is wrong.
        name: The id or parameter as it is written.
        severity: How bad it is on the day.
        confidence: How sure it is that Cerebras is meant.
        evidence: What speaks for that.
        message: All of it in words.
        successor: What to use instead.
        named_by: Who says so: the vendor, or we.
        ends_on: The day of its end, past or to come.
        days_left: Days until then; negative after it.
        edits: What `--fix` would do; empty if nothing.
        keep: Why it would do nothing.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    rule: Rule
    name: str
    severity: Severity
    confidence: Confidence
    evidence: str
    message: str
    successor: str | None = None
    named_by: Literal["vendor", "us"] | None = None
    ends_on: date | None = None
    days_left: int | None = None
    edits: tuple[Edit, ...] = ()
    keep: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read as what it is.

    Attributes:
        path: The file, as reports call it.
        reason: Why.
        looked_through: Whether it was looked through as text all the same.
    """

    path: str
    reason: str
    looked_through: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        on: The day that it is about.
        within_days: How many days ahead an end counts.
        findings: By path and place; weak ones only if they were asked for.
        unreadable: Files that could not be read as what they are.
        files: How many files were looked at.
        skipped: How many were not, by reason.
        sources: What was read of files with findings, by path.
    """

    on: date
    within_days: int
    findings: tuple[Finding, ...]
    unreadable: tuple[Unreadable, ...] = ()
    files: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    sources: Mapping[str, Source] = field(
        default_factory=dict[str, "Source"], repr=False
    )

    def fails(self, fail_on: FailOn) -> bool:
        """Tell whether there is a finding at or above a level; weak ones never count.

        Args:
            fail_on: `retired` is what fails today, `ending` what ends on a known day
                as well, `any` is everything.
        """
        counting: dict[FailOn, set[Severity]] = {
            "never": set(),
            "retired": {"error"},
            "ending": {"error", "warning"},
            "any": {"error", "warning", "note"},
        }
        return any(
            finding.severity in counting[fail_on] and finding.confidence != "weak"
            for finding in self.findings
        )


def model_rule(fact: ModelFact) -> tuple[Rule, Severity]:
    """Return the rule that a model breaks, and how bad that is."""
    if fact.state == "ending":
        return "ending-model", "warning"
    if fact.state == "retired":
        return "retired-model", "error"
    return "unserved-model", "error"


def parameter_rule(fact: ParameterFact) -> tuple[Rule, Severity]:
    """Return the rule that a parameter breaks, and how bad that is."""
    if fact.days_left is None:
        return "deprecated-parameter", "note"
    if fact.days_left < 0:
        return "removed-parameter", "error"
    return "deprecated-parameter", "warning"


def model_message(fact: ModelFact, written: str) -> str:
    """Say what is wrong with a model, and what to use instead."""
    name = written if written == fact.id else f"{written} ({fact.id})"
    return f"{_what_of_model(fact, name)} {_advice(fact)}"


def _what_of_model(fact: ModelFact, name: str) -> str:
    if fact.state == "unserved":
        return f"{name} was never served."
    if fact.state == "dedicated":
        return f"{name} is on dedicated endpoints only."
    if fact.state == "ending" and fact.days_left is None:
        return f"{name} is deprecated; its last day is not known."
    if fact.state == "ending":
        return f"{name} ends on {fact.ends_on}, {_in_days(fact.days_left or 0)}."
    if fact.is_unlisted:
        return f"{name} is no longer on the service's list."
    since = f" on {fact.ends_on}" if fact.ends_on else ""
    if fact.is_dedicated:
        return f"{name} left the public endpoints{since}; dedicated ones may have it."
    return f"{name} was retired{since}."


def _advice(fact: ModelFact) -> str:
    if fact.successor is None:
        return "No successor is known."
    who = "the vendor's successor" if fact.named_by == "vendor" else "our advice"
    start = f", from {fact.served_from}" if fact.served_from else ""
    return f"Use {fact.successor} ({who}{start})."


def parameter_message(fact: ParameterFact) -> str:
    """Say what is wrong with a parameter, and what to write instead."""
    return f"{_what_of_parameter(fact)} Use {fact.instead}."


def _what_of_parameter(fact: ParameterFact) -> str:
    if fact.days_left is None:
        return f"{fact.name} is deprecated."
    if fact.days_left < 0:
        return f"{fact.name} was supported until {fact.last_day}."
    return (
        f"{fact.name} is deprecated and supported until {fact.last_day}, "
        f"{_in_days(fact.days_left)}."
    )


def _in_days(days: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
