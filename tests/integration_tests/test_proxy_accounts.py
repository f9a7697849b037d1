"""What each exchange is booked as: fallbacks, tries sent again, clients that leave.

The service's bill is the measure. What it must agree with is what the ledger holds; what
nobody can know is flagged as an estimate, and is never a silent zero.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import statistics
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from proxy_answers import delta
from proxy_faults import HASTY, TROUBLES, Trouble, is_slow, settle
from proxy_process import ProxyProcess, proxy_environment
from proxy_raw import CHAT, RawClient, ask, question
from proxy_server import CLIENT_KEY, UPSTREAM_KEY, Proxy, running_proxy
from wire_server import (
    DONE,
    END,
    Request,
    WireServer,
    chunk,
    event,
    head,
    plain,
    stream_head,
)

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.proxy.record import Providers, counts_of, to_records
from langchain_cerebras_ext.proxy.settings import Upstream
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_cerebras_ext.costs.records import UsageRecord
    from langchain_cerebras_ext.proxy.exchange import Exchange

OTHER_KEY = "other-key-of-the-fallback-0123456789"
SECOND_TEXT = "zwei zwei zwei zwei zwei"
MAYBE = {"upstream_interrupted", "upstream_timeout", "upstream_invalid_answer"}
"""Of these the first upstream may have billed something."""


def rows_of(proxy: Proxy, exchange: Exchange) -> list[UsageRecord]:
    """Return what the ledger gets."""
    return to_records(exchange, Providers(proxy.app.settings))


# -------------------------------------------------------------------------- fallbacks


class Pair:
    """Two upstreams and a proxy that falls back to the second."""

    def __init__(self, first: Simulator, second: Simulator, proxy: Proxy) -> None:
        self.first = first
        self.second = second
        self.proxy = proxy

    def reset(self) -> None:
        """Forget what was."""
        settle(self.proxy)
        self.first.reset()
        self.second.reset()
        self.proxy.exchanges.clear()
        self.second.reply(SECOND_TEXT)


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[bool, Pair]]:
    """Return two of them: the proxy of `True` waits for nobody long."""
    with (
        Simulator(key=UPSTREAM_KEY, tokens_per_chunk=1) as first,
        Simulator(key=OTHER_KEY) as second,
    ):
        other = Upstream(name="other", base_url=second.base_url, api_key=OTHER_KEY)
        given = {"upstream_url": first.base_url, "fallbacks": [other]}
        with (
            running_proxy(**given) as proxy,
            running_proxy(**given, **HASTY) as hasty,
        ):
            yield {
                False: Pair(first, second, proxy),
                True: Pair(first, second, hasty),
            }


@pytest.fixture
def pair(request: pytest.FixtureRequest, pairs: dict[bool, Pair]) -> Pair:
    found = pairs[is_slow(request)]
    found.reset()
    return found


FAULTS = [one for one in TROUBLES if one.odd is None and "drip" not in one.name]


@pytest.mark.parametrize("trouble", FAULTS, ids=[one.id for one in FAULTS])
def test_another_upstream_answers_all_of_it_or_nothing(
    pair: Pair, trouble: Trouble
) -> None:
    trouble.script(pair.first)
    answer = ask(pair.proxy, question(stream=trouble.stream))
    (exchange,) = pair.proxy.wait_ended()
    assert pair.first.wait_idle()
    assert pair.second.wait_idle()
    *tries, last = rows_of(pair.proxy, exchange)
    bill = pair.second.billed.total
    assert bool(exchange.failed_upstreams) == bool(pair.second.requests)
    if not pair.second.requests:
        assert b"zwei" not in answer.body
        assert tries == []
        assert exchange.upstream == "cerebras"
        return
    # Nothing of the first one's answer is in it.
    assert answer.status == 200
    assert answer.is_whole
    assert (b"[DONE]" in answer.body) == trouble.stream
    assert "zwei" in answer.body.decode()
    for text in ("Grü", "Caf", "Hm", "Paris", "error"):
        assert text not in answer.body.decode()
    assert exchange.outcome == "ok"
    assert exchange.upstream == "other"
    assert {name for name, _ in exchange.failed_upstreams} == {"cerebras"}
    kinds = {category for _, category in exchange.failed_upstreams}
    assert trouble.category is not None
    assert kinds <= set(trouble.category.split("|"))
    # The one that answered equals its bill; those that failed are listed.
    assert (last.input_tokens, last.output_tokens) == (
        bill.prompt_tokens,
        bill.completion_tokens,
    )
    assert last.flags == ()
    assert bool(tries) == bool(kinds & MAYBE)
    for row in tries:
        assert row.outcome == "retried"
        assert "estimated" in row.flags
        assert row.input_tokens
    # An error in an answer's place is taken at its word: nothing was made.
    if pair.first.billed.total.prompt_tokens and not trouble.name.startswith("error"):
        assert tries


def test_faults_before_the_first_byte_are_mended_and_later_ones_are_not(
    pair: Pair,
) -> None:
    """The table above would also pass if no other upstream were ever asked."""
    mended = set()
    for trouble in FAULTS:
        if "stall" not in trouble.name:
            pair.reset()
            trouble.script(pair.first)
            ask(pair.proxy, question(stream=trouble.stream))
            (exchange,) = pair.proxy.wait_ended()
            if exchange.upstream == "other":
                mended.add(trouble.id)
    assert {
        "close_before_headers-plain",
        "reset_before_headers-stream",
        "garbage-stream",
        "cut_headers-plain",
        "html-plain",
        "redirect-stream",
        "not_json-plain",
        "error_in_200-plain",
        "queue_exceeded-stream",
        "server_error-plain",
        "404-plain",
        "error_event_first-stream",
        "empty_body-plain",
        "empty_body-stream",
    } <= mended
    assert not mended & {
        "cut_stream-stream",
        "error_event-stream",
        "end_early-stream",
        "wrong_api_format-plain",
        "wrong_api_key-stream",
        "422-plain",
    }


def test_a_fallback_that_fails_as_well_is_what_is_told(pair: Pair) -> None:
    pair.first.fail_next(503)
    pair.second.reset()
    pair.second.fail_next(code="queue_exceeded", headers={"retry-after": "9"})
    answer = ask(pair.proxy, question(stream=True))
    (exchange,) = pair.proxy.wait_ended()
    assert (answer.status, answer.headers["retry-after"]) == (429, "9")
    assert exchange.failed_upstreams == [("cerebras", "upstream_server")]
    assert exchange.error_category == "upstream_rate_limit"
    metrics = pair.proxy.metrics()
    assert 'fallbacks_total{from_upstream="cerebras",to_upstream="other"}' in metrics


def test_a_client_that_leaves_while_it_waits_asks_no_other_upstream(pair: Pair) -> None:
    pair.first.fail_next(fault="stall_before_headers")
    with RawClient(pair.proxy) as client:
        client.send(question())
        pair.proxy.wait(lambda: pair.first.requests)
    (exchange,) = pair.proxy.wait_ended()
    assert exchange.outcome == "aborted"
    assert not pair.second.requests


# ------------------------------------------------------- a connection that was closed


@pytest.mark.parametrize("fault", ["close_before_headers", "reset_before_headers"])
def test_a_request_that_is_sent_again_is_booked_twice(fault: Any) -> None:
    """The service may have answered the first one, and does bill it here."""
    with (
        Simulator(key=UPSTREAM_KEY) as sim,
        running_proxy(sim.base_url) as proxy,
    ):
        ask(proxy, question())
        sim.fail_next(fault=fault)
        assert ask(proxy, question()).status == 200
        exchange = proxy.wait_ended(2)[1]
        assert sim.wait_idle()
        assert len(sim.billed) == 3
        first, second = rows_of(proxy, exchange)
        assert "upstream_errors_total" in proxy.metrics()
        assert "fallbacks_total{" not in proxy.metrics()
    assert exchange.outcome == "ok"
    assert exchange.attempts == 1
    assert exchange.failed_upstreams == [("cerebras", "upstream_interrupted")]
    assert (first.outcome, first.flags) == (
        "retried",
        ("estimated", "no_usage", "unpriced"),
    )
    assert first.input_tokens
    assert (second.outcome, second.flags) == ("ok", ())


def test_nobody_to_connect_to_costs_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with running_proxy(f"http://127.0.0.1:{port}") as proxy:
        answer = ask(proxy, question())
        (exchange,) = proxy.wait_ended()
        (row,) = rows_of(proxy, exchange)
    assert answer.status == 502
    assert exchange.error_category == "upstream_connection"
    assert (row.input_tokens, row.output_tokens, row.flags) == (0, 0, ())
    assert row.cost is not None
    assert row.cost.total == 0


# ----------------------------------------------------------------------- the ledger


def test_the_ledger_equals_the_bill_or_says_where_it_cannot(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    faults = [one for one in FAULTS if "stall" not in one.name]
    bills: list[Any] = []
    with (
        Simulator(key=UPSTREAM_KEY, tokens_per_chunk=1) as sim,
        running_proxy(sim.base_url, ledger_url=url) as proxy,
    ):
        for trouble in faults:
            sim.reset()
            trouble.script(sim)
            ask(proxy, question(stream=trouble.stream))
            assert sim.wait_idle()
            bills.append(sim.billed)
        ended = list(proxy.wait_ended(len(faults)))
    with Ledger(url) as ledger:
        rows: dict[str, list[UsageRecord]] = {}
        for row in ledger.records():
            rows.setdefault(str(row.run_id), []).append(row)
    assert len(rows) == len(ended)
    for trouble, bill, exchange in zip(faults, bills, ended, strict=True):
        kept = rows[exchange.request_id]
        tokens = sum((row.input_tokens or 0) + (row.output_tokens or 0) for row in kept)
        if any("estimated" in row.flags for row in kept):
            assert tokens > 0, trouble.id
        else:
            assert tokens == bill.total.total_tokens, trouble.id
        assert {row.user for row in kept} == {"default"}


# ----------------------------------------------------------------- clients that leave


class Holding:
    """An upstream that holds each call at a phase, and notes when it is left.

    Attributes:
        gone: When it noticed, for each call.
        held: Set when a call is where it is to be held.
    """

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self.gone: list[float] = []
        self.held = threading.Event()

    def was_left(self, number: int) -> bool:
        """Whether the call of a number has been left."""
        return len(self.gone) > number

    def __call__(self, request: Request) -> Iterator[bytes]:
        """Answer as far as the phase goes."""
        if self._phase == "before_first_token":
            yield stream_head() + chunk(event({"id": "x", "choices": []}))
        elif self._phase == "streaming":
            yield stream_head() + chunk(delta("Hel"))
        elif self._phase == "body":
            yield head(200, {"content-length": "500"}) + b'{"id": "x", '
        self.held.set()
        request.sock.settimeout(30)
        try:
            request.sock.recv(1)
        except TimeoutError:
            self.gone.append(float("inf"))  # nobody has left
        except OSError:
            self.gone.append(time.perf_counter())
        else:
            self.gone.append(time.perf_counter())


LEFT = ["waiting", "waiting for a stream", "before_first_token", "streaming", "body"]
TRIES = 12


def leave(client: RawClient, *, reset: bool) -> float:
    """Close or reset a connection, and return when."""
    if reset:
        linger = struct.pack("ii", 1, 0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    when = time.perf_counter()
    client.close()
    return when


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("phase", LEFT)
def test_a_client_that_leaves_is_noticed_upstream_in_every_phase(
    phase: str, reset: bool
) -> None:
    """The target is 30 ms; how long it took is printed (`pytest -rP`)."""
    kind, _, streamed = phase.partition(" for ")
    stream = bool(streamed) or kind in {"before_first_token", "streaming"}
    holding = Holding(kind)
    delays: list[float] = []
    with (
        WireServer(holding) as server,
        running_proxy(server.url) as proxy,
    ):
        for number in range(TRIES):
            holding.held.clear()
            client = RawClient(proxy)
            client.send(question(stream=stream))
            assert holding.held.wait(30)
            if kind != "waiting":
                client.sock.recv(100)
            if number % 2:  # some at once, some when it has waited for a while
                time.sleep(0.03)
            left = leave(client, reset=reset)
            proxy.wait(functools.partial(holding.was_left, number))
            delays.append(holding.gone[number] - left)
        ended = proxy.wait_ended(TRIES)
        assert proxy.app.in_flight == 0
    middle, most = statistics.median(delays) * 1e3, max(delays) * 1e3
    print(f"{phase}: left after {middle:.1f} ms (median), {most:.1f} ms at most")
    assert most < float("inf")
    for exchange in ended:
        assert (exchange.outcome, exchange.phase) == ("aborted", kind)
        assert exchange.error_category == "client_gone"
        assert exchange.status == (499 if kind == "waiting" else 200)
        assert "estimated" in exchange.flags
        (row,) = rows_of(proxy, exchange)
        assert row.outcome == "aborted"
        assert row.cost is not None
        assert row.cost.total > 0


def test_what_was_sent_before_a_client_left_is_near_the_bill() -> None:
    with (
        Simulator(key=UPSTREAM_KEY, tokens_per_chunk=1) as sim,
        running_proxy(sim.base_url) as proxy,
    ):
        sim.reply(chunks=["water "] * 4000, event_delay_s=0.01)
        with RawClient(proxy) as client:
            client.send(question(stream=True))
            answer = client.head()
            while answer.body.count(b"water ") < 60:
                assert client.part(answer)
        (exchange,) = proxy.wait_ended()
        assert sim.wait_idle()
        (call,) = sim.billed
    counts = counts_of(exchange)
    assert counts is not None
    assert call.fault == "client_gone"
    assert counts.output == pytest.approx(call.completion_tokens, rel=0.8)
    assert counts.input == pytest.approx(call.prompt_tokens, rel=0.5)


def test_half_a_request_is_booked_as_nothing() -> None:
    with (
        WireServer(lambda _: plain({"choices": []})) as server,
        running_proxy(server.url) as proxy,
    ):
        for reset in (False, True):
            client = RawClient(proxy)
            client.sock.sendall(
                f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
                f"authorization: Bearer {CLIENT_KEY}\r\n\r\n{{".encode()
            )
            proxy.wait(lambda: "in_flight_requests 1.0" in proxy.metrics())
            leave(client, reset=reset)
            proxy.wait(lambda: "in_flight_requests 0.0" in proxy.metrics())
        ended = proxy.wait_ended(2)
        assert not server.requests
        assert {one.outcome for one in ended} == {"aborted"}
        assert [counts_of(one) for one in ended] == [None, None]


def test_requests_in_one_go_are_answered_in_their_order() -> None:
    with (
        WireServer(
            lambda request: plain({"id": request.json["n"], "choices": []})
        ) as up,
        running_proxy(up.url) as proxy,
        RawClient(proxy) as client,
    ):
        for number in range(5):
            client.send(question(n=number))
        found = [client.rest(client.head()).json["id"] for _ in range(5)]
        assert len(proxy.wait_ended(5)) == 5
    assert found == list(range(5))


def test_a_client_that_leaves_behind_the_end_changes_nothing() -> None:
    """It has what it waited for; many do not wait for the last chunk."""

    def answer(request: Request) -> Iterator[bytes]:
        yield stream_head() + chunk(delta("Hello.")) + chunk(DONE)
        request.wait_gone(0.5)
        yield END

    with WireServer(answer) as server, running_proxy(server.url) as proxy:
        with RawClient(proxy) as client:
            client.send(question(stream=True))
            found = client.head()
            while b"[DONE]" not in found.body:
                client.part(found)
        (exchange,) = proxy.wait_ended()
    assert exchange.outcome == "ok"


# ------------------------------------------------------------------- slow clients

READERS = 6
OFFERED = 50_000_000
SPARE_MB = 15.0
"""For all of them: what buffers come to, a megabyte each, and some for chance."""


def memory_mb(pid: int) -> float:
    """Return how much memory a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = next(line for line in lines if line.startswith("VmRSS:"))
    return int(found.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_clients_that_read_nothing_take_no_memory() -> None:
    """Each is offered 50 MB; what it does not take stays where it comes from."""
    taken = 0
    piece = chunk(delta("a" * 60_000))

    def answer(_: Request) -> Iterator[bytes]:
        nonlocal taken
        yield stream_head()
        for _number in range(OFFERED // len(piece)):
            yield piece
            taken += len(piece)
        yield chunk(DONE) + END

    with (
        WireServer(answer) as server,
        ProxyProcess(proxy_environment(server.url)) as proxy,
    ):
        assert proxy.chat()[0] == 200  # what is loaded late is loaded now
        taken = 0
        before = memory_mb(proxy.process.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(READERS):
                sock = stack.enter_context(proxy.raw())
                sock.sendall(_request(question(stream=True)))
            _wait_still(lambda: taken)
            grown = memory_mb(proxy.process.pid) - before
            print(f"{taken / 1e6:.0f} MB on their way, {grown:.1f} MB more in use")
            assert taken < READERS * OFFERED
            assert proxy.get("/health")[0] == 200
        proxy.said("the client left", READERS)
    assert grown < SPARE_MB


def _request(body: Any) -> bytes:
    data = json.dumps(body).encode()
    lines = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return lines.encode() + data


def _wait_still(value: Callable[[], int]) -> None:
    """Wait until a number that grows stands still."""
    before = -1
    while before != (now := value()) or not now:
        before = now
        time.sleep(0.2)
