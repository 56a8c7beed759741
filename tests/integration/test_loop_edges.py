"""Maps and loops at their edges: workers that die, runs that end midway, many items, deep nesting, long ids."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import caps, names
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import Input, LoopKind, Plan, Step
from orchestrator_client.contract.run import RunState
from tests.fleet import InProcessFleet, Message, python_step
from tests.integration.loops import each, finish, loop, text

MESSAGE_BYTES = 1024


def plan(*steps: Step, **inputs: object) -> Plan:
    declared = {name: Input(default=value) for name, value in inputs.items()}
    return Plan(id="edges", inputs=declared, steps=steps)


def begun(fleet: InProcessFleet, run: Run) -> set[str]:
    """Items of the map `m` of which something is open."""
    found = (name.decode() for name in fleet.redis.hkeys(names.RunKeys(run.id).instances))
    return {name.partition(".")[0] for name in found if name.startswith("m[")}


def items_done(document: RunDocument) -> int:
    return sum(name.startswith("m[") and step.status == "completed" for name, step in document.steps.items())


def test_a_worker_that_dies_before_it_publishes_the_items_loses_none(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fleet.submit(plan(each("m", [1, 2, 3, 4], text("t", "{{ item }}"), max_parallel=4)))
    message = fleet.take()
    assert message is not None
    with monkeypatch.context() as dying:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        dying.setattr(fleet.engine.scheduler, "_publish", die)
        with pytest.raises(KeyboardInterrupt):
            fleet.deliver(message)
    assert fleet.take() is None
    assert begun(fleet, run) == {"m[0]", "m[1]", "m[2]", "m[3]"}
    document = finish(fleet, run)
    assert document.success
    assert items_done(document) == 4


def test_an_item_that_ends_while_its_map_is_at_work_calls_it_back_all_the_same(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both items end; the first calls the map back, and the second ends while that attempt is under way."""
    run = fleet.submit(plan(each("m", [1, 2, 3], text("t", "{{ item }}"), max_parallel=2)))
    fleet.deliver(taken(fleet))
    first, second = taken(fleet), taken(fleet)
    fleet.deliver(first)
    back = taken(fleet)
    perform = fleet.engine.executor._loops.perform

    def interrupted(call: object) -> object:
        want = perform(call)  # type: ignore[arg-type]
        monkeypatch.undo()
        fleet.deliver(second)
        return want

    monkeypatch.setattr(fleet.engine.executor._loops, "perform", interrupted)
    fleet.deliver(back)
    document = finish(fleet, run)
    assert document.success
    assert items_done(document) == 3


def taken(fleet: InProcessFleet) -> Message:
    message = fleet.take()
    assert message is not None
    return message


NESTED = plan(
    each("m", "{{ rows }}", each("inner", "{{ item }}", text("t", "x"), max_parallel=2)), rows=[[1, 2, 3]] * 4
)


@pytest.mark.parametrize("delivered", [1, 2, 3, 4, 7, 10])
def test_a_run_cancelled_within_nested_maps_ends(fleet: InProcessFleet, delivered: int) -> None:
    run = fleet.submit(NESTED)
    for _ in range(delivered):
        fleet.deliver(taken(fleet))
    run.cancel()
    document = finish(fleet, run)
    assert document.status == RunState.CANCELLED
    assert run.status().open == 0


def test_a_failure_within_nested_maps_ends_the_run(fleet: InProcessFleet) -> None:
    bad = python_step("bad", "tests.functions:fail", "no", condition="{{ loops.m.index == 1 and index == 1 }}")
    inner = each("inner", "{{ item }}", bad)
    run = fleet.submit(plan(each("m", [[1, 2]] * 3, inner, max_parallel=2), text("end", "x", after=("m",))))
    document = finish(fleet, run)
    assert document.status == "failed"
    assert document.steps["m[1].inner[1].bad"].status == "failed"
    assert document.steps["end"].status == "cancelled"
    assert run.status().open == 0


def test_of_300_items_there_are_never_more_than_7_under_way(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan(each("m", list(range(300)), text("t", "{{ item }}"), max_parallel=7)))
    most = 0
    while (message := fleet.take(names.TOOL_QUEUE, names.CONTROL_QUEUE)) is not None:
        if message.task == names.STEP_TASK:
            fleet.deliver(message)
        most = max(most, len(begun(fleet, run)))
    document = finish(fleet, run)
    assert document.success
    assert items_done(document) == 300
    assert most == 7


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_loops_nest(fleet: InProcessFleet, depth: int) -> None:
    inner = text("t", "".join(f"{{{{ loops.l{level}.index }}}}" for level in range(depth)))
    for level in reversed(range(depth)):
        if level % 2:
            inner = loop(f"l{level}", LoopKind.WHILE, "{{ iteration < 2 }}", inner)
        else:
            inner = each(f"l{level}", [1, 2], inner)
    document = finish(fleet, fleet.submit(plan(inner)))
    assert document.success, document.error
    found = sorted(step.value["result"] for name, step in document.steps.items() if name.endswith(".t"))
    assert found == [f"{number:0{depth}b}" for number in range(2**depth)]


@pytest.mark.parametrize("scopes", [0, 1])
def test_a_message_of_the_longest_ids_stays_small(fleet: InProcessFleet, scopes: int) -> None:
    message = message_within(fleet, scopes, caps.ID_CHARACTERS)
    assert len(message.raw) <= MESSAGE_BYTES


def test_a_message_grows_by_its_path_and_nothing_else(fleet: InProcessFleet) -> None:
    """The name of an instance stands in its message three times, so that a scope costs as often what it is called."""
    sizes = [len(message_within(fleet, scopes, caps.ID_CHARACTERS).raw) for scopes in range(4)]
    print(sizes)
    scope = caps.ID_CHARACTERS + len("[0].")
    assert [later - earlier for earlier, later in pairwise(sizes)] == [3 * scope] * 3


def message_within(fleet: InProcessFleet, scopes: int, characters: int) -> Message:
    """The message of a step within so many maps, all ids of that length."""
    ids = [letter * characters for letter in "abcd"[: scopes + 1]]
    inner = text(ids[-1], "x")
    for name in reversed(ids[:-1]):
        inner = each(name, [1], inner)
    fleet.redis.flushall()
    fleet.submit(plan(inner))
    for _ in range(scopes):
        fleet.deliver(taken(fleet))
    message = taken(fleet)
    assert message.args[1].endswith(ids[-1])
    return message
