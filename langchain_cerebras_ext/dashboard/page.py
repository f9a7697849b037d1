"""The page: HTML, style and script put together once, and the policy that fits it."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import Final, NamedTuple

__all__ = ["Page", "load_page", "make_policy"]

# In the order in which they need each other; one scope for all of them.
_SCRIPTS: Final = (
    "format.js",
    "dom.js",
    "charts.js",
    "tables.js",
    "state.js",
    "panels.js",
    "page.js",
)
_NOTHING: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Page(NamedTuple):
    """A page as it is sent.

    Attributes:
        body: UTF-8.
        policy: Its Content-Security-Policy.
    """

    body: bytes
    policy: str


@functools.cache
def load_page() -> Page:
    """Return the page; it asks no other host for anything."""
    style = _read("page.css")
    inner = "\n".join(_read(name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{inner}\n}})();\n'
    html = _read("page.html")
    html = html.replace("/* STYLE */", style).replace("/* SCRIPT */", script)
    return Page(html.encode(), make_policy(style=style, script=script))


@functools.cache
def load_login() -> Page:
    """Return the page that asks for the token."""
    style = _read("page.css")
    html = _read("login.html").replace("/* STYLE */", style)
    return Page(html.encode(), make_policy(style=style))


def make_policy(*, style: str = "", script: str = "") -> str:
    """Return a policy that allows one style and one script, by their hashes."""
    parts = [_NOTHING, "img-src data:"]
    if style:
        parts.append(f"style-src '{_hash(style)}'")
    if script:
        parts += [
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            # Text cannot become markup, whoever forgets it.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    return "; ".join(parts)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256-{digest.decode()}"


def _read(name: str) -> str:
    place = resources.files("langchain_cerebras_ext.dashboard") / "page"
    return place.joinpath(name).read_text("utf-8").replace("\r\n", "\n")
