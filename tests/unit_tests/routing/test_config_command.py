"""`cerebras-ext config`: what is in force, from where, without a key."""

from __future__ import annotations

import io
import json

import pytest
from provider_env import forget_all
from rich.console import Console

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.cli.config import mask, show, survey, without_password
from langchain_cerebras_ext.routing import list_providers, providers
from langchain_cerebras_ext.routing.environment import PLAIN

KEY = "csk-" + "c0" * 20
GOOGLE_KEY = "AIza" + "g0" * 20


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    forget_all(monkeypatch)


@pytest.fixture
def env(monkeypatch):
    def set_all(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def run(capsys):
    """Run the command; returns its exit code and what it printed."""

    def run_it(*args):
        code = main(["config", *args])
        shown = capsys.readouterr()
        assert shown.err == ""
        for secret in (KEY, GOOGLE_KEY, KEY[4:], GOOGLE_KEY[4:], "pass-word"):
            assert secret not in shown.out
        return code, shown.out

    return run_it


@pytest.fixture
def ask(run):
    """Run it with `--json`."""

    def ask_it(*args):
        code, out = run("--json", *args)
        assert out.count("\n") == 1
        said = json.loads(out)
        assert said["ok"] is (code == 0)
        return code, said

    return ask_it


def test_all_is_well_with_a_key(env, run):
    env(CEREBRAS_API_KEY=KEY)
    code, out = run()
    assert code == 0
    assert "provider             cerebras (default)" in out
    assert "model                gpt-oss-120b (default)" in out
    assert "API key              csk-*** (44 characters) (CEREBRAS_API_KEY)" in out
    assert "https://api.cerebras.ai/v1 (default)" in out
    assert "wrong" not in out


def test_without_a_key_it_says_which_variable_and_ends_with_2(run):
    code, out = run()
    assert code == 2
    assert "API key              - (set CEREBRAS_API_KEY)" in out
    assert "wrong: Set CEREBRAS_API_KEY or pass api_key=" in out


def test_each_fact_says_where_it_is_from(env, ask):
    env(
        MODEL_PROVIDER="local",
        LOCAL_MODEL="house",
        LOCAL_BASE_URL="http://me:pass-word@127.0.0.1:9/v1",
        LOCAL_API_KEY=KEY.replace("csk", "tok"),
    )
    code, said = ask()
    assert code == 0
    assert said["provider"] == {
        "value": "local",
        "from": "MODEL_PROVIDER",
        "variables": [],
    }
    assert said["model"]["from"] == "LOCAL_MODEL"
    assert said["settings"]["base_url"] == {
        "value": "http://***@127.0.0.1:9/v1",
        "from": "LOCAL_BASE_URL",
        "variables": ["LOCAL_BASE_URL"],
    }
    assert said["settings"]["api_key"]["value"] == "*** (44 characters)"
    assert said["environment"] == {"MODEL_PROVIDER": "local"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"MODEL_PROVIDER": "gogle"}, "Did you mean 'google'"),
        ({"MODEL_PROVIDER": "openai"}, "set OPENAI_MODEL="),
        ({"MODEL_PROVIDER": "openai", "OPENAI_MODEL": "x"}, "Set OPENAI_API_KEY"),
        ({"USE_CEREBRAS": "1", "USE_GOOGLE_DIRECT": "1"}, "contradict each other"),
        ({"USE_CEREBRAS": "perhaps"}, "neither yes nor no"),
        (
            {"MODEL_PROVIDER": "openai", "OPENAI_MODEL": "x", "OPENAI_API_KEY": KEY},
            "would be given away",
        ),
        (
            {"CEREBRAS_MODEL": "qwen-3-32b", "CEREBRAS_API_KEY": KEY},
            "Model 'qwen-3-32b' was retired on 2026-02-16",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_and_ends_with_2(env, ask, values, problem):
    env(**values)
    code, said = ask()
    assert code == 2
    assert any(problem in one for one in said["problems"])


def test_a_package_that_is_missing_is_said_with_its_line(env, ask, monkeypatch):
    from langchain_cerebras_ext.routing import factory

    monkeypatch.setattr(factory, "find_spec", lambda _name: None)
    env(MODEL_PROVIDER="google", GOOGLE_API_KEY=GOOGLE_KEY)
    line = "pip install 'langchain-cerebras-ext[router]' langchain-google-genai"
    for _ in range(2):
        code, said = ask()
        assert code == 2
        assert any(line in one for one in said["problems"])
        env(GOOGLE_MODEL="gemini-3.8-flash")
    (google,) = [one for one in said["providers"] if one["name"] == "google"]
    assert (google["installed"], google["install"], google["ready"]) == (
        False,
        line,
        False,
    )


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"USE_CEREBRAS": "true"}, "USE_CEREBRAS is deprecated"),
        ({"MODEL_PROVIDER": "cerebras", "USE_GOOGLE_DIRECT": "true"}, "is ignored"),
        ({"CEREBRAS_MODEL": "gpt-os-120b"}, "Did you mean 'gpt-oss-120b'"),
        ({"CEREBRAS_API_KEY": "sk-proj-" + "o" * 30}, "looks like one of OpenAI's"),
        (
            {"CEREBRAS_MODEL": "qwen-3-32b", "CEREBRAS_BASE_URL": "http://127.0.0.1:9"},
            "was retired",
        ),
    ],
    ids=str,
)
def test_what_is_only_odd_is_a_warning(env, ask, values, warning):
    env(**{"CEREBRAS_API_KEY": KEY, **values})
    for _ in range(2):  # said each time, not once per process
        code, said = ask()
        assert code == 0
        assert any(warning in one for one in said["warnings"])


def test_another_model_may_be_looked_at(env, ask):
    env(CEREBRAS_API_KEY=KEY)
    code, said = ask("local::x")
    assert code == 2
    assert said["provider"]["value"] == "local"
    assert said["model"] == {"value": "x", "from": "the command line", "variables": []}
    assert "Set LOCAL_BASE_URL" in said["problems"][0]
    assert ask("gpt-oss-120b")[0] == 0
    assert ask("gogle::x")[0] == 2


def test_a_file_is_read_only_where_it_is_named(env, ask, tmp_path, monkeypatch):
    path = tmp_path / ".env"
    path.write_text(f"CEREBRAS_API_KEY={KEY}\nCEREBRAS_MODEL=qwen-3.8-27b\n")
    monkeypatch.chdir(tmp_path)
    assert ask()[0] == 2
    code, said = ask("--env-file", str(path))
    assert code == 0
    assert said["model"]["from"] == f"CEREBRAS_MODEL in {path}"
    path.unlink()  # it holds a key


def test_a_file_that_is_not_there_is_wrong_use(capsys, tmp_path):
    assert main(["config", "--env-file", str(tmp_path / "no.env")]) == 2
    assert "no.env" in capsys.readouterr().err


def test_unused_providers_are_shown_when_asked_for(env, run):
    env(CEREBRAS_API_KEY=KEY, OPENAI_API_KEY="sk-" + "o" * 30)
    _, out = run()
    assert "\nopenai " in out
    assert "\ngroq " not in out
    assert f"Of {len(list_providers()) - 2} more providers nothing is set" in out
    _, out = run("--all")
    for row in list_providers():
        assert f"\n{row.name} " in out
    assert "more providers" not in out


def test_a_provider_that_cannot_be_loaded_is_a_warning(env, ask, monkeypatch):
    env(CEREBRAS_API_KEY=KEY)
    monkeypatch.setattr(
        providers, "broken_providers", lambda: {"theirs": "cannot be x"}
    )
    assert ask()[1]["warnings"] == ["cannot be x"]


def test_other_variables_are_shown_and_secrets_masked(env, ask):
    env(
        CEREBRAS_COSTS_TOKEN="pass-word",
        CEREBRAS_COSTS_LEDGER="postgresql://me:pass-word@db/costs",
        HTTPS_PROXY="http://me:pass-word@proxy:3128",
        CEREBRAS_LOG="debug",
    )
    assert ask()[1]["environment"] == {
        "CEREBRAS_COSTS_LEDGER": "postgresql://***@db/costs",
        "CEREBRAS_COSTS_TOKEN": "*** (9 characters)",
        "CEREBRAS_LOG": "debug",
        "HTTPS_PROXY": "http://***@proxy:3128",
    }


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_of_any_width_shows_all_of_it(env, width):
    env(MODEL_PROVIDER="google", GOOGLE_API_KEY=GOOGLE_KEY)
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, highlight=False
    )
    show(console, survey(None, PLAIN), every=True)
    plain = console.file.getvalue()
    words = " ".join(plain.split())
    assert GOOGLE_KEY not in plain
    for row in list_providers():
        assert row.name in words
    assert "GOOGLE_MODEL=gemini-3.8-flash" in words


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (KEY, "csk-*** (44 characters)"),
        ("sk-ant-abcdefgh", "sk-ant-*** (15 characters)"),
        ("unknown-form", "*** (12 characters)"),
        ("short", "***"),
        ("csk-", "csk-***"),
    ],
)
def test_of_a_key_its_kind_and_length_are_shown(secret, shown):
    assert mask(secret) == shown


def test_addresses_lose_names_and_passwords_only():
    assert without_password("http://a:b@h:1/p?q=1") == "http://***@h:1/p?q=1"
    assert without_password("http://h:1/p@q") == "http://h:1/p@q"
    assert without_password("sqlite:///costs.db") == "sqlite:///costs.db"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("me:s3cret@proxy:3128", "***@proxy:3128"),
        ("http://me:s3/cret@proxy:3128", "http://***@proxy:3128"),
        ("http://me:s3@cret@proxy", "http://***@proxy"),
        ("https://h/v1?api_key=s3cret&x=1#f", "https://h/v1?api_key=***&x=1#f"),
        ("postgresql://h/db?password=s3cret", "postgresql://h/db?password=***"),
        ("http://[::1]:80/p@q", "http://[::1]:80/p@q"),
        ("sqlite:///C:/a@b.db", "sqlite:///C:/a@b.db"),
        ("localhost,127.0.0.1:80", "localhost,127.0.0.1:80"),
    ],
)
def test_no_form_of_an_address_shows_its_password_or_key(value, shown):
    assert without_password(value) == shown


def test_where_nothing_is_in_force_there_is_no_empty_heading(env, capsys):
    env(USE_CEREBRAS="true", USE_GOOGLE_DIRECT="true")
    assert main(["config"]) == 2
    out, err = capsys.readouterr()
    assert "In force" not in out
    assert "contradict each other" in out + err


def test_values_stand_below_each_other_however_long_the_names(env, capsys):
    env(
        CEREBRAS_API_KEY=KEY,
        LOG_LEVEL="info",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="false",
    )
    main(["config"])
    lines = capsys.readouterr().out.splitlines()
    at = {
        line.index(value)
        for line in lines
        for name, value in (("LOG_LEVEL", " info"), ("OTEL_", " false"))
        if line.startswith(name)
    }
    assert len(at) == 1


def test_the_help_tells_the_exit_codes(capsys):
    assert main(["config", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 something is missing or wrong" in out
