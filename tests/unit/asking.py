"""Model steps for tests: a call, a provider that answers what it is told to, and the step between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from orchestrator_client.contract.errors import StepTimeout
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.limits import Prepared
from orchestrator_worker.providers.base import ModelReply, ModelRequest, OnText, ToolCall
from orchestrator_worker.records import Admitted
from orchestrator_worker.steps.base import Call, Fail, Output, Turn, Want
from orchestrator_worker.steps.model import ModelStep
from orchestrator_worker.tools.base import ToolContext

T = TypeVar("T")

REPLY = ModelReply(
    "Fine.",
    model="gpt-4o-mini",
    finish_reason="stop",
    usage=Usage(input_tokens=1000, output_tokens=500),
    raw_usage={"input_tokens": 1000, "output_tokens": 500},
)
REPLY_USD = "0.00045"
"""What it costs at list price."""

ADMITTED = Admitted("admitted", pick=0)


def run(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    """A loop of its own, with a deadline, as the worker's."""
    try:
        return asyncio.run(asyncio.wait_for(coroutine, seconds))
    except TimeoutError:
        raise StepTimeout(f"took longer than {seconds:g} s") from None


def call(
    uses: str = "generate",
    step: Mapping[str, Any] | None = None,
    memo: Json = None,
    returned: Mapping[str, Json] | None = None,
    admitted: Admitted | None = ADMITTED,
    on_text: OnText | None = None,
    **parameters: Any,
) -> Call:
    """An attempt at step `ask` that its gate has let through."""
    parameters = {"model": "gpt-4o-mini", "prompt": "Say fine.", **parameters}
    made = Step(id="ask", kind=StepKind.MODEL, uses=uses, **(step or {}))
    return Call("r", "ask", 1, made, parameters, memo, returned or {}, admitted=admitted, on_text=on_text)


def context(folder: Path = Path("/nowhere")) -> ToolContext:
    return ToolContext(run="r", instance="ask", attempt=1, folder=folder)


def saying(content: str, **fields: Any) -> ModelReply:
    return replace(REPLY, text=content, **fields)


def asking_for(*calls: ToolCall, **fields: Any) -> ModelReply:
    """A reply that asks for tools."""
    return saying("", finish_reason="tools", calls=calls, **fields)


@dataclass
class Model:
    """A provider of this test's own, and the step that asks it: notes what it is asked, answers what it is told to."""

    reply: ModelReply | Exception = REPLY
    project: Project = field(default_factory=Project)
    default: str | None = None
    cache: dict[str, Json] = field(default_factory=dict)
    folder: Path = Path("/nowhere")
    name: str = "openai"
    asked: list[ModelRequest] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    def warm(self) -> None:
        """There is nothing to import."""

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.asked.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        if on_text is not None:
            on_text(self.reply.text)
        return self.reply

    def look_up(self, name: str) -> Model:
        self.looked_up.append(name)
        return self

    @property
    def step(self) -> ModelStep:
        return ModelStep(
            run,
            self.look_up,
            self.project,
            Prices(self.project),
            lambda _: context(self.folder),
            described,
            self.cache.get,
            self.default,
        )

    def prepare(self, uses: str = "generate", **parameters: Any) -> Prepared:
        return self.step.prepare(call(uses, **parameters))

    def perform(self, uses: str = "generate", **parameters: Any) -> Want:
        return self.step.perform(call(uses, **parameters))

    def output(self, uses: str = "generate", **parameters: Any) -> Output:
        want = self.perform(uses, **parameters)
        assert isinstance(want, Output), want
        return want

    def turn(self, uses: str = "generate", **parameters: Any) -> Turn:
        want = self.perform(uses, **parameters)
        assert isinstance(want, Turn), want
        return want

    def fail(self, uses: str = "generate", **parameters: Any) -> Fail:
        want = self.perform(uses, **parameters)
        assert isinstance(want, Fail), want
        return want


def described(prepared: Prepared, made: Call) -> str:
    """A call as this module's gate takes it: what is needed to see that the right one was described."""
    return json.dumps({"instance": made.instance, "models": prepared.models})
