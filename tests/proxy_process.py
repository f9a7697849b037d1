"""The proxy as a process of its own, as a container or a shell runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODULE = (sys.executable, "-m", "langchain_cerebras_ext.proxy")
SHELL = (sys.executable, "-m", "langchain_cerebras_ext", "proxy")
CLIENT_KEY = "client-key-of-ann-0123456789"
UPSTREAM_KEY = "csk-upstream-key-that-stays-inside"
_WAIT_S = 60.0
_HIDDEN = ("APE_", "CEREBRAS_", "PROMETHEUS_", "HOST", "PORT", "LOG_LEVEL")


def proxy_environment(upstream_url: str, **more: Any) -> dict[str, str]:
    """Return a clean environment for a proxy to an upstream."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_HIDDEN)}
    own = {
        "CEREBRAS_BASE_URL": upstream_url,
        "CEREBRAS_API_KEY": UPSTREAM_KEY,
        "APE_API_KEY": CLIENT_KEY,
        "APE_DRAIN_S": "none",
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
    }
    told = {name: str(value) for name, value in (kept | own | more).items()}
    return {name: value for name, value in told.items() if value}


class ProxyProcess:
    """A running proxy, and what it has said.

    Attributes:
        url: Without a path.
        lines: Of standard output and standard error.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        command: Sequence[str] = MODULE,
        *,
        started: str = "Listening at ",
        cwd: Any = None,
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.said(started).split(started)[1].split(",")[0].split('"')[0]
        self.url = self.url.split(" ")[0].removesuffix("/metrics.")

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def said(self, text: str, times: int = 1) -> str:
        """Return the line that has a text, once it is there so often."""

        def look() -> str | None:
            found = [line for line in self.lines if text in line]
            return found[times - 1] if len(found) >= times else None

        return self.wait(look, f"it did not say {text!r}")

    def wait(self, condition: Callable[[], Any], what: str = "it took too long") -> Any:
        """Return a condition's value once it is true."""
        end = time.monotonic() + _WAIT_S
        while not (value := condition()):
            lost = time.monotonic() > end or not self._reader.is_alive()
            assert not lost, f"{what}:\n{''.join(self.lines)}"
            time.sleep(0.005)
        return value

    def get(
        self, path: str, *, key: str | None = CLIENT_KEY, url: str | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of a page."""
        return ask(f"{url or self.url}{path}", key=key)

    def chat(
        self, *, key: str | None = CLIENT_KEY, stream: bool = False
    ) -> tuple[int, bytes]:
        """Return the status and the body of a chat completion."""
        return ask(f"{self.url}/v1/chat/completions", chat_body(stream=stream), key=key)

    def raw(self) -> socket.socket:
        """Return a connection."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=_WAIT_S)

    def hang_up(self) -> None:
        """Have it read its keys again."""
        self.process.send_signal(signal.SIGHUP)

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(sig)
        return self.ended()

    def ended(self) -> int:
        """Return its exit code, once it has ended."""
        code = self.process.wait(_WAIT_S)
        self._reader.join(_WAIT_S)
        return code

    @property
    def text(self) -> str:
        """All that it has said."""
        return "".join(self.lines)

    def records(self) -> list[dict[str, Any]]:
        """Return its lines, all of which are JSON."""
        return [json.loads(line) for line in self.lines]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert UPSTREAM_KEY not in self.text
        assert CLIENT_KEY not in self.text


def chat_body(*, stream: bool = False, content: str = "Hi") -> bytes:
    """Return a request."""
    body = {
        "model": "gpt-oss-120b",
        "messages": [{"role": "user", "content": content}],
        "stream": stream,
    }
    return json.dumps(body).encode()


def ask(
    url: str, body: bytes | None = None, *, key: str | None = CLIENT_KEY
) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    headers = {} if body is None else {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    request = Request(url, body, headers)
    try:
        with urlopen(request, timeout=_WAIT_S) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def fails(
    environ: Mapping[str, str], command: Sequence[str] = MODULE
) -> tuple[int, str]:
    """Return the exit code of a proxy that does not start, and what it said."""
    done = subprocess.run(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout
