"""What must hold once a schedule is over: what its runs have come to, and that nothing of them is left lying about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator_client.client.facts import history_of
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Step
from orchestrator_client.contract.run import Outcome, Receipt, status_word
from orchestrator_client.soundness import judge
from tests.plans.interpreter import Interpreter, comparable, receipts
from tests.simulation.plans import INPUTS, Drawn
from tests.simulation.watch import LOST_TRIES, Seen, Violated, Watch

SCOPES = ("sim/default/m", "sim/default/other")
"""Of all models that there are."""


def check(watch: Watch, drawn: Drawn, run_id: str) -> None:
    """All of it, for every run of a schedule; `run_id` is the one that the client submitted."""
    watch.check_store()
    check_nothing_left(watch)
    check_money(watch)
    for name, run in watch.runs.items():
        check_state(name, run)
        check_history(watch, name)
        if not (run.cancelled or run.halted):
            check_flow(name, run)
    main = watch.runs[run_id]
    if drawn.plain and not main.cancelled:
        check_meaning(watch, run_id, main)


def ends_of(run: Seen) -> dict[str, Receipt]:
    """What became of each instance; without those that were cancelled before they started."""
    return {name: Receipt.model_validate_json(end) for name, end in run.outcomes.items() if end != "cancelled"}


def check_nothing_left(watch: Watch) -> None:
    """Nothing is due, nobody waits, and every place and every amount that was reserved is given back (S5, S8)."""
    of_runs = [("HGETALL", key) for keys in map(names.RunKeys, watch.runs) for key in (keys.instances, keys.calls)]
    gates = [("HGET", names.gate(scope), "state") for scope in SCOPES]
    lines = [("ZRANGE", names.waiting(scope), 0, -1) for scope in SCOPES]
    replies = iter(watch.world.wire.ask_all([("ZRANGE", names.TIMETABLE, 0, -1), *of_runs, *gates, *lines]))
    if due := next(replies):
        raise Violated(f"L2 every run has ended, and {due} are still to be looked at")
    for name in watch.runs:
        if left := next(replies) + next(replies):
            raise Violated(f"S7 {name} has ended, and has {left} left")
    for scope in SCOPES:
        state = json.loads(next(replies) or '{"held": {}}')
        if any(state["held"].values()) or state.get("probe"):
            raise Violated(f"S8 all calls have ended, and the gate {scope} holds {state['held']} for {state['probe']}")
    for scope in SCOPES:
        if line := next(replies):
            raise Violated(f"S8 all calls have ended, and at the gate {scope} waits {line}")


def check_money(watch: Watch) -> None:
    """What the calls have cost was spent, whoever made them and whether or not he lived to say so (S5)."""
    for budget in watch.budgets:
        spent, reserved = (
            int(part or 0) for part in watch.world.wire.ask("HMGET", names.budget(budget), "spent", "reserved")
        )
        cost = sum(effect.nano_usd for effect in watch.world.ledger.begun)
        if reserved:
            raise Violated(f"S5 all calls have ended, and {reserved} of {budget} are reserved")
        if spent < cost:
            raise Violated(f"S5 the calls have cost {cost}, and {budget} has {spent} spent")


def check_state(name: str, run: Seen) -> None:
    """The state in which a run closed fits what became of its steps."""
    failed = run.halted or any(end.outcome is Outcome.FAILED for end in counted(run))
    expected = "failed" if failed else "cancelled" if run.cancelled else "succeeded"
    allowed = {expected, "cancelled"} if not run.started else {expected}
    if run.closed not in allowed:
        raise Violated(f"S10 {name} is {run.closed}, and by its steps it is {expected}")


def counted(run: Seen) -> Iterator[Receipt]:
    """Outcomes of what the plan has; of what a step asked for, that step answers."""
    for name, end in ends_of(run).items():
        if run.plan.step_at(name) is not None:
            yield end


def check_history(watch: Watch, name: str) -> None:
    """The judge of finished runs finds nothing wrong with its events."""
    for finding in judge(history_of(watch.world.client._stores, name)).findings:
        if finding.broken:
            raise Violated(f"JUDGE {finding.rule} of {name}: {finding.problems}")


def check_flow(name: str, run: Seen) -> None:
    """Every step was reached, and was skipped only if nothing alive led to it, or its condition says so (S10)."""
    ends, dead = ends_of(run), dict[str, bool]()
    for at in run.plan.order:
        step, end = run.plan.step_by_id[at], ends.get(at)
        if end is None:
            raise Violated(f"S10 {name} has ended, nothing has halted it, and {at} has no outcome")
        dead[at] = not all(_alive(run.plan.step_by_id[before], ends, dead) for before in step.after)
        if step.routed_from:
            dead[at] = dead[at] or not any(_taken(run, router, at, ends, dead) for router in step.routed_from)
        skipped = end.outcome is Outcome.SKIPPED
        lost = end.error is not None and end.error.type == "WorkerLost"
        if dead[at] and not skipped and not lost:
            raise Violated(f"S10 {at} of {name} is {end.outcome}, and nothing alive leads to it")
        if skipped and not dead[at] and step.condition is None:
            raise Violated(f"S10 {at} of {name} was skipped without a reason: {end.reason}")


def _alive(step: Step, ends: dict[str, Receipt], dead: dict[str, bool]) -> bool:
    match ends[step.id].outcome:
        case Outcome.SUCCEEDED:
            return True
        case Outcome.SKIPPED:
            return not dead[step.id]
        case Outcome.FAILED:
            return step.on_failure is OnFailure.CONTINUE
    return False


def _taken(run: Seen, router: str, target: str, ends: dict[str, Receipt], dead: dict[str, bool]) -> bool:
    if ends[router].outcome is not Outcome.SUCCEEDED:
        return _alive(run.plan.step_by_id[router], ends, dead)
    return target in json.loads(run.values[router])["result"]


def check_meaning(watch: Watch, name: str, run: Seen) -> None:
    """The run came to what the plain reading of its plan comes to (S10)."""
    if any(len(lost) >= LOST_TRIES for at, lost in run.lost.items() if run.plan.step_at(at).loop is not None):
        return  # whose loop has failed because its workers died, nobody reads plainly
    said = Interpreter(run.plan, INPUTS, dies=lambda instance, at: at in run.lost[instance]).run()
    expected, found = dict(receipts(said)), dict(_found(run))
    for loop in [at for at in {*expected, *found} if (step := run.plan.step_at(at)) and step.loop is not None]:
        expected, found = (_without_tries(ends, loop) for ends in (expected, found))
    if said.halts:
        expected = {at: end for at, end in expected.items() if at in found}
    if found != expected:
        wrong = {
            at: (found.get(at), expected.get(at)) for at in {*found, *expected} if found.get(at) != expected.get(at)
        }
        raise Violated(f"S10 {name}: found and expected differ in {wrong}")
    if not said.halts:
        outputs = json.loads(watch.world.wire.ask("HGET", names.RunKeys(name).record, "outputs"))
        if outputs != said.outputs():
            raise Violated(f"S10 {name}: its outputs are {outputs}; they should be {said.outputs()}")


def _found(run: Seen) -> Iterator[tuple[str, tuple[str, Any, int]]]:
    for at, end in ends_of(run).items():
        if end.outcome is not Outcome.CANCELLED:
            value = json.loads(run.values.get(at, b"null")) or {}
            yield at, (status_word(end.outcome), comparable(value), max(0, end.attempt - 1 - end.excused) + 1)


def _without_tries(ends: dict[str, Any], loop: str) -> dict[str, Any]:
    return {**ends, loop: ends[loop][:2]} if loop in ends else ends
