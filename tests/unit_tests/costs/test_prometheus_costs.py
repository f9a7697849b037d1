"""What the collector exposes: exact sums, bounded labels, and nothing that can break."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.prometheus import LABELS, CostCollector
from langchain_cerebras_ext.costs.records import OUTCOMES, UsageRecord
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_record(**fields):
    return UsageRecord(**{"started_at": NOON, "model": "gpt-oss-120b", **fields})


def scraped(collector):
    """Every sample as Prometheus reads it: by name and labels."""
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(collector, name, **labels):
    """The sum of all samples of a name with some labels."""
    return sum(
        one
        for (known, found), one in scraped(collector).items()
        if known == name and labels.items() <= dict(found).items()
    )


def label_values(collector, label, name="cerebras_calls_total"):
    return {
        dict(labels)[label] for known, labels in scraped(collector) if known == name
    }


# --------------------------------------------------------------------------- money


def test_a_million_small_amounts_add_up_to_the_nearest_float():
    """Floats would be off: 0.1 a hundred times is not 10 to them."""
    collector = CostCollector()
    record = a_record(cost=Cost(output=Decimal("0.1")))
    for _ in range(100):
        collector(record)
    assert sum([0.1] * 100) != 10.0
    assert value(collector, "cerebras_cost_usd_total") == 10.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 10**14).map(lambda n: Decimal(n).scaleb(-12))))
def test_the_cost_is_the_exact_sum_in_whatever_order(amounts):
    collector, reversed_ = CostCollector(), CostCollector()
    for amount in amounts:
        collector(a_record(cost=Cost(input=amount)))
    for amount in reversed(amounts):
        reversed_(a_record(cost=Cost(input=amount)))
    exact = float(sum(map(Fraction, amounts)))
    assert value(collector, "cerebras_cost_usd_total") == exact
    assert value(reversed_, "cerebras_cost_usd_total") == exact


def test_a_coarse_decimal_context_of_the_caller_rounds_nothing():
    collector = CostCollector()
    with localcontext(prec=3):
        for amount in ("1234.5", "0.000000000001", "0.25"):
            collector(a_record(cost=Cost(input=Decimal(amount))))
    assert value(collector, "cerebras_cost_usd_total") == 1234.750000000001


def test_the_cost_is_all_kinds_together_and_savings_are_apart():
    collector = CostCollector()
    collector(
        a_record(
            cost=Cost(
                input=Decimal("0.01"),
                cached_input=Decimal("0.02"),
                cache_write=Decimal("0.04"),
                image=Decimal("0.08"),
                output=Decimal("0.16"),
                request=Decimal("0.32"),
                reasoning=Decimal("0.15"),
                cache_savings=Decimal("0.5"),
            )
        )
    )
    assert value(collector, "cerebras_cost_usd_total") == 0.63
    assert value(collector, "cerebras_cache_savings_usd_total") == 0.5


def test_a_call_without_a_price_is_counted_beside_the_cost():
    collector = CostCollector()
    collector(a_record(flags=("unpriced",), input_tokens=9, output_tokens=1))
    assert value(collector, "cerebras_unpriced_calls_total") == 1
    assert value(collector, "cerebras_tokens_total") == 10


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), (0, 0, 0)),
        (("unpriced",), (1, 0, 0)),
        (("estimated", "no_usage"), (0, 1, 1)),
        (("unpriced", "estimated", "no_usage"), (1, 1, 1)),
    ],
    ids=["certain", "unpriced", "estimated", "all"],
)
def test_what_is_uncertain_is_counted(flags, expected):
    collector = CostCollector()
    cost = None if "unpriced" in flags else Cost()
    collector(a_record(flags=flags, cost=cost))
    names = ("unpriced_calls", "estimated_calls", "calls_without_usage")
    found = tuple(value(collector, f"cerebras_{name}_total") for name in names)
    assert found == expected


# ------------------------------------------------------------------- calls and tokens


def test_tokens_of_both_types_are_all_tokens_and_parts_are_apart():
    collector = CostCollector()
    collector(
        a_record(
            input_tokens=100,
            cached_input_tokens=60,
            cache_write_tokens=10,
            image_tokens=20,
            output_tokens=50,
            reasoning_tokens=30,
            accepted_prediction_tokens=4,
            rejected_prediction_tokens=3,
        )
    )
    assert value(collector, "cerebras_tokens_total") == 150
    assert value(collector, "cerebras_tokens_total", type="input") == 100
    assert value(collector, "cerebras_tokens_total", type="output") == 50
    parts = {
        dict(labels)["type"]: one
        for (name, labels), one in scraped(collector).items()
        if name == "cerebras_token_parts_total"
    }
    assert parts == {
        "cached_input": 60,
        "cache_write": 10,
        "image": 20,
        "reasoning": 30,
        "accepted_prediction": 4,
        "rejected_prediction": 3,
    }


def test_every_outcome_is_a_call_but_a_try_that_another_followed():
    collector = CostCollector()
    for outcome in OUTCOMES:
        collector(a_record(outcome=outcome, cost=Cost(input=Decimal(1))))
    assert value(collector, "cerebras_calls_total") == 4
    assert value(collector, "cerebras_retries_total") == 1
    assert label_values(collector, "outcome") == set(OUTCOMES) - {"retried"}
    assert value(collector, "cerebras_cost_usd_total", outcome="retried") == 1


def test_an_answer_of_the_cache_adds_neither_tokens_nor_times():
    collector = CostCollector()
    collector(
        a_record(
            outcome="cache_hit",
            input_tokens=100,
            output_tokens=10,
            duration_s=0.001,
            cost=Cost(),
        )
    )
    assert value(collector, "cerebras_calls_total") == 1
    assert value(collector, "cerebras_tokens_total") == 0
    assert value(collector, "cerebras_call_duration_seconds_count") == 0


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0.001), (0.001, 0.001), (0.0011, 0.002), (131.072, 131.072), (500.0, None)],
    ids=["zero", "on-a-bound", "above-a-bound", "last", "beyond"],
)
def test_a_duration_is_in_its_bucket_and_all_above(seconds, bucket):
    collector = CostCollector(labels=())
    collector(a_record(duration_s=seconds))
    for (name, labels), count in scraped(collector).items():
        if name == "cerebras_call_duration_seconds_bucket":
            bound = dict(labels)["le"]
            below = bucket is not None and float(bound) >= bucket
            assert count == (1 if below or bound == "+Inf" else 0), bound
    assert value(collector, "cerebras_call_duration_seconds_sum") == seconds


def test_times_that_are_not_known_are_not_measured():
    collector = CostCollector()
    collector(a_record(duration_s=None, ttft_s=None, output_tokens_per_s=-1.0))
    for name in (
        "call_duration_seconds",
        "time_to_first_token_seconds",
        "output_tokens_per_second",
    ):
        assert value(collector, f"cerebras_{name}_count") == 0


# -------------------------------------------------------------------------- labels


def test_nobody_is_named_unless_asked_for():
    collector = CostCollector()
    collector(
        a_record(user="ann@example.com", session="room-77", tags=("secret-plan",))
    )
    text = repr(scraped(collector))
    assert "ann" not in text
    assert "room-77" not in text
    assert "secret-plan" not in text


@pytest.mark.parametrize("label", LABELS)
def test_every_label_can_be_had_alone(label):
    collector = CostCollector(labels=[label])
    collector(
        a_record(
            model_served="m",
            user="u",
            session="s",
            tags=("b", "a"),
            node="n",
            arm="x",
            error_type="E",
            service_tier="flex",
        )
    )
    expected = {
        "model": "m",
        "provider": "cerebras",
        "outcome": "ok",
        "operation": "chat",
        "node": "n",
        "arm": "x",
        "error_type": "E",
        "service_tier": "flex",
        "user": "u",
        "session": "s",
        "tags": "a,b",
    }
    assert label_values(collector, label) == {expected[label]}


def test_what_is_not_known_is_an_empty_label():
    collector = CostCollector(labels=["user"])
    collector(a_record())
    assert label_values(collector, "user") == {""}


def test_a_label_with_too_many_values_calls_the_rest_other():
    collector = CostCollector(labels=["user"], max_label_values=3)
    for number in range(1000):
        collector(a_record(user=f"user-{number}"))
    assert label_values(collector, "user") == {"user-0", "user-1", "user-2", "other"}
    assert value(collector, "cerebras_calls_total", user="other") == 997
    assert value(collector, "cerebras_calls_total") == 1000


def test_combinations_are_bounded_as_well():
    collector = CostCollector(labels=["user", "session"], max_series=10)
    for number in range(50):
        for other in range(50):
            collector(a_record(user=f"u{number}", session=f"s{other}"))
    assert value(collector, "cerebras_calls_total") == 2500
    samples = [1 for name, _ in scraped(collector) if name == "cerebras_calls_total"]
    assert len(samples) == 11
    rest = value(collector, "cerebras_calls_total", user="other", session="other")
    assert rest == 2490


@pytest.mark.parametrize(
    "model",
    ['a"b', "a\nb", "a\\b", "half a \ud83d emoji", "\x00", "<script>", "x" * 10_000],
    ids=["quote", "line", "backslash", "surrogate", "nul", "markup", "long"],
)
def test_no_name_of_a_model_can_break_a_scrape(model):
    collector = CostCollector()
    collector(a_record(model=model, cost=Cost(input=Decimal(1))))
    assert value(collector, "cerebras_cost_usd_total") == 1
    [name] = label_values(collector, "model")
    assert len(name) <= 200


# ---------------------------------------------------------------------- registration


def test_by_default_no_registry_is_touched():
    before = set(REGISTRY._collector_to_names)
    CostCollector()
    assert set(REGISTRY._collector_to_names) == before


def test_a_registry_learns_the_names_without_a_scrape():
    """So a clash is an error when it is made, not at every scrape."""
    registry = CollectorRegistry()
    CostCollector(registry, gen_ai_names=True)
    with pytest.raises(ValueError, match="cerebras_calls"):
        Counter("cerebras_calls", "Mine.", registry=registry)
    with pytest.raises(CerebrasConfigurationError, match="gen_ai_client_") as caught:
        CostCollector(registry, namespace="mine", gen_ai_names=True)
    assert "gen_ai_names to one alone" in str(caught.value)
    with pytest.raises(CerebrasConfigurationError, match="one CostCollector to all"):
        CostCollector(registry)


def test_two_namespaces_live_in_one_registry():
    registry = CollectorRegistry()
    CostCollector(registry)
    other = CostCollector(registry, namespace="jobs")
    other(a_record())
    assert b"jobs_calls_total{" in generate_latest(registry)
    assert value(CostCollector(namespace=""), "calls_total") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ["modell"]}, "labels='modell' is unknown; take some of model, "),
        ({"labels": "modell"}, "labels='modell'"),
        ({"max_label_values": 0}, "max_label_values=0 must be 1 or more"),
        ({"max_series": 0}, "max_series=0 must be 1 or more"),
    ],
    ids=["label", "text", "values", "series"],
)
def test_wrong_settings_say_what_is_wrong(options, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        CostCollector(**options)


def test_one_label_may_be_given_as_a_text_and_twice_is_once():
    assert "('model',)" in repr(CostCollector(labels="model"))
    assert "('model',)" in repr(CostCollector(labels=["model", "model"]))


def test_without_the_extra_the_install_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(
        MissingExtraError, match=r"langchain-cerebras-ext\[prometheus\]"
    ):
        CostCollector()


def test_the_module_loads_nothing_of_prometheus():
    code = (
        "import sys, langchain_cerebras_ext.costs.prometheus\n"
        "assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------ gen_ai names


def test_names_of_the_conventions_are_there_on_request_only():
    assert not any("gen_ai" in name for name, _ in scraped(CostCollector()))
    collector = CostCollector(gen_ai_names=True)
    collector(
        a_record(
            model_served="gpt-oss-120b-2",
            input_tokens=1000,
            output_tokens=5,
            duration_s=0.3,
            ttft_s=0.02,
        )
    )
    collector(a_record(outcome="failed", error_type="RateLimitError", duration_s=0.1))
    collector(a_record(outcome="cache_hit", input_tokens=7, output_tokens=7))
    collector(a_record(outcome="retried", input_tokens=7, output_tokens=7))
    called = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "cerebras",
        "gen_ai_request_model": "gpt-oss-120b",
        "gen_ai_response_model": "gpt-oss-120b-2",
    }
    usage = "gen_ai_client_token_usage"
    assert value(collector, f"{usage}_sum", gen_ai_token_type="input", **called) == 1000
    assert value(collector, f"{usage}_sum", gen_ai_token_type="output") == 5
    assert value(collector, f"{usage}_bucket", le="1024.0", **called) == 2
    assert value(collector, f"{usage}_bucket", le="256.0", **called) == 1
    duration = "gen_ai_client_operation_duration_seconds"
    assert value(collector, f"{duration}_sum", error_type="") == 0.3
    assert value(collector, f"{duration}_sum", error_type="RateLimitError") == 0.1
    first = "gen_ai_client_operation_time_to_first_chunk_seconds"
    assert value(collector, f"{first}_bucket", le="0.02", **called) == 1


# ---------------------------------------------------------------------------- budgets


class FixedBudget:
    """As much of a budget as the collector reads."""

    def __init__(self, name, *statuses):
        self.name = name
        self.statuses = statuses

    def status(self):
        return list(self.statuses)


class AwayBudget(FixedBudget):
    def status(self):
        raise ConnectionError("redis://:password@host is away")


def a_status(key, spent, *, limit="10", reserved="0", window="day", per="user"):
    return SimpleNamespace(
        per=per,
        key=key,
        window=window,
        limit=Decimal(limit),
        spent=Decimal(spent),
        reserved=Decimal(reserved),
    )


def test_budgets_show_where_they_stand():
    budget = FixedBudget("team", a_status("ann", "1.5", reserved="0.25"))
    collector = CostCollector(budgets=[budget])
    labels = {"budget": "team", "per": "user", "key": "ann", "window": "day"}
    assert value(collector, "cerebras_budget_limit_usd", **labels) == 10
    assert value(collector, "cerebras_budget_spent_usd", **labels) == 1.5
    assert value(collector, "cerebras_budget_reserved_usd", **labels) == 0.25
    assert value(collector, "cerebras_budget_readable", budget="team") == 1


def test_a_budget_that_cannot_be_read_spoils_nothing_and_tells_no_secret(caplog):
    collector = CostCollector(
        budgets=[AwayBudget("away"), FixedBudget("here", a_status("ann", "1"))]
    )
    collector(a_record())
    assert value(collector, "cerebras_calls_total") == 1
    assert value(collector, "cerebras_budget_readable", budget="away") == 0
    assert value(collector, "cerebras_budget_spent_usd", budget="here") == 1
    assert "'away'" in caplog.text
    assert "password" not in caplog.text


def test_of_many_keys_those_closest_to_their_limit_are_shown():
    statuses = [a_status(f"user-{number}", number) for number in range(10)]
    collector = CostCollector(
        budgets=[FixedBudget("team", *statuses)], max_label_values=2
    )
    shown = label_values(collector, "key", "cerebras_budget_spent_usd")
    assert shown == {"user-9", "user-8"}


def test_runs_share_a_series_which_is_that_of_the_dearest():
    runs = [a_status(None, spent, window="run", per="all") for spent in (1, 9, 3)]
    collector = CostCollector(budgets=[FixedBudget("each", *runs)])
    assert value(collector, "cerebras_budget_spent_usd") == 9


def test_two_budgets_of_one_name_give_no_series_twice():
    budgets = [
        FixedBudget("same", a_status("ann", "1")),
        FixedBudget("same", a_status("ann", "2"), a_status("bob", "1", limit="0")),
    ]
    collector = CostCollector(budgets=budgets)
    assert value(collector, "cerebras_budget_spent_usd", key="ann") == 2
    assert value(collector, "cerebras_budget_readable") == 1


# ---------------------------------------------------------------------------- threads


def test_threads_lose_nothing_while_others_scrape():
    collector = CostCollector(gen_ai_names=True)
    registry = CollectorRegistry()
    registry.register(collector)
    record = a_record(
        input_tokens=1, output_tokens=1, cost=Cost(input=Decimal("1e-12"))
    )
    stop = threading.Event()

    def work():
        for _ in range(500):
            collector(record)

    def scrape():
        while not stop.is_set():
            generate_latest(registry)

    workers = [threading.Thread(target=work) for _ in range(8)]
    reader = threading.Thread(target=scrape)
    reader.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    reader.join()
    assert value(collector, "cerebras_calls_total") == 4000
    assert value(collector, "cerebras_cost_usd_total") == 4000 * 1e-12
    assert value(collector, "cerebras_tokens_total") == 8000
