"""The benchmarks run and measure what they say; no test looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("langchain_cerebras", reason="the baseline of the benchmarks")

from benchmarks import __main__ as command
from benchmarks.measures import MEASURES, Measure, Target
from benchmarks.report import missed, ratio, table
from benchmarks.server import events, plain

BASELINE = "langchain-cerebras"
BOTH = ["--contestants", f"ours,{BASELINE}"]


def found(value: float) -> dict[str, object]:
    return {"min": value, "median": value, "rounds": [value]}


def measure(name: str, at_most: float, *, is_ratio: bool = True) -> Measure:
    target = Target(at_most, is_ratio=is_ratio)
    return Measure(name, name, "µs", lambda _: 0.0, target)


def test_quick_measures_ours_and_the_baseline_in_one_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = "astream_100,stream_tools,ainvoke_50"
    assert command.main(["--quick", "--json", *BOTH, "--only", names]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == {}
    assert set(report["results"]) == set(names.split(","))
    for result in report["results"].values():
        for name in ("ours", BASELINE):
            assert result["contestants"][name]["min"] > 0
        assert result["contestants"][BASELINE]["ratio"] == 1
    assert report["versions"][BASELINE] != "not installed"


def test_a_failing_measure_is_reported_and_fails_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MEASURES", [measure("no_such_measure", 1)])
    assert command.main(["--quick", "--contestants", "ours"]) == 1
    assert "FAILED no_such_measure/ours: KeyError" in capsys.readouterr().out


def test_a_contestant_that_is_not_installed_is_skipped_loudly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "is_installed", lambda _: False)
    assert command.main(["--contestants", "cerebras-sdk"]) == 2
    said = capsys.readouterr().err
    assert "SKIPPED cerebras-sdk: pip install cerebras-cloud-sdk" in said


@pytest.mark.parametrize(("ours", "is_missed"), [(8.0, False), (9.0, True)])
def test_a_target_is_a_ratio_of_minima(ours: float, is_missed: bool) -> None:
    rows = [measure("stream", 1 / 12)]
    results = {"stream": {"ours": found(ours), BASELINE: found(100.0)}}
    assert ratio(results, "stream", "ours") == ours / 100
    assert missed(rows, results) == (["stream"] if is_missed else [])
    text = table(rows, results, ["ours", BASELINE])
    assert f"**{ours / 100:.3f}**" in text
    assert ("NO" in text) == is_missed


def test_a_target_that_cannot_be_judged_counts_as_missed() -> None:
    assert missed([measure("stream", 1)], {"stream": {"ours": found(1)}}) == ["stream"]


def test_an_absolute_target_needs_no_baseline() -> None:
    rows = [measure("construct", 1000, is_ratio=False)]
    assert missed(rows, {"construct": {"ours": found(86)}}) == []


def test_every_target_of_the_project_has_a_measure() -> None:
    targets = {row.name: row.target for row in MEASURES if row.target}
    assert {name: target.at_most for name, target in targets.items()} == {
        "stream": 1 / 12,
        "astream": 1 / 16,
        "astream_100": 1 / 8,
        "invoke": 0.5,
        "ainvoke": 0.5,
        "ainvoke_50": 0.5,
        "import": 0.6,
        "construct": 1000,
    }


@pytest.mark.parametrize("kind", ["text", "tool", "json"])
def test_a_stream_says_what_the_plain_answer_says(kind: str) -> None:
    chunks = events(kind, 12)
    sent = [json.loads(c.split(b"data: ", 1)[1].strip()) for c in chunks[:-2]]
    deltas = [event["choices"][0]["delta"] for event in sent]
    body = json.loads(
        plain(kind, 11 if kind == "tool" else 12).split(b"\r\n\r\n", 1)[1]
    )
    message = body["choices"][0]["message"]
    if kind == "tool":
        calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
        streamed = "".join(call["function"]["arguments"] for call in calls)
        assert streamed == message["tool_calls"][0]["function"]["arguments"]
    else:
        assert "".join(d.get("content", "") for d in deltas) == message["content"]
        assert sum("content" in delta for delta in deltas) == 12
    # Each event is an HTTP chunk of its own, as the service sends it.
    for chunk in chunks[:-1]:
        size, _, data = chunk.partition(b"\r\n")
        assert int(size, 16) == len(data) - 2
        assert data.count(b"data: ") == 1


def test_the_readme_names_every_option() -> None:
    readme = Path(command.__file__).with_name("README.md").read_text("utf-8")
    for option in ("--quick", "--json", "--check", "--only", "--contestants"):
        assert option in readme
