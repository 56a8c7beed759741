"""Jumps: where a run goes on after a step, so which steps it leaves out.

A jump leads forward. All that lies between its two ends in the order of the plan is skipped when it is taken, so each
of those steps waits to see how the source ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_client.contract import caps, template
from orchestrator_client.contract.plan import Jump, Plan, Step
from orchestrator_client.loader import dialect, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.references import Scope
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, kind_of


@dataclass(frozen=True, slots=True)
class Wish:
    """A jump as it was written."""

    source: str
    when: str
    target: str
    at: Place


def read(source: str, step: Mapping, failed: Scalar | None, scope: Scope, problems: Problems) -> list[Wish]:
    """The jumps that a step asks for; `failed` names where a failure leads."""
    asked: dict[str, tuple[str, Node]] = {}
    for key, when in dialect.STEP_JUMP_KEYS.items():
        node = step.get(key)
        if node is not None and when in asked:
            first = asked[when][0]
            problems.warn(Code.TWO_SPELLINGS, f"both {first} and {key}", step.place_of(key), f"{first} is used")
        elif node is not None:
            asked[when] = (key, node)
    if failed is not None:
        asked["failed"] = ("on_failure", failed)
    wishes = (_wish(source, when, key, node, scope, problems) for when, (key, node) in asked.items())
    return [wish for wish in wishes if wish is not None]


def _wish(source: str, when: str, key: str, node: Node, scope: Scope, problems: Problems) -> Wish | None:
    """One jump, if its target is another step of the same body."""
    target = node.value.strip() if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if target is None:
        problems.error(Code.WRONG_TYPE, f"{key} must name a step, found {kind_of(node)}", node.place)
    elif tags.in_text(target):
        tags.refuse(node, "that chooses a step", problems)
    elif template.is_template(target):
        remedy = "jump to one step, and write the cases as conditions of those behind it"
        dialect.not_yet(problems, f"a template in {quoted(key)}", node.place, remedy)
    elif target == source:
        problems.error(Code.CYCLE, f"{key} leads to the step itself", node.place, "name a step that comes later")
    elif target in scope.steps and scope.is_own(target):
        return Wish(source, when, target, node.place)
    elif target in scope.steps:
        message = f"{key} leads out of the loop, to {quoted(target)}"
        problems.error(Code.UNKNOWN_STEP, message, node.place, "end the loop with until, or name a step of its body")
    else:
        remedy = problems.did_you_mean(target, scope.steps) or "add it, or remove it here"
        problems.error(Code.UNKNOWN_STEP, f"no step {quoted(target)}", node.place, remedy)
    return None


def compiled(steps: tuple[Step, ...], wishes: list[Wish], problems: Problems) -> tuple[Step, ...]:
    """The steps of one level with the jumps over them; all edges that this adds lead forward."""
    order = _order(steps) if wishes else {}
    if len(order) < len(steps):
        # Steps in a circle have no order; they are refused elsewhere.
        return steps
    ahead = [wish for wish in wishes if _leads_ahead(wish, order, problems)]
    if sum(order[wish.target] - order[wish.source] for wish in ahead) > caps.EDGES:
        problems.error(Code.TOO_LARGE, f"jumps over more than {caps.EDGES:,} steps", ahead[0].at)
        return steps
    in_order = sorted(steps, key=lambda step: order[step.id])
    over: dict[str, list[Jump]] = {}
    onto: dict[str, list[str]] = {}
    for wish in ahead:
        onto.setdefault(wish.target, []).append(wish.source)
        for step in in_order[order[wish.source] + 1 : order[wish.target]]:
            over.setdefault(step.id, []).append(Jump(source=wish.source, when=wish.when, target=wish.target))
    return tuple(_with(step, over.get(step.id, []), onto.get(step.id, [])) for step in steps)


def _order(steps: tuple[Step, ...]) -> dict[str, int]:
    """Step -> its place when the levels of the plan are written one behind the other, each as in the file."""
    line = {step.id: number for number, step in enumerate(steps)}
    levels = Plan(id="level", steps=steps).levels
    in_order = [step for level in levels for step in sorted(level, key=lambda step: line[step])]
    return {step: number for number, step in enumerate(in_order)}


def _leads_ahead(wish: Wish, order: dict[str, int], problems: Problems) -> bool:
    """Whether a jump can be taken: what has run already stays as it is."""
    if order[wish.target] > order[wish.source]:
        return True
    message = f"the jump to {quoted(wish.target)} leads back and has no effect"
    problems.within(wish.source).warn(Code.NO_EFFECT, message, wish.at, "write a loop with while or until")
    return False


def _with(step: Step, jumps: list[Jump], sources: list[str]) -> Step:
    """A step with the jumps over it, and those that lead to it, after which it comes."""
    if not jumps and not sources:
        return step
    deciding = [jump.source for jump in jumps]
    return step.model_copy(
        update={
            "jumps": tuple(jumps),
            "after": tuple(dict.fromkeys([*step.after, *deciding, *sources])),
            "reads": tuple(dict.fromkeys([*step.reads, *deciding])),
        }
    )
