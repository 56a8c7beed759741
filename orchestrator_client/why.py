"""Why a run is where it is: for each instance that has not ended, what it waits for and what would help. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.budgets import BudgetView
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Plan, Record
from orchestrator_client.contract.question import AskedQuestion, QuestionKind
from orchestrator_client.contract.run import InstanceState, OpenInstance, Receipt, RunRecord
from orchestrator_client.gates import Gate, Line, ahead_of
from orchestrator_client.story import error_in, rounded, story, time_of_day, waiting


class Why(Record):
    """One instance, or the run itself, in one sentence, and its parts for programs. Times: ms since 1970."""

    instance: str
    """Empty: the run itself."""
    state: str
    """Of the instance, or its outcome; `pending` while something before it has not ended."""
    because: str
    """One sentence."""
    help: str = ""
    """What would make it go on sooner, if anything would."""
    since_ms: int | None = None
    until_ms: int | None = None
    """About when it goes on, where that can be told."""
    waits_for: tuple[str, ...] = ()
    """Steps, or the run and instance that make the same request."""
    worker: str = ""
    queue: str = ""
    scope: str = ""
    """The provider's limit at which it waits: `provider/credential/model`."""
    limit: str = ""
    """Which: `weather`, `in_flight`, or a dimension."""
    ahead: int | None = None
    """Calls that go before it there."""
    budget: BudgetView | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the answer is made of, as read from the store."""

    plan: Plan
    record: RunRecord
    receipts: Mapping[str, Receipt]
    open: Mapping[str, OpenInstance]
    queues: Mapping[str, str]
    lengths: Mapping[str, int]
    """Queue -> messages in it."""
    serving: Mapping[str, int]
    """Queue -> workers that serve it."""
    due_ms: Mapping[str, int]
    events: Mapping[str, Event]
    """The newest of each open instance."""
    calls: Mapping[str, Mapping[str, Any]]
    gates: Mapping[str, Gate]
    lines: Mapping[str, Line]
    places: Mapping[str, int | None]
    """Waiting instance -> calls of its own run before it."""
    budgets: Mapping[str, BudgetView]
    now_ms: int
    questions: Mapping[str, AskedQuestion] = field(default_factory=dict)
    """Instance -> the last question that it asked."""


def explain(facts: Facts, step: str | None = None) -> list[Why]:
    """Why each instance that has not ended has not; of a step or run that has ended, what became of it.

    Raises:
        InputsInvalid: the run has no such step.
    """
    if step is not None:
        return [_instance(facts, step)]
    if facts.record.state.ended:
        return [_ended_run(facts), *(_instance(facts, name) for name in facts.receipts)]
    if facts.record.started_ms is None:
        return [_paused(facts) if facts.record.paused else _not_started(facts)]
    paused = [_paused(facts)] if facts.record.paused and not facts.record.halt else []
    return [*paused, *_unfinished(facts)] or [_closing(facts)]


def pick_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model that a call asks for at present; Lua counts from 1."""
    picked: Mapping[str, Any] = call["candidates"][int(call.get("pick") or 1) - 1]
    return picked


# --- where an instance is --------------------------------------------------------------------------------------------


def _unfinished(facts: Facts) -> Iterator[Why]:
    """Open instances first, then those that are not reached yet, both in plan order."""
    names = dict.fromkeys([*facts.plan.step_by_id, *facts.open])
    yield from (_instance(facts, name) for name in names if name in facts.open)
    yield from (_instance(facts, name) for name in names if name not in facts.open and name not in facts.receipts)


def _instance(facts: Facts, name: str) -> Why:
    """One instance, in whatever state it is.

    Raises:
        InputsInvalid: there is none of that name.
    """
    if (receipt := facts.receipts.get(name)) is not None:
        return Why(instance=name, state=receipt.outcome, because=story(receipt), since_ms=receipt.ended_ms)
    if (opened := facts.open.get(name)) is not None:
        return _open(facts, name, opened)
    if name not in facts.plan.step_by_id:
        raise InputsInvalid([f"run {facts.record.run} has no step {name!r}; `orchestrator show` lists them"])
    return _not_reached(facts, name)


def _open(facts: Facts, name: str, opened: OpenInstance) -> Why:
    """An instance that was reached and has no receipt."""
    why = Why(instance=name, state=opened.state, because="", since_ms=opened.since_ms, queue=facts.queues.get(name, ""))
    match opened.state:
        case InstanceState.READY:
            return _ready(facts, why)
        case InstanceState.RUNNING | InstanceState.LATE:
            return _running(facts, why)
        case InstanceState.PARKED:
            return _parked(facts, why)
        case InstanceState.WAITING:
            return _waiting(facts, why, facts.calls.get(name))


def _ready(facts: Facts, why: Why) -> Why:
    """Its message is under way, in a queue or between two; `sweep` sends it again if it was lost."""
    length = facts.lengths.get(why.queue, 0)
    lies = f"{waiting(length)} there" if length else "no message waits there, so one is under way or was lost"
    unserved = not facts.serving.get(why.queue)
    because = f"ready since {time_of_day(why.since_ms)}: its message went to the queue {why.queue}; {lies}"
    because += f"; 0 workers serve '{why.queue}'" if unserved else ""
    helps = f"start a worker: orchestrator worker --queues {why.queue}" if length or unserved else ""
    return why.model_copy(update={"because": because, "help": helps})


def _running(facts: Facts, why: Why) -> Why:
    """An attempt holds its lease, or did a moment ago."""
    event = facts.events.get(why.instance)
    worker = str(event.data.get("worker") or "") if event else ""
    because = f"running since {time_of_day(why.since_ms)}{f' on {worker}' if worker else ''}"
    if why.state == InstanceState.LATE:
        because += "; its worker has not been heard of, and in a moment the attempt is taken for lost"
    return why.model_copy(update={"because": because, "worker": worker})


def _parked(facts: Facts, why: Why) -> Why:
    """It waits for its time, for an answer, or for the steps that it asked for; those have no time."""
    event, until = facts.events.get(why.instance), facts.due_ms.get(why.instance)
    question = facts.questions.get(why.instance)
    if question is not None and question.answer is None and not question.expired(facts.record.clock_ms(facts.now_ms)):
        return _asking(why, question)
    if facts.open[why.instance].set_aside:
        return why.model_copy(update={"because": f"would be ready, but its run is {_pause(facts)}"})
    error = error_in(event.data) if event else ""
    if event is not None and (child := event.data.get("run")):
        return _descended(why, str(child), until)
    if until is None:
        asked = tuple(name for name in facts.open if _asked_by(facts.plan, why.instance, name))
        because = f"waits for the steps that it asked for: {', '.join(asked) or 'they have just ended'}"
        return why.model_copy(update={"because": because, "waits_for": asked})
    reason = str(event.data.get("reason") or "") if event else ""
    cause = ": ".join(part for part in (reason, error) if part)
    because = f"waits until {time_of_day(until)}{f', because {cause}' if cause else ''}"
    return why.model_copy(update={"because": because, "until_ms": until})


def _descended(why: Why, child: str, until_ms: int | None) -> Why:
    """It waits for the pipeline that it runs."""
    until = f", at most until {time_of_day(until_ms)}" if until_ms else ""
    because = f"waits for the pipeline that it runs, the run {child}{until}"
    update = {"because": because, "help": f"orchestrator why {child}", "until_ms": until_ms, "waits_for": (child,)}
    return why.model_copy(update=update)


def _asking(why: Why, asked: AskedQuestion) -> Why:
    """It waits for a person."""
    question, place = asked.question, f"{asked.run} '{asked.instance}'"
    until = f" until {time_of_day(asked.deadline_ms)}" if asked.deadline_ms else ""
    because = f"waits for an answer since {time_of_day(asked.asked_ms)}{until}: {question.title or question.prompt}"
    command = "approve" if question.kind is QuestionKind.APPROVAL else "answer"
    value = "" if question.kind is QuestionKind.APPROVAL else " VALUE"
    update = {"because": because, "help": f"orchestrator {command} {place}{value}", "until_ms": asked.deadline_ms}
    return why.model_copy(update=update)


def _asked_by(plan: Plan, parent: str, name: str) -> bool:
    """Whether an instance is a step that `parent` asked for: its name begins with the parent's, and no plan has it."""
    rest = name.removeprefix(parent)
    return name not in plan.step_by_id and rest != name and not (rest[:1].isalnum() or rest[:1] in "_-")


def _waiting(facts: Facts, why: Why, call: Mapping[str, Any] | None) -> Why:
    """Its model call waits; `call` is what the scripts keep of it."""
    if call is None or call.get("state") != "waiting":
        return why.model_copy(update={"because": "its call is being looked at again"})
    words = str(call.get("words") or "")
    match call.get("why"):
        case "budget":
            return _short(facts, why, call, words)
        case "cache":
            member = words.rpartition(" ")[2].replace("|", " ")
            because = f"the same request is under way in {member}, whose answer it takes"
            return why.model_copy(update={"because": because, "waits_for": (member,)})
        case _:
            return _at_gate(facts, why, call)


def _short(facts: Facts, why: Why, call: Mapping[str, Any], words: str) -> Why:
    """Its budget does not pay for it now."""
    identity = next((each["id"] for each in call["budgets"] if words.startswith(f"{each['id']}: ")), "")
    budget = facts.budgets.get(identity)
    because = f"waits for money of the budget {words}"
    # Twice as much is a guess at what a person would give; without a cap there is nothing to double.
    named, more = identity.removeprefix("run:"), "USD"
    if budget is not None and budget.cap_usd is not None:
        because += (
            f"; it has ${budget.cap_usd:.4f}, of which ${budget.spent_usd:.4f} are spent"
            f" and ${budget.reserved_usd:.4f} reserved by calls in flight"
        )
        more = f"{(budget.cap_usd * 2).normalize():f}"
    if not identity.startswith("run:"):
        named = identity.rpartition(":")[0]
    return why.model_copy(update={"because": because, "help": f"orchestrator budget {named} {more}", "budget": budget})


def _at_gate(facts: Facts, why: Why, call: Mapping[str, Any]) -> Why:
    """A provider's limit keeps it out.

    The time is when the gate opens for a call of its size, and then one call after the other of those ahead, each as
    large as this one. Weakness: those ahead may be larger, and others may come before it.
    """
    pick = pick_of(call)
    scope, costs = str(pick["scope"]), pick.get("costs") or {"requests": 1}
    gate, place = facts.gates[scope], facts.places.get(why.instance)
    ahead = ahead_of(facts.lines[scope], str(call.get("tenant") or ""), facts.record.run, place or 0)
    wait = gate.opens_in(costs)
    slowest, apart_ms = gate.tightest(costs)
    limit = wait.what or slowest
    until = None if wait.ms is None and not apart_ms else facts.now_ms + round((wait.ms or 0) + ahead * apart_ms)
    because = f"waits for {_cause(gate, limit)} of {scope}, {ahead:,} call{'' if ahead == 1 else 's'} ahead of it"
    if until is not None:
        because += f", until about {time_of_day(until)}"
    update = {"because": because, "help": _remedy(scope, limit), "until_ms": until, "scope": scope, "limit": limit}
    return why.model_copy(update={**update, "ahead": ahead})


def _cause(gate: Gate, limit: str) -> str:
    """What keeps the call out, in words."""
    if limit == "weather":
        words = str(gate.state.get("closed_for") or "it asked for a pause")
        return f"the weather ({words})"
    if limit == "in_flight":
        most = gate.most_at_a_time()
        return f"one of {rounded(most.amount) if most else 'the'} calls in flight"
    found = gate.allowed(limit) if limit else None
    return f"{limit.replace('_', ' ')} ({rounded(found.amount)} a minute, {found.source})" if found else "its turn"


def _remedy(scope: str, limit: str) -> str:
    """What a person can do about it."""
    match limit:
        case "weather" | "":
            return "wait; the provider is asked again by itself"
        case "in_flight":
            return f"orchestrator limits set {scope} in_flight=N, if the provider allows more, or add a key"
        case "requests":
            return f"orchestrator limits set {scope} requests=N, if the provider allows more, or add a key"
        case _:
            more = f"orchestrator limits set {scope} {limit}=N, if the provider allows more"
            return f"{more}; or lower max_tokens; or add a key"


def _not_reached(facts: Facts, name: str) -> Why:
    """Something before it has not ended."""
    if facts.record.state.ended:
        cause = f"{facts.record.halt} failed" if facts.record.halt else f"the run was {facts.record.state}"
        return Why(instance=name, state="cancelled", because=f"was not reached: {cause}")
    missing = tuple(dict.fromkeys(p for p in facts.plan.step_by_id[name].predecessors if p not in facts.receipts))
    because = f"waits for {', '.join(missing)}" if missing else "will be ready in a moment"
    if facts.record.halt:
        because = f"will not run: {facts.record.halt} has failed"
    return Why(instance=name, state="pending", because=because, waits_for=missing)


# --- where the run itself is -----------------------------------------------------------------------------------------


def _not_started(facts: Facts) -> Why:
    """No worker has taken it: there is none, or those there are have other things to do."""
    length = facts.lengths.get("control", 0)
    return Why(
        instance="",
        state=facts.record.state,
        because=f"submitted at {time_of_day(facts.record.submitted_ms)}; no worker has started it yet,"
        f" {waiting(length)} in the queue control{'' if facts.serving.get('control') else '; 0 workers serve it'}",
        help="start a worker: orchestrator worker --queues tool,control",
        since_ms=facts.record.submitted_ms,
        queue="control",
    )


def _pause(facts: Facts) -> str:
    return f"paused since {time_of_day(facts.record.paused_ms)} by {facts.record.paused_by}"


def _paused(facts: Facts) -> Why:
    """Somebody has paused it; what ran then goes on to its end."""
    running = sum(each.state in (InstanceState.RUNNING, InstanceState.LATE) for each in facts.open.values())
    still = f"; {running} of its steps still run" if running else ""
    return Why(
        instance="",
        state="paused",
        because=f"{_pause(facts)}{still}",
        help=f"orchestrator resume {facts.record.run}",
        since_ms=facts.record.paused_ms,
    )


def _closing(facts: Facts) -> Why:
    return Why(instance="", state=facts.record.state, because="all of its steps have ended; it closes in a moment")


def _ended_run(facts: Facts) -> Why:
    """How it ended, after how long, and because of what."""
    record = facts.record
    took = (
        f" after {(record.ended_ms - record.started_ms) / 1000:,.1f} s" if record.ended_ms and record.started_ms else ""
    )
    cause = f": {record.error.message}" if record.error else f": {record.halt} failed" if record.halt else ""
    return Why(instance="", state=record.state, because=f"{record.state}{took}{cause}", since_ms=record.ended_ms)
