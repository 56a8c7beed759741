"""What a file says of confinement: allowed tools, levels, lost steps and secrets, and what of it is refused."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.patterns import fits
from orchestrator_client.contract.plan import OnLost, Plan
from orchestrator_client.contract.project import ToolsSection
from orchestrator_client.loader import loads


def read(step: str, top: str = "") -> Plan:
    return loads(f"{top}\nsteps:\n  - {{id: a, {step}}}\n", "p.yaml").plan


def problems(step: str, top: str = "") -> str:
    with pytest.raises(PlanInvalid) as refused:
        read(step, top)
    return str(refused.value)


TERMINAL = "tool: terminal, parameters: {command: ls}"
GET = "tool: http, action: get, parameters: {url: 'http://example.org', headers: {A: '%s'}}"


def test_a_step_says_what_a_lost_worker_means_and_how_far_it_trusts() -> None:
    step = read(f"{GET % 'x'}, on_lost: fail, level: restricted").steps[0]
    assert (step.on_lost, step.level) == (OnLost.FAIL, Level.RESTRICTED)


def test_a_step_cannot_trust_more() -> None:
    assert "terminal.execute is restricted, and a step cannot trust it more" in problems(f"{TERMINAL}, level: trusted")
    assert "on_lost is 'maybe'; write retry or fail" in problems(f"{TERMINAL}, on_lost: maybe")


@pytest.mark.parametrize("patterns", ["[terminal]", "[terminal.execute, http]", "['*']", "term*"])
def test_an_allowed_tool(patterns: str) -> None:
    assert read(TERMINAL, f"allow_tools: {patterns}").allow_tools


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (TERMINAL, "terminal.execute"),
        ("tool: 'python:os:getcwd'", "python:os:getcwd"),
        ("action: generate, model: m, parameters: {prompt: hi, tools: [terminal]}", "terminal.execute"),
        (f"for_each: [1], steps: [{{id: b, {TERMINAL}}}]", "terminal.execute"),
    ],
)
def test_a_tool_outside_the_list(step: str, named: str) -> None:
    assert f"p.yaml:3:1  '{named}' is not among the tools that the plan allows" in problems(step, "allow_tools: [http]")


def test_a_secret_is_for_a_parameter_of_a_tool() -> None:
    assert read(GET % "Bearer secret://TOKEN").steps[0].parameters["headers"] == {"A": "Bearer secret://TOKEN"}


@pytest.mark.parametrize(
    ("step", "top", "message"),
    [
        (GET % "secret://T {{ x }}", "inputs: {x: 1}", "secret 'T' stands beside a template"),
        ("action: generate, model: m, parameters: {prompt: 'secret://T'}", "", "secret 'T' would be sent to a model"),
        (TERMINAL, "outputs: {o: 'secret://T'}", "secret 'T' in outputs stays the text that it is"),
        (TERMINAL, "inputs: {i: 'secret://T'}", "secret 'T' in inputs stays the text that it is"),
        (TERMINAL, "env: {i: ['secret://T']}", "secret 'T' in env stays the text that it is"),
    ],
)
def test_a_secret_elsewhere_is_refused(step: str, top: str, message: str) -> None:
    assert message in problems(step, top)


@pytest.mark.parametrize(
    ("uses", "pattern", "fitting"),
    [
        ("terminal.execute", "terminal", True),
        ("terminal.execute", "terminal.exec*", True),
        ("filesystem.read", "file", True),
        ("python-executor.execute", "python_executor", True),
        ("python-executor.execute", "python", False),
        ("python:package.module:function", "python:package.*", True),
        ("python:package.module:function", "python", False),
        ("mcp:server/tool", "mcp:server/*", True),
    ],
)
def test_patterns(uses: str, pattern: str, fitting: bool) -> None:
    assert fits(uses, [pattern]) is fitting


def test_a_fleet_changes_the_level_of_a_tool() -> None:
    rules = ToolsSection(levels={"*": Level.RESTRICTED, "terminal": Level.STANDARD})
    assert rules.level_of("terminal.execute", Level.RESTRICTED) is Level.STANDARD
    assert rules.level_of("http.get", Level.STANDARD) is Level.RESTRICTED
    assert ToolsSection().level_of("http.get", Level.STANDARD) is Level.STANDARD
