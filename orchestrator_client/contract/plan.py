"""The plan: a pipeline validated and compiled, immutable, named by the hash of its content.

A YAML file and a StateGraph give the same records. Templates stand in a plan as they were written; they are rendered
by the worker when the step starts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from orchestrator_client.contract import names
from orchestrator_client.contract.control import Handler, Jump, LoopKind, Way
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.inputs import LARGEST_INTEGER, InputType, coerce
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.quality import Quality
from orchestrator_client.contract.record import Json, Record

__all__ = [
    "END",
    "LARGEST_INTEGER",
    "Channel",
    "Handler",
    "Input",
    "InputType",
    "Json",
    "Jump",
    "Loop",
    "LoopKind",
    "OnFailure",
    "OnLost",
    "Plan",
    "Record",
    "Retry",
    "Step",
    "StepKind",
    "Way",
    "coerce",
]

_SCOPE = re.compile(r"\[\d+\]$|#\d+$")
"""The item or pass at the end of a part of an instance's name."""

UNTRUSTED = "untrusted"
"""What a step may say that it accepts."""

END = "__end__"
"""Target of a route that ends its branch."""


class StepKind(StrEnum):
    """What performs a step, and so which workers may take it."""

    TOOL = "tool"
    """A tool of the registry, on the queue `tool`."""
    MODEL = "model"
    """A call of a model, on the queue `model.<provider>`."""
    CONTROL = "control"
    """A decision about the run itself, on the queue `control`."""


class OnFailure(StrEnum):
    """What a failed step means for the rest of its run."""

    FAIL = "fail"
    """Nothing new starts; the run fails once the running steps have ended."""
    CONTINUE = "continue"
    """The steps behind it run; the run goes on, and ends without success."""
    SKIP = "skip"
    """The steps behind it are skipped, and those behind them."""


class OnLost(StrEnum):
    """What becomes of a tool step whose worker died in the middle, so that it may or may not have run."""

    RETRY = "retry"
    """It is tried again, though that may do it twice."""
    FAIL = "fail"
    """It has failed."""


class Retry(Record):
    """How often an attempt is tried, and how long to wait between two.

    `attempts` counts all of them; None leaves it to the kind of step (3 for models and idempotent tools, else 1). The
    wait before attempt n + 1 is `initial_seconds * factor ** (n - 1) + growth_seconds * (n - 1)`, at most
    `max_seconds`, of which a random half is taken off so that steps which failed together do not come back together.
    """

    attempts: int | None = None
    initial_seconds: float = 1.0
    factor: float = 2.0
    growth_seconds: float = 0.0
    max_seconds: float = 60.0
    jitter: bool = True
    """False: every wait is as long as it is worked out."""
    errors: tuple[str, ...] = ()
    """Names of the error classes that are worth another attempt; empty: those that may pass by themselves."""


class Loop(Record):
    """The body of a control step, and how often it runs. Each run of it is a scope: an item, or a pass."""

    kind: LoopKind
    steps: tuple[Step, ...]
    """The body. `after` names steps of the body only; `reads` may name those around it too."""
    items: Json = None
    """Map: a list, a mapping, JSON text, or a template of one."""
    condition: Json = None
    """Of while and until, as `Step.condition`."""
    max_parallel: Json = 1
    """Map: items under way at a time; a number or a template of one."""
    max_iterations: Json = 10
    """All but maps: most passes; a number or a template of one. A graph that would go on after them fails."""
    name: str = ""
    """By which inner loops reach this one's bindings, as `$name.item`."""
    variable: str = ""
    """A further name of the item, beside `item`."""
    inline: bool = False
    """The body is the one step that was written as the loop: results are its values, with `status` beside them."""
    entry: str = ""
    """Of a cycle of a graph: the step at which a pass begins. Empty for a sub-graph, which has one pass."""
    ways: tuple[Way, ...] = ()
    """Of a cycle: the edges that lead out of a pass."""
    channels: dict[str, Channel] | None = None
    """Of a sub-graph: its own state. None: that of the graph around."""


class Input(Record):
    """One declared input of a pipeline."""

    type: InputType = InputType.ANY
    default: Json = None
    required: bool = False
    choices: tuple[Json, ...] | None = None
    description: str = ""


class Step(Record):
    """One node of a plan."""

    id: str
    kind: StepKind
    uses: str
    """Name of the tool (`filesystem.read`, `python:package.module:function`), model action (`generate`) or control."""
    parameters: dict[str, Json] = Field(default_factory=dict)
    """Templates and constants, rendered late."""
    name: str = ""
    model: str | None = None
    """The model as written: a name, `provider/model`, or a template. None: the worker's default."""
    provider: str = "openai"
    """For model steps: whose queue the step goes to."""
    after: tuple[str, ...] = ()
    """Steps that must have ended: those declared and those that the templates imply."""
    routed_from: tuple[str, ...] = ()
    """Routers that may lead here. With any, the step runs if at least one of them took this way."""
    reads: tuple[str, ...] = ()
    """Steps whose values the templates name."""
    routes: dict[str, str] | None = None
    """For a router: what its function may return, to the step that it leads to (or `END`)."""
    sends: tuple[str, ...] = ()
    """For a router: those of its targets that run once for each `Send`."""
    writes: str | None = None
    """Graphs: channel that receives the step's result. None with channels declared: the result is a mapping of
    channels to updates."""
    condition: Json = None
    """Template or bool; false skips the step."""
    timeout_seconds: float | None = None
    retry: Retry = Retry()
    on_lost: OnLost | None = None
    """None leaves it to what the tool says of itself."""
    level: Level | None = None
    """Of a tool step: how far its tool is trusted here, if less than its fleet would."""
    accepts: tuple[str, ...] = ()
    """What may reach it though it looks doubtful: `untrusted`."""
    on_failure: OnFailure = OnFailure.FAIL
    jumps: tuple[Jump, ...] = ()
    """Reasons to skip it that lie in how other steps ended; those are among `after` and `reads`."""
    handlers: tuple[Handler, ...] = ()
    """What `on_error` says, by priority."""
    on_call: bool = False
    """It handles failures of other steps, runs for those alone, and is skipped in its own place."""
    quality: Quality | None = None
    """Of a tool or model step: what its result is held to."""
    loop: Loop | None = None
    """For a control step that runs a body."""
    child: str = ""
    """For a control step that runs another pipeline: which of the plan's children."""
    line: int = 0
    """Line in the file, for messages; 0 where there is none."""

    @property
    def queue(self) -> str:
        """The queue that this step's messages go to."""
        match self.kind:
            case StepKind.TOOL:
                return names.TOOL_QUEUE
            case StepKind.MODEL:
                return names.model_queue(self.provider)
            case StepKind.CONTROL:
                return names.CONTROL_QUEUE

    @property
    def label(self) -> str:
        """What Flower lists: few names, by kind (`tool · filesystem.read`, `model · gpt-5`)."""
        what = (self.model if self.kind is StepKind.MODEL else None) or self.uses
        return f"{self.kind} · {'templated' if '{{' in what else what[:25]}"

    @property
    def updates_state(self) -> bool:
        """Graphs: whether its result goes into the state, into its channel or as a function's mapping of updates."""
        if self.loop is not None:
            return True
        return self.routes is None and (self.writes is not None or self.uses.startswith("python"))

    @property
    def predecessors(self) -> Iterator[str]:
        """Sources of all edges into this step, order and route."""
        yield from self.after
        yield from self.routed_from


class Channel(Record):
    """One channel of a graph's state: how the updates of several writers become one value."""

    reducer: str = "last"
    """`last`, `add`, `append`, `merge`, or an importable function `package.module:function(current, update)`."""
    default: Json = None


Loop.model_rebuild()


class Plan(Record):
    """A pipeline, ready to run."""

    id: str
    name: str = ""
    description: str = ""
    version: str = ""
    inputs: dict[str, Input] = Field(default_factory=dict)
    steps: tuple[Step, ...]
    outputs: dict[str, Json] = Field(default_factory=dict)
    channels: dict[str, Channel] | None = None
    """Graphs only: the state. Its inputs are channels too."""
    metadata: dict[str, Json] = Field(default_factory=dict)
    children: dict[str, Plan] = Field(default_factory=dict)
    """The pipelines that its steps run, and those that these run, by the names that steps know them by. They have no
    children of their own: all are here."""
    allow_tools: tuple[str, ...] | None = None
    """Patterns of the tools that its steps and models may use; None: all."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, hexadecimal, whatever the order in which its mappings were written."""
        canonical = json.dumps(json.loads(self.to_json()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def step_by_id(self) -> Mapping[str, Step]:
        return {step.id: step for step in self.steps}

    def step_at(self, instance: str) -> Step | None:
        """The step of an instance, in whatever body it is; None where a model asked for it, and no plan has it."""
        steps: Mapping[str, Step] = self.step_by_id
        step: Step | None = None
        for part in instance.split("."):
            step = steps.get(_SCOPE.sub("", part))
            if step is None:
                return None
            steps = {inner.id: inner for inner in step.loop.steps} if step.loop else {}
        return step

    def all_steps(self) -> Iterator[Step]:
        """Every step, those in the bodies of loops and of the pipelines that it runs too."""
        waiting = [step for plan in (*reversed(self.children.values()), self) for step in reversed(plan.steps)]
        while waiting:
            step = waiting.pop()
            yield step
            waiting += reversed(step.loop.steps if step.loop else ())

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Step ids so that every step stands behind its predecessors: the same for the same plan, always.

        Steps of a cycle, and those behind one, are left out: a plan whose order is shorter than its steps is cyclic.
        """
        waiting = {step.id: sum(1 for _ in step.predecessors) for step in self.steps}
        ready = [step.id for step in self.steps if not waiting[step.id]]
        order: list[str] = []
        for step in ready:
            order.append(step)
            for follower in self.followers.get(step, ()):
                waiting[follower] -= 1
                if not waiting[follower]:
                    ready.append(follower)
        return tuple(order)

    @cached_property
    def followers(self) -> Mapping[str, tuple[str, ...]]:
        """Step -> the steps with an edge from it, in the order of the file; once for each edge."""
        followers: dict[str, list[str]] = {}
        for step in self.steps:
            for predecessor in step.predecessors:
                followers.setdefault(predecessor, []).append(step.id)
        return {step: tuple(behind) for step, behind in followers.items()}

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Steps by the length of the longest path that leads to them. For showing only: there is no barrier."""
        depth: dict[str, int] = {}
        levels: list[list[str]] = []
        for step in self.order:
            depth[step] = 1 + max((depth[p] for p in self.step_by_id[step].predecessors), default=-1)
            if depth[step] == len(levels):
                levels.append([])
            levels[depth[step]].append(step)
        return tuple(tuple(level) for level in levels)

    def to_json(self) -> str:
        """The plan as it is stored: without what is only a default, in the order in which it was written."""
        return self.model_dump_json(exclude_defaults=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy: without what was worked out of the original (its hash, its order)."""
        copy = super().model_copy(update=update, deep=deep)
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, cached_property):
                copy.__dict__.pop(name, None)
        return copy

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        return cls.model_validate_json(text)

    def child(self, name: str) -> Plan:
        """One of its children, as the plan of a run."""
        return self.children[name].model_copy(update={"children": self.children})

    def bind(self, given: Mapping[str, Json]) -> dict[str, Json]:
        """The inputs of a run: what the caller gave, coerced to the declared types, and the defaults of the rest.

        Names that the plan does not declare are kept as they are, because existing pipelines use them.

        Raises:
            InputsInvalid: an input is missing, of another type, or none of its choices; all of them are named.
        """
        bound, problems = dict(given), []
        for name, declared in self.inputs.items():
            if name not in given:
                if declared.required and declared.default is None:
                    problems.append(f"input '{name}' ({declared.type}) is required; give it with -i {name}=…")
                bound[name] = declared.default
                continue
            try:
                bound[name] = coerce(given[name], declared.type)
            except ValueError:
                problems.append(f"input '{name}': expected {declared.type}, found {_shown(given[name])}")
                continue
            if declared.choices is not None and bound[name] not in declared.choices:
                allowed = ", ".join(_shown(choice) for choice in declared.choices)
                problems.append(f"input '{name}': {_shown(given[name])} is none of {allowed}")
        if problems:
            raise InputsInvalid(problems)
        return bound


def _shown(value: Json) -> str:
    """A value for a message, at most 80 characters; one that is no JSON goes by its type."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(value).__name__} that is not JSON"
    return text if len(text) <= 80 else text[:79] + "…"
