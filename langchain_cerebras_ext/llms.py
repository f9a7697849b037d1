"""`CerebrasLLM`: text completion on Cerebras Inference as a LangChain LLM."""

from __future__ import annotations

import sys
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import Field, field_validator, model_validator

from langchain_cerebras_ext._client import aopen_stream, asend, open_stream, send
from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext._connection import CerebrasConnection, token_aware
from langchain_cerebras_ext._core_errors import join_langchain
from langchain_cerebras_ext._metadata import (
    PROVIDER,
    AnswerFacts,
    answer_metadata,
    measured,
    to_usage_metadata,
    tries,
)
from langchain_cerebras_ext._metering import calling_managers, hush, open_meter
from langchain_cerebras_ext._params import COMPLETION_PARAMS
from langchain_cerebras_ext._request import build_payload
from langchain_cerebras_ext._status import rate_limits
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models.base import LangSmithParams

    from langchain_cerebras_ext._client import (
        Answer,
        AsyncOpenStream,
        Call,
        OpenStream,
    )
    from langchain_cerebras_ext._params import Param

join_langchain()  # they may have been imported before LangChain

__all__ = ["CerebrasLLM"]

_G = TypeVar("_G", bound=Generation)

_MOST_THREADS = 32


class CerebrasLLM(CerebrasConnection, BaseLLM):
    """Text completion: a prompt in, its continuation out.

    For chat, tools and structured output use `ChatCerebras`; most models are tuned
    for it.

    Example:
        ```python
        from langchain_cerebras_ext import CerebrasLLM

        llm = CerebrasLLM(model="gpt-oss-120b", max_tokens=50)
        print(llm.invoke("Once upon a time"))
        ```

    Source: `/v1/completions` in the API's OpenAPI description of 2026-07.
    """

    temperature: float | None = None
    """Sampling temperature, 0 to 2."""
    top_p: float | None = None
    """Nucleus sampling, 0 to 1."""
    max_tokens: int | None = None
    """Tokens of the completion at most."""
    min_tokens: int | None = None
    """Tokens of the completion at least."""
    frequency_penalty: float | None = None
    """-2 to 2."""
    presence_penalty: float | None = None
    """-2 to 2."""
    logit_bias: dict[str, float] | None = None
    """Token id to bias, -100 to 100."""
    logprobs: int | None = None
    """Alternatives per token to return log probabilities for, 0 to 20."""
    n: int | None = None
    """Completions per prompt; every one is billed."""
    best_of: int | None = None
    """Completions made on the server, of which the best are returned, 0 to 20."""
    echo: bool | None = None
    """Return the prompt before the completion."""
    grammar_root: str | None = None
    """Rule of the service's grammar to begin with."""
    return_raw_tokens: bool | None = None
    """Return token ids."""
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    """Up to four texts that end the completion."""
    seed: int | None = None
    """For repeatable sampling, best effort."""
    prompt_cache_key: str | None = None
    """Routing hint for the prompt cache."""
    user: str | None = None
    """Your user's id."""
    stream_options: dict[str, Any] | None = None
    """Sent with streams as it is."""
    streaming: bool = False
    """Stream also under `invoke`; pieces reach callback handlers."""
    rate_limiter: Any = Field(default=None, exclude=True)
    """A `CerebrasRateLimiter`, to stay inside the limits."""

    _params: ClassVar[Mapping[str, Param]] = COMPLETION_PARAMS
    _path: ClassVar[str] = "/completions"
    _operation: ClassVar[str] = "text_completion"

    @field_validator("rate_limiter")
    @classmethod
    def _check_limiter(cls, value: Any) -> Any:
        if value is not None and not hasattr(value, "as_model_limiter"):
            msg = (
                f"rate_limiter is a {type(value).__name__}; text completion takes a "
                "CerebrasRateLimiter (langchain_cerebras_ext.rate_limiter)."
            )
            raise ValueError(msg)
        return token_aware(value)

    @model_validator(mode="after")
    def _report_version(self) -> Self:
        self._add_version("langchain-cerebras-ext", __version__)
        return self

    @property
    def _llm_type(self) -> str:
        return "cerebras-llm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "base_url": self.cerebras_api_base,
            **self._defaults(),
        }

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = strip_provider(
            str(kwargs.get("model") or self.model_name)
        )
        return params

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has, without a network."""
        from langchain_cerebras_ext._tokens import count_text_tokens

        return count_text_tokens(text, self.model_name)

    # ---------------------------------------------------------------------- requests

    def _request(
        self,
        prompt: str,
        stop: list[str] | None,
        kwargs: Any,
        *,
        stream: bool,
        run_manager: CallbackManagerForLLMRun
        | AsyncCallbackManagerForLLMRun
        | None = None,
    ) -> Call:
        if not prompt:
            msg = "The prompt is empty: the API needs text to continue."
            raise CerebrasInvalidRequestError(msg)
        payload, options = build_payload(
            self._defaults(),
            kwargs,
            params=COMPLETION_PARAMS,
            model=self.model_name,
            stop=stop,
            stream=stream,
            model_kwargs=self.model_kwargs,
            extra_body=self.extra_body,
            endings=self._endings(),
        )
        from langchain_cerebras_ext._tokens import count_text_tokens

        payload["prompt"] = prompt
        return self._call(
            payload,
            stream=stream,
            model=payload["model"],
            timeout=options.timeout,
            headers=options.headers,
            heard=run_manager.on_retry if run_manager else None,
            input_tokens=lambda: count_text_tokens(prompt, payload["model"]),
            meter=open_meter(run_manager) if run_manager else None,
        )

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        runs = calling_managers(sys._getframe(1), run_manager, len(prompts))  # noqa: SLF001
        if self._streams(kwargs):
            chunks = [
                list(self._stream(prompt, stop, run, **kwargs))
                for prompt, run in zip(prompts, runs, strict=True)
            ]
            return _joined([_sum(parts) for parts in chunks])
        calls = [
            self._request(prompt, stop, kwargs, stream=False, run_manager=run)
            for prompt, run in zip(prompts, runs, strict=True)
        ]
        transport = self._transport()
        if len(calls) == 1:
            answers = [send(transport, calls[0])]
        else:  # LangChain hands over as many prompts as may be under way at once.
            with ContextThreadPoolExecutor(min(len(calls), _MOST_THREADS)) as pool:
                answers = list(pool.map(lambda call: send(transport, call), calls))
        return self._result(calls, answers, runs)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        runs = calling_managers(sys._getframe(1), run_manager, len(prompts))  # noqa: SLF001
        if self._streams(kwargs):
            chunks = [
                [chunk async for chunk in self._astream(prompt, stop, run, **kwargs)]
                for prompt, run in zip(prompts, runs, strict=True)
            ]
            return _joined([_sum(parts) for parts in chunks])
        import asyncio

        calls = [
            self._request(prompt, stop, kwargs, stream=False, run_manager=run)
            for prompt, run in zip(prompts, runs, strict=True)
        ]
        answers = await asyncio.gather(
            *(asend(self._atransport(), call) for call in calls)
        )
        return self._result(calls, answers, runs)

    def _result(
        self, calls: list[Call], answers: list[Answer], runs: list[Any]
    ) -> LLMResult:
        """Return the completions of all prompts."""
        for call, run in zip(calls, runs, strict=True):
            hush(call.meter, run)
        pairs = zip(calls, answers, strict=True)
        return _joined([self._priced(call, _read(answer)) for call, answer in pairs])

    def _priced(self, call: Call, generations: list[_G]) -> list[_G]:
        """Say on the first completion what all of them cost, if that is tracked."""
        cost = call.meter.cost_usd if self.track_costs and call.meter else None
        if cost is not None:
            info = {**(generations[0].generation_info or {}), "cost_usd": cost}
            generations[0].generation_info = info
        return generations

    def _streams(self, kwargs: Mapping[str, Any]) -> bool:
        most = max(
            kwargs.get("n", self.n) or 1, kwargs.get("best_of", self.best_of) or 1
        )
        return self.streaming and most == 1

    def _check_stream(self, kwargs: Mapping[str, Any]) -> None:
        for name in ("n", "best_of"):
            value = kwargs.get(name, getattr(self, name))
            if isinstance(value, int) and value > 1:
                msg = (
                    f"{name}={value} cannot be streamed: a stream carries one "
                    f"completion. Use invoke or generate, or {name}=1."
                )
                raise UnsupportedFeatureError(msg)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        self._check_stream(kwargs)
        call = self._request(prompt, stop, kwargs, stream=True, run_manager=run_manager)
        stream = open_stream(self._transport(), call)
        hush(call.meter, run_manager)
        with closing(stream.batches()) as batches:
            for deltas in batches:
                for delta in deltas:
                    if delta.text:
                        chunk = GenerationChunk(text=delta.text)
                        if run_manager:
                            run_manager.on_llm_new_token(delta.text, chunk=chunk)
                        yield chunk
        yield self._priced(call, [_last(stream)])[0]

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        self._check_stream(kwargs)
        call = self._request(prompt, stop, kwargs, stream=True, run_manager=run_manager)
        stream = await aopen_stream(self._atransport(), call)
        hush(call.meter, run_manager)
        async with aclosing(stream.batches()) as batches:
            async for deltas in batches:
                for delta in deltas:
                    if delta.text:
                        chunk = GenerationChunk(text=delta.text)
                        if run_manager:
                            await run_manager.on_llm_new_token(delta.text, chunk=chunk)
                        yield chunk
        yield self._priced(call, [_last(stream)])[0]


def _read(answer: Answer) -> list[Generation]:
    """Return the completions of one prompt; usage stands on the first."""
    response = answer.response
    usage = to_usage_metadata(response.usage)
    facts = AnswerFacts()
    facts.update(response)
    timings = measured(
        elapsed_s=answer.elapsed_s,
        first_token_s=None,
        output_tokens=facts.output_tokens,
        limiter_wait_s=answer.limiter_wait_s,
    )
    generations: list[Generation] = []
    for number, choice in enumerate(
        sorted(response.choices or (), key=lambda c: c.index)
    ):
        tried = tries(answer.attempts, answer.failed)
        info = _info(facts, choice.finish_reason, answer.headers, tried)
        info["measured"] = timings
        if choice.logprobs:
            info["logprobs"] = choice.logprobs
        if usage and number == 0:
            info["usage_metadata"] = usage
        generations.append(Generation(text=choice.text or "", generation_info=info))
    return generations


def _last(stream: OpenStream | AsyncOpenStream) -> GenerationChunk:
    facts = stream.reader.facts
    tried = tries(stream.attempts, stream.failed)
    info = _info(facts, stream.reader.finish_reason, stream.headers, tried)
    info["measured"] = measured(
        elapsed_s=stream.elapsed_s,
        first_token_s=stream.first_token_s,
        output_tokens=facts.output_tokens,
        limiter_wait_s=stream.limiter_wait_s,
    )
    usage = to_usage_metadata(facts.usage)
    if usage:
        info["usage_metadata"] = usage
    if stream.reader.logprobs:
        info.update(stream.reader.logprobs)
    return GenerationChunk(text="", generation_info=info)


def _info(
    facts: AnswerFacts,
    reason: str | None,
    headers: Mapping[str, str],
    tried: Mapping[str, Any],
) -> dict[str, Any]:
    info = {"model_provider": PROVIDER, **answer_metadata(facts, reason), **tried}
    limits = rate_limits(headers)
    if limits:
        info["rate_limits"] = limits
    return info


def _sum(parts: list[GenerationChunk]) -> list[Generation]:
    text = "".join(part.text for part in parts)
    return [Generation(text=text, generation_info=parts[-1].generation_info)]


def _joined(generations: list[list[Generation]]) -> LLMResult:
    """Return the result of several prompts, with token counts as LangChain has them."""
    totals = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    metered = False
    for group in generations:
        usage = (group[0].generation_info or {}).get("usage_metadata")
        if usage:
            metered = True
            totals["prompt_tokens"] += usage["input_tokens"]
            totals["completion_tokens"] += usage["output_tokens"]
            totals["total_tokens"] += usage["total_tokens"]
    first = (generations[0][0].generation_info or {}) if generations else {}
    output: dict[str, Any] = {"model_name": first.get("model_name")}
    if metered:
        output["token_usage"] = totals
    return LLMResult(
        generations=[list(group) for group in generations], llm_output=output
    )
