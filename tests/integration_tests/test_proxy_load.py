"""The proxy under a little load; `python -m benchmarks.proxy_load` is the whole."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the harness reads /proc", allow_module_level=True)
pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")

from benchmarks import proxy_load


def test_nothing_is_lost_and_all_count_alike() -> None:
    report = proxy_load.run(20, 1.0, 200, 20, event_s=0.002)
    assert report.lost == []
    assert report.streams >= 20
    assert report.requests == 200
    assert set(report.sums) == {"bill", "clients", "ledger", "metrics"}
    assert len(set(report.sums.values())) == 1, report.sums
    assert report.sums["bill"].calls == report.streams + report.requests
    assert report.sums["bill"].output > 0
