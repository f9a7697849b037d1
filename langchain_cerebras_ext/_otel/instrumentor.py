"""What `opentelemetry-instrument` loads. Needs `opentelemetry-instrumentation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Its module says `type: ignore` at its head, so mypy sees nothing of it.
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from langchain_cerebras_ext._otel.switch import instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["CerebrasInstrumentor"]


class CerebrasInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Switches telemetry on and off as OpenTelemetry's other instrumentors do.

    Takes the arguments of `langchain_cerebras_ext.otel.instrument`.

    Example:
        ```python
        from langchain_cerebras_ext.otel import CerebrasInstrumentor

        CerebrasInstrumentor().instrument()
        ```
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: what is instrumented is this very package."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        wanted = (
            "tracer_provider",
            "meter_provider",
            "capture_content",
            "costs",
            "prices",
        )
        instrument(**{name: kwargs[name] for name in wanted if name in kwargs})

    def _uninstrument(self, **_: Any) -> None:
        uninstrument()
