"""What is said of a tool, wherever it comes from: the record that a registry lists and a model is offered."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orchestrator_client.contract.level import Level
from orchestrator_client.contract.record import Json, Record

LANGCHAIN_CONFIG, LANGCHAIN_ERRORS = "config", "error_pattern"
"""Parameters of a LangChain tool that are not its own: what it is made with, and the regular expression of failures
that it reports as text. They are a plan's to say, and never a model's."""


class Category(StrEnum):
    """What a tool is about."""

    WEB = "web"
    DATA = "data"
    SYSTEM = "system"
    LLM = "llm"
    MULTIMODAL = "multimodal"
    USER_INTERACTION = "user_interaction"
    PIPELINE = "pipeline"
    SECURITY = "security"
    VALIDATION = "validation"
    REPORT = "report"
    CODE_EXECUTION = "code_execution"
    MCP_INTEGRATION = "mcp_integration"
    CUSTOM = "custom"


class ToolSource(StrEnum):
    """Where a tool comes from."""

    NATIVE = "native"
    """The catalogue, `<tool>.<action>`; every worker has it."""
    PYTHON = "python"
    """A function by its import path, `python:package.module:function`."""
    LANGCHAIN = "langchain"
    """A LangChain tool by its import path, `langchain:package.module:Class`."""
    MCP = "mcp"
    """A tool of an MCP server, `mcp:server/tool`."""
    PLUGIN = "plugin"
    """What an installed package adds by the entry points of `orchestrator.tools`."""


class ToolInfo(Record):
    """One tool."""

    name: str
    """As a plan writes it."""
    source: ToolSource
    description: str
    parameters: dict[str, Json]
    """JSON Schema of an object."""
    result: dict[str, Json] | None = None
    """JSON Schema of what it leaves; None where that is not known."""
    category: Category = Category.CUSTOM
    tags: tuple[str, ...] = ()
    read_only: bool = False
    """It changes nothing; then it is idempotent too."""
    idempotent: bool = False
    """Doing it twice leaves what doing it once leaves, so it may be tried again."""
    level: Level = Level.TRUSTED

    @property
    def repeatable(self) -> bool:
        """Whether it may be called again where nobody knows if it was called."""
        return self.idempotent or self.read_only


class Artifact(Record):
    """A file that a tool left in the folder of its run."""

    name: str
    path: str
    """From the run's folder."""
    bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"
