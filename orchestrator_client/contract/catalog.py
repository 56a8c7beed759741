"""The tools and model actions that every worker has: their names, their parameters and what may be done twice.

A plan is checked against this page before it is submitted, and a worker checks the rendered parameters against the
same records before it calls anything. Parameters that a record does not name are ignored, as existing files expect;
`orchestrator validate` warns of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from orchestrator_client.contract.caps import TIMEOUT_SECONDS
from orchestrator_client.contract.plan import Json


class Parameters(BaseModel):
    """Base of all parameter records. Templates are typed natively, so a number may stand where text is wanted."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, frozen=True, coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One action of a tool. `idempotent`: doing it twice leaves what doing it once leaves, so it may be retried."""

    name: str
    parameters: type[Parameters]
    description: str
    idempotent: bool = False


class PathParameters(Parameters):
    path: str


class WriteParameters(PathParameters):
    content: Json = ""
    """Text; anything else is written as JSON."""


class TransferParameters(Parameters):
    source: str = Field(validation_alias=AliasChoices("source", "path", "src"))
    destination: str = Field(validation_alias=AliasChoices("destination", "dest", "target"))


class ListParameters(Parameters):
    path: str = "."
    pattern: str = "*"
    """Glob, matched against names; `**/*.py` descends."""


class HttpParameters(Parameters):
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Json] = Field(default_factory=dict, validation_alias=AliasChoices("query", "params"))
    json_body: Json = Field(default=None, validation_alias=AliasChoices("json", "json_body"))
    body: str | None = Field(default=None, validation_alias=AliasChoices("body", "data", "content"))
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds for the whole exchange."""
    follow_redirects: bool = True


class RequestParameters(HttpParameters):
    method: str = "GET"


class TerminalParameters(Parameters):
    command: str | list[str]
    """A line for the shell, or a list that is executed as it stands."""
    working_dir: str = "."
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds; the command and all its children are killed then."""
    env: dict[str, str] = Field(default_factory=dict)
    """Added to PATH, HOME, LANG, LC_ALL, TZ and TMPDIR; the worker's own environment is not passed on."""
    capture_output: bool = True
    """Whether stdout and stderr are kept."""


class PythonParameters(Parameters):
    function: str
    """`package.module:function`, importable by the worker."""
    args: list[Json] = Field(default_factory=list)
    kwargs: dict[str, Json] = Field(default_factory=dict)


class DataParameters(Parameters):
    data: Json = Field(validation_alias=AliasChoices("data", "input_data"))
    """Rows (a list of mappings), a mapping that holds them, one mapping, or text in JSON or CSV."""
    operation: dict[str, Json] = Field(default_factory=dict)
    output_format: str | None = Field(default=None, validation_alias=AliasChoices("output_format", "format"))
    """`csv` leaves the result's `data` as CSV text; otherwise it is rows."""


class TransformParameters(DataParameters):
    transformations: list[Json] = Field(
        default_factory=list, validation_alias=AliasChoices("transformations", "operations")
    )
    """As in `operation.transformations`, after which they come."""


class AggregateParameters(DataParameters):
    group_by: Json = None
    """A column or a list of them; also as `operation.group_by`."""
    aggregations: dict[str, Json] = Field(default_factory=dict)
    """Column to function, or name to `{column, function}`; also as `operation.aggregations`."""


class PivotParameters(DataParameters):
    index: Json = None
    columns: Json = None
    values: Json = None
    """Each a column or a list of them."""
    aggfunc: str = "sum"
    fill_value: Json = None


class MergeParameters(Parameters):
    datasets: list[Json]
    """Each `{name, data}`."""
    merge_strategy: Literal["combine", "join"] = "combine"
    join_on: Json = None
    join_type: Literal["inner", "left", "right", "outer"] = "inner"


class CleanParameters(DataParameters):
    remove_duplicates: bool = True
    handle_missing: Literal["drop", "fill", "forward_fill", "backward_fill", "keep"] = "drop"
    fill_value: Json = ""


class ValidationParameters(Parameters):
    data: Json
    schema_: Json = Field(validation_alias=AliasChoices("schema", "schema_"))
    mode: Literal["strict", "lenient", "permissive", "report_only"] = Field(
        default="strict", validation_alias=AliasChoices("mode", "validation_level")
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _lower_case(cls, mode: Json) -> Json:
        return mode.lower() if isinstance(mode, str) else mode


class CodeParameters(Parameters):
    code: str
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds; the code and all that it started are killed then."""


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


class OptimizationParameters(Parameters):
    prompt: str
    model: str = ""
    optimization_goals: Json = Field(None, validation_alias=AliasChoices("optimization_goals", "optimization_goal"))


class DebugParameters(Parameters):
    message: Json = ""
    data: Json = None


class TextParameters(Parameters):
    text: Json = Field(validation_alias=AliasChoices("text", "content"))


class CalculateParameters(Parameters):
    expression: str
    variables: dict[str, int | float] = Field(default_factory=dict)


class SearchParameters(Parameters):
    query: str = Field(min_length=1)
    max_results: int = Field(default=10, ge=1, le=100)


class PageParameters(Parameters):
    url: str
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)


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


def _specs(tool: str, *specs: tuple[str, type[Parameters], str, bool]) -> dict[str, ToolSpec]:
    return {
        f"{tool}.{action}": ToolSpec(f"{tool}.{action}", parameters, description, idempotent)
        for action, parameters, description, idempotent in specs
    }


TOOLS: Mapping[str, ToolSpec] = {
    **_specs(
        "filesystem",
        ("read", PathParameters, "Read a text file", True),
        ("write", WriteParameters, "Write a file, creating its folders", True),
        ("append", WriteParameters, "Append to a file, creating it", False),
        ("copy", TransferParameters, "Copy a file", True),
        ("move", TransferParameters, "Move or rename a file", False),
        ("delete", PathParameters, "Delete a file, or an empty folder", False),
        ("list", ListParameters, "List a folder", True),
        ("exists", PathParameters, "Say whether a path exists, and what it is", True),
    ),
    **_specs(
        "http",
        ("get", HttpParameters, "HTTP GET", True),
        ("head", HttpParameters, "HTTP HEAD", True),
        ("post", HttpParameters, "HTTP POST", False),
        ("put", HttpParameters, "HTTP PUT", True),
        ("patch", HttpParameters, "HTTP PATCH", False),
        ("delete", HttpParameters, "HTTP DELETE", True),
        ("request", RequestParameters, "HTTP request with any method", False),
    ),
    **_specs("terminal", ("execute", TerminalParameters, "Run a command", False)),
    **_specs("python", ("call", PythonParameters, "Call an importable Python function", False)),
    **_specs(
        "data-processing",
        ("filter", DataParameters, "Keep the rows whose fields equal the criteria", True),
        ("transform", TransformParameters, "Apply a list of transformations to rows", True),
        ("aggregate", AggregateParameters, "Group rows and aggregate columns", True),
        ("pivot", PivotParameters, "Pivot rows into a table", True),
        ("convert", DataParameters, "Convert between JSON and CSV", True),
        ("profile", DataParameters, "Describe columns: types, missing and distinct values", True),
        ("merge", MergeParameters, "Combine or join datasets", True),
        ("clean", CleanParameters, "Drop duplicates and missing values", True),
    ),
    **_specs("validation", ("validate", ValidationParameters, "Validate data against a JSON Schema", True)),
    **_specs("python-executor", ("execute", CodeParameters, "Run Python code in a process of its own", False)),
    **_specs(
        "mcp-memory",
        ("store", KeyedMemoryParameters, "Keep a value for later steps", True),
        ("retrieve", KeyedMemoryParameters, "Read a value that was kept", True),
        ("list", MemoryParameters, "List the keys of a namespace", True),
        ("clear", MemoryParameters, "Forget a namespace", True),
        ("delete", KeyedMemoryParameters, "Forget one value", True),
    ),
    **_specs("report-generator", ("generate", ReportParameters, "Write a Markdown report of what was found", True)),
    **_specs("task-delegation", ("execute", DelegationParameters, "Choose among the models that are offered", True)),
    **_specs("prompt-optimization", ("execute", OptimizationParameters, "Shorten a prompt by fixed rules", True)),
    **_specs("debug", ("log", DebugParameters, "Write a message to the worker's log", True)),
    **_specs("text", ("count_words", TextParameters, "Count words, characters and lines", True)),
    **_specs("text", ("calculate", CalculateParameters, "Work out an arithmetic expression", True)),
    **_specs("web-search", ("search", SearchParameters, "Search the web", True)),
    **_specs(
        "headless-browser",
        ("scrape", PageParameters, "Fetch a page: title, text and links, without running its scripts", True),
        ("extract", PageParameters, "Fetch a page: main text and metadata, without running its scripts", True),
        ("search", SearchParameters, "Search the web", True),
    ),
}
"""By registry name, `<tool>.<action>`."""

MODEL_ACTIONS: Mapping[str, type[Parameters]] = {
    "generate": GenerateParameters,
    "analyze": AnalyzeParameters,
    "generate-structured": StructuredParameters,
}
"""Actions of model steps, by the name that a plan keeps."""

TOOL_ALIASES: Mapping[str, str] = {
    "file": "filesystem",
    "http-client": "http",
    "external-api": "http",
    "process": "data-processing",
    "validate": "validation",
}

ACTION_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("generate_text", "generate-text", "llm_call", "llm_generate", "generate_code"), "generate"),
    "generate_structured": "generate-structured",
    **dict.fromkeys(("analyze_text", "analyze-text"), "analyze"),
}

TOOL_ACTIONS: Mapping[str, str] = {"count_words": "text.count_words", "calculate": "text.calculate"}
"""Actions that existing files name without a tool, to the tool's registry name."""

PYTHON_PREFIX = "python:"
"""`tool: python:package.module:function` calls the function with the step's parameters as keyword arguments."""

ATTEMPTS_IF_REPEATABLE = 3
"""Attempts of a step that may be done twice and whose plan does not say."""


def default_action(tool: str) -> str | None:
    """The one action of a tool that has only one."""
    actions = actions_of(tool)
    return actions[0] if len(actions) == 1 else None


def actions_of(tool: str) -> list[str]:
    """Actions of a tool, without its name; empty where there is no such tool."""
    return [name.rpartition(".")[2] for name in TOOLS if name.rpartition(".")[0] == tool]


def idempotent(uses: str) -> bool:
    """Whether a tool step may be done twice. Unknown tools may not."""
    spec = TOOLS.get(uses)
    return spec is not None and spec.idempotent


def suggestion(word: str, known: Any) -> str:
    """`did you mean 'x'?`, or nothing where no known word comes near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""
