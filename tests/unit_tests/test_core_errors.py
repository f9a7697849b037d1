"""LangChain's errors are parents of ours, and nobody has to load them."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = [
    "errors",
    "catalog",
    "costs.budget",
    "costs.ledger",
    "costs.prices",
    "costs.records",
    "proxy",
    "_limits._memory",
    "_limits._redis",
    "_token_estimate",
    "wire",
]


def run(program: str) -> None:
    """Run a program in a process that has imported nothing."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_the_proxy_stands_on_loads_no_langchain() -> None:
    imports = "; ".join(f"import langchain_cerebras_ext.{name}" for name in LIGHT)
    run(
        f"import sys; {imports}\n"
        "heavy = {'langchain_core', 'openai', 'pydantic', 'httpx', 'httpx2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )


ORDERS = {
    "ours first": "from langchain_cerebras_ext import errors as ours\n"
    "from langchain_core import exceptions as core\n",
    "theirs first": "from langchain_core import exceptions as core\n"
    "from langchain_cerebras_ext import errors as ours\n",
}


@pytest.mark.parametrize("order", ORDERS)
def test_an_error_is_caught_by_langchains_class_in_either_order(order: str) -> None:
    run(
        f"{ORDERS[order]}"
        "try:\n"
        "    raise ours.ContextLengthError('too long', code='x')\n"
        "except core.ContextOverflowError as caught:\n"
        "    assert isinstance(caught, core.ModelInvalidRequestError)\n"
        "    assert isinstance(caught, core.ModelError)\n"
        "    assert isinstance(caught, ours.BadRequestError)\n"
        "    assert caught.code == 'x' and not caught.is_retryable\n"
    )


def test_an_error_made_before_langchain_was_loaded_joins_it_too() -> None:
    run(
        "import copy, pickle\n"
        "from langchain_cerebras_ext import errors as ours\n"
        "early = ours.RateLimitError('slow', retry_after_s=2.0)\n"
        "kept = pickle.dumps(early)\n"
        "from langchain_core import exceptions as core\n"
        "assert not isinstance(early, core.ModelRateLimitError)\n"
        "later = pickle.loads(kept)\n"
        "assert isinstance(later, core.ModelRateLimitError)\n"
        "assert isinstance(early, core.ModelRateLimitError)\n"
        "assert copy.copy(later).retry_after_s == 2.0\n"
    )


def test_the_chat_model_joins_the_classes_without_an_error() -> None:
    run(
        "from langchain_cerebras_ext.errors import StructuredOutputError\n"
        "from langchain_core.exceptions import OutputParserException\n"
        "assert not issubclass(StructuredOutputError, OutputParserException)\n"
        "from langchain_cerebras_ext.chat_models import ChatCerebras\n"
        "assert issubclass(StructuredOutputError, OutputParserException)\n"
    )
