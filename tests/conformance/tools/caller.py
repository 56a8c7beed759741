"""Calls of tools as a worker makes them: through the registry, as steps of a run, with what stops them in force."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator_client.contract.errors import StepCancelled
from orchestrator_client.contract.plan import Step, StepKind
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps.base import Call, Fail, Want
from orchestrator_worker.steps.tool import ToolStep
from orchestrator_worker.tools.base import OnProgress, ToolResult
from orchestrator_worker.vault import Vault


@dataclass
class ToolCaller:
    """One worker process's calls."""

    folder: Path
    """The run's."""
    calls: Calls = field(default_factory=Calls)
    vault: Vault | None = None
    said: list[tuple[float | None, str]] = field(default_factory=list)
    """What tools said of their progress."""

    def __post_init__(self) -> None:
        def report_to(run: str, instance: str, attempt: int) -> OnProgress:
            return lambda fraction, message: self.said.append((fraction, message))

        self._tools = ToolStep(Settings(workdir=str(self.folder)), self.calls, report_to, vault=self.vault)

    def result(self, uses: str, instance: str = "s", timeout_seconds: float | None = None, **given: Any) -> ToolResult:
        """The result of one call."""
        call = self._call(uses, instance, timeout_seconds, given)
        with self.calls.under_way(("r", instance, 1), timeout_seconds):
            result = self._tools.invoke(uses, call)
        assert isinstance(result, ToolResult)
        return result

    def want(self, uses: str, **given: Any) -> Want:
        """What the step makes of the call; an error that the call raised is a failure of its step."""
        call = self._call(uses, "s", None, given)
        try:
            with self.calls.under_way(("r", "s", 1), None):
                return self._tools.perform(call)
        except Exception as error:  # noqa: BLE001 - as the executor does
            return Fail(error)  # type: ignore[arg-type]

    def cancel(self, instance: str) -> None:
        """Stop a call, as the beat does when its run is to be cancelled."""
        self.calls.stop(("r", instance, 1), StepCancelled("the run was cancelled"))

    def _call(self, uses: str, instance: str, timeout_seconds: float | None, given: dict[str, Any]) -> Call:
        step = Step(id="s", kind=StepKind.TOOL, uses=uses, parameters=given, timeout_seconds=timeout_seconds)
        return Call("r", instance, 1, step, given)
