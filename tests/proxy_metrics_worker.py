"""Counts some requests as one worker of several, then waits to be told to end.

    python proxy_metrics_worker.py COUNT

`PROMETHEUS_MULTIPROC_DIR` is in the environment. It says `ready` when all is counted,
then answers each line with its metrics, in one line of JSON.
"""

from __future__ import annotations

import json
import sys

from proxy_exchanges import answered, refused, settings

from langchain_cerebras_ext.proxy.metrics import Metrics
from langchain_cerebras_ext.proxy.record import Priced


def main() -> None:
    """Run as a worker."""
    given = settings()
    metrics, priced = Metrics(given), Priced(given)
    for number in range(int(sys.argv[1])):
        for exchange in (
            answered(rate_limits={"remaining-requests-day": str(100 - number)}),
            refused(),
        ):
            metrics.begin()
            priced(exchange)
            metrics(exchange)
    metrics.begin()  # one is still under way
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(metrics.render("")[1].decode()), flush=True)


if __name__ == "__main__":
    main()
