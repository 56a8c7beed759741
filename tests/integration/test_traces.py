"""Spans: one for each run, step and attempt, in the trace of whoever submitted the run, and with no prompt in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import OnFailure, Plan, Retry, Step, StepKind
from orchestrator_client.contract.trace import RunTrace
from tests.command_line import COMMAND
from tests.conformance.model_server import ModelServer, text
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.integration.loops import each
from tests.integration.loops import text as step_of_text
from tests.otlp_receiver import Received, Receiver
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("traces")

ROOT = Path(__file__).parents[2]
CANARIES = ("canary-prompt", "canary-answer", "canary-value", "canary-error")
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

YAML = """
id: traced
steps:
  - {id: ask, action: generate, parameters: {model: openai/gpt-4o-mini, prompt: canary-prompt}}
"""


class Traced:
    """A worker that sends its spans to a receiver, and what it did."""

    def __init__(self, fleet: StandingFleet, receiver: Receiver, server: ModelServer) -> None:
        self.fleet, self.receiver = fleet, receiver
        self.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        keys = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.url}
        options = ("--queues", "tool,control,model.openai", "--pool", "prefork", "-c", "2")
        fleet.start_program("traced", "-m", "orchestrator_worker", *options, **self.environment, **keys)
        fails = python_step("fails", "tests.functions:fail", "canary-error", on_failure=OnFailure.CONTINUE)
        retry = Retry(attempts=2, initial_seconds=0.1, jitter=False)
        again = python_step("again", "tests.functions:fail_until", str(fleet.folder / "count"), 1, retry=retry)
        asks = Step(
            id="ask",
            kind=StepKind.MODEL,
            uses="generate",
            model="openai/gpt-4o-mini",
            parameters={"prompt": "canary-prompt"},
        )
        mapped = each("many", [1, 2], step_of_text("inner", "canary-value {{ item }}"))
        self.run = self.done(Plan(id="traced", steps=(fails, again, asks, mapped)))

    def done(self, plan: Plan) -> RunDocument:
        document = self.fleet.client.submit(plan).result(timeout=60)
        self.whole(document.execution_id)
        return document

    def whole(self, run: str) -> Received:
        """The run's own span."""
        return self.all_of(run, "invoke_workflow", 1)[0]

    def within(self, run: str, name: str) -> list[Received]:
        return [s for s in self.receiver.named(name) if s.attributes.get("orchestrator.run") == run]

    def all_of(self, run: str, name: str, number: int) -> list[Received]:
        wait_until(lambda: len(self.within(run, name)) >= number, f"{number} spans {name!r}")
        return self.within(run, name)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traces")
    with ModelServer() as server, Receiver() as receiver, StandingFleet(folder) as fleet:
        server.script(otherwise=lambda _: text("canary-answer"))
        yield Traced(fleet, receiver, server)


def test_one_span_for_the_run_each_step_and_each_attempt(traced: Traced) -> None:
    run = traced.run.execution_id
    whole = traced.whole(run)
    steps = {s.attributes["orchestrator.instance"]: s for s in traced.all_of(run, "step ", 6)}
    assert steps.keys() == {"fails", "again", "ask", "many", "many[0].inner", "many[1].inner"}
    assert {s.parent for s in steps.values()} == {whole.id}
    assert (whole.parent, whole.attributes["orchestrator.state"]) == ("", "failed")
    assert (whole.name, whole.attributes["gen_ai.workflow.name"]) == ("invoke_workflow traced", "traced")
    attempts = traced.all_of(run, "execute_tool", 5)
    again = [s for s in attempts if s.attributes["orchestrator.instance"] == "again"]
    assert [s.attributes["orchestrator.attempt"] for s in again] == [1, 2]
    assert {s.parent for s in again} == {steps["again"].id}
    assert [s.status for s in again] == [2, 0]
    assert again[0].attributes["error.type"]
    assert {s.name for s in steps.values()} == {"step fails", "step again", "step ask", "step many", "step many.inner"}
    assert len({s.id for s in traced.receiver.spans}) == len(traced.receiver.spans)
    assert {s.trace for s in [whole, *steps.values(), *attempts]} == {whole.trace}


def test_a_step_lasts_from_its_first_attempt_to_its_last(traced: Traced) -> None:
    run = traced.run.execution_id
    (step,) = traced.all_of(run, "step again", 1)
    first, last = (s for s in traced.all_of(run, "execute_tool", 5) if s.parent == step.id)
    assert step.start_ns == first.start_ns
    assert first.start_ns < last.start_ns
    assert traced.whole(run).start_ns <= step.start_ns


def test_a_model_call_follows_the_conventions(traced: Traced) -> None:
    (call,) = traced.all_of(traced.run.execution_id, "chat", 1)
    assert (call.name, call.kind) == ("chat gpt-4o-mini", 3)
    told = {name: value for name, value in call.attributes.items() if name.startswith("gen_ai.")}
    assert told.pop("gen_ai.usage.input_tokens") > 0
    assert told.pop("gen_ai.usage.output_tokens") > 0
    assert told.pop("gen_ai.response.model")
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.finish_reasons": ["stop"],
    }


def test_nothing_that_was_asked_answered_or_left_is_in_a_span(traced: Traced) -> None:
    traced.whole(traced.run.execution_id)
    told = repr(traced.receiver.spans)
    assert not [canary for canary in CANARIES if canary in told]


def test_the_command_line_and_the_workers_are_in_one_trace(traced: Traced) -> None:
    (traced.fleet.folder / "traced.yaml").write_text(YAML)
    environment = {**os.environ, **traced.environment, "ORCHESTRATOR_REDIS_URL": traced.fleet.url}
    submit = [COMMAND, "submit", "traced.yaml"]
    run = subprocess.check_output(submit, text=True, cwd=traced.fleet.folder, env=environment).strip()
    traced.fleet.client.run(run).result(timeout=60)
    whole = traced.whole(run)
    (submitted,) = wait_until(lambda: traced.receiver.named("submit traced"), "the client's span has come")
    assert (submitted.service, submitted.kind) == ("orchestrator", 4)
    assert (whole.trace, whole.parent) == (submitted.trace, submitted.id)
    (step,) = traced.all_of(run, "step ask", 1)
    assert (step.trace, step.parent, step.service) == (submitted.trace, whole.id, "orchestrator-worker")


def test_a_run_belongs_to_the_trace_of_its_caller() -> None:
    own, called = RunTrace.of("r", ""), RunTrace.of("r", CALLER)
    assert called.sampled
    assert not RunTrace.of("r", CALLER[:-1] + "0").sampled
    assert called.trace_id == 0x4BF92F3577B34DA6A3CE929D0E0E4736
    assert RunTrace.of("r", "nonsense") == own
    assert own.span_id("a", 1) != own.span_id("a", 2)
    child = RunTrace.of("child", called.traceparent("a"))
    assert (child.trace_id, child.caller) == (called.trace_id, called.span_id("a"))


@pytest.mark.parametrize("module", ["orchestrator_worker.process.life", "orchestrator_client.client"])
def test_nothing_is_imported_unless_spans_are_configured(module: str) -> None:
    # redis-py imports parts of the SDK where it is installed, so look for what only we import.
    told = f"import sys, {module}; print('opentelemetry.exporter' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", told], text=True, cwd=ROOT).strip() == "False"
