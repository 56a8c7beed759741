"""A model's answer in the middle of a tool's call: a model step of the run, while the tool's own step goes on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping

from orchestrator_client.contract.models import AUTO_PROVIDER
from orchestrator_client.contract.names import model_queue
from orchestrator_client.contract.plan import Json, StepKind
from orchestrator_client.contract.run import Outcome, Receipt
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.auto import TURN
from orchestrator_worker.records import Asked, Asking
from orchestrator_worker.scheduler import Scheduler
from orchestrator_worker.steps.base import Call
from orchestrator_worker.store import Store
from orchestrator_worker.tools.base import Complete, Completion, Declined

FIRST_LOOK_SECONDS = 0.05
LONGEST_LOOK_SECONDS = 0.5
"""Between looks whether the answer is there, each half as long again as the one before."""

NO_TURN = -1
"""Nobody is parked until the answer comes."""

A_THOUSAND = 1000
"""Numbers of an attempt's questions, so that those of the next differ."""


class Completions:
    """Asks models for tools. `default_model` is asked; without one nobody is."""

    def __init__(self, store: Store, scheduler: Scheduler, default_model: str) -> None:
        self._store, self._scheduler, self._default_model = store, scheduler, default_model

    def of(self, call: Call) -> Complete:
        """What a tool's call asks models with."""
        numbers = itertools.count(call.attempt * A_THOUSAND + 1)

        async def complete(request: Mapping[str, Json]) -> Completion:
            if not self._default_model:
                raise Declined("no model is configured: set default_model in orchestrator.toml")
            instance = f"{call.instance}#{TURN}.{next(numbers)}"
            await asyncio.to_thread(self._ask, call, instance, dict(request))
            receipt = await self._receipt(call.run, instance)
            left = await asyncio.to_thread(self._store.values, call.run, [instance])
            return _completion(receipt, left.get(instance))

        return complete

    def _ask(self, call: Call, instance: str, request: dict[str, Json]) -> None:
        arguments = {**request, "model": self._default_model}
        asked = AskedStep(call.instance, NO_TURN, 0, "generate", arguments, StepKind.MODEL)
        wanted = Asked(instance, model_queue(AUTO_PROVIDER), asked.memo())
        match self._scheduler.ask(call.run, call.instance, call.attempt, wanted):
            case Asking.HALTED:
                raise Declined("the run takes no more steps")
            case Asking.REFUSED:
                raise Declined("another attempt at the step has taken over")

    async def _receipt(self, run: str, instance: str) -> Receipt:
        for seconds in _pauses():
            await asyncio.sleep(seconds)
            if (receipt := await asyncio.to_thread(self._store.receipt, run, instance)) is not None:
                return receipt
        raise AssertionError  # the pauses never end; the call's own deadline does


def _pauses() -> Iterator[float]:
    seconds = FIRST_LOOK_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * 1.5, LONGEST_LOOK_SECONDS)


def _completion(receipt: Receipt, value: Json) -> Completion:
    """The answer that a model step left. One that was cut is a failure to a plan, and an answer to a tool."""
    fields = value if isinstance(value, dict) else {}
    cut = fields.get("finish_reason") == "length"
    if receipt.outcome is not Outcome.SUCCEEDED and not cut:
        raise Declined(f"the model gave no answer: {receipt.explanation}")
    return Completion(str(fields["result"]), str(fields["model_used"]), cut)
