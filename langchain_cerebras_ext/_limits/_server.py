"""The connection to Redis: a client for threads, and one for each event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from importlib import resources
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    MissingExtraError,
    RateLimiterBackendError,
    mask_secrets,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

__all__ = ["RedisServer"]

_log = logging.getLogger("langchain_cerebras_ext.rate_limiter")

_SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")
_DEFAULT_PORT: Final = 6379
_SHOWN: Final = 300

_ALONE: Final = (
    "Until it is back each process keeps limits of its own: together they may exceed "
    "the account's."
)
_OFFER: Final = (
    "With on_backend_error='local' each process goes on with limits of its own while "
    "it is away."
)

_OPTIONS: Final[dict[str, Any]] = {
    # One step takes well under a millisecond; a URL may say otherwise.
    "socket_connect_timeout": 3.0,
    "socket_timeout": 5.0,
    "max_connections": 16,
    "timeout": 20.0,  # for one of those connections
    "health_check_interval": 30,
    "client_name": "langchain-cerebras-ext",
}


class RedisServer:
    """One Redis or Valkey server, by its URL.

    Args:
        url: As `redis://:password@host:6379/0`, `rediss://...` or `unix://...`.
        falls_back: Whether there are limits to go on with while it cannot be reached.
        retry_after_s: How long it is left alone then.

    Attributes:
        place: The URL without its password and options, for messages.

    Raises:
        CerebrasConfigurationError: The URL is none of Redis.
        MissingExtraError: The `redis` package is not installed.
    """

    def __init__(
        self, url: str, *, falls_back: bool = False, retry_after_s: float = 5.0
    ) -> None:
        self.place, self._secrets = _place_of(url)
        _require_redis()
        # redis-py does not know Valkey's own scheme; the protocol is the same.
        self._url = url.replace("valkey", "redis", 1) if _is_valkey(url) else url
        self._falls_back = falls_back
        self._retry_after_s = retry_after_s
        self._lock = threading.Lock()
        self._script: Any = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        self._down_until: float | None = None
        place = resources.files("langchain_cerebras_ext._limits")
        self._text = place.joinpath("line.lua").read_text("utf-8")

    def __repr__(self) -> str:
        """Name the server, without its password."""
        return f"<RedisServer {self.place}>"

    # ---------------------------------------------------------------------- steps

    def run(self, keys: list[str], arguments: list[str]) -> Any:
        """Run the script.

        Raises:
            RateLimiterBackendError: The server cannot be reached, or refuses.
        """
        import redis

        try:
            script = self._script or self._connect()
            reply = script(keys=keys, args=arguments)
        except (redis.RedisError, OSError) as error:
            raise self._failed(error) from error
        self._works()
        return reply

    async def arun(self, keys: list[str], arguments: list[str]) -> Any:
        """Run the script by the running loop's own client.

        Raises:
            RateLimiterBackendError: The server cannot be reached, or refuses.
        """
        import redis

        with _cancellable():
            try:
                client = await self._client()
                reply = await client.script(keys=keys, args=arguments)
            except (redis.RedisError, OSError) as error:
                raise self._failed(error) from error
            self._works()
            return reply

    def in_background(
        self, work: Callable[..., Awaitable[None]], *arguments: Any
    ) -> bool:
        """Do something in a task of the running loop; False if that loop is ending."""
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None or held.closing:
            return False

        async def task() -> None:
            await work(*arguments)

        held.keep(loop.create_task(task()))
        return True

    # ------------------------------------------------------------------ up or down

    @property
    def is_down(self) -> bool:
        """Whether it was not to be reached a moment ago."""
        until = self._down_until
        return until is not None and time.monotonic() < until

    def _works(self) -> None:
        if self._down_until is not None:
            self._down_until = None
            _log.warning("Redis at %s can be reached again.", self.place)

    def _failed(self, error: Exception) -> RateLimiterBackendError:
        is_news = self._down_until is None
        self._down_until = time.monotonic() + self._retry_after_s
        told = mask_secrets(f"{type(error).__name__}: {error}", *self._secrets)[:_SHOWN]
        msg = (
            f"The rate limits are kept in Redis at {self.place}, which cannot be used: "
            f"{told}. Check that it runs and may be reached from here, and the URL's "
            "user, password and database."
        )
        if is_news:
            _log.warning("%s %s", msg, _ALONE if self._falls_back else "")
        if not self._falls_back:
            msg = f"{msg} {_OFFER}"
        return RateLimiterBackendError(msg)

    # -------------------------------------------------------------------- clients

    def _connect(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._lock:
            if self._script is None:
                pool = redis.BlockingConnectionPool.from_url(
                    self._url, **_OPTIONS, retry=Retry(NoBackoff(), 1)
                )
                client = redis.Redis.from_pool(pool)
                self._script = client.register_script(self._text)
            return self._script

    async def _client(self) -> _LoopClient:
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None:
            from redis import asyncio as redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            with self._lock:
                self._drop_closed_loops()
                pool = redis.BlockingConnectionPool.from_url(
                    self._url, **_OPTIONS, retry=Retry(NoBackoff(), 1)
                )
                held = _LoopClient(redis.Redis.from_pool(pool), self._text)
                self._loops[loop] = held
            # Started, so that the loop closes it when it shuts its generators down.
            held.keeper = _close_at_the_end(held, self._loops)
            await anext(held.keeper)
        return held

    def _drop_closed_loops(self) -> None:
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[loop]

    def close(self) -> None:
        """Close the connections of threads; the next step makes new ones."""
        with self._lock:
            script, self._script = self._script, None
        if script is not None:
            script.registered_client.close()

    async def aclose(self) -> None:
        """Close the running loop's connections; the next step makes new ones."""
        held = self._loops.get(asyncio.get_running_loop())
        if held is not None and held.keeper is not None:
            await held.keeper.aclose()


class _LoopClient:
    """A client that belongs to one event loop, and what it does in the background."""

    def __init__(self, client: Any, text: str) -> None:
        self.client = client
        self.script = client.register_script(text)
        self.keeper: AsyncGenerator[None] | None = None
        self.closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        self.closing = True
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        with contextlib.suppress(Exception):
            await self.client.aclose()


@contextlib.contextmanager
def _cancellable() -> Generator[None]:
    """Have a task end that was cancelled meanwhile, whatever it was waiting for.

    redis-py sends within `asyncio.wait_for`, which up to Python 3.11 forgets a
    cancellation that comes just as the sending is done.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    except Exception as error:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


async def _close_at_the_end(
    held: _LoopClient, loops: dict[asyncio.AbstractEventLoop, _LoopClient]
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        loops.pop(asyncio.get_running_loop(), None)
        await held.aclose()


def _place_of(url: str) -> tuple[str, tuple[str, ...]]:
    """Return a URL without what is secret, and what is secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        msg = "redis=... has a host in brackets that is no IPv6 address."
        raise CerebrasConfigurationError(msg) from None
    if parts.scheme not in _SCHEMES or "://" not in url:
        msg = (
            "redis=... must be a URL as 'redis://host:6379/0', 'rediss://...' or "
            f"'unix://...'; its scheme is {parts.scheme!r}."
        )
        raise CerebrasConfigurationError(msg)
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        msg = "redis=... has a port that is no number from 1 to 65535."
        raise CerebrasConfigurationError(msg) from None
    told = [parts.password, *parse_qs(parts.query).get("password", ())]
    secrets = tuple({form for text in told if text for form in (text, unquote(text))})
    if parts.scheme == "unix":
        return f"unix://{parts.path}", secrets
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{port}{parts.path}", secrets


def _is_valkey(url: str) -> bool:
    return url.startswith(("valkey://", "valkeys://"))


def _require_redis() -> None:
    import importlib.util

    if importlib.util.find_spec("redis") is None:
        msg = (
            "Limits that processes share need redis. "
            "Run: pip install 'langchain-cerebras-ext[redis]'"
        )
        raise MissingExtraError(msg)
