"""Where a call meets those who meter it: cost trackers and their budgets.

The client knows no prices. A `Meter` is an observer of one call that is also asked
before each request leaves, and may refuse it. LangChain tells a model's run to the
handlers, but not to all of the model's methods: `stream` hands over no run manager. So
a handler that meters announces each run here as it starts, in the same context, and
the model takes the announcement when it sends the run's request.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from langchain_cerebras_ext._observe import Observer

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_cerebras_ext._client import Call

__all__ = ["Announcement", "Meter", "RunMeter", "announce", "open_meter"]


class Meter(Observer, Protocol):
    """Watches one call, and lets its requests pass.

    `started`, `retried` and `ended` come as for every observer.
    """

    @property
    def cost_usd(self) -> str | None:
        """What the call has cost, as a decimal, once it has ended; else `None`."""

    def admit(self, call: Call) -> None:
        """Let a request leave, the first one or a repeated one.

        Raises:
            BudgetExceeded: It must not.
        """

    async def aadmit(self, call: Call) -> None:
        """As `admit`, without blocking the event loop."""


class RunMeter(Protocol):
    """A handler's interest in one run."""

    def open(self, run: Announcement) -> Meter:
        """Return what meters a call of the run, for all its handlers."""
        ...


class Announcement:
    """One run, for all handlers that meter it.

    Attributes:
        run_id: LangChain's id.
        prompt: Of a text completion.
        meters: Who wants to know, in the order of the handlers.
        taken: Whether the model has opened a meter.
        state: What the handlers share about the run; theirs to use.
    """

    __slots__ = ("meters", "prompt", "run_id", "state", "taken")

    def __init__(self, run_id: UUID, prompt: str | None) -> None:
        self.run_id = run_id
        self.prompt = prompt
        self.meters: list[RunMeter] = []
        self.taken = False
        self.state: Any = None


class _Announced:
    """The runs of one call of LangChain's `generate`, in their order."""

    __slots__ = ("runs", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.runs: list[Announcement] = []

    def find(self, run_id: UUID) -> Announcement | None:
        return next((run for run in self.runs if run.run_id == run_id), None)


_announced: ContextVar[_Announced | None] = ContextVar(
    "langchain_cerebras_ext_announced", default=None
)


def announce(
    run_id: UUID, meter: RunMeter, *, prompt: str | None = None, size: int = 1
) -> Announcement:
    """Tell the model, which is about to be called in this context, who meters it.

    Args:
        run_id: LangChain's id of the run.
        meter: Is asked when the request is sent.
        prompt: The prompt of a text completion, which tells several of them apart.
        size: How many runs start together.

    Returns:
        What all handlers of the run share.
    """
    held = _announced.get()
    run = held.find(run_id) if held else None
    if run is None:
        if held is None or held.size != size or len(held.runs) >= size:
            held = _Announced(size)
            _announced.set(held)
        run = Announcement(run_id, prompt)
        held.runs.append(run)
    run.meters.append(meter)
    return run


def open_meter(run_id: UUID | None, prompt: str | None = None) -> Meter | None:
    """Return what meters the call that is about to be sent, if anybody does.

    Args:
        run_id: LangChain's id of the run, where it is known; otherwise the first run
            is taken that was announced in this context and not taken yet.
        prompt: The prompt of a text completion: several of them come with the id of
            the first.
    """
    held = _announced.get()
    if held is None:
        return None
    for run in held.runs:
        if run.taken:
            continue
        if prompt is not None:
            if run.prompt != prompt:
                continue
        elif run_id is not None and run.run_id != run_id:
            continue
        run.taken = True
        return run.meters[0].open(run)
    return None
