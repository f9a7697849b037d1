"""Every row of the tables, by every path that it is for."""

from __future__ import annotations

import fault_table_answers
import fault_table_bodies
import fault_table_connections
import fault_table_heads
import fault_table_stalls
import fault_table_statuses
import fault_table_streams
import pytest
from fault_answers import KEY
from fault_case import Case, parameters, run

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_statuses.all_cases()))
def test_a_status_is_its_error_whatever_its_body(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_answers.all_cases()))
def test_a_200_is_an_answer_only_if_it_is_one(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_heads.all_cases()))
def test_a_head_is_read_or_refused(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_bodies.all_cases()))
def test_a_body_is_whole_or_an_error(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_streams.all_cases()))
def test_a_stream_is_whole_or_an_error_with_what_came(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(("row", "path"), parameters(fault_table_stalls.all_cases()))
def test_a_stall_ends_with_the_limit_that_was_reached(row: Case, path: str) -> None:
    run(row, path)


@pytest.mark.parametrize(
    ("row", "path"), parameters(fault_table_connections.all_cases())
)
def test_a_connection_serves_the_next_call_or_is_let_go(row: Case, path: str) -> None:
    run(row, path)


ALL = [
    *fault_table_statuses.all_cases(),
    *fault_table_answers.all_cases(),
    *fault_table_heads.all_cases(),
    *fault_table_bodies.all_cases(),
    *fault_table_streams.all_cases(),
    *fault_table_stalls.all_cases(),
    *fault_table_connections.all_cases(),
]
ECHOES = [row for row in ALL if "echo" in row.id]


@pytest.mark.parametrize(("row", "path"), parameters(ECHOES))
def test_no_log_repeats_the_key_that_a_server_repeats(
    row: Case, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not ours, and not that of a library beneath, at any level."""
    with caplog.at_level("DEBUG"):
        run(row, path)
    assert "langchain_cerebras_ext" in caplog.text
    assert KEY not in caplog.text
    assert KEY[-16:] not in caplog.text


def test_the_table_is_as_large_as_was_asked_for() -> None:
    """Rows of distinct names, each with a path and an outcome of its own."""
    assert len({row.id for row in ALL}) == len(ALL) > 600
    assert all(row.paths for row in ALL)
