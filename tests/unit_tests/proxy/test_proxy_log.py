"""One JSON line a request; uvicorn's lines in the same form; no secret in any."""

import io
import json
import logging
import logging.config
import os
import pickle
import re
import sys
import threading
from datetime import UTC, datetime

import pytest
from proxy_exchanges import (
    CLIENT_KEY,
    KEY,
    MODEL,
    answered,
    failed,
    left,
    refused,
    settings,
)

from langchain_cerebras_ext.proxy.log import (
    JsonFormatter,
    RequestLog,
    configure,
    uvicorn_config,
)
from langchain_cerebras_ext.proxy.record import Priced
from langchain_cerebras_ext.proxy.settings import Upstream

FIELDS = [
    "timestamp",
    "level",
    "message",
    "trace_id",
    "request_id",
    "ttft_seconds",
    "total_time_seconds",
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "model",
    "status",
    "error_category",
    "cost_usd",
    "key_id",
    "upstream_id",
]


def write_one(exchange, **fields):
    """Return the bytes that are written for an exchange that was priced."""
    given = settings(**fields)
    Priced(given)(exchange)
    lines = []
    RequestLog(given, lines.append, now=lambda: 1763726400.1239)(exchange)
    assert len(lines) <= 1
    return lines[0] if lines else b""


def line_of(exchange, **fields):
    data = write_one(exchange, **fields)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    return json.loads(data)


# -------------------------------------------------------------------------- the fields


def test_a_line_has_just_the_fields_that_were_promised():
    assert line_of(answered()) == {
        "timestamp": "2025-11-21T12:00:00.123Z",
        "level": "info",
        "message": "POST /v1/chat/completions 200",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "request_id": "req-1",
        "ttft_seconds": 0.05,
        "total_time_seconds": 0.2,
        "total_tokens": 120,
        "prompt_tokens": 20,
        "completion_tokens": 100,
        "model": MODEL,
        "status": 200,
        "error_category": None,
        "cost_usd": 0.000082,
        "key_id": "default",
        "upstream_id": "chatcmpl-1",
    }


@pytest.mark.parametrize(
    "exchange",
    [
        answered(),
        refused(),
        failed("upstream_connection"),
        failed("upstream_server", 500, upstream_status=500),
    ],
    ids=["ok", "refused", "unreached", "failed"],
)
def test_every_line_has_all_fields_in_the_same_order(exchange):
    assert list(line_of(exchange)) == FIELDS


@pytest.mark.parametrize(
    "exchange",
    [left("waiting"), failed("upstream_timeout", 504), answered(usage=None)],
    ids=["left", "failed", "no-usage"],
)
def test_tokens_that_were_estimated_are_told_so(exchange):
    line = line_of(exchange)
    assert list(line) == [*FIELDS, "estimated"]
    assert line["estimated"] is True
    assert line["total_tokens"] > 0


def test_an_upstream_is_told_only_where_it_is_not_the_main_one():
    spare = Upstream(name="spare", base_url="http://127.0.0.1:9/v1")
    by_another = answered(
        upstream="spare", failed_upstreams=[("cerebras", "upstream_server")]
    )
    line = line_of(by_another, fallbacks=(spare,))
    assert list(line) == [*FIELDS, "upstream"]
    assert line["upstream"] == "spare"
    assert list(line_of(answered(), fallbacks=(spare,))) == FIELDS
    assert line_of(answered(), log_level="DEBUG")["upstream"] == "cerebras"


def test_what_could_not_be_read_has_a_line_without_a_path():
    unread = refused("client_timeout", 408, method="", path="")
    assert line_of(unread)["message"] == "408: Send your key."


def test_what_is_not_known_is_null_and_not_zero():
    line = line_of(refused())
    unknown = {name for name, value in line.items() if value is None}
    assert unknown == {
        "ttft_seconds",
        "total_tokens",
        "prompt_tokens",
        "completion_tokens",
        "model",
        "cost_usd",
        "key_id",
        "upstream_id",
    }


def test_the_cost_is_written_exactly():
    assert b'"cost_usd":0.000082,' in write_one(answered())
    tiny = answered(
        usage={"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
    )
    assert b'"cost_usd":0.00000035,' in write_one(tiny)


def test_the_time_is_that_of_the_end_to_the_millisecond():
    lines = []
    moment = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC).timestamp()
    log = RequestLog(settings(), lines.append, now=lambda: moment)
    log(answered())
    assert json.loads(lines[0])["timestamp"] == "2026-12-31T23:59:59.999Z"


def test_an_id_of_the_callers_own_is_kept():
    assert line_of(answered(trace_id="trace-abc.1"))["trace_id"] == "trace-abc.1"


def test_what_the_client_asked_for_stands_in_where_nothing_was_sent():
    seen = refused("model_not_allowed", 404, model_asked="gpt-99")
    assert line_of(seen)["model"] == "gpt-99"


# -------------------------------------------------------------------------- the levels


@pytest.mark.parametrize(
    ("exchange", "level", "message"),
    [
        (answered(), "info", "POST /v1/chat/completions 200"),
        (
            left("before_first_token"),
            "info",
            "POST /v1/chat/completions 200: the client left (before_first_token)",
        ),
        (refused(), "warning", "POST /v1/chat/completions 401: Send your key."),
        (
            failed("upstream_rate_limit", 429),
            "warning",
            "POST /v1/chat/completions 429: The upstream has failed.",
        ),
        (
            failed("upstream_server", 502, error_message=None),
            "error",
            "POST /v1/chat/completions 502: upstream_server",
        ),
        (
            failed("upstream_interrupted", 200),
            "error",
            "POST /v1/chat/completions 200: The upstream has failed.",
        ),
        (
            failed("internal", 500),
            "error",
            "POST /v1/chat/completions 500: The upstream has failed.",
        ),
    ],
    ids=["ok", "left", "refused", "429", "502", "broken-stream", "internal"],
)
def test_the_level_says_who_has_to_look(exchange, level, message):
    line = line_of(exchange)
    assert (line["level"], line["message"]) == (level, message)


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("DEBUG", 3),
        ("INFO", 3),
        ("WARNING", 2),
        ("ERROR", 1),
        ("CRITICAL", 0),
    ],
)
def test_log_level_is_obeyed(asked, written):
    lines = []
    log = RequestLog(settings(log_level=asked), lines.append)
    for exchange in (answered(), refused(), failed("upstream_server", 502)):
        log(exchange)
    assert len(lines) == written


def test_debug_tells_all_that_is_known():
    seen = answered(
        failed_upstreams=[("eu", "upstream_timeout")],
        sunset=("2026-12-01", "gpt-oss-120b"),
        rate_limits={"remaining-requests-day": "7"},
        model_asked="fast",
    )
    line = line_of(seen, log_level="DEBUG")
    assert list(line)[: len(FIELDS)] == FIELDS
    assert line["model_asked"] == "fast"
    assert line["failed_upstreams"] == [["eu", "upstream_timeout"]]
    assert (line["sunset"], line["successor"]) == ("2026-12-01", "gpt-oss-120b")
    assert line["rate_limits"] == {"remaining-requests-day": "7"}
    assert (line["cached_tokens"], line["reasoning_tokens"]) == (5, 30)
    assert line["outcome"] == "ok"
    assert "request_body" not in line


# ---------------------------------------------------------------- content and secrets

TALK = {"request_body": b'{"messages": "What is the sea?"}', "response_body": "Water."}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, False),
        ({"log_level": "DEBUG"}, False),
        ({"log_content": True}, False),
        ({"log_content": True, "log_level": "DEBUG"}, True),
    ],
    ids=["info", "debug", "content-at-info", "content-at-debug"],
)
def test_prompts_and_answers_are_shown_only_where_both_are_asked_for(fields, shown):
    data = write_one(answered(detail=dict(TALK)), **fields)
    assert (b"the sea" in data) is shown
    assert (b"Water" in data) is shown


def test_content_is_cut_and_may_be_any_bytes():
    seen = answered(detail={"request_body": b"\xff\xfe" + b"x" * 200_000})
    line = line_of(seen, log_content=True, log_level="DEBUG")
    assert line["request_body"].startswith("\ufffd\ufffdxxx")
    assert len(line["request_body"]) == 64 * 1024
    assert "response_body" not in line


@pytest.mark.parametrize("secret", [KEY, CLIENT_KEY, "spare-key-000001", "csk-abc123"])
@pytest.mark.parametrize(
    "field", ["error_message", "model", "upstream_id", "trace_id", "path"]
)
def test_no_secret_is_in_any_field(field, secret):
    spare = Upstream(
        name="spare", base_url="http://127.0.0.1:9/v1", api_key="spare-key-000001"
    )
    seen = failed("upstream_server", 502, **{field: f"see {secret} there"})
    for level in ("INFO", "DEBUG"):
        data = write_one(seen, log_level=level, fallbacks=(spare,))
        assert secret.encode() not in data
        assert b"*** there" in data
        line = json.loads(data)
        assert list(line)[: len(FIELDS)] == FIELDS
        assert line["cost_usd"] is not None or line["total_tokens"] is not None


def test_a_bearer_token_in_any_case_is_hidden():
    seen = refused(error_message='He sent "AUTHORIZATION: BEARER abcdefghijkl".')
    assert b"abcdefghijkl" not in write_one(seen)


def test_a_short_key_does_not_spoil_the_lines():
    # Open to anybody who guesses it, but no reason to write `st***us`.
    assert list(line_of(answered(), api_key="model")) == FIELDS
    line = line_of(answered(), api_key="completion_tokens")
    assert list(line) == FIELDS
    assert line["completion_tokens"] == 100


def test_half_a_character_and_control_characters_are_no_trouble():
    line = line_of(failed("upstream_server", error_message="a\ud800b\n\x00c\u2028"))
    assert line["message"].endswith("a?b\n\x00c\u2028")
    assert line["cost_usd"] == 0 or line["cost_usd"] > 0


def test_long_texts_are_cut():
    line = line_of(refused(error_message="x" * 10_000, model_asked="m" * 10_000))
    assert len(line["message"]) < 600
    assert len(line["model"]) < 600


# --------------------------------------------------------------------- where lines go


def test_lines_go_to_standard_output_whole(capfd):
    log = RequestLog(settings())
    for _ in range(3):
        log(answered())
    out, err = capfd.readouterr()
    assert [json.loads(line)["status"] for line in out.splitlines()] == [200] * 3
    assert err == ""


def test_a_stand_in_for_standard_output_gets_text(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    RequestLog(settings())(answered())
    assert json.loads(sys.stdout.getvalue())["status"] == 200


def test_a_reader_that_has_gone_breaks_no_request(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        RequestLog(settings())(answered())
    RequestLog(settings())(answered())  # closed by now
    monkeypatch.setattr(sys, "stdout", None)
    RequestLog(settings())(answered())


def test_a_pipe_that_is_full_and_does_not_wait_is_waited_for(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    seen = bytearray()

    def read():
        while data := os.read(reading, 4096):
            seen.extend(data)

    thread = threading.Thread(target=read)
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        log = RequestLog(settings(log_level="DEBUG", log_content=True))
        full = answered(detail={"request_body": "x" * 60_000})
        for number in range(5):
            if number == 1:
                thread.start()
            log(full)
    thread.join()
    os.close(reading)
    lines = [json.loads(line) for line in seen.splitlines()]
    assert [len(line["request_body"]) for line in lines] == [60_000] * 5


# --------------------------------------------------------------------- other loggers


@pytest.fixture
def loggers():
    """Put loggers back as they were."""
    names = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"]
    names += ["asyncio", "aiohttp", "langchain_cerebras_ext"]
    found = [logging.getLogger(name) for name in names]
    kept = [(one, one.handlers[:], one.level, one.propagate) for one in found]
    yield
    for one, handlers, level, propagate in kept:
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate = propagate


def a_record(message, *args, **fields):
    made = logging.makeLogRecord(
        {"name": "uvicorn.error", "levelname": "INFO", "msg": message, "args": args}
    )
    made.__dict__.update({"created": 1763726400.5, **fields})
    return made


def test_other_lines_have_the_same_form():
    line = json.loads(JsonFormatter().format(a_record("Started [%d]", 7)))
    assert line == {
        "timestamp": "2025-11-21T12:00:00.500Z",
        "level": "info",
        "message": "Started [7]",
        "logger": "uvicorn.error",
    }


def test_a_traceback_is_part_of_its_line_and_masked():
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        info = sys.exc_info()
    text = JsonFormatter([KEY]).format(a_record("broken", exc_info=info))
    assert "\n" not in text
    line = json.loads(text)
    assert "ValueError: bad key ***" in line["exception"]
    assert KEY not in text


def test_uvicorns_own_handlers_get_the_form_and_the_level(loggers):
    from uvicorn.config import LOGGING_CONFIG

    logging.config.dictConfig(LOGGING_CONFIG)
    stream = io.StringIO()
    server = logging.getLogger("uvicorn")
    server.handlers[0].setStream(stream)
    access = logging.getLogger("uvicorn.access")
    access.handlers[0].setStream(stream)
    configure(settings(log_level="WARNING"))
    logging.getLogger("uvicorn.error").info("Started server process [7]")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    access.info('%s - "%s"', "127.0.0.1:5", "GET / HTTP/1.1")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["Invalid HTTP request received."]
    assert lines[0]["level"] == "warning"


def test_our_own_lines_are_shown_where_nobody_else_does(loggers, capfd):
    root = logging.getLogger()
    for name in ("", "langchain_cerebras_ext", "asyncio"):
        logging.getLogger(name).handlers[:] = []
    ours = logging.getLogger("langchain_cerebras_ext.proxy")
    configure(settings())
    configure(settings())  # a second app in the process
    ours.info("in use: %s", CLIENT_KEY)
    logging.getLogger("asyncio").warning("slow callback")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["in use: ***", "slow callback"]
    # Whoever shows lines already goes on to, and only that.
    logging.getLogger("langchain_cerebras_ext").handlers[:] = []
    stream = io.StringIO()
    root.addHandler(logging.StreamHandler(stream))
    configure(settings())
    ours.warning("once")
    assert stream.getvalue() == "once\n"
    assert capfd.readouterr().out == ""


def test_uvicorn_takes_the_configuration(loggers, capfd):
    import uvicorn

    given = uvicorn_config(settings(log_level="WARNING"))
    uvicorn.Config("nowhere:app", log_config=given, access_log=False)
    logging.getLogger("uvicorn.error").error("bound: %s", KEY)
    logging.getLogger("uvicorn.error").info("not asked for")
    logging.getLogger("langchain_cerebras_ext.proxy").warning("ours")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["bound: ***", "ours"]


def test_the_configuration_goes_to_workers_and_shows_no_key():
    given = uvicorn_config(settings())
    assert pickle.loads(pickle.dumps(given)).keys() == given.keys()
    assert not re.search(f"{KEY}|{CLIENT_KEY}", repr(given))
