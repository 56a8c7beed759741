"""Tools that help a pipeline along: reports, memory, advice about prompts and models, messages."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from orchestrator_client.contract.catalog.spec import READS, REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category


class ReportParameters(Parameters):
    title: str = "Report"
    query: str = ""
    context: str = ""
    content: str = Field(default="", validation_alias=AliasChoices("content", "template"))
    """Markdown that stands before the sections made of what follows."""
    findings: Json = None
    recommendations: Json = None
    search_results: Json = None
    extraction_results: Json = None
    """What `web-search` and `headless-browser` left: their results, or lists of hits and of pages."""
    quality_score: float | None = None


class MemoryParameters(Parameters):
    action: str | None = None
    """Wins over the step's own: existing files write `execute` there."""
    namespace: str = "default"
    key: str | None = None
    value: Json = None
    ttl: float | None = Field(default=None, ge=0)
    """Seconds that the value lives; 0 and nothing mean for ever."""


class KeyedMemoryParameters(MemoryParameters):
    key: str


class DelegationParameters(Parameters):
    task: str
    requirements: dict[str, Json] = Field(default_factory=dict)
    models: list[str | dict[str, Json]] = Field(default_factory=list)
    """Names, or `{model, capabilities, quality, cost}`: quality from 0 to 1, cost of the call in US dollars."""
    cost_weight: float = Field(default=0.5, ge=0)
    quality_weight: float = Field(default=0.5, ge=0)


class RoutingConstraints(BaseModel):
    """What the choice must keep to, in US dollars."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    total_budget: float | None = Field(default=None, ge=0)
    max_budget_per_task: float | None = Field(default=None, ge=0)


class RoutingParameters(Parameters):
    requests: Json = Field(
        default=None, validation_alias=AliasChoices("request", "requests", "tasks", "task", "prompt", "text")
    )
    """What is to be answered: a text or a mapping, or a list of them."""
    models: list[str] = Field(default_factory=list)
    strategy: str = Field(
        default="balanced", validation_alias=AliasChoices("strategy", "routing_strategy", "optimization_goal")
    )
    max_tokens: int = Field(default=1000, gt=0)
    """Of each answer."""
    max_usd: float | None = Field(default=None, ge=0, validation_alias=AliasChoices("max_usd", "max_cost"))
    constraints: RoutingConstraints = RoutingConstraints()


class OptimizationParameters(Parameters):
    prompt: str
    model: str = ""
    optimization_goals: Json = Field(None, validation_alias=AliasChoices("optimization_goals", "optimization_goal"))


class DebugParameters(Parameters):
    message: Json = ""
    data: Json = None


TOOLS: Mapping[str, ToolSpec] = {
    **specs(
        "mcp-memory",
        Category.MCP_INTEGRATION,
        ("store", KeyedMemoryParameters, "Keep a value for later steps", REPEATS),
        ("retrieve", KeyedMemoryParameters, "Read a value that was kept", READS),
        ("list", MemoryParameters, "List the keys of a namespace", READS),
        ("clear", MemoryParameters, "Forget a namespace", REPEATS),
        ("delete", KeyedMemoryParameters, "Forget one value", REPEATS),
    ),
    **specs(
        "report-generator",
        Category.REPORT,
        ("generate", ReportParameters, "Write a Markdown report of what was found", READS),
    ),
    **specs(
        "task-delegation",
        Category.LLM,
        ("execute", DelegationParameters, "Choose among the models that are offered", READS),
    ),
    **specs(
        "multi-model-routing",
        Category.LLM,
        ("execute", RoutingParameters, "Choose among the project's models", READS),
    ),
    **specs(
        "prompt-optimization",
        Category.LLM,
        ("execute", OptimizationParameters, "Shorten a prompt by fixed rules", READS),
    ),
    **specs("debug", Category.SYSTEM, ("log", DebugParameters, "Write a message to the worker's log", REPEATS)),
}
