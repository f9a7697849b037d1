"""The parts of a comparison that make no calls: prompts, judging, figures, order."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.routing._compare.call import Contestant
from langchain_cerebras_ext.routing._compare.figures import (
    Figure,
    mean_of,
    quantile_of,
    share_of,
)
from langchain_cerebras_ext.routing._compare.judging import make_judge
from langchain_cerebras_ext.routing._compare.prompts import (
    Prompt,
    load_prompts,
    with_expected,
)
from langchain_cerebras_ext.routing._compare.results import (
    Journal,
    Result,
    read_journal,
)
from langchain_cerebras_ext.routing._compare.rows import make_row
from langchain_cerebras_ext.routing._compare.session import order_jobs
from langchain_cerebras_ext.routing._compare.texts import (
    cells,
    explain,
    explain_failures,
    seconds_text,
    to_csv,
    to_markdown,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def result(**given: Any) -> Result:
    """Return a result, complete."""
    fields: dict[str, Any] = {
        "model": "m",
        "prompt": "p",
        "repeat": 0,
        "digest": "d",
        "started_at": NOW,
    }
    return Result(**{**fields, **given})


# ---------------------------------------------------------------------------- prompts


def test_a_file_of_prompts_is_read_with_ids_messages_and_what_is_expected(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(
        '\ufeff{"prompt": "One\u2028line"}\r\n'
        "\n"
        '{"id": 7, "messages": [{"role": "system", "content": "Short."},'
        ' {"role": "user", "content": "Two"}], "expected": {"a": 1}, "source": "x"}\n',
        encoding="utf-8",
    )
    first, second = load_prompts(path)
    assert first == Prompt("1", (HumanMessage("One\u2028line"),))
    assert second.id == "7"
    assert second.messages == (SystemMessage("Short."), HumanMessage("Two"))
    assert second.expected == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "a"}\n{"prompt": ', "p.jsonl, line 2 is no JSON"),
        ('\n\n["a"]', "p.jsonl, line 3 is no JSON object"),
        ('{"promt": "a"}', "line 1 has 'promt'. Did you mean 'prompt'?"),
        ('{"prompt": "a", "expect": 1}', "line 1 has 'expect'. Did you mean"),
        ("{}", "line 1 must have either 'prompt'"),
        ('{"prompt": "a", "messages": ["b"]}', "line 1 must have either"),
        ('{"prompt": " "}', "line 1: prompt=' ' must be a text that is not empty"),
        ('{"prompt": 3}', "line 1: prompt=3 must be a text"),
        ('{"messages": []}', "line 1: messages must be a list"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', "messages cannot be read"),
        ('{"prompt": "a", "id": 1.5}', "line 1: id=1.5 must be a text or a whole"),
        (
            '{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}',
            "line 2 has the id 'x', and so has p.jsonl, line 1",
        ),
        ('{"prompt": "a"}\n{"prompt": "b", "id": 1}', "line 2 has the id '1'"),
        ("\n \n", "p.jsonl has no prompts"),
    ],
)
def test_a_wrong_file_of_prompts_is_refused_with_the_line(tmp_path, text, said):
    path = tmp_path / "p.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CerebrasConfigurationError) as raised:
        load_prompts(path)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_or_not_utf_8_is_named(tmp_path):
    with pytest.raises(CerebrasConfigurationError, match="cannot be read: No such"):
        load_prompts(tmp_path / "none.jsonl")
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(CerebrasConfigurationError, match=r"not UTF-8 .byte 15"):
        load_prompts(path)


def test_prompts_from_python_may_be_texts_messages_and_mappings():
    found = load_prompts(
        ["a", [("system", "s"), ("user", "b")], {"prompt": "c"}, Prompt("own", ())]
    )
    assert [one.id for one in found] == ["1", "2", "3", "own"]
    assert found[1].messages == (SystemMessage("s"), HumanMessage("b"))
    with pytest.raises(CerebrasConfigurationError, match="is one text; pass"):
        load_prompts("a")
    with pytest.raises(CerebrasConfigurationError, match="prompts is empty"):
        load_prompts([])


def test_the_built_in_prompts_differ_and_expect_nothing():
    found = load_prompts(None)
    assert len({one.digest for one in found}) == len(found) >= 5
    assert all(one.expected is None for one in found)


def test_a_digest_is_of_what_is_sent_alone():
    first, second = load_prompts([{"prompt": "a", "expected": 1}, {"prompt": "b"}])
    (again,) = load_prompts([{"messages": [{"role": "user", "content": "a"}], "id": 9}])
    assert first.digest == again.digest != second.digest


def test_what_is_expected_may_come_by_id_or_in_order():
    prompts = load_prompts([{"prompt": "a", "id": "x"}, {"prompt": "b", "expected": 2}])
    assert [one.expected for one in with_expected(prompts, {"x": 1})] == [1, 2]
    assert [one.expected for one in with_expected(prompts, ["p", "q"])] == ["p", "q"]
    for wrong in ({"y": 1}, ["p"], "pq"):
        with pytest.raises(CerebrasConfigurationError, match="expected"):
            with_expected(prompts, wrong)


# ---------------------------------------------------------------------------- judging


@pytest.mark.parametrize(
    ("how", "expected", "text", "agrees"),
    [
        (None, "42", " 42\n", 1.0),
        ("exact", "42", "It is 42.", 0.0),
        ("exact", "yes", "Yes", 0.0),
        ("exact", 42, "42.0", 1.0),
        ("exact", {"a": [1, True]}, '```json\n{"a": [1, true]}\n```', 1.0),
        ("exact", {"a": True}, '{"a": 1}', 0.0),
        ("exact", [1], "[1, 2]", 0.0),
        ("json:name", "Ann", '{"name": "Ann", "age": 3}', 1.0),
        ("json:name", {"name": "Ann"}, '{"name": "Ann", "age": 3}', 1.0),
        ("json:a.1.b", 5, '{"a": [0, {"b": 5}]}', 1.0),
        ("json:a.7", 5, '{"a": [0]}', 0.0),
        ("json:name", "Ann", "My name is Ann", 0.0),
        ("json:name", "Ann", '["Ann"]', 0.0),
        ("pattern", r"\b4[0-9]\b", "It is 42.", 1.0),
        ("pattern", r"^42$", "It is 42.", 0.0),
    ],
)
def test_answers_are_judged(how, expected, text, agrees):
    prompt = Prompt("p", (HumanMessage("?"),), expected)
    judge = make_judge(how, [prompt])
    assert judge is not None
    assert judge.rejudge(text, prompt) == agrees
    assert judge.rejudge(text, Prompt("q", ())) is None


@pytest.mark.parametrize(
    ("how", "expected", "said"),
    [
        ("exact", None, "no prompt says what is expected"),
        ("fuzzy", "a", "take exact, json:FIELD or pattern"),
        ("json:", "a", "take exact, json:FIELD or pattern"),
        (3, "a", "cannot be judged by 3; take exact"),
        ("pattern", "(", "Prompt 'p' expects '\\(', which is no regular expression"),
        ("pattern", 3, "Prompt 'p' expects 3, which is no regular expression"),
    ],
)
def test_a_way_to_judge_that_cannot_work_is_refused(how, expected, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        make_judge(how, [Prompt("p", (), expected)])


def test_nothing_expected_is_nothing_judged():
    assert make_judge(None, [Prompt("p", ())]) is None


@pytest.mark.parametrize("value", [2, -0.1, math.nan, "good"])
def test_a_score_that_is_no_share_is_refused(value):
    judge = make_judge(lambda _text, _prompt: value, [])
    assert judge is not None
    with pytest.raises(CerebrasConfigurationError, match="return 0 to 1"):
        judge.rejudge("x", Prompt("p", ()))


# ---------------------------------------------------------------------------- figures


def test_a_quantile_has_the_interval_of_its_order_statistics():
    # Of 20 values the median lies between the 6th and the 15th with 95.9 %: tables of
    # the binomial distribution (n = 20, p = 1/2) have P(B <= 5) = 0.0207.
    values = [float(one) for one in range(1, 21)]
    assert quantile_of(values[::-1], 0.5) == Figure(10.5, 6.0, 15.0, 20)


def test_an_end_of_an_interval_that_nobody_can_know_is_open():
    # 0.95 ** 20 = 0.358 is more than 2.5 %: the 20th value may well be below the p95.
    found = quantile_of([float(one) for one in range(1, 21)], 0.95)
    assert found is not None
    assert (found.value, found.high) == (pytest.approx(19.05), None)
    # P(B <= 16) = 0.0159 and P(B <= 17) = 0.0755: from the 17th on.
    assert found.low == 17.0
    assert quantile_of([3.0], 0.5) == Figure(3.0, None, None, 1)
    assert quantile_of([], 0.5) is None


def test_72_calls_are_the_fewest_that_bound_a_p95():
    # 0.95 ** 72 = 0.0249 <= 2.5 % < 0.0262 = 0.95 ** 71.
    for n, is_open in ((71, True), (72, False)):
        found = quantile_of([float(one) for one in range(n)], 0.95)
        assert found is not None
        assert (found.high is None) is is_open


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.05, 0.5, 0.95]),
)
@settings(max_examples=60, deadline=None)
def test_a_quantile_lies_in_its_interval(values, q):
    found = quantile_of(values, q)
    assert found is not None
    assert found.low is None or min(values) <= found.low <= found.value
    assert found.high is None or found.value <= found.high <= max(values)


def test_shares_have_wilsons_interval():
    # Wilson (1927), 8 of 10 at 95 %: 0.490 to 0.943.
    found = share_of(8, 10)
    assert found is not None
    assert found.value == 0.8
    assert (found.low, found.high) == (
        pytest.approx(0.490, abs=5e-4),
        pytest.approx(0.943, abs=5e-4),
    )
    assert share_of(0, 5) == Figure(0.0, 0.0, pytest.approx(0.4345, abs=1e-4), 5)
    assert share_of(0, 0) is None


def test_a_mean_of_scores_has_a_seeded_interval():
    values = [0.5, 0.75, 1.0, 0.25] * 5
    found = mean_of(values, 1)
    assert found is not None
    assert found == mean_of(values, 1)
    assert found.value == 0.625
    # Mean and deviation by hand: 0.625 and 0.2795, so 0.2795 / sqrt(20) = 0.0625.
    assert found.low == pytest.approx(0.625 - 1.96 * 0.0625, abs=0.03)
    assert found.high == pytest.approx(0.625 + 1.96 * 0.0625, abs=0.03)
    assert mean_of([1.0, 0.0], 0) == share_of(1, 2)
    assert mean_of([0.5], 0) == Figure(0.5, None, None, 1)
    many = mean_of([0.25, 0.75] * 1_000, 0)
    assert many is not None
    assert many.high == pytest.approx(0.5 + 1.96 * 0.25 / math.sqrt(2_000), abs=1e-4)


# ------------------------------------------------------------------------------- rows


def test_a_row_adds_up_by_hand():
    results = [
        result(ttft_s=0.1, latency_s=1.0, total_s=1.0, cost_usd=Decimal("0.001")),
        result(
            ttft_s=0.3,
            latency_s=2.0,
            total_s=4.5,
            attempts=2,
            cost_usd=Decimal("0.002"),
            agreement=1.0,
            output_tokens=10,
            input_tokens=4,
        ),
        result(kind="server", error_type="E", error="down", cost_usd=Decimal(0)),
        result(is_cached=True, cost_usd=Decimal(0), agreement=0.0),
    ]
    row = make_row("m", results, seed=0)
    assert (row.calls, row.failed, row.cached, row.retried) == (4, 1, 1, 1)
    assert row.failures == {"server": 1}
    assert row.latency_s.p50 is not None
    assert (row.latency_s.p50.value, row.latency_s.p50.n) == (1.5, 2)
    assert row.total_s.p50 is not None
    assert row.total_s.p50.value == 2.75
    assert row.agreement is not None
    assert (row.agreement.value, row.agreement.n) == (0.5, 2)
    assert (row.input_tokens, row.output_tokens) == (4.0, 10.0)
    # 0.003 of 4 calls is 0.75 of 1,000.
    assert row.cost_per_1000_usd == Decimal("0.75")
    assert cells(row)["$/1,000 calls"] == "$0.75"
    assert "needed more than one request" in explain([row])[1]
    assert explain_failures(results) == ["m: server 1, such as E: down"]


@pytest.mark.parametrize(
    ("costs", "shown", "figure"),
    [
        ([{"unpriced": 1}], "unknown", None),
        ([{"uncounted": 1, "cost_usd": None}], "unknown", None),
        (
            [{"unpriced": 1}, {"cost_usd": Decimal("0.002")}],
            "≥ $1.00",
            Decimal(1),
        ),
        (
            [{"uncounted": 1, "estimated": 1, "cost_usd": Decimal("0.002")}],
            "~ $2.00",
            Decimal(2),
        ),
        (
            [
                {"uncounted": 1, "cost_usd": None},
                {"estimated": 1, "half_counted": 1, "cost_usd": Decimal("0.002")},
            ],
            "≥ $1.00",
            Decimal(1),
        ),
        ([{"cost_usd": Decimal(0)}], "$0", Decimal(0)),
    ],
    ids=["unpriced", "uncounted", "partly", "estimated", "half", "free"],
)
def test_a_cost_that_is_not_known_is_said_to_be_so(costs, shown, figure):
    row = make_row("m", [result(**one) for one in costs], seed=0)
    assert cells(row)["$/1,000 calls"] == shown
    assert row.cost_per_1000_usd == figure
    assert (row.to_dict()["cost_usd"] is None) is (figure is None)


def test_names_cannot_break_markdown_or_become_formulas():
    row = make_row("=a|b*$x_<i>", [], seed=0)
    assert "| =a\\|b\\*\\$x\\_&lt;i> |" in to_markdown([row], [])
    head, line = to_csv([row]).splitlines()
    assert line.startswith("'=a|b*$x_<i>,0,0,")
    assert head.count(",") == line.count(",")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0042, "4.2 ms"), (0.087, "87 ms"), (1.4249, "1.42 s"), (131.6, "132 s")],
)
def test_times_are_shown_with_three_figures(value, shown):
    assert seconds_text(value) == shown


# ------------------------------------------------------------------------------ order


def contestants(*names: str) -> list[Contestant]:
    """Return models that are never asked."""
    return [Contestant(name, None) for name in names]  # type: ignore[arg-type]


def test_every_call_is_made_once_and_models_take_turns():
    models = contestants("a", "b", "c")
    prompts = [Prompt(str(at), ()) for at in range(10)]
    jobs = [
        (job.contestant.name, job.prompt.id, job.repeat)
        for job in order_jobs(models, prompts, 20, seed=1)
    ]
    assert len(set(jobs)) == len(jobs) == 3 * 10 * 20
    # Each three calls are one prompt, put to all models.
    blocks = [jobs[at : at + 3] for at in range(0, len(jobs), 3)]
    assert all({name for name, _, _ in block} == {"a", "b", "c"} for block in blocks)
    assert all(len({(p, r) for _, p, r in block}) == 1 for block in blocks)
    # Of 200 blocks each begins about 67: 3 deviations of sqrt(200 * 2 / 9) are 20.
    first = Counter(block[0][0] for block in blocks)
    assert all(abs(count - 200 / 3) < 20 for count in first.values())
    assert jobs[:30] != jobs[30:60]


def test_the_order_is_that_of_the_seed():
    models = contestants("a", "b")
    prompts = [Prompt(str(at), ()) for at in range(10)]
    one, same, other = (
        list(order_jobs(models, prompts, 2, seed)) for seed in (1, 1, 2)
    )
    assert one == same != other


# ----------------------------------------------------------------------------- the file


def written(path: Path, *results: Result) -> None:
    """Keep results in a file."""
    journal = Journal(path, read_journal(path), {"temperature": 0})
    for one in results:
        journal.add(one)
    journal.close()


def test_results_come_back_as_they_were_and_the_newest_counts(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    first = result(text="ä\n", cost_usd=Decimal("0.000000000001"), ttft_s=0.1)
    second = result(prompt="q", kind="server", error="x")
    written(path, first, second)
    written(path, first.replace(text="new"))
    kept = read_journal(path)
    assert kept.settings == {"temperature": 0}
    assert kept.results == {first.key: first.replace(text="new"), second.key: second}
    assert len(path.read_text().splitlines()) == 4


def test_a_file_cut_anywhere_gives_the_results_before_and_can_be_gone_on_with(tmp_path):
    path = tmp_path / "results.jsonl"
    results = [result(prompt=str(at), text="ü") for at in range(3)]
    written(path, *results)
    data = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        # A line without its end counts if all of it is there.
        whole = sum(end - 1 <= cut for end in ends)
        assert list(read_journal(path).results.values()) == results[: max(whole - 1, 0)]
        written(path, *results[2:])
        assert list(read_journal(path).results.values())[-1] == results[2]


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "results.jsonl"
    for text, said in (
        ('{"prompt": "a"}\n', "does not begin as a file of results does"),
        ("hello", "line 1 is no result"),
        ("[1]\n", "does not begin"),
        ("hello\nyou\n", "line 1 is no result"),
        ('{"comparison":1,"settings":{}}\nx\n{"a":1}\n', "line 2 is no result"),
    ):
        path.write_text(text)
        with pytest.raises(CerebrasConfigurationError, match=said):
            read_journal(path)
        assert path.read_text() == text


def test_a_place_that_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(CerebrasConfigurationError, match="cannot be read: Is a dir"):
        read_journal(tmp_path)
    plain = tmp_path / "plain"
    plain.write_text("x")
    kept = read_journal(tmp_path / "none")
    with pytest.raises(CerebrasConfigurationError, match="cannot be written"):
        Journal(plain / "results.jsonl", kept, {})
