"""Tools and tool choices in the API's form, and the arguments that come back.

Nothing here does I/O. Conversion is what costs; its results are kept, encoded, for as
long as the tool lives, and decoded afresh for each caller: a caller may change what it
gets, and binding the same tools again costs a few microseconds each.
"""

from __future__ import annotations

import json
import re
import weakref
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

import msgspec

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from langchain_core.tools import BaseTool

    from langchain_cerebras_ext.wire.types import Tool, ToolChoice

__all__ = [
    "ARGUMENTS_ERROR",
    "ToolCache",
    "convert_tools",
    "normalise_tool_choice",
    "parse_arguments",
    "tool_name",
]

ARGUMENTS_ERROR: Final = "Failed to parse tool call arguments as JSON"
"""The words of LangChain's event bridge, so that all paths tell the same."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_TOOL_KEYS = frozenset({"type", "function"})
_FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})
# Marks that other providers put on tools. They say nothing about the call itself, and
# the service refuses unknown keys; agents that change providers carry them along.
_FOREIGN_KEYS = frozenset(
    {
        "allowed_callers",
        "cache_control",
        "defer_loading",
        "eager_input_streaming",
        "input_examples",
    }
)
# Providers' own tools that come without a `type`.
_HOSTED_KEYS = frozenset(
    {
        "code_execution",
        "computer_use",
        "file_search",
        "google_maps",
        "google_search",
        "google_search_retrieval",
        "systemTool",
        "url_context",
    }
)


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


# --------------------------------------------------------------------------- the cache


@dataclass(slots=True)
class _Converted:
    """A function in the API's form, encoded."""

    name: str
    own_strict: bool | None
    plain: bytes
    """Without `strict`."""
    whole: bytes | None
    """The parameters with their definitions, where there are any."""
    adapted: bytes | None = None
    """With parameters in the strict subset; filled when first asked for."""


@dataclass(slots=True)
class _Entry:
    reference: weakref.ref[Any]
    fingerprint: object
    converted: _Converted


class ToolCache:
    """Keeps converted tools while the tools live.

    Objects are kept by identity, since most tools are not hashable; a tool whose name,
    description or argument schema was changed is converted again. Dicts are kept by
    their content, a bounded number of them. Safe to share between threads.
    """

    def __init__(self, max_dicts: int = 512) -> None:
        # No lock of our own: one dict operation is atomic, and a lock that another
        # thread holds at a fork would stay held in the child.
        self._objects: dict[int, _Entry] = {}
        self._from_bytes = lru_cache(max_dicts)(_convert_encoded)

    def __len__(self) -> int:
        return len(self._objects) + self._from_bytes.cache_info().currsize

    def get(self, tool: Any) -> _Converted:
        """Return a tool's conversion, from here if it is known."""
        if _is_dict(tool):
            return self._from_bytes(_encode(tool, "A tool dict"))
        key = id(tool)
        fingerprint = _fingerprint(tool)
        entry = self._objects.get(key)
        if (
            entry is not None
            and entry.reference() is tool
            and entry.fingerprint == fingerprint
        ):
            return entry.converted
        converted = _convert(tool)
        try:
            reference = weakref.ref(tool, _forgetting(self._objects, key))
        except TypeError:  # no weak references to it: converted each time
            return converted
        self._objects[key] = _Entry(reference, fingerprint, converted)
        return converted


def _forgetting(
    entries: dict[int, _Entry], key: int
) -> Callable[[weakref.ref[Any]], None]:
    def forget(reference: weakref.ref[Any]) -> None:
        # The id may belong to another tool by now.
        entry = entries.get(key)
        if entry is not None and entry.reference is reference:
            entries.pop(key, None)

    return forget


def _convert_encoded(tool: bytes) -> _Converted:
    return _convert(msgspec.json.decode(tool))


_shared_cache = ToolCache()
"""Shared by all models: the same tools are bound to many."""


def _fingerprint(tool: Any) -> object:
    """Return what a tool's conversion is made of, as far as people change it."""
    args_schema: object = getattr(tool, "args_schema", None)
    if _is_dict(args_schema):
        args_schema = _encode(args_schema, "The argument schema of a tool")
    return (
        getattr(tool, "name", None),
        getattr(tool, "description", None),
        getattr(tool, "__name__", None),
        getattr(tool, "__doc__", None),
        args_schema,
    )


# ---------------------------------------------------------------------------- one tool


def _convert(tool: Any) -> _Converted:
    function = _function_of(tool)
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = (
            f"{name!r} is not a function name that the service takes: letters, digits, "
            f"'_' and '-', 1 to 64 characters. Rename the tool."
        )
        raise CerebrasInvalidRequestError(msg)
    parameters = function.get("parameters")
    if parameters is not None and not _is_dict(parameters):
        msg = (
            f"The parameters of tool '{name}' must be a JSON Schema, a dict, "
            f"not {type(parameters).__name__}."
        )
        raise CerebrasInvalidRequestError(msg)
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        msg = f"strict={strict!r} on tool '{name}' must be True or False."
        raise CerebrasInvalidRequestError(msg)
    # The service takes no null for the others, and an empty text tells nothing.
    plain = {
        key: function[key]
        for key in ("name", "description", "parameters")
        if function.get(key) not in (None, "")
    }
    what = f"Tool '{name}'"
    whole = _with_definitions(tool)
    return _Converted(
        name, strict, _encode(plain, what), _encode(whole, what) if whole else None
    )


def _with_definitions(tool: Any) -> dict[str, Any] | None:
    """Return the parameters of a Pydantic class, or a tool that has one, with `$defs`.

    LangChain writes definitions out, which takes room that strict schemas do not have,
    and turns a recursion into "anything", which hides why it cannot be sent.
    """
    from langchain_core.utils.pydantic import is_pydantic_v2_subclass

    source: object = tool
    if getattr(tool, "args_schema", None) is not None:
        source = getattr(tool, "tool_call_schema", None)
    if not isinstance(source, type) or not is_pydantic_v2_subclass(source):
        return None
    schema: dict[str, Any] = source.model_json_schema()
    # The tool's description says it already.
    schema.pop("description", None)
    return schema if "$defs" in schema else None


def _function_of(tool: Any) -> dict[str, Any]:
    """Return the function part of a tool of any kind."""
    if _is_dict(tool):
        return _function_of_dict(tool)
    return _by_langchain(tool)


def _function_of_dict(tool: dict[str, Any]) -> dict[str, Any]:
    kind: object = tool.get("type")
    function: object = tool.get("function")
    if kind == "function" and _is_dict(function):
        inner = function
        _refuse_unknown_keys(tool, _TOOL_KEYS, str(inner.get("name")))
        return _checked_function(inner)
    if kind == "function" and "name" in tool:  # as OpenAI's Responses API has it
        return _checked_function({k: v for k, v in tool.items() if k != "type"})
    if kind == "function":
        msg = (
            "A tool of type 'function' needs a function: "
            '{"type": "function", "function": {"name": ..., "parameters": ...}}.'
        )
        raise CerebrasInvalidRequestError(msg)
    if "input_schema" in tool and kind in {None, "custom"}:  # as Anthropic has it
        return _by_langchain({k: v for k, v in tool.items() if k != "type"})
    if isinstance(kind, str) and kind != "object":
        raise _hosted(kind)
    if kind is None and len(tool) == 1 and tool.keys() <= _HOSTED_KEYS:
        raise _hosted(next(iter(tool)))
    return _by_langchain(tool)


def _checked_function(function: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown_keys(function, _FUNCTION_KEYS, str(function.get("name")))
    return function


def _refuse_unknown_keys(
    given: Mapping[str, Any], known: frozenset[str], name: str
) -> None:
    for key in sorted(map(str, given.keys() - known - _FOREIGN_KEYS)):
        close = get_close_matches(key, sorted(known), n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "Remove it."
        msg = f"Key '{key}' of tool '{name}' is not part of the API. {hint}"
        raise CerebrasInvalidRequestError(msg)


def _hosted(kind: str) -> UnsupportedFeatureError:
    msg = (
        f"Tool '{kind}' runs on another provider's servers; Cerebras offers function "
        "tools only. Write a function that does it, and bind that."
    )
    return UnsupportedFeatureError(msg)


def _by_langchain(tool: Any) -> dict[str, Any]:
    """Convert with LangChain's own rules."""
    from langchain_core.utils.function_calling import convert_to_openai_tool

    try:
        converted = convert_to_openai_tool(tool)
    except (ValueError, TypeError, AttributeError, KeyError, NameError) as error:
        msg = (
            f"Cannot make a tool of {_shown(tool)}: {_first_line(error)} Give a "
            "function with type hints, a Pydantic class, a TypedDict, a LangChain "
            "tool, or an OpenAI tool dict."
        )
        raise CerebrasInvalidRequestError(msg) from error
    if converted.get("type") != "function":
        raise _hosted(str(converted.get("name") or converted.get("type")))
    return cast("dict[str, Any]", converted["function"])


def _first_line(error: Exception) -> str:
    """Return the head of an error's text: LangChain's quote the whole tool."""
    return str(error).strip().partition("\n")[0].rstrip(".") + "."


def _encode(value: Any, what: str) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"{what} holds a value that is no JSON: {error}"
        raise CerebrasInvalidRequestError(msg) from error


# ---------------------------------------------------------------------------- all tools


def convert_tools(
    tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    strict: bool | None = None,
    cache: ToolCache | None = None,
) -> list[Tool]:
    """Convert tools of any kind that LangChain knows to the API's form.

    Args:
        tools: Functions, Pydantic classes, TypedDicts, LangChain tools, tool dicts in
            the form of OpenAI or Anthropic, or JSON Schemas with a title.
        strict: Set on every tool; with True the parameters are adapted to the strict
            subset. `None` keeps what the tool dicts say, if they agree.
        cache: Where conversions are kept; shared by default.

    Returns:
        New dicts that the caller may change, in the order given; a tool given twice
        comes once.

    Raises:
        CerebrasInvalidRequestError: A tool cannot be converted, a name is not allowed
            or stands for two different tools, or the tools' own `strict` differ.
        SchemaNotSupportedError: With strict tools, parameters that the strict subset
            cannot express.
        UnsupportedFeatureError: Another provider's hosted tool.
    """
    cache = _shared_cache if cache is None else cache
    known = _distinct(cache.get(tool) for tool in tools)
    strict = _uniform_strict(known, strict)
    if strict:
        for converted in known:
            if converted.adapted is None:
                converted.adapted = _adapt(converted)
    decoded: list[Tool] = []
    for converted in known:
        function = msgspec.json.decode(
            converted.adapted if strict and converted.adapted else converted.plain
        )
        if strict is not None:
            function["strict"] = strict
        decoded.append({"type": "function", "function": function})
    return decoded


def _distinct(known: Iterable[_Converted]) -> list[_Converted]:
    """Drop repetitions; two different tools of one name are refused.

    A Pydantic class and its JSON Schema are one tool given twice: they differ in the
    titles at most, which LangChain takes out of classes only.
    """
    kept: dict[str, _Converted] = {}
    for converted in known:
        first = kept.setdefault(converted.name, converted)
        if first is not converted and _untitled(first) != _untitled(converted):
            msg = (
                f"Two tools are named '{converted.name}'; a call could not say which "
                "it means. Rename one."
            )
            raise CerebrasInvalidRequestError(msg)
    return list(kept.values())


def _untitled(converted: _Converted) -> Any:
    return _without_titles(msgspec.json.decode(converted.plain)), converted.own_strict


def _without_titles(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_titles(item)
            for key, item in cast("dict[str, Any]", value).items()
            # A property of this name has a schema, not a text.
            if not (key == "title" and isinstance(item, str))
        }
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    return value


def _uniform_strict(known: Sequence[_Converted], strict: bool | None) -> bool | None:
    """Return the one `strict` of all tools: the API demands that it be equal."""
    own = {converted.name: converted.own_strict for converted in known}
    if strict is not None:
        contrary = [name for name, value in own.items() if value is (not strict)]
        if contrary:
            msg = (
                f"strict={strict} was asked for, but {_list(contrary)} "
                f"{'says' if len(contrary) == 1 else 'say'} strict={not strict}. "
                "Take `strict` out of the tool or out of the call: all tools of a "
                "request must have the same."
            )
            raise CerebrasInvalidRequestError(msg)
        return strict
    values = set(own.values())
    if len(values) <= 1:
        return values.pop() if values else None
    told = "; ".join(
        f"{word} on {_list([name for name, value in own.items() if value is said])}"
        for said, word in (
            (True, "strict=True"),
            (False, "strict=False"),
            (None, "not set"),
        )
        if said in values
    )
    msg = (
        f"All tools of a request must have the same `strict`, but it is {told}. "
        "Pass strict=True or strict=False for all of them, and take it out of the "
        "tools."
    )
    raise CerebrasInvalidRequestError(msg)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _adapt(converted: _Converted) -> bytes:
    """Return a function whose parameters fit the strict subset, encoded."""
    from langchain_cerebras_ext._schema import strict_schema

    function = msgspec.json.decode(converted.plain)
    parameters: dict[str, Any] | None = function.get("parameters")
    if converted.whole is not None:
        parameters = msgspec.json.decode(converted.whole)
    # A function without arguments must say so.
    parameters = parameters or {"type": "object", "properties": {}}
    try:
        adapted = strict_schema(parameters, converted.name)
    except SchemaNotSupportedError as error:
        msg = f"{error.message} Or bind the tools with strict=False."
        raise SchemaNotSupportedError(msg, path=error.path) from error
    function["parameters"] = adapted
    return msgspec.json.encode(function)


# -------------------------------------------------------------------------- tool choice


def tool_name(tool: Any) -> str:
    """Return the name under which a tool of any kind is sent."""
    return _shared_cache.get(tool).name


def normalise_tool_choice(
    tool_choice: Any, tools: Sequence[Mapping[str, Any]]
) -> ToolChoice | None:
    """Return a tool choice in the API's form, or `None` to leave it out.

    Args:
        tool_choice: `"auto"`, `"none"`, `"required"`, `"any"`, True, a tool's name, a
            tool itself, or a dict in the form of OpenAI or Anthropic; `None` or False
            for no choice.
        tools: The tools of the request, in the API's form.

    Raises:
        CerebrasInvalidRequestError: The choice names no tool of the request, has a
            form that nobody knows, or comes without tools.
        UnsupportedFeatureError: A kind of choice that the API does not offer.
    """
    if tool_choice is None or tool_choice is False:
        return None
    names: list[str] = [tool["function"]["name"] for tool in tools]
    choice = _choice_word(tool_choice)
    if not names:
        msg = (
            f"tool_choice, {_shown(tool_choice)}, needs tools; the request has none. "
            "Bind tools or leave tool_choice out."
        )
        raise CerebrasInvalidRequestError(msg)
    if isinstance(choice, _Word):
        return cast("ToolChoice", choice.text)
    if choice not in names:
        close = get_close_matches(choice, names, n=1)
        hint = (
            f"Did you mean '{close[0]}'?" if close else f"The tools are {_list(names)}."
        )
        msg = f"tool_choice names '{choice}', which is not among the tools. {hint}"
        raise CerebrasInvalidRequestError(msg)
    return {"type": "function", "function": {"name": choice}}


@dataclass(frozen=True, slots=True)
class _Word:
    """A choice that names no tool."""

    text: str


_WORDS: Final = {
    "any": "required",
    "required": "required",
    "auto": "auto",
    "none": "none",
}


def _choice_word(choice: Any) -> _Word | str:
    """Return one of the API's words, or the name of the tool that is asked for."""
    if choice is True:
        return _Word("required")
    if isinstance(choice, str):
        return _Word(_WORDS[choice]) if choice in _WORDS else choice
    if _is_dict(choice):
        return _choice_of_dict(choice)
    return tool_name(choice)


def _choice_of_dict(choice: dict[str, Any]) -> _Word | str:
    kind = choice.get("type")
    if choice.get("disable_parallel_tool_use"):
        msg = (
            "'disable_parallel_tool_use' in tool_choice is another API's way. Pass "
            "parallel_tool_calls=False instead."
        )
        raise CerebrasInvalidRequestError(msg)
    function = choice.get("function")
    name: object = choice.get("name")
    if kind == "function" and _is_dict(function):
        name = function.get("name")
    if kind in {"function", "tool"} and isinstance(name, str) and name:
        return name
    if isinstance(kind, str) and kind in _WORDS:
        return _Word(_WORDS[kind])
    if kind in {"function", "tool"} or not isinstance(kind, str):
        msg = (
            f"tool_choice, {_shown(choice)}, does not say which tool. Give "
            '{"type": "function", "function": {"name": ...}} or the name alone.'
        )
        raise CerebrasInvalidRequestError(msg)
    msg = (
        f"tool_choice of type '{kind}' is not offered by Cerebras: it takes 'auto', "
        "'none', 'required' or one function."
    )
    raise UnsupportedFeatureError(msg)


def _shown(value: Any) -> str:
    """Return what a message may show: of objects the name, as they may hold keys."""
    if _is_dict(value):
        return f"a dict with the keys {sorted(map(str, value))}"
    if isinstance(value, (str, int, float)):
        return repr(value)
    name: object = getattr(value, "__name__", None) or getattr(value, "name", None)
    return f"{type(value).__name__} '{name}'" if name else f"a {type(value).__name__}"


# ---------------------------------------------------------------------------- arguments


def parse_arguments(text: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """Read the arguments of a tool call.

    Half a text is never completed: a call that was cut off must not be run. Control
    characters inside strings are let through, as models write line breaks there.

    Args:
        text: What the model wrote; empty for a call without arguments.

    Returns:
        The arguments and `None`, or `None` and why not.
    """
    if text is None or not text.strip():
        return {}, None
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None, ARGUMENTS_ERROR
    if not _is_dict(value):
        return None, ARGUMENTS_ERROR
    return value, None


def _refuse_constant(word: str) -> Any:
    """Refuse `NaN` and the infinities, which are no JSON and cannot be sent back."""
    raise ValueError(word)
