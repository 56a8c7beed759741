"""What INFO says of a Redis server, as far as runs depend on it. Whoever asks says it in words of his own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

FLOOR = (6, 2)
"""Oldest Redis: scripts use commands of 6.2."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """What decides whether runs can be trusted to it."""

    version: str
    policy: str
    """What it evicts when it is full: `noeviction` is nothing."""
    keeps_file: bool
    """Whether it has an append-only file."""

    @classmethod
    def of(cls, info: Mapping[str, object]) -> Self:
        """From the answer of INFO; a server that does not say its version counts as too old."""
        return cls(
            version=str(info.get("redis_version", "0")),
            policy=str(info.get("maxmemory_policy", "noeviction")),
            keeps_file=bool(int(str(info.get("aof_enabled", 0)))),
        )

    @property
    def is_too_old(self) -> bool:
        """Whether it is older than `FLOOR`."""
        return tuple(int(part) for part in self.version.split(".")[:2]) < FLOOR
