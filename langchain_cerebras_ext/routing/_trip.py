"""One call on its way over the legs: what sync and async, plain and raced, share.

What a leg runs is a runnable: its model, the model with tools bound, or a chain that
ends in structure. A `Route` says between whom and how is routed, a `Recipe` makes of
a leg what a call needs, and a `Trip` is one call.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from os import urandom
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
from langchain_core.runnables.config import ensure_config

from langchain_cerebras_ext._late import only_meter
from langchain_cerebras_ext._metering import ROUTER_CALL, RouterCall, router_call
from langchain_cerebras_ext.errors import CerebrasError, StreamInterruptedError
from langchain_cerebras_ext.retry import Patience
from langchain_cerebras_ext.routing._chunks import (
    add_metadata,
    can_restart,
    is_last,
    join_chunks,
    last_chunk,
    restart_chunk,
    says_something,
    to_message,
)
from langchain_cerebras_ext.routing._leg import Asked, Refusal, Seen
from langchain_cerebras_ext.routing._plan import Fail, Plan
from langchain_cerebras_ext.routing._recipe import Recipes
from langchain_cerebras_ext.routing.capabilities import (
    Size,
    need_of,
)
from langchain_cerebras_ext.routing.policy import kind_of
from langchain_cerebras_ext.routing.strategies import Ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk, BaseMessage
    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_cerebras_ext.routing._leg import Breaker, Leg, Need, Strategy, Ticket
    from langchain_cerebras_ext.routing._plan import Ask, Step
    from langchain_cerebras_ext.routing._recipe import Recipe
    from langchain_cerebras_ext.routing.capabilities import Capabilities
    from langchain_cerebras_ext.routing.policy import FallbackPolicy

    Prompt: TypeAlias = Sequence[BaseMessage] | str
    Portable: TypeAlias = Callable[
        [Sequence[BaseMessage], str | None], Sequence[BaseMessage]
    ]

__all__ = ["RESTARTED", "ROUTER", "Route", "Trip"]

ROUTER = "router"
"""What a router names as its provider."""

RESTARTED = "router_restart"
"""The name of the custom event that tells of a stream which begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """Between whom calls are routed, and how; one for each router.

    Attributes:
        owner: The router: its callbacks, tags and metadata are those of all tries.
        legs: In their order.
        policy: What follows from an error.
        strategy: Which leg goes first.
        capabilities: Which legs can take a request.
        portable: Makes of a history what a provider takes.
        breaker: Keeps calls away from legs that fail.
        total_timeout: Seconds for a call with all its tries.
        hedge_after_s: Seconds without a first token until a second leg is asked.
        haste: How long a leg may wait for retries of its own while others are left.
        of_every_call: Arguments that each call has, unless it says otherwise.
        recipes: What each leg runs.
        clock: Monotonic seconds.
        is_ordered: Whether the strategy looks neither at requests nor at answers.
    """

    owner: BaseChatModel
    legs: tuple[Leg, ...]
    policy: FallbackPolicy
    strategy: Strategy
    capabilities: Capabilities
    portable: Portable
    breaker: Breaker | None = None
    total_timeout: float | None = None
    hedge_after_s: float | None = None
    haste: Patience | None = None
    of_every_call: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recipes: Recipes = field(default_factory=Recipes)
    clock: Callable[[], float] = time.monotonic
    is_ordered: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note what a call would have to find out again."""
        object.__setattr__(self, "is_ordered", type(self.strategy) is Ordered)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the router says of all runs."""
        return self.owner.metadata or {}

    @property
    def is_raced(self) -> bool:
        """Whether a call needs a clock beside the leg that it waits for."""
        return self.hedge_after_s is not None or self.total_timeout is not None


class Trip:
    """One call: its plan, its tickets, and what has come so far.

    Args:
        route: What it is routed by.
        recipe: What each leg runs.
        prompt: Messages, or a text alone.
        config: Of the call.
        kwargs: Of the call.
        stream: Whether the answer is read as it comes.
        may_restart: Whether whoever reads can be told to begin anew.
    """

    __slots__ = (
        "_arm",
        "_call",
        "_config",
        "_ended",
        "_experiment",
        "_given",
        "_held",
        "_is_held",
        "_legs",
        "_may_restart",
        "_need",
        "_needs_marker",
        "_prompt",
        "_recipe",
        "_route",
        "_run",
        "_size",
        "_tickets",
        "kwargs",
        "plan",
        "seen",
    )

    def __init__(
        self,
        route: Route,
        recipe: Recipe,
        prompt: Prompt,
        config: RunnableConfig | None,
        kwargs: dict[str, Any],
        *,
        stream: bool,
        may_restart: bool = False,
    ) -> None:
        self.kwargs = kwargs
        # What has been handed on.
        self.seen: list[Any] = []
        self._route, self._recipe, self._prompt = route, recipe, prompt
        # As it was given, and with what the context adds to it.
        self._given = config
        self._config = ensure_config(config)
        self._may_restart = may_restart
        self._is_held = not stream or route.policy.on_midstream == "buffer"
        # What a try has brought that is not handed on yet.
        self._held: dict[int, list[Any]] = {}
        self._tickets: dict[int, Ticket] = {}
        self._run: Any = None
        self._call: RouterCall | None = None
        self._ended: int | None = None
        self._needs_marker: tuple[str, str] | None = None
        now = route.clock()
        needs = {**recipe.needs, **kwargs} if recipe.needs else kwargs
        self._size = Size(prompt, needs.get("tools"))
        self._need = self._read_need(needs, stream=stream)
        able, lacks, _ = route.capabilities.sift(route.legs, self._need, self._size)
        unable = [leg for leg in route.legs if leg.name in lacks] if lacks else []
        self._arm: str | None = None
        self._experiment: str | None = None
        chosen: Sequence[Leg] = able
        if not route.is_ordered:
            chosen, self._arm, self._experiment = route.strategy.order(
                able, self._asked()
            )
        self._legs = [*unable, *chosen]
        size_of = None
        if route.policy.on_context_overflow == "larger":
            size_of = partial(_size_of, route.capabilities, self._legs)
        self.plan = Plan(
            [leg.name for leg in self._legs],
            route.policy,
            now,
            total_timeout=route.total_timeout,
            hedge_after_s=route.hedge_after_s,
            size_of=size_of,
            is_held=self._is_held,
        )
        for place, leg in enumerate(unable):
            self.plan.skip(place, "; ".join(lacks[leg.name]), now)

    def _read_need(self, kwargs: Mapping[str, Any], *, stream: bool) -> Need:
        need = need_of(
            () if isinstance(self._prompt, str) else self._prompt,
            structured=self._recipe.is_structured,
            stream=stream,
            kwargs=kwargs,
        )
        route = self._route
        if not route.is_ordered and getattr(
            route.strategy, "wants_input_tokens", False
        ):
            return msgspec.structs.replace(need, input_tokens=self._size.count())
        return need

    def _asked(self) -> Asked:
        config, route = self._config, self._route
        metadata = {
            **(config.get("configurable") or {}),
            **route.metadata,
            **(config.get("metadata") or {}),
        }
        run_id = config.get("run_id")
        tags = config.get("tags") or ()
        return Asked(
            self._need, metadata, tags, None if run_id is None else str(run_id)
        )

    # ------------------------------------------------------------------------- runs

    def manager(self, kind: type[Any]) -> Any:
        """Return who is to be told of the call; `None` where nobody is.

        Args:
            kind: LangChain's manager of callbacks, sync or async.
        """
        owner, config = self._route.owner, self._config
        manager = kind.configure(
            config.get("callbacks"),
            None,
            owner.verbose,
            config.get("tags"),
            None,
            config.get("metadata"),
        )
        own = owner.callbacks
        if own:
            for handler in own if isinstance(own, list) else own.handlers:
                if handler not in manager.handlers:
                    manager.add_handler(handler, inherit=True)
        if not manager.handlers:
            return None
        if owner.tags:
            manager.add_tags(owner.tags)
        if owner.metadata:
            manager.add_metadata(owner.metadata)
        return manager

    def run_args(
        self, given: Any, run_id: UUID | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the chain run that groups the tries."""
        config = self._config
        name = config.get("run_name") or self._route.owner.get_name()
        return (None, given), {"name": name, "run_id": run_id or config.get("run_id")}

    @property
    def run_id(self) -> UUID | None:
        """What the caller wants to be the run's id."""
        return self._config.get("run_id")

    def begin_run(self, run: Any) -> None:
        """Let the tries be children of a run."""
        self._run = run

    @property
    def run(self) -> Any:
        """The chain run; `None` where nobody wants to know."""
        return self._run

    def output(self) -> Any:
        """Return all that was handed on, as a chain run tells it.

        Adding up chunks takes time, and those who only meter calls do not look at it.
        """
        if self._run is None or only_meter(self._run.handlers):
            return None
        if len(self.seen) == 1:
            return self.seen[0]
        return join_chunks(self.seen) or list(self.seen)

    # ------------------------------------------------------------------------ tries

    def due(self) -> Step:
        """Return what to do now."""
        return self.plan.due(self._route.clock())

    def wait_s(self, until: float | None) -> float | None:
        """Return the seconds until a time."""
        return None if until is None else max(0.0, until - self._route.clock())

    @property
    def is_raced(self) -> bool:
        """Whether the call needs a clock beside the leg that it waits for."""
        return self._route.is_raced

    @property
    def is_hedged(self) -> bool:
        """Whether a second leg may be asked while the first is silent."""
        return self._route.hedge_after_s is not None

    @property
    def breaker(self) -> Breaker | None:
        """Who is asked before each try, if anybody is."""
        return self._route.breaker

    def patience(self) -> Patience | None:
        """Return how long the leg that is asked may wait for retries of its own.

        `None` where nothing is said of that: it is the last one, and there is time.
        """
        route, deadline = self._route, self.plan.deadline
        haste = route.haste if self.plan.has_more else None
        if deadline is None:
            return haste
        longest_s = None if haste is None else haste.longest_s
        left_s = deadline - route.clock()
        return Patience(longest_s, time.monotonic() + left_s)

    def leg(self, ask: Ask) -> Leg:
        """Return the leg of a try."""
        return self._legs[ask.leg]

    def make_leg(self, ask: Ask) -> Step | None:
        """Make a try's model, if it is not there; return what to do if it cannot."""
        leg = self._legs[ask.leg]
        if leg.is_made:
            return None
        try:
            _ = leg.model
            lacks = self._route.capabilities.lacks(leg, self._need, self._size)
        except Exception as error:  # noqa: BLE001 - the policy judges it
            return self.failed(ask.no, error)
        if not lacks:
            return None
        return self.plan.refused(ask.no, "; ".join(lacks), self._route.clock())

    def admitted(self, ask: Ask, answer: Ticket | Refusal) -> Step | None:
        """Take a breaker's answer; return what to do if it is no."""
        if isinstance(answer, Refusal):
            return self.plan.refused(
                ask.no, answer.reason, self._route.clock(), answer.retry_after_s
            )
        self._tickets[ask.no] = answer
        return None

    def prepare(
        self, ask: Ask
    ) -> tuple[Runnable[Any, Any], Any, RunnableConfig, dict[str, Any]]:
        """Return what a try runs: on which prompt, how configured, with what else."""
        leg = self._legs[ask.leg]
        runnable, bound = self._recipe.call_of(leg)
        # A router that is a leg sees to its own legs.
        provider = None if leg.provider == ROUTER else leg.provider
        prompt = self._prompt
        if not isinstance(prompt, str):
            prompt = self._route.portable(prompt, provider)
        kwargs = {**bound, **self.kwargs} if bound else self.kwargs
        return runnable, prompt, self._config_of(leg), kwargs

    def whole(self, ask: Ask) -> Any:
        """Return what a try runs, with what is bound to it still in it."""
        return self._recipe.of(self._legs[ask.leg])

    def _config_of(self, leg: Leg) -> RunnableConfig:
        route, run, held = self._route, self._run, self._config
        # What the context adds, the leg finds there itself.
        config: RunnableConfig = {**self._given} if self._given else {}
        config.pop("run_id", None)
        config.pop("run_name", None)
        given, given_tags = held.get("metadata") or {}, held.get("tags") or ()
        metadata = {
            **route.metadata,
            **given,
            "router_leg": leg.name,
            ROUTER_CALL: self._call or self._begin_call(given),
        }
        tags = [*given_tags]
        if self._arm is not None:
            metadata["experiment_arm"] = self._arm
            tags.append(f"experiment_arm:{self._arm}")
        if self._experiment is not None:
            metadata["experiment"] = self._experiment
        config["metadata"] = metadata
        tags += route.owner.tags or ()
        if tags:
            config["tags"] = tags
        if run is not None:
            config["callbacks"] = run.get_child()
        return config

    def _begin_call(self, metadata: Mapping[str, Any]) -> RouterCall:
        """Return the id that the records of all tries have."""
        outer = router_call(metadata)
        if outer is not None and self._arm is None:
            # A leg of another router; but what an arm's call is, its own router says.
            self._call = outer
        else:
            run = self._run
            self._call = RouterCall(urandom(16).hex() if run is None else run.run_id)
        return self._call

    def failed(self, no: int, error: BaseException) -> Step:
        """Take note of a try's failure."""
        plan = self.plan
        leg = plan.leg_of(no)
        was_over = plan.is_over(no) and plan.given != no
        now = self._route.clock()
        restarts = plan.restarts
        may = self._may_restart and plan.given == no and can_restart(self.seen)
        step = plan.failed(no, error, now, can_restart=may)
        self._held.pop(no, None)
        if was_over:
            return step
        if plan.restarts > restarts:
            self._needs_marker = (leg, kind_of(error))
        self._settle(no, error)
        if isinstance(step, Fail) and step.midstream and step.error is error:
            return Fail(self._with_what_came(error), midstream=True)
        return step

    def _settle(self, no: int, error: BaseException) -> None:
        """Tell breaker and strategy of a failure."""
        ticket = self._tickets.pop(no, None)
        is_fault = self._route.policy.judge(error).is_leg_fault
        if ticket is not None:
            if is_fault:
                ticket.fail(error)
            else:
                ticket.release()
        if is_fault:
            first, elapsed = self.plan.times_of(no)
            leg = self.plan.leg_of(no)
            self._route.strategy.observe(Seen(leg, first, elapsed, None, is_ok=False))

    def _with_what_came(self, error: BaseException) -> BaseException:
        """Return a leg's error after its first token, with the part that came."""
        if isinstance(error, CerebrasError):
            if error.partial_message is None:
                error.partial_message = to_message(self.seen)
            return error
        if kind_of(error) == "unknown":
            return error
        made = StreamInterruptedError(
            f"The stream broke off after its first token: {type(error).__name__}: "
            f"{error} What had arrived is in the error's `partial_message`; try again.",
            partial_message=to_message(self.seen),
            status_code=getattr(error, "status_code", None),
        )
        made.__cause__ = error
        return made

    def leave(self) -> None:
        """Let go of all that is under way: nobody waits for it any more."""
        self.plan.left(self._route.clock())
        given, self._held = self.plan.given, {}
        while self._tickets:
            no, ticket = self._tickets.popitem()
            if no == given:
                ticket.succeed()  # it was speaking when the caller left
            else:
                ticket.release()

    def settle(self) -> None:
        """Let cancelled tries be recorded: of an `ainvoke` LangChain tells nobody."""
        if self._call is None or self._run is None:
            return
        for handler in self._run.handlers:
            settle = getattr(handler, "settle_tries", None)
            if settle is not None:
                settle(self._call)

    def error_of(self, step: Fail) -> BaseException:
        """Return what to raise at the end, with what the tries were."""
        error = step.error
        if self._call is not None and self.plan.is_overdue:
            self._call.is_overdue = True
        if self.seen and isinstance(error, CerebrasError):
            error.partial_message = error.partial_message or to_message(self.seen)
        attempts = self.plan.attempts()
        if len(attempts) > 1 and not getattr(error, "legs", None):
            tried = "; ".join(
                f"{one.leg}: {one.reason or one.outcome}" for one in attempts
            )
            error.add_note(f"{self._route.owner.get_name()} had tried: {tried}.")
        return error

    # ---------------------------------------------------------------------- answers

    def is_flowing(self, no: int) -> bool:
        """Whether what a try brings is handed on as it comes."""
        return self.plan.given == no and not self._is_held

    def spoke(self, no: int) -> Step:
        """Take note of a try's first token."""
        step = self.plan.spoke(no, self._route.clock())
        ticket = self._tickets.get(no)
        if ticket is not None and self.plan.given == no:
            ticket.spoke()
        self._release_losers()
        return step

    def _release_losers(self) -> None:
        if not self._tickets:
            return
        given = self.plan.given
        for no in [no for no in self._tickets if no != given]:
            self._tickets.pop(no).release()

    def take(self, no: int, item: Any) -> list[Any]:
        """Take an item of a try that is not flowing; return what to hand on now."""
        plan = self.plan
        held = self._held.setdefault(no, [])
        held.append(item)
        if plan.given is None and says_something(item):
            self.spoke(no)
        if not self.is_flowing(no):
            return []
        del self._held[no]
        out = [self.mark(no, one) if is_last(one) else one for one in held]
        if self._needs_marker is not None:
            out.insert(0, self._marker(self._needs_marker))
            self._needs_marker = None
            del self.seen[:]
        self.seen += out
        return out

    def _marker(self, why: tuple[str, str]) -> AIMessageChunk:
        said = {"restarted_from": why[0], "restarted_for": why[1]}
        return restart_chunk(self.seen, said)

    def restart_event(self) -> dict[str, str] | None:
        """Return what the custom event says, if the next try begins anew."""
        if self._needs_marker is None:
            return None
        leg, why = self._needs_marker
        return {"leg": leg, "reason": why}

    def mark(self, no: int, item: Any) -> Any:
        """Take a try's last item; return it with what the router says."""
        if self._ended is not None:
            return item
        self.end_of(no, item)
        return add_metadata(item, self.said(no))

    def end_of(self, no: int, answer: Any) -> Step:
        """Take note that a try's answer is whole."""
        route = self._route
        step = self.plan.ended(no, route.clock())
        self._ended = no
        if self._tickets:
            ticket = self._tickets.pop(no, None)
            if ticket is not None:
                ticket.succeed()
            self._release_losers()
        if route.is_ordered:
            return step
        first, elapsed = self.plan.times_of(no)
        usage = _usage_of(answer)
        tokens = usage.get("output_tokens") if usage else None
        leg = self.plan.leg_of(no)
        route.strategy.observe(Seen(leg, first, elapsed, tokens, is_ok=True))
        return step

    def end(self, no: int) -> list[Any]:
        """Take the end of a try's items; return what to hand on still."""
        out = self._held.pop(no, [])
        if self.plan.given not in {None, no}:
            return []
        if self._needs_marker is not None:
            out.insert(0, self._marker(self._needs_marker))
            self._needs_marker = None
            del self.seen[:]
        if self._ended is None:
            place = next((i for i, one in enumerate(out) if is_last(one)), None)
            if place is not None:
                out[place] = self.mark(no, out[place])
            elif len(out) == 1 and not self.seen and not _is_chunk(out[0]):
                out = [self.mark(no, out[0])]
            else:
                end = last_chunk(out or self.seen)
                self.end_of(no, end)
                if end is not None:
                    out.append(add_metadata(end, self.said(no)))
        self.seen += out
        return out

    def finish(self, no: int, answer: Any) -> Any:
        """Take a whole answer; return it with what the router says of it."""
        self.end_of(no, answer)
        return add_metadata(answer, self.said(no))

    def said(self, no: int) -> dict[str, Any]:
        """Return what an answer says of its way."""
        found: dict[str, Any] = {
            "leg": self.plan.leg_of(no),
            "attempts": [one.to_dict() for one in self.plan.attempts()],
            "strategy": self._route.strategy.name,
        }
        if self._arm is not None:
            found["arm"] = self._arm
        if self._experiment is not None:
            found["experiment"] = self._experiment
        return found


# No method of a trip: a plan that knows its trip is work for the garbage collector.
def _size_of(capabilities: Capabilities, legs: list[Leg], place: int) -> int | None:
    return capabilities.context_tokens(legs[place])


def _is_chunk(item: Any) -> bool:
    return hasattr(item, "chunk_position")


def _usage_of(answer: Any) -> Mapping[str, Any] | None:
    if isinstance(answer, dict):
        raw = answer.get("raw")
        found = answer.get("usage") if raw is None else _usage_of(raw)
    else:
        found = getattr(answer, "usage_metadata", None)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None
