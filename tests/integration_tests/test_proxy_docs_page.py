"""The page of `/docs` in a real headless Chromium."""

from __future__ import annotations

import json

import pytest
from browser import open_browser, resize, set_color_scheme
from proxy_server import running_proxy


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = open_browser(tmp_path_factory.mktemp("downloads"))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def proxy():
    with running_proxy("http://127.0.0.1:9/v1") as running:
        yield running


@pytest.fixture
def page(browser, proxy):
    resize(browser, 1100, 1000)
    set_color_scheme(browser, "light")
    browser.get_log("browser")
    browser.get(f"{proxy.url}/docs")
    return browser


def requested(browser) -> set[str]:
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


def test_it_shows_by_its_own_policy_and_asks_nobody_else(page, proxy) -> None:
    """A style or script that the policy does not name would be told in the log."""
    urls = requested(page) - {f"{proxy.url}/favicon.ico"}
    assert urls <= {f"{proxy.url}/docs", "data:,"}
    told = [entry["message"] for entry in page.get_log("browser")]
    assert [text for text in told if "favicon" not in text] == []
    color = page.execute_script(
        "return getComputedStyle(document.body).backgroundColor"
    )
    assert color == "rgb(246, 245, 242)"


def test_the_examples_name_this_proxy(page, proxy) -> None:
    examples = page.execute_script(
        "return [...document.querySelectorAll('pre')].map(one => one.textContent)"
    )
    assert all(f"{proxy.url}/v1" in text for text in examples)
    assert len(examples) == 2


def test_a_link_to_a_shape_opens_it(page) -> None:
    page.execute_script("document.querySelector('details').open = true")
    page.execute_script(
        "document.querySelector('a[href=\"#ToolMessageParam\"]').click()"
    )
    assert page.execute_async_script(
        "const done = arguments[0], at = document.getElementById('ToolMessageParam');"
        "const look = () => at.open ? done(true) : setTimeout(look, 5); look()"
    )


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_it_fits_a_narrow_screen_with_all_open(page, width: int) -> None:
    resize(page, width, 800, mobile=width < 500)
    wide = page.execute_script(
        "document.querySelectorAll('details').forEach(one => one.open = true);"
        "return document.documentElement.scrollWidth"
    )
    assert wide <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_color_schemes(page, scheme: str) -> None:
    set_color_scheme(page, scheme)
    page.execute_script(
        "document.querySelectorAll('details').forEach(one => one.open = true)"
    )
    contrasts = page.execute_script(_CONTRASTS)
    assert len(contrasts) > 20
    assert {text: value for text, value in contrasts.items() if value < 4.5} == {}


_CONTRASTS = """
const light = color => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => {
    const c = v / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = at => {
  for (; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (color !== "rgba(0, 0, 0, 0)") return color;
  }
  return "rgb(255, 255, 255)";
};
const found = {};
for (const at of document.querySelectorAll("h1,h2,h3,p,a,code,b,span,dt,dd,i,small")) {
  if (!at.textContent.trim()) continue;
  const [high, low] = [light(getComputedStyle(at).color), light(ground(at))]
    .sort((a, b) => b - a);
  found[`${at.tagName} ${at.className} ${at.textContent.slice(0, 30)}`] =
    (high + 0.05) / (low + 0.05);
}
return found;
"""
