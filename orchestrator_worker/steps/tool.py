"""Tool steps: a tool of the registry, called with rendered parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestrator_client.contract.catalog import UNKNOWN, declares_itself
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed, UnknownAction
from orchestrator_client.contract.interrupt import Interrupt, answering
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.patterns import fits
from orchestrator_client.contract.plan import END, Json, Step
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.question import Question
from orchestrator_client.contract.tool import ToolInfo
from orchestrator_worker.cage.limits import Cage
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps.base import Call, Fail, Output, Route, Wait, Want
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import Complete, OnProgress, Reach, Told, ToolContext, ToolEntry, ToolResult
from orchestrator_worker.tools.folders import begin_with
from orchestrator_worker.tools.guest import invite
from orchestrator_worker.tools.spill import spilled
from orchestrator_worker.vault import Vault

ROUTER = "python.route"
"""Calls a function and takes the branches that it names."""


ReportTo = Callable[[str, str, int], OnProgress]
"""Where the progress of an attempt (run, instance, number) goes."""

IN_THEIR_OWN_CAGE = ("terminal.execute", "python-executor.execute")
"""Tools that are nothing but a program: they put it into the cage themselves, and run here."""


class ToolStep:
    """Performs tool steps, and the routers of a graph, whose function is user code too."""

    def __init__(
        self,
        config: Settings,
        calls: Calls,
        report_to: ReportTo | None = None,
        root_of: Callable[[str], str] = lambda run: run,
        project: Project | None = None,
        complete: Callable[[Call], Complete] | None = None,
        run_over: Callable[[str], bool] | None = None,
        vault: Vault | None = None,
        origin_of: Callable[[str], str] = lambda _run: "",
    ) -> None:
        """`root_of` gives the run in whose folder a run works: itself, or the first of those above it; `complete` what
        a call asks models with; `run_over` looks whether a run has ended; None for `vault`: one of its own;
        `origin_of` gives the run that a run was forked from."""
        project = project or Project()
        self._config, self._calls, self._rules = config, calls, project.tools
        self._report_to, self._root_of = report_to, root_of
        self._complete, self._run_over, self._origin_of = complete, run_over, origin_of
        self._reach = Reach((*project.tools.allow_hosts, *config.allow_hosts))
        self._vault = vault or Vault(config.secrets_folder, project.secrets)

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
        """Call a tool at its level, wherever it runs, and wait for what it has to say, in which nothing is secret."""
        entry = registry.resolve(uses)
        level = self._level(entry.info, call.step)
        context = self.context(call, level, uses)
        told = self._told(entry, call, level, context)
        if isinstance(told, Question):
            return Question.model_validate(self._vault.masked(told.model_dump(mode="json")))
        return self._safe(told, context)

    def _told(self, entry: ToolEntry, call: Call, level: Level, context: ToolContext) -> Told:
        parameters = call.parameters
        if call.is_written:
            parameters = self._vault.opened(call.step.parameters, parameters, entry.info.name)
        if call.on_call is not None and declares_itself(entry.info.name):
            call.on_call(entry.info.repeatable)
        # A coroutine runs in a copy of this context, so that it sees the answers too.
        with answering([answer.value for answer in call.answers]):
            try:
                result = self._called(entry, parameters, level, context)
                if isinstance(result, ToolResult | Question):
                    return result
                return self._calls.run(_awaited(result), call.step.timeout_seconds)
            except Interrupt as interrupted:
                return interrupted.question

    @staticmethod
    def _called(
        entry: ToolEntry, parameters: dict[str, Json], level: Level, context: ToolContext
    ) -> Told | Awaitable[Told]:
        if level is Level.RESTRICTED and entry.info.name not in IN_THEIR_OWN_CAGE:
            return invite(entry.info.name, parameters, context)
        return registry.call(entry, parameters, context)

    def _level(self, tool: ToolInfo, step: Step) -> Level:
        """The stricter of what the fleet says and what the step does."""
        level = self._rules.level_of(tool.name, tool.level)
        return level.stricter(step.level) if step.level else level

    def _safe(self, result: ToolResult, context: ToolContext) -> ToolResult:
        """The result without secrets, and with files in the place of what is too large."""
        masked = replace(
            result,
            output=self._vault.masked(result.output),
            envelope=self._vault.masked(result.envelope),
            error=self._vault.masked(result.error),
            warnings=tuple(map(self._vault.masked, result.warnings)),
        )
        return spilled(masked, context, self._config.artifact_bytes, self._config.value_bytes)

    def context(self, call: Call, level: Level = Level.STANDARD, uses: str = "") -> ToolContext:
        """Where and for whom a call works, and what it may touch; its folder is there."""
        rules = self._rules
        return ToolContext(
            run=call.run,
            instance=call.instance,
            attempt=call.attempt,
            folder=self._folder(self._root_of(call.run)),
            allowed=self._config.allow_paths,
            timeout_seconds=call.step.timeout_seconds,
            answers=call.answers,
            on_progress=self._progress(call),
            complete=self._completing(call),
            run_over=partial(self._run_over, call.run) if self._run_over else None,
            reach=Reach(everything=True) if level is Level.TRUSTED else self._reach,
            cage=Cage(rules.limits, fits(uses, rules.network), rules.namespaces) if level is Level.RESTRICTED else None,
        )

    def _progress(self, call: Call) -> OnProgress | None:
        if self._report_to is None:
            return None
        report = self._report_to(call.run, call.instance, call.attempt)
        return lambda fraction, message: report(fraction, self._vault.masked_text(message))

    def _completing(self, call: Call) -> Complete | None:
        if self._complete is None:
            return None
        complete = self._complete(call)
        return lambda request: complete(self._vault.masked(dict(request)))

    def _folder(self, run: str) -> Path:
        folder = self._config.folder(run)
        if not folder.exists() and (origin := self._origin_of(run)):
            begin_with(folder, self._config.folder(origin))
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
