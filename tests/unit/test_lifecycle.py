"""What an attempt's end means: to come back or an outcome, which edges stay alive, how long to wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import caps
from orchestrator_client.contract.catalog import LOST_ATTEMPTS
from orchestrator_client.contract.errors import (
    BudgetExceeded,
    CredentialMissing,
    FailureKind,
    ModelFailed,
    OrchestratorError,
    ParametersInvalid,
    StepCancelled,
    StepTimeout,
    ToolFailed,
    Unresolved,
    WorkerLost,
)
from orchestrator_client.contract.plan import END, Handler, OnFailure, OnLost, Retry, Step, StepKind
from orchestrator_client.contract.question import Question, QuestionKind
from orchestrator_client.contract.run import ErrorInfo, Outcome, RunRecord, RunState, Wish
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.compiler import Successor
from orchestrator_worker.lifecycle import (
    Final,
    Standing,
    attempts_of,
    backoff_seconds,
    decide,
    failed_value,
    final_state,
    may_try_again,
    skipped_value,
)
from orchestrator_worker.records import Asked, Leave, Report
from orchestrator_worker.steps.base import Again, Descend, Fail, Output, Readmit, Route, Skip, Turn, Wait, Want

ASKED = Question(kind=QuestionKind.INPUT, prompt="?", timeout_seconds=9.0)
USAGE = Usage(input_tokens=3)
CALLED = Report("ok", seconds=1.0)
MEMO = {"model": 0}
OTHER_MODEL = {"model": 1}


def step(uses: str = "terminal.execute", kind: StepKind = StepKind.TOOL, **fields: Any) -> Step:
    return Step(id="s", kind=kind, uses=uses, **fields)


def end_of(want: Want, of: Step | None = None, attempt: int = 1, **standing: Any) -> Leave | Final:
    return decide(of or step(), Standing(attempt, started_ms=1000, worker="host:1", **standing), want)


def final(want: Want, of: Step | None = None, attempt: int = 1, **standing: Any) -> Final:
    decided = end_of(want, of, attempt, **standing)
    assert isinstance(decided, Final)
    return decided


def leave(want: Want, of: Step | None = None, attempt: int = 1, **standing: Any) -> Leave:
    decided = end_of(want, of, attempt, **standing)
    assert isinstance(decided, Leave)
    return decided


def model(**fields: Any) -> Step:
    return step("generate", StepKind.MODEL, **fields)


def edge(target: str, route: bool = False) -> Successor:
    return Successor(target, need=1, queue="tool", route=route)


# --- decide ----------------------------------------------------------------------------------------------------------


def test_an_output_is_a_success_that_keeps_what_the_call_used() -> None:
    output = Output({"result": 1}, USAGE, "gpt-5", "the cheapest", cached=True, warnings=("odd",), report=CALLED)
    decided = final(output, attempt=2, excused=1)
    assert (decided.value, decided.halts, decided.alive, decided.taken) == ({"result": 1}, False, True, None)
    kept = decided.receipt
    assert (kept.outcome, kept.attempt, kept.started_ms, kept.worker) == (Outcome.SUCCEEDED, 2, 1000, "host:1")
    assert (kept.usage, kept.model, kept.warnings) == (USAGE, "gpt-5", ("odd",))
    assert (kept.selection, kept.cached, kept.excused) == ("the cheapest", True, 1)
    assert decided.report is CALLED


def test_a_skip_says_why() -> None:
    decided = final(Skip("its condition is false"))
    assert (decided.receipt.outcome, decided.receipt.reason) == (Outcome.SKIPPED, "its condition is false")
    assert decided.value == {"status": "skipped", "success": False, "reason": "its condition is false"}


def test_a_route_is_a_success_with_its_targets_as_value() -> None:
    decided = final(Route(("b", END)))
    assert decided.receipt.outcome is Outcome.SUCCEEDED
    assert (decided.value, decided.taken) == ({"result": ["b", END], "success": True}, ("b", END))


@pytest.mark.parametrize(
    ("policy", "halts", "alive"),
    [(OnFailure.FAIL, True, False), (OnFailure.CONTINUE, False, True), (OnFailure.SKIP, False, False)],
)
def test_a_failure_follows_the_policy_of_its_step(policy: OnFailure, halts: bool, alive: bool) -> None:
    failure = Fail(ToolFailed("broke"), {"result": "half", "success": True}, USAGE, "gpt-5")
    decided = final(failure, step(on_failure=policy))
    assert (decided.halts, decided.alive) == (halts, alive)
    assert decided.receipt.outcome is Outcome.FAILED
    assert decided.receipt.error == ErrorInfo(type="ToolFailed", message="broke")
    assert (decided.receipt.usage, decided.receipt.model) == (USAGE, "gpt-5")
    assert decided.value == {"result": "half", "status": "failed", "success": False, "error": "broke"}


@pytest.mark.parametrize("policy", OnFailure)
def test_a_cancellation_is_no_failure_whatever_the_policy(policy: OnFailure) -> None:
    decided = final(Fail(StepCancelled("the run was cancelled")), step(on_failure=policy, retry=Retry(attempts=9)))
    assert (decided.receipt.outcome, decided.receipt.reason) == (Outcome.CANCELLED, "the run was cancelled")
    assert (decided.halts, decided.alive, decided.receipt.error) == (False, False, None)


AGAIN_WHILE_ATTEMPTS_LAST: list[OrchestratorError] = [ToolFailed("x"), ModelFailed("x"), StepTimeout("x")]
NEVER_AGAIN: list[OrchestratorError] = [
    ParametersInvalid("x"),
    ModelFailed("x", retryable=False),
    CredentialMissing("x"),
    BudgetExceeded("x"),
    Unresolved("x"),
    StepCancelled("x"),
]


@pytest.mark.parametrize("error", AGAIN_WHILE_ATTEMPTS_LAST, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("policy", OnFailure)
def test_the_policy_counts_when_no_attempt_is_left(error: OrchestratorError, policy: OnFailure) -> None:
    retried = step(on_failure=policy, retry=Retry(attempts=3))
    for attempt in (1, 2):
        decided = end_of(Fail(error), retried, attempt)
        assert isinstance(decided, Leave)
        assert (decided.error, decided.excused) == (ErrorInfo.of(error), 0)
    assert final(Fail(error), retried, 3).receipt.outcome is Outcome.FAILED


@pytest.mark.parametrize("error", NEVER_AGAIN, ids=lambda error: type(error).__name__)
def test_what_cannot_go_better_is_not_tried_again(error: OrchestratorError) -> None:
    assert isinstance(end_of(Fail(error), step(retry=Retry(attempts=9))), Final)


@pytest.mark.parametrize("attempts", [None, 1, 2, 3, 5])
def test_a_lost_worker_costs_an_attempt_but_three_are_always_given(attempts: int | None) -> None:
    lost, of = WorkerLost("died"), step(retry=Retry(attempts=attempts), on_lost=OnLost.RETRY)
    most = max(attempts or 1, LOST_ATTEMPTS)
    assert [may_try_again(of, attempt, lost) for attempt in (most - 1, most, most + 1)] == [True, False, False]
    decided = end_of(Fail(lost), of, most - 1)
    assert isinstance(decided, Leave)
    assert decided.wait_seconds == 0.0


def test_a_lost_worker_costs_no_turn_but_for_what_goes_on_to_kill_its_processes() -> None:
    lost, of = WorkerLost("died"), step(retry=Retry(attempts=6), on_lost=OnLost.RETRY)
    assert [leave(Fail(lost), of, attempt).first for attempt in (1, 2, 3, 4)] == [True, True, False, False]
    assert not leave(Fail(StepTimeout("late")), of).first


@pytest.mark.parametrize(
    ("of", "repeatable", "again"),
    [
        (step("http.post"), False, False),
        (step("http.post", retry=Retry(attempts=5)), False, False),
        (step("http.post", handlers=(Handler(action="retry", max_retries=3),)), False, False),
        (step("http.post", on_lost=OnLost.RETRY), False, True),
        (step("filesystem.read"), True, True),
        (step("filesystem.read", on_lost=OnLost.FAIL), True, False),
        (step("generate", StepKind.MODEL), False, True),
        (step("for_each", StepKind.CONTROL), False, True),
    ],
)
def test_what_may_have_run_is_tried_again_only_if_that_does_no_harm(of: Step, repeatable: bool, again: bool) -> None:
    decided = end_of(Fail(WorkerLost("died")), of, repeatable=repeatable)
    assert isinstance(decided, Leave) is again
    if isinstance(decided, Final):
        assert decided.receipt.error is not None
        assert "may or may not have run" in decided.receipt.error.message


@pytest.mark.parametrize(
    ("of", "attempts"),
    [
        (step("filesystem.read"), 3),
        (step("filesystem.append"), 1),
        (step("python:some.module:function"), 1),
        (step("no.such.tool"), 1),
        (step("generate", StepKind.MODEL), 3),
        (step("close", StepKind.CONTROL), 1),
        (step("filesystem.append", retry=Retry(attempts=7)), 7),
        (step("generate", StepKind.MODEL, retry=Retry(attempts=1)), 1),
    ],
)
def test_attempts_are_as_the_plan_says_or_else_by_what_may_be_done_twice(of: Step, attempts: int) -> None:
    assert attempts_of(of) == attempts


# --- what costs no attempt -------------------------------------------------------------------------------------------


def test_a_turn_leaves_the_worker_with_what_it_asks_for_and_costs_no_attempt() -> None:
    asked = (Asked("s#1.1", "tool", {"uses": "terminal.execute"}),)
    assert end_of(Turn(MEMO, asked, CALLED, "tools"), model()) == Leave(
        "tools", excused=1, report=CALLED, memo=MEMO, asked=asked
    )


@pytest.mark.parametrize("report", [None, CALLED])
def test_who_is_to_ask_its_gate_keeps_its_memo_and_its_attempts(report: Report | None) -> None:
    assert end_of(Readmit("{}", report), model(), attempt=4) == Leave("turn", excused=1, report=report)


WEATHER = (FailureKind.RATE_LIMIT, FailureKind.OVERLOAD)


@pytest.mark.parametrize("kind", FailureKind)
def test_weather_costs_no_attempt_and_every_other_failure_does(kind: FailureKind) -> None:
    error = ModelFailed("x", kind=kind, retry_after_seconds=7.0)
    decided = leave(Fail(error, report=CALLED, memo=MEMO), model(retry=Retry(attempts=5)))
    assert (decided.report, decided.memo, decided.error) == (CALLED, MEMO, ErrorInfo.of(error))
    if kind in WEATHER:
        assert (decided.reason, decided.excused, decided.wait_seconds) == ("limit", 1, 0.0)
    else:
        assert (decided.reason, decided.excused) == ("attempt 1 failed", 0)
        assert decided.wait_seconds >= 7.0


def test_weather_is_waited_out_even_with_the_last_attempt() -> None:
    decided = leave(Fail(ModelFailed("429", kind=FailureKind.RATE_LIMIT)), model(retry=Retry(attempts=1)))
    assert decided.excused == 1


def test_weather_is_not_waited_out_for_ever() -> None:
    error, only = ModelFailed("429", kind=FailureKind.RATE_LIMIT), model(retry=Retry(attempts=1))
    assert leave(Fail(error), only, caps.WEATHERS, excused=caps.WEATHERS - 1).excused == 1
    assert final(Fail(error), only, caps.WEATHERS + 1, excused=caps.WEATHERS).receipt.outcome is Outcome.FAILED


def test_a_refusal_that_no_wait_cures_is_no_weather() -> None:
    spent = ModelFailed("429", retryable=False, kind=FailureKind.RATE_LIMIT)
    assert final(Fail(spent), model()).receipt.outcome is Outcome.FAILED


@pytest.mark.parametrize("excused", [0, 1, 7])
def test_attempts_that_were_excused_do_not_count(excused: int) -> None:
    error, of = ModelFailed("500"), model(retry=Retry(attempts=2))
    assert Standing(excused + 1, excused).tries == 1
    assert leave(Fail(error), of, excused + 1, excused=excused).excused == 0
    failed = final(Fail(error), of, excused + 2, excused=excused)
    assert (failed.receipt.attempt, failed.receipt.excused) == (excused + 2, excused)


def test_the_wait_goes_by_the_tries() -> None:
    of = model(retry=Retry(attempts=9, initial_seconds=1, factor=10, max_seconds=1e6))
    assert leave(Fail(ModelFailed("500")), of, attempt=7, excused=6).wait_seconds <= 1.0
    assert leave(Fail(ModelFailed("500")), of, attempt=7, excused=3).wait_seconds >= 500.0


# --- another model ---------------------------------------------------------------------------------------------------


def test_another_model_is_asked_when_no_attempt_is_left_and_has_all_its_own() -> None:
    of, failure = model(retry=Retry(attempts=2)), Fail(ModelFailed("500"), memo=MEMO, other_model=OTHER_MODEL)
    assert leave(failure, of, attempt=4, excused=3).memo == MEMO
    last = leave(failure, of, attempt=5, excused=3)
    assert (last.reason, last.memo, last.wait_seconds) == ("another model is asked", OTHER_MODEL, 0.0)
    # All five attempts are excused now: the sixth is the other model's first.
    assert Standing(6, 3 + last.excused).tries == 1


@pytest.mark.parametrize("error", [ModelFailed("404", retryable=False), CredentialMissing("no key")])
def test_another_model_is_asked_at_once_where_a_second_try_is_none(error: OrchestratorError) -> None:
    assert leave(Fail(error, other_model=OTHER_MODEL), model()).memo == OTHER_MODEL


def test_a_cancelled_step_asks_no_other_model() -> None:
    assert final(Fail(StepCancelled("x"), other_model=OTHER_MODEL), model()).receipt.outcome is Outcome.CANCELLED


# --- a step that a model asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", OnFailure)
def test_a_failed_step_that_a_model_asked_for_is_the_models_affair(policy: OnFailure) -> None:
    asked = final(Fail(ToolFailed("x")), step(on_failure=policy), asked_for=True)
    assert (asked.receipt.outcome, asked.halts, asked.counts) == (Outcome.FAILED, False, False)
    assert final(Fail(ToolFailed("x")), step(on_failure=policy)).counts


def test_its_receipt_names_its_tool() -> None:
    assert final(Output(1), step("filesystem.read"), asked_for=True).receipt.uses == "filesystem.read"
    assert final(Output(1), step("filesystem.read")).receipt.uses == ""


def test_a_skipped_call_gives_back_what_was_reserved_for_it() -> None:
    report = final(Skip("no"), model()).report
    assert report is not None
    assert not report.sent


def test_a_failure_hands_on_how_its_call_ended() -> None:
    assert final(Fail(ModelFailed("400", retryable=False), report=CALLED), model()).report is CALLED
    assert final(Fail(StepCancelled("x"), report=CALLED), model()).report is CALLED


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "policy", "dead", "order_alive", "route_alive"),
    [
        (Output(1), OnFailure.FAIL, False, True, True),
        (Skip("no"), OnFailure.FAIL, False, True, True),
        (Skip("no"), OnFailure.FAIL, True, False, False),
        (Fail(ToolFailed("x")), OnFailure.FAIL, False, False, False),
        (Fail(ToolFailed("x")), OnFailure.SKIP, False, False, False),
        (Fail(ToolFailed("x")), OnFailure.CONTINUE, False, True, True),
        (Route(("next",)), OnFailure.FAIL, False, True, True),
        (Route(("other",)), OnFailure.FAIL, False, False, False),
        (Route((END,)), OnFailure.FAIL, False, False, False),
        (Route(()), OnFailure.FAIL, False, False, False),
    ],
)
def test_which_edges_stay_alive(
    want: Want, policy: OnFailure, dead: bool, order_alive: bool, route_alive: bool
) -> None:
    decided = final(want, step(on_failure=policy), dead=dead)
    assert decided.arrives_alive(edge("next")) is order_alive
    assert decided.arrives_alive(edge("next", route=True)) is route_alive


# --- waits -----------------------------------------------------------------------------------------------------------

RETRIES = st.builds(
    Retry, initial_seconds=st.floats(0, 3600), factor=st.floats(1, 100), max_seconds=st.floats(0, 86_400)
)


@settings(max_examples=200)
@given(RETRIES, st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_its_exponential(retry: Retry, attempt: int, random: float) -> None:
    full = min(retry.max_seconds, retry.initial_seconds * retry.factor ** (attempt - 1))
    wait = backoff_seconds(retry, attempt, ToolFailed("x"), lambda: random)
    assert full / 2 <= wait <= full <= retry.max_seconds


@settings(max_examples=100)
@given(RETRIES, st.integers(1, 100), st.floats(0, 1e6))
def test_the_other_side_is_not_asked_before_the_time_it_named(retry: Retry, attempt: int, asked: float) -> None:
    error = ModelFailed("429", retry_after_seconds=asked)
    assert backoff_seconds(retry, attempt, error) >= asked


def test_waits_double_up_to_the_most() -> None:
    retry = Retry(initial_seconds=1, factor=2, max_seconds=5)
    assert [backoff_seconds(retry, n, ToolFailed("x"), lambda: 1.0) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]


def test_two_waits_differ() -> None:
    assert len({backoff_seconds(Retry(), 1, ToolFailed("x")) for _ in range(20)}) > 1


def test_a_steep_backoff_stays_at_the_most() -> None:
    assert backoff_seconds(Retry(factor=1e5), 100, ToolFailed("x")) <= 60.0


# --- values and the run's end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "kept"), [(None, {"result": None}), ("text", {"result": "text"}), ({"a": 1, "status": "ok"}, {"a": 1})]
)
def test_a_failed_step_keeps_what_it_reported(reported: object, kept: dict[str, object]) -> None:
    value = failed_value(ErrorInfo(type="T", message="m"), reported)
    assert value == {**kept, "status": "failed", "success": False, "error": "m"}


def test_a_skipped_step_has_no_result() -> None:
    assert "result" not in skipped_value("why")


@pytest.mark.parametrize(
    ("failed", "halt", "wish", "state"),
    [
        (False, "", Wish.RUN, RunState.SUCCEEDED),
        (False, "", Wish.CANCEL, RunState.CANCELLED),
        (True, "", Wish.RUN, RunState.FAILED),
        (False, "s", Wish.RUN, RunState.FAILED),
        (True, "s", Wish.CANCEL, RunState.FAILED),
    ],
)
def test_the_state_in_which_a_run_closes(failed: bool, halt: str, wish: Wish, state: RunState) -> None:
    record = RunRecord(run="r", pipeline="p", plan_hash="h", state=RunState.RUNNING, wish=wish, halt=halt)
    assert final_state(record, failed) is state


def test_a_question_waits_until_its_deadline_and_costs_no_try() -> None:
    memo = {"answers": [], "number": 2, "expired": False}
    left = Leave("question", 9.0, excused=1, memo=memo, question=ASKED, number=2)
    assert end_of(Wait(ASKED, number=2)) == left


def test_a_step_whose_pipeline_runs_waits_for_that_run() -> None:
    assert end_of(Descend("r_2", MEMO, wait_seconds=5.0)) == Leave(
        "sub-pipeline", 5.0, excused=1, memo=MEMO, child="r_2"
    )
    assert final(Descend("r_2", MEMO, then=Output("started"))).value == "started"
    again = ErrorInfo(type="ToolFailed", message="it failed")
    assert end_of(Again(MEMO, 2.0, again)) == Leave("its pipeline failed", 2.0, excused=1, error=again, memo=MEMO)
