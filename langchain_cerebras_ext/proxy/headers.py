"""Which headers go up to an upstream, and which come down from it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_cerebras_ext.proxy.refusal import Refusal
from langchain_cerebras_ext.proxy.trace import traceparent

if TYPE_CHECKING:
    from langchain_cerebras_ext.proxy.exchange import Exchange
    from langchain_cerebras_ext.proxy.refusal import Headers

__all__ = ["Head", "downward", "upward"]

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT_UP: Final = _HOP_BY_HOP | {
    # Credentials: the upstream gets its own.
    b"api-key",
    b"authorization",
    b"cookie",
    b"ocp-apim-subscription-key",
    b"x-amz-security-token",
    b"x-api-key",
    b"x-auth-token",
    b"x-goog-api-key",
    # What we say ourselves.
    b"accept-encoding",
    b"content-length",
    b"expect",
    b"host",
    b"http2-settings",
    b"traceparent",
}
_NOT_SENT_DOWN: Final = _HOP_BY_HOP | {
    b"date",  # the server's own are there
    b"server",
    b"set-cookie",
    # About the upstream's own host and port.
    b"alt-svc",
    b"strict-transport-security",
    b"x-request-id",  # ours is there
}
_OF_THE_BODY: Final = frozenset({b"content-type", b"content-encoding"})
_ORDINARY: Final = frozenset({b"keep-alive", b"close"})
_RATE_LIMIT: Final = b"x-ratelimit-"


class Head(NamedTuple):
    """An answer's headers for the client, and what they tell.

    Attributes:
        headers: For the client; without those that are the server's business.
        content_type: In lower case; empty if it is not told.
        encoding: In lower case; empty if the body is not compressed.
    """

    headers: Headers
    content_type: bytes
    encoding: bytes

    @property
    def is_plain(self) -> bool:
        """Whether the body is not compressed."""
        return not self.encoding


def upward(headers: Headers, exchange: Exchange) -> bytes:
    """Return the lines of a request's headers that go up, each with its end.

    Raises:
        Refusal: One of them would break the request.
    """
    dropped = _NOT_SENT_UP
    for name, value in headers:
        if name == b"connection" and value.lower() not in _ORDINARY:
            named = {one.strip() for one in value.lower().split(b",")}
            dropped |= named - _OF_THE_BODY
        elif name == b"tracestate" and exchange.parent_span_id is None:
            dropped |= {name}
    lines = [b"%s: %s\r\n" % one for one in headers if one[0] not in dropped]
    lines.append(b"traceparent: %s\r\n" % traceparent(exchange))
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines):
        msg = "A header has a line break in its name or value."
        raise Refusal(400, msg, code="invalid_header", category="bad_request")
    return block


def downward(headers: Headers, exchange: Exchange, secret: bytes = b"") -> Head:
    """Return what of an answer's headers comes down; note the rest in the exchange.

    Args:
        headers: The answer's, with names in lower case.
        exchange: Where limits and the upstream's id are noted.
        secret: The upstream's key, which some repeat in what they say of it.
    """
    if secret and secret in b"\n".join([value for _, value in headers]):
        headers = [(name, value.replace(secret, b"***")) for name, value in headers]
    found: Headers = []
    limits: dict[str, str] | None = None
    content_type = encoding = b""
    for one in headers:
        name, value = one
        if name in _NOT_SENT_DOWN:
            if name == b"x-request-id":
                exchange.upstream_id = value.decode("latin-1")
            continue
        if name.startswith(_RATE_LIMIT):
            if limits is None:
                limits = {}
            limits[name[12:].decode("latin-1")] = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value.lower()
        elif name == b"content-encoding":
            encoding = value.lower()
        elif name == b"inference-id":
            exchange.upstream_id = value.decode("latin-1")
        found.append(one)
    exchange.rate_limits = limits
    found.append((b"x-request-id", exchange.request_id.encode("ascii")))
    return Head(found, content_type, b"" if encoding == b"identity" else encoding)
