"""What calls would cost: before them, as a plan, and made otherwise."""

from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext._tokens import count_message_tokens
from langchain_cerebras_ext.catalog import get_model
from langchain_cerebras_ext.costs.planning import (
    ASSUMED_OUTPUT_TOKENS,
    estimate,
    highest_cost,
    project,
    reprice_records,
)
from langchain_cerebras_ext.costs.prices import PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import PriceRow, price_totals, price_usage
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import CerebrasConfigurationError

DAY = date(2026, 11, 21)
MTOK = 1_000_000
IN, OUT = Decimal("0.35"), Decimal("0.75")
TEXT = "Explain the difference between a list and a tuple. " * 20
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
    },
}


def model(**kwargs):
    return ChatCerebras(model="gpt-oss-120b", api_key="csk-none", **kwargs)


# ------------------------------------------------------------------------- highest cost


def test_the_most_that_a_call_may_cost_is_its_prompt_and_its_longest_answer():
    row = list_prices().find("cerebras", "gpt-oss-120b", DAY)
    found = highest_cost(
        row, model="gpt-oss-120b", input_tokens=1000, max_output_tokens=500
    )
    assert found == (1000 * IN + 500 * OUT) / MTOK


def test_every_answer_is_reserved_and_the_prompt_once():
    row = list_prices().find("cerebras", "gpt-oss-120b", DAY)
    found = highest_cost(
        row, model="gpt-oss-120b", input_tokens=1000, max_output_tokens=500, n=3
    )
    assert found == (1000 * IN + 1500 * OUT) / MTOK


@pytest.mark.parametrize("unset", [None, -1])
def test_without_a_limit_of_the_call_it_is_the_models(unset):
    row = list_prices().find("cerebras", "gpt-oss-120b", DAY)
    limits = get_model("gpt-oss-120b").limits()
    found = highest_cost(
        row, model="gpt-oss-120b", input_tokens=1000, max_output_tokens=unset
    )
    assert found == (1000 * IN + limits.max_output_tokens * OUT) / MTOK
    # A long prompt leaves less room.
    left = 100
    size = limits.context_tokens - left
    found = highest_cost(row, model="gpt-oss-120b", input_tokens=size)
    assert found == (size * IN + left * OUT) / MTOK


def test_where_no_limit_is_known_one_is_assumed():
    row = PriceRow(input=Decimal(1), output=Decimal(2), model="mine")
    found = highest_cost(row, model="mine", input_tokens=10)
    assert found == (10 + ASSUMED_OUTPUT_TOKENS * Decimal(2)) / MTOK


def test_the_dearest_rate_that_a_token_of_the_prompt_may_have_is_reserved():
    row = PriceRow(
        input=Decimal(3),
        output=Decimal(15),
        cached_input=Decimal("0.3"),
        cache_write=Decimal("3.75"),
        request=Decimal("0.01"),
    )
    found = highest_cost(row, model="m", input_tokens=1000, max_output_tokens=1)
    assert found == (1000 * Decimal("3.75") + 15) / MTOK + Decimal("0.01")


@pytest.mark.parametrize(
    "row",
    [None, PriceRow(input=Decimal(1)), PriceRow(output=Decimal(1))],
    ids=["no-row", "no-output", "no-input"],
)
def test_what_is_not_known_is_not_guessed(row):
    assert highest_cost(row, model="m", input_tokens=1, max_output_tokens=1) is None


def test_the_programs_decimal_context_changes_no_reservation():
    row = list_prices().find("cerebras", "gpt-oss-120b", DAY)
    with localcontext(prec=2):
        found = highest_cost(
            row, model="gpt-oss-120b", input_tokens=1234, max_output_tokens=5678
        )
    assert found == (1234 * IN + 5678 * OUT) / MTOK


# ----------------------------------------------------------------------------- estimate


def test_an_estimate_lies_between_the_prompt_alone_and_the_longest_answer():
    found = estimate("gpt-oss-120b", TEXT, max_tokens=400, on=DAY)
    counted = count_message_tokens([HumanMessage(TEXT)], "gpt-oss-120b")
    assert found.input_tokens_high == counted
    assert 0 < found.input_tokens_low < counted
    assert found.high == (counted * IN + 400 * OUT) / MTOK
    assert found.low == (found.input_tokens_low * IN + 1 * OUT) / MTOK
    assert (found.output_tokens_low, found.output_tokens_high) == (1, 400)
    assert (found.output_limit, found.provider, found.on) == (
        "max_tokens",
        "cerebras",
        DAY,
    )


def test_the_upper_bound_is_what_a_budget_reserves():
    found = estimate("gpt-oss-120b", TEXT, n=2, on=DAY)
    reserved = highest_cost(
        found.price,
        model="gpt-oss-120b",
        input_tokens=found.input_tokens_high,
        n=2,
    )
    assert found.high == reserved
    assert found.output_limit == "model"
    assert (
        found.output_tokens_high
        == 2 * get_model("gpt-oss-120b").limits().max_output_tokens
    )


def test_an_estimate_takes_a_models_own_settings():
    found = estimate(model(max_tokens=50, n=3), TEXT, on=DAY)
    assert (found.model, found.provider) == ("gpt-oss-120b", "cerebras")
    assert (found.answers, found.output_tokens_high) == (3, 150)
    assert found.output_limit == "max_tokens"


def test_the_calls_own_arguments_win():
    found = estimate(model(max_tokens=50, n=3), TEXT, max_tokens=7, n=1, on=DAY)
    assert (found.answers, found.output_tokens_high) == (1, 7)


def test_minus_one_is_the_models_limit():
    found = estimate(model(max_tokens=-1), TEXT, on=DAY)
    assert found.output_limit == "model"


def test_what_is_bound_to_the_model_counts():
    plain = estimate(model(), TEXT, on=DAY)
    bound = estimate(model().bind_tools([TOOL]).bind(max_tokens=9, n=2), TEXT, on=DAY)
    assert bound.input_tokens_high == count_message_tokens(
        [HumanMessage(TEXT)], "gpt-oss-120b", [TOOL]
    )
    assert bound.input_tokens_high > plain.input_tokens_high
    assert (bound.output_tokens_high, bound.answers) == (18, 2)
    assert estimate("gpt-oss-120b", TEXT, tools=[TOOL], on=DAY).input_tokens_high == (
        bound.input_tokens_high
    )


MESSAGES = [SystemMessage("Be brief."), HumanMessage("Hello")]


@pytest.mark.parametrize(
    "messages",
    [
        MESSAGES,
        [("system", "Be brief."), ("user", "Hello")],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        ChatPromptTemplate.from_messages(
            [("system", "Be brief."), ("user", "{q}")]
        ).invoke({"q": "Hello"}),
    ],
    ids=["messages", "pairs", "dicts", "prompt"],
)
def test_messages_may_be_given_as_to_a_model(messages):
    found = estimate("gpt-oss-120b", messages, on=DAY)
    assert found.input_tokens_high == count_message_tokens(MESSAGES, "gpt-oss-120b")


def test_a_cached_share_makes_the_lower_bound_lower_and_leaves_the_upper():
    book = PriceBook().with_price("m", input=4, output=8, cached_input=1)
    plain = estimate("m", TEXT, max_tokens=1, prices=book)
    cached = estimate("m", TEXT, max_tokens=1, prices=book, cached_share="0.5")
    half = cached.input_tokens_low // 2
    rest = cached.input_tokens_low - half
    assert cached.low == (half * Decimal(1) + rest * Decimal(4) + 8) / MTOK
    assert cached.low < plain.low
    assert cached.high == plain.high


def test_a_count_that_is_exact_has_a_narrower_lower_bound(monkeypatch):
    from langchain_cerebras_ext import _tokens

    monkeypatch.setattr(_tokens, "_encoder", lambda: None)
    guessed = estimate("gpt-oss-120b", TEXT, on=DAY)
    other = estimate("qwen-3.8-27b", TEXT, on=DAY)
    assert guessed.input_tokens_low == int(guessed.input_tokens_high / Decimal("1.35"))
    assert other.input_tokens_low == int(
        other.input_tokens_high / (Decimal("1.35") * Decimal("1.25"))
    )
    monkeypatch.setattr(
        _tokens, "_encoder", lambda: lambda text: [0] * (len(text) // 4)
    )
    exact = estimate("gpt-oss-120b", TEXT, on=DAY)
    assert exact.input_tokens_low == int(exact.input_tokens_high / Decimal("1.05"))


def test_an_unknown_price_is_none_and_says_why():
    found = estimate("made-up", TEXT, provider="cerebras", on=DAY)
    assert (found.low, found.high, found.price) == (None, None, None)
    assert "no such model" in found.why_unpriced
    assert found.input_tokens_high > 0
    assert found.output_limit == "assumed"


def test_an_estimate_is_of_the_day():
    then = estimate("gpt-oss-120b", TEXT, max_tokens=10, on=date(2025, 8, 15))
    assert then.price is not None
    assert then.price.input == Decimal("0.40")


def test_an_estimate_shows_itself_as_json_has_it():
    shown = estimate("gpt-oss-120b", "Hello", max_tokens=10, on=DAY).to_dict()
    assert shown["on"] == "2026-11-21"
    assert Decimal(shown["low"]) < Decimal(shown["high"])
    assert shown["price"]["input"] == "0.35"


def test_a_chain_is_estimated_by_its_model():
    from langchain_cerebras_ext import CerebrasLLM

    llm = CerebrasLLM(model="gpt-oss-120b", api_key="csk-none", max_tokens=5)
    assert estimate(llm, TEXT, on=DAY).output_tokens_high == 5
    schema = {"title": "T", "type": "object", "properties": {"a": {"type": "string"}}}
    chain = model(max_tokens=5).with_structured_output(schema)
    assert estimate(chain, TEXT, on=DAY).output_tokens_high == 5


def test_other_providers_models_are_estimated_too():
    pytest.importorskip("genai_prices", reason="needs the extra 'prices'")
    from langchain_openai import ChatOpenAI

    other = ChatOpenAI(model="gpt-5-mini", api_key="none", max_tokens=100)
    found = estimate(other, TEXT, on=DAY)
    assert (found.provider, found.model) == ("openai", "gpt-5-mini")
    assert found.price is not None
    assert found.output_tokens_high == 100
    assert (
        found.high
        == (found.input_tokens_high * Decimal("0.25") + 100 * Decimal(2)) / MTOK
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": 0}, "n=0 must be a whole number, 1 or more"),
        ({"max_tokens": 0}, "max_tokens=0 must be"),
        ({"max_tokens": True}, "max_tokens=True must be"),
        ({"cached_share": "2"}, "cached_share='2' must be a number from 0 to 1"),
        ({"cached_share": 1.5}, r"cached_share=1\.5 must be a number from 0 to 1"),
        ({"cached_share": float("nan")}, r"cached_share=nan must be a number"),
        ({"on": datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001
    ],
    ids=["n", "zero", "bool", "share", "float", "nan", "naive"],
)
def test_a_wrong_argument_is_refused_by_its_name(arguments, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        estimate("gpt-oss-120b", TEXT, **arguments)


@pytest.mark.parametrize(
    "what", [7, None, "", object()], ids=["number", "none", "empty", "object"]
)
def test_what_is_no_model_is_refused(what):
    with pytest.raises(CerebrasConfigurationError, match="must be a chat model"):
        estimate(what, TEXT)


# ------------------------------------------------------------------------------ project


def test_a_plan_is_calls_times_steps_times_tokens():
    found = project("gpt-oss-120b", calls=1000, steps=5, tokens=5000, mix="0.8", on=DAY)
    assert (found.input_tokens, found.output_tokens) == (4000, 1000)
    assert found.total_tokens == 1000 * 5 * 5000
    step = (4000 * IN + 1000 * OUT) / MTOK
    assert found.per_call == 5 * step
    assert found.total == 5000 * step == Decimal("10.75")
    assert found.cost is not None
    assert found.cost.input == 5000 * 4000 * IN / MTOK
    assert found.notes == ()
    assert (found.per_day, found.per_month) == (None, None)


def test_a_plan_can_give_its_tokens_by_kind():
    found = project(
        "gpt-oss-120b", calls=10, steps=1, input_tokens=900, output_tokens=100, on=DAY
    )
    assert found.total == 10 * (900 * IN + 100 * OUT) / MTOK


def test_a_plan_counts_with_the_cache():
    book = PriceBook().with_price("m", input=4, output=8, cached_input=1)
    found = project(
        "m",
        calls=1,
        steps=1,
        input_tokens=1000,
        output_tokens=0,
        cached="0.75",
        prices=book,
    )
    assert found.cached_tokens == 750
    assert found.total == (750 * Decimal(1) + 250 * Decimal(4)) / MTOK
    assert found.cost is not None
    assert found.cost.cache_savings == 750 * Decimal(3) / MTOK


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        # Of a mapping LangChain would take the keys: an estimate of nothing.
        ({"messages": [HumanMessage(TEXT)]}, "messages is a dict"),
        ({"role": "user", "content": TEXT}, "messages is a dict"),
        (ChatPromptTemplate.from_template("{text}"), "messages is a ChatPromptT"),
        (b"Hello", "messages is a bytes"),
        (None, "messages is a NoneType"),
        ([object()], "messages holds what is no message: Unsupported message"),
        ([[HumanMessage(TEXT)]], "messages holds what is no message"),
    ],
    ids=["state", "message-dict", "template", "bytes", "none", "object", "batch"],
)
def test_what_is_no_prompt_is_refused_and_not_estimated(messages, told):
    with pytest.raises(CerebrasConfigurationError, match=told):
        estimate("gpt-oss-120b", messages)


def test_one_message_is_estimated_as_a_list_of_it():
    message = HumanMessage(TEXT)
    assert estimate("gpt-oss-120b", message) == estimate("gpt-oss-120b", [message])


@pytest.mark.parametrize("prices", [{}, "prices.toml"])
def test_what_is_no_price_book_is_refused(prices):
    used = {"prompt_tokens": 1, "completion_tokens": 1}
    for ask in (
        lambda: estimate("gpt-oss-120b", TEXT, prices=prices),
        lambda: project("gpt-oss-120b", prices=prices),
        lambda: price_usage(used, "gpt-oss-120b", prices=prices),
        lambda: price_totals(1, 0, 1, "gpt-oss-120b", prices=prices),
        lambda: reprice_records([], prices=prices),
    ):
        with pytest.raises(CerebrasConfigurationError, match=r"prices is a \w+; pass"):
            ask()


def test_a_plan_of_no_calls_costs_a_plain_zero():
    told = project("gpt-oss-120b", calls=0, calls_per_day=0, on=DAY).to_dict()
    amounts = [value for name, value in told["cost"].items() if name != "price"]
    amounts += [told["total"], told["per_day"], told["per_month"]]
    assert set(amounts) == {"0"}


def test_a_plan_has_a_day_and_a_month_where_calls_a_day_are_given():
    found = project("gpt-oss-120b", calls=10, calls_per_day=200, on=DAY)
    assert found.per_call is not None
    assert found.per_day == 200 * found.per_call
    assert found.per_month == 30 * found.per_day


def test_models_stand_side_by_side_in_the_order_given():
    names = ["qwen-3.8-27b", "gpt-oss-120b", "made-up", "zai-glm-4.7"]
    found = project(names, on=DAY)
    assert [one.model for one in found] == names
    totals = [one.total for one in found]
    assert totals[2] is None
    assert totals[1] < totals[0] < totals[3]
    assert found[2].cost is None
    assert "no such model" in found[2].notes[0]


def test_a_model_that_is_gone_is_noted_with_its_successor():
    found = project("zai-glm-4.7", on=DAY)
    assert found.total is not None
    assert found.notes == (
        "zai-glm-4.7 is no longer served since 2026-08-17. Its successor is gpt-oss-120b.",
    )


@pytest.mark.parametrize(
    ("name", "day", "said"),
    [
        ("gemma-4-31b", date(2026, 11, 21), "dedicated endpoints only"),
        ("llama3.1-8b", date(2026, 5, 1), "llama3.1-8b ends on 2026-05-27."),
        ("gpt-oss-120b", date(2025, 8, 1), "comes on 2025-08-05"),
    ],
    ids=["dedicated", "deprecated", "upcoming"],
)
def test_where_a_model_is_in_its_life_is_noted(name, day, said):
    assert said in project(name, on=day).notes[0]


def test_several_providers_stand_side_by_side():
    pytest.importorskip("genai_prices", reason="needs the extra 'prices'")
    ours, theirs = project(["gpt-oss-120b", "groq::openai/gpt-oss-120b"], on=DAY)
    assert (ours.provider, theirs.provider) == ("cerebras", "groq")
    assert theirs.model == "openai/gpt-oss-120b"
    assert (
        theirs.total == 5000 * (4000 * Decimal("0.15") + 1000 * Decimal("0.6")) / MTOK
    )


def test_the_size_of_a_step_decides_and_not_that_of_the_plan():
    pytest.importorskip("genai_prices", reason="needs the extra 'prices'")
    small, large = (
        project("gemini-2.5-pro", input_tokens=size, output_tokens=0, on=DAY)
        for size in (200_000, 200_001)
    )
    assert small.price is not None
    assert large.price is not None
    assert (small.price.input, large.price.input) == (Decimal("1.25"), Decimal("2.5"))


def test_a_plan_shows_itself_as_json_has_it():
    shown = project("gpt-oss-120b", on=DAY).to_dict()
    assert shown["total"] == "10.750000000000"
    assert shown["cost"]["total"] == "10.750000000000"
    assert project("made-up", on=DAY).to_dict()["total"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"calls": -1}, "calls=-1"),
        ({"steps": 0}, "steps=0 must be a whole number, 1 or more"),
        ({"tokens": 1.5}, "tokens=1.5"),
        ({"mix": "1.1"}, "mix='1.1' must be a number from 0 to 1"),
        ({"cached": -1}, "cached=-1"),
        ({"input_tokens": 5}, "go together"),
        ({"input_tokens": -5, "output_tokens": 1}, "input_tokens=-5"),
        ({"calls_per_day": "many"}, "calls_per_day='many'"),
    ],
    ids=str,
)
def test_a_wrong_plan_is_refused_by_its_name(arguments, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        project("gpt-oss-120b", **arguments)


# ------------------------------------------------------------------------- made otherwise

THEN = datetime(2025, 9, 1, 12, tzinfo=UTC)


def record(**changes):
    values = {
        "started_at": THEN,
        "model": "gpt-oss-120b",
        "input_tokens": 1000,
        "cached_input_tokens": 384,
        "output_tokens": 200,
        "reasoning_tokens": 50,
    }
    made = UsageRecord(**{**values, **changes})
    if "cost" in changes or "outcome" in changes:
        return made
    return made.replace(cost=price_usage(made, "gpt-oss-120b", on=THEN))


def test_without_changes_a_record_costs_what_it_cost():
    before = record()
    (after,) = reprice_records([before])
    assert after == before


def test_a_record_can_be_priced_on_another_day():
    (after,) = reprice_records([record()], on=DAY)
    assert after.cost_usd == (1000 * IN + 200 * OUT) / MTOK
    assert after.started_at == THEN


def test_a_record_can_be_priced_on_another_model():
    before = record()
    (after,) = reprice_records([before], model="qwen-3.8-27b", on=DAY)
    assert after.cost_usd == (1000 * Decimal("0.99") + 200 * Decimal("1.49")) / MTOK
    assert (after.model, after.record_id) == (before.model, before.record_id)
    assert after.cost is not None
    assert after.cost.price is not None
    assert after.cost.price.model == "qwen-3.8-27b"


def test_a_record_can_be_priced_by_your_own_prices():
    book = PriceBook().with_price("gpt-oss-120b", input=1, output=2)
    (after,) = reprice_records([record()], prices=book)
    assert after.cost_usd == (1000 * Decimal(1) + 200 * Decimal(2)) / MTOK


def test_what_has_no_price_gets_no_cost_and_is_flagged():
    (after,) = reprice_records([record()], model="made-up", provider="cerebras")
    assert (after.cost, after.flags) == (None, ("unpriced",))
    (back,) = reprice_records([after])
    assert back == record(record_id=after.record_id)


def test_other_flags_stay():
    (after,) = reprice_records([record(flags=("estimated", "no_usage"))], on=DAY)
    assert after.flags == ("estimated", "no_usage")


def test_answers_of_a_cache_stay_free_and_unknown_counts_unknown():
    hit = record(outcome="cache_hit", cost=None)
    unknown = UsageRecord(started_at=THEN, model="gpt-oss-120b", flags=("no_usage",))
    refused = record(
        input_tokens=0,
        cached_input_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        outcome="failed",
    )
    records = [hit, unknown, refused]
    assert reprice_records(records, model="qwen-3.8-27b") == records


def test_a_record_is_priced_by_the_model_that_served_where_the_asked_one_has_no_price():
    book = PriceBook().with_price("real", provider="azure", input=1, output=1)
    made = record(provider="azure", model="deployment", model_served="real", cost=None)
    (after,) = reprice_records([made], prices=book)
    assert after.cost_usd == Decimal(1200) / MTOK


def test_a_record_whose_counts_contradict_themselves_has_no_price():
    (after,) = reprice_records([record(cached_input_tokens=1001, cost=None)])
    assert (after.cost, after.flags) == (None, ("unpriced",))


def test_a_day_that_is_none_is_refused():
    with pytest.raises(CerebrasConfigurationError, match="no time zone"):
        reprice_records([], on=datetime(2026, 1, 1))  # noqa: DTZ001


def test_old_records_keep_the_price_of_their_day_when_nothing_is_asked():
    old = record()
    assert old.cost_usd == (1000 * Decimal("0.40") + 200 * Decimal("0.80")) / MTOK
    assert reprice_records([old])[0].cost == old.cost
