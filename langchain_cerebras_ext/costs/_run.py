"""One run of a model, as LangChain tells it, for all trackers that hear of it.

It is made anew for each call, so it keeps what it is told as it is: whatever takes time
is worked out when a record is made.
"""

from __future__ import annotations

import logging
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.costs._callback_call import CallbackCall
from langchain_cerebras_ext.costs._meter import CallMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from weakref import ref

    from langchain_cerebras_ext.costs.tracker import CostTracker

__all__ = ["Run", "lineages"]

_log = logging.getLogger("langchain_cerebras_ext.costs")


class Run(CallMeter):
    """One run of a model, from its start to its end.

    It meters the call of a model of ours, and reads the callbacks of another one's:
    one object, for it is made for each call.
    """

    _call: CallbackCall | None = None
    _is_taken = False
    manager: ref[Any] | None = None
    """Kept so that it tells when LangChain's manager of the run is gone."""

    def open(self, *, is_alone: bool, is_told: bool) -> CallMeter | None:
        """Return what meters the run's call, or one more of its calls.

        Args:
            is_alone: Whether the run has no other handlers.
            is_told: Whether it is known that the call is this run's.
        """
        if self._is_taken or self.is_metered:
            return self._again(is_alone=is_alone) if is_told else None
        self.is_alone = is_alone
        return self.open_first()

    def open_first(self) -> Run:
        """Return what meters the first call: the run itself."""
        self._is_taken = True
        told = self.trackers
        self._trackers = told[0].lineage if len(told) == 1 else lineages(told)
        self._began_s = time.time()
        return self

    def _again(self, *, is_alone: bool) -> CallMeter | None:
        """Return what meters one more call; callbacks tell of the first alone."""
        if not self._is_taken:
            return None
        more = Run(
            self.run_id,
            self.parent_run_id,
            self.root_id,
            self.tags,
            self.metadata,
            self.trackers,
            is_alone,
        )
        return more.open_first()

    @property
    def call(self) -> CallbackCall:
        """What reads the run's callbacks, for all its trackers."""
        if self._call is None:
            self._call = CallbackCall(self)
        return self._call

    @property
    def trace(self) -> str:
        """The id of the outermost run."""
        return str(self.root_id)

    def finish(
        self, end: Callable[[CallbackCall, Sequence[CostTracker]], None]
    ) -> None:
        """Let the run be recorded, by the first who is told of its end."""
        self.close()
        if self.is_metered:
            return
        self.is_metered = True
        call, trackers = self.call, lineages(self.trackers)
        try:
            end(call, trackers)
        except Exception as error:  # noqa: BLE001 - odd answers are recorded as well
            _log.exception("a run cannot be recorded as it was told")
            call.unread(trackers, error)

    def leave(self, *, may_be_sent: bool) -> None:
        """Record the run, of whose end nobody tells; nothing if that was done."""
        if may_be_sent:
            self.finish(lambda call, trackers: call.abandoned(trackers))
        else:
            self.finish(lambda call, trackers: call.unsent(trackers))

    def ids(self) -> tuple[str, str | None, str]:
        """Return the ids as a record has them: the run's, its parent's, its trace's."""
        run, parent, root = self.run_id, self.parent_run_id, self.root_id
        run_id = str(run)
        return (
            run_id,
            None if parent is None else str(parent),
            run_id if root is run else str(root),
        )


def lineages(trackers: Sequence[CostTracker]) -> tuple[CostTracker, ...]:
    """Return the trackers of a run and their parents, once each."""
    if len(trackers) == 1:
        return trackers[0].lineage
    return tuple(dict.fromkeys(chain(*(tracker.lineage for tracker in trackers))))
