"""A real PostgreSQL on a free loopback port, as the distribution's package has it.

It keeps its files in a folder of its own and is in no hurry to see them on the disk.
PostgreSQL refuses to run as root; then it runs as the package's own user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from free_ports import free_port
from services import missing

MISSING = (
    "NO POSTGRESQL: the ledger that machines share was NOT tested. Install one: "
    "apt-get install postgresql (its programs are found on the PATH and below "
    "/usr/lib/postgresql), and run as root or as a user that may start it."
)
PASSWORD = "correct-horse"
_START_S = 30.0
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}


def find_programs():
    """Return the folder of `initdb` and `postgres`; `None` if there is none."""
    found = shutil.which("postgres")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _identity():
    """Return the options that start a program as somebody who is not root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return None


class PostgresServer:
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        url: The database `costs`, as the ledger takes it, with the password.
    """

    def __init__(self, programs):
        self._programs = programs
        self._identity = _identity()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if self._identity:
            os.chown(self._folder, self._identity["user"], self._identity["group"])
        self._data = self._folder / "data"
        word = self._folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        self._process = None
        subprocess.run(
            [
                programs / "initdb",
                f"--pgdata={self._data}",
                "--username=tester",
                "--auth=scram-sha-256",
                f"--pwfile={word}",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            cwd=self._folder,
            capture_output=True,
            **self._identity,
        )
        self.port = free_port()
        self.url = self.url_of("postgres")
        self.start()

    def url_of(self, database):
        """Return the URL of a database."""
        return (
            f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{self.port}/{database}"
        )

    def make_database(self, name):
        """Make a database; returns its URL."""
        import psycopg

        place = self.url.replace("+psycopg", "")
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def start(self):
        """Start it, and wait until it answers."""
        options = {**_OPTIONS, "port": str(self.port)}
        command = [self._programs / "postgres", "-D", self._data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._identity,
            )
        self._wait()

    def _wait(self):
        import psycopg

        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url.replace("+psycopg", "")).close()
                return
            time.sleep(0.05)
        said = (self._folder / "log").read_text(errors="replace")[-2_000:]
        self.remove()
        msg = f"The PostgreSQL of the tests did not start: {said}"
        raise RuntimeError(msg)

    def stop(self):
        """End it at once, as a machine that fails; its files stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(3)  # immediate shutdown
            self._process.wait()

    def remove(self):
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def find_server():
    """Return the folder of the programs, or skip the test with a loud reason."""
    programs = find_programs()
    if programs is None or _identity() is None:
        missing(MISSING)
    return programs
