"""Tool steps: a tool of the registry, called with rendered parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import END
from orchestrator_client.contract.question import Question
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps.base import Call, Fail, Output, Route, Wait, Want
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import OnProgress, Told, ToolContext, ToolResult

ROUTER = "python.route"
"""Calls a function and takes the branches that it names."""


ReportTo = Callable[[str, str, int], OnProgress]
"""Where the progress of an attempt (run, instance, number) goes."""


class ToolStep:
    """Performs tool steps, and the routers of a graph, whose function is user code too."""

    def __init__(self, config: Settings, calls: Calls, report_to: ReportTo | None = None) -> None:
        self._config, self._calls, self._report_to = config, calls, report_to

    def perform(self, call: Call) -> Want:
        uses = "python.call" if call.step.uses == ROUTER else call.step.uses
        result = self.invoke(uses, call)
        if isinstance(result, Question):
            return Wait(result)
        if not result.success:
            said = result.error or f"tool '{uses}' reported failure and did not say why"
            return Fail(ToolFailed(said, result.retryable), result.value)
        if call.step.routes is not None:
            return Route(_targets(call, result))
        return Output(result.value, warnings=result.warnings)

    def invoke(self, uses: str, call: Call) -> Told:
        """Call a tool, and wait for what it has to say, wherever it runs."""
        result = registry.invoke(uses, call.parameters, self.context(call))
        if isinstance(result, ToolResult | Question):
            return result
        return self._calls.run(_awaited(result), call.step.timeout_seconds)

    def context(self, call: Call) -> ToolContext:
        """Where and for whom a call works; its folder is there."""
        return ToolContext(
            run=call.run,
            instance=call.instance,
            attempt=call.attempt,
            folder=self._folder(call.run),
            allowed=self._config.allow_paths,
            timeout_seconds=call.step.timeout_seconds,
            answers=call.answers,
            on_progress=self._report_to(call.run, call.instance, call.attempt) if self._report_to else None,
        )

    def _folder(self, run: str) -> Path:
        folder = self._config.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


async def _awaited(result: Awaitable[Told]) -> Told:
    return await result


def _targets(call: Call, result: ToolResult) -> tuple[str, ...]:
    """The steps behind a router's answer: one label or a list of them."""
    routes = call.step.routes or {}
    labels = result.output if isinstance(result.output, list) else [result.output]
    unknown = [label for label in labels if str(label) not in routes]
    if unknown:
        raise ParametersInvalid(
            f"router '{call.step.id}' returned {unknown[0]!r}; its path map knows {', '.join(routes)}"
        )
    return tuple(routes[str(label)] for label in labels if routes[str(label)] != END)
