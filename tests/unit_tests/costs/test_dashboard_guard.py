"""Who may look at the dashboard: host names, the token, headers, and no leaks."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time

import httpx
import pytest

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.dashboard import create_app, serve
from langchain_cerebras_ext.dashboard.guard import Gate, check_token, is_loopback
from langchain_cerebras_ext.dashboard.page import load_login, load_page
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
)

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "costs.db") as opened:
        yield opened


@contextlib.asynccontextmanager
async def client_of(app, base="http://127.0.0.1:8350", **options):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url=base, **options
    ) as client:
        yield client


# ------------------------------------------------------------------------ host names


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8350", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8350", 200),
        ("127.8.8.8", 200),
        ("[::1]:8350", 200),
        ("evil.example", 421),
        ("evil.example:8350", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8350", 421),
        ("192.168.1.7:8350", 421),
        ("[::2]:8350", 421),
        ("", 421),
    ],
)
async def test_without_a_token_only_names_of_this_machine_are_answered(
    ledger, host, status
):
    async with client_of(create_app(ledger)) as client:
        for path in ("/", "/api/overview"):
            answer = await client.get(path, headers={"host": host})
            assert answer.status_code == status


async def test_with_a_token_any_name_is_answered(ledger):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        headers = {"host": "costs.example", "authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/api/overview", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("name", "is_local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(name, is_local):
    assert is_loopback(name) is is_local


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_site_cannot_have_the_data_asked_for(ledger, site):
    async with client_of(create_app(ledger)) as client:
        headers = {"sec-fetch-site": site}
        assert (await client.get("/api/overview", headers=headers)).status_code == 403
        # A link may lead to the page.
        assert (await client.get("/", headers=headers)).status_code == 200


# ----------------------------------------------------------------------------- token


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": TOKEN},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": f"token={TOKEN}"},
        {"cookie": f"{Gate(TOKEN).cookie_name}={TOKEN}"},
        {"cookie": '"; \\'},
        {"authorization": "Bearer é".encode("latin-1")},
    ],
    ids=[
        "nothing",
        "bare",
        "wrong",
        "longer",
        "basic",
        "other cookie",
        "token as cookie",
        "broken cookie",
        "latin-1",
    ],
)
async def test_without_the_token_there_is_no_data(ledger, headers):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        answer = await client.get("/api/overview", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "token" in answer.json()["error"]["message"]
        page = await client.get("/", headers=headers)
        assert page.status_code == 401
        assert "<script" not in page.text
        assert page.headers["content-type"].startswith("text/html")


async def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(ledger):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        answer = await client.get(f"/?range=7d&token={TOKEN}&user=a%26b")
        assert answer.status_code == 303
        assert answer.headers["location"] == "?range=7d&user=a%26b"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        assert TOKEN not in cookie
        assert (await client.get("/api/overview")).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_over_tls_the_cookie_is_for_tls_alone(ledger):
    app = create_app(ledger, token=TOKEN)
    async with client_of(app, "https://costs.example") as client:
        answer = await client.get(f"/?token={TOKEN}")
        assert answer.headers["set-cookie"].endswith("; Secure")


async def test_a_token_in_an_address_of_data_is_no_key(ledger):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        answer = await client.get(f"/api/overview?token={TOKEN}")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


async def test_a_wrong_token_in_the_address_is_not_repeated(ledger):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        answer = await client.get("/?token=<b>wrong-and-long-enough</b>")
        assert answer.status_code == 401
        assert "wrong-and" not in answer.text


async def test_the_form_takes_the_token_too(ledger):
    async with client_of(create_app(ledger, token=TOKEN)) as client:
        wrong = await client.post("/login", data={"token": "wrong"})
        assert wrong.status_code == 401
        large = await client.post("/login", content=b"token=" + b"x" * 10_000)
        assert large.status_code == 413
        assert (await client.get("/login")).status_code == 303
        right = await client.post("/login", data={"token": TOKEN})
        assert (right.status_code, right.headers["location"]) == (303, "./")
        assert (await client.get("/api/overview")).status_code == 200


async def test_dashboards_of_other_tokens_keep_their_own_cookies():
    one, other = Gate(TOKEN), Gate(TOKEN + "2")
    assert one.cookie_name != other.cookie_name
    assert not other.takes_headers({"cookie": one.cookie(secure=False)})
    assert one.takes_headers({"cookie": one.cookie(secure=False).partition(";")[0]})


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "ünïcödé" * 4])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token, ledger):
    with pytest.raises(CerebrasConfigurationError, match="at least 16") as caught:
        create_app(ledger, token=token)
    assert not token or token not in str(caught.value)


def test_the_token_is_in_no_repr():
    check_token(TOKEN)
    assert TOKEN not in repr(Gate(TOKEN))


def test_another_machine_is_let_in_only_with_a_token(ledger):
    with pytest.raises(CerebrasConfigurationError, match="token="):
        serve(ledger, host="0.0.0.0")
    with pytest.raises(CerebrasConfigurationError, match="port=70000"):
        serve(ledger, port=70_000)


def test_a_port_that_is_taken_is_told(ledger):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CerebrasConfigurationError, match=f"{port}.*port=0"):
            serve(ledger, port=port)


def test_the_token_is_in_no_log_of_a_server_that_logs_addresses(ledger, caplog):
    import uvicorn

    config = uvicorn.Config(
        create_app(ledger, token=TOKEN), port=0, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    with caplog.at_level(logging.DEBUG):
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        place = server.servers[0].sockets[0].getsockname()
        for path in ("/", "/api/overview", "/elsewhere"):
            with socket.create_connection(place) as sock:
                line = f"GET {path}?a=1&token={TOKEN} HTTP/1.1\r\n"
                end = "Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
                sock.sendall((line + end).encode())
                while sock.recv(65_536):
                    pass
        server.should_exit = True
        thread.join(10)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "GET /api/overview?a=1 HTTP/1.1" in logged
    assert TOKEN not in logged


# --------------------------------------------------------------------------- headers


async def test_every_answer_has_the_headers_that_keep_others_out(ledger):
    async with client_of(create_app(ledger)) as client:
        answers = [
            await client.get("/"),
            await client.get("/api/overview"),
            await client.get("/api/groups?format=csv"),
            await client.get("/api/overview?x=1"),
            await client.get("/nowhere"),
            await client.post("/"),
            await client.get("/", headers={"host": "evil.example"}),
        ]
    assert [one.status_code for one in answers] == [200, 200, 200, 400, 404, 405, 421]
    for answer in answers:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("page", [load_page(), load_login()], ids=["page", "login"])
def test_the_policy_allows_the_page_itself_and_nothing_else(page):
    import base64
    import hashlib

    html = page.body.decode()
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        hashes = re.findall(rf"{name} '(sha256-[^']+)'", page.policy)
        made = [
            "sha256-" + base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()
            for one in inner
        ]
        assert hashes == made
    assert "unsafe" not in page.policy


def test_the_page_names_no_other_host_and_no_way_to_run_text():
    html = load_page().body.decode()
    hosts = set(re.findall(r"(?<!/)//([a-z0-9.-]+\.[a-z]+)", html))
    assert hosts <= {"www.w3.org"}
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "Function("):
        assert word not in html
    assert not re.search(r"\son[a-z]+=", html)
    assert not re.search(r"<[a-z]+[^>]*\sstyle=", html)


# --------------------------------------------------------------------------- serving


@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "token"])
def test_it_says_where_it_is_and_never_the_token(ledger, monkeypatch, token):
    import uvicorn

    said, opened, ran = [], threading.Event(), []

    def run(server, sockets):
        ran.append((server.config.access_log, sockets[0].getsockname()))
        server.started = True
        assert token is not None or opened.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr("webbrowser.open", lambda _: opened.set())
    serve(ledger, port=0, token=token, open_browser=token is None, echo=said.append)
    ((access_log, (host, port)),) = ran
    assert (access_log, host) == (False, "127.0.0.1")
    assert f"http://127.0.0.1:{port}/" in said[0]
    assert said[-1] == "Dashboard stopped."
    assert any("?token=..." in line for line in said) is (token is not None)
    assert TOKEN not in "".join(said)


def test_a_missing_extra_is_told_with_the_line_that_installs_it(ledger, monkeypatch):
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name: None if name == "starlette" else find(name)
    )
    with pytest.raises(MissingExtraError, match=r"\[dashboard\]"):
        create_app(ledger)


def test_a_host_of_another_machine_is_no_place_to_listen(ledger):
    with pytest.raises(CerebrasConfigurationError, match=r"cannot listen|no address"):
        serve(ledger, host="203.0.113.7", token=TOKEN)
