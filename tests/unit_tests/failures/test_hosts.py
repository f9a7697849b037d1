"""Nobody is talked to but the host of the base URL, and it must prove who it is.

Run as a program, this file does all that the package can do, in a process of its own,
and tells which names were looked up and which addresses were dialled.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from call_paths import BETA, PATHS, answer, call
from fault_server import FaultServer
from langchain_core.messages import HumanMessage
from wire_server import Request, WireServer, plain

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras, catalog
from langchain_cerebras_ext._http._route import Environment
from langchain_cerebras_ext._http._tls import TlsContexts
from langchain_cerebras_ext.errors import CerebrasConnectionError, CerebrasError

pytestmark = BETA

KEY = "csk-" + "sentinel0" * 4
NAME = "inference.example"
"""The service's name in the program below, which resolves it to this machine."""


# ---------------------------------------------------------------- whom it talks to


class Watcher:
    """Notes every name that is looked up and every address that is dialled."""

    def __init__(self, names: dict[str, str]) -> None:
        self.looked_up: set[str] = set()
        self.dialled: set[str] = set()
        self.others: set[str] = set()
        self._names = names
        self._resolve = socket.getaddrinfo
        socket.getaddrinfo = self._look_up  # type: ignore[assignment]
        sys.addaudithook(self._hear)

    def _look_up(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        try:
            socket.inet_pton(socket.AF_INET, name)
        except OSError:
            self.looked_up.add(str(name))
        if name in self._names:
            kwargs["flags"] = 0
            return self._resolve(self._names[name], *args[:1], type=socket.SOCK_STREAM)
        if name == "127.0.0.1":
            return self._resolve(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            _, address = args
            self.dialled.add(f"{address[0]}:{address[1]}" if address else "?")
        elif event in {"urllib.Request", "ftplib.connect", "smtplib.connect"} or (
            event.startswith("socket.gethost") and event != "socket.gethostname"
        ):
            self.others.add(f"{event} {args!r}")


def do_everything(base_url: str, watcher: Watcher) -> None:
    """Use each part of the package once, successfully and not."""
    import importlib
    import pkgutil

    import langchain_cerebras_ext as package

    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    model = ChatCerebras(base_url=base_url, max_retries=1)
    for path in PATHS:
        call(path, model)
    model.bind_tools([{"title": "f", "description": "F", "type": "object"}])
    model.with_structured_output({"title": "A", "type": "object", "properties": {}})
    assert model.profile
    model.get_num_tokens("How many tokens are these?")
    with suppress(CerebrasError):
        model.get_token_ids("And these?")
    model.get_num_tokens_from_messages([HumanMessage("hi")])
    model.batch(["a", "b"])
    model.warm_up()
    asyncio.run(model.awarm_up())
    for deep in (False, True):
        assert model.health_check(deep=deep).reachable
        assert asyncio.run(model.ahealth_check(deep=deep)).reachable
    for refused in ("404", "401", "redirect", "page"):
        other = ChatCerebras(base_url=base_url, model=refused, max_retries=0)
        for path in PATHS:
            with suppress(CerebrasError):
                call(path, other)
        other.health_check()
    llm = CerebrasLLM(base_url=base_url, max_retries=0)
    with suppress(CerebrasError):
        llm.invoke("hi")
    for client in (model.root_client, model.root_async_client):
        listing = client.models.list()
        with suppress(Exception):
            asyncio.run(_awaited(listing))
    catalog.list_models()
    catalog.get_model("gpt-oss-120b")
    with suppress(LookupError):
        catalog.get_model("gpt-os")
    with suppress(CerebrasError):
        catalog.check_source(base_url=base_url)
    _use_commands(base_url)
    assert not watcher.others


async def _awaited(found: Any) -> None:
    await found


def _use_commands(base_url: str) -> None:
    from typer.testing import CliRunner

    from langchain_cerebras_ext.cli.main import app

    runner = CliRunner()
    for arguments in (
        ["--version"],
        ["models"],
        ["chat", "hi", "--base-url", base_url],
        ["health", "--base-url", base_url],
        ["health", "--base-url", base_url, "--deep", "--json"],
    ):
        runner.invoke(app, arguments)


def main() -> None:
    """Do everything, and tell whom it took."""
    names = json.loads(sys.argv[2])
    watcher = Watcher(names)
    do_everything(sys.argv[1], watcher)
    told = {"names": sorted(watcher.looked_up), "addresses": sorted(watcher.dialled)}
    print(json.dumps(told))


def service(request: Request) -> Iterator[bytes]:
    """Answer as the service does, and fail by the model's name."""
    if request.method == "GET":
        return plain({"status": "ok", "object": "list", "data": []})
    match request.json["model"]:
        case "404":
            return plain({"message": "no", "code": "model_not_found"}, 404)
        case "401":
            return plain({"message": "no", "code": "wrong_api_key"}, 401)
        case "page":
            return plain(b"<html>see http://elsewhere.example</html>", 502)
        case "redirect":
            return plain(b"", 307, {"location": "http://elsewhere.example/v1/chat"})
    return answer(request)


def run_everything(
    base_url: str, names: dict[str, str], home: Path, **environment: str
) -> dict[str, list[str]]:
    """Run the program, and return whom it looked up and dialled."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ
    }
    folders = [str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, base_url, json.dumps(names)],
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        env={
            **kept,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(folders),
            "CEREBRAS_API_KEY": KEY,
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_nobody_but_the_base_urls_host_is_looked_up_or_dialled(tmp_path: Path) -> None:
    """Whatever is called, whatever fails, whatever the environment says of others."""
    (tmp_path / ".netrc").write_text(f"machine {NAME} login me password netrc-secret\n")
    with WireServer(service) as server:
        told = run_everything(
            f"http://{NAME}:{server.port}",
            {NAME: "127.0.0.1"},
            tmp_path,
            OPENAI_API_KEY="sk-of-another-vendor",
            OPENAI_BASE_URL="http://openai.example/v1",
            OPENAI_ORG_ID="org-of-another-vendor",
            HF_HOME=str(tmp_path),
        )
        keys = {request.headers.get("authorization") for request in server.requests}
        heads = repr([request.headers for request in server.requests])
        hosts = {request.headers["host"] for request in server.requests}
    assert told == {"names": [NAME], "addresses": [f"127.0.0.1:{server.port}"]}
    assert keys <= {f"Bearer {KEY}", None}
    assert len(server.requests) > 40
    assert hosts == {f"{NAME}:{server.port}"}
    assert "another-vendor" not in heads


def test_with_a_proxy_only_the_proxy_is_looked_up_and_dialled(tmp_path: Path) -> None:
    """It is the proxy that finds the service; and it does so only if it is set."""
    with WireServer(service) as proxy:
        told = run_everything(
            f"http://{NAME}",
            {"proxy.example": "127.0.0.1"},
            tmp_path,
            HTTP_PROXY=f"http://proxy.example:{proxy.port}",
        )
        paths = {request.path.split("/v1")[0] for request in proxy.requests}
    assert told["names"] == ["proxy.example"]
    assert told["addresses"] == [f"127.0.0.1:{proxy.port}"]
    assert f"http://{NAME}" in paths


# ------------------------------------------------------------------------- redirects


def _use_sdk(url: str) -> None:
    ChatCerebras(base_url=url, api_key=KEY).root_client.models.list()


def _use_async_sdk(url: str) -> None:
    async def main() -> None:
        model = ChatCerebras(base_url=url, api_key=KEY)
        await model.root_async_client.models.list()
        await model.aclose()

    asyncio.run(main())


def _check_health(url: str) -> None:
    report = ChatCerebras(base_url=url, api_key=KEY).health_check(timeout=5)
    if not report.ok:
        raise CerebrasConnectionError(str(report), kind="health")


def _acheck_health(url: str) -> None:
    report = asyncio.run(ChatCerebras(base_url=url, api_key=KEY).ahealth_check())
    if not report.ok:
        raise CerebrasConnectionError(str(report), kind="health")


def _call_on(path: str) -> Callable[[str], None]:
    def made(url: str) -> None:
        model = ChatCerebras(base_url=url, api_key=KEY, max_retries=0)
        call(path, model)

    return made


def _complete(url: str) -> None:
    CerebrasLLM(base_url=url, api_key=KEY, max_retries=0).invoke("hi")


def _read_list(url: str) -> None:
    catalog.check_source(base_url=url, api_key=KEY)


USES: dict[str, Callable[[str], None]] = {
    **{path: _call_on(path) for path in PATHS},
    "completion": _complete,
    "sdk": _use_sdk,
    "async sdk": _use_async_sdk,
    "health": _check_health,
    "async health": _acheck_health,
    "catalog": _read_list,
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("use", USES)
def test_a_redirect_is_not_followed_and_the_key_stays(use: str, status: int) -> None:
    with WireServer(lambda _: plain({"status": "ok"})) as elsewhere:
        place = f"http://localhost:{elsewhere.port}/v1/chat/completions"

        def redirect(_: Request) -> Iterator[bytes]:
            return plain(b"", status, {"location": place})

        with (
            WireServer(redirect) as server,
            suppress(CerebrasError, _sdk_error()),
        ):
            USES[use](server.url)
            if "sdk" not in use:  # it may return what came
                raise AssertionError("it was no error")
        assert server.requests
        assert elsewhere.connections == 0


def _sdk_error() -> type[Exception]:
    import openai

    return openai.OpenAIError


# ------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust the test's authority, in the way that users have for it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


def context_of(authority: trustme.CA, *names: str, **dates: Any) -> ssl.SSLContext:
    """Return a server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **dates).configure_cert(context)
    return context


def _old(authority: trustme.CA) -> ssl.SSLContext:
    context = context_of(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


_DAY = timedelta(days=1)
_NOW = datetime.now(UTC)
UNTRUSTED: dict[str, Callable[[trustme.CA], ssl.SSLContext]] = {
    "unknown authority": lambda _: context_of(trustme.CA()),
    "another host": lambda ca: context_of(ca, "other.example"),
    "expired": lambda ca: context_of(
        ca, not_before=_NOW - 9 * _DAY, not_after=_NOW - _DAY
    ),
    "not yet valid": lambda ca: context_of(
        ca, not_before=_NOW + _DAY, not_after=_NOW + 9 * _DAY
    ),
    "TLS 1.1": _old,
}


def secure_service(request: Request, _: int) -> Iterator[bytes]:
    """Answer over TLS."""
    return service(request)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("server", UNTRUSTED)
@pytest.mark.parametrize("use", USES)
@pytest.mark.usefixtures("trusted")
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    use: str, server: str, authority: trustme.CA
) -> None:
    with FaultServer(secure_service, context=UNTRUSTED[server](authority)) as found:
        with pytest.raises((CerebrasError, _sdk_error())) as caught:
            USES[use](found.url)
        assert found.connections
        assert found.requests == []
    if "sdk" not in use and "health" not in use:
        assert isinstance(caught.value, CerebrasConnectionError)
        assert caught.value.kind == "tls"
        assert caught.value.billed is False


@pytest.mark.parametrize("use", [name for name in USES if name != "completion"])
@pytest.mark.usefixtures("trusted")
def test_a_server_that_can_is_talked_to(use: str, authority: trustme.CA) -> None:
    """Or the test above would say nothing."""
    with FaultServer(secure_service, context=context_of(authority)) as found:
        with suppress(CerebrasError):  # the catalog wants a whole list
            USES[use](found.url)
        keys = {request.headers.get("authorization") for request in found.requests}
    assert found.requests
    assert keys <= {None, f"Bearer {KEY}"}
    assert f"Bearer {KEY}" in keys or use == "catalog"


@pytest.mark.parametrize("verify", [True, False])
def test_no_tls_below_1_2_is_spoken_whatever_is_verified(verify: bool) -> None:
    context = TlsContexts().get(verify, Environment())
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname is verify
    assert context.verify_mode is (ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)


if __name__ == "__main__":
    main()
