"""Schedules: pipelines that are run at times which a cron expression names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.record import Record
from orchestrator_client.contract.run import RunBudget

TTL_SECONDS = 400 * 24 * 3600
"""Life of a schedule after it was last fired or looked at."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")


class Overlap(StrEnum):
    """What becomes of a run that is due while the one before it has not ended."""

    SKIP = "skip"
    """It is left out."""
    QUEUE = "queue"
    """It begins when that one has ended; more than one that are due then are one."""
    ALLOW = "allow"
    """It begins."""


class Schedule(Record):
    """One schedule. Times are milliseconds since 1970, by Redis's clock."""

    name: str
    cron: str
    tz: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    pipeline: str
    plan_hash: str
    tags: tuple[str, ...] = ()
    tenant: str = ""
    budget: RunBudget | None = None
    """Of each run."""
    allow_tools: tuple[str, ...] | None = None
    by: str = ""
    """Who has made it."""
    created_ms: int = 0
    next_ms: int | None = None
    """When it is due; None while it is paused."""
    paused_by: str = ""
    """Who has paused it; empty while it is not paused."""
    last_ms: int | None = None
    """When it was last due and fired."""
    last_run: str = ""
    fired: int = 0
    skipped: int = 0
    """Times that it was due while its last run had not ended."""


def next_after(cron: str, tz: str, after_ms: int) -> int:
    """The first time after a moment, ms since 1970.

    For a time of day that the clocks jump over at the beginning of summer time, it is the first moment behind the
    jump; one that comes twice at its end counts once.

    Raises:
        InputsInvalid: the expression or the time zone is none; says which field.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from cronsim import CronSim, CronSimError

    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise InputsInvalid([f"cron '{cron[:80]}': {len(fields)} fields; write five: {', '.join(_FIELDS)}"])
    try:
        zone = ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputsInvalid([f"time zone '{tz[:80]}' is not known; write one such as Europe/Zurich"]) from None
    try:
        found = next(CronSim(" ".join(fields), datetime.fromtimestamp(after_ms / 1000, zone)))
    except CronSimError as error:
        at = next((at for at, field in enumerate(_FIELDS) if str(error).endswith(f" {field}")), None)
        where = f"field {at + 1}, {_FIELDS[at]}, '{fields[at]}'" if at is not None else str(error)
        raise InputsInvalid([f"cron '{cron[:80]}': {where} cannot be"]) from None
    except StopIteration:
        raise InputsInvalid([f"cron '{cron[:80]}' is never due"]) from None
    return round(found.astimezone(UTC).timestamp() * 1000)
