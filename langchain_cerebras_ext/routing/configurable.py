"""A chat model that each call may choose anew, by `config["configurable"]`.

Unlike LangChain's own it is a `BaseChatModel`, keeps the instances, knows names with
prefixes, and hands a key to nobody but the provider that it was given for.
"""

from __future__ import annotations

# `with_fallbacks` reads the hints of public methods, so their names are real imports.
from collections.abc import (  # noqa: TC003
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from langchain_core.language_models.base import LanguageModelInput  # noqa: TC002
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage  # noqa: TC002
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import PrivateAttr

from langchain_cerebras_ext._config import is_secret_header
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._cache import Cache, frozen
from langchain_cerebras_ext.routing._target import parse_name
from langchain_cerebras_ext.routing.environment import choose, open_variables
from langchain_cerebras_ext.routing.providers import list_providers

if TYPE_CHECKING:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models.model_profile import ModelProfile
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.tools import BaseTool

    from langchain_cerebras_ext.routing.environment import Dotenv
else:
    BaseTool = Any  # a name that hints can read

__all__ = ["MODEL", "PROVIDER", "ConfigurableChatModel", "make_configurable"]

MODEL: Final = "model"
PROVIDER: Final = "model_provider"

# Beside the settings of the table: what else belongs to one provider's connection.
_CONNECTION: Final = frozenset(
    {
        "async_client",
        "client",
        "credentials",
        "default_headers",
        "default_query",
        "extra_body",
        "http_async_client",
        "http_client",
        "model_kwargs",
        "organization",
    }
)
_BINDINGS: Final = 32


class _Plan(NamedTuple):
    """What a model is made from, but for what a call chooses."""

    name: str | None
    provider: str | None
    fields: tuple[str, ...]
    prefix: str
    cache: bool
    dotenv: Dotenv | None
    given: Mapping[str, Any]
    # Whose the key and the connection in `given` are.
    owner: str | None


class ConfigurableChatModel(BaseChatModel):
    """A chat model whose calls choose the model that answers.

    Made by `create_chat_model(..., configurable=True)`. Without a choice it is the
    model that `create_chat_model` returns at that moment. The callbacks, metadata and
    traces of a call are those of the model that answers.

    Example:
        ```python
        model = create_chat_model(configurable=True)
        model.invoke("Hi", config={"configurable": {"model": "openai::gpt-6.1-terra"}})
        ```
    """

    _plan: _Plan = PrivateAttr()
    _bound: Cache[Runnable[Any, Any]] = PrivateAttr(
        default_factory=lambda: Cache(_BINDINGS)
    )

    @property
    def _llm_type(self) -> str:
        return "configurable-chat"

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What a call may choose."""
        plan = self._plan
        about = "provider::model; bare ids of the catalog are Cerebras's"
        model, provider = plan.prefix + MODEL, plan.prefix + PROVIDER
        specs = [
            ConfigurableFieldSpec(
                model, str, name="Model", description=about, default=plan.name
            ),
            ConfigurableFieldSpec(
                provider, str, name="Provider", default=plan.provider
            ),
        ]
        more = [
            ConfigurableFieldSpec(
                plan.prefix + field, Any, default=plan.given.get(field)
            )
            for field in plan.fields
        ]
        return [*specs, *more]

    def select(self, config: RunnableConfig | None = None) -> BaseChatModel:
        """Return the model that answers a call with this configuration.

        Raises:
            CerebrasConfigurationError: As `create_chat_model`.
        """
        from langchain_cerebras_ext.routing.factory import create_chat_model

        plan = self._plan
        said = _said(ensure_config(config).get("configurable") or {}, plan.prefix)
        chosen = {name: said[name] for name in plan.fields if name in said}
        name, provider = plan.name, plan.provider
        if said.get(PROVIDER) is not None:
            provider, name = said[PROVIDER], said.get(MODEL)
        elif said.get(MODEL) is not None:
            name, provider = str(parse_name(said[MODEL], default=provider)), None
        given = {**plan.given, **chosen}
        if plan.given:
            variables = open_variables(plan.dotenv)
            now = choose(name, provider=provider, variables=variables).row.name
            if now != plan.owner:
                given = {**_without_connection(plan.given), **chosen}
        made: BaseChatModel = create_chat_model(
            name, provider=provider, cache=plan.cache, dotenv=plan.dotenv, **given
        )
        return made

    def _ready(
        self, config: RunnableConfig | None, kwargs: Mapping[str, Any]
    ) -> tuple[Runnable[Any, Any], dict[str, Any]]:
        """Return what to call, with the tools in its provider's form, and with what."""
        model = self.select(config)
        if "tools" not in kwargs:
            return model, dict(kwargs)
        options = {k: v for k, v in kwargs.items() if k not in {"tools", "stop"}}
        bound = self._made(
            model,
            ("tools", kwargs["tools"], options),
            lambda: model.bind_tools(kwargs["tools"], **options),
        )
        return bound, {k: v for k, v in kwargs.items() if k == "stop"}

    def _made(
        self, model: BaseChatModel, what: object, make: Callable[[], Runnable[Any, Any]]
    ) -> Runnable[Any, Any]:
        return self._bound.get((frozen(model), frozen(what)), make)

    # ------------------------------------------------------------------------ calls

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer with the model that the call chooses."""
        model, options = self._ready(config, _with_stop(kwargs, stop))
        return cast("AIMessage", model.invoke(input, config, **options))

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer with the model that the call chooses."""
        model, options = self._ready(config, _with_stop(kwargs, stop))
        return cast("AIMessage", await model.ainvoke(input, config, **options))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Stream from the model that the call chooses."""
        model, options = self._ready(config, _with_stop(kwargs, stop))
        return model.stream(input, config, **options)

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Stream from the model that the call chooses."""
        model, options = self._ready(config, _with_stop(kwargs, stop))
        return model.astream(input, config, **options)

    def stream_events(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Stream events of the model that the call chooses."""
        version, rest = _split_version(kwargs)
        model, options = self._ready(config, rest)
        return model.stream_events(input, config, **version, **options)

    def astream_events(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Stream events of the model that the call chooses."""
        version, rest = _split_version(kwargs)
        model, options = self._ready(config, rest)
        return model.astream_events(input, config, **version, **options)

    def generate(
        self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any
    ) -> Any:
        """Answer several with the model that is chosen where this is called."""
        return self.select().generate(messages, *args, **kwargs)

    async def agenerate(
        self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any
    ) -> Any:
        """Answer several with the model that is chosen where this is called."""
        return await self.select().agenerate(messages, *args, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self.select()._generate(messages, stop, run_manager, **kwargs)  # noqa: SLF001

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await self.select()._agenerate(messages, stop, run_manager, **kwargs)  # noqa: SLF001

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self.select()._stream(messages, stop, run_manager, **kwargs)  # noqa: SLF001

    # ---------------------------------------------------------- tools and structure

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Keep tools as they are: each model takes them in its own form."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=list(tools), **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a chain whose answers fit a schema, whichever model gives them."""
        options = {"include_raw": include_raw, **kwargs}
        return _Structured(default=self, form=schema, options=options)

    def _structured(
        self, config: RunnableConfig | None, form: Any, options: dict[str, Any]
    ) -> Runnable[Any, Any]:
        model = self.select(config)
        return self._made(
            model,
            ("form", form, options),
            lambda: model.with_structured_output(form, **options),
        )

    # ------------------------------------------------------------------------ tokens

    def get_num_tokens(self, text: str) -> int:
        """Count as the model that is chosen where this is called."""
        return self.select().get_num_tokens(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count as the model that is chosen where this is called."""
        return self.select().get_num_tokens_from_messages(messages, tools)

    def get_token_ids(self, text: str) -> list[int]:
        """Count as the model that is chosen where this is called."""
        return self.select().get_token_ids(text)


class _Structured(DynamicRunnable[Any, Any]):
    """The chain of a schema, made for the model that a call chooses."""

    default: Any
    form: Any
    options: dict[str, Any]

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False

    def _prepare(
        self, config: RunnableConfig | None = None
    ) -> tuple[Runnable[Any, Any], RunnableConfig]:
        model = cast("ConfigurableChatModel", self.default)
        chain = model._structured(config, self.form, self.options)  # noqa: SLF001
        return chain, ensure_config(config)


def make_configurable(
    name: str | None,
    *,
    provider: str | None,
    fields: Sequence[str],
    prefix: str | None = None,
    cache: bool,
    dotenv: Dotenv | None,
    given: Mapping[str, Any],
) -> ConfigurableChatModel:
    """Return a model that calls may choose anew.

    Args:
        name: The model without a choice, as in `create_chat_model`.
        provider: As there.
        fields: Further arguments that calls may choose.
        prefix: Before each name that calls choose by.
        cache: As there.
        dotenv: As there.
        given: The constructor's arguments.

    Raises:
        CerebrasConfigurationError: `fields` is one text.
    """
    if isinstance(fields, str):
        msg = f"configurable={fields!r} must be True or a list of arguments' names."
        raise CerebrasConfigurationError(msg)
    own = tuple(field for field in fields if field not in {MODEL, PROVIDER})
    owner = None
    try:
        variables = open_variables(dotenv)
        owner = choose(name, provider=provider, variables=variables).row.name
    except CerebrasConfigurationError:
        if name is not None or provider is not None:
            raise
    before = f"{prefix.removesuffix('_')}_" if prefix else ""
    plan = _Plan(name, provider, own, before, cache, dotenv, dict(given), owner)
    bare = ConfigurableChatModel(profile=cast("ModelProfile", {}))
    bare._plan = plan  # noqa: SLF001 - it is this module's
    bare.profile = _profile(bare)
    return bare


def _said(said: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    """Return what a call says to this model, by names without the prefix."""
    if not prefix:
        return said
    return {
        name.removeprefix(prefix): one
        for name, one in said.items()
        if name.startswith(prefix)
    }


def _profile(model: ConfigurableChatModel) -> ModelProfile | None:
    """Return what the model without a choice can do.

    Native structured output is left out: an agent decides by it how to ask, once for
    all calls, and asking by a tool suits each model.
    """
    try:
        found = model.select().profile
    except CerebrasConfigurationError:
        return None
    if found is None:
        return None
    return cast("ModelProfile", {**found, "structured_output": False})


def _with_stop(kwargs: dict[str, Any], stop: list[str] | None) -> dict[str, Any]:
    return kwargs if stop is None else {**kwargs, "stop": stop}


_OF_EVENTS: Final = ("version", "include_", "exclude_")


def _split_version(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide arguments into those of the events and those of the model."""
    of_events = {k: v for k, v in kwargs.items() if k.startswith(_OF_EVENTS)}
    return of_events, {k: v for k, v in kwargs.items() if k not in of_events}


def _without_connection(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments without what belongs to one provider: key, address, clients."""
    own = {
        name
        for row in list_providers()
        for one in row.settings
        for name in (one.field, *one.also)
    }
    return {
        name: value
        for name, value in given.items()
        if name not in own
        and name not in _CONNECTION
        and not (is_secret_header(name) and not isinstance(value, (int, float)))
    }
