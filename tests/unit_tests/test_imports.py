"""What an import loads, what it gives, and what is said when an extra is missing."""

from __future__ import annotations

import importlib
import inspect
import json
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


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def loaded_by(code: str) -> set[str]:
    """The modules that a piece of code loads beyond LangChain's own."""
    done = python(
        f"""
        import json, sys
        import langchain_core.language_models.chat_models
        import langchain_core.language_models.llms
        before = set(sys.modules)
        {code}
        print(json.dumps(sorted(set(sys.modules) - before)))
        """
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_next_to_nothing():
    assert loaded_by("import langchain_cerebras_ext") == {
        "langchain_cerebras_ext",
        "langchain_cerebras_ext._version",
    }


@pytest.mark.parametrize(
    "code",
    [
        "from langchain_cerebras_ext import ChatCerebras",
        "from langchain_cerebras_ext import CerebrasLLM",
        "from langchain_cerebras_ext import *",
        "from langchain_cerebras_ext import ChatCerebras; ChatCerebras(api_key='csk-1')",
        "from langchain_cerebras_ext import CerebrasLLM; CerebrasLLM(api_key='csk-1')",
        "import langchain_cerebras_ext.errors, langchain_cerebras_ext.catalog",
        "import langchain_cerebras_ext.wire, langchain_cerebras_ext.retry",
        # pytest loads the plugin in everybody's test runs.
        "import langchain_cerebras_ext.simulator.pytest_plugin",
    ],
)
def test_the_model_loads_no_sdk_no_tokenizer_and_no_shell(code):
    modules = loaded_by(code)
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    if "pytest_plugin" not in code:
        assert {name for name in modules if name.startswith(tuple(SHELLS))} == set()


def test_binding_tools_and_counting_tokens_loads_none_of_them_either():
    code = (
        "from langchain_cerebras_ext import ChatCerebras; "
        "m = ChatCerebras(api_key='csk-1'); "
        "m.bind_tools([{'title': 'f', 'type': 'object', 'properties': {}}]); "
        "m.profile; m.warm_up"
    )
    assert {name.partition(".")[0] for name in loaded_by(code)} & HEAVY == set()


# ----------------------------------------------------------------------------- __all__


def public_modules() -> list[str]:
    """Every module that users may import from: no underscore, no shell's insides."""
    insides = ("langchain_cerebras_ext.simulator.", "langchain_cerebras_ext.cli")
    found = [
        module.name
        for module in pkgutil.walk_packages(
            langchain_cerebras_ext.__path__, "langchain_cerebras_ext."
        )
        if "._" not in module.name and not module.name.startswith(insides)
    ]
    return ["langchain_cerebras_ext", *found]


# Names whose own module needs a package that is in no extra of ours.
NEEDS = {"CerebrasInstrumentor": "opentelemetry"}


def available(module, name):
    """A name of a module, or the error that names the package which is not there."""
    needed = NEEDS.get(name)
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
