"""The README is executed: its code, its commands, its tables."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import langchain_cerebras_ext
from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.simulator import Simulator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the provider in a copy of LangChain's table: other tests look at it."""
    base = pytest.importorskip("langchain.chat_models.base")
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))


def test_every_python_block_of_the_tour_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order and in one namespace, as a reader would type them."""
    with Simulator(models="all") as sim:
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
        monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
        namespace: dict[str, object] = {"__name__": "readme"}
        for number, block in enumerate(BLOCKS):
            code = compile(block, f"README block {number}", "exec")
            exec(code, namespace)
    printed = capsys.readouterr().out
    assert len(BLOCKS) >= 10
    assert "'temperature'" in printed  # the typo's message names the right word
    assert "retired 2025-11-05" in printed
    assert "inhabitants=2100000" in printed
    assert "Sunny in Paris" in printed


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.stem
)
def test_every_python_block_of_the_other_pages_runs(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of the README."""
    found = re.findall(
        r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    with Simulator(models="all") as sim:
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-test")
        monkeypatch.setenv("CEREBRAS_BASE_URL", sim.base_url)
        namespace: dict[str, object] = {"__name__": page.stem}
        for number, block in enumerate(found):
            exec(compile(block, f"{page.name} block {number}", "exec"), namespace)


def test_the_two_commands_end_as_promised() -> None:
    """One line each: the first starts the demo, the second all tests."""
    lines = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert [shlex.split(line)[-2:] for line in lines] == [
        [".venv/bin/cerebras-ext", "demo"],
        ["&&", ".venv-test/bin/pytest"],
    ]


def test_every_extra_that_the_readme_names_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"langchain-cerebras-ext\[([a-z,]+)\]", README))
    named |= {
        "agents",
        "cli",
        "simulator",
        "notebook",
        "otel",
        "redis",
        "tokens",
        "all",
    }
    extras = {part for name in named for part in name.split(",")}
    assert extras <= set(project["optional-dependencies"])


def test_links_to_files_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []


def test_the_migration_tables_name_real_parameters() -> None:
    """What the tables call ours is a field, or is taken under that name."""
    fields = ChatCerebras.model_fields
    for name in ("clear_thinking", "reasoning_effort", "reasoning_format"):
        assert name in fields
        assert f"`{name}=" in README


def test_version_stands_in_code_and_changelog_alike() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert versions[0] == langchain_cerebras_ext.__version__
