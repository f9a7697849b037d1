"""A real Prometheus scrapes the collector, and its sums are those done by hand."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_server import PrometheusServer, find_program

from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.prometheus import CostCollector
from langchain_cerebras_ext.costs.records import UsageRecord

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_record(**fields):
    return UsageRecord(**{"started_at": NOON, "model": "gpt-oss-120b", **fields})


def a_day_of_calls():
    """One of each kind of record, small enough to add up by hand."""
    priced = Cost(
        input=Decimal("0.000021"),
        cached_input=Decimal("0.000014"),
        output=Decimal("0.000075"),
        cache_savings=Decimal("0.000007"),
    )
    return [
        # A thousand calls of 0.00011 USD, 100 + 100 tokens, 0.03 s and 1.5 s.
        *(
            a_record(
                input_tokens=100,
                cached_input_tokens=40,
                output_tokens=100,
                reasoning_tokens=60,
                cost=priced,
                ttft_s=0.03,
                duration_s=1.5,
                output_tokens_per_s=1800.0,
            )
            for _ in range(1000)
        ),
        # Another model, failed, estimated: 0.1 + 0.2.
        a_record(
            model="zai-glm-4.7",
            input_tokens=10,
            output_tokens=20,
            cost=Cost(input=Decimal("0.1"), output=Decimal("0.2")),
            outcome="failed",
            flags=("estimated", "no_usage"),
            duration_s=0.004,
        ),
        # A try that another one followed: its cost counts, the call does not.
        a_record(
            input_tokens=5,
            output_tokens=0,
            cost=Cost(input=Decimal("0.00000175")),
            outcome="retried",
        ),
        # Nobody knows its price.
        a_record(
            model='a "new"\nmodel\\',
            provider="openai",
            input_tokens=7,
            output_tokens=3,
            flags=("unpriced",),
            duration_s=0.5,
        ),
        # The cache's answer repeats tokens that nobody pays.
        a_record(input_tokens=100, output_tokens=100, cost=Cost(), outcome="cache_hit"),
    ]


class FixedBudget:
    """As much of a budget as the collector reads."""

    name = "team"

    def status(self):
        return [
            SimpleNamespace(
                per="user",
                key=key,
                window="day",
                limit=Decimal(5),
                spent=Decimal(spent),
                reserved=Decimal("0.25"),
            )
            for key, spent in (("ann", "1.1"), ("bob", "2.2"))
        ]


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    collector = CostCollector(registry, budgets=[FixedBudget()], gen_ai_names=True)
    for record in a_day_of_calls():
        collector(record)
    return registry


def test_prometheus_has_the_sums_that_were_done_by_hand(registry, tmp_path):
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with PrometheusServer(tmp_path, [server.server_port]) as prometheus:
            prometheus.wait_for("sum(cerebras_calls_total)", 1003)
            ask = prometheus.value
            assert ask("up") == 1

            # 1000 * (0.000021 + 0.000014 + 0.000075) = 0.11, and 0.3, and 0.00000175
            assert ask("sum(cerebras_cost_usd_total)") == 0.41000175
            ok = 'cerebras_cost_usd_total{model="gpt-oss-120b",outcome="ok"}'
            assert ask(ok) == 0.11
            assert ask('cerebras_cost_usd_total{outcome="failed"}') == 0.3
            assert ask('cerebras_cost_usd_total{outcome="retried"}') == 0.00000175
            assert ask("sum(cerebras_cache_savings_usd_total)") == 0.007

            assert ask("sum(cerebras_calls_total) by (nothing)") == 1003
            assert ask('sum(cerebras_calls_total{outcome="cache_hit"})') == 1
            assert ask("sum(cerebras_retries_total)") == 1
            assert ask("sum(cerebras_unpriced_calls_total)") == 1
            assert ask("sum(cerebras_estimated_calls_total)") == 1
            assert ask("sum(cerebras_calls_without_usage_total)") == 1

            # 1000 * 100 + 10 + 5 + 7, and 1000 * 100 + 20 + 3
            assert ask('sum(cerebras_tokens_total{type="input"})') == 100_022
            assert ask('sum(cerebras_tokens_total{type="output"})') == 100_023
            parts = "sum(cerebras_token_parts_total) by (type)"
            assert {labels["type"]: n for labels, n in prometheus.query(parts)} == {
                "cached_input": 40_000,
                "reasoning": 60_000,
            }

            # 0.03 s is in the bucket from 0.016 to 0.032: all of a thousand are.
            median = (
                "histogram_quantile(0.5, "
                "sum(cerebras_time_to_first_token_seconds_bucket) by (le))"
            )
            assert 0.016 < ask(median) <= 0.032
            assert ask("sum(cerebras_call_duration_seconds_count)") == 1002
            assert ask("sum(cerebras_call_duration_seconds_sum)") == pytest.approx(
                1000 * 1.5 + 0.004 + 0.5
            )
            mean = (
                "sum(cerebras_output_tokens_per_second_sum)"
                " / sum(cerebras_output_tokens_per_second_count)"
            )
            assert ask(mean) == 1800

            [(labels, one)] = prometheus.query(
                'cerebras_calls_total{provider="openai"}'
            )
            assert (labels["model"], one) == ('a "new"\nmodel\\', 1)

            left = (
                'cerebras_budget_limit_usd{key="bob"} - cerebras_budget_spent_usd'
                " - cerebras_budget_reserved_usd"
            )
            assert ask(left) == pytest.approx(5 - 2.2 - 0.25)
            assert ask("cerebras_budget_readable") == 1

            tokens = 'sum(gen_ai_client_token_usage_sum{gen_ai_token_type="input"})'
            assert ask(tokens) == 100_000 + 10 + 7
            assert ask("sum(gen_ai_client_operation_duration_seconds_count)") == 1002
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_promtool_has_nothing_to_say_about_names_and_units(registry):
    found = subprocess.run(
        [find_program("promtool"), "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")
