"""Calls of a provider as a test makes them: on a loop of their own, with every connection given back."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar

import pytest

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_worker.providers.base import Message, ModelReply, ModelRequest
from tests.conformance.adapters import Adapter


class HasRoot(Protocol):
    @property
    def root(self) -> str: ...


Server = TypeVar("Server", bound=HasRoot)


class Caller(Generic[Server]):
    """Calls one provider at one server."""

    def __init__(self, adapter: Adapter, server: Server) -> None:
        self.adapter, self.server = adapter, server

    def __call__(self, prompt: str = "hi", seconds: float = 30.0, root: str = "", **fields: Any) -> ModelReply:
        return self.many([self.request(prompt, seconds, **fields)], root)[0]

    def request(self, prompt: str = "hi", seconds: float = 30.0, **fields: Any) -> ModelRequest:
        wanted: dict[str, Any] = {"model": self.adapter.plain_model, "messages": (Message("user", prompt),), **fields}
        return ModelRequest(timeout_seconds=seconds, **wanted)

    def many(self, requests: list[ModelRequest], root: str = "", rounds: int = 1) -> list[ModelReply]:
        """All of them at once; `rounds` times, and the replies of the last."""

        async def calls() -> list[ModelReply]:
            provider = self.adapter.provider(root or self.server.root)
            try:
                for _ in range(rounds):
                    replies = await asyncio.gather(*(provider.complete(request) for request in requests))
                return replies
            finally:
                await provider.close()

        return asyncio.run(calls())

    def failed(self, seconds: float = 30.0, root: str = "", **fields: Any) -> ModelFailed:
        with pytest.raises(ModelFailed) as caught:
            self("hi", seconds, root, **fields)
        return caught.value
