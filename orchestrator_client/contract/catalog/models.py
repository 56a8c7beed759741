"""Actions of model steps, and what they may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from orchestrator_client.contract.catalog.spec import Parameters
from orchestrator_client.contract.record import Json


class GenerateParameters(Parameters):
    """Parameters of a model step."""

    prompt: str = ""
    messages: list[dict[str, Json]] = Field(default_factory=list)
    """A conversation before the prompt, each `{role, content}` in the form that OpenAI's chat takes."""
    system: str = Field(default="", validation_alias=AliasChoices("system", "system_prompt"))
    images: list[Json] = Field(default_factory=list, validation_alias=AliasChoices("images", "image"))
    """Shown with the prompt: paths in the run's folder, URLs, data URLs, or `{path | url | data, media_type}`."""
    files: list[Json] = Field(default_factory=list, validation_alias=AliasChoices("files", "file"))
    """Documents and sound, in the same forms."""
    model: str | None = None
    fallback_models: list[str] = Field(default_factory=list)
    """Asked in this order when the model before has failed for good."""
    selection: dict[str, Json] | None = None
    """How `AUTO` chooses: `strategy` (cost, performance, balanced), `task`, `expertise`, `modalities`,
    `min_size_billions`, `context_tokens`, `max_usd`."""
    credential: str = ""
    """Which account of the provider."""
    max_tokens: int | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("max_tokens", "max_completion_tokens", "max_output_tokens")
    )
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] = Field(default_factory=list, validation_alias=AliasChoices("stop", "stop_sequences"))
    seed: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    schema_: Json = Field(default=None, validation_alias=AliasChoices("schema", "schema_"))
    """JSON Schema of the answer, or an importable pydantic class as `python:package.module:Class`."""
    response_format: Json = None
    """OpenAI's spelling of the same: `json_object`, or `{type: json_schema, json_schema: {schema: …}}`."""
    tools: list[str] = Field(default_factory=list)
    """Names of tools that the model may call."""
    tool_choice: str = "auto"
    max_turns: int = Field(default=10, ge=1, le=100)
    """Calls of the model in one step: one and one more for each round of tools."""
    stream: bool = False
    cache: bool | int = False
    """Whether the answer to the very same request may be taken from the cache; a number is its life in seconds."""
    options: dict[str, Json] = Field(default_factory=dict)
    """Passed to the provider as they are."""

    @field_validator("images", "files", "fallback_models", "stop", "tools", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Json) -> Json:
        return [given] if isinstance(given, str | dict) else given


class StructuredParameters(GenerateParameters):
    """Parameters of a model step whose answer must fit a schema."""

    schema_: Json = Field(validation_alias=AliasChoices("schema", "schema_"))


class AnalyzeParameters(GenerateParameters):
    text: Json = ""
    analysis_type: str = "general"


class PictureParameters(GenerateParameters):
    """Parameters of a model step that looks at a picture."""

    images: list[Json] = Field(min_length=1, validation_alias=AliasChoices("images", "image"))
    analysis_type: str = "describe"
    detail_level: str = "medium"
    """How much is said: `low`, `medium` or `high`."""
    output_format: str = "text"
    """`json` or `structured` for an answer that is read as JSON."""
    confidence_threshold: float | None = Field(default=None, ge=0, le=1)
    """What the model is less sure of it leaves out."""


MODEL_ACTIONS: Mapping[str, type[Parameters]] = {
    "generate": GenerateParameters,
    "analyze": AnalyzeParameters,
    "generate-structured": StructuredParameters,
    "analyze-image": PictureParameters,
}
"""Actions of model steps, by the name that a plan keeps."""

ACTION_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("generate_text", "generate-text", "llm_call", "llm_generate", "generate_code"), "generate"),
    "generate_structured": "generate-structured",
    **dict.fromkeys(("analyze_text", "analyze-text"), "analyze"),
    **dict.fromkeys(("analyze_image", "image-analysis"), "analyze-image"),
}

MODEL_TOOLS: Mapping[str, str] = {"image-analysis": "analyze-image"}
"""What existing files call a tool, and a model does."""
