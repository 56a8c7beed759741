"""Loops, jumps, handlers and questions to a model that cannot run: each is refused with its place and a remedy."""

from __future__ import annotations

import pytest

from tests.unit.test_loader_bad_input import TERMINAL, problems_of, step

LOOPS = [
    ("no items", "for_each: null, tool: terminal", "missing-parameter", "for_each has no items"),
    ("items that are a word", f"for_each: x, {TERMINAL}", "wrong-type", "must be a list, found the text 'x'"),
    ("items that are a number", f"for_each: 3, {TERMINAL}", "wrong-type", "found the number 3"),
    ("nothing to do", "for_each: [1]", "no-steps", "add steps, or a tool or action"),
    ("no steps", "while: 'true', steps: []", "no-steps", "the loop has nothing to do"),
    ("a step as steps", "while: 'true', steps: {id: b}", "wrong-type", "steps must be a list"),
    ("steps and an action", f"while: 'true', {TERMINAL}, steps: [{{id: b, {TERMINAL}}}]", "wrong-value", "both steps"),
    ("two kinds of loop", f"for_each: [1], while: 'true', {TERMINAL}", "wrong-value", "for_each, while"),
    ("no condition", f"type: loop, {TERMINAL}", "missing-parameter", "the loop has no condition"),
    ("a condition that is a list", f"while: [1], {TERMINAL}", "wrong-type", "while must be text or a boolean"),
    ("a condition that does not parse", f"until: 'x >', {TERMINAL}", "template", "condition 'x >'"),
    ("no item at a time", f"for_each: [1], max_parallel: 0, {TERMINAL}", "out-of-range", "1 to 10000 items"),
    ("too many passes", f"while: 'true', max_iterations: 1000000, {TERMINAL}", "out-of-range", "1 to 100000 passes"),
    (
        "half a pass",
        f"while: 'true', max_iterations: 1.5, {TERMINAL}",
        "wrong-type",
        "whole number of passes, found 1.5",
    ),
    ("parallel as a number", f"foreach: [1], parallel: 3, {TERMINAL}", "wrong-type", "true or false, found the number"),
    ("a loop's key alone", f"max_iterations: 3, {TERMINAL}", "wrong-value", "in a step that is no loop"),
    ("a name with blanks", f"for_each: [1], loop_name: a b, {TERMINAL}", "bad-id", "loop_name must start with"),
    ("no actions", "action_loop: [], until: 'true'", "no-steps", "must be a list of actions"),
    (
        "an action that is a number",
        f"action_loop: [3, {{{TERMINAL}}}], until: 'true'",
        "wrong-type",
        "found the number",
    ),
    ("actions without an end", f"action_loop: [{{{TERMINAL}}}]", "missing-parameter", "has no until"),
    ("break_on_error as text", f"action_loop: [{{{TERMINAL}}}], until: x, break_on_error: 1", "wrong-type", "true or"),
    ("a queue of nothing", "create_parallel_queue: [1]", "wrong-type", "a mapping with on and task, found a list"),
    (
        "a queue with a misspelt key",
        f"create_parallel_queue: {{onn: [1], on: [1], task: {{action_loop: [{{{TERMINAL}}}]}}}}",
        "unknown-key",
        "did you mean 'on'?",
    ),
    (
        "a queue without items",
        f"create_parallel_queue: {{task: {{action_loop: [{{{TERMINAL}}}]}}}}",
        "missing-parameter",
        "add on: with a list",
    ),
    (
        "a body's step with a loop's name",
        f"for_each: [1], steps: [{{id: position, {TERMINAL}}}]",
        "reserved-id",
        "binds",
    ),
    (
        "a body's step with the loop's id",
        f"for_each: [1], steps: [{{id: a, {TERMINAL}}}]",
        "reserved-id",
        "loop around",
    ),
    (
        "two steps of one id in a body",
        f"for_each: [1], steps: [{{id: b, {TERMINAL}}}, {{id: b, {TERMINAL}}}]",
        "duplicate-id",
        "give each step",
    ),
    (
        "an unknown loop",
        "for_each: [1], tool: terminal, parameters: {command: '{{ loops.b.item }}'}",
        "unknown-step",
        "loops: a",
    ),
]

FAILURE = [
    ("a jump to itself", f"{TERMINAL}, on_false: a", "cycle", "name a step that comes later"),
    ("a jump to nowhere", f"{TERMINAL}, on_success: fecth", "unknown-step", "did you mean 'fetch'?"),
    ("a jump to a list", f"{TERMINAL}, goto: [fetch]", "wrong-type", "goto must name a step"),
    ("a failure that leads nowhere", f"{TERMINAL}, on_failure: fecth", "wrong-value", "did you mean 'fetch'?"),
    ("a handler that is a number", f"{TERMINAL}, on_error: 3", "wrong-type", "found the number 3"),
    ("an empty handler", f"{TERMINAL}, on_error: {{}}", "no-action", "handler_task_id or fallback_value"),
    (
        "a misspelt key of a handler",
        f"{TERMINAL}, on_error: [{{error_typs: [a], fallback_value: 1}}]",
        "unknown-key",
        "did you mean 'error_types'?",
    ),
    ("a misspelt handler", f"{TERMINAL}, on_error: fecth", "unknown-step", "did you mean 'fetch'?"),
    ("a handler that is no step", f"{TERMINAL}, on_error: {{handler_task_id: b}}", "unknown-step", "no step 'b'"),
    ("a step that handles itself", f"{TERMINAL}, on_error: a", "cycle", "handles its own failure"),
    (
        "a switch that is no boolean",
        f"{TERMINAL}, on_error: {{fallback_value: 1, enabled: maybe}}",
        "wrong-type",
        "enabled must be true or false",
    ),
    (
        "a switch that is a condition",
        f"{TERMINAL}, on_error: {{fallback_value: 1, enabled: '{{{{ 1 > 0 }}}}'}}",
        "wrong-type",
        "name a step with that condition as handler_task_id",
    ),
    (
        "types that are mappings",
        f"{TERMINAL}, on_error: {{fallback_value: 1, error_types: [{{}}]}}",
        "wrong-type",
        "error_types must be a list of texts",
    ),
    (
        "a priority that is a word",
        f"{TERMINAL}, on_error: {{fallback_value: 1, priority: high}}",
        "wrong-type",
        "must be a number of points",
    ),
    ("an unknown way to wait", f"{TERMINAL}, backoff_strategy: exponentail", "wrong-value", "'exponential'?"),
    ("an unknown way to wait, inside", f"{TERMINAL}, retry: {{backoff: x}}", "wrong-value", "write one of"),
    (
        "a misspelt key of retry_config",
        f"{TERMINAL}, retry_config: {{max_retires: 1}}",
        "unknown-key",
        "in retry_config",
    ),
]

TAGS = [
    ("nothing asked", "<AUTO>", "wrong-value", "asks nothing"),
    ("nothing asked, closed", "<AUTO> </AUTO>", "wrong-value", "asks nothing"),
    ("never closed", "<AUTO>how many?", "wrong-value", "end it with </AUTO>"),
    ("closed twice", "<AUTO>how many?</AUTO></AUTO>", "wrong-value", "closes no tag"),
    ("half closed", "<AUTO>a <AUTO>b</AUTO>", "wrong-value", "never closed"),
    ("odd attributes", "<AUTO task>a</AUTO>", "wrong-value", "cannot be read"),
    ("too deep", "<AUTO>" * 9 + "x" + "</AUTO>" * 9, "too-deep", "deeper than 8"),
    ("a bad template", "<AUTO>{{ 1 | nope }}</AUTO>", "template", "'nope'"),
]


class TestRefused:
    @pytest.mark.parametrize(("keys", "code", "words"), [row[1:] for row in LOOPS], ids=[row[0] for row in LOOPS])
    def test_loops(self, keys: str, code: str, words: str) -> None:
        problem = problems_of(step(keys))[0]
        assert (problem.code, problem.line) == (code, 2)
        assert problem.column > 1
        assert words in problem.render("f")

    @pytest.mark.parametrize(("keys", "code", "words"), [row[1:] for row in FAILURE], ids=[row[0] for row in FAILURE])
    def test_failure_and_jumps(self, keys: str, code: str, words: str) -> None:
        (problem,) = problems_of(step(keys))
        assert (problem.code, problem.line, problem.step) == (code, 2, "a")
        assert words in problem.render("f")

    @pytest.mark.parametrize(("tag", "code", "words"), [row[1:] for row in TAGS], ids=[row[0] for row in TAGS])
    @pytest.mark.parametrize(
        "place",
        [
            "tool: terminal\n  parameters:\n    command: 'TAG'",
            "tool: terminal\n  parameters: {command: date}\n  condition: 'TAG'",
            "tool: terminal\n  parameters: {command: date}\n  for_each: 'TAG'",
            "tool: terminal\n  parameters: {command: date}\n  until: 'TAG'",
            "tool: terminal\n  parameters: {command: date}\n  fallback_value: ['TAG']",
        ],
    )
    def test_tags(self, place: str, tag: str, code: str, words: str) -> None:
        text = "steps:\n- id: a\n  " + place.replace("TAG", tag) + "\n"
        line = text[: text.index(tag)].count("\n") + 1
        found = [problem for problem in problems_of(text) if problem.code == code]
        assert [problem.line for problem in found] == [line]
        assert words in found[0].render("f")
