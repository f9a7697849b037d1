"""The service's rules for strict schemas.

From the documentation as of 2026-08: objects closed, definitions under `$defs`, no
recursion, and limits on length, nesting, properties, enum values and branches.
Keywords that constrained decoding cannot follow are refused by name.
"""

from __future__ import annotations

from typing import Any

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    dump_text,
    fields_of,
    items_of,
)
from langchain_cerebras_ext.simulator.fill import resolve_pointer

SCHEMA_CHARS = 5_000
NESTING = 10
PROPERTIES = 500
ENUM_VALUES = 500
BRANCHES = 5

# The documentation names the first four; the others are of the same kind.
UNSUPPORTED = frozenset(
    {
        "pattern",
        "format",
        "minItems",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedItems",
        "unevaluatedProperties",
        "if",
        "then",
        "else",
        "not",
    }
)


def strict_problems(schema: JsonObject) -> list[str]:
    """Return what the service would refuse in a strict schema, in its words.

    Args:
        schema: The root schema.

    Returns:
        One text for each broken rule; empty if there is none.
    """
    if len(dump_text(schema)) > SCHEMA_CHARS:
        return [f"Schema is too long: the limit is {SCHEMA_CHARS} characters."]
    walk = _Walk(schema)
    if schema.get("type") != "object":
        walk.problems.append("Schema root must be of type 'object'.")
    walk.visit(schema, "$", 1, ())
    for name, shape in fields_of(schema.get("$defs")).items():
        walk.visit(shape, f"$.$defs.{name}", 1, ())
    return walk.result()


class _Walk:
    """Goes through a schema, following references, and collects what is wrong."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._unsupported: set[str] = set()
        self._properties: set[str] = set()
        self._enum_values = 0
        self._counted: set[int] = set()
        self._deepest: dict[tuple[int, int], None] = {}
        self.problems: list[str] = []

    def result(self) -> list[str]:
        """Return all problems, each once."""
        found = list(dict.fromkeys(self.problems))
        if self._unsupported:
            names = ", ".join(repr(name) for name in sorted(self._unsupported))
            found.insert(0, f"Unsupported JSON schema fields: {{{names}}}")
        if len(self._properties) > PROPERTIES:
            found.append(
                f"Schema has {len(self._properties)} properties: "
                f"the limit is {PROPERTIES}."
            )
        if self._enum_values > ENUM_VALUES:
            found.append(
                f"Schema has {self._enum_values} enum values: "
                f"the limit is {ENUM_VALUES}."
            )
        return found

    def visit(
        self, schema: Any, path: str, depth: int, references: tuple[str, ...]
    ) -> None:
        """Check one schema and what is in it.

        Args:
            schema: Should be an object.
            path: Where it is.
            depth: How many objects and arrays are around it, itself included.
            references: The `$ref` that were followed to get here.
        """
        shape = as_object(schema)
        if shape is None:
            self.problems.append(f"{path}: a schema must be an object.")
            return
        # One shape reached twice at one depth says nothing new; keeps this linear.
        if (id(shape), depth) in self._deepest:
            return
        self._deepest[id(shape), depth] = None
        self._unsupported |= UNSUPPORTED & set(shape)
        if "definitions" in shape:
            self.problems.append(f"{path}: use '$defs' in place of 'definitions'.")
        if as_list(shape.get("type")) is not None:
            self.problems.append(f"{path}: list types are not supported, use 'anyOf'.")
        if depth > NESTING and shape.get("type") in ("object", "array"):
            self.problems.append(f"{path}: nesting is limited to {NESTING} levels.")
            return
        self._count(shape, path)
        self._follow(shape, path, depth, references)
        self._object(shape, path, depth, references)
        self._array(shape, path, depth, references)
        for key in ("anyOf", "oneOf", "allOf"):
            branches = items_of(shape.get(key))
            if len(branches) > BRANCHES:
                self.problems.append(
                    f"{path}.{key}: has {len(branches)} branches: "
                    f"the limit is {BRANCHES}."
                )
            for at, branch in enumerate(branches):
                self.visit(branch, f"{path}.{key}[{at}]", depth, references)

    def _count(self, shape: JsonObject, path: str) -> None:
        if id(shape) in self._counted:
            return
        self._counted.add(id(shape))
        self._enum_values += len(items_of(shape.get("enum")))
        for name in fields_of(shape.get("properties")):
            self._properties.add(f"{path}.{name}")

    def _follow(
        self, shape: JsonObject, path: str, depth: int, references: tuple[str, ...]
    ) -> None:
        reference = shape.get("$ref")
        if reference is None:
            return
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            self.problems.append(
                f"{path}: '$ref' must point into '#/$defs/', not {reference!r}."
            )
        elif reference in references:
            self.problems.append(f"{path}: recursive schemas are not supported.")
        else:
            target = resolve_pointer(self._root, reference)
            if target is None:
                self.problems.append(f"{path}: '$ref' {reference!r} leads nowhere.")
            else:
                self.visit(target, path, depth, (*references, reference))

    def _object(
        self, shape: JsonObject, path: str, depth: int, references: tuple[str, ...]
    ) -> None:
        if shape.get("type") != "object" and "properties" not in shape:
            return
        if shape.get("additionalProperties") is not False:
            self.problems.append(
                f"{path}: 'additionalProperties' must be false on every object."
            )
        for name, inner in fields_of(shape.get("properties")).items():
            self.visit(inner, f"{path}.properties.{name}", depth + 1, references)

    def _array(
        self, shape: JsonObject, path: str, depth: int, references: tuple[str, ...]
    ) -> None:
        items = shape.get("items")
        if items is True:
            self.problems.append(f"{path}: 'items: true' is not supported.")
        elif items is not None and items is not False:
            self.visit(items, f"{path}.items", depth + 1, references)
        for at, inner in enumerate(items_of(shape.get("prefixItems"))):
            self.visit(inner, f"{path}.prefixItems[{at}]", depth + 1, references)
