"""Which of the models that a step offers, or else of the project's, a task should go to.

It weighs what it is told of them, and knows no more.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from orchestrator_client.contract.catalog.aids import DelegationParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.models import AUTO, TASKS, bare_name, provider_of, qualified
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import ModelSection, load_project
from orchestrator_client.contract.tokens import text_tokens
from orchestrator_worker.tools.base import ToolContext, ToolResult

GENERAL = "general"
"""The kind of a task in which no known word stands."""

SHORT_WORDS, LONG_WORDS = 20, 100
"""A task of at most so many words is called of low, of medium complexity. A longer one is called high."""

REPLY_TOKENS = 1000
"""Of the answer, where the cost of a call with one of the project's models is estimated."""

_UNKNOWN: dict[str, Json] = dict.fromkeys(("score", "estimated_cost", "estimated_latency"))
"""What templates of existing files read, where it cannot be worked out. Nothing here measures a latency."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """A model and what the step says of it; None where it says nothing."""

    model: str
    """As the step writes it: the name is handed on, not looked up."""
    capabilities: frozenset[str] | None
    quality: float | None
    """0 to 1."""
    cost_usd: float | None
    """Of the call."""


def execute(_context: ToolContext, parameters: DelegationParameters) -> ToolResult:
    """Choose a model: `{selected_model, fallback_models, reasons, score, all_scores, task_analysis}`, best first.

    The score is the mean of quality and of 1 − cost / the dearest one's cost by the step's weights, of what every offer
    that fits states. It and `estimated_cost` (US dollars) are null where the offers do not state what they are worked
    out from; `estimated_latency` always is. Without `models` the project's are offered, and where it has none the
    choice is left to the worker that makes the call: AUTO.

    Raises:
        ParametersInvalid: an offer cannot be read, or none has the capabilities that are required.
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    required = _words(parameters.requirements.get("capabilities"), "requirements.capabilities")
    output: dict[str, Json] = {"task_analysis": _analysis(parameters.task, required), **_UNKNOWN, "all_scores": []}
    offers = [_offer(given) for given in parameters.models] or _project_offers(parameters.task)
    if not offers:
        reasons = ["no models are known here: the worker that makes the call chooses"]
        return ToolResult({**output, "selected_model": AUTO, "fallback_models": [], "reasons": reasons})
    fitting = [offer for offer in offers if offer.capabilities is None or required <= offer.capabilities]
    if not fitting:
        raise ParametersInvalid(
            f"task-delegation: none of {len(offers)} models states {', '.join(sorted(required))}; offer one that does"
        )
    return ToolResult({**output, **_choice(fitting, len(offers), parameters)})


def _project_offers(task: str) -> list[_Offer]:
    """The models of orchestrator.toml, or its default where it describes none, with the cost of the call at list price.

    What a model is described as good at is not a list of all that it can do, so that none is left out for it.
    """
    project = load_project()
    described = {qualified(name): section for name, section in project.models.items()}
    if not described and project.default_model and project.default_model.strip() != AUTO:
        described = {qualified(project.default_model): ModelSection()}
    prices = Prices(project)

    def cost(model: str) -> float | None:
        rate = prices.rate(provider_of(model), bare_name(model))
        return float(rate.of(text_tokens(task), REPLY_TOKENS)) if rate else None

    return [_Offer(name, None, section.quality, cost(name)) for name, section in sorted(described.items())]


def _choice(fitting: list[_Offer], offered: int, parameters: DelegationParameters) -> dict[str, Json]:
    """The best of those that fit, why, and the others in order. Equally good ones stay in the order of the step."""
    scores = {offer.model: score for offer in fitting if (score := _score(offer, fitting, parameters)) is not None}
    ranked = sorted(fitting, key=lambda offer: -scores.get(offer.model, 0.0))
    best = ranked[0]
    why = "the highest score" if scores else "the first, since not all of them state a quality or a cost"
    chosen: dict[str, Json] = {
        "selected_model": best.model,
        "fallback_models": [offer.model for offer in ranked[1:]],
        "reasons": [f"{len(fitting)} of {offered} models have what is required", why],
    }
    if scores:
        chosen["score"] = scores[best.model]
        chosen["all_scores"] = [
            {"model": offer.model, "score": scores[offer.model], "reasons": _reasons(offer)} for offer in ranked
        ]
    if best.cost_usd is not None:
        chosen["estimated_cost"] = best.cost_usd
    return chosen


def _reasons(offer: _Offer) -> list[str]:
    """What is stated of an offer, in words."""
    stated = (("quality", offer.quality, ""), ("cost", offer.cost_usd, " US dollars"))
    return [f"{name} {value:g}{unit}" for name, value, unit in stated if value is not None]


def _score(offer: _Offer, fitting: list[_Offer], parameters: DelegationParameters) -> float | None:
    """An offer's score, 0 to 1; None where no measure is stated by all, or none has weight."""
    measures: list[tuple[float, float]] = []
    if offer.quality is not None and all(other.quality is not None for other in fitting):
        measures.append((parameters.quality_weight, offer.quality))
    costs = [other.cost_usd for other in fitting if other.cost_usd is not None]
    if offer.cost_usd is not None and len(costs) == len(fitting):
        # Where all of them are free, none is dearer than another.
        measures.append((parameters.cost_weight, 1 - offer.cost_usd / (max(costs) or 1)))
    weight = sum(weight for weight, _ in measures)
    return round(sum(weight * value for weight, value in measures) / weight, 4) if weight else None


def _analysis(task: str, required: frozenset[str]) -> dict[str, Json]:
    """What can be told of a task from its text: its kind by the first known word, and its length."""
    # No model is asked what kind of task it is: the same text has the same answer, and costs nothing.
    words = re.findall(r"\w+", task.lower())
    kind = next((TASKS[word] for word in words if word in TASKS), GENERAL)
    complexity = "low" if len(words) <= SHORT_WORDS else "medium" if len(words) <= LONG_WORDS else "high"
    return {
        "task_type": kind,
        "complexity": complexity,
        "word_count": len(words),
        "estimated_tokens": text_tokens(task),
        "required_capabilities": sorted(required),
    }


def _offer(given: Json) -> _Offer:
    """An offer, from a name or a mapping.

    Raises:
        ParametersInvalid: it names no model, or a measure is out of its range.
    """
    stated = given if isinstance(given, dict) else {"model": given}
    model = stated.get("model") or stated.get("name")
    if not isinstance(model, str) or not model.strip():
        raise ParametersInvalid("task-delegation: an item of 'models' has no 'model'; write its name")
    capabilities = stated.get("capabilities")
    return _Offer(
        model,
        None if capabilities is None else _words(capabilities, f"capabilities of {model}"),
        _measure(stated.get("quality"), f"quality of {model}", 1.0),
        _measure(stated.get("cost"), f"cost of {model}", math.inf),
    )


def _words(given: Json, what: str) -> frozenset[str]:
    """Words in one spelling, from one or a list.

    Raises:
        ParametersInvalid: there is something else among them.
    """
    words = [] if given is None else given if isinstance(given, list) else [given]
    if not all(isinstance(word, str) for word in words):
        raise ParametersInvalid(f"task-delegation: {what} must be a word or a list of words")
    return frozenset(re.sub(r"[\s_]+", "-", word.strip().lower()) for word in words)


def _measure(given: Json, what: str, most: float) -> float | None:
    """A number from 0 to `most`; None where nothing is stated.

    Raises:
        ParametersInvalid: it is something else. NaN compares with nothing, and is refused by that.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= most:
        raise ParametersInvalid(f"task-delegation: {what} was {str(given)[:60]!r}; write a number from 0 to {most:g}")
    return float(given)
