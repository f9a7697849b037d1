"""A local Cerebras Inference API, for tests, notebooks and demos.

Example:
    >>> from langchain_cerebras_ext.simulator import Simulator
    >>> with Simulator() as sim:
    ...     sim.reply("Hello!")
    ...     sim.pending_replies
    1
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.answers import Answer, ToolCall
    from langchain_cerebras_ext.simulator.app import create_simulator_app
    from langchain_cerebras_ext.simulator.clock import Clock, SystemClock
    from langchain_cerebras_ext.simulator.command import run_simulator
    from langchain_cerebras_ext.simulator.engine import Engine, Settings
    from langchain_cerebras_ext.simulator.profiles import Rates
    from langchain_cerebras_ext.simulator.records import RecordedRequest
    from langchain_cerebras_ext.simulator.scenarios import ScenarioError
    from langchain_cerebras_ext.simulator.server import Simulator

__all__ = [
    "Answer",
    "Clock",
    "Engine",
    "Rates",
    "RecordedRequest",
    "ScenarioError",
    "Settings",
    "Simulator",
    "SystemClock",
    "ToolCall",
    "create_simulator_app",
    "run_simulator",
]

# Loaded on first use: pytest imports this package at start-up, for the plugin.
_HOMES = {
    "Answer": "answers",
    "Clock": "clock",
    "Engine": "engine",
    "Rates": "profiles",
    "RecordedRequest": "records",
    "ScenarioError": "scenarios",
    "Settings": "engine",
    "Simulator": "server",
    "SystemClock": "clock",
    "ToolCall": "answers",
    "create_simulator_app": "app",
    "run_simulator": "command",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
