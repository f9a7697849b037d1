"""Which server a command talks to: Cerebras, another address, or a local simulator."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_cerebras_ext._config import (
    base_url_from_env,
    is_loopback,
    key_from_env,
    normalise_base_url,
)
from langchain_cerebras_ext.cli.extras import require_extra
from langchain_cerebras_ext.cli.failures import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_cerebras_ext.chat_models import ChatCerebras


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go.

    Attributes:
        base_url: The server's base URL.
        is_simulator: Whether it is a simulator that this command has started.
        api_key: The key to send instead of the environment's.
    """

    base_url: str
    is_simulator: bool = False
    api_key: str | None = None

    def model(self, name: str | None = None, **params: Any) -> ChatCerebras:
        """Return the chat model on this server.

        Args:
            name: The model's id; default: that of the environment.
            **params: Parameters of the model; those that are `None` are left out.

        Raises:
            CerebrasConfigurationError: A parameter is wrong, or the key is missing.
        """
        from langchain_cerebras_ext.chat_models import ChatCerebras

        given: dict[str, Any] = {
            "base_url": self.base_url,
            "model": name,
            "api_key": self.api_key,
            **params,
        }
        set_ones = {key: value for key, value in given.items() if value is not None}
        return ChatCerebras(**set_ones)

    def describe(self) -> str:
        """Return where the answers come from, in words."""
        if self.is_simulator:
            return (
                f"a local simulator at {self.base_url} (no language model: it answers "
                "from the words it is given)"
            )
        return self.base_url


def is_reachable(base_url: str | None) -> bool:
    """Say whether the environment has what it takes to talk to a server."""
    url = normalise_base_url(base_url or base_url_from_env())
    return key_from_env() is not None or is_loopback(url)


def read_speed(text: str) -> Any:
    """Read `--speed`.

    Raises:
        CommandError: It is neither `instant` nor `real` nor a factor.
    """
    require_extra("simulator")
    from langchain_cerebras_ext.simulator.command import parse_speed

    try:
        return parse_speed(text)
    except ValueError as error:
        msg = f"--{error}"
        raise CommandError(msg) from error


@contextmanager
def open_endpoint(
    base_url: str | None, *, simulate: bool, speed: str = "real"
) -> Generator[Endpoint]:
    """Yield the server to talk to; a simulator is stopped afterwards.

    Args:
        base_url: The server that the user named.
        simulate: Start a local simulator.
        speed: Its speed.

    Raises:
        CommandError: The options contradict each other.
        MissingExtraError: The simulator is not installed.
    """
    if not simulate:
        yield Endpoint(base_url or base_url_from_env())
        return
    if base_url:
        msg = "--simulate starts a server of its own; leave out --base-url."
        raise CommandError(msg)
    require_extra("simulator")
    from langchain_cerebras_ext.simulator.command import PLACEHOLDER_KEY
    from langchain_cerebras_ext.simulator.server import Simulator

    with Simulator(speed=read_speed(speed)) as simulator, _without_proxy("127.0.0.1"):
        # Never the user's own key: a simulator needs none.
        yield Endpoint(simulator.base_url, is_simulator=True, api_key=PLACEHOLDER_KEY)


@contextmanager
def _without_proxy(host: str) -> Generator[None]:
    """Reach a host of this machine directly: a proxy would look for it on its own."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    for name, value in before.items():
        os.environ[name] = f"{value},{host}" if value else host
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
