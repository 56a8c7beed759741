"""One plain line for each event, for logs and pipes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestrator_client.cli.show.progress import said_in, usage_of
from orchestrator_client.cli.show.rendering import cost, how_far
from orchestrator_client.cli.show.text import one_line, plural, seconds
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.story import error_in

ERROR_CHARACTERS = 400
"""Length at which an error or reason is cut."""


def line_of(event: Event) -> str:
    """`12:03:04.123 step_succeeded fetch 0.12 s`; the time of day is local."""
    at = datetime.fromtimestamp(event.at_ms / 1000).strftime("%H:%M:%S.%f")[:-3]
    return " ".join((at, event.kind, *_details(event)))


def _details(event: Event) -> Iterator[str]:
    """What is said behind the kind: the step, then times, then causes; only what the event has."""
    data = event.data
    if event.kind is EventKind.VARIABLE_SET:
        yield from _change(event)
        return
    if event.instance:
        yield one_line(event.instance)
    if event.attempt > 1:
        yield f"attempt {event.attempt}"
    if data.get("started_ms"):
        yield seconds((event.at_ms - int(data["started_ms"])) / 1000)
    if "delay_ms" in data:
        yield f"again in {seconds(data['delay_ms'] / 1000)}"
    if event.kind is EventKind.RUN_SUBMITTED:
        yield f"{one_line(event.run)} {plural(int(data.get('steps') or 0), 'step')}"
    if event.kind is EventKind.RUN_CLOSED:
        yield str(data.get("state") or "")
    if event.kind is EventKind.STEP_PROGRESS:
        yield one_line(said_in(data), ERROR_CHARACTERS)
    if data.get("progress"):
        yield how_far(data["progress"], data.get("ends_ms"), event.at_ms)
    if (usage := usage_of(data)) is not None:
        yield cost(usage)
    causes = (
        *(str(data.get(key) or "") for key in ("reason", "scope", "words", "title", "prompt", "by")),
        error_in(data),
    )
    yield from (one_line(text, ERROR_CHARACTERS) for text in causes if text)


def _change(event: Event) -> Iterator[str]:
    """`tone v2 by ada: customers asked for it`, of a variable that was set."""
    data = event.data
    within = f"{data['within']}." if data.get("within") else ""
    yield one_line(f"{within}{data.get('name')} v{data.get('version')}")
    if data.get("seconds"):
        yield f"for {seconds(float(data['seconds']))}"
    why = f": {data['why']}" if data.get("why") else ""
    yield one_line(f"by {data.get('by')}{why}", ERROR_CHARACTERS)
