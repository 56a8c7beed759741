"""How a run is recorded: keys and arguments of `submit.lua`, for whoever speaks to Redis."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import InputsInvalid, RunConflict
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.question import NOTHING_TOLD
from orchestrator_client.contract.run import Submission

LOOK_AGAIN_MS = 5_000
"""A submitted run that no worker has started by then is announced again by `sweep`."""


@dataclass(frozen=True, slots=True)
class Command:
    """Keys and arguments of one script."""

    keys: list[str]
    args: list[str | int | bytes]


def submit_command(submission: Submission, ttl_seconds: int) -> Command:
    """What `submit.lua` takes.

    Raises:
        InputsInvalid: the inputs are larger than the cap, or not JSON.
    """
    inputs = _inputs_json(submission.inputs)
    keys, plan = names.RunKeys(submission.run), submission.plan
    answers = submission.answers.model_dump_json() if submission.answers != NOTHING_TOLD else ""
    allowed = "" if submission.allow_tools is None else json.dumps(submission.allow_tools)
    told = "".join(f"\n{part}" for part in (answers, allowed, submission.forked_from) if part)
    digest = hashlib.sha256(f"{plan.hash}\n{inputs}{told}".encode()).hexdigest()
    return Command(
        keys=[keys.record, keys.plan, keys.events, names.RUNS, names.TIMETABLE],
        args=[
            ttl_seconds,
            submission.run,
            digest,
            plan.id,
            plan.hash,
            pack(plan.to_json()),
            inputs,
            json.dumps(submission.tags),
            len(plan.steps),
            LOOK_AGAIN_MS,
            submission.tenant,
            submission.budget.model_dump_json() if submission.budget else "",
            "1" if submission.deltas else "",
            answers,
            *((p.run, p.instance, p.attempt, p.depth, p.root) if (p := submission.parent) else ("", "", 0, 0, "")),
            allowed,
            submission.who,
            json.dumps(_audited(submission)),
            submission.forked_from,
            submission.variables,
            submission.traceparent,
            submission.webhook.model_dump_json(exclude_defaults=True) if submission.webhook else "",
        ],
    )


def _audited(submission: Submission) -> dict[str, Json]:
    """What the audit log says of a submission: what it was granted, and none of its inputs."""
    said: dict[str, Json] = {"pipeline": submission.plan.id, "plan": submission.plan.hash}
    if submission.tenant:
        said["tenant"] = submission.tenant
    if submission.budget is not None:
        said["budget"] = submission.budget.model_dump(mode="json")
    if submission.forked_from:
        said["forked_from"] = submission.forked_from
    if submission.allow_tools is not None:
        said["allow_tools"] = list(submission.allow_tools)
    return said


def accepted(reply: int, submission: Submission) -> bool:
    """Whether this submission recorded the run; False if the same was recorded before.

    Raises:
        RunConflict: another submission has this run's id.
    """
    if reply < 0:
        raise RunConflict(submission.idempotency_key or submission.run, submission.run)
    return reply == 1


def run_id_for(plan: Plan, idempotency_key: str | None) -> str:
    """A new id, or the one id that this key stands for, whatever the pipeline."""
    if idempotency_key is None:
        return names.new_run_id(plan.id)
    return f"run_{hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]}"


def pack(text: str) -> bytes:
    """Text as it is stored when it is large."""
    return zlib.compress(text.encode(), 1)


def unpack(stored: bytes) -> str:
    return zlib.decompress(stored).decode()


def load_plan(stored: bytes) -> Plan:
    """A plan from its stored form."""
    return Plan.from_json(unpack(stored))


def _inputs_json(inputs: dict[str, Json]) -> str:
    try:
        text = json.dumps(inputs, allow_nan=False, sort_keys=True, ensure_ascii=False)
        size = len(text.encode())  # half of a surrogate pair is text for Python, and for nobody else
    except (TypeError, ValueError, RecursionError) as error:
        raise InputsInvalid([f"the inputs are not JSON: {error}"]) from error
    if size > caps.INPUT_BYTES:
        raise InputsInvalid([f"the inputs are {size} bytes of JSON; at most {caps.INPUT_BYTES} are taken"])
    return text
