"""What a ledger costs, and how quickly it answers: `python -m benchmarks.ledger`.

Fills a ledger with records of thirty days (10,000 users, few of whom make most calls;
500 sets of tags, of up to three; five models) and asks what a report and a dashboard
ask. Nothing goes together there, neither users with models nor tags with nodes, so that
few records fall into one total: real data are easier.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from benchmarks import dashboard
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.report import Filter

START = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 30
MODELS = ("gpt-oss-120b", "zai-glm-4.7", "qwen-3-32b", "llama-3.3-70b", "llama3.1-8b")
PRICE = PriceRow(
    input=Decimal("0.35"),
    output=Decimal("0.75"),
    model="gpt-oss-120b",
    source="https://inference-docs.cerebras.ai/models/openai-oss",
)
USERS = [f"user-{n:05}" for n in range(10_000)]
WEIGHTS = list(itertools.accumulate(1 / (n + 1) for n in range(len(USERS))))
TAGS = [(f"job-{n}", f"team-{n % 20}", "nightly")[: 1 + n % 3] for n in range(500)]


def make_records(count, seed=1):
    """Yield so many records in the order of time."""
    rng = random.Random(seed)
    step = timedelta(days=DAYS) / count
    sessions = {}
    for number in range(count):
        user = rng.choices(USERS, cum_weights=WEIGHTS)[0]
        calls = sessions[user] = sessions.get(user, 0) + 1
        outcome = rng.choices(("ok", "failed", "aborted", "cache_hit"), (95, 3, 1, 1))[
            0
        ]
        inputs, outputs = rng.randrange(100, 4_000), rng.randrange(20, 1_500)
        first = rng.lognormvariate(-1.5, 0.6)
        yield UsageRecord(
            started_at=START + number * step,
            model=rng.choices(MODELS, (50, 25, 15, 7, 3))[0],
            record_id=f"{rng.getrandbits(128):032x}",
            stream=True,
            run_id=str(uuid.UUID(int=rng.getrandbits(128))),
            trace_id=str(uuid.UUID(int=rng.getrandbits(128))),
            user=user,
            session=f"{user}/{calls // 8}",
            tags=rng.choice(TAGS),
            node=rng.choice(("agent", "tools", "plan", None)),
            arm=rng.choice((None, "a", "b")),
            outcome=outcome,
            error_type="RateLimitError" if outcome == "failed" else None,
            input_tokens=inputs,
            cached_input_tokens=inputs // 4,
            output_tokens=outputs,
            reasoning_tokens=outputs // 3,
            ttft_s=first,
            duration_s=first + outputs / 2_000,
            queue_time_s=first / 10,
            output_tokens_per_s=rng.gauss(2_000, 200),
            cost=Cost(
                input=inputs * Decimal("0.00000035"),
                output=outputs * Decimal("0.00000075"),
                price=PRICE,
            ),
        )


def clocked(work, rounds=1):
    """Return the least seconds of wall clock and of CPU that some work took."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def measure_add(folder, count):
    """Return microseconds of the caller's own thread for each `add`."""
    records = list(make_records(count))
    with Ledger(folder / "add.db") as ledger:
        ledger.add(records[0])
        ledger.flush()
        before = time.thread_time()
        for record in records:
            ledger.add(record)
        spent = time.thread_time() - before
    return spent / count * 1e6


def fill(ledger, count):
    """Write records as the writer does; return rows a second and CPU for each."""
    made = list(make_records(min(count // 2, 20_000), seed=2))
    store = ledger._store
    batches = [made[at : at + 200] for at in range(0, len(made), 200)]
    wall, cpu = clocked(lambda: [store.append(batch) for batch in batches])
    ledger.import_records(make_records(count - len(made)))
    return len(made) / wall, cpu / len(made) * 1e6


def view(ledger, chosen):
    """Ask all that one view of a dashboard asks."""
    known = ledger.slice(chosen)
    known.totals()
    known.report(("day", "model"))
    for name in ("model", "user", "tag", "node", "arm", "outcome", "error_type"):
        known.report((name,), 20)
    for name in ("ttft_s", "duration_s", "output_tokens_per_s"):
        for by in ("model", "arm"):
            known.percentiles(name, by, (0.5, 0.95, 0.99))


def questions(ledger):
    """Return what is asked, by name."""
    week = START + timedelta(days=DAYS - 7, hours=5, minutes=7)
    filters = {
        "all": Filter(),
        "7 days": Filter(since=week),
        "model": Filter(model=(MODELS[1],)),
        "provider": Filter(provider=("cerebras",)),
        "arm": Filter(arm=("a",)),
        "node": Filter(node=("agent",)),
        "outcome": Filter(outcome=("failed",)),
        "dearest user": Filter(user=(USERS[0],)),
        "any user": Filter(user=(USERS[500],)),
        "tag of 0.2 %": Filter(tag=("job-7",)),
        "tag of 3 %": Filter(tag=("team-7",)),
        "tag of 33 %": Filter(tag=("nightly",)),
        "tag of 3 %, node": Filter(tag=("team-7",), node=("plan",)),
        "tag of 33 %, node": Filter(tag=("nightly",), node=("plan",)),
        "no error": Filter(error_type=(None,)),
        "15 days": Filter(
            since=START + timedelta(days=4, hours=10, minutes=17),
            until=START + timedelta(days=19, hours=11, minutes=23),
        ),
        "arm, model": Filter(arm=("a",), model=(MODELS[0],)),
        "user, tag": Filter(user=(USERS[0],), tag=("team-7",)),
        "users, tags, model, time": Filter(
            user=tuple(USERS[:20]),
            tag=("team-7", "job-1"),
            model=(MODELS[0],),
            since=START + timedelta(days=3, hours=2, minutes=1),
            until=week,
        ),
    }
    month = Filter(since=START, until=START + timedelta(days=DAYS))
    asked = {
        "report by model": lambda: ledger.report(("model",), month),
        "report by day": lambda: ledger.report(("day",), month),
        "report by user": lambda: ledger.report(("user",), month),
        "report by model, day": lambda: ledger.report(("model", "day"), month),
        "report by user, model": lambda: ledger.report(("user", "model"), month),
        "report by user, month, top 20": lambda: ledger.report(
            ("user", "month"), limit=20
        ),
        "report by tag": lambda: ledger.report(("tag",), month),
        "report by user, day": lambda: ledger.report(("user", "day"), month),
        "report by tag, node": lambda: ledger.report(("tag", "node"), month),
        "report by session": lambda: ledger.report(("session",), month),
        "report by user, tag, top 100": lambda: ledger.report(
            ("user", "tag"), month, limit=100
        ),
        "report by tag, session, top 100": lambda: ledger.report(
            ("tag", "session"), month, limit=100
        ),
        "report by model, session, top 100": lambda: ledger.report(
            ("model", "session"), month, limit=100
        ),
        "report by session, top 20": lambda: ledger.report(("session",), limit=20),
        "7 days by hour and model": lambda: ledger.report(
            ("hour", "model"), Filter(since=week)
        ),
        "users and how often": lambda: ledger.values("user"),
        "1,000 newest records": lambda: list(
            ledger.records(limit=1_000, newest_first=True)
        ),
    }
    views = {
        f"view: {name}": lambda chosen=chosen: view(ledger, chosen)
        for name, chosen in filters.items()
    }
    return {**asked, **views}


def main(given=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="a ledger to fill, or one that is filled")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "records": args.records,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "load": os.getloadavg()[0],
            "add_us": measure_add(folder, min(args.records, 20_000)),
        }
        with Ledger(args.url or folder / "costs.db") as ledger:
            if ledger.totals().calls == 0:
                rate, cpu = fill(ledger, args.records)
                found |= {"rows_per_s": rate, "cpu_us_per_row": cpu}
            path = ledger._place.path
            if path is not None:
                found["bytes_per_record"] = path.stat().st_size / args.records
            found["seconds"] = {}
            for title, ask in questions(ledger).items():
                wall, cpu = clocked(ask, args.rounds)
                found["seconds"][title] = {"wall": wall, "cpu": cpu}
        if path is not None:
            found["dashboard"] = {
                title: {"in_sight": seen, "rest": rest}
                for title, (seen, rest) in dashboard.measure(path, args.rounds).items()
            }
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        if key not in {"seconds", "dashboard"}:
            print(
                f"{key:18} {value:,.2f}"
                if isinstance(value, float)
                else f"{key:18} {value}"
            )
    print(f"\n{'least of ' + str(args.rounds) + ' rounds':34} {'wall':>8} {'CPU':>8}")
    for title, spent in found["seconds"].items():
        print(f"{title:34} {spent['wall']:7.3f}s {spent['cpu']:7.3f}s")
    if "dashboard" in found:
        print(
            f"\n{'dashboard over HTTP, begun anew':34} {'in sight':>8} {'the rest':>8}"
        )
        for title, spent in found["dashboard"].items():
            print(f"{title:34} {spent['in_sight']:7.3f}s {spent['rest']:7.3f}s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
