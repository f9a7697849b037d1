"""A real headless Chromium, driven by its own driver.

Both are found on the PATH, where the distributions' packages `chromium` and
`chromium-driver` put them; nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil

from services import missing

MISSING = (
    "NO CHROMIUM: the dashboard's page was NOT tested. Install it: "
    "apt-get install chromium chromium-driver, and pip install selenium."
)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DRIVERS = ("chromedriver", "chromium.chromedriver")
_SWITCHES = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--force-color-profile=srgb",
)


def _find(names):
    return next((path for path in map(shutil.which, names) if path), None)


def open_browser(downloads):
    """Start a browser, or skip the test with a loud reason.

    Args:
        downloads: A folder for what is downloaded.
    """
    browser, driver = _find(_BROWSERS), _find(_DRIVERS)
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing(MISSING)
    if browser is None or driver is None:
        missing(MISSING)
    options = Options()
    options.binary_location = browser
    for switch in _SWITCHES:
        options.add_argument(switch)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Chromium's sandbox does not work for root, as in containers.
        options.add_argument("--no-sandbox")
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "download.prompt_for_download": False,
        },
    )
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    return webdriver.Chrome(options=options, service=Service(driver))


def resize(browser, width, height, *, mobile=False):
    """Make the page this wide and high, in CSS pixels."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )


def set_color_scheme(browser, scheme):
    """Say `light` or `dark` as the system's setting."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
