"""What all tests share: an environment without keys, proxies or tracing.

Sockets are held to loopback by `--allow-hosts` in `pyproject.toml`.
"""

import os

import pytest

_PREFIXES = ("CEREBRAS_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LC_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_OTHERS = {"SSL_CERT_FILE", "SSL_CERT_DIR", "MODEL_PROVIDER", "APE_API_KEY"}


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hide variables that change what the package does; `live` tests need the key."""
    live = request.node.get_closest_marker("live") is not None
    for name in list(os.environ):
        known = name.startswith(_PREFIXES) or name in _OTHERS
        if name.upper() in _PROXIES or (known and not live):
            monkeypatch.delenv(name)
