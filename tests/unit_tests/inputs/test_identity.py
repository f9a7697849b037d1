"""What a model is: serialised, pickled, copied, compared, configured; and its key."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import multiprocessing
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fake_service import KEY, URL, WAYS, FakeService, plain, run
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.errors import AuthenticationError, CerebrasError

pytestmark = pytest.mark.filterwarnings("ignore:.*is in beta:Warning")
BOTH = pytest.mark.parametrize("cls", [ChatCerebras, CerebrasLLM])
FULL = {
    "model": "gpt-oss-120b",
    "api_key": KEY,
    "base_url": URL,
    "temperature": 0.5,
    "max_tokens": 9,
    "stop": ["a"],
    "timeout": 30,
    "max_retries": 1,
    "extra_body": {"x": 1},
    "model_kwargs": {"y": 2},
}


def test_the_type_and_the_secrets_are_named():
    model = ChatCerebras(api_key=KEY)
    assert model._llm_type == "cerebras-chat"
    assert CerebrasLLM(api_key=KEY)._llm_type == "cerebras-llm"
    assert model.lc_secrets == {"cerebras_api_key": "CEREBRAS_API_KEY"}
    assert ChatCerebras.is_lc_serializable()
    assert ChatCerebras.lc_id() == [
        "langchain_cerebras_ext",
        "chat_models",
        "ChatCerebras",
    ]


# ------------------------------------------------------------------------- dumps and load


@BOTH
def test_a_model_survives_dumps_and_loads(monkeypatch, cls):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = cls(**FULL)
    text = dumps(model)
    assert KEY not in text
    assert json.loads(text)["kwargs"]["cerebras_api_key"] == {
        "lc": 1,
        "type": "secret",
        "id": ["CEREBRAS_API_KEY"],
    }
    again = loads(
        text,
        allowed_objects=[cls],
        valid_namespaces=["langchain_cerebras_ext"],
        secrets_from_env=True,
    )
    assert again == model
    assert again.asdict() == model.asdict()
    assert dumps(again) == text


@BOTH
def test_secrets_may_be_handed_to_load(cls):
    text = dumpd(cls(**FULL))
    again = load(
        text,
        allowed_objects=[cls],
        valid_namespaces=["langchain_cerebras_ext"],
        secrets_map={"CEREBRAS_API_KEY": "csk-other"},
    )
    assert again.cerebras_api_key == SecretStr("csk-other")


def test_every_parameter_survives_dumps_and_loads(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = ChatCerebras(
        model="mine",
        top_p=0.5,
        min_tokens=1,
        frequency_penalty=1,
        presence_penalty=1,
        logit_bias={"1": 1},
        logprobs=True,
        top_logprobs=2,
        n=2,
        seed=1,
        reasoning_effort="low",
        reasoning_format="parsed",
        disable_reasoning=False,
        clear_thinking=True,
        service_tier="flex",
        prompt_cache_key="k",
        user="u",
        model_parameters={"a": 1},
        parallel_tool_calls=True,
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice="auto",
        stream_options={"include_usage": True},
        stream_usage=True,
        coalesce_stream=True,
        queue_threshold=50,
        api_version_patch=2,
        disabled_params={"seed": None},
        default_headers={"X-A": "b"},
        default_query={"q": "1"},
        payload_format="msgpack",
        payload_compression="gzip",
        include_response_headers=True,
        output_version="v1",
        disable_streaming="tool_calling",
    )
    again = loads(
        dumps(model),
        allowed_objects=[ChatCerebras],
        valid_namespaces=["langchain_cerebras_ext"],
        secrets_from_env=True,
    )
    assert again == model


def test_a_bound_model_and_a_chain_survive_dumps_and_loads(monkeypatch):
    from langchain_core.runnables import RunnableBinding

    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = ChatCerebras().bind(temperature=0.5).with_config(tags=["t"])
    again = loads(
        dumps(model),
        allowed_objects=[ChatCerebras, RunnableBinding],
        valid_namespaces=["langchain_cerebras_ext"],
        secrets_from_env=True,
    )
    assert again.kwargs == {"temperature": 0.5}
    assert again.config["tags"] == ["t"]
    assert again.bound == model.bound


def test_a_password_of_a_proxy_is_no_part_of_a_dump():
    model = ChatCerebras(api_key=KEY, cerebras_proxy="http://user:PASSWORD@proxy:3128")
    assert "PASSWORD" not in dumps(model)
    assert "PASSWORD" not in repr(model)
    plain_proxy = ChatCerebras(api_key=KEY, cerebras_proxy="http://proxy:3128")
    assert dumpd(plain_proxy)["kwargs"]["cerebras_proxy"] == "http://proxy:3128"


def test_clients_are_no_part_of_a_dump(service):
    kwargs = dumpd(service.model())["kwargs"]
    assert not [name for name in kwargs if "client" in name]


# -------------------------------------------------------------------------- the key stays in


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[object] = []

    def on_chat_model_start(self, *args, **kwargs):
        self.seen.append((args, kwargs))

    def on_llm_start(self, *args, **kwargs):
        self.seen.append((args, kwargs))

    def on_llm_error(self, *args, **kwargs):
        self.seen.append((args, kwargs))

    def on_llm_end(self, *args, **kwargs):
        self.seen.append((args, kwargs))


@BOTH
def test_the_key_is_in_no_repr_dump_or_parameters(cls):
    model = cls(api_key=KEY)
    for shown in (
        repr(model),
        str(model),
        f"{model!r:>5}",
        dumps(model),
        str(dumpd(model)),
        str(model.asdict()),
        str(model._identifying_params),
        str(model.model_dump()),
        model.model_dump_json(),
        repr(model._call(None, stream=False)),
        repr(model._runtime),
        repr(model.model_fields_set),
    ):
        assert KEY not in shown
        assert KEY[5:] not in shown


@pytest.mark.parametrize("way", WAYS)
def test_the_key_is_in_no_error_trace_log_or_callback(service, way, caplog):
    caplog.set_level(logging.DEBUG)
    echo = {
        "message": f"Wrong API Key: {KEY}",
        "type": "invalid_request_error",
        "param": KEY,
        "code": "wrong_api_key",
    }
    service.answer(httpx.Response(401, json=echo, headers={"x-echo": f"Bearer {KEY}"}))
    recorder = Recorder()
    with pytest.raises(AuthenticationError) as caught:
        run(way, service.model(), config={"callbacks": [recorder]})
    error = caught.value
    shown = [
        str(error),
        repr(error),
        "".join(traceback.format_exception(error)),
        repr(error.__dict__),
        repr(error.response),
        str(error.body),
        caplog.text,
        repr(recorder.seen),
    ]
    assert recorder.seen
    for text in shown:
        assert KEY not in text
    assert KEY.encode() not in pickle.dumps(error)


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 9},
        {"n": 2, "streaming": True},
        {"streaming": "perhaps"},
        {"tempratur": 1},
        {"queue_threshold": 1},
        {"base_url": "ftp://x"},
        {"default_headers": {"a b": "c"}},
    ],
    ids=str,
)
def test_an_error_of_the_constructor_shows_no_key_not_even_in_its_causes(given):
    with pytest.raises(CerebrasError) as caught:
        ChatCerebras(api_key=KEY, **given)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert KEY not in shown.replace(f'"{KEY}"', "")
    assert "csk-" not in shown
    assert "csk" not in str(caught.value.__cause__)


# --------------------------------------------------------------------------------- pickle


@BOTH
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_that_code_passed_is_pickled(cls, protocol):
    model = cls(**FULL)
    again = pickle.loads(pickle.dumps(model, protocol))
    assert again == model
    assert again.cerebras_api_key.get_secret_value() == KEY


@BOTH
def test_a_key_of_the_environment_is_left_out_and_read_there_again(monkeypatch, cls):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = cls()
    data = pickle.dumps(model)
    assert KEY.encode() not in data
    assert pickle.loads(data) == model
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-of-the-other-machine")
    again = pickle.loads(data)
    assert again.cerebras_api_key.get_secret_value() == "csk-of-the-other-machine"
    assert b"csk-of-the-other-machine" not in pickle.dumps(again)
    monkeypatch.delenv("CEREBRAS_API_KEY")
    assert pickle.loads(data).cerebras_api_key is None
    assert KEY.encode() not in pickle.dumps(model)


def test_a_copy_with_a_key_of_its_own_keeps_that_in_its_pickle(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = ChatCerebras()
    other = model.model_copy(update={"cerebras_api_key": SecretStr("csk-given")})
    again = pickle.loads(pickle.dumps(other))
    assert again.cerebras_api_key.get_secret_value() == "csk-given"
    assert KEY.encode() not in pickle.dumps(other)


def test_a_model_without_a_key_stays_without_one(monkeypatch):
    model = ChatCerebras(base_url="http://127.0.0.1:1")
    data = pickle.dumps(model)
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    assert pickle.loads(data).cerebras_api_key is None


def test_a_model_that_was_used_pickles_and_works_afterwards():
    model = ChatCerebras(api_key=KEY, base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(CerebrasError):
        model.invoke("hi")
    with pytest.raises(CerebrasError):
        asyncio.run(model.ainvoke("hi"))
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    with pytest.raises(CerebrasError):
        again.invoke("hi")


def test_a_bound_model_and_a_structured_one_pickle():
    model = ChatCerebras(api_key=KEY).bind(temperature=1)
    assert pickle.loads(pickle.dumps(model)) == model
    chain = ChatCerebras(api_key=KEY).with_structured_output(
        {"title": "A", "type": "object", "properties": {"a": {"type": "string"}}}
    )
    again = pickle.loads(pickle.dumps(chain))
    assert again.steps[0] == chain.steps[0]


# ------------------------------------------------------------------------- copies, equality


@BOTH
def test_copies_are_equal_and_independent(cls):
    model = cls(**FULL, tags=["t"])
    for made in (
        copy.copy(model),
        copy.deepcopy(model),
        model.model_copy(),
        model.model_copy(deep=True),
    ):
        assert made == model
        assert made is not model
    deep = copy.deepcopy(model)
    deep.model_kwargs["y"] = 3
    deep.tags.append("u")
    assert model.model_kwargs == {"y": 2}
    assert model.tags == ["t"]


def test_a_deep_copy_shares_the_users_own_client(service):
    model = service.model()
    made = copy.deepcopy(model)
    assert made.http_client is model.http_client
    made.invoke("hi")
    assert len(service.requests) == 1


def test_a_changed_copy_uses_what_was_changed():
    first, second = FakeService(), FakeService()
    model = first.model()
    model.invoke("hi")
    assert dumpd(model)["kwargs"]["model_name"] == "gpt-oss-120b"
    other = second.model()
    changed = model.model_copy(
        update={
            "http_client": other.http_client,
            "cerebras_api_key": SecretStr("csk-2"),
            "cerebras_api_base": "https://other.example/v1",
            "request_timeout": 7,
            "max_retries": 5,
            "model_name": "zai-glm-4.7",
        }
    )
    changed.invoke("hi")
    assert len(first.requests) == 1
    assert second.headers["authorization"] == "Bearer csk-2"
    assert second.requests[-1].url.host == "other.example"
    assert second.body["model"] == "zai-glm-4.7"
    assert changed._policy().max_retries == 5
    assert changed._call(None, stream=False).timeouts.total_s == 7
    assert dumpd(changed)["kwargs"]["model_name"] == "zai-glm-4.7"
    assert model._policy().max_retries == 0


def test_equal_fields_make_equal_models_and_others_do_not():
    assert ChatCerebras(**FULL) == ChatCerebras(**FULL)
    for name, value in {
        "api_key": "csk-b",
        "temperature": 0.6,
        "base_url": "https://other.example",
        "model": "zai-glm-4.7",
    }.items():
        assert ChatCerebras(**FULL) != ChatCerebras(**{**FULL, name: value})
    used = ChatCerebras(**FULL)
    used._policy()
    dumpd(used)
    assert used == ChatCerebras(**FULL)


def test_the_cache_key_of_langchain_tells_models_apart(service):
    keys = {
        service.model(**given)._get_llm_string(**call)
        for given, call in (
            ({}, {}),
            ({"temperature": 1}, {}),
            ({}, {"temperature": 1}),
            ({"model": "zai-glm-4.7"}, {}),
            ({"extra_body": {"a": 1}}, {}),
        )
    }
    assert len(keys) == 5
    assert not [key for key in keys if KEY in key]


# ---------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("source", ["argument", "environment"])
@pytest.mark.parametrize("way", WAYS)
def test_configurable_fields_change_a_call(monkeypatch, service, source, way):
    if source == "environment":
        monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    given = {"api_key": None} if source == "environment" else {}
    model = service.model(seed=1, **given).configurable_fields(
        temperature=ConfigurableField(id="t"),
        model_name=ConfigurableField(id="m"),
        max_tokens=ConfigurableField(id="n"),
    )
    run(way, model, config={"configurable": {"t": 0.25, "m": "cerebras:zai-glm-4.7"}})
    body = service.body
    assert (body["temperature"], body["model"], body["seed"]) == (
        0.25,
        "zai-glm-4.7",
        1,
    )
    assert service.headers["authorization"] == f"Bearer {KEY}"
    run(way, model)
    assert "temperature" not in service.body
    assert service.body["model"] == "gpt-oss-120b"


def test_a_configured_model_still_leaves_a_key_of_the_environment_out(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = ChatCerebras().configurable_fields(temperature=ConfigurableField(id="t"))
    made, _ = model.prepare({"configurable": {"t": 0.25}})
    assert made.temperature == 0.25
    assert KEY.encode() not in pickle.dumps(made)
    assert pickle.loads(pickle.dumps(made)).cerebras_api_key == SecretStr(KEY)


def test_configurable_alternatives_choose_a_model(service):
    other = service.model(model="zai-glm-4.7")
    model = service.model().configurable_alternatives(
        ConfigurableField(id="which"), default_key="oss", glm=other
    )
    model.invoke("hi")
    model.with_config(configurable={"which": "glm"}).invoke("hi")
    assert [body["model"] for body in service.bodies] == ["gpt-oss-120b", "zai-glm-4.7"]


def test_with_config_reaches_callbacks_and_keeps_the_model(service):
    recorder = Recorder()
    model = service.model().with_config(
        tags=["t"], metadata={"m": 1}, run_name="r", callbacks=[recorder]
    )
    model.invoke("hi")
    _, kwargs = recorder.seen[0]
    assert "t" in kwargs["tags"]
    assert kwargs["metadata"]["m"] == 1
    assert kwargs["name"] == "r"


# ---------------------------------------------------------------- bound arguments survive


def _tool(x: int) -> int:
    """Do it."""
    return x


def test_tools_bound_after_arguments_keep_these(service):
    model = service.model().bind(temperature=0.5).with_config(tags=["t"])
    bound = model.bind_tools([_tool], tool_choice="any").bind(seed=1)
    bound.invoke("hi")
    body = service.body
    assert (body["temperature"], body["seed"], body["tool_choice"]) == (
        0.5,
        1,
        "required",
    )
    assert bound.config["tags"] == ["t"]


def test_tools_bound_again_replace_the_first_and_their_choice(service):
    def other(y: str) -> str:
        """Do another thing."""
        return y

    model = service.model().bind_tools([_tool], tool_choice="_tool").bind(seed=1)
    model.bind_tools([other]).invoke("hi")
    assert [tool["function"]["name"] for tool in service.body["tools"]] == ["other"]
    assert "tool_choice" not in service.body
    assert service.body["seed"] == 1


# ---------------------------------------------------------- threads, loops, processes


def test_many_threads_share_a_model(service):
    model = service.model()
    barrier = threading.Barrier(8)

    def call(number: int) -> str:
        barrier.wait()
        return model.invoke(str(number)).content

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == ["Hello"] * 8
    sent = {body["messages"][0]["content"] for body in service.bodies}
    assert sent == {str(number) for number in range(8)}


def test_batches_keep_their_order(service):
    service.answer(*(plain(str(number)) for number in range(5)))
    model = service.model()
    answers = model.batch([str(n) for n in range(5)], config={"max_concurrency": 1})
    assert [answer.content for answer in answers] == list("01234")
    asked = [body["messages"][0]["content"] for body in service.bodies]
    assert asked == list("01234")
    assert len(asyncio.run(model.abatch(["a", "b"]))) == 2


def test_fifty_loops_one_after_the_other(service):
    model = service.model()
    for _ in range(50):
        assert asyncio.run(model.ainvoke("hi")).content == "Hello"
    assert len(service.requests) == 50


def test_context_managers_close_and_the_model_stays_usable(service):
    with service.model() as model:
        model.invoke("hi")
    model.invoke("hi")

    async def use() -> None:
        async with service.model() as other:
            await other.ainvoke("hi")
        await other.ainvoke("hi")
        await other.aclose()

    asyncio.run(use())
    model.close()
    assert len(service.requests) == 4


def test_a_model_is_freed_when_nobody_holds_it():
    import weakref

    model = ChatCerebras(api_key=KEY)
    model.bind(temperature=1)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def _ask(model: ChatCerebras) -> str:
    """Run in another process."""
    return str(model.invoke("hi").content)


METHODS = [
    method
    for method in ("spawn", "fork")
    if method in multiprocessing.get_all_start_methods()
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_model_works_in_other_processes(service, server, method, monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    model = ChatCerebras(base_url=server.url, timeout=20, max_retries=0)
    assert _ask(model) == "Hello"  # its connection must not be the children's too
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(_ask, [model] * 4) == ["Hello"] * 4
    assert _ask(model) == "Hello"
    keys = [request.headers["authorization"] for request in service.requests]
    assert keys == [f"Bearer {KEY}"] * 6
