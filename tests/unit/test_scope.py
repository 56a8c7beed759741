"""What a template sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_client.contract.plan import Json, Plan, Step, StepKind
from orchestrator_client.contract.template import render
from orchestrator_worker.context import scope
from orchestrator_worker.context.scope import in_order_of_reference
from orchestrator_worker.records import OpenRun
from orchestrator_worker.settings import settings

NOON_MS = 1_767_268_800_500
"""2026-01-01T12:00:00.500 UTC."""


def scope_of(run: OpenRun, plan: Plan, values: dict[str, Json]) -> dict[str, Any]:
    """The names of a plan without loops, whose results nobody fetches."""
    return scope.scope_of(run, plan, values, lambda instances: {})


def step(name: str, **fields: Any) -> Step:
    return Step(id=name, kind=StepKind.TOOL, uses="python.call", **fields)


def seen(template: Json, inputs: dict[str, Json] | None = None, values: dict[str, Json] | None = None) -> Json:
    """A template, rendered in the scope of a run with these inputs and values."""
    run = OpenRun("weekly_1", "hash", json.dumps(inputs or {}).encode(), NOON_MS)
    return render(template, scope_of(run, Plan(id="weekly", steps=(step("draft"), step("save"))), values or {}))


@pytest.mark.parametrize("name", ["x", "inputs.x", "parameters.x"])
def test_an_input_goes_by_three_names(name: str) -> None:
    assert seen(f"{{{{ {name} }}}}", {"x": [1, 2]}) == [1, 2]


@pytest.mark.parametrize("name", ["draft", "draft.result", "steps.draft", "steps.draft.result"])
def test_a_step_goes_by_its_id_and_under_steps(name: str) -> None:
    assert seen(f"{{{{ {name} }}}}", values={"draft": {"result": "text", "success": True}}) == "text"


def test_a_step_hides_an_input_of_its_name_which_stays_under_inputs() -> None:
    both = seen("{{ draft }} {{ inputs.draft }}", {"draft": "given"}, {"draft": {"result": "made"}})
    assert both == "made given"


@pytest.mark.parametrize("name", ["inputs", "parameters", "steps"])
def test_an_input_cannot_take_the_place_of_a_room_of_names(name: str) -> None:
    assert seen(f"{{{{ {name}.draft }}}}", {name: "x", "draft": "y"}, {"draft": {"result": "y"}}) == "y"


def test_the_statuses_of_steps_before_it() -> None:
    values = {"draft": {"status": "failed", "success": False, "error": "e"}, "save": {"result": 1}}
    assert seen("{{ draft.status }} {{ save.status }}", values=values) == "failed completed"


def test_every_name_for_the_time_is_the_instant_of_submission() -> None:
    stamp = "2026-01-01T12:00:00.500000+00:00"
    names = ("execution.started_at", "execution.timestamp", "timestamp", "current_timestamp")
    assert {seen(f"{{{{ {name} }}}}") for name in names} == {stamp}
    assert seen("{{ execution.date }} {{ current_date }} {{ execution.time }}") == "2026-01-01 2026-01-01 12:00:00"


def test_the_names_of_run_and_pipeline() -> None:
    assert seen("{{ execution.id }} {{ execution_id }} {{ pipeline_id }}") == "weekly_1 weekly_1 weekly"


def test_output_path_has_a_default_that_an_input_overrides() -> None:
    assert seen("{{ output_path }}") == "outputs/weekly"
    assert seen("{{ output_path }}", {"output_path": "/elsewhere"}) == "/elsewhere"


def test_an_input_may_be_called_like_a_constant() -> None:
    assert seen("{{ timestamp }}", {"timestamp": "then"}) == "then"


def test_a_pipeline_without_channels_has_no_state() -> None:
    run = OpenRun("r", "h", b"{}", NOON_MS)
    assert "state" not in scope_of(run, Plan(id="p", steps=(step("s"),)), {})


def test_each_step_has_inputs_of_its_own() -> None:
    run, plan = OpenRun("r", "h", b'{"x": [1]}', NOON_MS), Plan(id="p", steps=(step("s"),))
    scope_of(run, plan, {})["inputs"]["x"].append(2)
    assert scope_of(run, plan, {})["inputs"]["x"] == [1]


# --- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "order"),
    [
        ({}, []),
        ({"b": "{{ s }}", "a": 1}, ["b", "a"]),
        ({"a": "{{ outputs.b }}", "b": "{{ outputs.c }}", "c": 1}, ["c", "b", "a"]),
        ({"a": {"deep": ["{{ outputs.b }}"]}, "b": 1}, ["b", "a"]),
        ({"a": "{{ outputs.b }}", "b": "{{ outputs.a }}"}, ["a", "b"]),
        ({"a": "{{ outputs.a }}", "b": 1}, ["a", "b"]),
        ({"a": "{{ outputs.gone }}", "b": 1}, ["a", "b"]),
        ({"a": "{{ s.b }}", "b": 1}, ["a", "b"]),
    ],
)
def test_outputs_stand_behind_those_that_they_read(outputs: dict[str, Json], order: list[str]) -> None:
    assert in_order_of_reference(outputs) == order


def test_only_allowed_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OpenRun("weekly_1", "hash", b'{"n": 3}', NOON_MS)
    monkeypatch.setenv("ORCHESTRATOR_ENV_ALLOW", "REGION, NOWHERE_SET")
    monkeypatch.setenv("REGION", "eu")
    settings.cache_clear()
    plan = Plan(id="p", steps=(), metadata={"namespaces": {"env": {"REGION": "us", "stage": "{{ n }}"}}})
    try:
        assert scope_of(run, plan, {})["env"] == {"REGION": "eu", "stage": 3}
        assert scope_of(run, Plan(id="p", steps=()), {})["env"] == {"REGION": "eu"}
    finally:
        settings.cache_clear()
