"""Which variables are read, the key, the base URL and the time limits."""

from __future__ import annotations

import warnings

import httpx
import httpx2
import pytest
from fake_service import KEY, URL, plain

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.errors import CerebrasConfigurationError

OPENAI = {
    "OPENAI_API_KEY": "sk-openai-leak",
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: header-leak",
    "OPENAI_BASE_URL": "https://leak.invalid/v1",
    "OPENAI_API_BASE": "https://leak.invalid/v1",
    "OPENAI_PROXY": "http://leak.invalid:3128",
    "OPENAI_WEBHOOK_SECRET": "webhook-leak",
}


@pytest.fixture
def _openai_environment(monkeypatch):
    for name, value in OPENAI.items():
        monkeypatch.setenv(name, value)


def assert_clean(request) -> None:
    everything = f"{request.url} {list(request.headers.raw)} {request.content!r}"
    assert "leak" not in everything
    assert "openai-organization" not in request.headers
    assert "openai-project" not in request.headers
    assert request.url.host == "api.cerebras.ai"


# ---------------------------------------------------------------------- only our own


@pytest.mark.usefixtures("_openai_environment")
def test_nothing_of_openais_environment_is_sent(service):
    service.model().invoke("hi")
    list(service.model().stream("hi"))
    for request in service.requests:
        assert_clean(request)
        assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.usefixtures("_openai_environment")
def test_an_openai_key_alone_is_no_key():
    with pytest.raises(
        CerebrasConfigurationError, match="set CEREBRAS_API_KEY"
    ) as caught:
        ChatCerebras()
    assert "leak" not in str(caught.value)


def _sdk_answer(requests):
    def handle(request):
        requests.append(request)
        return httpx2.Response(200, json=plain())

    return httpx2.MockTransport(handle)


@pytest.mark.usefixtures("_openai_environment")
def test_the_official_client_sends_nothing_of_openais_environment_either():
    requests: list[httpx2.Request] = []
    model = ChatCerebras(
        api_key=KEY,
        base_url=URL,
        default_headers={"X-Mine": "1"},
        http_client=httpx2.Client(transport=_sdk_answer(requests)),
    )
    answer = model.client.create(
        model="gpt-oss-120b", messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.choices[0].message.content == "Hello"
    (request,) = requests
    assert_clean(request)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (
        request.headers["x-cerebras-3rd-party-integration"] == "langchain-cerebras-ext"
    )
    assert request.headers["x-mine"] == "1"


@pytest.mark.usefixtures("_openai_environment")
async def test_nor_does_the_official_async_client():
    requests: list[httpx2.Request] = []
    async with httpx2.AsyncClient(transport=_sdk_answer(requests)) as client:
        model = ChatCerebras(api_key=KEY, base_url=URL, http_async_client=client)
        answer = await model.async_client.create(
            model="gpt-oss-120b", messages=[{"role": "user", "content": "hi"}]
        )
    assert answer.choices[0].message.content == "Hello"
    (request,) = requests
    assert_clean(request)
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.usefixtures("_openai_environment")
async def test_on_our_own_connections_they_do_not_either(service, server):
    model = ChatCerebras(api_key=KEY, base_url=server.url)
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answers = [
        model.client.create(**asked),
        await model.async_client.create(**asked),
        model.root_client.chat.completions.create(**asked),
    ]
    model.close()
    await model.aclose()
    assert [a.choices[0].message.content for a in answers] == ["Hello"] * 3
    for request in service.requests:
        assert "leak" not in f"{request.url} {list(request.headers.raw)}"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.url.path == "/v1/chat/completions"


# ------------------------------------------------------------------------ our variables


def test_key_url_and_model_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", f"  {KEY}\n")
    monkeypatch.setenv("CEREBRAS_BASE_URL", "https://gateway.example/cerebras/")
    monkeypatch.setenv("CEREBRAS_MODEL", "cerebras:zai-glm-4.7")
    model = ChatCerebras()
    assert model.cerebras_api_key.get_secret_value() == KEY
    assert model.cerebras_api_base == "https://gateway.example/cerebras/v1"
    assert model.model_name == "zai-glm-4.7"


@pytest.mark.parametrize(
    "name", ["CEREBRAS_BASE_URL", "CEREBRAS_URL", "CEREBRAS_API_BASE"]
)
def test_the_base_url_has_three_variables(monkeypatch, name):
    monkeypatch.setenv(name, "https://gateway.example")
    assert ChatCerebras(api_key=KEY).cerebras_api_base == "https://gateway.example/v1"


def test_cerebras_base_url_wins_and_arguments_win_over_all(monkeypatch):
    monkeypatch.setenv("CEREBRAS_URL", "https://second.example")
    monkeypatch.setenv("CEREBRAS_BASE_URL", "https://first.example")
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-from-env")
    monkeypatch.setenv("CEREBRAS_MODEL", "zai-glm-4.7")
    assert ChatCerebras().cerebras_api_base == "https://first.example/v1"
    model = ChatCerebras(api_key=KEY, base_url="https://third.example", model="m")
    assert model.cerebras_api_base == "https://third.example/v1"
    assert model.cerebras_api_key.get_secret_value() == KEY
    assert model.model_name == "m"


def test_without_variables_the_service_and_its_standard_model_are_meant():
    model = ChatCerebras(api_key=KEY)
    assert model.cerebras_api_base == "https://api.cerebras.ai/v1"
    assert model.model_name == "gpt-oss-120b"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CEREBRAS_BASE_URL", "ftp://x", "base_url='ftp://x' is no http(s) URL"),
        ("CEREBRAS_API_KEY", "csk-a b", "white space or characters"),
        ("CEREBRAS_API_KEY", "csk-\u00e4\u00f6", "(api_key or CEREBRAS_API_KEY)"),
    ],
)
@pytest.mark.parametrize("cls", [ChatCerebras, CerebrasLLM])
def test_a_wrong_variable_is_an_error_at_construction(
    monkeypatch, cls, name, value, said
):
    monkeypatch.setenv(name, value)
    with pytest.raises(CerebrasConfigurationError) as caught:
        cls(**({} if name == "CEREBRAS_API_KEY" else {"api_key": KEY}))
    assert said in str(caught.value)
    assert "csk-" not in str(caught.value)


# ------------------------------------------------------------------------------- the key


@pytest.mark.parametrize("cls", [ChatCerebras, CerebrasLLM])
@pytest.mark.parametrize(
    "given", [{}, {"api_key": None}, {"api_key": ""}, {"api_key": " "}]
)
def test_no_key_names_the_variable_and_the_remedies(cls, given):
    with pytest.raises(CerebrasConfigurationError) as caught:
        cls(**given)
    said = str(caught.value)
    assert "No API key for https://api.cerebras.ai/v1: set CEREBRAS_API_KEY" in said
    assert f"pass api_key=... to use {cls.__name__}" in said
    assert "https://cloud.cerebras.ai" in said


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://127.8.9.1:8000/v1",
        "http://localhost:8000",
        "localhost:8000",
        "127.0.0.1:8000",
        "http://[::1]:8000/v1",
        "http://sim.localhost:1",
    ],
)
def test_a_server_on_this_machine_needs_no_key(url):
    model = ChatCerebras(base_url=url)
    assert model.cerebras_api_key is None
    assert model.cerebras_api_base.startswith("http://")
    assert "authorization" not in model._call(None, stream=False).headers


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.5:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://0.0.0.0:8000",
    ],
)
def test_any_other_server_needs_one(url):
    with pytest.raises(CerebrasConfigurationError, match="set CEREBRAS_API_KEY"):
        ChatCerebras(base_url=url)


@pytest.mark.parametrize(
    "given", [f" {KEY} ", f"{KEY}\n", f"\t{KEY}\r\n", f'"{KEY}"', f"Bearer {KEY}"]
)
def test_what_copying_adds_to_a_key_is_taken_off(service, given):
    service.model(api_key=given).invoke("hi")
    assert service.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "key", ["csk-a\nb", "csk-a b", "csk-\u00e4", "csk-a\x00", "csk-\u2028x"]
)
def test_a_key_that_cannot_stand_in_a_header_is_refused_unseen(key):
    with pytest.raises(CerebrasConfigurationError) as caught:
        ChatCerebras(api_key=key)
    assert "Copy it again from https://cloud.cerebras.ai" in str(caught.value)
    assert "csk-" not in str(caught.value)
    assert "csk-" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "key", [5, ["csk-a"], lambda: "csk-a"], ids=["int", "list", "function"]
)
def test_a_key_that_is_no_text_is_refused_by_its_type(key):
    with pytest.raises(CerebrasConfigurationError) as caught:
        ChatCerebras(api_key=key)
    assert f"api_key is a {type(key).__name__}; pass a text" in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "vendor"),
    [
        ("sk-proj-", "OpenAI"),
        ("sk-", "OpenAI"),
        ("sk-ant-", "Anthropic"),
        ("sk-or-", "OpenRouter"),
        ("gsk_", "Groq"),
        ("xai-", "xAI"),
        ("AIza", "Google"),
        ("hf_", "Hugging Face"),
    ],
)
@pytest.mark.parametrize("cls", [ChatCerebras, CerebrasLLM])
def test_a_key_of_another_vendor_is_warned_about_by_its_prefix(cls, prefix, vendor):
    with pytest.warns(UserWarning, match="looks like one of") as caught:
        cls(api_key=f"{prefix}SECRETREST")
    (found,) = caught
    said = str(found.message)
    assert f"starts with {prefix!r} and looks like one of {vendor}'s" in said
    assert "CEREBRAS_API_KEY" in said
    assert "SECRETREST" not in said
    assert found.filename == __file__


def test_a_foreign_key_from_the_environment_is_warned_about_as_well(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", "sk-ant-SECRETREST")
    with pytest.warns(UserWarning, match="Anthropic") as caught:
        ChatCerebras()
    assert caught[0].filename == __file__


@pytest.mark.parametrize("key", ["csk-1", "csk_1", "my-gateways-own", "test"])
def test_other_keys_give_no_warning(key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatCerebras(api_key=key)


# --------------------------------------------------------------------------- base URLs


@pytest.mark.parametrize(
    "given",
    [
        "https://host.example",
        "https://host.example/",
        "https://host.example/v1",
        "https://host.example/v1/",
        "https://host.example/v1/chat/completions",
        "https://host.example/v1/chat/completions/",
        "https://host.example/chat/completions",
        "https://host.example/v1/completions",
        " https://host.example/v1 ",
        "host.example",
        httpx.URL("https://host.example/v1"),
    ],
    ids=str,
)
def test_the_base_url_is_taken_in_every_form(service, given):
    service.model(base_url=given).invoke("hi")
    assert str(service.requests[-1].url) == "https://host.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        ("http://[::1]:80/v1", "http://[::1]/v1/chat/completions"),
        ("https://h.example/a/b", "https://h.example/a/b/v1/chat/completions"),
    ],
)
def test_paths_and_ports_of_a_base_url_stay(service, given, wire):
    service.model(base_url=given).invoke("hi")
    assert str(service.requests[-1].url) == wire


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ftp://host.example", "base_url='ftp://host.example' is no http(s) URL."),
        ("https://", "is no http(s) URL. The service's is https://api.cerebras.ai/v1"),
        ("https://h.example:notaport", "is no http(s) URL"),
        ("my endpoint", "base_url='https://my endpoint' is no http(s) URL"),
        ("https://h.example:99999", "is no http(s) URL"),
        ("https://[::1", "is no http(s) URL"),
        ("https://user:SECRET@h.example", "holds a user name or password"),
        ("ftp://user:SECRET@h.example", "base_url='ftp://***@h.example'"),
    ],
)
def test_a_wrong_base_url_is_named(given, said):
    with pytest.raises(CerebrasConfigurationError) as caught:
        ChatCerebras(api_key=KEY, base_url=given)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)


# -------------------------------------------------------------------------- time limits


def limits(stream: bool, **given):
    per_call = given.pop("per_call", None)
    model = ChatCerebras(api_key=KEY, **given)
    found = model._call(None, stream=stream, timeout=per_call).timeouts
    return found.connect_s, found.first_byte_s, found.read_s, found.total_s


@pytest.mark.parametrize(
    ("given", "plain_call", "stream"),
    [
        ({}, (5, None, 60, 120), (5, 120, 60, None)),
        ({"timeout": 30}, (5, None, 30, 30), (5, 30, 30, None)),
        ({"timeout": 2.5}, (2.5, None, 2.5, 2.5), (2.5, 2.5, 2.5, None)),
        ({"timeout": (3, 40)}, (3, None, 40, None), (3, 40, 40, None)),
        ({"timeout": [3, None]}, (3, None, None, None), (3, None, None, None)),
        ({"timeout": {"connect": 1}}, (1, None, 60, 120), (1, 120, 60, None)),
        ({"timeout": {"read": 7}}, (5, None, 7, 120), (5, 120, 7, None)),
        ({"timeout": {"first_byte": 9}}, (5, None, 60, 120), (5, 9, 60, None)),
        ({"timeout": {"total": 9}}, (5, None, 60, 9), (5, 120, 60, 9)),
        ({"timeout": {"total": None}}, (5, None, 60, None), (5, 120, 60, None)),
        ({"timeout": httpx.Timeout(8)}, (8, None, 8, None), (8, 8, 8, None)),
        (
            {"timeout": httpx2.Timeout(8, connect=2)},
            (2, None, 8, None),
            (2, 8, 8, None),
        ),
        (
            {"timeout": httpx.Timeout(None)},
            (None, None, None, None),
            (None, None, None, None),
        ),
        (
            {"timeout": float("inf")},
            (None, None, None, None),
            (None, None, None, None),
        ),
        ({"connect_timeout": 1}, (1, None, 60, 120), (1, 120, 60, None)),
        ({"total_timeout": 33}, (5, None, 60, 33), (5, 120, 60, 33)),
        ({"stream_chunk_timeout": 2}, (5, None, 60, 120), (5, 120, 2, None)),
        (
            {"timeout": 30, "connect_timeout": 1, "total_timeout": 90},
            (1, None, 30, 90),
            (1, 30, 30, 90),
        ),
        ({"per_call": 4}, (4, None, 4, 4), (4, 4, 4, None)),
        (
            {"timeout": 30, "per_call": {"connect": 2}},
            (2, None, 60, 120),
            (2, 120, 60, None),
        ),
    ],
    ids=str,
)
def test_time_limits_in_every_form(given, plain_call, stream):
    assert limits(False, **given) == plain_call
    assert limits(True, **given) == stream


@pytest.mark.parametrize("value", [0, -1, True, "x", float("nan")], ids=str)
def test_a_wrong_time_limit_of_a_call_is_refused(service, value):
    with pytest.raises(CerebrasConfigurationError, match="timeout="):
        service.model().invoke("hi", timeout=value)
    assert service.requests == []
