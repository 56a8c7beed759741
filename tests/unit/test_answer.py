"""From a reply to what the step wants: a value, a turn more, or a failure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import ModelReply, ToolCall
from orchestrator_worker.steps.answer import report_of, stored_reply
from orchestrator_worker.steps.base import Fail, Turn
from orchestrator_worker.steps.conversation import AskedCall, Memo, PastTurn
from tests.unit.asking import REPLY, REPLY_USD, Model, asking_for, saying

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
READ = ToolCall("c1", "filesystem_read", {"path": "a"})
SPENT = Usage(requests=2, input_tokens=7, cost_usd=Decimal("0.5"))
TWO_TURNS = Memo(turns=(PastTurn("a", calls=(AskedCall("c0", "x", {}, "ask#1.1"),)), PastTurn("b", told="no")))


def failed(fail: Fail) -> ModelFailed:
    assert isinstance(fail.error, ModelFailed)
    return fail.error


class TestText:
    def test_leaves_what_templates_of_existing_pipelines_read(self) -> None:
        assert Model().output().value == {
            "action": "generate_text",
            "result": "Fine.",
            "model": "openai/gpt-4o-mini",
            "model_used": "gpt-4o-mini",
            "finish_reason": "stop",
            "success": True,
        }

    def test_leaves_its_kind_of_analysis(self) -> None:
        value = Model().output("analyze", text="x", analysis_type="mood").value
        assert (value["action"], value["analysis_type"], value["result"]) == ("analyze_text", "mood", "Fine.")

    def test_json_that_nobody_asked_for_stays_text(self) -> None:
        assert Model(saying('{"a": 1}')).output(prompt="Answer in JSON").value["result"] == '{"a": 1}'

    def test_a_reply_that_was_cut_is_an_answer_all_the_same(self) -> None:
        assert Model(saying("Once upon", finish_reason="length")).output().value["finish_reason"] == "length"

    def test_all_calls_of_the_step_are_counted(self) -> None:
        usage = Model().output(memo=Memo(usage=SPENT).to_json()).usage
        assert usage == SPENT + REPLY.usage.model_copy(update={"cost_usd": Decimal(REPLY_USD)})
        assert usage.requests == 3

    def test_an_empty_one_fails_and_may_be_tried_again(self) -> None:
        fail = Model(saying(" \n")).fail()
        error = failed(fail)
        assert (error.retryable, error.kind) == (True, FailureKind.EMPTY)
        assert str(error) == "model 'gpt-4o-mini' returned an empty reply"
        assert fail.value["success"] is False

    def test_one_emptied_by_its_limit_would_be_empty_again(self) -> None:
        error = failed(Model(saying("", finish_reason="length")).fail())
        assert not error.retryable
        assert "raise max_tokens" in str(error)


class TestAnalysis:
    @pytest.mark.parametrize(
        "parameters", [{"prompt": "Reply in JSON"}, {"analysis_type": "json_extraction"}, {"analysis_type": "to JSON"}]
    )
    def test_parses_json_where_it_is_asked_for(self, parameters: dict[str, Any]) -> None:
        model = Model(saying('```json\n{"mood": "fine"}\n```'))
        assert model.output("analyze", text="x", **parameters).value["result"] == {"mood": "fine"}

    @pytest.mark.parametrize(
        ("output_format", "result"), [("json", ["tree"]), ("structured", ["tree"]), ("text", '["tree"]')]
    )
    def test_of_a_picture_is_read_as_it_is_asked_for(self, output_format: str, result: Any) -> None:
        shown = {"images": ["https://example.org/a.png"], "output_format": output_format}
        value = Model(saying('["tree"]')).output("analyze-image", **shown).value
        assert (value["action"], value["result"]) == ("analyze_image", result)
        assert value["analysis"] == {"analysis_type": "describe", "result": result}

    def test_keeps_text_where_json_is_not_asked_for(self) -> None:
        assert Model(saying("[1]")).output("analyze", text="x").value["result"] == "[1]"

    def test_keeps_text_that_is_no_json_with_a_warning(self) -> None:
        output = Model(saying("Sorry.")).output("analyze", text="x", prompt="Reply in JSON")
        assert output.value["result"] == "Sorry."
        assert any("JSON" in warning for warning in output.warnings)


class TestSchema:
    def test_an_answer_that_fits_is_the_result(self) -> None:
        output = Model(saying('{"age": 36}')).output("generate-structured", schema=PERSON)
        assert output.value["result"] == {"age": 36}

    def test_one_that_does_not_is_sent_back_once_with_what_is_wrong(self) -> None:
        turn = Model(saying('{"age": "old"}')).turn(schema=PERSON)
        memo = Memo.of(turn.memo)
        assert (turn.reason, turn.asked) == ("turn", ())
        assert memo.turns[0].text == '{"age": "old"}'
        assert "age: 'old' is not of type 'integer'" in memo.turns[0].told
        assert memo.usage.requests == 1
        assert turn.report.kind == "ok"

    def test_after_that_the_step_fails_and_keeps_what_it_got(self) -> None:
        memo = Memo(turns=(PastTurn("no", told="It is not JSON."),), usage=SPENT).to_json()
        fail = Model(saying('{"age": "old"}')).fail(schema=PERSON, memo=memo)
        error = failed(fail)
        assert (error.retryable, error.kind) == (False, FailureKind.UNFIT)
        assert "also after its repair: age:" in str(error)
        assert (fail.value["result"], fail.value["success"]) == ('{"age": "old"}', False)
        assert fail.usage is not None
        assert fail.usage.requests == 3

    def test_tools_before_it_are_no_repair(self) -> None:
        memo = Memo(turns=(PastTurn("", calls=(AskedCall("c1", "x", {}, "ask#1.1"),)),)).to_json()
        assert isinstance(Model(saying("no")).perform(schema=PERSON, memo=memo), Turn)

    def test_there_is_no_repair_without_a_turn_for_it(self) -> None:
        assert failed(Model(saying("no")).fail(schema=PERSON, max_turns=1)).kind is FailureKind.UNFIT

    def test_an_answer_that_was_cut_is_not_the_models_mistake(self) -> None:
        fail = Model(saying('{"age": 3', finish_reason="length")).fail(schema=PERSON)
        assert (failed(fail).kind, failed(fail).retryable) == (FailureKind.UNFIT, False)
        assert fail.value["result"] == '{"age": 3'

    def test_an_empty_answer_is_unfit_and_told_so(self) -> None:
        assert "not JSON" in Memo.of(Model(saying("")).turn(schema=PERSON).memo).turns[0].told


class TestTools:
    def test_the_turn_is_kept_with_the_steps_that_it_asks_for(self) -> None:
        reply = asking_for(READ, native=[{"type": "reasoning"}])
        turn = Model(reply).turn(tools=["filesystem.read"])
        assert turn.reason == "tools"
        assert [asked.instance for asked in turn.asked] == ["ask#1.1"]
        [past] = Memo.of(turn.memo).turns
        assert past.native == [{"type": "reasoning"}]
        assert past.calls == (AskedCall("c1", "filesystem_read", {"path": "a"}, "ask#1.1"),)

    def test_the_next_turns_steps_have_other_names(self) -> None:
        turn = Model(asking_for(READ)).turn(tools=["filesystem.read"], memo=TWO_TURNS.to_json())
        assert [asked.instance for asked in turn.asked] == ["ask#3.1"]

    def test_another_models_steps_have_other_names_too(self) -> None:
        turn = Model(asking_for(READ)).turn(
            tools=["filesystem.read"], fallback_models=["gpt-5"], memo=TWO_TURNS.for_model(1).to_json()
        )
        assert [asked.instance for asked in turn.asked] == ["ask#3.1"]

    def test_refusals_alone_go_back_at_once(self) -> None:
        turn = Model(asking_for(ToolCall("c1", "nope", {}))).turn(tools=["filesystem.read"])
        assert (turn.reason, turn.asked) == ("turn", ())
        assert "there is no tool 'nope'" in Memo.of(turn.memo).turns[0].calls[0].refusal

    @pytest.mark.parametrize("most", [1, 3])
    def test_turns_come_to_an_end(self, most: int) -> None:
        memo = Memo(turns=(PastTurn("", calls=(AskedCall("c0", "x", {}, "ask#1.1"),)),) * (most - 1))
        fail = Model(asking_for(READ)).fail(tools=["filesystem.read"], max_turns=most, memo=memo.to_json())
        assert failed(fail).kind is FailureKind.UNFIT
        assert not failed(fail).retryable
        assert f"still asks for tools after {most} turns; raise max_turns" in str(failed(fail))

    def test_another_model_has_all_its_turns(self) -> None:
        memo = TWO_TURNS.for_model(1).to_json()
        asked = Model(asking_for(READ)).perform(
            tools=["filesystem.read"], max_turns=2, fallback_models=["gpt-5"], memo=memo
        )
        assert isinstance(asked, Turn)


class TestFailed:
    def test_the_next_attempt_knows_what_this_one_cost(self) -> None:
        fail = Model(saying("")).fail(memo=Memo(turns=TWO_TURNS.turns, usage=SPENT).to_json())
        memo = Memo.of(fail.memo)
        assert memo.turns == TWO_TURNS.turns
        assert memo.usage == fail.usage
        assert memo.usage.requests == 3

    def test_another_model_takes_over_what_this_one_cost(self) -> None:
        fail = Model(saying("")).fail(fallback_models=["gpt-5"], memo=Memo(usage=SPENT).to_json())
        other = Memo.of(fail.other_model)
        assert (other.model, other.usage.requests, other.usage) == (1, 3, fail.usage)

    def test_its_gate_hears_why_but_not_what(self) -> None:
        report = Model(saying("")).fail(cache=True).report
        assert report is not None
        assert (report.kind, report.sent, report.reply_json) == (FailureKind.EMPTY, True, "")
        assert report.output_tokens == 500


class TestReport:
    LIMITS = (RateLimit(Dimension.REQUESTS, 60, 59, 1.0),)

    def test_says_what_the_call_used(self) -> None:
        report = report_of(saying("Fine.", limits=self.LIMITS), Decimal("0.0000000011"), 2.5, keep=False)
        assert (report.kind, report.sent, report.seconds, report.limits) == ("ok", True, 2.5, self.LIMITS)
        assert (report.input_tokens, report.output_tokens) == (1000, 500)
        assert report.cost_nano_usd == 2, "rounded up"

    def test_what_was_not_counted_is_not_known(self) -> None:
        report = report_of(ModelReply("Fine.", "m", "stop"), None, 1.0, keep=False)
        assert (report.input_tokens, report.output_tokens, report.cost_nano_usd) == (None, None, None)

    @pytest.mark.parametrize(
        ("keep", "finish_reason", "kept"), [(True, "stop", True), (True, "length", False), (False, "stop", False)]
    )
    def test_a_whole_answer_is_kept_where_the_step_says_so(self, keep: bool, finish_reason: str, kept: bool) -> None:
        reply = saying("Fine.", finish_reason=finish_reason)
        assert bool(report_of(reply, None, 1.0, keep).reply_json) is kept

    def test_a_kept_answer_is_what_was_said_and_not_what_it_cost(self) -> None:
        stored = stored_reply(asking_for(READ, native=[{"type": "reasoning"}]))
        assert json.loads(json.dumps(stored)) == {
            "text": "",
            "model": "gpt-4o-mini",
            "finish_reason": "tools",
            "calls": [{"id": "c1", "name": "filesystem_read", "arguments": {"path": "a"}, "problem": ""}],
            "native": [{"type": "reasoning"}],
        }
