"""LangChain's `version="v3"` events of a routed call: the winner's, as they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langchain_core._api import beta
from langchain_core.language_models.chat_model_stream import (
    AsyncChatModelStream,
    ChatModelStream,
)

from langchain_cerebras_ext.routing import _routed
from langchain_cerebras_ext.routing._chunks import is_last

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_cerebras_ext.routing._routed import MakeTrip

__all__ = ["astream_events", "stream_events"]


@beta()
def stream_events(make_trip: MakeTrip, given: Any) -> ChatModelStream:
    """Return the stream of a call; nothing is asked until somebody reads it."""
    stream = ChatModelStream()
    items: Iterator[Any] | None = None

    def start() -> Iterator[Any]:
        nonlocal items
        if items is None:
            items = _routed.stream(make_trip, given, method="events")
        return items

    def pump() -> bool:
        # The variable that is read here is what a router around this one closes.
        source = items or start()
        try:
            event = next(source, None)
            if event is not None and is_last(event):
                _ = list(source)  # the run ends before its message is there
        except BaseException as error:  # noqa: BLE001 - raised to whoever reads
            stream.fail(error)
            return False
        if event is None:
            _check_end(stream)
            return False
        stream.dispatch(event)
        return True

    stream.set_start(lambda: None)
    stream.bind_pump(pump)
    return stream


@beta()
async def astream_events(make_trip: MakeTrip, given: Any) -> AsyncChatModelStream:
    """As `stream_events`; a task reads the legs as soon as somebody reads."""
    stream = AsyncChatModelStream()

    async def produce() -> None:
        items: Any = _routed.astream(make_trip, given, method="events")
        last: Any = None
        try:
            async with aclosing(items):
                async for event in items:
                    if is_last(event):
                        last = event  # the run ends before its message is there
                    else:
                        stream.dispatch(event)
            if last is not None:
                stream.dispatch(last)
            _check_end(stream)
        except asyncio.CancelledError as error:
            stream.fail(error)
            raise
        except BaseException as error:  # noqa: BLE001 - raised to whoever reads
            stream.fail(error)

    async def start() -> None:
        if stream._producer_task is None:  # noqa: SLF001 - as LangChain's own models
            stream._producer_task = asyncio.create_task(produce())  # noqa: SLF001

    stream.set_start(start)
    return stream


def _check_end(stream: ChatModelStream | AsyncChatModelStream) -> None:
    if not stream.done:
        stream.fail(ValueError("No events were returned"))
