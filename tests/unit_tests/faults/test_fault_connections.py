"""Faults that take two servers, two calls or a proxy to happen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fault_answers import (
    KEY,
    RICH_BODY,
    RICH_STREAM,
    answer,
    good,
    head,
    streamed,
)
from fault_case import (
    FOUR,
    PLAIN_ANSWER,
    RICH_ANSWER,
    Broken,
    Caller,
    check,
    late,
    lost,
)
from fault_server import FIN, HEAR, HOLD, READ, RST, FaultServer, Step
from langchain_core.messages import AIMessage
from wire_server import Request

from langchain_cerebras_ext.errors import (
    CerebrasConnectionError,
    CerebrasError,
    CerebrasResponseError,
)

four_paths = pytest.mark.parametrize("path", FOUR)

# ------------------------------------------------------------------ kept connections


@four_paths
@pytest.mark.parametrize("end", [FIN, RST], ids=["closed", "reset"])
def test_a_kept_connection_that_ends_on_the_next_request_is_replaced_once(
    path: str, end: Step
) -> None:
    """No byte of an answer came: the request is sent again, without a retry.

    It may have been billed all the same, so the call says that there were two.
    """

    def script(request: Request, number: int) -> list[Step]:
        return [*good(request), READ, end] if number == 1 else good(request)

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        check(caller.call(), PLAIN_ANSWER)
        again = caller.call()
        check(again, PLAIN_ANSWER)
        assert isinstance(again, AIMessage)
        assert again.response_metadata["attempts"] == 2
        assert len(server.connections) == 2
        assert [len(held.requests) for held in server.connections] == [1, 1]
        assert len(server.requests) == 3
        assert len({request.body for request in server.requests}) == 1


@four_paths
def test_a_new_connection_that_ends_on_its_first_request_is_an_error(path: str) -> None:
    """A request that was sent again is not sent a third time."""

    def script(request: Request, number: int) -> list[Step]:
        return [*good(request), READ, FIN] if number == 1 else [FIN]

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        check(caller.call(), PLAIN_ANSWER)
        check(caller.call(), lost("closed", "without an answer"))
        assert len(server.requests) == 3


@four_paths
def test_a_request_is_not_sent_again_once_a_byte_of_an_answer_has_come(
    path: str,
) -> None:
    def script(request: Request, number: int) -> list[Step]:
        if number == 1:
            return [*good(request), READ, b"HTTP/1.1 2", FIN]
        return good(request)

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        check(caller.call(), PLAIN_ANSWER)
        check(caller.call(), lost("closed", "inside the headers"))
        assert len(server.requests) == 2
        check(caller.call(), PLAIN_ANSWER)


LATE = {
    "an_answer": answer(RICH_BODY),
    "a_stream": streamed(RICH_STREAM),
    "an_error": answer({"message": "Too slow"}, 408, "Connection: close"),
    "half_an_answer": answer(RICH_BODY)[:60],
    "junk": b"junk\r\n\r\n",
    "a_line_break": b"\r\n",
}


@four_paths
@pytest.mark.parametrize("name", LATE)
def test_what_comes_on_an_idle_connection_is_not_the_next_answer(
    path: str, name: str
) -> None:
    """A proxy says 408 before it closes; a broken one gives another's answer."""
    read, sent = threading.Event(), threading.Event()

    def script(request: Request, number: int) -> Iterator[Step]:
        yield from good(request)
        if number == 1:
            assert read.wait(10)
            yield LATE[name]
            sent.set()
            yield HOLD

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        check(caller.call(), PLAIN_ANSWER)
        read.set()
        assert sent.wait(10)
        caller.rest()
        check(caller.call(), PLAIN_ANSWER)
        assert len(server.connections) == 2
        assert len(server.requests) == 2


@four_paths
def test_a_connection_that_is_closed_while_idle_does_not_surface(path: str) -> None:
    def script(request: Request, number: int) -> list[Step]:
        return [*good(request), FIN]

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        for count in (1, 2, 3):
            check(caller.call(), PLAIN_ANSWER)
            assert not server.open_connections()
            caller.rest(0.01)
            assert len(server.connections) == count


@four_paths
def test_nothing_is_kept_after_the_model_is_closed(path: str) -> None:
    with FaultServer(lambda request, _: good(request)) as server:
        with Caller(path, server.url, server) as caller:
            check(caller.call(), PLAIN_ANSWER)
            assert len(server.connections) == 1
            assert server.connections[0].ended is None
        assert not server.open_connections()
        assert server.connections[0].ended == "client"


def test_an_error_that_is_kept_keeps_no_connection() -> None:
    """Its traceback refers to the pool; closing does not wait for the collector."""

    def script(request: Request, number: int) -> list[Step]:
        return [b"nonsense\r\n\r\n"] if number == 1 else good(request)

    with FaultServer(script) as server:
        with Caller("invoke", server.url, server) as caller:
            kept = caller.call()
            assert isinstance(kept, CerebrasConnectionError)
            check(caller.call(), PLAIN_ANSWER)
        assert not server.open_connections()
        assert kept.__traceback__ is not None


# ------------------------------------------------------------------------ redirects


@four_paths
@pytest.mark.parametrize("where", ["another_host", "the_same_host"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(path: str, status: int, where: str) -> None:
    """The key stays with the host that it was meant for, and nothing goes elsewhere."""
    with FaultServer(lambda request, _: good(request)) as other:

        def script(request: Request, number: int) -> list[Step]:
            if number > 1:
                return good(request)
            host = other.url if where == "another_host" else server.url
            place = f"Location: {host}/v1/chat/completions?key={KEY}"
            return [answer(b"", status, place)]

        with FaultServer(script) as server, Caller(path, server.url, server) as caller:
            expect = Broken(
                CerebrasResponseError,
                (f"answered {status}, a redirect to http://127", "base_url"),
                billed=False,
            )
            check(caller.call(), expect)
            assert len(server.requests) == 1
            check(caller.call(), PLAIN_ANSWER)
            assert len(server.connections) == 1
        assert other.connections == []


# ----------------------------------------------------------------- no connection at all


@four_paths
def test_nobody_listens(path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with Caller(path, f"http://127.0.0.1:{port}", None) as caller:
        found = caller.call()
        check(found, lost("refused", f"127.0.0.1:{port}", "CEREBRAS_BASE_URL"))


@four_paths
def test_a_name_that_nobody_knows(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with Caller(path, "http://api.example.invalid", None) as caller:
        says = ("api.example.invalid:80", "CEREBRAS_BASE_URL")
        check(caller.call(), lost("dns", *says))


@four_paths
def test_a_resolver_that_hangs(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: object, **given: object) -> None:
        if not given.get("flags"):
            release.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    limits = {"connect": 0.2, "read": 20, "first_byte": 20, "total": 20}
    with Caller(path, "http://api.example.invalid", None, timeout=limits) as caller:
        found = caller.call()
        release.set()
        check(found, late("connect", 0.2))


@four_paths
def test_a_server_that_does_not_accept(path: str) -> None:
    limits = {"connect": 0.2, "read": 20, "first_byte": 20, "total": 20}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # the queue is full after these
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            url = f"http://127.0.0.1:{port}"
            with Caller(path, url, None, timeout=limits) as caller:
                check(caller.call(), late("connect", 0.2))
        finally:
            for filler in fillers:
                filler.close()


# ------------------------------------------------------------------------- the proxy

PROXIED = "https://api.example.invalid/v1"
REFUSALS: dict[str, tuple[list[Step], Broken]] = {
    "wants_a_login": (
        [head("Content-Length: 0", status=407)],
        lost("proxy", "407", "name and password"),
    ),
    "forbids": ([head("Content-Length: 0", status=403)], lost("proxy", "403")),
    "cannot_reach_it": (
        [answer(b"<html>no route</html>", 502), FIN],
        lost("proxy", "502"),
    ),
    "closes": ([FIN], lost("proxy")),
    "resets": ([RST], lost("proxy")),
    "answers_another_protocol": ([b"220 mail.example\r\n\r\n", FIN], lost("proxy")),
    "breaks_off_in_its_answer": ([b"HTTP/1.1 200 Conn", FIN], lost("proxy")),
    "closes_the_tunnel": ([head(status=200), HEAR, FIN], lost("proxy")),
    "speaks_no_tls_in_the_tunnel": (
        [head(status=200), HEAR, b"HTTP/1.1 400 Bad Request\r\n\r\n", FIN],
        lost("tls"),
    ),
    "stalls": ([HOLD], late("connect", 0.3)),
    "stalls_in_the_tunnel": ([head(status=200), HOLD], late("connect", 0.3)),
}


@four_paths
@pytest.mark.parametrize("name", REFUSALS)
def test_a_proxy_that_makes_no_tunnel_is_named(path: str, name: str) -> None:
    steps, expect = REFUSALS[name]
    connect = 0.3 if "stalls" in name else 15
    limits = {"connect": connect, "read": 20, "first_byte": 20, "total": 25}
    with FaultServer(lambda _, __: steps) as proxy:
        options: dict[str, Any] = {"cerebras_proxy": proxy.url, "timeout": limits}
        with Caller(path, PROXIED, proxy, **options) as caller:
            check(caller.call(), expect)
        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert not any(KEY in str(request.headers) for request in proxy.requests)
        assert not proxy.open_connections()


@four_paths
def test_a_proxy_that_nobody_runs_is_named(path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    proxy = f"http://user:secret-word@127.0.0.1:{port}"
    with Caller(path, PROXIED, None, cerebras_proxy=proxy) as caller:
        found = caller.call()
        check(found, lost("proxy", f"127.0.0.1:{port}", "HTTPS_PROXY"))
        assert "secret-word" not in str(found)


@four_paths
def test_a_proxy_that_forwards_wants_a_login(path: str) -> None:
    def script(request: Request, number: int) -> list[Step]:
        return [answer(b"", 407)] if number == 1 else good(request)

    with FaultServer(script) as proxy:
        url = "http://api.example.invalid/v1"
        with Caller(path, url, proxy, cerebras_proxy=proxy.url) as caller:
            check(caller.call(), lost("proxy", "407"))
            check(caller.call(), PLAIN_ANSWER)
        assert {request.path for request in proxy.requests} == {
            f"{url}/chat/completions"
        }


# ------------------------------------------------------- one fault among many calls


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_broken_stream_leaves_others_alone(path: str) -> None:
    """Streams on connections of their own: one is cut, its neighbours are whole."""

    def script(request: Request, number: int) -> list[Step]:
        if number == 2:
            return [streamed(RICH_STREAM)[:900], FIN]
        return [streamed(RICH_STREAM)]

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        check(caller.call(), RICH_ANSWER)
        second = caller.call()
        assert isinstance(second, CerebrasError)
        check(caller.call(), RICH_ANSWER)
