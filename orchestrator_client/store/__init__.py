"""The client's view of the variable store: the only package of the client that speaks to Redis."""

from __future__ import annotations

from orchestrator_client.store.audit import AuditStore
from orchestrator_client.store.connection import RETENTION_SECONDS, Connection
from orchestrator_client.store.dead import DeadStore
from orchestrator_client.store.fleet import FleetStore
from orchestrator_client.store.gates import GateStore
from orchestrator_client.store.money import MoneyStore
from orchestrator_client.store.questions import QuestionStore
from orchestrator_client.store.runs import RunStore
from orchestrator_client.store.schedules import ScheduleStore
from orchestrator_client.store.variables import VariableStore

__all__ = [
    "RETENTION_SECONDS",
    "AuditStore",
    "Connection",
    "DeadStore",
    "FleetStore",
    "GateStore",
    "MoneyStore",
    "QuestionStore",
    "RunStore",
    "ScheduleStore",
    "Stores",
    "VariableStore",
]


class Stores:
    """All that one client keeps and reads in one Redis, on one connection."""

    def __init__(self, url: str, actor: str) -> None:
        """`actor`: who acts, for the audit log."""
        self.connection = Connection(url, actor)
        self.audit = AuditStore(self.connection)
        self.dead = DeadStore(self.connection)
        self.runs = RunStore(self.connection)
        self.fleet = FleetStore(self.connection)
        self.gates = GateStore(self.connection)
        self.money = MoneyStore(self.connection)
        self.questions = QuestionStore(self.connection)
        self.schedules = ScheduleStore(self.connection)
        self.variables = VariableStore(self.connection)

    def close(self) -> None:
        self.connection.close()
