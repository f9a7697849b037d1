"""The packaged table is tested as data: dates, sources, chains, prices."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from langchain_cerebras_ext import catalog
from langchain_cerebras_ext.catalog import ModelCard, get_model, list_models, source

CARDS = list_models()
IDS = [card.id for card in CARDS]
RAW = json.loads(
    Path(catalog.__file__).with_name("models.json").read_text(encoding="utf-8")
)
EACH_CARD = pytest.mark.parametrize("card", CARDS, ids=IDS)
EACH_ROW = pytest.mark.parametrize("row", RAW["models"], ids=IDS)

# Fields that say something about other fields, or that hold prose.
WITHOUT_SOURCE = {
    "id",
    "status_as_of",
    "announced_precision",
    "deprecation_precision",
    "replacement_basis",
    "notes",
    "conflicts",
    "sources",
}


def test_the_table_holds_every_model_of_the_service_so_far():
    assert len(CARDS) == 23
    assert len(set(IDS)) == 23
    assert [card.id for card in list_models("active")] == [
        "gpt-oss-120b",
        "qwen-3.8-27b",
    ]


def unknown_keys(value: object, kind: object) -> set[str]:
    """Name the keys of a JSON value that its class does not have."""
    found: set[str] = set()
    for option in typing.get_args(kind) or (kind,):
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            hints = typing.get_type_hints(option)
            found |= set(value) - set(hints)
            for key, inner in value.items():
                found |= unknown_keys(inner, hints.get(key))
        elif dataclasses.is_dataclass(option) and isinstance(value, list):
            for inner in value:
                found |= unknown_keys(inner, option)
    return found


@EACH_ROW
def test_a_row_has_no_key_that_its_class_does_not_know(row):
    """Decoding ignores unknown keys, so a typing error would be lost silently."""
    assert unknown_keys(row, ModelCard) == set()


def test_the_key_check_sees_nested_typing_errors():
    row = json.loads(json.dumps(RAW["models"][0]))
    row["prices"][0]["imput"] = "1"
    row["reasoning"]["effort"] = "low"
    assert unknown_keys(row, ModelCard) == {"imput", "effort"}


@EACH_ROW
def test_each_known_fact_has_a_source_that_exists(row):
    facts = set(row) - WITHOUT_SOURCE
    assert set(row["sources"]) == facts
    for keys in row["sources"].values():
        assert keys
        assert len(keys) == len(set(keys))
        assert set(keys) <= set(RAW["sources"])


@EACH_CARD
def test_prices_limits_and_names_name_their_sources(card):
    keys = [seen.source for price in card.prices for seen in price.seen]
    keys += [limit.source for limit in card.rate_limits]
    keys += [key for other in card.other_names for key in other.sources]
    for key in keys:
        assert source(key).title


def test_each_source_has_a_title_a_day_and_is_used():
    used = re.findall(r'"([a-z0-9-]+)"', json.dumps(RAW["models"]))
    for key in RAW["sources"]:
        found = source(key)
        assert found.title
        assert (
            date(2024, 8, 1)
            <= found.checked_on
            <= date.fromisoformat(RAW["checked_on"])
        )
        assert key in used, f"source {key} is not used"


def test_no_source_is_a_file_name_or_a_path():
    text = json.dumps(RAW)
    assert not re.search(r"\.txt\b", text)
    assert not re.search(r"[\"\s(]/(work|tmp|root|home)\b", text)


@EACH_CARD
def test_dates_are_in_order(card):
    days = [
        day
        for day in (card.announced, card.deprecation_announced, card.retired_on)
        if day is not None
    ]
    assert days == sorted(days)
    assert all(day <= card.status_as_of for day in days)


@EACH_CARD
def test_status_and_end_agree(card):
    if card.status == "retired":
        assert card.retired_on is not None
    if card.status in {"active", "never-served"}:
        assert card.retired_on is None


@EACH_CARD
def test_price_periods_neither_overlap_nor_leave_gaps(card):
    for earlier, later in zip(card.prices, card.prices[1:], strict=False):
        assert earlier.valid_until is not None
        assert earlier.valid_until == later.valid_from
    if card.prices:
        assert card.prices[0].valid_from is None
        assert card.prices[-1].valid_until is None


@EACH_CARD
def test_prices_are_decimals_seen_on_a_day(card):
    for price in card.prices:
        assert isinstance(price.input, Decimal)
        assert isinstance(price.output, Decimal)
        assert price.input > 0
        assert price.output >= price.input
        assert price.seen
        assert list(price.seen) == sorted(price.seen, key=lambda seen: seen.on)
        if price.valid_from:
            assert price.valid_from == price.seen[0].on


@EACH_CARD
def test_an_unknown_cached_price_is_not_zero(card):
    assert all(price.cached_input is None for price in card.prices)


def vendor_ends(card: ModelCard) -> set[str]:
    """Follow the announced successors to the models that are served."""
    ends: set[str] = set()
    seen: set[str] = set()
    todo = list(card.replacements)
    while todo:
        model = todo.pop()
        if model in seen:
            continue
        seen.add(model)
        successor = get_model(model)
        if successor.status == "active":
            ends.add(model)
        todo += successor.replacements
    return ends


@EACH_CARD
def test_each_chain_ends_at_a_served_model_or_says_that_the_advice_is_ours(card):
    ends = vendor_ends(card)
    if card.status == "active" or (
        card.status == "dedicated-only" and not card.retired_on
    ):
        assert card.replacement_current is None
        assert card.replacement_basis is None
        return
    assert card.replacement_current is not None
    assert get_model(card.replacement_current).status == "active"
    expected = "vendor" if card.replacement_current in ends else "advice"
    assert card.replacement_basis == expected


def test_the_chain_of_qwen_3_coder_ends_in_our_own_advice():
    card = get_model("qwen-3-coder-480b")
    assert card.retired_on == date(2025, 11, 5)
    chain = ["zai-glm-4.6", "zai-glm-4.7"]
    assert card.replacement == chain[0]
    assert get_model(chain[0]).replacement == chain[1]
    assert get_model(chain[1]).replacement is None
    assert [get_model(model).status for model in chain] == ["retired", "retired"]
    assert (card.replacement_current, card.replacement_basis) == (
        "gpt-oss-120b",
        "advice",
    )


def test_every_name_belongs_to_one_model():
    names = [
        name
        for card in CARDS
        for name in [card.id, *card.aliases, *(o.name for o in card.other_names)]
    ]
    assert len(names) == len(set(names))


@EACH_CARD
def test_reasoning_facts_agree_with_each_other(card):
    reasoning = card.reasoning
    if reasoning.supported is False:
        assert reasoning.efforts == ()
        assert reasoning.formats == ()
        assert reasoning.replay == "none"
    if reasoning.efforts and reasoning.default_effort:
        assert reasoning.default_effort in reasoning.efforts
    if reasoning.formats and reasoning.default_format:
        assert reasoning.default_format in reasoning.formats
    if reasoning.can_disable is False:
        assert "none" not in (reasoning.efforts or ())
    assert not set(reasoning.efforts or ()) & set(reasoning.inert_efforts)


@EACH_CARD
def test_limits_agree_with_each_other(card):
    for free, paid in (
        (card.context_tokens_free, card.context_tokens_paid),
        (card.max_output_tokens_free, card.max_output_tokens_paid),
    ):
        if free and paid:
            assert free <= paid
    if card.images:
        assert card.capabilities.vision is True


@EACH_CARD
def test_rate_limits_are_positive_and_dated(card):
    for limit in card.rate_limits:
        names = {field.name for field in dataclasses.fields(limit)}
        assert set(limit.unlimited) <= names
        for name in names - {"tier", "plan", "as_of", "source", "unlimited"}:
            value = getattr(limit, name)
            assert value is None or value > 0
            assert value is None or name not in limit.unlimited
