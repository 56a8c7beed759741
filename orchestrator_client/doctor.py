"""Whether a fleet is well: each thing that can be wrong with it, judged by itself, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from orchestrator_client.contract.plan import Record
from orchestrator_client.contract.server import RedisServer
from orchestrator_client.contract.worker import WorkerInfo, serving
from orchestrator_client.story import waiting

SKEW_MS = 2_000
"""By which clocks may differ before lines of two logs are hard to put in order. Nothing else goes by them."""
MEMORY_SHARE = 0.8
"""Of its memory that Redis may use before that is worth a word."""


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    """The fleet works, and will not in some case."""
    FAIL = "fail"
    """Runs stand still, or are not safe."""


class Finding(Record):
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    says: str
    """What was found, in one sentence."""
    do: str = ""
    """What to do about it; empty for `ok`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is judged."""

    shown_url: str
    """Without its password."""
    version: str
    """Of this package here."""
    away: str = ""
    """Why Redis cannot be used; then nothing below is known."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Of INFO."""
    user: str = ""
    """Whom Redis takes us for."""
    has_password: bool = False
    skew_ms: int = 0
    """This machine's clock minus Redis's."""
    workers: Sequence[WorkerInfo] = ()
    lengths: Mapping[str, int] = field(default_factory=dict)
    """Queue -> messages in it."""
    dead_letters: int = 0
    """Messages that no worker could take."""
    has_key: bool = False
    """Whether this machine has the fleet's key, which signs messages."""
    needed: Mapping[str, int] = field(default_factory=dict)
    """Queue -> open runs whose plans name it."""
    keys: Mapping[str, bool] = field(default_factory=dict)
    """Environment variable of a provider's key -> whether it is set here."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """MCP server of this machine's orchestrator.toml -> why it cannot be reached from here; empty if it can."""
    problems: Sequence[str] = ()
    """Of orchestrator.toml."""


def examine(facts: Facts) -> list[Finding]:
    """Every finding, in the order in which one would look."""
    return list(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    if facts.away:
        yield _fail("redis", facts.away, "start Redis, or name it with --redis or ORCHESTRATOR_REDIS_URL")
    else:
        yield from _server(facts)
        yield _access(facts)
        yield _clocks(facts)
        yield from _fleet(facts)
        yield from _queues(facts)
        yield _letters(facts)
    yield from _here(facts)


def _server(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    server = RedisServer.of(info)
    if server.is_too_old:
        yield _fail("redis", f"Redis {server.version} at {facts.shown_url} is too old", "install 6.2 or newer")
    else:
        yield _ok("redis", f"Redis {server.version} at {facts.shown_url}")
    if server.keeps_file:
        yield _ok("persistence", "it keeps an append-only file")
    else:
        yield _warn("persistence", "it keeps no append-only file: runs do not survive its crash", "set appendonly yes")
    if server.policy == "noeviction":
        yield _ok("eviction", "it evicts nothing")
    else:
        yield _fail("eviction", f"it evicts runs when it is full ({server.policy})", "set maxmemory-policy noeviction")
    yield _memory(int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)))


def _memory(used: int, most: int) -> Finding:
    if not most:
        return _ok("memory", f"it uses {used / 2**20:,.0f} MiB, and has no limit of its own")
    says = f"it uses {used / 2**20:,.0f} MiB of {most / 2**20:,.0f}"
    if used < MEMORY_SHARE * most:
        return _ok("memory", says)
    return _warn("memory", f"{says}; when it is full, runs stand still", "raise maxmemory, or keep runs less long")


def _access(facts: Facts) -> Finding:
    parts = urlsplit(facts.shown_url)
    local = parts.scheme == "unix" or (parts.hostname or "") in ("127.0.0.1", "localhost", "::1")
    who = f"as {facts.user or 'default'}, {'with' if facts.has_password else 'without'} a password"
    encrypted = "over TLS" if parts.scheme == "rediss" else "on this machine" if local else "not encrypted"
    if local or (facts.has_password and parts.scheme == "rediss"):
        return _ok("access", f"{who}, {encrypted}")
    do = "use rediss:// and a user of its own; whoever reaches this Redis can run anything on the workers"
    return _warn("access", f"{who}, {encrypted}", do)


def _clocks(facts: Facts) -> Finding:
    skews = {"this machine": facts.skew_ms} | {worker.host: worker.skew_ms for worker in facts.workers}
    off = {host: skew for host, skew in skews.items() if abs(skew) > SKEW_MS}
    if not off:
        return _ok("clocks", f"within {max(abs(skew) for skew in skews.values()) / 1000:.1f} s of Redis's")
    told = ", ".join(f"{host} by {skew / 1000:+.1f} s" for host, skew in off.items())
    return _warn("clocks", f"not as Redis's: {told}; times in logs differ, nothing else does", "run NTP there")


def _fleet(facts: Facts) -> Iterator[Finding]:
    if not facts.workers:
        yield _fail("workers", "0 workers", "start one: orchestrator worker --queues tool,control")
        return
    slots, busy = sum(worker.slots for worker in facts.workers), sum(worker.busy for worker in facts.workers)
    yield _ok("workers", f"{len(facts.workers)} with {slots} slots, {busy} of them busy")
    others = {worker.version for worker in facts.workers} - {facts.version}
    if others:
        versions = ", ".join(sorted(others))
        yield _warn("versions", f"this is {facts.version}, and there are workers of {versions}", "finish the upgrade")
    else:
        yield _ok("versions", f"all of {facts.version}")
    for says in sorted({f"{worker.name}: {missing}" for worker in facts.workers for missing in worker.missing_keys}):
        yield _warn("keys", says, "calls of that provider fail there until it is set")


def _queues(facts: Facts) -> Iterator[Finding]:
    wanted = {queue for queue, length in facts.lengths.items() if length} | facts.needed.keys()
    unserved = [queue for queue in sorted(wanted) if not serving(facts.workers, queue)]
    for queue in unserved:
        runs = facts.needed.get(queue, 0)
        open_runs = f", and {runs} open run{'' if runs == 1 else 's'} may need it" if runs else ""
        says = f"0 workers serve '{queue}': {waiting(facts.lengths.get(queue, 0))} there{open_runs}"
        yield _fail("queues", says, f"start one: orchestrator worker --queues {queue}")
    if not unserved:
        yield _ok("queues", "every queue that open runs need has a worker")


def _letters(facts: Facts) -> Finding:
    if not facts.dead_letters:
        return _ok("dead letters", "none")
    says = f"{facts.dead_letters:,} messages could be taken by no worker"
    return _warn("dead letters", says, "orchestrator dead list says why, and how to send them again")


def _here(facts: Facts) -> Iterator[Finding]:
    for problem in facts.problems:
        yield _fail("configuration", problem, "correct it, here and where workers read it")
    if facts.has_key:
        yield _ok("fleet key", "it is set here: messages are signed")
    else:
        do = "set the same ORCHESTRATOR_FLEET_KEY for workers and clients"
        yield _warn("fleet key", "it is not set here: whoever reaches Redis can give the workers steps to run", do)
    if facts.keys:
        held = ", ".join(name for name, is_set in facts.keys.items() if is_set) or "none"
        missing = ", ".join(name for name, is_set in facts.keys.items() if not is_set) or "none"
        yield _ok("keys", f"set here: {held}; not set here: {missing}. Workers need those of their own queues")
    for name, why in facts.servers.items():
        if why:
            yield _warn("mcp", f"server {name} cannot be reached from here: {why}", f"see [mcp.{name}]")
        else:
            yield _ok("mcp", f"server {name} can be reached from here")


def _ok(check: str, says: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, says=says)


def _warn(check: str, says: str, do: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, says=says, do=do)


def _fail(check: str, says: str, do: str) -> Finding:
    return Finding(check=check, verdict=Verdict.FAIL, says=says, do=do)
