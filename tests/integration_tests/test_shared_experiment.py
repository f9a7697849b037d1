"""An experiment in two processes that share a breaker on Redis, and a ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from redis_server import RedisServer, find_server

from langchain_cerebras_ext.costs import Ledger
from langchain_cerebras_ext.routing import Experiment
from langchain_cerebras_ext.simulator import Simulator

WORKER = Path(__file__).parents[1] / "router_worker.py"
USERS = [f"user-{number}" for number in range(60)]


class Worker:
    """A process of `router_worker`."""

    def __init__(self, told):
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self):
        line = self._process.stdout.readline()
        assert line, "the worker has ended"
        return json.loads(line)

    def begin(self, users):
        print(json.dumps(users), file=self._process.stdin, flush=True)

    def ask(self, users):
        self.begin(users)
        return self.read()

    def end(self):
        """End it as programs end; whatever else it did is a fault."""
        self._process.stdin.close()
        assert self._process.wait(30) == 0

    def stop(self):
        with self._process:  # which closes its pipes
            self._process.kill()


@pytest.fixture
def sims():
    with Simulator() as fast, Simulator() as smart:
        yield fast, smart


@pytest.fixture
def workers(sims, tmp_path):
    with RedisServer(find_server(), password="correct-horse") as redis:
        told = {
            "redis": redis.url,
            "ledger": str(tmp_path / "costs.db"),
            "fast": sims[0].base_url,
            "smart": sims[1].base_url,
        }
        started = [Worker(told) for _ in range(2)]
        try:
            for worker in started:
                assert worker.read() == {"ready": True}
            yield started
            for worker in started:
                worker.end()
        finally:
            for worker in started:
                worker.stop()


def test_arms_hold_while_a_leg_is_down_everywhere(sims, workers, tmp_path):
    """The first process opens the circuit; the second never asks the broken leg."""
    experiment = Experiment("greeting", {"fast": 1, "smart": 1})
    arms = {user: experiment.assign(user).arm for user in USERS}
    fast, _ = sims
    fast.fail_next(status=503, times=None)
    one, two = workers

    first = one.ask(USERS)
    assert first["health"] == {"fast": "open", "smart": "closed"}
    failed = len(fast.chat_requests)
    assert 6 <= failed < Counter(arms.values())["fast"], "then it was let alone"

    second = two.ask(USERS)
    assert second["health"] == {"fast": "open", "smart": "closed"}
    assert len(fast.chat_requests) == failed, "nobody has asked it again"
    assert all(call["tried"] == ["smart"] for call in second["asked"])

    for worker in workers:
        worker.begin(USERS)
    both = [worker.read() for worker in workers]
    assert len(fast.chat_requests) == failed

    for found in (first, second, *both):
        assert {call["leg"] for call in found["asked"]} == {"smart"}
        assert {call["user"]: call["arm"] for call in found["asked"]} == {
            user: f"greeting/{arm}" for user, arm in arms.items()
        }
    with Ledger(tmp_path / "costs.db") as ledger:
        groups = {group.keys[0]: group.totals for group in ledger.report(("arm",))}
        report = experiment.report(ledger)
    for arm, users in Counter(arms.values()).items():
        totals = groups[f"greeting/{arm}"]
        assert (totals.whole_calls, totals.whole_failed) == (4 * users, 0)
        assert totals.calls - totals.whole_calls == (failed if arm == "fast" else 0)
        told = report.arm(arm)
        assert (told.units, told.calls) == (users, 4 * users)
        assert told.values["success"].value == 1
    assert not report.notes or not any(
        "more than one arm" in one for one in report.notes
    )
