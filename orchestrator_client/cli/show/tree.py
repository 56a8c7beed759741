"""The live tree: a run on a terminal while it goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator_client.cli.show.progress import Progress, StepProgress
from orchestrator_client.cli.show.rendering import GLYPHS, PENDING, Row, cost, how_far, step_table
from orchestrator_client.cli.show.text import one_line, seconds
from orchestrator_client.contract.run import InstanceState, Outcome, RunState

ACTIVE = (Outcome.FAILED, InstanceState.RUNNING, InstanceState.PARKED, InstanceState.WAITING)
"""States that are shown first where there is no room for all steps."""

FRAME_LINES = 4
"""Lines of the terminal that are not for steps: header, two of summary, and the cursor's."""


def render(progress: Progress, run: str, height: int, local_ms: int | None = None) -> Group:
    """The run as at most `height` lines of a terminal, but never fewer than a header, a step and a summary.

    `local_ms` is this machine's time in milliseconds since 1970; without it, that of the call.
    """
    now_ms = progress.now_ms(local_ms if local_ms is not None else round(time.time() * 1000))
    steps = progress.steps
    shown = choose(steps, max(height - FRAME_LINES, 1))
    parts: list[RenderableType] = [
        _header(progress, run, now_ms),
        step_table([_row(step, now_ms) for step in shown], fit=True),
    ]
    if len(shown) < len(steps):
        parts.append(Text(f"… {summary(steps, shown)}", "dim"))
    return Group(*parts)


def choose(steps: Sequence[StepProgress], room: int) -> list[StepProgress]:
    """The steps to show, in plan order: all if there is room, else those where something happens.

    Where there are more of these than room, the first are shown and `summary` counts the others.
    """
    if len(steps) <= room:
        return list(steps)
    return [step for step in steps if step.state in ACTIVE][:room]


def summary(steps: Sequence[StepProgress], shown: Sequence[StepProgress]) -> str:
    """`180 more succeeded, 3 more pending`: those that are not shown, by state."""
    hidden = Counter(_word(step) for step in steps)
    hidden.subtract(_word(step) for step in shown)
    return ", ".join(f"{count} more {state}" for state, count in hidden.items() if count)


def _header(progress: Progress, run: str, now_ms: int) -> Text:
    """The line on top: which run, its state, how many steps have ended, its time and cost so far."""
    state = str(progress.state)
    if not progress.state.ended and (progress.cancelling or progress.paused_by):
        state = "cancelling" if progress.cancelling else f"paused by {one_line(progress.paused_by)}"
    line = Text(no_wrap=True, overflow="ellipsis").append(f"{one_line(progress.plan.id)} ", "bold")
    line.append(f"{one_line(run)}  ", "dim").append(state, GLYPHS.get(progress.state, ("", ""))[1])
    if progress.state is RunState.SUBMITTED:
        return line.append("  waiting for a worker")
    line.append(f"  {progress.ended}/{len(progress.steps)} steps  {seconds(progress.seconds(now_ms))}")
    if far := how_far(progress.share, progress.ends_ms, now_ms):
        line.append(f"  {far}")
    return line.append(f"  {cost(progress.usage)}") if progress.usage.requests else line


def _row(step: StepProgress, now_ms: int) -> Row:
    """The step as a line of the table, its time counted up to now."""
    duration = step.seconds(now_ms)
    return Row(_word(step), step.id, "" if duration is None else seconds(duration), step.attempt, _note(step, now_ms))


def _note(step: StepProgress, now_ms: int) -> str:
    """Why the step is where it is; for one that waits for a time, first for how long."""
    if step.state is not InstanceState.PARKED or not step.until_ms:
        return step.note
    wait = step.wait_seconds(now_ms)
    return f"{f'in {seconds(wait)}' if wait else 'due now'}  {step.note}"


def _word(step: StepProgress) -> str:
    """The name of the step's state; it has none while something before it has not ended."""
    return str(step.state) if step.state is not None else PENDING
