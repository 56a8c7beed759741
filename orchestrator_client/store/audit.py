"""The audit log in the store: written by the scripts beside what they do, and read here."""

from __future__ import annotations

from orchestrator_client.contract import names
from orchestrator_client.contract.audit import AuditEntry
from orchestrator_client.store.connection import Store, clearly, text_of, texts_of

PAGE = 1000
"""Entries that are read at a time."""


class AuditStore(Store):
    """Reads who has done what."""

    @clearly
    def entries(self, run: str | None, act: str | None, limit: int) -> list[AuditEntry]:
        """The newest acts that match what is given, newest first."""
        found: list[AuditEntry] = []
        last = "+"
        while len(found) < limit:
            page = self._redis.xrevrange(names.AUDIT, max=last, count=PAGE)
            entries = [AuditEntry.from_stream(text_of(entry), texts_of(fields)) for entry, fields in page]
            found += [entry for entry in entries if run in (None, entry.run) and act in (None, entry.act)]
            if len(page) < PAGE:
                break
            last = f"({entries[-1].id}"
        return found[:limit]
