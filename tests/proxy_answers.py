"""What an upstream answers when all goes well: an answer, and the same as a stream."""

from __future__ import annotations

from typing import Any

from wire_server import DONE, event

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
BODY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "choices": [
        {"index": 0, "message": {"content": "Hello."}, "finish_reason": "stop"}
    ],
    "model": "gpt-oss-120b",
    "usage": USAGE,
}


def delta(text: str, **more: Any) -> bytes:
    """Return the event of a part of an answer; more is the choice's."""
    choices = [{"delta": {"content": text}, "index": 0, **more}]
    return event({"id": "chatcmpl-1", "choices": choices})


LAST = event({"id": "chatcmpl-1", "choices": [], "usage": USAGE})
STREAM = [delta("Hel"), delta("lo."), LAST, DONE]
