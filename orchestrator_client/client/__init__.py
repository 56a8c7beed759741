"""Submit pipelines, follow their runs, and look after limits and money: `Client` and `Run`, and both for asyncio."""

from __future__ import annotations

from orchestrator_client.client.aio import AsyncClient, AsyncMessages, AsyncRun, AsyncSchedules, AsyncVariables
from orchestrator_client.client.pipelines import Compilable, Pipeline, plan_of
from orchestrator_client.client.run import Run
from orchestrator_client.client.schedules import Schedules
from orchestrator_client.client.sync import DEFAULT_URL, Client
from orchestrator_client.client.variables import Variables

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "AsyncMessages",
    "AsyncRun",
    "AsyncSchedules",
    "AsyncVariables",
    "Client",
    "Compilable",
    "Pipeline",
    "Run",
    "Schedules",
    "Variables",
    "plan_of",
]
