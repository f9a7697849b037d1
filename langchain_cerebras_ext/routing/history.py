"""Histories pass between providers unharmed: `portable_messages`.

What one provider answers is, in LangChain, often in its own shape: signed thoughts,
items that are known by an id, calls inside the content. Handed to another one it is
refused, or is lost without a word. Here such answers become what all understand, and
what the next provider can take of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.messages import HumanMessage, SystemMessage

from langchain_cerebras_ext.routing._history.passage import Passage
from langchain_cerebras_ext.routing._history.rules import rules_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

__all__ = ["portable_messages"]


def portable_messages(
    messages: Sequence[BaseMessage], provider: str | None, model: str | None = None
) -> list[BaseMessage]:
    """Return a conversation as a provider takes it, whoever has answered in it.

    Kept: all text, refusals and what was spoken among it; tool calls with their
    results, matched by ids that are rewritten on both sides where they do not fit, are
    empty or are used twice; images and files, in a shape that the provider's package
    reads. Those that a tool returned or an assistant made go into the user's message
    that follows where they are taken from the user alone. That a tool failed is said in
    its text where there is no other way. System messages go to the front where they
    are not heard later.

    Dropped, of other providers' answers alone: reasoning with its signatures (but
    Cerebras takes it, as a standard block), citations, tools that a provider ran on its
    side, calls that could not be read and that nobody answered, audio beside its
    transcript, marks for a prompt cache, and metadata.

    A provider's own answers are the same objects, so that signatures survive. Nothing
    that is handed over is changed.

    Args:
        messages: The conversation.
        provider: Who gets it, as `list_providers` or LangChain name it. `None`: nobody
            knows, and nothing is changed.
        model: Its model. Today no rule depends on it.

    Returns:
        The same list if nothing has to change; messages that need not are the same
        objects.

    Raises:
        UnsupportedFeatureError: The provider does not take an image, or a file, or
            takes none that another one holds. It is named by its place.

    Example:
        ```python
        from langchain_core.messages import AIMessage, HumanMessage

        from langchain_cerebras_ext.routing.history import portable_messages

        thought = {"type": "thinking", "thinking": "Greet.", "signature": "Eq0B"}
        said = AIMessage(
            content=[thought, {"type": "text", "text": "Hello!"}],
            response_metadata={"model_provider": "anthropic"},
        )
        sent = portable_messages([HumanMessage("Hi"), said], "openai")
        assert sent[1].content == "Hello!"
        ```
    """
    del model
    if provider and not _is_plain(messages):
        passed = Passage(messages, rules_of(provider)).run()
        if passed is not None:
            return passed
    return messages if isinstance(messages, list) else list(messages)


def _is_plain(messages: Sequence[BaseMessage]) -> bool:
    """Whether it is a user's text, after the system's at most: taken by all as it is.

    So are most prompts, and looking closer would take longer than this.
    """
    last: type[BaseMessage] = SystemMessage
    for one in messages:
        kind = type(one)
        if kind is not HumanMessage and (kind is not SystemMessage or kind is not last):
            return False
        if one.name or not isinstance(one.content, str):
            return False
        last = kind
    return True
