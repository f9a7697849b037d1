"""What the simulator remembers of the requests that it got, to assert on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_HEADERS = frozenset({"x-api-key", "api-key", "cookie", "proxy-authorization"})


@dataclass(slots=True)
class RecordedRequest:
    """One request, and how answering it went.

    Attributes:
        path: Without the query.
        query: The query as sent, without `?`.
        headers: Names in lower case; keys and cookies are masked.
        body: Decoded JSON or msgpack; None before it was read or if it is neither.
        raw: The body as sent, compressed if it was; empty for uploads.
        raw_size: The size of the body as sent, in bytes.
        number: Which request it is, counted from 1, or again from 1 after `reset`.
        status: The HTTP status of the answer, None while there is none.
        events_sent: Stream events handed to the connection.
        completed: The answer was sent to its end.
        was_cancelled: The client went away before that.
        fault: Which of `FAULTS` broke the answer, None if none did.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    started_at: datetime
    body: Any = None
    raw: bytes = field(default=b"", repr=False)
    raw_size: int = 0
    status: int | None = None
    events_sent: int = 0
    completed: bool = False
    was_cancelled: bool = False
    finished_at: datetime | None = None
    number: int = 0
    fault: str | None = None

    @property
    def content_type(self) -> str | None:
        """The `Content-Type` that was sent."""
        return self.headers.get("content-type")

    @property
    def content_encoding(self) -> str | None:
        """The `Content-Encoding` that was sent."""
        return self.headers.get("content-encoding")

    def finish(
        self, now: float, *, completed: bool, was_cancelled: bool | None = None
    ) -> None:
        """Note the end; only the first call counts.

        Args:
            now: Seconds since 1970.
            completed: Whether the answer was sent to its end.
            was_cancelled: Whether the client went away; None if it was not completed.
        """
        if self.finished_at is None:
            self.finished_at = datetime.fromtimestamp(now, UTC)
            self.completed = completed
            self.was_cancelled = (
                not completed if was_cancelled is None else was_cancelled
            )


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with keys replaced by stars; the scheme stays readable."""
    masked: dict[str, str] = {}
    for name, value in headers.items():
        if name == "authorization":
            scheme, _, key = value.partition(" ")
            masked[name] = f"{scheme} ***" if key else "***"
        else:
            masked[name] = "***" if name in _SECRET_HEADERS else value
    return masked
