"""Fills a JSON Schema with values that a conversation names; always valid if it can.

Evidence comes first: objects and lines that tools returned, then what the prompt
says. What nothing is said about gets a plain value within the schema's bounds. The
result is checked with `jsonschema`; if it does not hold, a plain sample is tried.
"""

from __future__ import annotations

import importlib
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_list,
    as_object,
    dump_text,
    fields_of,
    is_integer,
    is_number,
    items_of,
)
from langchain_cerebras_ext.simulator.evidence import Evidence, plain_key
from langchain_cerebras_ext.simulator.regexes import sample_pattern
from langchain_cerebras_ext.simulator.words import (
    clip,
    keywords,
    name_words,
    no_space_runs,
    numbers,
    proper_names,
    quoted,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEPTH = 12
_ITEMS = 5
_DEEP_ITEMS = 3
_CUTTABLE = 8
_VARIANTS = 1_000
_TEXT_CHARS = 240
_NOTHING: Any = object()

_NAME_WORDS = frozenset(
    """
    name names customer person user author title city location place country company
    organization owner recipient contact street product brand destination origin
    capital language style category department team sender
    """.split()  # noqa: SIM905 - words read better in a row
)
_QUERY_WORDS = frozenset(
    "query queries search q keyword keywords term terms topic subject needle".split()  # noqa: SIM905 - words read better in a row
)
_TEXT_WORDS = frozenset(
    """
    description summary text content answer explanation reason reasoning message body
    comment note notes conclusion response output details result
    """.split()  # noqa: SIM905 - words read better in a row
)
_PATH_WORDS = frozenset("path file filename filepath document".split())  # noqa: SIM905 - words read better in a row
_URL_WORDS = frozenset("url uri link href website".split())  # noqa: SIM905 - words read better in a row

_FIRST_WORDS = frozenset({"start", "from", "first", "begin", "offset"})
_LAST_WORDS = frozenset({"end", "to", "last", "stop", "until"})

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s\"'<>)]+")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_TIME = re.compile(r"\b\d{2}:\d{2}(?::\d{2})?\b")
_PATH = re.compile(r"(?:[\w.-]+/)*[\w-]+\.[A-Za-z]\w{0,5}\b")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")

_FORMATS: dict[str, tuple[re.Pattern[str], str]] = {
    "email": (_EMAIL, "user@example.com"),
    "uri": (_URL, "https://example.com/"),
    "url": (_URL, "https://example.com/"),
    "date": (_DATE, "2026-01-01"),
    "time": (_TIME, "12:00:00Z"),
    "date-time": (
        re.compile(
            r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})"
        ),
        "2026-01-01T12:00:00Z",
    ),
    "uuid": (_UUID, "00000000-0000-4000-8000-000000000000"),
    "ipv4": (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "127.0.0.1"),
    "ipv6": (re.compile(r"\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b"), "::1"),
    "hostname": (re.compile(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)+\b"), "example.com"),
    "duration": (re.compile(r"\bP[\dTDHMSWY]+\b"), "PT1H"),
}


def fill_schema(schema: JsonObject, evidence: Evidence) -> Any:
    """Return a value for a schema, filled from a conversation.

    Args:
        schema: Any JSON Schema; `$ref` is followed inside it.
        evidence: What the conversation says.

    Returns:
        A value that `jsonschema` accepts, if one was found; else the nearest one.
    """
    first = _Filler(schema, evidence).fill(schema)
    check = validator_for(schema)
    if check is None or check(first):
        return first
    plain = sample_schema(schema)
    return plain if check(plain) else first


def sample_schema(schema: JsonObject) -> Any:
    """Return a small value for a schema, from nothing."""
    return _Filler(schema, Evidence("")).fill(schema)


def validator_for(schema: JsonObject) -> Callable[[Any], bool] | None:
    """Return a check for a schema's values, None if the schema itself is broken."""
    return _cached_validator(dump_text(schema))


@lru_cache(maxsize=256)
def _cached_validator(text: str) -> Callable[[Any], bool] | None:
    validators: Any = importlib.import_module("jsonschema.validators")
    exceptions: Any = importlib.import_module("jsonschema.exceptions")
    msgspec_json: Any = importlib.import_module("msgspec.json")
    schema = msgspec_json.decode(text)
    cls = validators.validator_for(schema, validators.Draft202012Validator)
    try:
        cls.check_schema(schema)
    except exceptions.SchemaError:
        return None
    checker = cls(schema)

    def check(value: Any) -> bool:
        try:
            return bool(checker.is_valid(value))
        except Exception:  # noqa: BLE001 - the edge: logged or told, never lost
            return False

    return check


def resolve_pointer(root: JsonObject, reference: str) -> JsonObject | None:
    """Follow a `$ref` inside a schema, None if it leads nowhere or outside."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    found: Any = root
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        inner = as_object(found)
        items = as_list(found)
        if inner is not None and key in inner:
            found = inner[key]
        elif items is not None and key.isdigit() and int(key) < len(items):
            found = items[int(key)]
        else:
            return None
    return as_object(found)


class _Filler:
    """Fills one schema; holds what is needed on the way down."""

    def __init__(self, root: JsonObject, evidence: Evidence) -> None:
        self._root = root
        self._evidence = evidence
        evidence.keys |= set(_property_names(root))

    def fill(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        """Return a value for a schema under a property's name."""
        shape = self._resolve(schema)
        if shape is None:
            return self._text({}, name)
        if "const" in shape:
            return shape["const"]
        options = as_list(shape.get("enum"))
        if options:
            return self._choose(options, name)
        branches = self._branches(shape)
        if branches:
            return self._fill_branch(shape, branches, name, depth)
        match self._kind(shape):
            case "object":
                return self._fill_object(shape, depth)
            case "array":
                return self._fill_array(shape, name, depth)
            case "integer" | "number" as kind:
                return self._number(shape, name, whole=kind == "integer")
            case "boolean":
                return self._boolean(name)
            case "null":
                return None
            case _:
                return self._text(shape, name)

    # ------------------------------------------------------------ reading the schema

    def _resolve(self, schema: Any) -> JsonObject | None:
        """Follow references and join `allOf`; None for `true` and what is broken."""
        shape = as_object(schema)
        for _ in range(_DEPTH):
            if shape is None or not isinstance(shape.get("$ref"), str):
                break
            target = resolve_pointer(self._root, shape["$ref"])
            rest = {key: item for key, item in shape.items() if key != "$ref"}
            shape = None if target is None else {**target, **rest}
        if shape is None:
            return None
        parts = as_list(shape.get("allOf"))
        if parts:
            merged = {key: item for key, item in shape.items() if key != "allOf"}
            for part in parts:
                merged = _merge(merged, self._resolve(part) or {})
            return merged
        return shape

    @staticmethod
    def _branches(shape: JsonObject) -> list[Any]:
        for key in ("anyOf", "oneOf"):
            branches = as_list(shape.get(key))
            if branches:
                return branches
        return []

    @staticmethod
    def _kind(shape: JsonObject) -> str | None:
        kind: Any = shape.get("type")
        kinds = as_list(kind)
        if kinds:
            kind = next((one for one in kinds if one != "null"), kinds[0])
        if isinstance(kind, str):
            return kind
        for keys, guess in (
            (("properties", "required", "additionalProperties"), "object"),
            (("items", "prefixItems"), "array"),
            (("minimum", "maximum", "multipleOf"), "number"),
        ):
            if any(key in shape for key in keys):
                return guess
        return None

    def _fill_branch(
        self, shape: JsonObject, branches: list[Any], name: str, depth: int
    ) -> Any:
        """Take the branch that evidence speaks for, else null, else the first."""
        rest = {k: v for k, v in shape.items() if k not in ("anyOf", "oneOf")}
        shapes = [_merge(rest, self._resolve(branch) or {}) for branch in branches]
        nulls = [one for one in shapes if one.get("type") == "null"]
        others = [one for one in shapes if one.get("type") != "null"]
        if not others or (nulls and depth >= _DEPTH):
            return None
        if nulls and name and not any(self._speaks_for(one, name) for one in others):
            return None
        chosen = next((one for one in others if self._speaks_for(one, name)), others[0])
        if depth >= _DEPTH:
            chosen = min(others, key=lambda one: len(dump_text(one)))
        return self.fill(chosen, name, depth + 1)

    def _speaks_for(self, shape: JsonObject, name: str) -> bool:
        """Say whether the conversation has something for an optional value."""
        evidence = self._evidence
        if self._record_value(shape, name) is not _NOTHING or evidence.mentions(name):
            return True
        kind = self._kind(shape)
        if kind == "object":
            properties = fields_of(shape.get("properties"))
            return bool(evidence.matching_records(list(properties)))
        if kind in ("integer", "number"):
            return any(True for _ in evidence.near_numbers(name))
        if kind == "string" and as_list(shape.get("enum")):
            return self._mentioned(items_of(shape["enum"])) is not _NOTHING
        return kind == "string" and evidence.near_value(name) is not None

    # ------------------------------------------------------------ objects and arrays

    def _fill_object(
        self,
        shape: JsonObject,
        depth: int,
        record: JsonObject | None = None,
    ) -> JsonObject:
        properties = fields_of(shape.get("properties"))
        required = [key for key in items_of(shape.get("required")) if key]
        if record is None:
            records = self._evidence.matching_records(list(properties))
            record = records[0] if records else {}
        filled: JsonObject = {}
        for key, schema in properties.items():
            inner = self._resolve(schema) or {}
            if key in record and self._fits(record[key], inner):
                filled[key] = self._adapt(record[key], inner)
                self._remember(filled[key])
            elif key in required or (
                depth < _DEPTH and self._wants_optional(inner, key)
            ):
                filled[key] = self.fill(schema, key, depth + 1)
        extra = shape.get("additionalProperties")
        for key in required:
            if key not in filled:
                filled[key] = self.fill(extra or {}, key, depth + 1)
        self._grow(filled, shape, extra, depth)
        return filled

    def _wants_optional(self, shape: JsonObject, key: str) -> bool:
        if self._branches(shape):
            others = [self._resolve(one) or {} for one in self._branches(shape)]
            return any(
                self._speaks_for(one, key)
                for one in others
                if one.get("type") != "null"
            )
        return self._speaks_for(shape, key)

    def _grow(
        self, filled: JsonObject, shape: JsonObject, extra: Any, depth: int
    ) -> None:
        """Add properties until there are as many as the schema asks for."""
        least = _whole_at(shape, "minProperties") or 0
        properties = fields_of(shape.get("properties"))
        spare = [key for key in properties if key not in filled]
        number = 0
        while len(filled) < least:
            key = spare.pop(0) if spare else f"key{(number := number + 1)}"
            schema = properties.get(key, extra or {})
            filled[key] = self.fill(schema, key, depth + 1)

    def _fill_array(self, shape: JsonObject, name: str, depth: int) -> list[Any]:
        least = int(shape.get("minItems") or 0)
        most = _whole_at(shape, "maxItems")
        filled = [
            self.fill(one, name, depth + 1)
            for one in items_of(shape.get("prefixItems"))
        ]
        items = shape.get("items")
        tuple_items = as_list(items)
        if tuple_items is not None:
            filled += [self.fill(one, name, depth + 1) for one in tuple_items]
        elif items is not False and (depth < _DEPTH or len(filled) < least):
            bound = _ITEMS if most is None else max(0, most - len(filled))
            filled += self._items(items, name, depth, bound)
        if most is not None:
            filled = filled[:most]
        if shape.get("uniqueItems"):
            filled = _unique(filled)
        inner: Any = {} if tuple_items is not None else items
        return self._lengthen(filled, inner, shape, name, depth, least)

    def _lengthen(
        self,
        filled: list[Any],
        items: Any,
        shape: JsonObject,
        name: str,
        depth: int,
        least: int,
    ) -> list[Any]:
        """Add plain items until there are as many as the schema asks for."""
        spare = self._variants(items, name, depth)
        unique = bool(shape.get("uniqueItems"))
        for _ in range(_VARIANTS + least):
            if len(filled) >= least:
                break
            value = next(spare)
            if not unique or value not in filled:
                filled.append(value)
        return filled

    def _variants(self, items: Any, name: str, depth: int) -> Iterator[Any]:
        """Yield values for an item without end; different ones where that fits."""
        shape = self._resolve(items) or {}
        yield from items_of(shape.get("enum"))
        value = self.fill(items, name, depth + 1)
        yield value
        for number in range(1, _VARIANTS):
            for variant in _vary(value, number, shape):
                if self._fits(variant, shape):
                    yield variant
        while True:
            yield value

    def _items(self, items: Any, name: str, depth: int, bound: int) -> list[Any]:
        if bound == 0:
            return []
        shape = self._resolve(items) or {}
        if self._kind(shape) == "object" and not self._branches(shape):
            properties = fields_of(shape.get("properties"))
            records = self._evidence.matching_records(list(properties))
            if records:
                return [
                    self._fill_object(shape, depth + 1, record)
                    for record in records[:bound]
                ]
        value = self._record_value({"type": "array", "items": shape}, name)
        if value is not _NOTHING:
            return [self._adapt(one, shape) for one in value][:bound]
        listed = self._listed(shape, name)[:bound]
        if listed:
            for one in listed:
                self._remember(one)
            return listed
        if self._evidence.prompt and depth < _DEEP_ITEMS:
            return [self.fill(items, name, depth + 1)]
        return []

    def _listed(self, shape: JsonObject, name: str) -> list[Any]:
        """Return the values that the prompt lists for an array of plain values."""
        kind = self._kind(shape)
        prompt = self._evidence.prompt
        options = as_list(shape.get("enum"))
        if options:
            said = set(words(prompt))
            return [one for one in options if str(one).lower() in said]
        if kind in ("integer", "number"):
            found = [n for n in numbers(prompt) if self._fits(n, shape)]
            return [int(n) if kind == "integer" else n for n in found]
        if kind != "string":
            return []
        for texts in (quoted(prompt), no_space_runs(prompt), proper_names(prompt)):
            fresh = self._evidence.fresh(texts)
            fitting = [text for text in fresh if self._fits(text, shape)]
            if fitting:
                return fitting
        plain = [word for word in keywords(prompt, 6) if word not in name_words(name)]
        return [word for word in plain if self._fits(word, shape)][:3]

    # ------------------------------------------------------------------ plain values

    def _record_value(self, shape: JsonObject, name: str) -> Any:
        """Return what tool results hold under a property's name, if it fits."""
        if not name:
            return _NOTHING
        for hit in self._evidence.matching_records([name]):
            if self._fits(hit[name], shape):
                return self._adapt(hit[name], shape)
        return _NOTHING

    def _fits(self, value: Any, shape: JsonObject) -> bool:
        """Say whether a value is what a schema asks for, roughly or after adapting."""
        resolved = self._resolve(shape) or {}
        branches = self._branches(resolved)
        if branches:
            return any(self._fits(value, one) for one in branches)
        options = as_list(resolved.get("enum"))
        if options is not None:
            return value in options
        if "const" in resolved:
            return bool(value == resolved["const"])
        if not resolved:
            return True
        match self._kind(resolved):
            case "string":
                return self._fits_text(value, resolved)
            case "integer":
                return is_integer(value) and _in_bounds(value, resolved)
            case "number":
                return is_number(value) and _in_bounds(value, resolved)
            case "boolean":
                return isinstance(value, bool)
            case "null":
                return value is None
            case "array":
                items = as_list(value)
                inner = fields_of(resolved.get("items"))
                return items is not None and all(self._fits(i, inner) for i in items)
            case "object":
                return self._fits_object(value, resolved)
            case _:
                return True

    @staticmethod
    def _fits_text(value: Any, shape: JsonObject) -> bool:
        if not isinstance(value, str) or len(value) < int(shape.get("minLength") or 0):
            return False
        pattern = shape.get("pattern")
        if isinstance(pattern, str):
            try:
                return re.search(pattern, value) is not None
            except re.error:
                return False
        most = shape.get("maxLength")
        return most is None or len(value) <= int(most) or int(most) >= _CUTTABLE

    def _fits_object(self, value: Any, shape: JsonObject) -> bool:
        found = as_object(value)
        if found is None:
            return False
        properties = fields_of(shape.get("properties"))
        needed = items_of(shape.get("required"))
        closed = shape.get("additionalProperties") is False
        return (
            all(key in found for key in needed)
            and not (closed and set(found) - set(properties))
            and all(
                self._fits(item, fields_of(properties[key]))
                for key, item in found.items()
                if key in properties
            )
        )

    def _adapt(self, value: Any, shape: JsonObject) -> Any:
        """Bring a fitting value into the schema's exact form."""
        if isinstance(value, float) and self._kind(shape) == "integer":
            return int(value)
        if isinstance(value, str) and is_integer(shape.get("maxLength")):
            return value[: int(shape["maxLength"])]
        return value

    def _remember(self, value: Any) -> None:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            self._evidence.use(value)

    def _choose(self, options: list[Any], name: str) -> Any:
        found = self._record_value({"enum": options}, name)
        if found is _NOTHING:
            found = self._mentioned(options)
        return options[0] if found is _NOTHING else found

    def _mentioned(self, options: list[Any]) -> Any:
        """Return the option that the prompt mentions, the longest first."""
        prompt = " ".join(words(self._evidence.prompt))
        texts = [one for one in options if isinstance(one, str) and one]
        for option in sorted(texts, key=len, reverse=True):
            said = " ".join(words(option.replace("_", " ")))
            if said and f" {said} " in f" {prompt} ":
                return option
        for option in options:
            if is_number(option) and option in self._evidence.numbers():
                return option
        return _NOTHING

    def _boolean(self, name: str) -> bool:
        found = self._record_value({"type": "boolean"}, name)
        if found is not _NOTHING:
            return bool(found)
        near = self._evidence.near_value(name)
        if near and near.lower() in ("false", "no", "off"):
            return False
        label = r"[\s_-]+".join(map(re.escape, name_words(name)))
        denied = rf"\b(?:no|not|without|never|don't|disable)\s+(?:\w+\s+)?{label}"
        return not (label and re.search(denied, self._evidence.prompt, re.IGNORECASE))

    def _number(self, shape: JsonObject, name: str, *, whole: bool) -> int | float:
        for value in self._number_candidates(shape, name):
            good = is_integer(value) if whole else is_number(value)
            if good and _in_bounds(value, shape):
                self._evidence.use(value)
                return int(value) if whole else value
        return plain_number(shape, whole=whole)

    def _number_candidates(self, shape: JsonObject, name: str) -> Iterator[Any]:
        """Yield what a number may be, the best first."""
        evidence = self._evidence
        found = self._record_value(shape, name)
        if found is not _NOTHING:
            yield found
        span = evidence.line_span()
        kinds = set(name_words(name))
        ends = kinds & (_FIRST_WORDS | _LAST_WORDS)
        # Lines that were found say better where to begin than numbers in them.
        yield from evidence.near_numbers(name, told=not (span and ends))
        if span and ends:
            yield span[0] if kinds & _FIRST_WORDS else span[1]
        yield from evidence.numbers()
        yield shape.get("default")
        yield from evidence.told_numbers()

    def _text(self, shape: JsonObject, name: str) -> str:
        for value in self._texts(shape, name):
            text = _stretch(value, shape)
            if text and self._fits_text(text, shape):
                most = shape.get("maxLength")
                text = text if most is None else text[: int(most)]
                self._evidence.use(value)
                return text
        pattern = shape.get("pattern")
        return sample_pattern(pattern) if isinstance(pattern, str) else ""

    def _texts(self, shape: JsonObject, name: str) -> Iterator[str]:
        """Yield what a text property may say, the best first."""
        evidence = self._evidence
        prompt = evidence.prompt
        form = shape.get("format")
        if form in _FORMATS:
            pattern, plain = _FORMATS[form]
            yield from evidence.fresh(pattern.findall(prompt))
            yield plain
            return
        found = self._record_value(shape, name)
        if found is not _NOTHING:
            yield found
        near = evidence.near_value(name)
        if near:
            yield near
        parts = name_words(name)
        yield from self._by_name(parts)
        if isinstance(shape.get("default"), str):
            yield shape["default"]
        yield self._phrase(parts)
        yield from ("text", "a", "A", "1", "abc", "ABC", "123", "2026-01-01")

    def _by_name(self, parts: list[str]) -> Iterator[str]:
        evidence = self._evidence
        kinds = set(parts)
        last = parts[-1] if parts else ""
        if kinds & _PATH_WORDS:
            yield from evidence.fresh(_PATH.findall(evidence.prompt))
        if kinds & _URL_WORDS:
            yield from evidence.fresh(_URL.findall(evidence.prompt))
        if "email" in kinds or "mail" in kinds:
            yield from evidence.fresh(_EMAIL.findall(evidence.prompt))
        if "date" in kinds or "day" in kinds:
            yield from evidence.fresh(_DATE.findall(evidence.prompt))
        if last in _TEXT_WORDS:
            yield from self._statement()
        elif kinds & _QUERY_WORDS:
            yield from evidence.quotes()
            yield " ".join(evidence.keywords())
        elif kinds & _NAME_WORDS or not parts:
            yield from evidence.names()
            yield " ".join(evidence.keywords(2))
        else:
            yield from evidence.names()

    def _statement(self) -> Iterator[str]:
        """Yield sentences for a property that wants prose."""
        best = self._evidence.sentences()
        if self._evidence.results and best:
            yield clip(best[0], _TEXT_CHARS)
        if self._evidence.prompt:
            yield clip(self._evidence.prompt, _TEXT_CHARS)

    def _phrase(self, parts: list[str]) -> str:
        """Return words about the prompt for a property that nothing is said about."""
        label = " ".join(parts).capitalize() or "Text"
        about = " ".join(self._evidence.keywords(5))
        return f"{label} about {about}" if about else label


def _vary(value: Any, number: int, shape: JsonObject) -> list[Any]:
    """Return values like another one, further from it with a greater number."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        step = _number_at(shape, "multipleOf") or (1 if is_integer(value) else 0.125)
        return [value + number * step, value - number * step]
    if isinstance(value, str):
        most, tail = _whole_at(shape, "maxLength"), str(number)
        head = value if most is None else value[: max(0, most - len(tail))]
        return [head + tail]
    return []


def plain_number(shape: JsonObject, *, whole: bool) -> int | float:
    """Return a number within a schema's bounds: 1 if it may be."""
    low, high = _bounds(shape, whole=whole)
    step = _number_at(shape, "multipleOf")
    if step is not None and step > 0:
        unit = step if not whole or float(step).is_integer() else step * 10
        start = unit if low is None else math.ceil(low / unit) * unit
        if high is not None and start > high:
            start = math.floor(high / unit) * unit
        return int(start) if whole else start
    value: int | float = 1
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high if low is None or whole else (low + high) / 2
    return math.ceil(value) if whole else value


def _number_at(shape: JsonObject, key: str) -> int | float | None:
    value = shape.get(key)
    return value if is_number(value) else None


def _whole_at(shape: JsonObject, key: str) -> int | None:
    value = shape.get(key)
    return int(value) if is_integer(value) else None


def _bounds(
    shape: JsonObject, *, whole: bool
) -> tuple[int | float | None, int | float | None]:
    """Return the least and the greatest number, exclusive bounds moved inwards."""
    low, high = _number_at(shape, "minimum"), _number_at(shape, "maximum")
    under = _number_at(shape, "exclusiveMinimum")
    over = _number_at(shape, "exclusiveMaximum")
    if whole:
        lows = [math.ceil(low)] if low is not None else []
        lows += [math.floor(under) + 1] if under is not None else []
        highs = [math.floor(high)] if high is not None else []
        highs += [math.ceil(over) - 1] if over is not None else []
        return max(lows, default=None), min(highs, default=None)
    least = low if under is None or (low is not None and low > under) else under
    most = high if over is None or (high is not None and high < over) else over
    gap = 1.0 if least is None or most is None else (most - least) / 4
    if least is not None and least == under:
        least += gap
    if most is not None and most == over:
        most -= gap
    return least, most


def _in_bounds(value: float, shape: JsonObject) -> bool:
    low, high = _number_at(shape, "minimum"), _number_at(shape, "maximum")
    under = _number_at(shape, "exclusiveMinimum")
    over = _number_at(shape, "exclusiveMaximum")
    step = _number_at(shape, "multipleOf")
    return not (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (under is not None and value <= under)
        or (over is not None and value >= over)
        or (step is not None and step > 0 and value % step)
    )


def _stretch(text: str, shape: JsonObject) -> str:
    """Make a text long enough."""
    least = int(shape.get("minLength") or 0)
    if len(text) >= least:
        return text
    filler = f"{text} " if text else "text "
    return (filler * (least // len(filler) + 1))[:least]


def _merge(one: JsonObject, other: JsonObject) -> JsonObject:
    """Join two schemas: properties and required names of both."""
    merged = {**one, **other}
    for key in ("properties", "$defs", "definitions"):
        first, second = as_object(one.get(key)), as_object(other.get(key))
        if first and second:
            merged[key] = {**first, **second}
    first_required, second_required = one.get("required"), other.get("required")
    if first_required and second_required:
        merged["required"] = list(dict.fromkeys([*first_required, *second_required]))
    return merged


def _unique(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def _property_names(schema: JsonObject) -> Iterator[str]:
    """Yield the names of all properties: quoted in a prompt, they are no values."""
    stack: list[Any] = [schema]
    while stack:
        shape = as_object(stack.pop())
        if shape is None:
            continue
        properties = fields_of(shape.get("properties"))
        yield from properties
        yield from (plain_key(name) for name in properties)
        stack += list(properties.values())
        stack += fields_of(shape.get("$defs")).values()
        for key in ("items", "additionalProperties"):
            stack.append(shape.get(key))
        for key in ("anyOf", "oneOf", "allOf"):
            stack += items_of(shape.get(key))
