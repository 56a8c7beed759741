"""Functions that stop to ask: parked without a worker, called again with the answers, each in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.interrupt import interrupt
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.question import QuestionKind
from orchestrator_client.graph import START, StateGraph
from tests import graph_cycles as nodes
from tests.fleet import InProcessFleet, python_step


def asking(fleet: InProcessFleet, node: Callable[..., Any], **given: Any) -> Run:
    """A run of one node that asks."""
    plan = StateGraph(nodes.Talk, id="talk").add_node("ask", node).add_edge(START, "ask").compile()
    run = fleet.client.submit(plan, **given)
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    fleet.drain()
    return run


def test_interrupts_of_one_function_are_answered_in_their_order(fleet: InProcessFleet) -> None:
    run = asking(fleet, nodes.ask_twice)
    [asked] = run.questions()
    assert (asked.question.kind, asked.question.payload) == (QuestionKind.INTERRUPT, {"ask": "first"})
    assert fleet.redis.llen(names.TOOL_QUEUE) == 0
    run.answer("ask", {"any": ["json"]})
    fleet.drain()
    [asked] = run.questions()
    assert (asked.number, asked.question.prompt) == (2, "after {'any': ['json']}")
    with pytest.raises(InputsInvalid, match="'perhaps' is none of 'yes', 'no'"):
        run.answer("ask", "perhaps")
    run.answer("ask", "yes")
    document = fleet.finish(run)
    assert document.outputs["state"]["heard"] == [[{"any": ["json"]}, "yes"]]
    assert document.steps["ask"].retries == 0


def test_a_coroutine_asks_in_the_same_way(fleet: InProcessFleet) -> None:
    run = asking(fleet, nodes.ask_later)
    run.answer("ask", 7)
    assert fleet.finish(run).outputs["state"]["heard"] == [7]


def test_what_the_submission_answers_is_not_asked(fleet: InProcessFleet) -> None:
    run = asking(fleet, nodes.ask_twice, answers={"ask": 1, "ask#2": "no"})
    assert fleet.finish(run).outputs["state"]["heard"] == [[1, "no"]]


def test_the_default_counts_when_nobody_has_answered(fleet: InProcessFleet) -> None:
    run = asking(fleet, nodes.ask_before_deadline)
    fleet.set_clock(run, 600_000)  # The minute begins with the question.
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).outputs["state"]["heard"] == ["nobody"]


def test_a_function_of_a_plain_step_may_ask_too(fleet: InProcessFleet) -> None:
    plan = Plan(id="plain", steps=(python_step("ask", "tests.graph_cycles:ask_later", {}),))
    run = fleet.submit(plan)
    fleet.drain()
    run.answer("ask", "hi")
    fleet.finish(run)
    assert run.value("ask")["result"] == {"heard": "hi"}


def test_outside_of_a_step_there_is_nobody_to_ask() -> None:
    with pytest.raises(RuntimeError, match="outside of a step"):
        interrupt("anybody?")
