"""Secrets of the environment, as variables or as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client import Client
from orchestrator_client.contract.environment import redis_url, variable
from orchestrator_client.contract.errors import ConfigInvalid, CredentialMissing
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.settings import settings

NAME = "ACME_API_KEY"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for the variable, which is not set."""
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    return tmp_path / "key"


class TestVariable:
    def test_one_newline_at_the_end_is_the_editor_s(self, file: Path) -> None:
        file.write_text("sk-1\n\n")
        assert variable(NAME) == "sk-1\n"

    def test_the_variable_wins(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file.write_text("sk-1")
        monkeypatch.setenv(NAME, "sk-2")
        assert variable(NAME) == "sk-2"

    def test_neither_is_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(NAME, raising=False)
        assert variable(NAME) == ""

    def test_a_file_that_is_not_there(self, file: Path) -> None:
        with pytest.raises(ConfigInvalid, match=f"^{NAME}_FILE: cannot read {file}: No such file or directory$"):
            variable(NAME)

    def test_a_file_that_is_no_text(self, file: Path) -> None:
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigInvalid, match="it is not UTF-8"):
            variable(NAME)


class TestUses:
    def test_a_provider_s_key_is_read_at_each_call(self, file: Path) -> None:
        for key in ("sk-before", "sk-after"):
            file.write_text(f"{key}\n")
            assert Failures.with_key("acme", NAME).key == key

    def test_a_key_that_cannot_be_read_is_none(self, file: Path) -> None:
        with pytest.raises(CredentialMissing, match=f"no key for acme: {NAME}_FILE: cannot read"):
            Failures.with_key("acme", NAME)

    @pytest.mark.parametrize(
        ("url", "whole"),
        [
            ("redis://redis:6379/0", "redis://:p%40ss%2F%3A@redis:6379/0"),
            ("rediss://tools@redis/0", "rediss://tools:p%40ss%2F%3A@redis/0"),
            ("redis://:own@redis:6379/0", "redis://:own@redis:6379/0"),
            ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
            ("", ""),
        ],
    )
    def test_a_password_of_redis_may_stand_apart(self, url: str, whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", url)
        monkeypatch.setenv("ORCHESTRATOR_REDIS_PASSWORD", "p@ss/:")
        assert redis_url() == whole

    def test_the_address_of_redis(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "url").write_text("redis://:pw@redis.example:6379/0\n")
        monkeypatch.delenv("ORCHESTRATOR_REDIS_URL", raising=False)
        monkeypatch.setenv("ORCHESTRATOR_REDIS_URL_FILE", str(tmp_path / "url"))
        assert Client().url == "redis://:pw@redis.example:6379/0"
        assert settings.__wrapped__().redis_url == "redis://:pw@redis.example:6379/0"
