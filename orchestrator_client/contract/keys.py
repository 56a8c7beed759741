"""Keys of providers: which variables of the environment hold them, and whether one can be sent at all."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator_client.contract.environment import variable
from orchestrator_client.contract.errors import ConfigInvalid, CredentialMissing
from orchestrator_client.contract.project import Project, ProviderKind

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    ProviderKind.OPENAI: ("OPENAI_API_KEY",),
    ProviderKind.ANTHROPIC: ("ANTHROPIC_API_KEY",),
    ProviderKind.GOOGLE: ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""What the vendors call them, where `[providers]` gives no other name. The first that holds something counts."""


def variables_of(provider: str, project: Project) -> tuple[str, ...]:
    """Where the key of a provider is; nowhere, if it is called without one."""
    section = project.providers.get(provider)
    if section is not None and section.key:
        return (section.key,)
    kind = section.kind if section is not None and section.kind is not None else provider
    return KEY_VARIABLES.get(kind, ())


def key_of(provider: str, *variables: str) -> tuple[str, str]:
    """The first of the variables that holds something, and the key in it.

    Raises:
        CredentialMissing: there is none, or one that no HTTP header can carry. The message never shows it.
    """
    try:
        keys = {name: variable(name) for name in variables}
    except ConfigInvalid as error:
        raise CredentialMissing(f"this worker has no key for {provider}: {error}") from None
    found = next((name for name, key in keys.items() if key.strip()), None)
    if found is None:
        raise CredentialMissing(
            f"this worker has no key for {provider}: set {' or '.join(variables)} in the environment of workers"
        )
    key = keys[found]
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise CredentialMissing(
            f"{found} of this worker cannot be sent: it holds a newline, a blank at an end or other characters that no"
            " key has; set it again, without them"
        )
    return found, key
