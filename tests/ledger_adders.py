"""Processes that add records as quickly as they can, until they are killed."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

WORKER = Path(__file__).with_name("ledger_worker.py")
THREADS = 4


class Adder:
    """One such process, with a few threads.

    Args:
        url: The ledger's.
        folder: Where to keep what tells how far it came.
        name: How the records' ids begin.
        options: The ledger's.
        count: How many records each of its threads adds.
    """

    def __init__(self, url, folder, name, *, options, count=1_000):
        self.name = name
        self._counters = folder / f"counters-{name}"
        self._counters.write_bytes(bytes(8 * THREADS))
        told = {
            "do": "add_in_threads",
            "url": str(url),
            "options": options,
            "name": name,
            "counters": str(self._counters),
            "count": count,
        }
        self._process = subprocess.Popen(
            [sys.executable, WORKER, json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self):
        assert json.loads(self._process.stdout.readline()) == {"begun": True}
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def added(self):
        """Return the ids of the records for which `add` has returned."""
        numbers = struct.unpack(f"{THREADS}Q", self._counters.read_bytes())
        return {
            f"{self.name}-{thread}-{number}"
            for thread, count in enumerate(numbers)
            for number in range(count)
        }


def killed_adders(url, folder, *, options, least, seed, amid=lambda: None):
    """Return two such processes that have been killed, at random moments.

    Args:
        least: How many records each has added before.
        amid: What to do while they add.
    """
    rng = random.Random(seed)
    with ExitStack() as stack:
        adders = [
            stack.enter_context(Adder(url, folder, f"w{n}", options=options))
            for n in range(2)
        ]
        time.sleep(rng.random() / 20)
        amid()
        for adder in adders:
            while len(adder.added()) <= least:
                time.sleep(0.01)
            time.sleep(rng.random() / 20)
    return adders
