"""Numbers as ratios to langchain-cerebras, beside their targets."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import BASELINE, CONTESTANTS
from benchmarks.rounds import version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measures import Measure
    from benchmarks.rounds import Results


def ratio(results: Results, measure: str, name: str) -> float | None:
    """Return a contestant's minimum over the baseline's."""
    found = results[measure]
    if name not in found or BASELINE not in found:
        return None
    return found[name]["min"] / found[BASELINE]["min"]


def verdict(measure: Measure, results: Results) -> bool | None:
    """Whether ours meets the measure's target; `None` if that cannot be told."""
    if measure.target is None:
        return None
    if measure.target.is_ratio:
        value = ratio(results, measure.name, "ours")
    else:
        ours = results[measure.name].get("ours")
        value = ours["min"] if ours else None
    return None if value is None else value <= measure.target.at_most


def missed(measures: Sequence[Measure], results: Results) -> list[str]:
    """Return the measures whose target is missed, or could not be judged."""
    return [
        measure.name
        for measure in measures
        if measure.target and not verdict(measure, results)
    ]


def table(measures: Sequence[Measure], results: Results, names: Sequence[str]) -> str:
    """Return a Markdown table: ratios, the baseline's own numbers, targets."""
    others = [name for name in names if name not in {"ours", BASELINE}]
    head = [
        "measure",
        "**ours**",
        *(CONTESTANTS[name].title for name in others),
        "target",
        "met",
        f"{BASELINE} = 1",
        "ours",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for measure in measures:
        found = results[measure.name]
        base, ours = found.get(BASELINE), found.get("ours")
        rows.append(
            [
                measure.title,
                f"**{_shown(ratio(results, measure.name, 'ours'))}**",
                *(_shown(ratio(results, measure.name, name)) for name in others),
                _target(measure),
                {True: "yes", False: "NO", None: ""}[verdict(measure, results)],
                f"{base['min']:,.4g} {measure.unit}" if base else "-",
                f"{ours['min']:,.4g} {measure.unit}" if ours else "-",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _target(measure: Measure) -> str:
    target = measure.target
    if target is None:
        return ""
    if target.is_ratio:
        return f"≤ {target.at_most:.3f}"
    return f"≤ {target.at_most:,.0f} {measure.unit}"


def facts(names: Sequence[str]) -> dict[str, Any]:
    """Return what a reader must know of the run."""
    packages = {CONTESTANTS[name].package for name in names}
    packages |= {"langchain-core", "openai", "urllib3", "aiohttp", "pydantic"}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": {package: version(package) for package in sorted(packages)},
    }
