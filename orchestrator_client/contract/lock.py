"""`orchestrator.lock`: what the MCP servers of a project were when somebody looked at them, so that no other is called.

It lies beside `orchestrator.toml`. Where there is one, every server must be in it, as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import FILE_NAME, FILE_VARIABLE, McpSection

LOCK_NAME = "orchestrator.lock"


class ToolPin(BaseModel):
    """Digests of what a server says of one tool: of all that a model is told, and by which it can be misled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    parameters: str
    result: str

    @classmethod
    def of(cls, description: str, parameters: Json, result: Json) -> ToolPin:
        """The digests of a tool as its server lists it now."""
        return cls(description=_digest(description), parameters=_digest(parameters), result=_digest(result))


class ServerPin(BaseModel):
    """One server: how it is reached, its release as it says itself, and its tools."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reached: str
    version: str
    tools: dict[str, ToolPin]

    def changes(self, now: ServerPin) -> Iterator[str]:
        """What is otherwise now, a line each."""
        if now.reached != self.reached:
            yield f"it is reached by {now.reached!r}, and was by {self.reached!r}"
        if now.version != self.version:
            yield f"it is release {now.version or '(unnamed)'}, and was {self.version or '(unnamed)'}"
        for name in sorted(self.tools.keys() | now.tools.keys()):
            yield from self.tool_changes(name, now.tools.get(name))

    def tool_changes(self, name: str, now: ToolPin | None) -> Iterator[str]:
        """What is otherwise with one tool; None: the server has it no more."""
        then = self.tools.get(name)
        if then is None:
            yield f"tool {name!r} is new"
        elif now is None:
            yield f"tool {name!r} is gone"
        else:
            changed = [part for part in ToolPin.model_fields if getattr(then, part) != getattr(now, part)]
            if changed:
                yield f"tool {name!r} has another {' and another '.join(changed)}"


class Lock(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mcp: dict[str, ServerPin] = {}

    def changes(self, now: Lock) -> Iterator[str]:
        """What is otherwise now, a line each."""
        for name in sorted(self.mcp.keys() | now.mcp.keys()):
            if name not in self.mcp or name not in now.mcp:
                yield f"mcp server '{name}': {'it is new' if name in now.mcp else 'it is gone'}"
            else:
                yield from (f"mcp server '{name}': {change}" for change in self.mcp[name].changes(now.mcp[name]))

    def to_text(self) -> str:
        """The file's text, the same for the same servers."""
        return json.dumps(self.model_dump(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def reached_by(section: McpSection) -> str:
    """The command line or URL of a server. Secrets stand in neither: they are in its environment and headers."""
    return section.url or " ".join((section.command or "", *section.args))


def lock_file() -> Path:
    """Where the lock of this project is, or would be."""
    return Path(os.environ.get(FILE_VARIABLE) or FILE_NAME).with_name(LOCK_NAME)


def load_lock() -> Lock | None:
    """The project's lock; None where there is none.

    Raises:
        ConfigInvalid: it cannot be read.
    """
    file = lock_file()
    try:
        return Lock.model_validate_json(file.read_text("utf-8")) if file.exists() else None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        problem = f"it cannot be read ({type(error).__name__}); `orchestrator tools lock` writes it anew"
        raise ConfigInvalid(str(file), [problem]) from None


def _digest(value: Json) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"
