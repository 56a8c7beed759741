"""What a person sees of a run: the tree, the lines, the end; and nothing that a terminal would obey."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console, RenderableType

from orchestrator_client.cli.show.display import LiveTree, PlainLines, display_for
from orchestrator_client.cli.show.lines import line_of
from orchestrator_client.cli.show.progress import Progress
from orchestrator_client.cli.show.rendering import console, ending, print_whole, rows_of, run_table, step_table
from orchestrator_client.cli.show.tree import render
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.run import ErrorInfo, Outcome, Receipt, RunRecord, RunState
from orchestrator_client.contract.usage import Usage

ESCAPE = "\x1b[31mred\x9b"


def event(kind: EventKind, at_ms: int, instance: str = "", attempt: int = 0, **data: Any) -> Event:
    return Event(id=f"{at_ms}-0", kind=kind, run="r", at_ms=at_ms, instance=instance, attempt=attempt, data=data)


def plan_of(*names: str) -> Plan:
    return Plan(id="p", steps=tuple(Step(id=name, kind=StepKind.TOOL, uses="filesystem.read") for name in names))


def text_of(renderable: RenderableType, width: int = 100) -> str:
    screen = Console(file=io.StringIO(), width=width, record=True, markup=False)
    screen.print(renderable)
    return screen.export_text()


def tree_of(plan: Plan, *events: Event, height: int = 24, width: int = 100, at_ms: int = 4_000) -> list[str]:
    progress = Progress(plan)
    for each in (event(EventKind.RUN_STARTED, 1_000), *events):
        progress.apply(each)
    return [line.rstrip() for line in text_of(render(progress, "run_1", height, at_ms), width).splitlines()]


def test_every_step_in_plan_order_with_state_time_and_reason() -> None:
    lines = tree_of(
        plan_of("a", "b", "c", "d", "e"),
        event(EventKind.STEP_SUCCEEDED, 2_000, "a", 1, started_ms=1_500),
        event(EventKind.STEP_STARTED, 1_000, "b", 2),
        event(EventKind.STEP_PARKED, 3_000, "c", 1, reason="attempt 1 failed", delay_ms=3_000),
        event(EventKind.STEP_FAILED, 2_000, "d", 1, error={"type": "ToolFailed", "message": "no such file"}),
        event(EventKind.STEP_PARKED, 3_000, "e", 1, reason="limit", scope="openai/default/m", words="busy"),
    )
    assert [" ".join(line.split()) for line in lines] == [
        "p run_1 running 2/5 steps 3.00 s",
        "✓ a succeeded 0.50 s",
        "▶ b running 3.00 s attempt 2",
        "⧗ c parked in 2.00 s attempt 1 failed",
        "✗ d failed ToolFailed: no such file",
        "◔ e waiting limit: openai/default/m: busy",
    ]


def test_a_run_that_no_worker_has_taken_says_so() -> None:
    assert "waiting for a worker" in text_of(render(Progress(plan_of("a")), "run_1", 24, 0))


def test_where_there_is_no_room_only_what_happens_is_shown() -> None:
    names = [f"s{number}" for number in range(200)]
    ended = [event(EventKind.STEP_SUCCEEDED, 2_000, name, 1) for name in names[:180]]
    failed = event(EventKind.STEP_FAILED, 2_000, "s185", 1, error={"type": "ToolFailed", "message": "no"})
    lines = tree_of(plan_of(*names), *ended, event(EventKind.STEP_STARTED, 2_000, "s190", 1), failed)
    assert [line.split()[1] for line in lines[1:3]] == ["s185", "s190"]
    assert lines[3] == "… 180 more succeeded, 18 more ready"


@pytest.mark.parametrize("height", [1, 5, 10, 24])
def test_the_tree_fits_the_terminal(height: int) -> None:
    names = [f"s{number}" for number in range(200)]
    started = [event(EventKind.STEP_STARTED, 2_000, name, 1) for name in names]
    lines = tree_of(plan_of(*names), *started, height=height)
    assert len(lines) <= max(height, 3)
    assert lines[-1].endswith("more running")


def test_the_tree_fits_a_narrow_terminal() -> None:
    error = {"type": "ToolFailed", "message": "long " * 100}
    lines = tree_of(plan_of("a" * 40), event(EventKind.STEP_FAILED, 2_000, "a" * 40, 1, error=error), width=60)
    assert len(lines) == 2
    assert all(len(line) <= 60 for line in lines)


def test_nothing_in_the_tree_is_obeyed_by_a_terminal() -> None:
    error = {"type": "ToolFailed", "message": f"{ESCAPE}\r\nsecond \u202e line [bold]"}
    shown = "".join(tree_of(plan_of("a"), event(EventKind.STEP_FAILED, 2_000, "a", 1, error=error), width=200))
    assert r"\x1b[31mred\x9b second \u202e line [bold]" in shown


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (event(EventKind.STEP_SUCCEEDED, 3_123, "fetch", 1, started_ms=3_003), "step_succeeded fetch 0.12 s"),
        (event(EventKind.STEP_STARTED, 3_123, "fetch", 2, worker="w"), "step_started fetch attempt 2"),
        (
            event(EventKind.STEP_PARKED, 3_123, "fetch", 1, reason="attempt 1 failed", delay_ms=1_500),
            "step_parked fetch again in 1.50 s attempt 1 failed",
        ),
        (event(EventKind.RUN_SUBMITTED, 3_123, steps=3), "run_submitted r 3 steps"),
        (event(EventKind.STEP_SUCCEEDED, 3_123, "m", 1, usage={"cost_usd": "0.5"}), "step_succeeded m $0.5000"),
        (
            event(EventKind.RUN_CLOSED, 3_123, state="failed", error={"type": "ToolFailed", "message": ESCAPE}),
            r"run_closed failed ToolFailed: \x1b[31mred\x9b",
        ),
    ],
)
def test_a_plain_line(shown: Event, expected: str) -> None:
    clock, _, rest = line_of(shown).partition(" ")
    assert clock.endswith(":03.123")
    assert rest == expected


def document(**changes: Any) -> RunDocument:
    plan = plan_of("a", "b")
    record = RunRecord(
        run="r", pipeline="p", plan_hash="h", state=RunState.SUCCEEDED, started_ms=1_000, ended_ms=3_500, **changes
    )
    usage = Usage(input_tokens=5, cost_usd=Decimal("0.0123"))
    receipts = {"a": Receipt(outcome=Outcome.SUCCEEDED, attempt=1, started_ms=1_000, ended_ms=1_250, usage=usage)}
    return RunDocument.build(plan, record, receipts, {}, {})


def test_the_end_of_a_good_run() -> None:
    lines = [line.plain for line in ending(document(outputs={"text": "x" * 500, "n": 3}), width=60)]
    assert lines[0] == "✓ succeeded in 2.50 s, $0.0123 for 1 model call"
    assert lines[1].startswith("  text: xxx")
    assert lines[1].endswith("…")
    assert len(lines[1]) <= 60
    assert lines[2] == "  n: 3"


def test_the_end_of_a_bad_run_names_the_step_and_its_error() -> None:
    record = RunRecord(run="r", pipeline="p", plan_hash="h", state=RunState.FAILED, started_ms=1, ended_ms=2, halt="a")
    error = ErrorInfo(type="ToolFailed", message="no such file")
    failed = Receipt(outcome=Outcome.FAILED, attempt=1, started_ms=1, ended_ms=2, error=error)
    shown = RunDocument.build(plan_of("a", "b"), record, {"a": failed}, {}, {})
    assert [line.plain for line in ending(shown)] == ["✗ failed in 0.00 s", "  step a failed: ToolFailed: no such file"]
    assert "not reached: a failed" in text_of(step_table(rows_of(shown)))


def test_a_run_that_goes_on_has_taken_no_time_yet() -> None:
    record = RunRecord(run="r", pipeline="p", plan_hash="h", state=RunState.RUNNING, started_ms=1)
    shown = RunDocument.build(plan_of("a"), record, {}, {}, {})
    assert [line.plain for line in ending(shown)] == ["▶ running"]


def test_the_table_of_runs_keeps_ids_whole() -> None:
    record = RunRecord(run="r" * 40, pipeline="p", plan_hash="h", state=RunState.FAILED, steps=3, failed=1)
    record = record.model_copy(update={"tags": ("t",), "progress": 0.429})
    stream = io.StringIO()
    print_whole(Console(file=stream, width=60), run_table([record]))
    heading, line = stream.getvalue().splitlines()
    assert heading.split()[:4] == ["RUN", "STATE", "DONE", "PIPELINE"]
    assert line.startswith("r" * 40 + "  failed  42 %  p  ")
    assert "3 (1 failed)" in line


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    print_whole(console(stream), step_table(rows_of(document())))
    assert "succeeded" in stream.getvalue()
    assert "\x1b[32m" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_tree_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    plan = plan_of("a")
    assert isinstance(display_for(plan, "r", Terminal()), LiveTree)
    assert isinstance(display_for(plan, "r", Terminal(), whole=False), PlainLines)
    assert isinstance(display_for(plan, "r", io.StringIO()), PlainLines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(plan, "r", Terminal()), PlainLines)


def test_the_last_frame_stays_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with display_for(plan_of("a"), "run_1", terminal) as display:
        display.show(event(EventKind.RUN_STARTED, 1_000))
        display.show(event(EventKind.STEP_SUCCEEDED, 2_000, "a", 1))
        display.show(event(EventKind.RUN_CLOSED, 2_000, state="succeeded"))
    assert "1/1 steps" in terminal.getvalue()
