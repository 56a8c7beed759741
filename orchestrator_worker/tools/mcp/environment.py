"""What a server is given of this worker's environment, and what of it nobody else may see."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from orchestrator_client.contract.errors import CredentialMissing
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import SECRET, McpSection

HIDDEN = "[hidden]"

SHORTEST = 4
"""Characters of the shortest secret that is taken out of texts: a shorter one would take half of them along."""


def resolved(server: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Values by name, of the variables that the configuration names, as `NAME` or as `secret://NAME`.

    Raises:
        CredentialMissing: this worker has no such variable.
    """
    return {name: _value(server, variable.removeprefix(SECRET)) for name, variable in wanted.items()}


def _value(server: str, variable: str) -> str:
    if variable not in os.environ:
        raise CredentialMissing(
            f"mcp server '{server}' needs the environment variable {variable}, which this worker does not have; set it"
            " where workers are started"
        )
    return os.environ[variable]


def hide(text: str, secrets: Iterable[str]) -> str:
    """A text without these values."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def hidden(value: Json, secrets: Sequence[str]) -> Json:
    """A value whose texts are without these values."""
    match value:
        case str():
            return hide(value, secrets)
        case dict():
            return {name: hidden(item, secrets) for name, item in value.items()}
        case list():
            return [hidden(item, secrets) for item in value]
    return value


def secrets_of(section: McpSection, environment: Mapping[str, str]) -> list[str]:
    """The values of variables that the configuration calls secret."""
    return [environment[name] for name, variable in section.variables.items() if variable.startswith(SECRET)]
