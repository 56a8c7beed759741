"""Tells webhooks that runs have ended: in a thread of its own, so that no step waits for somebody else's server.

At least once: a worker that dies between the request and its record has it told again, with the same id.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from pathlib import Path

from orchestrator_client.contract.catalog.web import HttpParameters
from orchestrator_client.contract.errors import OrchestratorError, StoreUnavailable
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.run import iso
from orchestrator_worker.process.daemon import Daemon
from orchestrator_worker.records import ChildRun, Delivery
from orchestrator_worker.store import Store
from orchestrator_worker.tools.base import Reach, ToolContext
from orchestrator_worker.vault import Vault

logger = logging.getLogger(__name__)

ATTEMPTS = 10
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 3600.0
"""Between two attempts, each wait three times as long as the one before: about four hours in all."""

TIMEOUT_SECONDS = 15.0
"""Of one request."""

LEASE_SECONDS = 60.0
"""For a request and its record."""

AT_ONCE = 8

OUTPUT_BYTES = 256 * 1024
"""Outputs that are larger, as JSON, are not told."""


class Courier(Daemon):
    """Takes what is due, every `seconds`, and tells it."""

    def __init__(self, store: Store, vault: Vault, reach: Reach, seconds: float) -> None:
        super().__init__("courier")
        self._store, self._vault, self._reach, self._seconds = store, vault, reach, seconds

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                while self.deliver() == AT_ONCE and not self._stopped.is_set():
                    continue
            except StoreUnavailable as error:
                logger.warning("the store is away: %s", error)
            except Exception:
                # One bad round must not end it, and must not pass unseen.
                logger.exception("the courier failed; the next round tries again")

    def deliver(self) -> int:
        """Tell what is due, all at once; returns how many that was."""
        due = self._store.due_deliveries(LEASE_SECONDS, AT_ONCE)
        if due:
            asyncio.run(self._all(due))
        return len(due)

    async def _all(self, due: list[Delivery]) -> None:
        from orchestrator_worker.tools.http import close_client

        try:
            await asyncio.gather(*map(self._tell, due))
        finally:
            await close_client()

    async def _tell(self, delivery: Delivery) -> None:
        error = await self._posted(delivery)
        wait = None
        if delivery.attempt < ATTEMPTS:
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 3.0 ** (delivery.attempt - 1))
        became = await asyncio.to_thread(self._store.record_delivery, delivery, error, wait)
        if error:
            logger.warning("run %s: its webhook, attempt %d: %s (%s)", delivery.run, delivery.attempt, error, became)

    async def _posted(self, delivery: Delivery) -> str:
        """Why the request failed; empty if it was taken."""
        from orchestrator_worker.tools.http import post

        context = ToolContext(delivery.run, "webhook", delivery.attempt, Path(), reach=self._reach)
        try:
            ended = await asyncio.to_thread(self._store.child, delivery.run)
            if ended is None:
                return "the run is gone from the store"
            body = json.dumps(told(ended, delivery.webhook.values))
            headers = self._headers(delivery, body)
            request = HttpParameters(
                url=delivery.webhook.url, headers=headers, body=body, timeout=TIMEOUT_SECONDS, follow_redirects=False
            )
            result = await post(context, request)
        except OrchestratorError as error:
            return self._vault.masked_text(str(error))[:500]
        output = result.output if isinstance(result.output, dict) else {}
        status = int(output.get("status_code") or 0)
        return "" if 200 <= status < 300 else f"it answered with {status}"

    def _headers(self, delivery: Delivery, body: str) -> dict[str, str]:
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Orchestrator-Delivery": delivery.run,
            "Orchestrator-Attempt": str(delivery.attempt),
            "Orchestrator-Timestamp": stamp,
        }
        if named := delivery.webhook.secret:
            secret = str(self._vault.opened(named, named, "webhook"))
            headers["Orchestrator-Signature"] = f"v1={signature(secret, stamp, body)}"
        return headers


def signature(secret: str, timestamp: str, body: str) -> str:
    """HMAC-SHA256 of `timestamp.body`, in hex: what a receiver compares."""
    return hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()


def told(ended: ChildRun, values: bool) -> dict[str, Json]:
    """What a webhook is told of a run: how it ended, and no value of it but, if asked for, its outputs."""
    record = ended.record
    body: dict[str, Json] = {
        "type": "run_ended",
        "run": record.run,
        "pipeline": record.pipeline,
        "state": record.state,
        "success": record.success,
        "error": record.error.model_dump() if record.error else None,
        "tags": list(record.tags),
        "tenant": record.tenant,
        "submitted_at": iso(record.submitted_ms),
        "started_at": iso(record.started_ms),
        "completed_at": iso(record.ended_ms),
        "steps_ended": ended.steps,
        "steps_failed": record.failed,
        "usage": ended.usage.model_dump(mode="json"),
    }
    if values:
        outputs = record.outputs or {}
        fits = len(json.dumps(outputs)) <= OUTPUT_BYTES
        body |= {"outputs": outputs if fits else None, "outputs_left_out": not fits}
    return body
