"""Schemas are filled from the conversation, and what is filled is always valid."""

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from langchain_cerebras_ext.simulator.evidence import Evidence, json_values, same_key
from langchain_cerebras_ext.simulator.fill import (
    fill_schema,
    plain_number,
    resolve_pointer,
    sample_schema,
    validator_for,
)
from langchain_cerebras_ext.simulator.regexes import sample_pattern
from langchain_cerebras_ext.simulator.words import (
    clip,
    keywords,
    name_words,
    numbers,
    proper_names,
    quoted,
    sentences,
    stem,
)

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def fill(prompt, results=(), *, required=None, **properties):
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    value = fill_schema(schema, Evidence(prompt, "", results))
    jsonschema.validate(value, schema)
    return value


PROMPTS = {
    "a number": ("What is the value of f(3)?", {"input": WHOLE}, {"input": 3}),
    "two numbers in order": ("What is 3 + 4", {"a": WHOLE, "b": WHOLE}, {"a": 3, "b": 4}),
    "a number by its name": ("Of 99 files show line 12", {"line": WHOLE}, {"line": 12}),
    "a number by name=": ("top 5, limit=3", {"limit": WHOLE}, {"limit": 3}),
    "a number before its name": ("Show 7 items of 9", {"items": WHOLE}, {"items": 7}),
    "a decimal": ("set the price to 1,234.50", {"price": {"type": "number"}}, {"price": 1234.5}),
    "a number word": ("the three bears", {"count": WHOLE}, {"count": 3}),
    "a number in bounds": ("5 or 500", {"x": {"type": "integer", "minimum": 100}}, {"x": 500}),
    "a whole number of a whole float": ("2.0", {"x": WHOLE}, {"x": 2}),
    "a quoted name": ("Create 'Acme Ltd' now", {"company": TEXT}, {"company": "Acme Ltd"}),
    "a CJK name": ("Create a customer named '你好啊集团' please", {"customer_name": TEXT}, {"customer_name": "你好啊集团"}),
    "an unquoted CJK name": ("Create 株式会社 as customer", {"customer_name": TEXT}, {"customer_name": "株式会社"}),
    "a place": ("What is the weather in San Francisco, CA?", {"location": TEXT}, {"location": "San Francisco, CA"}),
    "a name with particles": ("Call Ludwig van Beethoven", {"name": TEXT}, {"name": "Ludwig van Beethoven"}),
    "name: value": ("city: paris, country is france", {"city": TEXT, "country": TEXT}, {"city": "paris", "country": "france"}),
    "a quoted query": ("Search the file for 'retry policy'", {"query": TEXT}, {"query": "retry policy"}),
    "a query by words": ("How does the licence treat derived works?", {"query": TEXT}, {"query": "licence treat derived works"}),
    "an enum": ("In Fahrenheit please", {"unit": {"enum": ["celsius", "fahrenheit"]}}, {"unit": "fahrenheit"}),
    "the longest enum": ("dark blue", {"c": {"enum": ["blue", "dark_blue"]}}, {"c": "dark_blue"}),
    "an enum of numbers": ("Give 2", {"c": {"enum": [1, 2]}}, {"c": 2}),
    "an enum unsaid": ("Hm", {"c": {"enum": ["x", "y"]}}, {"c": "x"}),
    "a const": ("Hm", {"c": {"const": "k"}}, {"c": "k"}),
    "an e-mail": ("Write to ada@example.org.", {"email": TEXT}, {"email": "ada@example.org"}),
    "a format": ("On 2026-03-04 at https://a.org/x", {"a": {"type": "string", "format": "date"}, "b": {"type": "string", "format": "uri"}}, {"a": "2026-03-04", "b": "https://a.org/x"}),
    "a date by its name": ("Due 2026-03-04", {"due_date": TEXT}, {"due_date": "2026-03-04"}),
    "a url by its name": ("See https://a.org/x now", {"website_url": TEXT}, {"website_url": "https://a.org/x"}),
    "a path": ("Open docs/guide.md now", {"path": TEXT}, {"path": "docs/guide.md"}),
    "true": ("Anything", {"loud": {"type": "boolean"}}, {"loud": True}),
    "denied": ("Do it without verbose output", {"verbose": {"type": "boolean"}}, {"verbose": False}),
    "false": ("verbose: false", {"verbose": {"type": "boolean"}}, {"verbose": False}),
    "null": ("x", {"n": {"type": "null"}}, {"n": None}),
    "quoted items": ("tags 'a b' and 'c'", {"tags": {"type": "array", "items": TEXT}}, {"tags": ["a b", "c"]}),
    "numbers as items": ("add 1, 2 and 5", {"xs": {"type": "array", "items": WHOLE}}, {"xs": [1, 2, 5]}),
    "enum items": ("red and blue", {"xs": {"type": "array", "items": {"enum": ["red", "green", "blue"]}}}, {"xs": ["red", "blue"]}),
    "nullable unsaid": ("Hm", {"note": {"anyOf": [TEXT, {"type": "null"}]}}, {"note": None}),
    "nullable said": ("note: hello", {"note": {"anyOf": [TEXT, {"type": "null"}]}}, {"note": "hello"}),
    "nullable number": ("limit=3", {"limit": {"anyOf": [WHOLE, {"type": "null"}]}}, {"limit": 3}),
    "nullable enum": ("in blue", {"c": {"anyOf": [{"type": "string", "enum": ["red", "blue"]}, {"type": "null"}]}}, {"c": "blue"}),
    "only null": ("x", {"n": {"anyOf": [{"type": "null"}]}}, {"n": None}),
    "a type list": ("limit=3", {"limit": {"type": ["null", "integer"]}}, {"limit": 3}),
    "all of": ("limit=3", {"limit": {"allOf": [{"type": "integer"}, {"minimum": 1}]}}, {"limit": 3}),
    "a default": ("Hm", {"x": {"type": "integer", "default": 42}}, {"x": 42}),
    "an empty item schema": ("Hm", {"xs": {"type": "array"}}, {"xs": []}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROMPTS)
def test_values_are_taken_from_the_prompt(name):
    prompt, properties, expected = PROMPTS[name]
    got = fill(prompt, **properties)
    if name == "an empty item schema":
        assert isinstance(got["xs"], list)
    else:
        assert got == expected


def test_a_default_text_is_kept_when_nothing_is_said():
    assert fill("", x={"type": "string", "default": "d"}) == {"x": "d"}


def test_two_names_are_given_to_two_properties():
    got = fill("From Paris to Rome", origin=TEXT, destination=TEXT)
    assert got == {"origin": "Paris", "destination": "Rome"}


def test_property_names_in_quotes_are_no_values():
    got = fill(
        "Return JSON with 'setup' and 'punchline' keys", setup=TEXT, punchline=TEXT
    )
    assert got["setup"] not in ("setup", "punchline")
    assert got["setup"] != got["punchline"]


def test_prose_is_taken_from_the_best_result():
    got = fill(
        "How often is it retried?", ["Cats.\nIt is retried twice.\n"], answer=TEXT
    )
    assert got == {"answer": "It is retried twice."}


NEAR = {
    "results before the prompt": ("Rome in 9 degrees?", ["It is 17 degrees in Rome."], {"degrees": WHOLE}, 17),
    "a word of the name": ("In 2 words?", ["It is 17 degrees."], {"temperature_degrees": WHOLE}, 17),
    "a singular": ("Rome?", ["Only 1 degree, with 80 % rain."], {"degrees": WHOLE}, 1),
    "a text inside JSON": ("Rome?", ['{"text": "17 degrees", "id": 4}'], {"degrees": WHOLE}, 17),
    "a key before a text": ("Rome?", ['{"text": "17 degrees", "degrees": 18}'], {"degrees": WHOLE}, 18),
    "the prompt if results say nothing": ("Keep 9 degrees", ["Done, 4 times."], {"degrees": WHOLE}, 9),
    "the whole name in the prompt": ("max results 3", ["5 results"], {"max_results": WHOLE}, 3),
    "the first that fits": ("Rome?", ["17.5 degrees, about 18 degrees"], {"degrees": WHOLE}, 18),
    "the first in bounds": ("Rome?", ["170 degrees; 20 degrees"], {"degrees": {**WHOLE, "maximum": 99}}, 20),
    "any told number at last": ("Rome?", ["17 Celsius"], {"temperature": WHOLE}, 17),
    "lines that were found": ("See it", ["7: see line 900"], {"start_line": WHOLE}, 7),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR)
def test_numbers_are_looked_for_by_their_name_in_results_first(name):
    prompt, results, properties, expected = NEAR[name]
    assert list(fill(prompt, results, **properties).values()) == [expected]


def test_optional_properties_are_filled_only_with_evidence():
    properties = {
        "city": TEXT,
        "limit": WHOLE,
        "note": {"anyOf": [TEXT, {"type": "null"}]},
        "place": {"type": "object", "properties": {"lat": WHOLE}},
    }
    assert fill("Hm", required=[], **properties) == {}
    assert fill("city: Rome, limit 4", required=[], **properties) == {
        "city": "Rome",
        "limit": 4,
    }
    got = fill("Hm", ['{"lat": 5}'], required=[], **properties)
    assert got == {"place": {"lat": 5}}


# ---------------------------------------------------------------------------- tool results

CITATION = {
    "type": "object",
    "properties": {"line": WHOLE, "quote": TEXT},
    "required": ["line", "quote"],
    "additionalProperties": False,
}
CITATIONS = {"type": "array", "items": CITATION}


@pytest.mark.parametrize(
    "result",
    [
        '[{"line": 3, "quote": "Cats purr."}, {"line": 9, "quote": "Cats sleep."}]',
        '{"hits": [{"line": 3, "text": "Cats purr."}, {"line": 9, "text": "Cats sleep."}]}',
        "Found:\n3: Cats purr.\n9: Cats sleep.\n",
        "line 3: Cats purr.\nLine 9: Cats sleep.",
        'Here: [{"lineNumber": 3, "snippet": "Cats purr."}, {"lineNumber": 9, "snippet": "Cats sleep."}] ok',
    ],
    ids=["same keys", "nested", "numbered lines", "named lines", "kindred keys"],
)
def test_objects_of_tool_results_are_taken_whole(result):
    got = fill("What do cats do?", [result], citations=CITATIONS)
    assert got["citations"] == [
        {"line": 3, "quote": "Cats purr."},
        {"line": 9, "quote": "Cats sleep."},
    ]


def test_of_many_lines_the_relevant_ones_are_taken_in_order():
    text = "\n".join(
        f"{n}: row {n}" + (" about whales" if n % 10 == 4 else "") for n in range(1, 90)
    )
    got = fill("What about whales?", [text], citations=CITATIONS)
    assert [one["line"] for one in got["citations"]] == [4, 14, 24, 34, 44]


def test_a_line_is_quoted_to_the_letter():
    got = fill(
        "indented words?", ['7:     indented  words,  "so"  '], citations=CITATIONS
    )
    assert got["citations"] == [{"line": 7, "quote": '    indented  words,  "so"  '}]


def test_the_same_line_is_cited_once():
    got = fill(
        "cats?", ["3: cats", '[{"line": 3, "text": "cats"}]'], citations=CITATIONS
    )
    assert got["citations"] == [{"line": 3, "quote": "cats"}]


def test_values_of_one_object_stay_together():
    result = '[{"city": "Rome", "temp": 20, "sky": "blue"}, {"city": "Oslo", "temp": 4, "sky": "grey"}]'
    got = fill("How is it?", [result], city=TEXT, temp=WHOLE, sky=TEXT)
    assert got == {"city": "Rome", "temp": 20, "sky": "blue"}


def test_lists_and_objects_of_results_are_taken_as_they_are():
    result = '{"tags": ["a", "b"], "size": {"w": 3, "h": 4}, "ok": false, "mode": "fast", "rate": 2.0}'
    got = fill(
        "Hm",
        [result],
        tags={"type": "array", "items": TEXT},
        size={
            "type": "object",
            "properties": {"w": WHOLE, "h": WHOLE},
            "required": ["w"],
        },
        ok={"type": "boolean"},
        mode={"enum": ["slow", "fast"]},
        rate=WHOLE,
    )
    assert got == {
        "tags": ["a", "b"],
        "size": {"w": 3, "h": 4},
        "ok": False,
        "mode": "fast",
        "rate": 2,
    }


def test_results_that_do_not_fit_are_left_alone():
    got = fill(
        "Hm",
        [
            '{"n": "many", "c": "purple", "s": 3, "b": 1, "o": [1], "a": "x", "k": 2, "z": 5}'
        ],
        n=WHOLE,
        c={"enum": ["red"]},
        s=TEXT,
        b={"type": "boolean"},
        o={"type": "object", "properties": {}},
        a={"type": "array", "items": TEXT},
        k={"const": 1},
        z={"type": "null"},
    )
    assert got["c"] == "red"
    assert got["o"] == {}
    assert got["z"] is None


def test_long_texts_are_cut_to_fit():
    got = fill(
        "Hm", ['{"s": "a rather long text"}'], s={"type": "string", "maxLength": 10}
    )
    assert got == {"s": "a rather l"}


def test_any_value_of_a_result_fits_an_open_property():
    assert fill("Hm", ['{"x": [1, {"y": 2}]}'], x={}) == {"x": [1, {"y": 2}]}
    either = {"anyOf": [WHOLE, TEXT]}
    assert fill("Hm", ['{"x": "t"}'], x=either) == {"x": "t"}


# --------------------------------------------------------------------- shapes of schemas


class Leaf(BaseModel):
    value: int
    label: str | None = None


class Tree(BaseModel):
    name: str
    children: list["Tree"]
    leaf: Leaf
    extra: dict[str, int]
    pair: tuple[int, str]
    kind: int | str = Field(description="either")


def test_recursive_pydantic_models_are_filled():
    schema = Tree.model_json_schema()
    value = fill_schema(schema, Evidence("A tree called 'oak' with 3 leaves"))
    assert Tree.model_validate(value).name == "oak"


SCHEMAS = {
    "endless recursion": {"$defs": {"A": {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}, "required": ["a"]}}, "$ref": "#/$defs/A"},
    "recursive list": {"type": "array", "items": {"$ref": "#"}},
    "root reference": {"$ref": "#/definitions/x~1y", "definitions": {"x/y": {"type": "integer"}}},
    "reference into a list": {"anyOf": [{"type": "integer", "minimum": 7}], "$defs": {}, "properties": {"a": {"$ref": "#/anyOf/0"}}},
    "unique": {"type": "array", "items": WHOLE, "minItems": 4, "uniqueItems": True},
    "unique texts": {"type": "array", "items": {"type": "string", "maxLength": 1}, "minItems": 3, "uniqueItems": True},
    "unique multiples": {"type": "array", "items": {"type": "integer", "multipleOf": 3}, "minItems": 3, "uniqueItems": True},
    "unique numbers": {"type": "array", "items": {"type": "number", "minimum": 0.5, "maximum": 0.75}, "minItems": 1},
    "unique booleans": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    "unique enum": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    "three lists": {"type": "array", "items": {"type": "array"}, "minItems": 3},
    "floats unique": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "minItems": 1},
    "many floats": {"type": "array", "items": {"type": "number", "maximum": -0.25}, "minItems": 2},
    "at most one": {"type": "array", "items": TEXT, "maxItems": 1},
    "at most none": {"type": "array", "items": TEXT, "maxItems": 0},
    "tuple": {"type": "array", "prefixItems": [WHOLE, TEXT], "items": False},
    "old tuple": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [WHOLE, TEXT]},
    "long text": {"type": "string", "minLength": 50},
    "exact text": {"type": "string", "minLength": 3, "maxLength": 3},
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
    "alternatives": {"type": "string", "pattern": "^(?:ab+|c?)x{2,}[^a-z]$"},
    "named group": {"type": "string", "pattern": "(?P<y>\\d{4})\\.(?P<m>\\w)\\s?$"},
    "property count": {"type": "object", "minProperties": 3, "properties": {"a": WHOLE, "b": TEXT}},
    "map of numbers": {"type": "object", "additionalProperties": WHOLE, "minProperties": 2},
    "required unknown": {"type": "object", "required": ["x"]},
    "required of a kind": {"type": "object", "required": ["x"], "additionalProperties": WHOLE},
    "all of objects": {"allOf": [{"type": "object", "properties": {"a": WHOLE}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]},
    "branches with a base": {"type": "object", "properties": {"a": WHOLE}, "anyOf": [{"required": ["a"]}]},
    "one of": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "untyped bounds": {"minimum": 5, "maximum": 6},
    "true": {"properties": {"a": True}, "required": ["a"]},
    "exclusive whole": {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    "negative": {"type": "integer", "maximum": -5},
    "step": {"type": "integer", "multipleOf": 7, "minimum": 20, "maximum": 21},
    "step below": {"type": "integer", "multipleOf": 7, "maximum": -1},
    "half steps": {"type": "number", "multipleOf": 0.5, "minimum": 0.6},
    "half steps whole": {"type": "integer", "multipleOf": 0.5},
    "tiny range": {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.11},
    "above": {"type": "number", "exclusiveMinimum": 10},
    "below": {"type": "number", "exclusiveMaximum": -10},
    "max only": {"type": "number", "maximum": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("prompt", ["", "Ada and Bob, 'x', 12, 3.5 and -20"])
def test_whatever_the_shape_the_value_is_valid(name, prompt):
    schema = SCHEMAS[name]
    value = fill_schema(schema, Evidence(prompt))
    check = validator_for(schema)
    assert check is not None
    assert check(value), value


@pytest.mark.parametrize("form", ["email", "uri", "url", "date", "time", "date-time", "uuid", "ipv4", "ipv6", "hostname", "duration", "regex"])  # fmt: skip
def test_formats_have_a_plain_value(form):
    assert sample_schema({"type": "string", "format": form})


def test_a_schema_that_nothing_satisfies_still_gets_a_value():
    assert (
        fill_schema({"type": "integer", "minimum": 5, "maximum": 1}, Evidence("x"))
        is not None
    )
    assert (
        fill_schema({"type": "string", "pattern": "^(?=x)y$"}, Evidence("x"))
        is not None
    )
    assert fill_schema({"type": "string", "pattern": "("}, Evidence("x")) is not None
    assert fill_schema({"$ref": "https://example.org/x"}, Evidence("x")) is not None
    assert fill_schema({"$ref": "#/nowhere"}, Evidence("x")) is not None
    assert fill_schema({"type": "nonsense"}, Evidence("x")) is not None


def test_a_broken_schema_has_no_validator():
    assert validator_for({"type": 3}) is None


@pytest.mark.parametrize(
    ("reference", "found"),
    [("#", True), ("#/a/0", True), ("#/a/5", False), ("#/b", False), ("x", False)],
)
def test_references_are_followed_inside_only(reference, found):
    root = {"a": [{"type": "null"}]}
    assert (resolve_pointer(root, reference) is not None) is found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("abc", "abc"),
        ("^a.c$", "aac"),
        (r"\d\w\s\D\W\S\.", "0a a-a."),
        ("[a-c][^a]", "aA"),
        ("[]x]", "]"),
        (r"[\d-]\n\t\r", "0\n\t\r"),
        ("a{3}b{2,}c?d*e+?", "aaabbe"),
        ("a{x}", "a{x}"),
        ("(a|b)|c", "a"),
        (r"\bfoo\b", "foo"),
        ("[^ -~]", "~"),
        ("(", ""),
        ("[a", ""),
    ],
)
def test_a_text_is_made_for_a_pattern(pattern, text):
    assert sample_pattern(pattern) == text


def test_numbers_stay_in_bounds():
    assert plain_number({"minimum": 2, "exclusiveMinimum": 5}, whole=True) == 6
    assert 0 < plain_number({"exclusiveMinimum": 0, "maximum": 1}, whole=False) <= 1


# --------------------------------------------------------------------------- reading text


def test_words_are_read():
    assert quoted("a 'b c' \"d\" `e` “f” \u2018g\u2019 « h » 「i」 don't") == ["b c", "d", "e", "f", "g", "h", "i"]  # fmt: skip
    assert proper_names("What is Ada doing? Run it in New York. Hello World") == ["Ada", "New York", "World"]  # fmt: skip
    assert numbers("1 2.5 -3 1,000 1.2.3 v2 two") == [1, 2.5, -3, 1000, 2]
    assert sentences("One. Two!\nThree。Four") == ["One.", "Two!", "Three。", "Four"]
    assert name_words("customerName-of_x") == ["customer", "name", "of", "x"]
    assert keywords("What is the capital of France, the 日本語 one?") == ["capital", "France", "日本語"]  # fmt: skip
    assert (stem("cats"), stem("is"), stem("running")) == ("cat", "is", "runn")
    assert clip("one two three", 100) == "one two three"
    assert clip("one two three", 9) == "one two…"
    assert clip("abcdefghij", 5) == "abcd…"


def test_keys_are_compared_by_meaning():
    assert same_key("lineNumber", "line_no")
    assert same_key("Quote", "text")
    assert not same_key("line", "quote")


def test_json_is_found_in_text():
    assert json_values('a {"b": [1]} c [2] {x [3') == [{"b": [1]}, [2]]
    assert json_values("[" * 5_000) == []


# ------------------------------------------------------------------------------ properties

scalars = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 3}, st.integers(0, 30)),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)}, st.integers(-99, 99), st.integers(-99, 99)),
    st.builds(lambda a: {"type": "number", "exclusiveMinimum": a}, st.integers(-99, 99)),
    st.builds(lambda a, b: {"type": "number", "minimum": min(a, b), "maximum": max(a, b)}, st.floats(-9, 9), st.floats(-9, 9)),
    st.builds(lambda xs: {"enum": xs}, st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), min_size=1, max_size=4)),
    st.builds(lambda x: {"const": x}, st.one_of(st.text(max_size=5), st.integers())),
)  # fmt: skip

NAMES = st.sampled_from(
    ["name", "query", "line", "quote", "email", "count", "x", "tags", "answer"]
)


def objects(inner):
    def build(properties, mask):
        required = [key for key, keep in zip(properties, mask, strict=False) if keep]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    return st.builds(
        build,
        st.dictionaries(NAMES, inner, max_size=4),
        st.lists(st.booleans(), min_size=4, max_size=4),
    )


def arrays(inner):
    def build(items, least, more):
        return {
            "type": "array",
            "items": items,
            "minItems": least,
            "maxItems": least + more,
        }

    return st.builds(build, inner, st.integers(0, 3), st.integers(0, 3))


schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.builds(
            lambda branches: {"anyOf": branches},
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=12,
)

PROMPT_TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "Find 'blue whale' in line 12 for Ada Lovelace, ada@example.org, 3.5",
            "name: Bob, count 7, tags a, b and c",
            "名前は田中です",
        ]
    ),
)
RESULTS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ['[{"line": 3, "quote": "a"}, {"line": 4, "quote": "b"}]', "5: five\n6: six", '{"name": null, "x": {"count": 1}}']
        ),
    ),
    max_size=2,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=schemas, prompt=PROMPT_TEXTS, results=RESULTS)
def test_any_schema_of_the_subset_is_filled_validly(schema, prompt, results):
    value = fill_schema(schema, Evidence(prompt, "", results))
    jsonschema.Draft202012Validator(schema).validate(value)


@settings(max_examples=100, deadline=None)
@given(schema=objects(schemas), prompt=PROMPT_TEXTS)
def test_references_change_nothing(schema, prompt):
    wrapped = {"$defs": {"A": schema}, "$ref": "#/$defs/A"}
    value = fill_schema(wrapped, Evidence(prompt))
    jsonschema.Draft202012Validator(schema).validate(value)
