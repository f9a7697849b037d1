"""What the service counts: the tokens of each request, whatever became of it."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from langchain_cerebras_ext.simulator.encode import interleave

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_cerebras_ext.simulator.generation import Completion, Usage

CLIENT_GONE = "client_gone"
"""What `BilledCall.fault` says where the client went away before the end."""


@dataclass(frozen=True, slots=True)
class BilledCall:
    """The tokens that the service counted for one request.

    Attributes:
        number: Which request it was; see `RecordedRequest.number`. None is a line of
            a batch.
        id: The answer's id, which is in its body and its header `inference-id`.
        model: The model that answered.
        prompt_tokens: The prompt's, the cached ones included.
        cached_tokens: Those of them that were cached.
        completion_tokens: What had been generated, the reasoning included.
        reasoning_tokens: The reasoning's.
        streamed: Whether it was a stream.
        delivered: Whether the whole answer was sent.
        fault: What was scripted to go wrong, `client_gone` if the client left before
            the end, or None.
    """

    number: int | None
    id: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    streamed: bool
    delivered: bool
    fault: str | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class TokenTotal:
    """Tokens of several calls; cached and reasoning ones are parts of the others."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: TokenTotal | BilledCall) -> TokenTotal:
        """Return the sum with another total, or with one more call."""
        return TokenTotal(
            self.calls + (1 if isinstance(other, BilledCall) else other.calls),
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


class Bill(tuple[BilledCall, ...]):  # noqa: SLOT001 - a tuple that has one attribute
    """The billed calls, in the order of their requests; a snapshot that stays as it is.

    Attributes:
        by_model: The sums of each model.

    Example:
        >>> from langchain_cerebras_ext.simulator import Simulator
        >>> Simulator().billed.total.total_tokens
        0
    """

    by_model: Mapping[str, TokenTotal]

    def __new__(
        cls,
        calls: Iterable[BilledCall] = (),
        earlier: Mapping[str, TokenTotal] | None = None,
    ) -> Self:
        """Make the bill.

        Args:
            calls: The calls that are listed.
            earlier: The sums of those that are not listed any more.
        """
        made = super().__new__(cls, calls)
        sums = dict(earlier or {})
        for call in made:
            sums[call.model] = sums.get(call.model, TokenTotal()).plus(call)
        made.by_model = sums
        return made

    @property
    def total(self) -> TokenTotal:
        """The sum of all calls; calls that `keep_requests` let go are part of it."""
        whole = TokenTotal()
        for one in self.by_model.values():
            whole = whole.plus(one)
        return whole

    def call(self, number: int) -> BilledCall | None:
        """Return what was billed for a request; None if nothing was.

        Args:
            number: `RecordedRequest.number`.
        """
        return next((one for one in self if one.number == number), None)


class Meter:
    """Counts what is generated for one request, while its answer is sent.

    A plain answer is generated before it is sent, so all of it counts from the
    beginning. Of a stream that ends early counts what had been sent.

    Args:
        completion: The whole answer.
        streamed: Whether it is a stream.
        lead: How many events of a stream come before the first generated one.

    Attributes:
        sent: Events of the answer that were handed to the connection.
        limit: So many events are the answer's own; None is all of them.
        delivered: Whether the whole answer was sent.
        fault: What went wrong.
    """

    def __init__(self, completion: Completion, *, streamed: bool, lead: int) -> None:
        self.completion = completion
        self.streamed = streamed
        self.sent = 0
        self.limit: int | None = None
        self.delivered = False
        self.fault: str | None = None
        self._lead = lead

    def usage(self) -> Usage:
        """Return what has been generated by now."""
        whole = self.completion.usage
        if not self.streamed:
            return whole
        sent = self.sent if self.limit is None else min(self.sent, self.limit)
        return generated(self.completion, max(0, sent - self._lead))

    def billed(self, number: int | None) -> BilledCall:
        """Return what is billed for it by now."""
        usage = self.usage()
        return BilledCall(
            number=number,
            id=self.completion.id,
            model=self.completion.model,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            streamed=self.streamed,
            delivered=self.delivered,
            fault=self.fault,
        )


def generated(completion: Completion, pieces_sent: int) -> Usage:
    """Return what was generated for the first events of a stream.

    Reasoning that is not shown was generated before the first event that is.

    Args:
        completion: The whole answer.
        pieces_sent: How many of its pieces were sent.
    """
    whole = completion.usage
    pieces = [piece for _, piece in interleave(completion.choices)]
    if pieces_sent >= len(pieces):
        return whole
    sent = pieces[:pieces_sent]
    shown = sum(piece.tokens for piece in pieces)
    hidden = max(0, whole.completion_tokens - whole.rejected_tokens - shown)
    tokens = sum(piece.tokens for piece in sent) + (hidden if sent else 0)
    completed = min(tokens, whole.completion_tokens)
    if any(piece.kind == "reasoning" for piece in pieces):
        thought = sum(piece.tokens for piece in sent if piece.kind == "reasoning")
    else:
        thought = completed  # Hidden, or in the text: thoughts come first.
    return dataclasses.replace(
        whole,
        completion_tokens=completed,
        reasoning_tokens=min(thought, whole.reasoning_tokens),
        accepted_tokens=0,
        rejected_tokens=0,
    )


class BillBook:
    """Keeps what is billed; may be read from any thread.

    Args:
        keep: How many calls are listed at most; None is all. Sums hold all of them.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._open: dict[Meter, int | None] = {}
        self._closed: list[BilledCall] = []
        self._earlier: dict[str, TokenTotal] = {}

    def open(self, meter: Meter, number: int | None) -> None:
        """Bill a request from now on."""
        with self._lock:
            self._open[meter] = number

    def close(self, meter: Meter) -> None:
        """Note that nothing will change any more for a request."""
        with self._lock:
            if meter in self._open:  # Otherwise the book was cleared meanwhile.
                self._closed.append(meter.billed(self._open.pop(meter)))
                self._forget()

    def _forget(self) -> None:
        keep = self._keep
        # Not one by one: taking the first of a list moves all the others.
        if keep is None or len(self._closed) < 2 * keep + 100:
            return
        gone = self._closed[: len(self._closed) - keep]
        del self._closed[: len(gone)]
        self._earlier = dict(Bill(gone, self._earlier).by_model)

    def bill(self) -> Bill:
        """Return what is billed by now, requests under way included."""
        with self._lock:
            running = [meter.billed(number) for meter, number in self._open.items()]
            calls = [*self._closed, *running]
            earlier = self._earlier
        calls.sort(key=lambda call: call.number or 0)
        if self._keep is None or len(calls) <= self._keep:
            return Bill(calls, earlier)
        cut = len(calls) - self._keep
        return Bill(calls[cut:], Bill(calls[:cut], earlier).by_model)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._open.clear()
            self._closed.clear()
            self._earlier = {}
