"""Command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from benchmarks.contestants import BASELINE, CONTESTANTS
from benchmarks.measures import MEASURES
from benchmarks.report import facts, missed, ratio, table
from benchmarks.rounds import is_installed, run


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes: does the harness work?")
    add("--rounds", type=int, help="rounds that count (default: 5; quick: 1)")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--check", action="store_true", help="exit 1 if a target is missed")
    add("--only", help="measures, separated by commas; a part of a name will do")
    add("--contestants", help=f"of {', '.join(CONTESTANTS)}; by commas")
    add("--list", action="store_true", help="name the measures and end")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    args = _arguments(given)
    if args.list:
        print("\n".join(f"{m.name:14} {m.title} ({m.unit})" for m in MEASURES))
        return 0
    only = args.only.split(",") if args.only else [""]
    measures = [m for m in MEASURES if any(part in m.name for part in only)]
    names = []
    for name in args.contestants.split(",") if args.contestants else CONTESTANTS:
        if is_installed(name):
            names.append(name)
        else:
            package = CONTESTANTS[name].package
            print(f"SKIPPED {name}: pip install {package}", file=sys.stderr)
    if not measures or not names:
        print("Nothing to measure; see --list and --help.", file=sys.stderr)
        return 2
    results, errors = run(
        names,
        measures,
        rounds=args.rounds or (1 if args.quick else 5),
        size="quick" if args.quick else "full",
        verbose=not args.json,
    )
    if args.json:
        report = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts(names),
            "results": {
                measure.name: {
                    "title": measure.title,
                    "unit": measure.unit,
                    "contestants": {
                        name: {**found, "ratio": ratio(results, measure.name, name)}
                        for name, found in results[measure.name].items()
                    },
                }
                for measure in measures
            },
            "missed": missed(measures, results),
            "errors": errors,
        }
        print(json.dumps(report, indent=2))
    else:
        print(table(measures, results, names))
        print(f"\nRatios of minima, {BASELINE} = 1.", facts(names))
        for place, error in errors.items():
            print(f"FAILED {place}: {error}")
    wrong = missed(measures, results)
    if args.check and (wrong or errors):
        print(f"Targets missed: {', '.join(wrong) or 'none'}", file=sys.stderr)
        return 1
    return 1 if any(place.endswith("/ours") for place in errors) else 0


if __name__ == "__main__":
    sys.exit(main())
