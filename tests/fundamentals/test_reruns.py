"""What was paid for is not paid for twice.

A run that has ended stays as it is: to try it again is a new run, which keeps results of it. Every result is kept whose
step succeeded, is the same, and has nothing before it that changes. The new run walks the same graph by the same
rules, and an instance that is kept is settled with what the other one left when its turn comes. So loops, routes and
joins need no rules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Input, OnFailure, Plan
from orchestrator_client.contract.run import Receipt, RunState
from orchestrator_client.contract.usage import Usage
from tests.conftest import RedisServer, assert_keys_have_ttl
from tests.fleet import InProcessFleet, plan_of_shape, python_step
from tests.fundamentals.families import child_step, drive, family
from tests.integration.loops import each, text


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    """Runs of it have folders of their own, as those of a real fleet."""
    fleet = InProcessFleet.on(redis_server.url, tmp_path / "{run}")
    yield fleet
    fleet.close()


def once(path: Path, name: str, after: tuple[str, ...] = ()) -> Any:
    """A step that says how often it was performed."""
    return python_step(name, "tests.functions:record", str(path / name), after=after)


def flaky(path: Path, name: str, after: tuple[str, ...] = (), **fields: Any) -> Any:
    """A step that fails the first time it is performed."""
    return python_step(name, "tests.functions:fail_until", str(path / name), 1, after=after, **fields)


def begun(fleet: InProcessFleet, run: Run) -> Any:
    """The document of a run that was recorded, once it has been driven to its end; its history is sound."""
    drive(fleet)
    assert fleet.client.verify(run.id).sound, fleet.client.verify(run.id)
    return run.document()


def submit(fleet: InProcessFleet, plan: Plan, **inputs: Any) -> Run:
    run = fleet.client.submit(plan, inputs)
    drive(fleet)
    return run


def statuses(document: Any) -> dict[str, str]:
    return {name: "kept" if step.kept_from else step.status for name, step in document.steps.items()}


def performed(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in path.iterdir() if file.is_file()}


def test_what_succeeded_is_kept_and_the_rest_is_done(fleet: InProcessFleet, tmp_path: Path) -> None:
    steps = (
        once(tmp_path, "a"),
        flaky(tmp_path, "b", ("a",)),
        once(tmp_path, "c", ("b",)),
        once(tmp_path, "d", ("a",)),
    )
    failed = submit(fleet, Plan(id="p", steps=steps, outputs={"a": "{{ a.result }}"}))
    assert failed.status().state is RunState.FAILED
    before = failed.document()
    retried = fleet.client.retry(failed.id)
    document = begun(fleet, retried)
    assert document.success
    assert statuses(document)["a"] == "kept"
    assert (document.outputs, performed(tmp_path)["a"], performed(tmp_path)["c"]) == ({"a": 1}, 1, 1)
    assert (document.forked_from, document.steps["a"].kept_from) == (failed.id, failed.id)
    after = failed.document()
    assert after.forks == (retried.id,)
    assert after.model_copy(update={"forks": ()}) == before, "the outcome of a run never changes"
    assert_keys_have_ttl(fleet.redis)


def test_asking_twice_gives_one_run(fleet: InProcessFleet, tmp_path: Path) -> None:
    failed = submit(fleet, Plan(id="p", steps=(flaky(tmp_path, "a"),)))
    first, second = fleet.client.retry(failed.id), fleet.client.retry(failed.id)
    assert (first.id, len(fleet.client.runs())) == (second.id, 2)
    assert fleet.client.retry(failed.id, ["a"]).id != first.id


def test_what_has_not_ended_or_not_failed_is_not_tried_again(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan_of_shape({"a": []}))
    with pytest.raises(InputsInvalid, match="has not ended"):
        fleet.client.retry(run.id)
    drive(fleet)
    with pytest.raises(InputsInvalid, match="nothing to try again"):
        fleet.client.retry(run.id)
    with pytest.raises(InputsInvalid, match="has no step 'z'"):
        fleet.client.retry(run.id, ["z"])


def test_a_step_that_is_named_is_done_again_with_all_behind_it(fleet: InProcessFleet) -> None:
    run = submit(fleet, plan_of_shape({"a": [], "b": ["a"], "c": ["b"], "d": ["a"]}))
    rerun = fleet.client.rerun(run.id, ["b"])
    assert (rerun.kept, rerun.again) == (("a", "d"), {"b": "it was asked for", "c": "it is behind b"})
    document = begun(fleet, fleet.client.retry(run.id, ["b"]))
    assert statuses(document) == {"a": "kept", "b": "completed", "c": "completed", "d": "kept"}


def test_the_value_of_a_failure_that_a_plan_went_on_from_is_not_kept(fleet: InProcessFleet, tmp_path: Path) -> None:
    reads = text("reads", "{{ a.status }}", ("a",), ("a",))
    run = submit(fleet, Plan(id="p", steps=(flaky(tmp_path, "a", on_failure=OnFailure.CONTINUE), reads)))
    assert run.value("reads")["result"] == "failed"
    document = begun(fleet, fleet.client.retry(run.id))
    assert (document.success, document.steps["reads"].value["result"]) == (True, "completed")


@pytest.mark.parametrize("large", [False, True])
def test_a_fork_with_another_input_does_what_reads_it(fleet: InProcessFleet, large: bool) -> None:
    plan = Plan(
        id="p",
        inputs={"who": Input(default="ann"), "other": Input(default=1)},
        steps=(
            python_step("big", "tests.functions:big", 1) if large else python_step("big"),
            text("hello", "hello {{ who }}", ("big",)),
            text("loud", "{{ hello.result | upper }} {{ big.result | length }}", ("hello", "big"), ("hello", "big")),
        ),
    )
    run = submit(fleet, plan)
    assert fleet.client.rerun(run.id, inputs={"who": "bob"}).again == {
        "hello": "who has changed",
        "loud": "it is behind hello",
    }
    document = begun(fleet, fleet.client.fork(run.id, inputs={"who": "bob"}))
    assert statuses(document) == {"big": "kept", "hello": "completed", "loud": "completed"}
    assert document.steps["loud"].value["result"].startswith("HELLO BOB ")
    assert document.steps["loud"].value["result"].endswith("1048576" if large else "0")
    assert_keys_have_ttl(fleet.redis)


def test_another_file_keeps_the_steps_that_are_written_alike(fleet: InProcessFleet) -> None:
    run = submit(fleet, Plan(id="p", steps=(text("a", "1"), text("b", "2", ("a",)), text("c", "3", ("a",)))))
    moved = text("a", "1").model_copy(update={"line": 7, "name": "A"})
    plan = Plan(id="p", steps=(moved, text("b", "two", ("a",)), text("c", "3", ("a",)), text("d", "4", ("b",))))
    assert fleet.client.rerun(run.id, pipeline=plan).again == {"b": "its definition has changed", "d": "it is new"}
    document = begun(fleet, fleet.client.fork(run.id, pipeline=plan))
    assert statuses(document) == {"a": "kept", "b": "completed", "c": "kept", "d": "completed"}


def test_items_of_a_map_that_are_done_stay_done(fleet: InProcessFleet, tmp_path: Path) -> None:
    place = f"{tmp_path}/{{{{ item }}}}"
    body = (
        python_step("one", "tests.functions:record", f"{place}.one"),
        python_step("two", "tests.functions:fail_until", f"{place}.two", "{{ index % 2 }}", after=("one",)),
    )
    run = submit(fleet, Plan(id="p", steps=(each("every", ["a", "b", "c"], *body, max_parallel=3),)))
    assert run.status().state is RunState.FAILED
    document = begun(fleet, fleet.client.retry(run.id))
    assert document.success
    kept = {name for name, status in statuses(document).items() if status == "kept"}
    assert kept == {name for name, step in run.document().steps.items() if step.success}
    assert all(times == 1 for name, times in performed(tmp_path).items() if name.endswith(".one"))


def test_a_sub_pipeline_that_failed_keeps_its_own_results(fleet: InProcessFleet, tmp_path: Path) -> None:
    leaf = Plan(id="leaf", steps=(once(tmp_path, "a"), flaky(tmp_path, "b", ("a",)), once(tmp_path, "c", ("b",))))
    middle = Plan(id="middle", steps=(once(tmp_path, "m"), child_step("below", "leaf", ("m",))))
    run = submit(fleet, family(child_step("sub", "middle"), middle=middle, leaf=leaf))
    assert run.status().state is RunState.FAILED
    rerun = fleet.client.rerun(run.id)
    assert rerun.kept == ("sub: m", "sub: below: a")
    retried = fleet.client.retry(run.id)
    assert begun(fleet, retried).success
    assert performed(tmp_path) | {"b": 0} == {"a": 1, "b": 0, "c": 1, "m": 1}
    [child] = retried.children()
    with pytest.raises(InputsInvalid, match=f"was started by a step of {retried.id}"):
        fleet.client.rerun(child.run)


def test_files_of_kept_steps_are_there(fleet: InProcessFleet, tmp_path: Path) -> None:
    write = python_step("write").model_copy(
        update={"uses": "filesystem.write", "parameters": {"path": "out/a.txt", "content": "kept"}}
    )
    read = python_step("read", after=("bad",)).model_copy(
        update={"uses": "filesystem.read", "parameters": {"path": "out/a.txt"}}
    )
    run = submit(fleet, Plan(id="p", steps=(write, flaky(tmp_path, "bad", ("write",)), read)))
    retried = fleet.client.retry(run.id)
    document = begun(fleet, retried)
    assert document.steps["read"].value["result"]["content"] == "kept"
    (tmp_path / retried.id / "out/a.txt").write_text("changed")
    assert (tmp_path / run.id / "out/a.txt").read_text() == "kept"


def test_what_was_set_while_it_ran_is_still_set(fleet: InProcessFleet, tmp_path: Path) -> None:
    says = text("says", "{{ tone }}", ("bad",))
    plan = Plan(id="p", inputs={"tone": Input(default="dry")}, steps=(flaky(tmp_path, "bad"), says))
    run = fleet.client.submit(plan)
    run.variables.set("tone", "warm")
    drive(fleet)
    assert begun(fleet, fleet.client.retry(run.id)).steps["says"].value["result"] == "warm"


def test_what_was_paid_is_inherited_and_not_spent(fleet: InProcessFleet) -> None:
    """Twice removed, it still says who paid."""
    paid = Usage(requests=2, input_tokens=10, cost_usd="0.25")
    run = submit(fleet, plan_of_shape({"a": [], "b": ["a"]}))
    keys = names.RunKeys(run.id)
    receipt = Receipt.from_stored(fleet.redis.hget(keys.receipts, "a").decode()).model_copy(update={"usage": paid})
    fleet.redis.hset(keys.receipts, "a", f"{receipt.ended_ms} {receipt.model_dump_json(exclude_defaults=True)}")
    assert fleet.client.rerun(run.id, ["b"]).inherited == paid
    second = fleet.client.retry(run.id, ["b"])
    drive(fleet)
    third = fleet.client.retry(second.id, ["b"])
    document = begun(fleet, third)
    assert (document.usage.requests, document.inherited, document.steps["a"].kept_from) == (0, paid, run.id)
    assert third.why("a")[0].because == f"kept from run {run.id}, where it cost $0.2500"
    assert fleet.client.cost(third.id).total.usd == 0
