"""AUTO tags in a file: none of them is YAML's business, whatever it holds, and each keeps its place and its text."""

from __future__ import annotations

import textwrap

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.loader import loads
from orchestrator_client.loader.text.auto import protect
from tests.unit.loading import codes, step_of

PROSE = 'best: "simple", {a} or [b]? # it\'s {{ first.stdout }}'
TAG = f"<AUTO>{PROSE}</AUTO>"


def options_of(text: str) -> object:
    """What stands under `options` of the one step of a file."""
    return loads(text).plan.step_by_id["x"].parameters["options"]


def file_with(options: str) -> str:
    first = "- {id: first, tool: terminal, parameters: {command: date}}"
    return f"steps:\n{first}\n- id: x\n  action: generate\n  parameters:\n    prompt: p\n    options:\n{options}\n"


class TestProtected:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            (f"      a: {TAG}", {"a": TAG}),
            (f"      a: {TAG}   # a comment", {"a": TAG}),
            (f"      - {TAG}", [TAG]),
            (f"      - a: {TAG}\n        b: 1", [{"a": TAG, "b": 1}]),
            (f"      {{a: {TAG}, b: [{TAG}, 2]}}", {"a": TAG, "b": [TAG, 2]}),
            (f"      a: see {TAG} and {TAG}.", {"a": f"see {TAG} and {TAG}."}),
            (f'      a: "{TAG}"', {"a": TAG}),
            (f"      a: '{TAG}'", {"a": TAG}),
            ('      {a: "<AUTO>x</AUTO>", b: 1}', {"a": "<AUTO>x</AUTO>", "b": 1}),
            ('      a: "<AUTO>\\"x\\"\\n</AUTO>"', {"a": '<AUTO>"x"\n</AUTO>'}),
            ("      a: '<AUTO>it''s</AUTO>'", {"a": "<AUTO>it's</AUTO>"}),
            ('      a: <AUTO type="integer" min="1">n: 1</AUTO>', {"a": '<AUTO type="integer" min="1">n: 1</AUTO>'}),
            ('      a: "<AUTO type="integer">n</AUTO>"', {"a": '<AUTO type="integer">n</AUTO>'}),
            ("      a: <AUTO>a: <AUTO>b: c</AUTO>: d</AUTO>", {"a": "<AUTO>a: <AUTO>b: c</AUTO>: d</AUTO>"}),
            (
                "      a: <AUTO>one: 1\n        two: 2\n\n        </AUTO>\n      b: 1",
                {"a": "<AUTO>one: 1 two: 2 </AUTO>", "b": 1},
            ),
            ("      a: <AUTO>\n        one: 1</AUTO> more\n      b: 1", {"a": "<AUTO> one: 1</AUTO> more", "b": 1}),
            (
                "      a: |\n        one <AUTO>b: c\n        d</AUTO>\n      b: 1",
                {"a": "one <AUTO>b: c\nd</AUTO>\n", "b": 1},
            ),
            ("      a: >-\n        one <AUTO>b: c</AUTO>\n        two", {"a": "one <AUTO>b: c</AUTO> two"}),
        ],
    )
    def test_wherever_it_stands(self, written: str, value: object) -> None:
        found = options_of(file_with(written))
        assert found == value

    def test_an_open_tag_swallows_nothing(self) -> None:
        plan = loads(
            textwrap.dedent("""\
                steps:
                - id: a
                  action: generate
                  parameters:
                    model: <AUTO>
                    prompt: p
                - {id: b, action: generate, model: <AUTO>, parameters: {prompt: <AUTO>x: y</AUTO>}}
                - {id: c, action: generate, parameters: {prompt: "<AUTO>z</AUTO>"}, model: <AUTO task="code">}
            """)
        ).plan
        assert [(step.id, step.model) for step in plan.steps] == [("a", "AUTO"), ("b", "AUTO"), ("c", "AUTO")]
        assert plan.steps[1].parameters["prompt"] == "<AUTO>x: y</AUTO>"
        assert plan.steps[2].parameters["selection"] == {"task": "code"}

    def test_places_behind_a_tag_are_those_of_the_file(self) -> None:
        text = (
            "steps:\n- id: x\n  action: generate\n  parameters:\n    prompt: <AUTO>one:\n      two\n      </AUTO>\n"
            "    stop: [<AUTO>a: b</AUTO>, c]\n- {id: y, action: <AUTO>do: it</AUTO>, timeout: -1}\n"
        )
        with pytest.raises(PlanInvalid) as caught:
            loads(text)
        (problem,) = caught.value.problems
        column = text.splitlines()[8].index("-1") + 1
        assert (problem.line, problem.column) == (9, column)

    def test_prose_about_a_tag_is_no_tag(self) -> None:
        step = step_of('action: generate, parameters: {prompt: "the <AUTOMATIC> mode </AUTO>"}')
        assert step.parameters["prompt"] == "the <AUTOMATIC> mode </AUTO>"

    def test_a_file_that_uses_the_placeholders_characters(self) -> None:
        odd = "\ue000" + "\ue001"
        assert options_of(file_with(f"      a: {odd}0{odd} {TAG}")) == {"a": f"{odd}0{odd} {TAG}"}

    def test_windows_line_ends(self) -> None:
        text = file_with("      a: <AUTO>one:\n        two</AUTO>\n      b: 1").replace("\n", "\r\n")
        assert options_of(text) == {"a": "<AUTO>one: two</AUTO>", "b": 1}

    def test_a_text_keeps_its_shape(self) -> None:
        text = file_with(f"      a: {TAG}\n      b: [{TAG}, 1]")
        lines, shown = text.split("\n"), protect(text).text.split("\n")
        assert [len(line) for line in lines] == [len(line) for line in shown]


class TestPlaces:
    def test_in_parameters_it_is_a_text_whose_templates_count(self) -> None:
        step = step_of(f"action: generate, parameters:\n  {{prompt: p, max_tokens: {TAG}, criteria: {TAG}}}")
        assert (step.parameters["max_tokens"], step.after, step.reads) == (TAG, ("first",), ("first",))

    def test_what_is_asked_for_is_no_unknown_parameter(self) -> None:
        loaded = loads(
            "steps: [{id: x, action: generate, parameters: {prompt: p, style: <AUTO>which?</AUTO>, mood: good}}]"
        )
        assert [warning.message for warning in loaded.warnings] == ["generate ignores 'mood'"]

    def test_as_a_condition(self) -> None:
        step = step_of(
            "action: generate, condition: <AUTO>{{ first.stdout }} < 7? Say: true</AUTO>, parameters: {prompt: p}"
        )
        assert (step.condition, step.after) == ("<AUTO>{{ first.stdout }} < 7? Say: true</AUTO>", ("first",))

    @pytest.mark.parametrize(
        ("written", "prompt"),
        [
            ("<AUTO>do: {{ first.stdout }}</AUTO>", "do: {{ first.stdout }}"),
            ('<AUTO task="code">do {{ first.stdout }}</AUTO>', "do {{ first.stdout }}"),
            (
                "'Do <AUTO>a {{ first.stdout }}</AUTO> and <AUTO>b</AUTO>'",
                "Do <AUTO>a {{ first.stdout }}</AUTO> and <AUTO>b</AUTO>",
            ),
            (
                "'<AUTO>a {{ first.stdout }}</AUTO>, <AUTO>b</AUTO>'",
                "<AUTO>a {{ first.stdout }}</AUTO>, <AUTO>b</AUTO>",
            ),
            ("<AUTO>a <AUTO>{{ first.stdout }}</AUTO></AUTO>", "a <AUTO>{{ first.stdout }}</AUTO>"),
        ],
    )
    def test_as_an_action(self, written: str, prompt: str) -> None:
        step = step_of(f"action: {written}")
        assert (step.kind, step.uses, step.parameters) == (StepKind.MODEL, "generate", {"prompt": prompt})
        assert step.after == ("first",)

    def test_as_the_action_of_a_tool_that_the_model_may_use(self) -> None:
        step = step_of("tool: terminal, action: <AUTO>list the files</AUTO>")
        assert step.parameters == {"prompt": "list the files", "tools": ["terminal.execute"]}

    def test_beside_a_prompt_is_warned_of(self) -> None:
        loaded = loads("steps: [{id: x, action: <AUTO>do</AUTO>, parameters: {prompt: p}}]")
        assert (codes(loaded), loaded.plan.steps[0].parameters) == (["two-spellings"], {"prompt": "do"})
