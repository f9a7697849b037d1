"""Runs of our models of whose beginning LangChain tells nobody, since the model does.

LangChain tells each handler of each run, which in an event loop takes it 10 us, as much
as most of what a meter does. A handler that only meters has no use for it before the
model sends its request, and the model knows then whose run it makes. So where all
handlers of a run are such, the model hides them from LangChain right before they would
be told, and tells them when it opens the meter.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard
from uuid import uuid4
from weakref import ref

from langchain_cerebras_ext._metadata import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType
    from uuid import UUID

    from langchain_cerebras_ext._metering import MeteredRun

__all__ = [
    "LateHandlers",
    "are_meters_expected",
    "expect_meters",
    "is_spared",
    "only_meter",
    "spare_start",
    "spared_manager",
    "starting_manager",
]

_LANGCHAIN = "langchain_core.language_models.chat_models"
_OF_MANY = {"generate", "agenerate"}
# The last one is of `stream_events(version="v3")`.
_STARTS = {*_OF_MANY, "stream", "astream", "ensure_started"}


def only_meter(handlers: Iterable[Any], said: str = "is_meter_only") -> bool:
    """Whether all handlers meter calls, and do nothing else.

    Args:
        handlers: Of a run.
        said: The attribute that says it, or `hears_late` where it must hold besides
            that they may be told of a beginning by `LateHandlers`.
    """
    for one in handlers:  # noqa: SIM110 - `all` of a generator takes twice as long
        if getattr(one, said, False) is not True:
            return False
    return True


class LateHandlers(list[Any]):
    """The handlers of a run of ours who were not told of its beginning.

    All of them meter calls and do nothing else, and the model tells them itself when it
    opens its meter. So whoever walks through the list for the first time, which is
    LangChain about to tell of the beginning, meets nobody. If LangChain has more to
    tell and no meter was opened, as of an error before the request was made, it meets
    a handler that tells of both.

    Attributes:
        meters: Those who were not told; others may come to the list.
        facts: The run's parent's id, tags and metadata.
        is_begun: Whether LangChain has walked through it.
        is_open: Whether all have heard of the run, of its meter or of its end.
    """

    __slots__ = ("__weakref__", "facts", "is_begun", "is_open", "meters")

    # Made for each call, and quicker without an `__init__`.
    meters: list[Any]
    facts: tuple[UUID | None, list[str], dict[str, Any]]
    is_begun: bool
    is_open: bool

    def __iter__(self) -> Iterator[Any]:
        """Yield nobody the first time, and then the handler that tells all."""
        if not self.is_begun:
            self.is_begun = True
            return iter(())
        if self.is_open:  # a copy of the manager was, or a second end is told
            return super().__iter__()
        return iter((self.meters[0].latecomer(self),))

    def begin(self, manager: Any) -> MeteredRun:
        """Begin the run where its call is made; its handlers are as ever from then."""
        self.is_open = True
        handlers = manager.handlers = self[:]
        meters, is_alone = self.meters, handlers == self.meters
        if not is_alone:
            # Somebody who saw the manager before us has added his own, or removed some.
            own = [one for one in handlers if only_meter((one,), "hears_late")]
            meters = own or meters
        begun: MeteredRun = meters[0].begin(meters, manager, is_alone=is_alone)
        return begun


_is_expected = False


def expect_meters() -> None:
    """Note that calls may be metered from now on: other programs are spared a look."""
    global _is_expected  # noqa: PLW0603 - it only ever becomes true
    _is_expected = True


def are_meters_expected() -> bool:
    """Whether anybody may meter calls."""
    return _is_expected


def starting_manager(frame: FrameType) -> Any:
    """Return the manager of a run whose handlers only meter it, as it begins.

    Args:
        frame: That of LangChain's method that is about to tell them.

    Returns:
        What `spare_start` takes; `None` where others listen too, and where the caller
        is another one, or of another version: all are then told as ever.
    """
    name = frame.f_code.co_name
    if name not in _STARTS or frame.f_globals.get("__name__") != _LANGCHAIN:
        return None
    found = frame.f_locals
    manager: Any = found.get("callback_manager")
    handlers = getattr(manager, "handlers", None)
    if not handlers or not only_meter(handlers, "hears_late"):
        return None
    if name in _OF_MANY:
        prompts = found.get("messages")
        if type(prompts) is not list or len(prompts) != 1:
            return None  # several runs have one list of handlers
    if manager.metadata.get("ls_provider") != PROVIDER:
        return None  # it is metered as that one's
    return manager


def spare_start(manager: Any) -> None:
    """Let LangChain not tell of a run's beginning those who only meter it.

    That takes it 10 us in an event loop, as much as most of the meter.

    Args:
        manager: The one that is about to tell them.
    """
    meters = manager.handlers
    late = manager.handlers = LateHandlers(meters)
    late.meters = meters
    late.facts = (manager.parent_run_id, manager.tags, manager.metadata)
    late.is_begun = late.is_open = False
    _latest.set(ref(late))


# The handlers that were spared last in this context; the run's manager keeps them.
_latest: ContextVar[ref[LateHandlers] | None] = ContextVar(
    "langchain_cerebras_ext_spared", default=None
)


class _Spared(Protocol):
    handlers: LateHandlers


def is_spared(manager: Any) -> TypeGuard[_Spared]:
    """Whether the handlers of a run are those that hear of its beginning late."""
    return manager is not None and type(manager.handlers) is LateHandlers


def spared_manager(frame: FrameType | None, model: object) -> Any:
    """Return the manager of a run of a model that nobody was told of, if there is one.

    Who has replaced a method of the model may not hand it on, or may go on with a copy
    of the model, so LangChain is looked for among the callers. If it called in another
    task or thread, and this context is a copy of its own, what is returned stands for
    the manager: with another id of the run.
    """
    held = _latest.get()
    late = None if held is None else held()
    if late is not None and late.is_open:
        late = None
    while frame is not None:
        if frame.f_globals.get("__name__") == _LANGCHAIN:
            found = frame.f_locals
            is_its = found.get("self") is model
            managers = (found.get("run_manager"), *(found.get("run_managers") or ()))
            for manager in filter(is_spared, managers):
                if is_its or manager.handlers is late:
                    return manager
        frame = frame.f_back
    if late is None:
        return None
    parent_run_id, tags, metadata = late.facts
    return SimpleNamespace(
        handlers=late,
        run_id=uuid4(),
        parent_run_id=parent_run_id,
        tags=tags,
        metadata=metadata,
    )
