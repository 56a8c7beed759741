"""What a pipeline file says of failures and jumps: retries, handlers, fallback values, and where the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import Handler, Jump, OnFailure, Plan, Retry
from orchestrator_client.loader import loads, recovery
from tests.unit.loading import TERMINAL, codes, plan_of, step_of
from tests.unit.test_docs import first_column, table


class TestRetry:
    @pytest.mark.parametrize(
        ("written", "retry"),
        [
            ("retry_config: {max_retries: 4, delay: 2, jitter: true}", Retry(attempts=4, initial_seconds=2)),
            ("retry: {max_attempts: 2, backoff: fixed}", Retry(attempts=2, factor=1)),
            ("retry: {backoff_strategy: exponential_backoff}", Retry(factor=2)),
            ("retry: {backoff: 3}", Retry(factor=3)),
            ("retry: 2, backoff_strategy: constant", Retry(attempts=3, factor=1)),
            ("retry_config: {max_retries: 3}, backoff_strategy: fixed", Retry(attempts=3, factor=1)),
            ("retry_config: {initial_delay: 1, backoff_multiplier: 5, max_delay: 7}", Retry(factor=5, max_seconds=7)),
            ("retry: {retry_on: ['*'], attempts: 2}", Retry(attempts=2)),
            ("retry: {jitter: false}", Retry(jitter=False)),
            ("retry: 3, backoff_strategy: linear", Retry(attempts=4, factor=1, growth_seconds=1)),
            ("retry: {backoff: linear, delay: 5}", Retry(factor=1, growth_seconds=5, initial_seconds=5)),
            (
                "retry_config: {max_retries: 4, delay: 2, retry_on: [TimeoutError]}",
                Retry(attempts=4, initial_seconds=2, errors=("TimeoutError",)),
            ),
        ],
    )
    def test_spellings(self, written: str, retry: Retry) -> None:
        step = step_of(f"{TERMINAL}, {written}")
        assert (step.retry, step.handlers) == (retry, ())

    def test_of_two_spellings_the_first_is_used_with_a_warning(self) -> None:
        loaded = loads(f"steps: [{{id: x, {TERMINAL}, retry: 1, max_retries: 5}}]")
        assert (loaded.plan.steps[0].retry.attempts, codes(loaded)) == (2, ["two-spellings"])


class TestHandlers:
    @pytest.mark.parametrize(
        ("written", "handler"),
        [
            ("on_error: first", Handler(step="first", retry=False)),
            ("on_error: Say that it failed", Handler(action="Say that it failed", retry=False)),
            ("on_error: retry", Handler(action="retry")),
            ("on_error: {handler_task_id: first}", Handler(step="first")),
            ("on_error: {handler_action: first}", Handler(step="first")),
            (
                "on_error: {error_types: TimeoutError, error_codes: [404], error_patterns: x.*, fallback_value: []}",
                Handler(
                    error_types=("TimeoutError",),
                    error_codes=("404",),
                    error_patterns=("x.*",),
                    fallback_value=[],
                    has_fallback=True,
                ),
            ),
            (
                "error_handlers: [{handler_action: retry, max_handler_retries: 3, retry_with_handler: false,"
                " continue_on_handler_failure: true, timeout: 5, priority: 2}]",
                Handler(action="retry", max_retries=3, retry=False, proceed=True, timeout_seconds=5, priority=2),
            ),
            (
                "fallback_value: null",
                Handler(has_fallback=True, retry=False, priority=1_000_000),
            ),
            (
                "fallback_data: {a: 1}",
                Handler(fallback_value={"a": 1}, has_fallback=True, retry=False, priority=1_000_000),
            ),
        ],
    )
    def test_forms(self, written: str, handler: Handler) -> None:
        assert step_of(f"{TERMINAL}, {written}").handlers == (handler,)

    @pytest.mark.parametrize(("word", "policy"), [("continue", "continue"), ("skip", "skip"), ("fail", "fail")])
    def test_a_policy_in_the_place_of_a_handler(self, word: str, policy: str) -> None:
        step = step_of(f"{TERMINAL}, on_error: {word}")
        assert (step.handlers, step.on_failure) == ((), OnFailure(policy))

    def test_they_stand_in_the_order_in_which_they_are_asked(self) -> None:
        step = step_of(
            f"{TERMINAL}, fallback_value: 0, on_error: [second, {{handler_action: third, priority: 200}},"
            " {handler_action: left out, enabled: false}, {handler_action: first one, priority: 1}]"
        )
        assert [handler.action for handler in step.handlers] == ["first one", "second", "third", ""]

    def test_those_of_the_file_are_asked_among_a_steps_own(self) -> None:
        plan = plan_of(f"""
            global_error_handlers:
              - {{handler_action: retry, priority: 1}}
              - {{handler_task_id: clean, priority: 500}}
            steps:
              - {{id: a, {TERMINAL}, on_error: Say so}}
              - {{id: clean, {TERMINAL}}}
              - {{id: each, for_each: [1], steps: [{{id: leaf, {TERMINAL}}}]}}
        """)
        asked = {step.id: [handler.action or handler.step for handler in step.handlers] for step in plan.steps}
        assert asked == {"a": ["retry", "Say so", "clean"], "clean": ["retry"], "each": ["retry", "clean"]}
        assert plan.steps[2].loop is not None
        assert len(plan.steps[2].loop.steps[0].handlers) == 2

    def test_what_they_say_may_read_the_parameters_of_the_step(self) -> None:
        step = "{id: a, tool: terminal, parameters: {command: date}, on_error: 'Do without {{ command }}{{ %s }}'}"
        assert loads(f"steps: [{step % 'command'}]").warnings == []
        assert codes(loads(f"steps: [{step % 'cmd'}]")) == ["unresolved-name"]

    def test_their_copies_are_bounded(self) -> None:
        steps = ", ".join(f"{{id: s{i}, {TERMINAL}}}" for i in range(100))
        with pytest.raises(PlanInvalid, match="global_error_handlers take"):
            loads(f"global_error_handlers: {{fallback_value: '{'x' * 200_000}'}}\nsteps: [{steps}]")

    def test_what_they_read_is_there(self) -> None:
        step = step_of(
            f'{TERMINAL}, on_error: "Say {{{{ error.message }}}} of {{{{ x.status }}}}",'
            " fallback_value: '{{ first.stdout }}'"
        )
        assert (step.after, step.reads) == (("first",), ("first",))

    def test_one_word_that_is_no_step_is_an_instruction(self) -> None:
        step = step_of(f"{TERMINAL}, on_error: debug-compilation")
        assert step.handlers == (Handler(action="debug-compilation", retry=False),)

    def test_steps_that_handle_failures_run_for_those_alone(self) -> None:
        plan = plan_of(f"""
            steps:
              - {{id: a, {TERMINAL}, on_error: clean}}
              - {{id: b, {TERMINAL}, on_error: {{handler_task_id: jumped}}, on_false: jumped, condition: "false"}}
              - id: each
                for_each: [1]
                steps:
                  - {{id: leaf, {TERMINAL}, on_error: [{{handler_action: inner}}, {{handler_action: outer}}]}}
                  - {{id: inner, action: echo, parameters: {{text: "{{{{ error }}}} of {{{{ failed_step }}}}"}}}}
              - {{id: clean, {TERMINAL}}}
              - {{id: outer, {TERMINAL}}}
              - {{id: jumped, {TERMINAL}}}
        """)
        body = plan.step_by_id["each"].loop
        assert body is not None
        assert [step.id for step in (*plan.steps, *body.steps) if step.on_call] == ["clean", "outer", "inner"]

    @pytest.mark.parametrize(
        ("handler", "message"),
        [
            (f"{{id: h, for_each: [1], steps: [{{id: i, {TERMINAL}}}]}}", "a loop cannot handle a failure"),
            ("{id: h, action: echo, parameters: {text: <AUTO>what?</AUTO>}}", "in a step that handles failures"),
        ],
    )
    def test_what_cannot_handle_a_failure_is_refused(self, handler: str, message: str) -> None:
        with pytest.raises(PlanInvalid, match=message):
            loads(f"steps: [{{id: x, {TERMINAL}, on_error: h}}, {handler}]")

    def test_keys_that_say_nothing_are_warned_of(self) -> None:
        keys = "fallback_value: 1, log_level: error, capture_error_context: true"
        assert codes(loads(f"steps: [{{id: x, {TERMINAL}, on_error: {{{keys}}}}}]")) == ["no-effect"] * 2

    def test_the_reference_names_every_key(self) -> None:
        assert sorted(first_column(table("Error handlers", "key of a handler"))) == sorted(recovery.KEYS)


def jumps_of(plan: Plan) -> dict[str, tuple[Jump, ...]]:
    return {step.id: step.jumps for step in plan.steps if step.jumps}


class TestJumps:
    BRANCHES = f"""
        steps:
          - {{id: gate, {TERMINAL}, condition: "{{{{ n > 3 }}}}", on_false: small}}
          - {{id: large, {TERMINAL}, dependencies: [gate], on_success: end}}
          - {{id: small, {TERMINAL}, dependencies: [large]}}
          - {{id: mark, {TERMINAL}, dependencies: [small]}}
          - {{id: end, {TERMINAL}, dependencies: [mark]}}
    """

    def test_what_lies_between_is_jumped_over(self) -> None:
        plan = plan_of(self.BRANCHES)
        behind_large = (Jump(source="large", when="succeeded", target="end"),)
        assert jumps_of(plan) == {
            "large": (Jump(source="gate", when="skipped", target="small"),),
            "small": behind_large,
            "mark": behind_large,
        }
        assert plan.step_by_id["mark"].after == ("small", "large")
        assert plan.step_by_id["mark"].reads == ("large",)
        assert (plan.step_by_id["end"].after, plan.step_by_id["end"].reads) == (("mark", "large"), ())

    @pytest.mark.parametrize(
        ("key", "when"),
        [
            ("on_false", "skipped"),
            ("else", "skipped"),
            ("on_success", "succeeded"),
            ("goto", "succeeded"),
            ("on_failure", "failed"),
        ],
    )
    def test_keys(self, key: str, when: str) -> None:
        plan = plan_of(f"steps: [{{id: a, {TERMINAL}, {key}: c}}, {{id: b, {TERMINAL}}}, {{id: c, {TERMINAL}}}]")
        assert jumps_of(plan) == {"b": (Jump(source="a", when=when, target="c"),)}
        assert plan.step_by_id["b"].after == plan.step_by_id["c"].after == ("a",)
        assert plan.step_by_id["a"].on_failure is (OnFailure.CONTINUE if key == "on_failure" else OnFailure.FAIL)

    def test_what_ends_before_the_source_is_left_alone(self) -> None:
        plan = plan_of(f"""
            steps:
              - {{id: first, {TERMINAL}}}
              - {{id: late, {TERMINAL}, dependencies: [first], on_success: end}}
              - {{id: early, {TERMINAL}}}
              - {{id: between, {TERMINAL}, dependencies: [early]}}
              - {{id: end, {TERMINAL}, dependencies: [between]}}
        """)
        assert list(jumps_of(plan)) == ["between"]
        assert plan.step_by_id["early"].after == ()

    def test_back_is_a_warning(self) -> None:
        loaded = loads(f"steps:\n- {{id: a, {TERMINAL}}}\n- {{id: b, {TERMINAL}, dependencies: [a], goto: a}}\n")
        assert [(warning.code, warning.line, warning.step) for warning in loaded.warnings] == [("no-effect", 3, "b")]
        assert loaded.plan.step_by_id["a"].after == ()

    def test_several_over_one_step(self) -> None:
        plan = plan_of(
            f"steps: [{{id: a, {TERMINAL}, on_false: d, on_failure: c}}, {{id: b, {TERMINAL}}},"
            f" {{id: c, {TERMINAL}}}, {{id: d, {TERMINAL}}}]"
        )
        assert [jump.when for jump in jumps_of(plan)["b"]] == ["skipped", "failed"]
        assert [jump.when for jump in jumps_of(plan)["c"]] == ["skipped"]

    def test_within_a_loop_and_not_out_of_it(self) -> None:
        body = f"[{{id: a, {TERMINAL}, goto: %s}}, {{id: b, {TERMINAL}}}, {{id: c, {TERMINAL}}}]"
        text = f"steps: [{{id: x, for_each: [1], steps: {body}}}, {{id: far, {TERMINAL}}}]"
        loop = loads(text % "c").plan.steps[0].loop
        assert loop is not None
        assert [len(step.jumps) for step in loop.steps] == [0, 1, 0]
        with pytest.raises(PlanInvalid, match="goto leads out of the loop, to 'far'"):
            loads(text % "far")

    def test_both_spellings_of_one_jump_are_warned_of(self) -> None:
        loaded = loads(
            f"steps: [{{id: a, {TERMINAL}, else: b, on_false: c}}, {{id: b, {TERMINAL}}}, {{id: c, {TERMINAL}}}]"
        )
        assert codes(loaded) == ["two-spellings"]

    def test_steps_in_a_circle_are_refused_for_that(self) -> None:
        with pytest.raises(PlanInvalid, match="a → b → a"):
            loads(
                f"steps: [{{id: a, {TERMINAL}, dependencies: [b], goto: c}}, {{id: b, {TERMINAL}, dependencies: [a]}},"
                f" {{id: c, {TERMINAL}}}]"
            )

    def test_loops_in_a_circle_are_told_what_does_the_same(self) -> None:
        loop = "{id: %s, action: echo, while: 'true', parameters: {text: '{{ %s.result }}'}}"
        with pytest.raises(PlanInvalid, match="a → b → a; write them as the steps of one loop"):
            loads(f"steps: [{loop % ('a', 'b')}, {loop % ('b', 'a')}]")


class TestOtherForms:
    def test_everything_under_pipeline(self) -> None:
        loaded = loads(
            f"pipeline:\n  id: inner\n  steps: [{{id: a, {TERMINAL}}}]\n  outputs: {{x: '{{{{ a.stdout }}}}'}}\n"
        )
        assert (loaded.plan.id, list(loaded.plan.outputs), loaded.warnings) == ("inner", ["x"], [])

    @pytest.mark.parametrize("key", ["config", "variables", "data", "env"])
    def test_sections_that_templates_read(self, key: str) -> None:
        text = f"{key}: {{a: '{{{{ n }}}}', b: [1]}}\ninputs: {{n: 1}}\n"
        loaded = loads(f'{text}steps: [{{id: x, tool: terminal, parameters: {{command: "{{{{ {key}.a }}}}"}}}}]')
        expected: dict[str, Any] = {"namespaces": {key: {"a": "{{ n }}", "b": [1]}}}
        assert (loaded.plan.metadata, loaded.warnings) == (expected, [])

    def test_inputs_of_a_step_are_parameters(self) -> None:
        step = step_of("tool: terminal, inputs: {command: date, timeout: 3}, parameters: {timeout: 5}")
        assert step.parameters == {"command": "date", "timeout": 5}
