"""From a URL to the socket: proxies from the environment, what to say to whom."""

from __future__ import annotations

import ipaddress
import os
import sys
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies

from langchain_cerebras_ext.errors import CerebrasConfigurationError, SecretText

if TYPE_CHECKING:
    from langchain_cerebras_ext._http._options import TransportOptions

_PORTS = {"http": 80, "https": 443}
_MAX_ROUTES = 256
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUEST_METHOD",  # set by a web server, where HTTP_PROXY cannot be trusted
    *_PROXY_VARIABLES,
    *(name.lower() for name in _PROXY_VARIABLES),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """The part of the environment that a transport depends on.

    It is read once, when a transport is made: another environment, another pool.
    """

    proxies: tuple[tuple[str, str], ...] = ()
    no_proxy: str = ""
    ca_file: str | None = None
    ca_dir: str | None = None

    def __repr__(self) -> str:
        """Say nothing of the proxies: their URLs may hold passwords."""
        return f"Environment(no_proxy={self.no_proxy!r}, ca_file={self.ca_file!r})"


def read_environment(options: TransportOptions) -> Environment:
    """Return what the environment says, or nothing if it is not trusted."""
    if not options.trust_env:
        return Environment()
    return _read(*map(os.environ.get, _VARIABLES))


@lru_cache(maxsize=8)
def _read(ca_file: str | None, ca_dir: str | None, *_: str | None) -> Environment:
    """Read it once for each set of values; the system's settings cost more to ask."""
    found = getproxies()
    return Environment(
        proxies=tuple(
            (scheme, found[scheme])
            for scheme in ("http", "https", "all")
            if found.get(scheme)
        ),
        no_proxy=found.get("no", ""),
        ca_file=ca_file or None,
        ca_dir=ca_dir or None,
    )


@dataclass(frozen=True, slots=True)
class Address:
    """A host to connect to, and whether to speak TLS with it."""

    host: str
    port: int
    tls: bool

    @property
    def scheme(self) -> str:
        """How its URLs begin."""
        return "https" if self.tls else "http"

    @property
    def netloc(self) -> str:
        """Host and port as a URL has them, the usual port left out."""
        if self.port == _PORTS[self.scheme]:
            return _bracket(self.host)
        return str(self)

    def __str__(self) -> str:
        return f"{_bracket(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """The way to one URL.

    Attributes:
        server: Who answers.
        path: What it is asked for, with the query.
        proxy: Who stands between, if anybody.
        proxy_url: The proxy's URL without name and password.
        proxy_authorization: The header's value for the proxy, never to be shown.
    """

    server: Address
    path: str = "/"
    proxy: Address | None = None
    proxy_url: str | None = None
    proxy_authorization: str | None = None

    @property
    def url(self) -> str:
        """The whole URL, without a name and password."""
        return f"{self.server.scheme}://{self.server.netloc}{self.path}"

    @property
    def target(self) -> str:
        """What is asked for: a proxy that forwards must be told the whole URL."""
        forwards = self.proxy is not None and not self.server.tls
        return self.url if forwards else self.path

    @property
    def key(self) -> tuple[Address, tuple[str | None, str | None]]:
        """Routes with equal keys share their connections."""
        return self.server, (self.proxy_url, self.proxy_authorization)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken with anybody on the way."""
        return self.server.tls or (self.proxy is not None and self.proxy.tls)

    def proxy_headers(self) -> dict[str, str]:
        """Return what the proxy alone must be told."""
        if self.proxy_authorization is None:
            return {}
        return {"Proxy-Authorization": SecretText(self.proxy_authorization)}

    def __repr__(self) -> str:
        return f"<Route to {self}>"

    def __str__(self) -> str:
        via = f" by proxy {self.proxy}" if self.proxy else ""
        return f"{self.server}{via}"


class Router:
    """Finds, and remembers, the way to each URL."""

    def __init__(self, options: TransportOptions, environment: Environment) -> None:
        self._proxy = options.proxy
        self._environment = environment
        self._known: dict[str, Route] = {}

    def find(self, url: str) -> Route:
        """Return the way to a URL.

        Raises:
            CerebrasConfigurationError: The URL, or that of its proxy, is none that
                can be used.
        """
        route = self._known.get(url)
        if route is None:
            route = self._build(url)
            if len(self._known) >= _MAX_ROUTES:
                self._known.clear()
            self._known[url] = route
        return route

    def _build(self, url: str) -> Route:
        try:
            parts = urlsplit(url)
            server = _address(parts)
            path = _path(parts)
        except ValueError as error:
            msg = (
                f"The URL of the service is not usable: {error}. "
                "Check CEREBRAS_BASE_URL or base_url=...: it looks like "
                "'https://api.cerebras.ai/v1'."
            )
            raise CerebrasConfigurationError(msg) from None
        proxy = self._find_proxy(parts.scheme.lower(), server)
        if proxy is None:
            return Route(server, path)
        return Route(server, path, *_parse_proxy(proxy))

    def _find_proxy(self, scheme: str, server: Address) -> str | None:
        if self._proxy:
            return self._proxy
        known = dict(self._environment.proxies)
        proxy = known.get(scheme) or known.get("all")
        if not proxy or bypasses_proxy(server, self._environment.no_proxy):
            return None
        return proxy


def bypasses_proxy(server: Address, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` names a host: itself, its domain, its network.

    Entries are names, addresses, networks (`10.0.0.0/8`) or `*`, with or without a
    port; a name covers what is below it, with or without a leading dot.
    """
    host = server.host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in no_proxy.lower().replace(" ", ",").split(","):
        name = entry.strip()
        if not name:
            continue
        if name == "*":
            return True
        if address is not None and _covers(name, address):
            return True
        name, port = _split_port(name)
        if port is not None and port != server.port:
            continue
        name = name.removeprefix("*").lstrip(".").rstrip(".")
        if host == name or (address is None and host.endswith(f".{name}")):
            return True
    if sys.platform in {"win32", "darwin"}:  # the system's own list of exceptions
        from urllib.request import proxy_bypass

        return bool(proxy_bypass(host))
    return False


def _covers(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, port = entry.partition(":")
    else:
        return entry, None
    return name, int(port) if port.isdigit() else None


def _parse_proxy(url: str) -> tuple[Address, str, str | None]:
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        address = _address(parts)
    except ValueError as error:
        # No part of the URL is shown: it may hold a password.
        msg = (
            f"The proxy's URL is not usable: {error}. Check HTTPS_PROXY, HTTP_PROXY, "
            "ALL_PROXY or proxy=...: it looks like 'http://host:3128'. For a SOCKS "
            "proxy pass http_client=httpx.Client(proxy=...)."
        )
        raise CerebrasConfigurationError(msg) from None
    bare = f"{address.scheme}://{address}"
    if parts.username is None and parts.password is None:
        return address, bare, None
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return address, bare, "Basic " + b64encode(user.encode()).decode("ascii")


def _address(parts: SplitResult) -> Address:
    """Read scheme, host and port.

    Raises:
        ValueError: One of them is missing or wrong; the text shows no credentials.
    """
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        msg = f"its scheme is '{scheme}', not 'https' or 'http'"
        raise ValueError(msg)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        msg = "its port is not a number up to 65535"
        raise ValueError(msg) from None
    if not host:
        msg = "it names no host"
        raise ValueError(msg)
    host = _to_ascii(host)
    if any(char <= " " or char in '<>"\\^`{|}' for char in host):
        msg = f"its host {host!r} holds characters that a host cannot have"
        raise ValueError(msg)
    return Address(
        host, port if port is not None else _PORTS[scheme], scheme == "https"
    )


def _path(parts: SplitResult) -> str:
    """Return what a server is asked for, with whatever is not ASCII encoded.

    Raises:
        ValueError: It holds characters that would break the request.
    """
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(char <= " " or char == "\x7f" for char in path):
        msg = "its path holds spaces or control characters"
        raise ValueError(msg)
    return quote(path, safe="!#$%&'()*+,/:;=?@[]~")


def _to_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        msg = f"its host {host!r} is no name that DNS can know"
        raise ValueError(msg) from None


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
