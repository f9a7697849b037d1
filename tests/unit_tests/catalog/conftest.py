"""Each test has a catalog of its own: no cards, lists or files of another's."""

from __future__ import annotations

import pytest

from langchain_cerebras_ext.catalog._registry import registry


@pytest.fixture(autouse=True)
def fresh_catalog(clean_environment, monkeypatch, tmp_path):
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path / "cache"))
    before = dict(vars(registry))
    registry.reload()
    vars(registry)["_registered"] = {}
    yield
    vars(registry).update(before)
