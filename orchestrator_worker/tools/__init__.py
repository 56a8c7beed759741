"""Tools, behind one registry. What the author of a tool needs is exported here."""

from __future__ import annotations

from orchestrator_client.contract.tool import Artifact
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.declaration import tool

__all__ = ["Artifact", "ToolContext", "ToolResult", "tool"]
