"""`create_chat_model`: what is made, with whose key, and how often."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import weakref

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from openai_models import let_all_keep_no_connection
from provider_env import forget_all, stand_in
from pydantic import BaseModel, SecretStr

from langchain_cerebras_ext import ChatCerebras, track_costs
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasDeprecationWarning,
    MissingExtraError,
    RateLimitError,
)
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.routing import (
    clear_cache,
    create_chat_model,
    factory,
    list_providers,
    register_provider,
)
from langchain_cerebras_ext.routing._cache import Cache, copied, frozen
from langchain_cerebras_ext.routing.providers import get_provider, unregister_provider
from langchain_cerebras_ext.simulator import Simulator

KEY = "csk-" + "f1" * 20
OTHER_KEY = "csk-" + "f2" * 20
CLASSES = {
    "google": ("langchain_google_genai", "ChatGoogleGenerativeAI"),
    "openrouter": ("langchain_openrouter", "ChatOpenRouter"),
    "openai": ("langchain_openai", "ChatOpenAI"),
    "anthropic": ("langchain_anthropic", "ChatAnthropic"),
    "groq": ("langchain_groq", "ChatGroq"),
    "mistral": ("langchain_mistralai", "ChatMistralAI"),
    "deepseek": ("langchain_deepseek", "ChatDeepSeek"),
    "xai": ("langchain_xai", "ChatXAI"),
    "together": ("langchain_together", "ChatTogether"),
    "fireworks": ("langchain_fireworks", "ChatFireworks"),
    "azure": ("langchain_openai", "AzureChatOpenAI"),
    "bedrock": ("langchain_aws", "ChatBedrockConverse"),
    "vertex": ("langchain_google_genai", "ChatGoogleGenerativeAI"),
    "ollama": ("langchain_ollama", "ChatOllama"),
}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    forget_all(monkeypatch)
    let_all_keep_no_connection(monkeypatch)
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    yield
    clear_cache()


def shown(error):
    return f"{error} {error!r} {error.__cause__!r}"


# ---------------------------------------------------------------------------- Cerebras


@pytest.mark.parametrize(
    "name",
    ["cerebras::gpt-oss-120b", "cerebras:gpt-oss-120b", "gpt-oss-120b", None],
)
def test_cerebras_models_are_our_own(name):
    model = create_chat_model(name, temperature=0.5)
    assert type(model) is ChatCerebras
    assert model.model_name == "gpt-oss-120b"
    assert model.temperature == 0.5


def test_a_wrong_argument_is_the_constructors_error():
    with pytest.raises(CerebrasConfigurationError, match="temprature"):
        create_chat_model("gpt-oss-120b", temprature=1)


def test_a_retired_model_brings_its_notice():
    with pytest.warns(CerebrasDeprecationWarning, match="zai-glm-4.6"):
        create_chat_model("zai-glm-4.6")


def test_without_a_key_nothing_is_made_but_for_a_server_of_ones_own(monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY")
    with pytest.raises(
        CerebrasConfigurationError, match="Set CEREBRAS_API_KEY or pass"
    ):
        create_chat_model()
    for url in ("http://127.0.0.1:9/v1", "localhost:9"):
        assert create_chat_model(base_url=url).cerebras_api_key is None
    monkeypatch.setenv("CEREBRAS_BASE_URL", "http://[::1]:9")
    assert create_chat_model().cerebras_api_key is None


def test_a_model_with_the_environments_key_does_not_carry_it_along(monkeypatch):
    model = create_chat_model("gpt-oss-120b")
    assert KEY.encode() not in pickle.dumps(model)
    monkeypatch.setenv("CEREBRAS_API_KEY", OTHER_KEY)
    again = pickle.loads(pickle.dumps(model))
    assert again.cerebras_api_key.get_secret_value() == OTHER_KEY


def test_the_name_may_be_given_as_model():
    assert create_chat_model(model="qwen-3.8-27b").model_name == "qwen-3.8-27b"
    with pytest.raises(CerebrasConfigurationError, match="both given"):
        create_chat_model("gpt-oss-120b", model="qwen-3.8-27b")


# ----------------------------------------------------------------------- other companies


@pytest.mark.parametrize("row", list_providers()[1:], ids=lambda row: row.name)
def test_a_missing_package_is_said_with_the_line_that_installs_it(row, monkeypatch):
    monkeypatch.setattr(factory, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError) as caught:
        create_chat_model(f"{row.name}::x")
    assert isinstance(caught.value, ImportError)
    assert f"pip install 'langchain-cerebras-ext[router]' {row.package}" in str(
        caught.value
    )
    if row.key and row.key.is_needed:  # all that is missing is said at once
        assert f"Set {row.key.variables[0]}" in str(caught.value)


def test_langchain_itself_may_be_what_is_missing(monkeypatch):
    monkeypatch.setattr(
        factory, "find_spec", lambda name: None if name == "langchain" else "there"
    )
    with pytest.raises(MissingExtraError, match=r"needs langchain, .*\[router\]"):
        create_chat_model("openai::x", api_key="sk-1")


def test_a_package_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "langchain_groq.py").write_text("import no_such_thing_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError) as caught:
        create_chat_model("groq::x", api_key="gsk_1")
    assert "langchain-groq, which cannot be imported" in str(caught.value)


@pytest.mark.parametrize("name", CLASSES)
def test_each_provider_is_made_by_its_own_class_with_its_own_key(
    name, tmp_path, monkeypatch
):
    row = get_provider(name)
    for other in list_providers():
        for one in other.settings:
            for variable in one.variables:
                if other.name != "cerebras":
                    monkeypatch.setenv(variable, f"of-{variable}")
    module, cls = CLASSES[name]
    with stand_in(monkeypatch, tmp_path, module, cls):
        model = create_chat_model(f"{name}::some/model:1", temperature=0.25)
        assert type(model).__name__ == cls
        given = dict(model.given)
        assert given.pop("model") == "some/model:1"
        assert given.pop("temperature") == 0.25
        if name == "azure":
            assert given.pop("azure_deployment") == "some/model:1"
        for field, value in row.fixed:
            assert given.pop(field) == value
        assert given == {one.field: f"of-{one.variables[0]}" for one in row.settings}
        assert create_chat_model(f"{name}::some/model:1", temperature=0.25) is model
        key = given.get("api_key")
        assert key is None or key not in repr(vars(factory._instances))


@pytest.mark.parametrize(
    "row",
    [row for row in list_providers() if row.key and row.key.is_needed],
    ids=lambda row: row.name,
)
def test_a_missing_key_is_named_before_anything_is_imported(row, monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY")
    monkeypatch.setattr(factory, "find_spec", lambda _name: "there")
    monkeypatch.setattr(factory, "_make_by_langchain", None)
    monkeypatch.setattr(factory, "_make_compatible", None)
    with pytest.raises(CerebrasConfigurationError) as caught:
        create_chat_model(f"{row.name}::x")
    assert not isinstance(caught.value, MissingExtraError)
    assert f"Set {row.key.variables[0]}" in str(caught.value)
    assert row.key_url in str(caught.value)


def test_gemini_is_never_diverted_to_vertex(tmp_path, monkeypatch):
    with stand_in(monkeypatch, tmp_path, *CLASSES["google"]):
        assert create_chat_model("google::x", api_key="AIza").given["vertexai"] is False
        own = create_chat_model("google::x", api_key="AIza", vertexai=True)
        assert own.given["vertexai"] is True


def test_what_the_program_gives_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_environment")
    monkeypatch.setenv("GROQ_BASE_URL", "http://environment")
    with stand_in(monkeypatch, tmp_path, *CLASSES["groq"]):
        model = create_chat_model(
            "groq::x", groq_api_key="gsk_own", base_url="http://own"
        )
        assert model.given == {
            "model": "x",
            "groq_api_key": "gsk_own",
            "base_url": "http://own",
        }


@pytest.mark.parametrize(
    "how", ["argument", "secret", "alias", "variable", "same text"]
)
def test_cerebras_key_goes_to_nobody_else(how, tmp_path, monkeypatch):
    given = {}
    if how == "argument":
        given = {"api_key": f" {OTHER_KEY}"}
    elif how == "secret":
        given = {"api_key": SecretStr(OTHER_KEY)}
    elif how == "alias":
        given = {"groq_api_key": OTHER_KEY}
    elif how == "variable":
        monkeypatch.setenv("GROQ_API_KEY", OTHER_KEY)
    else:
        monkeypatch.setenv("CEREBRAS_API_KEY", "of-an-unknown-form")
        given = {"api_key": "of-an-unknown-form"}
    with (
        stand_in(monkeypatch, tmp_path, *CLASSES["groq"]),
        pytest.raises(
            CerebrasConfigurationError, match="would be given away"
        ) as caught,
    ):
        create_chat_model("groq::x", **given)
    assert OTHER_KEY not in shown(caught.value)


@pytest.mark.parametrize(
    "name", ["openai", "anthropic", "google", "fireworks", "bedrock"]
)
@pytest.mark.parametrize(
    ("value", "handed"),
    [("true", False), ("https://gateway.example", False), ("false", True), ("0", True)],
)
def test_with_langsmiths_gateway_the_providers_key_stays_here(
    name, value, handed, tmp_path, monkeypatch
):
    row = get_provider(name)
    monkeypatch.setenv("LANGSMITH_GATEWAY", value)
    monkeypatch.setenv(row.key.variables[0], "a-key")
    with stand_in(monkeypatch, tmp_path, *CLASSES[name]):
        assert ("api_key" in create_chat_model(f"{name}::x").given) is handed
        own = create_chat_model(f"{name}::x", base_url="http://own")
        assert own.given["api_key"] == "a-key"
        monkeypatch.delenv(row.key.variables[0])
        if not handed:
            assert "api_key" not in create_chat_model(f"{name}::x").given


# -------------------------------------------------------- servers in OpenAI's form


@pytest.fixture
def server():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def openais(monkeypatch):
    """What OpenAI's client would read for OpenAI."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-of-openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Of-Openai: yes")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/of-openai")


@pytest.mark.usefixtures("openais")
@pytest.mark.parametrize("use", ["invoke", "stream"])
def test_a_local_server_gets_nothing_of_openais(server, monkeypatch, use):
    monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
    model = create_chat_model("local::gpt-oss-120b", default_headers={"X-Own": "1"})
    if use == "invoke":
        answer = model.invoke("Hi")
    else:
        chunks = list(model.stream("Hi"))
        answer = chunks[0]
        for chunk in chunks[1:]:
            answer += chunk
    for client in (model.root_client, model.root_async_client):
        assert client.organization is None
        assert client.project is None
    (request,) = server.requests
    said = " ".join(f"{k}: {v}" for k, v in request.headers.items()).lower()
    assert "of-openai" not in said
    assert "x-own: 1" in said
    assert answer.response_metadata["model_provider"] == "local"
    assert answer.usage_metadata["output_tokens"] > 0  # in streams too


def test_a_local_server_may_have_a_key_and_needs_an_address(monkeypatch):
    with pytest.raises(CerebrasConfigurationError, match="Set LOCAL_BASE_URL or pass"):
        create_chat_model("local::x")
    monkeypatch.setenv("LOCAL_API_KEY", "local-key")
    model = create_chat_model("local::x", base_url="http://127.0.0.1:9/v1")
    assert model.root_client.api_key == "local-key"


def test_costs_of_a_local_server_are_not_openais(server, monkeypatch):
    monkeypatch.setenv("LOCAL_BASE_URL", server.base_url)
    with track_costs() as costs:
        create_chat_model("local::gpt-oss-120b").invoke("Hi")
    (record,) = costs.records
    assert record.provider == "local"


def test_openrouter_without_its_package_goes_by_openais_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_openrouter", None)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-1")
    model = create_chat_model("openrouter::anthropic/claude-sonnet-5.5")
    assert str(model.root_client.base_url) == "https://openrouter.ai/api/v1/"
    assert model.root_client.api_key == "sk-or-1"
    assert model.model_name == "anthropic/claude-sonnet-5.5"
    assert model._get_ls_params()["ls_provider"] == "openrouter"
    assert model.stream_usage
    assert model._llm_type == "openrouter-chat"


def test_openrouter_without_either_names_its_own_package(monkeypatch):
    monkeypatch.setattr(factory, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match="langchain-openrouter"):
        create_chat_model("openrouter::x", api_key="sk-or-1")


# --------------------------------------------------------------------------- instances


def test_the_same_configuration_is_the_same_object():
    one = create_chat_model("gpt-oss-120b", temperature=0.1, stop=["a", "b"])
    assert (
        create_chat_model("cerebras::gpt-oss-120b", stop=["a", "b"], temperature=0.1)
        is one
    )
    assert create_chat_model(temperature=0.1, stop=["a", "b"]) is one


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.2},
        {"stop": ["b", "a"]},
        {"max_tokens": 1},
        {"n": 1},
        {"streaming": True},
        {"streaming": 1},
        {"model_kwargs": {"a": [1, {"b": 2}]}},
        {"model_kwargs": {"a": [1, {"b": 2.0}]}},
        {"model_kwargs": {"a": [1, {"b": True}]}},
        {"tags": ["x"]},
        {"tags": ("x",)},
        {"api_key": OTHER_KEY},
        {"api_key": SecretStr(OTHER_KEY)},
        {"default_headers": {"X-Token": "1"}},
        {"callbacks": [BaseCallbackHandler()]},
        {"retry_policy": RetryPolicy(max_retries=1)},
        {"timeout": (1, 2)},
        {"base_url": "http://127.0.0.1:9"},
    ],
    ids=lambda given: "-".join(
        f"{name}:{type(value).__name__}" for name, value in given.items()
    ),
)
def test_each_argument_tells_instances_apart(given):
    plain = create_chat_model("gpt-oss-120b")
    model = create_chat_model("gpt-oss-120b", **given)
    assert model is not plain
    assert create_chat_model("gpt-oss-120b", **given) is model
    clear_cache()
    assert create_chat_model("gpt-oss-120b", **given) is not model


def test_numbers_that_are_equal_and_not_the_same_are_told_apart():
    given = [{"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}, {"a": b"1"}, {"a": None}]
    models = [create_chat_model("gpt-oss-120b", model_kwargs=one) for one in given]
    assert len({id(model) for model in models}) == len(given)


def test_a_list_that_is_changed_afterwards_changes_no_instance():
    stop = ["a"]
    kwargs = {"inner": ["a"]}
    one = create_chat_model("gpt-oss-120b", stop=stop, model_kwargs=kwargs)
    stop.append("b")
    kwargs["inner"].append("b")
    assert one.stop == ["a"]
    assert one.model_kwargs == {"inner": ["a"]}
    assert (
        create_chat_model("gpt-oss-120b", stop=["a"], model_kwargs={"inner": ["a"]})
        is one
    )
    other = create_chat_model("gpt-oss-120b", stop=stop, model_kwargs=kwargs)
    assert other.stop == ["a", "b"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CEREBRAS_API_KEY", OTHER_KEY),
        ("CEREBRAS_BASE_URL", "http://127.0.0.1:9"),
        ("CEREBRAS_MODEL", "qwen-3.8-27b"),
    ],
)
def test_a_change_of_the_environment_is_another_instance(monkeypatch, variable, value):
    before = create_chat_model()
    with monkeypatch.context() as patch:
        patch.setenv(variable, value)
        changed = create_chat_model()
        assert changed is not before
        assert create_chat_model() is changed
    assert create_chat_model() is before


def test_the_provider_in_force_is_seen_at_each_call(monkeypatch):
    register_provider("acme-x", ChatCerebras)
    try:
        before = create_chat_model()
        monkeypatch.setenv("MODEL_PROVIDER", "acme-x")
        monkeypatch.setenv("ACME_X_MODEL", "gpt-oss-120b")
        assert create_chat_model() is not before
    finally:
        unregister_provider("acme-x")


def test_what_a_package_reads_by_itself_counts_too(tmp_path, monkeypatch):
    with stand_in(monkeypatch, tmp_path, *CLASSES["openai"]):
        before = create_chat_model("openai::x", api_key="sk-1")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        assert create_chat_model("openai::x", api_key="sk-1") is not before


def test_cache_false_makes_one_of_its_own():
    cached = create_chat_model()
    own = create_chat_model(cache=False)
    assert own is not cached
    assert create_chat_model() is cached


def test_no_key_is_in_a_key_of_the_cache():
    url = "http://user:pass-word@127.0.0.1:9"
    create_chat_model(api_key=OTHER_KEY, default_headers={"X-Auth-Token": "tok-en"})
    create_chat_model(cerebras_proxy=url)
    said = repr(list(factory._instances._made)) + repr(factory._instances)
    for secret in (KEY, OTHER_KEY, "tok-en", "pass-word"):
        assert secret not in said


@pytest.mark.parametrize("configurable", [False, True])
def test_a_key_shows_in_no_traceback_with_variables(configurable):
    import traceback

    with pytest.raises(CerebrasConfigurationError) as caught:
        create_chat_model(
            "groq::x" if not configurable else "gogle::x",
            configurable=configurable,
            api_key=OTHER_KEY,
        )
    told = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    frames = [f for f in told.stack if "langchain_cerebras_ext" in f.filename]
    assert frames
    for frame in frames:
        assert OTHER_KEY not in str(frame.locals)


def test_few_are_kept_and_those_that_are_used(monkeypatch):
    monkeypatch.setattr(factory, "_instances", Cache(3))
    first, second, third = (create_chat_model(seed=n) for n in range(3))
    assert create_chat_model(seed=0) is first
    create_chat_model(seed=3)
    assert len(factory._instances) == 3
    assert create_chat_model(seed=0) is first
    assert create_chat_model(seed=2) is third
    assert create_chat_model(seed=1) is not second
    assert 10 <= factory.CACHE_SIZE <= 1000


def test_one_that_went_is_let_go(monkeypatch):
    monkeypatch.setattr(factory, "_instances", Cache(1))
    gone = weakref.ref(create_chat_model(seed=1))
    create_chat_model(seed=2)
    gc.collect()
    assert gone() is None


def test_threads_that_ask_at_once_get_the_same_object():
    start = threading.Barrier(12)
    made = []

    def ask():
        start.wait()
        made.append(create_chat_model("gpt-oss-120b", seed=7))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 12
    assert len({id(model) for model in made}) == 1


def test_threads_that_ask_clear_and_forget_never_fail():
    failures = []

    def work(number):
        try:
            for turn in range(60):
                model = create_chat_model("gpt-oss-120b", seed=(number + turn) % 5)
                assert model.seed == (number + turn) % 5
                if turn % 20 == number:
                    clear_cache()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_failure_is_not_kept(monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY")
    with pytest.raises(CerebrasConfigurationError):
        create_chat_model()
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    assert create_chat_model().model_name == "gpt-oss-120b"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({1, 2}, {2, 1}, True),
        ([1, 2], (1, 2), False),
        ([[]], [[[]]], False),
        ({"api_key": "x" * 9}, {"api_key": "y" * 9}, False),
        ({"api_key": "x" * 9}, {"api_key": "x" * 9}, True),
        (SecretStr("x"), SecretStr("x"), True),
        (SecretStr("x"), SecretStr("y"), False),
        ("", None, False),
        (float("nan"), "nan", False),
    ],
    ids=str,
)
def test_parts_of_a_key_are_equal_where_values_are(one, other, same):
    assert (frozen(one) == frozen(other)) is same
    assert not same or hash(frozen(one)) == hash(frozen(other))


def test_objects_are_told_apart_by_identity():
    class Odd:
        __hash__ = None

        def __eq__(self, other):
            return True

    one, other = Odd(), Odd()
    assert frozen(one) == frozen(one)
    assert frozen(one) != frozen(other)
    assert hash(frozen([one]))
    assert copied({"a": [one]})["a"][0] is one


# -------------------------------------------------------------- chosen by each call


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class City(BaseModel):
    """A city."""

    name: str


LOCAL = {"configurable": {"model": "local::gpt-oss-120b"}}


@pytest.fixture
def both(monkeypatch):
    """Cerebras and a local server, each a simulator."""
    with Simulator() as cerebras, Simulator() as local:
        monkeypatch.setenv("CEREBRAS_BASE_URL", cerebras.base_url)
        monkeypatch.setenv("LOCAL_BASE_URL", local.base_url)
        yield cerebras, local


def whose(answer):
    return answer.response_metadata["model_provider"]


def test_a_call_chooses_its_model(both):
    cerebras, local = both
    model = create_chat_model(configurable=True, seed=3)
    assert isinstance(model, BaseChatModel)
    assert whose(model.invoke("Hi")) == "cerebras"
    assert whose(model.invoke("Hi", LOCAL)) == "local"
    assert [len(cerebras.requests), len(local.requests)] == [1, 1]
    assert cerebras.requests[0].body["seed"] == local.requests[0].body["seed"] == 3


def test_two_models_of_a_chain_are_told_apart_by_a_prefix(both):
    cerebras, local = both
    writer = create_chat_model(configurable=["seed"], config_prefix="writer")
    critic = create_chat_model(configurable=True, config_prefix="critic_")
    chain = writer | (lambda answer: [("user", answer.text)]) | critic
    said = {
        "writer_model": "local::gpt-oss-120b",
        "writer_seed": 5,
        "model": "nobody::x",
    }
    assert whose(chain.invoke("Hi", {"configurable": said})) == "cerebras"
    assert [len(cerebras.requests), len(local.requests)] == [1, 1]
    assert local.requests[0].body["seed"] == 5
    assert "seed" not in cerebras.requests[0].body
    ids = {spec.id for spec in chain.config_specs}
    assert {"writer_model", "writer_seed", "critic_model"} <= ids


def test_a_prefix_without_a_choice_is_refused():
    with pytest.raises(CerebrasConfigurationError, match="needs configurable=True"):
        create_chat_model("gpt-oss-120b", config_prefix="writer")


ACME = {"configurable": {"model": "acme::gpt-oss-120b"}}


@pytest.fixture
def ours(both):
    """Two servers that `ChatCerebras` talks to, one under another name."""
    cerebras, acme = both

    def make(model, **given):
        return ChatCerebras(model=model, base_url=acme.base_url, api_key="k", **given)

    register_provider("acme", make)
    yield cerebras, acme
    unregister_provider("acme")


async def test_each_way_to_call_chooses(ours):
    cerebras, acme = ours
    model = create_chat_model("gpt-oss-120b", configurable=True)
    template = ChatPromptTemplate.from_template("{x}")
    await model.ainvoke("Hi", ACME)
    list(model.stream("Hi", ACME))
    [chunk async for chunk in model.astream("Hi", ACME)]
    await model.abatch(["a", "b"], ACME)
    model.with_config(ACME).invoke("Hi")
    model.bind(seed=1).invoke("Hi", ACME)
    (template | model).invoke({"x": 1}, ACME)
    await (template | model).ainvoke({"x": 1}, ACME)
    events = [event async for event in model.astream_events("Hi", ACME, version="v2")]
    assert [events[0]["event"], events[-1]["event"]] == [
        "on_chat_model_start",
        "on_chat_model_end",
    ]
    assert [len(cerebras.requests), len(acme.requests)] == [0, 10]
    model.batch(["a", "b"], [ACME, {}])
    model.generate_prompt([template.invoke({"x": 1})])
    await model.agenerate_prompt([template.invoke({"x": 1})])
    assert [len(cerebras.requests), len(acme.requests)] == [3, 11]


@pytest.mark.filterwarnings("ignore:.*is in beta")
async def test_events_of_the_newest_kind_are_those_of_the_model_that_answers(ours):
    model = create_chat_model(configurable=True)
    assert model.stream_events("Hi", ACME, version="v3").output.text
    stream = await model.astream_events("Hi", ACME, version="v3")
    assert (await stream.output).text
    assert [len(server.requests) for server in ours] == [0, 2]


def test_tools_go_to_each_model_in_its_own_form(both):
    cerebras, local = both
    bound = create_chat_model(configurable=True).bind_tools([add], tool_choice="any")
    for config, server in (({}, cerebras), (LOCAL, local)):
        answer = bound.invoke("add 1 and 2", config)
        assert answer.tool_calls[0]["name"] == "add"
        body = server.requests[-1].body
        assert body["tools"][0]["function"]["name"] == "add"
        assert body["tool_choice"] == "required"


def test_tools_are_bound_once_for_a_model(both):
    model = create_chat_model(configurable=True)
    bound = model.bind_tools([add])
    bound.invoke("a")
    bound.invoke("b")
    assert len(model._bound) == 1
    list(bound.stream("x", LOCAL))
    list(bound.stream("x", LOCAL))
    assert len(model._bound) == 2
    assert [len(server.requests) for server in both] == [2, 2]


async def test_structure_comes_from_the_model_that_answers(ours):
    cerebras, acme = ours
    chain = create_chat_model(configurable=True).with_structured_output(City)
    assert isinstance(chain.invoke("Paris"), City)
    assert isinstance(chain.invoke("Paris", ACME), City)
    assert isinstance(await chain.ainvoke("Paris", ACME), City)
    assert isinstance(chain.with_config(ACME).invoke("Paris"), City)
    assert isinstance(list(chain.stream("Paris", ACME))[-1], City)
    assert [len(cerebras.requests), len(acme.requests)] == [1, 4]
    raw = create_chat_model(configurable=True).with_structured_output(
        City, include_raw=True
    )
    assert raw.invoke("Paris", ACME)["parsed"].name
    assert len(acme.requests) == 5


@pytest.mark.parametrize("form", [None, City], ids=["no form", "form"])
def test_an_agent_passes_the_choice_on(both, form):
    cerebras, _ = both
    agent = create_agent(
        create_chat_model(configurable=True), [add], response_format=form
    )
    state = agent.invoke({"messages": [("user", "add 1 and 2")]}, LOCAL)
    answers = [m for m in state["messages"] if m.type == "ai"]
    assert {whose(answer) for answer in answers} == {"local"}
    assert cerebras.requests == []
    assert form is None or isinstance(state["structured_response"], City)


def test_callbacks_and_costs_are_those_of_the_model_that_answers(both):
    model = create_chat_model(configurable=True)
    with track_costs() as costs:
        model.invoke("Hi", LOCAL)
        model.invoke("Hi")
    assert [record.provider for record in costs.records] == ["local", "cerebras"]


def test_errors_are_those_of_the_model_that_answers(both):
    cerebras, _ = both
    cerebras.fail_next(429)
    model = create_chat_model(configurable=True, max_retries=0)
    with pytest.raises(RateLimitError):
        model.invoke("Hi")
    assert whose(model.invoke("Hi", LOCAL)) == "local"


def test_only_named_arguments_may_be_chosen(both):
    cerebras, _ = both
    model = create_chat_model(configurable=["seed"], temperature=0.5)
    config = {"configurable": {"seed": 9, "temperature": 2, "thread_id": "t"}}
    model.invoke("Hi", config)
    body = cerebras.requests[0].body
    assert (body["seed"], body["temperature"]) == (9, 0.5)
    assert [spec.id for spec in model.config_specs] == [
        "model",
        "model_provider",
        "seed",
    ]


def test_a_provider_may_be_chosen_alone(both, monkeypatch):
    monkeypatch.setenv("LOCAL_MODEL", "gpt-oss-120b")
    model = create_chat_model("gpt-oss-120b", configurable=True)
    assert (
        whose(model.invoke("Hi", {"configurable": {"model_provider": "local"}}))
        == "local"
    )
    both_said = {"model": "gpt-oss-120b", "model_provider": "local"}
    assert whose(model.invoke("Hi", {"configurable": both_said})) == "local"


def test_without_a_choice_it_is_what_the_environment_says_then(both, monkeypatch):
    model = create_chat_model(configurable=True)
    assert whose(model.invoke("Hi")) == "cerebras"
    monkeypatch.setenv("MODEL_PROVIDER", "local")
    monkeypatch.setenv("LOCAL_MODEL", "gpt-oss-120b")
    assert whose(model.invoke("Hi")) == "local"


def test_a_key_is_for_the_provider_that_it_was_given_for(both, monkeypatch):
    cerebras, local = both
    model = create_chat_model(
        "gpt-oss-120b",
        configurable=True,
        api_key="a-cerebras-key",
        base_url=cerebras.base_url,
        default_headers={"X-Secret": "s-1"},
        seed=5,
    )
    model.invoke("Hi")
    model.invoke("Hi", LOCAL)
    headers = [" ".join(s.requests[0].headers.values()) for s in both]
    chosen = model.select(LOCAL)
    assert chosen.root_client.api_key == "none"
    assert "s-1" in headers[0]
    assert "s-1" not in headers[1]
    assert local.requests[0].body["seed"] == 5


def test_a_key_stays_with_its_provider_when_the_one_in_force_changes(both, monkeypatch):
    model = create_chat_model(configurable=True, api_key="of-an-unknown-form")
    monkeypatch.setenv("MODEL_PROVIDER", "local")
    monkeypatch.setenv("LOCAL_MODEL", "gpt-oss-120b")
    assert model.select().root_client.api_key == "none"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "gogle::x"}, "Did you mean 'google'"),
        ({"model": "claude-sonnet-5-5"}, "'anthropic::claude-sonnet-5-5'"),
        ({"model_provider": "nobody"}, "no provider 'nobody'"),
        ({"model": 7}, "not a int"),
    ],
    ids=str,
)
def test_a_choice_that_is_none_is_explained(both, config, message):
    model = create_chat_model(configurable=True)
    with pytest.raises(CerebrasConfigurationError) as caught:
        model.invoke("Hi", {"configurable": config})
    assert message in str(caught.value)


def test_what_is_wrong_from_the_start_is_said_then(monkeypatch):
    with pytest.raises(CerebrasConfigurationError, match="no provider 'gogle'"):
        create_chat_model("gogle::x", configurable=True)
    with pytest.raises(CerebrasConfigurationError, match="True or a list"):
        create_chat_model(configurable="seed")
    monkeypatch.setenv("MODEL_PROVIDER", "google")  # no model is named: calls may
    assert create_chat_model(configurable=True).profile is None


def test_its_profile_promises_only_what_each_model_can(both):
    model = create_chat_model("gpt-oss-120b", configurable=True)
    assert model.profile["max_input_tokens"] > 0
    assert model.profile["structured_output"] is False
    assert model.get_num_tokens("some words") > 0
    assert model._llm_type == "configurable-chat"


def test_it_travels(both):
    model = pickle.loads(pickle.dumps(create_chat_model(configurable=True, seed=2)))
    assert whose(model.invoke("Hi", LOCAL)) == "local"
    assert both[1].requests[0].body["seed"] == 2
