"""Calls of a provider as a test makes them: on a loop of their own, with every connection given back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar

import pytest

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_worker.providers.base import Message, ModelReply, ModelRequest, OnText
from tests.conformance.adapter import Adapter
from tests.conformance.model_server import ModelServer

KEY = "sk-test-4f1d0b8e2c"
"""That the shared suite's workers have in their environment."""

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock a test may put forward: then a call's time is up when the test says so, and not before."""

    ahead_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_seconds

    def put_forward(self, seconds: float) -> None:
        """Let so much time have passed; for this loop's own thread."""
        self.ahead_seconds += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, which is a `Loop`."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def put_forward(seconds: float) -> None:
    """Put the running loop's clock forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.put_forward(seconds)


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
        wanted: dict[str, Any] = {
            "model": self.adapter.plain_model,
            "messages": (Message.of("user", prompt),),
            **fields,
        }
        return ModelRequest(timeout_seconds=seconds, **wanted)

    def many(
        self, requests: list[ModelRequest], root: str = "", rounds: int = 1, on_text: OnText | None = None
    ) -> list[ModelReply]:
        """All of them at once; `rounds` times, and the replies of the last."""

        async def calls() -> list[ModelReply]:
            provider = self.adapter.provider(root or self.server.root)
            try:
                for _ in range(rounds):
                    replies = await asyncio.gather(*(provider.complete(request, on_text) for request in requests))
                return replies
            finally:
                await provider.close()

        return run(calls())

    def streamed(self, prompt: str = "hi", seconds: float = 30.0, **fields: Any) -> tuple[ModelReply, list[str]]:
        """The reply, and the pieces of text as they came."""
        pieces: list[str] = []
        [reply] = self.many([self.request(prompt, seconds, **fields)], on_text=pieces.append)
        return reply, pieces

    def failed(self, seconds: float = 30.0, root: str = "", **fields: Any) -> ModelFailed:
        with pytest.raises(ModelFailed) as caught:
            self("hi", seconds, root, **fields)
        return caught.value

    def outcome(self, **fields: Any) -> ModelReply | ModelFailed:
        """The reply or the failure, where a provider may choose."""
        try:
            return self(**fields)
        except ModelFailed as error:
            return error

    def broke_off(self, seconds: float = 30.0, late_after: str = "", **fields: Any) -> tuple[ModelFailed, list[str]]:
        """How a stream failed, and the pieces of text that had come. Behind the text `late_after`, its time is up."""
        pieces: list[str] = []

        def told(piece: str) -> None:
            pieces.append(piece)
            if "".join(pieces) == late_after:
                put_forward(seconds)

        with pytest.raises(ModelFailed) as caught:
            self.many([self.request("hi", seconds, **fields)], on_text=told)
        return caught.value, pieces


SuiteCaller = Caller[ModelServer]
"""As the shared suite has it."""
