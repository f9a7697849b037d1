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
    from langchain_cerebras_ext.simulator.bill import Bill, BilledCall, TokenTotal
    from langchain_cerebras_ext.simulator.clock import Clock, SystemClock
    from langchain_cerebras_ext.simulator.command import run_simulator
    from langchain_cerebras_ext.simulator.engine import Engine, Settings
    from langchain_cerebras_ext.simulator.faults import FAULT_CODES, ErrorShape
    from langchain_cerebras_ext.simulator.network_faults import (
        FAULTS,
        RANDOM_FAULTS,
        FaultName,
    )
    from langchain_cerebras_ext.simulator.odd import ODD_FORMS, OddForm
    from langchain_cerebras_ext.simulator.profiles import Rates
    from langchain_cerebras_ext.simulator.records import RecordedRequest
    from langchain_cerebras_ext.simulator.scenarios import ScenarioError
    from langchain_cerebras_ext.simulator.server import Simulator

__all__ = [  # noqa: RUF022 - sorted as Python sorts
    "Answer",
    "Bill",
    "BilledCall",
    "Clock",
    "Engine",
    "ErrorShape",
    "FAULTS",
    "FAULT_CODES",
    "FaultName",
    "ODD_FORMS",
    "OddForm",
    "RANDOM_FAULTS",
    "Rates",
    "RecordedRequest",
    "ScenarioError",
    "Settings",
    "Simulator",
    "SystemClock",
    "TokenTotal",
    "ToolCall",
    "create_simulator_app",
    "run_simulator",
]

# Loaded on first use: pytest imports this package at start-up, for the plugin.
_HOMES = {
    "Answer": "answers",
    "Bill": "bill",
    "BilledCall": "bill",
    "Clock": "clock",
    "Engine": "engine",
    "ErrorShape": "faults",
    "FAULTS": "network_faults",
    "FAULT_CODES": "faults",
    "FaultName": "network_faults",
    "ODD_FORMS": "odd",
    "OddForm": "odd",
    "RANDOM_FAULTS": "network_faults",
    "Rates": "profiles",
    "RecordedRequest": "records",
    "ScenarioError": "scenarios",
    "Settings": "engine",
    "Simulator": "server",
    "SystemClock": "clock",
    "TokenTotal": "bill",
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
