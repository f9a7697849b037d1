"""What a transport is told: time limits and how to reach the network."""

from __future__ import annotations

from dataclasses import dataclass, field

ERROR_WITHIN_S = 5.0
"""How long to read a body that only explains a status."""

MAX_ERROR_BYTES = 1 << 20
"""How much of it: the longest explanation that can still be taken apart."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits on one call, in seconds; `None` is no limit.

    Attributes:
        connect_s: To a connection that is ready: TCP, proxy and TLS together.
        read_s: Without a byte, before the answer and between its parts.
        total_s: The whole call, from sending to the last byte read.
        first_byte_s: Takes the place of `read_s` until the first byte of the
            body; a stream may think longer than it may pause.
    """

    connect_s: float | None = 5.0
    read_s: float | None = 60.0
    total_s: float | None = 120.0
    first_byte_s: float | None = None

    @property
    def until_body_s(self) -> float | None:
        """The limit without a byte until the body's first byte."""
        return self.read_s if self.first_byte_s is None else self.first_byte_s


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How to reach the network; equal options share one pool of connections.

    Attributes:
        proxy: URL of a proxy; else the environment's, if `trust_env`.
        trust_env: Read `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` (and in
            lower case), `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        verify: Whether to verify certificates, or a path to a bundle or folder of
            authorities.
        socket_options: Set on each socket, as `setsockopt` takes them.
        keepalive_s: How long an unused connection is kept.
        max_idle_connections: How many unused connections are kept per host (by the
            synchronous transport); those in use are not limited.
        max_body_bytes: A longer decoded body is refused when read whole.
    """

    proxy: str | None = field(default=None, repr=False)  # it may hold a password
    trust_env: bool = True
    verify: bool | str = True
    socket_options: tuple[tuple[int, int, int], ...] | None = None
    keepalive_s: float = 60.0
    max_idle_connections: int = 1000
    max_body_bytes: int = 1 << 28
