"""The JSON Schema of a pipeline file, for editors: made from the tables and records that the loader itself uses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator_client.contract import caps, catalog
from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.plan import UNTRUSTED, Json, OnLost
from orchestrator_client.contract.plugins import plugins
from orchestrator_client.loader import dialect, recovery
from orchestrator_client.loader.parameters import spellings_of
from orchestrator_client.loader.selection import NO_REQUIREMENT

_ANYTHING: Json = {}
_CONDITION: Json = {"type": ["string", "boolean"]}
_LIST: Json = {"type": "array", "minItems": 1}
_TEXT: Json = {"type": "string"}
_TEMPLATE: Json = {"type": "string", "pattern": r"\{[{%]|<AUTO[\s>]"}
"""Known only at run time: a template, or a question to a model."""
_STEP_NAMES: Json = {"anyOf": [{"type": "array", "items": _TEXT}, _TEXT]}


def schema() -> dict[str, Json]:
    """JSON Schema 2020-12 of the YAML file. It knows no graph: cycles and missing steps only the loader finds."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pipeline",
        "type": "object",
        "required": ["steps"],
        "additionalProperties": False,
        "properties": {
            **dict.fromkeys((*dialect.TOP_KEYS, *dialect.TOP_INERT), _ANYTHING),
            "id": _id(),
            **dict.fromkeys(("name", "description", "model"), _TEXT),
            "version": {"type": ["string", "number"]},
            **{key: {"type": "object", "additionalProperties": _input()} for key in ("parameters", "inputs")},
            "outputs": {"type": ["object", "array"]},
            "metadata": {"type": "object"},
            "global_error_handlers": _handlers(),
            "quality": {"type": ["object", "array"]},
            "allow_tools": {"anyOf": [{"type": "array", "items": _TEXT}, _TEXT]},
            "steps": {"type": "array", "minItems": 1, "maxItems": caps.STEPS, "items": {"$ref": "#/$defs/step"}},
        },
        "patternProperties": {f"^{dialect.TOP_INERT_PATTERN.pattern}$": {}},
        "$defs": {"step": _step(), **_parameter_records()},
    }


def _id() -> Json:
    """The grammar of ids."""
    return {"type": "string", "pattern": f"^{dialect.ID.pattern}$", "maxLength": caps.ID_CHARACTERS}


def _input() -> Json:
    """A direct value, or the long form."""
    return {
        "if": {"type": "object", "anyOf": [{"required": [key]} for key in sorted(dialect.INPUT_KEYS)]},
        "then": {
            "additionalProperties": False,
            "properties": {
                **dict.fromkeys((*dialect.INPUT_INERT, "default"), _ANYTHING),
                "type": {"enum": sorted(dialect.INPUT_TYPES)},
                "description": _TEXT,
                "required": {"type": ["boolean", "string"]},
                **dict.fromkeys(("choices", "enum"), _LIST),
            },
        },
    }


def _step() -> Json:
    """One step: its own keys, and parameters that fit the tool or model that it names."""
    properties: dict[str, Json] = {
        **dict.fromkeys((*dialect.STEP_KEYS, *dialect.STEP_INERT), _ANYTHING),
        **_loop_keys(),
        "id": {**_id(), "not": {"enum": sorted(dialect.RESERVED_IDS)}},
        "type": {"type": "string"},
        "tool": {"anyOf": [{"enum": _tool_spellings()}, *_foreign_tools()]},
        "action": {"type": "string", "examples": [*catalog.MODEL_ACTIONS, *catalog.ACTION_ALIASES]},
        **{key: _model_fields().get(key, _ANYTHING) for key in dialect.STEP_MODEL_KEYS},
        "model": _TEXT,
        "requires_model": {"anyOf": [{"type": "object"}, {"const": NO_REQUIREMENT}]},
        **{key: {"type": "object"} for key in ("parameters", "inputs")},
        **dict.fromkeys(("dependencies", "depends_on"), _STEP_NAMES),
        **dict.fromkeys(("condition", "if"), _CONDITION),
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": caps.TIMEOUT_SECONDS},
        "retry": {"anyOf": [_whole(0, caps.ATTEMPTS - 1), _retry()]},
        "retry_config": _retry(),
        "backoff_strategy": {"enum": sorted(dialect.BACKOFFS)},
        "max_retries": _whole(1, caps.ATTEMPTS),
        "on_failure": {"type": "string", "examples": sorted(dialect.POLICIES)},
        "on_lost": {"enum": list(OnLost)},
        "level": {"enum": list(Level)},
        "accepts": {"anyOf": [{"type": "array", "items": {"enum": [UNTRUSTED]}}, {"enum": [UNTRUSTED]}]},
        "quality": {"type": ["object", "array", "boolean"]},
        **dict.fromkeys(dialect.STEP_JUMP_KEYS, _TEXT),
        **dict.fromkeys(("on_error", "error_handlers"), _handlers()),
        "continue_on_error": {"type": "boolean"},
    }
    return {
        "type": "object",
        "required": ["id"],
        "anyOf": [{"required": [key]} for key in ("tool", "action", *sorted(_LOOPS))],
        "additionalProperties": False,
        "properties": properties,
        "allOf": [*_by_tool(), *_by_action()],
    }


_LOOPS = dialect.STEP_LOOP_KEYS & {"for_each", "foreach", "items", "create_parallel_queue", "parallel_queue"} | {
    *("while", "while_condition", "loop_condition", "until", "action_loop")
}
"""Keys that make a step a loop, which then needs no action of its own."""


def _loop_keys() -> dict[str, Json]:
    """Keys of loops."""
    number = {"anyOf": [_TEMPLATE, {"type": "integer", "minimum": 1}]}
    items = {"type": ["string", "array", "object"]}
    return {
        **dict.fromkeys(dialect.STEP_LOOP_KEYS, _ANYTHING),
        **dict.fromkeys(("for_each", "foreach", "items"), items),
        **dict.fromkeys(("while", "while_condition", "loop_condition", "until"), _CONDITION),
        **dict.fromkeys(("max_parallel", "max_concurrent", "max_iterations"), number),
        "steps": {**_LIST, "items": {"$ref": "#/$defs/step"}},
        "action_loop": {**_LIST, "items": {"type": ["object", "string"]}},
        **{key: {"type": "object", "required": ["on"]} for key in ("create_parallel_queue", "parallel_queue")},
        **{key: {"type": "boolean"} for key in ("parallel", "break_on_error")},
    }


def _handlers() -> Json:
    """Error handlers: a step's id or an instruction, the long form, or a list of both."""
    one: Json = {
        "anyOf": [
            _TEXT,
            {
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(recovery.KEYS | recovery.INERT, _ANYTHING),
            },
        ]
    }
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _model_fields() -> dict[str, Json]:
    """Parameters of model steps, each a template or what its record says."""
    properties: dict[str, Json] = _record(GenerateParameters, "")["properties"]
    return properties


def _retry() -> Json:
    """The long form of `retry`."""
    limits: dict[str, Json] = {"attempts": _whole(1, caps.ATTEMPTS), "jitter": _ANYTHING}
    limits |= {"strategy": {"type": ["string", "number"]}, "errors": {"type": ["array", "string"]}}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            key: limits.get(field, {"type": "number", "minimum": 0}) for key, field in dialect.RETRY_KEYS.items()
        },
    }


def _whole(low: int, high: int) -> Json:
    """An integer within a range."""
    return {"type": "integer", "minimum": low, "maximum": high}


def _tool_spellings() -> list[str]:
    """Names of tools as they may be written."""
    names = {*dialect.tools(), *catalog.MODEL_TOOLS, *catalog.TOOL_ALIASES}
    return sorted(names | {name.replace("-", "_") for name in names} | catalog.TOOLS.keys())


def _foreign_tools() -> Iterable[Json]:
    """Names of tools from outside the catalogue: by prefix, and of the packages that are installed here."""
    yield {"pattern": f"^({catalog.PYTHON_PREFIX}|{catalog.LANGCHAIN_PREFIX}|{catalog.MCP_PREFIX})"}
    for point in plugins().values():
        yield {"const": point.name} if point.attr else {"pattern": rf"^{re.escape(point.name)}(\.|$)"}


def _by_tool() -> Iterable[Json]:
    """If a step names this tool and this action, its parameters are of this record."""
    for name, spec in catalog.TOOLS.items():
        tool, _, action = name.rpartition(".")
        spelled = [word for word in _tool_spellings() if dialect.canonical_tool(word) == tool]
        when = {"tool": {"enum": spelled}, "action": {"const": action}}
        yield _when(when, name, spec.parameters)


def _by_action() -> Iterable[Json]:
    """If a step without a tool names this action, its parameters are a model's."""
    for name, record in catalog.MODEL_ACTIONS.items():
        spelled = [name, *(alias for alias, meant in catalog.ACTION_ALIASES.items() if meant == name)]
        yield _when({"action": {"enum": spelled}, "tool": False}, name, record)


def _when(properties: dict[str, Json], name: str, record: type[catalog.Parameters]) -> Json:
    """If these properties are so, the parameters are of this record; `False` means that a key is absent."""
    fits: dict[str, Json] = {"properties": {"parameters": {"$ref": f"#/$defs/{name}"}}}
    if needed := _required(record):
        is_model = issubclass(record, GenerateParameters)
        fits |= {"allOf": [_at_either(n) for n in needed]} if is_model else {"required": ["parameters"]}
    required = [key for key, condition in properties.items() if condition is not False]
    return {"if": {"properties": properties, "required": required}, "then": fits}


def _required(record: type[catalog.Parameters]) -> list[tuple[str, ...]]:
    """The spellings of each field that must be there."""
    spellings = spellings_of(record)
    return [spellings[name] for name, field in record.model_fields.items() if field.is_required()]


def _at_either(names: tuple[str, ...]) -> Json:
    """What a model step needs may stand at the step itself."""
    inside = [{"required": ["parameters"], "properties": {"parameters": {"required": [name]}}} for name in names]
    return {"anyOf": [*({"required": [name]} for name in names if name in dialect.STEP_MODEL_KEYS), *inside]}


def _parameter_records() -> dict[str, Json]:
    """The records of all tools and model actions, by their name in the catalog."""
    tools = {name: _record(spec.parameters, spec.description) for name, spec in catalog.TOOLS.items()}
    return {**tools, **{name: _record(record, "Call a model") for name, record in catalog.MODEL_ACTIONS.items()}}


def _record(record: type[catalog.Parameters], description: str) -> Json:
    """One record: each field under all its spellings, and a template wherever a value may stand."""
    fields = record.model_json_schema(by_alias=False)["properties"]
    spellings = spellings_of(record)
    required = [] if issubclass(record, GenerateParameters) else _required(record)
    properties = {name: {"anyOf": [_TEMPLATE, fields[field]]} for field, names in spellings.items() for name in names}
    needed = [{"anyOf": [{"required": [name]} for name in names]} for names in required]
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        **({"allOf": needed} if needed else {}),
    }
