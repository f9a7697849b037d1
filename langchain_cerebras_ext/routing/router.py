"""`ChatRouter`: one chat model over several."""

from __future__ import annotations

# `with_fallbacks` reads the hints of public methods, so their names are real imports.
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
)
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    LLMResult,
)
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableConfig,
    RunnableSerializable,
)
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from langchain_cerebras_ext._connection import _as_configuration_error
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.retry import Patience
from langchain_cerebras_ext.routing import _routed
from langchain_cerebras_ext.routing._events import astream_events, stream_events
from langchain_cerebras_ext.routing._leg import Leg
from langchain_cerebras_ext.routing._recipe import OF_TOOLS, Recipe
from langchain_cerebras_ext.routing._target import name_of
from langchain_cerebras_ext.routing._trip import ROUTER, Route, Trip
from langchain_cerebras_ext.routing.capabilities import Capabilities, common_profile
from langchain_cerebras_ext.routing.environment import choose
from langchain_cerebras_ext.routing.factory import create_chat_model
from langchain_cerebras_ext.routing.history import portable_messages
from langchain_cerebras_ext.routing.policy import FallbackPolicy
from langchain_cerebras_ext.routing.providers import CEREBRAS
from langchain_cerebras_ext.routing.strategies import make_strategy

if TYPE_CHECKING:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
        Callbacks,
    )
    from langchain_core.language_models.chat_model_stream import ChatModelStream
    from langchain_core.language_models.model_profile import ModelProfile
    from langchain_core.tools import BaseTool
else:
    BaseTool = Any  # a name that hints can read; the module is slow to import

__all__ = ["BoundRouter", "ChatRouter", "RoutedStructure"]

_OF_ROUTE = frozenset(
    {
        "breaker",
        "capabilities",
        "experiment",
        "hedge_after_s",
        "legs",
        "max_retry_wait",
        "max_tokens",
        "move_on_for",
        "on_context_overflow",
        "on_midstream",
        "stop",
        "stop_for",
        "strategy",
        "temperature",
        "total_timeout",
        "weights",
    }
)
"""Fields that are read when a router is set up, and not at each call."""


class ChatRouter(BaseChatModel):
    """One chat model over several: the next is asked where one cannot answer.

    A leg is a chat model, or a name for `create_chat_model`; such a model is made when
    it is first needed. `response_metadata["router"]` of each answer says which leg it
    is from, and what became of the others.

    The next leg is asked after errors that are the leg's own: it is busy, its quota is
    spent, it fails or cannot be reached, it does not serve the model, or a budget does
    not allow its price. Mistakes of the caller's are raised at once, since every leg
    would say the same. `move_on_for` and `stop_for` change that: classes of errors,
    HTTP statuses, or kinds of `routing.policy`.

    A stream is decided by its first token. If it fails after that, `on_midstream` says
    what happens: `"raise"` raises, with what came in `partial_message`. `"restart"`
    lets the next leg begin anew: a chunk says so in `response_metadata["router"]`, and
    voids what came before when chunks are added up; handlers get a custom event
    `router_restart`. It raises nevertheless after a part of a tool call, and where
    nobody could be told: inside a chain, and in `stream_events(version="v3")`.
    `"buffer"` hands nothing on until an answer is whole. Two answers are never spliced.

    Example:
        ```python
        from langchain_cerebras_ext import ChatCerebras
        from langchain_cerebras_ext.routing import ChatRouter

        router = ChatRouter(
            legs=[ChatCerebras(model="gpt-oss-120b"), "cerebras::qwen-3.8-27b"]
        )
        message = router.invoke("Why is the sky blue?")
        print(message.response_metadata["router"]["leg"])
        ```
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", populate_by_name=True
    )

    legs: Sequence[Any] | Mapping[str, Any]
    """Chat models or names, in their order; a mapping gives each a label."""
    strategy: Any = "ordered"
    """Who goes first: `ordered`, `cheapest`, `fastest`, `weighted`, `experiment`, or an
    object of yours (`routing._leg.Strategy`)."""
    weights: Mapping[str, float] | None = None
    """For `weighted`: leg to share."""
    experiment: Any = None
    """For `experiment`."""
    capabilities: Any = None
    """What you know of legs that the catalog and profiles do not: leg to what it can,
    such as `{"local": {"tools": True, "context_tokens": 8192}}`; or `Capabilities`."""
    breaker: Any = None
    """A `CircuitBreaker`; True for one with its defaults."""
    total_timeout: float | None = None
    """Seconds for a call with all its tries; each leg's own limits hold besides."""
    max_retry_wait: float | None = 1.0
    """Seconds that a leg may wait before a retry of its own while another is left to
    ask; None: as long as it likes. Heeded by this package's models; with
    `total_timeout` none of their waits goes beyond that."""
    hedge_after_s: float | None = None
    """Ask a second leg too, if the first has not spoken for so long; both are billed.
    The one that speaks first wins, the other is cancelled."""
    move_on_for: Any = ()
    """Ask the next leg after these as well."""
    stop_for: Any = ()
    """Raise these at once."""
    on_context_overflow: Literal["stop", "larger"] = "stop"
    """After a prompt was too long: raise, or ask the legs that hold a longer one."""
    on_midstream: Literal["raise", "restart", "buffer"] = "raise"
    """After a stream has failed that had begun to speak."""

    temperature: float | None = None
    """Of every call, whatever the leg's own is; likewise the next two."""
    max_tokens: int | None = None
    """Tokens of the answer at most."""
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    """Texts that end the answer."""
    streaming: bool = False
    """Let legs stream under `invoke` too, so that handlers hear of tokens."""

    _route: Route = PrivateAttr()

    @field_validator("total_timeout", "hedge_after_s")
    @classmethod
    def _be_positive(cls, value: float | None, info: Any) -> float | None:
        if value is not None and value <= 0:
            msg = f"{info.field_name}={value} must be more than 0 seconds, or None."
            raise CerebrasConfigurationError(msg)
        return value

    @field_validator("max_retry_wait")
    @classmethod
    def _be_a_wait(cls, value: float | None) -> float | None:
        if value is not None and not value >= 0:
            msg = f"max_retry_wait={value} must be 0 seconds or more, or None."
            raise CerebrasConfigurationError(msg)
        return value

    @field_validator("cache", "rate_limiter")
    @classmethod
    def _belong_to_legs(cls, value: Any, info: Any) -> Any:
        if value:
            msg = (
                f"{info.field_name} belongs to the legs: pass it to each model of a "
                "ChatRouter, which sends no requests of its own."
            )
            raise CerebrasConfigurationError(msg)
        return value

    # Not for type checkers, which take the arguments from the fields.
    if not TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            try:
                super().__init__(*args, **kwargs)
            except ValidationError as error:
                raise _as_configuration_error(error, type(self)) from error

    def model_post_init(self, context: Any, /) -> None:
        """Set up what calls are routed by."""
        super().model_post_init(context)
        self._set_up()

    def __copy__(self) -> Self:
        """Return a copy that shares breaker and measurements, and nothing else."""
        made = super().__copy__()
        made._route = replace(self._route, owner=made)  # noqa: SLF001
        return made

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Return a copy; see pydantic's own."""
        made = super().model_copy(update=update, deep=deep)
        if _OF_ROUTE & set(update or ()):
            made._set_up()  # noqa: SLF001
        return made

    def _set_up(self) -> None:
        legs = _make_legs(self.legs)
        own = ("temperature", "max_tokens", "stop")
        of_every_call = {
            name: getattr(self, name) for name in own if getattr(self, name) is not None
        }
        policy = FallbackPolicy(
            move_on_for=self.move_on_for,
            stop_for=self.stop_for,
            on_context_overflow=self.on_context_overflow,
            on_midstream=self.on_midstream,
        )
        self._route = Route(
            owner=self,
            legs=legs,
            policy=policy,
            strategy=make_strategy(
                self.strategy,
                legs=legs,
                weights=self.weights,
                experiment=self.experiment,
            ),
            capabilities=_capabilities_of(self.capabilities, legs),
            portable=portable_messages,
            breaker=_breaker_of(self.breaker),
            total_timeout=self.total_timeout,
            hedge_after_s=self.hedge_after_s,
            haste=_haste_of(self.max_retry_wait),
            of_every_call=of_every_call,
        )

    @property
    def _routing(self) -> Route:
        """The route; pydantic's own way to a private attribute takes 2 us."""
        held = cast("dict[str, Any]", self.__pydantic_private__)
        return cast("Route", held["_route"])

    # --------------------------------------------------------------------- identity

    @property
    def policy(self) -> FallbackPolicy:
        """After which error the next leg is asked."""
        return self._route.policy

    @property
    def leg_names(self) -> list[str]:
        """The names of the legs, as `response_metadata["router"]` has them."""
        return [leg.name for leg in self._route.legs]

    def health(self) -> dict[str, dict[str, Any]]:
        """Return the state of each leg's circuit breaker; nobody is asked for it."""
        names = self.leg_names
        breaker = self._route.breaker
        if breaker is None:
            return {name: {"state": "closed"} for name in names}
        return {name: dict(one) for name, one in breaker.health(names).items()}

    @property
    def _llm_type(self) -> str:
        return "chat-router"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        strategy = self._route.strategy.name
        return {"legs": self.leg_names, "strategy": strategy}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Legs are dumped with it; a strategy of your own is not."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return where a loader finds the class."""
        return cls.__module__.split(".")

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        """Describe the router; its tries describe themselves."""
        params = LangSmithParams(
            ls_provider=ROUTER,
            ls_model_name=str(kwargs.get("model") or ", ".join(self.leg_names)),
            ls_model_type="chat",
        )
        given = {**self._route.of_every_call, **kwargs}
        if isinstance(given.get("temperature"), (int, float)):
            params["ls_temperature"] = given["temperature"]
        if isinstance(given.get("max_tokens"), int):
            params["ls_max_tokens"] = given["max_tokens"]
        stops = stop or given.get("stop")
        if stops:
            params["ls_stop"] = list(stops)
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        found = self.capabilities
        can = None if isinstance(found, Capabilities) else found
        legs = [_known(leg) for leg in self._route.legs]
        return common_profile(legs, can=can) or None

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, by the first leg."""
        return self._route.legs[0].model.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has, by the first leg."""
        return self._route.legs[0].model.get_num_tokens(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many prompt tokens messages and tools are, by the first leg."""
        return self._route.legs[0].model.get_num_tokens_from_messages(messages, tools)

    # ------------------------------------------------------------------------ calls

    def _prompt(self, given: LanguageModelInput) -> list[BaseMessage] | str:
        """Return the prompt as messages, or a text; legs make a message of that."""
        if isinstance(given, str):
            return given
        if isinstance(given, list) and all(
            isinstance(one, BaseMessage) for one in given
        ):
            return cast("list[BaseMessage]", given)
        return self._convert_input(given).to_messages()

    def _trip(
        self,
        given: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        recipe: Recipe | None = None,
        stream: bool = False,
        may_restart: bool = False,
    ) -> Trip:
        if stop is not None:
            kwargs = {**kwargs, "stop": stop}
        route = self._routing
        if route.of_every_call:
            kwargs = {**route.of_every_call, **kwargs}
        if self.disable_streaming and not stream and self._is_quiet(kwargs, recipe):
            kwargs = {**kwargs, "stream": False}  # whatever handlers want
        elif self.streaming and not stream:
            kwargs = {"stream": True, **kwargs}
        if recipe is None:
            recipe, kwargs = route.recipes.of(kwargs)
        return Trip(
            route,
            recipe,
            self._prompt(given),
            config,
            kwargs,
            stream=stream,
            may_restart=may_restart,
        )

    def _is_quiet(self, kwargs: dict[str, Any], recipe: Recipe | None = None) -> bool:
        """Whether `disable_streaming` says that this call comes in one piece."""
        if self.disable_streaming == "tool_calling":
            return bool(kwargs.get("tools")) or (
                recipe is not None and recipe.calls_tools
            )
        return bool(self.disable_streaming)

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return the answer of the first leg that has one.

        Raises:
            NoLegError: No leg can take the request.
            AllLegsFailedError: All that can have failed.
            CerebrasTimeoutError: `total_timeout` has passed.
        """
        answer = _routed.invoke(lambda: self._trip(input, config, stop, kwargs), input)
        return cast("AIMessage", answer)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As `invoke`."""
        answer = await _routed.ainvoke(
            lambda: self._trip(input, config, stop, kwargs), input
        )
        return cast("AIMessage", answer)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer of the first leg that speaks."""
        if self.disable_streaming and self._is_quiet(kwargs):
            whole = _whole(self, input, config, {"stop": stop, **kwargs})
            return cast("Iterator[AIMessageChunk]", whole)
        return self._chunks(input, config, stop, kwargs, may_restart=True)

    def astream(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """As `stream`."""
        if self.disable_streaming and self._is_quiet(kwargs):
            whole = _awhole(self, input, config, {"stop": stop, **kwargs})
            return cast("AsyncIterator[AIMessageChunk]", whole)
        return self._achunks(input, config, stop, kwargs, may_restart=True)

    def _chunks(
        self,
        given: Any,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        may_restart: bool,
    ) -> Iterator[AIMessageChunk]:
        return _routed.stream(
            lambda: self._trip(
                given, config, stop, kwargs, stream=True, may_restart=may_restart
            ),
            given,
            config,
        )

    def _achunks(
        self,
        given: Any,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        may_restart: bool,
    ) -> AsyncIterator[AIMessageChunk]:
        return _routed.astream(
            lambda: self._trip(
                given, config, stop, kwargs, stream=True, may_restart=may_restart
            ),
            given,
            config,
        )

    def transform(
        self,
        input: Iterator[LanguageModelInput],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream inside a chain: the next step would not know of a restart."""
        given = _sum(list(input))
        if given is None:
            return
        if self.disable_streaming and self._is_quiet(kwargs):
            yield from _whole(self, given, config, kwargs)
        else:
            yield from self._chunks(given, config, None, kwargs, may_restart=False)

    async def atransform(
        self,
        input: AsyncIterator[LanguageModelInput],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """As `transform`."""
        given = _sum([one async for one in input])
        if given is None:
            return
        if self.disable_streaming and self._is_quiet(kwargs):
            yield cast("AIMessageChunk", await self.ainvoke(given, config, **kwargs))
            return
        async for chunk in self._achunks(
            given, config, None, kwargs, may_restart=False
        ):
            yield chunk

    def stream_events(  # type: ignore[override] # overloads by version
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> ChatModelStream | Iterator[Any]:
        """Yield the events of a call; see LangChain's own."""
        if version != "v3":
            return super().stream_events(input, config, version=version, **kwargs)
        return stream_events(
            lambda: self._trip(input, config, stop, kwargs, stream=True), input
        )

    def astream_events(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        version: Literal["v1", "v2", "v3"] = "v2",
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `stream_events`."""
        if version != "v3":
            if stop is not None:
                kwargs["stop"] = stop
            return super().astream_events(input, config, version=version, **kwargs)
        return astream_events(
            lambda: self._trip(input, config, stop, kwargs, stream=True),
            input,
        )

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Return an answer for each prompt, as LangChain's results have it."""
        config, rest = _config_of(callbacks, kwargs)
        inputs: list[LanguageModelInput] = list(messages)
        answers = self.batch(inputs, config, stop=stop, **rest)
        return _result_of(answers)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As `generate`."""
        config, rest = _config_of(callbacks, kwargs)
        inputs: list[LanguageModelInput] = list(messages)
        answers = await self.abatch(inputs, config, stop=stop, **rest)
        return _result_of(answers)

    # What LangChain's own loops and wrappers of a model call.

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self.invoke(messages, _under(run_manager), stop=stop, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = await self.ainvoke(messages, _under(run_manager), stop=stop, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        config = _under(run_manager)
        for chunk in self._chunks(messages, config, stop, kwargs, may_restart=False):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        config = _under(run_manager)
        chunks = self._achunks(messages, config, stop, kwargs, may_restart=False)
        async for chunk in chunks:
            yield ChatGenerationChunk(message=chunk)

    # ------------------------------------------------------------ tools and structure

    def bind(  # type: ignore[override] # LangChain's own return type is private
        self, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the router with arguments for all its calls.

        `bind_tools` and `with_structured_output` of the result keep them.
        """
        return BoundRouter(bound=self, kwargs=kwargs, config={})

    def with_config(
        self, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the router with a configuration for all its calls."""
        merged = cast("RunnableConfig", {**(config or {}), **kwargs})
        return BoundRouter(bound=self, kwargs={}, config=merged)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the router with tools that the model may call.

        The tools are kept as given: each leg binds them in its own way, when it is
        first asked.

        Args:
            tools: As the legs' `bind_tools` take them.
            tool_choice: Likewise.
            **kwargs: Likewise, such as `strict`, and further arguments of the call.
        """
        # A list of its own: later changes of yours are none of its calls'.
        bound: dict[str, Any] = {"tools": list(tools), **kwargs}
        if tool_choice is not None:
            bound["tool_choice"] = tool_choice
        return self.bind(**bound)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return the router with answers in the shape of a schema.

        Each leg does it in its own way; arguments are handed to all of them, such as
        `method`, `include_raw` and `strict`.
        """
        return self._structured(schema, kwargs, ())

    def _structured(
        self, schema: Any, kwargs: Mapping[str, Any], before: tuple[Any, ...]
    ) -> RoutedStructure:
        asked = ("with_structured_output", (schema,), kwargs)
        recipe = Recipe(steps=(*before, asked), is_structured=True)
        made = next((leg for leg in self._route.legs if leg.is_made), None)
        if made is not None:
            recipe.of(made)  # mistakes are heard of now
        return RoutedStructure(router=self, recipe=recipe)


class BoundRouter(  # type: ignore[no-redef] # a field is called `kwargs`
    RunnableBinding[LanguageModelInput, AIMessage]
):
    """`ChatRouter` with arguments of its calls bound."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise under LangChain's own name, which every loader knows."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    @property
    def _router(self) -> ChatRouter:
        return cast("ChatRouter", self.bound)

    # LangChain's own merges configurations at each call, which takes 20 us, and puts a
    # generator around each stream; nothing is to be merged where none is bound.

    @property
    def _only_binds(self) -> bool:
        return not (self.config or self.config_factories)

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As the router's, with what is bound."""
        if self._only_binds:
            return self.bound.invoke(input, config, **{**self.kwargs, **kwargs})
        return super().invoke(input, config, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """As the router's, with what is bound."""
        if self._only_binds:
            return await self.bound.ainvoke(input, config, **{**self.kwargs, **kwargs})
        return await super().ainvoke(input, config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessage]:
        """As the router's, with what is bound."""
        if self._only_binds:
            return self.bound.stream(input, config, **{**self.kwargs, **kwargs})
        return super().stream(input, config, **kwargs)

    def astream(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessage]:
        """As the router's, with what is bound."""
        if self._only_binds:
            return self.bound.astream(input, config, **{**self.kwargs, **kwargs})
        return super().astream(input, config, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the router with these tools in place of bound ones."""
        bound = cast("BoundRouter", self._router.bind_tools(tools, **kwargs))
        kept = {name: one for name, one in self.kwargs.items() if name not in OF_TOOLS}
        return self._with({**kept, **bound.kwargs})

    def with_structured_output(
        self, schema: dict[str, Any] | type | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return the router with answers in the shape of a schema.

        What is bound stays, tools among it, as far as the legs' own classes allow.
        """
        bound = dict(self.kwargs)
        tools = {name: bound.pop(name) for name in OF_TOOLS if name in bound}
        before: list[Any] = []
        if tools:
            before.append(("bind_tools", (), tools))
        if bound:
            before.append(("bind", (), bound))
        chain = self._router._structured(schema, kwargs, tuple(before))  # noqa: SLF001
        return chain.with_config(self.config) if self.config else chain

    def _with(self, kwargs: dict[str, Any]) -> BoundRouter:
        return type(self)(
            bound=self.bound,
            kwargs=kwargs,
            config=self.config,
            config_factories=self.config_factories,
        )


class RoutedStructure(RunnableSerializable[LanguageModelInput, Any]):
    """A router whose answers follow a schema: a chain for each leg."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    router: ChatRouter
    recipe: Any = Field(repr=False)

    def _make(
        self, given: Any, config: RunnableConfig | None, kwargs: Any, *, stream: bool
    ) -> Callable[[], Trip]:
        return lambda: self.router._trip(  # noqa: SLF001
            given, config, None, kwargs, recipe=self.recipe, stream=stream
        )

    def _is_quiet(self, kwargs: dict[str, Any]) -> bool:
        return self.router._is_quiet(kwargs, self.recipe)  # noqa: SLF001

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the structure of the first leg that has one."""
        return _routed.invoke(self._make(input, config, kwargs, stream=False), input)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `invoke`."""
        make = self._make(input, config, kwargs, stream=False)
        return await _routed.ainvoke(make, input)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Yield the structure of the first leg that speaks, as far as it has come."""
        if self.router.disable_streaming and self._is_quiet(kwargs):
            return _whole(self, input, config, kwargs)
        make = self._make(input, config, kwargs, stream=True)
        return _routed.stream(make, input, config)

    def astream(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """As `stream`."""
        if self.router.disable_streaming and self._is_quiet(kwargs):
            return _awhole(self, input, config, kwargs)
        make = self._make(input, config, kwargs, stream=True)
        return _routed.astream(make, input, config)


# ----------------------------------------------------------------------------- helpers


# What LangChain's own models yield where they may not stream: the whole message.


def _whole(
    asked: ChatRouter | RoutedStructure,
    given: Any,
    config: RunnableConfig | None,
    kwargs: dict[str, Any],
) -> Iterator[Any]:
    yield asked.invoke(given, config, **kwargs)


async def _awhole(
    asked: ChatRouter | RoutedStructure,
    given: Any,
    config: RunnableConfig | None,
    kwargs: dict[str, Any],
) -> AsyncIterator[Any]:
    yield await asked.ainvoke(given, config, **kwargs)


def _make_legs(given: Any) -> tuple[Leg, ...]:
    """Return legs with names of their own.

    Raises:
        CerebrasConfigurationError: There is none, or one is no model.
    """
    labelled = isinstance(given, Mapping)
    if isinstance(given, (str, BaseChatModel)) or not given:
        msg = (
            "legs must be a list of chat models or names, or a mapping of labels to "
            "them; there must be one at least."
        )
        raise CerebrasConfigurationError(msg)
    pairs = list(given.items()) if labelled else [(None, one) for one in given]
    legs: list[Leg] = []
    for label, one in pairs:
        leg = _make_leg(label, one)
        names = {other.name for other in legs}
        if leg.name in names:
            number = next(
                n for n in range(2, len(pairs) + 2) if f"{leg.name}#{n}" not in names
            )
            leg = _make_leg(f"{leg.name}#{number}", one)
        legs.append(leg)
    return tuple(legs)


def _make_leg(label: str | None, one: Any) -> Leg:
    if isinstance(one, str):
        target = choose(one).target  # as `create_chat_model` understands it
        make = partial(create_chat_model, str(target))
        return Leg(label or str(target), None, target, make=make)
    if isinstance(one, BaseChatModel):
        return Leg(label or _name_of(one), one)
    msg = (
        f"A leg must be a chat model or a name such as 'cerebras::gpt-oss-120b', not a "
        f"{type(one).__name__}. Arguments belong into the model, and tools to the "
        "router: router.bind_tools(...)."
    )
    raise CerebrasConfigurationError(msg)


def _name_of(model: BaseChatModel) -> str:
    if model.name:
        return model.name
    if isinstance(model, ChatRouter):
        return f"router({', '.join(model.leg_names)})"
    return name_of(model)


def _known(leg: Leg) -> Leg:
    """Return a leg that is not made for its profile: a package may be missing."""
    if leg.is_made or (leg.target is not None and leg.target.provider == CEREBRAS):
        return leg
    return Leg(leg.name, None, leg.target, make=_make_nothing)


def _make_nothing() -> BaseChatModel:
    msg = "It is made when it is first asked."
    raise CerebrasConfigurationError(msg)


def _capabilities_of(given: Any, legs: Sequence[Leg]) -> Capabilities:
    if isinstance(given, Capabilities):
        return given
    return Capabilities(legs, can=given, said_by="capabilities")


def _haste_of(longest_s: float | None) -> Patience | None:
    return None if longest_s is None else Patience(longest_s)


_OF_BREAKER = ("admit", "aadmit", "health")


def _breaker_of(given: Any) -> Any:
    if given is None or given is False:
        return None
    if given is True:
        from langchain_cerebras_ext.routing.breaker import CircuitBreaker

        return CircuitBreaker()
    if not all(callable(getattr(given, name, None)) for name in _OF_BREAKER):
        msg = (
            f"breaker={given!r} must be True, a CircuitBreaker, or an object with "
            f"{', '.join(_OF_BREAKER)}."
        )
        raise CerebrasConfigurationError(msg)
    return given


def _sum(parts: list[Any]) -> Any:
    """Return the input that its parts add up to, as LangChain adds them."""
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        try:
            total = total + part
        except TypeError:
            total = part
    return total


_OF_CONFIG = ("tags", "metadata", "run_name", "run_id")


def _config_of(
    callbacks: Callbacks, kwargs: dict[str, Any]
) -> tuple[RunnableConfig, dict[str, Any]]:
    config: dict[str, Any] = {"callbacks": callbacks}
    config.update((name, kwargs[name]) for name in _OF_CONFIG if kwargs.get(name))
    rest = {name: one for name, one in kwargs.items() if name not in _OF_CONFIG}
    return cast("RunnableConfig", config), rest


def _result_of(answers: Sequence[AIMessage]) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=one)] for one in answers])


def _under(run_manager: Any) -> RunnableConfig | None:
    """Return a configuration that makes the tries children of a model's run."""
    if run_manager is None:
        return None
    from langchain_core.callbacks import (
        AsyncCallbackManager,
        AsyncCallbackManagerForLLMRun,
        CallbackManager,
    )

    is_async = isinstance(run_manager, AsyncCallbackManagerForLLMRun)
    kind = AsyncCallbackManager if is_async else CallbackManager
    manager = kind(
        handlers=[],
        parent_run_id=run_manager.run_id,
    )
    manager.set_handlers(run_manager.inheritable_handlers)
    return {"callbacks": manager}
