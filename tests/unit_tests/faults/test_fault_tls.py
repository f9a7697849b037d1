"""TLS that fails before a call, and connections that break under it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_answers import (
    JSON_TYPE,
    RICH_BODY,
    ROLE,
    TEXT,
    THINK,
    answer,
    begun,
    good,
    head,
    length,
)
from fault_case import (
    ASYNC,
    FOUR,
    PLAIN,
    PLAIN_ANSWER,
    RICH_ANSWER,
    STREAMED,
    Broken,
    Caller,
    Case,
    Partial,
    case,
    check,
    cut,
    late,
    lost,
    parameters,
    run,
)
from fault_server import FIN, HEAR, HOLD, RST, SEEN, FaultServer, Step

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning",
    # The server is told to speak a version that is out of use.
    "ignore:ssl.TLSVersion:DeprecationWarning",
)
four_paths = pytest.mark.parametrize("path", FOUR)

SOME = Partial("Let me look", "I need the")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust the test's authority, in the way that users have for it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


def context_of(authority: trustme.CA, *names: str, **dates: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **dates).configure_cert(context)
    return context


def from_another_authority(_: trustme.CA) -> ssl.SSLContext:
    return context_of(trustme.CA())


def of_another_host(authority: trustme.CA) -> ssl.SSLContext:
    return context_of(authority, "other.example")


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return context_of(
        authority,
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(2021, 1, 1, tzinfo=UTC),
    )


def not_yet_valid(authority: trustme.CA) -> ssl.SSLContext:
    return context_of(
        authority,
        not_before=datetime(2990, 1, 1, tzinfo=UTC),
        not_after=datetime(2991, 1, 1, tzinfo=UTC),
    )


def of_an_old_version(authority: trustme.CA) -> ssl.SSLContext:
    context = context_of(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


WRONG: dict[str, tuple[Callable[[trustme.CA], ssl.SSLContext], str]] = {
    "untrusted": (from_another_authority, "not trusted"),
    "wrong_host": (of_another_host, "not valid for '127.0.0.1'"),
    "expired": (expired, "expired"),
    "not_yet_valid": (not_yet_valid, "not yet valid"),
    "old_version": (of_an_old_version, "TLS failed"),
}


@four_paths
@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_cannot_be_trusted_gets_no_request(
    authority: trustme.CA, path: str, name: str
) -> None:
    make, says = WRONG[name]
    context = make(authority)
    with FaultServer(lambda request, _: good(request), context=context) as server:
        with Caller(path, server.url, server) as caller:
            check(caller.call(), lost("tls", says, "SSL_CERT_FILE"))
        assert server.requests == []
        assert not server.open_connections()
        assert [held.ended for held in server.connections] == ["handshake"]


@four_paths
def test_a_server_that_wants_a_certificate_of_ours_is_told(
    authority: trustme.CA, path: str
) -> None:
    context = context_of(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    with FaultServer(lambda request, _: good(request), context=context) as server:
        with Caller(path, server.url, server) as caller:
            check(caller.call(), lost("tls", "CERTIFICATE_REQUIRED"))
        assert server.requests == []


HANDSHAKES: dict[str, tuple[list[Step], Broken, dict[str, Any]]] = {
    "closes": ([HEAR, FIN], lost("closed", "No connection"), {}),
    "speaks_http": (
        [HEAR, b"HTTP/1.1 400 Bad Request\r\n\r\n", HOLD],
        lost("tls", "TLS failed"),
        {},
    ),
    "sends_an_alert": (
        [HEAR, b"\x15\x03\x03\x00\x02\x02\x28", HOLD],
        lost("tls", "TLS failed"),
        {},
    ),
    "stalls": ([HOLD], late("connect", 0.3), {"connect": 0.3}),
    "stalls_after_the_hello": ([HEAR, HOLD], late("connect", 0.3), {"connect": 0.3}),
}


@four_paths
@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_that_breaks_is_told_and_the_next_call_works(
    authority: trustme.CA, path: str, name: str
) -> None:
    steps, expect, brief = HANDSHAKES[name]
    limits = {"connect": 15, "read": 15, "first_byte": 15, "total": 25, **brief}
    with FaultServer(
        lambda request, _: good(request),
        on_connect=lambda number: steps if number == 1 else (),
        context=context_of(authority),
    ) as server:
        with Caller(path, server.url, server, timeout=limits) as caller:
            # asyncio names the end of a handshake a reset.
            is_named = name == "closes" and path in ASYNC
            check(caller.call(), replace(expect, kind="reset") if is_named else expect)
            assert server.requests == []
            check(caller.call(timeout={**limits, "connect": 15}), PLAIN_ANSWER)
        assert not server.open_connections()


@four_paths
def test_http_to_a_port_that_speaks_tls_is_told(path: str) -> None:
    """Such a server answers with an alert, which is no HTTP."""
    alert = b"\x15\x03\x01\x00\x02\x02\x16"
    with FaultServer(lambda request, _: [alert, FIN]) as server:
        with Caller(path, server.url, server) as caller:
            found = caller.call()
        assert found.kind in {"protocol", "closed"}  # type: ignore[union-attr]
        assert not server.open_connections()


def cases() -> list[Case]:
    """Faults of the connection within TLS: told as those without."""
    body = head(JSON_TYPE, length(RICH_BODY))
    sent = begun(ROLE, THINK, TEXT)
    return [
        case(
            "tls_whole", answer(RICH_BODY), expect=RICH_ANSWER, paths=PLAIN, kept=True
        ),
        case(
            "tls_cut_before_the_status_line",
            FIN,
            expect=lost("closed", "without an answer"),
            kept=False,
        ),
        case(
            "tls_cut_in_the_headers",
            b"HTTP/1.1 200 OK\r\nX-A",
            FIN,
            expect=lost("closed", "inside the headers"),
            kept=False,
        ),
        case(
            "tls_cut_in_the_body",
            body + RICH_BODY[:99],
            FIN,
            expect=lost("closed", "before the answer's end"),
            paths=PLAIN,
            kept=False,
        ),
        # Without a length only TLS's own end would show that this is all; but half of
        # it is no JSON, and the whole is whole.
        case(
            "tls_neither_length_nor_chunks",
            head(JSON_TYPE) + RICH_BODY,
            FIN,
            expect=RICH_ANSWER,
            paths=PLAIN,
            kept=False,
        ),
        case(
            "tls_cut_in_a_stream",
            sent,
            FIN,
            expect=cut("broke off", partial=SOME),
            paths=STREAMED,
            kept=False,
        ),
        case(
            "tls_reset_in_a_stream",
            sent,
            SEEN,
            RST,
            expect=cut("broke off", partial=SOME),
            paths=("stream", "astream"),
            kept=False,
        ),
        case(
            "tls_left_over",
            answer(RICH_BODY) + answer(RICH_BODY),
            expect=RICH_ANSWER,
            paths=PLAIN,
            kept=False,
        ),
    ]


@pytest.mark.parametrize(("row", "path"), parameters(cases()))
def test_a_fault_within_tls_is_told_as_without(
    authority: trustme.CA, row: Case, path: str
) -> None:
    run(row, path, context=context_of(authority))
