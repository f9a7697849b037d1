"""`ChatCerebras`: Cerebras Inference as a LangChain chat model."""

from __future__ import annotations

import sys

# `with_fallbacks` reads the hints of public methods, so their names are real imports.
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, cast

from langchain_core.globals import get_llm_cache
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage  # noqa: TC002
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.rate_limiters import BaseRateLimiter  # noqa: TC002
from langchain_core.runnables import Runnable, RunnableConfig  # noqa: TC002
from pydantic import BaseModel, Field, field_validator, model_validator

from langchain_cerebras_ext import _translator
from langchain_cerebras_ext._client import aopen_stream, asend, open_stream, send
from langchain_cerebras_ext._config import is_public_service, strip_provider
from langchain_cerebras_ext._connection import CerebrasConnection, token_aware
from langchain_cerebras_ext._core_errors import join_langchain
from langchain_cerebras_ext._events import EventWriter
from langchain_cerebras_ext._late import (
    are_meters_expected,
    is_spared,
    spare_start,
    starting_manager,
)
from langchain_cerebras_ext._messages_in import to_wire_messages
from langchain_cerebras_ext._messages_out import (
    build_chunk,
    build_generations,
    build_last_chunk,
    ending_of_stream,
    merge_deltas,
    parts_of_message,
)
from langchain_cerebras_ext._metadata import (
    PROVIDER,
    measured,
    output_tokens_of,
    tries,
)
from langchain_cerebras_ext._metering import (
    calling_manager,
    hush,
    is_alone,
    open_meter,
)
from langchain_cerebras_ext._params import CHAT_PARAMS
from langchain_cerebras_ext._request import (
    build_payload,
    check_payload,
    model_rules,
)
from langchain_cerebras_ext._status import rate_limits
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext._warnings import warn_user
from langchain_cerebras_ext.catalog import find_model, get_model
from langchain_cerebras_ext.errors import (
    CerebrasAnswerWarning,
    CerebrasConfigurationError,
    CerebrasContextWarning,
    MissingExtraError,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Generator,
        Iterator,
    )

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models.model_profile import ModelProfile
    from langchain_core.tools import BaseTool
    from langchain_protocol.protocol import MessagesData

    from langchain_cerebras_ext._client import (
        Answer,
        AsyncOpenStream,
        Call,
        OpenStream,
    )
    from langchain_cerebras_ext._messages_out import Ending
    from langchain_cerebras_ext._params import Param
    from langchain_cerebras_ext._stream_reader import Delta
else:
    BaseTool = Any  # a name that hints can read; the module is slow to import

join_langchain()  # they may have been imported before LangChain

__all__ = ["ChatCerebras"]

_translator.register()


class ChatCerebras(CerebrasConnection, BaseChatModel):
    """A chat model on Cerebras Inference.

    Set `CEREBRAS_API_KEY`, or pass `api_key`. Every parameter of the API is a field,
    and every field can be given to a single call too. A wrong name or a value out of
    range is an error when the model is constructed.

    Example:
        ```python
        from langchain_cerebras_ext import ChatCerebras

        model = ChatCerebras(model="gpt-oss-120b", reasoning_effort="low")
        message = model.invoke("Why is the sky blue?")
        print(message.text, message.usage_metadata)
        for chunk in model.stream("And at sunset?"):
            print(chunk.text, end="")
        ```

    Sources: the API's OpenAPI description of 2026-07 for parameters and ranges.
    """

    temperature: float | None = None
    """Sampling temperature, 0 to 2; the service's default is 1.0."""
    top_p: float | None = None
    """Nucleus sampling, 0 to 1; the service's default is 1.0."""
    max_tokens: int | None = None
    """Tokens of the answer at most, reasoning included; sent as
    `max_completion_tokens`. -1 is the model's limit."""
    min_tokens: int | None = None
    """Tokens of the answer at least; sent as `min_completion_tokens`."""
    frequency_penalty: float | None = None
    """-2 to 2."""
    presence_penalty: float | None = None
    """-2 to 2."""
    logit_bias: Mapping[Any, float] | None = None
    """Token id to bias, -100 to 100; at most 100 entries."""
    logprobs: bool | None = None
    """Ask for log probabilities; they arrive in `response_metadata`."""
    top_logprobs: int | None = None
    """Alternatives per token, 0 to 20; needs `logprobs=True`."""
    n: int | None = None
    """Answers per call; every one is billed. A stream takes 1 only."""
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    """Up to four texts that end the answer; they are not part of it."""
    seed: int | None = None
    """For repeatable sampling, best effort."""
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    """How much to think; the profile has the model's levels."""
    reasoning_format: (
        Literal["none", "parsed", "text_parsed", "raw", "hidden"] | None
    ) = None
    """Where reasoning goes: its own field, the content, or nowhere."""
    disable_reasoning: bool | None = None
    """Old switch; the service ended it on 2026-07-21: use `reasoning_effort="none"`."""
    clear_thinking: bool | None = None
    """zai-glm-4.7: whether reasoning of earlier turns is dropped from the prompt."""
    prediction: Mapping[str, Any] | str | None = None
    """Text that the answer probably repeats; a plain string is wrapped."""
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    """Queue to use (private preview of the service)."""
    prompt_cache_key: str | None = None
    """Routing hint for the prompt cache, up to 1024 characters."""
    user: str | None = None
    """Your user's id, for the service's abuse monitoring."""
    model_parameters: Mapping[str, Any] | None = None
    """Keys of a single model."""
    parallel_tool_calls: bool | None = None
    """Whether the model may call several tools at once."""
    tools: list[Any] | None = None
    """Tools of every call; see also `bind_tools`."""
    tool_choice: str | Mapping[str, Any] | None = None
    """`none`, `auto`, `required` or a tool's name; needs tools."""
    response_format: Mapping[str, Any] | None = None
    """Of every call; see also `with_structured_output`."""
    stream_options: Mapping[str, Any] | None = None
    """Sent with streams as it is."""
    stream_usage: bool | None = None
    """`True` asks for usage with `stream_options`; the service sends it anyway."""
    streaming: bool = False
    """Stream also under `invoke`; deltas reach callback handlers."""
    coalesce_stream: bool = False
    """Join the deltas that came in one network read into one chunk; never waits."""
    queue_threshold: int | None = None
    """Milliseconds; `flex` and `auto` requests are refused at once when the queue is
    longer (private preview of the service)."""
    disabled_params: Mapping[str, Any] | None = None
    """Parameters never to send: name to `None`, or to the values to hold back."""
    tiktoken_model_name: str | None = None
    """Whose vocabulary to count tokens with; default: the model's."""

    _params: ClassVar[Mapping[str, Param]] = CHAT_PARAMS
    _path: ClassVar[str] = "/chat/completions"
    _operation: ClassVar[str] = "chat"
    _is_plain: ClassVar[bool] = True
    """Whether all calls come by our own methods, which know whose run they make."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Look whether a subclass sends calls in a way of its own."""
        super().__init_subclass__(**kwargs)
        cls._is_plain = all(
            getattr(cls, name, None) is getattr(ChatCerebras, name, None)
            for name in _SENDERS
        )

    @field_validator("rate_limiter")
    @classmethod
    def _know_tokens(cls, value: BaseRateLimiter | None) -> BaseRateLimiter | None:
        """Let a limiter of ours count tokens; LangChain would only count calls."""
        return cast("BaseRateLimiter | None", token_aware(value))

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Refuse what the API refuses, as far as the fields alone tell."""
        check_payload(
            self._defaults(),
            self.model_name,
            stream=self.streaming,
            is_public=is_public_service(self.cerebras_api_base),
        )
        return self

    @model_validator(mode="after")
    def _report_version(self) -> Self:
        self._add_version("langchain-cerebras-ext", __version__)
        return self

    @classmethod
    def _prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        prediction = given.get("prediction")
        if isinstance(prediction, str):
            given = {
                **given,
                "prediction": {"type": "content", "content": prediction},
            }
        if "reasoning" in given:
            given = _unwrap_reasoning(given)
        return super()._prepare(given)

    # --------------------------------------------------------------------- identity

    @classmethod
    def recommended(cls, model: str, **kwargs: Any) -> Self:
        """Return the model with the sampling that is advised for it.

        Args:
            model: The model's id.
            kwargs: The constructor's other arguments; they win.

        Raises:
            UnknownModelError: The catalog has no such model.

        Example:
            ```python
            model = ChatCerebras.recommended("qwen-3.8-27b", max_tokens=500)
            ```
        """
        sampling = get_model(strip_provider(model)).recommended_sampling
        advised = {
            name: value
            for name in ("temperature", "top_p")
            if (value := getattr(sampling, name, None)) is not None
        }
        return cls(model=model, **{**advised, **kwargs})

    @property
    def _llm_type(self) -> str:
        return "cerebras-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "base_url": self.cerebras_api_base,
            **self._defaults(),
            **({"model_kwargs": self.model_kwargs} if self.model_kwargs else {}),
        }

    @property
    def _serialized(  # pyright: ignore[reportIncompatibleVariableOverride]
        self,
    ) -> dict[str, Any]:
        """Itself as handlers get it; asked for right before they are told of a run."""
        own = self.__dict__
        if are_meters_expected():
            manager = starting_manager(sys._getframe(1))  # noqa: SLF001
            if manager is not None and self._is_plain:
                limiter, cache = own.get("rate_limiter"), own.get("cache")
                # Not where LangChain may wait for a limiter or look into a cache before
                # it sends: a call that is left there would be open to nobody.
                if (
                    limiter is None or getattr(limiter, "is_asked_later", False) is True
                ) and (cache is False or (cache is None and get_llm_cache() is None)):
                    spare_start(manager)
        held = own.get("_serialized")
        return super()._serialized if held is None else held

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        """Describe a call for LangSmith, with what the call overrides."""
        model = kwargs.get("model") or kwargs.get("model_name") or self.model_name
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=strip_provider(str(model)),
            ls_model_type="chat",
        )
        temperature = kwargs.get("temperature", self.temperature)
        if isinstance(temperature, (int, float)):
            params["ls_temperature"] = temperature
        tokens = kwargs.get("max_tokens") or kwargs.get("max_completion_tokens")
        tokens = tokens or self.max_tokens
        if isinstance(tokens, int):
            params["ls_max_tokens"] = tokens
        stops = stop or self.stop
        if isinstance(stops, str):
            params["ls_stop"] = [stops]
        elif stops and isinstance(stops, (list, tuple)):
            params["ls_stop"] = list(stops)
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        card = find_model(self.model_name)
        return card.to_profile() if card else None

    @property
    def client(self) -> Any:
        """`chat.completions` of the official SDK, on this model's connection."""
        return self.root_client.chat.completions

    @property
    def async_client(self) -> Any:
        """`chat.completions` of the official async SDK, on this model's connection."""
        return self.root_async_client.chat.completions

    # ---------------------------------------------------------------------- requests

    def _request(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        stream: bool,
        run_manager: CallbackManagerForLLMRun
        | AsyncCallbackManagerForLLMRun
        | None = None,
    ) -> Call:
        """Build the request of a call; raises for all that can be told before it."""
        payload, options = build_payload(
            self._defaults(),
            kwargs,
            params=CHAT_PARAMS,
            model=self.model_name,
            stop=stop,
            stream=stream,
            stream_usage=self.stream_usage,
            model_kwargs=self.model_kwargs,
            extra_body=self.extra_body,
            disabled=self.disabled_params,
            endings=self._endings(),
        )
        model = payload["model"]
        payload["messages"] = to_wire_messages(messages, model_rules(model))
        headers = dict(options.headers)
        if self.queue_threshold is not None:
            headers.setdefault("queue_threshold", self.queue_threshold)
        call = self._call(
            payload,
            stream=stream,
            model=model,
            asked_model=options.asked_model,
            timeout=options.timeout,
            headers=headers,
            heard=run_manager.on_retry if run_manager else None,
            input_tokens=lambda: self._estimate(messages, payload),
            meter=open_meter(run_manager, self),
        )
        self._warn_of_length(call, messages, payload)
        return call

    def _warn_of_length(
        self, call: Call, messages: list[BaseMessage], payload: Mapping[str, Any]
    ) -> None:
        """Warn of a prompt that the model's window will hardly hold.

        Few bytes are few tokens, so that ordinary prompts are not even counted.
        """
        card = find_model(payload["model"])
        window = card.limits("developer").context_tokens if card else None
        if window is None or len(call.body or b"") < window or not _is_text(messages):
            return
        tokens = self._estimate(messages, payload)
        if tokens > window * _SURELY:
            msg = (
                f"The prompt has about {tokens:,} tokens, and {payload['model']} takes "
                f"{window:,} with the answer: the service will probably refuse it. "
                "Shorten it; SummarizationMiddleware of LangChain does it by itself."
            )
            warn_user(msg, CerebrasContextWarning)

    def _estimate(self, messages: list[BaseMessage], payload: Mapping[str, Any]) -> int:
        """Return about how many tokens a prompt has, rather too many than too few."""
        from langchain_cerebras_ext._tokens import count_message_tokens

        model = self.tiktoken_model_name or payload["model"]
        return count_message_tokens(messages, model, tools=payload.get("tools"))

    def _metadata_of(
        self, call: Call, answer: Answer, output_tokens: int | None
    ) -> dict[str, Any]:
        return self._metadata(
            answer.headers,
            {**self._said_of(call), **tries(answer.attempts, answer.failed)},
            measured(
                elapsed_s=answer.elapsed_s,
                first_token_s=None,
                output_tokens=output_tokens,
                limiter_wait_s=answer.limiter_wait_s,
            ),
        )

    def _metadata_of_stream(
        self, call: Call, stream: OpenStream | AsyncOpenStream
    ) -> dict[str, Any]:
        return self._metadata(
            stream.headers,
            {**self._said_of(call), **tries(stream.attempts, stream.failed)},
            measured(
                elapsed_s=stream.elapsed_s,
                first_token_s=stream.first_token_s,
                output_tokens=stream.reader.facts.output_tokens,
                limiter_wait_s=stream.limiter_wait_s,
            ),
        )

    def _said_of(self, call: Call) -> dict[str, str]:
        """Return what is said of a call besides its answer: renaming, and cost."""
        said = call.renamed()
        if self.track_costs and call.meter is not None:
            cost = call.meter.cost_usd
            if cost is not None:
                said["cost_usd"] = cost
        return said

    def _metadata(
        self,
        headers: Mapping[str, str],
        tried: dict[str, Any],
        timings: dict[str, float],
    ) -> dict[str, Any]:
        found: dict[str, Any] = {**tried, "measured": timings}
        limits = rate_limits(headers)
        if limits:
            found["rate_limits"] = limits
        if self.include_response_headers:
            found["headers"] = dict(headers)
        return found

    # ------------------------------------------------------------------ plain answers

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._request(
            messages, stop, kwargs, stream=False, run_manager=run_manager
        )
        answer = send(self._transport(), call)
        hush(call.meter, run_manager)
        return self._result(call, answer)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._request(
            messages, stop, kwargs, stream=False, run_manager=run_manager
        )
        answer = await asend(self._atransport(), call)
        hush(call.meter, run_manager)
        return self._result(call, answer)

    def _result(self, call: Call, answer: Answer) -> ChatResult:
        response = answer.response
        tokens = output_tokens_of(response.usage)
        metadata = self._metadata_of(call, answer, tokens)
        generations = build_generations(response, metadata)
        for generation in generations:
            _tell_notice(generation.message.response_metadata, call)
        for generation in generations[1:]:  # as usage, cost stands on the first
            generation.message.response_metadata.pop("cost_usd", None)
        usage = generations[0].message.usage_metadata  # type: ignore[attr-defined]
        output: dict[str, Any] = {"model_name": response.model}
        if len(generations) > 1:
            # With one generation LangChain would fold this into its metadata.
            output["token_usage"] = usage
        return ChatResult(
            generations=cast("Any", generations),
            llm_output=output if len(generations) > 1 else None,
        )

    def _combine_llm_outputs(self, llm_outputs: list[Any]) -> dict[str, Any]:
        named = [output for output in llm_outputs if output]
        return {"model_name": named[0].get("model_name")} if named else {}

    # ----------------------------------------------------------------------- streams

    def _should_stream(self, *, run_manager: Any = None, **kwargs: Any) -> bool:
        """Return whether LangChain is to stream a plain call for its handlers' sake.

        Those that only meter never ask for it; to look at one takes LangChain 12 us
        (Python 3.11), which is more than the meter itself.
        """
        heard = None if is_alone(run_manager) else run_manager
        return super()._should_stream(run_manager=heard, **kwargs)

    def _should_use_protocol_streaming(
        self, *, run_manager: Any = None, **kwargs: Any
    ) -> bool:
        """As `_should_stream`, for handlers of the events of `version="v3"`."""
        return not is_spared(run_manager) and super()._should_use_protocol_streaming(
            run_manager=run_manager, **kwargs
        )

    def _must_be_whole(self, kwargs: Mapping[str, Any]) -> bool:
        """Whether the service would refuse to stream this call: JSON mode."""
        asked = kwargs.get("response_format") or self.response_format
        if not isinstance(asked, Mapping) or asked.get("type") != "json_object":
            return False
        # Sent unstreamed, it is a stream to the user all the same.
        many = {"n": kwargs.get("n", self.n) or 1}
        check_payload(many, self.model_name, stream=True)
        return True

    def _parts(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: Any,
    ) -> Generator[_Part]:
        """Yield the deltas of each network read, then the ending."""
        if self._must_be_whole(kwargs):
            result = self._generate(messages, stop, run_manager, **kwargs)
            yield from _parts_of(result)
            return
        call = self._request(
            messages, stop, kwargs, stream=True, run_manager=run_manager
        )
        stream = open_stream(self._transport(), call)
        hush(call.meter, run_manager)
        facts = stream.reader.facts
        with closing(stream.batches()) as batches:
            for deltas in batches:
                yield _Part(facts.id, facts.model, self._joined(deltas), None)
        yield self._end(call, stream)

    async def _aparts(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: Any,
    ) -> AsyncGenerator[_Part]:
        """Yield the deltas of each network read, then the ending."""
        if self._must_be_whole(kwargs):
            result = await self._agenerate(messages, stop, run_manager, **kwargs)
            for part in _parts_of(result):
                yield part
            return
        call = self._request(
            messages, stop, kwargs, stream=True, run_manager=run_manager
        )
        stream = await aopen_stream(self._atransport(), call)
        hush(call.meter, run_manager)
        facts = stream.reader.facts
        async with aclosing(stream.batches()) as batches:
            async for deltas in batches:
                yield _Part(facts.id, facts.model, self._joined(deltas), None)
        yield self._end(call, stream)

    def _joined(self, deltas: list[Delta]) -> list[Delta]:
        if self.coalesce_stream and len(deltas) > 1:
            return merge_deltas(deltas)
        return deltas

    def _end(self, call: Call, stream: OpenStream | AsyncOpenStream) -> _Part:
        ending = ending_of_stream(stream.reader, self._metadata_of_stream(call, stream))
        _tell_notice(ending.response_metadata, call)
        return _Part(ending.message_id, None, [], ending)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # Without a manager LangChain tells its handlers of the chunks itself.
        manager = run_manager or calling_manager(sys._getframe(1))  # noqa: SLF001
        run = self._parts(messages, stop, manager, kwargs)
        with closing(run) as parts:
            for part in parts:
                for chunk in part.chunks():
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        # Without a manager LangChain tells its handlers of the chunks itself.
        manager = run_manager or calling_manager(sys._getframe(1))  # noqa: SLF001
        run = self._aparts(messages, stop, manager, kwargs)
        async with aclosing(run) as parts:
            async for part in parts:
                for chunk in part.chunks():
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        """Produce the events of LangChain's `version="v3"` without its bridge."""
        writer = EventWriter()
        with closing(self._parts(messages, stop, run_manager, kwargs)) as parts:
            for part in parts:
                if run_manager is not None and run_manager.handlers:
                    for chunk in part.chunks():
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield from part.events(writer)

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        """Produce the events of LangChain's `version="v3"` without its bridge."""
        writer = EventWriter()
        async with aclosing(self._aparts(messages, stop, run_manager, kwargs)) as parts:
            async for part in parts:
                if run_manager is not None and run_manager.handlers:
                    for chunk in part.chunks():
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                for event in part.events(writer):
                    yield event

    # ------------------------------------------------------------ tools and structure

    def bind(  # type: ignore[override] # LangChain's own return type is private
        self, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with arguments for all its calls.

        Unlike with LangChain's own, `bind_tools` and `with_structured_output` of the
        result keep them.
        """
        from langchain_cerebras_ext._binding import BoundChatCerebras

        return BoundChatCerebras(bound=self, kwargs=kwargs, config={})

    def with_config(
        self, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with a configuration for all its calls."""
        from langchain_cerebras_ext._binding import BoundChatCerebras

        merged = cast("RunnableConfig", {**(config or {}), **kwargs})
        return BoundChatCerebras(bound=self, kwargs={}, config=merged)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools that it may call.

        Args:
            tools: Functions, Pydantic classes, TypedDicts, LangChain tools, tool dicts
                in the form of OpenAI or Anthropic, or JSON Schemas with a title.
            tool_choice: `"auto"`, `"none"`; `"required"`, `"any"` or True to force a
                call; a tool's name, or a dict, to force that one.
            strict: Constrain the arguments to the tools' schemas; the same for all
                tools, as the service demands.
            parallel_tool_calls: Whether several calls may come at once.
            response_format: A schema for the answer that is no tool call.
            **kwargs: Further arguments of the call.

        Raises:
            CerebrasInvalidRequestError: A tool or the choice is wrong.
        """
        from langchain_cerebras_ext._tools import convert_tools, normalise_tool_choice

        wire = convert_tools(tools, strict=strict)
        bound: dict[str, Any] = {"tools": wire} if wire else {}
        choice = normalise_tool_choice(tool_choice, wire)
        if choice is not None:
            bound["tool_choice"] = choice
        if parallel_tool_calls is not None and wire:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            bound["response_format"] = self._response_format(response_format, wire)
        return self.bind(**bound, **kwargs)

    def _response_format(self, asked: Any, tools: Sequence[Any]) -> dict[str, Any]:
        from langchain_cerebras_ext._structured import wire_response_format

        return wire_response_format(asked, self.model_name, has_tools=bool(tools))

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[Any] | None = None,
        fallback: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return the model with answers in the shape of a schema.

        The schema is adapted to what the service can constrain, and the answer is
        checked against the schema as you gave it. An answer that is cut off, refused
        or no structure at all is an error with the raw message, never `None`.

        Args:
            schema: A Pydantic class, a TypedDict, or a JSON Schema with a title.
            method: `json_schema` constrains the answer itself, `function_calling` the
                arguments of a forced tool call; `json_mode` asks for some JSON, which
                your prompt must describe.
            include_raw: Return `{"raw", "parsed", "parsing_error"}` and never raise
                for what the model sent.
            strict: Constrain decoding to the schema. Default: where the model can.
            tools: Tools that the model may call instead of answering.
            fallback: With `json_schema`, take `function_calling` for a schema that
                cannot be expressed, instead of raising.
            **kwargs: None; other names are errors.

        Raises:
            SchemaNotSupportedError: The schema cannot be expressed; says which part.
            CerebrasInvalidRequestError: The arguments do not go together.
        """
        from langchain_cerebras_ext._structured import structured_output

        return structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            tools=tools,
            fallback=fallback,
            extra=kwargs,
        )

    # ------------------------------------------------------------------ token counts

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Raises:
            MissingExtraError: No tokenizer with this model's vocabulary is installed.
        """
        from langchain_cerebras_ext._tokens import encode_text

        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        tokens = encode_text(text, self.tiktoken_model_name or self.model_name)
        if tokens is None:
            msg = (
                f"No tokenizer with the vocabulary of {self.model_name} is installed: "
                "pip install 'langchain-cerebras-ext[tokens]' brings that of "
                "gpt-oss-120b. get_num_tokens() estimates without one."
            )
            raise MissingExtraError(msg)
        return tokens

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has, without a network.

        Exact where a tokenizer with the model's vocabulary is installed (the extra
        `tokens` has that of gpt-oss). Else an estimate: 0 to 35 % too high on samples
        of 24 languages, code and JSON, measured for gpt-oss; it can be too low for
        random base64, bare word lists and rare scripts, and for other vocabularies.
        """
        from langchain_cerebras_ext._tokens import count_text_tokens

        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return count_text_tokens(text, self.tiktoken_model_name or self.model_name)

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> int:
        """Return how many prompt tokens messages and tools will be, without a network.

        Counts the chat template, tool calls, tool schemas and images as well. Exact
        only in the text; the rest, and the text where no tokenizer is installed, is an
        estimate that leans to the high side.
        """
        from langchain_cerebras_ext._tokens import count_message_tokens

        del kwargs
        model = self.tiktoken_model_name or self.model_name
        return count_message_tokens(messages, model, tools=tools)


_SURELY = 1.35
"""Estimates of texts lie up to so much too high."""


_SENDERS = (
    "_generate",
    "_agenerate",
    "_generate_with_cache",
    "_agenerate_with_cache",
    "_stream",
    "_astream",
    "_stream_chat_model_events",
    "_astream_chat_model_events",
    "_iter_v2_events",  # of newer versions of LangChain
    "_aiter_v2_events",
    "_parts",
    "_aparts",
    "_request",
)


def _is_text(messages: list[BaseMessage]) -> bool:
    """Whether there is no image among the messages: their bytes are few tokens."""
    return all(
        isinstance(part, str) or part.get("type") in {"text", "reasoning", "thinking"}
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
    )


def _tell_notice(metadata: Mapping[str, Any], call: Call) -> None:
    """Say aloud what an answer's metadata say in silence.

    Where structure was asked for, an answer without it is an error anyhow.
    """
    notice = metadata.get("notice")
    asked = call.payload or {}
    forced = asked.get("tool_choice") not in (None, "auto", "none")
    if notice and not forced and "response_format" not in asked:
        warn_user(str(notice), CerebrasAnswerWarning)


class _Part(NamedTuple):
    """What one network read brought, or, at the end, what is said of the whole."""

    message_id: str | None
    model: str | None
    deltas: list[Delta]
    ending: Ending | None

    def chunks(self) -> list[ChatGenerationChunk]:
        """Return the part as chunks."""
        if self.ending is not None:
            return [build_last_chunk(self.ending)]
        return [build_chunk(delta, self.message_id) for delta in self.deltas]

    def events(self, writer: EventWriter) -> Iterator[MessagesData]:
        """Return the part as events."""
        if self.ending is not None:
            return writer.finish(self.ending)
        return writer.add(self.deltas, self.message_id, self.model)


def _parts_of(result: ChatResult) -> Iterator[_Part]:
    message = cast("AIMessage", result.generations[0].message)
    deltas, ending = parts_of_message(message)
    model = message.response_metadata.get("model_name")
    yield _Part(message.id, model, deltas, None)
    yield _Part(message.id, model, [], ending)


def _unwrap_reasoning(given: dict[str, Any]) -> dict[str, Any]:
    """Take OpenAI's `reasoning={"effort": ...}` for `reasoning_effort`."""
    rest = {name: value for name, value in given.items() if name != "reasoning"}
    asked = given["reasoning"]
    if asked is None:
        return rest
    if (
        isinstance(asked, Mapping)
        and set(asked) == {"effort"}
        and given.get("reasoning_effort") in (None, asked["effort"])
    ):
        return {**rest, "reasoning_effort": asked["effort"]}
    msg = (
        f"reasoning={asked!r} is not understood; pass reasoning_effort (none, low, "
        "medium, high) and reasoning_format."
    )
    raise CerebrasConfigurationError(msg)
