"""Which of the project's models should answer what: chosen as `AUTO` chooses, without asking any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from orchestrator_client.contract.catalog.aids import RoutingParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.models import Strategy, bare_name, provider_of, qualified
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import ModelSection, Project, load_project
from orchestrator_client.contract.tokens import text_tokens
from orchestrator_worker.selection import Choice, Need, choose
from orchestrator_worker.tools.base import ToolContext, ToolResult

_STRATEGIES: Mapping[str, Strategy] = {
    **dict.fromkeys(("cost", "cost_optimized", "cheapest", "budget"), Strategy.COST),
    **dict.fromkeys(
        ("performance", "quality", "quality_optimized", "latency", "latency_optimized"), Strategy.PERFORMANCE
    ),
    **dict.fromkeys(("balanced", "auto", "weighted", "round_robin", "load_balance"), Strategy.BALANCED),
}
"""Strategies as existing files write them."""


def execute(_context: ToolContext, parameters: RoutingParameters) -> ToolResult:
    """Choose a model for a request, or one for each: `{selected_model, routing_reason, strategy, estimated_cost}`.

    Of several also `recommendations` (`results`), each with its `task`, and `total_cost`. Costs are in US dollars at
    list price, for `max_tokens` of answer; null where no price is known.

    Raises:
        ParametersInvalid: there is nothing to route, no model fits, or none is known.
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    requests = parameters.requests if isinstance(parameters.requests, list) else [parameters.requests]
    if not requests or requests == [None]:
        raise ParametersInvalid(
            "multi-model-routing: there is no request; write request: with a text, or a list of them"
        )
    project = load_project()
    strategy, warnings = _strategy(parameters.strategy)
    routed = [_routed(request, strategy, parameters, project) for request in requests]
    costs = [Decimal(str(one["estimated_cost"])) for one in routed if one["estimated_cost"] is not None]
    total = float(sum(costs)) if len(costs) == len(routed) else None
    first = {key: routed[0][key] for key in ("selected_model", "routing_reason", "fallback_models", "estimated_cost")}
    several = {"recommendations": routed, "results": routed, "total_cost": total}
    return ToolResult({**first, "strategy": parameters.strategy, **several}, warnings=warnings)


def _strategy(written: str) -> tuple[Strategy, tuple[str, ...]]:
    name = written.strip().lower().replace("-", "_")
    if name in _STRATEGIES:
        return _STRATEGIES[name], ()
    return Strategy.BALANCED, (f"multi-model-routing: no strategy '{written[:40]}'; it is taken as balanced",)


def _routed(request: Json, strategy: Strategy, parameters: RoutingParameters, project: Project) -> dict[str, Json]:
    """One request and its model."""
    stated = request if isinstance(request, dict) else {}
    text = request if isinstance(request, str) else json.dumps(request, ensure_ascii=False)
    need = Need(input_tokens=text_tokens(text), output_tokens=parameters.max_tokens)
    prices = Prices(project)

    def cost(model: str) -> Decimal | None:
        rate = prices.rate(provider_of(model), bare_name(model))
        return rate.of(need.input_tokens, need.output_tokens) if rate else None

    selection: dict[str, Json] = {"strategy": strategy}
    if parameters.max_usd is not None:
        selection["max_usd"] = parameters.max_usd
    choices = choose(_models(parameters, project), selection, need, cost, project.default_model)
    return _shown(stated.get("task") or stated.get("prompt") or text, choices, cost(choices[0].model))


def _shown(task: Json, choices: list[Choice], cost: Decimal | None) -> dict[str, Json]:
    best = choices[0]
    return {
        "task": task,
        "selected_model": best.model,
        "model": best.model,
        "routing_reason": best.reason,
        "fallback_models": [choice.model for choice in choices[1:]],
        "estimated_cost": None if cost is None else float(cost),
    }


def _models(parameters: RoutingParameters, project: Project) -> dict[str, ModelSection]:
    """The models to choose among: those that the step names, as far as they are described, else the project's."""
    known = {qualified(name): section for name, section in project.models.items()}
    named = [qualified(name) for name in parameters.models]
    return {name: known.get(name, ModelSection()) for name in named} or known
