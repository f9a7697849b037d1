"""The partial parser shows what is certain so far, and ends as `json.loads` does."""

import copy
import itertools
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.utils.json import parse_partial_json
from work import count_calls

from langchain_cerebras_ext import _partial_json
from langchain_cerebras_ext._partial_json import (
    MAX_DEPTH,
    PartialJson,
    PartialJsonError,
)

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**30, 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def written(draw):
    """Return JSON as text, in any of the ways it may be written."""
    value = draw(VALUES)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")]))
    text = json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1])),
        separators=separators,
    )
    return (
        draw(st.sampled_from(["", " ", "\n\t"]))
        + text
        + draw(st.sampled_from(["", " \n"]))
    )


@st.composite
def split(draw, texts):
    """Return a text and the pieces in which it arrives."""
    text = draw(texts)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    if draw(st.booleans()):
        cuts = list(range(len(text)))
    bounds = [0, *cuts, len(text)]
    return text, [text[a:b] for a, b in itertools.pairwise(bounds)]


def is_grown_from(later, earlier):
    """Tell whether a value continues another: nothing shown is taken back."""
    if isinstance(earlier, str):
        return isinstance(later, str) and later.startswith(earlier)
    if isinstance(earlier, list):
        return (
            isinstance(later, list)
            and len(later) >= len(earlier)
            and all(map(is_grown_from, later, earlier))
        )
    if isinstance(earlier, dict):
        return (
            isinstance(later, dict)
            and list(later)[: len(earlier)] == list(earlier)
            and all(is_grown_from(later[k], earlier[k]) for k in earlier)
        )
    return type(later) is type(earlier) and later == earlier


@given(split(written()))
@settings(max_examples=400, deadline=None)
def test_any_json_in_any_pieces_ends_as_json_loads(case):
    """Whatever the cuts, the final value is that of the whole text."""
    text, pieces = case
    parser = PartialJson()
    for piece in pieces:
        parser.feed(piece)
    value = parser.finish()
    expected = json.loads(text)
    assert value == expected
    assert repr(value) == repr(expected), "1, 1.0 and true are told apart"
    assert parser.complete
    assert parser.value is parser.snapshot() is value


@given(split(written()))
@settings(max_examples=300, deadline=None)
def test_values_only_grow_and_snapshots_stay(case):
    """Each snapshot continues the one before, and no later feed changes it."""
    _, pieces = case
    parser = PartialJson()
    kept = []
    for piece in pieces:
        before = repr((parser.started, parser.value))
        changed = parser.feed(piece)
        after = repr((parser.started, parser.value))
        # A duplicate key may be given the value that it has.
        assert changed or after == before
        snapshot = parser.snapshot()
        assert repr(snapshot) == repr(parser.value)
        if parser.started:
            kept.append((snapshot, copy.deepcopy(snapshot)))
    value = parser.finish()
    kept.append((value, copy.deepcopy(value)))
    for (snapshot, was), (later, _) in itertools.pairwise(kept):
        assert repr(snapshot) == repr(was)
        assert is_grown_from(later, snapshot)


STEPS = {
    "string grows": (
        '{"a": "xy"}',
        [None, *[{}] * 6, {"a": ""}, {"a": "x"}, *[{"a": "xy"}] * 3],
    ),
    "key is held back": ('{"ab":1,', [None, {}, {}, {}, {}, {}, {}, {}, {"ab": 1}]),
    "number is held back": ("[12,3", [None, [], [], [], [12], [12]]),
    "word is held back": ("[true", [None, [], [], [], [], [True]]),
    "escape is held back": (r'["\n"', [None, [], [""], [""], ["\n"], ["\n"]]),
    "surrogate pair is held back": (
        r'["\ud83d\ude00',
        [None, [], *[[""]] * 12, ["\U0001f600"]],
    ),
    "lone surrogate shows once it is alone": (
        r'["\ud83dx',
        [None, [], *[[""]] * 7, ["\ud83dx"]],
    ),
    "containers show when they open": ("[[{", [None, [], [[]], [[{}]]]),
    "bare string": ('"ab"', [None, "", "a", "ab", "ab"]),
    "bare number": ("-12 ", [None, None, None, None, -12]),
    "duplicate key": (
        '{"a":1,"a":[',
        [None, *[{}] * 6, {"a": 1}, *[{"a": 1}] * 4, {"a": []}],
    ),
}


@pytest.mark.parametrize(("text", "values"), STEPS.values(), ids=STEPS)
def test_the_value_after_each_character(text, values):
    """What is uncertain is held back; what is certain shows at once."""
    parser = PartialJson()
    seen = [parser.snapshot()]
    for char in text:
        parser.feed(char)
        seen.append(parser.snapshot())
    assert seen == values


def test_feed_tells_whether_the_value_changed():
    """White space, keys and halves change nothing."""
    parser = PartialJson()
    told = [
        parser.feed(piece)
        for piece in (" ", "{", '"a', '"', ":", ' "', "x", "\\", "n", '"', ",", "")
    ]
    assert told == [
        False, True, False, False, False, True, True, False, True, False, False, False,
    ]  # fmt: skip


def test_an_unchanged_value_is_the_same_snapshot():
    """Asking again costs nothing."""
    parser = PartialJson()
    parser.feed('[{"a": 1}, {"b": ')
    first = parser.snapshot()
    parser.feed("  12")
    assert parser.snapshot() is first
    parser.feed("}")
    assert parser.snapshot() == [{"a": 1}, {"b": 12}]
    assert first == [{"a": 1}, {}]


def test_closed_parts_are_shared_between_snapshots():
    """Only what is open is copied."""
    parser = PartialJson()
    parser.feed('{"done": [1, 2], "open": [{"x": 1}, {"y": "a')
    first = parser.snapshot()
    parser.feed("b")
    second = parser.snapshot()
    assert second["done"] is first["done"]
    assert second["open"][0] is first["open"][0]
    assert second["open"] is not first["open"]
    assert (first["open"][1], second["open"][1]) == ({"y": "a"}, {"y": "ab"})


@given(written())
@settings(max_examples=150, deadline=None)
def test_core_shows_no_less_on_prefixes_of_objects(text):
    """Where core's parser reads a prefix, its value continues ours.

    Core also shows numbers that may yet go on, which ours holds back.
    """
    text = '{"k": ' + text + "}"
    parser = PartialJson()
    for at, char in enumerate(text, 1):
        parser.feed(char)
        ours = parser.snapshot()
        try:
            cores = parse_partial_json(text[:at])
        except ValueError:
            continue
        if isinstance(cores, dict) and "\\u" not in text:
            assert is_grown_from(cores, ours)


MALFORMED = {
    "no value": ("x", 0, "a value was due, not 'x'"),
    "no key": ("{1:2}", 1, "a key was due, not '1'"),
    "no colon": ('{"a" 1}', 5, "':' was due"),
    "no comma": ("[1 2]", 3, "',' or ']' was due, not '2'"),
    "no comma in an object": ('{"a":1 "b"', 7, "',' or '}' was due"),
    "comma before the end": ("[1,]", 3, "a value was due"),
    "comma before the end of an object": ('{"a":1,}', 7, "a key was due"),
    "wrong bracket": ("[1}", 2, "',' or ']' was due, not '}'"),
    "closed before opened": ("]", 0, "a value was due"),
    "control character": ('["a\n"]', 3, "must be escaped"),
    "wrong escape": (r'["\x"]', 3, "'x' cannot be escaped"),
    "wrong hexadecimal": (r'["\u12G4"]', 4, "four hexadecimal digits"),
    "leading zero": ("[01]", 3, "'01' is no number"),
    "two points": ("[1.2.3]", 6, "'1.2.3' is no number"),
    "lone minus": ("[-]", 2, "'-' is no number"),
    "misspelled word": ("[trux]", 1, "true was due"),
    "NaN": ("[NaN]", 1, "a value was due, not 'N'"),
    "infinity": ("[-Infinity]", 2, "'-' is no number"),
    "something after the value": ('{"a":1} x', 8, "nothing was due"),
    "too deep": ("[" * 600, MAX_DEPTH, "nested more than 512 deep"),
    "number too long": ("[" + "1" * 5000 + "]", 5001, "is too long"),
}


@pytest.mark.parametrize(("text", "offset", "told"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "by character"])
def test_malformed_text_is_refused_with_its_place(text, offset, told, whole):
    """The error names the offset however the text was cut, and comes again."""
    parser = PartialJson()
    with pytest.raises(PartialJsonError) as caught:
        for piece in [text] if whole else text:
            parser.feed(piece)
    assert told in str(caught.value)
    assert caught.value.offset == offset
    assert isinstance(caught.value, ValueError)
    with pytest.raises(PartialJsonError):
        parser.feed("1")
    with pytest.raises(PartialJsonError):
        parser.finish()


def test_what_came_before_an_error_stays():
    """A stream that breaks still shows what it had."""
    parser = PartialJson()
    parser.feed('{"a": 1, "b": "x')
    with pytest.raises(PartialJsonError):
        parser.feed('y", !')
    assert parser.value == parser.snapshot() == {"a": 1, "b": "xy"}


@pytest.mark.parametrize("text", ["", " ", "{", '{"a"', "[1", '"x', "-", "tru", "[1,"])
def test_text_that_ends_too_early_is_refused_at_the_end(text):
    """Only `finish` knows that no more comes."""
    parser = PartialJson()
    parser.feed(text)
    assert not parser.complete
    with pytest.raises(PartialJsonError):
        parser.finish()


def test_null_is_told_from_nothing():
    """`started` says whether there is a value."""
    parser = PartialJson()
    parser.feed("nul")
    assert (parser.value, parser.started, parser.complete) == (None, False, False)
    assert parser.feed("l")
    assert (parser.value, parser.started, parser.complete) == (None, True, True)


LENIENT = {
    "fence": ('```json\n{"a": [1]}\n```', {"a": [1]}),
    "fence on one line": ('``` {"a": 1}```', {"a": 1}),
    "list in a fence": ("```\n[1, 2]\n```\nDone.", [1, 2]),
    "prose": ('Here it is: {"a": 1} I hope that helps {', {"a": 1}),
    "prose and a fence": ('Sure!\n```json\n{"a": 1}\n```', {"a": 1}),
    "byte order mark": ('\ufeff {"a": 1}', {"a": 1}),
    "plain": ('{"a": 1}', {"a": 1}),
    "control characters": ('{"a": "x\ny\t"}', {"a": "x\ny\t"}),
}


@pytest.mark.parametrize(("text", "expected"), LENIENT.values(), ids=LENIENT)
def test_lenient_reads_what_models_wrap_around_json(text, expected):
    """However it is cut."""
    for pieces in ([text], list(text)):
        parser = PartialJson(lenient=True)
        for piece in pieces:
            parser.feed(piece)
        assert parser.finish() == expected


def test_lenient_without_any_object_is_an_error_at_the_end():
    """Prose alone is no JSON."""
    parser = PartialJson(lenient=True)
    assert not parser.feed("I cannot do that.")
    with pytest.raises(PartialJsonError, match="ends too early"):
        parser.finish()


def test_errors_pickle():
    """They cross process borders."""
    error = pickle.loads(pickle.dumps(PartialJsonError("why", 7)))
    assert (error.offset, error.reason) == (7, "why")
    assert str(error) == "Malformed JSON at offset 7: why"


class CountingPattern:
    """Counts the characters that a pattern matches."""

    def __init__(self, pattern):
        self.pattern = pattern
        self.characters = 0

    def match(self, text, at):
        found = self.pattern.match(text, at)
        self.characters += found.end() - at
        return found


def work_of(text, size, read, monkeypatch):
    """Return what it takes to read a text in pieces: calls, and characters looked at."""
    parser = PartialJson()
    patterns = [CountingPattern(_partial_json._SPACE), CountingPattern(parser._plain)]
    monkeypatch.setattr(_partial_json, "_SPACE", patterns[0])
    parser._plain = patterns[1]
    joined = 0
    settle = parser._settle

    def counting_settle():
        nonlocal joined
        joined += sum(map(len, parser._pieces)) if parser._stale else 0
        settle()

    parser._settle = counting_settle

    def work():
        for at in range(0, len(text), size):
            parser.feed(text[at : at + size])
            read(parser)

    calls = count_calls(work)
    monkeypatch.undo()
    assert parser.finish() == json.loads(text)
    return calls + joined + sum(pattern.characters for pattern in patterns)


@pytest.mark.parametrize(
    ("make", "read"),
    [
        pytest.param(
            lambda n: json.dumps({"a": "x" * 40 * n}), lambda p: None, id="string"
        ),
        pytest.param(
            lambda n: json.dumps([{"id": i, "t": "x"} for i in range(n)]),
            lambda p: None,
            id="items",
        ),
        pytest.param(
            lambda n: json.dumps(
                [{"id": i, "t": "word " * 30} for i in range(n // 10)]
            ),
            lambda p: p.snapshot(),
            id="items, each piece shown",
        ),
    ],
)
def test_work_is_linear_in_the_text(make, read, monkeypatch):
    """Each character costs the same, however many there are."""
    costs = [
        work_of(text, 5, read, monkeypatch) / len(text)
        for text in (make(200), make(1600))
    ]
    assert costs[1] < 1.3 * costs[0]
