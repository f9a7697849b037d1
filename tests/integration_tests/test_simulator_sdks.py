"""The vendors' own SDKs work against the simulator: that makes it a witness."""

import io
import json
import time

import openai
import pytest
from cerebras.cloud.sdk import APIStatusError as CerebrasStatusError
from cerebras.cloud.sdk import AsyncCerebras, Cerebras
from pydantic import BaseModel

from langchain_cerebras_ext.simulator import Simulator

MODEL = "gpt-oss-120b"
ASK = [{"role": "user", "content": "Reply with the words 'blue whale'."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
WEATHER = [{"role": "user", "content": "What is the weather in Lisbon?"}]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


STRICT = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def sim():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def openai_client(sim):
    with openai.OpenAI(base_url=sim.base_url, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def cerebras_client(sim):
    with Cerebras(base_url=sim.root_url, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture(params=["openai", "cerebras"])
def client(request):
    return request.getfixturevalue(f"{request.param}_client")


def test_a_plain_answer_is_read_by_both_sdks(client):
    answer = client.chat.completions.create(model=MODEL, messages=ASK)
    assert answer.choices[0].message.content == "blue whale"
    assert answer.choices[0].message.reasoning
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.system_fingerprint.startswith("fp_simulator_")
    assert answer.usage.total_tokens == (
        answer.usage.prompt_tokens + answer.usage.completion_tokens
    )


def test_a_stream_is_read_by_both_sdks(client):
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == "blue whale"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-1].time_info is not None


def test_a_tool_call_is_read_by_both_sdks(client):
    answer = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=TOOLS)
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Lisbon"}
    follow_up = client.chat.completions.create(
        model=MODEL,
        tools=TOOLS,
        messages=[
            *WEATHER,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {
                            "name": call.function.name,
                            "arguments": call.function.arguments,
                        },
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "17 degrees, windy"},
        ],
    )
    assert "17 degrees, windy" in follow_up.choices[0].message.content


def test_a_streamed_tool_call_is_read_by_both_sdks(client):
    chunks = client.chat.completions.create(
        model=MODEL, messages=WEATHER, tools=TOOLS, stream=True
    )
    name, arguments, ids = "", "", []
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
            ids += [call.id] if call.id else []
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Lisbon"})
    assert len(ids) == 1


def test_strict_structured_output_is_read_by_both_sdks(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Grace Hopper is 85 years old."}],
        response_format=STRICT,
    )
    assert json.loads(answer.choices[0].message.content) == {
        "name": "Grace Hopper",
        "age": 85,
    }


def test_the_models_are_listed_and_looked_up_by_both_sdks(client):
    assert MODEL in [model.id for model in client.models.list().data]
    assert client.models.retrieve(MODEL).owned_by == "Cerebras"


def test_openais_parse_helper_gives_the_pydantic_object(openai_client):
    answer = openai_client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Grace Hopper is 85 years old."}],
        response_format=Person,
    )
    assert answer.choices[0].message.parsed == Person(name="Grace Hopper", age=85)


def test_openais_stream_helper_accumulates_the_message(openai_client):
    with openai_client.chat.completions.stream(model=MODEL, messages=ASK) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "blue whale"


def test_text_completions_are_read_by_both_sdks(client):
    answer = client.completions.create(
        model=MODEL, prompt="Count from 1 to 4", max_tokens=50
    )
    assert answer.choices[0].text == "1, 2, 3, 4"
    streamed = client.completions.create(
        model=MODEL, prompt="Count from 1 to 4", max_tokens=50, stream=True
    )
    assert "".join(c.choices[0].text or "" for c in streamed) == "1, 2, 3, 4"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("wrong_api_key", openai.AuthenticationError),
        ("queue_exceeded", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("model_not_found", openai.NotFoundError),
    ],
)
def test_failures_become_openais_errors(sim, openai_client, code, expected):
    sim.fail_next(code=code)
    with pytest.raises(expected):
        openai_client.chat.completions.create(model=MODEL, messages=ASK)


def test_an_error_inside_a_stream_reaches_both_sdks(sim, client):
    sim.fail_next(500, after_events=2)
    stream = client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
    with pytest.raises((openai.APIError, CerebrasStatusError), match="server error"):
        list(stream)


def test_the_vendors_sdk_warms_the_connection_first(sim, cerebras_client):
    cerebras_client.chat.completions.create(model=MODEL, messages=ASK)
    assert [one.path for one in sim.requests] == [
        "/v1/tcp_warming",
        "/v1/chat/completions",
    ]


def test_files_and_batches_are_driven_by_the_openai_sdk(openai_client):
    lines = [
        {
            "custom_id": f"row-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": MODEL if number else "nope",
                "messages": [{"role": "user", "content": f"Say 'row {number}'"}],
            },
        }
        for number in range(10)
    ]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    upload = openai_client.files.create(
        file=("input.jsonl", io.BytesIO(data)), purpose="batch"
    )
    assert (upload.bytes, upload.filename) == (len(data), "input.jsonl")
    assert openai_client.files.retrieve(upload.id).id == upload.id
    assert openai_client.files.content(upload.id).read() == data
    batch = openai_client.batches.create(
        input_file_id=upload.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"what": "a test"},
    )
    assert batch.status == "validating"
    deadline = time.monotonic() + 10
    while batch.status not in ("completed", "failed") and time.monotonic() < deadline:
        batch = openai_client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts.to_dict() == {"total": 10, "completed": 9, "failed": 1}
    output = openai_client.files.content(batch.output_file_id).text.splitlines()
    first = json.loads(output[0])
    assert first["custom_id"] == "row-1"
    assert first["response"]["body"]["choices"][0]["message"]["content"] == "row 1"
    errors = openai_client.files.content(batch.error_file_id).text.splitlines()
    assert json.loads(errors[0])["response"]["status_code"] == 404
    assert [one.id for one in openai_client.batches.list()] == [batch.id]
    assert openai_client.files.delete(upload.id).deleted


@pytest.fixture(params=["openai", "cerebras"])
async def async_client(request, sim):
    made = (
        openai.AsyncOpenAI(base_url=sim.base_url, api_key="x", max_retries=0)
        if request.param == "openai"
        else AsyncCerebras(base_url=sim.root_url, api_key="x", max_retries=0)
    )
    async with made as client:
        yield client


async def test_a_plain_answer_is_read_by_both_async_sdks(async_client):
    answer = await async_client.chat.completions.create(model=MODEL, messages=ASK)
    assert answer.choices[0].message.content == "blue whale"


async def test_a_stream_is_read_by_both_async_sdks(async_client):
    stream = await async_client.chat.completions.create(
        model=MODEL, messages=ASK, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "blue whale"


async def test_a_tool_call_is_read_by_both_async_sdks(async_client):
    answer = await async_client.chat.completions.create(
        model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice="required"
    )
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Lisbon"}


async def test_the_models_are_listed_by_both_async_sdks(async_client):
    models = await async_client.models.list()
    assert MODEL in [model.id for model in models.data]


async def test_strict_structured_output_is_read_by_both_async_sdks(async_client):
    answer = await async_client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Grace Hopper is 85 years old."}],
        response_format=STRICT,
    )
    assert json.loads(answer.choices[0].message.content)["name"] == "Grace Hopper"
