"""Secrets that a server is given: resolved, granted and masked by the vault, as those of every other tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import CredentialMissing
from orchestrator_client.contract.project import McpSection
from orchestrator_worker.steps.base import Fail
from orchestrator_worker.vault import Vault
from tests.conformance.mcp.conftest import Pool, Remote, run, stdio
from tests.conformance.tools.caller import ToolCaller

TOKEN, KEY = "sesame-open-up-42", "key-of-the-tracker"


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """One that has a secret of the environment and one of a file, each for some tools only."""
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", TOKEN)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "FILED").write_text("filed-away-42\n")
    return Vault(tmp_path / "secrets", {"TOKEN": ("mcp:it/*",), "FILED": ("mcp:other/*", "mcp:it/echo")})


def test_headers_are_sent_and_never_told(
    served: Callable[[McpSection], None],
    vault: Vault,
    remotes: Callable[[str], Remote],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_KEY", KEY)
    served(remotes("http").section(headers={"Authorization": "Bearer secret://TOKEN", "X-Key": "TRACKER_KEY"}))
    caller = ToolCaller(tmp_path / "run", vault=vault)
    told = caller.result("mcp:it/headers", words="to say").output
    assert "'authorization': 'Bearer [secret TOKEN]'" in told
    assert "'x-key': '[secret TRACKER_KEY]'" in told
    assert told.endswith("to say")
    failed = caller.want("mcp:it/headers", words="", fails=True)
    assert isinstance(failed, Fail)
    vault.mask_error(failed.error)
    for value in (TOKEN, KEY):
        assert value not in f"{failed.error} {failed.value}"


@pytest.mark.parametrize("server", ["it", "other"])
def test_a_secret_is_given_to_a_server_that_may_have_it_for_all_of_its_tools(
    served: Callable[[McpSection], None], vault: Vault, tmp_path: Path, server: str
) -> None:
    name = {"it": "TOKEN", "other": "FILED"}[server]
    served(stdio(env={"KEY": f"secret://{name}"}))
    caller = ToolCaller(tmp_path / "run", vault=vault)
    assert caller.result(f"mcp:{server}/environment").output["KEY"] == f"[secret {name}]"
    refused = {"it": "other", "other": "it"}[server]
    with pytest.raises(CredentialMissing, match=f"secret '{name}' is not for mcp:{refused}/\\*; "):
        caller.result(f"mcp:{refused}/environment")


def test_a_secret_that_is_not_there_is_named(pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(stdio(env={"KEY": "secret://NOWHERE"})) as server:
            with pytest.raises(CredentialMissing, match="this worker has no secret 'NOWHERE'; set ORCHESTRATOR_SECRET"):
                await server.call("echo", text="")

    run(main())
