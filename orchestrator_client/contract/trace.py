"""Where the spans of a run belong. All ids follow from the run's, so that workers agree on them without a word.

A run belongs to the trace of whoever submitted it, by the `traceparent` (W3C) of its record; without one it is a trace
of its own. OpenTelemetry is imported where `OTEL_*` variables ask for it, and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class RunTrace:
    """The trace that a run belongs to."""

    run: str
    trace_id: int
    caller: int
    """Span of whoever submitted the run; 0: nobody's."""
    sampled: bool
    """False: that caller's trace is not recorded, so neither is the run."""

    @classmethod
    def of(cls, run: str, traceparent: str) -> RunTrace:
        """By the run's record; a `traceparent` that is none is as good as none."""
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None or not int(found[1], 16) or not int(found[2], 16):
            return cls(run, _number(f"{run}\ntrace", 16), 0, sampled=True)
        return cls(run, int(found[1], 16), int(found[2], 16), sampled=bool(int(found[3], 16) & 1))

    def span_id(self, instance: str = "", attempt: int = 0) -> int:
        """Of an attempt; of a step, without its number; of the run itself, without both."""
        return _number(f"{self.run}\n{instance}\n{attempt}", 8)

    def traceparent(self, instance: str) -> str:
        """For a run that a step starts."""
        return f"00-{self.trace_id:032x}-{self.span_id(instance):016x}-{int(self.sampled):02x}"


def is_configured() -> bool:
    """Whether the environment says where spans go to."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exported = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    return exported and any(os.environ.get(variable) for variable in ENDPOINT_VARIABLES)


def make_provider(service: str) -> TracerProvider:
    """Makes spans as the `OTEL_*` variables say, under this name unless they give another; sends none by itself.

    Raises:
        ImportError: the extra `telemetry` is not installed.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider(
        resource=Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service})
    )


def make_processor() -> SpanProcessor:
    """Sends spans, many at a time, from a thread of its own."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1
