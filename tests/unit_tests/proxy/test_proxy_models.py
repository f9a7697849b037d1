"""Which model a request goes to, and how models are listed."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.catalog import list_models, register_model, unregister_model
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.models import ModelTable, Route
from langchain_cerebras_ext.proxy.refusal import Refusal

# The machine may be busy with other tests.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TODAY = date(2026, 11, 21)
SERVED = "gpt-oss-120b"
RETIRED = "llama3.1-8b"


def table(day: date = TODAY, **given_settings) -> ModelTable:
    chosen = {"aliases": {}, "allowed_models": frozenset(), "migrate_retired": False}
    prices = given_settings.pop("prices", None)
    names = SimpleNamespace(**(chosen | given_settings))
    return ModelTable(names, prices=prices, clock=lambda: day)


def refused(models: ModelTable, model: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        models.resolve(model)
    assert caught.value.param == "model"
    return caught.value


# ---------------------------------------------------------------------------- resolving


@pytest.mark.parametrize("model", [SERVED, "my-org-gpt-oss", "GPT-OSS-120B", "ärger/x"])
def test_a_name_that_needs_no_change_is_passed_on(model: str) -> None:
    assert table().resolve(model) == Route(model, rewritten=False)


@pytest.mark.parametrize("prefix", ["cerebras::", "cerebras/", "cerebras:"])
@pytest.mark.parametrize("model", [SERVED, "my-org-gpt-oss"])
def test_the_providers_prefix_is_taken_off(prefix: str, model: str) -> None:
    assert table().resolve(prefix + model) == Route(model, rewritten=True)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai::gpt-4o", "x/cerebras/y"])
def test_another_providers_prefix_is_part_of_the_name(model: str) -> None:
    assert not table().resolve(model).rewritten


ALIASES = {"fast": SERVED, "gpt-4o": "fast", "cerebras::own": "cerebras/my-org-oss"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("fast", SERVED),
        ("gpt-4o", SERVED),
        ("cerebras::fast", SERVED),
        ("cerebras::gpt-4o", SERVED),
        ("cerebras::own", "my-org-oss"),
        ("own", "own"),
        ("Fast", "Fast"),
    ],
)
def test_an_alias_stands_for_a_model_or_for_another_alias(asked, expected) -> None:
    route = table(aliases=ALIASES).resolve(asked)
    assert route == Route(expected, rewritten=asked != expected)


def test_an_alias_may_take_a_models_own_name() -> None:
    assert table(aliases={SERVED: "my-org"}).resolve(SERVED).model == "my-org"


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"a": "a"}, "circle: 'a' -> 'a'"),
        ({"a": "cerebras::a"}, "circle"),
        ({"a": "b", "b": "a"}, "circle: 'a' -> 'b' -> 'a'"),
        ({"x": "a", "a": "b", "b": "a"}, "circle"),
        ({"a": "b", "b": "c", "c": "d"}, "'a' -> 'b' -> 'c' -> 'd'"),
    ],
    ids=["itself", "itself with the prefix", "two", "into a circle", "too far"],
)
def test_aliases_that_lead_nowhere_stop_the_start(aliases, words: str) -> None:
    with pytest.raises(CerebrasConfigurationError, match=r"^APE_ALIASES: ") as caught:
        table(aliases=aliases)
    assert words in str(caught.value)


# --------------------------------------------------------------------------- allow-list


def test_without_a_list_all_are_allowed() -> None:
    assert table().resolve("anything").model == "anything"


@pytest.mark.parametrize(
    "asked", [SERVED, f"cerebras::{SERVED}", "fast", "gpt-4o", "cerebras::fast"]
)
@pytest.mark.parametrize(
    "allowed", [{SERVED}, {f"cerebras::{SERVED}", "more"}], ids=len
)
def test_a_model_is_allowed_by_all_its_names(asked: str, allowed) -> None:
    models = table(aliases=ALIASES, allowed_models=frozenset(allowed))
    assert models.resolve(asked).model == SERVED


def test_an_alias_may_be_allowed_where_its_model_is_not() -> None:
    models = table(aliases={"fast": SERVED}, allowed_models=frozenset({"fast"}))
    assert models.resolve("fast").model == SERVED
    assert refused(models, SERVED).status == 403


def test_what_is_not_allowed_is_refused_with_what_is() -> None:
    models = table(allowed_models=frozenset({SERVED, "zeta"}))
    for model in ("qwen-3.8-27b", RETIRED, "unheard-of"):
        told = refused(models, model)
        assert (told.status, told.code) == (403, "model_not_allowed")
        assert told.category == "model_not_allowed"
        assert f"'{model}'" in told.message
        assert f"Allowed: {SERVED}, zeta." in told.message


def test_a_long_list_is_told_in_part() -> None:
    models = table(allowed_models=frozenset(f"model-{n:03}" for n in range(500)))
    told = refused(models, "other").message
    assert told.endswith("model-019, ....")
    assert len(told) < 400


# ------------------------------------------------------------------------------ endings


@pytest.mark.parametrize(
    "card", [c for c in list_models() if c.retired_on], ids=lambda card: card.id
)
def test_every_model_that_has_ended_is_answered_with_its_successor(card) -> None:
    for name in (card.id, *card.aliases, f"cerebras::{card.id}"):
        told = refused(table(), name)
        assert (told.status, told.code) == (404, "model_retired")
        assert told.category == "model_retired"
        assert card.retired_on.isoformat() in told.message
        now = card.lifecycle(TODAY).successor
        assert f"'{now}'" in told.message
        route = table(migrate_retired=True).resolve(name)
        assert (route.model, route.rewritten) == (now, True)
        assert route.sunset == (card.retired_on.isoformat(), now)
        assert f"'{now}' answers in its place" in str(route.warning)


def test_an_alias_of_an_ended_model_says_what_it_stands_for() -> None:
    models = table(aliases={"small": RETIRED})
    assert refused(models, "small").message.startswith(
        "'small' stands for 'llama3.1-8b'"
    )


def test_a_migrated_model_need_not_have_an_allowed_successor() -> None:
    models = table(migrate_retired=True, allowed_models=frozenset({RETIRED}))
    assert models.resolve(RETIRED).model == SERVED


def test_names_of_other_products_are_not_the_services() -> None:
    assert table().resolve("LLAMA_3_1_8B") == Route("LLAMA_3_1_8B", rewritten=False)


def test_an_ending_goes_by_the_day() -> None:
    """zai-glm-4.6 was told in January 2026 to end on the 20th."""
    days: list[date] = [date(2025, 12, 1)]
    models = ModelTable(
        SimpleNamespace(aliases={}, allowed_models=(), migrate_retired=False),
        clock=lambda: days[-1],
    )
    assert models.resolve("zai-glm-4.6") == Route("zai-glm-4.6", rewritten=False)
    days.append(date(2026, 1, 19))
    route = models.resolve("zai-glm-4.6")
    assert (route.model, route.rewritten) == ("zai-glm-4.6", False)
    assert route.sunset == ("2026-01-20", "zai-glm-4.7")
    assert "will be retired on 2026-01-20" in str(route.warning)
    days.append(date(2026, 1, 20))  # it may still answer
    assert models.resolve("zai-glm-4.6").model == "zai-glm-4.6"
    days.append(date(2026, 1, 21))
    assert "2026-01-20 (1 day ago)" in refused(models, "zai-glm-4.6").message


def test_a_card_of_ones_own_is_known_at_once() -> None:
    """Whoever still serves a retired model says so in the catalog."""
    models = table()
    assert refused(models, RETIRED).code == "model_retired"
    ours = {"id": RETIRED, "retired_on": None, "deprecation_announced": None}
    register_model({**ours, "status": "active"})
    try:
        assert models.resolve(RETIRED) == Route(RETIRED, rewritten=False)
    finally:
        unregister_model(RETIRED)
    assert refused(models, RETIRED).code == "model_retired"


def test_each_refusal_is_its_own() -> None:
    """One raised twice would keep the frames of both requests."""
    models = table()
    assert refused(models, RETIRED) is not refused(models, RETIRED)


def test_names_that_nobody_knows_are_not_kept_for_ever() -> None:
    models = table()
    for number in range(10_000):
        models.resolve(f"model-{number}")
    assert len(models._kept) <= 4096


@settings(LAW, max_examples=50)
@given(st.text())
def test_any_name_is_resolved(model: str) -> None:
    route = table(aliases=ALIASES).resolve(model)
    assert route.rewritten == (route.model != model)


# -------------------------------------------------------------------------------- lists


def payload(*names: str, **more) -> bytes:
    rows = [
        {"id": name, "object": "model", "created": 0, "owned_by": "Cerebras"}
        for name in names
    ]
    return json.dumps({"object": "list", "data": rows, **more}).encode()


def listed(models: ModelTable, raw: bytes | None) -> dict[str, dict]:
    told = json.loads(models.list_view(raw))
    assert told["object"] == "list"
    assert all(row["object"] == "model" for row in told["data"])
    return {row["id"]: row for row in told["data"]}


def test_the_upstreams_list_is_told_with_lives_and_prices() -> None:
    rows = listed(table(), payload(SERVED, "my-org-oss"))
    assert list(rows) == [SERVED, "my-org-oss"]
    row = rows[SERVED]
    assert row["owned_by"] == "Cerebras"
    assert row["lifecycle"] == {
        "status": "active",
        "deprecated_on": None,
        "sunset_on": None,
        "successor": None,
    }
    pricing = row["pricing"]
    assert (pricing["prompt"], pricing["completion"]) == ("0.00000035", "0.00000075")
    assert pricing["currency"] == "USD"
    assert pricing["source"]
    date.fromisoformat(pricing["as_of"])
    assert (row["context_window"], row["max_output_tokens"]) == (131072, 40960)
    assert row["capabilities"]["reasoning"] is True
    assert "root" not in row


def test_what_is_not_known_is_null() -> None:
    row = listed(table(), payload("my-org-oss"))["my-org-oss"]
    for name in ("lifecycle", "pricing", "context_window", "max_output_tokens"):
        assert row[name] is None


def test_a_model_that_ends_is_listed_with_its_end() -> None:
    row = listed(table(date(2026, 1, 15)), payload("zai-glm-4.6"))["zai-glm-4.6"]
    assert row["lifecycle"]["status"] == "deprecated"
    assert row["lifecycle"]["sunset_on"] == "2026-01-20"
    assert row["lifecycle"]["successor"] == "zai-glm-4.7"
    gone = listed(table(), payload(RETIRED))[RETIRED]["lifecycle"]
    assert (gone["status"], gone["sunset_on"]) == ("retired", "2026-05-27")
    assert gone["successor"] == SERVED


def test_what_the_upstream_says_is_not_overwritten() -> None:
    raw = b'{"object":"list","next":1,"data":[{"id":"gpt-oss-120b","object":"model","pricing":{"x":1}}]}'
    told = json.loads(table().list_view(raw))
    assert told["next"] == 1
    assert told["data"][0]["pricing"] == {"x": 1}


def test_aliases_are_listed_as_models() -> None:
    models = table(aliases={**ALIASES, "old": RETIRED})
    rows = listed(models, payload(SERVED))
    assert list(rows) == [SERVED, "fast", "gpt-4o", "cerebras::own"]
    assert rows["fast"]["root"] == rows["gpt-4o"]["root"] == SERVED
    assert rows["fast"]["pricing"] == rows[SERVED]["pricing"]
    assert rows["cerebras::own"]["root"] == "my-org-oss"
    migrating = table(aliases={"old": RETIRED}, migrate_retired=True)
    assert listed(migrating, payload(SERVED))["old"]["root"] == SERVED


def test_an_alias_of_a_listed_name_is_listed_once() -> None:
    rows = json.loads(table(aliases={SERVED: "own"}).list_view(payload(SERVED)))["data"]
    assert [row["id"] for row in rows] == [SERVED]


def test_only_what_is_allowed_is_listed() -> None:
    models = table(aliases={"fast": SERVED}, allowed_models=frozenset({"fast"}))
    assert list(listed(models, payload(SERVED, "qwen-3.8-27b"))) == ["fast"]
    models = table(aliases={"fast": SERVED}, allowed_models=frozenset({SERVED}))
    assert list(listed(models, payload("qwen-3.8-27b", SERVED))) == [SERVED, "fast"]


def test_without_an_upstreams_list_the_catalogs_is_told() -> None:
    assert list(listed(table(), None)) == ["gpt-oss-120b", "qwen-3.8-27b"]
    assert "zai-glm-4.7" in listed(table(date(2026, 3, 1)), None)


ODD = [b"", b"<html>", b"[]", b"{}", b'{"data":null}', b'{"data":{}}', b"\xff", b"1"]


@pytest.mark.parametrize("raw", ODD)
def test_what_is_no_list_is_passed_on(raw: bytes) -> None:
    assert table().list_view(raw) == raw


def test_rows_that_are_none_are_passed_on() -> None:
    rows = [1, None, "x", [], {}, {"id": 5}, {"id": ["x"]}, {"id": {}}]
    raw = msgspec.json.encode({"data": rows})
    for models in (table(), table(allowed_models=frozenset({SERVED}))):
        told = json.loads(models.list_view(raw))["data"]
        assert told[:4] == rows[:4]
        assert [row.get("id") for row in told[4:]] == [None, 5, ["x"], {}]


def test_prices_of_ones_own_are_shown() -> None:
    book = PriceBook().with_price("my-org-oss", input="1.5", output=3)
    book = book.with_discount(percent=20, model=SERVED, note="contract")
    rows = listed(table(prices=book), payload("my-org-oss", SERVED))
    own = rows["my-org-oss"]["pricing"]
    assert (own["prompt"], own["completion"]) == ("0.0000015", "0.000003")
    assert own["source"] == "your prices"
    assert rows[SERVED]["pricing"]["prompt"] == "0.00000028"
    assert rows[SERVED]["pricing"]["discount"] == "0.2"


# ------------------------------------------------------------------------------ a model


@pytest.mark.parametrize(
    ("asked", "root"),
    [(SERVED, None), ("fast", SERVED), (f"cerebras::{SERVED}", SERVED)],
)
def test_one_model_is_told_under_the_name_that_was_asked(asked, root) -> None:
    raw = json.dumps({"id": SERVED, "object": "model", "extra": 1}).encode()
    for found in (raw, None):
        told = json.loads(table(aliases=ALIASES).model_view(asked, found))
        assert (told["id"], told.get("root")) == (asked, root)
        assert told["lifecycle"]["status"] == "active"
        assert told.get("extra") == (1 if found else None)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"1"])
def test_what_is_no_model_is_passed_on(raw: bytes) -> None:
    assert table().model_view(SERVED, raw) == raw
