"""What a pipeline file means: the plan that comes of it, and the warnings beside it."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import InputType, Plan
from orchestrator_client.loader import load, loads
from tests.unit.loading import TERMINAL, codes, plan_of, step_of

FAN = """\
id: fan
name: Fan
version: 1.10
description: Two branches
parameters:
  folder: {type: string, default: out}
model: gpt-5-mini
metadata: {category: demo, "on": no}
steps:
  - id: alpha
    tool: filesystem
    action: write
    parameters: {path: "{{ folder }}/a.txt", content: hello}
  - id: beta
    action: generate_text
    parameters: {prompt: "Say {{ folder }}"}
  - id: join
    name: The join
    tool: filesystem
    action: write
    dependencies: [beta]
    parameters:
      path: "{{ alpha.result.path }}.joined"
      content: |
        {{ beta.result }}
        {{ steps.alpha.status }}
outputs:
  path: "{{ join.result.path }}"
  nested: {deep: ["{{ beta }}", 3]}
  long: {type: string, description: The text, value: "{{ outputs.path }}"}
"""


class TestWholeFile:
    def test_a_file_becomes_the_plan_it_describes(self) -> None:
        loaded = loads(FAN)
        plan = loaded.plan
        assert (plan.id, plan.name, plan.version, plan.description) == ("fan", "Fan", "1.10", "Two branches")
        assert plan.metadata == {"category": "demo", "on": "no"}
        assert plan.inputs["folder"].default == "out"
        assert plan.outputs == {
            "path": "{{ join.result.path }}",
            "nested": {"deep": ["{{ beta }}", 3]},
            "long": "{{ outputs.path }}",
        }
        assert plan.levels == (("alpha", "beta"), ("join",))
        assert loaded.warnings == []

    def test_templates_make_dependencies_beside_those_declared(self) -> None:
        join = loads(FAN).plan.step_by_id["join"]
        assert join.after == ("beta", "alpha")
        assert join.reads == ("alpha", "beta")
        assert (join.name, join.line) == ("The join", 17)

    def test_the_default_model_is_for_model_steps_only(self) -> None:
        plan = loads(FAN).plan
        assert [step.model for step in plan.steps] == [None, "gpt-5-mini", None]

    def test_the_plan_survives_its_own_json(self) -> None:
        plan = loads(FAN).plan
        assert Plan.from_json(plan.to_json()) == plan

    def test_the_same_text_gives_the_same_hash(self) -> None:
        assert loads(FAN).plan.hash == loads(FAN.encode()).plan.hash

    def test_a_byte_order_mark_and_windows_line_ends_change_nothing(self) -> None:
        windows = b"\xef\xbb\xbf" + FAN.replace("\n", "\r\n").encode()
        assert loads(windows).plan == loads(FAN).plan

    @pytest.mark.parametrize(
        ("head", "file", "expected"),
        [
            ("id: mine\nname: Other", "f.yaml", "mine"),
            ("name: My First Pipeline!", "f.yaml", "My_First_Pipeline"),
            ("name: 99 Luftballons", "f.yaml", "p_99_Luftballons"),
            ("description: no name", "folder/night run.yaml", "night_run"),
        ],
    )
    def test_the_id_falls_back_to_the_name_and_to_the_file(self, head: str, file: str, expected: str) -> None:
        assert loads(f"{head}\nsteps: [{{id: x, {TERMINAL}}}]", file).plan.id == expected

    def test_a_file_is_loaded_by_its_path(self, tmp_path: Path) -> None:
        path = tmp_path / "fan.yaml"
        path.write_text(FAN)
        assert load(path).plan == load(str(path)).plan == loads(FAN).plan

    def test_a_link_to_a_file_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "fan.yaml").write_text(FAN)
        os.symlink(tmp_path / "fan.yaml", tmp_path / "link.yaml")
        assert load(tmp_path / "link.yaml").plan.id == "fan"

    def test_one_and_a_half_thousand_steps_are_no_problem(self) -> None:
        steps = "\n".join(
            f"- {{id: s{i}, {TERMINAL}, dependencies: [{f's{i - 1}' if i else ''}]}}" for i in range(1500)
        )
        assert len(loads(f"steps:\n{steps}").plan.order) == 1500


class TestScalars:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("no", "no"),
            ("on", "on"),
            ("22:22", "22:22"),
            ("1_000", "1_000"),
            ("2024-01-01", "2024-01-01"),
            ("1e3", 1000.0),
            ("0x1F", 31),
            ("0o17", 15),
            ("-7", -7),
            (".5", 0.5),
            ("~", None),
            ("True", True),
            ('"5"', "5"),
            ("! 5", "5"),
            ("!!str 5", "5"),
            ("!!int 5", 5),
            (r'"\ud83d\ude00"', "😀"),
            ("9007199254740992", 2**53),
        ],
    )
    def test_yaml_1_2_as_far_as_json_goes(self, written: str, value: Any) -> None:
        plan = loads(f"metadata: {{it: {written}}}\nsteps: [{{id: x, {TERMINAL}}}]").plan
        assert plan.metadata["it"] == value
        assert type(plan.metadata["it"]) is type(value)

    def test_leading_zeros_are_warned_of(self) -> None:
        loaded = loads(f"metadata: {{zip: 01234}}\nsteps: [{{id: x, {TERMINAL}}}]")
        assert loaded.plan.metadata["zip"] == 1234
        assert codes(loaded) == ["number-spelling"]


class TestInputs:
    def test_parameters_and_inputs_are_one_namespace(self) -> None:
        plan = plan_of(f"""
            parameters:
              topic: {{type: string, description: What about, default: owls}}
              count: 3
              rows: {{a: 1}}
            inputs:
              topic: cats
              level: {{type: str, enum: [low, high], required: true}}
              flag: {{type: boolean, default: "no"}}
              many: {{type: list, default: "[1, 2]"}}
            steps: [{{id: x, {TERMINAL}}}]
        """)
        assert plan.inputs["topic"].default == "cats"
        assert plan.inputs["topic"].description == "What about"
        assert plan.inputs["count"].default == 3
        assert plan.inputs["rows"].default == {"a": 1}
        assert plan.inputs["level"].required
        assert plan.inputs["level"].choices == ("low", "high")
        assert plan.inputs["flag"].default is False
        assert plan.inputs["many"].default == [1, 2]
        assert plan.inputs["count"].type is InputType.ANY

    @pytest.mark.parametrize("key", ["parameters", "inputs"])
    def test_a_list_of_them(self, key: str) -> None:
        loaded = loads(f"""
{key}:
  - {{name: size, default: 2, type: integer}}
  - topic: {{default: bees}}
  - loud: false
steps: [{{id: x, {TERMINAL}}}]
""")
        assert {name: entry.default for name, entry in loaded.plan.inputs.items()} == {
            "size": 2,
            "topic": "bees",
            "loud": False,
        }
        assert codes(loaded) == ["inputs-list"]

    def test_what_is_declared_and_not_enforced_is_warned_of(self) -> None:
        loaded = loads(f"inputs: {{n: {{type: integer, range: [1, 2], example: 1}}}}\nsteps: [{{id: x, {TERMINAL}}}]")
        assert codes(loaded) == ["no-effect", "no-effect"]

    def test_an_input_that_a_step_hides_is_warned_of(self) -> None:
        loaded = loads(f"inputs: {{x: 1}}\nsteps: [{{id: x, {TERMINAL}}}]")
        assert [(warning.code, warning.line) for warning in loaded.warnings] == [("hidden-input", 2)]


class TestNames:
    def test_what_the_run_provides_is_known(self) -> None:
        names = ["timestamp", "current_timestamp", "current_date", "output_path", "pipeline_id", "execution.date"]
        command = " ".join(f"{{{{ {name} }}}}" for name in names)
        assert loads(f'steps: [{{id: x, tool: terminal, parameters: {{command: "{command}"}}}}]').warnings == []

    @pytest.mark.parametrize("name", ["topic", "parameters.topic", "inputs.topic"])
    def test_an_undeclared_input_is_a_warning_with_its_line(self, name: str) -> None:
        lines = ["steps:", "- id: x", "  tool: terminal", "  parameters:", "    command: |", "      echo"]
        loaded = loads("\n".join([*lines, f"      echo {{{{ {name} }}}}"]))
        (warning,) = loaded.warnings
        assert (warning.code, warning.line, warning.step) == ("unresolved-name", 7, "x")
        assert "give it with -i topic=" in warning.remedy

    def test_a_misspelt_name_is_a_warning_where_the_template_allows_for_it(self) -> None:
        text = """
            steps:
              - {id: fetch_page, tool: terminal, parameters: {command: date}}
              - {id: x, tool: terminal, parameters: {command: "{{ fetch_pages | default('none') }}"}}
        """
        assert codes(loads(textwrap.dedent(text))) == ["unknown-step"]

    def test_a_step_hides_nothing_of_loops_in_templates(self) -> None:
        step = step_of('tool: terminal, parameters: {command: "{% for first in [1] %}{{ first }}{% endfor %}"}')
        assert step.after == ()


class TestOldKeys:
    @pytest.mark.parametrize(
        "key", ["context: {a: 1}", "pipeline: fan", "enhanced_outputs: {}", "v1_simple: {}", "tags: [a]"]
    )
    def test_keys_without_effect_at_the_top_are_warned_of(self, key: str) -> None:
        assert codes(loads(f"{key}\nsteps: [{{id: x, {TERMINAL}}}]")) == ["no-effect"]

    @pytest.mark.parametrize(
        "key", ["produces: text", "location: out", "requires_model: {min_size: 7B}", "tags: [a]", "outputs: {a: b}"]
    )
    def test_keys_without_effect_in_a_step_are_warned_of(self, key: str) -> None:
        loaded = loads(f"steps: [{{id: x, {TERMINAL}, {key}}}]")
        assert [(warning.code, warning.step) for warning in loaded.warnings] == [("no-effect", "x")]

    def test_outputs_as_a_list(self) -> None:
        loaded = loads(
            f"steps: [{{id: x, {TERMINAL}}}]\n"
            "outputs: [{name: a, value: '{{ x }}'}, {name: b, source: 3}, {c: 4}]"
        )
        assert loaded.plan.outputs == {"a": "{{ x }}", "b": 3, "c": 4}
        assert codes(loaded) == ["outputs-list"]

    def test_an_auto_tag_in_a_description_is_only_text(self) -> None:
        assert loads(f"description: Was <AUTO>x</AUTO>\nsteps: [{{id: x, {TERMINAL}}}]").warnings == []

    def test_ids_that_differ_by_case_only_are_warned_of(self) -> None:
        loaded = loads(f"steps: [{{id: fetch, {TERMINAL}}}, {{id: Fetch, {TERMINAL}}}]")
        assert codes(loaded) == ["similar-id"]


def test_problems_render_with_file_line_and_column() -> None:
    with pytest.raises(PlanInvalid, match=r"night\.yaml:1:11  the step has no id; add id: some_name"):
        loads("steps: [ {tool: terminal}]".replace("[ ", "[  "), "night.yaml")
