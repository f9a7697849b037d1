"""A user's own client with the same face, and the official SDK on our connections."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import openai
import pytest

from langchain_cerebras_ext._http import (
    AsyncHttpxTransport,
    AsyncTransport,
    HttpxTransport,
    SyncTransport,
    Timeouts,
    TransportOptions,
    async_openai_http_client,
    openai_http_client,
)
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Peer, Server

STREAM = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_ENV = TransportOptions(trust_env=False)


CUT_ERROR = b"HTTP/1.1 401 No\r\nContent-Length: 99\r\n\r\n" + b"wrong key"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def family(request: pytest.FixtureRequest) -> ModuleType:
    return request.param  # type: ignore[no-any-return]


class Caller:
    """A user's client of either kind, called in the same way."""

    def __init__(self, family: ModuleType, is_async: bool) -> None:
        self.family = family
        self.is_async = is_async

    def read(
        self, url: str, timeouts: Timeouts | None = None, **options: Any
    ) -> tuple[int, Any, list[bytes]]:
        limits = timeouts or Timeouts()
        options.setdefault("trust_env", False)

        async def run() -> tuple[int, Any, list[bytes]]:
            async with self.family.AsyncClient(**options) as client:
                answer = await AsyncHttpxTransport(client).send(
                    "POST", url, {"X-B": "2"}, b"{}", limits
                )
                return (
                    answer.status,
                    answer.headers,
                    [part async for part in answer.iter_raw()],
                )

        if self.is_async:
            return asyncio.run(run())
        with self.family.Client(**options) as client:
            answer = HttpxTransport(client).send(
                "POST", url, {"X-B": "2"}, b"{}", limits
            )
            return answer.status, answer.headers, list(answer.iter_raw())


@pytest.fixture
def caller(family: ModuleType, is_async: bool) -> Caller:
    return Caller(family, is_async)


def answer_each(
    wire: bytes, then_close: bool = False
) -> Callable[[Peer, Server], None]:
    def handler(peer: Peer, server: Server) -> None:
        while request := peer.read_request():
            server.requests.append(request)
            peer.send(wire)
            if then_close:
                return

    return handler


def test_a_users_client_sends_and_streams(
    caller: Caller, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(STREAM + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"))
    status, headers, parts = caller.read(server.url, headers={"X-C": "3"})
    assert (status, headers["x-a"], b"".join(parts)) == (200, "1", b"ab")
    [request] = server.requests
    assert request.body == b"{}"
    assert (request.headers["x-b"], request.headers["x-c"]) == ("2", "3"), (
        "the client's own headers are kept"
    )
    assert request.headers["accept-encoding"] == "identity"


def test_redirects_are_not_followed_even_if_the_client_would(
    caller: Caller, serve: Callable[..., Server]
) -> None:
    server = serve(
        answer_each(b"HTTP/1.1 302 X\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")
    )
    assert caller.read(server.url, follow_redirects=True)[0] == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", "closed"),
        (STREAM + b"9\r\nabc", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "closed"),
        (b"HTTP/1.1 what\r\n\r\n", "protocol"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            "protocol",
        ),
    ],
    ids=["nothing", "cut chunk", "cut length", "no http", "no gzip"],
)
def test_its_errors_become_ours(
    caller: Caller, serve: Callable[..., Server], wire: bytes, kind: str
) -> None:
    server = serve(answer_each(wire, then_close=True))
    with pytest.raises(CerebrasConnectionError) as caught:
        caller.read(server.url)
    assert caught.value.kind == kind
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert type(caught.value.__cause__).__module__.startswith("httpx")


def test_its_refused_connection_is_told(caller: Caller) -> None:
    with pytest.raises(CerebrasConnectionError, match=r"127.0.0.1:1") as caught:
        caller.read("http://127.0.0.1:1/")
    assert caught.value.kind == "refused"


def test_its_unresolved_name_is_told(caller: Caller) -> None:
    with pytest.raises(CerebrasConnectionError) as caught:
        caller.read("http://name.invalid:1/")
    assert caught.value.kind == "dns"


def test_its_proxy_is_told(caller: Caller) -> None:
    with pytest.raises(CerebrasConnectionError):
        caller.read("https://api.example/", proxy="http://127.0.0.1:1")


def test_its_unknown_certificate_is_told(
    caller: Caller, serve: Callable[..., Server]
) -> None:
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with pytest.raises(CerebrasConnectionError, match="SSL_CERT_FILE") as caught:
        caller.read(serve(answer_each(OK), context).url)
    assert caught.value.kind == "tls"


@pytest.mark.parametrize(
    "limits",
    [Timeouts(read_s=0.2), Timeouts(read_s=5, total_s=0.2)],
    ids=["idle", "total"],
)
def test_its_timeouts_are_ours(
    caller: Caller, serve: Callable[..., Server], limits: Timeouts
) -> None:
    with pytest.raises(CerebrasTimeoutError) as caught:
        caller.read(serve(answer_each(b"")).url, limits)
    assert caught.value.kind == ("total" if limits.total_s == 0.2 else "idle")


def test_its_dripped_body_ends_with_the_total_limit(
    caller: Caller, serve: Callable[..., Server]
) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM)
        while not server.event("end").wait(0.02):
            peer.sock.sendall(b"1\r\nx\r\n")

    with pytest.raises(CerebrasTimeoutError) as caught:
        caller.read(serve(handler).url, Timeouts(total_s=0.4))
    assert caught.value.kind == "total"


def test_its_whole_body_is_read_up_to_the_bound(
    family: ModuleType, is_async: bool, serve: Callable[..., Server]
) -> None:
    url = serve(answer_each(STREAM + b"5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n")).url

    async def read_async(bound: int) -> bytes:
        async with family.AsyncClient(trust_env=False) as client:
            transport = AsyncHttpxTransport(client, max_body_bytes=bound)
            async with await transport.send("POST", url, {}, b"", Timeouts()) as answer:
                return await answer.read()

    def read(bound: int) -> bytes:
        if is_async:
            return asyncio.run(read_async(bound))
        with family.Client(trust_env=False) as client:
            transport = HttpxTransport(client, max_body_bytes=bound)
            with transport.send("POST", url, {}, b"", Timeouts()) as answer:
                return answer.read()

    assert read(10) == b"abcdefghij"
    with pytest.raises(CerebrasConnectionError, match="longer than 9 bytes"):
        read(9)


def test_its_refusing_proxy_is_told(
    caller: Caller, serve: Callable[..., Server]
) -> None:
    server = serve(answer_each(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(CerebrasConnectionError, match="HTTPS_PROXY") as caught:
        caller.read(
            "https://api.example/", proxy=f"http://user:hidden@127.0.0.1:{server.port}"
        )
    assert caught.value.kind == "proxy"
    assert "hidden" not in str(caught.value)


def test_its_reset_is_told(caller: Caller, serve: Callable[..., Server]) -> None:
    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(STREAM + b"1\r\na\r\n")
        peer.reset()

    with pytest.raises(CerebrasConnectionError) as caught:
        caller.read(serve(handler).url)
    assert caught.value.kind in {"reset", "closed"}


def test_no_limits_are_no_limits(caller: Caller, serve: Callable[..., Server]) -> None:
    limits = Timeouts(connect_s=None, read_s=None, total_s=None)
    assert caller.read(serve(answer_each(OK)).url, limits)[2] == [b"ok"]


def test_a_mocks_own_errors_pass_untouched(family: ModuleType) -> None:
    def fail(request: Any) -> Any:
        raise AssertionError("mine")

    client = family.Client(transport=family.MockTransport(fail))
    with pytest.raises(AssertionError, match="mine"):
        HttpxTransport(client).send("POST", "http://host/", {}, b"", Timeouts())
    client.close()


def test_a_client_of_the_other_kind_is_refused(family: ModuleType) -> None:
    with pytest.raises(CerebrasConfigurationError, match="AsyncClient, not a Client"):
        HttpxTransport(family.AsyncClient())
    with (
        family.Client() as client,
        pytest.raises(CerebrasConfigurationError, match="not a AsyncClient"),
    ):
        AsyncHttpxTransport(client)
    with pytest.raises(CerebrasConfigurationError, match="is a object"):
        HttpxTransport(object())


def test_the_users_client_stays_open(family: ModuleType) -> None:
    with family.Client() as client:
        HttpxTransport(client).close()
        assert not client.is_closed


# ---------------------------------------------------------------- the SDK on our pools


def test_the_sdk_runs_on_our_connections(serve: Callable[..., Server]) -> None:
    body = gzip.compress(b'{"object":"list","data":[]}', mtime=0)
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    server = serve(answer_each(wire % len(body) + body))
    with SyncTransport(NO_ENV) as transport:
        client = openai.OpenAI(
            api_key="k", base_url=server.url, http_client=openai_http_client(transport)
        )
        assert client.models.list().data == []
        client.close()
        transport.send("GET", server.url, {}, None, Timeouts()).read()
    assert server.connections == 1
    assert server.requests[0].headers["authorization"] == "Bearer k"
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_the_async_sdk_runs_on_our_connections(
    serve: Callable[..., Server],
) -> None:
    event = b'data: {"id":"1","choices":[],"created":1,"model":"m","object":"chat.completion.chunk"}\n\n'
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = serve(
        answer_each(
            wire
            + b"%x\r\n%b\r\n" % (len(event), event)
            + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
        )
    )
    async with AsyncTransport(NO_ENV) as transport:
        client = openai.AsyncOpenAI(
            api_key="k",
            base_url=server.url,
            http_client=async_openai_http_client(transport),
        )
        stream = await client.chat.completions.create(
            model="m", messages=[], stream=True
        )
        assert [chunk.id async for chunk in stream] == ["1"]
        await client.close()


def test_the_sdk_sees_errors_it_knows(serve: Callable[..., Server]) -> None:
    with SyncTransport(NO_ENV) as transport:
        client = openai.OpenAI(
            api_key="k", base_url=serve(answer_each(b"")).url, max_retries=0, timeout=0.2,
            http_client=openai_http_client(transport),
        )  # fmt: skip
        with pytest.raises(openai.APITimeoutError):
            client.models.list()
        with pytest.raises(openai.APIConnectionError) as caught:
            client.with_options(base_url="http://127.0.0.1:1").models.list()
        assert isinstance(caught.value.__cause__, httpx2.ConnectError)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_error_whose_body_is_cut_is_read_as_far_as_it_came(
    family: ModuleType, serve: Callable[..., Server], is_async: bool
) -> None:
    """As on our own transports: the status is known, and must not be hidden."""

    def handler(peer: Peer, server: Server) -> None:
        peer.read_request()
        peer.send(CUT_ERROR)

    url = serve(handler).url

    async def run() -> tuple[int, bytes]:
        async with family.AsyncClient(trust_env=False) as client:
            transport = AsyncHttpxTransport(client)
            answer = await transport.send("POST", url, {}, b"{}", Timeouts())
            return answer.status, await answer.read()

    if is_async:
        found = asyncio.run(run())
    else:
        with family.Client(trust_env=False) as client:
            answer = HttpxTransport(client).send("POST", url, {}, b"{}", Timeouts())
            found = answer.status, answer.read()
    assert found == (401, b"wrong key")
