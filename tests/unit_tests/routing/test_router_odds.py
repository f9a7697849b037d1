"""Routers that travel, odd breakers, statuses without a class of their own."""

from __future__ import annotations

import copy
import pickle

import pytest
from scripted_model import ScriptedModel, Step

from langchain_cerebras_ext import errors
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._leg import Leg, Need, Seen
from langchain_cerebras_ext.routing.policy import kind_of
from langchain_cerebras_ext.routing.router import ChatRouter
from langchain_cerebras_ext.routing.strategies import Asked, Fastest, Weighted


def legs():
    return {name: ScriptedModel(label=name, script=[Step(name)]) for name in "ab"}


STRATEGIES = {
    "ordered": {},
    "cheapest": {"strategy": "cheapest"},
    "fastest": {"strategy": "fastest"},
    "weighted": {"strategy": "weighted", "weights": {"a": 0, "b": 1}},
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.filterwarnings("ignore::langchain_cerebras_ext.errors.CerebrasCostWarning")
def test_a_router_travels_whatever_its_strategy(name, used):
    router = ChatRouter(legs=legs(), **STRATEGIES[name])
    if used:
        router.invoke("hi")
    for made in (copy.deepcopy(router), pickle.loads(pickle.dumps(router))):
        assert made.invoke("hi").text in {"a", "b"}
        assert made.invoke("hi").response_metadata["router"]["strategy"] == name


def test_draws_go_on_in_a_copy_where_they_were():
    strategy = Weighted(seed=1)
    asked, two = Asked(Need()), [Leg(name, model) for name, model in legs().items()]
    strategy.order(two, asked)
    made = pickle.loads(pickle.dumps(strategy))
    draws = [
        [one.order(two, asked).legs[0].name for _ in range(20)]
        for one in (strategy, made)
    ]
    assert draws[0] == draws[1]


def test_what_was_measured_stays_behind():
    strategy = Fastest(explore=0)
    two = [Leg(name, model) for name, model in legs().items()]
    strategy.order(two, Asked(Need()))
    strategy.observe(Seen("a", 0.1, 30.0, 100, is_ok=True))
    assert strategy.speeds(two)["a"].weight > 0
    assert copy.deepcopy(strategy).speeds(two)["a"].weight == 0


@pytest.mark.parametrize("given", ["yes", 0.5, object])
def test_what_is_no_breaker_is_refused_at_once(given):
    with pytest.raises(CerebrasConfigurationError, match=r"breaker=.*admit"):
        ChatRouter(legs=legs(), breaker=given)


@pytest.mark.parametrize(
    ("status", "kind"), [(410, "not_served"), (425, "rate_limit"), (418, "unknown")]
)
def test_a_status_of_ours_without_a_class_is_known_by_its_number(status, kind):
    error = errors.CerebrasStatusError("odd", status_code=status)
    assert kind_of(error) == kind
