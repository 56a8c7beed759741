"""Chooses the model of a step that asks for `AUTO`, among those that the project describes.

First a model must fit: every requirement drops those that are not known to meet it. Then the strategy puts the rest in
order:

- `cost`: the cheapest first, those of unknown price last;
- `performance`: the best first, of equally good ones the fastest;
- `balanced`: by the score 0.5 × quality + 0.2 × speed + 0.3 × (1 − cost / the dearest one's cost), in which an unknown
  cost counts as the dearest.

What is equal by that goes by cost, then by quality and speed, then by name, so the same call has the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.models import AUTO, Expertise, Selection, Strategy, qualified, task_of
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import ModelSection

QUALITY_WEIGHT = 0.5
SPEED_WEIGHT = 0.2
PRICE_WEIGHT = 0.3
"""Of the balanced score; together 1."""


@dataclass(frozen=True, slots=True)
class Need:
    """What the request itself needs of a model."""

    modalities: frozenset[str] = frozenset({"text"})
    """What it holds: `text`, `image`, `audio`, `document`."""
    input_tokens: int = 0
    """Estimated."""
    output_tokens: int = 0
    """The most that the answer may have."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that may answer, and why it stands where it does."""

    model: str
    """`provider/name`."""
    reason: str
    """One sentence for the receipt."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    model: str
    section: ModelSection
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class _Requirement:
    """One thing asked for: what it is, whether a candidate meets it, and what to configure if none does."""

    what: str
    is_met: Callable[[_Candidate], bool]
    remedy: str


def choose(
    models: Mapping[str, ModelSection],
    selection: Mapping[str, Json],
    need: Need,
    cost: Callable[[str], Decimal | None],
    default: str | None = None,
) -> list[Choice]:
    """The models that fit, best first: the rest may answer where the first cannot.

    `models` are the project's, by name; `cost` gives the list price of this call with a model, in US dollars, or None;
    `default` is the worker's own model, which answers where the project describes none.

    Raises:
        ParametersInvalid: no model fits, nothing is configured to choose from, or `selection` cannot be read.
    """
    asked = _asked(selection)
    if not models:
        return [_default(default)]
    configured = [_Candidate(name := qualified(written), models[written], cost(name)) for written in sorted(models)]
    fitting = _fitting(configured, asked, need)
    ranked = sorted(fitting, key=_order(asked.strategy, fitting))
    return [Choice(c.model, _reason(asked.strategy, ranked, at, len(configured))) for at, c in enumerate(ranked)]


def _asked(selection: Mapping[str, Json]) -> Selection:
    try:
        return Selection.model_validate(selection)
    except ValidationError as error:
        clauses = [f"'{p['loc'][0]}' {p['msg'][0].lower()}{p['msg'][1:]}" for p in error.errors(include_url=False)]
        raise ParametersInvalid(f"parameter 'selection': {'; '.join(clauses)}") from None


def _default(default: str | None) -> Choice:
    """The worker's own model, where there is nothing to choose from."""
    if not default or default.strip() == AUTO:
        raise ParametersInvalid(
            "the step's model is AUTO, and this worker knows no models to choose from: describe some in"
            ' orchestrator.toml, each as [models."openai/…"], or name a model'
        )
    return Choice(qualified(default), "the worker's default, because orchestrator.toml describes no models")


def _fitting(configured: list[_Candidate], asked: Selection, need: Need) -> list[_Candidate]:
    """The candidates that meet every requirement."""
    left = configured
    for requirement in _requirements(asked, need):
        fitting = [candidate for candidate in left if requirement.is_met(candidate)]
        if not fitting:
            among = "" if left is configured else f" of the {len(left)} that meet the other requirements"
            raise ParametersInvalid(
                f"no model{among} fits {requirement.what}, of {len(configured)} in orchestrator.toml; ask for less in"
                f' `selection`, or {requirement.remedy} under [models."…"]'
            )
        left = fitting
    return left


def _requirements(asked: Selection, need: Need) -> Iterator[_Requirement]:
    """All that a model must meet. What is asked for must be known of it; what a request needs must not exceed it."""
    if asked.task is not None:
        task = task_of(asked.task)
        yield _Requirement(f"task '{asked.task}'", lambda c: _has_task(c.section, task), f"add '{task}' to its tasks")
    if (least := asked.expertise) is not None:
        yield _Requirement(
            f"expertise '{least}'",
            lambda c: Expertise(c.section.expertise).rank >= least.rank,
            "set a higher expertise",
        )
    modalities = asked.modalities | need.modalities
    yield _Requirement(
        f"modalities {', '.join(sorted(modalities))}", lambda c: modalities <= {*c.section.modalities}, "add modalities"
    )
    if (size := asked.min_size_billions) is not None:
        yield _Requirement(
            f"min_size_billions {size:g}", lambda c: (c.section.size_billions or 0) >= size, "set size_billions"
        )
    yield _context(asked.context_tokens, need)
    if (most := asked.max_usd) is not None:
        yield _Requirement(
            f"max_usd {most}",
            lambda c: c.cost_usd is not None and c.cost_usd <= most,
            "add a cheaper one, or set input_usd_per_million and output_usd_per_million where no price is known",
        )


def _has_task(section: ModelSection, task: str) -> bool:
    """A model without tasks is good for anything."""
    return not section.tasks or task in {task_of(word) for word in section.tasks}


def _context(asked: int | None, need: Need) -> _Requirement:
    """Room for prompt and reply. An estimate does not rule out a model whose room is unknown; a demand does."""
    tokens = asked or need.input_tokens + need.output_tokens
    unknown = tokens if asked is None else 0
    what = f"context_tokens {tokens}" if asked else f"a request of about {tokens} tokens"
    return _Requirement(
        what, lambda c: (c.section.context_tokens or unknown) >= tokens, "set context_tokens, or add a model with more"
    )


def _order(strategy: Strategy, fitting: list[_Candidate]) -> Callable[[_Candidate], Any]:
    """The strategy as a key to sort by."""
    scores = _scores(fitting)

    def key(candidate: _Candidate) -> tuple[Any, ...]:
        price = (candidate.cost_usd is None, candidate.cost_usd or Decimal(0))
        merit = (-candidate.section.quality, -candidate.section.speed)
        match strategy:
            case Strategy.COST:
                return (*price, *merit, candidate.model)
            case Strategy.PERFORMANCE:
                return (*merit, *price, candidate.model)
            case Strategy.BALANCED:
                return (-scores[candidate.model], *price, *merit, candidate.model)

    return key


def _scores(fitting: list[_Candidate]) -> dict[str, float]:
    """The balanced score of each model, from 0 to 1."""
    dearest = max((c.cost_usd for c in fitting if c.cost_usd is not None), default=Decimal(0))
    return {candidate.model: round(_score(candidate, dearest), 6) for candidate in fitting}


def _score(candidate: _Candidate, dearest: Decimal) -> float:
    cost = candidate.cost_usd
    cheapness = 0.0 if cost is None else 1 - float(cost / dearest) if dearest else 1.0
    return (
        QUALITY_WEIGHT * candidate.section.quality + SPEED_WEIGHT * candidate.section.speed + PRICE_WEIGHT * cheapness
    )


def _reason(strategy: Strategy, ranked: list[_Candidate], at: int, configured: int) -> str:
    """Which strategy, among how many, what decided, and who is next."""
    scores = _scores(ranked)
    shown = _shown(strategy, ranked[at], scores)
    place = f"{strategy}: number {at + 1} of {len(ranked)} that fit, {configured} configured; {shown}"
    if at + 1 == len(ranked):
        return place
    following = ranked[at + 1]
    return f"{place}; next best {following.model} with {_shown(strategy, following, scores)}"


def _shown(strategy: Strategy, candidate: _Candidate, scores: Mapping[str, float]) -> str:
    """What the strategy saw of a model."""
    section = candidate.section
    cost = "unknown price" if candidate.cost_usd is None else f"{candidate.cost_usd.normalize():f} USD"
    match strategy:
        case Strategy.COST:
            return cost
        case Strategy.PERFORMANCE:
            return f"quality {section.quality:g}, speed {section.speed:g}"
        case Strategy.BALANCED:
            score = scores[candidate.model]
            return f"score {score:.2f} (quality {section.quality:g}, speed {section.speed:g}, {cost})"
