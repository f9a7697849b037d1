"""A real Prometheus on a free loopback port, which keeps its data in a given folder.

It is found on the PATH, where the distributions' package `prometheus` puts it, with
its `promtool`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from free_ports import free_port
from services import missing

MISSING = (
    "NO {name}: what Prometheus makes of the metrics was NOT tested. Install it: "
    "apt-get install prometheus"
)
_START_S = 60.0
_CONFIG = """
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
scrape_configs:
  - job_name: calls
    static_configs:
      - targets: [{targets}]
"""


def find_program(name="prometheus"):
    """Return a program's path, or skip the test with a loud reason."""
    found = shutil.which(name)
    if found is None:
        missing(MISSING.format(name=name.upper()))
    return found


class PrometheusServer:
    """A running server that scrapes some loopback ports four times a second."""

    def __init__(self, folder, ports):
        program = find_program()
        self._at = None
        folder = Path(folder)
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG.format(targets=targets))
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--log.level=warn",
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"Prometheus did not start: {self._log.read_text()}")

    def query(self, promql):
        """Return the vector that an expression gives: (labels, value) pairs."""
        return [(one["metric"], float(one["value"][1])) for one in self._ask(promql)]

    def _ask(self, promql):
        asked = {"query": promql, **({} if self._at is None else {"time": self._at})}
        url = f"{self.url}/api/v1/query?{urlencode(asked)}"
        with urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def value(self, promql):
        """Return the only value of an expression; `None` if it has none yet."""
        found = self.query(promql)
        assert len(found) < 2, found
        return found[0][1] if found else None

    def wait_for(self, promql, value, timeout_s=60.0):
        """Wait until an expression has a value, which a scrape has brought.

        What is asked afterwards is asked of that time: on a busy machine a later scrape
        may come too late, and then there is nothing any more.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._ask(promql)
            if [float(one["value"][1]) for one in found] == [value]:
                self._at = found[0]["value"][0]
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{promql} is {found}, not {value}: {self._why()}")
            time.sleep(0.05)

    def _why(self):
        """Return what became of the last scrape of each target."""
        with urlopen(f"{self.url}/api/v1/targets", timeout=10) as answer:
            active = json.load(answer)["data"]["activeTargets"]
        return [(one["health"], one["lastError"]) for one in active]

    def stop(self):
        """End it, if it runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
