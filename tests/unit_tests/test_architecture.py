"""Imports point one way: from the shells through the core to the leaves."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

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


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path, *, at_run_time: bool = True) -> frozenset[str]:
    """What a module imports of this package, lazily too, but not for types only."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        if not at_run_time and isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef)
        ):
            return
        if isinstance(node, ast.Import):
            found.update(
                alias.name.removeprefix(f"{NAME}.")
                for alias in node.names
                if alias.name.startswith(f"{NAME}.")
            )
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = node.module or ""
            if module == NAME or module.startswith(f"{NAME}."):
                inner = module.removeprefix(NAME).lstrip(".")
                for alias in node.names:
                    whole = f"{inner}.{alias.name}".lstrip(".")
                    found.add(whole if whole in MODULES else inner or "__init__")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(parsed(path))
    return frozenset(found)


@cache
def libraries(path: Path) -> frozenset[str]:
    """The first part of all that a module imports, for types too."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found.update(part(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(part(node.module or ""))
    return frozenset(found)


def part(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_has_its_place():
    assert {part(name) for name in MODULES} == set(LAYERS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_to_the_layers_above_in_the_list(name):
    place = LAYERS.index(part(name))
    for other in imports(MODULES[name]):
        if part(other) != part(name):
            assert LAYERS.index(part(other)) < place, f"{name} imports {other}"


def test_no_module_imports_itself_through_others():
    top = {
        name: {other for other in imports(path, at_run_time=False) if other != name}
        for name, path in MODULES.items()
    }
    tuple(TopologicalSorter(top).static_order())  # raises CycleError


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in SHELLS])
def test_the_core_knows_no_shell(name):
    assert {part(other) for other in imports(MODULES[name])} & SHELLS == set()


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in LEAVES])
def test_leaves_import_nothing_else_of_the_package(name):
    assert imports(MODULES[name]) == set()


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) == "simulator"])
def test_the_simulator_shares_facts_but_no_parsing_with_the_client(name):
    shared = {"_version", "catalog", "errors", "simulator", "wire"}
    if name == "simulator.pytest_plugin":  # a fixture of it makes models
        shared.add("routing")
    others = imports(MODULES[name])
    assert {part(other) for other in others} <= shared
    assert {other for other in others if part(other) == "wire"} <= {
        "wire",
        "wire.types",
    }


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) == "simulator"])
def test_the_simulator_knows_no_other_shell(name):
    assert {part(other) for other in imports(MODULES[name])} & (
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
    users = {part(name) for name, path in MODULES.items() if library in libraries(path)}
    assert users <= ONLY_IN[library]
