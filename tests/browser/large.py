"""Runs that are large: begun by the engine, and filled up in the store with what more of the same would have left."""

from __future__ import annotations

import json
from typing import Any

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan
from tests.fleet import InProcessFleet, python_step
from tests.integration.loops import each

REAL_ITEMS = 4
"""Items that the engine does; it goes on with those behind them, of which the last ones are open."""

EVERY_MS = 35
"""Between two items of one worker."""

WORKERS = ("tools-1:4102", "tools-2:4117", "tools-3:388")


def large_plan(items: int) -> Plan:
    body = (
        python_step("draft", "builtins:str", "{{ item }}"),
        python_step("check", "builtins:len", "{{ draft }}", after=("draft",), reads=("draft",)),
    )
    steps = (
        python_step("fetch"),
        each("translate", list(range(items)), *body, after=("fetch",), max_parallel=2),
        python_step("publish", after=("translate",)),
    )
    return Plan(id="translate", name="Translate the handbook", steps=steps)


def filled(fleet: InProcessFleet, items: int) -> Run:
    """A run of a map of which nearly all items are done."""
    run = fleet.client.submit(large_plan(items), {}, tags=["handbook"])
    fleet.engine.scheduler.start(run.id)
    deliver_until(fleet, run, f"translate[{REAL_ITEMS - 1}].check")
    keys = names.RunKeys(run.id)
    receipts = {step: fleet.redis.hget(keys.receipts, f"translate[0].{step}").decode() for step in ("draft", "check")}
    with fleet.redis.pipeline(transaction=False) as pipe:
        for item in range(REAL_ITEMS + 4, items):
            for step, stored in receipts.items():
                _copy(pipe, keys, f"translate[{item}].{step}", stored, item, late=step == "check")
        pipe.execute()
    return run


def deliver_until(fleet: InProcessFleet, run: Run, instance: str) -> None:
    """Do the steps of a run until this one has ended."""
    while instance not in run.document(values=False).execution_order:
        message = fleet.take()
        assert message is not None, f"nothing is left to do, and {instance} has not ended"
        if message.task == names.STEP_TASK:
            fleet.deliver(message)


def _copy(pipe: Any, keys: names.RunKeys, instance: str, stored: str, item: int, late: bool) -> None:
    """What one more instance would have left: a receipt, and the events of its life."""
    ended, _, text = stored.partition(" ")
    at = int(ended) + item * EVERY_MS // len(WORKERS) + 20 * late
    worker = WORKERS[item % len(WORKERS)]
    receipt = {**json.loads(text), "started_ms": at - 15, "worker": worker}
    if not late:
        tokens = {"input_tokens": 400 + item, "output_tokens": 90, "cost_usd": "0.000114"}
        receipt |= {"model": "openai/gpt-4o-mini", "usage": {"requests": 1, **tokens}}
    pipe.hset(keys.receipts, instance, f"{at} {json.dumps(receipt)}")
    data = {"worker": worker}
    if item % 9 == 0 and not late:
        parked = {"reason": "limit", "words": "requests (60 a minute)", "delay_ms": 30}
        _tell(pipe, keys, "step_parked", at - 60, instance, parked)
    _tell(pipe, keys, "step_started", at - 15, instance, data)
    _tell(pipe, keys, "step_succeeded", at, instance, {"started_ms": at - 15})


def _tell(pipe: Any, keys: names.RunKeys, kind: str, at: int, instance: str, data: dict[str, Any]) -> None:
    fields = {"kind": kind, "at": at, "instance": instance, "attempt": 1, "data": json.dumps(data)}
    pipe.xadd(keys.events, fields)
