"""What an experiment has shown, in words and as a page of Markdown; pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_cerebras_ext.routing._experiment_report import (
        ArmValue,
        Comparison,
        MetricInfo,
        Number,
        Report,
    )
    from langchain_cerebras_ext.routing._units import Data

__all__ = ["add_words", "say_difference", "say_value", "to_markdown"]

_ABOVE: Final = {
    "cost_per_call": ("costs", "more", "less"),
    "cost_per_unit": ("costs", "more", "less"),
    "ttft_s": ("takes", "longer", "less long"),
    "duration_s": ("takes", "longer", "less long"),
    "output_tokens_per_s": ("is", "faster", "slower"),
    "success": ("succeeds", "more often", "less often"),
}
_SCORED: Final = ("scores", "higher", "lower")


def add_words(report: Report, data: Data) -> Report:
    """Return a report with its words.

    Args:
        report: All but its words.
        data: What it was made of.
    """
    infos = {info.name: info for info in report.metrics}
    comparisons = tuple(
        msgspec.structs.replace(one, words=_sentence(report, infos[one.metric], one))
        for one in report.comparisons
    )
    words = [one.words for one in comparisons]
    words += _missing(report)
    if not any(arm.calls for arm in report.arms):
        words = [f"No calls of experiment {data.experiment!r} are among the records."]
    elif _judged(report):
        words.append(_rate(report))
    return msgspec.structs.replace(report, comparisons=comparisons, words=tuple(words))


def _rate(report: Report) -> str:
    judged = _judged(report)
    percent = f"{100 * (1 - report.confidence):g} of 100"
    if judged < 2:  # noqa: PLR2004 - nothing to correct
        return f"Where there is no difference, one is shown at most {percent} times."
    return (
        f"All {judged} comparisons together are corrected by Holm's method: where "
        f"there is no difference in any, one is shown at most {percent} times."
    )


def _judged(report: Report) -> int:
    return sum(one.low is not None for one in report.comparisons)


def _missing(report: Report) -> list[str]:
    """Return what to say of metrics that some arm has nothing of."""
    found: list[str] = []
    arms = [arm for arm in report.arms if not arm.is_holdout]
    for info in report.metrics:
        without = [arm.name for arm in arms if info.name not in arm.values]
        has_some = len(without) < len(arms)
        if without and (has_some or info.name.startswith("score:")):
            names = ", ".join(f"`{name}`" for name in without)
            found.append(f"{info.title}: nothing is known of {names} yet.")
    return found


def _sentence(report: Report, info: MetricInfo, one: Comparison) -> str:
    arm = report.arm(one.arm).values[info.name]
    base = report.arm(one.baseline).values[info.name]
    against = f"{say_value(info, arm.value)} against {say_value(info, base.value)}"
    if one.verdict == "same":
        return (
            f"{info.title}: `{one.arm}` and `{one.baseline}` are the same, "
            f"{say_value(info, arm.value)} in every call."
        )
    if one.verdict == "too_few":
        return (
            f"{info.title}: not enough data. `{one.arm}` has {_units(arm)}, "
            f"`{one.baseline}` {_units(base)} ({against}): {_needed(one, arm, base)} "
            "before a difference can be judged."
        )
    if one.low is None:
        return (
            f"{info.title}: {_compared(info, one)} ({against}). Every unit of an arm "
            "has the same value, so there is no interval."
        )
    interval = f"{100 * report.confidence:g} % interval {_range(info, one)}"
    if one.verdict == "open":
        return _open(report, info, one, f"{against}; {interval}")
    return (
        f"{info.title}: {_compared(info, one)} ({against}; {interval}). "
        f"{_standing(report, info, one)}"
    )


def _needed(one: Comparison, arm: ArmValue, base: ArmValue) -> str:
    """Return how many units are missing, and where."""
    more = one.more_units or 0
    fewest = min(arm.units, base.units)
    enough = fewest + more
    short = [
        f"`{name}`"
        for name, value in ((one.arm, arm), (one.baseline, base))
        if value.units < enough
    ]
    where = "per arm" if len(short) > 1 else f"of {short[0]}"
    is_one = more == 1
    return (
        f"at least {more} more unit{'' if is_one else 's'} {where} "
        f"{'is' if is_one else 'are'} needed"
    )


def _standing(report: Report, info: MetricInfo, one: Comparison) -> str:
    if one.holds_always:
        return "This holds however often one looks."
    always = _range(info, one, always=True)
    alone = _alone(report, one.always_low, one.always_high)
    return (
        "This holds if it is the one look that was planned; looked at repeatedly, it "
        f"is not settled yet (interval for any number of looks {always}{alone})."
    )


def _alone(report: Report, low: Number | None, high: Number | None) -> str:
    """Return why an interval without 0 is not enough."""
    if low is None or high is None or low <= 0 <= high:
        return ""
    return f", which is not enough for {_judged(report)} comparisons together"


def _open(report: Report, info: MetricInfo, one: Comparison, told: str) -> str:
    effect = say_value(info, one.effect, is_difference=True)
    start = (
        f"{info.title}: no difference is shown between `{one.arm}` and "
        f"`{one.baseline}` ({told}{_alone(report, one.low, one.high)})"
    )
    if one.more_units is None:
        return f"{start}."
    if one.more_units == 0:
        return f"{start}; one of {effect} would most likely have shown by now."
    return (
        f"{start}. Not enough data: about {_about(one.more_units)} more units per arm "
        f"are needed to see a difference of {effect}."
    )


def _compared(info: MetricInfo, one: Comparison) -> str:
    verb, more, less = _ABOVE.get(one.metric, _SCORED)
    word = more if one.difference > 0 else less
    if info.measure == "share" or one.relative is None:
        size = say_value(info, _size(one.difference), is_difference=True)
    else:
        size = f"{_short(100 * abs(one.relative))} %"
    return f"`{one.arm}` {verb} {size} {word} than `{one.baseline}`"


def _units(value: ArmValue) -> str:
    return f"{value.units} unit{'' if value.units == 1 else 's'}"


def _range(info: MetricInfo, one: Comparison, *, always: bool = False) -> str:
    low, high = (one.always_low, one.always_high) if always else (one.low, one.high)
    if low is None or high is None:
        return "unknown"
    # The unit once, at the end.
    first, last = say_difference(info, low), say_difference(info, high)
    return f"{first.split(' ')[0]} to {last}"


# --------------------------------------------------------------------------- numbers


def say_value(info: MetricInfo, value: Number, *, is_difference: bool = False) -> str:
    """Return a value as people read it, with its unit."""
    if info.measure == "share":
        percent = _plain(Decimal(f"{100 * value:.1f}"))
        return f"{percent} points" if is_difference else f"{percent} %"
    unit = "" if info.measure == "score" else f" {info.measure}"
    return f"{_short(value)}{unit}"


def _size(value: Number) -> Number:
    return -value if value < 0 else value


def say_difference(info: MetricInfo, value: Number) -> str:
    """Return a difference with its sign."""
    told = say_value(info, _size(value), is_difference=True)
    return f"{'-' if value < 0 else '+'}{told}"


def _short(value: Number) -> str:
    """Return three digits, however small the number, and all before the point."""
    number = Decimal(str(value))
    if not number:
        return "0"
    places = min(0, number.adjusted() - 2)
    return _plain(number.quantize(Decimal(1).scaleb(places)))


def _plain(number: Decimal) -> str:
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _about(units: int) -> str:
    """Return two digits of a number, rounded up: more is not known of it."""
    step = 10 ** max(0, len(str(units)) - 2)
    return f"{-(-units // step) * step:,}"


# -------------------------------------------------------------------------- Markdown


def to_markdown(report: Report) -> str:
    """Return a report as a page."""
    parts = [f"# Experiment `{_safe(report.experiment)}`", _when(report)]
    parts += ["\n".join(f"- {_safe(line)}" for line in report.words)]
    if report.notes:
        parts += ["## Before you trust it"]
        parts += ["\n".join(f"- {_safe(line)}" for line in report.notes)]
    parts += ["## Arms", _arms(report)]
    if report.comparisons:
        parts += ["## Differences", _differences(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _when(report: Report) -> str:
    if report.first_at is None or report.last_at is None:
        return ""
    first, last = (
        f"{at:%Y-%m-%d %H:%M} UTC" for at in (report.first_at, report.last_at)
    )
    return f"Calls from {first} to {last}. Baseline: `{_safe(report.baseline)}`."


def _arms(report: Report) -> str:
    infos = [
        info
        for info in report.metrics
        if any(info.name in arm.values for arm in report.arms)
    ]
    rows = [["Arm", "Units", "Calls", "Tries", *(info.title for info in infos)]]
    for arm in report.arms:
        name = f"{arm.name} (held out)" if arm.is_holdout else arm.name
        values = [_cell(info, arm.values.get(info.name)) for info in infos]
        counts = (f"{count:,}" for count in (arm.units, arm.calls, arm.tries))
        rows.append([name, *counts, *values])
    return _table(rows)


def _cell(info: MetricInfo, value: ArmValue | None) -> str:
    if value is None:
        return "-"
    told = say_value(info, value.value)
    if value.low is None or value.high is None:
        return told
    low, high = (say_value(info, end).split(" ")[0] for end in (value.low, value.high))
    return f"{told} ({low} to {high})"


def _differences(report: Report) -> str:
    infos = {info.name: info for info in report.metrics}
    percent = f"{100 * report.confidence:g} %"
    rows = [
        ["", "Arm", "Difference", f"{percent}, one look", f"{percent}, any looks", ""]
    ]
    for one in report.comparisons:
        info = infos[one.metric]
        ends = [
            _range(info, one, always=always) if one.low is not None else "-"
            for always in (False, True)
        ]
        shown = f"{one.verdict}{'' if one.holds_always else _HINTS[one.verdict]}"
        rows.append(
            [info.title, one.arm, say_difference(info, one.difference), *ends, shown]
        )
    return _table(rows)


_HINTS: Final = {
    "better": " in one look",
    "worse": " in one look",
    "open": "",
    "too_few": "",
    "same": "",
}


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = ([_safe(cell).replace("|", "\\|") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _safe(text: str) -> str:
    """Return a text on one line, without what HTML would take for a tag."""
    return " ".join(text.split()).replace("<", "&lt;")
