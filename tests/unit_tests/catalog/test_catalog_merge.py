"""Live lists laid over the packaged cards, the differences, and the rows of these."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext import catalog
from langchain_cerebras_ext.catalog import get_model, list_models
from langchain_cerebras_ext.catalog._checks import table_problems
from langchain_cerebras_ext.catalog._diff import make_diff
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._rows import format_table
from langchain_cerebras_ext.catalog._snapshot import (
    LiveModel,
    Snapshot,
    merge_snapshots,
    read_account_list,
    read_public_list,
)
from langchain_cerebras_ext.catalog._table import packaged_table, read_table

DAY = timedelta(days=1)
LATER = date(2026, 12, 1)
URL = "https://api.cerebras.ai"
TEXT = Path(catalog.__file__).with_name("models.json").read_text(encoding="utf-8")

GPT_OSS = LiveModel(
    id="gpt-oss-120b",
    name="OpenAI GPT OSS",
    owner="OpenAI",
    created=date(2025, 8, 6),
    input=Decimal("0.35"),
    output=Decimal("0.75"),
    context_tokens=131_072,
    max_output_tokens=40_960,
    abilities={
        "tools": True,
        "parallel_tool_calls": False,
        "structured_outputs": True,
        "json_mode": True,
        "streaming": True,
        "vision": False,
        "reasoning": True,
    },
    deprecated=False,
    preview=False,
)
# As it was on 2026-09-09: no price, and the smaller window of its two.
QWEN = LiveModel(
    id="qwen-3.8-27b",
    name="Qwen 3.8 27B",
    context_tokens=65_536,
    max_output_tokens=32_768,
    abilities={"tools": True, "vision": True, "reasoning": True},
    deprecated=False,
    preview=False,
)
NEW = LiveModel(
    id="new-model-1t",
    name="New Model 1T",
    owner="Somebody",
    created=date(2026, 11, 28),
    input=Decimal("1.50"),
    output=Decimal("3.00"),
    context_tokens=262_144,
    max_output_tokens=65_536,
    abilities={"tools": True, "vision": False, "reasoning": True},
    deprecated=False,
    preview=True,
)


def snapshot(*models: LiveModel, on: date = LATER, account=None) -> Snapshot:
    return Snapshot(on=on, url=URL, models=models, account=account)


def merged(*snapshots: Snapshot):
    cards, sources = merge_snapshots(packaged_table().cards, snapshots)
    return {card.id: card for card in cards}, sources


# --------------------------------------------------------------- reading the answers

ENTRY = {
    "id": "gpt-oss-120b",
    "object": "model",
    "created": 1754438400,
    "owned_by": "OpenAI",
    "name": "OpenAI GPT OSS",
    "pricing": {"prompt": "0.00000035", "completion": "0.00000075"},
    "capabilities": {"function_calling": True, "vision": False, "reasoning": True, "extra": 1},
    "limits": {"max_context_length": 131072, "max_completion_tokens": 40960, "requests_per_minute": None},
    "deprecated": False,
    "preview": False,
    "quantization": None,
    "something_new": {"a": [1]},
}  # fmt: skip


def body(*entries: object) -> bytes:
    return json.dumps({"object": "list", "data": list(entries)}).encode()


def test_the_public_list_is_read_with_prices_by_the_million():
    (model,) = read_public_list(body(ENTRY))
    assert (str(model.input), str(model.output)) == ("0.35", "0.75")
    assert (model.context_tokens, model.max_output_tokens) == (131_072, 40_960)
    assert model.created == date(2025, 8, 6)
    assert model.abilities == {"tools": True, "vision": False, "reasoning": True}
    assert (model.deprecated, model.preview) == (False, False)


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({"prompt": "0.00000225", "completion": "0.00000275"}, ("2.25", "2.75")),
        ({"prompt": "0.0000001", "completion": "0.000002"}, ("0.10", "2.00")),
        ({"prompt": "1.25e-7", "completion": 0.00000075}, ("0.125", "0.75")),
        ({"prompt": "0", "completion": "0.0"}, (None, None)),
        ({"prompt": None}, (None, None)),
        (None, (None, None)),
    ],
    ids=str,
)
def test_a_price_of_zero_in_a_list_is_no_price(pricing, expected):
    """The service listed 0 for a model that costs 0.99 and 1.49."""
    (model,) = read_public_list(body({**ENTRY, "pricing": pricing}))
    found = [None if one is None else str(one) for one in (model.input, model.output)]
    assert tuple(found) == expected


def test_an_entry_may_tell_nothing_but_its_id():
    assert read_public_list(body({"id": "x"})) == (LiveModel(id="x"),)


def test_of_an_id_that_is_there_twice_the_first_entry_counts():
    models = read_public_list(
        body({"id": "x", "name": "1"}, {"id": "y"}, {"id": "x", "name": "2"})
    )
    assert [(model.id, model.name) for model in models] == [("x", "1"), ("y", None)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"<html></html>",
        b"\xff",
        b'{"data": null}',
        b'{"data": []}',
        b'{"data": {}}',
        b'{"object": "list"}',
        b'{"data": [{"name": "no id"}]}',
        b'{"data": [{"id": ""}]}',
        b'{"data": [{"id": 3}]}',
        b'{"data": ["gpt-oss-120b"]}',
        b'{"data": [{"id": "x", "pricing": {"prompt": "cheap"}}]}',
        b'{"data": [{"id": "x", "pricing": {"prompt": "-1"}}]}',
        b'{"data": [{"id": "x", "pricing": {"prompt": "NaN"}}]}',
        b'{"data": [{"id": "x", "pricing": {"prompt": "Infinity"}}]}',
        b'{"data": [{"id": "x", "limits": {"max_context_length": -1}}]}',
        b'{"data": [{"id": "x", "limits": {"max_context_length": "128k"}}]}',
        b'{"data": [{"id": "x", "capabilities": {"vision": "yes"}}]}',
        b'{"data": [{"id": "x", "created": 1e300}]}',
        b'{"data": [{"id": "x", "created": 99999999999999999}]}',
        b'{"data": [{"id": "x"}',
        b"[" * 100_000,
    ],
    ids=lambda data: data[:50].decode("latin-1"),
)
def test_what_is_no_list_of_models_is_refused(data):
    with pytest.raises(ValueError):
        read_public_list(data)


def test_the_list_of_a_key_is_its_ids():
    assert read_account_list(body({"id": "a"}, {"id": "b"}, {"id": "a"})) == ("a", "b")
    with pytest.raises(ValueError, match="no models"):
        read_account_list(body())


# ------------------------------------------------------------------------ differences


def test_a_list_that_tells_what_is_known_differs_in_nothing():
    """Neither a zero price nor the safe window, which is known, is news."""
    diff = make_diff(packaged_table(), snapshot(GPT_OSS, QWEN))
    assert not diff
    assert diff.lines() == []
    assert diff.to_rows() == []
    assert diff.apply_to(TEXT, on=packaged_table().checked_on) == TEXT


def drifted() -> Snapshot:
    """A list in which everything is otherwise that can be."""
    glm = LiveModel(id="zai-glm-4.7", context_tokens=131_072)
    changed = replace(
        GPT_OSS,
        input=Decimal("0.30"),
        context_tokens=32_768,
        abilities={**(GPT_OSS.abilities or {}), "parallel_tool_calls": True},
        deprecated=True,
        preview=True,
    )
    return snapshot(changed, glm, NEW)


def test_a_difference_of_every_kind_is_found():
    diff = make_diff(packaged_table(), drifted())
    assert diff
    assert [card.id for card in diff.new] == ["new-model-1t"]
    assert diff.gone == ("qwen-3.8-27b",)
    assert diff.back == ("zai-glm-4.7",)
    assert diff.lines() == [
        "new: new-model-1t (New Model 1T)",
        "gone: qwen-3.8-27b",
        "back: zai-glm-4.7",
        "gpt-oss-120b: price.input: 0.35 -> 0.30",
        "gpt-oss-120b: context_tokens_paid: 131072 -> 32768",
        "gpt-oss-120b: context_tokens_free: 65536 -> 32768",
        "gpt-oss-120b: capabilities.parallel_tool_calls: false -> true",
        "gpt-oss-120b: release_stage: production -> preview",
        "gpt-oss-120b: deprecated: false -> true",
    ]
    kinds = ["price", "limit", "capability", "stage", "deprecated"]
    assert [len(diff.of_kind(kind)) for kind in kinds] == [1, 2, 1, 1, 1]
    assert json.loads(json.dumps(diff.to_dict()))["gone"] == ["qwen-3.8-27b"]


def test_a_fact_that_was_not_known_is_learned():
    able = {**(QWEN.abilities or {}), "json_mode": True}
    diff = make_diff(packaged_table(), snapshot(GPT_OSS, replace(QWEN, abilities=able)))
    assert diff.lines() == ["qwen-3.8-27b: capabilities.json_mode: not known -> true"]


def test_a_window_that_is_neither_of_the_known_ones_lowers_the_safe_one():
    cards, _ = merged(snapshot(GPT_OSS, replace(QWEN, context_tokens=32_000)))
    card = cards["qwen-3.8-27b"]
    assert (card.context_tokens_paid, card.safe_context_tokens) == (32_000, 32_000)
    assert card.context_tokens_free == 32_000


def test_what_a_key_may_use_is_told_apart():
    account = ("gpt-oss-120b", "my-org-endpoint")
    diff = make_diff(packaged_table(), snapshot(GPT_OSS, QWEN, account=account))
    assert diff.account_only == ("my-org-endpoint",)
    assert diff.account_missing == ("qwen-3.8-27b",)
    assert not diff
    without = make_diff(packaged_table(), snapshot(GPT_OSS, QWEN))
    assert (without.account_only, without.account_missing) == (None, None)


def test_a_model_that_only_the_keys_list_has_is_not_gone():
    diff = make_diff(
        packaged_table(), snapshot(GPT_OSS, account=("gpt-oss-120b", "qwen-3.8-27b"))
    )
    assert diff.gone == ()


def test_an_alias_in_the_list_is_the_model():
    diff = make_diff(
        packaged_table(), snapshot(GPT_OSS, QWEN, LiveModel(id="llama3.3-70b"))
    )
    assert diff.new == ()
    assert diff.back == ("llama-3.3-70b",)


# ---------------------------------------------------------------------------- merging


def test_a_changed_price_is_a_new_period_and_the_old_one_stays():
    cards, sources = merged(snapshot(replace(GPT_OSS, input=Decimal("0.30")), QWEN))
    card = cards["gpt-oss-120b"]
    packaged = packaged_table().by_name["gpt-oss-120b"]
    assert card.prices[:2] == packaged.prices[:2]
    assert card.prices[2] == replace(packaged.prices[2], valid_until=LATER)
    assert card.price(LATER - DAY).input == Decimal("0.35")
    last = card.price(LATER)
    assert (last.input, last.output, last.cached_input) == (
        Decimal("0.30"),
        Decimal("0.75"),
        Decimal("0.30"),
    )
    assert card.origin == "refreshed"
    assert card.sources["prices"][0] == "public-models-2026-12-01"
    assert sources["public-models-2026-12-01"].kind == "capture"


def test_a_price_that_stays_is_seen_once_more():
    cards, _ = merged(snapshot(GPT_OSS, QWEN))
    card = cards["gpt-oss-120b"]
    assert len(card.prices) == 3
    assert card.prices[-1].seen[-1].on == LATER
    assert card.origin == "packaged"


def test_a_price_that_was_not_known_is_the_first():
    back = LiveModel(
        id="deepseek-r1-distill-llama-70b", input=Decimal(1), output=Decimal(2)
    )
    cards, _ = merged(snapshot(GPT_OSS, QWEN, back))
    assert cards["deepseek-r1-distill-llama-70b"].price(LATER).blended() == Decimal(
        "1.5"
    )


def test_a_later_list_of_the_same_day_takes_the_place_of_the_earlier():
    first = snapshot(replace(GPT_OSS, input=Decimal("0.30")), QWEN)
    second = snapshot(replace(GPT_OSS, input=Decimal("0.31")), QWEN)
    cards, _ = merged(first, second)
    assert [str(price.input) for price in cards["gpt-oss-120b"].prices] == [
        "0.25",
        "0.40",
        "0.35",
        "0.31",
    ]


def test_changed_facts_keep_what_they_were():
    cards, _ = merged(drifted())
    card = cards["gpt-oss-120b"]
    assert (card.context_tokens_paid, card.context_tokens_free) == (32_768, 32_768)
    assert card.capabilities.parallel_tool_calls is True
    before = card.as_of(LATER - DAY)
    assert (before.context_tokens_paid, before.context_tokens_free) == (131_072, 65_536)
    assert before.capabilities.parallel_tool_calls is False
    assert before.release_stage == "production"


def test_the_list_decides_what_is_served():
    cards, _ = merged(drifted())
    assert cards["gpt-oss-120b"].lifecycle(LATER).stage == "deprecated"
    assert cards["gpt-oss-120b"].status == "active"
    assert cards["qwen-3.8-27b"].status == "unlisted"
    assert cards["qwen-3.8-27b"].lifecycle(LATER).is_served is False
    assert cards["zai-glm-4.7"].status == "active"
    assert cards["zai-glm-4.7"].lifecycle(LATER).stage == "deprecated"
    assert cards["zai-glm-4.7"].as_of(LATER - DAY).status == "retired"
    assert cards["qwen-3.8-27b"].as_of(LATER - DAY).status == "active"


def test_served_models_stand_first():
    cards, _ = merged(drifted())
    statuses = [card.status == "active" for card in cards.values()]
    assert statuses == sorted(statuses, reverse=True)


def test_a_new_model_has_a_card_of_what_the_list_tells():
    cards, _ = merged(drifted())
    card = cards["new-model-1t"]
    assert (card.name, card.owner, card.status, card.origin) == (
        "New Model 1T",
        "Somebody",
        "active",
        "refreshed",
    )
    assert (card.announced, card.announced_precision) == (date(2026, 11, 28), "day")
    assert card.release_stage == "preview"
    assert card.price(LATER).output == Decimal("3.00")
    assert card.reasoning.supported is True
    assert card.reasoning.efforts is None
    assert card.capabilities.json_mode is None
    assert card.limits().context_tokens == 262_144


@pytest.mark.parametrize("created", [None, LATER + DAY], ids=["none", "in the future"])
def test_a_new_model_without_a_day_came_by_the_day_of_the_list(created):
    cards, _ = merged(snapshot(GPT_OSS, QWEN, replace(NEW, created=created)))
    card = cards["new-model-1t"]
    assert (card.announced, card.announced_precision) == (LATER, "by")


def test_a_new_model_that_does_not_reason_takes_no_efforts():
    plain = replace(NEW, abilities={"reasoning": False})
    cards, _ = merged(snapshot(GPT_OSS, QWEN, plain))
    assert cards["new-model-1t"].reasoning.accepts_effort("low") is False


def test_a_model_that_went_and_came_back_is_served_again():
    cards, _ = merged(snapshot(GPT_OSS), snapshot(GPT_OSS, QWEN, on=LATER + DAY))
    card = cards["qwen-3.8-27b"]
    assert card.status == "active"
    assert card.lifecycle(LATER).stage == "unlisted"
    assert card.lifecycle(LATER + DAY).stage == "active"
    assert [change.field for change in card.changes] == ["status", "status"]


def test_look_ups_see_the_merged_cards_and_then_the_packaged_ones_again():
    registry.use_snapshots((drifted(),))
    assert get_model("new-model-1t").origin == "refreshed"
    assert [card.id for card in list_models("active")] == [
        "gpt-oss-120b",
        "zai-glm-4.7",
        "new-model-1t",
    ]
    registry.use_snapshots(())
    assert [card.id for card in list_models("active")] == [
        "gpt-oss-120b",
        "qwen-3.8-27b",
    ]


def test_advice_follows_the_list():
    """Where the advised model has dropped out, another that is served is advised."""
    registry.use_snapshots((snapshot(QWEN),))
    assert catalog.successor("zai-glm-4.7", on=LATER).model == "qwen-3.8-27b"
    assert catalog.successor("gpt-oss-120b", on=LATER).model == "qwen-3.8-27b"
    assert catalog.cheapest(on=LATER).model == "qwen-3.8-27b"


# ------------------------------------------------------------------------ as laws

PRICES = st.sampled_from([None, Decimal("0.20"), Decimal("0.35"), Decimal("1.00")])


@st.composite
def lists(draw) -> Snapshot:
    on = packaged_table().checked_on + draw(st.integers(0, 400)) * DAY
    models = [
        LiveModel(
            id=name,
            input=draw(PRICES),
            output=draw(PRICES),
            context_tokens=draw(st.sampled_from([None, 8_192, 65_536, 131_072])),
            abilities=draw(st.dictionaries(st.sampled_from(["vision", "tools", "reasoning"]), st.booleans())),
            deprecated=draw(st.sampled_from([None, True, False])),
            preview=draw(st.sampled_from([None, True, False])),
        )
        for name in draw(
            st.sets(st.sampled_from(["gpt-oss-120b", "qwen-3.8-27b", "zai-glm-4.7", "glm-5", "new-model-1t"]), min_size=1)
        )
    ]  # fmt: skip
    return Snapshot(on=on, url=URL, models=tuple(models))


@settings(deadline=None, max_examples=40)
@given(st.lists(lists(), max_size=4))
def test_merging_never_loses_history(snapshots):
    snapshots.sort(key=lambda one: one.on)
    cards, sources = merge_snapshots(packaged_table().cards, snapshots)
    found = {card.id: card for card in cards}
    first = min((one.on for one in snapshots), default=date(2030, 1, 1))
    for old in packaged_table().cards:
        card = found[old.id]
        for back in (1, 30, 400):
            day = first - back * DAY
            then, now = old.price(day), card.price(day)
            assert (then and (then.input, then.output)) == (
                now and (now.input, now.output)
            )
            assert card.as_of(day).status == old.as_of(day).status
            assert card.lifecycle(day).stage == old.lifecycle(day).stage
            same = ("context_tokens_paid", "capabilities", "release_stage", "reasoning")
            for name in same:
                assert getattr(card.as_of(day), name) == getattr(old, name)
        assert set(old.sources) <= set(card.sources)
        assert card.conflicts == old.conflicts
    for card in cards:
        starts = [price.valid_from for price in card.prices[1:]]
        assert starts == sorted(set(starts))
        assert [price.valid_until for price in card.prices[:-1]] == starts
        keys = {key for keys in card.sources.values() for key in keys}
        assert keys <= {*packaged_table().sources, *sources}


@settings(deadline=None)
@given(lists())
def test_merging_the_same_list_twice_is_merging_it_once(one):
    once, _ = merge_snapshots(packaged_table().cards, [one])
    again, _ = merge_snapshots(packaged_table().cards, [one, one])
    for first, second in zip(once, again, strict=True):
        for day in (one.on - DAY, one.on, one.on + DAY):
            assert first.lifecycle(day).stage == second.lifecycle(day).stage
            prices = [card.price(day) for card in (first, second)]
            plain = [price and (price.input, price.output) for price in prices]
            assert plain[0] == plain[1]
        assert first.changes == second.changes


@settings(deadline=None)
@given(lists())
def test_what_was_merged_no_longer_differs(one):
    cards, _ = merge_snapshots(packaged_table().cards, [one])
    for card in cards:
        live = next((model for model in one.models if model.id == card.id), None)
        if live is not None:
            from langchain_cerebras_ext.catalog._snapshot import changes_of

            assert changes_of(card, live, one) == []


# --------------------------------------------------------------------- for maintainers


def updated(shot: Snapshot) -> str:
    return make_diff(packaged_table(), shot).apply_to(TEXT)


def test_the_rows_of_a_difference_make_a_table_that_is_in_order():
    text = updated(drifted())
    table = read_table(text.encode())
    assert table_problems(table) == []
    assert format_table(json.loads(text)) == text
    assert table.checked_on == LATER
    assert table.sources["public-models-2026-12-01"].url == f"{URL}/public/v1/models"
    statuses = {card.id: card.status for card in table.cards}
    assert statuses["new-model-1t"] == "active"
    assert statuses["qwen-3.8-27b"] == "retired"
    assert statuses["zai-glm-4.7"] == "active"
    assert {card.id for card in table.cards[:3]} == {
        "gpt-oss-120b",
        "zai-glm-4.7",
        "new-model-1t",
    }
    flagged = table.by_name["gpt-oss-120b"]
    assert flagged.deprecation_announced == LATER
    assert flagged.replacement_current not in {None, "gpt-oss-120b"}


def test_the_updated_table_says_the_same_as_the_merged_cards():
    cards, _ = merged(drifted())
    table = read_table(updated(drifted()).encode())
    for day in (date(2025, 9, 1), date(2026, 11, 30), LATER):
        for model in ("gpt-oss-120b", "new-model-1t", "qwen-3-32b"):
            written, live = table.by_name[model], cards[model]
            assert written.price(day) == live.price(day)
            assert written.lifecycle(day).stage == live.lifecycle(day).stage
            assert (
                written.as_of(day).context_tokens_paid
                == live.as_of(day).context_tokens_paid
            )


def test_after_the_update_the_same_list_differs_in_nothing():
    table = read_table(updated(drifted()).encode())
    assert make_diff(table, drifted()).lines() == []


def test_a_model_that_is_gone_is_written_down_as_such():
    table = read_table(updated(snapshot(GPT_OSS)).encode())
    card = table.by_name["qwen-3.8-27b"]
    assert (card.status, card.retired_on, card.retired_precision) == (
        "retired",
        LATER,
        "by",
    )
    assert (card.replacement_current, card.replacement_basis) == (
        "gpt-oss-120b",
        "advice",
    )
    assert card.notes[-1] == (
        "Absent from the public list of 2026-12-01; its end was not announced."
    )
    assert card.sources["retired_on"] == ("public-models-2026-12-01",)
    assert card.as_of(LATER - DAY).status == "active"


def test_advice_that_named_the_gone_model_is_written_anew():
    table = read_table(updated(snapshot(GPT_OSS)).encode())
    gemma = table.by_name["gemma-4-31b"]
    assert gemma.replacements == ("qwen-3.8-27b",)
    assert (gemma.replacement_current, gemma.replacement_basis) == (
        "gpt-oss-120b",
        "advice",
    )
    assert gemma.sources["replacement_current"] == ("public-models-2026-12-01",)


def test_a_model_that_is_back_keeps_that_it_had_ended():
    table = read_table(updated(drifted()).encode())
    card = table.by_name["zai-glm-4.7"]
    assert (card.status, card.retired_on) == ("active", None)
    assert card.as_of(LATER - DAY).status == "retired"
    assert card.as_of(LATER - DAY).retired_on == date(2026, 8, 17)
    assert card.as_of(date(2026, 8, 1)).retired_on == date(2026, 8, 17)
    assert card.lifecycle(LATER).stage == "active"


def test_only_what_the_list_tells_otherwise_is_written():
    shot = snapshot(replace(GPT_OSS, output=Decimal("0.80")), QWEN)
    before, after = TEXT.splitlines(), updated(shot).splitlines()
    assert len(set(after) - set(before)) <= 15
    assert len(set(before) - set(after)) <= 4


def test_a_maintainer_may_name_the_source_and_the_day():
    diff = make_diff(packaged_table(), drifted())
    day = date(2026, 12, 3)
    rows = diff.to_rows(source="public-models-winter", on=day)
    assert "public-models-2026-12" not in json.dumps(rows)
    row = next(row for row in rows if row["id"] == "gpt-oss-120b")
    assert row["prices"][-1]["valid_from"] == "2026-12-03"
    assert row["prices"][-1]["seen"] == [
        {"on": "2026-12-03", "source": "public-models-winter"}
    ]
    assert diff.source_row(on=day, title="Winter") == {
        "title": "Winter",
        "checked_on": "2026-12-03",
        "kind": "capture",
        "url": f"{URL}/public/v1/models",
    }
    text = diff.apply_to(TEXT, source="public-models-winter", on=day)
    assert table_problems(read_table(text.encode())) == []
