"""The proxy's settings: where they come from, and what is said of wrong ones."""

import pickle
import re
from decimal import Decimal

import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.settings import (
    VARIABLES,
    Settings,
    Upstream,
    markdown_table,
)

KEY = {"CEREBRAS_API_KEY": "csk-a-key-of-the-upstream"}
LOCAL = {"CEREBRAS_BASE_URL": "http://127.0.0.1:9/v1"}


def load(**environ):
    return Settings.load({**KEY, **environ})


def problem(environ, **given):
    with pytest.raises(CerebrasConfigurationError) as caught:
        Settings.load(environ, **given)
    return str(caught.value)


# -------------------------------------------------------------------------- defaults


def test_a_key_is_all_that_it_takes():
    settings = Settings.load(KEY)
    assert settings.upstream.base_url == "https://api.cerebras.ai/v1"
    assert settings.upstream.api_key == KEY["CEREBRAS_API_KEY"]
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.log_level == "INFO"
    assert settings.is_open
    assert settings.max_body_bytes == 32 * 1024 * 1024


def test_the_process_environment_is_read_by_default(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-other-key-for-this")
    monkeypatch.setenv("PORT", "9001")
    assert Settings.load().port == 9001


def test_the_table_has_each_field_and_its_default():
    settings = Settings.load(KEY)
    known = {one.field for one in VARIABLES} - {"cerebras_api_key", "cerebras_base_url"}
    assert known | {"upstream"} == set(Settings.__slots__)
    for one in VARIABLES:
        if one.field in known and one.default is not None:
            expected = one.rule.read(one.default)
            assert getattr(settings, one.field) == expected, one.name


def test_every_variable_is_in_the_documentation_table():
    text = markdown_table()
    rows = text.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [one.name for one in VARIABLES]
    assert all(row.count(" | ") == 3 for row in rows)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "localhost:8080", "[::1]:80"])
def test_an_upstream_on_this_machine_needs_no_key(url):
    settings = Settings.load({"CEREBRAS_BASE_URL": url})
    assert settings.upstream.api_key is None
    assert settings.upstream.base_url.endswith("/v1")


def test_the_older_name_of_the_url_is_taken():
    assert load(CEREBRAS_URL="http://h.example").upstream.base_url == (
        "http://h.example/v1"
    )
    both = load(CEREBRAS_URL="http://h.example", CEREBRAS_BASE_URL="http://i.example")
    assert both.upstream.base_url == "http://i.example/v1"


# --------------------------------------------------------------------------- reading


def test_every_kind_of_value_is_read():
    settings = load(
        APE_API_KEY=" Bearer client-key-0123456789 ",
        HOST="0.0.0.0",
        LOG_LEVEL="debug",
        APE_METRICS_PORT="9100",
        APE_WORKERS="2",
        APE_LIMITS_URL="redis://:pw@127.0.0.1:6379/0",
        APE_KEY_REQUESTS_PER_MINUTE="60",
        APE_KEY_TOKENS_PER_MINUTE="100000",
        APE_KEY_BUDGET_USD="5.00",
        APE_KEY_BUDGET_WINDOW="Month",
        APE_ALIASES="fast=gpt-oss-120b, smart = zai-glm-4.7",
        APE_ALLOWED_MODELS="gpt-oss-120b,fast",
        APE_CORS_ORIGINS="https://a.example, http://localhost:3000",
        APE_MIGRATE_RETIRED="yes",
        APE_DOCS="off",
        APE_TOTAL_TIMEOUT_S="none",
        APE_MAX_STREAMS="none",
        APE_IDLE_TIMEOUT_S="1.5",
    )
    assert settings.api_key == "client-key-0123456789"
    assert settings.log_level == "DEBUG"
    assert (settings.metrics_port, settings.workers) == (9100, 2)
    assert settings.key_requests_per_minute == 60
    assert settings.key_tokens_per_minute == 100_000
    assert settings.key_budget_usd == Decimal("5.00")
    assert settings.key_budget_window == "month"
    assert settings.aliases == {"fast": "gpt-oss-120b", "smart": "zai-glm-4.7"}
    assert settings.allowed_models == {"gpt-oss-120b", "fast"}
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.migrate_retired
    assert not settings.docs
    assert settings.total_timeout_s is None
    assert settings.max_streams is None
    assert settings.idle_timeout_s == 1.5


@pytest.mark.parametrize("name", ["PORT", "APE_API_KEY", "CEREBRAS_BASE_URL"])
def test_an_empty_variable_is_one_that_is_not_set(name):
    assert load(**{name: " "}) == Settings.load(KEY)


def test_a_value_may_come_from_a_file(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("client-key-from-a-file\n")
    upstream = tmp_path / "upstream"
    upstream.write_text("\ufeffcsk-a-key-from-a-file\r\n", encoding="utf-8")
    settings = Settings.load(
        {"APE_API_KEY_FILE": str(secret), "CEREBRAS_API_KEY_FILE": str(upstream)}
    )
    assert settings.api_key == "client-key-from-a-file"
    assert settings.upstream.api_key == "csk-a-key-from-a-file"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
        (b"x" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
    ],
    ids=["absent", "empty", "binary", "large"],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, reason):
    path = tmp_path / "port"
    if content is not None:
        path.write_bytes(content)
    told = problem({**KEY, "PORT_FILE": str(path)})
    assert told == f"PORT_FILE={str(path)!r} {reason}."


def test_a_value_and_a_file_for_it_are_too_much():
    told = problem({**KEY, "APE_API_KEY_FILE": "/x"} | {"APE_API_KEY": "y" * 20})
    assert told == "APE_API_KEY and APE_API_KEY_FILE are both set: give one of them."


def test_what_code_gives_goes_before_the_environment():
    settings = Settings.load(
        {**KEY, "PORT": "1", "HOST": "localhost"}, port=2, host=None
    )
    assert (settings.port, settings.host) == (2, "localhost")


def test_what_code_gives_must_be_a_field():
    with pytest.raises(TypeError, match="takes no 'prot'"):
        Settings.load(KEY, prot=1)


def test_origins_of_programs_are_taken_as_those_of_pages():
    given = "https://a.example:8443,vscode-webview://abc,chrome-extension://x,*"
    assert load(APE_CORS_ORIGINS=given).cors_origins == tuple(given.split(","))


# -------------------------------------------------------------------------- the file


def test_a_file_of_settings_lies_beneath_the_environment(tmp_path):
    (tmp_path / "secret").write_text("client-key-from-a-file")
    path = tmp_path / "proxy.toml"
    path.write_text(
        f"""
        cerebras_base_url = "http://127.0.0.1:9"
        port = 7000
        host = "127.0.0.2"
        ape_docs = false
        idle_timeout_s = 2
        key_budget_usd = 0.1
        allowed_models = ["a", "b"]
        api_key_file = "{(tmp_path / "secret").as_posix()}"
        [aliases]
        fast = "a"
        [[fallbacks]]
        base_url = "http://localhost:1"
        model = "m"
        """
    )
    settings = Settings.load({"APE_CONFIG": str(path), "PORT": "7001"})
    assert settings == Settings.load({"PORT": "7001"}, path)
    assert (settings.port, settings.host) == (7001, "127.0.0.2")
    assert settings.api_key == "client-key-from-a-file"
    assert settings.key_budget_usd == Decimal("0.1")
    assert settings.idle_timeout_s == 2.0
    assert settings.aliases == {"fast": "a"}
    assert settings.allowed_models == {"a", "b"}
    assert not settings.docs
    assert settings.fallbacks == (
        Upstream(name="fallback-1", base_url="http://localhost:1/v1", model="m"),
    )


def test_a_file_of_settings_that_is_wrong_is_told(tmp_path):
    path = tmp_path / "proxy.toml"
    path.write_text("prot = 1\nport = -1\nhost = 5\ndocs = 'maybe'\nworkers = true\n")
    told = problem({**KEY, "APE_CONFIG": str(path)})
    assert f"prot in {path} is no setting. Did you mean port?" in told
    assert f"port in {path}=-1 must be a whole number from 0" in told
    assert f"host in {path}=5 must be text." in told
    assert f"docs in {path}='maybe' must be 1 or 0" in told
    assert f"workers in {path}=True must be a whole number" in told
    path.write_text("port = ")
    assert "is no TOML" in problem({**KEY, "APE_CONFIG": str(path)})
    absent = str(tmp_path / "absent.toml")
    assert "cannot be read" in problem({"APE_CONFIG": absent})


# ----------------------------------------------------------------------------- wrong


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PORT", "70000", "a whole number from 0 (any free port) to 65535"),
        ("PORT", "80_00", "a whole number from 0 (any free port) to 65535"),
        ("APE_METRICS_PORT", "x", "a whole number from 0 (any free port) to 65535, or none"),
        ("APE_WORKERS", "0", "a whole number from 1 to 512"),
        ("APE_MAX_BODY_BYTES", "1MB", "a whole number of bytes, 1 at least"),
        ("APE_MAX_STREAMS", "0", "a whole number, 1 at least, or none for no limit"),
        ("APE_IDLE_TIMEOUT_S", "nan", "a number of seconds above 0, a day at most"),
        ("APE_IDLE_TIMEOUT_S", "none", "a number of seconds above 0, a day at most"),
        ("APE_TOTAL_TIMEOUT_S", "-1", "a number of seconds above 0, a day at most, or none for no limit"),
        ("APE_DOCS", "maybe", "1 or 0 (true, false, yes, no, on, off)"),
        ("LOG_LEVEL", "loud", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("APE_KEY_BUDGET_USD", "5 USD", "an amount in USD, as 5.00, from 0, or none for no limit"),
        ("APE_KEY_BUDGET_USD", "NaN", "an amount in USD, as 5.00, from 0, or none for no limit"),
        ("APE_KEY_BUDGET_WINDOW", "run", "one of minute, hour, day, week, month, total"),
        ("APE_ALIASES", "fast", "pairs as fast=gpt-oss-120b with commas between them, each name once"),
        ("APE_ALIASES", "a=b,a=c", "pairs as fast=gpt-oss-120b with commas between them, each name once"),
        ("APE_ALLOWED_MODELS", "a,,b", "names with commas between them"),
        ("APE_CORS_ORIGINS", "https://a.example/path", "origins as https://app.example.com with commas between them, or *"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_name_and_rule(name, value, rule):
    assert problem({**KEY, name: value}) == f"{name}={value!r} must be {rule}."


def test_all_that_is_wrong_is_told_at_once():
    told = problem({"PORT": "x", "HOST": "0.0.0.0", "APE_WORKERS": "no"})
    assert told.startswith("4 settings of the proxy are wrong:\n- ")
    for name in ("PORT=", "APE_WORKERS=", "HOST=", "CEREBRAS_API_KEY "):
        assert f"- {name}" in told


def test_a_wrong_value_brings_no_errors_that_follow_from_it():
    told = problem(
        {"CEREBRAS_API_KEY": "two words", "APE_API_KEY": "\u00e4", "HOST": "::"}
    )
    assert told.splitlines()[1:] == [
        f"- {name}=... must be visible ASCII characters without spaces, to stand in a "
        "header."
        for name in ("CEREBRAS_API_KEY", "APE_API_KEY")
    ]


@pytest.mark.parametrize(
    "name",
    ["CEREBRAS_API_KEY", "APE_API_KEY", "APE_LIMITS_URL", "APE_FALLBACKS"],
)
def test_no_secret_is_in_an_error(name):
    secret = "sesame open 1234"
    told = problem({**KEY, name: secret})
    assert name in told
    assert "sesame" not in told


def test_no_secret_is_in_the_repr():
    settings = load(
        APE_API_KEY="client-key-0123456789",
        APE_LIMITS_URL="redis://:sesame@h/0",
        APE_LEDGER_URL="postgresql://u:sesame@h/d",
        APE_FALLBACKS='[{"base_url": "https://h", "api_key": "sesame"}]',
    )
    for shown in (repr(settings), str(settings)):
        assert "sesame" not in shown
        assert "client-key" not in shown
        assert KEY["CEREBRAS_API_KEY"] not in shown
        assert "'***'" in shown


def test_a_missing_key_is_told_with_what_to_do():
    told = problem({})
    assert told.startswith("CEREBRAS_API_KEY (or CEREBRAS_API_KEY_FILE) is not set:")
    assert "https://cloud.cerebras.ai" in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.com"])
def test_other_machines_are_let_in_with_a_key_only(host):
    told = problem({**KEY, "HOST": host})
    assert told.startswith(f"HOST={host!r} lets other machines in")
    assert load(HOST=host, APE_API_KEY="a-long-key-of-a-client").host == host
    assert load(HOST=host, APE_KEYS_FILE="/run/keys").host == host
    assert load(HOST=host, APE_ALLOW_OPEN="1").host == host


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"]
)
def test_this_machine_needs_no_key(host):
    assert load(HOST=host).is_open


def test_a_port_for_metrics_is_another_one():
    assert problem({**KEY, "PORT": "9", "APE_METRICS_PORT": "9"}).startswith(
        "APE_METRICS_PORT=9 is PORT"
    )
    assert load(PORT="0", APE_METRICS_PORT="0").metrics_port == 0


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("APE_KEY_REQUESTS_PER_MINUTE", "APE_LIMITS_URL"),
        ("APE_KEY_TOKENS_PER_MINUTE", "APE_LIMITS_URL"),
        ("APE_KEY_BUDGET_USD", "APE_LIMITS_URL"),
        ("APE_KEY_BUDGET_USD", "APE_LEDGER_URL"),
    ],
)
def test_workers_do_not_each_count_limits_for_themselves(name, shared):
    environ = {name: "7", "APE_WORKERS": "2"}
    told = problem({**KEY, **environ})
    assert told.startswith(f"{name} with APE_WORKERS=2 needs APE_LIMITS_URL")
    url = {"APE_LIMITS_URL": "redis://h", "APE_LEDGER_URL": "sqlite:///c.db"}[shared]
    assert load(**environ, **{shared: url}).workers == 2


def test_a_misspelt_variable_is_told_and_a_foreign_one_is_not():
    told = problem({**KEY, "APE_ALLOWED_MODEL": "x"})
    assert told == "APE_ALLOWED_MODEL is no setting. Did you mean APE_ALLOWED_MODELS?"
    load(APE_SERVICE_HOST="10.0.0.1", APE_PORT_8000_TCP_ADDR="10.0.0.1", APE_X="1")


# ------------------------------------------------------------------------- fallbacks


def test_fallbacks_are_read_with_keys_from_three_places(tmp_path):
    (tmp_path / "key").write_text("key-in-a-file\n")
    rows = f"""[
      {{"base_url": "https://one.example/v1", "api_key": "key-itself", "model": "m"}},
      {{"base_url": "https://two.example", "name": "two",
        "api_key_file": "{(tmp_path / "key").as_posix()}"}},
      {{"base_url": "http://localhost:1", "api_key_env": "THE_KEY"}}
    ]"""
    settings = load(APE_FALLBACKS=rows, THE_KEY="key-in-a-variable")
    assert [(one.name, one.api_key, one.model) for one in settings.fallbacks] == [
        ("fallback-1", "key-itself", "m"),
        ("two", "key-in-a-file", None),
        ("fallback-3", "key-in-a-variable", None),
    ]
    assert settings.fallbacks[1].base_url == "https://two.example/v1"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("[1]", "entry 1 must be an object with base_url"),
        ('[{"model": "m"}]', "entry 1 must be an object with base_url"),
        ('[{"base_url": "https://h", "modle": "m"}]', "entry 1 must have nothing but"),
        ('[{"base_url": "https://h", "model": 1}]', "entry 1 must have nothing but"),
        ('[{"base_url": "ftp://h"}]', "entry 1: base_url='ftp://h' is no http(s) URL"),
        ('[{"base_url": "https://h", "api_key": "sesame open"}]', "entry 1: api_key of"),
        ('[{"base_url": "https://h", "api_key": "a", "api_key_env": "B"}]', "entry 1 has api_key and api_key_env"),
        ('[{"base_url": "https://h", "api_key_env": "B"}]', "entry 1: the variable B is not set"),
        ('[{"base_url": "https://h", "api_key_file": "/nowhere"}]', "entry 1, api_key_file='/nowhere' cannot be read"),
        ('[{"base_url": "https://h", "name": "cerebras"}]', "Upstreams must have names of their own"),
        ('{"base_url": "https://h"}', "APE_FALLBACKS=... must be a JSON list of objects"),
        ("[", "APE_FALLBACKS=... must be a JSON list of objects"),
    ],
)  # fmt: skip
def test_a_wrong_fallback_is_told(rows, told):
    assert told in problem({**KEY, "APE_FALLBACKS": rows})


# --------------------------------------------------------------------------- in code


def test_settings_made_in_code_are_checked_as_well():
    upstream = Upstream(base_url="localhost:1")
    settings = Settings(
        upstream=upstream, aliases={"a": "b"}, key_budget_usd=Decimal(1)
    )
    assert settings.aliases == {"a": "b"}
    with pytest.raises(CerebrasConfigurationError) as caught:
        Settings(upstream=upstream, port=-1, host="", idle_timeout_s=0)
    told = str(caught.value)
    assert re.findall(r"- (\w+)=", told) == ["host", "port", "idle_timeout_s"]
    with pytest.raises(CerebrasConfigurationError, match="class Upstream"):
        Settings(upstream=upstream, fallbacks=({"base_url": "x"},))
    with pytest.raises(CerebrasConfigurationError, match="lets other machines in"):
        Settings(upstream=upstream, host="0.0.0.0")
    with pytest.raises(CerebrasConfigurationError, match="api_key of upstream 'u'"):
        Upstream(name="u", api_key="a b")


def test_settings_travel_to_other_processes():
    settings = load(
        APE_ALIASES="a=b", APE_FALLBACKS='[{"base_url": "https://h", "api_key": "k"}]'
    )
    assert pickle.loads(pickle.dumps(settings)) == settings


# --------------------------------------------------------------------------- notices


def test_open_mode_is_told_loudly():
    (told,) = Settings.load(KEY).notices()
    assert told.startswith("NO KEY IS ASKED FOR: this machine can spend")
    (told,) = load(HOST="0.0.0.0", APE_ALLOW_OPEN="1").notices()
    assert "anybody who reaches it" in told


def test_a_guessable_key_and_a_foreign_key_are_told_without_them():
    assert load(APE_API_KEY="a-long-key-of-a-client").notices() == ()
    (told,) = load(APE_API_KEY="short").notices()
    assert "fewer than 16 characters" in told
    environ = {"CEREBRAS_API_KEY": "sk-ant-0123456789", "APE_API_KEY": "a" * 16}
    (told,) = Settings.load(environ).notices()
    assert "Anthropic" in told
    assert "0123456789" not in told


def test_a_budget_that_a_restart_forgets_is_told():
    given = {"APE_API_KEY": "a" * 16, "APE_KEY_BUDGET_USD": "5"}
    (told,) = load(**given).notices()
    assert told.startswith("APE_KEY_BUDGET_USD is counted in memory")
    assert load(**given, APE_LIMITS_URL="redis://h:6379/0").notices() == ()
    assert load(**given, APE_LEDGER_URL="sqlite:///costs.db").notices() == ()
