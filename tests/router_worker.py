"""A process with an experiment behind a shared breaker; run by the tests.

It gets what it is to stand on as JSON in its first argument, then a list of users on
each line of its input; it asks once for each, and prints what became of them.
"""

from __future__ import annotations

import json
import sys

from langchain_cerebras_ext import ChatCerebras, track_costs
from langchain_cerebras_ext.costs import Ledger
from langchain_cerebras_ext.routing import ChatRouter, Experiment
from langchain_cerebras_ext.routing.breaker import CircuitBreaker


def say(**what):
    print(json.dumps(what), flush=True)


def ask(router, user):
    answer = router.invoke("Hello!", config={"metadata": {"user_id": user}})
    said = answer.response_metadata["router"]
    tried = [one["leg"] for one in said["attempts"] if one["outcome"] != "skipped"]
    return {"user": user, "arm": said["arm"], "leg": said["leg"], "tried": tried}


def main(told):
    experiment = Experiment("greeting", {"fast": 1, "smart": 1})
    breaker = CircuitBreaker(redis=told["redis"], min_calls=6, open_s=120)
    options = {"api_key": "csk-test", "max_retries": 0}
    router = ChatRouter(
        legs={
            name: ChatCerebras(base_url=told[name], **options)
            for name in ("fast", "smart")
        },
        strategy="experiment",
        experiment=experiment,
        breaker=breaker,
    )
    with Ledger(told["ledger"]) as ledger:
        say(ready=True)
        for line in sys.stdin:
            with track_costs(ledger=ledger):
                asked = [ask(router, user) for user in json.loads(line)]
            health = {name: one["state"] for name, one in router.health().items()}
            say(asked=asked, health=health)
    breaker.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
