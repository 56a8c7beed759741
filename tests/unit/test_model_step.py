"""Model steps: what they do once their gate has answered, and how what comes of it is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.errors import (
    BudgetExceeded,
    CredentialMissing,
    FailureKind,
    ModelFailed,
    ParametersInvalid,
    StepTimeout,
)
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import ToolCall
from orchestrator_worker.providers.registry import Providers
from orchestrator_worker.records import Admitted, Report
from orchestrator_worker.steps.answer import stored_reply
from orchestrator_worker.steps.base import Fail, Output, Readmit, Want
from orchestrator_worker.steps.conversation import Memo, PastTurn
from orchestrator_worker.steps.model import ModelStep
from tests.conformance.model_server import HELD_SECONDS, ModelServer, error, text
from tests.unit.asking import ADMITTED, REPLY, REPLY_USD, Model, T, call, context, described, run, saying

SPENT = Usage(requests=2, input_tokens=7, cost_usd=Decimal("0.5"))
"""Of calls before this one."""


class TestGate:
    def test_who_was_not_let_through_asks_its_gate_and_nobody_else(self) -> None:
        model = Model()
        want = model.perform(admitted=None, fallback_models=["gpt-5"])
        assert want == Readmit(json.dumps({"instance": "ask", "models": ["openai/gpt-4o-mini", "openai/gpt-5"]}))
        assert model.asked == []

    def test_who_is_refused_for_good_fails_with_the_gates_words(self) -> None:
        model = Model()
        memo = Memo(usage=SPENT).to_json()
        failed = model.fail(admitted=Admitted("refused", 0, words="budget run:r does not pay for it"), memo=memo)
        assert isinstance(failed.error, BudgetExceeded)
        assert not failed.error.retryable
        assert str(failed.error).startswith("budget run:r does not pay for it; raise it")
        assert failed.usage == SPENT
        assert failed.report is not None
        assert not failed.report.sent
        assert model.asked == []

    def test_a_refused_call_that_was_never_made_has_no_usage(self) -> None:
        assert Model().fail(admitted=Admitted("refused", 0)).usage is None

    @pytest.mark.parametrize(
        ("asked", "granted", "sent", "warned"),
        [
            (None, None, None, False),
            (None, 50, 50, False),
            (100, 50, 50, True),
            (40, 50, 40, False),
            (50, 50, 50, False),
        ],
    )
    def test_a_reply_is_no_longer_than_its_budget_pays_for(
        self, asked: int | None, granted: int | None, sent: int | None, warned: bool
    ) -> None:
        model = Model()
        output = model.output(max_tokens=asked, admitted=replace(ADMITTED, granted_tokens=granted))
        assert model.asked[0].max_tokens == sent
        assert any("lowered from 100" in warning for warning in output.warnings) is warned

    def test_a_misfit_asks_nothing_and_gives_back_what_was_reserved(self) -> None:
        model = Model()
        failed = model.fail(max_tokens="many")
        assert isinstance(failed.error, ParametersInvalid)
        assert failed.report == Report("unsent", sent=False)
        assert model.asked == []


class TestCache:
    CACHED = Admitted("cached", pick=0, digest="d1")

    @pytest.fixture(autouse=True)
    def _digest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every request is the one that was let through, unless a test says otherwise."""
        monkeypatch.setattr("orchestrator_worker.steps.model.digest_of", lambda _: "d1")

    def test_an_answer_to_another_request_than_was_let_through_is_not_for_the_cache(self) -> None:
        other = Admitted("admitted", pick=0, digest="d2")
        report = Model().output(cache=True, admitted=other).report
        assert report is not None
        assert report.reply_json == ""
        assert isinstance(
            Model(cache={"d2": stored_reply(REPLY)}).perform(admitted=replace(other, state="cached")), Readmit
        )

    def test_an_answer_that_another_call_got_costs_nothing(self) -> None:
        model = Model(cache={"d1": stored_reply(saying("Known."))})
        output = model.output(admitted=self.CACHED)
        assert (output.value["result"], output.cached, output.model) == ("Known.", True, "gpt-4o-mini")
        assert output.usage is not None
        assert (output.usage.requests, output.usage.cost_usd) == (0, Decimal(0))
        assert output.report == Report("cached", sent=False)
        assert model.asked == []

    def test_what_earlier_turns_cost_is_still_counted(self) -> None:
        model = Model(cache={"d1": stored_reply(saying("Known."))})
        assert model.output(admitted=self.CACHED, memo=Memo(usage=SPENT).to_json()).usage == SPENT

    def test_an_answer_that_has_gone_meanwhile_is_asked_for_again(self) -> None:
        assert isinstance(Model().perform(admitted=self.CACHED), Readmit)

    def test_an_answer_that_asks_for_tools_does_so_again(self) -> None:
        reply = saying("", finish_reason="tools", calls=(ToolCall("c1", "filesystem_read", {"path": "a"}),))
        model = Model(cache={"d1": json.loads(json.dumps(stored_reply(reply)))})
        turn = model.turn(admitted=self.CACHED, tools=["filesystem.read"])
        assert [asked.instance for asked in turn.asked] == ["ask#1.1"]
        assert Memo.of(turn.memo).usage.requests == 0

    def test_who_reads_along_reads_it_too(self) -> None:
        said: list[str] = []
        Model(cache={"d1": stored_reply(saying("Known."))}).output(admitted=self.CACHED, on_text=said.append)
        assert said == ["Known."]

    def test_only_a_step_that_says_so_keeps_its_answer(self) -> None:
        through = replace(self.CACHED, state="admitted")
        kept, unkept = Model().output(cache=True, admitted=through).report, Model().output(admitted=through).report
        assert kept is not None
        assert unkept is not None
        assert json.loads(kept.reply_json) == stored_reply(REPLY)
        assert unkept.reply_json == ""


class TestPrice:
    def test_is_the_models_that_answered(self) -> None:
        output = Model().output()
        assert output.usage == Usage(input_tokens=1000, output_tokens=500, cost_usd=Decimal(REPLY_USD))
        assert (output.model, output.warnings) == ("gpt-4o-mini", ())
        assert output.report is not None
        assert output.report.cost_nano_usd == 450_000

    def test_is_that_of_the_model_that_was_asked_where_the_answers_name_is_unknown(self) -> None:
        usage = Model(saying("Fine.", model="deployment-7")).output().usage
        assert usage is not None
        assert usage.cost_usd == Decimal(REPLY_USD)

    def test_unknown_is_said_and_not_counted(self) -> None:
        output = Model(saying("Fine.", model="home-made")).output(model="openai/home-made")
        assert output.usage is not None
        assert output.usage.cost_usd is None
        assert any("home-made" in warning for warning in output.warnings)
        assert output.report is not None
        assert output.report.cost_nano_usd is None

    def test_the_projects_goes_before_the_lists(self) -> None:
        stated = {"input_usd_per_million": 1000, "output_usd_per_million": 2000}
        project = Project.model_validate({"models": {"openai/gpt-4o-mini": stated}})
        usage = Model(project=project).output().usage
        assert usage is not None
        assert usage.cost_usd == 2

    def test_passes_on_the_providers_warnings(self) -> None:
        assert Model(saying("Fine.", warnings=("no temperature",))).output().warnings == ("no temperature",)


class TestFailure:
    @pytest.mark.parametrize("kind", FailureKind)
    def test_is_reported_as_what_it_is(self, kind: FailureKind) -> None:
        limits = (RateLimit(Dimension.REQUESTS, 60, 0, 1.0),)
        failed = Model(ModelFailed("no", True, 4.0, kind, limits)).fail()
        report = failed.report
        assert report is not None
        assert (report.kind, report.sent) == (kind, kind is not FailureKind.UNSENT)
        assert (report.wait_seconds, report.words, report.limits) == (4.0, "no", limits)
        assert report.seconds is not None
        assert failed.model == "openai/gpt-4o-mini"

    @pytest.mark.parametrize(
        ("kind", "nano"),
        [(FailureKind.RATE_LIMIT, 0), (FailureKind.AUTH, 0), (FailureKind.SERVER, None), (FailureKind.TIMEOUT, None)],
    )
    def test_only_a_refusal_before_any_work_is_known_to_be_free(self, kind: FailureKind, nano: int | None) -> None:
        report = Model(ModelFailed("no", kind=kind)).fail().report
        assert report is not None
        assert report.cost_nano_usd == nano

    def test_a_worker_without_a_key_has_sent_nothing(self) -> None:
        failed = Model(CredentialMissing("set OPENAI_API_KEY")).fail()
        assert failed.report is not None
        assert not failed.report.sent

    def test_a_late_answer_was_sent_for(self) -> None:
        failed = Model(StepTimeout("late")).fail()
        assert failed.report is not None
        assert (failed.report.kind, failed.report.sent) == (FailureKind.TIMEOUT, True)

    def test_words_are_cut(self) -> None:
        report = Model(ModelFailed("x" * 9000)).fail().report
        assert report is not None
        assert len(report.words) == 300

    def test_keeps_what_was_spent_and_said_before(self) -> None:
        memo = Memo(turns=(PastTurn("half", told="again"),), usage=SPENT).to_json()
        failed = Model(ModelFailed("500")).fail(memo=memo)
        assert (failed.usage, failed.memo) == (SPENT, None)

    def test_names_the_memo_with_which_another_model_is_asked(self) -> None:
        memo = Memo(turns=(PastTurn("half", told="again"),), usage=SPENT)
        failed = Model(ModelFailed("404", retryable=False)).fail(fallback_models=["gpt-5", "o3"], memo=memo.to_json())
        other = Memo.of(failed.other_model)
        assert (other.model, other.turns, other.usage) == (1, (), SPENT)
        after = Model().prepare(fallback_models=["gpt-5", "o3"], memo=failed.other_model)
        assert (after.models, after.request.model) == (("openai/gpt-5", "openai/o3"), "gpt-5")
        assert after.selection == "asked because openai/gpt-4o-mini had failed"
        assert [message.role for message in after.request.messages] == ["user"]

    def test_behind_the_model_that_the_gate_chose_comes_the_next(self) -> None:
        failed = Model(ModelFailed("404", retryable=False)).fail(
            fallback_models=["gpt-5", "o3"], admitted=Admitted("admitted", pick=1)
        )
        assert Memo.of(failed.other_model).model == 2

    def test_behind_the_last_model_there_is_none(self) -> None:
        last = Memo(model=2).to_json()
        assert Model(ModelFailed("404")).fail(fallback_models=["gpt-5", "o3"], memo=last).other_model is None
        assert Model(ModelFailed("404")).fail().other_model is None

    def test_the_choice_of_models_is_made_once(self) -> None:
        """Whatever the conversation grows to, and whatever the project describes meanwhile."""
        memo = Memo(models=("openai/gpt-4o-mini", "google/gemini-2.5-flash"), model=1).to_json()
        failed = Model(ModelFailed("no")).fail(memo=memo)
        assert failed.model == "google/gemini-2.5-flash"
        assert failed.other_model is None


class Writing:
    """Takes text, and notes when it was asked to send it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, piece: str) -> None:
        self.said.append(piece)

    def flush(self) -> None:
        self.said.append("<sent>")


@pytest.mark.parametrize("reply", [REPLY, ModelFailed("500")], ids=["answered", "failed"])
def test_all_text_is_sent_before_the_step_ends(reply: Any) -> None:
    writing = Writing()
    Model(reply).perform(on_text=writing)
    assert writing.said == (["Fine.", "<sent>"] if reply is REPLY else ["<sent>"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server


@pytest.fixture
def over_http(server: ModelServer) -> Callable[..., Want]:
    """Performs a step with the real provider, on a loop whose connections are closed behind it."""
    project = Project()
    provider: Any = Providers(project)("openai")

    def run_and_close(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        async def closing() -> T:
            try:
                return await asyncio.wait_for(coroutine, seconds)
            finally:
                await provider.close()

        return run(closing(), seconds + 30)

    def perform(**parameters: Any) -> Want:
        step = ModelStep(
            run_and_close,
            lambda _: provider,
            project,
            Prices(project),
            lambda _: context(),
            described,
            lambda _: None,
        )
        return step.perform(call(**parameters))

    return perform


class TestOverHttp:
    def test_succeeds(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(text("All fine.", input_tokens=1000, output_tokens=500))
        want = over_http()
        assert isinstance(want, Output)
        assert want.value["result"] == "All fine."
        assert want.usage is not None
        assert want.usage.cost_usd == Decimal(REPLY_USD)
        assert server.requests[0].body["model"] == "gpt-4o-mini"

    def test_fails_with_what_went_wrong(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(error(429, headers={"retry-after": "4"}))
        want = over_http()
        assert isinstance(want, Fail)
        assert want.report is not None
        assert (want.report.kind, want.report.wait_seconds) == (FailureKind.RATE_LIMIT, 4.0)

    def test_fails_for_want_of_a_key(self, over_http: Callable[..., Want], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        want = over_http()
        assert isinstance(want, Fail)
        assert isinstance(want.error, CredentialMissing)
        assert "OPENAI_API_KEY" in str(want.error)

    def test_a_late_reply_is_a_late_step(self, over_http: Callable[..., Want], server: ModelServer) -> None:
        server.script(text("late", delay_seconds=HELD_SECONDS))
        for seconds in (3.0, 30.0, 60.0):  # the longer ones where a slow machine let the request not get out
            want = over_http(step={"timeout_seconds": seconds})
            assert isinstance(want, Fail)
            assert isinstance(want.error, StepTimeout)
            if server.requests:
                break
        server.wait_until(lambda server: server.hangups == 1, "the late exchange is closed", seconds=60)


def test_providers_and_the_step_do_not_load_a_vendor_before_the_first_call() -> None:
    code = (
        "import sys, orchestrator_worker.steps.model;"
        "from orchestrator_client.contract.project import Project;"
        "from orchestrator_worker.providers.registry import PROVIDERS, Providers;"
        "providers = Providers(Project(providers={'openai-compatible': {'base_url': 'http://127.0.0.1:1/v1'}}));"
        "[providers(name) for name in PROVIDERS];"
        "vendors = 'openai', 'anthropic', 'google.genai', 'httpx2', 'genai_prices', 'jsonschema';"
        "sys.exit(any(name in sys.modules for name in vendors))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
