"""An upstream's errors as OpenAI's clients read them, and Cerebras's.

    {"error": {"message": ..., "type": ..., "param": ..., "code": ...},
     "message": ..., "type": ..., "param": ..., "code": ...}

Cerebras answers in three other shapes, and what stands before it, such as a content
delivery network, in pages of its own. What they say is kept; an answer that is in the
envelope already is not touched.
"""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from langchain_cerebras_ext.errors import mask_secrets
from langchain_cerebras_ext.proxy.refusal import envelope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_cerebras_ext.proxy.exchange import ErrorCategory

__all__ = ["Facts", "category", "stream_error", "to_openai"]

MAX_CHARS: Final = 2000
"""Of a message for the log, and of a page that is no answer of the API."""
_MAX_PAGE_BYTES: Final = 1 << 16

_FIELDS: Final = ("message", "type", "param", "code")
# Where others put a message: FastAPI, problem documents, gateways.
_MESSAGES: Final = ("message", "detail", "msg", "title", "error_description")


class Facts(NamedTuple):
    """What an error says, for logs and for choosing what to do next."""

    message: str
    type: str
    param: str | None
    code: str | None


_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

_BY_STATUS: Final[dict[int, ErrorCategory]] = {
    401: "upstream_auth",
    402: "upstream_auth",
    403: "upstream_auth",
    404: "upstream_not_found",
    408: "upstream_timeout",
    410: "upstream_not_found",
    429: "upstream_rate_limit",
    504: "upstream_timeout",
    522: "upstream_connection",
    523: "upstream_connection",
    524: "upstream_timeout",
}
_BY_CODE: Final[dict[str, ErrorCategory]] = {
    "wrong_api_key": "upstream_auth",
    "invalid_api_key": "upstream_auth",
    "model_not_found": "upstream_not_found",
    "request_quota_exceeded": "upstream_rate_limit",
    "token_quota_exceeded": "upstream_rate_limit",
    "queue_exceeded": "upstream_rate_limit",
    "rate_limit_exceeded": "upstream_rate_limit",
}


def category(status: int, code: str | None = None) -> ErrorCategory:
    """Return the class of an upstream's error, by its code or else by its status."""
    found = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
    if found is not None:
        return found
    if 400 <= status < 500:  # noqa: PLR2004
        return "upstream_bad_request"
    return "upstream_server" if status >= 500 else "upstream_invalid_answer"  # noqa: PLR2004


def to_openai(
    status: int, body: bytes, *, secrets: Iterable[str | None] = ()
) -> tuple[bytes, Facts]:
    """Return an error's body in OpenAI's envelope, and what it says.

    Args:
        status: The HTTP status.
        body: What came with it; as it came where it is in the envelope already.
        secrets: The keys in use, masked like all that looks like one.
    """
    masked = _mask(body, secrets)
    told = _decode(masked)
    if b"\\" in masked and told is not None:  # which may hide a key from a search
        written = msgspec.json.encode(told)
        shown = _mask(written, secrets)
        if shown != written:
            masked, told = shown, _decode(shown)
    inner = told.get("error") if isinstance(told, dict) else None
    if isinstance(inner, dict) and _is_whole(inner):
        said = inner["message"][:MAX_CHARS]
        return masked, Facts(said, inner["type"], inner["param"], inner["code"])
    facts, more, beside = _read(status, told, masked)
    error = {**facts._asdict(), **more}
    flat = {name: value or "" for name, value in facts._asdict().items()}
    facts = facts._replace(message=facts.message[:MAX_CHARS])
    return msgspec.json.encode({"error": error, **beside, **flat}), facts


def stream_error(
    message: str,
    *,
    code: str,
    type: str = "server_error",  # noqa: A002 - the envelope's word
    param: str | None = None,
    amid_event: bool = False,
) -> bytes:
    """Return an error as one event of a stream.

    Args:
        message: What went wrong; masked.
        code: For programs.
        type: OpenAI's word for the kind.
        param: What it is about.
        amid_event: Whether an event was cut off before it: it is ended first.
    """
    body = envelope(mask_secrets(message), type=type, code=code, param=param)
    return b"%bdata: %b\n\n" % (b"\n\n" if amid_event else b"", body)


# -------------------------------------------------------------------------- reading


def _mask(body: bytes, secrets: Iterable[str | None]) -> bytes:
    text = body.decode("utf-8", "replace")
    masked = mask_secrets(text, *secrets)
    return body if masked == text else masked.encode()


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_whole(error: dict[str, Any]) -> bool:
    """Whether an error is as OpenAI's own are: its clients read these four."""
    message, kind = error.get("message"), error.get("type")
    if not (isinstance(message, str) and message and isinstance(kind, str) and kind):
        return False
    return all(
        name in error and (error[name] is None or _is_text(error[name]))
        for name in ("param", "code")
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _read(
    status: int, told: Any, body: bytes
) -> tuple[Facts, dict[str, Any], dict[str, Any]]:
    """Return what an error says, its further fields, and those beside it."""
    fields: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    if isinstance(told, dict):
        inner = told.get("error")
        if isinstance(inner, dict):
            fields = inner
            beside = {name: told[name] for name in told if name != "error"}
        else:
            fields = told
    message = _message(fields) or _plain(told, body) or _nothing(status)
    facts = Facts(
        message=message,
        type=_text(fields.get("type")) or _type_of(status),
        param=_text(fields.get("param")),
        code=_text(fields.get("code")),
    )
    more = {name: fields[name] for name in fields if name not in _FIELDS}
    if isinstance(more.get("error"), str):
        del more["error"]  # it is the message, or its type
    return facts, more, beside


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return None
    return str(value)


def _type_of(status: int) -> str:
    if status >= 500:  # noqa: PLR2004
        return "server_error"
    return _TYPES.get(status, "invalid_request_error")


def _message(fields: dict[str, Any]) -> str:
    for name in _MESSAGES:
        value = fields.get(name)
        if _is_text(value):
            return str(value)
        if isinstance(value, list) and name == "detail":
            lines = [_line(item) for item in value]
            return "; ".join(line for line in lines if line)
    error = fields.get("error")
    return error if isinstance(error, str) else ""


def _line(item: Any) -> str:
    """Return one of FastAPI's `{loc, msg, type}` as text."""
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    place = item.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return ": ".join(part for part in (where, str(item.get("msg", ""))) if part)


_TITLE: Final = re.compile(r"<title[^<>]*>([^<]{1,300})</title", re.IGNORECASE)
_HIDDEN: Final = re.compile(
    r"<(script|style|head)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_MARKUP: Final = re.compile(r"<[^<>]*>")


def _plain(told: Any, body: bytes) -> str:
    """Return a body without a message as one line of text."""
    if isinstance(told, (dict, list)):
        return msgspec.json.encode(told).decode()[:MAX_CHARS] if told else ""
    if isinstance(told, str):
        text = told
    else:
        text = body[:_MAX_PAGE_BYTES].decode("utf-8", "replace")
    if "<" in text:
        title = _TITLE.search(text)
        text = title[1] if title else _MARKUP.sub(" ", _HIDDEN.sub(" ", text))
        text = html.unescape(text)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:MAX_CHARS]


def _nothing(status: int) -> str:
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    return f"The upstream answered {status}{phrase} and said nothing more."
