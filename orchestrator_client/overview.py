"""A fleet at a glance: workers, queues, what is open, limits, and the runs that go on."""

from __future__ import annotations

from orchestrator_client.contract.names import CONTROL_QUEUE, TOOL_QUEUE
from orchestrator_client.contract.plan import Record
from orchestrator_client.contract.run import RunRecord, RunState
from orchestrator_client.contract.worker import WorkerInfo
from orchestrator_client.gates import GateView
from orchestrator_client.store import Stores

RUNS = 500
"""Of the newest, among which runs that go on are looked for."""


class Overview(Record):
    """All of about one moment."""

    now_ms: int
    """By Redis's clock, milliseconds since 1970."""
    workers: tuple[WorkerInfo, ...]
    queues: dict[str, int]
    """Queue -> messages in it, of those that have a worker or a step that is ready."""
    counts: dict[str, int]
    """`run|<state>`, `instance|<state>`, `ready|<queue>`, `parked|<reason>` -> how many are open."""
    limits: tuple[GateView, ...]
    runs: tuple[RunRecord, ...]
    """That have not ended, newest first."""

    def count(self, kind: str) -> dict[str, int]:
        """What is open of one kind (`run`, `instance`, `ready`, `parked`): state, queue or reason -> how many."""
        found = ((what.partition("|"), number) for what, number in self.counts.items())
        return {rest: number for (first, _, rest), number in found if first == kind}


def overview_of(stores: Stores) -> Overview:
    """Read in several trips, so a busy fleet may move on in between."""
    fleet, gates = stores.fleet, stores.gates
    workers, counts = fleet.workers(), dict(fleet.census())
    ready = [what.partition("|")[2] for what in counts if what.startswith("ready|")]
    queues = sorted({TOOL_QUEUE, CONTROL_QUEUE, *ready, *(queue for worker in workers for queue in worker.queues)})
    known = gates.gates(gates.scopes())
    records = stores.runs.runs(0, RUNS)
    return Overview(
        now_ms=fleet.now_ms(),
        workers=tuple(workers),
        queues=fleet.queue_lengths(queues),
        counts=counts,
        limits=tuple(gate.view(scope, gates.line(scope)) for scope, gate in known.items() if gate.is_known),
        runs=tuple(record for record in records if record.state in (RunState.SUBMITTED, RunState.RUNNING)),
    )
