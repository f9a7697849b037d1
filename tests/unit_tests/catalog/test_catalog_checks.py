"""The checks see what they are for, and the layers survive what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from langchain_cerebras_ext import catalog
from langchain_cerebras_ext.catalog import _cache as cache
from langchain_cerebras_ext.catalog import (
    find_parameter,
    get_model,
    list_models,
    recommend,
    register_model,
    successor,
    use_packaged,
)
from langchain_cerebras_ext.catalog._checks import table_problems
from langchain_cerebras_ext.catalog._diff import make_diff
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._rows import put_rows
from langchain_cerebras_ext.catalog._snapshot import LiveModel, Snapshot
from langchain_cerebras_ext.catalog._table import packaged_table, read_table
from langchain_cerebras_ext.errors import CerebrasConfigurationError

RAW = json.loads(Path(catalog.__file__).with_name("models.json").read_text("utf-8"))
TODAY = date(2026, 11, 21)
LATER = date(2026, 12, 1)


def broken(model: str, **facts: object):
    """Return the table with facts of one model changed; `None` takes one out."""
    raw = json.loads(json.dumps(RAW))
    row = next(row for row in raw["models"] if row["id"] == model)
    for name, value in facts.items():
        if value is None:
            row.pop(name)
        else:
            row[name] = value
    return read_table(json.dumps(raw).encode())


SOURCES = {row["id"]: row["sources"] for row in RAW["models"]}


@pytest.mark.parametrize(
    ("model", "facts", "told"),
    [
        ("gpt-oss-120b", {"id": " gpt-oss-120b"}, "must be a name without blanks around it"),
        ("gpt-oss-120b", {"aliases": ["llama3.3-70b"]}, "the name 'llama3.3-70b' is taken by gpt-oss-120b"),
        ("gpt-oss-120b", {"aliases": ["x"]}, "aliases has no source"),
        ("gpt-oss-120b", {"sources": {**SOURCES["gpt-oss-120b"], "name": ["hearsay"]}}, "there is no source 'hearsay'"),
        ("gpt-oss-120b", {"replacement_current": "qwen-3.8-27b", "replacement_basis": "advice"}, "for a model whose end is not told"),
        ("zai-glm-4.7", {"replacement_current": None}, "replacement_current must name a model that is served"),
        ("zai-glm-4.7", {"replacement_current": "zai-glm-4.6"}, "replacement_current 'zai-glm-4.6' is not served"),
        ("zai-glm-4.7", {"replacement_basis": None}, "replacement_basis must say whose word it is"),
        ("zai-glm-4.7", {"replacements": ["zai-glm-9"]}, "replacements name 'zai-glm-9', which has no card"),
        ("zai-glm-4.7", {"retired_on": "2026-01-01"}, "retired_on: 2026-01-01 is before deprecation_announced, which is 2026-07-18"),
        ("gpt-oss-120b", {"context_tokens_free": 131_073}, "131073 is more than context_tokens_paid, which is 131072"),
        ("gpt-oss-120b", {"rate_limits": [{"tier": "free", "plan": "x", "as_of": "2026-01-01", "source": "catwalk", "unlimited": ["tokens"]}]}, "there is no limit 'tokens'"),
        ("gpt-oss-120b", {"reasoning": {"supported": True, "formats": ["raw"], "default_format": "parsed"}}, "reasoning.default_format: must be one of reasoning.formats"),
        ("gpt-oss-120b", {"reasoning": {"supported": True, "can_disable": False, "efforts": ["none"]}}, "reasoning.can_disable: is false, but the effort 'none' is taken"),
        ("gpt-oss-120b", {"reasoning": {"supported": True, "efforts": ["low"], "inert_efforts": ["low"]}}, "reasoning.inert_efforts: must not be among reasoning.efforts"),
        ("gpt-oss-120b", {"prices": [{"valid_until": "2026-01-01"}, {"valid_from": "2026-01-02"}]}, "prices[0].valid_until: must be 2026-01-02"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_mistake_in_the_table_is_seen(model, facts, told):
    assert any(told in problem for problem in table_problems(broken(model, **facts)))


def test_the_wrong_line_between_gaps_is_the_only_one_that_is_told():
    table = broken("gpt-oss-120b", speed_tokens_per_s=0)
    assert table_problems(table) == [
        "gpt-oss-120b: speed_tokens_per_s: 0 must be above 0; leave it out if it is not known"
    ]


# --------------------------------------------------------------------------- layers


def live(*ids: str, **facts: object) -> Snapshot:
    models = tuple(LiveModel(id=name, **facts) for name in ids)
    return Snapshot(on=LATER, url="https://api.cerebras.ai", models=models)


def test_a_new_model_of_the_service_wins_over_an_alias_of_ones_own():
    register_model({"id": "mine", "aliases": ["new-model-1t"]})
    registry.use_snapshots((live("gpt-oss-120b", "new-model-1t"),))
    assert get_model("new-model-1t").origin == "refreshed"
    assert get_model("mine").origin == "registered"


def test_lists_that_cannot_be_used_are_not(monkeypatch):
    before = list_models()

    def refuse(*_: object) -> None:
        msg = "no"
        raise CerebrasConfigurationError(msg)

    monkeypatch.setattr(registry, "_build", refuse)
    with pytest.raises(CerebrasConfigurationError):
        registry.use_snapshots((live("gpt-oss-120b"),))
    monkeypatch.undo()
    assert list_models() == before
    assert registry.snapshots() == ()


def test_facts_that_are_given_for_an_override_lie_over_newer_lists():
    register_model({"id": "gpt-oss-120b", "context_tokens_paid": 200_000})
    able = {"parallel_tool_calls": True}
    registry.use_snapshots(
        (live("gpt-oss-120b", abilities=able, context_tokens=65_536),)
    )
    card = get_model("gpt-oss-120b")
    assert card.context_tokens_paid == 200_000
    assert card.capabilities.parallel_tool_calls is True


def test_a_forked_child_can_look_up_while_the_parent_holds_the_lock():
    """In a process of its own: to fork one that has threads is warned about."""
    code = (
        "import os, threading\n"
        "from langchain_cerebras_ext.catalog import get_model\n"
        "from langchain_cerebras_ext.catalog._registry import registry\n"
        "held, done = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with registry._lock:\n"
        "        held.set()\n"
        "        done.wait(30)\n"
        "threading.Thread(target=hold).start()\n"
        "held.wait(30)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if get_model('gpt-oss-120b').id == 'gpt-oss-120b' else 1)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "done.set()\n"
        "print(os.waitstatus_to_exitcode(status))\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.stdout == "0\n", found.stderr


def test_the_registry_shows_how_many_cards_are_ones_own():
    register_model({"id": "mine"})
    assert repr(registry) == "<catalog, 1 registered cards>"


def test_a_kept_file_that_cannot_be_deleted_is_named(monkeypatch):
    path = cache.cache_file("https://api.cerebras.ai")
    cache.write_lists(path, (live("gpt-oss-120b"),))

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(
        CerebrasConfigurationError, match="cannot be deleted: Permission denied"
    ):
        use_packaged()


def test_what_the_catalog_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'get_modell'"):
        catalog.get_modell  # noqa: B018
    assert set(catalog.__all__) <= set(dir(catalog))


# ---------------------------------------------------------------------- last resorts


def test_where_all_that_is_served_is_about_to_end_the_best_of_it_is_named():
    registry.use_snapshots((live("gpt-oss-120b", "qwen-3.8-27b", deprecated=True),))
    found = successor("gpt-oss-120b", on=LATER)
    assert (found.model, found.named_by) == ("qwen-3.8-27b", "us")
    assert (
        "the live list flags it as deprecated"
        in recommend("code", on=LATER)[0].cautions
    )


def test_where_nothing_else_is_served_nothing_is_named():
    registry.use_snapshots((live("gpt-oss-120b", deprecated=True),))
    found = successor("gpt-oss-120b", on=LATER)
    assert (found.model, found.named_by) == (None, None)
    assert found.note.endswith("We know of none.")
    notice = catalog.deprecation_notice(get_model("gpt-oss-120b"), LATER)
    assert notice.use == "There is no model to name in its place."


def test_a_successor_without_a_card_is_passed_over():
    card = replace(
        get_model("gpt-oss-120b"),
        retired_on=TODAY,
        replacements=("unheard-of", "qwen-3.8-27b"),
    )
    assert successor(card, on=TODAY).chain == ("qwen-3.8-27b",)


def test_a_model_that_is_gone_after_its_told_end_says_so():
    told = replace(
        packaged_table().by_name["gpt-oss-120b"], retired_on=date(2026, 12, 24)
    )
    cards = tuple(
        told if card.id == told.id else card for card in packaged_table().cards
    )
    base = replace(packaged_table(), cards=cards)
    row = make_diff(base, live("qwen-3.8-27b")).to_rows()[0]
    assert row["notes"][-1] == (
        "Absent from the public list of 2026-12-01; its end had been announced for 2026-12-24."
    )


def test_a_difference_that_was_made_by_hand_has_no_rows():
    diff = catalog.CatalogDiff(on=LATER, checked_on=TODAY, url="", listed=())
    assert (diff.to_rows(), diff.source_row(), bool(diff)) == ([], {}, False)


def test_rows_are_put_after_the_models_that_are_served():
    text = Path(catalog.__file__).with_name("models.json").read_text("utf-8")
    row = {"id": "new", "name": "New", "status": "active", "status_as_of": "2026-12-01"}
    table = read_table(put_rows(text, [row], {}, LATER).encode())
    assert [card.id for card in table.cards][:4] == [
        "gpt-oss-120b",
        "qwen-3.8-27b",
        "new",
        "gemma-4-31b",
    ]


def test_parameters_and_cards_can_be_kept_in_sets():
    card = find_parameter("max_tokens")
    assert len({card, find_parameter("max_tokens")}) == 1


def test_prices_of_live_lists_are_written_exactly():
    registry.use_snapshots(
        (live("gpt-oss-120b", input=Decimal("0.125"), output=Decimal("0.75")),)
    )
    assert str(get_model("gpt-oss-120b").price(LATER).input) == "0.125"
