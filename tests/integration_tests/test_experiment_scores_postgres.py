"""Scores in a real PostgreSQL, from several at once."""

from __future__ import annotations

import threading

import pytest
from postgres_server import PASSWORD, PostgresServer, find_server

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.errors import LedgerError
from langchain_cerebras_ext.routing.experiment import Experiment


@pytest.fixture(scope="module")
def server():
    with PostgresServer(find_server()) as running:
        yield running


def test_scores_of_several_writers_are_all_there(server, tmp_path):
    """Each makes the table if it is not there, and the last word counts."""
    url = server.make_database("scores")
    with Ledger(url, spool=tmp_path / "spool") as ledger:
        experiments = [
            Experiment("greeting", {"a": 1, "b": 1}, ledger=ledger) for _ in range(4)
        ]
        failures = []

        def write(number):
            try:
                for run in range(5):
                    experiments[number].record_score(f"run-{number}-{run}", run)
                    experiments[number].record_score("shared", 1)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = Experiment("greeting", {"a": 1}, ledger=ledger)._get_scores().read()
        assert failures == []
        assert len(found) == 21
        assert {score.value for score in found if score.run_id == "shared"} == {1.0}


def test_an_error_of_the_database_names_it_without_its_password(server, tmp_path):
    from sqlalchemy import text

    url = server.make_database("broken")
    with Ledger(url, spool=tmp_path / "spool") as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(
                text("CREATE VIEW cerebras_experiment_scores AS SELECT 1")
            )
        experiment = Experiment("greeting", {"a": 1}, ledger=ledger)
        with pytest.raises(LedgerError) as caught:
            experiment.record_score("run", 1)
    assert "greeting" in str(caught.value)
    assert PASSWORD not in f"{caught.value!r} {caught.value}"
