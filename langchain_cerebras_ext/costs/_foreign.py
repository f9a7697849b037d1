"""What other providers' answers say of their tokens, in the words of a record; pure.

LangChain has a standard form for usage, and every integration its own way into it: on
the message or beside it, on one of `n` answers or on all of them, with the details
renamed by the service tier, with parts that are in their whole or come on top of it.

Source: the sources of `langchain-openai` 1.7, `langchain-anthropic` 1.7,
`langchain-google-genai` 4.4, `langchain-groq` 1.1, `langchain-mistralai` 1.1,
`langchain-ollama` 1.1, `langchain-aws` 1.9 and of `langchain-core` 1.7.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from langchain_cerebras_ext._metadata import to_usage_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from langchain_core.outputs import Generation, LLMResult

__all__ = ["ForeignUsage", "provider_of", "text_of", "texts_in", "usage_of"]

# `langchain-openai` puts the tier before the names of the details.
_TIERS: Final = ("flex", "priority")
# `langchain-anthropic` and `langchain-aws` tell what was written to the cache by how
# long it is kept, and then nothing under the general name.
_WRITTEN: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_SHORTEST_NAME: Final = 4


class ForeignUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer says of itself. `None` is not said.

    Parts are contained in their whole, as in `UsageRecord`, whose names these are.

    Attributes:
        model_served: The model that answered.
        provider: LangChain's name of the provider.
        service_tier: The service's tier that served it.
        input_tokens: Prompt tokens, with those of the cache.
        cached_input_tokens: Of them, read from the prompt cache.
        cache_write_tokens: Of them, written to the prompt cache.
        cache_write_1h_tokens: Of those, what is kept for an hour, and costs more.
        image_tokens: Of the prompt tokens, images.
        audio_tokens: Of the prompt tokens, sound.
        output_tokens: Completion tokens of all answers together, with reasoning.
        audio_output_tokens: Of them, sound.
        reasoning_tokens: Of them, reasoning.
        accepted_prediction_tokens: Of them, predicted rightly.
        rejected_prediction_tokens: Of them, predicted wrongly.
        choices: How many answers there are.
        cache_hit: LangChain's cache has answered: nothing is to be paid.
        with_sibling: Several prompts of a text completion were sent together, and the
            first one's result has the tokens of all.
    """

    model_served: str | None = None
    provider: str | None = None
    service_tier: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    output_tokens: int | None = None
    audio_output_tokens: int | None = None
    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    choices: int = 0
    cache_hit: bool = False
    with_sibling: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the answer says how many tokens it took."""
        return self.input_tokens is not None

    def counts(self) -> dict[str, int]:
        """Return the tokens under the names that `UsageRecord` has for them."""
        named = {name: getattr(self, name) for name in _COUNTS}
        return {name: count for name, count in named.items() if count is not None}

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens as LangChain's `UsageMetadata`; `None` where not known.

        In it too, parts are in their whole, and no tier is in the names.
        """
        if self.input_tokens is None:
            return None
        output = self.output_tokens or 0
        inputs = {
            "cache_read": self.cached_input_tokens,
            "cache_creation": self.cache_write_tokens,
            _WRITTEN[1]: self.cache_write_1h_tokens,
            "image": self.image_tokens,
            "audio": self.audio_tokens,
        }
        outputs = {
            "audio": self.audio_output_tokens,
            "reasoning": self.reasoning_tokens,
            "accepted_prediction": self.accepted_prediction_tokens,
            "rejected_prediction": self.rejected_prediction_tokens,
        }
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": output,
            "total_tokens": self.input_tokens + output,
            "input_token_details": {k: v for k, v in inputs.items() if v is not None},
            "output_token_details": {k: v for k, v in outputs.items() if v is not None},
        }


_COUNTS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)


def usage_of(response: LLMResult | None) -> ForeignUsage:
    """Return what an end of a run says of its tokens.

    Args:
        response: What `on_llm_end` is given, or `on_llm_error` as `response`.
    """
    if response is None:
        return ForeignUsage()
    answers = [one for several in response.generations for one in several]
    said = [_message_usage(one) for one in answers]
    outer = response.llm_output or {}
    counts = _summed(_counts(usage) for usage in _own_usages(response.generations))
    if counts is None:
        counts = _counts(_beside(answers, outer))
    return ForeignUsage(
        model_served=_first(_names(answers, outer, "model_name", "model")),
        provider=_first(_names(answers, outer, "model_provider")),
        service_tier=_tier(said, answers, outer),
        choices=len(answers),
        cache_hit=any(_is_free(usage) for usage in said),
        with_sibling=counts is None and _is_emptied(answers, outer),
        **({} if counts is None else counts),
    )


def provider_of(
    metadata: Mapping[str, Any] | None, said: ForeignUsage | None = None
) -> str | None:
    """Return whose model a run's was, under LangChain's name.

    Args:
        metadata: The run's, as its start tells it.
        said: What its end said; it wins where the two differ only in that the start
            names nobody.
    """
    named = (metadata or {}).get("ls_provider")
    if isinstance(named, str) and named:
        return named
    return said.provider if said is not None else None


# ------------------------------------------------------------------ where usage is


def _message_usage(answer: Generation) -> Mapping[str, Any] | None:
    """Return the standard usage of an answer: its message's, or that put beside it."""
    message = getattr(answer, "message", None)
    for usage in (
        getattr(message, "usage_metadata", None),
        (answer.generation_info or {}).get("usage_metadata"),
    ):
        if isinstance(usage, dict):
            return usage
    return None


def _own_usages(
    generations: Sequence[Sequence[Generation]],
) -> Iterator[Mapping[str, Any]]:
    """Give each usage once.

    The `n` answers of one request come with the request's usage on the first of them,
    or on every one. Where they differ, each has its own.
    """
    for answers in generations:
        given: list[Mapping[str, Any]] = []
        for answer in answers:
            usage = _message_usage(answer)
            if usage is not None and usage not in given:
                given.append(usage)
        yield from given


def _beside(
    answers: Sequence[Generation], outer: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the usage of a whole result where no answer has one in standard form."""
    places: list[Mapping[str, Any]] = [outer]
    for answer in answers:
        metadata = getattr(getattr(answer, "message", None), "response_metadata", None)
        places += [metadata or {}, answer.generation_info or {}]
    for place in places:
        for name in ("token_usage", "usage"):
            found = place.get(name)
            if isinstance(found, dict):
                usage = _as_standard(found)
                if usage:
                    return usage
        if "eval_count" in place:
            return {
                # Ollama leaves it out where the prompt was in its memory.
                "input_tokens": place.get("prompt_eval_count", 0),
                "output_tokens": place["eval_count"],
            }
    return None


def _as_standard(usage: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "input_tokens" in usage or "output_tokens" in usage:
        return usage
    found = to_usage_metadata(usage)
    return None if found is None else {**found}


def _is_emptied(answers: Sequence[Generation], outer: Mapping[str, Any]) -> bool:
    """Whether core took the tokens away, since the first prompt's result has them.

    It does so with text completions only.
    """
    plain = not any(hasattr(answer, "message") for answer in answers)
    return plain and outer.get("token_usage") == {}


def _is_free(usage: Mapping[str, Any] | None) -> bool:
    """Whether core has put its mark on an answer of the cache: the number 0."""
    cost = (usage or {}).get("total_cost")
    return isinstance(cost, int) and cost == 0


# ------------------------------------------------------------------ what usage says


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int | None] | None:
    """Return tokens with all parts in their whole; `None` if there are none at all.

    A call without a single token has not been: zeros are an integration's way to say
    that it was told nothing. And a side that is missing or below zero is not free: then
    nothing is taken for known.
    """
    if usage is None:
        return None
    whole_in, whole_out = _wholes(usage)
    if whole_in is None or whole_out is None or not whole_in + whole_out:
        return None
    ins = usage.get("input_token_details")
    outs = usage.get("output_token_details")
    cached, written = _part(ins, "cache_read"), _written(ins)
    reasoning = _part(outs, "reasoning")
    beside_in, beside_out = _outside(
        _whole(usage.get("total_tokens")),
        _Side(whole_in, (cached or 0) + (written or 0)),
        _Side(whole_out, reasoning or 0),
    )
    return {
        "input_tokens": whole_in + beside_in,
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": _part(ins, _WRITTEN[1]),
        "image_tokens": _part(ins, "image"),
        "audio_tokens": _part(ins, "audio"),
        "output_tokens": whole_out + beside_out,
        "audio_output_tokens": _part(outs, "audio"),
        "reasoning_tokens": reasoning,
        "accepted_prediction_tokens": _part(outs, "accepted_prediction"),
        "rejected_prediction_tokens": _part(outs, "rejected_prediction"),
    }


def _wholes(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens of prompt and completion; one alone with the sum of both."""
    ins = _whole(usage.get("input_tokens"))
    outs = _whole(usage.get("output_tokens"))
    total = _whole(usage.get("total_tokens"))
    if total is not None:
        if ins is None and outs is not None and "input_tokens" not in usage:
            ins = max(total - outs, 0)
        elif outs is None and ins is not None and "output_tokens" not in usage:
            outs = max(total - ins, 0)
    return ins, outs


class _Side(NamedTuple):
    whole: int
    parts: int


def _outside(total: int | None, ins: _Side, outs: _Side) -> tuple[int, int]:
    """Return what prompt and completion leave out of their own parts.

    Standard usage has parts in their wholes. Some integrations pass on services that
    count cached or reasoning tokens on top: a part is then larger than its whole, or
    the total is larger by just that part.
    """
    gap = 0 if total is None else total - ins.whole - outs.whole
    both = 0 < gap == ins.parts + outs.parts
    of_output = outs.parts > outs.whole or both or 0 < gap == outs.parts
    of_input = ins.parts > ins.whole or both or (0 < gap == ins.parts and not of_output)
    return ins.parts if of_input else 0, outs.parts if of_output else 0


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < math.inf else None  # NaN is neither


def _part(details: Any, name: str) -> int | None:
    """Return a detail, whatever tiers its name has; their counts are added."""
    if not isinstance(details, dict):
        return None
    names = (name, *(f"{tier}_{name}" for tier in _TIERS))
    return _added([_whole(details.get(known)) for known in names])


def _written(details: Any) -> int | None:
    """Return what was written to the cache.

    Older releases give the whole beside its parts by time, newer ones a zero.
    """
    whole = _part(details, "cache_creation")
    by_time = _added([_part(details, name) for name in _WRITTEN])
    if whole is None or by_time is None:
        return by_time if whole is None else whole
    return max(whole, by_time)


def _added(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _summed(
    several: Iterable[dict[str, int | None] | None],
) -> dict[str, int | None] | None:
    known = [counts for counts in several if counts is not None]
    if len(known) < 2:  # noqa: PLR2004 - one needs no sum
        return known[0] if known else None
    return {name: _added(counts[name] for counts in known) for name in known[0]}


# -------------------------------------------------------------------- who has served


class Named(Protocol):
    """Values by name, as in a mapping."""

    def get(self, name: str, /) -> Any:
        """Return a value; `None` if there is none."""


def _names(
    answers: Iterable[Generation], outer: Mapping[str, Any], *keys: str
) -> Iterator[str]:
    """Give the names that a result has under some keys, the most particular first."""
    for answer in answers:
        message = getattr(answer, "message", None)
        for place in (
            getattr(message, "response_metadata", None),
            answer.generation_info,
        ):
            yield from texts_in(place, keys)
    yield from texts_in(outer, keys)


def texts_in(place: Named | None, keys: Iterable[str]) -> Iterator[str]:
    """Give the texts under some keys, once where chunks that were merged repeat one."""
    for key in keys:
        value = None if place is None else place.get(key)
        if isinstance(value, str) and value:
            yield _once(value)


def _once(name: str) -> str:
    """Return a name that merged chunks repeat, as `mistralmistral`, once."""
    period = (name + name).find(name, 1)
    return name[:period] if period >= _SHORTEST_NAME else name


def _first(names: Iterator[str]) -> str | None:
    return next(names, None)


def _tier(
    said: Iterable[Mapping[str, Any] | None],
    answers: Iterable[Generation],
    outer: Mapping[str, Any],
) -> str | None:
    named = _first(_names(answers, outer, "service_tier"))
    if named is not None:
        return named
    for usage in said:
        for side in ("input_token_details", "output_token_details"):
            details = (usage or {}).get(side)
            for tier in _TIERS:
                if isinstance(details, dict) and tier in details:
                    return tier
    return None


# ------------------------------------------------------------------------- its text


def text_of(arrived: Any) -> str:
    """Return all that a model wrote, to count its tokens: text, reasoning and calls.

    Args:
        arrived: A result, as `on_llm_end` and `on_llm_error` have it; a generation, a
            message, a chunk; a list of any of these; or `None`.
    """
    return "".join(_written_texts(arrived))


def _written_texts(arrived: Any) -> Iterator[str]:
    if isinstance(arrived, str):
        yield arrived
    elif isinstance(arrived, (list, tuple)):
        for one in arrived:
            yield from _written_texts(one)
    elif hasattr(arrived, "generations"):
        yield from _written_texts(arrived.generations)
    elif hasattr(arrived, "message"):
        yield from _message_texts(arrived.message)
    elif hasattr(arrived, "content"):
        yield from _message_texts(arrived)
    elif isinstance(getattr(arrived, "text", None), str):
        yield arrived.text


def _message_texts(message: Any) -> Iterator[str]:
    """Give reasoning, text and tool calls, each once.

    Standard blocks are not read here: they would parse what was cut off.
    """
    content = message.content
    blocks = [content] if isinstance(content, str) else content
    seen_reasoning = False
    for block in blocks:
        if isinstance(block, str):
            yield block
        elif isinstance(block, dict):
            kept = [block.get(name) for name in ("thinking", "reasoning", "text")]
            seen_reasoning = seen_reasoning or any(
                isinstance(text, str) for text in kept[:2]
            )
            yield from (text for text in kept if isinstance(text, str))
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and not seen_reasoning:
        yield reasoning
    yield from _call_texts(message)


def _call_texts(message: Any) -> Iterator[str]:
    # A chunk's raw fragments say what came; its calls are parsed from them.
    calls = getattr(message, "tool_call_chunks", None) or [
        *getattr(message, "tool_calls", ()),
        *getattr(message, "invalid_tool_calls", ()),
    ]
    for call in calls:
        yield call.get("name") or ""
        args = call.get("args")
        yield args if isinstance(args, str) else json.dumps(args) if args else ""
