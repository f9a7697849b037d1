"""A report counts calls, however many legs a router has asked for each."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import make_record

from langchain_cerebras_ext._metering import RouterCall
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.routing.experiment import Experiment

ARMS = {"a": 1, "b": 1}


def tries(number, *ends, arm="a", user="ada", usd="0.001"):
    """Return the records of one call."""
    call = RouterCall(f"call-{arm}-{number}")
    return [
        make_record(
            number,
            user=user,
            arm=f"legs/{arm}",
            outcome=outcome,
            cost=Cost(output=Decimal(usd)),
            run_id=f"run-{arm}-{number}-{at}",
            router_call_id=str(call),
            router_so_far=call.end_try(outcome),
        )
        for at, outcome in enumerate(ends)
    ]


def report(*calls, **options):
    records = [record for call in calls for record in call]
    return Experiment("legs", ARMS, **options).report(records)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["ok", "failed", "aborted"]), min_size=1, max_size=4),
        min_size=1,
        max_size=10,
    )
)
def test_success_is_the_share_of_calls_that_were_answered(many):
    arm = report(*(tries(number, *ends) for number, ends in enumerate(many))).arm("a")
    answered = sum("ok" in ends for ends in many)
    failed = sum("ok" not in ends and ends[-1] == "failed" for ends in many)
    assert (arm.calls, arm.tries) == (len(many), sum(map(len, many)))
    if answered + failed:
        found = arm.values["success"]
        assert found.calls == answered + failed
        assert abs(found.value - answered / found.calls) < 1e-9
    else:
        assert "success" not in arm.values


def test_what_all_tries_cost_is_the_price_of_the_answer():
    arm = report(tries(0, "failed", "ok"), tries(1, "aborted", "ok"), tries(2, "ok"))
    values = arm.arm("a").values
    found = values["cost_per_call"]
    assert abs(found.value - Decimal("0.005") / 3) < Decimal("1e-9")
    assert found.calls == 3


def test_a_call_of_nobody_known_is_one_unit():
    arm = report(tries(0, "failed", "ok", user=None), tries(1, "ok", user=None)).arm(
        "a"
    )
    assert (arm.units, arm.calls, arm.calls_without_unit) == (2, 2, 2)


def test_a_score_may_name_the_call_of_the_router():
    experiment = Experiment("legs", ARMS)
    experiment.record_score("call-a-0", 1)
    experiment.record_score("run-a-1-1", 0)
    records = [*tries(0, "ok"), *tries(1, "failed", "ok")]
    found = experiment.report(records).arm("a").values["score:score"]
    assert (found.value, found.calls) == (0.5, 2)


def test_tries_are_shown_beside_calls():
    text = report(tries(0, "failed", "ok"), tries(1, "ok", arm="b")).to_markdown()
    assert "| Arm | Units | Calls | Tries |" in text
    assert "| a | 1 | 1 | 2 |" in text
    assert "| b | 1 | 1 | 1 |" in text
