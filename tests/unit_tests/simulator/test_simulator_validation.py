"""What the service refuses, the simulator refuses: status, code and words."""

import base64
import struct

import pytest

from langchain_cerebras_ext.simulator.faults import RefusedError
from langchain_cerebras_ext.simulator.images import decode_image, image_size

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


def png(width=64, height=64):
    head = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return "data:image/png;base64," + base64.b64encode(head + bytes(20)).decode()


def image(url):
    part = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [{"type": "text", "text": "See"}, part]}]


def call(name="c1", arguments="{}"):
    function = {"name": "f", "arguments": arguments}
    return {"id": name, "type": "function", "function": function}


def assistant(*ids):
    return {"role": "assistant", "tool_calls": [call(one) for one in ids]}


def answer(name):
    return {"role": "tool", "tool_call_id": name, "content": "done"}


def strict_tool(name="f", **schema):
    shape = {**OBJECT, **schema}
    function = {"name": name, "strict": True, "parameters": shape}
    return {"type": "function", "function": function}


def json_schema(schema, **more):
    return {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": schema, **more},
    }


REFUSED = {
    # ------------------------------------------------------------------ closed schema
    "unknown key": ({"store": True}, "body.store: property 'body.store' is unsupported"),
    "two unknown keys": (
        {"store": True, "thinking": {}},
        ("body.store: property 'body.store' is unsupported\n"
        "body.thinking: property 'body.thinking' is unsupported"),
    ),
    "retired parameter": (
        {"disable_reasoning": True},
        "body.disable_reasoning: property 'body.disable_reasoning' is unsupported",
    ),
    "unknown key of stream_options": (
        {"stream_options": {"x": 1}},
        "property 'body.stream_options.x' is unsupported",
    ),
    "unknown key of a message": (
        {"messages": [USER, {"role": "assistant", "content": "a", "reasoning_content": "b"}, USER]},
        ("messages.1.assistant.reasoning_content: property "
        "'messages.1.assistant.reasoning_content' is unsupported"),
    ),
    "unknown key of a part": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
        "property 'messages.0.user.content.0.cache_control' is unsupported",
    ),
    "unknown key of a tool": (
        {"tools": [{**TOOL, "x": 1}]},
        "property 'body.tools.0.x' is unsupported",
    ),
    "unknown key of a function": (
        {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]},
        "property 'body.tools.0.function.x' is unsupported",
    ),
    "unknown key of a call": (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{**call(), "x": 1}]}, answer("c1")]},
        "property 'messages.1.assistant.tool_calls.0.x' is unsupported",
    ),
    "unknown key of response_format": (
        {"response_format": {"type": "text", "x": 1}},
        "property 'body.response_format.x' is unsupported",
    ),
    # ------------------------------------------------------------------ types, ranges
    "temperature too high": ({"temperature": 2.5}, "body.temperature: 2.5 is out of range: 0 to 2"),
    "temperature no number": ({"temperature": "1"}, "body.temperature: must be a number, not string"),
    "temperature true": ({"temperature": True}, "body.temperature: must be a number, not boolean"),
    "top_p": ({"top_p": -0.1}, "body.top_p: -0.1 is out of range: 0 to 1"),
    "frequency_penalty": ({"frequency_penalty": 3}, "body.frequency_penalty: 3 is out of range: -2 to 2"),
    "presence_penalty": ({"presence_penalty": -3}, "out of range: -2 to 2"),
    "n": ({"n": 0}, "body.n: 0 is out of range: 1 to"),
    "n no integer": ({"n": 1.5}, "body.n: must be an integer, not number"),
    "max_completion_tokens": ({"max_completion_tokens": -2}, "out of range: at least -1"),
    "max_tokens no integer": ({"max_tokens": [1]}, "must be an integer, not array"),
    "min_tokens": ({"min_tokens": -2}, "body.min_tokens: -2"),
    "seed": ({"seed": "x"}, "body.seed: must be an integer, not string"),
    "stream": ({"stream": "yes"}, "body.stream: must be a boolean, not string"),
    "user": ({"user": 3}, "body.user: must be a string, not integer"),
    "prompt_cache_key": ({"prompt_cache_key": "x" * 1025}, "is 1025 characters long: the limit is 1024"),
    "five stops": ({"stop": ["a", "b", "c", "d", "e"]}, "has 5 stop sequences: the limit is 4"),
    "stop of numbers": ({"stop": [1]}, "body.stop: must be a string or an array of strings"),
    "stop of an object": ({"stop": {}}, "body.stop: must be a string or an array of strings"),
    "logit_bias no object": ({"logit_bias": [1]}, "body.logit_bias: must be an object, not array"),
    "logit_bias too long": ({"logit_bias": {str(n): 1 for n in range(101)}}, "has 101 entries: the limit is 100"),
    "logit_bias key": ({"logit_bias": {"x": 1}}, "body.logit_bias: 'x' is no token id"),
    "logit_bias weight": ({"logit_bias": {"7": 101}}, "of token 7: 101 is out of range: -100 to 100"),
    "effort": ({"reasoning_effort": "huge"}, "'huge' is not one of none, low, medium, high"),
    "format": ({"reasoning_format": "loud"}, "'loud' is not one of none, parsed"),
    "service_tier": ({"service_tier": "gold"}, "'gold' is not one of auto, default, flex, priority"),
    "top_logprobs range": ({"top_logprobs": 21, "logprobs": True}, "21 is out of range: 0 to 20"),
    "top_logprobs alone": ({"top_logprobs": 2}, "body.top_logprobs: needs logprobs to be true"),
    "include_usage": ({"stream_options": {"include_usage": 1}}, "body.stream_options.include_usage: must be a boolean"),
    "stream_options": ({"stream_options": 1}, "body.stream_options: must be an object, not integer"),
    # ------------------------------------------------------------------------ messages
    "no messages": ({"messages": []}, "body.messages: must have at least 1 item"),
    "messages null": ({"messages": None}, "body.messages: must not be null"),
    "messages text": ({"messages": "Hi"}, "body.messages: must be an array, not string"),
    "message no object": ({"messages": ["Hi"]}, "messages.0: must be an object, not string"),
    "unknown role": ({"messages": [{"role": "human", "content": "Hi"}]}, "messages.0.role: 'human' is not one of"),
    "user without content": ({"messages": [{"role": "user"}]}, "messages.0.user.content: property is required"),
    "user with null": ({"messages": [{"role": "user", "content": None}]}, "messages.0.user.content: must be a string or an array, not null"),
    "system with null": ({"messages": [{"role": "system", "content": None}, USER]}, "messages.0.system.content"),
    "tool with null": (
        {"messages": [USER, assistant("c1"), {"role": "tool", "tool_call_id": "c1", "content": None}]},
        "messages.2.tool.content",
    ),
    "tool without id": ({"messages": [USER, assistant("c1"), {"role": "tool", "content": "x"}]}, "messages.2.tool.tool_call_id: must be a string, not null"),
    "assistant with nothing": ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages.1.assistant.content: must not be null without tool_calls"),
    "assistant with null calls": ({"messages": [USER, {"role": "assistant", "content": "x", "tool_calls": None}]}, "messages.1.assistant.tool_calls: must be an array, not null"),
    "name no text": ({"messages": [{**USER, "name": 3}]}, "messages.0.user.name: must be a string"),
    "part no object": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.user.content.0: must be an object"),
    "unknown part": ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "type 'audio' is not one of text, image_url, image"),
    "image of the system": ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}, USER]}, "type 'image_url' is not one of text"),
    "text part without text": ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.user.content.0.text: must be a string, not null"),
    "image_url as text": ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "image_url: must be an object with a url"),
    "call no object": ({"messages": [USER, {"role": "assistant", "tool_calls": [1]}]}, "messages.1.assistant.tool_calls.0: must be an object"),
    "call without function": ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}]}, "tool_calls.0.function: must be an object"),
    "call with object arguments": ({"messages": [USER, {"role": "assistant", "tool_calls": [call(arguments={})]}]}, "function.arguments: must be a string, not object"),
    # --------------------------------------------------------------- order of tool turns
    "answer to nothing": ({"messages": [USER, answer("c9")]}, "messages.1.tool.tool_call_id: no tool call has the id 'c9'"),
    "answered twice": ({"messages": [USER, assistant("c1"), answer("c1"), answer("c1")]}, "'c1' must follow its tool call directly, and once"),
    "answered late": ({"messages": [USER, assistant("c1"), answer("c1"), USER, answer("c1")]}, "must follow its tool call directly"),
    "unanswered": ({"messages": [USER, assistant("c1"), USER]}, "messages.2: each tool call must be followed by a tool message; missing for 'c1'"),
    "one of two unanswered": ({"messages": [USER, assistant("c1", "c2"), answer("c2")]}, "missing for 'c1'"),
    "duplicate id": ({"messages": [USER, assistant("c1"), answer("c1"), assistant("c1"), answer("c1")]}, "messages.3.assistant.tool_calls: duplicate tool call id 'c1'"),
    # --------------------------------------------------------------------------- tools
    "tool no object": ({"tools": [1]}, "body.tools.0: must be an object"),
    "tool without function": ({"tools": [{"type": "function"}]}, "body.tools.0.function: must be an object"),
    "tool of another type": ({"tools": [{**TOOL, "type": "custom"}]}, "body.tools.0.type: 'custom' is not one of function"),
    "tool name": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "body.tools.0.function.name: 'a b' must be 1 to 64"),
    "tool name length": ({"tools": [{"type": "function", "function": {"name": "a" * 65}}]}, "must be 1 to 64 letters"),
    "tool strict": ({"tools": [{"type": "function", "function": {"name": "a", "strict": "yes"}}]}, "function.strict: must be a boolean"),
    "tool parameters": ({"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]}, "function.parameters: must be an object"),
    "tool names twice": ({"tools": [TOOL, TOOL]}, "body.tools: duplicate tool name 'f'"),
    "choice without tools": ({"tool_choice": "auto"}, "body.tool_choice: needs tools"),
    "choice without any tool": ({"tools": [], "tool_choice": "required"}, "body.tool_choice: needs tools"),
    "choice unknown": ({"tools": [TOOL], "tool_choice": "any"}, "body.tool_choice: 'any' is not one of none, auto, required"),
    "choice of another tool": ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "body.tool_choice: no tool is named 'g'"),
    "choice of nothing": ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "body.tool_choice.function.name: must be a string"),
    "strict on one of two": ({"tools": [TOOL, strict_tool("g")]}, "'strict' must have the same value on all tools"),
    "strict tool schema": ({"tools": [strict_tool(additionalProperties=True)]}, "f: $: 'additionalProperties' must be false on every object."),
    # ------------------------------------------------------------------ response formats
    "format type": ({"response_format": {"type": "xml"}}, "body.response_format.type: 'xml' is not one of"),
    "format no object": ({"response_format": "json"}, "body.response_format: must be an object, not string"),
    "json_schema left out": ({"response_format": {"type": "json_schema"}}, "body.response_format.json_schema: property is required"),
    "json_schema unnamed": ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json_schema.name: must be a string, not null"),
    "json_schema schema": ({"response_format": json_schema("x")}, "json_schema.schema: must be an object"),
    "json_schema strict": ({"response_format": json_schema({}, strict=1)}, "json_schema.strict: must be a boolean"),
    "strict schema": (
        {"response_format": json_schema({**OBJECT, "properties": {"a": {"type": "string", "pattern": "x"}}}, strict=True)},
        "Unsupported JSON schema fields: {'pattern'}",
    ),
    "json_object streamed": ({"response_format": {"type": "json_object"}, "stream": True}, "'json_object' cannot be combined with stream"),
    "json_object unspoken": ({"response_format": {"type": "json_object"}}, "must contain the word 'JSON'"),
    "raw with json": ({"response_format": json_schema(OBJECT), "reasoning_format": "raw"}, "'raw' cannot be combined with response_format 'json_schema'"),
    "tools with json": ({"response_format": json_schema(OBJECT), "tools": [TOOL]}, '"tools" is incompatible with "response_format".'),
    # ---------------------------------------------------------------- the model's support
    "effort of gpt-oss": ({"reasoning_effort": "none"}, "'none' is not supported by gpt-oss-120b; it takes low, medium, high"),
    "effort of a plain model": ({"model": "llama3.1-8b", "reasoning_effort": "low"}, "it takes no value"),
    "raw of gemma": ({"model": "gemma-4-31b", "reasoning_format": "raw"}, "'raw' is not supported by gemma-4-31b"),
    "hidden of gemma": ({"model": "gemma-4-31b", "reasoning_format": "hidden"}, "'hidden' is not supported"),
    "model_parameters": ({"model_parameters": {"x": 1}}, "body.model_parameters: gpt-oss-120b takes none"),
    "prediction of qwen": ({"model": "qwen-3.8-27b", "prediction": {"type": "content", "content": "x"}}, '"prediction" is not currently supported'),
    "prediction with tools": ({"prediction": {"type": "content", "content": "x"}, "tools": [TOOL]}, '"prediction" cannot be combined with "tools"'),
    "prediction with logprobs": ({"prediction": {"type": "content", "content": "x"}, "logprobs": True}, 'combined with "logprobs"'),
    "prediction with n": ({"prediction": {"type": "content", "content": "x"}, "n": 2}, 'combined with "n"'),
    "prediction without content": ({"prediction": {"type": "content"}}, "body.prediction.content: property is required"),
    "prediction type": ({"prediction": {"type": "x", "content": "x"}}, "body.prediction.type: 'x' is not one of content"),
    # -------------------------------------------------------------------------- images
    "image for gpt-oss": ({"messages": image(png())}, "messages.0.user.content.1: gpt-oss-120b does not support image inputs"),
    "image by link": ({"model": "gemma-4-31b", "messages": image("https://x.org/a.png")}, "image URLs are not supported"),
    "image of another type": ({"model": "gemma-4-31b", "messages": image("data:image/gif;base64,AAAA")}, "an image must be a data URI"),
    "image bad base64": ({"model": "gemma-4-31b", "messages": image("data:image/png;base64,!!!")}, "the image is not valid base64"),
    "image no image": ({"model": "gemma-4-31b", "messages": image("data:image/png;base64,AAAA")}, "the image is neither PNG nor JPEG"),
    "image part": ({"messages": [{"role": "user", "content": [{"type": "image", "image": png()}]}]}, "does not support image inputs"),
    "six images": ({"model": "gemma-4-31b", "messages": image(png()) * 6}, "6 images were sent: the limit is 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_a_400_that_names_it(account, name):
    body, said = REFUSED[name]
    fault = account.refusal("Hi", **body)
    assert fault.status == 400
    assert said in fault.body["message"]
    assert fault.body["type"] == "invalid_request_error"
    assert fault.body["code"] == "wrong_api_format"


ACCEPTED = {
    "nulls": {"temperature": None, "tools": None, "stop": None, "response_format": None},
    "everything": {
        "temperature": 0.5, "top_p": 1, "frequency_penalty": -2, "presence_penalty": 2,
        "logit_bias": {"5": -100}, "logprobs": True, "top_logprobs": 3, "n": 2,
        "stop": "END", "seed": 7, "user": "u", "prompt_cache_key": "k",
        "reasoning_effort": "low", "reasoning_format": "parsed", "clear_thinking": True,
        "service_tier": "flex", "max_completion_tokens": -1, "min_tokens": 0,
    },
    "an integer as a float": {"max_tokens": 5.0, "seed": 3.0},
    "four stops": {"stop": ["a", "b", "c", "d"]},
    "a developer message": {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
    "reasoning of an earlier turn": {
        "messages": [USER, {"role": "assistant", "content": "a", "reasoning": "b"}, USER]
    },
    "null content beside calls": {
        "messages": [USER, {**assistant("c1"), "content": None}, answer("c1")]
    },
    "answers in any order": {
        "messages": [USER, assistant("c1", "c2"), answer("c2"), answer("c1")]
    },
    "a tool answer in parts": {
        "messages": [USER, assistant("c1"), {**answer("c1"), "content": [{"type": "text", "text": "x"}], "name": "f"}]
    },
    "two systems and two users": {
        "messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER, USER]
    },
    "no tools": {"tools": []},
    "choice none without tools": {"tool_choice": "none"},
    "two strict tools": {"tools": [strict_tool("a"), strict_tool("b")]},
    "type lists without strict": {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {"a": {"type": ["string", "null"], "pattern": "x"}}}}}]
    },
    "any schema without strict": {"response_format": json_schema({"type": "array", "items": True})},
    "strict bounds": {
        "response_format": json_schema({**OBJECT, "properties": {"a": {"type": "integer", "minimum": 1}}}, strict=True)
    },
    "json in the prompt": {
        "response_format": {"type": "json_object"},
        "messages": [{"role": "system", "content": "Answer in json."}, USER],
    },
    "text format with raw": {"response_format": {"type": "text"}, "reasoning_format": "raw"},
    "tools with json on glm": {
        "model": "zai-glm-4.7", "tools": [TOOL], "response_format": json_schema(OBJECT)
    },
    "images": {"model": "gemma-4-31b", "messages": image(png()) * 5},
    "an inert effort": {"model": "zai-glm-4.7", "reasoning_effort": "high"},
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_the_service_takes_is_taken(account, name):
    assert account.chat("Hi", **ACCEPTED[name])["choices"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "body.model: property is required"),
        ({"model": None}, "body.model: must be a string"),
        ({"model": 3}, "body.model: must be a string"),
    ],
)
def test_a_request_must_name_a_model(account, body, said):
    with pytest.raises(RefusedError) as caught:
        account.engine.chat({"messages": [USER], **body}, {})
    assert caught.value.fault.body["message"] == said


def test_a_request_must_have_messages(account):
    with pytest.raises(RefusedError) as caught:
        account.engine.chat({"model": "gpt-oss-120b"}, {})
    assert "body.messages: property is required" in caught.value.fault.body["message"]


@pytest.mark.parametrize("model", ["gpt-oss-120", "llama3.1-8b", "gemma-4-31b"])
def test_an_unknown_or_retired_model_is_a_404(make_account, model):
    fault = make_account(models="active").refusal(model=model)
    assert fault.status == 404
    assert fault.body == {
        "message": f"Model {model} does not exist or you do not have access to it.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_the_model_is_looked_up_before_the_rest_is_checked(account):
    assert account.refusal(model="nope", store=True).status == 404


def test_an_alias_is_answered_with_the_canonical_id(account):
    assert account.chat(model="llama3.3-70b")["model"] == "llama-3.3-70b"


def test_a_dedicated_endpoint_behaves_like_its_model(make_account):
    account = make_account(models=["my-org-gpt-oss-120b", "other-endpoint"])
    assert account.chat(model="my-org-gpt-oss-120b")["model"] == "my-org-gpt-oss-120b"
    refused = account.refusal(model="my-org-gpt-oss-120b", reasoning_effort="none")
    assert "it takes low, medium, high" in refused.body["message"]
    assert "reasoning" in account.message(model="other-endpoint")


def test_one_model_can_be_named_alone(make_account):
    assert list(make_account(models="zai-glm-4.7").engine.profiles) == ["zai-glm-4.7"]


def test_more_than_the_window_is_refused_with_both_figures(account):
    fault = account.refusal("word " * 200, max_tokens=131_000)
    assert fault.body == {
        "message": "Please reduce the length of the messages or completion. "
        "Current length is 131268 while limit is 131072",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


def test_the_free_tier_has_the_smaller_window(make_account):
    fault = make_account(tier="free_trial").refusal(max_tokens=65_500)
    assert "while limit is 65536" in fault.body["message"]


@pytest.mark.parametrize(
    ("threshold", "body", "queue_time_s", "status"),
    [
        ("49", {"service_tier": "flex"}, None, 400),
        ("20001", {"service_tier": "flex"}, None, 400),
        ("fast", {"service_tier": "flex"}, None, 400),
        ("100", {}, None, 400),
        ("100", {"service_tier": "auto"}, 0.2, 429),
    ],
)
def test_the_queue_threshold_is_checked(
    make_account, threshold, body, queue_time_s, status
):
    account = make_account(queue_time_s=queue_time_s)
    headers = {"queue_threshold": threshold}
    fault = account.refusal(headers=headers, **body)
    assert fault.status == status
    if status == 429:
        assert fault.body["code"] == "queue_exceeded"
        assert "retry-after" not in fault.headers


def test_a_short_queue_is_no_reason_to_refuse(account):
    account.reply(headers={"queue_threshold": "50"}, service_tier="flex")


def test_images_together_may_be_too_large(account):
    big = b"\x89PNG\r\n\x1a\n" + bytes(4 * 1024 * 1024)
    uri = "data:image/png;base64," + base64.b64encode(big).decode()
    fault = account.refusal(model="gemma-4-31b", messages=image(uri) * 3)
    assert fault.status == 413


# ------------------------------------------------------------------------------ images


def jpeg(width=336, height=226):
    app0 = b"\xff\xe0" + struct.pack(">H", 4) + b"JF"
    frame = b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + bytes(12)
    data = b"\xff\xd8" + b"\xff\x01" + app0 + frame
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("uri", "size"),
    [
        (png(336, 226), (336, 226)),
        (jpeg(640, 480), (640, 480)),
        (png(0, 5), None),
        ("data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), None),
        ("data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0\0\2rest!").decode(), None),
        ("https://example.org/a.png", None),
    ],
)  # fmt: skip
def test_an_images_size_is_read_from_its_head(uri, size):
    assert image_size(uri) == size


def test_the_bytes_of_a_data_uri_are_returned():
    assert decode_image(png()).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "uri", "tokens"),
    [
        ("gemma-4-31b", png(336, 226), 260),
        ("gemma-4-31b", jpeg(512, 512), 256),
        ("qwen-3.8-27b", png(320, 65), 30),
        ("gemma-4-31b", png(0, 0), 0),
    ],
)
def test_image_tokens_are_counted_by_the_models_formula(account, model, uri, tokens):
    usage = account.chat(model=model, messages=image(uri))["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == tokens
    bare = [{"role": "user", "content": [{"type": "text", "text": "See"}]}]
    without = account.chat(model=model, messages=bare)["usage"]
    assert usage["prompt_tokens"] == without["prompt_tokens"] + tokens


# -------------------------------------------------------------------- text completions


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": None}, "body.prompt: must not be null"),
        ({"prompt": []}, "body.prompt: must be a string, an array of strings"),
        ({"prompt": [1, "a"]}, "body.prompt: must be a string"),
        ({"prompt": [[]]}, "body.prompt: must be a string"),
        ({"suffix": "x"}, "property 'body.suffix' is unsupported"),
        ({"best_of": 21}, "body.best_of: 21 is out of range: 0 to 20"),
        ({"logprobs": True}, "body.logprobs: must be an integer"),
        ({"grammar_root": "x"}, "body.grammar_root: 'x' is not one of root"),
        ({"model": "gemma-4-31b", "reasoning_format": "raw"}, "'raw' is not supported"),
    ],
)
def test_a_wrong_text_completion_is_refused(account, body, said):
    with pytest.raises(RefusedError) as caught:
        account.complete(**{"prompt": "a", **body})
    assert said in caught.value.fault.body["message"]


def test_a_text_completion_needs_a_prompt(account):
    with pytest.raises(RefusedError) as caught:
        account.engine.text({"model": "gpt-oss-120b"}, {})
    assert "body.prompt: must be" in caught.value.fault.body["message"]
