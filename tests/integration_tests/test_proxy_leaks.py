"""No key gets where it does not belong, whatever an upstream says or does.

The client's key stays here; the upstream's does not come down, and neither is in logs,
metrics, the ledger, or anything that shows what the proxy holds.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from proxy_faults import TROUBLES, Trouble
from proxy_raw import RawClient, ask, question
from proxy_server import CLIENT_KEY, UPSTREAM_KEY, running_proxy
from wire_server import (
    CUT,
    DONE,
    Request,
    WireServer,
    event,
    head,
    plain,
    sse,
    stream_head,
)

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.proxy.settings import Upstream
from langchain_cerebras_ext.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from proxy_server import Proxy

PLAIN_KEY = "0b7f6c5a/PlainKeyWithoutASign+9d8e=="
"""One that no pattern knows: only that it is in use tells that it is a key."""
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def content(text: str) -> bytes:
    return event({"id": "x", "choices": [{"delta": {"content": text}, "index": 0}]})


def wrapped(key: str) -> dict[str, Any]:
    error = {"message": f"Wrong key {key}", "type": key, "param": key, "code": key}
    return {"error": error}


def escaped(value: Any, key: str) -> bytes:
    """Return JSON in which the key's characters are all escaped."""
    hidden = "".join(f"\\u{ord(one):04x}" for one in key)
    return json.dumps(value).replace(key, hidden).encode()


def zipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


ECHOES: dict[str, Callable[[str], Iterable[bytes]]] = {
    "headers of an answer": lambda key: plain(
        {"id": "x", "choices": [], "usage": None},
        headers={"x-echo": f"Bearer {key}", "inference-id": key, "x-request-id": key},
    ),
    "limits": lambda key: plain(
        {"choices": []}, headers={"x-ratelimit-limit-day": key}
    ),
    "headers of an error": lambda key: plain(
        wrapped(key), 401, {"www-authenticate": f'Bearer realm="{key}"', "x-echo": key}
    ),
    "an error": lambda key: plain(wrapped(key), 400),
    "a flat error": lambda key: plain(
        {"message": key, "detail": {"headers": [key]}}, 403
    ),
    "an error's detail": lambda key: plain(
        {"detail": [{"loc": [key], "msg": key}]}, 422
    ),
    "an escaped error": lambda key: plain(escaped(wrapped(key), key), 400),
    "an error in a 200": lambda key: plain(wrapped(key)),
    "an error as text": lambda key: plain(f"Who is {key}?".encode(), 500),
    "a web page": lambda key: plain(
        f"<html><title>{key}</title>{key}</html>".encode(),
        503,
        {"content-type": "text/html"},
    ),
    "a compressed error": lambda key: plain(
        zipped(json.dumps(wrapped(key)).encode()), 500, {"content-encoding": "gzip"}
    ),
    "half an error": lambda key: [
        head(500, {"content-length": "900"}) + json.dumps(wrapped(key)).encode(),
        CUT,
    ],
    "no JSON": lambda key: plain(f"authorization: Bearer {key}".encode()),
    "an answer's name and model": lambda key: plain(
        {"id": key, "model": key, "choices": [], "usage": None}
    ),
    "an error event": lambda key: sse([content("Hel"), event(wrapped(key)), DONE]),
    "an error event that comes first": lambda key: sse([event(wrapped(key)), DONE]),
    "a flat error event": lambda key: sse(
        [content("Hel"), event({"message": key, "status_code": 503}), DONE]
    ),
    "an error event of text": lambda key: sse([event({"error": f"No, {key}"})]),
    "events": lambda key: sse(
        [event({"id": key, "model": key, "choices": []}), content(key), DONE]
    ),
    "a comment": lambda key: sse([f": {key}\n\n".encode(), content("Hi"), DONE]),
    "an event in two reads": lambda key: sse(
        [content(key)[:60], content(key)[60:], DONE], delay_s=0.02
    ),
    "a stream that is cut": lambda key: [
        stream_head({"x-echo": key}) + b"20\r\ndata: " + key.encode(),
        CUT,
    ],
    "a redirect": lambda key: [
        head(
            307,
            {"location": f"http://elsewhere.invalid/?k={key}", "content-length": "0"},
        )
    ],
    "a status line": lambda key: [f"HTTP/1.1 200 {key}\r\n{key}".encode(), CUT],
    "no HTTP": lambda key: [f"{key}\r\n\r\n".encode(), CUT],
}


def shown(proxy: Proxy, out: str) -> dict[str, str]:
    """Return all that a proxy shows of itself and of what it has done."""
    app = proxy.app
    return {
        "metrics": proxy.metrics(),
        "log": out,
        "exchange": repr(proxy.exchanges),
        "settings": repr(app.settings),
        "app": repr(app) + repr(vars(app)),
        "parts": "".join(
            repr(one)
            for one in (app.relay, app.keys, app.gate, app.models, app.metrics)
        ),
        "targets": repr(app._upstreams.targets),
    }


@pytest.fixture(scope="module", params=[UPSTREAM_KEY, PLAIN_KEY], ids=["csk", "bare"])
def echo(request: pytest.FixtureRequest) -> Iterator[tuple[str, WireServer, Proxy]]:
    """Return a key, the upstream that gets it, and the proxy between."""
    key = request.param
    with WireServer(lambda _: ()) as server:
        upstream = Upstream(base_url=f"{server.url}/v1", api_key=key)
        limits = {"idle_timeout_s": 30, "log_level": "DEBUG"}
        with running_proxy("", upstream=upstream, **limits) as proxy:
            yield key, server, proxy


@WAYS
@pytest.mark.parametrize("name", list(ECHOES))
def test_an_upstream_that_repeats_its_key_gives_nothing_away(
    echo: tuple[str, WireServer, Proxy],
    name: str,
    stream: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key, server, proxy = echo
    server.answer = lambda _: ECHOES[name](key)
    server.requests.clear()
    proxy.exchanges.clear()
    answer = ask(proxy, question(stream=stream))
    proxy.wait_ended()
    out = "".join(capfd.readouterr())
    assert '"request_id"' in out
    told = shown(proxy, out)
    assert f"Bearer {key}" in str(server.requests[0].headers)
    assert CLIENT_KEY not in str(server.requests[0])
    told["headers"] = str(answer.all_headers)
    told["body"] = answer.body.decode("utf-8", "replace")
    told["values"] = _decoded(answer.body)
    for where, text in told.items():
        assert key not in text, where
        assert CLIENT_KEY not in text, where
    assert b"[DONE]" not in answer.body or "error" not in name


def _decoded(body: bytes) -> str:
    """Return what a client would read in it, escapes undone."""
    found: list[str] = []
    for line in body.splitlines():
        text = line.removeprefix(b"data:")
        try:
            found.append(json.dumps(json.loads(text), ensure_ascii=False))
        except ValueError:
            continue
    return "\n".join(found)


def test_the_key_of_a_fallback_is_not_shown_either(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        WireServer(lambda _: plain({"message": "Busy."}, 503)) as first,
        WireServer(lambda _: sse([event(wrapped(PLAIN_KEY)), DONE])) as second,
    ):
        other = Upstream(name="other", base_url=second.url, api_key=PLAIN_KEY)
        with running_proxy(first.url, fallbacks=[other], log_level="DEBUG") as proxy:
            answer = ask(proxy, question(stream=True))
            proxy.wait_ended()
            told = shown(proxy, "".join(capfd.readouterr()))
        assert UPSTREAM_KEY not in str(second.requests[0])
        assert PLAIN_KEY not in str(first.requests[0])
    for where, text in {**told, "body": str(answer.body)}.items():
        assert PLAIN_KEY not in text, where
        assert UPSTREAM_KEY not in text, where


QUICK = [
    one
    for one in TROUBLES
    if "stall" not in one.name and not one.name.startswith("drip") and one.odd is None
]


def test_no_fault_shows_a_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In all that is written, kept and told of every fault of the simulator's."""
    path = tmp_path / "ledger.db"
    answers: list[str] = []
    with (
        Simulator(key=UPSTREAM_KEY) as sim,
        running_proxy(
            sim.base_url, ledger_url=f"sqlite:///{path}", log_level="DEBUG"
        ) as proxy,
    ):
        for trouble in QUICK:
            sim.reset()
            _with_echo(trouble).script(sim)
            answer = ask(proxy, question(stream=trouble.stream))
            answers.append(f"{answer.all_headers} {answer.body!r}")
        proxy.wait_ended(len(QUICK))
        told = shown(proxy, "".join(capfd.readouterr()))
        asked = str([(one.headers, one.body) for one in sim.requests])
    kept = path.read_bytes().decode("latin-1")
    with Ledger(f"sqlite:///{path}") as ledger:
        assert len(list(ledger.records())) >= len(QUICK)
    for where, text in {**told, "ledger": kept, "answers": str(answers)}.items():
        assert UPSTREAM_KEY not in text, where
        assert CLIENT_KEY not in text, where
    assert CLIENT_KEY not in asked


def _with_echo(trouble: Trouble) -> Trouble:
    """Return the trouble, with the key in whatever it says."""
    settings = dict(trouble.settings)
    if settings.keys() & {"status", "code"} and "fault" not in settings:
        settings["body"] = {"message": f"{UPSTREAM_KEY} failed", "code": UPSTREAM_KEY}
        settings["headers"] = {"x-echo": UPSTREAM_KEY}
    return Trouble(trouble.name, trouble.stream, None, settings=settings)


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", CLIENT_KEY)],
        [("api-key", CLIENT_KEY)],
        [("cookie", f"key={CLIENT_KEY}")],
        [("proxy-authorization", f"Bearer {CLIENT_KEY}")],
        [("X-Auth-Token", CLIENT_KEY)],
        [("authorization", f"Basic {base64.b64encode(CLIENT_KEY.encode()).decode()}")],
        [("connection", "x-key"), ("x-key", CLIENT_KEY)],
    ],
    ids=lambda headers: headers[-1][0],
)
def test_a_clients_key_in_any_header_stays_here(headers: list[tuple[str, str]]) -> None:
    with (
        WireServer(lambda _: plain({"choices": []})) as server,
        running_proxy(server.url) as proxy,
        RawClient(proxy) as client,
    ):
        client.ask(question(), headers=headers)
        client.ask(method="GET", path="/v1/models", headers=headers)
        sent: list[Request] = server.requests
        for request in sent:
            assert CLIENT_KEY not in str(request)
            assert base64.b64encode(CLIENT_KEY.encode()).decode() not in str(request)


def test_a_wrong_key_is_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    wrong = "a-wrong-key-of-somebody-0123456789"
    with (
        WireServer(lambda _: plain({"choices": []})) as server,
        running_proxy(server.url, log_level="DEBUG") as proxy,
    ):
        answer = ask(proxy, question(), key=wrong)
        proxy.wait_ended()
        told = shown(proxy, "".join(capfd.readouterr()))
        assert not server.requests
    assert answer.status == 401
    for where, text in {**told, "body": str(answer.body)}.items():
        assert wrong not in text, where
