"""Which edges a pass of a graph has taken, read from what its steps left. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import Json, Loop, OnFailure, Step
from orchestrator_worker.compiler import Graph


@dataclass(frozen=True, slots=True)
class Taken:
    """The ways out of a pass that were taken."""

    targets: list[str]
    sends: dict[str, list[Json]] = field(default_factory=dict)
    """What was sent along them, by target, in plan order."""


def taken_ways(body: Graph, loop: Loop, values: Mapping[str, Json]) -> Taken:
    """The ways out of a pass, all steps of which have ended and left `values`, by their ids."""
    alive: dict[str, bool] = {}
    chosen: dict[str, list[Json]] = {}

    def arrives(source: str, target: str) -> bool:
        return target in chosen[source] if source in chosen else alive[source]

    for step in body.order:
        value = values.get(step.id)
        orders = all(arrives(source, step.id) for source in step.after)
        routes = not step.routed_from or any(arrives(source, step.id) for source in step.routed_from)
        alive[step.id] = orders and routes and _goes_on(step, value)
        if alive[step.id] and how_it_ended(value) == "succeeded" and chooses(step) and isinstance(value, dict):
            chosen[step.id] = value["result"]
    ways = [way for way in loop.ways if all(arrives(source, way.target) for source in way.sources)]
    targets = list(dict.fromkeys(way.target for way in ways))
    sends = {target: sent for target in targets if (sent := sent_to(target, body.order, values))}
    return Taken(targets, sends)


def sent_to(target: str, sources: tuple[Step, ...], values: Mapping[str, Json]) -> list[Json]:
    """What these steps sent to a node, one after the other."""
    sent: list[Json] = []
    for source in sources:
        value = values.get(source.id)
        if chooses(source) and isinstance(value, dict):
            sent += (value.get("sends") or {}).get(target, ())
    return sent


def chooses(step: Step) -> bool:
    """Whether the step decides which of its edges are alive: a router, or a cycle by the ways that it left."""
    return step.routes is not None or (step.loop is not None and bool(step.loop.entry))


def _goes_on(step: Step, value: Json) -> bool:
    """Whether the edges behind a step that ran, or might have, are alive."""
    return how_it_ended(value) != "failed" or step.on_failure is OnFailure.CONTINUE


def how_it_ended(value: Json) -> str:
    """`succeeded`, `failed` or `skipped`, by the value that a step left."""
    status = value.get("status") if isinstance(value, dict) else None
    if status in ("skipped", "failed") and value.get("success") is False:
        return str(status)
    return "succeeded"
