"""What a run keeps of one that has ended, and why it does the rest again. Pure.

A result is kept if its step succeeded, is the same step, and nothing that it was made of changes: neither the inputs
that its templates name, nor the steps before it. Loops, and sub-pipelines that have not succeeded, are gone through
again, which costs nothing, and find their own results kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import Json, Loop, LoopKind, Plan, Step
from orchestrator_client.contract.reading import EVERY, names_read_by, namespaces_of
from orchestrator_client.contract.run import Outcome, Receipt

_ITEM = re.compile(r"(\[(\d+)\]|#(\d+))\.")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, as the store has it."""

    plan: Plan
    inputs: Mapping[str, Json]
    receipts: Mapping[str, Receipt]


@dataclass(frozen=True, slots=True)
class Diff:
    """What becomes of each instance of the run that has ended."""

    kept: tuple[str, ...]
    again: Mapping[str, str]
    """Instance, or step that was not reached -> why it is done (again)."""
    descents: tuple[str, ...]
    """Those of `again` that run a pipeline whose own results are kept as far as they go."""


@dataclass(slots=True)
class _Walk:
    """Goes through all instances, each behind what it waits for."""

    before: Ended
    plan: Plan
    roots: frozenset[str]
    """Instances and steps that are to be done again."""
    changed_names: frozenset[str]
    """Inputs and sections of the file that have another value."""
    scopes: Mapping[str, set[int]]
    """Loop -> the items or passes of it that left anything."""
    kept: list[str] = field(default_factory=list)
    again: dict[str, str] = field(default_factory=dict)
    descents: list[str] = field(default_factory=list)

    def level(self, steps: Sequence[Step], was: Mapping[str, Step], prefix: str, why: str, around: set[str]) -> bool:
        """One body, or the plan itself, in one scope; whether anything of it changes."""
        changed: set[str] = set()
        for step in _in_order(self.plan, steps):
            reason = why or self._reason(step, was.get(step.id), prefix, changed, around)
            if self._step(step, was.get(step.id), f"{prefix}{step.id}", reason, changed | around):
                changed.add(step.id)
        return bool(changed)

    def _step(self, step: Step, was: Step | None, instance: str, reason: str, around: set[str]) -> bool:
        receipt = self.before.receipts.get(instance)
        if step.loop is not None:
            inner = self._scopes(step.loop, was.loop if was else None, instance, reason, around)
            failed = receipt is None or receipt.outcome not in (Outcome.SUCCEEDED, Outcome.SKIPPED)
            if reason:
                self.again[instance] = reason
            else:
                self._keep_answers(instance)
            return bool(reason) or inner or failed
        if receipt is not None and receipt.outcome is Outcome.SKIPPED and not reason:
            return False
        own = reason or _unfinished(receipt)
        if not own:
            self.kept.append(instance)
            return False
        self.again[instance] = own
        if not reason:
            self._keep_parts(step, instance)
        return True

    def _scopes(self, loop: Loop, was: Loop | None, instance: str, reason: str, around: set[str]) -> bool:
        """All items or passes of a loop; whether anything in them changes."""
        bodies = {inner.id: inner for inner in was.steps} if was is not None else {}
        in_items, changes = loop.kind in (LoopKind.MAP, LoopKind.SENDS), False
        for index in sorted(self.scopes.get(instance, ())):
            scope = f"{instance}[{index}]." if in_items else f"{instance}#{index}."
            carried = reason or ("" if in_items or not changes else "a pass before it changes")
            changes |= self.level(loop.steps, bodies, scope, carried, around)
        return changes

    def _keep_parts(self, step: Step, instance: str) -> None:
        """What an instance that is done again had got by then, and need not get again."""
        self._keep_answers(instance)
        if step.child:
            self.descents.append(instance)

    def _keep_answers(self, instance: str) -> None:
        """What models answered to the instance before it began."""
        answer = re.compile(re.escape(instance) + r"#0\.\d+")
        found = ((name, one) for name, one in self.before.receipts.items() if answer.fullmatch(name))
        self.kept += [name for name, one in found if one.outcome is Outcome.SUCCEEDED]

    def _reason(self, step: Step, was: Step | None, prefix: str, changed: set[str], around: set[str]) -> str:
        """Why the instance may come out otherwise than before, whatever became of it then."""
        if f"{prefix}{step.id}" in self.roots or step.id in self.roots:
            return "it was asked for"
        if was is None:
            return "it is new"
        if _definition(step, self.plan) != _definition(was, self.before.plan):
            return "its definition has changed"
        behind = [name for name in (*step.predecessors, *step.reads) if name in changed | around]
        if behind:
            return f"it is behind {behind[0]}"
        names = set(names_read_by(step, self.plan))
        everything = EVERY in names or step.child or self.plan.channels is not None
        if read := self.changed_names if everything else self.changed_names & names:
            return f"{min(read)} has changed"
        return ""


def diff(before: Ended, plan: Plan, inputs: Mapping[str, Json], steps: Iterable[str] = ()) -> Diff:
    """What is kept of a run, if this plan is run on these (bound) inputs and these steps are done again."""
    walk = _Walk(before, plan, frozenset(steps), _changed_names(before, plan, inputs), _scopes_of(before.receipts))
    whole = "the graph's state has changed" if plan.channels != before.plan.channels else ""
    walk.level(plan.steps, before.plan.step_by_id, "", whole, set())
    return Diff(tuple(walk.kept), walk.again, tuple(walk.descents))


def _unfinished(receipt: Receipt | None) -> str:
    if receipt is None:
        return "it was not reached"
    return "" if receipt.outcome is Outcome.SUCCEEDED else f"it was {receipt.outcome}"


def _in_order(plan: Plan, steps: Sequence[Step]) -> list[Step]:
    level = plan.model_copy(update={"steps": tuple(steps)})
    return [level.step_by_id[name] for name in level.order]


def _changed_names(before: Ended, plan: Plan, inputs: Mapping[str, Json]) -> frozenset[str]:
    then, now = {**namespaces_of(before.plan), **before.inputs}, {**namespaces_of(plan), **inputs}
    nothing = object()
    return frozenset(name for name in then.keys() | now.keys() if then.get(name, nothing) != now.get(name, nothing))


def _scopes_of(receipts: Iterable[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for instance in receipts:
        for scope in _ITEM.finditer(instance):
            found.setdefault(instance[: scope.start()], set()).add(int(scope[2] or scope[3]))
    return found


def _definition(step: Step, plan: Plan) -> Json:
    """What a step's result is made by, beside the values that it reads; of a loop without its body."""
    own = step.model_dump(mode="json", exclude={"line", "name", "loop"})
    loop = step.loop.model_dump(mode="json", exclude={"steps"}) if step.loop is not None else None
    return [own, loop, {name: plan.children[name].hash for name in _below(step, plan)}]


def _below(step: Step, plan: Plan) -> Iterator[str]:
    """The pipelines that a step runs, and that these run."""
    waiting, seen = [step.child] if step.child in plan.children else [], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += [inner.child for inner in plan.children[name].all_steps() if inner.child in plan.children]
