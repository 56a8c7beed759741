"""Schedules in the store, as workers see them."""

from __future__ import annotations

import json

from orchestrator_client.contract import names
from orchestrator_client.contract.run import Submission
from orchestrator_client.contract.schedule import TTL_SECONDS, Schedule
from orchestrator_client.contract.submission import load_plan, submit_command
from orchestrator_worker.records import DueSchedule
from orchestrator_worker.store.connection import Part, ms, text


class Schedules(Part):
    """What is due, and that it is fired."""

    def due_schedules(self, every_seconds: float = 0.0) -> tuple[int, list[DueSchedule]]:
        """Redis's time in ms, and what is due by it. With `every_seconds`, nothing if anybody looked that recently."""
        now, *rows = self._on.run("due_schedules", [names.SCHEDULES, names.WATCHER], [ms(every_seconds)])
        due = []
        for first in range(0, len(rows), 6):
            _, due_ms, data, plan, inputs, created = rows[first : first + 6]
            schedule = Schedule.model_validate_json(data).model_copy(update={"created_ms": int(created)})
            due.append(DueSchedule(schedule, int(due_ms), load_plan(plan), json.loads(inputs)))
        return int(now), due

    def fire_schedule(self, due: DueSchedule, next_ms: int, submission: Submission) -> str:
        """Record the run of a schedule, once: `fired`, `skipped`, `waits` or `refused`."""
        command, schedule = submit_command(submission, self._on.ttl_seconds), due.schedule
        arguments = [
            TTL_SECONDS,
            schedule.name,
            due.due_ms,
            next_ms,
            schedule.overlap,
            self._on.hint_ms,
            submission.run,
        ]
        arguments += [len(command.keys), *command.keys, *command.args]
        return text(self._on.run("fire_schedule", [names.SCHEDULES], arguments))
