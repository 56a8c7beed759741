"""The page of one run: what it is now, and what happens in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

from flower.utils.tasks import get_task_by_id

from orchestrator_client.client.settable import shown
from orchestrator_client.contract import names
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json
from orchestrator_client.flower.drawing import drawing_of
from orchestrator_client.flower.feed import Inbox
from orchestrator_client.flower.guard import Page, json_of
from orchestrator_client.flower.rows import changed_row, event_row, head_of, questions_of, rows_of, steps_of
from orchestrator_client.flower.stream import Message, Stream
from orchestrator_client.store.pages import Now

GATHER_SECONDS = 0.15
"""For how long events are gathered into one message."""

LOOK_SECONDS = 2.0
"""How often a run is looked at although nothing was heard: leases run out without an event."""

ALIVE_LOOKS = 5
"""Looks without news after which the connection is shown to be alive."""

SHOWN_CHARACTERS = 20_000
"""Of a value as JSON; more is fetched by itself."""

ENDED = frozenset({"step_succeeded", "step_failed", "step_skipped", "step_cancelled"})


class RunPage(Page):
    """The page itself, with all that it shows at first."""

    async def get(self, run: str) -> None:
        page = await self.read(partial(self._page, run))
        self.show("run", page, page["run"]["pipeline"])

    def _page(self, run: str) -> Mapping[str, Any]:
        whole = self.room.store.whole(run)
        last = whole.events[-1] if whole.events else None
        return {
            "run": head_of(whole.now.record),
            "name": whole.plan.name or whole.plan.id,
            "about": whole.plan.description,
            "drawing": drawing_of(whole.plan),
            "steps": steps_of(whole.plan),
            "rows": list(rows_of(whole)),
            "events": [event_row(event) for event in whole.events],
            "questions": questions_of(whole.now),
            "children": whole.children,
            "after": last.id if last else "0",
            "may": self.may_change,
        }


class RunStream(Stream):
    """Sends what happened, gathered, with what has changed by it."""

    async def messages(self, *path: str) -> AsyncGenerator[Message]:
        [run] = path
        after, opened, looks = self.after, dict[str, Any](), 0
        with self.room.feed.watching(run, after) as inbox:
            events = await self._missed(run, after)
            while True:
                ended = sorted({event.instance for event in events if str(event.kind) in ENDED})
                now = await self.read(partial(self.room.store.now, run, ended))
                changed = {name: one for name, one in now.open.items() if opened.get(name) != one}
                looks = 0 if events or changed else looks + 1
                if events or changed:
                    after = events[-1].id if events else after
                    yield after, _news(now, events, [*now.receipts, *changed])
                elif looks % ALIVE_LOOKS == 0:
                    yield "", None
                opened = dict(now.open)
                events = [event for event in await _gathered(inbox) if _is_behind(event.id, after)]

    async def _missed(self, run: str, after: str) -> list[Event]:
        """What happened since the page was made, or since the browser heard last."""
        missed: list[Event] = []
        while True:
            found = await self.read(partial(self.room.store.events, {run: after}, 0))
            if not found:
                return missed
            missed += found[run]
            after = missed[-1].id


def _news(now: Now, events: list[Event], changed: list[str]) -> Mapping[str, Any]:
    return {
        "run": head_of(now.record),
        "events": [event_row(event) for event in events],
        "rows": [changed_row(now, instance) for instance in changed],
        "questions": questions_of(now),
    }


async def _gathered(inbox: Inbox) -> list[Event]:
    """What comes next and a moment after it; nothing if nothing comes for a while."""
    try:
        events = await asyncio.wait_for(inbox.get(), LOOK_SECONDS)
    except TimeoutError:
        return []
    await asyncio.sleep(GATHER_SECONDS)
    while not inbox.empty():
        events = events + inbox.get_nowait()
    return events


def _is_behind(event: str, other: str) -> bool:
    """Whether an event came later than another, by their ids."""
    return _parts(event) > _parts(other)


def _parts(event: str) -> tuple[int, int]:
    ms, _, number = event.partition("-")
    return int(ms), int(number or 0)


class StepOfRun(Page):
    """What one instance was given and has left, which the page asks for when somebody looks at it."""

    async def get(self, run: str) -> None:
        instance = self.get_query_argument("instance")
        plan, values = await self.read(lambda: (self.room.client.run(run).plan(), self._value(run, instance)))
        step = plan.step_at(instance)
        task = names.task_id(run, instance)
        known = get_task_by_id(self.application.events, task) is not None
        self.write_json(
            {
                "parameters": _as_shown(shown(step.parameters)) if step and step.parameters else None,
                "condition": step.condition if step else None,
                "reads": step.reads if step else (),
                "value": _as_shown(shown(values[instance])) if instance in values else None,
                "task": self.reverse_url("task", task) if known else "",
            }
        )

    def _value(self, run: str, instance: str) -> Mapping[str, Json]:
        value = self.room.client.run(run).value(instance)
        return {} if value is None else {instance: value}


class WholeValue(Page):
    """One value, whole, as a file."""

    async def get(self, run: str) -> None:
        instance = self.get_query_argument("instance")
        value = await self.read(lambda: self.room.client.run(run).value(instance))
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="value.json"')
        self.write(json_of(shown(value)))


class InputsOfRun(Page):
    """What a run was given, and what it has left."""

    async def get(self, run: str) -> None:
        inputs, outputs = await self.read(partial(self._both, run))
        self.write_json({"inputs": _as_shown(shown(inputs)), "outputs": _as_shown(shown(outputs)) if outputs else None})

    def _both(self, run: str) -> tuple[Json, Json]:
        found = self.room.client.run(run)
        variables = {each.name: each.value for each in found.variables.list(type="input")}
        return variables, found.status().outputs


def _as_shown(value: Json) -> Mapping[str, Any]:
    """A value as text, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return {"text": text[:SHOWN_CHARACTERS], "characters": len(text), "cut": len(text) > SHOWN_CHARACTERS}
