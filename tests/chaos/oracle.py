"""Judges a scene after its faults have healed: by the store, by the ledger of effects, and by the process table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from orchestrator_client import soundness
from orchestrator_client.client.facts import history_of
from orchestrator_client.contract.run import Outcome, RunState
from orchestrator_client.history import History, beside
from orchestrator_client.store import Stores
from tests.chaos.scene import Scene
from tests.chaos.workloads import EFFECT
from tests.conftest import assert_keys_have_ttl, wait_until

CANCEL_SECONDS = 2.0
"""After its cancellation an attempt may still come to its tool that had been claimed before: that it was, the run's
history shows."""


def judge(scene: Scene) -> str:
    """What there is to say of an episode that is sound: its runs, steps and what was done twice.

    Raises:
        AssertionError: it is not; all that is wrong is in the message.
    """
    with ExitStack() as open_stores:
        stores = Stores(scene.server.url, "oracle")
        open_stores.callback(stores.close)
        histories = [history_of(stores, run.id) for run in scene.runs]
    problems = [problem for history in histories for problem in _of_run(scene, history)]
    problems += _of_ledger(scene, histories)
    assert_keys_have_ttl(scene.redis)
    assert not problems, "\n".join(problems)
    begun = Counter(line.key for line in scene.effects() if line.begins)
    twice = sum(count - 1 for count in begun.values())
    return f"{len(scene.runs)} runs, {len(begun)} effects, {twice} done again"


def judge_processes(scene: Scene) -> None:
    """Once its workers are asked to stop, no process of a scene is left: I12."""
    scene.stop_workers()
    wait_until(lambda: not scene.processes(), "no process of a worker is left")


def _of_run(scene: Scene, history: History) -> Iterator[str]:
    """I1, I2, I4, I5, I8 by the run's own history; I7: nothing failed that was not meant to."""
    run, state = history.record.run, history.record.state
    for finding in soundness.judge(history).findings:
        yield from (f"{run}: {finding.rule}: {problem}" for problem in finding.problems)
    if run in scene.cancelled_at:
        if state is RunState.SUCCEEDED:
            yield f"{run} was cancelled, and succeeded"
        return
    for name, receipt in history.receipts.items():
        if receipt.outcome in (Outcome.FAILED, Outcome.CANCELLED) and name not in scene.meant_to_fail:
            yield f"{run}: {name} is {receipt.outcome}: {receipt.explanation}"
    due = RunState.FAILED if scene.meant_to_fail & history.receipts.keys() else RunState.SUCCEEDED
    if state is not due:
        yield f"{run} is {state}, not {due}: {history.record.error}"


def _of_ledger(scene: Scene, histories: Sequence[History]) -> Iterator[str]:
    """What the tools wrote, against what the store says: joins, wins, cancellations."""
    first: dict[tuple[str, str], float] = {}
    ended: dict[tuple[str, str, int], float] = {}
    for line in scene.effects():
        if line.ends:
            ended[(*line.key, line.attempt)] = line.at
        if not line.begins:
            continue
        if first.setdefault(line.key, line.at) < scene.set_back_at < line.at:
            # What began before was forgotten with what led to it.
            first[line.key] = line.at
        if (late := line.at - scene.cancelled_at.get(line.run, line.at)) > CANCEL_SECONDS:
            yield f"{line.instance} of {line.run} began {late:.1f} s after its cancellation"
    for history in histories:
        yield from _of_effects(history, first, ended)


def _of_effects(
    history: History, first: Mapping[tuple[str, str], float], ended: Mapping[tuple[str, str, int], float]
) -> Iterator[str]:
    """Each success has an effect that ended, and began after those of the steps before it had ended."""
    run, receipts = history.record.run, history.receipts
    for name, receipt in receipts.items():
        step = history.plan.step_at(name)
        if step is None or step.uses != EFFECT or receipt.outcome is not Outcome.SUCCEEDED:
            continue
        if (run, name, receipt.attempt) not in ended:
            yield f"{name} of {run} succeeded on attempt {receipt.attempt}, whose effect never ended"
        for before in (beside(name, predecessor) for predecessor in step.predecessors):
            end = ended.get((run, before, receipts[before].attempt)) if before in receipts else None
            if end is not None and first[(run, name)] < end:
                yield f"{name} of {run} started before {before} had done its work"
