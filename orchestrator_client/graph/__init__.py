"""Pipelines written in Python: a graph of nodes over a shared state."""

from orchestrator_client.contract.control import Send
from orchestrator_client.contract.plan import END
from orchestrator_client.graph.builder import START, Call, StateGraph, model, tool

__all__ = ["END", "START", "Call", "Send", "StateGraph", "model", "tool"]
