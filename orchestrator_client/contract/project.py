"""A project's own configuration, `orchestrator.toml`: providers, models, limits and budgets. Secrets are never in it;
it names the environment variables that hold them."""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator_client.contract.caps import TIMEOUT_SECONDS
from orchestrator_client.contract.catalog.patterns import fits
from orchestrator_client.contract.catalog.spec import Level
from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL, Limits

FILE_VARIABLE = "ORCHESTRATOR_CONFIG"
"""Environment variable with the path of the file."""
FILE_NAME = "orchestrator.toml"
"""Read from the working folder where the variable is not set; it need not be there."""


class Section(BaseModel):
    """Base of all sections: a key that nobody reads is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProviderKind(StrEnum):
    """Whose API a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    OPENAI_COMPATIBLE = "openai-compatible"


class ProviderSection(Section):
    """`[providers.<name>]`: where a provider is, and which variables of the workers' environment hold its keys."""

    kind: ProviderKind | None = None
    """None: the vendor of that name, else `openai-compatible`."""
    base_url: str | None = None
    api_version: str | None = None
    """Anthropic: the header `anthropic-version`. Google: `v1` or `v1beta`. OpenAI: not used."""
    api: Literal["responses", "chat"] = "chat"
    """Of an openai-compatible server: which of OpenAI's two APIs it speaks."""
    key: str | None = None
    """Environment variable with the key. None: the vendor's own name for it. An openai-compatible server without one
    is called without a key."""
    credentials: dict[str, str] = Field(default_factory=dict)
    """Further accounts: name -> environment variable with the key."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request. Not for secrets."""


class ModelSection(Section):
    """`[models."<provider>/<model>"]`: a model that `AUTO` and `selection` may choose, and what is known of it."""

    tasks: tuple[str, ...] = ()
    """What it is good at: `chat`, `code`, `analysis`, `vision`; empty for anything."""
    expertise: Literal["low", "medium", "high", "very-high"] = "medium"
    modalities: tuple[str, ...] = ("text",)
    """What it reads: `text`, `image`, `audio`, `document`."""
    context_tokens: int | None = Field(default=None, gt=0)
    """Longest prompt and reply together."""
    max_output_tokens: int | None = Field(default=None, gt=0)
    quality: float = Field(default=0.5, ge=0, le=1)
    """How good its answers are, by the project's own judgement."""
    speed: float = Field(default=0.5, ge=0, le=1)
    """How fast it is, by the project's own judgement."""
    size_billions: float | None = Field(default=None, gt=0)
    """Parameters, for pipelines that ask for a least size."""
    credential: str = DEFAULT_CREDENTIAL
    input_usd_per_million: Decimal | None = Field(default=None, ge=0)
    cached_input_usd_per_million: Decimal | None = Field(default=None, ge=0)
    output_usd_per_million: Decimal | None = Field(default=None, ge=0)
    """Prices that replace the list's, per million tokens."""


class OnBreach(StrEnum):
    """What a call meets that its budget does not pay for."""

    FAIL = "fail"
    """Its step fails."""
    PAUSE = "pause"
    """It waits until the budget is raised or its period ends."""
    CHEAPER = "cheaper"
    """The cheapest of the step's other models that the budget pays for answers instead; if none, its step fails."""


class BudgetSection(Section):
    """`[budgets.run]`, `[budgets.tag.<tag>]`, `[budgets.tenant.<tenant>]`: money that may be spent."""

    usd: Decimal = Field(gt=0)
    per: Literal["day", "month", "ever"] = "month"
    """Period, in UTC, after which a tag's or tenant's budget begins anew. A run's is for the run."""
    on_breach: OnBreach = OnBreach.FAIL


class BudgetsSection(Section):
    run: BudgetSection | None = None
    """Of each run that is submitted without one."""
    tag: dict[str, BudgetSection] = Field(default_factory=dict)
    tenant: dict[str, BudgetSection] = Field(default_factory=dict)


class CageLimits(Section):
    """`[tools.limits]`: what one restricted call may take, its children included where nothing else is said."""

    cpu_seconds: float = Field(default=3600.0, gt=0)
    """Time of the processor, of each process."""
    memory_bytes: int = Field(default=1024**3, gt=0)
    """Held at one time. Each process may reserve 16 times as much of addresses."""
    file_bytes: int = Field(default=1024**3, gt=0)
    """Of each file that it writes."""
    processes: int = Field(default=256, gt=0)
    """Processes and threads at one time."""
    open_files: int = Field(default=256, gt=0)
    """Of each process."""
    output_bytes: int = Field(default=256 * 1024**2, gt=0)
    """Of stdout, and of stderr. What is kept of them is less."""
    wall_seconds: float = Field(default=TIMEOUT_SECONDS, gt=0)
    """From its start to its end, whatever `timeout` its step gives it."""


class ToolsSection(Section):
    """`[tools]`: how far this fleet trusts its tools. Patterns are as `contract.catalog.patterns` reads them."""

    levels: dict[str, Level] = Field(default_factory=dict)
    """Pattern -> level, in the place of the catalogue's; of several that fit, the last."""
    allow_hosts: tuple[str, ...] = ()
    """Addresses that tools of level `standard` may reach beside public ones: `host`, `host:port`, `*.domain`, an
    address or a network."""
    network: tuple[str, ...] = ()
    """Restricted tools that have the worker's network."""
    namespaces: bool = True
    """Whether restricted calls get namespaces of their own where the kernel gives them."""
    limits: CageLimits = CageLimits()

    def level_of(self, uses: str, own: Level) -> Level:
        """The level of a tool in this fleet; `own` is the catalogue's."""
        return next((level for pattern, level in reversed(self.levels.items()) if fits(uses, (pattern,))), own)


class Project(Section):
    """The whole file."""

    default_model: str | None = None
    providers: dict[str, ProviderSection] = Field(default_factory=dict)
    models: dict[str, ModelSection] = Field(default_factory=dict)
    limits: dict[str, Limits] = Field(default_factory=dict)
    """By scope pattern, see `limits.limits_for`."""
    budgets: BudgetsSection = BudgetsSection()
    tools: ToolsSection = ToolsSection()
    secrets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name of a secret -> patterns of the tools that may use it; one that is not named, all may."""


def load_project(path: Path | None = None) -> Project:
    """The configuration at `path`, else where the environment says, else in the working folder, else none.

    Raises:
        ConfigInvalid: the file cannot be read, or says something that is not understood.
    """
    named = path or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    file = named or Path(FILE_NAME)
    if named is None and not file.exists():
        return Project()
    try:
        return Project.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigInvalid(str(file), [_problem(problem) for problem in error.errors(include_url=False)]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(str(file), [str(error)]) from None


def _problem(problem: object) -> str:
    details = dict(problem)  # type: ignore[call-overload]
    return f"{'.'.join(str(part) for part in details['loc'])}: {str(details['msg']).lower()}"
