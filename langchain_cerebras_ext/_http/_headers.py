"""Headers as both engines take them, and as they give them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext._http._errors import Fault
from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["check_framing", "join_headers", "request_headers"]

_NOT_IN_NAMES = frozenset(' \t"(),/:;<=>?@[\\]{}')
_MAX_LENGTH_DIGITS = 18
_CHUNKED = ["chunked"]


def request_headers(given: Mapping[str, str]) -> dict[str, str]:
    """Return headers that can be sent, with an encoding that both engines undo.

    Raises:
        CerebrasConfigurationError: One of them would break the request. Values are
            not shown: they may be secret.
    """
    headers = dict(given)
    has_encoding = False
    for name, value in given.items():
        if not (name.isascii() and name.isprintable() and name) or (
            not _NOT_IN_NAMES.isdisjoint(name)
        ):
            msg = f"The header's name {name!r} cannot be sent. Check default_headers."
            raise CerebrasConfigurationError(msg)
        if not (value.isascii() and value.isprintable()):
            headers[name] = _checked(name, value)
        has_encoding = has_encoding or name.lower() == "accept-encoding"
    if not has_encoding:
        headers["Accept-Encoding"] = "identity"
    return headers


def _checked(name: str, value: str) -> str:
    problem = None
    if any(char in value for char in "\r\n\0"):
        problem = "holds a line break or a NUL"
    elif any("\ud800" <= char <= "\udfff" for char in value):
        problem = "holds half a character (a lone surrogate)"
    if problem is not None:
        msg = (
            f"The header '{name}' {problem}, so that it cannot be sent. Check api_key "
            "and default_headers; a key read from a file may end in a line break."
        )
        raise CerebrasConfigurationError(msg)
    return value


def check_framing(lengths: Sequence[str], codings: Sequence[str]) -> None:
    """Refuse an answer of which nobody can say for sure where it ends.

    To guess would be to take a part for the whole, to wait for what never comes, or to
    read the rest as the answer to the next request. The engines guess differently.

    Args:
        lengths: The values of `Content-Length`.
        codings: The values of `Transfer-Encoding`.

    Raises:
        Fault: The end is unknown (RFC 9112, section 6.3).
    """
    if codings and (lengths or [text.strip().lower() for text in codings] != _CHUNKED):
        text = "its Transfer-Encoding cannot be read, or comes with a Content-Length"
        raise Fault(kind="protocol", text=text)
    if lengths and (len(lengths) > 1 or not _is_length(lengths[0])):
        text = "its Content-Length is no number, or comes twice"
        raise Fault(kind="protocol", text=text)


def _is_length(text: str) -> bool:
    text = text.strip(" \t")
    return text.isascii() and text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS


def join_headers(
    pairs: Iterable[tuple[str, str]], encoding: str = "latin-1"
) -> dict[str, str]:
    """Return headers by lower-case name; those that are repeated are joined.

    Args:
        pairs: Names and values, as the engine read them.
        encoding: How the engine made text of the bytes. We read them as UTF-8, and put
            the replacement character for what is none.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if not value.isascii():
            raw = value.encode(encoding, "surrogateescape")
            value = raw.decode("utf-8", "replace")  # noqa: PLW2901
        if "\n" in value:  # it goes on in the next line, as was once allowed
            value = " ".join(map(str.strip, value.split("\n")))  # noqa: PLW2901
        value = value.strip()  # noqa: PLW2901 (http.client leaves blanks at the end)
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found
