"""The files that put the proxy into service, checked by the tools made for them.

`.ci/image` does the Dockerfile's steps and runs what they build.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from langchain_cerebras_ext.proxy import log, metrics, settings, trace
from langchain_cerebras_ext.proxy.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
KUBERNETES = "1.34"
NAMES = {one.name for one in VARIABLES} | {
    one.file_name for one in VARIABLES if one.file_name
}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
MANIFESTS = list(
    yaml.safe_load_all((ROOT / "deploy/kubernetes/proxy.yaml").read_text("utf-8"))
)
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def manifest(kind: str) -> dict[str, Any]:
    """Return the one manifest of a kind."""
    (found,) = (one for one in MANIFESTS if one["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    """Return the deployment's one container."""
    (found,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


# ------------------------------------------------------------------------ Dockerfile


def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    # Beside this Python, which need not be on the PATH.
    beside = str(Path(sys.executable).parent)
    linter = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint has no wheel for this machine; the Dockerfile is unread")
    done = subprocess.run(
        [linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_image_is_not_roots_and_tells_its_health() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    check = re.search(r"HEALTHCHECK (.*\\\n.*)$", DOCKERFILE, re.MULTILINE)
    assert check
    assert "curl -f http://localhost:$PORT/health" in check[1]
    assert "--interval=30s --timeout=10s" in check[1]


def test_the_images_environment_is_the_proxys() -> None:
    pairs = re.findall(
        r"\b([A-Z_]+)=(\S+)", DOCKERFILE.split("ENV ")[1].split("\n\n")[0]
    )
    ours = {name: value for name, value in pairs if name in NAMES}
    assert ours == {"HOST": "0.0.0.0", "PORT": "8000", "APE_ALLOW_OPEN": "1"}
    found = Settings.load({**ours, "CEREBRAS_API_KEY": "csk-x"})
    assert any("NO KEY IS ASKED FOR" in told for told in found.notices())


def test_only_what_the_image_needs_goes_to_the_builder() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {name for line in copied for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)


# --------------------------------------------------------------------------- compose


def test_compose_fits_the_specification() -> None:
    tool = pytest.importorskip("check_jsonschema", reason="brings the schema")
    folder = Path(tool.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text("utf-8"))
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_compose_has_a_service_for_each_thing_that_watches() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"proxy", "prometheus", "loki", "alloy", "grafana"}
    check = services["proxy"]["healthcheck"]
    assert check["test"] == ["CMD", "curl", "-f", "http://localhost:8000/health"]
    assert (check["interval"], check["timeout"], check["retries"]) == ("30s", "10s", 3)
    ports = [port for one in services.values() for port in one.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_file_that_compose_mounts_is_there() -> None:
    for name, service in COMPOSE["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
            elif not source.startswith("/"):
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_composes_environment_is_the_proxys() -> None:
    given = COMPOSE["services"]["proxy"]["environment"]
    assert set(given) <= NAMES
    plain = {k: re.sub(r"\$\{\w+:-?(.*)\}", r"\1", v) for k, v in given.items()}
    plain["CEREBRAS_API_KEY"] = "csk-x"
    found = Settings.load({**plain, "HOST": "0.0.0.0", "APE_ALLOW_OPEN": "1"})
    assert found.ledger_url == "sqlite:////data/costs.db"
    assert found.api_key is None  # empty is unset


# ------------------------------------------------------------------------ Kubernetes


@pytest.mark.parametrize("one", MANIFESTS, ids=lambda one: one["kind"])
def test_a_manifest_fits_kubernetes_schema(one: dict[str, Any]) -> None:
    tool = pytest.importorskip("kubernetes_validate", reason="brings the schemas")
    tool.validate(one, KUBERNETES, strict=True)
    assert one["metadata"]["namespace"] == "cerebras-proxy"


def test_replicas_share_their_limits_and_are_probed() -> None:
    assert manifest("Deployment")["spec"]["replicas"] >= 2
    probed = {
        name: container()[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert probed == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    assert "APE_LIMITS_URL_FILE" in manifest("ConfigMap")["data"]


def test_the_pod_outlives_its_streams() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    stream_s = int(manifest("ConfigMap")["data"]["APE_SHUTDOWN_S"])
    pause_s = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > stream_s + pause_s


def test_the_config_map_sets_up_the_proxy(tmp_path: Path) -> None:
    given = dict(manifest("ConfigMap")["data"])
    assert set(given) <= NAMES
    secrets = {"cerebras-api-key": "csk-x", "redis-url": "redis://redis:6379/0"}
    secrets["keys"] = f"ann: {'0' * 64}\n"
    (mount,) = (
        one["mountPath"]
        for one in container()["volumeMounts"]
        if one["name"] == "secrets"
    )
    for name, text in secrets.items():
        (tmp_path / name).write_text(text, "utf-8")
    placed = {k: v.replace(mount, str(tmp_path)) for k, v in given.items()}
    found = Settings.load({**placed, "HOST": "0.0.0.0"})
    assert found.limits_url == secrets["redis-url"]
    assert found.upstream.api_key == "csk-x"
    ports = {one["name"]: one["containerPort"] for one in container()["ports"]}
    assert ports == {"http": found.port, "metrics": found.metrics_port}


# ------------------------------------------------------------------------------ logs


def test_the_log_shipper_reads_fields_that_the_log_has() -> None:
    text = (ROOT / "deploy/alloy/config.alloy").read_text("utf-8")
    block = re.search(r"expressions = \{(.*?)\}", text, re.DOTALL)
    assert block
    fields = set(re.findall(r'= "(\w+)"', block[1]))
    assert fields == {"level", "timestamp", "trace_id", "request_id"}
    lines: list[Any] = []
    alone = settings.Upstream(base_url="http://127.0.0.1:9/v1")
    log.RequestLog(Settings(upstream=alone), write=lines.append)(
        trace.begin({"method": "POST", "path": "/v1/chat/completions", "headers": []})
    )
    assert fields <= set(json.loads(lines[0]))
    loki = yaml.safe_load((ROOT / "deploy/loki/loki.yaml").read_text("utf-8"))
    assert f":{loki['server']['http_listen_port']}/loki/api/v1/push" in text


# ----------------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("name", "table"),
    [("settings", settings.markdown_table), ("metrics", metrics.markdown_table)],
    ids=["settings", "metrics"],
)
def test_the_page_has_what_there_is(name: str, table: Callable[[], str]) -> None:
    page = (ROOT / "docs/proxy.md").read_text("utf-8")
    between = page.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]
    assert between == table() + "\n"
