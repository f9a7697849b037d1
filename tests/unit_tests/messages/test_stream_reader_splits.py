"""However the network cuts a recording, the message is the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import ALL, NAMES, Recording, add, comparable, load
from splits import pieces_of
from wire_server import WireServer, sse

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._messages_out import (
    build_chunk,
    build_last_chunk,
    ending_of_stream,
    merge_deltas,
)
from langchain_cerebras_ext._stream_reader import StreamReader


def read(pieces: list[bytes]) -> StreamReader:
    reader = StreamReader()
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    return reader


def state(reader: StreamReader) -> tuple[Any, ...]:
    """All that a reader knows."""
    facts = {name: getattr(reader.facts, name) for name in reader.facts.__slots__}
    return reader.deltas, reader.finish_reason, reader.logprobs, facts


def message(pieces: list[bytes], *, coalesce: bool = False) -> Any:
    """The message from reads, as `stream` builds it."""
    reader = StreamReader()
    chunks = []
    for deltas in [*map(reader.feed, pieces), reader.finish()]:
        joined = merge_deltas(deltas) if coalesce else deltas
        chunks += [build_chunk(delta, reader.facts.id) for delta in joined]
    chunks.append(build_last_chunk(ending_of_stream(reader, {})))
    return comparable(add(chunks).message)


@pytest.mark.parametrize("recording", ALL, ids=NAMES)
def test_a_recording_byte_by_byte_reads_as_in_one_piece(recording: Recording) -> None:
    single = [bytes([byte]) for byte in recording.stream]
    assert state(read(single)) == state(read([recording.stream]))
    assert message(single) == recording.expected()


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@pytest.mark.parametrize("recording", ALL, ids=NAMES)
def test_other_line_ends_read_the_same(recording: Recording, end: bytes) -> None:
    stream = recording.stream.replace(b"\r\n", b"\n").replace(b"\n", end)
    assert state(read([stream])) == state(read([recording.stream]))


@pytest.mark.parametrize(
    "name", ["multi_byte", "cut_tool_arguments", "carriage_returns"]
)
def test_every_split_point_of_a_recording_reads_the_same(name: str) -> None:
    stream = load(name).stream
    whole = state(read([stream]))
    for cut in range(len(stream) + 1):
        assert state(read([stream[:cut], stream[cut:]])) == whole, cut


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_split_of_any_recording_reads_the_same(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(ALL))
    pieces = data.draw(pieces_of(recording.stream))
    assert state(read(pieces)) == state(read([recording.stream]))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), coalesce=st.booleans())
def test_any_split_of_any_recording_gives_the_expected_message(
    data: st.DataObject, coalesce: bool
) -> None:
    recording = data.draw(st.sampled_from(ALL))
    pieces = data.draw(pieces_of(recording.stream))
    assert message(pieces, coalesce=coalesce) == recording.expected()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_deltas_joined_by_read_say_the_same_as_single_ones(data: st.DataObject) -> None:
    """Nothing is lost or reordered within a kind; a call's fragments stay together."""
    recording = data.draw(st.sampled_from(ALL))
    deltas = read([recording.stream]).deltas
    joined = merge_deltas(deltas)
    for kind in ("text", "reasoning", "refusal"):
        texts = ["".join(d.text for d in x if d.kind == kind) for x in (deltas, joined)]
        assert texts[0] == texts[1]
    for left, right in itertools.pairwise(joined):
        assert left.kind != right.kind or left.kind == "logprobs"


# ------------------------------------------------------- through the real transports


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    pieces: list[bytes] = []
    with WireServer(lambda _: sse([piece for piece in pieces if piece])) as found:
        found.pieces = pieces  # type: ignore[attr-defined]
        yield found


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
@pytest.mark.parametrize("name", ["multi_byte", "reasoning_text_tools", "logprobs"])
def test_http_chunks_of_any_size_give_the_expected_message(
    server: WireServer, name: str, size: int, is_async: bool
) -> None:
    recording = load(name)
    stream = recording.stream
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert _streamed(server, pieces, is_async=is_async) == recording.expected()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data(), is_async=st.booleans())
def test_any_split_into_http_chunks_gives_the_expected_message(
    server: WireServer, data: st.DataObject, is_async: bool
) -> None:
    recording = data.draw(st.sampled_from(ALL))
    pieces = data.draw(pieces_of(recording.stream))
    assert _streamed(server, pieces, is_async=is_async) == recording.expected()


def _streamed(server: WireServer, pieces: list[bytes], *, is_async: bool) -> Any:
    server.pieces[:] = pieces  # type: ignore[attr-defined]
    model = ChatCerebras(base_url=server.url)

    async def go() -> Any:
        return add([chunk async for chunk in model.astream("hi")])

    return comparable(asyncio.run(go()) if is_async else add(model.stream("hi")))
