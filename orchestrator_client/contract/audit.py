"""The audit log: who has done what to runs, budgets and limits, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from orchestrator_client.contract.plan import Json

WHO_CHARACTERS = 200
"""Longest name of whoever acts; the rest is cut."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `who` is what the client said of itself: with a Redis user a person, the log is as good as those are."""

    id: str
    """Of the stream; entries are in the order of their ids."""
    at_ms: int
    """By Redis's clock, since 1970."""
    act: str
    """`submit`, `cancel`, `answer`, `set`, `budget`, `limits`, …: the verb of the script that wrote it."""
    run: str
    """The run that it was done to; empty for what is the fleet's."""
    who: str
    data: Mapping[str, Json] = field(default_factory=dict)
    """What more is to be said: never a value, an input or a secret."""

    @classmethod
    def from_stream(cls, entry: str, fields: Mapping[str, str]) -> AuditEntry:
        """From the fields that `audit` in clock.lua writes."""
        at, act, run, who = (fields[name] for name in ("at", "act", "run", "who"))
        return cls(entry, int(float(at)), act, run, who, json.loads(fields["data"]))

    def as_dict(self) -> dict[str, Json]:
        """The same for `--json`."""
        return asdict(self)
