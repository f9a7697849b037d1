"""A ledger's dashboard on a loopback port, and what tests do with its page."""

from __future__ import annotations

import json
import threading
import time

from langchain_cerebras_ext.dashboard import create_app


class Served:
    """A ledger's dashboard on a loopback port."""

    def __init__(self, ledger, token=None):
        import uvicorn

        self.ledger = ledger
        config = uvicorn.Config(
            create_app(ledger, token=token),
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the dashboard did not start"
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(20)
        self.ledger.close()


class Page:
    """What the tests do with the page."""

    def __init__(self, browser, url):
        self.browser = browser
        self.url = url

    def open(self, query=""):
        self.browser.get(self.url + query)
        self.settle()

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def until(self, script, *arguments, seconds=15):
        deadline = time.monotonic() + seconds
        while True:
            found = self.js(f"return ({script})", *arguments)
            if found:
                return found
            assert time.monotonic() < deadline, f"never: {script}"
            time.sleep(0.03)

    def settle(self):
        """Wait until all that was asked for is there."""
        self.until(
            "document.querySelector('#status').textContent.includes('as of')"
            " && ![...document.querySelectorAll('[aria-busy=true]')].length"
        )

    def click(self, selector):
        self.js("document.querySelector(arguments[0]).click()", selector)

    def scroll_to(self, panel):
        """Get near a panel: those far below ask for their data then."""
        self.js("document.getElementById(arguments[0]).scrollIntoView()", panel)

    def text(self, selector):
        return self.js(
            "return document.querySelector(arguments[0])?.textContent", selector
        )

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def logged(self):
        return [
            entry
            for entry in self.browser.get_log("browser")
            if entry["level"] in {"SEVERE", "WARNING"}
        ]

    def requested(self):
        """Return the hosts of all requests that were sent since the last question."""
        events = [
            json.loads(entry["message"])["message"]
            for entry in self.browser.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
