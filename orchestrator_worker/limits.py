"""What a model call asks of its gate: tokens it may use, money it may cost, and which request it is. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL, Scope, limits_for
from orchestrator_client.contract.models import bare_name, provider_of, qualified
from orchestrator_client.contract.plan import Json, Plan, Step
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import BudgetSection, Project
from orchestrator_client.contract.tokens import MEDIA_TOKENS, MESSAGE_TOKENS, most_tokens, text_tokens
from orchestrator_worker.providers.base import Media, ModelRequest
from orchestrator_worker.records import OpenRun

LONGEST_REPLY_TOKENS = 4_096
"""What a reply of a model may have where neither the step nor the model's section says; only budgets go by it."""

MEDIA_MOST = 20
"""Times `MEDIA_TOKENS` that an image or document has at most, for money's sake."""

CACHE_SECONDS = 24 * 3600
"""Life of a cached answer whose step does not say."""

LONGEST_CACHE_SECONDS = 400 * 24 * 3600
"""Longest that a step may ask for."""

NANO = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model call, ready to be made once a gate lets it through."""

    models: tuple[str, ...]
    """`provider/name`, in the order in which they are asked."""
    request: ModelRequest
    """As for the first of them."""
    selection: str = ""
    """Why the first of them, where the plan left the choice."""
    cache_seconds: int = 0
    """0: the answer is neither kept nor taken from the cache."""


class Asking:
    """Describes calls to their gates."""

    def __init__(self, project: Project, prices: Prices) -> None:
        self._project, self._prices = project, prices
        self._models = {qualified(model): section for model, section in project.models.items()}

    def describe(self, prepared: Prepared, run: OpenRun, plan: Plan, step: Step) -> str:
        """The call as JSON, in the form that `admission.lua` takes. What is not known is left out."""
        entry: dict[str, Json] = {
            "candidates": [self._candidate(model, prepared) for model in prepared.models],
            "budgets": list(self._budgets(run)),
            "tenant": run.tenant,
            "tags": list(run.tags),
            "history": names.history(plan.id, step.id),
        }
        if prepared.cache_seconds:
            entry |= {"digest": digest_of(prepared), "life_s": prepared.cache_seconds}
        return json.dumps(entry, separators=(",", ":"))

    def _candidate(self, model: str, prepared: Prepared) -> dict[str, Json]:
        provider, request = provider_of(model), prepared.request
        scope = Scope(provider, request.credential or DEFAULT_CREDENTIAL, bare_name(model))
        configured = limits_for(scope, self._project.limits).model_dump(exclude_none=True)
        section = self._models.get(model)
        longest = request.max_tokens or (section.max_output_tokens if section else None) or LONGEST_REPLY_TOKENS
        rate = self._prices.rate(provider, bare_name(model))
        known = {
            "output": request.max_tokens,
            "usd": rate and {"input": float(rate.input_usd * NANO), "output": float(rate.output_usd * NANO)},
        }
        return {
            "scope": str(scope),
            "queue": names.model_queue(provider),
            "model": f"{provider}/{bare_name(model)}",
            "input": input_tokens(request),
            "most": most_input_tokens(request),
            "longest": longest,
            "config": json.dumps(_by_dimension(configured)),
            **{name: value for name, value in known.items() if value is not None},
        }

    def _budgets(self, run: OpenRun) -> Iterator[dict[str, Json]]:
        """Every budget that the run's calls are charged to."""
        budgets = self._project.budgets
        if run.budget is not None:
            yield {"id": f"run:{run.root}", "cap": nano(run.budget.usd), "on": run.budget.on_breach}
        elif budgets.run is not None:
            yield {"id": f"run:{run.root}", "cap": nano(budgets.run.usd), "on": budgets.run.on_breach}
        sections = [(f"tag:{tag}", budgets.tag.get(tag)) for tag in run.tags]
        sections.append((f"tenant:{run.tenant}", budgets.tenant.get(run.tenant)))
        for identity, section in sections:
            if section is not None:
                yield {
                    "id": f"{identity}:{period(section)}",
                    "cap": nano(section.usd),
                    "on": section.on_breach,
                    "ttl_s": names.BUDGET_TTL_SECONDS,
                }


def period(section: BudgetSection, now: datetime | None = None) -> str:
    """The period of a budget that is under way: `2026-11-22`, `2026-11` or `ever`, in UTC."""
    now = now or datetime.now(UTC)
    return {"day": f"{now:%Y-%m-%d}", "month": f"{now:%Y-%m}", "ever": "ever"}[section.per]


def nano(usd: Decimal) -> int:
    """Dollars in billionths, rounded up."""
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def input_tokens(request: ModelRequest) -> int:
    """Tokens of a request, roughly; see `contract.tokens`."""
    texts, media = _weighed(request)
    return sum(map(text_tokens, texts)) + MESSAGE_TOKENS * len(request.messages) + MEDIA_TOKENS * media


def most_input_tokens(request: ModelRequest) -> int:
    """Tokens that a request has at most."""
    texts, media = _weighed(request)
    most = sum(map(most_tokens, texts)) + 4 * MESSAGE_TOKENS * (len(request.messages) + len(request.tools) + 1)
    return most + MEDIA_MOST * MEDIA_TOKENS * media


def _weighed(request: ModelRequest) -> tuple[list[str], int]:
    """All texts of a request, and how many images or documents it has."""
    texts = [json.dumps(tool.parameters) + tool.name + tool.description for tool in request.tools]
    texts += [json.dumps(request.schema)] if request.schema is not None else []
    media = 0
    for message in request.messages:
        texts.append(message.text)
        texts += [json.dumps(call.arguments) for call in message.calls]
        texts += [returned.content for returned in message.returns]
        media += sum(isinstance(part, Media) for part in message.parts)
    return texts, media


def digest_of(prepared: Prepared) -> str:
    """SHA-256 of the whole request: two calls of one digest may share an answer."""
    asked: dict[str, Any] = {**asdict(prepared.request), "models": prepared.models}
    # When an answer must be there says nothing of what it is.
    del asked["timeout_seconds"], asked["model"]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=_bytes)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _bytes(value: object) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _by_dimension(configured: dict[str, Json]) -> dict[str, Json]:
    """Limits under the names of their dimensions, as `gates.lua` has them."""
    return {name.removesuffix("_per_minute"): limit for name, limit in configured.items()}
