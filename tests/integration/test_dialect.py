"""Small pipelines, one for each form of the dialect, on the real engine: each does what its author means."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.loader import loads
from tests.conformance.model_server import Answer, ModelServer, Received
from tests.conformance.model_server import text as said
from tests.conftest import RedisServer
from tests.integration.model_fleet import ModelFleet

Run = Callable[..., RunDocument]

FORMS = Path(__file__).parents[1] / "forms"
"""Small pipelines in the style of existing files."""

QUEUES = (names.model_queue("openai"), names.model_queue("auto"), names.TOOL_QUEUE, names.CONTROL_QUEUE)

REPLIES = {
    "true or false": "true",
    "a JSON list": '["a", "b"]',
    "a whole number": "About 7.",
    "one of these words": "blue",
    "asks for": "handled",
    "in JSON": '{"mood": "calm"}',
}
"""What the model says to a prompt with these words in it; to any other it repeats the last line."""


def _answer(received: Received) -> Answer:
    prompt = str(received.body["input"][-1]["content"])
    return said(next((reply for words, reply in REPLIES.items() if words in prompt), prompt.strip().splitlines()[-1]))


@pytest.fixture
def run(
    redis_server: RedisServer, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run a pipeline's text to its end, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    server.script(otherwise=_answer)
    fleet = ModelFleet.on(redis_server.url, tmp_path, default_model="gpt-4o-mini")

    def run(text: str, **inputs: Any) -> RunDocument:
        started = fleet.submit(loads(textwrap.dedent(text)).plan, **inputs)
        forward_ms = 0
        while True:
            if (message := fleet.take(*QUEUES)) is not None:
                fleet.deliver(message)
            elif started.status().open:
                # Something waits for its time.
                forward_ms += 15_000
                fleet.set_clock(started, forward_ms)
                fleet.engine.scheduler.promote()
                fleet.engine.scheduler.sweep()
            else:
                break
        fleet.engine.scheduler.close(started.id)
        return started.document()

    yield run
    fleet.close()


FAILS = "tool: terminal, parameters: {command: 'echo gone >&2; exit 3'}"

HANDLERS = {
    "rescue": "{id: rescue, action: echo, parameters: {text: '{{ failed_step }}: {{ error }}'}}",
    "broken": "{id: broken, tool: terminal, parameters: {command: exit 4}}",
    "unfit": "{id: unfit, action: echo, condition: \"error_type == 'KeyError'\"}",
}


class TestErrorHandlers:
    @pytest.mark.parametrize(
        ("on_error", "expected"),
        [
            ("Say what happened", {"result": "handled", "recovery_handler": "Say what happened"}),
            ("rescue", {"result": "x: exited with status 3: gone", "recovery_handler": "rescue"}),
            ("{handler_task_id: rescue, retry_with_handler: false}", {"result": "x: exited with status 3: gone"}),
            ("{error_codes: [3], fallback_value: {n: '{{ n + 1 }}'}}", {"result": {"n": 2}}),
            ("{fallback_value: '{{ command[:9] }} {{ n }}'}", {"result": "echo gone 1"}),
            ("{error_patterns: ['go.e'], fallback_value: [1]}", {"result": [1], "recovery_handler": "fallback_value"}),
            ("[{error_types: [KeyError], fallback_value: 1}, {fallback_value: 2, priority: 500}]", {"result": 2}),
            ("[{handler_task_id: broken, continue_on_handler_failure: true}, rescue]", {"recovery_handler": "rescue"}),
            ("[{handler_task_id: broken}, {fallback_value: 7}]", {"result": 7}),
            ("[{handler_action: retry, max_handler_retries: 2}, {fallback_value: 7}]", {"result": 7}),
            ("[{handler_task_id: unfit, continue_on_handler_failure: true}, {fallback_value: 7}]", {"result": 7}),
        ],
    )
    def test_a_failure_is_handled(self, run: Run, on_error: str, expected: Mapping[str, Any]) -> None:
        handlers = "".join(f"\n  - {step}" for name, step in HANDLERS.items() if name in on_error)
        document = run(f"parameters: {{n: 1}}\nsteps:\n  - {{id: x, {FAILS}, on_error: {on_error}}}{handlers}")
        assert document.success, document.error
        left = document.steps["x"].value
        assert left.items() >= expected.items()
        assert (left["recovered_from_error"], left["original_error"]) == (True, "exited with status 3: gone")
        assert {document.steps[name].status for name in HANDLERS if name in on_error} <= {"skipped"}

    def test_a_handler_mends_what_the_step_needs(self, run: Run) -> None:
        document = run("""
            steps:
              - id: x
                tool: terminal
                parameters: {command: "cat made.txt"}
                on_error: {handler_task_id: make}
              - {id: make, tool: filesystem.write, parameters: {path: made.txt, content: "for {{ failed_step }}"}}
        """)
        left = document.steps["x"].value
        assert (left["result"]["stdout"], left["recovery_handler"]) == ("for x", "make")

    def test_a_model_that_fails_is_handled_too(self, run: Run, server: ModelServer) -> None:
        server.script(Answer(400, b'{"error": {"message": "no such thing"}}'), otherwise=_answer)
        document = run("""
            steps:
              - {id: x, action: generate, parameters: {prompt: hello}, on_error: {handler_action: Look after it}}
        """)
        assert document.steps["x"].value["result"] == "hello"
        assert document.steps["x"].value["recovery_handler"] == "Look after it"
        assert "no such thing" in str(server.requests[1].body["input"])

    def test_the_first_error_is_told_first(self, run: Run) -> None:
        document = run(f"""
            steps:
              - {{id: x, {FAILS}, on_error: {{handler_task_id: broken}}}}
              - {{id: broken, tool: terminal, parameters: {{command: "echo too >&2; exit 4"}}}}
        """)
        assert document.error == (
            "step 'x' failed: exited with status 3: gone; then its handler 'broken' failed: exited with status 4: too"
        )

    def test_those_of_the_file_and_of_a_loop(self, run: Run) -> None:
        document = run(f"""
            global_error_handlers: [{{error_types: [ToolFailed], handler_task_id: note, retry_with_handler: false}}]
            steps:
              - {{id: note, action: echo, parameters: {{text: "{{{{ item | default('?') }}}} {{{{ error_type }}}}"}}}}
              - id: each
                for_each: [a, b]
                steps: [{{id: x, {FAILS}}}]
            outputs: {{all: "{{{{ each.results }}}}"}}
        """)
        assert document.outputs == {"all": ["a ToolFailed", "b ToolFailed"]}

    def test_an_action_in_words_is_what_its_handlers_say(self, run: Run) -> None:
        document = run("""
            steps:
              - id: x
                action: Fetch the newest posts
                on_error:
                  - {error_types: [TimeoutError], handler_action: retry, priority: 1}
                  - {error_types: ["*"], handler_action: Use the old ones, priority: 2}
              - {id: y, action: Fetch more, fallback_value: [], on_failure: continue}
        """)
        assert document.success
        assert [document.steps[name].value["result"] for name in "xy"] == ["handled", []]

    def test_an_action_in_words_is_done_by_a_model_where_the_file_says_so(self, run: Run) -> None:
        document = run(
            "metadata: {prose_actions: model}\nsteps: [{id: x, action: 'Say hello to {{ execution.date }}'}]"
        )
        assert document.steps["x"].value["result"].startswith("Say hello to 2")


@pytest.mark.parametrize("form", [file.name for file in sorted(FORMS.glob("*.yaml"))])
def test_form(run: Run, form: str) -> None:
    """The first line of each file is a comment: the outputs that its author expects, as JSON."""
    text = (FORMS / form).read_text()
    document = run(text)
    assert document.success, (document.error, document.outputs)
    assert document.outputs == json.loads(text.partition("\n")[0].removeprefix("#"))


class TestLoops:
    def test_a_step_that_is_a_loop_of_itself_reads_its_pass_and_the_one_before(self, run: Run) -> None:
        document = run("""
            steps:
              - id: refine
                action: echo
                while: "{{ refine.iteration < 3 }}"
                parameters: {text: "{{ refine.iteration }}/{{ iteration }}, {{ refine.result | default('nothing') }}"}
        """)
        results = [document.steps[f"refine#{n}.refine"].value["result"] for n in range(3)]
        assert results == ["0/0, nothing", "1/1, 0/0, nothing", "2/2, 1/1, 0/0, nothing"]

    def test_named_loops_around(self, run: Run) -> None:
        document = run("""
            steps:
              - id: a
                for_each: [x, y]
                loop_name: outer
                steps:
                  - id: b
                    for_each: ["{{ $outer.item }}1", "{{ a.index }}"]
                    steps: [{id: c, action: echo, parameters: {text: "{{ $outer.item }}{{ $item }}{{ $b.index }}"}}]
            outputs: {all: "{{ a.results }}"}
        """)
        found = [document.steps[f"a[{i}].b[{j}].c"].value["result"] for i in (0, 1) for j in (0, 1)]
        assert found == ["xx10", "x01", "yy10", "y11"]
