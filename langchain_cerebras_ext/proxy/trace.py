"""`begin`: the record of a request, with ids that go on with the caller's own.

W3C's `traceparent` is continued: https://www.w3.org/TR/trace-context/. A caller who has
no tracer may name a trace of its own, `trace-...`, in `x-trace-id` or `x-request-id`;
logs then have that id, and the upstream gets one of W3C's beside it.
"""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from langchain_cerebras_ext.proxy.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_cerebras_ext.proxy.exchange import Operation

__all__ = ["begin", "traceparent"]

# Later versions may have more behind it; `ff` is none.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)
_LENGTH: Final = 55
_OWN: Final = re.compile(rb"trace-[A-Za-z0-9._:\-]{1,122}")
_DASH: Final = 0x2D

_W3C_ID: Final = "trace.w3c_id"
_FLAGS: Final = "trace.flags"
_NOT_SAMPLED: Final = "00"

_OPERATIONS: Final[dict[str, Operation]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/models": "models",
}
_MODELS: Final = "/v1/models/"


def begin(
    scope: Mapping[str, Any], headers: Mapping[bytes, bytes] | None = None
) -> Exchange:
    """Return the record of a request whose head has arrived.

    Args:
        scope: ASGI's.
        headers: Those of the scope, where somebody has made a mapping of them already.
    """
    if headers is None:
        headers = dict(scope["headers"])
    path = scope["path"]
    operation = _OPERATIONS.get(path)
    if operation is None:
        operation = "models" if path.startswith(_MODELS) else "other"
    # Unique is enough; Python seeds its generator anew in a process that was forked.
    chance = f"{random.getrandbits(320):080x}"
    parent: str | None = None
    more: dict[str, Any] = {}
    given = headers.get(b"traceparent")
    found = None if given is None else _parse(given)
    if found is None:
        trace_id = chance[48:]
    else:
        trace_id, parent, flags = found
        if flags != _NOT_SAMPLED:
            more[_FLAGS] = flags
    own = headers.get(b"x-trace-id") or headers.get(b"x-request-id")
    if own is not None and _OWN.fullmatch(own):
        more[_W3C_ID] = trace_id
        trace_id = own.decode("ascii")
    return Exchange(
        request_id="req-" + chance[:32],
        trace_id=trace_id,
        span_id=chance[32:48],
        parent_span_id=parent,
        started_at=datetime.now(UTC),
        began=time.perf_counter(),
        method=scope["method"],
        path=path,
        operation=operation,
        detail=more,
    )


def traceparent(exchange: Exchange) -> bytes:
    """Return the header for the upstream: the same trace, with our span."""
    detail = exchange.detail
    trace_id = detail.get(_W3C_ID, exchange.trace_id)
    flags = detail.get(_FLAGS, _NOT_SAMPLED)
    return f"00-{trace_id}-{exchange.span_id}-{flags}".encode("ascii")


def _parse(given: bytes) -> tuple[str, str, str] | None:
    """Return trace, span and flags of a header; `None` if it is none."""
    found = _TRACEPARENT.match(given)
    if found is None:
        return None
    if len(given) > _LENGTH and (given[:2] == b"00" or given[_LENGTH] != _DASH):
        return None
    trace_id, span_id, flags = found.groups()
    # Of the flags only the first is defined; others are not ours to pass on.
    sampled = int(flags, 16) & 1
    return trace_id.decode(), span_id.decode(), f"{sampled:02x}"
