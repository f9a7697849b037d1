"""What the parts of the router say to each other: legs, needs, tries, decisions."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_cerebras_ext.routing._target import Target

__all__ = [
    "Asked",
    "Attempt",
    "Breaker",
    "Leg",
    "Need",
    "Order",
    "Outcome",
    "Refusal",
    "Seen",
    "Strategy",
    "Ticket",
]

Outcome: TypeAlias = Literal["ok", "failed", "skipped", "hedged", "cancelled"]
"""`ok` answered; `failed` raised; `skipped` was not asked; `hedged` was slower than
another leg that was asked later or before; `cancelled`: the caller left, or the
router's time was over."""


class Leg:
    """One of the models that a router routes between.

    Attributes:
        name: Unique in its router: a label, or `provider::model`.
        target: What its name means; `None` where a model was handed over.
    """

    __slots__ = ("_lock", "_make", "_model", "_provider", "name", "target")

    def __init__(
        self,
        name: str,
        model: BaseChatModel | None = None,
        target: Target | None = None,
        *,
        make: Callable[[], BaseChatModel] | None = None,
    ) -> None:
        if (model is None) is (make is None):
            msg = "A leg has a model, or something that makes it."
            raise TypeError(msg)
        self.name = name
        self.target = target
        self._model = model
        self._make = make
        self._provider: str | None = target.provider if target else None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Leg({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy without the lock; what was made by name is made again."""
        model = None if self._make is not None else self._model
        return _leg, (self.name, model, self.target, self._make)

    @property
    def is_made(self) -> bool:
        """Whether the model is there; if not, `model` makes it."""
        return self._model is not None

    @property
    def model(self) -> BaseChatModel:
        """The model; made when it is first asked for, which may raise."""
        if self._model is None:
            with self._lock:
                if self._model is None and self._make is not None:
                    self._model = self._make()
        assert self._model is not None  # noqa: S101 - one of the two is there
        return self._model

    @property
    def provider(self) -> str | None:
        """The provider's name, as `list_providers` or LangChain have it."""
        if self._provider is None:
            params = self.model._get_ls_params()  # noqa: SLF001 - the only place
            self._provider = params.get("ls_provider") or ""
        return self._provider or None


def _leg(
    name: str,
    model: BaseChatModel | None,
    target: Target | None,
    make: Callable[[], BaseChatModel] | None,
) -> Leg:
    return Leg(name, model, target, make=make)


class Need(msgspec.Struct, frozen=True, cache_hash=True):
    """What a request asks of a leg.

    Attributes:
        tools: Tools are bound.
        images: A message has an image.
        structured: The answer has to follow a schema.
        input_tokens: About how many tokens go in; `None` where nobody has counted.
        max_output_tokens: How many may come out, if the request says so.
        stream: The answer is asked for as a stream.
        response_format: The type of a `response_format` in the call's arguments, such
            as `json_schema`.
    """

    tools: bool = False
    images: bool = False
    structured: bool = False
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    stream: bool = False
    response_format: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One leg's part in a call.

    Attributes:
        leg: Its name.
        outcome: How it ended.
        reason: Why, in a few words.
        error_type: The class of the error, if there was one.
        status_code: The HTTP status of the error, if there was one.
        elapsed_s: Seconds that the try took; 0 where nothing was asked.
    """

    leg: str
    outcome: Outcome
    reason: str | None = None
    error_type: str | None = None
    status_code: int | None = None
    elapsed_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, without what is not known."""
        found: dict[str, Any] = {"leg": self.leg, "outcome": self.outcome}
        if self.reason is not None:
            found["reason"] = self.reason
        if self.error_type is not None:
            found["error_type"] = self.error_type
        if self.status_code is not None:
            found["status_code"] = self.status_code
        found["elapsed_s"] = round(self.elapsed_s, 6)
        return found


class Asked(msgspec.Struct, frozen=True):
    """A request, as strategies see it.

    Attributes:
        need: What it asks of a leg.
        metadata: Of the run, those of `configurable` among them: `user_id`,
            `session_id`, `thread_id`, and whatever else a key is made of.
        tags: Of the run.
        run_id: The run's id, if the caller gave one.
    """

    need: Need
    metadata: Mapping[str, Any] = MappingProxyType({})
    tags: Sequence[str] = ()
    run_id: str | None = None


class Order(NamedTuple):
    """Which legs to ask, the first one first.

    Attributes:
        legs: A part of those that were handed over, in any order.
        arm: The arm of an experiment that the request belongs to, for its records.
        experiment: The experiment's name.
    """

    legs: Sequence[Leg]
    arm: str | None = None
    experiment: str | None = None


class Seen(NamedTuple):
    """What a router has seen of one leg's answer, for strategies that measure.

    Attributes:
        leg: The leg's name.
        ttft_s: Seconds to the first token; `None` where the answer came in one piece.
        elapsed_s: Seconds to the end.
        output_tokens: As the service counted them, if it did.
        is_ok: Whether it was an answer. Failures of the leg itself are told as well;
            the caller's mistakes and cancelled tries are not.
    """

    leg: str
    ttft_s: float | None
    elapsed_s: float
    output_tokens: int | None
    is_ok: bool


class Strategy(Protocol):
    """In which order legs are asked. Safe for threads; nothing here may block."""

    @property
    def name(self) -> str:
        """As `response_metadata["router"]["strategy"]` says it."""
        ...

    def order(self, legs: Sequence[Leg], asked: Asked) -> Order:
        """Return the legs to ask; those that cannot serve the request are not given."""
        ...

    def observe(self, seen: Seen) -> None:
        """Take note of an answer. Must be quick and not raise."""
        ...


class Refusal(NamedTuple):
    """Why a breaker lets nothing pass to a leg.

    Attributes:
        reason: In a few words: `circuit open`.
        retry_after_s: When it will let a probe pass, as far as it knows.
    """

    reason: str
    retry_after_s: float | None = None


class Ticket(Protocol):
    """One try that a breaker has let pass.

    `spoke` is called at most once, and then exactly one of the others, once. They are
    quick, and never raise.
    """

    def spoke(self) -> None:
        """The first token of a stream has come; it may go on for long."""
        ...

    def succeed(self) -> None:
        """The answer is whole, or the caller left after its first token."""
        ...

    def fail(self, error: BaseException) -> None:
        """The leg has failed, by a fault of its own."""
        ...

    def release(self) -> None:
        """Nothing is known of the leg: the caller left, or has made a mistake."""
        ...


class Breaker(Protocol):
    """Keeps calls away from legs that fail; one object for all legs of a router."""

    def admit(self, leg: str) -> Ticket | Refusal:
        """Let a try of this leg pass, or say why not."""
        ...

    async def aadmit(self, leg: str) -> Ticket | Refusal:
        """As `admit`, without blocking the event loop."""
        ...

    def health(self, legs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the state of each leg: `state`, `failure_rate`, `calls`, ...."""
        ...
