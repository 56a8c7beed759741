"""A project's own configuration, `orchestrator.toml`: providers, models, MCP servers, limits and budgets. Secrets are
never in it; it names the environment variables that hold them."""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator_client.contract import caps
from orchestrator_client.contract.caps import TIMEOUT_SECONDS
from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.limits import DEFAULT_CREDENTIAL, Limits
from orchestrator_client.contract.patterns import fits

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


class McpTransport(StrEnum):
    """How an MCP server is spoken to."""

    STDIO = "stdio"
    """A child process of the worker, over its stdin and stdout."""
    HTTP = "http"
    """Streamable HTTP."""
    SSE = "sse"
    """HTTP with server-sent events: what servers spoke before streamable HTTP."""


class McpSection(Section):
    """`[mcp.<name>]`: an MCP server, whose tools are called `mcp:<name>/<tool>`. Either `command` or `url` is given."""

    command: str | None = None
    """The program that is the server, on the PATH of workers or with its folder."""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | dict[str, str] = ()
    """Variables of the workers' environment that the program is given: their names, or name -> variable, or -> a text
    with `secret://NAME` in it. Of what is not named it sees PATH, HOME, LANG, LC_ALL, TZ and TMPDIR alone."""
    url: str | None = Field(default=None, pattern=r"^https?://")
    transport: McpTransport | None = None
    """None: `stdio` for a command, `http` for a URL."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request: header -> variable of the workers' environment that holds its value, all of it, or text
    with `secret://NAME` in it."""
    timeout_seconds: float = Field(default=60.0, gt=0, le=caps.TIMEOUT_SECONDS)
    """Longest time of one call; the step's own timeout may be shorter."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """A session that nobody has used for so long is ended."""
    max_life_seconds: float = Field(default=3600.0, gt=0)
    """A session this old takes no more calls, and is ended after its last."""
    pinned: bool = False
    """Whether the server remembers: each run then has a session of its own, in each process of a worker."""
    sampling: bool = False
    """Whether the server may ask our models. Each answer is a model step of the run, and is paid for like one."""
    elicitation: bool = False
    """Whether the server may put questions to a person. The step waits for the answer without a worker, and the call is
    made again with it."""
    level: Level = Level.STANDARD
    """How far its tools are trusted."""

    @property
    def speaks(self) -> McpTransport:
        return self.transport or (McpTransport.STDIO if self.command else McpTransport.HTTP)

    @property
    def asks(self) -> bool:
        """Whether it may ask anything in the middle of a call."""
        return self.sampling or self.elicitation

    @property
    def variables(self) -> dict[str, str]:
        """What the program is given: name -> variable of the worker's environment."""
        return self.env if isinstance(self.env, dict) else {name: name for name in self.env}

    @model_validator(mode="after")
    def _one_way_to_the_server(self) -> McpSection:
        if (self.command is None) == (self.url is None):
            raise ValueError("write either command (a program) or url (a server that runs already)")
        if self.command is not None and not self.command.strip():
            raise ValueError("command is empty")
        if (self.speaks is McpTransport.STDIO) != (self.command is not None):
            raise ValueError(f"transport {self.speaks} needs {'a command' if self.command is None else 'a url'}")
        if self.command is None and (self.args or self.env):
            raise ValueError("args and env are for a command; a url takes headers")
        if self.command is not None and self.headers:
            raise ValueError("headers are for a url; a command takes env")
        if self.level is Level.RESTRICTED:
            raise ValueError("a worker cannot restrict a process that is a server; write standard or trusted")
        return self


McpName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,43}$")]


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
    """`[tools]`: how far this fleet trusts its tools. Patterns are as `contract.patterns` reads them."""

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


class MetricsSection(Section):
    """`[metrics]`: where workers answer Prometheus. The environment's `ORCHESTRATOR_METRICS_PORT` goes before `port`,
    since each worker of a machine needs one of its own."""

    port: int | None = Field(default=None, ge=0, le=65535)
    """None: nothing is measured. 0: any free one."""
    address: str = "127.0.0.1"


class WebhooksSection(Section):
    """Who is told that a run has ended, where its submission names nobody."""

    url: str | None = None
    secret: str = ""
    """`secret://NAME` of the worker's secret that signs."""
    values: bool = False
    """Whether outputs are told too."""


class RuleOfTwo(StrEnum):
    """What becomes of a plan with a step in which untrusted content, private data and a way out meet."""

    WARN = "warn"
    ENFORCE = "enforce"
    """It is refused."""
    OFF = "off"


class SecuritySection(Section):
    """`[security]`: what is looked for in plans. Read by clients."""

    rule_of_two: RuleOfTwo = RuleOfTwo.WARN


class Project(Section):
    """The whole file."""

    default_model: str | None = None
    providers: dict[str, ProviderSection] = Field(default_factory=dict)
    models: dict[str, ModelSection] = Field(default_factory=dict)
    mcp: dict[McpName, McpSection] = Field(default_factory=dict)
    """MCP servers, by the names that plans use."""
    limits: dict[str, Limits] = Field(default_factory=dict)
    """By scope pattern, see `limits.limits_for`."""
    budgets: BudgetsSection = BudgetsSection()
    tools: ToolsSection = ToolsSection()
    metrics: MetricsSection = MetricsSection()
    security: SecuritySection = SecuritySection()
    webhooks: WebhooksSection = WebhooksSection()
    """Read by clients."""
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
