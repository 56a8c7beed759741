"""What a worker is told by its environment: every setting, its unit and its default."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator_client.contract import caps
from orchestrator_client.contract.environment import redis_url
from orchestrator_client.contract.namespace import NAMESPACE
from orchestrator_client.contract.project import Project


def _paths(value: object) -> object:
    return [Path(part) for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _words(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Each field is read from `ORCHESTRATOR_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="ORCHESTRATOR_", frozen=True, extra="ignore", allow_inf_nan=False)

    redis_url: str = "redis://127.0.0.1:6379/0"
    """`redis://`, `rediss://` or `unix:///path?db=0`. Broker, chord and store share this one database."""
    workdir: str = "orchestrator-runs/{run}"
    """Working folder of a run; `{run}` stands for its id."""
    allow_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)] = ()
    """Further folders that file tools may use, separated by `:`."""
    env_allow: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Variables of the workers' environment that templates read as `env.NAME`, separated by commas. Not for secrets."""
    allow_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Addresses that tools may reach beside public ones, separated by commas; those of `[tools]` as well."""
    secrets_folder: Path = Path("/run/secrets")
    """Where secrets are, a file each, that no `ORCHESTRATOR_SECRET_<NAME>` gives."""
    artifact_bytes: int = Field(default=caps.ARTIFACT_TEXT_BYTES, gt=0)
    """Text of a tool's result above which it becomes a file in the run's folder."""
    default_model: str | None = None
    """Model of steps that name none."""
    lease_seconds: float = Field(default=8.0, ge=1.0)
    """How long an attempt is believed alive without renewal. A dead worker's steps start elsewhere this much later."""
    beat_seconds: float = Field(default=1.0, gt=0.0)
    """How often a worker renews its leases, hears of cancellations and sweeps."""
    hint_seconds: float = Field(default=5.0, gt=0.0)
    """How long a message may be under way before `sweep` looks whether it was lost."""
    shutdown_seconds: float = Field(default=10.0, ge=0.0)
    """How long running steps may go on after the worker is asked to stop; then they are handed back."""
    store_patience_seconds: float = Field(default=3600.0, gt=0.0)
    """How long a store that is away is waited for, with what was computed in hand."""
    retention_seconds: int = Field(default=7 * 24 * 3600, ge=60)
    """Life of a run's keys after they were last needed."""
    value_bytes: int = Field(default=caps.VALUE_BYTES, gt=0)
    """Largest value of one step, as JSON."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where a worker answers Prometheus; 0: at any free port, which it logs. Off without it, or `[metrics]`."""
    events: bool = False
    """Send Celery's events, which Flower shows. Costs about a tenth of throughput."""

    def folder(self, run: str) -> Path:
        """Working folder of one run. Two namespaces may have a run of the same id."""
        return Path(self.workdir.replace("{run}", f"{NAMESPACE}/{run}" if NAMESPACE else run)).absolute()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that templates may read, as far as they are set."""
        return {name: os.environ[name] for name in self.env_allow if name in os.environ}


def metrics_port(config: Settings, project: Project) -> int | None:
    """Where this worker answers Prometheus; None where nothing is measured."""
    return project.metrics.port if config.metrics_port is None else config.metrics_port


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    url = redis_url()
    return Settings(redis_url=url) if url else Settings()
