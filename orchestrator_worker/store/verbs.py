"""The life of runs and of their attempts: one method a script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RunNotFound
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.run import CALLED, ErrorInfo, Outcome, Receipt, RunState, Submission
from orchestrator_client.contract.scripts import __name__ as SHARED_SCRIPTS
from orchestrator_client.contract.submission import accepted, submit_command
from orchestrator_worker.pace import Expectation
from orchestrator_worker.records import (
    Admitted,
    Arrival,
    Asked,
    Asking,
    Caller,
    Claim,
    Due,
    Leave,
    Parking,
    Ready,
    Refusal,
    Repair,
    Report,
    Settlement,
)
from orchestrator_worker.store.connection import ms, text
from orchestrator_worker.store.values import Values

UNTOLD = ("limit", "scopes")
"""Why an attempt leaves without an event of its own: a gate tells, or the steps of its scopes do."""

LATE_BEATS = 3
"""Beats in which a worker whose lease has run out may still renew it."""

EVENT_OF: Mapping[Outcome, EventKind] = {
    Outcome.SUCCEEDED: EventKind.STEP_SUCCEEDED,
    Outcome.FAILED: EventKind.STEP_FAILED,
    Outcome.SKIPPED: EventKind.STEP_SKIPPED,
    Outcome.CANCELLED: EventKind.STEP_CANCELLED,
}


class Verbs(Values):
    """What is done to runs, each in one script."""

    def submit(self, submission: Submission) -> bool:
        """Record a run; False if it was recorded before."""
        return accepted(self._submit(submission), submission)

    def start_child(self, submission: Submission) -> bool | None:
        """Record the run that a step starts; False if it was recorded before, None if the step may not start any."""
        reply = self._submit(submission)
        return None if reply < 0 else reply == 1

    def _submit(self, submission: Submission) -> int:
        command = submit_command(submission, self._on.ttl_seconds)
        return int(self._shared("submit", command.keys, command.args))

    def cancel(self, run: str) -> None:
        """Wish the end of a run, and of all that it has started."""
        keys = names.RunKeys(run)
        self._shared("cancel", [keys.record, keys.events, names.TIMETABLE], [self._on.ttl_seconds, run, ""])

    def _shared(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The reply of a script that the client has too."""
        return self._on.run(script, keys, args, SHARED_SCRIPTS)

    def start_run(
        self, run: str, entries: Iterable[tuple[str, str]], size_key: str, expected: Expectation
    ) -> tuple[str, Caller | None]:
        """Open a run: its entry instances, each with its queue, become ready.

        Returns `started`, `cancelled`, or the state of a run that was started before; and who waited for a run that
        was cancelled before it began.
        """
        keys = names.RunKeys(run)
        flat = [part for entry in entries for part in entry]
        reply = self._on.run(
            "start_run",
            [keys.record, keys.instances, keys.events, names.TIMETABLE, size_key, keys.work],
            [self._on.ttl_seconds, run, self._on.hint_ms, json.dumps(asdict(expected)), *flat],
        )
        if reply is None:
            raise RunNotFound(run)
        return text(reply[0]), _caller(reply)

    def claim(
        self,
        run: str,
        instance: str,
        attempt: int,
        token: str,
        worker: str,
        reads: Sequence[str],
        scopes: Sequence[str] = (),
    ) -> Claim | Refusal:
        """Start an attempt, taking its lease, and read the values of the instances that it reads, and what the scopes
        around it are to know."""
        keys = names.RunKeys(run)
        reply = self._on.run(
            "claim",
            [
                keys.record,
                keys.instances,
                keys.values,
                keys.receipts,
                keys.events,
                names.TIMETABLE,
                keys.calls,
                keys.memos,
                keys.arrivals,
            ],
            [
                self._on.ttl_seconds,
                run,
                instance,
                attempt,
                ms(self._on.config.lease_seconds),
                token,
                json.dumps({"worker": worker}),
                self._on.hint_ms,
                len(scopes),
                *scopes,
                *reads,
            ],
        )
        if text(reply[0]) != "go":
            return Refusal(text(reply[0]))
        _, now, dead, excused, call, memo, deltas, ended, failed, versions, pauses, *more = reply
        waited_ms, receipt, value, *found = more
        known = dict(zip(scopes, found, strict=False))
        return Claim(
            started_ms=int(now),
            dead=bool(dead),
            values=self._decoded(run, dict(zip(reads, found[len(scopes) :], strict=True))),
            excused=int(excused),
            admitted=Admitted.from_stored(call) if call else None,
            memo=json.loads(memo) if memo else None,
            deltas=deltas == b"1",
            ended=int(ended or 0),
            failed=int(failed or 0),
            variables=int(versions or 0),
            pauses_ms=int(pauses or 0),
            waited_seconds=int(waited_ms) / 1000,
            kept=self._kept(run, instance, receipt, value) if receipt else None,
            scopes={scope: json.loads(stored) for scope, stored in known.items() if stored},
        )

    def settle(
        self,
        run: str,
        instance: str,
        receipt: Receipt,
        value: Json,
        arrivals: Sequence[Arrival],
        growth_key: str,
        halts: bool,
        counts: bool,
        report: Report | None = None,
    ) -> tuple[Settlement, list[Ready]]:
        """Record an attempt's outcome and value, arrive at its successors, grow the chord.

        `counts` says whether a failure makes the run one without success; `report` how its model call ended. Returns
        what became of it, and the instances that became ready, whose messages are now to be published.

        Raises:
            ValueTooLarge: the value passes the cap; nothing was recorded.
        """
        keys = names.RunKeys(run)
        stored, large = self._encoded(instance, value)
        reply = self._on.run(
            "settle",
            [
                keys.record,
                keys.instances,
                keys.values,
                keys.receipts,
                keys.arrivals,
                keys.events,
                names.TIMETABLE,
                growth_key,
                keys.value(instance),
            ],
            [
                self._on.ttl_seconds,
                run,
                instance,
                receipt.attempt,
                receipt.model_dump_json(exclude_defaults=True, exclude={"ended_ms"}),
                EVENT_OF[receipt.outcome],
                _event_data(receipt),
                stored,
                int(large),
                int(halts),
                self._on.hint_ms,
                int(counts),
                report.to_json() if report else "",
                *(part for arrival in arrivals for part in _flat(arrival)),
            ],
        )
        ready = zip(reply[1::2], reply[2::2], strict=True)
        return Settlement(text(reply[0])), [Ready(text(instance), int(number)) for instance, number in ready]

    def park(self, run: str, instance: str, attempt: int, leave: Leave, growth_key: str) -> tuple[Parking, int]:
        """End an attempt without an outcome.

        Returns what became of it, and the number of the instance's next attempt (0 if it has none).
        """
        keys = names.RunKeys(run)
        wait_ms = ms(leave.wait_seconds)
        data: dict[str, Json] = {"reason": leave.reason} | ({"delay_ms": wait_ms} if wait_ms else {})
        data |= {"error": leave.error.model_dump()} if leave.error else {}
        if leave.child:
            data["run"] = leave.child
        if leave.asked and leave.seen is None:
            data["asked"] = [asked.instance for asked in leave.asked]
        if leave.question is not None:
            data = leave.question.announcement(leave.number)
        asked = [part for one in leave.asked for part in (one.instance, one.queue, _memo(one.memo))]
        reply = self._on.run(
            "park",
            [
                keys.record,
                keys.instances,
                keys.events,
                names.TIMETABLE,
                keys.memos,
                growth_key,
                keys.arrivals,
                keys.questions,
            ],
            [
                self._on.ttl_seconds,
                run,
                instance,
                attempt,
                wait_ms,
                leave.excused,
                "" if leave.reason in UNTOLD else json.dumps(data),
                leave.report.to_json() if leave.report else "",
                _memo(leave.memo),
                self._on.hint_ms,
                -1 if leave.seen is None else leave.seen,
                leave.question.model_dump_json(exclude_defaults=True) if leave.question else "",
                leave.number,
                leave.child,
                leave.scopes,
                int(leave.all_scopes),
                *asked,
            ],
        )
        return Parking(text(reply[0])), int(reply[1]) if len(reply) > 1 else 0

    def begin_call(self, run: str, instance: str, attempt: int, repeatable: bool) -> bool:
        """Record that an attempt calls its tool now; False if it does not hold its instance any more."""
        said = next(word for word, again in CALLED.items() if again is repeatable)
        arguments = [self._on.ttl_seconds, instance, attempt, said]
        return bool(self._on.run("begin_call", [names.RunKeys(run).instances], arguments))

    def report_progress(self, run: str, instance: str, attempt: int, said: Mapping[str, Json]) -> bool:
        """Say how far an attempt is; False if it does not hold its instance any more."""
        keys = names.RunKeys(run)
        arguments = [self._on.ttl_seconds, instance, attempt, json.dumps(said)]
        return bool(self._on.run("report_progress", [keys.instances, keys.events], arguments))

    def ask(self, run: str, instance: str, attempt: int, asked: Asked, growth_key: str) -> Asking:
        """Make a step ready that a running attempt asks for, and let that go on."""
        keys = names.RunKeys(run)
        reply = self._on.run(
            "ask",
            [keys.record, keys.instances, keys.memos, growth_key],
            [
                self._on.ttl_seconds,
                run,
                instance,
                attempt,
                asked.instance,
                asked.queue,
                _memo(asked.memo),
                self._on.hint_ms,
            ],
        )
        return Asking(text(reply))

    def renew(self, held: Sequence[tuple[str, str, int]]) -> list[str]:
        """Renew the leases of these attempts: for each `held`, `cancel` or `lost`."""
        flat = [part for attempt in held for part in attempt]
        reply = self._on.run("renew", [names.TIMETABLE], [ms(self._on.config.lease_seconds), *flat])
        return [text(answer) for answer in reply]

    def sweep(self, at_most: int = 200, every_seconds: float = 0.0) -> list[Due]:
        """What is due now. With `every_seconds`, nothing if anybody swept that recently."""
        hint_ms = self._on.hint_ms
        reply = self._on.run(
            "sweep",
            [names.TIMETABLE, names.SWEEPER, names.SWEPT],
            [
                self._on.ttl_seconds,
                ms(every_seconds),
                at_most,
                hint_ms,
                self._on.ttl_seconds * 1000 // 4,
                ms(LATE_BEATS * self._on.config.beat_seconds),
                ms(self._on.config.lease_seconds),
            ],
        )
        rows = [reply[first : first + 6] for first in range(0, len(reply), 6)]
        return [Due(Repair(text(r[0])), text(r[1]), text(r[2]), int(r[3]), text(r[4]), int(r[5])) for r in rows]

    def close_run(
        self, run: str, pipeline: str, state: RunState, outputs: Mapping[str, Json], error: ErrorInfo | None
    ) -> tuple[str, Caller | None]:
        """End a run: `closed`, `open` (something still is), or `ended` (it was before); and who waited for it."""
        keys = names.RunKeys(run)
        failure = error.model_dump_json() if error else ""
        data = {"state": state} | ({"error": error.model_dump()} if error else {})
        reply = self._on.run(
            "close_run",
            [keys.record, keys.events, names.TIMETABLE, keys.work, names.pace(pipeline)],
            [
                self._on.ttl_seconds,
                run,
                state,
                json.dumps(outputs),
                failure,
                json.dumps(data),
                self._on.hint_ms,
                names.PACE_TTL_SECONDS,
            ],
        )
        return text(reply[0]), _caller(reply)

    def abandon_run(self, run: str, instance: str, error: ErrorInfo) -> tuple[str, Caller | None]:
        """Fail a run whose records cannot be used: `closed`, or `ended` (it was, or has no record); and who waited."""
        keys = names.RunKeys(run)
        data = json.dumps({"state": RunState.FAILED, "error": error.model_dump()})
        reply = self._on.run(
            "abandon_run",
            [keys.record, keys.events, names.TIMETABLE],
            [self._on.ttl_seconds, run, instance, error.model_dump_json(), data, self._on.hint_ms],
        )
        return text(reply[0]), _caller(reply)

    def carry(self, run: str, canvas: Mapping[str, Json]) -> None:
        """Keep what a canvas of somebody else's expects of this run's task, until the run closes."""
        stored = json.dumps(canvas)
        self._on.patiently(lambda: self._on.redis.hset(names.RunKeys(run).record, "canvas", stored))


def _caller(reply: Sequence[Any]) -> Caller | None:
    """Who waited for a run that has ended, and is ready now."""
    return Caller(text(reply[1]), text(reply[2]), int(reply[3])) if len(reply) > 1 else None


def _flat(arrival: Arrival) -> tuple[str, int, str, str, int]:
    return arrival.instance, arrival.need, arrival.queue, arrival.edge, int(arrival.alive)


def _event_data(receipt: Receipt) -> str:
    shown = receipt.model_dump(
        mode="json",
        include={"started_ms", "reason", "error", "usage", "model", "selection", "uses", "cached", "kept_from"},
        exclude_defaults=True,
    )
    if receipt.quality is not None:
        shown["quality"] = receipt.quality.model_dump(mode="json")
    return json.dumps(shown)


def _memo(memo: Json) -> str:
    return "" if memo is None else json.dumps(memo, separators=(",", ":"))
