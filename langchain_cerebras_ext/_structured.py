"""Structured output: what to ask for, and reading what came.

One parser for the three methods and for whole answers and streams; it checks the
answer by the schema as the user gave it, and says which of the known ways it failed.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    message_chunk_to_message,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, PrivateAttr

from langchain_cerebras_ext._schema import json_schema_of, response_format_for
from langchain_cerebras_ext._tools import convert_tools, tool_name
from langchain_cerebras_ext.catalog import find_model
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    StructuredOutputError,
    StructuredOutputInvalidError,
    StructuredOutputMissingError,
    StructuredOutputRefusedError,
    StructuredOutputTruncatedError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_core.outputs import Generation
    from langchain_core.runnables import Runnable

    from langchain_cerebras_ext.chat_models import ChatCerebras

__all__ = ["StructuredOutputParser", "structured_output", "wire_response_format"]

Method = Literal["function_calling", "json_mode", "json_schema"]
_METHODS = ("json_schema", "function_calling", "json_mode")


# ------------------------------------------------------------------- what to ask for


def wire_response_format(
    asked: Any, model: str, *, has_tools: bool = False
) -> dict[str, Any]:
    """Return a response format as the API takes it, strict where the model can.

    Args:
        asked: A schema of any kind, or a response format.
        model: The model's id.
        has_tools: Whether tools go with it.

    Raises:
        SchemaNotSupportedError: The strict subset cannot express the schema.
    """
    del has_tools  # whether the model takes both is checked with the whole request
    if isinstance(asked, Mapping) and asked.get("type") in {"text", "json_object"}:
        return dict(asked)
    wire = response_format_for(asked, strict=None)
    strict = wire.get("json_schema", {}).get("strict")  # type: ignore[attr-defined]
    if strict is None:
        strict = _is_strict(model)
    return cast("dict[str, Any]", response_format_for(asked, strict=strict))


def _is_strict(model: str) -> bool:
    card = find_model(model)
    return card is None or card.capabilities.structured_outputs is not False


def structured_output(
    model: ChatCerebras,
    schema: Any,
    *,
    method: str,
    include_raw: bool,
    strict: bool | None,
    tools: Sequence[Any] | None,
    fallback: bool,
    extra: Mapping[str, Any],
) -> Runnable[Any, Any]:
    """Return the chain behind `ChatCerebras.with_structured_output`."""
    _check_arguments(schema, method, strict, tools, extra)
    if method == "json_schema":
        try:
            bound = _bind_json_schema(model, schema, strict, tools)
        except (SchemaNotSupportedError, UnsupportedFeatureError) as error:
            if not fallback and not _is_pydantic_v1(schema):
                if isinstance(error, UnsupportedFeatureError):
                    raise
                raise _with_remedy(error)  # noqa: B904 - the same error, said better
            if _is_pydantic_v1(schema):
                warnings.warn(
                    f"{schema.__name__} is a class of Pydantic v1, which has no JSON "
                    "Schema for method='json_schema'; 'function_calling' is used. "
                    "Move the class to pydantic.BaseModel of version 2.",
                    stacklevel=3,
                )
            else:
                strict = None
            method = "function_calling"
        else:
            return bound | _parser(schema, "json_schema", include_raw, tools)
    if method == "function_calling":
        bound = _bind_function(model, schema, strict, tools)
        return bound | _parser(schema, "function_calling", include_raw, tools)
    bound = model.bind(
        response_format={"type": "json_object"},
        ls_structured_output_format=_told(schema, "json_mode", strict),
    )
    return bound | _parser(schema, "json_mode", include_raw, tools)


def _check_arguments(
    schema: Any,
    method: str,
    strict: bool | None,
    tools: Sequence[Any] | None,
    extra: Mapping[str, Any],
) -> None:
    if extra:
        names = ", ".join(map(repr, sorted(extra)))
        msg = (
            f"with_structured_output does not take {names}; it takes schema, method, "
            "include_raw, strict, tools and fallback. Bind parameters of the call to "
            "the model first."
        )
        raise CerebrasInvalidRequestError(msg)
    if method not in _METHODS:
        msg = f"method={method!r} is not one of {', '.join(map(repr, _METHODS))}."
        raise CerebrasInvalidRequestError(msg)
    if schema is None and method != "json_mode":
        msg = (
            f"method={method!r} needs a schema: a Pydantic class, a TypedDict or a "
            "JSON Schema. Without one use method='json_mode'."
        )
        raise CerebrasInvalidRequestError(msg)
    if method == "json_mode" and strict is not None:
        msg = "strict does not go together with method='json_mode': it has no schema."
        raise CerebrasInvalidRequestError(msg)
    if method == "json_mode" and tools:
        msg = (
            "tools do not go together with method='json_mode'; use "
            "'function_calling' or 'json_schema'."
        )
        raise CerebrasInvalidRequestError(msg)


def _bind_json_schema(
    model: ChatCerebras, schema: Any, strict: bool | None, tools: Sequence[Any] | None
) -> Runnable[Any, AIMessage]:
    card = find_model(model.model_name)
    if tools and card and card.capabilities.tools_with_response_format is False:
        msg = (
            f"{model.model_name} does not take tools together with response_format "
            "'json_schema'. Use method='function_calling', or fallback=True."
        )
        raise UnsupportedFeatureError(msg)
    use_strict = _is_strict(model.model_name) if strict is None else strict
    response_format = response_format_for(schema, strict=use_strict)
    told = _told(schema, "json_schema", strict)
    if tools:
        return model.bind_tools(
            tools,
            strict=use_strict or None,
            response_format=response_format,
            ls_structured_output_format=told,
        )
    return model.bind(response_format=response_format, ls_structured_output_format=told)


def _bind_function(
    model: ChatCerebras, schema: Any, strict: bool | None, tools: Sequence[Any] | None
) -> Runnable[Any, AIMessage]:
    told = _told(schema, "function_calling", strict)
    return model.bind_tools(
        [schema, *(tools or ())],
        tool_choice="required" if tools else tool_name(schema),
        parallel_tool_calls=False,
        strict=strict,
        ls_structured_output_format=told,
    )


def _told(schema: Any, method: Method, strict: bool | None) -> dict[str, Any]:
    """What LangChain's tracers are told of the format; it takes this key away."""
    return {"kwargs": {"method": method, "strict": strict}, "schema": schema}


def _with_remedy(error: CerebrasInvalidRequestError) -> CerebrasInvalidRequestError:
    text = (
        f"{error.message} To use it as it is: strict=False (the schema is a guide "
        "only), method='function_calling', or fallback=True."
    )
    data = {name: value for name, value in vars(error).items() if name != "message"}
    return type(error)(text, **data)


def _is_pydantic_v1(schema: Any) -> bool:
    if not isinstance(schema, type):
        return False
    from langchain_core.utils.pydantic import is_pydantic_v1_subclass

    return is_pydantic_v1_subclass(schema)


# ------------------------------------------------------------------------- checking


def _validator(schema: Any) -> Callable[[Any], Any]:
    """Return what turns parsed JSON into the user's type, or raises `ValueError`."""
    if schema is None:
        return lambda value: value
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        # Pydantic v1 and v2 each under the name that it has.
        validate = getattr(schema, "model_validate", None) or schema.parse_obj  # type: ignore[attr-defined]
        return cast("Callable[[Any], Any]", validate)
    return _json_schema_validator(_original_schema(schema))


def _original_schema(schema: Any) -> dict[str, Any]:
    try:
        return json_schema_of(schema)
    except (CerebrasInvalidRequestError, UnsupportedFeatureError):
        # A bare function or tool dict: what would be sent is what is checked.
        function = convert_tools([schema])[0]["function"]
        return dict(function.get("parameters") or {"type": "object"})


def _json_schema_validator(schema: dict[str, Any]) -> Callable[[Any], Any]:
    from jsonschema.validators import validator_for

    checker = validator_for(schema)(schema)

    def validate(value: Any) -> Any:
        problem = next(iter(checker.iter_errors(value)), None)
        if problem is not None:
            raise ValueError(f"{problem.json_path}: {problem.message}")  # noqa: TRY003, EM102
        return value

    return validate


# -------------------------------------------------------------------------- parsing


def _parser(
    schema: Any, method: Method, include_raw: bool, tools: Sequence[Any] | None
) -> StructuredOutputParser:
    return StructuredOutputParser(
        target=schema,
        method=method,
        include_raw=include_raw,
        function=tool_name(schema) if method == "function_calling" else None,
        has_tools=bool(tools),
    )


class StructuredOutputParser(BaseTransformOutputParser[Any]):
    """Read a structured answer out of a message or a stream of chunks.

    Attributes:
        target: The schema as the user gave it.
        method: How it was asked for.
        include_raw: Whether results are `{"raw", "parsed", "parsing_error"}`.
        function: The name of the forced tool, with `function_calling`.
        has_tools: Whether the model had other tools to call.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    target: Any = None
    method: Method = "json_schema"
    include_raw: bool = False
    function: str | None = None
    has_tools: bool = False
    _validate: Any = PrivateAttr(default=None)

    @property
    def _type(self) -> str:
        return "cerebras_structured_output"

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The type of a result."""
        if self.include_raw or not isinstance(self.target, type):
            return dict[str, Any]
        return self.target

    def parse(self, text: str) -> Any:
        """Parse a bare text, as if it were a whole answer."""
        return self.parse_result([ChatGeneration(message=AIMessage(content=text))])

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Read a whole answer.

        Raises:
            StructuredOutputError: It is not the structure; unless `include_raw`.
        """
        del partial
        message = _message_of(result[0])
        if not self.include_raw:
            return self._read(message)
        try:
            parsed, error = self._read(message), None
        except StructuredOutputError as failure:
            parsed, error = None, failure
        if message.tool_calls and parsed is None and self.has_tools:
            error = None  # a call of another tool is an answer too
        return {"raw": message, "parsed": parsed, "parsing_error": error}

    # ----------------------------------------------------------------- whole answers

    def _read(self, message: AIMessage) -> Any:
        reason = message.response_metadata.get("finish_reason")
        refusal = message.additional_kwargs.get("refusal")
        if refusal or reason == "content_filter":
            why = f": {refusal}" if refusal else " (finish_reason content_filter)"
            raise self._error(
                StructuredOutputRefusedError, message, f"The answer was refused{why}."
            )
        try:
            return self._checked(self._value(message, reason), message)
        except StructuredOutputError:
            if reason != "length":
                raise
        raise self._error(
            StructuredOutputTruncatedError,
            message,
            "The answer was cut off at the token limit (finish_reason length) before "
            "the structure was whole; raise max_tokens or lower reasoning_effort.",
        )

    def _value(self, message: AIMessage, reason: str | None) -> Any:
        if self.method == "function_calling":
            return self._arguments(message)
        text = message.text.strip()
        if not text:
            raise self._missing(message, reason)
        try:
            return json.loads(_bare_json(text))
        except (ValueError, RecursionError) as error:
            if "{" not in text:
                raise self._missing(message, reason) from error
            raise self._error(
                StructuredOutputInvalidError,
                message,
                f"The answer is no JSON: {error}.",
            ) from error

    def _arguments(self, message: AIMessage) -> Any:
        for call in message.tool_calls:
            if call["name"] == self.function:
                return call["args"]
        for bad in message.invalid_tool_calls:
            if bad["name"] == self.function:
                raise self._error(
                    StructuredOutputInvalidError,
                    message,
                    f"The arguments of {self.function} are no JSON object: "
                    f"{(bad['args'] or '')[:200]!r}.",
                )
        raise self._missing(message, message.response_metadata.get("finish_reason"))

    def _missing(self, message: AIMessage, reason: str | None) -> StructuredOutputError:
        others = ", ".join(call["name"] for call in message.tool_calls)
        if others:
            came = f"a call of {others}"
        elif message.text.strip():
            came = f"text: {message.text.strip()[:200]!r}"
        else:
            came = f"no content (finish_reason {reason})"
        due = (
            f"a call of {self.function}"
            if self.method == "function_calling"
            else "a JSON object"
        )
        hint = " Use include_raw=True to see tool calls." if others else ""
        return self._error(
            StructuredOutputMissingError,
            message,
            f"{due[0].upper()}{due[1:]} was due, but the model answered with {came}."
            f"{hint}",
        )

    def _checked(self, value: Any, message: AIMessage) -> Any:
        if self._validate is None:
            self._validate = _validator(self.target)
        try:
            return self._validate(value)
        except Exception as error:  # the user's validators may raise anything
            raise self._error(
                StructuredOutputInvalidError,
                message,
                f"The answer does not fit the schema: {error}",
            ) from error

    def _error(
        self, kind: type[StructuredOutputError], message: AIMessage, text: str
    ) -> StructuredOutputError:
        return kind(text, raw=message, partial_message=message, llm_output=message.text)

    # ------------------------------------------------------------------------ streams

    def _transform(
        self,
        input: Iterator[str | Any],  # noqa: A002 - LangChain's name
    ) -> Iterator[Any]:
        progress = _Progress(self)
        for chunk in input:
            yield from progress.add(chunk)
        yield from progress.finish()

    async def _atransform(
        self,
        input: AsyncIterator[str | Any],  # noqa: A002 - LangChain's name
    ) -> AsyncIterator[Any]:
        progress = _Progress(self)
        async for chunk in input:
            for value in progress.add(chunk):
                yield value
        for value in progress.finish():
            yield value


def _message_of(generation: Generation) -> AIMessage:
    if isinstance(generation, ChatGeneration) and isinstance(
        generation.message, AIMessage
    ):
        return generation.message
    return AIMessage(content=generation.text)


_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```$", re.DOTALL)


def _bare_json(text: str) -> str:
    """Return JSON without the code fence or the thinking that may stand around it."""
    text = re.sub(r"^<think>.*?</think>\s*", "", text, flags=re.DOTALL)
    found = _FENCE.match(text)
    return found[1] if found else text


class _RawParts(AddableDict):
    """A part of a stream with `include_raw`: chunks add up, the last parsed counts.

    LangChain's own refuses to add two objects, and keeps one that `None` follows.
    """

    def __add__(self, other: Any) -> _RawParts:
        whole = _RawParts(self)
        for key, value in other.items():
            is_chunk = key == "raw" and key in whole
            whole[key] = whole[key] + value if is_chunk else value
        return whole

    def __radd__(self, other: Any) -> _RawParts:
        return _RawParts(other) + self


_GROWTH = 1.1
"""A partial object is validated when the text has grown by a tenth: all validations
together then cost no more than ten of the whole."""


class _Progress:
    """Turn chunks into partial values; every character is read once."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        from langchain_cerebras_ext._partial_json import PartialJson

        self._parser = parser
        self._json = PartialJson(lenient=True)
        self._broken = False
        self._chunks: list[AIMessageChunk] = []
        self._whole: AIMessage | None = None
        self._index: int | None = None
        self._size = 0
        self._tried = 0
        self._last: Any = None
        target = parser.target
        self._is_class = isinstance(target, type) and is_basemodel_subclass(target)

    def add(self, chunk: Any) -> Iterator[Any]:
        """Take a chunk and yield what it adds."""
        if isinstance(chunk, AIMessageChunk):
            self._chunks.append(chunk)
        elif isinstance(chunk, AIMessage):
            self._whole = chunk
        else:
            chunk = AIMessageChunk(content=str(chunk))
            self._chunks.append(chunk)
        if self._parser.include_raw:
            yield _RawParts({"raw": chunk})
        text = self._text_of(chunk)
        if text and not self._broken and self._feed(text):
            yield from self._partial()

    def finish(self) -> Iterator[Any]:
        """Yield the checked whole.

        Raises:
            StructuredOutputError: The answer is not the structure; unless
                `include_raw`.
        """
        message = self._whole
        if message is None:
            if not self._chunks:
                return
            first, *rest = self._chunks
            whole = add_ai_message_chunks(first, *rest) if rest else first
            # An error may keep it, and a history takes messages rather than chunks.
            message = cast("AIMessage", message_chunk_to_message(whole))
        value = self._parser.parse_result([ChatGeneration(message=message)])
        if self._parser.include_raw:
            yield _RawParts(
                {
                    "parsed": value["parsed"],
                    "parsing_error": value["parsing_error"],
                }
            )
        elif value != self._last or self._last is None:
            yield value

    def _text_of(self, chunk: AIMessage) -> str:
        if self._parser.method != "function_calling":
            return chunk.text
        texts: list[str] = []
        for piece in getattr(chunk, "tool_call_chunks", ()):
            if self._index is None and piece["name"] == self._parser.function:
                self._index = piece["index"]
            if self._index is not None and piece["index"] == self._index:
                texts.append(piece["args"] or "")
        return "".join(texts)

    def _feed(self, text: str) -> bool:
        self._size += len(text)
        try:
            return self._json.feed(text)
        except ValueError:
            self._broken = True  # the whole answer is judged at the end
            return False

    def _partial(self) -> Iterator[Any]:
        if self._is_class and self._size < self._tried * _GROWTH:
            return
        value = self._json.snapshot()
        if not isinstance(value, dict):
            return
        if self._is_class:
            self._tried = self._size
            try:
                value = self._parser._checked(value, AIMessage(content=""))  # noqa: SLF001
            except StructuredOutputError:
                return
            if value == self._last:
                return
        self._last = value
        yield _RawParts({"parsed": value}) if self._parser.include_raw else value
