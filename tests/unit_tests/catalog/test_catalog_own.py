"""Cards of one's own: from code and from the file in `CEREBRAS_CATALOG`."""

from __future__ import annotations

import json
import threading
from datetime import date, datetime
from decimal import Decimal

import pytest

from langchain_cerebras_ext.catalog import (
    Capabilities,
    ModelCard,
    Price,
    UnknownModelError,
    find_model,
    get_model,
    list_models,
    register_model,
    reload,
    source,
    unregister_model,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

TODAY = date(2026, 11, 21)
DEDICATED = "my-org-gpt-oss-120b"


# ------------------------------------------------------------------------- from code


def test_an_id_is_enough_for_a_card():
    card = register_model({"id": "mine"})
    assert card is get_model("mine") is find_model("mine")
    assert (card.name, card.status, card.origin) == ("mine", "active", "registered")
    assert card.price() is None
    assert card.capabilities == Capabilities()
    assert card in list_models("active")


def test_a_card_may_be_given_whole():
    given = ModelCard(id="mine", name="Mine", status="active", status_as_of=TODAY)
    card = register_model(given)
    assert card.origin == "registered"
    assert card.name == "Mine"
    assert source(card.sources["name"][0]).kind == "own"


def test_a_registered_card_can_be_taken_back():
    register_model({"id": "mine"})
    assert unregister_model("mine") is True
    assert unregister_model("mine") is False
    with pytest.raises(UnknownModelError):
        get_model("mine")


def test_a_dedicated_endpoint_extends_the_technical_facts_of_its_model():
    parent = get_model("gpt-oss-120b")
    card = register_model({"id": DEDICATED, "extends": "gpt-oss-120b"})
    assert card.reasoning == parent.reasoning
    assert card.capabilities == parent.capabilities
    assert card.tokenizer == parent.tokenizer
    assert card.context_tokens_paid == 131_072
    # What belongs to the shared endpoints does not go over.
    assert (card.prices, card.rate_limits, card.aliases) == ((), (), ())
    assert card.announced is None
    assert card.sources["reasoning"] == parent.sources["reasoning"]
    assert card.to_profile()["reasoning_effort_levels"] == ["low", "medium", "high"]


def test_single_facts_of_a_group_are_put_over_those_of_the_parent():
    card = register_model(
        {
            "id": DEDICATED,
            "extends": "gpt-oss-120b",
            "capabilities": {"parallel_tool_calls": True},
            "reasoning": {"default_effort": "high"},
        }
    )
    assert card.capabilities.parallel_tool_calls is True
    assert card.capabilities.tools is True
    assert card.reasoning.default_effort == "high"
    assert card.reasoning.efforts == ("low", "medium", "high")
    assert source(card.sources["capabilities"][0]).title == "Registered by the program"


def test_a_packaged_card_is_overridden_fact_by_fact_and_is_there_again_after():
    packaged = get_model("gpt-oss-120b")
    card = register_model({"id": "gpt-oss-120b", "context_tokens_paid": 200_000})
    assert card.context_tokens_paid == 200_000
    assert card.origin == "registered"
    assert card.prices == packaged.prices
    assert card.sources["prices"] == packaged.sources["prices"]
    assert source(card.sources["context_tokens_paid"][0]).kind == "own"
    assert [one.id for one in list_models()].count("gpt-oss-120b") == 1
    unregister_model("gpt-oss-120b")
    assert get_model("gpt-oss-120b") == packaged


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ({"input": 0, "output": 0}, (Decimal(0), Decimal(0))),
        ({"input": 0.35, "output": "0.75"}, (Decimal("0.35"), Decimal("0.75"))),
        ({"input": Decimal("0.1")}, (Decimal("0.1"), None)),
        ({}, (None, None)),
    ],
    ids=str,
)
def test_a_free_model_is_zero_and_an_unknown_price_is_none(price, expected):
    found = register_model({"id": "mine", "price": price}).price(TODAY)
    assert (found.input, found.output) == expected


def test_a_price_without_a_beginning_takes_the_place_of_all():
    card = register_model({"id": "gpt-oss-120b", "price": {"input": 0, "output": 0}})
    assert card.price(date(2025, 9, 1)).input == 0


def test_a_price_from_a_day_on_follows_those_before():
    price = {"input": "0.20", "output": "0.40", "valid_from": "2026-12-01"}
    card = register_model({"id": "gpt-oss-120b", "price": price})
    assert card.price(date(2026, 11, 30)).input == Decimal("0.35")
    assert card.price(date(2026, 12, 1)).input == Decimal("0.20")
    assert card.price(date(2025, 8, 5)).input == Decimal("0.25")


def test_price_periods_may_be_given_whole():
    card = register_model(
        {
            "id": "mine",
            "prices": [
                {"input": 1, "output": 2, "valid_until": date(2026, 6, 1)},
                {"input": 2, "output": 3, "valid_from": date(2026, 6, 1)},
            ],
        }
    )
    assert card.price(date(2026, 5, 31)).input == 1
    assert card.price(date(2026, 6, 1)).input == 2


def test_an_end_of_ones_own_is_told_from_the_first():
    card = register_model(
        {"id": "mine", "retired_on": "2027-01-31", "replacements": ["gpt-oss-120b"]}
    )
    life = card.lifecycle(TODAY)
    assert (life.stage, life.days_left, life.successor) == (
        "deprecated",
        71,
        "gpt-oss-120b",
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "register_model: key 'id' must be the model's id; it is None."),
        ({"id": "  "}, "key 'id' must be the model's id"),
        ({"id": "m", "contxt_tokens_paid": 1}, "register_model, model 'm': key 'contxt_tokens_paid': is not known; did you mean 'context_tokens_paid'."),
        ({"id": "m", "reasoning": {"effort": []}}, "key 'reasoning.effort': is not known; did you mean 'efforts'."),
        ({"id": "m", "price": {"imput": 1}}, "key 'price.imput': is not known; did you mean 'input'."),
        ({"id": "m", "price": 3}, "key 'price': must hold input, output and so on."),
        ({"id": "m", "price": {"input": -1}}, "key 'prices[0].input': -1 is no price; 0 is free."),
        ({"id": "m", "price": {"input": "free"}}, "key 'prices[0].input': Invalid decimal string."),
        ({"id": "m", "price": {}, "prices": []}, "key 'price': give either price or prices."),
        ({"id": "m", "context_tokens_paid": "128k"}, "key 'context_tokens_paid': Expected `int | null`, got `str`."),
        ({"id": "m", "context_tokens_paid": 0}, "key 'context_tokens_paid': 0 must be above 0; leave it out if it is not known."),
        ({"id": "m", "retired_on": "soon"}, "key 'retired_on': Invalid RFC3339 encoded date."),
        ({"id": "m", "status": "gone"}, "key 'status': Invalid enum value 'gone'."),
        ({"id": "m", "extends": "gpt-9"}, "key 'extends': there is no model 'gpt-9'."),
        ({"id": "m", "origin": "packaged"}, "key 'origin': is written by the catalog itself; drop it."),
        ({"id": "m", "aliases": ["gpt-oss-120b"]}, "key 'aliases': 'gpt-oss-120b' is the id of another model."),
        ({"id": "m", "replacements": ["m"]}, "key 'replacements': a model cannot replace itself."),
        ({"id": "m", "announced": "2026-02-01", "retired_on": "2026-01-01"}, "key 'retired_on': 2026-01-01 is before announced, which is 2026-02-01."),
        ({"id": "m", "prices": [{"valid_until": "2026-01-01"}, {"valid_from": "2026-02-01"}]}, "key 'prices[0].valid_until': must be 2026-02-01, where the next period begins."),
        ({"id": "m", "prices": [{}, {}]}, "key 'prices[1].valid_from': is needed for all periods but the first."),
        ({"id": "m", "prices": [{"valid_from": "2026-02-01", "valid_until": "2026-02-01"}]}, "key 'prices[0].valid_until': 2026-02-01 is not after 2026-02-01."),
        ({"id": "m", "context_tokens_free": 9, "context_tokens_paid": 8}, "key 'context_tokens_free': 9 is more than context_tokens_paid, which is 8."),
        ({"id": "m", "reasoning": {"efforts": ["low"], "default_effort": "high"}}, "key 'reasoning.default_effort': must be one of reasoning.efforts."),
        ({"id": "m", "reasoning": {"supported": False, "efforts": ["low"]}}, "key 'reasoning.supported': is false, but efforts or formats are given."),
        ({"id": "m", "images": {"formats": [], "data_uri": True, "remote_url": False, "roles": []}}, "key 'images': needs capabilities.vision = true."),
        ({"id": "m", "rate_limits": [{"tier": "free", "plan": "x", "as_of": "2026-01-01", "source": "s", "requests_per_minute": 0}]}, "key 'rate_limits[0].requests_per_minute': 0 must be above 0 and not unlimited."),
    ],
    ids=lambda value: json.dumps(value, default=str)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_wrong_card_is_refused_with_its_key_and_changes_nothing(given, told):
    before = list_models()
    with pytest.raises(CerebrasConfigurationError) as caught:
        register_model(given)
    assert told in str(caught.value)
    assert list_models() == before


def test_a_wrong_card_that_is_given_whole_is_refused_too():
    card = ModelCard(
        id="mine",
        name="Mine",
        status="active",
        status_as_of=TODAY,
        prices=(Price(input=Decimal("NaN")),),
    )
    with pytest.raises(CerebrasConfigurationError, match="NaN is no price"):
        register_model(card)


def test_an_id_of_ones_own_wins_over_another_products_name():
    register_model({"id": "llama-3.1-8b", "name": "My Llama"})
    assert get_model("llama-3.1-8b").name == "My Llama"
    assert get_model("llama3.1-8b").origin == "packaged"


def test_an_alias_of_ones_own_finds_the_card():
    register_model({"id": "mine", "aliases": ["my-model"]})
    assert get_model("my-model").id == "mine"


def test_a_near_miss_of_ones_own_card_is_suggested():
    register_model({"id": "acme-support-bot"})
    with pytest.raises(UnknownModelError) as caught:
        get_model("acme-suport-bot")
    assert caught.value.suggestions == ("acme-support-bot",)


def test_many_threads_may_register_and_look_up_at_once():
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                name = f"mine-{number}-{turn}"
                assert register_model({"id": name}) is not None
                assert get_model(name).id == name
                assert len(list_models("active")) >= 2
                if turn % 2:
                    assert unregister_model(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    mine = [card.id for card in list_models() if card.id.startswith("mine-")]
    assert sorted(mine) == sorted(
        f"mine-{n}-{t}" for n in range(8) for t in range(0, 10, 2)
    )


# ----------------------------------------------------------------------- from a file

TOML = """
[[models]]
id = "my-org-gpt-oss-120b"
extends = "gpt-oss-120b"
name = "Our GPT OSS"
announced = 2026-03-01
[models.price]
input = 0
output = 0

[[models]]
id = "qwen-3.8-27b"
price = { input = 0.80, output = 1.20, valid_from = 2026-12-01 }
"""


@pytest.fixture
def use_file(monkeypatch, tmp_path):
    def use(text: str | bytes, name: str = "catalog.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv("CEREBRAS_CATALOG", str(path))
        reload()
        return path

    return use


def test_a_toml_file_adds_and_overrides_cards(use_file):
    path = use_file(TOML)
    card = get_model(DEDICATED)
    assert (card.name, card.origin, card.announced) == (
        "Our GPT OSS",
        "file",
        date(2026, 3, 1),
    )
    assert card.price(TODAY).blended() == 0
    assert source(card.sources["name"][0]).title == f"Your file {path.name}"
    qwen = get_model("qwen-3.8-27b")
    assert qwen.origin == "file"
    assert qwen.price(date(2026, 12, 1)).input == Decimal("0.80")
    assert qwen.price(TODAY).input == Decimal("0.99")
    assert get_model("gpt-oss-120b").origin == "packaged"


def test_a_json_file_does_the_same(use_file):
    rows = [{"id": "mine", "price": {"input": 0.1, "output": 0.2}}]
    use_file(json.dumps({"schema_version": 1, "models": rows}), "catalog.json")
    assert get_model("mine").price(TODAY).input == Decimal("0.1")


def test_a_registered_card_lies_over_that_of_the_file(use_file):
    use_file(TOML)
    card = register_model({"id": DEDICATED, "name": "Mine"})
    assert (card.name, card.origin) == ("Mine", "registered")
    assert card.price(TODAY).blended() == 0
    unregister_model(DEDICATED)
    assert get_model(DEDICATED).name == "Our GPT OSS"


def test_an_entry_may_extend_an_earlier_one(use_file):
    use_file(
        '[[models]]\nid = "a"\nextends = "gpt-oss-120b"\n[[models]]\nid = "b"\nextends = "a"\n'
    )
    assert get_model("b").reasoning.efforts == ("low", "medium", "high")


def test_the_file_is_read_once(use_file):
    path = use_file(TOML)
    get_model(DEDICATED)
    path.unlink()
    assert get_model(DEDICATED).origin == "file"
    reload()
    with pytest.raises(CerebrasConfigurationError, match="cannot be read"):
        get_model(DEDICATED)


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("[[models]\n", "c.toml", "is no TOML"),
        ("{", "c.json", "is no JSON"),
        (b"\xff\xfe", "c.toml", "is no TOML"),
        (b"\xff\xfe", "c.json", "is no JSON"),
        ("[]", "c.json", "must be an object with a list 'models'."),
        ('{"models": {}}', "c.json", "'models' must be a list of entries, one a model."),
        ("{}", "c.json", "'models' must be a list of entries, one a model."),
        ('{"model": []}', "c.json", "key 'model' is not known; it takes a list 'models'."),
        ('{"models": [3]}', "c.json", "entry 1: must be a table of keys and values."),
        ('{"models": [{}]}', "c.json", "entry 1: key 'id' must be the model's id; it is None."),
        ('{"models": [{"id": "a"}, {"id": "a"}]}', "c.json", "entry 2: there is an entry 'a' already."),
        ('{"models": [{"id": "a"}, {"id": "b", "speed": 1}]}', "c.json", "entry 2, model 'b': key 'speed': is not known"),
        ('[[models]]\nid = "a"\n[models.reasoning]\nefforts = ["max"]\n', "c.toml", "entry 1, model 'a': key 'reasoning.efforts[0]': Invalid enum value 'max'."),
        ('[[models]]\nid = "a"\nretired_on = 2026-01-01T10:00:00\n', "c.toml", "key 'retired_on': Expected `date | null`, got `datetime`."),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_name_entry_and_key(
    use_file, text, name, told
):
    path = use_file(text, name)
    with pytest.raises(CerebrasConfigurationError) as caught:
        find_model("gpt-oss-120b")
    assert str(caught.value).startswith(f"CEREBRAS_CATALOG file {str(path)!r}")
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CEREBRAS_CATALOG", str(tmp_path / "none.toml"))
    reload()
    with pytest.raises(
        CerebrasConfigurationError, match=r"none\.toml' cannot be read: No such file"
    ):
        list_models()


def test_without_a_file_nothing_is_read(monkeypatch):
    monkeypatch.setenv("CEREBRAS_CATALOG", "  ")
    reload()
    assert {card.origin for card in list_models()} == {"packaged"}


def test_the_source_of_a_file_is_as_old_as_the_file(use_file):
    use_file(TOML)
    found = source("catalog-file")
    assert isinstance(found.checked_on, date)
    assert not isinstance(found.checked_on, datetime)
