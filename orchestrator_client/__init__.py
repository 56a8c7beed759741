"""Submit pipelines of model and tool calls to a fleet of Celery workers, and follow their runs.

Names are imported when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator_client.announce import run_pipeline as run_pipeline
    from orchestrator_client.budgets import BudgetView as BudgetView
    from orchestrator_client.client import AsyncClient as AsyncClient
    from orchestrator_client.client import AsyncRun as AsyncRun
    from orchestrator_client.client import Client as Client
    from orchestrator_client.client import Run as Run
    from orchestrator_client.contract.control import Send as Send
    from orchestrator_client.contract.document import RunDocument as RunDocument
    from orchestrator_client.contract.errors import ConfigInvalid as ConfigInvalid
    from orchestrator_client.contract.errors import InputsInvalid as InputsInvalid
    from orchestrator_client.contract.errors import OrchestratorError as OrchestratorError
    from orchestrator_client.contract.errors import PlanInvalid as PlanInvalid
    from orchestrator_client.contract.errors import RunConflict as RunConflict
    from orchestrator_client.contract.errors import RunFailed as RunFailed
    from orchestrator_client.contract.errors import RunNotFound as RunNotFound
    from orchestrator_client.contract.errors import StoreUnavailable as StoreUnavailable
    from orchestrator_client.contract.event import Delta as Delta
    from orchestrator_client.contract.event import Dropped as Dropped
    from orchestrator_client.contract.event import Event as Event
    from orchestrator_client.contract.event import EventKind as EventKind
    from orchestrator_client.contract.event import Written as Written
    from orchestrator_client.contract.interrupt import interrupt as interrupt
    from orchestrator_client.contract.plan import Plan as Plan
    from orchestrator_client.contract.progress import RunProgress as RunProgress
    from orchestrator_client.contract.run import RunRecord as RunRecord
    from orchestrator_client.contract.run import RunState as RunState
    from orchestrator_client.costs import CostReport as CostReport
    from orchestrator_client.estimate import Estimate as Estimate
    from orchestrator_client.gates import GateView as GateView
    from orchestrator_client.graph import END as END
    from orchestrator_client.graph import START as START
    from orchestrator_client.graph import StateGraph as StateGraph
    from orchestrator_client.graph import model as model
    from orchestrator_client.graph import tool as tool
    from orchestrator_client.loader import load as load
    from orchestrator_client.loader import loads as loads
    from orchestrator_client.soundness import Finding as Finding
    from orchestrator_client.soundness import Judgement as Judgement
    from orchestrator_client.variables import Variable as Variable
    from orchestrator_client.variables import VariableScope as VariableScope
    from orchestrator_client.variables import VariableType as VariableType
    from orchestrator_client.variables import Version as Version
    from orchestrator_client.why import Why as Why

_WHERE = {
    "announce": ("run_pipeline",),
    "budgets": ("BudgetView",),
    "client": ("AsyncClient", "AsyncRun", "Client", "Run"),
    "contract.control": ("Send",),
    "contract.document": ("RunDocument",),
    "contract.errors": (
        "ConfigInvalid",
        "InputsInvalid",
        "OrchestratorError",
        "PlanInvalid",
        "RunConflict",
        "RunFailed",
        "RunNotFound",
        "StoreUnavailable",
    ),
    "contract.event": ("Delta", "Dropped", "Event", "EventKind", "Written"),
    "contract.interrupt": ("interrupt",),
    "contract.plan": ("Plan",),
    "contract.progress": ("RunProgress",),
    "contract.run": ("RunRecord", "RunState"),
    "costs": ("CostReport",),
    "estimate": ("Estimate",),
    "gates": ("GateView",),
    "graph": ("END", "START", "StateGraph", "model", "tool"),
    "loader": ("load", "loads"),
    "soundness": ("Finding", "Judgement"),
    "variables": ("Variable", "VariableScope", "VariableType", "Version"),
    "why": ("Why",),
}
_MODULE_OF = {name: module for module, exported in _WHERE.items() for name in exported}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
