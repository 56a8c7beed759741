"""What existing files write and other readers would refuse: read as its author meant, or refused with one reason."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.loader import loads
from tests.unit.loading import TERMINAL, codes, plan_of, step_of


class TestKeysThatStandTwice:
    def test_the_later_of_two_parameters_counts(self) -> None:
        loaded = loads("steps:\n- id: x\n  action: generate\n  parameters:\n    prompt: p\n    prompt: q\n")
        assert loaded.plan.steps[0].parameters["prompt"] == "q"
        assert codes(loaded) == ["duplicate-key"]
        assert "on line 5, and this one counts" in loaded.warnings[0].message

    def test_a_parameter_that_is_a_mapping_is_never_lost(self) -> None:
        with pytest.raises(PlanInvalid, match="'env' stands here and on line"):
            loads("steps: [{id: x, tool: terminal, parameters: {command: date, env: {A: a}, env: {B: b}}}]")

    @pytest.mark.parametrize(
        "keys",
        ["inputs: {n: 1}\ninputs: 3", "inputs: 3\ninputs: {n: 1}", "inputs: 3\ninputs: 3", "parameters: {n: 1, n: 2}"],
    )
    def test_anything_else_is_refused(self, keys: str) -> None:
        with pytest.raises(PlanInvalid, match=r"'(inputs|n)' stands here and on line"):
            loads(f"{keys}\nsteps: [{{id: x, {TERMINAL}}}]")


class TestHyphens:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("{{ second-one.result }}", "{{ steps['second-one'].result }}"),
            ("{% if second-one %}{{ -n-1 }}{% endif %}", "{% if steps['second-one'] %}{{ -n-1 }}{% endif %}"),
            ("{{ 'second-one' }} {# second-one #}second-one", "{{ 'second-one' }} {# second-one #}second-one"),
            ("{{ first.second-one }}", "{{ first.second-one }}"),
            ("{% raw %}{{ second-one }}{% endraw %}", "{% raw %}{{ second-one }}{% endraw %}"),
        ],
    )
    def test_a_template_reads_the_step(self, written: str, read: str) -> None:
        plan = loads(
            f"inputs: {{n: 1, one: 2}}\nsteps: [{{id: first, {TERMINAL}}}, {{id: second-one, {TERMINAL}}}, "
            f'{{id: x, action: echo, parameters: {{text: "{written}"}}}}]'
        ).plan
        assert plan.steps[2].parameters["text"] == read
        assert ("second-one" in plan.steps[2].after) is ("steps[" in read)

    def test_a_subtraction_of_names_stays_one(self) -> None:
        plan = plan_of(f"""\
            inputs: {{a: 1, b: 2}}
            steps: [{{id: a-b, {TERMINAL}}}, {{id: x, action: echo, parameters: {{text: "{{{{ a-b }}}}"}}}}]
            """)
        assert (plan.steps[1].parameters["text"], plan.steps[1].after) == ("{{ a-b }}", ())

    def test_in_words_for_a_model_and_in_outputs(self) -> None:
        plan = plan_of(f"""\
            steps: [{{id: a-b, {TERMINAL}}}, {{id: x, action: "<AUTO>sum up {{{{ a-b.result }}}}</AUTO>"}}]
            outputs: {{o: "{{{{ a-b.result }}}}"}}
            """)
        assert plan.steps[1].parameters["prompt"] == "sum up {{ steps['a-b'].result }}"
        assert plan.outputs["o"] == "{{ steps['a-b'].result }}"


def test_data_that_only_a_model_can_find_are_asked_of_one() -> None:
    step = step_of("tool: validation, action: extract-structured, parameters: {text: t, schema: {type: object}}")
    assert (step.kind, step.uses, step.parameters["text"]) == ("model", "analyze", "t")
    assert step.parameters["analysis_type"] == "the data that the schema describes"


@pytest.mark.parametrize(("written", "least"), [("medium-high", "high"), ("Expert", "very-high"), ("low", "low")])
def test_expertise_in_other_words(written: str, least: str) -> None:
    step = step_of(f"action: generate, parameters: {{prompt: p}}, requires_model: {{expertise: {written}}}")
    assert step.parameters["selection"] == {"expertise": least}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "depends_on: \"<AUTO>'first', or also 'second-one'?</AUTO>\"",
            "an <AUTO> tag in 'depends_on' is not in this release",
        ),
        ("goto: \"{{ 'first' if n else 'x' }}\"", "a template in 'goto' is not in this release"),
        (
            'action: "<AUTO>{{ file:nowhere.md }}</AUTO>"',
            "there is no file 'nowhere.md' to include",
        ),
    ],
)
def test_what_is_refused_has_one_reason(keys: str, message: str) -> None:
    use = "" if "action" in keys else f"{TERMINAL}, "
    with pytest.raises(PlanInvalid) as refused:
        step_of(use + keys)
    assert [problem.message for problem in refused.value.problems] == [message]
