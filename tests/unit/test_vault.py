"""Secrets by name: what is opened, for whom, and that no form of one leaves the worker."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client.contract.errors import CredentialMissing, ParametersInvalid, ToolFailed
from orchestrator_worker.vault import SHORTEST, Vault, hide_in_logs

CANARY = 'cänary/"+value?7'


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", CANARY)
    (tmp_path / "FROM_FILE").write_text("secret in a file\n")
    return Vault(tmp_path, {"TOKEN": ("http.*", "terminal")})


def test_a_secret_is_the_variable_or_the_file_of_its_name(vault: Vault) -> None:
    written = {"headers": {"Authorization": "Bearer secret://TOKEN"}, "body": ["secret://FROM_FILE"], "n": 1}
    assert vault.opened(written, written, "http.get") == {
        "headers": {"Authorization": f"Bearer {CANARY}"},
        "body": ["secret in a file"],
        "n": 1,
    }


def test_only_what_the_plan_wrote_is_opened(vault: Vault) -> None:
    written = {"url": "{{ page }}", "body": "secret://TOKEN {{ page }}", "list": "{{ items }}"}
    rendered = {"url": "secret://TOKEN", "body": "secret://TOKEN secret://TOKEN", "list": ["secret://TOKEN"]}
    assert vault.opened(written, rendered, "http.get") == rendered


@pytest.mark.parametrize(
    ("name", "uses", "message"),
    [
        ("NONE", "http.get", "no secret 'NONE'; set ORCHESTRATOR_SECRET_NONE"),
        ("TOKEN", "filesystem.write", "secret 'TOKEN' is not for filesystem.write"),
    ],
)
def test_what_a_tool_may_not_have_is_refused(vault: Vault, name: str, uses: str, message: str) -> None:
    with pytest.raises(CredentialMissing, match=message):
        vault.opened(f"secret://{name}", f"secret://{name}", uses)


def test_one_too_short_to_be_masked_is_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_SHORT", "x" * (SHORTEST - 1))
    with pytest.raises(ParametersInvalid, match="too short to be masked"):
        vault.opened("secret://SHORT", "secret://SHORT", "http.get")


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        json.dumps(CANARY)[1:-1],
        json.dumps(CANARY, ensure_ascii=False)[1:-1],
        quote(CANARY),
        quote(CANARY, safe=""),
        quote_plus(CANARY),
        CANARY.encode().hex(),
    ],
)
def test_every_form_of_it_is_masked(vault: Vault, form: str) -> None:
    assert vault.masked({"a": [f"<{form}>"], form: 1}) == {"a": ["<[secret TOKEN]>"], "[secret TOKEN]": 1}


@given(before=st.text(max_size=7), behind=st.text(max_size=7))
def test_base64_is_masked_wherever_it_stands_in_what_was_encoded(before: str, behind: str) -> None:
    vault = Vault(Path("/nonexistent"), {})
    vault.learn("TOKEN", "a canary of some length")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert "[secret TOKEN]" in vault.masked_text(
            encode(f"{before}a canary of some length{behind}".encode()).decode()
        )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n", "\\r\\n", "\\\\n"])
def test_base64_that_is_broken_into_lines_is_masked(vault: Vault, end: str) -> None:
    for before in range(76):
        lines = base64.encodebytes(b"x" * before + b"secret in a file" + b"y" * 60).decode().replace("\n", end)
        masked = vault.masked_text(f"first{end}{lines}last")
        assert "[secret FROM_FILE]" in masked
        assert masked.startswith(f"first{end}")
        assert masked.endswith(f"{end}last")
        joined = masked.replace(end, "")
        assert vault.masked_text(joined) == joined


def test_a_message_that_was_cut_has_no_beginning_of_one(vault: Vault) -> None:
    error = ToolFailed(f"HTTP 400: {CANARY} and again {CANARY[:-4]}")
    vault.mask_error(error)
    assert str(error) == "HTTP 400: [secret TOKEN] and again [secret TOKEN]"
    assert error.args == (str(error), True)


def test_a_worker_without_secrets_copies_nothing(tmp_path: Path) -> None:
    value = {"a": ["b"]}
    assert Vault(tmp_path, {}).masked(value) is value


def test_logs_have_none(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    factory = logging.getLogRecordFactory()
    try:
        hide_in_logs(vault)
        try:
            raise ValueError(f"bad {CANARY}")
        except ValueError:
            logging.getLogger("some.library").exception("calling with %s", CANARY)
    finally:
        logging.setLogRecordFactory(factory)
    assert CANARY not in caplog.text
    assert "calling with [secret TOKEN]" in caplog.text
    assert "ValueError: bad [secret TOKEN]" in caplog.text
