"""One run of a model, as LangChain tells it, for all trackers that hear of it.

It is made anew for each call, so it keeps what it is told as it is: whatever takes time
is worked out when a record is made.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._metadata import PROVIDER
from langchain_cerebras_ext._metering import router_call
from langchain_cerebras_ext.costs._callback_call import CallbackCall
from langchain_cerebras_ext.costs._context import merge_context
from langchain_cerebras_ext.costs._meter import CallMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from langchain_cerebras_ext._metering import RouterCall
    from langchain_cerebras_ext.costs._context import Context, Scope
    from langchain_cerebras_ext.costs.tracker import CostTracker

__all__ = ["Run", "lineages"]

_PACKAGE = "langchain-cerebras-ext"
_SCOPE: Callable[[CostTracker], Scope] = attrgetter("scope")


class Run:
    """One run of a model, from its start to its end.

    Attributes:
        run_id: LangChain's id.
        parent_run_id: Of the run that made it.
        root_id: Of the outermost run, as far as it was told.
        tags: As LangChain has them.
        metadata: As LangChain has them.
        is_ours: Whether its model is one of this package, which meters itself.
        is_metered: Whether somebody records the run: a meter that has begun (its model
            may have found an error before), or who was told of the run's end.
        is_over: Whether its trackers have forgotten it.
        trackers: Who were told of it, in the order of the handlers.
    """

    # Made for each call: only what is not as here is set.
    is_metered = False
    is_over = False
    _call: CallbackCall | None = None
    _is_taken = False

    def __init__(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        root_id: UUID,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self.run_id = run_id
        self.parent_run_id = parent_run_id
        self.root_id = root_id
        self.tags = tags
        self.metadata: Mapping[str, Any] = metadata or {}
        self.is_ours = _is_ours(self.metadata)
        self.trackers: list[CostTracker] = []

    def open(self, *, is_alone: bool) -> CallMeter | None:
        """Return what meters the run's call, once."""
        if self._is_taken or self.is_metered:
            return None
        self._is_taken = True
        return CallMeter(self, lineages(self.trackers), is_alone=is_alone)

    @property
    def call(self) -> CallbackCall:
        """What reads the run's callbacks, for all its trackers."""
        if self._call is None:
            self._call = CallbackCall(self)
        return self._call

    def close(self) -> None:
        """Let the trackers forget the run: it is recorded."""
        self.is_over = True
        for tracker in self.trackers:
            tracker.forget(self)

    @property
    def trace(self) -> str:
        """The id of the outermost run."""
        return str(self.root_id)

    @property
    def router_call(self) -> RouterCall | None:
        """The router's call that the run is a try of, where the router is at hand."""
        return router_call(self.metadata)

    def ids(self) -> tuple[str, str | None, str]:
        """Return the ids as a record has them: the run's, its parent's, its trace's."""
        run, parent, root = self.run_id, self.parent_run_id, self.root_id
        run_id = str(run)
        return (
            run_id,
            None if parent is None else str(parent),
            run_id if root is run else str(root),
        )

    def context(
        self, trackers: Sequence[CostTracker], *, is_silent: bool = False
    ) -> Context:
        """Return whose the run is, by its own words and those of trackers.

        Args:
            trackers: All of the run.
            is_silent: Leave its own words out: as of all runs that have none.
        """
        scopes = map(_SCOPE, trackers)
        if is_silent:
            return merge_context(None, None, scopes)
        return merge_context(self.tags, self.metadata, scopes)


def lineages(trackers: Sequence[CostTracker]) -> tuple[CostTracker, ...]:
    """Return the trackers of a run and their parents, once each."""
    if len(trackers) == 1:
        return trackers[0].lineage
    return tuple(dict.fromkeys(chain(*(tracker.lineage for tracker in trackers))))


def _is_ours(metadata: Mapping[str, Any]) -> bool:
    """Whether a run's model is one of this package.

    A text completion's `generate` does not name its provider.
    """
    if _PACKAGE not in (metadata.get("lc_versions") or ()):
        return False
    return metadata.get("ls_provider") in {PROVIDER, None}
