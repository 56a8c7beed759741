"""What all providers do alike around one vendor's SDK: import it, find the key, keep the deadline, pool connections."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic

from orchestrator_client.contract.errors import CredentialMissing, ModelFailed
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL
from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.base import ModelReply, ModelRequest, OnText
from orchestrator_worker.providers.clients import Client, Clients
from orchestrator_worker.providers.failures import Failures

_IMPORTING = threading.Lock()
"""Held while an SDK is imported: SDKs share libraries whose modules import each other, and two threads that enter such
a circle at different places may each see a module that is not whole yet."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A request in a vendor's words."""

    body: dict[str, Any]
    """The document to send."""
    left_out: tuple[str, ...] = ()
    """What was asked for and is not in it: a warning each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer as it came. A stream gives the same body, put together from its events."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case, or a mapping that does not mind."""
    warnings: tuple[str, ...] = ()
    """What the request's wording left out; they go before the reply's own."""


class Vendor(ABC, Generic[Client]):
    """Calls one vendor, or a server that speaks its API at the `base_url` of its section or of the vendor's variable.

    May be shared between event loops, threads and forked processes: each loop of each process has a pool of its own.
    """

    vendor: ClassVar[str]
    """Name of the provider, where the project gives it no other."""
    key_variables: ClassVar[tuple[str, ...]]
    """Environment variables that may hold the key; the first that does is taken."""

    def __init__(self, section: ProviderSection | None = None, name: str = "") -> None:
        self._section = section or ProviderSection()
        self.name = name or self.vendor
        self._clients = Clients(self._connect)
        self._is_warm = False

    def warm(self) -> None:
        """Import the SDK ahead of the first call, which takes a second or two; nothing if it is not installed."""
        with _IMPORTING:
            if self._is_warm:
                return
            try:
                self._import_sdk()
            except ImportError:
                # Not a failure yet: no step may ever ask. A call that does meets it again, and says what to install.
                return
            self._is_warm = True

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Make the call, once: retries belong to the run. With `on_text`, stream it.

        Raises:
            CredentialMissing: none of the key variables is there, or it is no key.
            ModelFailed: the vendor refused, failed, was not reached, or its answer is not complete.
        """
        failures = self._failures(request.credential)
        if not self._is_warm:
            # In a thread, because other calls wait on this loop; outside of `within`, because the time that an import
            # takes says nothing of the vendor.
            await asyncio.to_thread(self.warm)
        answer = await failures.within(
            request.timeout_seconds,
            self._exchange(request, failures, on_text),
            lambda error: self.failure(error, failures, request.timeout_seconds),
        )
        reply = self.reply(answer, request, failures)
        return replace(reply, warnings=(*answer.warnings, *reply.warnings))

    async def close(self) -> None:
        """Close the running loop's connections. The next call opens new ones."""
        await self._clients.close()

    def check_key(self) -> None:
        """As `Provider.check_key`."""
        self._failures("")

    def _failures(self, credential: str) -> Failures:
        """Words for one call, with the key of the account that it goes to.

        Raises:
            CredentialMissing: the configuration has no account of that name, or the environment no key for it.
        """
        if credential in ("", DEFAULT_CREDENTIAL):
            named = self._section.key
            return Failures.with_key(self.name, *((named,) if named else self.key_variables))
        if credential not in self._section.credentials:
            known = ", ".join([DEFAULT_CREDENTIAL, *self._section.credentials])
            raise CredentialMissing(
                f"provider {self.name} has no credential '{credential}'; orchestrator.toml of this worker knows {known}"
            )
        return Failures.with_key(self.name, self._section.credentials[credential])

    @staticmethod
    @abstractmethod
    def _import_sdk() -> None:
        """Import the SDK, with those of its parts that the first call would import.

        Raises:
            ImportError: it is not installed.
        """

    @abstractmethod
    async def _exchange(self, request: ModelRequest, failures: Failures, on_text: OnText | None) -> Answer:
        """Send the request and read the whole body of a successful answer; with `on_text`, as a stream.

        Raises:
            ModelFailed: a stream ended without the vendor's terminal reason, or told of an error.
        """

    @abstractmethod
    def _connect(self, key: str) -> Client:
        """A client that tries once."""

    @staticmethod
    @abstractmethod
    def failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
        """What an exception of the SDK's, or of the HTTP library below it, means for an attempt of so many seconds."""

    @staticmethod
    @abstractmethod
    def reply(answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:
        """A successful answer in nobody's dialect; raises ModelFailed if it is not complete."""
