"""Whether the history of a run that has ended is sound: one rule a promise. Pure.

A rule yields one answer for each fact that it looked at: nothing where the fact keeps the promise, else a sentence.
Each looks at one thing only, so that what is wrong with a history is said by the rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from orchestrator_client.contract import catalog
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import OnFailure, Plan, Record, Step
from orchestrator_client.contract.run import Outcome, RunState
from orchestrator_client.contract.usage import Usage
from orchestrator_client.history import OUTCOME_OF, At, History, asker_of, beside, chooses, loop_of, scope_of

FINE = ""
SHOWN = 20
"""Sentences of one rule; there may be thousands."""

LEFT = (EventKind.STEP_PARKED, EventKind.QUESTION_ASKED)
"""After which an attempt has nothing more to say."""

Answers = Iterator[str]


class Finding(Record):
    """What one rule found."""

    rule: str
    promise: str
    looked_at: int
    """Facts. 0: this run has nothing that the rule is about."""
    broken: int = 0
    problems: tuple[str, ...] = ()
    """The first sentences of what is broken."""
    judged: bool = True
    """False: the history has lost its beginning, and the rule needs it."""

    @property
    def kept(self) -> bool:
        return not self.broken


class Judgement(Record):
    """What all rules found in one run."""

    run: str
    state: RunState
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether no promise was broken, as far as it could be judged."""
        return all(finding.kept for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Rule:
    """A promise, and how a history is held against it."""

    name: str
    promise: str
    answers: Callable[[History], Answers]
    needs_all: bool = True
    """Whether it can only be judged by all events."""

    def judge(self, history: History) -> Finding:
        if self.needs_all and not history.whole:
            return Finding(rule=self.name, promise=self.promise, looked_at=0, judged=False)
        answers = list(self.answers(history))
        problems = [answer for answer in answers if answer is not FINE]
        found = {"looked_at": len(answers), "broken": len(problems), "problems": tuple(problems[:SHOWN])}
        return Finding.model_validate({"rule": self.name, "promise": self.promise, **found})


def judge(history: History) -> Judgement:
    """What each rule finds in a run that has ended."""
    findings = tuple(rule.judge(history) for rule in RULES)
    return Judgement(run=history.record.run, state=history.record.state, findings=findings)


# --- the run itself --------------------------------------------------------------------------------------------------


def _life(history: History) -> Answers:
    for kind in (EventKind.RUN_SUBMITTED, EventKind.RUN_CLOSED):
        count = len(history.of_kind(kind))
        yield FINE if count == 1 else f"there are {count} events {kind}"
    started = history.of_kind(EventKind.RUN_STARTED)
    yield FINE if len(started) <= 1 else f"there are {len(started)} events {EventKind.RUN_STARTED}"
    first = min((starts[0].place for starts in history.starts.values()), default=None)
    if first is not None:
        yield FINE if started and started[0].place < first else "a step started before the run had"


def _state(history: History) -> Answers:
    record, cancelled = history.record, bool(history.of_kind(EventKind.CANCEL_REQUESTED))
    # What fails a step that was asked for is the business of the step that asked.
    failed = [name for name, r in history.receipts.items() if r.outcome is Outcome.FAILED and not asker_of(name)]
    yield FINE if record.failed == len(failed) else f"it counts {record.failed} failures; the receipts {len(failed)}"
    unsuccessful = bool(failed or record.halt or record.error)
    due = RunState.FAILED if unsuccessful else RunState.CANCELLED if cancelled else RunState.SUCCEEDED
    yield FINE if record.state is due else f"the run is {record.state}; by what happened in it, it is {due}"
    for closed in history.of_kind(EventKind.RUN_CLOSED):
        said = closed.event.data.get("state")
        yield FINE if said == record.state else f"the run is {record.state}; the event of its end says {said}"


def _nothing_after(history: History) -> Answers:
    ended, paused, running = "", False, set[str]()
    for place, event in enumerate(history.events):
        if event.kind in LEFT or event.kind in OUTCOME_OF:
            running.discard(event.instance)
        match event.kind:
            case EventKind.CANCEL_REQUESTED | EventKind.RUN_CLOSED:
                ended = ended or f"after {event.kind}"
            case EventKind.STEP_FAILED if event.instance == history.record.halt:
                ended = ended or f"after {event.instance} had failed"
            case EventKind.PAUSE_REQUESTED | EventKind.RESUME_REQUESTED:
                paused = event.kind is EventKind.PAUSE_REQUESTED
            case EventKind.STEP_STARTED:
                running.add(event.instance)
                # What a running step asks for, and waits for, goes on with it.
                stands = paused and asker_of(event.instance) not in running
                wrong = ended or ("while the run was paused" if stands else "")
                yield f"{_attempt(At(place, event))} started {wrong}" if wrong else FINE


# --- attempts --------------------------------------------------------------------------------------------------------


def _one_outcome(history: History) -> Answers:
    for instance, ends in history.ends.items():
        kinds = ", ".join(end.event.kind for end in ends)
        yield FINE if len(ends) == 1 else f"{instance} has {len(ends)} outcomes: {kinds}"


def _recorded(history: History) -> Answers:
    for instance in dict.fromkeys([*history.ends, *history.receipts]):
        receipt, ends = history.receipts.get(instance), history.ends.get(instance)
        if receipt is None or ends is None:
            yield f"{instance} has {'an event of its outcome' if ends else 'a receipt'} alone"
            continue
        told = ends[-1].event
        same = (OUTCOME_OF[told.kind], told.attempt) == (receipt.outcome, receipt.attempt)
        yield (
            FINE
            if same
            else (
                f"{instance}: its receipt says {receipt.outcome} on attempt {receipt.attempt},"
                f" the event {OUTCOME_OF[told.kind]} on attempt {told.attempt}"
            )
        )


def _in_order(history: History) -> Answers:
    for instance, starts in history.starts.items():
        numbers = [start.event.attempt for start in starts]
        yield FINE if numbers == list(range(1, len(numbers) + 1)) else f"{instance}: attempts {numbers} started"


def _bounded(history: History) -> Answers:
    for instance, receipt in history.receipts.items():
        allowed, tries = _most_tries(history.plan.step_at(instance)), receipt.attempt - receipt.excused
        yield FINE if 1 <= tries <= allowed else f"{instance} was tried {tries} times; {allowed} are allowed"


def _most_tries(step: Step | None) -> int:
    """More than a step can have of tries that count. What tools say of themselves only workers know."""
    if step is None:
        return catalog.LOST_ATTEMPTS
    handled = sum(handler.most_turns for handler in step.handlers)
    # A handler that asks has an attempt of its own beside the one that it leads to.
    return max(step.retry.attempts or catalog.ATTEMPTS_IF_REPEATABLE, catalog.LOST_ATTEMPTS) + 2 * handled


def _fenced(history: History) -> Answers:
    running: dict[str, int] = {}
    newest: dict[str, int] = {}
    for place, event in enumerate(history.events):
        name, number = event.instance, event.attempt
        if event.kind is EventKind.STEP_STARTED:
            running[name] = number
            newest[name] = max(number, newest.get(name, 0))
        elif event.kind in LEFT and running.get(name) == number:
            del running[name]
        elif event.kind in OUTCOME_OF or event.kind is EventKind.STEP_PROGRESS:
            never_began = event.kind is EventKind.STEP_CANCELLED and number > newest.get(name, 0)
            held = running.get(name) == number or never_began
            yield FINE if held else f"{_attempt(At(place, event))} said {event.kind} when it was not its turn"


# --- what follows what -----------------------------------------------------------------------------------------------


def _joins(history: History) -> Answers:
    for instance, starts in history.starts.items():
        for before in _before(history, instance):
            waited = history.ended_before(before, starts[0].place)
            yield FINE if waited else f"{instance} started before {before} had ended"
        if around := asker_of(instance) or loop_of(scope_of(instance)):
            begun = around in history.starts and history.starts[around][0].place < starts[0].place
            yield FINE if begun else f"{instance} started before {around}, which it is a part of"
    for scope, inside in history.within.items():
        yield from _loop_waited(history, loop_of(scope), inside)


def _before(history: History, instance: str) -> Iterator[str]:
    """What has to have ended before an instance starts: the steps that lead to it, and the pass before its own."""
    step = None if asker_of(instance) else history.plan.step_at(instance)
    for predecessor in step.predecessors if step else ():
        yield beside(instance, predecessor)
    loop, mark, number = scope_of(instance).rpartition("#")
    if mark and number.isdigit() and int(number) > 0:
        yield from history.within.get(f"{loop}#{int(number) - 1}", ())


def _loop_waited(history: History, loop: str, inside: list[str]) -> Answers:
    """A loop that succeeds is a join of all that is in it."""
    for end in history.ends.get(loop, ()):
        if end.event.kind is EventKind.STEP_SUCCEEDED:
            early = next((each for each in inside if not history.ended_before(each, end.place)), None)
            yield FINE if early is None else f"{loop} ended before {early} had"


def _ways(history: History) -> Answers:
    dead: dict[str, bool] = {}
    for instance in sorted(history.ends, key=lambda name: history.ends[name][0].place):
        step = None if asker_of(instance) else history.plan.step_at(instance)
        if step is None or (receipt := history.receipts.get(instance)) is None:
            continue
        dead[instance] = _is_dead(history, instance, step, dead)
        if dead[instance]:
            ran = receipt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED) and receipt.error is None
            yield f"{instance} ran, though nothing led to it" if ran else FINE
        elif receipt.outcome is Outcome.SKIPPED:
            caused = step.condition is not None or step.jumps or step.on_call
            yield FINE if caused and receipt.reason else f"{instance} was skipped without a cause"


def _is_dead(history: History, instance: str, step: Step, dead: dict[str, bool]) -> bool:
    """Whether all that leads to an instance says that it is not to run."""
    routes = [_alive(history, beside(instance, name), step.id, dead) for name in step.routed_from]
    orders = [_alive(history, beside(instance, name), step.id, dead) for name in step.after]
    return not all(orders) or (bool(routes) and not any(routes))


def _alive(history: History, source: str, target: str, dead: dict[str, bool]) -> bool:
    """Whether the edge from an instance to a step beside it is alive."""
    receipt, step = history.receipts.get(source), history.plan.step_at(source)
    if receipt is None or step is None:
        return False
    match receipt.outcome:
        case Outcome.SUCCEEDED:
            value = history.values.get(source)
            return not chooses(step) or not isinstance(value, dict) or target in (value.get("result") or ())
        case Outcome.SKIPPED:
            return not dead.get(source, False)
        case Outcome.FAILED:
            return step.on_failure is OnFailure.CONTINUE
        case Outcome.CANCELLED:
            return False


def _accounted(history: History) -> Answers:
    known = history.receipts
    yield FINE if history.record.open == 0 else f"{history.record.open} instances are open still"
    for instance in history.starts:
        yield FINE if instance in history.ends or instance in known else f"{instance} has started and never ended"
    for instance in known:
        around = asker_of(instance)
        belongs = around in known if around else history.plan.step_at(instance) is not None
        yield FINE if belongs else f"{instance} has a receipt, and no plan has it"
    if not history.cut_short:
        for instance in _expected(history):
            yield FINE if instance in known else f"{instance} has no outcome"


def _expected(history: History) -> Iterator[str]:
    """The instances that a run which nobody stopped has: of the plan, and of every item and pass."""
    yield from (step.id for step in history.plan.steps)
    for loop, value in history.values.items():
        step, receipt = history.plan.step_at(loop), history.receipts.get(loop)
        if step is None or step.loop is None or receipt is None or not isinstance(value, dict):
            continue
        if receipt.outcome is Outcome.SUCCEEDED and isinstance(count := value.get("count"), int):
            marks = _marks(value, count)
            yield from (f"{loop}{mark}.{inner.id}" for mark in marks for inner in step.loop.steps)


def _marks(value: dict[str, object], count: int) -> list[str]:
    """`[0]`, `[1]` … or `#0`, `#1` …, as the loop itself says that its scopes are called."""
    scopes = value.get("scopes")
    items = str(scopes.get("first") if isinstance(scopes, dict) else "").endswith("[0]")
    return [f"[{index}]" if items else f"#{index}" for index in range(count)]


# --- money -----------------------------------------------------------------------------------------------------------


def _costs(history: History) -> Answers:
    total = Decimal(0)
    for instance, receipt in history.receipts.items():
        if receipt.usage is not None:
            total += receipt.usage.cost_usd or Decimal(0)
        for end in history.ends.get(instance, ())[-1:]:
            told = Usage.model_validate(end.event.data["usage"]) if end.event.data.get("usage") else None
            if told is not None or receipt.usage is not None:
                same = told == receipt.usage
                yield FINE if same else f"{instance}: its receipt and the event of its end say different usage"
    if history.spent_usd is not None:
        # The budget may have more: what a call that nobody heard of again may have cost counts as spent.
        yield (
            FINE
            if total <= history.spent_usd
            else (f"the receipts say ${total:f}, its budget only ${history.spent_usd:f}")
        )


def _budget(history: History) -> Answers:
    if history.cap_usd is not None and history.spent_usd is not None:
        over = history.spent_usd > history.cap_usd
        yield f"${history.spent_usd:f} were spent of ${history.cap_usd:f}" if over else FINE


def _attempt(at: At) -> str:
    return f"attempt {at.event.attempt} of {at.event.instance}"


def values_looked_at(plan: Plan, instances: Iterator[str]) -> list[str]:
    """The instances whose values are looked at: those of loops and routers."""
    steps = ((instance, plan.step_at(instance)) for instance in instances if not asker_of(instance))
    return [instance for instance, step in steps if step is not None and (step.loop is not None or chooses(step))]


RULES = (
    Rule("life", "it was submitted once, closed once, and no step started before it", _life),
    Rule("state", "it ended as what happened in it says", _state, needs_all=False),
    Rule("one outcome", "each instance has one outcome", _one_outcome, needs_all=False),
    Rule("receipts", "receipts and events say the same of each outcome", _recorded),
    Rule("joins", "no step started before all that it waits for had ended", _joins),
    Rule("ways", "what was skipped had a cause, and what nothing led to did not run", _ways, needs_all=False),
    Rule("order", "the attempts of an instance started one after the other, each once", _in_order),
    Rule("attempts", "no instance was tried more often than allowed", _bounded, needs_all=False),
    Rule("fence", "no attempt said anything after its turn", _fenced),
    Rule(
        "end",
        "nothing started after the run was cancelled, halted or closed, or in a pause",
        _nothing_after,
        needs_all=False,
    ),
    Rule("complete", "every instance of the plan, and every one that started, is accounted for", _accounted, False),
    Rule("costs", "usage adds up", _costs, needs_all=False),
    Rule("budget", "it spent no more than its budget", _budget, needs_all=False),
)
