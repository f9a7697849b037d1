"""`show`: what a terminal prints and what a notebook draws."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, ToolMessage
from pydantic import BaseModel

from langchain_cerebras_ext import notebook
from langchain_cerebras_ext._live import LiveStream
from langchain_cerebras_ext.notebook import ashow, render_html, show

USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def chunks() -> Iterator[AIMessageChunk]:
    yield AIMessageChunk("", additional_kwargs={"reasoning_content": "hm"})
    yield AIMessageChunk("**Hel")
    yield AIMessageChunk("lo**")
    yield AIMessageChunk("", usage_metadata=USAGE, chunk_position="last")


async def achunks() -> AsyncIterator[AIMessageChunk]:
    for chunk in chunks():
        yield chunk


class Place(BaseModel):
    city: str


# ------------------------------------------------------------------------ plain text


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_outside_of_jupyter_text_is_printed_and_the_message_returned(
    is_async: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    message = asyncio.run(show(achunks())) if is_async else show(chunks())
    lines = capsys.readouterr().out.split("\n")
    assert lines[:3] == ["[reasoning] hm", "", "**Hello**"]
    assert "3 output tokens · 7 input tokens" in lines[3]
    assert isinstance(message, AIMessageChunk)
    assert message.text == "**Hello**"
    assert message.usage_metadata == USAGE


@pytest.mark.parametrize(
    ("items", "result", "printed"),
    [
        pytest.param(["a", "b"], "ab", "ab\n", id="texts"),
        pytest.param([], None, "", id="nothing"),
        pytest.param(
            [{"a": 1}, {"a": 1, "b": 2}],
            {"a": 1, "b": 2},
            '{\n  "a": 1,\n  "b": 2\n}\n',
            id="partials",
        ),
        pytest.param(
            [Place(city="Paris")],
            Place(city="Paris"),
            '{\n  "city": "Paris"\n}\n',
            id="objects",
        ),
    ],
)
def test_other_streams_are_shown_too(
    items: list[Any], result: Any, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(iter(items)) == result
    assert capsys.readouterr().out == printed


def test_tool_calls_and_results_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    call = {"name": "look", "args": "{}", "id": "c", "index": 0}
    show(
        [
            (AIMessageChunk("", tool_call_chunks=[call]), {}),
            (ToolMessage("\x1b[2Jseen", tool_call_id="c", name="look"), {}),
        ]
    )
    assert capsys.readouterr().out.startswith("-> look {}\n\n<- look: seen\n")


# ------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("error", "state"),
    [(KeyboardInterrupt, "interrupted"), (RuntimeError, "broken off")],
    ids=["interrupted", "failed"],
)
def test_what_came_stays_and_the_stream_is_closed(
    is_async: bool,
    error: type[BaseException],
    state: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = []

    def broken() -> Iterator[str]:
        try:
            yield "half"
            raise error
        finally:
            closed.append(True)

    async def abroken() -> AsyncIterator[str]:
        for item in broken():
            yield item

    with pytest.raises(error):
        if is_async:
            asyncio.run(ashow(abroken()))
        else:
            show(broken())
    assert closed == [True]
    assert capsys.readouterr().out == f"half\n[{state} · ~1 tokens]\n"


def test_a_stream_is_closed_when_showing_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not at some later garbage collection: the connection is given back now."""
    closed = []

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "x"
        finally:
            closed.append(True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(notebook._Plain, "update", interrupted)
    stream = endless()
    with pytest.raises(KeyboardInterrupt):
        show(stream)
    assert closed == [True]


# ----------------------------------------------------------------------------- Jupyter


class Handles:
    """Stands for IPython: what is displayed and updated."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, dict[str, str]]] = []


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> Handles:
    """A notebook, as far as `show` can tell."""
    found = Handles()

    class DisplayHandle:
        def display(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            found.drawn.append(("display", data))

        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            found.drawn.append(("update", data))

    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    display: Any = types.ModuleType("IPython.display")
    display.DisplayHandle = DisplayHandle
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return found


def test_a_notebook_gets_one_output_that_grows(
    handles: Handles, capsys: pytest.CaptureFixture[str]
) -> None:
    message = show(chunks())
    assert message.text == "**Hello**"
    assert [how for how, _ in handles.drawn] == ["display", "update"]
    first, last = (data["text/html"] for _, data in handles.drawn)
    assert "<details open" in first  # reasoning is all there is
    assert "<details style" in last  # folded
    assert "<summary>Reasoning</summary><p>hm</p>" in last
    assert "<strong>Hello</strong>" in last
    assert "3 output tokens" in last
    assert handles.drawn[-1][1]["text/plain"].startswith("**Hello**")
    assert capsys.readouterr().out == ""


def test_drawing_is_held_to_ten_a_second(
    handles: Handles, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        return now[0]

    def thousand() -> Iterator[str]:
        for _ in range(1000):
            now[0] += 0.002
            yield "x"

    monkeypatch.setattr(notebook, "time", types.SimpleNamespace(monotonic=clock))
    assert show(thousand()) == "x" * 1000
    assert 15 <= len(handles.drawn) <= 22  # 2 seconds
    assert "x" * 1000 in handles.drawn[-1][1]["text/html"]


def test_slow_drawing_is_done_less_often(
    handles: Handles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long answer must not slow the reading of its own stream."""
    now = [0.0]

    def slow(*_: Any, **__: Any) -> str:
        now[0] += 0.5
        return ""

    def steps() -> Iterator[str]:
        for _ in range(100):
            now[0] += 0.1
            yield "x"

    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(notebook, "time", clock)
    monkeypatch.setattr(notebook, "render_html", slow)
    show(steps())
    assert len(handles.drawn) <= 6


def test_an_interrupted_cell_keeps_its_output(handles: Handles) -> None:
    def broken() -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show(broken())
    assert "half" in handles.drawn[-1][1]["text/html"]
    assert "interrupted" in handles.drawn[-1][1]["text/html"]


def test_a_stream_of_nothing_draws_nothing(handles: Handles) -> None:
    assert show([]) is None
    assert handles.drawn == []


# -------------------------------------------------------------------------------- HTML


def drawn(live: LiveStream) -> str:
    return render_html(live, "", done=True)


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        pytest.param("<script>alert(1)</script>", "<script", id="script"),
        pytest.param("a <img src=x onerror=alert(1)>", "<img", id="image tag"),
        pytest.param("![x](https://example.com/?q=1)", "<img", id="remote image"),
        pytest.param("[x](javascript:alert(1))", "href", id="script link"),
        pytest.param("[x](data:text/html,hi)", "href", id="data link"),
        pytest.param("</details></div><iframe>", "<iframe", id="breaking out"),
        pytest.param("`<b>` and\n\n```\n<script>\n```", "<script>", id="code"),
    ],
)
@pytest.mark.parametrize("kind", ["text", "reasoning"])
def test_nothing_that_a_model_writes_is_markup(
    text: str, absent: str, kind: str
) -> None:
    live = LiveStream()
    extra = {"reasoning_content": text} if kind == "reasoning" else {}
    live.add(AIMessageChunk("" if extra else text, additional_kwargs=extra))
    assert absent not in drawn(live)


def test_tool_calls_results_and_values_are_escaped() -> None:
    live = LiveStream()
    call = {"name": "<b>", "args": "<i>", "id": "c", "index": 0}
    live.add(AIMessageChunk("", tool_call_chunks=[call]))
    live.add(ToolMessage("<u>", tool_call_id="c", name="<s>"))
    live.add({"a": "<em>"})
    html = render_html(live, "<status>", done=True)
    for tag in ("<b>", "<i>", "<u>", "<s>", "<em>", "<status>"):
        assert tag not in html


def test_tables_and_code_are_drawn() -> None:
    live = LiveStream()
    live.add("| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx < 1\n```")
    html = drawn(live)
    assert "<td>1</td>" in html
    assert "x &lt; 1" in html


def test_without_a_markdown_library_text_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    notebook._markdown.cache_clear()
    try:
        live = LiveStream()
        live.add("**a** <b>")
        assert "<pre>**a** &lt;b&gt;</pre>" in drawn(live)
    finally:
        notebook._markdown.cache_clear()
