"""Spans: one for each run, step and attempt, told when it ends. Nothing is imported, and nothing told, unless `OTEL_*`
variables say where to.

Names and attributes follow OpenTelemetry's conventions for generative AI. What a prompt, an answer, a parameter or a
value says is in none of them, nor is the message of an error, which may quote them.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any

from orchestrator_client.contract.plan import Step, StepKind
from orchestrator_client.contract.run import Receipt, RunRecord
from orchestrator_client.contract.trace import RunTrace, is_configured, make_processor, make_provider
from orchestrator_worker.records import OpenRun
from orchestrator_worker.steps.base import Fail, Output, Turn, Want

SERVICE = "orchestrator-worker"
FLUSH_MS = 5_000
"""How long a process that ends waits for its last spans to be sent."""

PROVIDERS = {"google": "gcp.gemini"}
"""Our names of providers that the conventions spell otherwise."""

_on = is_configured()
_ahead_ms = 0.0


def on() -> bool:
    return _on


def check() -> None:
    """Raises ImportError where spans are configured and cannot be made."""
    if _on:
        _sdk_of(os.getpid())


def end() -> None:
    """Send what is not sent yet."""
    if _on:
        _sdk_of(os.getpid()).processor.force_flush(FLUSH_MS)


def set_clock(now_ms: int) -> None:
    """Learn how far this machine's clock is from Redis's."""
    global _ahead_ms
    _ahead_ms = time.time() * 1000 - now_ms


def _now_ms() -> float:
    return time.time() * 1000 - _ahead_ms


def attempt(run: OpenRun, step: Step, instance: str, number: int, started_ms: int, want: Want) -> None:
    """An attempt has been performed. That of a model step is the call of its model."""
    trace = RunTrace.of(run.run, run.traceparent)
    about = {**_of_step(run.run, step, instance), "orchestrator.attempt": number, "orchestrator.wants": _word(want)}
    error = type(want.error).__name__ if isinstance(want, Fail) else ""
    kind = "INTERNAL"
    if step.kind is StepKind.MODEL:
        kind, told = "CLIENT", _of_call(step, want)
        name, about = f"chat {told.get('gen_ai.request.model', '')}".rstrip(), {**about, **told}
    elif step.kind is StepKind.TOOL:
        name = f"execute_tool {step.uses}"
        about |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": step.uses}
    else:
        name = step.uses
    parent, own = trace.span_id(instance), trace.span_id(instance, number)
    _tell(trace, name, own, parent, started_ms, about, error, kind)


def step(run: OpenRun, step: Step, instance: str, receipt: Receipt, began_ms: int | None) -> None:
    """An instance has its receipt. `began_ms`: when its first attempt began, if that is known."""
    trace = RunTrace.of(run.run, run.traceparent)
    about = {
        **_of_step(run.run, step, instance),
        "orchestrator.outcome": str(receipt.outcome),
        "orchestrator.attempts": receipt.attempt,
    }
    error = receipt.error.type if receipt.error else ""
    _tell(trace, f"step {_path(instance)}", trace.span_id(instance), trace.span_id(), began_ms, about, error)


def run(run: OpenRun, record: RunRecord) -> None:
    """A run has closed."""
    trace = RunTrace.of(run.run, run.traceparent)
    about = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": record.pipeline,
        "orchestrator.run": run.run,
        "orchestrator.state": str(record.state),
        "orchestrator.plan": record.plan_hash,
        "orchestrator.tags": list(record.tags),
    }
    error = record.error.type if record.error else ""
    name = f"invoke_workflow {record.pipeline}"
    _tell(trace, name, trace.span_id(), trace.caller, record.submitted_ms, about, error)


def _of_step(run: str, step: Step, instance: str) -> dict[str, Any]:
    return {
        "orchestrator.run": run,
        "orchestrator.instance": instance,
        "orchestrator.step.kind": str(step.kind),
        "orchestrator.step.uses": step.uses,
    }


def _of_call(step: Step, want: Want) -> dict[str, Any]:
    """What the conventions say of a model's call."""
    asked = step.model.rpartition("/")[2] if step.model and "{{" not in step.model else ""
    model = want.model if isinstance(want, Output | Fail) else None
    provider = model.partition("/")[0] if model and "/" in model else step.provider
    about: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": asked or (model or "").rpartition("/")[2],
        "gen_ai.response.model": (model or "").rpartition("/")[2],
    }
    report = want.report if isinstance(want, Output | Turn | Fail) else None
    if report is not None and report.input_tokens is not None:
        about["gen_ai.usage.input_tokens"] = report.input_tokens
        about["gen_ai.usage.output_tokens"] = report.output_tokens
    if report is not None and report.cost_nano_usd is not None:
        about["orchestrator.cost_usd"] = report.cost_nano_usd / 1e9
    if isinstance(want, Output) and isinstance(want.value, dict) and (reason := want.value.get("finish_reason")):
        about["gen_ai.response.finish_reasons"] = [str(reason)]
    return {name: value for name, value in about.items() if value not in (None, "")}


def _word(want: Want) -> str:
    return type(want).__name__.lower()


def _path(instance: str) -> str:
    """Without items and passes: a span's name says of which kind it is, and there are few kinds."""
    return ".".join(part.partition("[")[0].partition("#")[0] for part in instance.split("."))


def _tell(
    trace: RunTrace,
    name: str,
    own: int,
    parent: int,
    began_ms: float | None,
    about: dict[str, Any],
    error: str,
    kind: str = "INTERNAL",
) -> None:
    """One span, which ends now; `began_ms` is by Redis's clock."""
    if not trace.sampled:
        return
    sdk = _sdk_of(os.getpid())
    if not sdk.samples(trace):
        return
    ended_ms = max(_now_ms(), began_ms or 0)
    began, ended = round((began_ms or ended_ms) * 1e6), round(ended_ms * 1e6)
    sdk.send(trace, name, own, parent, began, ended, {**about, "error.type": error} if error else about, error, kind)


class _Sdk:
    """OpenTelemetry's, of one process. Spans are made whole: they are in the past, and their ids are known, so nothing
    would be won by starting and ending each, which costs four times as much."""

    def __init__(self) -> None:
        from opentelemetry import trace as api
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._api, self._span = api, ReadableSpan
        self._scope = InstrumentationScope("orchestrator")
        self._sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
        self._provider, self.processor = make_provider(SERVICE), make_processor()

    def samples(self, trace: RunTrace) -> bool:
        """As the first span of a trace, so all of it: its caller has decided, else the sampler does, by the trace."""
        if trace.caller:
            return True
        decision: Any = self._provider.sampler.should_sample(None, trace.trace_id, "").decision
        return bool(decision.is_sampled())

    def send(
        self,
        trace: RunTrace,
        name: str,
        own: int,
        parent: int,
        began: int,
        ended: int,
        about: dict[str, Any],
        error: str,
        kind: str,
    ) -> None:
        """Times are nanoseconds since 1970."""
        span = self._span(
            name,
            self._context(trace, own),
            self._context(trace, parent) if parent else None,
            self._provider.resource,
            about,
            kind=self._api.SpanKind[kind],
            instrumentation_scope=self._scope,
            status=self._api.Status(self._api.StatusCode.ERROR, error) if error else self._api.Status(),
            start_time=began,
            end_time=ended,
        )
        self.processor.on_end(span)

    def _context(self, trace: RunTrace, span: int) -> Any:
        return self._api.SpanContext(trace.trace_id, span, is_remote=False, trace_flags=self._sampled)


@lru_cache(maxsize=1)
def _sdk_of(_pid: int) -> _Sdk:
    """This process's: a forked child makes its own."""
    return _Sdk()
