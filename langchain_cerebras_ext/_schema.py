"""JSON Schemas in the service's strict subset, and the response formats made of them.

With `strict=True` the service constrains decoding, and takes a small part of JSON
Schema only: closed objects, typed values, `anyOf`, local references, number bounds.
What it does not take is written into the description of the place it stood at, so that
the model is told all the same; the original schema then checks the answer.

Source: the vendor's page on structured outputs and the notes on version 2 of the API,
as of 2026-08.
"""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard, cast

from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    UnsupportedFeatureError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from langchain_cerebras_ext.wire.types import JsonSchemaFormat, ResponseFormat

__all__ = [
    "MAX_ANY_OF",
    "MAX_DEPTH",
    "MAX_ENUM_VALUES",
    "MAX_PROPERTIES",
    "MAX_SCHEMA_CHARS",
    "AdaptedSchema",
    "adapt_schema",
    "is_strict_compatible",
    "json_schema_of",
    "response_format_for",
    "sanitise_name",
    "strict_schema",
]

_logger = logging.getLogger(__name__)

MAX_SCHEMA_CHARS: Final = 5000
"""Characters of a strict schema's text, without needless spaces."""
MAX_DEPTH: Final = 10
"""Objects and arrays inside one another, the root included."""
MAX_PROPERTIES: Final = 500
"""Properties of a strict schema, all objects together."""
MAX_ENUM_VALUES: Final = 500
"""Values of all enums of a strict schema together."""
MAX_ANY_OF: Final = 5
"""Branches of one `anyOf`."""

# A schema that needs more steps than this cannot fit the limit on characters:
# references let a short text stand for a very long one.
_MAX_STEPS = 20_000
# A node's text is longer than ten characters, so more nodes than this do not fit.
_MAX_INLINE_NODES = MAX_SCHEMA_CHARS // 10
# Far above `MAX_DEPTH`, far below Python's own limit on recursion.
_MAX_NESTING = 64

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_types(value: object) -> bool:
    return isinstance(value, str) or (
        _is_list(value) and all(isinstance(one, str) for one in value)
    )


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEPT = _words_of(
    "$defs $ref additionalProperties anyOf description enum items maximum minimum "
    "properties required type"
)
# Without meaning for the model or for the check of an answer.
_DROPPED = _words_of("$anchor $comment $id $schema $vocabulary id title")
# Read while adapting, so neither kept as such nor turned into words.
_HANDLED = _words_of(
    "$defs $ref additionalItems additionalProperties allOf anyOf const definitions "
    "description discriminator enum exclusiveMaximum exclusiveMinimum items maximum "
    "minimum nullable oneOf patternProperties prefixItems properties required type "
    "unevaluatedItems unevaluatedProperties"
)
# What tells the type of a schema that does not name it.
_TYPE_HINTS: dict[str, frozenset[str]] = {
    "object": _words_of(
        "additionalProperties dependentRequired maxProperties minProperties "
        "patternProperties properties propertyNames required"
    ),
    "array": _words_of("contains items maxItems minItems prefixItems uniqueItems"),
    "string": _words_of("maxLength minLength pattern"),
    "number": _words_of("exclusiveMaximum exclusiveMinimum maximum minimum multipleOf"),
}
# Keywords that say something about one type only; of no effect on the others.
_ONLY_FOR: dict[str, str] = {
    keyword: kind
    for kind, keywords in {
        "array": "contains exactItems maxContains maxItems minContains minItems "
        "uniqueItems",
        "number": "exclusiveMaximum exclusiveMinimum multipleOf",
        "object": "dependencies dependentRequired dependentSchemas maxProperties "
        "minProperties propertyNames",
        "string": "contentEncoding contentMediaType exactLength maxLength minLength "
        "pattern",
    }.items()
    for keyword in keywords.split()
}
# Annotations: without them a schema accepts the same values.
_ANNOTATIONS = _words_of("default deprecated example examples readOnly writeOnly")
_FORMATS: dict[str, str] = {
    "date": "a date such as 2026-01-31",
    "date-time": "a date and time such as 2026-01-31T12:30:00Z",
    "duration": "an ISO 8601 duration such as P1DT2H30M",
    "email": "an email address",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "json-string": "JSON text",
    "time": "a time such as 12:30:00Z",
    "uri": "an absolute URI",
    "uuid": "a UUID",
}


@dataclass(frozen=True, slots=True)
class AdaptedSchema:
    """A schema in the strict subset, and what became of the original.

    Attributes:
        schema: The schema to send; new, and the caller's to change.
        moved: What was turned into words or left out, each with its path.
        lossless: Whether the schema accepts the same answers as the original, apart
            from undeclared properties. If not, check answers by the original.
        shortened: Whether descriptions were cut to fit the limit on characters.
    """

    schema: dict[str, Any]
    moved: tuple[str, ...] = ()
    lossless: bool = True
    shortened: bool = False


def adapt_schema(
    schema: Mapping[str, Any], *, name: str | None = None
) -> AdaptedSchema:
    """Adapt a JSON Schema to the service's strict subset.

    Objects are closed, references inlined or kept in `$defs` (whichever fits), `const`
    becomes `enum`, `oneOf` and lists of types become `anyOf`, simple `allOf` is merged.
    Keywords that the service refuses move into descriptions, in plain words; titles are
    dropped. `required` stays as it is: a property left out of it may be missing from an
    answer.

    Args:
        schema: A JSON Schema whose root is an object; it is not changed.
        name: What messages call the schema.

    Raises:
        SchemaNotSupportedError: The subset cannot express a part of it: a map with free
            keys, an untyped value, a recursion, a reference to elsewhere, or a limit is
            exceeded. `path` says where.
    """
    try:
        adapter = _Adapter(dict(schema), name)
        return _Emitter(adapter, adapter.root()).result()
    except RecursionError:
        _fail(name, "$", f"it is nested more than {MAX_DEPTH} deep", "Make it flatter.")


def _fail(name: str | None, path: str, reason: str, remedy: str) -> NoReturn:
    what = f"The schema of '{name}'" if name else "The schema"
    msg = (
        f"{what} cannot be expressed in Cerebras' strict subset: at {path}, {reason}. "
        f"{remedy}"
    )
    raise SchemaNotSupportedError(msg, path=path)


# ------------------------------------------------------------------- schema -> nodes


@dataclass(slots=True)
class _Node:
    """A place in the adapted schema."""

    keywords: dict[str, Any] = field(default_factory=dict[str, Any])
    """`type`, `enum`, `minimum`, `maximum`."""
    properties: dict[str, _Node] | None = None
    required: list[str] = field(default_factory=list[str])
    items: _Node | None = None
    any_of: list[_Node] = field(default_factory=list["_Node"])
    ref: str | None = None
    """Pointer of the definition that stands here."""
    description: str = ""
    notes: list[str] = field(default_factory=list[str])
    """Words for keywords that the service does not take."""

    def children(self) -> Iterator[tuple[str, _Node]]:
        """Yield the nodes below, each with its step of the path."""
        for name, child in (self.properties or {}).items():
            yield f".properties.{name}", child
        if self.items is not None:
            yield ".items", self.items
        for at, child in enumerate(self.any_of):
            yield f".anyOf[{at}]", child


class _Adapter:
    """Turns a JSON Schema into nodes; each definition once."""

    def __init__(self, schema: dict[str, Any], name: str | None) -> None:
        self.schema = schema
        self.name = name
        self.definitions: dict[str, _Node] = {}
        self.moved: list[str] = []
        self.lossless = True
        self._open: list[str] = []
        self._steps = 0
        self._nesting = 0

    def fail(self, path: str, reason: str, remedy: str) -> NoReturn:
        _fail(self.name, path, reason, remedy)

    def note(self, path: str, text: str, *, lossless: bool = False) -> None:
        self.moved.append(f"{path}: {text}")
        self.lossless = self.lossless and lossless

    # -- places

    def root(self) -> _Node:
        """Return the root, which must be an object."""
        schema = self._without_references(self.schema, "$")
        wrap = "Wrap it in an object with one property, such as {'items': [...]}."
        if "anyOf" in schema or "oneOf" in schema:
            self.fail("$", "the root is a union, and must be an object", wrap)
        kinds = self._types(schema, "$")
        if kinds != ["object"]:
            told = " or ".join(kinds) or "untyped"
            self.fail("$", f"the root is {told}, and must be an object", wrap)
        if not schema.get("properties") and not schema.get("patternProperties"):
            # A function without arguments; here, nothing is asked for.
            empty: dict[str, Any] = {**schema, "properties": {}}
            if empty.get("additionalProperties") is True:
                del empty["additionalProperties"]
            return self.node(empty, "$")
        return self.node(schema, "$")

    def node(self, schema: Any, path: str) -> _Node:
        """Return the node for a schema.

        Raises:
            SchemaNotSupportedError: The subset cannot express it.
        """
        self._steps += 1
        if self._steps > _MAX_STEPS:
            self.fail(path, "it is too large to be adapted", "Split the schema.")
        if not _is_dict(schema):
            self._refuse_non_schema(schema, path)
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            self.fail(
                path,
                f"the schema is nested more than {MAX_DEPTH} deep",
                "Make it flatter.",
            )
        try:
            return self._node(schema, path)
        finally:
            self._nesting -= 1

    def _node(self, schema: dict[str, Any], path: str) -> _Node:
        schema = _unwrap(schema)
        for key in ("$dynamicRef", "$recursiveRef"):
            if key in schema:
                self.fail(path, f"{key} makes the schema recursive", "Use '$ref'.")
        if "$ref" in schema and not _structural(schema, ignoring="$ref"):
            return self._reference(schema, path)
        if "$ref" in schema or "allOf" in schema:
            schema = self._without_references(schema, path)
        union = self._union(schema, path)
        if union is None:
            kinds = self._types(schema, path)
            if len(kinds) == 1:
                return self._typed(schema, kinds[0], path)
            self._refuse_untyped(schema, kinds, path)
            union = [_of_type(schema, kind) for kind in kinds]
        node = self._any_of(union, path)
        # What was said of the union as a whole stays with it.
        outer = _Node(
            description=_join(_text(schema.get("description")), node.description),
            notes=[*self._words(schema, None, path), *node.notes],
        )
        if "oneOf" in schema and "discriminator" not in schema and _overlap(node):
            outer.notes.append("exactly one of the alternatives")
            self.note(path, "oneOf became anyOf")
        node.description, node.notes = outer.description, outer.notes
        return node

    def _refuse_non_schema(self, schema: object, path: str) -> NoReturn:
        if schema is True:
            self._refuse_untyped({}, [], path)
        if schema is False:
            self.fail(path, "no value is allowed (`false`)", "Remove it.")
        self.fail(
            path,
            f"a schema must be a dict, not {type(schema).__name__}",
            "Mend the schema.",
        )

    def _refuse_untyped(
        self, schema: dict[str, Any], kinds: list[str], path: str
    ) -> None:
        if kinds:
            return
        shown = ", ".join(sorted(map(str, schema.keys() - _DROPPED - {"description"})))
        self.fail(
            path,
            "any value is allowed: no type is named"
            + (f" (it has {shown} only)" if shown else ""),
            "Give it a type, such as str, or a union of types.",
        )

    # -- references

    def _reference(self, schema: dict[str, Any], path: str) -> _Node:
        pointer = self._pointer(schema["$ref"], path)
        self._define(pointer, path)
        return _Node(
            ref=pointer,
            description=_text(schema.get("description")),
            notes=self._words(schema, None, path),
        )

    def _define(self, pointer: str, path: str) -> None:
        if pointer in self.definitions:
            return
        self._refuse_cycle(pointer, path)
        target = self._resolve(pointer, path)
        self._open.append(pointer)
        try:
            # Named by its own place, since it may be used from several.
            where = "$" + pointer.removeprefix("#").replace("/", ".")
            self.definitions[pointer] = self.node(target, where)
        finally:
            self._open.pop()

    def _refuse_cycle(self, pointer: str, path: str) -> None:
        if pointer == "#" or pointer in self._open:
            start = self._open.index(pointer) if pointer in self._open else 0
            first = ["#"] if pointer == "#" else []
            cycle = [*first, *self._open[start:], pointer]
            names = " -> ".join(_last(step) or "(root)" for step in cycle)
            self.fail(
                path,
                f"the schema is recursive: {names}",
                "Limit the depth: write the levels out, or use a flat list whose items "
                "name their parent.",
            )

    def _pointer(self, ref: object, path: str) -> str:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            self.fail(
                path,
                f"$ref {ref!r} points outside of the schema",
                "Put the definition under '$defs' and refer to '#/$defs/<name>'.",
            )
        return ref

    def _resolve(self, pointer: str, path: str) -> object:
        target: Any = self.schema
        for step in pointer.split("/")[1:]:
            key = _unescape(step)
            if _is_dict(target) and key in target:
                target = target[key]
            elif _is_list(target) and key.isdigit():
                found = target[int(key) : int(key) + 1]
                target = found[0] if found else None
            else:
                target = None
            if target is None:
                self.fail(
                    path,
                    f"$ref '{pointer}' points to nothing",
                    "Define it under '$defs'.",
                )
        return target

    def _without_references(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """Return a schema with `$ref` and `allOf` at its top merged into it."""
        parts = list(self._parts(schema, path, ()))
        if len(parts) == 1:
            return parts[0]
        return _Merger(self, path).merge(parts)

    def _parts(
        self, schema: Any, path: str, seen: tuple[str, ...]
    ) -> Iterator[dict[str, Any]]:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            self.fail(path, "it is too large to be adapted", "Split the schema.")
        if not _is_dict(schema):
            if schema is True:
                return
            self._refuse_non_schema(schema, path)
        given = schema
        own = {k: v for k, v in given.items() if k not in {"$ref", "allOf"}}
        if own or not given:
            yield own
        if "$ref" in given:
            pointer = self._pointer(given["$ref"], path)
            if pointer in seen:
                names = " -> ".join(_last(step) for step in (*seen, pointer))
                self.fail(path, f"the schema is recursive: {names}", "Break the cycle.")
            self._refuse_cycle(pointer, path)
            target = self._resolve(pointer, path)
            yield from self._parts(target, path, (*seen, pointer))
        members: object = given.get("allOf", [])
        if not _is_list(members):
            self.fail(path, "allOf is no list", "Mend the schema.")
        for member in members:
            yield from self._parts(member, path, seen)

    # -- unions

    def _union(self, schema: dict[str, Any], path: str) -> list[Any] | None:
        """Return the branches of a union, with what stands beside it in each."""
        keys = [key for key in ("anyOf", "oneOf") if key in schema]
        if not keys:
            if schema.get("nullable") is True:  # as OpenAPI has it
                rest = {k: v for k, v in schema.items() if k != "nullable"}
                return [_without_words(rest), {"type": "null"}]
            return None
        if len(keys) > 1:
            self.fail(path, "anyOf and oneOf stand side by side", "Use one of them.")
        branches: object = schema[keys[0]]
        if not _is_list(branches) or not branches:
            self.fail(
                path, f"{keys[0]} must be a list of schemas", "Name its branches."
            )
        listed = branches
        base = {
            key: value
            for key, value in schema.items()
            if key in _HANDLED - {"anyOf", "description", "discriminator", "oneOf"}
            or key in _ONLY_FOR
            or key == "format"
        }
        for key in ("$defs", "definitions", "nullable"):
            base.pop(key, None)
        if base:
            listed = [
                {"allOf": [branch, base]} if _is_dict(branch) else branch
                for branch in listed
            ]
        if schema.get("nullable") is True:
            listed = [*listed, {"type": "null"}]
        return listed

    def _any_of(self, branches: Sequence[Any], path: str) -> _Node:
        nodes: list[_Node] = []
        seen: set[str] = set()
        for at, branch in enumerate(branches):
            step = f"{path}.anyOf[{at}]" if len(branches) > 1 else path
            node = self.node(branch, step)
            plain = node.any_of and not node.description and not node.notes
            for one in node.any_of if plain else [node]:
                if (told := repr(one)) not in seen:
                    seen.add(told)
                    nodes.append(one)
        if len(nodes) > MAX_ANY_OF:
            nodes = _with_joined_enums(nodes)
        if len(nodes) > MAX_ANY_OF:
            self.fail(
                path,
                f"a union has {len(nodes)} branches, and the limit is {MAX_ANY_OF}",
                "Use fewer alternatives, or one object with a 'kind' property.",
            )
        if len(nodes) == 1:
            return nodes[0]
        return _Node(any_of=nodes)

    # -- one type

    def _types(self, schema: dict[str, Any], path: str) -> list[str]:
        """Return the types that a schema allows, in order; none if it tells none."""
        given: object = schema.get("type")
        values = self._values(schema, path)
        if isinstance(given, str):
            kinds = [given]
        elif _is_list(given):
            kinds = [str(kind) for kind in given]
        elif given is not None:
            self.fail(path, f"type {given!r} is no type", "Use a name of JSON Schema.")
        elif values is not None:
            kinds = [_kind_of(value) for value in values]
        else:
            kinds = [
                kind for kind, hints in _TYPE_HINTS.items() if hints & schema.keys()
            ][:1]
            if not kinds and "format" in schema:
                kinds = ["string"]
        for kind in kinds:
            if kind not in _TYPES:
                self.fail(
                    path,
                    f"type {kind!r} is unknown",
                    f"Use one of {', '.join(_TYPES)}.",
                )
        kinds = list(dict.fromkeys(kinds))
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        if values is None:
            return kinds
        fitting = [k for k in kinds if any(_fits(value, k) for value in values)]
        if not fitting:
            self.fail(path, "no value of the enum is of its type", "Mend the enum.")
        return fitting

    def _values(self, schema: dict[str, Any], path: str) -> list[Any] | None:
        """Return the values of `enum` and `const`, if there are any."""
        if "const" in schema:
            values: list[Any] = [schema["const"]]
            if "enum" in schema and not _contains(schema["enum"], schema["const"]):
                self.fail(path, "const is not among enum", "Mend the schema.")
        elif "enum" in schema:
            listed: object = schema["enum"]
            if not _is_list(listed) or not listed:
                self.fail(path, "enum must be a list of values", "Name its values.")
            values = listed
        else:
            return None
        for value in values:
            if isinstance(value, (dict, list)):
                self.fail(
                    path,
                    "an enum holds an object or a list",
                    "Use strings or numbers, and map them afterwards.",
                )
            if not isinstance(value, (str, int, float, bool, type(None))):
                self.fail(
                    path,
                    f"an enum holds {type(value).__name__}, which is no JSON",
                    "Use strings or numbers.",
                )
        return values

    def _typed(self, schema: dict[str, Any], kind: str, path: str) -> _Node:
        node = _Node(
            {"type": kind},
            description=_text(schema.get("description")),
            notes=self._words(schema, kind, path),
        )
        values = self._values(schema, path)
        if values is not None:
            fitting = [value for value in values if _fits(value, kind)]
            if kind == "integer":
                fitting = [int(value) for value in fitting]  # 2.0 is a whole number
            distinct = {(isinstance(v, bool), v): v for v in fitting}
            full = {"null": 1, "boolean": 2}.get(kind)
            if len(distinct) != full:
                node.keywords["enum"] = list(distinct.values())
        if kind in {"integer", "number"}:
            self._bounds(schema, kind, node, path)
        elif kind == "object":
            self._object(schema, node, path)
        elif kind == "array":
            self._array(schema, node, path)
        return node

    def _bounds(
        self, schema: dict[str, Any], kind: str, node: _Node, path: str
    ) -> None:
        for key, exclusive, step, words in (
            ("minimum", "exclusiveMinimum", 1, "greater than"),
            ("maximum", "exclusiveMaximum", -1, "less than"),
        ):
            bound, outer = _number(schema.get(key)), _number(schema.get(exclusive))
            if schema.get(exclusive) is True:  # as draft 4 has it
                bound, outer = None, bound
            if outer is not None:
                if kind == "integer" and outer == math.floor(outer):
                    # Whole numbers have a next one, so this bound is exact.
                    outer = int(outer) + step
                else:
                    node.notes.append(f"{words} {_json(outer)}")
                    self.note(path, f"{exclusive} moved to the description")
                tightest = max if step > 0 else min
                bound = outer if bound is None else tightest(bound, outer)
            if bound is not None:
                node.keywords[key] = bound

    def _object(self, schema: dict[str, Any], node: _Node, path: str) -> None:
        properties: object = schema.get("properties")
        for key in ("additionalProperties", "unevaluatedProperties"):
            if schema.get(key, False) is not False:
                self._refuse_map(path, f"{key} allows keys that are not named")
        if schema.get("patternProperties"):
            self._refuse_map(path, "patternProperties allows keys that are not named")
        if properties is None and not schema.get("additionalProperties", True):
            properties = {}
        if properties is None:
            self._refuse_map(path, "an object names no properties")
        if not _is_dict(properties):
            self.fail(path, "properties must be a dict", "Mend the schema.")
        named = properties
        required: object = schema.get("required", [])
        if not _is_list(required):
            self.fail(path, "required must be a list of names", "Mend the schema.")
        for name in required:
            if not isinstance(name, str) or name not in named:
                self.fail(
                    path,
                    f"required names {name!r}, which is not among the properties",
                    "Add the property, or take the name out.",
                )
        node.required = list(dict.fromkeys(required))
        node.properties = {
            name: self.node(child, f"{path}.properties.{name}")
            for name, child in named.items()
        }

    def _refuse_map(self, path: str, reason: str) -> NoReturn:
        self.fail(
            path,
            f"{reason}, such as dict[str, X] does",
            "Name the properties, or use a list of objects with a 'key' and a 'value'.",
        )

    def _array(self, schema: dict[str, Any], node: _Node, path: str) -> None:
        items: object = schema.get("items")
        prefix: object = schema.get("prefixItems")
        if _is_list(items):  # as drafts before 2020-12 have tuples
            prefix, items = items, schema.get("additionalItems")
        if schema.get("unevaluatedItems") is False and items is None:
            items = False
        if not _is_list(prefix) or not prefix:
            if items is None or items is False:
                self.fail(
                    path,
                    "a list does not say what its items are",
                    "Give the items a type, such as list[str].",
                )
            node.items = self.node(items, f"{path}.items")
            return
        self._tuple(prefix, items, schema, node, path)

    def _tuple(
        self,
        prefix: list[Any],
        rest: object,
        schema: dict[str, Any],
        node: _Node,
        path: str,
    ) -> None:
        """Express a tuple as a list whose items are any of the tuple's."""
        most = _number(schema.get("maxItems"))
        closed = rest is False or (most is not None and most <= len(prefix))
        if not closed and rest is None:
            self.fail(
                path,
                f"items after the first {len(prefix)} may be anything",
                "Set maxItems, or use a list of one type.",
            )
        kinds = [*prefix] if closed else [*prefix, rest]
        node.items = self._any_of(kinds, f"{path}.items")
        told = [f"item {at + 1} is {_outline(one)}" for at, one in enumerate(prefix)]
        if any(one != prefix[0] for one in kinds):
            node.notes.append("; ".join(told))
        self.note(path, "prefixItems became items of any of their types")

    # -- words

    def _words(self, schema: dict[str, Any], kind: str | None, path: str) -> list[str]:
        """Return words for the keywords that the service does not take.

        Args:
            schema: Where they stand.
            kind: The type at that place; keywords about other types have no effect.
                `None` for a union or a reference: those keywords went into its parts.
            path: The place, for the notes.
        """
        words: list[str] = [*schema.get(_MERGED_WORDS, ())]
        for key, value in _with_exact_counts(schema).items():
            if key in _HANDLED or key in _DROPPED or key == _MERGED_WORDS:
                continue
            about = _ONLY_FOR.get(key)
            if about is not None and about != _broad(kind):
                continue
            if key == "format" and kind not in {"string", "integer", "number"}:
                continue
            said = _say(key, value)
            if said:
                words.append(said)
            harmless = key in _ANNOTATIONS or key not in _WORDS
            what = _EXACT.get(key, key)
            self.note(
                path,
                f"{what} moved to the description" if said else f"{what} left out",
                lossless=harmless or not said,
            )
        return words


_EXACT = {
    "exactItems": "minItems and maxItems",
    "exactLength": "minLength and maxLength",
}

_MERGED_WORDS = "\0words"
"""Key under which a merge keeps the words of keywords that stood more than once."""


@dataclass(slots=True)
class _Merger:
    """Merges the parts of an `allOf`, where that is simple."""

    adapter: _Adapter
    path: str

    def merge(self, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        for part in parts:
            self._refuse_malformed(part)
        self._refuse_closed_parts(parts)
        merged: dict[str, Any] = {}
        for part in parts:
            for key, value in part.items():
                if key not in merged:
                    merged[key] = value
                elif not _same(merged[key], value):
                    self._combine(merged, key, value)
        return merged

    def _refuse_malformed(self, part: dict[str, Any]) -> None:
        for key, fits in (
            ("properties", _is_dict),
            ("required", _is_list),
            ("enum", _is_list),
            ("type", _is_types),
        ):
            if key in part and not fits(part[key]):
                self._refuse(f"'{key}' has the form of {type(part[key]).__name__}")

    def _refuse_closed_parts(self, parts: Sequence[dict[str, Any]]) -> None:
        """Refuse a closed part beside one with further properties: nothing fits."""
        named: list[dict[str, Any]] = [part.get("properties") or {} for part in parts]
        names = {name for properties in named for name in properties}
        for part, properties in zip(parts, named, strict=True):
            if part.get("additionalProperties") is False and "properties" in part:
                missing = sorted(names - properties.keys())
                if missing:
                    self._refuse(
                        f"a part forbids the property {missing[0]!r} of another"
                    )

    def _refuse(self, reason: str) -> NoReturn:
        self.adapter.fail(
            self.path,
            f"allOf cannot be merged: {reason}",
            "Write the merged schema out.",
        )

    def _combine(self, merged: dict[str, Any], key: str, value: Any) -> None:
        known = merged[key]
        if key == "properties":
            merged[key] = self._properties(known, value)
        elif key == "required":
            merged[key] = [*known, *(one for one in value if one not in known)]
        elif key == "type":
            merged[key] = self._type(known, value)
        elif key == "enum":
            allowed = set(map(_identity, value))
            merged[key] = [one for one in known if _identity(one) in allowed]
        elif key in {"items", "additionalProperties"}:
            merged[key] = (
                False if False in (known, value) else {"allOf": [known, value]}
            )
        elif key in _TIGHTEST and None not in (_number(known), _number(value)):
            merged[key] = _TIGHTEST[key](known, value)
        elif key == "description":
            merged[key] = _join(_text(known), _text(value))
        elif key == "nullable":
            merged[key] = bool(known and value)
        elif key in _DROPPED or key in _ANNOTATIONS or key in {"$defs", "definitions"}:
            pass
        elif key == _MERGED_WORDS:
            merged[key] = [*known, *value]
        elif key in _HANDLED:
            self._refuse(f"'{key}' stands in two parts")
        else:
            said = _say(key, value)
            if said:
                merged[_MERGED_WORDS] = [*merged.get(_MERGED_WORDS, ()), said]
            self.adapter.note(self.path, f"{key} moved to the description")

    def _properties(self, known: Any, value: Any) -> dict[str, Any]:
        merged: dict[str, Any] = dict(known)
        for name, schema in value.items():
            same = name in merged and not _same(merged[name], schema)
            merged[name] = {"allOf": [merged[name], schema]} if same else schema
        return merged

    def _type(self, known: Any, value: Any) -> list[str]:
        left = [known] if isinstance(known, str) else list(known)
        right = [value] if isinstance(value, str) else list(value)
        both = [one for one in left if one in right]
        if "integer" not in both and "integer" in left + right:
            both += ["integer"] if "number" in left + right else []
        if not both:
            self._refuse(f"{_json(known)} and {_json(value)} are different types")
        return both


_TIGHTEST: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(
        _words_of(
            "exclusiveMinimum minContains minItems minLength minProperties minimum"
        ),
        max,
    ),
    **dict.fromkeys(
        _words_of(
            "exclusiveMaximum maxContains maxItems maxLength maxProperties maximum"
        ),
        min,
    ),
}


# --------------------------------------------------------------------- nodes -> schema


class _TooLargeError(Exception):
    """The inlined schema has more nodes than can fit."""


@dataclass(frozen=True, slots=True)
class _Size:
    """A node with all its references written out."""

    depth: int
    properties: int
    enum_values: int


class _Emitter:
    """Writes nodes as a schema, in the form that fits the service's limits."""

    def __init__(self, adapter: _Adapter, root: _Node) -> None:
        self._adapter = adapter
        self._root = root
        self._sizes: dict[str, _Size] = {}
        self._uses: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._budget = 0

    def result(self) -> AdaptedSchema:
        """Return the schema: inlined if that fits, else with shared definitions.

        Raises:
            SchemaNotSupportedError: It exceeds a limit in either form.
        """
        self._check_size()
        schema = self._fitting()
        if schema is not None:
            return self._adapted(schema, shortened=None)
        cap = self._best_cap()
        return self._adapted(self._shared(cap), shortened=cap)

    def _adapted(self, schema: dict[str, Any], shortened: int | None) -> AdaptedSchema:
        moved = self._adapter.moved
        if shortened is not None:
            moved.append(
                f"$: descriptions cut to {shortened} characters each, as the schema's "
                f"text may have {MAX_SCHEMA_CHARS}"
            )
        return AdaptedSchema(
            schema,
            tuple(dict.fromkeys(moved)),
            self._adapter.lossless,
            shortened is not None,
        )

    def _fitting(self) -> dict[str, Any] | None:
        for form in (self._inlined, self._shared):
            try:
                schema = form()
            except _TooLargeError:
                continue
            if len(_json(schema)) <= MAX_SCHEMA_CHARS:
                return schema
        return None

    def _best_cap(self) -> int:
        """Return the longest descriptions, in characters, that still fit."""
        bare = len(_json(self._shared(0)))
        if bare > MAX_SCHEMA_CHARS:
            self._adapter.fail(
                "$",
                f"its text has {bare} characters without any description, and the "
                f"limit is {MAX_SCHEMA_CHARS}",
                "Split the schema into several calls, or use fewer or shorter names.",
            )
        low, high = 0, MAX_SCHEMA_CHARS
        while low < high:
            middle = (low + high + 1) // 2
            if len(_json(self._shared(middle))) <= MAX_SCHEMA_CHARS:
                low = middle
            else:
                high = middle - 1
        return low

    # -- limits

    def _check_size(self) -> None:
        size = self._size(self._root)
        for what, found, limit in (
            ("properties", size.properties, MAX_PROPERTIES),
            ("enum values", size.enum_values, MAX_ENUM_VALUES),
        ):
            if found > limit:
                self._adapter.fail(
                    "$",
                    f"it has {found} {what} in all, and the limit is {limit}",
                    "Split the schema into several calls.",
                )
        if size.depth > MAX_DEPTH:
            self._adapter.fail(
                self._deepest(),
                f"objects and lists are nested {size.depth} deep, and the limit is "
                f"{MAX_DEPTH}",
                "Make the schema flatter.",
            )

    def _size(self, node: _Node) -> _Size:
        if node.ref is not None:
            known = self._sizes.get(node.ref)
            if known is None:
                known = self._size(self._adapter.definitions[node.ref])
                self._sizes[node.ref] = known
            return known
        below = [self._size(child) for _, child in node.children()]
        holds = node.properties is not None or node.items is not None
        return _Size(
            depth=max((one.depth for one in below), default=0) + holds,
            properties=len(node.properties or ()) + sum(o.properties for o in below),
            enum_values=len(node.keywords.get("enum", ()))
            + sum(one.enum_values for one in below),
        )

    def _deepest(self) -> str:
        """Return the path of the place that is nested deepest."""
        path = ""
        below: list[tuple[str, _Node]] = [("$", self._root)]
        while below:
            depths = [self._size(child).depth for _, child in below]
            step, node = below[depths.index(max(depths))]
            path += step
            while node.ref is not None:
                node = self._adapter.definitions[node.ref]
            below = list(node.children())
        return path

    # -- forms

    def _inlined(self) -> dict[str, Any]:
        self._budget = _MAX_INLINE_NODES
        return self._emit(self._root, None, frozenset())

    def _shared(self, cap: int | None = None) -> dict[str, Any]:
        """Return the schema with definitions for what stands in several places."""
        if not self._uses:
            self._count_uses(self._root)
        shared = frozenset(ref for ref, count in self._uses.items() if count > 1)
        if not self._names:
            self._names = _distinct_names(sorted(shared))
        self._budget = _MAX_STEPS
        schema = self._emit(self._root, cap, shared)
        if shared:
            schema["$defs"] = {
                self._names[ref]: self._emit(
                    self._adapter.definitions[ref], cap, shared
                )
                for ref in self._uses
                if ref in shared
            }
        return schema

    def _count_uses(self, node: _Node) -> None:
        if node.ref is not None:
            self._uses[node.ref] = self._uses.get(node.ref, 0) + 1
            if self._uses[node.ref] == 1:
                self._count_uses(self._adapter.definitions[node.ref])
        for _, child in node.children():
            self._count_uses(child)

    def _emit(
        self,
        node: _Node,
        cap: int | None,
        shared: frozenset[str],
        before: tuple[str, Sequence[str]] = ("", ()),
    ) -> dict[str, Any]:
        """Write a node.

        Args:
            node: What to write.
            cap: The most characters of a description, if it is bounded.
            shared: Definitions to refer to; all others are written out.
            before: Description and notes of the reference that led here.
        """
        self._budget -= 1
        if self._budget < 0:
            raise _TooLargeError
        text = _join(before[0], node.description)
        notes = list(dict.fromkeys([*before[1], *node.notes]))
        if node.ref is not None and node.ref not in shared:
            target = self._adapter.definitions[node.ref]
            return self._emit(target, cap, shared, (text, notes))
        described = _described(text, notes, cap)
        if node.ref is not None:
            reference = {"$ref": f"#/$defs/{_escape(self._names[node.ref])}"}
            # Nothing may stand beside a reference; a union of one may be described.
            return {**described, "anyOf": [reference]} if described else reference
        schema: dict[str, Any] = {}
        if "type" in node.keywords:
            schema["type"] = node.keywords["type"]
        schema |= described
        schema |= {
            key: list(value) if _is_list(value) else value
            for key, value in node.keywords.items()
        }
        if node.properties is not None:
            schema["properties"] = {
                name: self._emit(child, cap, shared)
                for name, child in node.properties.items()
            }
            if node.required:
                schema["required"] = list(node.required)
            schema["additionalProperties"] = False
        if node.items is not None:
            schema["items"] = self._emit(node.items, cap, shared)
        if node.any_of:
            schema["anyOf"] = _spliced(
                [self._emit(one, cap, shared) for one in node.any_of]
            )
        return schema


def _spliced(branches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lift the branches of a union inside a union, if there is room for them."""
    flat = [
        inner
        for branch in branches
        for inner in (branch["anyOf"] if branch.keys() == {"anyOf"} else [branch])
    ]
    distinct = [one for at, one in enumerate(flat) if one not in flat[:at]]
    return distinct if 1 < len(distinct) <= MAX_ANY_OF else branches


def _described(text: str, notes: Sequence[str], cap: int | None) -> dict[str, str]:
    """Return `{"description": ...}`, or nothing if there is nothing to say.

    A cap cuts the description first: the notes are rules for the answer.
    """
    rules = "; ".join(notes)
    rules = rules[:1].upper() + rules[1:] + ("." if rules else "")
    if cap is not None:
        rules = _cut(rules, cap)
        text = _cut(text, max(0, cap - len(rules)))
    if text and rules and text[-1] not in ".!?:;…":
        text += "."
    told = " ".join(part for part in (text, rules) if part)
    return {"description": told} if told else {}


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return text[: most - 1].rstrip() + "…" if most > 1 else ""


def _distinct_names(pointers: Iterable[str]) -> dict[str, str]:
    """Return a name under `$defs` for each pointer."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for pointer in pointers:
        base = name = sanitise_name(_last(pointer)) or "shared"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names[pointer] = name
    return names


# ------------------------------------------------------------------------- small parts


def _unwrap(schema: dict[str, Any]) -> dict[str, Any]:
    """Lift a lone member of `allOf`, as Pydantic before 2.9 writes references."""
    members: object = schema.get("allOf")
    if _is_list(members) and len(members) == 1:
        only: object = members[0]
        rest = {k: v for k, v in schema.items() if k != "allOf"}
        if _is_dict(only) and only.keys() == {"$ref"} and "$ref" not in rest:
            return {**rest, **only}
    return schema


def _structural(schema: dict[str, Any], *, ignoring: str) -> bool:
    """Tell whether a schema says more than annotations."""
    kept = (_HANDLED | _ONLY_FOR.keys() | {"format"}) - {
        "$defs",
        "definitions",
        "description",
        "discriminator",
    }
    return any(key in kept for key in schema if key != ignoring)


def _without_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is said of a whole union already."""
    return {
        key: value
        for key, value in schema.items()
        if key in _HANDLED - {"description"} or key in _ONLY_FOR or key == "format"
    }


def _of_type(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the part of a schema with several types that is about one."""
    return {**_without_words(schema), "type": kind}


def _overlap(union: _Node) -> bool:
    """Tell whether a value may be of two branches at once, judged by their types."""
    kinds = [_broad(branch.keywords.get("type")) for branch in union.any_of]
    return None in kinds or len(set(kinds)) < len(kinds)


def _broad(kind: str | None) -> str | None:
    return "number" if kind == "integer" else kind


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "integer" if isinstance(value, int) else "number"


def _fits(value: Any, kind: str) -> bool:
    own = _kind_of(value)
    if kind == "number":
        return own in {"integer", "number"}
    if kind == "integer" and own == "number":
        return bool(value == math.floor(value)) if math.isfinite(value) else False
    return own == kind


def _identity(value: Any) -> tuple[str, str]:
    """Return what makes a value itself, as JSON has it: `1` is not `true`."""
    return type(value).__name__, _json(value)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and _identity(one) == _identity(other)


def _contains(values: Any, value: Any) -> bool:
    return _is_list(values) and any(_same(one, value) for one in values)


def _number(value: Any) -> int | float | None:
    """Return a bound; an infinite one bounds nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _join(first: str, second: str) -> str:
    """Join two descriptions, or say what both say once."""
    if not first or not second or first == second:
        return first or second
    return f"{first if first[-1] in '.!?:;' else first + '.'} {second}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _last(pointer: str) -> str:
    return _unescape(pointer.rpartition("/")[2]) if "/" in pointer else ""


def _unescape(step: str) -> str:
    from urllib.parse import unquote

    return unquote(step).replace("~1", "/").replace("~0", "~")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _with_joined_enums(nodes: Sequence[_Node]) -> list[_Node]:
    """Join the plain enums of a type, to save branches."""
    joined: list[_Node] = []
    by_type: dict[str, _Node] = {}
    for node in nodes:
        kind: str = node.keywords.get("type", "")
        if node.keywords.keys() != {"type", "enum"} or node.description or node.notes:
            joined.append(node)
        elif kind in by_type:
            by_type[kind].keywords["enum"] += node.keywords["enum"]
        else:
            by_type[kind] = _Node({"type": kind, "enum": [*node.keywords["enum"]]})
            joined.append(by_type[kind])
    for node in by_type.values():
        node.keywords["enum"] = list(dict.fromkeys(node.keywords["enum"]))
    return joined


# ----------------------------------------------------------------------- plain words

_WORDS: dict[str, Callable[[Any], str]] = {
    "contains": lambda value: f"one item must be {_outline(value)}",
    "contentEncoding": lambda value: f"encoded as {value}",
    "contentMediaType": lambda value: f"content of type {value}",
    "dependencies": lambda value: f"dependencies {_json(value)}",
    "dependentRequired": lambda value: "; ".join(
        f"with {name!r} also {', '.join(map(repr, also))}"
        for name, also in value.items()
    ),
    "dependentSchemas": lambda value: f"dependent schemas {_json(value)}",
    "else": lambda value: f"else {_outline(value)}",
    "exactItems": lambda value: f"exactly {_count(value, 'item')}",
    "exactLength": lambda value: f"exactly {_count(value, 'character')}",
    "format": lambda value: _FORMATS.get(value, f"format {value}"),
    "if": lambda value: f"if the value is {_outline(value)}",
    "maxContains": lambda value: f"at most {value} such items",
    "maxItems": lambda value: f"at most {_count(value, 'item')}",
    "maxLength": lambda value: f"at most {_count(value, 'character')}",
    "maxProperties": lambda value: f"at most {_count(value, 'property')}",
    "minContains": lambda value: f"at least {value} such items",
    "minItems": lambda value: f"at least {_count(value, 'item')}",
    "minLength": lambda value: f"at least {_count(value, 'character')}",
    "minProperties": lambda value: f"at least {_count(value, 'property')}",
    "multipleOf": lambda value: f"a multiple of {_json(value)}",
    "not": lambda value: f"not {_outline(value)}",
    "pattern": lambda value: f"must match the regular expression `{value}`",
    "propertyNames": lambda value: f"each key is {_outline(value)}",
    "then": lambda value: f"then {_outline(value)}",
    "uniqueItems": lambda value: "no item twice" if value else "",
}
_ANNOTATION_WORDS: dict[str, Callable[[Any], str]] = {
    # Null is what leaving a property out means anyhow.
    "default": lambda value: f"default: {_json(value)}" if value is not None else "",
    "deprecated": lambda value: "deprecated" if value else "",
    "example": lambda value: f"for example {_json(value)}",
    "examples": lambda value: (
        "for example " + ", ".join(map(_json, value))
        if _is_list(value) and value
        else ""
    ),
    "readOnly": lambda value: "read-only" if value else "",
    "writeOnly": lambda value: "write-only" if value else "",
}


def _say(key: str, value: Any) -> str:
    """Return a keyword's meaning in words; empty if it has none."""
    # Lower bounds of zero bound nothing.
    if key.startswith("min") and value == 0:
        return ""
    known = _WORDS.get(key) or _ANNOTATION_WORDS.get(key)
    if known is not None:
        try:
            return known(value)
        except (TypeError, AttributeError):
            return f"{key}: {_json(value)}"
    # Unknown to JSON Schema: a hint of the author's, such as a unit.
    if isinstance(value, str):
        return f"{key}: {value}"
    return f"{key}: {_json(value)}" if isinstance(value, (int, float)) else ""


def _count(value: Any, noun: str) -> str:
    if value == 1:
        return f"1 {noun}"
    return f"{value} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def _outline(schema: Any) -> str:
    """Return a schema in a few words."""
    if _is_dict(schema):
        given = schema
        kind: object = given.get("type")
        if set(given) - {"title"} == {"type"} and isinstance(kind, str):
            return f"{'an' if kind[0] in 'aio' else 'a'} {kind}"
        if isinstance(given.get("$ref"), str):
            return f"a {_last(given['$ref'])}"
        return _json({k: v for k, v in given.items() if k not in _DROPPED})
    return _json(schema)


def _with_exact_counts(schema: dict[str, Any]) -> dict[str, Any]:
    """Say "exactly" where the least and the most are the same."""
    for least, most, exact in (
        ("minItems", "maxItems", "exactItems"),
        ("minLength", "maxLength", "exactLength"),
    ):
        if least in schema and _same(schema[least], schema.get(most)):
            value = schema[least]
            schema = {k: v for k, v in schema.items() if k not in {least, most}}
            schema[exact] = value
    return schema


# ---------------------------------------------------------------------------- checking


def is_strict_compatible(schema: Any) -> list[str]:
    """List what keeps a schema out of the strict subset; empty if it fits.

    Titles pass: the service takes what Pydantic writes there. Every other keyword that
    is not known to be accepted is told.

    Args:
        schema: A JSON Schema as it would be sent.

    Returns:
        One line a problem, each beginning with the path.
    """
    return _Checker(schema).problems()


class _Checker:
    """Walks a schema as the service does."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._found: list[str] = []
        self._properties = 0
        self._enum_values = 0
        self._scope = ""
        self._depths: dict[str, int] = {}
        """How deep each definition is, the root under an empty name."""
        self._references: dict[str, list[tuple[str, int]]] = {}
        """What each refers to, and how deep inside."""

    def problems(self) -> list[str]:
        if not _is_dict(self._schema):
            return [f"$: a schema must be a dict, not {type(self._schema).__name__}"]
        schema = self._schema
        if schema.get("type") != "object":
            self._tell("$", "the root must be of type 'object'")
        try:
            self._node(schema, "$", 0)
            definitions: object = schema.get("$defs", {})
            if _is_dict(definitions):
                for name, one in definitions.items():
                    self._scope = name
                    self._node(one, f"$.$defs.{name}", 0)
            depth = self._whole_depth("", ())
            if depth > MAX_DEPTH:
                self._tell("$", f"nested {depth} deep, and the limit is {MAX_DEPTH}")
        except RecursionError:
            self._tell("$", "the schema is nested too deep")
        for what, count, limit in (
            ("characters", len(_json(schema)), MAX_SCHEMA_CHARS),
            ("properties", self._properties, MAX_PROPERTIES),
            ("enum values", self._enum_values, MAX_ENUM_VALUES),
        ):
            if count > limit:
                self._tell("$", f"{count} {what}, and the limit is {limit}")
        return list(dict.fromkeys(self._found))

    def _tell(self, path: str, text: str) -> None:
        self._found.append(f"{path}: {text}")

    def _node(self, given: Any, path: str, depth: int) -> None:
        if not _is_dict(given):
            self._tell(path, f"{given!r} is no typed schema")
            return
        schema = given
        for key in sorted(map(str, schema.keys() - _KEPT - {"title"})):
            self._tell(path, f"keyword '{key}' is not part of the strict subset")
        if path != "$" and "$defs" in schema:
            self._tell(path, "'$defs' must stand at the root")
        self._reference(schema, path, depth)
        self._any_of(schema, path, depth)
        kind: object = schema.get("type")
        if _is_list(kind):
            self._tell(path, "a list of types is not accepted; use anyOf")
        elif kind is None and not schema.keys() & {"$ref", "anyOf"}:
            self._tell(path, "a type is missing")
        elif kind is not None and kind not in _TYPES:
            self._tell(path, f"type {kind!r} is unknown")
        else:
            self._enum(schema, kind, path)
        holds = isinstance(kind, str) and kind in {"object", "array"}
        deepest = self._depths.get(self._scope, 0)
        self._depths[self._scope] = max(deepest, depth + holds)
        if kind == "object":
            self._object(schema, path, depth)
        if kind == "array":
            if "items" not in schema:
                self._tell(path, "'items' is missing")
            else:
                self._node(schema["items"], f"{path}.items", depth + 1)

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> None:
        if schema.get("additionalProperties") is not False:
            self._tell(path, "'additionalProperties' must be false")
        properties: object = schema.get("properties", {})
        if not _is_dict(properties):
            self._tell(path, "'properties' must be a dict")
            return
        named = properties
        self._properties += len(named)
        required: object = schema.get("required", [])
        if not _is_list(required):
            self._tell(path, "'required' must be a list of names")
            return
        for name in required:
            if not isinstance(name, str) or name not in named:
                self._tell(path, f"required names {name!r}, which is no property")
        for name, child in named.items():
            self._node(child, f"{path}.properties.{name}", depth + 1)

    def _enum(self, schema: dict[str, Any], kind: object, path: str) -> None:
        values: object = schema.get("enum")
        if values is None:
            return
        if not _is_list(values) or not values:
            self._tell(path, "'enum' must be a list of values")
            return
        listed = values
        self._enum_values += len(listed)
        if isinstance(kind, str):
            for value in listed:
                if isinstance(value, (dict, list)) or not _fits(value, kind):
                    self._tell(path, f"enum value {_json(value)} is no {kind}")

    def _any_of(self, schema: dict[str, Any], path: str, depth: int) -> None:
        branches: object = schema.get("anyOf")
        if branches is None:
            return
        if not _is_list(branches) or not branches:
            self._tell(path, "'anyOf' must be a list of schemas")
            return
        listed = branches
        if len(listed) > MAX_ANY_OF:
            self._tell(
                path, f"{len(listed)} branches of anyOf, and the limit is {MAX_ANY_OF}"
            )
        for at, branch in enumerate(listed):
            self._node(branch, f"{path}.anyOf[{at}]", depth)

    def _reference(self, schema: dict[str, Any], path: str, depth: int) -> None:
        ref: object = schema.get("$ref")
        if ref is None:
            return
        name = ref.removeprefix("#/$defs/") if isinstance(ref, str) else ""
        definitions: object = self._schema.get("$defs")
        if ref != f"#/$defs/{name}" or not name:
            self._tell(path, f"$ref {ref!r} does not point into '$defs'")
        elif not _is_dict(definitions) or _unescape(name) not in definitions:
            self._tell(path, f"$ref '{ref}' points to nothing")
        else:
            found = self._references.setdefault(self._scope, [])
            found.append((_unescape(name), depth))

    def _whole_depth(self, scope: str, above: tuple[str, ...]) -> int:
        """Return how deep a definition is with its references; tell of recursion."""
        known = self._depths.get(scope, 0)
        if scope in above:
            cycle = " -> ".join((*above[above.index(scope) :], scope))
            self._tell("$", f"the schema is recursive: {cycle}")
            return known
        # Once followed, a definition's depth is its whole depth.
        for name, depth in self._references.pop(scope, []):
            known = max(known, depth + self._whole_depth(name, (*above, scope)))
        self._depths[scope] = known
        return known


# --------------------------------------------------------------------- response format


@dataclass(frozen=True, slots=True)
class _Source:
    """A schema as somebody gave it."""

    schema: dict[str, Any]
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


def sanitise_name(name: str) -> str:
    """Return a name that the service takes: letters, digits, `_`, `-`, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64]


def json_schema_of(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema of what users give as a schema.

    Args:
        schema: A Pydantic (v2) class, TypedDict, dataclass, function or LangChain tool,
            or a dict: a JSON Schema, an OpenAI function or tool, or a response format.

    Raises:
        CerebrasInvalidRequestError: It is none of these.
        SchemaNotSupportedError: A class holds what JSON Schema cannot express.
        UnsupportedFeatureError: A class of Pydantic v1.
    """
    return _source(schema).schema


def response_format_for(
    schema: Any,
    *,
    strict: bool | None = None,
    name: str | None = None,
    description: str | None = None,
) -> ResponseFormat:
    """Return the response format for a schema of any kind.

    Args:
        schema: As `json_schema_of` takes it, or a whole response format.
        strict: True adapts the schema to the strict subset; `None` keeps what a
            response format says, and else leaves it to the service.
        name: Overrides the schema's own name.
        description: Overrides the schema's own description.

    Returns:
        A new dict, the caller's to change.

    Raises:
        CerebrasInvalidRequestError: The schema is of no known kind, or says another
            `strict` than the call.
        SchemaNotSupportedError: The strict subset cannot express it.
        UnsupportedFeatureError: A class of Pydantic v1.
    """
    if _is_dict(schema):
        given = schema
        if given.get("type") in {"text", "json_object"} and len(given) == 1:
            return cast("ResponseFormat", dict(given))
    source = _source(schema)
    if strict is None:
        strict = source.strict
    elif source.strict is not None and source.strict is not strict:
        msg = (
            f"strict={strict} was asked for, but the response format says "
            f"strict={source.strict}. Take it out of one of them."
        )
        raise CerebrasInvalidRequestError(msg)
    title: object = source.schema.get("title")
    own = source.name or (title if isinstance(title, str) else "")
    shown = sanitise_name(name or own) or "response"
    described = description or source.description
    body = dict(source.schema)
    if not described:
        # Told once, where the API has a place for it.
        described = _text(body.pop("description", ""))
    inner: JsonSchemaFormat = {"name": shown}
    if described:
        inner["description"] = described
    inner["schema"] = strict_schema(body, shown) if strict else _copied(body)
    if strict is not None:
        inner["strict"] = strict
    return {"type": "json_schema", "json_schema": inner}


def strict_schema(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Adapt a schema, and log a warning if its descriptions had to be cut.

    Raises:
        SchemaNotSupportedError: As `adapt_schema` does.
    """
    adapted = adapt_schema(schema, name=name)
    if adapted.shortened:
        _logger.warning(
            "The descriptions in schema '%s' were cut: with them its text has more "
            "than the %d characters that Cerebras takes with strict=True.",
            name,
            MAX_SCHEMA_CHARS,
        )
    return adapted.schema


def _copied(value: Any) -> Any:
    """Copy dicts and lists, which is all that JSON can change."""
    if _is_dict(value):
        return {k: _copied(v) for k, v in value.items()}
    if _is_list(value):
        return [_copied(one) for one in value]
    return value


def _source(schema: Any) -> _Source:
    if _is_dict(schema):
        return _source_of_dict(schema)
    given: object = schema
    if isinstance(given, type):
        return _source_of_class(given)
    if callable(given) or hasattr(given, "tool_call_schema"):
        return _source_by_langchain(given)
    msg = (
        f"A {type(given).__name__} is no schema. Give a Pydantic class, a TypedDict, "
        "a dataclass or a JSON Schema dict."
    )
    raise CerebrasInvalidRequestError(msg)


def _source_of_class(schema: type) -> _Source:
    import dataclasses

    from langchain_core.utils.pydantic import (
        is_pydantic_v1_subclass,
        is_pydantic_v2_subclass,
    )
    from typing_extensions import is_typeddict

    if is_pydantic_v1_subclass(schema):
        msg = (
            f"{schema.__name__} is a class of Pydantic v1, which has no schema for "
            "method='json_schema'. Use pydantic.BaseModel, or "
            "method='function_calling'."
        )
        raise UnsupportedFeatureError(msg)
    if is_pydantic_v2_subclass(schema):
        return _source_of_pydantic(schema)
    if is_typeddict(schema):
        return _source_of_typed_dict(schema)
    if dataclasses.is_dataclass(schema):
        return _source_of_type(cast("type", schema))
    return _source_by_langchain(schema)


def _source_of_dict(given: dict[str, Any]) -> _Source:
    inner: object = given.get("json_schema")
    if given.get("type") == "json_schema" and _is_dict(inner):
        return _source_of_format(inner)
    if given.get("type") == "json_schema":  # as OpenAI's Responses API has it
        return _source_of_format({k: v for k, v in given.items() if k != "type"})
    if _is_dict(given.get("schema")) and isinstance(given.get("name"), str):
        return _source_of_format(given)
    wrapped = given.get("type") == "function" and "function" in given
    if wrapped or "input_schema" in given or "parameters" in given:
        source = _source_by_langchain(given)
        function: dict[str, Any] = given["function"] if wrapped else given
        return _Source(source.schema, strict=function.get("strict"))
    return _Source(given)


def _source_of_format(inner: dict[str, Any]) -> _Source:
    body: object = inner.get("schema")
    if not _is_dict(body):
        msg = (
            "A response format of type 'json_schema' needs a schema: "
            '{"name": ..., "schema": {...}, "strict": ...}.'
        )
        raise CerebrasInvalidRequestError(msg)
    for key in sorted(inner.keys() - {"name", "description", "schema", "strict"}):
        msg = (
            f"Key '{key}' of the response format is not part of the API. Known are "
            "name, description, schema and strict."
        )
        raise CerebrasInvalidRequestError(msg)
    return _Source(
        body,
        inner.get("name"),
        inner.get("description"),
        inner.get("strict"),
    )


def _source_of_pydantic(schema: type) -> _Source:
    from pydantic.errors import PydanticUserError

    try:
        return _Source(cast("Any", schema).model_json_schema(), schema.__name__)
    except (PydanticUserError, NameError) as error:
        _refuse_class(schema, error)


def _source_of_type(schema: type) -> _Source:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(schema)
        return _Source(adapter.json_schema(), schema.__name__)
    except (PydanticUserError, NameError) as error:
        _refuse_class(schema, error)


def _source_of_typed_dict(schema: type) -> _Source:
    """Convert as LangChain does; by Pydantic what LangChain's way cannot read."""
    from langchain_core.utils.function_calling import convert_to_json_schema

    try:
        return _Source(convert_to_json_schema(cast("Any", schema)))
    except (TypeError, ValueError, NameError, RuntimeError, KeyError):
        return _source_of_type(schema)


def _source_by_langchain(schema: Any) -> _Source:
    from langchain_core.utils.function_calling import convert_to_json_schema

    try:
        return _Source(convert_to_json_schema(schema))
    except (TypeError, ValueError, NameError, KeyError, AttributeError) as error:
        msg = (
            f"Cannot read a schema from {_named(schema)} "
            f"({str(error).partition(chr(10))[0].rstrip('.')}). Give a Pydantic class, "
            "a TypedDict or a JSON Schema dict."
        )
        raise CerebrasInvalidRequestError(msg) from error


def _named(schema: Any) -> str:
    """Return the name of a class or function; objects may hold secrets."""
    name: object = getattr(schema, "__name__", None)
    return f"'{name}'" if name else f"a {type(schema).__name__}"


def _refuse_class(schema: type, error: Exception) -> NoReturn:
    msg = (
        f"The class {schema.__name__} has no JSON Schema: "
        f"{str(error).partition(chr(10))[0]}"
    )
    raise SchemaNotSupportedError(msg, path="$") from error
