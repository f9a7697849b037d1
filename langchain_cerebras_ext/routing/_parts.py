"""Stands in until histories are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

__all__ = ["portable_messages"]


def portable_messages(
    messages: Sequence[BaseMessage], provider: str | None
) -> Sequence[BaseMessage]:
    """Return the messages as they are."""
    del provider
    return messages
