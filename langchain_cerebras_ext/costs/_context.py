"""Who a call belongs to: what LangChain's metadata and a tracker's scope say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_cerebras_ext._metering import ROUTER_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Context", "Scope", "merge_context", "own_tags"]

_USER_KEYS = ("user_id", "user")
_SESSION_KEYS = ("session_id", "thread_id", "conversation_id")
_ARM_KEYS = ("experiment_arm",)
_CALL_KEYS = (ROUTER_CALL,)

# Tags that LangChain and LangGraph put on runs for themselves.
_INNER_TAGS = ("seq:step:", "map:key:", "graph:step:", "condition:", "langsmith:")


class Scope(NamedTuple):
    """What a tracker says of all its calls."""

    tags: tuple[str, ...] = ()
    user: str | None = None
    session: str | None = None
    arm: str | None = None


class Context(NamedTuple):
    """What a record says of where its call came from."""

    tags: tuple[str, ...] = ()
    user: str | None = None
    session: str | None = None
    node: str | None = None
    arm: str | None = None
    router_call: str | None = None


def own_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags that somebody chose, once each."""
    return tuple(
        dict.fromkeys(str(tag) for tag in tags if not str(tag).startswith(_INNER_TAGS))
    )


def merge_context(
    tags: Sequence[str] | None,
    metadata: Mapping[str, Any] | None,
    scopes: Iterable[Scope],
) -> Context:
    """Return what is known of a call; the narrower word wins.

    Args:
        tags: Of the run.
        metadata: Of the run: `user_id`, `session_id`, `thread_id`, `langgraph_node`,
            `experiment_arm`, `router_call_id`.
        scopes: Of the trackers, the innermost first.
    """
    found = metadata or {}
    all_tags = list(tags or ())
    user, session = _first(found, _USER_KEYS), _first(found, _SESSION_KEYS)
    arm = _first(found, _ARM_KEYS)
    for scope in scopes:
        if scope.tags:
            all_tags.extend(scope.tags)
        user = user if user is not None else scope.user
        session = session if session is not None else scope.session
        arm = arm if arm is not None else scope.arm
    node = found.get("langgraph_node")
    return Context(
        own_tags(all_tags) if all_tags else (),
        user,
        session,
        None if node is None else str(node),
        arm,
        _first(found, _CALL_KEYS),
    )


def _first(found: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = found.get(key)
        if value is not None and value != "":
            return str(value)
    return None
