"""Names that a run binds for all of its steps, and a loop for those of one item or pass. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator_client.contract.plan import Json, Step


def bound_by_run(run: str, pipeline: str, submitted_ms: int) -> dict[str, Any]:
    """One instant for the whole run: that of its submission, ms since 1970."""
    at = datetime.fromtimestamp(submitted_ms / 1000, UTC)
    stamp = at.isoformat()
    execution = {
        "id": run,
        "started_at": stamp,
        "timestamp": stamp,
        "date": f"{at:%Y-%m-%d}",
        "time": f"{at:%H:%M:%S}",
    }
    return {
        "execution": execution,
        "execution_id": run,
        "pipeline_id": pipeline,
        "timestamp": stamp,
        "current_timestamp": stamp,
        "current_date": execution["date"],
    }


def bound_by(loop: Step, index: int, memo: Mapping[str, Json]) -> dict[str, Any]:
    """The names, without those of loops around it; `memo` is what the store keeps of an item, empty for a pass."""
    bound: dict[str, Any] = {
        "index": index,
        "position": index + 1,
        "iteration": index,
        "is_first": index == 0,
        "loop_id": loop.id,
        "loop_name": loop.loop.name if loop.loop else "",
        "has_prev": index > 0,
        "loop": {"index": index + 1, "index0": index, "first": index == 0},
    }
    if (length := memo.get("length")) is None:
        return {**bound, "loop_state": {"iteration": index}}
    last = index + 1 == length
    counted = {"length": length, "remaining": length - index - 1, "is_last": last, "has_next": not last}
    named = {loop.loop.variable: memo["item"]} if loop.loop and loop.loop.variable else {}
    return {**bound, **named, "item": memo["item"], **counted}
