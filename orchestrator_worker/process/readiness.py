"""Whether this Redis and this configuration are ones that runs can be trusted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from orchestrator_client.contract.envelope import SERIALIZER
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.server import RedisServer
from orchestrator_worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found. `refusals` keep a worker from starting; `warnings` are said once."""

    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def judge(info: dict[str, object]) -> Readiness:
    """Judge a server by the answer of INFO."""
    refusals, warnings = [], []
    server = RedisServer.of(info)
    if server.is_too_old:
        refusals.append(f"Redis {server.version} is too old: 6.2 or newer is needed")
    if server.policy.startswith("allkeys"):
        refusals.append(f"Redis evicts any key when it is full ({server.policy}): set maxmemory-policy noeviction")
    elif server.policy.startswith("volatile"):
        refusals.append(f"Redis evicts runs when it is full ({server.policy}): set maxmemory-policy noeviction")
    if not server.keeps_file:
        warnings.append("Redis keeps no append-only file: runs do not survive its crash. Set appendonly yes")
    return Readiness(tuple(refusals), tuple(warnings))


BEATS = 3
"""Renewals that the life of a lease has room for; with fewer, one late beat loses steps that are alive."""


def unsafe(conf: Mapping[str, Any], config: Settings) -> tuple[str, ...]:
    """What of Celery's configuration, or of ours, breaks the promises: one line each, with the setting's name."""
    found = []
    if list(conf["accept_content"]) != [SERIALIZER]:
        found.append(f"accept_content is {conf['accept_content']!r}: messages are read as {SERIALIZER!r} alone")
    if conf["worker_prefetch_multiplier"] != 1 or not conf["worker_disable_prefetch"]:
        found.append(
            "worker_prefetch_multiplier must be 1 and worker_disable_prefetch on: messages that wait here are lost with"
            " the worker, and wait while others are idle"
        )
    if conf["task_acks_late"] or conf["broker_transport_options"].get("ack_emulation") is not False:
        found.append("task_acks_late and ack_emulation must be off: the store knows what is lost, the broker guesses")
    if config.lease_seconds < BEATS * config.beat_seconds:
        found.append(
            f"ORCHESTRATOR_LEASE_SECONDS={config.lease_seconds:g} is less than {BEATS} times"
            f" ORCHESTRATOR_BEAT_SECONDS={config.beat_seconds:g}: steps that are alive would be given up"
        )
    return tuple(found)


def inspect(client: redis.Redis) -> Readiness:
    """Ask the server about itself.

    Raises:
        StoreUnavailable: it does not answer.
    """
    try:
        return judge(dict(client.info()))
    except redis.RedisError as error:
        raise StoreUnavailable(f"cannot reach Redis: {error}") from error
