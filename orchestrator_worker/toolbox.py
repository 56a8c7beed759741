"""`python -m orchestrator_worker.toolbox`: tools without a fleet, for `orchestrator tools`.

One answer, as JSON on stdout, in which nothing is secret: `list` and `show NAME` say what there is, `lock` what a lock
would say of it; `call NAME` reads
`parameters` (texts), `folder` and `timeout_seconds` from stdin, calls the tool in this process, and answers with its
one result. What a tool prints, and what it says of its progress goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator_client.contract.errors import (
    ConfigInvalid,
    OrchestratorError,
    ParametersInvalid,
    StepError,
    ToolFailed,
)
from orchestrator_client.contract.lock import Lock
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.question import Question
from orchestrator_client.contract.tool import ToolInfo
from orchestrator_worker.process.calls import calls
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps.base import Call
from orchestrator_worker.steps.tool import ToolStep
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import ToolResult
from orchestrator_worker.tools.coercion import meant
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.vault import in_use

RUN = "tools-call"
"""In the place of a run's id, which a call without a run has not."""


def listed() -> dict[str, Json]:
    """All tools, and why those that could not be asked are not among them."""
    found = list(registry.listed())
    tools = [entry.info.model_dump(mode="json") for entry in found if not isinstance(entry, StepError)]
    return {"tools": tools, "problems": [str(error) for error in found if isinstance(error, StepError)]}


def shown(name: str) -> dict[str, Json]:
    """What is said of one tool, or `{"refused": why}`."""
    try:
        return registry.resolve(name).info.model_dump(mode="json")
    except StepError as error:
        return {"refused": str(error)}


def locked() -> dict[str, Json]:
    """What `orchestrator.lock` would say of the servers as they are now, or `{"refused": why}`."""
    try:
        return Lock(mcp=servers.pins()).model_dump(mode="json")
    except StepError as error:
        return {"refused": str(error)}


def called(name: str, asked: Mapping[str, Any]) -> dict[str, Json]:
    """Call a tool, and answer with its one result; `refused` says that it was not called."""
    started = time.monotonic()
    try:
        result = _result(name, asked)
    except ParametersInvalid as error:
        return {"refused": str(error)}
    except OrchestratorError as error:
        result = ToolResult(None, False, str(error), tool=name, seconds=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: whatever it raises is its failure
        said = str(ToolFailed(f"{name} raised {type(error).__name__}: {error}"))
        result = ToolResult(None, False, said, tool=name, seconds=time.monotonic() - started)
    return result.record


def _result(name: str, asked: Mapping[str, Any]) -> ToolResult:
    """One call, as a step would make it."""
    timeout_seconds: float | None = asked.get("timeout_seconds")
    parameters = _meant(registry.resolve(name).info, asked["parameters"])
    step = Step(id="call", kind=StepKind.TOOL, uses=name, parameters=parameters, timeout_seconds=timeout_seconds)
    config, project = Settings(workdir=asked["folder"]), load_project()
    tools = ToolStep(config, calls(), lambda *_: _progress, project=project, vault=in_use())
    with calls().under_way((RUN, step.id, 1), timeout_seconds):
        result = tools.invoke(name, Call(RUN, step.id, 1, step, parameters))
    if isinstance(result, Question):
        raise ParametersInvalid(f"{name} asks a person ({result.prompt!r}), which only a run can wait for")
    return result


def _meant(info: ToolInfo, parameters: Mapping[str, str]) -> dict[str, Json]:
    """What a person wrote at a command line, as the types that the tool takes."""
    properties = info.parameters.get("properties") or {}
    return {name: meant(text, properties.get(name, {}), info.parameters) for name, text in parameters.items()}


def _progress(fraction: float | None, message: str) -> None:
    share = "" if fraction is None else f"{fraction:.0%} "
    print(f"{share}{message}", file=sys.stderr, flush=True)  # noqa: T201 - for the person who waits


def main(argv: list[str] | None = None) -> int:
    """Answer one question."""
    what, *names = sys.argv[1:] if argv is None else argv
    # What the tool prints must not stand within the answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    questions: Mapping[str, Callable[[], dict[str, Json]]] = {
        "list": listed,
        "lock": locked,
        "show": lambda: shown(names[0]),
        "call": lambda: called(names[0], json.load(sys.stdin)),
    }
    try:
        answer: dict[str, Json] = in_use().masked(questions[what]())
    except ConfigInvalid as error:
        answer = {"refused": str(error)}
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
