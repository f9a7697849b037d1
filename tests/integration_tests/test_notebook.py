"""The quickstart notebook and `show`, in a real Jupyter kernel."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"

with warnings.catch_warnings():
    # What these libraries say of each other is not ours to mend.
    warnings.simplefilter("ignore")
    import nbformat
    from jupyter_client.manager import KernelManager
    from nbclient import NotebookClient

# They warn of their own event loops, sockets and plans; of ours nothing is hidden: the
# code under test runs in the kernel's process.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def quiet_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a user's own Jupyter settings out."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def outputs_of(notebook: Any, cell_id: str) -> list[dict[str, Any]]:
    cell = next(cell for cell in notebook.cells if cell["id"] == cell_id)
    return [dict(output) for output in cell["outputs"]]


def data_of(notebook: Any, cell_id: str, kind: str = "text/plain") -> str:
    (output,) = outputs_of(notebook, cell_id)
    return str(output["data"][kind])


# -------------------------------------------------------------------- the quickstart


def test_the_quickstart_is_stored_without_outputs() -> None:
    stored = json.loads(QUICKSTART.read_text("utf-8"))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert all(cell["outputs"] == [] for cell in code)
    assert all(cell["execution_count"] is None for cell in code)
    assert set(stored["metadata"]) <= {"kernelspec", "language_info"}


@pytest.mark.timeout(180)
def test_the_quickstart_runs_from_top_to_bottom() -> None:
    notebook = nbformat.read(QUICKSTART, as_version=4)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert "http://127.0.0.1:" in data_of(notebook, "connect")
    for cell in ("stream", "async"):
        html = data_of(notebook, cell, "text/html")
        assert "<summary>Reasoning</summary>" in html
        assert re.search(r"[\d,]+ tokens/s", html)
        assert "first token" in html
    assert "'time_to_first_token_s'" in data_of(notebook, "stream-figures")
    assert data_of(notebook, "batch") == "['one', 'two', 'three']"
    tools = data_of(notebook, "tools")
    assert re.search(r"-> count_stock .*nuts", tools)
    assert "<- count_stock: 80" in tools
    assert "ordered 500 nuts" in tools
    assert data_of(notebook, "structured") == "Trip(destination='Lisbon', days=4)"
    assert '"destination": "Porto"' in data_of(notebook, "structured-stream")
    drawn = data_of(notebook, "figures", "text/html")
    assert drawn.count("<svg") == 3
    assert drawn.count("<rect") == 9
    assert "'effort': 'high'" in data_of(notebook, "table")
    streams = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream"
    ]
    assert streams == []  # no warnings


# ------------------------------------------------------------------- a kernel by hand


class Kernel:
    """A kernel, and what a notebook sees of it."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self._manager = manager
        self._client = client

    def run(self, code: str, *, interrupt_at: int = 0) -> tuple[str, list[Any]]:
        """Run a cell.

        Args:
            code: What stands in it.
            interrupt_at: After so many drawings press *interrupt*.

        Returns:
            Its status, and the contents of its messages as (type, content).
        """
        sent = self._client.execute(code)
        seen: list[Any] = []
        drawings = 0
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            seen.append((kind, content))
            drawings += kind in {"display_data", "update_display_data"}
            if interrupt_at and drawings == interrupt_at:
                interrupt_at = 0
                self._manager.interrupt_kernel()
        while True:
            reply = self._client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == sent:
                return str(reply["content"]["status"]), seen

    def value(self, code: str) -> Any:
        """Run a cell that ends in an expression, and return what that is."""
        status, seen = self.run(f"import json; print(json.dumps({code}))")
        assert status == "ok", seen
        return json.loads(
            "".join(one["text"] for kind, one in seen if kind == "stream")
        )


@contextlib.contextmanager
def running_kernel() -> Iterator[Kernel]:
    """A running kernel with a slow simulator and a model on it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        found = Kernel(manager, client)
        status, seen = found.run(
            "from langchain_cerebras_ext import ChatCerebras\n"
            "from langchain_cerebras_ext.notebook import ashow, show\n"
            "from langchain_cerebras_ext.simulator import Simulator\n"
            "sim = Simulator(speed=0.05).start()\n"
            "model = ChatCerebras(base_url=sim.base_url, api_key='csk-test')\n"
        )
        assert status == "ok", seen
        yield found
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernels() -> Iterator[tuple[list[Kernel], contextlib.ExitStack]]:
    """Room for the one kernel that all cells run in."""
    with contextlib.ExitStack() as stack:
        yield [], stack


@pytest.fixture
def kernel(kernels: tuple[list[Kernel], contextlib.ExitStack]) -> Kernel:
    """The kernel, started in the clean environment of the first test that asks."""
    started, stack = kernels
    if not started:
        started.append(stack.enter_context(running_kernel()))
    return started[0]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("show(model.stream({prompt!r}))", id="sync"),
        pytest.param("await show(model.astream({prompt!r}))", id="async"),
        pytest.param("await ashow(model.astream({prompt!r}))", id="ashow"),
        pytest.param(
            "await show(agent.astream({{'messages': [('user', {prompt!r})]}}, "
            "stream_mode='messages'))",
            id="agent",
        ),
    ],
)
def test_a_cell_can_be_interrupted_and_run_again(kernel: Kernel, cell: str) -> None:
    long = cell.format(prompt="Write 500 words about rivers.")
    short = cell.format(prompt="Write 10 words about rivers.")
    setup = "from langchain.agents import create_agent; agent = create_agent(model)"
    assert kernel.run(setup)[0] == "ok"
    status, seen = kernel.run(f"message = {long}", interrupt_at=3)
    assert status == "error"
    (error,) = (content for kind, content in seen if kind == "error")
    assert error["ename"] in {"KeyboardInterrupt", "CancelledError"}
    last = [one for kind, one in seen if kind == "update_display_data"][-1]["data"]
    assert "interrupted" in last["text/html"]
    assert "tokens/s" in last["text/html"]
    deadline = time.monotonic() + 10
    gone = False
    while not gone and time.monotonic() < deadline:
        gone = kernel.value("sim.chat_requests[-1].was_cancelled")
    assert gone  # the connection was closed at once

    status, seen = kernel.run(f"message = {short}")
    assert status == "ok", seen
    assert (
        "output tokens"
        in [
            one for kind, one in seen if kind in {"display_data", "update_display_data"}
        ][-1]["data"]["text/html"]
    )
    assert kernel.value("message.usage_metadata['output_tokens']") > 0


@pytest.mark.timeout(180)
def test_sync_calls_work_where_a_loop_is_running(kernel: Kernel) -> None:
    assert kernel.value("model.invoke('Say hello').text") == "hello"
    assert kernel.value("(await model.ainvoke('Say hello')).text") == "hello"
    assert kernel.value("[m.text for m in model.batch(['Say a', 'Say b'])]") == [
        "a",
        "b",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/fd is of POSIX systems")
@pytest.mark.timeout(180)
def test_running_cells_again_leaks_no_port_and_no_server(kernel: Kernel) -> None:
    again = (
        "with Simulator() as other:\n"
        "    with ChatCerebras(base_url=other.base_url, api_key='k') as m:\n"
        "        m.invoke('Hi')\n"
    )
    threads = "[t.name for t in __import__('threading').enumerate()]"
    assert kernel.run(again)[0] == "ok"
    before = kernel.value(threads).count("cerebras-simulator")
    open_before = kernel.value("len(__import__('os').listdir('/dev/fd'))")
    for _ in range(5):
        assert kernel.run(again)[0] == "ok"
    assert kernel.value(threads).count("cerebras-simulator") == before == 1
    assert kernel.value("len(__import__('os').listdir('/dev/fd'))") <= open_before + 1
