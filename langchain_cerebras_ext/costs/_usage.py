"""Token counts out of whatever shape they come in, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Annotated, Any, Final, NamedTuple, NoReturn

from msgspec import Meta, Struct, ValidationError, convert

from langchain_cerebras_ext._metadata import to_usage_metadata
from langchain_cerebras_ext.errors import InvalidUsageError

__all__ = [
    "Counts",
    "RecordCounts",
    "TokenCounts",
    "ValidationError",
    "Whole",
    "bounded",
    "check_counts",
    "check_whole",
    "counts_of",
    "read_counts",
    "read_service",
    "read_standard",
    "to_whole",
]

MIXED_TIERS: Final = "mixed"
"""The tier of counts that were added up from several tiers; nobody prices it."""

_TIERS: Final = ("flex", "priority")
_UNSET: Final[Any] = object()
_DEPTH: Final = 4  # an answer, its usage, the object in it, its dict


class Counts(NamedTuple):
    """Token counts that do not contradict themselves; parts are in their whole.

    Attributes:
        input: Prompt tokens, all of them.
        cached: Of them, read from a cache.
        cache_write: Of them, written to a cache, for however long.
        image: Of them, images.
        output: Completion tokens, all of them.
        reasoning: Of them, reasoning.
        audio: Of the prompt, audio.
        cache_write_1h: Of `cache_write`, what is kept for an hour.
        audio_output: Of the completion, audio.
        service_tier: The tier that the counts name, if they name one.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    image: int = 0
    output: int = 0
    reasoning: int = 0
    audio: int = 0
    cache_write_1h: int = 0
    audio_output: int = 0
    service_tier: str | None = None


class RecordCounts(NamedTuple):
    """Token counts as a record has them, by its names and in its order.

    `None` was not told. They are taken for what they are, whatever they contradict.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    image_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


TokenCounts = tuple[
    int | None,
    int | None,
    int | None,
    int | None,
    int | None,
    int | None,
    int | None,
    int | None,
]
"""The same without the names, which take their time."""


_Count = Annotated[int, Meta(ge=0)]


class _PromptDetails(Struct, frozen=True, gc=False):
    cached_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _AnswerDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: _Count | None = None
    accepted_prediction_tokens: _Count | None = None
    rejected_prediction_tokens: _Count | None = None


class Whole(Struct, gc=False):
    """A `usage` block that has all that every answer has."""

    prompt_tokens: Annotated[int, Meta(gt=0)]
    completion_tokens: _Count
    image_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails = _PromptDetails()
    completion_tokens_details: _AnswerDetails = _AnswerDetails()


def to_whole(usage: Mapping[str, Any] | None) -> Whole:
    """Return a `usage` block that has all that every answer has.

    Raises:
        ValidationError: It has not.
    """
    return convert(usage, Whole)


def counts_of(whole: Whole) -> TokenCounts | None:
    """Return the counts of a block; `None` if a part is more than its whole."""
    ins, outs = whole.prompt_tokens_details, whole.completion_tokens_details
    image, cached, thought = ins.image_tokens, ins.cached_tokens, outs.reasoning_tokens
    if cached and cached > whole.prompt_tokens:
        return None
    if thought and thought > whole.completion_tokens:
        return None
    return (
        whole.prompt_tokens,
        cached,
        None,
        whole.image_tokens if image is None else image,
        whole.completion_tokens,
        thought,
        outs.accepted_prediction_tokens,
        outs.rejected_prediction_tokens,
    )


def read_service(usage: Mapping[str, Any] | None) -> TokenCounts | None:
    """Return the counts of a `usage` block of Cerebras's, as `to_usage_metadata` does.

    They are read as they come, which is much quicker; odd ones are left to that.
    """
    try:
        found = counts_of(to_whole(usage))
    except ValidationError:
        found = None
    return found or read_standard(to_usage_metadata(usage))


def bounded(counts: TokenCounts) -> RecordCounts:
    """Return counts of which no part is more than its whole."""
    found = RecordCounts(*counts)
    cached, prompt = found.cached_input_tokens, found.input_tokens
    thought, answer = found.reasoning_tokens, found.output_tokens
    if cached is not None and prompt is not None and cached > prompt:
        found = found._replace(cached_input_tokens=prompt)
    if thought is not None and answer is not None and thought > answer:
        found = found._replace(reasoning_tokens=answer)
    return found


def read_standard(usage: Mapping[str, Any] | None) -> RecordCounts | None:
    """Return the counts of LangChain's `UsageMetadata`."""
    if usage is None:
        return None
    inputs: Mapping[str, int] = usage.get("input_token_details") or {}
    outputs: Mapping[str, int] = usage.get("output_token_details") or {}
    return RecordCounts(
        usage["input_tokens"],
        inputs.get("cache_read"),
        inputs.get("cache_creation"),
        inputs.get("image"),
        usage["output_tokens"],
        outputs.get("reasoning"),
        outputs.get("accepted_prediction"),
        outputs.get("rejected_prediction"),
    )


def read_counts(usage: Any) -> Counts:
    """Return the counts of a usage block, or of what carries one.

    Read are LangChain's `UsageMetadata`, also where a service tier has renamed its
    keys; the `usage` of chat completions (Cerebras, OpenAI and their like), of OpenAI's
    responses and of Anthropic's messages; as dictionaries or as the SDKs' objects; a
    message, a whole answer, a `UsageRecord`.

    Raises:
        InvalidUsageError: There are no counts, or they contradict themselves.
    """
    given: Mapping[str, Any] = usage if type(usage) is dict else _mapping_in(usage)
    if given.keys() <= _LANGCHAIN:
        return _read_langchain(given)
    if "prompt_tokens" in given or "completion_tokens" in given:
        return _read_chat(given)
    if not _LANGCHAIN_COUNTS.isdisjoint(given):
        if "cache_read_input_tokens" in given or "cache_creation_input_tokens" in given:
            return _read_anthropic(given)
        if "input_tokens_details" in given or "output_tokens_details" in given:
            return _read_responses(given)
        return _read_langchain(given)
    inner = given.get("usage") or given.get("usage_metadata")
    if inner is not None:
        return read_counts(inner)
    names = ", ".join(map(repr, given)) or "nothing"
    msg = (
        "The usage has no token counts: 'input_tokens' and 'output_tokens', or "
        f"'prompt_tokens' and 'completion_tokens', were expected; it holds {names}. An "
        "answer without usage is not free: count it as unknown."
    )
    raise InvalidUsageError(msg)


def _mapping_in(usage: Any) -> Mapping[str, Any]:
    """Return the mapping that an object is or carries."""
    found: Any = usage
    for _ in range(_DEPTH):
        if isinstance(found, Mapping):
            return found
        for name in ("usage_metadata", "usage"):
            inner = getattr(found, name, None)
            if inner is not None:
                found = inner
                break
        else:
            dump = getattr(found, "model_dump", None)
            if callable(dump) and not isinstance(found, type):
                found = dump()
            elif hasattr(found, "__struct_fields__"):
                found = {key: getattr(found, key) for key in found.__struct_fields__}
            else:
                break
    if isinstance(found, Mapping):
        return found
    msg = (
        f"A usage block was expected, not {type(usage).__name__}"
        f"{' without one' if usage is not None else ''}. Pass `usage_metadata` of a "
        "message, or the `usage` of an answer."
    )
    raise InvalidUsageError(msg)


# ---------------------------------------------------------------------------- shapes


_LANGCHAIN_COUNTS: Final = frozenset({"input_tokens", "output_tokens"})
_LANGCHAIN: Final = frozenset(
    {
        *_LANGCHAIN_COUNTS,
        "total_tokens",
        "input_token_details",
        "output_token_details",
    }
)


def _read_langchain(given: Mapping[str, Any]) -> Counts:
    inputs = given.get("input_token_details")
    outputs = given.get("output_token_details")
    whole, answer = _sides(given, "input_tokens", "output_tokens")
    if not inputs and not outputs:
        if given.get("total_tokens", _UNSET) == whole + answer:
            return Counts(whole, 0, 0, 0, answer)  # most calls
        return _checked(given, Counts(whole, output=answer))
    found: dict[str, int] = {}
    tiers: set[str | None] = set()
    _collect(inputs, "input_token_details", "in.", found, tiers)
    _collect(outputs, "output_token_details", "out.", found, tiers)
    get = found.get
    hour = get("in.ephemeral_1h_input_tokens", 0)
    by_ttl = hour + get("in.ephemeral_5m_input_tokens", 0)
    return _checked(
        given,
        Counts(
            input=whole,
            cached=get("in.cache_read", 0),
            # LangChain sets the plain count to 0 beside those by time to live; others
            # leave it as their sum.
            cache_write=max(get("in.cache_creation", 0), by_ttl),
            image=get("in.image", 0),
            output=answer,
            reasoning=get("out.reasoning", 0),
            audio=get("in.audio", 0),
            cache_write_1h=hour,
            audio_output=get("out.audio", 0),
            service_tier=_one_tier(tiers),
        ),
    )


_DETAILS: Final = frozenset(
    {
        "cache_read",
        "cache_creation",
        "image",
        "audio",
        "reasoning",
        "accepted_prediction",
        "rejected_prediction",
        "ephemeral_1h_input_tokens",
        "ephemeral_5m_input_tokens",
    }
)


def _collect(
    details: Any,
    where: str,
    side: str,
    found: dict[str, int],
    tiers: set[str | None],
) -> None:
    """Add details up under their plain names, and note the tiers in their keys."""
    if details is None:
        return
    if not isinstance(details, Mapping):
        _refuse(where, details, "must be a mapping of counts")
    for key, value in details.items():
        if value is None:  # not told
            continue
        if type(value) is not int or value < 0:
            value = check_whole(value, f"{where}.{key}")  # noqa: PLW2901
        if not value:
            continue
        name, tier = (key, None) if key in _DETAILS else _split_tier(str(key))
        if name:
            place = side + name
            found[place] = found.get(place, 0) + value
            tiers.add(tier)
        elif tier is not None:
            tiers.add(tier)


def _split_tier(key: str) -> tuple[str, str | None]:
    """Return a detail's plain name, and the service tier that stands before it.

    `flex_cache_read` is `cache_read` of the tier `flex`; `flex` alone counts the rest.
    What is no detail of ours has no name: it is priced as the rest of its side.
    """
    if key in _TIERS:
        return "", key
    for name in _DETAILS:
        if key.endswith(f"_{name}"):
            return name, key[: -len(name) - 1]
    return "", None


def _one_tier(tiers: set[str | None]) -> str | None:
    if len(tiers) > 1:
        return MIXED_TIERS
    return next(iter(tiers), None)


def _read_chat(given: Mapping[str, Any]) -> Counts:
    whole, answer = _sides(given, "prompt_tokens", "completion_tokens")
    ins = _part(given, "prompt_tokens_details")
    outs = _part(given, "completion_tokens_details")
    image = ins("image_tokens")
    if not image:  # some answers have it beside the details
        image = _optional(given.get("image_tokens"), "image_tokens")
    reasoning = outs("reasoning_tokens")
    total = given.get("total_tokens")
    if reasoning and total == whole + answer + reasoning:
        answer += reasoning  # some services count it beside the completion
    for name in ("accepted_prediction_tokens", "rejected_prediction_tokens"):
        _within(outs(name), name, answer, "completion_tokens")
    return _checked(
        given,
        Counts(
            input=whole,
            cached=ins("cached_tokens"),
            cache_write=ins("cache_write_tokens"),
            image=image,
            output=answer,
            reasoning=reasoning,
            audio=ins("audio_tokens"),
            audio_output=outs("audio_tokens"),
            service_tier=_tier_named(given),
        ),
    )


def _read_responses(given: Mapping[str, Any]) -> Counts:
    whole, answer = _sides(given, "input_tokens", "output_tokens")
    ins = _part(given, "input_tokens_details")
    outs = _part(given, "output_tokens_details")
    return _checked(
        given,
        Counts(
            input=whole,
            cached=ins("cached_tokens"),
            cache_write=ins("cache_write_tokens"),
            image=ins("image_tokens"),
            output=answer,
            reasoning=outs("reasoning_tokens"),
            audio=ins("audio_tokens"),
            audio_output=outs("audio_tokens"),
            service_tier=_tier_named(given),
        ),
    )


def _read_anthropic(given: Mapping[str, Any]) -> Counts:
    """Read counts whose `input_tokens` are what is neither read nor written."""
    plain, answer = _sides(given, "input_tokens", "output_tokens")
    read = _optional(given.get("cache_read_input_tokens"), "cache_read_input_tokens")
    by_ttl = _part(given, "cache_creation")
    hour = by_ttl("ephemeral_1h_input_tokens")
    written = max(
        _optional(
            given.get("cache_creation_input_tokens"), "cache_creation_input_tokens"
        ),
        hour + by_ttl("ephemeral_5m_input_tokens"),
    )
    whole = plain + read + written
    return check_counts(
        Counts(
            whole,
            read,
            written,
            output=answer,
            cache_write_1h=hour,
            service_tier=_tier_named(given),
        )
    )


def _tier_named(given: Mapping[str, Any]) -> str | None:
    tier = given.get("service_tier")
    return tier if isinstance(tier, str) else None


# ---------------------------------------------------------------------------- counts


def _sides(given: Mapping[str, Any], whole: str, answer: str) -> tuple[int, int]:
    """Return prompt and completion; one that is left out is the rest of the total."""
    first, second = given.get(whole), given.get(answer)
    if type(first) is int and type(second) is int and first >= 0 and second >= 0:
        return first, second
    if first is not None and second is not None:
        return check_whole(first, whole), check_whole(second, answer)
    total = given.get("total_tokens")
    known, name = (second, answer) if first is None else (first, whole)
    missing = whole if first is None else answer
    if total is None or known is None:
        msg = (
            f"The usage has no {missing!r}, and no 'total_tokens' that tells it. What "
            "was not counted is not free: pass 0 if there were none."
        )
        raise InvalidUsageError(msg)
    rest = check_whole(total, "total_tokens") - check_whole(known, name)
    if rest < 0:
        _refuse("total_tokens", total, f"is less than {name!r} alone ({known})")
    return (rest, int(known)) if first is None else (int(known), rest)


class _part:  # noqa: N801 - called like a function
    """The counts in a block of details; what is not told there is none."""

    __slots__ = ("_block", "_name")

    def __init__(self, given: Mapping[str, Any], name: str) -> None:
        block = given.get(name)
        if block is not None and not isinstance(block, Mapping):
            _refuse(name, block, "must be a mapping of counts")
        self._block: Mapping[str, Any] | None = block
        self._name = name

    def __call__(self, key: str) -> int:
        if not self._block:
            return 0
        return _optional(self._block.get(key), f"{self._name}.{key}")


def _optional(value: Any, name: str) -> int:
    return 0 if value is None else check_whole(value, name)


def check_whole(value: Any, name: str) -> int:
    """Return a count as an int.

    Raises:
        InvalidUsageError: It is no whole number, or negative.
    """
    if type(value) is int:
        if value < 0:
            _refuse(name, value, "must not be negative")
        return value
    if isinstance(value, (bool, float)):
        _refuse(name, value, "must be a whole number, an int")
    try:
        return check_whole(index(value), name)  # numpy's integers, and their like
    except TypeError:
        _refuse(name, value, "must be a whole number, an int")


def _refuse(name: str, value: Any, rule: str) -> NoReturn:
    msg = f"usage: {name}={value!r} {rule}."
    raise InvalidUsageError(msg)


def _checked(given: Mapping[str, Any], counts: Counts) -> Counts:
    total = given.get("total_tokens")
    if total is not None and total != counts.input + counts.output:
        check_whole(total, "total_tokens")
        msg = (
            f"usage: total_tokens={total} is not input and output together "
            f"({counts.input} + {counts.output}). Tokens that no side counts cannot be "
            "priced; correct the counts, or leave the total out."
        )
        raise InvalidUsageError(msg)
    return check_counts(counts)


def check_counts(counts: Counts) -> Counts:
    """Return counts whose parts fit into their whole.

    Raises:
        InvalidUsageError: A part exceeds its whole.
    """
    whole, cached, written, image, output, reasoning, audio, hour, spoken, _ = counts
    if cached + written > whole:
        msg = (
            f"usage: {cached} tokens read from and {written} written to the cache are "
            f"more than the {whole} of the prompt, of which they are part."
        )
        raise InvalidUsageError(msg)
    _within(image, "image tokens", whole, "prompt tokens")
    _within(audio, "audio tokens", whole, "prompt tokens")
    _within(hour, "tokens kept for an hour", written, "tokens written to the cache")
    _within(reasoning, "reasoning tokens", output, "completion tokens")
    _within(spoken, "audio tokens of the answer", output, "completion tokens")
    return counts


def _within(part: int, name: str, whole: int, of: str) -> None:
    if part > whole:
        msg = f"usage: {part} {name} are more than the {whole} {of} that hold them."
        raise InvalidUsageError(msg)
