"""The constructor: names, ranges, and what it says when something is wrong."""

from __future__ import annotations

import pytest
from fake_service import KEY, URL, run
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import SecretStr

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._params import CHAT_PARAMS
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)


def build(**kwargs) -> ChatCerebras:
    return ChatCerebras(**{"api_key": KEY, **kwargs})


# field, wire name, values that are taken
TAKEN = [
    ("temperature", "temperature", [0, 0.5, 2]),
    ("top_p", "top_p", [0, 0.95, 1]),
    ("frequency_penalty", "frequency_penalty", [-2, 0, 2]),
    ("presence_penalty", "presence_penalty", [-2, 0, 2]),
    ("logit_bias", "logit_bias", [{"5": -100, "6": 100}, {"7": 0.5}]),
    ("logprobs", "logprobs", [True, False]),
    ("n", "n", [1, 3]),
    ("seed", "seed", [-1, 0, 42]),
    ("stop", "stop", ["a", ["a"], ["a", "b", "c", "d"]]),
    ("max_tokens", "max_completion_tokens", [-1, 0, 40_960]),
    ("min_tokens", "min_completion_tokens", [-1, 0, 10]),
    ("reasoning_effort", "reasoning_effort", ["low", "medium", "high"]),
    (
        "reasoning_format",
        "reasoning_format",
        ["none", "parsed", "text_parsed", "raw", "hidden"],
    ),
    ("prediction", "prediction", [{"type": "content", "content": "x"}]),
    ("service_tier", "service_tier", ["auto", "default", "flex", "priority"]),
    ("prompt_cache_key", "prompt_cache_key", ["", "k", "k" * 1024]),
    ("user", "user", ["u-1"]),
    ("model_parameters", "model_parameters", [{"a": 1}]),
    (
        "response_format",
        "response_format",
        [{"type": "json_object"}],
    ),
    ("disable_reasoning", "disable_reasoning", [False]),
    ("clear_thinking", "clear_thinking", [True, False]),
]
TAKEN_CASES = [
    pytest.param(field, wire, value, id=f"{field}={str(value)[:30]}")
    for field, wire, values in TAKEN
    for value in values
]


@pytest.mark.filterwarnings("ignore:Parameter 'disable_reasoning'")
@pytest.mark.parametrize(("field", "wire", "value"), TAKEN_CASES)
def test_a_value_in_range_is_a_field_and_is_sent(service, field, wire, value):
    model = service.model(**{field: value})
    assert getattr(model, field) == value
    model.invoke("hi")
    assert service.body == {
        "model": "gpt-oss-120b",
        wire: value,
        "messages": [{"role": "user", "content": "hi"}],
    }


@pytest.mark.filterwarnings("ignore:Parameter 'disable_reasoning'")
@pytest.mark.parametrize(("field", "wire", "value"), TAKEN_CASES)
def test_a_call_overrides_it_by_either_name(service, field, wire, value):
    model = service.model()
    for name in (field, wire):
        model.invoke("hi", **{name: value})
        assert service.body[wire] == value


@pytest.mark.parametrize(("field", "wire", "value"), TAKEN_CASES)
def test_none_in_a_call_takes_it_away(service, field, wire, value):
    # `stop=None` is "not given" throughout LangChain; an empty list says "none".
    nothing = [] if field == "stop" else None
    service.model(**{field: value}).invoke("hi", **{field: nothing})
    assert wire not in service.body


def test_every_parameter_of_the_api_is_a_field():
    """The API's list, written out by hand from its OpenAPI description."""
    wire = {param.wire for param in CHAT_PARAMS.values()}
    assert wire == {
        "max_completion_tokens",
        "min_completion_tokens",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "n",
        "stop",
        "seed",
        "stream_options",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "reasoning_format",
        "disable_reasoning",
        "clear_thinking",
        "prediction",
        "service_tier",
        "prompt_cache_key",
        "user",
        "model_parameters",
    }
    assert set(CHAT_PARAMS) <= set(ChatCerebras.model_fields)
    assert {"model_name", "queue_threshold", "api_version_patch"} <= set(
        ChatCerebras.model_fields
    )


@pytest.mark.filterwarnings("ignore:Parameter 'disable_reasoning'")
def test_everything_at_once_is_sent_under_the_names_of_the_api(service):
    tool = {"type": "function", "function": {"name": "f"}}
    service.model(
        model="my-org-endpoint",
        temperature=1,
        top_p=0.5,
        max_tokens=10,
        min_tokens=1,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logit_bias={1: 2},
        logprobs=True,
        top_logprobs=20,
        n=2,
        stop=["x"],
        seed=7,
        reasoning_effort="none",
        reasoning_format="parsed",
        disable_reasoning=True,
        clear_thinking=False,
        service_tier="flex",
        prompt_cache_key="p",
        user="u",
        model_parameters={"m": 1},
        parallel_tool_calls=True,
        tools=[tool],
        tool_choice="f",
        response_format={"type": "json_object"},
    ).invoke("hi")
    assert service.body == {
        "model": "my-org-endpoint",
        "temperature": 1,
        "top_p": 0.5,
        "max_completion_tokens": 10,
        "min_completion_tokens": 1,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "top_logprobs": 20,
        "n": 2,
        "stop": ["x"],
        "seed": 7,
        "reasoning_effort": "none",
        "reasoning_format": "parsed",
        "disable_reasoning": True,
        "clear_thinking": False,
        "service_tier": "flex",
        "prompt_cache_key": "p",
        "user": "u",
        "model_parameters": {"m": 1},
        "parallel_tool_calls": True,
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_object"},
        "messages": [{"role": "user", "content": "hi"}],
    }


REFUSED = [
    ("temperature", 2.1, "temperature=2.1 is out of range: the API takes 0 to 2."),
    ("temperature", -0.1, "temperature=-0.1 is out of range: the API takes 0 to 2."),
    ("temperature", float("nan"), "temperature=nan is not a number"),
    ("temperature", True, "temperature=True is a bool; it takes float or int."),
    ("temperature", "hot", "temperature='hot' is a str; it takes float or int."),
    ("top_p", 1.01, "top_p=1.01 is out of range: the API takes 0 to 1."),
    ("top_p", -0.01, "top_p=-0.01 is out of range: the API takes 0 to 1."),
    (
        "frequency_penalty",
        2.5,
        "frequency_penalty=2.5 is out of range: the API takes -2",
    ),
    (
        "presence_penalty",
        -2.5,
        "presence_penalty=-2.5 is out of range: the API takes -2",
    ),
    (
        "logit_bias",
        {"1": 101},
        "logit_bias['1']=101 is out of range: the API takes -100",
    ),
    ("logit_bias", {"1": "x"}, "logit_bias['1']='x' is out of range"),
    (
        "logit_bias",
        dict.fromkeys(map(str, range(101)), 1),
        "logit_bias has 101 entries",
    ),
    ("logprobs", 5, "logprobs=5 is a int; it takes bool."),
    ("n", 0, "n=0 is out of range: the API takes at least 1."),
    ("n", 1.5, "n=1.5 is a float; it takes int."),
    ("seed", "x", "seed='x' is a str; it takes int."),
    ("stop", list("abcde"), "stop has 5 sequences; the API takes 4."),
    ("stop", [1], "stop=[1] has an item that is no text."),
    ("stop", 5, "stop=5 is a int; it takes list or str or tuple."),
    ("max_tokens", -2, "max_tokens=-2 is out of range: the API takes at least -1."),
    ("max_tokens", "9", "max_tokens='9' is a str; it takes int."),
    ("min_tokens", -2, "min_tokens=-2 is out of range: the API takes at least -1."),
    (
        "reasoning_effort",
        "hihg",
        (
            "reasoning_effort='hihg' is not one of 'none', 'low', 'medium', 'high'. "
            "Did you mean 'high'?"
        ),
    ),
    ("reasoning_format", "parse", "Did you mean 'parsed'?"),
    ("service_tier", "gold", "service_tier='gold' is not one of 'auto', 'default'"),
    ("prompt_cache_key", "k" * 1025, "prompt_cache_key has 1025 characters; the API"),
    ("user", 5, "user=5 is a int; it takes str."),
    ("model_parameters", "x", "model_parameters='x' is a str; it takes mapping."),
    ("parallel_tool_calls", "x", "parallel_tool_calls='x' is a str; it takes bool."),
    ("clear_thinking", 1, "clear_thinking=1 is a int; it takes bool."),
]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [pytest.param(*case, id=f"{case[0]}={str(case[1])[:20]}") for case in REFUSED],
)
def test_a_value_out_of_range_is_named_with_its_range(service, field, value, said):
    with pytest.raises(CerebrasConfigurationError) as caught:
        build(**{field: value})
    assert said in str(caught.value)
    with pytest.raises(CerebrasInvalidRequestError) as caught:
        service.model().invoke("hi", **{field: value})
    assert said in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize("value", [0, 20])
def test_top_logprobs_at_its_bounds_needs_logprobs(service, value):
    service.model(logprobs=True, top_logprobs=value).invoke("hi")
    assert service.body["top_logprobs"] == value
    with pytest.raises(CerebrasConfigurationError, match="top_logprobs needs logprobs"):
        build(top_logprobs=5)
    with pytest.raises(
        CerebrasInvalidRequestError, match="top_logprobs needs logprobs"
    ):
        service.model().invoke("hi", top_logprobs=5)


@pytest.mark.parametrize("value", [-1, 21])
def test_top_logprobs_out_of_range_is_refused(value):
    said = f"top_logprobs={value} is out of range: the API takes 0 to 20."
    with pytest.raises(CerebrasConfigurationError, match=said):
        build(logprobs=True, top_logprobs=value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"queue_threshold": 49},
            "queue_threshold=49 is out of range: the API takes 50",
        ),
        ({"queue_threshold": 20_001}, "takes 50 to 20000"),
        ({"queue_threshold": "x"}, "queue_threshold='x' is a str; it takes int"),
        ({"api_version_patch": 0}, "api_version_patch=0 is out of range"),
        ({"max_retries": -1}, "max_retries=-1 is out of range"),
        ({"stream_chunk_timeout": -1}, "stream_chunk_timeout=-1"),
        ({"connect_timeout": 0}, "connect_timeout=0"),
        ({"total_timeout": "x"}, "total_timeout"),
        ({"timeout": 0}, "timeout=0 must be a positive number of seconds."),
        ({"timeout": -5}, "timeout=-5 must be a positive number"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": "soon"}, "timeout='soon' is not understood; pass seconds"),
        ({"timeout": {"conect": 1}}, "timeout has unknown keys ['conect']; it takes"),
        ({"timeout": {"connect": "x"}}, "timeout (connect)='x'"),
        ({"timeout": (1, 2, 3)}, "is not understood"),
        ({"model": ""}, "model is empty; name one, such as 'gpt-oss-120b'"),
        ({"model": 5}, "model_name=5"),
        ({"streaming": "perhaps"}, "streaming='perhaps'"),
        ({"default_headers": {"X-A": "a\nb"}}, "Header 'X-A'"),
        ({"default_headers": {"X-Ä": "a"}}, "Header 'X-Ä'"),
        ({"default_headers": {"X:A": "a"}}, "Header 'X:A'"),
        ({"default_headers": {"": "a"}}, "Header ''"),
        ({"reasoning": "x"}, "reasoning='x' is not understood; pass reasoning_effort"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "is not understood"),
        ({"model_kwargs": {"temperature": 1}}, "model_kwargs holds ['temperature']"),
        (
            {"model_kwargs": {"max_completion_tokens": 1}},
            "model_kwargs holds ['max_completion_tokens']; pass them as arguments",
        ),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "are both given"),
        ({"stop": ["a"], "stop_sequences": ["b"]}, "are both given"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_other_wrong_values_are_named_too(given, said):
    with pytest.raises(CerebrasConfigurationError) as caught:
        build(**given)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"model": "qwen-3.8-27b"}, "model_name", "qwen-3.8-27b"),
        ({"model_name": "qwen-3.8-27b"}, "model_name", "qwen-3.8-27b"),
        ({"model": "cerebras::gpt-oss-120b"}, "model_name", "gpt-oss-120b"),
        ({"model": "cerebras:gpt-oss-120b"}, "model_name", "gpt-oss-120b"),
        ({"model": " gpt-oss-120b\n"}, "model_name", "gpt-oss-120b"),
        ({"max_completion_tokens": 9}, "max_tokens", 9),
        ({"min_completion_tokens": 9}, "min_tokens", 9),
        ({"stop_sequences": ["a"]}, "stop", ["a"]),
        ({"timeout": 9.5}, "request_timeout", 9.5),
        ({"request_timeout": 9.5}, "request_timeout", 9.5),
        ({"base_url": URL}, "cerebras_api_base", URL),
        ({"cerebras_api_base": URL}, "cerebras_api_base", URL),
        ({"cerebras_api_key": "csk-2", "api_key": None}, None, None),
        ({"reasoning": {"effort": "low"}}, "reasoning_effort", "low"),
        ({"reasoning": None}, "reasoning_effort", None),
        (
            {"prediction": "text"},
            "prediction",
            {"type": "content", "content": "text"},
        ),
    ],
    ids=str,
)
def test_names_and_aliases_are_taken(given, field, value):
    if field is None:
        with pytest.raises(CerebrasConfigurationError, match="both given"):
            ChatCerebras(**given)
    else:
        assert getattr(build(**given), field) == value


@pytest.mark.parametrize("name", ["api_key", "cerebras_api_key"])
@pytest.mark.parametrize("wrap", [str, SecretStr])
def test_the_key_is_taken_under_both_names(name, wrap):
    model = ChatCerebras(**{name: wrap(KEY)})
    assert model.cerebras_api_key.get_secret_value() == KEY


def test_standard_names_of_langchain_are_fields():
    model = build(
        temperature=0,
        max_tokens=100,
        timeout=60,
        stop=[],
        max_retries=2,
        streaming=True,
        stream_usage=True,
        model_kwargs={"new_key": 1},
        extra_body={"other_key": 2},
        default_headers={"X-A": "b"},
        rate_limiter=InMemoryRateLimiter(),
        disable_streaming="tool_calling",
        output_version="v1",
        profile={"max_input_tokens": 5},
        name="n",
        tags=["t"],
        metadata={"m": 1},
        verbose=False,
        cache=False,
    )
    assert model.model == model.model_name == "gpt-oss-120b"
    assert model.profile == {"max_input_tokens": 5}
    assert model.metadata["m"] == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("temprature", "Did you mean 'temperature'?"),
        ("max_token", "Did you mean 'max_tokens'?"),
        ("reasoning_efort", "Did you mean 'reasoning_effort'?"),
        ("apikey", "Did you mean 'api_key'?"),
        ("baseurl", "Did you mean 'base_url'?"),
        ("reasoning_content", "use reasoning_format"),
        ("max_output_tokens", "use max_tokens"),
        ("max_new_tokens", "use max_tokens"),
        ("functions", "bind_tools"),
        ("function_call", "use tool_choice"),
        ("top_k", "'top_k' is not a parameter here: the Cerebras API does not take"),
        ("wholly_unheard_of", "extra_body={...}"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_ours(service, name, said):
    with pytest.raises(CerebrasConfigurationError) as caught:
        build(**{name: 1})
    assert f"{name!r} is not a parameter" in str(caught.value)
    assert said in str(caught.value)
    if name not in {"apikey", "baseurl"}:
        with pytest.raises(CerebrasInvalidRequestError) as caught:
            service.model().invoke("hi", **{name: 1})
        assert said in str(caught.value)
        assert service.requests == []


@pytest.mark.parametrize("name", ["thinking", "thinking_budget", "budget_tokens"])
def test_another_providers_reasoning_is_explained_by_the_models_efforts(service, name):
    with pytest.raises(CerebrasConfigurationError) as caught:
        build(model="gpt-oss-120b", **{name: 1})
    assert f"Cerebras has no {name!r}" in str(caught.value)
    assert "reasoning_effort='low', 'medium' or 'high'" in str(caught.value)
    with pytest.raises(CerebrasInvalidRequestError, match="reasoning_effort"):
        service.model().invoke("hi", **{name: 1})
    assert service.requests == []


def test_a_field_of_the_constructor_in_a_call_says_where_it_belongs(service):
    for name in (
        "base_url",
        "api_key",
        "max_retries",
        "default_headers",
        "payload_format",
        "include_response_headers",
    ):
        with pytest.raises(CerebrasInvalidRequestError) as caught:
            service.model().invoke("hi", **{name: "x"})
        assert f"{name!r} belongs to the constructor" in str(caught.value)


# -------------------------------------------------------------- langchain_cerebras


def _peer_fields() -> dict[str, object]:
    peer = pytest.importorskip(
        "langchain_cerebras",
        reason="it does not install on this Python, see requires-python in "
        "https://github.com/langchain-ai/langchain-cerebras",
    )
    fields = {}
    for name, info in peer.ChatCerebras.model_fields.items():
        default = info.get_default(call_default_factory=True)
        fields[name] = None if repr(default) == "PydanticUndefined" else default
        if info.alias:
            fields.setdefault(info.alias, fields[name])
    return fields


@pytest.fixture(scope="module")
def peer_fields():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CEREBRAS_API_KEY", "CEREBRAS_API_BASE", "OPENAI_API_KEY"):
            patch.delenv(name, raising=False)
        return _peer_fields()


def test_every_field_of_langchain_cerebras_is_taken_at_its_default(peer_fields):
    assert len(peer_fields) > 60
    for name, default in peer_fields.items():
        given = {name: default}
        if name in {"model", "model_name"}:
            given = {name: "gpt-oss-120b"}
        key = {} if name in {"api_key", "cerebras_api_key"} else {"api_key": KEY}
        if not key:
            given = {name: KEY}
        ChatCerebras(**{**key, **given})


def test_every_field_of_langchain_cerebras_is_taken_as_not_set(peer_fields):
    strict = {
        "model",
        "model_name",
        "api_key",
        "cerebras_api_key",
        "verbose",
        "model_kwargs",
        "disable_streaming",
        "streaming",
        "include_response_headers",
    }
    for name in set(peer_fields) - strict:
        build(**{name: None})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("openai_api_key", "sk-secret-1", "pass the Cerebras key as api_key"),
        ("openai_organization", "org-1", "names its organisation by itself"),
        ("organization", "org-1", "names its organisation by itself"),
        ("openai_proxy", "http://p", "pass cerebras_proxy"),
        ("openai_api_base", "http://p", "pass base_url"),
        ("use_responses_api", True, "has no Responses endpoint"),
        ("store", True, "stores nothing"),
        ("verbosity", "low", "has no verbosity"),
        ("client", object(), "clients are made when first used"),
        ("truncation", "auto", "Responses API"),
    ],
)
def test_what_only_openai_has_is_refused_with_a_reason(name, value, said):
    with pytest.raises(CerebrasConfigurationError) as caught:
        build(**{name: value})
    assert name in str(caught.value)
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Parameter 'disable_reasoning'")
def test_code_for_langchain_cerebras_runs_unchanged(service):
    service.model(
        model="gpt-oss-120b",
        temperature=0.7,
        max_tokens=1000,
        reasoning_effort="low",
        disable_reasoning=False,
        stop=["END"],
        seed=1,
        top_p=0.9,
        streaming=False,
        service_tier="auto",
    ).invoke([("system", "Be brief."), ("human", "hi")])
    assert service.body == {
        "model": "gpt-oss-120b",
        "temperature": 0.7,
        "max_completion_tokens": 1000,
        "reasoning_effort": "low",
        "disable_reasoning": False,
        "stop": ["END"],
        "seed": 1,
        "top_p": 0.9,
        "service_tier": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
    }


# ------------------------------------------------------------------- what goes together


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (
            {"model": "gpt-oss-120b", "reasoning_effort": "none"},
            UnsupportedFeatureError,
            (
                "reasoning_effort='none' is not taken by gpt-oss-120b; it takes 'low', "
                "'medium', 'high'."
            ),
        ),
        (
            {"model": "gpt-oss-120b", "disable_reasoning": True},
            UnsupportedFeatureError,
            (
                "disable_reasoning=True: gpt-oss-120b always reasons. Use "
                "reasoning_effort='low'"
            ),
        ),
        (
            {"model": "gemma-4-31b", "reasoning_format": "raw"},
            UnsupportedFeatureError,
            (
                "reasoning_format='raw' is not taken by gemma-4-31b; it takes 'parsed', "
                "'text_parsed'."
            ),
        ),
        (
            {"model": "llama-3.3-70b", "reasoning_effort": "low"},
            UnsupportedFeatureError,
            "it takes none at all, as it does not reason",
        ),
        (
            {"model": "qwen-3.8-27b", "prediction": "x"},
            UnsupportedFeatureError,
            "prediction is not supported by qwen-3.8-27b; leave it out.",
        ),
        (
            {"prediction": "x", "logprobs": True},
            CerebrasInvalidRequestError,
            "prediction does not go together with logprobs; leave one out.",
        ),
        (
            {"prediction": "x", "n": 2},
            CerebrasInvalidRequestError,
            "prediction does not go together with n; leave one out.",
        ),
        (
            {
                "prediction": "x",
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
            CerebrasInvalidRequestError,
            "prediction does not go together with tools; leave one out.",
        ),
        (
            {"reasoning_format": "raw", "response_format": {"type": "json_object"}},
            CerebrasInvalidRequestError,
            "does not go together with response_format 'json_object'; use 'parsed'",
        ),
        (
            {
                "reasoning_format": "raw",
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "object"}},
                },
            },
            CerebrasInvalidRequestError,
            "does not go together with response_format 'json_schema'",
        ),
        (
            {"n": 2, "streaming": True},
            UnsupportedFeatureError,
            "n=2 cannot be streamed: a stream carries one answer.",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_does_not_go_together_is_refused_early(service, given, kind, said):
    with pytest.raises(CerebrasConfigurationError) as built:
        build(**given)
    assert said in str(built.value)
    call = {name: value for name, value in given.items() if name != "streaming"}
    way = "stream" if "streaming" in given else "invoke"
    with pytest.raises(kind) as caught:
        run(way, service.model().bind(**call))
    assert said in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-oss-120b", "high"),
        ("zai-glm-4.7", "none"),
        ("zai-glm-4.7", "low"),
        ("gemma-4-31b", "none"),
        ("qwen-3.8-27b", "none"),
        ("qwen-3.8-27b", "high"),
        ("an-endpoint-of-mine", "none"),
    ],
)
def test_each_model_takes_its_own_efforts(service, model, effort):
    service.model(model=model, reasoning_effort=effort).invoke("hi")
    assert service.body["reasoning_effort"] == effort


def test_a_call_that_names_another_model_is_checked_by_that_one(service):
    model = service.model(model="qwen-3.8-27b", reasoning_effort="none")
    model.invoke("hi", model="cerebras::qwen-3.8-27b")
    assert service.body["model"] == "qwen-3.8-27b"
    with pytest.raises(UnsupportedFeatureError, match="not taken by gpt-oss-120b"):
        model.invoke("hi", model="gpt-oss-120b")


def test_a_client_of_ones_own_and_a_proxy_are_one_too_many(service):
    with pytest.raises(CerebrasConfigurationError, match="choose one"):
        service.model(cerebras_proxy="http://proxy.invalid:3128")


def test_errors_of_the_constructor_are_value_errors_too():
    with pytest.raises(ValueError, match="temperature"):
        build(temperature=9)
