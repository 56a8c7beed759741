"""Tool steps: a tool of the registry, called with rendered parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from orchestrator_client.contract.catalog import UNKNOWN
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed, UnknownAction
from orchestrator_client.contract.interrupt import Interrupt, answering
from orchestrator_client.contract.plan import END, Json, Step
from orchestrator_client.contract.question import Question
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps.base import Call, Fail, Output, Route, Wait, Want
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import Complete, OnProgress, Told, ToolContext, ToolResult

ROUTER = "python.route"
"""Calls a function and takes the branches that it names."""


ReportTo = Callable[[str, str, int], OnProgress]
"""Where the progress of an attempt (run, instance, number) goes."""


class ToolStep:
    """Performs tool steps, and the routers of a graph, whose function is user code too."""

    def __init__(
        self,
        config: Settings,
        calls: Calls,
        report_to: ReportTo | None = None,
        root_of: Callable[[str], str] = lambda run: run,
        complete: Callable[[Call], Complete] | None = None,
        run_over: Callable[[str], bool] | None = None,
    ) -> None:
        """`root_of` gives the run in whose folder a run works: itself, or the first of those above it; `complete` what
        a call asks models with; `run_over` looks whether a run has ended."""
        self._config, self._calls = config, calls
        self._report_to, self._root_of = report_to, root_of
        self._complete, self._run_over = complete, run_over

    def perform(self, call: Call) -> Want:
        if call.step.uses == UNKNOWN:
            words = call.parameters.get("action")
            return Fail(UnknownAction(f"there is no action {words!r}; write tool and action, or generate_text"))
        uses = "python.call" if call.step.uses == ROUTER else call.step.uses
        result = self.invoke(uses, call)
        if isinstance(result, Question):
            return Wait(result)
        if not result.success:
            said = result.error or f"tool '{uses}' reported failure and did not say why"
            return Fail(ToolFailed(said, result.retryable), result.value)
        if call.step.routes is not None:
            return _route(call.step, result.output)
        return Output(result.value, warnings=result.warnings)

    def invoke(self, uses: str, call: Call) -> Told:
        """Call a tool, and wait for what it has to say, wherever it runs."""
        # A coroutine runs in a copy of this context, so that it sees the answers too.
        with answering([answer.value for answer in call.answers]):
            try:
                result = registry.invoke(uses, call.parameters, self.context(call))
                if isinstance(result, ToolResult | Question):
                    return result
                return self._calls.run(_awaited(result), call.step.timeout_seconds)
            except Interrupt as interrupted:
                return interrupted.question

    def context(self, call: Call) -> ToolContext:
        """Where and for whom a call works; its folder is there."""
        return ToolContext(
            run=call.run,
            instance=call.instance,
            attempt=call.attempt,
            folder=self._folder(self._root_of(call.run)),
            allowed=self._config.allow_paths,
            timeout_seconds=call.step.timeout_seconds,
            answers=call.answers,
            on_progress=self._report_to(call.run, call.instance, call.attempt) if self._report_to else None,
            complete=self._complete(call) if self._complete else None,
            run_over=partial(self._run_over, call.run) if self._run_over else None,
        )

    def _folder(self, run: str) -> Path:
        folder = self._config.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


async def _awaited(result: Awaitable[Told]) -> Told:
    return await result


def _route(step: Step, answer: Json) -> Route:
    """The steps behind a router's answer: one label or `Send`, or a list of them."""
    targets: list[str] = []
    sends: dict[str, list[Json]] = {}
    for one in answer if isinstance(answer, list) else [answer]:
        target = _sent_to(step, one) if isinstance(one, dict) else _labelled(step, one)
        if target != END:
            targets.append(target)
        if target in step.sends:
            sends.setdefault(target, []).append({"input": one["arg"]} if isinstance(one, dict) else {})
    return Route(tuple(dict.fromkeys(targets)), sends)


def _labelled(step: Step, label: Json) -> str:
    routes = step.routes or {}
    if str(label) not in routes:
        raise ParametersInvalid(f"router '{step.id}' returned {label!r}; its path map knows {', '.join(routes)}")
    return routes[str(label)]


def _sent_to(step: Step, send: dict[str, Json]) -> str:
    """The target of a `Send`, which is a mapping by now."""
    node = send.get("node")
    if send.keys() != {"node", "arg"} or node not in (step.routes or {}).values():
        nodes = ", ".join(target for target in dict.fromkeys((step.routes or {}).values()) if target != END)
        raise ParametersInvalid(f"router '{step.id}' sends to {node!r}; its path map leads to {nodes}")
    if node not in step.sends:
        raise ParametersInvalid(
            f"router '{step.id}' sends to {node!r}, which was not compiled for it; annotate the router -> list[Send],"
            f" or say sends=[{node!r}] in add_conditional_edges"
        )
    return str(node)
