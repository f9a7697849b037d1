"""What the dashboard says that the same tokens would cost on other models."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
pytest.importorskip("starlette", reason="the extra `dashboard` is not installed")

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.dashboard.data import Reader
from langchain_cerebras_ext.dashboard.query import read_view

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def what_if(tmp_path, *records, on=()):
    with Ledger(tmp_path / "costs.db") as ledger:
        ledger.import_records(list(records))
        pairs = [("range", "all"), *(("on", name) for name in on)]
        return Reader(ledger).whatif(read_view(pairs, now=NOW, allowed=("on",)))


def record(**changes):
    values = {
        "started_at": NOW,
        "model": "gpt-oss-120b",
        "input_tokens": 1_000_000,
        "output_tokens": 0,
        "cost": Cost(input=Decimal("0.35")),
        **changes,
    }
    return UsageRecord(**values)


def test_what_was_billed_has_all_that_is_uncertain_beside(tmp_path):
    guessed = record(flags=("estimated", "no_usage"))
    found = what_if(tmp_path, record(), guessed)
    billed = found["actual"]
    assert Decimal(billed["cost"]) == Decimal("0.70")
    assert billed["note"] == "calls: 1 estimated"
    assert (billed["unpriced_calls"], billed["estimated_calls"]) == (0, 1)
    assert not any("without usage" in words for words in found["words"])


def test_calls_that_nobody_has_counted_are_in_neither_amount(tmp_path):
    silent = record(
        input_tokens=None, output_tokens=None, cost=None, flags=("no_usage", "unpriced")
    )
    found = what_if(tmp_path, record(), silent)
    assert "1 without usage" in found["actual"]["note"]
    assert "1 call came without usage and is in neither amount." in found["words"]


@pytest.mark.parametrize(
    ("billed", "end"),
    [
        ([], "no difference is known."),
        ([record()], "the difference is too high."),
    ],
    ids=["nothing known", "a part known"],
)
def test_what_a_call_without_a_price_does_to_the_difference(tmp_path, billed, end):
    found = what_if(tmp_path, *billed, record(cost=None, flags=("unpriced",)))
    said = "The tokens of 1 call without a known price are priced here, and are not in "
    assert f"{said}what was billed: {end}" in found["words"]


@pytest.mark.parametrize("name", ["::", "acme::", "no such model", "a" * 300])
def test_what_is_no_models_name_is_a_row_that_says_so(tmp_path, name):
    found = what_if(tmp_path, record(), on=[name])
    (row,) = [row for row in found["rows"] if row["model"] == name]
    assert row["cost"] is None
    assert row["note"]


def test_a_name_of_blanks_is_left_out(tmp_path):
    found = what_if(tmp_path, record(), on=["", "  ", " gpt-oss-120b "])
    names = [row["model"] for row in found["rows"]]
    assert names.count("gpt-oss-120b") == 1
    assert all(name.strip() for name in names)
