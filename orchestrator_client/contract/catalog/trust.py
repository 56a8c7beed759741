"""What each tool does with content: whose words its result is, and where what it is given may go.

The loader follows this through a plan (`loader.taint`); no worker reads it. Every tool of the catalogue is named here,
so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator_client.contract.catalog.servers import SERVERS


class Sends(StrEnum):
    """When a tool carries what it is given out of the run, or does what cannot be undone."""

    NEVER = "never"
    ALWAYS = "always"
    ADDRESSED = "addressed"
    """If its address is made of other steps' values: whoever owns the address reads it."""
    OUTSIDE = "outside"
    """If its path lies outside of the run's folder."""


class Decides(StrEnum):
    """What a parameter decides, in the words of messages."""

    COMMAND = "the command"
    CODE = "the code"
    HOST = "the host"
    PATH = "the path"
    TOOL = "the tool"


@dataclass(frozen=True, slots=True)
class Trust:
    """One tool, or one of its actions. Parameters are named as the record has them."""

    untrusted: bool = False
    """Its result is what strangers may have written."""
    private: bool = False
    """Its result is what not everybody may know."""
    sends: Sends = Sends.NEVER
    address: tuple[str, ...] = ()
    """Parameters that make up the address that is asked."""
    decides: Mapping[str, Decides] = field(default_factory=dict)
    """Parameters that decide what is done, and not only what it is done with."""
    private_outside: bool = False
    """Its result is private if its path lies outside of the run's folder."""


_ADDRESS = ("url", "query", "headers")
_HOST = {"url": Decides.HOST}
_PATH = {"path": Decides.PATH}
_TRANSFER = {"source": Decides.PATH, "destination": Decides.PATH}
_OUTPUT = {"output_path": Decides.PATH}

_ASKS = Trust(untrusted=True, sends=Sends.ADDRESSED, address=_ADDRESS, decides=_HOST)
_SUBMITS = Trust(untrusted=True, sends=Sends.ALWAYS, address=_ADDRESS, decides=_HOST)
_BROWSES = Trust(untrusted=True, sends=Sends.ADDRESSED, address=("url",))
_CALLS_A_SERVER = Trust(
    untrusted=True, sends=Sends.ALWAYS, decides={"server_name": Decides.TOOL, "tool_name": Decides.TOOL}
)
_CALLS_A_STRANGER = Trust(untrusted=True, sends=Sends.ALWAYS)
_READS_A_FILE = Trust(decides=_PATH, private_outside=True)
_CHANGES_A_FILE = Trust(sends=Sends.OUTSIDE, decides=_PATH)
_INERT = Trust()
"""Its result is as good as what it was given."""

TRUST: Mapping[str, Trust] = {
    **dict.fromkeys(("http.get", "http.head"), _ASKS),
    **dict.fromkeys(("http.post", "http.put", "http.patch", "http.delete", "http.request"), _SUBMITS),
    "web-search": Trust(untrusted=True),
    "headless-browser": _BROWSES,
    "terminal": Trust(sends=Sends.ALWAYS, decides={"command": Decides.COMMAND, "working_dir": Decides.PATH}),
    "python-executor": Trust(sends=Sends.ALWAYS, decides={"code": Decides.CODE}),
    "python": Trust(decides={"function": Decides.TOOL}),
    **dict.fromkeys(("filesystem.read", "filesystem.list"), _READS_A_FILE),
    "filesystem.exists": Trust(decides=_PATH),
    **dict.fromkeys(("filesystem.write", "filesystem.append", "filesystem.delete"), _CHANGES_A_FILE),
    **dict.fromkeys(("filesystem.copy", "filesystem.move"), Trust(sends=Sends.OUTSIDE, decides=_TRANSFER)),
    "pdf-compiler": Trust(sends=Sends.OUTSIDE, decides=_OUTPUT),
    "markdown-to-html": Trust(sends=Sends.OUTSIDE, decides=_OUTPUT),
    "visualization": Trust(sends=Sends.OUTSIDE, decides={"output_dir": Decides.PATH}),
    "mcp-memory": _INERT,
    **dict.fromkeys(("mcp-memory.retrieve", "mcp-memory.list"), Trust(private=True)),
    SERVERS: _INERT,
    **dict.fromkeys((f"{SERVERS}.execute_tool", f"{SERVERS}.call_tool"), _CALLS_A_SERVER),
    **dict.fromkeys(("data-processing", "validation", "text", "report-generator", "debug"), _INERT),
    **dict.fromkeys(("task-delegation", "multi-model-routing", "prompt-optimization"), _INERT),
    **dict.fromkeys(("user-prompt", "approval-gate", "feedback-collection"), _INERT),
}
"""By action, or else by tool."""

_ELSEWHERE: Mapping[str, Trust] = {"mcp": _CALLS_A_STRANGER, "langchain": _CALLS_A_STRANGER}
"""By the prefix of tools that are no part of this. Functions (`python:`) and plugins are the operator's own code."""


def trust_of(uses: str) -> Trust:
    """What a tool does with content, by its registry name."""
    prefix, colon, _ = uses.partition(":")
    if colon:
        return _ELSEWHERE.get(prefix, _INERT)
    return TRUST.get(uses) or TRUST.get(uses.rpartition(".")[0], _INERT)
