"""What a step uses, where its action is written in one of the looser ways of existing files; and calls in templates."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.loader import loads
from tests.unit.loading import TERMINAL, codes, step_of


@pytest.mark.parametrize(
    ("keys", "uses"),
    [
        ("tool: filesystem, parameters: {operation: read, path: x}", "filesystem.read"),
        ("tool: headless-browser, parameters: {url: x}", "headless-browser.scrape"),
        ("tool: headless-browser, parameters: {query: x}", "headless-browser.search"),
        ("tool: filesystem, action: Write test file, parameters: {path: x, content: y}", "filesystem.write"),
        ("tool: filesystem, action: Save it all, parameters: {action: append, path: x}", "filesystem.append"),
        ("tool: python-executor, action: Run simple code, parameters: {code: '1'}", "python-executor.execute"),
        ("action: print hello", "text.echo"),
        ("action: echo, parameters: {message: hello}", "text.echo"),
    ],
)
def test_the_action_that_is_meant(keys: str, uses: str) -> None:
    assert step_of(keys).uses == uses


def test_a_tool_that_is_a_model() -> None:
    step = step_of("tool: image-analysis, action: execute, parameters: {image: a.png, analysis_type: describe}")
    assert (step.kind, step.uses, step.queue) == (StepKind.MODEL, "analyze-image", "model.openai")


def test_an_action_of_a_tool_that_comes_later() -> None:
    with pytest.raises(PlanInvalid, match="action 'batch_process' of 'task-delegation' is not in this release"):
        step_of("tool: task-delegation, action: batch_process, parameters: {tasks: [{task: t}]}")


class TestSharedContext:
    def test_is_refused_at_its_line(self) -> None:
        step = "- id: a\n  tool: python-executor\n  parameters:\n    code: |\n"
        text = f"steps:\n{step}      x = 1\n      context['x'] = x\n"
        with pytest.raises(PlanInvalid) as refused:
            loads(text)
        (problem,) = refused.value.problems
        assert (problem.code, problem.line, "as {{ name | tojson }}" in problem.remedy) == ("not-yet", 7, True)

    @pytest.mark.parametrize(
        "code",
        [
            "context = 1; print(context)",
            "import a.context as context; context.x",
            "def f(context): return context",
            "print('context')",
            "x.context",
            "{{ first.stdout }}; context",
            "context (",
        ],
    )
    def test_may_be_a_name_of_the_codes_own(self, code: str) -> None:
        assert step_of(f'tool: python-executor, parameters: {{code: "{code}"}}').uses == "python-executor.execute"


@pytest.mark.parametrize(
    ("action", "text"),
    [("echo it is {{ first.stdout }}", "it is {{ first.stdout }}"), ('Display \\"this\\"', "this")],
)
def test_what_an_echo_says(action: str, text: str) -> None:
    step = step_of(f'action: "{action}"')
    assert step.parameters == {"text": text}
    assert step.reads == (("first",) if "first" in action else ())


class TestActionsInWords:
    FETCH = "id: x, action: Fetch the posts, parameters: {url: u}"

    def test_are_refused(self) -> None:
        with pytest.raises(PlanInvalid, match="no action 'Fetch the posts'"):
            loads(f"steps: [{{{self.FETCH}}}]")

    @pytest.mark.parametrize("handler", ["on_error: retry", "on_failure: continue", "on_error: continue"])
    def test_are_refused_where_nothing_can_save_the_step(self, handler: str) -> None:
        with pytest.raises(PlanInvalid, match="no action 'Fetch the posts'"):
            loads(f"steps: [{{{self.FETCH}, {handler}}}]")

    @pytest.mark.parametrize(
        "handler", ["on_error: Use old ones", "fallback_value: 1", "on_error: [{handler_task_id: y}]"]
    )
    def test_fail_where_something_can(self, handler: str) -> None:
        loaded = loads(f"steps: [{{{self.FETCH}, {handler}}}, {{id: y, {TERMINAL}}}]")
        step = loaded.plan.step_by_id["x"]
        assert (step.uses, step.parameters) == ("unknown", {"action": "Fetch the posts", "url": "u"})
        assert codes(loaded) == ["prose-action"]

    def test_are_done_by_a_model_where_the_file_says_so(self) -> None:
        loaded = loads(f"metadata: {{prose_actions: model}}\nsteps: [{{{self.FETCH}, fallback_value: 1}}]")
        step = loaded.plan.steps[0]
        assert (step.kind, step.uses, step.parameters["prompt"]) == ("model", "generate", "Fetch the posts")

    @pytest.mark.parametrize("handler", ["name: none", "on_error: Use old ones"])
    def test_are_a_label_where_a_prompt_stands_beside_them(self, handler: str) -> None:
        loaded = loads(f"steps: [{{id: x, action: Say it well, parameters: {{prompt: p, max_tokens: 9}}, {handler}}}]")
        step = loaded.plan.steps[0]
        assert (step.kind, step.uses, step.parameters) == ("model", "generate", {"prompt": "p", "max_tokens": 9})
        assert codes(loaded) == ["prose-action"]

    def test_one_word_is_none_even_beside_a_prompt(self) -> None:
        with pytest.raises(PlanInvalid, match="did you mean 'generate"):
            step_of("action: generte, parameters: {prompt: p}")

    def test_may_use_the_tool_beside_them(self) -> None:
        text = (
            "metadata: {prose_actions: model}\nsteps: [{id: x, tool: validation, action: Look at it, parameters: {}}]"
        )
        assert loads(text.replace("validation", "filesystem")).plan.steps[0].parameters["tools"][0] == "filesystem.read"

    def test_cannot_be_left_to_something_else(self) -> None:
        with pytest.raises(PlanInvalid, match="prose_actions must be model"):
            loads(f"metadata: {{prose_actions: dream}}\nsteps: [{{id: x, {TERMINAL}}}]")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ now(1) }}", r"function 'now' is unknown"),
        ("{{ rang(3) }}", "function 'rang' is unknown; did you mean 'range'"),
        ("{{ first.result() }}", "method 'result' is unknown"),
        ("{{ first.stdout.appnd(1) }}", "method 'appnd' is unknown"),
    ],
)
def test_a_call_that_can_never_work_is_refused(template: str, message: str) -> None:
    with pytest.raises(PlanInvalid, match=message):
        step_of(f'action: echo, parameters: {{text: "{template}"}}')
    with pytest.raises(PlanInvalid, match=message):
        step_of(f'action: echo, condition: "{template.strip("{} ")}"')


@pytest.mark.parametrize(
    "template",
    [
        "{% macro m(g) %}{{ g(1) if g else '' }}{% endmacro %}{{ m(none) }}",
        "{% for x in [1] %}{{ loop.cycle('a', 'b') }}{% endfor %}",
        "{{ first.stdout.split(',')[0].upper() }}{{ range(3) | list }}{{ dict(a=1).items() | list }}",
    ],
)
def test_other_calls_stay(template: str) -> None:
    assert step_of(f'action: echo, parameters: {{text: "{template}"}}').parameters["text"] == template
