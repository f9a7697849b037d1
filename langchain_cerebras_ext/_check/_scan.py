"""One check, from paths to a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._evidence import FileContext
from langchain_cerebras_ext._check._facts import Facts, load_facts
from langchain_cerebras_ext._check._finders import find, find_as_text
from langchain_cerebras_ext._check._findings import (
    Edit,
    Finding,
    Report,
    Unreadable,
    model_message,
    model_rule,
    parameter_message,
    parameter_rule,
)
from langchain_cerebras_ext._check._grammars import require_grammars
from langchain_cerebras_ext._check._hits import Watch, watch_for
from langchain_cerebras_ext._check._judge import (
    ModelVerdict,
    ParameterVerdict,
    judge_model,
    judge_parameter,
)
from langchain_cerebras_ext._check._kinds import Kind, kind_of, kind_of_script
from langchain_cerebras_ext._check._place import Found
from langchain_cerebras_ext._check._source import Source, make_source, skip_reason
from langchain_cerebras_ext._check._walk import Rules, Target, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from langchain_cerebras_ext._check._judge import Confidence

DEFAULT_WITHIN_DAYS: Final = 90
_SURENESS: Final[Mapping[Confidence, int]] = {"weak": 0, "likely": 1, "certain": 2}


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How to check.

    Attributes:
        on: The day.
        within_days: How many days ahead an end counts.
        weak: Whether findings count that may well be something else.
        exclude: Files and directories to leave out, as in a `.gitignore`.
        exclude_root: The directory that they are relative to.
        ignore: Ids and parameters to leave alone.
        use_ignore_files: Whether `.gitignore` files count.
    """

    on: date
    within_days: int = DEFAULT_WITHIN_DAYS
    weak: bool = False
    exclude: tuple[str, ...] = ()
    exclude_root: Path | None = None
    ignore: frozenset[str] = frozenset()
    use_ignore_files: bool = True


@dataclass(slots=True)
class _Outcome:
    """What became of one file."""

    findings: list[Finding] = field(default_factory=list[Finding])
    unreadable: Unreadable | None = None
    skipped: str | None = None
    source: Source | None = None


def scan(paths: Sequence[Path], options: ScanOptions, *, cwd: Path) -> Report:
    """Check files and directories.

    Args:
        paths: What to check.
        options: How.
        cwd: The working directory, from which reports name files.

    Raises:
        MissingExtraError: What reads the files is not installed.
    """
    require_grammars()
    facts = load_facts(options.on, options.within_days)
    rules = Rules(
        options.exclude, options.exclude_root or cwd, options.use_ignore_files
    )
    checker = Checker(facts, options)
    outcomes = [checker.check_file(target) for target in walk(paths, rules, cwd)]
    skipped = Counter(one.skipped for one in outcomes if one.skipped) + rules.skipped
    return Report(
        on=options.on,
        within_days=options.within_days,
        findings=tuple(finding for one in outcomes for finding in one.findings),
        unreadable=tuple(one.unreadable for one in outcomes if one.unreadable),
        files=sum(one.skipped is None for one in outcomes),
        skipped=dict(sorted(skipped.items())),
        sources={one.source.shown: one.source for one in outcomes if one.source},
    )


class Checker:
    """Checks one file after the other.

    Args:
        facts: What to look for.
        options: How to check.
    """

    def __init__(self, facts: Facts, options: ScanOptions) -> None:
        self._facts = facts
        self._options = options
        self._watch: Watch = watch_for(facts)

    def check_file(self, target: Target) -> _Outcome:
        """Check one file; whatever is in it, nothing is raised."""
        try:
            data = target.path.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return _Outcome(unreadable=Unreadable(target.shown, reason, False))
        return self.check_data(data, target)

    def check_data(self, data: bytes, target: Target) -> _Outcome:
        """Check the content of a file."""
        kind = kind_of(target.path.name) or kind_of_script(data)
        if kind is None:
            return _Outcome(skipped="other kind")
        reason = skip_reason(data, is_script=kind in {"tsx", "typescript"})
        if reason is not None:
            return _Outcome(skipped=reason)
        if not self._is_worth_reading(data, target, kind):
            return _Outcome()
        source = make_source(
            target.path, target.shown, data, is_python=kind == "python"
        )
        return self._check_source(source, kind, target)

    def _is_worth_reading(self, data: bytes, target: Target, kind: Kind) -> bool:
        if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            return True  # two bytes a character: no name would be seen
        return self._watch.is_worth_reading(
            data, target.inner, weak=self._options.weak, folds=kind == "python"
        )

    def _check_source(self, source: Source, kind: Kind, target: Target) -> _Outcome:
        found = _find(source, kind, self._watch)
        context = FileContext(target.inner, source.text.decode(), found.imports)
        findings = sorted(
            self._findings(found, source, context),
            key=lambda finding: (finding.line, finding.column, finding.name),
        )
        problem = source.problem or found.problem
        return _Outcome(
            findings=findings,
            unreadable=Unreadable(source.shown, problem, True) if problem else None,
            source=source if findings else None,
        )

    def _findings(
        self, found: Found, source: Source, context: FileContext
    ) -> list[Finding]:
        best: dict[tuple[int, str], Finding] = {}
        for finding, start in self._all(found, source, context):
            key = (start, finding.name)
            known = best.get(key)
            if (
                known is None
                or _SURENESS[finding.confidence] > _SURENESS[known.confidence]
            ):
                best[key] = finding
        return [one for one in best.values() if self._is_wanted(one, source)]

    def _all(
        self, found: Found, source: Source, context: FileContext
    ) -> Iterator[tuple[Finding, int]]:
        for mention in found.mentions:
            for verdict in judge_model(mention, self._facts, self._watch, context):
                yield _model_finding(verdict, source), verdict.start
        for parameter in found.parameters:
            judged = judge_parameter(parameter, self._facts, context)
            if judged is not None:
                yield _parameter_finding(judged, source), judged.mention.start

    def _is_wanted(self, finding: Finding, source: Source) -> bool:
        if finding.confidence == "weak" and not self._options.weak:
            return False
        if finding.name in self._options.ignore:
            return False
        return not source.is_ignored(finding.line, finding.name)


def _find(source: Source, kind: Kind, watch: Watch) -> Found:
    """Return what a file mentions; a broken one is looked through as text as well."""
    try:
        found = find(kind, source.text, watch)
    except RecursionError:
        found = Found(problem="nested too deeply")
    if found.problem is None:
        return found
    if found.is_complete:
        return found
    text = find_as_text(source.text, watch)
    mentions = (*found.mentions, *text.mentions)
    return Found(mentions, found.parameters, found.imports, found.problem)


def _model_finding(verdict: ModelVerdict, source: Source) -> Finding:
    fact = verdict.fact
    rule, severity = model_rule(fact)
    line, column = source.position(verdict.start)
    end_line, end_column = source.position(verdict.end)
    edits = (
        (Edit(verdict.start, verdict.end, fact.name, fact.successor),)
        if verdict.keep is None and fact.successor and verdict.confidence != "weak"
        else ()
    )
    return Finding(
        path=source.shown,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        rule=rule,
        name=fact.name,
        severity=severity,
        confidence=verdict.confidence,
        evidence=verdict.evidence,
        message=model_message(fact, fact.name),
        successor=fact.successor,
        named_by=fact.named_by,
        ends_on=fact.ends_on,
        days_left=fact.days_left,
        edits=edits,
        keep=verdict.keep,
    )


def _parameter_finding(verdict: ParameterVerdict, source: Source) -> Finding:
    fact, mention = verdict.fact, verdict.mention
    rule, severity = parameter_rule(fact)
    line, column = source.position(mention.start)
    end_line, end_column = source.position(mention.end)
    is_kept = verdict.keep is not None or verdict.confidence == "weak"
    return Finding(
        path=source.shown,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        rule=rule,
        name=fact.name,
        severity=severity,
        confidence=verdict.confidence,
        evidence=verdict.evidence,
        message=parameter_message(fact),
        successor=fact.instead,
        named_by="vendor",
        ends_on=fact.last_day,
        days_left=fact.days_left,
        edits=() if is_kept else tuple(_parameter_edits(verdict)),
        keep=verdict.keep,
    )


def _parameter_edits(verdict: ParameterVerdict) -> Iterable[Edit]:
    fact, mention = verdict.fact, verdict.mention
    yield Edit(mention.start, mention.end, mention.name, fact.rename_to)
    if fact.value_to is not None:
        yield Edit(
            mention.value_start,
            mention.value_end,
            mention.value,
            f'"{fact.value_to}"',
        )
