"""What is recorded of a run, read back from its stored forms, and the document that joins it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.document import RunDocument, StepDocument
from orchestrator_client.contract.plan import Json, Plan, Step, StepKind
from orchestrator_client.contract.run import (
    ErrorInfo,
    InstanceState,
    OpenInstance,
    Outcome,
    Receipt,
    RunRecord,
    RunState,
    Wish,
    iso,
    status_word,
)
from orchestrator_client.contract.usage import Usage

PLAN = Plan(
    id="report",
    steps=(
        Step(id="read", kind=StepKind.TOOL, uses="filesystem.read"),
        Step(
            id="write", kind=StepKind.MODEL, uses="generate", provider="google", model="{{ inputs.m }}", after=("read",)
        ),
        Step(id="save", kind=StepKind.TOOL, uses="filesystem.write", after=("write",), routed_from=("read",)),
    ),
)
CENT = Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal("0.01"))


def record(state: RunState, **fields: Any) -> RunRecord:
    return RunRecord(
        **{
            "run": "report_1",
            "pipeline": "report",
            "plan_hash": "h",
            "state": state,
            "submitted_ms": 500,
            "started_ms": 1000,
            **fields,
        }
    )


def receipt(outcome: Outcome = Outcome.SUCCEEDED, ended_ms: int = 2000, **fields: Any) -> Receipt:
    return Receipt(**{"outcome": outcome, "attempt": 1, "started_ms": 1500, "ended_ms": ended_ms, **fields})


def document(
    of: RunRecord,
    receipts: dict[str, Receipt] | None = None,
    waiting: dict[str, OpenInstance] | None = None,
    values: dict[str, Json] | None = None,
) -> RunDocument:
    return RunDocument.build(PLAN, of, receipts or {}, waiting or {}, values or {})


# --- the document in each state --------------------------------------------------------------------------------------


def test_submitted() -> None:
    built = document(record(RunState.SUBMITTED, started_ms=None))
    assert (built.status, built.success, built.started_at, built.duration) == ("submitted", False, None, 0.0)
    assert {step.status for step in built.steps.values()} == {"pending"}


def test_running() -> None:
    waiting = {"write": OpenInstance(state=InstanceState.PARKED, attempt=3, since_ms=2500)}
    built = document(record(RunState.RUNNING), {"read": receipt()}, waiting)
    assert (built.status, built.success, built.completed_at, built.duration) == ("running", False, None, 0.0)
    assert {name: step.status for name, step in built.steps.items()} == {
        "read": "completed",
        "write": "parked",
        "save": "pending",
    }
    assert built.steps["write"].retries == 2
    assert built.execution_order == ["read"]


def test_succeeded() -> None:
    receipts = {
        "save": receipt(ended_ms=4000),
        "write": receipt(ended_ms=3000, usage=CENT, model="gemini-2.5", worker="host:7", attempt=2, warnings=("hm",)),
        "read": receipt(ended_ms=2000),
    }
    values = {"write": {"result": "text"}}
    built = document(record(RunState.SUCCEEDED, ended_ms=4500, outputs={"o": 1}), receipts, {}, values)
    assert (built.status, built.success, built.error, built.duration) == ("completed", True, None, 3.5)
    assert (built.pipeline_id, built.execution_id, built.outputs) == ("report", "report_1", {"o": 1})
    assert built.execution_order == ["read", "write", "save"]
    assert built.execution_levels == [["read"], ["write"], ["save"]]
    assert built.usage == Usage(requests=1, input_tokens=10, output_tokens=5, cost_usd=Decimal("0.01"))
    assert built.steps["write"] == StepDocument(
        id="write",
        action="generate",
        status="completed",
        success=True,
        value={"result": "text"},
        model="gemini-2.5",
        provider="google",
        started_at="1970-01-01T00:00:01.500000+00:00",
        completed_at="1970-01-01T00:00:03+00:00",
        duration=1.5,
        retries=1,
        worker="host:7",
        usage=CENT,
        dependencies=["read"],
    )


def test_what_ended_in_one_millisecond_stands_in_the_order_of_the_plan() -> None:
    receipts = {name: receipt() for name in ("save", "write", "read")}
    assert document(record(RunState.SUCCEEDED), receipts).execution_order == ["read", "write", "save"]


def test_failed_names_the_step_and_says_why_others_were_not_reached() -> None:
    error = ErrorInfo(type="StepTimeout", message="too slow")
    receipts = {"read": receipt(), "write": receipt(Outcome.FAILED, 3000, error=error)}
    built = document(record(RunState.FAILED, ended_ms=3000, halt="write", error=error), receipts)
    assert (built.status, built.success, built.error, built.error_type) == ("failed", False, "too slow", "StepTimeout")
    failed, unreached = built.steps["write"], built.steps["save"]
    assert (failed.status, failed.error, failed.error_type, failed.timed_out) == (
        "failed",
        "too slow",
        "StepTimeout",
        True,
    )
    assert (unreached.status, unreached.reason, unreached.success) == (
        "cancelled",
        "not reached: write failed",
        False,
    )


def test_cancelled() -> None:
    receipts = {"read": receipt(), "write": receipt(Outcome.CANCELLED, 3000, reason="the run was cancelled")}
    built = document(record(RunState.CANCELLED, ended_ms=3000, wish=Wish.CANCEL), receipts)
    assert (built.status, built.success, built.error) == ("cancelled", False, None)
    assert (built.steps["write"].status, built.steps["write"].reason) == ("cancelled", "the run was cancelled")
    assert built.steps["save"].reason == "not reached before the run ended"


def test_a_skipped_step_says_why_and_did_not_time_out() -> None:
    built = document(record(RunState.RUNNING), {"read": receipt(Outcome.SKIPPED, reason="its condition is false")})
    step = built.steps["read"]
    assert (step.status, step.success, step.reason, step.timed_out) == (
        "skipped",
        False,
        "its condition is false",
        False,
    )


def test_a_step_that_never_started_took_no_time() -> None:
    skipped = receipt(Outcome.SKIPPED, started_ms=None)
    assert document(record(RunState.RUNNING), {"read": skipped}).steps["read"].duration == 0.0


def test_tools_and_models_are_named_as_readers_expect() -> None:
    steps = document(record(RunState.RUNNING)).steps
    assert list(steps) == ["read", "write", "save"]
    assert (steps["read"].action, steps["read"].tool, steps["read"].provider) == ("read", "filesystem.read", None)
    assert (steps["write"].action, steps["write"].tool, steps["write"].model) == ("generate", None, "{{ inputs.m }}")
    assert steps["save"].dependencies == ["write", "read"]


@pytest.mark.parametrize(
    ("second", "cost"),
    [(CENT, Decimal("0.02")), (Usage(input_tokens=1), None), (Usage(cost_usd=Decimal(0)), Decimal("0.01"))],
)
def test_the_cost_of_a_run_is_known_only_if_that_of_every_call_is(second: Usage, cost: Decimal | None) -> None:
    receipts = {"read": receipt(), "write": receipt(usage=CENT), "save": receipt(usage=second)}
    usage = document(record(RunState.RUNNING), receipts).usage
    assert (usage.requests, usage.cost_usd) == (2, cost)
    assert usage.input_tokens == 10 + second.input_tokens


def test_a_run_without_model_calls_costs_nothing() -> None:
    assert document(record(RunState.RUNNING)).usage == Usage(requests=0, cost_usd=Decimal(0))


def test_the_document_survives_json() -> None:
    built = document(record(RunState.SUCCEEDED, ended_ms=2000), {"write": receipt(usage=CENT)}, {}, {"write": [1]})
    assert RunDocument.model_validate_json(built.model_dump_json()) == built


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (Outcome.SUCCEEDED, "completed"),
        (RunState.SUCCEEDED, "completed"),
        ("succeeded", "completed"),
        (Outcome.FAILED, "failed"),
        (Outcome.SKIPPED, "skipped"),
        (RunState.CANCELLED, "cancelled"),
        (RunState.RUNNING, "running"),
    ],
)
def test_status_words(state: str, word: str) -> None:
    assert status_word(state) == word


def test_which_states_are_ends() -> None:
    assert [state for state in RunState if not state.ended] == [RunState.SUBMITTED, RunState.RUNNING]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00+00:00"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123000+00:00"),
    ],
)
def test_iso(ms: int | None, text: str | None) -> None:
    assert iso(ms) == text


def test_an_error_without_words_goes_by_its_type_and_a_long_one_is_cut() -> None:
    assert ErrorInfo.of(ValueError()) == ErrorInfo(type="ValueError", message="ValueError")
    assert len(ErrorInfo.of(ValueError("x" * 9000)).message) == 4000


# --- stored forms ----------------------------------------------------------------------------------------------------


def test_a_receipt_comes_back_from_the_store() -> None:
    kept = receipt(Outcome.FAILED, ended_ms=0, error=ErrorInfo(type="T", message="a b"), usage=CENT)
    text = kept.model_dump_json(exclude_defaults=True, exclude={"ended_ms"})
    read = Receipt.from_stored(f"2500 {text}")
    assert read == kept.model_copy(update={"ended_ms": 2500})
    assert (read.seconds, read.explanation) == (1.0, "a b")


def test_a_receipt_of_a_newer_worker_is_read_by_what_is_known() -> None:
    read = Receipt.from_stored('9 {"outcome":"skipped","attempt":1,"reason":"why","mood":"blue","usage":{"songs":3}}')
    assert (read.outcome, read.ended_ms, read.explanation, read.usage) == (Outcome.SKIPPED, 9, "why", Usage())


def test_a_run_comes_back_from_the_store() -> None:
    stored = {
        "pipeline": "report",
        "plan_hash": "h",
        "state": "failed",
        "wish": "cancel",
        "tags": '["a","b"]',
        "steps": "3",
        "failed": "1",
        "open": "0",
        "submitted_ms": "500",
        "started_ms": "1000",
        "ended_ms": "3000",
        "halt": "write",
        "error": '{"type":"T","message":"m"}',
        "outputs": '{"o":[1]}',
        "canvas": "{}",
        "colour": "red",
    }
    assert RunRecord.from_hash("report_1", stored) == record(
        RunState.FAILED,
        wish=Wish.CANCEL,
        tags=("a", "b"),
        steps=3,
        failed=1,
        ended_ms=3000,
        halt="write",
        error=ErrorInfo(type="T", message="m"),
        outputs={"o": [1]},
    )


def test_empty_text_in_the_store_means_not_there() -> None:
    stored = {"pipeline": "p", "plan_hash": "h", "state": "running", "error": "", "outputs": "", "halt": ""}
    read = RunRecord.from_hash("r", stored)
    assert (read.error, read.outputs, read.halt, read.wish, read.success) == (None, None, "", Wish.RUN, False)


def test_a_stored_run_cannot_name_another() -> None:
    assert RunRecord.from_hash("r", {"run": "x", "pipeline": "p", "plan_hash": "h", "state": "running"}).run == "r"


@pytest.mark.parametrize(
    "stored", ["running|5|1500|0|3", "running|5|1500|0|3|model.openai|token", "running|5|1500|1|3|tool||x"]
)
def test_an_open_instance_comes_back_whatever_is_added_behind(stored: str) -> None:
    assert OpenInstance.from_stored(stored) == OpenInstance(
        state=InstanceState.RUNNING, attempt=5, since_ms=1500, excused=3
    )


def test_an_older_reader_takes_a_document_with_more_fields() -> None:
    newer = json.loads(document(record(RunState.RUNNING)).model_dump_json()) | {"mood": "blue"}
    newer["steps"]["read"]["colour"] = "red"
    assert RunDocument.model_validate(newer) == document(record(RunState.RUNNING))
