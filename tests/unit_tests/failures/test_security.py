"""A key goes to the service, and nowhere else.

Two secrets beside it are looked for as well: a gateway's key among the headers, and a
proxy's password. What a server echoes of them counts like the original.

What cannot be hidden: while bytes are being sent, the frames of `http.client` and of
`ssl` hold them, so that a traceback with variables of an interrupt at that moment would
show them; and the program's own variables are its own.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import faulthandler
import gc
import http.client
import io
import json
import logging
import os
import pickle
import pprint
import re
import signal
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from call_paths import BETA, PATHS, STREAMED, acall, answer, call, delta
from langchain_core import globals as lc_globals
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableParallel
from langchain_core.tracers import ConsoleCallbackHandler, LangChainTracer
from pydantic import BaseModel
from secret_watch import SecretWatch, watching
from wire_server import CUT, RESET, Request, WireServer, event, head, plain, sse

from langchain_cerebras_ext import CerebrasLLM, ChatCerebras
from langchain_cerebras_ext.catalog import check_source
from langchain_cerebras_ext.errors import (
    CerebrasConfigurationError,
    CerebrasConnectionError,
    CerebrasError,
    SecretText,
)
from langchain_cerebras_ext.retry import RetryPolicy
from langchain_cerebras_ext.simulator import Simulator

pytestmark = [BETA, pytest.mark.filterwarnings("ignore:.*is in beta:Warning")]

KEY = "csk-" + "sentinel0" * 4
GATEWAY = "gateway-" + "sentinel1" * 3
PASSWORD = "password-" + "sentinel2" * 2
SECRETS = (KEY, GATEWAY, PASSWORD)
SOURCES = ("argument", "environment")
GIVEN = SecretText(KEY)
"""The key in the form in which the variables of this file's own frames may hold it."""
AGAIN = RetryPolicy(max_retries=1, initial_delay=0, max_delay=0)
BOTH = pytest.mark.parametrize("cls", [ChatCerebras, CerebrasLLM])


def shows(text: str | bytes, secrets: tuple[str, ...] = SECRETS) -> bool:
    """Whether a text holds one of the secrets, or most of it."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return any(secret[:-4] in text for secret in secrets)


@pytest.fixture(params=SOURCES)
def make(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return what makes a model whose key was given in one of two ways."""

    def made(cls: type[Any] = ChatCerebras, **fields: Any) -> Any:
        if request.param == "environment":
            monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
        else:
            fields["api_key"] = KEY
        return cls(**fields)

    return made


# -------------------------------------------------------------------- what a model shows


class Answer(BaseModel):
    """An answer."""

    text: str


def look_up(word: str) -> str:
    """Look a word up."""
    return word


PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])
FORMS: dict[str, Callable[[Any], Any]] = {
    "model": lambda model: model,
    "bound": lambda model: model.bind(stop=["x"]),
    "tools": lambda model: model.bind_tools([look_up]),
    "structured": lambda model: model.with_structured_output(Answer),
    "retry": lambda model: model.with_retry(),
    "fallbacks": lambda model: model.with_fallbacks([model]),
    "config": lambda model: model.with_config(tags=["a"]),
    "chain": lambda model: PROMPT | model,
    "parallel": lambda model: RunnableParallel(a=model, b=PROMPT | model),
    "configurable": lambda model: model.configurable_fields(
        temperature=ConfigurableField(id="t")
    ),
    "copy": lambda model: model.model_copy(update={"temperature": 0.1}),
    "deepcopy": copy.deepcopy,
}


_UNPICKLED = {"configurable", "deepcopy"}
"""LangChain's own part of the first cannot be pickled; the second is no other form."""


def faces(shown: Any) -> Iterator[tuple[str, Any]]:
    """Yield all that shows a runnable as text."""
    from IPython.core.formatters import DisplayFormatter
    from rich.pretty import pretty_repr

    yield "repr", repr(shown)
    yield "str", str(shown)
    yield "format", f"{shown} {shown!r:>9} {shown!a}"
    yield "pprint", pprint.pformat(shown)
    yield "rich", pretty_repr(shown, max_string=20)
    yield "dumps", dumps(shown)
    yield "dumpd", repr(dumpd(shown))
    yield "to_json", repr(shown.to_json())
    yield "graph", shown.get_graph().draw_mermaid() + repr(shown.get_graph().to_json())
    yield "schemas", repr(shown.get_input_jsonschema()) + repr(shown.config_specs)
    yield "notebook", repr(DisplayFormatter().format(shown))
    yield "exception", "".join(traceback.format_exception(ValueError(shown)))


def plain_faces(shown: Any) -> Iterator[tuple[str, Any]]:
    """Yield what gives all fields back as they were set: headers and proxy, too."""
    from rich.pretty import pretty_repr

    yield "vars", repr(vars(shown))
    yield "rich vars", pretty_repr(vars(shown))
    yield "model_dump", repr(shown.model_dump())
    yield "model_dump_json", shown.model_dump_json()
    with warnings.catch_warnings(action="ignore"):
        yield "dict", repr(shown.dict())


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_shows_a_model_shows_a_secret(
    make: Callable[..., Any], form: str
) -> None:
    model = make(
        default_headers={"x-api-key": GATEWAY},
        cerebras_proxy=f"http://user:{PASSWORD}@proxy.invalid:3128",
    )
    shown = FORMS[form](model)
    assert [name for name, text in faces(shown) if shows(text)] == []
    assert [name for name, text in plain_faces(model) if shows(text, (KEY,))] == []


@BOTH
def test_nothing_that_describes_a_model_shows_a_secret(
    make: Callable[..., Any], cls: type[Any]
) -> None:
    model = make(
        cls,
        default_headers={"x-api-key": GATEWAY, "Authorization-2": GATEWAY},
        cerebras_proxy=f"http://user:{PASSWORD}@proxy.invalid:3128",
    )
    described = {
        "asdict": model.asdict(),
        "identifying": model._identifying_params,
        "langsmith": model._get_ls_params(),
        "attributes": model.lc_attributes,
        "secrets": model.lc_secrets,
        "fields": model.model_fields_set,
        "copy": copy.copy(model),
        "call": model._call({"messages": []}, stream=True),
        "headers": model._headers({"cookie": GATEWAY}),
        "clients": (model.root_client, model.root_async_client),
        "transports": (model._transport(), vars(model._transport())),
        "async transports": (model._atransport(), vars(model._atransport())),
        "runtime": (model._runtime, model._runtime.made),
    }
    from rich.pretty import pretty_repr

    for name, value in described.items():
        assert not shows(repr(value)), name
        assert not shows(pretty_repr(value)), name


@pytest.mark.parametrize("form", [name for name in FORMS if name not in _UNPICKLED])
def test_a_key_of_the_environment_is_in_no_pickle_nor_in_a_copys(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    class_of_the_users = Custom
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    for cls in (ChatCerebras, class_of_the_users):
        with WireServer(answer) as server:
            model = cls(base_url=server.url)
            model.invoke("hi")  # a used one holds clients
            model.root_client.models  # noqa: B018 - made on first use
            shown = FORMS[form](model)
            for held in (shown, copy.deepcopy(model), copy.copy(model)):
                for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
                    assert not shows(pickle.dumps(held, protocol))
            again = pickle.loads(pickle.dumps(shown))
            asked = {"question": "hi"} if form in {"chain", "parallel"} else "hi"
            if form not in {"structured", "parallel"}:
                again.invoke(asked)
                key = server.requests[-1].headers["authorization"]
                assert key == f"Bearer {KEY}", "it is read again"
            model.close()


class Custom(ChatCerebras):
    """A user's own class."""


# -------------------------------------------------------------- what is told of a call


def echo(request: Request) -> Iterator[bytes]:
    """Refuse, and repeat the key wherever one can."""
    if request.path.endswith("/tcp_warming"):  # which needs no key
        return plain({"status": "ok"})
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    said = {"message": f"Wrong key {key}", "param": key, "code": key, key: key}
    return plain(said, 401, {"x-key": key, key: "1", f"x-ratelimit-{key}": key})


SERVICES = {"answer": answer, "refusal": echo}


class FakeLangSmith:
    """Takes what a tracer would send."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def create_run(self, *args: Any, **kwargs: Any) -> None:
        self.sent.append(("create", args, kwargs))

    def update_run(self, *args: Any, **kwargs: Any) -> None:
        self.sent.append(("update", args, kwargs))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("path", PATHS)
def test_no_tracer_or_printer_is_told_a_secret(
    make: Callable[..., Any],
    path: str,
    service: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    langsmith = FakeLangSmith()
    with WireServer(SERVICES[service]) as server:
        model = make(
            base_url=server.url, max_retries=0, default_headers={"x-api-key": GATEWAY}
        )
        tracer: Any = LangChainTracer(client=langsmith)  # type: ignore[arg-type]
        handlers = [tracer, ConsoleCallbackHandler()]
        lc_globals.set_debug(True)
        lc_globals.set_verbose(True)
        try:
            with suppress(CerebrasError):
                call(path, model, config={"callbacks": handlers, "run_name": "seen"})
        finally:
            lc_globals.set_debug(False)
            lc_globals.set_verbose(False)
        (request,) = server.requests
    printed = capsys.readouterr().out
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-api-key"] == GATEWAY
    assert {what for what, *_ in langsmith.sent} == {"create", "update"}
    assert not shows(repr(langsmith.sent))
    assert "seen" in printed
    assert not shows(printed)


@pytest.mark.filterwarnings(
    "ignore:astream_(log|events) .*is deprecated:DeprecationWarning"
)
@pytest.mark.parametrize("how", ["log", "v1", "v2"])
@pytest.mark.parametrize("service", SERVICES)
def test_no_event_of_a_chain_holds_a_secret(
    make: Callable[..., Any], service: str, how: str
) -> None:
    async def main(chain: Any) -> list[Any]:
        asked = {"question": "hi"}
        if how == "log":
            events = chain.astream_log(asked)
        else:
            events = chain.astream_events(asked, version=how)
        seen: list[Any] = []
        with suppress(CerebrasError):
            async for one in events:
                seen.append(one)
        return seen

    with WireServer(SERVICES[service]) as server:
        model = make(
            base_url=server.url, max_retries=0, default_headers={"x-api-key": GATEWAY}
        )
        seen = asyncio.run(main(PROMPT | model))
    assert len(seen) > 2
    assert not shows(repr(seen))


@pytest.mark.filterwarnings(
    "ignore:`langchain-community` is being sunset:DeprecationWarning"
)
@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_no_cache_of_answers_holds_a_secret(
    make: Callable[..., Any], where: str, tmp_path: Path
) -> None:
    path = tmp_path / "cache.db"
    cache: Any = InMemoryCache()
    if where == "sqlite":
        from langchain_community.cache import SQLiteCache

        cache = SQLiteCache(str(path))
    with WireServer(answer) as server:
        fields = {
            "base_url": server.url,
            "cache": cache,
            "default_headers": {"x-api-key": GATEWAY},
        }
        for cls in (ChatCerebras, CerebrasLLM):
            model = make(cls, **fields)
            with suppress(CerebrasError):  # an answer of chat is none for the other
                model.invoke("hi")
        make(**fields).invoke("hi")
        assert len(server.requests) == 2 + (len(server.requests) > 2), "it was cached"
    held = repr(vars(cache))
    if where == "sqlite":
        cache.engine.dispose()
        held = path.read_bytes().decode("latin-1")
    assert "gpt-oss-120b" in held
    assert not shows(held)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("path", PATHS)
def test_no_span_or_metric_holds_a_secret(
    make: Callable[..., Any], path: str, service: str
) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from langchain_cerebras_ext import otel

    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metering = TracerProvider(), MeterProvider([metrics])
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    otel.instrument(
        tracer_provider=tracing, meter_provider=metering, capture_content=True
    )
    try:
        with WireServer(SERVICES[service]) as server:
            model = make(
                base_url=server.url,
                retry_policy=AGAIN,
                default_headers={"x-api-key": GATEWAY},
            )
            with suppress(CerebrasError):
                call(path, model)
    finally:
        otel.uninstrument()
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    counted = metrics.get_metrics_data()
    assert "gpt-oss-120b" in told
    assert counted is not None
    assert not shows(told + counted.to_json())


class Lines(logging.Handler):
    """Keeps all lines, and all that their records hold."""

    def __init__(self) -> None:
        super().__init__(1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = logging.Formatter("%(name)s %(message)s").format(record)
        self.lines.append(f"{text} {vars(record)!r}")


@pytest.mark.parametrize("service", [*SERVICES, "nobody"])
@pytest.mark.parametrize("path", PATHS)
def test_no_log_of_any_library_holds_a_secret(
    make: Callable[..., Any],
    path: str,
    service: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At DEBUG, with content, asyncio's debug mode and `http.client` printing all."""
    monkeypatch.setenv("CEREBRAS_LOG_CONTENT", "prompt,answer")
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        with WireServer(SERVICES.get(service, answer)) as server:
            url = server.url if service in SERVICES else "http://127.0.0.1:9"
            model = make(
                base_url=url,
                retry_policy=AGAIN,
                default_headers={"x-api-key": GATEWAY},
            )
            with suppress(CerebrasError):
                call(path, model)
            with suppress(Exception):
                model.root_client.models.list()
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    told = "\n".join(handler.lines)
    assert "request method=POST path=/v1/chat/completions" in told
    assert not shows(told)
    assert not shows("".join(capsys.readouterr()))


def test_a_dump_of_all_threads_during_a_call_shows_no_secret(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "threads.txt"

    def dump(request: Request) -> Iterator[bytes]:
        with path.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        return answer(request)

    with WireServer(dump) as server:
        make(base_url=server.url).invoke("hi")
    told = path.read_text()
    assert "_client.py" in told
    assert not shows(told)


# ------------------------------------------------------------------------------- errors


def _cut(request: Request) -> Iterator[bytes]:
    yield head(200, {"content-length": "1000", "x-key": KEY}) + KEY.encode()
    yield CUT


def _stalled(request: Request) -> Iterator[bytes]:
    request.wait_gone()
    yield from ()


def _stream_or(*parts: bytes, other: Any) -> Callable[[Request], Iterator[bytes]]:
    def answered(request: Request) -> Iterator[bytes]:
        if request.is_stream:
            return sse([delta(content="a"), *parts])
        return plain(other)

    return answered


FAILURES: dict[str, Callable[[Request], Any]] = {
    "refusal": echo,
    "page": lambda _: plain(
        f"<html>{KEY}</html>".encode(), 502, {"content-type": "text/html"}
    ),
    "no json": lambda _: plain(f"oh, {KEY}".encode()),
    "no text": lambda _: plain(b'{"id": "' + KEY.encode() + b'\xff"}'),
    "redirect": lambda _: plain(b"", 307, {"location": f"http://a.invalid/{KEY}"}),
    "error in a 200": _stream_or(
        event({"error": {"message": KEY, "code": KEY}}), other={"error": {"code": KEY}}
    ),
    "no event": _stream_or(b"data: {" + KEY.encode() + b"\n\n", other={"choices": []}),
    "no text in an event": _stream_or(
        b'data: {"id": "' + KEY.encode() + b'\xff"}\n\n', other={"choices": [{}]}
    ),
    "cut": _cut,
    "cut stream": _stream_or(CUT, other=KEY),
    "cut head": lambda _: [b"HTTP/1.1 200 OK\r\nx-key: " + KEY.encode(), CUT],
    "no header": lambda _: [b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n", CUT],
    "no http": lambda _: [KEY.encode() + b"\r\n\r\n", CUT],
    "nothing": lambda _: [CUT],
    "reset": lambda _: [RESET],
    "silence": _stalled,
}


def linked(error: BaseException) -> list[BaseException]:
    """Return an error and all that can be reached from it, shown or not."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
    return found


def told_by(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield all that an error says, and all that its frames hold."""
    from rich.pretty import pretty_repr

    for one in linked(error):
        name = type(one).__name__
        yield f"text of {name}", f"{one} {one!r} {one.args!r}"
        yield f"data of {name}", repr(getattr(one, "__dict__", None))
        yield f"data of {name}", pretty_repr(getattr(one, "__dict__", None))
        for frame, _ in traceback.walk_tb(one.__traceback__):
            for variable, value in list(frame.f_locals.items()):
                place = f"{frame.f_code.co_qualname} of {frame.f_globals['__name__']}"
                yield f"{variable} in {place}", _shown(value)
                yield f"{variable} in {place}", pretty_repr(value, max_string=30)
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield "traceback with variables", "".join(told.format())


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"cannot be shown: {error!r}"


def secrets_in(error: BaseException) -> list[str]:
    """Return where a secret is."""
    return sorted({place for place, text in told_by(error) if shows(text)})


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("path", PATHS)
def test_no_error_holds_a_secret_not_even_in_the_variables_of_its_frames(
    path: str, failure: str
) -> None:
    with WireServer(FAILURES[failure]) as server:
        model = ChatCerebras(
            base_url=server.url,
            api_key=KEY,
            timeout=0.3 if failure == "silence" else 5,
            retry_policy=AGAIN,
            default_headers={"x-api-key": GATEWAY},
        )
        with pytest.raises(CerebrasError) as caught:
            call(path, model)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    error = caught.value
    assert secrets_in(error) == []
    assert not shows(pickle.dumps(error))
    assert secrets_in(pickle.loads(pickle.dumps(error))) == []
    assert secrets_in(copy.copy(error)) == []


WRONG: dict[str, dict[str, Any]] = {
    "unknown": {"tempratur": 1},
    "range": {"temperature": 9},
    "type": {"streaming": "perhaps"},
    "url": {"base_url": "ftp://x"},
    "header": {"default_headers": {"a b": "c"}},
    "other key": {"cerebras_api_key": "csk-other"},
    "client": {"http_client": object()},
}


@pytest.mark.parametrize("name", ["api_key", "cerebras_api_key"])
@pytest.mark.parametrize("wrong", WRONG)
@BOTH
def test_no_error_of_the_constructor_holds_a_secret(
    cls: type[Any], wrong: str, name: str
) -> None:
    with pytest.raises(CerebrasConfigurationError) as caught:
        cls(**{"api_key": KEY, **WRONG[wrong], name: KEY})
        cls(**{"api_key": KEY, **WRONG["other key"]})  # where that is not wrong
    assert secrets_in(caught.value) == []


@pytest.mark.parametrize("how", ["nobody", "refusal", "page"])
def test_no_error_of_the_catalog_holds_a_secret(
    make: Callable[..., Any], how: str
) -> None:
    def service(request: Request) -> Iterator[bytes]:
        if request.path.startswith("/public"):
            return plain({"object": "list", "data": []})
        return FAILURES[how](request)

    make()  # which sets the variable, or does not
    with WireServer(service) as server:
        url = "http://127.0.0.1:9" if how == "nobody" else server.url
        given = {} if "CEREBRAS_API_KEY" in os.environ else {"api_key": GIVEN}
        with pytest.raises(CerebrasError) as caught:
            check_source(base_url=url, **given)
    assert secrets_in(caught.value) == []
    assert not shows(pickle.dumps(caught.value))


NAMING: dict[str, Callable[[Request], Any]] = {
    "redirect": lambda _: plain(b"", 307, {"location": "http://a.invalid"}),
    "not modified": lambda _: [head(304) + b"\r\n"],
    "no stream": lambda request: answer(without_stream(request)),
}


def without_stream(request: Request) -> Request:
    """Return a request as if no stream had been asked for."""
    return dataclasses.replace(request, body=b"{}")


@pytest.mark.parametrize("failure", NAMING)
@pytest.mark.parametrize("path", STREAMED)
def test_no_error_that_names_the_url_repeats_its_query(path: str, failure: str) -> None:
    """Some gateways take their key there."""
    with WireServer(NAMING[failure]) as server:
        query = {"code": GATEWAY}
        model = ChatCerebras(base_url=server.url, default_query=query, max_retries=0)
        with pytest.raises(CerebrasError, match=f"{server.url}/v1/chat") as caught:
            call(path, model)
        assert f"code={GATEWAY}" in server.requests[0].path
    assert not shows("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("path", PATHS)
def test_rich_tracebacks_with_variables_show_no_secret(path: str) -> None:
    from rich.console import Console
    from rich.traceback import Traceback

    model = ChatCerebras(
        base_url="http://127.0.0.1:9",
        api_key=KEY,
        max_retries=0,
        default_headers={"x-api-key": GATEWAY},
    )
    with pytest.raises(CerebrasConnectionError) as caught:
        call(path, model)
    console = Console(file=io.StringIO(), width=200)
    error = caught.value
    trace = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True
    )
    console.print(trace)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "locals" in told
    assert not shows(told)


@pytest.mark.parametrize("path", ["ainvoke", "astream", "av3"])
def test_the_frames_of_a_call_that_was_cancelled_hold_no_secret(path: str) -> None:
    async def main(model: ChatCerebras, arrived: threading.Event) -> None:
        async def when_arrived(task: asyncio.Task[Any]) -> None:
            await asyncio.to_thread(arrived.wait, 5)
            task.cancel()

        task = asyncio.ensure_future(acall(path, model))
        await asyncio.gather(when_arrived(task), task)

    arrived = threading.Event()

    def held(request: Request) -> Iterator[bytes]:
        arrived.set()
        return _stalled(request)

    with WireServer(held) as server:
        model = ChatCerebras(
            base_url=server.url, api_key=KEY, default_headers={"x-api-key": GATEWAY}
        )
        with pytest.raises(asyncio.CancelledError) as caught:
            asyncio.run(main(model, arrived))
    places = {place for place, _ in told_by(caught.value)}
    if path != "av3":  # which has a task of its own for the call
        assert any("_http._async" in place for place in places), "its frames are there"
    assert secrets_in(caught.value) == []


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="no signals to a thread here"
)
@pytest.mark.parametrize("path", ["invoke", "stream", "v3"])
def test_the_frames_of_a_call_that_was_interrupted_hold_no_secret(path: str) -> None:
    """As by Ctrl-C, while it waits for the answer."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(request: Request) -> Iterator[bytes]:
        signal.pthread_kill(main, signal.SIGINT)
        return _stalled(request)

    with WireServer(interrupt) as server:
        model = ChatCerebras(
            base_url=server.url, api_key=KEY, default_headers={"x-api-key": GATEWAY}
        )
        with pytest.raises(KeyboardInterrupt) as caught:
            call(path, model)
    places = {place for place, _ in told_by(caught.value)}
    assert any("_http._sync" in place for place in places), "its frames are there"
    assert secrets_in(caught.value) == []


@pytest.mark.parametrize("path", PATHS)
def test_the_frames_of_a_mistake_of_ours_hold_no_secret(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        msg = "a mistake"
        raise ZeroDivisionError(msg)

    for name in ("decode_response", "_new_reader"):
        monkeypatch.setattr(f"langchain_cerebras_ext._client.{name}", broken)
    with WireServer(answer) as server:
        model = ChatCerebras(
            base_url=server.url, api_key=KEY, default_headers={"x-api-key": GATEWAY}
        )
        with pytest.raises(ZeroDivisionError) as caught:
            call(path, model)
    places = {place for place, _ in told_by(caught.value)}
    assert any("langchain_cerebras_ext._client" in place for place in places)
    assert secrets_in(caught.value) == []


@pytest.mark.parametrize("path", PATHS)
def test_the_error_that_the_caller_handles_keeps_its_traceback(path: str) -> None:
    """What we take from our own errors we leave to others."""
    model = ChatCerebras(base_url="http://127.0.0.1:9", max_retries=0)

    def fail() -> None:
        msg = "of the program"
        raise LookupError(msg)

    with pytest.raises(CerebrasConnectionError) as caught:
        try:
            fail()
        except LookupError:
            call(path, model)
    texts = traceback.format_exception(caught.value)
    handled = [one for one in linked(caught.value) if isinstance(one, LookupError)]
    for one in handled:  # in a loop of its own there is none
        names = [
            frame.f_code.co_name for frame, _ in traceback.walk_tb(one.__traceback__)
        ]
        assert names[-1] == "fail"
    assert any("Connection" in text for text in texts)
    assert sys._getframe().f_code.co_name in "".join(texts)


@pytest.mark.unwatched  # which keeps all errors until the test's end
@pytest.mark.parametrize("path", PATHS)
def test_an_error_shares_nothing_with_others_and_leaves_nothing(path: str) -> None:
    """aiohttp has one error for all answers that are closed while they are read.

    Raised, it would keep the frames of every call that it has ended, with its prompt.
    """

    def dripped(request: Request) -> Iterator[bytes]:
        first = head(200, {"content-length": "1000"}) + b"{"
        yield sse_head() if request.is_stream else first
        request.wait_gone()

    def failed(model: ChatCerebras) -> CerebrasError:
        with pytest.raises(CerebrasError, match="longer than its limit") as caught:
            call(path, model)
        return caught.value

    with WireServer(dripped) as server:
        model = ChatCerebras(base_url=server.url, total_timeout=0.2, max_retries=0)
        errors = [failed(model), failed(model)]
        causes = [error.__cause__ for error in errors]
        assert causes[0] is not causes[1]
        left = [weakref.ref(error) for error in errors]
        del errors, causes
        gc.collect()
        assert [ref() for ref in left] == [None, None]


def sse_head() -> bytes:
    """Return the head of a stream, and its first event."""
    return b"".join(list(sse([delta(content="a")]))[:-1])


# ----------------------------------------------------------------------- the simulator


def test_the_simulator_shows_no_key_of_its_clients(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    with Simulator(key=KEY) as simulator:
        simulator.fail_randomly(0.5, seed=3)
        headers = {"x-api-key": GATEWAY, "cookie": GATEWAY}
        model = make(
            base_url=simulator.base_url, max_retries=0, default_headers=headers
        )
        for path in PATHS:
            with suppress(CerebrasError):
                call(path, model)
        model.health_check()
        wrong = ChatCerebras(base_url=simulator.base_url, api_key=GATEWAY)
        with pytest.raises(CerebrasError):
            wrong.invoke("hi")
        model.close()
        shown = [repr(simulator), repr(simulator.requests), repr(simulator.billed)]
        shown.append(repr([vars_of(request) for request in simulator.requests]))
        shown.append(repr(simulator.engine.settings))
    assert len(simulator.requests) > len(PATHS)
    assert not shows("".join(shown))
    assert not shows(caplog.text)


def vars_of(value: Any) -> dict[str, Any]:
    """Return the fields of an object that has slots."""
    return {name: getattr(value, name) for name in type(value).__slots__}


# ----------------------------------------------------------------- health and commands


@pytest.mark.parametrize("service", [*SERVICES, "nobody"])
def test_no_report_on_health_holds_a_secret(
    make: Callable[..., Any], service: str
) -> None:
    with WireServer(SERVICES.get(service, answer)) as server:
        url = server.url if service in SERVICES else "http://127.0.0.1:9"
        model = make(base_url=url, default_headers={"x-api-key": GATEWAY})
        reports = [model.health_check(deep=True), asyncio.run(model.ahealth_check())]
        for report in reports:
            assert not shows(f"{report} {report!r} {fields_of(report)}")
            assert not shows(pickle.dumps(report))


def fields_of(value: Any) -> str:
    """Return all that an object holds."""
    return repr(dataclasses.asdict(value))


COMMANDS = {
    "chat": ["chat", "hi", "--debug"],
    "health": ["health", "--debug", "--deep"],
    "health as json": ["health", "--debug", "--json"],
}


# One after the other in one process: most of what one takes is its start.
ALL_COMMANDS = """
import json, sys
from langchain_cerebras_ext.__main__ import main
for arguments in json.loads(sys.argv[1]):
    print("told", main(arguments), flush=True)
"""


@pytest.mark.parametrize("service", [*SERVICES, "nobody"])
def test_no_command_prints_a_secret_with_whatever_it_is_told_to_show(
    service: str,
) -> None:
    with WireServer(SERVICES.get(service, answer)) as server:
        url = server.url if service in SERVICES else "http://127.0.0.1:9"
        environment = {
            **os.environ,
            "CEREBRAS_API_KEY": KEY,
            "CEREBRAS_BASE_URL": url,
            "CEREBRAS_LOG": "debug",
            "CEREBRAS_LOG_CONTENT": "prompt,answer",
            "NO_COLOR": "1",
        }
        done = subprocess.run(  # noqa: PLW1510 - it may fail
            [sys.executable, "-c", ALL_COMMANDS, json.dumps([*COMMANDS.values()])],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        sent = [request.headers.get("authorization") for request in server.requests]
    if service in SERVICES:
        assert sent.count(f"Bearer {KEY}") >= len(COMMANDS)
    else:
        assert sent == []
    # None has refused its arguments, and all have said something.
    told = re.findall(r"^told (\d+)$", done.stdout, re.MULTILINE)
    assert set(told) <= {"0", "1"}
    assert len(told) == len(COMMANDS), done.stderr
    assert done.stderr.count("langchain_cerebras_ext.") >= len(COMMANDS)
    assert not shows(done.stdout + done.stderr)


# ---------------------------------------------------- the watch over all other tests


def _let_out_by_a_program() -> None:
    program = f"print({KEY[:9]!r} + {KEY[9:]!r})"
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)


def _let_out_by_a_trace() -> None:
    with WireServer(answer) as server:
        model = ChatCerebras(base_url=server.url)
        tracer: Any = LangChainTracer(client=FakeLangSmith())  # type: ignore[arg-type]
        model.invoke(KEY, config={"callbacks": [tracer]})


def _let_out_by_a_span() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider().get_tracer("a").start_as_current_span("b") as span:
        span.set_attribute("key", KEY)


def _let_out_by_an_error() -> None:
    with suppress(CerebrasError):
        raise CerebrasError(KEY)


LEAKS: dict[str, Callable[[], object]] = {
    "program": _let_out_by_a_program,
    "trace": _let_out_by_a_trace,
    "span": _let_out_by_a_span,
    "error": _let_out_by_an_error,
    "warning": lambda: warnings.warn(KEY, stacklevel=1),
    "log": lambda: logging.getLogger("urllib3.connectionpool").debug("%s", KEY),
}


@pytest.mark.unwatched
@pytest.mark.parametrize("channel", LEAKS)
def test_the_watch_over_all_tests_finds_a_key(channel: str) -> None:
    import opentelemetry.sdk.trace  # noqa: F401 - watched, where it is in use

    watch = SecretWatch()
    with warnings.catch_warnings(record=True, action="always"), watching(watch):
        ChatCerebras(api_key=KEY)
        assert watch.found() == []
        LEAKS[channel]()
    assert watch.found()
    assert not shows(repr(watch.found()))


# --------------------------------------------------------------------- the repository

ROOT = Path(__file__).parents[3]
LIVE = re.compile(
    rb"\b(?:csk-[A-Za-z0-9]{20,}|sk-(?:proj-)?[A-Za-z0-9]{32,}|gsk_[A-Za-z0-9]{32,}"
    rb"|lsv2_[a-z]{2}_[a-z0-9]{24,}|hf_[A-Za-z0-9]{30,}|AIza[A-Za-z0-9_-]{32,}"
    rb"|AKIA[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{60,})"
)
_FEW = 10
"""A key of a service has more different characters than this; a placeholder has not."""


def repository_files() -> list[Path]:
    """Return the files of the repository, or skip where there is none."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout of the repository, or there is no git")
    names = found.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def live_keys(data: bytes) -> list[str]:
    """Return what looks like somebody's key: the beginning will do to find it."""
    found = [match[0].decode() for match in LIVE.finditer(data)]
    return [f"{key[:9]}..." for key in found if len(set(key.lower())) > _FEW]


def test_no_file_of_the_repository_holds_what_looks_like_a_key() -> None:
    files = repository_files()
    assert Path(__file__) in files
    assert any("recordings" in path.parts for path in files)
    found = {
        str(path.relative_to(ROOT)): keys
        for path in files
        if (keys := live_keys(path.read_bytes()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "is_live"),
    [
        ("csk-" + "x" * 40, False),
        ("csk-" + "1234" * 10, False),
        ("csk-your-key-here", False),
        ("csk-" + "4xk9wd2mvp8nrhtc5jy6e3fg" * 2, True),
        ("key: 'sk-" + "4xk9wd2mvp8nrhtc5jy6e3fgAB" * 2 + "'", True),
    ],
    ids=["x", "digits", "words", "live", "another vendor's"],
)
def test_the_search_tells_keys_from_placeholders(text: str, is_live: bool) -> None:
    assert bool(live_keys(text.encode())) is is_live
