"""The service's rules for strict schemas, each broken once."""

import pytest

from langchain_cerebras_ext.simulator.schema_rules import strict_problems

TEXT = {"type": "string"}


def shape(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels):
    schema = TEXT
    for _ in range(levels):
        schema = shape(a=schema)
    return schema


def with_defs(root, **defs):
    return {**root, "$defs": defs}


def ref(name):
    return {"$ref": f"#/$defs/{name}"}


BROKEN = {
    "root of another type": ({"type": "array"}, "Schema root must be of type 'object'."),
    "root by reference": (with_defs({"$ref": "#/$defs/A"}, A=shape()), "Schema root must"),
    "open object": ({"type": "object"}, "$: 'additionalProperties' must be false on every object."),
    "open inner object": (shape(a={"type": "object", "properties": {}}), "$.properties.a: 'additionalProperties'"),
    "open definition": (with_defs(shape(), A={"type": "object"}), "$.$defs.A: 'additionalProperties'"),
    "definitions": ({**shape(), "definitions": {}}, "use '$defs' in place of 'definitions'"),
    "pattern": (shape(a={"type": "string", "pattern": "x"}), "Unsupported JSON schema fields: {'pattern'}"),
    "format and minItems": (
        shape(a={"type": "string", "format": "date"}, b={"type": "array", "items": TEXT, "minItems": 1}),
        "Unsupported JSON schema fields: {'format', 'minItems'}",
    ),
    "maxItems": (shape(a={"type": "array", "items": TEXT, "maxItems": 1}), "{'maxItems'}"),
    "items true": (shape(a={"type": "array", "items": True}), "$.properties.a: 'items: true' is not supported."),
    "type list": (shape(a={"type": ["string", "null"]}), "list types are not supported, use 'anyOf'"),
    "too deep": (nested(11), "nesting is limited to 10 levels"),
    "too long": (shape(a={"type": "string", "description": "x" * 5000}), "Schema is too long: the limit is 5000 characters."),
    "many branches": (shape(a={"anyOf": [TEXT] * 6}), "$.properties.a.anyOf: has 6 branches: the limit is 5."),
    "many enum values": (shape(a={"enum": list(range(501))}), "Schema has 501 enum values: the limit is 500."),
    "external reference": (shape(a={"$ref": "https://example.org/x"}), "'$ref' must point into '#/$defs/', not 'https://example.org/x'"),
    "lost reference": (with_defs(shape(a=ref("B"))), "'$ref' '#/$defs/B' leads nowhere"),
    "recursion": (with_defs(shape(a=ref("A")), A=shape(b=ref("A"))), "recursive schemas are not supported"),
    "property no schema": (shape(a=3), "$.properties.a: a schema must be an object."),
    "tuple": (shape(a={"type": "array", "prefixItems": [{"type": "object"}], "items": False}), "$.properties.a.prefixItems[0]"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_told(name):
    schema, said = BROKEN[name]
    assert said in "\n".join(strict_problems(schema))


def test_too_many_properties_are_told():
    names = [
        f"{one}{other}"
        for one in "abcdefghijklmnopqrstuvw"
        for other in "abcdefghijklmnopqrstuvw"
    ]
    schema = {**shape(), "properties": {name: {} for name in names}, "required": []}
    assert strict_problems(schema) == ["Schema has 529 properties: the limit is 500."]


FINE = {
    "plain": shape(a=TEXT, b={"type": "integer", "minimum": 1, "maximum": 5}),
    "null by anyOf": shape(a={"anyOf": [TEXT, {"type": "null"}]}),
    "ten levels": nested(10),
    "definitions used twice": with_defs(shape(a=ref("A"), b=ref("A")), A=shape(c=TEXT)),
    "a chain of definitions": with_defs(
        shape(a=ref("A")), A=shape(b=ref("B")), B=shape(c=TEXT)
    ),
    "not all required": {**shape(a=TEXT), "required": []},
    "arrays": shape(a={"type": "array", "items": shape(b=TEXT)}),
    "enum and const": shape(a={"enum": ["x", "y"]}, b={"const": 1}),
    "five branches": shape(a={"anyOf": [TEXT] * 5}),
}


@pytest.mark.parametrize("name", FINE)
def test_what_the_service_takes_has_no_problem(name):
    assert strict_problems(FINE[name]) == []


def test_a_schema_that_refers_much_is_checked_in_linear_time():
    defs = {
        f"N{n}": shape(a=ref(f"N{n + 1}"), b=ref(f"N{n + 1}"), c=ref(f"N{n + 1}"))
        for n in range(9)
    }
    defs["N9"] = shape(a=TEXT)
    problems = strict_problems(with_defs(shape(a=ref("N0")), **defs))
    assert any("nesting is limited" in problem for problem in problems)
