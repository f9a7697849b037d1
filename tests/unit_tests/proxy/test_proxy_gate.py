"""What is let in: exchanges under way, and the limits and budgets of keys."""

import asyncio
import gc
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from langchain_cerebras_ext.costs._usage import Counts
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.errors import LedgerError
from langchain_cerebras_ext.proxy.exchange import Exchange
from langchain_cerebras_ext.proxy.gate import Gate
from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.proxy.settings import Settings, Upstream

UPSTREAM = Upstream(base_url="http://127.0.0.1:9")


def gate(**given):
    return Gate(Settings(upstream=UPSTREAM, **given))


def exchange(key="alice", model="gpt-oss-120b", size=400, most=None):
    return Exchange(
        request_id="req-1",
        trace_id="0" * 32,
        span_id="0" * 16,
        started_at=datetime.now(UTC),
        began=0.0,
        method="POST",
        path="/v1/chat/completions",
        operation="chat",
        key_id=key,
        model=model,
        prompt_bytes=size,
        max_output_tokens=most,
    )


def ended(made, tokens=None, usd=None):
    """Let an exchange have been sent, and have used and cost something."""
    made.upstream_began = 1.0
    if tokens is not None:
        made.detail["counts"] = Counts(tokens // 2, output=tokens - tokens // 2)
    if usd is not None:
        made.cost = SimpleNamespace(total=Decimal(usd))
    return made


async def refused(gate, made):
    before = gate.in_flight
    with pytest.raises(Refusal) as caught:
        await gate.admit(made)
    assert gate.in_flight == before
    return caught.value


def headers(refusal):
    return dict(refusal.headers)


# ------------------------------------------------------------------------- under way


async def test_so_many_exchanges_are_under_way_and_no_more():
    two = gate(max_streams=2)
    first = await two.admit(exchange())
    await two.admit(exchange())
    told = await refused(two, exchange())
    assert (told.status, told.code) == (429, "too_many_streams")
    assert told.category == "overloaded"
    assert headers(told) == {b"retry-after": b"1"}
    first.settle(ended(exchange()))
    assert two.in_flight == 1
    await two.admit(exchange())
    await two.close()


async def test_what_has_ended_twice_has_ended_once():
    one = gate(max_streams=1)
    hold = await one.admit(exchange())
    hold.settle(exchange())
    hold.settle(exchange())
    hold.release()
    assert one.in_flight == 0


async def test_nothing_configured_limits_nothing():
    free = gate(max_streams=None)
    assert free.is_idle
    for _ in range(2000):
        await free.admit(exchange())
    assert free.in_flight == 2000
    assert not gate().is_idle
    assert not gate(max_streams=None, key_requests_per_minute=1).is_idle


# -------------------------------------------------------------- requests and tokens


async def test_each_key_has_its_requests():
    limited = gate(key_requests_per_minute=3)
    for _ in range(3):
        (await limited.admit(exchange("alice"))).settle(ended(exchange(), tokens=10))
    told = await refused(limited, exchange("alice"))
    assert (told.status, told.code) == (429, "rate_limit_exceeded")
    assert (told.type, told.category) == ("requests", "rate_limit")
    assert "The limit of key 'alice' is 3 requests a minute" in told.message
    wait_s = int(headers(told)[b"retry-after"])
    assert 1 <= wait_s <= 21
    await limited.admit(exchange("bob"))


async def test_requests_that_were_not_sent_are_given_back():
    limited = gate(key_requests_per_minute=1)
    for _ in range(3):
        (await limited.admit(exchange())).settle(exchange())
    (await limited.admit(exchange())).release()
    (await limited.admit(exchange())).settle(ended(exchange(), tokens=1))
    await refused(limited, exchange())


async def test_in_open_mode_all_share_the_limits():
    limited = gate(key_requests_per_minute=1)
    await limited.admit(exchange(None))
    told = await refused(limited, exchange(None))
    assert "The limit of this proxy is" in told.message


async def test_tokens_are_reserved_and_put_right():
    limited = gate(key_tokens_per_minute=10_000)
    hold = await limited.admit(exchange(size=4000, most=8000))
    told = await refused(limited, exchange(size=4000, most=8000))
    assert "10,000 tokens a minute" in told.message
    hold.settle(ended(exchange(), tokens=500))
    await limited.admit(exchange(size=4000, most=8000))


async def test_a_key_that_used_more_than_was_reserved_has_to_wait_for_it():
    limited = gate(key_tokens_per_minute=10_000)
    hold = await limited.admit(exchange(size=400))
    hold.settle(ended(exchange(), tokens=20_000))
    told = await refused(limited, exchange(size=400))
    assert 55 <= int(headers(told)[b"retry-after"]) <= 75


async def test_what_nobody_knows_stays_spent():
    limited = gate(key_tokens_per_minute=2000)
    hold = await limited.admit(exchange(size=4000, most=1000))
    hold.settle(ended(exchange()))
    await refused(limited, exchange(size=400, most=100))


@pytest.mark.parametrize("most", [None, 500, 100_000])
async def test_a_long_answer_does_not_make_a_request_impossible(most):
    limited = gate(key_tokens_per_minute=300)
    await limited.admit(exchange(size=400, most=most))


async def test_a_prompt_that_can_never_pass_is_told_so():
    limited = gate(key_tokens_per_minute=300)
    told = await refused(limited, exchange(size=4000))
    assert "It can never pass" in told.message
    assert (told.type, told.code) == ("tokens", "rate_limit_exceeded")
    assert headers(told)[b"x-should-retry"] == b"false"


@pytest.mark.parametrize(
    ("requests", "tokens", "kind", "said"),
    [
        (1, None, "requests", "1 requests a minute"),
        (None, 2000, "tokens", "2,000 tokens a minute"),
        (1, 30_000, "requests", "1 requests a minute"),
        (60, 2000, "tokens", "2,000 tokens a minute"),
        (1, 2000, "requests", "1 requests a minute"),
    ],
)
async def test_what_is_told_is_the_limit_that_was_reached(requests, tokens, kind, said):
    """Under `type`, as OpenAI tells it."""
    limited = gate(key_requests_per_minute=requests, key_tokens_per_minute=tokens)
    await limited.admit(exchange())
    told = await refused(limited, exchange())
    assert (told.type, told.code) == (kind, "rate_limit_exceeded")
    assert f"The limit of key 'alice' is {said}, and" in told.message


async def test_a_hold_that_was_lost_does_not_stop_a_key_for_ever():
    limited = gate(key_tokens_per_minute=10_000)
    hold = await limited.admit(exchange(most=5000))
    del hold
    gc.collect()
    await limited.admit(exchange(most=4000))


# ---------------------------------------------------------------------------- budget


async def test_each_key_has_its_budget():
    limited = gate(key_budget_usd="0.05", key_budget_window="day")
    hold = await limited.admit(exchange(most=100))
    hold.settle(ended(exchange(), tokens=100, usd="0.05"))
    told = await refused(limited, exchange(most=100))
    assert (told.status, told.code) == (429, "insufficient_quota")
    assert (told.type, told.category) == ("insufficient_quota", "budget")
    assert "The budget of key 'alice' is spent" in told.message
    assert "0.05 USD is spent" in told.message
    assert 1 <= int(headers(told)[b"retry-after"]) <= 86_400
    assert headers(told)[b"x-should-retry"] == b"false"
    await limited.admit(exchange("bob", most=100))
    statuses = {status.key: status.spent for status in limited.budget.status()}
    assert statuses["alice"] == Decimal("0.05")
    await limited.close()


async def test_what_a_call_may_cost_is_reserved_before_it_is_sent():
    limited = gate(key_budget_usd="0.01")
    # 0.75 USD for a million tokens of output: the first may cost 0.0075.
    first = await limited.admit(exchange(most=10_000))
    await refused(limited, exchange(most=10_000))
    first.settle(exchange())  # it was not sent
    second = await limited.admit(exchange(most=10_000))
    second.settle(ended(exchange(), usd="0.0001"))
    await limited.admit(exchange(most=10_000))


async def test_a_cost_that_is_not_known_counts_as_was_reserved():
    limited = gate(key_budget_usd="0.01")
    (await limited.admit(exchange(most=10_000))).settle(ended(exchange()))
    await refused(limited, exchange(most=10_000))


async def test_a_total_has_no_time_after_which_to_try_again():
    limited = gate(key_budget_usd="0", key_budget_window="total")
    told = await refused(limited, exchange())
    assert b"retry-after" not in headers(told)


async def test_a_model_without_a_price_cannot_get_around_the_budget():
    limited = gate(key_budget_usd="5")
    told = await refused(limited, exchange(model="somebody's-own"))
    assert told.code == "model_not_priced"
    assert "APE_PRICES_FILE" in told.message


async def test_what_the_budget_refuses_gives_back_its_requests():
    limited = gate(key_budget_usd="0.01", key_requests_per_minute=1)
    await refused(limited, exchange(most=1_000_000))
    await limited.admit(exchange(most=10))


async def test_a_store_that_is_away_is_told_as_ours():
    limited = gate(key_budget_usd="5")

    async def away(*_):
        message = "the database is away"
        raise LedgerError(message)

    limited.budget.areserve = away
    told = await refused(limited, exchange())
    assert (told.status, told.code) == (503, "limits_unavailable")
    assert headers(told)[b"retry-after"] == b"5"


async def test_who_leaves_while_the_budget_is_asked_leaves_nothing_behind():
    limited = gate(key_budget_usd="5", key_requests_per_minute=1)

    async def forever(*_):
        await asyncio.Event().wait()

    reserve, limited.budget.areserve = limited.budget.areserve, forever
    task = asyncio.create_task(limited.admit(exchange()))
    await asyncio.sleep(0)
    assert limited.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limited.in_flight == 0
    limited.budget.areserve = reserve
    await limited.admit(exchange())


def test_a_ledger_keeps_the_budgets_over_a_restart(tmp_path):
    url = f"sqlite:///{(tmp_path / 'costs.db').as_posix()}"

    async def spend(usd):
        limited = gate(key_budget_usd="0.05", ledger_url=url)
        try:
            hold = await limited.admit(exchange(most=100))
            hold.settle(ended(exchange(), usd=usd))
        finally:
            await limited.close()

    asyncio.run(spend("0.05"))
    with pytest.raises(Refusal):
        asyncio.run(spend("0.01"))


def test_the_costs_that_are_settled_are_those_of_the_package():
    made = ended(exchange())
    made.cost = Cost(output=Decimal("0.02"))
    assert made.cost.total == Decimal("0.02")
