"""`show_costs`: what a notebook draws of costs, and what anything else prints."""

from __future__ import annotations

import sys
import types
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.report import Filter
from langchain_cerebras_ext.costs.tracker import CostTracker
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.notebook import show_costs

START = datetime(2026, 11, 20, 9, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"
CALLS = [
    UsageRecord(
        started_at=START + timedelta(hours=n),
        model="gpt-oss-120b",
        user=user,
        input_tokens=1_000,
        output_tokens=100,
        cost=None if n == 2 else Cost(output=Decimal("0.25")),
        flags=("unpriced",) if n == 2 else (),
    )
    for n, user in enumerate(["ann", EVIL, "ann", "ann"])
]
BY_USER = [
    "≥ $0.75 in 4 calls; 4,000 tokens in, 400 out",
    "  user                          cost  calls  tokens in  out",
    "  ann                        ≥ $0.50      3      3,000  300",
    "  <script>alert(1)</script>    $0.25      1      1,000  100",
    "! 1 call unpriced: no price of the model is known. Its cost is not in the total.",
]


def tracker(_: Path) -> Any:
    found = CostTracker()
    for call in CALLS:
        found.take(call)
    return found


def ledger(folder: Path) -> Any:
    pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
    from langchain_cerebras_ext.costs.ledger import Ledger

    found = Ledger(folder / "costs.db")
    found.import_records(CALLS)
    return found


def records(_: Path) -> Any:
    return iter(CALLS)


@pytest.fixture(params=[tracker, ledger, records])
def costs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What can be shown; a ledger is closed afterwards."""
    found = request.param(tmp_path)
    yield found
    getattr(found, "close", lambda: None)()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A notebook, as far as `show_costs` can tell."""
    found: list[dict[str, str]] = []

    def display(data: dict[str, str], *, raw: bool) -> None:
        assert raw
        found.append(data)

    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    shown: Any = types.ModuleType("IPython.display")
    shown.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return found


def test_elsewhere_costs_are_printed(
    costs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    show_costs(costs, by="user")
    assert capsys.readouterr().out.splitlines() == BY_USER


def test_a_notebook_gets_html_and_text(
    costs: Any, drawn: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    show_costs(costs, by="user")
    (data,) = drawn
    assert data["text/plain"].splitlines() == BY_USER
    page = data["text/html"]
    assert "<svg" in page
    assert "$0.75 spent | marks calls of unknown cost" in page
    assert "2026-11-20 12:00:00 UTC" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert capsys.readouterr().out == ""


def test_calls_of_unknown_cost_are_marked_beside_others_of_their_hour(
    tmp_path: Path, drawn: list[dict[str, str]]
) -> None:
    """A ledger's chart is of hours: what one lacks is no less than in one alone."""
    pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
    from langchain_cerebras_ext.costs.ledger import Ledger

    with Ledger(tmp_path / "costs.db") as found:
        more = CALLS[2].replace(started_at=START, record_id="f" * 32)
        found.import_records([*CALLS, more])
        show_costs(found)
    (data,) = drawn
    page = data["text/html"]
    assert "$0.75 spent | marks calls of unknown cost" in page
    assert page.count('v6" stroke') == 2


def test_costs_can_be_split_and_filtered(
    costs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Filter(user=("ann",), since=START + timedelta(hours=1))
    show_costs(costs, by=["hour", "user"], filter=wanted)
    first, _, *rows, doubt = capsys.readouterr().out.splitlines()
    assert first == "≥ $0.25 in 2 calls; 2,000 tokens in, 200 out"
    # In the order of time, though the second is dearer.
    assert [row.split() for row in rows] == [
        ["2026-11-20T11:00Z", "ann", "unknown", "1", "1,000", "100"],
        ["2026-11-20T12:00Z", "ann", "$0.25", "1", "1,000", "100"],
    ]
    assert doubt.startswith("! 1 call unpriced")


def test_an_unknown_dimension_is_refused() -> None:
    with pytest.raises(CerebrasConfigurationError, match="by='colour' is unknown"):
        show_costs([], by="colour")


def test_a_tracker_shows_itself() -> None:
    found = tracker(Path())
    assert str(found).splitlines()[0] == BY_USER[0]
    assert repr(found) == f"<CostTracker {BY_USER[0]}; 1 unpriced>"
    page = found._repr_html_()
    assert "≥ $0.75" in page
    assert "<svg" in page
    assert found.plot().get_suptitle() == "≥ $0.75 in 4 calls"
