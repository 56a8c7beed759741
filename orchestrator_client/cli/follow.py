"""`run` and `watch`: a run, followed to its end.

On a fleet the run is the fleet's: whatever ends this command, the run goes on, and the last words say how to come back
to it. On the embedded fleet the run is ours: it ends with the command.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.asking import Asking
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
    tokens_options,
)
from orchestrator_client.cli.show import output as outputs
from orchestrator_client.contract.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator_client.cli.show.display import Display
    from orchestrator_client.client import Client, Run
    from orchestrator_client.contract.document import RunDocument
    from orchestrator_client.contract.event import Event
    from orchestrator_client.contract.plan import Plan
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
@tokens_options
@redis_option
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Its working folder.")
def run(
    file: Path, url: str | None, folder: Path, target: str | None, tokens: bool, as_json: bool, **submission: Any
) -> None:
    """Run a pipeline and follow it to its end.

    Starts a Redis and workers for this one run, unless --redis or ORCHESTRATOR_REDIS_URL names a fleet. There the
    run goes on when this command is interrupted; otherwise it is cancelled.

    On a terminal the steps are shown as they are now; elsewhere every event is a line. With --tokens the text of
    models is on stdout as they write it, and nothing else.

    What a step asks, it asks here: on a terminal, and otherwise by saying how to answer. --answer and
    --answer-defaults answer beforehand.

    \b
    orchestrator run report.yaml -i topic=rivers -i depth=3
    orchestrator run report.yaml -c inputs.json -o result.json
    orchestrator run report.yaml -o - | jq .outputs
    """
    from orchestrator_client.cli.submission import prepare

    plan, inputs = prepare(file, submission.pop("context"), submission.pop("pairs"))
    way = way_of(tokens, as_json, target)
    submission["stream_text"] = way is not Way.STEPS
    fleet_url = named_fleet(url)
    with ended_by_signals():
        if fleet_url is None:
            _run_embedded(plan, inputs, folder, Shown(way, target), submission)
        else:
            _run_on_fleet(fleet_url, plan, inputs, Shown(way, target), submission)


@click.command()
@run_argument
@click.option(
    "--after", metavar="ID", callback=check_event_id, help="Only what is behind this event; with --tokens, a cursor."
)
@json_option
@tokens_options
@redis_option
def watch(run_id: str, after: str | None, output: str | None, tokens: bool, as_json: bool, url: str | None) -> None:
    """Follow a run to its end, from its first event or behind --after.

    Ends with the exit code of the run. Interrupting it leaves the run alone. With --tokens: the text of model calls
    that start from now on, as they write it.
    """
    from orchestrator_client.cli.show.display import JsonLines, display_for

    way = way_of(tokens, as_json or (tokens and output is not None))
    with client_of(url) as client:
        followed = client.run(run_id)
        if way is Way.STEPS:
            display = JsonLines(sys.stdout) if output else display_for(followed.plan(), run_id, whole=after is None)
            _follow_on_fleet(followed, display, after or "0")
        else:
            _read_on_fleet(followed, way, after or "0")
        document = followed.document(values=False)
        if not output and way is not Way.JSON_TEXT:
            show_ending(document, sys.stdout if way is Way.STEPS else sys.stderr)
    exit_with(document)


class Way(Enum):
    """What of a run is shown while it goes on."""

    STEPS = "steps"
    TEXT = "text"
    JSON_TEXT = "json text"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown while the run goes on, and where its result goes."""

    way: Way
    target: str | None

    @property
    def stream(self) -> Any:
        """Where people are spoken to: stdout, unless the result or models' text goes there."""
        return sys.stderr if self.target == outputs.STDOUT or self.way is not Way.STEPS else sys.stdout


def way_of(tokens: bool, as_json: bool, target: str | None = None) -> Way:
    """What the options ask for.

    Raises:
        click.UsageError: they contradict each other.
    """
    if as_json and not tokens:
        raise click.UsageError("--json goes with --tokens; for events as JSON, watch has -o json")
    if tokens and target == outputs.STDOUT:
        raise click.UsageError("--tokens and -o - both want stdout: write the result to a file")
    return Way.STEPS if not tokens else Way.JSON_TEXT if as_json else Way.TEXT


def _run_embedded(plan: Plan, inputs: dict[str, Any], folder: Path, shown: Shown, submission: dict[str, Any]) -> None:
    """Run on a fleet of our own, which ends with the run; an interrupted run is cancelled.

    The document is written in both cases: what had ended by then is not lost.

    Raises:
        FleetFailed: Redis or a worker could not be started, or has died.
    """
    from orchestrator_client.cli.submission import say_keyless
    from orchestrator_client.local import LocalFleet, keyless

    say_keyless(keyless(plan))
    folder.mkdir(parents=True, exist_ok=True)
    fleet = LocalFleet(folder)
    with contextlib.ExitStack() as stack:
        # Registered before the start: an interrupt in the middle of it leaves no Redis behind.
        stack.callback(fleet.stop)
        fleet.start()
        client = stack.enter_context(_client_with(fleet))
        submitted = client.submit(plan, inputs, **submission)
        try:
            if shown.way is Way.STEPS:
                asking = Asking(submitted, fleet.url)
                _show_events(_looking_after(submitted, fleet), _display(plan, submitted.id, shown), asking=asking)
            else:
                _read(submitted, shown.way)
        except KeyboardInterrupt:
            _cancel(submitted)
            _deliver(submitted.document(), shown)
            raise
        document = submitted.document()
        _deliver(document, shown)
    exit_with(document)


def _run_on_fleet(url: str, plan: Plan, inputs: dict[str, Any], shown: Shown, submission: dict[str, Any]) -> None:
    """Submit to a fleet and follow; the run outlives this command.

    Raises:
        StoreUnavailable: Redis cannot be reached, or is away for too long.
    """
    from orchestrator_client.cli.submission import say_keyless

    with client_of(url) as client:
        say_keyless(client.keyless(plan))
        submitted = client.submit(plan, inputs, **submission)
        if shown.way is Way.STEPS:
            _follow_on_fleet(submitted, _display(plan, submitted.id, shown), asking=Asking(submitted))
        else:
            _read_on_fleet(submitted, shown.way)
        document = submitted.document()
        _deliver(document, shown)
        if not document.success:
            click.echo(f"see more: orchestrator show {submitted.id} --values", err=True)
    exit_with(document)


def _client_with(fleet: LocalFleet) -> Client:
    """A client that starts the workers of a fleet when the first plan shows which are needed."""
    from orchestrator_client.client import Client

    return Client(fleet.url, fleet=fleet)


def _display(plan: Plan, run_id: str, shown: Shown) -> Display:
    """How this run is shown, and where."""
    from orchestrator_client.cli.show.display import display_for

    return display_for(plan, run_id, shown.stream)


def _show_events(
    events: Iterator[Event],
    display: Display,
    seen: Callable[[str], None] | None = None,
    asking: Asking | None = None,
) -> None:
    """Show events until there are no more; `seen` hears the id of each, `asking` puts the run's questions."""
    with display:
        for event in events:
            display.show(event)
            if asking is not None:
                asking.hear(event, display)
            if seen is not None:
                seen(event.id)


def _follow_on_fleet(followed: Run, display: Display, after: str = "0", asking: Asking | None = None) -> None:
    """Follow a run that goes on without us, and say how to come back if we must leave."""
    last = [after]
    try:
        _show_events(followed.stream(after), display, lambda event_id: last.__setitem__(0, event_id), asking)
    except (KeyboardInterrupt, OrchestratorError):
        _say_how_to_return(followed, last[0])
        raise


def _read(followed: Run, way: Way, after: str = "0") -> None:
    """Show the text of models as they write it."""
    from orchestrator_client.cli.show.tokens import JsonText, PlainText

    messages = followed.stream(after, mode="messages")
    shown = PlainText(sys.stdout) if way is Way.TEXT else JsonText(sys.stdout)
    with shown:
        for message in messages:
            shown.show(message, messages.cursor)


def _read_on_fleet(followed: Run, way: Way, after: str = "0") -> None:
    """The same of a run that goes on without us; who reads JSON has a cursor in every line."""
    try:
        _read(followed, way, after)
    except (KeyboardInterrupt, OrchestratorError):
        _say_how_to_return(followed, "")
        raise


def _say_how_to_return(followed: Run, after: str) -> None:
    behind = f" --after {after}" if after else ""
    click.echo(f"run {followed.id} goes on; follow it with: orchestrator watch {followed.id}{behind}", err=True)


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


def _deliver(document: RunDocument, shown: Shown) -> None:
    """Write the document where it was asked for, and tell the person how the run ended."""
    if shown.target is not None:
        outputs.write(document.model_dump(mode="json"), shown.target)
    show_ending(document, shown.stream)


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
