"""Your own prices and discounts, where they come from, and what they win over."""

import copy
import pickle
import sys
import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from langchain_cerebras_ext.catalog import (
    get_model,
    register_model,
    reload,
    unregister_model,
    use_packaged,
)
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._snapshot import read_public_list
from langchain_cerebras_ext.costs import prices
from langchain_cerebras_ext.costs.prices import Discount, PriceBook, list_prices
from langchain_cerebras_ext.costs.pricing import PriceRow, price_call, price_usage
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    InvalidUsageError,
    UnknownPriceError,
)

DAY = date(2026, 11, 21)
MTOK = 1_000_000
ONE_EACH = {"input_tokens": MTOK, "output_tokens": MTOK, "total_tokens": 2 * MTOK}
MINE = PriceBook().with_price("gpt-oss-120b", input="0.30", output="0.60")


def rates(row):
    return None if row is None else (row.input, row.output)


LIST = (Decimal("0.35"), Decimal("0.75"))
OWN = (Decimal("0.30"), Decimal("0.60"))


# -------------------------------------------------------------------------- your prices


def test_your_own_price_wins_over_the_catalogs():
    assert rates(list_prices().find("cerebras", "gpt-oss-120b", DAY)) == LIST
    row = MINE.find("cerebras", "gpt-oss-120b", DAY)
    assert rates(row) == OWN
    assert row.source == "your prices"
    assert price_usage(ONE_EACH, "gpt-oss-120b", prices=MINE).total == Decimal("0.90")


def test_your_own_price_prices_what_nobody_else_does():
    book = PriceBook().with_price("my-model", provider="my-cloud", input=1, output=2)
    assert (
        price_usage(ONE_EACH, "my-model", provider="my-cloud", prices=book).total == 3
    )
    assert price_usage(ONE_EACH, "my-cloud::my-model", prices=book).total == 3
    assert price_usage(ONE_EACH, "my-model", prices=book).total == 3


def test_a_price_is_for_its_provider_only():
    book = MINE.with_price("gpt-oss-120b", provider="groq", input=1, output=2)
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == OWN
    assert rates(book.find("groq", "gpt-oss-120b", DAY)) == (1, 2)
    assert book.find("nobody", "gpt-oss-120b", DAY) is None


def test_a_provider_may_be_given_by_any_of_its_names():
    book = PriceBook().with_price("m", provider="azure_openai", input=1, output=2)
    assert book.rows[0].provider == "azure"
    for name in ("azure", "azure_openai", "Azure"):
        assert rates(book.find(name, "m", DAY)) == (1, 2)
    prefixed = PriceBook().with_price("azure_openai::m", input=1, output=2)
    assert prefixed == book


@pytest.mark.parametrize("mark", ["/", ":", "::"])
@pytest.mark.parametrize("asked", ["gpt-oss-120b", "cerebras/gpt-oss-120b"])
def test_a_models_id_may_name_its_provider_as_calls_do(mark, asked):
    """Else the list price held, and your own one was passed over in silence."""
    name = f"cerebras{mark}gpt-oss-120b"
    given = PriceBook().with_price(name, input=1, output=2)
    made = PriceBook([PriceRow(model=name, input=Decimal(1), output=Decimal(2))])
    for book in (given, made):
        assert rates(book.find("cerebras", asked, DAY)) == (1, 2)
    half = PriceBook().with_discount(percent=50, model=name)
    assert half.discounts[0].provider == "cerebras"
    row = half.find("cerebras", asked, DAY)
    assert row is not None
    assert row.discount == Decimal("0.5")


def test_another_providers_model_keeps_its_whole_id():
    row = PriceRow(model="openrouter::cerebras/m", input=Decimal(1), output=Decimal(2))
    assert rates(PriceBook([row]).find("openrouter", "cerebras/m", DAY)) == (1, 2)


@pytest.mark.parametrize("asked", ["llama-3.3-70b", "llama3.3-70b"])
@pytest.mark.parametrize("given", ["llama-3.3-70b", "llama3.3-70b"])
def test_a_price_holds_for_every_name_of_its_model(given, asked):
    book = PriceBook().with_price(given, input=1, output=2)
    assert rates(book.find("cerebras", asked, DAY)) == (1, 2)


def test_a_price_for_every_model_yields_to_one_of_its_own():
    book = (
        PriceBook()
        .with_price("llama3", provider="ollama", input=1, output=1)
        .with_price("*", provider="ollama", input="0.1", output="0.2", note="power")
    )
    assert rates(book.find("ollama", "llama3", DAY)) == (1, 1)
    other = book.find("ollama", "mistral", DAY)
    assert (rates(other), other.note) == ((Decimal("0.1"), Decimal("0.2")), "power")
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == LIST


def test_a_price_holds_from_its_first_day_to_the_day_before_its_end():
    book = (
        PriceBook()
        .with_price("m", input=1, output=1, valid_until=date(2026, 1, 1))
        .with_price(
            "m",
            input=2,
            output=2,
            valid_from=date(2026, 1, 1),
            valid_until=date(2026, 7, 1),
        )
    )
    found = {
        day: rates(book.find("cerebras", "m", day))
        for day in (
            date(2025, 12, 31),
            date(2026, 1, 1),
            date(2026, 6, 30),
            date(2026, 7, 1),
        )
    }
    assert list(found.values()) == [(1, 1), (2, 2), (2, 2), None]


def test_outside_of_its_days_a_price_leaves_room_for_the_catalogs():
    book = PriceBook().with_price(
        "gpt-oss-120b", input=1, output=1, valid_from=date(2026, 1, 1)
    )
    before = book.find("cerebras", "gpt-oss-120b", date(2025, 12, 31))
    assert rates(before) == LIST
    assert rates(book.find("cerebras", "gpt-oss-120b", date(2026, 1, 1))) == (1, 1)


def test_of_two_prices_for_a_day_the_one_given_last_holds():
    book = MINE.with_price("gpt-oss-120b", input=7, output=8)
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == (7, 8)


def test_a_price_of_batch_jobs_is_for_them_alone():
    book = MINE.with_price("gpt-oss-120b", input="0.1", output="0.2", batch=True)
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == OWN
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY, True)) == (
        Decimal("0.1"),
        Decimal("0.2"),
    )
    assert MINE.find("cerebras", "gpt-oss-120b", DAY, batch=True) is None


def test_free_is_zero_and_unknown_is_none():
    book = PriceBook().with_price("mine", input=0, output=0)
    assert rates(book.find("cerebras", "mine", DAY)) == (0, 0)
    assert price_usage(ONE_EACH, "mine", prices=book).total == 0
    assert book.find("cerebras", "other", DAY) is None
    half = PriceBook().with_price("half", input=1)
    with pytest.raises(UnknownPriceError, match="output rate of 'half'"):
        price_usage(ONE_EACH, "half", prices=half)


# ---------------------------------------------------------------------------- discounts


def test_a_discount_is_taken_off_list_prices():
    book = PriceBook().with_discount(percent=20, note="contract")
    row = book.find("cerebras", "gpt-oss-120b", DAY)
    assert rates(row) == (Decimal("0.28"), Decimal("0.60"))
    assert row.cached_input == Decimal("0.28")
    assert (row.discount, row.note) == (Decimal("0.20"), "contract")
    assert row.source.startswith("https://")


def test_a_discount_is_taken_off_exactly():
    book = PriceBook().with_discount(fraction="0.123456789")
    row = book.find("cerebras", "gpt-oss-120b", DAY)
    assert row.input == Decimal("0.35") * (1 - Decimal("0.123456789"))


def test_several_discounts_are_taken_one_after_the_other():
    book = PriceBook().with_discount(percent=10).with_discount(fraction="0.5")
    row = book.find("cerebras", "gpt-oss-120b", DAY)
    assert row.input == Decimal("0.35") * Decimal("0.9") * Decimal("0.5")
    assert row.discount == Decimal("0.55")
    assert row.note == "10 % off; 50 % off"


@pytest.mark.parametrize(
    ("of", "hit"),
    [
        ({}, True),
        ({"provider": "cerebras"}, True),
        ({"provider": "openai"}, False),
        ({"model": "gpt-oss-120b"}, True),
        ({"model": "cerebras::gpt-oss-120b"}, True),
        ({"model": "openai::gpt-oss-120b"}, False),
        ({"model": "qwen-3.8-27b"}, False),
        ({"valid_from": DAY}, True),
        ({"valid_from": date(2026, 11, 22)}, False),
        ({"valid_until": DAY}, False),
        ({"valid_until": date(2026, 11, 22)}, True),
    ],
    ids=str,
)
def test_a_discount_holds_for_what_it_names(of, hit):
    row = (
        PriceBook()
        .with_discount(percent=50, **of)
        .find("cerebras", "gpt-oss-120b", DAY)
    )
    assert row.discount == (Decimal("0.5") if hit else 0)


def test_your_own_price_is_what_you_pay():
    general = MINE.with_discount(percent=50).with_discount(
        percent=50, provider="cerebras"
    )
    assert rates(general.find("cerebras", "gpt-oss-120b", DAY)) == OWN


def test_a_discount_that_names_a_model_counts_for_your_own_price_of_it():
    named = MINE.with_discount(percent=50, model="gpt-oss-120b")
    assert rates(named.find("cerebras", "gpt-oss-120b", DAY)) == (
        Decimal("0.15"),
        Decimal("0.30"),
    )


def test_a_discount_of_everything_is_free():
    book = PriceBook().with_discount(percent="100%")
    assert price_usage(ONE_EACH, "gpt-oss-120b", prices=book).total == 0


def test_a_discount_holds_for_the_price_of_a_request_too():
    book = (
        PriceBook()
        .with_price("m", input=1, output=1, request="0.01")
        .with_discount(percent=50, model="m")
    )
    assert book.find("cerebras", "m", DAY).request == Decimal("0.005")


def test_a_card_is_priced_with_your_prices_and_discounts():
    card = get_model("gpt-oss-120b")
    assert price_usage(ONE_EACH, card, prices=MINE).total == Decimal("0.90")
    off = PriceBook().with_discount(percent=50)
    assert price_usage(ONE_EACH, card, prices=off, on=DAY).total == Decimal("0.55")


# ----------------------------------------------------------------------------- the book


def test_a_book_never_changes():
    before = PriceBook()
    after = before.with_price("m", input=1, output=1).with_discount(percent=5)
    assert (before.rows, before.discounts) == ((), ())
    assert (len(after.rows), len(after.discounts)) == (1, 1)
    with pytest.raises(AttributeError):
        before.rows = ()  # type: ignore[misc]


def test_books_can_be_put_together():
    team = PriceBook().with_price("m", input=2, output=2).with_discount(percent=10)
    whole = PriceBook().with_price("m", input=1, output=1).merge(team)
    assert rates(whole.find("cerebras", "m", DAY)) == (2, 2)
    assert len(whole.discounts) == 1


def test_a_book_is_known_by_what_it_holds():
    same = PriceBook().with_price("gpt-oss-120b", input="0.30", output="0.60")
    assert same == MINE
    assert hash(same) == hash(MINE)
    assert same != PriceBook()
    assert same != "a book"
    assert repr(MINE) == "<PriceBook, 1 prices and 0 discounts>"


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda book: pickle.loads(pickle.dumps(book))]
)
def test_a_book_can_be_copied_and_pickled(way):
    MINE.find("cerebras", "gpt-oss-120b", DAY)
    twin = way(MINE.with_discount(percent=1))
    assert twin == MINE.with_discount(percent=1)
    assert rates(twin.find("cerebras", "gpt-oss-120b", DAY)) == OWN


def test_rows_and_discounts_can_be_given_at_once():
    book = PriceBook(
        rows=[PriceRow(input=Decimal(1), output=Decimal(2), model="m")],
        discounts=[Discount(fraction=Decimal("0.5"), model="m")],
        batch_rows=[PriceRow(input=Decimal(4), output=Decimal(4), model="m")],
    )
    assert rates(book.find("cerebras", "m", DAY)) == (Decimal("0.5"), 1)
    assert rates(book.find("cerebras", "m", DAY, batch=True)) == (2, 2)
    assert book.rows[0].source == "your prices"
    assert len(book.batch_rows) == 1


WRONG_PRICES = {
    "float": ({"input": 0.35}, r"input=0\.35 is a float.*input='0\.35'"),
    "negative": ({"input": -1}, "input=-1 must be USD per million"),
    "text": ({"output": "cheap"}, "output='cheap' must be"),
    "nan": ({"input": "NaN"}, "input='NaN' must be"),
    "infinite": ({"input": Decimal("inf")}, r"input=Decimal\('Infinity'\)"),
    "bool": ({"input": True}, "input=True must be"),
    "too-fine": ({"input": "0." + "1" * 41}, "at most 40 digits"),
    "too-small": ({"input": "1e-50"}, "at most 40 digits"),
    "too-large": ({"input": "1e13"}, "from 0 to"),
    "neither": ({"input": None, "cached_input": 1}, "give input, output or both"),
    "request": ({"request": "-1"}, "request=.* must be USD a request"),
    "days": (
        {"valid_from": DAY, "valid_until": DAY},
        "valid_until=2026-11-21 must be after valid_from=2026-11-21",
    ),
    "moment": (
        {"valid_from": datetime(2026, 1, 1, tzinfo=UTC)},
        "valid_from=.* must be a date",
    ),
    "provider": ({"provider": ""}, "provider must be a name"),
}


@pytest.mark.parametrize(("given", "said"), WRONG_PRICES.values(), ids=WRONG_PRICES)
def test_a_wrong_price_is_refused_by_its_name(given, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        PriceBook().with_price("m", **{"input": 1, **given})


WRONG_DISCOUNTS = {
    "none": ({}, "either percent"),
    "both": ({"percent": 1, "fraction": "0.1"}, "either percent"),
    "above": ({"percent": 101}, "percent=101 must be a number from 0 to 100"),
    "fraction": ({"fraction": 20}, "fraction=20 must be a number from 0 to 1"),
    "negative": ({"percent": -5}, "percent=-5 must be"),
    "float": ({"fraction": 0.2}, r"fraction=0\.2 is a float"),
    "text": ({"percent": "many"}, "percent='many' must be"),
    "days": ({"percent": 1, "valid_from": DAY, "valid_until": DAY}, "must be after"),
}


@pytest.mark.parametrize(
    ("given", "said"), WRONG_DISCOUNTS.values(), ids=WRONG_DISCOUNTS
)
def test_a_wrong_discount_is_refused_by_its_name(given, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        PriceBook().with_discount(**given)


@pytest.mark.parametrize(
    ("rows", "discounts", "said"),
    [
        ([{"input": 1}], [], "must be a PriceRow, not dict"),
        ([], [0.2], "must be a Discount, not float"),
        ([PriceRow(input=Decimal(1))], [], "model must be"),
        ([PriceRow(input=0.5, model="m")], [], "input=0.5"),
        ([], [Discount(fraction=Decimal(2))], "fraction="),
    ],
    ids=["mapping", "number", "no-model", "float-rate", "more-than-all"],
)
def test_what_is_no_price_or_discount_is_refused(rows, discounts, said):
    with pytest.raises(CerebrasConfigurationError, match=said):
        PriceBook(rows, discounts)


@pytest.mark.parametrize("model", ["", None, 7, ["gpt-oss-120b"]])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(CerebrasConfigurationError, match="must be a model's id"):
        PriceBook().find("cerebras", model, DAY)


# ------------------------------------------------------------------- calls that were made

BOTH = (
    PriceBook()
    .with_price("asked", provider="cerebras", input=1, output=1)
    .with_price("served", provider="cerebras", input=2, output=2)
    .with_price("asked", provider="azure", input=3, output=3)
)


@pytest.mark.parametrize(
    ("book", "provider", "asked", "served", "rate"),
    [
        (BOTH, "cerebras", "asked", "served", 1),
        (BOTH, "cerebras", "asked", None, 1),
        (BOTH, "cerebras", "else", "served", 2),
        (BOTH, "azure", "asked", "gpt-4o", 3),
        (BOTH, "azure_openai", "asked", "gpt-4o", 3),
        (BOTH, "cerebras", "else", "other", None),
        (PriceBook(), "cerebras", "gpt-oss-120b", "qwen-3.8-27b", Decimal("0.35")),
        (PriceBook(), "cerebras", "dedicated", "qwen-3.8-27b", Decimal("0.99")),
        (
            PriceBook().with_price("dedicated", input=9, output=9),
            "cerebras",
            "dedicated",
            "qwen-3.8-27b",
            9,
        ),
    ],
)
def test_of_two_names_of_a_call_your_own_price_wins(
    book, provider, asked, served, rate
):
    found = book.rates_of_call(provider, asked, served, DAY)
    assert (None if found is None else found.of_size(0).row.input) == rate
    cost = price_call(
        ONE_EACH, provider=provider, model=asked, served=served, on=DAY, prices=book
    )
    assert (None if cost is None else cost.input) == rate


def test_a_call_whose_kind_has_no_price_has_none():
    book = PriceBook().with_price("half", input=1)
    found = price_call(ONE_EACH, provider="cerebras", model="half", prices=book)
    assert found is None
    with pytest.raises(InvalidUsageError):
        price_call({}, provider="cerebras", model="half", prices=book)


# ------------------------------------------------------------ when the catalog changes


@pytest.fixture
def clean_catalog():
    yield
    use_packaged()
    reload()


def test_a_card_that_was_registered_is_priced_at_once_and_forgotten_at_once():
    book = PriceBook()
    assert book.find("cerebras", "my-new", DAY) is None
    register_model({"id": "my-new", "price": {"input": "1", "output": "2"}})
    try:
        row = book.find("cerebras", "my-new", DAY)
        assert (rates(row), row.source) == ((1, 2), "your card of my-new")
        register_model({"id": "my-new", "price": {"input": "3", "output": "4"}})
        assert rates(book.find("cerebras", "my-new", DAY)) == (3, 4)
    finally:
        unregister_model("my-new")
    assert book.find("cerebras", "my-new", DAY) is None


def test_a_live_list_is_taken_into_account_at_once(clean_catalog):
    from langchain_cerebras_ext.catalog._snapshot import Snapshot

    book = PriceBook()
    later = date(2026, 12, 24)
    assert rates(book.find("cerebras", "gpt-oss-120b", later)) == LIST
    body = b"""{"object":"list","data":[{"id":"gpt-oss-120b","object":"model",
        "created":0,"owned_by":"x","name":"n",
        "pricing":{"prompt":"0.0000005","completion":"0.000001"}}]}"""
    listed = Snapshot(
        on=date(2026, 12, 1),
        url="https://api.cerebras.ai",
        models=read_public_list(body),
        account=None,
    )
    registry.use_snapshots((listed,))
    row = book.find("cerebras", "gpt-oss-120b", later)
    assert rates(row) == (Decimal("0.5"), Decimal(1))
    assert row.valid_from == date(2026, 12, 1)
    assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == LIST
    use_packaged()
    assert rates(book.find("cerebras", "gpt-oss-120b", later)) == LIST


def test_a_file_of_cards_is_priced_after_a_reload(clean_catalog, monkeypatch, tmp_path):
    book = PriceBook()
    assert book.find("cerebras", "filed", DAY) is None
    path = tmp_path / "cards.toml"
    path.write_text('[[models]]\nid = "filed"\nprice = { input = 1, output = 2 }\n')
    monkeypatch.setenv("CEREBRAS_CATALOG", str(path))
    assert book.find("cerebras", "filed", DAY) is None
    reload()
    assert rates(book.find("cerebras", "filed", DAY)) == (1, 2)
    monkeypatch.delenv("CEREBRAS_CATALOG")


def test_what_was_looked_up_is_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(prices, "_MAX_KEPT", 10)
    book = PriceBook()
    for number in range(100):
        assert book.find("cerebras", f"model-{number}", DAY) is None
        assert rates(book.find("cerebras", "gpt-oss-120b", DAY)) == LIST
    assert len(book._known.rates) <= 10


def test_many_threads_find_the_same_while_the_catalog_changes():
    book = PriceBook()
    wrong: list[object] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            row = book.find("cerebras", "gpt-oss-120b", DAY)
            if rates(row) != LIST:
                wrong.append(row)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=look) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        for number in range(30):
            register_model({"id": "other", "price": {"input": number, "output": 1}})
            assert rates(book.find("cerebras", "other", DAY)) == (number, 1)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
        unregister_model("other")
    assert wrong == []


# ------------------------------------------------------------------------------- files

TOML = """\
# What we pay.
[[prices]]
model = "gpt-oss-120b"
input = 0.30
output = "0.60"
valid_from = 2026-01-01
note = "contract"

[[prices]]
model = "azure_openai::our-deployment"
input = 2
output = 8
cached_input = 0.5
seen = "2026-10-01"
source = "the invoice"

[[prices]]
model = "gpt-oss-120b"
input = 0.1
output = 0.2
batch = true

[[discounts]]
percent = 12.5
provider = "openai"
valid_until = 2027-01-01
note = "volume"
"""
JSON = """{
  "prices": [
    {"model": "gpt-oss-120b", "input": 0.30, "output": "0.60",
     "valid_from": "2026-01-01", "note": "contract"},
    {"model": "our-deployment", "provider": "azure", "input": 2, "output": 8,
     "cached_input": 0.5, "seen": "2026-10-01", "source": "the invoice"},
    {"model": "gpt-oss-120b", "input": 0.1, "output": 0.2, "batch": true}
  ],
  "discounts": [
    {"fraction": 0.125, "provider": "openai", "valid_until": "2027-01-01",
     "note": "volume"}
  ]
}"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("prices.toml", TOML), ("prices.json", JSON)],
    ids=["toml", "json"],
)
def test_a_file_holds_prices_and_discounts(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    book = PriceBook.load(path)
    source = f"your prices ({name})"
    assert book.rows == (
        PriceRow(
            input=Decimal("0.30"),
            output=Decimal("0.60"),
            model="gpt-oss-120b",
            source=source,
            valid_from=date(2026, 1, 1),
            note="contract",
        ),
        PriceRow(
            input=Decimal(2),
            output=Decimal(8),
            cached_input=Decimal("0.5"),
            provider="azure",
            model="our-deployment",
            source="the invoice",
            seen=date(2026, 10, 1),
        ),
    )
    assert rates(book.batch_rows[0]) == (Decimal("0.1"), Decimal("0.2"))
    assert book.discounts == (
        Discount(
            fraction=Decimal("0.125"),
            provider="openai",
            valid_until=date(2027, 1, 1),
            note="volume",
        ),
    )
    assert PriceBook.load(str(path)) == book


BAD_FILES = {
    "not-toml": ("x.toml", "[[prices]\n", r"is no TOML: .*line 1"),
    "not-json": ("x.json", "{\n\n oops", r"is no JSON: .*line 3"),
    "nan": ("x.json", '{"prices": [{"model": "m", "input": NaN}]}', "is no JSON"),
    "list": ("x.json", "[]", "must be an object"),
    "key": ("x.toml", "price = 1", r"key 'price' is not known; did you mean 'prices'"),
    "no-list": ("x.toml", "prices = 1", "'prices' must be a list"),
    "no-table": ("x.json", '{"prices": [1]}', "price 1: must be a table"),
    "no-model": (
        "x.toml",
        "# a\n[[prices]]\ninput = 1\n",
        r"price 1, line 2: key 'model': is missing",
    ),
    "second-entry": (
        "x.toml",
        '[[prices]]\nmodel = "a"\ninput = 1\n\n[[prices]]\nmodel = "b"\ninput = -2\n',
        r"price 2, line 7: key 'input': input=-2 must be",
    ),
    "misspelt": (
        "x.toml",
        '[[prices]]\nmodel = "a"\ninput = 1\noutptu = 2\n',
        r"price 1, line 4: key 'outptu': is not known; did you mean 'output'\?$",
    ),
    "misspelt-json": (
        "x.json",
        '{"prices": [{"model": "a", "inptu": 1}]}',
        r"price 1: key 'inptu': is not known",
    ),
    "day": (
        "x.toml",
        '[[prices]]\nmodel = "a"\ninput = 1\nvalid_from = "soon"\n',
        r"line 4: key 'valid_from': must be a day",
    ),
    "moment": (
        "x.toml",
        '[[prices]]\nmodel = "a"\ninput = 1\nseen = 2026-01-01T00:00:00Z\n',
        r"line 4: key 'seen': must be a day",
    ),
    "days": (
        "x.toml",
        '[[prices]]\nmodel="a"\ninput=1\nvalid_from=2026-02-01\nvalid_until=2026-01-01\n',
        r"must be after valid_from",
    ),
    "flag": (
        "x.toml",
        '[[prices]]\nmodel = "a"\ninput = 1\nbatch = "yes"\n',
        r"line 4: key 'batch': must be true or false",
    ),
    "text": (
        "x.toml",
        "[[prices]]\nmodel = 7\ninput = 1\n",
        r"line 2: key 'model': must be a text",
    ),
    "empty": (
        "x.toml",
        '[[prices]]\nmodel = "m"\n',
        r"price 1, line 1: .*give input, output or both",
    ),
    "discount": (
        "x.toml",
        "[[discounts]]\npercent = 120\n",
        r"discount 1, line 2: key 'percent': percent=120 must be a number from 0",
    ),
    "discount-key": (
        "x.toml",
        "[[discounts]]\npercentage = 20\n",
        r"discount 1, line 2: key 'percentage': is not known; did you mean 'percent'",
    ),
    "no-discount": ("x.toml", "[[discounts]]\nnote = 'x'\n", "give either percent"),
}


@pytest.mark.parametrize(("name", "text", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CerebrasConfigurationError, match=said) as caught:
        PriceBook.load(path)
    assert repr(str(path)) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CerebrasConfigurationError, match=r"none\.toml.*No such file"):
        PriceBook.load(tmp_path / "none.toml")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(CerebrasConfigurationError, match="is longer than"):
        PriceBook.load(large)
