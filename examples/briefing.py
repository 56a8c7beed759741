"""The functions of briefing_graph.py: workers import them by name, so they are not in the script that is run."""

import operator
from typing import Annotated, TypedDict

from orchestrator_client import Send, interrupt


class State(TypedDict):
    topics: list[str]
    notes: Annotated[list[str], operator.add]
    draft: str
    rounds: Annotated[int, operator.add]
    approved: bool


class Research(TypedDict):
    """The sub-graph's own state: `notes` is shared with the graph around, `topic` and `facts` are not."""

    topic: str
    facts: str
    notes: Annotated[list[str], operator.add]


def to_each_topic(state: State) -> list[Send]:
    """One run of the sub-graph for each topic, with an input of its own."""
    return [Send("research", {"topic": topic}) for topic in state["topics"]]


def look_up(state: Research) -> dict:
    return {"facts": f"{state['topic']} has {len(state['topic'])} letters"}


def note(state: Research) -> dict:
    return {"notes": [state["facts"]]}


def write(state: State) -> dict:
    """Every round keeps one note more."""
    rounds = state["rounds"] + 1
    return {"rounds": 1, "draft": "; ".join(state["notes"][:rounds])}


def good_enough(state: State) -> str:
    return "good" if all(topic in state["draft"] for topic in state["topics"]) else "poor"


def approve(state: State) -> dict:
    """Stops here, and holds no worker, until somebody answers."""
    return {"approved": interrupt({"draft": state["draft"]}, choices=["yes", "no"]) == "yes"}
