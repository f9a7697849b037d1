"""`cerebras-ext models`: tables, JSON, days, and what is refused."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.catalog import (
    Capabilities,
    ImageRules,
    ModelCard,
    Price,
    ReasoningSupport,
    cheapest,
    compare,
    deprecation_notice,
    get_model,
    list_models,
    recommend,
    register_model,
    source,
    successor,
    unregister_model,
)
from langchain_cerebras_ext.catalog._abilities import LABELS
from langchain_cerebras_ext.catalog._choice import TASKS
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._table import packaged_table
from langchain_cerebras_ext.cli import check as check_module
from langchain_cerebras_ext.cli import models as module
from langchain_cerebras_ext.cli import models_app
from langchain_cerebras_ext.cli import models_refresh as refresh_module
from langchain_cerebras_ext.cli.check import CheckOptions
from langchain_cerebras_ext.cli.models import SORTS, STAGES, facts_of, shown
from langchain_cerebras_ext.cli.models_show import card_as_json, describe
from langchain_cerebras_ext.cli.screen import (
    Column,
    Sheet,
    fitting,
    labelled,
    print_sheet,
    printable,
)

ON = date(2026, 11, 21)
DAY = ("--on", str(ON))
ALL_IDS = [card.id for card in packaged_table().cards]
# Models on each edge of a life: the day before it is told, told, before the end, end.
CODER_END = date(2025, 11, 5)

Run = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def fresh_catalog(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Give each test a catalog of its own: no lists or files of another's."""
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path / "cache"))
    before = dict(vars(registry))
    registry.reload()
    yield
    vars(registry).update(before)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `cerebras-ext models`; return what came on standard output and error."""

    def call(*args: str, code: int = 0) -> tuple[str, str]:
        assert main(["models", *args]) == code
        shown_now = capsys.readouterr()
        return shown_now.out, shown_now.err

    return call


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Write cards of one's own into the file in CEREBRAS_CATALOG."""

    def write(*cards: Mapping[str, Any]) -> None:
        path = tmp_path / "own.json"
        path.write_text(json.dumps({"models": cards}), encoding="utf-8")
        monkeypatch.setenv("CEREBRAS_CATALOG", str(path))
        registry.reload()

    return write


def console(width: int = 80, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system=None
    )


def lines_of(to: Console) -> list[str]:
    file = to.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def one_object(text: str) -> Any:
    assert text.count("\n") == 1
    return json.loads(text)


# ------------------------------------------------------------------------------- list


def test_the_list_has_what_is_served_and_says_how_many_more_there_are(run: Run) -> None:
    out, err = run("list", *DAY)
    head, *rows = out.splitlines()
    assert head.split() == [
        *("model", "status", "ends", "input", "cached", "output"),
        *("tokens/s", "context", "max", "out"),
    ]
    assert [row.split() for row in rows] == [
        "gpt-oss-120b active - 0.35 0.35 0.75 3,000 131,072 40,960".split(),
        "qwen-3.8-27b active - 0.99 0.99 1.49 1,500 65,536 32,768".split(),
    ]
    assert f"{len(ALL_IDS) - 2} more are known: --all." in err
    assert f"Packaged data of {packaged_table().checked_on}." in err


def test_in_a_pipe_each_model_is_one_plain_line_with_all_columns(run: Run) -> None:
    out, _ = run("list", "--all", *DAY)
    rows = [line.split() for line in out.splitlines()[1:]]
    assert sorted(row[0] for row in rows) == sorted(ALL_IDS)
    assert {len(row) for row in rows} == {9}
    assert "\x1b" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())


@pytest.mark.parametrize("width", [80, 96, 120, 200])
def test_at_a_terminal_no_id_is_cut_and_no_line_is_too_long(width: int) -> None:
    rows = [facts_of(card, ON) for card in list_models()]
    to = console(width)
    module._print_list(to, rows)
    lines = lines_of(to)
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines[2:]] == [row["id"] for row in rows]
    titles = lines[0].split()
    assert ("cached" in titles) is (width >= 120)
    assert "context" in titles


def test_at_80_columns_the_status_has_the_day_of_the_end() -> None:
    to = console(80)
    module._print_list(to, [facts_of(card, ON) for card in list_models()])
    text = "\n".join(lines_of(to))
    assert re.search(
        r"^zai-glm-4\.7 +ended 2026-08-17 +2\.25 +2\.75 +1,000", text, re.MULTILINE
    )
    assert re.search(r"^glm-5 +dedicated-only +- +- +- +-$", text, re.MULTILINE)


def test_an_id_that_is_wider_than_the_terminal_is_folded_and_nothing_is_lost(
    own: Callable[..., None],
) -> None:
    name = "a-fine-tune-with-a-name-of-" + "x" * 90
    own({"id": name})
    to = console(80)
    module._print_list(to, [facts_of(get_model(name), ON)])
    shown_id = "".join(line.split()[0] for line in lines_of(to)[2:] if line.strip())
    assert shown_id == name


@pytest.mark.parametrize(
    ("day", "stage", "ends", "short"),
    [
        pytest.param("2025-07-31", None, None, None, id="day before it came"),
        pytest.param("2025-08-01", "active", None, "active", id="came"),
        pytest.param("2025-10-28", "active", None, "active", id="day before told"),
        pytest.param(
            "2025-10-29", "deprecated", "2025-11-05", "ends 2025-11-05", id="told"
        ),
        pytest.param(
            "2025-11-04", "deprecated", "2025-11-05", "ends 2025-11-05", id="day before"
        ),
        pytest.param(
            "2025-11-05", "retired", "2025-11-05", "ended 2025-11-05", id="end"
        ),
        pytest.param(
            "2025-11-06", "retired", "2025-11-05", "ended 2025-11-05", id="after"
        ),
    ],
)
def test_the_list_of_a_day_is_as_it_was_known_then(
    run: Run, day: str, stage: str | None, ends: str | None, short: str | None
) -> None:
    out, _ = run("list", "--all", "--json", "--on", day)
    found = {row["id"]: row for row in one_object(out)["models"]}
    row = found.get("qwen-3-coder-480b")
    assert (row and row["stage"]) == stage
    if row is None:
        return
    assert row["ends_on"] == ends
    left = (CODER_END - date.fromisoformat(day)).days if ends else None
    assert row["days_left"] == left
    facts = facts_of(
        get_model("qwen-3-coder-480b", on=date.fromisoformat(day)),
        date.fromisoformat(day),
    )
    assert module._short_status(facts) == short
    served, _ = run("list", "--on", day)
    assert ("qwen-3-coder-480b" in served) is (stage in {"active", "deprecated"})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        pytest.param({"stage": "upcoming"}, "comes 2026-12-24", id="upcoming"),
        pytest.param({"stage": "deprecated"}, "deprecated", id="no day is told"),
        pytest.param(
            {"stage": "deprecated", "ends_on": ON, "days_left": 0},
            "ends 2026-11-21",
            id="last day",
        ),
        pytest.param(
            {"stage": "deprecated", "ends_on": ON, "days_left": -3},
            "deprecated",
            id="past its end, and still listed",
        ),
        pytest.param({"stage": "unlisted"}, "unlisted", id="unlisted"),
        pytest.param({"stage": "retired"}, "retired", id="end not known"),
    ],
)
def test_where_there_is_little_room_the_status_is_one_word_and_a_day(
    facts: dict[str, Any], text: str
) -> None:
    unknown = {
        "announced": date(2026, 12, 24),
        "ends_on": None,
        "days_left": None,
    }
    assert module._short_status({**unknown, **facts}) == text


def test_json_is_exact_and_tells_what_is_not_known_as_null(run: Run) -> None:
    out, err = run("list", "--json", *DAY)
    assert err == ""
    told = one_object(out)
    assert (told["on"], told["live_list"]) == (str(ON), None)
    gpt = told["models"][0]
    assert gpt["id"] == "gpt-oss-120b"
    assert gpt["input_usd_per_mtok"] == "0.35"
    assert gpt["blended_usd_per_mtok"] == "0.55"
    assert gpt["speed_tokens_per_s"] == 3000
    assert gpt["reasoning_efforts"] == ["low", "medium", "high"]
    assert gpt["capabilities"] == {
        name: module.ability(get_model("gpt-oss-120b"), name) for name in LABELS
    }
    out, _ = run("list", "--all", "--json", *DAY)
    rows = {row["id"]: row for row in one_object(out)["models"]}
    assert rows["glm-5"]["input_usd_per_mtok"] is None
    assert rows["glm-5"]["context_tokens"] is None


def test_free_is_0_and_unknown_is_not(run: Run, own: Callable[..., None]) -> None:
    own(
        {"id": "my-free", "price": {"input": 0, "output": 0}},
        {"id": "my-unknown"},
        {"id": "my-tiny", "price": {"input": "0.0000015", "output": "12.5"}},
    )
    out, _ = run("list", *DAY)
    prices = {row.split()[0]: row.split()[3:6] for row in out.splitlines()[1:]}
    assert prices["my-free"] == ["0.00", "-", "0.00"]
    assert prices["my-unknown"] == ["-", "-", "-"]
    assert prices["my-tiny"] == ["0.0000015", "-", "12.50"]
    out, _ = run("list", "--json", *DAY)
    rows = {row["id"]: row for row in one_object(out)["models"]}
    assert rows["my-free"]["blended_usd_per_mtok"] == "0.00"
    assert rows["my-unknown"]["blended_usd_per_mtok"] is None
    assert rows["my-tiny"]["blended_usd_per_mtok"] == "6.25000075"
    assert rows["my-free"]["origin"] == "file"


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        pytest.param(("-c", "vision"), ["qwen-3.8-27b"], id="one capability"),
        pytest.param(
            ("-c", "tools", "-c", "predicted_outputs"), ["gpt-oss-120b"], id="two"
        ),
        pytest.param(("--status", "never-served"), None, id="status"),
        pytest.param(
            ("--sort", "context"), ["gpt-oss-120b", "qwen-3.8-27b"], id="sorted"
        ),
    ],
)
def test_the_list_can_be_narrowed(
    run: Run, args: tuple[str, ...], ids: list[str] | None
) -> None:
    out, _ = run("list", *args, *DAY)
    wanted = ids or [c.id for c in list_models("never-served")]
    assert [row.split()[0] for row in out.splitlines()[1:]] == wanted


def test_a_list_without_models_is_empty_and_says_so(run: Run) -> None:
    out, err = run("list", "--status", "upcoming", *DAY)
    assert out == ""
    assert err.startswith("No model is like that.")


@pytest.mark.parametrize("sort", SORTS)
def test_each_order_puts_what_is_not_known_last(run: Run, sort: str) -> None:
    out, _ = run("list", "--all", "--json", "--sort", sort, *DAY)
    rows = one_object(out)["models"]
    assert sorted(row["id"] for row in rows) == sorted(ALL_IDS)
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "id": lambda row: row["id"],
        "price": lambda row: Decimal(row["blended_usd_per_mtok"] or "Infinity"),
        "speed": lambda row: -(row["speed_tokens_per_s"] or 0),
        "context": lambda row: -(row["context_tokens"] or 0),
        "end": lambda row: row["ends_on"] or "9999",
    }
    if sort == "status":
        stages = [row["stage"] for row in rows]
        assert stages == sorted(stages, key=stages.index)  # each in one piece
        assert (stages[0], stages[-1]) == ("active", "never-served")
        ends = [row["ends_on"] for row in rows if row["stage"] == "retired"]
        assert ends == sorted(ends, reverse=True)
    else:
        found = [keys[sort](row) for row in rows]
        assert found == sorted(found)


# ------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(["list", "--on", "soon"], "--on is 'soon'. Give a day", id="day"),
        pytest.param(["list", "--sort", "x"], "Give one of status, id,", id="sort"),
        pytest.param(
            ["list", "--status", "dead"], "Give one of upcoming,", id="status"
        ),
        pytest.param(["list", "-c", "tolls"], "Did you mean 'tools'?", id="capability"),
        pytest.param(
            ["show", "gpt-os-120b"], "Did you mean 'gpt-oss-120b'?", id="typo"
        ),
        pytest.param(
            ["show", "cerebras/gpt-oss-120b"],
            "Did you mean 'gpt-oss-120b'?",
            id="a provider's prefix",
        ),
        pytest.param(
            ["show", "qqqqqqqqqq"],
            "Served today: 'gpt-oss-120b' and 'qwen-3.8-27b'.",
            id="nothing near",
        ),
        pytest.param(["show"], "Missing argument", id="no id"),
        pytest.param(["compare", "gpt-oss-120b"], "two different models", id="one"),
        pytest.param(
            ["compare", "llama3.1-8b", "llama-3.1-8b"],
            "two different models",
            id="the same by another name",
        ),
        pytest.param(
            ["compare", "gpt-oss-120b", "zai-glm-4.8"],
            "Did you mean 'zai-glm-4.7'",
            id="one of them unknown",
        ),
        pytest.param(
            ["cheapest", "-r", "flying"], "no capability 'flying'", id="requires"
        ),
        pytest.param(["cheapest", "-i", "-1"], "input_tokens=-1, output", id="below 0"),
        pytest.param(["recommend", "golf"], "There is no task 'golf'", id="task"),
        pytest.param(
            ["recommend", "code", "--input-share", "1.5"],
            "--input-share is 1.5. Give a part from 0 to 1.",
            id="share",
        ),
        pytest.param(
            ["recommend", "code", "--input-share", "nan"], "from 0 to 1", id="no share"
        ),
        pytest.param(
            ["refresh", "--packaged", "--dry-run", "--on", str(ON)],
            "--packaged asks nobody; leave out --dry-run, --on.",
            id="packaged and dry-run",
        ),
        pytest.param(
            ["refresh", "--rows", "--apply", "x.json"], "Give one of them", id="both"
        ),
        pytest.param(["refresh", "--rows", "--json"], "leave out --json", id="rows"),
        pytest.param(["refresh", "--source", "x"], "--rows or --apply", id="source"),
        pytest.param(
            ["refresh", "--rows", "--source", "Our Page"],
            "Give small letters, digits",
            id="source's key",
        ),
        pytest.param(
            ["refresh", "--rows", "--source", "captures"],
            "stands for a source already",
            id="a source that is there",
        ),
        pytest.param(
            ["refresh", "--apply", "/does/not/exist.json"],
            "/does/not/exist.json cannot be read: No such file",
            id="no file",
        ),
        pytest.param(
            ["refresh", "--base-url", "ftp://x"], "is no http(s) URL", id="bad url"
        ),
        pytest.param(
            ["refresh", "--base-url", "https://me:secret@example.com"],
            "holds a user name or password",
            id="url with a password",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    run: Run, args: list[str], message: str
) -> None:
    out, err = run(*args, code=2)
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert "secret" not in err
    assert out == ""


def test_a_catalog_file_that_cannot_be_read_is_wrong_use(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEREBRAS_CATALOG", "/does/not/exist.json")
    registry.reload()
    _, err = run("list", code=2)
    assert "CEREBRAS_CATALOG file '/does/not/exist.json' cannot be read" in err


# ------------------------------------------------------------------------------- show


def test_a_served_model_is_shown_whole(run: Run) -> None:
    out, err = run("show", "gpt-oss-120b", *DAY)
    assert out.startswith("gpt-oss-120b\n\nModel\n  status ")
    titles = [line for line in out.splitlines() if line and line[0].isupper()]
    assert [re.sub(r" \[.*\]", "", title) for title in titles] == [
        "Model",
        "Timeline",
        "Price, USD per million tokens",
        "Limits by tier",
        "Capabilities",
        "Reasoning",
        "Use",
        "Notes",
        "Where sources disagree",
        "Links",
        "Sources",
    ]
    assert "\n  efforts              low, medium, high\n" in out
    assert "\n  not known      image, batch input, batch output\n" in out
    assert re.search(r"\ntokens an hour +1,000,000 +unlimited\n", out)
    assert re.search(r"  no +parallel tool calls, tools together with", out)
    assert re.search(r"  not known +logprobs\n", out)
    assert err == f"On {ON}. Packaged data of {packaged_table().checked_on}.\n"


def test_the_timeline_is_in_order_and_has_each_price_period(run: Run) -> None:
    out, _ = run("show", "gpt-oss-120b", *DAY)
    timeline = out.split("Timeline\n")[1].split("\n\n")[0].splitlines()
    days = [line.split()[0] for line in timeline]
    assert days == sorted(days)
    told = [re.sub(r" \[.*\]", "", line).split(maxsplit=1) for line in timeline]
    assert [text for _, text in told if text.startswith(("first", "price"))] == [
        "first day on the service",
        "price: input 0.25, output 0.69, seen 2025-08-05",
        "price: input 0.40, output 0.80, seen 2025-08-15",
        (
            "price: input 0.35, output 0.75, cached input 0.35, "
            "seen 2025-10-31 to 2026-07-30"
        ),
    ]


def test_a_retired_model_is_shown_with_its_notice_first(run: Run) -> None:
    out, _ = run("show", "qwen-3-coder-480b", *DAY)
    notice = deprecation_notice(get_model("qwen-3-coder-480b"), ON)
    assert notice is not None
    first = [line.strip() for line in out.split("\n\n", maxsplit=1)[0].splitlines()]
    assert first == [
        "qwen-3-coder-480b",
        notice.what,
        notice.use,
        *(f"- {line}" for line in notice.differences),
    ]
    assert "retired on 2025-11-05 (381 days ago)" in notice.what
    assert "zai-glm-4.6 -> zai-glm-4.7, which are no longer served. Our own" in out
    assert (
        "by 2025-10-29  its end is told, for 2025-11-05; successor named: zai-glm-4.6"
        in out
    )
    assert "Last price, USD per million tokens" in out
    assert "temperature 0.7, top_p 0.8" in out


def test_seen_from_a_day_before_the_end_was_told_there_is_no_end(run: Run) -> None:
    out, _ = run("show", "qwen-3-coder-480b", "--on", "2025-10-01")
    assert out.startswith(
        "qwen-3-coder-480b\n\nModel\n  status            active, as of"
    )
    assert "its end" not in out
    assert "successor" not in out
    out, _ = run("show", "qwen-3-coder-480b", "--on", "2025-10-29")
    assert "will be retired on 2025-11-05 (in 7 days)" in out
    assert "its end on the public endpoints, in 7 days" in out


def test_a_model_is_found_by_its_other_names(run: Run) -> None:
    out, err = run("show", "llama-3.1-8b", *DAY)
    assert out.startswith("llama3.1-8b\n")
    assert "elsewhere called  llama-3.1-8b, which the service does not take" in out
    assert "'llama-3.1-8b' is another name of 'llama3.1-8b'." in err


@pytest.mark.parametrize("model", ALL_IDS)
def test_every_number_of_a_source_is_explained_and_every_source_is_used(
    model: str,
) -> None:
    card = get_model(model)
    *said, sources = describe(card, ON)
    assert sources.title == "Sources"
    texts = [section.title for section in said]
    texts += [line.text for section in said for line in section.lines]
    texts += [
        str(cells[-1])
        for section in said
        if section.sheet
        for cells, _ in section.sheet.rows
    ]
    used = {
        int(number)
        for text in texts
        for mark in re.findall(r"\[([\d, ]+)\]", text)
        for number in mark.split(",")
    }
    assert [line.label for line in sources.lines] == [
        f"[{number}]" for number in sorted(used)
    ]
    # Whatever the card names is shown, but for what backs facts that are told unsaid.
    named = {source(key).title for keys in card.sources.values() for key in keys}
    shown_ones = {line.text for line in sources.lines}
    left_out = {
        title
        for title in named
        if not any(text.startswith(title) for text in shown_ones)
    }
    assert left_out == set()


@pytest.mark.parametrize("model", ALL_IDS)
def test_every_card_is_shown_within_80_columns(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_cerebras_ext.cli import models_show

    to = console(80)
    models_show._print_card(to, get_model(model), ON)
    lines = lines_of(to)
    assert lines[0] == model
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)


@pytest.mark.parametrize("model", ALL_IDS)
def test_json_of_a_model_has_the_whole_card_and_all_its_sources(
    run: Run, model: str
) -> None:
    out, err = run("show", model, "--json", *DAY)
    assert err == ""
    told = one_object(out)
    card = get_model(model, on=ON)
    assert told["model"] == card.to_dict()
    assert told == json.loads(json.dumps(module.plain(card_as_json(card, ON))))
    assert told["lifecycle"]["stage"] == card.lifecycle(ON).stage
    assert told["successor"]["model"] == successor(card, on=ON).model
    keys = {key for keys in card.sources.values() for key in keys}
    keys |= {seen.source for price in card.prices for seen in price.seen}
    assert keys <= set(told["sources"])
    assert all(found["checked_on"] for found in told["sources"].values())
    price = card.price(ON)
    assert (told["price"] is None) is (price is None)
    if price is not None and price.input is not None:
        assert Decimal(told["price"]["input"]) == price.input
    notice = deprecation_notice(card, ON)
    assert told["notice"] == (notice.to_dict() if notice else None)


def test_cards_of_ones_own_are_shown_without_what_a_terminal_would_obey(
    run: Run, own: Callable[..., None]
) -> None:
    own(
        {
            "id": "my-\x1b[31mmodel",
            "name": "Red\x07\nalert",
            "notes": ["a\x1b]0;title\x07b"],
            "price": {"input": 0, "output": 0},
        }
    )
    out, err = run("show", "my-\x1b[31mmodel", *DAY)
    assert out.startswith("my-model\n")
    assert re.search(r"  name +Red alert \[1\]\n", out)
    assert "\n  - ab\n" in out
    assert "\n  input          0.00 (free)\n" in out
    assert "from your file in CEREBRAS_CATALOG" in out
    assert not set(out + err) & {"\x1b", "\x07"}


def test_a_card_of_ones_own_may_name_sources_that_nobody_knows(run: Run) -> None:
    register_model(
        ModelCard(
            id="my-model",
            name="Mine",
            status="active",
            status_as_of=ON,
            sources={"name": ("a-note-of-mine",)},
            prices=(Price(input=Decimal(1), valid_until=date(2026, 1, 1)),),
            images=ImageRules(("png",), data_uri=False, remote_url=False, roles=()),
            capabilities=Capabilities(vision=True),
            reasoning=ReasoningSupport(supported=True),
        )
    )
    try:
        out, _ = run("show", "my-model", *DAY)
        told, _ = run("show", "my-model", "--json", *DAY)
    finally:
        unregister_model("my-model")
    assert re.search(r"\[2\] +a-note-of-mine\n", out)
    assert re.search(r"at first +price: input 1.00\n", out)
    assert re.search(r"2026-01-01 +price: not known any more\n", out)
    assert "\nPrice\n  not known\n" in out
    assert re.search(
        r"\nReasoning.*\n +earlier turns .*\n +not known +efforts, formats", out
    )
    assert "registered by this program" in out
    assert one_object(told)["sources"]["a-note-of-mine"] is None


# ---------------------------------------------------------------------------- compare


def test_models_stand_side_by_side_and_what_differs_is_marked(run: Run) -> None:
    out, err = run("compare", "gpt-oss-120b", "qwen-3.8-27b", *DAY)
    table, told = out.split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["gpt-oss-120b", "qwen-3.8-27b"]
    found = {
        label.strip(): (mark.strip(), a.strip(), b.strip())
        for mark, label, a, b in (re.match(
            r"(.) +(\S.*?)  +(\S.*?)  +(\S.*)", row
        ).groups() for row in rows)  # type: ignore[union-attr]
    }  # fmt: skip
    assert found["input, USD/Mtok"] == ("*", "0.35", "0.99")
    assert found["image input"] == ("*", "no", "yes")
    assert found["tool calls"] == ("", "yes", "yes")
    assert found["forced tool choice"] == ("?", "yes", "-")
    assert found["reasoning efforts"] == (
        "*",
        "low, medium, high",
        "none, low, medium, high",
    )
    assert told.splitlines() == [
        "From gpt-oss-120b to qwen-3.8-27b:",
        *(
            f"  - {line}"
            for line in compare("gpt-oss-120b", "qwen-3.8-27b", on=ON).lines()
        ),
    ]
    assert "lost: predicted outputs" in told
    assert "* differs, ? may differ, '-' is not known." in err


def test_where_ids_do_not_fit_letters_stand_for_them() -> None:
    names = [
        "qwen-3-235b-a22b-instruct-2507",
        "llama-4-maverick-17b-128e-instruct",
        "gpt-oss-120b",
    ]
    models = [facts_of(get_model(name), ON) for name in names]
    narrow, wide = console(80), console(160)
    for to in (narrow, wide):
        module._print_side_by_side(to, models)
    lines = lines_of(narrow)
    assert [line.split()[-1] for line in lines[:3]] == names
    assert lines[4].split() == ["A", "B", "C"]
    assert all(len(line) <= 80 for line in lines)
    assert lines_of(wide)[0].split() == names


def test_three_models_are_compared_with_the_first(run: Run) -> None:
    names = ["zai-glm-4.7", "gpt-oss-120b", "qwen-3.8-27b"]
    out, _ = run("compare", *names, "--json", *DAY)
    told = one_object(out)
    assert [row["id"] for row in told["models"]] == names
    assert told["comparisons"] == [
        compare(names[0], name, on=ON).to_dict() for name in names[1:]
    ]


def test_a_comparison_of_a_day_has_the_prices_of_that_day(run: Run) -> None:
    out, _ = run(
        *("compare", "qwen-3-coder-480b", "gpt-oss-120b", "--json"),
        *("--on", "2025-08-10"),
    )
    rows = {row["id"]: row for row in one_object(out)["models"]}
    assert rows["gpt-oss-120b"]["input_usd_per_mtok"] == "0.25"
    assert rows["qwen-3-coder-480b"]["ends_on"] is None


# --------------------------------------------------------------- cheapest, recommend


def test_the_cheapest_model_is_named_with_what_all_of_them_cost(run: Run) -> None:
    out, err = run("cheapest", "-i", "3000000", "-o", "1000", *DAY)
    rows = [line.split(maxsplit=4) for line in out.splitlines()[1:]]
    cost = (3_000_000 * Decimal("0.35") + 1000 * Decimal("0.75")) / 1_000_000
    other = (3_000_000 * Decimal("0.99") + 1000 * Decimal("1.49")) / 1_000_000
    assert rows == [
        ["gpt-oss-120b", str(cost), "0.35", "0.75", "the cheapest"],
        ["qwen-3.8-27b", str(other), "0.99", "1.49"],
    ]
    assert "3,000,000 input and 1,000 output tokens" in err


def test_a_model_that_will_not_do_is_told_why(run: Run) -> None:
    out, _ = run("cheapest", "-r", "vision", "--json", *DAY)
    told = one_object(out)
    best = cheapest(requires="vision", on=ON)
    assert best is not None
    assert told["cheapest"] == best.model == "qwen-3.8-27b"
    assert told["quotes"][0]["cost_usd"] == "1.24"
    assert told["quotes"][1]["unfit"] == ["has no image input"]
    assert told["quotes"][1]["price"]["input"] == "0.35"
    out, _ = run("cheapest", "-r", "vision", *DAY)
    assert "will not do: has no image input" in out


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("cheapest", "--min-context", "9000000"), id="cheapest"),
        pytest.param(("recommend", "bulk", "--min-context", "9000000"), id="recommend"),
    ],
)
def test_that_no_model_will_do_is_exit_code_1(run: Run, args: tuple[str, ...]) -> None:
    _, err = run(*args, *DAY, code=1)
    assert err.startswith("No model that is served will do.")
    out, err = run(*args, "--json", *DAY, code=1)
    assert err == ""
    told = one_object(out)
    assert not told.get("cheapest")
    assert not told.get("recommendations")


def test_a_model_without_a_known_price_is_not_the_cheapest(
    run: Run, own: Callable[..., None]
) -> None:
    own({"id": "my-unknown"}, {"id": "my-free", "price": {"input": 0, "output": 0}})
    out, _ = run("cheapest", *DAY)
    rows = [line.split(maxsplit=4) for line in out.splitlines()[1:]]
    assert rows[0] == ["my-free", "0.00", "0.00", "0.00", "the cheapest"]
    assert rows[-1] == ["my-unknown", "-", "-", "-", "its price is not known"]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_gets_models_with_reasons(run: Run, task: Any) -> None:
    found = recommend(task, on=ON)
    out, _ = run("recommend", task, *DAY)
    heads = [line for line in out.splitlines() if line[0].isdigit()]
    assert heads == [f"{n}. {one.model}" for n, one in enumerate(found, 1)]
    for one in found:
        assert all(f"   + {reason}\n" in out for reason in one.reasons)
        assert all(f"   ! {caution}\n" in out for caution in one.cautions)
    out, _ = run("recommend", task, "--json", *DAY)
    assert one_object(out)["recommendations"] == [one.to_dict() for one in found]


def test_the_mix_of_tokens_decides_the_price_of_a_recommendation(run: Run) -> None:
    out, _ = run("recommend", "bulk", "--input-share", "1", "--json", *DAY)
    told = one_object(out)["recommendations"]
    assert told[0]["blended_usd_per_mtok"] == "0.35"


# --------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(models_app.RECOMMEND_HELP, TASKS, id="tasks"),
        pytest.param("sort", SORTS, id="orders"),
        pytest.param("status", STAGES, id="stages"),
    ],
)
def test_help_names_every_word_that_is_taken(
    text: str, words: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if " " not in text:
        assert main(["models", "list", "--help"]) == 0
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    "command",
    ["list", "show", "compare", "cheapest", "recommend", "refresh", "check"],
)
def test_every_command_has_help_with_its_exit_codes(run: Run, command: str) -> None:
    out, _ = run(command, "--help")
    assert f"Usage: cerebras-ext models {command}" in out
    assert "Exit codes: 0" in " ".join(out.split())


def test_check_gets_every_option_of_the_command_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[CheckOptions] = []

    def note(options: CheckOptions) -> int:
        seen.append(options)
        return 1

    monkeypatch.setattr(check_module, "run_check", note)
    run("check", code=1)
    run(
        *("check", "src", "docs", "--on", str(ON), "--within", "30"),
        *("--fail-on", "any", "--format", "sarif", "--all", "--fix", "--diff"),
        *("--yes", "--exclude", "*.lock", "--ignore", "gpt-x"),
        *("--no-gitignore", "--no-config"),
        code=1,
    )
    plain, full = seen
    assert plain == CheckOptions()
    assert full == CheckOptions(
        paths=[Path("src"), Path("docs")],
        on=str(ON),
        within=30,
        fail_on="any",
        output_format="sarif",
        show_weak=True,
        fix=True,
        diff=True,
        yes=True,
        exclude=["*.lock"],
        ignore=["gpt-x"],
        use_ignore_files=False,
        use_config=False,
    )
    same = [
        field.name
        for field in fields(CheckOptions)
        if getattr(plain, field.name) == getattr(full, field.name)
    ]
    assert same == []


def test_nothing_is_asked_for_but_by_refresh(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        pytest.fail("the service was asked")

    monkeypatch.setattr(refresh_module, "refresh", refuse)
    monkeypatch.setattr(refresh_module, "check_source", refuse)
    out, _ = run("refresh", "--packaged")
    assert out == f"In use: the packaged data of {packaged_table().checked_on}.\n"
    out, _ = run("refresh", "--packaged", "--json")
    assert one_object(out) == {
        "forgotten": [],
        "checked_on": str(packaged_table().checked_on),
    }


# --------------------------------------------------------------------- tables and lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (131072, "131,072"),
        (Decimal(0), "0.00"),
        (Decimal("0.3500"), "0.35"),
        (Decimal("0.0000015"), "0.0000015"),
        (("low", "high"), "low, high"),
        ((), "(none)"),
        (ON, "2026-11-21"),
    ],
    ids=str,
)
def test_facts_are_shown_exactly(value: object, text: str | None) -> None:
    assert shown(value) == text


NAMES = Sheet(
    [Column("name"), Column("n", is_figure=True), Column("words", wraps=True)],
    [(("abc", 1, "one two three"), ""), (("a", None, "日本 x"), "dim")],
)


def test_a_sheet_in_a_pipe_is_lines_that_stand_in_columns() -> None:
    to = console(10, terminal=False)
    print_sheet(to, NAMES)
    assert lines_of(to) == [
        "name  n  words",
        "abc   1  one two three",
        "a     -  日本 x",
    ]


def test_a_sheet_at_a_terminal_breaks_only_cells_that_may_be_broken() -> None:
    assert NAMES.widths() == [4, 1, 5]
    assert NAMES.fits(14)
    assert not NAMES.fits(13)
    to = console(14)
    print_sheet(to, NAMES)
    lines = [line.rstrip() for line in lines_of(to)]
    assert lines[0] == "name  n  words"
    assert lines[2:] == ["abc   1  one", "         two", "         three", "a     -  日本", "         x"]  # fmt: skip


@pytest.mark.parametrize("width", [52, 53, 60, 80, 100, 120])
def test_two_columns_of_texts_leave_the_figures_beside_them_whole(width: int) -> None:
    name = "a very long name that somebody has given to it"
    whose = "user bob-with-a-long-name@example.com"
    wrapped = {"wraps": True}
    columns = [Column("budget", **wrapped), Column("of", **wrapped), Column("limit")]
    sheet = Sheet(columns, [((name, whose, "$0.00012"), ""), (("a", "b", "$1.00"), "")])
    assert sheet.fits(52)
    assert not sheet.fits(51)
    to = console(width)
    print_sheet(to, sheet)
    lines = lines_of(to)
    assert lines[0].split() == ["budget", "of", "limit"]
    assert max(map(len, lines)) <= width
    assert [word for line in lines for word in line.split() if "$" in word] == [
        "$0.00012",
        "$1.00",
    ]
    words = {word for line in lines for word in line.split()}
    assert words >= {*name.split(), *whose.split()}


def test_the_first_form_that_fits_is_taken_and_a_pipe_takes_the_first() -> None:
    narrow = Sheet(NAMES.columns[:1], [(("abc",), "")])
    assert fitting(console(80), NAMES, narrow) is NAMES
    assert fitting(console(10), NAMES, narrow) is narrow
    assert fitting(console(2), NAMES, narrow) is narrow
    assert fitting(console(2, terminal=False), NAMES, narrow) is NAMES


def test_a_labelled_text_hangs_behind_its_label_and_long_words_stay_whole() -> None:
    url = "https://example.com/" + "x" * 60
    text = f"one two three four five six seven eight {url} end"
    to = console(40)
    labelled(to, "  a  ", text)
    lines = lines_of(to)
    assert lines[0].startswith("  a  one two")
    assert all(line.startswith("     ") for line in lines[1:])
    assert any(line.strip() == url for line in lines)
    pipe = console(40, terminal=False)
    labelled(pipe, "  a  ", text)
    assert lines_of(pipe) == [f"  a  {text}"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb\x07c", "abc"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
    ids=["plain", "escapes", "white space"],
)
def test_what_a_terminal_would_obey_is_left_out(text: str, kept: str) -> None:
    assert printable(text) == kept
