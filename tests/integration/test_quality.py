"""Steps that are held to something, message by message: what follows, who is told, who judges, and who pays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.event import EventKind
from orchestrator_client.loader import loads
from orchestrator_worker.scheduler import Left
from tests.conformance.model_server import ModelServer, error, text
from tests.conformance.scripted_server import Received
from tests.conftest import RedisServer
from tests.integration.model_fleet import ModelFleet

JUDGED = "{judge: {criteria: 'Is it kind to {{ who }}?', model: gpt-4o-mini}, name: kindness}"


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, server: ModelServer) -> Iterator[ModelFleet]:
    fleet = ModelFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


def asks(quality: str, more: str = "") -> str:
    """A model step that is held to this, with two tries, and an output."""
    return f"""
        inputs: {{who: Ada}}
        steps:
        - id: ask
          action: generate_text
          model: gpt-4o-mini
          retry: {{attempts: 2, delay: 0}}
          parameters: {{prompt: "Write to {{{{ who }}}}.{more}"}}
          quality: {quality}
        outputs: {{said: "{{{{ ask.result }}}}"}}
    """


def run_of(fleet: ModelFleet, plan: str) -> tuple[Any, Any]:
    """A run that has ended, and its document."""
    run = fleet.submit(loads(plan).plan)
    return run, fleet.finish(run)


def prompt(received: Received) -> str:
    """The last that the model was told."""
    content = received.body["input"][-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def verdict(score: float, reason: str) -> Any:
    return text(json.dumps({"score": score, "reason": reason}), input_tokens=40, output_tokens=10)


def test_what_is_good_enough_passes_with_its_score(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Dear Ada, thank you."))
    run, document = run_of(fleet, asks("[residue, boilerplate, {length: {max: 100}}]"))
    step = document.steps["ask"]
    assert (document.success, step.quality.score, step.quality.met) == (True, 1.0, True)
    assert [one.rule for one in step.quality.findings] == ["residue", "boilerplate", "length"]
    succeeded = next(event for event in run.stream() if event.kind is EventKind.STEP_SUCCEEDED)
    assert succeeded.data["quality"]["score"] == 1.0


def test_what_is_not_fails_and_keeps_what_it_got(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Certainly! Dear {{ name }},"))
    run, document = run_of(fleet, asks("[residue, boilerplate]"))
    step = document.steps["ask"]
    assert (document.success, step.status, step.error_type, step.retries) == (False, "failed", "QualityTooLow", 0)
    assert "residue: it has '{{ name }}'" in step.error
    assert "boilerplate: it has 'Certainly!'" in step.error
    assert step.value["result"] == "Certainly! Dear {{ name }},"
    assert (step.quality.met, step.usage.requests) == (False, 1)
    failed = next(event for event in run.stream() if event.kind is EventKind.STEP_FAILED)
    assert len(failed.data["quality"]["findings"]) == 2


@pytest.mark.parametrize(
    ("rules", "succeeds"),
    [("[residue]", True), ("[{residue: true, severity: critical}]", False)],
    ids=["error", "critical"],
)
def test_a_warning_is_enough_but_for_what_is_critical(
    fleet: ModelFleet, server: ModelServer, rules: str, succeeds: bool
) -> None:
    server.script(text("Dear {{ name }},"))
    run, document = run_of(fleet, asks(f"{{rules: {rules}, on_fail: warn}}"))
    assert document.success == succeeds
    if succeeds:
        assert "quality: residue: it has" in fleet.receipt(run, "ask").warnings[0]


def test_the_next_try_is_told_why(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(
        text("Certainly! Dear Ada.", input_tokens=10, output_tokens=5),
        text("Dear Ada.", input_tokens=20, output_tokens=3),
    )
    _, document = run_of(fleet, asks("{rules: [boilerplate], on_fail: retry}"))
    step = document.steps["ask"]
    assert (document.outputs, step.retries, step.quality.met) == ({"said": "Dear Ada."}, 1, True)
    first, second = map(prompt, server.requests)
    assert first == "Write to Ada."
    assert second.startswith("Write to Ada.\n\nYour answer before this one was not accepted: boilerplate: it has")
    # What was sent back is paid for too.
    assert (step.usage.requests, step.usage.input_tokens, step.usage.output_tokens) == (2, 30, 8)


def test_a_plan_says_itself_where_the_reason_stands(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Certainly!"), text("Certainly!"))
    _, document = run_of(fleet, asks("{rules: [boilerplate], on_fail: retry}", " Mind: {{ quality_feedback }}"))
    assert document.steps["ask"].error_type == "QualityTooLow"
    first, second = map(prompt, server.requests)
    assert first == "Write to Ada. Mind: "
    assert second.startswith("Write to Ada. Mind: boilerplate: it has 'Certainly!'")
    assert "not accepted" not in second


def test_a_judge_is_a_step_of_the_run_and_holds_no_worker(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Go away.", input_tokens=10, output_tokens=2), verdict(0.1, "It is rude."))
    run = fleet.submit(loads(asks(f"[{JUDGED}]")).plan)
    assert isinstance(fleet.deliver(fleet.taken("ask")), Left)
    assert run.document(values=False).steps["ask"].status == "parked"
    judge = fleet.taken("ask#30001.1")
    assert judge.queue == names.model_queue("openai")
    fleet.deliver(judge)
    document = fleet.finish(run)
    step = document.steps["ask"]
    assert (step.status, step.quality.score) == ("failed", 0.1)
    assert "kindness: It is rude." in step.error
    assert step.value["result"] == "Go away."
    asked = prompt(server.requests[1])
    assert "Is it kind to Ada?" in asked
    assert "Go away." in asked
    assert document.steps["ask#30001.1"].usage.output_tokens == 10
    assert (step.usage.requests, document.usage.requests, len(server.requests)) == (1, 2, 2)


def test_a_judge_sends_back_and_judges_anew(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Go away."), verdict(0.1, "It is rude."), text("Dear Ada."), verdict(0.9, "Kind."))
    _, document = run_of(fleet, asks(f"{{rules: [residue, {JUDGED}], on_fail: retry}}"))
    step = document.steps["ask"]
    assert (document.success, step.value["result"], step.retries) == (True, "Dear Ada.", 1)
    assert [one.message for one in step.quality.findings] == ["", "Kind."]
    assert step.quality.score == pytest.approx(0.95)
    assert prompt(server.requests[2]).endswith("kindness: It is rude.\nAnswer again, and put that right.")
    assert len(server.requests) == 4


def test_what_is_not_good_enough_anyway_is_not_judged(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Dear {{ name }}"))
    _, document = run_of(fleet, asks(f"[residue, {JUDGED}]"))
    assert document.steps["ask"].error_type == "QualityTooLow"
    assert len(server.requests) == 1


def test_a_judge_that_cannot_be_asked_is_not_convinced(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("Dear Ada."), error(400, "no"))
    _, document = run_of(fleet, asks(f"[{JUDGED}]"))
    assert "kindness: the judge gave no score" in document.steps["ask"].error


def test_files_that_a_step_wrote(fleet: ModelFleet, tmp_path: Path) -> None:
    _, document = run_of(
        fleet,
        """
        quality: {rules: [{format: json, file: out.json}, {fields: [title], file: out.json}], steps: [write]}
        steps:
        - id: write
          tool: filesystem
          action: write
          parameters: {path: out.json, content: '{"title": ""}'}
          quality: [{size: {min: 1}, file: "{{ write.path }}"}]
        """,
    )
    step = document.steps["write"]
    assert (tmp_path / "out.json").exists()
    assert [one.met for one in step.quality.findings] == [True, False, True]
    assert "fields: missing or empty: title" in step.error


@pytest.mark.parametrize("path", ["missing.json", "../out.json", "."])
def test_a_file_that_cannot_be_read_is_not_good_enough(fleet: ModelFleet, path: str) -> None:
    step = f"{{id: a, tool: terminal, parameters: {{command: date}}, quality: [{{size: {{min: 1}}, file: {path}}}]}}"
    _, document = run_of(fleet, f"steps: [{step}]")
    assert "size: it cannot be checked: " in document.steps["a"].error


def test_a_tool_is_told_why_it_is_called_again(fleet: ModelFleet, tmp_path: Path) -> None:
    _, document = run_of(
        fleet,
        """
        steps:
        - id: a
          tool: terminal
          retry: {attempts: 2, delay: 0}
          parameters: {command: ["echo", "said {{ quality_feedback }}"]}
          quality: {rules: [{requires: it does not have}], on_fail: retry}
        """,
    )
    step = document.steps["a"]
    assert (document.success, step.retries) == (True, 1)
    assert step.value["result"]["stdout"] == "said requires: it does not have 'it does not have'\n"


def test_what_cannot_be_asked_of_a_judge_is_not_good_enough_and_paid_for(
    fleet: ModelFleet, server: ModelServer
) -> None:
    server.script(text("Dear Ada.", input_tokens=10, output_tokens=5))
    _, document = run_of(fleet, asks("[{judge: '{{ ask.no_such_field + 1 }}'}]"))
    step = document.steps["ask"]
    assert (step.error_type, step.usage.output_tokens) == ("QualityTooLow", 5)
    assert "judge: it cannot be checked:" in step.error


def test_a_secret_in_a_file_is_in_no_finding(
    fleet: ModelFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", "tr0ub4dor-and-3")
    _, document = run_of(
        fleet,
        """
        steps:
        - id: a
          tool: terminal
          parameters: {command: "printenv TOKEN > kept", env: {TOKEN: "secret://TOKEN"}}
          quality: [{forbids: "/^.*$/", file: kept}]
        """,
    )
    assert "tr0ub4dor" in (tmp_path / "kept").read_text()
    assert "[secret TOKEN]" in document.steps["a"].error
    assert "tr0ub4dor" not in document.model_dump_json()
