"""The keys and names of the YAML dialect: which are read, which say nothing to this release, which come later.

Whoever adds a feature moves its keys from the later tables to the known ones; nothing else decides what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator_client.contract import catalog
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems

TOP_KEYS = frozenset(
    {"id", "name", "description", "version", "parameters", "inputs", "outputs", "metadata", "model", "steps"}
    | {"config", "variables", "data", "env", "global_error_handlers", "allow_tools", "quality"}
)

NAMESPACES = ("config", "variables", "data", "env")
"""Top-level keys whose value templates read by the key's name."""

TOP_INERT: Mapping[str, str] = {
    "context": "set timeout and retry on the steps",
    **dict.fromkeys(
        ("enhanced_inputs", "enhanced_outputs", "enhanced_steps", "advanced_steps", "pipeline", "experts"),
        "only inputs, steps and outputs are run",
    ),
    "error_handling": "set on_failure and retry on the steps, or global_error_handlers here",
    **dict.fromkeys(("type", "monitoring", "optimization", "selection", "personalities", "tags", "author"), ""),
}
"""Top-level keys of existing files that have no effect, with what to do instead."""

TOP_INERT_PATTERN = re.compile(r"v\d+_\w+")
"""Documentation files carry whole pipelines under keys such as `v1_simple_generation`."""

INPUT_KEYS = frozenset({"type", "default", "required", "choices", "enum", "description"})
INPUT_INERT = frozenset(
    {"validation", "example", "examples", "range", "min", "max", "minimum", "maximum", "pattern", "format", "items"}
    | {"properties", "schema", "title", "name"}
)
"""Keys of an input's declaration that are not enforced."""

INPUT_TYPES: Mapping[str, str] = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object", "any")},
    **dict.fromkeys(("str", "text", "file"), "string"),
    **dict.fromkeys(("dict", "map", "mapping"), "object"),
    "list": "array",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "json": "any",
}
"""Types of inputs as they may be written, to those of the plan."""

OUTPUT_KEYS = frozenset({"value", "source", "type", "description", "schema", "format", "location", "name"})
"""Keys of an output's long form; `value` or `source` is the template, the others are labels."""

STEP_MODEL_KEYS = frozenset(
    {"model", "fallback_models", "selection", "requires_model", "tools", "response_format", "schema", "stream"}
    | {"cache", "credential", "max_turns"}
)
"""Parameters of model steps that may stand at the step itself as well."""

STEP_JUMP_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("on_false", "else"), "skipped"),
    **dict.fromkeys(("on_success", "goto"), "succeeded"),
}
"""Step keys that name the step to go on with, to how the step must have ended for it."""

STEP_KEYS = (
    STEP_MODEL_KEYS
    | STEP_JUMP_KEYS.keys()
    | frozenset(
        {
            "id",
            "name",
            "description",
            "metadata",
            "tool",
            "action",
            "parameters",
            "inputs",
            "pipeline",
            "dependencies",
            "depends_on",
        }
        | {"condition", "if", "timeout", "retry", "retry_config", "backoff_strategy", "max_retries", "on_lost", "level"}
        | {"quality", "accepts"}
        | {"on_failure", "continue_on_error", "on_error", "error_handlers", "fallback_value", "fallback_data"}
    )
)

STEP_LOOP_KEYS = frozenset(
    {"for_each", "foreach", "items", "create_parallel_queue", "parallel_queue", "while", "while_condition"}
    | {"loop_condition", "until", "action_loop", "steps", "type", "max_parallel", "max_concurrent", "parallel"}
    | {
        "max_iterations",
        "loop_name",
        "loop_var",
        "iteration_timeout",
        "break_on_error",
        "add_completion_task",
        "collect_results",
    }
)
"""Step keys that make a step a loop, give its body, or qualify it."""

STEP_SILENT = frozenset({"add_completion_task", "collect_results"})
"""Step keys that ask for what is always so."""

STEP_INERT = frozenset({"produces", "location", "tags", "outputs"})

STEP_LATER: Mapping[str, str] = {
    "dynamic_routing": "jumps that are found at run time",
}
"""Step keys of the dialect that are refused, and what each stands for."""

STEP_TYPES_OF_PIPELINES = frozenset({"workflow", "sub_pipeline", "subgraph"})
"""Types of a step that runs another pipeline."""

STEP_TYPES = frozenset({"loop", "parallel_map"}) | STEP_TYPES_OF_PIPELINES
"""What `type` of a step may say; other words have no effect."""

POLICIES: Mapping[str, str] = {"fail": "fail", "continue": "continue", "skip": "skip", "retry": "continue"}
"""`on_failure` as written, to what it means. `retry` goes on, because attempts have their own key."""

RETRY_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("attempts", "max_attempts", "max_retries"), "attempts"),
    **dict.fromkeys(("delay", "initial_seconds", "initial_delay", "retry_delay", "delay_seconds"), "initial_seconds"),
    **dict.fromkeys(("factor", "backoff_factor", "backoff_multiplier", "multiplier", "exponential_base"), "factor"),
    **dict.fromkeys(("max_delay", "max_seconds"), "max_seconds"),
    **dict.fromkeys(("backoff", "backoff_strategy"), "strategy"),
    "jitter": "jitter",
    "growth_seconds": "growth_seconds",
    **dict.fromkeys(("retry_on", "retry_on_errors", "error_types", "errors"), "errors"),
}
"""Keys of the long form of `retry`, to the field of the plan's record, or to what is made into some."""

BACKOFFS: Mapping[str, float] = {
    "exponential": 2.0,
    **dict.fromkeys(("fixed", "constant", "linear", "none"), 1.0),
}
"""Ways to wait, to the factor of the plan's record."""

TOOLS_LATER: Mapping[str, str] = {
    "image-generation": "ask the provider's API with http.post, or call a function as python:package.module:function",
    "audio-processing": "write action: generate with the recording's path under files",
    "video-processing": "write action: generate with its pictures under images, or its sound under files",
    "fact-checker": "search with web-search, and let a model judge: action: generate with the claim and what was found",
    "database": "call a function of yours as python:package.module:function",
}
"""Tools of the dialect that are refused, and what does the same here."""

TOOL_ACTIONS_LATER: Mapping[str, str] = {
    "task-delegation.batch_process": (
        'write for_each: with the tasks, max_parallel: and action: generate with prompt: "{{ item.task }}"'
    ),
}
"""Actions of tools that are refused, and what does the same here."""

ASKED_OF_MODELS: Mapping[str, str] = {"validation.extract_structured": "the data that the schema describes"}
"""Actions of tools that only a model can do, to what its analysis of `text` is about."""

IMPLIED_ACTIONS: Mapping[str, Mapping[str, str]] = {"headless-browser": {"url": "scrape", "query": "search"}}
"""Tools whose parameters tell the action where a step does not: parameter to action."""

ACTIONS_LATER: Mapping[str, str] = {
    "evaluate_condition": "write the condition on the steps that depend on it",
    **dict.fromkeys(("create_parallel_queue", "action_loop"), "write it as a key of the step, without an action"),
    **dict.fromkeys(("control_flow", "loop_complete", "capture_result"), ""),
}
"""Actions of steps without a tool that are refused, and what does the same here."""

RESERVED_IDS = frozenset(
    {"inputs", "parameters", "steps", "outputs", "execution", "state", "config", "env", "variables"}
    | {"timestamp", "current_timestamp", "current_date", "output_path", "pipeline_id", "execution_id"}
    | {"item", "index", "loop", "iteration", "self", "true", "false", "none", "null"}
    | {"and", "or", "not", "in", "is", "if", "else", "for", "set"}
    | {"items", "keys", "values", "get"}
)
"""Ids that a template would read as something else, compared without case."""

RUN_NAMES = frozenset(
    {"execution", "timestamp", "current_timestamp", "current_date", "output_path", "pipeline_id", "execution_id"}
    | {"parameters", "inputs", "steps", "env", "null", "none", "true", "false"}
)
"""Names that templates may read beside steps and declared inputs."""

BINDINGS = frozenset(
    {"item", "index", "is_first", "is_last", "position", "length", "remaining", "has_next", "has_prev"}
    | {"iteration", "loop_state", "loop_id", "loop_name", "loops", "loop"}
)
"""Names that every loop binds for its body."""

ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")

AUTO = "<AUTO"
"""How a tag starts that asks a model to fill a value in, or, in the place of a model, for the choice of one."""


def not_yet(problems: Problems, what: str, at: Place, remedy: str = "") -> None:
    """Refuse a part of the dialect that this release does not have."""
    problems.error(Code.NOT_YET, f"{what} is not in this release", at, remedy)


def canonical_tool(written: str) -> str:
    """A tool's name with hyphens and without its aliases: `file` and `http_client` have one spelling each."""
    name = written.strip().lower().replace("_", "-")
    return catalog.TOOL_ALIASES.get(name, name)


def tools() -> frozenset[str]:
    """Tools of this release."""
    return frozenset(name.rpartition(".")[0] for name in catalog.TOOLS)
