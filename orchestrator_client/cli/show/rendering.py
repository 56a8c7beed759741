"""What a person sees: glyphs and colours of states, tables of steps and runs, and the end of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator_client.cli.show.text import CUT_CHARACTERS, one_line, plural, printable, seconds, shown
from orchestrator_client.contract.document import RunDocument, StepDocument
from orchestrator_client.contract.progress import percent
from orchestrator_client.contract.run import STATUS_WORDS, InstanceState, Outcome, RunRecord, RunState
from orchestrator_client.contract.usage import Usage

PENDING = "pending"

GLYPHS: Mapping[str, tuple[str, str]] = {
    PENDING: ("·", "dim"),
    InstanceState.READY: ("○", "dim"),
    InstanceState.RUNNING: ("▶", "cyan"),
    InstanceState.LATE: ("▶", "yellow"),
    InstanceState.PARKED: ("⧗", "yellow"),
    InstanceState.WAITING: ("◔", "yellow"),
    Outcome.SUCCEEDED: ("✓", "green"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.SKIPPED: ("↷", "dim"),
    Outcome.CANCELLED: ("⊘", "magenta"),
    RunState.SUBMITTED: ("○", "yellow"),
}
"""State or status word -> glyph and style. Where a run and a step share a state, they share its looks."""

FAILURES_SHOWN = 5

WIDEST = 5_000
"""Columns of the widest line of a table."""

_STATE_OF: Mapping[str, str] = {word: str(state) for state, word in STATUS_WORDS.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One step as it is shown."""

    state: str
    step: str
    duration: str = ""
    attempt: int = 0
    note: str = ""


def console(stream: IO[str] | None = None) -> Console:
    """A console that takes text as it is: no markup, no emoji, no guessing; rich itself obeys NO_COLOR."""
    # Without a stdout at all there is still somewhere to write.
    target = stream or sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    return _PlainConsole(file=target, markup=False, emoji=False, highlight=False, soft_wrap=False)


class _PlainConsole(Console):
    """Leaves a closed pipe to whoever ends the command."""

    def on_broken_pipe(self) -> None:
        """Raise what ends the command with `ExitCode.BROKEN_PIPE`; rich itself would exit with 1, a failed run's."""
        raise BrokenPipeError("whoever read the output has gone")


def print_whole(screen: Console, table: Table) -> None:
    """Print a table with nothing cut; where the terminal is too narrow, it wraps the lines itself."""
    lines = screen.render_lines(table, screen.options.update(width=_width_of(table, screen)), pad=False)
    for line in lines:
        screen.print(Text.assemble(*((part.text, part.style or "") for part in line)), soft_wrap=True)


def step_table(rows: Iterable[Row], fit: bool = False) -> Table:
    """Steps, one a line: glyph, id, state, time, and what is to be said of it; `fit` makes it as wide as the screen."""
    table = Table.grid(padding=(0, 1), expand=fit)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=48)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if fit else None)
    for row in rows:
        glyph, style = GLYPHS.get(row.state, ("?", ""))
        attempt = f"attempt {row.attempt}" if row.attempt > 1 else ""
        note = Text("  ".join(part for part in (attempt, one_line(row.note)) if part))
        state = Text(row.state, style)
        table.add_row(Text(glyph, style), Text(one_line(row.step)), state, Text(row.duration), note)
    return table


def run_table(records: Iterable[RunRecord]) -> Table:
    """Runs, one a line."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("RUN", "STATE", "DONE", "PIPELINE", "SUBMITTED", "TOOK", "STEPS", "TAGS"):
        table.add_column(heading, no_wrap=True)
    for record in records:
        _, style = GLYPHS.get(record.state, ("", ""))
        failed = f" ({record.failed} failed)" if record.failed else ""
        table.add_row(
            Text(record.run),
            Text("paused" if record.paused else record.state, style),
            "" if record.progress is None else f"{percent(record.progress)} %",
            Text(one_line(record.pipeline)),
            local_time(record.submitted_ms),
            took(record),
            f"{record.steps}{failed}",
            Text(one_line(", ".join(record.tags))),
        )
    return table


def how_far(share: float | None, ends_ms: int | None, now_ms: int) -> str:
    """`42 %, about 3 min left`, as far as it is known."""
    if share is None:
        return ""
    left = None if ends_ms is None else max(0, ends_ms - now_ms) / 1000
    return f"{percent(share)} %" + (f", about {seconds(left)} left" if left else "")


def rows_of(document: RunDocument) -> Iterator[Row]:
    """The steps of a document, in plan order.

    A step without a start was never claimed, and shows no time.
    """
    for step in document.steps.values():
        error = f"{step.error_type}: {step.error}" if step.error else ""
        duration = seconds(step.duration) if step.started_at else ""
        kept = f"kept from run {step.kept_from}" if step.kept_from else ""
        yield Row(state_of(step.status), step.id, duration, step.retries + 1, error or step.reason or kept)


def quality_lines(step: StepDocument) -> Iterator[str]:
    """What was found of a step that is held to something: its score, and what is not met."""
    if step.quality is None:
        return
    verdict = "good enough" if step.quality.met else "not good enough"
    yield f"  {printable(step.id)}: quality {step.quality.score:.2f}, {verdict}"
    for one in step.quality.unmet:
        yield f"    {one.severity}: {printable(one.rule)}: {one_line(one.message)}"


def ending(document: RunDocument, width: int = CUT_CHARACTERS) -> Iterator[Text]:
    """How a run ended, a line each: state and time, cost, outputs, and what failed.

    `width` is that of a line, in characters; only outputs are cut to it, for an error is what one came to read.
    """
    state = state_of(document.status)
    glyph, style = GLYPHS.get(state, ("", ""))
    line = Text(f"{glyph} {state}", style)
    if document.paused_at:
        line.append(f", paused since {document.paused_at} by {one_line(document.paused_by or '')}")
    duration = f" in {seconds(document.duration)}" if document.completed_at else ""
    yield line.append(f"{duration}{_cost_of(document)}", "default not bold")
    if document.delivery:
        yield Text(f"  webhook: {one_line(document.delivery)}")
    if document.forked_from:
        kept = sum(step.kept_from is not None for step in document.steps.values())
        paid = f", which cost {cost(document.inherited)}" if document.inherited.requests else ""
        yield Text(f"  keeps {plural(kept, 'result')} of run {one_line(document.forked_from)}{paid}")
    for name, value in document.outputs.items():
        label = one_line(name, 48)
        yield Text(f"  {label}: {shown(value, max(width - len(label) - 4, 20))}")
    failed = [step for step in document.steps.values() if step.status == Outcome.FAILED]
    for step in failed[:FAILURES_SHOWN]:
        yield Text(f"  step {one_line(step.id)} failed: {one_line(f'{step.error_type}: {step.error}')}")
    if len(failed) > FAILURES_SHOWN:
        yield Text(f"  and {len(failed) - FAILURES_SHOWN} more steps failed")
    if document.error and not failed:
        yield Text(f"  {one_line(f'{document.error_type}: {document.error}')}")


def state_of(status: str) -> str:
    """The state that a document's status stands for: people read one word for it everywhere."""
    return _STATE_OF.get(status, status)


def cost(usage: Usage) -> str:
    """`$0.0123`, or the tokens where no price is known."""
    if usage.cost_usd is None:
        return f"cost unknown ({plural(usage.input_tokens + usage.output_tokens, 'token')})"
    return f"${usage.cost_usd:.4f}"


def local_time(milliseconds: int) -> str:
    """Date and time of day on this machine."""
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")


def took(record: RunRecord) -> str:
    """How long a run took; nothing while it has not ended."""
    if record.started_ms is None or record.ended_ms is None:
        return ""
    return seconds((record.ended_ms - record.started_ms) / 1000)


def _width_of(table: Table, screen: Console) -> int:
    """Columns that the table needs to be shown with nothing cut, at most `WIDEST`."""
    return screen.measure(table, options=screen.options.update(max_width=WIDEST)).maximum


def _cost_of(document: RunDocument) -> str:
    """What the run's model calls cost; nothing for a run without any."""
    usage = document.usage
    return f", {cost(usage)} for {plural(usage.requests, 'model call')}" if usage.requests else ""
