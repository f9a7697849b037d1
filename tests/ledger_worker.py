"""A process that writes into a ledger; run by the tests, with what to do as JSON.

`{"url": ..., "options": {...}, "do": name, ...}`; it prints what it has done, a line at
a time, so that whoever kills it knows how far it was.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sys
import threading
import warnings
from pathlib import Path

from ledger_samples import make_record

from langchain_cerebras_ext.costs.ledger import Ledger


def say(**what):
    print(json.dumps(what), flush=True)


def write_for_ever(ledger, told):
    """Add records; says after each flush, or each record in strict mode, which."""
    number = 0
    while True:
        names = []
        for _ in range(told["each"]):
            number += 1
            names.append(f"{told['name']}-{number}")
            ledger.add(make_record(number % 3_000, record_id=names[-1], tags=("t",)))
        if told["each"] > 1:
            ledger.flush()
        say(written=names)


def add_in_threads(ledger, told):
    """Add records until killed; a file tells of how many `add` has returned in each.

    The file is memory of the process, which outlives it, to the last record.
    """
    with Path(told["counters"]).open("r+b") as file:
        counters = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def add(thread):
        for number in range(told["count"]):
            name = f"{told['name']}-{thread}-{number}"
            ledger.add(make_record(number, record_id=name, tags=("t",)))
            counters[thread] = number + 1

    for thread in range(len(counters)):
        threading.Thread(target=add, args=(thread,)).start()
    say(begun=True)
    signal.pause()


def write(ledger, told):
    """Add some records and end without a word to the ledger."""
    for number in range(told["count"]):
        ledger.add(make_record(number, record_id=f"{told['name']}-{number}"))
    say(added=told["count"])


def write_in_child(ledger, told):
    """Add records, fork, and add others in the child; both end as processes do."""
    ledger.add(make_record(record_id="before"))
    child = os.fork()
    ledger.add(make_record(record_id="child" if child == 0 else "parent"))
    if child == 0:
        ledger.close()
        os._exit(0)
    os.waitpid(child, 0)


def write_in_pool(ledger, told):
    """Add records in processes that `multiprocessing` starts and ends."""
    import multiprocessing

    context = multiprocessing.get_context(told["method"])
    children = [
        context.Process(target=add_one, args=(ledger, f"child-{n}")) for n in range(1)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    say(exits=[child.exitcode for child in children])


def add_one(ledger, name):
    ledger.add(make_record(record_id=name))


def fill_the_disk(ledger, told):
    """Add records while no file may grow any more; then let them grow again."""
    warnings.simplefilter("always")
    ledger.add(make_record(record_id="first"))
    ledger.flush()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (told["size"], most[1]))
    for number in range(told["count"]):
        ledger.add(make_record(number, record_id=f"full-{number}"))
    flushed = ledger.flush()
    status = ledger.status()._asdict()
    resource.setrlimit(resource.RLIMIT_FSIZE, most)
    say(flushed=flushed, status=status)
    say(flushed=ledger.flush(), status=ledger.status()._asdict())


def open_only(ledger, told):
    say(revision=ledger.revision(), status=ledger.status()._asdict())


JOBS = {
    job.__name__: job
    for job in (
        add_in_threads,
        write_for_ever,
        write,
        write_in_child,
        write_in_pool,
        fill_the_disk,
        open_only,
    )
}


def main():
    told = json.loads(sys.argv[1])
    ledger = Ledger(told["url"], **told.get("options", {}))
    JOBS[told["do"]](ledger, told)


if __name__ == "__main__":
    main()
