"""Reads from the store what `why` explains, and what `verify` judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator_client.budgets import NANO, Budgets, BudgetView
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.run import InstanceState, OpenInstance
from orchestrator_client.history import History
from orchestrator_client.soundness import values_looked_at
from orchestrator_client.store import Stores
from orchestrator_client.why import Facts, pick_of


def facts_of(stores: Stores, run: str) -> Facts:
    """All that is known of a run at about one moment.

    Weakness: it is read in several trips, so a busy run may move on in between.

    Raises:
        RunNotFound: the store has no such run.
    """
    runs, gates = stores.runs, stores.gates
    record, opened = runs.record(run), runs.open_instances(run)
    queues, calls = runs.queues(run), runs.calls(run)
    waiting = _waiting(opened, calls)
    scopes = {str(pick_of(call)["scope"]) for call in waiting.values()}
    return Facts(
        plan=runs.plan(run),
        record=record,
        receipts=runs.receipts(run),
        open=opened,
        queues=queues,
        lengths=runs.queue_lengths({names.CONTROL_QUEUE, *filter(None, queues.values())}),
        serving=Counter(queue for worker in stores.fleet.workers() for queue in worker.queues),
        due_ms=runs.due_ms(run, _in_state(opened, InstanceState.PARKED)),
        events=runs.newest_events(
            run, _in_state(opened, InstanceState.PARKED, InstanceState.RUNNING, InstanceState.LATE)
        ),
        calls=calls,
        gates=gates.gates(scopes),
        lines={scope: gates.line(scope) for scope in scopes},
        places={
            instance: gates.place(str(pick_of(call)["scope"]), str(call.get("tenant") or ""), run, instance)
            for instance, call in waiting.items()
        },
        budgets=_budgets(stores, waiting),
        questions={asked.instance: asked for asked in stores.questions.questions([run])},
        now_ms=runs.now_ms(),
    )


def history_of(stores: Stores, run: str) -> History:
    """What happened in a run that has ended.

    Raises:
        RunNotFound: the store has no such run.
        InputsInvalid: it has not ended yet.
    """
    runs = stores.runs
    record = runs.record(run)
    if not record.state.ended:
        raise InputsInvalid([f"run {run} is {record.state}; what it did can be judged once it has ended"])
    plan, receipts = runs.plan(run), runs.receipts(run)
    budget = Budgets(stores.money, load_project()).of_run(record)
    return History(
        plan=plan,
        record=record,
        receipts=receipts,
        events=runs.past(run, "+", "0")[0],
        values=runs.values(run, values_looked_at(plan, iter(receipts))),
        cap_usd=budget.cap_usd,
        spent_usd=budget.spent_usd if budget.used else None,
    )


def _in_state(opened: Mapping[str, OpenInstance], *states: InstanceState) -> list[str]:
    return [instance for instance, each in opened.items() if each.state in states]


def _waiting(
    opened: Mapping[str, OpenInstance], calls: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The calls of instances that wait."""
    return {instance: calls[instance] for instance in _in_state(opened, InstanceState.WAITING) if instance in calls}


def _budgets(stores: Stores, waiting: Mapping[str, Mapping[str, Any]]) -> dict[str, BudgetView]:
    """Every budget that a waiting call asks, with the cap that its worker's configuration states."""
    caps = {each["id"]: each["cap"] / NANO for call in waiting.values() for each in call.get("budgets") or ()}
    budgets = Budgets(stores.money, load_project()) if caps else None
    return {identity: budgets.view(identity, cap) for identity, cap in caps.items()} if budgets else {}
