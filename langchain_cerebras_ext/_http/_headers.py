"""Headers as both engines take them, and as they give them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_cerebras_ext.errors import CerebrasConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["join_headers", "request_headers"]

_NOT_IN_NAMES = frozenset(' \t"(),/:;<=>?@[\\]{}')


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


def join_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name; those that are repeated are joined."""
    found: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        value = value.strip()  # noqa: PLW2901 (http.client leaves blanks at the end)
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found
