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
    **dict.fromkeys(("cost", "cost_optimized", "minimize_cost", "cheapest", "budget"), Strategy.COST),
    **dict.fromkeys(
        ("performance", "quality", "quality_optimized", "latency", "latency_optimized"), Strategy.PERFORMANCE
    ),
    **dict.fromkeys(("balanced", "auto", "weighted", "capability_based"), Strategy.BALANCED),
    **dict.fromkeys(("round_robin", "load_balance", "load_balanced"), Strategy.BALANCED),
}
"""Strategies as existing files write them."""


def execute(_context: ToolContext, parameters: RoutingParameters) -> ToolResult:
    """Choose a model for a request, or one for each: `{selected_model, routing_reason, strategy, estimated_cost}`.

    Of several also `recommendations` (`results`), each with its `task`, `models_used` (`models_selected`), each once,
    and `total_cost` (`total_estimated_cost`). Costs are in US dollars at list price, for `max_tokens` of answer; null
    where no price is known. `current_load` and `average_latency` are null: nothing here measures them. No request is
    answered.

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
    routed = [_routed(request, strategy, parameters, project, len(requests)) for request in requests]
    costs = [Decimal(str(one["estimated_cost"])) for one in routed if one["estimated_cost"] is not None]
    total = float(sum(costs)) if len(costs) == len(routed) else None
    used: list[Json] = list(dict.fromkeys(one["selected_model"] for one in routed))
    first = {key: routed[0][key] for key in ("selected_model", "routing_reason", "fallback_models", "estimated_cost")}
    output: dict[str, Json] = {
        **first,
        "strategy": parameters.strategy,
        **dict.fromkeys(("recommendations", "results"), routed),
        **dict.fromkeys(("models_used", "models_selected"), used),
        **dict.fromkeys(("total_cost", "total_estimated_cost"), total),
        **dict.fromkeys(("current_load", "average_latency")),
    }
    return ToolResult(output, warnings=warnings)


def _strategy(written: str) -> tuple[Strategy, tuple[str, ...]]:
    name = written.strip().lower().replace("-", "_")
    if name in _STRATEGIES:
        return _STRATEGIES[name], ()
    return Strategy.BALANCED, (f"multi-model-routing: no strategy '{written[:40]}'; it is taken as balanced",)


def _routed(
    request: Json, strategy: Strategy, parameters: RoutingParameters, project: Project, count: int
) -> dict[str, Json]:
    """One of `count` requests, and its model."""
    stated = request if isinstance(request, dict) else {}
    text = request if isinstance(request, str) else json.dumps(request, ensure_ascii=False)
    need = Need(input_tokens=text_tokens(text), output_tokens=parameters.max_tokens)
    prices = Prices(project)

    def cost(model: str) -> Decimal | None:
        rate = prices.rate(provider_of(model), bare_name(model))
        return rate.of(need.input_tokens, need.output_tokens) if rate else None

    selection: dict[str, Json] = {"strategy": strategy}
    if (most := _most_usd(parameters, count)) is not None:
        selection["max_usd"] = most
    choices = choose(_models(parameters, project), selection, need, cost, project.default_model)
    return _shown(stated.get("task") or stated.get("prompt") or text, choices, cost(choices[0].model))


def _most_usd(parameters: RoutingParameters, count: int) -> float | None:
    """What one of `count` requests may cost: a budget for all of them is for each alike."""
    constraints = parameters.constraints
    total = None if constraints.total_budget is None else constraints.total_budget / count
    stated = (parameters.max_usd, constraints.max_budget_per_task, total)
    return min((most for most in stated if most is not None), default=None)


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
