"""`create_app`: the proxy as an ASGI application.

Without a framework: a look into a table finds what answers a path. `ProxyApp` runs
under any ASGI server; where that has no lifespan, all is opened by the first request.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import re
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, time
from email.utils import format_datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from langchain_cerebras_ext._version import __version__
from langchain_cerebras_ext.errors import CerebrasConfigurationError
from langchain_cerebras_ext.proxy import log
from langchain_cerebras_ext.proxy.body import ClientGone, parse, read_body
from langchain_cerebras_ext.proxy.gate import Gate
from langchain_cerebras_ext.proxy.headers import upward
from langchain_cerebras_ext.proxy.keys import Keys
from langchain_cerebras_ext.proxy.lifecycle import Lifecycle, Watch
from langchain_cerebras_ext.proxy.metrics import FOLDER, Metrics
from langchain_cerebras_ext.proxy.models import ModelTable
from langchain_cerebras_ext.proxy.place import listen
from langchain_cerebras_ext.proxy.record import (
    LedgerObserver,
    Priced,
    load_prices,
    open_ledger,
)
from langchain_cerebras_ext.proxy.refusal import Refusal, envelope
from langchain_cerebras_ext.proxy.relay import (
    MUCH_BYTES,
    Call,
    ClientStalled,
    Relay,
    UpstreamRefusal,
    told,
)
from langchain_cerebras_ext.proxy.settings import Settings
from langchain_cerebras_ext.proxy.trace import begin
from langchain_cerebras_ext.proxy.upstream import UpstreamError, Upstreams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import date

    from langchain_cerebras_ext.proxy.exchange import Exchange, Observer
    from langchain_cerebras_ext.proxy.refusal import Headers

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    Scope = Mapping[str, Any]

__all__ = ["ProxyApp", "create_app"]

_log: Final = logging.getLogger("langchain_cerebras_ext.proxy")

_JSON: Final = (b"content-type", b"application/json")
_CLIENT_LEFT: Final = 499  # as nginx has it
_MAX_LIST_BYTES: Final = 8 * 1024 * 1024
_MODELS: Final = "/v1/models"
_OF_MODELS: Final = "/v1/models/"
_COMPLETIONS: Final = {"/v1/chat/completions", "/v1/completions"}
_CLOSE: Final = (b"connection", b"close")
_LAST_WORDS_S: Final = 10.0
_MAX_LOGGED: Final = 64 * 1024
_QUERY: Final = re.compile(rb"[!-~]*")
_ALONE: Final = (
    "If this server has several workers, each of them counts for itself: %s. Set "
    "APE_LIMITS_URL for limits, and %s for metrics."
)
_UNREAD: Final[Scope] = {"method": "", "path": "", "headers": []}


def create_app(settings: Settings | None = None) -> ProxyApp:
    """Return the proxy, for uvicorn or any other ASGI server.

    Args:
        settings: `None` reads them from the environment.

    Raises:
        CerebrasConfigurationError: A setting is wrong; all of them are told.

    Example:
        ```python
        from langchain_cerebras_ext.proxy import Settings, create_app
        from langchain_cerebras_ext.proxy.settings import Upstream

        app = create_app(Settings(upstream=Upstream(api_key="csk-...")))
        ```
    """
    return ProxyApp(Settings.load() if settings is None else settings)


class ProxyApp:
    """An ASGI application that passes requests on to Cerebras.

    Attributes:
        settings: How it is set up.
        metrics: What it has counted.
        observers: Told of each exchange when it has ended, in this order.
        keys: Who may ask.
        gate: How much.
        models: What names of models stand for.
        lifecycle: What is under way.
        relay: The way up and down.
        is_served_by_us: Whether the package's own server runs it, which sees to the
            port of metrics and to workers; it says so before the application starts.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_served_by_us = False
        log.configure(settings)
        for notice in settings.notices():
            _log.warning(notice)
        prices = load_prices(settings)
        self.keys = Keys(settings)
        self.models = ModelTable(settings, prices=prices)
        self.metrics = Metrics(settings)
        priced = Priced(settings, prices)
        self.gate = Gate(settings, priced)
        self._ledger = open_ledger(settings)
        self.observers: list[Observer] = [priced, self.metrics]
        if self._ledger is not None:
            self.observers.append(LedgerObserver(self._ledger, settings))
            self.metrics.watch_ledger(self._ledger)
        if self.gate.budget is not None:
            self.metrics.watch(self.gate.budget)
        self.observers.append(log.RequestLog(settings))
        self.lifecycle = Lifecycle(settings)
        self._ports = ExitStack()
        self._upstreams = Upstreams(settings)
        self.relay = Relay(settings, self._upstreams)
        self._pages: dict[str, Callable[[Scope, Send], Awaitable[None]]] = {
            "/health": self._health,
            "/health/live": self._health,
            "/health/ready": self._ready,
            # Cerebras's SDK opens a connection by it when a client is made.
            "/v1/tcp_warming": self._warm,
        }
        if settings.metrics_port is None:
            self._pages["/metrics"] = self._metrics
        if settings.docs:
            self._pages["/docs"] = self._docs
            self._pages["/openapi.json"] = self._openapi
        self._answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self._route
        if settings.cors_origins:
            self._answer = _with_cors(self._route, settings.cors_origins)

    def __repr__(self) -> str:
        """Return what it is; never a key."""
        return f"<ProxyApp {self.settings.upstream.name}, {self.in_flight} in flight>"

    @property
    def in_flight(self) -> int:
        """How many exchanges are under way."""
        return self.lifecycle.in_flight

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end."""
        return self.lifecycle.is_ending

    def begin_shutdown(self, within_s: float | None = None) -> None:
        """Be not ready any more; what is under way may end until the deadline.

        To be called on the event loop that the application runs on.

        Args:
            within_s: Seconds until the deadline, in place of the setting.
        """
        self.lifecycle.begin_shutdown(within_s)

    async def aclose(self) -> None:
        """Close connections, stores and files; a later request opens them again."""
        self.lifecycle.close()
        self.keys.close()
        await asyncio.to_thread(self._ports.close)
        await self._upstreams.close()
        await self.gate.close()
        self.metrics.close()
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or take part in the server's start and end."""
        kind = scope["type"]
        if kind == "http":
            await self._answer(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            msg = f"The proxy speaks HTTP, and not {kind!r}."
            raise ValueError(msg)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.keys.listen()
                if not self.is_served_by_us:
                    self._do_without_our_server()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _do_without_our_server(self) -> None:
        """Do what else our server does, as far as one process can; tell the rest."""
        settings = self.settings
        if settings.workers > 1:
            _log.warning("APE_WORKERS is not heeded: this server has its own number.")
        if _has_neighbours():
            alone = [*settings.limits_of_a_process()]
            alone += [] if os.environ.get(FOLDER) else ["metrics"]
            if alone:
                _log.warning(_ALONE, ", ".join(alone), FOLDER)
        if settings.metrics_port is None:
            return
        try:
            sock = listen(
                settings.host, settings.metrics_port, named="APE_METRICS_PORT"
            )
        except CerebrasConfigurationError as error:
            # Of several workers one has it, and answers for all that share a folder.
            _log.warning("This process serves no metrics. %s", error)
            return
        from langchain_cerebras_ext.proxy.metrics_server import MetricsServer

        server = MetricsServer(sock, self.metrics.render)
        self._ports.enter_context(server.running())

    def note_unread(self, refusal: Refusal) -> None:
        """Take note of a request that a server has refused before it could be read."""
        exchange = begin(_UNREAD)
        self.metrics.begin()
        exchange.outcome = "refused"
        exchange.status = refusal.status
        exchange.error_category = refusal.category  # type: ignore[assignment]
        exchange.error_message = refusal.message
        self.observe(exchange)

    def observe(self, exchange: Exchange) -> None:
        """Tell the observers of an exchange that has ended."""
        exchange.duration_s = perf_counter() - exchange.began
        for observe in self.observers:
            try:
                observe(exchange)
            except Exception:  # noqa: BLE001 - one that fails must not stop the others
                _log.exception("An observer has failed.")

    # ------------------------------------------------------------------ routing

    def _route(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what answers; a coroutine more would be kept by each stream."""
        path: str = scope["path"]
        root: str = scope.get("root_path") or ""
        if root and path.startswith(root):
            path = path[len(root) :]
        method: str = scope["method"]
        page = self._pages.get(path)
        if page is None:
            return self._exchange(path, scope, receive, send)
        if method in {"GET", "HEAD"}:
            return page(scope, send)
        refusal = _wrong_method(method, path, b"GET, HEAD")
        headers = [_JSON, *refusal.headers]
        return _send_body(scope, send, 405, headers, refusal.body())

    async def _exchange(
        self, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request that counts, and tell the observers of it once."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        exchange = begin(scope, headers)
        self.metrics.begin()
        visit = _Visit(self, exchange, scope, headers, receive, send)
        try:
            await visit.answer(path)
        finally:
            visit.end()

    # -------------------------------------------------------------------- pages

    async def _health(self, scope: Scope, send: Send) -> None:
        body = {"status": "ok", "version": __version__}
        await _send_json(scope, send, 200, body)

    async def _warm(self, scope: Scope, send: Send) -> None:
        await _send_json(scope, send, 200, {"status": "ok"})

    async def _ready(self, scope: Scope, send: Send) -> None:
        if self.is_ending:
            await _send_json(scope, send, 503, {"status": "shutting down"})
        else:
            await _send_json(scope, send, 200, {"status": "ready"})

    async def _metrics(self, scope: Scope, send: Send) -> None:
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        kind, body = await asyncio.to_thread(self.metrics.render, accept)
        await _send_page(scope, send, kind, body)

    async def _docs(self, scope: Scope, send: Send) -> None:
        from langchain_cerebras_ext.proxy import openapi

        more = [(b"content-security-policy", openapi.POLICY.encode("latin-1"))]
        kind = "text/html; charset=utf-8"
        await _send_page(scope, send, kind, openapi.page(), more=more)

    async def _openapi(self, scope: Scope, send: Send) -> None:
        from langchain_cerebras_ext.proxy import openapi

        await _send_page(scope, send, "application/json", openapi.document())


class _Visit:
    """One exchange, from the head of the request to the observers."""

    __slots__ = (
        "_app",
        "_exchange",
        "_headers",
        "_hold",
        "_receive",
        "_scope",
        "_send",
        "_watch",
    )

    def __init__(
        self,
        app: ProxyApp,
        exchange: Exchange,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        self._app = app
        self._exchange = exchange
        self._scope = scope
        self._headers = headers
        self._receive = receive
        self._send = send
        self._watch: Watch | None = None
        self._hold: Any = None

    async def answer(self, path: str) -> None:
        """Answer, whatever happens."""
        exchange = self._exchange
        try:
            await self._answer(path)
        except Refusal as refusal:
            exchange.outcome = "refused"
            headers = [_JSON, *refusal.headers]
            self._note(refusal.category, refusal.message)
            await self._tell(refusal.status, headers, refusal.body())
        except UpstreamRefusal as error:
            exchange.outcome = "failed"
            self._note(error.category, error.message)
            await self._tell(error.status, error.headers, error.body)
        except UpstreamError as error:
            exchange.outcome = "failed"
            message = told(error, exchange)
            self._note(error.category, message)
            status = 504 if error.category == "upstream_timeout" else 502
            body = envelope(message, type="server_error", code=error.category)
            await self._tell(status, [_JSON], body)
        except ClientGone:
            self._note_aborted("client_gone", "The client has left.")
        except ClientStalled:
            self._note_aborted("client_timeout", "The client takes nothing more.")
        except asyncio.CancelledError:
            ending = self._app.is_ending
            category = "shutting_down" if ending else "client_gone"
            self._note_aborted(category, "The server has broken it off.")
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the shell
            exchange.outcome = "failed"
            self._note("internal", f"{type(error).__name__}: {error}")
            _log.exception("A request cannot be answered.")
            message = "The proxy has failed; its log tells more."
            body = envelope(message, type="server_error", code="internal_error")
            await self._tell(500, [_JSON], body)

    def end(self) -> None:
        """Tell the observers, once, and give back what was held."""
        exchange = self._exchange
        watch = self._watch
        if watch is not None:
            watch.stop()
            self._app.lifecycle.remove(watch)
        self._app.observe(exchange)
        if self._hold is not None:
            self._hold.settle(exchange)

    def _note(self, category: Any, message: str) -> None:
        self._exchange.error_category = category
        self._exchange.error_message = message

    def _note_aborted(self, category: str, message: str) -> None:
        self._exchange.outcome = "aborted"
        self._exchange.status = self._exchange.status or _CLIENT_LEFT
        self._note(category, message)

    async def _tell(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer of our own, if none has begun.

        Where one has, the server cuts the connection, since the rest is missing.
        """
        exchange = self._exchange
        if exchange.status:
            return
        exchange.status = status
        exchange.response_bytes = len(body)
        headers = [*headers, *self._more()]
        if not any(name == b"x-request-id" for name, _ in headers):
            headers.append((b"x-request-id", exchange.request_id.encode("ascii")))
        watch = self._watch
        if watch is not None:
            watch.again("client", _LAST_WORDS_S)
        try:
            await _send_body(self._scope, self._send, status, headers, body)
        except asyncio.CancelledError:
            if watch is None or not watch.caught():
                raise
        except OSError:  # as some servers tell that the client has left
            pass

    def _more(self) -> Headers:
        """Return headers that any answer has at the moment."""
        headers: Headers = [_CLOSE] if self._app.is_ending else []
        if self._exchange.sunset is not None:
            headers += self._end_headers()
        return headers

    def _end_headers(self) -> Headers:
        """Return what tells of the end of a model's service.

        `Sunset` as RFC 8594 has it, `Deprecation` as RFC 9745.
        """
        life = self._app.models.life(self._exchange.model_asked)
        if life is None or life.ends_on is None:
            return []
        headers = [
            (b"sunset", format_datetime(_start_of(life.ends_on), usegmt=True).encode())
        ]
        if life.told_on is not None:
            told = b"@%d" % _start_of(life.told_on).timestamp()
            headers.append((b"deprecation", told))
        return headers

    # ------------------------------------------------------------------ answers

    def _answer(self, path: str) -> Awaitable[None]:
        """Return what answers, if the request may be answered at all.

        Raises:
            Refusal: It may not.
        """
        app = self._app
        exchange = self._exchange
        method = exchange.method
        if path.startswith("/v1/"):
            if app.keys.guards_place:
                app.keys.check_place(self._scope, self._headers)
            authorization = self._headers.get(b"authorization")
            exchange.key_id = app.keys.identify(authorization)
        if path in _COMPLETIONS:
            if method != "POST":
                raise _wrong_method(method, path, b"POST")
            return self._complete(path)
        if path == _MODELS or (path.startswith(_OF_MODELS) and path != _OF_MODELS):
            if method not in {"GET", "HEAD"}:
                raise _wrong_method(method, path, b"GET, HEAD")
            return self._list(path[len(_OF_MODELS) :])
        msg = f"There is nothing at {method} {path[:200]}."
        raise Refusal(404, msg, code="unknown_url", category="not_found")

    def _start_watch(self) -> Watch:
        app = self._app
        limits = app.settings
        watch = self._watch = Watch(
            self._receive, limits.total_timeout_s, limits.connect_timeout_s
        )
        app.lifecycle.add(watch)
        return watch

    async def _complete(self, path: str) -> None:
        """Answer a request for a completion."""
        app = self._app
        exchange = self._exchange
        call = await self._read(path)
        watch = self._start_watch()
        if not app.gate.is_idle:
            await self._admit(watch)
        reply = await app.relay.open(call, exchange, watch)
        del call  # a long stream need not hold what it was asked
        await app.relay.hand_down(reply, exchange, watch, self._send, self._more())

    async def _read(self, path: str) -> Call:
        """Return what goes up of a request for a completion."""
        app = self._app
        exchange = self._exchange
        headers = self._headers
        limit = app.settings.max_body_bytes
        timeout_s = app.settings.body_timeout_s
        raw = await read_body(self._receive, headers, limit=limit, timeout_s=timeout_s)
        exchange.request_bytes = len(raw)
        if len(raw) > MUCH_BYTES:
            asked = await asyncio.to_thread(parse, raw, headers, limit=limit)
        else:
            asked = parse(raw, headers, limit=limit)
        exchange.prompt_bytes = asked.json_bytes
        exchange.model_asked = asked.model
        exchange.stream = asked.stream
        if asked.max_output_tokens is not None:
            exchange.max_output_tokens = asked.max_output_tokens * asked.n
        try:
            route = app.models.resolve(asked.model)
        except Refusal:
            self._note_end()
            raise
        exchange.model = route.model
        exchange.sunset = route.sunset
        if app.settings.log_content:
            self._log_content(raw)
        self._headers = {}  # a stream may be long, and streams many
        return Call(
            b"POST",
            self._upward_path(path[3:]),
            upward(self._scope["headers"], exchange),
            body=asked.with_model,
            model=route.model,
        )

    def _note_end(self) -> None:
        """Note when the service of a model ended that is refused."""
        exchange = self._exchange
        life = self._app.models.life(exchange.model_asked)
        if life is not None and life.ends_on is not None:
            exchange.sunset = (life.ends_on.isoformat(), life.successor)

    async def _admit(self, watch: Watch) -> None:
        """Wait for the gate; that may have to ask a store that others share."""
        app = self._app
        try:
            self._hold = await app.gate.admit(self._exchange)
        except asyncio.CancelledError as error:
            found = app.relay.explain(watch, error)
            if isinstance(found, UpstreamError):
                msg = "The limits could not be checked in time; try again."
                found = Refusal(
                    503,
                    msg,
                    type="server_error",
                    code="limits_unavailable",
                    category="overloaded",
                    headers=[(b"retry-after", b"1")],
                )
            raise found from None
        watch.heard()

    async def _list(self, name: str) -> None:
        """Answer a question about models."""
        app = self._app
        exchange = self._exchange
        asked = "/models"
        if name:
            asked = f"/models/{_in_path(app.models.resolve(name).model)}"
        headers = upward(self._scope["headers"], exchange)
        call = Call(b"GET", self._upward_path(asked), headers)
        watch = self._start_watch()
        reply = await app.relay.open(call, exchange, watch)
        found = await app.relay.fetch(reply, watch, _MAX_LIST_BYTES)
        view = (
            app.models.model_view(name, found) if name else app.models.list_view(found)
        )
        await self._tell(200, [_JSON], view)

    def _upward_path(self, path: str) -> bytes:
        """Return what follows the base URL."""
        query: bytes = self._scope.get("query_string") or b""
        if query and not _QUERY.fullmatch(query):
            msg = "The query has characters that must be written as %XX."
            raise Refusal(400, msg, code="invalid_query", category="bad_request")
        upward_path = path.encode("ascii")
        return b"%s?%s" % (upward_path, query) if query else upward_path

    def _log_content(self, raw: bytes) -> None:
        """Keep the beginning of what is asked and answered, for the log."""
        detail = self._exchange.detail
        detail["request_body"] = raw[:_MAX_LOGGED]
        send = self._send
        kept = bytearray()

        async def send_and_keep(message: Any) -> None:
            kept.extend(message.get("body", b"")[: _MAX_LOGGED - len(kept)])
            detail["response_body"] = bytes(kept)
            await send(message)

        self._send = send_and_keep


# ------------------------------------------------------------------------- answering


def _has_neighbours() -> bool:
    """Whether this seems to be one of several workers of somebody's server."""
    return (
        (multiprocessing.parent_process() is not None and "--reload" not in sys.argv)
        or bool(os.environ.get(FOLDER))
        or os.environ.get("WEB_CONCURRENCY", "1") != "1"
    )


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _in_path(model: str) -> str:
    """Return a model's name as one part of a path.

    Raises:
        Refusal: It would lead elsewhere.
    """
    # What stands before the service may take %2F for what it stands for.
    if not model or {".", ".."} & set(model.split("/")):
        msg = f"The model {model!r} does not exist."
        raise Refusal(
            404, msg, code="model_not_found", category="not_found", param="model"
        )
    return quote(model, safe="", errors="replace")


def _wrong_method(method: str, path: str, allowed: bytes) -> Refusal:
    return Refusal(
        405,
        f"{path} takes {allowed.decode()}, and not {method[:20]}.",
        code="method_not_allowed",
        category="bad_request",
        headers=[(b"allow", allowed)],
    )


async def _send_body(
    scope: Scope, send: Send, status: int, headers: Headers, body: bytes
) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if scope["method"] == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _send_page(
    scope: Scope,
    send: Send,
    kind: str,
    body: bytes,
    *,
    status: int = 200,
    more: Headers | None = None,
) -> None:
    headers = [
        (b"content-type", kind.encode("latin-1")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *(more or ()),
    ]
    await _send_body(scope, send, status, headers, body)


async def _send_json(scope: Scope, send: Send, status: int, value: Any) -> None:
    body = msgspec.json.encode(value)
    await _send_page(scope, send, "application/json", body, status=status)


def _with_cors(app: Any, origins: tuple[str, ...]) -> Any:
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["*"],
    )
