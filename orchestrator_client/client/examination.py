"""Reads what `doctor` judges: the store, this machine's environment and configuration, and its way to MCP servers."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from urllib.parse import urlsplit

from orchestrator_client.contract.envelope import Keyring
from orchestrator_client.contract.errors import ConfigInvalid, RunNotFound, StoreUnavailable
from orchestrator_client.contract.keys import KEY_VARIABLES
from orchestrator_client.contract.names import CONTROL_QUEUE, TOOL_QUEUE
from orchestrator_client.contract.project import McpSection, Project, load_project
from orchestrator_client.doctor import Facts
from orchestrator_client.store import Stores

RUNS_LOOKED_AT = 50
"""Open runs whose plans are read for their queues."""

CONNECT_SECONDS = 3.0


def facts_of_fleet(stores: Stores) -> Facts:
    """All that is known at about one moment."""
    project, problems = _project()
    try:
        has_key = bool(Keyring.of(stores.connection.url))
    except ConfigInvalid as error:
        has_key, problems = False, [*problems, *str(error).splitlines()]
    here = Facts(
        shown_url=stores.connection.shown_url,
        version=version("orchestrator"),
        has_key=has_key,
        keys=_keys(project),
        servers={name: _unreachable(section) for name, section in project.mcp.items()},
        problems=problems,
    )
    try:
        workers, needed = stores.fleet.workers(), _needed(stores)
        queues = {TOOL_QUEUE, CONTROL_QUEUE, *needed, *(queue for worker in workers for queue in worker.queues)}
        lengths = stores.fleet.queue_lengths(sorted(queues))
        before = time.time()
        now_ms = stores.fleet.now_ms()
        skew_ms = round((before + time.time()) / 2 * 1000) - now_ms
        has_password = bool(urlsplit(stores.connection.url).password)
        return replace(
            here,
            info=stores.fleet.server(),
            user=stores.fleet.user(),
            has_password=has_password,
            skew_ms=skew_ms,
            workers=workers,
            lengths=lengths,
            needed=needed,
            dead_letters=stores.fleet.dead_letters(),
        )
    except StoreUnavailable as error:
        return replace(here, away=str(error))


def _project() -> tuple[Project, list[str]]:
    try:
        return load_project(), []
    except ConfigInvalid as error:
        return Project(), str(error).splitlines()


def _needed(stores: Stores) -> Mapping[str, int]:
    """Queue -> open runs whose plans name it."""
    from orchestrator_client.local import queues_of

    needed: Counter[str] = Counter()
    for run in stores.fleet.open_runs()[:RUNS_LOOKED_AT]:
        try:
            needed.update(queues_of(stores.runs.plan(run)))
        except (RunNotFound, ConfigInvalid):
            continue
    return needed


def _keys(project: Project) -> dict[str, bool]:
    usual = chain(*KEY_VARIABLES.values())
    named = [
        variable
        for section in project.providers.values()
        for variable in (section.key, *section.credentials.values())
        if variable
    ]
    return {name: bool(os.environ.get(name, "").strip()) for name in dict.fromkeys([*usual, *named])}


def _unreachable(section: McpSection) -> str:
    """Why a server cannot be reached; empty if it can. It is not spoken to."""
    if section.command is not None:
        return "" if shutil.which(section.command) else f"there is no program {section.command} here"
    parts = urlsplit(section.url or "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{parts.hostname}:{port}: {error}"
    return ""
