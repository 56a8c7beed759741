"""What a step costs over the call of its tool, from the end of the step before it to its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

from orchestrator_client.client import Client
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.tools.registry import resolve
from tests.fleet import start_worker

STEPS = 100
TEXT = "eight words that a tool is to count"
TOOLS = {
    "native": ("text.count_words", {"text": TEXT}),
    "python": ("python:tests.conformance.tools.function_tools:echo", {"text": TEXT}),
    "langchain": ("langchain:tests.conformance.tools.langchain_tools:echo", {"text": TEXT}),
}


def measure(url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    """Chains on one process of a tool worker, as it is by default; times by Redis's clock, in whole milliseconds."""
    worker = start_worker(url, folder, "tools", "-c", "1")
    with Client(url) as client:
        for name, (uses, parameters) in TOOLS.items():
            plan = _chain(uses, parameters)
            gaps = [gap for _ in range(rounds + 1) for gap in _gaps_ms(client, plan)][STEPS - 1 :]
            direct_ms = _direct_ms(uses, parameters, folder)
            detail = f"p95 {sorted(gaps)[len(gaps) * 95 // 100]:.0f} ms; the function alone {direct_ms:.3f} ms"
            yield f"a {name} tool's step over its call, p50", median(gaps) - direct_ms, 6.0, "ms", detail
    worker.kill()


def _chain(uses: str, parameters: dict[str, str]) -> Plan:
    steps = (
        Step(id=f"s{n}", kind=StepKind.TOOL, uses=uses, parameters=parameters, after=(f"s{n - 1}",) if n else ())
        for n in range(STEPS)
    )
    return Plan(id="tools", steps=tuple(steps))


def _gaps_ms(client: Client, plan: Plan) -> list[int]:
    run = client.submit(plan)
    ends = [event.at_ms for event in run.stream(timeout=120) if event.kind is EventKind.STEP_SUCCEEDED]
    return [after - before for before, after in pairwise(ends)]


def _direct_ms(uses: str, parameters: dict[str, str], folder: Path) -> float:
    """The tool's function, called with checked parameters; of a coroutine, only what it costs to make."""
    entry, context = resolve(uses), ToolContext("r", "s", 1, folder)
    checked = entry.check(parameters)
    seconds = []
    for _ in range(200):
        before = time.perf_counter()
        result = entry.function(context, checked)
        seconds.append(time.perf_counter() - before)
        if hasattr(result, "close"):
            result.close()
    return median(seconds) * 1000
