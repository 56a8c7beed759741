"""Logs as lines of JSON, each with the run, step and attempt that it is about: `ORCHESTRATOR_LOG_FORMAT=json`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from orchestrator_client.contract.errors import ConfigInvalid

FORMAT_VARIABLE = "ORCHESTRATOR_LOG_FORMAT"

_about: ContextVar[tuple[str, str, int] | None] = ContextVar("about", default=None)


@contextmanager
def about(run: str, step: str, attempt: int) -> Iterator[None]:
    """What is logged within, by coroutines that are started within too, is about this attempt."""
    token = _about.set((run, step, attempt))
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, `process`; `run`, `step`, `attempt` of what is under way;
    `error`, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if (attempt := _about.get()) is not None:
            told |= dict(zip(("run", "step", "attempt"), attempt, strict=True))
        # Where secrets are hidden the text is there already, without them.
        if record.exc_text or record.exc_info:
            told["error"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(told, ensure_ascii=False, default=str)


def formatter(plain: str) -> logging.Formatter:
    """The one that the environment asks for; `plain` is the format of lines that are not JSON.

    Raises:
        ConfigInvalid: it asks for none that there is.
    """
    wanted = os.environ.get(FORMAT_VARIABLE) or "text"
    if wanted not in ("text", "json"):
        raise ConfigInvalid(FORMAT_VARIABLE, [f"{wanted[:40]!r} is no format of logs: write text or json"])
    return JsonFormatter() if wanted == "json" else logging.Formatter(plain)
