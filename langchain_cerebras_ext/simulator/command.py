"""The command that runs the simulator in the foreground."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from langchain_cerebras_ext.simulator.server import Simulator

PLACEHOLDER_KEY = "csk-simulator"


def parse_speed(text: str) -> float | str:
    """Read a speed: `instant`, `real` or a factor.

    Raises:
        ValueError: It is none of these.
    """
    if text in ("instant", "real"):
        return text
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        msg = (
            f"speed '{text}' is not valid; give 'instant', 'real' or a factor above 0."
        )
        raise ValueError(msg)
    return factor


def describe(simulator: Simulator, key: str | None) -> list[str]:
    """Return the lines that tell how to reach a running simulator."""
    shown = PLACEHOLDER_KEY if key is None else "<the key you gave>"
    return [
        f"Simulator of the Cerebras API at {simulator.base_url} (Ctrl-C ends it)",
        f"export CEREBRAS_BASE_URL={simulator.base_url}",
        f"export CEREBRAS_API_KEY={shown}",
    ]


def run_simulator(
    simulator: Simulator,
    *,
    key: str | None = None,
    echo: Callable[[str], object] = print,
    stop: threading.Event | None = None,
) -> None:
    """Serve until Ctrl-C, SIGTERM or `stop`.

    Args:
        simulator: Not yet started.
        key: The key that it asks for, if any; it is not printed.
        echo: Prints a line.
        stop: Ends the command from another thread.
    """
    ended = stop or threading.Event()
    with simulator, _signals(ended):
        for line in describe(simulator, key):
            echo(line)
        try:
            # Short waits: on Windows a wait without end cannot be interrupted.
            while simulator.running and not ended.wait(0.5):
                pass
        except KeyboardInterrupt:
            ended.set()
    echo("Simulator stopped.")


@contextmanager
def _signals(ended: threading.Event) -> Generator[None]:
    """End on SIGTERM too, as a container's stop sends it; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the caller's signature
        ended.set()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
