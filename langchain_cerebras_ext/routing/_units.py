"""Records and scores -> what each unit of each arm did; pure.

Every measure is a sum over a sum, such as USD over calls, kept for each unit: units are
drawn independently, their calls are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from langchain_cerebras_ext.costs.report import Filter, Totals
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.records import CallOutcome, UsageRecord
    from langchain_cerebras_ext.costs.tracker import CostTracker
    from langchain_cerebras_ext.routing._scores import Score

__all__ = [
    "METRICS",
    "ArmData",
    "Data",
    "Measure",
    "Metric",
    "collect",
    "read_records",
    "score_metric",
]

Measure: TypeAlias = Literal["USD", "s", "tokens/s", "share", "score"]
"""What a metric is counted in. A share lies between 0 and 1."""


class Metric(NamedTuple):
    """Something that arms are compared by.

    Attributes:
        name: As options and JSON have it.
        title: As people read it.
        measure: What it is counted in.
        lower_is_better: Whether less is better.
    """

    name: str
    title: str
    measure: Measure
    lower_is_better: bool = True


METRICS: Final = (
    Metric("cost_per_call", "Cost per answered call", "USD"),
    Metric("cost_per_unit", "Cost per unit", "USD"),
    Metric("ttft_s", "Time to the first token", "s"),
    Metric("duration_s", "Time to the end", "s"),
    Metric("output_tokens_per_s", "Speed", "tokens/s", lower_is_better=False),
    Metric("success", "Success", "share", lower_is_better=False),
)
"""What records tell.

The cost of failures, and of tries that were repeated, is spread over the calls that
were answered. Times and speed are those of the tries that a model has answered. All
tries of a router's call are one call: it is a success of its arm if any leg has
answered it. Calls that their caller left are neither a success nor a failure.
"""


def score_metric(name: str, *, is_share: bool) -> Metric:
    """Return the metric of a score; it is a share where all values are 0 or 1."""
    measure: Measure = "share" if is_share else "score"
    return Metric(f"score:{name}", f"Score `{name}`", measure, lower_is_better=False)


_TIMES: Final = ("ttft_s", "duration_s", "output_tokens_per_s")

Sums: TypeAlias = dict[str, list[float]]
"""A unit's sums, above and below the line, by metric."""


@dataclass(slots=True)
class ArmData:
    """What the units of one arm did.

    Attributes:
        name: The arm's.
        units: Their sums, by unit.
        totals: Of all its tries, exact.
        unknown: How many of its calls have no unit; each counts as one of its own.
    """

    name: str
    units: dict[str, Sums] = field(default_factory=dict[str, Sums])
    totals: Totals = field(default_factory=Totals)
    unknown: int = 0

    def pairs(self, metric: str) -> list[list[float]]:
        """Return the sums of all units that have the metric."""
        found = (sums.get(metric) for sums in self.units.values())
        return [pair for pair in found if pair is not None and pair[1] > 0]


@dataclass(slots=True)
class Data:
    """What all units of an experiment did.

    Attributes:
        experiment: Its name.
        arms: By name, those that have no calls among them.
        metrics: All that there is something to say of.
        crossed: Units with calls in more than one arm.
        lost_scores: Scores whose call is not among the records.
        first_at: When the first call began.
        last_at: When the last one did.
    """

    experiment: str
    arms: dict[str, ArmData]
    metrics: tuple[Metric, ...] = METRICS
    crossed: int = 0
    lost_scores: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


def read_records(
    experiment: str,
    source: CostTracker | Ledger | Iterable[UsageRecord] | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterable[UsageRecord]:
    """Return an experiment's records of a time.

    Raises:
        CerebrasConfigurationError: There is no source, or a time has no zone.
        LedgerError: The database cannot be read.
    """
    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.tracker import CostTracker

    for name, time in (("since", since), ("until", until)):
        if time is not None and time.tzinfo is None:
            msg = f"{name}={time.isoformat()} has no time zone; add one, as UTC."
            raise CerebrasConfigurationError(msg)
    if source is None:
        msg = (
            "There are no records to report on: pass a tracker, a ledger or records, "
            "or make the Experiment with ledger=...."
        )
        raise CerebrasConfigurationError(msg)
    when = Filter(since=since, until=until)
    if isinstance(source, Ledger):
        return _of_ledger(experiment, source, when)
    found = source.records if isinstance(source, CostTracker) else source
    return (
        record
        for record in found
        if _arm_of(experiment, record.arm) is not None and when.takes(record)
    )


def _of_ledger(experiment: str, ledger: Ledger, when: Filter) -> Iterator[UsageRecord]:
    labels = tuple(
        label
        for label, _ in ledger.values("arm", when)
        if _arm_of(experiment, label) is not None
    )
    if not labels:
        return iter(())
    return ledger.records(Filter(since=when.since, until=when.until, arm=labels))


def _arm_of(experiment: str, label: str | None) -> str | None:
    """Return the arm that a label names, if it is of this experiment."""
    if label is None or not label.startswith(f"{experiment}/"):
        return None
    return label[len(experiment) + 1 :] or None


def collect(
    experiment: str,
    records: Iterable[UsageRecord],
    scores: Iterable[Score],
    unit_of: Callable[[UsageRecord], str | None],
    *,
    arms: Sequence[str] = (),
) -> Data:
    """Return what the units of each arm did.

    Args:
        experiment: Its name.
        records: Only its own count.
        scores: Are joined to records by run, answer, parent or trace.
        unit_of: Returns a record's unit.
        arms: Those that are listed first, calls or not.
    """
    return _Collector(experiment, unit_of, arms).run(records, scores)


class _Collector:
    """Adds up records and scores."""

    def __init__(
        self,
        experiment: str,
        unit_of: Callable[[UsageRecord], str | None],
        arms: Sequence[str],
    ) -> None:
        self._data = Data(experiment, {name: ArmData(name) for name in arms})
        self._unit_of = unit_of
        # Whose an answer is, by its run, the service's id, its router's call, its
        # parent, its trace.
        self._owners: tuple[dict[str, Sums], ...] = ({}, {}, {}, {}, {})
        self._home: dict[str, str] = {}
        self._crossed: set[str] = set()

    def run(self, records: Iterable[UsageRecord], scores: Iterable[Score]) -> Data:
        for record in records:
            self._add(record)
        self._add_scores(list(scores))
        self._data.crossed = len(self._crossed)
        return self._data

    def _add(self, record: UsageRecord) -> None:
        data = self._data
        name = _arm_of(data.experiment, record.arm)
        if name is None:
            return
        arm = data.arms.setdefault(name, ArmData(name))
        arm.totals.add(record)
        sums = self._sums_of(arm, record)
        _add_cost(sums, record)
        _add_outcome(sums, record)
        ids = (
            record.run_id,
            record.request_id,
            record.router_call_id,
            record.parent_run_id,
            record.trace_id,
        )
        for owners, run in zip(self._owners, ids, strict=True):
            if run is not None:
                owners.setdefault(run, sums)
        at = record.started_at
        data.first_at = at if data.first_at is None else min(at, data.first_at)
        data.last_at = at if data.last_at is None else max(at, data.last_at)

    def _sums_of(self, arm: ArmData, record: UsageRecord) -> Sums:
        unit = self._unit_of(record)
        if unit is None:
            # Tries of one call are still of one unit.
            call = record.router_call_id or record.trace_id or record.run_id
            unit = f"\0{call or record.record_id}"
            arm.unknown += record.outcome != "retried" and record.router_so_far is None
        elif self._home.setdefault(unit, arm.name) != arm.name:
            self._crossed.add(unit)
        return arm.units.setdefault(unit, {})

    def _add_scores(self, scores: list[Score]) -> None:
        names: dict[str, bool] = {}
        for score in scores:
            sums = self._owner(score.run_id)
            if sums is None:
                self._data.lost_scores += 1
                continue
            # One of records' metrics and a score may have the same name.
            name = f"score:{score.name}"
            _add(sums, name, score.value)
            is_share = score.value in {0, 1}
            names[score.name] = names.get(score.name, True) and is_share
        self._data.metrics = METRICS + tuple(
            score_metric(name, is_share=names[name]) for name in sorted(names)
        )

    def _owner(self, run_id: str) -> Sums | None:
        found = (owners.get(run_id) for owners in self._owners)
        return next((sums for sums in found if sums is not None), None)


def _add(sums: Sums, metric: str, above: float, below: float = 1) -> None:
    pair = sums.get(metric)
    if pair is None:
        sums[metric] = [above, below]
    else:
        pair[0] += above
        pair[1] += below


def _add_cost(sums: Sums, record: UsageRecord) -> None:
    """Take a cost in; what has failed may have cost, and was no answer."""
    cost = record.cost_usd
    if cost is None:
        if record.outcome != "cache_hit":
            return
        usd = 0.0
    else:
        usd = float(cost)
    # What this try has changed: all tries of a router's call are one call.
    answered = _is_answered(record.came_to) - _is_answered(record.router_so_far)
    _add(sums, "cost_per_call", usd, answered)
    _add(sums, "cost_per_unit", usd, 0 if "cost_per_unit" in sums else 1)


_JUDGED: Final = ("ok", "failed")


def _is_answered(outcome: CallOutcome | None) -> bool:
    return outcome is not None and outcome != "failed"


def _add_outcome(sums: Sums, record: UsageRecord) -> None:
    if record.outcome == "retried":
        return
    now, before = record.came_to, record.router_so_far
    judged = (now in _JUDGED) - (before in _JUDGED)
    if judged or now != before:
        _add(sums, "success", (now == "ok") - (before == "ok"), judged)
    if record.outcome == "ok":
        for name in _TIMES:
            value = getattr(record, name)
            if value is not None:
                _add(sums, name, value)
