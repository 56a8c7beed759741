"""What all providers do alike around one vendor's SDK: find the key, keep the deadline, pool connections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_worker.providers.base import ModelReply, ModelRequest
from orchestrator_worker.providers.clients import Client, Clients
from orchestrator_worker.providers.failures import Failures


class Vendor(ABC, Generic[Client]):
    """Calls one vendor, or a server that speaks its API at `base_url` or at the vendor's own variable for it.

    May be shared between event loops, threads and forked processes: each loop of each process has a pool of its own.
    """

    name: ClassVar[str]
    key_variables: ClassVar[tuple[str, ...]]
    """Environment variables that may hold the key; the first that does is taken."""

    def __init__(self, base_url: str | None = None) -> None:
        self._base_url = base_url
        self._clients = Clients(self._connect)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Make the call, once: retries belong to the run.

        Raises:
            CredentialMissing: none of the key variables is there, or it is no key.
            ModelFailed: the vendor refused, failed, was not reached, or its answer is not complete.
        """
        failures = Failures.with_key(self.name, *self.key_variables)
        body = await failures.within(
            request.timeout_seconds,
            self._exchange(request, failures.key),
            lambda error: self.failure(error, failures, request.timeout_seconds),
        )
        return self.reply(body, request, failures)

    async def close(self) -> None:
        """Close the running loop's connections. The next call opens new ones."""
        await self._clients.close()

    @abstractmethod
    async def _exchange(self, request: ModelRequest, key: str) -> bytes:
        """Send the request and read the whole body of a successful answer."""

    @abstractmethod
    def _connect(self, key: str) -> Client:
        """A client that tries once."""

    @staticmethod
    @abstractmethod
    def failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
        """What an exception of the SDK's, or of the HTTP library below it, means for an attempt of so many seconds."""

    @staticmethod
    @abstractmethod
    def reply(body: bytes, request: ModelRequest, failures: Failures) -> ModelReply:
        """The body of a successful answer in nobody's dialect; raises ModelFailed if it is not complete."""
