"""What a tool is given, what it returns, and the seam behind which tools of every source stand."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator_client.contract.errors import StepError
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Answer, Question
from orchestrator_client.contract.tool import Artifact, ToolInfo, ToolSource
from orchestrator_worker.cage.limits import Cage

OnProgress = Callable[[float | None, str], None]
"""Takes a fraction from 0 to 1 (None where it is not known) and a message. It never blocks, from whatever thread."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer to a tool that asked in the middle of its call."""

    text: str
    model: str
    cut: bool = False
    """It is as long as it was allowed to be, and not at its end."""


class Declined(Exception):
    """What a tool asked for in the middle of its call is not given; the words are for whoever asked."""


Complete = Callable[[Mapping[str, Json]], Awaitable[Completion]]
"""Asks a model: takes what a model step takes as parameters, and raises Declined. To be awaited on any loop."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses a tool may ask, see `tools.addresses`."""

    allow: tuple[str, ...] = ()
    """Beside public ones: `host`, `host:port`, `*.domain`, an address or a network."""
    everything: bool = False


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Where and for whom a tool runs."""

    run: str
    instance: str
    attempt: int
    folder: Path
    """The run's working folder: relative paths start here, and file tools may not leave it."""
    allowed: tuple[Path, ...] = ()
    """Further folders that file tools may use, from the worker's settings."""
    timeout_seconds: float | None = None
    """Time that the step has left, or None without a limit."""
    answers: tuple[Answer, ...] = ()
    """To the questions that the tool has asked in earlier attempts, in their order."""
    on_progress: OnProgress | None = None
    """None where nobody is told."""
    complete: Complete | None = None
    """Asks a model for the tool, as a model step of its run; None where there is no run to pay for it."""
    run_over: Callable[[], bool] | None = None
    """Looks whether the run has ended; None where there is none."""
    reach: Reach = Reach()
    cage: Cage | None = field(default_factory=Cage)
    """What holds the programs that it starts; None where its level trusts them."""

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Say how far the call is: a fraction from 0 to 1, a message, or both.

        It becomes an event of the run, at most a few a second: of those between, only the last is sent. It costs no
        round trip here, so a tool may call it as often as it likes.
        """
        if self.on_progress is not None:
            known = fraction is not None and not math.isnan(fraction)
            self.on_progress(min(max(float(fraction or 0.0), 0.0), 1.0) if known else None, message)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at one instance and for no other: services that take a key do the work once."""
        return hashlib.sha256(f"{self.run}|{self.instance}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool left. A tool that reports failure (`success=False`) has failed."""

    output: Json = None
    success: bool = True
    error: str | None = None
    warnings: tuple[str, ...] = ()
    retryable: bool = True
    """Of a failure: whether the same call may go better a moment later. A plan that asks for retries gets them."""
    envelope: dict[str, Json] = field(default_factory=dict)
    """Fields that stand beside `result` in the step's value, for tools whose existing readers expect them there."""
    artifacts: tuple[Artifact, ...] = ()
    """Files that the call left in the run's folder."""
    tool: str = ""
    source: ToolSource | None = None
    seconds: float = 0.0
    """These three are filled in by the registry: who was called, and how long that took."""

    @property
    def record(self) -> dict[str, Json]:
        """All of it that is anybody's business outside, as JSON."""
        return {
            "success": self.success,
            "output": self.output,
            "error": self.error,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 6),
            "tool": self.tool,
            "source": self.source,
            "artifacts": [artifact.model_dump() for artifact in self.artifacts],
        }

    @property
    def value(self) -> Json:
        """The step's value, in the shape that templates of existing pipelines read."""
        files = {"artifacts": [artifact.model_dump() for artifact in self.artifacts]} if self.artifacts else {}
        return {"result": self.output, "success": self.success, "error": self.error, **files, **self.envelope}


Told = ToolResult | Question
"""What a tool returns: what it left, or what it must know first. It is called again, with the answer in its context."""

Tool = Callable[[ToolContext, Any], Told | Awaitable[Told]]
"""`tool(context, parameters)`, where `parameters` is what its entry's `check` returned.

Raise `ToolFailed` (or anything) for what went wrong; return `ToolResult(success=False, …)` for a failure that has a
result too. A coroutine function is run on the worker's loop and cancelled when the step's time is up or its run is
cancelled; a plain function runs in the worker's own process or thread.
"""


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool that can be called."""

    info: ToolInfo
    check: Callable[[Mapping[str, Json]], Any]
    """The rendered parameters, validated and coerced, as `function` takes them; raises ParametersInvalid."""
    function: Tool


class Source(Protocol):
    """Where tools come from: a module of `tools.sources`, imported when one of its names is first called."""

    def resolve(self, uses: str) -> ToolEntry:
        """The tool of that name.

        Raises:
            ParametersInvalid: there is none.
            ToolFailed: there is one, and it cannot be loaded or reached.
        """
        ...

    def listed(self) -> Iterable[ToolEntry | StepError]:
        """What it has, as far as that can be listed: import paths cannot. In the place of what cannot be asked, why."""
        ...
