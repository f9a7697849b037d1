"""The table of providers, and adding to it."""

from __future__ import annotations

from collections import Counter
from datetime import date
from importlib import metadata
from typing import Any

import pytest
from langchain.chat_models import base
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from provider_env import forget_all

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing import (
    Provider,
    create_chat_model,
    list_providers,
    parse_name,
    providers,
    register_provider,
)
from langchain_cerebras_ext.routing.providers import (
    BUILT_IN,
    CEREBRAS,
    Setting,
    broken_providers,
    find_provider,
    get_provider,
    unregister_provider,
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Each test has a registry of its own."""
    forget_all(monkeypatch)
    monkeypatch.setattr(providers, "_registry", providers._Registry(BUILT_IN))


class Fake(FakeListChatModel):
    given: dict[str, Any]


def fake(model, **given):
    return Fake(responses=[model], given=given)


# -------------------------------------------------------------------------- the table


ROWS = pytest.mark.parametrize("row", BUILT_IN, ids=lambda row: row.name)


@ROWS
def test_a_row_is_one_that_langchain_can_make(row):
    ways = [row.make is not None, row.langchain_name is not None, row.is_openai_server]
    assert ways.count(True) == 1
    if row.langchain_name:
        module, *_ = base._BUILTIN_PROVIDERS[row.langchain_name]
        assert module.partition(".")[0] == row.module
        assert row.package.replace("-", "_") == row.module


@ROWS
def test_a_row_says_how_to_install_and_where_keys_are_made(row):
    assert (row.install is None) == (row.name == CEREBRAS)
    if row.package:
        assert (
            row.install == f"pip install 'langchain-cerebras-ext[router]' {row.package}"
        )
    key = row.key
    if key is not None and key.is_needed:
        assert key.is_secret
        assert row.key_url.startswith("https://")
    else:
        assert row.credentials


@ROWS
def test_a_row_suggests_a_current_model_with_day_and_source(row):
    if row.name in {"azure", "local"}:
        assert row.current_model is None  # names are the user's own
        return
    assert parse_name(f"{row.name}::{row.current_model}") == (
        row.name,
        row.current_model,
    )
    if row.name != CEREBRAS:
        assert date(2026, 11, 1) <= row.suggestion.checked_on
        assert row.suggestion.source
        assert row.suggestion.strength


@pytest.mark.parametrize(
    "row", [row for row in BUILT_IN if row.suggestion], ids=lambda row: row.name
)
def test_suggested_models_have_prices(row):
    from genai_prices.data_snapshot import get_snapshot

    known = {"xai": "x-ai", "bedrock": "aws", "vertex": "google"}
    if row.name == "ollama":
        assert row.suggestion.source.startswith("https://")
        return
    provider, model = get_snapshot().find_provider_model(
        row.suggestion.model, None, known.get(row.name, row.name), None
    )
    assert provider.id == known.get(row.name, row.name)
    assert not model.deprecated


def test_the_model_suggested_of_cerebras_is_one_that_is_served():
    from langchain_cerebras_ext.catalog import get_model

    assert get_model(get_provider(CEREBRAS).current_model).status == "active"


def test_no_two_rows_share_a_name_or_a_variable():
    names = Counter(name for row in BUILT_IN for name in (row.name, *row.aliases))
    assert max(names.values()) == 1
    variables = Counter(
        name
        for row in BUILT_IN
        for name in (
            row.model_variable,
            *(variable for one in row.settings for variable in one.variables),
        )
    )
    assert max(variables.values()) == 1


def test_cerebras_comes_first_and_has_its_key_for_itself():
    assert list_providers()[0].name == CEREBRAS
    holders = [
        row.name
        for row in list_providers()
        for one in row.settings
        if any(variable.startswith("CEREBRAS") for variable in one.variables)
    ]
    assert set(holders) == {CEREBRAS}


# -------------------------------------------------------------------------- by function


def test_a_function_makes_the_models_of_a_new_provider():
    register_provider("acme", fake, label="Acme", aliases=["acme-llm"])
    model = create_chat_model("Acme::house-1", tone="kind")
    assert model.invoke("hi").content == "house-1"
    assert model.given == {"tone": "kind"}
    assert parse_name("acme-llm:x") == ("acme", "x")
    assert list_providers()[-1].label == "Acme"


def test_a_class_may_be_named_by_a_text_that_is_loaded_late(monkeypatch):
    where = "langchain_core.language_models.fake_chat_models:FakeListChatModel"
    register_provider("acme", where)
    model = create_chat_model("acme::x", responses=["a"])
    assert type(model) is FakeListChatModel


def test_its_key_and_model_come_from_its_own_variables(monkeypatch):
    register_provider("acme-2", fake, key_variables=["ACME_TOKEN"])
    with pytest.raises(CerebrasConfigurationError, match="Set ACME_TOKEN or pass"):
        create_chat_model("acme-2::x")
    monkeypatch.setenv("ACME_TOKEN", "a-token")
    monkeypatch.setenv("ACME_2_MODEL", "house-2")
    monkeypatch.setenv("MODEL_PROVIDER", "acme-2")
    model = create_chat_model()
    assert model.invoke("").content == "house-2"
    assert model.given == {"api_key": "a-token"}


def test_a_server_that_speaks_openais_form_needs_only_an_address(monkeypatch):
    register_provider("acme", base_url="http://127.0.0.1:9/v1", current_model="m1")
    with pytest.raises(CerebrasConfigurationError, match="Set ACME_API_KEY"):
        create_chat_model("acme::x")
    monkeypatch.setenv("ACME_API_KEY", "k")
    model = create_chat_model("acme::x")
    assert str(model.root_client.base_url) == "http://127.0.0.1:9/v1/"
    assert model._get_ls_params()["ls_provider"] == "acme"
    monkeypatch.setenv("ACME_BASE_URL", "http://127.0.0.1:10/v1")
    assert create_chat_model("acme::x").openai_api_base == "http://127.0.0.1:10/v1"


def test_a_server_without_an_address_asks_for_one(monkeypatch):
    register_provider("acme", key_variables=[])
    with pytest.raises(CerebrasConfigurationError, match="Set ACME_BASE_URL or pass"):
        create_chat_model("acme::x")


def test_a_server_that_nobody_can_name_is_refused(monkeypatch):
    """Its client would take OpenAI's address, with the prompts and this key."""
    with pytest.raises(CerebrasConfigurationError, match="neither an address nor"):
        register_provider("acme", base_url_variables=[])
    row = Provider(name="acme", label="Acme", is_openai_server=True)
    with pytest.raises(CerebrasConfigurationError, match="neither an address nor"):
        register_provider(row)
    point = metadata.EntryPoint("acme", "acme_rows:row", providers.ENTRY_POINTS)
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda _: row)
    monkeypatch.setattr(providers, "_find_entry_points", lambda: [point])
    providers._registry._points = None
    with pytest.raises(CerebrasConfigurationError, match="neither an address nor"):
        create_chat_model("acme::x")


def test_what_is_made_must_be_a_chat_model():
    register_provider("acme", lambda **_: "no model")
    with pytest.raises(CerebrasConfigurationError, match="'acme' has made a str"):
        create_chat_model("acme::x")


def test_a_name_far_from_all_others_is_not_taken_for_a_slip():
    with pytest.raises(CerebrasConfigurationError) as caught:
        get_provider("nope")
    assert "Did you mean" not in str(caught.value)


def test_a_row_may_be_given_whole():
    setting = Setting(field="region", variables=("ACME_REGION",), about="region")
    row = Provider(name="acme", label="Acme", make=fake, settings=(setting,))
    register_provider(row)
    assert get_provider("acme").model_variable == "ACME_MODEL"
    assert create_chat_model("acme::x").given == {}


@pytest.mark.parametrize(
    "name", ["", "Acme", "a b", "a::b", "1x", "a/b", "ä"], ids=repr
)
def test_a_name_that_no_prefix_can_be_is_refused(name):
    with pytest.raises(CerebrasConfigurationError, match="cannot be a provider's name"):
        register_provider(name, fake)


@pytest.mark.parametrize("name", ["google", "gemini", "cerebras"])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(CerebrasConfigurationError, match="There is a provider"):
        register_provider(name, fake)
    with pytest.raises(CerebrasConfigurationError, match="There is a provider"):
        register_provider("acme", fake, aliases=[name])
    assert find_provider("acme") is None


def test_a_provider_may_be_replaced_and_comes_back():
    before = get_provider("google")
    register_provider("google", fake, replace=True)
    assert create_chat_model("google::x").invoke("").content == "x"
    assert get_provider("gemini") is before  # its other names stay
    unregister_provider("google")
    assert get_provider("google") is before
    assert [row.name for row in list_providers()].count("google") == 1


def test_cerebras_is_never_replaced():
    with pytest.raises(CerebrasConfigurationError, match="provider 'cerebras' already"):
        register_provider("cerebras", fake, replace=True)
    with pytest.raises(CerebrasConfigurationError, match="built in"):
        unregister_provider("cerebras")


def test_a_provider_that_was_taken_out_is_gone():
    register_provider("acme", fake, aliases=["acme2"])
    unregister_provider("acme2")
    assert find_provider("acme") is None
    assert find_provider("acme2") is None
    with pytest.raises(CerebrasConfigurationError):
        unregister_provider("acme")


def test_a_replaced_provider_is_not_served_from_the_cache():
    register_provider("acme", fake)
    first = create_chat_model("acme::x")
    register_provider("acme", fake, replace=True)
    assert create_chat_model("acme::x") is not first


# ----------------------------------------------------------------------- by entry point


def points(monkeypatch, **values):
    found = [metadata.EntryPoint(name, value, "g") for name, value in values.items()]
    loaded = []

    def load(self):
        loaded.append(self.name)
        return globals()[self.value.partition(":")[2]]

    monkeypatch.setattr(metadata.EntryPoint, "load", load)
    monkeypatch.setattr(providers, "_find_entry_points", lambda: found)
    return loaded


ROW = Provider(name="other", label="Their row", make=fake, aliases=("their_llm",))
NUMBER = 7


def test_an_entry_point_is_loaded_when_its_name_is_used(monkeypatch):
    loaded = points(monkeypatch, theirs="theirs:fake", unused="theirs:fake")
    assert create_chat_model("theirs::m").invoke("").content == "m"
    assert loaded == ["theirs"]
    create_chat_model("Theirs:m")
    assert loaded == ["theirs"]
    assert {"theirs", "unused"} <= {row.name for row in list_providers()}


def test_an_entry_point_may_be_a_row_whose_name_is_the_points(monkeypatch):
    points(monkeypatch, theirs="theirs:ROW")
    row = get_provider("theirs")
    assert (row.name, row.label) == ("theirs", "Their row")
    assert get_provider("their_llm") is row


@pytest.mark.parametrize("value", ["theirs:NUMBER", "theirs:missing"])
def test_a_broken_entry_point_harms_nobody_else(monkeypatch, value):
    points(monkeypatch, theirs=value)
    assert "theirs" not in {row.name for row in list_providers()}
    assert get_provider("google")
    with pytest.raises(CerebrasConfigurationError, match="entry point"):
        parse_name("theirs::x")
    assert list(broken_providers()) == ["theirs"]
    with pytest.raises(CerebrasConfigurationError, match="no provider 'zzz'"):
        parse_name("zzz::x")


def test_an_entry_point_takes_nobodys_place(monkeypatch):
    loaded = points(monkeypatch, google="theirs:fake", cerebras="theirs:fake")
    assert get_provider("google").label == "Google Gemini API"
    list_providers()
    assert loaded == []


def test_the_group_is_read_from_what_is_installed():
    assert list(providers._find_entry_points()) == list(
        metadata.entry_points(group="langchain_cerebras_ext.providers")
    )
