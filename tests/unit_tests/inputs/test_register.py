"""`register_with_langchain`: `init_chat_model` and agents by name, when asked to."""

from __future__ import annotations

import pytest
from fake_service import KEY, plain, tool_call

from langchain_cerebras_ext import ChatCerebras, register_with_langchain
from langchain_cerebras_ext.errors import CerebrasConfigurationError

base = pytest.importorskip("langchain.chat_models.base")


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))


@pytest.fixture
def _environment(monkeypatch, server):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    monkeypatch.setenv("CEREBRAS_BASE_URL", server.url)


def test_nothing_is_registered_by_an_import():
    assert "cerebras" not in base._BUILTIN_PROVIDERS
    with pytest.raises(ValueError, match="cerebras"):
        base.init_chat_model("cerebras:gpt-oss-120b")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cerebras:gpt-oss-120b", {}),
        ("gpt-oss-120b", {"model_provider": "cerebras"}),
        ("zai-glm-4.7", {"model_provider": "cerebras"}),
    ],
    ids=str,
)
def test_a_name_makes_our_model(name, given):
    register_with_langchain()
    register_with_langchain()  # harmless
    model = base.init_chat_model(name, api_key=KEY, temperature=0.5, **given)
    assert type(model) is ChatCerebras
    assert model.model_name == name.rpartition(":")[2]
    assert model.temperature == 0.5


@pytest.mark.usefixtures("_environment")
def test_configurable_fields_work(service):
    register_with_langchain()
    model = base.init_chat_model(
        "cerebras:gpt-oss-120b",
        configurable_fields=("model", "model_provider", "temperature"),
        config_prefix="first",
        max_tokens=9,
    )
    model.invoke("hi")
    model.invoke(
        "hi",
        config={
            "configurable": {
                "first_model": "cerebras:zai-glm-4.7",
                "first_temperature": 0.25,
            }
        },
    )
    assert [
        (body["model"], body.get("temperature"), body["max_completion_tokens"])
        for body in service.bodies
    ] == [("gpt-oss-120b", None, 9), ("zai-glm-4.7", 0.25, 9)]


@pytest.mark.usefixtures("_environment")
def test_a_model_that_is_named_only_at_the_call_can_have_tools_and_structure(service):
    register_with_langchain()

    def f(x: int) -> int:
        """Do it."""
        return x

    model = base.init_chat_model(configurable_fields="any")
    config = {"configurable": {"model": "cerebras:gpt-oss-120b", "seed": 3}}
    model.bind_tools([f]).invoke("hi", config=config)
    assert service.body["tools"][0]["function"]["name"] == "f"
    assert service.body["seed"] == 3
    service.answer(plain('{"a": 1}'))
    schema = {"title": "A", "type": "object", "properties": {"a": {"type": "integer"}}}
    assert model.with_structured_output(schema).invoke("hi", config=config) == {"a": 1}


@pytest.mark.usefixtures("_environment")
def test_an_agent_is_made_by_name(service):
    from langchain.agents import create_agent

    register_with_langchain()

    def double(x: int) -> int:
        """Double a number."""
        return 2 * x

    service.answer(
        plain(None, reasoning="hm", tool_calls=[tool_call("double", '{"x":21}')]),
        {**plain("42."), "id": "chatcmpl-2"},
    )
    agent = create_agent("cerebras:gpt-oss-120b", tools=[double])
    result = agent.invoke({"messages": [("human", "Twice 21?")]})
    assert result["messages"][-1].content == "42."
    assert service.body["messages"][1:] == [
        {
            "role": "assistant",
            "reasoning": "hm",
            "content": "",
            "tool_calls": [
                {
                    "id": "049d9b129",
                    "type": "function",
                    "function": {"name": "double", "arguments": '{"x":21}'},
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "049d9b129",
            "content": "42",
            "name": "double",
        },
    ]


@pytest.mark.parametrize("name", ["_BUILTIN_PROVIDERS", "_call"])
def test_a_langchain_that_changed_says_so_and_what_to_do(monkeypatch, name):
    monkeypatch.delattr(base, name)
    with pytest.raises(CerebrasConfigurationError) as caught:
        register_with_langchain()
    assert "keeps its table of providers elsewhere" in str(caught.value)
    assert "Construct ChatCerebras(model=...)" in str(caught.value)
