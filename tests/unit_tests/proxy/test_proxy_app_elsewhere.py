"""What the application does by itself where another server than ours runs it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from langchain_cerebras_ext.proxy import ProxyApp, Settings, Upstream, app
from langchain_cerebras_ext.proxy.place import listen
from langchain_cerebras_ext.proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY = "client-key-of-bob-0123456789"
LOGGER = "langchain_cerebras_ext.proxy"


def make(**settings: Any) -> ProxyApp:
    upstream = Upstream(base_url="http://127.0.0.1:9")
    return app.create_app(Settings(upstream=upstream, api_key=KEY, **settings))


def run(
    made: ProxyApp, amid: Callable[[], Awaitable[Any]] | None = None
) -> tuple[list[str], Any]:
    """Start the application and end it; return what it has sent, and what came amid."""

    async def main() -> tuple[list[str], Any]:
        asked: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        sent: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        life = asyncio.create_task(made({"type": "lifespan"}, asked.get, sent.put))
        await asked.put({"type": "lifespan.startup"})
        told = [(await sent.get())["type"]]
        found = None if amid is None else await amid()
        await asked.put({"type": "lifespan.shutdown"})
        told.append((await sent.get())["type"])
        await life
        return told, found

    return asyncio.run(main())


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER and record.levelno == logging.WARNING
    ]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let nothing here say that there are other workers; keep what is said."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(app.multiprocessing, "parent_process", lambda: None)
    # Other tests may have set the package's logger up as the server does.
    monkeypatch.setattr(logging.getLogger("langchain_cerebras_ext"), "propagate", True)
    caplog.set_level(logging.INFO, LOGGER)


def port_told(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [text for text in caplog.messages if text.startswith("Metrics at ")]
    return line.removeprefix("Metrics at ").removesuffix(".")


# ---------------------------------------------------------------- the port of metrics


def test_metrics_have_the_port_that_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = make(metrics_port=0)

    def scrape() -> str:
        with urlopen(port_told(caplog), timeout=60) as page:
            return page.read().decode()

    told, page = run(made, lambda: asyncio.to_thread(scrape))
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert "cerebras_proxy_build_info{" in page
    with pytest.raises(OSError, match="refused"):
        scrape()
    assert warned(caplog) == []


def test_a_port_of_metrics_that_is_taken_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told, _ = run(make(metrics_port=port))
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    (line,) = warned(caplog)
    assert line.startswith("This process serves no metrics. The proxy cannot listen at")
    assert "Set APE_METRICS_PORT to another port" in line


def test_our_server_sees_to_the_port_itself(caplog: pytest.LogCaptureFixture) -> None:
    made = make(metrics_port=0, key_requests_per_minute=5)
    made.is_served_by_us = True
    run(made)
    assert not [text for text in caplog.messages if "etrics" in text]


# ------------------------------------------------------------------- several workers

ALONE = "If this server has several workers, each of them counts for itself: "


def count_alone(monkeypatch: pytest.MonkeyPatch, sign: str, folder: Any) -> None:
    if sign == "started by another":
        monkeypatch.setattr(app.multiprocessing, "parent_process", object)
    elif sign == "number":
        monkeypatch.setenv("WEB_CONCURRENCY", "3")
    else:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        ("started by another", "APE_KEY_REQUESTS_PER_MINUTE, metrics."),
        ("number", "APE_KEY_REQUESTS_PER_MINUTE, metrics."),
        ("folder", "APE_KEY_REQUESTS_PER_MINUTE."),
    ],
)
def test_what_each_of_several_workers_counts_for_itself_is_told(
    sign: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Any,
) -> None:
    count_alone(monkeypatch, sign, tmp_path)
    run(make(key_requests_per_minute=5))
    (line,) = warned(caplog)
    assert line.startswith(ALONE + said)
    assert "Set APE_LIMITS_URL for limits" in line


def test_one_worker_and_one_that_is_loaded_anew_are_told_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(make(key_requests_per_minute=5))
    count_alone(monkeypatch, "started by another", None)
    monkeypatch.setattr(sys, "argv", ["uvicorn", "--reload"])
    run(make(key_requests_per_minute=5))
    assert warned(caplog) == []


def test_a_number_of_workers_that_is_not_heeded_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(make(workers=3))
    assert warned(caplog) == [
        "APE_WORKERS is not heeded: this server has its own number."
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ()),
        (
            {"key_requests_per_minute": 1, "key_tokens_per_minute": 1},
            ("APE_KEY_REQUESTS_PER_MINUTE", "APE_KEY_TOKENS_PER_MINUTE"),
        ),
        ({"key_budget_usd": 1}, ("APE_KEY_BUDGET_USD",)),
        ({"key_budget_usd": 1, "ledger_url": "sqlite:///costs.db"}, ()),
        ({"key_requests_per_minute": 1, "limits_url": "redis://h:1/0"}, ()),
    ],
    ids=["none", "limits", "budget", "budget in a ledger", "shared"],
)
def test_limits_are_a_processs_own_unless_they_are_shared(
    given: dict[str, Any], said: tuple[str, ...]
) -> None:
    upstream = Upstream(base_url="http://127.0.0.1:9")
    assert Settings(upstream=upstream, **given).limits_of_a_process() == said


# ----------------------------------------------------- what a server refuses by itself


def test_what_could_not_be_read_is_counted_and_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = make()
    refusal = Refusal(
        431, "The headers are too long.", code="x", category="payload_too_large"
    )
    made.note_unread(refusal)
    made.note_unread(refusal)
    page = made.metrics.render()[1].decode()
    assert (
        'cerebras_proxy_refused_requests_total{key="anonymous",'
        'reason="payload_too_large"} 2.0'
    ) in page
    (row,) = [
        line
        for line in page.splitlines()
        if line.startswith("cerebras_proxy_requests_total{")
    ]
    assert 'status="431"' in row
    assert 'operation="other"' in row
    assert row.endswith(" 2.0")
    assert "cerebras_proxy_in_flight_requests 0.0" in page
    lines = [json.loads(text) for text in capfd.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["431: The headers are too long."] * 2
    assert {line["level"] for line in lines} == {"warning"}
    assert len({line["request_id"] for line in lines}) == 2
