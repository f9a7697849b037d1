"""Who a call belongs to: what LangChain's metadata and a tracker's scope say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_cerebras_ext._metering import ROUTER_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CONTEXT_KEYS", "Context", "Scope", "merge_context", "own_tags"]

_USER_KEYS = ("user_id", "user")
_SESSION_KEYS = ("session_id", "thread_id", "conversation_id")
_ARM_KEYS = ("experiment_arm",)
_CALL_KEYS = (ROUTER_CALL,)
_NODE_KEY = "langgraph_node"
_PLACE_KEY = "langgraph_checkpoint_ns"
_AGENT_KEY = "lc_agent_name"
CONTEXT_KEYS = frozenset(
    {*_USER_KEYS, *_SESSION_KEYS, *_ARM_KEYS, *_CALL_KEYS, _NODE_KEY}
)
"""Names in a run's metadata that say whose it is, as few do."""

# Tags that LangChain and LangGraph put on runs for themselves.
_INNER_TAGS = ("seq:step:", "map:key:", "graph:step:", "condition:", "langsmith:")


class _Said(NamedTuple):
    tags: tuple[str, ...] = ()
    user: str | None = None
    session: str | None = None
    arm: str | None = None


class Scope(_Said):
    """What a tracker says of all its calls; as text, whatever it was given."""

    __slots__ = ()

    def __new__(
        cls,
        tags: Iterable[Any] = (),
        user: Any = None,
        session: Any = None,
        arm: Any = None,
    ) -> Self:
        """Write numbers and the like as text: a ledger holds no other names."""
        return super().__new__(
            cls, tuple(map(str, tags)), _text(user), _text(session), _text(arm)
        )


class Context(NamedTuple):
    """What a record says of where its call came from."""

    tags: tuple[str, ...] = ()
    user: str | None = None
    session: str | None = None
    node: str | None = None
    arm: str | None = None
    router_call: str | None = None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


_SILENT = Scope()
_UNKNOWN = Context()


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
    telling = [scope for scope in scopes if scope != _SILENT]
    if not (telling or tags) and CONTEXT_KEYS.isdisjoint(metadata or ()):
        return _UNKNOWN  # as of most calls
    all_tags = list(tags or ())
    found = metadata or {}
    user = _first(found, _USER_KEYS)
    session = _first(found, _SESSION_KEYS)
    node = _node(found) if _NODE_KEY in found else None
    arm = _first(found, _ARM_KEYS)
    call = _first(found, _CALL_KEYS)
    for scope in telling:
        all_tags.extend(scope.tags)
        user = user if user is not None else scope.user
        session = session if session is not None else scope.session
        arm = arm if arm is not None else scope.arm
    return Context(
        own_tags(all_tags) if all_tags else (),
        user,
        session,
        node,
        arm,
        call,
    )


def _node(found: Mapping[str, Any]) -> str | None:
    """Return the node of a graph, with those above it: agents all have a `model`.

    LangGraph names the place as `researcher:<id>|model:<id>`, and an agent that was
    given a name says so.
    """
    node = found[_NODE_KEY]
    if node is None:
        return None
    place = str(found.get(_PLACE_KEY) or "").split("|")
    path = [name for part in place if (name := part.partition(":")[0])]
    path = [name for name in path[:-1] if not name.isdigit()]  # of several calls
    agent = found.get(_AGENT_KEY)
    if agent and agent not in path:
        path.append(str(agent))
    return "/".join([*path, str(node)])


def _first(found: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = found.get(key)
        if value is not None and value != "":
            return str(value)
    return None
