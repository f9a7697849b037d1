"""One call of one model: asked, timed, priced, judged; nothing of it raises."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from langchain_cerebras_ext._metadata import measured
from langchain_cerebras_ext.costs.report import Totals
from langchain_cerebras_ext.costs.tracker import track_costs
from langchain_cerebras_ext.errors import BudgetExceeded, mask_secrets
from langchain_cerebras_ext.routing._compare.results import Result
from langchain_cerebras_ext.routing.policy import kind_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_cerebras_ext.costs.tracker import CostTracker
    from langchain_cerebras_ext.routing._compare.prompts import Prompt

__all__ = ["TAG", "Contestant", "Job", "ask", "host_of"]

TAG: Final = "compare"
"""On the records of all calls of comparisons."""

WARM_UP: Final = "warm-up"
"""On the records of calls that are not measured."""

_LONGEST_ERROR: Final = 500


class Contestant(NamedTuple):
    """A model that takes part.

    Attributes:
        name: Its name in results; unique.
        model: It.
        host: Where its requests go; `None` where it says nothing of that.
    """

    name: str
    model: Runnable[Any, Any]
    host: str | None = None

    @property
    def streams(self) -> bool:
        """Whether answers come in parts, so that a first one can be timed."""
        model = self.model
        if not isinstance(model, BaseChatModel):
            return True
        cls, base = type(model), BaseChatModel
        is_able = cls._astream is not base._astream or cls._stream is not base._stream  # noqa: SLF001
        return is_able and model.disable_streaming is not True


# As the classes of LangChain's packages name it.
_ADDRESSES: Final = (
    "cerebras_api_base",
    "openai_api_base",
    "anthropic_api_url",
    "groq_api_base",
    "endpoint",
    "base_url",
)


def host_of(model: Runnable[Any, Any]) -> str | None:
    """Return the host, and port, of a model's service, as far as the model says it."""
    for name in _ADDRESSES:
        url = getattr(model, name, None)
        if isinstance(url, str) and url:
            try:
                # What stands before the @ may be secret.
                return urlsplit(url).netloc.rpartition("@")[2].lower() or None
            except ValueError:
                return None  # the call says what is wrong with it
    return None


class Job(NamedTuple):
    """A call to be made; `repeat` is negative where it is not measured."""

    contestant: Contestant
    prompt: Prompt
    repeat: int


class _Answer:
    """What comes of a call, with the times of it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._first: float | None = None
        self._parts: list[Any] = []

    def add(self, part: Any) -> None:
        if self._first is None and _has_content(part):
            self._first = self._clock()
        self._parts.append(part)

    @property
    def message(self) -> BaseMessage | None:
        """The whole; `None` where a chain gave texts, or nothing came."""
        parts = [one for one in self._parts if isinstance(one, BaseMessage)]
        if not parts:
            return None
        chunks = [one for one in parts if isinstance(one, AIMessageChunk)]
        if len(chunks) < len(parts):
            return parts[-1]
        first, *rest = chunks
        return first + rest if rest else first

    @property
    def text(self) -> str:
        """What has come, which need not be whole."""
        return "".join(
            str(one.text) if isinstance(one, BaseMessage) else str(one)
            for one in self._parts
        )

    def told(self, *, streams: bool) -> dict[str, Any]:
        """Return what a result says of an answer that ends now."""
        total = self._clock() - self._began
        message = self.message
        metadata: dict[str, Any] = getattr(message, "response_metadata", {})
        lost = _lost(metadata)
        latency = max(total - lost, 0.0)
        ttft = None
        if streams and self._first is not None:
            ttft = max(self._first - self._began - lost, 0.0)
        tokens = _tokens(message)
        speed = measured(
            elapsed_s=latency,
            first_token_s=ttft,
            output_tokens=tokens.get("output_tokens"),
        )
        return {
            "total_s": total,
            "latency_s": latency,
            "ttft_s": ttft,
            "output_tokens_per_s": speed.get("output_tokens_per_s"),
            "finish_reason": metadata.get("finish_reason"),
            **tokens,
        }


def _has_content(part: Any) -> bool:
    if not isinstance(part, BaseMessage):
        return bool(part)
    content: Any = part.content
    if isinstance(content, str):
        is_there = bool(content)
    else:
        is_there = any(map(_is_full, content))
    return bool(
        is_there
        or getattr(part, "tool_call_chunks", None)
        or part.additional_kwargs.get("reasoning_content")
    )


def _is_full(block: Any) -> bool:
    """Whether a block of content has more than its type and place."""
    if isinstance(block, str):
        return bool(block)
    return any(
        value for key, value in block.items() if key not in {"type", "index", "id"}
    )


def _lost(metadata: Mapping[str, Any]) -> float:
    """Return the seconds before the try that answered: failed ones, and waits.

    This package's models tell of them. Another package's retries are hidden in it.
    """
    lost = 0.0
    times = metadata.get("measured")
    if isinstance(times, dict):
        lost += cast("dict[str, float]", times).get("rate_limiter_wait_s", 0.0)
    failed = metadata.get("failed_attempts")
    if isinstance(failed, list) and failed:
        last = cast("list[dict[str, float]]", failed)[-1]
        lost += last.get("elapsed_s", 0.0) + last.get("wait_s", 0.0)
    return lost


def _tokens(message: BaseMessage | None) -> dict[str, Any]:
    usage: Mapping[str, Any] = getattr(message, "usage_metadata", None) or {}
    names = ("input_tokens", "output_tokens")
    return {name: usage[name] for name in names if name in usage}


async def ask(
    job: Job,
    *,
    run: str,
    timeout_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Make a call, and return what came of it.

    Args:
        job: The call.
        run: The comparison's id.
        timeout_s: Seconds that it may take in all.
        clock: Monotonic seconds.

    Raises:
        BudgetExceeded: A budget does not allow the call for now.
    """
    contestant, prompt, repeat = job
    began = datetime.now(UTC)
    said: dict[str, Any] = {}
    arm = None if repeat < 0 else contestant.name
    with track_costs(arm=arm) as costs:
        answer = _Answer(clock)
        try:
            async with asyncio.timeout(timeout_s):
                await _read(job, run, answer)
            said = answer.told(streams=contestant.streams)
        except asyncio.CancelledError as error:
            costs.settle_open_calls()
            if _is_asked_to_end():
                raise
            said = _failure(error)
        except BudgetExceeded as error:
            if error.estimate is not None:
                raise
            said = _failure(error)  # unpriced: there is no sense in waiting
        except Exception as error:  # noqa: BLE001 - one call never ends the rest
            costs.settle_open_calls()
            said = _failure(error)
    found: dict[str, Any] = {"text": answer.text, **said, **_costs(costs)}
    return Result(
        model=contestant.name,
        prompt=prompt.id,
        repeat=repeat,
        digest=prompt.digest,
        host=contestant.host,
        started_at=began,
        run=run,
        **found,
    )


async def _read(job: Job, run: str, answer: _Answer) -> None:
    config: RunnableConfig = {
        "run_name": TAG,
        "tags": [WARM_UP] if job.repeat < 0 else [],
        "metadata": {
            # What is not measured is of no arm.
            **({} if job.repeat < 0 else {"experiment_arm": job.contestant.name}),
            "compare_run": run,
            "compare_prompt": job.prompt.id,
            "compare_repeat": job.repeat,
        },
    }
    parts = job.contestant.model.astream(list(job.prompt.messages), config=config)
    # A stream that is left in the middle is closed, and so is its connection.
    async with aclosing(cast("AsyncGenerator[Any]", parts)) as stream:
        async for part in stream:
            answer.add(part)


def _is_asked_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> dict[str, Any]:
    text = " ".join(mask_secrets(str(error)).split())
    return {
        "kind": kind_of(error),
        "error_type": type(error).__name__,
        "error": text[:_LONGEST_ERROR] or None,
    }


def _costs(costs: CostTracker) -> dict[str, Any]:
    """Return what a call cost, retries and a router's other legs included."""
    records = costs.records
    totals = Totals()
    for record in records:
        totals.add(record)
    is_known = any(record.cost is not None for record in records)
    tries = sum(record.attempts for record in records if record.outcome != "retried")
    found: dict[str, Any] = {
        "attempts": max(tries, 1),
        "cost_usd": totals.cost if is_known else None,
        # A call that nobody has metered costs nobody knows what.
        "unpriced": totals.unpriced_calls if records else 1,
        "uncounted": totals.calls_without_usage,
        "estimated": totals.estimated_calls,
        "half_counted": totals.half_counted_calls,
    }
    if records and _all_cached(records):
        nothing = ("total_s", "latency_s", "ttft_s", "output_tokens_per_s")
        found |= {"is_cached": True, "attempts": 0, **dict.fromkeys(nothing)}
    return found


def _all_cached(records: Sequence[Any]) -> bool:
    return all(record.outcome == "cache_hit" for record in records)
