"""Sections of MCP servers: what they may say, and what is refused, each in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.project import McpTransport, Project, load_project
from orchestrator_client.loader import loads


def loaded(folder: Path, text: str) -> Project:
    file = folder / "orchestrator.toml"
    file.write_text(text)
    return load_project(file)


def test_two_servers(tmp_path: Path) -> None:
    project = loaded(
        tmp_path,
        """
        [mcp.time]
        command = "mcp-server-time"
        env = ["TZ"]
        [mcp.tracker]
        url = "https://tracker.example/mcp"
        headers = { Authorization = "secret://TRACKER" }
        """,
    )
    time, tracker = project.mcp["time"], project.mcp["tracker"]
    assert (time.speaks, time.variables) == (McpTransport.STDIO, {"TZ": "TZ"})
    assert (tracker.speaks, tracker.pinned, tracker.sampling) == (McpTransport.HTTP, False, False)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("", "write either command (a program) or url (a server that runs already)"),
        ('command = "a"\nurl = "http://b/"', "write either command (a program) or url"),
        ('command = " "', "command is empty"),
        ('url = "ftp://b/"', "mcp.it.url: string should match pattern"),
        ('url = "http://b/"\ntransport = "stdio"', "transport stdio needs a command"),
        ('command = "a"\ntransport = "sse"', "transport sse needs a url"),
        ('url = "http://b/"\nargs = ["x"]', "args and env are for a command; a url takes headers"),
        ('command = "a"\nheaders = {X = "Y"}', "headers are for a url; a command takes env"),
        ('command = "a"\nlevel = "restricted"', "a worker cannot restrict a process that is a server"),
        ('command = "a"\ntimeout_seconds = 0', "mcp.it.timeout_seconds: input should be greater than 0"),
        ('command = "a"\npined = true', "mcp.it.pined: extra inputs are not permitted"),
    ],
)
def test_nonsense_is_named(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        loaded(tmp_path, f"[mcp.it]\n{section}")
    assert said in str(raised.value)


def test_a_name_that_no_plan_could_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="string should match pattern"):
        loaded(tmp_path, '[mcp."a/b"]\ncommand = "a"')


def test_a_plan_that_names_a_server_which_is_not_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orchestrator.toml").write_text('[mcp.time]\ncommand = "mcp-server-time"\n')
    monkeypatch.chdir(tmp_path)
    file = "id: p\nsteps:\n  - {id: now, tool: 'mcp:tim/get_current_time', parameters: {timezone: UTC}}\n"
    [warning] = loads(file).warnings
    assert warning.code == "unchecked-tool"
    assert "no section [mcp.tim]" in warning.message
    assert "time" in warning.remedy
    (tmp_path / "orchestrator.toml").write_text("")
    assert not loads(file).warnings, "where none is declared, workers may have others"


def test_a_plan_that_says_how_its_server_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = "{server_name: time, server_config: {command: mcp-server-time}}"
    file = f"id: p\nsteps:\n  - {{id: now, tool: mcp-server, action: connect, parameters: {given}}}\n"
    [warning] = loads(file).warnings
    assert (warning.code, warning.line) == ("no-effect", 3)
    assert "what its orchestrator.toml says of [mcp.time]" in warning.message
    (tmp_path / "orchestrator.toml").write_text('[mcp.time]\ncommand = "mcp-server-time"\n')
    assert not loads(file).warnings, "where it is declared, the plan is answered"
