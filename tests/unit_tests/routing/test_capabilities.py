"""What requests need, what legs can, and what they are said to lack."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_cerebras_ext import ChatCerebras, _tokens
from langchain_cerebras_ext.catalog import (
    get_model,
    register_model,
    unregister_model,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._leg import Leg, Need
from langchain_cerebras_ext.routing._target import Target
from langchain_cerebras_ext.routing.capabilities import (
    Capabilities,
    LegCard,
    Size,
    common_profile,
    describe_lacks,
    need_of,
)

ALL = {
    "tool_calling": True,
    "structured_output": True,
    "image_inputs": True,
    "max_input_tokens": 200_000,
    "max_output_tokens": 64_000,
}


class Foreign(FakeListChatModel):
    """A model of another company, which has a profile."""

    @property
    def _llm_type(self):
        return "foreign"


def foreign(name="acme::big", profile=ALL):
    return Leg(name, Foreign(responses=["x"], profile=profile))


def cerebras(model="gpt-oss-120b"):
    target = Target("cerebras", model)
    return Leg(str(target), target=target, make=never)


def never():
    pytest.fail("a model was made to see what it can")


IMAGE = HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])


# ------------------------------------------------------------------- what is needed


@pytest.mark.parametrize(
    ("messages", "options", "expected"),
    [
        (["x"], {}, Need()),
        (["x"], {"tools": [{}]}, Need(tools=True)),
        (["x"], {"kwargs": {"tools": [{}]}}, Need(tools=True)),
        (["x"], {"kwargs": {"tools": []}}, Need()),
        (["x"], {"stream": True}, Need(stream=True)),
        (["x"], {"structured": True}, Need(structured=True)),
        (
            ["x"],
            {"kwargs": {"response_format": {"type": "json_object"}}},
            Need(structured=True, response_format="json_object"),
        ),
        (
            ["x"],
            {"kwargs": {"response_format": {"type": "json_schema"}}},
            Need(structured=True, response_format="json_schema"),
        ),
        (
            ["x"],
            {"kwargs": {"response_format": LegCard}},
            Need(structured=True, response_format="json_schema"),
        ),
        (["x"], {"kwargs": {"response_format": {"type": "text"}}}, Need()),
        (
            ["x"],
            {"kwargs": {"ls_structured_output_format": {}, "max_tokens": 7}},
            Need(max_output_tokens=7),
        ),
        (["x"], {"kwargs": {"max_completion_tokens": 9}}, Need(max_output_tokens=9)),
        (["x"], {"kwargs": {"max_tokens": -1}}, Need()),
        ([IMAGE], {}, Need(images=True)),
        ([[{"type": "text", "text": "x"}]], {}, Need()),
    ],
)
def test_a_request_says_what_it_needs(messages, options, expected):
    made = [m if isinstance(m, HumanMessage) else HumanMessage(m) for m in messages]
    assert need_of(made, **options) == expected


def test_tokens_are_not_counted_to_say_it(monkeypatch):
    monkeypatch.setattr(_tokens, "count_message_tokens", never)
    assert need_of([HumanMessage("x" * 1000)]).input_tokens is None


# --------------------------------------------------------------------- what legs can


def test_the_catalog_says_what_cerebras_models_can_without_making_one():
    card = Capabilities().card(cerebras())
    model = get_model("gpt-oss-120b")
    assert card.tools is model.capabilities.tools is True
    assert card.images is False
    assert card.context_tokens == model.context_tokens_paid
    assert card.source == "the catalog's card of gpt-oss-120b"


@pytest.mark.parametrize("name", ["gpt-oss-120b", "cerebras/gpt-oss-120b"])
def test_a_model_that_was_handed_over_is_looked_up_as_well(name):
    leg = Leg("mine", ChatCerebras(model=name, api_key="csk-unused"))
    assert Capabilities().card(leg).source == "the catalog's card of gpt-oss-120b"


def test_the_catalog_is_seen_from_a_day():
    leg = cerebras("qwen-3-coder-480b")
    early = Capabilities(on=date(2024, 1, 1)).card(leg)
    assert early.source == "the catalog's card of qwen-3-coder-480b"


def test_the_profile_says_what_others_can():
    card = Capabilities().card(foreign())
    assert (card.tools, card.images, card.structured) == (True, True, True)
    assert (card.context_tokens, card.max_output_tokens) == (200_000, 64_000)
    assert card.source == "LangChain's profile"


def test_what_nobody_knows_is_none():
    card = Capabilities().card(foreign(profile=None))
    assert card == LegCard()


def test_what_you_say_wins_over_both():
    can = {"acme::big": {"images": False, "context_tokens": 100}}
    card = Capabilities(can=can).card(foreign())
    assert (card.images, card.tools) == (False, True)
    assert card.context_tokens == card.safe_context_tokens == 100
    assert card.source == "your can= for acme::big, and LangChain's profile"
    whole = LegCard(tools=False, source="me")
    assert Capabilities(can={"acme::big": whole}).card(foreign()) is whole


def test_a_model_that_cannot_be_made_is_not_known():
    def broken():
        raise ImportError("langchain-acme")

    leg = Leg("acme::x", target=Target("openai", "x"), make=broken)
    assert Capabilities().card(leg) == LegCard()


def test_a_model_is_not_made_to_sift():
    leg = Leg("acme::x", target=Target("openai", "x"), make=never)
    found = Capabilities().sift([leg], Need(tools=True))
    assert found.able == (leg,)
    assert found.doubts == {"acme::x": ("perhaps does not call tools",)}


def test_cards_follow_the_catalog_when_it_changes():
    able, leg = Capabilities(), cerebras("house-model")
    assert able.card(leg, make=False) == LegCard()
    register_model({"id": "house-model", "capabilities": {"vision": True}})
    try:
        first = able.card(leg)
        assert first.images is True
        assert able.card(leg) is first
    finally:
        unregister_model("house-model")
    assert able.card(leg, make=False) == LegCard()


@pytest.mark.parametrize(
    ("can", "said"),
    [
        ({"nobody": {}}, "there is no such leg"),
        ({"acme::big": {"tool": True}}, "there is no 'tool'"),
        ({"acme::big": {"tools": 1}}, "tools=1 must be True or False"),
        ({"acme::big": {"context_tokens": True}}, "a whole number above 0"),
        ({"acme::big": {"context_tokens": 0}}, "a whole number above 0"),
        ({"acme::big": "all"}, "a LegCard or a mapping"),
    ],
)
def test_what_you_say_is_checked(can, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        Capabilities([foreign()], can=can)


def test_another_word_for_unknown_is_refused():
    with pytest.raises(CerebrasConfigurationError, match="'allow' or 'refuse'"):
        Capabilities(unknown="perhaps")


# --------------------------------------------------------------------- what they lack


@pytest.mark.parametrize(
    ("card", "need", "lacks"),
    [
        ({"images": False}, Need(images=True), ["takes no images"]),
        ({"images": False}, Need(), []),
        ({"tools": False}, Need(tools=True), ["does not call tools"]),
        (
            {"tools": False, "structured_outputs": False},
            Need(structured=True),
            ["cannot answer by a schema"],
        ),
        ({"tools": True, "structured_outputs": False}, Need(structured=True), []),
        ({"tools": False, "structured_outputs": True}, Need(structured=True), []),
        (
            {"tools": True, "structured_outputs": False},
            Need(structured=True, response_format="json_schema"),
            ["takes no response_format 'json_schema'"],
        ),
        (
            {"json_mode": False, "tools": True},
            Need(structured=True, response_format="json_object"),
            ["takes no response_format 'json_object'"],
        ),
        (
            {"tools": True, "structured_outputs": True}
            | {"tools_with_response_format": False},
            Need(tools=True, structured=True, response_format="json_schema"),
            ["does not take tools together with a response_format"],
        ),
        (
            {"tools": True, "tools_with_response_format": False},
            Need(tools=True, structured=True),
            [],
        ),
        ({"streaming": False}, Need(stream=True), ["does not stream"]),
        (
            {"tools": True, "streaming_with_tools": False},
            Need(tools=True, stream=True),
            ["does not stream tool calls"],
        ),
        ({"tools": True, "streaming_with_tools": False}, Need(tools=True), []),
        (
            {"structured_outputs": True, "streaming_with_json_schema": False},
            Need(structured=True, stream=True, response_format="json_schema"),
            ["does not stream answers by a schema"],
        ),
        (
            {"tools": True, "streaming_with_json_object": False},
            Need(structured=True, stream=True, response_format="json_object"),
            ["does not stream response_format 'json_object'"],
        ),
        (
            {"tools": False, "images": False},
            Need(tools=True, images=True),
            ["takes no images", "does not call tools"],
        ),
    ],
)
def test_a_leg_is_said_to_lack_what_it_lacks(card, need, lacks):
    leg = foreign()
    able = Capabilities(can={leg.name: LegCard(**card)})
    assert list(able.lacks(leg, need)) == lacks
    found = able.sift([leg], need)
    assert found.able == (() if lacks else (leg,))
    assert found.lacks == ({leg.name: tuple(lacks)} if lacks else {})


@pytest.mark.parametrize(
    "need",
    [Need(tools=True), Need(images=True), Need(structured=True)],
    ids=["tools", "images", "structured"],
)
def test_what_is_not_known_is_allowed_and_said_or_refused(need):
    leg = foreign(profile=None)
    found = Capabilities().sift([leg], need)
    assert found.able == (leg,)
    assert found.doubts[leg.name][0].startswith("perhaps ")
    refused = Capabilities(unknown="refuse").sift([leg], need)
    assert refused.able == ()
    assert refused.lacks[leg.name][0].startswith("perhaps ")


def test_a_request_for_nothing_special_suits_all():
    legs = [cerebras(), foreign(), foreign("acme::small", None)]
    found = Capabilities(unknown="refuse").sift(legs, Need(), Size([HumanMessage("x")]))
    assert found.able == tuple(legs)
    assert found.lacks == found.doubts == {}


def test_the_catalogs_models_lack_what_they_are_known_to_lack():
    able = Capabilities()
    gpt, qwen = cerebras("gpt-oss-120b"), cerebras("qwen-3.8-27b")
    assert able.sift([gpt, qwen], Need(images=True)).able == (qwen,)
    both = Need(tools=True, structured=True, response_format="json_schema")
    assert "together with" in able.lacks(gpt, both)[0]
    stream = Need(stream=True, structured=True, response_format="json_object")
    assert able.sift([gpt, qwen], stream).able == ()


def test_lacks_are_told_in_one_sentence():
    told = describe_lacks({"a": ("takes no images", "does not stream"), "b": ("x",)})
    assert told == (
        "No leg can take this request (a: takes no images, does not stream; b: x)."
    )
    assert describe_lacks({}) == "There is no leg."


# -------------------------------------------------------------------------- windows


def windows(**tokens):
    """Return legs that hold so many tokens, and what knows it."""
    legs = [foreign(name, None) for name in tokens]
    can = {
        name: LegCard(context_tokens=count, tools=True)
        for name, count in tokens.items()
        if count
    }
    return legs, Capabilities(can=can)


def names(found):
    return [leg.name for leg in found.able]


def test_a_prompt_goes_only_to_legs_that_hold_it():
    legs, able = windows(small=1_000, large=100_000)
    found = able.sift(legs, Need(input_tokens=50_000))
    assert names(found) == ["large"]
    assert found.lacks == {
        "small": ("holds 1,000 tokens, and the prompt has about 50,000",)
    }


def test_the_answer_needs_room_too():
    legs, able = windows(small=10_000, large=100_000)
    found = able.sift(legs, Need(input_tokens=8_000, max_output_tokens=4_000))
    assert names(found) == ["large"]
    assert found.lacks["small"][0].endswith("about 8,000 and 4,000 for the answer")


def test_a_prompt_that_may_fit_is_tried_where_no_other_leg_holds_it():
    legs, able = windows(small=1_000, smaller=500)
    found = able.sift(legs, Need(input_tokens=1_100))
    assert names(found) == ["small"]
    assert set(found.doubts) == {"small"}
    assert set(found.lacks) == {"smaller"}


def test_a_window_that_is_not_known_holds_everything():
    legs, able = windows(small=1_000, unknown=None)
    assert names(able.sift(legs, Need(input_tokens=50_000))) == ["unknown"]


def test_an_answer_that_is_longer_than_a_leg_gives_prefers_another_leg():
    legs = [foreign("short", None), foreign("long", None)]
    can = {"short": {"max_output_tokens": 100}, "long": {"max_output_tokens": 9_000}}
    able = Capabilities(can=can)
    need = Need(max_output_tokens=500)
    assert names(able.sift(legs, need)) == ["long"]
    assert names(able.sift(legs[:1], need)) == ["short"]


def test_larger_legs_are_those_that_hold_more_or_may():
    legs, able = windows(a=1_000, b=5_000, c=None, d=1_000)
    assert [leg.name for leg in able.larger(legs, legs[0])] == ["b", "c"]
    assert able.context_tokens(legs[1]) == 5_000


def test_where_sources_disagree_the_larger_number_refuses_and_the_smaller_is_sure():
    leg = cerebras("qwen-3.8-27b")
    able = Capabilities()
    card = able.card(leg)
    assert card.safe_context_tokens < card.context_tokens
    between = Need(input_tokens=(card.safe_context_tokens + card.context_tokens) // 2)
    assert able.lacks(leg, between) == ()
    other, sure = cerebras("gpt-oss-120b"), able.sift([leg, cerebras()], between)
    assert [one.name for one in sure.able] == [other.name]


# --------------------------------------------------------------------------- counting


def test_a_short_prompt_is_not_counted(monkeypatch):
    monkeypatch.setattr(_tokens, "count_message_tokens", never)
    size = Size([SystemMessage("be brief"), HumanMessage("word " * 1000)])
    assert Capabilities().sift([cerebras()], Need(), size).able


def test_a_long_prompt_is_counted_once_for_each_vocabulary(monkeypatch):
    counted = []

    def count(messages, model, tools):
        counted.append(model)
        return 150_000

    monkeypatch.setattr(_tokens, "count_message_tokens", count)
    size = Size([HumanMessage("word " * 100_000)])
    legs, able = [cerebras(), cerebras(), cerebras("zai-glm-4.7")], Capabilities()
    for _ in range(3):
        able.sift(legs, Need(), size)
    assert counted == ["gpt-oss-120b", "zai-glm-4.7"]


texts = st.text(max_size=200)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_no_prompt_has_more_tokens_than_its_bound(turns):
    messages = []
    for one, two in turns:
        call = {"name": "f", "args": {"x": two}, "id": "1", "type": "tool_call"}
        messages += [
            HumanMessage(one),
            AIMessage(two, tool_calls=[call]),
            HumanMessage([{"type": "text", "text": one}]),
        ]
    size = Size(messages)
    assert size.count("gpt-oss-120b") <= size.bound


def test_images_and_tools_are_in_the_bound():
    plain = Size([HumanMessage("x")]).bound
    assert Size([IMAGE]).bound > plain + 16_000
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 500}}
    assert Size([HumanMessage("x")], [tool]).bound > plain + 500

    def lookup(name: str) -> str:
        """Look up a name."""

    assert Size([HumanMessage("x")], [lookup]).bound > plain + 1_000
    kept = AIMessage("x", additional_kwargs={"reasoning_content": "r" * 300})
    assert Size([kept]).bound > Size([HumanMessage("x")]).bound + 300
    assert Size([HumanMessage(["one", "two" * 100])]).bound > plain + 300


# ---------------------------------------------------------------------------- profiles


def test_a_common_profile_is_what_all_can():
    one = {**ALL, "open_weights": False, "reasoning_effort_levels": ["low", "high"]}
    two = {
        "tool_calling": True,
        "image_inputs": False,
        "max_input_tokens": 8_000,
        "reasoning_effort_levels": ["high", "max"],
        "name": "Small",
    }
    assert common_profile([foreign("a", one), foreign("b", two)]) == {
        "tool_calling": True,
        "image_inputs": False,
        "max_input_tokens": 8_000,
        "max_output_tokens": 64_000,
        "reasoning_effort_levels": ["high"],
    }


def test_the_profile_of_cerebras_models_needs_no_model():
    found = common_profile([cerebras("gpt-oss-120b"), cerebras("qwen-3.8-27b")])
    assert found["tool_calling"] is True
    assert found["image_inputs"] is False
    smallest = min(
        get_model(name).to_profile()["max_input_tokens"]
        for name in ("gpt-oss-120b", "qwen-3.8-27b")
    )
    assert found["max_input_tokens"] == smallest


def test_the_profile_says_what_you_say():
    legs = [foreign("a", ALL), foreign("b", None)]
    can = {
        "b": LegCard(tools=True, structured_outputs=True, context_tokens=4_000),
    }
    found = common_profile(legs, can=can)
    assert found["tool_calling"] is found["structured_output"] is True
    assert found["max_input_tokens"] == 4_000
    assert "image_inputs" not in found
    native = {"structured_outputs": True, "tools_with_response_format": False}
    assert common_profile(legs[:1], can={"a": native})["structured_output"] is False


def test_a_leg_that_cannot_be_made_adds_nothing_to_the_profile():
    def broken():
        raise ImportError("langchain-acme")

    lost = Leg("acme::x", target=Target("openai", "x"), make=broken)
    assert common_profile([foreign("a", {"tool_calling": True}), lost]) == {}


def test_a_request_that_is_too_long_lacks_that_beside_the_rest():
    legs, _ = windows(small=1_000)
    able = Capabilities(can={"small": LegCard(context_tokens=1_000, images=False)})
    lacks = able.lacks(legs[0], Need(input_tokens=9_000, images=True))
    assert [one.split(",")[0] for one in lacks] == ["takes no images", "holds 1"]


def test_what_you_know_can_be_read_again():
    can = {"acme::big": {"tools": True}}
    assert dict(Capabilities(can=can).can) == can


def test_nothing_is_claimed_of_a_leg_that_nobody_knows():
    found = common_profile([foreign("a", ALL), foreign("b", None)])
    assert not any(value is True for value in found.values())
