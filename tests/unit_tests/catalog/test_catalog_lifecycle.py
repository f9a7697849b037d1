"""Time travel: what each model was on each edge of its life, and what followed it."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.catalog import (
    Change,
    LiveSighting,
    ModelCard,
    UnknownModelError,
    get_model,
    register_model,
    successor,
)
from langchain_cerebras_ext.catalog._table import packaged_table

CARDS = packaged_table().cards
DAY = timedelta(days=1)
TODAY = date(2026, 11, 21)
SEEN = "public-models-2026-07-30"


def ended(card: ModelCard) -> str:
    return "dedicated-only" if card.status == "dedicated-only" else "retired"


def edges(card: ModelCard):
    """Yield each edge of a life: its name, the day, the stage, days left, end told."""
    told, end = card.deprecation_announced, card.retired_on
    came = card.announced
    if came is not None and card.announced_precision != "by":
        first = "active"
        if end is not None and told is None:
            first = "deprecated"
        if card.status == "dedicated-only" and end is None:
            first = "dedicated-only"
        yield "day before it came", came - DAY, "upcoming", None
        yield "the day it came", came, first, None
    if end is None:
        yield "today", TODAY, card.status, None
        return
    if told is not None and told < end:
        yield "day before its end was told", told - DAY, "active", None
        yield "the day its end was told", told, "deprecated", (end - told).days
    if told is not None and told == end:
        yield "day before its end", end - DAY, "active", None
    else:
        yield "day before its end", end - DAY, "deprecated", 1
    yield "the day of its end", end, ended(card), 0
    yield "day after its end", end + DAY, ended(card), -1


EDGES = [(card.id, *edge) for card in CARDS for edge in edges(card)]


@pytest.mark.parametrize(
    ("model", "day", "stage", "left"),
    [(model, day, stage, left) for model, _, day, stage, left in EDGES],
    ids=[f"{model}-{name}" for model, name, *_ in EDGES],
)
def test_each_edge_of_each_life(model, day, stage, left):
    card = get_model(model)
    life = card.lifecycle(day)
    assert (life.stage, life.on, life.model) == (stage, day, model)
    if left is not None:
        assert life.days_left == left
        assert life.ends_on == card.retired_on
    elif stage in {"upcoming", "active"}:
        assert (life.days_left, life.ends_on) == (None, None)
    assert life.is_served is (stage in {"active", "deprecated"})
    assert life.is_ended is (left is not None and left <= 0)


def test_the_edges_cover_every_model_and_both_kinds_of_end():
    assert {model for model, *_ in EDGES} == {card.id for card in CARDS}
    assert {stage for *_, stage, _ in EDGES} == {
        "upcoming",
        "active",
        "deprecated",
        "retired",
        "dedicated-only",
        "never-served",
    }


@pytest.mark.parametrize(
    ("day", "stage", "left", "successor_then"),
    [
        (date(2025, 10, 28), "active", None, None),
        (date(2025, 10, 29), "deprecated", 7, "zai-glm-4.6"),
        (date(2025, 11, 4), "deprecated", 1, "zai-glm-4.6"),
        (date(2025, 11, 5), "retired", 0, "zai-glm-4.6"),
        (date(2025, 11, 6), "retired", -1, "zai-glm-4.6"),
        (date(2026, 1, 19), "retired", -75, "zai-glm-4.6"),
        (date(2026, 1, 20), "retired", -76, "zai-glm-4.7"),
        (date(2026, 8, 16), "retired", -284, "zai-glm-4.7"),
        (date(2026, 8, 17), "retired", -285, "gpt-oss-120b"),
        (TODAY, "retired", -381, "gpt-oss-120b"),
    ],
)
def test_the_life_of_qwen_3_coder(day, stage, left, successor_then):
    """The first example to get right: a line of successors that ends unserved."""
    life = get_model("qwen-3-coder-480b").lifecycle(day)
    assert life.stage == stage
    assert life.days_left == left
    assert life.successor == successor_then


def test_a_successor_that_is_yet_to_come_is_named_with_its_day():
    found = successor("qwen-3-coder-480b", on=date(2025, 11, 4))
    assert (found.model, found.named_by) == ("zai-glm-4.6", "vendor")
    assert found.served_from == date(2025, 11, 5)
    assert "it comes on 2025-11-05" in found.note
    assert successor("qwen-3-coder-480b", on=date(2025, 11, 5)).served_from is None


def test_our_own_advice_is_named_as_ours_with_the_line_that_ended():
    found = successor("qwen-3-coder-480b", on=TODAY)
    assert found.named_by == "us"
    assert found.chain == ("zai-glm-4.6", "zai-glm-4.7", "gpt-oss-120b")
    assert found.note == (
        "Cerebras named zai-glm-4.6 -> zai-glm-4.7, which are no longer served. Our "
        "own advice is gpt-oss-120b."
    )


def test_the_vendors_line_is_followed_best_first():
    """Of two successors the first has none of its own; the second one's is served."""
    found = successor("qwen-3-235b-a22b", on=TODAY)
    assert found.named_by == "vendor"
    assert found.chain == ("qwen-3-235b-a22b-thinking-2507", "gpt-oss-120b")
    early = successor("qwen-3-235b-a22b", on=date(2025, 8, 1))
    assert early.chain == ("qwen-3-235b-a22b-instruct-2507",)


@pytest.mark.parametrize("model", ["gpt-oss-120b", "qwen-3.8-27b", "glm-5"])
def test_a_model_whose_end_is_not_known_has_no_successor(model):
    found = successor(model, on=TODAY)
    assert (found.model, found.named_by, found.chain) == (None, None, ())
    assert found.note.startswith(model)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
@pytest.mark.parametrize("day", [date(2026, 11, 21), date(2026, 8, 20)], ids=str)
def test_every_chain_ends_at_a_served_model_or_says_that_there_is_none(card, day):
    found = successor(card, on=day)
    if found.model is None:
        assert found.note
        assert not card.lifecycle(day).is_ended
    else:
        assert get_model(found.model).lifecycle(day).is_served
        assert found.chain[-1] == found.model


def test_advice_that_has_ended_itself_is_replaced_by_the_best_of_what_is_served():
    """On a day before gpt-oss-120b, the written advice was not there yet."""
    found = successor("deepseek-r1-0528", on=date(2025, 3, 1))
    assert found.named_by == "us"
    assert get_model(found.model).lifecycle(date(2025, 3, 1)).is_served


def test_where_nothing_is_served_nothing_is_named():
    found = successor("deepseek-r1-0528", on=date(2020, 1, 1))
    vague = [card for card in CARDS if card.lifecycle(date(2020, 1, 1)).is_served]
    assert found.model in {None, *(card.id for card in vague)}


def test_nobody_is_sent_to_a_card_of_their_own():
    register_model(
        {
            "id": "mine",
            "best_uses": ["code", "agents"],
            "price": {"input": 0, "output": 0},
        }
    )
    assert successor("zai-glm-4.7", on=TODAY).model == "gpt-oss-120b"


def test_the_successor_of_an_unknown_model_is_an_error():
    with pytest.raises(UnknownModelError, match="Did you mean 'gpt-oss-120b'"):
        successor("gpt-oss-120")


# ----------------------------------------------------------------- ends without a day


def test_an_end_of_which_nobody_knows_when_it_was_told_counts_as_told():
    """A warning too early does less harm than one too late."""
    card = dataclasses.replace(
        get_model("gpt-oss-120b"),
        retired_on=date(2027, 3, 1),
        deprecation_announced=None,
    )
    life = card.lifecycle(TODAY)
    assert (life.stage, life.told_on, life.days_left) == ("deprecated", None, 100)


def test_a_deprecation_without_an_end_has_no_days_left():
    card = dataclasses.replace(
        get_model("gpt-oss-120b"), deprecation_announced=date(2026, 10, 1)
    )
    assert card.lifecycle(date(2026, 9, 30)).stage == "active"
    life = card.lifecycle(TODAY)
    assert (life.stage, life.days_left, life.is_ended) == ("deprecated", None, False)


# --------------------------------------------------------------------- the live list


def seen(*sightings: tuple[date, bool, bool | None]) -> tuple[LiveSighting, ...]:
    return tuple(LiveSighting(on, listed, flag, SEEN) for on, listed, flag in sightings)


CODER_END = date(2025, 11, 5)


@pytest.mark.parametrize(
    ("model", "live", "on", "stage"),
    [
        # Where the clock says retired and the live list still has it, the list wins.
        ("qwen-3-coder-480b", [(TODAY, True, False)], TODAY, "deprecated"),
        ("qwen-3-coder-480b", [(CODER_END, True, None)], TODAY, "deprecated"),
        # A list from before the end says nothing about what came after it.
        ("qwen-3-coder-480b", [(CODER_END - DAY, True, None)], TODAY, "retired"),
        ("qwen-3-coder-480b", [(TODAY, False, None)], TODAY, "retired"),
        ("gemma-4-31b", [(TODAY, True, False)], TODAY, "deprecated"),
        # A drop-out is a signal, before the end and without one.
        ("gpt-oss-120b", [(TODAY, False, None)], TODAY, "unlisted"),
        ("qwen-3-coder-480b", [(date(2025, 11, 3), False, None)], date(2025, 11, 3), "unlisted"),
        # So is the service's own flag.
        ("gpt-oss-120b", [(TODAY, True, True)], TODAY, "deprecated"),
        ("gpt-oss-120b", [(TODAY, True, False)], TODAY, "active"),
        ("gpt-oss-120b", [(TODAY, True, None)], TODAY, "active"),
        # What was not there is there.
        ("deepseek-r1-0528", [(TODAY, True, False)], TODAY, "active"),
        ("glm-5", [(TODAY, True, False)], TODAY, "active"),
        ("glm-5", [(TODAY, False, None)], TODAY, "dedicated-only"),
        # Lists of later days do not count, and the newest of the others does.
        ("gpt-oss-120b", [(TODAY + DAY, False, None)], TODAY, "active"),
        ("gpt-oss-120b", [(TODAY, False, None), (TODAY + DAY, True, None)], TODAY, "unlisted"),
        ("gpt-oss-120b", [(TODAY, False, None), (TODAY + DAY, True, None)], TODAY + DAY, "active"),
    ],
)  # fmt: skip
def test_a_live_list_is_a_further_signal(model, live, on, stage):
    card = dataclasses.replace(get_model(model), live=seen(*live))
    life = card.lifecycle(on)
    assert life.stage == stage
    differs = dataclasses.replace(card, live=()).lifecycle(on).stage != stage
    assert (life.note is not None) is differs


def test_a_model_that_came_after_the_list_is_not_missed_in_it():
    card = dataclasses.replace(
        get_model("qwen-3.8-27b"), live=seen((date(2026, 9, 2), False, None))
    )
    assert card.lifecycle(TODAY).stage == "active"


def test_a_note_says_what_the_list_told():
    card = dataclasses.replace(
        get_model("qwen-3-coder-480b"), live=seen((TODAY, True, None))
    )
    assert card.lifecycle(TODAY).note == "The live list of 2026-11-21 still has it."


# ------------------------------------------------------------------- cards of a day


def test_a_card_of_a_day_knows_nothing_of_what_came_later():
    card = get_model("qwen-3-coder-480b", on=date(2025, 10, 28))
    assert (card.status, card.status_as_of) == ("active", date(2025, 10, 28))
    assert (card.deprecation_announced, card.retired_on) == (None, None)
    assert (card.replacements, card.replacement_current) == ((), None)
    assert card.to_profile()["status"] == "active"


def test_a_card_of_the_last_days_knows_its_end_and_the_successor_of_then():
    card = get_model("qwen-3-coder-480b", on=date(2025, 11, 1))
    assert card.status == "active"
    assert card.retired_on == date(2025, 11, 5)
    assert (card.replacement_current, card.replacement_basis) == (
        "zai-glm-4.6",
        "vendor",
    )


def test_a_card_of_a_day_after_knows_the_advice_of_that_day():
    card = get_model("qwen-3-coder-480b", on=date(2026, 3, 1))
    assert card.status == "retired"
    assert (card.replacement_current, card.replacement_basis) == (
        "zai-glm-4.7",
        "vendor",
    )


@pytest.mark.parametrize(
    ("on", "periods", "price"),
    [
        (date(2025, 8, 4), 1, None),
        (date(2025, 8, 14), 1, "0.25"),
        (date(2025, 8, 15), 2, "0.40"),
        (date(2025, 10, 31), 3, "0.35"),
    ],
)
def test_a_card_of_a_day_has_the_prices_up_to_it(on, periods, price):
    card = get_model("gpt-oss-120b", on=on)
    assert len(card.prices) == periods
    assert card.prices[-1].valid_until is None
    found = card.price(on)
    assert (found and str(found.input)) == price


def test_a_card_of_a_day_has_the_rates_that_were_known():
    rates = get_model("gpt-oss-120b", on=date(2026, 7, 17)).limits("free").rates
    assert rates is not None
    assert rates.as_of == date(2025, 10, 1)


def test_a_model_that_has_not_come_yet_is_upcoming():
    card = get_model("qwen-3.8-27b", on=date(2026, 9, 2))
    assert card.status == "upcoming"
    assert card.price(date(2026, 9, 2)) is None


def test_facts_that_have_changed_are_as_they_were():
    card = dataclasses.replace(
        get_model("qwen-3-32b"),
        changes=(
            Change(date(2025, 6, 1), "context_tokens_paid", 16_384, 32_768),
            Change(date(2025, 8, 1), "context_tokens_paid", 32_768, 131_072),
            Change(date(2025, 8, 1), "capabilities.json_mode", None, True),
            Change(date(2025, 9, 1), "retired_on", "2025-08-20", None),
        ),
    )

    def then(on: date):
        old = card.as_of(on)
        return old.context_tokens_paid, old.capabilities.json_mode, len(old.changes)

    assert then(date(2025, 5, 31)) == (16_384, None, 0)
    assert then(date(2025, 7, 31)) == (32_768, None, 1)
    assert then(date(2025, 8, 1)) == (131_072, card.capabilities.json_mode, 3)
    assert card.lifecycle(date(2025, 8, 25)).stage == "retired"
    assert card.lifecycle(date(2025, 9, 1)).stage in {"active", "deprecated"}


# The first example reads the table, which may take longer than the others.
UNTIMED = settings(deadline=None)
DAYS = st.dates(date(2024, 1, 1), date(2028, 1, 1))


@UNTIMED
@given(card=st.sampled_from(CARDS), first=DAYS, second=DAYS)
def test_looking_back_twice_is_looking_back_once(card, first, second):
    earlier, later = sorted((first, second))
    once, twice = card.as_of(earlier), card.as_of(later).as_of(earlier)
    assert once.price(earlier) == twice.price(earlier)
    assert once.retired_on == twice.retired_on
    assert once.lifecycle(earlier).stage == card.lifecycle(earlier).stage


@UNTIMED
@given(card=st.sampled_from(CARDS), on=DAYS)
def test_a_card_and_its_card_of_a_day_agree_on_that_day(card, on):
    then = card.as_of(on)
    assert then.price(on) == (
        None
        if card.price(on) is None
        else dataclasses.replace(card.price(on), valid_until=then.price(on).valid_until)
    )
    assert then.lifecycle(on).stage == card.lifecycle(on).stage
    assert then.lifecycle(on).days_left == card.lifecycle(on).days_left
    assert then.replacement_current == card.lifecycle(on).successor


@UNTIMED
@given(card=st.sampled_from(CARDS), on=DAYS)
def test_at_most_one_price_is_in_force_and_none_before_the_model(card, on):
    covering = [price for price in card.prices if price.covers(on)]
    assert len(covering) <= 1
    found = card.price(on)
    assert found is None or [found] == covering
    if card.announced and card.announced_precision != "by" and on < card.announced:
        assert found is None
    elif card.prices:
        assert found is not None
