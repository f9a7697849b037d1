"""The ids of a request: made here, or continued from the caller's."""

import re

import pytest

from langchain_cerebras_ext.proxy.trace import begin, traceparent

W3C = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def scope(path="/v1/chat/completions", **headers):
    pairs = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in headers.items()
    ]
    return {"type": "http", "method": "POST", "path": path, "headers": pairs}


def test_a_request_without_ids_gets_ids_of_its_own():
    first, second = begin(scope()), begin(scope())
    assert re.fullmatch(r"req-[0-9a-f]{32}", first.request_id)
    assert re.fullmatch(r"[0-9a-f]{32}", first.trace_id)
    assert re.fullmatch(r"[0-9a-f]{16}", first.span_id)
    assert first.parent_span_id is None
    for name in ("request_id", "trace_id", "span_id"):
        assert getattr(first, name) != getattr(second, name)
    expected = f"00-{first.trace_id}-{first.span_id}-00".encode()
    assert traceparent(first) == expected


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_goes_on_with_a_span_of_ours(flags):
    made = begin(scope(traceparent=f"00-{W3C}-{SPAN}-{flags}"))
    assert made.trace_id == W3C
    assert made.parent_span_id == SPAN
    assert made.span_id != SPAN
    assert traceparent(made) == f"00-{W3C}-{made.span_id}-{flags}".encode()


def test_of_the_flags_only_the_defined_one_is_passed_on():
    made = begin(scope(traceparent=f"00-{W3C}-{SPAN}-ff"))
    assert traceparent(made).endswith(b"-01")


def test_a_later_version_is_read_as_far_as_it_is_known():
    made = begin(scope(traceparent=f"42-{W3C}-{SPAN}-01-more"))
    assert made.trace_id == W3C


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{W3C}-{SPAN}",
        f"00-{W3C.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{W3C}-{'0' * 16}-01",
        f"ff-{W3C}-{SPAN}-01",
        f"00-{W3C}-{SPAN}-01-more",
        f"01-{W3C}-{SPAN}-01more",
        f"00-{W3C}-{SPAN}-0g",
        "x" * 10_000,
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(value):
    made = begin(scope(traceparent=value))
    assert re.fullmatch(r"[0-9a-f]{32}", made.trace_id)
    assert made.trace_id not in {W3C, "0" * 32}
    assert made.parent_span_id is None


@pytest.mark.parametrize("header", ["x_trace_id", "x_request_id"])
def test_a_trace_id_of_the_callers_own_is_kept(header):
    made = begin(scope(**{header: "trace-abc.7:Z_9"}))
    assert made.trace_id == "trace-abc.7:Z_9"
    sent = traceparent(made).decode()
    assert re.fullmatch(rf"00-[0-9a-f]{{32}}-{made.span_id}-00", sent)


def test_beside_an_id_of_the_callers_own_the_w3c_trace_goes_on_upstream():
    made = begin(scope(x_trace_id="trace-1", traceparent=f"00-{W3C}-{SPAN}-01"))
    assert made.trace_id == "trace-1"
    assert made.parent_span_id == SPAN
    assert traceparent(made) == f"00-{W3C}-{made.span_id}-01".encode()


@pytest.mark.parametrize(
    "value",
    ["trace-", "trace-a b", "trace-a\nb", 'trace-"', "other-1", "trace-" + "x" * 123],
    ids=["empty", "blank", "break", "quote", "foreign", "long"],
)
def test_an_id_that_could_harm_a_log_is_not_kept(value):
    assert re.fullmatch(r"[0-9a-f]{32}", begin(scope(x_trace_id=value)).trace_id)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/models", "models"),
        ("/v1/models/gpt-oss-120b", "models"),
        ("/v1/modelsx", "other"),
        ("/v1/embeddings", "other"),
    ],
)
def test_the_path_says_what_is_asked(path, operation):
    made = begin(scope(path))
    assert (made.path, made.operation, made.method) == (path, operation, "POST")


def test_the_time_is_aware_and_a_mapping_of_headers_is_taken():
    made = begin(scope(), {b"x-trace-id": b"trace-7"})
    assert made.trace_id == "trace-7"
    assert made.started_at.utcoffset().total_seconds() == 0
    assert made.began > 0
