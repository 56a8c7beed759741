"""Pipelines that a pipeline runs: found, compiled with it, and refused with the place of what is wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import Plan, StepKind
from orchestrator_client.loader import Loaded, load, loads

LEAF = """\
id: leaf
inputs:
  who: {type: string, required: true}
  times: {type: integer, default: 1}
steps:
  - {id: hello, tool: terminal, parameters: {command: ["echo", "{{ who }}"]}}
outputs: {said: "{{ hello.stdout }}"}
"""


def running(pipeline: str, more: str = "inputs: {who: ada}") -> str:
    """A pipeline whose one step runs another."""
    step = f"  - id: sub\n    tool: pipeline-executor\n    parameters:\n      pipeline: {pipeline}\n      {more}\n"
    return f"steps:\n{step}"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def refused(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(PlanInvalid) as caught:
        load(written(folder, "main.yaml", text))
    return caught.value.problems


def child_of(loaded: Loaded, step: str = "sub") -> Plan:
    found = loaded.plan.step_by_id[step]
    assert (found.kind, found.uses, "pipeline" in found.parameters) == (
        StepKind.CONTROL,
        "pipeline-executor.execute",
        False,
    )
    return loaded.plan.child(found.child)


@pytest.mark.parametrize("place", ["leaf.yaml", "sub/leaf.yml", "leaf"])
def test_a_path_is_looked_up_from_the_file_that_names_it(tmp_path: Path, place: str) -> None:
    written(tmp_path, place if "." in place else f"{place}.yaml", LEAF)
    assert child_of(load(written(tmp_path, "main.yaml", running(place)))).id == "leaf"


@pytest.mark.parametrize("folder", [".", "examples", "pipelines"])
def test_then_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    written(tmp_path, f"{folder}/leaf.yaml", LEAF)
    monkeypatch.chdir(tmp_path)
    assert child_of(load(written(tmp_path, "elsewhere/main.yaml", running("leaf.yaml")))).id == "leaf"


INLINE = """\
steps:
  - id: sub
    tool: pipeline-executor
    action: execute
    parameters:
      pipeline: |
        id: inner
        steps:
          - {id: hello, tool: terminal, parameters: {command: ["echo", "{{ inputs.who }}"]}}
        outputs: {said: "{{ hello.stdout }}"}
      inputs: {who: "{{ whom }}"}
parameters: {whom: ada}
"""


def test_a_text_is_a_pipeline_whose_templates_are_its_own() -> None:
    loaded = loads(INLINE)
    child = child_of(loaded)
    assert (child.id, child.steps[0].parameters["command"][1]) == ("inner", "{{ inputs.who }}")
    assert loaded.warnings == []


def test_a_mapping_is_a_pipeline_too() -> None:
    inner = "{id: inner, steps: [{id: a, tool: terminal, parameters: {command: date}}]}"
    assert child_of(loads(running(inner))).id == "inner"


def test_what_is_wrong_in_a_text_is_told_at_its_line() -> None:
    with pytest.raises(PlanInvalid) as caught:
        loads(INLINE.replace("tool: terminal", "tool: terminl"))
    [problem] = caught.value.problems
    assert (problem.code, problem.line) == ("unknown-tool", 9)
    assert problem.message == "in its pipeline: step 'hello': no tool 'terminl'"


def test_what_is_wrong_in_a_file_is_told_with_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, "leaf.yaml", LEAF.replace("tool: terminal", "tool: terminl"))
    [problem] = refused(tmp_path, running("leaf.yaml"))
    assert problem.line == 5
    assert problem.message.startswith(f"in {file}:6:17: step 'hello': no tool 'terminl'")


def test_a_pipeline_that_is_nowhere_is_refused_with_the_folders(tmp_path: Path) -> None:
    [problem] = refused(tmp_path, running("gone.yaml"))
    assert (problem.code, problem.line, problem.message) == ("unknown-pipeline", 5, "no pipeline 'gone.yaml'")
    assert str(tmp_path) in problem.remedy


def test_a_choice_that_only_the_run_makes_is_refused(tmp_path: Path) -> None:
    [problem] = refused(tmp_path, running("'{{ which }}.yaml'"))
    assert (problem.code, "one step for each pipeline" in problem.remedy) == ("unknown-pipeline", True)


def test_a_circle_is_spelled_out(tmp_path: Path) -> None:
    written(tmp_path, "b.yaml", running("main.yaml", "inputs: {}"))
    [problem] = refused(tmp_path, running("b.yaml", "inputs: {}"))
    assert problem.code == "cycle"
    assert problem.message.endswith("pipelines run each other in a circle: main.yaml -> b.yaml -> main.yaml")


def test_eight_levels_and_no_more(tmp_path: Path) -> None:
    written(tmp_path, "l9.yaml", LEAF)
    for level in range(1, 9):
        written(tmp_path, f"l{level}.yaml", running(f"l{level + 1}.yaml"))
    assert len(load(tmp_path / "l1.yaml").plan.children) == 8
    written(tmp_path, "l0.yaml", running("l1.yaml"))
    with pytest.raises(PlanInvalid, match="pipelines run each other deeper than 8 levels"):
        load(tmp_path / "l0.yaml")


def test_inputs_that_it_needs_must_be_there(tmp_path: Path) -> None:
    written(tmp_path, "leaf.yaml", LEAF)
    [problem] = refused(tmp_path, running("leaf.yaml", "inputs: {times: 2}\n      inherit_context: false"))
    assert (problem.code, problem.line) == ("missing-parameter", 6)
    with pytest.raises(PlanInvalid, match="input 'times' of pipeline 'leaf' must be of type integer"):
        load(written(tmp_path, "typed.yaml", running("leaf.yaml", "inputs: {who: a, times: many}")))


def test_inputs_around_count_unless_the_step_says_otherwise(tmp_path: Path) -> None:
    written(tmp_path, "leaf.yaml", LEAF)
    inherits = running("leaf.yaml", "inputs: {}") + "parameters: {who: ada}\n"
    assert load(written(tmp_path, "main.yaml", inherits)).warnings == []
    with pytest.raises(PlanInvalid, match="needs input 'who'"):
        load(written(tmp_path, "alone.yaml", inherits.replace("inputs: {}", "inherit_context: false")))


def test_an_output_that_is_not_there_gives_a_warning(tmp_path: Path) -> None:
    written(tmp_path, "leaf.yaml", LEAF)
    more = "inputs: {who: a}\n      output_mapping: {sadi: said}"
    [warning] = load(written(tmp_path, "main.yaml", running("leaf.yaml", more))).warnings
    assert (warning.code, warning.remedy) == ("unknown-output", "did you mean 'said'?")


def test_what_two_steps_run_is_compiled_once(tmp_path: Path) -> None:
    written(tmp_path, "leaf.yaml", LEAF)
    twice = running("leaf.yaml") + running("leaf.yaml").removeprefix("steps:\n").replace("id: sub", "id: again")
    plan = load(written(tmp_path, "main.yaml", twice)).plan
    assert len(plan.children) == 1
    assert Plan.from_json(plan.to_json()).hash == plan.hash
