"""Submit pipelines, follow their runs, and look after limits and money: `Client` and `Run`, and both for asyncio."""

from __future__ import annotations

from orchestrator_client.client.aio import AsyncClient, AsyncMessages, AsyncRun
from orchestrator_client.client.pipelines import Compilable, Pipeline, plan_of
from orchestrator_client.client.run import Run
from orchestrator_client.client.sync import DEFAULT_URL, URL_VARIABLE, Client

__all__ = [
    "DEFAULT_URL",
    "URL_VARIABLE",
    "AsyncClient",
    "AsyncMessages",
    "AsyncRun",
    "Client",
    "Compilable",
    "Pipeline",
    "Run",
    "plan_of",
]
