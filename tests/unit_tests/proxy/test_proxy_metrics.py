"""What Prometheus is told of the proxy's requests."""

import gc
import json
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from proxy_exchanges import (
    MODEL,
    USAGE,
    answered,
    arrived,
    failed,
    left,
    refused,
    settings,
)

from langchain_cerebras_ext._otel import names as conventions
from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError
from langchain_cerebras_ext.proxy import metrics as module
from langchain_cerebras_ext.proxy import series
from langchain_cerebras_ext.proxy.metrics import NAMES, Metrics, markdown_table
from langchain_cerebras_ext.proxy.record import Priced
from langchain_cerebras_ext.proxy.series import Family, Folder, Store, merged
from langchain_cerebras_ext.proxy.settings import Upstream

HERE = Path(__file__).parents[2]
P = "cerebras_proxy_"


class Counted:
    """Metrics that have counted some exchanges, and what a scrape finds."""

    def __init__(self, *exchanges, given=None, prices=None):
        self.settings = given or settings()
        self.metrics = Metrics(self.settings)
        self.priced = Priced(self.settings, prices)
        for exchange in exchanges:
            self.add(exchange)

    def add(self, exchange):
        self.metrics.begin()
        self.priced(exchange)
        self.metrics(exchange)

    def text(self, accept=""):
        return self.metrics.render(accept)[1].decode()

    def samples(self):
        return samples_of(self.text())

    def all(self, name):
        """Return what there is under a name: values by labels."""
        return {
            labels: value for (n, labels), value in self.samples().items() if n == name
        }

    def one(self, name, **labels):
        """Return the sum of the series that have these labels."""
        found = [
            value
            for (n, pairs), value in self.samples().items()
            if n == name and labels.items() <= dict(pairs).items()
        ]
        assert found, (name, labels)
        return sum(found)


def samples_of(text):
    """Return values by name and labels; one without a value is none to Prometheus."""
    return {
        (one.name, tuple(sorted(filter(all, one.labels.items())))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


# ------------------------------------------------------------------------ what counts


def test_an_answer_is_counted_in_every_way():
    seen = Counted(answered(key_id="team-a"))
    assert seen.all(f"{P}requests_total") == {
        (
            ("key", "team-a"),
            ("model", MODEL),
            ("operation", "chat"),
            ("status", "200"),
        ): 1
    }
    who = {"model": MODEL, "key": "team-a"}
    tokens = f"{P}tokens_total"
    assert seen.one(tokens, type="input", **who) == 20
    assert seen.one(tokens, type="output", **who) == 100
    assert seen.one(tokens, type="cached_input", **who) == 5
    assert seen.one(tokens, type="reasoning", **who) == 30
    assert seen.one(f"{P}cost_usd_total", **who) == 0.000082
    assert seen.one(f"{P}unpriced_requests_total", model=MODEL) == 0
    assert seen.one(f"{P}requests_without_usage_total", model=MODEL) == 0
    for name, value in {
        "request_duration_seconds": 0.2,
        "time_to_first_token_seconds": 0.05,
        "time_per_output_token_seconds": 0.15 / 99,
        "output_tokens_per_second": 100 / 0.15,
        "queue_time_seconds": 0.0003,
    }.items():
        assert seen.one(f"{P}{name}_count", model=MODEL) == 1, name
        assert seen.one(f"{P}{name}_sum", model=MODEL) == pytest.approx(value), name


def test_a_refusal_is_counted_and_is_no_traffic_of_a_model():
    seen = Counted(refused(), refused("rate_limit", 429, key_id="team-a"))
    assert seen.all(f"{P}refused_requests_total") == {
        (("key", "anonymous"), ("reason", "auth")): 1,
        (("key", "team-a"), ("reason", "rate_limit")): 1,
    }
    assert seen.one(f"{P}requests_total", status="401", key="anonymous") == 1
    assert seen.one(f"{P}requests_total", model="none") == 2
    assert seen.all(f"{P}tokens_total") == {}
    duration = f"{P}request_duration_seconds_count"
    assert seen.one(duration, error_category="auth", stream="false") == 1


@pytest.mark.parametrize(
    "phase", ["waiting", "before_first_token", "streaming", "body"]
)
def test_a_client_that_leaves_is_counted_by_how_far_it_was(phase):
    seen = Counted(left(phase))
    assert seen.all(f"{P}cancelled_requests_total") == {(("phase", phase),): 1}
    assert seen.one(f"{P}requests_without_usage_total", model=MODEL) == 1
    assert seen.one(f"{P}tokens_total", type="input") > 0
    assert seen.one(f"{P}cost_usd_total", model=MODEL) > 0
    # The conventions want counts of the service alone.
    assert seen.one("gen_ai_client_token_usage_count") == 0


def test_every_try_that_failed_is_counted_by_class():
    seen = Counted(
        answered(
            upstream="us",
            failed_upstreams=[
                ("cerebras", "upstream_server"),
                ("eu", "upstream_connection"),
            ],
        ),
        failed("upstream_timeout", 504),
        failed("internal", 500),
    )
    errors = {
        tuple(dict(labels)[name] for name in ("upstream", "category", "model")): value
        for labels, value in seen.all(f"{P}upstream_errors_total").items()
    }
    assert errors == {
        ("cerebras", "upstream_server", MODEL): 1,
        ("eu", "upstream_connection", MODEL): 1,
        ("cerebras", "upstream_timeout", MODEL): 1,
    }
    assert seen.all(f"{P}fallbacks_total") == {
        (("from_upstream", "cerebras"), ("to_upstream", "eu")): 1,
        (("from_upstream", "eu"), ("to_upstream", "us")): 1,
    }


def test_unpriced_requests_are_counted_and_cost_nothing():
    seen = Counted(answered(model="team/finetune-1", model_served=None))
    assert seen.one(f"{P}unpriced_requests_total", model="team/finetune-1") == 1
    assert seen.one(f"{P}cost_usd_total", model="team/finetune-1") == 0


def test_requests_under_way_go_up_and_down():
    seen = Counted()
    name = f"{P}in_flight_requests"
    for expected in (1, 2):
        seen.metrics.begin()
        assert seen.one(name) == expected
    seen.metrics(answered())
    assert seen.one(name) == 1
    seen.metrics(refused())
    assert seen.one(name) == 0


def test_head_room_is_what_the_upstream_said_last():
    limits = {
        "limit-requests-day": "14400",
        "remaining-requests-day": "9",
        "reset-requests-day": "100.5",
        "remaining-tokens-minute": "none",
        "policy": "1",
    }
    seen = Counted(
        answered(rate_limits={**limits, "remaining-requests-day": "10"}),
        answered(rate_limits=limits),
        answered(rate_limits=limits, upstream="eu"),
    )
    labels = (("limit", "requests-day"), ("model", MODEL))
    assert seen.all(f"{P}rate_limit_remaining") == {
        (*labels, ("upstream", "cerebras")): 9,
        (*labels, ("upstream", "eu")): 9,
    }
    assert seen.one(f"{P}rate_limit_limit", upstream="eu") == 14_400


def test_a_model_that_ends_is_told_with_its_day_and_successor():
    old = "zai-glm-4.7"
    seen = Counted(
        answered(
            model=old, model_asked=f"cerebras::{old}", sunset=("2026-12-01", MODEL)
        ),
        # Sent on to the successor: the old name is what was in use.
        answered(model=MODEL, model_asked=old, sunset=("2026-12-01", MODEL)),
        refused(
            "model_retired", 404, model_asked="x/y", model=old, sunset=("no", None)
        ),
    )
    assert seen.all(f"{P}deprecated_model_requests_total") == {
        (("model", old), ("successor", MODEL)): 2,
        (("model", old),): 1,
    }
    # The first second of 2026-12-01 in UTC.
    assert seen.one(f"{P}model_sunset_timestamp_seconds", model=old) == 1796083200


def test_a_request_that_is_refused_for_its_model_is_told_with_it():
    # An alias of the settings' own has no day in the catalog.
    seen = Counted(
        refused("model_retired", 404, model_asked="cerebras::llama3.1-8b"),
        refused("model_retired", 404, model_asked="fast"),
    )
    [(labels, count)] = seen.all(f"{P}deprecated_model_requests_total").items()
    assert dict(labels)["model"] == "llama3.1-8b"
    assert count == 1
    assert seen.one(f"{P}model_sunset_timestamp_seconds", model="llama3.1-8b") > 0


def test_plain_answers_have_no_time_to_first_token():
    seen = Counted(answered(stream=False, ttft_s=None))
    assert seen.all(f"{P}time_to_first_token_seconds_count") == {}
    assert seen.one(f"{P}time_per_output_token_seconds_sum") == pytest.approx(0.0005)
    assert seen.one(f"{P}request_duration_seconds_count", stream="false") == 1


def test_lists_of_models_are_requests_and_use_nothing():
    seen = Counted(arrived(operation="models", status=200, upstream_began=1.0))
    assert seen.one(f"{P}requests_total", operation="models", model="none") == 1
    assert seen.all(f"{P}tokens_total") == {}
    # No convention has a name for it.
    assert seen.all("gen_ai_server_request_duration_seconds_count") == {}


# -------------------------------------------------------------------------------- sums


def test_money_is_added_up_without_error():
    # 0.1 + 0.2 is no 0.3 in floats, and ten thousand small ones are far off.
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    seen = Counted(*(answered(usage=usage) for _ in range(10_000)))
    exact = 10_000 * (Decimal("0.35") + Decimal("0.75")) / 1_000_000
    assert seen.one(f"{P}cost_usd_total") == float(exact) == 0.011


def test_buckets_hold_what_was_not_slower():
    seen = Counted(answered(ttft_s=1.0, duration_s=2.0))
    name = f"{P}time_to_first_token_seconds_bucket"
    assert seen.one(name, le="0.75") == 0
    assert seen.one(name, le="1.0") == 1
    assert seen.one(name, le="+Inf") == 1


# ------------------------------------------------------------------------- conventions


def test_the_conventions_names_are_there_with_theirs_labels_and_version():
    seen = Counted(
        answered(key_id="team-a"),
        answered(key_id="team-b", stream=False, ttft_s=None),
        failed("upstream_timeout", 504),
    )
    labels = (
        ("gen_ai_operation_name", "chat"),
        ("gen_ai_provider_name", "cerebras"),
        ("gen_ai_request_model", MODEL),
    )
    # Streams and plain answers together, and nobody's key.
    assert seen.all("gen_ai_server_request_duration_seconds_count") == {
        labels: 2,
        (("error_type", "upstream_timeout"), *labels): 1,
    }
    assert seen.all("gen_ai_server_time_to_first_token_seconds_count") == {labels: 1}
    assert seen.all("gen_ai_server_time_per_output_token_seconds_count") == {labels: 2}
    usage = seen.all("gen_ai_client_token_usage_sum")
    assert usage == {
        (*labels, ("gen_ai_token_type", "input")): 40,
        (*labels, ("gen_ai_token_type", "output")): 200,
    }
    version = conventions.SCHEMA_URL.rpartition("/")[2]
    assert seen.one(f"{P}build_info", semconv=version, version=__version__) == 1


def test_the_provider_is_whose_service_has_answered():
    groq = Upstream(name="groq", base_url="https://api.groq.com/openai/v1")
    seen = Counted(
        answered(),
        answered(upstream="groq", failed_upstreams=[("cerebras", "upstream_server")]),
        failed("upstream_server", 502, upstream="groq"),
        refused(),
        left("waiting", upstream="nobody-knows"),
        given=settings(fallbacks=(groq,)),
    )
    label = "gen_ai_provider_name"
    name = "gen_ai_server_request_duration_seconds_count"
    assert seen.one(name, **{label: "groq"}) == 2
    assert seen.one(name, **{label: "cerebras"}) == 3
    for name in (
        "gen_ai_server_time_to_first_token_seconds_count",
        "gen_ai_server_time_per_output_token_seconds_count",
    ):
        assert seen.one(name, **{label: "groq"}) == 1
        assert seen.one(name, **{label: "cerebras"}) == 1
    name = "gen_ai_client_token_usage_count"
    assert seen.one(name, **{label: "groq"}, gen_ai_token_type="output") == 1
    # What has no provider of its own is counted together.
    assert seen.one(f"{P}tokens_total", type="output") == 200


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("gen_ai_server_request_duration_seconds", conventions.SECOND_BOUNDS),
        ("gen_ai_server_time_to_first_token_seconds", module._CONVENTION_FIRST),
        ("gen_ai_server_time_per_output_token_seconds", module._CONVENTION_PER_TOKEN),
        ("gen_ai_client_token_usage", conventions.TOKEN_BOUNDS),
    ],
)
def test_the_conventions_have_the_buckets_that_they_advise(name, bounds):
    seen = Counted(answered())
    found = {
        float(dict(labels)["le"]): value
        for labels, value in seen.all(f"{name}_bucket").items()
        if dict(labels).get("gen_ai_token_type") != "input"
    }
    assert sorted(found) == [*map(float, bounds), float("inf")]
    values = [found[edge] for edge in sorted(found)]
    assert values == sorted(values)
    assert values[-1] == 1


def test_every_derived_bucket_is_one_of_ours():
    for name, wanted in module._DERIVED.items():
        assert set(wanted.family.bounds) <= set(
            module._FAMILIES[wanted.source].bounds
        ), name


# ------------------------------------------------------------------------------ labels


def test_names_that_nobody_serves_are_one_label():
    seen = Counted(
        *(
            failed("upstream_not_found", 404, upstream_status=404, model=f"junk-{n}")
            for n in range(500)
        )
    )
    assert seen.one(f"{P}requests_total", model="other") == 500
    assert len(seen.all(f"{P}requests_total")) == 1


def test_new_models_have_a_label_once_they_were_served_up_to_a_number():
    seen = Counted(
        *(answered(model=f"new-{n}", upstream_began=None) for n in range(60))
    )
    seen.add(failed("upstream_server", 500, model="new-1"))
    models = {dict(labels)["model"] for labels in seen.all(f"{P}requests_total")}
    assert models == {*(f"new-{n}" for n in range(50)), "other"}
    assert seen.one(f"{P}requests_total", model="other") == 10
    assert seen.one(f"{P}requests_total", model="new-1") == 2


def test_models_of_catalog_and_settings_are_always_told_apart():
    given = settings(
        aliases={"fast": MODEL, "big": "team/big"},
        allowed_models={"team/allowed"},
        fallbacks=(
            Upstream(name="x", base_url="http://127.0.0.1:9/v1", model="team/spare"),
        ),
    )
    names = [MODEL, "fast", "team/big", "team/allowed", "team/spare"]
    seen = Counted(
        *(refused("rate_limit", 429, model_asked=name) for name in names), given=given
    )
    models = {dict(labels)["model"] for labels in seen.all(f"{P}requests_total")}
    assert models == set(names)


def test_keys_have_labels_up_to_a_number():
    seen = Counted(*(refused(key_id=f"key-{n}") for n in range(1010)))
    keys = {dict(labels)["key"] for labels in seen.all(f"{P}requests_total")}
    assert len(keys) == 1001
    assert "other" in keys


@pytest.mark.parametrize(
    "name",
    ['a"b\\c\nd', "x" * 500, "\ud800half", "\u00e9\u4e2d\U0001f600"],
    ids=range(4),
)
def test_any_name_can_be_scraped(name):
    seen = Counted(answered(model=name, key_id=name))
    assert seen.one(f"{P}requests_total") == 1
    assert list(parse_openmetrics(seen.text("application/openmetrics-text")))


# ------------------------------------------------------------------------------ scrapes


def test_every_name_is_as_it_was_told_and_none_is_missing():
    seen = Counted(
        answered(rate_limits={"limit-x": "1", "remaining-x": "1"}),
        answered(
            failed_upstreams=[("eu", "upstream_timeout")], sunset=("2026-12-01", None)
        ),
        left(),
        refused(),
    )
    seen.metrics.watch(StubBudget())
    seen.metrics.watch_ledger(StubLedger())
    found = {name for name, _ in seen.samples() if not name.startswith("process_")}
    parts = {name + end for name in NAMES for end in ("_bucket", "_sum", "_count")}
    assert NAMES <= found | {name.rpartition("_")[0] for name in found & parts}
    assert found <= NAMES | parts
    # The documentation says of each what the page says.
    told = dict(re.findall(r"^# HELP (\S+) (.*)$", seen.text(), re.MULTILINE))
    rows = re.findall(r"^\| `(\S+)` \|.*\| (.*) \|$", markdown_table(), re.MULTILINE)
    assert {name for name, _ in rows} == NAMES
    assert [(name, told[name]) for name, _ in rows] == rows


def test_the_documentations_table_has_every_name_and_its_labels():
    rows = {
        line.split("`")[1]: line for line in module.markdown_table().splitlines()[2:]
    }
    assert set(rows) == NAMES
    seen = Counted(answered(), given=settings())
    seen.metrics.watch(StubBudget())
    for (name, labels), _ in seen.samples().items():
        if name in rows:
            told = set(rows[name].split("|")[2].replace("`", " ").split()) - {","}
            assert {label for label, _ in labels} <= told, name


def test_the_scraper_gets_the_form_that_it_asks_for():
    seen = Counted(answered())
    content_type, body = seen.metrics.render("")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"# TYPE cerebras_proxy_requests_total counter" in body
    content_type, body = seen.metrics.render(
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert list(parse_openmetrics(body.decode()))


def test_times_of_making_are_left_out():
    assert "_created" not in Counted(answered()).text()


def test_a_registry_of_your_own_has_all_beside_what_is_there():
    registry = CollectorRegistry()
    Counter("mine", "Of mine.", registry=registry).inc()
    Metrics(settings(), registry)(answered())
    assert registry.get_sample_value("mine_total") == 1
    labels = {"operation": "chat", "model": MODEL, "status": "200", "key": "default"}
    assert registry.get_sample_value(f"{P}requests_total", labels) == 1


def test_two_apps_in_a_process_do_not_meet():
    first, second = Counted(answered()), Counted()
    assert first.one(f"{P}requests_total") == 1
    assert second.all(f"{P}requests_total") == {}


class StubBudget:
    """As much of a budget as is read."""

    name = "key"

    def status(self):
        row = {"per": "user", "key": "team-a", "window": "day", "limit": Decimal(5)}
        return [SimpleNamespace(**row, spent=Decimal("1.5"), reserved=Decimal("0.5"))]


class StubLedger:
    """As much of a ledger as is read."""

    def __init__(self, **fields):
        told = {"is_up": True, "buffered": 3, "spooled": 4, "dropped": 0, "rejected": 0}
        self.told = SimpleNamespace(**told | fields)

    def status(self):
        return self.told


def test_budgets_are_read_when_they_are_scraped():
    seen = Counted()
    assert seen.all(f"{P}budget_limit_usd") == {}
    seen.metrics.watch(StubBudget())
    who = {"budget": "key", "per": "user", "key": "team-a", "window": "day"}
    assert seen.one(f"{P}budget_limit_usd", **who) == 5
    assert seen.one(f"{P}budget_spent_usd", **who) == 1.5
    assert seen.one(f"{P}budget_reserved_usd", **who) == 0.5
    assert seen.one(f"{P}budget_readable", budget="key") == 1


def test_a_ledger_is_shown_only_where_there_is_one():
    seen = Counted()
    assert seen.all(f"{P}ledger_up") == {}
    ledger = StubLedger(is_up=False, dropped=2, rejected=1)
    seen.metrics.watch_ledger(ledger)
    assert seen.one(f"{P}ledger_up") == 0
    assert seen.one(f"{P}ledger_waiting_records") == 7
    assert seen.one(f"{P}ledger_lost_records_total") == 3
    ledger.told.dropped = 5
    assert seen.one(f"{P}ledger_lost_records_total") == 6


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"langchain-cerebras-ext\[proxy\]"):
        Metrics(settings())


# ------------------------------------------------------------------------ many workers


@contextmanager
def worker(folder, count):
    """Run a worker that has counted so many requests; give what asks for its metrics."""
    with subprocess.Popen(
        [sys.executable, HERE / "proxy_metrics_worker.py", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
    ) as process:

        def ask():
            process.stdin.write("?\n")
            process.stdin.flush()
            return samples_of(json.loads(process.stdout.readline()))

        try:
            assert process.stdout.readline() == "ready\n"
            yield ask
        finally:
            process.kill()


def total(samples, name, **labels):
    return sum(
        value
        for (found, pairs), value in samples.items()
        if found == name and labels.items() <= dict(pairs).items()
    )


def test_each_worker_answers_for_all_and_for_those_that_have_ended(tmp_path):
    with worker(tmp_path, 3) as first:
        with worker(tmp_path, 5) as second:
            for ask in (first, second):
                samples = wait_for(ask, f"{P}requests_total", 16)
                assert total(samples, f"{P}requests_total", status="200") == 8
                assert total(samples, f"{P}tokens_total", type="output") == 800
                assert total(samples, f"{P}cost_usd_total") == pytest.approx(0.000656)
                assert total(samples, f"{P}time_to_first_token_seconds_count") == 8
                derived = "gen_ai_server_request_duration_seconds"
                assert total(samples, f"{derived}_count") == 16
                assert total(samples, f"{derived}_bucket", le="+Inf") == 16
                assert total(samples, f"{P}in_flight_requests") == 2
                assert total(samples, f"{P}build_info") == 1
                # The second began later and has less left.
                assert total(samples, f"{P}rate_limit_remaining") == 96
        # Killed: what it has counted stays, what it did at the moment does not.
        samples = first()
        assert total(samples, f"{P}requests_total", status="200") == 8
        assert total(samples, f"{P}in_flight_requests") == 1


def wait_for(ask, name, value):
    """Ask until all workers have written what they have counted."""
    deadline = time.monotonic() + 20
    while total(samples := ask(), name) != value:
        assert time.monotonic() < deadline, samples
        time.sleep(0.05)
    return samples


def test_a_worker_that_ends_in_peace_leaves_its_last_requests(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    ended = Counted(answered())
    ended.metrics.close()
    (tmp_path / "cerebras-proxy-1-00.msgpack").write_bytes(b"cut sho")
    (tmp_path / "counter_1.db").write_bytes(b"somebody else's")
    assert Counted(answered()).one(f"{P}requests_total") == 2


def test_a_folder_that_is_none_stops_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "missing"))
    with pytest.raises(CerebrasConfigurationError, match="PROMETHEUS_MULTIPROC_DIR"):
        Metrics(settings())


def test_a_disk_that_is_full_breaks_no_request(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    seen = Counted(answered())
    folder.rmdir()  # stands for it: nothing can be written
    seen.metrics.close()
    assert seen.one(f"{P}requests_total") == 1


def test_a_forked_child_writes_a_file_of_its_own(tmp_path):
    folder = Folder(tmp_path, dict)
    folder.publish()
    folder._pid = -1  # as a child finds it
    series._start(weakref.ref(folder))
    series._start(weakref.ref(folder))  # that has been done
    series._publish_last(weakref.ref(folder))
    assert len(list(tmp_path.glob("*.msgpack"))) == 2
    gone = weakref.ref(folder)
    del folder
    gc.collect()
    series._start(gone)
    series._publish_last(gone)
    series._publish_until(gone, threading.Event())


def test_nothing_new_is_not_written_again(tmp_path):
    told = {"a": {(): [1.0, 0.0]}}
    folder = Folder(tmp_path, lambda: told)
    folder.publish()
    [path] = tmp_path.glob("*.msgpack")
    path.unlink()
    folder.publish()
    assert not list(tmp_path.glob("*.msgpack"))
    told["a"][()][0] = 2.0
    folder.close()
    assert list(tmp_path.glob("*.msgpack")) == [path]


def test_a_worker_that_cannot_count_goes_on_trying(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(series, "_PUBLISH_S", 0.001)
    asked = threading.Event()
    calls = []

    def snapshot():
        calls.append(1)
        if len(calls) > 2:
            asked.set()
        raise RuntimeError("no ledger")

    folder = Folder(tmp_path, snapshot)
    assert asked.wait(20)
    folder._ended.set()
    assert "no ledger" in caplog.text


def test_gauges_of_workers_become_one():
    modes = {mode: Family("A.", mode=mode) for mode in ("sum", "min", "last", "max")}
    rows = {mode: {(): [2.0, 20.0]} for mode in modes}
    others = [
        ({mode: {(): [1.0, 30.0]} for mode in modes}, True),
        ({mode: {(): [0.5, 10.0]} for mode in modes}, False),
        ({"of another version": {(): [1.0, 0.0]}}, True),
    ]
    found = {name: row[()][0] for name, row in merged(modes, rows, others).items()}
    assert found == {"sum": 3.0, "min": 1.0, "last": 1.0, "max": 2.0}


def test_series_without_end_become_one():
    store = Store({"a": Family("A.", ("x",))})
    for number in range(10_010):
        store.cell("a", str(number)).value += 1
    rows = store.snapshot()["a"]
    assert len(rows) == 10_001
    assert rows["other",][0] == 10


def test_a_process_of_somebody_else_is_alive(monkeypatch):
    def not_yours(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_yours)
    assert series._is_alive(1)
    monkeypatch.setattr(sys, "platform", "win32")
    assert series._is_alive(1)


def test_half_of_tokens_without_details_are_counted():
    usage = {**USAGE, "completion_tokens_details": {}, "prompt_tokens_details": {}}
    seen = Counted(answered(usage=usage))
    assert seen.one(f"{P}tokens_total", type="cached_input") == 0
    assert seen.one(f"{P}tokens_total", type="output") == 100
