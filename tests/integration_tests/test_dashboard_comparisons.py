"""What `compare` and experiments have found, in the dashboard: data and page."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import httpx
import pytest
from browser import open_browser, resize
from dashboard_view import Page, Served
from ledger_samples import make_record

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs import Ledger
from langchain_cerebras_ext.dashboard import create_app
from langchain_cerebras_ext.routing import acompare, compare
from langchain_cerebras_ext.routing._compare.kept import read_comparisons
from langchain_cerebras_ext.simulator import Simulator

HOSTILE = "<script>alert(1)</script>"
PROMPTS = [
    {"id": "sum", "prompt": "What is 2 + 2?", "expected": "4"},
    {"id": "say", "prompt": "Say yes.", "expected": "yes"},
]


@pytest.fixture(scope="module")
def sim():
    with Simulator() as running:
        yield running


def models(sim):
    options = {"api_key": "csk-test", "base_url": sim.base_url, "max_retries": 0}
    return {
        "right": ChatCerebras(**options),
        HOSTILE: ChatCerebras(model="qwen-3.8-27b", **options),
    }


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "costs.db") as opened:
        yield opened


def client_of(ledger):
    app = create_app(ledger)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost/api/"
    )


async def test_a_comparison_is_shown_as_it_was_told(sim, ledger):
    sim.reset()
    sim.reply("4", times=None)
    async with client_of(ledger) as client:
        before = (await client.get("comparisons")).json()
        assert (before["rows"], before["runs"]) == ([], [])
        found = await acompare(models(sim), PROMPTS, repeat=3, ledger=ledger)
        shown = (await client.get("comparisons")).json()
        table = (await client.get("comparisons?format=csv")).text
        alone = (await client.get("arms")).json()
        arms = (await client.get("arms?tag=compare")).json()
    (run,) = shown["runs"]
    assert run["run_id"] == found.run_id
    assert (run["prompts"], run["repeat"], run["judge"]) == (2, 3, "exact")
    assert [row["model"] for row in shown["rows"]] == ["right", HOSTILE]
    for row, mine in zip(shown["rows"], found.rows, strict=True):
        assert row["calls"] == mine.calls == 6
        assert row["latency_s_p50_value"] == mine.latency_s.p50.value
        assert row["latency_s_p50_low"] == mine.latency_s.p50.low
        assert row["ttft_s_p95_value"] == mine.ttft_s.p95.value
        assert row["agreement_value"] == mine.agreement.value == 0.5
        assert row["cost_per_1000_usd"] == f"{mine.cost_per_1000_usd:f}"
    first = next(csv.DictReader(io.StringIO(table)))
    assert (first["model"], first["agreement_value"]) == ("right", "0.5")
    # They are no experiment's arms, unless one asks for those of comparisons. The calls
    # that were made to connect are of no arm, since they are not compared.
    assert alone["rows"] == []
    assert {row["arm"]: row["calls"] for row in arms["rows"]} == {
        "right": 6,
        HOSTILE: 6,
    }
    assert ledger.totals().calls == 14


async def test_comparisons_follow_time_arm_and_session(sim, ledger):
    sim.reset()
    runs = [
        (await acompare(models(sim), PROMPTS, warmup=0, ledger=ledger)).run_id
        for _ in range(3)
    ]
    async with client_of(ledger) as client:

        async def shown(query):
            return (await client.get(f"comparisons?{query}")).json()

        assert [one["run_id"] for one in (await shown("range=1h"))["runs"]] == runs[
            ::-1
        ]
        assert (await shown("until=2026-01-01"))["runs"] == []
        two = await shown("limit=2")
        assert ([one["run_id"] for one in two["runs"]], two["more"]) == (
            runs[:0:-1],
            True,
        )
        one = await shown(f"session=compare-{runs[1]}")
        assert [run["run_id"] for run in one["runs"]] == [runs[1]]
        assert (await shown("session=another"))["runs"] == []
        rows = (await shown("arm=right"))["rows"]
        assert {row["model"] for row in rows} == {"right"}


async def test_comparisons_without_an_arm_are_left_out(sim, ledger):
    """Else there were tables without a row, and notes on models that are not shown."""
    sim.reset()
    both = models(sim)
    ids = [
        (await acompare(some, PROMPTS, warmup=0, ledger=ledger)).run_id
        for some in (both, both, {"right": both["right"]}, {"right": both["right"]})
    ]
    async with client_of(ledger) as client:

        async def shown(**query):
            found = (await client.get("comparisons", params=query)).json()
            return [one["run_id"] for one in found["runs"]], found["more"]

        assert await shown(arm=HOSTILE) == ([ids[1], ids[0]], False)
        assert await shown(arm=HOSTILE, limit=1) == ([ids[1]], True)
        assert await shown(arm="right", limit=3) == (ids[:0:-1], True)
        assert await shown(arm="another") == ([], False)
        assert await shown(no="arm") == ([], False)


def test_a_ledger_that_cannot_keep_it_costs_no_comparison(sim, ledger):
    sim.reset()
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE cerebras_comparisons (other TEXT)")
    found = compare(models(sim), PROMPTS, ledger=ledger)
    assert len(found.results) == 4
    assert "Comparisons cannot be kept" in found.notes[-1]


def test_a_ledger_without_comparisons_has_no_table_of_them(ledger):
    ledger.add(make_record())
    assert read_comparisons(ledger) == []
    with ledger.engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_schema").scalars()
        assert "cerebras_comparisons" not in set(names)


async def test_arms_are_of_calls_and_are_compared_within_their_experiment(ledger):
    """40 calls of each arm; the first leg of one failed in 10 of them."""
    now = datetime.now(UTC)
    for experiment in ("one", "two"):
        for number in range(40):
            call = {"router_call_id": f"{experiment}-{number}", "started_at": now}
            a, b = f"{experiment}/a", f"{experiment}/b"
            ledger.add(make_record().replace(arm=b, started_at=now))
            if number < 10:
                failed = make_record(outcome="failed", cost=None)
                ledger.add(failed.replace(arm=a, **call))
                call["router_so_far"] = "failed"
            ledger.add(make_record().replace(arm=a, **call))
    async with client_of(ledger) as client:
        found = (await client.get("arms")).json()
        rows = {row["arm"]: row for row in found["rows"]}
        table = list(
            csv.DictReader(io.StringIO((await client.get("arms?format=csv")).text))
        )
    for experiment in ("one", "two"):
        row = rows[f"{experiment}/a"]
        assert (row["calls"], row["tries"], row["failed"]) == (40, 50, 0)
        assert (row["mean"], row["mean_of"]) == ("0.000575", 40)
        told = [line for line in found["words"] if f"'{experiment}/" in line]
        assert len(told) == 2, "cost and failures, of one arm beside the other"
        assert all(line.count(f"'{experiment}/") == 2 for line in told)
    assert {(row["arm"], row["calls"], row["tries"]) for row in table} >= {
        ("one/a", "40", "50"),
        ("one/b", "40", "40"),
    }


async def test_a_calls_cost_is_that_of_all_its_tries(ledger):
    now = datetime.now(UTC)
    for number in range(30):
        call = {"router_call_id": f"call-{number}", "started_at": now, "arm": "e/a"}
        ledger.add(make_record(outcome="failed").replace(**call))
        ledger.add(make_record(router_so_far="failed").replace(**call))
    async with client_of(ledger) as client:
        (row,) = (await client.get("arms")).json()["rows"]
    assert (row["mean"], row["mean_of"], row["calls"]) == ("0.00115", 30, 30)


def test_the_page_shows_comparisons(sim, tmp_path):
    sim.reset()
    ledger = Ledger(tmp_path / "costs.db")
    browser = open_browser(tmp_path)
    try:
        with Served(ledger) as running:
            resize(browser, 1280, 900)
            page = Page(browser, running.url)
            ledger.add(make_record().replace(started_at=datetime.now(UTC)))
            ledger.flush()
            page.open()
            page.logged()
            page.scroll_to("comparisons")
            page.until(
                "document.querySelector('#comparisons').textContent"
                ".includes('No comparison')"
            )
            found = compare(models(sim), PROMPTS, repeat=2, ledger=ledger)
            page.until(
                "document.querySelectorAll('#comparisons tbody tr').length === 2"
            )
            text = page.text("#comparisons")
            assert HOSTILE in text
            assert "2 prompts \N{MULTIPLICATION SIGN} 2, judged by exact" in text
            assert "0.0 %" in text, "agreement: the simulator says other things"
            page.click(f"#comparisons [data-value='compare-{found.run_id}']")
            page.settle()
            page.until(
                "document.querySelector('#tile-calls .value').textContent === '10'"
            )
            page.scroll_to("comparisons")
            page.click("#comparisons [data-value='right']")
            page.settle()
            page.until(
                "document.querySelectorAll('#comparisons tbody tr').length === 1"
            )
            page.open("?arm=another")
            page.scroll_to("comparisons")
            page.until(
                "document.querySelector('#comparisons').textContent"
                ".includes('has such an arm')"
            )
            page.open("?arm=right")
            page.scroll_to("comparisons")
            page.until("document.querySelectorAll('#comparisons tbody tr').length")
            resize(browser, 390, 800)
            assert page.js(
                "return document.documentElement.scrollWidth <= innerWidth"
            ), "wide tables scroll by themselves"
            assert page.logged() == []
    finally:
        browser.quit()
