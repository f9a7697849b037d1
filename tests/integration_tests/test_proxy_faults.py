"""Whatever breaks upstream, a client of the proxy is told, and the books are right.

Each fault that the simulator knows, in streams and plain answers, seen by a client that
looks at the bytes, by OpenAI's package and by our own model: none takes a part for the
whole, none gets a worse error than it would have without the proxy.
"""

from __future__ import annotations

import contextlib
import functools
import json
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2
import openai
import pytest
from call_paths import whole
from openai import OpenAI
from proxy_answers import BODY, LAST, STREAM, delta
from proxy_faults import (
    HASTY,
    TEXT,
    TROUBLES,
    Trouble,
    check_failure,
    is_slow,
    settle,
)
from proxy_process import ProxyProcess, proxy_environment
from proxy_raw import RawClient, ask, question
from proxy_server import CLIENT_KEY, UPSTREAM_KEY, Proxy, running_proxy
from wire_server import (
    CUT,
    DONE,
    END,
    RESET,
    Request,
    WireServer,
    chunk,
    event,
    head,
    plain,
    sse,
    stream_head,
)

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import CerebrasError, CerebrasStatusError
from langchain_cerebras_ext.proxy.log import RequestLog
from langchain_cerebras_ext.proxy.record import Providers, counts_of, to_records
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_cerebras_ext.proxy.exchange import Exchange

MODEL = "gpt-oss-120b"
ROWS = pytest.mark.parametrize("trouble", TROUBLES, ids=[one.id for one in TROUBLES])


class Bench:
    """A simulator, a proxy before it, and the proxy's log.

    Attributes:
        sim: The upstream.
        proxy: What is tested.
        lines: What it has logged.
    """

    def __init__(self, sim: Simulator, proxy: Proxy) -> None:
        self.sim = sim
        self.proxy = proxy
        self.lines: list[bytes] = []
        proxy.app.observers.append(
            RequestLog(proxy.app.settings, write=self.lines.append)
        )

    def reset(self) -> None:
        """Forget what was."""
        settle(self.proxy)
        self.sim.reset()
        self.proxy.exchanges.clear()
        self.lines.clear()

    def ended(self) -> Exchange:
        """Return the one exchange, once both ends are done with it."""
        (exchange,) = self.proxy.wait_ended()
        self.proxy.wait(lambda: self.lines)
        assert self.sim.wait_idle()
        return exchange


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[bool, Bench]]:
    """Return two of them: that of `True` waits for nobody long."""
    with (
        Simulator(key=UPSTREAM_KEY, tokens_per_chunk=1) as sim,
        Simulator(key=UPSTREAM_KEY, tokens_per_chunk=1) as slow,
        running_proxy(sim.base_url) as proxy,
        running_proxy(slow.base_url, **HASTY) as hasty,
    ):
        yield {False: Bench(sim, proxy), True: Bench(slow, hasty)}


@pytest.fixture
def bench(request: pytest.FixtureRequest, benches: dict[bool, Bench]) -> Bench:
    found = benches[is_slow(request)]
    found.reset()
    return found


def count(proxy: Proxy, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in proxy.metrics().splitlines()
        if line.startswith(f"cerebras_proxy_{name}{{")
        and all(one in line for one in wanted)
    )


# --------------------------------------------------------------------- byte for byte


@ROWS
def test_a_fault_is_told_and_the_books_are_right(
    bench: Bench, trouble: Trouble
) -> None:
    trouble.script(bench.sim)
    answer = ask(bench.proxy, question(stream=trouble.stream))
    exchange = bench.ended()
    if trouble.category is None:
        assert (answer.status, answer.is_whole) == (200, True)
        assert exchange.outcome == "ok"
    else:
        check_failure(trouble, answer, exchange)
    check_books(bench, exchange)
    check_log(bench, exchange)


def check_books(bench: Bench, exchange: Exchange) -> None:
    """Hold the tokens against the bill: equal, or flagged; never a silent zero."""
    bill = bench.sim.billed.total
    counts = counts_of(exchange)
    assert counts is not None
    assert exchange.cost is not None
    *_, record = to_records(exchange, Providers(bench.proxy.app.settings))
    assert (record.input_tokens, record.output_tokens) == (counts.input, counts.output)
    assert record.outcome == exchange.outcome
    assert record.error_type == exchange.error_category
    assert record.flags == exchange.flags
    if "estimated" in exchange.flags:
        assert counts.input > 0
        assert exchange.cost.total > 0
    else:
        assert (counts.input, counts.output) == (
            bill.prompt_tokens,
            bill.completion_tokens,
        )
        assert bool(exchange.cost.total) == bool(bill.prompt_tokens)


def check_log(bench: Bench, exchange: Exchange) -> None:
    """Hold the one line against what has happened."""
    (line,) = (json.loads(one) for one in bench.lines)
    counts = counts_of(exchange)
    assert counts is not None
    assert line["request_id"] == exchange.request_id
    assert line["status"] == exchange.status
    assert line["error_category"] == exchange.error_category
    assert line["prompt_tokens"] == counts.input
    assert line["completion_tokens"] == counts.output
    assert (line["level"] == "info") == (exchange.outcome == "ok")


FEW = ("cut_stream", "stall_before_headers", "queue_exceeded", "502", "garbage")
COUNTED = [one for one in TROUBLES if one.stream and one.name in FEW]


@pytest.mark.parametrize("trouble", COUNTED, ids=[one.id for one in COUNTED])
def test_metrics_count_what_has_failed_by_its_category(
    bench: Bench, trouble: Trouble
) -> None:
    assert trouble.category is not None
    given = {"category": trouble.category}
    before = count(bench.proxy, "upstream_errors_total", **given)
    asked = count(bench.proxy, "requests_total", status=str(trouble.status))
    trouble.script(bench.sim)
    ask(bench.proxy, question(stream=True))
    bench.ended()
    assert count(bench.proxy, "upstream_errors_total", **given) == before + 1
    assert count(bench.proxy, "in_flight_requests") == 0
    if trouble.status is not None:
        given = {"status": str(trouble.status)}
        assert count(bench.proxy, "requests_total", **given) == asked + 1


# ------------------------------------------------------- clients, with and without it


class Seen:
    """What a client made of a call.

    Attributes:
        rank: `PART`: took a part for the whole; `ANY_ERROR`: one that is none of the
            client's own; `OWN_ERROR`; `WHOLE`: all of the answer.
        what: The answer, or the error's class.
    """

    def __init__(self, rank: int, what: Any) -> None:
        self.rank = rank
        self.what = what

    def __repr__(self) -> str:
        return f"{self.rank}: {self.what}"


PART, ANY_ERROR, OWN_ERROR, WHOLE = range(4)


def is_of_a_status(what: Any) -> bool:
    """Whether an error's class tells the service's status; a redirect's does not."""
    kinds = (openai.APIStatusError, CerebrasStatusError)
    return isinstance(what, type) and issubclass(what, kinds) and what not in kinds


def seen(call: Callable[[], tuple[str, Any]], text: str) -> Seen:
    """Return what a client makes of a call."""
    try:
        found = call()
    except (openai.OpenAIError, CerebrasError) as error:
        return Seen(OWN_ERROR, type(error))
    except Exception as error:
        return Seen(ANY_ERROR, type(error))
    return Seen(WHOLE if found[0] == text else PART, found)


def ask_sdk(client: OpenAI, stream: bool) -> tuple[str, Any]:
    """Ask with OpenAI's package."""
    messages: Any = [{"role": "user", "content": "Hi."}]
    create: Any = client.chat.completions.create
    if not stream:
        answer = create(model=MODEL, messages=messages)
        return said(answer.choices[0].message), answer.usage
    text, usage = "", None
    for part in create(model=MODEL, messages=messages, stream=True):
        usage = part.usage or usage
        text += "".join(said(choice.delta) for choice in part.choices)
    return text, usage


def said(message: Any) -> str:
    """Return a message's content, with the arguments of its tool calls."""
    calls = message.tool_calls or ()
    return "".join(one.function.arguments or "" for one in calls) + (
        message.content or ""
    )


def ask_model(model: ChatCerebras, stream: bool) -> tuple[str, Any]:
    """Ask with the package's own model."""
    found = whole(list(model.stream("Hi."))) if stream else model.invoke("Hi.")
    text = "".join(json.dumps(call["args"]) for call in found.tool_calls)
    return text + str(found.content), found.usage_metadata


CLIENTS = ("sdk", "model")
DIRECT_S = 0.3


Ways: TypeAlias = "dict[str, Callable[[bool], tuple[str, Any]]]"


@pytest.fixture(scope="module")
def clients(benches: dict[bool, Bench]) -> Iterator[dict[bool, Ways]]:
    """Return the ways to ask each: with each client, directly and through the proxy."""
    with contextlib.ExitStack() as stack:
        yield {slow: ways_to(bench, slow, stack) for slow, bench in benches.items()}


def ways_to(bench: Bench, is_hasty: bool, stack: contextlib.ExitStack) -> Ways:
    made: Ways = {}
    ways = (
        ("direct", bench.sim.base_url, UPSTREAM_KEY, DIRECT_S if is_hasty else 30.0),
        ("proxy", bench.proxy.base_url, CLIENT_KEY, 30.0),
    )
    for way, url, key, limit_s in ways:
        http = httpx2.Client(limits=httpx2.Limits(max_keepalive_connections=0))
        given: dict[str, Any] = {"base_url": url, "api_key": key, "max_retries": 0}
        sdk = OpenAI(**given, timeout=limit_s, http_client=http)
        stack.enter_context(sdk)
        model = ChatCerebras(model=MODEL, **given, timeout=limit_s)
        made[f"sdk-{way}"] = functools.partial(ask_sdk, sdk)
        made[f"model-{way}"] = functools.partial(ask_model, model)
    return made


COMPARED = [one for one in TROUBLES if not one.name.startswith("drip")]
"""All but what is slow: there each has a limit of its own."""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("trouble", COMPARED, ids=[one.id for one in COMPARED])
def test_no_client_is_worse_off_than_without_the_proxy(
    bench: Bench, clients: dict[bool, Ways], trouble: Trouble, client: str
) -> None:
    found: dict[str, Seen] = {}
    for way in ("direct", "proxy"):
        bench.reset()
        trouble.script(bench.sim)
        ask_way = clients[trouble.is_slow][f"{client}-{way}"]
        call = functools.partial(ask_way, trouble.stream)
        found[way] = seen(call, trouble.text)
        assert bench.sim.wait_idle()
    direct, proxied = found["direct"], found["proxy"]
    assert proxied.rank >= direct.rank
    if direct.rank == WHOLE or is_of_a_status(direct.what):
        assert proxied.what == direct.what
    if trouble.category is not None:
        assert proxied.rank == OWN_ERROR


# ------------------------------------------------------------- answers as bytes say

DATA = json.dumps(BODY).encode()
JSON_HEAD = {"content-type": "application/json"}
CHUNKED = {**JSON_HEAD, "transfer-encoding": "chunked"}
GZIP = {"content-encoding": "gzip"}


ERROR = event({"error": {"message": "No.", "type": "t", "param": None, "code": "c"}})


def packed(*pieces: bytes) -> list[bytes]:
    """Return events, each compressed so that it can be unpacked when it comes."""
    packer = zlib.compressobj(wbits=31)
    found = [packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH) for one in pieces]
    return [*found, packer.flush()]


def zipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def alone(*pieces: bytes) -> Callable[[Request], Iterator[bytes]]:
    """Send pieces so far apart that each is read by itself."""

    def answer(request: Request) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            request.wait_gone(0.03)

    return answer


# Ways to end a plain answer before its time: whether pieces, or all at once.
BROKEN: dict[str, tuple[bytes, ...]] = {
    "length": (head(200, JSON_HEAD | {"content-length": "400"}), DATA[:50], CUT),
    "length, reset": (
        head(200, JSON_HEAD | {"content-length": "400"}),
        DATA[:50],
        RESET,
    ),
    "chunks": (head(200, CHUNKED), chunk(DATA[:50]), CUT),
    "chunk cut": (head(200, CHUNKED), chunk(DATA[:50])[:20], CUT),
    "last chunk missing": (head(200, CHUNKED), chunk(DATA), CUT),
    "bad chunk": (head(200, CHUNKED), chunk(DATA[:50]), b"xyz\r\n" + DATA),
    "until the end": (head(200, JSON_HEAD), DATA[:50], CUT),
    "half, properly ended": (head(200, CHUNKED), chunk(DATA[:50]), END),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_part_of_a_body_never_looks_whole(name: str) -> None:
    with WireServer(alone(*BROKEN[name])) as server, running_proxy(server.url) as proxy:
        answer = ask(proxy, question())
        (exchange,) = proxy.wait_ended()
    assert (answer.status, answer.is_whole) == (200, False)
    assert exchange.outcome == "failed"
    assert exchange.error_category in {
        "upstream_interrupted",
        "upstream_invalid_answer",
    }


def test_the_server_that_ships_cuts_as_well() -> None:
    """It has a way of its own of closing connections."""
    with (
        WireServer(lambda _: plain(BODY)) as server,
        ProxyProcess(proxy_environment(server.url)) as process,
    ):
        proxy: Any = process  # its address is all that is asked of it
        for name, pieces in BROKEN.items():
            server.answer = alone(*pieces)
            answer = ask(proxy, question())
            assert (answer.status, answer.is_whole) == (200, False), name
            server.answer = lambda _: sse([*STREAM[:2], CUT])
            answer = ask(proxy, question(stream=True))
            assert (answer.is_whole, "error" in answer.events[-1]) == (True, True)
            server.answer = lambda _: sse(SPOILED["cut"], headers=GZIP)
            assert not ask(proxy, question(stream=True)).is_whole
        server.answer = lambda _: plain(BODY)
        assert ask(proxy, question()).json == BODY
        process.end()
    assert "Traceback" not in process.text


ENDED: dict[str, list[bytes]] = {
    "a finish reason, and no [DONE]": [
        delta("Hello."),
        delta("", finish_reason="stop"),
    ],
    "usage by itself, and no [DONE]": [
        delta("Hello.") + delta("", finish_reason="stop") + LAST
    ],
    "cut behind [DONE]": [*STREAM, CUT],
    "reset behind [DONE]": [*STREAM, RESET],
}


@pytest.mark.parametrize("name", list(ENDED))
def test_a_stream_that_has_said_all_is_whole(name: str) -> None:
    """Whatever becomes of its connection then."""
    pieces = ENDED[name]
    with (
        WireServer(lambda _: sse(pieces)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=True))
        (exchange,) = proxy.wait_ended()
    assert answer.body == b"".join(one for one in pieces if one not in {CUT, RESET})
    assert answer.is_whole
    assert exchange.outcome == "ok"


def test_a_stream_that_stays_open_behind_its_end_is_ended() -> None:
    def answer(request: Request) -> Iterator[bytes]:
        yield stream_head() + b"".join(chunk(one) for one in STREAM)
        assert request.wait_gone()

    with WireServer(answer) as server, running_proxy(server.url, **HASTY) as proxy:
        found = ask(proxy, question(stream=True))
        (exchange,) = proxy.wait_ended()
    assert (found.body, found.is_whole) == (b"".join(STREAM), True)
    assert exchange.outcome == "ok"


# ------------------------------------------------------------------------ compressed


def test_a_compressed_stream_is_counted_and_not_touched() -> None:
    pieces = packed(*STREAM)
    with (
        WireServer(lambda _: sse(pieces, headers=GZIP)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=True))
        (exchange,) = proxy.wait_ended()
    assert answer.body == b"".join(pieces)
    assert answer.headers["content-encoding"] == "gzip"
    assert exchange.outcome == "ok"
    assert exchange.usage == BODY["usage"]
    assert exchange.ttft_s is not None
    assert exchange.flags == ()


SPOILED: dict[str, list[bytes]] = {
    "cut": [*packed(*STREAM[:2])[:2], CUT],
    "cut behind [DONE]": [*packed(*STREAM)[:4], CUT],
    "ended without the end": packed(*STREAM[:2]),
    "an error": packed(STREAM[0], ERROR + DONE),
}


@pytest.mark.parametrize("name", list(SPOILED))
def test_a_compressed_stream_that_breaks_is_cut(name: str) -> None:
    """An event in plain text would be no part of it."""
    with (
        WireServer(lambda _: sse(SPOILED[name], headers=GZIP)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=True))
        (exchange,) = proxy.wait_ended()
    assert not answer.is_whole
    assert b"error" not in answer.body
    assert exchange.outcome == "failed"


def test_a_compressed_answer_is_counted() -> None:
    data = zipped(DATA)
    with (
        WireServer(lambda _: plain(data, headers=GZIP)) as server,
        running_proxy(server.url) as proxy,
    ):
        assert ask(proxy, question()).body == data
        assert proxy.wait_ended()[0].usage == BODY["usage"]
        server.answer = alone(
            head(200, JSON_HEAD | GZIP | {"content-length": str(len(data))}),
            data[:20],
            data[20:],
        )
        assert ask(proxy, question()).body == data
        assert proxy.wait_ended(2)[1].usage == BODY["usage"]


@pytest.mark.parametrize("status", [200, 429])
def test_a_compressed_error_can_be_read(status: int) -> None:
    body = zipped(
        json.dumps({"message": "Slow down.", "code": "queue_exceeded"}).encode()
    )
    more = {**GZIP, "retry-after": "3"}
    with (
        WireServer(lambda _: plain(body, status, more)) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question())
        (exchange,) = proxy.wait_ended()
    assert (answer.status, answer.error["message"]) == (429, "Slow down.")
    assert answer.headers["retry-after"] == "3"
    assert "content-encoding" not in answer.headers
    assert exchange.error_category == "upstream_rate_limit"


def test_a_compressed_answer_that_grows_beyond_measure_fills_no_memory() -> None:
    data = zipped(b" " * 50_000_000 + DATA)
    with (
        WireServer(lambda _: plain(data, headers=GZIP)) as server,
        running_proxy(server.url) as proxy,
    ):
        assert ask(proxy, question()).body == data
        (exchange,) = proxy.wait_ended()
    assert exchange.outcome == "ok"
    assert "estimated" in exchange.flags


# ------------------------------------------------------------------------- odd heads

ODD_HEADS: dict[str, tuple[bytes, int]] = {
    "no content": (head(204), 502),
    "no content, in other words": (head(205, {"content-length": "0"}), 502),
    "not modified": (head(304), 502),
    "a status beyond all": (head(999, {"content-length": "2"}) + b"{}", 502),
    "a status below all": (head(99, {"content-length": "2"}) + b"{}", 502),
    "two lengths": (head(200, {"content-length": "5, 6"}) + b"hello", 502),
    "length and chunks": (head(200, CHUNKED | {"content-length": "3"}) + b"2\r\n{}", 502),
    "a negative length": (head(200, {"content-length": "-1"}) + b"{}", 502),
    "a line break in a value": (b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n{}", 502),
    "a null in a value": (b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}", 502),
    "a folded line": (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\n{}", 502),
    "a web page": (b"".join(plain(b"<html>", headers={"content-type": "text/html"})), 502),
    "bytes of no encoding": (
        b"".join(plain(BODY, headers={"x-name": "caf\u00e9", "retry-after": "\u00ff"})),
        200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", list(ODD_HEADS))
def test_odd_heads_are_told_and_break_nothing(name: str, stream: bool) -> None:
    data, status = ODD_HEADS[name]
    with (
        WireServer(lambda _: [data, CUT]) as server,
        running_proxy(server.url) as proxy,
    ):
        answer = ask(proxy, question(stream=stream))
        (exchange,) = proxy.wait_ended()
    assert answer.status == status
    if status != 200:
        assert answer.error["code"] in {
            "upstream_invalid_answer",
            "upstream_interrupted",
        }
        assert exchange.outcome == "failed"


def test_the_next_request_on_a_connection_is_unharmed_by_an_error(bench: Bench) -> None:
    """The client's is kept; the upstream's, where that is still usable."""
    names = ("garbage", "cut_headers", "queue_exceeded", "cut_stream", "html")
    with RawClient(bench.proxy) as client:
        for trouble in TROUBLES:
            if trouble.stream and trouble.name in names:
                bench.reset()
                trouble.script(bench.sim)
                broken = client.ask(question(stream=True))
                assert b"[DONE]" not in broken.body
                assert client.ask(question(stream=True)).events[-1] == "[DONE]"
        assert client.ask(question()).json["choices"]


# -------------------------------------------------------------------------- retrying


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_client_that_tries_again_waits_as_the_service_says(
    bench: Bench, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    bench.sim.fail_next(code="request_quota_exceeded", headers={"retry-after": "7"})
    bench.sim.fail_next(code="queue_exceeded", headers={"retry-after-ms": "2500"})
    bench.sim.reply(TEXT)
    http = httpx2.Client(limits=httpx2.Limits(max_keepalive_connections=0))
    with OpenAI(
        base_url=bench.proxy.base_url,
        api_key=CLIENT_KEY,
        max_retries=2,
        http_client=http,
    ) as client:
        with (
            monkeypatch.context() as patched
        ):  # of all that sleep here, and so not long
            patched.setattr("openai._base_client.time.sleep", waits.append)
            assert ask_sdk(client, stream)[0] == TEXT
    assert waits == [7, 2.5]
    kinds = [one.error_category for one in bench.proxy.wait_ended(3)]
    assert kinds == ["upstream_rate_limit", "upstream_rate_limit", None]


def test_our_model_waits_as_the_service_says(bench: Bench) -> None:
    waits: list[float] = []
    policy = RetryPolicy(max_retries=1, on_retry=lambda told: waits.append(told.wait_s))
    given: dict[str, Any] = {"base_url": bench.proxy.base_url, "api_key": CLIENT_KEY}
    model = ChatCerebras(model=MODEL, **given, retry_policy=policy)
    bench.sim.fail_next(code="queue_exceeded", headers={"retry-after-ms": "30"})
    bench.sim.reply(TEXT)
    assert model.invoke("Hi.").content == TEXT
    assert waits == [pytest.approx(0.03)]
