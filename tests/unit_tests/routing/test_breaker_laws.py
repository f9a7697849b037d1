"""What holds for the circuit whatever happens to it."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from langchain_cerebras_ext.errors import InternalServerError, RateLimitError
from langchain_cerebras_ext.routing._breaker_memory import Rules
from langchain_cerebras_ext.routing.breaker import CircuitBreaker, Passed

LEG = "leg"
PROBES = 2


class Life(RuleBasedStateMachine):
    """Calls come and go in any order, and time passes."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.changes = []
        self.breaker = CircuitBreaker(
            min_calls=3,
            window_s=10,
            open_s=5,
            max_open_s=40,
            probe_timeout_s=1_000,
            half_open_probes=PROBES,
            clock=lambda: self.now,
            on_change=lambda _leg, *change: self.changes.append(change),
        )
        self.held = []

    def state(self):
        return self.breaker.health([LEG])[LEG]

    @rule()
    def come(self):
        before = self.state()
        ticket = self.breaker.admit(LEG)
        passed = isinstance(ticket, Passed)
        if before["state"] == "closed":
            assert passed
        if before["retry_after_s"]:
            assert not passed
            assert ticket.retry_after_s == before["retry_after_s"]
        if passed:
            self.held.append(ticket)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 40.0]))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["ok", "bad", "429", "left"]))
    def go(self, data, how):
        ticket = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if how == "ok":
            ticket.succeed()
        elif how == "left":
            ticket.release()
        elif how == "429":
            ticket.fail(RateLimitError("x", status_code=429, retry_after_s=3.0))
        else:
            ticket.fail(InternalServerError("x", status_code=500))

    @invariant()
    def never_more_probes_than_allowed(self):
        if self.state()["state"] != "half-open":
            return
        epoch = self.breaker._leg(LEG).circuit.epoch
        probes = [one for one in self.held if one.is_probe and one.epoch == epoch]
        assert len(probes) <= PROBES

    @invariant()
    def changes_follow_one_another(self):
        allowed = {
            ("closed", "open"),
            ("open", "half-open"),
            ("half-open", "open"),
            ("half-open", "closed"),
        }
        assert set(self.changes) <= allowed
        for (_, after), (before, _) in pairwise(self.changes):
            assert after == before

    @invariant()
    def counts_are_counts(self):
        row = self.state()
        assert 0 <= row["slow_calls"] <= row["failures"] <= row["calls"]
        assert (row["retry_after_s"] or 0) <= 40


Life.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestLife = Life.TestCase


@settings(deadline=None)
@given(
    open_s=st.floats(0.1, 100),
    backoff=st.floats(1, 10),
    longer=st.floats(0, 1000),
    least_s=st.floats(0, 1e6),
)
def test_each_opening_is_no_shorter_than_the_one_before(
    open_s, backoff, longer, least_s
):
    rules = Rules(0.5, 30, 10, open_s, backoff, open_s + longer, 1, 120)
    waits = [rules.open_for_s(trips) for trips in range(1, 200)]
    assert waits == sorted(waits)
    assert waits[0] == open_s
    assert waits[-1] <= open_s + longer
    assert rules.open_for_s(1, least_s) == min(max(open_s, least_s), open_s + longer)
