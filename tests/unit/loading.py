"""Short ways to load what the loader's tests write."""

from __future__ import annotations

import textwrap

from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.loader import Loaded, loads

TERMINAL = "tool: terminal, parameters: {command: date}"


def plan_of(text: str) -> Plan:
    return loads(textwrap.dedent(text)).plan


def step_of(keys: str) -> Step:
    """The step `x` with these keys, beside two others that it may name."""
    first = "{id: first, tool: terminal, parameters: {command: date}}"
    second = "{id: second-one, tool: terminal, parameters: {command: date}}"
    return loads(f"steps: [{first}, {second}, {{id: x, {keys}}}]").plan.step_by_id["x"]


def codes(loaded: Loaded) -> list[str]:
    return [warning.code for warning in loaded.warnings]
