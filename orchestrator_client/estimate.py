"""What a run would use, cost and take, before it runs: from the project's own history where there is one, else from
its templates and prices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from pydantic import Field, ValidationError

from orchestrator_client.budgets import NANO
from orchestrator_client.contract import template
from orchestrator_client.contract.catalog import MODEL_ACTIONS
from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL, Dimension, Limits, Scope, limits_for
from orchestrator_client.contract.models import AUTO, bare_name, provider_of
from orchestrator_client.contract.plan import Json, Plan, Record, Step, StepKind
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.tokens import MEDIA_TOKENS, MESSAGE_TOKENS, text_tokens
from orchestrator_client.gates import GateView

DEFAULT_OUTPUT_TOKENS = 4_096
"""Taken for the longest reply of a step that states no `max_tokens`."""

UNKNOWN_INPUT_TOKENS = 2_000
"""Taken at most for each template in a prompt whose text only the run knows, beside the text that is written."""

SECONDS_PER_CALL = (0.5, 60.0)
"""Least and most that a call takes of which nothing is known."""


class Range(Record):
    """From the least to the most that is likely."""

    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, high=self.high + other.high)


class StepEstimate(Record):
    """One model step."""

    step: str = ""
    model: str = ""
    """`provider/model`; empty where only the run knows it."""
    source: str
    """`history`, with the number of calls it is made of, or `template`."""
    input_tokens: Range
    output_tokens: Range
    usd: Range | None = None
    """None: no price is known."""
    seconds: Range
    unknown: tuple[str, ...] = ()
    """What was guessed, and what is missing."""


class Estimate(Record):
    """A whole run, each of its steps run once and no attempt repeated."""

    pipeline: str
    steps: list[StepEstimate] = Field(default_factory=list)
    input_tokens: Range = Range()
    output_tokens: Range = Range()
    usd: Range = Range()
    """Of the steps whose price is known."""
    unpriced: tuple[str, ...] = ()
    """Steps whose price is not known."""
    seconds: Range = Range()
    """The plan's critical path, or what the limits in force allow if that is longer. Tools count as no time."""
    bound_by: str = ""
    """The limit that decides the time, if one does."""
    unknown: tuple[str, ...] = ()
    """What holds for the whole of it."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a step asks a model, as far as it can be known now."""

    parameters: Mapping[str, Json]
    """Rendered where inputs are enough, as written elsewhere."""
    max_tokens: int | None
    max_turns: int
    """Calls of the model: one, and one more for each round of tools."""
    model: str
    """Empty where only the run knows it."""
    credential: str
    unknown: tuple[str, ...]


def estimate(
    plan: Plan,
    inputs: Mapping[str, Json],
    project: Project,
    histories: Mapping[str, Mapping[str, float]] | None = None,
    gates: Mapping[str, GateView] | None = None,
    unread: str = "",
) -> Estimate:
    """The estimate of one run. `unread` says why no history and no limits in force are given.

    Raises:
        InputsInvalid: the inputs do not fit the plan.
    """
    bound, prices, past = plan.bind(inputs), Prices(project), histories or {}
    steps, scopes = [], {}
    for step in plan.steps:
        if step.kind is StepKind.MODEL:
            asked = _asked(step, bound, project)
            steps.append(_step(step, asked, past.get(step.id) or {}, prices))
            scopes[step.id] = Scope(provider_of(asked.model), asked.credential, bare_name(asked.model))
    path = {end: _critical(plan, {each.step: getattr(each.seconds, end) for each in steps}) for end in ("low", "high")}
    least, bound_by = _least_seconds(steps, scopes, project, gates or {})
    unpriced = tuple(each.step for each in steps if each.usd is None)
    unknown = [f"Redis could not be read, so no history and no learned limits: {unread}"] if unread else []
    return Estimate(
        pipeline=plan.id,
        steps=steps,
        input_tokens=_sum(each.input_tokens for each in steps),
        output_tokens=_sum(each.output_tokens for each in steps),
        usd=_sum(each.usd for each in steps if each.usd is not None),
        unpriced=unpriced,
        seconds=Range(low=max(path["low"], least.low), high=max(path["high"], least.high)),
        bound_by=bound_by if least.high > path["high"] or least.low > path["low"] else "",
        unknown=tuple(unknown),
    )


def _sum(ranges: Iterable[Range]) -> Range:
    """Least and most of all together: that all come to their most at once is unlikely, and possible."""
    return sum(ranges, Range())


def _step(step: Step, asked: _Asked, history: Mapping[str, float], prices: Prices) -> StepEstimate:
    """One step: by its history if it has one, else by its templates."""
    unknown = list(asked.unknown)
    known = _by_history(history) if history.get("n") else _by_template(asked, unknown)
    rate = prices.rate(provider_of(asked.model), bare_name(asked.model)) if asked.model else None
    usd = known.usd
    if usd is None and rate is not None:
        read, written = known.input_tokens, known.output_tokens
        usd = Range(low=_of(rate, read.low, written.low), high=_of(rate, read.high, written.high))
    if usd is None:
        unknown.append(f"its price: none is known of {asked.model or 'its model'}")
    model = f"{provider_of(asked.model)}/{bare_name(asked.model)}" if asked.model else ""
    return known.model_copy(update={"step": step.id, "model": model, "usd": usd, "unknown": tuple(unknown)})


def _by_history(history: Mapping[str, float]) -> StepEstimate:
    """What earlier calls used: from the average to the largest. A call of unknown price leaves none behind."""
    calls = round(history["n"])
    return StepEstimate(
        source=f"history of {calls:,} call{'' if calls == 1 else 's'}",
        input_tokens=_between(history, "input"),
        output_tokens=_between(history, "output"),
        usd=_between(history, "nano", NANO) if history.get("nano") else None,
        seconds=_between(history, "seconds"),
    )


def _by_template(asked: _Asked, unknown: list[str]) -> StepEstimate:
    """What can be told before the first call; what cannot is added to `unknown`."""
    unknown.append("its time: no call of it was seen yet")
    if asked.max_tokens is None:
        unknown.append(f"its longest reply: max_tokens is not stated, {DEFAULT_OUTPUT_TOKENS:,} are taken")
    least, most = (Decimal(str(seconds)) for seconds in SECONDS_PER_CALL)
    return StepEstimate(
        source="template",
        input_tokens=_input(asked, unknown),
        # A model that says a word has written a token.
        output_tokens=Range(low=Decimal(1), high=Decimal(asked.max_tokens or DEFAULT_OUTPUT_TOKENS) * asked.max_turns),
        seconds=Range(low=least, high=most * asked.max_turns),
    )


def _of(rate: Any, read: Decimal, written: Decimal) -> Decimal:
    """Price of so many tokens, by `pricing.Rate`."""
    return Decimal(rate.input_usd) * read + Decimal(rate.output_usd) * written


def _between(history: Mapping[str, float], field: str, unit: Decimal = Decimal(1)) -> Range:
    """From what a call used on average to the most that one did."""
    usual = Decimal(str(history.get(field, 0.0)))
    return Range(low=usual / unit, high=max(usual, Decimal(str(history.get(f"{field}_max", 0.0)))) / unit)


def _asked(step: Step, inputs: Mapping[str, Json], project: Project) -> _Asked:
    """The parameters, rendered as far as inputs alone can do it."""
    unknown: list[str] = []
    given = {key: _rendered(value, inputs) for key, value in step.parameters.items()}
    record = MODEL_ACTIONS.get(step.uses, GenerateParameters)
    known = {key: value for key, value in given.items() if not _has_template(value)}
    parsed = GenerateParameters()
    # What is missing now may come from a template; whether it fits is the worker's to say.
    with suppress(ValidationError):
        parsed = cast(GenerateParameters, record.model_validate(known))
    written = _rendered(parsed.model or step.model or project.default_model or "", inputs)
    model = str(written)
    if not model or model == AUTO or template.is_template(model):
        unknown.append("its model: it is chosen when the step starts")
        model = ""
    if parsed.max_turns > 1 and parsed.tools:
        unknown.append(f"how often its tools are used: up to {parsed.max_turns} calls are counted")
    turns = parsed.max_turns if parsed.tools else 1
    credential = parsed.credential or DEFAULT_CREDENTIAL
    return _Asked(given, parsed.max_tokens, turns, model, credential, tuple(unknown))


def _input(asked: _Asked, unknown: list[str]) -> Range:
    """Tokens of the prompt: what is written, and a guess for each template that reads what another step leaves."""
    texts = [
        text
        for key in ("system", "system_prompt", "prompt", "messages", "text", "schema")
        for text in _texts(asked.parameters.get(key))
    ]
    media = sum(len(_listed(asked.parameters.get(key))) for key in ("images", "image", "files", "file"))
    late = sum(template.is_template(text) for text in texts)
    low = sum(text_tokens(text) + MESSAGE_TOKENS for text in texts) + media * MEDIA_TOKENS
    if late:
        unknown.append(
            f"{late} of its texts: they read what other steps leave, {UNKNOWN_INPUT_TOKENS:,} tokens are taken for each"
        )
    return Range(low=Decimal(low), high=Decimal(low + late * UNKNOWN_INPUT_TOKENS) * asked.max_turns)


def _rendered(value: Json, inputs: Mapping[str, Json]) -> Json:
    """A value with the templates in it rendered, where they need no more than inputs; each by itself."""
    if isinstance(value, dict):
        return {key: _rendered(item, inputs) for key, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, inputs) for item in value]
    try:
        return template.render(value, {**inputs, "inputs": inputs, "parameters": inputs})
    except TemplateError:
        return value


def _has_template(value: Json) -> bool:
    """Whether anything in it is left to render."""
    return any(template.is_template(text) for text in _texts(value))


def _texts(value: Json) -> list[str]:
    """All texts within a value."""
    if isinstance(value, str):
        return [value] if value else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def _listed(value: Json) -> list[Json]:
    """One thing is a list of one, as in the parameters themselves."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _critical(plan: Plan, seconds: Mapping[str, Decimal]) -> Decimal:
    """Length of the longest chain of steps, each of which waits for the one before."""
    ends: dict[str, Decimal] = {}
    for name in plan.order:
        before = max((ends[each] for each in plan.step_by_id[name].predecessors), default=Decimal(0))
        ends[name] = before + seconds.get(name, Decimal(0))
    return max(ends.values(), default=Decimal(0))


def _least_seconds(
    steps: list[StepEstimate], scopes: Mapping[str, Scope], project: Project, gates: Mapping[str, GateView]
) -> tuple[Range, str]:
    """The time that the limits in force need for all calls of each scope; the scope that needs most decides."""
    slowest, words = Range(), ""
    for scope in dict.fromkeys(scopes.values()):
        calls = [each for each in steps if scopes[each.step] == scope]
        allowed = _allowed(gates.get(str(scope)), limits_for(scope, project.limits))
        for dimension in Dimension:
            limit = allowed(dimension)
            if not limit:
                continue
            used = _used(calls, dimension)
            needed = Range(low=used.low / limit * 60, high=used.high / limit * 60)
            if needed.high > slowest.high:
                slowest, words = needed, f"{dimension.replace('_', ' ')} of {scope}, {limit:,.0f} a minute"
    return slowest, words


def _allowed(gate: GateView | None, configured: Limits) -> Callable[[Dimension], Decimal | None]:
    """The limit of a dimension: the one in force, else the one in this machine's configuration."""

    def allowed(dimension: Dimension) -> Decimal | None:
        if gate is not None and dimension.value in gate.limits:
            return Decimal(str(gate.limits[dimension.value].limit))
        limit = configured.of(dimension)
        return None if limit is None else Decimal(limit)

    return allowed


def _used(calls: list[StepEstimate], dimension: Dimension) -> Range:
    """What these steps take of one limit; a step counts as one request."""
    read, written = _sum(each.input_tokens for each in calls), _sum(each.output_tokens for each in calls)
    match dimension:
        case Dimension.REQUESTS:
            return Range(low=Decimal(len(calls)), high=Decimal(len(calls)))
        case Dimension.TOKENS:
            return read + written
        case Dimension.INPUT_TOKENS:
            return read
        case Dimension.OUTPUT_TOKENS:
            return written
