"""What an answer is, before limits cut it and the wire shapes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: arguments are text, so that malformed ones can be sent too.

    Attributes:
        id: None lets the simulator make one.
        chunks: The arguments as a stream cuts them; None lets the simulator cut.
    """

    name: str
    arguments: str
    id: str | None = None
    chunks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole.

    Attributes:
        finish_reason: None lets the simulator say what fits.
        chunks: The content as a stream cuts it; None lets the simulator cut.
        logprobs: The content's log probabilities; None lets the simulator make them.
    """

    content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    chunks: tuple[str, ...] | None = None
    reasoning_chunks: tuple[str, ...] | None = None
    logprobs: tuple[dict[str, Any], ...] | None = None
