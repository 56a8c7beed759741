"""The providers that this worker can call, by name: the three vendors, and what the project configures besides."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from orchestrator_client.contract.errors import CredentialMissing, ParametersInvalid
from orchestrator_client.contract.project import Project, ProviderKind, ProviderSection
from orchestrator_worker.providers.base import Provider

PROVIDERS: Mapping[ProviderKind, str] = {
    ProviderKind.ANTHROPIC: "orchestrator_worker.providers.anthropic.client:Anthropic",
    ProviderKind.GOOGLE: "orchestrator_worker.providers.google.client:Google",
    ProviderKind.OPENAI: "orchestrator_worker.providers.openai.client:OpenAI",
    ProviderKind.OPENAI_COMPATIBLE: "orchestrator_worker.providers.compatible.client:OpenAICompatible",
}
"""Kind -> `module:class`, imported when a step first asks for it."""


class Providers:
    """The one instance of each provider in a process: with it go its connections, so that calls share them."""

    def __init__(self, project: Project) -> None:
        self._sections = project.providers
        self._made: dict[str, Provider] = {}

    def __call__(self, name: str) -> Provider:
        """A provider by its name.

        Raises:
            ParametersInvalid: nobody of that name is known.
        """
        if name not in self._made:
            kind = self._kind(name)
            module, _, class_name = PROVIDERS[kind].partition(":")
            build = cast(
                "Callable[[ProviderSection | None, str], Provider]",
                getattr(importlib.import_module(module), class_name),
            )
            # Two threads may both get here; the first one's stays, or a pool would be lost with its connections.
            self._made.setdefault(name, build(self._sections.get(name), name))
        return self._made[name]

    def warm(self, names: Iterable[str]) -> None:
        """Import the SDKs of these providers, so that no call waits for that; unknown names are left alone."""
        for name in names:
            try:
                self(name).warm()
            except ParametersInvalid:
                # A queue may be named for what is not configured yet; a step that asks for it says so.
                continue

    def missing_keys(self, names: Iterable[str]) -> Iterator[str]:
        """For each of these providers that has no key here, what to set: names of variables, never what they hold."""
        for name in names:
            try:
                self(name).check_key()
            except ParametersInvalid:
                continue
            except CredentialMissing as error:
                yield str(error)

    def _kind(self, name: str) -> ProviderKind:
        """Whose API the provider speaks: what its section says, else the vendor of that name.

        Raises:
            ParametersInvalid: it is neither configured nor a vendor's.
        """
        section = self._sections.get(name)
        if section is not None and section.kind is not None:
            return section.kind
        if name in list(ProviderKind):
            return ProviderKind(name)
        if section is not None:
            return ProviderKind.OPENAI_COMPATIBLE
        known = ", ".join(sorted({"openai", "anthropic", "google", *self._sections}))
        raise ParametersInvalid(
            f"no provider '{name}'; this worker knows {known}; change the step's model, or add [providers.{name}] to"
            " orchestrator.toml"
        )
