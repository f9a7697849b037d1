"""`env.example` says of every variable that the code knows, and of no other."""

from __future__ import annotations

import re
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from provider_env import all_variables, forget_all

import langchain_cerebras_ext
from langchain_cerebras_ext.catalog import list_models
from langchain_cerebras_ext.proxy.settings import VARIABLES
from langchain_cerebras_ext.routing import list_providers, parse_name
from langchain_cerebras_ext.routing.environment import Variables, choose

PACKAGE = Path(langchain_cerebras_ext.__file__).parent
FILE = Path(__file__).parents[3] / "env.example"
TEXT = FILE.read_text(encoding="utf-8")
LINE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
NAMED = dict(LINE.findall(TEXT))


def test_it_names_what_the_code_knows_and_nothing_else():
    proxy = {one.name for one in VARIABLES} - all_variables()
    assert set(NAMED) - proxy == all_variables()
    assert proxy & set(NAMED), "the proxy's first ones; docs/proxy.md has the rest"


def test_it_names_nothing_twice():
    assert max(Counter(name for name, _ in LINE.findall(TEXT)).values()) == 1


def test_every_variable_of_ours_in_the_code_is_there():
    pattern = re.compile(r"[\"'](CEREBRAS_[A-Z_]+[A-Z])[\"']")
    used = {
        name
        for path in PACKAGE.rglob("*.py")
        if "_check" not in path.parts
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert used
    assert used <= set(NAMED)


@pytest.mark.parametrize("row", list_providers(), ids=lambda row: row.name)
def test_it_says_how_to_install_each_provider_where_keys_are_and_a_current_model(row):
    if row.install:
        assert f"# {row.install}\n" in TEXT
    if row.key_url:
        assert f"# Keys: {row.key_url}\n" in TEXT
    model = row.current_model
    if model:
        assert NAMED[row.model_variable] == model


GUIDE = re.findall(r"^#   (\S.*?) {2,}(\S+::\S+)$", TEXT, re.MULTILINE)


def test_the_guide_has_the_models_that_the_code_suggests():
    listed = {parse_name(name): strength for strength, name in GUIDE}
    for row in list_providers():
        if row.suggestion:
            assert (row.name, row.suggestion.model) in listed
            strength = listed[row.name, row.suggestion.model]
            if row.name not in {"google", "vertex"}:  # the line goes on, or differs
                assert strength == row.suggestion.strength
    days = {
        str(row.suggestion.checked_on) for row in list_providers() if row.suggestion
    }
    assert re.findall(r"Model ids as of (\S+);", TEXT) == [max(days)]


def test_the_guide_has_every_model_that_cerebras_serves():
    ours = {
        target.model
        for target in (parse_name(name) for _, name in GUIDE)
        if target.provider == "cerebras"
    }
    assert ours == {card.id for card in list_models("active")}


def test_as_it_stands_it_means_cerebras(monkeypatch):
    forget_all(monkeypatch)
    values = dotenv_values(stream=StringIO(TEXT))
    assert values == {"MODEL_PROVIDER": "cerebras", "CEREBRAS_API_KEY": ""}
    chosen = choose(variables=Variables([("env.example", values)]))
    assert chosen.target == ("cerebras", "gpt-oss-120b")


def test_with_every_line_switched_on_it_can_still_be_read():
    switched = LINE.sub(lambda found: f"{found[1]}={found[2]}", TEXT)
    values = dotenv_values(stream=StringIO(switched))
    assert values == NAMED
