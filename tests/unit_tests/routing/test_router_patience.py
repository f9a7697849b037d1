"""How long a leg may wait for retries of its own, where others can answer."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from call_paths import BETA, call
from langchain_core.runnables import RunnableLambda
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.retry import Patience, patience
from langchain_cerebras_ext.routing.router import ChatRouter

pytestmark = BETA

WAYS = ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
each_way = pytest.mark.parametrize("way", WAYS)


class Watching(ScriptedModel):
    """Keeps how much patience it was asked with."""

    seen_patience: list[Patience | None] = []  # noqa: RUF012 - a field

    def _next(self, messages, stop, kwargs):
        self.seen_patience.append(patience.get())
        return super()._next(messages, stop, kwargs)


def busy():
    return errors.RateLimitError("busy", status_code=429)


def legs(*scripts):
    return {
        name: Watching(label=name, script=script, seen_patience=[])
        for name, script in zip("abc", scripts, strict=False)
    }


def held(models):
    return [one for model in models.values() for one in model.seen_patience]


@each_way
def test_a_leg_may_wait_for_a_second_while_others_are_left_and_the_last_for_ever(way):
    models = legs([busy()], [busy()], [Step()])
    call(way, ChatRouter(legs=models))
    assert held(models) == [Patience(1.0), Patience(1.0), None]
    assert patience.get() is None


@each_way
@pytest.mark.parametrize(
    ("longest", "first"), [(None, None), (0, Patience(0)), (7.5, Patience(7.5))]
)
def test_how_long_is_for_you_to_say(way, longest, first):
    models = legs([busy()], [Step()])
    call(way, ChatRouter(legs=models, max_retry_wait=longest))
    assert held(models) == [first, None]


@each_way
def test_no_wait_goes_beyond_the_total_deadline_not_even_the_last_legs(way):
    models = legs([busy()], [Step()])
    before = time.monotonic()
    call(way, ChatRouter(legs=models, total_timeout=60.0))
    after = time.monotonic()
    first, last = held(models)
    assert (first.longest_s, last.longest_s) == (1.0, None)
    for one in (first, last):
        assert before + 60.0 <= one.until <= after + 60.0
    assert patience.get() is None


def test_the_deadline_is_told_by_the_clock_that_retries_look_at():
    models = legs([Step()])
    router = ChatRouter(legs=models, total_timeout=60.0)
    router._route = replace(router._route, clock=lambda: 5_000_000.0)
    before = time.monotonic()
    router.invoke("hi")
    (one,) = held(models)
    assert before + 60.0 <= one.until <= time.monotonic() + 60.0


@each_way
@pytest.mark.parametrize(
    ("inner", "outer", "first", "second"),
    [
        (3.0, 0.5, 0.5, 0.5),
        (0.5, 3.0, 0.5, 3.0),
        (None, 2.0, 2.0, 2.0),
    ],
)
def test_of_a_router_in_a_router_the_narrower_holds(way, inner, outer, first, second):
    models = legs([busy()], [busy()])
    within = ChatRouter(legs=models, max_retry_wait=inner)
    last = Watching(label="z", script=[Step()], seen_patience=[])
    router = ChatRouter(legs={"in": within, "z": last}, max_retry_wait=outer)
    call(way, router)
    assert held(models) == [Patience(first), Patience(second)]
    assert last.seen_patience == [None]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_who_reads_a_stream_is_not_hurried_by_it(way):
    models = legs([Step()], [Step()])
    router = ChatRouter(legs=models)
    found = []

    def look(chunk):
        found.append(patience.get())
        return chunk

    chain = router | RunnableLambda(look)
    call(way, chain)
    assert found == [None]
    if way == "stream":
        for _ in router.stream("hi"):
            found.append(patience.get())
    assert set(found) == {None}
    assert held(models)[0] == Patience(1.0)


@each_way
def test_after_a_failure_all_is_as_it_was(way):
    models = legs([ValueError("odd")], [Step()])
    with pytest.raises(ValueError, match="odd"):
        call(way, ChatRouter(legs=models, stop_for=[ValueError]))
    assert patience.get() is None


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_a_wait_is_no_less_than_nothing(bad):
    with pytest.raises(CerebrasConfigurationError, match="max_retry_wait"):
        ChatRouter(legs=legs([Step()]), max_retry_wait=bad)


def test_a_copy_may_have_another_patience():
    models = legs([busy()], [Step()])
    router = ChatRouter(legs=models).model_copy(update={"max_retry_wait": 4.0})
    router.invoke("hi")
    assert held(models) == [Patience(4.0), None]
