"""A message of a pipeline's author, in the worker's log."""

from __future__ import annotations

import json
import logging

from orchestrator_client.contract.catalog.aids import DebugParameters
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult

SHOWN_CHARACTERS = 2_000
"""Of the message, and of the data, in the log; the step's value has them whole."""

logger = logging.getLogger(__name__)


def log(context: ToolContext, parameters: DebugParameters) -> ToolResult:
    """Log a message and its data at INFO: `{message, data}`, both as they were given."""
    message, data = parameters.message, parameters.data
    # Null says nothing, and is what `data` is where it was left out.
    said = _line(message) if data is None else f"{_line(message)} {_line(data)}"
    logger.info("run %s, step %s: %s", context.run, context.instance, said)
    return ToolResult({"message": message, "data": data})


def _line(value: Json) -> str:
    """One line, whatever is in it: a line break in a message must not look like another record of the log."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
