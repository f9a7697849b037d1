"""The dashboard's ASGI application: addresses to questions, answers to JSON or CSV."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Callable, Mapping  # noqa: TC003 - read by dataclass
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from langchain_cerebras_ext.dashboard.comparisons import COLUMNS as COMPARED
from langchain_cerebras_ext.dashboard.csv_text import make_csv
from langchain_cerebras_ext.dashboard.data import (
    ARM_TIMINGS,
    DOUBTS,
    TIMINGS,
    Reader,
)
from langchain_cerebras_ext.dashboard.extras import require_dashboard_extra
from langchain_cerebras_ext.dashboard.guard import LOGIN_PATH, Gate, Guard
from langchain_cerebras_ext.dashboard.memo import Memo
from langchain_cerebras_ext.dashboard.page import load_login, load_page
from langchain_cerebras_ext.dashboard.query import Options, QueryError, View, read_view
from langchain_cerebras_ext.errors import CerebrasError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_cerebras_ext.costs.ledger import Ledger
    from langchain_cerebras_ext.costs.prices import PriceBook

__all__ = ["create_app"]

_log = logging.getLogger("langchain_cerebras_ext.dashboard")

# The database works outside the interpreter's lock; more only get in each other's way.
_THREADS: Final = min(8, (os.cpu_count() or 1) + 2)
_LOGIN_BYTES: Final = 4_096
_GONE: Final = 499  # nobody reads it

JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Table:
    """One thing that the page asks for.

    Attributes:
        answer: Works it out.
        options: Names in `Options` that it takes.
        columns: Of its CSV; none if there is no CSV.
        limit: How many rows if not said.
    """

    answer: Callable[[Reader, View], dict[str, Any]]
    options: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    limit: int = 10


_TOTALS: Final = (
    "calls",
    "retries",
    "failed",
    "aborted",
    "cache_hits",
    "unpriced_calls",
    "calls_without_usage",
    "estimated_calls",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "cache_savings",
)


def _parts(fields: tuple[str, ...]) -> tuple[str, ...]:
    kinds = ("calls", "p50", "p95", "p99")
    return tuple(f"{name}.{kind}" for name in fields for kind in kinds)


TABLES: Final[Mapping[str, Table]] = {
    "overview": Table(Reader.overview),
    "series": Table(
        Reader.series, ("by",), ("time", "calls", "tokens", "cost", *DOUBTS)
    ),
    "history": Table(Reader.history, (), ("time", *_TOTALS)),
    "groups": Table(Reader.groups, ("by", "sort", "limit"), ("key", *_TOTALS)),
    "values": Table(Reader.values, ("by", "find", "limit")),
    "latency": Table(
        Reader.latency, ("by", "limit"), ("key", *_parts(TIMINGS)), limit=8
    ),
    "arms": Table(
        Reader.arms,
        (),
        (
            "arm",
            "mean",
            "mean_of",
            "low",
            "high",
            "failed_low",
            "failed_high",
            "tries",
            *_TOTALS,
            *_parts(ARM_TIMINGS),
        ),
    ),
    "comparisons": Table(Reader.comparisons, ("limit",), COMPARED, limit=5),
    "whatif": Table(
        Reader.whatif, ("on",), ("model", "cost", "difference", "note", "source")
    ),
    "budgets": Table(
        lambda reader, _: reader.budgets(),
        (),
        (
            "name",
            "per",
            "key",
            "window",
            "window_start",
            "window_end",
            "limit",
            "spent",
            "reserved",
            "remaining",
            "action",
        ),
    ),
    "records": Table(
        Reader.records,
        ("limit", "offset"),
        (
            "started_at",
            "model",
            "provider",
            "user",
            "session",
            "tags",
            "node",
            "arm",
            "outcome",
            "error_type",
            "attempts",
            "stream",
            "service_tier",
            "input_tokens",
            "cached_input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "ttft_s",
            "duration_s",
            "cost",
            "flags",
            "router_call_id",
            "router_so_far",
            "record_id",
        ),
        limit=25,
    ),
}


def create_app(
    ledger: Ledger,
    *,
    token: str | None = None,
    prices: PriceBook | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Starlette:
    """Return the dashboard of a ledger as an ASGI application.

    Without a token it answers to the names of this machine alone (`localhost`,
    `127.0.0.1`), so serve it on a loopback address.

    Args:
        ledger: Where the records are.
        token: What a browser must show once, as `/?token=...`, and programs in
            `Authorization: Bearer ...`.
        prices: For "what if"; the catalog's and the library's if not given.
        clock: Gives the time of day (aware).

    Raises:
        CerebrasConfigurationError: The token is too short, or cannot be sent.
        MissingExtraError: The extra `dashboard` is not installed.
    """
    require_dashboard_extra()
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    gate = None if token is None else Gate(token)
    service = _Service(Reader(ledger, prices), gate, clock or _now)
    # The page is put together now: a fault in it shows at the start.
    load_page()
    guard: Any = Guard
    return Starlette(
        routes=[
            Route("/", service.page, methods=["GET"]),
            Route(LOGIN_PATH, service.login, methods=["GET", "POST"]),
            Route("/api/revision", service.revision, methods=["GET"]),
            Route("/api/{name}", service.table, methods=["GET"]),
        ],
        middleware=[Middleware(guard, gate=gate, refuse=_refuse)],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )


class _Service:
    """Answers requests from a reader, in threads."""

    def __init__(
        self, reader: Reader, gate: Gate | None, clock: Callable[[], datetime]
    ) -> None:
        from anyio import CapacityLimiter

        self._reader = reader
        self._gate = gate
        self._clock = clock
        self._memo = Memo()
        self._limiter = CapacityLimiter(_THREADS)

    # ---------------------------------------------------------------------- pages

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - starlette's signature
        return _page(load_page())

    async def login(self, request: Request) -> Response:
        """Take the token from a form, where the address cannot have it."""
        from urllib.parse import parse_qs

        from starlette.responses import RedirectResponse

        home = "./"
        if request.method == "GET" or self._gate is None:
            return RedirectResponse(home, 303)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LOGIN_BYTES:
                return _login_page("That is longer than any token.", 413)
        said = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[-1].strip()
        if not self._gate.takes_token(said):
            return _login_page("That token is not the dashboard's.", 401)
        answer = RedirectResponse(home, 303)
        secure = request.url.scheme == "https"
        answer.headers["set-cookie"] = self._gate.cookie(secure=secure)
        return answer

    # ----------------------------------------------------------------------- data

    async def revision(self, request: Request) -> Response:
        def work() -> bytes:
            return _encode({"revision": self._reader.ledger.revision()})

        return await self._answer(request, work, "revision")

    async def table(self, request: Request) -> Response:
        name = request.path_params["name"]
        table = TABLES.get(name)
        if table is None:
            known = ", ".join(TABLES)
            return _error(404, f"There is no table {name!r}; take one of {known}.")
        takes = (*table.options, "format") if table.columns else table.options
        now = self._clock().astimezone(UTC).replace(second=0, microsecond=0)
        pairs = request.query_params.multi_items()
        if "limit" in table.options and "limit" not in request.query_params:
            pairs.append(("limit", str(table.limit)))
        try:
            view = read_view(pairs, now=now, allowed=takes)
        except QueryError as error:
            return _error(400, str(error), error.name)
        as_csv = view.options.format == "csv"

        def work() -> bytes:
            key = (self._reader.ledger.revision(), name, view)
            return self._memo.get(key, lambda: self._make(table, view, as_csv=as_csv))

        answer = await self._answer(request, work, name)
        if as_csv and answer.status_code == 200:  # noqa: PLR2004 - HTTP
            answer.headers["content-type"] = "text/csv; charset=utf-8"
            answer.headers["content-disposition"] = (
                f'attachment; filename="{_file_name(name, view.options)}"'
            )
        return answer

    def _make(self, table: Table, view: View, *, as_csv: bool) -> bytes:
        found = table.answer(self._reader, view)
        if not as_csv:
            return _encode(found)
        rows = _rows(found)
        columns = (
            ("time", found["by"], *table.columns[1:])
            if "times" in found
            else (table.columns)
        )
        return make_csv(
            columns, ([_pick(row, name) for name in columns] for row in rows)
        ).encode()

    async def _answer(
        self, request: Request, work: Callable[[], bytes], name: str
    ) -> Response:
        """Run a question in a thread, unless nobody waits for its answer any more."""
        from anyio import to_thread
        from starlette.responses import Response

        limiter = self._limiter
        await limiter.acquire_on_behalf_of(request)
        try:
            if await request.is_disconnected():
                return Response(status_code=_GONE)
            return Response(await to_thread.run_sync(work), media_type=JSON)
        except CerebrasError as error:
            return _error(503, str(error))
        except Exception as error:  # noqa: BLE001 - see below
            # The edge: the log has the whole story, the page goes on.
            _log.exception("The dashboard could not answer %s.", name)
            return _error(
                500, f"The server failed: {type(error).__name__}. See its log."
            )
        finally:
            limiter.release_on_behalf_of(request)


# --------------------------------------------------------------------------- answers


def _page(page: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    headers = {"content-security-policy": page.policy}
    return Response(page.body, status, headers, media_type="text/html")


def _login_page(message: str, status: int) -> Response:
    page = load_login()
    body = page.body.replace(b"<!-- MESSAGE -->", html.escape(message).encode())
    answer = _page(page._replace(body=body), status)
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def _error(status: int, message: str, name: str | None = None) -> Response:
    from starlette.responses import Response

    body = _encode({"error": {"message": message, "parameter": name}})
    return Response(body, status, media_type=JSON)


def _refuse(status: int, message: str, wants_page: bool) -> Any:
    if status == 401 and wants_page:  # noqa: PLR2004 - HTTP
        return _login_page(message, status)
    answer = _error(status, message)
    if status == 401:  # noqa: PLR2004 - HTTP
        answer.headers["www-authenticate"] = "Bearer"
    return answer


async def _not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    return _error(404, "There is nothing at this address.")


async def _not_allowed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    return _error(405, "The dashboard only reads: use GET.")


# ------------------------------------------------------------------------------- CSV


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an answer's rows, with those that the page adds to them."""
    if "times" in found:
        return _series_rows(found)
    if "actual" in found:
        return _whatif_rows(found)
    rows: list[dict[str, Any]] = found["rows"]
    if found.get("others"):
        rows = [*rows, {"key": "(others)", **found["others"]}]
    return rows


def _whatif_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    actual = found["actual"]
    billed = None if _is_unknown(actual) else Decimal(actual["cost"])
    return [
        {**actual, "model": "(as billed)", "difference": None, "source": None},
        *(
            {
                **row,
                "difference": None
                if row["cost"] is None or billed is None
                else Decimal(row["cost"]) - billed,
            }
            for row in found["rows"]
        ),
    ]


def _series_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    layers = [(layer["key"], layer) for layer in found["rows"]]
    if found["others"]:
        layers.append(("(others)", found["others"]))
    return [
        {
            "time": time,
            found["by"]: key,
            **{name: layer[name][at] for name in ("calls", "tokens", "cost", *DOUBTS)},
        }
        for at, time in enumerate(found["times"])
        for key, layer in layers
    ]


def _pick(row: dict[str, Any], name: str) -> Any:
    """Return a cell; `duration_s.p50` is one in a row's part."""
    if name == "cost" and _is_unknown(row):
        return None
    if name == "cache_savings" and row["cached_input_tokens"] and _is_unknown(row):
        return None
    outer, _, inner = name.partition(".")
    value = row[outer]
    value = value[inner] if inner else value
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return value


def _is_unknown(row: dict[str, Any]) -> bool:
    """Whether nothing is known of a sum, which is not the same as 0."""
    lacks = row.get("unpriced_calls", 0) or row.get("uncounted_calls", 0)
    return bool(lacks) and not Decimal(row["cost"])


def _file_name(name: str, options: Options) -> str:
    by = f"-by-{options.by}" if "by" in TABLES[name].options else ""
    return f"costs-{name}{by}.csv"


def _now() -> datetime:
    return datetime.now(UTC)
