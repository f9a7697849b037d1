"""The dashboard's page in a real headless Chromium."""

import csv
import io
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

import pytest
from browser import open_browser, resize, set_color_scheme
from dashboard_view import Page, Served

from langchain_cerebras_ext.costs.ledger import Ledger
from langchain_cerebras_ext.costs.pricing import Cost, PriceRow
from langchain_cerebras_ext.costs.records import UsageRecord
from langchain_cerebras_ext.dashboard.query import LENGTH_MAX

TOKEN = "a-long-enough-token-for-tests"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror="alert(2)">',
    "javascript:alert(3)",
    '=HYPERLINK("http://evil.example")',
    "{{7*7}} ${7*7} \u202egnp.exe \x1b[31m",
    "x" * 300,
]
# What has no form of its own is written out, and a long name is cut in its middle.
SHOWN = [
    *HOSTILE[:4],
    "{{7*7}} ${7*7} \\u202egnp.exe \\u001b[31m",
    f"{'x' * 60}…{'x' * 20}",
]
PRICE = PriceRow(input=Decimal(1), output=Decimal(2), model="gpt-oss-120b")


def record(at, **changes):
    values = {
        "started_at": at,
        "model": "gpt-oss-120b",
        "user": "ada",
        "tags": ("search",),
        "node": "plan",
        "session": "s1",
        "input_tokens": 1_000,
        "cached_input_tokens": 400,
        "output_tokens": 200,
        "reasoning_tokens": 50,
        "ttft_s": 0.2,
        "duration_s": 1.5,
        "output_tokens_per_s": 900.0,
        "stream": True,
        "cost": Cost(input=Decimal("0.001"), output=Decimal("0.0004"), price=PRICE),
        **changes,
    }
    return UsageRecord(**values)


def sample(now):
    """Calls of some days: two models, two users, arms, failures, hostile names."""
    for day in range(5):
        at = now - timedelta(days=day, minutes=30)
        yield record(at, arm="control")
        yield record(at, user="bob", arm="candidate", model="llama3.1-8b")
        yield record(at, user=None, tags=(), node=None, session=None)
    yield record(
        now - timedelta(hours=1), outcome="failed", error_type="RateLimitError"
    )
    yield record(
        now - timedelta(hours=2), model="dedicated", cost=None, flags=("unpriced",)
    )
    for name in HOSTILE:
        yield record(
            now - timedelta(hours=3),
            model=name,
            user=name,
            tags=(name,),
            node=name,
            session=name,
            arm=name,
            outcome="failed",
            error_type=name,
        )


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    opened = open_browser(downloads)
    opened.set_script_timeout(20)
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def served(tmp_path_factory, browser):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "costs.db")
    ledger.import_records(list(sample(datetime.now(UTC))))
    with Served(ledger) as running:
        yield running


@pytest.fixture
def page(browser, served):
    resize(browser, 1280, 900)
    set_color_scheme(browser, "light")
    return Page(browser, served.url)


def test_the_page_loads_without_errors_and_asks_no_other_host(page):
    page.open()
    page.requested(), page.logged()
    page.open("?range=all")
    urls = [url for url in page.requested() if not url.startswith("data:")]
    assert {urlsplit(url).netloc for url in urls} == {urlsplit(page.url).netloc}
    assert page.logged() == []
    assert page.text("#tile-spend .value") == "≥ $0.0308"
    assert "1 call without a known price" in page.text("#tile-spend")
    assert not page.js("return document.querySelectorAll('.notice').length")
    for panel in ("spend", "tokens", "failures"):
        page.scroll_to(panel)
        page.until(f"document.querySelectorAll('#{panel} .bar').length")
    for panel in ("latency", "arms", "whatif", "records"):
        page.scroll_to(panel)
        page.until(f"document.querySelectorAll('#{panel} tbody tr').length")
    page.scroll_to("budgets")
    page.until("document.querySelector('#budgets').textContent.includes('No budget')")
    assert page.logged() == []


def test_hostile_names_are_text_everywhere(page):
    from selenium.webdriver.common.keys import Keys

    page.logged()
    page.open("?range=all&by=user")
    page.click("#by-user [data-act=more]")
    page.until("document.querySelectorAll('#by-user tbody tr').length > 8")
    shown = page.js(
        "return [...document.querySelectorAll('.pick')].map((one) => one.textContent)"
    )
    for name in SHOWN:
        assert shown.count(name) >= 4
    page.open(f"?range=all&by=error_type&{urlencode({'user': HOSTILE}, doseq=True)}")
    assert all(name in page.text("#chips") for name in SHOWN)
    assert page.text("#tile-calls .value") == str(len(HOSTILE))
    page.js("document.querySelector('#spend svg').focus()")
    page.press(Keys.END)
    assert all(name in page.text("#tip") for name in SHOWN)
    assert page.js("return document.querySelectorAll('img, script[src]').length") == 0
    assert page.js("return document.querySelectorAll('script').length") == 1
    assert page.js("return document.title") == "Costs"
    with pytest.raises(Exception, match="no such alert"):
        page.browser.switch_to.alert.accept()
    assert page.logged() == []


def test_filters_are_kept_in_the_address_and_the_back_button_works(page):
    page.open()
    everything = page.text("#tile-calls .value")
    page.click("#by-model [data-value='llama3.1-8b']")
    page.until("document.querySelector('#tile-calls .value').textContent === '5'")
    assert "model=llama3.1-8b" in page.browser.current_url
    page.click("#ranges [data-value='24h']")
    page.until("document.querySelector('#tile-calls .value').textContent === '1'")
    assert "range=24h" in page.browser.current_url
    page.open(page.browser.current_url.removeprefix(page.url))
    assert page.text("#tile-calls .value") == "1"
    page.browser.back()
    page.browser.back()
    page.settle()
    page.until("!document.querySelector('#chips').textContent")
    page.until(
        "document.querySelector('#tile-calls .value').textContent === arguments[0]",
        everything,
    )


def test_a_value_that_is_too_long_for_a_filter_is_none(page, tmp_path):
    """The server would refuse it, and each panel say so."""
    names = {"fits": "f" * LENGTH_MAX, "long": "l" * (LENGTH_MAX + 1)}
    ledger = Ledger(tmp_path / "costs.db")
    for name in names.values():
        ledger.add(record(datetime.now(UTC), user=name, tags=(name,)))
    ledger.flush()
    with Served(ledger) as running:
        board = Page(page.browser, running.url)
        board.open()
        picks = "[...document.querySelectorAll('#by-tag .pick')]"
        can = board.js(
            f"return Object.fromEntries({picks}.map((one) =>"
            " [one.dataset.value[0], !one.disabled]))"
        )
        assert can == {"f": True, "l": False}
        board.click("#splits [data-split=user]")
        board.until("document.querySelectorAll('#values input').length === 2")
        assert board.js("return document.querySelectorAll('#values :disabled').length")
        board.open()
        board.js(f"{picks}.find((one) => !one.disabled).click()")
        board.until("document.querySelector('#tile-calls .value').textContent === '1'")
        assert not board.js("return document.querySelectorAll('.notice').length")


def test_values_that_are_not_known_can_be_chosen_in_the_menu(page):
    page.open()
    page.click("#splits [data-split=user]")
    page.until("document.querySelectorAll('#values input').length > 3")
    page.js(
        "[...document.querySelectorAll('#values label')]"
        ".find((one) => one.textContent.startsWith('not known')).click()"
    )
    page.until("document.querySelector('#tile-calls .value').textContent === '5'")
    assert "no=user" in page.browser.current_url
    page.js("document.querySelector('#find').value = 'BO'")
    page.js("document.querySelector('#find').dispatchEvent(new Event('input'))")
    page.until("document.querySelectorAll('#values input').length === 1")
    assert page.text("#values label").startswith("bob")


def test_a_new_record_appears_without_moving_the_focus_or_opening_anew(page, served):
    page.open()
    page.click("#spend details summary")
    page.js("document.querySelector('#by-user .pick').focus()")
    page.js("window.kept = document.activeElement")
    before = int(page.text("#tile-calls .value"))
    page.js("window.scrollTo(0, 300)")
    served.ledger.import_records([record(datetime.now(UTC), user="new")])
    page.until(
        "document.querySelector('#tile-calls .value').textContent === arguments[0]",
        str(before + 1),
    )
    page.settle()
    assert page.js("return document.activeElement === window.kept")
    assert page.js("return document.querySelector('#spend details').open")
    assert page.js("return window.scrollY") == 300
    page.click("#pause")
    served.ledger.import_records([record(datetime.now(UTC), user="late")])
    page.js(
        "window.asked = 0; const real = fetch; window.fetch = (...a) => (window.asked += 1, real(...a))"
    )
    time.sleep(2.2)
    assert page.js("return window.asked") == 0
    assert page.text("#status").startswith("Paused")
    page.click("#pause")
    page.until(
        "document.querySelector('#tile-calls .value').textContent === arguments[0]",
        str(before + 2),
    )


def test_all_is_reached_by_keyboard_and_charts_can_be_read(page):
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
    seen = []
    for _ in range(40):
        page.press(Keys.TAB)
        seen.append(
            page.js(
                "const n = document.activeElement; const s = getComputedStyle(n);"
                "return [n.id || n.dataset.act || n.nodeName, n.className.baseVal ?? n.className,"
                " s.outlineStyle]"
            )
        )
        if seen[-1][1] == "chart":
            break
    names = [name for name, _, _ in seen]
    assert seen[0][1] == "skip"
    assert {"pause", "theme", "range", "custom", "open", "measure", "by"} <= set(names)
    assert seen[-1][1] == "chart"
    assert all(style != "none" for _, _, style in seen)
    page.press(Keys.END)
    assert not page.js("return document.querySelector('#tip').hidden")
    words = page.text("#said")
    assert re.match(r"\d{4}-\d\d-\d\d: .*\$0\.0", words)
    page.press(Keys.ARROW_LEFT)
    assert page.text("#said") != words
    page.press(Keys.ENTER)
    page.until(
        "document.querySelector('#ranges [aria-pressed=true]').textContent === 'Custom'"
    )


COVERED = """
const n = document.activeElement, r = n.getBoundingClientRect();
const bar = document.querySelector('.controls');
if (bar.contains(n) || !document.querySelector('#panels').contains(n)) return null;
return [n.textContent, r.top, r.top >= bar.getBoundingClientRect().bottom];
"""


def test_the_bar_with_the_filters_covers_nothing_that_has_the_focus(page):
    """It stays at the top, and a browser takes what is under it for visible."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open("?range=all&user=ada")
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.press(Keys.TAB, Keys.ENTER)
    text, top, is_seen = page.js(COVERED)
    assert is_seen, f"{text} is at {top}"
    for panel in ("tokens", "latency", "failures", "arms", "whatif", "records"):
        page.scroll_to(panel)  # what loads on the way would move what is looked at
        page.until(f"document.querySelector('#{panel} tbody tr')")
        page.settle()
    page.js("[...document.querySelectorAll('#records .pick')].at(-1).focus()")
    stops = 0
    while (found := page.js(COVERED)) is not None:
        text, top, is_seen = found
        assert is_seen, f"{text} is at {top}"
        stops += 1
        back = ActionChains(page.browser).key_down(Keys.SHIFT).send_keys(Keys.TAB)
        back.key_up(Keys.SHIFT).perform()
    assert stops > 50
    resize(page.browser, 390, 844, mobile=True)  # where nothing stays at the top
    page.open("?range=all")
    page.js("document.querySelector('#summary').focus()")
    style = "getComputedStyle(document.documentElement).scrollPaddingTop"
    assert page.js(f"return {style}") == "0px"


@pytest.mark.parametrize("height", [0.2, 0.4])
def test_what_was_pressed_stays_in_sight_when_the_panels_above_shrink(page, height):
    page.open("?range=all")
    page.scroll_to("by-arm")
    page.settle()
    pressed = "document.querySelector('#by-arm [data-value=candidate]')"
    page.js(
        f"const pressed = {pressed};"
        "scrollBy(0, pressed.getBoundingClientRect().top - innerHeight * arguments[0]);"
        "pressed.focus({preventScroll: true}); pressed.click()",
        height,
    )
    page.until("document.querySelectorAll('#by-arm tbody tr').length === 1")
    page.settle()
    page.until(
        f"document.activeElement === {pressed}"
        f" && {pressed}.getBoundingClientRect().top >= "
        "document.querySelector('.controls').getBoundingClientRect().bottom"
        f" && {pressed}.getBoundingClientRect().bottom <= innerHeight",
        seconds=5,
    )


def test_a_menu_is_left_with_escape_and_gives_the_focus_back(page):
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.js("document.querySelector('#splits [data-split=model]').focus()")
    page.press(Keys.ENTER)
    page.until("document.querySelectorAll('#values input').length > 1")
    assert page.js("return document.activeElement.id") == "find"
    page.press(Keys.TAB, Keys.SPACE)
    page.until("document.querySelector('#chips').textContent.includes('Model:')")
    page.press(Keys.ESCAPE)
    page.until("!document.querySelector('#picker').open")
    assert page.js("return document.activeElement.dataset.split") == "model"


def test_it_fits_a_phone(page):
    resize(page.browser, 390, 844, mobile=True)
    page.open("?range=all")
    wide = page.js("return document.documentElement.scrollWidth")
    assert wide <= 390
    small = page.js(
        "return [...document.querySelectorAll('#ranges button, #splits button')]"
        ".filter((one) => one.getBoundingClientRect().height < 28).length"
    )
    assert small == 0


def test_it_is_dark_where_the_system_is_or_the_reader_wants_it(page):
    page.open()

    def ground():
        return page.js("return getComputedStyle(document.body).backgroundColor")

    def is_dark():
        return sum(map(int, re.findall(r"\d+", ground())[:3])) < 150

    assert not is_dark()
    set_color_scheme(page.browser, "dark")
    assert is_dark()
    page.click("#theme")
    assert page.text("#theme") == "Theme: light"
    assert not is_dark()
    page.open()
    assert not is_dark()
    page.click("#theme")
    page.click("#theme")
    assert is_dark()


def test_a_table_is_downloaded_as_it_is_shown(page, downloads):
    page.open("?range=all&model=llama3.1-8b")
    page.click("#by-user a[download]")
    path = downloads / "costs-groups-by-user.csv"
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert [(row["key"], row["calls"]) for row in rows] == [("bob", "5")]


def test_an_error_is_told_and_left_behind(page):
    page.open()
    page.js(
        "window.real = fetch; window.fetch = () => Promise.reject(new TypeError('gone'))"
    )
    page.click("#ranges [data-value='7d']")
    page.until("document.querySelector('#spend .notice')")
    assert "cannot be reached" in page.text("#spend .notice")
    assert "cannot be reached" in page.text("#status")
    page.js("window.fetch = window.real")
    page.until("!document.querySelector('.notice')")
    assert page.text("#status").startswith("Live")


def test_an_empty_ledger_says_how_to_record(browser, tmp_path):
    with Served(Ledger(tmp_path / "empty.db")) as running:
        page = Page(browser, running.url)
        page.open()
        assert "track_costs" in page.text("#how-to")
        assert page.js("return document.querySelector('#panels').hidden")
        running.ledger.import_records([record(datetime.now(UTC))])
        page.until("!document.querySelector('#panels').hidden")
        page.until("document.querySelectorAll('#spend .bar').length > 0")


def test_a_token_is_asked_for_once(browser, tmp_path):
    with Served(Ledger(tmp_path / "guarded.db"), token=TOKEN) as running:
        page = Page(browser, running.url)
        browser.get(running.url)
        assert "asks for its token" in page.text("main")
        assert page.js("return document.querySelectorAll('script').length") == 0
        browser.find_element("id", "token").send_keys("wrong" * 5)
        browser.find_element("css selector", "button").click()
        page.until("document.querySelector('main').textContent.includes('not the')")
        browser.get(f"{running.url}?token={TOKEN}&range=7d")
        page.settle()
        assert browser.current_url == f"{running.url}?range=7d"
        assert page.js("return document.cookie") == ""
        browser.get(running.url)
        page.settle()
        browser.delete_all_cookies()
