"""The pytest plugin: `chat_model`, `--model-provider` and its marker."""

from __future__ import annotations

import subprocess
import sys

import pytest
from provider_env import forget_all

# What is not imported here, each run of pytest within would import anew.
from langchain_cerebras_ext import ChatCerebras  # noqa: F401
from langchain_cerebras_ext.routing._compatible import ChatCompatible  # noqa: F401
from langchain_cerebras_ext.simulator import Simulator  # noqa: F401

pytest_plugins = ["pytester"]

PLAIN = [
    "-p",
    "no:cacheprovider",
    "-p",
    "langchain_cerebras_ext.simulator.pytest_plugin",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    forget_all(monkeypatch)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-" + "d4" * 20)
    monkeypatch.setenv("LOCAL_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("LOCAL_MODEL", "house")


def run(pytester, source, *args):
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess(*PLAIN, *args)


WHOSE = """
    def test_it(chat_model, model_provider):
        print("is", model_provider, chat_model._get_ls_params()["ls_provider"],
              chat_model.model_name)
"""


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        ([], ["is None cerebras gpt-oss-120b"]),
        (["--model-provider", "cerebras"], ["is cerebras cerebras gpt-oss-120b"]),
        (["--model-provider=local"], ["is local local house"]),
        (["--model-provider=local::other"], ["is local::other local other"]),
        (
            ["--model-provider=cerebras, local"],
            ["is cerebras cerebras gpt-oss-120b", "is local local house"],
        ),
        (
            ["--model-provider=local", "--model-provider=cerebras,local"],
            ["is local local house", "is cerebras cerebras gpt-oss-120b"],
        ),
    ],
    ids=str,
)
def test_the_option_says_whose_model_it_is(pytester, args, lines):
    result = run(pytester, WHOSE, "-s", *args)
    result.assert_outcomes(passed=len(lines))
    said = [line[line.index("is ") :] for line in result.outlines if "is " in line]
    assert [line for line in said if line in lines] == lines


def test_without_either_the_environment_says(pytester, monkeypatch):
    monkeypatch.setenv("MODEL_PROVIDER", "local")
    result = run(pytester, WHOSE, "-s")
    result.stdout.fnmatch_lines(["*is None local house*"])


MARKED = """
    import pytest

    @pytest.mark.model_provider("local")
    def test_marked(chat_model):
        assert chat_model.model_name == "house"

    @pytest.mark.model_provider("cerebras", "local::b")
    def test_twice(chat_model):
        assert chat_model.model_name in ("gpt-oss-120b", "b")

    def test_plain(chat_model):
        assert chat_model.model_name == "gpt-oss-120b"

    def test_without():
        pass
"""


def test_the_marker_says_it_for_a_test(pytester):
    result = run(pytester, MARKED, "-v")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        [
            "*::test_marked[[]local[]] PASSED*",
            "*::test_twice[[]cerebras[]] PASSED*",
            "*::test_twice[[]local::b[]] PASSED*",
            "*::test_plain PASSED*",
        ]
    )


def test_a_run_for_one_provider_leaves_out_tests_that_are_for_others(pytester):
    result = run(pytester, MARKED, "-v", "-rs", "--model-provider", "Cerebras")
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["*is for local; --model-provider names Cerebras*"])


def test_the_nearest_marker_counts(pytester):
    source = """
        import pytest

        pytestmark = pytest.mark.model_provider("cerebras")

        @pytest.mark.model_provider("local")
        class TestThese:
            def test_in_class(self, chat_model):
                assert chat_model.model_name == "house"

        def test_in_module(chat_model):
            assert chat_model.model_name == "gpt-oss-120b"
    """
    run(pytester, source).assert_outcomes(passed=2)


def test_a_marker_without_a_name_is_an_error(pytester):
    source = """
        import pytest

        @pytest.mark.model_provider()
        def test_it(chat_model):
            pass
    """
    result = run(pytester, source)
    assert result.ret != 0
    assert "names no provider" in "\n".join(result.outlines + result.errlines)


def test_an_unknown_provider_fails_the_test_with_the_nearest_name(pytester):
    result = run(pytester, WHOSE, "--model-provider=cerebra")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Did you mean 'cerebras'*"])


def test_simulator_is_a_model_that_needs_no_key(pytester, monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY")
    source = """
        def test_it(chat_model, request):
            assert chat_model.invoke("Hi").text
            simulator = request.getfixturevalue("cerebras_simulator")
            assert len(simulator.requests) == 1
    """
    run(pytester, source, "--model-provider=simulator").assert_outcomes(passed=1)


def test_each_test_has_a_model_of_its_own(pytester):
    source = """
        seen = []

        def test_one(chat_model):
            seen.append(chat_model)

        def test_two(chat_model):
            assert chat_model is not seen[0]
    """
    run(pytester, source).assert_outcomes(passed=2)


def test_a_fixture_of_ones_own_goes_first(pytester):
    source = """
        import pytest

        @pytest.fixture
        def chat_model():
            return "mine"

        def test_it(chat_model):
            assert chat_model == "mine"
    """
    run(pytester, source, "--model-provider=local").assert_outcomes(passed=1)


def test_option_and_marker_are_described(pytester):
    result = pytester.runpytest_inprocess(*PLAIN, "--help")
    result.stdout.fnmatch_lines(["*--model-provider=NAME*"])
    result = pytester.runpytest_inprocess(*PLAIN, "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.model_provider(*names)*"])
    run(pytester, MARKED, "--strict-markers").assert_outcomes(passed=5)


THEIRS = """
    def pytest_addoption(parser):
        parser.addoption("--model-provider", default="theirs")

    def pytest_configure(config):
        print("theirs is", config.getoption("--model-provider"))
"""


@pytest.mark.parametrize("where", ["conftest", "plugin"])
def test_a_project_may_have_an_option_of_that_name(pytester, where):
    args = ["-s"]
    if where == "conftest":
        pytester.makeconftest(THEIRS)
    else:
        pytester.makepyfile(theirs=THEIRS)
        pytester.syspathinsert()
        args += ["-p", "theirs"]
    result = run(pytester, "def test_it():\n    pass", *args, "--model-provider=x")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*theirs is x*"])


UNDER_TEST = """
    import unittest

    import pytest
    from langchain_cerebras_ext.routing import create_chat_model

    def app():
        return create_chat_model().model_name

    @pytest.mark.model_provider("local")
    def test_marked():
        assert app() == "house"

    @pytest.mark.model_provider("local", "local::other")
    def test_twice(request):
        assert app() == ("other" if "::" in request.node.name else "house")

    def test_plain():
        assert app() == "{plain}"

    class TestOld(unittest.TestCase):
        @pytest.mark.model_provider("local::old")
        def test_method(self):
            assert app() == "old"
"""


@pytest.mark.parametrize(
    ("args", "plain"),
    [((), "gpt-oss-120b"), (("--model-provider=local,cerebras",), "house")],
    ids=["marker", "option"],
)
def test_models_that_the_code_makes_are_chosen_too(pytester, monkeypatch, args, plain):
    monkeypatch.setenv("USE_CEREBRAS", "true")  # would be warned of
    source = UNDER_TEST.replace("{plain}", plain)
    flags = () if args else ("-W", "default")
    result = run(pytester, source, "-v", "-W", "error", *flags, *args)
    result.assert_outcomes(passed=5, warnings=0 if args else 1)
    if not args:
        result.stdout.fnmatch_lines(["*::test_marked PASSED*"])


def test_a_test_for_another_provider_is_left_out_without_the_fixture(pytester):
    result = run(pytester, UNDER_TEST, "-rs", "--model-provider=cerebras")
    result.stdout.fnmatch_lines(["*is for local; --model-provider names cerebras*"])


def test_afterwards_the_environment_is_as_it_was(pytester):
    source = """
        import os
        import pytest

        before = dict(os.environ)

        @pytest.mark.model_provider("local::other")
        def test_it():
            assert os.environ["MODEL_PROVIDER"] == "local"
            assert os.environ["LOCAL_MODEL"] == "other"

        def test_after():
            now = dict(os.environ, PYTEST_CURRENT_TEST="")
            assert now == dict(before, PYTEST_CURRENT_TEST="")
    """
    run(pytester, source).assert_outcomes(passed=2)


def test_the_simulator_answers_models_that_the_code_makes(pytester, monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY")
    source = """
        import pytest
        from langchain_cerebras_ext.routing import create_chat_model

        @pytest.mark.model_provider("simulator")
        def test_it(chat_model, cerebras_simulator):
            create_chat_model().invoke("Hi")
            chat_model.invoke("Hi")
            assert len(cerebras_simulator.requests) == 2
    """
    run(pytester, source).assert_outcomes(passed=1)


def test_values_of_a_projects_own_are_left_alone(pytester):
    source = """
        import os
        import pytest

        @pytest.mark.parametrize(("model_provider", "n"), [("small", 1), ("big", 2)])
        def test_it(model_provider, n):
            assert model_provider in ("small", "big")
            assert "MODEL_PROVIDER" not in os.environ
    """
    run(pytester, source, "--model-provider=local").assert_outcomes(passed=2)


def test_a_fixture_with_values_of_a_projects_own_is_left_alone(pytester):
    source = """
        import os
        import pytest

        @pytest.fixture(params=["small", "big"])
        def model_provider(request):
            return request.param

        def test_it(model_provider):
            assert "MODEL_PROVIDER" not in os.environ
    """
    run(pytester, source).assert_outcomes(passed=2)


def test_an_option_that_is_not_ours_changes_no_environment(pytester):
    pytester.makeconftest(THEIRS)
    source = """
        import os

        def test_it():
            assert "MODEL_PROVIDER" not in os.environ
    """
    run(pytester, source, "--model-provider=x").assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys; import langchain_cerebras_ext.simulator.pytest_plugin; "
        "print([name for name in ('langchain_core', 'pydantic', 'openai', 'starlette', "
        "'langchain_cerebras_ext.routing') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
