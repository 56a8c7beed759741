"""What a worker is told by its environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator_client.contract import caps
from orchestrator_worker.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"ORCHESTRATOR_{field.upper()}", raising=False)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("redis_url", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("workdir", "/data/{run}", "/data/{run}"),
        ("allow_paths", "/a:/b c", (Path("/a"), Path("/b c"))),
        ("allow_paths", ":/a::", (Path("/a"),)),
        ("allow_paths", "", ()),
        ("default_model", "gpt-5", "gpt-5"),
        ("lease_seconds", "2.5", 2.5),
        ("beat_seconds", "0.1", 0.1),
        ("hint_seconds", "1", 1.0),
        ("shutdown_seconds", "0", 0.0),
        ("store_patience_seconds", "3", 3.0),
        ("retention_seconds", "60", 60),
        ("value_bytes", "1024", 1024),
        ("events", "true", True),
        ("events", "0", False),
    ],
)
def test_each_field_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, field: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"ORCHESTRATOR_{field.upper()}", text)
    assert getattr(Settings(), field) == value
    assert {name for name, of in Settings() if of != Settings.model_fields[name].default} <= {field}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("lease_seconds", "0.5"),
        ("lease_seconds", "soon"),
        ("beat_seconds", "0"),
        ("hint_seconds", "-1"),
        ("shutdown_seconds", "-1"),
        ("store_patience_seconds", "0"),
        ("retention_seconds", "59"),
        ("retention_seconds", "60.5"),
        ("value_bytes", "0"),
        ("events", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_and_its_setting_named(monkeypatch: pytest.MonkeyPatch, field: str, text: str) -> None:
    monkeypatch.setenv(f"ORCHESTRATOR_{field.upper()}", text)
    with pytest.raises(ValidationError, match=field):
        Settings()


@pytest.mark.parametrize("field", ["lease_seconds", "beat_seconds", "hint_seconds", "shutdown_seconds"])
@pytest.mark.parametrize("text", ["inf"])
def test_times_are_finite(monkeypatch: pytest.MonkeyPatch, field: str, text: str) -> None:
    monkeypatch.setenv(f"ORCHESTRATOR_{field.upper()}", text)
    with pytest.raises(ValidationError, match=field):
        Settings()


def test_variables_that_are_no_setting_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_COLOUR", "red")
    monkeypatch.setenv("LEASE_SECONDS", "7")
    assert Settings() == Settings(redis_url="redis://127.0.0.1:6379/0", value_bytes=caps.VALUE_BYTES)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().lease_seconds = 5.0


def test_the_folder_of_a_run_is_absolute_and_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().folder("r_1") == tmp_path / "orchestrator-runs" / "r_1"
    assert Settings(workdir="/data/{run}/x/{run}").folder("r") == Path("/data/r/x/r")
    assert Settings(workdir="/shared{0}").folder("r") == Path("/shared{0}")
