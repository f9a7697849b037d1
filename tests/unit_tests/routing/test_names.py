"""What a name means: whose model, and which."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.catalog import list_models
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing import Target, list_providers, parse_name
from langchain_cerebras_ext.routing._target import inside_provider
from langchain_cerebras_ext.routing.providers import find_provider, get_provider

NAMES = [name for row in list_providers() for name in (row.name, *row.aliases)]


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("cerebras::gpt-oss-120b", "cerebras", "gpt-oss-120b"),
        ("google::gemini-2.5-flash", "google", "gemini-2.5-flash"),
        (
            "openrouter::anthropic/claude-3.5-sonnet",
            "openrouter",
            "anthropic/claude-3.5-sonnet",
        ),
        (
            "openrouter::openai/gpt-oss-120b:free",
            "openrouter",
            "openai/gpt-oss-120b:free",
        ),
        ("groq::openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
        ("ollama::llama3.1:8b", "ollama", "llama3.1:8b"),
        ("local::a::b", "local", "a::b"),
        ("cerebras:gpt-oss-120b", "cerebras", "gpt-oss-120b"),
        ("openai:gpt-6.1-terra", "openai", "gpt-6.1-terra"),
        ("bedrock:anthropic.claude-v2:1", "bedrock", "anthropic.claude-v2:1"),
        ("bedrock:arn:aws:bedrock:us::fm/x", "bedrock", "arn:aws:bedrock:us::fm/x"),
        ("bedrock::arn:aws:bedrock:us::fm/x", "bedrock", "arn:aws:bedrock:us::fm/x"),
        ("local:::x", "local", ":x"),
        ("gpt-oss-120b", "cerebras", "gpt-oss-120b"),
        ("GPT-OSS-120B", "cerebras", "gpt-oss-120b"),
        ("cerebras::GPT-OSS-120B", "cerebras", "gpt-oss-120b"),
        ("Cerebras: GPT-OSS-120b", "cerebras", "gpt-oss-120b"),
        ("cerebras::Mine-Of-My-Own", "cerebras", "Mine-Of-My-Own"),
        ("local::GPT-OSS-120B", "local", "GPT-OSS-120B"),
        ("llama3.1:8b", "cerebras", "llama3.1:8b"),
        ("x/y:free", "cerebras", "x/y:free"),
        ("openai/gpt-oss-120b", "cerebras", "openai/gpt-oss-120b"),
        ("a-model-of-tomorrow", "cerebras", "a-model-of-tomorrow"),
        ("  Google :: Gemini-3 ", "google", "Gemini-3"),
        ("GOOGLE_GENAI::x", "google", "x"),
        ("google-genai:x", "google", "x"),
        ("Google GenAI::x", "google", "x"),
        ("gemini::x", "google", "x"),
        ("mistralai::x", "mistral", "x"),
        ("x-ai::grok-4.7", "xai", "grok-4.7"),
        ("azure_openai::my-deployment", "azure", "my-deployment"),
        ("vertexai::gemini-3.8-flash", "vertex", "gemini-3.8-flash"),
    ],
)
def test_a_name_is_split_where_it_says_whose_model_it_is(name, provider, model):
    assert parse_name(name) == Target(provider, model)


@pytest.mark.parametrize("name", sorted(registry.table().by_name))
@pytest.mark.parametrize("default", [None, "openai", "openrouter", "groq"])
def test_a_bare_id_of_the_catalog_never_goes_to_another_company(name, default):
    target = parse_name(name, default=default)
    assert target.provider == "cerebras"
    assert target.model.lower() == name.lower()


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.id)
def test_retired_and_present_models_are_named_alike(card):
    assert parse_name(f"cerebras::{card.id}") == parse_name(card.id)


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "x/y:free", "llama3.1:8b"])
def test_another_bare_id_is_of_the_provider_in_force(model):
    assert parse_name(model, default="openrouter") == Target("openrouter", model)
    assert parse_name(model, default=lambda: "groq") == Target("groq", model)


def test_the_provider_in_force_is_not_asked_for_where_the_name_says_it():
    def fail():
        raise AssertionError

    for name in ("google::x", "google:x", "gpt-oss-120b"):
        parse_name(name, default=fail)


@pytest.mark.parametrize(
    ("model", "whose"),
    [
        ("gemini-3.8-flash", "google"),
        ("models/gemini-3.8-flash", "google"),
        ("claude-sonnet-5-5", "anthropic"),
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("o3", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("Grok-4.7", "xai"),
        ("mistral-large-4", "mistral"),
        ("codestral-2508", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("accounts/fireworks/models/glm-5p3", "fireworks"),
    ],
)
def test_an_id_that_looks_like_another_companys_is_refused_with_the_right_name(
    model, whose
):
    with pytest.raises(CerebrasConfigurationError, match=f"'{whose}::{model}'"):
        parse_name(model)


@pytest.mark.parametrize(
    "model", ["gpt-os-120b", "gpt-oss-20b", "llama-3.3-70b", "oss-120b", "orca-2"]
)
def test_an_id_that_is_merely_unknown_is_cerebras(model):
    assert parse_name(model).provider == "cerebras"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("google::", "names no model. A current one is 'google::"),
        ("google:", "names no model"),
        ("cerebras::  ", "'cerebras::gpt-oss-120b'"),
        ("::x", "names no provider before its '::'; write one, such as 'cerebras::x'"),
        ("gogle::x", "no provider 'gogle'. Did you mean 'google'?"),
        ("antropic::x", "Did you mean 'anthropic'?"),
        ("open-router::x", "Did you mean 'openrouter'?"),
        ("zzzz::x", "There are: anthropic, azure"),
        ("google", "a provider and names no model. Write provider='google'"),
        ("local", "LOCAL_MODEL"),
        (None, "not a NoneType"),
        (7, "not a int"),
    ],
)
def test_a_name_that_means_nothing_is_explained(name, message):
    with pytest.raises(CerebrasConfigurationError) as caught:
        parse_name(name)
    assert message in str(caught.value)


@given(st.text(max_size=30))
def test_whatever_follows_the_two_colons_stays_whole(model):
    name = f"openrouter::{model}"
    if model.strip():
        assert parse_name(name) == Target("openrouter", model.strip())
    else:
        with pytest.raises(CerebrasConfigurationError):
            parse_name(name)


@given(
    st.sampled_from(NAMES), st.sampled_from(["::", ":"]), st.text("ab/:-.7", min_size=1)
)
def test_a_target_reads_as_a_name_that_means_it(provider, colons, model):
    if model.startswith(":"):
        return  # that is `::`, or three colons
    target = parse_name(f"{provider}{colons}{model}")
    assert target == Target(find_provider(provider).name, model)
    assert parse_name(str(target)) == target


@given(st.text(":/abcdeglo-. ", max_size=20))
def test_any_text_is_a_model_or_explained(name):
    try:
        target = parse_name(name)
    except CerebrasConfigurationError:
        pass  # and no other error
    else:
        assert get_provider(target.provider).name == target.provider
        assert target.model == target.model.strip() != ""


def test_a_target_is_a_pair_that_travels():
    target = Target("google", "gemini-3.8-flash")
    provider, model = pickle.loads(pickle.dumps(target))
    assert (provider, model) == ("google", "gemini-3.8-flash")
    assert str(target) == "google::gemini-3.8-flash"


@pytest.mark.parametrize(
    ("provider", "text", "model"),
    [
        ("ollama", "mistral:7b", "mistral:7b"),
        ("ollama", "ollama:mistral:7b", "mistral:7b"),
        ("ollama", "ollama::mistral", "mistral"),
        ("ollama", "mistral", "mistral"),
        ("google", "gemini::gemini-3.8-flash", "gemini-3.8-flash"),
        ("cerebras", "cerebras:gpt-oss-120b", "gpt-oss-120b"),
        ("groq", "gpt-oss-120b", "gpt-oss-120b"),
        ("bedrock", "arn:aws:bedrock:us::fm/x", "arn:aws:bedrock:us::fm/x"),
        ("bedrock", "bedrock:arn:aws:bedrock:us::fm/x", "arn:aws:bedrock:us::fm/x"),
    ],
)
def test_inside_a_provider_only_its_own_prefix_is_dropped(provider, text, model):
    assert inside_provider(text, get_provider(provider), "X") == model


@pytest.mark.parametrize("text", ["gogle::x", "google::", "google: ", " "])
def test_inside_a_provider_half_a_name_is_refused(text):
    with pytest.raises(CerebrasConfigurationError):
        inside_provider(text, get_provider("google"), "GOOGLE_MODEL")


def test_inside_a_provider_another_ones_model_is_refused():
    with pytest.raises(CerebrasConfigurationError) as caught:
        inside_provider("openai::gpt-6.1-terra", get_provider("google"), "GOOGLE_MODEL")
    assert "GOOGLE_MODEL='openai::gpt-6.1-terra' names a model of another" in str(
        caught.value
    )
