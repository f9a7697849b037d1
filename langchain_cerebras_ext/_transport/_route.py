"""From a URL to the socket: proxies from the environment, what to say to whom."""

from __future__ import annotations

import ipaddress
import os
import sys
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext._transport._options import TransportOptions

_PORTS = {"http": 80, "https": 443}
_MAX_ROUTES = 256


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


_WATCHED = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("https_proxy", "http_proxy", "all_proxy", "no_proxy"),
    *("REQUEST_METHOD", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def snapshot_environment() -> tuple[str | None, ...]:
    """Return the variables that `read_environment` reads, at a tenth of its cost.

    A shared transport is looked up for every call, and this tells whether the
    environment is still the one that was read.
    """
    return tuple(map(os.environ.get, _WATCHED))


def read_environment(options: TransportOptions) -> Environment:
    """Return what the environment says, or nothing if it is not trusted."""
    if not options.trust_env:
        return Environment()
    from urllib.request import getproxies

    found = getproxies()
    return Environment(
        proxies=tuple(
            (scheme, found[scheme])
            for scheme in ("http", "https", "all")
            if found.get(scheme)
        ),
        no_proxy=found.get("no", ""),
        ca_file=os.environ.get("SSL_CERT_FILE") or None,
        ca_dir=os.environ.get("SSL_CERT_DIR") or None,
    )


@dataclass(frozen=True, slots=True)
class Address:
    """A host to connect to, and whether to speak TLS with it."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{_bracket(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one URL; equal origins by the same proxy share connections.

    Attributes:
        server: Who answers.
        proxy: Who stands between, if anybody.
        proxy_authorization: The header's value for the proxy, never to be shown.
    """

    server: Address
    proxy: Address | None = None
    proxy_authorization: str | None = None

    @property
    def tunnels(self) -> bool:
        """Whether the proxy only passes bytes on (`CONNECT`)."""
        return self.proxy is not None and self.server.tls

    @property
    def first(self) -> Address:
        """Where the socket leads to."""
        return self.proxy or self.server

    def connect_request(self) -> bytes:
        """Return the request for a tunnel through the proxy."""
        head = f"CONNECT {self.server} HTTP/1.1\r\nHost: {self.server}\r\n"
        if self.proxy_authorization:
            head += f"Proxy-Authorization: {self.proxy_authorization}\r\n"
        return (head + "\r\n").encode("ascii")

    def __repr__(self) -> str:
        via = f" by proxy {self.proxy}" if self.proxy else ""
        return f"<Route to {self.server}{via}>"

    def __str__(self) -> str:
        via = f" by proxy {self.proxy}" if self.proxy else ""
        return f"{self.server}{via}"


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, ready to be asked for.

    Attributes:
        route: The way there.
        target: What stands in the request line.
        head: Header lines that belong to the URL: `Host`, and what a proxy needs.
    """

    route: Route
    target: str
    head: str


class Router:
    """Finds, and remembers, the way to each URL."""

    def __init__(self, options: TransportOptions, environment: Environment) -> None:
        self._proxy = options.proxy
        self._environment = environment
        self._known: dict[str, Target] = {}

    def find(self, url: str) -> Target:
        """Return how to ask for a URL.

        Raises:
            CerebrasConfigurationError: The URL, or that of its proxy, is none that
                can be used.
        """
        target = self._known.get(url)
        if target is None:
            target = self._build(url)
            if len(self._known) >= _MAX_ROUTES:
                self._known.clear()
            self._known[url] = target
        return target

    def _build(self, url: str) -> Target:
        try:
            parts = urlsplit(url)
            server = _address(parts)
        except ValueError as error:
            msg = (
                f"The URL of the service is not usable: {error}. "
                "Check CEREBRAS_BASE_URL or base_url=...: it looks like "
                "'https://api.cerebras.ai/v1'."
            )
            raise CerebrasConfigurationError(msg) from None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or any(char <= " " or char == "\x7f" for char in path):
            msg = "The URL's path holds spaces or characters outside ASCII: quote them."
            raise CerebrasConfigurationError(msg)
        default = _PORTS[parts.scheme.lower()]
        port = "" if server.port == default else f":{server.port}"
        host = _bracket(server.host) + port
        head = f"Host: {host}\r\n"
        proxy = self._find_proxy(parts.scheme.lower(), server)
        if proxy is None:
            return Target(Route(server), path, head)
        route = Route(server, *_parse_proxy(proxy))
        if route.tunnels:
            return Target(route, path, head)
        if route.proxy_authorization:
            head += f"Proxy-Authorization: {route.proxy_authorization}\r\n"
        return Target(route, f"http://{host}{path}", head)

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


def _parse_proxy(url: str) -> tuple[Address, str | None]:
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
    if parts.username is None and parts.password is None:
        return address, None
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return address, "Basic " + b64encode(user.encode()).decode("ascii")


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


def _to_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        msg = f"its host {host!r} is no name that DNS can know"
        raise ValueError(msg) from None


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def as_lower(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the names of headers, in lower case."""
    return frozenset(map(str.lower, headers))
