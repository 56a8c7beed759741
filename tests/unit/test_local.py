"""Which workers a fleet on this machine starts, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.plan import Loop, LoopKind, Plan, Step, StepKind
from orchestrator_client.contract.project import FILE_VARIABLE
from orchestrator_client.local import LocalFleet, config_file, queues_of

TOML = '[providers.lab]\nbase_url = "http://127.0.0.1:1/v1"\n'
EVERYBODY = {"model.openai", "model.anthropic", "model.google", "model.auto"}


class Started(LocalFleet):
    """Remembers what it would start."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, redis_url="redis://127.0.0.1:1/0")
        self.started: list[tuple[set[str], dict[str, str]]] = []

    def spawn(self, command: list[str], log: Path, environment: dict[str, str]) -> None:  # type: ignore[override]
        self.started.append((set(command[command.index("--queues") + 1].split(",")), environment))


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    return Started(tmp_path)


def asks(model: str | None, **parameters: object) -> Step:
    return Step(id="ask", kind=StepKind.MODEL, uses="generate", model=model, parameters=parameters)


def test_a_plan_that_names_its_models_needs_their_queues_only() -> None:
    """A worker imports an SDK for each of its queues, before it takes a message."""
    within = Step(
        id="each", kind=StepKind.CONTROL, uses="map", loop=Loop(kind=LoopKind.MAP, steps=(asks("gemini-2.5"),))
    )
    assert queues_of(Plan(id="p", steps=(within,))) == {"control", "model.openai", "model.google"}
    fallen_back = asks("gpt-5", fallback_models=["claude-haiku-4-5"])
    assert queues_of(Plan(id="p", steps=(fallen_back,))) == {"model.openai", "model.anthropic"}


@pytest.mark.parametrize("step", [asks("AUTO"), asks("{{ m }}"), asks("gpt-5", prompt="<AUTO>what?</AUTO>")])
def test_a_plan_that_chooses_as_it_runs_needs_all(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orchestrator.toml").write_text(TOML)
    assert queues_of(Plan(id="p", steps=(step,))) >= {*EVERYBODY, "model.lab"}


def test_a_plan_without_models_starts_no_worker_for_them(fleet: Started) -> None:
    fleet.serve({"tool"})
    assert [queues for queues, _ in fleet.started] == [{"tool", "control"}]
    fleet.serve({"tool", "model.openai"})
    fleet.serve({"model.openai"})
    assert [queues for queues, _ in fleet.started[1:]] == [{"model.openai"}]


def test_a_provider_that_only_a_later_plan_names_gets_a_worker(fleet: Started) -> None:
    fleet.serve({"model.openai"})
    fleet.serve({"model.ollama"})
    assert fleet.started[-1][0] == {"model.ollama"}


def test_workers_find_the_configuration_wherever_they_run(fleet: Started, tmp_path: Path) -> None:
    assert config_file() is None
    (tmp_path / "orchestrator.toml").write_text(TOML)
    fleet.serve({"tool"})
    assert fleet.started[0][1][FILE_VARIABLE] == str(tmp_path / "orchestrator.toml")


def test_a_configuration_that_is_named_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FILE_VARIABLE, "else/where.toml")
    assert config_file() == tmp_path / "else/where.toml"
    with pytest.raises(ConfigInvalid, match=r"where\.toml"):
        queues_of(Plan(id="p", steps=(asks("AUTO"),)))
