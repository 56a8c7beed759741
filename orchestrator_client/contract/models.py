"""Which model a step means: by its name (`openai/gpt-5`, `ollama:llama3.2:1b`, or a plain name that its maker is known
by), or, with `AUTO`, by what it must be good for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from orchestrator_client.contract.plan import Json, Record

AUTO = "AUTO"
"""The model of a step whose model the worker chooses; in capitals, since a plain name may be anything else."""

AUTO_PROVIDER = "auto"
"""Whose queue such a step goes to. Nobody's models carry the name."""

DEFAULT_PROVIDER = "openai"
"""Whose a plain name is that tells nothing: gateways to other models mostly speak OpenAI's dialect."""

FAMILIES: Mapping[str, str] = {
    "gpt-": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "ft:": "openai",
    "claude-": "anthropic",
    "gemini-": "google",
}
"""Beginnings of plain names -> provider. `ft:` heads OpenAI's names of tuned models, whose colons part nothing."""

TASKS: Mapping[str, str] = {
    **{task: task for task in ("chat", "code", "analysis", "vision")},
    **dict.fromkeys(("generate", "generation", "writing", "text", "summarize", "summary", "summarization"), "chat"),
    **dict.fromkeys(("translate", "translation", "format", "formatting", "report", "reporting", "synthesis"), "chat"),
    **dict.fromkeys(("coding", "programming", "code_generation", "debug", "debugging"), "code"),
    **dict.fromkeys(("analyze", "analyse", "reasoning", "research", "research_analysis", "planning"), "analysis"),
    **dict.fromkeys(("validation", "evaluation", "classification", "extraction", "extract", "parse"), "analysis"),
    **dict.fromkeys(("image", "images", "image_analysis"), "vision"),
}
"""Common words for a task -> the one that a project's models are asked for. Other words stand for themselves."""


class Strategy(StrEnum):
    """What decides among the models that fit."""

    COST = "cost"
    """The cheapest; those of unknown price last."""
    PERFORMANCE = "performance"
    """The best, and of equally good ones the fastest."""
    BALANCED = "balanced"
    """Quality and speed against price."""


class Expertise(StrEnum):
    """How much a model knows, from least to most."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    VERY_HIGH = "very-high"

    @property
    def rank(self) -> int:
        """Its place in the order, from 0."""
        return list(Expertise).index(self)


_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([MBT]?)\s*", re.IGNORECASE)
_BILLIONS = {"M": Decimal("0.001"), "": Decimal(1), "B": Decimal(1), "T": Decimal(1000)}


def _one_spelling(given: Json) -> Json:
    """Words in small letters, with hyphens; anything else as it is."""
    return re.sub(r"[\s_]+", "-", given.strip().lower()) if isinstance(given, str) else given


_LEVELS = {"medium-high": "high", "expert": "very-high"}
"""Other words for how much a model must know, to the least that is enough."""


def _level(given: Json) -> Json:
    """One spelling of an expertise."""
    spelled = _one_spelling(given)
    return _LEVELS.get(spelled, spelled) if isinstance(spelled, str) else spelled


def _billions(given: Json) -> Json:
    """The number that a size such as `7B` or `350M` spells; anything else as it is."""
    size = _SIZE.fullmatch(given) if isinstance(given, str) else None
    return given if size is None else float(Decimal(size[1]) * _BILLIONS[size[2].upper()])


def _one_is_a_list(given: Json) -> Json:
    return [given] if isinstance(given, str) else given


class Selection(Record):
    """What `AUTO` chooses by. What is None is not asked for."""

    strategy: Annotated[Strategy, BeforeValidator(_one_spelling)] = Strategy.BALANCED
    task: str | None = None
    """What the model must be good at, in a word of `TASKS` or of the project's own."""
    expertise: Annotated[Expertise | None, BeforeValidator(_level)] = None
    """The least."""
    modalities: Annotated[frozenset[str], BeforeValidator(_one_is_a_list)] = frozenset()
    """What it must read, beside what the request holds."""
    min_size_billions: Annotated[float | None, BeforeValidator(_billions)] = Field(default=None, gt=0)
    """Least number of parameters; also as text, `7B` or `350M`."""
    context_tokens: int | None = Field(default=None, gt=0)
    """Least room for prompt and reply together, in the place of what the request is estimated to need."""
    max_usd: Decimal | None = Field(default=None, ge=0)
    """Most that the call may cost at list price."""


_QUALIFIED = re.compile(r"\s*([A-Za-z][\w.-]*)\s*[/:]\s*(\S.*?)\s*")


def provider_of(model: str, default: str = DEFAULT_PROVIDER) -> str:
    """Provider of a model, in lower case; `default` for a plain name of no known family, and for a template."""
    if model.strip() == AUTO:
        return AUTO_PROVIDER
    provider, name = _split(model)
    return provider or _family(name) or default


def bare_name(model: str) -> str:
    """The model without its provider, as the provider itself calls it."""
    return _split(model)[1]


def qualified(model: str) -> str:
    """The model as `provider/name`, whichever way it was written: two names of one model are equal in this form."""
    return f"{provider_of(model)}/{bare_name(model)}"


def task_of(word: str) -> str:
    """The task that a word means, however it is spelled."""
    plain = re.sub(r"[\s-]+", "_", word.strip().lower())
    return TASKS.get(plain, plain)


def _family(name: str) -> str | None:
    """Whose models have names that begin so; None if nobody's."""
    return next((provider for beginning, provider in FAMILIES.items() if name.lower().startswith(beginning)), None)


def _split(model: str) -> tuple[str | None, str]:
    """Provider and name, parted at the first slash or colon; None for the provider where there is neither."""
    parts = _QUALIFIED.fullmatch(model)
    if parts is None or model.lower().lstrip().startswith("ft:"):
        return None, model.strip()
    return parts[1].lower(), parts[2]
