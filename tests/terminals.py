"""Runs commands as a person would: in a terminal that is real to them, or in pipes."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COMMAND = [sys.executable, "-m", "langchain_cerebras_ext"]

_TYPING_S = 0.2

# Makes the terminal the process's own, so that Ctrl-C typed there is a signal.
_ADOPT = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass
class Ended:
    """How a command in a terminal ended: exit code and all that was on the screen."""

    code: int
    raw: str
    seconds: float

    @property
    def text(self) -> str:
        """What was shown, colours and cursor movements left out."""
        return _ESCAPES.sub("", self.raw).replace("\r", "")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: ours, without colours forced or forbidden."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    return {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(extra or {})}


def in_pipes(
    *args: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run our command with pipes for input and output."""
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env=environment(env),
        check=False,
    )


def in_terminal(
    *args: str,
    keys: Sequence[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
    stdout: int | None = None,
) -> Ended:
    """Run our command in a terminal of 80 columns.

    Args:
        args: What follows the command's name.
        keys: What to wait for on the screen, and what to type then, in order.
        env: More variables.
        timeout_s: When to give up.
        stdout: A descriptor for standard output instead of the terminal.
    """
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", _ADOPT, *COMMAND, *args],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=environment(env),
        start_new_session=True,
        close_fds=True,
    )
    os.close(theirs)
    shown, waiting, searched = b"", list(keys), 0
    try:
        while time.monotonic() - started < timeout_s:
            ready, _, _ = select.select([ours], [], [], 0.1)
            try:
                piece = os.read(ours, 65_536) if ready else b""
            except OSError:  # The other end was closed: the process has ended.
                break
            shown += piece
            if waiting:
                seen = _ESCAPES.sub("", shown.decode("utf-8", "replace"))
                at = seen.find(waiting[0][0], searched)
                if at >= 0:
                    searched = at + len(waiting[0][0])
                    # `input` misses a signal that comes while it is being set up.
                    time.sleep(_TYPING_S)
                    os.write(ours, waiting.pop(0)[1].encode())
            elif ready and not piece:
                break
        code = process.wait(timeout=10)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    return Ended(code, shown.decode("utf-8", "replace"), time.monotonic() - started)
