"""`cerebras-ext simulate`: the simulator in the foreground."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from langchain_cerebras_ext.cli.endpoint import read_speed
from langchain_cerebras_ext.cli.extras import require_extra

if TYPE_CHECKING:
    from pathlib import Path


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
        CerebrasConfigurationError: An option is wrong, or the port is taken.
        MissingExtraError: The simulator is not installed.
    """
    require_extra("simulator")
    from langchain_cerebras_ext.simulator import Simulator, run_simulator

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
    )
    # Ctrl-C is how a server ends: it is no failure, whenever it comes.
    with contextlib.suppress(KeyboardInterrupt):
        run_simulator(simulator, key=options.key, echo=typer.echo)
