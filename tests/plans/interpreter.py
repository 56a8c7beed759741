"""Plans run the plain way: step after step in one process, without messages, without a store, and with no way to crash.

What the engine makes of a plan must be what this makes of it. It shares nothing with the engine but the rendering of
templates. It knows four functions: `builtins:str`, and from `tests.functions` `fail`, `fail_until` and `record`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract.plan import Json, Loop, LoopKind, OnFailure, Plan, Step
from orchestrator_client.contract.template import evaluate, render, view_of


@dataclass(frozen=True)
class End:
    """How one instance ended."""

    status: str
    """`completed`, `failed` or `skipped`."""
    value: Json
    tries: int = 1
    alive: bool = True
    """Its followers may run."""


@dataclass(frozen=True)
class Frame:
    """One run of one list of steps: the plan's own, an item's, or a pass's."""

    steps: tuple[Step, ...]
    prefix: str = ""
    bound: Mapping[str, Any] = field(default_factory=dict)
    earlier: str | None = None
    """Prefix of the pass before; None where there is none."""
    in_passes: bool = False
    outer: Frame | None = None
    loop: Step | None = None

    def instance_of(self, name: str, reader: Step) -> str | None:
        """What a name means to a step that stands here."""
        if name not in {step.id for step in self.steps}:
            return self.outer.instance_of(name, self.loop) if self.outer and self.loop else None
        if not self.in_passes or name in self.before(reader):
            return self.prefix + name
        return None if self.earlier is None else self.earlier + name

    def before(self, step: Step) -> set[str]:
        """Ids of all steps here that have ended when this one starts."""
        by_id = {one.id: one for one in self.steps}
        return {name for after in step.after for name in ({after} | self.before(by_id[after]))}


class Failed(Exception):
    """A step's own failure."""


@dataclass
class Interpreter:
    """One run of one plan."""

    plan: Plan
    inputs: Mapping[str, Json]
    ends: dict[str, End] = field(default_factory=dict)
    """By instance; without those that a halting failure keeps from running, whatever runs beside it."""
    halts: bool = False
    """A step failed after which nothing new starts. Which others had run by then nobody can say."""
    dies: Callable[[str, int], bool] = lambda _instance, _try: False
    """Whether the worker of a tool's step dies in this try, before it has done anything."""
    calls: Counter[str] = field(default_factory=Counter)
    """What `fail_until` has counted, by its file."""

    def run(self) -> Interpreter:
        self._run(Frame(self.plan.steps))
        return self

    @property
    def success(self) -> bool:
        return all(end.status != "failed" for end in self.ends.values())

    def outputs(self) -> dict[str, Json]:
        """The plan's outputs; only where nothing halted the run."""
        views = {step.id: self._view(self.ends[step.id].value) for step in self.plan.steps}
        outputs: dict[str, Json] = {}
        for name, template in self.plan.outputs.items():
            outputs[name] = render(template, {**self.inputs, **views, "outputs": outputs})
        return outputs

    def _run(self, frame: Frame) -> bool:
        """Run every step; False if one of them never ends."""
        waiting = list(frame.steps)
        stuck: set[str] = set()
        while waiting:
            ended = {step.id for step in frame.steps} - {step.id for step in waiting}
            step = next(step for step in waiting if set(step.after) <= ended)
            waiting.remove(step)
            end = None if stuck & set(step.after) else self._end_of(step, frame)
            if end is not None:
                self.ends[frame.prefix + step.id] = end
            if end is None or (end.status == "failed" and step.on_failure is OnFailure.FAIL):
                self.halts = self.halts or end is not None
                stuck.add(step.id)
        return not stuck

    def _end_of(self, step: Step, frame: Frame) -> End | None:
        """How a step ends whose predecessors have ended; None for a loop that never does."""
        tries = self._lost_tries(step, frame, 1)
        if tries > _most_lost(step):
            return self._failure(step, tries - 1)
        if any(not self.ends[frame.prefix + name].alive for name in step.after):
            return _skipped(tries, alive=False)
        if any(self._ended_as(jump.source, step, frame) == jump.when for jump in step.jumps):
            return _skipped(tries)
        names = self._names(step, frame)
        if step.condition is not None and not evaluate(step.condition, names):
            return _skipped(tries)
        if step.loop is not None:
            return self._loop(step, step.loop, frame, names)
        return self._tried(step, frame, names, tries)

    def _tried(self, step: Step, frame: Frame, names: Mapping[str, Any], tries: int) -> End:
        """How a step ends whose worker lives in this try."""
        while True:
            try:
                result = self._call(render(step.parameters, names))
                return End("completed", {"result": result, "success": True}, tries)
            except Failed:
                if tries >= (step.retry.attempts or 1):
                    return self._failure(step, tries)
            tries = self._lost_tries(step, frame, tries + 1)
            if tries > _most_lost(step):
                return self._failure(step, tries - 1)

    def _lost_tries(self, step: Step, frame: Frame, tries: int) -> int:
        """The next try in which the step's worker does not die, or the first that it has no more."""
        while step.loop is None and tries <= _most_lost(step) and self.dies(frame.prefix + step.id, tries):
            tries += 1
        return tries

    @staticmethod
    def _failure(step: Step, tries: int) -> End:
        for handler in step.handlers:
            if handler.has_fallback:
                return End("completed", {"result": handler.fallback_value, "success": True}, tries)
        value = {"status": "failed", "success": False, "error": "it failed"}
        return End("failed", value, tries, alive=step.on_failure is not OnFailure.SKIP)

    def _call(self, parameters: Mapping[str, Json]) -> Json:
        match parameters["function"], parameters["args"]:
            case "builtins:str", [value]:
                return str(value)
            case "tests.functions:fail_until", [path, times]:
                self.calls[path] += 1
                if self.calls[path] <= times:
                    raise Failed
                return self.calls[path]
            case "tests.functions:fail", _:
                raise Failed
        raise AssertionError(f"no such function here: {parameters}")

    def _loop(self, step: Step, loop: Loop, frame: Frame, names: Mapping[str, Any]) -> End | None:
        name = frame.prefix + step.id
        if loop.kind is LoopKind.MAP:
            items = _items(render(loop.items, names))
            if items is None:
                return self._failure(step, 1)
            ran = [self._run(_item(frame, step, name, items, index)) for index in range(len(items))]
            return self._loop_end(step, loop, name, len(items), True) if all(ran) else None
        most = int(render(loop.max_iterations, names))
        for number in range(most + 1):
            done = self._is_done(step, loop, frame, name, number)
            if done or number == most:
                return self._loop_end(step, loop, name, number, done)
            if not self._run(_pass(frame, step, name, number)):
                return None
        raise AssertionError("unreachable: the last round returns")

    def _is_done(self, step: Step, loop: Loop, frame: Frame, name: str, passes: int) -> bool:
        """Whether a loop ends after so many passes."""
        until = loop.kind is LoopKind.UNTIL
        if until and passes == 0:
            return False
        left = {
            inner.id: self._view(self.ends[f"{name}#{passes - 1}.{inner.id}"].value) for inner in loop.steps if passes
        }
        scope = {**self._names(step, frame), **left, "iteration": passes, "index": passes}
        return evaluate(loop.condition, scope) == until

    def _loop_end(self, step: Step, loop: Loop, name: str, count: int, completed: bool) -> End:
        within = [end for instance, end in self.ends.items() if instance.startswith((f"{name}[", f"{name}#"))]
        followed = {after for inner in loop.steps for after in inner.after}
        last = [inner.id for inner in loop.steps if inner.id not in followed][-1]
        scopes = {
            "first": f"{name}[0]" if loop.kind is LoopKind.MAP else f"{name}#0",
            "kind": str(loop.kind),
            "steps": [inner.id for inner in loop.steps],
            "last": last,
            "inline": loop.inline,
        }
        success = all(end.status != "failed" for end in within)
        return End("completed", {"success": success, "count": count, "completed": completed, "scopes": scopes})

    def _names(self, step: Step, frame: Frame) -> dict[str, Any]:
        known = ((name, frame.instance_of(name, step)) for name in step.reads)
        views = {name: self._view(self.ends[instance].value) for name, instance in known if instance in self.ends}
        return {**self.inputs, **frame.bound, **views, "steps": views}

    def _ended_as(self, source: str, step: Step, frame: Frame) -> str:
        status = self.ends[frame.prefix + source].status
        return "succeeded" if status == "completed" else status

    def _view(self, value: Json) -> Any:
        return view_of(value, lambda asked: {name: self.ends[name].value for name in asked if name in self.ends})


def _most_lost(step: Step) -> int:
    """Tries of a step whose workers die."""
    return max(step.retry.attempts or 1, 3)


def _skipped(tries: int, alive: bool = True) -> End:
    return End("skipped", {"status": "skipped", "success": False, "reason": ""}, tries, alive)


def _items(given: Json) -> list[Json] | None:
    """Of what a map is over: a list, or a text with commas; None for what is neither."""
    if isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()]
    return given if isinstance(given, list) else None


def _item(frame: Frame, step: Step, name: str, items: list[Json], index: int) -> Frame:
    own = {"item": items[index], "is_last": index + 1 == len(items), "length": len(items)}
    return _inner(frame, step, f"{name}[{index}].", index, own)


def _pass(frame: Frame, step: Step, name: str, number: int) -> Frame:
    earlier = f"{name}#{number - 1}." if number else None
    return _inner(frame, step, f"{name}#{number}.", number, {}, earlier, in_passes=True)


def _inner(
    frame: Frame,
    step: Step,
    prefix: str,
    index: int,
    own: dict[str, Any],
    earlier: str | None = None,
    in_passes: bool = False,
) -> Frame:
    assert step.loop is not None
    own = {"index": index, "iteration": index, **own}
    loops = {**frame.bound.get("loops", {}), step.id: own}
    bound = {**frame.bound, **own, step.id: own, "loops": loops}
    return Frame(step.loop.steps, prefix, bound, earlier, in_passes, frame, step)


def receipts(interpreter: Interpreter) -> Iterator[tuple[str, tuple[str, Json, int]]]:
    """For each instance what can be compared: its status, what it left, and its tries."""
    for instance, end in interpreter.ends.items():
        yield instance, (end.status, comparable(end.value), end.tries)


def comparable(value: Mapping[str, Json]) -> Json:
    """What of a value is the same in every run: results, and how far a loop went."""
    if "scopes" in value:
        return {name: value[name] for name in ("count", "completed", "success")}
    return value.get("result")
