"""Tools that ask a person. Their steps wait in Redis until somebody answers, and hold no worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator_client.contract.catalog.spec import ONCE, Parameters, ToolSpec, specs
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category


def _listed(written: Json) -> Json:
    """A list, also where a template made text of it: JSON, or words between commas."""
    if not isinstance(written, str):
        return written
    text = written.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return written
    return [part.strip() for part in text.split(",") if part.strip()]


Listed = Annotated[list[Json] | None, BeforeValidator(_listed)]
Names = Annotated[list[str], BeforeValidator(_listed)]

Seconds = Annotated[float | None, Field(ge=0)]
"""0 and nothing: without a limit."""

INPUT_TYPES: Mapping[str, InputType] = {
    **{str(kind): kind for kind in InputType},
    **dict.fromkeys(("text", "str", "choice", "select", "textarea", "password", "file"), InputType.STRING),
    **dict.fromkeys(("int", "rating"), InputType.INTEGER),
    "float": InputType.NUMBER,
    **dict.fromkeys(("bool", "confirm", "yes_no"), InputType.BOOLEAN),
    **dict.fromkeys(("list", "multiple_choice", "multiselect"), InputType.ARRAY),
    **dict.fromkeys(("dict", "json"), InputType.OBJECT),
}
"""Types of answers as they may be written."""


def _known(written: str) -> str:
    """A type of answers as it may be written."""
    word = written.strip().lower()
    if word not in INPUT_TYPES:
        raise ValueError(f"one of {', '.join(INPUT_TYPES)}")
    return word


AskedType = Annotated[str, AfterValidator(_known)]


class AskingParameters(Parameters):
    """What all of them take. A template often leaves blanks around a text."""

    timeout: Seconds = None
    """Until the deadline; without it, the step's own `timeout`."""
    context: str = ""
    """Existing files write `cli`, `gui` or `api`; whoever runs the pipeline is asked in whatever way there is."""


class PromptParameters(AskingParameters):
    prompt: str = Field(validation_alias=AliasChoices("prompt", "message", "question"))
    input_type: AskedType = Field(default="text", validation_alias=AliasChoices("input_type", "type"))
    choices: Listed = Field(default=None, validation_alias=AliasChoices("choices", "options"))
    default: Json = None
    """What counts when nobody has answered by the deadline, and when somebody answers nothing."""
    validation_pattern: str = Field(default="", validation_alias=AliasChoices("validation_pattern", "pattern"))
    retry_on_invalid: bool = True
    """An answer that does not fit is always refused, and the question stands."""
    max_retries: int | None = None


class ApprovalParameters(AskingParameters):
    title: str = ""
    content: Json = Field(default="", validation_alias=AliasChoices("content", "message", "prompt"))
    options: Listed = None
    approvers: Names = Field(default_factory=list)
    """Names of those who may answer; empty for anybody."""
    allow_modifications: bool = False
    require_reason: bool = False
    default: Json = None
    """An option, or true or false, that counts when nobody has answered by the deadline."""
    format: str = "text"
    """The content is shown as it is."""
    metadata: Json = None


class FeedbackQuestion(BaseModel):
    """One question of a form."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    text: str = Field(default="", validation_alias=AliasChoices("text", "question", "prompt", "label"))
    type: AskedType = "text"
    scale: int = Field(default=5, ge=1)
    choices: Listed = Field(default=None, validation_alias=AliasChoices("choices", "options"))
    required: bool = False
    default: Json = None


class FeedbackParameters(AskingParameters):
    questions: Annotated[list[FeedbackQuestion], BeforeValidator(_listed), Field(min_length=1)]
    title: str = "Feedback"
    required_questions: Names = Field(default_factory=list)
    anonymous: bool = False
    """Who answered is not told."""
    save_to_file: str | None = None
    """A file of the run's folder that the answers are added to, one JSON object a line."""


TOOLS: Mapping[str, ToolSpec] = {
    **specs(
        "user-prompt",
        Category.USER_INTERACTION,
        ("execute", PromptParameters, "Ask a person for a value, and wait for it", ONCE),
    ),
    **specs(
        "approval-gate",
        Category.USER_INTERACTION,
        ("execute", ApprovalParameters, "Wait until a person has approved or rejected", ONCE),
    ),
    **specs(
        "feedback-collection",
        Category.USER_INTERACTION,
        ("execute", FeedbackParameters, "Ask a person to fill in a form, and wait for it", ONCE),
    ),
}
