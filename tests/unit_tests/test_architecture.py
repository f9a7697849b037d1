"""Imports point one way: from the shells through the core to the leaves."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import langchain_cerebras_ext

ROOT = Path(langchain_cerebras_ext.__file__).parent
NAME = "langchain_cerebras_ext"

# From the leaves up; a part may import what stands above it in this list.
LAYERS = [
    "_version",
    "_warnings",
    "_core_errors",
    "errors",
    "_http",
    "_config",
    "catalog",
    "_deprecations",
    "_status",
    "wire",
    "retry",
    "_limits",
    "rate_limiter",
    "_params",
    "_partial_json",
    "_schema",
    "_tools",
    "_messages_in",
    "_request",
    "_metadata",
    "_stream_reader",
    "_chunk",
    "_messages_out",
    "_translator",
    "_events",
    "_token_estimate",
    "_tokens",
    "_observe",
    "_late",
    "_metering",
    "_client",
    "_sdk",
    "health",
    "costs",
    "_connection",
    "_binding",
    "_structured",
    "chat_models",
    "llms",
    "_register",
    "routing",
    "__init__",
    # Shells, and what they share.
    "_otel",
    "otel",
    "_check",
    "_live",
    "notebook",
    "simulator",
    "dashboard",
    "proxy",
    "cli",
    "__main__",
]
SHELLS = {
    "_otel",
    "otel",
    "_check",
    "_live",
    "notebook",
    "simulator",
    "dashboard",
    "proxy",
    "cli",
    "__main__",
}
LEAVES = {"_version", "_warnings", "_core_errors", "_params", "_partial_json"}


def modules() -> dict[str, Path]:
    """Every module by its dotted name below the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES = modules()


class Imports(NamedTuple):
    """What a module imports, by a walk through its text.

    Attributes:
        all: Modules of this package, lazily imported ones too, but not for types only.
        at_once: Those of them that come as the module is imported.
        libraries: The first part of every other name, for types too.
    """

    all: set[str]
    at_once: set[str]
    libraries: set[str]


@cache
def imports(path: Path) -> Imports:
    found = Imports(set(), set(), set())

    def add(module: str, *, for_types: bool, lazily: bool) -> None:
        found.libraries.add(part(module))
        if part(module) == NAME and not for_types:
            inner = module.removeprefix(NAME).lstrip(".") or "__init__"
            found.all.add(inner)
            if not lazily:
                found.at_once.add(inner)

    def visit(node: ast.AST, **how: bool) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name, **how)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                is_module = whole.removeprefix(f"{NAME}.") in MODULES
                add(whole if is_module else module, **how)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.body:
                visit(child, **{**how, "for_types": True})
            for child in node.orelse:
                visit(child, **how)
        elif not isinstance(node, ast.expr):  # which holds no statement
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                how = {**how, "lazily": True}
            for child in ast.iter_child_nodes(node):
                visit(child, **how)

    visit(ast.parse(path.read_bytes()), for_types=False, lazily=False)
    return found


def part(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_has_its_place():
    assert {part(name) for name in MODULES} == set(LAYERS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_to_the_layers_above_in_the_list(name):
    place = LAYERS.index(part(name))
    for other in imports(MODULES[name]).all:
        if part(other) != part(name):
            assert LAYERS.index(part(other)) < place, f"{name} imports {other}"


def test_no_module_imports_itself_through_others():
    top = {
        name: {other for other in imports(path).at_once if other != name}
        for name, path in MODULES.items()
    }
    tuple(TopologicalSorter(top).static_order())  # raises CycleError


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in SHELLS])
def test_the_core_knows_no_shell(name):
    assert {part(other) for other in imports(MODULES[name]).all} & SHELLS == set()


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in LEAVES])
def test_leaves_import_nothing_else_of_the_package(name):
    assert imports(MODULES[name]).all == set()


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) == "simulator"])
def test_the_simulator_shares_facts_but_no_parsing_with_the_client(name):
    shared = {"_version", "catalog", "errors", "simulator", "wire"}
    if name == "simulator.pytest_plugin":  # a fixture of it makes models
        shared.add("routing")
    others = imports(MODULES[name]).all
    assert {part(other) for other in others} <= shared
    assert {other for other in others if part(other) == "wire"} <= {
        "wire",
        "wire.types",
    }


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) == "simulator"])
def test_the_simulator_knows_no_other_shell(name):
    assert {part(other) for other in imports(MODULES[name]).all} & (
        SHELLS - {"simulator"}
    ) == (set())


ONLY_IN = {
    "openai": {"_sdk"},
    "opentelemetry": {"_otel", "otel"},
    "redis": {"_limits", "costs", "routing"},
    "tenacity": {"retry"},
    "urllib3": {"_http"},
    "aiohttp": {"_http", "proxy"},
    "typer": {"cli"},
    "rich": {"cli"},
    "IPython": {"notebook"},
    "starlette": {"simulator", "dashboard", "proxy"},
    "uvicorn": {"simulator", "dashboard", "proxy"},
    "sqlalchemy": {"costs", "routing"},
    "psycopg": {"costs"},
    "dotenv": {"routing"},
    "langchain_openai": {"routing"},
    "scipy": {"routing"},
    "genai_prices": {"costs"},
    "prometheus_client": {"costs", "proxy"},
    "matplotlib": {"costs", "routing"},
    "pyarrow": {"costs"},
    "langgraph": {"cli"},
    "langchain": {"_register", "cli", "routing"},
}


@pytest.mark.parametrize("library", ONLY_IN)
def test_each_library_lives_in_one_place(library):
    users = {
        part(name)
        for name, path in MODULES.items()
        if library in imports(path).libraries
    }
    assert users <= ONLY_IN[library]
