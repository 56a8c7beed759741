"""What a server is given of this worker's environment and of its secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orchestrator_client.contract.catalog import MCP_PREFIX
from orchestrator_client.contract.errors import CredentialMissing
from orchestrator_client.contract.secret import PATTERN
from orchestrator_worker.vault import Vault


def environment_of(server: str, wanted: Mapping[str, str], vault: Vault) -> dict[str, str]:
    """What a program is given: values by name, where the configuration names variables, or secrets as `secret://NAME`.

    A secret is given to the server, so it must be for all of its tools.

    Raises:
        CredentialMissing: this worker has no such variable or secret, or that is not for this server.
        ParametersInvalid: a secret is too short to be masked.
    """
    return {name: _value(server, said, vault) for name, said in wanted.items()}


def headers_of(server: str, wanted: Mapping[str, str], vault: Vault) -> dict[str, str]:
    """The same for headers, of which each is a secret, wherever it comes from."""
    headers = environment_of(server, wanted, vault)
    for name, value in headers.items():
        if not PATTERN.search(wanted[name]):
            vault.learn(wanted[name], value)
    return headers


def _value(server: str, said: str, vault: Vault) -> str:
    if PATTERN.search(said):
        return str(vault.opened(said, said, f"{MCP_PREFIX}{server}/*"))
    if said not in os.environ:
        raise CredentialMissing(
            f"mcp server '{server}' needs the environment variable {said}, which this worker does not have; set it"
            " where workers are started"
        )
    return os.environ[said]
