"""Parameters of a call against a JSON Schema, for tools that describe themselves by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.coercion import coerced
from orchestrator_worker.tools.parameters import missing, refusal, unfit, unknown

LARGEST_SAID = 200
"""Characters of what a validator says of one value."""


def checked(schema: Mapping[str, Json], parameters: Mapping[str, Json], tool: str) -> dict[str, Json]:
    """The parameters, coerced to the types of the schema, which must be one of an object, and found to fit it.

    Raises:
        ParametersInvalid: one is missing, unknown or does not fit; the message names each, and what was found.
        ToolFailed: the schema itself cannot be used.
    """
    from jsonschema import Draft202012Validator  # 60 ms, which a worker that needs no schema never pays
    from referencing import Registry

    given: dict[str, Json] = coerced(dict(parameters), dict(schema))
    try:
        # A registry of its own: nothing that a schema refers to is fetched.
        found = list(Draft202012Validator(dict(schema), registry=Registry()).iter_errors(given))
    except Exception as error:
        raise ToolFailed(f"{tool}: its JSON Schema cannot be used ({type(error).__name__}: {error})", False) from error
    if found:
        required = set(schema.get("required") or [])
        takes = {name: name in required for name in schema.get("properties") or {}}
        problems = [problem for error in found for problem in _worded(error, given, takes)]
        raise refusal(tool, list(dict.fromkeys(problems)), takes)
    return given


def _worded(error: Any, given: Mapping[str, Json], takes: Mapping[str, bool]) -> list[str]:
    """One finding of the validator, in our words."""
    if not error.absolute_path and error.validator == "required":
        return [missing(name) for name in error.validator_value if name not in given]
    if not error.absolute_path and error.validator == "additionalProperties":
        return [unknown(name) for name in given if name not in takes]
    name, *inner = error.absolute_path or ("parameters",)
    place = f"{name}" + "".join(f"[{part!r}]" for part in inner)
    # The validator quotes the value first, which may be a document.
    message = _allowed(error) or error.message[:LARGEST_SAID]
    return [unfit(place, error.instance, message)]


def _allowed(error: Any) -> str:
    """What the commonest keywords of a schema allow; nothing for others, whose own words are used."""
    match error.validator:
        case "type":
            types = error.validator_value
            return f"it must be of type {types if isinstance(types, str) else ' or '.join(types)}"
        case "enum":
            return f"it must be one of {', '.join(map(repr, error.validator_value))}"[:LARGEST_SAID]
        case "anyOf" | "oneOf":
            types = [inner.get("type") for inner in error.validator_value if isinstance(inner, dict)]
            return f"it must be of type {' or '.join(types)}" if all(isinstance(name, str) for name in types) else ""
    return ""
