"""A person is asked for one value."""

from __future__ import annotations

from orchestrator_client.contract.catalog.people import INPUT_TYPES, PromptParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.question import AnswerField, Question, QuestionKind
from orchestrator_worker.tools.base import Told, ToolContext, ToolResult


def execute(context: ToolContext, parameters: PromptParameters) -> Told:
    """Ask, and leave the answer: `value`, and `by`, `used_default` and `skipped` (nobody answered) beside it.

    Raises:
        ParametersInvalid: there are no choices to choose from, or the default does not fit.
    """
    if not context.answers:
        return _question(context, parameters)
    answer = context.answers[0]
    said = {
        "value": answer.value,
        "by": answer.by or None,
        "used_default": answer.defaulted,
        "skipped": answer.defaulted,
    }
    return ToolResult(answer.value, envelope=said)


def _question(context: ToolContext, parameters: PromptParameters) -> Question:
    choices = tuple(parameters.choices) if parameters.choices else None
    if choices is None and parameters.input_type in ("choice", "select"):
        raise ParametersInvalid("user-prompt: it asks for a choice, and there are none; give choices")
    # Choices say the type, whatever they are.
    kind = INPUT_TYPES[parameters.input_type] if choices is None else _type_of(choices)
    field = AnswerField(type=kind, choices=choices, required=True, pattern=parameters.validation_pattern)
    default = parameters.default.strip() if isinstance(parameters.default, str) else parameters.default
    if default is not None:
        try:
            default = field.checked(default)
        except ValueError as error:
            raise ParametersInvalid(f"user-prompt: the default does not fit: {error}") from None
    return Question(
        kind=QuestionKind.INPUT,
        prompt=parameters.prompt.strip(),
        value=field,
        default=default,
        has_default=default is not None,
        timeout_seconds=parameters.timeout or context.timeout_seconds,
    )


def _type_of(choices: tuple[object, ...]) -> InputType:
    return InputType.STRING if all(isinstance(choice, str) for choice in choices) else InputType.ANY
