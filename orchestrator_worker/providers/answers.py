"""What may be believed of an answer's body: proxies, gateways and servers that stumble send something else."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.failures import Failures

PLAUSIBLE_TOKENS = 1_000_000_000
"""A count beyond this was not counted."""


def parsed(body: bytes, failures: Failures) -> Json:
    """The value that a body holds.

    Raises:
        ModelFailed: it is not JSON.
    """
    text = body.decode(errors="replace")
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        raise failures.bad_response("not JSON", text) from None
    return value


def call_arguments(raw: Json) -> tuple[dict[str, Json], str]:
    """A tool call's arguments from their JSON text, and why they could not be read; empty where they could.

    Models say nothing where a tool takes nothing, and some servers send the object for its text.
    """
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}, ""
    try:
        value = storable_value(json.loads(raw, parse_constant=_no_number) if isinstance(raw, str) else raw)
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not JSON: {error}"
    return (value, "") if isinstance(value, dict) else ({}, "the arguments are no JSON object")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def counted(counts: Mapping[str, Json], raw: dict[str, Json]) -> tuple[Usage, dict[str, Json]]:
    """The counts as `Usage` and the record they came from, or nothing where one is missing or absurd."""
    credible = all(type(count) is int and 0 <= count <= PLAUSIBLE_TOKENS for count in counts.values())
    return (Usage.model_validate(counts), raw) if credible else (Usage(), {})


def total(*counts: Json) -> int | None:
    """The sum, or None where something in it is no whole number."""
    return sum(counts) if all(type(count) is int for count in counts) else None


def uncounted(provider: str) -> str:
    """The warning that goes with usage that is not credible."""
    return f"{provider} sent no credible count of tokens; this call's usage and cost are unknown"


def storable(text: str) -> str:
    """`text` without half a surrogate pair, which JSON can spell and UTF-8 cannot, so that no store would take it."""
    return text.encode(errors="replace").decode()


def storable_value(value: Json) -> Json:
    """`value` with all its texts `storable`."""
    cleaned: Json = json.loads(storable(json.dumps(value, ensure_ascii=False)))
    return cleaned


def mapping(value: Json) -> dict[str, Json]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Json) -> list[Json]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []
