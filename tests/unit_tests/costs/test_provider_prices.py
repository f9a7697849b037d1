"""Other providers' prices: of the right day, size and tier; never a silent zero."""

import sys
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext

import pytest

from langchain_cerebras_ext.catalog import get_model
from langchain_cerebras_ext.costs import _providers
from langchain_cerebras_ext.costs.prices import PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import price_call, price_usage
from langchain_cerebras_ext.errors import UnknownPriceError

genai_prices = pytest.importorskip(
    "genai_prices", reason="pip install 'langchain-cerebras-ext[prices]'"
)

DAY = date(2026, 11, 21)
MTOK = 1_000_000


def usage(prompt, completion=0, **details):
    inputs = {k: v for k, v in details.items() if k not in OUTPUTS}
    outputs = {OUTPUTS[k]: v for k, v in details.items() if k in OUTPUTS}
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_token_details": inputs,
        "output_token_details": outputs,
    }


OUTPUTS = {"reasoning": "reasoning", "audio_output": "audio"}


def library(provider, model, on=DAY, context=None, **counts):
    """What the library itself computes."""
    found = genai_prices.calc_price(
        genai_prices.Usage(**counts),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime(on.year, on.month, on.day, tzinfo=UTC)
        if not isinstance(on, datetime)
        else on,
        price_context=context,
    )
    return found.total_price


# ---------------------------------------------------------------------------- real ids


@pytest.mark.parametrize(
    ("provider", "model", "theirs"),
    [
        ("openai", "gpt-5-mini", "openai"),
        ("openai", "gpt-5-mini-2025-08-07", "openai"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::abc", "openai"),
        ("google_genai", "gemini-2.5-flash", "google"),
        ("google_genai", "models/gemini-2.5-flash", "google"),
        ("google_vertexai", "gemini-2.5-flash", "google"),
        ("google_vertexai", "publishers/google/models/gemini-2.5-pro", "google"),
        ("anthropic", "claude-sonnet-4-5", "anthropic"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic"),
        ("openrouter", "anthropic/claude-3.5-sonnet", "openrouter"),
        ("groq", "llama-3.3-70b-versatile", "groq"),
        ("groq", "openai/gpt-oss-120b", "groq"),
        ("mistral", "mistral-large-latest", "mistral"),
        ("mistralai", "mistral-large-latest", "mistral"),
        ("xai", "grok-4", "x-ai"),
        ("cohere", "command-r-plus", "cohere"),
        ("azure", "gpt-4o", "azure"),
        ("azure_openai", "gpt-4o", "azure"),
        ("amazon_bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"),
        ("bedrock_converse", "anthropic.claude-3-5-sonnet-20241022-v2:0", "aws"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b", "fireworks"),
    ],
)
def test_a_known_model_costs_what_the_library_says(provider, model, theirs):
    details = {"cache_read": 200}
    cost = price_usage(usage(1000, 100, **details), model, provider=provider, on=DAY)
    bare = model.rpartition("models/")[2] if theirs == "google" else model
    assert cost.total == library(
        theirs, bare, input_tokens=1000, cache_read_tokens=200, output_tokens=100
    )
    assert cost.total > 0
    row = cost.price
    assert row is not None
    assert row.source == f"genai-prices {genai_prices.__version__}"
    assert row.provider == _providers.provider_name(provider)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-nobody"),
        ("openrouter", "nobody/none"),
        ("nobody", "gpt-5-mini"),
        ("openai-codex", "gpt-5-mini"),
        ("my-openai-proxy", "gpt-5-mini"),
        ("google_genai", "gemma-3"),
        ("openrouter", "google/lyria-3-pro-preview"),
        ("openai", "moderation"),
        ("openai", "whisper-1"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct"),
    ],
    ids=[
        "model",
        "openrouter-model",
        "provider",
        "subscription",
        "like-a-provider",
        "listed-without-a-price",
        "music-without-a-price",
        "moderation-without-a-price",
        "priced-by-the-hour",
        "local-or-not",
    ],
)
def test_what_the_library_does_not_price_is_unknown_and_not_zero(provider, model):
    assert list_prices().find(provider, model, DAY) is None
    with pytest.raises(UnknownPriceError, match="genai-prices"):
        price_usage(usage(10, 10), model, provider=provider, on=DAY)


def test_a_free_variant_is_zero_and_says_so():
    model = "meta-llama/llama-3.3-70b-instruct:free"
    cost = price_usage(usage(1000, 1000), model, provider="openrouter", on=DAY)
    assert cost.total == 0
    assert cost.price is not None
    assert (cost.price.input, cost.price.note) == (0, "a free variant")


def test_openais_open_models_are_not_openais_though_the_library_lists_them():
    """A call to a compatible server says `openai`, which serves no such model."""
    assert list_prices().find("openai", "gpt-oss-120b", DAY) is None
    with pytest.raises(UnknownPriceError, match="does not serve its open models"):
        price_usage(usage(1, 1), "openai::gpt-oss-120b", on=DAY)
    assert price_usage(usage(1, 1), "groq::openai/gpt-oss-120b", on=DAY).total > 0


def test_the_model_that_served_is_priced_where_the_asked_one_is_an_alias():
    cost = price_call(
        usage(MTOK, 0),
        provider="azure",
        model="our-deployment",
        served="gpt-4o-2024-08-06",
        on=DAY,
    )
    assert cost is not None
    assert cost.total == library("azure", "gpt-4o-2024-08-06", input_tokens=MTOK)
    auto = price_call(
        usage(MTOK, 0),
        provider="openrouter",
        model="openrouter/auto",
        served="anthropic/claude-3.5-sonnet",
        on=DAY,
    )
    assert auto is not None
    assert auto.total == 3


@pytest.mark.parametrize(
    ("model", "provider", "served"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gemini/gemini-2.5-flash", "google_genai", "gemini-2.5-flash"),
        ("vertex_ai/gemini-2.5-flash", "google_vertexai", "gemini-2.5-flash"),
        ("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", None),
        ("cerebras/gpt-oss-120b", "cerebras", "gpt-oss-120b"),
        ("gpt-4o", "openai", "gpt-4o"),
    ],
)
def test_a_router_that_names_its_provider_is_priced_by_that(model, provider, served):
    row = list_prices().find("litellm", model, DAY)
    assert row is not None
    assert row.provider == provider
    assert served in {None, row.model}
    assert list_prices().find("litellm", "nobody/nothing", DAY) is None
    own = PriceBook().with_price(model, provider="litellm", input=7, output=7)
    found = own.find("litellm", model, DAY)
    assert found is not None
    assert found.input == 7


def test_unknown_names_leave_nothing_behind_in_the_library():
    snapshot = genai_prices.data_snapshot.get_snapshot()
    before = len(snapshot._provider_cache) + len(snapshot._provider_misses)
    book = PriceBook()
    for number in range(50):
        assert book.find("openai", f"made-up-{number}", DAY) is None
        assert book.find(None, f"made-up-{number}", DAY) is None
    after = len(snapshot._provider_cache) + len(snapshot._provider_misses)
    assert after == before


def test_a_misspelt_model_of_ours_is_not_taken_for_anothers():
    with pytest.raises(
        UnknownPriceError, match="Did you mean 'gpt-oss-120b'"
    ) as caught:
        price_usage(usage(1, 1), "gpt-os-120b", on=DAY)
    assert "name the provider" in str(caught.value)


# ------------------------------------------------------------------------ whose model


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5-mini", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "google_genai"),
        ("grok-4", "xai"),
        ("gpt-oss-120b", "cerebras"),
        ("llama-3.3-70b", "cerebras"),
    ],
)
def test_without_a_provider_it_is_ours_or_the_makers(model, provider):
    row = price_usage(usage(1, 1), model, on=DAY).price
    assert row is not None
    assert row.provider == provider


@pytest.mark.parametrize("model", ["gpt-oss-120b", "zai-glm-4.7", "qwen-3-32b"])
def test_a_cerebras_model_is_priced_by_our_catalog_though_the_library_has_it(model):
    assert any(
        found.is_match(model)
        for provider in genai_prices.data_snapshot.get_snapshot().providers
        if provider.id == "cerebras"
        for found in provider.models
    )
    row = list_prices().find("cerebras", model, DAY)
    assert row is not None
    assert not row.source.startswith("genai-prices")
    assert row.input == get_model(model).price(DAY).input


def test_a_cerebras_model_without_a_price_is_not_looked_up_elsewhere():
    assert list_prices().find("cerebras", "gpt-5-mini", DAY) is None
    assert list_prices().find("cerebras", "qwen-3-235b-a22b", DAY) is None


# -------------------------------------------------------------------------- on machine


@pytest.mark.parametrize("provider", ["ollama", "llamacpp"])
def test_a_model_on_your_own_machine_is_free_and_the_row_says_why(provider):
    cost = price_usage(usage(1000, 1000), "llama3:8b", provider=provider, on=DAY)
    assert cost.total == 0
    assert cost.price is not None
    assert cost.price.source == "runs on your machine"


def test_what_ollama_runs_elsewhere_is_unknown():
    for model in ("gpt-oss:120b-cloud", "deepseek-v3.1:cloud"):
        assert list_prices().find("ollama", model, DAY) is None
    with pytest.raises(UnknownPriceError, match="does not run on your machine"):
        price_usage(usage(1, 1), "gpt-oss:120b-cloud", provider="ollama", on=DAY)


# ------------------------------------------------------------- sizes, tiers and batches


@pytest.mark.parametrize("size", [1, 199_999, 200_000, 200_001, 900_000])
@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("google_genai", "google", "gemini-2.5-pro"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
    ],
)
def test_the_size_of_the_prompt_decides_the_rates(provider, theirs, model, size):
    cost = price_usage(usage(size, 1000), model, provider=provider, on=DAY)
    assert cost.total == library(theirs, model, input_tokens=size, output_tokens=1000)
    found = list_prices().find(provider, model, DAY, input_tokens=size)
    assert found == cost.price
    assert ("more than 200,000" in found.note) == (size > 200_000)


def test_rates_double_above_the_size_as_the_page_says():
    rows = [
        list_prices().find("google_genai", "gemini-2.5-pro", DAY, input_tokens=size)
        for size in (200_000, 200_001)
    ]
    assert [(row.input, row.output) for row in rows] == [
        (Decimal("1.25"), Decimal(10)),
        (Decimal("2.5"), Decimal(15)),
    ]


def test_cached_tokens_count_for_the_size():
    cost = price_usage(usage(250_000, 0, cache_read=240_000), "gemini-2.5-pro", on=DAY)
    assert cost.total == library(
        "google", "gemini-2.5-pro", input_tokens=250_000, cache_read_tokens=240_000
    )


def test_what_is_written_for_an_hour_has_its_own_rate():
    given = usage(
        10_000,
        0,
        cache_read=1000,
        cache_creation=0,
        ephemeral_5m_input_tokens=2000,
        ephemeral_1h_input_tokens=3000,
    )
    cost = price_usage(given, "claude-sonnet-4-5", on=DAY)
    row = cost.price
    assert row is not None
    assert cost.cache_write == (2000 * Decimal("3.75") + 3000 * Decimal(6)) / MTOK
    assert cost.cached_input == 1000 * Decimal("0.3") / MTOK
    assert cost.input == 4000 * Decimal(3) / MTOK
    assert "cache writes for an hour 6" in row.note


def test_audio_and_reasoning_have_their_own_rates_where_a_provider_has_them():
    cost = price_usage(usage(1000, 0, audio=600), "gemini-2.5-flash", on=DAY)
    assert cost.input == (400 * Decimal("0.3") + 600 * Decimal(1)) / MTOK
    model = "sonar-deep-research"
    cost = price_usage(
        usage(0, 1000, reasoning=700), model, provider="perplexity", on=DAY
    )
    assert cost.reasoning == 700 * Decimal(3) / MTOK
    assert cost.output == (300 * Decimal(8) + 700 * Decimal(3)) / MTOK


def test_audio_that_is_answered_has_its_own_rate():
    model = "gemini-live-2.5-flash"
    cost = price_usage(
        usage(1000, 500, audio=900, audio_output=400),
        model,
        provider="google_genai",
        on=DAY,
    )
    assert cost.input == (100 * Decimal("0.5") + 900 * Decimal(3)) / MTOK
    assert cost.output == (100 * Decimal(2) + 400 * Decimal(12)) / MTOK


def test_a_price_of_the_request_is_part_of_it():
    cost = price_usage(usage(1000, 1000), "sonar", provider="perplexity", on=DAY)
    assert cost.request == Decimal("0.012")
    assert cost.total == library(
        "perplexity", "sonar", input_tokens=1000, output_tokens=1000
    )


@pytest.mark.parametrize("tier", ["flex", "priority", "default", None, "auto"])
def test_a_service_tier_that_is_priced_apart_has_its_price(tier):
    cost = price_usage(usage(1000, 100), "gpt-5-mini", service_tier=tier, on=DAY)
    context = {"service_tier": tier} if tier in {"flex", "priority"} else None
    assert cost.total == library(
        "openai", "gpt-5-mini", context=context, input_tokens=1000, output_tokens=100
    )


def test_the_tier_that_the_counts_name_decides():
    given = usage(1000, 100, flex_cache_read=200, flex=800)
    cost = price_usage(given, "gpt-5-mini", on=DAY)
    assert cost.total == library(
        "openai",
        "gpt-5-mini",
        context={"service_tier": "flex"},
        input_tokens=1000,
        cache_read_tokens=200,
        output_tokens=100,
    )


def test_a_tier_that_is_priced_apart_is_unknown_where_its_price_is():
    with pytest.raises(UnknownPriceError, match="service tier 'scale'"):
        price_usage(usage(1, 1), "gpt-5-mini", service_tier="scale", on=DAY)
    mixed = usage(1000, 100, flex_cache_read=200, cache_read=100)
    with pytest.raises(UnknownPriceError, match="service tier 'mixed'"):
        price_usage(mixed, "gpt-5-mini", on=DAY)


def test_a_provider_that_prices_its_tiers_alike_has_one_price():
    one, two = (
        price_usage(
            usage(1000, 100),
            "llama-3.3-70b-versatile",
            provider="groq",
            service_tier=tier,
        )
        for tier in (None, "flex")
    )
    assert one == two


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
def test_cerebras_tiers_have_one_price(tier):
    one = price_usage(usage(1000, 100), "gpt-oss-120b", service_tier=tier, on=DAY)
    assert one == price_usage(usage(1000, 100), "gpt-oss-120b", on=DAY)


def test_batch_jobs_have_their_own_price_or_none():
    cost = price_usage(usage(1000, 100), "claude-sonnet-4-5", batch=True, on=DAY)
    assert cost.total == library(
        "anthropic",
        "claude-sonnet-4-5",
        context={"processing": "batch"},
        input_tokens=1000,
        output_tokens=100,
    )
    with pytest.raises(UnknownPriceError, match="no price of its batch jobs"):
        price_usage(usage(1, 1), "grok-4", batch=True, on=DAY)


# ---------------------------------------------------------------------- days and hours


def test_a_call_is_priced_by_the_rates_of_its_day():
    before, after = (
        price_usage(usage(MTOK), "deepseek-v4-flash", provider="deepseek", on=moment)
        for moment in (
            datetime(2026, 8, 16, 12, tzinfo=UTC),
            datetime(2026, 8, 17, 12, tzinfo=UTC),
        )
    )
    assert (before.total, after.total) == (Decimal("0.14"), Decimal("0.22"))


@pytest.mark.parametrize("hour", range(24))
def test_the_hour_decides_where_the_price_has_peaks(hour):
    moment = datetime(2025, 6, 1, hour, 31, tzinfo=UTC)
    cost = price_usage(
        usage(1000, 100), "deepseek-chat", provider="deepseek", on=moment
    )
    assert cost.total == library(
        "deepseek", "deepseek-chat", on=moment, input_tokens=1000, output_tokens=100
    )


def test_a_day_without_an_hour_has_its_dearest_price_and_says_so():
    row = list_prices().find("deepseek", "deepseek-chat", date(2025, 6, 1))
    assert row is not None
    assert (row.input, row.output) == (Decimal("0.27"), Decimal("1.1"))
    assert "the dearest rates of the day" in row.note


def test_an_hour_in_another_zone_is_the_same_moment():
    from datetime import timezone

    here = datetime(2025, 6, 1, 20, 0, tzinfo=UTC)
    there = here.astimezone(timezone(timedelta(hours=9)))
    one, two = (
        price_usage(usage(1000), "deepseek-chat", provider="deepseek", on=moment)
        for moment in (here, there)
    )
    assert one == two


# ----------------------------------------------------------- all of it, against theirs


def test_every_model_costs_what_the_library_computes():
    """Each text model of each provider, with a cache, at a small and a large size."""
    snapshot = genai_prices.data_snapshot.get_snapshot()
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    checked = 0
    for provider in snapshot.providers:
        if provider.id in {"cerebras", "openai-decisions"}:
            continue
        for model in provider.models:
            for size in (1000, 1_200_000):
                rates = _providers.find_rates(
                    provider_id(provider.id), model.id, moment, batch=False, tier=None
                )
                _, found = find(snapshot, provider, model.id)
                if rates is None or found is None:
                    continue
                prices = vars(found.get_prices(moment))
                if "output_mtok" not in prices or "input_mtok" not in prices:
                    continue
                given = genai_prices.Usage(
                    input_tokens=size,
                    cache_read_tokens=400,
                    cache_write_tokens=100,
                    output_tokens=200,
                )
                theirs = found.calc_price(
                    given, provider, genai_request_timestamp=moment
                ).total_price
                from langchain_cerebras_ext.costs._usage import Counts
                from langchain_cerebras_ext.costs.pricing import price_counts

                ours = price_counts(
                    rates.of_size(size), Counts(size, 400, 100, 0, 200)
                ).total
                assert abs(ours - theirs) < Decimal("1e-11"), (provider.id, model.id)
                checked += 1
    assert checked > 2000


def provider_id(theirs):
    """Our name of a provider of the library."""
    return _providers.provider_name(theirs)


def find(snapshot, provider, model):
    try:
        return snapshot.find_provider_model(model, None, provider.id, None)
    except LookupError:
        return None, None


# -------------------------------------------------------------------------- the library


@pytest.fixture
def no_library(monkeypatch):
    """As if the library were not installed."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "genai_prices"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    _providers._library.cache_clear()
    yield
    _providers._library.cache_clear()


def test_without_the_library_other_prices_are_unknown_and_the_cure_is_named(no_library):
    book = PriceBook()
    assert not book.preload()
    assert book.find("openai", "gpt-5-mini", DAY) is None
    assert book.find(None, "gpt-5-mini", DAY) is None
    assert book.find("cerebras", "gpt-oss-120b", DAY) is not None
    assert book.find("ollama", "llama3", DAY) is not None
    for provider in ("openai", None):
        with pytest.raises(UnknownPriceError, match=r"ext\[prices\]'"):
            price_usage(
                usage(1, 1), "gpt-5-mini", provider=provider, prices=book, on=DAY
            )


def test_your_own_price_needs_no_library(no_library):
    book = PriceBook().with_price("gpt-5-mini", provider="openai", input=1, output=2)
    assert price_usage(usage(MTOK, MTOK), "gpt-5-mini", prices=book).total == 3


def test_nothing_is_fetched_from_the_network(monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    book = PriceBook()
    assert book.preload()
    assert book.find("openai", "gpt-5-mini", DAY) is not None
    assert book.find("openai", "gpt-nobody", DAY) is None
    assert not [one for one in threading.enumerate() if "price" in one.name.lower()]


def test_tables_that_the_program_has_updated_are_used_and_named():
    from genai_prices.data_snapshot import (
        DataSnapshot,
        get_snapshot,
        set_custom_snapshot,
    )

    book = PriceBook()
    before = book.find("openai", "gpt-5-mini", DAY)
    mine = DataSnapshot(providers=get_snapshot().providers, from_auto_update=True)
    mine.timestamp = datetime(2026, 11, 20, 8, 0)  # noqa: DTZ001 - as the library has it
    try:
        set_custom_snapshot(mine)
        after = book.find("openai", "gpt-5-mini", DAY)
    finally:
        set_custom_snapshot(None)
    assert before is not None
    assert after is not None
    assert after.seen == date(2026, 11, 20)
    assert after.source.endswith("updated 2026-11-20")
    assert book.find("openai", "gpt-5-mini", DAY) == before


def test_the_programs_decimal_context_changes_nothing():
    expected = price_usage(
        usage(333_333, 77, cache_read=3), "claude-sonnet-4-5", on=DAY
    )
    with localcontext(prec=2):
        book = PriceBook()
        found = price_usage(
            usage(333_333, 77, cache_read=3), "claude-sonnet-4-5", on=DAY, prices=book
        )
    assert found == expected
