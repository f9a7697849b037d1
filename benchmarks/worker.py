"""One contestant in a process of its own: names of measures in, numbers out."""

from __future__ import annotations

import json
import sys
import traceback

from benchmarks.measures import FULL, MEASURES, QUICK, Bench


def main(name: str, server: str, size: str) -> None:
    """Answer every line of standard input with one line of JSON."""
    bench = Bench(name, server, QUICK if size == "quick" else FULL)
    measures = {measure.name: measure for measure in MEASURES}
    for line in sys.stdin:
        try:
            answer = {"value": measures[line.strip()].run(bench)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)
    bench.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
