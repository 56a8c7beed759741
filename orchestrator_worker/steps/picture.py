"""What a model is asked of a picture, in words: existing files say it by keywords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator_client.contract.catalog.models import PictureParameters

_TASKS: Mapping[str, str] = {
    "describe": "Describe the picture.",
    "classify": "Say what kind of picture this is: its subject, its style and its mood.",
    "detect_objects": "Name the objects in the picture, each with where it is and how sure you are, from 0 to 1.",
    "detect_faces": "Say how many faces are in the picture and where each is. Do not say who it is.",
    "extract_text": "Write down the text in the picture as it stands there.",
    "ocr": "Write down the text in the picture as it stands there.",
}
"""Kinds of analysis that are more than a word to a model."""

_DETAIL: Mapping[str, str] = {"low": "Answer in a sentence or two.", "high": "Go into every detail."}
_AS_JSON = frozenset({"json", "structured"})


def prompt_of(parameters: PictureParameters) -> str:
    """The words beside the picture. A prompt of the step's own stands for the kind of analysis."""
    return " ".join(_sentences(parameters))


def wants_json(parameters: PictureParameters) -> bool:
    """Whether the answer is to be read as JSON."""
    return parameters.output_format.strip().lower() in _AS_JSON


def _sentences(parameters: PictureParameters) -> Iterator[str]:
    kind = parameters.analysis_type.strip().lower().replace("-", "_").replace(" ", "_")
    yield parameters.prompt or _TASKS.get(kind) or f"Analyze the picture for {parameters.analysis_type}."
    if detail := _DETAIL.get(parameters.detail_level.strip().lower()):
        yield detail
    if parameters.confidence_threshold is not None:
        yield f"Leave out what you are less sure of than {parameters.confidence_threshold:g}, from 0 to 1."
    if wants_json(parameters):
        yield "Answer with JSON alone."
