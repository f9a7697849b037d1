"""A real Prometheus scrapes a real proxy of two workers; all that we name is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from cost_bill import cost_by_hand
from prometheus_server import PrometheusServer, find_program
from proxy_process import (
    CLIENT_KEY,
    UPSTREAM_KEY,
    ProxyProcess,
    ask,
    chat_body,
    proxy_environment,
)

from langchain_cerebras_ext.catalog import list_models
from langchain_cerebras_ext.proxy.metrics import NAMES
from langchain_cerebras_ext.simulator import Simulator

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="workers need the signals of Unix"
)
pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "cerebras-proxy.json"
MODEL = "gpt-oss-120b"
RETIRED = next(card.id for card in list_models("retired"))
PLAIN, STREAMS, DENIED = 12, 8, 3
REQUESTS = "sum(cerebras_proxy_requests_total)"

LABELS = ("gen_ai_request_", "gen_ai_token_", "gen_ai_operation_")
# What Grafana puts in.
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$model": ".*",
    "$key": ".*",
}


def expressions():
    """Return every expression of the dashboard and of the alerts, with its place."""
    found = []
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == "prometheus":
                found.append((panel["title"], target["expr"]))
    found += [
        (rule["alert"], rule["expr"])
        for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]
    for name, value in VARIABLES.items():
        found = [(title, expr.replace(name, value)) for title, expr in found]
    return found


def metrics_in(expression):
    """Return the names of metrics in an expression: words of ours that are no labels."""
    words = re.findall(r"\b(?:cerebras_proxy|gen_ai)_\w+", expression)
    return {word for word in words if not word.startswith(LABELS)}


@contextmanager
def proxy_of_two(simulator, folder):
    """Run a proxy with everything that has metrics."""
    spare = {"name": "spare", "base_url": simulator.base_url, "api_key": UPSTREAM_KEY}
    env = proxy_environment(
        simulator.base_url,
        APE_WORKERS=2,
        APE_LEDGER_URL=f"sqlite:///{folder / 'costs.db'}",
        APE_KEY_BUDGET_USD=100,
        APE_FALLBACKS=json.dumps([spare]),
    )
    with ProxyProcess(env) as proxy:
        yield proxy


def use(proxy, simulator):
    """Send some requests of each kind; return how many there were."""
    for _ in range(PLAIN):
        assert proxy.chat()[0] == 200
    for _ in range(STREAMS):
        assert proxy.chat(stream=True)[0] == 200
    for _ in range(DENIED):
        assert proxy.chat(key="nobody's key")[0] == 401
    simulator.fail_next(500)
    assert proxy.chat()[0] == 200  # of the fallback
    simulator.fail_next(500, times=2)
    assert proxy.chat()[0] >= 500
    old = chat_body().replace(MODEL.encode(), RETIRED.encode())
    assert ask(f"{proxy.url}/v1/chat/completions", old)[0] == 404
    leave(proxy, simulator)
    return PLAIN + STREAMS + DENIED + 4


def leave(proxy, simulator):
    """Begin a stream and go."""
    simulator.reply(chunks=["a "] * 500, event_delay_s=0.05)
    body = chat_body(stream=True)
    with proxy.raw() as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
            % (CLIENT_KEY.encode(), len(body), body)
        )
        seen = b""
        while b'"content"' not in seen:
            seen += client.recv(65536)


def test_prometheus_has_all_that_dashboard_and_alerts_ask_for(tmp_path):
    with (
        Simulator(key=UPSTREAM_KEY, tier="developer", keep_requests=None) as simulator,
        proxy_of_two(simulator, tmp_path) as proxy,
    ):
        port = int(proxy.url.rsplit(":", 1)[1])
        with PrometheusServer(tmp_path, [port]) as prometheus:
            # Twice: the first value of a counter is no rate yet.
            count = use(proxy, simulator)
            prometheus.wait_for(REQUESTS, count)
            prometheus._at = None  # the first wait has fixed the time that is asked of
            count += use(proxy, simulator)
            prometheus.wait_for(REQUESTS, count)
            assert_all_were_counted(prometheus)
            assert_is_the_bill(prometheus, simulator)
            assert_nothing_is_missing(prometheus)
        told = promtool("check", "metrics", data=scraped(port))
    assert told == (0, "", "")


def assert_all_were_counted(prometheus):
    """Look at what `use` has done twice; whichever worker answers speaks for both."""
    for metric, times in {
        'requests_total{status="200"}': PLAIN
        + STREAMS
        + 2,  # a fallback, one that left
        'requests_total{status="401"}': DENIED,
        'requests_total{status="404"}': 1,
        "fallbacks_total": 2,
        "upstream_errors_total": 3,
        "cancelled_requests_total": 1,
        'refused_requests_total{reason="auth"}': DENIED,
        "deprecated_model_requests_total": 1,
        "time_to_first_token_seconds_count": STREAMS + 1,
        "requests_without_usage_total": 1,
    }.items():
        found = prometheus.value(f"sum(cerebras_proxy_{metric})")
        assert found == 2 * times, metric
    assert prometheus.value("cerebras_proxy_in_flight_requests") == 0
    assert prometheus.value("min(cerebras_proxy_ledger_up)") == 1
    assert prometheus.value("count(cerebras_proxy_build_info)") == 1


def assert_nothing_is_missing(prometheus):
    """Ask all that dashboard and alerts ask."""
    names = names_in(prometheus)
    ours = {name for name in names if name.startswith(("cerebras_", "gen_ai_"))}
    parts = {name + end for name in NAMES for end in ("_bucket", "_sum", "_count")}
    assert ours <= NAMES | parts
    for title, expression in expressions():
        missing = metrics_in(expression) - names
        assert not missing, (title, missing)
        # It raises where this is no PromQL.
        found = prometheus.query(expression)
        is_alert = title.startswith("CerebrasProxy")
        if not is_alert and "ALERTS" not in expression and "offset" not in expression:
            assert found, (title, expression)


def assert_is_the_bill(prometheus, simulator):
    """Hold tokens and costs against what the service has counted itself."""
    assert simulator.wait_idle()
    assert set(simulator.billed.by_model) == {MODEL}
    sums = {
        labels["gen_ai_token_type"]: value
        for labels, value in prometheus.query(
            "sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum)"
        )
    }
    whole = [call for call in simulator.billed if call.delivered]
    assert sums["input"] == sum(call.prompt_tokens for call in whole)
    assert sums["output"] == sum(call.completion_tokens for call in whole)
    # What was left is estimated; all else is certain.
    spent = prometheus.value("sum(cerebras_proxy_cost_usd_total)")
    assert spent == pytest.approx(float(cost_by_hand(simulator)), rel=0.2)


def names_in(prometheus):
    with urlopen(f"{prometheus.url}/api/v1/label/__name__/values", timeout=10) as got:
        return set(json.load(got)["data"])


def scraped(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read()


def promtool(*arguments, data=None, cwd=None):
    done = subprocess.run(
        [find_program("promtool"), *arguments],
        input=data,
        cwd=cwd,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# ---------------------------------------------------------------------- what is shipped


def test_promtool_takes_the_configuration_and_the_rules():
    folder = DEPLOY / "prometheus"
    for kind, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        code, out, err = promtool("check", kind, name, cwd=folder)
        assert (code, err) == (0, ""), (out, err)
        assert "SUCCESS" in out


def test_every_alert_fires_when_it_should_and_only_then():
    folder = DEPLOY / "prometheus"
    code, out, err = promtool("test", "rules", "alerts_test.yml", cwd=folder)
    assert code == 0, out + err
    told = (folder / "alerts_test.yml").read_text("utf-8")
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["alert"] in told, "no test of it"
