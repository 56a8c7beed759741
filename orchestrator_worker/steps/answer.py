"""From the model's reply to what the step wants: a value, a turn more, or a failure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal

from orchestrator_client.contract.catalog.models import AnalyzeParameters, GenerateParameters, PictureParameters
from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.limits import nano
from orchestrator_worker.providers.base import ModelReply, ToolOffer
from orchestrator_worker.records import Report
from orchestrator_worker.steps import picture
from orchestrator_worker.steps.base import Call, Fail, Output, Turn, Want
from orchestrator_worker.steps.conversation import Memo, turn_of
from orchestrator_worker.steps.offers import asked_by
from orchestrator_worker.steps.schema import AnswerSchema, Unfit, parsed_json


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and all that bears on what it means."""

    call: Call
    parameters: GenerateParameters
    memo: Memo
    reply: ModelReply
    usage: Usage
    """Of this call, priced."""
    model: str
    """The one that was asked, as `provider/name`."""
    report: Report
    offers: dict[str, tuple[str, ToolOffer]]
    schema: AnswerSchema | None = None
    selection: str = ""
    warnings: tuple[str, ...] = ()
    other_model: Json = None
    """The memo with which another model would be asked."""
    cached: bool = False

    @property
    def total(self) -> Usage:
        """Of all calls of the step."""
        return self.memo.usage + self.usage

    def want(self) -> Want:
        """What follows from the reply."""
        if self.reply.calls:
            return self._tools()
        if self.schema is not None:
            return self._structured(self.schema)
        if not self.reply.text.strip():
            return self._fail(_empty(self.reply))
        result, warnings = self.reply.text, self.warnings
        if _wants_json(self.parameters):
            try:
                result = parsed_json(self.reply.text)
            except ValueError:
                warnings += ("the step asks for JSON and the reply is none; the text was kept as it came",)
        return self._output(self._value(result), warnings)

    def _tools(self) -> Want:
        turn = len(self.memo.turns) + 1
        if turn >= self.parameters.max_turns:
            return self._fail(
                ModelFailed(
                    f"model '{self.reply.model}' still asks for tools after {turn} turns; raise max_turns",
                    retryable=False,
                    kind=FailureKind.UNFIT,
                )
            )
        calls, asked = asked_by(self.call.instance, self.memo.number, self.reply.calls, self.offers)
        return self._turn(
            "tools" if asked else "turn", self.memo.with_turn(turn_of(self.reply, calls), self.usage), asked
        )

    def _structured(self, schema: AnswerSchema) -> Want:
        try:
            parsed = schema.parse(self.reply.text)
        except Unfit as unfit:
            return self._repair(unfit)
        return self._output(self._value(parsed), self.warnings)

    def _repair(self, unfit: Unfit) -> Want:
        """Tell the model once what is wrong. A reply that was cut is not its mistake."""
        model, text = self.reply.model, self.reply.text
        if self.reply.finish_reason == "length":
            return self._fail(_cut(model), self._value(text))
        if self.memo.repaired or len(self.memo.turns) + 1 >= self.parameters.max_turns:
            said = f"the answer of model '{model}' does not fit the schema, also after its repair: {unfit}"
            return self._fail(ModelFailed(said, retryable=False, kind=FailureKind.UNFIT), self._value(text))
        told = f"Your answer does not fit the schema that it must have: {unfit}. Give the whole answer again, as JSON."
        return self._turn("turn", self.memo.with_turn(turn_of(self.reply, told=told), self.usage))

    def _turn(self, reason: str, memo: Memo, asked: tuple = ()) -> Turn:  # type: ignore[type-arg]
        return Turn(memo.to_json(), asked, self.report, reason)

    def _output(self, value: dict[str, Json], warnings: tuple[str, ...]) -> Output:
        return Output(
            value,
            usage=self.total,
            model=self.reply.model,
            selection=self.selection,
            cached=self.cached,
            warnings=warnings,
            report=self.report,
        )

    def _fail(self, error: ModelFailed, value: dict[str, Json] | None = None) -> Fail:
        report = replace(self.report, kind=error.kind, reply_json="")
        left = {**(value or self._value(self.reply.text)), "success": False}
        memo = replace(self.memo, usage=self.total).to_json()
        # The other model takes over what this call has cost too.
        other = None if self.other_model is None else {**self.other_model, "usage": memo["usage"]}
        return Fail(error, left, self.total, self.reply.model, report, memo, other)

    def _value(self, result: Json) -> dict[str, Json]:
        """The shape that templates of existing pipelines read."""
        value: dict[str, Json] = {
            "action": "generate_text",
            "result": result,
            "model": self.model,
            "model_used": self.reply.model,
            "finish_reason": self.reply.finish_reason,
            "success": True,
        }
        if isinstance(self.parameters, AnalyzeParameters):
            value |= {"action": "analyze_text", "analysis_type": self.parameters.analysis_type}
        if isinstance(self.parameters, PictureParameters):
            analysis: Json = {"analysis_type": self.parameters.analysis_type, "result": result}
            value |= {"action": "analyze_image", "analysis": analysis}
        return value


def report_of(reply: ModelReply, cost_usd: Decimal | None, seconds: float, keep: bool) -> Report:
    """How a call that was answered ended. `keep`: the cache takes the answer."""
    counted = bool(reply.raw_usage)
    return Report(
        "ok",
        input_tokens=reply.usage.input_tokens if counted else None,
        output_tokens=reply.usage.output_tokens if counted else None,
        cost_nano_usd=None if cost_usd is None else nano(cost_usd),
        seconds=seconds,
        limits=reply.limits,
        reply_json=json.dumps(stored_reply(reply)) if keep and reply.finish_reason != "length" else "",
    )


def stored_reply(reply: ModelReply) -> dict[str, Json]:
    """A reply as the cache keeps it: what it says, not what it cost."""
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments, "problem": c.problem} for c in reply.calls]
    return {
        "text": reply.text,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "calls": calls,
        "native": reply.native,
    }


def _empty(reply: ModelReply) -> ModelFailed:
    """Why nothing came. Steps behind this one would work on nothing, and say so in worse words."""
    if reply.finish_reason == "length":
        # Reasoning counts as output: a small limit is used up before the first word, and would be again.
        return ModelFailed(
            f"model '{reply.model}' used up its tokens and returned an empty reply; raise max_tokens",
            retryable=False,
            kind=FailureKind.EMPTY,
        )
    return ModelFailed(f"model '{reply.model}' returned an empty reply", kind=FailureKind.EMPTY)


def _cut(model: str) -> ModelFailed:
    return ModelFailed(
        f"the answer of model '{model}' was cut at its limit of tokens, and is no JSON; raise max_tokens",
        retryable=False,
        kind=FailureKind.UNFIT,
    )


def _wants_json(parameters: GenerateParameters) -> bool:
    """Whether an analysis is to be parsed: existing pipelines ask for JSON in words, and read its fields."""
    if isinstance(parameters, PictureParameters):
        return picture.wants_json(parameters)
    return isinstance(parameters, AnalyzeParameters) and (
        "JSON" in parameters.prompt or "json" in parameters.analysis_type.lower()
    )
