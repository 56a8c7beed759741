"""A person decides whether the run goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from orchestrator_client.contract.catalog.people import ApprovalParameters
from orchestrator_client.contract.errors import InputsInvalid, ParametersInvalid
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import AnswerField, Question, QuestionKind
from orchestrator_worker.tools.base import Told, ToolContext, ToolResult

OPTIONS = ("approve", "reject")


def execute(context: ToolContext, parameters: ApprovalParameters) -> Told:
    """Ask, and leave `approved`: with `value` (the same), `action` (the option), `comment`, `by`, and, where there is
    one, `modified_content` or, of a rejection, `rejection_reason`.

    Raises:
        ParametersInvalid: the default is none of the options.
    """
    question = _question(context, parameters)
    if not context.answers:
        return question
    answer = context.answers[0]
    approved = question.approves(answer.value["action"])
    comment = answer.value.get("comment", "")
    left: dict[str, Json] = {
        "approved": approved,
        "value": approved,
        "action": answer.value["action"],
        "comment": comment,
        "by": answer.by or None,
        "used_default": answer.defaulted,
        "timestamp": datetime.fromtimestamp(answer.at_ms / 1000, UTC).isoformat(),
    }
    if not approved:
        left["rejection_reason"] = comment
    elif "modified_content" in answer.value:
        left["modified_content"] = answer.value["modified_content"]
    return ToolResult(approved, envelope=left)


def _question(context: ToolContext, parameters: ApprovalParameters) -> Question:
    options = tuple(str(option) for option in parameters.options) if parameters.options else OPTIONS
    fields = {"action": AnswerField(type=InputType.STRING, choices=options, required=True)}
    reason = "action" if parameters.require_reason else ""
    fields["comment"] = AnswerField(type=InputType.STRING, required_unless=reason, description="why")
    if parameters.allow_modifications:
        fields["modified_content"] = AnswerField(type=InputType.STRING, description="the content as it should be")
    question = Question(
        kind=QuestionKind.APPROVAL,
        title=parameters.title.strip(),
        prompt=_text(parameters.content).strip() or parameters.title.strip() or "May the run go on?",
        fields=fields,
        timeout_seconds=parameters.timeout or context.timeout_seconds,
        answerers=tuple(parameters.approvers),
    )
    if parameters.default is None:
        return question
    # Nobody is there to give a reason for a default.
    lenient = question.model_copy(update={"fields": {"action": fields["action"]}})
    try:
        return question.model_copy(update={"default": lenient.checked(parameters.default), "has_default": True})
    except InputsInvalid as error:
        raise ParametersInvalid(f"approval-gate: the default does not fit: {error}") from None


def _text(content: Json) -> str:
    return content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
