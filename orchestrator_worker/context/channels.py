"""The state of a graph: its writers' updates folded in plan order, so that a parallel run ends in the same state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from importlib import import_module

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Json, Plan, Step

Reducer = Callable[[Json, Json], Json]


def fold(plan: Plan, inputs: Mapping[str, Json], values: Mapping[str, Json]) -> dict[str, Json]:
    """The state that a step sees: the inputs, and on them the updates of the steps in `values`."""
    channels = plan.channels or {}
    state = {name: copy.deepcopy(inputs.get(name, channel.default)) for name, channel in channels.items()}
    for writer in plan.order:
        for name, update in _updates(plan.step_by_id[writer], values.get(writer)).items():
            if name not in channels:
                raise ToolFailed(
                    f"node '{writer}' updates '{name}', which is no channel of the state: {', '.join(channels)}"
                )
            state[name] = reduce_channel(channels[name].reducer, state[name], update)
    return state


def _updates(step: Step, value: Json) -> Mapping[str, Json]:
    """A node's updates by channel: none if it was skipped, failed, or writes no state."""
    if not step.updates_state or not isinstance(value, dict) or value.get("status") in ("skipped", "failed"):
        return {}
    result = value.get("result")
    if step.writes is not None:
        return {step.writes: result}
    if not isinstance(result, dict | None):
        kind = type(result).__name__
        raise ToolFailed(f"node '{step.id}' returned {kind}; return a mapping of channels to updates, or say writes=…")
    return result or {}


def reduce_channel(reducer: str, current: Json, update: Json) -> Json:
    """One update applied to one channel."""
    try:
        # A reducer of somebody else's may work in place; what it is given is nobody's but the state's.
        return reducer_named(reducer)(current, update if reducer in BUILT_IN else copy.deepcopy(update))
    except Exception as error:
        kinds = f"{type(current).__name__} and {type(update).__name__}"
        raise ToolFailed(f"reducer '{reducer}' cannot combine {kinds}: {error}") from error


def reducer_named(name: str) -> Reducer:
    """A built-in reducer, or an importable `package.module:function`."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]


def _add(current: Json, update: Json) -> Json:
    return update if current is None else current + update


def _append(current: Json, update: Json) -> Json:
    return [*(current or []), update]


def _merge(current: Json, update: Json) -> Json:
    return {**(current or {}), **update}


BUILT_IN: Mapping[str, Reducer] = {
    "last": lambda _current, update: update,
    "add": _add,
    "append": _append,
    "merge": _merge,
}
