"""What production takes for a client of redis-py: it asks a real Redis, operation by operation, through the seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import redis

from orchestrator_client.contract.scripts import __name__ as SHARED
from orchestrator_client.contract.scripts import digest, source
from tests.simulation.seam import Operation, ask
from tests.simulation.wire import Wire

PACKAGES = (SHARED, "orchestrator_worker.scripts", "orchestrator_client.scripts")


def _names() -> dict[str, str]:
    """Text of every script -> its file's name."""
    found = {}
    for package in PACKAGES:
        for file in files(package).iterdir():
            if file.name.endswith(".lua"):
                name = file.name.removesuffix(".lua")
                found[source(name, package)] = name
    return found


NAMES = _names()


def away() -> Exception:
    """What redis-py says of a connection that broke: the command may or may not have been done."""
    return redis.TimeoutError("simulated: nothing was heard of it")


class StoreSeam:
    """One for all processes: who asks is known by the actor that runs. `mutated` changes the text of a script."""

    def __init__(self, wire: Wire, mutated: Callable[[str, str], str] = lambda _name, text: text) -> None:
        self._wire = wire
        self._texts = {digest(text): (name, mutated(name, text)) for text, name in NAMES.items()}

    # --- scripts -----------------------------------------------------------------------------------------------

    def evalsha(self, sha: str, count: int, *rest: Any) -> Any:
        name, changed = self._texts[sha]
        keys, args = rest[:count], rest[count:]
        return ask(Operation("store", name, lambda: self._wire.run(changed, keys, args), tuple(args), away))

    # --- commands ----------------------------------------------------------------------------------------------

    def _command(self, *command: Any) -> Any:
        shape = SHAPES.get(command[0], _as_it_is)
        return ask(Operation("store", command[0], lambda: shape(self._wire.ask(*command)), command[1:], away))

    def get(self, key: str) -> Any:
        return self._command("GET", key)

    def hget(self, key: str, field: str) -> Any:
        return self._command("HGET", key, field)

    def hmget(self, key: str, fields: Sequence[str]) -> Any:
        return self._command("HMGET", key, *fields)

    def hgetall(self, key: str) -> Any:
        return self._command("HGETALL", key)

    def xrange(self, key: str, min: str = "-", max: str = "+", count: int | None = None) -> Any:
        return self._command("XRANGE", key, min, max, *(() if count is None else ("COUNT", count)))

    def llen(self, key: str) -> Any:
        return self._command("LLEN", key)

    def zcard(self, key: str) -> Any:
        return self._command("ZCARD", key)

    def incrby(self, key: str, by: int) -> Any:
        return self._command("INCRBY", key, by)

    def pipeline(self, transaction: bool = True) -> Pipeline:
        assert not transaction
        return Pipeline(self._wire)

    def close(self) -> None:
        """The wire is the schedule's to close."""


class Pipeline:
    """Several commands in one operation."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._commands = wire, list[tuple[Any, ...]]()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands = []

    def __getattr__(self, name: str) -> Callable[..., Pipeline]:
        def add(*args: Any) -> Pipeline:
            flat = [part for arg in args for part in (arg if isinstance(arg, list) else [arg])]
            self._commands.append((name.upper(), *flat))
            return self

        return add

    def execute(self) -> list[Any]:
        commands, self._commands = self._commands, []

        def perform() -> list[Any]:
            replies = self._wire.ask_all(commands)
            return [SHAPES.get(command[0], _as_it_is)(reply) for command, reply in zip(commands, replies, strict=True)]

        return ask(Operation("store", "+".join(command[0] for command in commands), perform, (), away)) or []


def _as_it_is(reply: Any) -> Any:
    return reply


def _mapping(reply: list[Any]) -> Mapping[Any, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "HGETALL": _mapping,
    "XRANGE": lambda entries: [(entry, _mapping(fields)) for entry, fields in entries],
}
