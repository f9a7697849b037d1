"""`Refusal`: an answer that the proxy gives by itself, in OpenAI's envelope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Headers", "Refusal", "envelope"]

Headers = list[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a defect
    """Raised wherever a request is found to be one that is not sent upstream.

    Attributes:
        status: The HTTP status.
        message: What was wrong, and what to do; no secret is in it.
        type: OpenAI's word for the kind, such as `invalid_request_error`.
        code: For programs, such as `model_not_found`.
        param: What of the request it is about.
        category: For logs and metrics; one of `exchange.ErrorCategory`.
        headers: More headers, such as `retry-after`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        category: str,
        type: str = "invalid_request_error",  # noqa: A002 - the envelope's word
        param: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.category = category
        self.headers = tuple(headers)

    def body(self) -> bytes:
        """Return the answer's JSON."""
        return envelope(self.message, type=self.type, code=self.code, param=self.param)


def envelope(
    message: str,
    *,
    type: str,  # noqa: A002
    code: str | None,
    param: str | None = None,
    **more: Any,
) -> bytes:
    """Return an error as OpenAI's clients read it, and Cerebras's.

    The service's own errors are flat, and there are clients that read no others; they
    want text in each field.
    """
    said = {"message": message, "type": type, "param": param, "code": code}
    flat = {name: value or "" for name, value in said.items()}
    whole = {"error": {**said, **more}, **flat}
    try:
        return msgspec.json.encode(whole)
    except UnicodeEncodeError:  # half a character, of a path for instance
        return json.dumps(whole).encode()
