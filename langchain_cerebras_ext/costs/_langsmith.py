"""Tells LangSmith what a run has cost, and nobody else.

LangSmith takes costs in a run's `usage_metadata`, as floats, beside the tokens. They
must not stand on messages: LangChain adds up the usage of messages and of chunks as
whole numbers, and raises at a float. So the costs are put where LangChain's tracer
keeps what it is about to post, after it has copied and added up the message's usage.

A handler is told neither who the other handlers are nor in which order they come (a
tracer out of the environment comes after those of a call and before `track_costs`),
and LangChain has no hook for what a tracer posts. So two methods of `LangChainTracer`
are wrapped, once, when a tracker first sees a run. Without a tracer nothing is called.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import OrderedDict
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from langchain_cerebras_ext.costs.pricing import add_usd
from langchain_cerebras_ext.costs.records import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from langchain_core.outputs import LLMResult

    from langchain_cerebras_ext.costs._brief import Brief
    from langchain_cerebras_ext.costs.pricing import Cost
    from langchain_cerebras_ext.costs.records import UsageRecord

__all__ = ["Teller", "hook", "join", "note", "run_costs", "unhook"]

_log = logging.getLogger("langchain_cerebras_ext.costs")

_TRACERS: Final = "langchain_core.tracers.langchain"
_USAGE: Final = "usage_metadata"
_FLAGS: Final = "cost_flags"
_MOST_RUNS: Final = 1024
"""Runs whose costs are kept until their tracer asks; past it the oldest go untold."""


class Teller(Protocol):
    """A tracker, as far as it must be asked before a tracer posts a run."""

    def is_open(self, run_id: UUID) -> bool:
        """Whether a run has begun, and its end has not been told to the tracker."""
        ...

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> Any:
        """Record an answer. Does nothing when it comes again for a run."""

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> Any:
        """Record a failure. Does nothing when it comes again for a run."""


_lock = threading.Lock()
_tellers: WeakSet[Any] = WeakSet()
_noted: OrderedDict[str, list[UsageRecord | Brief]] = OrderedDict()
_hooked: list[Callable[[], None]] = []


def join(teller: Teller) -> None:
    """Let a tracker's runs be told to LangSmith, for as long as the tracker lives."""
    with _lock:
        _tellers.add(teller)


def note(record: UsageRecord | Brief) -> None:
    """Keep what a run cost until its tracer posts it."""
    if not _hooked or record.run_id is None:
        return
    with _lock:
        held = _noted.setdefault(str(record.run_id), [])
        held.append(record)
        if len(_noted) > _MOST_RUNS:
            _noted.popitem(last=False)


def hook() -> None:
    """Listen to LangSmith's tracers, from the first run on.

    Only where LangChain has loaded them, as it does before a first run's handlers
    are called.
    """
    if _hooked or _TRACERS not in sys.modules:
        return
    with _lock:
        if not _hooked:
            _wrap_methods(sys.modules[_TRACERS].LangChainTracer)


def unhook() -> None:
    """Leave the tracers as they were."""
    with _lock:
        while _hooked:
            _hooked.pop()()
        _noted.clear()


def _wrap_methods(tracer: Any) -> None:
    end, error = tracer.on_llm_end, tracer.on_llm_error

    @wraps(end)
    def on_llm_end(self: Any, response: Any, *, run_id: Any, **more: Any) -> Any:
        _before(self, run_id, "on_llm_end", response, more)
        return end(self, response, run_id=run_id, **more)

    @wraps(error)
    def on_llm_error(self: Any, error_: Any, *, run_id: Any, **more: Any) -> Any:
        _before(self, run_id, "on_llm_error", error_, more)
        return error(self, error_, run_id=run_id, **more)

    tracer.on_llm_end, tracer.on_llm_error = on_llm_end, on_llm_error

    def restore() -> None:
        tracer.on_llm_end, tracer.on_llm_error = end, error

    _hooked.append(restore)


def _before(tracer: Any, run_id: UUID, event: str, end: Any, more: Any) -> None:
    """Put a run's costs where its tracer posts them; never raise into the tracer."""
    try:
        _ask(run_id, event, end, more)
        with _lock:
            told = list(_noted.get(str(run_id), ()))
        if told:
            _put(tracer, run_id, [record_of(one) for one in told])
    except Exception:  # noqa: BLE001 - a trace without costs is better than none
        _log.debug("LangSmith could not be told of a run's costs", exc_info=True)


def _ask(run_id: UUID, event: str, end: Any, more: Any) -> None:
    """Have the run recorded now by the trackers that come after the tracer."""
    with _lock:
        tellers = list(_tellers)
    for teller in tellers:
        if teller.is_open(run_id):
            getattr(teller, event)(end, run_id=run_id, **more)


def _put(tracer: Any, run_id: UUID, records: list[UsageRecord]) -> None:
    run = tracer.run_map.get(str(run_id))
    costs = run_costs(records)
    if run is None:
        return
    # The tracer may share its dict with other runs and with the caller.
    metadata = _Metadata(run.extra.get("metadata") or {})
    flags = sorted({flag for record in records for flag in record.flags})
    if flags:
        metadata[_FLAGS] = flags
    metadata.costs = costs
    usage = records[-1].usage
    if usage or costs:
        # Of a message the tracer sets it again; not of a text, nor of a failure.
        metadata[_USAGE] = usage
    run.extra["metadata"] = metadata


class _Metadata(dict[str, Any]):
    """A run's metadata, whose usage gets the costs in the moment in which it is set.

    Before, the tracer adds up tokens as whole numbers; after, it posts.
    """

    costs: Mapping[str, Any] = MappingProxyType({})

    def __setitem__(self, key: str, value: Any) -> None:
        if key == _USAGE:
            value = {**(value or {}), **self.costs}
        super().__setitem__(key, value)


# ------------------------------------------------------------------- records -> costs


def run_costs(records: Iterable[UsageRecord]) -> dict[str, Any]:
    """Return what a run's calls cost, under LangSmith's names.

    Args:
        records: The rows of one run: its call, and the tries that another followed.

    Returns:
        Input, output and total in USD as the nearest floats, each rounded once from
        an exact sum; nothing if no cost is known, for 0 would be a lie.
    """
    costs = [record.cost for record in records if record.cost is not None]
    if not costs:
        return {}
    found: dict[str, Any] = {
        "input_cost": _sum(costs, *_INPUT),
        "output_cost": _sum(costs, "output"),
        "total_cost": _sum(costs, "total"),
    }
    for side, kinds in _DETAILS.items():
        details = {name: _sum(costs, kind) for name, kind in kinds.items()}
        details = {name: usd for name, usd in details.items() if usd}
        if details:
            found[side] = details
    return found


_INPUT: Final = ("input", "cached_input", "cache_write", "image")
_DETAILS: Final = {
    "input_cost_details": {
        "cache_read": "cached_input",
        "cache_creation": "cache_write",
        "image": "image",
    },
    "output_cost_details": {"reasoning": "reasoning"},
}


def _sum(costs: Iterable[Cost], *kinds: str) -> float:
    return float(add_usd(*(getattr(cost, kind) for cost in costs for kind in kinds)))
