"""Nodes and routers of random graphs. What they return tells exactly which state they were given."""

from __future__ import annotations

import json
import operator
from typing import Annotated, Any, TypedDict
from zlib import crc32

from orchestrator_client.contract.control import Send

MOST = 7
"""Nodes of a graph."""


class State(TypedDict):
    seed: int
    trace: Annotated[list[str], operator.add]
    count: Annotated[int, operator.add]
    said: Annotated[list[str], "append"]
    by: Annotated[dict[str, int], "merge"]
    last: str


EMPTY: dict[str, Any] = {"seed": 0, "trace": [], "count": 0, "said": [], "by": {}, "last": None}


def digest(name: str, state: Any) -> int:
    """A number of the state and of who looks at it."""
    return crc32(f"{name} {json.dumps(state, sort_keys=True)}".encode()) % 997


def said(name: str, state: Any) -> dict[str, Any]:
    """A node's updates, of every kind."""
    number = digest(name, state)
    return {"trace": [f"{name}:{number}"], "count": number, "said": name, "by": {name: number}, "last": name}


def choice(name: str, state: Any) -> list[str]:
    """A router's labels: one of three, or two of them."""
    number = digest(name, state)
    return [str(number % 3)] if number % 5 else ["0", "2"]


def sends(name: str, state: Any) -> list[Any]:
    """A router's labels, and none to three sends to `w` among them."""
    number = digest(name, state)
    inputs = [{"place": place, "of": number} for place in range(number % 4)]
    return [*choice(name, state), *(Send("w", one) for one in inputs)]


def _node(name: str) -> Any:
    return lambda state: said(name, state)


def _named(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    return function


NODES = {name: _named(_node(name), name) for name in [*(f"n{number}" for number in range(MOST)), "w"]}
ROUTERS = {
    f"r{number}": _named(lambda state, name=f"r{number}": choice(name, state), f"r{number}") for number in range(MOST)
}
SENDERS = {
    f"s{number}": _named(lambda state, name=f"s{number}": sends(name, state), f"s{number}") for number in range(MOST)
}
globals().update(NODES | ROUTERS | SENDERS)
