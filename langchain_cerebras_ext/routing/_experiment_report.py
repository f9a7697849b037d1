"""What an experiment has shown: pure data, and how it is made."""

from __future__ import annotations

import math
from datetime import datetime  # noqa: TC003 - read by msgspec
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec

from langchain_cerebras_ext.costs.pricing import QUANTUM
from langchain_cerebras_ext.costs.report import Totals  # noqa: TC001 - read by msgspec
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing import _stats
from langchain_cerebras_ext.routing._stats import Look
from langchain_cerebras_ext.routing._units import Measure, score_metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.routing._stats import Difference, Estimate
    from langchain_cerebras_ext.routing._units import ArmData, Data, Metric

__all__ = [
    "ArmReport",
    "ArmValue",
    "Comparison",
    "MetricInfo",
    "Report",
    "Settings",
    "Verdict",
    "build",
]

Number: TypeAlias = Decimal | float
"""USD are `Decimal`, all else is `float`."""

Verdict: TypeAlias = Literal["better", "worse", "open", "too_few", "same"]
"""How an arm stands beside the baseline.

`open`: no difference is shown. `too_few`: there are not units enough to judge. `same`:
every call of both had the same value.
"""

_SPLIT_P: Final = 0.001
_UNEVEN: Final = 20
_FINER: Final = 4
_MOST_RESAMPLES: Final = 100_000
HOLDOUT: Final = "holdout"


class Settings(NamedTuple):
    """How a report is made; see `Experiment.report`."""

    baseline: str
    metrics: tuple[str, ...] | None = None
    confidence: float = 0.95
    seed: int = 0
    effect: float = 0.1
    rate_effect: float = 0.05
    planned_units: int = 1_000
    resamples: int = 2_000
    since: datetime | None = None
    until: datetime | None = None


class MetricInfo(msgspec.Struct, frozen=True):
    """Something that arms are compared by.

    Attributes:
        name: `cost_per_call`, `success`, `score:...`.
        title: As people read it.
        measure: What it is counted in.
        lower_is_better: Whether less is better.
    """

    name: str
    title: str
    measure: Measure
    lower_is_better: bool


class ArmValue(msgspec.Struct, frozen=True):
    """What an arm has of a metric.

    Attributes:
        value: The mean of its calls, or their share.
        low: Where the interval begins; `None` where there are too few units, or all
            have the same value.
        high: Where it ends.
        units: How many units have it.
        calls: How many calls, or for `cost_per_unit` how many units.
    """

    value: Number
    low: Number | None
    high: Number | None
    units: int
    calls: int


class ArmReport(msgspec.Struct, frozen=True):
    """What became of one arm.

    Attributes:
        name: The arm's.
        is_baseline: Whether others are compared with it.
        is_holdout: Whether it is what was held out.
        share: The share of units that it was to get; `None` if the experiment does not
            have it any more.
        units: How many units came.
        calls: How many calls they made.
        tries: How many times a leg was asked for them; more where the router moved on
            from one leg to another, or hedged.
        calls_without_unit: Of them, those whose unit is not known; each counts as a
            unit.
        totals: Of all its tries, exact.
        values: By metric; those that no call has are not there.
    """

    name: str
    is_baseline: bool
    is_holdout: bool
    share: float | None
    units: int
    calls: int
    tries: int
    calls_without_unit: int
    totals: Totals
    values: dict[str, ArmValue]


class Comparison(msgspec.Struct, frozen=True):
    """How an arm stands beside the baseline.

    Attributes:
        metric: The metric's name.
        arm: The arm's.
        baseline: The other one's.
        verdict: What is shown.
        holds_always: Whether it is shown however often one has looked; if not, only if
            this look was planned and is the only one.
        difference: The arm's value less the baseline's.
        relative: The same as a share of the baseline's; `None` where that is 0.
        low: Where the interval for one look begins; `None` where there is none.
        high: Where it ends.
        always_low: Where the interval for any number of looks begins.
        always_high: Where it ends.
        p_value: For one look, of all comparisons of the report together.
        always_p_value: For any number of looks, likewise.
        effect: The difference that was not to be missed.
        more_units: About how many more units each arm needs to see that difference in
            one look, 4 times of 5; 0 if there are enough, `None` if nobody can tell.
        words: All of it in a sentence or two.
    """

    metric: str
    arm: str
    baseline: str
    verdict: Verdict
    holds_always: bool
    difference: Number
    relative: float | None
    low: Number | None
    high: Number | None
    always_low: Number | None
    always_high: Number | None
    p_value: float
    always_p_value: float
    effect: Number
    more_units: int | None
    words: str = ""


class Report(msgspec.Struct, frozen=True):
    """What an experiment has shown.

    Attributes:
        experiment: Its name.
        baseline: The arm that others are compared with.
        confidence: How often each interval holds, and how often, where there is no
            difference at all, the whole report shows none.
        seed: Of the resampling.
        planned_units: Where the interval for many looks is narrowest.
        since: From when records were looked at.
        until: Until when.
        first_at: When the first call began.
        last_at: When the last one did.
        metrics: What is compared.
        arms: The baseline first, the holdout last.
        comparisons: By metric, then by arm.
        notes: What to know before one trusts it.
        words: What is shown, in sentences.
    """

    experiment: str
    baseline: str
    confidence: float
    seed: int
    planned_units: int
    since: datetime | None
    until: datetime | None
    first_at: datetime | None
    last_at: datetime | None
    metrics: tuple[MetricInfo, ...]
    arms: tuple[ArmReport, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def holdout(self) -> ArmReport | None:
        """What became of the units that were held out."""
        return next((arm for arm in self.arms if arm.is_holdout), None)

    def arm(self, name: str) -> ArmReport:
        """Return an arm.

        Raises:
            KeyError: There is none of this name.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def comparison(self, metric: str, arm: str | None = None) -> Comparison:
        """Return the comparison of a metric, of the first other arm if none is named.

        Raises:
            KeyError: There is none.
        """
        for one in self.comparisons:
            if one.metric == metric and arm in {None, one.arm}:
                return one
        raise KeyError((metric, arm))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it: money as decimal strings, UTC times."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))

    def to_markdown(self) -> str:
        """Return it as a page: words, notes, and two tables."""
        from langchain_cerebras_ext.routing._experiment_words import to_markdown

        return to_markdown(self)

    def __str__(self) -> str:
        """Return what is shown, in sentences."""
        return "\n".join((*self.words, *self.notes))


def build(data: Data, settings: Settings, shares: Mapping[str, float]) -> Report:
    """Return what the data show.

    Args:
        data: What units did.
        settings: How to look at it.
        shares: The share of units that each arm was to get.

    Raises:
        CerebrasConfigurationError: A setting is wrong.
        MissingExtraError: SciPy is not installed.
    """
    from langchain_cerebras_ext.routing._experiment_words import add_words

    _check(settings)
    return add_words(_Builder(data, settings, shares).report(), data)


def _check(settings: Settings) -> None:
    rules = (
        ("confidence", 0.5 <= settings.confidence < 1, "0.5 to below 1, as 0.95"),  # noqa: PLR2004 - half
        ("effect", 0 < settings.effect < math.inf, "more than 0, as 0.1 for 10 %"),
        ("rate_effect", 0 < settings.rate_effect < 1, "between 0 and 1, as 0.05"),
        ("planned_units", settings.planned_units > 0, "1 or more"),
        ("resamples", settings.resamples >= 100, "100 or more"),  # noqa: PLR2004 - few
        ("seed", settings.seed >= 0, "0 or more"),
    )
    for name, is_right, rule in rules:
        if not is_right:
            msg = f"{name}={getattr(settings, name)} must be {rule}."
            raise CerebrasConfigurationError(msg)


class _Builder:
    """Makes a report."""

    def __init__(
        self, data: Data, settings: Settings, shares: Mapping[str, float]
    ) -> None:
        self._data = data
        self._settings = settings
        self._shares = shares
        self._metrics = self._chosen()
        self._arms = self._ordered()
        # So many that the rarest is rare enough for all comparisons together.
        comparisons = len(self._metrics) * (len(self._arms) - 1)
        least = math.ceil(_FINER * comparisons / (1 - settings.confidence))
        self._look = Look(
            settings.confidence,
            settings.seed,
            max(settings.resamples, min(least, _MOST_RESAMPLES)),
            settings.planned_units,
        )

    def _chosen(self) -> tuple[Metric, ...]:
        there = self._data.metrics
        wanted = self._settings.metrics
        if wanted is None:
            return there
        found: list[Metric] = []
        for name in dict.fromkeys(wanted):
            names = {name, f"score:{name}"}
            hits = [metric for metric in there if metric.name in names]
            if not hits and name.startswith("score:"):
                hits = [score_metric(name.removeprefix("score:"), is_share=False)]
            if not hits:
                known = ", ".join(metric.name for metric in there)
                msg = (
                    f"metrics has {name!r}, of which there is nothing; take {known}, "
                    f"or 'score:NAME' for a score that may come."
                )
                raise CerebrasConfigurationError(msg)
            found += hits[:1]
        return tuple(found)

    def _ordered(self) -> list[ArmData]:
        arms, base = self._data.arms, self._settings.baseline
        if base not in arms:
            msg = f"baseline={base!r} is no arm; there are {', '.join(arms)}."
            raise CerebrasConfigurationError(msg)
        return sorted(
            arms.values(), key=lambda arm: (arm.name != base, arm.name == HOLDOUT)
        )

    def report(self) -> Report:
        settings, data = self._settings, self._data
        estimates = {
            (arm.name, metric.name): found
            for arm in self._arms
            for metric in self._metrics
            if (found := self._estimate(arm, metric)) is not None
        }
        return Report(
            experiment=data.experiment,
            baseline=settings.baseline,
            confidence=settings.confidence,
            seed=settings.seed,
            planned_units=settings.planned_units,
            since=settings.since,
            until=settings.until,
            first_at=data.first_at,
            last_at=data.last_at,
            metrics=tuple(MetricInfo(*metric) for metric in self._metrics),
            arms=tuple(self._arm(arm, estimates) for arm in self._arms),
            comparisons=self._compare(estimates),
            notes=tuple(self._notes(estimates)),
        )

    def _estimate(self, arm: ArmData, metric: Metric) -> Estimate | None:
        return _stats.estimate(
            arm.pairs(metric.name),
            self._look,
            is_share=metric.measure == "share",
            name=f"{metric.name} {arm.name}",
        )

    def _arm(
        self, arm: ArmData, estimates: Mapping[tuple[str, str], Estimate]
    ) -> ArmReport:
        values: dict[str, ArmValue] = {}
        for metric in self._metrics:
            found = estimates.get((arm.name, metric.name))
            if found is not None:
                # Nothing that is counted here can be less than 0, but a score.
                least = -math.inf if metric.measure == "score" else 0.0
                low = None if found.low is None else max(least, found.low)
                values[metric.name] = ArmValue(
                    _number(metric, found.value),
                    _maybe(metric, low),
                    _maybe(metric, found.high),
                    found.units,
                    round(found.calls),
                )
        return ArmReport(
            name=arm.name,
            is_baseline=arm.name == self._settings.baseline,
            is_holdout=arm.name == HOLDOUT,
            share=self._shares.get(arm.name),
            units=len(arm.units),
            calls=arm.totals.whole_calls,
            tries=arm.totals.calls,
            calls_without_unit=arm.unknown,
            totals=arm.totals,
            values=values,
        )

    def _compare(
        self, estimates: Mapping[tuple[str, str], Estimate]
    ) -> tuple[Comparison, ...]:
        base = self._arms[0]
        found: list[tuple[Metric, ArmData, Difference]] = []
        for metric in self._metrics:
            for arm in self._arms[1:]:
                # What is held out is shown beside the arms, and no part of the contest.
                if arm.name == HOLDOUT:
                    continue
                difference = _stats.compare(
                    arm.pairs(metric.name),
                    base.pairs(metric.name),
                    self._look,
                    is_share=metric.measure == "share",
                    name=f"{metric.name} {arm.name} {base.name}",
                )
                if difference is not None:
                    found.append((metric, arm, difference))
        judged = [one for _, _, one in found if one.low is not None]
        once = iter(_stats.adjust([one.p_value for one in judged]))
        always = iter(_stats.adjust([one.always_p_value for one in judged]))
        return tuple(
            self._judge(
                metric,
                one,
                (estimates[arm.name, metric.name], estimates[base.name, metric.name]),
                (arm.name, base.name),
                (1.0, 1.0) if one.low is None else (next(once), next(always)),
                len(judged),
            )
            for metric, arm, one in found
        )

    def _judge(
        self,
        metric: Metric,
        difference: Difference,
        ends: tuple[Estimate, Estimate],
        names: tuple[str, str],
        p_values: tuple[float, float],
        comparisons: int,
    ) -> Comparison:
        value = difference.value
        alpha = 1 - self._settings.confidence
        shown = p_values[0] <= alpha and _excludes(difference.low, difference.high)
        holds = p_values[1] <= alpha and _excludes(
            difference.always_low, difference.always_high
        )
        verdict: Verdict = "open"
        if min(end.units for end in ends) < _stats.ENOUGH:
            verdict = "too_few"
        elif difference.low is None and not value:
            verdict = "same"
        elif shown or holds or difference.low is None:
            # Without an interval every call of either arm has the same value.
            verdict = "better" if (value < 0) is metric.lower_is_better else "worse"
        base = ends[1].value
        effect = self._effect(metric, base)
        return Comparison(
            metric=metric.name,
            arm=names[0],
            baseline=names[1],
            verdict=verdict,
            holds_always=holds and verdict in {"better", "worse"},
            difference=_number(metric, value),
            relative=_share(value, base),
            low=_maybe(metric, difference.low),
            high=_maybe(metric, difference.high),
            always_low=_maybe(metric, difference.always_low),
            always_high=_maybe(metric, difference.always_high),
            p_value=p_values[0],
            always_p_value=p_values[1],
            effect=_number(metric, effect),
            more_units=self._more(ends, effect, comparisons),
        )

    def _effect(self, metric: Metric, base: float) -> float:
        if metric.measure == "share":
            return self._settings.rate_effect
        return self._settings.effect * abs(base)

    def _more(
        self, ends: tuple[Estimate, Estimate], effect: float, comparisons: int
    ) -> int | None:
        fewest = min(end.units for end in ends)
        if fewest < _stats.ENOUGH:
            return _stats.ENOUGH - fewest
        spread = sum(end.variance * end.units for end in ends)
        needed = _stats.find_units(
            spread, effect, self._settings.confidence, comparisons
        )
        return None if needed is None else max(0, needed - fewest)

    # ------------------------------------------------------------------------ notes

    def _notes(self, estimates: Mapping[tuple[str, str], Estimate]) -> list[str]:
        found = [*self._split_notes(), *self._record_notes()]
        crowded = {
            metric.title.lower(): arm.name
            for metric in self._metrics
            for arm in self._arms
            if (end := estimates.get((arm.name, metric.name))) is not None
            and end.is_dominated
        }
        found += [
            f"One unit of {arm!r} alone makes up most of the spread of its {title}: "
            "that mean is not well known, whatever the interval says."
            for title, arm in crowded.items()
        ]
        return found

    def _split_notes(self) -> list[str]:
        # Units that are not known are drawn anew for each call.
        mine = [arm for arm in self._arms if self._shares.get(arm.name)]
        counts = [len(arm.units) for arm in mine]
        if len(mine) < 2 or sum(counts) < _UNEVEN:  # noqa: PLR2004 - a split
            return []
        shares = [self._shares[arm.name] for arm in mine]
        if _stats.check_split(counts, shares) >= _SPLIT_P:
            return []
        told = ", ".join(
            f"{arm.name} {count} ({100 * share:.3g} % were due)"
            for arm, count, share in zip(mine, counts, shares, strict=True)
        )
        words = (
            f"Units are not split as the weights say: {told}. If the weights have not "
            "changed during this time, calls of one arm are lost somewhere, and the "
            "arms cannot be compared."
        )
        return [words]

    def _record_notes(self) -> list[str]:
        data = self._data
        unknown = sum(arm.unknown for arm in self._arms)
        unpriced = sum(arm.totals.unpriced_calls for arm in self._arms)
        estimated = sum(arm.totals.estimated_calls for arm in self._arms)
        is_whole = self._settings.since is None and self._settings.until is None
        told = (
            (unknown, "calls have no unit; each counts as a unit of its own."),
            (
                data.crossed,
                "units have calls in more than one arm, and count in each.",
            ),
            (unpriced, "rows have no price; costs leave them out."),
            (estimated, "rows have tokens that were counted here, so costs are near."),
            (
                data.lost_scores if is_whole else 0,
                "scores belong to no call that is among the records.",
            ),
        )
        return [f"{count:,} {words}" for count, words in told if count]


def _excludes(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and not low <= 0 <= high


def _share(value: float, base: float) -> float | None:
    return value / abs(base) if base else None


def _maybe(metric: Metric, value: float | None) -> Number | None:
    return None if value is None else _number(metric, value)


def _number(metric: Metric, value: float) -> Number:
    if metric.measure != "USD":
        return float(value)
    return Decimal(repr(float(value))).quantize(QUANTUM)
