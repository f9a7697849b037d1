"""Models and parameters that end: told once, in time, at the caller's line."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from wire_server import Request, WireServer, event, plain, sse

from langchain_cerebras_ext import ChatCerebras, _config, _deprecations
from langchain_cerebras_ext.catalog import get_model
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasContextWarning,
    CerebrasDeprecationWarning,
    CerebrasInvalidRequestError,
    ModelRetiredError,
    UnknownModelError,
)

CODER = "qwen-3-coder-480b"
END = date(2025, 11, 5)
TOLD = get_model(CODER).deprecation_announced
assert TOLD is not None


def served(request: Request) -> Iterator[bytes]:
    asked = request.json
    choice = {"index": 0, "finish_reason": "stop"}
    answer = {"id": "chatcmpl-1", "model": asked["model"], "created": 1}
    if request.is_stream:
        delta = {**choice, "delta": {"content": "Hi"}}
        yield from sse([event({**answer, "choices": [delta]}), b"data: [DONE]\n\n"])
    else:
        message = {**choice, "message": {"role": "assistant", "content": "Hi"}}
        yield from plain({**answer, "choices": [message]})


@pytest.fixture
def server() -> Iterator[WireServer]:
    with WireServer(served) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_was_told() -> Iterator[None]:
    _deprecations.forget()
    yield
    _deprecations.forget()


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the server of the test for the public service."""
    monkeypatch.setattr(_config, "is_public_service", lambda url: True)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the day."""

    def set_day(day: date) -> None:
        monkeypatch.setattr(_deprecations, "today", lambda: day)

    return set_day


def told(make: Any) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [w for w in caught if w.category is CerebrasDeprecationWarning]


@pytest.mark.parametrize(
    ("day", "said"),
    [
        pytest.param(TOLD - timedelta(days=1), None, id="day before told"),
        pytest.param(TOLD, "2025-11-05", id="told"),
        pytest.param(END - timedelta(days=1), "2025-11-05", id="day before the end"),
        pytest.param(END, "2025-11-05", id="the end"),
        pytest.param(END + timedelta(days=1), "was retired on 2025-11-05", id="after"),
    ],
)
def test_construction_warns_from_the_day_it_was_told(server, on, day, said):
    on(day)
    found = told(lambda: ChatCerebras(model=CODER, base_url=server.url))
    assert len(found) == (0 if said is None else 1)
    if said:
        text = str(found[0].message)
        assert said in text
        assert "zai-glm-4.6" in text
        assert "Source: " in text
        assert "USD per million tokens" in text


def test_a_warning_points_at_the_line_of_the_caller_and_comes_once(server, on):
    on(END)
    found = told(
        lambda: [ChatCerebras(model=CODER, base_url=server.url) for _ in range(3)]
    )
    assert [w.filename for w in found] == [__file__]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_retired_model_is_refused_before_anything_is_sent(server, on, public, way):
    on(END + timedelta(days=30))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasDeprecationWarning)
        model = ChatCerebras(model=CODER, base_url=server.url)
        with pytest.raises(ModelRetiredError) as caught:
            call(model, way)
    error = caught.value
    assert error.retired_on == END
    assert error.replacement == "zai-glm-4.6"
    assert error.attempts == 0
    assert error.status_code == 0
    assert not error.is_retryable
    assert "on_retired='migrate'" in str(error)
    assert server.requests == []


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_migration_calls_the_successor_of_the_day_and_names_both(server, on, way):
    on(END + timedelta(days=30))
    model = None

    def make() -> None:
        nonlocal model
        model = ChatCerebras(model=CODER, base_url=server.url, on_retired="migrate")

    told(make)
    answers: list[Any] = []
    found = told(lambda: answers.append(call(model, way)))
    assert "'zai-glm-4.6' is called in its place" in str(found[0].message)
    assert server.requests[0].json["model"] == "zai-glm-4.6"
    metadata = answers[0].response_metadata
    assert metadata["requested_model"] == CODER
    assert metadata["model_name"] == "zai-glm-4.6"


def test_migration_today_ends_at_a_model_that_is_served(server, on):
    on(date(2026, 11, 21))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasDeprecationWarning)
        model = ChatCerebras(model=CODER, base_url=server.url, on_retired="migrate")
        model.invoke("Hi")
    assert server.requests[0].json["model"] == "gpt-oss-120b"


@pytest.mark.parametrize("rule", ["error", "warn"])
def test_elsewhere_than_at_the_public_service_it_only_warns(server, on, rule):
    on(END + timedelta(days=30))
    calls = []

    def use() -> None:
        model = ChatCerebras(model=CODER, base_url=server.url, on_retired=rule)
        calls.append(model.invoke("Hi"))

    assert len(told(use)) == 1
    assert calls[0].text == "Hi"
    assert "requested_model" not in calls[0].response_metadata


def test_warn_sends_it_to_the_public_service_all_the_same(server, on, public):
    on(END + timedelta(days=30))
    told(
        lambda: ChatCerebras(
            model=CODER, base_url=server.url, on_retired="warn"
        ).invoke("Hi")
    )
    assert server.requests[0].json["model"] == CODER


def test_on_its_last_day_a_model_is_still_asked(server, on, public):
    on(END)
    told(lambda: ChatCerebras(model=CODER, base_url=server.url).invoke("Hi"))
    assert server.requests[0].json["model"] == CODER


def test_a_models_name_in_a_call_is_looked_up_too(server, on, public):
    on(END + timedelta(days=30))
    model = ChatCerebras(model="gpt-oss-120b", base_url=server.url)
    with pytest.raises(ModelRetiredError, match=CODER):
        model.invoke("Hi", model=CODER)
    assert server.requests == []
    assert model.invoke("Hi").response_metadata["model_name"] == "gpt-oss-120b"


def test_an_end_that_is_told_can_be_an_error(server, on):
    on(END - timedelta(days=2))
    with pytest.raises(CerebrasConfigurationError, match="on_deprecated='error'"):
        ChatCerebras(model=CODER, base_url=server.url, on_deprecated="error")
    model = ChatCerebras(base_url=server.url, on_deprecated="error")
    with pytest.raises(CerebrasInvalidRequestError, match="on_deprecated='error'"):
        model.invoke("Hi", model=CODER)


def test_or_be_ignored(server, on):
    on(END - timedelta(days=2))
    assert not told(
        lambda: ChatCerebras(model=CODER, base_url=server.url, on_deprecated="ignore")
    )


def test_a_dedicated_endpoints_model_is_nobodys_business(server, on):
    on(date(2026, 11, 21))
    assert not told(
        lambda: ChatCerebras(model="acme-tuned-7", base_url=server.url).invoke("Hi")
    )


@pytest.mark.parametrize(
    ("rule", "day", "outcome"),
    [
        pytest.param("warn", date(2026, 3, 1), 0, id="before it was told"),
        pytest.param("warn", date(2026, 5, 1), 1, id="told"),
        pytest.param("warn", date(2026, 8, 1), 1, id="ended"),
        pytest.param("ignore", date(2026, 8, 1), 0, id="ignored"),
    ],
)
def test_a_parameter_that_ends_is_told_once(server, on, rule, day, outcome):
    on(day)
    model = ChatCerebras(
        base_url=server.url,
        model="acme-tuned-7",
        disable_reasoning=True,
        on_deprecated=rule,
    )
    found = told(lambda: [model.invoke("Hi") for _ in range(3)])
    assert len(found) == outcome
    if found:
        assert 'reasoning_effort="none"' in str(found[0].message)


def test_a_parameter_that_ends_can_be_an_error(server, on):
    on(date(2026, 8, 1))
    model = ChatCerebras(
        base_url=server.url, model="acme-tuned-7", on_deprecated="error"
    )
    with pytest.raises(CerebrasInvalidRequestError, match="disable_reasoning"):
        model.invoke("Hi", disable_reasoning=True)


def test_langchains_max_tokens_is_no_deprecated_parameter(server, on):
    on(date(2026, 11, 21))
    model = ChatCerebras(base_url=server.url, max_tokens=5)
    assert not told(lambda: model.invoke("Hi"))
    assert server.requests[0].json["max_completion_tokens"] == 5


# ------------------------------------------------------------------------ the card


def test_an_output_longer_than_the_model_writes_is_refused_early(server, public):
    with pytest.raises(CerebrasConfigurationError, match="more than gpt-oss-120b"):
        ChatCerebras(
            model="gpt-oss-120b",
            base_url="https://api.cerebras.ai/v1",
            api_key="csk-test",
            max_tokens=1_000_000,
        )
    model = ChatCerebras(model="gpt-oss-120b", base_url=server.url)
    with pytest.raises(CerebrasInvalidRequestError, match="extra_body"):
        model.invoke("Hi", max_tokens=1_000_000)
    model.invoke("Hi", extra_body={"max_completion_tokens": 1_000_000})
    assert server.requests[0].json["max_completion_tokens"] == 1_000_000


def test_elsewhere_an_output_may_be_as_long_as_it_likes(server):
    model = ChatCerebras(model="gpt-oss-120b", base_url=server.url, max_tokens=10**6)
    model.invoke("Hi")
    assert server.requests[0].json["max_completion_tokens"] == 10**6


def test_a_prompt_that_cannot_fit_is_warned_of(server):
    model = ChatCerebras(model="gpt-oss-120b", base_url=server.url)
    with pytest.warns(CerebrasContextWarning, match="131,072"):
        model.invoke("word " * 250_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.invoke("word " * 50_000)


def test_recommended_sampling_is_the_cards_and_yours_wins():
    card = get_model(CODER).recommended_sampling
    assert card is not None
    key = {"api_key": "csk-test"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CerebrasDeprecationWarning)
        model = ChatCerebras.recommended(CODER, **key)
        own = ChatCerebras.recommended(f"cerebras:{CODER}", temperature=0.1, **key)
    assert (model.temperature, model.top_p) == (0.7, 0.8)
    assert (own.temperature, own.top_p) == (0.1, 0.8)
    assert ChatCerebras(**key).temperature is None
    with pytest.raises(UnknownModelError):
        ChatCerebras.recommended("acme-tuned-7", **key)


def call(model: Any, way: str) -> Any:
    if way == "invoke":
        return model.invoke("Hi")
    if way == "ainvoke":
        return asyncio.run(model.ainvoke("Hi"))
    if way == "stream":
        return add(list(model.stream("Hi")))

    async def collect() -> list[Any]:
        return [chunk async for chunk in model.astream("Hi")]

    return add(asyncio.run(collect()))


def add(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
