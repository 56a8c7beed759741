"""Nodes and routers of graphs that go round, fan out and hold other graphs: workers import them by name."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal, TypedDict

from orchestrator_client.contract.control import Send
from orchestrator_client.contract.interrupt import interrupt

State = dict[str, Any]


class Trace(TypedDict):
    """Who ran, in plan order, and numbers that routers decide by."""

    trace: Annotated[list[str], operator.add]
    rounds: int
    most: int
    total: Annotated[int, operator.add]
    words: list[str]


def _said(name: str, state: State) -> State:
    return {"trace": [f"{name}{len(state['trace'])}"]}


def a(state: State) -> State:
    return _said("a", state)


def b(state: State) -> State:
    return _said("b", state)


def c(state: State) -> State:
    return _said("c", state)


def d(state: State) -> State:
    return _said("d", state)


def draft(state: State) -> State:
    """One more round."""
    return {**_said("draft", state), "rounds": (state["rounds"] or 0) + 1, "total": 1}


def go_on(state: State) -> str:
    return "again" if state["rounds"] < state["most"] else "enough"


def inner_round(state: State) -> str:
    """Once round the inner cycle, the first time that one comes by."""
    return "back" if len(state["trace"]) == 3 else "on"


def each_word(state: State) -> list[Send]:
    return [Send("work", {"word": word, "place": place}) for place, word in enumerate(state["words"])]


def words_and_names(state: State) -> list[Send | str]:
    """Sends and names, mixed."""
    return ["work", *(Send("work", {"word": word}) for word in state["words"]), "c"]


def work(state: State) -> State:
    """Of what it was sent, and nothing else."""
    return {"trace": [f"{state.get('word', 'whole')}:{len(state)}"], "total": len(state.get("word", ""))}


def again_or_words(state: State) -> Any:
    """Round once more, then to every word."""
    return "draft" if state["rounds"] < state["most"] else each_word(state)


def both_ways(state: State) -> list[str]:
    """Out of the cycle in every pass, and round as often as there are rounds."""
    return ["out", "again"] if state["rounds"] < state["most"] else ["enough"]


def nowhere(state: State) -> Literal["a", "__end__"]:
    return "__end__"


class Inner(TypedDict):
    """The state of a sub-graph: one channel shared, one of its own."""

    trace: Annotated[list[str], operator.add]
    own: Annotated[list[str], "append"]


def inner_first(state: State) -> State:
    return {**_said("in", state), "own": "first"}


def inner_last(state: State) -> State:
    return {"trace": [f"own={','.join(state['own'])} keys={','.join(sorted(state))}"]}


class Talk(TypedDict):
    """What was answered."""

    heard: Annotated[list[Any], "append"]


def ask_twice(state: State) -> State:
    """Two questions, the second of which quotes the answer to the first."""
    first = interrupt({"ask": "first"})
    try:
        second = interrupt(f"after {first}", choices=["yes", "no"])
    except Exception:  # noqa: BLE001 - a function that catches what it can must not catch the question
        second = "swallowed"
    return {"heard": [first, second]}


async def ask_later(state: State) -> State:
    return {"heard": interrupt("later")}


def ask_before_deadline(state: State) -> State:
    return {"heard": interrupt("soon", timeout=60, default="nobody")}
