"""What a request needs, what a leg can, and what it lacks.

What a leg can is looked up in the model catalog where it is one of Cerebras's, else in
LangChain's `model.profile`; what you say of it in `can=` wins. What nobody knows is
`None`, and no reason to refuse a leg unless `unknown="refuse"`.

Tokens are counted only where a prompt may be too long for a leg, and once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from langchain_core.messages import AIMessage, HumanMessage

from langchain_cerebras_ext._config import strip_provider
from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._blocks import countable, has_images, is_image
from langchain_cerebras_ext.routing._history.media import is_media
from langchain_cerebras_ext.routing._leg import Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from langchain_core.language_models.model_profile import ModelProfile
    from langchain_core.messages import BaseMessage

    from langchain_cerebras_ext.catalog import ModelCard
    from langchain_cerebras_ext.routing._leg import Leg

__all__ = [
    "Capabilities",
    "LegCard",
    "Need",
    "Sifted",
    "Size",
    "common_profile",
    "describe_lacks",
    "model_id_of",
    "need_of",
]

CEREBRAS: Final = "cerebras"

# ----------------------------------------------------------------- what a request needs


def need_of(
    messages: Sequence[BaseMessage],
    *,
    tools: Sequence[Any] | None = None,
    structured: bool = False,
    stream: bool = False,
    kwargs: Mapping[str, Any] | None = None,
) -> Need:
    """Return what a request asks of a leg; cheap, so no token is counted (see `Size`).

    Args:
        messages: The prompt.
        tools: What `bind_tools` takes; those in `kwargs` count as well.
        structured: The answer has to follow a schema, by whichever means.
        stream: The answer is asked for as a stream.
        kwargs: Arguments of the call, and those that are bound.
    """
    if not (kwargs or tools or structured or has_images(messages)):
        return _STREAMED if stream else _PLAIN  # as of most calls
    given = kwargs or {}
    most = (
        given.get("max_completion_tokens")
        or given.get("max_tokens")
        or given.get("max_output_tokens")
    )
    shape = _response_format(given.get("response_format"))
    return Need(
        tools=bool(tools or given.get("tools") or given.get("functions")),
        images=has_images(messages),
        structured=structured
        or shape is not None
        or bool(given.get("ls_structured_output_format")),
        max_output_tokens=most if isinstance(most, int) and most > 0 else None,
        stream=stream,
        response_format=shape,
    )


_PLAIN: Final = Need()
_STREAMED: Final = Need(stream=True)


def _response_format(asked: Any) -> str | None:
    if asked is None:
        return None
    if isinstance(asked, Mapping):
        kind = cast("Any", asked).get("type")
        if kind == "text":
            return None
        return "json_object" if kind == "json_object" else "json_schema"
    return "json_schema"


_PROMPT_SCAFFOLD: Final = 200
_MESSAGE_SCAFFOLD: Final = 32
_IMAGE_TOKENS: Final = 16_384
_TOOL_TOKENS: Final = 2_000
_BYTES_OF_A_CHARACTER: Final = 4


class Size:
    """How many tokens a prompt has: counted when asked for, once for each model.

    Args:
        messages: The prompt; a text is a message of the user's.
        tools: What `bind_tools` takes.
    """

    __slots__ = ("_bound", "_counts", "_messages", "_tools")

    def __init__(
        self,
        messages: Sequence[BaseMessage] | str,
        tools: Sequence[Any] | None = None,
    ) -> None:
        self._messages = messages
        self._tools = tools
        self._bound: int | None = None
        self._counts: dict[str | None, int] = {}

    @property
    def bound(self) -> int:
        """No prompt has more tokens: as many as its text has bytes; takes 1 us.

        Tools that are no dictionaries are guessed: their schemas are slow to make.
        """
        if self._bound is None:
            self._bound = _PROMPT_SCAFFOLD + _bound_of(self._messages, self._tools)
        return self._bound

    def count(self, model: str | None = None) -> int:
        """Return about how many tokens a prompt has, rather too many.

        Args:
            model: The model's id, for its vocabulary.
        """
        found = self._counts.get(model)
        if found is None:
            from langchain_cerebras_ext._tokens import count_message_tokens

            given = self._messages
            if isinstance(given, str):
                given = [HumanMessage(given)]
            messages = [countable(one) for one in given]
            found = count_message_tokens(messages, model, self._tools or None)
            self._counts[model] = found
        return found


def _bound_of(
    messages: Iterable[BaseMessage] | str, tools: Iterable[Any] | None
) -> int:
    total = 0
    if isinstance(messages, str):
        total, messages = _MESSAGE_SCAFFOLD + _bytes(messages), ()
    for message in messages:
        content = message.content
        if isinstance(content, str):
            total += _MESSAGE_SCAFFOLD + _bytes(content)
        else:
            total += _MESSAGE_SCAFFOLD + sum(map(_block_bound, content))
        if message.additional_kwargs:
            total += _bytes(str(message.additional_kwargs))
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                total += _MESSAGE_SCAFFOLD + _bytes(str(call))
    for tool in tools or ():
        if isinstance(tool, dict):
            total += _bytes(str(tool))
        else:
            said = getattr(tool, "description", None) or tool.__doc__ or ""
            total += _TOOL_TOKENS + _bytes(str(said))
    return total


def _bytes(text: str) -> int:
    """Return at least how many bytes a text has; no token has less than one."""
    return len(text) if text.isascii() else _BYTES_OF_A_CHARACTER * len(text)


def _block_bound(block: Any) -> int:
    if isinstance(block, str):
        return _bytes(block)
    if is_media(block) or is_image(block):
        return _IMAGE_TOKENS
    return _bytes(str(block))


# ----------------------------------------------------------------------- what a leg can


@dataclass(frozen=True, slots=True, kw_only=True)
class LegCard:
    """What a leg can; `None` where nobody knows.

    Attributes:
        tools: It calls tools.
        images: It takes images.
        structured_outputs: It takes a JSON schema for its answer.
        json_mode: It can be told to answer in JSON.
        tools_with_response_format: It takes tools and a schema in one request.
        streaming: It streams.
        streaming_with_tools: It streams tool calls.
        streaming_with_json_schema: It streams answers by a schema.
        streaming_with_json_object: It streams answers in JSON mode.
        context_tokens: The most that a prompt and its answer may have together.
        safe_context_tokens: Where sources disagree: what all of them allow.
        max_output_tokens: The longest answer.
        source: Who says so.
    """

    tools: bool | None = None
    images: bool | None = None
    structured_outputs: bool | None = None
    json_mode: bool | None = None
    tools_with_response_format: bool | None = None
    streaming: bool | None = None
    streaming_with_tools: bool | None = None
    streaming_with_json_schema: bool | None = None
    streaming_with_json_object: bool | None = None
    context_tokens: int | None = None
    safe_context_tokens: int | None = None
    max_output_tokens: int | None = None
    source: str = "nobody"

    @property
    def structured(self) -> bool | None:
        """Whether its answers can follow a schema, by a format or by a tool."""
        either = (self.structured_outputs, self.tools)
        if True in either:
            return True
        return None if None in either else False


UNKNOWN: Final = LegCard()
_FIELDS: Final = frozenset(one.name for one in fields(LegCard)) - {"source"}
_COUNTS: Final = frozenset(name for name in _FIELDS if name.endswith("_tokens"))


def card_of_model(card: ModelCard) -> LegCard:
    """Return what the catalog says of a model."""
    able = card.capabilities
    known = (card.context_tokens_paid, card.context_tokens_free)
    safe = card.safe_context_tokens
    context = max((one for one in (*known, safe) if one), default=None)
    return LegCard(
        tools=able.tools,
        images=able.vision,
        structured_outputs=able.structured_outputs,
        json_mode=able.json_mode,
        tools_with_response_format=able.tools_with_response_format,
        streaming=able.streaming,
        streaming_with_tools=able.streaming_with_tools,
        streaming_with_json_schema=able.streaming_with_json_schema,
        streaming_with_json_object=able.streaming_with_json_object,
        context_tokens=context,
        safe_context_tokens=safe or card.context_tokens_paid or context,
        max_output_tokens=card.safe_max_output_tokens or card.max_output_tokens_paid,
        source=f"the catalog's card of {card.id}",
    )


def card_of_profile(profile: Mapping[str, Any]) -> LegCard:
    """Return what LangChain's profile of a model says."""
    context = profile.get("max_input_tokens")
    return LegCard(
        tools=profile.get("tool_calling"),
        images=profile.get("image_inputs"),
        structured_outputs=profile.get("structured_output"),
        streaming_with_tools=profile.get("tool_call_streaming"),
        context_tokens=context,
        safe_context_tokens=context,
        max_output_tokens=profile.get("max_output_tokens"),
        source="LangChain's profile",
    )


def model_id_of(leg: Leg) -> str | None:
    """Return the id of a leg's model as its provider has it, without making it."""
    if leg.target is not None:
        return leg.target.model
    params = leg.model._get_ls_params()  # noqa: SLF001 - LangChain's own way
    name = params.get("ls_model_name")
    return str(name) if name else None


def _catalog_card(leg: Leg, on: date | None) -> ModelCard | None:
    if leg.provider != CEREBRAS:
        return None
    model = model_id_of(leg)
    return find_model(strip_provider(model), on=on) if model else None


def _profile_of(leg: Leg) -> Mapping[str, Any] | None:
    found: object = getattr(leg.model, "profile", None)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else None


# ---------------------------------------------------------------------- what is missing

Unknown = Literal["allow", "refuse"]
_MOST_KEPT: Final = 64


class Sifted(NamedTuple):
    """Legs, parted by whether they can take a request.

    Attributes:
        able: Those that can, in the order given.
        lacks: Of the others, by name: what each lacks.
        doubts: Of all, by name: what is not known, or may not fit.
    """

    able: tuple[Leg, ...]
    lacks: dict[str, tuple[str, ...]]
    doubts: dict[str, tuple[str, ...]]


class _Kept(NamedTuple):
    """How legs were parted, for all prompts of one need that surely fit.

    Attributes:
        table: The catalog's, at the time.
        legs: All of them.
        room: The most tokens of a prompt that fits, whichever leg gets it.
        found: How they were parted.
    """

    table: object
    legs: Sequence[Leg]
    room: float
    found: Sifted


class _Judged(NamedTuple):
    """What is missing for certain, what is not known, and what may not fit."""

    lacks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    tight: tuple[str, ...] = ()


_FINE: Final = _Judged()


class Capabilities:
    """Tells which legs can take a request, and what the others lack.

    A prompt that may just fit, as far as an estimate can say, goes to legs that surely
    hold it, if there are any, and else to those that may.

    Args:
        legs: Their names are checked against `can`, if given.
        can: What you know of legs, by name: a `LegCard` is all there is to know, a
            mapping of its fields is what is otherwise than the catalog or the profile
            says.
        unknown: Whether a leg is asked of which nobody knows whether it can.
        on: See the catalog from this day (UTC); as it is now if not given.
        said_by: What `can` was called where it was given, for what is told of it.

    Raises:
        CerebrasConfigurationError: `can` names no leg or field, or a value is wrong.

    Example:
        ```python
        from langchain_cerebras_ext.routing.capabilities import Capabilities

        able = Capabilities(
            can={"local::qwen3": {"tools": True, "context_tokens": 8192}}
        )
        ```
    """

    def __init__(
        self,
        legs: Iterable[Leg] | None = None,
        *,
        can: Mapping[str, LegCard | Mapping[str, Any]] | None = None,
        unknown: Unknown = "allow",
        on: date | None = None,
        said_by: str = "can",
    ) -> None:
        self._said_by = said_by
        self._can = _checked(can or {}, legs, said_by)
        if unknown not in {"allow", "refuse"}:
            msg = f"unknown={unknown!r} must be 'allow' or 'refuse'."
            raise CerebrasConfigurationError(msg)
        self._unknown = unknown
        self._on = on
        # By leg: the catalog's table at the time, and the card.
        self._cards: dict[str, tuple[object, LegCard]] = {}
        self._kept: dict[Need, _Kept] = {}

    @property
    def can(self) -> Mapping[str, LegCard | Mapping[str, Any]]:
        """What you know of legs, as it was given."""
        return MappingProxyType(self._can)

    # --------------------------------------------------------------------------- cards

    def card(self, leg: Leg, *, make: bool = True) -> LegCard:
        """Return what a leg can.

        Args:
            leg: The leg.
            make: Whether to make its model if that has to be asked. One that cannot be
                made is not known; whoever calls it learns why.
        """
        own = self._can.get(leg.name)
        if isinstance(own, LegCard):
            return own
        table = registry.table()
        kept = self._cards.get(leg.name)
        if kept is not None and kept[0] is table:
            return kept[1]
        found, holds = self._look_up(leg, make=make)
        if own:
            said = f"your {self._said_by}= for {leg.name}, and {found.source}"
            found = replace(found, **own, source=said)
            if "context_tokens" in own and "safe_context_tokens" not in own:
                found = replace(found, safe_context_tokens=found.context_tokens)
        if holds:
            self._cards[leg.name] = table, found
        return found

    def _look_up(self, leg: Leg, *, make: bool) -> tuple[LegCard, bool]:
        """Return a leg's card, and whether it holds as long as the catalog does."""
        try:
            if leg.target is None or leg.target.provider == CEREBRAS:
                card = _catalog_card(leg, self._on)
                if card is not None:
                    return card_of_model(card), True
            if not make and not leg.is_made:
                return UNKNOWN, False
            profile = _profile_of(leg)
        except Exception:  # noqa: BLE001 - a package is missing, a key: the call says so
            return UNKNOWN, False
        return (card_of_profile(profile) if profile else UNKNOWN), True

    def context_tokens(self, leg: Leg) -> int | None:
        """Return the largest prompt of a leg, if it is known."""
        return self.card(leg, make=False).context_tokens

    def larger(self, legs: Iterable[Leg], than: Leg) -> tuple[Leg, ...]:
        """Return the legs that hold more than another one, or may."""
        least = self.card(than).context_tokens or 0
        return tuple(
            leg
            for leg in legs
            if leg is not than and (self.card(leg).context_tokens or least + 1) > least
        )

    # ------------------------------------------------------------------------ requests

    def lacks(self, leg: Leg, need: Need, size: Size | None = None) -> tuple[str, ...]:
        """Return what a leg lacks for a request, in words; nothing if it can."""
        found = self._judge(leg, need, size, make=True)
        return found.lacks + (found.unknown if self._unknown == "refuse" else ())

    def sift(self, legs: Sequence[Leg], need: Need, size: Size | None = None) -> Sifted:
        """Return the legs that can take a request, and what the others lack.

        Legs whose models are not made yet, and are not Cerebras's, are not made for
        this unless what is unknown is refused: ask `lacks` before their turn.

        Args:
            legs: The legs.
            need: What the request asks.
            size: Counts its tokens, if `need` does not have them.
        """
        kept, table = self._kept.get(need), registry.table()
        if (
            kept is not None
            and kept.legs is legs
            and kept.table is table
            and (size is None or size.bound <= kept.room)
        ):
            return kept.found
        found = self._sift(legs, need, size)
        room = self._steady_room(legs, need, table)
        if room > 0 and (size is None or size.bound <= room):
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[need] = _Kept(table, legs, room, found)
        return found

    def _steady_room(self, legs: Sequence[Leg], need: Need, table: object) -> float:
        """Return up to which size of a prompt legs are always parted alike.

        0 where it may be otherwise the next time: a card is not known for good.
        """
        if need.input_tokens is not None or not isinstance(legs, tuple):
            return 0
        cards: list[LegCard] = []
        for leg in legs:
            card = self._can.get(leg.name)
            if not isinstance(card, LegCard):
                held, card = self._cards.get(leg.name, (None, UNKNOWN))
                if held is not table:
                    return 0
            cards.append(card)
        return min((_room(card, need) for card in cards), default=0)

    def _sift(self, legs: Sequence[Leg], need: Need, size: Size | None) -> Sifted:
        able: list[Leg] = []
        tight: list[Leg] = []
        lacks: dict[str, tuple[str, ...]] = {}
        doubts: dict[str, tuple[str, ...]] = {}
        refuses = self._unknown == "refuse"
        for leg in legs:
            found = self._judge(leg, need, size, make=refuses)
            if found is _FINE:
                able.append(leg)
                continue
            missing = found.lacks + (found.unknown if refuses else ())
            if missing:
                lacks[leg.name] = missing
                continue
            doubts[leg.name] = found.unknown + found.tight
            (tight if found.tight else able).append(leg)
        if tight and able:
            lacks |= {leg.name: doubts.pop(leg.name) for leg in tight}
        elif tight:
            able = tight
        return Sifted(tuple(able), lacks, doubts)

    def _judge(self, leg: Leg, need: Need, size: Size | None, *, make: bool) -> _Judged:
        card = self.card(leg, make=make)
        asked = [one for one in _demands(card, need) if one[0] is not True]
        tight = _fit(card, need, size, leg)
        if not asked and tight is None:
            return _FINE
        lacks = tuple(said for verdict, said in asked if verdict is False)
        unknown = tuple(f"perhaps {said}" for verdict, said in asked if verdict is None)
        if tight is None:
            return _Judged(lacks, unknown)
        verdict, said = tight
        if verdict is False:
            return _Judged((*lacks, said), unknown)
        return _Judged(lacks, unknown, (said,))


def _demands(card: LegCard, need: Need) -> Iterator[tuple[bool | None, str]]:
    """Yield whether a leg can do each thing that is needed, and what it is if not."""
    if need.images:
        yield card.images, "takes no images"
    if need.tools:
        yield card.tools, "does not call tools"
    if need.structured:
        yield card.structured, "cannot answer by a schema"
    shape = need.response_format
    if shape == "json_schema":
        yield card.structured_outputs, "takes no response_format 'json_schema'"
    elif shape == "json_object" and card.json_mode is False:
        yield False, "takes no response_format 'json_object'"
    # The rest is refused only where it is known: for few models anybody says so.
    if shape and need.tools and card.tools_with_response_format is False:
        yield False, "does not take tools together with a response_format"
    if need.stream:
        yield from _stream_demands(card, need, shape)


def _stream_demands(
    card: LegCard, need: Need, shape: str | None
) -> Iterator[tuple[bool, str]]:
    if card.streaming is False:
        yield False, "does not stream"
    if need.tools and card.streaming_with_tools is False:
        yield False, "does not stream tool calls"
    if shape == "json_schema" and card.streaming_with_json_schema is False:
        yield False, "does not stream answers by a schema"
    if shape == "json_object" and card.streaming_with_json_object is False:
        yield False, "does not stream response_format 'json_object'"


def _fit(
    card: LegCard, need: Need, size: Size | None, leg: Leg
) -> tuple[bool | None, str] | None:
    """Return why a request does not fit, or may not; `None` if it does.

    Refused is only what is too long however it is counted: services say themselves
    when an answer would not fit, and whether they cut it.
    """
    answer = need.max_output_tokens
    most = card.max_output_tokens
    if answer and most and answer > most:
        return None, f"answers with at most {most:,} tokens, and {answer:,} are asked"
    window = card.context_tokens
    if window is None or (need.input_tokens is None and size is None):
        return None
    room = _room(card, need)
    bound = need.input_tokens
    if bound is None:
        bound = cast("Size", size).bound
    if bound <= room:
        return None
    count, least = _count(need, size, leg)
    if count <= room:
        return None
    answers = f" and {answer:,} for the answer" if answer else ""
    said = f"holds {window:,} tokens, and the prompt has about {count:,}{answers}"
    return (False if least > window else None), said


def _room(card: LegCard, need: Need) -> float:
    """Return how many tokens a prompt may have, as far as all sources allow."""
    window = card.safe_context_tokens or card.context_tokens
    if card.context_tokens is None or window is None:
        return math.inf
    return window - (need.max_output_tokens or 1)


def _count(need: Need, size: Size | None, leg: Leg) -> tuple[int, int]:
    """Return how many tokens a prompt has, rather too many and rather too few."""
    from langchain_cerebras_ext.costs.planning import _least_tokens

    model = model_id_of(leg) or ""
    count = size.count(model) if size is not None else need.input_tokens or 0
    return count, _least_tokens(count, model)


def describe_lacks(lacks: Mapping[str, Iterable[str]]) -> str:
    """Return what each leg lacks in one sentence, for errors."""
    told = "; ".join(f"{name}: {', '.join(what)}" for name, what in lacks.items())
    return f"No leg can take this request ({told})." if told else "There is no leg."


# ----------------------------------------------------------------------------- profiles

# Of these the smallest is what all can; facts such as `open_weights` are not said.
_SMALLEST: Final = ("max_input_tokens", "max_output_tokens")
_FACTS: Final = frozenset({"open_weights"})


def common_profile(
    legs: Iterable[Leg], *, can: Mapping[str, LegCard | Mapping[str, Any]] | None = None
) -> ModelProfile:
    """Return what all legs can do, as LangChain's profile.

    An ability is there if all legs have it, `False` if one is known not to, and left
    out otherwise. Windows are the smallest that is known.

    Args:
        legs: The legs; their models are made.
        can: What you know of them, as `Capabilities` takes it.
    """
    own = _checked(can or {}, None, "can")
    profiles = [_own_profile(leg, own.get(leg.name)) for leg in legs]
    found: dict[str, Any] = {}
    for name in sorted({name for profile in profiles for name in profile}):
        values = [profile.get(name) for profile in profiles]
        known = [value for value in values if value is not None]
        if name in _SMALLEST:
            found[name] = min(known)
        elif any(value is False for value in known) and name not in _FACTS:
            found[name] = False
        elif len(known) == len(profiles) and all(one is True for one in known):
            found[name] = True
        elif name == "reasoning_effort_levels" and len(known) == len(profiles):
            levels = [one for one in known[0] if all(one in each for each in known)]
            found |= {name: levels} if levels else {}
    return cast("ModelProfile", found)


def _own_profile(leg: Leg, own: LegCard | dict[str, Any] | None) -> dict[str, Any]:
    """Return a leg's profile, with what its owner says of it."""
    found: dict[str, Any] = {}
    if not isinstance(own, LegCard):
        try:
            card = _catalog_card(leg, None)
            found = dict((card.to_profile() if card else _profile_of(leg)) or {})
        except Exception:  # noqa: BLE001 - it cannot be made: nothing is known
            found = {}
    if own is None:
        return found
    told = (
        {name: getattr(own, name) for name in _FIELDS}
        if isinstance(own, LegCard)
        else own
    )
    names = {
        "tools": "tool_calling",
        "images": "image_inputs",
        "streaming_with_tools": "tool_call_streaming",
        "context_tokens": "max_input_tokens",
        "max_output_tokens": "max_output_tokens",
    }
    found |= {
        to: told[name] for name, to in names.items() if told.get(name) is not None
    }
    # What agents make of it: a schema together with tools.
    native = told.get("structured_outputs")
    if native is not None:
        both = told.get("tools_with_response_format") is not False
        found["structured_output"] = bool(native and both)
    return found


# ---------------------------------------------------------------------------- arguments


def _checked(
    can: Mapping[str, LegCard | Mapping[str, Any]],
    legs: Iterable[Leg] | None,
    said_by: str,
) -> dict[str, LegCard | dict[str, Any]]:
    names = None if legs is None else {leg.name for leg in legs}
    for name, given in can.items():
        where = f"{said_by}={{{name!r}: ...}}"
        if names is not None and name not in names:
            msg = (
                f"{where}: there is no such leg; there are: {', '.join(sorted(names))}."
            )
            raise CerebrasConfigurationError(msg)
        if not isinstance(given, LegCard):
            _check_fields(where, given)
    return {
        name: given if isinstance(given, LegCard) else dict(given)
        for name, given in can.items()
    }


def _check_fields(where: str, given: object) -> None:
    if not isinstance(given, Mapping):
        msg = f"{where} must be a LegCard or a mapping of its fields."
        raise CerebrasConfigurationError(msg)
    for name, value in cast("Mapping[str, Any]", given).items():
        if name not in _FIELDS:
            names = ", ".join(sorted(_FIELDS))
            msg = f"{where}: there is no {name!r}; there are: {names}."
            raise CerebrasConfigurationError(msg)
        if value is None:
            continue
        is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not (is_count if name in _COUNTS else isinstance(value, bool)):
            rule = "a whole number above 0" if name in _COUNTS else "True or False"
            msg = f"{where}: {name}={value!r} must be {rule}, or None if not known."
            raise CerebrasConfigurationError(msg)
