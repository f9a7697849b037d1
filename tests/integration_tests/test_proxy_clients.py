"""Clients that know nothing of the proxy, through it: what they ask, what they get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openai_models import chat_openai
from proxy_server import CLIENT_KEY, UPSTREAM_KEY, Proxy, running_proxy

from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "gpt-oss-120b"
HELLO = [{"role": "user", "content": "Say hello."}]
FOLDER = Path(__file__).parents[1] / "clients"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(speed="instant", key=UPSTREAM_KEY) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(sim: Simulator) -> Iterator[Proxy]:
    with running_proxy(sim.base_url) as running:
        yield running


@pytest.fixture(autouse=True)
def upstream_sees_its_own_key_only(sim: Simulator) -> Iterator[None]:
    before = len(sim.requests)
    yield
    for request in sim.requests[before:]:
        assert CLIENT_KEY not in str(request.headers)


# ------------------------------------------------------------------------- JavaScript


def run_script(name: str, proxy: Proxy, client: str = "") -> dict[str, Any]:
    """Run a script of `tests/clients`, and return what it says."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").exists():
        pytest.skip(
            "NO NODE CLIENTS: the proxy was NOT tested with them. Install them: "
            "npm install --prefix tests/clients"
        )
    asked = {"BASE_URL": proxy.base_url, "KEY": CLIENT_KEY, "MODEL": MODEL}
    done = subprocess.run(
        [node, str(FOLDER / name)],
        env={**os.environ, **asked, "CLIENT": client},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("client", ["openai", "cerebras"])
def test_the_sdks_for_javascript(proxy: Proxy, client: str) -> None:
    got = run_script("openai.mjs", proxy, client)
    assert got["chat"]["text"] == got["stream"]["text"] == "hello"
    assert got["chat"]["usage"]["prompt_tokens"] > 0
    assert got["stream"]["usage"] == got["chat"]["usage"]
    assert got["stream"]["chunks"] > 2
    assert got["tool"] == {"name": "get_weather", "arguments": {"city": "Paris"}}
    assert "sunny" in got["afterTool"]
    assert set(got["structured"]) == {"name", "age"}
    assert MODEL in got["models"]
    assert got["model"] == MODEL
    assert got["wrongKey"]["status"] == 401
    assert got["wrongKey"]["name"] == "AuthenticationError"
    assert "wrong" not in got["wrongKey"]["message"].replace("wrong_api_key", "")
    assert got["wrongModel"]["status"] == 404
    assert got["wrongModel"]["name"] == "NotFoundError"
    assert "no-such-model" in got["wrongModel"]["message"]


def test_the_vercel_ai_sdk(proxy: Proxy) -> None:
    got = run_script("vercel.mjs", proxy)
    assert got["chat"]["text"] == got["stream"]["text"] == "hello"
    assert got["stream"]["usage"]["inputTokens"] == got["chat"]["usage"]["inputTokens"]
    assert got["stream"]["finish"] == "stop"
    assert got["tool"]["calls"] == [{"city": "Paris"}]
    assert "sunny in Paris" in got["tool"]["text"]
    assert set(got["structured"]) == {"name", "age"}
    assert got["wrongKey"]["status"] == 401
    assert "is none of this proxy's" in got["wrongKey"]["message"]
    assert got["wrongModel"]["status"] == 404
    assert "no-such-model" in got["wrongModel"]["message"]


# ----------------------------------------------------------------------------- Python


def connect(kind: str, proxy: Proxy, key: str = CLIENT_KEY) -> Any:
    """Return a client of one of the two SDKs."""
    if kind == "openai":
        import openai

        return openai.OpenAI(base_url=proxy.base_url, api_key=key, max_retries=0)
    from cerebras.cloud.sdk import Cerebras

    return Cerebras(
        base_url=proxy.url, api_key=key, max_retries=0, warm_tcp_connection=False
    )


@pytest.mark.parametrize("kind", ["openai", "cerebras"])
def test_the_sdks_for_python(proxy: Proxy, kind: str) -> None:
    with connect(kind, proxy) as client:
        create = client.chat.completions.create
        whole = create(model=MODEL, messages=HELLO)
        assert whole.choices[0].message.content == "hello"
        assert whole.to_dict()["time_info"]["total_time"] > 0
        events = list(create(model=MODEL, messages=HELLO, stream=True))
        parts = [event.choices[0].delta.content or "" for event in events]
        assert "".join(parts) == "hello"
        assert events[-1].usage.total_tokens == whole.usage.total_tokens
        called = create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            tools=[WEATHER],
            tool_choice="required",
        )
        (call,) = called.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        text = client.completions.create(model=MODEL, prompt="Once upon a time")
        assert text.choices[0].text
        assert MODEL in [model.id for model in client.models.list().data]
        assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.parametrize("kind", ["openai", "cerebras"])
def test_the_sdks_for_python_know_the_errors(proxy: Proxy, kind: str) -> None:
    with connect(kind, proxy, "wrong-key-of-somebody") as client:
        with pytest.raises(Exception, match="401") as caught:
            client.chat.completions.create(model=MODEL, messages=HELLO)
        assert type(caught.value).__name__ == "AuthenticationError"
        assert "wrong-key-of-somebody" not in str(caught.value)
    with connect(kind, proxy) as client:
        with pytest.raises(Exception, match="no-such-model") as caught:
            client.chat.completions.create(model="no-such-model", messages=HELLO)
        assert type(caught.value).__name__ == "NotFoundError"
        with pytest.raises(Exception, match="qwen-3-coder-480b") as caught:
            client.chat.completions.create(model="qwen-3-coder-480b", messages=HELLO)
        assert type(caught.value).__name__ == "NotFoundError"
        assert "zai-glm" in str(caught.value)


async def test_the_async_sdk(proxy: Proxy) -> None:
    import openai

    async with openai.AsyncOpenAI(
        base_url=proxy.base_url, api_key=CLIENT_KEY, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True
        )
        parts = [event.choices[0].delta.content or "" async for event in stream]
    assert "".join(parts) == "hello"


# -------------------------------------------------------------------------- LangChain


def chat_model(kind: str, proxy: Proxy) -> Any:
    """Return one of the two chat models."""
    options = {"model": MODEL, "base_url": proxy.base_url, "api_key": CLIENT_KEY}
    if kind == "ours":
        from langchain_cerebras_ext import ChatCerebras

        return ChatCerebras(**options, max_retries=0)
    return chat_openai(**options, max_retries=0)


@pytest.mark.parametrize("kind", ["ours", "openai"])
def test_langchain_models(proxy: Proxy, kind: str) -> None:
    from pydantic import BaseModel

    class Person(BaseModel):
        """Somebody."""

        name: str
        age: int

    model = chat_model(kind, proxy)
    answer = model.invoke("Say hello.")
    assert answer.text == "hello"
    assert answer.usage_metadata["total_tokens"] > 0
    assert "".join(chunk.text for chunk in model.stream("Say hello.")) == "hello"
    bound = model.bind_tools([WEATHER], tool_choice="get_weather")
    (call,) = bound.invoke("What is the weather in Paris?").tool_calls
    assert call["args"] == {"city": "Paris"}
    assert isinstance(model.with_structured_output(Person).invoke("Somebody."), Person)


def test_our_model_reads_the_services_own_errors_and_limits(
    sim: Simulator, proxy: Proxy
) -> None:
    from langchain_cerebras_ext.errors import RateLimitError

    model = chat_model("ours", proxy)
    sim.fail_next(code="token_quota_exceeded", headers={"retry-after": "7"})
    with pytest.raises(RateLimitError) as caught:
        model.invoke("Say hello.")
    assert caught.value.retry_after_s == 7
    assert caught.value.code == "token_quota_exceeded"


# ------------------------------------------------------------------------------- curl


def test_curl(proxy: Proxy) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("NO CURL: the proxy was NOT tested with it: apt-get install curl")
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True})
    done = subprocess.run(
        [
            curl,
            "-sS",
            "-N",
            "-f",
            f"{proxy.base_url}/chat/completions",
            "-H",
            f"Authorization: Bearer {CLIENT_KEY}",
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    events = [line for line in done.stdout.splitlines() if line]
    assert events[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in events[:-1])
    health = subprocess.run(
        [curl, "-f", f"{proxy.url}/health"], capture_output=True, timeout=30, check=True
    )
    assert json.loads(health.stdout)
