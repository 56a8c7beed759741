"""What the loops of a pipeline file mean: their bodies, the names that these may read, and what the loop waits for."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import Loop, LoopKind, OnFailure, Plan, Step, StepKind
from orchestrator_client.loader import dialect, loads
from orchestrator_client.loader.loops import LEVELS
from tests.unit.loading import TERMINAL, codes, plan_of, step_of
from tests.unit.test_docs import first_column, table


def loop_of(step: Step) -> Loop:
    assert step.kind is StepKind.CONTROL
    assert step.loop is not None
    return step.loop


def body_of(plan: Plan, loop: str) -> dict[str, Step]:
    return {step.id: step for step in loop_of(plan.step_by_id[loop]).steps}


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(PlanInvalid) as caught:
        loads(textwrap.dedent(text))
    return caught.value.problems


class TestKinds:
    @pytest.mark.parametrize(
        ("keys", "items", "at_a_time"),
        [
            ("for_each: [1, 2]", [1, 2], 1),
            ("for_each: {a: 1}", {"a": 1}, 1),
            ("for_each: '[1, 2]'", "[1, 2]", 1),
            ("for_each: '{{ first.rows }}', max_parallel: 3", "{{ first.rows }}", 3),
            ("for_each: <AUTO>which: rows</AUTO>, max_parallel: '4'", "<AUTO>which: rows</AUTO>", 4),
            ("foreach: [1], max_concurrent: '{{ n }}'", [1], "{{ n }}"),
            ("foreach: [1], parallel: true", [1], 10),
            ("foreach: [1], parallel: false, max_parallel: 5", [1], 1),
            ("foreach: [1]", [1], 1),
            ("type: parallel_map, items: [1]", [1], 10),
            ("type: parallel_map, items: [1], max_parallel: 2", [1], 2),
        ],
    )
    def test_maps(self, keys: str, items: Any, at_a_time: Any) -> None:
        step = step_of(f"{keys}, steps: [{{id: y, {TERMINAL}}}], add_completion_task: true")
        loop = loop_of(step)
        assert (step.uses, loop.kind, loop.inline) == ("map", LoopKind.MAP, False)
        assert (loop.items, loop.max_parallel) == (items, at_a_time)
        assert [inner.id for inner in loop.steps] == ["y"]

    @pytest.mark.parametrize(
        ("keys", "kind", "condition", "most"),
        [
            ("while: 'true'", LoopKind.WHILE, "true", 10),
            ("while: true, max_iterations: 3", LoopKind.WHILE, True, 3),
            ("while: '{{ iteration < 3 }}'", LoopKind.WHILE, "{{ iteration < 3 }}", 10),
            ("type: loop, loop_condition: y.stdout != 'ok'", LoopKind.WHILE, "y.stdout != 'ok'", 10),
            ("until: iteration > 3, max_iterations: '{{ n }}'", LoopKind.UNTIL, "iteration > 3", "{{ n }}"),
            ("until: <AUTO>is it: done?</AUTO>", LoopKind.UNTIL, "<AUTO>is it: done?</AUTO>", 10),
            ("while: 'true', until: y.success", LoopKind.UNTIL, "y.success", 10),
        ],
    )
    def test_passes(self, keys: str, kind: LoopKind, condition: Any, most: Any) -> None:
        step = step_of(f"{keys}, steps: [{{id: y, {TERMINAL}}}]")
        loop = loop_of(step)
        assert (step.uses, loop.kind, loop.condition, loop.max_iterations) == ("loop", kind, condition, most)
        assert (step.after, step.reads) == ((), ())

    def test_until_beside_while_is_warned_of(self) -> None:
        loaded = loads(f"steps: [{{id: x, while: iteration < 3, until: y, {TERMINAL}}}]")
        assert codes(loaded) == ["no-effect"]
        assert loop_of(loaded.plan.steps[0]).kind is LoopKind.WHILE

    def test_actions_run_in_order_with_ids_that_are_made_up(self) -> None:
        actions = f"[{{{TERMINAL}}}, {{id: action_3, {TERMINAL}}}, {{{TERMINAL}}}]"
        loop = loop_of(step_of(f"action_loop: {actions}, until: iteration >= 3"))
        assert [(step.id, step.after) for step in loop.steps] == [
            ("action_1", ()),
            ("action_3", ("action_1",)),
            ("action_3_", ("action_3",)),
        ]
        assert (loop.kind, loop.condition, loop.max_iterations) == (LoopKind.UNTIL, "iteration >= 3", 100)

    def test_the_condition_of_another_pass_is_asked_after_the_actions(self) -> None:
        loop = loop_of(step_of(f"action_loop: [{{{TERMINAL}}}], while_condition: '{{{{ $iteration < 3 }}}}'"))
        assert (loop.kind, loop.condition) == (LoopKind.UNTIL, "not ({{ iteration < 3 }})")

    def test_what_qualifies_a_list_of_actions(self) -> None:
        keys = f"action_loop: [{{{TERMINAL}}}, {{{TERMINAL}, on_failure: skip, timeout: 2}}], until: 'true'"
        loop = loop_of(step_of(f"{keys}, break_on_error: false, iteration_timeout: 9"))
        assert [(step.on_failure, step.timeout_seconds) for step in loop.steps] == [
            (OnFailure.CONTINUE, 9),
            (OnFailure.SKIP, 2),
        ]

    def test_a_parallel_queue_is_a_map_of_loops(self) -> None:
        plan = plan_of("""
            steps:
              - {id: doc, tool: filesystem, action: read, parameters: {path: a}}
              - id: check
                create_parallel_queue:
                  on: "<AUTO>list every source in {{ doc.result }}</AUTO>"
                  tool: filesystem
                  task:
                    action_loop:
                      - {id: verdict, action: "<AUTO>verify {{ $item }}</AUTO>"}
                      - <AUTO>fix it using {{ verdict.result }}</AUTO>
                    until: "<AUTO>all verified</AUTO>"
        """)
        queue = plan.step_by_id["check"]
        assert (queue.uses, queue.reads, loop_of(queue).max_parallel) == ("map", ("doc",), 10)
        (inner,) = loop_of(queue).steps
        loop = loop_of(inner)
        assert (loop.kind, loop.condition, loop.max_iterations) == (LoopKind.UNTIL, "<AUTO>all verified</AUTO>", 100)
        verdict, fix = loop.steps
        assert (verdict.kind, verdict.uses, verdict.parameters["prompt"]) == (
            StepKind.MODEL,
            "generate",
            "verify {{ item }}",
        )
        assert "filesystem.read" in verdict.parameters["tools"]
        assert (fix.parameters["prompt"], fix.after) == ("fix it using {{ verdict.result }}", ("verdict",))

    def test_a_queue_without_an_end_runs_once_for_each_item(self) -> None:
        step = step_of(
            f"action: create_parallel_queue, create_parallel_queue: {{on: [1], action_loop: [{{{TERMINAL}}}]}}"
        )
        assert loop_of(loop_of(step).steps[0]).condition == "true"

    def test_the_plan_survives_its_own_json(self) -> None:
        plan = plan_of(f"steps: [{{id: x, for_each: [1], steps: [{{id: y, while: 'true', {TERMINAL}}}]}}]")
        assert Plan.from_json(plan.to_json()) == plan


class TestInline:
    TEXT = """
        steps:
          - {id: first, tool: terminal, parameters: {command: date}}
          - id: x
            name: Again
            action: generate
            foreach: "{{ first.rows }}"
            condition: %s
            dependencies: [first]
            retry: 2
            timeout: 9
            on_failure: continue
            parameters: {prompt: "{{ item }} of {{ x.length }}"}
    """

    def test_what_is_said_of_the_loop_and_what_of_each_time(self) -> None:
        outer = plan_of(self.TEXT % '"{{ first.success }}"').step_by_id["x"]
        (inner,) = loop_of(outer).steps
        assert loop_of(outer).inline
        assert (outer.name, outer.condition, outer.after) == ("Again", "{{ first.success }}", ("first",))
        assert (outer.timeout_seconds, outer.retry.attempts, outer.on_failure) == (None, None, OnFailure.CONTINUE)
        assert (inner.id, inner.kind, inner.condition, inner.after, inner.reads) == ("x", StepKind.MODEL, None, (), ())
        assert (inner.timeout_seconds, inner.retry.attempts, inner.on_failure) == (9, 3, OnFailure.CONTINUE)

    @pytest.mark.parametrize("condition", ["item > 3", '"{{ $index == 0 }}"', '"{{ not (is_first) }}"'])
    def test_a_condition_about_the_item_is_asked_each_time(self, condition: str) -> None:
        outer = plan_of(self.TEXT % condition).step_by_id["x"]
        assert outer.condition is None
        assert loop_of(outer).steps[0].condition is not None

    def test_in_passes_the_step_may_name_its_last_one(self) -> None:
        step = step_of(
            "action: generate, while: \"{{ x.result != 'ok' }}\","
            ' parameters: {prompt: "{{ x.iteration }}: {{ x.result | default(first.stdout) }}"}'
        )
        (inner,) = loop_of(step).steps
        assert (inner.after, inner.reads) == ((), ("x", "first"))
        assert (step.after, step.reads) == (("first",), ("first",))

    def test_a_jump_of_the_step_is_the_loops(self) -> None:
        plan = plan_of(f"steps: [{{id: a, for_each: [1], on_failure: b, {TERMINAL}}}, {{id: b, {TERMINAL}}}]")
        assert plan.step_by_id["a"].on_failure is OnFailure.CONTINUE
        assert body_of(plan, "a")["a"].on_failure is OnFailure.FAIL


class TestNames:
    NESTED = """
        steps:
          - {id: far, tool: terminal, parameters: {command: date}}
          - {id: farther, tool: terminal, parameters: {command: date}}
          - id: outer
            for_each: [a, b]
            loop_name: letters
            steps:
              - {id: before, tool: terminal, parameters: {command: "{{ $item }}{{ far.stdout }}"}}
              - id: inner
                for_each: "{{ before.rows }}"
                steps:
                  - id: leaf
                    tool: terminal
                    condition: $is_first and $letters.item == 'a'
                    parameters: {command: "{{ $letters.item }}{{ $inner.index }}{{ before.stdout }}{{ '$item' }}$item"}
                  - {id: last, tool: terminal, dependencies: [leaf, farther], inputs: {command: "{{ outer.index }}"}}
              - {id: behind, tool: terminal, parameters: {command: "{{ inner.results }}"}}
          - {id: end, tool: terminal, parameters: {command: "{% for item in outer.results %}{{ item }}{% endfor %}"}}
    """

    def test_what_a_body_reads_outside_the_loop_waits_for(self) -> None:
        plan = plan_of(self.NESTED)
        outer, bodies = plan.step_by_id["outer"], body_of(plan, "outer")
        assert (outer.after, outer.reads) == (("far", "farther"), ("far",))
        assert (bodies["before"].after, bodies["before"].reads) == ((), ("far",))
        assert (bodies["inner"].after, bodies["inner"].reads) == (("before",), ("before",))
        leaf, last = loop_of(bodies["inner"]).steps
        assert (leaf.after, leaf.reads) == ((), ("before",))
        assert (last.after, last.reads) == (("leaf",), ())
        assert bodies["behind"].after == ("inner",)
        assert plan.step_by_id["end"].after == ("outer",)

    def test_dollars_are_written_as_the_worker_knows_them(self) -> None:
        inner = loop_of(body_of(plan_of(self.NESTED), "outer")["inner"])
        leaf = inner.steps[0]
        assert leaf.condition == "is_first and loops.letters.item == 'a'"
        written = "{{ loops.letters.item }}{{ loops.inner.index }}{{ before.stdout }}{{ '$item' }}$item"
        assert leaf.parameters["command"] == written
        assert (inner.name, loop_of(plan_of(self.NESTED).step_by_id["outer"]).name) == ("inner", "letters")

    def test_every_binding_is_known_in_a_body_and_nowhere_else(self) -> None:
        names = "".join(f"{{{{ {name} }}}}" for name in sorted(dialect.BINDINGS))
        inside = f'steps: [{{id: x, for_each: [1], tool: terminal, parameters: {{command: "{names}"}}}}]'
        assert loads(inside).warnings == []
        outside = f'steps: [{{id: x, tool: terminal, parameters: {{command: "{names}"}}}}]'
        assert codes(loads(outside)) == ["unresolved-name"] * len(dialect.BINDINGS)

    def test_two_bodies_may_have_steps_of_one_name_and_the_nearest_is_meant(self) -> None:
        inner = f"{{id: y, {TERMINAL}}}, {{id: z, tool: terminal, parameters: {{command: '{{{{ y.stdout }}}}'}}}}"
        plan = plan_of(
            f"steps: [{{id: y, {TERMINAL}}}, {{id: a, for_each: [1], steps: [{inner}]}},"
            f" {{id: b, until: x, steps: [{inner}]}}]"
        )
        assert plan.step_by_id["a"].after == ()
        assert body_of(plan, "a")["z"].after == ("y",)

    def test_the_step_of_a_body_is_read_through_its_loop(self) -> None:
        found = problems_of("""
            steps:
              - {id: each, for_each: [1], steps: [{id: leaf, tool: terminal, parameters: {command: date}}]}
              - id: after
                tool: terminal
                dependencies: [leaf]
                parameters: {command: "{{ leaf.stdout }}"}
            outputs: {x: "{{ leaf.stdout }}"}
        """)
        assert [(problem.code, problem.line, problem.column) for problem in found] == [
            ("unknown-step", 6, 20),
            ("unknown-step", 7, 27),
            ("unknown-step", 8, 14),
        ]
        assert found[0].remedy == "depend on the loop 'each'"
        assert found[1].remedy == "read what the loop left, {{ each.results }}"

    def test_a_step_of_passes_may_name_itself_and_one_of_a_map_may_not(self) -> None:
        inner = "steps: [{id: y, tool: terminal, parameters: {command: \"{{ y.stdout | default('') }}\"}}]"
        (step,) = loop_of(step_of(f"while: 'true', {inner}")).steps
        assert (step.after, step.reads) == ((), ("y",))
        (problem,) = problems_of(f"steps:\n- id: x\n  for_each: [1]\n  {inner}\n")
        assert (problem.code, problem.line, problem.step) == ("cycle", 4, "y")

    def test_a_cycle_in_a_body_is_spelled_out(self) -> None:
        found = problems_of("""
            steps:
              - id: each
                while: "true"
                steps:
                  - {id: a, tool: terminal, parameters: {command: "{{ b.stdout }}"}}
                  - {id: b, tool: terminal, parameters: {command: "{{ a.stdout }}"}}
        """)
        assert ["a → b → a" in problem.message for problem in found] == [True]

    def test_a_loop_reads_what_its_numbers_and_items_read(self) -> None:
        step = step_of(
            f"for_each: '{{{{ first.rows }}}}', max_parallel: \"{{{{ steps['second-one'].n }}}}\", {TERMINAL}"
        )
        assert set(step.reads) == set(step.after) == {"first", "second-one"}

    def test_a_tag_that_names_nothing_is_about_the_dependencies(self) -> None:
        step = step_of(f"for_each: <AUTO>every source</AUTO>, dependencies: [first], {TERMINAL}")
        assert step.reads == ("first",)
        own = step_of("dependencies: [first], action: <AUTO>sum it up</AUTO>")
        assert own.parameters["prompt"] == "sum it up"


class TestDepth:
    @staticmethod
    def nested(levels: int) -> str:
        text = f"{{id: leaf, {TERMINAL}}}"
        for level in range(levels):
            text = f"{{id: l{level}, for_each: [1], steps: [{text}]}}"
        return f"steps: [{text}]"

    def test_loops_within_loops(self) -> None:
        assert loads(self.nested(LEVELS)).plan.steps[0].id == f"l{LEVELS - 1}"
        (problem,) = problems_of(self.nested(LEVELS + 1))
        assert (problem.code, problem.step) == ("too-deep", "l0")


def test_the_reference_names_every_key_and_binding() -> None:
    assert sorted(first_column(table("Loops", "key"))) == sorted(dialect.STEP_LOOP_KEYS)
    assert sorted(first_column(table("Loops", "binding"))) == sorted(dialect.BINDINGS)


class TestNameOfTheItem:
    def test_is_known_in_the_body(self) -> None:
        loaded = loads(
            "steps: [{id: x, for_each: [1], loop_var: file, steps: [{id: a, action: echo, parameters:"
            " {text: '{{ file }}{{ $file }}'}}]}]"
        )
        loop = loaded.plan.steps[0].loop
        assert loop is not None
        assert (loop.variable, loop.steps[0].parameters, loaded.warnings) == (
            "file",
            {"text": "{{ file }}{{ file }}"},
            [],
        )

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ("loop_var: not-a-name", "loop_var must be a name"),
            ("loop_var: steps", "loop_var must be a name"),
            ("loop_var: [a]", "loop_var must be a name"),
            ("loop_var: a", "step id 'a' is a name that the loop binds"),
        ],
    )
    def test_must_be_one(self, keys: str, message: str) -> None:
        with pytest.raises(PlanInvalid, match=message):
            loads(f"steps: [{{id: x, for_each: [1], {keys}, steps: [{{id: a, {TERMINAL}}}]}}]")

    def test_of_passes_has_no_effect(self) -> None:
        loaded = loads(f"steps: [{{id: x, while: 'true', loop_var: n, steps: [{{id: a, {TERMINAL}}}]}}]")
        assert "no-effect" in [warning.code for warning in loaded.warnings]
