"""What a page shows of a run: its head, and a row for each instance. Pure. Times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.contract.question import AnswerField, AskedQuestion
from orchestrator_client.contract.run import OpenInstance, Receipt, RunRecord, Wish
from orchestrator_client.contract.usage import Usage
from orchestrator_client.store.pages import Now, WholeRun
from orchestrator_client.variables import path_of

Row = dict[str, Any]


def summary_of(record: RunRecord) -> Row:
    """What every page says of a run."""
    return {
        "id": record.run,
        "pipeline": record.pipeline,
        "state": state_of(record),
        "ended": record.state.ended,
        "tags": record.tags,
        "tenant": record.tenant,
        "submitted": record.submitted_ms,
        "started": record.started_ms,
        "finished": record.ended_ms,
        "halt": record.halt,
        "progress": record.progress,
        "ends": record.ends_ms,
    }


def head_of(record: RunRecord) -> Row:
    """The run itself."""
    return {
        **summary_of(record),
        "paused": {"since": record.paused_ms, "by": record.paused_by} if record.paused else None,
        "error": record.error.model_dump() if record.error else None,
        "forked_from": record.forked_from,
        "forks": record.forks,
        "parent": record.parent,
        "parent_instance": record.parent_instance,
        "budget_usd": str(record.budget.usd) if record.budget else None,
    }


def state_of(record: RunRecord) -> str:
    """The run's state, or what was wished of it: `paused`, and `cancelling` until it is cancelled."""
    if record.paused:
        return "paused"
    return "cancelling" if record.wish is Wish.CANCEL and not record.state.ended else str(record.state)


def rows_of(whole: WholeRun) -> Iterator[Row]:
    """A row for every instance, and for every step of the plan that was not reached, in the plan's order."""
    now = whole.now
    instances = sorted({*now.receipts, *now.open}, key=_in_order(steps_of(whole.plan)))
    yield from (changed_row(now, instance) for instance in instances)
    reached = set(map(path_of, instances))
    yield from ({"i": step.id, "p": step.id, "s": "pending"} for step in whole.plan.steps if step.id not in reached)


def changed_row(now: Now, instance: str) -> Row:
    """The row of an instance that has ended or is open."""
    if (receipt := now.receipts.get(instance)) is not None:
        return {"i": instance, "p": path_of(instance), **_ended(receipt)}
    return {"i": instance, "p": path_of(instance), **_open(now.open[instance], now.questions.get(instance))}


def _ended(receipt: Receipt) -> Row:
    """Without what is empty: a page has thousands of them."""
    usage = receipt.usage
    row: Row = {
        "s": str(receipt.outcome),
        "a": receipt.attempt - receipt.excused,
        "from": receipt.started_ms,
        "to": receipt.ended_ms,
        "w": receipt.worker,
        "m": receipt.model,
        "e": receipt.error.model_dump() if receipt.error else None,
        "r": receipt.reason,
        "cached": receipt.cached,
        "kept": receipt.kept_from,
        "q": receipt.quality.model_dump(mode="json") if receipt.quality else None,
        "u": _usage(usage) if usage else None,
        "notes": [*([receipt.selection] if receipt.selection else []), *receipt.warnings],
    }
    return {name: value for name, value in row.items() if value}


def _open(opened: OpenInstance, asked: AskedQuestion | None) -> Row:
    asks = asked is not None and asked.answer is None and opened.state == "parked"
    return {
        "s": "asking" if asks else str(opened.state),
        "a": opened.attempt - opened.excused,
        "since": opened.since_ms,
    }


def _usage(usage: Usage) -> Row:
    cost = None if usage.cost_usd is None else float(usage.cost_usd)
    return {"calls": usage.requests, "in": usage.input_tokens, "out": usage.output_tokens, "usd": cost}


def steps_of(plan: Plan) -> dict[str, Row]:
    """Path of a step -> what it is; what a loop holds comes behind the loop."""
    return {
        path: {
            "kind": str(step.kind),
            "uses": step.uses,
            "after": list(dict.fromkeys(step.predecessors)),
            "holds": step.loop is not None,
            "held": step.quality is not None,
        }
        for path, step in _walk(plan.steps, "")
    }


def _walk(steps: Sequence[Step], prefix: str) -> Iterator[tuple[str, Step]]:
    for step in steps:
        yield f"{prefix}{step.id}", step
        if step.loop is not None:
            yield from _walk(step.loop.steps, f"{prefix}{step.id}.")


def event_row(event: Event) -> list[Any]:
    """An event as a page gets it: id, kind, time, instance, attempt, and its further fields if it has any."""
    row: list[Any] = [event.id, str(event.kind), event.at_ms, event.instance, event.attempt]
    return [*row, event.data] if event.data else row


def questions_of(now: Now) -> list[Row]:
    """What stands and waits for a person, oldest first."""
    standing = [
        asked
        for name, asked in now.questions.items()
        if asked.answer is None and name in now.open and now.open[name].state == "parked"
    ]
    return [_question(asked) for asked in sorted(standing, key=lambda asked: asked.asked_ms)]


def _question(asked: AskedQuestion) -> Row:
    question = asked.question
    fields = question.fields or {"": question.value or AnswerField()}
    return {
        "i": asked.instance,
        "number": asked.number,
        "kind": str(question.kind),
        "title": question.title,
        "prompt": question.prompt,
        "asked": asked.asked_ms,
        "deadline": asked.deadline_ms,
        "answerers": question.answerers,
        "options": [{"value": option, "approves": question.approves(option)} for option in question.options],
        "fields": [
            {
                "name": name,
                "type": str(each.type),
                "required": each.required,
                "choices": each.choices,
                "default": each.default,
                "about": each.description,
            }
            for name, each in fields.items()
        ],
    }


def _in_order(steps: Mapping[str, Row]) -> Callable[[str], list[tuple[int, int]]]:
    """Instances as the plan has their steps, and items and passes by their numbers."""
    rank = {path: number for number, path in enumerate(steps)}

    def key(instance: str) -> list[tuple[int, int]]:
        path, found = "", []
        for part in instance.split("."):
            name, _, number = part.rstrip("]").partition("#" if "#" in part else "[")
            path = f"{path}.{name}" if path else name
            found.append((rank.get(path, len(rank)), int(number or -1)))
        return found

    return key
