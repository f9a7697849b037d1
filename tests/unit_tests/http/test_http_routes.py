"""Which way a URL goes: proxies from the environment, and what is said to whom."""

from __future__ import annotations

import pytest

from langchain_cerebras_ext._http import (
    TransportOptions,
    shared_async_transport,
    shared_sync_transport,
)
from langchain_cerebras_ext._http._route import (
    Address,
    Environment,
    Router,
    bypasses_proxy,
    read_environment,
)
from langchain_cerebras_ext.errors import CerebrasConfigurationError

API = "https://api.cerebras.ai/v1/models?format=x"
VARIABLES = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def find(url: str, **options: object) -> tuple[str, str, str]:
    given = TransportOptions(**options)  # type: ignore[arg-type]
    route = Router(given, read_environment(given)).find(url)
    return str(route), route.target, route.url


def test_a_url_without_a_proxy_goes_straight() -> None:
    assert find(API) == ("api.cerebras.ai:443", "/v1/models?format=x", API)
    assert find("http://LocalHost:8000") == (
        "localhost:8000",
        "/",
        "http://localhost:8000/",
    )
    assert find("http://[::1]:80/x") == ("[::1]:80", "/x", "http://[::1]/x")


def test_what_is_no_part_of_a_request_is_left_out_and_the_rest_encoded() -> None:
    assert find("https://user:hidden@host:443/a%20b/é?q=ü#part") == (
        "host:443",
        "/a%20b/%C3%A9?q=%C3%BC",
        "https://host/a%20b/%C3%A9?q=%C3%BC",
    )


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
)
def test_https_goes_through_a_tunnel_of_the_environments_proxy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert find(API)[0] == "api.cerebras.ai:443 by proxy proxy.example:3128"
    assert find(API)[1] == "/v1/models?format=x"
    assert find(API, trust_env=False)[0] == "api.cerebras.ai:443"


def test_http_is_asked_of_the_proxy_with_the_whole_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "user:p%40ss@proxy.example:3128")
    given = TransportOptions()
    route = Router(given, read_environment(given)).find("http://host:8000/x")
    assert str(route) == "host:8000 by proxy proxy.example:3128"
    assert route.target == "http://host:8000/x"
    assert route.proxy_headers() == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}


def test_a_proxys_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://user:hidden@proxy.example")
    options = TransportOptions()
    environment = read_environment(options)
    route = Router(options, environment).find(API)
    assert route.proxy == Address("proxy.example", 443, True)
    assert route.proxy_url == "https://proxy.example:443"
    assert route.proxy_headers() == {"Proxy-Authorization": "Basic dXNlcjpoaWRkZW4="}
    shown = repr(route) + str(route) + repr(environment)
    assert "hidden" not in shown
    assert "dXNlcjpoaWRkZW4" not in shown


@pytest.mark.parametrize(
    ("entry", "host", "expected"),
    [
        ("*", "anything.example", True),
        ("api.cerebras.ai", "api.cerebras.ai", True),
        ("cerebras.ai", "api.cerebras.ai", True),
        (".cerebras.ai", "api.cerebras.ai", True),
        ("*.cerebras.ai", "api.cerebras.ai", True),
        ("cerebras.ai", "notcerebras.ai", False),
        ("API.Cerebras.AI", "api.cerebras.ai", True),
        ("cerebras.ai:443", "api.cerebras.ai", True),
        ("cerebras.ai:8443", "api.cerebras.ai", False),
        ("a.example, cerebras.ai", "api.cerebras.ai", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.0/8", "127.1.2.3", True),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("::1", "::1", True),
        ("[::1]:443", "::1", True),
        ("0.1", "127.0.0.1", False),
        ("", "api.cerebras.ai", False),
        (",, ,", "api.cerebras.ai", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(
    entry: str, host: str, expected: bool
) -> None:
    assert bypasses_proxy(Address(host, 443, True), entry) is expected


def test_no_proxy_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    monkeypatch.setenv("no_proxy", "cerebras.ai,127.0.0.1")
    assert find(API)[0] == "api.cerebras.ai:443"
    assert find("http://127.0.0.1:1/")[0] == "127.0.0.1:1"
    assert "by proxy" in find("https://other.example/")[0]
    assert "by proxy" in find(API, proxy="http://mine.example")[0], (
        "what code says wins"
    )


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        (
            "socks5://user:hidden@host:1080",
            "scheme is 'socks5'.*http_client=httpx.Client",
        ),
        ("http://user:hidden@", "names no host"),
        ("http://user:hidden@host:port", "port is not a number"),
    ],
)
def test_a_proxy_of_no_use_is_told_without_its_password(proxy: str, text: str) -> None:
    with pytest.raises(CerebrasConfigurationError, match=text) as caught:
        find(API, proxy=proxy)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_equal_options_share_a_transport_and_another_environment_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shared in (shared_sync_transport, shared_async_transport):
        monkeypatch.delenv("HTTPS_PROXY", raising=False)
        first = shared(TransportOptions())
        assert shared(TransportOptions()) is first
        assert shared(TransportOptions(keepalive_s=1)) is not first
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
        assert shared(TransportOptions()) is not first
        assert shared(TransportOptions(trust_env=False)) is not first


def test_an_untrusted_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    assert read_environment(TransportOptions(trust_env=False)) == Environment()
    assert read_environment(TransportOptions()).ca_file == "nowhere.pem"
