"""What is said of models and parameters that end: stable text, with its source."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta

import pytest

from langchain_cerebras_ext.catalog import (
    LiveSighting,
    deprecation_notice,
    explain_reasoning_parameter,
    find_parameter,
    get_model,
    list_parameters,
    parameter_notice,
)
from langchain_cerebras_ext.catalog._table import packaged_table

TODAY = date(2026, 11, 21)
DAY = timedelta(days=1)


def test_the_notice_of_a_retired_model_in_full():
    notice = deprecation_notice(get_model("zai-glm-4.7"), TODAY)
    assert str(notice) == (
        "Model 'zai-glm-4.7' was retired on 2026-08-17 (96 days ago). Cerebras names "
        "no successor; our own advice is 'gpt-oss-120b'. What changes: input 0.35 "
        "instead of 2.25 USD per million tokens (-84 %); output 0.75 instead of 2.75 "
        "USD per million tokens (-73 %); speed 3,000 instead of 1,000 tokens/s "
        "(+200 %); lost: parallel tool calls, tools together with response_format, "
        "reasoning that can be switched off. Source: Notices by Cerebras staff of "
        "2026-08-17: cloudflare-docs issue 32800, agno issue 9592, models.dev pull "
        "request 4902, checked on 2026-08-17, "
        "https://github.com/anomalyco/models.dev/pull/4902."
    )


@pytest.mark.parametrize(
    ("model", "on", "what", "use"),
    [
        (
            "qwen-3-coder-480b",
            date(2025, 10, 29),
            "Model 'qwen-3-coder-480b' will be retired on 2025-11-05 (in 7 days).",
            "Use 'zai-glm-4.6', which Cerebras names as its successor; it comes on 2025-11-05.",
        ),
        (
            "qwen-3-coder-480b",
            date(2025, 11, 4),
            "Model 'qwen-3-coder-480b' will be retired on 2025-11-05 (in 1 day).",
            "Use 'zai-glm-4.6', which Cerebras names as its successor; it comes on 2025-11-05.",
        ),
        (
            "qwen-3-coder-480b",
            date(2025, 11, 5),
            "Model 'qwen-3-coder-480b' was retired on 2025-11-05 (today).",
            "Use 'zai-glm-4.6', which Cerebras names as its successor.",
        ),
        (
            "qwen-3-coder-480b",
            date(2026, 2, 1),
            "Model 'qwen-3-coder-480b' was retired on 2025-11-05 (88 days ago).",
            "Use 'zai-glm-4.7', which Cerebras names as its successor after zai-glm-4.6, no longer served.",
        ),
        (
            "qwen-3-coder-480b",
            TODAY,
            "Model 'qwen-3-coder-480b' was retired on 2025-11-05 (381 days ago).",
            "Its successors zai-glm-4.6 and zai-glm-4.7 are no longer served either; our own advice is 'gpt-oss-120b'.",
        ),
        (
            "gemma-4-31b",
            TODAY,
            "Model 'gemma-4-31b' left the public endpoints on 2026-09-03 (79 days ago); dedicated endpoints still offer it.",
            "Use 'qwen-3.8-27b', which Cerebras names as its successor.",
        ),
        (
            "deepseek-r1-0528",
            TODAY,
            "Model 'deepseek-r1-0528' has never been served by Cerebras to the public, as far as any source shows.",
            "Cerebras names no successor; our own advice is 'gpt-oss-120b'.",
        ),
    ],
)  # fmt: skip
def test_what_happens_when_and_what_to_use(model, on, what, use):
    notice = deprecation_notice(get_model(model), on)
    assert (notice.what, notice.use) == (what, use)


@pytest.mark.parametrize(
    ("model", "on"),
    [
        ("gpt-oss-120b", TODAY),
        ("qwen-3-coder-480b", date(2025, 10, 28)),
        ("qwen-3.8-27b", date(2026, 9, 1)),
        ("glm-5", TODAY),
    ],
)
def test_there_is_nothing_to_tell_of_a_model_that_stays(model, on):
    assert deprecation_notice(get_model(model), on) is None


@pytest.mark.parametrize("card", packaged_table().cards, ids=lambda card: card.id)
@pytest.mark.parametrize("on", [date(2025, 11, 1), date(2026, 8, 1), TODAY], ids=str)
def test_every_notice_is_whole_names_its_source_and_is_plain_json(card, on):
    notice = deprecation_notice(card, on)
    if notice is None:
        assert card.lifecycle(on).stage in {"upcoming", "active", "dedicated-only"}
        return
    text = str(notice)
    assert text == str(deprecation_notice(card, on))
    assert text.startswith(f"Model '{card.id}' ")
    assert notice.source is not None
    assert f"Source: {notice.source.title}, checked on " in text
    assert "None" not in text
    assert text.count("..") == 0
    assert json.loads(json.dumps(notice.to_dict()))["subject"] == card.id
    if notice.replacement is not None:
        assert f"'{notice.replacement}'" in notice.use


def seen(model: str, on: date, *, listed: bool, flag: bool | None = None):
    sighting = LiveSighting(on, listed, flag, "public-models-2026-07-30")
    return dataclasses.replace(get_model(model), live=(sighting,))


@pytest.mark.parametrize(
    ("card", "what"),
    [
        (
            lambda: seen("gpt-oss-120b", TODAY, listed=False),
            "Model 'gpt-oss-120b' is not in the live list of 2026-11-21 any more.",
        ),
        (
            lambda: seen("gpt-oss-120b", TODAY, listed=True, flag=True),
            "Model 'gpt-oss-120b' is deprecated: the live list of 2026-11-21 flags it.",
        ),
        (
            lambda: seen("llama3.1-8b", TODAY, listed=True),
            "Model 'llama3.1-8b' is past its end of 2026-05-27 (178 days ago); the live list of 2026-11-21 still has it.",
        ),
        (
            lambda: dataclasses.replace(
                seen("gpt-oss-120b", TODAY, listed=False), retired_on=TODAY + 3 * DAY
            ),
            "Model 'gpt-oss-120b' is not in the live list of 2026-11-21 any more. Its end is told for 2026-11-24 (in 3 days).",
        ),
        (
            lambda: dataclasses.replace(
                get_model("gpt-oss-120b"), deprecation_announced=TODAY
            ),
            "Model 'gpt-oss-120b' is deprecated: no day is named.",
        ),
        (
            lambda: dataclasses.replace(get_model("gpt-oss-120b"), status="retired"),
            "Model 'gpt-oss-120b' is retired.",
        ),
    ],
    ids=["dropped", "flagged", "outlived", "dropped early", "no day", "own, no day"],
)  # fmt: skip
def test_what_the_live_list_tells_is_said(card, what):
    assert deprecation_notice(card(), TODAY).what == what


def test_where_the_list_decides_it_is_the_source():
    notice = deprecation_notice(seen("gpt-oss-120b", TODAY, listed=False), TODAY)
    assert notice.source.title.startswith("GET /public/v1/models")


# ------------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("name", "on", "stage", "left"),
    [
        ("disable_reasoning", date(2026, 3, 23), "current", None),
        ("disable_reasoning", date(2026, 3, 24), "deprecated", 119),
        ("disable_reasoning", date(2026, 7, 20), "deprecated", 1),
        ("disable_reasoning", date(2026, 7, 21), "deprecated", 0),
        ("disable_reasoning", date(2026, 7, 22), "ended", -1),
        ("max_tokens", date(2026, 7, 7), "current", None),
        ("max_tokens", date(2026, 7, 8), "deprecated", None),
        ("max_tokens", TODAY, "deprecated", None),
    ],
)
def test_each_edge_of_a_parameters_life(name, on, stage, left):
    life = find_parameter(name).lifecycle(on)
    assert (life.stage, life.on, life.days_left) == (stage, on, left)
    found = find_parameter(name, on=on)
    assert (found is None) is (stage == "current")
    assert (parameter_notice(find_parameter(name), on) is None) is (stage == "current")


def test_the_notices_of_a_parameter():
    card = find_parameter("disable_reasoning")
    assert str(parameter_notice(card, date(2026, 7, 1))) == (
        "Parameter 'disable_reasoning' is supported until 2026-07-21 (in 20 days). "
        'Use reasoning_effort="none" instead. Source: Documentation, '
        "support/deprecation, copies of 2026-02 to 2026-04, checked on 2026-04-01, "
        "https://inference-docs.cerebras.ai/support/deprecation."
    )
    gone = parameter_notice(card, TODAY)
    assert gone.what == (
        "Parameter 'disable_reasoning' is no longer supported, since 2026-07-21 (123 "
        "days ago)."
    )
    assert gone.replacement == "reasoning_effort"
    header = parameter_notice(find_parameter("X-Cerebras-Version-Patch"), TODAY)
    assert header.what.startswith("Header 'X-Cerebras-Version-Patch=1' ")


@pytest.mark.parametrize("card", list_parameters(), ids=lambda card: card.name)
def test_every_notice_of_a_parameter_has_a_source(card):
    notice = parameter_notice(card, TODAY)
    assert notice.source is not None
    assert "None" not in str(notice)
    assert json.dumps(notice.to_dict())


@pytest.mark.parametrize(
    ("name", "endpoint", "found"),
    [
        ("max_tokens", "chat", True),
        ("max_tokens", "completions", False),
        ("reasoning_format", "chat", False),
        ("reasoning_format", "completions", True),
        ("X-Cerebras-Version-Patch", "completions", True),
        ("temperature", "chat", False),
    ],
)
def test_a_parameter_belongs_to_an_endpoint(name, endpoint, found):
    assert (find_parameter(name, endpoint=endpoint) is not None) is found


def test_parameters_are_listed_as_of_a_day():
    assert [card.name for card in list_parameters(on=date(2026, 3, 24))] == [
        "disable_reasoning",
        "X-Cerebras-Version-Patch",
        "definitions",
    ]
    assert list_parameters(on=date(2026, 1, 20)) == ()


# ------------------------------------------------------- other providers' parameters


@pytest.mark.parametrize(
    ("name", "model", "text"),
    [
        ("thinking", "gpt-oss-120b", "gpt-oss-120b always reasons; reasoning_effort='low', 'medium' or 'high' says how much ('medium' by default)."),
        ("enable_thinking", "zai-glm-4.7", "zai-glm-4.7 reasons unless reasoning_effort='none'; 'low', 'medium' or 'high' make no difference. clear_thinking=False keeps the reasoning of earlier turns."),
        ("budget_tokens", "qwen-3.8-27b", "There is no budget of tokens for reasoning, which counts toward max_completion_tokens (max_tokens in LangChain). qwen-3.8-27b takes reasoning_effort='none', 'low', 'medium' or 'high' ('high' by default); 'none' switches reasoning off."),
        ("thinking", "qwen-3-coder-480b", "qwen-3-coder-480b does not reason; leave it out."),
        ("include_reasoning", "gemma-4-31b", "How reasoning is shown is set by reasoning_format; gemma-4-31b takes 'parsed' or 'text_parsed' ('parsed' by default)."),
        ("include_thoughts", "qwen-3.8-27b", "How reasoning is shown is set by reasoning_format='parsed', 'raw' or 'hidden'."),
        ("thinking_level", None, "How much is thought is set by reasoning_effort='none', 'low', 'medium' or 'high'; which of these the model takes is not known here."),
        ("thinking", "qwen-3-32b", "How much is thought is set by reasoning_effort='none', 'low', 'medium' or 'high'; which of these qwen-3-32b takes is not known here."),
    ],
)  # fmt: skip
def test_another_providers_parameter_is_explained_by_the_cards_efforts(
    name, model, text
):
    card = get_model(model) if model else None
    told = explain_reasoning_parameter(name, card)
    assert told == f"Cerebras has no {name!r}. {text}"


@pytest.mark.parametrize("name", ["temperature", "reasoning_effort", ""])
def test_other_parameters_are_not_explained(name):
    assert explain_reasoning_parameter(name) is None
