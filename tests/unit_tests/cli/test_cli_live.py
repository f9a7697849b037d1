"""What a stream has brought so far, for any display."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolMessage,
)
from pydantic import BaseModel

from langchain_cerebras_ext._live import (
    Figures,
    LiveStream,
    SpeedMeter,
    close_stream,
    figures_of,
    printable,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def chunk(text: str = "", reasoning: str = "", **more: Any) -> AIMessageChunk:
    extra = {"reasoning_content": reasoning} if reasoning else {}
    return AIMessageChunk(text, additional_kwargs=extra, **more)


def test_the_meter_counts_from_the_first_piece() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    assert meter.status() == "waiting for the first token"
    assert meter.first_token_s is None
    clock.now += 0.5
    meter.add("x" * 400)
    assert meter.tokens_per_s is None  # one piece has no pace yet
    assert meter.status() == "~100 tokens"
    clock.now += 1.0
    meter.add("é" * 200)  # two bytes each
    assert meter.first_token_s == pytest.approx(0.5)
    assert meter.elapsed_s == pytest.approx(1.5)
    assert meter.tokens == 200
    assert meter.tokens_per_s == pytest.approx(200)
    assert meter.status() == "~200 tokens · ~200 tokens/s"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("a\tb\nc", "a\tb\nc", id="tabs and line breaks stay"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colours"),
        pytest.param("\x1b]52;c;aGk=\x07x", "x", id="clipboard"),
        pytest.param("\x1b]8;;http://x\x1b\\x", "x", id="hidden link"),
        pytest.param("a\rb\x08c\x07\x9b2Jd", "abc2Jd", id="controls"),
        pytest.param("a\u202egpj.exe\u2066b\u2069", "agpj.exeb", id="direction"),
        pytest.param("naïve 漢字 🐟", "naïve 漢字 🐟", id="other scripts"),
    ],
)
def test_what_a_terminal_would_obey_is_left_out(text: str, kept: str) -> None:
    assert printable(text) == kept


def test_chunks_become_entries_and_one_message() -> None:
    live = LiveStream()
    first = live.add(chunk(reasoning="Let me "))
    again = live.add(chunk(reasoning="see."))
    text = live.add(chunk("It is "))
    live.add(chunk("so."))
    assert [piece.is_new for piece in (*first, *again, *text)] == [True, False, True]
    assert [(one.kind, one.text) for one in live.entries] == [
        ("reasoning", "Let me see."),
        ("text", "It is so."),
    ]
    assert live.message is not None
    assert live.message.text == "It is so."
    assert live.message.additional_kwargs["reasoning_content"] == "Let me see."
    assert live.result == live.message


def test_an_empty_chunk_shows_nothing() -> None:
    live = LiveStream()
    assert live.add(chunk()) == []
    assert live.add(None) == []
    assert live.add(HumanMessage("mine")) == []
    assert live.entries == []
    assert LiveStream().result is None


def test_reasoning_blocks_of_output_version_v1_are_reasoning() -> None:
    live = LiveStream()
    blocks = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "ok"}]
    live.add(AIMessage(content=blocks))
    assert (live.reasoning, live.text) == ("hm", "ok")


def test_fragments_of_parallel_calls_are_kept_apart() -> None:
    live = LiveStream()

    def fragment(index: int, name: str | None, args: str) -> AIMessageChunk:
        call = {"name": name, "args": args, "id": name, "index": index}
        return AIMessageChunk("", tool_call_chunks=[call])

    for item in (
        fragment(0, "one", '{"a'),
        fragment(1, "two", '{"b'),
        fragment(0, None, '": 1}'),
        fragment(1, None, '": 2}'),
    ):
        live.add(item)
    assert [(one.name, one.text) for one in live.entries] == [
        ("one", '{"a": 1}'),
        ("two", '{"b": 2}'),
    ]


def test_the_pairs_of_an_agents_stream_are_understood() -> None:
    """Each model message is summed by itself; the last is the result."""
    live = LiveStream()
    call = {"name": "look", "args": {"at": "it"}, "id": "c1", "type": "tool_call"}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    first = AIMessage("", id="m1", tool_calls=[call], usage_metadata=usage)
    live.add((first, {"langgraph_node": "model"}))
    live.add((ToolMessage("seen", tool_call_id="c1", name="look"), {}))
    live.add((chunk("Done", id="m2"), {}))
    live.add((chunk(".", id="m2", usage_metadata=usage), {}))
    assert [(one.kind, one.name, one.text) for one in live.entries] == [
        ("tool_call", "look", '{"at": "it"}'),
        ("tool_result", "look", "seen"),
        ("text", "", "Done."),
    ]
    assert live.result.text == "Done."
    figures = live.figures()
    assert (figures.input_tokens, figures.output_tokens) == (20, 10)
    assert figures.output_tokens_per_s is None  # tools took their time in between


class Place(BaseModel):
    city: str


@pytest.mark.parametrize(
    ("items", "result", "shown"),
    [
        pytest.param(
            [{"city": "P"}, {"city": "Paris"}],
            {"city": "Paris"},
            '{\n  "city": "Paris"\n}',
            id="dicts",
        ),
        pytest.param(
            [Place(city="Paris")],
            Place(city="Paris"),
            '{\n  "city": "Paris"\n}',
            id="objects",
        ),
        pytest.param(["Par", "is"], "Paris", "Paris", id="texts"),
        pytest.param(["", ""], "", None, id="empty texts"),
    ],
)
def test_other_streams_give_their_own_result(
    items: list[Any], result: Any, shown: str | None
) -> None:
    live = LiveStream()
    for item in items:
        live.add(item)
    assert live.result == result
    assert [one.text for one in live.entries] == ([] if shown is None else [shown])


def test_events_of_v3_are_understood() -> None:
    live = LiveStream()
    start = {"type": "tool_call_chunk", "name": "look", "args": ""}
    for event in (
        {"event": "message-start"},
        {"event": "content-block-delta", "index": 0, "delta": {"reasoning": "hm"}},
        {"event": "content-block-delta", "index": 1, "delta": {"text": "ok"}},
        {"event": "content-block-start", "index": 2, "content": start},
        {"event": "content-block-delta", "index": 2, "delta": {"args": "{}"}},
        {
            "event": "message-finish",
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            "metadata": {"measured": {"total_s": 0.5}},
        },
    ):
        live.add(event)
    assert [(one.kind, one.name + one.text) for one in live.entries] == [
        ("reasoning", "hm"),
        ("text", "ok"),
        ("tool_call", "look{}"),
    ]
    assert live.figures().output_tokens == 2
    assert live.figures().total_s == 0.5


def test_figures_prefer_what_the_message_says() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    clock.now += 3
    meter.add("x")
    message = AIMessage(
        "",
        usage_metadata={
            "input_tokens": 1200,
            "output_tokens": 50,
            "total_tokens": 1250,
            "input_token_details": {"cache_read": 1000},
            "output_token_details": {"reasoning": 20},
        },
        response_metadata={
            "measured": {
                "total_s": 0.25,
                "time_to_first_token_s": 0.05,
                "output_tokens_per_s": 2500.4,
            }
        },
    )
    assert figures_of(message, meter).line() == (
        "first token 50 ms · 2,500 tokens/s · 50 output tokens (20 reasoning) · "
        "1,200 input tokens (1,000 cached) · 0.25 s"
    )
    assert figures_of(AIMessage(""), meter).first_token_s == 3
    assert figures_of(None) == Figures()
    assert Figures(output_tokens=2).line() == "2 output tokens"


def test_a_stream_that_can_be_closed_is_closed() -> None:
    closed = []

    def numbers() -> Any:
        try:
            yield 1
        finally:
            closed.append(True)

    stream = numbers()
    next(stream)
    close_stream(stream)
    close_stream(iter([1]))  # has nothing to close
    assert closed == [True]
