"""The decision machine: what follows from events and time, without any I/O."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import (
    AllLegsFailedError,
    CerebrasTimeoutError,
    NoLegError,
)
from langchain_cerebras_ext.routing._plan import Ask, Done, Fail, Give, Plan, Wait
from langchain_cerebras_ext.routing.policy import FallbackPolicy

LEGS = ["a", "b", "c"]


def busy():
    return errors.RateLimitError("busy", status_code=429)


def wrong():
    return errors.BadRequestError("wrong", status_code=400)


def too_long():
    return errors.ContextLengthError("too long", status_code=400)


def plan(legs=LEGS, policy=None, **kwargs):
    return Plan(legs, policy or FallbackPolicy(), 0.0, **kwargs)


def outcomes(one):
    return [(each.leg, each.outcome, each.reason) for each in one.attempts()]


def test_the_first_leg_is_asked_and_its_answer_is_the_answer():
    one = plan()
    assert one.due(0.0) == Ask(0, 0)
    assert one.due(1.0) == Wait(None)
    assert one.ended(0, 2.0) == Done(0)
    assert outcomes(one) == [("a", "ok", None)]
    assert one.attempts()[0].elapsed_s == 2.0


def test_a_leg_of_whose_own_the_error_is_is_followed_by_the_next():
    one = plan()
    one.due(0.0)
    assert one.failed(0, busy(), 1.0) == Ask(1, 1)
    assert one.ended(1, 3.0) == Done(1)
    assert outcomes(one) == [("a", "failed", "rate_limit"), ("b", "ok", None)]
    assert [each.elapsed_s for each in one.attempts()] == [1.0, 2.0]
    assert one.attempts()[0].status_code == 429


def test_the_callers_mistake_is_raised_as_it_is():
    one, error = plan(), wrong()
    one.due(0.0)
    assert one.failed(0, error, 1.0) == Fail(error, midstream=False)


def test_when_all_have_failed_the_error_has_all_of_them():
    one, failures = plan(), [busy(), ConnectionError("gone"), busy()]
    one.due(0.0)
    for no, error in enumerate(failures):
        step = one.failed(no, error, no + 1.0)
    assert isinstance(step, Fail)
    error = step.error
    assert isinstance(error, AllLegsFailedError)
    assert error.errors == tuple(failures)
    assert error.__cause__ is failures[-1]
    assert [each.leg for each in error.legs] == LEGS
    assert "a: RateLimitError 429 (rate_limit) after 1.00 s" in str(error)
    assert "b: ConnectionError (network)" in str(error)


def test_when_none_can_be_asked_nothing_was_sent():
    one = plan(["a", "b"])
    one.skip(0, "takes no images", 0.0)
    assert one.due(0.0) == Ask(0 + 1, 1)
    step = one.refused(1, "circuit open", 0.0, retry_after_s=4.0)
    assert isinstance(step, Fail)
    assert isinstance(step.error, NoLegError)
    assert "a: skipped (takes no images)" in str(step.error)
    assert step.error.retry_after_s == 4.0
    assert step.error.is_retryable is True
    assert [each.outcome for each in step.error.legs] == ["skipped", "skipped"]


def test_what_all_legs_lack_will_be_lacking_tomorrow():
    one = plan(["a"])
    one.skip(0, "takes no images", 0.0)
    assert one.due(0.0).error.is_retryable is False


# ------------------------------------------------------------------------ context length


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [
        ({0: 8, 1: 4, 2: 16}, 2),
        ({0: 8, 1: 8, 2: 16}, 2),
        ({0: 8, 1: None, 2: 16}, 1),
        ({0: None, 1: 4, 2: 4}, 1),
        ({0: 8, 1: 16, 2: 32}, 1),
    ],
    ids=["smaller", "same", "unknown", "nothing known of the first", "in their order"],
)
def test_an_overflow_goes_to_a_larger_leg_if_asked(sizes, asked):
    policy = FallbackPolicy(on_context_overflow="larger")
    one = plan(policy=policy, size_of=sizes.get)
    one.due(0.0)
    step = one.failed(0, too_long(), 1.0)
    assert isinstance(step, Ask)
    assert step.leg == asked


def test_an_overflow_without_a_larger_leg_is_raised_as_it_is():
    policy = FallbackPolicy(on_context_overflow="larger")
    one, error = plan(policy=policy, size_of={0: 8, 1: 8, 2: 4}.get), too_long()
    one.due(0.0)
    assert one.failed(0, error, 1.0) == Fail(error)
    assert outcomes(one)[1:] == [
        ("b", "skipped", "no larger context than a"),
        ("c", "skipped", "no larger context than a"),
    ]


def test_an_overflow_stops_unless_asked():
    one, error = plan(size_of={0: 8, 1: 16, 2: 32}.get), too_long()
    one.due(0.0)
    assert one.failed(0, error, 1.0) == Fail(error)


# ----------------------------------------------------------------------------- midstream


def spoken(**kwargs):
    one = plan(**kwargs)
    one.due(0.0)
    assert one.spoke(0, 1.0) == Give(0)
    return one


@pytest.mark.parametrize("option", ["raise", "restart", "buffer"])
@pytest.mark.parametrize("can_restart", [True, False])
@pytest.mark.parametrize("is_held", [True, False])
@pytest.mark.parametrize("make", [busy, wrong], ids=["busy", "wrong"])
def test_a_failure_after_the_first_token(option, can_restart, is_held, make):
    """The next leg is asked only if nothing was handed on, or it can be called back."""
    one = spoken(policy=FallbackPolicy(on_midstream=option), is_held=is_held)
    error = make()
    step = one.failed(0, error, 2.0, can_restart=can_restart)
    moves_on = make is busy and (is_held or (option == "restart" and can_restart))
    if moves_on:
        assert step == Ask(1, 1)
        assert one.restarts == (0 if is_held else 1)
    else:
        assert step == Fail(error, midstream=not is_held)
        assert one.restarts == 0


def test_there_is_no_restart_without_another_leg():
    error = busy()
    one = spoken(legs=["a"], policy=FallbackPolicy(on_midstream="restart"))
    assert one.failed(0, error, 2.0, can_restart=True) == Fail(error, midstream=True)


def test_an_error_after_the_end_is_one_of_the_stream():
    """A handler may raise when it is told of the end."""
    one, error = spoken(), busy()
    one.ended(0, 2.0)
    assert one.failed(0, error, 3.0) == Fail(error, midstream=True)


# ------------------------------------------------------------------------------- hedging


def test_a_second_leg_is_asked_when_the_first_is_silent():
    one = plan(hedge_after_s=2.0)
    assert one.due(0.0) == Ask(0, 0)
    assert one.due(0.0) == Wait(2.0)
    assert one.due(1.9) == Wait(2.0)
    assert one.due(2.0) == Ask(1, 1)
    assert one.due(9.0) == Wait(None)  # two at once, never three
    assert one.spoke(1, 9.0) == Give(1)
    assert one.ended(1, 10.0) == Done(1)
    assert outcomes(one) == [("a", "hedged", "b was faster"), ("b", "ok", None)]


def test_a_first_token_ends_the_wait_for_a_hedge():
    one = plan(hedge_after_s=2.0)
    one.due(0.0)
    assert one.spoke(0, 1.0) == Give(0)
    assert one.due(100.0) == Wait(None)


def test_what_a_loser_brings_changes_nothing():
    one = plan(hedge_after_s=2.0)
    one.due(0.0)
    one.due(2.0)
    one.spoke(1, 3.0)
    assert one.failed(0, wrong(), 4.0) == Wait(None)
    assert one.spoke(0, 4.0) == Wait(None)
    assert one.ended(0, 4.0) == Wait(None)
    assert one.given == 1


def test_a_loser_is_asked_again_if_the_winner_fails_unheard():
    one = plan(["a", "b"], hedge_after_s=2.0, is_held=True)
    one.due(0.0)
    one.due(2.0)
    one.spoke(1, 3.0)
    assert one.failed(1, busy(), 4.0) == Ask(2, 0)


def test_a_hedge_that_is_set_up_wrongly_does_not_spoil_the_first():
    one, error = (
        plan(hedge_after_s=2.0),
        errors.AuthenticationError("no", status_code=401),
    )
    one.due(0.0)
    one.due(2.0)
    assert one.failed(1, error, 3.0) == Wait(None)
    assert one.due(50.0) == Wait(None)  # and nobody else is asked
    assert one.ended(0, 60.0) == Done(0)


def test_if_the_other_fails_as_well_the_mistake_is_raised():
    one, error = plan(hedge_after_s=2.0), wrong()
    one.due(0.0)
    one.due(2.0)
    one.failed(1, error, 3.0)
    assert one.failed(0, busy(), 4.0) == Fail(error)


def test_the_third_is_asked_in_time_after_one_of_two_has_failed():
    one = plan(hedge_after_s=2.0)
    one.due(0.0)
    one.due(2.0)
    assert one.failed(0, busy(), 2.5) == Wait(4.0)
    assert one.due(4.0) == Ask(2, 2)


# ------------------------------------------------------------------------ total deadline


def test_nothing_goes_on_after_the_deadline():
    one = plan(total_timeout=5.0)
    one.due(0.0)
    assert one.due(1.0) == Wait(5.0)
    step = one.due(5.0)
    assert isinstance(step, Fail)
    assert isinstance(step.error, CerebrasTimeoutError)
    assert (step.error.kind, step.error.timeout_s) == ("total", 5.0)
    assert outcomes(one) == [("a", "cancelled", "total_timeout")]


def test_a_leg_that_fails_at_the_deadline_is_not_followed_by_another():
    one, first = plan(total_timeout=5.0), busy()
    one.due(0.0)
    step = one.failed(0, first, 5.0)
    assert isinstance(step.error, CerebrasTimeoutError)
    assert step.error.__cause__ is first


def test_the_deadline_holds_for_what_has_begun_to_speak():
    one = spoken(total_timeout=5.0)
    assert one.due(2.0) == Wait(5.0)
    assert one.due(6.0).midstream is True


def test_the_caller_who_leaves_cancels_what_is_under_way():
    one = plan(hedge_after_s=1.0)
    one.due(0.0)
    one.due(1.0)
    one.left(1.5)
    assert outcomes(one) == [
        ("a", "cancelled", "the caller left"),
        ("b", "cancelled", "the caller left"),
    ]
    assert one.under_way() == []


# ---------------------------------------------------------------------------- properties

ERRORS = st.sampled_from([busy, wrong, too_long, ConnectionError, ValueError])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["spoke", "ended", "failed", "refused", "time"]),
        st.integers(0, 5),
        ERRORS,
        st.floats(0.0, 3.0),
        st.booleans(),
    ),
    max_size=30,
)
POLICIES = st.builds(
    FallbackPolicy,
    on_midstream=st.sampled_from(["raise", "restart", "buffer"]),
    on_context_overflow=st.sampled_from(["stop", "larger"]),
)


class Course:
    """Drives a plan as the loops do, and keeps what it says."""

    def __init__(self, legs, policy, hedge, total, is_held):
        self.plan = Plan(
            [str(leg) for leg in range(legs)],
            policy,
            0.0,
            hedge_after_s=hedge,
            total_timeout=total,
            size_of=lambda leg: leg,
            is_held=is_held,
        )
        self.now = 0.0
        self.steps = []
        self.take(self.plan.due(0.0))

    def take(self, step):
        self.steps.append(step)
        while isinstance(step, (Ask, Give)) and len(self.steps) < 200:
            if isinstance(step, Ask) and step.no not in self.plan.under_way():
                break
            step = self.plan.due(self.now)
            self.steps.append(step)

    @property
    def is_over(self):
        return isinstance(self.steps[-1], (Done, Fail))

    def tell(self, event, pick, make, elapsed, can_restart):
        self.now += elapsed
        under_way = self.plan.under_way()
        if event == "time" or not under_way:
            self.take(self.plan.due(self.now))
            return
        no = under_way[pick % len(under_way)]
        if event == "spoke":
            self.take(self.plan.spoke(no, self.now))
        elif event == "ended":
            self.take(self.plan.ended(no, self.now))
        elif event == "refused" and self.plan.given != no:
            self.take(self.plan.refused(no, "circuit open", self.now))
        else:
            self.take(self.plan.failed(no, make(), self.now, can_restart=can_restart))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    POLICIES,
    st.one_of(st.none(), st.floats(0.1, 2.0)),
    st.one_of(st.none(), st.floats(0.5, 10.0)),
    st.booleans(),
    EVENTS,
)
def test_whatever_happens_the_plan_keeps_its_laws(
    legs, policy, hedge, total, is_held, events
):
    course = Course(legs, policy, hedge, total, is_held)
    for event in events:
        if course.is_over:
            break
        course.tell(*event)
        _check_laws(course, hedge, total, is_held)
    asks = [step for step in course.steps if isinstance(step, Ask)]
    assert [step.no for step in asks] == sorted({step.no for step in asks})
    # A leg is asked twice only if it had lost a race.
    lost = sum(each.outcome == "hedged" for each in course.plan.attempts())
    assert len(asks) <= legs + lost


def _check_laws(course, hedge, total, is_held):
    plan, last = course.plan, course.steps[-1]
    under_way = plan.under_way()
    assert len(under_way) <= (1 if hedge is None else 2)
    if isinstance(last, Wait):
        assert under_way, "nobody to wait for"
        assert last.until is None or total is None or last.until <= total
        assert total is None or course.now < total
    if isinstance(last, Done):
        assert plan.given == last.no
        assert under_way == []
        assert [each.outcome for each in plan.attempts()].count("ok") == 1
    if isinstance(last, Fail):
        assert isinstance(last.error, BaseException)
        assert not (last.midstream and is_held), "nothing was handed on"
    if plan.given is not None:
        assert set(under_way) <= {plan.given}, "two answers at once"


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), POLICIES, EVENTS)
def test_after_an_answer_was_handed_on_no_other_is_without_a_restart(
    legs, policy, events
):
    """The law of no splice: a second `Give` or `Done` is of the same try, or marked."""
    course = Course(legs, policy, 0.5, None, False)
    spoken_by, restarts = None, 0
    for event in events:
        if course.is_over:
            break
        course.tell(*event)
        if course.plan.given not in {None, spoken_by}:
            if spoken_by is not None:
                assert course.plan.restarts > restarts
                assert policy.on_midstream == "restart"
            spoken_by, restarts = course.plan.given, course.plan.restarts


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), POLICIES, EVENTS)
def test_the_same_events_lead_to_the_same_steps(legs, policy, events):
    first, second = (Course(legs, policy, 0.7, 6.0, False) for _ in range(2))
    for event in events:
        for course in (first, second):
            if not course.is_over:
                course.tell(*event)
    assert [type(step) for step in first.steps] == [type(step) for step in second.steps]
    assert [
        (each.leg, each.outcome, each.reason) for each in first.plan.attempts()
    ] == [(each.leg, each.outcome, each.reason) for each in second.plan.attempts()]
