"""Grafana's files: they fit together, and ask for what there is.

That Prometheus has it all, a test with a real one says.
"""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from langchain_cerebras_ext.proxy.metrics import NAMES

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy" / "grafana"
BOARD = json.loads((GRAFANA / "dashboards" / "cerebras-proxy.json").read_text("utf-8"))
SOURCES = yaml.safe_load(
    (GRAFANA / "provisioning/datasources/datasources.yml").read_text("utf-8")
)["datasources"]
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
COLUMNS = 24


def panels():
    return BOARD["panels"]


def targets():
    return [target for panel in panels() for target in panel.get("targets", ())]


def rules():
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def metrics_of(text):
    words = set(re.findall(r"\b(?:cerebras_proxy|gen_ai)_\w+", text))
    return {
        re.sub(r"_(?:bucket|sum|count)$", "", word)
        for word in words
        if word not in {"gen_ai_request_model", "gen_ai_token_type"}
    }


def test_no_panel_covers_another_or_goes_beyond_the_page():
    taken = {}
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS, panel["title"]
        for cell in itertools.product(
            range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        ):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_ids_and_titles_are_unique():
    for field in ("id", "title"):
        values = [panel[field] for panel in panels()]
        assert len(set(values)) == len(values), field
    for panel in panels():
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs), panel["title"]


def test_the_dashboards_sources_are_those_that_are_provisioned():
    wanted = {
        (one["query"], one["current"]["value"], one["name"])
        for one in BOARD["templating"]["list"]
        if one["type"] == "datasource"
    }
    assert {(kind, uid) for kind, uid, _ in wanted} == {
        (source["type"], source["uid"]) for source in SOURCES
    }
    names = {f"${{{name}}}" for _, _, name in wanted}
    assert {target["datasource"]["uid"] for target in targets()} <= names


def test_the_folders_are_those_that_compose_mounts():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    mounts = dict(
        one.split(":")[:2] for one in compose["services"]["grafana"]["volumes"]
    )
    provider = yaml.safe_load(
        (GRAFANA / "provisioning/dashboards/dashboards.yml").read_text("utf-8")
    )["providers"][0]
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    targets_of = yaml.safe_load(
        (ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8")
    )["scrape_configs"][0]["static_configs"][0]["targets"]
    service, _, port = targets_of[0].partition(":")
    assert service in compose["services"]
    assert compose["services"][service]["ports"][0].endswith(f":{port}")


@pytest.mark.parametrize("what", ["dashboard", "alerts"])
def test_only_metrics_that_there_are_are_asked_for(what):
    text = json.dumps(BOARD if what == "dashboard" else ALERTS)
    assert metrics_of(text) <= NAMES


def test_every_metric_is_on_the_dashboard():
    assert metrics_of(json.dumps(BOARD)) == NAMES


def test_every_alert_says_what_it_is_about_and_how_bad_it_is():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["alert"].startswith("CerebrasProxy")


def test_what_was_asked_to_be_watched_is():
    wanted = {
        "FirstTokenSlow",
        "FirstTokenDegraded",
        "Errors",
        "ErrorsDegraded",
        "OutputDegraded",
        "UnpricedRequests",
        "BudgetNear",
        "BudgetSpent",
        "RetiringModelInUse",
    }
    assert wanted <= {rule["alert"].removeprefix("CerebrasProxy") for rule in rules()}
