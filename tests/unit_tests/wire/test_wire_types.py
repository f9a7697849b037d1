"""The wire types know every key of bodies written from the API's reference."""

import ast
import inspect
import json
import subprocess
import sys
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from langchain_cerebras_ext import wire
from langchain_cerebras_ext.wire import types as wire_types


def unknown_keys(value: Any, tp: Any, path: str = "$") -> list[str]:
    """List the keys of a body that its type does not name."""
    origin = get_origin(tp)
    if origin in {Union, UnionType}:
        found = [unknown_keys(value, arm, path) for arm in get_args(tp)]
        return min(found, key=len)
    if hasattr(tp, "__required_keys__"):
        if not isinstance(value, dict):
            return [f"{path}: no object"]
        hints = get_type_hints(tp)
        lost = [f"{path}.{key}" for key in value if key not in hints]
        lost += [f"{path}.{key}: missing" for key in tp.__required_keys__ - set(value)]
        for key in value.keys() & hints.keys():
            lost += unknown_keys(value[key], hints[key], f"{path}.{key}")
        return lost
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [
            key
            for at, item in enumerate(value)
            for key in unknown_keys(item, get_args(tp)[0], f"{path}[{at}]")
        ]
    if origin is Literal:
        return [] if value in get_args(tp) else [f"{path}: {value!r}"]
    if tp in {str, int, float, bool, type(None)}:
        kinds = (int, float) if tp is float else (tp,)
        return [] if type(value) in kinds else [f"{path}: {value!r} is no {tp}"]
    return []


USAGE = {
    "total_tokens": 94,
    "completion_tokens": 25,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
        "reasoning_tokens": 14,
    },
    "prompt_tokens": 69,
    "prompt_tokens_details": {"cached_tokens": 0},
}
TIME_INFO = {
    "created": 1781000000.1234567,
    "queue_time": 0.00031,
    "prompt_time": 0.0021,
    "completion_time": 0.0143,
    "total_time": 0.0189,
}
HEAD = {
    "id": "chatcmpl-7f1c2f0e-3a55-4b4f-9c0d-0f4a1d2b3c4d",
    "created": 1781000000,
    "model": "gpt-oss-120b",
    "system_fingerprint": "fp_0123456789abcdef0123",
}
LOGPROBS = {
    "content": [
        {
            "token": "Hi",
            "logprob": -0.1,
            "bytes": [72, 105],
            "top_logprobs": [{"token": "Hi", "logprob": -0.1, "bytes": None}],
        }
    ],
    "refusal": None,
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": SCHEMA,
        "strict": True,
    },
}
CALL = {
    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    "type": "function",
    "id": "049d9b129",
}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
            },
            {"type": "image", "image": "data:image/png;base64,AAAA"},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning": "I look.",
        "tool_calls": [{**CALL, "index": 0}],
    },
    {
        "role": "tool",
        "content": [{"type": "text", "text": "sunny"}],
        "tool_call_id": "049d9b129",
        "name": "get_weather",
    },
    {"role": "assistant", "content": [{"type": "text", "text": "Sunny."}]},
    {"role": "user", "content": "Thanks"},
]
# Every parameter of section 2.1 of the reference, with a value in its range.
CHAT_PARAMETERS = {
    "max_completion_tokens": 256,
    "max_tokens": 256,
    "min_completion_tokens": 0,
    "min_tokens": -1,
    "temperature": 0.5,
    "top_p": 0.9,
    "frequency_penalty": -2,
    "presence_penalty": 2,
    "logit_bias": {"42": -100},
    "logprobs": True,
    "top_logprobs": 3,
    "n": 1,
    "stop": ["END"],
    "seed": 7,
    "stream": True,
    "stream_options": {"include_usage": True},
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "City",
            "description": "A city.",
            "schema": SCHEMA,
            "strict": True,
        },
    },
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "reasoning_format": "text_parsed",
    "disable_reasoning": None,
    "clear_thinking": False,
    "prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]},
    "service_tier": "flex",
    "prompt_cache_key": "chat-1",
    "user": "u1",
    "model_parameters": {},
}
COMPLETION_PARAMETERS = {
    "best_of": 1,
    "echo": False,
    "suffix": None,
    "grammar_root": "root",
    "return_raw_tokens": False,
    "logprobs": 2,
    "max_tokens": 10,
    "min_tokens": 0,
    "n": 1,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logit_bias": None,
    "seed": 1,
    "stop": "x",
    "stream": False,
    "stream_options": {"include_usage": True},
    "temperature": 1,
    "top_p": 1,
    "user": "u",
    "prompt_cache_key": "k",
    "reasoning_format": "none",
}
ENDPOINT = "/v1/chat/completions"


def chunk(**parts: Any) -> dict[str, Any]:
    body: dict[str, Any] = {**HEAD, "object": "chat.completion.chunk"}
    return {**body, **parts}


def choice(delta: Any, **parts: Any) -> dict[str, Any]:
    return {"delta": delta, "index": 0, **parts}


BODIES: dict[str, tuple[Any, Any]] = {
    "chat request, every parameter": (
        wire.ChatRequest,
        {"model": "gpt-oss-120b", "messages": MESSAGES, **CHAT_PARAMETERS},
    ),
    "chat request, JSON mode": (
        wire.ChatRequest,
        {
            "model": "m",
            "messages": [{"role": "user", "content": "JSON"}],
            "response_format": {"type": "json_object"},
            "tool_choice": "required",
            "prediction": {"type": "content", "content": "x"},
            "stop": "x",
        },
    ),
    "chat request, text format": (
        wire.ChatRequest,
        {
            "model": "m",
            "messages": [{"role": "user", "content": "a"}],
            "response_format": {"type": "text"},
        },
    ),
    "chat answer, reasoning": (
        wire.ChatCompletion,
        {
            **HEAD,
            "choices": [
                {
                    "finish_reason": "stop",
                    "index": 0,
                    "message": {
                        "content": "Hi",
                        "reasoning": "A greeting.",
                        "role": "assistant",
                    },
                    "logprobs": LOGPROBS,
                    "reasoning_logprobs": LOGPROBS,
                }
            ],
            "object": "chat.completion",
            "usage": USAGE,
            "time_info": TIME_INFO,
        },
    ),
    "chat answer, tool call and no content": (
        wire.ChatCompletion,
        {
            **HEAD,
            "choices": [
                {
                    "finish_reason": "tool_calls",
                    "index": 0,
                    "message": {"tool_calls": [CALL], "role": "assistant"},
                }
            ],
            "object": "chat.completion",
            "usage": {
                "image_tokens": 0,
                "total_tokens": 2,
                "completion_tokens": 1,
                "prompt_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 0, "image_tokens": 256},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "time_info": {**TIME_INFO, "created": 1781000000},
            "service_tier": "default",
            "service_tier_used": "flex",
        },
    ),
    "chunk, role": (
        wire.ChatCompletionChunk,
        chunk(choices=[choice({"role": "assistant"})]),
    ),
    "chunk, reasoning": (
        wire.ChatCompletionChunk,
        chunk(choices=[choice({"reasoning": "Hm"})]),
    ),
    "chunk, content": (
        wire.ChatCompletionChunk,
        chunk(
            choices=[
                choice(
                    {"content": "a", "tokens": [1]},
                    logprobs=LOGPROBS,
                    reasoning_logprobs=None,
                    text="a",
                    tokens=[1],
                )
            ]
        ),
    ),
    "chunk, first fragment of a call": (
        wire.ChatCompletionChunk,
        chunk(
            choices=[
                choice(
                    {
                        "tool_calls": [
                            {
                                "function": {"name": "f", "arguments": ""},
                                "type": "function",
                                "id": "049d9b129",
                                "index": 0,
                            }
                        ]
                    }
                )
            ]
        ),
    ),
    "chunk, next fragment of a call": (
        wire.ChatCompletionChunk,
        chunk(
            choices=[
                choice(
                    {
                        "tool_calls": [
                            {
                                "function": {"arguments": '{"a"'},
                                "type": "function",
                                "index": 0,
                            }
                        ]
                    }
                )
            ]
        ),
    ),
    "chunk, last": (
        wire.ChatCompletionChunk,
        chunk(
            choices=[choice({}, finish_reason="length")],
            usage=USAGE,
            time_info=TIME_INFO,
        ),
    ),
    "chunk, null delta": (wire.ChatCompletionChunk, chunk(choices=[choice(None)])),
    "chunk, no choices": (wire.ChatCompletionChunk, chunk(choices=[], usage=USAGE)),
    "chunk, null choices": (wire.ChatCompletionChunk, chunk(choices=None)),
    "completion request": (
        wire.CompletionRequest,
        {"model": "m", "prompt": "Once", **COMPLETION_PARAMETERS},
    ),
    "completion request, token ids": (
        wire.CompletionRequest,
        {"model": "m", "prompt": [[1, 2], [3]]},
    ),
    "completion answer": (
        wire.Completion,
        {
            **HEAD,
            "choices": [
                {
                    "index": 0,
                    "text": " upon",
                    "tokens": None,
                    "finish_reason": "length",
                    "logprobs": {
                        "text_offset": [0],
                        "token_logprobs": [None],
                        "tokens": [" upon"],
                        "top_logprobs": [{" upon": -0.2}],
                    },
                }
            ],
            "object": "text_completion",
            "usage": USAGE,
            "time_info": TIME_INFO,
        },
    ),
    "completion chunk": (
        wire.CompletionChunk,
        {
            **HEAD,
            "choices": [{"index": 0, "text": " a"}],
            "object": "text_completion",
        },
    ),
    "models": (
        wire.ModelList,
        {
            "object": "list",
            "data": [
                {
                    "id": "gpt-oss-120b",
                    "object": "model",
                    "created": 0,
                    "owned_by": "Cerebras",
                }
            ],
        },
    ),
    "public models": (
        wire.PublicModelList,
        {
            "object": "list",
            "data": [
                {
                    "id": "gpt-oss-120b",
                    "object": "model",
                    "created": 0,
                    "owned_by": "Cerebras",
                    "name": "GPT OSS 120B",
                    "description": "A model.",
                    "hugging_face_id": "openai/gpt-oss-120b",
                    "pricing": {"prompt": "0.00000035", "completion": "0.00000075"},
                    "capabilities": dict.fromkeys(
                        (
                            "streaming",
                            "function_calling",
                            "structured_outputs",
                            "vision",
                            "json_mode",
                            "tools",
                            "tool_choice",
                            "parallel_tool_calls",
                            "response_format",
                            "reasoning",
                        ),
                        True,
                    ),
                    "supported_parameters": dict.fromkeys(
                        (
                            "temperature",
                            "top_p",
                            "seed",
                            "stop",
                            "max_completion_tokens",
                            "logprobs",
                            "top_logprobs",
                            "frequency_penalty",
                            "presence_penalty",
                            "logit_bias",
                            "repetition_penalty",
                        ),
                        False,
                    ),
                    "architecture": {
                        "modality": "text",
                        "tokenizer": "GPT",
                        "instruct_type": None,
                    },
                    "limits": {
                        "max_context_length": 131072,
                        "max_completion_tokens": 40960,
                        "requests_per_minute": None,
                        "tokens_per_minute": None,
                    },
                    "datacenter_locations": [],
                    "deprecated": False,
                    "preview": False,
                    "quantization": None,
                }
            ],
        },
    ),
    "models, OpenRouter format": (
        wire.OpenRouterModelList,
        {
            "data": [
                {
                    "id": "cerebras/gpt-oss-120b",
                    "name": "GPT OSS",
                    "created": 0,
                    "context_length": 131072,
                    "max_output_length": 40960,
                    "pricing": dict.fromkeys(
                        (
                            "prompt",
                            "completion",
                            "image",
                            "request",
                            "input_cache_read",
                            "input_cache_write",
                        ),
                        "0",
                    ),
                    "description": None,
                    "hugging_face_id": None,
                    "input_modalities": ["text"],
                    "output_modalities": ["text"],
                    "quantization": "fp16",
                    "supported_features": ["tools"],
                    "supported_sampling_parameters": ["seed"],
                    "datacenters": [{"country_code": "US"}],
                    "openrouter": {"slug": "openai/gpt-oss-120b"},
                }
            ]
        },
    ),
    "models, Hugging Face format": (
        wire.HuggingFaceModelList,
        {
            "object": "list",
            "data": [
                {
                    "id": "gpt-oss-120b",
                    "object": "model",
                    "created": 0,
                    "owned_by": "Cerebras",
                    "context_length": 131072,
                    "pricing": {"input": 0.35, "output": 0.75},
                    "capabilities": {
                        "function_calling": True,
                        "streaming": True,
                        "structured_outputs": True,
                        "vision": False,
                    },
                    "hugging_face_id": None,
                }
            ],
        },
    ),
    "file": (
        wire.FileObject,
        {
            "id": "file_1",
            "object": "file",
            "bytes": 120,
            "created_at": 1781000000,
            "filename": "in.jsonl",
            "purpose": "batch",
        },
    ),
    "file list": (
        wire.FileList,
        {"object": "list", "data": [{"id": "file_1"}], "has_more": False},
    ),
    "file deleted": (
        wire.FileDeleted,
        {"id": "file_1", "object": "file", "deleted": True},
    ),
    "batch request": (
        wire.BatchRequest,
        {
            "input_file_id": "file_1",
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {"a": "b"},
        },
    ),
    "batch line": (
        wire.BatchInputLine,
        {
            "custom_id": "1",
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": "m", "messages": [{"role": "user", "content": "a"}]},
        },
    ),
    "batch": (
        wire.Batch,
        {
            "id": "batch_1",
            "object": "batch",
            "endpoint": ENDPOINT,
            "errors": {
                "object": "list",
                "data": [{"code": "c", "message": "m", "param": None, "line": 3}],
            },
            "input_file_id": "file_1",
            "completion_window": "24h",
            "status": "cancelling",
            "output_file_id": None,
            "error_file_id": None,
            **dict.fromkeys(
                (
                    "in_progress_at",
                    "expires_at",
                    "finalizing_at",
                    "completed_at",
                    "failed_at",
                    "expired_at",
                    "cancelling_at",
                    "cancelled_at",
                )
            ),
            "created_at": 1781000000,
            "request_counts": {"total": 10, "completed": 1, "failed": 0},
            "metadata": None,
        },
    ),
    "batch list": (
        wire.BatchList,
        {
            "object": "list",
            "data": [{"id": "batch_1", "status": "queued"}],
            "first_id": "batch_1",
            "last_id": "batch_1",
            "has_more": False,
        },
    ),
    "batch output line": (
        wire.BatchOutputLine,
        {
            "id": "r1",
            "custom_id": "1",
            "response": {
                "status_code": 200,
                "request_id": "r1",
                "body": {
                    "id": "chatcmpl-1",
                    "choices": [],
                    "created": 1,
                    "model": "m",
                    "object": "chat.completion",
                },
            },
            "error": None,
        },
    ),
    "error, flat": (
        wire.ErrorBody,
        {
            "message": "Wrong API Key",
            "type": "invalid_request_error",
            "param": "api_key",
            "code": "wrong_api_key",
        },
    ),
    "error, flat, in a stream": (
        wire.FlatStreamError,
        {"message": "Encountered a server error.", "status_code": 500},
    ),
    "error, wrapped": (
        wire.ErrorBody,
        {
            "status_code": 500,
            "error": {
                "message": "Encountered a server error, please try again.",
                "type": "server_error",
                "param": "",
                "code": "",
                "id": "",
            },
        },
    ),
    "error, detail": (wire.ErrorBody, {"detail": "Not authenticated"}),
    "error, former 422": (
        wire.ErrorBody,
        {"detail": [{"loc": ["body", 0], "msg": "bad", "type": "value_error"}]},
    ),
}


@pytest.mark.parametrize(("tp", "body"), BODIES.values(), ids=BODIES)
def test_bodies_of_the_reference_fit_their_types(tp, body):
    """Each literal body is accepted, and none of its keys is unknown to its type."""
    assert unknown_keys(body, tp) == []
    parsed = TypeAdapter(tp).validate_json(json.dumps(body), strict=True)
    assert parsed == body, "a key that the type does not name is dropped by pydantic"


@pytest.mark.parametrize(
    ("tp", "parameters", "own"),
    [
        (wire.ChatRequest, CHAT_PARAMETERS, {"model", "messages"}),
        (wire.CompletionRequest, COMPLETION_PARAMETERS, {"model", "prompt"}),
    ],
    ids=["chat", "completion"],
)
def test_request_types_hold_exactly_the_documented_parameters(tp, parameters, own):
    """The service refuses unknown keys, so the types hold no key more or less."""
    assert set(tp.__annotations__) == set(parameters) | own
    assert tp.__required_keys__ == own


def test_request_parameters_are_those_of_the_vendor_sdk():
    """The SDK's parameters, its headers aside, are the other witness."""
    from cerebras.cloud.sdk.types import completion_create_params as text_params
    from cerebras.cloud.sdk.types.chat import completion_create_params as chat_params

    headers = {"cf_ray", "x_amz_cf_id", "x_delay_time"}
    for ours, theirs in (
        (wire.ChatRequest, chat_params.CompletionCreateParams),
        (wire.CompletionRequest, text_params.CompletionCreateParams),
    ):
        assert set(theirs.__annotations__) - headers == set(ours.__annotations__)


@pytest.mark.parametrize(
    ("tp", "body", "told"),
    [
        pytest.param(
            wire.ChatRequest, {"model": "m"}, "messages", id="messages missing"
        ),
        pytest.param(
            wire.ChatRequest,
            {"model": "m", "messages": [{"role": "tool", "content": "x"}]},
            "tool_call_id",
            id="tool message without an id",
        ),
        pytest.param(
            wire.ChatRequest,
            {"model": "m", "messages": [], "reasoning_effort": "max"},
            "reasoning_effort",
            id="unknown effort",
        ),
        pytest.param(
            wire.ChatCompletion, {"choices": []}, "created", id="answer without head"
        ),
    ],
)
def test_wrong_bodies_do_not_fit(tp, body, told):
    """A required key that is missing, or a value out of its set, is no such body."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(tp).validate_python(body)
    assert told in str(caught.value)


def test_all_types_are_exported_sorted_and_documented():
    """Every public name of the module is in `__all__`, and every class says what it is."""
    classes = {
        name: value
        for name, value in vars(wire_types).items()
        if inspect.isclass(value) and value.__module__ == wire_types.__name__
    }
    assert list(wire.__all__) == sorted(wire.__all__) == wire_types.__all__
    assert set(classes) <= set(wire.__all__)
    assert all(value.__doc__ for value in classes.values())
    for name in wire.__all__:
        assert getattr(wire, name) is getattr(wire_types, name)


def test_types_import_typing_only():
    """The module imports nothing but `sys`, `typing` and its backport."""
    tree = ast.parse(inspect.getsource(wire_types))
    found = {
        name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert found <= {"__future__", "sys", "typing", "typing_extensions"}


def test_importing_the_wire_types_loads_nothing_heavy():
    """A program that wants the types alone gets them without pydantic or a client."""
    code = (
        "import sys, langchain_cerebras_ext.wire;"
        "print(sorted({'openai', 'aiohttp', 'pydantic', 'langchain_core', 'urllib3'}"
        " & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert out.stdout.strip() == "[]"
