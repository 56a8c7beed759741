"""What Prometheus is told of the whole fleet. It is read from the store when somebody asks, and kept nowhere else.

Flower exports it beside its own, see `register`; without Flower, `orchestrator metrics` does. Any number of them may:
all tell the same. Labels are bounded: states, reasons, queues, limits' scopes, and the models that were called most.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.names import CONTROL_QUEUE, TOOL_QUEUE
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.run import InstanceState, RunState
from orchestrator_client.store import Stores

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

logger = logging.getLogger(__name__)

PARKED = ("limit", "budget", "cache", "question", "pipeline", "time", "steps")
"""Why instances wait in Redis; see `census.lua`."""

PORT_VARIABLE = "ORCHESTRATOR_METRICS_PORT"

NANO = 1_000_000_000

MOST_MODELS = 100
"""Models that are told apart; all others together are `other`."""


class FleetCollector:
    """Answers one Prometheus registry."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not ask the store to learn names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of it; with `orchestrator_store_up` 0 alone where the store does not answer."""
        began = time.perf_counter()
        try:
            found = list(_families(self._stores))
        except StoreUnavailable as away:
            logger.warning("no metrics of the fleet: %s", away)
            yield _gauge("orchestrator_store_up", "Whether the store answers.", 0)
            return
        yield _gauge("orchestrator_store_up", "Whether the store answers.", 1)
        yield from found
        seconds = time.perf_counter() - began
        yield _gauge("orchestrator_fleet_scrape_seconds", "Time that reading this took.", seconds)


def register(stores: Stores, registry: CollectorRegistry | None = None) -> None:
    """Have a registry export the fleet; without one, prometheus_client's own, which Flower exports."""
    from prometheus_client import REGISTRY

    (registry or REGISTRY).register(FleetCollector(stores))


def are_configured() -> bool:
    """Whether this machine's configuration has its workers measured.

    Raises:
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    return bool(os.environ.get(PORT_VARIABLE)) or load_project().metrics.port is not None


def _families(stores: Stores) -> Iterator[Metric]:
    census, totals, workers = stores.fleet.census(), stores.fleet.totals(), stores.fleet.workers()
    open_states = (RunState.SUBMITTED, RunState.RUNNING)
    yield _gauges("orchestrator_runs", "Open runs.", "state", _counts(census, "run", open_states))
    yield _counter("orchestrator_runs_reached", "Runs that came into a state.", ("state",), totals, "runs")
    yield _gauges(
        "orchestrator_instances", "Open instances.", "state", _counts(census, "instance", tuple(InstanceState))
    )
    parked = _counts(census, "parked", PARKED)
    yield _gauges("orchestrator_parked_instances", "Instances that wait in Redis.", "reason", parked)
    yield _counter("orchestrator_steps", "Instances that ended.", ("queue", "outcome"), totals, "steps")
    letters = stores.fleet.dead_letters()
    yield _gauge("orchestrator_dead_letters", "Messages that no worker could take.", letters)
    yield _counter("orchestrator_attempts_lost", "Attempts whose worker was lost.", (), totals, "lost")
    served = sorted({queue for worker in workers for queue in worker.queues})
    queues = sorted({TOOL_QUEUE, CONTROL_QUEUE, *served, *_part_of(census, "ready")})
    lengths = stores.fleet.queue_lengths(queues)
    yield _gauges("orchestrator_queue_messages", "Messages that lie in a queue.", "queue", lengths)
    serving = {queue: [worker.slots for worker in workers if queue in worker.queues] for queue in queues}
    yield _gauges("orchestrator_workers", "Workers.", "queue", {queue: len(each) for queue, each in serving.items()})
    yield _gauges("orchestrator_slots", "Their slots.", "queue", {queue: sum(each) for queue, each in serving.items()})
    scopes = stores.gates.scopes()
    gates = stores.gates.gates(scopes)
    views = [gate.view(scope, stores.gates.line(scope)) for scope, gate in gates.items() if gate.is_known]
    waiting = {view.scope: view.waiting for view in views}
    yield _gauges("orchestrator_limit_waiting_calls", "Calls that wait at a limit.", "scope", waiting)
    in_flight = {view.scope: view.in_flight for view in views}
    yield _gauges("orchestrator_limit_calls_in_flight", "Calls that a limit let through.", "scope", in_flight)
    yield from _models(totals)


def _models(totals: Mapping[str, int]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    calls = CounterMetricFamily("orchestrator_model_calls", "Calls of models.", labels=["model"])
    tokens = CounterMetricFamily("orchestrator_model_tokens", "Tokens that they used.", labels=["model", "direction"])
    cost = CounterMetricFamily("orchestrator_model_cost_usd", "Dollars that they cost.", labels=["model"])
    for (model, what), amount in _by_model(_part_of(totals, "model")).items():
        match what:
            case "calls":
                calls.add_metric([model], amount)
            case "nano":
                cost.add_metric([model], amount / NANO)
            case _:
                tokens.add_metric([model, what], amount)
    return iter((calls, tokens, cost))


def _by_model(totals: Mapping[str, int]) -> Mapping[tuple[str, str], int]:
    """(model, what) -> how much, of the models that were called most, and of all others together."""
    split = {tuple(each.rsplit("|", 1)): amount for each, amount in totals.items()}
    calls = Counter({model: amount for (model, what), amount in split.items() if what == "calls"})
    apart, found = {model for model, _ in calls.most_common(MOST_MODELS)}, Counter[tuple[str, str]]()
    for (model, what), amount in split.items():
        found[model if model in apart else "other", what] += amount
    return found


def _part_of(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    """What is counted of one kind: the rest of its name -> how many. `lost` has no rest."""
    found = ((what.partition("|"), number) for what, number in counts.items())
    return {rest: number for (first, _, rest), number in found if first == kind}


def _counts(census: Mapping[str, int], kind: str, labels: Sequence[str]) -> dict[str, int]:
    """How many there are of each, 0 included: a series that comes and goes cannot be alerted on."""
    return {str(label): 0 for label in labels} | _part_of(census, kind)


def _gauges(name: str, about: str, label: str, amounts: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=[label])
    for each, amount in amounts.items():
        family.add_metric([each], amount)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, labels: Sequence[str], totals: Mapping[str, int], kind: str) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, about, labels=labels)
    for rest, number in _part_of(totals, kind).items():
        family.add_metric(rest.rsplit("|", len(labels) - 1) if labels else [], number)
    return family
