"""HTTP for the simulator: reading headers and bodies."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_object,
)
from langchain_cerebras_ext.simulator.faults import RefusedError
from langchain_cerebras_ext.simulator.pace import ClientGoneError

if TYPE_CHECKING:
    from langchain_cerebras_ext.simulator.connection import Scope

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_BYTES_MAX = 64 * 1024 * 1024
UPLOAD_BYTES_MAX = 210 * 1024 * 1024
_MSGPACK = frozenset(
    {"application/vnd.msgpack", "application/msgpack", "application/x-msgpack"}
)


def read_headers(scope: Scope) -> dict[str, str]:
    """Return the request's headers, names in lower case."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope["headers"]
    }


async def read_body(receive: Receive, limit: int = BODY_BYTES_MAX) -> bytes:
    """Read a request's body.

    Raises:
        RefusedError: It is larger than the limit (413).
        ClientGoneError: The client left before it was complete.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            text = f"Request body is too large: the limit is {limit} bytes."
            raise RefusedError(faults.too_large(text))
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_body(raw: bytes, headers: Mapping[str, str]) -> JsonObject:
    """Decode a JSON or msgpack body, gzipped or not.

    Raises:
        RefusedError: Type or encoding are not known (415), or the bytes are not what
            the headers say, or no object (400).
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        raw = _decompress(raw)
    elif encoding != "identity":
        text = f"Content-Encoding '{encoding}' is not supported; use gzip."
        raise RefusedError(faults.flat(415, text, param="content-encoding"))
    kind = headers.get("content-type", "application/json").partition(";")[0]
    kind = kind.strip().lower()
    try:
        if kind in _MSGPACK:
            decoded: Any = msgspec.msgpack.decode(raw)
        elif kind == "application/json":
            decoded = msgspec.json.decode(raw)
        else:
            text = (
                f"Content-Type '{kind}' is not supported; "
                "use application/json or application/vnd.msgpack."
            )
            raise RefusedError(faults.flat(415, text, param="content-type"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        name = "msgpack" if kind in _MSGPACK else "JSON"
        text = f"The request body is not valid {name}: {error}"
        raise RefusedError(faults.flat(400, text, param="body")) from error
    body = as_object(decoded)
    if body is None:
        raise RefusedError(
            faults.flat(400, "The request body must be an object.", param="body")
        )
    return body


def _decompress(raw: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            data = packed.read(BODY_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        text = "The request body is not valid gzip."
        raise RefusedError(faults.flat(400, text, param="content-encoding")) from error
    if len(data) > BODY_BYTES_MAX:
        raise RefusedError(faults.too_large("The unpacked body is too large."))
    return data
