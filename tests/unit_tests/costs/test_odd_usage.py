"""Usage blocks that lack something, or hold what is no count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from call_paths import call
from pydantic import SecretStr
from wire_server import DONE, Request, WireServer, event, plain, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.costs._meter import Noted
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.costs.tracker import CostTracker

PATHS = ["invoke", "ainvoke", "stream", "astream"]


def record_of(path: str, usage: Any, time_info: Any = None) -> UsageRecord:
    """Return the record of a call whose answer has such a usage block."""
    common = {
        "id": "chatcmpl-1",
        "created": 1790000000,
        "model": "gpt-oss-120b",
        "usage": usage,
        "time_info": time_info or {},
    }
    told = {"role": "assistant", "content": "Four words of text."}

    def respond(request: Request) -> Iterator[bytes]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if json.loads(request.body).get("stream"):
            chunk = {**common, "choices": [{**choice, "delta": told}]}
            return sse([event(chunk), DONE])
        return plain({**common, "choices": [{**choice, "message": told}]})

    tracker = CostTracker()
    with WireServer(respond) as server:
        model = ChatCerebras(base_url=server.url, api_key=SecretStr("k"))
        answer = call(path, model, config={"callbacks": [tracker]})
    assert answer.text == "Four words of text."
    [record] = tracker.records
    assert tracker.totals.calls == 1
    return record


@pytest.mark.parametrize("path", PATHS)
def test_a_side_that_was_left_out_is_what_the_total_says(path: str) -> None:
    for usage in (
        {"completion_tokens": 5, "total_tokens": 16},
        {"prompt_tokens": None, "completion_tokens": 5, "total_tokens": 16},
        {"prompt_tokens": 11, "total_tokens": 16},
    ):
        record = record_of(path, usage)
        assert (record.input_tokens, record.output_tokens) == (11, 5)
        assert record.flags == ()


@pytest.mark.parametrize("path", PATHS)
def test_a_side_that_nobody_counted_is_estimated_and_flagged(path: str) -> None:
    record = record_of(path, {"completion_tokens": 5})
    assert record.input_tokens
    assert (record.output_tokens, record.flags) == (5, ("estimated",))
    record = record_of(path, {"prompt_tokens": 0, "completion_tokens": 5})
    assert record.input_tokens, "no prompt is empty"
    assert (record.output_tokens, record.flags) == (5, ("estimated",))
    record = record_of(path, {"prompt_tokens": 11})
    assert record.output_tokens
    assert (record.input_tokens, record.flags) == (11, ("estimated",))


@pytest.mark.parametrize("path", PATHS)
def test_a_part_is_not_more_than_its_whole(path: str) -> None:
    usage = {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 12},
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    record = record_of(path, usage)
    assert (record.input_tokens, record.cached_input_tokens) == (11, 11)
    assert (record.output_tokens, record.reasoning_tokens) == (5, 5)
    assert record.flags == ("estimated",)
    assert record.cost is not None
    assert record.cost.input == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "11", "completion_tokens": "5"},
        {"prompt_tokens": -11, "completion_tokens": -5},
        {"prompt_tokens": [], "completion_tokens": {}},
        {"prompt_tokens": True, "completion_tokens": False},
    ],
    ids=["texts", "negative", "containers", "booleans"],
)
def test_what_is_no_count_is_estimated(path: str, usage: dict[str, Any]) -> None:
    record = record_of(path, usage)
    assert record.flags == ("estimated", "no_usage")
    assert record.input_tokens
    assert record.output_tokens
    assert record.cost_usd


@pytest.mark.parametrize("queued", [10**400, "soon", None, [], True])
def test_a_time_that_is_none_costs_no_record(queued: Any) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    record = record_of("invoke", usage, {"queue_time": queued})
    assert (record.input_tokens, record.output_tokens) == (11, 5)
    assert record.queue_time_s in {None, 1.0}


@pytest.mark.parametrize("path", PATHS)
def test_a_call_of_which_no_brief_can_be_made_is_recorded(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Noted, "_kind", fail)
    record = record_of(path, {"prompt_tokens": 11, "completion_tokens": 5})
    assert (record.input_tokens, record.output_tokens, record.flags) == (11, 5, ())
    assert "cannot be kept" in caplog.text
