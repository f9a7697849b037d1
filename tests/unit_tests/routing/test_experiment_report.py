"""What a report says of records, to the digit; and that it never says nonsense."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from langchain_cerebras_ext.costs import CostTracker, Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import CerebrasConfigurationError, LedgerError
from langchain_cerebras_ext.routing.experiment import Experiment

START = datetime(2026, 11, 1, tzinfo=UTC)
ARMS = {"fast": 1, "smart": 1}


def make(arms=None, **options):
    return Experiment("greeting", arms or ARMS, **options)


def call(unit, arm, number=0, *, usd="0.001", **fields):
    values = {
        "started_at": START + timedelta(seconds=number),
        "model": "gpt-oss-120b",
        "user": unit,
        "arm": None if arm is None else f"greeting/{arm}",
        "run_id": f"run-{unit}-{number}",
        "trace_id": f"trace-{unit}-{number}",
        "duration_s": 1.0,
        "cost": None if usd is None else Cost(output=Decimal(usd)),
    }
    return UsageRecord(**{**values, **fields})


def traffic(users=60, *, factor=1.0, seed=1, arms=("fast", "smart")):
    """Calls of users of each arm; those of the others differ from the first's."""
    rng = random.Random(seed)
    found = []
    for arm in arms:
        scale = 1.0 if arm == arms[0] else factor
        for user in range(users):
            level = scale * rng.lognormvariate(0, 0.3)
            for number in range(rng.randint(1, 4)):
                usd = Decimal(0.0004 * level * rng.lognormvariate(0, 0.5))
                found.append(
                    call(
                        f"{arm}-{user}",
                        arm,
                        number,
                        usd=str(usd.quantize(Decimal("1e-12"))),
                        duration_s=level * rng.lognormvariate(0, 0.3),
                        ttft_s=0.2 * rng.lognormvariate(0, 0.2),
                        output_tokens_per_s=1_800 * rng.lognormvariate(0, 0.1),
                        outcome="ok" if rng.random() < 0.95 else "failed",
                    )
                )
    return found


def texts(report):
    """All that a person may get to see."""
    return "\n".join([str(report), report.to_markdown(), json.dumps(report.to_dict())])


# ----------------------------------------------------------------------------- values


def test_values_are_sums_over_sums_of_units():
    """Written out: alice has two calls, bob one; dave's arm is the other one."""
    records = [
        call("alice", "fast", 0, usd="0.001", duration_s=1.0, ttft_s=0.25),
        call("alice", "fast", 1, usd="0.003", duration_s=2.0),
        call("bob", "fast", 2, usd="0.002", duration_s=6.0, output_tokens_per_s=900.0),
        call("dave", "smart", 3, usd="0.010", outcome="failed", duration_s=9.0),
    ]
    report = make().report(records)
    fast = report.arm("fast").values
    assert fast["cost_per_call"].value == Decimal("0.002")
    assert fast["cost_per_unit"].value == Decimal("0.003")
    assert fast["duration_s"].value == 3.0
    assert (fast["ttft_s"].value, fast["ttft_s"].units) == (0.25, 1)
    assert fast["output_tokens_per_s"].value == 900.0
    assert (fast["success"].value, fast["success"].calls) == (1.0, 3)
    assert (report.arm("fast").units, report.arm("fast").calls) == (2, 3)
    smart = report.arm("smart").values
    assert smart["success"].value == 0.0
    assert "cost_per_call" not in smart  # nothing was answered
    assert smart["cost_per_unit"].value == Decimal("0.01")
    assert "duration_s" not in smart  # times of failures say nothing of the model
    assert report.arm("fast").totals.cost == Decimal("0.006")


def test_tries_cost_and_are_no_calls():
    records = [
        call("alice", "fast", 0, usd="0.001", outcome="retried"),
        call("alice", "fast", 1, usd="0.002"),
    ]
    arm = make().report(records).arm("fast")
    assert arm.values["cost_per_call"].value == Decimal("0.003")
    assert arm.values["success"].calls == arm.calls == 1


def test_a_leg_that_always_fails_does_not_make_its_arm_look_cheap():
    """The router asked another leg, whose answers cost what they cost elsewhere."""
    records = []
    for number in range(12):
        records += [
            call(f"f{number}", "fast", number),
            call(f"s{number}", "smart", number, usd="0", outcome="failed"),
            call(f"s{number}", "smart", number),
        ]
    cost = make().report(records).comparison("cost_per_call")
    assert (cost.verdict, cost.difference) == ("same", 0)


def test_differences_of_rounding_are_none():
    """0.1 + 0.2 is not 0.3, as floats go."""
    records = [call(f"f{n}", "fast", n, usd="0.3", duration_s=0.3) for n in range(12)]
    for number in range(12):
        records += [
            call(f"s{number}", "smart", k, usd=usd, duration_s=float(usd))
            for k, usd in enumerate(("0.1", "0.2", "0.6"))
        ]
    report = make().report(records)
    assert report.comparison("cost_per_call").verdict == "same"
    assert report.comparison("duration_s").verdict == "same"


def test_answers_from_the_cache_cost_nothing_and_say_nothing_of_times():
    records = [
        call("alice", "fast", 0, usd="0.004"),
        call("alice", "fast", 1, usd=None, outcome="cache_hit", duration_s=0.0),
    ]
    values = make().report(records).arm("fast").values
    assert values["cost_per_call"].value == Decimal("0.002")
    assert values["duration_s"].calls == 1
    assert values["success"].calls == 2


def test_calls_that_their_caller_left_are_neither_success_nor_failure():
    records = [call("a", "fast"), call("b", "fast", outcome="aborted")]
    assert make().report(records).arm("fast").values["success"].calls == 1


def test_unpriced_rows_are_left_out_and_named():
    records = [
        call("alice", "fast", 0, usd="0.004"),
        call("alice", "fast", 1, usd=None, flags=("unpriced",)),
    ]
    report = make().report(records)
    assert report.arm("fast").values["cost_per_call"].value == Decimal("0.004")
    assert any("1 rows have no price" in note for note in report.notes)


@pytest.mark.parametrize(
    ("key", "units"), [("user", 1), ("session", 2), ("run", 3)], ids=str
)
def test_units_are_what_the_key_says(key, units):
    records = [
        call("alice", "fast", number, session=f"s{number // 2}") for number in range(3)
    ]
    assert make(key=key).report(records).arm("fast").units == units


def test_units_of_a_function_are_users_unless_said_otherwise():
    records = [call("alice", "fast", number, node="n") for number in range(3)]
    experiment = make(key=lambda asked: asked.metadata["tenant"])
    assert experiment.report(records).arm("fast").units == 1
    by_run = experiment.report(records, unit_of=lambda record: record.run_id)
    assert by_run.arm("fast").units == 3


def test_calls_without_a_unit_count_as_units_and_are_named():
    records = [
        call(None, "fast", 0),
        call(None, "fast", 0, outcome="retried"),
        call(None, "fast", 1),
    ]
    report = make().report(records)
    assert (report.arm("fast").units, report.arm("fast").calls_without_unit) == (2, 2)
    assert any("2 calls have no unit" in note for note in report.notes)


def test_a_unit_in_two_arms_is_named():
    report = make().report([call("alice", "fast"), call("alice", "smart", 1)])
    assert any("1 units have calls in more than one arm" in n for n in report.notes)


def test_other_experiments_and_calls_without_an_arm_are_not_looked_at():
    records = [
        call("a", "fast"),
        call("b", None),
        call("c", "fast").replace(arm="greeting2/fast"),
        call("d", "fast").replace(arm="fast"),
    ]
    assert make().report(records).arm("fast").calls == 1


def test_an_arm_that_was_taken_out_is_still_reported():
    report = make().report([call("a", "fast"), call("b", "old", 1)])
    assert report.arm("old").share is None
    assert report.arm("old").calls == 1


def test_what_is_held_out_stands_apart_and_last():
    records = [call("a", "fast"), call("b", "holdout"), call("c", "smart")]
    report = make(holdout=0.1).report(records)
    assert [arm.name for arm in report.arms] == ["fast", "smart", "holdout"]
    assert report.holdout.calls == 1
    assert {one.arm for one in report.comparisons} == {"smart"}
    assert "holdout (held out)" in report.to_markdown()


def test_the_arms_can_be_compared_with_what_is_held_out():
    records = traffic(20, arms=("holdout", "fast", "smart"))
    report = make(holdout=0.1).report(records, baseline="holdout")
    assert {one.baseline for one in report.comparisons} == {"holdout"}
    assert {one.arm for one in report.comparisons} == {"fast", "smart"}


# ----------------------------------------------------------------------------- scores


@pytest.mark.parametrize(
    "run_id", ["run-alice-0", "trace-alice-0", "parent", "chatcmpl-7"]
)
def test_scores_are_joined_to_their_calls(run_id):
    experiment = make()
    experiment.record_score(run_id, 0.5, "stars")
    report = experiment.report(
        [call("alice", "fast", parent_run_id="parent", request_id="chatcmpl-7")]
    )
    value = report.arm("fast").values["score:stars"]
    assert (value.value, value.calls) == (0.5, 1)


def test_a_score_of_a_trace_counts_once_however_many_calls_it_has():
    experiment = make()
    experiment.record_score("trace", 1)
    records = [call("alice", "fast", n, trace_id="trace") for n in range(3)]
    assert experiment.report(records).arm("fast").values["score:score"].calls == 1


def test_scores_without_a_call_are_named_unless_only_a_part_is_looked_at():
    experiment = make()
    experiment.record_score("elsewhere", 1)
    records = [call("alice", "fast")]
    assert any("1 scores" in note for note in experiment.report(records).notes)
    part = experiment.report(records, since=START - timedelta(days=1))
    assert not any("scores" in note for note in part.notes)


def test_scores_of_0_and_1_are_rates_and_others_are_means():
    experiment = make()
    records = [call(f"u{number}", "fast", number) for number in range(12)]
    for record in records:
        experiment.record_score(record.run_id, record.run_id.endswith("1"))
        experiment.record_score(record.run_id, len(record.run_id), "length")
    report = experiment.report(records)
    measures = {info.name: info.measure for info in report.metrics}
    assert measures["score:score"] == "share"
    assert measures["score:length"] == "score"


# ---------------------------------------------------------------------------- sources


def test_a_ledger_and_records_tell_the_same(tmp_path):
    records = traffic(15)
    with Ledger(f"sqlite:///{tmp_path / 'costs.db'}") as ledger:
        for record in records:
            ledger.add(record)
        ledger.add(call("x", "fast").replace(arm="another/fast"))
        experiment = make(ledger=ledger)
        plain = make().report(records)
        assert make().report(ledger) == plain
        assert experiment.report() == plain
        experiment.record_score(records[0].run_id, 1)
        assert "score:score" in experiment.report().arm("fast").values
        assert make().report(iter(records)) == plain
    assert make().report(tmp_path / "costs.db") == plain
    assert make().report(f"sqlite:///{tmp_path / 'costs.db'}") == plain
    with pytest.raises(LedgerError, match="no ledger at"):
        make().report(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_one_metric_may_be_named_alone():
    report = make().report(traffic(12), metrics="success")
    assert [info.name for info in report.metrics] == ["success"]


def test_the_records_of_a_tracker_are_taken(monkeypatch):
    records = tuple(traffic(12))
    tracker = CostTracker()
    monkeypatch.setattr(CostTracker, "records", property(lambda _: records))
    assert make().report(tracker) == make().report(records)


def test_an_empty_ledger_has_no_calls(tmp_path):
    with Ledger(f"sqlite:///{tmp_path / 'costs.db'}") as ledger:
        report = make(ledger=ledger).report()
    assert report.words == ("No calls of experiment 'greeting' are among the records.",)


@pytest.mark.parametrize("kept", ["records", "ledger"])
def test_a_report_is_of_the_time_that_was_asked_for(kept, tmp_path):
    records = [call("a", "fast", 0), call("b", "fast", 60), call("c", "fast", 120)]
    options = {
        "since": START + timedelta(seconds=60),
        "until": START + timedelta(seconds=120),
    }
    with Ledger(f"sqlite:///{tmp_path / 'costs.db'}") as ledger:
        ledger.import_records(records)
        source = ledger if kept == "ledger" else records
        report = make().report(source, **options)
    assert report.arm("fast").calls == 1
    assert report.first_at == report.last_at == START + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"source": None}, "ledger="),
        ({"since": datetime(2026, 1, 1)}, "since=.*time zone"),  # noqa: DTZ001
        ({"baseline": "slow"}, "baseline='slow'"),
        ({"metrics": ["cost"]}, "metrics has 'cost'"),
        ({"confidence": 95}, "confidence=95"),
        ({"effect": 0}, "effect=0"),
        ({"rate_effect": 2}, "rate_effect=2"),
        ({"planned_units": 0}, "planned_units=0"),
        ({"resamples": 1}, "resamples=1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_a_wrong_argument_of_a_report_is_named(options, named):
    with pytest.raises(CerebrasConfigurationError, match=named):
        make().report(**{"source": [], **options})


# -------------------------------------------------------------------------- judgments


def test_a_clear_difference_is_said_plainly():
    report = make().report(traffic(150, factor=2.0))
    cost = report.comparison("cost_per_call")
    assert (cost.verdict, cost.holds_always) == ("worse", True)
    assert cost.difference > 0
    assert isinstance(cost.low, Decimal)
    assert cost.always_low < cost.low < cost.difference < cost.high < cost.always_high
    assert cost.words.startswith("Cost per answered call: `smart` costs ")
    assert "% more than `fast`" in cost.words
    assert cost.words.endswith("This holds however often one looks.")
    swapped = make().report(traffic(150, factor=2.0), baseline="smart")
    assert swapped.comparison("cost_per_call").verdict == "better"
    assert "% less than `smart`" in swapped.comparison("cost_per_call").words


def test_a_difference_that_only_a_planned_look_shows_is_said_to_be_one():
    report = make().report(traffic(60, factor=1.35), metrics=["duration_s"])
    found = report.comparison("duration_s")
    assert (found.verdict, found.holds_always) == ("worse", False)
    assert "the one look that was planned" in found.words
    assert "not settled yet" in found.words


def test_no_difference_says_how_many_more_units_would_show_one():
    report = make().report(traffic(30), metrics=["duration_s"], effect=0.05)
    found = report.comparison("duration_s")
    assert found.verdict == "open"
    assert found.more_units > 30
    assert "Not enough data: about " in found.words
    assert "more units per arm are needed to see a difference of" in found.words


def test_enough_data_without_a_difference_says_that_it_would_have_shown():
    report = make().report(traffic(150), metrics=["ttft_s"])
    found = report.comparison("ttft_s")
    assert (found.verdict, found.more_units) == ("open", 0)
    assert "would most likely have shown by now" in found.words


@pytest.mark.parametrize("users", [1, 2, 5, 9], ids=str)
def test_few_units_give_the_plain_statement(users):
    report = make().report(traffic(users))
    assert {one.verdict for one in report.comparisons} == {"too_few"}
    assert all("not enough data" in one.words for one in report.comparisons)
    assert all("Holm" not in line for line in report.words)


@pytest.mark.parametrize(
    ("fast", "smart", "said"),
    [
        (20, 9, "at least 1 more unit of `smart` is needed before"),
        (7, 20, "at least 3 more units of `fast` are needed before"),
        (7, 8, "at least 3 more units per arm are needed before"),
    ],
)
def test_the_arm_that_lacks_units_is_named(fast, smart, said):
    calls = [call(f"f{n}", "fast") for n in range(fast)]
    calls += [call(f"s{n}", "smart") for n in range(smart)]
    assert said in make().report(calls).comparisons[0].words


@pytest.mark.parametrize(
    "records",
    [
        [],
        [call("a", "fast")],
        [call("a", "fast", usd=None, duration_s=None)],
        [call("a", "fast", outcome="failed", usd=None), call("b", "smart")],
        [call(f"u{n}", "fast", n, usd="0") for n in range(20)],
        traffic(9),
        [*traffic(12), call("odd", "smart", 5, usd="999999")],
        traffic(12, arms=("fast", "smart", "wise", "holdout")),
    ],
    ids=["none", "one", "unknown", "failed", "free", "few", "heavy", "four"],
)
def test_no_report_shows_what_is_not_a_number(records):
    experiment = make({**ARMS, "wise": 1}, holdout=0.1)
    experiment.record_score("run-a-0", 1)
    shown = texts(experiment.report(records))
    json.loads(json.dumps(experiment.report(records).to_dict(), allow_nan=False))
    for word in ("nan", "inf ", "Infinity", "None", "E-"):
        assert word.lower() not in shown.split('{"experiment"')[0].lower(), word


def test_values_that_are_all_the_same_are_said_to_be():
    records = [
        call(f"{arm}{number}", arm, number, usd=usd)
        for arm, usd in (("fast", "0.001"), ("smart", "0.002"))
        for number in range(12)
    ]
    report = make().report(records)
    cost, time = (report.comparison(name) for name in ("cost_per_call", "duration_s"))
    assert (cost.verdict, cost.low, cost.holds_always) == ("worse", None, False)
    assert "so there is no interval" in cost.words
    assert time.verdict == "same"
    assert "are the same, 1 s in every call" in time.words
    # 12 of 12 is not taken for certain.
    success = report.comparison("success")
    assert -1 <= success.always_low < success.low < 0 < success.high


def test_one_call_that_makes_up_the_spread_is_named():
    records = [*traffic(20), call("odd", "smart", 5, usd="5")]
    assert any(
        "One unit of 'smart' alone" in note and "cost per answered call" in note
        for note in make().report(records).notes
    )


def test_a_split_that_does_not_fit_the_weights_is_named():
    records = [call(f"f{n}", "fast", n) for n in range(100)]
    records += [call(f"s{n}", "smart", n) for n in range(40)]
    assert any("not split as the weights" in n for n in make().report(records).notes)
    fair = make({"fast": 5, "smart": 2}).report(records)
    assert not any("not split" in note for note in fair.notes)


def test_several_arms_are_corrected_for_together():
    arms = ("fast", "smart", "wise")
    records = traffic(40, factor=1.3, arms=arms)
    experiment = make(dict.fromkeys(arms, 1))
    whole = experiment.report(records)
    alone = experiment.report(records, metrics=["duration_s"])
    assert len(alone.comparisons) == 2
    assert any("All 2 comparisons together" in line for line in alone.words)
    for arm in arms[1:]:
        one, other = (r.comparison("duration_s", arm) for r in (alone, whole))
        assert one.low == pytest.approx(other.low, rel=0.3)
        assert one.p_value <= other.p_value


def test_without_an_effect_the_whole_report_is_as_quiet_as_stated():
    """Six metrics and two other arms: 12 comparisons, one false alarm in 20 reports."""
    arms = ("fast", "smart", "wise")
    experiment = make(dict.fromkeys(arms, 1))
    runs = 24
    alarms = 0
    for seed in range(runs):
        report = experiment.report(traffic(15, seed=seed, arms=arms), resamples=400)
        alarms += any(one.verdict in {"better", "worse"} for one in report.comparisons)
    assert alarms <= 4  # 1.2 are expected, 4.4 are three standard errors more


def test_the_same_records_and_seed_give_the_same_report():
    records = traffic(20)
    first, again = (make().report(records, seed=3) for _ in range(2))
    assert first == again
    other = make().report(records, seed=4).comparison("duration_s")
    assert other.low != first.comparison("duration_s").low


def test_a_score_that_may_come_can_be_asked_for():
    report = make().report(traffic(12), metrics=["score:stars"])
    assert report.words == ("Score `stars`: nothing is known of `fast`, `smart` yet.",)


def test_a_page_has_words_warnings_and_tables():
    experiment = make(holdout=0.1)
    records = traffic(20, arms=("fast", "smart", "holdout"))
    page = experiment.report(records).to_markdown()
    assert page.startswith("# Experiment `greeting`\n")
    for part in ("## Before you trust it", "## Arms", "## Differences"):
        assert part in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in tables[:5]}) == 1


def test_names_cannot_break_a_page():
    experiment = make({"a|b": 1, "<script>": 1})
    records = [call("x", "a|b"), call("y", "<script>")]
    page = experiment.report(records).to_markdown()
    assert "<script>" not in page
    assert "a\\|b" in page
