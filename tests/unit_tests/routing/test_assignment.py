"""Units get arms by a law: the same one always, close to weights, moved only as needed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_cerebras_ext.routing import _assign
from langchain_cerebras_ext.routing._assign import Draw

UNITS = [f"user-{number}" for number in range(6_000)]
NAMES = st.text(min_size=1, max_size=12)
WEIGHTS = st.dictionaries(NAMES, st.floats(0.01, 100), min_size=1, max_size=6)

PINNED = "wwswwfwssffwsfsww-ww-fwwwwwsss-sw-fwswf-wwww-wfswswfwsswws-f"


def picks(weights, *, salt="greeting", holdout=0.0, units=UNITS):
    draw = Draw(salt, weights, holdout)
    return {unit: draw.pick(unit) for unit in units}


def moved(before, after):
    """From where to where units went, and how many."""
    pairs = ((before[unit], after[unit]) for unit in before)
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def within(count, share, whole):
    """Whether a count is within four standard errors of what is due."""
    return abs(count - share * whole) <= 4 * math.sqrt(share * (1 - share) * whole) + 1


def test_assignments_are_the_same_in_every_release():
    """Running experiments would be reshuffled by another hash: these are written down."""
    draw = Draw("greeting", {"fast": 1, "smart": 1, "wise": 2}, 0.1)
    found = "".join((draw.pick(f"u{number}") or "-")[0] for number in range(60))
    assert found == PINNED


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_assignments_do_not_depend_on_the_hash_seed(seed):
    code = (
        "import runpy, sys; Draw = runpy.run_path(sys.argv[1])['Draw'];"
        "draw = Draw('greeting', {'fast': 1, 'smart': 1, 'wise': 2}, 0.1);"
        "print(''.join((draw.pick(f'u{n}') or '-')[0] for n in range(60)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, _assign.__file__],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == PINNED


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, unit=st.text(max_size=40), salt=st.text(max_size=20))
def test_a_unit_always_gets_the_same_arm_and_one_that_is_there(weights, unit, salt):
    first = Draw(salt, weights).pick(unit)
    backwards = dict(reversed(weights.items()))
    assert first in weights
    assert Draw(salt, backwards).pick(unit) == first


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, unit=st.text(max_size=40), factor=st.sampled_from([0.5, 2, 8]))
def test_only_proportions_of_weights_count(weights, unit, factor):
    scaled = {name: weight * factor for name, weight in weights.items()}
    assert Draw("s", scaled).pick(unit) == Draw("s", weights).pick(unit)


@pytest.mark.parametrize(
    "weights",
    [{"a": 1, "b": 1}, {"a": 9, "b": 1}, {"a": 1, "b": 2, "c": 3, "d": 0.5}],
    ids=["halves", "tenth", "four"],
)
def test_arms_are_close_to_their_weights(weights):
    found = Counter(picks(weights).values())
    whole = sum(weights.values())
    for name, weight in weights.items():
        assert within(found[name], weight / whole, len(UNITS)), name


def test_an_arm_of_no_weight_gets_nobody():
    assert set(picks({"a": 1, "b": 0}).values()) == {"a"}


@pytest.mark.parametrize("grown", [1.5, 3, 10], ids=str)
def test_units_move_only_into_an_arm_that_grows(grown):
    """The rest stays where it is: the movement is the least that is possible."""
    before = picks({"a": 1, "b": 1, "c": 2})
    after = picks({"a": 1, "b": grown, "c": 2})
    moves = moved(before, after)
    assert {to for _, to in moves} == {"b"}
    counts = Counter(after.values()), Counter(before.values())
    assert moves.total() == counts[0]["b"] - counts[1]["b"]


def test_units_move_only_out_of_an_arm_that_shrinks():
    moves = moved(picks({"a": 1, "b": 1, "c": 2}), picks({"a": 1, "b": 0.25, "c": 2}))
    assert {start for start, _ in moves} == {"b"}
    assert {to for _, to in moves} == {"a", "c"}


def test_a_new_arm_takes_its_share_and_moves_nobody_else():
    moves = moved(picks({"a": 1, "b": 1}), picks({"a": 1, "b": 1, "c": 1}))
    assert {to for _, to in moves} == {"c"}
    assert within(moves.total(), 1 / 3, len(UNITS))


def test_an_arm_that_goes_gives_its_units_back_to_where_they_were():
    before = picks({"a": 1, "b": 1})
    assert picks({"a": 1, "b": 1, "c": 0}) == before
    moves = moved(picks({"a": 1, "b": 1, "c": 1}), before)
    assert {start for start, _ in moves} == {"c"}


@settings(max_examples=25, deadline=None)
@given(
    before=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    after=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_units_move_only_to_an_arm_that_has_grown_beside_their_own(before, after):
    old, new = (dict(zip("abc", weights, strict=True)) for weights in (before, after))
    units = UNITS[:300]
    for start, to in moved(picks(old, units=units), picks(new, units=units)):
        assert new[to] / new[start] > old[to] / old[start] * (1 - 1e-9)


def test_experiments_are_independent_of_each_other():
    """Who is in an arm of one says nothing of the other."""
    one, two = picks({"a": 1, "b": 1}, salt="x"), picks({"a": 1, "b": 1}, salt="y")
    both = Counter((one[unit], two[unit]) for unit in UNITS)
    assert len(both) == 4
    assert all(within(count, 0.25, len(UNITS)) for count in both.values())


def test_the_holdout_is_its_share_and_weights_do_not_touch_it():
    before = picks({"a": 1, "b": 1}, holdout=0.2)
    after = picks({"a": 1, "b": 5, "c": 2}, holdout=0.2)
    held = {unit for unit, arm in before.items() if arm is None}
    assert within(len(held), 0.2, len(UNITS))
    assert held == {unit for unit, arm in after.items() if arm is None}


def test_a_holdout_that_grows_keeps_those_that_it_had():
    small = picks({"a": 1, "b": 1}, holdout=0.1)
    large = picks({"a": 1, "b": 1}, holdout=0.3)
    assert {to for _, to in moved(small, large)} == {None}


def test_arms_do_not_depend_on_the_holdout():
    """Among those held out both arms would have been drawn as often."""
    held = picks({"a": 1, "b": 1}, holdout=0.3)
    would = picks({"a": 1, "b": 1})
    found = Counter(would[unit] for unit, arm in held.items() if arm is None)
    assert within(found["a"], 0.5, found.total())


@pytest.mark.parametrize(
    "unit", ["", "用户", "\ud800", "x" * 100_000], ids=["empty", "wide", "lone", "long"]
)
def test_any_text_is_a_unit(unit):
    assert Draw("s", {"a": 1, "b": 1}).pick(unit) in {"a", "b"}
