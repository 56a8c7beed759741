"""Read along as a run's models write: their text in order, what of it is void, and when it is whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.event import Delta, Dropped, Event, EventKind, Written
from orchestrator_client.contract.plan import Json, Plan, StepKind
from orchestrator_client.store import RunStore
from orchestrator_client.watch import WAIT_MS, time_left_ms

Message = Delta | Dropped | Written

WAITS = ("limit", "budget", "cache")
"""Reasons of a parked step whose next attempt waits and has not begun."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a run's two streams. Its text is `<event's id>/<delta's id>`; `0` is the beginning of both."""

    event: str = "0"
    delta: str = "0"

    def __str__(self) -> str:
        return f"{self.event}/{self.delta}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its text.

        Raises:
            InputsInvalid: it is none.
        """
        event, slash, delta = text.partition("/")
        if text == "0":
            return cls()
        if not slash or not all(part.replace("-", "", 1).isdecimal() for part in (event, delta)):
            raise InputsInvalid([f"'{text}' is no position in a run's text; one looks like 1700000000000-0/0"])
        return cls(event, delta)


class Transcript:
    """Which text counts: that of each instance's newest attempt, until it has failed. Pure.

    Once a piece of an attempt was handed on, either `Written` or `Dropped` of that attempt follows.
    """

    def __init__(self, is_model: Callable[[str], bool]) -> None:
        self._is_model = is_model
        self._read: dict[str, int] = {}
        """Instance -> attempt of which text was handed on that still counts."""
        self._over: dict[str, int] = {}
        """Instance -> last attempt that has ended: text of it and of those before is void or whole by now."""

    def hear(self, run: str, delta: Delta) -> Iterator[Message]:
        """A piece of text; none of an attempt that is over, which a worker that was given up may still write."""
        before = self._read.get(delta.instance, 0)
        if delta.attempt <= self._over.get(delta.instance, 0) or delta.attempt < before:
            return
        if before and before < delta.attempt:
            yield Dropped(run=run, instance=delta.instance, attempt=before)
        self._read[delta.instance] = delta.attempt
        yield delta

    def see(self, run: str, event: Event, whole: Callable[[str], str]) -> Iterator[Message]:
        """An event; `whole` gives the whole text that a step left."""
        match event.kind:
            case EventKind.STEP_SUCCEEDED:
                yield from self._succeed(run, event, whole)
            case EventKind.STEP_PARKED | EventKind.STEP_FAILED | EventKind.STEP_CANCELLED:
                yield from self._give_up(run, event)
            case _:
                pass

    def _succeed(self, run: str, event: Event, whole: Callable[[str], str]) -> Iterator[Message]:
        """A step has its receipt; of an attempt that was not read, the text comes whole."""
        instance, attempt = event.instance, event.attempt
        before = self._read.pop(instance, 0)
        self._over[instance] = attempt
        if before and before != attempt:
            yield Dropped(run=run, instance=instance, attempt=before)
        if before == attempt:
            yield Written(run=run, instance=instance, attempt=attempt)
        elif self._is_model(instance):
            yield Written(run=run, instance=instance, attempt=attempt, text=whole(instance))

    def _give_up(self, run: str, event: Event) -> Iterator[Message]:
        """An attempt is over, or the next one waits."""
        instance, attempt, before = event.instance, event.attempt, self._read.get(event.instance, 0)
        has_begun = before == attempt or event.data.get("reason") not in WAITS
        self._over[instance] = max(self._over.get(instance, 0), attempt if has_begun else attempt - 1)
        if 0 < before <= attempt:
            del self._read[instance]
            yield Dropped(run=run, instance=instance, attempt=before)


class Messages:
    """An iterator of `Delta`, `Dropped` and `Written`, which ends with the run.

    `cursor` is a text: another reader that is given it as `after` goes on behind the last message. What was read
    before is known to it, so it too hears when that is void; only a `Dropped` may come to it a second time.

    Raises:
        TimeoutError: `timeout` seconds have passed and the run has not closed.
        InputsInvalid: `after` is no position.
    """

    def __init__(
        self,
        store: RunStore,
        run: str,
        after: str = "0",
        timeout: float | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._run, self._check = store, run, check
        self._at = Cursor.parse(after)
        self._timeout = timeout
        self._plan: Plan | None = None
        self._transcript = Transcript(self._is_model)
        self._messages = self._follow()

    @property
    def cursor(self) -> str:
        """The position behind the last message."""
        return str(self._at)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return next(self._messages)

    def _follow(self) -> Iterator[Message]:
        """Ask, remember, then read until the run has closed."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        self._store.ask_for_deltas(self._run)
        self._remember()
        while True:
            wait_ms = time_left_ms(deadline)
            if wait_ms <= 0:
                raise TimeoutError(f"run {self._run} has not ended within {self._timeout:g} s; it goes on")
            self._check()
            events, deltas = self._read(min(WAIT_MS, wait_ms))
            for delta in deltas:
                yield from self._hear(delta)
            for event in events:
                yield from self._see(event)
                if event.kind is EventKind.RUN_CLOSED:
                    return
            if not (events or deltas) and self._has_ended():
                return

    def _remember(self) -> None:
        """Take in what was read before `after`, so that the rest means the same as to one who read it all."""
        if self._at == Cursor():
            return
        events, deltas = self._store.past(self._run, self._at.event, self._at.delta)
        for delta in deltas:
            list(self._transcript.hear(self._run, delta))
        for event in events:
            list(self._transcript.see(self._run, event, lambda _: ""))

    def _read(self, wait_ms: int) -> tuple[list[Event], list[Delta]]:
        """What is new. Workers write text before they settle: with an event, all text before it is read, too."""
        events, deltas = self._store.events_and_deltas(self._run, self._at.event, self._at.delta, wait_ms)
        if events:
            deltas += self._store.deltas(self._run, deltas[-1].id if deltas else self._at.delta)
        return events, deltas

    def _hear(self, delta: Delta) -> Iterator[Message]:
        """Messages of one delta; the position moves with the last of them."""
        behind = Cursor(self._at.event, delta.id)
        for message in self._transcript.hear(self._run, delta):
            if isinstance(message, Delta):
                self._at = behind
                message = message.model_copy(update={"id": str(behind)})
            yield message
        self._at = behind

    def _see(self, event: Event) -> Iterator[Message]:
        """Messages of one event; what is void may be told twice, so the position moves with what may not."""
        behind = Cursor(event.id, self._at.delta)
        for message in self._transcript.see(self._run, event, self._whole):
            if isinstance(message, Written):
                self._at = behind
            yield message
        self._at = behind

    def _has_ended(self) -> bool:
        """Whether nothing comes any more although no last event was seen: its stream was trimmed, or is gone."""
        ended = self._store.record(self._run).state.ended
        return ended and not any(self._store.events_and_deltas(self._run, self._at.event, self._at.delta, 0))

    def _is_model(self, instance: str) -> bool:
        """Whether the plan says that a model performs it; read once, and only if anything ends."""
        self._plan = self._plan or self._store.plan(self._run)
        step = self._plan.step_by_id.get(instance)
        return step is not None and step.kind is StepKind.MODEL

    def _whole(self, instance: str) -> str:
        """The text that an instance left in the variable store."""
        return text_of_value(self._store.values(self._run, [instance]).get(instance))


def text_of_value(value: Json) -> str:
    """The text that a model step left: its result, as JSON where that is no text."""
    result = value.get("result") if isinstance(value, dict) else value
    if result is None:
        return ""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
