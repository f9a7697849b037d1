"""What the environment says, and what is said of it."""

from __future__ import annotations

import os
import sys
import warnings

import pytest
from provider_env import forget_all

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasDeprecationWarning,
    MissingExtraError,
)
from langchain_cerebras_ext.routing import create_chat_model
from langchain_cerebras_ext.routing.environment import (
    FLAGS,
    Found,
    choose,
    choose_provider,
    find_settings,
    missing_settings,
    open_variables,
)
from langchain_cerebras_ext.routing.providers import get_provider, list_providers

KEY = "csk-" + "e1" * 20


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    forget_all(monkeypatch)


@pytest.fixture
def env(monkeypatch):
    def set_all(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


def in_force():
    chosen = choose()
    return chosen.row.name, chosen.model


# ----------------------------------------------------------------------- MODEL_PROVIDER


def test_unset_means_cerebras_and_its_default_model():
    assert in_force() == ("cerebras", "gpt-oss-120b")
    assert choose_provider() == (get_provider("cerebras"), None)


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_is_unset(env, value):
    env(MODEL_PROVIDER=value, CEREBRAS_MODEL=value)
    assert in_force() == ("cerebras", "gpt-oss-120b")


@pytest.mark.parametrize("row", list_providers(), ids=lambda row: row.name)
def test_each_provider_has_a_variable_for_its_model(env, row):
    env(MODEL_PROVIDER=row.name, **{row.model_variable: "some-model"})
    chosen = choose()
    assert (chosen.row, chosen.model) == (row, "some-model")
    assert str(chosen.provider_from) == "MODEL_PROVIDER"
    assert str(chosen.model_from) == row.model_variable
    assert chosen.target == (row.name, "some-model")


@pytest.mark.parametrize(
    "value", ["google", "GOOGLE", " Google ", "gemini", "google-genai"]
)
def test_the_providers_name_is_read_as_people_write_it(env, value):
    env(MODEL_PROVIDER=value, GOOGLE_MODEL=" gemini-3.8-flash ")
    assert in_force() == ("google", "gemini-3.8-flash")


@pytest.mark.parametrize(
    ("provider", "variable", "value", "model"),
    [
        ("cerebras", "CEREBRAS_MODEL", "cerebras::gpt-oss-120b", "gpt-oss-120b"),
        ("google", "GOOGLE_MODEL", "google::gemini-3.8-flash", "gemini-3.8-flash"),
        ("openrouter", "OPENROUTER_MODEL", "x/y:free", "x/y:free"),
        ("ollama", "OLLAMA_MODEL", "mistral:7b", "mistral:7b"),
        ("ollama", "OLLAMA_MODEL", "llama3.1:8b", "llama3.1:8b"),
        ("groq", "GROQ_MODEL", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
    ],
)
def test_a_models_variable_is_read_inside_its_provider(
    env, provider, variable, value, model
):
    env(MODEL_PROVIDER=provider, **{variable: value})
    assert in_force() == (provider, model)


def test_a_models_variable_that_names_another_provider_is_an_error(env):
    env(MODEL_PROVIDER="google", GOOGLE_MODEL="openai::gpt-6.1-terra")
    with pytest.raises(CerebrasConfigurationError, match="GOOGLE_MODEL='openai::"):
        choose()


@pytest.mark.parametrize(
    "row", [row for row in list_providers() if row.suggestion], ids=lambda row: row.name
)
def test_a_provider_without_a_model_names_the_variable_and_a_current_one(env, row):
    env(MODEL_PROVIDER=row.name)
    with pytest.raises(CerebrasConfigurationError) as caught:
        create_chat_model()
    assert f"MODEL_PROVIDER is '{row.name}'" in str(caught.value)
    assert f"set {row.model_variable}={row.current_model}" in str(caught.value)
    assert str(row.suggestion.checked_on) in str(caught.value)


@pytest.mark.parametrize("name", ["azure", "local"])
def test_where_names_are_ones_own_the_variable_alone_is_named(env, name):
    env(MODEL_PROVIDER=name)
    with pytest.raises(
        CerebrasConfigurationError, match=f"set {name.upper()}_MODEL to"
    ):
        choose()


def test_other_providers_models_are_not_the_one_in_force(env):
    env(CEREBRAS_MODEL="qwen-3.8-27b", GOOGLE_MODEL="gemini-3.8-flash")
    assert in_force() == ("cerebras", "qwen-3.8-27b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "gogle",
            "MODEL_PROVIDER names no provider. There is no provider 'gogle'. Did",
        ),
        ("google::gemini-3.8-flash", "belongs into the provider's variable"),
    ],
)
def test_a_provider_that_is_none_is_explained(env, value, message):
    env(MODEL_PROVIDER=value)
    with pytest.raises(CerebrasConfigurationError) as caught:
        choose()
    assert message in str(caught.value)


def test_the_provider_in_force_is_that_of_other_bare_ids_but_not_of_cerebras_own(env):
    env(MODEL_PROVIDER="openrouter")
    assert choose("x/y:free").target == ("openrouter", "x/y:free")
    assert choose("gpt-oss-120b").target == ("cerebras", "gpt-oss-120b")
    assert choose("google::x").target == ("google", "x")


def test_a_provider_in_the_program_goes_before_the_one_in_force(env):
    env(MODEL_PROVIDER="openrouter", GOOGLE_MODEL="gemini-3.8-flash")
    assert choose(provider="google").target == ("google", "gemini-3.8-flash")
    assert choose("x:1", provider="google").target == ("google", "x:1")
    with pytest.raises(CerebrasConfigurationError, match="The provider is 'groq'"):
        choose(provider="groq")


def test_every_change_is_seen(monkeypatch):
    monkeypatch.setenv("MODEL_PROVIDER", "google")
    monkeypatch.setenv("GOOGLE_MODEL", "a")
    assert in_force() == ("google", "a")
    monkeypatch.setenv("GOOGLE_MODEL", "b")
    assert in_force() == ("google", "b")
    monkeypatch.delenv("MODEL_PROVIDER")
    assert in_force() == ("cerebras", "gpt-oss-120b")


# ---------------------------------------------------------------------- switches of old


@pytest.mark.parametrize("value", ["true", "TRUE", " yes ", "1", "on"])
@pytest.mark.parametrize("flag", FLAGS)
def test_a_switch_of_old_chooses_with_a_notice(env, flag, value):
    env(GOOGLE_MODEL="g", **{flag: value})
    with pytest.warns(CerebrasDeprecationWarning) as heard:
        assert choose().row.name == FLAGS[flag]
    assert f"{flag} is deprecated. Set MODEL_PROVIDER={FLAGS[flag]}" in str(
        heard[0].message
    )


@pytest.mark.parametrize("value", ["false", "0", "no", "off", "", " False "])
@pytest.mark.parametrize("flag", FLAGS)
def test_a_switch_that_is_off_says_nothing(env, flag, value):
    env(**{flag: value})
    assert in_force() == ("cerebras", "gpt-oss-120b")


def test_the_notice_points_at_the_users_line_and_comes_once(env):
    env(USE_CEREBRAS="true")
    with pytest.warns(CerebrasDeprecationWarning) as heard:
        choose()
    assert heard[0].filename == __file__
    choose()  # warnings are errors here


def test_both_switches_are_an_error(env):
    env(USE_CEREBRAS="true", USE_GOOGLE_DIRECT="1")
    with pytest.raises(CerebrasConfigurationError) as caught:
        choose()
    assert "USE_GOOGLE_DIRECT=1 and USE_CEREBRAS=true contradict each other" in str(
        caught.value
    )
    assert "set MODEL_PROVIDER" in str(caught.value)


@pytest.mark.parametrize(
    "flags",
    [["USE_CEREBRAS"], ["USE_GOOGLE_DIRECT"], ["USE_GOOGLE_DIRECT", "USE_CEREBRAS"]],
    ids=" and ".join,
)
@pytest.mark.parametrize("provider", ["cerebras", "google", "openrouter"])
def test_beside_model_provider_they_are_ignored_with_a_warning(env, flags, provider):
    env(MODEL_PROVIDER=provider, **dict.fromkeys(flags, "true"))
    verb = "is ignored. Remove it" if len(flags) == 1 else "are ignored. Remove them"
    ignored = f"so {' and '.join(flags)} {verb}"
    with pytest.warns(UserWarning, match=ignored) as heard:
        assert choose_provider()[0].name == provider
    assert not issubclass(heard[0].category, CerebrasDeprecationWarning)


def test_one_on_and_one_off_is_the_one_that_is_on(env):
    env(USE_CEREBRAS="false", USE_GOOGLE_DIRECT="true", GOOGLE_MODEL="g")
    with pytest.warns(CerebrasDeprecationWarning):
        assert in_force() == ("google", "g")


def test_a_switch_that_says_neither_is_an_error_unless_it_is_ignored(env):
    env(USE_GOOGLE_DIRECT="maybe")
    with pytest.raises(CerebrasConfigurationError, match="neither yes nor no"):
        choose()
    env(MODEL_PROVIDER="cerebras")
    assert in_force() == ("cerebras", "gpt-oss-120b")


def test_switches_are_not_looked_at_where_the_name_says_all(env):
    env(USE_GOOGLE_DIRECT="true", USE_CEREBRAS="true")
    assert choose("cerebras::x").target == ("cerebras", "x")
    assert choose("gpt-oss-120b").target == ("cerebras", "gpt-oss-120b")


# ---------------------------------------------------------------------------- settings


def test_the_first_variable_that_is_set_counts(env):
    row = get_provider("google")
    env(GEMINI_API_KEY="second")
    assert find_settings(row, {})["api_key"] == (
        "second",
        "GEMINI_API_KEY",
        "environment",
    )
    env(GOOGLE_API_KEY="first")
    assert find_settings(row, {})["api_key"].value == "first"
    env(GOOGLE_API_KEY=" ")
    assert find_settings(row, {})["api_key"].value == "second"


@pytest.mark.parametrize("given", [{"api_key": "x"}, {"google_api_key": "x"}])
def test_what_the_program_gives_is_not_looked_for(env, given):
    env(GOOGLE_API_KEY="first")
    assert find_settings(get_provider("google"), given) == {}
    assert find_settings(get_provider("google"), {"api_key": None}) != {}


def test_a_key_comes_clean_and_hidden(env):
    env(CEREBRAS_API_KEY=f' "Bearer {KEY}" ')
    found = find_settings(get_provider("cerebras"), {})
    assert found["api_key"].value == KEY
    assert KEY not in repr(found)


@pytest.mark.parametrize("row", list_providers(), ids=lambda row: row.name)
def test_a_provider_gets_its_own_variables_and_no_others(env, row):
    every = {
        variable: f"of-{variable}"
        for other in list_providers()
        for one in other.settings
        for variable in one.variables
    }
    env(**every)
    found = find_settings(row, {})
    assert {one.field for one in row.settings} == set(found)
    for one in row.settings:
        assert found[one.field].value == f"of-{one.variables[0]}"
    assert missing_settings(row, {}, found) == []


def test_what_is_needed_and_not_there_is_known():
    row = get_provider("azure")
    assert [one.field for one in missing_settings(row, {}, {})] == [
        "api_key",
        "azure_endpoint",
        "api_version",
    ]
    given = {"azure_ad_token": "t", "base_url": "u", "api_version": None}
    assert [one.field for one in missing_settings(row, given, {})] == ["api_version"]


# -------------------------------------------------------------------------- .env files


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_where_it_is_named(tmp_path, monkeypatch):
    path = write(
        tmp_path / "some.env",
        "# comment\nexport MODEL_PROVIDER='google'\nGOOGLE_MODEL=gemini-x # why\n"
        'EMPTY=\nBARE\nGOOGLE_API_KEY="AIza ü"\n',
    )
    variables = open_variables(path)
    chosen = choose(variables=variables)
    assert chosen.target == ("google", "gemini-x")
    assert str(chosen.model_from) == f"GOOGLE_MODEL in {path}"
    assert variables.find("GOOGLE_API_KEY").value == "AIza ü"
    assert variables.find("EMPTY", "BARE") is None
    assert "MODEL_PROVIDER" not in os.environ


def test_the_environment_goes_before_files_and_files_in_order(tmp_path, env):
    one = write(tmp_path / "1.env", "CEREBRAS_MODEL=one\nLOG_LEVEL=one")
    two = write(tmp_path / "2.env", "CEREBRAS_MODEL=two\nGOOGLE_MODEL=two")
    variables = open_variables([one, str(two)])
    assert variables.find("CEREBRAS_MODEL").value == "one"
    assert variables.find("GOOGLE_MODEL").origin == str(two)
    env(CEREBRAS_MODEL="environment")
    assert variables.find("CEREBRAS_MODEL").value == "environment"
    env(CEREBRAS_MODEL="")
    assert variables.find("CEREBRAS_MODEL").value == "one"


def test_no_file_is_read_unless_it_is_asked_for(tmp_path, monkeypatch):
    write(tmp_path / ".env", "MODEL_PROVIDER=openai\nCEREBRAS_MODEL=qwen-3.8-27b\n")
    monkeypatch.chdir(tmp_path)
    for dotenv in (None, False):
        assert choose(variables=open_variables(dotenv)).row.name == "cerebras"
    assert create_chat_model(api_key=KEY).model_name == "gpt-oss-120b"


def test_true_looks_from_here_upwards(tmp_path, monkeypatch):
    write(tmp_path / ".env", "CEREBRAS_MODEL=from-above")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert open_variables(True).find("CEREBRAS_MODEL").value == "from-above"
    write(below / ".env", "CEREBRAS_MODEL=from-here")
    assert open_variables(True).find("CEREBRAS_MODEL").value == "from-here"


def test_true_is_content_without_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "langchain_cerebras_ext.routing.environment._nearest", lambda: None
    )
    assert open_variables(True).find("CEREBRAS_MODEL") is None


def test_a_file_that_changes_is_read_again(tmp_path):
    path = write(tmp_path / ".env", "CEREBRAS_MODEL=one")
    assert open_variables(path).find("CEREBRAS_MODEL").value == "one"
    write(path, "CEREBRAS_MODEL=three")
    assert open_variables(path).find("CEREBRAS_MODEL").value == "three"


@pytest.mark.parametrize("kind", ["missing", "folder", "not text"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, kind):
    path = tmp_path / "x.env"
    if kind == "folder":
        path.mkdir()
    elif kind == "not text":
        path.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(
        CerebrasConfigurationError, match=r"x\.env.* cannot be read: .+"
    ):
        open_variables(path)


def test_without_the_library_the_install_line_is_said(tmp_path, monkeypatch):
    path = write(tmp_path / "never-read.env", "A=1")
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(MissingExtraError, match=r"langchain-cerebras-ext\[router\]"):
        open_variables(path)


def test_a_models_key_and_address_come_from_the_file(tmp_path):
    path = write(
        tmp_path / ".env",
        "CEREBRAS_MODEL=qwen-3.8-27b\nCEREBRAS_BASE_URL=http://127.0.0.1:9\n",
    )
    model = create_chat_model(dotenv=path)
    assert model.model_name == "qwen-3.8-27b"
    assert model.cerebras_api_base == "http://127.0.0.1:9/v1"
    assert create_chat_model(dotenv=path) is model
    write(path, "CEREBRAS_MODEL=qwen-3.8-27b\nCEREBRAS_BASE_URL=http://127.0.0.1:10\n")
    assert create_chat_model(dotenv=path).cerebras_api_base == "http://127.0.0.1:10/v1"


def test_found_says_where_it_was():
    assert str(Found("v", "NAME", "environment")) == "NAME"
    assert str(Found("v", "NAME", "/a/.env")) == "NAME in /a/.env"


def test_nothing_is_said_where_nothing_is_wrong(env):
    env(MODEL_PROVIDER="cerebras", CEREBRAS_MODEL="gpt-oss-120b", CEREBRAS_API_KEY=KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_chat_model()
