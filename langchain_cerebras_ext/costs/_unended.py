"""Runs of models of whose end LangChain tells nobody.

Its handlers hear of a run's beginning alone where an `ainvoke` is cancelled, where
another handler refuses the call, and where another prompt of the same `generate` has
failed. But a run has a manager that nobody keeps when it is over, and that shows.
"""

from __future__ import annotations

import atexit
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from uuid import UUID

    from langchain_core.outputs import ChatResult

__all__ = ["Unended", "begun_beside", "expect_end", "prompts_beside", "settle_left"]

_MANAGERS: Final = "langchain_core.callbacks.manager"
_MODELS: Final = "langchain_core.language_models.chat_models"
_COMPLETIONS: Final = "langchain_core.language_models.llms"
_STARTS: Final = {"on_chat_model_start", "on_llm_start"}
_NEAR: Final = 8
"""Calls between LangChain's manager, or its model, and a handler that it tells."""


class Unended(Protocol):
    """A run that has begun."""

    @property
    def is_over(self) -> bool:
        """Whether its end was told."""
        ...

    def leave(self, *, may_be_sent: bool) -> None:
        """Record it: there is nobody any more who could tell of its end.

        Args:
            may_be_sent: Whether LangChain may have called the model.
        """


class _Handlers(list[Any]):
    """Handlers of a run, which are seen to be gone: a plain list cannot be."""

    __slots__ = ("__weakref__",)


_left: deque[tuple[Unended, bool]] = deque()


def settle_left() -> None:
    """Record the runs that were left; for where no lock is held.

    They are found when Python frees memory, which may be anywhere.
    """
    while _left:
        try:
            run, may_be_sent = _left.popleft()
        except IndexError:  # another thread has taken it
            return
        run.leave(may_be_sent=may_be_sent)


atexit.register(settle_left)


def expect_end(run: Unended, frame: FrameType) -> ref[Any] | None:
    """Note that a run begins, whose manager may be gone before its end is told.

    Args:
        run: The run.
        frame: That of the handler that is told.

    Returns:
        What the run must keep; `None` where the caller is another one, or of another
        version, or told the handler in a thread.
    """
    found = _near(frame, _MANAGERS, _STARTS)
    if found is None:
        return None
    known = found.f_locals
    manager = known["self"]
    if manager.is_async:  # the run's own is made already
        if not known.get("managers"):
            return None
        kept: Any = known["managers"][0]
    elif type(manager.handlers) is _Handlers:  # of a prompt before this one
        kept = manager.handlers
    else:  # the run's own will have this list
        kept = manager.handlers = _Handlers(manager.handlers)
    may_be_sent = manager.is_async or not _tells_ends(found.f_back)

    def gone(_: object) -> None:
        if not run.is_over:
            _left.append((run, may_be_sent))

    return ref(kept, gone)


def _tells_ends(frame: FrameType | None) -> bool:
    """Whether this is code that tells of the end of whatever it has sent."""
    return (
        frame is not None
        and frame.f_globals.get("__name__") in {_MODELS, _COMPLETIONS}
        and frame.f_code.co_name != "ensure_started"  # what reads its stream may stop
    )


def begun_beside(frame: FrameType) -> list[UUID]:
    """Return the runs of several prompts, as far as LangChain has begun them.

    Args:
        frame: That of the handler that is told of the beginning of one.
    """
    found = _near(frame, _MANAGERS, _STARTS)
    managers = () if found is None else found.f_locals.get("managers") or ()
    return [manager.run_id for manager in managers]


class Prompts(NamedTuple):
    """What LangChain does not tell of the other prompts when one has failed."""

    answered: list[tuple[UUID, ChatResult]]
    unsent: list[UUID]


def prompts_beside(run_id: UUID, frame: FrameType) -> Prompts:
    """Return what has become of other prompts of a `generate` that has failed.

    An `agenerate` tells it.

    Args:
        run_id: Of the prompt that has failed.
        frame: That of the handler that is told of it.
    """
    found = _near(frame, _MODELS, {"generate"})
    known = {} if found is None else found.f_locals
    runs = [manager.run_id for manager in known.get("run_managers") or ()]
    results = known.get("results") or ()
    place = len(results)
    if runs == [run_id] or runs[place : place + 1] != [run_id]:
        return _NONE
    return Prompts(list(zip(runs, results, strict=False)), runs[place + 1 :])


_NONE: Final = Prompts([], [])


def _near(frame: FrameType, module: str, names: set[str]) -> FrameType | None:
    """Return the nearest caller of one of these names in a module."""
    for one in islice(_callers(frame), _NEAR):
        if one.f_code.co_name in names and one.f_globals.get("__name__") == module:
            return one
    return None


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
