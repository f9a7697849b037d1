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


# Forks in the middle of things; each child says by its exit code whether all was well.
AMID = """
import functools, json, os, signal, sys, threading
from ledger_samples import make_record
from langchain_cerebras_ext.costs._ledger.gate import gate
from langchain_cerebras_ext.costs.ledger import Ledger

path, amid = sys.argv[1], sys.argv[2]
ledger, other = Ledger(path), Ledger(path + ".other")
for number in range(3):
    ledger.add(make_record(record_id=f"parent-{number}"))
assert ledger.totals().calls == 3

def child(name, again=False):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(40)
    ledger.add(make_record(record_id=name))
    other.add(make_record(record_id=name))
    code = 0 if ledger.flush() and ledger.totals().calls and other.flush() else 3
    if again:
        code = code or child(name + "-again")
    ledger.close()
    other.close()
    os._exit(code)

def amid_a_loop():
    return [child(f"child-of-{record.record_id}") for record in ledger.records()]

def amid_a_childs_life():
    return [child("child", again=True)]

def amid_ones_own_read():
    with ledger._store.reading():
        return [child("child")]

def amid_anothers_read():
    gate.close = functools.partial(gate.close, 0.1)  # not for five seconds
    inside, over = threading.Event(), threading.Event()
    def read():
        with ledger._store.reading():
            inside.set()
            over.wait()
    reader = threading.Thread(target=read)
    reader.start()
    inside.wait()
    codes = [child("child")]
    over.set()
    reader.join()
    return codes

codes = globals()[f"amid_{amid}"]()
calls = ledger.totals().calls
ledger.close()
print(json.dumps({"codes": codes, "calls": calls}))
"""


def run(program, *told):
    """Run a program; returns what it said, and its errors."""
    tests = str(Path(__file__).parents[1])
    warned = ["-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *warned, "-c", program, *map(str, told)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def ids(path):
    with Ledger(path) as ledger:
        return sorted(record.record_id for record in ledger.records())


PARENTS = ["parent-0", "parent-1", "parent-2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize(
    ("amid", "children"),
    [
        ("a_loop", [f"child-of-{name}" for name in PARENTS]),
        ("a_childs_life", ["child", "child-again"]),
    ],
)
def test_children_use_the_ledgers_at_once(tmp_path, amid, children):
    path = tmp_path / "costs.db"
    said, errors = run(AMID, path, amid)
    assert set(said["codes"]) == {0}, errors
    assert errors == ""
    assert ids(path) == [*children, *PARENTS]
    assert ids(f"{path}.other") == children


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("amid", ["ones_own_read", "anothers_read"])
def test_a_child_forked_amid_a_read_hangs_nowhere_and_loses_nothing(tmp_path, amid):
    """It has inherited locks of SQLite, so that its records go to the spool."""
    path = tmp_path / "costs.db"
    said, errors = run(AMID, path, amid)
    assert said == {"codes": [3], "calls": 3}
    assert errors.count("CerebrasCostWarning: A process was forked while") == 1
    assert errors.count("CerebrasCostWarning: The ledger at") == 2  # there are two
    assert ids(path) == ["child", *PARENTS]
    assert ids(f"{path}.other") == ["child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_children_forked_in_the_middle_of_a_transaction_lose_and_double_nothing(
    tmp_path,
):
    path = tmp_path / "costs.db"
    said, errors = run(PROGRAM, path, CHILDREN, EACH)
    assert said["codes"] == [0] * CHILDREN, errors
    with Ledger(path) as ledger:
        names = [record.record_id for record in ledger.records()]
        assert ledger.status().replayed == 0
    expected = {f"child-{c}-{n}" for c in range(CHILDREN) for n in range(EACH)}
    expected |= {f"parent-{n}" for n in range(said["parent"])}
    assert len(names) == len(set(names))
    assert set(names) == expected
    assert not list(tmp_path.glob("*.spool*"))
