"""Who gets which arm, whatever the request looks like; and scores that are kept."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace
from uuid import UUID

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from sqlalchemy import create_engine

from langchain_cerebras_ext.costs import Ledger, track_costs
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasInvalidRequestError,
    LedgerError,
)
from langchain_cerebras_ext.routing._leg import Asked, Need
from langchain_cerebras_ext.routing._scores import Scores
from langchain_cerebras_ext.routing.experiment import Arm, Experiment
from langchain_cerebras_ext.routing.router import ChatRouter

RUN = "0198b0a5-5c3f-7d20-8f5e-0a4d1c6b2e11"


def asked(run_id=None, **metadata):
    return Asked(Need(), metadata, (), run_id)


def make(arms=None, **options):
    return Experiment("greeting", arms or {"fast": 1, "smart": 1}, **options)


# ------------------------------------------------------------------------- assignment


def test_an_assignment_says_where_a_unit_belongs():
    experiment = make({"a": "cerebras::gpt-oss-120b", "b": ("openai::gpt-x", 2)})
    found = experiment.assign("alice")
    assert found.leg == experiment.arms[found.arm].leg
    assert found.label == f"greeting/{found.arm}"
    assert (found.experiment, found.unit) == ("greeting", "alice")
    assert not (found.is_holdout or found.is_excluded or found.is_random)


def test_arms_are_weights_legs_or_both():
    experiment = make({"fast": 3, "a": "leg one", "b": ("leg two", 2)})
    assert experiment.arms == {
        "fast": Arm("fast", 3),
        "a": Arm("leg one", 1),
        "b": Arm("leg two", 2),
    }
    assert experiment.legs == {"fast", "leg one", "leg two"}


@pytest.mark.parametrize(
    ("one", "other"), [(7, "7"), (UUID(RUN), RUN)], ids=["number", "uuid"]
)
def test_a_unit_is_known_by_its_text(one, other):
    assert make().assign(one) == make().assign(other)


def test_held_out_units_have_no_leg_and_an_arm_of_their_own():
    experiment = make(holdout=0.5)
    found = [experiment.assign(number) for number in range(50)]
    held = [one for one in found if one.is_holdout]
    assert 10 < len(held) < 40
    assert {(one.arm, one.leg, one.label) for one in held} == {
        ("holdout", None, "greeting/holdout")
    }


@pytest.mark.parametrize(
    "exclude",
    [["bob", "eve"], {"bob"}, lambda unit: unit.startswith("b")],
    ids=["list", "set", "function"],
)
def test_excluded_units_take_no_part(exclude):
    found = make(exclude=exclude).assign("bob")
    assert (found.arm, found.leg, found.label) == (None, None, None)
    assert found.is_excluded
    assert make(exclude=exclude).assign("alice") == make().assign("alice")


def test_a_salt_draws_anew_and_is_not_shown():
    plain, salted = make(), make(salt="s3cret-salt")
    arms = [(plain.assign(n).arm, salted.assign(n).arm) for n in range(40)]
    assert len(set(arms)) == 4
    assert "s3cret" not in repr(salted)
    renamed = Experiment("other", {"fast": 1, "smart": 1}, salt="s3cret-salt")
    assert all(renamed.assign(n).arm == salted.assign(n).arm for n in range(40))


@pytest.mark.parametrize("unit", [None, ""], ids=["none", "empty"])
def test_a_request_of_an_unknown_unit_is_drawn_for_by_itself(unit):
    found = [make().assign(unit) for _ in range(60)]
    assert {one.arm for one in found} == {"fast", "smart"}
    assert all(one.is_random and one.unit is None for one in found)


def test_a_request_of_an_unknown_unit_can_be_left_out():
    found = make(missing="exclude").assign(None)
    assert (found.arm, found.is_excluded, found.is_random) == (None, True, False)


@pytest.mark.parametrize(
    ("key", "named"),
    [("user", "user_id"), ("session", "session_id"), (lambda _: None, "key function")],
    ids=["user", "session", "function"],
)
def test_a_request_of_an_unknown_unit_can_be_refused(key, named):
    with pytest.raises(CerebrasInvalidRequestError, match=named) as caught:
        make(key=key, missing="refuse").assign_request(asked())
    assert "greeting" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "request_", "unit"),
    [
        ("user", asked(user_id="u"), "u"),
        ("user", asked(user=7), "7"),
        ("session", asked(session_id="s", user_id="u"), "s"),
        ("session", asked(thread_id="t"), "t"),
        ("run", asked(RUN), RUN),
        (lambda one: one.metadata["tenant"], asked(tenant="acme"), "acme"),
    ],
    ids=["user_id", "user", "session_id", "thread_id", "run", "function"],
)
def test_the_key_says_what_of_a_request_is_the_unit(key, request_, unit):
    experiment = make(key=key)
    assert experiment.assign_request(request_) == experiment.assign(unit)


@pytest.mark.parametrize("key", ["user", "session"])
def test_units_of_track_costs_are_the_units_of_its_records(key):
    """What the record will say counts, wherever it comes from."""
    experiment = make(key=key)
    with track_costs(user="u1", session="s1"):
        outer = experiment.assign_request(asked())
        with track_costs(user="u2", session="s2"):
            inner = experiment.assign_request(asked())
        named = experiment.assign_request(asked(user_id="u3", session_id="s3"))
    units = [one.unit for one in (outer, inner, named)]
    assert units == [f"{key[0]}{number}" for number in (1, 2, 3)]
    assert experiment.assign_request(asked()).unit is None


def test_a_run_without_an_id_is_drawn_for_even_where_unknown_units_are_refused():
    assert make(key="run", missing="refuse").assign_request(asked()).arm is not None


def test_a_pickled_experiment_assigns_alike():
    experiment = make(holdout=0.2, salt="x", exclude=["u3"])
    copy = pickle.loads(pickle.dumps(experiment))
    assert [copy.assign(f"u{n}") for n in range(50)] == [
        experiment.assign(f"u{n}") for n in range(50)
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": ""}, "name=''"),
        ({"name": "a/b"}, "'/'"),
        ({"name": "a\nb"}, "name="),
        ({"arms": {}}, "arms is empty"),
        ({"arms": {"a": 0, "b": 0}}, "weights in arms are 0"),
        ({"arms": {"a": -1}}, "arm 'a' is -1"),
        ({"arms": {"a": math.nan}}, "arm 'a' is nan"),
        ({"arms": {"a": True}}, "arm 'a' is True"),
        ({"arms": {"a": None}}, "arm 'a' is None"),
        ({"arms": {"a": ("leg", 1, 2)}}, "leg=None"),
        ({"arms": {"": 1}}, "arm=''"),
        ({"arms": {"holdout": 1}}, "holdout=0.05"),
        ({"holdout": 1}, "holdout=1"),
        ({"holdout": math.nan}, "holdout=nan"),
        ({"key": "tenant"}, "key='tenant'"),
        ({"missing": "guess"}, "missing='guess'"),
        ({"exclude": "bob"}, "exclude='bob'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, named):
    options = {"name": "x", "arms": {"a": 1, "b": 1}, **arguments}
    with pytest.raises(CerebrasConfigurationError, match=named):
        Experiment(**options)


# ----------------------------------------------------------------------- in a router


def answers(text):
    while True:
        yield AIMessage(text)


async def ask(router, user, how):
    config = {"metadata": {"user_id": user}}
    if how == "invoke":
        return router.invoke("Hi", config=config)
    return await router.ainvoke("Hi", config=config)


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_calls_through_a_router_are_in_the_report_with_their_scores(how):
    """From the request to the sentence: leg, arm, record, score, report."""
    legs = {
        name: GenericFakeChatModel(messages=answers(name)) for name in ("one", "two")
    }
    experiment = make({"a": "one", "b": "two"}, holdout=0.2)
    router = ChatRouter(legs=legs, strategy="experiment", experiment=experiment)
    with track_costs() as costs:
        for number in range(12):
            user = f"user-{number}"
            answer = await ask(router, user, how)
            assigned = experiment.assign(user)
            assert answer.content == (assigned.leg or "one")
            assert answer.response_metadata["router"]["arm"] == assigned.label
            experiment.record_score(answer.id, answer.content == "two")
    report = experiment.report(costs)
    assert sum(arm.calls for arm in report.arms) == 12
    assert report.holdout.calls > 0
    assert report.arm("a").values["score:score"].value == 0
    assert report.arm("b").values["score:score"].value == 1
    assert not any("scores" in note for note in report.notes)


def test_a_router_without_a_leg_for_an_arm_is_refused():
    legs = {"one": GenericFakeChatModel(messages=answers("one"))}
    with pytest.raises(CerebrasConfigurationError, match="two"):
        ChatRouter(
            legs=legs,
            strategy="experiment",
            experiment=make({"a": "one", "b": "two"}),
        )


# ----------------------------------------------------------------------------- scores


@pytest.fixture
def ledger(tmp_path):
    with Ledger(f"sqlite:///{tmp_path / 'costs.db'}") as opened:
        yield opened


def scores_of(experiment):
    return sorted(score[:3] for score in experiment._get_scores().read())


@pytest.mark.parametrize("kept", ["memory", "ledger"])
def test_the_last_score_of_a_name_counts(kept, ledger):
    experiment = make(ledger=ledger if kept == "ledger" else None)
    experiment.record_score(RUN, 0)
    experiment.record_score(UUID(RUN), True)
    experiment.record_score("run-2", 3.5, "stars")
    assert scores_of(experiment) == [(RUN, "score", 1.0), ("run-2", "stars", 3.5)]


@pytest.mark.parametrize(
    "run_id",
    [
        RUN,
        RUN.upper(),
        f"run-{RUN}",
        f"run--{RUN}",
        f"lc_run--{RUN}",
        f"lc_run--{RUN}-0",
        UUID(RUN),
    ],
)
def test_a_message_is_known_by_the_run_that_it_is_called_after(run_id):
    experiment = make()
    experiment.record_score(run_id, 1)
    assert scores_of(experiment) == [(RUN, "score", 1.0)]


def test_an_answer_is_known_by_the_id_that_the_service_gave_it():
    experiment = make()
    experiment.record_score(f"chatcmpl-{RUN}", 1)
    assert scores_of(experiment) == [(f"chatcmpl-{RUN}", "score", 1.0)]


def test_scores_in_a_ledger_are_there_for_others(ledger):
    """Another process sees those of its experiment, and no other's."""
    make(ledger=ledger).record_score("run-1", 1)
    other = Experiment("other", {"a": 1, "b": 1}, ledger=ledger)
    other.record_score("run-1", 0)
    url = ledger.engine.url.render_as_string(hide_password=False)
    again = make(ledger=url)
    assert scores_of(again) == [("run-1", "score", 1.0)]
    assert scores_of(other) == [("run-1", "score", 0.0)]
    again._get_ledger().close()


def test_a_ledger_without_scores_is_only_read(ledger):
    experiment = make(ledger=ledger)
    assert scores_of(experiment) == []
    from sqlalchemy import inspect

    assert not inspect(ledger.engine).has_table("cerebras_experiment_scores")


def test_an_older_score_does_not_take_the_place_of_a_newer_one(ledger):
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    Scores("greeting", ledger).add("run-1", "score", 1.0, now)
    Scores("greeting", ledger).add("run-1", "score", 0.0, now - timedelta(hours=1))
    found = Scores("greeting", ledger).read()
    assert [(score.value, score.at) for score in found] == [(1.0, now)]


def test_a_score_that_the_database_does_not_take_is_kept_and_written_later(
    ledger, tmp_path
):
    away = create_engine(f"sqlite:///{tmp_path / 'no' / 'such' / 'costs.db'}")
    place = SimpleNamespace(engine=away, url="sqlite:///costs.db")
    experiment = make(ledger=ledger)
    scores = experiment._get_scores()
    scores._ledger = place
    with pytest.raises(LedgerError, match=r"greeting.*sqlite:///costs\.db"):
        experiment.record_score("run-1", 1)
    place.engine = ledger.engine
    experiment.record_score("run-2", 0)
    assert scores_of(make(ledger=ledger)) == [
        ("run-1", "score", 1.0),
        ("run-2", "score", 0.0),
    ]
    assert scores._here == {}


def test_scores_in_memory_are_bounded(monkeypatch):
    monkeypatch.setattr("langchain_cerebras_ext.routing._scores._MOST", 3)
    experiment = make()
    for number in range(5):
        experiment.record_score(f"run-{number}", number)
    assert [run for run, *_ in scores_of(experiment)] == ["run-2", "run-3", "run-4"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((RUN, math.nan), "value=nan"),
        ((RUN, math.inf), "value=inf"),
        ((RUN, None), "value=None"),
        ((RUN, "good"), "value='good'"),
        ((RUN, 1, ""), "name is empty"),
        (("", 1), "run_id is empty"),
        ((None, 1), "run_id is empty"),
    ],
)
def test_a_score_that_is_none_is_refused(arguments, named):
    with pytest.raises(CerebrasConfigurationError, match=named):
        make().record_score(*arguments)
