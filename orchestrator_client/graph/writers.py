"""Who writes the state of a graph, and who reads it: every step reads what all the writers before it left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import Channel, LoopKind, Plan, Step, StepKind
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted


def with_reads(outline: Plan, problems: Problems) -> tuple[Step, ...]:
    """The steps, and those of the bodies within, each with what it reads."""
    return _Reading(problems).of_body(outline, ())


def check(plan: Plan, channels: Mapping[str, Channel], problems: Problems) -> None:
    """Results must have a channel to go to, and one that keeps the last update an order of its writers."""
    _check_writes(plan.steps, channels, problems)
    _refuse_parallel_writes(plan, channels, problems)
    for step in plan.steps:
        if step.loop is not None and step.loop.channels is None:
            _refuse_parallel_writes(Plan(id=step.id, steps=step.loop.steps), channels, problems)


class _Reading:
    """Finds what steps read, and counts it."""

    def __init__(self, problems: Problems) -> None:
        self._problems, self._total = problems, 0

    def of_body(self, outline: Plan, outside: Collection[str]) -> tuple[Step, ...]:
        """The steps of one body. Of steps outside, only those that have ended may be read, and only by their names."""
        before = _Ancestors(outline)
        writers = before.mask(step.id for step in outline.steps if step.updates_state)
        finished: list[Step] = []
        for step in outline.steps:
            elsewhere = tuple(name for name in step.reads if name in outside)
            for name in before.missing(step.id, (name for name in step.reads if name not in elsewhere)):
                message = f"node {quoted(step.id)} reads {quoted(name)}, which may not have run"
                remedy = f"add_edge({name!r}, {step.id!r}), or read the state"
                self._problems.within(step.id).error(Code.NOT_UPSTREAM, message, remedy=remedy)
            senders = step.routed_from if step.loop is not None and step.loop.kind is LoopKind.SENDS else ()
            read = before.of(step.id) & (writers | before.mask([*step.reads, *senders]))
            self._total += read.bit_count()
            if self._total > caps.EDGES:
                message = f"the nodes read more than {caps.EDGES:,} others, all told"
                self._problems.error(Code.TOO_LARGE, message)
                break
            inner = {*outside, *before.named(before.of(step.id))}
            finished.append(self._with_body(step, inner, (*before.named(read), *elsewhere)))
        return tuple(finished)

    def _with_body(self, step: Step, outside: Collection[str], reads: tuple[str, ...]) -> Step:
        """The step with its reads. A sub-graph was compiled already, and knows nothing of what is around it."""
        loop = step.loop
        if loop is not None and loop.channels is None:
            loop = loop.model_copy(update={"steps": self.of_body(Plan(id=step.id, steps=loop.steps), outside)})
        return step.model_copy(update={"reads": reads, "loop": loop})


class _Ancestors:
    """All steps before each step, as bits in plan order: a chain of n steps has n² / 2 of them."""

    def __init__(self, plan: Plan) -> None:
        self._order = plan.order
        self._bit = {step: 1 << number for number, step in enumerate(plan.order)}
        self._before: dict[str, int] = {}
        for step in plan.order:
            self._before[step] = 0
            for predecessor in plan.step_by_id[step].predecessors:
                self._before[step] |= self._before[predecessor] | self._bit[predecessor]

    def of(self, step: str) -> int:
        """Steps before a step."""
        return self._before[step]

    def mask(self, steps: Iterable[str]) -> int:
        """Steps as bits."""
        mask = 0
        for step in steps:
            mask |= self._bit.get(step, 0)
        return mask

    def missing(self, step: str, wanted: Iterable[str]) -> list[str]:
        """Those of the wanted steps that may not have ended when the step starts."""
        return [name for name in wanted if not self.of(step) & self._bit.get(name, 0)]

    def named(self, mask: int) -> tuple[str, ...]:
        """The steps of a mask, in plan order."""
        return tuple(step for step in self._order if mask & self._bit[step]) if mask else ()

    def in_order(self, one: str, other: str) -> bool:
        """Whether `one` surely ends before `other` starts."""
        return bool(self.of(other) & self._bit[one])


def _check_writes(body: Iterable[Step], channels: Mapping[str, Channel], problems: Problems) -> None:
    for step in body:
        if step.loop is not None:
            if step.loop.channels is None:
                _check_writes(step.loop.steps, channels, problems)
        elif step.writes is not None and step.writes not in channels:
            remedy = problems.did_you_mean(step.writes, channels) or f"channels: {', '.join(channels)}"
            message = f"node {quoted(step.id)} writes {quoted(step.writes)}, which is no channel of the state"
            problems.within(step.id).error(Code.UNKNOWN_CHANNEL, message, remedy=remedy)
        elif step.writes is None and step.kind is StepKind.MODEL:
            message = f"nothing keeps the answer of node {quoted(step.id)}"
            problems.within(step.id).error(Code.NO_CHANNEL, message, remedy="say writes=… with a channel of the state")


def _refuse_parallel_writes(plan: Plan, channels: Mapping[str, Channel], problems: Problems) -> None:
    """Two steps that surely both run, in no order, cannot both set a channel that keeps the last update."""
    before = _Ancestors(plan)
    unsure = before.mask(step.id for step in plan.steps if step.routed_from)
    writers: dict[str, list[str]] = {}
    for step in (plan.step_by_id[name] for name in plan.order):
        if step.routed_from or before.of(step.id) & unsure:
            continue
        for channel in dict.fromkeys(_written(step)):
            if channel in channels and channels[channel].reducer == "last":
                writers.setdefault(channel, []).append(step.id)
    for channel, found in writers.items():
        # In plan order, writers that all wait for each other are those whose neighbours do.
        for one, other in pairwise(found):
            if not before.in_order(one, other):
                message = f"nodes {quoted(one)} and {quoted(other)} both write {quoted(channel)}, in no order"
                remedy = 'declare a reducer, as in Annotated[list, "append"], or add an edge between them'
                problems.error(Code.PARALLEL_WRITES, message, remedy=remedy)


def _written(step: Step) -> Iterator[str]:
    """The channels that a step or its body says that it writes."""
    if step.writes is not None:
        yield step.writes
    for inner in step.loop.steps if step.loop is not None else ():
        yield from _written(inner)
