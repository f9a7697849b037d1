"""The dashboard's data: what the page is told, as JSON and as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import random
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from langchain_cerebras_ext.costs._ledger import queries
from langchain_cerebras_ext.costs._ledger import slice as slice_module
from langchain_cerebras_ext.costs._ledger.slice import Slice
from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.dashboard import create_app
from langchain_cerebras_ext.dashboard.app import TABLES
from langchain_cerebras_ext.dashboard.csv_text import make_csv
from langchain_cerebras_ext.dashboard.memo import Memo
from langchain_cerebras_ext.errors import LedgerError

NOW = datetime(2026, 11, 21, 16, 34, 56, tzinfo=UTC)
PRICE = PriceRow(input=Decimal("0.35"), output=Decimal("0.75"), model="gpt-oss-120b")


def record(hours_ago=1, **changes):
    values = {
        "started_at": NOW - timedelta(hours=hours_ago),
        "model": "gpt-oss-120b",
        "user": "ada",
        "input_tokens": 1_000,
        "cached_input_tokens": 400,
        "output_tokens": 200,
        "reasoning_tokens": 50,
        "duration_s": 1.5,
        "cost": Cost(
            input=Decimal("0.000000000001"), output=Decimal("0.1"), price=PRICE
        ),
        **changes,
    }
    return UsageRecord(**values)


class Dashboard:
    """A client of a dashboard over some records."""

    def __init__(self, place, records=()):
        self.ledger = Ledger(place / "costs.db")
        self.ledger.import_records(list(records))
        self.app = create_app(self.ledger, clock=lambda: NOW)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost"
        )

    async def get(self, path, status=200):
        answer = await self._client.get(f"/api/{path}")
        assert answer.status_code == status, answer.text
        return answer

    async def json(self, path, status=200):
        return (await self.get(path, status)).json()

    async def csv(self, path):
        answer = await self.get(path)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.fixture
def make(tmp_path):
    made = []

    def start(*records):
        made.append(Dashboard(tmp_path, records))
        return made[-1]

    yield start
    for one in made:
        one.ledger.close()


# ---------------------------------------------------------------------------- totals


async def test_totals_are_decimal_text_with_all_that_is_uncertain_beside(make):
    board = make(
        record(),
        record(cost=None, flags=("unpriced",)),
        record(cost=None, input_tokens=None, flags=("no_usage",)),
        record(flags=("estimated", "no_usage"), outcome="aborted"),
    )
    found = await board.json("overview")
    assert found["totals"]["cost"] == "0.200000000002"
    counted = {name: found["totals"][name] for name in ("calls", "aborted")}
    assert counted == {"calls": 4, "aborted": 1}
    assert found["totals"]["unpriced_calls"] == 1
    assert found["totals"]["calls_without_usage"] == 2
    assert found["totals"]["estimated_calls"] == 1
    assert found["since"] == "2026-10-23T00:00:00.000Z"
    assert found["first"] == found["last"] == "2026-11-21T15:34:56.000Z"


async def test_a_call_counted_in_part_does_not_hide_one_that_nobody_counted(make):
    silent = {"cost": None, "input_tokens": None, "flags": ("no_usage",)}
    free = {"cost": Cost(), "flags": ("estimated",)}
    board = make(record(**silent), record(**free))
    for found in (
        (await board.json("overview"))["totals"],
        (await board.json("groups?by=model"))["rows"][0],
    ):
        assert (found["calls_without_usage"], found["estimated_calls"]) == (1, 1)
        assert found["uncounted_calls"] == 1
    layer = (await board.json("series"))["rows"][0]
    assert sum(layer["uncounted_calls"]) == 1
    assert (await board.csv("groups?by=model&format=csv"))[0]["cost"] == ""
    words = (await board.json("whatif"))["words"]
    assert "1 call came without usage and is in neither amount." in words


async def test_the_time_before_is_compared_over_as_many_days(make):
    board = make(record(), record(24 * 8), record(24 * 8), record(24 * 40))
    found = await board.json("overview?range=7d")
    assert (found["totals"]["calls"], found["before"]["calls"]) == (1, 2)
    assert found["period"] == "7 days"
    assert (await board.json("overview?range=all"))["before"] is None


async def test_an_empty_ledger_is_told_from_a_time_without_calls(make):
    empty = await make().json("overview")
    assert (empty["first"], empty["totals"]["cost"]) == (None, "0")
    assert (await make().json("series"))["times"] == []


@pytest.mark.parametrize("name", TABLES)
async def test_every_table_answers_for_an_empty_ledger(make, name):
    assert isinstance(await make().json(name), dict)


async def test_groups_are_the_top_ones_and_all_others_together(make):
    records = [record(user=f"u{n}", cost=Cost(output=Decimal(n))) for n in range(1, 6)]
    board = make(*records, record(user=None))
    found = await board.json("groups?by=user&limit=2")
    assert [(row["key"], row["cost"]) for row in found["rows"]] == [
        ("u5", "5"),
        ("u4", "4"),
    ]
    assert Decimal(found["others"]["cost"]) == 1 + 2 + 3 + Decimal("0.100000000001")
    assert found["others"]["calls"] == 4
    assert found["more"] is True
    whole = await board.json("groups?by=user&limit=6")
    assert (whole["more"], whole["others"]) == (False, None)
    assert None in [row["key"] for row in whole["rows"]]


async def test_groups_can_be_those_with_most_calls_or_failures(make):
    board = make(
        record(user="dear", cost=Cost(output=Decimal(9))),
        *[record(user="busy") for _ in range(3)],
        *[record(user="unlucky", outcome="failed") for _ in range(2)],
    )

    async def first(sort):
        found = await board.json(f"groups?by=user&limit=1&sort={sort}")
        return found["rows"][0]["key"]

    assert [await first(sort) for sort in ("cost", "calls", "failed")] == [
        "dear",
        "busy",
        "unlucky",
    ]
    none = await board.json("groups?by=user&sort=failed&outcome=ok")
    assert none["rows"] == []


async def test_tags_count_once_under_each_and_have_no_others(make):
    board = make(record(tags=("a", "b")), record(tags=("a",)), record())
    found = await board.json("groups?by=tag&limit=1")
    assert (found["rows"][0]["key"], found["rows"][0]["calls"]) == ("a", 2)
    assert (found["others"], found["more"]) == (None, True)
    assert found["totals"]["calls"] == 3


async def test_filters_hold_together_and_unknown_is_a_value(make):
    board = make(
        record(user="ada", tags=("x",)),
        record(user="bob", tags=("x",)),
        record(user=None, tags=()),
    )

    async def calls(query):
        return (await board.json(f"overview?{query}"))["totals"]["calls"]

    assert await calls("user=ada&user=bob") == 2
    assert await calls("user=ada&no=user") == 2
    assert await calls("tag=x&user=bob") == 1
    assert await calls("no=tag") == 1
    assert await calls("user=ada&model=none") == 0


async def test_values_are_offered_whatever_is_chosen_in_their_own_dimension(make):
    board = make(record(user="Ada"), record(user="Ada"), record(user="bob"), record())
    found = await board.json("values?by=user&user=bob")
    assert [row["key"] for row in found["rows"]] == ["Ada", "ada", "bob"]
    found = await board.json("values?by=user&find=AD&limit=1")
    assert (found["rows"], found["more"]) == ([{"key": "Ada", "calls": 2}], True)


async def test_sessions_are_offered_from_the_newest_calls(make):
    board = make(record(session="s1"), record(session="s2"), record(session="s2"))
    found = await board.json("values?by=session")
    assert [row["key"] for row in found["rows"]] == ["s2", "s1"]
    assert found["newest"] == 2_000
    await board.json("groups?by=session", status=400)


# ------------------------------------------------------------------------- over time


async def test_series_have_every_day_and_add_up_with_the_others(make):
    records = [
        record(24 * day, user=f"u{n}", cost=Cost(output=Decimal(10 - n)))
        for n in range(10)
        for day in (0, 2)
    ]
    found = await make(*records).json("series?range=7d&by=user")
    assert found["bucket"] == "day"
    assert [time[:10] for time in found["times"]] == [
        f"2026-11-{day}" for day in range(15, 22)
    ]
    assert [row["key"] for row in found["rows"]] == [f"u{n}" for n in range(7)]
    for at in range(7):
        for name in ("calls", "tokens"):
            parts = [row[name][at] for row in found["rows"]] + [
                found["others"][name][at]
            ]
            assert sum(parts) == found["all"][name][at]
        costs = [row["cost"][at] for row in [*found["rows"], found["others"]]]
        assert sum(map(Decimal, costs)) == Decimal(found["all"]["cost"][at])
    assert found["all"]["calls"] == [0, 0, 0, 0, 10, 0, 10]


@pytest.mark.parametrize(
    ("query", "bucket", "count"),
    [
        ("range=24h", "hour", 24),
        ("range=12m", "month", 12),
        ("range=all", "day", 41),
        ("since=2026-11-21&until=2026-11-22", "hour", 16),
    ],
)
async def test_buckets_are_as_long_as_the_range_asks(make, query, bucket, count):
    board = make(record(0), record(24 * 40), *[record(hour) for hour in range(16)])
    found = await board.json(f"series?{query}")
    assert (found["bucket"], len(found["times"])) == (bucket, count)


# --------------------------------------------------------------------------- timings


async def test_percentiles_come_with_how_many_calls_were_timed(make):
    board = make(
        *[record(duration_s=n / 100, ttft_s=None) for n in range(1, 101)],
        record(model="other", duration_s=None),
    )
    found = await board.json("latency")
    (row,) = found["rows"]
    assert row["key"] == "gpt-oss-120b"
    assert row["duration_s"]["calls"] == 100
    assert row["duration_s"]["p50"] == pytest.approx(0.5, rel=0.05)
    assert row["duration_s"]["p99"] == pytest.approx(0.99, rel=0.05)
    assert row["ttft_s"] == {"calls": 0, "p50": None, "p95": None, "p99": None}


async def test_percentiles_of_many_calls_under_a_filter_of_rows_are_of_the_newest(
    make, monkeypatch
):
    monkeypatch.setattr(slice_module, "NEWEST", 10)
    monkeypatch.setattr(slice_module, "FEW", 20)
    monkeypatch.setattr(queries, "FEW", 20)
    board = make(
        *[record(n, arm="a", session="s", duration_s=float(n)) for n in range(1, 31)]
    )
    newest = await board.json("latency?session=s&range=all")
    assert newest["newest"] == 10
    assert newest["rows"][0]["duration_s"] == {
        "calls": 10,
        "p50": 5.0,
        "p95": 10.0,
        "p99": 10.0,
    }
    arms = await board.json("arms?session=s&range=all")
    assert arms["rows"][0]["mean_of"] == 30
    assert arms["words"][-1] == "Times are of the newest 10 calls."
    for question in ("latency?range=all", "latency?range=all&session=s&by=node"):
        found = await board.json(question)
        assert found["newest"] is None
        assert found["rows"][0]["duration_s"]["calls"] == 30


# ------------------------------------------------------------------------------ arms


async def test_arms_are_compared_with_intervals(make):
    chance = random.Random(1)
    board = make(
        *[
            record(arm=arm, cost=Cost(output=Decimal(chance.randint(*costs)) / 1000))
            for arm, costs, count in (("a", (90, 110), 60), ("b", (40, 60), 50))
            for _ in range(count)
        ],
        record(),
    )
    found = await board.json("arms")
    first, second = found["rows"]
    assert (first["arm"], first["calls"], second["arm"]) == ("a", 60, "b")
    assert Decimal(first["low"]) < Decimal(first["mean"]) < Decimal(first["high"])
    assert "'b' costs 4" in found["words"][0]
    assert "% less than 'a'" in found["words"][0]
    assert found["words"][1].startswith("Failures: no clear difference")


async def test_too_few_calls_are_said_to_be_too_few(make):
    board = make(record(arm="a"), record(arm="a"), record(arm="b"))
    found = await board.json("arms")
    assert [row["low"] for row in found["rows"]] == [None, None]
    assert found["words"][0] == (
        "Too few calls of known cost to compare, 30 being the least: 'a' (2), 'b' (1)."
    )


async def test_what_only_comparisons_have_is_no_arm_of_an_experiment(make):
    board = make(
        *[record(arm=arm) for arm in ("greet/a", "greet/b", "both")],
        *[record(arm=arm, tags=("compare",)) for arm in ("cerebras::x", "y", "both")],
        record(arm="y", tags=("compare",), outcome="retried"),
    )
    found = await board.json("arms")
    assert sorted(row["arm"] for row in found["rows"]) == ["both", "greet/a", "greet/b"]
    assert "cerebras::x" not in " ".join(found["words"])
    assert "not shown" not in " ".join(found["words"])
    found = await board.json("arms?tag=compare")
    assert sorted(row["arm"] for row in found["rows"]) == ["both", "cerebras::x", "y"]


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        (8, []),
        (9, ["1 arm with fewer calls is not shown."]),
        (10, ["2 arms with fewer calls are not shown."]),
    ],
)
async def test_arms_that_are_not_shown_are_counted(make, arms, said):
    board = make(*[record(arm=f"{number}") for number in range(arms)])
    words = (await board.json("arms"))["words"]
    assert [line for line in words if "not shown" in line] == said


# -------------------------------------------------------------------------- what if


async def test_what_if_prices_the_same_tokens_and_says_what_is_unknown(make):
    board = make(
        record(input_tokens=1_000_000, output_tokens=0, reasoning_tokens=0),
        record(
            cost=None,
            flags=("unpriced",),
            input_tokens=None,
            output_tokens=None,
            cached_input_tokens=None,
            reasoning_tokens=None,
        ),
    )
    found = await board.json("whatif?on=no-such-model&on=gpt-oss-120b")
    by_model = {row["model"]: row for row in found["rows"]}
    assert Decimal(by_model["gpt-oss-120b"]["cost"]) == Decimal("0.35")
    assert by_model["no-such-model"]["cost"] is None
    assert "no-such-model" in by_model["no-such-model"]["note"]
    assert found["rows"][-1]["model"] == "no-such-model"
    assert found["actual"]["note"] == "calls: 1 without a known price"
    assert "gpt-oss-120b" in found["models"]


async def test_nothing_is_told_to_differ_from_a_cost_that_nobody_knows(make):
    board = make(record(cost=None, flags=("unpriced",)), record(model="mine"))
    rows = await board.csv("whatif?model=gpt-oss-120b&format=csv")
    assert {row["model"] for row in rows} >= {"(as billed)", "qwen-3.8-27b"}
    assert {row["difference"] for row in rows} == {""}
    rows = await board.csv("whatif?model=mine&format=csv")
    assert all(row["difference"] for row in rows if row["model"] != "(as billed)")


# -------------------------------------------------------------------------- budgets


async def test_budgets_of_the_ledger_are_shown_with_what_is_reserved(make):
    board = make()
    budget = Budget(Decimal(2), per="user", name="team", ledger=board.ledger)
    hold = budget.reserve(CallScope("gpt-oss-120b", user="ada"), Decimal("0.5"))
    hold.settle(Decimal("1.7"))
    budget.reserve(CallScope("gpt-oss-120b", user="bob"), Decimal("0.5"))
    assert [one.spent for one in budget.status()]  # has been written now
    found = (await board.json("budgets"))["rows"]
    told = [(row["key"], row["percent"], row["state"]) for row in found]
    assert told == [("ada", 85.0, "near"), ("bob", 0.0, "fine")]
    assert Decimal(found[0]["remaining"]) == Decimal("0.3")
    assert Decimal(found[1]["reserved"]) == Decimal("0.5")


# -------------------------------------------------------------------------- records


async def test_newest_calls_come_in_pages(make):
    board = make(*[record(n, user=f"u{n}") for n in range(5)])
    first = await board.json("records?limit=2")
    assert [row["user"] for row in first["rows"]] == ["u0", "u1"]
    assert first["more"] is True
    last = await board.json("records?limit=2&offset=4")
    assert [row["user"] for row in last["rows"]] == ["u4"]
    assert last["more"] is False
    assert last["rows"][0]["cost"] == "0.100000000001"


# ------------------------------------------------------------------------------ CSV


async def test_what_a_cache_saved_without_a_price_is_empty_in_csv(make):
    board = make(
        record(cost=None, flags=("unpriced",)),
        record(model="plain", cost=None, flags=("unpriced",), cached_input_tokens=0),
        record(model="known"),
    )
    rows = await board.csv("groups?by=model&format=csv")
    assert {row["key"]: row["cache_savings"] for row in rows} == {
        "gpt-oss-120b": "",
        "plain": "0",
        "known": "0",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("plain", "plain"),
        ("a=1", "a=1"),
        (-1, "-1"),
        (Decimal("-0.5"), "-0.5"),
        (Decimal("1E-9"), "0.000000001"),
        (None, ""),
    ],
)
def test_a_cell_is_never_a_formula_and_a_number_stays_one(value, shown):
    (row,) = list(csv.reader(io.StringIO(make_csv(["a"], [[value]]))))[1:]
    assert "".join(row) == shown


async def test_a_table_is_the_same_as_csv(make):
    name = "=cmd|' /C calc'!A0,\"quoted\"\nline"
    board = make(record(user=name), record(user="b", cost=None, flags=("unpriced",)))
    rows = await board.csv("groups?by=user&format=csv")
    told = [(row["key"], row["cost"], row["unpriced_calls"]) for row in rows]
    # What is not known is empty, and never 0.
    assert told == [(f"'{name}", "0.100000000001", "0"), ("b", "", "1")]
    answer = await board.get("groups?by=user&format=csv")
    assert answer.headers["content-disposition"] == (
        'attachment; filename="costs-groups-by-user.csv"'
    )


@pytest.mark.parametrize("name", [name for name in TABLES if TABLES[name].columns])
async def test_every_table_with_columns_is_csv_too(make, name):
    board = make(
        *[record(n, user=f"u{n}", arm="a", tags=("x", "y")) for n in range(12)]
    )
    rows = await board.csv(f"{name}?format=csv")
    assert rows or name in {"budgets", "comparisons"}


async def test_others_are_a_row_of_the_csv(make):
    board = make(*[record(user=f"u{n}") for n in range(4)])
    rows = await board.csv("groups?by=user&limit=3&format=csv")
    assert [row["calls"] for row in rows] == ["1"] * 4
    assert rows[-1]["key"] == "(others)"
    series = await board.csv("series?range=24h&format=csv")
    assert sum(int(row["calls"]) for row in series) == 4


async def test_a_cost_that_is_not_known_is_no_zero_over_time(make):
    unpriced = {"cost": None, "flags": ("unpriced",)}
    board = make(record(), record(model="x", **unpriced), record(model="x", **unpriced))
    found = await board.json("series?range=24h&by=model")
    layer = next(row for row in found["rows"] if row["key"] == "x")
    assert [n for n in layer["unpriced_calls"] if n] == [2]
    rows = await board.csv("series?range=24h&by=model&format=csv")
    told = [(row["model"], row["cost"], row["unpriced_calls"]) for row in rows]
    assert ("x", "", "2") in told
    assert ("gpt-oss-120b", "0.100000000001", "0") in told
    assert ("x", "0", "0") in told, "an hour without calls has cost nothing"


async def test_what_charts_show_over_time_is_csv_too(make):
    board = make(
        record(reasoning_tokens=70),
        record(outcome="failed"),
        record(outcome="aborted", cost=None, flags=("unpriced",)),
    )
    rows = await board.csv("history?range=24h&format=csv")
    assert rows[0]["time"].endswith(":00:00Z")
    assert len(rows) == len((await board.json("series?range=24h"))["times"])
    names = ("calls", "failed", "aborted", "reasoning_tokens", "unpriced_calls")
    assert [sum(int(row[name]) for row in rows) for name in names] == [3, 1, 1, 170, 1]
    assert sum(Decimal(row["cost"] or 0) for row in rows) == Decimal("0.200000000002")
    one = await board.csv("history?range=24h&outcome=aborted&format=csv")
    assert [row["cost"] for row in one if row["calls"] == "1"] == [""]


async def test_what_if_as_csv_has_what_was_billed_and_the_differences(make):
    board = make(record())
    rows = await board.csv("whatif?on=no-such-model&format=csv")
    assert rows[0]["model"] == "(as billed)"
    billed = Decimal(rows[0]["cost"])
    assert billed == Decimal("0.100000000001")
    for row in rows[1:]:
        if row["model"] == "no-such-model":
            assert (row["cost"], row["difference"]) == ("", "")
        else:
            assert Decimal(row["difference"]) == Decimal(row["cost"]) - billed
            assert Decimal(row["difference"]) < 0, "and is no text that is escaped"


# --------------------------------------------------------------------------- errors


async def test_a_wrong_parameter_is_refused_with_its_name(make):
    found = await make().json("series?by=colour", status=400)
    assert found["error"]["parameter"] == "by"
    assert "take one of model" in found["error"]["message"]
    assert "no table" in (await make().json("nothing", 404))["error"]["message"]


async def test_no_query_makes_the_server_fail(make):
    chance = random.Random(7)
    board = make(record())
    names = ["range", "since", "until", "by", "limit", "offset", "user", "tag", "no"]
    values = ["", "-1", "0", "%00", "%ff", "\U0001f600", "2026-01-01", "0001-01-01"]
    values += ["9999-12-31", "7d", "custom", "model", "month", "x" * 2_000, "%D9%A3"]
    for _ in range(150):
        chosen = chance.choices(names, k=chance.randint(1, 4))
        query = "&".join(f"{name}={chance.choice(values)}" for name in chosen)
        table = chance.choice([*TABLES])
        answer = await board._client.get(f"/api/{table}?{query}")
        assert answer.status_code in {200, 400}, (table, query, answer.text)


async def test_a_ledger_that_cannot_be_read_is_told_as_it_says(make, monkeypatch):
    board = make()

    def fail(*_, **__):
        msg = "The ledger is locked."
        raise LedgerError(msg)

    monkeypatch.setattr(board.ledger, "totals", fail)
    found = await board.json("overview", status=503)
    assert found["error"]["message"] == "The ledger is locked."


async def test_a_fault_of_ours_is_logged_and_tells_no_more_than_its_name(
    make, monkeypatch, caplog
):
    board = make()

    def fail(*_, **__):
        raise ZeroDivisionError("secret details")

    monkeypatch.setattr(board.ledger, "totals", fail)
    found = await board.json("overview", status=500)
    assert "ZeroDivisionError" in found["error"]["message"]
    assert "secret" not in found["error"]["message"]
    assert "secret details" in caplog.text
    monkeypatch.undo()
    await board.json("overview")


# ------------------------------------------------------------------------- freshness


async def test_the_revision_moves_with_a_record_and_answers_follow(make):
    board = make(record())
    before = (await board.json("revision"))["revision"]
    assert (await board.json("overview"))["totals"]["calls"] == 1
    assert (await board.json("revision"))["revision"] == before
    board.ledger.import_records([record()])
    assert (await board.json("revision"))["revision"] != before
    assert (await board.json("overview"))["totals"]["calls"] == 2


async def test_the_same_question_is_worked_out_once(make, monkeypatch):
    board = make(record())
    real, asked = Slice.totals, []

    def counted(known):
        asked.append(known)
        return real(known)

    monkeypatch.setattr(Slice, "totals", counted)
    await asyncio.gather(*[board.json("overview?range=all") for _ in range(5)])
    assert len(asked) == 1


def test_a_failure_is_not_kept_and_old_answers_make_room():
    memo = Memo(size=2)
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: bytes(1 // 0))
    assert memo.get("a", lambda: b"1") == b"1"
    assert memo.get("a", lambda: b"2") == b"1"
    memo.get("b", lambda: b"")
    memo.get("c", lambda: b"")
    assert memo.get("a", lambda: b"3") == b"3"


def test_who_asks_for_what_is_under_way_waits_for_it():
    memo, gate, found = Memo(), threading.Event(), []
    slow = threading.Thread(
        target=lambda: found.append(memo.get("a", lambda: (gate.wait(10), b"1")[1]))
    )
    slow.start()
    while "a" not in memo._answers:
        pass
    second = threading.Thread(target=lambda: found.append(memo.get("a", lambda: b"2")))
    second.start()
    gate.set()
    slow.join(10)
    second.join(10)
    assert found == [b"1", b"1"]


async def test_nobody_is_answered_who_has_left(make, monkeypatch):
    from starlette.requests import Request

    board = make(record())

    async def gone(_):
        return True

    monkeypatch.setattr(Request, "is_disconnected", gone)
    asked = []
    monkeypatch.setattr(board.ledger, "revision", lambda: asked.append(1))
    await board.get("overview", status=499)
    assert asked == []
