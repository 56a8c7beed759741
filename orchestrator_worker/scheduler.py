"""Advance a run: start it, act on what an attempt wants, repair it, close it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Self, assert_never

from orchestrator_client.contract import catalog, names
from orchestrator_client.contract.errors import (
    OrchestratorError,
    RecordsBroken,
    RunNotFound,
    StepCancelled,
    StoreUnavailable,
    ToolFailed,
    ValueTooLarge,
    WorkerLost,
)
from orchestrator_client.contract.message import Hint
from orchestrator_client.contract.plan import Json, Plan, Step
from orchestrator_client.contract.run import ErrorInfo, Outcome, RunRecord, RunState, Submission
from orchestrator_client.contract.trace import RunTrace
from orchestrator_worker import lifecycle, meters, traces
from orchestrator_worker.admission import Admission, is_model, queue_of, step_of
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.places import Place, place_of
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.ending import error_of, outputs_of
from orchestrator_worker.lifecycle import Final, Standing
from orchestrator_worker.pace import expectation
from orchestrator_worker.records import (
    Arrival,
    Asked,
    Asking,
    Caller,
    Due,
    Leave,
    OpenRun,
    Parking,
    Ready,
    Repair,
    Settlement,
)
from orchestrator_worker.recovery import Recovery
from orchestrator_worker.steps.base import Descend, Fail, Readmit, Want
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)

FOREIGN_CANVAS = "a Celery canvas"
"""Who submits the runs of `run_pipeline`, as the audit log has it: its messages name nobody."""

QUIET_QUEUE_MS = 300_000
"""A ready instance this old is sent again even if its queue is not empty: its message may be lost all the same."""


MODELS_AT_ONCE = 50
"""Model steps that are described before the first of their messages is sent: one takes half a millisecond."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that a worker holds, or held."""

    run: OpenRun
    graph: Graph
    place: Place
    standing: Standing
    step: Step
    asked: AskedStep | None = None
    """Set where a model asked for the step."""

    @classmethod
    def at(cls, run: OpenRun, graph: Graph, place: Place, standing: Standing, memo: Json) -> Self:
        """The attempt at an instance, which the plan knows, or else its memo."""
        if place.step is not None:
            return cls(run, graph, place, standing, place.step)
        asked = AskedStep.of_memo(memo)
        return cls(run, graph, place, replace(standing, asked_for=True), asked.step(place.instance), asked)

    def saying(self, repeatable: bool) -> Self:
        """The same, with what its tool says of itself."""
        return replace(self, standing=replace(self.standing, repeatable=repeatable))

    @property
    def instance(self) -> str:
        return self.place.instance

    @property
    def key(self) -> tuple[str, str, int]:
        """Run, instance and number: what fences its writes."""
        return self.run.run, self.instance, self.standing.number


@dataclass(frozen=True, slots=True)
class Left:
    """The worker has nothing to answer for: parked, refused, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The instance has its receipt."""

    outcome: Outcome
    message: str = ""


Verdict = Left | Ended


class Scheduler:
    """The thin one: what it decides is pure, what it does is a script and a publication."""

    def __init__(self, store: Store, canvas: Canvas, runs: Runs, admission: Admission) -> None:
        self._store, self._canvas, self._runs, self._admission = store, canvas, runs, admission

    def adopt(self, run_id: str, plan_json: str, inputs_json: str, carried: dict[str, Json] | None) -> None:
        """Record a run whose plan came in a message, from a canvas that waits for it.

        Raises:
            InputsInvalid: the inputs do not fit the plan.
        """
        plan = Plan.from_json(plan_json)
        inputs = plan.bind(json.loads(inputs_json))
        self._store.submit(Submission(run=run_id, plan=plan, inputs=inputs, who=FOREIGN_CANVAS))
        if carried is not None:
            self._store.carry(run_id, carried)

    def start(self, run_id: str) -> RunRecord | None:
        """Open the run's chord and publish its entry steps. Returns the record of a run that was cancelled before."""
        run, graph = self._runs.open(run_id)
        expected = expectation(graph.plan, self._store.pace(graph.plan.id))
        became, caller = self._store.start_run(run_id, graph.entries, self._canvas.size_key(run_id), expected)
        self._call_back(caller)
        if became == "started":
            self._publish(run, graph, [Ready(step, 1) for step, _ in graph.entries])
        record = self._store.record(run_id) if became == RunState.CANCELLED else None
        return record if record is not None and record.started_ms is None else None

    def conclude(self, attempt: Attempt, want: Want) -> Verdict:
        """Act on what an attempt wants: let it leave for now, or settle it; and publish what became ready."""
        if isinstance(want, Fail) and want.abandons:
            self._store.cancel(want.abandons)
        if isinstance(want, Descend) and want.starts is not None and not self._start_child(want.starts):
            want = Fail(StepCancelled(f"its run ended before {want.child} could start"))
        match lifecycle.decide(attempt.step, attempt.standing, want):
            case Leave() as leave:
                call = want.call if isinstance(want, Readmit) else None
                return self._leave(attempt, leave, call)
            case Final() as final:
                return self._settle(attempt, final)
            case other:
                assert_never(other)

    def ask(self, run_id: str, instance: str, number: int, asked: Asked) -> Asking:
        """Start a step that a running attempt asks for; the attempt goes on meanwhile."""
        run, graph = self._runs.open(run_id)
        answer = self._store.ask(run_id, instance, number, asked, self._canvas.growth_key(run_id))
        if answer is Asking.READY:
            self._publish(run, graph, [Ready(asked.instance, 1)])
        return answer

    def give_up(self, run_id: str, instance: str, number: int, error: OrchestratorError, worker: str = "") -> None:
        """Conclude an attempt whose own process cannot: it died, was killed, or hangs.

        The instance's message is sent once more afterwards, so that a part of the chord returns for it.
        """
        attempt = self._attempt(run_id, instance, number, worker)
        if attempt is not None and isinstance(self.conclude(attempt, Fail(error)), Ended):
            self._send(attempt.run, attempt.graph, [(Ready(instance, number), queue_of(attempt.graph, instance))])

    def hand_back(self, run_id: str, instance: str, number: int) -> None:
        """Return an attempt that this worker can no longer finish; another one takes it at once, if it may be done
        twice."""
        leave = Leave("handed back by a worker that stops", first=True, excused=1)
        attempt = self._attempt(run_id, instance, number)
        if attempt is not None and not lifecycle.may_be_done_twice(attempt.step, attempt.standing):
            self.give_up(run_id, instance, number, WorkerLost("its worker was stopped before it ended"))
        elif attempt is not None and isinstance(self._leave(attempt, leave), Ended):
            self._send(attempt.run, attempt.graph, [(Ready(instance, number), queue_of(attempt.graph, instance))])

    def promote(self) -> float | None:
        """Publish the calls that their gates let through now.

        Returns the seconds until there may be more; None where none waits.
        """
        due_seconds, promoted = self._store.promote()
        for call in promoted:
            meters.stage("limit", call.queue, call.waited_seconds)
        for run_id, calls in groupby(sorted(promoted, key=attrgetter("run")), key=attrgetter("run")):
            run, graph = self._runs.open(run_id)
            self._send(run, graph, [(Ready(call.instance, call.attempt), call.queue) for call in calls])
        return due_seconds

    def sweep(self, every_seconds: float = 0.0) -> list[Due]:
        """Repair what the store says is due; returns what was found."""
        found = self._store.sweep(every_seconds=every_seconds)
        # Looked at before anything is sent: what this sweep sends must not hide that a queue was empty.
        queues = {due.queue for due in found if due.repair is Repair.REPUBLISH}
        empty = {queue for queue in queues if self._store.queue_depth(queue) == 0}
        for due in found:
            try:
                self._repair(due, empty)
            except RunNotFound:
                logger.warning("run %s: its plan is gone from the store; it cannot go on", due.run)
            except StoreUnavailable:
                raise
            except RecordsBroken as broken:
                self._abandon(due, broken)
            except OrchestratorError:
                logger.exception(
                    "run %s: %s of %r failed; the next sweep tries again", due.run, due.repair, due.instance
                )
        return found

    def close(self, run_id: str) -> RunRecord | None:
        """End a run of which nothing is open; None if something is, or the run has ended before."""
        record = self._store.record(run_id)
        if record.state is not RunState.RUNNING or record.open > 0:
            return None
        run, graph = self._runs.open(run_id)
        outputs, problem = outputs_of(self._store, run, graph, record)
        error = error_of(self._store, record, problem)
        state = lifecycle.final_state(record, failed=record.failed > 0 or error is not None)
        error = error if state is RunState.FAILED else None
        became, caller = self._store.close_run(run_id, record.pipeline, state, outputs, error)
        self._call_back(caller)
        if became != "closed":
            return None
        record = self._store.record(run_id)
        if traces.on():
            traces.run(run, record)
        return record

    # --- inside ------------------------------------------------------------------------------------------------

    def _start_child(self, submission: Submission) -> bool:
        """Record the run that a step starts, and announce it; False if the step may not start any (any more)."""
        if traces.on() and (parent := submission.parent) is not None:
            trace = RunTrace.of(parent.run, self._runs.open(parent.run)[0].traceparent)
            submission = submission.model_copy(update={"traceparent": trace.traceparent(parent.instance)})
        recorded = self._store.start_child(submission)
        if recorded:
            self._canvas.publish_start(submission.run)
        return recorded is not None

    def _call_back(self, caller: Caller | None) -> None:
        """Send the message of the step that waited for a run which has ended."""
        if caller is not None:
            self._publish(*self._runs.open(caller.run), [Ready(caller.instance, caller.attempt)])

    def _attempt(self, run_id: str, instance: str, number: int, worker: str = "") -> Attempt | None:
        """An attempt that is none of this process's; None if what it was about is gone."""
        run, graph = self._runs.open(run_id)
        opened, memo = self._store.left_by(run_id, instance)
        place = place_of(graph, instance)
        if place.step is None and memo is None:
            return None
        kept, is_handled = Recovery.kept_at(instance), place.step is not None and bool(place.step.handlers)
        recovery = Recovery.of(self._store.memos(run_id, [kept]).get(kept)) if is_handled else None
        at = Standing(number, opened.excused if opened else 0, worker=worker, recovery=recovery)
        attempt = Attempt.at(run, graph, place, at, memo)
        return attempt.saying(_may_call_again(attempt.step.uses, opened.may_call_again if opened else None))

    def _leave(self, attempt: Attempt, leave: Leave, call: str | None = None) -> Verdict:
        """`call` describes the call that the attempt asks its gate for, where that is known."""
        run, graph, instance = attempt.run, attempt.graph, attempt.instance
        if leave.recovery is not None:
            leave = replace(leave, asked=(*leave.asked, Asked(Recovery.kept_at(instance), "", leave.recovery)))
        if traces.on() and attempt.standing.number == 1 and attempt.standing.started_ms:
            self._store.note_start(run.run, instance, attempt.standing.started_ms)
        parked, number = self._store.park(*attempt.key, leave, self._canvas.growth_key(run.run))
        started = [Ready(asked.instance, 1) for asked in leave.asked if asked.queue]
        match parked:
            case Parking.HALTED:
                reason = leave.error.message if leave.error else leave.reason
                halted = Fail(StepCancelled(f"the run ended after {reason}"), report=leave.report)
                return self.conclude(attempt, halted)
            case Parking.READY if call is not None:
                self._send(run, graph, self._admission.let_one_through(run, Ready(instance, number), call))
            case Parking.READY:
                self._publish(run, graph, [*started, Ready(instance, number, leave.first)])
            case Parking.PARKED:
                self._publish(run, graph, started)
            case Parking.REFUSED:
                pass
            case _:
                assert_never(parked)
        return Left()

    def _settle(self, attempt: Attempt, final: Final) -> Verdict:
        growth = self._canvas.growth_key(attempt.run.run)
        try:
            settled, ready = self._store.settle(
                attempt.run.run,
                attempt.instance,
                final.receipt,
                final.value,
                self._arrivals(attempt, final),
                growth,
                halts=final.halts,
                counts=final.counts,
                report=final.report,
            )
        except ValueTooLarge as error:
            return self.conclude(attempt, Fail(error, report=final.report))
        except (TypeError, ValueError, RecursionError) as error:
            left = ToolFailed(f"step '{attempt.instance}' left what is not JSON: {error}")
            return self.conclude(attempt, Fail(left, report=final.report))
        if settled is Settlement.REFUSED:
            return Left()
        self._publish(attempt.run, attempt.graph, ready)
        if traces.on():
            number = final.receipt.attempt
            first_ms = self._store.noted_start(attempt.run.run, attempt.instance) if number > 1 else None
            began_ms = first_ms or final.receipt.started_ms
            traces.step(attempt.run, attempt.step, attempt.instance, final.receipt, began_ms)
        return Ended(final.receipt.outcome, final.receipt.explanation)

    @staticmethod
    def _arrivals(attempt: Attempt, final: Final) -> list[Arrival]:
        if (asked := attempt.asked) is not None:
            return [Arrival(asked.return_edge, asked.of, "", "return", alive=True)]
        place = attempt.place
        arrivals = [
            Arrival(
                f"{place.prefix}{edge.step}",
                edge.need,
                edge.queue,
                "route" if edge.route else "order",
                final.arrives_alive(edge),
            )
            for edge in place.graph.successors[attempt.step.id]
        ]
        if not arrivals and place.scopes:
            arrivals = [Arrival(place.scopes[-1].name, len(place.graph.exits), "", "end", alive=True)]
        return arrivals

    def _publish(self, run: OpenRun, graph: Graph, ready: Sequence[Ready]) -> None:
        """Send the messages of these instances; those of model steps as far as their gates let them through."""
        at_once = MODELS_AT_ONCE if any(is_model(graph, one.instance) for one in ready) else len(ready)
        for first in range(0, len(ready), at_once or 1):
            self._send(run, graph, self._admission.let_through(run, graph, ready[first : first + at_once]))

    def _send(self, run: OpenRun, graph: Graph, admitted: Iterable[tuple[Ready, str]]) -> None:
        hints = []
        for ready, queue in admitted:
            step = step_of(graph, ready.instance)
            hint = Hint(run.run, ready.instance, ready.attempt, queue, step.label, step.timeout_seconds, ready.first)
            hints.append(hint)
        if hints:
            self._canvas.publish(hints)

    def _repair(self, due: Due, empty: set[str]) -> None:
        match due.repair:
            case Repair.START:
                self._canvas.publish_start(due.run)
            case Repair.CLOSE:
                self._canvas.publish_close(due.run)
            case Repair.LOST:
                lost = WorkerLost(f"the worker of attempt {due.attempt} was not heard of for a whole lease")
                self.give_up(due.run, due.instance, due.attempt, lost)
            case Repair.PUBLISH:
                self._publish(*self._runs.open(due.run), [Ready(due.instance, due.attempt)])
            case Repair.REPUBLISH:
                # Queues are first in, first out: with an empty one, the message of an unclaimed step is nowhere.
                if due.queue in empty or due.age_ms > QUIET_QUEUE_MS:
                    self._publish(*self._runs.open(due.run), [Ready(due.instance, due.attempt)])
            case Repair.CONCLUDE:
                # It is not performed, only recorded as cancelled, which a worker of any kind can do.
                run, graph = self._runs.open(due.run)
                self._send(run, graph, [(Ready(due.instance, due.attempt), names.CONTROL_QUEUE)])
            case Repair.BROKEN:
                raise RecordsBroken("sweep cannot use what the store has of it")
            case _:
                assert_never(due.repair)

    def _abandon(self, due: Due, broken: RecordsBroken) -> None:
        """End a run that nobody can go on with, so that it is not waited for, and the others are."""
        place = f"step '{due.instance}'" if due.instance else "the run"
        error = RecordsBroken(f"the records of {place} are broken, and the run is lost; submit it again ({broken})")
        logger.error("run %s: %s", due.run, error)
        _, caller = self._store.abandon_run(due.run, due.instance, ErrorInfo.of(error))
        self._call_back(caller)


def _may_call_again(uses: str, said: bool | None) -> bool:
    """Whether the tool of an attempt that is over may be called again: as it has said of itself when it was called. One
    that would have said so, and has not, was not called. Loading it here to ask, where a whole worker might die of it,
    is no way to learn why its process died.
    """
    return said if said is not None else catalog.idempotent(uses) or catalog.declares_itself(uses)
