"""The kept lists: where, how long, and what happens when they are damaged."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from langchain_cerebras_ext.catalog import _cache as cache
from langchain_cerebras_ext.catalog import get_model, list_models, reload, use_packaged
from langchain_cerebras_ext.catalog._snapshot import LiveModel, Snapshot
from langchain_cerebras_ext.catalog._table import packaged_table
from langchain_cerebras_ext.errors import CerebrasConfigurationError

CHECKED_ON = packaged_table().checked_on
DAY = timedelta(days=1)
URL = "https://api.cerebras.ai"


def kept(on: date, price: str = "0.30", url: str = URL) -> Snapshot:
    model = LiveModel(
        id="gpt-oss-120b",
        input=Decimal(price),
        output=Decimal("0.75"),
        abilities={"vision": False},
    )
    return Snapshot(on=on, url=url, models=(model,))


@pytest.fixture
def file() -> Path:
    path = cache.cache_file(URL)
    assert path is not None
    return path


def test_what_is_written_is_read(file):
    lists = (kept(CHECKED_ON), kept(CHECKED_ON + DAY, "0.31"))
    cache.write_lists(file, lists)
    assert cache.read_lists(file) == lists
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]
    assert file.name == "models-api.cerebras.ai.json"


def test_a_later_process_uses_the_kept_list(file):
    cache.write_lists(file, (kept(CHECKED_ON + DAY),))
    code = (
        "from datetime import date\n"
        "from langchain_cerebras_ext.catalog import get_model\n"
        f"card = get_model('gpt-oss-120b')\n"
        f"day = date.fromisoformat('{CHECKED_ON + DAY}')\n"
        "print(card.origin, card.price(day).input)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "refreshed 0.30\n", done.stderr


def test_a_list_is_used_where_the_environment_names_its_service(file, monkeypatch):
    cache.write_lists(file, (kept(CHECKED_ON),))
    reload()
    assert get_model("gpt-oss-120b").live
    monkeypatch.setenv("CEREBRAS_BASE_URL", "https://gateway.example/v1")
    reload()
    assert not get_model("gpt-oss-120b").live


def test_packaged_data_that_are_younger_win(file):
    cache.write_lists(file, (kept(CHECKED_ON - DAY),))
    reload()
    assert get_model("gpt-oss-120b").origin == "packaged"


def test_prices_of_several_lists_keep_their_days(file):
    lists = tuple(
        kept(CHECKED_ON + n * DAY, price) for n, price in ((1, "0.30"), (5, "0.28"))
    )
    cache.write_lists(file, lists)
    reload()
    card = get_model("gpt-oss-120b")
    found = [str(card.price(CHECKED_ON + n * DAY).input) for n in (0, 1, 4, 5)]
    assert found == ["0.35", "0.30", "0.30", "0.28"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"version": 2, "lists": []}',
        b'{"version": 1}',
        b'{"version": 1, "lists": [{"on": "soon"}]}',
        b"[" * 100_000,
    ],
    ids=lambda data: data[:30].decode("latin-1"),
)
def test_a_damaged_file_is_left_alone_and_logged(file, data, caplog):
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    reload()
    with caplog.at_level(logging.WARNING, "langchain_cerebras_ext.catalog"):
        assert len(list_models()) == 23
    assert "cannot be read, and is not used" in caplog.text
    assert file.read_bytes() == data


def test_a_file_that_is_too_long_is_not_read(file, monkeypatch):
    monkeypatch.setattr(cache, "_MAX_BYTES", 10)
    cache.write_lists(file, (kept(CHECKED_ON),))
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        cache.read_lists(file)


def test_an_address_that_is_none_does_not_keep_anybody_from_looking_up(
    file, monkeypatch
):
    cache.write_lists(file, (kept(CHECKED_ON),))
    monkeypatch.setenv("CEREBRAS_BASE_URL", "ftp://nowhere")
    reload()
    assert get_model("gpt-oss-120b").origin == "packaged"


# --------------------------------------------------------------------- what is kept


def test_lists_that_tell_the_same_are_kept_first_and_last():
    lists: tuple[Snapshot, ...] = ()
    for number in range(5):
        lists = cache.add_snapshot(
            lists, kept(CHECKED_ON + number * DAY), since=CHECKED_ON
        )
    assert [one.on for one in lists] == [CHECKED_ON, CHECKED_ON + 4 * DAY]
    lists = cache.add_snapshot(
        lists, kept(CHECKED_ON + 5 * DAY, "0.28"), since=CHECKED_ON
    )
    assert [one.on for one in lists] == [
        CHECKED_ON,
        CHECKED_ON + 4 * DAY,
        CHECKED_ON + 5 * DAY,
    ]


def test_of_a_day_the_last_list_is_kept_and_old_ones_are_dropped():
    lists = (kept(CHECKED_ON - DAY), kept(CHECKED_ON), kept(CHECKED_ON + 3 * DAY))
    found = cache.add_snapshot(lists, kept(CHECKED_ON, "0.28"), since=CHECKED_ON)
    assert found == (kept(CHECKED_ON, "0.28"),)


def test_going_back_to_the_packaged_data_deletes_what_was_kept(file):
    cache.write_lists(file, (kept(CHECKED_ON),))
    other = file.parent.parent / "models-of-somebody.json"
    other.write_text("{}")
    reload()
    use_packaged(forget=False)
    assert get_model("gpt-oss-120b").origin == "packaged"
    assert file.exists()
    reload()
    assert get_model("gpt-oss-120b").live
    use_packaged()
    assert not file.exists()
    assert other.exists()
    reload()
    assert not get_model("gpt-oss-120b").live
    use_packaged()


# ------------------------------------------------------------------------------ where


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/langchain-cerebras-ext/catalog"),
        (
            "linux",
            {"XDG_CACHE_HOME": "relative"},
            "/home/me/.cache/langchain-cerebras-ext/catalog",
        ),
        ("linux", {}, "/home/me/.cache/langchain-cerebras-ext/catalog"),
        ("darwin", {}, "/home/me/Library/Caches/langchain-cerebras-ext/catalog"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/langchain-cerebras-ext/catalog"),
        ("win32", {}, "/home/me/AppData/Local/langchain-cerebras-ext/catalog"),
        (
            "linux",
            {"CEREBRAS_CACHE_DIR": "/mine"},
            "/mine/langchain-cerebras-ext/catalog",
        ),
        (
            "linux",
            {"CEREBRAS_CACHE_DIR": "~/c"},
            "/home/me/c/langchain-cerebras-ext/catalog",
        ),
    ],
    ids=str,
)
def test_the_folder_is_where_the_system_keeps_caches(
    monkeypatch, platform, variables, expected
):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "CEREBRAS_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_dir() == Path(expected)


def test_a_machine_without_a_home_keeps_nothing(monkeypatch):
    def no_home():
        msg = "Could not determine home directory."
        raise RuntimeError(msg)

    monkeypatch.delenv("CEREBRAS_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache.cache_dir() is None
    assert cache.cache_file(URL) is None
    assert cache.read_for_environment(since=CHECKED_ON) == ()
    assert get_model("gpt-oss-120b").origin == "packaged"
    cache.forget_lists()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.cerebras.ai", "models-api.cerebras.ai.json"),
        ("http://127.0.0.1:8000", "models-127.0.0.1-8000.json"),
        ("http://[::1]:8000/a/../b", "models-1-8000-a-..-b.json"),
    ],
)
def test_each_service_has_a_file_of_its_own(url, name):
    path = cache.cache_file(url)
    assert path is not None
    assert path.name == name
    assert path.parent == cache.cache_dir()


def test_a_folder_that_cannot_be_written_is_named(file, monkeypatch):
    file.parent.parent.mkdir(parents=True)
    file.parent.write_text("a file in the place of the folder")
    with pytest.raises(CerebrasConfigurationError, match="Set CEREBRAS_CACHE_DIR"):
        cache.write_lists(file, (kept(CHECKED_ON),))


def test_a_write_that_fails_leaves_what_was_there(file, monkeypatch):
    cache.write_lists(file, (kept(CHECKED_ON),))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CerebrasConfigurationError, match="No space left on device"):
        cache.write_lists(file, (kept(CHECKED_ON + DAY),))
    assert cache.read_lists(file) == (kept(CHECKED_ON),)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_kept_file_holds_no_key(file):
    cache.write_lists(file, (kept(CHECKED_ON),))
    told = json.loads(file.read_text())
    assert set(told) == {"version", "lists"}
    assert set(told["lists"][0]) == {"on", "url", "models", "account"}
