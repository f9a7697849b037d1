"""Ports for servers that cannot be given a socket and are to listen at a known place."""

from __future__ import annotations

import random
import socket

_OWN = random.SystemRandom()  # workers of pytest may have seeded the other one alike


def free_port() -> int:
    """Return a loopback port that nobody listens at.

    It is none of those that the system gives away by itself: such a one may be some
    connection's own before the server has it.
    """
    while True:
        port = _OWN.randint(15_000, 30_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
