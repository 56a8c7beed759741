"""How far a run is, as clients are told."""

from __future__ import annotations

import math

from orchestrator_client.contract.plan import Record
from orchestrator_client.contract.run import RunRecord, RunState


def percent(share: float) -> int:
    """A share as people read it: 100 only for all of it."""
    return math.floor(share * 100)


class RunProgress(Record):
    """How far a run is, and about when it ends. Times are milliseconds since 1970, by Redis's clock."""

    state: RunState
    share: float
    """Of its work, 0 to 1: 1 once it has succeeded and not before. It never goes back."""
    ends_ms: int | None
    """About when it ends, by earlier runs and its own pace; None while nobody can tell, and once it has ended."""
    now_ms: int
    """When this was asked."""

    @classmethod
    def of(cls, record: RunRecord, now_ms: int) -> RunProgress:
        return cls(state=record.state, share=record.progress or 0.0, ends_ms=record.ends_ms, now_ms=now_ms)

    @property
    def percent(self) -> int:
        return percent(self.share)

    @property
    def seconds_left(self) -> float | None:
        """Until it ends, about; 0 for one that takes longer than was thought."""
        return None if self.ends_ms is None else max(0, self.ends_ms - self.now_ms) / 1000
