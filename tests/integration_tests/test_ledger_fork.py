"""Children that are forked while their parent writes and reads a ledger."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_cerebras_ext.costs.ledger import Ledger

CHILDREN = 12
EACH = 5

# A process of its own: pytest's must not be forked while it has threads.
PROGRAM = """
import json, os, signal, sys, threading, time
from ledger_samples import make_record
from langchain_cerebras_ext.costs.ledger import Ledger

path, children, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ledger = Ledger(path, batch_size=50, flush_interval_s=0.01)
added, over = ["parent-0"], threading.Event()
# All that is imported late is there now: a child of a process in which another thread
# is importing waits for ever for that thread, whatever it was about.
ledger.add(make_record(record_id="parent-0"))
ledger.flush()
ledger.totals()

def write():
    while not over.wait(0.005):
        for _ in range(10):
            added.append(f"parent-{len(added)}")
            ledger.add(make_record(record_id=added[-1]))

def read():
    while not over.wait(0.002):
        ledger.totals()

threads = [threading.Thread(target=work) for work in (write, read, read)]
for thread in threads:
    thread.start()
forked = []
for child in range(children):
    time.sleep(0.02)
    pid = os.fork()
    if pid == 0:
        signal.alarm(40)  # a child that hangs dies and is counted
        for number in range(each):
            ledger.add(make_record(record_id=f"child-{child}-{number}"))
        os._exit(0 if ledger.flush() else 3)
    forked.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forked]
over.set()
for thread in threads:
    thread.join()
ledger.close()
print(json.dumps({"codes": codes, "parent": len(added)}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_children_forked_in_the_middle_of_a_transaction_lose_and_double_nothing(
    tmp_path,
):
    path = tmp_path / "costs.db"
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(CHILDREN), str(EACH)],
        env={**os.environ, "PYTHONPATH": tests, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["codes"] == [0] * CHILDREN, done.stderr
    with Ledger(path) as ledger:
        names = [record.record_id for record in ledger.records()]
        assert ledger.status().replayed == 0
    expected = {f"child-{c}-{n}" for c in range(CHILDREN) for n in range(EACH)}
    expected |= {f"parent-{n}" for n in range(said["parent"])}
    assert len(names) == len(set(names))
    assert set(names) == expected
    assert not list(tmp_path.glob("*.spool*"))
