"""Every response has a literal twin here: the bytes as recordings of the API show them."""

import json
import re

import pytest

from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
from langchain_cerebras_ext.simulator.catalog_views import list_view, model_view
from langchain_cerebras_ext.simulator.encode import encode_error_event
from langchain_cerebras_ext.simulator.engine import Reply
from langchain_cerebras_ext.simulator.faults import RefusedError, flat, named_fault
from langchain_cerebras_ext.simulator.scenarios import Rule

CALLS = (
    ToolCall("get_weather", '{"city":"Paris"}', chunks=None),
    ToolCall("get_time", '{"city":"Rome"}', chunks=None),
)


def mask(data: bytes) -> str:
    """Replace what differs from run to run."""
    text = data.decode()
    text = re.sub(r'"(chatcmpl|cmpl)-[0-9a-f-]{36}"', r'"\1-ID"', text)
    text = re.sub(r'"id":"[0-9a-f]{9}"', '"id":"HEX9"', text)
    text = re.sub(r'"fp_simulator_[0-9a-f]{10}"', '"FP"', text)
    return re.sub(r'"total_time":[\d.]+', '"total_time":T', text)


@pytest.fixture
def told(make_account):
    """Answer with something fixed, and return the masked bytes."""

    def tell(answer, *, model="gpt-oss-120b", prompt="Test message", **body):
        account = make_account(queue_time_s=0.001, tokens_per_chunk=100)
        account.script.add(Rule(answer=lambda _: answer))
        return mask(account.raw(prompt, model=model, **body))

    return tell


HEAD = '"created":1800000000,"model":"%s","system_fingerprint":"FP","object":"%s"'
TIMES = (
    '"time_info":{"created":1800000000.25,"queue_time":0.001,"prompt_time":%s,'
    '"completion_time":%s,"total_time":T}'
)


def test_a_plain_answer_has_the_recorded_keys_in_the_recorded_order(told):
    body = told(Answer(content="Hi there.", reasoning="A greeting."))
    assert body == (
        '{"id":"chatcmpl-ID","choices":[{"finish_reason":"stop","index":0,"message":'
        '{"content":"Hi there.","reasoning":"A greeting.","role":"assistant"}}],'
        + HEAD
        % ("gpt-oss-120b", "chat.completion")
        + ',"usage":{"total_tokens":75,"completion_tokens":6,'
        '"completion_tokens_details":{"accepted_prediction_tokens":0,'
        '"rejected_prediction_tokens":0,"reasoning_tokens":3},"prompt_tokens":69,'
        '"prompt_tokens_details":{"cached_tokens":0}},'
        + TIMES % ("0.00215", "0.002")
        + "}"
    )


def test_a_vision_model_counts_images_in_the_prompts_details(told):
    body = told(
        Answer(content="ok"),
        model="gemma-4-31b",
        prompt="Reply with the single word ok.",
    )
    assert body == (
        '{"id":"chatcmpl-ID","choices":[{"finish_reason":"stop","index":0,"message":'
        '{"content":"ok","role":"assistant"}}],'
        + HEAD
        % ("gemma-4-31b", "chat.completion")
        + ',"usage":{"total_tokens":22,"completion_tokens":1,'
        '"completion_tokens_details":{"reasoning_tokens":0},"prompt_tokens":21,'
        '"prompt_tokens_details":{"cached_tokens":0,"image_tokens":0}},'
        + TIMES % ("0.00135", "0.000540541")
        + "}"
    )


def test_a_tool_call_answer_has_no_content_and_no_index(told):
    body = told(Answer(tool_calls=CALLS[:1]), tools=TOOLS)
    assert (
        '"choices":[{"finish_reason":"tool_calls","index":0,"message":{"tool_calls":'
        '[{"function":{"name":"get_weather","arguments":"{\\"city\\":\\"Paris\\"}"},'
        '"type":"function","id":"HEX9"}],"role":"assistant"}}]'
    ) in body


TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]


def chunk(delta: str, model: str = "gpt-oss-120b", tail: str = "") -> str:
    return (
        '{"id":"chatcmpl-ID","choices":[{"delta":'
        + delta
        + "}],"
        + HEAD % (model, "chat.completion.chunk")
        + tail
        + "}"
    )


def events(text: str) -> list[str]:
    assert text.endswith("\n\n")
    lines = text[:-2].split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


def test_a_stream_goes_role_reasoning_content_figures_done(told):
    text = told(Answer(content="Hi there.", reasoning="A greeting."), stream=True)
    assert events(text) == [
        chunk('{"role":"assistant"},"index":0'),
        chunk('{"reasoning":"A greeting."},"index":0'),
        chunk('{"content":"Hi there."},"index":0'),
        chunk(
            '{},"finish_reason":"stop","index":0',
            tail=',"usage":{"total_tokens":75,"completion_tokens":6,'
            '"completion_tokens_details":{"accepted_prediction_tokens":0,'
            '"rejected_prediction_tokens":0,"reasoning_tokens":3},"prompt_tokens":69,'
            '"prompt_tokens_details":{"cached_tokens":0}},'
            + TIMES
            % ("0.00215", "0.002"),
        ),
        "[DONE]",
    ]


def test_gpt_oss_streams_a_call_as_a_head_and_fragments(told):
    text = told(
        Answer(tool_calls=(ToolCall("f", '{"a":1}', chunks=('{"a"', ":1}")),)),
        tools=TOOLS,
        stream=True,
    )
    assert events(text)[1:4] == [
        chunk(
            '{"tool_calls":[{"function":{"name":"f","arguments":""},'
            '"type":"function","id":"HEX9","index":0}]},"index":0'
        ),
        chunk(
            '{"tool_calls":[{"function":{"arguments":"{\\"a\\""},'
            '"type":"function","index":0}]},"index":0'
        ),
        chunk(
            '{"tool_calls":[{"function":{"arguments":":1}"},'
            '"type":"function","index":0}]},"index":0'
        ),
    ]


def test_glm_streams_each_call_whole(told):
    text = told(Answer(tool_calls=CALLS), tools=TOOLS, stream=True, model="zai-glm-4.7")
    assert events(text)[1:3] == [
        chunk(
            '{"tool_calls":[{"function":{"name":"get_weather",'
            '"arguments":"{\\"city\\":\\"Paris\\"}"},"type":"function","id":"HEX9",'
            '"index":0}]},"index":0',
            "zai-glm-4.7",
        ),
        chunk(
            '{"tool_calls":[{"function":{"name":"get_time",'
            '"arguments":"{\\"city\\":\\"Rome\\"}"},"type":"function","id":"HEX9",'
            '"index":1}]},"index":0',
            "zai-glm-4.7",
        ),
    ]


def test_usage_can_come_in_a_chunk_of_its_own_as_openai_sends_it(make_account):
    account = make_account(stream_usage_style="openai")
    asked = account.chunks(stream_options={"include_usage": True})
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["total_tokens"] > 0
    assert "usage" not in asked[-2]
    unasked = account.chunks()
    assert unasked[-1]["choices"][0]["finish_reason"] == "stop"
    assert "usage" in unasked[-1]


def test_several_choices_are_interleaved_and_end_one_by_one(make_account):
    account = make_account(tokens_per_chunk=3)
    chunks = account.chunks("Tell me about whales", n=2)
    by_choice = [c["choices"][0]["index"] for c in chunks]
    assert by_choice[:4] == [0, 1, 0, 1]
    assert by_choice[-2:] == [0, 1]
    assert ["usage" in c for c in chunks[-2:]] == [False, True]


def test_a_text_completion_has_the_documented_keys(make_account):
    account = make_account(queue_time_s=0.001)
    body = account.engine.text(
        {"model": "gpt-oss-120b", "prompt": "Count from 1 to 3"}, {}
    ).body
    assert mask(body) == (
        '{"id":"cmpl-ID","choices":[{"finish_reason":"stop","index":0,'
        '"text":"1, 2, 3"}],'
        + HEAD
        % ("gpt-oss-120b", "text_completion")
        + ',"usage":{"total_tokens":10,"completion_tokens":5,'
        '"completion_tokens_details":{"accepted_prediction_tokens":0,'
        '"rejected_prediction_tokens":0,"reasoning_tokens":0},"prompt_tokens":5,'
        '"prompt_tokens_details":{"cached_tokens":0}},'
        + TIMES % ("0.001083333", "0.001666667")
        + "}"
    )


def test_a_streamed_text_completion_has_text_deltas(make_account):
    account = make_account(tokens_per_chunk=100)
    text = mask(account.complete("Count from 1 to 3", stream=True))
    lines = events(text)
    head = HEAD % ("gpt-oss-120b", "text_completion")
    assert lines[0] == (
        '{"id":"cmpl-ID","choices":[{"index":0,"text":"1, 2, 3"}],' + head + "}"
    )
    assert lines[1].startswith(
        '{"id":"cmpl-ID","choices":[{"finish_reason":"stop","index":0,"text":""}],'
        + head
        + ',"usage":{'
    )
    assert lines[2] == "[DONE]"


# ------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        (
            "wrong_api_key",
            401,
            (
                '{"message":"Wrong API Key","type":"invalid_request_error",'
                '"param":"api_key","code":"wrong_api_key"}'
            ),
        ),
        (
            "wrong_api_format",
            400,
            (
                '{"message":"body.store: property \'body.store\' is unsupported",'
                '"type":"invalid_request_error","param":"validation_error",'
                '"code":"wrong_api_format"}'
            ),
        ),
        (
            "model_not_found",
            404,
            (
                '{"message":"Model unknown does not exist or you do not have access to '
                'it.","type":"not_found_error","param":"model","code":"model_not_found"}'
            ),
        ),
        (
            "request_quota_exceeded",
            429,
            (
                '{"message":"Requests per minute limit exceeded - too many requests '
                'sent.","type":"too_many_requests_error","param":"quota",'
                '"code":"request_quota_exceeded"}'
            ),
        ),
        (
            "token_quota_exceeded_day",
            429,
            (
                '{"message":"Tokens per day limit exceeded - too many tokens processed.",'
                '"type":"too_many_tokens_error","param":"quota",'
                '"code":"token_quota_exceeded"}'
            ),
        ),
        (
            "queue_exceeded",
            429,
            (
                '{"message":"We\'re experiencing high traffic right now! Please try again '
                'soon.","type":"too_many_requests_error","param":"queue",'
                '"code":"queue_exceeded"}'
            ),
        ),
        (
            "server_error",
            500,
            (
                '{"status_code":500,"error":{"message":"Encountered a server error, '
                'please try again.","type":"server_error","param":"","code":"","id":""}}'
            ),
        ),
        ("not_authenticated", 403, '{"detail":"Not authenticated"}'),
        (
            "context_length_exceeded",
            400,
            (
                '{"message":"Please reduce the length of the messages or completion. '
                'Current length is 140000 while limit is 131072",'
                '"type":"invalid_request_error","param":"messages",'
                '"code":"context_length_exceeded"}'
            ),
        ),
    ],
)
def test_each_documented_error_has_its_body(code, status, body):
    reply = Reply.from_fault(named_fault(code=code))
    assert (reply.status, reply.body.decode()) == (status, body)


@pytest.mark.parametrize(
    ("code", "retry_after"),
    [
        ("request_quota_exceeded", "12"),
        ("token_quota_exceeded", "12"),
        ("token_quota_exceeded_day", "86399"),
        ("queue_exceeded", None),
        ("server_error", None),
    ],
)
def test_only_quota_refusals_say_when_to_come_back(code, retry_after):
    assert named_fault(code=code).headers.get("retry-after") == retry_after


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429])
def test_every_documented_status_has_a_body_of_its_own(status):
    fault = named_fault(status)
    assert fault.status == status
    assert set(fault.body) & {"message", "detail"}


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_failures_are_wrapped_with_their_status(status):
    body = named_fault(status).body
    assert body["status_code"] == status
    assert set(body["error"]) == {"message", "type", "param", "code", "id"}


def test_an_error_event_wraps_and_tells_the_status():
    event = encode_error_event(named_fault(code="queue_exceeded"))
    assert event == (
        b'data: {"error":{"message":"We\'re experiencing high traffic right now! '
        b'Please try again soon.","type":"too_many_requests_error","param":"queue",'
        b'"code":"queue_exceeded","id":""},"status_code":429}\n\n'
    )
    named = encode_error_event(named_fault(500), named=True)
    assert named.startswith(b'event: error\ndata: {"status_code":500,"error":{')


def test_any_body_can_be_an_error_event():
    assert named_fault(403).event()["error"]["message"] == "Not authenticated"
    told = named_fault(418, body="short and stout").event()
    assert told["error"]["message"] == "short and stout"
    assert told["status_code"] == 418


def test_the_given_parts_replace_those_of_the_documented_error():
    fault = named_fault(
        503, code="queue_exceeded", body={"x": 1}, headers={"Retry-After": "3"}
    )
    assert (fault.status, fault.body) == (503, {"x": 1})
    assert fault.headers == {"retry-after": "3"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "status or a code"),
        ({"code": "nope"}, "Unknown error code 'nope'"),
        ({"status": 200}, "Status 200 is no error status"),
    ],
)
def test_an_unknown_failure_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        named_fault(**arguments)


def test_text_and_bytes_can_stand_for_an_error_body():
    text = Reply.from_fault(named_fault(502, body="<html>Bad gateway</html>"))
    assert text.content_type == "text/plain; charset=utf-8"
    raw = Reply.from_fault(
        named_fault(502, body=b"\xff", headers={"Content-Type": "x/y"})
    )
    assert (raw.body, raw.content_type) == (b"\xff", "x/y")


def test_a_refusal_reads_as_its_fault():
    assert "400" in str(RefusedError(flat(400, "No.")))


# ------------------------------------------------------------------------------ models


def test_the_plain_list_is_short(account):
    profiles = [account.engine.profiles["gpt-oss-120b"]]
    assert json.dumps(
        list_view(profiles, None, public=False), separators=(",", ":")
    ) == (
        '{"object":"list","data":[{"id":"gpt-oss-120b","object":"model","created":0,'
        '"owned_by":"Cerebras"}]}'
    )


def test_the_public_entry_has_the_recorded_keys_in_order(account):
    entry = model_view(account.engine.profiles["gpt-oss-120b"], None, public=True)
    assert list(entry) == [
        "id", "object", "created", "owned_by", "name", "description",
        "hugging_face_id", "pricing", "capabilities", "supported_parameters",
        "architecture", "limits", "datacenter_locations", "deprecated", "preview",
        "quantization",
    ]  # fmt: skip
    assert entry["pricing"] == {"prompt": "0.00000035", "completion": "0.00000075"}
    assert entry["created"] == 1_754_438_400
    assert entry["limits"]["max_context_length"] == 131_072
    assert list(entry["capabilities"]) == [
        "streaming", "function_calling", "structured_outputs", "vision", "json_mode",
        "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning",
    ]  # fmt: skip
    assert entry["capabilities"]["parallel_tool_calls"] is False


def test_the_openrouter_format_has_prices_as_text(account):
    shaped = list_view(
        [account.engine.profiles["qwen-3.8-27b"]], "openrouter", public=False
    )
    assert list(shaped) == ["data"]
    entry = shaped["data"][0]
    assert entry["id"] == "cerebras/qwen-3.8-27b"
    assert entry["pricing"] == {
        "prompt": "0.00000099",
        "completion": "0.00000149",
        "image": "0",
        "request": "0",
        "input_cache_read": "0",
        "input_cache_write": "0",
    }
    assert entry["input_modalities"] == ["text", "image"]


def test_the_huggingface_format_has_prices_as_numbers(account):
    entry = model_view(
        account.engine.profiles["gpt-oss-120b"], "huggingface", public=True
    )
    assert entry["pricing"] == {"input": 0.35, "output": 0.75}
    assert entry["context_length"] == 131_072


def test_a_price_that_is_not_known_is_zero_text(account):
    entry = model_view(account.engine.profiles["glm-5"], None, public=True)
    assert entry["pricing"] == {"prompt": "0", "completion": "0"}


def test_an_unknown_format_of_the_models_list_is_refused(account):
    with pytest.raises(RefusedError) as caught:
        list_view(account.engine.profiles.values(), "xml", public=True)
    assert "query.format: 'xml'" in caught.value.fault.body["message"]
