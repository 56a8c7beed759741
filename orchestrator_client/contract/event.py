"""Events: what happened in a run, in order, in one Redis Stream a run. Written inside the scripts, read by clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from orchestrator_client.contract.plan import Json, Record


class EventKind(StrEnum):
    """Every kind of event. The fields beyond the common ones are in `Event.data`."""

    RUN_SUBMITTED = "run_submitted"
    """The run is recorded. `data`: pipeline, steps."""
    RUN_STARTED = "run_started"
    """A worker opened its chord. `data`: progress (share of the run's work that is done), ends_ms (about when the run
    ends, where that can be told); as in the event of every step that ends."""
    CANCEL_REQUESTED = "cancel_requested"
    """A client asked for the end."""
    PAUSE_REQUESTED = "pause_requested"
    """Nothing of it starts from here on. `data`: by."""
    RESUME_REQUESTED = "resume_requested"
    """It goes on. `data`: by."""
    STEP_STARTED = "step_started"
    """An attempt holds its lease. `data`: worker."""
    STEP_PROGRESS = "step_progress"
    """A tool says how far its call is; at most a few a second. `data`: fraction (0 to 1), message; either or both."""
    STEP_PARKED = "step_parked"
    """The instance waits in Redis. `data`: reason (`limit`, `budget`, `cache`, `tools`, `turn`, `pause`, or why the
    attempt before ended); scope and words (what a call waits for); delay_ms; error (of the attempt before, if any)."""
    QUESTION_ASKED = "question_asked"
    """The instance waits in Redis for an answer. `data`: number, kind, title, prompt (its beginning), delay_ms (to the
    deadline, if there is one)."""
    QUESTION_ANSWERED = "question_answered"
    """Its answer is recorded, and it goes on. `data`: number, by."""
    STEP_SUCCEEDED = "step_succeeded"
    """`data`: started_ms, usage; quality (score, met, findings: what its plan holds it to, where there is such)."""
    STEP_FAILED = "step_failed"
    """No attempt is left. `data`: started_ms, error {type, message}; quality, as above."""
    STEP_SKIPPED = "step_skipped"
    """`data`: reason."""
    STEP_CANCELLED = "step_cancelled"
    """`data`: reason."""
    VARIABLE_SET = "variable_set"
    """Somebody gave a name a new value. `data`: name, version, by, why; within (an instance, item or pass), seconds
    (for which it holds)."""
    RUN_CLOSED = "run_closed"
    """The last event of every run. `data`: state, error."""


class Delta(Record):
    """A piece of text as a model writes it. Those of one attempt, in the order of `seq`, are its reply."""

    id: str
    """The stream's: pass it to continue behind it."""
    run: str
    instance: str
    attempt: int
    seq: int
    """Counts from 1 within the attempt. A gap means that the stream was trimmed before it was read."""
    text: str


class Dropped(Record):
    """What an attempt wrote so far is void: it died or failed, and another one writes anew."""

    run: str
    instance: str
    attempt: int


class Written(Record):
    """A model step has its receipt: what was read of its last attempt is all there is."""

    run: str
    instance: str
    attempt: int
    text: str = ""
    """The whole text, where none of it was streamed."""


class Event(Record):
    """One event. `id` is the stream's: pass it to continue behind it."""

    id: str
    kind: EventKind
    run: str
    at_ms: int
    """Milliseconds since 1970, by Redis's clock."""
    instance: str = ""
    """Empty for events of the run itself."""
    attempt: int = 0
    data: dict[str, Json] = Field(default_factory=dict)

    @classmethod
    def from_stream(cls, run: str, entry_id: str, fields: Mapping[str, str]) -> Event:
        """From a stream entry whose fields are kind, at, instance, attempt and data (JSON)."""
        return cls(
            id=entry_id,
            kind=EventKind(fields["kind"]),
            run=run,
            at_ms=int(fields["at"]),
            instance=fields.get("instance", ""),
            attempt=int(fields.get("attempt") or 0),
            data=json.loads(fields.get("data") or "{}"),
        )
