"""What a router remembers from one call to the next, and when it looks again."""

from __future__ import annotations

import pickle

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage

from langchain_cerebras_ext.catalog import register_model, unregister_model
from langchain_cerebras_ext.routing._leg import Leg, Need
from langchain_cerebras_ext.routing._target import Target
from langchain_cerebras_ext.routing.capabilities import Capabilities, LegCard, Size
from langchain_cerebras_ext.routing.router import ChatRouter

SHORT = LegCard(tools=True, images=False, context_tokens=1_000)
LONG = LegCard(tools=True, images=True, context_tokens=100_000)


def says(text: str) -> FakeListChatModel:
    return FakeListChatModel(responses=[text])


def no_model() -> FakeListChatModel:
    msg = "nobody asked for it"
    raise AssertionError(msg)


def of(words: int) -> Size:
    return Size([HumanMessage("word " * words)])


def test_a_copy_with_other_legs_of_the_same_names_asks_those():
    router = ChatRouter(legs={"a": says("old")})
    assert router.invoke("hi").content == "old"
    other = router.model_copy(update={"legs": {"a": says("new")}})
    assert other.invoke("hi").content == "new"
    assert router.invoke("hi").content == "old"


def test_a_prompt_that_does_not_fit_is_noticed_after_one_that_does():
    legs = (Leg("short", says("x")), Leg("long", says("x")))
    able = Capabilities(legs, can={"short": SHORT, "long": LONG})
    for _ in range(2):
        assert able.sift(legs, Need(), of(5)).able == legs
        found = able.sift(legs, Need(), of(5_000))
        assert found.able == legs[1:]
        assert list(found.lacks) == ["short"]


def test_each_need_is_judged_by_itself():
    legs = (Leg("short", says("x")), Leg("long", says("x")))
    able = Capabilities(legs, can={"short": SHORT, "long": LONG})
    for _ in range(2):
        assert able.sift(legs, Need(tools=True), of(5)).able == legs
        assert able.sift(legs, Need(images=True), of(5)).able == legs[1:]
        assert able.sift(legs, Need(input_tokens=50_000)).able == legs[1:]
        assert able.sift(legs, Need(input_tokens=50)).able == legs


def test_legs_of_another_router_are_judged_anew():
    legs = (Leg("short", says("x")), Leg("long", says("x")))
    able = Capabilities(can={"short": SHORT, "long": LONG})
    asked = list(legs)
    assert able.sift(asked, Need(), of(5)).able == legs
    del asked[0]
    assert able.sift(asked, Need(), of(5)).able == legs[1:]
    assert able.sift(legs[:1], Need(), of(5)).able == legs[:1]


def test_a_change_of_the_catalog_is_heeded():
    legs = (Leg("cerebras::house", None, Target("cerebras", "house"), make=no_model),)
    able = Capabilities()
    register_model({"id": "house", "context_tokens_paid": 100_000})
    try:
        assert able.sift(legs, Need(), of(5_000)).able == legs
        register_model({"id": "house", "context_tokens_paid": 1_000})
        assert able.sift(legs, Need(), of(5_000)).able == ()
    finally:
        unregister_model("house")
    assert able.sift(legs, Need(), of(5_000)).able == legs


def test_a_model_that_is_made_later_is_asked_what_it_can():
    made = FakeListChatModel(responses=["x"], profile={"tool_calling": False})
    leg = Leg("later", None, Target("openai", "later"), make=lambda: made)
    legs, able = (leg,), Capabilities()
    for _ in range(2):
        assert able.sift(legs, Need(tools=True), of(5)).able == legs
    assert leg.model is made
    assert able.sift(legs, Need(tools=True), of(5)).able == ()


def test_what_is_remembered_does_not_pile_up():
    legs = (Leg("long", says("x")),)
    able = Capabilities(legs, can={"long": LONG})
    for most in range(1, 500):
        assert able.sift(legs, Need(max_output_tokens=most), of(5)).able == legs
    assert len(able._kept) <= 64


def test_a_router_that_has_been_used_can_be_pickled():
    router = ChatRouter(legs={"a": says("hello")})
    router.invoke("hi")
    again = pickle.loads(pickle.dumps(router))
    assert again.invoke("hi").content == "hello"
