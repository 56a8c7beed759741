"""Variables that are set while a run goes on: who sees them, from when on, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client import EventKind, InputsInvalid, Run, VariableScope, VariableType
from orchestrator_client.contract import caps, names
from orchestrator_client.contract.plan import Input, LoopKind, Plan
from tests.conformance.model_server import ModelServer
from tests.conformance.model_server import text as reply
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet
from tests.integration.loops import each, finish, loop, text
from tests.integration.model_fleet import ModelFleet, model_plan


def plan_of(*steps: Any, **fields: Any) -> Plan:
    return Plan(id="p", inputs={"tone": Input(default="plain")}, steps=steps, **fields)


def result(run: Run, step: str) -> object:
    return run.value(step)["result"]


TWO = plan_of(
    text("first", "{{ tone }}"),
    text("second", "{{ tone }} {{ inputs.tone }} {{ parameters.tone }} {{ new | default('-') }}", after=("first",)),
    outputs={"tone": "{{ tone }}"},
)


def step_of(fleet: InProcessFleet) -> None:
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    fleet.deliver(message)


def test_steps_that_start_afterwards_read_it_in_place_of_the_input(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    step_of(fleet)
    made = run.variables.set("tone", "formal", why="a bank", by="ada")
    run.variables.set("new", {"a": [1]}, by="ada")
    assert (made.version, made.type, made.scope) == (1, VariableType.INPUT, VariableScope.RUN)
    document = finish(fleet, run)
    assert result(run, "first") == "plain"
    assert result(run, "second") == "formal formal formal {'a': [1]}"
    assert document.outputs == {"tone": "formal"}


def test_what_was_set_is_never_a_template(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    run.variables.set("tone", "{{ execution.id }} ${tone}")
    finish(fleet, run)
    assert result(run, "first") == "{{ execution.id }} ${tone}"


def test_its_history_says_who_when_and_why(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    for value in ("formal", "warm"):
        run.variables.set("tone", value, why=f"it should be {value}", by="ada")
    past = run.variables.history("tone")
    assert [(one.version, one.value, one.by, one.why) for one in past] == [
        (0, "plain", "", ""),
        (1, "formal", "ada", "it should be formal"),
        (2, "warm", "ada", "it should be warm"),
    ]
    assert past[2].at_ms >= past[1].at_ms >= run.status().submitted_ms
    assert run.status().variables == 2


def test_a_history_keeps_so_many_versions_and_their_large_values_go_with_them(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "VERSIONS", 3)
    monkeypatch.setattr(caps, "INLINE_VALUE_BYTES", 10)
    run = fleet.submit(TWO)
    for number in range(5):
        run.variables.set("tone", f"{number} is a long value")
    past = run.variables.history("tone")
    assert [(one.version, one.value[0]) for one in past[1:]] == [(3, "2"), (4, "3"), (5, "4")]
    keys = [key.decode() for key in fleet.redis.scan_iter(match="*:variable:*")]
    assert sorted(keys) == [names.RunKeys(run.id).variable(f"/tone@{number}") for number in (3, 4, 5)]
    finish(fleet, run)
    assert result(run, "first") == "4 is a long value"


def test_a_client_follows_its_changes(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    run.variables.set("tone", "formal", why="a bank", by="ada")
    finish(fleet, run)
    [event] = run.variables.changes()
    assert event.kind is EventKind.VARIABLE_SET
    assert event.data == {"name": "tone", "version": 1, "by": "ada", "why": "a bank"}


@pytest.mark.parametrize(
    ("name", "value", "how", "words"),
    [
        ("first", 1, {}, "is a step: what it left is a receipt"),
        ("inner", 1, {}, "is a step"),
        ("item", 1, {}, "means something else"),
        ("execution", 1, {}, "means something else"),
        ("a-b", 1, {}, "is no name"),
        ("x" * 101, 1, {}, "is no name"),
        ("db_password", "x", {}, "is called like a secret"),
        ("note", ["sk-ant-abcdefghijklmnop123456"], {}, "holds a credential"),
        ("note", 1, {"why": "AKIAABCDEFGHIJKLMNOP"}, "why holds a credential"),
        ("note", 1, {"why": "x" * 1_001}, "why has 1,001 characters"),
        ("note", float("nan"), {}, "cannot be kept as JSON"),
        ("note", 1, {"within": "nobody"}, "name an instance"),
        ("note", 1, {"within": "first[2]"}, "name an instance"),
        ("note", 1, {"within": "map#2"}, "name an instance"),
        ("note", 1, {"seconds": 0.0}, "0 seconds"),
        ("note", 1, {"seconds": 5.0, "within": "first"}, "only one of the two"),
    ],
)
def test_what_cannot_be_set_is_refused_in_words(
    fleet: InProcessFleet, name: str, value: object, how: dict[str, Any], words: str
) -> None:
    run = fleet.submit(plan_of(text("first", "x"), each("map", [1], text("inner", "y"))))
    with pytest.raises(InputsInvalid, match=words):
        run.variables.set(name, value, **how)
    assert run.status().variables == 0


def test_a_value_that_is_too_large_is_refused(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "VALUE_BYTES", 100)
    run = fleet.submit(TWO)
    with pytest.raises(InputsInvalid, match="has 103 bytes of JSON; at most 100"):
        run.variables.set("note", "é" * 50 + "x")
    run.variables.set("note", "x" * 98)


def test_one_name_too_many_is_refused_and_none_of_the_others_is_set(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "VARIABLES", 2)
    run = fleet.submit(TWO)
    with pytest.raises(InputsInvalid, match="more than 2 names"):
        run.variables.restore({"a": 1, "b": 2, "c": 3})
    assert run.variables.restore({"a": 1, "b": 2}) == ["a", "b"]
    assert run.variables.set("a", 5).version == 2


def test_a_run_that_has_ended_takes_no_more(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    finish(fleet, run)
    with pytest.raises(InputsInvalid, match="is succeeded: no step of it starts any more"):
        run.variables.set("tone", "late")


# ---- scopes

NESTED = plan_of(
    each("map", ["a", "b"], each("inner", ["x", "y"], text("say", "{{ tone }}")), text("then", "{{ tone }}")),
    loop("turns", LoopKind.UNTIL, "{{ iteration == 2 }}", text("go", "{{ tone }}"), max_iterations=5),
    text("end", "{{ tone }}", after=("map", "turns")),
)


def test_a_step_sees_its_own_scope_and_those_around_it(fleet: InProcessFleet) -> None:
    run = fleet.submit(NESTED)
    run.variables.set("tone", "item", within="map[1]")
    run.variables.set("tone", "inner", within="map[1].inner[0]")
    run.variables.set("tone", "own", within="map[0].inner[1].say")
    run.variables.set("tone", "pass", within="turns#1")
    document = finish(fleet, run)
    said = {name: step.value.get("result") for name, step in document.steps.items() if "result" in step.value}
    assert said == {
        "map[0].inner[0].say": "plain",
        "map[0].inner[1].say": "own",
        "map[0].then": "plain",
        "map[1].inner[0].say": "inner",
        "map[1].inner[1].say": "item",
        "map[1].then": "item",
        "turns#0.go": "plain",
        "turns#1.go": "pass",
        "end": "plain",
    }
    assert run.variables.get("tone", "map[1].inner[1]").value == "item"
    assert run.variables.get("map[1].tone").scope is VariableScope.ITEM
    assert run.variables.get("turns#1.tone").scope is VariableScope.PASS
    assert run.variables.get("map[0].inner[1].say.tone").scope is VariableScope.STEP
    assert run.variables.get("tone").value == "plain"


def test_a_temporary_one_hides_the_others_for_its_time(fleet: InProcessFleet) -> None:
    run = fleet.submit(TWO)
    fleet.set_clock(run, 1_000)
    run.variables.set("tone", "urgent", seconds=60)
    step_of(fleet)
    assert run.variables.get("tone").scope is VariableScope.TEMPORARY
    fleet.set_clock(run, 61_001)
    assert run.variables.get("tone").value == "plain"
    finish(fleet, run)
    assert (result(run, "first"), result(run, "second")) == ("urgent", "plain plain plain -")


def test_what_loops_bind_is_read_by_item_and_pass(fleet: InProcessFleet) -> None:
    run = fleet.submit(NESTED)
    finish(fleet, run)
    assert run.variables.get("map[1].item").value == "b"
    assert run.variables.get("map[1].is_last").value is True
    assert run.variables.get("map[1].inner[0].item").value == "x"
    assert run.variables.get("item", "map[1].inner[0].say").value == "x"
    assert run.variables.get("turns#1.iteration").value == 1
    assert run.variables.get("map[0].then").writers == ("map.then",)
    with pytest.raises(InputsInvalid, match=r"no variable 'map\[7\].item'"):
        run.variables.get("map[7].item")


# ---- consistency


def test_one_attempt_sees_one_version_in_all_its_templates(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of(text("s", "{{ tone }}", condition="{{ tone == 'a' }}")))
    run.variables.set("tone", "a")
    message = fleet.take(names.TOOL_QUEUE)
    see, reads = fleet.engine.store.see, list[Any]()

    def see_and_set(*arguments: Any) -> Any:
        reads.append(see(*arguments))
        run.variables.set("tone", "b")  # while the attempt runs
        return reads[-1]

    fleet.engine.store.see = see_and_set  # type: ignore[method-assign]
    fleet.deliver(message)
    assert result(run, "s") == "a"
    assert reads == [{"tone": "a"}]


def test_variables_are_only_looked_for_where_one_was_set(fleet: InProcessFleet) -> None:
    """The record tells whether any was; with a record that says no, what lies in the store is not read."""
    run = fleet.submit(TWO)
    run.variables.set("tone", "formal")
    fleet.redis.hdel(names.RunKeys(run.id).record, "variables")
    finish(fleet, run)
    assert result(run, "first") == "plain"


# ---- models


@pytest.fixture
def models(redis_server: RedisServer, tmp_path: Path, server: ModelServer) -> Iterator[ModelFleet]:
    fleet = ModelFleet.on(redis_server.url, tmp_path, default_model="gpt-4o-mini")
    yield fleet
    fleet.close()


def test_a_prompt_reads_it_and_the_cache_keeps_no_answer_to_another_prompt(
    models: ModelFleet, server: ModelServer
) -> None:
    server.script(reply("one"), reply("two"), reply("three"))
    plan = model_plan(prompt="{{ tone | default('plain') }}", cache=True)

    def ran(*values: str) -> object:
        run = models.submit(plan)
        for value in values:
            # The message is in its queue: the call was let through with what was known before.
            run.variables.set("tone", value)
        while (message := models.take(names.model_queue("openai"))) is not None:
            models.deliver(message)
        models.engine.scheduler.close(run.id)
        return run.document().steps[plan.steps[0].id].value["result"]

    assert ran("formal") == "one"
    assert ran() == "two"
    assert ran() == "two"
