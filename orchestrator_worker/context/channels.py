"""The state of a graph: its writers' updates folded in plan order, so that a parallel run ends in the same state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Channel, Json, Step

Reducer = Callable[[Json, Json], Json]
Channels = Mapping[str, Channel]
Update = tuple[str, Json]
"""A channel and what a writer says of it."""


def fold(
    channels: Channels, base: Mapping[str, Json], writers: Iterable[Step], values: Mapping[str, Json]
) -> dict[str, Json]:
    """The state that a step sees: `base`, and on it the updates of the writers that left `values`."""
    return applied(channels, base, updates_of(channels, writers, values))


def applied(channels: Channels, base: Mapping[str, Json], updates: Iterable[Update]) -> dict[str, Json]:
    """`base`, where it lacks a channel its default, and on it these updates, one after the other."""
    state = {name: copy.deepcopy(base.get(name, channel.default)) for name, channel in channels.items()}
    for name, update in updates:
        state[name] = reduce_channel(channels[name].reducer, state[name], update)
    return state


def updates_of(channels: Channels, writers: Iterable[Step], values: Mapping[str, Json]) -> Iterator[Update]:
    """Channels and their updates, in the order of the writers.

    Raises:
        ToolFailed: a writer updates what is no channel, or left no updates at all.
    """
    for writer in writers:
        for name, update in _updates(writer, values.get(writer.id)):
            if name not in channels:
                raise ToolFailed(
                    f"node '{writer.id}' updates '{name}', which is no channel of the state: {', '.join(channels)}"
                )
            yield name, update


def shortened(channels: Channels, updates: Iterable[Update]) -> list[Update]:
    """Fewer updates of the same effect: those of one channel become one, wherever that is the same."""
    kept: dict[str, list[Json]] = {}
    for name, update in updates:
        if (channel := channels.get(name)) is None:
            continue
        before = kept.setdefault(name, [])
        if before and _joins(channel.reducer, before[-1], update):
            before[-1] = reduce_channel(channel.reducer, before[-1], update)
        else:
            before.append(update)
    return [(name, update) for name, of_channel in kept.items() for update in of_channel]


def _joins(reducer: str, one: Json, other: Json) -> bool:
    """Whether a reducer makes the same of two updates whether they come one by one or already combined."""
    match reducer:
        case "last":
            return True
        case "merge":
            return isinstance(one, dict) and isinstance(other, dict)
        case "add":
            # Not fractions, whose sum depends on the order of additions.
            return type(one) is type(other) and type(one) in (int, str, list)
    return False


def _updates(step: Step, value: Json) -> Iterable[Update]:
    """A node's updates by channel: none if it was skipped, failed, or writes no state."""
    if not step.updates_state or not isinstance(value, dict) or value.get("status") in ("skipped", "failed"):
        return ()
    if step.loop is not None:
        return [(name, update) for name, update in value["updates"]]
    result = value.get("result")
    if step.writes is not None:
        return [(step.writes, result)]
    if not isinstance(result, dict | None):
        kind = type(result).__name__
        raise ToolFailed(f"node '{step.id}' returned {kind}; return a mapping of channels to updates, or say writes=…")
    return (result or {}).items()


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
