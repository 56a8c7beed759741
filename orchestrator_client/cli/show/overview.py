"""A fleet on a terminal: as many lines as there is room for, the head always."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator_client.cli.show.rendering import GLYPHS, how_far
from orchestrator_client.cli.show.text import one_line, seconds
from orchestrator_client.contract.worker import serving
from orchestrator_client.overview import Overview

FRAME_LINES = 12
"""Lines that are not for queues, limits or runs: heads, counts, and gaps between."""


def render(seen: Overview, height: int) -> Group:
    """The fleet as about `height` lines."""
    room = max(height - FRAME_LINES - len(seen.queues), 2)
    limits = _limits(seen, room // 2)
    parts: list[RenderableType] = [_head(seen), Text(), _queues(seen), Text()]
    if limits.row_count:
        parts += [limits, Text()]
    parts.append(_runs(seen, max(room - limits.row_count, 1)))
    return Group(*parts)


def _head(seen: Overview) -> Text:
    slots, busy = sum(worker.slots for worker in seen.workers), sum(worker.busy for worker in seen.workers)
    lines = [
        f"{len(seen.workers)} workers, {busy} of {slots} slots busy",
        f"runs       {_told(seen.count('run')) or 'none is open'}",
        f"instances  {_told(seen.count('instance')) or 'none is open'}",
    ]
    if waits := _told(seen.count("parked")):
        lines.append(f"waiting    {waits}")
    return Text("\n".join(lines))


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


def _queues(seen: Overview) -> Table:
    table = _table("QUEUE", "MESSAGES", "WORKERS", "SLOTS", "BUSY")
    for queue, messages in seen.queues.items():
        workers = serving(seen.workers, queue)
        style = "red" if messages and not workers else ""
        slots, busy = sum(worker.slots for worker in workers), sum(worker.busy for worker in workers)
        cells = (one_line(queue), f"{messages:,}", str(len(workers)), str(slots), str(busy))
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _limits(seen: Overview, room: int) -> Table:
    """Those first at which calls wait."""
    table = _table("LIMIT", "IN FLIGHT", "WAITING", "")
    for view in sorted(seen.limits, key=lambda view: (-view.waiting, view.scope))[:room]:
        closed = f"closed for {seconds(view.closed_ms / 1000)}: {view.closed_for}" if view.closed_ms else ""
        table.add_row(Text(one_line(view.scope)), str(view.in_flight), f"{view.waiting:,}", Text(one_line(closed)))
    return table


def _runs(seen: Overview, room: int) -> Table:
    table = _table("RUN", "STATE", "FOR", "OPEN", "FAILED", "DONE")
    for record in seen.runs[:room]:
        since = seconds((seen.now_ms - (record.started_ms or record.submitted_ms)) / 1000)
        state = Text(record.state, GLYPHS.get(record.state, ("", ""))[1])
        done = how_far(record.progress, record.ends_ms, seen.now_ms)
        table.add_row(Text(one_line(record.run)), state, since, str(record.open), str(record.failed), done)
    for more in _more(seen, room):
        table.add_row(Text(more, "dim"))
    return table


def _more(seen: Overview, room: int) -> Iterator[str]:
    if len(seen.runs) > room:
        yield f"… {len(seen.runs) - room} more"
