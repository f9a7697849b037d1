"""An environment without any provider's variables, and stand-ins for their packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from langchain_cerebras_ext.routing import environment, factory
from langchain_cerebras_ext.routing.providers import list_providers


def all_variables() -> set[str]:
    """Every variable of the table of providers, and those beside it."""
    names = {one.name for one in environment.GENERAL}
    names.update(factory.GATEWAY_READS)
    for row in list_providers():
        names.update((row.model_variable, *row.reads))
        for one in row.settings:
            names.update(one.variables)
    return names


def forget_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment says, and what was made and told before."""
    for name in all_variables():
        monkeypatch.delenv(name, raising=False)
    environment.forget()
    factory.clear_cache()


_STUB = """
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel


class {name}(FakeListChatModel):
    responses: list[str] = ["hi"]
    given: dict[str, Any] = {{}}

    def __init__(self, **given):
        super().__init__(given=given)
"""


@contextmanager
def stand_in(
    monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, name: str
) -> Iterator[None]:
    """Put a package in the place of a provider's; its models keep their arguments."""
    from langchain.chat_models import base

    (folder / f"{module}.py").write_text(_STUB.format(name=name), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, module, raising=False)
        base._get_chat_model_creator.cache_clear()
        try:
            yield
        finally:
            sys.modules.pop(module, None)
            base._get_chat_model_creator.cache_clear()
            factory.clear_cache()
