"""Looking models up: ids, aliases, dates, profiles, and what is not there."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_type_hints

import pytest
from langchain_core.language_models.model_profile import ModelProfile

from langchain_cerebras_ext.catalog import (
    ModelCard,
    UnknownModelError,
    find_model,
    get_model,
    list_models,
    source,
    suggest,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError


@pytest.mark.parametrize("model", [card.id for card in list_models()])
def test_every_id_finds_its_own_card(model):
    assert get_model(model).id == model
    assert find_model(model) is get_model(model)


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("llama3.3-70b", "llama-3.3-70b"),
        ("DeepSeek-R1-Distill-Llama-70B", "deepseek-r1-distill-llama-70b"),
        ("llama-3.1-8b", "llama3.1-8b"),
        ("llama-3.1-70b", "llama3.1-70b"),
        ("LLAMA_4_SCOUT_FAST", "llama-4-scout-17b-16e-instruct"),
    ],
)
def test_an_alias_finds_the_model(alias, model):
    assert get_model(alias).id == model


@pytest.mark.parametrize(
    "model", ["", "cerebras:gpt-oss-120b", "cerebras::gpt-oss-120b", "GPT-OSS-120B"]
)
def test_only_plain_ids_are_found(model):
    assert find_model(model) is None


def test_an_unknown_model_is_named_with_the_nearest_ids():
    with pytest.raises(UnknownModelError) as caught:
        get_model("gpt-os-120b")
    error = caught.value
    assert str(error) == (
        "Model 'gpt-os-120b' is not in the catalog. Did you mean 'gpt-oss-120b'?"
    )
    assert error.model == "gpt-os-120b"
    assert error.suggestions == ("gpt-oss-120b",)
    assert isinstance(error, CerebrasConfigurationError)
    assert isinstance(error, LookupError)


def test_a_model_unlike_any_other_is_answered_with_what_is_served():
    with pytest.raises(
        UnknownModelError, match=r"Served today: 'gpt-oss-120b' and 'qwen-3.8-27b'"
    ):
        get_model("zzz")


def test_the_error_pickles_with_its_data():
    with pytest.raises(UnknownModelError) as caught:
        get_model("qwen-3-codr-480b")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.suggestions[0] == "qwen-3-coder-480b"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GPT-OSS-120B", "gpt-oss-120b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("cerebras::gpt-oss-120b", "gpt-oss-120b"),
        ("gpt_oss_120b", "gpt-oss-120b"),
        ("qwen3.8-27b", "qwen-3.8-27b"),
        ("llama-3.3", "llama-3.3-70b"),
        ("zai-glm-47", "zai-glm-4.7"),
    ],
)
def test_suggestions_see_through_case_punctuation_and_prefixes(written, meant):
    assert suggest(written)[0] == meant


def test_of_near_equals_the_served_model_comes_first_and_few_are_named():
    near = suggest("qwen-3.9")
    assert near[0] == "qwen-3.8-27b"
    assert len(near) <= 3
    assert suggest("") == []


def test_models_are_listed_by_status():
    assert {card.status for card in list_models()} == {
        "active",
        "retired",
        "dedicated-only",
        "never-served",
    }
    assert {card.id for card in list_models("never-served")} == {
        "deepseek-r1-0528",
        "deepseek-v3-0324",
    }


@pytest.mark.parametrize(
    ("on", "input_price", "output_price"),
    [
        (date(2025, 8, 5), "0.25", "0.69"),
        (date(2025, 8, 14), "0.25", "0.69"),
        (date(2025, 8, 15), "0.40", "0.80"),
        (date(2025, 10, 30), "0.40", "0.80"),
        (date(2025, 10, 31), "0.35", "0.75"),
        (date(2026, 11, 21), "0.35", "0.75"),
    ],
)
def test_a_price_is_that_of_the_day(on, input_price, output_price):
    price = get_model("gpt-oss-120b").price(on)
    assert price is not None
    assert (price.input, price.output) == (Decimal(input_price), Decimal(output_price))


def test_without_a_day_the_price_is_todays():
    card = get_model("gpt-oss-120b")
    assert card.price() == card.price(datetime.now(UTC).date())


def test_there_is_no_price_before_the_model_or_where_none_is_known():
    assert get_model("gpt-oss-120b").price(date(2025, 8, 4)) is None
    assert get_model("deepseek-r1-distill-llama-70b").price(date(2025, 6, 1)) is None


def test_a_retired_model_keeps_its_last_price_for_late_records():
    price = get_model("qwen-3-coder-480b").price(date(2026, 1, 1))
    assert price is not None
    assert price.input == Decimal("2.00")


def test_a_model_first_seen_by_a_day_has_a_price_before_it():
    assert get_model("llama-3.3-70b").price(date(2024, 12, 24)) is not None


def test_limits_are_told_by_tier():
    card = get_model("gpt-oss-120b")
    assert card.limits("free").context_tokens == 65_536
    assert card.limits("free").max_output_tokens == 32_768
    assert card.limits().context_tokens == 131_072
    assert card.limits().max_output_tokens == 40_960


@pytest.mark.parametrize(
    ("model", "effort", "taken"),
    [
        ("gpt-oss-120b", "none", False),
        ("gpt-oss-120b", "high", True),
        ("zai-glm-4.7", "none", True),
        ("zai-glm-4.7", "low", True),
        ("qwen-3-coder-480b", "low", False),
        ("glm-5", "low", None),
    ],
)
def test_an_effort_is_taken_refused_or_not_known(model, effort, taken):
    assert get_model(model).reasoning.accepts_effort(effort) is taken


@pytest.mark.parametrize(
    ("model", "reasoning_format", "taken"),
    [
        ("gemma-4-31b", "raw", False),
        ("gemma-4-31b", "parsed", True),
        ("gemma-4-31b", "none", True),
        ("gpt-oss-120b", "hidden", True),
        ("qwen-3-coder-480b", "raw", False),
        ("qwen-3.8-27b", "raw", None),
    ],
)
def test_a_format_is_taken_refused_or_not_known(model, reasoning_format, taken):
    assert get_model(model).reasoning.accepts_format(reasoning_format) is taken


def test_cards_are_frozen_hashable_and_copyable():
    card = get_model("gpt-oss-120b")
    with pytest.raises(FrozenInstanceError):
        card.id = "x"  # type: ignore[misc]
    assert not hasattr(card, "__dict__")
    assert pickle.loads(pickle.dumps(card)) == card
    assert copy.deepcopy(card) == card
    assert len({card, copy.deepcopy(card)}) == 1
    assert replace(card, id="mine").id == "mine"


def test_a_source_is_found_by_its_key():
    key = get_model("gpt-oss-120b").sources["context_tokens_paid"][0]
    assert source(key).kind == "capture"
    assert source(key).checked_on == date(2026, 7, 30)
    with pytest.raises(KeyError, match="no-such-source"):
        source("no-such-source")


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.id)
def test_a_profile_has_only_keys_and_types_that_langchain_knows(card):
    declared = get_type_hints(ModelProfile)
    profile = card.to_profile()
    for key, value in profile.items():
        assert key in declared
        if isinstance(value, list):
            assert declared[key] == list[str]
            assert all(type(item) is str for item in value)
        else:
            assert type(value) is declared[key], key


def test_the_profile_of_the_default_model_in_full():
    assert get_model("gpt-oss-120b").to_profile() == {
        "name": "OpenAI GPT OSS",
        "status": "active",
        "release_date": "2025-08-05",
        "open_weights": True,
        "max_input_tokens": 131_072,
        "max_output_tokens": 40_960,
        "text_inputs": True,
        "image_inputs": False,
        "image_url_inputs": False,
        "image_tool_message": False,
        "attachment": False,
        "pdf_inputs": False,
        "pdf_tool_message": False,
        "audio_inputs": False,
        "video_inputs": False,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "temperature": True,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": False,
        "reasoning_output": True,
        "reasoning_effort_levels": ["low", "medium", "high"],
        "reasoning_effort_default": "medium",
    }


def test_a_profile_takes_the_lower_limit_where_sources_disagree():
    profile = get_model("qwen-3.8-27b").to_profile()
    assert profile["max_input_tokens"] == 65_536
    assert profile["max_output_tokens"] == 32_768


def test_a_profile_of_a_vision_model_says_how_images_come():
    profile = get_model("gemma-4-31b").to_profile()
    assert profile["image_inputs"] is True
    assert profile["image_url_inputs"] is False
    assert profile["image_tool_message"] is False
    assert profile["status"] == "deprecated"


@pytest.mark.parametrize(
    ("model", "claimed"),
    [
        ("zai-glm-4.7", True),
        ("gpt-oss-120b", False),
        ("gemma-4-31b", False),
        ("qwen-3.8-27b", False),
        ("glm-5", None),
    ],
)
def test_native_structure_is_claimed_only_where_tools_go_with_it(model, claimed):
    """`create_agent` sends both in one request on this claim alone."""
    assert get_model(model).to_profile().get("structured_output") is claimed


def test_each_profile_is_a_new_dictionary():
    card = get_model("gpt-oss-120b")
    first = card.to_profile()
    first["reasoning_effort_levels"].append("max")
    first["name"] = "changed"
    assert card.to_profile()["reasoning_effort_levels"] == ["low", "medium", "high"]
    assert card.to_profile()["name"] == "OpenAI GPT OSS"


def test_a_moment_stands_for_its_day_in_utc():
    """Eight in the evening in New York is the next day in UTC."""
    card = get_model("gpt-oss-120b")
    new_york = timezone(timedelta(hours=-5))
    moment = datetime(2025, 10, 30, 20, 0, tzinfo=new_york)
    assert card.price(moment) == card.price(date(2025, 10, 31))
    assert card.price(moment - timedelta(hours=2)) == card.price(date(2025, 10, 30))
    naive = datetime(2025, 10, 31, 0, 0)  # noqa: DTZ001
    assert card.lifecycle(naive).on == date(2025, 10, 31)


@pytest.mark.parametrize(
    ("status", "as_of", "expected"),
    [
        ("active", date(2024, 9, 1), {"llama3.1-8b", "llama3.1-70b"}),
        ("active", date(2026, 8, 16), {"gpt-oss-120b", "gemma-4-31b", "zai-glm-4.7"}),
        ("active", date(2026, 8, 17), {"gpt-oss-120b", "gemma-4-31b"}),
        ("deprecated", date(2026, 8, 16), {"zai-glm-4.7"}),
        ("deprecated", date(2026, 5, 1), {"llama3.1-8b", "qwen-3-235b-a22b-instruct-2507"}),
        ("upcoming", date(2026, 9, 2), {"qwen-3.8-27b"}),
        ("never-served", date(2026, 9, 2), {"deepseek-r1-0528", "deepseek-v3-0324"}),
    ],
)  # fmt: skip
def test_models_are_listed_as_of_a_day(status, as_of, expected):
    found = list_models(status, as_of=as_of)
    # Of models that are known from a day "or earlier" nobody knows the first day.
    vague = {
        c.id for c in found if c.announced_precision == "by" and c.announced > as_of
    }
    assert {card.id for card in found} - vague == expected
    assert all(card.status_as_of == as_of for card in found)


def test_models_that_came_later_are_not_in_the_list_of_a_day():
    known = {card.id for card in list_models(as_of=date(2025, 8, 4))}
    assert "gpt-oss-120b" not in known
    assert {"qwen-3-coder-480b", "llama3.1-70b"} <= known
    assert len(list_models()) == len(list_models(as_of=date(2026, 11, 21))) == 23


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("vision", ["qwen-3.8-27b"]),
        ("images", ["qwen-3.8-27b"]),
        ("tools", ["gpt-oss-120b", "qwen-3.8-27b"]),
        (["tools", "predicted_outputs"], ["gpt-oss-120b"]),
        ("disable_reasoning", ["qwen-3.8-27b"]),
        ("reasoning", ["gpt-oss-120b", "qwen-3.8-27b"]),
        ("logprobs", []),
        ([], ["gpt-oss-120b", "qwen-3.8-27b"]),
    ],
    ids=str,
)
def test_models_are_listed_by_what_they_can_do(capability, expected):
    found = list_models("active", capability=capability)
    assert [card.id for card in found] == expected


def test_an_unknown_capability_is_named_with_the_nearest_one():
    with pytest.raises(CerebrasConfigurationError) as caught:
        list_models(capability="visoin")
    assert "no capability 'visoin'. Did you mean 'vision'?" in str(caught.value)


def test_a_card_of_a_day_is_found_by_its_other_names_too():
    card = find_model("llama-3.1-8b", on=date(2025, 1, 1))
    assert card is not None
    assert (card.id, card.retired_on) == ("llama3.1-8b", None)
    assert find_model("nothing", on=date(2025, 1, 1)) is None


def test_a_card_is_plain_json_with_its_provenance():
    told = json.loads(json.dumps(get_model("qwen-3-coder-480b").to_dict()))
    assert told["id"] == "qwen-3-coder-480b"
    assert told["origin"] == "packaged"
    assert told["retired_on"] == "2025-11-05"
    assert told["prices"][0]["input"] == "2.00"
    assert "safe_context_tokens" not in told
    assert told["sources"]["retired_on"][0] == "docs-deprecation"


def test_importing_the_catalog_reads_no_table():
    code = (
        "import sys, pathlib\n"
        "def refuse(self): raise AssertionError(self)\n"
        "pathlib.Path.read_bytes = refuse\n"
        "import langchain_cerebras_ext.catalog\n"
        "assert 'openai' not in sys.modules\n"
        "assert 'difflib' not in sys.modules\n"
        "assert 'msgspec' not in sys.modules\n"
        "inside = [n for n in sys.modules if 'catalog._' in n]\n"
        "assert {n.rpartition('.')[2] for n in inside} <= "
        "{'_days', '_registry', '_table'}, inside\n"
        "assert 'langchain_core.language_models' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "",
        "models",
        "lookup",
        "_choice",
        "_compare",
        "_lifecycle",
        "_own",
        "_parameters",
    ],
)
def test_the_doctests_of_the_catalog_hold(name):
    import doctest
    from importlib import import_module

    module = import_module(f"langchain_cerebras_ext.catalog.{name}".rstrip("."))
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_card_of_ones_own_needs_little():
    card = ModelCard(
        id="mine",
        name="Mine",
        status="dedicated-only",
        status_as_of=date(2026, 11, 21),
        reasoning=get_model("glm-5").reasoning,
    )
    assert card.price() is None
    assert "max_input_tokens" not in card.to_profile()
    assert card.limits("free").rates is None
