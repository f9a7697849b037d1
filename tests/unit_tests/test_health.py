"""A health check reports what it finds, spends nothing unasked, and never raises."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from wire_server import CUT, DONE, RESET, Request, WireServer, event, head, plain, sse

from langchain_cerebras_ext import ChatCerebras, health
from langchain_cerebras_ext.catalog import Notice
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.health import (
    HeadRoom,
    HealthCheck,
    HealthReport,
    RetirementNotice,
    ahealth_check,
    health_check,
)
from langchain_cerebras_ext.llms import CerebrasLLM

KEY = "csk-" + "k1" * 20
MODEL = "gpt-oss-120b"
TODAY = date(2026, 11, 21)
LIMITS = {
    "x-ratelimit-limit-requests-day": "14400",
    "x-ratelimit-limit-tokens-minute": "60000",
    "x-ratelimit-remaining-requests-day": "14399",
    "x-ratelimit-remaining-tokens-minute": "59000",
    "x-ratelimit-reset-requests-day": "33011.4",
    "x-ratelimit-reset-tokens-minute": "11.4",
}

Check = Callable[..., HealthReport]
Reply = Callable[[Request], Iterable[bytes]]


def _check_async(model: Any, **options: Any) -> HealthReport:
    async def go() -> HealthReport:
        try:
            return await ahealth_check(model, **options)
        finally:
            await model.aclose()

    return asyncio.run(go())


@pytest.fixture(params=["sync", "async"])
def check(request: pytest.FixtureRequest) -> Check:
    """Either function; both must say the same."""
    return health_check if request.param == "sync" else _check_async


def listing(*models: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with a list of models."""
    rows = [{"id": name, "object": "model", "created": 0} for name in models]
    return lambda request: plain({"object": "list", "data": rows}, 200, headers)


def says(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    return lambda request: plain(body, status, headers)


def html(status: int = 200) -> Reply:
    page = b"<html><body><h1>Hello</h1></body></html>"
    return says(page, status, {"content-type": "text/html"})


def not_found(model: str = MODEL) -> Reply:
    said = f"Model {model} does not exist or you do not have access to it."
    return says(
        {
            "message": said,
            "type": "not_found_error",
            "param": "model",
            "code": "model_not_found",
        },
        404,
    )


WRONG_KEY = says(
    {
        "message": "Wrong API Key",
        "type": "invalid_request_error",
        "param": "api_key",
        "code": "wrong_api_key",
    },
    401,
)
NOT_AUTHENTICATED = says({"detail": "Not authenticated"}, 403)
NOT_THERE = says({"detail": "Not Found"}, 404)


def chunk(**more: Any) -> bytes:
    base = {
        "id": "chatcmpl-1",
        "created": 1790000000,
        "model": MODEL,
        "object": "chat.completion.chunk",
    }
    return event(base | more)


CHUNKS = [
    chunk(choices=[{"index": 0, "delta": {"role": "assistant"}}]),
    chunk(choices=[{"index": 0, "delta": {"reasoning": "One"}}]),
    chunk(
        choices=[{"index": 0, "delta": {}, "finish_reason": "length"}],
        usage={"prompt_tokens": 70, "completion_tokens": 16, "total_tokens": 86},
        time_info={"completion_time": 0.008, "total_time": 0.01},
    ),
    DONE,
]


def streamed(headers: Mapping[str, str] | None = None) -> Reply:
    return lambda request: sse(CHUNKS, headers=headers)


class Service:
    """Answers each path as told; a model list behind a key unless told otherwise."""

    def __init__(
        self,
        models: Reply | None = None,
        *,
        keyless: Reply | None = NOT_AUTHENTICATED,
        **routes: Reply,
    ) -> None:
        self.models = models or listing(MODEL, "qwen-3.8-27b", headers=LIMITS)
        self.keyless = keyless
        self.routes = {"tcp_warming": says({"status": "ok"})} | routes

    def __call__(self, request: Request) -> Iterable[bytes]:
        path = request.path.partition("?")[0].removeprefix("/v1/")
        if path == "models":
            has_key = "authorization" in request.headers
            return (self.models if has_key or not self.keyless else self.keyless)(
                request
            )
        name = path.replace("/", "_").replace("-", "_").replace(".", "_")
        return self.routes.get(name, NOT_THERE)(request)


def model_on(server: WireServer, **options: Any) -> ChatCerebras:
    return ChatCerebras(**{"base_url": server.url, "api_key": KEY, **options})


def statuses(report: HealthReport) -> dict[str, str]:
    return {each.name: each.status for each in report.checks}


def found(report: HealthReport, name: str) -> HealthCheck:
    return next(each for each in report.checks if each.name == name)


def run(check: Check, service: Service, **options: Any) -> tuple[HealthReport, Any]:
    """Check a service; return the report, and the requests that it was sent."""
    asked = {k: options.pop(k) for k in ("deep", "timeout", "today") if k in options}
    with WireServer(service) as server:
        with model_on(server, **options) as model:
            report = check(model, **asked)
        return report, server.requests


# ----------------------------------------------------------------------- all is well


def test_a_healthy_service_is_reported_with_all_that_it_told(check: Check) -> None:
    report, requests = run(check, Service())
    assert report.ok
    assert report.verdict == "healthy"
    assert report.model == MODEL
    assert report.base_url.startswith("http://127.0.0.1:")
    assert (report.reachable, report.key_valid, report.model_served) == (True,) * 3
    assert report.suggestions == ()
    assert report.deep is None
    assert report.rate_limits == (
        HeadRoom("requests-day", 14400, 14399, 33011.4),
        HeadRoom("tokens-minute", 60000, 59000, 11.4),
    )
    assert set(statuses(report).values()) == {"ok"}
    assert report.latency_s is not None
    assert report.first_request_s is not None
    assert 0 < report.latency_s < 5
    assert {request.method for request in requests} == {"GET"}  # nothing was spent


def test_the_first_request_opens_the_connection_and_holds_no_key(check: Check) -> None:
    with WireServer(Service()) as server, model_on(server) as model:
        check(model)
        first, second, third = server.requests
    assert (first.path, second.path) == ("/v1/tcp_warming", "/v1/models")
    assert KEY not in str(first.headers)
    assert second.headers["authorization"] == f"Bearer {KEY}"
    assert third.path == "/v1/models"  # does the server look at keys at all?
    assert KEY not in str(third.headers)
    assert server.connections == 1


def test_the_models_own_headers_query_and_version_are_used(check: Check) -> None:
    _, requests = run(
        check,
        Service(),
        default_headers={"x-team": "red", "x-secret-token": "t0p"},
        default_query={"tenant": "7"},
        api_version_patch=2,
    )
    first, second, _ = requests
    assert second.path == "/v1/models?tenant=7"
    assert second.headers["x-team"] == "red"
    assert second.headers["x-secret-token"] == "t0p"
    assert second.headers["x-cerebras-version-patch"] == "2"
    assert "x-secret-token" not in first.headers


def test_on_the_public_service_its_answer_proves_the_key() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"data": [{"id": MODEL}]}, headers=LIMITS)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        report = health_check(ChatCerebras(api_key=KEY, http_client=client))
    assert report.key_valid is True
    assert [str(each.url) for each in asked] == [
        "https://api.cerebras.ai/v1/tcp_warming",
        "https://api.cerebras.ai/v1/models",
    ]


def test_the_public_service_is_sent_nothing_that_it_does_not_need() -> None:
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent.append(json.loads(request.content))
            body = b"".join(CHUNKS)
            kind = {"content-type": "text/event-stream"}
            return httpx.Response(200, content=body, headers=kind)
        return httpx.Response(200, json={"data": [{"id": MODEL}]})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        report = health_check(ChatCerebras(api_key=KEY, http_client=client), deep=True)
    assert report.deep is not None
    assert report.deep.total_tokens == 86
    assert set(sent[0]) == {"model", "messages", "max_completion_tokens", "stream"}


# -------------------------------------------------------------- services that are odd

ODD: list[Any] = []


def odd(name: str, service: Service, text: str, /, **expected: Any) -> None:
    """Add a row: a service, words that its failure holds, and what is found."""
    ODD.append(pytest.param(service, text, expected, id=name))


ECHO = says(
    {"message": f"Key {KEY} is wrong", "code": "wrong_api_key", "param": "api_key"}, 401
)
odd("wrong key", Service(WRONG_KEY), "Wrong API Key", failed=["key"], key=False)
odd(
    "not authenticated",
    Service(NOT_AUTHENTICATED),
    "Not authenticated",
    failed=["key"],
    key=False,
)
odd(
    "a key that is echoed", Service(ECHO), "Key *** is wrong", failed=["key"], key=False
)
odd(
    "not allowed",
    Service(says({"message": "Forbidden"}, 403)),
    "may not do this",
    failed=["key"],
)
odd(
    "a firewall's page",
    Service(html(403)),
    "403",
    failed=["key"],
)
odd(
    "not paid",
    Service(says({"message": "Pay"}, 402)),
    "billing",
    failed=["service", "key"],
)
odd(
    "server error",
    Service(
        says({"status_code": 500, "error": {"message": "Encountered an error"}}, 500)
    ),
    "Cerebras answered 500",
    failed=["service"],
)
odd("gateway error", Service(html(502)), "502", failed=["service"])
odd("unavailable", Service(says(b"", 503)), "503", failed=["service"])
odd(
    "rate limited",
    Service(
        says(
            {
                "message": "Requests per minute limit exceeded - too many requests sent.",
                "type": "too_many_requests_error",
                "param": "quota",
                "code": "request_quota_exceeded",
            },
            429,
            {**LIMITS, "retry-after": "7"},
        )
    ),
    "Requests per minute limit exceeded",
    failed=["service"],
    rooms=2,
)
odd("an HTML page", Service(html()), "text/html", failed=["service"])
odd("an empty body", Service(says(b"")), "no list of models", failed=["service"])
odd("a number", Service(says(b"7")), "no list of models", failed=["service"])
odd(
    "data that is no list",
    Service(says({"data": {"id": MODEL}})),
    "no list of models",
    failed=["service"],
)
odd(
    "rows without ids",
    Service(says({"data": [{"name": MODEL}, 7, None]})),
    "no list of models",
    failed=["service"],
)
odd(
    "too deeply nested",
    Service(says(b"[" * 100_000)),
    "no list of models",
    failed=["service"],
)
odd("not UTF-8", Service(says(b"\xff\xfe{}")), "no list of models", failed=["service"])
odd(
    "a flat error in a 200",
    Service(says({"message": "Wrong API Key", "code": "wrong_api_key", "status": 401})),
    "Wrong API Key",
    failed=["key"],
    key=False,
)
odd(
    "a wrapped error in a 200",
    Service(says({"error": {"message": "Boom"}, "status_code": 503})),
    "Boom",
    failed=["service"],
)
odd(
    "a redirect",
    Service(says(b"", 301, {"location": "https://elsewhere.example/v1/models"})),
    "a redirect to https://elsewhere.example",
    failed=["service"],
)
odd(
    "longer than any list",
    Service(says({"data": [{"id": "x" * 100}] * 50_000})),
    "longer than",
    failed=["service"],
)
odd(
    "cut off",
    Service(
        lambda request: iter([head(200, {"content-length": "99"}), b'{"data', CUT])
    ),
    "The call to",
    failed=["service"],
)
odd(
    "reset",
    Service(lambda request: iter([RESET])),
    "The call to",
    failed=["service"],
    sent_again=True,
)
odd(
    "no list: 404",
    Service(NOT_THERE),
    "has no GET /v1/models (it answered 404)",
    warned=["service"],
)
odd(
    "no list: 405",
    Service(says({"detail": "Method Not Allowed"}, 405)),
    "has no GET /v1/models (it answered 405)",
    warned=["service"],
)
odd(
    "no list: a page",
    Service(html(404)),
    "has no GET /v1/models",
    warned=["service"],
)
odd(
    "a server that looks at no key",
    Service(keyless=None),
    "the server accepts any key",
    served=True,
    rooms=2,
)
odd(
    "a server with an open list that is broken without a key",
    Service(keyless=lambda request: iter([RESET])),
    "the server accepts any key",
    served=True,
    rooms=2,
)
odd(
    "no rate headers",
    Service(listing(MODEL)),
    "sent no x-ratelimit headers",
    key=True,
    served=True,
)
odd(
    "an empty list",
    Service(listing()),
    "not among the models that are served here (0)",
    failed=["model"],
    key=True,
    served=False,
)
odd(
    "null for an empty list",
    Service(says({"object": "list", "data": None})),
    "not among the models that are served here (0)",
    failed=["model"],
    key=True,
    served=False,
)
odd(
    "another model",
    Service(listing("qwen-3.8-27b", "own-model")),
    "not among the models that are served here (2)",
    failed=["model"],
    key=True,
    served=False,
)
odd(
    "rows that cannot be read beside one that can",
    Service(says({"data": [{"id": 7}, {"id": "a\x1b[2Jb"}, {"id": MODEL}]})),
    "is served",
    key=True,
    served=True,
)
odd(
    "a model that is not listed but known",
    Service(listing("other"), models_gpt_oss_120b=says({"id": MODEL})),
    "is not listed, but it is served",
    key=True,
    served=True,
)
odd(
    "a page for any path",
    Service(listing("other"), models_gpt_oss_120b=html()),
    "not among the models",
    failed=["model"],
    key=True,
    served=False,
)
odd(
    "a deprecated model",
    Service(says({"data": [{"id": MODEL, "deprecated": True}]})),
    "marks 'gpt-oss-120b' as deprecated",
    warned=["retirement"],
    key=True,
    served=True,
)


@pytest.mark.parametrize(("service", "text", "expected"), ODD)
def test_an_odd_service_is_a_report_and_no_error(
    check: Check, service: Service, text: str, expected: dict[str, Any]
) -> None:
    report, requests = run(check, service, max_retries=5, today=TODAY)
    assert [each.name for each in report.failed] == expected.get("failed", [])
    assert [each.name for each in report.warnings] == expected.get("warned", [])
    assert report.ok is not bool(expected.get("failed"))
    assert report.reachable
    assert report.key_valid is expected.get("key")
    assert report.model_served is expected.get("served")
    assert len(report.rate_limits or ()) == expected.get("rooms", 0)
    told = str(report)
    assert text in told
    assert KEY not in told + json.dumps(report.to_dict())
    assert "\x1b" not in told
    assert all(len(each.message) <= 600 for each in report.checks)
    with_key = [each for each in requests if "authorization" in each.headers]
    paths = [each.path for each in with_key]
    # Only the transport sends again, what a kept connection has left unread.
    assert len(paths) == len(set(paths)) or expected.get("sent_again")


def test_a_key_of_another_vendor_is_told_where_it_is_refused(check: Check) -> None:
    with WireServer(Service(WRONG_KEY)) as server:
        with pytest.warns(UserWarning, match="OpenAI"):
            model = model_on(server, api_key="sk-proj-" + "a" * 20)
        report = check(model)
        model.close()
    assert "looks like one of OpenAI's" in str(found(report, "key").cure)


def test_a_server_on_this_machine_needs_no_key(check: Check) -> None:
    report, requests = run(check, Service(keyless=None), api_key=None)
    assert report.ok
    assert report.key_valid is None
    assert "asks for none" in found(report, "key").message
    assert len(requests) == 2  # there is nothing to leave away


def test_a_server_that_wants_a_key_where_none_is_set_is_unhealthy(check: Check) -> None:
    report, _ = run(check, Service(), api_key=None)
    assert report.key_valid is False
    assert statuses(report)["key"] == "failed"
    assert "CEREBRAS_API_KEY" in found(report, "key").message


def test_an_unreachable_server_is_a_report(check: Check) -> None:
    model = ChatCerebras(base_url="http://127.0.0.1:9", api_key=KEY)
    report = check(model, deep=True)
    assert not report.ok
    assert not report.reachable
    assert report.verdict == "unhealthy: connection"
    assert "connection refused" in found(report, "connection").message
    assert statuses(report) == {
        "connection": "failed",
        "service": "skipped",
        "key": "skipped",
        "model": "skipped",
        "retirement": "ok",
        "rate_limits": "skipped",
        "answer": "skipped",
    }
    assert (report.latency_s, report.first_request_s) == (None, None)


# ------------------------------------------------------------------------------- time


def _silent(request: Request) -> Iterator[bytes]:
    request.wait_gone(20)
    return iter(())


def _dripping(request: Request) -> Iterator[bytes]:
    yield head(200, {"content-type": "application/json", "content-length": "100000"})
    while not request.wait_gone(0.01):
        yield b" "


@pytest.mark.parametrize(
    ("service", "name"),
    [
        pytest.param(Service(tcp_warming=_silent), "connection", id="from the start"),
        pytest.param(Service(_silent), "service", id="at the list"),
        pytest.param(Service(_dripping), "service", id="byte by byte"),
        pytest.param(
            Service(chat_completions=_silent), "answer", id="at the model's answer"
        ),
    ],
)
def test_all_of_it_ends_within_the_timeout(
    check: Check, service: Service, name: str
) -> None:
    started = time.monotonic()
    report, _ = run(check, service, deep=True, timeout=0.4, max_retries=3)
    assert time.monotonic() - started < 5  # never the default's 120 s
    assert [each.name for each in report.failed] == [name]
    assert "within the 0.4 s" in found(report, name).message
    assert found(report, name).cure is not None


@pytest.mark.parametrize("probe", ["keyless", "retrieved"])
def test_a_probe_that_hangs_fails_nothing_by_itself(check: Check, probe: str) -> None:
    service = (
        Service(keyless=_silent)
        if probe == "keyless"
        else Service(listing("other"), models_gpt_oss_120b=_silent)
    )
    report, _ = run(check, service, timeout=0.4)
    assert report.model_served is (probe == "keyless")
    assert report.key_valid is (None if probe == "keyless" else True)


def test_no_tokens_are_spent_once_the_time_is_over(check: Check) -> None:
    times = iter(range(0, 1000, 3))
    with WireServer(Service(chat_completions=streamed())) as server:
        with model_on(server) as model:
            report = check(model, deep=True, timeout=10, clock=lambda: next(times))
        assert [each.path for each in server.requests if each.method == "POST"] == []
    assert statuses(report)["answer"] == "skipped"


@pytest.mark.parametrize(
    "timeout", [0, -1, float("inf"), float("nan"), True, "10", None]
)
def test_a_timeout_that_is_no_time_is_refused(check: Check, timeout: Any) -> None:
    model = ChatCerebras(base_url="http://127.0.0.1:9")
    with pytest.raises(CerebrasConfigurationError, match="timeout="):
        check(model, timeout=timeout)


def test_a_cancelled_check_lets_go_of_its_connection() -> None:
    gone: list[bool] = []
    asked = threading.Event()

    def silent(request: Request) -> Iterator[bytes]:
        asked.set()
        gone.append(request.wait_gone(10))
        return iter(())

    async def go(model: ChatCerebras) -> None:
        task = asyncio.create_task(ahealth_check(model))
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await model.aclose()

    with WireServer(Service(tcp_warming=silent)) as server:
        asyncio.run(go(model_on(server)))
    assert gone == [True]


# ------------------------------------------------------------------------------- deep


def test_a_deep_check_asks_the_model_for_a_few_tokens(check: Check) -> None:
    report, requests = run(
        check, Service(chat_completions=streamed()), deep=True, max_retries=5
    )
    assert report.ok
    assert report.deep is not None
    assert report.deep.model == MODEL
    assert (report.deep.input_tokens, report.deep.output_tokens) == (70, 16)
    assert report.deep.total_tokens == 86
    assert report.deep.output_tokens_per_s == pytest.approx(2000)  # as the service says
    assert report.deep.first_token_s is not None
    assert 0 < report.deep.first_token_s <= report.deep.elapsed_s
    assert "86 tokens spent" in found(report, "answer").message
    (sent,) = [each.json for each in requests if each.method == "POST"]
    assert sent.pop("messages")
    assert sent == {
        "model": MODEL,
        "max_completion_tokens": 16,
        "stream": True,
        "stream_options": {"include_usage": True},  # as other servers need it
    }


def test_the_head_room_of_the_answer_is_the_newest(check: Check) -> None:
    newer = {**LIMITS, "x-ratelimit-remaining-requests-day": "14000"}
    report, _ = run(check, Service(chat_completions=streamed(newer)), deep=True)
    assert report.rate_limits is not None
    assert report.rate_limits[0].remaining == 14000


def test_a_model_that_cannot_stream_is_asked_plainly(check: Check) -> None:
    body = {
        "id": "1",
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"content": "1, 2"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
    report, requests = run(
        check,
        Service(chat_completions=says(body)),
        deep=True,
        disable_streaming=True,
    )
    assert report.ok
    assert report.deep is not None
    assert report.deep.first_token_s is None
    assert report.deep.output_tokens_per_s is not None  # measured here
    assert requests[-1].json["stream"] is False


def test_a_text_model_is_asked_on_its_own_endpoint(check: Check) -> None:
    parts = [
        chunk(choices=[{"index": 0, "text": " three"}]),
        chunk(choices=[{"index": 0, "text": "", "finish_reason": "length"}]),
        DONE,
    ]
    service = Service(completions=lambda request: sse(parts))
    with WireServer(service) as server:
        report = check(CerebrasLLM(base_url=server.url, api_key=KEY), deep=True)
        sent = server.requests[-1]
    assert report.ok
    assert report.deep is not None
    assert report.deep.total_tokens is None  # unknown, and said to be
    assert "tokens unknown" in found(report, "answer").message
    assert sent.path == "/v1/completions"
    assert sent.json["max_tokens"] == 16


@pytest.mark.parametrize(
    ("service", "failed", "facts"),
    [
        pytest.param(
            Service(NOT_THERE, chat_completions=streamed()),
            [],
            (None, True),
            id="no list, but an answer",
        ),
        pytest.param(
            Service(NOT_THERE, chat_completions=not_found()),
            ["model", "answer"],
            (None, False),
            id="no list, and no such model",
        ),
        pytest.param(
            Service(NOT_THERE),
            ["answer"],
            (None, None),
            id="nothing at this address",
        ),
        pytest.param(
            Service(NOT_THERE, chat_completions=WRONG_KEY),
            ["key", "answer"],
            (False, None),
            id="no list, and a wrong key",
        ),
        pytest.param(
            Service(listing("other"), chat_completions=streamed()),
            [],
            (True, True),
            id="a server that takes any name",
        ),
        pytest.param(
            Service(chat_completions=says({"message": "Boom"}, 500)),
            ["answer"],
            (True, True),
            id="a model that fails",
        ),
        pytest.param(
            Service(
                chat_completions=lambda request: sse(
                    [chunk(choices=[{"index": 0, "delta": {"content": "1"}}]), CUT]
                )
            ),
            ["answer"],
            (True, True),
            id="an answer that is cut",
        ),
        pytest.param(
            Service(WRONG_KEY, chat_completions=streamed()),
            ["key"],
            (False, None),
            id="a wrong key",
        ),
    ],
)
def test_a_deep_check_says_what_a_shallow_one_cannot(
    check: Check,
    service: Service,
    failed: list[str],
    facts: tuple[bool | None, bool | None],
) -> None:
    report, requests = run(check, service, deep=True, max_retries=5)
    assert [each.name for each in report.failed] == failed
    assert (report.key_valid, report.model_served) == facts
    asked = [each for each in requests if each.method == "POST"]
    assert len(asked) == (0 if failed == ["key"] else 1)
    assert not report.warnings


# ------------------------------------------------------------------------- retirement


def notice(stage: str, days_left: int | None, **more: Any) -> Notice:
    """Return what the catalog might say of a model's end."""
    told: dict[str, Any] = {
        "kind": "model",
        "subject": MODEL,
        "stage": stage,
        "what": "Its end is told.",
        "ends_on": None if days_left is None else TODAY + timedelta(days_left),
        "days_left": days_left,
        "use": "Use 'qwen-3.8-27b'.",
        "replacement": "qwen-3.8-27b",
        "named_by": "vendor",
        "differences": (),
        "source": None,
    }
    return Notice(**(told | more))


@pytest.mark.parametrize(
    ("told", "served", "status", "text"),
    [
        pytest.param(None, True, "ok", "No end is known, as of 2026-", id="none known"),
        pytest.param(notice("deprecated", 61), True, "ok", "Its end is told", id="far"),
        pytest.param(notice("deprecated", 60), True, "warning", "told", id="near"),
        pytest.param(notice("deprecated", 1), True, "warning", "told", id="last day"),
        pytest.param(
            notice("deprecated", 1), False, "warning", "told", id="gone early"
        ),
        pytest.param(notice("deprecated", None), True, "warning", "told", id="no day"),
        pytest.param(notice("retired", 0), False, "failed", "told.", id="its day"),
        pytest.param(
            notice("retired", -2), True, "warning", "still served here", id="stays"
        ),
        pytest.param(notice("retired", -2), False, "failed", "told.", id="over"),
        pytest.param(notice("retired", -2), None, "warning", "told.", id="maybe over"),
        pytest.param(
            notice("unlisted", None), False, "failed", "told.", id="not listed"
        ),
        pytest.param(
            notice("never-served", None), False, "failed", "told.", id="never served"
        ),
        pytest.param(notice("dedicated-only", -9), True, "ok", "told", id="dedicated"),
        pytest.param(
            notice("dedicated-only", -9), False, "failed", "told", id="not dedicated"
        ),
    ],
)
def test_the_end_of_a_model_is_told(
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    told: Notice | None,
    served: bool | None,
    status: str,
    text: str,
) -> None:
    monkeypatch.setattr(health, "deprecation_notice", lambda card, on: told)
    models = {True: listing(MODEL), False: listing("other"), None: NOT_THERE}[served]
    report, _ = run(check, Service(models), today=TODAY)
    shown = found(report, "retirement")
    assert (shown.status, report.model_served) == (status, served)
    assert text in shown.message
    if told is None:
        assert report.retirement is None
        return
    assert report.retirement == RetirementNotice(
        told.stage, told.ends_on, told.days_left, "qwen-3.8-27b"
    )
    is_well_dedicated = told.stage == "dedicated-only" and served
    assert shown.cure == (None if is_well_dedicated else "Use 'qwen-3.8-27b'.")


@pytest.mark.parametrize(
    ("today", "status", "text", "left"),
    [
        pytest.param(date(2025, 10, 1), "ok", "No end is known", None, id="before"),
        pytest.param(
            date(2025, 10, 30),
            "warning",
            "will be retired on 2025-11-05 (in 6 days)",
            6,
            id="told",
        ),
        pytest.param(
            date(2025, 11, 6),
            "failed",
            "was retired on 2025-11-05 (1 day ago)",
            -1,
            id="over",
        ),
    ],
)
def test_days_are_counted_from_the_day_that_is_given(
    check: Check, today: date, status: str, text: str, left: int | None
) -> None:
    models = listing(MODEL) if status == "failed" else listing("qwen-3-coder-480b")
    report, _ = run(check, Service(models), model="qwen-3-coder-480b", today=today)
    assert found(report, "retirement").status == status
    assert text in found(report, "retirement").message
    assert (report.retirement.days_left if report.retirement else None) == left


def test_without_a_day_it_is_today(check: Check) -> None:
    report, _ = run(check, Service(listing("x")), model="qwen-3-coder-480b")
    assert report.retirement is not None
    assert report.retirement.retired_on == date(2025, 11, 5)
    assert report.retirement.days_left is not None
    assert report.retirement.days_left < -300


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("my-org-llm", "the catalog has no model 'my-org-llm'"),
        ("kimi-k2.6", "'kimi-k2.6' is for dedicated endpoints only"),
    ],
    ids=["own", "dedicated"],
)
def test_a_model_of_dedicated_endpoints_is_no_warning(
    check: Check, model: str, text: str
) -> None:
    report, _ = run(check, Service(listing(model)), model=model)
    assert report.ok
    assert not report.warnings
    assert text in found(report, "retirement").message
    assert report.retirement is None


@pytest.mark.parametrize(
    ("model", "served", "first"),
    [
        pytest.param("gpt-oss-12b", [MODEL, "qwen-3.8-27b"], MODEL, id="misspelt"),
        pytest.param(
            "qwen-3-coder-480b",
            ["qwen-3-coder-x", MODEL],
            MODEL,
            id="retired: its successor before what looks like it",
        ),
        pytest.param("llama-3.1-8b", ["llama3.1-8b"], "llama3.1-8b", id="an alias"),
        pytest.param("zzz", ["own-1", "own-2"], "own-1", id="nothing like it"),
        pytest.param("cerebras::zzz", [], None, id="nothing is served"),
    ],
)
def test_what_is_suggested_is_served(
    model: str, served: list[str], first: str | None
) -> None:
    report, _ = run(health_check, Service(listing(*served)), model=model)
    assert report.model_served is False
    assert set(report.suggestions) <= set(served)
    assert (report.suggestions or (None,))[0] == first
    if first:
        assert f"'{first}'" in str(found(report, "model").cure)


# ------------------------------------------------------------------------- head-room


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        pytest.param(LIMITS, "ok", "requests-day 14,399 of 14,400", id="plenty"),
        pytest.param(
            {**LIMITS, "x-ratelimit-remaining-tokens-minute": "0"},
            "warning",
            "tokens-minute 0 of 60,000 (all there again in 11.4 s)",
            id="a minute that is spent",
        ),
        pytest.param(
            {**LIMITS, "x-ratelimit-remaining-tokens-minute": "10"},
            "ok",
            "tokens-minute 10 of 60,000",
            id="a minute that is nearly spent comes back",
        ),
        pytest.param(
            {**LIMITS, "x-ratelimit-remaining-requests-day": "1439"},
            "warning",
            "requests-day 1,439 of 14,400",
            id="a day that is nearly spent",
        ),
        pytest.param(
            {"x-ratelimit-remaining-requests-day": "5"},
            "ok",
            "requests-day 5.",
            id="no limit is told",
        ),
        pytest.param(
            {"x-ratelimit-limit-requests-day": "5"},
            "ok",
            "requests-day unknown of 5",
            id="what is left is not told",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "3",
                "x-ratelimit-reset-requests": "6m0s",
            },
            "ok",
            "requests 3",
            id="another vendor's",
        ),
        pytest.param(
            {"x-ratelimit-remaining-requests-day": "many", "x-ratelimit-odd": "1"},
            "skipped",
            "sent no x-ratelimit headers",
            id="no numbers",
        ),
        pytest.param({}, "skipped", "sent no x-ratelimit headers", id="none"),
    ],
)
def test_the_head_room_is_told(headers: dict[str, str], status: str, text: str) -> None:
    report, _ = run(health_check, Service(listing(MODEL, headers=headers)))
    told = found(report, "rate_limits")
    assert told.status == status
    assert text in told.message
    assert (report.rate_limits is None) is (status == "skipped")
    assert report.ok


# ------------------------------------------------------------------------- the report


def _report() -> HealthReport:
    return HealthReport(
        base_url="https://api.cerebras.ai/v1",
        model=MODEL,
        checks=(
            HealthCheck("connection", "ok", "Fine."),
            HealthCheck("model", "failed", "Gone.", "Use another."),
            HealthCheck("retirement", "warning", "Over."),
        ),
        reachable=True,
        rate_limits=(HeadRoom("requests-day", 5, 4, None),),
        retirement=RetirementNotice("retired", date(2026, 1, 2), -3, None),
    )


def test_a_report_is_json() -> None:
    told = json.loads(json.dumps(_report().to_dict()))
    assert told["ok"] is False
    assert told["verdict"] == "unhealthy: model"
    assert told["checks"][1] == {
        "name": "model",
        "status": "failed",
        "message": "Gone.",
        "cure": "Use another.",
    }
    assert told["retirement"]["retired_on"] == "2026-01-02"
    assert told["rate_limits"][0]["remaining"] == 4
    assert told["deep"] is None
    names = {field.name for field in dataclasses.fields(HealthReport)}
    assert set(told) == {"ok", "verdict"} | names


def test_a_report_is_read_in_lines() -> None:
    assert str(_report()).splitlines() == [
        "gpt-oss-120b at https://api.cerebras.ai/v1 is unhealthy: model",
        "  ok       connection   Fine.",
        "  failed   model        Gone.",
        "                        -> Use another.",
        "  warning  retirement   Over.",
    ]


@pytest.mark.parametrize(
    ("status", "verdict", "ok"),
    [
        ("ok", "healthy", True),
        ("skipped", "healthy", True),
        ("warning", "healthy, but: model", True),
        ("failed", "unhealthy: model", False),
    ],
    ids=["ok", "skipped", "warning", "failed"],
)
def test_only_failures_are_unhealthy(status: Any, verdict: str, ok: bool) -> None:
    report = HealthReport("u", "m", (HealthCheck("model", status, "x"),), True)
    assert (report.verdict, report.ok) == (verdict, ok)


def test_a_report_cannot_be_changed_and_travels() -> None:
    report = _report()
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.reachable = False  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(report)) == report
    assert hash(report) == hash(_report())


# ---------------------------------------------------------------------------- the log


def test_each_request_is_a_line_at_debug_without_the_key(
    check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "langchain_cerebras_ext"):
        run(check, Service(WRONG_KEY), default_query={"token": "t0p-secret"})
    lines = [
        each.getMessage()
        for each in caplog.records
        if each.name == "langchain_cerebras_ext.health"
    ]
    assert len(lines) == 2
    assert lines[1].startswith("request method=GET path=/v1/models status=401 ")
    assert KEY not in caplog.text
    assert "t0p-secret" not in "".join(lines)


def test_a_request_that_fails_is_a_line_too(
    check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "langchain_cerebras_ext"):
        check(ChatCerebras(base_url="http://127.0.0.1:9"))
    (line,) = [
        each.getMessage() for each in caplog.records if "/tcp_" in each.msg % each.args
    ]
    assert line == (
        "request method=GET path=/v1/tcp_warming error=CerebrasConnectionError"
    )


# ------------------------------------------------------------------------ what raises


class Unusable:
    """A transport whose settings turn out to be wrong with the first request."""

    def send(self, *args: Any) -> Any:
        msg = "SSL_CERT_FILE names no file."
        raise CerebrasConfigurationError(msg)

    async def aclose(self) -> None: ...


def test_settings_that_are_of_no_use_are_the_callers_error(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_transport", "_atransport"):
        monkeypatch.setattr(ChatCerebras, name, lambda self: Unusable())
    with pytest.raises(CerebrasConfigurationError, match="SSL_CERT_FILE"):
        check(ChatCerebras(base_url="http://127.0.0.1:9"))
