"""How the dashboard's page marks what is not certain, in a real headless Chromium."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from browser import open_browser, resize
from dashboard_view import Page, Served

from langchain_cerebras_ext.costs.budget import Budget, CallScope
from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.errors import LedgerError

GUESSED = ("estimated", "no_usage")


def records():
    """Calls whose cost is known, estimated, and not known; all of a cent."""
    at = datetime.now(UTC) - timedelta(minutes=30)
    cent = Cost(input=Decimal("0.01"))
    common = {"started_at": at, "input_tokens": 1_000, "output_tokens": 10}
    yield UsageRecord(model="exact", cost=cent, tags=("one", "two"), **common)
    yield UsageRecord(model="guessed", cost=cent, **common)
    yield UsageRecord(model="guessed", cost=cent, flags=GUESSED, **common)
    yield UsageRecord(model="partly", cost=cent, **common)
    yield UsageRecord(model="partly", flags=("unpriced",), **common)
    yield UsageRecord(model="unheard", flags=("unpriced",), **common)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    browser = open_browser(tmp_path_factory.mktemp("downloads"))
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "costs.db")
    ledger.import_records(list(records()))
    with Served(ledger) as running:
        made = Page(browser, running.url)
        made.ledger = ledger
        yield made
    browser.quit()


def test_totals_are_marked_as_the_commands_mark_them(page):
    """`~` has estimates in it, `≥` lacks calls whose cost nobody knows."""
    resize(page.browser, 1280, 900)
    page.open("?range=24h")
    page.scroll_to("by-model")
    shown = page.js(
        "return Object.fromEntries([...document.querySelectorAll("
        "'#by-model tbody tr')].map((row) => [row.querySelector('.pick').textContent,"
        " [row.querySelector('td.num').textContent,"
        " row.querySelector('.doubt')?.textContent ?? '']]))"
    )
    assert shown == {
        "exact": ["$0.0100", ""],
        "guessed": ["~ $0.0200", "1 estimated"],
        "partly": ["≥ $0.0100", "1 unpriced"],
        "unheard": ["unknown", "1 unpriced"],
    }
    assert page.text("#tile-spend .value") == "≥ $0.0400"


def test_calls_whose_cost_nobody_knows_are_not_in_the_average(page, tmp_path):
    """They would make the others look cheaper."""
    at = datetime.now(UTC) - timedelta(minutes=5)
    cent = Cost(input=Decimal("0.01"))
    ledger = Ledger(tmp_path / "costs.db")
    ledger.add(UsageRecord(model="m", cost=cent, flags=("estimated",), started_at=at))
    for _ in range(3):
        ledger.add(UsageRecord(model="m", flags=("no_usage",), started_at=at))
    ledger.flush()
    with Served(ledger) as running:
        board = Page(page.browser, running.url)
        resize(board.browser, 1280, 900)
        board.open("?range=24h")
        assert board.text("#tile-spend .value") == "≥ $0.0100"
        told = "$0.0100 each on average, where the cost is known"
        assert told in board.text("#tile-calls")
        told = "3 calls whose cost is not known are not in these bars."
        assert told in board.text("#spend")


def test_what_was_billed_is_marked_too(page):
    page.open("?range=24h&model=guessed")
    page.scroll_to("whatif")
    page.until("document.querySelectorAll('#whatif tbody tr').length")
    first = "document.querySelector('#whatif tbody tr')"
    assert page.js(f"return {first}.querySelector('td').textContent") == "~ $0.0200"
    assert "1 estimated" in page.js(f"return {first}.textContent")


def test_no_difference_is_told_from_what_nobody_knows(page, tmp_path):
    """Neither from other models' prices, nor from what was spent before."""
    now = datetime.now(UTC)
    ledger = Ledger(tmp_path / "costs.db")
    for hours, known in (
        (1, {"flags": ("unpriced",)}),
        (30, {"cost": Cost(input=Decimal(1))}),
    ):
        at = now - timedelta(hours=hours)
        ledger.add(UsageRecord(model="m", input_tokens=9, started_at=at, **known))
    ledger.flush()
    with Served(ledger) as running:
        board = Page(page.browser, running.url)
        resize(board.browser, 1280, 900)
        board.open("?range=24h")
        assert board.text("#tile-spend .value") == "unknown"
        assert board.text("#tile-spend").endswith("$1.00 in the 24 hours before")
        board.scroll_to("whatif")
        board.until("document.querySelectorAll('#whatif tbody tr').length > 1")
        shown = board.js(
            "return [...document.querySelectorAll('#whatif tbody tr')]"
            ".map((row) => row.cells[2].textContent)"
        )
        assert set(shown) == {"", "unknown"}


def test_what_a_cache_saved_is_marked_where_a_price_is_missing(page, tmp_path):
    at = datetime.now(UTC) - timedelta(minutes=5)
    common = {"started_at": at, "input_tokens": 1_000, "cached_input_tokens": 500}
    saving = Cost(input=Decimal("0.01"), cache_savings=Decimal("0.004"))
    ledger = Ledger(tmp_path / "costs.db")
    ledger.add(UsageRecord(model="exact", cost=saving, **common))
    ledger.add(UsageRecord(model="same", cost=Cost(input=Decimal("0.01")), **common))
    ledger.add(UsageRecord(model="unheard", flags=("unpriced",), **common))
    ledger.flush()
    same = "they cost the same as others"
    with Served(ledger) as running:
        board = Page(page.browser, running.url)
        resize(board.browser, 1280, 900)
        board.open("?range=24h")
        assert board.text("#tile-saved .value") == "≥ $0.00400"
        board.scroll_to("tokens")
        board.until("document.querySelectorAll('#tokens table tbody tr .pick').length")
        cells = board.js(
            "return Object.fromEntries([...document.querySelectorAll('#tokens tr')]"
            ".filter((row) => row.querySelector('.pick'))"
            ".map((row) => [row.querySelector('.pick').textContent,"
            " row.lastElementChild.textContent]))"
        )
        assert cells == {"exact": "$0.00400", "same": "$0.00", "unheard": "unknown"}
        board.open("?range=24h&model=unheard")
        assert board.text("#tile-saved .value") == "unknown"
        assert same not in board.text("#tile-saved")
        board.open("?range=24h&model=unheard&model=same")
        assert board.text("#tile-saved .value") == "≥ $0.00"
        assert f"{same} where the price is known" in board.text("#tile-saved")
        board.open("?range=24h&model=same")
        assert f"{same} there" in board.text("#tile-saved")


def test_on_a_phone_a_calls_day_is_on_one_line_and_its_tags_stand_together(page):
    resize(page.browser, 390, 900)
    page.open("?range=24h&model=exact")
    page.scroll_to("records")
    page.until("document.querySelectorAll('#records .tags').length")
    left, right, height, line = page.js(
        "const [a, b] = [...document.querySelectorAll('#records .tags .pick')]"
        ".map((one) => one.getBoundingClientRect());"
        "const day = document.querySelector('#records tbody th');"
        "const range = document.createRange(); range.selectNodeContents(day);"
        "return [a.right, b.left, range.getClientRects().length, day.textContent]"
    )
    assert 0 <= right - left < 20
    assert height <= 2, f"{line} is on {height} lines"


def test_what_lies_before_a_time_of_ones_own_is_told_in_words(page):
    resize(page.browser, 1280, 900)
    day = datetime.now(UTC) - timedelta(days=1)
    page.open(f"?range=custom&since={day:%Y-%m-%dT%H:%M}")
    assert page.text("#tile-spend").endswith("no calls in the time before")


def test_small_amounts_stay_on_one_line(page):
    """Of tokens by the million, a call is often less than a cent's thousandth."""
    resize(page.browser, 1280, 900)
    page.open("?range=24h")
    lines = page.js(
        "const value = document.querySelector('#tile-cache .value') ??"
        " [...document.querySelectorAll('.tile .value')].at(-2);"
        "value.textContent = '$0.0000101';"
        "const range = document.createRange(); range.selectNodeContents(value);"
        "return [range.getClientRects().length, value.scrollWidth - value.clientWidth]"
    )
    assert lines == [1, 0]


def test_a_ledger_that_cannot_be_read_is_not_called_live(page):
    """What went wrong stands there, and it is read again when it is back."""
    page.open("?range=24h")
    ledger = page.ledger
    read = ledger._store.revision

    def fail():
        raise LedgerError("The disk has gone.")

    ledger._store.revision = fail
    try:
        page.until("document.querySelector('#status').className === 'lost'")
        told = page.text("#status")
        page.browser.refresh()
        page.until("document.querySelector('#summary .notice')")
        page.until("document.querySelector('#status').className === 'lost'")
        assert told == page.text("#status")
        assert told == "The ledger cannot be read; trying again."
        assert "The disk has gone." in page.text("#summary .notice")
    finally:
        ledger._store.revision = read
    page.settle()
    assert page.text("#status").startswith("Live, as of ")
    assert page.text("#tile-spend .value") == "≥ $0.0400"


def test_bars_are_marked_as_totals_are(page):
    """A model without a price has no bar, and no zero either."""
    resize(page.browser, 1280, 900)
    page.open("?range=24h")
    shown = page.js(
        "const cells = (row) => [...row.cells].map((cell) => cell.textContent);"
        "const [head, ...rows] = [...document.querySelectorAll('#spend tr')].map(cells);"
        "const row = rows.find((row) => row[1] !== '$0.00');"
        "return Object.fromEntries(head.map((name, at) => [name, row[at]]))"
    )
    shown.pop("Time (UTC)")
    assert shown == {
        "Total": "≥ $0.0400",
        "exact": "$0.0100",
        "guessed": "~ $0.0200",
        "partly": "≥ $0.0100",
        "unheard": "unknown",
    }


def test_amounts_and_names_are_short_enough_to_read(page, tmp_path):
    now = datetime.now(UTC)
    ledger = Ledger(tmp_path / "costs.db")
    for hours, usd in ((1, "0.999863"), (30, "0.0001")):
        at = now - timedelta(hours=hours)
        cost = Cost(input=Decimal(usd))
        failed = {"outcome": "failed", "error_type": "BudgetExceeded"}
        ledger.add(UsageRecord(model="m", started_at=at, cost=cost, **failed))
    budget = Budget(Decimal(9), per="all", name="team " + "x" * 80, ledger=ledger)
    budget.reserve(CallScope("m"), Decimal("0.001")).settle(Decimal("0.001"))
    assert [one.spent for one in budget.status()]  # has been written now
    with Served(ledger) as running:
        board = Page(page.browser, running.url)
        resize(board.browser, 390, 844, mobile=True)
        board.open("?range=24h")
        assert board.text("#tile-spend .value") == "$1.00"
        assert "10.0 k times that of the 24 hours before" in board.text("#tile-spend")
        board.scroll_to("records")
        board.until("document.querySelector('#records td small')")
        # On one line: a text that is broken has a box for each of its lines.
        assert (
            board.js(
                "const range = document.createRange();"
                "range.selectNodeContents(document.querySelector('#records td small'));"
                "return range.getClientRects().length"
            )
            == 1
        )
        board.scroll_to("budgets")
        board.until("document.querySelector('#budgets .budget')")
        assert board.text("#budgets .budget").strip() == "< 0.1 %"
        assert board.js(
            "return document.querySelector('#budgets .budget')"
            ".getBoundingClientRect().right < innerWidth"
        )
