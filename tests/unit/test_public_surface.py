"""What others rely on: the names of the package, what an import costs, and the contract of every script."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

import orchestrator_client
from orchestrator_worker.store import Store

ROOT = Path(__file__).parents[2]
WORKER_SCRIPTS = sorted((ROOT / "orchestrator_worker/scripts").glob("*.lua"))
CLIENT_SCRIPTS = sorted((ROOT / "orchestrator_client").rglob("scripts/*.lua"))
PARTS = {
    "admission",
    "budgets",
    "delivery",
    "family",
    "gates",
    "instances",
    "keeping",
    "pace",
    "pausing",
    "progress",
    "waiting",
}
"""What several scripts need in front of them; of themselves they do nothing."""
WORKER_VERBS = [script for script in WORKER_SCRIPTS if script.stem not in PARTS]
VERBS = [script for script in (*WORKER_VERBS, *CLIENT_SCRIPTS) if script.stem not in PARTS | {"clock"}]

EXPORTED = {
    "AsyncClient",
    "AsyncRun",
    "BudgetView",
    "Client",
    "ConfigInvalid",
    "CostReport",
    "Delta",
    "Dropped",
    "END",
    "Estimate",
    "Event",
    "EventKind",
    "Finding",
    "GateView",
    "InputsInvalid",
    "Judgement",
    "OrchestratorError",
    "Plan",
    "PlanInvalid",
    "Run",
    "RunConflict",
    "RunDocument",
    "RunProgress",
    "RunFailed",
    "RunNotFound",
    "RunRecord",
    "RunState",
    "START",
    "Send",
    "StateGraph",
    "StoreUnavailable",
    "Variable",
    "VariableScope",
    "VariableType",
    "Version",
    "Why",
    "Written",
    "interrupt",
    "load",
    "loads",
    "model",
    "run_pipeline",
    "tool",
}

VENDORS = {"openai", "anthropic", "google.genai", "google.generativeai", "mcp", "langchain", "langchain_core"}
HEAVY = VENDORS | {"google", "celery", "kombu", "redis", "jinja2", "ruamel"}


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has after this statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_the_package_exports_these_names_and_no_others() -> None:
    assert len(orchestrator_client.__all__) == len(EXPORTED)
    assert set(orchestrator_client.__all__) == EXPORTED


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_every_name_is_there_and_is_called_so(name: str) -> None:
    found = getattr(orchestrator_client, name)
    assert getattr(found, "__name__", name) == name


def test_a_name_that_is_not_exported_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Colour'"):
        orchestrator_client.Colour  # noqa: B018


def test_importing_the_client_loads_nothing_heavy() -> None:
    loaded = loaded_by("import orchestrator_client")
    assert "orchestrator_client" in loaded
    assert not HEAVY & loaded


def test_a_client_loads_neither_what_reads_plan_files_nor_what_workers_need() -> None:
    loaded = loaded_by("import orchestrator_client.client")
    assert {"orchestrator_client.client", "redis"} <= loaded
    assert not HEAVY - {"redis"} & loaded
    assert not {"rich", "orchestrator_client.contract.catalog", "orchestrator_client.contract.template"} & loaded


def test_importing_the_worker_loads_no_vendor() -> None:
    loaded = loaded_by("import orchestrator_worker.tasks")
    assert {"orchestrator_worker.tasks", "celery"} <= loaded
    assert not VENDORS & loaded


def test_the_worker_imports_of_the_client_only_the_contract() -> None:
    loaded = loaded_by("import orchestrator_worker.tasks")
    client = {name for name in loaded if name.startswith("orchestrator_client.")}
    assert {name for name in client if not name.startswith("orchestrator_client.contract")} == set()


# --- scripts ---------------------------------------------------------------------------------------------------------


def header_of(script: Path) -> list[str]:
    """The comment at the top of a script, line by line, without the parts that it needs."""
    lines = re.sub(r"\A-- needs: .*\n", "", script.read_text("utf-8")).splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("--"))
    return [line.removeprefix("--").strip() for line in lines[:end]]


def needed_by(script: Path) -> list[str]:
    """The parts that a script names in its first line."""
    found = re.match(r"-- needs: (.*)\n", script.read_text("utf-8"))
    return [part for part in found[1].split() if not part.endswith("()")] if found else []


def file_of(part: str) -> Path:
    """Where a part lies: with the worker's scripts, or with those of both rooms."""
    return next(script for script in (*WORKER_SCRIPTS, *CLIENT_SCRIPTS) if script.stem == part)


def functions_of(part: str) -> set[str]:
    """What a part defines."""
    text = file_of(part).read_text("utf-8")
    return set(re.findall(r"^local function (\w+)", text, re.MULTILINE))


def numbered(header: list[str], word: str) -> list[int]:
    """Numbers that a header gives its keys or arguments, also on the lines that continue it."""
    start = next(at for at, line in enumerate(header) if line.startswith(word))
    text = header[start].removeprefix(word)
    for line in header[start + 1 :]:
        if re.match(r"(KEYS|ARGV|Reply)", line):
            break
        text += "  " + line
    return [int(number) for number in re.findall(r"(?:^|\s)(\d+)…? (?=[a-z])", text)]


def test_there_are_scripts_to_look_at() -> None:
    assert len(WORKER_SCRIPTS) >= 7
    client = {"submit", "cancel", "answer", "clock", "set_limits", "learn_limits", "set_budget", "stream_text"}
    client |= {"set_variables"}
    assert {script.stem for script in CLIENT_SCRIPTS} >= client


@pytest.mark.parametrize("script", VERBS, ids=lambda script: script.stem)
def test_a_script_says_what_it_does_and_what_it_takes_and_replies(script: Path) -> None:
    header = header_of(script)
    summary = takewhile(lambda line: not line.startswith("KEYS"), header)
    assert " ".join(summary).endswith(".")
    assert [line.split()[0].rstrip(":") for line in header if re.match(r"(KEYS|ARGV|Reply:)", line)] == [
        "KEYS",
        "ARGV",
        "Reply",
    ]


@pytest.mark.parametrize("script", VERBS, ids=lambda script: script.stem)
def test_a_script_uses_the_keys_that_its_header_names(script: Path) -> None:
    text = script.read_text("utf-8")
    named = numbered(header_of(script), "KEYS")
    assert named == list(range(1, len(named) + 1))
    assert {int(key) for key in re.findall(r"KEYS\[(\d+)\]", text)} == set(named)


@pytest.mark.parametrize("script", VERBS, ids=lambda script: script.stem)
def test_a_script_uses_no_argument_that_its_header_does_not_name(script: Path) -> None:
    named = numbered(header_of(script), "ARGV")
    assert named == list(range(1, len(named) + 1))
    used = {int(argument) for argument in re.findall(r"ARGV\[(\d+)\]", script.read_text("utf-8"))}
    assert used <= set(named)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_says_what_it_is_about_and_takes_no_key_or_argument_of_its_own(part: str) -> None:
    script = file_of(part)
    assert header_of(script)
    assert not re.search(r"\b(KEYS|ARGV)\[", script.read_text("utf-8"))


@pytest.mark.parametrize("script", WORKER_VERBS, ids=lambda script: script.stem)
def test_a_script_has_in_front_of_it_what_it_calls(script: Path) -> None:
    text, needed = script.read_text("utf-8"), needed_by(script)
    elsewhere = {name for part in PARTS - set(needed) for name in functions_of(part)}
    called = set(re.findall(r"\b(\w+)\(", text)) - set(re.findall(r"local function (\w+)", text))
    assert set(needed) <= PARTS
    assert not called & elsewhere


@pytest.mark.parametrize("script", WORKER_VERBS, ids=lambda script: script.stem)
def test_a_workers_script_is_called_by_a_method_of_its_name(script: Path) -> None:
    method = getattr(Store, script.stem)
    assert callable(method)
    assert script.stem in method.__code__.co_consts


def test_the_clock_heads_every_script_and_says_so() -> None:
    clock = next(script for script in CLIENT_SCRIPTS if script.stem == "clock")
    assert any("orc:clock" in line for line in header_of(clock))
