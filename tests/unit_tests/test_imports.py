"""What an import loads, what it gives, and what is said when an extra is missing."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from textwrap import dedent

import pytest

import langchain_cerebras_ext
from langchain_cerebras_ext.errors import MissingExtraError

# What a plain install has no use for, or has not got.
HEAVY = {
    "IPython",
    "aiohttp",
    "bpe_openai",
    "jsonschema",
    "langchain",
    "langgraph",
    "nbformat",
    "openai",
    "rich",
    "starlette",
    "tiktoken",
    "tokenizers",
    "transformers",
    "typer",
    "uvicorn",
}
SHELLS = {
    "langchain_cerebras_ext.__main__",
    "langchain_cerebras_ext.cli",
    "langchain_cerebras_ext.notebook",
    "langchain_cerebras_ext.simulator",
}


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", dedent(code), *args],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


LOADING = """
    import json, os, sys
    import langchain_core.language_models.chat_models
    import langchain_core.language_models.llms
    before = set(sys.modules)
    for code in sys.argv[1:]:
        child = os.fork() if len(sys.argv) > 2 else 0
        if child == 0:
            exec(code, {})
            print(json.dumps(sorted(set(sys.modules) - before)), flush=True)
            sys.exit()
        if os.waitpid(child, 0)[1]:
            sys.exit(f"This failed: {code}")
"""


def loaded_by(*codes: str) -> list[set[str]]:
    """The modules that pieces of code load beyond LangChain's own, each by itself.

    Each has a process of its own; where the system can, they begin as copies of one
    that has loaded LangChain, which is most of the work.
    """
    if len(codes) > 1 and not hasattr(os, "fork"):
        return [loaded for code in codes for loaded in loaded_by(code)]
    done = python(LOADING, *codes)
    assert done.returncode == 0, done.stderr
    found = [set(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(codes)
    return found


def test_importing_the_package_loads_next_to_nothing():
    assert loaded_by("import langchain_cerebras_ext") == [
        {"langchain_cerebras_ext", "langchain_cerebras_ext._version"}
    ]


PLUGIN = "import langchain_cerebras_ext.simulator.pytest_plugin"
"""pytest loads it in everybody's test runs."""
WITHOUT_HEAVY = [
    "from langchain_cerebras_ext import ChatCerebras",
    "from langchain_cerebras_ext import CerebrasLLM",
    "from langchain_cerebras_ext import *",
    "from langchain_cerebras_ext import ChatCerebras; ChatCerebras(api_key='csk-1')",
    "from langchain_cerebras_ext import CerebrasLLM; CerebrasLLM(api_key='csk-1')",
    "import langchain_cerebras_ext.errors, langchain_cerebras_ext.catalog",
    "import langchain_cerebras_ext.wire, langchain_cerebras_ext.retry",
    # Binding tools and counting tokens loads none of them either.
    (
        "from langchain_cerebras_ext import ChatCerebras; "
        "m = ChatCerebras(api_key='csk-1'); "
        "m.bind_tools([{'title': 'f', 'type': 'object', 'properties': {}}]); "
        "m.profile; m.warm_up"
    ),
    PLUGIN,
]


def test_the_model_loads_no_sdk_no_tokenizer_and_no_shell():
    found = loaded_by(*WITHOUT_HEAVY)
    for code, modules in zip(WITHOUT_HEAVY, found, strict=True):
        assert any(name.startswith("langchain_cerebras_ext") for name in modules), code
        assert {name.partition(".")[0] for name in modules} & HEAVY == set(), code
        if code != PLUGIN:
            shells = {name for name in modules if name.startswith(tuple(SHELLS))}
            assert shells == set(), code


# ----------------------------------------------------------------------------- __all__


SHELLS_INSIDE = ("cli", "proxy.", "simulator.")


def public_modules() -> list[str]:
    """Every module that users may import from: no underscore, no shell's insides."""
    insides = tuple(f"langchain_cerebras_ext.{name}" for name in SHELLS_INSIDE)
    found = [
        module.name
        for module in pkgutil.walk_packages(
            langchain_cerebras_ext.__path__, "langchain_cerebras_ext."
        )
        if "._" not in module.name and not module.name.startswith(insides)
    ]
    return ["langchain_cerebras_ext", *found]


# Names whose own module needs a package that need not be there.
NEEDS = {
    "langchain_cerebras_ext.otel.CerebrasInstrumentor": "opentelemetry",
    "langchain_cerebras_ext.proxy.ProxyApp": "httptools",
    "langchain_cerebras_ext.proxy.create_app": "httptools",
}


def available(module, name):
    """A name of a module, or the error that names the package which is not there."""
    needed = NEEDS.get(f"{module.__name__}.{name}")
    if needed is None or find_spec(needed) is not None:
        return getattr(module, name)
    with pytest.raises(MissingExtraError, match="pip install") as caught:
        getattr(module, name)
    return caught.value


def by_kind(name):
    """The order that ruff keeps: constants, classes, the rest."""
    return (not name.isupper(), not name[:1].isupper(), name)


@pytest.mark.parametrize("name", public_modules())
def test_every_public_module_has_an_all_that_can_be_imported(name):
    module = importlib.import_module(name)
    in_order = (sorted(module.__all__), sorted(module.__all__, key=by_kind))
    assert list(module.__all__) in in_order
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        assert available(module, exported) is not None
        assert exported in dir(module)
        assert exported == "__version__" or not exported.startswith("_")


@pytest.mark.parametrize("name", public_modules())
def test_every_public_class_and_function_is_documented(name):
    module = importlib.import_module(name)
    for exported in module.__all__:
        value = available(module, exported)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{exported}"


def test_the_public_modules_are_these():
    assert set(public_modules()) >= {
        "langchain_cerebras_ext",
        "langchain_cerebras_ext.catalog",
        "langchain_cerebras_ext.errors",
        "langchain_cerebras_ext.retry",
        "langchain_cerebras_ext.simulator",
        "langchain_cerebras_ext.wire",
    }


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'ChatCerebra'"):
        langchain_cerebras_ext.ChatCerebra  # noqa: B018
    with pytest.raises(ImportError, match="ChatCerebra"):
        exec("from langchain_cerebras_ext import ChatCerebra")


def test_every_name_of_the_package_is_in_all_and_its_home():
    names = set(langchain_cerebras_ext.__all__) - {"__version__"}
    assert names == set(langchain_cerebras_ext._HOMES)


# ----------------------------------------------------------------------- missing extras

HIDE = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def without(hidden: set[str], code: str) -> subprocess.CompletedProcess[str]:
    return python(f"HIDDEN = {sorted(hidden)!r}\n{HIDE}\n{dedent(code)}")


EXTRAS = {
    "agents": {"langchain", "langgraph"},
    "cli": {"typer", "rich"},
    "notebook": {"IPython", "nbformat", "nbclient", "ipykernel"},
    "simulator": {"starlette", "uvicorn"},
    "tokens": {"bpe_openai", "tiktoken", "tokenizers"},
}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (
            "agents",
            (
                "from langchain_cerebras_ext import register_with_langchain as register\n"
                "call = register"
            ),
        ),
        (
            "simulator",
            (
                "from langchain_cerebras_ext.simulator import Simulator\n"
                "call = lambda: Simulator().__enter__()"
            ),
        ),
        (
            "tokens",
            (
                "from langchain_cerebras_ext import ChatCerebras\n"
                "model = ChatCerebras(api_key='csk-1')\n"
                "call = lambda: model.get_token_ids('hi')"
            ),
        ),
    ],
)
def test_a_missing_extra_is_named_with_its_install_line(extra, code):
    done = without(
        EXTRAS[extra],
        f"""
{code}
from langchain_cerebras_ext.errors import MissingExtraError
try:
    call()
except MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(error)
else:
    raise SystemExit("nothing was said")
""",
    )
    assert done.returncode == 0, done.stderr
    assert f"pip install 'langchain-cerebras-ext[{extra}]'" in done.stdout


def test_the_command_without_its_extra_says_what_to_install_and_ends_with_2():
    done = without(
        EXTRAS["cli"],
        "from langchain_cerebras_ext.__main__ import main\nsys.exit(main(['chat', 'hi']))",
    )
    assert done.returncode == 2
    assert "pip install 'langchain-cerebras-ext[" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_model_works_without_any_extra():
    done = without(
        set().union(*EXTRAS.values()),
        """
        from typing import TypedDict
        from langchain_cerebras_ext import ChatCerebras
        class Answer(TypedDict):
            text: str
        model = ChatCerebras(base_url="http://127.0.0.1:9", max_retries=0)
        parser = model.with_structured_output(Answer).steps[-1]
        assert parser.parse('{"text": "a"}') == {"text": "a"}
        assert model.get_num_tokens("Hello, world") > 1
        try:
            model.invoke("hi")
        except Exception as error:
            print(type(error).__name__)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["CerebrasConnectionError"]
