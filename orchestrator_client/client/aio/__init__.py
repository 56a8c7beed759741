"""The client and its runs for asyncio: each method is the blocking one, done in a thread."""

from orchestrator_client.client.aio.client import AsyncClient
from orchestrator_client.client.aio.run import AsyncMessages, AsyncRun, AsyncVariables
from orchestrator_client.client.aio.schedules import AsyncSchedules

__all__ = ["AsyncClient", "AsyncMessages", "AsyncRun", "AsyncSchedules", "AsyncVariables"]
