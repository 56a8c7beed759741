"""The client's part of a run's trace: the span in which it is submitted, for programs that use OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_client.contract.trace import is_configured, make_processor, make_provider


@contextmanager
def submitting(pipeline: str) -> Iterator[str]:
    """A span around a submission; gives what the run's record keeps of it, empty where nobody traces."""
    if "opentelemetry.trace" not in sys.modules:
        yield ""
        return
    from opentelemetry import trace

    tracer = trace.get_tracer("orchestrator")
    with tracer.start_as_current_span(f"submit {pipeline}", kind=trace.SpanKind.PRODUCER) as span:
        context = span.get_span_context()
        flags = f"{int(context.trace_flags):02x}"
        yield f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}" if context.is_valid else ""


def begin(service: str) -> None:
    """Trace this program, if `OTEL_*` variables say where its spans go; they are sent as it ends."""
    if is_configured():
        from opentelemetry import trace

        provider = make_provider(service)
        provider.add_span_processor(make_processor())
        trace.set_tracer_provider(provider)
