"""What the steps of a pipeline file mean: what they use, when they run, and when they give up."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.plan import OnFailure, Retry, StepKind
from orchestrator_client.loader import loads
from tests.unit.loading import TERMINAL, codes, plan_of, step_of


class TestUses:
    @pytest.mark.parametrize(
        ("keys", "uses"),
        [
            ("tool: filesystem, action: read, parameters: {path: a}", "filesystem.read"),
            ("tool: file, action: Read, parameters: {path: a}", "filesystem.read"),
            ("tool: filesystem, action: execute, parameters: {action: read, path: a}", "filesystem.read"),
            ("tool: filesystem, parameters: {action: read, path: a}", "filesystem.read"),
            ("action: filesystem, parameters: {action: read, path: a}", "filesystem.read"),
            ("tool: filesystem.read, parameters: {path: a}", "filesystem.read"),
            ("tool: data_processing, action: profile, parameters: {data: []}", "data-processing.profile"),
            ("tool: http-client, action: get, parameters: {url: u}", "http.get"),
            ("tool: terminal, action: execute, parameters: {command: a}", "terminal.execute"),
            ("tool: validation, parameters: {data: 1, schema: {}}", "validation.validate"),
            ("action: validate, parameters: {data: 1, schema: {}}", "validation.validate"),
            ("tool: python, parameters: {function: 'a.b:c'}", "python.call"),
            ("tool: 'python:a.b:c.d', parameters: {anything: 1}", "python:a.b:c.d"),
        ],
    )
    def test_tool_steps(self, keys: str, uses: str) -> None:
        step = step_of(keys)
        assert (step.kind, step.uses, step.queue) == (StepKind.TOOL, uses, "tool")

    @pytest.mark.parametrize(
        ("action", "uses"),
        [
            ("generate_text", "generate"),
            ("generate", "generate"),
            ("LLM_call", "generate"),
            ("analyze-text", "analyze"),
        ],
    )
    def test_model_steps(self, action: str, uses: str) -> None:
        step = step_of(f"action: {action}, parameters: {{prompt: hi}}")
        assert (step.kind, step.uses, step.model) == (StepKind.MODEL, uses, None)

    @pytest.mark.parametrize(
        ("keys", "model", "provider"),
        [
            ("parameters: {prompt: p, model: gpt-5}", "gpt-5", "openai"),
            ("model: anthropic/claude-sonnet-4, parameters: {prompt: p}", "anthropic/claude-sonnet-4", "anthropic"),
            ("parameters: {prompt: p, model: 'ollama:llama3.2:1b'}", "ollama:llama3.2:1b", "ollama"),
            ("model: gpt-5, parameters: {prompt: p, model: claude-opus-4}", "claude-opus-4", "anthropic"),
            ("parameters: {prompt: p, model: '{{ first.result }}'}", "{{ first.result }}", "openai"),
        ],
    )
    def test_the_model_and_its_queue(self, keys: str, model: str, provider: str) -> None:
        step = step_of(f"action: generate_text, {keys}")
        assert (step.model, step.provider, step.queue) == (model, provider, f"model.{provider}")
        assert "model" not in step.parameters
        assert step.after == (("first",) if "{{" in model else ())

    def test_prose_for_a_tool_with_one_action_is_warned_of(self) -> None:
        loaded = loads("steps: [{id: x, tool: terminal, action: Run the command, parameters: {command: date}}]")
        assert loaded.plan.steps[0].uses == "terminal.execute"
        assert codes(loaded) == ["prose-action"]

    def test_a_parameter_that_the_tool_ignores_is_warned_of(self) -> None:
        loaded = loads("steps: [{id: x, tool: terminal, parameters: {command: date, time_out: 3}}]")
        assert codes(loaded) == ["unknown-parameter"]
        assert loaded.warnings[0].remedy == "did you mean 'timeout'?"
        assert loaded.plan.steps[0].parameters["time_out"] == 3

    def test_a_templated_parameter_is_not_checked_before_the_run(self) -> None:
        step = step_of('tool: http, action: get, parameters: {url: "{{ u }}", timeout: "{{ t }}", headers: "{{ h }}"}')
        assert step.parameters["timeout"] == "{{ t }}"


class TestPolicies:
    @pytest.mark.parametrize(
        ("written", "retry"),
        [
            ("name: none", Retry()),
            ("retry: 2", Retry(attempts=3)),
            ("retry: 0", Retry(attempts=1)),
            ("max_retries: 2", Retry(attempts=2)),
            ('max_retries: "2"', Retry(attempts=2)),
            (
                "retry: {max_attempts: 4, delay: 0.5, backoff_factor: 3, max_delay: 9}",
                Retry(attempts=4, initial_seconds=0.5, factor=3, max_seconds=9),
            ),
        ],
    )
    def test_retry(self, written: str, retry: Retry) -> None:
        assert step_of(f"{TERMINAL}, {written}").retry == retry

    @pytest.mark.parametrize(
        ("written", "policy"),
        [
            ("name: none", OnFailure.FAIL),
            ("on_failure: fail", OnFailure.FAIL),
            ("on_failure: Continue", OnFailure.CONTINUE),
            ("on_failure: retry", OnFailure.CONTINUE),
            ("on_failure: skip", OnFailure.SKIP),
            ("continue_on_error: true", OnFailure.CONTINUE),
            ("continue_on_error: true, on_failure: skip", OnFailure.SKIP),
            ("continue_on_error: false", OnFailure.FAIL),
        ],
    )
    def test_on_failure(self, written: str, policy: OnFailure) -> None:
        assert step_of(f"{TERMINAL}, {written}").on_failure is policy

    def test_timeouts_and_the_default_of_the_metadata(self) -> None:
        plan = plan_of(f"""
            metadata: {{default_timeout: 60}}
            steps:
              - {{id: own, {TERMINAL}, timeout: 2.5}}
              - {{id: default, {TERMINAL}}}
        """)
        assert [step.timeout_seconds for step in plan.steps] == [2.5, 60]


class TestConditions:
    @pytest.mark.parametrize(
        ("written", "condition", "after"),
        [
            ("condition: true", True, ()),
            ("if: false", False, ()),
            ("condition: 'false'", "false", ()),
            ("condition: '{{ first.result > 3 }}'", "{{ first.result > 3 }}", ("first",)),
            ("condition: first.result > 3", "first.result > 3", ("first",)),
            ("condition: \"'a' in {{ first.items }}\"", "'a' in {{ first.items }}", ("first",)),
        ],
    )
    def test_conditions(self, written: str, condition: Any, after: tuple[str, ...]) -> None:
        step = step_of(f"{TERMINAL}, {written}")
        assert (step.condition, step.after, step.reads) == (condition, after, after)


class TestDependencies:
    @pytest.mark.parametrize(
        ("written", "after"),
        [
            ("dependencies: [first, second-one]", ("first", "second-one")),
            ("dependencies: first", ("first",)),
            ("depends_on: 'first, second-one'", ("first", "second-one")),
            ("dependencies: [first, first]", ("first",)),
            ("dependencies: []", ()),
            ("dependencies: null", ()),
        ],
    )
    def test_spellings(self, written: str, after: tuple[str, ...]) -> None:
        assert step_of(f"{TERMINAL}, {written}").after == after

    def test_of_two_spellings_dependencies_wins_with_a_warning(self) -> None:
        others = f"{{id: a, {TERMINAL}}}, {{id: b, {TERMINAL}}}"
        text = f"steps: [{others}, {{id: x, {TERMINAL}, dependencies: [a], depends_on: b}}]"
        loaded = loads(text)
        assert loaded.plan.step_by_id["x"].after == ("a",)
        assert codes(loaded) == ["two-spellings"]

    @pytest.mark.parametrize(
        "template",
        [
            "{{ first.result }}",
            "{{ steps.first.result }}",
            "{{ steps['first'].result }}",
            "{% if first %}yes{% endif %}",
            "{% for row in first.rows %}{{ row }}{% endfor %}",
            "{{ first.result | default('x') }}",
            "{{ first.result | upper }}",
        ],
    )
    def test_every_way_to_read_a_step_waits_for_it(self, template: str) -> None:
        step = step_of(f'tool: terminal, parameters: {{command: "{template}"}}')
        assert (step.after, step.reads) == (("first",), ("first",))

    def test_templates_deep_in_the_parameters_count(self) -> None:
        step = step_of(
            'tool: terminal, parameters: {command: [a, "{{ first }}"], env: {"{{ steps[\'second-one\'] }}": x}}'
        )
        assert step.reads == ("first", "second-one")

    def test_a_hyphen_in_an_id_is_fine_where_no_template_names_it(self) -> None:
        assert step_of(f"{TERMINAL}, dependencies: [second-one]").after == ("second-one",)
