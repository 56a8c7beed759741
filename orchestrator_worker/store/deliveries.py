"""Ends of runs that webhooks are to be told."""

from __future__ import annotations

from orchestrator_client.contract import names
from orchestrator_client.contract.webhook import Webhook
from orchestrator_worker.records import Delivery
from orchestrator_worker.store.connection import Part, ms, text


class Deliveries(Part):
    """Taken, and recorded."""

    def due_deliveries(self, lease_seconds: float, at_most: int) -> list[Delivery]:
        """What is to be told now. Another worker takes what is not recorded within `lease_seconds`."""
        arguments = [self._on.ttl_seconds, ms(lease_seconds), at_most]
        rows = self._on.run("due_deliveries", [names.DELIVERIES], arguments)
        return [
            Delivery(text(run), int(attempt), Webhook.model_validate_json(webhook))
            for run, attempt, webhook in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
        ]

    def record_delivery(self, delivery: Delivery, error: str, wait_seconds: float | None) -> str:
        """How an attempt has ended: `delivered`, `waiting`, `dead`, or `refused` if another one was made since."""
        wait_ms = -1 if wait_seconds is None else ms(wait_seconds)
        keys = [names.RunKeys(delivery.run).record, names.DELIVERIES]
        return text(self._on.run("record_delivery", keys, [delivery.run, delivery.attempt, error, wait_ms]))
