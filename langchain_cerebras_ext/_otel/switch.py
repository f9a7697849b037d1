"""Switches telemetry on and off: at most one observer of calls is ours."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from langchain_cerebras_ext._otel.names import CAPTURE_ENV

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from langchain_cerebras_ext._observe import Observer
    from langchain_cerebras_ext.costs.prices import PriceBook
    from langchain_cerebras_ext.errors import MissingExtraError

__all__ = ["instrument", "missing", "uninstrument"]

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()

_ON = frozenset({"true", "span_only", "span_and_event"})
_OFF = frozenset({"", "false", "no_content", "event_only"})


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    capture_content: bool | None = None,
    costs: bool = True,
    prices: PriceBook | None = None,
) -> None:
    """Tell OpenTelemetry of every call from now on, of all models in this process.

    May be called again: the last call counts, and nothing is told twice.

    Args:
        tracer_provider: Where spans go; the global provider by default, also if it is
            set later.
        meter_provider: Where measurements go; the global provider by default.
        capture_content: Whether prompts, tools and answers become part of spans. By
            default as `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says, and
            if that is not set, not.
        costs: Whether to tell what calls cost.
        prices: Your own prices and discounts; they win over the catalog.

    Raises:
        MissingExtraError: The extra `otel` is not installed.
    """
    try:
        from langchain_cerebras_ext._otel.observer import CallTelemetry
    except ImportError as error:
        extra = "langchain-cerebras-ext[otel]"
        raise missing(error, "opentelemetry-api", extra) from error
    from langchain_cerebras_ext._observe import add_observer

    if capture_content is None:
        capture_content = _wants_content(os.environ.get(CAPTURE_ENV, ""))
    observer = CallTelemetry(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        capture_content=capture_content,
        costs=costs,
        prices=prices,
    )
    with _one_at_a_time:
        _remove_all(CallTelemetry)
        add_observer(observer)


def uninstrument() -> None:
    """Tell of no further calls; those under way still end their spans."""
    try:
        from langchain_cerebras_ext._otel.observer import CallTelemetry
    except ImportError:
        return  # without the extra there is nobody to tell
    with _one_at_a_time:
        _remove_all(CallTelemetry)


def _remove_all(kind: type[Observer]) -> None:
    from langchain_cerebras_ext._observe import observers, remove_observer

    for held in observers():
        if isinstance(held, kind):
            remove_observer(held)


def _wants_content(said: str) -> bool:
    """Read the conventions' environment variable; content never goes by mistake."""
    word = said.strip().lower()
    if word not in _ON | _OFF:
        _log.warning(
            "%s is none of %s: no content is recorded.",
            CAPTURE_ENV,
            ", ".join(sorted(_ON | _OFF - {""})),
        )
    elif word in {"event_only", "span_and_event"}:
        _log.warning(
            "%s=%s: content is recorded on spans only, not as events.",
            CAPTURE_ENV,
            word,
        )
    return word in _ON


def missing(error: ImportError, needed: str, install: str) -> MissingExtraError:
    """Return the error for a library that is not installed."""
    from langchain_cerebras_ext.errors import MissingExtraError

    return MissingExtraError(
        f"This needs {needed} ({error}). Run: pip install '{install}'"
    )
