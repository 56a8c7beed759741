"""A campaign in parts: what its seeds came to, in their order, and a file that hands the sums from part to part."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.campaign import Case, Tally


@dataclass
class Sums:
    """Of all seeds before `next_seed`, without a gap: batches that come early wait until it is their turn."""

    next_seed: int
    total: Tally = field(default_factory=Tally)
    early: dict[int, tuple[int, Tally]] = field(default_factory=dict)
    """First seed of a batch -> the seed behind its last one, and what it came to."""

    @classmethod
    def kept(cls, file: Path | None, first: int) -> Sums:
        """Those of the parts before; none if there is no such file."""
        if file is None or not file.exists():
            return cls(first)
        stored = json.loads(file.read_text())
        violations = [(text, Case(**case)) for text, case in stored["violations"]]
        states, faults = Counter(stored["states"]), Counter(stored["faults"])
        return cls(stored["next_seed"], Tally(stored["schedules"], stored["operations"], states, faults, violations))

    def add(self, batch: range, tally: Tally) -> None:
        self.early[batch.start] = batch.stop, tally
        while self.next_seed in self.early:
            self.next_seed, came = self.early.pop(self.next_seed)
            self.total += came

    def keep(self, file: Path | None) -> None:
        """Replaced as a whole, so that a part that is killed loses only what came after."""
        if file is not None:
            written = file.with_suffix(".new")
            written.write_text(json.dumps({"next_seed": self.next_seed, **vars(self.total)}, default=vars, indent=1))
            written.replace(file)
