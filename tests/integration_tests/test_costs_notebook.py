"""The notebook on costs, in a real Jupyter kernel."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COSTS = ROOT / "notebooks" / "costs.ipynb"
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

with warnings.catch_warnings():
    # What these libraries say of each other is not ours to mend.
    warnings.simplefilter("ignore")
    import nbformat
    from nbclient import NotebookClient

# They warn of their own event loops, sockets and plans; of ours nothing is hidden: the
# code under test runs in the kernel's process.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def quiet_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a user's own Jupyter settings and ledger out."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def shown(notebook: Any, cell_id: str, kind: str = "text/plain") -> str:
    """Return what a cell shows, of its outputs of a kind or of what it printed."""
    cell = next(cell for cell in notebook.cells if cell["id"] == cell_id)
    return "".join(
        output["text"] if kind == "stream" else output["data"][kind]
        for output in cell["outputs"]
        if ("text" in output) == (kind == "stream")
    )


def test_the_notebook_is_stored_without_outputs() -> None:
    stored = json.loads(COSTS.read_text("utf-8"))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 10
    assert all(cell["outputs"] == [] for cell in code)
    assert all(cell["execution_count"] is None for cell in code)
    assert set(stored["metadata"]) <= {"kernelspec", "language_info"}


@pytest.mark.timeout(180)
def test_the_notebook_runs_from_top_to_bottom() -> None:
    pytest.importorskip("sqlalchemy", reason="the extra `ledger` is not installed")
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    notebook = nbformat.read(COSTS, as_version=4)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

    page = shown(notebook, "track", "text/html")
    assert "5 calls" in page
    assert page.count("<tr") == 3  # a head and two models
    assert "<svg" in page
    assert "script" not in page
    assert re.search(r"\$0\.000\d+ in 5 calls", shown(notebook, "track"))
    assert re.fullmatch(
        r"\(Decimal\('0\.000\d+'\), Decimal\('0\.0000\d+'\), 0, 0\)",
        shown(notebook, "sums"),
    )
    assert "batch" in shown(notebook, "by-tag", "text/html")
    assert len(shown(notebook, "plot", "image/png")) > 10_000
    assert shown(notebook, "doubt").startswith("<CostTracker ~ $0.000")
    assert "1 call estimated" in shown(notebook, "doubt", "text/html")
    refused = shown(notebook, "budget", "stream")
    assert "Budget 'user/day'" in refused
    assert re.search(r"\n\d+ calls were made before\.", refused)
    assert "('ann', Decimal('0.000" in shown(notebook, "budget-status")
    kept = shown(notebook, "ledger")
    assert {"ann", "bob"} <= set(kept.split())
    report = _ESCAPES.sub("", shown(notebook, "command", "stream"))
    assert re.search(r"bob +aborted +~ \$0\.000", report)
    assert re.search(r"total +~ \$0\.00", report)
    assert "'on qwen-3.8-27b': Decimal('0.000" in shown(notebook, "reprice")
    assert "cerebras  gpt-oss-120b  10.75" in shown(notebook, "project", "stream")
    warned = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("name") == "stderr"
    ]
    assert warned == []
