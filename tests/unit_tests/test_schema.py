"""Schemas are adapted to the strict subset, or the part that cannot be is named."""

import copy
import dataclasses
import datetime as dt
import enum
import functools
import json
import logging
import operator
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model
from pydantic.v1 import create_model as create_model_v1
from typing_extensions import TypedDict
from work import count_calls

from langchain_cerebras_ext._schema import (
    adapt_schema,
    is_strict_compatible,
    json_schema_of,
    response_format_for,
    sanitise_name,
)
from langchain_cerebras_ext.errors import (
    CerebrasInvalidRequestError,
    SchemaNotSupportedError,
    UnsupportedFeatureError,
)

# ------------------------------------------------------- an independent reading of it

ALLOWED = {
    "string": {"type", "description", "enum"},
    "boolean": {"type", "description", "enum"},
    "null": {"type", "description"},
    "integer": {"type", "description", "enum", "minimum", "maximum"},
    "number": {"type", "description", "enum", "minimum", "maximum"},
    "array": {"type", "description", "items"},
    "object": {
        "type",
        "description",
        "properties",
        "required",
        "additionalProperties",
    },
}
PYTHON_TYPES = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def assert_strict(schema):
    """Check a schema against the published rules, written down anew."""
    assert schema["type"] == "object"
    assert len(json.dumps(schema, separators=(",", ":"), ensure_ascii=False)) <= 5000
    definitions = schema.get("$defs", {})
    totals = {"properties": 0, "enum": 0}

    def walk(node, depth, above):
        assert isinstance(node, dict)
        if "$ref" in node:
            assert set(node) == {"$ref"}
            name = node["$ref"].removeprefix("#/$defs/")
            assert name not in above, "recursion"
            return walk(definitions[name], depth, (*above, name))
        if "anyOf" in node:
            assert set(node) <= {"anyOf", "description"}
            assert 1 <= len(node["anyOf"]) <= 5
            for branch in node["anyOf"]:
                walk(branch, depth, above)
            return None
        kind = node["type"]
        extra = {"$defs"} if node is schema else set()
        assert set(node) <= ALLOWED[kind] | extra, node
        if "description" in node:
            assert isinstance(node["description"], str)
            assert node["description"]
        if "enum" in node:
            totals["enum"] += len(node["enum"])
            assert node["enum"]
            for value in node["enum"]:
                assert isinstance(value, PYTHON_TYPES[kind])
                assert kind == "boolean" or not isinstance(value, bool)
        if kind == "object":
            assert depth < 10
            assert node["additionalProperties"] is False
            assert set(node.get("required", ())) <= set(node["properties"])
            totals["properties"] += len(node["properties"])
            for child in node["properties"].values():
                walk(child, depth + 1, above)
        if kind == "array":
            assert depth < 10
            walk(node["items"], depth + 1, above)
        return None

    walk(schema, 0, ())
    assert totals["properties"] <= 500
    assert totals["enum"] <= 500


def obj(properties=None, **more):
    return {"type": "object", "properties": properties or {}, **more}


def closed(properties, **more):
    return {**obj(properties), "additionalProperties": False, **more}


def adapted_property(schema, **root):
    """Adapt an object with one property, and return that."""
    result = adapt_schema(obj({"x": schema}, **root))
    assert_strict(result.schema)
    assert is_strict_compatible(result.schema) == []
    return result.schema["properties"]["x"]


# ------------------------------------------------------------------------- each rule

CASES = {
    "plain type": ({"type": "string"}, {"type": "string"}),
    "title dropped": ({"type": "string", "title": "X"}, {"type": "string"}),
    "number bounds kept": (
        {"type": "number", "minimum": 0, "maximum": 1.5},
        {"type": "number", "minimum": 0, "maximum": 1.5},
    ),
    "infinite bound dropped": (
        {"type": "number", "minimum": float("-inf")},
        {"type": "number"},
    ),
    "exclusive bounds of an integer are exact": (
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 9},
        {"type": "integer", "minimum": 4, "maximum": 8},
    ),
    "exclusive bounds of a number": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {
            "type": "number",
            "description": "Greater than 0.",
            "minimum": 0,
            "maximum": 1,
        },
    ),
    "exclusive bound as draft 4 has it": (
        {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        {"type": "integer", "minimum": 1},
    ),
    "pattern and lengths": (
        {
            "type": "string",
            "pattern": "^a+$",
            "minLength": 1,
            "maxLength": 9,
            "description": "A word",
        },
        {
            "type": "string",
            "description": (
                "A word. Must match the regular expression `^a+$`; at least 1 "
                "character; at most 9 characters."
            ),
        },
    ),
    "equal lengths": (
        {"type": "string", "minLength": 2, "maxLength": 2},
        {"type": "string", "description": "Exactly 2 characters."},
    ),
    "known format": (
        {"type": "string", "format": "uuid"},
        {"type": "string", "description": "A UUID."},
    ),
    "unknown format": (
        {"type": "string", "format": "iban"},
        {"type": "string", "description": "Format iban."},
    ),
    "list rules": (
        {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 1,
            "maxItems": 3,
            "uniqueItems": True,
        },
        {
            "type": "array",
            "description": "At least 1 item; at most 3 items; no item twice.",
            "items": {"type": "integer"},
        },
    ),
    "least of zero says nothing": (
        {"type": "array", "items": {"type": "string"}, "minItems": 0},
        {"type": "array", "items": {"type": "string"}},
    ),
    "multiple": (
        {"type": "number", "multipleOf": 0.5},
        {"type": "number", "description": "A multiple of 0.5."},
    ),
    "default and examples": (
        {"type": "string", "default": "é", "examples": ["a", "b"]},
        {"type": "string", "description": 'Default: "é"; for example "a", "b".'},
    ),
    "null default says nothing": (
        {"type": "string", "default": None},
        {"type": "string"},
    ),
    "author's own keyword": (
        {"type": "number", "unit": "km"},
        {"type": "number", "description": "Unit: km."},
    ),
    "condition": (
        {"type": "string", "not": {"type": "string", "enum": ["a"]}},
        {"type": "string", "description": 'Not {"type":"string","enum":["a"]}.'},
    ),
    "contains": (
        {
            "type": "array",
            "items": {"type": "integer"},
            "contains": {"type": "integer"},
        },
        {
            "type": "array",
            "description": "One item must be an integer.",
            "items": {"type": "integer"},
        },
    ),
    "const": ({"const": "a"}, {"type": "string", "enum": ["a"]}),
    "const null": ({"const": None}, {"type": "null"}),
    "const true": ({"const": True}, {"type": "boolean", "enum": [True]}),
    "enum gets a type": ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    "enum of numbers": ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
    "enum of booleans": ({"enum": [True, False]}, {"type": "boolean"}),
    "mixed enum": (
        {"enum": ["a", 1, None, True]},
        {
            "anyOf": [
                {"type": "string", "enum": ["a"]},
                {"type": "integer", "enum": [1]},
                {"type": "null"},
                {"type": "boolean", "enum": [True]},
            ]
        },
    ),
    "enum beside a type": (
        {"type": "string", "enum": ["a", 1]},
        {"type": "string", "enum": ["a"]},
    ),
    "list of types": (
        {"type": ["string", "null"], "minLength": 2, "description": "Name"},
        {
            "description": "Name",
            "anyOf": [
                {"type": "string", "description": "At least 2 characters."},
                {"type": "null"},
            ],
        },
    ),
    "list of one type": ({"type": ["string"]}, {"type": "string"}),
    "integer is a number": ({"type": ["integer", "number"]}, {"type": "number"}),
    "nullable": (
        {"type": "string", "nullable": True, "default": "a"},
        {
            "description": 'Default: "a".',
            "anyOf": [{"type": "string"}, {"type": "null"}],
        },
    ),
    "oneOf of different types": (
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    "oneOf of one type": (
        {"oneOf": [{"type": "string"}, {"type": "string", "minLength": 3}]},
        {
            "description": "Exactly one of the alternatives.",
            "anyOf": [
                {"type": "string"},
                {"type": "string", "description": "At least 3 characters."},
            ],
        },
    ),
    "equal branches": (
        {"anyOf": [{"type": "string", "title": "A"}, {"type": "string"}]},
        {"type": "string"},
    ),
    "union inside a union": (
        {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"const": 1}]},
        {
            "anyOf": [
                {"type": "string"},
                {"type": "null"},
                {"type": "integer", "enum": [1]},
            ]
        },
    ),
    "keywords beside a union": (
        {"minimum": 2, "anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]},
    ),
    "many branches of enums": (
        {"anyOf": [{"const": letter} for letter in "abcdefg"]},
        {"type": "string", "enum": list("abcdefg")},
    ),
    "allOf of objects": (
        {
            "allOf": [
                obj({"a": {"type": "string"}}, required=["a"]),
                obj({"b": {"type": "integer"}}, required=["b"]),
            ],
            "description": "Both",
        },
        {
            "type": "object",
            "description": "Both",
            "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    ),
    "allOf takes the tighter bound": (
        {
            "allOf": [{"type": "number", "minimum": 1}, {"type": "integer"}],
            "minimum": 3,
        },
        {"type": "integer", "minimum": 3},
    ),
    "allOf with two patterns tells both": (
        {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}]},
        {
            "type": "string",
            "description": (
                "Must match the regular expression `b$`; must match the regular "
                "expression `^a`."
            ),
        },
    ),
    "allOf of all else": (
        {
            "allOf": [
                {
                    "type": "array",
                    "items": {"type": "number"},
                    "description": "First",
                    "title": "A",
                    "nullable": True,
                },
                {
                    "items": {"minimum": 2},
                    "description": "Second",
                    "title": "B",
                    "nullable": False,
                },
            ]
        },
        {
            "type": "array",
            "description": "First. Second",
            "items": {"type": "number", "minimum": 2},
        },
    ),
    "allOf of enums": (
        {"allOf": [{"enum": ["a", "b", 1]}, {"enum": ["b", True]}, True]},
        {"type": "string", "enum": ["b"]},
    ),
    "allOf of one property": (
        {
            "allOf": [
                obj({"a": {"type": "number"}, "b": {"type": "null"}}),
                obj({"a": {"type": "integer"}, "b": {"type": "null"}}),
            ]
        },
        closed({"a": {"type": "integer"}, "b": {"type": "null"}}),
    ),
    "union and null": (
        {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
    ),
    "type of a bound format": (
        {"type": ["integer", "null"], "format": "int32"},
        {
            "anyOf": [
                {"type": "integer", "description": "Format int32."},
                {"type": "null"},
            ]
        },
    ),
    "closed object without properties": (
        {"type": "object", "additionalProperties": False},
        closed({}),
    ),
    "tuple closed by the last drafts' keyword": (
        {
            "type": "array",
            "prefixItems": [{"type": "string"}],
            "unevaluatedItems": False,
        },
        {"type": "array", "items": {"type": "string"}},
    ),
    "whole numbers of an integer enum": (
        {"type": "integer", "enum": [1, 2.0, 2.5]},
        {"type": "integer", "enum": [1, 2]},
    ),
    "type from properties": (
        {"properties": {"a": {"type": "null"}}},
        closed({"a": {"type": "null"}}),
    ),
    "type from items": (
        {"items": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}},
    ),
    "empty object": (obj(), closed({})),
    "tuple of one type": (
        {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "number"}],
            "minItems": 2,
            "maxItems": 2,
        },
        {
            "type": "array",
            "description": "Exactly 2 items.",
            "items": {"type": "number"},
        },
    ),
    "tuple of two types": (
        {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "string"}],
            "maxItems": 2,
        },
        {
            "type": "array",
            "description": ("At most 2 items; item 1 is a number; item 2 is a string."),
            "items": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        },
    ),
    "tuple as older drafts have it": (
        {
            "type": "array",
            "items": [{"type": "number"}],
            "additionalItems": {"type": "string"},
        },
        {
            "type": "array",
            "description": "Item 1 is a number.",
            "items": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        },
    ),
}


@pytest.mark.parametrize(("schema", "expected"), CASES.values(), ids=CASES)
def test_a_part_becomes_what_the_service_takes(schema, expected):
    """Each rule, on one property."""
    assert adapted_property(schema) == expected


REFUSED = {
    "map": (
        obj({"x": {"type": "object", "additionalProperties": {"type": "string"}}}),
        "$.properties.x",
        "list of objects with a 'key' and a 'value'",
    ),
    "open object": (
        obj({"x": obj({"a": {"type": "string"}}, additionalProperties=True)}),
        "$.properties.x",
        "additionalProperties allows keys that are not named",
    ),
    "pattern properties": (
        obj({"x": {"type": "object", "patternProperties": {"^a": {}}}}),
        "$.properties.x",
        "patternProperties",
    ),
    "bare object": (
        obj({"x": {"type": "object"}}),
        "$.properties.x",
        "names no properties",
    ),
    "any value": (obj({"x": {}}), "$.properties.x", "any value is allowed"),
    "true": (obj({"x": True}), "$.properties.x", "any value is allowed"),
    "false": (obj({"x": False}), "$.properties.x", "no value is allowed"),
    "untyped items": (
        obj({"x": {"type": "array", "items": {}}}),
        "$.properties.x.items",
        "any value is allowed",
    ),
    "items true": (
        obj({"x": {"type": "array", "items": True}}),
        "$.properties.x.items",
        "any value is allowed",
    ),
    "items missing": (
        obj({"x": {"type": "array"}}),
        "$.properties.x",
        "does not say what its items are",
    ),
    "open tuple": (
        obj({"x": {"type": "array", "prefixItems": [{"type": "string"}]}}),
        "$.properties.x",
        "may be anything",
    ),
    "recursion": (
        obj(
            {"tree": {"$ref": "#/$defs/Tree"}},
            **{
                "$defs": {
                    "Tree": obj({"leaf": {"$ref": "#/$defs/Leaf"}}),
                    "Leaf": obj({"back": {"$ref": "#/$defs/Tree"}}),
                }
            },
        ),
        "$.$defs.Leaf.properties.back",
        "Tree -> Leaf -> Tree",
    ),
    "recursion to the root": (
        obj({"child": {"$ref": "#"}}),
        "$.properties.child",
        "(root) -> (root)",
    ),
    "recursion by itself": (
        obj({"x": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": {"$ref": "#/$defs/A"}}}),
        "$.$defs.A",
        "A -> A",
    ),
    "recursion in allOf": (
        obj(
            {"x": {"$ref": "#/$defs/A"}},
            **{"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}, {"minimum": 1}]}}},
        ),
        "$.$defs.A",
        "A -> A",
    ),
    "dynamic reference": (
        obj({"x": {"$dynamicRef": "#node"}}),
        "$.properties.x",
        "recursive",
    ),
    "external reference": (
        obj({"x": {"$ref": "https://example.com/a.json"}}),
        "$.properties.x",
        "outside of the schema",
    ),
    "dangling reference": (
        obj({"x": {"$ref": "#/$defs/Nothing"}}),
        "$.properties.x",
        "points to nothing",
    ),
    "too many branches": (
        obj({"x": {"anyOf": [obj({c: {"type": "string"}}) for c in "abcdefg"]}}),
        "$.properties.x",
        "7 branches, and the limit is 5",
    ),
    "empty anyOf": (obj({"x": {"anyOf": []}}), "$.properties.x", "list of schemas"),
    "two unions in allOf": (
        obj(
            {
                "x": {
                    "allOf": [
                        {"anyOf": [{"type": "string"}, {"type": "null"}]},
                        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    ]
                }
            }
        ),
        "$.properties.x",
        "'anyOf' stands in two parts",
    ),
    "contrary types in allOf": (
        obj({"x": {"allOf": [{"type": "string"}, {"type": "integer"}]}}),
        "$.properties.x",
        "different types",
    ),
    "closed part in allOf": (
        obj(
            {
                "x": {
                    "allOf": [
                        closed({"a": {"type": "string"}}),
                        obj({"b": {"type": "string"}}),
                    ]
                }
            }
        ),
        "$.properties.x",
        "forbids the property 'b'",
    ),
    "enum of lists": (
        obj({"x": {"enum": [[1], [2]]}}),
        "$.properties.x",
        "an object or a list",
    ),
    "enum of another type": (
        obj({"x": {"type": "integer", "enum": ["a"]}}),
        "$.properties.x",
        "no value of the enum is of its type",
    ),
    "empty enum": (obj({"x": {"enum": []}}), "$.properties.x", "list of values"),
    "unknown type": (obj({"x": {"type": "any"}}), "$.properties.x", "unknown"),
    "required names nothing": (
        obj({"x": {"type": "string"}}, required=["y"]),
        "$",
        "'y', which is not among the properties",
    ),
    "two kinds of union": (
        obj({"x": {"anyOf": [{"type": "null"}], "oneOf": [{"type": "null"}]}}),
        "$.properties.x",
        "side by side",
    ),
    "const outside of enum": (
        obj({"x": {"const": "a", "enum": ["b"]}}),
        "$.properties.x",
        "const is not among enum",
    ),
    "enum of what is no JSON": (
        obj({"x": {"enum": [Decimal(1)]}}),
        "$.properties.x",
        "an enum holds Decimal, which is no JSON",
    ),
    "malformed part of allOf": (
        obj({"x": {"allOf": [{"type": "string"}, {"type": 3}]}}),
        "$.properties.x",
        "'type' has the form of int",
    ),
    "references in a circle": (
        {
            "allOf": [{"$ref": "#/$defs/A"}],
            "$defs": {
                "A": {"$ref": "#/$defs/B", "title": "A"},
                "B": {"$ref": "#/$defs/A", "title": "B"},
            },
        },
        "$",
        "A -> B -> A",
    ),
    "too deep through a reference": (
        obj(
            {"x": {"$ref": "#/$defs/Alias"}},
            **{
                "$defs": {
                    "Alias": {"$ref": "#/$defs/Deep"},
                    "Deep": functools.reduce(
                        lambda inner, _: {"type": "array", "items": inner},
                        range(10),
                        {"type": "string"},
                    ),
                }
            },
        ),
        "$.properties.x" + ".items" * 10,
        "nested 11 deep",
    ),
    "endless allOf": (
        functools.reduce(
            lambda inner, _: {"allOf": [inner]}, range(3000), {"type": "object"}
        ),
        "$",
        "nested more than 10 deep",
    ),
    "item of a list that is not there": (
        obj({"x": {"$ref": "#/allOf/3"}}, allOf=[{"type": "object"}]),
        "$.properties.x",
        "points to nothing",
    ),
    "root is a list": (
        {"type": "array", "items": {"type": "string"}},
        "$",
        "Wrap it in an object",
    ),
    "root is a union": (
        {"anyOf": [obj(), {"type": "null"}]},
        "$",
        "Wrap it in an object",
    ),
    "root is untyped": ({}, "$", "untyped"),
    "too deep": (
        obj(
            {
                "x": functools.reduce(
                    lambda inner, _: {"type": "array", "items": inner},
                    range(10),
                    {"type": "string"},
                )
            }
        ),
        "$.properties.x" + ".items" * 10,
        "nested 11 deep, and the limit is 10",
    ),
    "endlessly deep": (
        obj(
            {
                "x": functools.reduce(
                    lambda inner, _: {"type": "array", "items": inner},
                    range(300),
                    {"type": "string"},
                )
            }
        ),
        "$.properties.x" + ".items" * 63,
        "nested more than 10 deep",
    ),
    "too many enum values": (
        obj({"x": {"enum": list(range(501))}}),
        "$",
        "501 enum values in all, and the limit is 500",
    ),
    "too many properties": (
        obj({f"p{i}": {"type": "null"} for i in range(501)}),
        "$",
        "501 properties in all, and the limit is 500",
    ),
    "too much text": (
        obj({f"property_{i:0>30}": {"type": "string"} for i in range(100)}),
        "$",
        "the limit is 5000",
    ),
}


@pytest.mark.parametrize(("schema", "path", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_expressed_is_named(schema, path, told):
    """The error says which schema, where in it, why, and what to do."""
    with pytest.raises(SchemaNotSupportedError) as caught:
        adapt_schema(schema, name="Answer")
    message = str(caught.value)
    assert caught.value.path == path
    assert f"at {path}, " in message
    assert told in message
    assert message.startswith("The schema of 'Answer' cannot be expressed")
    assert isinstance(caught.value, ValueError)


def test_required_and_the_order_of_properties_stay():
    """A property that may be missing stays so; `required` keeps its order."""
    schema = obj({c: {"type": "null"} for c in "zab"}, required=["b", "z"])
    adapted = adapt_schema(schema).schema
    assert list(adapted["properties"]) == ["z", "a", "b"]
    assert adapted["required"] == ["b", "z"]
    assert "required" not in adapt_schema(obj({"a": {"type": "null"}})).schema


def test_the_input_is_not_changed_and_shares_nothing_with_the_result():
    """The result is the caller's to change."""
    schema = obj(
        {"a": {"enum": ["x"]}, "b": {"$ref": "#/definitions/B"}},
        required=["a"],
        definitions={"B": obj({"c": {"type": "string", "pattern": "a"}})},
    )
    before = copy.deepcopy(schema)
    first = adapt_schema(schema)
    first.schema["properties"]["a"]["enum"].append("y")
    first.schema["required"].append("b")
    assert schema == before
    second = adapt_schema(schema)
    assert second.schema["properties"]["a"]["enum"] == ["x"]
    assert second.schema["required"] == ["a"]
    assert json.dumps(second.schema) == json.dumps(adapt_schema(schema).schema)


def test_definitions_are_inlined_where_they_fit():
    """A reference is written out; what stands beside it is kept."""
    schema = obj(
        {
            "a": {"$ref": "#/definitions/P", "description": "First", "default": {}},
            "b": {"allOf": [{"$ref": "#/definitions/P"}], "description": "Second"},
            "c": {"$ref": "#/definitions/P", "required": ["x"]},
        },
        definitions={"P": obj({"x": {"type": "integer"}}, description="A point")},
    )
    adapted = adapt_schema(schema).schema
    assert_strict(adapted)
    assert "$defs" not in adapted
    assert [p.get("description") for p in adapted["properties"].values()] == [
        "First. A point. Default: {}.",
        "Second. A point",
        "A point",
    ]
    assert adapted["properties"]["c"]["required"] == ["x"]


def test_definitions_are_shared_where_they_do_not_fit_inlined():
    """What stands in many places goes under `$defs`, once; other references do not."""
    big = obj({f"field_{i}": {"type": "string"} for i in range(40)})
    schema = obj(
        {
            **{f"p{i}": {"$ref": "#/definitions/Big"} for i in range(5)},
            "q": {"$ref": "#/definitions/Big", "description": "The last"},
            "r": {"$ref": "#/definitions/Once"},
        },
        definitions={"Big": big, "Once": obj({"a": {"type": "string"}})},
    )
    adapted = adapt_schema(schema).schema
    assert_strict(adapted)
    assert list(adapted["$defs"]) == ["Big"]
    assert adapted["properties"]["p0"] == {"$ref": "#/$defs/Big"}
    assert adapted["properties"]["q"] == {
        "description": "The last",
        "anyOf": [{"$ref": "#/$defs/Big"}],
    }
    assert adapted["properties"]["r"]["type"] == "object"
    assert is_strict_compatible(adapted) == []


def test_a_union_of_more_nodes_than_fit_inlined_is_shared():
    """Counting stops early where references multiply."""
    definitions = {
        f"L{i}": obj({c: {"$ref": f"#/$defs/L{i + 1}"} for c in "abcd"})
        for i in range(4)
    } | {"L4": {"type": "string", "enum": ["x"]}}
    schema = obj({"root": {"$ref": "#/$defs/L0"}}, **{"$defs": definitions})
    adapted = adapt_schema(schema).schema
    assert_strict(adapted)
    assert set(adapted["$defs"]) == {"L1", "L2", "L3", "L4"}


def test_two_definitions_of_one_name_are_told_apart():
    """Definitions from different places keep different names."""
    big = {c: {"type": "string"} for c in "abcdefghijklmnopqrst"}
    schema = obj(
        {
            **{f"p{i}": {"$ref": "#/$defs/A~1B"} for i in range(9)},
            **{f"q{i}": {"$ref": "#/definitions/A~1B"} for i in range(9)},
        },
        definitions={"A/B": obj({"one": {"type": "null"}, **big})},
        **{"$defs": {"A/B": obj({"two": {"type": "null"}, **big})}},
    )
    adapted = adapt_schema(schema).schema
    assert_strict(adapted)
    assert "two" in adapted["$defs"]["A_B"]["properties"]
    assert "one" in adapted["$defs"]["A_B_2"]["properties"]


def test_descriptions_are_cut_only_when_the_text_is_too_long_and_that_is_told():
    """Long descriptions are cut evenly; rules for the answer go last."""
    schema = obj(
        {
            f"p{i}": {"type": "string", "description": "word " * 60, "pattern": "^a$"}
            for i in range(20)
        }
    )
    result = adapt_schema(schema)
    assert_strict(result.schema)
    assert result.shortened
    assert any("descriptions cut to" in note for note in result.moved)
    told = {p["description"] for p in result.schema["properties"].values()}
    (text,) = told
    assert text.startswith("word word")
    assert text.endswith("… Must match the regular expression `^a$`.")
    size = len(json.dumps(result.schema, separators=(",", ":"), ensure_ascii=False))
    assert size > 4900, "no more is cut than needed"
    assert not adapt_schema(obj({"a": {"type": "null"}})).shortened


def test_what_was_moved_is_listed_with_its_path():
    """The caller can tell what the service will not check."""
    result = adapt_schema(
        obj({"a": {"type": "string", "pattern": "x"}, "b": {"type": "null"}})
    )
    assert result.moved == ("$.properties.a: pattern moved to the description",)
    assert not result.lossless


@pytest.mark.parametrize(
    ("schema", "lossless"),
    [
        ({"type": "integer", "exclusiveMinimum": 3}, True),
        ({"type": "number", "exclusiveMinimum": 3}, False),
        ({"type": "string", "default": "a", "title": "T"}, True),
        ({"type": "string", "format": "date"}, False),
        ({"type": "string", "minLength": 0}, True),
        ({"oneOf": [{"type": "string"}, {"minLength": 1}]}, False),
    ],
    ids=["exact bound", "bound", "annotations", "format", "no bound", "oneOf"],
)
def test_lossless_says_whether_the_answer_needs_another_check(schema, lossless):
    """Annotations lose nothing; a rule that is told only in words does."""
    assert adapt_schema(obj({"x": schema})).lossless is lossless


def refuse(schema, match=None):
    """Adapt a schema that is refused."""
    with pytest.raises(SchemaNotSupportedError, match=match):
        adapt_schema(schema)


def test_a_short_schema_that_stands_for_an_endless_one_is_refused_early():
    """References that double at each level are not all followed."""
    levels = {
        f"L{i}": obj({c: {"$ref": f"#/$defs/L{i + 1}"} for c in "ab"})
        for i in range(60)
    }
    levels["L60"] = {"type": "string"}
    merged = {
        f"L{i}": {"allOf": [{"$ref": f"#/$defs/L{i + 1}"}] * 2, "minimum": 0}
        for i in range(60)
    }
    merged["L60"] = {"type": "integer"}
    for definitions in (levels, merged):
        schema = obj({"x": {"$ref": "#/$defs/L0"}}, **{"$defs": definitions})
        assert count_calls(lambda schema=schema: refuse(schema)) < 3_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda values: {"anyOf": [{"const": value} for value in values]},
        lambda values: {"allOf": [{"enum": values}, {"enum": values[::-1]}]},
    ],
    ids=["a union", "enums that overlap"],
)
def test_large_unions_and_enums_take_linear_work(make):
    """Thousands of values are counted, and refused, in so many steps each."""

    def steps(size):
        schema = obj({"x": make(list(range(size)))})
        return count_calls(lambda: refuse(schema, f"{size} enum values"))

    assert steps(12_000) < 5 * steps(3_000)


def test_a_function_without_arguments_is_an_empty_object():
    """Tools often say no more than `{"type": "object"}`."""
    expected = closed({})
    assert adapt_schema({"type": "object"}).schema == expected
    assert adapt_schema({"type": "object", "additionalProperties": True}).schema == (
        expected
    )


# --------------------------------------------------------------- whatever Pydantic makes


class Colour(enum.StrEnum):
    red = "red"
    blue = "blue"


class Mixed(enum.Enum):
    one = 1
    two = "two"


class Leaf(BaseModel):
    """A leaf."""

    size: int = Field(ge=0, description="in cm")
    kind: Literal["leaf"] = "leaf"


class Twig(BaseModel):
    leaf: Leaf | None = None
    kind: Literal["twig"] = "twig"


class Tree(BaseModel):
    children: list["Tree"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


SCALARS = [
    (str, st.text(max_size=5)),
    (int, st.integers(-99, 99)),
    (float, st.floats(-9, 9)),
    (bool, st.booleans()),
    (type(None), st.none()),
    (dt.datetime, st.datetimes()),
    (dt.date, st.dates()),
    (dt.timedelta, st.timedeltas(max_value=dt.timedelta(days=9))),
    (uuid.UUID, st.uuids()),
    (Decimal, st.decimals(-9, 9, places=1)),
    (bytes, st.just(b"abc")),
    (Colour, st.sampled_from(Colour)),
    (Mixed, st.sampled_from(Mixed)),
    (Annotated[str, Field(pattern="^a+$", max_length=4)], st.just("aaa")),
    (Annotated[str, Field(min_length=2, max_length=2)], st.just("ab")),
    (Annotated[int, Field(gt=2, le=9, multiple_of=3)], st.sampled_from([3, 6, 9])),
    (Annotated[float, Field(gt=0, lt=1)], st.floats(0.1, 0.9)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (
        Literal[1, "a", None, True],  # noqa: PYI061
        st.sampled_from([1, "a", None, True]),
    ),
    (Leaf, st.builds(Leaf, size=st.integers(0, 9))),
    (Twig, st.just(Twig())),
    (
        Annotated[Leaf | Twig, Field(discriminator="kind")],
        st.just(Twig(leaf=Leaf(size=1))),
    ),
    (Any, st.just([1])),
    (dict[str, int], st.just({"a": 1})),
    (Tree, st.just(Tree())),
    (Open, st.just(Open(a=1))),
    (list, st.just([1])),
]


def _wrap(children):
    """Build bigger types of smaller ones, each with values of its own."""

    def of(pair):
        tp, values = pair
        return st.sampled_from(
            [
                (tp | None, st.none() | values),
                (list[tp], st.lists(values, max_size=2)),
                (tuple[tp, ...], st.lists(values, max_size=2).map(tuple)),
                (
                    Annotated[list[tp], Field(min_length=1, max_length=3)],
                    st.lists(values, min_size=1, max_size=2),
                ),
                (tuple[tp, str], st.tuples(values, st.just("x"))),
                (tuple[tp, tp], st.tuples(values, values)),
            ]
        )

    def union(pairs):
        types = tuple(tp for tp, _ in pairs)
        return functools.reduce(operator.or_, types), st.one_of(
            [values for _, values in pairs]
        )

    return children.flatmap(of) | st.lists(children, min_size=2, max_size=3).map(union)


FIELD_TYPES = st.recursive(st.sampled_from(SCALARS), _wrap, max_leaves=4)


@st.composite
def models(draw):
    """Return a random model and a valid value of it."""
    fields, values = {}, {}
    for at in range(draw(st.integers(1, 4))):
        tp, choices = draw(FIELD_TYPES)
        value = draw(choices)
        extra = draw(
            st.sampled_from(
                [
                    {},
                    {"default": value},
                    {"description": "What it is."},
                    {"title": "T"},
                    {"examples": ["x"]},
                    {"alias": f"alias {at}"},
                    {"deprecated": True},
                ]
            )
        )
        fields[f"f{at}"] = (tp, Field(**extra))
        values[extra.get("alias", f"f{at}")] = value
    model = create_model(
        "Random", __doc__=draw(st.sampled_from(["", "Doc."])), **fields
    )
    return model, values


@given(models())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_pydantic_makes_is_adapted_or_refused_by_name(made):
    """A valid value of the model stays valid under the schema that is sent."""
    model, values = made
    schema = model.model_json_schema()
    before = copy.deepcopy(schema)
    try:
        adapted = adapt_schema(schema, name="Random")
    except SchemaNotSupportedError as refusal:
        error = refusal
    else:
        error = None
    if error is not None:
        assert error.path.startswith("$.")
        assert f"at {error.path}, " in str(error)
        assert any(
            reason in str(error)
            for reason in ("recursive", "any value", "not named", "branches")
        )
        return
    assert schema == before
    assert_strict(adapted.schema)
    assert is_strict_compatible(adapted.schema) == []
    value = model(**values).model_dump(mode="json", by_alias=True)
    jsonschema.Draft202012Validator(schema).validate(value)
    jsonschema.Draft202012Validator(adapted.schema).validate(value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYWORDS = st.sampled_from(
    "type properties required items prefixItems additionalProperties anyOf oneOf allOf "
    "enum const $ref $defs minimum maximum exclusiveMinimum minLength pattern format "
    "default description not if nullable minItems maxItems uniqueItems contains "
    "dependentRequired patternProperties title discriminator examples x".split()
)
NAMES = st.sampled_from(["object", "array", "string", "integer", "null", "#/$defs/a"])
GARBAGE = st.recursive(
    JSON_VALUES | NAMES,
    lambda inner: (
        st.dictionaries(KEYWORDS, inner, max_size=5)
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=25,
)


@given(st.dictionaries(KEYWORDS, GARBAGE, max_size=6), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_dict_is_adapted_or_refused(schema, as_object):
    """Nothing else than our own error comes, however wrong a schema is."""
    if as_object:
        schema = {"type": "object", "properties": {"a": schema}, **schema}
    is_strict_compatible(schema)
    try:
        adapted = adapt_schema(schema)
    except SchemaNotSupportedError as error:
        path = error.path
    else:
        path = None
    if path is not None:
        assert path.startswith("$")
        return
    assert_strict(adapted.schema)
    assert is_strict_compatible(adapted.schema) == []


# ------------------------------------------------------------------------ checking

INCOMPATIBLE = {
    "no dict": ([], "$: a schema must be a dict"),
    "root": ({"type": "string"}, "$: the root must be of type 'object'"),
    "open": (obj(), "$: 'additionalProperties' must be false"),
    "pattern": (
        closed({"a": {"type": "string", "pattern": "x"}}),
        "$.properties.a: keyword 'pattern' is not part",
    ),
    "definitions": (closed({}, definitions={}), "$: keyword 'definitions'"),
    "list of types": (
        closed({"a": {"type": ["string", "null"]}}),
        "$.properties.a: a list of types",
    ),
    "no type": (closed({"a": {"enum": ["x"]}}), "$.properties.a: a type is missing"),
    "unknown type": (closed({"a": {"type": "str"}}), "$.properties.a: type 'str'"),
    "items true": (
        closed({"a": {"type": "array", "items": True}}),
        "$.properties.a.items: True is no typed schema",
    ),
    "no items": (closed({"a": {"type": "array"}}), "$.properties.a: 'items' is"),
    "enum value": (
        closed({"a": {"type": "string", "enum": [1]}}),
        "$.properties.a: enum value 1 is no string",
    ),
    "required": (closed({}, required=["a"]), "$: required names 'a'"),
    "branches": (
        closed({"a": {"anyOf": [{"type": "null"}] * 6}}),
        "$.properties.a: 6 branches of anyOf, and the limit is 5",
    ),
    "external reference": (
        closed({"a": {"$ref": "other.json"}}),
        "$.properties.a: $ref 'other.json' does not point into",
    ),
    "dangling reference": (
        closed({"a": {"$ref": "#/$defs/B"}}),
        "$.properties.a: $ref '#/$defs/B' points to nothing",
    ),
    "recursion": (
        closed(
            {"a": {"$ref": "#/$defs/A"}},
            **{
                "$defs": {
                    "A": closed({"b": {"$ref": "#/$defs/B"}}),
                    "B": closed({"a": {"$ref": "#/$defs/A"}}),
                }
            },
        ),
        "$: the schema is recursive: A -> B -> A",
    ),
    "depth through references": (
        closed(
            {"a": {"$ref": "#/$defs/L0"}},
            **{
                "$defs": {
                    f"L{i}": closed({"a": {"$ref": f"#/$defs/L{i + 1}"}})
                    for i in range(10)
                }
                | {"L10": {"type": "string"}}
            },
        ),
        "$: nested 11 deep, and the limit is 10",
    ),
    "text": (closed({"a" * 5000: {"type": "null"}}), "and the limit is 5000"),
    "enum values": (
        closed({"a": {"type": "integer", "enum": list(range(501))}}),
        "$: 501 enum values, and the limit is 500",
    ),
}


@pytest.mark.parametrize(("schema", "told"), INCOMPATIBLE.values(), ids=INCOMPATIBLE)
def test_problems_of_a_strict_schema_are_listed(schema, told):
    """Each line has the path and the rule."""
    assert any(told in problem for problem in is_strict_compatible(schema))


# ------------------------------------------------------------------- response formats


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="question", min_length=1)
    rating: int | None = None


STRICT_JOKE = {
    "type": "object",
    "properties": {
        "setup": {
            "type": "string",
            "description": "question. At least 1 character.",
        },
        "rating": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["setup"],
    "additionalProperties": False,
}


def test_a_pydantic_class_becomes_a_strict_response_format():
    """The name and the description stand where the API has a place for them."""
    assert response_format_for(Joke, strict=True) == {
        "type": "json_schema",
        "json_schema": {
            "name": "Joke",
            "description": "A joke.",
            "schema": STRICT_JOKE,
            "strict": True,
        },
    }


@pytest.mark.parametrize("strict", [None, False], ids=["unset", "off"])
def test_without_strict_the_schema_is_sent_as_it_is(strict):
    """`strict` is sent only if it was given."""
    inner = response_format_for(Joke, strict=strict)["json_schema"]
    assert inner["schema"]["properties"]["setup"]["minLength"] == 1
    assert inner.get("strict") is strict


class TypedJoke(TypedDict):
    """A joke."""

    setup: Annotated[str, ..., "question"]


class PartialJoke(TypedDict):
    setup: NotRequired[str]


class PlainJoke:
    """A joke, by its constructor."""

    def __init__(self, setup: str) -> None:
        self.setup = setup


@dataclasses.dataclass
class DataJoke:
    setup: str


def tell(setup: str) -> str:
    """Tell a joke."""
    return setup


FORMS = {
    "TypedDict": (TypedJoke, "TypedJoke"),
    "TypedDict with optional keys": (PartialJoke, "PartialJoke"),
    "dataclass": (DataJoke, "DataJoke"),
    "function": (tell, "tell"),
    "JSON Schema": (
        {"title": "A Joke!", **obj({"setup": {"type": "string"}})},
        "A_Joke",
    ),
    "JSON Schema without a title": (obj({"setup": {"type": "string"}}), "response"),
    "name and schema": (
        {"name": "joke", "schema": obj({"setup": {"type": "string"}})},
        "joke",
    ),
    "OpenAI function": (
        {"name": "joke", "parameters": obj({"setup": {"type": "string"}})},
        "joke",
    ),
    "OpenAI tool": (
        {
            "type": "function",
            "function": {
                "name": "joke",
                "parameters": obj({"setup": {"type": "string"}}),
            },
        },
        "joke",
    ),
    "response format": (
        {
            "type": "json_schema",
            "json_schema": {
                "name": "joke",
                "schema": obj({"setup": {"type": "string"}}),
            },
        },
        "joke",
    ),
    "response format of the Responses API": (
        {
            "type": "json_schema",
            "name": "joke",
            "schema": obj({"setup": {"type": "string"}}),
        },
        "joke",
    ),
}


@pytest.mark.parametrize(("schema", "name"), FORMS.values(), ids=FORMS)
def test_every_kind_of_schema_becomes_a_response_format(schema, name):
    """Classes, functions and dicts of each form give the same structure."""
    made = response_format_for(schema, strict=True)
    assert made["type"] == "json_schema"
    inner = made["json_schema"]
    assert inner["name"] == name
    assert list(inner["schema"]["properties"]) == ["setup"]
    assert inner["schema"]["properties"]["setup"]["type"] == "string"
    assert inner["strict"] is True
    assert_strict(inner["schema"])


def test_a_response_format_keeps_its_own_strict_unless_they_differ():
    """A contradiction is an error, not a choice of ours."""
    given_format = {
        "type": "json_schema",
        "json_schema": {"name": "j", "schema": obj(), "strict": True},
    }
    kept = response_format_for(given_format)["json_schema"]
    assert kept == {"name": "j", "schema": closed({}), "strict": True}
    with pytest.raises(CerebrasInvalidRequestError, match="strict=False was asked for"):
        response_format_for(given_format, strict=False)


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_formats_without_a_schema_pass(kind):
    """They are copied, not shared."""
    given_format = {"type": kind}
    made = response_format_for(given_format)
    assert made == given_format
    assert made is not given_format


def test_the_result_shares_nothing_with_the_given_dict():
    """A caller may change the format without changing its schema."""
    schema = obj({"a": {"type": "string", "enum": ["x"]}}, title="T")
    inner = response_format_for(schema)["json_schema"]
    inner["schema"]["properties"]["a"]["enum"].append("y")
    assert schema["properties"]["a"]["enum"] == ["x"]


def test_name_and_description_can_be_given():
    """They win over the schema's own."""
    inner = response_format_for(Joke, name="my joke", description="d")["json_schema"]
    assert (inner["name"], inner["description"]) == ("my_joke", "d")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Box[int]", "Box_int"),
        ("a b/c", "a_b_c"),
        ("x" * 99, "x" * 64),
        ("***", ""),
        ("get-it_1", "get-it_1"),
    ],
)
def test_names_are_sanitised(name, expected):
    """Letters, digits, `_` and `-`, at most 64."""
    assert sanitise_name(name) == expected


# Made by a call: class syntax does not work with Pydantic v1 from Python 3.14 on.
OldJoke = create_model_v1("OldJoke", setup=(str, ...))


class Uncallable(BaseModel):
    run: "NoSuchClass" = None  # noqa: F821


class Numbers(RootModel[list[int]]):
    pass


class Missing(TypedDict):
    x: "NoSuchType"  # noqa: F821


BAD_SOURCES = {
    "plain class": (
        PlainJoke,
        CerebrasInvalidRequestError,
        "Cannot read a schema from 'PlainJoke'",
    ),
    "Pydantic v1": (OldJoke, UnsupportedFeatureError, "method='function_calling'"),
    "number": (3, CerebrasInvalidRequestError, "A int is no schema"),
    "list root": (Numbers, SchemaNotSupportedError, "Wrap it in an object"),
    "undefined class": (Uncallable, SchemaNotSupportedError, "has no JSON Schema"),
    "undefined TypedDict": (Missing, SchemaNotSupportedError, "has no JSON Schema"),
    "no schema in the format": (
        {"type": "json_schema", "json_schema": {"name": "x"}},
        CerebrasInvalidRequestError,
        "needs a schema",
    ),
    "unknown key in the format": (
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "a": 1}},
        CerebrasInvalidRequestError,
        "Key 'a' of the response format",
    ),
    "tool without a name": (
        {"type": "function", "function": {"parameters": {}}},
        CerebrasInvalidRequestError,
        "Cannot read a schema",
    ),
}


@pytest.mark.parametrize(
    ("schema", "error", "told"), BAD_SOURCES.values(), ids=BAD_SOURCES
)
def test_what_is_no_schema_is_refused(schema, error, told):
    """The message says what was given and what to give."""
    with pytest.raises(error) as caught:
        response_format_for(schema, strict=True)
    assert told in str(caught.value)


def test_cut_descriptions_are_logged(caplog):
    """Nothing is shortened silently."""
    schema = obj({"a": {"type": "string", "description": "x" * 6000}}, title="Long")
    with caplog.at_level(logging.WARNING):
        response_format_for(schema, strict=True)
    assert "descriptions in schema 'Long' were cut" in caplog.text


def test_json_schema_of_gives_the_schema_alone():
    """For the check of an answer by the original."""
    assert json_schema_of(Joke) == Joke.model_json_schema()
