"""The simulator's ASGI application: paths to handlers, errors to answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    dump,
)
from langchain_cerebras_ext.simulator.batch import BatchStore
from langchain_cerebras_ext.simulator.catalog_views import list_view, model_view
from langchain_cerebras_ext.simulator.engine import Engine, Reply
from langchain_cerebras_ext.simulator.extras import require_simulator_extra
from langchain_cerebras_ext.simulator.faults import RefusedError
from langchain_cerebras_ext.simulator.http import (
    UPLOAD_BYTES_MAX,
    Receive,
    decode_body,
    read_body,
    read_headers,
)
from langchain_cerebras_ext.simulator.pace import ClientGoneError
from langchain_cerebras_ext.simulator.records import RecordedRequest, mask_headers
from langchain_cerebras_ext.simulator.scenarios import CHAT_PATHS
from langchain_cerebras_ext.simulator.sending import send_reply

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from langchain_cerebras_ext.simulator.connection import Scope, Send

_LOG = logging.getLogger(__name__)

Handler: TypeAlias = Callable[["Call"], Awaitable[Reply]]


@dataclass(slots=True)
class Call:
    """One request on its way through a handler."""

    scope: Scope
    receive: Receive
    headers: Mapping[str, str]
    record: RecordedRequest
    parameters: Mapping[str, str]
    body: JsonObject = field(default_factory=JsonObject)

    @property
    def query(self) -> dict[str, str]:
        """The query's values, the last of each name."""
        parsed = parse_qs(self.record.query, keep_blank_values=True)
        return {name: values[-1] for name, values in parsed.items()}

    async def read(self, limit: int | None = None) -> bytes:
        """Read the body and note it."""
        raw = await (
            read_body(self.receive) if limit is None else read_body(self.receive, limit)
        )
        self.record.raw_size = len(raw)
        if limit is None:
            self.record.raw = raw
        return raw

    async def read_object(self) -> JsonObject:
        """Read and decode the body, and note it."""
        self.body = decode_body(await self.read(), self.headers)
        self.record.body = self.body
        return self.body


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An ASGI application for one path."""

    app: _Service
    handlers: Mapping[str, Handler]
    public: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app.serve(self, scope, receive, send)


class _Service:
    """Joins HTTP and the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches = BatchStore(engine)

    async def serve(
        self, endpoint: _Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request, whatever happens."""
        engine = self.engine
        headers = read_headers(scope)
        record = self._record(scope, headers)
        call = Call(scope, receive, headers, record, scope.get("path_params", {}))
        # Whoever waits for idleness finds the bill closed and the record finished.
        with engine.activity:
            await self._serve_counted(endpoint, call, send)

    async def _serve_counted(self, endpoint: _Endpoint, call: Call, send: Send) -> None:
        engine, record = self.engine, call.record
        reply: Reply | None = None
        completed, stayed = False, False
        try:
            reply = await self._answer(endpoint, call)
            completed = await send_reply(
                reply,
                call.scope,
                call.receive,
                send,
                clock=engine.clock,
                record=record,
            )
            stayed = True
        except ClientGoneError:
            pass
        finally:
            if reply is not None and reply.meter is not None:
                engine.settle(reply.meter, client_stayed=stayed)
            record.finish(
                engine.clock.time(), completed=completed, was_cancelled=not stayed
            )

    def _record(self, scope: Scope, headers: Mapping[str, str]) -> RecordedRequest:
        record = RecordedRequest(
            method=scope["method"],
            path=scope["path"],
            query=scope.get("query_string", b"").decode("latin-1"),
            headers=mask_headers(headers),
            started_at=datetime.fromtimestamp(self.engine.clock.time(), UTC),
        )
        self.engine.note(record)
        return record

    async def _answer(self, endpoint: _Endpoint, call: Call) -> Reply:
        """Return what is sent for a request, whatever goes wrong; open its bill."""
        try:
            reply = await self._reply(endpoint, call)
        except RefusedError as error:
            reply = Reply.from_fault(error.fault)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: logged or told, never lost
            # Mostly a test's own function, given to `when` or `reply`.
            _LOG.exception("The simulator could not answer %s.", call.record.path)
            told = f"The simulator failed: {type(error).__name__}: {error}"
            reply = Reply.from_fault(faults.wrapped(500, told))
        if reply.meter is not None:
            self.engine.bill_book.open(reply.meter, call.record.number)
        return reply

    async def _reply(self, endpoint: _Endpoint, call: Call) -> Reply:
        record = call.record
        handler = endpoint.handlers.get(record.method)
        if handler is None:
            allowed = ", ".join(endpoint.handlers)
            fault = faults.detail(405, "Method Not Allowed")
            return Reply.from_fault(
                faults.Fault(fault.status, fault.body, {"allow": allowed})
            )
        if not endpoint.public:
            self.engine.authorize(call.headers.get("authorization"))
        if record.path in CHAT_PATHS:
            await call.read_object()
        scripted = self.engine.interfere(record.path, call.body, record.number)
        reply = scripted.reply
        if reply is None:
            try:
                reply = await handler(call)
            except RefusedError as error:
                reply = Reply.from_fault(error.fault)
        return self.engine.prepare(reply, scripted)

    # ---------------------------------------------------------------------- handlers

    async def chat(self, call: Call) -> Reply:
        return self.engine.chat(call.body, call.headers)

    async def text(self, call: Call) -> Reply:
        return self.engine.text(call.body, call.headers)

    async def models(self, call: Call) -> Reply:
        profiles = self.engine.profiles.values()
        public = call.record.path.startswith("/public/")
        return _json(list_view(profiles, call.query.get("format"), public=public))

    async def model(self, call: Call) -> Reply:
        profile = self.engine.find_model(call.parameters["model"])
        public = call.record.path.startswith("/public/")
        return _json(model_view(profile, call.query.get("format"), public=public))

    async def warm(self, call: Call) -> Reply:  # noqa: ARG002 - the caller's signature
        return _json({"status": "ok"})

    async def upload(self, call: Call) -> Reply:
        raw = await call.read(UPLOAD_BYTES_MAX)
        return _json(self.batches.upload(raw, call.headers.get("content-type", "")))

    async def files(self, call: Call) -> Reply:
        return _json(self.batches.list_files(call.query.get("purpose")))

    async def file(self, call: Call) -> Reply:
        return _json(self.batches.file(call.parameters["file"]).view())

    async def delete_file(self, call: Call) -> Reply:
        return _json(self.batches.delete_file(call.parameters["file"]))

    async def file_content(self, call: Call) -> Reply:
        data = self.batches.file(call.parameters["file"]).data
        return Reply(data, content_type="application/octet-stream")

    async def create_batch(self, call: Call) -> Reply:
        return _json(self.batches.create(await call.read_object()))

    async def list_batches(self, call: Call) -> Reply:
        return _json(self.batches.list_batches(call.query))

    async def batch(self, call: Call) -> Reply:
        return _json(self.batches.batch(call.parameters["batch"]).view())

    async def cancel_batch(self, call: Call) -> Reply:
        return _json(self.batches.cancel(call.parameters["batch"]))

    def routes(self) -> Iterable[tuple[str, _Endpoint]]:
        """Yield each path with what answers it."""
        table: tuple[tuple[str, dict[str, Handler]], ...] = (
            ("/v1/chat/completions", {"POST": self.chat}),
            ("/v1/completions", {"POST": self.text}),
            ("/v1/models", {"GET": self.models}),
            ("/v1/models/{model:path}", {"GET": self.model}),
            ("/v1/files", {"GET": self.files, "POST": self.upload}),
            ("/v1/files/{file}", {"GET": self.file, "DELETE": self.delete_file}),
            ("/v1/files/{file}/content", {"GET": self.file_content}),
            ("/v1/batches", {"GET": self.list_batches, "POST": self.create_batch}),
            ("/v1/batches/{batch}", {"GET": self.batch}),
            ("/v1/batches/{batch}/cancel", {"POST": self.cancel_batch}),
        )
        open_table: tuple[tuple[str, dict[str, Handler]], ...] = (
            ("/public/v1/models", {"GET": self.models}),
            ("/public/v1/models/{model:path}", {"GET": self.model}),
            ("/v1/tcp_warming", {"GET": self.warm}),
        )
        for path, handlers in table:
            yield path, _Endpoint(self, handlers)
        for path, handlers in open_table:
            yield path, _Endpoint(self, handlers, public=True)

    async def unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a path that the service does not have."""
        if scope["type"] != "http":
            return
        endpoint = _Endpoint(self, _AnyMethod(_not_found), public=True)
        await self.serve(endpoint, scope, receive, send)


class _AnyMethod(dict[str, Handler]):
    """One handler for whatever method comes."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - the caller's signature
        return self._handler


async def _not_found(call: Call) -> Reply:  # noqa: ARG001 - the caller's signature
    return Reply.from_fault(faults.detail(404, "Not Found"))


def _json(value: Any) -> Reply:
    return Reply(dump(value))


def create_simulator_app(engine: Engine | None = None) -> Starlette:
    """Make the simulator as an ASGI application, to be run by any server.

    Args:
        engine: The simulated account; a fresh one with default settings if left out.

    Raises:
        MissingExtraError: The extra `simulator` is not installed.
    """
    require_simulator_extra()
    from starlette.applications import Starlette
    from starlette.routing import Route

    service = _Service(engine or Engine())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:  # noqa: ARG001 - the caller's signature
        try:
            yield
        finally:
            await service.batches.close()

    routes = [Route(path, endpoint) for path, endpoint in service.routes()]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.router.default = service.unknown
    return app
