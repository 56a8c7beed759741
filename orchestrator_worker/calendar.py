"""Fire the schedules that are due. All workers watch; the store has each fired once."""

from __future__ import annotations

import logging

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import OrchestratorError
from orchestrator_client.contract.run import Submission
from orchestrator_client.contract.schedule import next_after
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.records import DueSchedule
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)


class Calendar:
    """Looks what is due, and has it run."""

    def __init__(self, store: Store, canvas: Canvas) -> None:
        self._store, self._canvas = store, canvas

    def fire(self, every_seconds: float = 0.0) -> list[str]:
        """Fire what is due; with `every_seconds`, nothing if anybody looked that recently. Returns the runs.

        Of times that were missed, because no worker was there, the first is made good, and the others are left out.
        """
        now_ms, due = self._store.due_schedules(every_seconds)
        runs = []
        for one in due:
            try:
                runs += self._fire(one, now_ms)
            except OrchestratorError:
                logger.exception("schedule %s could not be fired; the next beat tries again", one.schedule.name)
        return runs

    def _fire(self, one: DueSchedule, now_ms: int) -> list[str]:
        schedule = one.schedule
        following = next_after(schedule.cron, schedule.tz, max(now_ms, one.due_ms))
        run = names.scheduled_run_id(schedule.pipeline, schedule.name, schedule.created_ms, one.due_ms)
        submission = Submission(
            run=run,
            plan=one.plan,
            inputs=one.inputs,
            tags=(*schedule.tags, f"schedule:{schedule.name}"),
            tenant=schedule.tenant,
            budget=schedule.budget,
            allow_tools=schedule.allow_tools,
        )
        verdict = self._store.fire_schedule(one, following, submission)
        logger.info("schedule %s, due at %d: %s", schedule.name, one.due_ms, verdict)
        if verdict != "fired":
            return []
        self._canvas.publish_start(run)
        return [run]
