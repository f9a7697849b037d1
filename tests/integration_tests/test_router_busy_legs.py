"""A leg that is busy for long does not keep the others from answering."""

from __future__ import annotations

import pytest
import router_legs
from call_paths import BETA, call
from router_legs import ours, router_of

from langchain_cerebras_ext.errors import AllLegsFailedError
from langchain_cerebras_ext.routing import ChatRouter

pytestmark = BETA
_running, sims = router_legs.running, router_legs.sims

WAYS = ["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
each_way = pytest.mark.parametrize("way", WAYS)


def patient(sim):
    return ours(sim, max_retries=2)


@each_way
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "options", [{}, {"total_timeout": 30}], ids=["plain", "deadline"]
)
def test_a_leg_that_is_busy_for_long_is_left_at_once(sims, way, status, options):
    first, _ = sims
    first.fail_next(status=status, headers={"retry-after": "40"}, times=None)
    router = router_of(sims, patient, breaker=True, **options)
    said = call(way, router).response_metadata["router"]
    kind = "rate_limit" if status == 429 else "server"
    assert [(one["leg"], one.get("reason")) for one in said["attempts"]] == [
        ("a", kind),
        ("b", None),
    ]
    assert len(first.chat_requests) == 1, "it was not asked again"
    assert router.health()["a"]["calls"] == (1 if kind == "server" else 0)


@each_way
def test_a_leg_that_asks_for_a_moment_gets_it(sims, way):
    first, _ = sims
    first.fail_next(status=503, headers={"retry-after-ms": "5"})
    said = call(way, router_of(sims, patient)).response_metadata["router"]
    assert said["leg"] == "a"
    assert len(first.chat_requests) == 2


@each_way
def test_the_last_leg_does_not_wait_past_the_deadline_and_its_own_error_is_told(
    sims, way
):
    first, _ = sims
    first.fail_next(status=429, headers={"retry-after": "40"}, times=None)
    router = ChatRouter(legs={"a": patient(first)}, total_timeout=30)
    with pytest.raises(AllLegsFailedError) as caught:
        call(way, router)
    assert caught.value.errors[0].status_code == 429
    assert len(first.chat_requests) == 1
