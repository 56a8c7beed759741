"""Nodes, routers and reducers of graphs in tests: workers import them by name."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

State = dict[str, Any]


def longest(current: str, update: str) -> str:
    return max(current, update, key=len)


def refusing(current: Any, update: Any) -> Any:
    raise ValueError("these do not mix")


class Notes(TypedDict):
    """One channel for each way of folding."""

    word: str
    count: int
    last: str
    added: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]
    appended: Annotated[list[Any], "append"]
    merged: Annotated[dict[str, Any], "merge"]
    best: Annotated[str, longest]


class Talk(TypedDict):
    """The state of a graph that calls tools and models."""

    word: str
    file: dict[str, Any]
    answer: str
    answers: Annotated[list[str], "append"]
    heard: Annotated[list[str], operator.add]


class Refused(TypedDict):
    """A channel whose reducer raises."""

    word: str
    never: Annotated[str, refusing]


def note_a(state: State) -> State:
    return noted("a", state)


def note_b(state: State) -> State:
    return noted("bb", state)


def note_c(state: State) -> State:
    return noted("ccc", state)


def noted(name: str, state: State) -> State:
    """An update of every channel that has a reducer, in which the writer can be told."""
    updates = {"added": [name, name], "appended": {"by": name}, "merged": {"who": name, name: True}, "best": name}
    return {**updates, "total": len(name)}


def listen(state: State) -> State:
    return {"heard": [state["file"]["content"], state["answer"], *state["answers"]]}


def look(state: State) -> State:
    """What a node sees of the writers before it."""
    return {
        "last": "|".join([*state["added"], state["best"], str(state["total"]), state["merged"].get("who", "nobody")])
    }


def count_up(state: State) -> State:
    return {"count": (state["count"] or 0) + 1}


def say(state: State) -> str:
    return f"said {state['word']}"


def parity(state: State) -> str:
    return "even" if state["count"] % 2 == 0 else "odd"


def by_word(state: State) -> Any:
    """The word says where to go: one label, or several with commas between them."""
    labels = state["word"].split(",")
    return labels if len(labels) > 1 else labels[0]


def nothing(state: State) -> None:
    return None


def unknown_channel(state: State) -> State:
    return {"nowhere": 1}


def no_mapping(state: State) -> int:
    return 7


def refused(state: State) -> State:
    return {"never": "x"}
