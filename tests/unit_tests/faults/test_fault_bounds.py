"""What never ends is bounded, and faults leave nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path
from typing import Any

import pytest
from fault_answers import (
    JSON_TYPE,
    KEY,
    RICH_BODY,
    ROLE,
    STREAM_HEAD,
    TEXT,
    THINK,
    answer,
    begun,
    chunk,
    delta,
    ending,
    good,
    head,
    length,
    streamed,
)
from fault_case import (
    FOUR,
    PLAIN,
    PLAIN_ANSWER,
    STREAMED,
    Caller,
    Partial,
    Whole,
    check,
    lost,
    unreadable,
)
from fault_server import FIN, HOLD, RST, FaultServer, Step
from wire_server import Request

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._http import TransportOptions
from langchain_cerebras_ext.errors import CerebrasError
from langchain_cerebras_ext.wire import _sse

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)


@pytest.mark.parametrize("path", STREAMED)
def test_an_event_that_never_ends_is_refused_with_what_came_before(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sse, "MAX_EVENT_BYTES", 100_000)
    endless = b"data: " + b"x" * 200_000

    def script(request: Request, number: int) -> list[Step]:
        if number > 1:
            return good(request)
        return [begun(ROLE, THINK, TEXT), chunk(endless), HOLD]

    with FaultServer(script) as server, Caller(path, server.url, server) as caller:
        partial = Partial("Let me look", "I need the")
        check(caller.call(), unreadable("exceeds 100000 bytes", partial=partial))
        check(caller.call(), PLAIN_ANSWER)
        assert len(server.connections) == 2


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_comment_that_never_ends_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sse, "MAX_EVENT_BYTES", 100_000)
    with (
        FaultServer(
            lambda _, __: [STREAM_HEAD + chunk(b": " + b"x" * 200_000), HOLD]
        ) as server,
        Caller(path, server.url, server) as caller,
    ):
        check(caller.call(), unreadable("exceeds 100000 bytes"))


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_a_large_event_is_read(path: str) -> None:
    text = "0123456789" * 300_000
    wire = streamed(ROLE, delta(content=text), ending())
    with FaultServer(lambda _, __: [wire]) as server:
        with Caller(path, server.url, server) as caller:
            check(caller.call(), Whole(text))


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize("how", ["length", "chunks", "gzip", "no_end"])
def test_a_plain_answer_without_bounds_is_refused(
    path: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TransportOptions(max_body_bytes=100_000)
    monkeypatch.setattr(ChatCerebras, "_options", lambda _: options)
    body = b" " * 3_000_000
    wires: dict[str, bytes] = {
        "length": head(JSON_TYPE, length(body)) + body,
        "chunks": head(JSON_TYPE, "Transfer-Encoding: chunked") + chunk(body),
        "gzip": answer(gzip.compress(body), 200, "Content-Encoding: gzip"),
        "no_end": head(JSON_TYPE) + body,
    }
    with FaultServer(lambda _, __: [wires[how], HOLD]) as server:
        with Caller(path, server.url, server) as caller:
            check(caller.call(), lost("protocol", "longer than 100000 bytes"))
        assert not server.open_connections()


# ---------------------------------------------------------------------- what is left


def descriptors() -> int | None:
    """Return how many files this process has open, where the system says so."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else None


FAULTS: list[list[Step]] = [
    [FIN],
    [RST],
    [b"HTTP/1.1 2", FIN],
    [b"nonsense\r\n\r\n"],
    [answer({"message": "no"}, 401)],
    [answer({"message": "no"}, 503), FIN],
    [answer(b"<html>", 502, kind="Content-Type: text/html")],
    [head(JSON_TYPE, length(RICH_BODY)) + RICH_BODY[:50], FIN],
    [head(JSON_TYPE, "Transfer-Encoding: chunked") + b"zz\r\n", FIN],
    [begun(ROLE, THINK, TEXT), FIN],
    [begun(ROLE) + chunk(b"data: junk\n\n"), FIN],
    [streamed(ROLE, TEXT)],
]


def script(request: Request, number: int) -> list[Step]:
    return good(request) if number % 13 == 0 else FAULTS[number % len(FAULTS)]


@pytest.mark.parametrize("path", FOUR)
def test_a_hundred_faults_leave_no_connection_no_thread_and_no_task(path: str) -> None:
    """Though every error is kept, with its traceback."""
    kept: list[Any] = []
    with FaultServer(script) as server:
        before = descriptors(), threading.active_count()
        with Caller(path, server.url, server) as caller:
            kept += [caller.call() for _ in range(100)]
            assert not caller.tasks()
        assert not server.open_connections()
        # The server's own threads end with their connections; the loop's are closed.
        after = descriptors(), threading.active_count()
    assert sum(isinstance(found, CerebrasError) for found in kept) > 80
    assert after[1] <= before[1]
    if before[0] is not None and after[0] is not None:
        assert after[0] <= before[0]


def test_faults_in_many_tasks_at_once_leave_nothing_either() -> None:
    async def go(url: str) -> list[Any]:
        async with ChatCerebras(base_url=url, api_key=KEY, max_retries=0) as model:
            calls = [model.ainvoke("hi") for _ in range(60)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert len(asyncio.all_tasks()) == 1
            return found

    with FaultServer(script) as server:
        before = descriptors()
        found = asyncio.run(go(server.url))
        assert not server.open_connections()
        after = descriptors()
    wrong = [e for e in found if isinstance(e, Exception) and not isinstance(e, CerebrasError)]  # fmt: skip
    assert wrong == []
    if before is not None and after is not None:
        assert after <= before
