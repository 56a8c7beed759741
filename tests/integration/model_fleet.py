"""The engine in this process with its model calls; only the vendor's server is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis

from orchestrator_client.client import Client, Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan, Retry, Step, StepKind
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.run import Receipt
from orchestrator_worker.app import create_app
from orchestrator_worker.engine import build_engine
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.scheduler import Verdict
from orchestrator_worker.settings import Settings
from tests.conftest import wait_until
from tests.fleet import InProcessFleet, Message

QUEUES = (names.model_queue("openai"), names.TOOL_QUEUE)

AT_ONCE = Retry(attempts=2, initial_seconds=0)
"""A second attempt without a wait."""


def model_plan(id: str = "turns", retry: Retry = AT_ONCE, **parameters: Any) -> Plan:
    """A plan of one model step, `ask`."""
    step = Step(
        id="ask",
        kind=StepKind.MODEL,
        uses="generate",
        model="gpt-4o-mini",
        retry=retry,
        parameters={"prompt": "How old is she?", **parameters},
    )
    return Plan(id=id, steps=(step,), outputs={"said": "{{ ask.result }}"})


@dataclass
class ModelFleet(InProcessFleet):
    """Delivers messages of tools and of OpenAI's models."""

    under_way: Calls = field(default_factory=Calls)

    @classmethod
    def on(cls, url: str, folder: Path, **settings: Any) -> Self:
        # The servers that tools ask in these tests are on the loopback.
        config = Settings(redis_url=url, workdir=str(folder), **{"allow_hosts": ("127.0.0.1",), **settings})
        app, under_way = create_app(config), Calls()
        engine = build_engine(app, under_way, config, Project())
        return cls(engine, redis.Redis.from_url(url), Client(url), app, under_way=under_way)

    def take(self, *queues: str) -> Message | None:
        """The oldest message of these queues (of models and tools, if none is named), taken out."""
        return super().take(*(queues or QUEUES))

    def taken(self, instance: str) -> Message:
        """The next message, which is of this instance."""
        message = self.take()
        assert message is not None
        assert message.args[1] == instance
        return message

    def drain(self) -> list[tuple[str, Verdict]]:
        """Deliver messages until there are none, nor will be: what waits at a gate is promoted as it opens."""
        while (message := self._next()) is not None:
            self.deliver(message)
        return self.delivered

    def _next(self) -> Message | None:
        if (message := self.take()) is not None:
            return message
        if self.engine.scheduler.promote() is None and self.redis.zcard(names.AGENDA) == 0:
            return self.take()

        def promoted() -> Message | None:
            self.engine.scheduler.promote()
            return self.take()

        return wait_until(promoted, "a gate lets a call through")

    def receipt(self, run: Run, instance: str = "ask") -> Receipt:
        receipt = self.engine.store.receipt(run.id, instance)
        assert receipt is not None
        return receipt

    def close(self) -> None:
        """Close the provider's connections, on the loop that has them, and everything else."""
        provider: Any = self.engine.providers("openai")
        self.under_way.run(provider.close())
        super().close()
