"""Who may look: host names, the token, and the headers of every answer.

Pure ASGI: nothing is read of an answer, nothing of the query is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Gate", "Guard", "check_token", "is_loopback"]

TOKEN_MIN: Final = 16
LOGIN_PATH: Final = "/login"
_COOKIE_DAYS: Final = 30
_LOCAL_NAMES: Final = frozenset({"localhost", "localhost."})
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is this machine's own."""
    name = host.strip("[]").lower()
    if name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> None:
    """Check that a token can be sent in a header and is not easily guessed.

    Raises:
        CerebrasConfigurationError: It cannot; the token is not repeated.
    """
    fits = token.isascii() and token.isprintable() and " " not in token
    if len(token) < TOKEN_MIN or not fits:
        msg = (
            f"token=... must have at least {TOKEN_MIN} characters, all of them visible "
            "ASCII. Make one with: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )
        raise CerebrasConfigurationError(msg)


class Gate:
    """Knows one token, and the cookie that stands for it.

    The cookie is derived, so that the token itself is not in the browser's files, and
    named after it, so that dashboards on other ports of a host keep their own.
    """

    def __init__(self, token: str) -> None:
        check_token(token)
        self._token = token.encode()
        self._value = self._derive("cookie")
        self.cookie_name = f"cerebras_costs_{self._derive('name')[:8]}"

    def __repr__(self) -> str:
        """Say nothing of the token."""
        return "<Gate>"

    def _derive(self, purpose: str) -> str:
        text = f"langchain-cerebras-ext dashboard {purpose}".encode()
        return hmac.new(self._token, text, hashlib.sha256).hexdigest()

    def takes_token(self, said: str) -> bool:
        """Whether this is the token; takes the same time for any other."""
        return hmac.compare_digest(said.encode(), self._token)

    def takes_headers(self, headers: dict[str, str]) -> bool:
        """Whether a request's headers hold the token or its cookie."""
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.takes_token(said.strip()):
            return True
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        found = jar.get(self.cookie_name)
        return found is not None and hmac.compare_digest(
            found.value.encode(), self._value.encode()
        )

    def cookie(self, *, secure: bool) -> str:
        """Return the header that sets the cookie."""
        end = "; Secure" if secure else ""
        return (
            f"{self.cookie_name}={self._value}; Path=/; Max-Age={_COOKIE_DAYS * 86_400}"
            f"; HttpOnly; SameSite=Strict{end}"
        )


class Guard:
    """ASGI middleware: lets in who may look, and puts the headers on all answers.

    Without a token only this machine's own names are answered: a page elsewhere could
    point its name at 127.0.0.1 and read along (DNS rebinding).

    Args:
        app: What is guarded.
        gate: The token, if one is asked for.
        refuse: Makes the answer to who may not: (status, message, wants a page) ->
            ASGI application.
    """

    def __init__(
        self, app: App, gate: Gate | None, refuse: Callable[[int, str, bool], App]
    ) -> None:
        self._app = app
        self._gate = gate
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(message.get("headers", ()))
            await send(message)

        app = self._choose(scope)
        await app(scope, receive, send_safely)

    def _choose(self, scope: Scope) -> App:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        page = not scope["path"].startswith("/api/")
        # A link elsewhere may open the page, but no site may have the data asked for.
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not page:
            return self._refuse(403, "The data is for the dashboard's own page.", False)
        if self._gate is None:
            if is_loopback(_host_name(headers.get("host", ""))):
                return self._app
            msg = (
                "This dashboard answers to localhost and 127.0.0.1 only. Start it with "
                "a token to reach it by another name."
            )
            return self._refuse(421, msg, False)
        token, rest = _take_token(scope)
        if (
            token is not None
            and scope["path"] in {"", "/"}
            and self._gate.takes_token(token)
        ):
            # A relative place: right behind a proxy too, and never another host.
            return _redirect(
                f"?{rest}" if rest else "./",
                self._gate.cookie(secure=scope.get("scheme") == "https"),
            )
        if self._gate.takes_headers(headers) or scope["path"] == LOGIN_PATH:
            return self._app
        told = "That token is not the dashboard's." if token is not None else ""
        return self._refuse(401, told or "This dashboard asks for its token.", page)


def _host_name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host


def _take_token(scope: Scope) -> tuple[str | None, str]:
    """Return the query's token, and the rest; the scope keeps only that.

    Servers log the query of the scope after the answer has begun: the token must not
    be in it then.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    if "token" not in query.lower() and "%" not in query:
        return None, query
    pairs = parse_qsl(query, keep_blank_values=True)
    found = [value for name, value in pairs if name == "token"]
    if not found:
        return None, query
    rest = urlencode([pair for pair in pairs if pair[0] != "token"])
    scope["query_string"] = rest.encode("ascii")
    return found[-1], rest


def _with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    more = ((name.encode(), value.encode()) for name, value in _HEADERS.items())
    return [*given, *((name, value) for name, value in more if name not in names)]


def _redirect(place: str, cookie: str) -> App:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        headers = [
            (b"location", place.encode("latin-1", "replace")),
            (b"set-cookie", cookie.encode()),
            (b"content-length", b"0"),
        ]
        start = {"type": "http.response.start", "status": 303, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    return answer
