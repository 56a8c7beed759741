"""A tool in a process of its own: what a restricted call of any source runs in, beneath a warden.

`python -m orchestrator_worker.tools.guest FD` reads the call from stdin and writes its result to the
descriptor, both as JSON.
Starting it takes as long as importing the tool does. It has no progress to tell.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Answer, Question
from orchestrator_client.contract.tool import Artifact, ToolSource
from orchestrator_worker.cage.program import Program, passed_on, run
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import Reach, Told, ToolContext, ToolResult


async def invite(uses: str, parameters: Mapping[str, Json], context: ToolContext) -> Told:
    """Call a tool in a process of its own, under the limits of the context's cage.

    Raises:
        ParametersInvalid, ToolFailed: as the tool raised them, or because a limit stopped it.
        StepTimeout: the step's time was up.
    """
    call = {"uses": uses, "parameters": dict(parameters), "context": _carried(context)}
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as left:
        told.write(json.dumps(call).encode())
        told.seek(0)
        program = Program(
            (sys.executable, "-m", __name__, str(left.fileno())),
            str(context.folder),
            passed_on() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Its own time is the step's.
            float("inf"),
            input=told.fileno(),
            passed=(left.fileno(),),
        )
        ended = await run(program, context.cage, context.timeout_seconds)
        if ended.failure:
            raise ToolFailed(f"{uses}, in a process of its own, {ended.failure}")
        return _left(left)


def _carried(context: ToolContext) -> dict[str, Json]:
    return {
        "run": context.run,
        "instance": context.instance,
        "attempt": context.attempt,
        "folder": str(context.folder),
        "allowed": [str(folder) for folder in context.allowed],
        "timeout_seconds": context.timeout_seconds,
        "answers": [answer.model_dump(mode="json") for answer in context.answers],
        "reach": asdict(context.reach),
    }


def _left(file: IO[bytes]) -> Told:
    """The result or question that the guest wrote, or what it raised."""
    file.seek(0)
    told = json.load(file)
    if (raised := told.get("raised")) is not None:
        if raised["type"] == ParametersInvalid.__name__:
            raise ParametersInvalid(raised["message"])
        raise ToolFailed(raised["message"], raised["retryable"])
    if (question := told.get("question")) is not None:
        return Question.model_validate(question)
    fields = told["result"]
    fields["artifacts"] = tuple(Artifact(**artifact) for artifact in fields["artifacts"])
    fields["source"] = ToolSource(fields["source"]) if fields["source"] else None
    return ToolResult(**{**fields, "warnings": tuple(fields["warnings"])})


def main(descriptor: int) -> None:
    """The other side: make the call, and tell how it ended."""
    call = json.load(sys.stdin)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(_made(call), file, default=Artifact.model_dump)


def _made(call: dict[str, Any]) -> dict[str, Json]:
    given = call["context"]
    paths = {"folder": Path(given["folder"]), "allowed": tuple(map(Path, given["allowed"]))}
    answers = tuple(map(Answer.model_validate, given["answers"]))
    reach = Reach(tuple(given["reach"]["allow"]), given["reach"]["everything"])
    # It is in a cage already, and what it starts is in there with it.
    context = ToolContext(**{**given, **paths, "answers": answers, "reach": reach, "cage": None})
    try:
        result = registry.invoke(call["uses"], call["parameters"], context)
        result = result if isinstance(result, ToolResult | Question) else asyncio.run(_awaited(result))
    except StepError as error:
        raised = {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
        return {"raised": raised}
    except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: whatever it raises is its failure
        message = f"{call['uses']} raised {type(error).__name__}: {error}"
        return {"raised": {"type": ToolFailed.__name__, "message": message, "retryable": True}}
    if isinstance(result, Question):
        return {"question": result.model_dump(mode="json")}
    return {"result": {name: getattr(result, name) for name in ToolResult.__dataclass_fields__}}


async def _awaited(result: Awaitable[Told]) -> Told:
    return await result


if __name__ == "__main__":
    main(int(sys.argv[1]))
