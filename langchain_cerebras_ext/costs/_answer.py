"""What an answer says of itself beside its tokens: whose model made it, and when; pure.

An answer is a LangChain message, the body of a raw response as a mapping or an SDK's
object, or a `UsageRecord`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from langchain_cerebras_ext.costs._foreign import texts_in

__all__ = ["Answer", "read_answer"]

_MODEL: Final = ("model_name", "model")
_MOMENT: Final = ("created", "created_at")
_LAST_S: Final = 253_402_300_800  # the end of the year 9999


class Answer(NamedTuple):
    """What an answer says. `None` is not said.

    Attributes:
        model: The model that answered.
        asked: The model that was asked for, if that is known, too.
        provider: Whose service it was, by LangChain's name.
        service_tier: The service's tier that served it.
        at: When it was made (UTC).
    """

    model: str | None = None
    asked: str | None = None
    provider: str | None = None
    service_tier: str | None = None
    at: datetime | None = None


def read_answer(answer: Any) -> Answer:
    """Return what an answer says of itself; of a bare usage block that is nothing."""
    started = getattr(answer, "started_at", None)
    if isinstance(started, datetime):  # a record
        return Answer(
            answer.served, answer.model, answer.provider, answer.service_tier, started
        )
    places = [_Place(answer)]
    metadata = places[0].get("response_metadata")
    if isinstance(metadata, Mapping):
        places.insert(0, _Place(metadata))
    return Answer(
        model=_first(places, *_MODEL),
        provider=_first(places, "model_provider"),
        service_tier=_first(places, "service_tier"),
        at=next((at for place in places for at in place.moments()), None),
    )


class _Place:
    """Names and values, of a mapping or an object."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def get(self, name: str) -> Any:
        if isinstance(self._found, Mapping):
            return self._found.get(name)
        return getattr(self._found, name, None)

    def moments(self) -> Iterator[datetime]:
        for name in _MOMENT:
            seconds = self.get(name)
            is_number = isinstance(seconds, (int, float))
            if is_number and 0 < seconds < _LAST_S:  # 0 is told by who does not know
                yield datetime.fromtimestamp(seconds, UTC)


def _first(places: list[_Place], *names: str) -> str | None:
    return next((text for place in places for text in texts_in(place, names)), None)
