"""The packaged table is tested as data: dates, sources, chains, prices."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from langchain_cerebras_ext import catalog
from langchain_cerebras_ext.catalog import (
    ModelCard,
    get_model,
    list_models,
    list_parameters,
    list_service_changes,
    source,
    successor,
)
from langchain_cerebras_ext.catalog._checks import (
    WITHOUT_SOURCE,
    is_ending,
    table_problems,
)
from langchain_cerebras_ext.catalog._own import unknown_keys
from langchain_cerebras_ext.catalog._parameters import ParameterCard, ServiceChange
from langchain_cerebras_ext.catalog._rows import card_to_row, format_table
from langchain_cerebras_ext.catalog._table import packaged_table

CARDS = packaged_table().cards
IDS = [card.id for card in CARDS]
FILE = Path(catalog.__file__).with_name("models.json")
RAW = json.loads(FILE.read_text(encoding="utf-8"))
CHECKED_ON = date.fromisoformat(RAW["checked_on"])
EACH_CARD = pytest.mark.parametrize("card", CARDS, ids=IDS)
EACH_ROW = pytest.mark.parametrize("row", RAW["models"], ids=IDS)


def test_the_table_holds_every_model_of_the_service_so_far():
    assert len(CARDS) == 23
    assert len(set(IDS)) == 23
    assert [card.id for card in list_models("active")] == [
        "gpt-oss-120b",
        "qwen-3.8-27b",
    ]
    public = [card for card in CARDS if card.prices or card.retired_on]
    assert len(public) == 16


@EACH_ROW
def test_a_row_has_no_key_that_its_class_does_not_know(row):
    """Decoding ignores unknown keys, so a typing error would be lost silently."""
    assert unknown_keys(row, ModelCard) == []


def test_the_key_check_sees_nested_typing_errors():
    row = json.loads(json.dumps(RAW["models"][0]))
    row["prices"][0]["imput"] = "1"
    row["reasoning"]["effort"] = "low"
    assert unknown_keys(row, ModelCard) == [
        ("prices[0].imput", "input"),
        ("reasoning.effort", "efforts"),
    ]


def test_the_whole_table_is_in_order():
    assert table_problems(packaged_table()) == []


def test_the_file_is_written_as_the_catalog_writes_it():
    """So that an update by `apply_to` changes the lines that it means, and no others."""
    text = FILE.read_text(encoding="utf-8")
    assert format_table(json.loads(text)) == text
    assert [card_to_row(card) for card in CARDS] == RAW["models"]


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
    rows = {key: value for key, value in RAW.items() if key != "sources"}
    used = set(re.findall(r'"([a-z0-9.-]+)"', json.dumps(rows)))
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
        first = card.prices[0].valid_from  # given where it was not known before
        assert first is None or card.announced is None or first > card.announced
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
def test_a_cached_price_is_known_or_not_and_never_a_silent_zero(card):
    """The documentation says that cached tokens cost the input rate."""
    for price in card.prices:
        assert price.cached_input in {None, price.input}
        assert price.cached_input != 0
    known = {"gpt-oss-120b", "qwen-3.8-27b", "gemma-4-31b", "zai-glm-4.7"}
    assert any(price.cached_input for price in card.prices) == (card.id in known)


@EACH_CARD
def test_each_model_has_documentation(card):
    assert card.links
    for link in card.links:
        assert link.startswith("https://")
        assert not re.search(r"\s", link)


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
    if not is_ending(card):
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


@EACH_CARD
def test_the_written_advice_is_what_the_chain_gives(card):
    found = successor(card, on=CHECKED_ON)
    assert card.replacement_current == found.model
    basis = {"vendor": "vendor", "us": "advice", None: None}
    assert card.replacement_basis == basis[found.named_by]


@EACH_CARD
def test_the_written_status_is_that_of_the_dates(card):
    assert card.as_of(card.status_as_of).status == card.status


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


PARAMETERS = list_parameters()
EACH_PARAMETER = pytest.mark.parametrize(
    "row", RAW["parameters"], ids=[f"{p.endpoint}-{p.name}" for p in PARAMETERS]
)


@EACH_PARAMETER
def test_each_fact_of_a_parameter_has_a_source_that_exists(row):
    assert unknown_keys(row, ParameterCard) == []
    prose = {"kind", "endpoint", "value", "notes", "sources", "successor_name"}
    facts = set(row) - prose - {"deprecation_precision"}
    assert set(row["sources"]) == facts
    for keys in row["sources"].values():
        assert keys
        assert set(keys) <= set(RAW["sources"])


@pytest.mark.parametrize("card", PARAMETERS, ids=lambda card: card.name)
def test_the_dates_of_a_parameter_are_in_order(card):
    days = [card.deprecation_announced, card.supported_until]
    known = [day for day in days if day is not None]
    assert known
    assert known == sorted(known)
    assert (card.successor is None) == (card.successor_name is None)
    for model in card.models:
        assert get_model(model)


def test_the_names_of_parameters_are_unique_by_endpoint():
    keys = [(card.name, card.endpoint) for card in PARAMETERS]
    assert len(keys) == len(set(keys))


def test_changes_of_the_service_are_dated_sourced_and_in_order():
    changes = list_service_changes()
    assert [one.on for one in changes] == sorted(one.on for one in changes)
    for row, change in zip(RAW["service_changes"], changes, strict=True):
        assert unknown_keys(row, ServiceChange) == []
        assert change.what.endswith(".")
        assert change.sources
        assert set(change.sources) <= set(RAW["sources"])
        assert change.until is None or change.until > change.on
