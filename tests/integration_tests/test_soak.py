"""Thousands of calls against a service that fails by chance, and what is left of them.

`pytest -n 0 -rP tests/integration_tests/test_soak.py` tells the figures.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from types import TracebackType

import pytest
from soak import FAULTY, SLOW_FAULTS, Service, Soak, make_model, quick_faults
from stages import open_sockets, wait_for

from langchain_cerebras_ext._observe import observers

CALLS = int(os.environ.get("SOAK_CALLS", "5_000"))
"""Each kind of failure comes often; `SOAK_CALLS=100_000` is a long one."""
ROUNDS = 4
KEY = "csk-soak-" + "k1" * 20
FEW = 10
CAN_COUNT_SOCKETS = Path("/dev/fd").is_dir()
MOST_BLOCKS = CALLS / 10
"""By how many blocks of memory half of the calls may let the process grow: if one call
in a hundred left its error behind, it would be more."""


@pytest.mark.timeout(300)
@pytest.mark.unwatched  # memory is measured; the soak looks for the key by itself
@pytest.mark.filterwarnings(
    "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
)
def test_every_one_of_thousands_of_calls_is_accounted_for_and_leaves_nothing() -> None:
    """Half in one loop, half in threads, 50 at once, a tenth of the requests failing.

    Each ends once, in its own answer or a typed error, and in time; each token that the
    service billed is recorded, or its request is listed as unknown.
    """
    threads, watching = set(threading.enumerate()), observers()
    with Service() as service:
        sockets = open_sockets() if CAN_COUNT_SOCKETS else set()
        soak = Soak(service, make_model(service.base_url, KEY), KEY)
        asyncio.run(soak.run(CALLS, ROUNDS))
        if CAN_COUNT_SOCKETS:
            assert wait_for(lambda: open_sockets() <= sockets), "sockets are left"
    account = soak.account
    growth = soak.gauges[-1].growth(soak.gauges[ROUNDS // 2 - 1])
    print(account, growth, sep="\n")

    assert soak.wrong == []
    assert account.calls.total() == CALLS
    assert set(account.calls) == {"answer", "error", "left", "cancelled"}
    assert account.billed == account.recorded + account.unknown
    assert account.billed_tokens == account.recorded_tokens + account.unknown_tokens

    assert quick_faults() <= set(account.faults), "all kinds of failures have come"
    assert len(set(SLOW_FAULTS) & set(account.faults)) > 1
    failed = account.requests - account.faults["none"]
    assert failed / account.requests == pytest.approx(FAULTY, abs=0.02)
    assert account.calls["answer"] > 0.75 * CALLS, "tries again where that helps"
    assert {"CerebrasTimeoutError", "StreamInterruptedError"} <= set(account.kinds)

    assert growth.blocks < MOST_BLOCKS, growth
    assert growth.objects[TracebackType] < FEW, "errors are left"
    assert wait_for(lambda: set(threading.enumerate()) <= threads), "threads are left"
    assert observers() == watching
    if not CAN_COUNT_SOCKETS:
        pytest.skip("all is well, but sockets can only be counted in /dev/fd")
