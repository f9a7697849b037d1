"""Whatever an upstream says when it fails, OpenAI's clients can read it."""

from __future__ import annotations

import json
from typing import get_args

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.proxy.envelopes import (
    MAX_CHARS,
    category,
    stream_error,
    to_openai,
)
from langchain_cerebras_ext.proxy.exchange import ErrorCategory

# The machine may be busy with other tests.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEY = "csk-" + "upstream0123456789abcdef"


def error_of(status: int, body: object) -> dict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    told, facts = to_openai(status, raw)
    error = json.loads(told)["error"]
    assert facts.message == error["message"][:MAX_CHARS]
    assert (facts.type, facts.param, facts.code) == (
        error["type"],
        error["param"],
        error["code"],
    )
    return error


# ----------------------------------------------------------------------- Cerebras's own


def test_the_flat_shape_is_put_into_the_envelope_and_stays_beside_it() -> None:
    flat = {
        "message": "Model x does not exist or you do not have access to it.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert json.loads(to_openai(404, json.dumps(flat).encode())[0]) == {
        "error": flat,
        **flat,
    }


def test_the_shape_with_a_status_keeps_what_it_has() -> None:
    inner = {
        "message": "Encountered a server error, please try again.",
        "type": "server_error",
        "param": "",
        "code": "",
        "id": "",
    }
    told = to_openai(500, json.dumps({"status_code": 500, "error": inner}).encode())[0]
    assert json.loads(told) == {
        "error": {**inner, "param": None, "code": None},
        "status_code": 500,
        "message": inner["message"],
        "type": "server_error",
        "param": "",
        "code": "",
    }


def test_a_detail_is_the_message() -> None:
    error = error_of(403, {"detail": "Not authenticated"})
    assert error["message"] == "Not authenticated"
    assert (error["type"], error["code"]) == ("permission_error", None)


def test_details_of_a_validation_are_told_with_their_places() -> None:
    detail = [
        {"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"},
        {"loc": ["body", "n"], "msg": "too large"},
        "and more",
        5,
    ]
    error = error_of(422, {"detail": detail})
    assert error["message"] == (
        "body.messages.0: Field required; body.n: too large; and more"
    )
    assert error["detail"] == detail


# ---------------------------------------------------------------------------- of others


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":{"message":"m","type":"t","param":null,"code":null}}',
        b'{ "error" : {"code":"c","message":"m","param":"p","type":"t","x":[1]},"y":2}\n',
        '{"error":{"message":"é😀","type":"t","param":null,"code":"c"}}'.encode(),
    ],
)
def test_what_is_in_the_envelope_is_not_touched(raw: bytes) -> None:
    told, facts = to_openai(400, raw)
    assert told is raw
    assert facts.message == json.loads(raw)["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "it broke"}, "it broke"),
        ({"error": {"message": "only this"}}, "only this"),
        ({"error": {"message": "m", "code": 1000, "type": ""}}, "m"),
        ({"error": "invalid", "error_description": "the cause"}, "the cause"),
        ({"title": "Bad Gateway", "status": 502}, "Bad Gateway"),
        ({"title": "T", "detail": "the detail"}, "the detail"),
        ({"msg": "in short"}, "in short"),
        ({"message": 5, "detail": "text"}, "text"),
        ({"errors": [{"message": "inner"}]}, '{"errors":[{"message":"inner"}]}'),
        (["a", "b"], '["a","b"]'),
        ("a text", "a text"),
        (5, "5"),
        (None, "null"),
    ],
    ids=str,
)
def test_other_json_is_read_as_well_as_it_goes(body: object, message: str) -> None:
    error = error_of(500, body)
    assert error["message"] == message
    assert error["type"] == "server_error"
    assert list(error)[:4] == ["message", "type", "param", "code"]


def test_a_code_is_a_text() -> None:
    assert error_of(500, {"error": {"message": "m", "code": 1000}})["code"] == "1000"
    assert error_of(500, {"message": "m", "code": True})["code"] is None


PAGE = b"""<!DOCTYPE html><html><head><title>api.example | 502: Bad &amp; gateway</title>
<style>body {color: red}</style></head><body><h1>Oh no</h1></body></html>"""


def test_of_a_page_the_title_is_told() -> None:
    assert error_of(502, PAGE)["message"] == "api.example | 502: Bad & gateway"


def test_of_a_page_without_a_title_the_text_is_told() -> None:
    page = b"<html><script>let x = 1 < 2;</script><p>Sorry,\n we are <b>down</b></p>"
    assert error_of(503, page)["message"] == "Sorry, we are down"


def test_markup_without_end_costs_no_time() -> None:
    for page in (b"<" * 60_000, b"<script>" * 9000, b"<title" * 9000, b"<a " * 20_000):
        assert len(error_of(500, page)["message"]) <= MAX_CHARS


def test_plain_text_is_told_on_one_line() -> None:
    error = error_of(503, b"upstream connect error\r\n or\tdisconnect \x1b[31m\x00")
    assert error["message"] == "upstream connect error or disconnect [31m"


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}", b"[]", b"<html></html>", b'""'])
def test_where_nothing_is_said_the_status_is(raw: bytes) -> None:
    assert error_of(503, raw)["message"] == (
        "The upstream answered 503 (Service Unavailable) and said nothing more."
    )
    assert "answered 599 and" in error_of(599, raw)["message"]


def test_a_long_page_is_cut_and_a_long_message_is_not() -> None:
    assert len(error_of(500, b"x" * 500_000)["message"]) == MAX_CHARS
    assert len(error_of(400, {"message": "x" * 5000})["message"]) == 5000
    whole = {"message": "x" * 5000, "type": "t", "param": None, "code": None}
    assert len(error_of(400, {"error": whole})["message"]) == 5000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_a_type_is_found_by_the_status(status: int, kind: str) -> None:
    assert error_of(status, b"")["type"] == kind


@settings(LAW, max_examples=100)
@given(
    st.integers(400, 599),
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "message",
                        "type",
                        "param",
                        "code",
                        "detail",
                        "loc",
                        "msg",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_anything_becomes_an_envelope(status: int, raw: bytes) -> None:
    told, facts = to_openai(status, raw)
    error = json.loads(told)["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    for name in ("param", "code"):
        assert error[name] is None or isinstance(error[name], str)
    assert category(status, facts.code) in get_args(ErrorCategory)
    assert to_openai(status, told)[0] == told, "what is in the envelope stays"


# ------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "body",
    [
        {"message": f"Key {KEY} is wrong", "type": "t", "param": None, "code": None},
        {"error": {"message": KEY, "type": "t", "param": None, "code": None}},
        {"detail": [{"loc": [KEY], "msg": f"Bearer {KEY}"}]},
        {"error": {"message": "m", "type": "t", "param": None, "code": None, KEY: 1}},
        f"<title>{KEY}</title>",
    ],
    ids=["flat", "whole", "detail", "name", "page"],
)
def test_no_key_comes_down(body) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told, facts = to_openai(401, raw)
    assert KEY.encode() not in told
    assert b"upstream0123456789abcdef" not in told
    assert KEY not in str(facts)
    json.loads(told)


def test_a_key_that_does_not_look_like_one_is_masked_where_it_is_known() -> None:
    told = to_openai(
        401, b'{"message":"not 0123456789 abc"}', secrets=("0123456789 abc",)
    )
    assert b"0123456789" not in told[0]
    assert "***" in told[1].message


def test_no_key_is_none() -> None:
    assert to_openai(401, b'{"message":"m"}', secrets=(None, ""))[1].message == "m"


# --------------------------------------------------------------------------- categories


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, None, "upstream_bad_request"),
        (400, "context_length_exceeded", "upstream_bad_request"),
        (400, "wrong_api_key", "upstream_auth"),
        (401, "wrong_api_key", "upstream_auth"),
        (402, None, "upstream_auth"),
        (403, None, "upstream_auth"),
        (404, "model_not_found", "upstream_not_found"),
        (404, None, "upstream_not_found"),
        (408, None, "upstream_timeout"),
        (413, None, "upstream_bad_request"),
        (422, None, "upstream_bad_request"),
        (429, "queue_exceeded", "upstream_rate_limit"),
        (429, "anything", "upstream_rate_limit"),
        (500, "", "upstream_server"),
        (502, None, "upstream_server"),
        (503, "queue_exceeded", "upstream_rate_limit"),
        (504, None, "upstream_timeout"),
        (522, None, "upstream_connection"),
        (524, None, "upstream_timeout"),
        (302, None, "upstream_invalid_answer"),
    ],
)
def test_an_error_has_a_class(status: int, code: str | None, expected: str) -> None:
    assert category(status, code) == expected


# ------------------------------------------------------------------------------ streams


def test_an_error_of_a_stream_is_one_event() -> None:
    event = stream_error("It broke\noff.", code="upstream_interrupted")
    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert json.loads(event[6:])["error"] == {
        "message": "It broke\noff.",
        "type": "server_error",
        "param": None,
        "code": "upstream_interrupted",
    }
    cut = stream_error("x", code="c", type="t", param="p", amid_event=True)
    assert cut.startswith(b"\n\ndata: ")
    assert json.loads(cut[8:])["error"] == {
        "message": "x",
        "type": "t",
        "param": "p",
        "code": "c",
    }
    assert KEY.encode() not in stream_error(f"with {KEY}", code="c")


def test_openais_own_client_raises_it() -> None:
    """Read by the package that most people use, from the bytes as they are."""
    import httpx2

    event = stream_error("It broke off.", code="upstream_interrupted")

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=event
        )

    with openai.OpenAI(
        api_key="k",
        base_url="http://127.0.0.1:9/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="It broke off"):
            list(stream)
