"""The parameters of a step as written, checked against the record of what it uses, as far as known before the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from pydantic import AliasChoices, ValidationError
from pydantic_core import ErrorDetails

from orchestrator_client.contract import catalog
from orchestrator_client.contract.catalog.code import CODE
from orchestrator_client.contract.catalog.servers import SERVERS
from orchestrator_client.contract.tool import LANGCHAIN_CONFIG, LANGCHAIN_ERRORS
from orchestrator_client.loader import code, foreign, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.references import has_template
from orchestrator_client.loader.text.nodes import Mapping, kind_of, plain
from orchestrator_client.loader.uses import Use

_SELECTS_ACTION = "action"
"""Parameter by which existing files choose an action; the tool itself does not see it."""

_PROMPTS: dict[str, tuple[str, ...]] = {
    "generate": ("prompt", "messages"),
    "generate-structured": ("prompt", "messages"),
    "analyze": ("prompt", "text", "messages"),
}
"""What a model can be asked with: one of these must be there."""


def written(step: Mapping, problems: Problems) -> Mapping:
    """The parameters, with the `inputs` of a step, which are the same; none where they are no mapping."""
    merged = Mapping(*step.place_of("parameters"))
    for key in ("inputs", "parameters"):
        node = step.get(key)
        if isinstance(node, Mapping):
            merged = Mapping(*node.place, {**merged.entries, **node.entries})
        elif node is not None:
            problems.error(Code.WRONG_TYPE, f"{key} must be a mapping, found {kind_of(node)}", node.place)
    return merged


def check(parameters: Mapping, use: Use, problems: Problems) -> None:
    """Add what is missing, unknown or of the wrong type. Templated values are only known to be there."""
    if use.uses.startswith(catalog.LANGCHAIN_PREFIX):
        _check_langchain(parameters, problems)
    if use.record is None:
        return
    if use.uses.startswith(f"{SERVERS}."):
        foreign.warn_of_config(parameters, problems)
    if use.uses == CODE:
        code.check(parameters.get("code"), problems)
    spellings = spellings_of(use.record)
    _check_presence(parameters, use, spellings, problems)
    known = {spelling for field in spellings.values() for spelling in field}
    # What a model is asked for stands beside the result, for later steps to read.
    asked = {key for key, entry in parameters.entries.items() if tags.in_node(entry.value)}
    for key in parameters.entries.keys() - known - asked - {_SELECTS_ACTION}:
        remedy = problems.did_you_mean(key, known)
        problems.warn(Code.UNKNOWN_PARAMETER, f"{use.uses} ignores {quoted(key)}", parameters.place_of(key), remedy)
    for field, message in _type_errors(parameters, use.record):
        key = next((spelling for spelling in spellings.get(field, ()) if spelling in parameters.entries), field)
        at = parameters.place_of(key)
        value = parameters.entries.get(key)
        found = f", found {kind_of(value.value)}" if value else ""
        problems.error(Code.PARAMETER_TYPE, f"{use.uses}: {quoted(key)} {message}{found}", at)


def _check_langchain(parameters: Mapping, problems: Problems) -> None:
    """What a LangChain tool is made with is a mapping, and the pattern of its errors a regular expression."""
    config, pattern = parameters.get(LANGCHAIN_CONFIG), parameters.get(LANGCHAIN_ERRORS)
    if config is not None and not isinstance(config, Mapping) and not has_template(config):
        message = f"{quoted(LANGCHAIN_CONFIG)} must be a mapping, found {kind_of(config)}"
        problems.error(Code.PARAMETER_TYPE, message, config.place)
    if pattern is None or has_template(pattern):
        return
    try:
        re.compile(plain(pattern))
    except (re.error, TypeError) as error:
        message = f"{quoted(LANGCHAIN_ERRORS)} is no regular expression: {error}"
        problems.error(Code.PARAMETER_TYPE, message, pattern.place)


def _check_presence(parameters: Mapping, use: Use, spellings: dict[str, tuple[str, ...]], problems: Problems) -> None:
    """Required fields must be there under one of their names, and a model must be asked something."""
    for field, names in spellings.items():
        if use.record and use.record.model_fields[field].is_required() and not parameters.entries.keys() & set(names):
            remedy = f"add {names[0]} under parameters"
            problems.error(Code.MISSING_PARAMETER, f"{use.uses} needs {quoted(names[0])}", parameters.place, remedy)
    prompts = _PROMPTS.get(use.uses, ())
    if prompts and not parameters.entries.keys() & set(prompts):
        remedy = f"add {prompts[0]} under parameters"
        problems.error(Code.MISSING_PARAMETER, f"{use.uses} needs {' or '.join(prompts)}", parameters.place, remedy)


def _type_errors(parameters: Mapping, record: type[catalog.Parameters]) -> Iterator[tuple[str, str]]:
    """Field or alias, and what is wrong with it, of every value that is known already."""
    known = {key: plain(entry.value) for key, entry in parameters.entries.items() if not has_template(entry.value)}
    try:
        record.model_validate(known)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            if detail["type"] != "missing":
                yield str(detail["loc"][0]), _worded(detail)


def _worded(detail: ErrorDetails) -> str:
    """A validation error as the end of a sentence that starts with the parameter's name."""
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    inside = ".".join(str(part) for part in detail["loc"][1:] if not str(part).startswith(("function-", "list[")))
    return f"{f'at {inside} ' if inside else ''}should be {message}"


@cache
def spellings_of(record: type[catalog.Parameters]) -> dict[str, tuple[str, ...]]:
    """Field -> the keys that may carry it, the preferred one first."""
    spellings = {}
    for name, field in record.model_fields.items():
        alias = field.validation_alias
        aliases = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias else []
        spellings[name] = tuple(dict.fromkeys([*(choice for choice in aliases if isinstance(choice, str)), name]))
    return spellings
