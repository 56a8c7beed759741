"""Whether this Redis is one that runs can be trusted to."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from orchestrator_client.contract.errors import StoreUnavailable

FLOOR = (6, 2)
"""Oldest Redis: scripts here use commands of 6.2."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found. `refusals` keep a worker from starting; `warnings` are said once."""

    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def judge(info: dict[str, object]) -> Readiness:
    """Judge a server by the answer of INFO."""
    refusals, warnings = [], []
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < FLOOR:
        refusals.append(f"Redis {version} is too old: 6.2 or newer is needed")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        refusals.append(f"Redis evicts any key when it is full ({policy}): set maxmemory-policy noeviction")
    elif policy.startswith("volatile"):
        refusals.append(f"Redis evicts runs when it is full ({policy}): set maxmemory-policy noeviction")
    if not int(str(info.get("aof_enabled", 0))):
        warnings.append("Redis keeps no append-only file: runs do not survive its crash. Set appendonly yes")
    return Readiness(tuple(refusals), tuple(warnings))


def inspect(client: redis.Redis) -> Readiness:
    """Ask the server about itself.

    Raises:
        StoreUnavailable: it does not answer.
    """
    try:
        return judge(dict(client.info()))
    except redis.RedisError as error:
        raise StoreUnavailable(f"cannot reach Redis: {error}") from error
