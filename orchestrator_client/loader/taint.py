"""How content moves through a plan: which steps strangers' words and private data reach, and what those steps may do.

It follows the values that parameters read. What only decides whether a step runs is no content, and neither is a step's
status. Nothing is read but the plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator_client.contract import catalog, template
from orchestrator_client.contract.catalog.trust import Decides, Sends, Trust, trust_of
from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import UNTRUSTED, Json, Loop, Plan, Step, StepKind
from orchestrator_client.contract.secret import PATTERN as SECRET
from orchestrator_client.loader import dialect, uses

_GATE = "approval-gate.execute"
_TELLING = frozenset({"status", "success", "error_type", "return_code", "status_code", "duration"})
"""Fields of a step that are the engine's words, or numbers."""
_OUTSIDE = re.compile(r"/|~|(.*/)?\.\.(/|$)")
_HOST = re.compile(r"\s*(?:\w+://)?[^/?#{]*(\{\{.*?\}\})", re.DOTALL)
_SHELL = frozenset({"sh", "bash", "dash", "zsh", "ksh", "env", "sudo", "python", "python3", "perl", "node"})
"""Programs that execute what they are given."""
_SHOWN = 6
"""Steps of a path that are kept."""
_READ_ONLY = frozenset({"GET", "HEAD"})


class Trait(StrEnum):
    """What is known of a value."""

    UNTRUSTED = "untrusted content"
    PRIVATE = "private data"


Path = tuple[str, ...]
Flow = Mapping[Trait, Path]
"""Trait -> the steps that brought it, from where it came in."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A step in which strangers' words and private data meet, and that sends them out."""

    step: Step
    untrusted: Path
    private: Path


@dataclass(frozen=True, slots=True)
class Decision:
    """A step of which strangers' words decide what it does."""

    step: Step
    what: str
    untrusted: Path


def found(plan: Plan, children: Mapping[str, Plan]) -> Iterator[Meeting | Decision]:
    """What is doubtful in a plan, in the order of its steps. `children`: the plans that its steps run, by name."""
    if any(_brings(step, children).untrusted for step in _all(plan.steps)):
        flows = _Flows(children)
        flows.settle(plan)
        yield from flows.found(plan.steps, {}, {}, frozenset())


def _all(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _all(step.loop.steps if step.loop else ())


@dataclass(frozen=True, slots=True)
class _Brings:
    """What a step does with content by all that it uses: its tool, those its model is offered, or its pipeline."""

    untrusted: bool = False
    private: bool = False
    sends: bool = False


def _brings(step: Step, children: Mapping[str, Plan]) -> _Brings:
    if step.child in children:
        inner = [_brings(each, children) for each in _all(children[step.child].steps)]
        return _Brings(*(any(getattr(each, name) for each in inner) for name in ("untrusted", "private", "sends")))
    if step.kind is StepKind.MODEL:
        offered = [trust_of(name) for name in _offered(step)]
        sends = any(each.sends in (Sends.ALWAYS, Sends.ADDRESSED) for each in offered)
        return _Brings(any(each.untrusted for each in offered), any(each.private for each in offered), sends)
    trust = trust_of(step.uses)
    is_private = trust.private or _asks_secret(step) or (trust.private_outside and _is_outside(step, trust))
    return _Brings(trust.untrusted, is_private, _sends(step, trust))


def _offered(step: Step) -> list[str]:
    """Tools that a model may call, as far as the plan says."""
    offered = step.parameters.get("tools")
    texts = offered if isinstance(offered, list) else [offered]
    return [name for text in texts if isinstance(text, str) and (name := uses.tool_named(text))]


def _sends(step: Step, trust: Trust) -> bool:
    """Whether a tool step may carry what reaches it out of the run."""
    if trust.sends is Sends.OUTSIDE:
        return _is_outside(step, trust)
    method = step.parameters.get("method", "GET") if step.uses == "http.request" else ""
    if trust.sends is Sends.ADDRESSED or (isinstance(method, str) and method.strip().upper() in _READ_ONLY):
        return any(_names(value) for name in trust.address for value in _written(step, name))
    return trust.sends is Sends.ALWAYS


def _is_outside(step: Step, trust: Trust) -> bool:
    """Whether a path of the step leads out of the run's folder, as it is written."""
    paths = [value for name in trust.decides for value in _written(step, name)]
    return any(isinstance(path, str) and _OUTSIDE.match(path.strip()) for path in paths)


def _asks_secret(value: Json) -> bool:
    match value:
        case Step():
            return _asks_secret(value.parameters)
        case str():
            return SECRET.search(value) is not None
        case list():
            return any(map(_asks_secret, value))
        case dict():
            return any(map(_asks_secret, value.values()))
    return False


def _written(step: Step, name: str) -> list[Json]:
    """A parameter's value, by whichever of its names it was written."""
    record = catalog.TOOLS[step.uses].parameters if step.uses in catalog.TOOLS else None
    alias = record.model_fields[name].validation_alias if record and name in record.model_fields else None
    names = [name, *(getattr(alias, "choices", None) or ())]
    return [step.parameters[each] for each in dict.fromkeys(names) if each in step.parameters]


def _names(value: Json) -> list[tuple[str, str | None]]:
    """Names that the templates within a value read, each with the field that is read of it."""
    try:
        references = template.references(value)
    except TemplateError:
        return []  # said where templates are checked
    found = []
    for reference in references:
        name = reference.field if reference.name == "steps" else reference.name
        if name and not (reference.name != "steps" and reference.field in _TELLING):
            found.append((name, reference.field))
    return found


@dataclass(slots=True)
class _Flows:
    """What the results of a plan's steps carry."""

    children: Mapping[str, Plan]
    _of: dict[int, dict[Trait, Path]] = field(default_factory=dict)
    """By the identity of the step: its id may stand in several bodies."""
    _named: dict[int, list[tuple[str, str | None]]] = field(default_factory=dict)
    """What the parameters of a step name, since templates are slow to read."""

    def settle(self, plan: Plan) -> None:
        """Follow every value until nothing new arrives; each pass brings one trait further at least, or is the last."""
        while self._passed(plan.steps, {}, {}):
            pass

    def found(
        self, steps: Iterable[Step], around: Mapping[str, Step], bound: Mapping[str, Flow], shown: frozenset[Trait]
    ) -> Iterator[Meeting | Decision]:
        """What is doubtful in a body. `bound`: what the loops around hand to it; `shown`: what a person approved."""
        seen = {**around, **{step.id: step for step in steps}}
        for step in steps:
            if UNTRUSTED in step.accepts:
                continue
            approved = shown | self._approved(step, seen)
            if step.loop is not None:
                inner = {**bound, **self._bindings(step.id, step.loop, seen, bound)}
                yield from self.found(step.loop.steps, seen, inner, approved)
            elif Trait.UNTRUSTED not in approved:
                yield from self._doubts(step, seen, bound)

    def _passed(self, steps: tuple[Step, ...], around: Mapping[str, Step], bound: Mapping[str, Flow]) -> bool:
        """Follow the values of one body once; whether anything new has arrived."""
        seen = {**around, **{step.id: step for step in steps}}
        order = Plan(id="body", steps=steps).order
        is_new = False
        for step in (*(seen[name] for name in order), *(step for step in steps if step.id not in order)):
            known = self._of.setdefault(id(step), {})
            if step.loop is not None:
                inner = {**bound, **self._bindings(step.id, step.loop, seen, bound)}
                is_new |= self._passed(step.loop.steps, seen, inner)
                left = _joined(self._of[id(each)] for each in step.loop.steps)
            else:
                left = self._reaching(step, seen, bound)
            for trait, path in left.items():
                if trait not in known:
                    known[trait] = _to(step, path)
                    is_new = True
        return is_new

    def _bindings(self, id: str, loop: Loop, seen: Mapping[str, Step], bound: Mapping[str, Flow]) -> Mapping[str, Flow]:
        """What a loop hands to its body, by the names that templates read it by."""
        flow = self._read(_names(loop.items), seen, bound)
        names = {"item", "loops", "loop", id, loop.name, loop.variable}
        return dict.fromkeys(names - {""}, flow)

    def _reaching(self, step: Step, seen: Mapping[str, Step], bound: Mapping[str, Flow]) -> dict[Trait, Path]:
        """What reaches a step and what it brings in itself: both are in its result."""
        arriving = self._arriving(step, seen, bound)
        if dialect.AUTO in str(step.parameters):
            # A model that is asked for a value is told what the step waits for.
            arriving = _joined([arriving, self._read([(name, None) for name in step.reads], seen, bound)])
        brought = _brings(step, self.children)
        own = {Trait.UNTRUSTED: brought.untrusted, Trait.PRIVATE: brought.private}
        return {**{trait: (step.id,) for trait, is_so in own.items() if is_so}, **arriving}

    def _arriving(self, step: Step, seen: Mapping[str, Step], bound: Mapping[str, Flow]) -> dict[Trait, Path]:
        """What the parameters of a step read."""
        if id(step) not in self._named:
            self._named[id(step)] = _names(step.parameters)
        return self._read(self._named[id(step)], seen, bound)

    def _read(
        self, names: Iterable[tuple[str, str | None]], seen: Mapping[str, Step], bound: Mapping[str, Flow]
    ) -> dict[Trait, Path]:
        flows = []
        for name, _ in names:
            if name in bound:
                flows.append(bound[name])
            elif name in seen:
                flows.append(self._of.get(id(seen[name]), {}))
        return _joined(flows)

    def _approved(self, step: Step, seen: Mapping[str, Step]) -> frozenset[Trait]:
        """What a person was shown before the step, which only runs if that was approved."""
        if not isinstance(step.condition, str):
            return frozenset()
        try:
            asked = template.references_of_condition(step.condition)
        except TemplateError:
            return frozenset()  # said where templates are checked
        names = {(one.field or "") if one.name == "steps" else one.name for one in asked}
        gates = [seen[name] for name in names if name in seen and seen[name].uses == _GATE]
        return frozenset(trait for gate in gates for trait in self._of.get(id(gate), {}))

    def _doubts(self, step: Step, seen: Mapping[str, Step], bound: Mapping[str, Flow]) -> Iterator[Meeting | Decision]:
        """What is doubtful in one step."""
        brings, is_model = _brings(step, self.children), step.kind is StepKind.MODEL
        arriving = self._arriving(step, seen, bound)
        reaching = self._reaching(step, seen, bound)
        # What a tool answers comes after it was called; a model calls again, knowing what its tools have answered.
        untrusted = (reaching if is_model else arriving).get(Trait.UNTRUSTED)
        if untrusted is None:
            return
        decisions = list(self._decisions(step, untrusted, seen, bound))
        # A secret of a step whose address is not in doubt goes where the plan says.
        private = (reaching if is_model or decisions else arriving).get(Trait.PRIVATE)
        if brings.sends and private is not None:
            yield Meeting(step, _to(step, untrusted), _to(step, private))
        yield from decisions

    def _decisions(
        self, step: Step, untrusted: Path, seen: Mapping[str, Step], bound: Mapping[str, Flow]
    ) -> Iterator[Decision]:
        """What strangers' words decide."""
        if step.kind is StepKind.MODEL:
            for name in _offered(step):
                for what in trust_of(name).decides.values():
                    if what in (Decides.COMMAND, Decides.CODE):
                        yield Decision(step, f"{what} that its model gives to {name}", _to(step, untrusted))
            return
        for name, what in trust_of(step.uses).decides.items():
            for value in _written(step, name):
                flow = self._read(_names(_deciding(value, what)), seen, bound)
                if Trait.UNTRUSTED in flow:
                    yield Decision(step, what, _to(step, flow[Trait.UNTRUSTED]))


def _deciding(value: Json, what: Decides) -> Json:
    """The part of a parameter that decides: of an address the host, of a command in parts the program."""
    if what is Decides.HOST and isinstance(value, str):
        at_host = _HOST.match(value)
        return at_host[1] if at_host else ""
    if what is Decides.COMMAND and isinstance(value, list) and value:
        program = str(value[0]).rpartition("/")[2]
        # `sh -c SCRIPT x y`: the script is what is executed, what stands behind it are its arguments.
        return value[:3] if program in _SHELL else value[0]
    return value


def _to(step: Step, path: Path) -> Path:
    """A path that ends at the step; a long one is cut in its middle."""
    longer = path if path[-1:] == (step.id,) else (*path, step.id)
    return longer if len(longer) <= _SHOWN else (*longer[: _SHOWN - 2], "…", step.id)


def _joined(flows: Iterable[Flow]) -> dict[Trait, Path]:
    """All that any of them has, by the first that has it."""
    joined: dict[Trait, Path] = {}
    for flow in flows:
        for trait, path in flow.items():
            joined.setdefault(trait, path)
    return joined
