"""What is there for threads is there for asyncio, under the same names and with the same parameters."""

from __future__ import annotations

import inspect

import pytest

from orchestrator_client import AsyncClient, AsyncRun, Client, Run
from orchestrator_client.client import AsyncSchedules, AsyncVariables, Schedules, Variables

PAIRS = [(Client, AsyncClient), (Run, AsyncRun), (Variables, AsyncVariables), (Schedules, AsyncSchedules)]
NOT_AWAITED = {"plan"}
"""Of Run: what asyncio's does not have."""


def public(kind: type) -> dict[str, object]:
    return {name: member for name, member in inspect.getmembers(kind) if callable(member) and not name.startswith("_")}


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_same_methods_with_the_same_parameters(plain: type, awaited: type) -> None:
    there, here = public(plain), public(awaited)
    assert there.keys() - NOT_AWAITED == here.keys()
    for name in here:
        assert inspect.signature(there[name]).parameters.keys() == inspect.signature(here[name]).parameters.keys(), name  # type: ignore[arg-type]
