"""The application itself: paths, methods, pages, and that all is told exactly once."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from wire_server import WireServer, event, plain, sse

from langchain_cerebras_ext import proxy
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy import Settings, Upstream, create_app

if TYPE_CHECKING:
    from langchain_cerebras_ext.proxy import ProxyApp
    from langchain_cerebras_ext.proxy.exchange import Exchange

KEY = "client-key-of-bob-0123456789"
UP_KEY = "csk-upstream-key-that-stays-inside"
CHAT = "/v1/chat/completions"
QUESTION = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Hi."}]}
BODY = {"id": "x", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
NOWHERE = "http://127.0.0.1:9"


def make_app(url: str = NOWHERE, **settings: Any) -> tuple[ProxyApp, list[Exchange]]:
    upstream = Upstream(base_url=url, api_key=UP_KEY)
    given = {"api_key": KEY, "log_level": "CRITICAL", **settings}
    app = create_app(Settings(upstream=upstream, **given))
    seen: list[Exchange] = []
    app.observers.append(seen.append)
    return app, seen


def ask(
    app: ProxyApp, method: str, path: str, *, key: str | None = KEY, **more: Any
) -> httpx.Response:
    """Ask the application without any server, as many tests of users do."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        headers |= more.pop("headers", {})
        async with httpx.AsyncClient(
            transport=transport, base_url="http://p"
        ) as client:
            found = await client.request(method, path, headers=headers, **more)
        await app.aclose()
        return found

    return asyncio.run(run())


# ------------------------------------------------------------------------------ pages


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_needs_no_key_and_no_upstream(path: str) -> None:
    app, seen = make_app()
    found = ask(app, "GET", path, key=None)
    assert found.status_code == 200
    assert found.json()["status"] in {"ok", "ready"}
    assert seen == []


def test_a_client_may_open_its_connection_early() -> None:
    """Cerebras's own SDK does so when a client is made."""
    app, seen = make_app()
    found = ask(app, "GET", "/v1/tcp_warming", key=None)
    assert (found.status_code, found.json()) == (200, {"status": "ok"})
    assert seen == []


def test_metrics_need_no_key() -> None:
    app, _ = make_app()
    found = ask(app, "GET", "/metrics", key=None)
    assert found.status_code == 200
    assert "cerebras_proxy_" in found.text


def test_metrics_on_a_port_of_their_own_are_not_on_this_one() -> None:
    app, _ = make_app(metrics_port=9999)
    assert ask(app, "GET", "/metrics", key=None).status_code == 404


def test_documentation_is_served_unless_switched_off() -> None:
    app, _ = make_app()
    page = ask(app, "GET", "/docs", key=None)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src" in page.headers["content-security-policy"]
    assert ask(app, "GET", "/openapi.json", key=None).json()["openapi"] == "3.1.0"
    app, _ = make_app(docs=False)
    assert ask(app, "GET", "/docs", key=None).status_code == 404


def test_a_head_request_gets_the_head_alone() -> None:
    app, _ = make_app()
    found = ask(app, "HEAD", "/health", key=None)
    assert (found.status_code, found.content) == (200, b"")
    assert int(found.headers["content-length"]) > 0


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/models/x", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", CHAT, "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    method: str, path: str, allowed: str
) -> None:
    app, _ = make_app()
    found = ask(app, method, path)
    assert (found.status_code, found.headers["allow"]) == (405, allowed)
    assert found.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/embeddings", "/v1/models/", "/V1/models", "/healthz"]
)
def test_an_unknown_path_is_a_clear_404(path: str) -> None:
    app, seen = make_app()
    found = ask(app, "GET", path)
    assert (found.status_code, found.json()["error"]["code"]) == (404, "unknown_url")
    assert found.headers["x-request-id"] == seen[0].request_id
    assert seen[0].outcome == "refused"


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/models", "/v1/unknown"])
@pytest.mark.parametrize("key", [None, "wrong"], ids=["no key", "a wrong one"])
def test_nothing_of_the_api_is_told_without_a_key(path: str, key: str | None) -> None:
    app, seen = make_app()
    method = "POST" if "completions" in path else "GET"
    found = ask(app, method, path, key=key, json=QUESTION)
    assert found.status_code == 401
    assert found.headers["www-authenticate"].startswith("Bearer")
    assert [one.error_category for one in seen] == ["auth"]
    assert seen[0].upstream is None


@pytest.mark.parametrize(
    "name", ["..", ".", "%2e%2e", "../x", "..%2Fx", "a%2Fb", "a/../../b", "./x"]
)
def test_a_models_name_leads_nowhere_else(name: str) -> None:
    with WireServer(lambda _: plain({"id": "x"})) as server:
        app, _ = make_app(server.url)

        async def run() -> int:
            status = 0

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                nonlocal status
                status = message.get("status", status)

            decoded = name.replace("%2e", ".").replace("%2F", "/")
            headers = [(b"authorization", f"Bearer {KEY}".encode())]
            scope = {"type": "http", "method": "GET", "path": f"/v1/models/{decoded}",
                     "headers": headers, "query_string": b""}  # fmt: skip
            await app(scope, receive, send)
            await app.aclose()
            return status

        status = asyncio.run(run())
        for request in server.requests:
            assert request.path.startswith("/v1/models/")
            assert "/" not in request.path.removeprefix("/v1/models/")
        assert status == (200 if server.requests else 404)


def test_a_query_goes_up_and_one_with_odd_bytes_does_not() -> None:
    with WireServer(lambda _: plain(BODY)) as server:
        app, _ = make_app(server.url)
        ask(app, "POST", f"{CHAT}?a=1&b=%20", json=QUESTION)
        assert server.requests[0].path == f"{CHAT}?a=1&b=%20"

        async def run() -> Any:
            sent: list[Any] = []

            async def receive() -> Any:
                body = json.dumps(QUESTION).encode()
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            headers = [(b"authorization", f"Bearer {KEY}".encode())]
            scope = {"type": "http", "method": "POST", "path": CHAT,
                     "headers": headers, "query_string": b"a b\r\nx: y"}  # fmt: skip
            await app(scope, receive, send)
            headers.append((b"x-odd", b"a\r\nx-more: b"))
            await app({**scope, "query_string": b""}, receive, send)
            await app.aclose()
            return [one["status"] for one in sent if "status" in one]

        assert asyncio.run(run()) == [400, 400]
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"messages": []}', 400),
     (b"x" * 2000, 413)],
    ids=["nothing", "cut", "list", "no model", "too large"],
)  # fmt: skip
def test_what_is_no_request_is_not_sent_up(body: bytes, status: int) -> None:
    app, seen = make_app(max_body_bytes=1000)
    found = ask(app, "POST", CHAT, content=body)
    assert found.status_code == status
    assert found.json()["error"]["message"]
    assert [one.outcome for one in seen] == ["refused"]


# ----------------------------------------------------------------------------- answers


def test_it_works_under_any_asgi_transport_without_a_lifespan() -> None:
    with WireServer(lambda _: plain(BODY)) as server:
        app, seen = make_app(server.url)
        for _ in range(2):  # each on an event loop of its own
            found = ask(app, "POST", CHAT, json=QUESTION)
            assert found.json() == BODY
        assert [one.status for one in seen] == [200, 200]
        assert app.in_flight == 0


def test_a_server_may_call_the_end_of_an_answer_a_disconnect() -> None:
    """ASGI says so; hypercorn does it while the last part is still being sent."""
    body = json.dumps(QUESTION).encode()

    async def run(app: ProxyApp) -> None:
        over = asyncio.Event()
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body" and not message["more_body"]:
                over.set()
                await asyncio.sleep(0.05)

        scope = {"type": "http", "method": "POST", "path": CHAT, "query_string": b"",
                 "headers": [(b"authorization", f"Bearer {KEY}".encode())]}  # fmt: skip
        await app(scope, receive, send)
        await app.aclose()

    pieces = [event({"choices": [{"delta": {"content": "Hi"}}]}), b"data: [DONE]\n\n"]
    for answer in (plain(BODY), sse(pieces)):
        with WireServer(lambda _, answer=answer: answer) as server:
            app, seen = make_app(server.url)
            asyncio.run(run(app))
            assert [(one.outcome, one.status) for one in seen] == [("ok", 200)]


def test_it_may_be_mounted_beneath_a_path() -> None:
    app, _ = make_app()
    transport = httpx.ASGITransport(app=app, root_path="/llm")

    async def run() -> int:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://p"
        ) as client:
            return (await client.get("/llm/health")).status_code

    assert asyncio.run(run()) == 200


def test_models_are_told_with_what_the_catalog_knows() -> None:
    listed = {"object": "list", "data": [{"id": "gpt-oss-120b", "object": "model"}]}
    with WireServer(
        lambda request: plain(
            listed if request.path.endswith("models") else listed["data"][0]
        )
    ) as server:
        app, seen = make_app(server.url, aliases={"fast": "gpt-oss-120b"})
        rows = ask(app, "GET", "/v1/models").json()["data"]
        one = ask(app, "GET", "/v1/models/fast").json()
        head = ask(app, "HEAD", "/v1/models")
    assert {row["id"] for row in rows} == {"gpt-oss-120b", "fast"}
    assert rows[0]["lifecycle"]["status"] == "active"
    assert rows[0]["pricing"]["prompt"] == "0.00000035"
    assert (one["id"], one["root"]) == ("fast", "gpt-oss-120b")
    assert server.requests[1].path == "/v1/models/gpt-oss-120b"
    assert (head.status_code, head.content) == (200, b"")
    assert [exchange.operation for exchange in seen] == ["models"] * 3


def test_an_alias_is_all_that_changes_in_a_request() -> None:
    with WireServer(lambda _: plain(BODY)) as server:
        app, seen = make_app(server.url, aliases={"fast": "gpt-oss-120b"})
        raw = b'{"model" : "fast",  "x": 1.0}'
        ask(app, "POST", CHAT, content=raw)
        assert server.requests[0].body == b'{"model" : "gpt-oss-120b",  "x": 1.0}'
        assert (seen[0].model_asked, seen[0].model) == ("fast", "gpt-oss-120b")


def test_a_large_request_is_rewritten_all_the_same() -> None:
    with WireServer(lambda _: plain(BODY)) as server:
        app, _ = make_app(server.url, aliases={"fast": "gpt-oss-120b"})
        large = {**QUESTION, "model": "fast", "padding": "x" * 600_000}
        assert ask(app, "POST", CHAT, json=large).status_code == 200
        assert server.requests[0].json == {**large, "model": "gpt-oss-120b"}


@pytest.mark.parametrize("migrates", [False, True], ids=["refused", "migrated"])
def test_the_end_of_a_models_service_is_told_in_headers(migrates: bool) -> None:
    with WireServer(lambda _: plain(BODY)) as server:
        app, seen = make_app(server.url, migrate_retired=migrates)
        old = {**QUESTION, "model": "zai-glm-4.6"}
        found = ask(app, "POST", CHAT, json=old)
        new = ask(app, "POST", CHAT, json=QUESTION)
    assert found.status_code == (200 if migrates else 404)
    assert found.headers["sunset"] == "Tue, 20 Jan 2026 00:00:00 GMT"
    assert found.headers["deprecation"] == "@1767225600"
    assert seen[0].sunset == ("2026-01-20", "gpt-oss-120b")
    assert len(server.requests) == (2 if migrates else 1)
    assert "sunset" not in new.headers


def test_cors_is_off_unless_origins_are_named() -> None:
    asked = {"origin": "https://a.test", "access-control-request-method": "POST"}
    app, _ = make_app()
    assert (
        "access-control-allow-origin"
        not in ask(app, "OPTIONS", CHAT, headers=asked).headers
    )
    app, _ = make_app(cors_origins=("https://a.test",))
    found = ask(app, "OPTIONS", CHAT, key=None, headers=asked)
    assert found.headers["access-control-allow-origin"] == "https://a.test"


# ------------------------------------------------------------------- told exactly once


def test_an_observer_that_fails_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(_: Exchange) -> None:
        raise ValueError("boom")

    with WireServer(lambda _: plain(BODY)) as server:
        app, seen = make_app(server.url)
        app.observers.insert(0, failing)
        with caplog.at_level(logging.ERROR, logger="langchain_cerebras_ext.proxy"):
            assert ask(app, "POST", CHAT, json=QUESTION).status_code == 200
    assert len(seen) == 1


def test_a_defect_of_ours_is_a_500_without_its_text() -> None:
    app, seen = make_app()

    def failing(_: str) -> Any:
        raise ZeroDivisionError("secret detail")

    app.models.resolve = failing  # type: ignore[method-assign]
    found = ask(app, "POST", CHAT, json=QUESTION)
    assert found.status_code == 500
    assert found.json()["error"]["code"] == "internal_error"
    assert "secret" not in found.text
    assert [one.error_category for one in seen] == ["internal"]


def test_a_task_that_is_cancelled_from_outside_is_told_and_stays_cancelled() -> None:
    async def run(app: ProxyApp) -> None:
        async def receive() -> Any:
            return await asyncio.Event().wait()

        async def send(_: Any) -> None: ...

        scope = {"type": "http", "method": "POST", "path": CHAT, "query_string": b"",
                 "headers": [(b"authorization", f"Bearer {KEY}".encode())]}  # fmt: skip
        task = asyncio.ensure_future(app(scope, receive, send))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    app, seen = make_app()
    asyncio.run(run(app))
    assert [(one.outcome, one.status) for one in seen] == [("aborted", 499)]


def test_limits_that_cannot_be_checked_in_time_are_a_clear_refusal() -> None:
    class SlowGate:
        is_idle = False

        async def admit(self, _: Exchange) -> Any:
            return await asyncio.Event().wait()

        async def close(self) -> None: ...

    app, seen = make_app(connect_timeout_s=0.05)
    app.gate = cast("Any", SlowGate())
    found = ask(app, "POST", CHAT, json=QUESTION)
    assert found.status_code == 503
    assert found.json()["error"]["code"] == "limits_unavailable"
    assert found.headers["retry-after"] == "1"
    assert [one.upstream for one in seen] == [None]


def test_a_place_is_given_back_however_it_ends() -> None:
    with WireServer(lambda _: plain({"message": "No."}, status=500)) as server:
        app, _ = make_app(server.url, max_streams=1)
        for _ in range(3):
            assert ask(app, "POST", CHAT, json=QUESTION).status_code == 500
        assert app.gate.in_flight == 0


def test_content_is_kept_for_the_log_only_where_that_is_switched_on() -> None:
    pieces = [event({"choices": [{"delta": {"content": "Hi"}}]}), b"data: [DONE]\n\n"]
    for switched_on in (False, True):
        with WireServer(lambda _: sse(pieces)) as server:
            app, seen = make_app(server.url, log_content=switched_on)
            ask(app, "POST", CHAT, json={**QUESTION, "stream": True})
        kept = seen[0].detail
        assert ("request_body" in kept) is switched_on
        if switched_on:
            assert json.loads(kept["request_body"])["stream"] is True
            assert bytes(kept["response_body"]) == b"".join(pieces)


# ------------------------------------------------------------------------------ start


def test_the_app_reads_the_environment_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-from-the-environment-0123")
    monkeypatch.setenv("APE_API_KEY", KEY)
    app = create_app()
    assert app.settings.api_key == KEY
    assert "csk-" not in repr(app)
    assert KEY not in repr(app)


def test_wrong_settings_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(
        CerebrasConfigurationError, match=r"PORT[\s\S]*CEREBRAS_API_KEY"
    ):
        create_app()


def test_it_speaks_nothing_but_http() -> None:
    app, _ = make_app()

    async def run() -> None:
        await app({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(run())


def test_the_package_names_what_it_has() -> None:
    for name in proxy.__all__:
        assert getattr(proxy, name) is not None
    assert set(proxy.__all__) <= set(dir(proxy))
    with pytest.raises(AttributeError):
        _ = proxy.nothing  # type: ignore[attr-defined]


def test_neither_langchain_nor_the_sdk_is_imported() -> None:
    """A start takes fractions of a second, and little memory."""
    code = (
        "import sys\n"
        "from langchain_cerebras_ext.proxy import Settings, Upstream, create_app\n"
        f"create_app(Settings(upstream=Upstream(base_url={NOWHERE!r}), api_key='k'*20))\n"
        "unwanted = {'langchain_core', 'openai', 'pydantic', 'httpx', 'httpx2',"
        " 'starlette', 'sqlalchemy', 'requests', 'prometheus_client'}\n"
        "print(sorted(unwanted & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip().splitlines()[-1] == "[]"
