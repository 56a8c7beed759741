"""A Redis as text: every key with its type, its life and its content, in one order; and back into an empty one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

SHORT_S = 3600
"""A life below this belongs to what only a moment makes true, such as who is alive."""

BROKER = b"_kombu"
"""How the broker's own keys begin; every worker writes them anew."""


def dumped(redis: Any) -> str:
    """All keys but those of a moment, as JSON with a line for each part."""
    keys = sorted(key for key in redis.scan_iter(count=1000) if not key.startswith(BROKER))
    lives = {key: redis.ttl(key) for key in keys}
    kept = {_text(key): _entry(redis, key, life) for key, life in lives.items() if not 0 <= life < SHORT_S}
    return json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


def restore(redis: Any, text: str) -> None:
    """Put it back. Lives begin anew; times of day in it stay as they were."""
    for name, entry in json.loads(text).items():
        _WRITE[entry["type"]](redis, name, entry["content"])
        if entry["ttl_s"] > 0:
            redis.expire(name, entry["ttl_s"])


def _entry(redis: Any, key: bytes, life_s: int) -> dict[str, Any]:
    kind = redis.type(key).decode()
    # Seconds pass while a store is written down: hours are what its lives are made of.
    ttl_s = -1 if life_s < 0 else -(-life_s // SHORT_S) * SHORT_S
    return {"type": kind, "ttl_s": ttl_s, "content": _READ[kind](redis, key)}


def _text(value: bytes) -> Any:
    """Text, or `{"base64": …}` where it is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _bytes(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def _fields(found: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {_text(field): _text(value) for field, value in sorted(found.items())}


def _write_hash(redis: Any, name: str, content: Mapping[str, Any]) -> None:
    redis.hset(name, mapping={field: _bytes(value) for field, value in content.items()})


def _write_stream(redis: Any, name: str, content: list[tuple[str, Mapping[str, Any]]]) -> None:
    for entry, fields in content:
        redis.xadd(name, {field: _bytes(value) for field, value in fields.items()}, id=entry)


_READ: Mapping[str, Callable[[Any, bytes], Any]] = {
    "string": lambda redis, key: _text(redis.get(key)),
    "hash": lambda redis, key: _fields(redis.hgetall(key)),
    "list": lambda redis, key: [_text(value) for value in redis.lrange(key, 0, -1)],
    "set": lambda redis, key: [_text(member) for member in sorted(redis.smembers(key))],
    "zset": lambda redis, key: [[_text(member), score] for member, score in redis.zrange(key, 0, -1, withscores=True)],
    "stream": lambda redis, key: [[_text(entry), _fields(fields)] for entry, fields in redis.xrange(key)],
}

_WRITE: Mapping[str, Callable[[Any, str, Any], Any]] = {
    "string": lambda redis, name, content: redis.set(name, _bytes(content)),
    "hash": _write_hash,
    "list": lambda redis, name, content: redis.rpush(name, *map(_bytes, content)),
    "set": lambda redis, name, content: redis.sadd(name, *map(_bytes, content)),
    "zset": lambda redis, name, content: redis.zadd(name, dict(content)),
    "stream": _write_stream,
}
