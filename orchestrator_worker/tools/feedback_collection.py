"""A person fills in a form."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from orchestrator_client.contract.catalog.files import PathParameters, WriteParameters
from orchestrator_client.contract.catalog.people import INPUT_TYPES, FeedbackParameters, FeedbackQuestion
from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Answer, AnswerField, Question, QuestionKind
from orchestrator_worker.tools import filesystem
from orchestrator_worker.tools.base import Told, ToolContext, ToolResult


def execute(context: ToolContext, parameters: FeedbackParameters) -> Told:
    """Ask, and leave `responses` by the questions' ids, and a `summary` of ratings, choices, yes and no.

    Raises:
        ParametersInvalid, ToolFailed: the answers cannot be saved where they should be.
    """
    if not context.answers:
        return _form(context, parameters)
    answer = context.answers[0]
    responses: dict[str, Json] = answer.value
    left: dict[str, Json] = {
        "responses": responses,
        "response_count": len(responses),
        "completion_rate": 100 * len(responses) / len(parameters.questions),
        "summary": _summary(parameters.questions, responses),
        "by": None if parameters.anonymous else answer.by or None,
        "saved_to_file": parameters.save_to_file is not None,
    }
    if parameters.save_to_file is not None:
        _save(context, parameters, answer, left)
    return ToolResult(left, envelope=left)


def _form(context: ToolContext, parameters: FeedbackParameters) -> Question:
    required = set(parameters.required_questions)
    fields = {asked.id: _field(asked, asked.required or asked.id in required) for asked in parameters.questions}
    return Question(
        kind=QuestionKind.FEEDBACK,
        title=parameters.title.strip(),
        prompt=parameters.title.strip(),
        fields=fields,
        timeout_seconds=parameters.timeout or context.timeout_seconds,
    )


def _field(asked: FeedbackQuestion, required: bool) -> AnswerField:
    rating = asked.type == "rating"
    several = INPUT_TYPES[asked.type] is InputType.ARRAY
    return AnswerField(
        type=INPUT_TYPES[asked.type],
        choices=tuple(asked.choices) if asked.choices and not several else None,
        minimum=1 if rating else None,
        maximum=asked.scale if rating else None,
        default=asked.default,
        required=required,
        description=asked.text,
    )


def _summary(questions: list[FeedbackQuestion], responses: dict[str, Json]) -> dict[str, Json]:
    def given(*types: str) -> dict[str, Json]:
        return {asked.id: responses[asked.id] for asked in questions if asked.type in types and asked.id in responses}

    ratings = given("rating").values()
    return {
        "rating_average": sum(ratings) / len(ratings) if ratings else None,
        "boolean_summary": given("boolean", "bool", "confirm", "yes_no"),
        "choice_summary": given("choice", "select"),
    }


def _save(context: ToolContext, parameters: FeedbackParameters, answer: Answer, left: dict[str, Json]) -> None:
    """Add the answers to the file. An attempt that is repeated finds its line there, and adds none.

    Raises:
        ParametersInvalid: the file is outside the folders that the run may use.
        ToolFailed: it cannot be written.
    """
    at = datetime.fromtimestamp(answer.at_ms / 1000, UTC).isoformat()
    entry: dict[str, Json] = {"timestamp": at, "title": parameters.title, "anonymous": parameters.anonymous}
    entry |= {name: left[name] for name in ("responses", "response_count", "completion_rate", "by")}
    line, path = json.dumps(entry, ensure_ascii=False), str(parameters.save_to_file)
    before = filesystem.read(context, PathParameters(path=path))
    if before.success and line in before.output["content"].splitlines():
        return
    added = filesystem.append(context, WriteParameters(path=path, content=f"{line}\n"))
    if not added.success:
        raise ToolFailed(f"the feedback could not be saved: {added.error}", added.retryable)
