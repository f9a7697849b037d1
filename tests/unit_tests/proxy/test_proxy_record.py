"""What an exchange used and cost, and the row that is kept of it."""

from datetime import date
from decimal import Decimal

import pytest
from proxy_exchanges import (
    MODEL,
    NOON,
    USAGE,
    answered,
    failed,
    left,
    refused,
    sent,
    settings,
)

from langchain_cerebras_ext.catalog import get_model
from langchain_cerebras_ext.costs._usage import Counts, read_counts
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.prices import PriceBook
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy.record import (
    LedgerObserver,
    Priced,
    Providers,
    _read_plain,
    counts_of,
    open_ledger,
    output_speed,
    queue_time,
    time_per_token,
    to_record,
    to_records,
)
from langchain_cerebras_ext.proxy.settings import Upstream

MTOK = 1_000_000


@pytest.fixture(scope="module")
def priced():
    return Priced(settings())


def after(priced, exchange):
    priced(exchange)
    return exchange


# -------------------------------------------------------------------------------- cost


def test_an_answer_costs_what_its_tokens_cost(priced):
    seen = after(priced, answered())
    # 0.35 and 0.75 USD per million tokens; cached tokens cost what others do.
    assert seen.cost.total == Decimal("0.35") * 20 / MTOK + Decimal("0.75") * 100 / MTOK
    assert seen.flags == ()
    assert counts_of(seen) == Counts(20, 5, output=100, reasoning=30)


def test_prices_of_your_own_come_first(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(
        f'[[prices]]\nmodel = "{MODEL}"\nprovider = "cerebras"\n'
        'input = "1"\noutput = "2"\n'
    )
    seen = after(Priced(settings(prices_file=str(path))), answered())
    assert seen.cost.total == Decimal(20 + 2 * 100) / MTOK
    book = PriceBook().with_discount(percent=50, provider="cerebras")
    seen = after(Priced(settings(), book), answered())
    assert seen.cost.total == Decimal("0.000041")


def test_a_file_of_prices_that_is_none_stops_the_start(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text("[[prices]]\nmodel = 1\n")
    with pytest.raises(CerebrasConfigurationError, match=r"prices\.toml"):
        Priced(settings(prices_file=str(path)))


def test_the_price_of_the_day_counts(priced):
    book = (
        PriceBook()
        .with_price(MODEL, input="1", output="1", valid_until=date(2026, 11, 21))
        .with_price(MODEL, input="3", output="3", valid_from=date(2026, 11, 21))
    )
    one = Priced(settings(), book)
    for day, rate in ((20, 1), (21, 3), (22, 3)):
        seen = after(one, answered(started_at=NOON.replace(day=day)))
        assert seen.cost.total == Decimal(rate * 120) / MTOK, day


def test_a_model_without_a_price_is_flagged_and_not_free(priced):
    seen = after(priced, answered(model="team/finetune-1", model_served=None))
    assert seen.cost is None
    assert seen.flags == ("unpriced",)
    assert counts_of(seen).output == 100


def test_what_was_not_sent_costs_nothing_and_says_nothing(priced):
    seen = after(priced, refused())
    assert (seen.cost, seen.flags, counts_of(seen)) == (None, (), None)


@pytest.mark.parametrize(
    ("category", "status"),
    [
        ("upstream_auth", 401),
        ("upstream_bad_request", 400),
        ("upstream_rate_limit", 429),
        ("upstream_server", 500),
    ],
)
def test_an_error_that_the_upstream_answers_costs_nothing(priced, category, status):
    seen = after(priced, failed(category, status, upstream_status=status))
    assert counts_of(seen) == Counts()
    assert seen.cost.total == 0
    assert seen.flags == ()


def test_a_list_of_models_is_no_use_of_one(priced):
    seen = after(priced, sent(operation="models", status=200, upstream_status=200))
    assert (counts_of(seen), seen.cost, seen.flags) == (None, None, ())


def test_an_upstream_that_was_not_reached_costs_nothing(priced):
    seen = after(priced, failed("upstream_connection"))
    assert (counts_of(seen), seen.cost.total, seen.flags) == (Counts(), 0, ())


@pytest.mark.parametrize(
    "exchange",
    [
        left("waiting", unreached=True),
        failed("upstream_timeout", 504, unreached=True),
        failed("shutting_down", 503, unreached=True),
    ],
    ids=["left", "out of time", "ended"],
)
def test_what_ended_while_connecting_costs_nothing(priced, exchange):
    seen = after(priced, exchange)
    assert (counts_of(seen), seen.cost.total, seen.flags) == (Counts(), 0, ())


# --------------------------------------------------------------------------- estimates


def test_a_client_that_leaves_pays_about_for_what_had_come(priced):
    seen = after(priced, left("streaming", answer_chars=400))
    assert seen.flags == ("estimated", "no_usage")
    counts = counts_of(seen)
    added = get_model(MODEL).scaffold.prompt
    assert 100 <= counts.input - added <= 120
    assert 100 <= counts.output <= 120
    by_hand = Decimal("0.35") * counts.input + Decimal("0.75") * counts.output
    assert seen.cost.total == by_hand / MTOK


@pytest.mark.parametrize("phase", ["waiting", "before_first_token", "body"])
def test_the_prompt_counts_in_each_phase_once_it_was_sent(priced, phase):
    counts = counts_of(after(priced, left(phase)))
    assert counts.input > 0
    assert counts.output == 0


def test_a_timeout_may_have_been_billed(priced):
    seen = after(priced, failed("upstream_timeout", 504))
    assert counts_of(seen).input > 0
    assert seen.flags == ("estimated", "no_usage")


def test_an_estimate_is_not_more_than_what_was_allowed(priced):
    seen = after(priced, left(answer_chars=100_000, max_output_tokens=7))
    assert counts_of(seen).output == 7
    # A picture in the body is no prompt of millions of tokens.
    seen = after(priced, left(prompt_bytes=30_000_000))
    assert counts_of(seen).input == 131_072


def test_an_unpriced_estimate_says_both(priced):
    seen = after(priced, left(model="team/finetune-1"))
    assert seen.flags == ("estimated", "no_usage", "unpriced")


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": "many"},
        {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 11},
        {"prompt_tokens": -5, "completion_tokens": 5},
        {"prompt_tokens": 1.5, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": [1]},
        {"queue": 1},
    ],
    ids=str,
)
def test_counts_that_are_none_are_as_good_as_not_told(priced, usage, caplog):
    seen = after(priced, answered(usage=usage))
    assert seen.usage is None or not seen.usage
    assert seen.flags == ("estimated", "no_usage")
    assert counts_of(seen).input > 0


def test_counts_that_contradict_themselves_are_told_of_once(caplog):
    one = Priced(settings())
    for number in range(30):
        for model in ("m" * 5000, MODEL):
            usage = {"prompt_tokens": number, "completion_tokens": 1, "x" * 5000: 1}
            one(answered(model=model, usage={**usage, "total_tokens": 999}))
    assert len(caplog.messages) == 2
    assert "total_tokens=999 is not input and output together" in caplog.messages[0]
    assert max(map(len, caplog.messages)) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt_tokens_details": {}},
        {"prompt_tokens_details": {"cached_tokens": 20}},
        {"completion_tokens_details": {"reasoning_tokens": 100}},
    ],
    ids=str,
)
def test_the_quick_way_reads_what_the_careful_one_does(changes):
    usage = {**USAGE, **changes}
    assert _read_plain(usage) == read_counts(usage)


@pytest.mark.parametrize(
    "changes",
    [
        {"total_tokens": 121},
        {"total_tokens": 150},  # reasoning beside the completion
        {"prompt_tokens_details": None},
        {"prompt_tokens_details": {"cached_tokens": 21}},
        {"prompt_tokens_details": {"cached_tokens": None}},
        {"prompt_tokens_details": {"cached_tokens": 0, "image_tokens": 3}},
        {"completion_tokens_details": {"reasoning_tokens": 101}},
        {"completion_tokens_details": {"rejected_prediction_tokens": 4}},
        {"completion_tokens_details": {"audio_tokens": 4}},
        {"service_tier": "flex"},
        {"image_tokens": 3},
        {"prompt_tokens": True},
    ],
    ids=str,
)
def test_what_is_out_of_the_ordinary_is_read_with_care(changes):
    assert _read_plain({**USAGE, **changes}) is None


# ------------------------------------------------------------------------------- times


def test_speed_is_after_the_first_token_of_a_stream(priced):
    seen = after(priced, answered())
    assert output_speed(seen) == pytest.approx(100 / 0.15)
    assert time_per_token(seen) == pytest.approx(0.15 / 99)
    assert queue_time(seen) == 0.0003


def test_a_stream_that_came_at_once_is_measured_whole(priced):
    seen = after(priced, answered(ttft_s=0.199))
    assert output_speed(seen) == pytest.approx(100 / 0.2)


def test_a_plain_answer_is_as_quick_as_the_service_says(priced):
    seen = after(priced, answered(stream=False, ttft_s=None))
    assert output_speed(seen) == pytest.approx(100 / 0.2)
    assert time_per_token(seen) == pytest.approx(0.05 / 100)


@pytest.mark.parametrize(
    "told", ["0.1", None, True, -1.0, [], float("nan"), float("inf")]
)
def test_times_that_are_none_are_left_out(priced, told):
    times = {"queue_time": told, "completion_time": told}
    seen = after(priced, answered(stream=False, ttft_s=None, time_info=times))
    assert queue_time(seen) is None
    assert time_per_token(seen) is None


def test_an_estimate_has_no_speed(priced):
    seen = after(priced, left(answer_chars=400, ttft_s=0.05))
    assert output_speed(seen) is None
    assert time_per_token(seen) is None


# ----------------------------------------------------------------------------- records


def test_a_row_tells_whose_key_it_was_and_all_that_is_known(priced):
    row = to_record(after(priced, answered(key_id="team-a")))
    assert row.user == "team-a"
    assert row.tags == ("proxy",)
    assert (row.model, row.model_served, row.provider) == (MODEL, MODEL, "cerebras")
    assert (row.operation, row.stream, row.outcome) == ("chat", True, "ok")
    assert (row.input_tokens, row.cached_input_tokens) == (20, 5)
    assert (row.output_tokens, row.reasoning_tokens) == (100, 30)
    assert row.cost_usd == Decimal("0.000082")
    assert (row.started_at, row.duration_s, row.ttft_s) == (NOON, 0.2, 0.05)
    assert row.queue_time_s == 0.0003
    assert row.output_tokens_per_s == pytest.approx(100 / 0.15)
    assert row.request_id == "chatcmpl-1"
    assert row.run_id == "req-1"
    assert row.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert row.attempts == 1
    assert row.flags == ()
    assert row.error_type is None


def test_rarer_counts_are_kept_too(priced):
    usage = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 5, "image_tokens": 4},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 7,
            "rejected_prediction_tokens": 2,
        },
    }
    row = to_record(after(priced, answered(usage=usage)))
    assert row.image_tokens == 4
    assert row.accepted_prediction_tokens == 7
    assert row.rejected_prediction_tokens == 2


def test_what_other_services_count_is_kept_as_well(priced):
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cache_write_tokens": 8},
        "service_tier": "flex",
    }
    row = to_record(after(priced, answered(usage=usage)))
    assert (row.cache_write_tokens, row.service_tier) == (8, "flex")
    assert row.cached_input_tokens == 0


def test_a_kind_of_token_without_a_rate_has_no_price(priced):
    book = PriceBook().with_price("team/embed", provider="cerebras", input="1")
    seen = after(Priced(settings(), book), answered(model="team/embed"))
    assert (seen.cost, seen.flags) == (None, ("unpriced",))
    assert Priced(settings(), book).prices is book


def test_a_request_that_was_not_sent_has_a_row_without_tokens():
    row = to_record(refused(operation="chat", model="x"))
    assert (row.input_tokens, row.total_tokens, row.cost) == (None, None, None)


@pytest.mark.parametrize(
    ("exchange", "outcome"),
    [
        (left(), "aborted"),
        (failed("upstream_interrupted", 200), "failed"),
        (failed("internal", 500), "failed"),
    ],
    ids=["aborted", "interrupted", "internal"],
)
def test_a_row_tells_how_it_ended(priced, exchange, outcome):
    row = to_record(after(priced, exchange))
    assert (row.outcome, row.error_type) == (outcome, exchange.error_category)


def test_fallbacks_are_whose_service_their_name_and_address_say():
    groq = Upstream(name="groq", base_url="https://groq.test/v1", api_key="k" * 8)
    ours = Upstream(name="eu", base_url="https://api.cerebras.ai/v1", api_key="k" * 8)
    here = Upstream(name="box", base_url="http://127.0.0.1:9/v1")
    providers = Providers(settings(fallbacks=(groq, ours, here)))
    found = [providers.of(name) for name in ("cerebras", "groq", "eu", "box", None)]
    assert found == ["cerebras", "groq", "cerebras", "cerebras", "cerebras"]


def test_tries_that_may_have_been_billed_are_rows_of_their_own(priced):
    spare = Upstream(name="spare", base_url="http://127.0.0.1:9/v1")
    seen = after(
        priced,
        answered(
            upstream="spare",
            attempts=3,
            failed_upstreams=[
                ("cerebras", "upstream_timeout"),
                ("eu", "upstream_connection"),
            ],
        ),
    )
    added = get_model(MODEL).scaffold.prompt
    tried, last = to_records(seen, Providers(settings(fallbacks=(spare,))))
    assert (tried.outcome, tried.error_type) == ("retried", "upstream_timeout")
    assert (tried.input_tokens, tried.output_tokens) == (108 + added, 0)
    assert tried.flags == ("estimated", "no_usage", "unpriced")
    assert (last.outcome, last.attempts) == ("ok", 3)
    assert last.tags == ("proxy", "upstream:spare")
    assert tried.record_id != last.record_id


# ------------------------------------------------------------------------------ ledger


def test_the_ledger_has_what_was_sent_and_nothing_else(priced, tmp_path):
    with Ledger(f"sqlite:///{tmp_path / 'costs.db'}") as ledger:
        keep = LedgerObserver(ledger, settings())
        for exchange in (
            answered(),
            answered(key_id="team-a"),
            left(),
            refused(),
            sent(operation="models", status=200, upstream_status=200),
            answered(failed_upstreams=[("eu", "upstream_timeout")]),
        ):
            keep(after(priced, exchange))
        rows = list(ledger.records())
        outcomes = sorted(row.outcome for row in rows)
        assert outcomes == ["aborted", "ok", "ok", "ok", "retried"]
        certain = ledger.totals()
        assert certain.cost > Decimal("0.000246")
        users = {g.keys[0]: g.totals.calls for g in ledger.report(by=("user",))}
        assert users == {"default": 3, "team-a": 1}


def test_a_ledger_is_opened_where_one_is_asked_for(tmp_path):
    assert open_ledger(settings()) is None
    url = f"sqlite:///{tmp_path / 'costs.db'}"
    ledger = open_ledger(settings(ledger_url=url))
    try:
        assert ledger.url.endswith("costs.db")
    finally:
        ledger.close()


def test_what_is_no_ledger_stops_the_start(tmp_path):
    path = tmp_path / "costs.db"
    path.write_text("nothing of the kind, but long enough to be looked at" * 40)
    with pytest.raises(CerebrasConfigurationError, match=r"^APE_LEDGER_URL: "):
        open_ledger(settings(ledger_url=f"sqlite:///{path}"))
