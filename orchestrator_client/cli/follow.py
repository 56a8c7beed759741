"""`run` and `watch`: a run, followed to its end.

On a fleet the run is the fleet's: whatever ends this command, the run goes on, and the last words say how to come back
to it. On the embedded fleet the run is ours: it ends with the command.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.faults import ExitCode
from orchestrator_client.cli.options import (
    check_event_id,
    client_of,
    json_option,
    named_fleet,
    plan_argument,
    redis_option,
    run_argument,
    submission_options,
)
from orchestrator_client.cli.show import output as outputs
from orchestrator_client.contract.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator_client.cli.show.display import Display
    from orchestrator_client.client import Client, Run
    from orchestrator_client.contract.event import Event
    from orchestrator_client.contract.plan import Plan
    from orchestrator_client.contract.run import RunDocument
    from orchestrator_client.local import LocalFleet

CHECK_SECONDS = 1.0
"""How often the embedded fleet is looked after while nothing else happens."""

CANCEL_SECONDS = 10.0
"""How long an interrupted run on the embedded fleet may take to end."""


@click.command()
@plan_argument
@submission_options
@click.option(
    "-o", "--output", "target", callback=outputs.check_target, help="Write the result here as JSON; - stdout."
)
@redis_option
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Its working folder.")
def run(file: Path, url: str | None, folder: Path, target: str | None, **submission: Any) -> None:
    """Run a pipeline and follow it to its end.

    Starts a Redis and workers for this one run, unless --redis or ORCHESTRATOR_REDIS_URL names a fleet. There the
    run goes on when this command is interrupted; otherwise it is cancelled.

    On a terminal the steps are shown as they are now; elsewhere every event is a line.

    \b
    orchestrator run report.yaml -i topic=rivers -i depth=3
    orchestrator run report.yaml -c inputs.json -o result.json
    orchestrator run report.yaml -o - | jq .outputs
    """
    from orchestrator_client.cli.submission import prepare

    plan, inputs = prepare(file, submission.pop("context"), submission.pop("pairs"))
    fleet_url = named_fleet(url)
    with ended_by_signals():
        if fleet_url is None:
            _run_embedded(plan, inputs, folder, target, submission)
        else:
            _run_on_fleet(fleet_url, plan, inputs, target, submission)


@click.command()
@run_argument
@click.option("--after", metavar="EVENT_ID", callback=check_event_id, help="Only events behind this one, as lines.")
@json_option
@redis_option
def watch(run_id: str, after: str | None, output: str | None, url: str | None) -> None:
    """Follow a run to its end, from its first event or behind --after.

    Ends with the exit code of the run. Interrupting it leaves the run alone.
    """
    from orchestrator_client.cli.show.display import JsonLines, display_for

    with client_of(url) as client:
        followed = client.run(run_id)
        display = JsonLines(sys.stdout) if output else display_for(followed.plan(), run_id, whole=after is None)
        _follow_on_fleet(followed, display, after or "0")
        document = followed.document(values=False)
        if not output:
            show_ending(document, sys.stdout)
    exit_with(document)


def _run_embedded(
    plan: Plan, inputs: dict[str, Any], folder: Path, target: str | None, submission: dict[str, Any]
) -> None:
    """Run on a fleet of our own, which ends with the run; an interrupted run is cancelled.

    The document is written in both cases: what had ended by then is not lost.

    Raises:
        FleetFailed: Redis or a worker could not be started, or has died.
    """
    from orchestrator_client.local import LocalFleet

    folder.mkdir(parents=True, exist_ok=True)
    fleet = LocalFleet(folder)
    with contextlib.ExitStack() as stack:
        # Registered before the start: an interrupt in the middle of it leaves no Redis behind.
        stack.callback(fleet.stop)
        fleet.start()
        client = stack.enter_context(_client_with(fleet))
        submitted = client.submit(plan, inputs, **submission)
        try:
            _show_events(_looking_after(submitted, fleet), _display(plan, submitted.id, target))
        except KeyboardInterrupt:
            _cancel(submitted)
            _deliver(submitted.document(), target)
            raise
        document = submitted.document()
        _deliver(document, target)
    exit_with(document)


def _run_on_fleet(url: str, plan: Plan, inputs: dict[str, Any], target: str | None, submission: dict[str, Any]) -> None:
    """Submit to a fleet and follow; the run outlives this command.

    Raises:
        StoreUnavailable: Redis cannot be reached, or is away for too long.
    """
    with client_of(url) as client:
        submitted = client.submit(plan, inputs, **submission)
        _follow_on_fleet(submitted, _display(plan, submitted.id, target))
        document = submitted.document()
        _deliver(document, target)
        if not document.success:
            click.echo(f"see more: orchestrator show {submitted.id} --values", err=True)
    exit_with(document)


def _client_with(fleet: LocalFleet) -> Client:
    """A client that starts the workers of a fleet when the first plan shows which are needed."""
    from orchestrator_client.client import Client

    return Client(fleet.url, fleet=fleet)


def _display(plan: Plan, run_id: str, target: str | None) -> Display:
    """How this run is shown, and where."""
    from orchestrator_client.cli.show.display import display_for

    return display_for(plan, run_id, _stream_beside(target))


def _stream_beside(target: str | None) -> Any:
    """Where people are spoken to: stdout, unless the result goes there."""
    return sys.stderr if target == outputs.STDOUT else sys.stdout


def _show_events(events: Iterator[Event], display: Display, seen: Callable[[str], None] | None = None) -> None:
    """Show events until there are no more; `seen` hears the id of each."""
    with display:
        for event in events:
            display.show(event)
            if seen is not None:
                seen(event.id)


def _follow_on_fleet(followed: Run, display: Display, after: str = "0") -> None:
    """Follow a run that goes on without us, and say how to come back if we must leave."""
    last = [after]
    try:
        _show_events(followed.stream(after), display, lambda event_id: last.__setitem__(0, event_id))
    except (KeyboardInterrupt, OrchestratorError):
        click.echo(
            f"run {followed.id} goes on; follow it with: orchestrator watch {followed.id} --after {last[0]}", err=True
        )
        raise


def _looking_after(followed: Run, fleet: LocalFleet) -> Iterator[Event]:
    """The run's events; between them, the fleet that it depends on is checked.

    Raises:
        FleetFailed: Redis or a worker has died, and the run could wait for ever.
    """
    after = "0"
    while True:
        try:
            for event in followed.stream(after, CHECK_SECONDS):
                yield event
                after = event.id
            return
        except TimeoutError:
            fleet.check()


def _cancel(submitted: Run) -> None:
    """Ask for the run's end and wait for it a little, so that its steps are told before their workers go."""
    click.echo("cancelling the run; interrupt again to leave it at once", err=True)
    submitted.cancel()
    with contextlib.suppress(TimeoutError):
        submitted.wait(CANCEL_SECONDS)


def _deliver(document: RunDocument, target: str | None) -> None:
    """Write the document where it was asked for, and tell the person how the run ended."""
    if target is not None:
        outputs.write(document.model_dump(mode="json"), target)
    show_ending(document, _stream_beside(target))


def show_ending(document: RunDocument, stream: Any) -> None:
    """Tell a person how the run ended; the terminal itself wraps long lines, so that they can be copied whole."""
    from orchestrator_client.cli.show.rendering import console, ending

    shown = console(stream)
    for line in ending(document, shown.width):
        shown.print(line, soft_wrap=True)


def exit_with(document: RunDocument) -> None:
    """End the command as the run ended."""
    if not document.success:
        click.get_current_context().exit(ExitCode.RUN_FAILED)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """A polite kill, or a closed terminal, ends the command as Ctrl-C does, so that nothing is left running."""
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(kind, signal.default_int_handler) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
