"""Budgets of one process: what is held back, what is counted, what is said."""

from __future__ import annotations

import copy
import gc
import inspect
import logging
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from budget_worker import FakeClock

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.errors import (
    BudgetExceeded,
    CerebrasConfigurationError,
    CerebrasCostWarning,
)

USD = Decimal
ADA = CallScope("gpt-oss-120b", user="ada", session="s1", tags=("red",), run="r1")
BOB = CallScope("zai-glm-4.7", user="bob", session="s2", tags=("blue",), run="r2")
NOBODY = CallScope("gpt-oss-120b")


@pytest.fixture
def clock():
    return FakeClock()


def only(budget):
    (status,) = budget.status()
    return status


def by_key(budget):
    return {status.key: status for status in budget.status()}


# ------------------------------------------------------------- reserve, then settle


def test_what_a_call_may_cost_is_reserved_and_what_it_cost_is_spent():
    budget = Budget("5.00")
    hold = budget.reserve(ADA, USD("0.75"))
    assert hold.amount == USD("0.75")
    status = only(budget)
    assert (status.spent, status.reserved) == (0, USD("0.75"))
    assert status.remaining == USD("4.25")
    hold.settle(USD("0.10"))
    status = only(budget)
    assert (status.spent, status.reserved, status.calls) == (USD("0.10"), 0, 1)
    assert status.remaining == USD("4.90")
    assert status.assumed == 0


def test_a_call_that_was_not_made_costs_nothing():
    budget = Budget("5.00")
    budget.reserve(ADA, USD(4)).release()
    status = only(budget)
    assert (status.spent, status.reserved, status.calls) == (0, 0, 0)


def test_a_call_whose_cost_is_not_known_counts_with_what_it_had_reserved():
    budget = Budget("5.00")
    budget.reserve(ADA, USD("0.5")).settle(None)
    status = only(budget)
    assert (status.spent, status.assumed) == (USD("0.5"), USD("0.5"))


def test_the_call_that_would_overdraw_is_refused_and_the_one_that_just_fits_is_not():
    budget = Budget("1.00")
    budget.reserve(ADA, USD("0.40"))
    budget.reserve(ADA, USD("0.60"))
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.000000000001"))
    assert only(budget).reserved == 1


def test_calls_under_way_count_before_they_end():
    """Calls at once cannot each find the same money."""
    budget = Budget("1.00")
    passed = 0
    for _ in range(100):
        try:
            budget.reserve(ADA, USD("0.30"))
        except BudgetExceeded:
            continue
        passed += 1
    assert passed == 3


def test_a_call_may_cost_more_than_it_had_reserved():
    budget = Budget("1.00")
    budget.reserve(ADA, USD("0.90")).settle(USD("1.25"))
    status = only(budget)
    assert (status.spent, status.remaining) == (USD("1.25"), 0)
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.01"))


def test_what_was_not_used_is_there_for_others():
    budget = Budget("1.00")
    first = budget.reserve(ADA, USD("1.00"))
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.10"))
    first.settle(USD("0.20"))
    assert budget.reserve(ADA, USD("0.80")) is not None


@pytest.mark.parametrize(
    ("ends", "spent"),
    [
        (["settle", "settle"], "0.10"),
        (["settle", "release"], "0.10"),
        (["release", "settle"], "0"),
        (["release", "release"], "0"),
    ],
    ids=" then ".join,
)
def test_the_first_end_counts_and_the_others_do_nothing(ends, spent):
    budget = Budget(1)
    hold = budget.reserve(ADA, USD("0.5"))
    for end in ends:
        hold.settle(USD("0.10")) if end == "settle" else hold.release()
    status = only(budget)
    assert (status.spent, status.reserved) == (USD(spent), 0)


@pytest.mark.parametrize("cost", ["-1", "NaN", "Infinity", "1e400"])
def test_a_cost_that_is_no_amount_is_logged_and_taken_as_unknown(cost, caplog):
    budget = Budget(1)
    budget.reserve(ADA, USD("0.5")).settle(USD(cost))
    assert only(budget).spent == USD("0.5")
    assert "no amount in USD" in caplog.text


def test_a_cost_given_as_a_float_does_not_break_the_call(caplog):
    budget = Budget(1)
    budget.reserve(ADA, USD("0.5")).settle(0.25)
    assert only(budget).assumed == USD("0.5")
    assert "0.25" in caplog.text


@pytest.mark.parametrize("amount", [USD(-1), USD("NaN"), 0.5, "1"], ids=repr)
def test_only_an_amount_can_be_reserved(amount):
    with pytest.raises(CerebrasConfigurationError, match="must be a Decimal in USD"):
        Budget(1).reserve(ADA, amount)


def test_a_free_call_passes_even_when_everything_is_spent():
    budget = Budget("1.00")
    budget.reserve(ADA, USD(1)).settle(USD(2))
    budget.reserve(ADA, USD(0)).settle(USD(0))
    assert only(budget).calls == 2


def test_a_limit_of_zero_lets_only_free_calls_pass():
    budget = Budget(0)
    assert budget.reserve(ADA, USD(0)) is not None
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.000001"))


def test_sums_are_exact_whatever_precision_the_program_has_set():
    budget = Budget("1000000000")
    with localcontext(prec=3):
        for _ in range(3):
            budget.reserve(ADA, USD("123456789.123456789012")).settle(
                USD("111111111.111111111111")
            )
        status = only(budget)
        remaining = status.remaining
    assert status.spent == USD("333333333.333333333333")
    assert remaining == USD("666666666.666666666667")


def test_what_is_finer_than_money_is_counted_is_reserved_rounded_up():
    budget = Budget(1)
    hold = budget.reserve(ADA, USD("0.0000000000001"))
    assert hold.amount == USD("0.000000000001")
    hold.settle(USD("0.0000000000001"))
    assert only(budget).spent == 0


async def test_the_asynchronous_way_does_the_same():
    budget = Budget("1.00")
    hold = await budget.areserve(ADA, USD("0.9"))
    with pytest.raises(BudgetExceeded):
        await budget.areserve(ADA, USD("0.2"))
    hold.settle(USD("0.1"))
    (status,) = await budget.astatus()
    assert status.spent == USD("0.1")
    assert await Budget(1, only={"user": "eve"}).areserve(ADA, USD(9)) is None


# ------------------------------------------------------------------------- accounts


@pytest.mark.parametrize(
    ("per", "keys"),
    [
        ("user", ["ada", "bob", None]),
        ("session", ["s1", "s2", None]),
        ("tag", ["blue", "red", None]),
        ("run", ["r1", "r2", None]),
        ("model", ["gpt-oss-120b", "zai-glm-4.7"]),
        ("provider", ["cerebras"]),
        ("all", [None]),
    ],
)
def test_each_value_has_an_account_of_its_own(per, keys):
    budget = Budget("1.00", per=per)
    for scope in (ADA, BOB, NOBODY):
        budget.reserve(scope, USD("0.10")).settle(USD("0.10"))
    accounts = by_key(budget)
    assert set(accounts) == set(keys)
    assert all(status.per == per for status in accounts.values())


def test_one_user_that_has_spent_everything_does_not_hinder_another():
    budget = Budget("1.00", per="user")
    budget.reserve(ADA, USD(1))
    with pytest.raises(BudgetExceeded, match="for user 'ada'"):
        budget.reserve(ADA, USD("0.01"))
    assert budget.reserve(BOB, USD(1)) is not None
    assert budget.reserve(NOBODY, USD(1)) is not None
    with pytest.raises(BudgetExceeded, match="for calls without a user"):
        budget.reserve(NOBODY, USD(1))


def test_a_call_with_several_tags_must_fit_in_all_accounts_or_takes_from_none():
    budget = Budget("1.00", per="tag")
    both = ADA._replace(tags=("red", "blue", "red"))
    budget.reserve(BOB, USD("0.70"))  # blue
    with pytest.raises(BudgetExceeded, match="for tag 'blue'"):
        budget.reserve(both, USD("0.40"))
    assert by_key(budget)["red"].reserved == 0
    budget.reserve(both, USD("0.30")).settle(USD("0.20"))
    accounts = by_key(budget)
    assert accounts["red"].spent == USD("0.20")
    assert accounts["blue"].spent == USD("0.20")
    assert accounts["blue"].reserved == USD("0.70")


def test_some_accounts_may_have_limits_of_their_own():
    budget = Budget("1.00", per="user", limits={"ada": "3.00"})
    budget.reserve(ADA, USD("2.50"))
    with pytest.raises(BudgetExceeded):
        budget.reserve(BOB, USD("2.50"))
    assert by_key(budget)["ada"].limit == 3


@pytest.mark.parametrize(
    ("only", "concerned"),
    [
        ({"model": "gpt-oss-120b"}, [ADA, NOBODY]),
        ({"user": ["ada", "bob"]}, [ADA, BOB]),
        ({"user": ["ada", "bob"], "model": "zai-glm-4.7"}, [BOB]),
        ({"tag": ["red", "green"]}, [ADA]),
        ({"provider": "openai"}, []),
        (None, [ADA, BOB, NOBODY]),
    ],
)
def test_a_budget_may_concern_some_calls_only(only, concerned):
    budget = Budget("1.00", only=only)
    for scope in (ADA, BOB, NOBODY):
        hold = budget.reserve(scope, USD("0.10"))
        assert (hold is not None) == (scope in concerned)


def test_only_the_wanted_tags_have_accounts():
    budget = Budget("1.00", per="tag", only={"tag": ["red"]})
    budget.reserve(ADA._replace(tags=("red", "blue")), USD("0.10"))
    assert set(by_key(budget)) == {"red"}


def test_a_budget_that_nobody_has_used_shows_itself():
    status = only(Budget("5.00", per="user", window="month"))
    assert (status.name, status.key, status.remaining) == ("user/month", None, 5)


def test_a_status_as_json_has_money_as_text():
    budget = Budget("5.00")
    budget.reserve(ADA, USD("0.5"))
    told = only(budget).to_dict()
    assert (told["limit"], told["remaining"]) == ("5.00", "4.50")
    assert (told["spent"], told["reserved"]) == ("0.00", "0.50")
    assert told["window_start"].endswith("Z")
    assert told["per"] == "all"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0.00"),
        ("5", "5.00"),
        ("0.1", "0.10"),
        ("0.125", "0.125"),
        ("0.000000000001", "1E-12"),
        ("123456.000000000001", "123456.000000000001"),
    ],
)
def test_amounts_are_shown_with_two_decimals_at_least(amount, shown):
    status = only(Budget(amount))
    assert str(status.limit) == shown
    assert status.to_dict()["limit"] == f"{status.limit:f}"


def test_the_share_is_of_what_was_spent():
    budget = Budget("5.00")
    budget.reserve(ADA, USD(1)).settle(USD("1.25"))
    assert only(budget).share == USD("0.25")
    assert only(Budget(0)).share is None


# ------------------------------------------------------------------ what is exceeded


def test_the_error_names_everything_and_what_to_do(clock):
    budget = Budget("5.00", per="user", window="day", name="team", clock=clock)
    budget.reserve(ADA, USD(4)).settle(USD("4.50"))
    budget.reserve(ADA, USD("0.25"))
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(ADA, USD("0.50"))
    error = caught.value
    assert (error.budget, error.limit, error.spent) == ("team", 5, USD("4.50"))
    assert (error.reserved, error.estimate) == (USD("0.25"), USD("0.50"))
    assert error.is_retryable is False
    assert error.message == (
        "Budget 'team' allows 5.00 USD for user 'ada' in one day (until 2026-11-26 "
        "00:00:00 UTC). 4.50 USD is spent, 0.25 USD is reserved by calls under way, "
        "and this call may cost 0.50 USD. Wait until then, raise the limit, or let the "
        "call cost less: max_completion_tokens is reserved in full (calls under way "
        "give back what they do not use)."
    )
    assert (error.per, error.key) == ("user", "ada")
    assert error.window_end == datetime(2026, 11, 26, tzinfo=UTC)
    again = pickle.loads(pickle.dumps(error))
    assert (again.spent, again.message) == (error.spent, error.message)
    assert (again.key, again.window_end) == (error.key, error.window_end)


def test_who_would_wait_in_vain_is_not_told_to_wait(clock):
    """An answer of 429 with `Retry-After` may be made of `window_end`."""
    budget = Budget("1.00", clock=clock)
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(ADA, USD("1.01"))
    assert "Raise the limit, or let the call cost less" in caught.value.message
    assert caught.value.window_end is None


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("run", " in one run. "),
        ("total", " in all. "),
        ("month", " in one month (until 2026-12-01 00:00:00 UTC). "),
        (
            timedelta(hours=6),
            " in one window of 21600 s (until 2026-11-25 12:00:00 UTC). ",
        ),
    ],
    ids=str,
)
def test_the_error_says_which_window_it_is(window, said, clock):
    budget = Budget("1.00", window=window, clock=clock)
    budget.reserve(ADA, USD("0.5"))
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(ADA, USD(1))
    assert said in caught.value.message
    assert ("Wait until then" in caught.value.message) == ("until" in said)


def test_warn_says_so_once_for_each_account_and_window_and_lets_pass(clock):
    budget = Budget("1.00", per="user", action="warn", clock=clock)
    budget.reserve(ADA, USD(1))
    with pytest.warns(CerebrasCostWarning, match="for user 'ada'") as caught:
        budget.reserve(ADA, USD(1)).settle(USD("0.5"))
    assert caught[0].filename == __file__
    assert budget.reserve(ADA, USD(1)) is not None  # warned of: an error in the tests
    with pytest.warns(CerebrasCostWarning, match="for user 'bob'"):
        budget.reserve(BOB, USD(2))
    clock.pass_s(86_400)
    with pytest.warns(CerebrasCostWarning):
        budget.reserve(ADA, USD(2))


def test_warn_warns_of_each_tag_that_is_short():
    budget = Budget("1.00", per="tag", action="warn")
    with pytest.warns(CerebrasCostWarning, match="'red'"):
        budget.reserve(ADA, USD(2))
    with pytest.warns(CerebrasCostWarning, match="'blue'") as caught:
        budget.reserve(ADA._replace(tags=("red", "blue")), USD(2))
    assert len(caught) == 1


def test_of_very_many_accounts_it_does_not_remember_for_ever_whom_it_has_warned_of():
    budget = Budget(0, per="user", action="warn")

    def call_for_everybody():
        for number in range(10_010):
            budget.reserve(ADA._replace(user=f"u{number}"), USD(1)).release()

    with pytest.warns(CerebrasCostWarning):
        call_for_everybody()
    assert len(budget._warned) == 10_000


def test_where_warnings_are_errors_nothing_stays_reserved():
    budget = Budget("1.00", action="warn")
    with pytest.raises(CerebrasCostWarning):
        budget.reserve(ADA, USD(2))
    assert only(budget).reserved == 0


@pytest.mark.parametrize("given", ["action", "on_exceeded"])
def test_call_asks_and_lets_pass_what_is_not_stopped(given):
    asked = []
    options = {"action": asked.append}
    if given == "on_exceeded":
        options = {"action": "call", "on_exceeded": asked.append}
    budget = Budget("1.00", **options)
    budget.reserve(ADA, USD(1))
    for _ in range(2):
        assert budget.reserve(ADA, USD("0.25")) is not None
    assert [status.estimate for status in asked] == [USD("0.25")] * 2
    assert [status.reserved for status in asked] == [1, USD("1.25")]
    assert asked[0].action == "call"


def test_what_the_asked_raises_stops_the_call():
    def stop(status):
        msg = f"{status.name} is spent"
        raise RuntimeError(msg)

    budget = Budget("1.00", action=stop)
    with pytest.raises(RuntimeError, match="all/day \\(call\\) is spent"):
        budget.reserve(ADA, USD(2))
    assert only(budget).reserved == 0


def test_the_asked_may_use_the_budget_itself():
    seen = []
    budget = Budget("1.00", action=lambda _: seen.append(only(budget).remaining))
    budget.reserve(ADA, USD(2))
    assert seen == [1]


# --------------------------------------------------------------- prices not known


def test_a_call_without_a_price_is_refused_and_says_how_to_give_one():
    budget = Budget("5.00")
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(ADA, None)
    assert "model 'gpt-oss-120b'" in caught.value.message
    assert "PriceBook" in caught.value.message
    assert "unpriced='allow'" in caught.value.message
    assert caught.value.estimate is None


@pytest.mark.parametrize(
    "options",
    [{"unpriced": "allow"}, {"action": "warn"}, {"action": lambda _: None}],
    ids=["allow", "warn", "call"],
)
def test_calls_without_a_price_are_counted_where_they_may_pass(options):
    budget = Budget("5.00", **options)
    hold = budget.reserve(ADA, None)
    assert hold.amount == 0
    hold.settle(None)
    status = only(budget)
    assert (status.unpriced_calls, status.calls, status.spent) == (1, 1, 0)


def test_a_price_that_is_known_in_the_end_counts():
    budget = Budget("5.00", unpriced="allow")
    budget.reserve(ADA, None).settle(USD("0.5"))
    status = only(budget)
    assert (status.unpriced_calls, status.spent) == (0, USD("0.5"))


def test_a_call_without_a_price_does_not_pass_when_everything_is_spent():
    budget = Budget("1.00", unpriced="allow")
    budget.reserve(ADA, USD(1))
    with pytest.raises(BudgetExceeded, match="may cost is not known"):
        budget.reserve(ADA, None)


def test_refuse_refuses_whatever_the_action():
    budget = Budget("5.00", action="warn", unpriced="refuse")
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, None)


# ---------------------------------------------------------------------- thresholds


@pytest.fixture
def told():
    return []


def thresholds(told, **options):
    return Budget(
        "1.00",
        on_threshold=lambda status, share: told.append(
            (status.key, share, status.spent)
        ),
        **options,
    )


def test_each_threshold_is_told_once(told):
    budget = thresholds(told)
    for _ in range(10):
        budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))
    assert told == [
        (None, USD("0.5"), USD("0.5")),
        (None, USD("0.8"), USD("0.8")),
        (None, USD(1), USD(1)),
    ]


def test_one_call_may_reach_several_thresholds(told):
    budget = thresholds(told)
    budget.reserve(ADA, USD("0.9")).settle(USD("0.9"))
    assert [share for _, share, _ in told] == [USD("0.5"), USD("0.8")]


def test_what_is_only_reserved_reaches_no_threshold(told):
    budget = thresholds(told)
    budget.reserve(ADA, USD("0.9")).release()
    assert told == []


def test_the_whole_is_told_too_when_a_call_finds_too_little(told):
    budget = thresholds(told)
    budget.reserve(ADA, USD("0.6")).settle(USD("0.6"))
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            budget.reserve(ADA, USD("0.5"))
    assert [share for _, share, _ in told] == [USD("0.5"), USD(1)]


def test_each_account_and_window_has_its_own(told, clock):
    budget = thresholds(told, per="user", clock=clock, thresholds=[0.5])
    for _ in range(2):
        for scope in (ADA, BOB):
            budget.reserve(scope, USD("0.6")).settle(USD("0.6"))
        clock.pass_s(86_400)
    assert [key for key, _, _ in told] == ["ada", "bob", "ada", "bob"]


def test_a_threshold_may_be_above_the_limit(told):
    budget = thresholds(told, thresholds=["1.5"])
    budget.reserve(ADA, USD("0.9")).settle(USD("1.6"))
    assert [share for _, share, _ in told] == [USD("1.5")]


def test_what_the_told_raises_is_logged_and_dropped(caplog):
    def fails(status, share):
        raise RuntimeError("boom")

    budget = Budget("1.00", on_threshold=fails)
    budget.reserve(ADA, USD("0.6")).settle(USD("0.6"))
    assert only(budget).spent == USD("0.6")
    assert "boom" in caplog.text


def test_the_told_may_use_the_budget():
    seen = []

    def tell(status, share):
        seen.append(only(budget).spent)
        budget.reserve(ADA, USD("0.1")).settle(USD("0.1"))

    budget = Budget("1.00", on_threshold=tell, thresholds=[0.5])
    budget.reserve(ADA, USD("0.6")).settle(USD("0.6"))
    assert seen == [USD("0.6")]
    assert only(budget).spent == USD("0.7")


# ----------------------------------------------------------------- ends that never come


def test_a_reservation_whose_end_never_comes_counts_as_spent_after_its_lease(clock):
    budget = Budget("5.00", lease_s=60, clock=clock)
    budget.reserve(ADA, USD("0.5"))
    clock.pass_s(59.9)
    assert only(budget).reserved == USD("0.5")
    clock.pass_s(0.2)
    status = only(budget)
    assert (status.reserved, status.spent) == (0, USD("0.5"))
    assert (status.assumed, status.calls) == (USD("0.5"), 1)


def test_it_is_given_back_where_that_was_asked_for(clock):
    budget = Budget("5.00", lease_s=60, lost="released", clock=clock)
    hold = budget.reserve(ADA, USD("0.5"))
    clock.pass_s(61)
    status = only(budget)
    assert (status.reserved, status.spent, status.calls) == (0, 0, 0)
    hold.settle(USD("0.2"))
    assert only(budget).spent == USD("0.2")


@pytest.mark.parametrize(
    ("end", "spent", "assumed", "calls"),
    [
        (lambda hold: hold.settle(USD("0.2")), "0.2", "0", 1),
        (lambda hold: hold.settle(USD("0.9")), "0.9", "0", 1),
        (lambda hold: hold.settle(None), "0.5", "0.5", 1),
        (lambda hold: hold.release(), "0", "0", 0),
    ],
    ids=["less", "more", "not known", "released"],
)
def test_an_end_that_comes_late_replaces_the_guess(end, spent, assumed, calls, clock):
    budget = Budget("5.00", lease_s=60, clock=clock)
    hold = budget.reserve(ADA, USD("0.5"))
    clock.pass_s(61)
    assert only(budget).spent == USD("0.5")
    end(hold)
    end(hold)
    status = only(budget)
    assert (status.spent, status.assumed) == (USD(spent), USD(assumed))
    assert (status.reserved, status.calls) == (0, calls)


def test_a_late_end_of_a_call_without_a_price_is_counted_once(clock):
    budget = Budget("5.00", unpriced="allow", lease_s=60, clock=clock)
    hold = budget.reserve(ADA, None)
    clock.pass_s(61)
    assert only(budget).unpriced_calls == 1
    hold.settle(USD("0.2"))
    status = only(budget)
    assert (status.unpriced_calls, status.spent, status.calls) == (0, USD("0.2"), 1)


def test_a_lost_reservation_reaches_thresholds(clock, told):
    budget = thresholds(told, lease_s=60, clock=clock)
    budget.reserve(ADA, USD("0.6"))
    clock.pass_s(61)
    budget.status()
    assert [share for _, share, _ in told] == [USD("0.5")]


def test_an_abandoned_hold_that_is_collected_leaks_nothing(clock):
    budget = Budget("1.00", lease_s=60, clock=clock)
    budget.reserve(ADA, USD("0.8"))
    gc.collect()
    with pytest.raises(BudgetExceeded):
        budget.reserve(ADA, USD("0.8"))
    clock.pass_s(61)
    assert only(budget).reserved == 0
    assert not budget._book._open


# ----------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("limit", "as_read"),
    [(USD("5.00"), "5.00 USD"), (5, "5.00 USD"), ("0.125", "0.125 USD")],
)
def test_a_limit_may_be_a_decimal_an_int_or_a_text(limit, as_read):
    assert f"limit={as_read}" in repr(Budget(limit))


def test_a_float_is_refused_and_says_what_to_give():
    with pytest.raises(CerebrasConfigurationError, match=r'limit="5\.1"') as caught:
        Budget(5.1)
    assert "is a float" in caught.value.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": "-1"}, "limit='-1' must be an amount"),
        ({"limit": "NaN"}, "must be an amount"),
        ({"limit": "five"}, "limit='five' must be an amount"),
        ({"limit": True}, "limit=True must be an amount"),
        ({"limit": None}, "limit=None must be an amount"),
        ({"limit": 10**13}, "from 0 to 1e12"),
        ({"per": "team"}, "per='team' must be one of 'user'"),
        ({"window": "year"}, "window='year' must be one of 'minute'"),
        ({"window": ["day"]}, "must be one of 'minute'"),
        ({"action": "stop"}, "action='stop' must be one of 'raise'"),
        ({"action": "call"}, "needs on_exceeded"),
        ({"on_exceeded": print}, "give action='call'"),
        ({"action": print, "on_exceeded": print}, "two functions"),
        ({"unpriced": "maybe"}, "unpriced='maybe' must be one of"),
        ({"lost": "found"}, "lost='found' must be one of"),
        ({"on_store_error": "ignore"}, "on_store_error='ignore' must be one of"),
        ({"lease_s": 0}, "lease_s=0 must be a number of seconds"),
        ({"lease_s": float("inf")}, "lease_s=inf must be"),
        ({"lease_s": "60"}, "lease_s='60' must be"),
        ({"name": ""}, "name='' must be 1 to 200"),
        ({"name": "a{b}"}, "without braces"),
        ({"name": "a\nb"}, "line ends"),
        ({"namespace": None}, "namespace=None must be"),
        ({"only": "ada"}, "only='ada' must be a mapping"),
        ({"only": {"team": "a"}}, "'team'"),
        ({"only": {"user": []}}, r"only\['user'\]=\[\] must be a string"),
        ({"only": {"user": [1]}}, r"only\['user'\]"),
        ({"limits": {"ada": 1.5}, "per": "user"}, r"limits\['ada'\]=1.5 is a float"),
        ({"limits": {"ada": 1}}, "needs per='user'"),
        ({"thresholds": [0]}, "thresholds=0 must be a share"),
        ({"thresholds": ["80%"]}, "thresholds='80%' must be a share"),
        ({"on_threshold": "me"}, "on_threshold='me' must be a plain function"),
        ({"redis": "redis://a", "ledger": "sqlite:///a.db"}, "two places"),
        ({"redis": "http://a"}, "scheme is 'http'"),
        ({"ledger": "mysql://a"}, "mysql"),
        ({"ledger": 5}, "ledger=int must be a Ledger"),
        ({"ledger": "sqlite://"}, "in memory"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_at_once(options, said):
    options = {"limit": 1, **options}
    with pytest.raises(CerebrasConfigurationError, match=said):
        Budget(options.pop("limit"), **options)


def test_a_coroutine_function_is_refused():
    async def tell(status, share):
        raise AssertionError

    assert inspect.iscoroutinefunction(tell)
    with pytest.raises(CerebrasConfigurationError, match="plain function"):
        Budget(1, on_threshold=tell)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "all/day"),
        ({"per": "user", "window": "month"}, "user/month"),
        ({"action": "warn"}, "all/day (warn)"),
        (
            {"only": {"user": ["b", "a"], "model": "m{1}"}},
            "all/day model=m_1_ user=a,b",
        ),
        ({"name": "team"}, "team"),
    ],
)
def test_a_budget_has_a_name(options, name):
    assert Budget(1, **options).name == name


# ------------------------------------------------------------------------- copies


def test_a_copy_is_the_same_budget():
    budget = Budget("1.00")
    assert copy.copy(budget) is budget
    assert copy.deepcopy({"budget": budget})["budget"] is budget
    assert pickle.loads(pickle.dumps(budget)) is budget
    assert budget == pickle.loads(pickle.dumps(budget))
    assert budget != Budget("1.00")
    assert budget != "budget"
    assert len({budget, copy.copy(budget), Budget("1.00")}) == 2


def test_pickled_into_another_process_it_has_the_same_terms():
    data = pickle.dumps(
        Budget("2.50", per="user", limits={"ada": 9}, only={"model": "m"})
    )
    gc.collect()  # here nobody has it any more, as in another process
    budget = pickle.loads(data)
    again = pickle.loads(data)
    assert again is budget
    assert repr(budget) == (
        "Budget('user/day model=m', limit=2.50 USD, per='user', window='day', "
        "action='raise')"
    )
    assert budget.reserve(ADA._replace(model="m"), USD(8)) is not None


def test_a_hold_tells_what_it_is():
    hold = Budget(1).reserve(ADA, USD("0.25"))
    assert repr(hold) == "<Hold 0.25 USD, open>"
    hold.release()
    assert repr(hold).endswith("ended>")


def test_nothing_is_logged_when_nothing_goes_wrong(caplog):
    caplog.set_level(logging.DEBUG)
    Budget(1).reserve(ADA, USD("0.25")).settle(USD("0.1"))
    assert caplog.text == ""
