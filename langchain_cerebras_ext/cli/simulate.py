"""`cerebras-ext simulate`: the simulator in the foreground."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import typer

from langchain_cerebras_ext.cli.endpoint import read_speed
from langchain_cerebras_ext.cli.extras import require_extra
from langchain_cerebras_ext.cli.failures import CommandError

if TYPE_CHECKING:
    from pathlib import Path


_PORTS: Final = range(65_536)


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What the command line said."""

    host: str = "127.0.0.1"
    port: int = 0
    key: str | None = field(default=None, repr=False)
    speed: str = "real"
    seed: int = 0
    scenario: Path | None = None
    tier: str | None = None
    allow_remote: bool = False


def run_simulate(options: SimulateOptions) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        CommandError: An option is wrong.
        CerebrasConfigurationError: The scenario is wrong, or the port is taken.
        MissingExtraError: The simulator is not installed.
    """
    require_extra("simulator")
    from langchain_cerebras_ext.simulator import Simulator, run_simulator

    _check(options)
    tier: Any = options.tier  # its values are checked there
    simulator = Simulator(
        host=options.host,
        port=options.port,
        key=options.key,
        speed=read_speed(options.speed),
        seed=options.seed,
        scenario=options.scenario,
        tier=tier,
        allow_remote=options.allow_remote,
        # Nobody asks what it was asked, and it may run for weeks.
        keep_requests=0,
    )
    # Ctrl-C is how a server ends: it is no failure, whenever it comes.
    with contextlib.suppress(KeyboardInterrupt):
        run_simulator(simulator, key=options.key, echo=typer.echo)


def _check(options: SimulateOptions) -> None:
    """Check what `Simulator` would refuse in the words of Python.

    Raises:
        CommandError: An option is wrong.
    """
    from langchain_cerebras_ext.simulator.server import TIERS, is_loopback

    if options.port not in _PORTS:
        msg = f"--port={options.port} is not valid; give 0 (any free port) to 65535."
        raise CommandError(msg)
    if options.tier is not None and options.tier not in TIERS:
        msg = (
            f"--tier='{options.tier}' is not valid; give {' or '.join(TIERS)}, or "
            "leave it out for no limits."
        )
        raise CommandError(msg)
    if not options.allow_remote and not is_loopback(options.host):
        msg = (
            f"--host={options.host} would let other machines in. The simulator is for "
            "this machine only; add --allow-remote if that is wanted."
        )
        raise CommandError(msg)
