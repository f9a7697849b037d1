"""Reading, searching and citing text files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cerebras_ext.cli import document as module
from langchain_cerebras_ext.cli.document import (
    MAX_QUOTE,
    Document,
    excerpt,
    load_document,
    parse_document,
)
from langchain_cerebras_ext.cli.failures import CommandError

POEM = Document(
    "poem.txt",
    (
        "",
        "The grey heron waits.",
        "Nothing moves but the river;",
        "  the heron is older than the river,",
        "",
        "and the mill is quiet.",
    ),
)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"one\ntwo\n", ("one", "two"), id="unix"),
        pytest.param(b"one\r\ntwo\r\n", ("one", "two"), id="windows"),
        pytest.param(b"one\rtwo", ("one", "two"), id="old mac"),
        pytest.param(b"\xef\xbb\xbfone", ("one",), id="byte order mark"),
        pytest.param("a\u2028b\x0bc\n".encode(), ("a\u2028b\x0bc",), id="other breaks"),
        pytest.param(b"\n\nlast", ("", "", "last"), id="blank lines count"),
    ],
)
def test_lines_are_counted_as_editors_count_them(
    data: bytes, lines: tuple[str, ...]
) -> None:
    assert parse_document("x", data).lines == lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "x.txt is empty", id="empty"),
        pytest.param(b" \n\t\n", "x.txt is empty", id="blank"),
        pytest.param(b"ab\0c", "zero byte at offset 2", id="binary"),
        pytest.param(b"ab\xe9", "byte 0xe9 at offset 2", id="latin-1"),
        pytest.param("text".encode("utf-16"), "is UTF-16", id="utf-16"),
    ],
)
def test_what_is_no_text_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        parse_document("x.txt", data)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"gone\.txt cannot be read: No such file"):
        load_document(tmp_path / "gone.txt")
    with pytest.raises(CommandError, match="cannot be read: "):
        load_document(tmp_path)


def test_a_file_that_is_too_large_is_refused_before_all_of_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    path = tmp_path / "large.txt"
    path.write_text("x" * 11, "utf-8")
    with pytest.raises(CommandError, match="too large"):
        load_document(path)


def test_the_package_brings_a_document() -> None:
    own = load_document(None)
    assert own.name == "demo.md"
    assert len(own.lines) > 40


def test_search_returns_the_lines_with_most_words_in_the_files_order() -> None:
    hits = POEM.search("HERON river", limit=2)
    assert [hit.line for hit in hits] == [2, 4]
    assert [hit.line for hit in POEM.search("heron")] == [2, 4]
    assert POEM.search("otter") == []
    assert POEM.search("  ") == []


def test_search_takes_signs_for_signs() -> None:
    """Nothing in a query is a pattern; a query without words is sought as it is."""
    text = Document("x", ("a.c", "abc", "(["))
    assert [hit.line for hit in text.search("a.c")] == [1, 2]  # the words a and c
    assert [hit.line for hit in text.search("([")] == [3]


def test_read_leaves_blank_lines_out_and_keeps_numbers() -> None:
    assert [tuple(line) for line in POEM.read(1, 4)] == [
        (2, "The grey heron waits."),
        (3, "Nothing moves but the river;"),
        (4, "the heron is older than the river,"),
    ]
    assert POEM.read(5, 5) == []
    assert [line.line for line in POEM.read(-3, 99)] == [2, 3, 4, 6]


def test_read_is_bounded() -> None:
    long = Document("x", tuple(f"line {number}" for number in range(1, 1001)))
    assert [line.line for line in long.read(10, 900)] == list(range(10, 50))


@pytest.mark.parametrize(
    ("line", "quote", "found"),
    [
        pytest.param(2, "grey heron", True, id="part of the line"),
        pytest.param(4, " the heron is ", True, id="white space around it"),
        pytest.param(3, "grey heron", False, id="another line"),
        pytest.param(2, "Grey heron", False, id="other letters"),
        pytest.param(2, " ", False, id="nothing"),
        pytest.param(0, "", False, id="line 0"),
        pytest.param(7, "x", False, id="after the end"),
    ],
)
def test_a_quote_must_stand_in_its_line(line: int, quote: str, found: bool) -> None:
    assert POEM.has(line, quote) is found


@given(
    st.text(alphabet=st.characters(exclude_characters="\r\n"), max_size=900),
    st.integers(min_value=0, max_value=900),
)
def test_an_excerpt_is_always_found_in_its_line(line: str, at: int) -> None:
    part = excerpt(line, min(at, len(line)))
    assert part in line
    assert len(part) <= MAX_QUOTE
    assert part or not line.strip() or len(line) > MAX_QUOTE


def test_an_excerpt_of_a_long_line_holds_what_was_sought() -> None:
    line = "filler words " * 500 + "needle " + "more words " * 500
    hit = Document("x", (line,)).search("needle")[0]
    assert "needle" in hit.text
    assert hit.text in line
    assert hit.text.startswith(("filler", "words"))


def test_telling_words_lead_to_several_lines() -> None:
    """Each word adds lines; common words are no help."""
    words = POEM.telling_words()
    assert words[0] in {"heron", "river"}
    assert "the" not in words
    assert len(POEM.search(" ".join(words))) >= 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("12 34", ["1234"[:2] + " 34"], id="numbers only"),
        pytest.param("🐟🐟 🐟", ["🐟🐟 🐟"], id="no letters at all"),
        pytest.param("漢字漢字が続く", ["漢字漢字が続く"], id="no spaces"),
    ],
)
def test_a_text_without_plain_words_gives_something_to_search(
    text: str, words: list[str]
) -> None:
    found = Document("x", (text,)).telling_words()
    assert found == words
    assert Document("x", (text,)).search(" ".join(found))


def test_words_to_search_are_those_of_the_question_that_the_file_has() -> None:
    words = POEM.words_to_search("Is the heron or the otter older than the mill?")
    assert words == ["older", "mill", "heron"]


def test_a_single_hit_is_joined_by_other_lines() -> None:
    words = POEM.words_to_search("What about the mill?")
    assert words[0] == "mill"
    assert len(POEM.search(" ".join(words))) > 1


def test_a_question_about_something_else_keeps_its_words() -> None:
    """The search then finds nothing, and says so."""
    words = POEM.words_to_search("Who won the election?")
    assert words == ["won", "election"]
    assert POEM.search(" ".join(words)) == []
    assert POEM.words_to_search("?!") == ["?!"]


def test_the_beginning_is_bounded() -> None:
    assert POEM.beginning(10) == "The grey"
    assert POEM.beginning(10_000).endswith("quiet.")
    assert POEM.first_line == 2
