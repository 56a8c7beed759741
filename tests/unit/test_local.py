"""Which workers a fleet on this machine starts, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.project import FILE_VARIABLE
from orchestrator_client.local import LocalFleet, config_file

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


def test_one_worker_calls_all_models(fleet: Started, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text(TOML)
    fleet.serve({"tool", "model.ollama"})
    assert [queues for queues, _ in fleet.started] == [
        {"tool", "control"},
        {*EVERYBODY, "model.lab", "model.ollama"},
    ]


def test_a_plan_without_models_starts_no_worker_for_them(fleet: Started) -> None:
    fleet.serve({"tool"})
    assert [queues for queues, _ in fleet.started] == [{"tool", "control"}]
    fleet.serve({"tool", "model.openai"})
    fleet.serve({"model.google"})
    assert [queues for queues, _ in fleet.started[1:]] == [EVERYBODY]


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
        Started(tmp_path).serve({"model.openai"})
